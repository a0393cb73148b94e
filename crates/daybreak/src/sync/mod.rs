//! Keeping both sides alike, and proving it: replication, lag, verification.

pub mod heartbeat;
pub mod replicate;
pub mod verify;
