//! Stand-ins on loopback.
pub mod proxy;
pub mod server;
pub mod shop;
pub mod writer;
