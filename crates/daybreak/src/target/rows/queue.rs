//! What is left to do for each table, cut into ranges while they are being worked off.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Doing,
    early::Early,
    worker::{ATTEMPTS, source_lost, tell_again},
};
use crate::{
    engine::{Journal, TableResult},
    error::{Kind, Result},
    event::Events,
    mysql::{
        AnySession, ChunkKey, KeyRange, KeyTuple, ReaderSession, Session, Side, Table, TableName,
    },
    source::{read::RowForm, snapshot::SAVEPOINT},
    target::{
        ddl::Clause,
        ledger::{Chunk, Rank, SnapshotId},
        load,
    },
};

/// The fewest and the most rows of a chunk. One row may be as large as a chunk should be: a fixed number
/// of such rows would make a transaction of gigabytes.
const CHUNK_ROWS: (u64, u64) = (1, 1_000_000);

/// Towards the end chunks become smaller, so that all workers end together: down to this part of their
/// size, but not below so many bytes, at which a transaction of its own still pays.
const TAIL: (u64, u64) = (8, 2 << 20);

/// How many tables on the target are asked about at once.
const ASKED_TOGETHER: usize = 64;

/// The size of a row of which the server knows none.
const UNKNOWN_ROW_BYTES: u64 = 256;

/// A stretch of a table, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// On the target, as the ledger says.
    Known(Chunk),
    /// Not yet; between these two.
    Gap { range: KeyRange, left: Option<Rank>, right: Option<Rank> },
}

/// Whether chunks of a table, by rank, can be of one cutting: open only at the table's ends, and cut
/// at keys of the key's length.
pub(super) fn is_sound(chunks: &[Chunk], key: Option<&ChunkKey>) -> bool {
    let width = key.map_or(0, |key| key.columns.len());
    let bound = |bound: &Option<KeyTuple>, may_be_open: bool| match bound {
        Some(tuple) => width > 0 && tuple.0.len() == width,
        None => may_be_open,
    };
    chunks.iter().enumerate().all(|(at, chunk)| {
        bound(&chunk.range.after, at == 0) && bound(&chunk.range.up_to, at + 1 == chunks.len())
    })
}

/// Whether chunks of a table, by rank, cover every key that there is or could be.
pub(super) fn tiles(chunks: &[Chunk]) -> bool {
    let ends = (chunks.first(), chunks.last());
    let (Some(first), Some(last)) = ends else { return false };
    first.range.after.is_none()
        && last.range.up_to.is_none()
        && chunks
            .windows(2)
            .all(|pair| pair[0].range.up_to.is_some() && pair[0].range.up_to == pair[1].range.after)
}

/// The whole table as known stretches and the gaps between them.
pub(super) fn parts(chunks: Vec<Chunk>) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut at, mut left, mut closed) = (None, None, false);
    for chunk in chunks {
        if chunk.range.after != at {
            parts.push(Part::Gap {
                range: KeyRange { after: at, up_to: chunk.range.after.clone() },
                left: left.take(),
                right: Some(chunk.rank.clone()),
            });
        }
        at = chunk.range.up_to.clone();
        left = Some(chunk.rank.clone());
        closed = at.is_none();
        parts.push(Part::Known(chunk));
    }
    if !closed {
        parts.push(Part::Gap { range: KeyRange { after: at, up_to: None }, left, right: None });
    }
    parts
}

/// A table and what is to be done for it.
pub(super) struct TableWork {
    /// As the source has it.
    pub(super) table: Table,
    /// As the target has it.
    pub(super) on_target: Table,
    pub(super) key: Option<ChunkKey>,
    pub(super) form: RowForm,
    pub(super) load: String,
    /// When the table was created, as the snapshot saw it.
    pub(super) created: Option<String>,
    /// Triggers on the target would fire while rows are replaced.
    pub(super) has_triggers: bool,
    /// The target has a unique key besides the one by which the table is cut.
    pub(super) collides: bool,
    pub(super) parts: Vec<Part>,
    /// Keys that it may have once its rows are in, and others' aren't.
    pub(super) early: Vec<Vec<Clause>>,
    pub(super) tally: Tally,
}

impl TableWork {
    pub(super) fn new(table: Table, on_target: Table, chunks: Vec<Chunk>) -> Result<Self> {
        let form = RowForm::of(&table)?;
        Ok(TableWork {
            key: ChunkKey::of(&table),
            load: load::statement(&on_target, &form),
            form,
            created: None,
            has_triggers: false,
            collides: false,
            parts: parts(chunks),
            early: Vec::new(),
            tally: Tally::default(),
            table,
            on_target,
        })
    }

    /// The table as a session's server has it.
    pub(super) fn on(&self, session: &AnySession) -> &Table {
        match session.side() {
            Side::Source => &self.table,
            Side::Target => &self.on_target,
        }
    }

    /// Whether nothing counts of what may be there of it.
    pub(super) fn begins_anew(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Gap { .. }))
    }

    /// How many rows make a chunk of about so many bytes.
    fn chunk_rows(&self, chunk_bytes: u64) -> u64 {
        let average = match self.table.rows_estimate {
            0 => UNKNOWN_ROW_BYTES,
            rows => (self.table.data_bytes / rows).max(1),
        };
        (chunk_bytes / average).clamp(CHUNK_ROWS.0, CHUNK_ROWS.1)
    }

    /// The predicate of a range; the whole table where there is no key.
    pub(super) fn predicate(&self, range: &KeyRange) -> String {
        self.key.as_ref().map_or_else(|| "TRUE".to_string(), |key| range.predicate(key))
    }

    /// What follows the table's name at the source where a range of it is read.
    pub(super) fn hint(&self) -> String {
        self.key.as_ref().map(|key| key.hints()[0].clone()).unwrap_or_default()
    }

    /// A range for people.
    pub(super) fn describe(&self, range: &KeyRange) -> String {
        self.key.as_ref().map_or_else(|| "all rows".to_string(), |key| range.describe(key))
    }
}

/// What was done for a table.
#[derive(Default)]
pub(super) struct Tally {
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Ranges handed out and not yet done, and one more while they are being cut.
    open: AtomicU64,
    begun: std::sync::OnceLock<Instant>,
}

impl Tally {
    fn hand_out(&self) {
        self.begun.get_or_init(Instant::now);
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts what is on the target; true when with it the table is complete.
    fn done(&self, rows: u64, bytes: u64) -> bool {
        self.rows.fetch_add(rows, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.open.fetch_sub(1, Ordering::SeqCst) == 1
    }

    fn result(&self, table: &Table) -> TableResult {
        TableResult {
            table: table.name.to_string(),
            rows: self.rows.load(Ordering::SeqCst),
            bytes: self.bytes.load(Ordering::SeqCst),
            copy_millis: self.begun.get().map_or(0, |begun| begun.elapsed().as_millis() as u64),
            verified: None,
        }
    }
}

impl TableWork {
    /// Counts rows that are on the target; the table's result once it is complete.
    pub(super) fn done(&self, rows: u64, bytes: u64) -> Option<TableResult> {
        self.tally.done(rows, bytes).then(|| self.tally.result(&self.table))
    }
}

/// Something for a worker to do.
pub(super) enum Task {
    /// A range that is not (or no more) on the target. `replace`: rows of it may be there.
    Copy { range: KeyRange, rank: Rank, replace: bool },
    /// A chunk that an earlier snapshot brought: keep it if it still is as the source is.
    Prove(Chunk),
    /// A chunk that nothing was written since: keep it.
    Keep(Chunk),
}

/// A task and its table.
pub(super) struct Job {
    pub(super) work: Arc<TableWork>,
    pub(super) task: Task,
}

/// Small tables that are handed out together: to begin, prove and commit each alone would cost the
/// servers more than its rows do.
const TOGETHER: usize = 16;

/// The size of a table up to which it is handed out with others.
const SMALL_BYTES: u64 = 128 << 10;

/// Walks all tables, on a connection of the snapshot, and hands out ranges as they are cut.
pub(super) struct Planner {
    pub(super) reader: ReaderSession,
    pub(super) target: Session,
    pub(super) chunk_bytes: u64,
    pub(super) snapshot: SnapshotId,
    pub(super) journal: Arc<Journal>,
    pub(super) events: Events,
    pub(super) doing: Doing,
    pub(super) halt: CancellationToken,
    /// Who is told that a table is complete.
    pub(super) early: Arc<Early>,
    /// What is to be handed out together.
    pub(super) group: Vec<Job>,
    /// How many workers there are.
    pub(super) threads: usize,
    /// About how many bytes aren't cut yet.
    pub(super) left: u64,
}

impl Planner {
    /// Hands out everything. Returns early when nobody takes jobs any more.
    pub(super) async fn run(
        mut self,
        works: Vec<Arc<TableWork>>,
        jobs: mpsc::Sender<Vec<Job>>,
    ) -> Result<()> {
        let mut left: u64 = works.iter().map(|work| work.table.data_bytes).sum();
        for works in works.chunks(ASKED_TOGETHER) {
            let Some(occupied) = self.occupied(works).await? else { return Ok(()) };
            for (work, occupied) in works.iter().zip(occupied) {
                self.left = left;
                left = left.saturating_sub(work.table.data_bytes);
                if !self.table(work, occupied, &jobs).await? {
                    return Ok(());
                }
            }
        }
        self.hand_out(&jobs).await;
        Ok(())
    }

    /// One table; false when nobody takes jobs any more.
    async fn table(
        &mut self,
        work: &Arc<TableWork>,
        occupied: bool,
        jobs: &mpsc::Sender<Vec<Job>>,
    ) -> Result<bool> {
        if self.doing == Doing::Clear {
            return self.doubtful(work, jobs).await;
        }
        // What is there without being in the ledger is no row of this copy.
        let mut replace = occupied;
        if replace && work.collides && work.begins_anew() {
            // Chunk by chunk, what isn't replaced yet would stand in the way of what comes.
            let name = &work.on_target.name;
            let emptied = self.target.execute(format!("TRUNCATE TABLE {}", name.sql()));
            emptied.await.map_err(|error| error.at(name))?;
            replace = false;
        }
        // Counts as one open range, so that the table isn't complete before all of it is cut.
        work.tally.hand_out();
        for part in &work.parts {
            let taken = match part {
                Part::Known(chunk) if chunk.snapshot == self.snapshot => {
                    self.give(work, Task::Keep(chunk.clone()), jobs).await
                }
                Part::Known(chunk) => self.give(work, Task::Prove(chunk.clone()), jobs).await,
                Part::Gap { range, left, right } => {
                    let bounds = (left.as_ref(), right.as_ref());
                    self.gap(work, range, bounds, replace, jobs).await?
                }
            };
            if !taken {
                return Ok(false);
            }
        }
        if let Some(result) = work.done(0, 0) {
            self.journal.put_tables(&[result])?;
            self.early.complete(work);
        }
        Ok(true)
    }

    /// Hands out what may have changed since it was copied; false when nobody takes jobs any more.
    async fn doubtful(
        &mut self,
        work: &Arc<TableWork>,
        jobs: &mpsc::Sender<Vec<Job>>,
    ) -> Result<bool> {
        for part in &work.parts {
            if let Part::Known(chunk) = part
                && chunk.snapshot != self.snapshot
                && !self.give(work, Task::Prove(chunk.clone()), jobs).await
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which tables on the target have rows. None when nobody takes jobs any more.
    async fn occupied(&mut self, works: &[Arc<TableWork>]) -> Result<Option<Vec<bool>>> {
        let mut occupied = vec![false; works.len()];
        if self.doing == Doing::Clear {
            return Ok(Some(occupied));
        }
        let one = |(at, work): (usize, &Arc<TableWork>)| {
            format!("(SELECT {at} FROM {} LIMIT 1)", work.on_target.name.sql())
        };
        let all: Vec<String> = works.iter().enumerate().map(one).collect();
        if let Ok(rows) = self.target.rows(all.join(" UNION ALL ")).await {
            for row in rows {
                let at = self.target.column::<usize>(&row, 0)?;
                if let Some(found) = at.and_then(|at| occupied.get_mut(at)) {
                    *found = true;
                }
            }
            return Ok(Some(occupied));
        }
        // One by one they tell which of them is the trouble.
        for (work, found) in works.iter().zip(&mut occupied) {
            match self.has_rows(&work.on_target.name).await? {
                Some(has_rows) => *found = has_rows,
                None => return Ok(None),
            }
        }
        Ok(Some(occupied))
    }

    /// Whether a table on the target has rows; a lock on it is waited for, a question that was ended is asked
    /// again. None when nobody takes jobs any more.
    async fn has_rows(&mut self, table: &TableName) -> Result<Option<bool>> {
        let probe = format!("SELECT 1 FROM {} LIMIT 1", table.sql());
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.target.row(probe.as_str()).await {
                Ok(row) => return Ok(Some(row.is_some())),
                Err(_) if self.halt.is_cancelled() => return Ok(None),
                Err(error) => error,
            };
            let passing = matches!(error.kind(), Kind::LockWait | Kind::StatementKilled);
            if !passing || attempt >= ATTEMPTS {
                return Err(error.at(table));
            }
            tell_again(&self.events, table, attempt, &error);
        }
    }

    async fn gap(
        &mut self,
        work: &Arc<TableWork>,
        gap: &KeyRange,
        (left, right): (Option<&Rank>, Option<&Rank>),
        replace: bool,
        jobs: &mpsc::Sender<Vec<Job>>,
    ) -> Result<bool> {
        let mut rest = gap.clone();
        for n in 1.. {
            let cut = match &work.key {
                Some(key) => {
                    let aim = aim(self.chunk_bytes, self.left, self.threads);
                    self.left = self.left.saturating_sub(aim);
                    let rows = work.chunk_rows(aim);
                    let cut = key.walk(&mut self.reader, &work.table, &rest, rows).await;
                    let cut = cut.map_err(source_lost)?;
                    // Handing out may take as long as the table does: no DDL of the source may wait
                    // for that.
                    self.reader
                        .execute(format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}"))
                        .await
                        .map_err(source_lost)?;
                    cut
                }
                None => None,
            };
            let range = match cut.filter(|cut| Some(cut) != rest.up_to.as_ref()) {
                Some(cut) => {
                    let range = KeyRange { after: rest.after.take(), up_to: Some(cut.clone()) };
                    rest.after = Some(cut);
                    range
                }
                None => {
                    let rank = Rank::between(left, right, n);
                    return Ok(self
                        .give(work, Task::Copy { range: rest, rank, replace }, jobs)
                        .await);
                }
            };
            let rank = Rank::between(left, right, n);
            if !self.give(work, Task::Copy { range, rank, replace }, jobs).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands out a task, or puts it with others; false when nobody takes jobs any more.
    async fn give(
        &mut self,
        work: &Arc<TableWork>,
        task: Task,
        jobs: &mpsc::Sender<Vec<Job>>,
    ) -> bool {
        work.tally.hand_out();
        let whole = matches!(
            &task,
            Task::Copy { range, replace: false, .. } if *range == KeyRange::all()
        );
        let small = whole && work.table.data_bytes <= SMALL_BYTES;
        if !small && !self.hand_out(jobs).await {
            return false;
        }
        self.group.push(Job { work: work.clone(), task });
        if small && self.group.len() < TOGETHER {
            return true;
        }
        self.hand_out(jobs).await
    }

    /// Hands out what is together so far.
    async fn hand_out(&mut self, jobs: &mpsc::Sender<Vec<Job>>) -> bool {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return true;
        }
        tokio::select! {
            sent = jobs.send(group) => sent.is_ok(),
            () = self.halt.cancelled() => false,
        }
    }
}

/// How many bytes the next chunk shall have, when so many are left for so many workers.
fn aim(chunk_bytes: u64, left: u64, threads: usize) -> u64 {
    let (part, least) = TAIL;
    let least = (chunk_bytes / part).max(least).min(chunk_bytes);
    (left / (2 * threads.max(1) as u64)).clamp(least, chunk_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::{Coordinates, GtidSet};

    fn chunk(rank: &Rank, after: Option<u32>, up_to: Option<u32>) -> Chunk {
        let tuple = |value: Option<u32>| value.map(|value| KeyTuple(vec![value.to_string()]));
        Chunk {
            table: TableName::new("d", "t"),
            rank: rank.clone(),
            range: KeyRange { after: tuple(after), up_to: tuple(up_to) },
            rows: 1,
            bytes: 1,
            snapshot: SnapshotId::of(&Coordinates { file: None, gtids: GtidSet::default() }, ""),
        }
    }

    #[test]
    fn chunks_become_smaller_towards_the_end() {
        const MIB: u64 = 1 << 20;
        for (left, wanted) in [(1000, 32), (128, 32), (64, 16), (16, 4), (1, 4), (0, 4)] {
            assert_eq!(aim(32 * MIB, left * MIB, 2), wanted * MIB, "{left}");
        }
        assert_eq!(aim(64 << 10, 0, 2), 64 << 10);
        assert_eq!(aim(4 * MIB, 0, 2), 2 * MIB);
    }

    #[test]
    fn gaps_are_what_the_ledger_lacks() {
        let ranks: Vec<Rank> = (1..=4).map(|n| Rank::between(None, None, n)).collect();
        let (second, fourth) =
            (chunk(&ranks[1], Some(10), Some(20)), chunk(&ranks[3], Some(30), None));
        let found = parts(vec![second.clone(), fourth.clone()]);
        let gap = |part: &Part| match part {
            Part::Gap { range, .. } => Some((range.after.clone(), range.up_to.clone())),
            Part::Known(_) => None,
        };
        assert_eq!(gap(&found[0]), Some((None, second.range.after.clone())));
        assert_eq!(found[1], Part::Known(second.clone()));
        assert_eq!(gap(&found[2]), Some((second.range.up_to.clone(), fourth.range.after.clone())));
        assert_eq!(found.len(), 4);
        assert!(!tiles(&[second.clone(), fourth.clone()]));
        let all = [
            chunk(&ranks[0], None, Some(10)),
            second,
            chunk(&ranks[2], Some(20), Some(30)),
            fourth,
        ];
        assert!(tiles(&all) && !tiles(&all[..3]) && !tiles(&all[1..]) && !tiles(&[]));
        assert_eq!(parts(all.to_vec()).len(), 4);
        assert_eq!(parts(Vec::new()).len(), 1);
    }
}
