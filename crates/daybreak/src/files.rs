//! Files that several processes share: put in place whole, and locked.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Replaces a file, or makes it, with these permissions: whoever reads it finds the old one or the new one,
/// whole, also after a power cut.
///
/// # Errors
/// `Io`; a file that was there is as it was then.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, mode, |file| file.write_all(content))
}

/// The same with a content that is written bit by bit.
///
/// # Errors
/// `Io`, what `write` says; a file that was there is as it was then.
pub fn replace_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut draft = Draft::of(path, mode)?;
    write(&mut draft)?;
    draft.replace()
}

/// A file that is being written beside its place, and isn't there before it is whole. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    directory: PathBuf,
    temporary: PathBuf,
    /// None once it is in its place.
    file: Option<io::BufWriter<File>>,
}

impl Draft {
    /// Begins a file with these permissions.
    ///
    /// # Errors
    /// `Io`.
    pub fn of(path: &Path, mode: u32) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // In the same directory, since a rename doesn't cross file systems; by a name that no backup takes along.
        let mut hidden = OsString::from(".daybreak-");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let temporary = directory.join(hidden);
        // What a killed process of the same number left. A link of somebody else's is not followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        let draft = Draft {
            path: path.to_path_buf(),
            directory: directory.to_path_buf(),
            temporary,
            file: Some(io::BufWriter::new(file)),
        };
        if let Some(file) = &draft.file {
            file.get_ref().set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(draft)
    }

    /// Puts it in the place of a file that was there, or where none was.
    ///
    /// # Errors
    /// `Io`; a file that was there is as it was then.
    pub fn replace(mut self) -> io::Result<()> {
        self.sync()?;
        if let Err(error) = fs::rename(&self.temporary, &self.path) {
            self.discard();
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()
    }

    /// Puts it where no file is.
    ///
    /// # Errors
    /// `AlreadyExists`, and that file is left as it is; `Io`.
    pub fn put(mut self) -> io::Result<()> {
        self.sync()?;
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => fs::remove_file(&self.temporary)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.discard();
                return Err(error);
            }
            // Some file systems have no links.
            Err(_) if !self.path.exists() => fs::rename(&self.temporary, &self.path)?,
            Err(error) => {
                self.discard();
                return Err(error);
            }
        }
        File::open(&self.directory)?.sync_all()
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let synced = io::Write::flush(&mut file).and_then(|()| file.get_ref().sync_all());
        if synced.is_err() {
            self.discard();
        }
        synced
    }

    fn discard(&self) {
        if let Err(error) = fs::remove_file(&self.temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, path = %self.temporary.display(), "a temporary file stays");
        }
    }
}

impl io::Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the file is in its place already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), io::Write::flush)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.discard();
        }
    }
}

/// Tries to lock a file; false if another holds it. A program that this process has just started has its
/// locks for an instant, so that is tried for a while.
///
/// # Errors
/// `Io`, where the file system has no locks.
#[expect(clippy::disallowed_methods, reason = "a lock can only be asked for; for 0.2 s at most")]
pub fn lock(file: &File, shared: bool) -> io::Result<bool> {
    for _ in 0..20 {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("f"), place.path().join("other"));
        fs::write(&path, "old").unwrap();
        fs::write(&other, "theirs").unwrap();
        let link = place.path().join(format!(".daybreak-f.{}", std::process::id()));
        std::os::unix::fs::symlink(&other, &link).unwrap();
        replace(&path, b"new", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read(&other).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
        assert!(replace(&place.path().join("no/f"), b"", 0o600).is_err());
        assert!(replace(Path::new("/"), b"", 0o600).is_err());
    }

    #[test]
    fn a_draft_takes_nobodys_place() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        let draft = |content: &[u8]| {
            let mut draft = Draft::of(&path, 0o600).unwrap();
            io::Write::write_all(&mut draft, content).unwrap();
            draft
        };
        drop(draft(b"given up"));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        draft(b"one").put().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = draft(b"two").put().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        draft(b"three").replace().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_keeps_others_out() {
        let place = tempfile::tempdir().unwrap();
        let open = || File::create(place.path().join("lock")).unwrap();
        let (one, two) = (open(), open());
        assert!(lock(&one, true).unwrap() && lock(&two, true).unwrap());
        assert!(!lock(&two, false).unwrap());
        drop(one);
        assert!(lock(&two, false).unwrap());
        assert!(!lock(&open(), true).unwrap());
    }
}
