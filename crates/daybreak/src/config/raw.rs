//! `daybreak.toml` as it is written: its sections and keys, before anything is validated.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Definer, FILE, HookCommand, TargetKind, Throttle, VerifyMode, duration, latency, physical,
};
use crate::{
    engine::ReplicationMode,
    error::{Error, Kind, Result},
    mysql::ServerUrl,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) source: RawServer,
    pub(super) target: RawTarget,
    pub(super) select: RawSelect,
    pub(super) copy: RawCopy,
    pub(super) replication: RawReplication,
    pub(super) verify: RawVerify,
    pub(super) cutover: RawCutover,
    pub(super) hooks: RawHooks,
    pub(super) aws: physical::RawAws,
    pub(super) backup: physical::RawBackup,
    pub(super) staging: physical::RawStaging,
    pub(super) restore: physical::RawRestore,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) url: Option<String>,
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) url: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) kind: Option<TargetKind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSelect {
    pub(super) databases: Vec<String>,
    pub(super) tables: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) r#where: BTreeMap<String, String>,
    pub(super) rename: BTreeMap<String, String>,
    pub(super) exclude_columns: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCopy {
    pub(super) threads: Option<usize>,
    pub(super) load_threads: Option<usize>,
    pub(super) chunk_mib: Option<u64>,
    pub(super) lock_wait: Option<String>,
    pub(super) lock_attempts: Option<u32>,
    pub(super) definer: Option<Definer>,
    pub(super) max_source_load: Option<u64>,
    pub(super) max_commit_latency: Option<String>,
    pub(super) max_replica_lag: Option<String>,
    pub(super) replicas: Vec<String>,
}

impl RawCopy {
    pub(super) fn throttle(&self) -> Result<Throttle> {
        if self.max_source_load == Some(0) {
            return Err(Error::new(
                Kind::Config,
                "max_source_load = 0 would let nothing be copied",
            )
            .at("[copy]")
            .next("write how many threads may run at the source, or leave it out"));
        }
        let millis = self.max_commit_latency.as_deref().map(latency).transpose();
        let lag = self.max_replica_lag.as_deref().map(latency).transpose();
        Ok(Throttle {
            max_source_load: self.max_source_load,
            max_commit_millis: millis.map_err(|error| error.at("max_commit_latency in [copy]"))?,
            max_replica_lag_millis: lag.map_err(|error| error.at("max_replica_lag in [copy]"))?,
            ..Throttle::default()
        })
    }

    /// The target's replicas; one without a password has the target's.
    pub(super) fn replicas(&self, target: &ServerUrl) -> Result<Vec<ServerUrl>> {
        if self.max_replica_lag.is_some() && self.replicas.is_empty() {
            return Err(Error::new(
                Kind::Config,
                "max_replica_lag without a replica that is asked",
            )
            .at("[copy]")
            .next("name the target's: replicas = [\"mysql://user@host:port/\"]"));
        }
        let read = |text: &String| {
            let url = ServerUrl::parse(text).map_err(|error| error.at("replicas in [copy]"))?;
            let password = url.password.clone().or_else(|| target.password.clone());
            Ok(ServerUrl { password, ..url })
        };
        self.replicas.iter().map(read).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReplication {
    pub(super) mode: Option<ReplicationMode>,
    pub(super) position: Option<String>,
    pub(super) source_host: Option<String>,
    pub(super) source_port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) account_host: Option<String>,
    pub(super) tls: Option<bool>,
    pub(super) heartbeat: Option<bool>,
    pub(super) heartbeat_interval: Option<String>,
    pub(super) max_lag: Option<String>,
    pub(super) stalled_after: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawVerify {
    pub(super) mode: Option<VerifyMode>,
    pub(super) threads: Option<usize>,
    pub(super) chunk_rows: Option<u64>,
    pub(super) recheck: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCutover {
    pub(super) max_write_stop: Option<String>,
    pub(super) pause_before_open: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHooks {
    pub(super) timeout: Option<String>,
    pub(super) before_write_stop: Option<RawHook>,
    pub(super) after_target_open: Option<RawHook>,
    pub(super) on_abort: Option<RawHook>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a hook is a line for sh, a list of a program and its arguments, or { command, timeout }"
)]
pub(super) enum RawHook {
    Command(RawCommand),
    Table { command: RawCommand, timeout: Option<String> },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawCommand {
    Line(String),
    Argv(Vec<String>),
}

impl RawHook {
    pub(super) fn read(self, name: &str, otherwise: Duration) -> Result<HookCommand> {
        let (command, timeout) = match self {
            RawHook::Command(command) => (command, otherwise),
            RawHook::Table { command, timeout } => {
                (command, timeout.as_deref().map_or(Ok(otherwise), duration)?)
            }
        };
        let argv = match command {
            RawCommand::Line(line) if !line.trim().is_empty() => {
                vec!["sh".into(), "-c".into(), line]
            }
            RawCommand::Argv(argv) if argv.first().is_some_and(|program| !program.is_empty()) => {
                argv
            }
            _ => {
                return Err(
                    Error::new(Kind::Config, "a hook has no command").at(format!("[hooks] {name}"))
                );
            }
        };
        Ok(HookCommand { argv, timeout })
    }
}

/// The known keys by section, for naming the nearest one.
const KEYS: [(&str, &[&str]); 12] = [
    ("source", &["url", "password_file"]),
    ("target", &["url", "password_file", "kind"]),
    ("select", &["databases", "tables", "exclude", "where", "rename", "exclude_columns"]),
    (
        "copy",
        &[
            "threads",
            "load_threads",
            "chunk_mib",
            "lock_wait",
            "lock_attempts",
            "definer",
            "max_source_load",
            "max_commit_latency",
            "max_replica_lag",
            "replicas",
        ],
    ),
    (
        "replication",
        &[
            "mode",
            "position",
            "source_host",
            "source_port",
            "user",
            "password_file",
            "account_host",
            "tls",
            "heartbeat",
            "heartbeat_interval",
            "max_lag",
            "stalled_after",
        ],
    ),
    ("verify", &["mode", "threads", "chunk_rows", "recheck"]),
    ("cutover", &["max_write_stop", "pause_before_open"]),
    ("hooks", &["timeout", "before_write_stop", "after_target_open", "on_abort"]),
    ("aws", physical::AWS_KEYS),
    ("backup", physical::BACKUP_KEYS),
    ("staging", physical::STAGING_KEYS),
    ("restore", physical::RESTORE_KEYS),
];

/// The text of `daybreak.toml`; empty if there is none.
pub(super) fn read_file(directory: &Path) -> Result<(PathBuf, String)> {
    let path = directory.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((path, String::new())),
        Err(error) => Err(Error::new(Kind::Config, "the configuration can't be read")
            .because(error)
            .at(path.display())),
    }
}

pub(super) fn parse(text: &str) -> Result<Raw> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::new(Kind::Config, format!("the configuration isn't TOML: {}", error.message()))
    })?;
    for (section, content) in &table {
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section) else {
            return Err(unknown(section, KEYS.iter().map(|(name, _)| *name), "section"));
        };
        for key in content.as_table().into_iter().flat_map(|table| table.keys()) {
            if !keys.contains(&key.as_str()) {
                return Err(unknown(key, keys.iter().copied(), "key").at(format!("[{section}]")));
            }
        }
    }
    // Values never reach the message: one of them may be a URL with a password.
    table.try_into().map_err(|error: toml::de::Error| {
        let text = error.message().to_string();
        let text = if text.contains("://") { "a value has the wrong type".into() } else { text };
        Error::new(Kind::Config, format!("the configuration can't be used: {text}"))
    })
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> Error {
    let nearest = known
        .clone()
        .map(|key| (strsim::damerau_levenshtein(name, key), key))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let error = Error::new(Kind::Config, format!("there is no {what} {name:?}"));
    match nearest {
        Some((_, key)) => error.next(format!("did you mean {key:?}?")),
        None => error.next(format!("known are {}", known.collect::<Vec<_>>().join(", "))),
    }
}
