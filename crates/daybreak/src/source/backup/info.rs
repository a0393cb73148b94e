//! What a tool writes beside the data: `xtrabackup_checkpoints`, `xtrabackup_info`,
//! `xtrabackup_binlog_info`. MariaDB 11 calls them `mariadb_backup_*`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    mysql::{Coordinates, FilePosition, GtidSet},
    transit::inspection::BackupKind,
};

/// The names that each of the files has had.
const CHECKPOINTS: [&str; 2] = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
pub(super) const INFO: [&str; 2] = ["xtrabackup_info", "mariadb_backup_info"];
pub(super) const BINLOG_INFO: [&str; 2] = ["xtrabackup_binlog_info", "mariadb_backup_binlog_info"];
const LIMIT: u64 = 16 * 1_048_576;

/// `xtrabackup_checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// What kind of backup.
    pub kind: BackupKind,
    /// The LSN from which changed pages are in it.
    pub from_lsn: u64,
    /// The LSN of the checkpoint that it holds.
    pub to_lsn: u64,
    /// The LSN up to which its redo log goes.
    pub last_lsn: u64,
}

/// What is taken from `xtrabackup_info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The server's version.
    pub server_version: Option<String>,
    /// When it began, by the source's clock.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// File, offset and GTIDs, as the tool wrote them.
    pub binlog_pos: Option<Written>,
    /// Whether databases or tables were left out.
    pub partial: bool,
}

/// Coordinates as a tool wrote them. MariaDB's GTIDs have a form of their own, which is kept as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// File and offset.
    pub file: Option<FilePosition>,
    /// GTIDs.
    pub gtids: String,
}

impl Written {
    /// In the form of the rest of the project.
    pub fn coordinates(&self) -> Coordinates {
        // MariaDB's isn't a set of this form: file and offset say it all.
        let gtids = GtidSet::parse(&self.gtids).unwrap_or_default();
        Coordinates { file: self.file.clone(), gtids }
    }
}

/// Finds one of the files.
pub(super) fn place(directory: &Path, names: [&str; 2]) -> Option<PathBuf> {
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

fn read(directory: &Path, names: [&str; 2]) -> Result<Option<String>> {
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
/// `Backup` when it isn't there, can't be understood, or holds no LSN.
pub fn checkpoints(directory: &Path) -> Result<Checkpoints> {
    let text = read(directory, CHECKPOINTS)?
        .ok_or_else(|| incomplete(directory, "xtrabackup_checkpoints is missing"))?;
    parse_checkpoints(&text).ok_or_else(|| {
        incomplete(directory, "xtrabackup_checkpoints says nothing that can be used")
    })
}

fn parse_checkpoints(text: &str) -> Option<Checkpoints> {
    let value = |key: &str| values(text).find(|(name, _)| *name == key).map(|(_, value)| value);
    let lsn = |key: &str| value(key)?.parse::<u64>().ok();
    let kind = match value("backup_type")? {
        "full-backuped" => BackupKind::Full,
        "incremental" => BackupKind::Incremental,
        "log-applied" => BackupKind::LogApplied,
        "full-prepared" => BackupKind::Prepared,
        _ => return None,
    };
    let found = Checkpoints {
        kind,
        from_lsn: lsn("from_lsn")?,
        to_lsn: lsn("to_lsn")?,
        last_lsn: lsn("last_lsn")?,
    };
    (found.to_lsn > 0 && found.last_lsn >= found.to_lsn && found.from_lsn <= found.to_lsn)
        .then_some(found)
}

/// Reads `xtrabackup_info`.
///
/// # Errors
/// `Backup` when it isn't there or holds nothing.
pub fn info(directory: &Path) -> Result<Info> {
    let text = read(directory, INFO)?
        .ok_or_else(|| incomplete(directory, "xtrabackup_info is missing"))?;
    let info = parse_info(&text);
    match info.server_version {
        Some(_) => Ok(info),
        None => Err(incomplete(directory, "xtrabackup_info is empty")),
    }
}

fn parse_info(text: &str) -> Info {
    let value = |key: &str| {
        values(text)
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.to_string())
            .filter(|value| !value.is_empty())
    };
    Info {
        server_version: value("server_version"),
        start_time: value("start_time"),
        end_time: value("end_time"),
        // A GTID set goes on over several lines.
        binlog_pos: text
            .split_once("\nbinlog_pos = ")
            .and_then(|(_, rest)| rest.split("\ninnodb_from_lsn").next())
            .and_then(parse_binlog_pos),
        partial: value("partial").as_deref() == Some("Y"),
    }
}

fn values(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// `filename 'binlog.000001', position '1179', GTID of the last change '0-7-5'`; each part may be
/// missing.
fn parse_binlog_pos(text: &str) -> Option<Written> {
    let quoted = |after: &str| {
        let (_, rest) = text.split_once(after)?;
        Some(rest.split_once('\'')?.1.split_once('\'')?.0)
    };
    let file = quoted("filename")
        .zip(quoted("position").and_then(|text| text.parse().ok()))
        .map(|(file, position)| FilePosition { file: file.to_string(), position });
    let gtids = quoted("GTID of the last change").unwrap_or_default();
    let gtids: String = gtids.split_whitespace().collect();
    (file.is_some() || !gtids.is_empty()).then_some(Written { file, gtids })
}

/// The coordinates of a backup in a directory: of `xtrabackup_binlog_info`, else of
/// `xtrabackup_info`. None where the server writes no binary log.
///
/// # Errors
/// `Io`; `Backup` when the two contradict each other.
pub fn coordinates(directory: &Path) -> Result<Option<Written>> {
    let from_info = info(directory)?.binlog_pos;
    let Some(text) = read(directory, BINLOG_INFO)? else { return Ok(from_info) };
    let written = parse_binlog_info(&text);
    if let (Some(one), Some(other)) = (&written, &from_info)
        && one.file.is_some()
        && other.file.is_some()
        && one.file != other.file
    {
        return Err(Error::new(
            Kind::Backup,
            "xtrabackup_binlog_info and xtrabackup_info name different coordinates",
        )
        .at(directory.display())
        .next("take the backup again"));
    }
    Ok(match written {
        // 2.3 wrote the GTIDs alone where they are on.
        Some(written) if written.file.is_none() => {
            let file = from_info.and_then(|info| info.file);
            Some(Written { file, ..written })
        }
        Some(written) => Some(written),
        None => from_info,
    })
}

/// `file<TAB>position[<TAB>GTIDs, over several lines]`, or GTIDs alone.
fn parse_binlog_info(text: &str) -> Option<Written> {
    let text = text.trim();
    let mut parts = text.splitn(3, '\t');
    let (first, second) = (parts.next()?, parts.next());
    let joined = |text: &str| text.split_whitespace().collect::<String>();
    let Some(position) = second.and_then(|text| text.trim().parse().ok()) else {
        return (!first.is_empty()).then(|| Written { file: None, gtids: joined(text) });
    };
    Some(Written {
        file: Some(FilePosition { file: first.to_string(), position }),
        gtids: joined(parts.next().unwrap_or_default()),
    })
}

/// Takes what could be a credential out of `tool_command` in `xtrabackup_info`. daybreak never passes
/// one, but a backup may have been taken by hand.
///
/// # Errors
/// `Io`.
pub fn scrub(directory: &Path) -> Result<bool> {
    let Some(path) = place(directory, INFO) else { return Ok(false) };
    let Some(text) = read(directory, INFO)? else { return Ok(false) };
    let clean: String = text
        .split_inclusive('\n')
        .map(|line| match line.trim_start().starts_with("tool_command") {
            true => scrubbed(line),
            false => line.to_string(),
        })
        .collect();
    if clean == text {
        return Ok(false);
    }
    super::chain::replace(&path, clean.as_bytes())?;
    Ok(true)
}

/// Options whose values are secret, beside the password's, of which a prefix does as well.
const SECRETS: [&str; 2] = ["--encrypt-key", "--transition-key"];

/// A command line without the values of secret options.
pub fn scrubbed(line: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut hide = false;
    for word in line.split(' ') {
        // A value may have spaces in it, and the tools write it without quotes.
        if hide && !word.starts_with('-') {
            match (out.last().is_some_and(|last| last.ends_with("...")), word.ends_with('\n')) {
                (false, end) => out.push(if end { "...\n" } else { "..." }.to_string()),
                (true, true) => {
                    if let Some(last) = out.last_mut() {
                        last.push('\n');
                    }
                }
                (true, false) => {}
            }
            continue;
        }
        hide = false;
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let secret = SECRETS.contains(&name)
            || (name.len() >= "--pas".len() && "--password".starts_with(name));
        let short = word.strip_prefix("-p").filter(|_| !word.starts_with("--"));
        let end = if word.ends_with('\n') { "\n" } else { "" };
        match (secret, value, short) {
            (true, Some(_), _) => {
                hide = true;
                out.push(format!("{name}=...{end}"));
            }
            (true, None, _) => {
                hide = true;
                out.push(word.to_string());
            }
            (false, _, Some(rest)) if !rest.trim_end().is_empty() => {
                hide = true;
                out.push(format!("-p...{end}"));
            }
            (false, _, Some(_)) => {
                hide = true;
                out.push(word.to_string());
            }
            _ => out.push(word.to_string()),
        }
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_must_hold_something() {
        let text = "backup_type = incremental\nfrom_lsn = 44760\nto_lsn = 44761\nlast_lsn = 9231741\nrecover_binlog_info = 0\n";
        let found = parse_checkpoints(text).unwrap();
        assert_eq!((found.kind, found.to_lsn), (BackupKind::Incremental, 44761));
        // What `--prepare` leaves of a backup whose tool was killed.
        for wrong in [
            "backup_type = full-prepared\nfrom_lsn = 0\nto_lsn = 0\nlast_lsn = 0\n",
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 5\n",
            "backup_type = who-knows\nfrom_lsn = 0\nto_lsn = 5\nlast_lsn = 5\n",
            "",
        ] {
            assert!(parse_checkpoints(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn coordinates_in_every_form() {
        let maria = parse_binlog_info("binlog.000001\t1179\t0-7-5\n").unwrap();
        assert_eq!(maria.gtids, "0-7-5");
        assert_eq!(maria.coordinates().file.unwrap().position, 1179);
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let my = parse_binlog_info(&format!("mysql-bin.000003\t196\t{set},\n4{}:1\n", &set[1..36]));
        assert_eq!(my.unwrap().coordinates().gtids.count(), 6);
        let alone = parse_binlog_info(&format!("{set}\n")).unwrap();
        assert!(alone.file.is_none() && alone.coordinates().gtids.count() == 5);
        let info = format!(
            "uuid = x\nserver_version = 8.0.36\nbinlog_pos = filename 'b.000001', position '157', GTID of the last change '{set},\n4{}:1'\ninnodb_from_lsn = 0\npartial = N\n",
            &set[1..36]
        );
        let written = parse_info(&info).binlog_pos.unwrap();
        assert_eq!(written.coordinates().gtids.count(), 6);
        assert_eq!(written.file.unwrap().to_string(), "b.000001:157");
    }

    #[test]
    fn credentials_are_taken_out() {
        let line = "tool_command = --user=b --password=geheim -pgeheim -p geheim --pass=geheim --password geheim --encrypt-key=geheim --parallel=2 --ftwrl-wait-timeout=3 --port=1 --print-param --prepare geheim\n";
        let clean = scrubbed(line);
        assert_eq!(clean.matches("geheim").count(), 1, "{clean}");
        assert!(clean.contains("--parallel=2 --ftwrl-wait-timeout=3 --port=1"), "{clean}");
        assert!(clean.ends_with("--prepare geheim\n"));
        assert_eq!(scrubbed("a --password=geheim\n"), "a --password=...\n");
        for line in ["a --password=ge heim '1\n", "a --password=ge heim --b ge\n", "a -p ge heim\n"]
        {
            let clean = scrubbed(line);
            assert!(!clean.contains("heim") && clean.ends_with('\n'), "{clean}");
        }
    }
}
