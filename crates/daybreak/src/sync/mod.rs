//! Keeping both sides alike, and proving it: replication, lag, verification.
