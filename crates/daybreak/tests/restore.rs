//! Restoring from S3 through the RDS API: the AWS SDK against the endpoint on loopback, whose cluster
//! is a real server made from what lies in the bucket.

#[path = "restore/accounts.rs"]
mod accounts;

#[path = "restore/aurora.rs"]
mod aurora;

#[path = "restore/harness.rs"]
mod harness;

#[path = "restore/mariadb.rs"]
mod mariadb;

#[path = "restore/mysql56.rs"]
mod mysql56;

#[path = "restore/refused.rs"]
mod refused;

#[path = "restore/undo.rs"]
mod undo;
