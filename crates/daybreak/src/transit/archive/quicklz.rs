//! QuickLZ level 1, unpacking only. It has no lengths to trust: every read and every copy is checked.
//!
//! A control word of 32 bits says of each item whether it is a byte or a match. A match names the place
//! of an earlier three bytes by their hash, so that the table of hashes is kept here as it was there.

/// Unpacks one block; none if it isn't one, or holds more than `limit` bytes.
pub fn unpack(block: &[u8], limit: usize) -> Option<Vec<u8>> {
    let head = Head::read(block)?;
    if head.packed != block.len() || head.size > limit {
        return None;
    }
    let body = &block[head.length..];
    if !head.compressed {
        return (body.len() == head.size).then(|| body.to_vec());
    }
    if head.level != 1 {
        return None;
    }
    let mut unpacker =
        Unpacker { source: body, out: Vec::new(), hashes: Box::new([0; 4096]), hashed: 0 };
    unpacker.run(head.size)?;
    Some(unpacker.out)
}

/// The head of a block.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// How long it is itself.
    pub length: usize,
    /// How long the block is, with its head.
    pub packed: usize,
    /// How many bytes it unpacks to.
    pub size: usize,
    compressed: bool,
    level: u8,
}

impl Head {
    /// The longest one.
    pub const LONGEST: usize = 9;

    /// How long a head is, by its first byte.
    pub fn length_of(first: u8) -> usize {
        if first & 2 != 0 { 9 } else { 3 }
    }

    /// Reads it from the beginning of a block.
    pub fn read(block: &[u8]) -> Option<Head> {
        let flags = *block.first()?;
        let length = Self::length_of(flags);
        let head = block.get(..length)?;
        let (packed, size) = match length {
            9 => (
                u32::from_le_bytes(head[1..5].try_into().ok()?) as usize,
                u32::from_le_bytes(head[5..9].try_into().ok()?) as usize,
            ),
            _ => (usize::from(head[1]), usize::from(head[2])),
        };
        (packed >= length).then_some(Head {
            length,
            packed,
            size,
            compressed: flags & 1 != 0,
            level: (flags >> 2) & 3,
        })
    }
}

struct Unpacker<'a> {
    source: &'a [u8],
    out: Vec<u8>,
    /// Where three bytes of a hash were last, plus one.
    hashes: Box<[u32; 4096]>,
    /// Up to where positions are in the table.
    hashed: usize,
}

impl Unpacker<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.source.split_first_chunk::<N>()?;
        self.source = rest;
        Some(*taken)
    }

    fn run(&mut self, size: usize) -> Option<()> {
        // The first byte that stands for itself past this begins the tail, in which all do.
        let last_match = size.saturating_sub(11);
        let (mut control, mut tail) = (1_u32, false);
        while self.out.len() < size {
            if control == 1 {
                control = u32::from_le_bytes(self.take()?);
                if tail {
                    control = 1 << 31;
                }
                if control == 0 {
                    return None;
                }
            }
            let matched = control & 1 == 1 && !tail;
            control >>= 1;
            if matched {
                self.copy(size)?;
                continue;
            }
            tail |= self.out.len() >= last_match;
            let [byte] = self.take()?;
            self.out.push(byte);
            if !tail {
                self.hash_up_to(self.out.len().saturating_sub(2));
            }
        }
        self.source.is_empty().then_some(())
    }

    fn copy(&mut self, size: usize) -> Option<()> {
        let word = u16::from_le_bytes(self.take()?);
        let length = match usize::from(word & 15) {
            0 => usize::from(self.take::<1>()?[0]),
            short => short + 2,
        };
        let from = (self.hashes[usize::from(word >> 4)] as usize).checked_sub(1)?;
        let at = self.out.len();
        if length < 3 || length > size - at || from >= at {
            return None;
        }
        for step in 0..length {
            self.out.push(self.out[from + step]);
        }
        self.hash_up_to(at + 1);
        self.hashed = self.out.len();
        Some(())
    }

    /// Puts the positions before `end` into the table.
    fn hash_up_to(&mut self, end: usize) {
        while self.hashed < end {
            let at = self.hashed;
            if let Some(three) = self.out.get(at..at + 3) {
                let three = u32::from_le_bytes([three[0], three[1], three[2], 0]);
                self.hashes[((three >> 12) ^ three) as usize & 4095] = at as u32 + 1;
            }
            self.hashed += 1;
        }
    }
}
