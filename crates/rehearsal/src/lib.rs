//! Stand-ins on loopback.
pub mod server;
pub mod shop;
pub mod writer;
