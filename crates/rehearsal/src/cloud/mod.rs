//! AWS on loopback.

pub mod sigv4;
