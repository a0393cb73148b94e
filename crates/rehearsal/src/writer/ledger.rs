//! The ledger: what the writer meant to commit, and what was acknowledged.
//!
//! Append-only JSON lines. An `intent` is on disk before its COMMIT is sent, an `ack` before the
//! worker goes on; one thread writes for all workers and shares each fdatasync among them.
//! A torn last line is what a kill leaves behind and is cut off; damage elsewhere is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::sync::oneshot;

use super::{WriterError, file, rows::Change};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LineKind {
    /// The ledger's first line.
    Begin,
    /// A transaction, before its COMMIT.
    Intent,
    /// That transaction was committed.
    Ack,
    /// A later run made sure that the transaction can't be committed any more.
    Abandoned,
}

/// What a ledger's runs have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begin {
    /// Workers of this ledger are numbered from here.
    pub(super) first_worker: u32,
    /// Own ids lie above this number.
    pub(super) base: u64,
    /// Rows that the generator made are numbered up to these.
    pub(super) customers: u64,
    pub(super) products: u64,
    pub(super) stocked: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Line<C> {
    pub(super) k: LineKind,
    #[serde(default)]
    pub(super) w: u32,
    #[serde(default)]
    pub(super) s: u64,
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub(super) c: Option<C>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) begin: Option<Begin>,
}

fn none<C>() -> Option<C> {
    None
}

fn line(k: LineKind, w: u32, s: u64, c: Option<&[Change]>, begin: Option<Begin>) -> Vec<u8> {
    let line = Line { k, w, s, c, begin };
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// What a ledger says without the contents of its transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) begin: Option<Begin>,
    pub(super) acknowledged: u64,
    /// Intents with neither acknowledgement nor abandonment.
    pub(super) open: BTreeSet<(u32, u64)>,
    pub(super) abandoned: BTreeSet<(u32, u64)>,
    /// The highest number of each worker.
    pub(super) last: BTreeMap<u32, u64>,
    /// Bytes up to the end of the last whole line.
    whole: u64,
}

impl Past {
    fn learn(&mut self, line: Line<IgnoredAny>) -> Result<(), String> {
        let id = (line.w, line.s);
        match line.k {
            LineKind::Begin => {
                if self.begin.is_some() || line.begin.is_none() {
                    return Err("a second or empty beginning".to_owned());
                }
                self.begin = line.begin;
            }
            LineKind::Intent => {
                let last = self.last.entry(line.w).or_default();
                if line.s != *last + 1 {
                    return Err(format!(
                        "transaction {} of worker {} follows {last}",
                        line.s, line.w
                    ));
                }
                *last = line.s;
                self.open.insert(id);
            }
            LineKind::Ack | LineKind::Abandoned => {
                if !self.open.remove(&id) {
                    return Err(format!("{:?} without an open intent", line.k));
                }
                if line.k == LineKind::Ack {
                    self.acknowledged += 1;
                } else {
                    self.abandoned.insert(id);
                }
            }
        }
        Ok(())
    }

    pub(super) fn read(path: &Path) -> Result<Self, WriterError> {
        let mut past = Self::default();
        past.whole = each_line(path, |text| {
            let line = serde_json::from_slice(text).map_err(|e| e.to_string())?;
            past.learn(line)
        })?;
        Ok(past)
    }
}

/// Calls `take` for every whole line; returns the bytes that these lines fill.
pub(super) fn each_line(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<u64, WriterError> {
    let mut reader = BufReader::with_capacity(
        1 << 20,
        File::open(path).map_err(file("opening the ledger", path))?,
    );
    let (mut text, mut number, mut whole) = (Vec::new(), 0, 0);
    loop {
        text.clear();
        let read = reader.read_until(b'\n', &mut text).map_err(file("reading the ledger", path))?;
        if text.last() != Some(&b'\n') {
            return Ok(whole);
        }
        number += 1;
        whole += read as u64;
        take(&text[..read - 1]).map_err(|what| WriterError::LedgerDamaged {
            path: path.to_owned(),
            line: number,
            what,
        })?;
    }
}

type Synced = oneshot::Receiver<Result<(), Arc<std::io::Error>>>;
type Job = (Vec<u8>, oneshot::Sender<Result<(), Arc<std::io::Error>>>);

/// A line on its way to the disk.
pub(super) struct Pending {
    path: PathBuf,
    synced: Option<Synced>,
}

impl Pending {
    /// Waits until the line is on disk; at once if that was already seen.
    pub(super) async fn on_disk(&mut self) -> Result<(), WriterError> {
        let Some(synced) = self.synced.as_mut() else {
            return Ok(());
        };
        let outcome = synced.await;
        match outcome {
            Ok(Ok(())) => {
                self.synced = None;
                Ok(())
            }
            Ok(Err(error)) => Err(WriterError::File {
                what: "writing the ledger",
                path: self.path.clone(),
                source: std::io::Error::new(error.kind(), error),
            }),
            Err(_) => Err(WriterError::Ended("the ledger's thread".to_owned())),
        }
    }
}

/// The ledger, open for appending.
pub(super) struct Ledger {
    path: PathBuf,
    sender: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens or creates the ledger, cuts off a torn last line, and tells what is in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Past), WriterError> {
        let file_ = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(file("opening the ledger", path))?;
        if file_.try_lock().is_err() {
            return Err(WriterError::LedgerInUse(path.to_owned()));
        }
        let past = Past::read(path)?;
        file_.set_len(past.whole).map_err(file("cutting off a torn line of the ledger", path))?;
        let (sender, jobs) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write_all(file_, &jobs))
            .map_err(file("starting the thread of the ledger", path))?;
        let ledger = Self {
            path: path.to_owned(),
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        };
        Ok((ledger, past))
    }

    fn append(&self, text: Vec<u8>) -> Pending {
        let (done, synced) = oneshot::channel();
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            // If the thread is gone, `done` is dropped with the job and on_disk() says so.
            let _ = sender.send((text, done));
        }
        Pending { path: self.path.clone(), synced: Some(synced) }
    }

    pub(super) fn begin(&self, begin: Begin) -> Pending {
        self.append(line(LineKind::Begin, 0, 0, None, Some(begin)))
    }

    pub(super) fn intent(&self, worker: u32, seq: u64, changes: &[Change]) -> Pending {
        self.append(line(LineKind::Intent, worker, seq, Some(changes), None))
    }

    pub(super) fn ack(&self, worker: u32, seq: u64) -> Pending {
        self.append(line(LineKind::Ack, worker, seq, None, None))
    }

    pub(super) fn abandoned(&self, worker: u32, seq: u64) -> Pending {
        self.append(line(LineKind::Abandoned, worker, seq, None, None))
    }

    /// Writes what is left and ends the thread.
    pub(super) async fn close(&self) -> Result<(), WriterError> {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            tokio::task::spawn_blocking(move || thread.join())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or_else(|| WriterError::Ended("the ledger's thread".to_owned()))?;
        }
        Ok(())
    }
}

fn write_all(mut file: File, jobs: &mpsc::Receiver<Job>) {
    while let Ok((mut text, first)) = jobs.recv() {
        let mut waiting = vec![first];
        while let Ok((more, done)) = jobs.try_recv() {
            text.extend_from_slice(&more);
            waiting.push(done);
        }
        let outcome = file.write_all(&text).and_then(|()| file.sync_data()).map_err(Arc::new);
        let failed = outcome.is_err();
        for done in waiting {
            // A worker that was stopped no longer listens.
            let _ = done.send(outcome.clone());
        }
        if failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_torn_line_is_cut_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        let begin = Begin { first_worker: 1, base: 10, customers: 1, products: 1, stocked: 1 };
        let (ledger, _) = Ledger::open(&path).expect("opens");
        assert!(matches!(Ledger::open(&path), Err(WriterError::LedgerInUse(_))));
        ledger.begin(begin.clone()).on_disk().await.expect("written");
        for seq in 1..=2 {
            ledger.intent(1, seq, &[]).on_disk().await.expect("written");
        }
        ledger.ack(1, 1).on_disk().await.expect("written");
        ledger.close().await.expect("closes");
        let whole = std::fs::read(&path).expect("reads");
        std::fs::write(&path, [&whole[..], b"{\"k\":\"ack\",\"w\""].concat()).expect("writes");

        let (ledger, past) = Ledger::open(&path).expect("opens again");
        ledger.close().await.expect("closes");
        assert_eq!(past.begin, Some(begin));
        assert_eq!((past.acknowledged, past.last[&1]), (1, 2));
        assert_eq!(past.open, BTreeSet::from([(1, 2)]));
        assert_eq!(std::fs::read(&path).expect("reads"), whole);
    }

    #[test]
    fn damage_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        std::fs::write(&path, "{\"k\":\"ack\",\"w\":1,\"s\":1}\n").expect("writes");
        let error = Past::read(&path).expect_err("no intent");
        assert!(matches!(error, WriterError::LedgerDamaged { line: 1, .. }));
    }
}
