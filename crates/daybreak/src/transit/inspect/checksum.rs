//! The checksums that InnoDB writes into its pages: of MySQL (`crc32`, `innodb`, `none`), of
//! ROW_FORMAT=COMPRESSED, and MariaDB's `full_crc32`.
//!
//! A server reads a page whatever algorithm it was written with, so all are tried. Sources: MySQL's
//! `buf0checksum.cc`, `ut0rnd.ic`, `page0zip.cc`; MariaDB's `buf0buf.cc`, `fil0crypt.cc`.

use crc_fast::{CrcAlgorithm, checksum};

/// `innodb_checksum_algorithm=none`.
const NONE: u32 = 0xdead_beef;

/// Page types whose content isn't as its checksum saw it: compressed or encrypted by the server, of MySQL
/// 14 to 17, of MariaDB 34354 and 37401.
const OPAQUE: [u16; 6] = [14, 15, 16, 17, 34354, 37401];

/// How a tablespace's pages are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MySQL's, and MariaDB's up to 10.4.
    Plain,
    /// ROW_FORMAT=COMPRESSED.
    Zip,
    /// MariaDB's `full_crc32`.
    Full,
}

/// CRC-32C.
pub fn crc32c(bytes: &[u8]) -> u32 {
    // Reason for the cast: the checksum has 32 bits.
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Whether a page of 1 KiB or more has no bytes but zeros: it was never written.
pub fn is_blank(page: &[u8]) -> bool {
    page[0] == 0 && page[1..] == page[..page.len() - 1]
}

/// Whether a page's content can't be held against its checksum.
pub fn is_opaque(page: &[u8]) -> bool {
    OPAQUE.contains(&u16::from_be_bytes([page[24], page[25]]))
}

/// Whether a page fits its checksum.
pub fn fits(page: &[u8], scheme: Scheme) -> bool {
    match scheme {
        Scheme::Plain => plain(page),
        Scheme::Zip => zip(page),
        Scheme::Full => full(page),
    }
}

fn word(page: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

fn plain(page: &[u8]) -> bool {
    let end = page.len() - 8;
    let (head, tail) = (word(page, 0), word(page, end));
    let crc = crc32c(&page[4..26]) ^ crc32c(&page[38..end]);
    // Encrypted by MariaDB: the checksum of what was encrypted lies elsewhere.
    if word(page, 26) != 0 && [crc, NONE].contains(&word(page, 30)) {
        return true;
    }
    // The last bytes of the page's LSN, written at both ends.
    if page[20..24] != page[end + 4..] {
        return false;
    }
    if head == crc && tail == crc {
        return true;
    }
    if head != crc && head != NONE && head != new_fold(page) {
        return false;
    }
    [crc, NONE, word(page, 16)].contains(&tail) || tail == fold(0, &page[..26])
}

/// The checksum `innodb` of a page's head.
fn new_fold(page: &[u8]) -> u32 {
    fold(0, &page[4..26]).wrapping_add(fold(0, &page[38..page.len() - 8]))
}

/// InnoDB's own hash. The original counts in 64 bits and keeps 32, which the others don't reach.
fn fold(seed: u32, bytes: &[u8]) -> u32 {
    const ONE: u32 = 1_463_735_687;
    const TWO: u32 = 1_653_893_711;
    let mut hash = seed;
    for byte in bytes {
        let byte = u32::from(*byte);
        hash = ((((hash ^ byte ^ TWO) << 8).wrapping_add(hash)) ^ ONE).wrapping_add(byte);
    }
    hash
}

fn zip(page: &[u8]) -> bool {
    let said = word(page, 0);
    if said == NONE {
        return true;
    }
    let crc = crc32c(&page[4..16]) ^ crc32c(&page[24..26]) ^ crc32c(&page[34..]);
    said == crc || said == adler(&[&page[4..16], &page[24..26], &page[34..]])
}

/// Adler-32 that begins at 0, as InnoDB has it.
fn adler(parts: &[&[u8]]) -> u32 {
    const MODULUS: u32 = 65521;
    let (mut a, mut b) = (0_u32, 0_u32);
    // So many bytes fit before the sums must be reduced.
    for part in parts.iter().flat_map(|part| part.chunks(5552)) {
        for byte in part {
            a += u32::from(*byte);
            b += a;
        }
        (a, b) = (a % MODULUS, b % MODULUS);
    }
    b << 16 | a
}

fn full(page: &[u8]) -> bool {
    let kind = u16::from_be_bytes([page[24], page[25]]);
    let mut end = page.len();
    if kind & 0x8000 != 0 {
        // Compressed: the type tells how many bytes are used.
        let used = usize::from(kind & 0x7fff) << 8;
        if used >= 64 && used <= end {
            end = used;
        }
    }
    crc32c(&page[..end - 4]) == word(page, end - 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // As zlib has it, but for the beginning of 1: of n bytes, 1 less and n less.
        assert_eq!(adler(&[b"Wiki", b"pedia"]), 0x11e6_0398 - (9 << 16 | 1));
    }

    /// A page with each algorithm fits, and none does with any bit of it turned.
    #[test]
    fn every_bit_counts() {
        let mut page: Vec<u8> = (0..1024_u32).map(|at| (at * 7 % 251) as u8).collect();
        let end = page.len() - 8;
        page[24..26].copy_from_slice(&17855_u16.to_be_bytes());
        page[26..38].fill(0);
        let lsn = page[20..24].to_vec();
        page[end + 4..].copy_from_slice(&lsn);
        let set = |page: &mut [u8], at: usize, word: u32| {
            page[at..at + 4].copy_from_slice(&word.to_be_bytes());
        };
        let mut crc = page.clone();
        let sum = crc32c(&crc[4..26]) ^ crc32c(&crc[38..end]);
        set(&mut crc, 0, sum);
        set(&mut crc, end, sum);
        let mut old = page.clone();
        let sum = new_fold(&old);
        set(&mut old, 0, sum);
        let sum = fold(0, &old[..26]);
        set(&mut old, end, sum);
        let mut compressed = page.clone();
        let sum = adler(&[&page[4..16], &page[24..26], &page[34..]]);
        set(&mut compressed, 0, sum);
        let mut mariadb = page.clone();
        let sum = crc32c(&page[..end + 4]);
        set(&mut mariadb, end + 4, sum);
        for (scheme, page, from) in [
            (Scheme::Plain, crc, 38),
            (Scheme::Plain, old, 38),
            (Scheme::Zip, compressed, 34),
            (Scheme::Full, mariadb, 0),
        ] {
            assert!(fits(&page, scheme), "{scheme:?}");
            for bit in from * 8..page.len() * 8 {
                let mut other = page.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(!fits(&other, scheme), "{scheme:?}: bit {bit}");
            }
        }
    }
}
