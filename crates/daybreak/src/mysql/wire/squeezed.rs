//! The compressed protocol: frames of zlib's around whatever is sent, regardless of packets.

use std::io::{self, Write as _};

use flate2::{Compression, Decompress, FlushDecompress, Status, write::ZlibEncoder};

use super::{link::Link, packets::KEPT};

/// The length, sequence and length before compression.
const HEADER: usize = 7;

/// Less than this isn't worth the work.
const LEAST: usize = 50;

/// How much goes into a frame, so that it is below 16 MiB even where it didn't become less.
const PIECE: usize = 1 << 20;

/// How much is read from the link at once.
const ARRIVED: usize = 64 << 10;

/// Both directions of a compressed connection.
pub(super) struct Squeezed {
    /// The number of the next frame, of either side.
    sequence: u8,
    /// Bytes from the link that aren't looked at yet.
    arrived: Vec<u8>,
    start: usize,
    end: usize,
    /// The frame that is arriving: its length, and that of what it holds (0: it is not compressed).
    header: Option<(usize, usize)>,
    frame: Vec<u8>,
    /// What the last frame held, and how much of that was handed on.
    plain: Vec<u8>,
    taken: usize,
    inflate: Decompress,
}

impl Squeezed {
    pub(super) fn new() -> Self {
        Squeezed {
            sequence: 0,
            arrived: vec![0; ARRIVED],
            start: 0,
            end: 0,
            header: None,
            frame: Vec::new(),
            plain: Vec::new(),
            taken: 0,
            inflate: Decompress::new(true),
        }
    }

    /// Another command begins.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Puts packets into frames.
    pub(super) fn frames(&mut self, packets: &[u8]) -> io::Result<Vec<u8>> {
        let mut frames = Vec::with_capacity(packets.len() / 2 + 2 * HEADER);
        for piece in packets.chunks(PIECE) {
            let (held, plain) = match piece.len() < LEAST {
                true => (piece.to_vec(), 0),
                false => {
                    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(piece)?;
                    (encoder.finish()?, piece.len())
                }
            };
            frames.extend_from_slice(&(held.len() as u32).to_le_bytes()[..3]);
            frames.push(self.sequence);
            frames.extend_from_slice(&(plain as u32).to_le_bytes()[..3]);
            frames.extend_from_slice(&held);
            self.sequence = self.sequence.wrapping_add(1);
        }
        Ok(frames)
    }

    /// Some bytes; none at the end. What was read isn't lost if this is dropped.
    pub(super) async fn read(&mut self, link: &mut Link, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = &self.plain[self.taken..];
            if !left.is_empty() {
                let length = left.len().min(into.len());
                into[..length].copy_from_slice(&left[..length]);
                self.taken += length;
                return Ok(length);
            }
            if !self.open()? {
                if self.start > 0 {
                    self.arrived.copy_within(self.start..self.end, 0);
                    (self.start, self.end) = (0, self.end - self.start);
                }
                let read = link.read(&mut self.arrived[self.end..]).await?;
                if read == 0 {
                    return Ok(0);
                }
                self.end += read;
            }
        }
    }

    /// Opens the next frame; false if it isn't here yet.
    fn open(&mut self) -> io::Result<bool> {
        let (length, plain) = match self.header {
            Some(header) => header,
            None => {
                let Some(&[a, b, c, sequence, d, e, f]) =
                    self.arrived[self.start..self.end].first_chunk::<HEADER>()
                else {
                    return Ok(false);
                };
                if sequence != self.sequence {
                    return Err(io::Error::other("frames out of order"));
                }
                self.sequence = sequence.wrapping_add(1);
                self.start += HEADER;
                self.frame.clear();
                self.frame.shrink_to(KEPT);
                let number = |a, b, c| u32::from_le_bytes([a, b, c, 0]) as usize;
                *self.header.insert((number(a, b, c), number(d, e, f)))
            }
        };
        let part = (length - self.frame.len()).min(self.end - self.start);
        self.frame.extend_from_slice(&self.arrived[self.start..self.start + part]);
        self.start += part;
        if self.frame.len() < length {
            return Ok(false);
        }
        self.header = None;
        self.taken = 0;
        if plain == 0 {
            std::mem::swap(&mut self.plain, &mut self.frame);
            return Ok(true);
        }
        self.plain.clear();
        self.plain.shrink_to(KEPT);
        self.plain.resize(plain, 0);
        self.inflate.reset(true);
        let status =
            self.inflate.decompress(&self.frame, &mut self.plain, FlushDecompress::Finish)?;
        match status == Status::StreamEnd && self.inflate.total_out() == plain as u64 {
            true => Ok(true),
            false => Err(io::Error::other("a frame that doesn't hold what it says")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes frames in as they come from a link, so many bytes at a time.
    fn opened(frames: &[u8], at_once: usize) -> io::Result<Vec<u8>> {
        let mut squeezed = Squeezed::new();
        let mut plain = Vec::new();
        for piece in frames.chunks(at_once) {
            squeezed.arrived[squeezed.end..squeezed.end + piece.len()].copy_from_slice(piece);
            squeezed.end += piece.len();
            while squeezed.open()? {
                plain.extend_from_slice(&squeezed.plain);
            }
            (squeezed.start, squeezed.end) = {
                squeezed.arrived.copy_within(squeezed.start..squeezed.end, 0);
                (0, squeezed.end - squeezed.start)
            };
        }
        Ok(plain)
    }

    #[test]
    fn frames_hold_what_was_put_in() {
        for length in [0, 1, 49, 50, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let packets: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let frames = Squeezed::new().frames(&packets).unwrap();
            for at_once in [7, 1000, ARRIVED - 7] {
                assert!(opened(&frames, at_once).unwrap() == packets, "{length} {at_once}");
            }
        }
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let mut frames = Squeezed::new().frames(&[b'x'; 1000]).unwrap();
        for said in [999_u32, 1001, 0xFF_FFFF] {
            frames[4..7].copy_from_slice(&said.to_le_bytes()[..3]);
            assert!(opened(&frames, 1000).is_err(), "{said}");
        }
        frames[3] = 1;
        assert!(opened(&frames, 1000).is_err());
    }
}
