//! Backups on their way: what they come in ([`archive`]), what they hold and whether they are whole
//! ([`inspect`], with the result in [`inspection`]), and how they come to S3.

pub mod archive;
pub mod compress;
pub mod inspect;
pub mod inspection;
pub mod manifest;
pub mod split;
pub mod staging;
pub mod step;
pub mod tree;
pub mod upload;
