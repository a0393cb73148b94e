//! How many workers may begin chunks: held down while the source or the target has enough to do, or
//! somebody said so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Throttle,
    engine::Context,
    error::Result,
    event::Events,
    mysql::{ServerUrl, Session, Side},
};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Who may begin chunks.
#[derive(Debug)]
pub(super) struct Governor {
    allowed: watch::Sender<usize>,
    /// Nothing is left to begin.
    over: CancellationToken,
    /// The slowest commit since the last look, in microseconds; 0: none.
    slowest: AtomicU64,
}

/// Looks until it is dropped.
pub(super) struct Looking(JoinHandle<()>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Governor {
    /// Lets as many begin as the bounds allow without anything measured, and looks from now on.
    ///
    /// # Errors
    /// As [`Throttle::said`].
    pub fn begin(context: &Context, threads: usize) -> Result<(Arc<Governor>, Looking)> {
        let bounds = context.config.copy.throttle.in_force(&context.directory)?;
        if bounds != Throttle::default() {
            context.events.info(format!("the copy goes {bounds} (`daybreak throttle`)"));
        }
        // The source is asked before anything begins.
        let first = match bounds.max_source_load {
            Some(_) => 0,
            None => bounds.next(0, threads, None, None),
        };
        let governor = Arc::new(Governor {
            allowed: watch::Sender::new(first),
            over: CancellationToken::new(),
            slowest: AtomicU64::new(0),
        });
        let look = Look {
            governor: governor.clone(),
            threads,
            configured: context.config.copy.throttle.clone(),
            directory: context.directory.clone(),
            source: context.config.source.clone(),
            events: context.events.clone(),
            session: None,
            bounds,
            waiting: false,
        };
        Ok((governor, Looking(tokio::spawn(look.on()))))
    }

    /// Waits until this worker, counted from 0, may ask for a chunk, or there is none.
    pub async fn admit(&self, worker: usize) {
        tokio::select! {
            () = self.at_least(worker + 1) => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Waits, for whoever has a chunk in hand, until one may be begun.
    pub async fn let_begin(&self) {
        self.at_least(1).await;
    }

    async fn at_least(&self, workers: usize) {
        let mut allowed = self.allowed.subscribe();
        // The sender lives in `self`.
        _ = allowed.wait_for(|allowed| *allowed >= workers).await;
    }

    /// A commit took so long.
    pub fn committed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.slowest.fetch_max(micros, Ordering::Relaxed);
    }

    /// Nothing is left to begin: nobody is held back from seeing that.
    pub fn over(&self) {
        self.over.cancel();
    }
}

struct Look {
    governor: Arc<Governor>,
    threads: usize,
    configured: Throttle,
    directory: std::path::PathBuf,
    source: ServerUrl,
    events: Events,
    session: Option<Session>,
    bounds: Throttle,
    /// Whether it was told that the copy waits.
    waiting: bool,
}

impl Look {
    async fn on(mut self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.listen();
            let load = match self.bounds.max_source_load {
                Some(_) => self.load().await,
                None => None,
            };
            let slowest = self.governor.slowest.swap(0, Ordering::Relaxed);
            let commit = (slowest > 0).then(|| Duration::from_micros(slowest));
            let now = *self.governor.allowed.borrow();
            let then = self.bounds.next(now, self.threads, load, commit);
            if then != now {
                self.governor.allowed.send_replace(then);
            }
            self.tell(now, then, load, commit);
        }
    }

    /// Heeds what was said since the last look.
    fn listen(&mut self) {
        let bounds = match self.configured.in_force(&self.directory) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::debug!(%error, "the bounds stay as they were");
                return;
            }
        };
        if bounds != self.bounds {
            self.events.info(format!("the copy goes {bounds}, as was said"));
            self.bounds = bounds;
        }
    }

    /// How many threads run at the source; none if it can't be asked now.
    async fn load(&mut self) -> Option<u64> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match Session::open(&self.source, Side::Source).await {
                Ok(session) => session,
                Err(error) => {
                    tracing::info!(%error, "the source's load can't be asked for");
                    return None;
                }
            },
        };
        let session = self.session.insert(session);
        let asked = session.row("SHOW GLOBAL STATUS LIKE 'Threads_running'").await;
        let load = asked.and_then(|row| match row {
            Some(row) => session.column::<u64>(&row, 1),
            None => Ok(None),
        });
        load.unwrap_or_else(|error| {
            tracing::info!(%error, "the source's load can't be asked for");
            self.session = None;
            None
        })
    }

    fn tell(&mut self, now: usize, then: usize, load: Option<u64>, commit: Option<Duration>) {
        let threads = self.threads;
        let waited = std::mem::replace(&mut self.waiting, then == 0);
        if then == 0 && waited {
            return;
        }
        if then == 0 && self.bounds.paused {
            self.events.warn(
                "the copy is paused, and its snapshot stays open: the source keeps old versions of rows for it; \
                 `daybreak throttle --go` goes on",
            );
        } else if then == 0 {
            self.events.warn(format!(
                "the copy waits: {} threads run at the source, more than {}",
                load.unwrap_or_default(),
                self.bounds.max_source_load.unwrap_or_default()
            ));
        } else if waited {
            self.events.info(format!("the copy goes on: {then} of {threads} workers"));
        } else if then != now {
            self.events.detail(format!(
                "{then} of {threads} workers copy ({} threads run at the source; the slowest commit took {} ms)",
                load.map_or_else(|| "?".to_string(), |load| load.to_string()),
                commit.map_or_else(|| "?".to_string(), |took| took.as_millis().to_string())
            ));
        }
    }
}
