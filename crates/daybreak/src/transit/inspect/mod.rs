//! Looks at a physical backup: whether it is whole, what it is, and whether it may go where it shall.
//!
//! [`Survey::read`] reads everything once and keeps what is worth knowing; [`Survey::judge`] puts the links
//! of a chain in order and holds the rules of a profile against it. What isn't understood becomes a finding.

mod chain;
mod checksum;
mod delta;
mod extract;
mod files;
mod judge;
mod links;
pub(crate) mod metadata;
mod myisam;
mod pages;
mod probe;
mod redo;
pub mod rules;
pub mod secrets;
pub mod server;
mod stream;

use std::{cell::RefCell, io::Read, path::Path, rc::Rc};

use crate::{
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    transit::{
        archive::{Blob, Fault, Format, Oddity, Opened, Visitor, parts},
        inspection::{Form, Inspection, Profile},
    },
};
use extract::Extract;
use probe::Probe;

pub use metadata::{Checkpoints, Info, Position};

/// Blobs that can be gone through more than once.
pub trait Reread: IntoIterator<Item = Blob, IntoIter: Clone> {}

impl<T: IntoIterator<Item = Blob, IntoIter: Clone>> Reread for T {}

/// Inspects a backup. Blocks while it reads all of it.
pub fn inspect(blobs: impl Reread, profile: Profile) -> Result<Inspection> {
    Ok(Survey::read(blobs, &Events::nowhere())?.judge(profile))
}

/// What was seen of a backup.
#[derive(Debug)]
pub struct Survey {
    sources: Vec<Source>,
}

/// A directory tree or an archive.
#[derive(Debug)]
struct Source {
    /// The archive's name; `.` for the tree.
    name: String,
    form: Form,
    probe: Probe,
    faults: Vec<(&'static str, String)>,
    /// How an archive's files are named.
    names: Option<Names>,
}

#[derive(Debug)]
struct Names {
    ending: &'static str,
    dotted: bool,
    even: bool,
}

/// A file of a backup.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Its name, with the archive's before it where there is more than one.
    pub name: String,
    /// How many bytes it has, as it is stored.
    pub bytes: u64,
}

impl Survey {
    /// Reads a backup. Damage isn't an error but is found; what can't be read is one.
    pub fn read(blobs: impl Reread, events: &Events) -> Result<Survey> {
        read(blobs.into_iter(), None, events)
    }

    /// The same, and writes the files into a directory that is new or empty. If the backup is damaged or
    /// incomplete, nothing stays there; what must be unpacked by the tool before it can be judged does.
    pub fn extract(blobs: impl Reread, to: &Path, events: &Events) -> Result<Survey> {
        let mut extract = Extract::into(to)?;
        let survey = read(blobs.into_iter(), Some(&mut extract), events)?;
        if survey.is_sound() {
            extract.keep()?;
        }
        Ok(survey)
    }

    /// Whether nothing is missing or damaged, as far as it could be read.
    pub fn is_sound(&self) -> bool {
        judge::is_sound(&self.judge(Profile::Any))
    }

    /// All files, in order.
    pub fn files(&self) -> impl Iterator<Item = Listed> {
        let several = self.sources.len() > 1;
        self.sources.iter().flat_map(move |source| {
            let before = match several && source.names.is_some() {
                true => format!("{}:", source.name),
                false => String::new(),
            };
            source.probe.files().iter().map(move |(name, seen)| Listed {
                name: format!("{before}{name}"),
                bytes: seen.size,
            })
        })
    }

    /// What a profile's rules say.
    pub fn judge(&self, profile: Profile) -> Inspection {
        judge::judge(&self.sources, profile)
    }
}

fn read(
    blobs: impl Iterator<Item = Blob> + Clone,
    mut extract: Option<&mut Extract>,
    events: &Events,
) -> Result<Survey> {
    let (mut count, mut total) = (0_u64, 0_u64);
    let mut packed = Vec::new();
    for blob in blobs.clone() {
        count += 1;
        total = total.saturating_add(blob.size);
        if parts::is_archive(&blob.name) {
            packed.push(blob);
        }
    }
    let single = count == 1;
    if single {
        packed = blobs.clone().collect();
    }
    let progress = Progress(Rc::new(RefCell::new(Standing {
        events: events.clone(),
        total,
        done: 0,
        told: 0,
    })));
    let is_tree = count > packed.len() as u64;
    let archives = parts::group(packed);
    let alone = !is_tree && archives.len() == 1;
    let mut sources = Vec::new();
    if is_tree {
        let plain = blobs.filter(|blob| !parts::is_archive(&blob.name));
        sources.push(tree(plain, extract.as_deref_mut(), &progress)?);
    }
    for archive in archives {
        let before = if alone { String::new() } else { folder(&archive) };
        sources.push(unpack(archive, before, extract.as_deref_mut(), &progress)?);
    }
    progress.end();
    Ok(Survey { sources })
}

/// Where an archive is unpacked to when it isn't alone.
fn folder(archive: &parts::Archive) -> String {
    let stem = &archive.name[..archive.name.len() - archive.ending.len()];
    format!("{stem}/")
}

fn tree(
    blobs: impl Iterator<Item = Blob>,
    extract: Option<&mut Extract>,
    progress: &Progress,
) -> Result<Source> {
    let mut probe = Probe::default();
    let mut both = Both { probe: &mut probe, extract };
    both.prefix("");
    let mut buffer = vec![0; crate::transit::archive::PIECE];
    for (id, blob) in (0..).zip(blobs) {
        if both.extract.is_none() && !Probe::wants(&blob.name) {
            both.probe.note(&blob.name, blob.size);
            progress.add(blob.size, &blob.name);
            continue;
        }
        let (name, size) = (blob.name.clone(), blob.size);
        both.begin(id, &name)?;
        let mut at = 0;
        let mut stream = parts::join(vec![blob]);
        loop {
            let read = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&name, error)),
            };
            both.data(id, at, &buffer[..read])?;
            at += read as u64;
            progress.add(read as u64, &name);
        }
        both.end(id, size)?;
    }
    probe.finish();
    Ok(Source { name: ".".into(), form: Form::Directory, probe, faults: Vec::new(), names: None })
}

fn unpack(
    mut archive: parts::Archive,
    folder: String,
    extract: Option<&mut Extract>,
    progress: &Progress,
) -> Result<Source> {
    let stream = parts::join(std::mem::take(&mut archive.parts));
    let stream = Told { stream, progress: progress.clone(), name: archive.name.clone() };
    unpack_stream(archive, stream, folder, extract)
}

/// Reads what an archive holds from a stream; its own parts aren't looked at.
fn unpack_stream(
    archive: parts::Archive,
    stream: impl Read + 'static,
    folder: String,
    extract: Option<&mut Extract>,
) -> Result<Source> {
    let mut probe = Probe::default();
    let mut faults = Vec::new();
    if !archive.missing.is_empty() {
        faults.push(("backup.parts_missing", archive.missing.join(", ")));
    }
    let names = Names { ending: archive.ending, dotted: archive.dotted, even: archive.even };
    let name = archive.name.clone();
    let mut form = Form::Tar;
    let opened = Opened::new(stream).and_then(|opened| {
        form = match (opened.format, opened.gzip) {
            (Format::Xbstream, false) => Form::Xbstream,
            (Format::Xbstream, true) => Form::XbstreamGz,
            (_, true) => Form::TarGz,
            (_, false) => Form::Tar,
        };
        let mut both = Both { probe: &mut probe, extract };
        both.prefix(&folder);
        opened.read(&mut both)
    });
    match opened {
        Ok(()) => {}
        Err(Fault::Io(error)) => return Err(unreadable(&name, error)),
        Err(Fault::Stopped(error)) => return Err(error.at(name)),
        Err(Fault::Damaged(what)) => faults.push(("backup.damaged", what)),
        Err(Fault::Unsafe(what)) => faults.push(("backup.unsafe", what)),
        Err(Fault::Unknown(what)) => faults.push(("backup.empty", what)),
    }
    probe.finish();
    Ok(Source { name, form, probe, faults, names: Some(names) })
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::new(Kind::Io, "the backup can't be read").because(error).at(name)
}

/// Both visitors at once. The probe keeps an archive's own names; extraction may put a folder before them.
struct Both<'a> {
    probe: &'a mut Probe,
    extract: Option<&'a mut Extract>,
}

impl Both<'_> {
    fn prefix(&mut self, folder: &str) {
        if let Some(extract) = &mut self.extract {
            extract.prefix = folder.to_string();
        }
    }
}

impl Visitor for Both<'_> {
    fn begin(&mut self, file: u64, name: &str) -> Result<()> {
        if let Some(extract) = &mut self.extract {
            extract.begin(file, name)?;
        }
        self.probe.begin(file, name)
    }

    fn data(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(extract) = &mut self.extract {
            extract.data(file, offset, bytes)?;
        }
        self.probe.data(file, offset, bytes)
    }

    fn end(&mut self, file: u64, size: u64) -> Result<()> {
        if let Some(extract) = &mut self.extract {
            extract.end(file, size)?;
        }
        self.probe.end(file, size)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        if let Some(extract) = &mut self.extract {
            extract.rename(from, to)?;
        }
        self.probe.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        if let Some(extract) = &mut self.extract {
            extract.remove(name)?;
        }
        self.probe.remove(name)
    }

    fn odd(&mut self, oddity: Oddity, name: &str) {
        self.probe.odd(oddity, name);
    }
}

/// How far the reading is.
#[derive(Clone)]
struct Progress(Rc<RefCell<Standing>>);

struct Standing {
    events: Events,
    total: u64,
    done: u64,
    told: u64,
}

impl Standing {
    fn tell(&mut self, now: &str) {
        self.told = self.done;
        self.events.send(Event::Progress {
            task: "inspect".into(),
            now: now.to_string(),
            done: self.done,
            total: Some(self.total),
            unit: Unit::Bytes,
            bytes: 0,
        });
    }
}

/// Bytes between two figures.
const TELL_EVERY: u64 = 32 * 1024 * 1024;

impl Progress {
    fn add(&self, bytes: u64, now: &str) {
        let mut standing = self.0.borrow_mut();
        standing.done += bytes;
        if standing.done - standing.told >= TELL_EVERY {
            standing.tell(now);
        }
    }

    /// All was read. Damaged archives aren't read to their end, and what is short isn't told of.
    fn end(&self) {
        let mut standing = self.0.borrow_mut();
        standing.done = standing.total;
        if standing.told > 0 && standing.told < standing.total {
            standing.tell("");
        }
    }
}

/// A stream whose progress is told.
struct Told<R> {
    stream: R,
    progress: Progress,
    name: String,
}

impl<R: Read> Read for Told<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(into)?;
        self.progress.add(read as u64, &self.name);
        Ok(read)
    }
}
