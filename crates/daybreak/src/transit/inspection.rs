//! What looking at a physical backup yields.

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Finding, Severity},
    mysql::Coordinates,
};

/// By whose rules a backup is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What Amazon Aurora takes.
    Aurora,
    /// Only whether it is whole.
    Any,
}

impl Profile {
    /// What whoever looks at a migration under these rules must know, if it isn't Aurora that is migrated to.
    pub fn caution(self) -> Option<&'static str> {
        (self == Profile::Any).then_some(
            "this is a rehearsal: the backup is judged by rules = \"any\", and a stand-in takes what Amazon \
             Aurora may refuse",
        )
    }
}

/// In which form it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Files as the server has them.
    Directory,
    /// One tar stream, maybe in parts.
    Tar,
    /// The same, as one gzip stream.
    TarGz,
    /// One xbstream, maybe in parts.
    Xbstream,
    /// The same, as one gzip stream (which Aurora doesn't take).
    XbstreamGz,
}

/// What kind of backup a link of a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// All pages, not prepared.
    Full,
    /// The pages that changed since another backup.
    Incremental,
    /// Prepared so far that incrementals can still be merged (`log-applied`).
    LogApplied,
    /// Prepared to the end: a server starts on it (`full-prepared`).
    Prepared,
}

/// The server that was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Oracle's, or a build of it.
    Mysql,
    /// Percona Server.
    Percona,
    /// MariaDB.
    Mariadb,
}

/// One backup of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name: the directory or file, relative to what was given; `.` for that itself.
    pub name: String,
    /// In which form.
    pub form: Form,
    /// What kind.
    pub kind: BackupKind,
    /// The LSN from which changed pages are in it; 0 in a full one.
    pub from_lsn: u64,
    /// The LSN of the checkpoint that it holds.
    pub to_lsn: u64,
    /// The LSN up to which its redo log goes.
    pub last_lsn: u64,
    /// When it began, as the tool wrote it (the source's own clock and time zone).
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// Where the binary log stood at its end.
    pub coordinates: Option<Coordinates>,
    /// How many files it holds.
    pub files: u64,
    /// How many bytes they hold, unpacked.
    pub bytes: u64,
}

/// What looking at a physical backup yields. Its JSON form is stable and documented in the README.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Whether nothing is missing or damaged, in any link.
    pub whole: bool,
    /// The kind of the whole: that of its only link, or of its first.
    pub kind: Option<BackupKind>,
    /// Whether databases or tables were left out.
    pub partial: bool,
    /// Whether files are compressed by the tool.
    pub compressed: bool,
    /// Whether files are encrypted, by the tool or by the server.
    pub encrypted: bool,
    /// The server's product.
    pub product: Option<Product>,
    /// The server's version, as it says it.
    pub server_version: Option<String>,
    /// The tool's name.
    pub tool: Option<String>,
    /// The tool's version.
    pub tool_version: Option<String>,
    /// The page size in bytes.
    pub page_size: Option<u32>,
    /// `innodb_data_file_path`.
    pub data_file_path: Option<String>,
    /// The links, in the order in which they must be applied.
    pub chain: Vec<Link>,
    /// Where replication must begin: at the end of the last link; none with several full backups.
    pub coordinates: Option<Coordinates>,
    /// How many files all links hold.
    pub files: u64,
    /// How many bytes they hold, unpacked.
    pub bytes: u64,
    /// What was found, by the rules of the profile, the heaviest first.
    pub findings: Vec<Finding>,
    /// Each rule that was held against it, for Amazon Aurora.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Inspection {
    /// The findings that stand in the way.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }
}

/// A rule and how the backup stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The rule's name; a broken one has a finding of the same name.
    pub id: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What breaking it means.
    pub severity: Severity,
    /// Who makes the rule.
    pub source: String,
}

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The backup keeps to it.
    Passed,
    /// It doesn't.
    Failed,
    /// What would tell isn't there.
    Unknown,
}
