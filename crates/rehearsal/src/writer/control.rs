//! The two small files between the conductor and the writer: control in, status out.
//!
//! Owns polling, replacing files in one step, and the application's view of the write stop.
//! The status never holds a password: endpoints are host and port only.

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mysql_async::Opts;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::{WriterError, file};

/// How often the control file is read.
const POLL: Duration = Duration::from_millis(20);
/// How often the status is written.
const PUBLISH: Duration = Duration::from_millis(250);

/// What the conductor wants. Kept in a file of mode 0600, since the URL holds a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The server to write to.
    pub url: String,
    /// Starts no new transaction while true.
    #[serde(default)]
    pub paused: bool,
    /// Finish and exit.
    #[serde(default)]
    pub stop: bool,
    /// Raised by the conductor to measure gaps anew from here.
    #[serde(default)]
    pub gap_mark: u64,
}

impl Control {
    /// Replaces the file in one step.
    pub(super) fn write(&self, path: &Path) -> Result<(), WriterError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        replace(path, &text).map_err(file("writing the control file", path))
    }

    fn read(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read(path)?;
        serde_json::from_slice(&text).map_err(std::io::Error::other)
    }
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut new = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(content)?;
    std::fs::rename(&beside, path)
}

/// Where to write to, as understood from the control file.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) opts: Opts,
    /// Grows with every change of the URL.
    pub(super) generation: u64,
    pub(super) paused: bool,
    pub(super) stop: bool,
    gap_mark: u64,
}

impl Target {
    pub(super) fn endpoint(&self) -> String {
        format!("{}:{}", self.opts.ip_or_hostname(), self.opts.tcp_port())
    }
}

/// The control file, watched.
#[derive(Clone)]
pub(super) struct Watch {
    sender: Arc<watch::Sender<Target>>,
    look_now: Arc<Notify>,
}

impl Watch {
    /// Reads the file once, then keeps reading it in a task; listens for SIGTERM as well.
    pub(super) async fn start(path: &Path) -> Result<Self, WriterError> {
        let mut last = Control::read(path).map_err(file("reading the control file", path))?;
        let first = Target {
            opts: Opts::from_url(&last.url).map_err(WriterError::Url)?,
            generation: 0,
            paused: last.paused,
            stop: last.stop,
            gap_mark: last.gap_mark,
        };
        let watch =
            Self { sender: Arc::new(watch::Sender::new(first)), look_now: Arc::new(Notify::new()) };
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|e| WriterError::Ended(e.to_string()))?;
        let (path, task) = (path.to_owned(), watch.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = task.look_now.notified() => {}
                    _ = term.recv() => { task.stop(); continue; }
                }
                // A file that is missing or half understood leaves everything as it was.
                let Ok(now) = Control::read(&path) else { continue };
                if now != last {
                    task.apply(&last, &now);
                    last = now;
                }
            }
        });
        Ok(watch)
    }

    fn apply(&self, last: &Control, now: &Control) {
        self.sender.send_modify(|target| {
            if now.url != last.url
                && let Ok(opts) = Opts::from_url(&now.url)
            {
                target.opts = opts;
                target.generation += 1;
            }
            target.paused = now.paused;
            target.stop |= now.stop;
            target.gap_mark = now.gap_mark;
        });
    }

    pub(super) fn stop(&self) {
        self.sender.send_modify(|target| target.stop = true);
    }

    pub(super) fn now(&self) -> Target {
        self.sender.borrow().clone()
    }

    pub(super) fn receiver(&self) -> watch::Receiver<Target> {
        self.sender.subscribe()
    }

    /// Reads the file at once and leaves the reader a moment for it.
    pub(super) async fn look(&self, at_most: Duration) {
        self.look_now.notify_one();
        let mut receiver = self.receiver();
        // Whichever comes first: the caller tries again with whatever is current.
        tokio::select! {
            _ = receiver.changed() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }
}

/// What the writer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Acknowledged commits, those of earlier runs over the same ledger included.
    pub committed: u64,
    /// Commits over the last second.
    pub rate: f64,
    /// Where the workers write, `host:port`.
    pub endpoint: String,
    /// Commits of this run by endpoint.
    pub by_endpoint: BTreeMap<String, u64>,
    /// Failed attempts by error number (0: the connection).
    pub errors: BTreeMap<u16, u64>,
    /// The last failure, and when (milliseconds since 1970).
    pub last_error: Option<(u64, String)>,
    /// The longest time between two acknowledged commits, in milliseconds, pauses left out.
    pub longest_gap_ms: f64,
    /// When that gap began (milliseconds since 1970).
    pub longest_gap_at: u64,
    /// Milliseconds since the last acknowledged commit.
    pub current_gap_ms: f64,
    /// The mark from which gaps are measured.
    pub gap_mark: u64,
    /// Whether the writer is paused.
    pub paused: bool,
    /// The process.
    pub pid: u32,
    /// When this was written (milliseconds since 1970).
    pub at: u64,
}

struct Inner {
    status: Status,
    last_commit: Option<(Instant, u64)>,
    second: (Instant, u64),
}

/// Counts what the workers do.
pub(super) struct Tally {
    path: PathBuf,
    inner: Mutex<Inner>,
}

pub(super) fn unix_millis() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Tally {
    pub(super) fn new(path: &Path, committed: u64) -> Self {
        let status = Status { committed, pid: std::process::id(), ..Status::default() };
        Self {
            path: path.to_owned(),
            inner: Mutex::new(Inner {
                status,
                last_commit: None,
                second: (Instant::now(), committed),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn committed(&self, endpoint: &str) {
        let inner = &mut *self.inner();
        inner.status.committed += 1;
        match inner.status.by_endpoint.get_mut(endpoint) {
            Some(count) => *count += 1,
            None => {
                inner.status.by_endpoint.insert(endpoint.to_owned(), 1);
            }
        }
        let now = (Instant::now(), unix_millis());
        if let Some((last, at)) = inner.last_commit {
            let gap = now.0.duration_since(last).as_secs_f64() * 1000.0;
            if gap > inner.status.longest_gap_ms {
                inner.status.longest_gap_ms = gap;
                inner.status.longest_gap_at = at;
            }
        }
        inner.last_commit = Some(now);
    }

    pub(super) fn failed(&self, number: u16, text: String) {
        let inner = &mut *self.inner();
        *inner.status.errors.entry(number).or_default() += 1;
        inner.status.last_error = Some((unix_millis(), text));
    }

    /// Replaces the status file; what can't be written is tried again a moment later.
    pub(super) fn write(&self, watch: &Watch) {
        let target = watch.now();
        let text = {
            let inner = &mut *self.inner();
            let seconds = inner.second.0.elapsed().as_secs_f64();
            if seconds >= 1.0 {
                inner.status.rate = (inner.status.committed - inner.second.1) as f64 / seconds;
                inner.second = (Instant::now(), inner.status.committed);
            }
            if target.gap_mark != inner.status.gap_mark {
                inner.status.gap_mark = target.gap_mark;
                inner.status.longest_gap_ms = 0.0;
                inner.status.longest_gap_at = 0;
            }
            if target.paused {
                inner.last_commit = None;
            }
            inner.status.current_gap_ms =
                inner.last_commit.map_or(0.0, |(at, _)| at.elapsed().as_secs_f64() * 1000.0);
            inner.status.paused = target.paused;
            inner.status.endpoint = target.endpoint();
            inner.status.at = unix_millis();
            serde_json::to_vec(&inner.status).unwrap_or_default()
        };
        if let Err(error) = replace(&self.path, &text) {
            tracing::warn!(%error, "the status file could not be written");
        }
    }
}

pub(super) async fn publish(tally: Arc<Tally>, watch: Watch) {
    let mut tick = tokio::time::interval(PUBLISH);
    loop {
        tick.tick().await;
        tally.write(&watch);
    }
}
