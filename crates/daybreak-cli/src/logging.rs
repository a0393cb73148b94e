//! The log: lines in a private file, apart from what is printed.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Mutex};

use daybreak::error::{Error, Result};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{Global, LogLevel};

/// Begins logging to `--log-file`, or to `daybreak.log` of a migration's directory.
pub fn start(global: &Global, directory: Option<&Path>) -> Result<()> {
    let path = match (&global.log_file, directory) {
        (Some(file), _) => file.clone(),
        (None, Some(directory)) => directory.join("daybreak.log"),
        (None, None) => return Ok(()),
    };
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::from(error).at(path.display()))?;
    let level = match global.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .with_filter(tracing_subscriber::filter::Targets::new().with_target("daybreak", level));
    // A second start in one process (a test) keeps the first log.
    if tracing_subscriber::registry().with(layer).try_init().is_err() {
        tracing::debug!("the log was begun already");
    }
    Ok(())
}
