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
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .create_new(!force)
        .truncate(force)
        .mode(0o600)
        .open(&path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(Kind::Usage, "there is a configuration already")
                .at(path.display())
                .next("edit it, or replace it with --force"));
        }
        Err(error) => return Err(Error::from(error).at(path.display())),
    };
    file.write_all(text.as_bytes()).map_err(|error| Error::from(error).at(path.display()))
}
