//! The command line: every verb and flag, with the text that `--help` prints.

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use daybreak::{
    error::{Error, Kind, Result},
    select::{Selection, assignment},
};

mod physical;

pub use physical::{
    BackupFor, BackupTool, BackupVerb, Bucket, Cloud, Coordinates, InspectBackup, Restore,
    StreamFormat, TakeBackup, Upload, UploadForm,
};

/// Moves a MySQL-compatible database into Amazon Aurora MySQL with near-zero downtime, proves that
/// both sides agree, and can go back.
///
/// A migration lives in a directory: `daybreak.toml`, the journal, logs and reports. Kill daybreak
/// anywhere; `daybreak resume` goes on.
///
/// Servers are URLs: mysql://user[:password]@host[:port]/[?socket=PATH&tls=off|required|verify-ca|verify-identity&ca=FILE&compression=zlib].
/// TLS is required unless the host is loopback or a socket is used; compression is for slow links. Passwords are better given by
/// DAYBREAK_SOURCE_PASSWORD / DAYBREAK_TARGET_PASSWORD, --source-password-file /
/// --target-password-file or --defaults-file.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found blockers or
/// differences, 4 paused, 130 interrupted (both resumable).
#[derive(Debug, Parser)]
#[command(name = "daybreak", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli {
    /// Reads the command line; one that isn't understood ends the process, as clap does, with a word on
    /// what else to do where it is known what was meant.
    pub fn read() -> Self {
        Cli::try_parse().unwrap_or_else(|error| with_tip(error).exit())
    }
}

/// The options that say what is taken.
const SELECTING: [&str; 6] =
    ["--database", "--table", "--exclude", "--where", "--rename", "--exclude-column"];

/// What a migration takes is the plan's, and no option of the verbs that go by it.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let selects = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(flag)) if SELECTING.contains(&flag.as_str())
    );
    if error.kind() == ErrorKind::UnknownArgument && selects {
        let tip = "what a migration takes stands in [select] of daybreak.toml before `daybreak plan` or the first \
                   `daybreak run` (`daybreak init` writes one to begin with)";
        let tips = vec![StyledStr::from(tip)];
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Print JSON on stdout: one document, or one line an event for long work.
    // `report` has an option of the same name that takes a file: the types must agree.
    #[arg(long, global = true, num_args = 0, default_missing_value = "-")]
    pub json: Option<PathBuf>,
    /// Plain lines instead of progress bars.
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// What the log holds.
    #[arg(long, global = true, value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// Where the log goes; default: daybreak.log in the migration's directory, else nowhere.
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Args)]
pub struct Directory {
    /// The migration's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Servers")]
pub struct Servers {
    /// The source server's URL.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// The target server's URL.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// A file whose first line is the source's password.
    #[arg(long, value_name = "FILE")]
    pub source_password_file: Option<PathBuf>,
    /// A file whose first line is the target's password.
    #[arg(long, value_name = "FILE")]
    pub target_password_file: Option<PathBuf>,
    /// A MySQL option file; `password` is read from [client], [daybreak-source], [daybreak-target].
    #[arg(long, value_name = "FILE")]
    pub defaults_file: Option<PathBuf>,
}

/// How the cutover goes; what isn't given is as `[cutover]` in daybreak.toml says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cutover")]
pub struct Switch {
    /// The longest that writes may be stopped, such as 30s; past it everything is put back.
    #[arg(long, value_name = "DURATION")]
    pub max_write_stop: Option<String>,
    /// Wait, with writes stopped and everything compared, for `daybreak cutover --go` before the
    /// target is opened. The longest write stop holds on: past it everything is put back.
    #[arg(long)]
    pub pause_before_open: bool,
}

/// How fast the copy may go.
#[derive(Debug, Clone, Args)]
pub struct Throttle {
    #[command(flatten)]
    pub directory: Directory,
    /// Begin no chunk while more threads than this run at the source (Threads_running, daybreak's own
    /// included); off: no matter how many.
    #[arg(long, value_name = "N|off")]
    pub max_source_load: Option<String>,
    /// Copy fewer chunks at once while a commit on the target takes longer than this, such as 500ms; off:
    /// however long.
    #[arg(long, value_name = "DURATION|off")]
    pub max_commit_latency: Option<String>,
    /// Begin no chunk while a replica of the target (`replicas` in [copy]) is further behind than this;
    /// off: however far.
    #[arg(long, value_name = "DURATION|off")]
    pub max_replica_lag: Option<String>,
    /// Copy at most so many chunks at once, those that commit included; off: as [copy] says.
    #[arg(long, value_name = "N|off")]
    pub max_threads: Option<String>,
    /// Begin no chunk until --go. The process and its snapshot stay: the source keeps old versions of
    /// rows meanwhile. (`daybreak pause` ends the process.)
    #[arg(long, conflicts_with = "go")]
    pub pause: bool,
    /// End a pause.
    #[arg(long)]
    pub go: bool,
    /// Take back what was said; daybreak.toml counts again.
    #[arg(long, conflicts_with_all = ["max_source_load", "max_commit_latency", "max_replica_lag", "max_threads", "pause", "go"])]
    pub reset: bool,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct Select {
    /// A database to take; may be repeated. Default: all but the server's own.
    #[arg(long, value_name = "D")]
    pub database: Vec<String>,
    /// A table to take; may be repeated.
    #[arg(long, value_name = "D.T")]
    pub table: Vec<String>,
    /// A database or table to leave out; may be repeated.
    #[arg(long, value_name = "D[.T]")]
    pub exclude: Vec<String>,
    /// Take only those rows of a table for which an SQL expression holds, such as
    /// 'shop.orders=created >= "2026-01-01"' (TIMESTAMPs in UTC); may be repeated. Compared with all
    /// rows that the target has.
    #[arg(long = "where", value_name = "D.T=COND")]
    pub filter: Vec<String>,
    /// What a database of the source is called on the target; may be repeated.
    #[arg(long, value_name = "D=E")]
    pub rename: Vec<String>,
    /// A column to leave out: the target's table lacks it; may be repeated.
    #[arg(long, value_name = "D.T.C")]
    pub exclude_column: Vec<String>,
}

impl Select {
    /// Whether anything was said.
    pub fn is_given(&self) -> bool {
        let Select { database, table, exclude, filter, rename, exclude_column } = self;
        [database, table, exclude, filter, rename, exclude_column]
            .iter()
            .any(|given| !given.is_empty())
    }

    /// What was said.
    pub fn read(&self) -> Result<Selection> {
        let (mut filters, mut renames) = (Vec::new(), Vec::new());
        for given in &self.filter {
            filters.push(assignment(given).ok_or_else(|| {
                Error::new(Kind::Usage, format!("--where {given} names no condition"))
                    .next("write DATABASE.TABLE=CONDITION")
            })?);
        }
        for given in &self.rename {
            renames.push(assignment(given).ok_or_else(|| {
                Error::new(Kind::Usage, format!("--rename {given} names no other name"))
                    .next("write DATABASE=NAME-ON-THE-TARGET")
            })?);
        }
        Selection::parse(&self.database, &self.table, &self.exclude)?
            .filtered(filters)?
            .renamed(renames)?
            .without_columns(self.exclude_column.iter().map(String::as_str))
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Writes a commented daybreak.toml.
    Init {
        #[command(flatten)]
        directory: Directory,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Looks at both servers, read-only: facts, findings with their remedies, the recommended route.
    Assess {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        select: Select,
        /// Assess against a target version that isn't there yet, such as 8.0.42.
        #[arg(long, value_name = "V", conflicts_with = "target")]
        target_version: Option<String>,
        /// By which route. Default: the plan's, else logical. The physical one makes its target: what
        /// Aurora would refuse a backup of the source for is looked for instead.
        #[arg(long, value_enum, conflicts_with = "target_version")]
        route: Option<Route>,
    },
    /// Makes the plan: the numbered checklist with the rollback of each step beside it.
    Plan {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        /// The route.
        #[arg(long, value_enum, default_value = "logical")]
        route: Route,
        /// Write the checklist to a file too.
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
    },
    /// Runs the migration (making the plan first if there is none), up to the cutover.
    Run {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        /// Stop after this step.
        #[arg(long, value_name = "STEP")]
        until: Option<String>,
        /// Go through the cutover too.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        switch: Switch,
    },
    /// Goes on with a migration that was paused, interrupted or killed. A cutover that didn't come
    /// through is taken back, and not begun again without --yes.
    Resume {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        /// Stop after this step.
        #[arg(long, value_name = "STEP")]
        until: Option<String>,
        /// Go through the cutover too, by the options that it was begun with.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        switch: Switch,
    },
    /// Shows where a migration stands. Where the target is to follow its source it is asked, briefly,
    /// whether it does.
    Status {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
    },
    /// Follows a migration that another process runs, until it ends or pauses.
    Watch {
        #[command(flatten)]
        directory: Directory,
    },
    /// Asks the process that runs a migration to pause at its next safe point.
    Pause {
        #[command(flatten)]
        directory: Directory,
    },
    /// Says how fast the copy may go, also while it goes: a copy at work heeds it within a second. Without an
    /// option it shows what holds. What is said stays until --reset.
    Throttle(Throttle),
    /// Takes steps back, the last one first. Refused once the target was opened for writes.
    Undo {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        /// Keep everything up to and with this step. Default: take back all.
        #[arg(long, value_name = "STEP")]
        to: Option<String>,
    },
    /// Takes everything back and closes the migration.
    Abort {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
    },
    /// Rehearses a whole migration on this machine: real servers, a writer that never stops.
    Rehearse(Rehearse),
    /// Copies schema and rows from one consistent snapshot, without replication.
    Copy(Copy),
    /// Compares both sides and names what differs, down to the key. What isn't given is as the
    /// directory's daybreak.toml says, if there is one.
    ///
    /// What differs in rows can be set right, always the target's by the source's and never after the
    /// cutover: by a file of SQL to look at and run, or at once.
    Verify(Verify),
    /// Brings a backup to S3: a directory, files that are ready, or a stream on stdin.
    ///
    /// The prefix must be empty: Aurora reads every object below it. Killed or interrupted, the same
    /// command goes on: parts that the bucket has aren't sent again (a stream on stdin begins anew).
    /// Afterwards the bucket is asked for the size, checksum and encryption of every object. What is
    /// there is written down in .daybreak-upload.json in the directory (beside a file), which never
    /// goes up itself.
    ///
    /// Credentials are found as the AWS CLI finds them: environment, profile, instance role.
    Upload(Upload),
    /// Makes an Aurora cluster from a physical backup in S3, and waits until it is there.
    ///
    /// Everything that can be known is checked first. Killed or interrupted, the same command goes on:
    /// what was asked for lies in restore.json in the directory, and carries the tag
    /// daybreak:migration in RDS. A cluster of that name without the tag is left alone. With --source,
    /// accounts and grants are made anew, which a restore leaves out.
    ///
    /// The master account's password comes from DAYBREAK_TARGET_PASSWORD or --master-password-file;
    /// credentials are found as the AWS CLI finds them.
    Restore(Box<Restore>),
    /// Replication of a migration: start, status, wait, stop.
    Replicate {
        #[command(subcommand)]
        verb: Replicate,
    },
    /// Moves the writes: stops them at the source, waits for the target, opens it.
    Cutover {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        /// Print what would be done and what stands in the way; change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Tell the cutover that waits (--pause-before-open, in another process) to open the target.
        #[arg(long, conflicts_with_all = ["dry_run", "max_write_stop", "pause_before_open"])]
        go: bool,
        /// After a cutover that was interrupted when the target was open, and both sides were written:
        /// the target holds all that is to stay. Closes the source and completes the migration.
        #[arg(long, conflicts_with_all = ["dry_run", "go"])]
        target_is_the_truth: bool,
        #[command(flatten)]
        switch: Switch,
    },
    /// Says what an error means, how to make sure, and what to do.
    Explain {
        /// An error number, a name (ER_DUP_ENTRY, relay-space), or a message as it was printed.
        /// Without it everything that is known is listed.
        #[arg(value_name = "CODE-OR-TEXT")]
        asked: Vec<String>,
    },
    /// Writes the report of a migration.
    Report {
        #[command(flatten)]
        directory: Directory,
        /// Where the page goes. Default: report.html in the directory.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Where the data go; without FILE they are printed. Default: report.json in the directory.
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
        json: Option<PathBuf>,
    },
    /// Physical backups: take, list, prepare, inspect.
    Backup {
        #[command(subcommand)]
        verb: BackupVerb,
    },
    /// The rehearsal's writer. Started by `rehearse`, as a process of its own.
    #[command(hide = true)]
    RehearsalWriter {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// Rows are read from the source and loaded into the target.
    Logical,
    /// A physical backup goes to S3, and a new cluster is restored from it.
    Physical,
}

impl From<Route> for daybreak::engine::Route {
    fn from(route: Route) -> Self {
        match route {
            Route::Logical => Self::Logical,
            Route::Physical => Self::Physical,
        }
    }
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub directory: Directory,
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub select: Select,
    /// How to compare; default: checksum.
    #[arg(long, value_enum)]
    pub mode: Option<VerifyMode>,
    /// How many chunks at once.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Write the SQL that makes the target's rows those of the source into a new file, for the `mysql`
    /// client. It runs on this target alone, and holds the rows.
    #[arg(long, value_name = "FILE")]
    pub repair_sql: Option<PathBuf>,
    /// Set the target's rows right, in a migration's directory; then compare those tables again.
    /// Replication stands still while a table is repaired.
    #[arg(long)]
    pub repair: bool,
    /// Agree to what --repair writes on the target.
    #[arg(long, requires = "repair")]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifyMode {
    /// Row counts only.
    Count,
    /// Checksums computed inside both servers.
    Checksum,
    /// Every byte of every row, read from both servers and compared here. Shares no code with the copy.
    Full,
}

#[derive(Debug, Args)]
pub struct Rehearse {
    /// The route to rehearse.
    #[arg(long, value_enum, default_value = "logical")]
    pub route: Route,
    /// How many rows the generated shop has.
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub rows: u64,
    /// What the generated data depend on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The writer's transactions a second.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub rate: u64,
    /// The `mysqld` to use for both servers. Default: what scripts/get-servers fetched, or PATH's.
    ///
    /// Physical route: MariaDB 10.11 and mariadb-backup, unless a MySQL 8.0.23+ or 5.7 is named here, whose
    /// backups Percona XtraBackup takes and prepares: built from its documentation, and untried. (A 5.6 as
    /// scripts/get-servers fetches it does as well; Aurora doesn't restore it.)
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Physical route: the backup tool. Default: mariadb-backup for MariaDB; for MySQL the xtrabackup on PATH
    /// that fits the server.
    #[arg(long, value_name = "PATH")]
    pub backup_program: Option<PathBuf>,
    /// Keep the servers' directories afterwards.
    #[arg(long)]
    pub keep: bool,
    /// Where the migration's directory and report go. Default: ./rehearsal-TIME.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Physical route: how many incremental backups follow the full one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub incrementals: u32,
    /// Physical route: the backup goes to S3 while it is being taken, with nothing on disk.
    #[arg(long, conflicts_with = "incrementals")]
    pub stream: bool,
    /// Physical route: where the backups wait. Default: in the migration's directory.
    #[arg(long, value_name = "DIR")]
    pub staging: Option<PathBuf>,
    /// By what replication keeps its place.
    #[arg(long, value_enum, default_value = "auto")]
    pub position: Position,
    /// Rehearse an accepted downtime: no replication, writes stop before the copy.
    #[arg(long)]
    pub downtime: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Position {
    Auto,
    Gtid,
    File,
}

#[derive(Debug, Args)]
pub struct Copy {
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub select: Select,
    /// How many connections read: so many chunks move at once.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How many connections load; default: more than read, by as many as commit meanwhile.
    #[arg(long, value_name = "N")]
    pub load_threads: Option<usize>,
    /// Create tables, indexes and objects, but copy no rows.
    #[arg(long)]
    pub no_data: bool,
    /// What becomes of definers.
    #[arg(long, value_enum, default_value = "keep", conflicts_with = "resume")]
    pub definer: Definer,
    /// Keep a journal there, so that `--resume` can go on.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Go on with the copy whose journal is in --dir: what is taken stands in its plan.
    #[arg(long, requires = "dir", conflicts_with_all = ["database", "table", "exclude", "filter", "rename", "exclude_column", "no_data"])]
    pub resume: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Definer {
    Keep,
    Current,
}

#[derive(Debug, Subcommand)]
pub enum Replicate {
    /// Starts replication as the plan says, or again after `stop`.
    Start(OnMigration),
    /// Shows what the target's replica does, in one form for all servers.
    Status(OnMigration),
    /// Waits until the target has executed all that the source has committed by now.
    Wait {
        #[command(flatten)]
        on: OnMigration,
        /// Give up after this long, such as 10m.
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        timeout: String,
    },
    /// Stops replication; `start` goes on where it was.
    Stop(OnMigration),
}

#[derive(Debug, Args)]
pub struct OnMigration {
    #[command(flatten)]
    pub directory: Directory,
    #[command(flatten)]
    pub servers: Servers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_told_where_it_belongs() {
        let said = |arguments: &[&str]| {
            let all = ["daybreak"].iter().chain(arguments).copied();
            let error = with_tip(Cli::try_parse_from(all).unwrap_err());
            assert_eq!(error.exit_code(), 2);
            error.render().to_string()
        };
        for verb in ["run", "plan", "resume"] {
            for flag in [
                "--database=d",
                "--table",
                "--exclude",
                "--where=d.t=TRUE",
                "--rename",
                "--exclude-column=d.t.c",
            ] {
                let text = said(&[verb, flag]);
                assert!(text.contains("[select]") && text.contains("daybreak.toml"), "{text}");
            }
        }
        for other in [&["run", "--databas"][..], &["verify", "--colour"], &["run", "--until"]] {
            assert!(!said(other).contains("[select]"));
        }
    }
}
