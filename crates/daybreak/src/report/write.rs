//! Puts a report into files: whole or not at all, and not for everybody to read. A report holds no
//! secret, but it names tables, hosts and keys that differ.

use std::path::{Path, PathBuf};

use super::Report;
use crate::{
    error::{Error, Kind, Result},
    files,
};

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
    if path.file_name().is_none() {
        return Err(Error::new(Kind::Usage, "the report's path names no file").at(path.display()));
    }
    files::replace(path, content.as_bytes(), MODE).map_err(failed)
}
