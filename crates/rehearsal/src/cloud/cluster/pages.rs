//! What Aurora refuses of tables, by the pages of their files: read here plainly, and apart from what
//! `daybreak` reads, which this is to catch out.
//!
//! Sources: MySQL's `fsp0types.h` (the flags of a tablespace) and `fil0types.h` (the types of pages).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Tables by what is wrong with them, as `db/table`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// `ROW_FORMAT=COMPRESSED`.
    pub row_format: Vec<String>,
    /// Page compression.
    pub page_compression: Vec<String>,
    /// Encryption.
    pub encrypted: Vec<String>,
    /// `DATA DIRECTORY`.
    pub elsewhere: Vec<String>,
}

/// Looks at all tables of a backup of MySQL.
pub(super) fn look(backup: &Path) -> io::Result<Refused> {
    let mut found = Refused::default();
    for entry in fs::read_dir(backup)? {
        let database = entry?.path();
        if !database.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&database)? {
            let path = entry?.path();
            let name = path.strip_prefix(backup).unwrap_or(&path).to_string_lossy().into_owned();
            let table = || name.split('.').next().unwrap_or_default().to_owned();
            if name.ends_with(".ibd") {
                tablespace(&path, table(), &mut found)?;
            } else if name.ends_with(".ibd.meta") {
                let text = fs::read_to_string(&path)?;
                let zip = text.lines().find_map(|line| line.strip_prefix("zip_size = "));
                if zip.is_some_and(|size| size.trim() != "0") {
                    found.row_format.push(table());
                }
            } else if name.ends_with(".ibd.delta") {
                pages(&path, 16_384, table(), &mut found)?;
            }
        }
    }
    for list in [
        &mut found.row_format,
        &mut found.page_compression,
        &mut found.encrypted,
        &mut found.elsewhere,
    ] {
        list.sort();
        list.dedup();
    }
    Ok(found)
}

fn tablespace(path: &Path, table: String, found: &mut Refused) -> io::Result<()> {
    let mut head = [0; 64];
    if File::open(path)?.read_at(&mut head, 0)? < head.len() {
        return Ok(());
    }
    let flags = u32::from_be_bytes([head[54], head[55], head[56], head[57]]);
    let bit = |number: u32| flags & (1 << number) != 0;
    let zip = (flags >> 1) & 15;
    if zip > 0 {
        found.row_format.push(table.clone());
    }
    if bit(10) {
        found.elsewhere.push(table.clone());
    }
    if bit(13) {
        found.encrypted.push(table.clone());
    }
    // 1 is 1 KiB, 5 is 16 KiB.
    let size = if zip > 0 { 512 << zip } else { 16_384 };
    pages(path, size, table, found)
}

/// By the type of each page. In a `.delta` the blocks that only number pages are left out.
fn pages(path: &Path, size: u64, table: String, found: &mut Refused) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let (mut compressed, mut encrypted) = (false, false);
    for at in (0..length).step_by(usize::try_from(size).unwrap_or(16_384)) {
        let mut head = [0; 26];
        if file.read_at(&mut head, at)? < head.len() {
            break;
        }
        if head.starts_with(b"xtra") || head.starts_with(b"XTRA") {
            continue;
        }
        let kind = u16::from_be_bytes([head[24], head[25]]);
        compressed |= matches!(kind, 14 | 16);
        encrypted |= matches!(kind, 15..=17);
    }
    if compressed {
        found.page_compression.push(table.clone());
    }
    if encrypted {
        found.encrypted.push(table);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(flags: u32, kind: u16) -> Vec<u8> {
        let mut page = vec![0; 16_384];
        page[24..26].copy_from_slice(&kind.to_be_bytes());
        page[54..58].copy_from_slice(&flags.to_be_bytes());
        page
    }

    #[test]
    fn tables_are_told_by_their_pages() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, pages: &[Vec<u8>]| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, pages.concat()).unwrap();
        };
        write("ibdata1", &[page(u32::MAX, 15)]);
        // DYNAMIC: post-Antelope, atomic blobs; its page size isn't named.
        write("app/plain.ibd", &[page(0x21, 8), page(0, 17_855)]);
        write("app/zipped.ibd", &[page(0x21 | 4 << 1, 8)]);
        write("app/holes.ibd", &[page(0x21, 8), page(0, 14)]);
        write("app/secret.ibd", &[page(0x21 | 1 << 13, 8), page(0, 15)]);
        write("app/far.ibd", &[page(0x21 | 1 << 10, 8)]);
        let mut numbers = b"xtra".to_vec();
        numbers.resize(16_384, 0x0e);
        numbers[24..26].copy_from_slice(&14_u16.to_be_bytes());
        write("app/later.ibd.delta", &[numbers.clone(), page(0, 17_855)]);
        write("app/later.ibd.meta", &[b"page_size = 16384\nzip_size = 0\nspace_id = 9\n".to_vec()]);
        let names =
            |list: &[&str]| -> Vec<String> { list.iter().map(|n| format!("app/{n}")).collect() };
        let mut wanted = Refused {
            row_format: names(&["zipped"]),
            page_compression: names(&["holes"]),
            encrypted: names(&["secret"]),
            elsewhere: names(&["far"]),
        };
        assert_eq!(look(dir.path()).unwrap(), wanted);
        write("app/later.ibd.delta", &[numbers, page(0, 16)]);
        write(
            "app/later.ibd.meta",
            &[b"page_size = 16384\nzip_size = 8192\nspace_id = 9\n".to_vec()],
        );
        for list in [&mut wanted.row_format, &mut wanted.page_compression, &mut wanted.encrypted] {
            list.push("app/later".to_owned());
            list.sort();
        }
        assert_eq!(look(dir.path()).unwrap(), wanted);
    }
}
