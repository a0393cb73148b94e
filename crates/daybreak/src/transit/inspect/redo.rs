//! The redo log that a tool copied while it ran: `xtrabackup_logfile`, of mariadb-backup `ib_logfile0`.
//!
//! Up to MySQL 8.0 and MariaDB 10.7 it has a head of 2048 bytes and then blocks of 512, numbered by their
//! LSN, each with a checksum. Since MariaDB 10.8 it is one run of bytes behind a head of 12288, one byte of
//! LSN each; its content isn't checked. Sources: `log0log.h`, `log0recv.cc` of both.

use super::checksum::crc32c;
use crate::transit::inspect::metadata::Checkpoints;

const BLOCK: usize = 512;
const HEAD: usize = 2048;
const MARIADB_HEAD: u64 = 12288;
const NO_CHECKSUM: u32 = 0xdead_beef;
/// Block numbers go round here.
const ROUND: u64 = 1 << 30;

/// What was seen of a redo log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redo {
    form: Form,
    size: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Form {
    /// Not understood.
    #[default]
    Unknown,
    /// Blocks: the number of the first, how many follow each other without a flaw, and how many bytes of the
    /// last are used.
    Blocks { first: u64, blocks: u64, used: u64 },
    /// Since MariaDB 10.8: the LSN at which it begins.
    Run { start: u64 },
}

/// Reads a redo log as it comes by.
#[derive(Debug, Default)]
pub struct RedoScan {
    buffer: Vec<u8>,
    /// Bytes of the head that are still to come; none when it is done.
    head_done: bool,
    stopped: bool,
    redo: Redo,
}

impl RedoScan {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.stopped {
            let wanted = if self.head_done { BLOCK } else { HEAD };
            if self.buffer.is_empty() && self.head_done && bytes.len() >= BLOCK {
                self.block(&bytes[..BLOCK]);
                bytes = &bytes[BLOCK..];
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(wanted - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = rest;
            if self.buffer.len() == wanted {
                let whole = std::mem::take(&mut self.buffer);
                match self.head_done {
                    true => self.block(&whole),
                    false => self.head(&whole),
                }
            }
        }
    }

    fn head(&mut self, head: &[u8]) {
        self.head_done = true;
        if head.starts_with(b"Phys") {
            let mut start = [0; 8];
            start.copy_from_slice(&head[8..16]);
            self.redo.form = Form::Run { start: u64::from_be_bytes(start) };
            self.stopped = true;
        }
    }

    fn block(&mut self, block: &[u8]) {
        let word = |at: usize| {
            u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        };
        // The highest bit says where a write began.
        let number = u64::from(word(0) & 0x7fff_ffff);
        let used = u64::from(u16::from_be_bytes([block[4], block[5]]) & 0x7fff);
        let said = word(508);
        let sound = (1..=ROUND).contains(&number)
            && (12..=BLOCK as u64).contains(&used)
            && (said == crc32c(&block[..508]) || said == NO_CHECKSUM || said == fold(block));
        match &mut self.redo.form {
            Form::Unknown if sound => {
                self.redo.form = Form::Blocks { first: number, blocks: 1, used };
            }
            Form::Blocks { first, blocks, used: last }
                if sound && number == (*first - 1 + *blocks) % ROUND + 1 =>
            {
                *blocks += 1;
                *last = used;
            }
            _ => self.stopped = true,
        }
    }

    /// What was seen, when the file ended at this size.
    pub fn finish(mut self, size: u64) -> Redo {
        self.redo.size = size;
        self.redo
    }
}

/// The oldest checksum of a block.
fn fold(block: &[u8]) -> u32 {
    let (mut sum, mut shift) = (1_u32, 0);
    for byte in &block[..508] {
        let byte = u32::from(*byte);
        sum = (sum & 0x7fff_ffff).wrapping_add(byte).wrapping_add(byte << shift);
        shift = if shift == 24 { 0 } else { shift + 1 };
    }
    sum
}

/// The number of the block in which an LSN lies.
fn number(lsn: u64) -> u64 {
    lsn / BLOCK as u64 % ROUND
}

impl Redo {
    /// Why it doesn't hold what the backup says, if it doesn't. `strict`: the format must be one that is
    /// known here.
    pub fn flaw(&self, checkpoints: &Checkpoints, strict: bool) -> Option<String> {
        let (to, last) = (checkpoints.to_lsn, checkpoints.last_lsn);
        if last < to || last == 0 {
            // Said elsewhere.
            return None;
        }
        match self.form {
            Form::Unknown => {
                let least = (HEAD as u64).saturating_add(last - to);
                if self.size < least {
                    return Some(format!(
                        "{} bytes, and LSN {to} to {last} take more than {least}",
                        self.size
                    ));
                }
                strict.then(|| "it isn't a redo log, or its first block is damaged".into())
            }
            Form::Run { start } => {
                if start > to {
                    return Some(format!(
                        "it begins at LSN {start}, behind the checkpoint at {to}"
                    ));
                }
                let end = start.saturating_add(self.size.saturating_sub(MARIADB_HEAD));
                (end < last).then(|| format!("it ends at LSN {end}, and must reach {last}"))
            }
            Form::Blocks { first, blocks, used } => {
                let block = BLOCK as u64;
                // How many blocks lie before the checkpoint's.
                let before = (number(to) + ROUND - (first - 1)) % ROUND;
                let last_block = last.saturating_sub(1) / block;
                let wanted = before + last_block.saturating_sub(to / block) + 1;
                let of_last = last - last_block * block;
                if before >= blocks {
                    return Some(format!("the checkpoint at LSN {to} isn't in it"));
                }
                if blocks < wanted {
                    let whole =
                        wanted.saturating_mul(block).saturating_add(HEAD as u64) <= self.size;
                    let what = if whole { "is damaged" } else { "isn't there" };
                    return Some(format!(
                        "block {} of {wanted} {what}, and it must reach LSN {last}",
                        blocks + 1
                    ));
                }
                (blocks == wanted && used < of_last)
                    .then(|| format!("its last block ends before LSN {last}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::inspection::BackupKind;

    fn log(from: u64, last: u64) -> Vec<u8> {
        let mut log = vec![0; HEAD];
        for at in from / 512..=(last - 1) / 512 {
            let mut block = vec![3; BLOCK];
            block[..4].copy_from_slice(&((at % ROUND) as u32 + 1).to_be_bytes());
            let used = (last - at * 512).min(512) as u16;
            block[4..6].copy_from_slice(&used.to_be_bytes());
            let sum = if at % 2 == 0 { crc32c(&block[..508]) } else { fold(&block) };
            block[508..].copy_from_slice(&sum.to_be_bytes());
            log.extend(block);
        }
        log
    }

    fn flaw(log: &[u8], piece: usize, to: u64, last: u64) -> Option<String> {
        let mut scan = RedoScan::default();
        log.chunks(piece).for_each(|piece| scan.push(piece));
        let kind = BackupKind::Full;
        let points = Checkpoints { kind, from_lsn: 0, to_lsn: to, last_lsn: last, compact: false };
        scan.finish(log.len() as u64).flaw(&points, true)
    }

    #[test]
    fn blocks_reach_from_the_checkpoint_to_the_end() {
        // Where the numbers go round, too.
        for base in [0, (ROUND - 6) * 512] {
            let (from, to, last) = (base + 1000, base + 2500, base + 6000);
            let whole = log(from, last);
            for piece in [1, 300, 512, 5000] {
                assert_eq!(flaw(&whole, piece, to, last), None);
            }
            for cut in [0, 100, 2047, 2048, 2600, whole.len() - 512, whole.len() - 1] {
                assert!(flaw(&whole[..cut], 512, to, last).is_some(), "cut at {cut}");
            }
            for at in [2048, 2060, 2048 + 512 * 7 + 100, whole.len() - 1] {
                let mut other = whole.clone();
                other[at] ^= 1;
                assert!(flaw(&other, 512, to, last).is_some(), "changed at {at}");
            }
            assert!(flaw(&log(base + 3000, last), 512, to, last).is_some());
            assert!(flaw(&log(from, last - 10), 512, to, last).is_some());
            assert_eq!(flaw(&log(from, last + 2000), 512, to, last), None);
        }
        // No number, though its checksum holds.
        let mut wrong = log(1000, 6000);
        for block in wrong[HEAD..].chunks_mut(BLOCK) {
            block[0] |= 0x7f;
            let sum = crc32c(&block[..508]);
            block[508..].copy_from_slice(&sum.to_be_bytes());
        }
        assert!(flaw(&wrong, 512, 2500, 6000).is_some());
        // LSNs that end where no log can.
        assert!(flaw(&log(1000, 6000), 512, 2500, u64::MAX).is_some());
        // An end on a block's boundary.
        assert_eq!(flaw(&log(1000, 6144), 512, 2500, 6144), None);
    }

    #[test]
    fn one_run_since_mariadb_10_8() {
        let mut log = vec![0; 12288 + 500];
        log[..4].copy_from_slice(b"Phys");
        log[8..16].copy_from_slice(&44776_u64.to_be_bytes());
        assert_eq!(flaw(&log, 1000, 44776, 45276), None);
        assert_eq!(flaw(&log, 1000, 44800, 45276), None);
        for (to, last, size) in [(44776, 45277, 12788), (44700, 45000, 12788), (44776, 45276, 100)]
        {
            assert!(flaw(&log[..size], 1000, to, last).is_some(), "{to} {last} {size}");
        }
    }
}
