//! The connections of the snapshot, which workers borrow for a chunk at a time.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::worker::source_lost;
use crate::{
    error::{Error, Kind, Result},
    mysql::Session,
    source::snapshot::SAVEPOINT,
};

/// Connections that all see the same snapshot.
pub(super) struct Readers {
    all: Vec<Arc<Mutex<Held>>>,
    free: Arc<Semaphore>,
}

struct Held {
    session: Session,
    /// Whether it may hold metadata locks of tables that were read.
    locks: bool,
}

/// A connection that is borrowed. Dropped, it goes back as it is.
pub(super) struct Reader {
    held: OwnedMutexGuard<Held>,
    // After the guard: whoever gets the permit finds it unlocked.
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    pub(super) fn new(sessions: Vec<Session>) -> Self {
        let free = Arc::new(Semaphore::new(sessions.len()));
        let held = |session| Arc::new(Mutex::new(Held { session, locks: false }));
        Readers { all: sessions.into_iter().map(held).collect(), free }
    }

    /// Waits for one that nobody has, and which holds no locks.
    ///
    /// # Errors
    /// `SnapshotLost`.
    pub(super) async fn borrow(&self) -> Result<Reader> {
        let nobody =
            || Error::new(Kind::Bug, "a connection of the snapshot is nobody's and can't be had");
        let permit = self.free.clone().acquire_owned().await.map_err(|_| nobody())?;
        let free: Vec<_> =
            self.all.iter().filter_map(|held| held.clone().try_lock_owned().ok()).collect();
        // One that holds locks doesn't lie idle with them.
        let free = free.into_iter().max_by_key(|held| held.locks);
        let mut reader = Reader { held: free.ok_or_else(nobody)?, _permit: permit };
        if reader.held.locks {
            reader.roll_back().await?;
        }
        reader.held.locks = true;
        Ok(reader)
    }
}

impl Reader {
    /// Gives it back, and up the metadata locks of the tables that were read.
    ///
    /// # Errors
    /// `SnapshotLost`.
    pub(super) async fn let_go(mut self) -> Result<()> {
        self.roll_back().await
    }

    async fn roll_back(&mut self) -> Result<()> {
        let held = &mut *self.held;
        held.session
            .execute(format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}"))
            .await
            .map_err(source_lost)?;
        held.locks = false;
        Ok(())
    }
}

impl Deref for Reader {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.held.session
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.held.session
    }
}
