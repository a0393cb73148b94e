//! The configuration: `daybreak.toml` as written, and what becomes of it once validated.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

mod physical;
mod raw;
mod throttle;

pub use physical::{
    AwsConfig, BackupConfig, BackupTool, CloudOverrides, Encryption, Incremental, RestoreConfig,
    S3Place, StagingConfig,
};
pub use throttle::{Measured, Throttle};

use crate::{
    engine::{PositionBy, ReplicationMode},
    error::{Error, Kind, Result},
    mysql::{Protection, Secret, ServerUrl, Side},
    select::Selection,
    transit::inspection::Profile,
};

/// The file's name in the migration directory.
pub const FILE: &str = "daybreak.toml";

/// The commented file that `daybreak init` writes.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// Whose procedures the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Amazon Aurora MySQL: replication through the `mysql.rds_*` procedures.
    Aurora,
    /// Any other server, on which the account may run the replication statements itself.
    Mysql,
}

/// What becomes of the DEFINER of views, routines, triggers and events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definer {
    /// Kept as it is.
    #[default]
    Keep,
    /// The account that daybreak uses on the target.
    Current,
}

/// How the rows are copied.
#[derive(Debug, Clone)]
pub struct CopyConfig {
    /// How many connections read: so many chunks move at once.
    pub threads: usize,
    /// How many connections load; none: more than read, by as many as commit meanwhile.
    pub load_threads: Option<usize>,
    /// About how many bytes of data a chunk holds.
    pub chunk_bytes: u64,
    /// How long the lock for the snapshot may wait; past that it is given up, and writers go on.
    pub lock_wait: Duration,
    /// How often the lock is tried.
    pub lock_attempts: u32,
    /// What becomes of definers.
    pub definer: Definer,
    /// How fast it may go, unless `daybreak throttle` said otherwise since.
    pub throttle: Throttle,
    /// Replicas of the target, whose lag it may heed.
    pub replicas: Vec<ServerUrl>,
}

/// How changes follow.
#[derive(Debug, Clone)]
pub struct ReplicationConfig {
    /// Native, or none.
    pub mode: ReplicationMode,
    /// GTID or file; none: by what both servers can.
    pub position: Option<PositionBy>,
    /// The source's host as the target reaches it; none: as we do.
    pub source_host: Option<String>,
    /// The source's port as the target reaches it; none: as we do.
    pub source_port: Option<u16>,
    /// An existing replication account; none: one is made.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The host part of the account that is made.
    pub account_host: String,
    /// Whether the replica's connection to the source uses TLS.
    pub tls: bool,
    /// Whether a heartbeat row is written at the source.
    pub heartbeat: bool,
    /// How often.
    pub heartbeat_interval: Duration,
    /// The lag below which the target counts as caught up.
    pub max_lag: Duration,
    /// How long catching up may go without any progress.
    pub stalled_after: Duration,
}

/// How verification compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyMode {
    /// Row counts only.
    Count,
    /// Checksums computed inside both servers, bisected to keys.
    Checksum,
    /// Every byte of every row, read from both servers and compared here.
    Full,
}

/// How both sides are compared.
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// By what.
    pub mode: VerifyMode,
    /// How many chunks at once.
    pub threads: usize,
    /// About how many rows a chunk holds.
    pub chunk_rows: u64,
    /// How long a difference may be looked at again while replication runs.
    pub recheck: Duration,
}

/// How the switch is made.
#[derive(Debug, Clone)]
pub struct CutoverConfig {
    /// The longest that writes may be stopped; past it everything is put back.
    pub max_write_stop: Duration,
    /// Whether the cutover waits, with writes stopped, to be told to open the target.
    pub pause_before_open: bool,
    /// Whether the operator says that the target holds all that is to stay, whatever the source wrote
    /// since the fence. Never in the file.
    pub target_is_the_truth: bool,
}

/// A command of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCommand {
    /// The program and its arguments; a line is given to `sh -c`.
    pub argv: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// The commands that are run around the switch.
#[derive(Debug, Clone, Default)]
pub struct HooksConfig {
    /// Before writes are stopped.
    pub before_write_stop: Option<HookCommand>,
    /// When the target takes the writes.
    pub after_target_open: Option<HookCommand>,
    /// When the source takes its writes again.
    pub on_abort: Option<HookCommand>,
}

/// Everything daybreak was told, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The source.
    pub source: ServerUrl,
    /// The target.
    pub target: ServerUrl,
    /// Whose procedures the target has; none: found out.
    pub target_kind: Option<TargetKind>,
    /// What is taken.
    pub select: Selection,
    /// How rows are copied.
    pub copy: CopyConfig,
    /// How changes follow.
    pub replication: ReplicationConfig,
    /// How sides are compared.
    pub verify: VerifyConfig,
    /// How the switch is made.
    pub cutover: CutoverConfig,
    /// What is run around it.
    pub hooks: HooksConfig,
    /// Where AWS is, and as whom it is asked.
    pub aws: AwsConfig,
    /// How a physical backup is taken.
    pub backup: BackupConfig,
    /// Where a backup waits, and where it goes.
    pub staging: StagingConfig,
    /// The cluster that is made from it.
    pub restore: RestoreConfig,
}

/// What the command line and the environment say; it wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--source`.
    pub source: Option<String>,
    /// `--target`.
    pub target: Option<String>,
    /// The source's password, from the environment, a file or an option file.
    pub source_password: Option<Secret>,
    /// The target's password, likewise.
    pub target_password: Option<Secret>,
    /// `--max-write-stop`.
    pub max_write_stop: Option<Duration>,
    /// `--pause-before-open`.
    pub pause_before_open: bool,
    /// `--target-is-the-truth`.
    pub target_is_the_truth: bool,
    /// `--threads`.
    pub threads: Option<usize>,
    /// `--load-threads`.
    pub load_threads: Option<usize>,
}

impl Config {
    /// Reads `daybreak.toml` of a directory, if there is one, under what the command line says.
    pub fn load(directory: &Path, overrides: &Overrides) -> Result<Self> {
        let (path, text) = raw::read_file(directory)?;
        let readable_by_others = {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
        };
        Self::parse(&text, overrides, directory, readable_by_others)
            .map_err(|error| error.at(path.display()))
    }

    /// Reads only `[aws]` and `[staging]`, for what needs no server.
    pub fn cloud(
        directory: &Path,
        overrides: &CloudOverrides,
    ) -> Result<(AwsConfig, StagingConfig)> {
        let (path, text) = raw::read_file(directory)?;
        let read = || {
            let raw = raw::parse(&text)?;
            Ok((
                raw.aws.under(overrides).read(directory)?,
                raw.staging.under(overrides).read(directory)?,
            ))
        };
        read().map_err(|error: Error| match text.is_empty() {
            true => error,
            false => error.at(path.display()),
        })
    }

    /// Reads only how fast the copy may go, and whether a replica is named whose lag it could heed.
    pub fn throttle(directory: &Path) -> Result<(Throttle, bool)> {
        let (path, text) = raw::read_file(directory)?;
        let read = || {
            let copy = raw::parse(&text)?.copy;
            Ok((copy.throttle()?, !copy.replicas.is_empty()))
        };
        read().map_err(|error: Error| error.at(path.display()))
    }

    /// Reads only by whose rules a backup is judged.
    pub fn rules(directory: &Path) -> Result<Profile> {
        let (path, text) = raw::read_file(directory)?;
        let read = || Ok(raw::parse(&text)?.backup.read(directory)?.rules);
        read().map_err(|error: Error| error.at(path.display()))
    }

    fn parse(
        text: &str,
        overrides: &Overrides,
        directory: &Path,
        readable_by_others: bool,
    ) -> Result<Self> {
        let raw = raw::parse(text)?;
        let servers = [&raw.source.url, &raw.target.url].into_iter().flatten();
        for url in servers.chain(&raw.copy.replicas) {
            if readable_by_others && ServerUrl::blanked(url).is_some() {
                return Err(Error::new(
                    Kind::Config,
                    "the file holds a password, and others can read it",
                )
                .next("chmod 600 the file, or use password_file or DAYBREAK_SOURCE_PASSWORD / DAYBREAK_TARGET_PASSWORD"));
            }
        }
        let server = |side: Side,
                      flag: &Option<String>,
                      url: &Option<String>,
                      file: &Option<PathBuf>,
                      given: &Option<Secret>| {
            let text = flag.as_ref().or(url.as_ref()).ok_or_else(|| {
                Error::new(Kind::Config, format!("no {side} is given")).next(format!(
                    "give --{side} mysql://user@host:port/, or url in section [{side}]"
                ))
            })?;
            let mut url = ServerUrl::parse(text).map_err(|error| error.at(side))?;
            if let Some(secret) = given {
                url.password = Some(secret.clone());
            } else if let Some(file) = file {
                url.password = Some(read_secret(&directory.join(file))?);
            }
            Ok::<_, Error>(url)
        };
        let selection =
            Selection::parse(&raw.select.databases, &raw.select.tables, &raw.select.exclude)?
                .filtered(
                    raw.select
                        .r#where
                        .iter()
                        .map(|(table, condition)| (table.as_str(), condition.as_str())),
                )
                .map_err(|error| error.at("[select] where"))?
                .renamed(raw.select.rename.iter().map(|(from, to)| (from.as_str(), to.as_str())))
                .map_err(|error| error.at("[select] rename"))?
                .without_columns(raw.select.exclude_columns.iter().map(String::as_str))
                .map_err(|error| error.at("[select] exclude_columns"))?;
        let seconds = |given: &Option<String>, otherwise: Duration| match given {
            Some(text) => duration(text),
            None => Ok(otherwise),
        };
        let threads = overrides.threads.or(raw.copy.threads).unwrap_or_else(default_threads);
        if threads == 0 || threads > 256 {
            return Err(Error::new(Kind::Config, "threads must be 1 to 256"));
        }
        let load_threads = overrides.load_threads.or(raw.copy.load_threads);
        if load_threads.is_some_and(|threads| threads == 0 || threads > 512) {
            return Err(Error::new(Kind::Config, "load_threads must be 1 to 512"));
        }
        let position = match raw.replication.position.as_deref() {
            None | Some("auto") => None,
            Some("gtid") => Some(PositionBy::Gtid),
            Some("file") => Some(PositionBy::File),
            Some(other) => {
                return Err(Error::new(
                    Kind::Config,
                    format!("replication.position = {other:?} is not known"),
                )
                .next("choose auto, gtid or file"));
            }
        };
        if raw.replication.mode == Some(ReplicationMode::CopyOnly) {
            return Err(Error::new(
                Kind::Config,
                "replication.mode = \"copy_only\" is no migration",
            )
            .next("choose native or none; `daybreak copy` copies alone"));
        }
        let hook_time = seconds(&raw.hooks.timeout, Duration::from_secs(30))?;
        let hook =
            |name, raw: Option<raw::RawHook>| raw.map(|raw| raw.read(name, hook_time)).transpose();
        let target = server(
            Side::Target,
            &overrides.target,
            &raw.target.url,
            &raw.target.password_file,
            &overrides.target_password,
        )?;
        Ok(Config {
            source: server(
                Side::Source,
                &overrides.source,
                &raw.source.url,
                &raw.source.password_file,
                &overrides.source_password,
            )?,
            target_kind: raw.target.kind,
            select: selection,
            copy: CopyConfig {
                threads,
                load_threads,
                chunk_bytes: raw.copy.chunk_mib.unwrap_or(32).clamp(1, 4096) * 1_048_576,
                lock_wait: seconds(&raw.copy.lock_wait, Duration::from_millis(300))?,
                lock_attempts: raw.copy.lock_attempts.unwrap_or(40).max(1),
                definer: raw.copy.definer.unwrap_or(Definer::Keep),
                throttle: raw.copy.throttle()?,
                replicas: raw.copy.replicas(&target)?,
            },
            target,
            replication: ReplicationConfig {
                mode: raw.replication.mode.unwrap_or(ReplicationMode::Native),
                position,
                source_host: raw.replication.source_host,
                source_port: raw.replication.source_port,
                user: raw.replication.user,
                password: raw
                    .replication
                    .password_file
                    .map(|file| read_secret(&directory.join(file)))
                    .transpose()?,
                account_host: raw.replication.account_host.unwrap_or_else(|| "%".into()),
                tls: raw.replication.tls.unwrap_or(false),
                heartbeat: raw.replication.heartbeat.unwrap_or(true),
                heartbeat_interval: seconds(
                    &raw.replication.heartbeat_interval,
                    Duration::from_millis(100),
                )?,
                max_lag: seconds(&raw.replication.max_lag, Duration::from_secs(2))?,
                stalled_after: seconds(&raw.replication.stalled_after, Duration::from_secs(300))?,
            },
            verify: VerifyConfig {
                mode: raw.verify.mode.unwrap_or(VerifyMode::Checksum),
                threads: raw.verify.threads.unwrap_or(threads),
                chunk_rows: raw.verify.chunk_rows.unwrap_or(50_000).max(100),
                recheck: seconds(&raw.verify.recheck, Duration::from_secs(120))?,
            },
            cutover: CutoverConfig {
                max_write_stop: match overrides.max_write_stop {
                    Some(given) => given,
                    None => seconds(&raw.cutover.max_write_stop, Duration::from_secs(30))?,
                },
                pause_before_open: overrides.pause_before_open || raw.cutover.pause_before_open,
                target_is_the_truth: overrides.target_is_the_truth,
            },
            hooks: HooksConfig {
                before_write_stop: hook("before_write_stop", raw.hooks.before_write_stop)?,
                after_target_open: hook("after_target_open", raw.hooks.after_target_open)?,
                on_abort: hook("on_abort", raw.hooks.on_abort)?,
            },
            aws: raw.aws.read(directory)?,
            backup: raw.backup.read(directory)?,
            staging: raw.staging.read(directory)?,
            restore: raw.restore.read()?,
        })
    }

    /// What a restore by itself needs of `daybreak.toml`, if there is one: no server has to be named.
    ///
    /// # Errors
    /// `Config`.
    pub fn load_for_restore(
        directory: &Path,
    ) -> Result<(AwsConfig, StagingConfig, RestoreConfig, Protection)> {
        let (path, text) = raw::read_file(directory)?;
        let read = || {
            let raw = raw::parse(&text)?;
            let target = raw.target.url.as_deref().map(ServerUrl::parse).transpose()?;
            let protection = target.as_ref().map(Protection::of).unwrap_or_default();
            let (aws, staging) = (raw.aws.read(directory)?, raw.staging.read(directory)?);
            Ok((aws, staging, raw.restore.read()?, protection))
        };
        read().map_err(|error: Error| error.at(path.display()))
    }

    /// A configuration from flags alone, with every setting at its default.
    pub fn from_overrides(overrides: &Overrides) -> Result<Self> {
        Self::parse("", overrides, Path::new("."), false)
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| cores.get()).clamp(2, 8)
}

/// Whether a configuration's section names a server.
pub fn names_server(text: &str, section: &str) -> bool {
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.get(section).and_then(|section| section.get("url")).is_some())
}

/// Reads a duration: `500ms`, `30s`, `5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::new(Kind::Config, format!("{text:?} isn't a duration"))
            .next("write 500ms, 30s, 5m or 1h")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// A bound of a latency, in milliseconds.
pub fn latency(text: &str) -> Result<u64> {
    let millis = u64::try_from(duration(text)?.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return Err(Error::new(Kind::Config, "every latency is above 0").next("write 500ms or 2s"));
    }
    Ok(millis)
}

/// Reads a secret from a file: its first line.
pub fn read_secret(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(Kind::Config, "a password file can't be read").because(error).at(path.display())
    })?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, &Overrides::default(), Path::new("."), false)
    }

    const SERVERS: &str = "[source]\nurl='mysql://a:geheim@h1/'\n[target]\nurl='mysql://b@h2/'\n";

    #[test]
    fn unknown_keys_name_the_nearest() {
        let error = parse("[sorce]\n").unwrap_err().to_string();
        assert!(error.contains("\"source\""), "{error}");
        let error = parse("[copy]\nthread = 3\n").unwrap_err().to_string();
        assert!(error.contains("\"threads\"") && error.contains("[copy]"), "{error}");
    }

    #[test]
    fn the_template_is_valid_once_servers_are_given() {
        let overrides = Overrides {
            source: Some("mysql://a@h1/".into()),
            target: Some("mysql://b@h2/".into()),
            ..Overrides::default()
        };
        Config::parse(TEMPLATE, &overrides, Path::new("."), false).unwrap();
    }

    #[test]
    fn a_password_needs_a_private_file() {
        let error =
            Config::parse(SERVERS, &Overrides::default(), Path::new("."), true).unwrap_err();
        assert!(error.to_string().contains("chmod 600") && !error.to_string().contains("geheim"));
        assert_eq!(parse(SERVERS).unwrap().cutover.max_write_stop, Duration::from_secs(30));
    }

    #[test]
    fn replicas_have_the_targets_password_or_their_own() {
        let servers = SERVERS.replace("b@h2", "b:theirs@h2").replace("a:geheim", "a");
        let with = |copy: &str| parse(&format!("{servers}[copy]\n{copy}\n"));
        let copy =
            with("max_replica_lag = '5s'\nreplicas = ['mysql://r@h3/', 'mysql://r:own@h4/']");
        let copy = copy.unwrap().copy;
        assert_eq!(copy.throttle.max_replica_lag_millis, Some(5000));
        let passwords = copy.replicas.iter().map(|url| url.password.as_ref().unwrap().reveal());
        assert_eq!(passwords.collect::<Vec<_>>(), ["theirs", "own"]);
        let error = with("max_replica_lag = '5s'").unwrap_err();
        assert!(error.next_step().unwrap().contains("replicas ="), "{error}");
        let open = "[source]\nurl='mysql://a@h1/'\n[target]\nurl='mysql://b@h2/'\n\
                    [copy]\nreplicas = ['mysql://r:own@h4/']\n";
        let error = Config::parse(open, &Overrides::default(), Path::new("."), true).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn hooks_are_lines_or_lists() {
        let with = |hooks: &str| parse(&format!("{SERVERS}[hooks]\n{hooks}\n"));
        let hooks = with("timeout = '5s'\nbefore_write_stop = './drain now'\nafter_target_open = ['dns', 'a b']\n\
             on_abort = { command = ['back'], timeout = '100ms' }")
        .unwrap()
        .hooks;
        let command = |argv: &[&str], millis| {
            let argv = argv.iter().map(ToString::to_string).collect();
            Some(HookCommand { argv, timeout: Duration::from_millis(millis) })
        };
        assert_eq!(hooks.before_write_stop, command(&["sh", "-c", "./drain now"], 5_000));
        assert_eq!(hooks.after_target_open, command(&["dns", "a b"], 5_000));
        assert_eq!(hooks.on_abort, command(&["back"], 100));
        for wrong in
            ["on_abort = ''", "on_abort = []", "on_abort = 3", "on_abort = { comand = 'x' }"]
        {
            assert_eq!(with(wrong).unwrap_err().kind(), Kind::Config, "{wrong}");
        }
        let error = with("on_abor = 'x'").unwrap_err().to_string();
        assert!(error.contains("\"on_abort\""), "{error}");
        assert!(!parse(SERVERS).unwrap().cutover.pause_before_open);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        for wrong in ["30", "s", "3 s", "-1s", "1d", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
