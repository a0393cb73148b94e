//! Files that several processes share: put in place whole, and locked.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
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
    let result = fill(&temporary, mode, write)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if result.is_err()
        && let Err(error) = fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %temporary.display(), "a temporary file stays");
    }
    result
}

fn fill(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    // What a killed process of the same number left. A link of somebody else's is not followed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    let mut file = io::BufWriter::new(file);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
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
