//! A stream that is looked at while it goes on its way: what passes is handed to an inspection too, which
//! reads it once, in constant memory, on a thread of its own.

use std::{
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use bytes::{Buf as _, Bytes};

use super::{
    buffers::Buffers,
    inspect::Survey,
    inspection::{Inspection, Profile},
};
use crate::{
    error::{Error, Kind, Result},
    source::backup::info,
};

/// How many pieces may wait for the inspection.
const WAITING: usize = 4;
/// How many bytes a piece has at most.
const PIECE: usize = 1 << 20;

/// Takes what passes.
#[derive(Debug)]
pub struct Watch {
    pieces: Option<mpsc::SyncSender<Bytes>>,
    verdict: Verdict,
}

/// What the inspection says, once the stream has ended.
#[derive(Debug, Clone)]
pub struct Verdict(Arc<Mutex<Option<std::thread::JoinHandle<Result<Inspection>>>>>);

impl Watch {
    /// Begins. The name is that of the archive, such as `backup.xbstream`.
    ///
    /// # Errors
    /// `Io` when no thread can be started.
    pub fn begin(name: &str, profile: Profile) -> Result<Watch> {
        let (pieces, receiver) = mpsc::sync_channel(WAITING);
        let name = name.to_string();
        let thread = std::thread::Builder::new()
            .name("inspect".into())
            .spawn(move || {
                let stream = Pieces { receiver, now: Bytes::new() };
                Ok(Survey::of_stream(&name, stream)?.judge(profile))
            })
            .map_err(|error| Error::new(Kind::Io, "no thread could be started").because(error))?;
        let verdict = Verdict(Arc::new(Mutex::new(Some(thread))));
        Ok(Watch { pieces: Some(pieces), verdict })
    }

    /// Who says what came of it. It waits until the stream's end was told by dropping the watch.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Bytes that passed. Blocks while the inspection is behind.
    pub fn passed(&mut self, bytes: Bytes) {
        if let Some(pieces) = &self.pieces
            && pieces.send(bytes).is_err()
        {
            // It has seen enough: what it found is told at the end.
            self.pieces = None;
        }
    }
}

impl Verdict {
    /// Waits for it. Blocks. To be asked once.
    ///
    /// # Errors
    /// What went wrong while it was read.
    pub fn wait(&self) -> Result<Inspection> {
        let gone = || Error::new(Kind::Bug, "looking at the stream failed");
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.ok_or_else(gone)?.join().map_err(|_| gone())?
    }
}

/// Whether a stream that was looked at is the backup that its tool says it is: whole, and with the LSNs and
/// coordinates of the files that the tool left in a directory of its own.
///
/// # Errors
/// `Backup`, with what differs.
pub fn agrees(found: &Inspection, files: &Path) -> Result<()> {
    let again = |what: String| {
        Error::new(Kind::Backup, what).next("take the backup again: nothing of this one counts")
    };
    if !found.whole {
        let why = found.blockers().next().map(|finding| finding.why.clone());
        let why = why.unwrap_or_else(|| "something is missing".into());
        return Err(again(format!("what arrived of the stream isn't whole: {why}")));
    }
    let [link] = &found.chain[..] else {
        return Err(again(format!("the stream holds {} backups", found.chain.len())));
    };
    let said = info::checkpoints(files)?;
    let lsns = (said.from_lsn, said.to_lsn, said.last_lsn);
    if (link.from_lsn, link.to_lsn, link.last_lsn) != lsns {
        return Err(again(format!(
            "the stream holds LSN {} to {} (redo to {}), and its tool says {} to {} (redo to {})",
            link.from_lsn, link.to_lsn, link.last_lsn, lsns.0, lsns.1, lsns.2
        )));
    }
    let file = info::coordinates(files)?.and_then(|written| written.coordinates().file);
    let arrived = found.coordinates.as_ref().and_then(|at| at.file.clone());
    if file != arrived {
        let shown = |at: &Option<crate::mysql::FilePosition>| {
            at.as_ref().map_or_else(|| "none".to_string(), ToString::to_string)
        };
        return Err(again(format!(
            "the stream names the coordinates {}, and its tool {}",
            shown(&arrived),
            shown(&file)
        )));
    }
    Ok(())
}

/// A stream that is watched.
pub struct Watched<R> {
    inner: R,
    watch: Option<Watch>,
    buffers: Buffers,
}

impl<R> Watched<R> {
    /// Reads as `inner`, from a thread that may block.
    pub fn new(inner: R, watch: Watch) -> Self {
        Watched { inner, watch: Some(watch), buffers: Buffers::of(PIECE) }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            // Its end: the inspection may come to its own.
            self.watch = None;
        }
        if let Some(watch) = &mut self.watch {
            for piece in buffer[..read].chunks(PIECE) {
                let mut copy = self.buffers.take();
                copy[..piece.len()].copy_from_slice(piece);
                watch.passed(copy.into_bytes(piece.len()));
            }
        }
        Ok(read)
    }
}

/// The pieces as they come.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.now.is_empty() {
            match self.receiver.recv() {
                Ok(piece) => self.now = piece,
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let count = self.now.len().min(into.len());
        self.now.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
