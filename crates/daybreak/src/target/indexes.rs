//! The step `indexes`: the secondary keys and foreign keys that the tables were made without.
//!
//! Builds from the definitions that were remembered when the tables were made, not from the source,
//! which may have changed since: such changes follow by replication. Adds only what a table lacks,
//! and only to tables that this migration made.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::{
    ddl::{Clause, CreateTable, LeftOut},
    schema::{
        comparable, created, different, each_definition, selection, settle_reader, settle_writer,
        try_set,
    },
};
use crate::{
    engine::{Context, Finding, Step},
    error::{Error, Kind, Result},
    event::{Event, Unit},
    mysql::{Reference, Session, TableName, quote, quote_text},
};

const STEP: &str = "indexes";

/// Builds secondary keys, then foreign keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildIndexes;

/// A table and what belongs on it.
struct Work {
    name: TableName,
    left: LeftOut,
    bytes: u64,
}

/// The names of keys and foreign keys that a table has.
#[derive(Debug, Default)]
struct Present {
    keys: BTreeSet<String>,
    foreign_keys: BTreeSet<String>,
}

#[async_trait]
impl Step for BuildIndexes {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "build the secondary keys, then the foreign keys"
    }

    fn rollback(&self) -> &'static str {
        "drop the foreign keys and secondary keys that were added"
    }

    async fn check(&self, _ctx: &Context) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn run(&self, ctx: &Context) -> Result<()> {
        let mut target = ctx.target().await?;
        let work = work(ctx, &mut target).await?;
        // In bulk: asked for table by table, 100,000 tables would take a day.
        let present = present(&mut target, &work).await?;
        // The tables are ours as a whole: that keys are being added is all there is to remember.
        let tables: Vec<String> = work.iter().map(|work| work.name.to_string()).collect();
        ctx.journal.record(STEP, "building", &tables)?;
        target.close().await;

        let total = work.len() as u64;
        let done = AtomicU64::new(0);
        let threads = ctx.config.copy.threads.min(work.len()).max(1);
        let foreign: Vec<(TableName, Vec<Clause>)> = work
            .iter()
            .filter(|work| !work.left.foreign_keys.is_empty())
            .map(|work| (work.name.clone(), work.left.foreign_keys.clone()))
            .collect();
        let queue = Mutex::new(VecDeque::from(work));
        let builders = (0..threads).map(|_| build(ctx, &queue, &present, &done, total, threads));
        try_join_all(builders).await?;

        // One after the other: each of them locks two tables.
        let mut target = builder_session(ctx, threads).await?;
        for (name, clauses) in foreign {
            add(ctx, &mut target, &name, &clauses, &present, true).await?;
        }
        refuse_orphans(ctx, &mut target).await?;
        progress(ctx, String::new(), total, total);
        target.close().await;
        Ok(())
    }

    async fn verify(&self, ctx: &Context) -> Result<()> {
        let mut target = ctx.target().await?;
        settle_reader(&mut target).await?;
        let created = created(ctx, &mut target).await?;
        each_definition(ctx, &mut target, &created, |target, name, remembered, found| {
            let wanted = comparable(ctx, target, &CreateTable::parse(&remembered.definition)?);
            let found = comparable(ctx, target, found);
            match wanted == found {
                true => Ok(()),
                false => Err(different(name, &wanted, &found).at(target.place())),
            }
        })
        .await?;
        target.close().await;
        Ok(())
    }

    async fn undo(&self, ctx: &Context) -> Result<()> {
        let mut target = ctx.target().await?;
        settle_writer(&mut target).await?;
        let work = work(ctx, &mut target).await?;
        let present = present(&mut target, &work).await?;
        let dropped = |name: &TableName, clauses: Vec<String>| {
            format!("ALTER TABLE {} {}", name.sql(), clauses.join(", "))
        };
        for foreign in [true, false] {
            for work in &work {
                let Some(present) = present.get(&work.name) else { continue };
                let clauses: Vec<String> = if foreign {
                    let ours = work.left.foreign_keys.iter();
                    ours.filter(|clause| present.foreign_keys.contains(&clause.name))
                        .map(|clause| format!("DROP FOREIGN KEY {}", quote(&clause.name)))
                        .collect()
                } else {
                    let ours = work.left.keys.iter().flatten();
                    ours.filter(|clause| present.keys.contains(&clause.name))
                        .map(|clause| format!("DROP KEY {}", quote(&clause.name)))
                        .collect()
                };
                if !clauses.is_empty() {
                    target
                        .execute(dropped(&work.name, clauses))
                        .await
                        .map_err(|error| error.at(&work.name))?;
                }
            }
        }
        target.close().await;
        Ok(())
    }
}

fn progress(ctx: &Context, now: String, done: u64, total: u64) {
    ctx.events.send(Event::Progress {
        task: STEP.to_string(),
        now,
        done,
        total: Some(total),
        unit: Unit::Tables,
        bytes: 0,
    });
}

/// What belongs on the tables that this migration made, largest table first.
async fn work(ctx: &Context, target: &mut Session) -> Result<Vec<Work>> {
    let mut sizes = BTreeMap::new();
    let created = created(ctx, target).await?;
    let databases: BTreeSet<String> =
        created.keys().map(|name| quote_text(&name.database)).collect();
    if databases.is_empty() {
        return Ok(Vec::new());
    }
    try_set(target, "information_schema_stats_expiry", "0").await?;
    let databases: Vec<String> = databases.into_iter().collect();
    for row in target
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(DATA_LENGTH, 0) AS DATA_LENGTH \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
            databases.join(", ")
        ))
        .await?
    {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        sizes.insert(name, target.field::<u64>(&row, "DATA_LENGTH")?);
    }
    let mut work = Vec::new();
    for (name, remembered) in created {
        let left = CreateTable::parse(&remembered.definition)?.left_out();
        let bytes = sizes.get(&name).copied().unwrap_or(0);
        work.push(Work { name, left, bytes });
    }
    work.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(work)
}

/// The keys that tables have, read in bulk.
async fn present(target: &mut Session, work: &[Work]) -> Result<BTreeMap<TableName, Present>> {
    let databases: BTreeSet<&str> = work.iter().map(|work| work.name.database.as_str()).collect();
    if databases.is_empty() {
        return Ok(BTreeMap::new());
    }
    let databases: Vec<String> = databases.into_iter().map(quote_text).collect();
    present_where(target, &format!("TABLE_SCHEMA IN ({})", databases.join(", "))).await
}

async fn present_where(
    target: &mut Session,
    condition: &str,
) -> Result<BTreeMap<TableName, Present>> {
    let mut all: BTreeMap<TableName, Present> = BTreeMap::new();
    for row in target
        .rows(format!(
            "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME \
             FROM information_schema.STATISTICS WHERE {condition}"
        ))
        .await?
    {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        all.entry(name).or_default().keys.insert(target.field(&row, "INDEX_NAME")?);
    }
    for row in target
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME \
             FROM information_schema.TABLE_CONSTRAINTS \
             WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' AND {condition}"
        ))
        .await?
    {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        all.entry(name).or_default().foreign_keys.insert(target.field(&row, "CONSTRAINT_NAME")?);
    }
    Ok(all)
}

/// The keys of one table.
async fn present_on(target: &mut Session, name: &TableName) -> Result<Present> {
    let (database, table) = (quote_text(&name.database), quote_text(&name.name));
    let condition = format!("TABLE_SCHEMA = {database} AND TABLE_NAME = {table}");
    Ok(present_where(target, &condition).await?.remove(name).unwrap_or_default())
}

async fn builder_session(ctx: &Context, threads: usize) -> Result<Session> {
    let mut session = ctx.target().await?;
    settle_writer(&mut session).await?;
    // MySQL 8.0.27+: 1 MiB by default, which is little for sorting. Modest, since all builders have it.
    let buffer = (128 / threads.max(1)).clamp(8, 64) * 1_048_576;
    try_set(&mut session, "innodb_ddl_buffer_size", &buffer.to_string()).await?;
    try_set(&mut session, "innodb_ddl_threads", if threads > 2 { "2" } else { "4" }).await?;
    Ok(session)
}

/// Looks whether foreign keys hold whose parents' rows a condition left out: added without being
/// checked, they need not. Those of other tables hold as they do at the source.
pub(super) async fn refuse_orphans(ctx: &Context, target: &mut Session) -> Result<()> {
    let selection = selection(ctx);
    let filtered =
        selection.filters.iter().map(|filter| selection.table_on_target(&filter.table)).collect();
    for key in Reference::to(target, &filtered).await? {
        ctx.stop.check()?;
        if key.has_orphans(target, &key.child.sql(), &key.parent.sql()).await? {
            return Err(Error::new(
                Kind::Different,
                "rows refer to rows that a condition left out: the foreign key doesn't hold",
            )
            .at(&key)
            .at(target.place())
            .next(
                "`daybreak undo` takes the copy back; then give the table that refers a condition as well, \
                 or drop the key at the source",
            ));
        }
    }
    Ok(())
}

/// Takes tables from the queue until it is empty.
async fn build(
    ctx: &Context,
    queue: &Mutex<VecDeque<Work>>,
    present: &BTreeMap<TableName, Present>,
    done: &AtomicU64,
    total: u64,
    threads: usize,
) -> Result<()> {
    let mut session = builder_session(ctx, threads).await?;
    loop {
        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        let Some(work) = next else { break };
        progress(ctx, work.name.to_string(), done.load(Ordering::Relaxed), total);
        for clauses in &work.left.keys {
            add(ctx, &mut session, &work.name, clauses, present, false).await?;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(ctx, work.name.to_string(), done, total);
    }
    session.close().await;
    Ok(())
}

/// Adds those of some keys that the table lacks. `present` is what tables had to begin with.
async fn add(
    ctx: &Context,
    session: &mut Session,
    name: &TableName,
    clauses: &[Clause],
    present: &BTreeMap<TableName, Present>,
    foreign: bool,
) -> Result<()> {
    let mut attempts = 0;
    let (none, mut seen) = (Present::default(), None);
    loop {
        ctx.stop.check()?;
        let present = seen.as_ref().or(present.get(name)).unwrap_or(&none);
        let there = if foreign { &present.foreign_keys } else { &present.keys };
        let lacking: Vec<&Clause> =
            clauses.iter().filter(|clause| !there.contains(&clause.name)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let list: Vec<&str> = lacking.iter().map(|clause| clause.sql.as_str()).collect();
        let sql = format!("ALTER TABLE {} {}", name.sql(), list.join(", "));
        let Err(error) = interruptible(ctx, session, &sql).await else { return Ok(()) };
        attempts += 1;
        // The server had been at work on it still, for a process that died: look again.
        if matches!(error.code(), Some(1061 | 1826 | 1022)) && attempts < 3 {
            seen = Some(present_on(session, name).await?);
            continue;
        }
        return Err(explain(error, name, &lacking));
    }
}

/// Runs a long statement, and kills it when a stop is asked for.
async fn interruptible(ctx: &Context, session: &mut Session, sql: &str) -> Result<()> {
    let id = session.id();
    let mut running = std::pin::pin!(session.execute(sql));
    tokio::select! {
        result = &mut running => { result?; }
        () = ctx.stop.stopped() => {
            // If it can't be killed it is waited for: the server would go on with it anyway.
            if let Ok(mut killer) = ctx.target().await {
                if let Err(error) = killer.execute(format!("KILL QUERY {id}")).await {
                    ctx.events.detail(format!("an index build could not be interrupted: {error}"));
                }
                killer.close().await;
            }
            let result = running.await;
            ctx.stop.check()?;
            result?;
        }
    }
    Ok(())
}

/// Names what was being built, and what helps.
fn explain(error: Error, name: &TableName, clauses: &[&Clause]) -> Error {
    let names: Vec<&str> = clauses.iter().map(|clause| clause.name.as_str()).collect();
    let place = format!("{name}, keys {}", names.join(", "));
    let next = match error.code() {
        Some(1062 | 1586 | 1569) => Some(
            "the rows on the target hold equal keys where the source has none: the copy isn't exact, \
             or a collation differs; `daybreak undo --to schema`, then copy again",
        ),
        Some(1021 | 1041 | 1114 | 1878 | 3 | 28) => Some(
            "free space on the target, its temporary directory (innodb_tmpdir, tmpdir) included, \
             then `daybreak resume`",
        ),
        Some(1206) => Some("raise innodb_buffer_pool_size on the target, then `daybreak resume`"),
        Some(1799) => Some("raise innodb_online_alter_log_max_size, then `daybreak resume`"),
        Some(6125 | 1822) => Some(
            "the foreign key points to columns without a unique key: set \
             restrict_fk_on_non_standard_key to OFF in the target's parameter group, or make the key \
             unique at the source",
        ),
        _ => None,
    };
    let kind = if matches!(error.code(), Some(1062 | 1586 | 1569)) {
        Kind::Different
    } else {
        error.kind()
    };
    let code = error.code();
    let mut explained =
        Error::new(kind, "a key could not be built").because(error.causes().join(": "));
    explained = explained.at(place);
    if let Some(server) = error.place() {
        explained = explained.at(server);
    }
    if let Some(code) = code {
        explained = explained.with_code(code);
    }
    match next {
        Some(next) => explained.next(next),
        None => explained,
    }
}
