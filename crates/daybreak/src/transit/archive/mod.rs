//! Reads what backups come in: xbstream, tar, gzip, split parts, directory trees, `.qp` files. Pure Rust,
//! streaming, with memory that doesn't depend on what a file claims about itself.
//!
//! Every reader tells a [`Visitor`] what it finds. It refuses what it doesn't understand, names that lead
//! out of the backup, and whatever doesn't end as it must: a reader that returned `Ok` has seen the whole.

mod name;
pub mod parts;
pub mod qpress;
pub mod quicklz;
pub mod tar;
pub mod tree;
pub mod xbstream;

use std::{
    cell::RefCell,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use crate::error::Error;

pub use name::checked;
pub use tree::{Blob, Blobs, blobs_of_path};

/// How much is read at once.
pub const PIECE: usize = 256 * 1024;

/// Why a reader stopped before the end.
#[derive(Debug)]
pub enum Fault {
    /// The bytes aren't as the format wants them, or the end is missing.
    Damaged(String),
    /// A name leads out of the backup, or can't be a file's name.
    Unsafe(String),
    /// Sound, as far as can be seen, but nothing that a backup holds or that is known here.
    Unknown(String),
    /// The bytes couldn't be read at all.
    Io(io::Error),
    /// The visitor wanted no more.
    Stopped(Error),
}

impl Fault {
    /// What happened, for people.
    pub fn what(&self) -> String {
        match self {
            Fault::Damaged(what) | Fault::Unsafe(what) | Fault::Unknown(what) => what.clone(),
            Fault::Io(error) => error.to_string(),
            Fault::Stopped(error) => error.what().to_string(),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Stopped(error)
    }
}

/// What only some tools write; whether it is sound depends on the tool, which is known at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// A file that replaces an earlier one (mariadb-backup).
    Rewrite,
    /// A file that gets another name (mariadb-backup).
    Rename,
    /// A file that is taken back (mariadb-backup).
    Remove,
    /// A jump within a file (mariadb-backup).
    Seek,
    /// A hole in a file (XtraBackup 8.0).
    Sparse,
    /// A chunk of an unknown type, marked as one that may be ignored.
    Ignored,
}

/// Who is told what an archive holds. Files may interleave: each has a number from its beginning to its end.
pub trait Visitor {
    /// A file begins.
    fn begin(&mut self, file: u64, name: &str) -> Result<(), Error>;
    /// Bytes of a file. What was skipped before `offset` is zeros.
    fn data(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<(), Error>;
    /// A file ended, at this size.
    fn end(&mut self, file: u64, size: u64) -> Result<(), Error>;
    /// A file that ended gets another name.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error>;
    /// A file that ended is taken back.
    fn remove(&mut self, name: &str) -> Result<(), Error>;
    /// Something that only some tools write.
    fn odd(&mut self, oddity: Oddity, name: &str);
}

/// What a stream is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An xbstream.
    Xbstream,
    /// A tar archive.
    Tar,
    /// Neither.
    Other,
}

/// A stream whose beginning was looked at.
pub struct Opened {
    /// What is in it, below gzip.
    pub format: Format,
    /// Whether it is gzipped.
    pub gzip: bool,
    /// How many bytes of the stored form were read so far.
    stored: Stored,
    input: Box<dyn BufRead>,
}

impl Opened {
    /// Looks at a stream's beginning and unpacks gzip (of any number of members).
    pub fn new(stream: impl Read + 'static) -> Result<Opened, Fault> {
        let stored = Stored::default();
        let mut plain = BufReader::with_capacity(PIECE, Counted { stream, stored: stored.clone() });
        let fail = |error| stored.fault(error);
        let gzip = starts(&mut plain, &[0x1f, 0x8b]).map_err(fail)?;
        let mut input: Box<dyn BufRead> = match gzip {
            true => Box::new(BufReader::with_capacity(
                PIECE,
                flate2::bufread::MultiGzDecoder::new(plain),
            )),
            false => Box::new(plain),
        };
        let format = match input.fill_buf() {
            Ok(head) if head.starts_with(xbstream::MAGIC) => Format::Xbstream,
            Ok(head) if tar::looks_like(head) => Format::Tar,
            Ok(_) => Format::Other,
            Err(error) => return Err(stored.fault(error)),
        };
        Ok(Opened { format, gzip, stored, input })
    }

    /// Reads all of it. Anything but an archive is refused.
    pub fn read(mut self, visitor: &mut dyn Visitor) -> Result<(), Fault> {
        let result = match self.format {
            Format::Xbstream => xbstream::read(&mut self.input, visitor),
            Format::Tar => tar::read(&mut self.input, visitor),
            Format::Other => Err(Fault::Unknown(match self.gzip {
                true => "neither tar nor xbstream is in the gzip stream".into(),
                false => "neither tar, gzip nor xbstream".into(),
            })),
        };
        result.map_err(|fault| match fault {
            Fault::Io(error) => self.stored.fault(error),
            other => other,
        })
    }
}

/// Whether a stream starts so. Only what the first read gives is looked at, and that is more than this.
fn starts(input: &mut impl BufRead, with: &[u8]) -> io::Result<bool> {
    Ok(input.fill_buf()?.starts_with(with))
}

/// Tells a failure of the disk or network from bytes that a decoder didn't like.
#[derive(Clone, Default)]
struct Stored(Rc<RefCell<Option<io::Error>>>);

impl Stored {
    fn fault(&self, error: io::Error) -> Fault {
        match self.0.borrow_mut().take() {
            Some(own) => Fault::Io(own),
            None => Fault::Damaged(format!("the gzip stream is damaged or cut: {error}")),
        }
    }
}

struct Counted<R> {
    stream: R,
    stored: Stored,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let copy = io::Error::new(error.kind(), error.to_string());
                    *self.stored.0.borrow_mut() = Some(error);
                    return Err(copy);
                }
                Ok(read) => return Ok(read),
            }
        }
    }
}

/// A stream that knows where it is.
pub(crate) struct Input<'a> {
    stream: &'a mut dyn Read,
    at: u64,
}

impl<'a> Input<'a> {
    pub(crate) fn new(stream: &'a mut dyn Read) -> Self {
        Input { stream, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Fills a buffer as far as there are bytes, and says how far.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < into.len() {
            match self.stream.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// Fills a buffer; an end before that is damage.
    pub(crate) fn exact(&mut self, into: &mut [u8], what: &str) -> Result<(), Fault> {
        let wanted = into.len();
        match self.fill(into)? == wanted {
            true => Ok(()),
            false => Err(self.cut(what)),
        }
    }

    /// Hands on so many bytes in pieces; an end before that is damage.
    pub(crate) fn pieces(
        &mut self,
        mut left: u64,
        buffer: &mut [u8],
        what: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.exact(&mut buffer[..now], what)?;
            take(&buffer[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    fn cut(&self, what: &str) -> Fault {
        Fault::Damaged(format!("cut within {what}, after {} bytes", self.at))
    }
}
