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
    fn order(&self) -> (u64, u64) {
        let number = self.file.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        (number, self.position)
    }

    /// Whether everything up to `other` lies at or before this position, in the same log.
    pub fn reaches(&self, other: &FilePosition) -> bool {
        self.order() >= other.order()
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
    }
}
