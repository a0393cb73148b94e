//! The verbs of the physical route: backups, their way to S3, and the restore.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Directory, Servers};

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
    /// How connections to the cluster are protected: the master password goes over them. Default: as
    /// the URL in [target] of daybreak.toml says, else verify-ca with --ca, else required.
    #[arg(long, value_name = "MODE", value_enum)]
    pub tls: Option<Tls>,
    /// The certificate authority's file (PEM), such as AWS's global-bundle.pem.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How the objects are encrypted, as `upload --encryption` was told: bucket, s3 or kms:KEY. Only
    /// --policies needs it, which ask nobody.
    #[arg(long, value_name = "HOW")]
    pub encryption: Option<String>,
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

/// As `tls=` in a server's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    Off,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl From<Tls> for daybreak::mysql::TlsMode {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Off => Self::Off,
            Tls::Required => Self::Required,
            Tls::VerifyCa => Self::VerifyCa,
            Tls::VerifyIdentity => Self::VerifyIdentity,
        }
    }
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

/// How S3 is reached. What isn't given is as `[aws]` in daybreak.toml says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "AWS")]
pub struct Bucket {
    /// The Region of bucket and cluster, such as eu-central-1.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Another S3 endpoint than the Region's.
    #[arg(long, value_name = "URL")]
    pub endpoint_s3: Option<String>,
}

/// What isn't given is as `[aws]` and `[staging]` in daybreak.toml say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "AWS")]
pub struct Cloud {
    #[command(flatten)]
    pub bucket: Bucket,
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
    // Last: what follows would stand below its heading.
    #[command(flatten)]
    pub bucket: Bucket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackupFor {
    Aurora,
    Any,
}

#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Takes a full or incremental backup with the server's own family of tools.
    ///
    /// It runs on the source's own host, as a user that may read its data directory. The tool that fits
    /// the server is found on PATH: XtraBackup 2.4 for MySQL 5.7, XtraBackup 8.0 (not older than the
    /// server) for 8.0, mariadb-backup of the server's series for MariaDB. The account's privileges are
    /// checked first, and the missing GRANT is printed. What isn't given is as [source] and [backup] in
    /// daybreak.toml say, if --dir has one.
    ///
    /// There is no option to leave the tool's lock out (--no-lock): it is what makes the coordinates
    /// those of the data. XtraBackup 8.0 and mariadb-backup hold back DDL and non-transactional tables
    /// for moments only; XtraBackup 2.x on MySQL 5.x holds back all writes while it copies what isn't
    /// InnoDB, and gives up (after 300 s) rather than queue behind long statements. Of a replica the
    /// backup has its own coordinates: it must log what it applies (log_replica_updates).
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

/// What isn't given is as [source] and [backup] of the directory's daybreak.toml say, if there is one.
#[derive(Debug, Args)]
pub struct TakeBackup {
    #[command(flatten)]
    pub directory: Directory,
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
    /// The stream's form; tar is for full backups with XtraBackup 2.x, which then collects the redo log
    /// that is written meanwhile in a private directory in --to, until the stream's end. Nothing of an
    /// xbstream lies on disk.
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
