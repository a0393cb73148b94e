//! Looks at every file of a backup as it comes by, and keeps what is worth knowing of it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use super::{
    delta::{BySize, Delta},
    metadata, myisam,
    pages::{Scan, Space, Special},
    redo::{Redo, RedoScan},
};
use crate::{
    error::{Error, Kind, Result},
    transit::{
        archive::{Oddity, Visitor, qpress::Unpack},
        named::Named,
    },
};

/// The longest file of metadata that is kept.
const LONGEST_KEPT: usize = 256 * 1024;
/// The most bytes of such files that are kept together: a chain of backups has some KiB for each link.
const MOST_KEPT: usize = 16 << 20;
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

/// What was seen of a file. There may be a million: what only some have lies elsewhere.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many bytes it has as it is stored.
    pub size: u64,
    /// What it holds.
    pub content: Content,
    rare: Option<Box<Rare>>,
}

/// What few files have.
#[derive(Debug, Default)]
struct Rare {
    unpacked: Option<u64>,
    flaw: Option<Cow<'static, str>>,
    special: Option<Box<Special>>,
}

impl Seen {
    fn new(size: u64, content: Content, rare: Rare) -> Seen {
        let is_rare = rare.unpacked.is_some() || rare.flaw.is_some() || rare.special.is_some();
        Seen { size, content, rare: is_rare.then(|| Box::new(rare)) }
    }

    /// How many bytes it has; as far as that is known, unpacked.
    pub fn plain_size(&self) -> u64 {
        self.rare.as_ref().and_then(|rare| rare.unpacked).unwrap_or(self.size)
    }

    /// What only few tablespaces have.
    pub fn special(&self) -> Option<&Special> {
        self.rare.as_ref()?.special.as_deref()
    }

    /// What is wrong with it.
    pub fn flaw(&self) -> Option<&str> {
        self.rare.as_ref()?.flaw.as_deref()
    }
}

/// What a file holds, as far as it matters.
#[derive(Debug, Default)]
pub enum Content {
    /// Nothing that is looked at.
    #[default]
    Other,
    /// A small text.
    #[expect(clippy::box_collection, reason = "few files have one, and all would be larger")]
    Text(Box<String>),
    /// A tablespace.
    Space(Space),
    /// What should be a tablespace and isn't: the flaw says why.
    NoSpace,
    /// Changed pages.
    Delta(Box<BySize>),
    /// What a `.meta` says of the changed pages beside it; one that can't be understood is a text.
    Meta {
        /// How many bytes a page takes.
        page: u32,
        /// The tablespace's number.
        space: u32,
    },
    /// A redo log.
    Redo(Box<Redo>),
    /// The head of MyISAM's index file; none: it is none.
    Index(Option<Box<myisam::Head>>),
    /// A table's definition (5.x, MariaDB): its engine by number.
    Frm(u8),
    /// A view's.
    View,
    /// Nothing any more: the stream took it back.
    Gone,
}

/// All files of a backup by name.
#[derive(Debug, Default)]
pub struct Probe {
    files: Named<Seen>,
    /// Places by the names' hashes; none as long as the stream took nothing back.
    places: Option<Places>,
    /// What only some tools write, with the first file of each.
    pub oddities: BTreeMap<Oddity, String>,
    /// What stands before each name.
    pub prefix: String,
    open: HashMap<u64, Look>,
    /// Bytes of texts that are kept.
    kept: usize,
    /// Page sizes of changed pages that haven't come yet, by name without `.delta`.
    page_sizes: HashMap<String, u32>,
    /// Places of changed pages whose `.meta` hasn't come yet.
    unsized_deltas: HashMap<String, usize>,
}

/// Where files are that aren't sorted yet.
#[derive(Debug, Default)]
struct Places {
    hasher: RandomState,
    by_hash: BTreeSet<(u64, usize)>,
}

impl Places {
    fn add(&mut self, name: &str, place: usize) {
        self.by_hash.insert((self.hasher.hash_one(name), place));
    }

    /// Takes out those with the name's hash.
    fn take(&mut self, name: &str) -> Vec<usize> {
        let hash = self.hasher.hash_one(name);
        let found: Vec<_> = self.by_hash.range((hash, 0)..=(hash, usize::MAX)).copied().collect();
        found.iter().for_each(|one| _ = self.by_hash.remove(one));
        found.into_iter().map(|(_, place)| place).collect()
    }
}

struct Look {
    name: String,
    packed: Packed,
    unpack: Unpack,
    flaw: Option<Cow<'static, str>>,
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
            self.flaw = result.err().map(Cow::from);
            return;
        }
        if hole > 0 {
            self.eye.skip(hole);
        }
        self.eye.push(bytes);
    }

    fn finish(mut self, size: u64) -> Seen {
        let mut unpacked = None;
        if self.packed == Packed::Qpress {
            self.flaw = self.flaw.or_else(|| self.unpack.finish().err().map(Cow::from));
            unpacked = Some(self.unpacked);
        } else if size > self.at {
            self.eye.skip(size - self.at);
        }
        let mut special = None;
        let flaw = &mut self.flaw;
        let mut flawed = |what: Cow<'static, str>, content| {
            flaw.get_or_insert(what);
            content
        };
        let content = match self.eye {
            Eye::Nothing => Content::Other,
            Eye::Text(text) if text.len() > LONGEST_KEPT => {
                flawed("it is longer than such a file can be".into(), Content::Other)
            }
            Eye::Text(text) => match String::from_utf8(text) {
                Ok(text) => text_of(&self.name, text),
                Err(_) => flawed("it isn't text".into(), Content::Other),
            },
            Eye::Space(scan) => match scan.finish(unpacked.unwrap_or(size)) {
                Ok((space, its)) => {
                    special = its;
                    Content::Space(space)
                }
                Err(what) => flawed(what, Content::NoSpace),
            },
            Eye::Delta(deltas) => Content::Delta(Box::new(BySize::of(deltas))),
            Eye::Redo(scan) => Content::Redo(Box::new(scan.finish(unpacked.unwrap_or(size)))),
            Eye::Index(head) => Content::Index(myisam::Head::parse(&head).map(Box::new)),
            Eye::Frm(head) if head.starts_with(b"TYPE=VIEW") => Content::View,
            Eye::Frm(head) if head.len() == FRM_HEAD && head.starts_with(&[0xfe, 0x01]) => {
                // A partitioned table names the engine of its partitions here.
                Content::Frm(if head[3] == 20 { head[61] } else { head[3] })
            }
            Eye::Frm(_) => flawed("it isn't a table's definition".into(), Content::Other),
        };
        Seen::new(size, content, Rare { unpacked, flaw: self.flaw, special })
    }
}

/// A text, as what is needed of it.
fn text_of(name: &str, text: String) -> Content {
    let (name, _) = unpacked_name(name);
    if name.ends_with(".isl") {
        // That it is there is all that counts.
        return Content::Other;
    }
    match metadata::delta_meta(&text) {
        Ok((page, space)) if name.ends_with(".meta") => Content::Meta { page, space },
        _ => Content::Text(Box::new(text)),
    }
}

impl Probe {
    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Nothing more comes: forgets files that began and never ended, and sorts the others.
    pub fn finish(&mut self) {
        self.open = HashMap::new();
        self.page_sizes = HashMap::new();
        self.unsized_deltas = HashMap::new();
        self.places = None;
        self.files.retain(|seen| !matches!(seen.content, Content::Gone));
        self.files.sort_and_keep_last();
    }

    /// What was seen, sorted by name once it is finished.
    pub fn files(&self) -> &Named<Seen> {
        &self.files
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
        self.add(name, Seen { size, ..Seen::default() });
    }

    /// Adds a file. If there is one of that name it is replaced.
    fn add(&mut self, name: &str, seen: Seen) {
        let name = self.full(name);
        if let Some(places) = &mut self.places {
            places.add(&name, self.files.len());
        }
        self.files.push(&name, seen);
    }

    /// What is kept of a file that ended: no more texts than there is room for, and of changed pages what was
    /// seen with their own page size, once that is known.
    fn keep(&mut self, name: &str, seen: &mut Seen) {
        let (plain, _) = unpacked_name(name);
        match &mut seen.content {
            Content::Text(text) => {
                self.kept += text.len();
                if self.kept > MOST_KEPT {
                    let flaw = "with it, the files of this kind hold more than 16 MiB";
                    let rare = Rare { flaw: Some(flaw.into()), ..Rare::default() };
                    *seen = Seen::new(seen.size, Content::Other, rare);
                }
            }
            Content::Delta(by_size) => {
                let base = plain.strip_suffix(".delta").unwrap_or(plain);
                match self.page_sizes.remove(base) {
                    Some(page) => by_size.keep(page),
                    None => _ = self.unsized_deltas.insert(base.into(), self.files.len()),
                }
            }
            Content::Meta { page, .. } => {
                let base = plain.strip_suffix(".meta").unwrap_or(plain);
                match self.unsized_deltas.remove(base) {
                    Some(place) => {
                        let seen = self.files.value_mut(place).map(|seen| &mut seen.content);
                        if let Some(Content::Delta(by_size)) = seen {
                            by_size.keep(*page);
                        }
                    }
                    None => _ = self.page_sizes.insert(base.into(), *page),
                }
            }
            _ => {}
        }
    }

    /// Takes a file back; with it all that it replaced.
    fn take_back(&mut self, name: &str) -> Option<Seen> {
        let name = self.full(name);
        let files = &mut self.files;
        let places = self.places.get_or_insert_with(|| {
            let mut places = Places::default();
            files.iter().enumerate().for_each(|(place, (name, _))| places.add(name, place));
            places
        });
        let mut last = None;
        for place in places.take(&name) {
            if files.at(place).0 != name {
                places.add(files.at(place).0, place);
            } else if let Some(seen) = files.value_mut(place) {
                last = Some(std::mem::replace(
                    seen,
                    Seen { content: Content::Gone, ..Seen::default() },
                ));
            }
        }
        last
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
            let name = look.name.clone();
            let mut seen = look.finish(size);
            self.keep(&name, &mut seen);
            self.add(&name, seen);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        if let Some(seen) = self.take_back(from) {
            self.add(to, seen);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.take_back(name);
        Ok(())
    }

    fn odd(&mut self, oddity: Oddity, name: &str) {
        let name = self.full(name);
        self.oddities.entry(oddity).or_insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(probe: &mut Probe, name: &str, bytes: &[u8]) {
        probe.begin(0, name).unwrap();
        probe.data(0, 0, bytes).unwrap();
        probe.end(0, bytes.len() as u64).unwrap();
    }

    /// Of each of a million files there is one.
    #[test]
    fn what_is_seen_of_a_file_is_small() {
        assert!(size_of::<Seen>() <= 32, "{}", size_of::<Seen>());
    }

    #[test]
    fn texts_are_bounded_together() {
        let mut probe = Probe::default();
        let text = vec![b'x'; LONGEST_KEPT];
        for number in 0..=MOST_KEPT / LONGEST_KEPT {
            file(&mut probe, &format!("b{number:02}/xtrabackup_info"), &text);
        }
        // What isn't needed as a text doesn't count.
        file(&mut probe, "c/t.isl", &text);
        probe.finish();
        let flawed: Vec<_> =
            probe.files().iter().filter_map(|(name, seen)| Some((name, seen.flaw()?))).collect();
        let what = "with it, the files of this kind hold more than 16 MiB";
        assert_eq!(flawed, [("b64/xtrabackup_info", what)]);
        let kept =
            probe.files().iter().filter(|(_, seen)| matches!(seen.content, Content::Text(_)));
        assert_eq!(kept.count(), MOST_KEPT / LONGEST_KEPT);
    }

    /// Whichever of the two comes first.
    #[test]
    fn of_changed_pages_only_their_own_size_is_kept() {
        let meta = b"page_size = 16384\nzip_size = 0\nspace_id = 5\n";
        let mut probe = Probe::default();
        for (name, bytes) in [
            ("a/t.ibd.delta", &b"xtra"[..]),
            ("a/t.ibd.meta", meta),
            ("b/t.ibd.meta", meta),
            ("b/t.ibd.delta", b"xtra"),
            ("c/t.ibd.delta", b"xtra"),
            ("c/t.ibd.meta", b"page_size = many\n"),
        ] {
            file(&mut probe, name, bytes);
        }
        probe.finish();
        let sizes = |name: &str| {
            let place = probe.files().find(name).unwrap();
            let Content::Delta(by_size) = &probe.files().at(place).1.content else { panic!() };
            DELTA_SIZES.iter().filter(|size| by_size.get(**size).is_some()).count()
        };
        assert_eq!((sizes("a/t.ibd.delta"), sizes("b/t.ibd.delta")), (1, 1));
        assert_eq!(sizes("c/t.ibd.delta"), DELTA_SIZES.len());
        assert!(probe.page_sizes.is_empty() && probe.unsized_deltas.is_empty());
    }
}
