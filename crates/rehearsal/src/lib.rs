//! Stand-ins on loopback.
pub mod sakila;
pub mod server;
pub mod shop;
pub mod writer;
