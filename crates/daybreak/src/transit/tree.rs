//! A backup's directory: what is in it, in one order, and as one tar stream.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::named::Named;
use crate::error::{Error, Kind, Result};

/// What the names of daybreak's own files beside a backup begin with. They stay where they are. No file
/// of a server is called so: it writes a hyphen as `@002d`.
const OWN: [&str; 2] = [".daybreak", "daybreak-"];

/// Whether a file is daybreak's own, by the last part of its name.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| name.starts_with(own))
}

/// How many bytes are read at once.
const BUFFER: usize = 1 << 20;

/// A file or directory below the root.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Relative to the root, with slashes.
    pub name: &'a str,
    /// What is known of it.
    pub about: About,
    /// What goes up in its place: a small file's content without the secrets in it. The size is of this.
    pub instead: Option<&'a Bytes>,
}

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// In bytes; 0 for a directory.
    pub size: u64,
    /// When it was changed, in seconds and, of the last one, nanoseconds.
    pub changed: (i64, u32),
    /// Whether it is a directory.
    pub directory: bool,
}

impl About {
    /// Of a file or directory.
    pub fn of(metadata: &fs::Metadata) -> About {
        About {
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            changed: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0)),
            directory: metadata.is_dir(),
        }
    }
}

/// Everything below a root, sorted by the bytes of the names (as S3 lists keys).
#[derive(Debug, Default)]
pub struct Entries {
    all: Named<About>,
    /// What goes up in place of some, by their places.
    instead: BTreeMap<usize, Bytes>,
}

impl From<Named<About>> for Entries {
    fn from(mut all: Named<About>) -> Self {
        all.sort();
        Entries { all, instead: BTreeMap::new() }
    }
}

impl Entries {
    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.all.iter().enumerate().map(|(place, (name, about))| Entry {
            name,
            about: *about,
            instead: self.instead.get(&place),
        })
    }

    /// Those that are files.
    pub fn files(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.iter().filter(|entry| !entry.about.directory)
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.all.find(name).is_some()
    }

    /// Has other bytes go up in place of a file's.
    pub fn replace(&mut self, place: usize, bytes: Bytes) {
        if let Some(about) = self.all.value_mut(place) {
            about.size = bytes.len() as u64;
            self.instead.insert(place, bytes);
        }
    }

    /// How many bytes of memory the list takes.
    pub fn bytes(&self) -> u64 {
        self.all.bytes()
    }
}

/// Everything below a directory, without daybreak's own files. Refuses what isn't a plain file or directory, as a copy would hold something else.
pub fn walk(root: &Path) -> Result<Entries> {
    let mut entries = Named::default();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        let directory = root.join(&below);
        let failed = |error: io::Error| Error::from(error).at(directory.display());
        for item in fs::read_dir(&directory).map_err(failed)? {
            let item = item.map_err(failed)?;
            let path = below.join(item.file_name());
            let at = root.join(&path);
            let metadata = item.metadata().map_err(|error| Error::from(error).at(at.display()))?;
            let Some(name) = path.to_str() else {
                return Err(Error::new(Kind::Unsupported, "a file's name is not UTF-8")
                    .at(at.display())
                    .next("rename the table (or remove the file, if it isn't the backup's)"));
            };
            let last = name.rsplit('/').next().unwrap_or_default();
            if is_own(last) {
                continue;
            }
            if !metadata.is_file() && !metadata.is_dir() {
                let what = if metadata.is_symlink() { "a symbolic link" } else { "not a file" };
                return Err(Error::new(Kind::Unsupported, format!("{what} lies in the backup"))
                    .at(at.display())
                    .next("take the backup again with all files inside it: Aurora takes none from outside"));
            }
            if metadata.is_dir() {
                left.push(path.clone());
            }
            entries.push(name, About::of(&metadata));
        }
    }
    Ok(Entries::from(entries))
}

/// What tells a directory's state from another: names, sizes and times. Not the contents.
pub fn fingerprint(entries: &Entries) -> String {
    let mut digest = Sha256::new();
    for entry in entries.iter() {
        let about = entry.about;
        digest.update((entry.name.len() as u64).to_le_bytes());
        digest.update(entry.name.as_bytes());
        digest.update(about.size.to_le_bytes());
        // A directory's time changes with daybreak's own files in it.
        if !about.directory {
            digest.update(about.changed.0.to_le_bytes());
            digest.update(i64::from(about.changed.1).to_le_bytes());
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file's size was another when it was read than when the directory was looked at.
pub(super) fn changed(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} was changed while it was read: is the backup still being taken?",
        path.display()
    ))
}

/// Writes the entries as a tar stream (GNU's form, which has no bound on names and sizes). The same
/// directory gives the same bytes. `read` is told of bytes that were read, and can stop the work.
pub fn tar(
    root: &Path,
    entries: &Entries,
    output: &mut impl Write,
    read: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    for entry in entries.iter() {
        let about = entry.about;
        let path = root.join(entry.name);
        let name =
            if about.directory { format!("{}/", entry.name) } else { entry.name.to_string() };
        let mut header = tar::Header::new_gnu();
        let metadata = fs::metadata(&path)?;
        header.set_mode(metadata.permissions().mode() & 0o7777);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        header.set_mtime(u64::try_from(about.changed.0).unwrap_or(0));
        header.set_size(about.size);
        header.set_entry_type(match about.directory {
            true => tar::EntryType::Directory,
            false => tar::EntryType::Regular,
        });
        if header.set_path(&name).is_err() {
            long_name(&name, output)?;
            // What readers that don't know long names would use.
            let cut = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= 99).last();
            header.as_mut_bytes()[..100].fill(0);
            let cut = &name.as_bytes()[..cut.unwrap_or(0)];
            header.as_mut_bytes()[..cut.len()].copy_from_slice(cut);
        }
        header.set_cksum();
        output.write_all(header.as_bytes())?;
        if about.directory {
            continue;
        }
        if let Some(bytes) = entry.instead {
            output.write_all(bytes)?;
            pad(about.size, output)?;
            continue;
        }
        let mut file = File::open(&path)?;
        let mut left = about.size;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read(&mut buffer[..wanted])?;
            if count == 0 {
                return Err(changed(&path));
            }
            output.write_all(&buffer[..count])?;
            left -= count as u64;
            read(count as u64)?;
        }
        if file.metadata()?.len() != about.size {
            return Err(changed(&path));
        }
        pad(about.size, output)?;
    }
    // Two empty blocks end a tar.
    output.write_all(&[0; 1024])
}

/// The entry before one whose name doesn't fit.
fn long_name(name: &str, output: &mut impl Write) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // With the zero byte at its end.
    header.set_size(name.len() as u64 + 1);
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    output.write_all(header.as_bytes())?;
    output.write_all(name.as_bytes())?;
    output.write_all(&[0])?;
    pad(name.len() as u64 + 1, output)
}

fn pad(size: u64, output: &mut impl Write) -> io::Result<()> {
    let over = (size % 512) as usize;
    if over > 0 { output.write_all(&[0; 512][over..]) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tar_reads_is_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let long = "d".repeat(120);
        for below in ["shop", "empty", &long] {
            fs::create_dir(root.join(below)).unwrap();
        }
        for (name, size) in [
            ("ibdata1", 3 * BUFFER + 5),
            ("shop/a.ibd", 512),
            ("none", 0),
            (".daybreak-upload.json", 9),
        ] {
            fs::write(root.join(name), vec![b'x'; size]).unwrap();
        }
        let deep = format!("{long}/{}", "f".repeat(200));
        fs::write(root.join(&deep), b"deep").unwrap();
        let entries = walk(root).unwrap();
        let mut packed = Vec::new();
        let mut total = 0;
        tar(root, &entries, &mut packed, &mut |bytes| {
            total += bytes;
            Ok(())
        })
        .unwrap();
        assert_eq!(total, entries.iter().map(|entry| entry.about.size).sum::<u64>());
        let mut archive = tar::Archive::new(&packed[..]);
        let seen: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name =
                    entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_string();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, fs::read(root.join(&name)).unwrap_or_default());
                (name, bytes.len() as u64)
            })
            .collect();
        let expected: Vec<(String, u64)> =
            entries.iter().map(|entry| (entry.name.to_string(), entry.about.size)).collect();
        assert_eq!(seen, expected);
        assert!(
            seen.iter().any(|(name, _)| *name == deep)
                && seen.iter().any(|(name, _)| name == "empty")
        );
        assert!(!seen.iter().any(|(name, _)| name.contains("daybreak")));
    }

    #[test]
    fn a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("a.ibd")).unwrap();
        assert_eq!(walk(directory.path()).unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ibd");
        fs::write(&path, b"12345").unwrap();
        let entries = walk(directory.path()).unwrap();
        for other in [&b"123"[..], b"1234567"] {
            fs::write(&path, other).unwrap();
            let result = tar(directory.path(), &entries, &mut Vec::new(), &mut |_| Ok(()));
            assert!(result.unwrap_err().to_string().contains("changed while"));
        }
    }
}
