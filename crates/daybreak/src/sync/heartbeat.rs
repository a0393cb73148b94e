//! The heartbeat: one row, written at the source many times a second, so that its age on the target
//! is the true lag. Owns `daybreak`.`heartbeat` on both sides and the task that writes it.
//!
//! It refuses to gate anything: positions decide, the lag is for people.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::Context,
    error::{Error, Kind, Result},
    mysql::{ServerUrl, Session, Side, TableName, quote, quote_text},
    select::OWN_DATABASE,
};

/// The table's name within daybreak's own database.
pub const TABLE: &str = "heartbeat";

/// How long a statement of the heartbeat may wait for a lock, in seconds: writes may be stopped, and
/// a statement that outlived its connection must not be written afterwards.
const LOCK_WAIT: u32 = 1;

/// How long a connection is left alone before it is tried again.
const RECONNECT: Duration = Duration::from_millis(500);

/// The table's full name.
pub fn table() -> TableName {
    TableName::new(OWN_DATABASE, TABLE)
}

/// What the table's comment says: whose it is.
pub fn marker(migration: &str) -> String {
    format!("daybreak {migration}")
}

/// Makes daybreak's own database with the heartbeat table and its one row, on either side. Does
/// nothing to what is there already.
pub async fn create(session: &mut Session, migration: &str) -> Result<()> {
    session.execute(format!("CREATE DATABASE IF NOT EXISTS {}", quote(OWN_DATABASE))).await?;
    // A comment takes no hexadecimal literal; a migration's name is hexadecimal digits.
    let comment: String =
        marker(migration).chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
    session
        .execute(format!(
            "CREATE TABLE IF NOT EXISTS {} (id TINYINT UNSIGNED NOT NULL PRIMARY KEY, \
             ts DATETIME(6) NOT NULL, seq BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB COMMENT='{comment}'",
            table().sql()
        ))
        .await?;
    // Replicated updates find the row by its key, whatever else it holds.
    session
        .execute(format!(
            "INSERT IGNORE INTO {} (id, ts, seq) VALUES (1, UTC_TIMESTAMP(6), 0)",
            table().sql()
        ))
        .await?;
    Ok(())
}

/// Whose heartbeat table a server has: the migration's name; none without a table of that mark.
pub async fn owner(session: &mut Session) -> Result<Option<String>> {
    let comment: Option<String> = session
        .scalar(format!(
            "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            quote_text(OWN_DATABASE),
            quote_text(TABLE)
        ))
        .await?;
    Ok(comment.and_then(|text| text.strip_prefix("daybreak ").map(str::to_string)))
}

/// The row: when it was written and how often, as the server prints it; none without table or row.
pub async fn row(session: &mut Session) -> Result<Option<(String, u64)>> {
    let sql = format!("SELECT CAST(ts AS CHAR), seq FROM {} WHERE id = 1", table().sql());
    match session.row(sql).await {
        Ok(Some(row)) => Ok(Some((
            session.column(&row, 0)?.unwrap_or_default(),
            session.column(&row, 1)?.unwrap_or_default(),
        ))),
        Ok(None) => Ok(None),
        // 1049, 1146: no database, no table.
        Err(error) if matches!(error.code(), Some(1049 | 1146)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How old the target's heartbeat is by the source's clock; none without one.
///
/// Only meaningful while a [`Heartbeat`] runs. Both readings are the source's own clock, so clocks
/// that differ do no harm.
pub async fn lag(source: &mut Session, target: &mut Session) -> Result<Option<Duration>> {
    let Some((written, _)) = row(target).await? else { return Ok(None) };
    let micros: Option<i64> = source
        .scalar(format!(
            "SELECT TIMESTAMPDIFF(MICROSECOND, CAST({} AS DATETIME(6)), UTC_TIMESTAMP(6))",
            quote_text(&written)
        ))
        .await?;
    Ok(micros.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
}

/// A task that writes the heartbeat at the source until it is stopped or dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    trouble: Trouble,
}

/// Why the last beat wasn't written, if it wasn't.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn set(&self, error: Option<&Error>) {
        let text = error.map(|error| {
            let causes = error.causes().into_iter();
            std::iter::once(error.what().to_string()).chain(causes).collect::<Vec<_>>().join(": ")
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

impl Heartbeat {
    /// Starts to write, on a connection of its own; does nothing where the configuration wants none.
    pub fn start(context: &Context) -> Self {
        let (stop, trouble) = (CancellationToken::new(), Trouble::default());
        let task = context.config.replication.heartbeat.then(|| {
            let (url, stop, trouble) =
                (context.config.source.clone(), stop.clone(), trouble.clone());
            let interval = context.config.replication.heartbeat_interval;
            tokio::spawn(beat(url, interval.max(Duration::from_millis(1)), stop, trouble))
        });
        Heartbeat { stop, task, trouble }
    }

    /// Why it isn't written at the moment, if it was tried in vain: the source is read only or locked,
    /// the table is gone, the account may not. It goes on trying.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops, and returns when nothing of it is under way at the source any more.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "the heartbeat ended badly");
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn beat(url: ServerUrl, interval: Duration, stop: CancellationToken, trouble: Trouble) {
    let mut complained = false;
    while !stop.is_cancelled() {
        if let Err(error) = beat_on_one_connection(&url, interval, &stop, &trouble).await {
            trouble.set(Some(&error));
            // Once is enough: the lag that people see says the rest.
            if complained {
                tracing::debug!(%error, "heartbeat");
            } else {
                tracing::warn!(%error, "the heartbeat was interrupted; it goes on by itself");
                complained = true;
            }
            tokio::select! {
                () = tokio::time::sleep(RECONNECT) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

async fn beat_on_one_connection(
    url: &ServerUrl,
    interval: Duration,
    stop: &CancellationToken,
    trouble: &Trouble,
) -> Result<()> {
    let mut session = Session::open(url, Side::Source).await?;
    session
        .execute(format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT}, innodb_lock_wait_timeout = {LOCK_WAIT}"
        ))
        .await?;
    let sql =
        format!("UPDATE {} SET ts = UTC_TIMESTAMP(6), seq = seq + 1 WHERE id = 1", table().sql());
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {
                session.close().await;
                return Ok(());
            }
        }
        // Never cancelled half-way: a statement under way ends before the task does.
        match session.execute(&sql).await {
            Ok(done) if done.affected == 0 => trouble
                .set(Some(&Error::new(Kind::State, format!("{} has lost its row", table().sql())))),
            Ok(_) => trouble.set(None),
            // 1205: writes are locked. 1290, 1836: the source is read only. It just waits.
            Err(error) if matches!(error.code(), Some(1205 | 1290 | 1836)) => {
                trouble.set(Some(&error));
            }
            Err(error) => return Err(error),
        }
    }
}
