//! `daybreak throttle`: how fast the copy may go, told to a copy at work and to those to come.

use daybreak::{
    config::{self, Config, Throttle},
    error::{Error, Exit, Kind, Result},
};

use super::Session;
use crate::{cli, directory};

/// Says it, or shows what was said.
pub fn throttle(session: &Session<'_>, options: &cli::Throttle) -> Result<Exit> {
    let directory = options.directory.dir.as_path();
    directory::expect_migration(directory)?;
    if options.reset {
        Throttle::unsay(directory)?;
    }
    let said = Throttle::said(directory)?;
    let (configured, has_replicas) = Config::throttle(directory)?;
    let mut bounds = said.clone().unwrap_or(configured);
    if let Some(text) = &options.max_source_load {
        bounds.max_source_load = unless_off(text, "--max-source-load", number)?;
    }
    if let Some(text) = &options.max_commit_latency {
        bounds.max_commit_millis = unless_off(text, "--max-commit-latency", config::latency)?;
    }
    if let Some(text) = &options.max_replica_lag {
        bounds.max_replica_lag_millis = unless_off(text, "--max-replica-lag", config::latency)?;
        if bounds.max_replica_lag_millis.is_some() && !has_replicas {
            return Err(Error::new(Kind::Usage, "no replica is named whose lag could be heeded")
                .at(directory.join(config::FILE).display())
                .next(
                    "replicas = [\"mysql://user@host:port/\"] in [copy]; the next process reads it",
                ));
        }
    }
    if let Some(text) = &options.max_threads {
        bounds.max_threads = unless_off(text, "--max-threads", number)?;
    }
    bounds.paused = options.pause || bounds.paused && !options.go;
    let asks = options.max_source_load.is_none()
        && options.max_commit_latency.is_none()
        && options.max_replica_lag.is_none()
        && options.max_threads.is_none()
        && !(options.pause || options.go);
    if !asks {
        bounds.say(directory)?;
    }
    if session.global.json.is_some() {
        session.ui.document(&bounds);
        return Ok(Exit::Done);
    }
    let whose = match (asks, said.is_some()) {
        (true, false) => ", as daybreak.toml says",
        (true, true) => ", as was said (--reset takes it back)",
        (false, _) if directory::hold(directory).is_ok() => {
            "; no process is at work on this migration now: the next copy heeds it"
        }
        (false, _) => "; a copy at work heeds it within a second",
    };
    session.ui.line(&format!("the copy goes {bounds}{whose}"));
    Ok(Exit::Done)
}

fn number(text: &str) -> Result<u64> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Error::new(Kind::Usage, format!("{text:?} is no number above 0")).next("give one, or off")
    })
}

fn unless_off(text: &str, option: &str, read: impl Fn(&str) -> Result<u64>) -> Result<Option<u64>> {
    match text {
        "off" => Ok(None),
        text => read(text).map(Some).map_err(|error| error.at(option)),
    }
}
