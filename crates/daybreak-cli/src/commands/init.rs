//! `daybreak init`.

use std::path::Path;

use daybreak::{
    config,
    error::{Error, Exit, Kind, Result},
    files,
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
    if !force && path.exists() {
        return Err(Error::new(Kind::Usage, "there is a configuration already")
            .at(path.display())
            .next("edit it, or replace it with --force"));
    }
    // Whole or not at all: what was there may be the only copy of somebody's settings.
    files::replace(&path, text.as_bytes(), 0o600)
        .map_err(|error| Error::from(error).at(path.display()))
}
