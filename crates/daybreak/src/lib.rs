//! Moves a MySQL-compatible database into Amazon Aurora MySQL with near-zero downtime, proves that
//! both sides agree, and can go back.
//!
//! Modules in the order in which data travels: [`source`] finds out what is there and reads it,
//! [`transit`] looks at backups and brings them to S3, [`target`] loads it, [`sync`] follows the changes
//! and compares both sides, [`switch`] moves the writes. [`engine`] runs them as steps over a journal;
//! [`mysql`] talks to servers, [`aws`] to AWS. The library prints nothing, reads no flags and never exits:
//! it returns [`error::Error`]s and sends [`event::Event`]s.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod aws;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod explain;
pub mod files;
pub mod mysql;
pub mod pipe;
mod process;
pub mod report;
pub mod route;
pub mod select;
pub mod source;
pub mod switch;
pub mod sync;
pub mod target;
pub mod transit;
