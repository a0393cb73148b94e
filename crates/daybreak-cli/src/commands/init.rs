//! `daybreak init`.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use daybreak::{
    config,
    error::{Error, Exit, Kind, Result},
};

use super::Session;

/// Writes the commented configuration, readable by its owner alone.
pub fn init(session: &Session<'_>, directory: &Path, force: bool) -> Result<Exit> {
    write(directory, config::TEMPLATE, force)?;
    session.ui.line(&format!(
        "wrote {}; fill in [source] and [target], then `daybreak assess`",
        directory.join(config::FILE).display()
    ));
    Ok(Exit::Done)
}

/// Writes a configuration into a directory.
pub fn write(directory: &Path, text: &str, force: bool) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(config::FILE);
    // Whole or not at all: what was there may be the only copy of somebody's settings.
    let fresh = directory.join(format!(".{}.{}", config::FILE, std::process::id()));
    if !force && path.exists() {
        return Err(Error::new(Kind::Usage, "there is a configuration already")
            .at(path.display())
            .next("edit it, or replace it with --force"));
    }
    let written = fill(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path));
    if written.is_err() {
        // It may never have been made.
        drop(std::fs::remove_file(&fresh));
    }
    written.map_err(|error| Error::from(error).at(path.display()))
}

fn fill(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
