//! The step `indexes`: the secondary keys and foreign keys that the tables were made without.
//!
//! Builds from the definitions that were remembered when the tables were made, not from the source,
//! which may have changed since: such changes follow by replication. Adds only what a table lacks,
//! and only to tables that this migration made. What a table may have before the rows of others are in, the
//! copy has built already (`target/rows/early`), by the same hands (`build`).

mod build;
mod present;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

pub(crate) use build::{Builder, Share, drop_keys, end_left_behind};
pub(crate) use present::{Present, present};

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

/// The step's name.
pub(crate) const STEP: &str = "indexes";

/// Builds secondary keys, then foreign keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildIndexes;

/// A table and what belongs on it.
struct Work {
    name: TableName,
    left: LeftOut,
    bytes: u64,
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
        let present = present(&mut target, databases(&work)).await?;
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
        let mut builder = open(ctx, threads).await?;
        for (name, clauses) in foreign {
            builder.add(&name, &clauses, present.get(&name), true).await?;
        }
        refuse_orphans(ctx, builder.session()).await?;
        progress(ctx, String::new(), total, total);
        builder.close().await;
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
        // What comes after it was looked for would stay.
        end_left_behind(ctx, &mut target).await?;
        let work = work(ctx, &mut target).await?;
        let present = present(&mut target, databases(&work)).await?;
        for foreign in [true, false] {
            for work in &work {
                let Some(present) = present.get(&work.name) else { continue };
                if foreign {
                    let ours = work.left.foreign_keys.iter();
                    let clauses: Vec<String> = ours
                        .filter(|clause| present.foreign_keys.contains(&clause.name))
                        .map(|clause| format!("DROP FOREIGN KEY {}", quote(&clause.name)))
                        .collect();
                    build::alter(&mut target, &work.name, &clauses).await?;
                } else {
                    let ours = work.left.keys.iter().flatten().map(|clause| clause.name.as_str());
                    let keys: Vec<&str> = ours.filter(|key| present.keys.contains(*key)).collect();
                    drop_keys(&mut target, &work.name, &keys).await?;
                }
            }
        }
        target.close().await;
        Ok(())
    }
}

/// A builder that only the word to stop ends.
async fn open(ctx: &Context, threads: usize) -> Result<Builder<'_>> {
    Builder::open(ctx, Share::All(threads), CancellationToken::new()).await
}

fn databases(work: &[Work]) -> BTreeSet<&str> {
    work.iter().map(|work| work.name.database.as_str()).collect()
}

/// Tells how many tables have all their keys.
pub(crate) fn progress(ctx: &Context, now: String, done: u64, total: u64) {
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
    let mut builder = open(ctx, threads).await?;
    loop {
        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        let Some(work) = next else { break };
        progress(ctx, work.name.to_string(), done.load(Ordering::Relaxed), total);
        for clauses in &work.left.keys {
            builder.add(&work.name, clauses, present.get(&work.name), false).await?;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(ctx, work.name.to_string(), done, total);
    }
    builder.close().await;
    Ok(())
}
