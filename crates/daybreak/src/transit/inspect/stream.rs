//! A stream that can be read once, of a length that nobody knows yet.

use std::io::Read;

use super::{Blob, Survey, parts, unpack_stream};
use crate::error::{Error, Kind, Result};

impl Survey {
    /// Reads an archive as it comes. `name` is its own, such as `backup.xbstream`.
    ///
    /// # Errors
    /// As [`Survey::read`].
    pub fn of_stream(name: &str, stream: impl Read + 'static) -> Result<Survey> {
        let archive = parts::group(vec![Blob::of_bytes(name, Vec::new())]).pop();
        let archive = archive.ok_or_else(|| Error::new(Kind::Bug, "an archive without a name"))?;
        Ok(Survey { sources: vec![unpack_stream(archive, stream, String::new(), None)?] })
    }
}
