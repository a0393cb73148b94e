//! Backups on their way: what they hold and whether they are whole ([`inspection`]), and how they come
//! to S3.

pub mod compress;
pub mod inspection;
pub mod manifest;
pub mod split;
pub mod staging;
pub mod step;
pub mod tree;
pub mod upload;
