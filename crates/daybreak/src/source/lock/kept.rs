//! A connection whose being there is what counts: it is kept from being dropped for idleness while
//! this process lives, and dropped by the server soon after this machine dies.

use std::{sync::Arc, time::Duration};

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
}

impl Kept {
    pub(crate) async fn new(mut session: Session) -> Result<Self> {
        session.execute(format!("SET SESSION wait_timeout = {IDLE_SECONDS}")).await?;
        let session = Arc::new(Mutex::new(session));
        let weak = Arc::downgrade(&session);
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(session) = weak.upgrade() else { return };
                if let Err(error) = session.lock().await.execute("DO 1").await {
                    tracing::warn!(%error, "a connection that holds a lock is gone");
                    return;
                }
            }
        });
        Ok(Kept { session, keeper })
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
