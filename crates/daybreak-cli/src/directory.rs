//! The migration directory: one process at a time holds it.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use daybreak::{
    engine::Journal,
    error::{Error, Kind, Result},
    files,
};

/// A held directory. The kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Makes sure that a migration was begun in a directory.
///
/// # Errors
/// `State`.
pub fn expect_migration(directory: &Path) -> Result<()> {
    if Journal::exists(directory) {
        return Ok(());
    }
    Err(Error::new(Kind::State, "there is no migration here")
        .at(directory.display())
        .next("`daybreak run` begins one; --dir names another directory"))
}

/// Makes the directory if it isn't there, and holds it.
///
/// # Errors
/// `State` when another process holds it.
pub fn hold(directory: &Path) -> Result<Held> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        Error::new(Kind::Io, "the migration's directory can't be made")
            .because(error)
            .at(directory.display())
    })?;
    let path = directory.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::from(error).at(path.display()))?;
    if !files::lock(&file, false).map_err(|error| Error::from(error).at(path.display()))? {
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        return Err(Error::new(
            Kind::State,
            format!("another daybreak (process {}) holds this migration", holder.trim()),
        )
        .at(directory.display())
        .next("wait for it, or ask it to stop with `daybreak pause`"));
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Held { _file: file })
}
