//! Stand-ins on loopback.
pub mod backups;
pub mod cloud;
pub mod proxy;
pub mod sakila;
pub mod server;
pub mod shop;
pub mod watch;
pub mod writer;
