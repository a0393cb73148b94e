//! xbstream: chunks of files that interleave, without a header and without an end mark.
//!
//! An end is legal only between chunks, and every file that began must have ended by then. The tools'
//! own reader checks neither the second nor the flags; a cut between chunks passes it in silence.

use std::collections::{HashMap, HashSet};

use super::{Fault, Input, Oddity, PIECE, Visitor, checked};

/// What each chunk begins with.
pub const MAGIC: &[u8; 8] = b"XBSTCK01";

/// A path is shorter than this (FN_REFLEN).
const LONGEST_PATH: u32 = 512;
/// More pieces than any chunk of the tool has.
const MOST_HOLES: u32 = 1 << 20;
/// More files than any tool has under way at once: each of its threads has one, and its redo log is another.
/// What is kept of a file while it is open is bounded, and so is the whole by this.
const MOST_OPEN: usize = 256;
/// The chunk may be ignored by readers that don't know its type.
const MAY_IGNORE: u8 = 0x01;
/// The file replaces an earlier one (mariadb-backup).
const REWRITE: u8 = 0x02;

struct Open {
    id: u64,
    at: u64,
    size: u64,
    rewrites: bool,
}

struct Stream<'a> {
    input: Input<'a>,
    visitor: &'a mut dyn Visitor,
    open: HashMap<String, Open>,
    ended: HashSet<String>,
    next: u64,
    buffer: Vec<u8>,
    /// The magic of the next chunk has been read already.
    magic_read: bool,
}

/// Reads a whole stream.
pub fn read(stream: &mut dyn std::io::Read, visitor: &mut dyn Visitor) -> Result<(), Fault> {
    let mut stream = Stream {
        input: Input::new(stream),
        visitor,
        open: HashMap::new(),
        ended: HashSet::new(),
        next: 0,
        buffer: vec![0; PIECE],
        magic_read: false,
    };
    while stream.chunk()? {}
    if stream.open.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> = stream.open.keys().map(String::as_str).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(3);
    names.truncate(3);
    let names = names.join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Fault::Damaged(format!(
        "the stream ends after {} bytes while files are unfinished: {names}{more}",
        stream.input.at()
    )))
}

impl Stream<'_> {
    /// Reads a chunk; false at the end.
    fn chunk(&mut self) -> Result<bool, Fault> {
        let begins = self.input.at() - if self.magic_read { 8 } else { 0 };
        let wrong = |what: String| Fault::Damaged(format!("{what}, in the chunk at byte {begins}"));
        if !std::mem::take(&mut self.magic_read) {
            let mut magic = [0; 8];
            match self.input.fill(&mut magic)? {
                0 => return Ok(false),
                8 if &magic == MAGIC => {}
                8 => return Err(wrong("no chunk begins where one must".into())),
                _ => return Err(wrong("the stream is cut within a chunk's head".into())),
            }
        }
        let mut head = [0; 6];
        self.input.exact(&mut head, "a chunk's head")?;
        let (flags, kind) = (head[0], head[1]);
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let name = self.path(length).map_err(|fault| match fault {
            Fault::Damaged(what) => wrong(what),
            other => other,
        })?;
        let known = matches!(kind, b'P' | b'E' | b'S' | b'R' | b'D');
        let allowed = match kind {
            b'P' => REWRITE,
            _ if known => 0,
            _ => MAY_IGNORE,
        };
        if flags & !allowed != 0 {
            return Err(wrong(format!(
                "unknown flags {flags:#04x} on type {:?}",
                char::from(kind)
            )));
        }
        match kind {
            b'P' => self.payload(name, flags & REWRITE != 0, &wrong),
            b'E' => self.end(name, &wrong),
            b'S' => self.sparse_or_seek(name, &wrong),
            b'R' => self.rename(&name, &wrong),
            b'D' => self.remove(&name, &wrong),
            _ if flags & MAY_IGNORE != 0 => self.ignore(&name, &wrong),
            _ => Err(wrong(format!("unknown type {:?}", char::from(kind)))),
        }?;
        Ok(true)
    }

    fn path(&mut self, length: u32) -> Result<String, Fault> {
        if length >= LONGEST_PATH {
            return Err(Fault::Damaged(format!("a path of {length} bytes")));
        }
        let mut path = vec![0; length as usize];
        self.input.exact(&mut path, "a chunk's path")?;
        checked(&path)
    }

    /// The file that a chunk goes on with, begun if it is new.
    fn file(
        &mut self,
        name: &str,
        rewrites: Option<bool>,
        wrong: &impl Fn(String) -> Fault,
    ) -> Result<(), Fault> {
        if let Some(open) = self.open.get(name) {
            if rewrites.is_some_and(|now| now != open.rewrites) {
                return Err(wrong(format!("{name} is replaced and isn't")));
            }
            return Ok(());
        }
        if self.open.len() >= MOST_OPEN {
            return Err(wrong(format!(
                "{name} begins while {MOST_OPEN} files are unfinished, which is more than a tool has open \
                 (--parallel of {MOST_OPEN} or more?)"
            )));
        }
        let rewrites = rewrites.unwrap_or(false);
        if rewrites {
            self.visitor.odd(Oddity::Rewrite, name);
            if self.ended.remove(name) {
                self.visitor.remove(name)?;
            }
        } else if self.ended.contains(name) {
            return Err(wrong(format!("{name} goes on after its end")));
        }
        let id = self.next;
        self.next += 1;
        self.visitor.begin(id, name)?;
        self.open.insert(name.into(), Open { id, at: 0, size: 0, rewrites });
        Ok(())
    }

    fn payload(
        &mut self,
        name: String,
        rewrites: bool,
        wrong: &impl Fn(String) -> Fault,
    ) -> Result<(), Fault> {
        let mut head = [0; 20];
        self.input.exact(&mut head, "a chunk's head")?;
        let (length, offset, sum) = (u64_at(&head, 0), u64_at(&head, 8), u32_at(&head, 16));
        self.file(&name, Some(rewrites), wrong)?;
        self.bytes(&name, &[(0, length)], offset, sum, crc32fast::Hasher::new(), wrong)
    }

    /// The bytes of a chunk, with what is left out before each piece.
    fn bytes(
        &mut self,
        name: &str,
        pieces: &[(u64, u64)],
        offset: u64,
        sum: u32,
        mut hasher: crc32fast::Hasher,
        wrong: &impl Fn(String) -> Fault,
    ) -> Result<(), Fault> {
        let Stream { input, visitor, open, buffer, .. } = self;
        let Some(file) = open.get_mut(name) else {
            return Err(wrong(format!("{name} isn't open")));
        };
        if offset != file.at {
            return Err(wrong(format!("{name} goes on at {offset} instead of {}", file.at)));
        }
        for &(skip, length) in pieces {
            let far = || wrong(format!("{name} would be too long"));
            let from = file.at.checked_add(skip).ok_or_else(far)?;
            let to =
                from.checked_add(length).filter(|to| *to <= i64::MAX as u64).ok_or_else(far)?;
            let (id, mut at) = (file.id, from);
            input.pieces(length, buffer, "a chunk's payload", |bytes| {
                hasher.update(bytes);
                visitor.data(id, at, bytes)?;
                at += bytes.len() as u64;
                Ok(())
            })?;
            file.at = to;
            file.size = file.size.max(to);
        }
        match hasher.finalize() == sum {
            true => Ok(()),
            false => Err(wrong(format!("the checksum of {name} doesn't hold"))),
        }
    }

    /// Both tools use `S`: XtraBackup 8.0 for payload with holes, mariadb-backup for a jump, which has an
    /// offset only. What comes behind that offset tells them apart.
    fn sparse_or_seek(
        &mut self,
        name: String,
        wrong: &impl Fn(String) -> Fault,
    ) -> Result<(), Fault> {
        let mut head = [0; 24];
        self.input.exact(&mut head[..16], "a chunk's head")?;
        if &head[8..16] == MAGIC {
            self.magic_read = true;
            self.file(&name, None, wrong)?;
            self.visitor.odd(Oddity::Seek, &name);
            let to = u64_at(&head, 0);
            if to > i64::MAX as u64 {
                return Err(wrong(format!("{name} would be too long")));
            }
            if let Some(file) = self.open.get_mut(&name) {
                file.at = to;
            }
            return Ok(());
        }
        self.input.exact(&mut head[16..], "a chunk's head")?;
        let (holes, length) = (u32_at(&head, 0), u64_at(&head, 4));
        let (offset, sum) = (u64_at(&head, 12), u32_at(&head, 20));
        if holes > MOST_HOLES {
            return Err(wrong(format!("{holes} holes in a chunk")));
        }
        self.file(&name, None, wrong)?;
        self.visitor.odd(Oddity::Sparse, &name);
        let mut hasher = crc32fast::Hasher::new();
        // Grows with what is really there.
        let (mut pieces, mut held) = (Vec::new(), 0_u64);
        for _ in 0..holes {
            let mut entry = [0; 8];
            self.input.exact(&mut entry, "a chunk's map")?;
            hasher.update(&entry);
            let (skip, bytes) = (u32_at(&entry, 0), u32_at(&entry, 4));
            pieces.push((u64::from(skip), u64::from(bytes)));
            held += u64::from(bytes);
        }
        if held != length {
            return Err(wrong(format!("the map of {name} is for {held} bytes, not {length}")));
        }
        self.bytes(&name, &pieces, offset, sum, hasher, wrong)
    }

    fn end(&mut self, name: String, wrong: &impl Fn(String) -> Fault) -> Result<(), Fault> {
        // A file without a payload is an empty one.
        self.file(&name, None, wrong)?;
        if let Some(file) = self.open.remove(&name) {
            self.visitor.end(file.id, file.size)?;
        }
        self.ended.insert(name);
        Ok(())
    }

    fn rename(&mut self, name: &str, wrong: &impl Fn(String) -> Fault) -> Result<(), Fault> {
        let mut length = [0; 4];
        self.input.exact(&mut length, "a chunk's head")?;
        let to = self.path(u32::from_le_bytes(length)).map_err(|fault| match fault {
            Fault::Damaged(what) => wrong(what),
            other => other,
        })?;
        if !self.ended.remove(name) {
            return Err(wrong(format!("{name} is renamed and isn't there")));
        }
        if self.open.contains_key(&to) || !self.ended.insert(to.clone()) {
            return Err(wrong(format!("{name} is renamed to {to}, which is there")));
        }
        self.visitor.odd(Oddity::Rename, name);
        Ok(self.visitor.rename(name, &to)?)
    }

    fn remove(&mut self, name: &str, wrong: &impl Fn(String) -> Fault) -> Result<(), Fault> {
        if !self.ended.remove(name) {
            return Err(wrong(format!("{name} is removed and isn't there")));
        }
        self.visitor.odd(Oddity::Remove, name);
        Ok(self.visitor.remove(name)?)
    }

    /// A chunk of an unknown type is made as one of payload.
    fn ignore(&mut self, name: &str, wrong: &impl Fn(String) -> Fault) -> Result<(), Fault> {
        let mut head = [0; 20];
        self.input.exact(&mut head, "a chunk's head")?;
        let mut hasher = crc32fast::Hasher::new();
        self.input.pieces(u64_at(&head, 0), &mut self.buffer, "a chunk's payload", |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        if hasher.finalize() != u32_at(&head, 16) {
            return Err(wrong(format!("the checksum of {name} doesn't hold")));
        }
        self.visitor.odd(Oddity::Ignored, name);
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
