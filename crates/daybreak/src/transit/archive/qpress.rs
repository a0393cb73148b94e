//! `.qp` files, as the tools' `--compress` writes them: one file in the container of `qpress`, in blocks of
//! QuickLZ level 1, each with the Adler-32 of its packed form.
//!
//! ```text
//! qpress10 | block size u64 | F | name length u32 | name 0
//! NEWBNEWB | u64 | Adler-32 u32 | block        (any number of them)
//! ENDSENDS | u64
//! ```

use super::quicklz::{self, Head};

/// Larger blocks than any tool writes are refused: the memory that one needs is bounded by this.
const LARGEST_BLOCK: u64 = 8 * 1024 * 1024;
const LONGEST_NAME: usize = 4096;

/// Unpacks a file that comes in pieces.
pub struct Unpack {
    state: State,
    /// What waits for more.
    held: Vec<u8>,
    block_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    Name,
    Mark,
    Block { sum: u32 },
    Ended,
}

impl Default for Unpack {
    fn default() -> Self {
        Unpack { state: State::Magic, held: Vec::new(), block_size: 0 }
    }
}

impl Unpack {
    /// Takes the next bytes and hands on what they unpack to. An error is damage.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        loop {
            let wanted = self.wanted()?;
            if self.state == State::Ended {
                return match bytes.is_empty() {
                    true => Ok(()),
                    false => Err("something follows its end".into()),
                };
            }
            let missing = wanted - self.held.len();
            let (now, rest) = bytes.split_at(missing.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = rest;
            if self.held.len() < wanted {
                return Ok(());
            }
            // The head may say that more is wanted.
            if self.wanted()? > self.held.len() {
                continue;
            }
            self.take(out)?;
            self.held.clear();
        }
    }

    /// Whether the file ended as it must.
    pub fn finish(&self) -> Result<(), String> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err("it is cut".into()),
        }
    }

    /// How many bytes of the present piece are needed, as far as is known.
    fn wanted(&self) -> Result<usize, String> {
        let held = &self.held;
        Ok(match self.state {
            State::Magic => 16,
            State::Name if held.len() < 5 => 5,
            State::Name => {
                let length = u32::from_le_bytes([held[1], held[2], held[3], held[4]]) as usize;
                match length {
                    1..=LONGEST_NAME => 5 + length + 1,
                    _ => return Err(format!("a name of {length} bytes")),
                }
            }
            State::Mark => match held.first() {
                None => 1,
                Some(b'E') => 16,
                Some(_) => 20,
            },
            State::Block { .. } => match held.first() {
                None => 1,
                Some(first) if held.len() < Head::length_of(*first) => Head::length_of(*first),
                Some(_) => {
                    let head = Head::read(held).ok_or("a block's head can't be read")?;
                    // Packed blocks are hardly longer than what is in them.
                    if head.size > self.block_size || head.packed > self.block_size + 512 {
                        return Err(format!(
                            "a block of {} bytes where {} is the most",
                            head.packed.max(head.size),
                            self.block_size
                        ));
                    }
                    head.packed
                }
            },
            State::Ended => 0,
        })
    }

    fn take(&mut self, out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let held = &self.held;
        match self.state {
            State::Magic => {
                let size = u64::from_le_bytes([
                    held[8], held[9], held[10], held[11], held[12], held[13], held[14], held[15],
                ]);
                if !held.starts_with(b"qpress10") {
                    return Err("it isn't a qpress file".into());
                }
                if size == 0 || size > LARGEST_BLOCK {
                    return Err(format!("blocks of {size} bytes"));
                }
                self.block_size = size as usize;
                self.state = State::Name;
            }
            State::Name => {
                if held[0] != b'F' || held.last() != Some(&0) {
                    return Err("it doesn't hold one file".into());
                }
                self.state = State::Mark;
            }
            State::Mark => {
                self.state = if held.starts_with(b"NEWBNEWB") {
                    State::Block {
                        sum: u32::from_le_bytes([held[16], held[17], held[18], held[19]]),
                    }
                } else if held.starts_with(b"ENDSENDS") {
                    State::Ended
                } else {
                    return Err("no block begins where one must".into());
                };
            }
            State::Block { sum } => {
                if adler32(held) != sum {
                    return Err("the checksum of a block doesn't hold".into());
                }
                let block =
                    quicklz::unpack(held, self.block_size).ok_or("a block can't be unpacked")?;
                out(&block);
                self.state = State::Mark;
            }
            State::Ended => {}
        }
        Ok(())
    }
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    // As many as can't overflow.
    for piece in bytes.chunks(5552) {
        for byte in piece {
            low += u32::from(*byte);
            high += low;
        }
        low %= 65521;
        high %= 65521;
    }
    high << 16 | low
}
