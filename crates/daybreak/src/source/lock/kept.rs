//! A connection whose being there is what counts: it is kept from being dropped for idleness while
//! this process lives, and dropped by the server soon after this machine dies.

use std::{
    sync::{Arc, Mutex as Cell, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinHandle,
};

use crate::{error::Result, mysql::Session};

/// After how many idle seconds the server drops the connection.
pub(super) const IDLE_SECONDS: u64 = 20;

/// How often it is spoken to.
const EVERY: Duration = Duration::from_secs(4);

/// A connection that is kept. Dropping it cuts the connection.
pub(crate) struct Kept {
    session: Arc<Mutex<Session>>,
    keeper: JoinHandle<()>,
    until: Arc<Cell<Option<Instant>>>,
}

impl Kept {
    pub(crate) async fn new(mut session: Session) -> Result<Self> {
        session.execute(format!("SET SESSION wait_timeout = {IDLE_SECONDS}")).await?;
        Ok(Self::set_up(session))
    }

    /// The same for a connection whose server drops it soon already: nothing is said to it.
    pub(super) fn set_up(session: Session) -> Self {
        let session = Arc::new(Mutex::new(session));
        let weak = Arc::downgrade(&session);
        let until = Arc::new(Cell::new(None::<Instant>));
        let bound = until.clone();
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let last = *bound.lock().unwrap_or_else(PoisonError::into_inner);
                if last.is_some_and(|last| Instant::now() > last) {
                    tracing::warn!("a connection that holds a lock isn't kept any longer");
                    return;
                }
                let Some(session) = weak.upgrade() else { return };
                if let Err(error) = session.lock().await.execute("DO 1").await {
                    tracing::warn!(%error, "a connection that holds a lock is gone");
                    return;
                }
            }
        });
        Kept { session, keeper, until }
    }

    /// From when on the connection isn't spoken to any more by itself, so that the server drops it
    /// even if the rest of this process hangs (a disk that doesn't answer).
    pub(super) fn until(&self, last: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    pub(crate) async fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
