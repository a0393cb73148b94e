//! The head of MyISAM's index file (`.MYI`): how long it and the data file (`.MYD`) must be.
//!
//! Source: MySQL's `myisamdef.h`, `mi_open.c` (`mi_state_info_read`).

/// As much of the file as is read.
pub const HEAD: usize = 76;
const MAGIC: [u8; 4] = [0xfe, 0xfe, 0x07, 0x01];

/// What the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether the table was in use: then the lengths needn't be true.
    pub open: bool,
    /// How long the index file is, in bytes.
    pub index: u64,
    /// How long the data file is, in bytes.
    pub data: u64,
}

impl Head {
    /// Reads it from the file's beginning; none if it isn't such a head.
    pub fn parse(bytes: &[u8]) -> Option<Head> {
        if bytes.len() < HEAD || bytes[..4] != MAGIC {
            return None;
        }
        let number = |at: usize| {
            bytes[at..at + 8].iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        Some(Head { open: bytes[24..26] != [0, 0], index: number(60), data: number(68) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_head() {
        let mut bytes = vec![0; 1024];
        bytes[..16]
            .copy_from_slice(&[0xfe, 0xfe, 7, 1, 0, 0, 1, 0x22, 0, 0xb0, 0, 0x64, 0, 0xb0, 0, 0]);
        bytes[35] = 2;
        bytes[66] = 4;
        bytes[75] = 14;
        assert_eq!(Head::parse(&bytes), Some(Head { open: false, index: 1024, data: 14 }));
        bytes[25] = 1;
        assert!(Head::parse(&bytes).is_some_and(|head| head.open));
        assert_eq!(Head::parse(&bytes[..75]), None);
        assert_eq!(Head::parse(&[0; 100]), None);
    }
}
