//! Databases and tables on the target: made as the source has them, without the foreign keys and (but for
//! small tables) secondary keys that come after the rows, and taken back.
//!
//! Owns `daybreak`.`created` on the target: what this migration made there, and from which
//! definition. Refuses to touch a table that isn't in it.

mod remembered;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::{
    ddl::{Adaptation, CreateTable, readable},
    ledger::Ledger,
    objects, register,
};
use crate::{
    engine::{Context, StepPhase},
    error::{Error, Kind, Result},
    event::{Event, Unit},
    mysql::{Catalog, Dialect, Session, Side, TableName, quote},
    select::Selection,
};

pub use remembered::Remembered;
pub use step::CreateSchema;
pub(crate) use step::different;

/// A table of fewer bytes is made with its secondary keys: adding them later costs the server
/// more than keeping them in order while so few rows come in.
pub(crate) const SMALL: u64 = 1 << 20;

/// How many tables are remembered in one writing.
const TOGETHER: usize = 100;

/// How many tables are worth a connection more.
const FEW: usize = 8;

/// How many connections make tables: each waits for the target's disk far longer than for its cores.
const MAKERS: usize = 8;

/// How many connections ask for definitions.
const ASKERS: usize = 4;

/// How many definitions are held at once.
const HELD: usize = 1_000;

/// The step's name.
pub(crate) const STEP: &str = "schema";

/// What is taken: by the plan, or before there is one, by the configuration.
pub(crate) fn selection(ctx: &Context) -> Selection {
    ctx.plan().map_or_else(|_| ctx.config.select.clone(), |plan| plan.selection.clone())
}

/// Sets a variable of the session if the account may; tells whether it could.
pub(crate) async fn try_set(session: &mut Session, variable: &str, value: &str) -> Result<bool> {
    match session.execute(format!("SET SESSION {variable} = {value}")).await {
        Ok(_) => Ok(true),
        // Unknown to this version, read-only in it, or not for this account.
        Err(error) if matches!(error.code(), Some(1193 | 1227 | 1229 | 1231 | 1238)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a session print definitions whole, whatever its server's defaults.
pub(crate) async fn settle_reader(session: &mut Session) -> Result<()> {
    session.execute("SET SESSION sql_quote_show_create = 1").await?;
    try_set(session, "show_gipk_in_create_table_and_information_schema", "ON").await?;
    Ok(())
}

/// Makes a session take definitions as they are: strictly, so that nothing is cut to fit, but with
/// zero dates as defaults; no key is added, no foreign key is looked at.
pub(crate) async fn settle_writer(session: &mut Session) -> Result<()> {
    settle_reader(session).await?;
    session
        .execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,\
             NO_ENGINE_SUBSTITUTION', foreign_key_checks = 0",
        )
        .await?;
    try_set(session, "sql_generate_invisible_primary_key", "OFF").await?;
    try_set(session, "sql_require_primary_key", "OFF").await?;
    // Else a TIMESTAMP NOT NULL without a default would be given one.
    try_set(session, "explicit_defaults_for_timestamp", "ON").await?;
    try_set(session, "restrict_fk_on_non_standard_key", "OFF").await?;
    Ok(())
}

/// A table's definition, as the server prints it.
///
/// # Errors
/// `SnapshotLost` when the table is gone.
pub async fn definition(session: &mut Session, table: &TableName) -> Result<String> {
    let row = match session.row(format!("SHOW CREATE TABLE {}", table.sql())).await {
        Ok(row) => row,
        Err(error) if matches!(error.code(), Some(1146 | 1049)) => {
            return Err(Error::new(Kind::SnapshotLost, "a table is gone").because(error).at(table));
        }
        Err(error) => return Err(error.at(table)),
    };
    let text = match row {
        Some(row) => session.column::<Vec<u8>>(&row, 1)?.and_then(readable),
        None => None,
    };
    text.ok_or_else(|| {
        Error::new(Kind::Bug, "SHOW CREATE TABLE shows nothing that can be read").at(table)
    })
}

/// Connections beside the first, for work on so many tables: at most `most` with it. A server that gives
/// fewer is asked on those.
async fn others(ctx: &Context, side: Side, most: usize, tables: usize) -> Result<Vec<Session>> {
    let mut others = Vec::new();
    for _ in 1..most.min(tables / FEW) {
        ctx.stop.check()?;
        let opened = match side {
            Side::Source => ctx.source().await,
            Side::Target => ctx.target().await,
        };
        match opened {
            Ok(session) => others.push(session),
            Err(error) => {
                tracing::info!(%error, "one connection fewer for definitions and tables");
                break;
            }
        }
    }
    Ok(others)
}

/// The definitions of tables, in their order, asked for on several connections.
async fn definitions(
    ctx: &Context,
    sessions: impl Iterator<Item = &mut Session>,
    names: &[&TableName],
) -> Result<Vec<String>> {
    let queue = Mutex::new(names.iter().enumerate());
    // Each ends what it has begun, whatever becomes of the others.
    let answers = join_all(sessions.map(|session| ask(ctx, session, &queue))).await;
    let mut definitions = vec![String::new(); names.len()];
    for answers in answers {
        for (at, text) in answers? {
            definitions[at] = text;
        }
    }
    Ok(definitions)
}

/// Reads the definition of each table that this migration made on the target, and lets `judge` see what
/// is remembered of it and what was found.
pub(crate) async fn each_definition(
    ctx: &Context,
    target: &mut Session,
    tables: &BTreeMap<TableName, Remembered>,
    judge: impl Fn(&Session, &TableName, &Remembered, &CreateTable) -> Result<()>,
) -> Result<()> {
    let mut askers = others(ctx, Side::Target, ASKERS, tables.len()).await?;
    for session in &mut askers {
        settle_reader(session).await?;
    }
    let names: Vec<&TableName> = tables.keys().collect();
    for names in names.chunks(HELD) {
        let sessions = std::iter::once(&mut *target).chain(&mut askers);
        let texts = definitions(ctx, sessions, names).await?;
        for (name, text) in names.iter().zip(texts) {
            judge(target, name, &tables[*name], &CreateTable::parse(&text)?)?;
        }
    }
    for session in askers {
        session.close().await;
    }
    Ok(())
}

async fn ask(
    ctx: &Context,
    session: &mut Session,
    queue: &Mutex<std::iter::Enumerate<std::slice::Iter<'_, &TableName>>>,
) -> Result<Vec<(usize, String)>> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut answers = Vec::new();
    while let Some((at, name)) = next() {
        ctx.stop.check()?;
        answers.push((at, definition(session, name).await?));
    }
    Ok(answers)
}

/// A definition in the form in which source and target can be compared: whole between servers of one
/// series, without what each prints in its own words otherwise.
pub(crate) fn comparable(ctx: &Context, target: &Session, table: &CreateTable) -> String {
    let source = ctx.plan().map(|plan| Dialect::read(&plan.fingerprint.version, None));
    match source {
        Ok(source) if !source.same_series(target.dialect()) => {
            table.normalised_loosely(target.dialect())
        }
        _ => table.normalised(target.dialect()),
    }
}

/// A digest of a definition: equal digests, equal tables.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the target demands of definitions.
pub(crate) async fn adaptation(target: &mut Session) -> Result<Adaptation> {
    let mut refused = BTreeSet::new();
    let disabled = target.variable("disabled_storage_engines").await?.unwrap_or_default();
    for engine in disabled.split(',').map(str::trim).filter(|engine| !engine.is_empty()) {
        refused.insert(engine.to_ascii_lowercase());
    }
    if target.dialect().aurora.is_some() {
        refused.extend(["myisam", "archive", "federated", "blackhole"].map(String::from));
    }
    if !refused.is_empty() {
        // Meant for InnoDB alone, though these can't be disabled: a chunk that fails half-way stays in them.
        refused.extend(["memory", "csv"].map(String::from));
    }
    // MariaDB's way to refuse every engine but one.
    let enforced = target.variable("enforce_storage_engine").await?.unwrap_or_default();
    let mut engines = BTreeSet::new();
    for row in target
        .rows("SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')")
        .await?
    {
        let engine: String = target.field(&row, "ENGINE")?;
        if enforced.is_empty() || engine.eq_ignore_ascii_case(&enforced) {
            engines.insert(engine.to_ascii_lowercase());
        }
    }
    Ok(Adaptation {
        refused_engines: refused,
        engines: Some(engines),
        to: Some(target.dialect().clone()),
    })
}

/// The base tables that databases of a server hold.
pub(crate) async fn base_tables(
    session: &mut Session,
    databases: &BTreeSet<String>,
) -> Result<BTreeSet<TableName>> {
    tables_where(session, databases, "TABLE_TYPE = 'BASE TABLE'").await
}

/// Base tables, views and whatever else takes a table's name.
pub(crate) async fn relations(
    session: &mut Session,
    databases: &BTreeSet<String>,
) -> Result<BTreeSet<TableName>> {
    tables_where(session, databases, "TRUE").await
}

async fn tables_where(
    session: &mut Session,
    databases: &BTreeSet<String>,
    condition: &str,
) -> Result<BTreeSet<TableName>> {
    let mut tables = BTreeSet::new();
    if databases.is_empty() {
        return Ok(tables);
    }
    let names: Vec<String> = databases.iter().map(|name| crate::mysql::quote_text(name)).collect();
    let rows = session
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE {condition} AND TABLE_SCHEMA IN ({})",
            names.join(", ")
        ))
        .await?;
    for row in rows {
        tables.insert(TableName::new(
            session.field::<String>(&row, "TABLE_SCHEMA")?,
            session.field::<String>(&row, "TABLE_NAME")?,
        ));
    }
    Ok(tables)
}

/// The names of a server's databases.
pub(crate) async fn databases(session: &mut Session) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for row in session.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await? {
        names.insert(session.field::<String>(&row, "SCHEMA_NAME")?);
    }
    Ok(names)
}

/// Makes sure that every table of the catalog is on the target with the source's *current*
/// definition, and none that the source no longer has. Returns those that were made (again), by their
/// names on the target, which are empty.
///
/// Tables are made without foreign keys, and without secondary keys unless they are small; with all once
/// the step `indexes` is done. A table that is right is left alone, its rows with it.
///
/// # Errors
/// `Blocked` when the target has a table of that name that this migration didn't make;
/// `SnapshotLost` when a table of the catalog is gone from the source.
pub async fn bring_in_line(
    ctx: &Context,
    source: &mut Session,
    target: &mut Session,
    catalog: &Catalog,
) -> Result<Vec<TableName>> {
    let mode: String = target.scalar("SELECT @@SESSION.sql_mode").await?.unwrap_or_default();
    settle_reader(source).await?;
    settle_writer(target).await?;
    let selection = selection(ctx);
    let there = catalog.on_target(&selection);
    let names: BTreeSet<String> = there.databases.iter().map(|db| db.name.clone()).collect();
    let plan = ctx.plan()?;
    let migration = plan.migration.as_str();
    register::enter(ctx, target, &names).await?;
    remembered::create(target).await?;
    create_databases(target, migration, &there).await?;
    let remembered = remembered::read(target, migration).await?.tables;
    let existing = relations(target, &names).await?;
    let adaptation = adaptation(target).await?;
    let is_done = |step: &str| {
        matches!(ctx.journal.state().step(step), Some(StepPhase::Finished | StepPhase::Verified))
    };
    let whole = is_done("indexes");
    if !is_done("objects") {
        objects::remember(ctx, source, target).await?;
    }
    let ledger = Ledger::of(migration);
    ledger.create(target).await?;

    let mut wanted = Vec::new();
    let mut askers = others(ctx, Side::Source, ASKERS, catalog.tables.len()).await?;
    for session in &mut askers {
        settle_reader(session).await?;
    }
    for tables in catalog.tables.chunks(HELD) {
        let names: Vec<&TableName> = tables.iter().map(|table| &table.name).collect();
        let sessions = std::iter::once(&mut *source).chain(&mut askers);
        let texts = definitions(ctx, sessions, &names).await?;
        for (table, text) in tables.iter().zip(texts) {
            let parsed = CreateTable::parse(&text).map_err(|error| error.at(&table.name))?;
            let mut parsed = parsed.without_columns(&selection.columns_left(&table.name));
            let hash = digest(&parsed.normalised(source.dialect()));
            let name = &selection.table_on_target(&table.name);
            if existing.contains(name) {
                match remembered.get(name) {
                    None => return Err(foreign(name, target)),
                    Some(known) if known.hash == hash => continue,
                    Some(known) if known.hash.is_empty() => {}
                    Some(_) => ctx.events.info(format!(
                        "{name} changed at the source since it was made: it is made anew, and its rows copied"
                    )),
                }
            }
            let notes = parsed.adapt(source.dialect(), &adaptation);
            parsed.refer(|database| selection.database_on_target(database));
            wanted.push((table, name.clone(), hash, parsed, notes));
        }
    }
    for session in askers {
        session.close().await;
    }

    let gone: Vec<&TableName> =
        remembered.keys().filter(|name| there.table(name).is_none()).collect();
    for name in gone {
        ctx.events.info(format!("{name} is gone from the source: dropped on the target"));
        ledger.forget(target, name).await?;
        drop_table(target, name).await?;
        remembered::forget(target, migration, name).await?;
    }

    let copied = ledger.tables(target).await?;
    let made: Vec<Making> = wanted
        .into_iter()
        .map(|(table, name, hash, parsed, notes)| {
            for note in notes {
                ctx.events.warn(format!("{name}: {note}"));
            }
            let definition = parsed.sql(&name.database);
            let sql = match whole {
                true => definition.clone(),
                false if table.data_bytes < SMALL => {
                    parsed.without_foreign_keys().sql(&name.database)
                }
                false => parsed.without_secondary().sql(&name.database),
            };
            // Also one that isn't seen yet: the server may still be at work for a process that is dead.
            let drop = existing.contains(&name) || remembered.contains_key(&name);
            Making { name, hash, definition, sql, drop }
        })
        .collect();
    let progress =
        Progress { total: made.len(), done: AtomicUsize::new(0), failed: AtomicBool::new(false) };
    // Foreign keys, which are there once the tables are whole, lock other tables.
    let most = if whole { 1 } else { ctx.config.copy.threads.max(MAKERS) };
    let mut makers = others(ctx, Side::Target, most, made.len()).await?;
    for session in &mut makers {
        settle_writer(session).await?;
    }
    for batch in made.chunks(TOGETHER) {
        // Remembered as begun, and only then made: a table that a kill leaves is known as ours.
        let begun: Vec<_> =
            batch.iter().map(|table| (&table.name, table.definition.as_str())).collect();
        remembered::begin(target, migration, &begun).await?;
        // A kill may come before the caller knows that the rows are gone.
        for table in batch.iter().filter(|table| copied.contains(&table.name)) {
            ledger.forget(target, &table.name).await?;
        }
        let queue = Mutex::new(batch.iter());
        let sessions = std::iter::once(&mut *target).chain(&mut makers);
        // Each ends what it has begun, whatever becomes of the others.
        let ends =
            join_all(sessions.map(|session| make_all(ctx, session, &queue, &progress))).await;
        let end: Result<()> = ends.into_iter().collect();
        // What wasn't there and wasn't begun is nobody's: somebody may make it by hand now.
        let left = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        for table in left.filter(|table| !table.drop) {
            if let Err(error) = remembered::forget(target, migration, &table.name).await {
                tracing::debug!(%error, "a table that wasn't made stays remembered");
                break;
            }
        }
        end?;
        let finished: Vec<_> = batch
            .iter()
            .map(|table| (&table.name, table.hash.as_str(), table.definition.as_str()))
            .collect();
        remembered::finish(target, migration, &finished).await?;
    }
    for session in makers {
        session.close().await;
    }
    if !made.is_empty() {
        progress.tell(ctx, String::new());
    }
    target.execute(format!("SET SESSION sql_mode = '{mode}'")).await?;
    Ok(made.into_iter().map(|table| table.name).collect())
}

/// A table that is about to be made.
struct Making {
    name: TableName,
    /// The digest of the source's definition.
    hash: String,
    /// What makes it as it shall be in the end, and what makes it for now.
    definition: String,
    sql: String,
    /// Something of that name may be there.
    drop: bool,
}

/// How many tables are made, and whether one couldn't be.
struct Progress {
    total: usize,
    done: AtomicUsize,
    failed: AtomicBool,
}

impl Progress {
    fn tell(&self, ctx: &Context, now: String) {
        ctx.events.send(Event::Progress {
            task: STEP.to_string(),
            now,
            done: self.done.load(Ordering::Relaxed) as u64,
            total: Some(self.total as u64),
            unit: Unit::Tables,
            bytes: 0,
        });
    }
}

/// Makes tables until there are no more, or one can't be made.
async fn make_all(
    ctx: &Context,
    session: &mut Session,
    queue: &Mutex<std::slice::Iter<'_, Making>>,
    progress: &Progress,
) -> Result<()> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    while !progress.failed.load(Ordering::Relaxed) {
        ctx.stop.check()?;
        let Some(table) = next() else { break };
        progress.tell(ctx, table.name.to_string());
        let made = async {
            if table.drop {
                drop_table(session, &table.name).await?;
            }
            make(ctx, session, &table.name, &table.sql).await
        };
        if let Err(error) = made.await {
            progress.failed.store(true, Ordering::Relaxed);
            return Err(error);
        }
        progress.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn foreign(name: &TableName, target: &Session) -> Error {
    Error::new(Kind::Blocked, "the target has a table of this name that this migration didn't make")
        .at(name)
        .at(target.place())
        .next(format!("drop or rename {name} on the target, or leave it out with [select] exclude"))
}

/// Creates databases that the target lacks, with the source's character set and collation.
async fn create_databases(target: &mut Session, migration: &str, catalog: &Catalog) -> Result<()> {
    let there = databases(target).await?;
    for database in &catalog.databases {
        if there.contains(&database.name) {
            continue;
        }
        remembered::begin_database(target, migration, &database.name).await?;
        target
            .execute(format!(
                "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {} COLLATE {}",
                quote(&database.name),
                word(&database.charset)?,
                word(&database.collation)?,
            ))
            .await
            .map_err(|error| error.at(&database.name))?;
    }
    Ok(())
}

/// The name of a character set or collation, which stands bare in SQL.
pub(crate) fn word(name: &str) -> Result<&str> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(name)
    } else {
        Err(Error::new(Kind::Unsupported, format!("{name:?} is no name of a character set")))
    }
}

async fn drop_table(target: &mut Session, name: &TableName) -> Result<()> {
    target
        .execute(format!("DROP TABLE IF EXISTS {}", name.sql()))
        .await
        .map_err(|error| error.at(name))?;
    Ok(())
}

async fn make(ctx: &Context, target: &mut Session, name: &TableName, sql: &str) -> Result<()> {
    let Err(error) = target.execute(sql).await else { return Ok(()) };
    // A definition that an older or laxer server took: rows too long, formats that don't fit.
    if matches!(error.code(), Some(1118 | 1031 | 1478))
        && try_set(target, "innodb_strict_mode", "OFF").await?
    {
        let again = target.execute(sql).await;
        try_set(target, "innodb_strict_mode", "ON").await?;
        if again.is_ok() {
            return Ok(());
        }
    }
    let next = match error.code() {
        Some(1050) => {
            remembered::forget(target, &ctx.plan()?.migration, name).await?;
            return Err(foreign(name, target));
        }
        Some(1273 | 1115) => Some(
            "the target doesn't know that character set or collation: convert the column at the \
             source first, or choose a newer target",
        ),
        Some(3750) => Some(
            "the target demands a primary key (sql_require_primary_key): set it to OFF in the \
             target's parameter group, or give the table a primary key at the source",
        ),
        Some(1291) => Some(
            "its collation holds members of an ENUM or SET for equal, which only a server that isn't strict takes: \
             ALTER TABLE at the source so that they differ, or give the column a binary collation",
        ),
        Some(3185) => Some(
            "the target has no keyring for ENCRYPTION='Y': ALTER TABLE ... ENCRYPTION='N' at the \
             source (Aurora encrypts the whole storage)",
        ),
        Some(1118 | 1031 | 1478) => {
            Some("set innodb_strict_mode to OFF in the target's parameter group while it is loaded")
        }
        _ => None,
    };
    let error = error.at(name);
    Err(match next {
        Some(next) => error.next(next),
        None => error,
    })
}

/// The tables that this migration made on the target, with what is remembered of each.
pub async fn created(
    ctx: &Context,
    target: &mut Session,
) -> Result<BTreeMap<TableName, Remembered>> {
    Ok(remembered::read(target, &ctx.plan()?.migration).await?.tables)
}
