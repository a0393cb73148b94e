//! Physical backups of the source: taken by the server's own family of tools ([`tool`]), full or
//! incremental, into a directory or as a stream, with their state in a manifest beside them
//! ([`chain`]), and merged into one that a server starts on ([`merge`]).
//!
//! A backup counts as taken when the tool says so, ended so, and left what a whole backup has; until
//! then the manifest calls it unfinished, nothing is based on it, and the next one replaces it.

pub mod chain;
pub mod check;
pub mod command;
pub mod info;
mod login;
pub mod merge;
mod progress;
mod run;
pub mod step;
mod take;
pub mod tool;

pub use chain::{BackupState, Chain, TakenBackup};
pub use command::StreamFormat;
pub use merge::{PrepareRequest, Prepared, prepare};
pub use take::{BackupStream, Inspect, Request, StreamHandle, Wanted, take, take_stream};
