//! Where the data come from: what is there, a consistent view of it, and its rows.

pub mod activity;
pub mod assess;
pub mod backup;
pub mod grants;
pub mod lock;
pub mod preflight;
pub mod prepare;
pub mod read;
pub mod snapshot;
