//! What the pages of InnoDB's files tell: page size, encryption, compression, where the file's data should
//! end, which pages don't fit their checksums; in the system tablespace also which tables there are and the binary log position of the last commit.
//!
//! Sources: MySQL's `fil0types.h`, `fsp0types.h`, `trx0sys.h`, `dict0boot.h`, `page0types.h`; MariaDB's
//! `fsp0types.h` for its own flags.

use std::{borrow::Cow, collections::BTreeMap};

use super::checksum::{self, Scheme};

/// Bytes of the first page that tell how the file is to be read.
const HEAD: usize = 64;
const LARGEST_PAGE: usize = 65536;

const TYPE_ALLOCATED: u16 = 0;
const TYPE_TRX_SYS: u16 = 7;
const TYPE_FSP_HEADER: u16 = 8;
const TYPE_INDEX: u16 = 17855;
/// Damaged pages that are named.
const NAMED: usize = 3;
/// The doublewrite buffer's place on the page of the transaction system, from the page's end.
const DOUBLEWRITE: usize = 200;
const DOUBLEWRITE_MAGIC: u32 = 536_853_855;

/// Page compression and encryption: MySQL's 14 to 16, MariaDB's 34354 and 37401.
const TYPES_COMPRESSED: [u16; 4] = [14, 16, 34354, 37401];
const TYPES_ENCRYPTED: [u16; 3] = [15, 16, 37401];
/// The index of SYS_TABLES.
const DICT_TABLES_ID: u64 = 1;
const NO_PAGE: u32 = u32::MAX;
const BINLOG_MAGIC: u32 = 873_422_344;

/// The smallest size that a page may have in a file; all others are multiples of it.
const SMALLEST: u32 = 512;

/// What a tablespace's pages tell, in few bytes: a backup may have a million tablespaces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Space {
    /// How many pages the space has, by its own first page.
    pub pages: u32,
    /// Its number.
    pub id: u32,
    /// The page size, in units of the smallest; 0 while it isn't known.
    page_units: u8,
    /// The same of a page in the file.
    stored_units: u8,
    /// Whether it is, or was being, encrypted.
    pub encrypted: bool,
    /// ROW_FORMAT=COMPRESSED.
    pub row_compressed: bool,
    /// Page compression.
    pub page_compressed: bool,
    /// DATA DIRECTORY.
    pub elsewhere: bool,
    /// Nothing was written into it yet: it is made from the redo log.
    pub blank: bool,
}

/// What few tablespaces have.
#[derive(Debug, Clone, Default)]
pub struct Special {
    /// Pages that don't fit their checksums.
    pub damaged: Damaged,
    /// Of the system tablespace: the last commit's place in the binary log.
    pub binlog: Option<(String, u64)>,
    /// Leaves of SYS_TABLES by page number.
    leaves: BTreeMap<u32, Leaf>,
}

/// Pages that are damaged: the first of them, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damaged {
    /// Numbers of the first ones.
    pub first: Vec<u32>,
    /// How many there are.
    pub count: u64,
}

impl Damaged {
    /// Notes one.
    pub fn add(&mut self, page: u32) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(page);
        }
    }

    /// In words; none if there is none.
    pub fn said(&self) -> Option<String> {
        let pages = self.first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self.count.saturating_sub(self.first.len() as u64) {
            _ if self.count == 0 => None,
            0 => Some(format!("page {pages}")),
            more => Some(format!("pages {pages} and {more} more")),
        }
    }
}

/// A table of InnoDB's dictionary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// `db/table`, as files are named.
    pub name: String,
    /// The number of its tablespace; 0 is the system tablespace.
    pub space: u32,
}

#[derive(Debug, Clone, Default)]
struct Leaf {
    previous: u32,
    next: u32,
    tables: Vec<Table>,
}

/// The pages of `ibdata1` in which copies of others lie: not looked at where the page that says so wasn't
/// seen. Each of the two blocks has the size of an extent.
pub fn doublewrite(page_size: u32) -> std::ops::Range<u32> {
    let extent = (1 << 20) / page_size.clamp(1024, 16384);
    extent..3 * extent
}

impl Space {
    /// The page size in bytes, unpacked; none if nothing was written into it yet.
    pub fn page_size(&self) -> Option<u32> {
        (self.page_units > 0).then(|| u32::from(self.page_units) * SMALLEST)
    }

    /// How many bytes a page takes in the file.
    pub fn stored(&self) -> u32 {
        u32::from(self.stored_units) * SMALLEST
    }
}

impl Special {
    /// The tables that InnoDB's dictionary names (5.x, MariaDB), but for temporary and discarded ones.
    ///
    /// A page that was given up keeps its content: it counts only if its neighbours know it.
    pub fn tables(&self) -> Vec<&Table> {
        let leaves = &self.leaves;
        let known = |number: u32, leaf: &Leaf| {
            let by = |other: u32, points: fn(&Leaf) -> u32| {
                other == NO_PAGE || leaves.get(&other).is_some_and(|other| points(other) == number)
            };
            by(leaf.previous, |leaf| leaf.next) && by(leaf.next, |leaf| leaf.previous)
        };
        let mut tables: Vec<&Table> = leaves
            .iter()
            .filter(|(number, leaf)| known(**number, leaf))
            .flat_map(|(_, leaf)| &leaf.tables)
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}

/// Looks at a tablespace's pages as they come by.
#[derive(Debug)]
pub struct Scan {
    space: Space,
    special: Option<Box<Special>>,
    /// Why the first page can't be understood.
    flaw: Option<Cow<'static, str>>,
    system: bool,
    /// Whether it may be blank.
    fresh: bool,
    /// How many bytes came.
    at: u64,
    page: Vec<u8>,
    number: u32,
    scheme: Scheme,
    /// Pages of the system tablespace that are copies of others.
    copies: [std::ops::Range<u32>; 2],
}

impl Scan {
    /// For a tablespace, the first file of the system tablespace, or a table that was just created.
    pub fn new(system: bool, fresh: bool) -> Scan {
        Scan {
            space: Space::default(),
            special: None,
            flaw: None,
            system,
            fresh,
            at: 0,
            page: Vec::new(),
            number: 0,
            scheme: Scheme::Plain,
            copies: [0..0, 0..0],
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.flaw.is_none() && !self.space.blank {
            if self.space.page_units == 0 {
                let (now, rest) = bytes.split_at(bytes.len().min(HEAD - self.page.len()));
                self.page.extend_from_slice(now);
                bytes = rest;
                self.at += now.len() as u64;
                if self.page.len() == HEAD {
                    self.first();
                }
                continue;
            }
            let size = self.space.stored() as usize;
            if self.page.is_empty() && bytes.len() >= size {
                let (page, rest) = bytes.split_at(size);
                self.whole_page(page);
                self.at += size as u64;
                bytes = rest;
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(size - self.page.len()));
            self.page.extend_from_slice(now);
            self.at += now.len() as u64;
            bytes = rest;
            if self.page.len() == size {
                let mut page = std::mem::take(&mut self.page);
                self.whole_page(&page);
                // Keeps what was allocated.
                page.clear();
                self.page = page;
            }
        }
    }

    /// A hole: zeros that aren't there.
    pub fn skip(&mut self, mut count: u64) {
        let zeros = [0; 4096];
        // Only the pages at its two ends matter.
        let size = u64::from(self.space.stored().max(SMALLEST));
        if self.space.page_units > 0 && count > 4 * size {
            let whole = (count - 3 * size) / size;
            let to_boundary = (size - self.at % size) % size;
            self.push(&vec![0; to_boundary as usize]);
            count -= to_boundary;
            let jump = whole.min(count / size);
            self.at += jump * size;
            self.number = self.number.saturating_add(u32::try_from(jump).unwrap_or(u32::MAX));
            count -= jump * size;
        }
        while count > 0 {
            let now = count.min(zeros.len() as u64);
            self.push(&zeros[..now as usize]);
            count -= now;
            if self.flaw.is_some() || self.space.blank {
                return;
            }
        }
    }

    /// What was seen, when the file ended at this size; or why it isn't a tablespace.
    pub fn finish(self, size: u64) -> Result<(Space, Option<Box<Special>>), Cow<'static, str>> {
        match self.flaw {
            Some(flaw) => Err(flaw),
            None if self.space.page_units > 0 || self.space.blank => Ok((self.space, self.special)),
            None if size == 0 => Err("it is empty".into()),
            None => Err("it is shorter than a page's head".into()),
        }
    }

    fn first(&mut self) {
        let page = &self.page;
        if self.fresh && page.iter().all(|byte| *byte == 0) {
            self.space.blank = true;
            return;
        }
        let (kind, flags) = (u16_at(page, 24), u32_at(page, 54));
        let (space, again) = (u32_at(page, 34), u32_at(page, 38));
        // As MySQL makes a table's file: flags and number, which the page itself is flushed over later, whole.
        // Until then its content is in the redo log. Source: fil0fil.cc of 5.6 to 8.0, where tablespaces are
        // created; seen on 5.6.24, of tables that were made just before the backup.
        let new = kind == TYPE_ALLOCATED && u64_at(page, 16) == 0 && space != 0 && !self.system;
        if !(kind == TYPE_FSP_HEADER || new) || u32_at(page, 4) != 0 || space != again {
            let what = format!("its first page is of type {kind}, not the head of a tablespace");
            self.flaw = Some(what.into());
            return;
        }
        let found = &mut self.space;
        found.pages = u32_at(page, 46);
        found.id = space;
        let mut stored = 0;
        let size = if flags & 0x10 != 0 {
            // MariaDB's full_crc32 format.
            self.scheme = Scheme::Full;
            found.page_compressed = flags & 0xe0 != 0;
            512_u32.checked_shl(flags & 0xf)
        } else {
            let zip = (flags >> 1) & 0xf;
            if zip > 0 {
                found.row_compressed = true;
                self.scheme = Scheme::Zip;
                stored = 512 << zip.min(15);
            }
            found.elsewhere = flags & (1 << 10) != 0 && flags & (1 << 16) == 0;
            found.encrypted = flags & (1 << 13) != 0 && flags & 1 != 0;
            // MariaDB's flag of page compression.
            found.page_compressed = flags & (1 << 16) != 0;
            match (flags >> 6) & 0xf {
                0 => Some(16384),
                shift => 512_u32.checked_shl(shift),
            }
        };
        let units = |bytes: u32| u8::try_from(bytes / SMALLEST).unwrap_or(0);
        match size.filter(|size| (1024..=LARGEST_PAGE as u32).contains(size)) {
            Some(size) if stored <= size => {
                found.page_units = units(size);
                found.stored_units = units(if stored == 0 { size } else { stored });
            }
            _ => {
                let what = format!("the flags {flags:#x} of its first page are unknown");
                self.flaw = Some(what.into());
            }
        }
        // The flags of the system tablespace say nothing about these.
        if self.system {
            (found.elsewhere, found.encrypted) = (false, found.encrypted);
        }
    }

    fn whole_page(&mut self, page: &[u8]) {
        let number = self.number;
        self.number = self.number.saturating_add(1);
        let kind = u16_at(page, 24);
        if !self.system {
            self.space.page_compressed |= TYPES_COMPRESSED.contains(&kind);
            self.space.encrypted |= TYPES_ENCRYPTED.contains(&kind);
        } else if u32_at(page, 4) == number {
            // Elsewhere it would be a copy in the doublewrite buffer.
            if number == 5 && kind == TYPE_TRX_SYS {
                self.special.get_or_insert_default().binlog = binlog(page);
                self.copies = copies(page);
            }
            if kind == TYPE_INDEX
                && u64_at(page, 66) == DICT_TABLES_ID
                && u16_at(page, 64) == 0
                && let Some(tables) = sys_tables(page)
            {
                let leaf = Leaf { previous: u32_at(page, 8), next: u32_at(page, 12), tables };
                self.special.get_or_insert_default().leaves.insert(number, leaf);
            }
        }
        if self.copies.iter().any(|copies| copies.contains(&number))
            || checksum::is_blank(page)
            || checksum::is_opaque(page)
        {
            return;
        }
        if u32_at(page, 4) != number || !checksum::fits(page, self.scheme) {
            self.special.get_or_insert_default().damaged.add(number);
        }
    }
}

/// Where the page of the transaction system says that the doublewrite buffer lies.
fn copies(page: &[u8]) -> [std::ops::Range<u32>; 2] {
    let extent = (1 << 20) / u32::try_from(page.len()).unwrap_or(16384).clamp(1024, 16384);
    let at = page.len().saturating_sub(DOUBLEWRITE);
    if u32_at(page, at + 10) != DOUBLEWRITE_MAGIC {
        return [0..0, 0..0];
    }
    [14, 18].map(|field| {
        let first = u32_at(page, at + field);
        first..first.saturating_add(extent)
    })
}

/// The binary log position that a commit leaves on the page of the transaction system (5.x).
fn binlog(page: &[u8]) -> Option<(String, u64)> {
    // 1000 bytes before the page's end, counted from behind its head of 38.
    let at = page.len().checked_sub(962)?;
    if u32_at(page, at) != BINLOG_MAGIC {
        return None;
    }
    let offset = u64::from(u32_at(page, at + 4)) << 32 | u64::from(u32_at(page, at + 8));
    let name = page.get(at + 12..at + 12 + 512)?;
    let name = name.split(|byte| *byte == 0).next()?;
    // A path is kept as log_bin has it; the name is what a replica asks for.
    let name = std::str::from_utf8(name).ok()?.rsplit('/').next()?.to_string();
    (!name.is_empty()).then_some((name, offset))
}

/// The tables in a leaf of SYS_TABLES. Records are of the oldest
/// format: offsets of the fields' ends before the record, backwards.
fn sys_tables(page: &[u8]) -> Option<Vec<Table>> {
    const INFIMUM: usize = 101;
    const SUPREMUM: usize = 116;
    const FIELDS: usize = 10;
    let mut tables = Vec::new();
    let mut at = INFIMUM;
    // No page holds more records than this; a ring ends here.
    for _ in 0..page.len() / 16 {
        at = usize::from(u16_at(page, at.checked_sub(2)?));
        if at == SUPREMUM {
            return Some(tables);
        }
        if at < SUPREMUM || at >= page.len() {
            return None;
        }
        let info = page[at - 6];
        let fields = usize::from((u16_at(page, at - 4) >> 1) & 0x3ff);
        let short = page[at - 3] & 1 == 1;
        if fields != FIELDS {
            return None;
        }
        let end = |field: usize| -> Option<usize> {
            Some(if short {
                usize::from(*page.get(at.checked_sub(7 + field)?)? & 0x7f)
            } else {
                usize::from(u16_at(page, at.checked_sub(8 + 2 * field)?) & 0x3fff)
            })
        };
        let field = |field: usize| -> Option<&[u8]> {
            let from = if field == 0 { 0 } else { end(field - 1)? };
            page.get(at + from..at + end(field)?)
        };
        // Marked as deleted.
        if info & 0x20 != 0 {
            continue;
        }
        let (flags, space) = (field(7)?, field(9)?);
        // Temporary, or without a file since DISCARD TABLESPACE.
        if flags.len() == 4 && u32_at(flags, 0) & 0x21 != 0 {
            continue;
        }
        if space.len() == 4
            && u32_at(space, 0) != NO_PAGE
            && let Ok(name) = std::str::from_utf8(field(0)?)
            && name.contains('/')
        {
            tables.push(Table { name: name.to_string(), space: u32_at(space, 0) });
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}
