//! The changed pages of an incremental backup: blocks of page numbers, each followed by its pages.
//!
//! A block's first page begins with `xtra`, the last block's with `XTRA`; then come page numbers, ended by
//! 0xFFFFFFFF unless the block is full. A file that ends elsewhere was cut.

/// Walks through a `.delta` file of a page size.
#[derive(Debug)]
pub struct Delta {
    page_size: usize,
    head: Vec<u8>,
    /// Bytes of pages that still belong to this block.
    left: u64,
    last: bool,
    flaw: Option<String>,
}

impl Delta {
    /// For pages of so many bytes in the file.
    pub fn new(page_size: u32) -> Delta {
        let flaw = (!page_size.is_power_of_two() || !(1024..=65536).contains(&page_size))
            .then(|| format!("pages of {page_size} bytes"));
        Delta { page_size: page_size as usize, head: Vec::new(), left: 0, last: false, flaw }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.flaw.is_none() {
            if self.left > 0 {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[now..];
                self.left -= now as u64;
                continue;
            }
            if self.last {
                self.flaw = Some("something follows its last block".into());
                return;
            }
            let now = bytes.len().min(self.page_size - self.head.len());
            self.head.extend_from_slice(&bytes[..now]);
            bytes = &bytes[now..];
            if self.head.len() == self.page_size {
                self.block();
                self.head.clear();
            }
        }
    }

    fn block(&mut self) {
        match &self.head[..4] {
            b"xtra" => {}
            b"XTRA" => self.last = true,
            _ => {
                self.flaw = Some("no block begins where one must".into());
                return;
            }
        }
        let pages =
            self.head[4..].chunks_exact(4).take_while(|number| **number != [0xff; 4]).count()
                as u64;
        self.left = pages * self.page_size as u64;
    }

    /// Why it isn't whole, if it isn't.
    pub fn finish(self) -> Option<String> {
        match (self.flaw, self.left, self.last) {
            (Some(flaw), ..) => Some(flaw),
            (None, 0, true) if self.head.is_empty() => None,
            _ => Some("it is cut".into()),
        }
    }
}
