//! A row of the text protocol where it lies: cells of bytes, each behind its length.

use crate::error::{Error, Kind, Result};

/// A row's cells, from left to right.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a>(&'a [u8]);

impl<'a> Cells<'a> {
    /// A row as it came.
    pub fn of(packet: &'a [u8]) -> Self {
        Cells(packet)
    }

    /// The next cell; none for NULL.
    ///
    /// # Errors
    /// `Bug` where there is no cell any more, or none that is whole.
    pub fn cell(&mut self) -> Result<Option<&'a [u8]>> {
        self.take().ok_or_else(another_shape)
    }

    fn take(&mut self) -> Option<Option<&'a [u8]>> {
        let (&first, rest) = self.0.split_first()?;
        let (length, rest) = match first {
            0xFB => {
                self.0 = rest;
                return Some(None);
            }
            0xFC => number::<2>(rest)?,
            0xFD => number::<3>(rest)?,
            0xFE => number::<8>(rest)?,
            0xFF => return None,
            length => (length.into(), rest),
        };
        let (cell, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(cell))
    }

    /// Makes sure that there were no more cells than were taken.
    ///
    /// # Errors
    /// `Bug`.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(another_shape()) }
    }
}

/// A length of so many bytes, and what comes after it.
fn number<const BYTES: usize>(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (bytes, rest) = rest.split_first_chunk::<BYTES>()?;
    let mut eight = [0; 8];
    eight[..BYTES].copy_from_slice(bytes);
    Some((usize::try_from(u64::from_le_bytes(eight)).ok()?, rest))
}

fn another_shape() -> Error {
    Error::new(Kind::Bug, "a row has another shape than was asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell as servers write it.
    fn written(cell: Option<&[u8]>) -> Vec<u8> {
        let Some(cell) = cell else { return vec![0xFB] };
        let length = cell.len() as u64;
        let mut bytes = match length {
            0..=250 => vec![length as u8],
            251..=0xFFFF => [&[0xFC], &length.to_le_bytes()[..2]].concat(),
            0x1_0000..=0xFF_FFFF => [&[0xFD], &length.to_le_bytes()[..3]].concat(),
            _ => [&[0xFE], &length.to_le_bytes()[..]].concat(),
        };
        bytes.extend_from_slice(cell);
        bytes
    }

    #[test]
    fn cells_of_every_length_come_out() {
        let lengths = [0, 1, 250, 251, 252, 65_535, 65_536, (16 << 20) - 1, 16 << 20, 17 << 20];
        for length in lengths {
            let long = vec![b'\xFB'; length];
            let wanted: [Option<&[u8]>; 6] =
                [None, Some(&long), Some(b""), Some(b"x"), None, Some(&long)];
            let packet: Vec<u8> = wanted.iter().flat_map(|cell| written(*cell)).collect();
            let mut cells = Cells::of(&packet);
            for cell in wanted {
                assert!(cells.cell().unwrap() == cell, "{length}");
            }
            cells.end().unwrap();
            assert_eq!(cells.cell().unwrap_err().kind(), Kind::Bug);
        }
    }

    #[test]
    fn a_row_that_was_cut_has_no_cell_there() {
        for cell in [&b"abc"[..], &[b'x'; 300], &vec![b'x'; 70_000], &vec![b'x'; 17 << 20]] {
            let packet = written(Some(cell));
            for length in (0..12.min(packet.len())).chain([packet.len() - 1]) {
                assert!(Cells::of(&packet[..length]).cell().is_err(), "{length} of {}", cell.len());
            }
        }
        // A length that nobody could have sent.
        assert!(Cells::of(&[&[0xFE][..], &[0xFF; 8], b"x"].concat()).cell().is_err());
        assert!(Cells::of(b"\xFFx").cell().is_err());
    }

    #[test]
    fn cells_that_nobody_asked_for_are_noticed() {
        let mut cells = Cells::of(b"\x01a\x01b");
        assert_eq!(cells.cell().unwrap(), Some(&b"a"[..]));
        assert_eq!(cells.end().unwrap_err().kind(), Kind::Bug);
    }
}
