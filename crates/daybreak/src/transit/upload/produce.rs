//! Where parts come from: files, read where they lie; or a thread that reads a stream, packs it and cuts
//! it into parts.

use std::{
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Ended, MAX_HELD, MIB, Source, pass::Shared};
use crate::{
    aws::s3::Payload,
    error::{Error, Kind, Result},
    transit::{
        MAX_TOTAL,
        buffers::Buffers,
        compress::Gzip,
        named::Named,
        split::{self, Cut, Splitter},
        tree::{self, About, Entries},
    },
};

/// How many bytes of a live stream that is to be compressed are read at once.
const BUFFER: usize = 1 << 20;

/// What is to be sent next.
pub(super) enum Piece {
    /// An object in one request.
    Whole {
        /// Which one.
        object: usize,
        /// Its key below the prefix.
        name: Arc<str>,
        /// Its bytes.
        payload: Payload,
    },
    /// A part of an object.
    Part {
        /// Of which one.
        object: usize,
        /// Its key below the prefix.
        name: Arc<str>,
        /// The part, from 1.
        number: u32,
        /// Its bytes.
        payload: Payload,
    },
    /// An object has so many parts.
    End {
        /// Which one.
        object: usize,
        /// Its key below the prefix.
        name: Arc<str>,
        /// How many.
        parts: u32,
    },
}

/// A piece with the right to hold it in memory.
pub(super) type Held = (Piece, Option<OwnedSemaphorePermit>);

/// The work of a pass.
pub(super) enum Work {
    /// Files, one by one.
    Files { root: PathBuf, entries: Arc<Entries> },
    /// A directory as a tar stream, compressed.
    TarGz { root: PathBuf, entries: Arc<Entries>, name: String },
    /// A live stream.
    Stream { name: String, compress: bool, input: Box<dyn Read + Send>, ended: Option<Ended> },
}

impl Work {
    pub fn of(source: Source, root: PathBuf, entries: Arc<Entries>) -> Work {
        match source {
            Source::Tree { .. } | Source::Files { .. } => Work::Files { root, entries },
            Source::TarGz { name, .. } => Work::TarGz { root, entries, name },
            Source::Stream { name, compress, input, ended } => {
                Work::Stream { name, compress, input, ended: Some(ended) }
            }
        }
    }

    /// What says whether a live stream is whole; none where the input can be read again.
    pub fn ended(&mut self) -> Option<Ended> {
        match self {
            Work::Stream { ended, .. } => ended.take(),
            _ => None,
        }
    }

    /// Begins to produce. The second channel tells how it ended.
    pub fn start(
        self,
        shared: Arc<Shared>,
    ) -> Result<(mpsc::Receiver<Held>, oneshot::Receiver<Result<()>>)> {
        let (pieces, receiver) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        match self {
            Work::Files { root, entries } => {
                tokio::spawn(async move {
                    let result = files(&shared, &root, &entries, &pieces).await;
                    // Whoever would hear it may have given up.
                    let _unheard = end.send(result);
                });
            }
            stream => {
                let runtime = tokio::runtime::Handle::current();
                // A thread of its own: reading a live stream may block for as long as it likes.
                std::thread::Builder::new()
                    .name("pack".into())
                    .spawn(move || {
                        let result = pack(stream, &shared, &runtime, &pieces);
                        let _unheard = end.send(result);
                    })
                    .map_err(|error| {
                        Error::new(Kind::Io, "no thread could be started").because(error)
                    })?;
            }
        }
        Ok((receiver, ended))
    }
}

/// Nobody takes pieces any more: why is known where they were taken.
fn unwanted() -> Error {
    Error::new(Kind::Interrupted, "the upload ended")
}

/// How many bytes a part of a file holds.
fn part_of_file(size: u64, part_bytes: u64) -> u64 {
    let least = size.div_ceil(split::MAX_PARTS).next_multiple_of(MIB);
    part_bytes.max(least)
}

async fn files(
    shared: &Shared,
    root: &Path,
    entries: &Entries,
    pieces: &mpsc::Sender<Held>,
) -> Result<()> {
    for (object, entry) in entries.files().enumerate() {
        let path = root.join(entry.name);
        let name: Arc<str> = entry.name.into();
        let whole = entry.about.size;
        let part_bytes = part_of_file(whole, shared.part_bytes);
        if let Some(bytes) = entry.instead {
            let permit = shared.permit(whole).await.ok_or_else(unwanted)?;
            let piece = Piece::Whole { object, name, payload: Payload::Memory(bytes.clone()) };
            pieces.send((piece, Some(permit))).await.map_err(|_| unwanted())?;
            continue;
        }
        let payload =
            |offset: u64, length: u64| Payload::File { path: path.clone(), offset, length };
        if whole <= part_bytes {
            let permit = shared.permit(whole).await.ok_or_else(unwanted)?;
            let piece = Piece::Whole { object, name, payload: payload(0, whole) };
            pieces.send((piece, Some(permit))).await.map_err(|_| unwanted())?;
            continue;
        }
        let mut number = 0;
        let mut offset = 0;
        while offset < whole {
            let length = part_bytes.min(whole - offset);
            number += 1;
            let permit = shared.permit(length).await.ok_or_else(unwanted)?;
            let piece = Piece::Part {
                object,
                name: name.clone(),
                number,
                payload: payload(offset, length),
            };
            pieces.send((piece, Some(permit))).await.map_err(|_| unwanted())?;
            offset += length;
        }
        // A file that grew meanwhile would be cut off.
        let size =
            std::fs::metadata(&path).map_err(|error| Error::from(error).at(path.display()))?;
        if size.size() != whole {
            return Err(Error::from(tree::changed(&path))
                .next("wait until the backup is complete, then the same command again"));
        }
        let piece = Piece::End { object, name, parts: number };
        pieces.send((piece, None)).await.map_err(|_| unwanted())?;
    }
    Ok(())
}

fn pack(
    work: Work,
    shared: &Arc<Shared>,
    runtime: &tokio::runtime::Handle,
    pieces: &mpsc::Sender<Held>,
) -> Result<()> {
    let name = match &work {
        Work::TarGz { name, .. } | Work::Stream { name, .. } => name.clone(),
        Work::Files { .. } => String::new(),
    };
    // The right to fill a part is had before it is filled.
    let permit = || runtime.block_on(shared.permit(shared.part_bytes));
    let mut next = permit();
    let hand_over = |cut: Cut| {
        let gone = || io::Error::other(unwanted());
        let held = match cut {
            Cut::Part { object, number, bytes } => {
                let name = split::name(&name, object).into();
                let payload = Payload::Memory(bytes);
                let held = next.take().ok_or_else(gone)?;
                (Piece::Part { object, name, number, payload }, Some(held))
            }
            Cut::End { object, parts } => {
                (Piece::End { object, name: split::name(&name, object).into(), parts }, None)
            }
        };
        pieces.blocking_send(held).map_err(|_| gone())?;
        if next.is_none() {
            next = permit();
        }
        if next.is_none() { Err(gone()) } else { Ok(()) }
    };
    let part_bytes = usize::try_from(shared.part_bytes.min(MAX_HELD)).unwrap_or(usize::MAX);
    let splitter = Splitter::new(Buffers::of(part_bytes), shared.parts_per_object, hand_over);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let what = "the backup could not be read or packed";
    let result = match work {
        Work::TarGz { root, entries, .. } => {
            let packed = || {
                let mut gzip = Gzip::new(splitter, threads)?;
                tree::tar(&root, &entries, &mut gzip, &mut |bytes| shared.read(bytes))?;
                gzip.finish()?.finish()
            };
            packed().map_err(|error| (error, root.display().to_string()))
        }
        Work::Stream { mut input, compress, .. } => {
            let packed = || match compress {
                true => {
                    let mut gzip = Gzip::new(splitter, threads)?;
                    let mut buffer = vec![0; BUFFER];
                    let some = || {
                        let count = input.read(&mut buffer)?;
                        gzip.write_all(&buffer[..count])?;
                        Ok(count)
                    };
                    pump(some, shared)?;
                    gzip.finish()?.finish()
                }
                false => {
                    let mut splitter = splitter;
                    pump(|| splitter.read_from(&mut input), shared)?;
                    splitter.finish()
                }
            };
            packed().map_err(|error| (error, "the running stream".to_string()))
        }
        Work::Files { .. } => return Err(Error::new(Kind::Bug, "files are not packed")),
    };
    result.map(drop).map_err(|(error, place)| match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => Error::new(Kind::Io, what).because(error).at(place).next(
            "look at the disk and whether the backup is complete and at rest, then the same command \
             again",
        ),
    })
}

/// Moves a live stream until its end, some of it at a time.
fn pump(mut some: impl FnMut() -> io::Result<usize>, shared: &Shared) -> io::Result<()> {
    loop {
        match some() {
            Ok(0) => break,
            Ok(count) => shared.read(count as u64)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    match shared.done.load(Ordering::Relaxed) {
        0 => Err(io::Error::other(
            Error::new(Kind::Backup, "the stream was empty")
                .next("look at what the program that should write it said"),
        )),
        read if read > MAX_TOTAL => Err(io::Error::other(Error::new(
            Kind::Blocked,
            "the stream holds more than the 64 TiB of an Aurora volume",
        ))),
        _ => Ok(()),
    }
}

/// Files that are ready, as entries of the one directory that they lie in.
pub(super) fn ready_files(files: &[PathBuf]) -> Result<(PathBuf, Entries)> {
    let Some(root) = files.first().and_then(|file| file.parent()).map(Path::to_path_buf) else {
        return Err(Error::new(Kind::Usage, "there is no file to upload"));
    };
    let mut entries = Named::default();
    for file in files {
        let at = |error: Error| error.at(file.display());
        let metadata = std::fs::metadata(file).map_err(|error| at(Error::from(error)))?;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !metadata.is_file() || file.parent() != Some(&root) || name.is_empty() {
            return Err(at(Error::new(Kind::Usage, "ready files must lie in one directory")));
        }
        if !is_typed(name) {
            return Err(at(Error::new(
                Kind::Usage,
                "Aurora tells files by their names, and this one's says nothing to it",
            )
            .next(
                "name it NAME.tar.gz, NAME.tar or NAME.xbstream, parts with digits of one width at the \
                 end (backup.tar.gz00000); or upload the directory with --as tree",
            )));
        }
        entries.push(name, About::of(&metadata));
    }
    Ok((root, Entries::from(entries)))
}

/// Whether a name ends as the archives do that Aurora reads, maybe with a part's number.
fn is_typed(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = name.strip_suffix('.').unwrap_or(name);
    [".tar.gz", ".tgz", ".gz", ".tar", ".xbstream"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::MAX_OBJECT;

    #[test]
    fn names_that_aurora_can_type() {
        for name in ["backup.tar.gz", "backup.tar.gz00000", "b.xbstream01", "b.tar", "b.tar.gz.001"]
        {
            assert!(is_typed(name), "{name}");
        }
        for name in ["ibdata1", "backup.zip", "backup.xbstream.gz.enc", "a.qp"] {
            assert!(!is_typed(name), "{name}");
        }
    }

    #[test]
    fn a_large_file_has_no_more_parts_than_s3_takes() {
        for size in [1, 16 * MIB, 200_000 * MIB, MAX_OBJECT] {
            let part = part_of_file(size, 16 * MIB);
            assert!(size.div_ceil(part) <= split::MAX_PARTS && part >= 16 * MIB, "{size}");
        }
    }
}
