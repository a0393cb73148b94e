//! The command line: every verb and flag, with the text that `--help` prints.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves a MySQL-compatible database into Amazon Aurora MySQL with near-zero downtime, proves that
/// both sides agree, and can go back.
///
/// A migration lives in a directory: `daybreak.toml`, the journal, logs and reports. Kill daybreak
/// anywhere; `daybreak resume` goes on.
///
/// Servers are URLs: mysql://user[:password]@host[:port]/[?socket=PATH&tls=off|required|verify-ca|verify-identity&ca=FILE].
/// TLS is required unless the host is loopback or a socket is used. Passwords are better given by
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
    /// Shows where a migration stands.
    Status {
        #[command(flatten)]
        directory: Directory,
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
    Verify {
        #[command(flatten)]
        directory: Directory,
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        select: Select,
        /// How to compare; default: checksum.
        #[arg(long, value_enum)]
        mode: Option<VerifyMode>,
        /// How many chunks at once.
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
    },
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifyMode {
    Count,
    Checksum,
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
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
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
    /// How many connections read, and as many load.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
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
    #[arg(long, requires = "dir", conflicts_with_all = ["database", "table", "exclude", "no_data"])]
    pub resume: bool,
}

/// What isn't given is as `[aws]`, `[staging]` and `[restore]` in daybreak.toml say.
#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub directory: Directory,
    /// Where the backup lies, as s3://bucket/prefix.
    #[arg(long, value_name = "S3-PLACE")]
    pub from: Option<String>,
    /// What `daybreak backup inspect --json` printed of it.
    #[arg(long, value_name = "FILE")]
    pub inspection: Option<PathBuf>,
    /// The version of the server that was backed up. Default: the inspection's, else --source's.
    #[arg(long, value_name = "V")]
    pub server_version: Option<String>,
    /// Where replication must begin by the backup, as FILE:POSITION. Default: the inspection's.
    #[arg(long, value_name = "FILE:POSITION")]
    pub expect: Option<String>,
    /// Whose coordinates count when RDS's event and the backup disagree, or there is no event.
    /// Default: pause (exit 4).
    #[arg(long, value_enum)]
    pub coordinates: Option<Coordinates>,
    /// The source server's URL: its settings go into the parameter group, its accounts to the cluster.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// A file whose first line is the source's password.
    #[arg(long, value_name = "FILE")]
    pub source_password_file: Option<PathBuf>,
    /// The new cluster's identifier.
    #[arg(long, value_name = "ID")]
    pub cluster: Option<String>,
    /// The class of its instances. Default: db.r6g.large.
    #[arg(long, value_name = "CLASS")]
    pub instance_class: Option<String>,
    /// Aurora's version. Default: the closest that isn't older than the source.
    #[arg(long, value_name = "V")]
    pub engine_version: Option<String>,
    /// The DB subnet group, in two Availability Zones at least.
    #[arg(long, value_name = "NAME")]
    pub subnet_group: Option<String>,
    /// A VPC security group; may be repeated.
    #[arg(long, value_name = "ID")]
    pub security_group: Vec<String>,
    /// The ARN of the role by which RDS reads the bucket.
    #[arg(long, value_name = "ARN")]
    pub ingestion_role: Option<String>,
    /// A cluster parameter group that is there. Default: one is made.
    #[arg(long, value_name = "NAME")]
    pub parameter_group: Option<String>,
    /// Don't encrypt the cluster's storage. That can't be changed later.
    #[arg(long)]
    pub unencrypted: bool,
    /// The KMS key of the cluster's storage. Default: the account's own for RDS (aws/rds).
    #[arg(long, value_name = "KEY")]
    pub kms_key: Option<String>,
    /// Make a reader as well.
    #[arg(long)]
    pub reader: bool,
    /// The port that the cluster listens on. Default: 3306.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The master account's name.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub master_user: String,
    /// A file whose first line is the master account's password.
    #[arg(long, value_name = "FILE")]
    pub master_password_file: Option<PathBuf>,
    /// Check only: what stands in the way, and what the parameter group would hold.
    #[arg(long)]
    pub check: bool,
    /// Print the IAM policies that the ingestion role and the caller need; ask nobody.
    #[arg(long, conflicts_with_all = ["check", "undo"])]
    pub policies: bool,
    /// Delete what the restore of this directory made: instances, cluster (without a snapshot),
    /// parameter group. Nothing else. Wants --yes; refuses while clients are connected to the cluster.
    #[arg(long, conflicts_with = "check")]
    pub undo: bool,
    /// With --undo: delete, without a snapshot.
    #[arg(long, requires = "undo")]
    pub yes: bool,
    /// With --undo --yes: also when clients are connected, when that can't be seen, or when a cutover
    /// opened the cluster for writes. What was written there is lost.
    #[arg(long, requires = "undo")]
    pub even_in_use: bool,
    /// The Region, such as eu-central-1.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Another RDS endpoint than the Region's.
    #[arg(long, value_name = "URL")]
    pub endpoint_rds: Option<String>,
    /// Another S3 endpoint than the Region's.
    #[arg(long, value_name = "URL")]
    pub endpoint_s3: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Coordinates {
    Event,
    Backup,
}

#[derive(Debug, Args)]
pub struct Upload {
    /// A directory, a file, the name that a file's parts begin with, or - for stdin.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Where it goes, as s3://bucket/prefix.
    #[arg(value_name = "S3-PLACE")]
    pub place: String,
    /// In which form it goes up. Default: a directory as tree, a file as files.
    #[arg(long = "as", value_name = "FORM", value_enum)]
    pub form: Option<UploadForm>,
    /// The name of a stream's objects; digits are added (backup.xbstream00000). A tar stream on stdin
    /// goes up compressed if this ends in .tar.gz. Default for --as tar.gz: backup.tar.gz.
    #[arg(long, value_name = "NAME")]
    pub stream_name: Option<String>,
    /// Where the upload's manifest lies.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// By whose rules the backup is judged before anything of it is seen in the bucket: Amazon
    /// Aurora's, or only whether it is whole. As `backup inspect` does; blockers end with exit code 3.
    #[arg(long, value_enum, default_value = "aurora")]
    pub r#for: BackupFor,
    /// Upload archives although a password stands in their xtrabackup_info. Of a directory it is left
    /// out anyway, while the file on disk stays as it is.
    #[arg(long)]
    pub allow_secrets: bool,
    #[command(flatten)]
    pub directory: Directory,
    #[command(flatten)]
    pub cloud: Cloud,
}

/// What isn't given is as `[aws]` and `[staging]` in daybreak.toml say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "AWS")]
pub struct Cloud {
    /// The Region of bucket and cluster, such as eu-central-1.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Another S3 endpoint than the Region's.
    #[arg(long, value_name = "URL")]
    pub endpoint_s3: Option<String>,
    /// MiB of a part (5 to 5120; a stream's is 64 at most). Default: 16.
    #[arg(long, value_name = "N")]
    pub part_mib: Option<u64>,
    /// About how many MiB an object of a stream or tar.gz holds before the next one begins
    /// (backup.tar.gz00000, backup.tar.gz00001, ...): whole parts of --part-mib, and no more than
    /// 10,000 of them (with 16 MiB: 156 GiB). Files of a tree aren't split. Default: 524288.
    #[arg(long, value_name = "N")]
    pub split_mib: Option<u64>,
    /// How many parts travel at once, as far as 160 MiB hold them. Default: 4.
    #[arg(long, value_name = "N")]
    pub uploads: Option<usize>,
    /// The most MiB a second. Default: no bound.
    #[arg(long, value_name = "N")]
    pub bandwidth_mib: Option<u64>,
    /// How objects are encrypted: bucket (as it does by itself), s3 or kms:KEY. Default: bucket.
    #[arg(long, value_name = "HOW")]
    pub encryption: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UploadForm {
    /// Each file as an object, the structure kept: full and incremental backups side by side.
    Tree,
    /// A directory as one tar stream, compressed on all cores, in parts.
    #[value(name = "tar.gz")]
    TarGz,
    /// Archives or their parts, as they are.
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Definer {
    Keep,
    Current,
}

/// Reads a backup of XtraBackup or mariadb-backup (a directory, a tree of full and incrementals, tar,
/// tar.gz, xbstream, or the parts of one) with nothing but daybreak. Exit code 3 on blockers.
#[derive(Debug, Args)]
pub struct InspectBackup {
    /// The backup's directory, its archive, or one of the archive's parts; or s3://bucket/prefix.
    #[arg(value_name = "PATH|s3://...")]
    pub place: String,
    /// Whose daybreak.toml says how S3 is reached ([aws]).
    #[command(flatten)]
    pub directory: Directory,
    /// By whose rules it is judged: Amazon Aurora's, or only whether it is whole.
    #[arg(long, value_enum, default_value = "aurora")]
    pub r#for: BackupFor,
    /// List the files too.
    #[arg(long)]
    pub list: bool,
    /// Write the files into a directory that is empty or doesn't exist; nothing stays there if the
    /// backup isn't whole.
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackupFor {
    Aurora,
    Any,
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

#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Takes a full or incremental backup with the server's own family of tools.
    ///
    /// It runs on the source's own host, as a user that may read its data directory. The tool that fits
    /// the server is found on PATH: XtraBackup 2.4 for MySQL 5.7, XtraBackup 8.0 (not older than the
    /// server) for 8.0, mariadb-backup of the server's series for MariaDB. The account's privileges are
    /// checked first, and the missing GRANT is printed.
    Take(Box<TakeBackup>),
    /// Merges a full backup and its incremental ones into one on which a server starts.
    ///
    /// In place the full backup itself becomes the result, and a merge that is killed loses it. With
    /// --to the backups stay as they are, and a merge that was killed begins again.
    Prepare {
        /// The directory of the backups.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// A new directory for the result. Default: in place.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// The last backup to merge. Default: the newest.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The tool's program. Default: the one on PATH that took the backups, or a later one of its series.
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
    },
    /// Says what a physical backup is, whether it is whole, and whether Aurora takes it.
    Inspect(InspectBackup),
    /// Lists the backups of a directory: what each is based on, its LSNs, its coordinates.
    List {
        /// The directory of the backups.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct TakeBackup {
    #[command(flatten)]
    pub servers: Servers,
    /// The directory of the backups and of their manifest (daybreak-backups.json); each backup gets a
    /// directory of its own in it.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only the pages that changed since another backup.
    #[arg(long)]
    pub incremental: bool,
    /// The backup on which an incremental one is based. Default: the newest whole one.
    #[arg(long, value_name = "NAME", requires = "incremental")]
    pub base: Option<String>,
    /// The backup's name. Default: full, full2, ... and inc1, inc2, ...
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the backup as one stream to a file, or to the standard output with `-`. Half a stream looks
    /// whole: use it only if this command succeeds.
    #[arg(long, value_name = "FILE")]
    pub stream: Option<PathBuf>,
    /// The stream's form; tar is for full backups with XtraBackup 2.x.
    #[arg(long, value_enum, default_value = "xbstream", requires = "stream")]
    pub format: StreamFormat,
    /// The tool. Default: the one that fits the server.
    #[arg(long, value_enum)]
    pub tool: Option<BackupTool>,
    /// The tool's program. Default: found on PATH.
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// The source's data directory, where it isn't mounted here as the server names it.
    #[arg(long, value_name = "DIR")]
    pub data_directory: Option<PathBuf>,
    /// How many files are copied at once. Default: 2.
    #[arg(long, value_name = "N")]
    pub parallel: Option<u32>,
    /// The most I/O operations (pairs of read and write) a second, to spare the source.
    #[arg(long, value_name = "N")]
    pub throttle: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamFormat {
    Xbstream,
    Tar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackupTool {
    Xtrabackup,
    Innobackupex,
    MariadbBackup,
}
