//! Backups on their way: what they come in ([`archive`]), what they hold and whether they are whole
//! ([`inspect`], with the result in [`inspection`]), and how they come to S3.

pub mod archive;
pub mod buffers;
pub mod compress;
pub mod inspect;
pub mod inspection;
pub mod manifest;
pub mod named;
pub mod objects;
pub mod split;
pub mod staging;
pub mod step;
pub mod tree;
pub mod upload;
pub mod watch;

/// The most objects that Aurora restores from.
///
/// Source: Aurora User Guide, *Physical migration from MySQL by using Percona XtraBackup and Amazon S3*.
pub const MAX_OBJECTS: u64 = 1_000_000;

/// The most bytes of an object that Aurora restores from. Source: as before.
pub const MAX_OBJECT: u64 = 5_000_000_000_000;

/// The most bytes that a backup may have, unpacked: Aurora's volume ends there. Source: as before.
pub const MAX_TOTAL: u64 = 64 << 40;
