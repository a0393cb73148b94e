//! AWS on loopback.

pub mod cluster;
pub mod rds;
pub mod sigv4;
