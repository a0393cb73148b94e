//! daybreak, the library.
