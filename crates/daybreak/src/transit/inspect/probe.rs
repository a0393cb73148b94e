//! Looks at every file of a backup as it comes by, and keeps what is worth knowing of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    delta::{self, Delta},
    metadata, myisam,
    pages::{Scan, Space},
    redo::{Redo, RedoScan},
};
use crate::{
    error::{Error, Kind, Result},
    transit::archive::{Oddity, Visitor, qpress::Unpack},
};

/// The longest file of metadata that is kept.
const LONGEST_KEPT: usize = 256 * 1024;
/// The page sizes that a `.delta` may have, tried all at once: its `.meta` may come later.
const DELTA_SIZES: [u32; 7] = [1024, 2048, 4096, 8192, 16384, 32768, 65536];
/// As much of a `.frm` as is read.
const FRM_HEAD: usize = 64;

/// How the tool packed a file, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// As the server has it.
    Not,
    /// `.qp`.
    Qpress,
    /// `.zst` or `.lz4`: not read here.
    Other,
    /// `.xbcrypt`: can't be read without the key.
    Encrypted,
}

/// What was seen of a file.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many bytes it has as it is stored.
    pub size: u64,
    /// How many bytes it unpacks to, where that is known.
    pub unpacked: Option<u64>,
    /// What is wrong with it.
    pub flaw: Option<String>,
    /// What it holds.
    pub content: Content,
}

/// What a file holds, as far as it matters.
#[derive(Debug, Default)]
pub enum Content {
    /// Nothing that is looked at.
    #[default]
    Other,
    /// A small text.
    Text(String),
    /// A tablespace.
    Space(Box<Space>),
    /// Changed pages: what was seen of them, by page size.
    Delta(BTreeMap<u32, delta::Seen>),
    /// A redo log.
    Redo(Redo),
    /// The head of MyISAM's index file; none: it is none.
    Index(Option<myisam::Head>),
    /// A table's definition (5.x, MariaDB): its engine by number.
    Frm(u8),
    /// A view's.
    View,
}

/// All files of a backup by name.
#[derive(Debug, Default)]
pub struct Probe {
    /// What was seen, by name.
    pub files: BTreeMap<String, Seen>,
    /// What only some tools write, with the first file of each.
    pub oddities: BTreeMap<Oddity, String>,
    /// What stands before each name.
    pub prefix: String,
    open: HashMap<u64, Look>,
}

struct Look {
    name: String,
    packed: Packed,
    unpack: Unpack,
    flaw: Option<String>,
    unpacked: u64,
    at: u64,
    eye: Eye,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

enum Eye {
    Nothing,
    Text(Vec<u8>),
    Space(Box<Scan>),
    Delta(Vec<(u32, Delta)>),
    Frm(Vec<u8>),
    Redo(Box<RedoScan>),
    Index(Vec<u8>),
}

/// A file's name as the server would have it, and how the tool packed it.
pub fn unpacked_name(name: &str) -> (&str, Packed) {
    if let Some(inner) = name.strip_suffix(".xbcrypt") {
        let (inner, _) = unpacked_name(inner);
        return (inner, Packed::Encrypted);
    }
    if let Some(inner) = name.strip_suffix(".qp") {
        return (inner, Packed::Qpress);
    }
    match name.strip_suffix(".zst").or_else(|| name.strip_suffix(".lz4")) {
        Some(inner) => (inner, Packed::Other),
        None => (name, Packed::Not),
    }
}

/// Whether a name is one of the tool's own files, which are kept as text.
fn is_text(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    [metadata::CHECKPOINTS, metadata::INFO, metadata::BINLOG, metadata::BINLOG_INNODB]
        .iter()
        .any(|names| names.contains(&file))
        || file == metadata::SETTINGS
        || file.ends_with(".isl")
        || file.ends_with(".meta")
}

fn is_system(file: &str) -> bool {
    file == "ibdata1"
}

fn is_redo(file: &str) -> bool {
    file == "xtrabackup_logfile" || file == "ib_logfile0"
}

impl Eye {
    fn of(name: &str) -> Eye {
        let file = name.rsplit('/').next().unwrap_or(name);
        if is_text(name) {
            Eye::Text(Vec::new())
        } else if file.ends_with(".delta") {
            let system = is_system(file.trim_end_matches(".delta"));
            Eye::Delta(DELTA_SIZES.iter().map(|size| (*size, Delta::new(*size, system))).collect())
        } else if is_redo(file) {
            Eye::Redo(Box::default())
        } else if file.ends_with(".MYI") {
            Eye::Index(Vec::new())
        } else if [".ibd", ".ibu", ".new"].iter().any(|ending| file.ends_with(ending))
            || is_system(file)
        {
            // `.new`: a whole tablespace that was created while mariadb-backup ran.
            Eye::Space(Box::new(Scan::new(is_system(file), file.ends_with(".new"))))
        } else if file.ends_with(".frm") {
            Eye::Frm(Vec::new())
        } else {
            Eye::Nothing
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Eye::Nothing => {}
            Eye::Text(text) => {
                let room = (LONGEST_KEPT + 1).saturating_sub(text.len());
                text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Eye::Space(scan) => scan.push(bytes),
            Eye::Delta(deltas) => deltas.iter_mut().for_each(|(_, delta)| delta.push(bytes)),
            Eye::Redo(scan) => scan.push(bytes),
            Eye::Index(head) => {
                let room = myisam::HEAD.saturating_sub(head.len());
                head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Eye::Frm(head) => {
                let room = FRM_HEAD.saturating_sub(head.len());
                head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
    }

    /// Zeros that aren't there.
    fn skip(&mut self, mut count: u64) {
        match self {
            Eye::Nothing => {}
            Eye::Space(scan) => scan.skip(count),
            eye => {
                let zeros = [0; 4096];
                // Nothing but a tablespace has holes; what is kept of others is bounded.
                count = count.min(1 << 20);
                while count > 0 {
                    let now = count.min(zeros.len() as u64);
                    eye.push(&zeros[..now as usize]);
                    count -= now;
                }
            }
        }
    }
}

impl Look {
    fn new(name: &str) -> Look {
        let (inner, packed) = unpacked_name(name);
        let eye = match packed {
            Packed::Not | Packed::Qpress => Eye::of(inner),
            Packed::Other | Packed::Encrypted => Eye::Nothing,
        };
        Look {
            name: name.into(),
            packed,
            unpack: Unpack::default(),
            flaw: None,
            unpacked: 0,
            at: 0,
            eye,
        }
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) {
        if offset < self.at {
            // A jump back (mariadb-backup): what is looked at comes in order or not at all.
            if !matches!(self.eye, Eye::Nothing) {
                self.flaw.get_or_insert("it was written out of order".into());
            }
            return;
        }
        let hole = offset - self.at;
        self.at = offset + bytes.len() as u64;
        if self.packed == Packed::Qpress {
            if self.flaw.is_some() {
                return;
            }
            if hole > 0 {
                self.flaw = Some("a compressed file with a hole".into());
                return;
            }
            let (eye, unpacked) = (&mut self.eye, &mut self.unpacked);
            let result = self.unpack.push(bytes, &mut |plain| {
                *unpacked += plain.len() as u64;
                eye.push(plain);
            });
            self.flaw = result.err();
            return;
        }
        if hole > 0 {
            self.eye.skip(hole);
        }
        self.eye.push(bytes);
    }

    fn finish(mut self, size: u64) -> Seen {
        let mut seen = Seen { size, ..Seen::default() };
        if self.packed == Packed::Qpress {
            self.flaw = self.flaw.or_else(|| self.unpack.finish().err());
            seen.unpacked = Some(self.unpacked);
        } else if size > self.at {
            self.eye.skip(size - self.at);
        }
        let plain_size = seen.unpacked.unwrap_or(size);
        seen.content = match self.eye {
            Eye::Nothing => Content::Other,
            Eye::Text(text) if text.len() > LONGEST_KEPT => {
                self.flaw.get_or_insert("it is longer than such a file can be".into());
                Content::Other
            }
            Eye::Text(text) => match String::from_utf8(text) {
                Ok(text) => Content::Text(text),
                Err(_) => {
                    self.flaw.get_or_insert("it isn't text".into());
                    Content::Other
                }
            },
            Eye::Space(scan) => Content::Space(Box::new(scan.finish(plain_size))),
            Eye::Delta(deltas) => Content::Delta(
                deltas.into_iter().map(|(size, delta)| (size, delta.finish())).collect(),
            ),
            Eye::Redo(scan) => Content::Redo(scan.finish(plain_size)),
            Eye::Index(head) => Content::Index(myisam::Head::parse(&head)),
            Eye::Frm(head) if head.starts_with(b"TYPE=VIEW") => Content::View,
            Eye::Frm(head) if head.len() == FRM_HEAD && head.starts_with(&[0xfe, 0x01]) => {
                // A partitioned table names the engine of its partitions here.
                Content::Frm(if head[3] == 20 { head[61] } else { head[3] })
            }
            Eye::Frm(_) => {
                self.flaw.get_or_insert("it isn't a table's definition".into());
                Content::Other
            }
        };
        seen.flaw = self.flaw;
        seen
    }
}

impl Probe {
    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Forgets files that began and never ended.
    pub fn drop_open(&mut self) -> BTreeSet<String> {
        self.open.drain().map(|(_, look)| look.name).collect()
    }

    /// Whether a file's bytes are looked at.
    pub fn wants(name: &str) -> bool {
        let (inner, packed) = unpacked_name(name);
        match packed {
            Packed::Not => !matches!(Eye::of(inner), Eye::Nothing),
            Packed::Qpress => true,
            Packed::Other | Packed::Encrypted => false,
        }
    }

    /// Notes a file whose bytes aren't looked at.
    pub fn note(&mut self, name: &str, size: u64) {
        let name = self.full(name);
        self.files.insert(name, Seen { size, ..Seen::default() });
    }
}

impl Visitor for Probe {
    fn begin(&mut self, file: u64, name: &str) -> Result<()> {
        self.open.insert(file, Look::new(name));
        Ok(())
    }

    fn data(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        match self.open.get_mut(&file) {
            Some(look) => {
                look.data(offset, bytes);
                Ok(())
            }
            None => Err(Error::new(Kind::Bug, "bytes of a file that isn't open")),
        }
    }

    fn end(&mut self, file: u64, size: u64) -> Result<()> {
        if let Some(look) = self.open.remove(&file) {
            let name = self.full(&look.name);
            self.files.insert(name, look.finish(size));
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.full(from), self.full(to));
        if let Some(seen) = self.files.remove(&from) {
            self.files.insert(to, seen);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let name = self.full(name);
        self.files.remove(&name);
        Ok(())
    }

    fn odd(&mut self, oddity: Oddity, name: &str) {
        let name = self.full(name);
        self.oddities.entry(oddity).or_insert(name);
    }
}
