//! The journal: every move of a migration, in order, synced to disk before it is made.
//!
//! SQLite in the migration's directory (WAL, `synchronous=FULL`). Entries can't be changed or
//! removed; each carries the hash of the one before, and a chain that doesn't hold stops everything
//! with a clear message. Beside it, without the chain: per-table results and metrics for the report.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{Entry, Plan, State, SwitchOptions};
use crate::error::{Error, Kind, Result};

/// The file's name in the migration directory.
pub const FILE: &str = "journal.db";
/// The figure that a comparison by hand notes.
const BY_HAND: &str = "compared_by_hand";

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub entry: Entry,
}

/// What became of a table.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct TableResult {
    /// Its full name.
    pub table: String,
    /// Rows copied.
    pub rows: u64,
    /// Bytes sent to the target.
    pub bytes: u64,
    /// How long its copying took from first to last chunk, in milliseconds.
    pub copy_millis: u64,
    /// The outcome of verification: `equal`, `different`, or none yet.
    pub verified: Option<String>,
}

/// The journal of one migration, held by one process at a time.
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    db: Connection,
    state: State,
    plan: Option<Arc<Plan>>,
    last: (u64, String),
    #[cfg(feature = "failpoints")]
    fail_in: Option<u32>,
}

impl Journal {
    /// Whether a directory has a journal.
    pub fn exists(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Opens (or begins) the journal of a directory, and checks the whole chain.
    ///
    /// # Errors
    /// `Journal` when the chain is broken or an entry can't follow the one before.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let at = |error: Error| error.at(path.display());
        let db = Self::connect(&path).map_err(at)?;
        let mut inner = Inner {
            db,
            state: State::default(),
            plan: None,
            last: (0, String::new()),
            #[cfg(feature = "failpoints")]
            fail_in: None,
        };
        inner.replay().map_err(at)?;
        Ok(Journal { path, inner: Mutex::new(inner) })
    }

    fn connect(path: &Path) -> Result<Connection> {
        let db = Connection::open(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS entries (
               seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
               before TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
             CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries
               BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
             CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries
               BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
             CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS metrics (at TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS requests (name TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;",
        )?;
        Ok(db)
    }

    /// Appends an entry. When this returns, the entry is on disk; only then may its effect begin.
    ///
    /// # Errors
    /// `State` when it may not follow; `Journal` when it can't be written (a full disk).
    pub fn append(&self, entry: Entry) -> Result<u64> {
        let mut inner = self.lock();
        #[cfg(feature = "failpoints")]
        if let Some(left) = inner.fail_in {
            inner.fail_in = left.checked_sub(1);
            if left == 0 {
                return Err(Error::new(Kind::Journal, "told to fail here by a test"));
            }
        }
        let state = inner.state.after(&entry).map_err(|illegal| {
            Error::new(Kind::State, illegal.to_string()).at(self.path.display())
        })?;
        let seq = inner.last.0 + 1;
        #[cfg(feature = "failpoints")]
        super::failpoint::before(seq);
        let at = Timestamp::now().to_string();
        let body = serde_json::to_string(&entry)?;
        let hash = chain(&inner.last.1, seq, &at, &body);
        let before = inner.last.1.clone();
        inner
            .db
            .execute(
                "INSERT INTO entries (seq, at, kind, body, before, hash) VALUES (?, ?, ?, ?, ?, ?)",
                params![seq as i64, at, entry.kind(), body, before, hash],
            )
            .map_err(|error| {
                Error::new(Kind::Journal, "an entry could not be written to the journal")
                    .because(error)
                    .at(self.path.display())
                    .next("free space on its disk, then `daybreak resume`; nothing was begun that isn't in it")
            })?;
        inner.last = (seq, hash);
        inner.state = state;
        if let Entry::Planned { plan, .. } = entry {
            inner.plan = Some(Arc::new(*plan));
        }
        #[cfg(feature = "failpoints")]
        super::failpoint::synced(seq);
        Ok(seq)
    }

    /// Lets the append after the next `appends` ones fail, once. For tests.
    #[cfg(feature = "failpoints")]
    pub fn fail_in(&self, appends: Option<u32>) {
        self.lock().fail_in = appends;
    }

    /// Writes a checkpoint of a step.
    pub fn record(&self, step: &str, name: &str, data: &impl Serialize) -> Result<()> {
        self.append(Entry::Checkpoint {
            step: step.to_string(),
            name: name.to_string(),
            data: serde_json::to_value(data)?,
        })?;
        Ok(())
    }

    /// The latest checkpoint of a step by that name. A step that was undone has none.
    pub fn recall<T: DeserializeOwned>(&self, step: &str, name: &str) -> Result<Option<T>> {
        let inner = self.lock();
        let body: Option<String> = inner
            .db
            .query_row(
                "SELECT body FROM entries WHERE kind = 'checkpoint'
                 AND json_extract(body, '$.step') = ?1 AND json_extract(body, '$.name') = ?2
                 AND seq > COALESCE((SELECT MAX(seq) FROM entries WHERE kind = 'step_undone'
                                     AND json_extract(body, '$.step') = ?1), 0)
                 ORDER BY seq DESC LIMIT 1",
                params![step, name],
                |row| row.get(0),
            )
            .optional()?;
        let Some(body) = body else { return Ok(None) };
        match serde_json::from_str(&body)? {
            Entry::Checkpoint { data, .. } => Ok(Some(serde_json::from_value(data)?)),
            _ => Err(Error::new(Kind::Bug, "a checkpoint isn't one")),
        }
    }

    /// How the cutover is to go, as the operator last said; none if he never did.
    pub fn switch_options(&self) -> Result<Option<SwitchOptions>> {
        let said = self.entries()?.into_iter().rev().find_map(|record| match record.entry {
            Entry::SwitchOptions { options } => Some(options),
            _ => None,
        });
        Ok(said)
    }

    /// What the journal adds up to.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// The plan in force.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        self.lock().plan.clone().ok_or_else(|| {
            Error::new(Kind::State, "there is no plan yet")
                .at(self.path.display())
                .next("`daybreak plan` makes one, `daybreak run` makes and follows one")
        })
    }

    /// Every entry in order.
    pub fn entries(&self) -> Result<Vec<Record>> {
        let inner = self.lock();
        let mut statement = inner.db.prepare("SELECT seq, at, body FROM entries ORDER BY seq")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(Record {
                seq: row.get::<_, i64>(0)? as u64,
                at: timestamp(&row.get::<_, String>(1)?)?,
                entry: serde_json::from_str(&row.get::<_, String>(2)?)?,
            });
        }
        Ok(records)
    }

    /// Notes what became of tables, replacing what was noted before: all at once, since each writing waits
    /// for the disk.
    ///
    /// # Errors
    /// When the journal can't be written.
    pub fn put_tables(&self, results: &[TableResult]) -> Result<()> {
        let mut inner = self.lock();
        let transaction = inner.db.transaction()?;
        for result in results {
            transaction.execute(
                "INSERT INTO tables (name, body) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET body = ?2",
                params![result.table, serde_json::to_string(result)?],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What became of each table, by name.
    pub fn tables(&self) -> Result<Vec<TableResult>> {
        let inner = self.lock();
        let mut statement = inner.db.prepare("SELECT body FROM tables ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut tables = Vec::new();
        while let Some(row) = rows.next()? {
            tables.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
        }
        Ok(tables)
    }

    /// Notes a figure for the report, such as `lag_seconds` or `rows_copied`.
    pub fn measure(&self, name: &str, value: f64) -> Result<()> {
        self.lock().db.execute(
            "INSERT INTO metrics (at, name, value) VALUES (?, ?, ?)",
            params![Timestamp::now().to_string(), name, value],
        )?;
        Ok(())
    }

    /// All figures in the order in which they were noted.
    pub fn metrics(&self) -> Result<Vec<(Timestamp, String, f64)>> {
        let inner = self.lock();
        let mut statement =
            inner.db.prepare("SELECT at, name, value FROM metrics ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        let mut metrics = Vec::new();
        while let Some(row) = rows.next()? {
            metrics.push((timestamp(&row.get::<_, String>(0)?)?, row.get(1)?, row.get(2)?));
        }
        Ok(metrics)
    }

    /// Notes that both sides were compared by hand, beside the steps: whether they were equal. Called by
    /// another process too.
    pub fn note_comparison(directory: &Path, equal: bool) -> Result<()> {
        let db = Self::connect(&directory.join(FILE))?;
        db.execute(
            "INSERT INTO metrics (at, name, value) VALUES (?, ?, ?)",
            params![Timestamp::now().to_string(), BY_HAND, f64::from(u8::from(equal))],
        )?;
        Ok(())
    }

    /// When both sides were last compared by hand after a moment, and whether they were equal.
    pub fn compared_by_hand(&self, after: Timestamp) -> Result<Option<(Timestamp, bool)>> {
        let compared = self.metrics()?.into_iter().rev().find(|(_, name, _)| name == BY_HAND);
        Ok(compared.filter(|(at, ..)| *at > after).map(|(at, _, equal)| (at, equal != 0.0)))
    }

    /// Asks the process that holds the migration to pause. Called by another process.
    pub fn request_pause(directory: &Path) -> Result<()> {
        Self::request(directory, "pause")
    }

    /// Whether a pause was asked for; with `take` the request is over.
    pub fn pause_requested(&self, take: bool) -> Result<bool> {
        self.requested("pause", take)
    }

    /// Tells the process whose cutover waits to open the target. Called by another process.
    pub fn request_open(directory: &Path) -> Result<()> {
        Self::request(directory, "open")
    }

    /// Whether the target may be opened; with `take` the request is over.
    pub fn open_requested(&self, take: bool) -> Result<bool> {
        self.requested("open", take)
    }

    fn request(directory: &Path, name: &str) -> Result<()> {
        let db = Self::connect(&directory.join(FILE))?;
        db.execute(
            "INSERT INTO requests (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = ?2",
            params![name, Timestamp::now().to_string()],
        )?;
        Ok(())
    }

    fn requested(&self, name: &str, take: bool) -> Result<bool> {
        let inner = self.lock();
        let asked: bool = inner.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM requests WHERE name = ?1)",
            params![name],
            |row| row.get(0),
        )?;
        if asked && take {
            inner.db.execute("DELETE FROM requests WHERE name = ?1", params![name])?;
        }
        Ok(asked)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while the lock is held leaves the database itself sound: go on with it.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn replay(&mut self) -> Result<()> {
        let mut statement =
            self.db.prepare("SELECT seq, at, body, before, hash FROM entries ORDER BY seq")?;
        let mut rows = statement.query([])?;
        let (mut last, mut state, mut plan) = ((0u64, String::new()), State::default(), None);
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)? as u64;
            let (at, body): (String, String) = (row.get(1)?, row.get(2)?);
            let (before, hash): (String, String) = (row.get(3)?, row.get(4)?);
            let broken = |why: &str| {
                Error::new(
                    Kind::Journal,
                    format!("the journal's chain is broken at entry {seq}: {why}"),
                )
                .next("restore the directory from a copy, or begin a new migration in another one")
            };
            if seq != last.0 + 1 {
                return Err(broken("an entry is missing"));
            }
            if before != last.1 || hash != chain(&before, seq, &at, &body) {
                return Err(broken("it isn't what was written"));
            }
            let entry: Entry = serde_json::from_str(&body)
                .map_err(|error| broken("it can't be read").because(error))?;
            state = state.after(&entry).map_err(|illegal| broken(&illegal.to_string()))?;
            if let Entry::Planned { plan: new, .. } = entry {
                plan = Some(Arc::new(*new));
            }
            last = (seq, hash);
        }
        drop(rows);
        drop(statement);
        (self.last, self.state, self.plan) = (last, state, plan);
        Ok(())
    }
}

fn chain(before: &str, seq: u64, at: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    for part in [before, &seq.to_string(), at, body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn timestamp(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|error: jiff::Error| {
        Error::new(Kind::Journal, "a time in the journal can't be read").because(error)
    })
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.path.display())
    }
}
