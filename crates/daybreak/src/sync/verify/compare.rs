//! The whole comparison: objects, definitions, and the rows of every table, in chunks on both sides
//! at once, largest table first.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    count, definitions,
    definitions::Definitions,
    fence, json,
    live::{self, Settled},
    means::{Means, Sums},
    report::{Difference, LISTED, TableVerdict, Verdict, VerifyReport},
    table::{self, By, Found, Pair, Work},
};
use crate::{
    config::{VerifyConfig, VerifyMode},
    engine::StopSignal,
    error::{Error, Result},
    event::{Event, Events, Unit},
    mysql::{Catalog, KeyRange, KeyTuple, ServerUrl, Session, Side},
    select::Selection,
};

/// Whether the sides may change while they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Nobody writes: a difference is one.
    Still,
    /// Replication runs: a difference is looked at again, and proven.
    Live,
    /// Live if the target is a replica that runs.
    Detect,
}

/// Compares both sides.
///
/// While replication runs, a table is equal once both sides agreed on each of its rows at some
/// moment, and different only if that was proven under a lock; what is neither within
/// `config.recheck` is reported as not compared.
///
/// # Errors
/// Whatever kept it from comparing. Differences are no error: see [`VerifyReport::is_equal`].
pub async fn compare(
    source: &ServerUrl,
    target: &ServerUrl,
    selection: &Selection,
    config: &VerifyConfig,
    liveness: Liveness,
    events: &Events,
    stop: &StopSignal,
) -> Result<VerifyReport> {
    let begun = Instant::now();
    let mut pair = Pair::open(source, target).await?;
    let live = match liveness {
        Liveness::Still => false,
        Liveness::Live => true,
        Liveness::Detect => live::is_replicating(&mut pair.target).await?,
    };
    if live {
        // The less is under way, the less must be looked at again.
        live::catch_up(&mut pair, stop).await?;
    }
    let ours = Catalog::read(&mut pair.source, selection).await?;
    let mut there = selection.on_target();
    if !live {
        // A target that follows has what its source has; another one may hold what is somebody else's.
        let taken = ours.databases.iter();
        there = there.within(taken.map(|database| selection.database_on_target(&database.name)));
    }
    let theirs = Catalog::read(&mut pair.target, &there).await?;
    let tables = Tables::new(&ours, &theirs, selection, &pair, config.mode)?;
    tables.first_pass(source, target, config, events, stop).await?;

    let mut report = VerifyReport {
        mode: config.mode,
        live,
        tables: Vec::new(),
        objects: Default::default(),
        definitions: Vec::new(),
        limits: Vec::new(),
        rechecked: 0,
        proven: 0,
        seconds: 0.0,
    };
    let Tables { works, states, refused, .. } = tables;
    let states = states.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.tables = refused;
    let until = Instant::now() + config.recheck;
    let mut rows = Pair::for_rows(source, target, config.mode).await?;
    for (work, mut state) in works.into_iter().zip(states) {
        state.found.settle_moves();
        let verdict = if live && !state.is_equal() {
            let mut again = Again { source, target, pair: &mut rows, until, stop };
            again.table(&work, state, config.mode, &mut report).await?
        } else {
            state.verdict(&work)
        };
        report.tables.push(verdict);
        if config.mode != VerifyMode::Count {
            report.limits.extend(json::limits(&mut pair, &work).await?);
        }
    }
    rows.close().await;
    report.tables.sort_by(|a, b| a.table.cmp(&b.table));
    compare_definitions(&mut pair, (selection, &there), stop, &mut report).await?;
    pair.close().await;
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

async fn compare_definitions(
    pair: &mut Pair,
    (here, there): (&Selection, &Selection),
    stop: &StopSignal,
    report: &mut VerifyReport,
) -> Result<()> {
    // DDL may be on its way to the target: a second look, once it has executed all.
    for last in [!report.live, true] {
        let (ours, theirs) = tokio::join!(
            Definitions::read(&mut pair.source, here),
            Definitions::read(&mut pair.target, there)
        );
        let (ours, theirs) = (ours?, theirs?);
        report.objects = definitions::count(&ours, &theirs);
        report.definitions = definitions::differences(&ours, &theirs);
        let alike = report.definitions.is_empty()
            && report
                .objects
                .values()
                .all(|count| count.only_on_source.is_empty() && count.only_on_target.is_empty());
        if last || alike {
            break;
        }
        live::catch_up(pair, stop).await?;
    }
    Ok(())
}

/// What is known of a table so far.
#[derive(Debug, Default)]
struct TableState {
    rows_source: u64,
    rows_target: u64,
    chunks: u64,
    found: Found,
}

impl TableState {
    fn is_equal(&self) -> bool {
        self.found.is_empty()
    }

    /// The verdict on what was found, taken as final.
    fn verdict(self, work: &Work) -> TableVerdict {
        let key = work.key();
        let mut differences: Vec<Difference> = key
            .map_or_else(Vec::new, |key| self.found.rows.iter().map(|r| r.describe(key)).collect());
        differences.extend(self.found.hashes);
        let more = differences.len().saturating_sub(LISTED) as u64 + self.found.beyond;
        let verdict = if differences.is_empty() && self.found.beyond == 0 {
            Verdict::Equal
        } else {
            Verdict::Different
        };
        differences.truncate(LISTED);
        TableVerdict {
            table: work.source.name.clone(),
            rows_source: self.rows_source,
            rows_target: self.rows_target,
            chunks: self.chunks,
            verdict,
            differences,
            more,
        }
    }
}

/// The tables to compare, and what is known of each.
struct Tables {
    works: Vec<Work>,
    states: Mutex<Vec<TableState>>,
    refused: Vec<TableVerdict>,
    rows: AtomicU64,
}

/// A piece of work.
struct Job {
    table: usize,
    range: KeyRange,
}

/// Cuts tables into ranges, one after the other, as workers ask for them. The first range of a table
/// is open at its beginning and the last at its end, so that rows that only the target has lie in one.
struct Cutter {
    session: Session,
    waiting: VecDeque<usize>,
    now: Option<(usize, Option<KeyTuple>)>,
    chunk_rows: u64,
    by_count: bool,
}

impl Cutter {
    async fn next(&mut self, works: &[Work]) -> Result<Option<Job>> {
        let (table, after) = match self.now.take() {
            Some(now) => now,
            None => match self.waiting.pop_front() {
                Some(table) => (table, None),
                None => return Ok(None),
            },
        };
        let work = &works[table];
        let mut range = KeyRange { after, up_to: None };
        if let (By::Ranges(key), false) = (&work.by, self.by_count)
            && let Some(end) =
                key.walk(&mut self.session, &work.source, &range, self.chunk_rows).await?
        {
            range.up_to = Some(end.clone());
            self.now = Some((table, Some(end)));
        }
        Ok(Some(Job { table, range }))
    }
}

impl Tables {
    fn new(
        ours: &Catalog,
        theirs: &Catalog,
        selection: &Selection,
        pair: &Pair,
        mode: VerifyMode,
    ) -> Result<Self> {
        let (mut works, mut refused) = (Vec::new(), Vec::new());
        for table in &ours.tables {
            let work = match theirs.table(&selection.table_on_target(&table.name)) {
                Some(target) => Work::new(table, target, pair, mode)?,
                None => Err("it isn't on the target".to_string()),
            };
            match work {
                Ok(work) => works.push(work),
                Err(why) => refused.push(TableVerdict {
                    table: table.name.clone(),
                    rows_source: 0,
                    rows_target: 0,
                    chunks: 0,
                    verdict: Verdict::NotCompared(why),
                    differences: Vec::new(),
                    more: 0,
                }),
            }
        }
        let states = works.iter().map(|_| TableState::default()).collect();
        Ok(Tables { works, states: Mutex::new(states), refused, rows: AtomicU64::new(0) })
    }

    fn order(&self) -> VecDeque<usize> {
        let size = |at: usize| {
            let table = &self.works[at].source;
            (table.data_bytes, table.rows_estimate)
        };
        let mut order: Vec<usize> = (0..self.works.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(size(*at)));
        order.into()
    }

    /// Compares every range once, several at a time.
    async fn first_pass(
        &self,
        source: &ServerUrl,
        target: &ServerUrl,
        config: &VerifyConfig,
        events: &Events,
        stop: &StopSignal,
    ) -> Result<()> {
        let mut session = Session::open(source, Side::Source).await?;
        session.without_limits().await?;
        let cutter = tokio::sync::Mutex::new(Cutter {
            session,
            waiting: self.order(),
            now: None,
            chunk_rows: config.chunk_rows,
            by_count: config.mode == VerifyMode::Count,
        });
        let total = self.works.iter().map(Work::rows_estimate).sum();
        let worker = async || {
            let mut pair = Pair::for_rows(source, target, config.mode).await?;
            loop {
                stop.check()?;
                let job = cutter.lock().await.next(&self.works).await?;
                let Some(job) = job else { break };
                let name = &self.works[job.table].source.name;
                let done = self.one(&mut pair, job, config.mode, total, events).await;
                done.map_err(|error| {
                    let named =
                        error.place().is_some_and(|place| place.contains(&name.to_string()));
                    if named { error } else { error.at(name) }
                })?;
            }
            pair.close().await;
            Ok::<_, Error>(())
        };
        let workers = (0..config.threads.max(1)).map(|_| worker());
        futures_util::future::try_join_all(workers).await?;
        Ok(())
    }

    async fn one(
        &self,
        pair: &mut Pair,
        job: Job,
        mode: VerifyMode,
        total: u64,
        events: &Events,
    ) -> Result<()> {
        let work = &self.works[job.table];
        let (ours, theirs, found) = match mode {
            VerifyMode::Count => {
                let (ours, theirs) = count::both(pair, work).await?;
                (ours, theirs, count::found(ours, theirs))
            }
            VerifyMode::Checksum | VerifyMode::Full => {
                let seen = Means::sums(pair, work, &job.range).await?;
                let Sums { source, target, equal } = seen;
                let found = if equal {
                    Found::default()
                } else if self.lock()[job.table].found.is_full() {
                    Found { beyond: source.abs_diff(target).max(1), ..Found::default() }
                } else {
                    table::differences(pair, work, job.range, seen).await?
                };
                (source, target, found)
            }
        };
        {
            let state = &mut self.lock()[job.table];
            state.rows_source += ours;
            state.rows_target += theirs;
            state.chunks += 1;
            state.found.add(found);
        }
        let done = self.rows.fetch_add(ours, Ordering::Relaxed) + ours;
        events.send(Event::Progress {
            task: "verify".to_string(),
            now: work.source.name.to_string(),
            done,
            total: Some(total),
            unit: Unit::Rows,
            bytes: 0,
        });
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TableState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The second look at a table, while replication runs.
struct Again<'a> {
    source: &'a ServerUrl,
    target: &'a ServerUrl,
    pair: &'a mut Pair,
    until: Instant,
    stop: &'a StopSignal,
}

impl Again<'_> {
    async fn table(
        &mut self,
        work: &Work,
        mut state: TableState,
        mode: VerifyMode,
        report: &mut VerifyReport,
    ) -> Result<TableVerdict> {
        if mode == VerifyMode::Count || work.key().is_none() {
            return self.at_one_moment(work, state, mode, report).await;
        }
        if state.found.beyond > 0 {
            // The target may just have been far behind: look at it all once more.
            live::catch_up(self.pair, self.stop).await?;
            state.found = self.whole(work).await?.1;
            state.found.settle_moves();
        }
        let suspects = std::mem::take(&mut state.found.rows);
        let beyond = state.found.beyond;
        let Settled { proven, in_doubt, why, rechecked } =
            live::settle(self.pair, work, suspects, self.until, self.stop).await?;
        report.rechecked += rechecked;
        report.proven += proven.len() as u64;
        let in_doubt = in_doubt + beyond;
        if proven.is_empty() && in_doubt > 0 {
            state.found = Found::default();
            let mut verdict = state.verdict(work);
            verdict.verdict = Verdict::NotCompared(format!("{in_doubt} rows are in doubt: {why}"));
            verdict.more = in_doubt;
            return Ok(verdict);
        }
        state.found = Found { rows: proven, hashes: Vec::new(), beyond: in_doubt };
        Ok(state.verdict(work))
    }

    /// A table without a key: compared at one moment that both sides share.
    async fn at_one_moment(
        &mut self,
        work: &Work,
        mut state: TableState,
        mode: VerifyMode,
        report: &mut VerifyReport,
    ) -> Result<TableVerdict> {
        let mut locks = Pair::open(self.source, self.target).await?;
        let mut why;
        loop {
            self.stop.check()?;
            match fence::open(self.pair, &mut locks, work, None, self.stop).await? {
                Ok(_) => {
                    let found = self.snapshots(work, mode, &mut state).await;
                    fence::close(self.pair).await?;
                    state.found = found?;
                    report.rechecked += state.rows_source;
                    if !state.found.is_empty() {
                        report.proven +=
                            (state.found.hashes.len() + state.found.rows.len()).max(1) as u64;
                    }
                    locks.close().await;
                    return Ok(state.verdict(work));
                }
                Err(reason) => why = reason,
            }
            // Without a fence, sums that agree are as good.
            let found = self.snapshots(work, mode, &mut state).await?;
            if found.is_empty() {
                state.found = found;
                locks.close().await;
                return Ok(state.verdict(work));
            }
            if Instant::now() > self.until {
                break;
            }
        }
        locks.close().await;
        state.found = Found::default();
        let mut verdict = state.verdict(work);
        verdict.verdict = Verdict::NotCompared(format!(
            "the sides differ, which may be writes under way, and no common moment could be had: {why}"
        ));
        Ok(verdict)
    }

    /// Compares a table whole, as the sessions see it now.
    async fn snapshots(
        &mut self,
        work: &Work,
        mode: VerifyMode,
        state: &mut TableState,
    ) -> Result<Found> {
        let (ours, theirs, found) = if mode == VerifyMode::Count {
            let (ours, theirs) = count::both(self.pair, work).await?;
            (ours, theirs, count::found(ours, theirs))
        } else {
            let (seen, found) = self.whole(work).await?;
            (seen.source, seen.target, found)
        };
        (state.rows_source, state.rows_target) = (ours, theirs);
        state.chunks += 1;
        Ok(found)
    }

    /// Compares all rows of a table, and finds those that differ.
    async fn whole(&mut self, work: &Work) -> Result<(Sums, Found)> {
        let seen = Means::sums(self.pair, work, &KeyRange::all()).await?;
        let found = if seen.equal {
            Found::default()
        } else {
            table::differences(self.pair, work, KeyRange::all(), seen).await?
        };
        Ok((seen, found))
    }
}
