//! Proves that both sides hold the same: checksums computed inside both servers at once, bisected to
//! the keys that differ.

pub mod hash;
