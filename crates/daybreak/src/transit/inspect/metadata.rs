//! What the tools write about a backup: `xtrabackup_checkpoints`, `xtrabackup_info`,
//! `xtrabackup_binlog_info`, `backup-my.cnf`, `.meta`, and the names that MariaDB 11 gave them.

use std::collections::BTreeMap;

use crate::{
    mysql::{Coordinates, FilePosition, GtidSet},
    transit::inspection::BackupKind,
};

/// The file of LSNs, under both names.
pub const CHECKPOINTS: &[&str] = &["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
/// The file about the run.
pub const INFO: &[&str] = &["xtrabackup_info", "mariadb_backup_info"];
/// The file of the binary log position.
pub const BINLOG: &[&str] = &["xtrabackup_binlog_info", "mariadb_backup_binlog_info"];
/// What a preparation says of the last commit's position.
pub const BINLOG_INNODB: &[&str] =
    &["xtrabackup_binlog_pos_innodb", "mariadb_backup_binlog_pos_innodb"];
/// The server's settings that the files need.
pub const SETTINGS: &str = "backup-my.cnf";

/// `xtrabackup_checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// What kind of backup it is.
    pub kind: BackupKind,
    /// 0, or where the base ended.
    pub from_lsn: u64,
    /// The checkpoint that it holds.
    pub to_lsn: u64,
    /// Where its redo log ends.
    pub last_lsn: u64,
    /// Without secondary indexes (`--compact`).
    pub compact: bool,
}

impl Checkpoints {
    /// Reads it; the error says what can't be understood.
    pub fn parse(text: &str) -> Result<Checkpoints, String> {
        let values = lines(text, true)?;
        let number = |key: &str| -> Result<u64, String> {
            let value = values.get(key).ok_or(format!("{key} is missing"))?;
            value.parse().map_err(|_| format!("{key} = {value:?} is no number"))
        };
        let kind = match values.get("backup_type").map(String::as_str) {
            Some("full-backuped") => BackupKind::Full,
            Some("incremental") => BackupKind::Incremental,
            Some("log-applied") => BackupKind::LogApplied,
            Some("full-prepared") => BackupKind::Prepared,
            Some(other) => return Err(format!("backup_type = {other:?} is unknown")),
            None => return Err("backup_type is missing".into()),
        };
        let compact = match values.get("compact").map(String::as_str) {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => return Err(format!("compact = {other:?} is unknown")),
        };
        let (from_lsn, to_lsn) = (number("from_lsn")?, number("to_lsn")?);
        let last_lsn = number("last_lsn")?;
        Ok(Checkpoints { kind, from_lsn, to_lsn, last_lsn, compact })
    }

    /// What contradicts itself in it.
    pub fn contradiction(&self) -> Option<String> {
        let (from, to, last) = (self.from_lsn, self.to_lsn, self.last_lsn);
        if from > to {
            return Some(format!("from_lsn {from} lies after to_lsn {to}"));
        }
        if last < to {
            return Some(format!("last_lsn {last} lies before to_lsn {to}"));
        }
        match (self.kind, from) {
            (BackupKind::Incremental, 0) => Some("an incremental backup from LSN 0".into()),
            (BackupKind::Incremental, _) | (_, 0) => None,
            _ => Some(format!("a full backup from LSN {from}")),
        }
    }
}

/// `xtrabackup_info`.
#[derive(Debug, Clone, Default)]
pub struct Info {
    values: BTreeMap<String, String>,
}

impl Info {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Info, String> {
        let values = lines(text, false)?;
        match values.contains_key("tool_version") || values.contains_key("server_version") {
            true => Ok(Info { values }),
            false => Err("neither tool_version nor server_version is in it".into()),
        }
    }

    /// A value that isn't empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// Whether something is on: anything but `N`, `none` and nothing.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| {
            !["n", "no", "none", "0", "off"].contains(&value.to_ascii_lowercase().as_str())
        })
    }

    /// The tool's options.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.get("tool_command").unwrap_or_default().split_ascii_whitespace()
    }

    /// The options by which databases or tables are left out.
    pub fn narrowing(&self) -> Vec<String> {
        const NARROWING: &[&str] = &[
            "databases",
            "databases-file",
            "databases-exclude",
            "tables",
            "tables-file",
            "tables-exclude",
            "tables-list",
            "include",
        ];
        self.options()
            .filter(|option| {
                let name = option.split('=').next().unwrap_or_default();
                // The tools take unique beginnings, and underscores.
                let name = name.trim_start_matches('-').replace('_', "-");
                option.starts_with("--") && NARROWING.contains(&name.as_str())
            })
            .map(|option| option.split('=').next().unwrap_or_default().to_string())
            .collect()
    }

    /// Whether a secret is still to be read in the tool's command.
    pub fn tells_secret(&self) -> bool {
        self.get("tool_command").is_some_and(super::secrets::tells)
    }

    /// Whether databases or tables were left out, by what the tool says or was told.
    pub fn is_partial(&self) -> bool {
        self.is_on("partial") || !self.narrowing().is_empty()
    }

    /// The position as it is written here.
    pub fn position(&self) -> Option<Position> {
        let text = self.get("binlog_pos")?;
        let quoted = |after: &str| -> Option<&str> {
            let rest = &text[text.find(after)? + after.len()..];
            let rest = rest.split_once('\'')?.1;
            Some(rest.split_once('\'')?.0)
        };
        let file = quoted("filename ");
        let offset = quoted("position ").and_then(|offset| offset.parse().ok());
        let gtids = quoted("GTID of the last change ").unwrap_or_default();
        Position::of(file.zip(offset), gtids)
    }
}

/// A position as a tool wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// As it is used.
    pub coordinates: Coordinates,
    /// GTIDs that aren't MySQL's.
    pub foreign_gtids: Option<String>,
}

impl Position {
    fn of(file: Option<(&str, u64)>, gtids: &str) -> Option<Position> {
        let gtids: String = gtids.chars().filter(|c| !c.is_whitespace()).collect();
        let (set, foreign_gtids) = match GtidSet::parse(&gtids) {
            Ok(set) => (set, None),
            Err(_) => (GtidSet::default(), Some(gtids)),
        };
        let file = file.map(|(file, position)| FilePosition { file: file.to_string(), position });
        (file.is_some() || !set.is_empty())
            .then_some(Position { coordinates: Coordinates { file, gtids: set }, foreign_gtids })
    }

    /// What the two files that name a position say together: `xtrabackup_binlog_info` counts, and what it
    /// lacks (of GTIDs, XtraBackup 2.3 wrote nothing else) is in `xtrabackup_info`. None where neither names
    /// one; an error where they contradict each other.
    pub fn agreed(
        binlog: Option<Position>,
        info: Option<Position>,
    ) -> Result<Option<Position>, String> {
        let (Some(one), Some(other)) = (&binlog, &info) else { return Ok(binlog.or(info)) };
        let (a, b) = (&one.coordinates, &other.coordinates);
        let files = a.file.is_some() && b.file.is_some() && a.file != b.file;
        let sets = !a.gtids.is_empty() && !b.gtids.is_empty() && a.gtids != b.gtids;
        if files || sets {
            return Err(
                "xtrabackup_binlog_info and xtrabackup_info name different positions".into()
            );
        }
        let mut agreed = one.clone();
        agreed.coordinates.file = agreed.coordinates.file.or_else(|| b.file.clone());
        Ok(Some(agreed))
    }

    /// The GTIDs as the server writes them; none if there are none.
    pub fn gtids(&self) -> Option<String> {
        let foreign = self.foreign_gtids.clone().filter(|gtids| !gtids.is_empty());
        let set = &self.coordinates.gtids;
        foreign.or_else(|| (!set.is_empty()).then(|| set.to_string()))
    }

    /// Reads `xtrabackup_binlog_pos_innodb`: the same, with the path as the server has it.
    pub fn parse_committed(text: &str) -> Result<Option<Position>, String> {
        let (path, rest) = text.split_once('\t').unwrap_or((text, ""));
        let file = path.rsplit('/').next().unwrap_or_default();
        match rest {
            "" => Position::parse(text),
            rest => Position::parse(&format!("{file}\t{rest}")),
        }
    }

    /// Reads `xtrabackup_binlog_info`: `file<TAB>position[<TAB>GTIDs]`, or GTIDs only.
    pub fn parse(text: &str) -> Result<Option<Position>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let unread = || format!("{:?} is no position", text.chars().take(80).collect::<String>());
        let mut fields = text.splitn(3, '\t');
        let (first, second) = (fields.next().unwrap_or_default(), fields.next());
        let position = match second {
            None => Position::of(None, first),
            Some(offset) => {
                let offset = offset.trim().parse().map_err(|_| unread())?;
                let file = first.trim();
                if file.is_empty() || file.contains(['/', '\n']) {
                    return Err(unread());
                }
                Position::of(Some((file, offset)), fields.next().unwrap_or_default())
            }
        };
        position.map(Some).ok_or_else(unread)
    }
}

/// The settings in `backup-my.cnf`.
pub fn settings(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().replace('-', "_"), value.trim().to_string()))
        .collect()
}

/// `.meta` beside a `.delta`: how many bytes a page takes in the file, and the tablespace's number.
pub fn delta_meta(text: &str) -> Result<(u32, u32), String> {
    let values = lines(text, true)?;
    let number = |key: &str| values.get(key).and_then(|value| value.parse::<u32>().ok());
    let page = number("page_size").ok_or("page_size is missing")?;
    let space = number("space_id").ok_or("space_id is missing")?;
    match number("zip_size") {
        None | Some(0) => Ok((page, space)),
        Some(zip) => Ok((zip, space)),
    }
}

/// The key of a line `key = value`.
pub fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_key.then_some(key)
}

/// `key = value` lines. Strictly: nothing else, and no key twice. Otherwise a line that is none goes on
/// with the value before it (GTID sets have line breaks).
fn lines(text: &str, strict: bool) -> Result<BTreeMap<String, String>, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let value = line.split_once('=').map_or("", |(_, value)| value.trim());
        let named = key_of(line).map(|key| (key, value));
        match (named, &last) {
            (Some((key, value)), _) => {
                if values.insert(key.into(), value.into()).is_some() {
                    return Err(format!("{key} is there twice"));
                }
                last = Some(key.into());
            }
            (None, Some(key)) if !strict => {
                if let Some(value) = values.get_mut(key) {
                    value.push_str(line.trim());
                }
            }
            _ => {
                let line: String = line.chars().take(60).collect();
                return Err(format!("{line:?} isn't understood"));
            }
        }
    }
    Ok(values)
}
