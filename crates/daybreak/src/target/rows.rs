//! The step that copies the rows: every range of every table from one snapshot of the source, each in
//! one transaction with its line in the ledger.
//!
//! A snapshot ends with the process that took it. Going on therefore takes a new one, proves each
//! range that is on the target against it inside both servers, and copies again what differs: the
//! target then is as the *new* snapshot, whose coordinates are what replication begins from.

mod early;
mod governor;
mod json;
mod large;
mod pass;
mod queue;
mod readers;
mod replicas;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::{
    engine::{Context, Finding, Journal, ReplicationMode, Severity, Step},
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    mysql::{Catalog, Coordinates, TableName},
    source::{
        lock::{Reach, WriteLock},
        read::RowForm,
        snapshot::SnapshotRecord,
    },
    switch::hook,
    target::{
        indexes,
        ledger::{self, Chunk, Ledger},
        objects,
    },
};

/// The step's name.
pub const STEP: &str = "rows";

/// The figure's name in the journal: the rows that a pass has copied so far.
pub(crate) const METRIC: &str = "rows_copied_so_far";

/// How many tables of the target are counted in one question, and of how many rows in all.
const COUNTED: (usize, u64) = (64, 1_000_000);

/// How many snapshots a run takes when they are lost.
const SNAPSHOTS: u32 = 5;

/// Steps that may take a snapshot: the copy, and those that find the copy outdated where writes
/// stopped before it.
const SNAPSHOT_STEPS: [&str; 5] = [STEP, "indexes", "objects", "verify", "cutover"];

/// What a pass over the tables does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Takes chunks off the target that aren't as the source is any more. Copies nothing.
    Clear,
    /// Copies whatever the target lacks.
    Fill,
}

/// Copies all rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyRows;

#[async_trait]
impl Step for CopyRows {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "copy the rows from one consistent snapshot"
    }

    fn rollback(&self) -> &'static str {
        "empty the tables on the target"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut source = context.source().await?;
        let catalog = Catalog::read(&mut source, &context.config.select).await?;
        let mut findings = Vec::new();
        let changing = context.config.replication.mode == ReplicationMode::Native;
        let plain: Vec<String> = catalog
            .tables
            .iter()
            .filter(|table| changing && !is_transactional(&table.engine))
            .map(|table| format!("{} ({})", table.name, table.engine))
            .collect();
        if !plain.is_empty() {
            findings.push(Finding {
                id: "rows.engine".into(),
                severity: Severity::Blocker,
                objects: plain,
                why: "tables of engines without transactions can't be read consistently while they are written to".into(),
                remedy: "ALTER TABLE ... ENGINE = InnoDB on the source, exclude them, or stop writes before the copy (replication.mode = \"none\")".into(),
            });
        }
        for table in &catalog.tables {
            if let Err(error) = RowForm::of(table) {
                findings.push(Finding {
                    id: "rows.type".into(),
                    severity: Severity::Blocker,
                    objects: vec![error.place().unwrap_or_default().to_string()],
                    why: error.what().to_string(),
                    remedy: error.next_step().unwrap_or_default().to_string(),
                });
            }
        }
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        if context.config.replication.mode == ReplicationMode::None {
            stop_writes(context).await?;
        }
        copy(context, Doing::Fill).await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let mut target = worker::loader(&context.target_url()?).await?;
        let mut chunks = by_table(ledger_of(context)?.read(&mut target).await?);
        target.close().await;
        let tables: Option<Vec<TableName>> = context.journal.recall(STEP, "tables")?;
        let tables = tables.ok_or_else(|| Error::new(Kind::State, "nothing was copied yet"))?;
        let mut expected = Vec::with_capacity(tables.len());
        for table in tables {
            let chunks = chunks.remove(&table).unwrap_or_default();
            if !queue::tiles(&chunks) {
                return Err(Error::new(
                    Kind::Different,
                    "the ledger has gaps: not all rows were copied",
                )
                .at(table)
                .next("run the same command again: it copies what is missing"));
            }
            let rows: u64 = chunks.iter().map(|chunk| chunk.rows).sum();
            expected.push((table, rows));
        }
        let threads = context.config.copy.threads.max(1);
        let shares = (0..threads).map(|n| count(context, expected.iter().skip(n).step_by(threads)));
        try_join_all(shares).await?;
        Ok(())
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let mut target = worker::loader(&context.target_url()?).await?;
        indexes::end_left_behind(context, &mut target).await?;
        let tables: Vec<TableName> = context.journal.recall(STEP, "tables")?.unwrap_or_default();
        for table in tables {
            // Asking first spares a table that is empty the drop and creation that TRUNCATE is.
            let rows = target.row(format!("SELECT 1 FROM {} LIMIT 1", table.sql())).await;
            match rows {
                Err(error) if ledger::is_missing(&error) => continue,
                Err(error) => return Err(error),
                Ok(None) => continue,
                Ok(Some(_)) => {}
            }
            match target.execute(format!("TRUNCATE TABLE {}", table.sql())).await {
                Err(error) if ledger::is_missing(&error) => {}
                other => drop(other?),
            }
        }
        early::undo(context, &mut target).await?;
        ledger_of(context)?.remove(&mut target).await
    }
}

/// Makes sure, where writes stop before the copy, that they are stopped and that the target is as the
/// source is now. Does nothing in a migration that replicates.
///
/// The lock dies with the process that took it: a later process takes it again, and if the source was
/// written to in between, what changed is copied again, and the target's objects are made anew.
pub async fn ensure_current(context: &Context) -> Result<()> {
    if context.config.replication.mode != ReplicationMode::None {
        return Ok(());
    }
    let Some((step, copied)) = latest_of(&context.journal)? else {
        return Err(Error::new(Kind::State, "no rows have been copied yet"));
    };
    let was_open = stop_writes(context).await?;
    // The copy that the step `rows` made is verified by now; a later one says itself when it is whole.
    let whole = step == STEP
        || context.journal.recall::<Timestamp>(&step, "current")? == Some(copied.taken_at);
    if whole && (!was_open || nothing_written_since(context, &copied).await?) {
        return Ok(());
    }
    context.events.info("the source was open in between: what changed is copied again");
    // Which objects were altered meanwhile nobody knows, and triggers must not see the rows.
    objects::take_down(context).await?;
    // By now unique keys are there: what gives up a value goes before what has taken it comes.
    copy(context, Doing::Clear).await?;
    copy(context, Doing::Fill).await?;
    let mut target = context.target().await?;
    indexes::refuse_orphans(context, &mut target).await?;
    target.close().await;
    objects::make_anew(context).await?;
    if let Some((step, copied)) = latest_of(&context.journal)? {
        context.journal.record(&step, "current", &copied.taken_at)?;
    }
    Ok(())
}

/// Whether the source, which is closed now, stands where a snapshot was taken.
async fn nothing_written_since(context: &Context, copied: &SnapshotRecord) -> Result<bool> {
    let mut held = context.write_lock.lock().await;
    let lock = held.as_mut().ok_or_else(|| Error::new(Kind::Bug, "no lock after taking it"))?;
    let mut session = lock.session().await;
    let now = Coordinates::read(&mut session).await?;
    // Without a binary log, or with one that leaves databases out, nothing tells: look.
    Ok(now == copied.coordinates && Coordinates::tell_all(&mut session).await?)
}

/// The snapshot that the target is (becoming) a copy of.
pub fn latest_snapshot(journal: &Journal) -> Result<Option<SnapshotRecord>> {
    Ok(latest_of(journal)?.map(|(_, record)| record))
}

/// The same, and the step that took it.
fn latest_of(journal: &Journal) -> Result<Option<(String, SnapshotRecord)>> {
    let mut latest: Option<(String, SnapshotRecord)> = None;
    for step in SNAPSHOT_STEPS {
        let record: Option<SnapshotRecord> = journal.recall(step, "snapshot")?;
        if let Some(record) = record
            && latest.as_ref().is_none_or(|(_, latest)| latest.taken_at < record.taken_at)
        {
            latest = Some((step.to_string(), record));
        }
    }
    Ok(latest)
}

/// Keeps writes out from now on, for as long as this process lives; true if they weren't before.
async fn stop_writes(context: &Context) -> Result<bool> {
    let mut held = context.write_lock.lock().await;
    if let Some(lock) = held.as_mut() {
        match lock.still_held().await {
            Ok(()) => return Ok(false),
            Err(error) => context.events.warn(format!("taking the lock again: {}", error.what())),
        }
        *held = None;
    }
    hook::before_write_stop(context).await?;
    let acquiring = async {
        let mut source = context.source().await?;
        let catalog = Catalog::read(&mut source, &context.config.select).await?;
        let tables: Vec<TableName> = catalog.tables.into_iter().map(|table| table.name).collect();
        let bounds = &context.config.copy;
        let (wait, attempts) = (bounds.lock_wait, bounds.lock_attempts);
        let (url, events) = (&context.config.source, &context.events);
        WriteLock::acquire(Reach::Server, url, &tables, wait, attempts, events).await
    };
    let lock = match acquiring.await {
        Ok(lock) => lock,
        Err(error) => {
            hook::on_abort(context, error.what()).await;
            return Err(error);
        }
    };
    context.events.send(Event::WritesStopped { why: "cutover".into() });
    *held = Some(lock);
    Ok(true)
}

/// Copies (or brings up to date) from a snapshot, and from another one should it be lost.
async fn copy(context: &Context, doing: Doing) -> Result<()> {
    for attempt in 1.. {
        match pass::run(context, doing).await {
            Err(error) if error.kind() == Kind::SnapshotLost && attempt < SNAPSHOTS => {
                context.stop.check()?;
                context.events.warn(format!("taking another snapshot: {error}"));
            }
            other => return other,
        }
    }
    Ok(())
}

fn ledger_of(context: &Context) -> Result<Ledger> {
    Ok(Ledger::of(&context.plan()?.migration))
}

fn by_table(chunks: Vec<Chunk>) -> HashMap<TableName, Vec<Chunk>> {
    let mut tables: HashMap<TableName, Vec<Chunk>> = HashMap::new();
    for chunk in chunks {
        tables.entry(chunk.table.clone()).or_default().push(chunk);
    }
    tables
}

/// Counts the rows of some tables on the target: of small ones many at once.
async fn count(context: &Context, tables: impl Iterator<Item = &(TableName, u64)>) -> Result<()> {
    let mut tables = tables.peekable();
    let mut target = None;
    while tables.peek().is_some() {
        context.stop.check()?;
        let target = match &mut target {
            Some(target) => target,
            none => none.insert(context.target().await?),
        };
        let (mut together, mut rows) = (Vec::new(), 0);
        while let Some((table, expected)) = tables.next_if(|(_, expected)| {
            together.is_empty() || together.len() < COUNTED.0 && rows + expected <= COUNTED.1
        }) {
            rows += expected;
            together.push((table, *expected));
        }
        let one = |(at, (table, _)): (usize, &(&TableName, u64))| {
            format!("SELECT {at} AS n, COUNT(*) AS found FROM {}", table.sql())
        };
        let all: Vec<String> = together.iter().enumerate().map(one).collect();
        let mut found = vec![0; together.len()];
        for row in target.rows(all.join(" UNION ALL ")).await? {
            let at: usize = target.field(&row, "n")?;
            if let Some(found) = found.get_mut(at) {
                *found = target.field::<u64>(&row, "found")?;
            }
        }
        for ((table, expected), found) in together.into_iter().zip(found) {
            if found != expected {
                return Err(Error::new(
                    Kind::Different,
                    format!("{expected} rows were copied, {found} are there"),
                )
                .at(format!("{}, {table}", target.place()))
                .next("find out who writes to the target, then `daybreak undo --to schema` and `daybreak resume`"));
            }
        }
    }
    Ok(())
}

fn is_transactional(engine: &str) -> bool {
    matches!(engine.to_ascii_lowercase().as_str(), "innodb" | "rocksdb" | "tokudb" | "ndbcluster")
}

/// How far the copy is, for those who watch.
#[derive(Debug, Default)]
struct Progress {
    rows: AtomicU64,
    bytes: AtomicU64,
    now: Mutex<String>,
}

impl Progress {
    fn moved(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn now(&self, table: &TableName) {
        *self.now.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = table.to_string();
    }

    fn send(&self, total: u64, events: &Events) {
        let now = self.now.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        events.send(Event::Progress {
            task: STEP.into(),
            now,
            done: self.rows.load(Ordering::Relaxed),
            total: Some(total),
            unit: Unit::Rows,
            bytes: self.bytes.load(Ordering::Relaxed),
        });
    }
}
