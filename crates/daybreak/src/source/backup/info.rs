//! What a tool writes beside the data, as this module's callers want it: read by the same code that
//! inspects backups, with errors that say what to do.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    mysql::Coordinates,
    transit::inspect::{metadata, secrets},
};

pub use crate::transit::inspect::Checkpoints;
/// A command line without the values of secret options.
pub use secrets::scrubbed;

pub(super) use metadata::{BINLOG as BINLOG_INFO, INFO};
const LIMIT: u64 = 16 * 1_048_576;

/// What is taken from `xtrabackup_info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The server's version.
    pub server_version: Option<String>,
    /// When it began, by the source's clock.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// Whether databases or tables were left out.
    pub partial: bool,
}

/// Coordinates as a tool wrote them. MariaDB's GTIDs have a form of their own, which is kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    coordinates: Coordinates,
    /// GTIDs.
    pub gtids: String,
}

impl Written {
    /// In the form of the rest of the project.
    pub fn coordinates(&self) -> Coordinates {
        // MariaDB's isn't a set of this form: file and offset say it all.
        self.coordinates.clone()
    }
}

/// Finds one of the files.
pub(super) fn place(directory: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

fn read(directory: &Path, names: &[&str]) -> Result<Option<String>> {
    let Some(path) = place(directory, names) else { return Ok(None) };
    let at = |error: io::Error| Error::from(error).at(path.display());
    if fs::metadata(&path).map_err(at)?.len() > LIMIT {
        return Err(Error::new(Kind::Backup, "a file beside the backup is far too large")
            .at(path.display()));
    }
    Ok(Some(String::from_utf8_lossy(&fs::read(&path).map_err(at)?).into_owned()))
}

fn incomplete(directory: &Path, what: &str) -> Error {
    Error::new(Kind::Backup, format!("the backup isn't whole: {what}"))
        .at(directory.display())
        .next("take it again; a backup whose tool was killed can look prepared and hold nothing")
}

/// Reads `xtrabackup_checkpoints`.
///
/// # Errors
/// `Backup` when it isn't there, can't be understood, contradicts itself, or holds no LSN.
pub fn checkpoints(directory: &Path) -> Result<Checkpoints> {
    let wrong = |what: &str| incomplete(directory, &format!("xtrabackup_checkpoints {what}"));
    let text = read(directory, metadata::CHECKPOINTS)?.ok_or_else(|| wrong("is missing"))?;
    let found = Checkpoints::parse(&text)
        .map_err(|what| wrong(&format!("says nothing that can be used: {what}")))?;
    if found.to_lsn == 0 {
        return Err(wrong("has LSNs of zero"));
    }
    match found.contradiction() {
        Some(what) => Err(wrong(&format!("contradicts itself: {what}"))),
        None => Ok(found),
    }
}

fn parsed(directory: &Path) -> Result<metadata::Info> {
    let text = read(directory, INFO)?
        .ok_or_else(|| incomplete(directory, "xtrabackup_info is missing"))?;
    let info = metadata::Info::parse(&text)
        .map_err(|what| incomplete(directory, &format!("xtrabackup_info: {what}")))?;
    match info.get("server_version") {
        Some(_) => Ok(info),
        None => Err(incomplete(directory, "xtrabackup_info names no server")),
    }
}

/// Reads `xtrabackup_info`.
///
/// # Errors
/// `Backup` when it isn't there or holds nothing.
pub fn info(directory: &Path) -> Result<Info> {
    let info = parsed(directory)?;
    let value = |key: &str| info.get(key).map(str::to_string);
    Ok(Info {
        server_version: value("server_version"),
        start_time: value("start_time"),
        end_time: value("end_time"),
        partial: info.is_partial(),
    })
}

/// The coordinates of a backup in a directory: of `xtrabackup_binlog_info`, else of
/// `xtrabackup_info`. None where the server writes no binary log.
///
/// # Errors
/// `Io`; `Backup` when one can't be understood, or the two contradict each other.
pub fn coordinates(directory: &Path) -> Result<Option<Written>> {
    let wrong = |what: String| {
        Error::new(Kind::Backup, what).at(directory.display()).next("take the backup again")
    };
    let from_info = parsed(directory)?.position();
    let text = read(directory, BINLOG_INFO)?.unwrap_or_default();
    let written = metadata::Position::parse(&text)
        .map_err(|what| wrong(format!("xtrabackup_binlog_info: {what}")))?;
    let agreed = metadata::Position::agreed(written, from_info).map_err(wrong)?;
    Ok(agreed.map(|position| Written {
        gtids: position.gtids().unwrap_or_default(),
        coordinates: position.coordinates,
    }))
}

/// Takes what could be a credential out of `tool_command` in `xtrabackup_info`. daybreak never passes
/// one, but a backup may have been taken by hand.
///
/// # Errors
/// `Io`.
pub fn scrub(directory: &Path) -> Result<bool> {
    let Some(path) = place(directory, INFO) else { return Ok(false) };
    let Some(text) = read(directory, INFO)? else { return Ok(false) };
    let clean = secrets::scrubbed_info(&text);
    if clean == text {
        return Ok(false);
    }
    super::chain::replace(&path, clean.as_bytes())?;
    Ok(true)
}

/// `xtrabackup_info` of a backup into which others were merged: its own, but for what says where it ends,
/// which is the last one's.
pub(super) fn merged(full: &str, last: &str) -> String {
    const ENDS: [&str; 2] = ["binlog_pos", "innodb_to_lsn"];
    let mut text = String::new();
    let (rest, ends) = (entries(full), entries(last));
    for (key, lines) in rest {
        let of_last = ends.iter().find(|(other, _)| *other == key && ENDS.contains(&key));
        text.push_str(of_last.map_or(&lines, |(_, lines)| lines));
    }
    text
}

/// Each key with its lines: a GTID set goes on over several.
fn entries(text: &str) -> Vec<(&str, String)> {
    let mut entries: Vec<(&str, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (metadata::key_of(line), entries.last_mut()) {
            (None, Some((_, lines))) => lines.push_str(line),
            (key, _) => entries.push((key.unwrap_or_default(), line.to_string())),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::inspection::BackupKind;

    const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn checkpoints_must_hold_something() {
        let text = "backup_type = incremental\nfrom_lsn = 44760\nto_lsn = 44761\nlast_lsn = 9231741\nrecover_binlog_info = 0\n";
        let read = |text: &str| checkpoints(directory(&[("xtrabackup_checkpoints", text)]).path());
        let found = read(text).unwrap();
        assert_eq!((found.kind, found.to_lsn), (BackupKind::Incremental, 44761));
        // What `--prepare` leaves of a backup whose tool was killed.
        for wrong in [
            "backup_type = full-prepared\nfrom_lsn = 0\nto_lsn = 0\nlast_lsn = 0\n",
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 5\n",
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 5\nlast_lsn = 4\n",
            "backup_type = who-knows\nfrom_lsn = 0\nto_lsn = 5\nlast_lsn = 5\n",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(checkpoints(directory(&[]).path()).is_err());
    }

    #[test]
    fn coordinates_in_every_form() {
        let read = |binlog: &str, info: &str| {
            let info = format!("server_version = 8.0.36\n{info}partial = N\n");
            let files = [("xtrabackup_binlog_info", binlog), ("xtrabackup_info", &info)];
            coordinates(directory(&files).path())
        };
        let maria = read("binlog.000001\t1179\t0-7-5\n", "").unwrap().unwrap();
        assert_eq!(maria.gtids, "0-7-5");
        assert_eq!(maria.coordinates().file.unwrap().position, 1179);
        let two = format!("{SET},\n4{}:1", &SET[1..36]);
        let my = read(&format!("mysql-bin.000003\t196\t{two}\n"), "").unwrap().unwrap();
        assert_eq!(my.coordinates().gtids.count(), 6);
        let info = format!(
            "binlog_pos = filename 'b.000001', position '157', GTID of the last change '{two}'\ninnodb_from_lsn = 0\n"
        );
        // GTIDs alone, and the file from the other; or the other alone.
        for binlog in [format!("{two}\n"), String::new()] {
            let found = read(&binlog, &info).unwrap().unwrap();
            assert_eq!(found.coordinates().gtids.count(), 6);
            assert_eq!(found.coordinates().file.unwrap().to_string(), "b.000001:157");
        }
        assert!(read("b.000001\t158\n", &info).is_err());
        assert!(read("no position\n", "").is_err());
        assert_eq!(read("", "").unwrap(), None);
    }

    /// What the inspection calls partial isn't taken for whole here.
    #[test]
    fn partial_however_it_is_said() {
        let partial = |lines: &str| {
            let text = format!("server_version = 8.0.36\n{lines}");
            info(directory(&[("mariadb_backup_info", &text)]).path()).unwrap().partial
        };
        for yes in ["partial = Y\n", "partial = y\n", "tool_command = --tables_file=/f --x\n"] {
            assert!(partial(yes), "{yes}");
        }
        assert!(!partial("partial = N\ntool_command = --parallel=2\n"));
    }

    #[test]
    fn a_merged_backup_has_the_end_of_the_last() {
        let full = "uuid = a\nbinlog_pos = filename 'b.1', position '4', GTID of the last change 'x:1,\ny:1'\ninnodb_from_lsn = 0\ninnodb_to_lsn = 10\nincremental = N\n";
        let last = "uuid = b\nbinlog_pos = filename 'b.2', position '5', GTID of the last change 'x:1-2,\ny:1'\ninnodb_from_lsn = 10\ninnodb_to_lsn = 20\nincremental = Y\n";
        let wanted = "uuid = a\nbinlog_pos = filename 'b.2', position '5', GTID of the last change 'x:1-2,\ny:1'\ninnodb_from_lsn = 0\ninnodb_to_lsn = 20\nincremental = N\n";
        assert_eq!(merged(full, last), wanted);
    }
}
