//! Where the data come from: what is there, a consistent view of it, and its rows.

pub mod lock;
pub mod prepare;
pub mod read;
pub mod snapshot;
