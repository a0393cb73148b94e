//! Where a server stands in its binary log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GtidSet, Session};
use crate::error::{Error, Kind, Result};

/// A file of the binary log and an offset in it.
///
/// Ordered by the file's number first: `binlog.1000000` comes after `binlog.999999`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The file's name.
    pub file: String,
    /// The offset in bytes.
    pub position: u64,
}

impl FilePosition {
    /// The log's name, and where in it.
    fn order(&self) -> Option<(&str, (u64, u64))> {
        let (log, number) = self.file.rsplit_once('.')?;
        Some((log, (number.parse().ok()?, self.position)))
    }

    /// Whether everything up to `other` lies at or before this position, in the same log. Logs of
    /// other names (`log_bin` was changed) aren't compared: never reached.
    pub fn reaches(&self, other: &FilePosition) -> bool {
        match (self.order(), other.order()) {
            (Some((log, at)), Some((others, point))) => log == others && at >= point,
            _ => false,
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

/// A point in a server's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// By file and offset; none when the binary log is off.
    pub file: Option<FilePosition>,
    /// The transactions executed; empty where GTIDs are off.
    pub gtids: GtidSet,
}

impl Coordinates {
    /// Asks a server where it stands.
    pub async fn read(session: &mut Session) -> Result<Self> {
        let statement = session.dialect().binary_log_status();
        let file = match session.row(statement).await? {
            Some(row) => {
                let file: String = session.field(&row, "File")?;
                let position: u64 = session.field(&row, "Position")?;
                Some(FilePosition { file, position })
            }
            None => None,
        };
        let gtids = if session.dialect().has_gtid_mode() {
            let text: String = session
                .scalar("SELECT @@GLOBAL.gtid_executed")
                .await?
                .ok_or_else(|| Error::new(Kind::Bug, "gtid_executed has no value"))?;
            GtidSet::parse(&text)?
        } else {
            GtidSet::default()
        };
        Ok(Coordinates { file, gtids })
    }

    /// Whether a server's coordinates tell of every write: it has a binary log, which leaves no
    /// database out.
    pub async fn tell_all(session: &mut Session) -> Result<bool> {
        let statement = session.dialect().binary_log_status();
        let Some(row) = session.row(statement).await? else { return Ok(false) };
        for filter in ["Binlog_Do_DB", "Binlog_Ignore_DB"] {
            let databases: Option<String> = session.optional(&row, filter)?;
            if databases.is_some_and(|databases| !databases.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}")?,
            None => f.write_str("no binary log")?,
        }
        if !self.gtids.is_empty() {
            write!(f, " ({})", self.gtids)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_number() {
        let at = |file: &str, position| FilePosition { file: file.into(), position };
        assert!(at("binlog.1000000", 4).reaches(&at("binlog.999999", 9999)));
        assert!(!at("binlog.000002", 4).reaches(&at("binlog.000002", 5)));
        assert!(at("a.b.000002", 5).reaches(&at("a.b.000002", 5)));
        assert!(!at("mysql-bin.000009", 4).reaches(&at("binlog.000001", 4)));
        assert!(!at("binlog", 4).reaches(&at("binlog", 4)));
    }
}
