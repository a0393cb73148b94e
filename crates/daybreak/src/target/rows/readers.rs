//! The connections of the snapshot, which workers borrow for a chunk at a time.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::worker::source_lost;
use crate::{
    error::{Error, Kind, Result},
    mysql::ReaderSession,
    source::snapshot::SAVEPOINT,
};

/// Connections that all see the same snapshot.
pub(super) struct Readers<T = ReaderSession> {
    all: Vec<Arc<Mutex<Held<T>>>>,
    free: Arc<Semaphore>,
    /// Whoever looks for a free one looks alone, as it takes all of them for an instant.
    looking: std::sync::Mutex<()>,
}

struct Held<T> {
    session: T,
    /// Whether it may hold metadata locks of tables that were read.
    locks: bool,
}

/// A connection that is borrowed. Dropped, it goes back as it is.
pub(super) struct Reader {
    held: OwnedMutexGuard<Held<ReaderSession>>,
    // After the guard: whoever gets the permit finds it unlocked.
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    /// Waits for one that nobody has, and which holds no locks.
    ///
    /// # Errors
    /// `SnapshotLost`.
    pub(super) async fn borrow(&self) -> Result<Reader> {
        let (held, _permit) = self.free_one().await.ok_or_else(|| {
            Error::new(Kind::Bug, "a connection of the snapshot is nobody's and can't be had")
        })?;
        let mut reader = Reader { held, _permit };
        if reader.held.locks {
            reader.roll_back().await?;
        }
        reader.held.locks = true;
        Ok(reader)
    }
}

impl<T> Readers<T> {
    pub(super) fn new(sessions: Vec<T>) -> Self {
        let free = Arc::new(Semaphore::new(sessions.len()));
        let held = |session| Arc::new(Mutex::new(Held { session, locks: false }));
        let all = sessions.into_iter().map(held).collect();
        Readers { all, free, looking: std::sync::Mutex::default() }
    }

    /// Waits for one that nobody has; rather one with locks, which would lie idle with them.
    async fn free_one(&self) -> Option<(OwnedMutexGuard<Held<T>>, OwnedSemaphorePermit)> {
        let permit = self.free.clone().acquire_owned().await.ok()?;
        let _alone = self.looking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let free = self.all.iter().filter_map(|held| held.clone().try_lock_owned().ok());
        let free: Vec<_> = free.collect();
        let one = free.into_iter().max_by_key(|held| held.locks)?;
        Some((one, permit))
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
    type Target = ReaderSession;

    fn deref(&self) -> &ReaderSession {
        &self.held.session
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut ReaderSession {
        &mut self.held.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_may_have_one_gets_one() {
        let readers = Arc::new(Readers::new(vec![0, 1, 2]));
        let borrowers = (0..8).map(|_| {
            let readers = readers.clone();
            tokio::spawn(async move {
                for _ in 0..5_000 {
                    let (held, permit) = readers.free_one().await.expect("one that is free");
                    tokio::task::yield_now().await;
                    drop((held, permit));
                }
            })
        });
        futures_util::future::try_join_all(borrowers).await.unwrap();
    }

    #[tokio::test]
    async fn one_with_locks_goes_first() {
        let readers = Readers::new(vec!["a", "b", "c"]);
        let (mut held, permit) = readers.free_one().await.unwrap();
        held.locks = true;
        let locked = held.session;
        drop((held, permit));
        assert_eq!(readers.free_one().await.unwrap().0.session, locked);
    }
}
