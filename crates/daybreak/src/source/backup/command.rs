//! The command lines of the backup tools, built in one place as data of tool and version. No secret is
//! ever in them: who logs in, and how, stands in a private option file.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::tool::{Tool, Version};
use crate::config::BackupTool;

/// In which form a running backup leaves the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFormat {
    /// `--stream=xbstream` (MariaDB's mbstream is the same family).
    Xbstream,
    /// `--stream=tar`: XtraBackup 2.x, full backups only.
    Tar,
}

/// Where a backup goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Into a directory, which isn't there yet.
    Directory(PathBuf),
    /// To the tool's standard output.
    Stream {
        /// How.
        format: StreamFormat,
        /// Where the tool may put what it needs while it works: with tar, XtraBackup 2.x collects the redo
        /// log there.
        scratch: PathBuf,
        /// Where it leaves a copy of its checkpoints and info files.
        lsn: PathBuf,
    },
}

/// From where changed pages are taken.
#[derive(Debug, Clone)]
pub enum Pages {
    /// All.
    All,
    /// Those that changed since the backup in this directory.
    SinceDirectory(PathBuf),
    /// Those with a higher LSN.
    SinceLsn(u64),
}

/// What a backup needs to know.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The option file with the login.
    pub login: PathBuf,
    /// The data directory, where it isn't as the server says.
    pub data_directory: Option<PathBuf>,
    /// How many files at once.
    pub parallel: u32,
    /// The most I/O operations a second.
    pub throttle: Option<u32>,
    /// Which pages.
    pub pages: Pages,
    /// Where to.
    pub destination: Destination,
}

/// One step of preparing a chain.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The full backup, which the others are merged into.
    pub target: PathBuf,
    /// The incremental one to merge; none: the full one itself.
    pub incremental: Option<PathBuf>,
    /// Whether nothing follows, so that open transactions are rolled back.
    pub last: bool,
    /// Where the tool may put what it needs while it works.
    pub scratch: PathBuf,
}

/// How long a lock that stops all writes is put off while long statements run, in seconds. Then the
/// tool gives up: a lock that waits behind a long statement holds up everyone else.
const LOCK_WAIT_SECONDS: u32 = 300;

/// From this version on a tool takes the coordinates without a lock where it can, and must be told to
/// write them down all the same.
///
/// Source: Percona XtraBackup 2.3 and 2.4, *Lockless binary log information*: with AUTO a lockless
/// backup leaves `xtrabackup_binlog_info` out. 8.0 reads them from `performance_schema.log_status`.
const BINLOG_INFO: [(u16, u16); 2] = [(2, 3), (2, 4)];

/// From this version on mariadb-backup needs no `--apply-log-only`.
///
/// Source: MariaDB, *Incremental Backup and Restore with mariadb-backup*: from 10.2 on it has no effect.
const MARIADB_ALWAYS_LOG_ONLY: Version = (10, 2, 0);

/// From this version on mariadb-backup says only with `--verbose` how far it has read the redo log; before,
/// it always did.
///
/// Source: seen with 10.11.18; the redo log's new form came with 10.8 (MDEV-14425).
const MARIADB_SILENT: Version = (10, 8, 0);

/// Whether the tool can stream in this form. Neither front end has tar for an incremental backup.
pub fn streams(tool: &Tool, format: StreamFormat, incremental: bool) -> bool {
    match (tool.kind, format) {
        (_, StreamFormat::Xbstream) => true,
        (BackupTool::MariadbBackup, StreamFormat::Tar) => false,
        (_, StreamFormat::Tar) => tool.version < (8, 0, 0) && !incremental,
    }
}

/// The arguments that take a backup.
pub fn backup(tool: &Tool, options: &BackupOptions) -> Vec<OsString> {
    // The only option file that is read: another instance's settings in /etc must not count. What the
    // tool needs to know of the server it asks the server for.
    let mut arguments = vec![with("--defaults-file", &options.login)];
    let innobackupex = tool.kind == BackupTool::Innobackupex;
    if innobackupex {
        arguments.push("--no-timestamp".into());
    } else {
        arguments.push("--backup".into());
    }
    if let Some(directory) = &options.data_directory {
        arguments.push(with("--datadir", directory));
    }
    arguments.push(with("--parallel", options.parallel.to_string()));
    if let Some(throttle) = options.throttle {
        arguments.push(with("--throttle", throttle.to_string()));
    }
    arguments.push(with("--ftwrl-wait-timeout", LOCK_WAIT_SECONDS.to_string()));
    if tool.kind == BackupTool::MariadbBackup
        || BINLOG_INFO.contains(&(tool.version.0, tool.version.1))
    {
        arguments.push("--binlog-info=ON".into());
    }
    if tool.kind == BackupTool::MariadbBackup && tool.version >= MARIADB_SILENT {
        arguments.push("--verbose".into());
    }
    if innobackupex && !matches!(options.pages, Pages::All) {
        arguments.push("--incremental".into());
    }
    match &options.pages {
        Pages::All => {}
        Pages::SinceDirectory(base) => arguments.push(with("--incremental-basedir", base)),
        Pages::SinceLsn(lsn) => arguments.push(with("--incremental-lsn", lsn.to_string())),
    }
    let target = match &options.destination {
        Destination::Directory(directory) => directory,
        Destination::Stream { format, scratch, lsn } => {
            arguments.push(with(
                "--stream",
                match format {
                    StreamFormat::Xbstream => "xbstream",
                    StreamFormat::Tar => "tar",
                },
            ));
            arguments.push(with("--extra-lsndir", lsn));
            arguments.push(with("--tmpdir", scratch));
            scratch
        }
    };
    match innobackupex {
        true => arguments.push(target.into()),
        false => arguments.push(with("--target-dir", target)),
    }
    arguments
}

/// The arguments of one step of preparing a chain.
///
/// Source: Percona XtraBackup, *Preparing an incremental backup* (all steps but the last with
/// `--apply-log-only`), and the innobackupex page of 2.4 (`--apply-log --redo-only`).
pub fn prepare(tool: &Tool, options: &PrepareOptions) -> Vec<OsString> {
    // What the data files need to know is in their own backup-my.cnf.
    let mut arguments: Vec<OsString> = vec!["--no-defaults".into()];
    match tool.kind {
        BackupTool::Innobackupex => {
            arguments.push("--apply-log".into());
            if !options.last {
                arguments.push("--redo-only".into());
            }
        }
        BackupTool::Xtrabackup | BackupTool::MariadbBackup => {
            arguments.push("--prepare".into());
            let unneeded =
                tool.kind == BackupTool::MariadbBackup && tool.version >= MARIADB_ALWAYS_LOG_ONLY;
            if !options.last && !unneeded {
                arguments.push("--apply-log-only".into());
            }
        }
    }
    arguments.push(with("--tmpdir", &options.scratch));
    match tool.kind {
        BackupTool::Innobackupex => {
            if let Some(incremental) = &options.incremental {
                arguments.push(with("--incremental-dir", incremental));
            }
            arguments.push(options.target.clone().into());
        }
        _ => {
            arguments.push(with("--target-dir", &options.target));
            if let Some(incremental) = &options.incremental {
                arguments.push(with("--incremental-dir", incremental));
            }
        }
    }
    arguments
}

/// `--name=value`, whatever bytes a path holds.
fn with(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut argument = OsString::from(name);
    argument.push("=");
    argument.push(value);
    argument
}

/// A command line for a person.
pub fn shown(program: &Path, arguments: &[OsString]) -> String {
    let mut line = program.display().to_string();
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests;
