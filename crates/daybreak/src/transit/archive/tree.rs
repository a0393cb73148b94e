//! Files on disk as blobs: a directory with all below it, a file, or a file with its other parts.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::parts;
use crate::error::{Error, Kind, Result};

/// Opens a blob's bytes from the beginning.
pub type Open = Arc<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Bytes with a name, wherever they lie.
#[derive(Clone)]
pub struct Blob {
    /// Relative, with slashes.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// Opens it. May be called more than once.
    pub open: Open,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.size)
    }
}

impl Blob {
    /// A file.
    pub fn of_file(name: impl Into<String>, size: u64, path: PathBuf) -> Blob {
        let open = move || -> io::Result<Box<dyn Read + Send>> {
            use std::os::unix::fs::OpenOptionsExt;
            let file = fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(&path)?;
            match file.metadata()?.is_file() {
                true => Ok(Box::new(file)),
                false => Err(io::Error::other(format!("{} isn't a file", path.display()))),
            }
        };
        Blob { name: name.into(), size, open: Arc::new(open) }
    }

    /// Bytes in memory.
    pub fn of_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Blob {
        let (size, bytes) = (bytes.len() as u64, Arc::<[u8]>::from(bytes));
        let open = move || -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(io::Cursor::new(bytes.clone())))
        };
        Blob { name: name.into(), size, open: Arc::new(open) }
    }
}

/// The blobs at a path: all files of a directory but daybreak's own, or a file with the other parts of its
/// archive. Anything in a directory that is neither file nor directory is refused.
pub fn blobs_of_path(path: &Path) -> Result<Vec<Blob>> {
    let unread = |path: &Path, error: io::Error| {
        Error::new(Kind::Io, "the backup can't be read").because(error).at(path.display())
    };
    let real = fs::canonicalize(path).map_err(|error| unread(path, error))?;
    let about = fs::metadata(&real).map_err(|error| unread(path, error))?;
    let mut blobs = Vec::new();
    if about.is_dir() {
        walk(&real, &mut String::new(), 0, &mut blobs)?;
        blobs.sort_by(|a, b| a.name.cmp(&b.name));
        return Ok(blobs);
    }
    if !about.is_file() {
        return Err(not_a_file(&real));
    }
    let name = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .map(str::to_string)
            .ok_or_else(|| Error::new(Kind::Backup, "a file's name isn't UTF-8").at(path.display()))
    };
    let given = name(&real)?;
    blobs.push(Blob::of_file(given.clone(), about.len(), real.clone()));
    let own = parts::group(blobs.clone());
    let Some(own) = own.first().filter(|archive| archive.numbered) else { return Ok(blobs) };
    // Its parts lie beside it.
    let parent = real.parent().unwrap_or(Path::new("/"));
    for entry in fs::read_dir(parent).map_err(|error| unread(parent, error))? {
        let entry = entry.map_err(|error| unread(parent, error))?;
        let Some(other) = entry.file_name().to_str().map(str::to_string) else { continue };
        let about = entry.metadata().map_err(|error| unread(&entry.path(), error))?;
        if other == given || !about.is_file() {
            continue;
        }
        let blob = Blob::of_file(other, about.len(), entry.path());
        let its = parts::group(vec![blob.clone()]);
        if its.first().is_some_and(|its| its.numbered && its.name == own.name) {
            blobs.push(blob);
        }
    }
    Ok(blobs)
}

/// Directories within directories of a backup: a database, below a link, below the tree. More is no backup.
const DEEPEST: usize = 32;

fn walk(directory: &Path, prefix: &mut String, depth: usize, blobs: &mut Vec<Blob>) -> Result<()> {
    let unread = |path: &Path, error: io::Error| {
        Error::new(Kind::Io, "the backup can't be read").because(error).at(path.display())
    };
    if depth > DEEPEST {
        return Err(Error::new(Kind::Backup, "directories are nested too deeply for a backup")
            .at(directory.display())
            .next("name the backup's own directory"));
    }
    for entry in fs::read_dir(directory).map_err(|error| unread(directory, error))? {
        let entry = entry.map_err(|error| unread(directory, error))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_string) else {
            return Err(Error::new(Kind::Backup, "a file's name isn't UTF-8")
                .at(path.display())
                .next("take it out of the directory: no backup tool writes such a name"));
        };
        let about = entry.metadata().map_err(|error| unread(&path, error))?;
        // What doesn't go up isn't looked at. A migration's own directory holds its backups.
        if crate::transit::tree::is_own(&name) && (!about.is_dir() || name.starts_with('.')) {
            continue;
        }
        let before = prefix.len();
        prefix.push_str(&name);
        if about.is_dir() {
            prefix.push('/');
            walk(&path, prefix, depth + 1, blobs)?;
        } else if about.is_file() {
            super::checked(prefix.as_bytes())
                .map_err(|fault| Error::new(Kind::Backup, fault.what()).at(path.display()))?;
            blobs.push(Blob::of_file(prefix.clone(), about.len(), path));
        } else {
            return Err(not_a_file(&path));
        }
        prefix.truncate(before);
    }
    Ok(())
}

fn not_a_file(path: &Path) -> Error {
    Error::new(Kind::Backup, "neither a file nor a directory (a link, a pipe, a device)")
        .at(path.display())
        .next("put what it points to in its place, or take it out: what lies outside isn't in the backup")
}
