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

use super::replicas::{Lag, Replicas};
use crate::{
    config::{CopyConfig, Measured, Throttle},
    engine::Context,
    error::Result,
    event::Events,
    mysql::{ServerUrl, Session, Side},
};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many workers there are. Each has a connection to the target, and while rows move one of the
/// source's as well: as many as move at once are one number, how many there must be so that others
/// commit meanwhile is another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaders {
    readers: usize,
    fixed: Option<usize>,
}

impl Loaders {
    pub fn of(copy: &CopyConfig) -> Self {
        Loaders { readers: copy.threads.max(1), fixed: copy.load_threads }
    }

    /// The most there can be.
    pub fn most(&self) -> usize {
        self.fixed.unwrap_or(2 * self.readers)
    }

    /// How many the copy doesn't do without.
    pub fn sure(&self) -> usize {
        self.fixed.unwrap_or(self.readers)
    }

    /// How many there shall be, when rows moved for so long in all, and commits took so long in all: so
    /// many more than readers as would be found in a commit.
    fn wanted(&self, moving: Duration, committing: Duration) -> usize {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let share = match moving.is_zero() {
            true => 0.0,
            false => committing.as_secs_f64() / moving.as_secs_f64(),
        };
        let more = (self.readers as f64 * share).ceil() as usize;
        self.readers + more.clamp(1, self.readers)
    }
}

/// Who may begin chunks.
#[derive(Debug)]
pub(super) struct Governor {
    allowed: watch::Sender<usize>,
    /// Fewer are allowed than there would be without bounds.
    hindered: watch::Sender<bool>,
    /// Nothing is left to begin.
    over: CancellationToken,
    /// The slowest commit since the last look, in microseconds; 0: none.
    slowest: AtomicU64,
    /// How long all commits took, and all moving of rows, in microseconds.
    committing: AtomicU64,
    moving: AtomicU64,
}

/// How long a server may take to answer; what is said meanwhile is heeded afterwards.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

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
    /// As [`Throttle::said`]; a replica that can't be asked.
    pub async fn begin(context: &Context, loaders: Loaders) -> Result<(Arc<Governor>, Looking)> {
        let bounds = context.config.copy.throttle.in_force(&context.directory)?;
        if bounds != Throttle::default() {
            context.events.info(format!("the copy goes {bounds} (`daybreak throttle`)"));
        }
        let mut replicas = Replicas::new(&context.config.copy.replicas);
        if bounds.max_replica_lag_millis.is_some() {
            replicas.check().await?;
        }
        let wanted = loaders.wanted(Duration::ZERO, Duration::ZERO);
        let first = match bounds.asks() {
            true => 0,
            false => bounds.next(0, wanted, &Measured::default()),
        };
        let governor = Arc::new(Governor {
            allowed: watch::Sender::new(first),
            hindered: watch::Sender::new(first < wanted),
            over: CancellationToken::new(),
            slowest: AtomicU64::new(0),
            committing: AtomicU64::new(0),
            moving: AtomicU64::new(0),
        });
        let look = Look {
            governor: governor.clone(),
            loaders,
            configured: context.config.copy.throttle.clone(),
            directory: context.directory.clone(),
            source: context.config.source.clone(),
            events: context.events.clone(),
            session: None,
            replicas,
            bounds,
            waiting: false,
        };
        Ok((governor, Looking(tokio::spawn(look.on()))))
    }

    /// Waits until this worker, counted from 0, may ask for a chunk; false when there is none left.
    pub async fn admit(&self, worker: usize) -> bool {
        tokio::select! {
            () = self.at_least(worker + 1) => !self.over.is_cancelled(),
            () = self.over.cancelled() => false,
        }
    }

    /// Waits, for whoever has a chunk in hand, until one may be begun.
    pub async fn let_begin(&self) {
        self.at_least(1).await;
    }

    /// Waits until nothing holds the copy back: who has more to do than that waits with it.
    pub async fn unhindered(&self) {
        let mut hindered = self.hindered.subscribe();
        // The sender lives in `self`.
        _ = hindered.wait_for(|hindered| !hindered).await;
    }

    async fn at_least(&self, workers: usize) {
        let mut allowed = self.allowed.subscribe();
        // The sender lives in `self`.
        _ = allowed.wait_for(|allowed| *allowed >= workers).await;
    }

    /// A commit took so long.
    pub fn committed(&self, took: Duration) {
        let micros = micros(took);
        self.slowest.fetch_max(micros, Ordering::Relaxed);
        self.committing.fetch_add(micros, Ordering::Relaxed);
    }

    /// A chunk's rows took so long from the one side to the other.
    pub fn moved(&self, took: Duration) {
        self.moving.fetch_add(micros(took), Ordering::Relaxed);
    }

    /// Nothing is left to begin: nobody is held back from seeing that.
    pub fn over(&self) {
        self.over.cancel();
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1)
}

struct Look {
    governor: Arc<Governor>,
    loaders: Loaders,
    configured: Throttle,
    directory: std::path::PathBuf,
    source: ServerUrl,
    events: Events,
    session: Option<Session>,
    replicas: Replicas,
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
            let lag = match self.bounds.max_replica_lag_millis {
                Some(_) => self.replicas.worst().await,
                None => None,
            };
            let slowest = self.governor.slowest.swap(0, Ordering::Relaxed);
            let commit = (slowest > 0).then(|| Duration::from_micros(slowest));
            let measured = Measured { load, commit, lag: lag.as_ref().map(|lag| lag.behind) };
            let now = *self.governor.allowed.borrow();
            let sum = |of: &AtomicU64| Duration::from_micros(of.load(Ordering::Relaxed));
            let governor = &self.governor;
            let wanted = self.loaders.wanted(sum(&governor.moving), sum(&governor.committing));
            let then = self.bounds.next(now, wanted, &measured);
            if then != now {
                self.governor.allowed.send_replace(then);
            }
            self.governor.hindered.send_replace(then < wanted);
            self.tell((now, then, wanted), &measured, lag.as_ref());
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

    /// How many threads run at the source; none if it can't be asked now, or doesn't answer.
    async fn load(&mut self) -> Option<u64> {
        match tokio::time::timeout(ANSWER, self.ask_load()).await {
            Ok(load) => load,
            Err(_) => {
                self.session = None;
                None
            }
        }
    }

    async fn ask_load(&mut self) -> Option<u64> {
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

    fn tell(
        &mut self,
        (now, then, wanted): (usize, usize, usize),
        measured: &Measured,
        lag: Option<&Lag>,
    ) {
        let waited = std::mem::replace(&mut self.waiting, then == 0);
        if then == 0 && waited {
            return;
        }
        if then == 0 && self.bounds.paused {
            self.events.warn(
                "the copy is paused, and its snapshot stays open: the source keeps old versions of rows for it; \
                 `daybreak throttle --go` goes on",
            );
        } else if then == 0 && self.bounds.is_behind(measured) {
            let lag = lag.map(Lag::to_string).unwrap_or_default();
            self.events.warn(format!(
                "the copy waits: {lag}; without that bound: `daybreak throttle --max-replica-lag off`"
            ));
        } else if then == 0 {
            self.events.warn(format!(
                "the copy waits: {} threads run at the source, more than {}",
                measured.load.unwrap_or_default(),
                self.bounds.max_source_load.unwrap_or_default()
            ));
        } else if waited {
            self.events.info(format!("the copy goes on: {then} of {wanted} workers"));
        } else if then != now {
            let mut why = format!("{then} of {wanted} workers copy");
            if let Some(load) = measured.load {
                why += &format!("; {load} threads run at the source");
            }
            if let Some(took) = measured.commit {
                why += &format!("; the slowest commit took {} ms", took.as_millis());
            }
            if let Some(lag) = lag {
                why += &format!("; {lag}");
            }
            self.events.detail(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_commits_is_made_up_for() {
        let auto = Loaders { readers: 8, fixed: None };
        let seconds = Duration::from_secs;
        for (moving, committing, wanted) in
            [(0, 0, 9), (100, 1, 9), (100, 20, 10), (100, 50, 12), (100, 100, 16), (1, 100, 16)]
        {
            assert_eq!(auto.wanted(seconds(moving), seconds(committing)), wanted, "{committing}");
        }
        assert_eq!((auto.sure(), auto.most()), (8, 16));
        let fixed = Loaders { readers: 8, fixed: Some(3) };
        assert_eq!((fixed.wanted(seconds(1), seconds(100)), fixed.most()), (3, 3));
        assert_eq!(fixed.sure(), 3);
    }
}
