//! What every step is given: the configuration, the journal, where events go, and the word to stop.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Journal, Plan};
use crate::{
    config::Config,
    error::{Error, Kind, Result},
    event::Events,
    mysql::{ServerUrl, Session, Side},
    source::lock::WriteLock,
};

/// The step that makes the target, and the checkpoint by which it says where that answers.
pub const RESTORE: &str = "restore";
/// See [`RESTORE`].
pub const ENDPOINT: &str = "endpoint";

/// Where a server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The server's identity.
    pub server_uuid: String,
}

/// The target's URL, and, where the migration made the target, the identity that it had then.
pub fn target_of(config: &Config, journal: &Journal) -> Result<(ServerUrl, Option<String>)> {
    let url = config.target.clone();
    let Some(endpoint) = journal.recall::<Endpoint>(RESTORE, ENDPOINT)? else {
        return Ok((url, None));
    };
    Ok((url.moved_to(endpoint.host, endpoint.port), Some(endpoint.server_uuid)))
}

/// Why the work should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for a pause.
    Pause,
    /// Ctrl-C or SIGTERM.
    Interrupt,
}

/// The word to stop, shared by whoever listens for signals and whoever works.
#[derive(Debug, Clone, Default)]
pub struct StopSignal {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

impl StopSignal {
    /// Asks all work to stop at its next safe point.
    pub fn stop(&self, reason: StopReason) {
        self.reason.store(if reason == StopReason::Pause { 1 } else { 2 }, Ordering::SeqCst);
        self.token.cancel();
    }

    /// Returns when a stop is asked for.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// An error of kind `Paused` or `Interrupted` once a stop was asked for. Long work calls this at
    /// its safe points.
    pub fn check(&self) -> Result<()> {
        if !self.token.is_cancelled() {
            return Ok(());
        }
        Err(match self.reason.load(Ordering::SeqCst) {
            1 => Error::new(Kind::Paused, "paused, as asked"),
            _ => Error::new(Kind::Interrupted, "interrupted"),
        })
    }
}

/// What every step is given.
pub struct Context {
    /// The configuration, validated.
    pub config: Config,
    /// The migration's directory.
    pub directory: PathBuf,
    /// The journal.
    pub journal: Arc<Journal>,
    /// Where events go.
    pub events: Events,
    /// The word to stop.
    pub stop: StopSignal,
    /// The lock that keeps the source closed for as long as this process lives. Held across steps
    /// only where writes stop before the copy (`replication.mode = "none"`).
    pub write_lock: tokio::sync::Mutex<Option<WriteLock>>,
}

impl Context {
    /// A new connection to the source.
    pub async fn source(&self) -> Result<Session> {
        Session::open(&self.config.source, Side::Source).await
    }

    /// A new connection to the target.
    pub async fn target(&self) -> Result<Session> {
        Session::open(&self.target_url()?, Side::Target).await
    }

    /// The target: as it was configured, or where the cluster that this migration restored answers.
    pub fn target_url(&self) -> Result<ServerUrl> {
        Ok(target_of(&self.config, &self.journal)?.0)
    }

    /// The plan in force.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        self.journal.plan()
    }
}
