//! Puts a report into files: whole or not at all, and not for everybody to read. A report holds no
//! secret, but it names tables, hosts and keys that differ.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::Report;
use crate::error::{Error, Kind, Result};

/// The JSON document's name in the migration directory.
pub const JSON_FILE: &str = "report.json";

/// The page's name in the migration directory.
pub const HTML_FILE: &str = "report.html";

/// Owner and group; others never.
const MODE: u32 = 0o640;

/// Writes `report.json` and `report.html` into a directory, replacing those that are there.
///
/// # Errors
/// `Io` when the directory can't be written; files that were there are whole then.
pub fn write(report: &Report, directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let (json, html) = (directory.join(JSON_FILE), directory.join(HTML_FILE));
    write_file(&json, &report.to_json()?)?;
    write_file(&html, &report.to_html())?;
    Ok((json, html))
}

/// Writes one file, whole or not at all, readable by owner and group.
///
/// # Errors
/// `Io` when it can't be written; a file that was there is whole then.
pub fn write_file(path: &Path, content: &str) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Io, "the report could not be written").because(error).at(path.display())
    };
    let Some(name) = path.file_name() else {
        return Err(Error::new(Kind::Usage, "the report's path names no file").at(path.display()));
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // In the same directory, since a rename does not cross file systems.
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = directory.join(hidden);
    let result = fill(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if result.is_err()
        && let Err(error) = std::fs::remove_file(&temporary)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %temporary.display(), "a temporary file stays");
    }
    result.map_err(failed)
}

fn fill(path: &Path, content: &str) -> std::io::Result<()> {
    // What a killed process of the same number left. A link of somebody else's is not followed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
