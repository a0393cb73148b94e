//! Keeping both sides alike, and proving it: replication, lag, verification.

pub mod verify;
