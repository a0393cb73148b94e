//! Keeps a server from taking writes for as long as a connection lives, and no longer.

use std::time::{Duration, Instant};

use crate::{
    error::Result,
    event::Events,
    mysql::{ServerUrl, Session, TableName},
};

/// How the writes are kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMethod {
    /// `FLUSH TABLES WITH READ LOCK`: nothing commits.
    GlobalReadLock,
    /// `LOCK TABLES ... READ` on every table that is taken.
    TableLocks,
}

/// A lock on writes, held by a connection.
pub struct WriteLock {
    session: Session,
    since: Instant,
    method: LockMethod,
}

impl WriteLock {
    /// placeholder, being written
    pub async fn acquire(
        _url: &ServerUrl,
        _tables: &[TableName],
        _wait: Duration,
        _attempts: u32,
        _events: &Events,
    ) -> Result<Self> {
        Err(crate::error::Error::new(crate::error::Kind::Bug, "being written"))
    }

    /// The connection that holds the lock.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// When the lock was asked for.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How.
    pub fn method(&self) -> LockMethod {
        self.method
    }

    /// Lets writes in again; returns how long they were kept out.
    pub async fn release(self) -> Result<Duration> {
        Ok(self.since.elapsed())
    }
}
