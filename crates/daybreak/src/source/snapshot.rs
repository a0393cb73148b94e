//! One consistent view of a source over many connections, and the point in its history that it is of.
//!
//! Comparing the binary log's position before and after is *not* how: a server writes the log before
//! the engine commits. Writes are kept out for the moment in which the views open (or, on MariaDB,
//! each connection is asked which position it saw, until all agree).

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock::{Kept, LockMethod, Reach, WriteLock};
use crate::{
    config::CopyConfig,
    error::{Error, Kind, Result},
    event::{Event, Events},
    mysql::{
        Catalog, Coordinates, FilePosition, GtidSet, ReaderSession, ServerUrl, Session, Side,
        TableName,
    },
    select::Selection,
    sync::replicate::literal,
};

/// The savepoint to which a reader goes back after each range: that gives up the table's metadata
/// lock, so that no DDL of the source waits for the whole copy (with all writers behind it).
pub const SAVEPOINT: &str = "daybreak";

/// How often the views of MariaDB's connections may disagree before a lock is taken instead.
const AGREEMENT_TRIES: u32 = 200;

/// How long the views may take to open while writes are kept out.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// How often a snapshot is taken again because an XA transaction was prepared.
const XA_TRIES: u32 = 3;

/// How long it is waited before the next.
const XA_PAUSE: Duration = Duration::from_millis(200);

/// How often a snapshot is taken again because definitions changed meanwhile.
const DEFINITION_TRIES: u32 = 5;

/// How the views were made to be of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMethod {
    /// Under `FLUSH TABLES WITH READ LOCK`.
    GlobalReadLock,
    /// Under `LOCK TABLES ... READ`.
    TableLocks,
    /// Without a lock: MariaDB tells each view's position, and all agreed.
    AgreedPositions,
    /// Writes were stopped before, and stay so.
    WritesStopped,
}

/// What a snapshot is of. Checkpoint `("rows", "snapshot")`; the last one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The point in the source's history.
    pub coordinates: Coordinates,
    /// How.
    pub method: SnapshotMethod,
    /// For how long writes were kept out, in milliseconds, from asking for the lock to its release.
    pub stall_millis: f64,
    /// Which try it was.
    pub attempts: u32,
    /// When.
    pub taken_at: Timestamp,
}

/// What a snapshot is asked for.
#[derive(Debug)]
pub struct SnapshotRequest<'a> {
    /// The source.
    pub url: &'a ServerUrl,
    /// What will be read.
    pub selection: &'a Selection,
    /// How many connections share the view.
    pub sessions: usize,
    /// The bounds of the lock.
    pub copy: &'a CopyConfig,
    /// Where events go.
    pub events: &'a Events,
    /// A lock that keeps writes out already.
    pub held: Option<&'a mut WriteLock>,
}

/// Keeps DDL away (`LOCK INSTANCE FOR BACKUP`) for as long as it lives; rows can be written.
pub struct BackupLock(#[expect(dead_code, reason = "held, never asked")] Kept);

impl std::fmt::Debug for BackupLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupLock")
    }
}

/// Connections that all see one moment of the source.
#[derive(Debug)]
pub struct Snapshot {
    /// The connections, set up for reading.
    pub sessions: Vec<ReaderSession>,
    /// What they see.
    pub record: SnapshotRecord,
    /// The definitions at that moment.
    pub catalog: Catalog,
    /// The lock against DDL, where the account may take it.
    pub backup_lock: Option<BackupLock>,
    /// When each table was created, to notice another one that took its name.
    pub created: HashMap<TableName, String>,
}

impl Snapshot {
    /// Takes a snapshot. Writers wait for no longer than the lock's bound, plus the moment in which
    /// the views open.
    ///
    /// # Errors
    /// `LockWait` when writes could not be stopped in time; `SnapshotLost` when definitions kept
    /// changing.
    pub async fn take(mut request: SnapshotRequest<'_>) -> Result<Self> {
        let mut meta = Session::open(request.url, Side::Source).await?;
        let backup_lock = backup_lock(request.url, request.events).await?;
        let mut catalog = Catalog::read(&mut meta, request.selection).await?;
        let mut created = creation_times(&mut meta, &catalog).await?;
        for attempt in 1..=DEFINITION_TRIES {
            let tables: Vec<TableName> =
                catalog.tables.iter().map(|table| table.name.clone()).collect();
            let readers = (0..request.sessions.max(1)).map(|_| reader(request.url));
            let mut sessions = try_join_all(readers).await?;
            let record = match open_views(&mut request, &tables, &mut sessions, attempt).await {
                // A table that was to be locked is gone.
                Err(error) if error.code() == Some(1146) => None,
                other => Some(other?),
            };
            let after = Catalog::read(&mut meta, request.selection).await?;
            let created_after = creation_times(&mut meta, &after).await?;
            let same = after.digest() == catalog.digest() && created_after == created;
            if let (true, Some(record)) = (same, record) {
                meta.close().await;
                // The sizes of the first reading are as good.
                return Ok(Snapshot { sessions, record, catalog, backup_lock, created });
            }
            request.events.info("definitions changed while the snapshot was taken; taking another");
            (catalog, created) = (after, created_after);
        }
        Err(Error::new(
            Kind::SnapshotLost,
            format!("definitions changed during each of {DEFINITION_TRIES} snapshots"),
        )
        .at(meta.place())
        .next("stop DDL on the source for a moment, then `daybreak resume`"))
    }
}

/// Opens a connection and sets it up for reading rows as they are stored.
pub async fn reader(url: &ServerUrl) -> Result<ReaderSession> {
    let mut session = Session::open_reader(url, Side::Source).await?;
    // Results in each column's own character set; no limit of the server's may cut one short; a
    // reader may wait long for the target, and long for its turn.
    session
        .execute(
            "SET SESSION character_set_results = NULL, sql_select_limit = 18446744073709551615, \
             wait_timeout = 604800, net_write_timeout = 3600, lock_wait_timeout = 300",
        )
        .await?;
    if session.dialect().mysql_from(5, 7, 8) {
        session.execute("SET SESSION max_execution_time = 0").await?;
    } else if session.dialect().is_mariadb() {
        session.execute("SET SESSION max_statement_time = 0").await?;
    }
    if session.dialect().is_mariadb() && session.dialect().version >= (10, 3, 0) {
        session
            .execute(
                "SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",
            )
            .await?;
    }
    Ok(session)
}

async fn open_views(
    request: &mut SnapshotRequest<'_>,
    tables: &[TableName],
    sessions: &mut [ReaderSession],
    attempt: u32,
) -> Result<SnapshotRecord> {
    if let Some(lock) = request.held.as_deref_mut() {
        begin(sessions).await?;
        mark(sessions).await?;
        lock.still_held().await?;
        let mut holder = lock.session().await;
        let mut coordinates = Coordinates::read(&mut holder).await?;
        if !Coordinates::tell_all(&mut holder).await? {
            // What is written there doesn't move the position, which therefore tells nothing.
            coordinates.file = None;
        }
        return Ok(SnapshotRecord {
            coordinates,
            method: SnapshotMethod::WritesStopped,
            stall_millis: 0.0,
            attempts: attempt,
            taken_at: Timestamp::now(),
        });
    }
    if sessions.first().is_some_and(|session| session.dialect().is_mariadb()) {
        if let Some((file, tries)) = agree_without_xa(request, sessions).await? {
            mark(sessions).await?;
            return Ok(SnapshotRecord {
                coordinates: Coordinates { file: Some(file), gtids: GtidSet::default() },
                method: SnapshotMethod::AgreedPositions,
                stall_millis: 0.0,
                attempts: tries,
                taken_at: Timestamp::now(),
            });
        }
        request.events.detail("the connections' positions never agreed; taking a lock instead");
    }
    under_lock(request, tables, sessions, attempt).await
}

async fn under_lock(
    request: &SnapshotRequest<'_>,
    tables: &[TableName],
    sessions: &mut [ReaderSession],
    attempt: u32,
) -> Result<SnapshotRecord> {
    let (events, bounds) = (request.events, request.copy);
    for _ in 0..XA_TRIES {
        let mut lock = WriteLock::acquire(
            Reach::Tables,
            request.url,
            tables,
            bounds.lock_wait,
            bounds.lock_attempts,
            events,
        )
        .await?;
        events.send(Event::WritesStopped { why: "snapshot".into() });
        let method = lock.method();
        // Whatever happens in here, the lock is let go of below.
        let opening = async {
            begin(sessions).await?;
            let mut holder = lock.session().await;
            let coordinates = Coordinates::read(&mut holder).await?;
            Ok::<_, Error>((coordinates, has_prepared_xa(&mut holder).await?))
        };
        let opened = tokio::time::timeout(OPEN_LIMIT, opening).await;
        let held: Result<()> = lock.still_held().await;
        let stall = lock.release().await?;
        let millis = stall.as_secs_f64() * 1e3;
        events.send(Event::WritesResumed { why: "snapshot".into(), millis, on_target: false });
        let (coordinates, has_prepared) = opened.map_err(|_| {
            Error::new(Kind::Timeout, "the views of a snapshot didn't open in time").at(request.url)
        })??;
        held?;
        if has_prepared {
            // Its rows aren't in the views, and its events lie before the position.
            end(sessions).await?;
            tokio::time::sleep(XA_PAUSE).await;
            continue;
        }
        mark(sessions).await?;
        return Ok(SnapshotRecord {
            coordinates,
            method: match method {
                LockMethod::GlobalReadLock => SnapshotMethod::GlobalReadLock,
                LockMethod::TableLocks => SnapshotMethod::TableLocks,
            },
            stall_millis: millis,
            attempts: attempt,
            taken_at: Timestamp::now(),
        });
    }
    Err(always_prepared(request))
}

fn always_prepared(request: &SnapshotRequest<'_>) -> Error {
    let what =
        "XA transactions are prepared on the source at every try: a snapshot would miss their rows";
    Error::new(Kind::LockWait, what)
        .at(request.url)
        .next("commit or roll back what XA RECOVER lists there, then `daybreak resume`")
}

/// Begins the transactions, all at once.
async fn begin(sessions: &mut [ReaderSession]) -> Result<()> {
    let all = sessions
        .iter_mut()
        .map(|session| session.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"));
    try_join_all(all).await?;
    Ok(())
}

/// Sets the savepoint to which readers go back.
async fn mark(sessions: &mut [ReaderSession]) -> Result<()> {
    let statement = format!("SAVEPOINT {SAVEPOINT}");
    try_join_all(sessions.iter_mut().map(|session| session.execute(&statement))).await?;
    Ok(())
}

async fn end(sessions: &mut [ReaderSession]) -> Result<()> {
    try_join_all(sessions.iter_mut().map(|session| session.execute("ROLLBACK"))).await?;
    Ok(())
}

/// Whether a transaction is prepared but neither committed nor rolled back. An account that may not
/// ask (XA_RECOVER_ADMIN) is told nothing: such a transaction is rare and the verification finds it.
async fn has_prepared_xa(session: &mut Session) -> Result<bool> {
    match session.rows("XA RECOVER").await {
        Ok(rows) => Ok(!rows.is_empty()),
        Err(error) if matches!(error.code(), Some(1401 | 1227 | 1142)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the views of MariaDB's connections until all are of one position.
async fn agree(sessions: &mut [ReaderSession]) -> Result<Option<(FilePosition, u32)>> {
    let begun = Instant::now();
    for tries in 1..=AGREEMENT_TRIES {
        begin(sessions).await?;
        let positions = try_join_all(sessions.iter_mut().map(snapshot_position)).await?;
        let first = positions.first().cloned().flatten();
        match first {
            // The binary log is off: nothing to compare.
            None => break,
            Some(first) if positions.iter().all(|other| other.as_ref() == Some(&first)) => {
                tracing::debug!(tries, millis = begun.elapsed().as_millis() as u64, "views agree");
                return Ok(Some((first, tries)));
            }
            Some(_) => {}
        }
    }
    end(sessions).await?;
    Ok(None)
}

/// The same, of a moment in which no XA transaction was prepared: its rows would not be in the views,
/// and its events lie before the position.
async fn agree_without_xa(
    request: &SnapshotRequest<'_>,
    sessions: &mut [ReaderSession],
) -> Result<Option<(FilePosition, u32)>> {
    for _ in 0..XA_TRIES {
        let Some((position, tries)) = agree(sessions).await? else { return Ok(None) };
        let mut asking = Session::open(request.url, Side::Source).await?;
        // One that was prepared then is still listed, or its end is in the log since.
        let prepared =
            has_prepared_xa(&mut asking).await? || has_ended_xa(&mut asking, &position).await?;
        asking.close().await;
        if !prepared {
            return Ok(Some((position, tries)));
        }
        end(sessions).await?;
        tokio::time::sleep(XA_PAUSE).await;
    }
    Err(always_prepared(request))
}

/// Whether the binary log since a position holds the end of an XA transaction that was prepared before
/// it. A log that went on in another file counts as one: it isn't worth reading two.
async fn has_ended_xa(session: &mut Session, since: &FilePosition) -> Result<bool> {
    let now = Coordinates::read(session).await?.file;
    if now.as_ref() == Some(since) {
        return Ok(false);
    }
    if now.is_none_or(|now| now.file != since.file) {
        return Ok(true);
    }
    let events = session
        .rows(format!("SHOW BINLOG EVENTS IN {} FROM {}", literal(&since.file), since.position))
        .await?;
    let mut begun = HashSet::new();
    for event in events {
        let info: String = session.optional(&event, "Info")?.unwrap_or_default();
        if let Some(xid) = info.strip_prefix("XA START ") {
            begun.extend(xid.split_whitespace().next().map(str::to_string));
        }
        let ended = ["XA COMMIT ", "XA ROLLBACK "].iter().find_map(|end| info.strip_prefix(end));
        let xid = ended.and_then(|rest| rest.split_whitespace().next());
        if xid.is_some_and(|xid| !begun.contains(xid)) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn snapshot_position(session: &mut ReaderSession) -> Result<Option<FilePosition>> {
    let (mut file, mut position) = (String::new(), String::new());
    for row in session.rows("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'").await? {
        let name: String = session.field(&row, "Variable_name")?;
        let value: String = session.field(&row, "Value")?;
        match name.to_ascii_lowercase().as_str() {
            "binlog_snapshot_file" => file = value,
            "binlog_snapshot_position" => position = value,
            _ => {}
        }
    }
    Ok(match position.parse() {
        Ok(position) if !file.is_empty() => Some(FilePosition { file, position }),
        _ => None,
    })
}

/// Takes the lock against DDL where server and account allow it.
async fn backup_lock(url: &ServerUrl, events: &Events) -> Result<Option<BackupLock>> {
    let mut session = Session::open(url, Side::Source).await?;
    if !session.dialect().has_instance_lock() {
        return Ok(None);
    }
    session.execute("SET SESSION lock_wait_timeout = 10").await?;
    match session.execute("LOCK INSTANCE FOR BACKUP").await {
        Ok(_) => Ok(Some(BackupLock(Kept::new(session).await?))),
        Err(error) if matches!(error.code(), Some(1227 | 1045 | 1044 | 1142)) => {
            events.detail(
                "the account lacks BACKUP_ADMIN: DDL on the source isn't held back, but noticed",
            );
            Ok(None)
        }
        // Somebody's DDL runs for long. It is noticed if it touches what is read.
        Err(error) if error.kind() == Kind::LockWait => {
            events.detail("DDL is running on the source: it isn't held back, but noticed");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// When each table was created, as the server writes it.
async fn creation_times(
    session: &mut Session,
    catalog: &Catalog,
) -> Result<HashMap<TableName, String>> {
    let databases: Vec<String> =
        catalog.databases.iter().map(|database| crate::mysql::quote_text(&database.name)).collect();
    if databases.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = session
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, CAST(CREATE_TIME AS CHAR) AS CREATED \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
            databases.join(", ")
        ))
        .await?;
    let mut created = HashMap::new();
    for row in rows {
        let name = TableName::new(
            session.field::<String>(&row, "TABLE_SCHEMA")?,
            session.field::<String>(&row, "TABLE_NAME")?,
        );
        if catalog.table(&name).is_some() {
            created.insert(name, session.optional(&row, "CREATED")?.unwrap_or_default());
        }
    }
    Ok(created)
}

/// When each of some tables was created (an empty text: it isn't there), asked for while their names can't
/// change: under the metadata locks that reads of them took.
pub async fn created_now(session: &mut Session, tables: &[&TableName]) -> Result<Vec<String>> {
    // Each by its name: in a list of names the server would look for every table that it has.
    let selects: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            format!(
                "SELECT {at} AS number, CAST(CREATE_TIME AS CHAR) AS created \
                 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                crate::mysql::quote_text(&table.database),
                crate::mysql::quote_text(&table.name)
            )
        })
        .collect();
    let mut created = vec![String::new(); tables.len()];
    for row in session.rows(selects.join(" UNION ALL ")).await? {
        let at: usize = session.field(&row, "number")?;
        created[at] = session.optional(&row, "created")?.unwrap_or_default();
    }
    Ok(created)
}
