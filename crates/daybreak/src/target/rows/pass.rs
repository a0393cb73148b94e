//! One pass over all tables from one snapshot: what the ledger has is kept, proved or replaced, what
//! it lacks is copied.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Doing, METRIC, Progress, STEP, by_table,
    early::{self, Early},
    governor::{Governor, Loaders},
    ledger_of,
    queue::{Planner, TableWork, is_sound},
    readers::Readers,
    worker::{Shared, Worker, loader},
};
use crate::{
    engine::{Context, StepPhase},
    error::{Error, Kind, Result},
    mysql::{Catalog, ChunkKey, KeyRange, Session, TableName, quote_text},
    source::snapshot::{Snapshot, SnapshotRequest},
    target::{
        indexes,
        ledger::{Ledger, SnapshotId},
        schema,
    },
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Every how many times it is noted for the report as well.
const NOTE_EVERY: u32 = 5;

/// How long workers may take to end in good order after a failure elsewhere.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Takes a snapshot and makes the target as it is.
pub(super) async fn run(context: &Context, doing: Doing) -> Result<()> {
    let threads = context.config.copy.threads.max(1);
    // The target first: writers aren't locked out for a snapshot that nobody could take.
    let url = context.target_url()?;
    let mut target = loader(&url).await?;
    indexes::end_left_behind(context, &mut target).await?;
    let loaders = Loaders::of(&context.config.copy);
    let mut sure = try_join_all((0..loaders.sure()).map(|_| loader(&url))).await?.into_iter();
    let snapshot = {
        let mut held = context.write_lock.lock().await;
        Snapshot::take(SnapshotRequest {
            url: &context.config.source,
            selection: &context.config.select,
            // One for the planner.
            sessions: threads + 1,
            copy: &context.config.copy,
            events: &context.events,
            held: held.as_mut(),
        })
        .await?
    };
    let Snapshot { mut sessions, record, catalog, backup_lock, mut created } = snapshot;
    context.journal.record(&step_at_work(context), "snapshot", &record)?;
    context.journal.measure("snapshot_stall_millis", record.stall_millis)?;
    context.events.detail(format!(
        "the snapshot is of {}; writes were kept out for {:.1} ms",
        record.coordinates, record.stall_millis
    ));
    let snapshot_id = SnapshotId::of(&record.coordinates, &record.taken_at.to_string());

    let there = catalog.on_target(&context.config.select);
    note_tables(context, there.tables.iter().map(|table| &table.name))?;
    let ledger = ledger_of(context)?;
    ledger.create(&mut target).await?;
    let pass = ledger.begin_pass(&mut target).await?;
    let mut source = context.source().await?;
    let recreated = schema::bring_in_line(context, &mut source, &mut target, &catalog).await?;
    source.without_limits().await?;
    for table in &recreated {
        ledger.forget(&mut target, table).await?;
    }

    let total = catalog.tables.iter().map(|table| table.rows_estimate).sum();
    let mut chunks = by_table(ledger.read(&mut target).await?);
    let with_triggers = tables_with_triggers(&mut target).await?;
    // Later steps, which find the copy outdated, clear what changed before they fill.
    let mut unique = match doing == Doing::Fill && step_at_work(context) == STEP {
        true => unique_keys(&mut target, &there).await?,
        false => HashMap::new(),
    };
    drop(there);
    let mut works = Vec::with_capacity(catalog.tables.len());
    for table in catalog.tables {
        let on_target = table.on_target(context.config.select.table_on_target(&table.name));
        let mut known = chunks.remove(&on_target.name).unwrap_or_default();
        if !is_sound(&known, ChunkKey::of(&table).as_ref()) {
            context
                .events
                .detail(format!("{}: the ledger can't be used, all is copied", table.name));
            ledger.forget(&mut target, &on_target.name).await?;
            known.clear();
        }
        // A value that has moved from one chunk to another would be there twice while only one of them is
        // new: such a table is copied anew as a whole.
        let key = ChunkKey::of(&table).map(|key| key.index);
        let others = unique.remove(&on_target.name).unwrap_or_default();
        let collides = key.is_some() && others.iter().any(|name| Some(name) != key.as_ref());
        let whole = known.len() == 1 && known[0].range == KeyRange::all();
        if collides && !whole && known.iter().any(|chunk| chunk.snapshot != snapshot_id) {
            ledger.forget(&mut target, &on_target.name).await?;
            known.clear();
        }
        let mut work = TableWork::new(table, on_target, known)?;
        work.collides = collides;
        work.created = created.remove(&work.table.name);
        work.has_triggers = with_triggers.contains(&work.on_target.name);
        works.push(work);
    }
    forget_the_rest(context, &ledger, &mut target, chunks.into_keys().collect()).await?;
    // Later steps, which find the copy outdated, find all keys there.
    if doing == Doing::Fill && step_at_work(context) == STEP {
        early::arrange(context, &mut target, &mut works).await?;
    }
    let early = Arc::new(Early::new(&works));
    // The largest first: the last to end is what all wait for.
    works.sort_by_key(|work| std::cmp::Reverse(work.table.data_bytes));

    let planner_reader = sessions
        .pop()
        .ok_or_else(|| Error::new(Kind::Bug, "a snapshot came without connections"))?;
    let works = works.into_iter().map(Arc::new).collect();
    let halt = CancellationToken::new();
    let (governor, looking) = Governor::begin(context, loaders).await?;
    let shared = Arc::new(Shared {
        target: url,
        ledger,
        pass,
        snapshot: snapshot_id.clone(),
        readers: Readers::new(sessions),
        witness: tokio::sync::Mutex::new(source),
        journal: context.journal.clone(),
        progress: Progress::default(),
        events: context.events.clone(),
        doing,
        stop: context.stop.clone(),
        halt: halt.clone(),
        governor: governor.clone(),
        early: early.clone(),
    });
    let planner = Planner {
        reader: planner_reader,
        target,
        chunk_bytes: context.config.copy.chunk_bytes,
        snapshot: snapshot_id,
        journal: context.journal.clone(),
        events: context.events.clone(),
        doing,
        halt,
        early: early.clone(),
        group: Vec::new(),
        threads,
        left: 0,
    };
    let mut tasks = JoinSet::new();
    let (jobs, taken) = mpsc::channel(2 * threads);
    let taken = Arc::new(Mutex::new(taken));
    tasks.spawn(planner.run(works, jobs));
    for number in 0..loaders.most() {
        let worker = Worker::new(shared.clone(), number, sure.next());
        tasks.spawn(worker.run(taken.clone()));
    }
    drop(taken);
    let copying = async {
        let result = attend(context, &shared, tasks, total).await;
        early.end(context, result.is_err());
        let rows = shared.progress.rows.load(std::sync::atomic::Ordering::Relaxed);
        // The source keeps nothing for a snapshot any more while keys are waited for.
        drop((backup_lock, looking, shared));
        result.map(|()| rows)
    };
    let (rows, ()) = tokio::join!(copying, early.build(context, &governor));
    let rows = rows?;
    context.stop.check()?;
    if doing == Doing::Clear {
        return Ok(());
    }
    context.journal.measure("rows_copied", rows as f64)
}

/// Waits for all tasks. The first failure, or a stop, ends the others.
async fn attend(
    context: &Context,
    shared: &Shared,
    mut tasks: JoinSet<Result<()>>,
    total: u64,
) -> Result<()> {
    let mut first: Option<Error> = None;
    let mut tell = tokio::time::interval(TELL_EVERY);
    tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tokio::time::sleep(Duration::MAX);
    tokio::pin!(end);
    let mut told = 0;
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            _ = tell.tick() => {
                shared.progress.send(total, &context.events);
                if told % NOTE_EVERY == 0 {
                    note_progress(context, shared);
                }
                told += 1;
                continue;
            }
            () = context.stop.stopped(), if !shared.halt.is_cancelled() => {
                shared.halt.cancel();
                end.as_mut().reset(tokio::time::Instant::now() + END_LIMIT);
                continue;
            }
            () = &mut end => {
                // Connections that hang are cut; what they did isn't committed.
                tasks.abort_all();
                end.as_mut().reset(tokio::time::Instant::now() + END_LIMIT);
                continue;
            }
        };
        let failed = match ended {
            None => break,
            Some(Ok(Ok(()))) => continue,
            Some(Ok(Err(error))) => error,
            Some(Err(join)) if join.is_cancelled() => continue,
            Some(Err(join)) => Error::new(Kind::Bug, "a worker broke down").because(join),
        };
        if !shared.halt.is_cancelled() {
            shared.halt.cancel();
            end.as_mut().reset(tokio::time::Instant::now() + END_LIMIT);
        }
        // Being told to end is a consequence, never the cause.
        let told = failed.kind() == Kind::Interrupted;
        if first.as_ref().is_none_or(|first| first.kind() == Kind::Interrupted && !told) {
            first = Some(failed);
        }
    }
    shared.progress.send(total, &context.events);
    note_progress(context, shared);
    match first {
        Some(error) if error.kind() != Kind::Interrupted => Err(error),
        other => {
            context.stop.check()?;
            other.map_or(Ok(()), Err)
        }
    }
}

/// For the report's curve alone: the copy doesn't end for it.
fn note_progress(context: &Context, shared: &Shared) {
    let rows = shared.progress.rows.load(std::sync::atomic::Ordering::Relaxed);
    if let Err(error) = context.journal.measure(METRIC, rows as f64) {
        tracing::debug!(%error, "progress isn't noted");
    }
}

/// The step in whose name a snapshot is recorded: this one, or the one that found the copy outdated.
fn step_at_work(context: &Context) -> String {
    let state = context.journal.state();
    match (state.step(STEP), state.current()) {
        (Some(StepPhase::Started | StepPhase::Finished), _) | (_, None) => STEP.to_string(),
        (_, Some((step, _))) => step.to_string(),
    }
}

/// Writes down, before anything is done to them, which tables of the target will hold rows: what undo
/// empties and verification counts.
fn note_tables<'a>(context: &Context, tables: impl Iterator<Item = &'a TableName>) -> Result<()> {
    let now: Vec<TableName> = tables.cloned().collect();
    let noted: Option<Vec<TableName>> = context.journal.recall(STEP, "tables")?;
    // Later steps, which find the copy outdated, begin no tables: writes were stopped since.
    if noted.as_ref() != Some(&now) && step_at_work(context) == STEP {
        context.journal.record(STEP, "tables", &now)?;
    }
    Ok(())
}

/// Tables that the source no longer has: their lines go, so that nobody counts them. (Their rows are
/// the schema step's to drop.)
async fn forget_the_rest(
    context: &Context,
    ledger: &Ledger,
    target: &mut Session,
    tables: Vec<TableName>,
) -> Result<()> {
    for table in tables {
        context.events.warn(format!("{table} is gone from the source since it was copied"));
        ledger.forget(target, &table).await?;
    }
    Ok(())
}

async fn tables_with_triggers(target: &mut Session) -> Result<Vec<TableName>> {
    let rows = target
        .rows(
            "SELECT DISTINCT EVENT_OBJECT_SCHEMA AS D, EVENT_OBJECT_TABLE AS T \
             FROM information_schema.TRIGGERS",
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(TableName::new(target.field::<String>(row, "D")?, target.field::<String>(row, "T")?))
        })
        .collect()
}

/// The unique keys that tables on the target have.
async fn unique_keys(
    target: &mut Session,
    catalog: &Catalog,
) -> Result<HashMap<TableName, Vec<String>>> {
    let mut keys: HashMap<TableName, Vec<String>> = HashMap::new();
    let databases: Vec<String> =
        catalog.databases.iter().map(|database| quote_text(&database.name)).collect();
    if databases.is_empty() {
        return Ok(keys);
    }
    let rows = target
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME FROM information_schema.STATISTICS \
             WHERE NON_UNIQUE = 0 AND SEQ_IN_INDEX = 1 AND TABLE_SCHEMA IN ({})",
            databases.join(", ")
        ))
        .await?;
    for row in rows {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        keys.entry(name).or_default().push(target.field(&row, "INDEX_NAME")?);
    }
    Ok(keys)
}
