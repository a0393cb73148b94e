//! The load writer: a process that keeps writing into the shop and remembers every commit.
//!
//! Owns the application's side of a rehearsal: transactions, the ledger of what was acknowledged,
//! and the check of that ledger against a server. It never gives up on a transaction, and it
//! refuses to run twice over one ledger. Passwords live in the control file only.
//!
//! - [`run`] is the process; a hidden subcommand or `examples/shop-writer.rs` calls it.
//! - [`WriterHandle`] starts and steers that process.
//! - [`check`] compares the ledger with a server, row by row.

mod check;
mod control;
mod expected;
mod handle;
mod ledger;
mod rows;
mod work;
mod worker;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use check::check;
pub use control::{Control, Status};
pub use expected::{CheckReport, Finding, FindingKind, InDoubt};
pub use handle::{WriterHandle, WriterSpawn};

/// How the writer process runs; all its files lie in one directory.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterOptions {
    /// Where `control.json`, `ledger.jsonl` and `status.json` are.
    pub dir: PathBuf,
    /// The shop's database.
    pub database: String,
    /// Connections that write at the same time.
    pub workers: u32,
    /// Transactions a second over all workers; 0 means as fast as possible.
    pub rate: f64,
    /// The seed of everything random.
    pub seed: u64,
}

impl WriterOptions {
    /// The usual load, with its files in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), database: "shop".to_owned(), workers: 4, rate: 300.0, seed: 1 }
    }

    /// Reads `--dir D [--database N] [--workers N] [--rate R] [--seed N]`.
    ///
    /// # Errors
    /// Fails on unknown or incomplete arguments.
    pub fn parse<I, S>(args: I) -> Result<Self, WriterError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut options = Self::new("");
        let mut args = args.into_iter().map(Into::into);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| WriterError::Argument(name.clone()))?;
            let bad = || WriterError::Argument(format!("{name} {value}"));
            match &*name {
                "--dir" => options.dir = value.into(),
                "--database" => options.database = value,
                "--workers" => options.workers = value.parse().map_err(|_| bad())?,
                "--rate" => options.rate = value.parse().map_err(|_| bad())?,
                "--seed" => options.seed = value.parse().map_err(|_| bad())?,
                _ => return Err(WriterError::Argument(name)),
            }
        }
        let rate_fits = options.rate.is_finite() && options.rate >= 0.0;
        if options.dir.as_os_str().is_empty() || options.workers == 0 || !rate_fits {
            return Err(WriterError::Argument(
                "--dir is needed, --workers above 0, --rate not below 0".to_owned(),
            ));
        }
        Ok(options)
    }
}

/// The file through which the writer is steered; it holds the URL with its password.
pub fn control_path(dir: &Path) -> PathBuf {
    dir.join("control.json")
}

/// The record of every transaction.
pub fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("ledger.jsonl")
}

/// What the writer says about itself, four times a second.
pub fn status_path(dir: &Path) -> PathBuf {
    dir.join("status.json")
}

/// Why the writer, its handle or its check failed.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// An argument that is unknown, incomplete or out of range.
    #[error("the load writer does not understand its arguments: {0}")]
    Argument(String),
    /// A file could not be read or written.
    #[error("{what}: {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The ledger is in use by another writer.
    #[error("another writer uses the ledger {}", .0.display())]
    LedgerInUse(PathBuf),
    /// A line of the ledger is not what the writer writes.
    #[error("line {line} of the ledger {} is damaged: {what}", path.display())]
    LedgerDamaged {
        /// The ledger.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The URL is no MySQL URL; it is not repeated, as it may hold a password.
    #[error("the server's URL is not valid")]
    Url(#[source] mysql_async::UrlError),
    /// The server said no.
    #[error("{what}")]
    Server {
        /// What was being done.
        what: String,
        /// What the server or the driver answered.
        #[source]
        source: mysql_async::Error,
    },
    /// The writer process or one of its parts ended when it should not have.
    #[error("the load writer ended early: {0}")]
    Ended(String),
    /// Something that was waited for did not come.
    #[error("the load writer did not get there in {} s: {what}", limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
}

pub(crate) fn server(what: impl Into<String>) -> impl FnOnce(mysql_async::Error) -> WriterError {
    let what = what.into();
    move |source| WriterError::Server { what, source }
}

pub(crate) fn file<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> WriterError + 'a {
    move |source| WriterError::File { what, path: path.to_owned(), source }
}

/// Writes until SIGTERM or `stop` in the control file; then finishes what is under way.
///
/// A transaction that cannot be finished within ten seconds of that stays in doubt in the ledger.
///
/// # Errors
/// Fails if its files are unusable, or if the first connection shows that there is no shop.
/// Failures of the server afterwards never end it.
pub async fn run(options: WriterOptions) -> Result<(), WriterError> {
    let control = control::Watch::start(&control_path(&options.dir)).await?;
    let (ledger, past) = ledger::Ledger::open(&ledger_path(&options.dir))?;
    let tally = Arc::new(control::Tally::new(&status_path(&options.dir), past.acknowledged));
    let shared =
        worker::Shared::prepare(options, control.clone(), ledger, past, tally.clone()).await?;
    let status = tokio::spawn(control::publish(tally.clone(), control.clone()));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..shared.options.workers {
        workers.spawn(worker::run(shared.clone(), number));
    }
    let mut failure = None;
    while let Some(ended) = workers.join_next().await {
        let problem = match ended {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(error) => WriterError::Ended(error.to_string()),
        };
        control.stop();
        failure.get_or_insert(problem);
    }
    status.abort();
    tally.write(&control);
    shared.ledger.close().await?;
    match failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
