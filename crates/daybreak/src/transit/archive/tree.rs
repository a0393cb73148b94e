//! Files on disk as blobs: a directory with all below it, a file, or a file with its other parts.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::parts;
use crate::{
    error::{Error, Kind, Result},
    transit::named::Named,
};

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

/// Blobs that lie at one place. They may be a million: each is made when it is its turn.
#[derive(Clone)]
pub struct Blobs {
    /// Names and sizes.
    list: Arc<Named<u64>>,
    make: Make,
}

/// Makes a blob by its name and size.
type Make = Arc<dyn Fn(&str, u64) -> Blob + Send + Sync>;

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.fmt(f)
    }
}

impl Blobs {
    /// Of names with sizes, each made so.
    pub fn new(
        list: Named<u64>,
        make: impl Fn(&str, u64) -> Blob + Send + Sync + 'static,
    ) -> Blobs {
        Blobs { list: Arc::new(list), make: Arc::new(make) }
    }

    /// All, in order.
    pub fn iter(&self) -> EachBlob {
        self.clone().into_iter()
    }

    /// Files below a directory.
    fn of_files(list: Named<u64>, root: PathBuf) -> Blobs {
        Blobs::new(list, move |name, size| Blob::of_file(name, size, root.join(name)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl IntoIterator for &Blobs {
    type Item = Blob;
    type IntoIter = EachBlob;

    fn into_iter(self) -> EachBlob {
        self.iter()
    }
}

impl IntoIterator for Blobs {
    type Item = Blob;
    type IntoIter = EachBlob;

    fn into_iter(self) -> EachBlob {
        EachBlob { blobs: self, next: 0 }
    }
}

/// Blobs, one after the other, in order.
#[derive(Debug, Clone)]
pub struct EachBlob {
    blobs: Blobs,
    next: usize,
}

impl Iterator for EachBlob {
    type Item = Blob;

    fn next(&mut self) -> Option<Blob> {
        if self.next >= self.blobs.list.len() {
            return None;
        }
        let (name, size) = self.blobs.list.at(self.next);
        self.next += 1;
        Some((self.blobs.make)(name, *size))
    }
}

/// The blobs at a path: all files of a directory but daybreak's own, or a file with the other parts of its
/// archive. Anything in a directory that is neither file nor directory is refused.
pub fn blobs_of_path(path: &Path) -> Result<Blobs> {
    let unread = |path: &Path, error: io::Error| {
        Error::new(Kind::Io, "the backup can't be read").because(error).at(path.display())
    };
    let real = fs::canonicalize(path).map_err(|error| unread(path, error))?;
    let about = fs::metadata(&real).map_err(|error| unread(path, error))?;
    let mut list = Named::default();
    if about.is_dir() {
        walk(&real, &mut String::new(), 0, &mut list)?;
        list.sort();
        return Ok(Blobs::of_files(list, real));
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
    list.push(&given, about.len());
    // Its parts lie beside it.
    let parent = real.parent().unwrap_or(Path::new("/"));
    if let Some(own) = parts::whole_of(&given) {
        for entry in fs::read_dir(parent).map_err(|error| unread(parent, error))? {
            let entry = entry.map_err(|error| unread(parent, error))?;
            let Some(other) = entry.file_name().to_str().map(str::to_string) else { continue };
            let about = entry.metadata().map_err(|error| unread(&entry.path(), error))?;
            if other != given && about.is_file() && parts::whole_of(&other) == Some(own) {
                list.push(&other, about.len());
            }
        }
    }
    Ok(Blobs::of_files(list, parent.to_path_buf()))
}

/// Directories within directories of a backup: a database, below a link, below the tree. More is no backup.
const DEEPEST: usize = 32;

fn walk(directory: &Path, prefix: &mut String, depth: usize, list: &mut Named<u64>) -> Result<()> {
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
            walk(&path, prefix, depth + 1, list)?;
        } else if about.is_file() {
            super::checked(prefix.as_bytes())
                .map_err(|fault| Error::new(Kind::Backup, fault.what()).at(path.display()))?;
            list.push(prefix, about.len());
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
