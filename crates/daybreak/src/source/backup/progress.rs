//! Tells where a running backup stands: bytes against the size of the data, how far the copy of the redo
//! log is behind the server, and the time left.
//!
//! A full backup writes what it is to hold, beside little else; what it reads says less, since the redo
//! log is read over and over. An incremental one reads all pages to write few.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    event::{Event, Events, Unit},
    mysql::{ServerUrl, Session, Side},
};

/// The task's name in events.
pub(super) const TASK: &str = "backup";

/// How often the server is asked for its LSN.
const ASK: Duration = Duration::from_secs(2);

/// Before this much time a rate says nothing.
const SETTLED: Duration = Duration::from_secs(2);

/// The figures of one backup.
#[derive(Debug)]
pub(super) struct Progress {
    events: Events,
    name: String,
    total: u64,
    full: bool,
    process: Option<u32>,
    began: Instant,
    scanned: Option<u64>,
    file: String,
    server: Arc<AtomicU64>,
    asking: tokio::task::JoinHandle<()>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Progress {
    /// Begins to tell of the tool in a process.
    pub(super) fn new(
        events: &Events,
        name: &str,
        total: u64,
        full: bool,
        process: Option<u32>,
        url: &ServerUrl,
    ) -> Self {
        let server = Arc::new(AtomicU64::new(0));
        let asking = tokio::spawn(ask(url.clone(), server.clone()));
        Progress {
            events: events.clone(),
            name: name.into(),
            total,
            full,
            process,
            began: Instant::now(),
            scanned: None,
            file: String::new(),
            server,
            asking,
        }
    }

    /// Takes a line of the tool's log.
    pub(super) fn line(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("log scanned up to (") {
            self.scanned = rest.split(')').next().and_then(|lsn| lsn.parse().ok());
        } else if let Some((_, rest)) =
            line.split_once("Copying ").or_else(|| line.split_once("Streaming "))
        {
            let file = rest.split(" to ").next().unwrap_or(rest);
            self.file = file.trim_start_matches("./").to_string();
        }
        tracing::debug!(backup = self.name, "{line}");
    }

    /// Sends the figures.
    pub(super) fn tick(&self) {
        let Some(moved) = self.process.and_then(|process| moved(process, self.full)) else {
            return;
        };
        // The redo log is copied as well, which isn't counted in the size.
        let done = moved.min(self.total);
        let mut now = vec![self.name.clone()];
        if !self.file.is_empty() {
            now.push(self.file.clone());
        }
        let server = self.server.load(Ordering::Relaxed);
        if let Some(scanned) = self.scanned
            && server > 0
        {
            let behind = server.saturating_sub(scanned);
            now.push(format!("redo log {} behind", crate::transit::staging::size(behind)));
        }
        if let Some(left) = time_left(self.began.elapsed(), done, self.total) {
            now.push(format!("about {} s left", left.as_secs().max(1)));
        }
        self.events.send(Event::Progress {
            task: TASK.into(),
            now: now.join(", "),
            done,
            total: Some(self.total),
            unit: Unit::Bytes,
            bytes: moved,
        });
    }
}

/// What is left at the rate so far; none before there is a rate.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    if elapsed < SETTLED || done == 0 || done >= total {
        return None;
    }
    Some(elapsed.mul_f64((total - done) as f64 / done as f64))
}

/// What a process has written, or read, in whatever way but by mapping.
fn moved(process: u32, written: bool) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let label = if written { "wchar: " } else { "rchar: " };
    text.lines().find_map(|line| line.strip_prefix(label))?.trim().parse().ok()
}

/// Asks the server for its LSN, now and then. A backup doesn't fail because this does.
async fn ask(url: ServerUrl, server: Arc<AtomicU64>) {
    let asking = async {
        let mut session = Session::open(&url, Side::Source).await?;
        loop {
            if let Some(status) = InnodbStatus::read(&mut session).await? {
                server.store(status.lsn, Ordering::Relaxed);
            }
            tokio::time::sleep(ASK).await;
        }
    };
    let done: crate::error::Result<()> = asking.await;
    if let Err(error) = done {
        tracing::info!(%error, "the server's LSN isn't known any more");
    }
}

/// The LSNs of `SHOW ENGINE INNODB STATUS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InnodbStatus {
    /// The end of the redo log.
    pub lsn: u64,
    /// The last checkpoint.
    pub checkpoint: u64,
}

impl InnodbStatus {
    /// Asks a server; none when it doesn't say.
    pub(super) async fn read(session: &mut Session) -> crate::error::Result<Option<Self>> {
        let Some(row) = session.row("SHOW ENGINE INNODB STATUS").await? else { return Ok(None) };
        let text: String = session.field(&row, "Status")?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Option<Self> {
        let after = |label: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(label))?;
            line.trim().parse().ok()
        };
        Some(InnodbStatus {
            lsn: after("Log sequence number ")?,
            checkpoint: after("Last checkpoint at ")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsns_are_read() {
        let text = "---\nLOG\n---\nLog sequence number          23010010\nLog flushed up to   23010010\nPages flushed up to 23007923\nLast checkpoint at  23007923\n";
        let status = InnodbStatus::parse(text).unwrap();
        assert_eq!((status.lsn, status.checkpoint), (23010010, 23007923));
        assert!(InnodbStatus::parse("").is_none());
    }

    #[test]
    fn the_time_left_follows_the_rate() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(10), 25, 100), Some(seconds(30)));
        assert_eq!(time_left(seconds(1), 25, 100), None);
        assert_eq!(time_left(seconds(10), 0, 100), None);
    }
}
