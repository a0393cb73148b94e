//! A stream as objects of a bounded size, each in parts of one size.
//!
//! Names are as AWS's own examples write them (`split -d`): the stream's name and a number of fixed
//! width, with no dot between, so that alphabetical and natural order are the same.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::{
    MAX_OBJECT,
    buffers::{Buffer, Buffers},
};

/// How many parts S3 takes for one object.
pub const MAX_PARTS: u64 = 10_000;
/// How many bytes are read at once.
const READ: usize = 1 << 20;
/// How many objects a name of five digits can count.
const MAX_NUMBER: usize = 99_999;

/// The name of an object of a split stream: `backup.tar.gz` and 3 give `backup.tar.gz00003`.
pub fn name(stream: &str, object: usize) -> String {
    format!("{stream}{object:05}")
}

/// The number in the name of an object of this stream.
pub fn number(stream: &str, name: &str) -> Option<usize> {
    let digits = name.strip_prefix(stream)?;
    (digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// How many parts an object has: as many as fit into `split_bytes`, and as S3 takes.
pub fn parts_per_object(split_bytes: u64, part_bytes: u64) -> u32 {
    let parts = (split_bytes.min(MAX_OBJECT) / part_bytes.max(1)).clamp(1, MAX_PARTS);
    parts as u32
}

/// What a stream is cut into.
#[derive(Debug)]
pub enum Cut {
    /// A part of an object; all but the last of the stream have the same size.
    Part {
        /// The object, from 0.
        object: usize,
        /// The part, from 1.
        number: u32,
        /// What it holds.
        bytes: Bytes,
    },
    /// The object has this many parts.
    End {
        /// The object, from 0.
        object: usize,
        /// How many.
        parts: u32,
    },
}

/// A writer that hands over the parts of what is written. Call [`finish`](Self::finish) at the end.
pub struct Splitter<F: FnMut(Cut) -> io::Result<()>> {
    buffers: Buffers,
    parts_per_object: u32,
    object: usize,
    part: u32,
    /// The part that is being filled, and how far.
    filling: Option<Buffer>,
    filled: usize,
    hand_over: F,
}

impl<F: FnMut(Cut) -> io::Result<()>> Splitter<F> {
    /// Hands over parts of the buffers' size, so many an object.
    pub fn new(buffers: Buffers, parts_per_object: u32, hand_over: F) -> Self {
        Splitter {
            buffers,
            parts_per_object,
            object: 0,
            part: 0,
            filling: None,
            filled: 0,
            hand_over,
        }
    }

    /// Reads what there is next, straight into the part. Returns how many bytes; 0 at the end.
    pub fn read_from(&mut self, input: &mut dyn Read) -> io::Result<usize> {
        let to = self.buffers.size().min(self.filled + READ);
        let buffer = self.filling.get_or_insert_with(|| self.buffers.take());
        let count = input.read(&mut buffer[self.filled..to])?;
        self.filled(count)?;
        Ok(count)
    }

    /// So many bytes more are in the part.
    fn filled(&mut self, count: usize) -> io::Result<()> {
        self.filled += count;
        if self.filled == self.buffers.size() { self.part_is_full() } else { Ok(()) }
    }

    /// Hands over what is left. Returns how many objects there are.
    pub fn finish(mut self) -> io::Result<usize> {
        if self.filled > 0 {
            self.part_is_full()?;
        }
        if self.part > 0 {
            (self.hand_over)(Cut::End { object: self.object, parts: self.part })?;
            self.object += 1;
        }
        Ok(self.object)
    }

    fn part_is_full(&mut self) -> io::Result<()> {
        if self.object > MAX_NUMBER {
            return Err(io::Error::other(
                "more than 100,000 objects would be needed: raise split_mib in [staging]",
            ));
        }
        let count = std::mem::take(&mut self.filled);
        let Some(buffer) = self.filling.take() else { return Ok(()) };
        let bytes = buffer.into_bytes(count);
        self.part += 1;
        (self.hand_over)(Cut::Part { object: self.object, number: self.part, bytes })?;
        if self.part == self.parts_per_object {
            (self.hand_over)(Cut::End { object: self.object, parts: self.part })?;
            (self.object, self.part) = (self.object + 1, 0);
        }
        Ok(())
    }
}

impl<F: FnMut(Cut) -> io::Result<()>> Write for Splitter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.buffers.size() - self.filled);
        let buffer = self.filling.get_or_insert_with(|| self.buffers.take());
        buffer[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled(taken)?;
        Ok(taken)
    }

    /// Does nothing: only the last part may be smaller than the others.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts a stream that is written, or read.
    fn cut(length: usize, read: bool) -> (Vec<Vec<usize>>, Vec<u8>, usize) {
        let (mut objects, mut all) = (Vec::new(), Vec::new());
        let mut parts = Vec::new();
        let mut splitter = Splitter::new(Buffers::of(10), 3, |cut| {
            match cut {
                Cut::Part { object, number, bytes } => {
                    assert_eq!((object, number as usize), (objects.len(), parts.len() + 1));
                    parts.push(bytes.len());
                    all.extend_from_slice(&bytes);
                }
                Cut::End { object, parts: said } => {
                    assert_eq!((object, said as usize), (objects.len(), parts.len()));
                    objects.push(std::mem::take(&mut parts));
                }
            }
            Ok(())
        });
        let input: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        for mut piece in input.chunks(7) {
            match read {
                true => while splitter.read_from(&mut piece).unwrap() > 0 {},
                false => splitter.write_all(piece).unwrap(),
            }
        }
        let count = splitter.finish().unwrap();
        (objects, all, count)
    }

    #[test]
    fn every_length_is_cut_without_empty_parts() {
        for length in 0..200 {
            let (length, read) = (length / 2, length % 2 == 0);
            let (objects, all, count) = cut(length, read);
            assert_eq!(all, (0..length).map(|byte| byte as u8).collect::<Vec<_>>());
            assert_eq!((objects.len(), count), (length.div_ceil(30), length.div_ceil(30)));
            let sizes: Vec<usize> = objects.concat();
            assert!(sizes.iter().rev().skip(1).all(|size| *size == 10), "{sizes:?}");
            assert!(sizes.iter().all(|size| *size > 0));
        }
    }

    #[test]
    fn names_sort_in_both_orders() {
        assert_eq!(name("backup.tar.gz", 0), "backup.tar.gz00000");
        assert_eq!(number("backup.tar.gz", "backup.tar.gz00012"), Some(12));
        for wrong in ["backup.tar.gz", "backup.tar.gz0001", "backup.tar.gz00001x", "b.tar.gz00001"]
        {
            assert_eq!(number("backup.tar.gz", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_object_keeps_to_what_s3_takes() {
        const MIB: u64 = 1 << 20;
        assert_eq!(parts_per_object(512 * 1024 * MIB, 16 * MIB), 10_000);
        assert_eq!(parts_per_object(64 * MIB, 16 * MIB), 4);
        assert_eq!(parts_per_object(MIB, 16 * MIB), 1);
        assert!(u64::from(parts_per_object(u64::MAX, 5 << 30)) * (5 << 30) <= MAX_OBJECT);
    }
}
