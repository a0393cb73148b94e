//! Writes a backup's files into a directory of their own.
//!
//! The directory must be new or empty. No file that is there is opened, no link is followed; if the
//! backup turns out not to be whole, everything is taken away again.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    transit::archive::{Oddity, Visitor, checked},
};

/// Files on their way into a directory.
#[derive(Debug)]
pub struct Extract {
    root: PathBuf,
    made_root: bool,
    kept: bool,
    /// What stands before each name.
    pub prefix: String,
    open: HashMap<u64, (File, u64, PathBuf)>,
}

impl Extract {
    /// Into a directory that isn't there, or is empty.
    pub fn into(root: &Path) -> Result<Extract> {
        let failed = |error| write_failed(root, error);
        let made_root = match fs::symlink_metadata(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
                true
            }
            Err(error) => return Err(failed(error)),
            Ok(_) => {
                let mut entries = fs::read_dir(root).map_err(failed)?;
                if entries.next().is_some() {
                    return Err(Error::new(Kind::Usage, "the directory isn't empty")
                        .at(root.display())
                        .next("name a directory that is empty or doesn't exist: nothing is overwritten"));
                }
                false
            }
        };
        let root = fs::canonicalize(root).map_err(failed)?;
        Ok(Extract { root, made_root, kept: false, prefix: String::new(), open: HashMap::new() })
    }

    /// Keeps what was written: the backup is whole.
    pub fn keep(mut self) -> Result<()> {
        File::open(&self.root)
            .and_then(|root| root.sync_all())
            .map_err(|error| write_failed(&self.root, error))?;
        self.kept = true;
        Ok(())
    }

    /// Where a file goes, with the directories above it made.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let name = format!("{}{name}", self.prefix);
        let name = checked(name.as_bytes())
            .map_err(|fault| Error::new(Kind::Backup, fault.what()).at(self.root.display()))?;
        let mut path = self.root.clone();
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            if parts.peek().is_none() {
                break;
            }
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let about =
                        fs::symlink_metadata(&path).map_err(|error| write_failed(&path, error))?;
                    if !about.is_dir() {
                        return Err(Error::new(
                            Kind::Backup,
                            "a file stands where a directory must",
                        )
                        .at(path.display()));
                    }
                }
                Err(error) => return Err(write_failed(&path, error)),
            }
        }
        Ok(path)
    }

    fn file(&mut self, file: u64) -> Result<&mut (File, u64, PathBuf)> {
        self.open
            .get_mut(&file)
            .ok_or_else(|| Error::new(Kind::Bug, "bytes of a file that isn't open"))
    }
}

fn write_failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Io, "a file can't be written").because(error).at(path.display())
}

impl Visitor for Extract {
    fn begin(&mut self, file: u64, name: &str) -> Result<()> {
        let path = self.place(name)?;
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        let made = made.map_err(|error| write_failed(&path, error))?;
        self.open.insert(file, (made, 0, path));
        Ok(())
    }

    fn data(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        let (to, at, path) = self.file(file)?;
        let mut write = || -> std::io::Result<()> {
            if *at != offset {
                to.seek(SeekFrom::Start(offset))?;
            }
            to.write_all(bytes)
        };
        write().map_err(|error| write_failed(path, error))?;
        *at = offset + bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self, file: u64, size: u64) -> Result<()> {
        if let Some((to, at, path)) = self.open.remove(&file) {
            // A hole at the end.
            let ended = if at < size { to.set_len(size) } else { Ok(()) };
            ended.and_then(|()| to.sync_all()).map_err(|error| write_failed(&path, error))?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        // A link fails where a name is taken; a rename wouldn't.
        fs::hard_link(&from, &to)
            .and_then(|()| fs::remove_file(&from))
            .map_err(|error| write_failed(&to, error))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.place(name)?;
        fs::remove_file(&path).map_err(|error| write_failed(&path, error))
    }

    fn odd(&mut self, _: Oddity, _: &str) {}
}

impl Drop for Extract {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // It was empty when we came: all that is in it is ours.
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            let gone = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
            // What can't be taken away stays; the error that led here is reported.
            let _left = gone.is_err();
        }
        if self.made_root {
            let _left = fs::remove_dir(&self.root).is_err();
        }
    }
}
