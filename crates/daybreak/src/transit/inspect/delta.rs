//! The changed pages of an incremental backup: blocks of page numbers, each followed by its pages.
//!
//! A block's first page begins with `xtra`, the last block's with `XTRA`; then come page numbers, ended by
//! 0xFFFFFFFF unless the block is full. A file that ends elsewhere was cut.

use super::{
    checksum::{self, Scheme},
    pages::{Damaged, doublewrite},
};

/// Walks through a `.delta` file of a page size.
#[derive(Debug)]
pub struct Delta {
    page_size: usize,
    page: Vec<u8>,
    /// The pages of this block that are still to come, the next one last.
    numbers: Vec<u32>,
    last: bool,
    flaw: Option<String>,
    /// Pages that aren't looked at: copies of others.
    copies: std::ops::Range<u32>,
    /// Whether the pages are those that the blocks name; unknown before the first with a content.
    fits: Option<bool>,
    scheme: Scheme,
    damaged: Damaged,
}

/// What was seen of a delta, read with a page size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why it isn't whole, if it isn't.
    pub flaw: Option<String>,
    /// Pages that don't fit their checksums.
    pub damaged: Damaged,
    /// The first page with a content isn't the one that its block names.
    pub other_pages: bool,
}

/// What was seen of a delta with each of the page sizes that it may have: its `.meta`, which tells, may come
/// later.
#[derive(Debug)]
pub struct BySize(Vec<(u32, Seen)>);

impl BySize {
    /// Of what looked at it.
    pub fn of(deltas: Vec<(u32, Delta)>) -> BySize {
        BySize(deltas.into_iter().map(|(size, delta)| (size, delta.finish())).collect())
    }

    /// With pages of so many bytes.
    pub fn get(&self, page_size: u32) -> Option<&Seen> {
        self.0.iter().find(|(size, _)| *size == page_size).map(|(_, seen)| seen)
    }

    /// Forgets the others.
    pub fn keep(&mut self, page_size: u32) {
        self.0.retain(|(size, _)| *size == page_size);
        self.0.shrink_to_fit();
    }
}

impl Delta {
    /// For pages of so many bytes in the file; `system`: of the system tablespace.
    pub fn new(page_size: u32, system: bool) -> Delta {
        let flaw = (!page_size.is_power_of_two() || !(1024..=65536).contains(&page_size))
            .then(|| format!("pages of {page_size} bytes"));
        Delta {
            page_size: page_size as usize,
            page: Vec::new(),
            numbers: Vec::new(),
            last: false,
            flaw,
            copies: if system { doublewrite(page_size) } else { 0..0 },
            fits: None,
            scheme: Scheme::Plain,
            damaged: Damaged::default(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.flaw.is_none() && !(self.last && self.numbers.is_empty()) {
            if self.page.is_empty() && bytes.len() >= self.page_size {
                let (page, rest) = bytes.split_at(self.page_size);
                self.next(page);
                bytes = rest;
                continue;
            }
            let now = bytes.len().min(self.page_size - self.page.len());
            self.page.extend_from_slice(&bytes[..now]);
            bytes = &bytes[now..];
            if self.page.len() == self.page_size {
                let mut page = std::mem::take(&mut self.page);
                self.next(&page);
                // Keeps what was allocated.
                page.clear();
                self.page = page;
            }
        }
        if !bytes.is_empty() && self.last && self.numbers.is_empty() && self.flaw.is_none() {
            self.flaw = Some("something follows its last block".into());
        }
    }

    /// A block's head, or a page of it.
    fn next(&mut self, page: &[u8]) {
        match self.numbers.pop() {
            Some(number) => self.changed(number, page),
            None => self.block(page),
        }
    }

    fn block(&mut self, head: &[u8]) {
        match &head[..4] {
            b"xtra" => {}
            b"XTRA" => self.last = true,
            _ => {
                self.flaw = Some("no block begins where one must".into());
                return;
            }
        }
        let numbers = head[4..].chunks_exact(4).take_while(|number| **number != [0xff; 4]);
        self.numbers = numbers.map(|n| u32::from_be_bytes([n[0], n[1], n[2], n[3]])).collect();
        self.numbers.reverse();
    }

    fn changed(&mut self, number: u32, page: &[u8]) {
        if self.copies.contains(&number) || self.fits == Some(false) || checksum::is_blank(page) {
            return;
        }
        let is_named = page[4..8] == number.to_be_bytes();
        // With another page size than the file's they are other bytes.
        if !*self.fits.get_or_insert(is_named) || checksum::is_opaque(page) {
            return;
        }
        let sound = checksum::fits(page, self.scheme)
            || [Scheme::Plain, Scheme::Full, Scheme::Zip].into_iter().any(|scheme| {
                let fits = scheme != self.scheme && checksum::fits(page, scheme);
                if fits {
                    self.scheme = scheme;
                }
                fits
            });
        if !is_named || !sound {
            self.damaged.add(number);
        }
    }

    /// What was seen, when the file has ended.
    pub fn finish(self) -> Seen {
        let flaw = match (self.flaw, self.numbers.is_empty(), self.last) {
            (Some(flaw), ..) => Some(flaw),
            (None, true, true) if self.page.is_empty() => None,
            _ => Some("it is cut".into()),
        };
        Seen { flaw, damaged: self.damaged, other_pages: self.fits == Some(false) }
    }
}
