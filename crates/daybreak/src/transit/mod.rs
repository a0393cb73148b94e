//! Backups on their way: what they come in ([`archive`]), what they hold and whether they are whole
//! ([`inspect`], with the result in [`inspection`]), and how they come to S3.

pub mod archive;
pub mod inspect;
pub mod inspection;
