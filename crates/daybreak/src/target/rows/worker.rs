//! One worker: a connection to the target, and a range at a time into it, exactly once. It borrows a
//! connection of the snapshot for as long as it reads, so that others read while it commits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Doing as Pass, Progress,
    early::Early,
    governor::Governor,
    json::{Look, carry_types},
    large,
    queue::{Job, TableWork, Task},
    readers::{Reader, Readers},
};
use crate::{
    engine::{Journal, StopSignal},
    error::{Error, Kind, Result, Retry},
    event::Events,
    mysql::{
        AnySession, ChunkKey, KeyRange, ReaderSession, ServerUrl, Session, Side, TableName,
        VALUE_TOO_LARGE, chunk::NO_SUCH_INDEX,
    },
    source::{
        read::{self, BATCHES_AHEAD, Read},
        snapshot,
    },
    sync::verify::hash::{Documents, RowHash, chunk_sum, in_common},
    target::{
        ledger::{Chunk, Ledger, Rank, SnapshotId},
        load,
    },
};

/// How often a chunk is tried when the target fails in a passing way.
pub(super) const ATTEMPTS: u32 = 6;

/// How many seconds a try waits for a lock that somebody else holds on the target.
const LOCK_WAIT: u32 = 30;

/// What all workers share.
pub(super) struct Shared {
    pub(super) target: ServerUrl,
    pub(super) ledger: Ledger,
    /// The pass's number in the ledger.
    pub(super) pass: u64,
    pub(super) snapshot: SnapshotId,
    pub(super) readers: Readers,
    /// A connection to the source outside the snapshot: it sees definitions as they are now.
    pub(super) witness: tokio::sync::Mutex<Session>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Progress,
    pub(super) events: Events,
    pub(super) doing: Pass,
    pub(super) stop: StopSignal,
    /// Ends all work, after a failure or when a stop is asked for.
    pub(super) halt: CancellationToken,
    /// Who may begin chunks.
    pub(super) governor: Arc<Governor>,
    /// Who is told that a table is complete.
    pub(super) early: Arc<Early>,
}

/// Opens a connection to the target and sets it up for loading.
pub(super) async fn loader(url: &ServerUrl) -> Result<Session> {
    let mut session = Session::open(url, Side::Target).await?;
    session
        .execute(
            // Rows and tables that somebody else holds are waited for, but not for the year that is
            // the server's own bound for tables, and not without a word.
            format!(
                "SET SESSION foreign_key_checks = 0, unique_checks = 0, \
                 innodb_lock_wait_timeout = {LOCK_WAIT}, lock_wait_timeout = {LOCK_WAIT}"
            ),
        )
        .await?;
    session.without_limits().await?;
    // Ranges without rows are deleted too before a chunk is copied again. Under REPEATABLE READ that
    // locks the gap behind the last row, and parallel loaders deadlock there. A server that logs
    // statements refuses the lower level (1665).
    let logs_statements = session.variable("binlog_format").await?.as_deref() == Some("STATEMENT");
    if !logs_statements {
        session.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    }
    Ok(session)
}

/// Says that something is tried once more. Who waits for a lock of somebody else is told so.
pub(super) fn tell_again(events: &Events, table: &TableName, attempt: u32, error: &Error) {
    let what =
        format!("{table}: tried again, {attempt} of {} times: {}", ATTEMPTS - 1, error.what());
    match error.kind() {
        Kind::LockWait => events.warn(format!(
            "{what}; who holds it on the target: SELECT * FROM performance_schema.metadata_locks, \
             SHOW ENGINE INNODB STATUS"
        )),
        _ => events.detail(what),
    }
}

/// Where an attempt failed, which decides what may be tried again.
pub(super) enum Failure {
    Source(Error),
    Target(Error),
    /// Nothing that another try could change.
    Final(Error),
}

/// An error on a connection of the snapshot: whatever says that the view can't be read any more
/// becomes `SnapshotLost`.
pub(super) fn source_lost(error: Error) -> Error {
    // 1412 is said in so many words; a table or column that isn't there any more says the same.
    let gone = matches!(error.code(), Some(1054 | 1146 | 1049));
    if gone || matches!(error.kind(), Kind::ConnectionLost | Kind::Connect) {
        Error::new(Kind::SnapshotLost, "the snapshot can't be read any more").because(error)
    } else {
        error
    }
}

/// What is tried.
enum Doing<'a> {
    Prove(&'a Chunk),
    Clear(&'a Chunk),
    Copy { range: &'a KeyRange, rank: &'a Rank, replace: bool },
}

/// A worker.
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// Counted from 0.
    number: usize,
    /// Whether nobody asked for it.
    spare: bool,
    target: Option<Session>,
    /// Whether that connection counts notes among warnings.
    notes: bool,
    /// A connection of ours that was cut off and may still be at work on the server.
    cut_off: Option<u32>,
}

impl Worker {
    /// A worker with a connection to the target, or one that the copy does without if it gets none.
    pub(super) fn new(shared: Arc<Shared>, number: usize, target: Option<Session>) -> Self {
        Worker { shared, number, spare: target.is_none(), target, notes: true, cut_off: None }
    }

    /// Works until there are no more jobs, or all work ends.
    pub(super) async fn run(mut self, jobs: Arc<Mutex<mpsc::Receiver<Vec<Job>>>>) -> Result<()> {
        let shared = self.shared.clone();
        loop {
            shared.stop.check()?;
            let group = tokio::select! {
                group = async {
                    if !shared.governor.admit(self.number).await || !self.has_a_place().await {
                        return None;
                    }
                    let group = jobs.lock().await.recv().await;
                    match group {
                        // It may have come long after it was asked for.
                        Some(_) => shared.governor.let_begin().await,
                        None => shared.governor.over(),
                    }
                    group
                } => group,
                () = shared.halt.cancelled() => None,
            };
            let Some(group) = group else { return Ok(()) };
            if group.len() > 1 && self.together(&group).await? {
                continue;
            }
            for Job { work, task } in group {
                self.job(&work, task).await?;
            }
        }
    }

    /// Whether there is a connection to the target for it: one that the copy can do without isn't worth
    /// an error.
    async fn has_a_place(&mut self) -> bool {
        if !self.spare || self.target.is_some() {
            return true;
        }
        match self.target().await {
            Ok(_) => true,
            Err(Failure::Source(error) | Failure::Target(error) | Failure::Final(error)) => {
                self.shared.events.detail(format!("one worker fewer: {error}"));
                false
            }
        }
    }

    /// A connection of the snapshot, once there is one.
    async fn reader(&self) -> Result<Reader, Failure> {
        tokio::select! {
            reader = self.shared.readers.borrow() => reader.map_err(Failure::Source),
            () = self.shared.halt.cancelled() => {
                Err(Failure::Final(Error::new(Kind::Interrupted, "all work ends")))
            }
        }
    }

    /// Copies small tables in one transaction; false where that failed: one by one they tell which of
    /// them is the trouble, and try again.
    async fn together(&mut self, group: &[Job]) -> Result<bool> {
        let read = match self.attempt_all(group).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.roll_back().await;
                return Ok(false);
            }
            Err(Failure::Source(error) | Failure::Target(error) | Failure::Final(error)) => {
                self.roll_back().await;
                self.shared.stop.check()?;
                let what = format!("{} tables together: {}; one by one", group.len(), error.what());
                self.shared.events.detail(what);
                return Ok(false);
            }
        };
        let (mut complete, mut results) = (Vec::new(), Vec::new());
        for (job, read) in group.iter().zip(read) {
            if let Some(result) = job.work.done(read.rows, read.bytes) {
                complete.push(&job.work);
                results.push(result);
            }
        }
        self.shared.journal.put_tables(&results)?;
        for work in complete {
            self.shared.early.complete(work);
        }
        Ok(true)
    }

    async fn job(&mut self, work: &TableWork, task: Task) -> Result<()> {
        let shared = self.shared.clone();
        shared.progress.now(&work.table.name);
        let kept = |chunk: &Chunk| {
            shared.progress.moved(chunk.rows, 0);
            Read { rows: chunk.rows, bytes: chunk.bytes }
        };
        let read = match &task {
            Task::Keep(chunk) => kept(chunk),
            Task::Prove(chunk) => match self.until_done(work, &Doing::Prove(chunk)).await? {
                Some(_) => kept(chunk),
                None if shared.doing == Pass::Clear => {
                    self.until_done(work, &Doing::Clear(chunk)).await?;
                    return Ok(());
                }
                None => {
                    let (range, rank) = (&chunk.range, &chunk.rank);
                    self.copy(work, range, rank, true).await?
                }
            },
            Task::Copy { range, rank, replace } => self.copy(work, range, rank, *replace).await?,
        };
        if shared.doing == Pass::Clear {
            return Ok(());
        }
        if let Some(result) = work.done(read.rows, read.bytes) {
            shared.journal.put_tables(&[result])?;
            shared.early.complete(work);
        }
        Ok(())
    }

    async fn copy(
        &mut self,
        work: &TableWork,
        range: &KeyRange,
        rank: &Rank,
        replace: bool,
    ) -> Result<Read> {
        let doing = Doing::Copy { range, rank, replace };
        let read = self.until_done(work, &doing).await?;
        read.ok_or_else(|| Error::new(Kind::Bug, "a copy that copied nothing"))
    }

    /// Does something until it works or can't.
    async fn until_done(&mut self, work: &TableWork, doing: &Doing<'_>) -> Result<Option<Read>> {
        let range = match doing {
            Doing::Prove(chunk) | Doing::Clear(chunk) => &chunk.range,
            Doing::Copy { range, .. } => range,
        };
        let place =
            |error: Error| error.at(format!("{}, {}", work.table.name, work.describe(range)));
        for attempt in 1.. {
            let failure = match self.once(work, doing).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            self.roll_back().await;
            let error = match failure {
                Failure::Final(error) => {
                    let error = large::named(error, &self.shared.readers, work, range).await;
                    return Err(place(error));
                }
                Failure::Source(error) => source_lost(error),
                Failure::Target(error) => error,
            };
            self.shared.stop.check()?;
            if error.kind().retry() != Retry::Again
                || attempt >= ATTEMPTS
                || self.shared.halt.is_cancelled()
            {
                let error = large::named(error, &self.shared.readers, work, range).await;
                return Err(place(error));
            }
            tell_again(&self.shared.events, &work.table.name, attempt, &error);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100 << attempt)) => {}
                () = self.shared.halt.cancelled() => return Err(place(error)),
            }
        }
        Err(Error::new(Kind::Bug, "counting ended"))
    }

    /// One try.
    async fn once(&mut self, work: &TableWork, doing: &Doing<'_>) -> Result<Option<Read>, Failure> {
        match doing {
            Doing::Prove(chunk) => self.prove(work, chunk).await,
            Doing::Clear(chunk) => self.clear(work, chunk).await.map(|()| None),
            Doing::Copy { range, rank, replace } => {
                self.attempt(work, range, rank, *replace).await.map(Some)
            }
        }
    }

    /// Ends what is open on the target. A connection that doesn't answer is given up, and its number
    /// remembered: the server may still be at work for it.
    async fn roll_back(&mut self) {
        let Some(mut target) = self.target.take() else { return };
        let answer = tokio::time::timeout(Duration::from_secs(10), target.execute("ROLLBACK"));
        match answer.await {
            Ok(Ok(_)) => self.target = Some(target),
            _ => self.cut_off = Some(target.id()),
        }
    }

    async fn target(&mut self) -> Result<&mut Session, Failure> {
        if self.target.is_none() {
            let mut session = loader(&self.shared.target).await.map_err(Failure::Target)?;
            if let Some(id) = self.cut_off.take() {
                // It is gone already as a rule (1094); if not, its locks would be waited for.
                if let Err(error) = session.execute(format!("KILL {id}")).await {
                    tracing::debug!(%error, "KILL of a connection that was cut off");
                }
            }
            self.target = Some(session);
            self.notes = true;
        }
        self.target
            .as_mut()
            .ok_or_else(|| Failure::Final(Error::new(Kind::Bug, "no connection after opening one")))
    }

    /// Whether a chunk of an earlier snapshot is still as the source is; if so, it is of this one too.
    /// None if not.
    async fn prove(&mut self, work: &TableWork, chunk: &Chunk) -> Result<Option<Read>, Failure> {
        let mut reader = self.reader().await?;
        self.target().await?;
        let Worker { shared, target: Some(target), .. } = self else {
            return Err(Failure::Final(Error::new(Kind::Bug, "no connection to prove with")));
        };
        let key = work.key.as_ref();
        // The types within JSON documents are looked at below.
        let common = in_common(&work.table, reader.dialect(), target.dialect());
        let hash = |on: &AnySession| RowHash::new(on, &common, Documents::Text);
        let ours = hash(&*reader).map_err(Failure::Source)?;
        let theirs = hash(target).map_err(Failure::Target)?;
        let (here, there) = tokio::join!(
            chunk_sum(&mut *reader, &work.table, &ours, key, &chunk.range),
            chunk_sum(target, &work.on_target, &theirs, key, &chunk.range)
        );
        let (here, there) = (here.map_err(Failure::Source)?, there.map_err(Failure::Target)?);
        if here != there {
            reader.let_go().await.map_err(Failure::Source)?;
            return Ok(None);
        }
        same_tables(shared, &[work]).await?;
        begin(shared, target).await?;
        carry_types(shared, &mut reader, target, work, &chunk.range, Look::Both).await?;
        reader.let_go().await.map_err(Failure::Source)?;
        let proved = Chunk { snapshot: shared.snapshot.clone(), ..chunk.clone() };
        shared.ledger.put(target, &[proved]).await.map_err(Failure::Target)?;
        commit(shared, target).await?;
        Ok(Some(Read { rows: chunk.rows, bytes: chunk.bytes }))
    }

    /// Takes a chunk off the target, its line in the ledger with it.
    async fn clear(&mut self, work: &TableWork, chunk: &Chunk) -> Result<(), Failure> {
        self.target().await?;
        let Worker { shared, target: Some(target), .. } = self else {
            return Err(Failure::Final(Error::new(Kind::Bug, "no connection to clear with")));
        };
        if work.has_triggers {
            return Err(Failure::Final(triggers_in_the_way(work)));
        }
        begin(shared, target).await?;
        delete(target, work, &work.predicate(&chunk.range)).await?;
        let line = shared.ledger.forget_range(target, &chunk.table, &chunk.range).await;
        line.map_err(Failure::Target)?;
        commit(shared, target).await
    }

    /// Copies a range in one transaction, its line in the ledger included.
    async fn attempt(
        &mut self,
        work: &TableWork,
        range: &KeyRange,
        rank: &Rank,
        replace: bool,
    ) -> Result<Read, Failure> {
        let mut reader = self.reader().await?;
        self.target().await?;
        let Worker { shared, target: Some(target), notes, .. } = self else {
            return Err(Failure::Final(Error::new(Kind::Bug, "no connection to load with")));
        };
        begin(shared, target).await?;
        let claimed = shared.ledger.claim(target, &work.on_target.name, range).await;
        let known = claimed.map_err(Failure::Target)?;
        if let Some((rows, bytes, snapshot)) = &known
            && *snapshot == shared.snapshot
        {
            // A commit of ours went through unheard.
            target.execute("ROLLBACK").await.map_err(Failure::Target)?;
            return Ok(Read { rows: *rows, bytes: *bytes });
        }
        let predicate = work.predicate(range);
        if replace || known.is_some() {
            if work.has_triggers {
                return Err(Failure::Final(triggers_in_the_way(work)));
            }
            delete(target, work, &predicate).await?;
        }
        count_notes(target, work, notes).await?;
        let read = transfer(shared, &mut reader, target, work, &predicate).await?;
        carry_types(shared, &mut reader, target, work, range, Look::Source).await?;
        same_tables(shared, &[work]).await?;
        reader.let_go().await.map_err(Failure::Source)?;
        let chunk = line(shared, work, range, rank, read);
        shared.ledger.put(target, &[chunk]).await.map_err(Failure::Target)?;
        commit(shared, target).await?;
        Ok(read)
    }

    /// Copies ranges of several tables in one transaction. None where the ledger has one of them
    /// already, or something else than copying is to be done.
    async fn attempt_all(&mut self, group: &[Job]) -> Result<Option<Vec<Read>>, Failure> {
        let mut reader = self.reader().await?;
        self.target().await?;
        let Worker { shared, target: Some(target), notes, .. } = self else {
            return Err(Failure::Final(Error::new(Kind::Bug, "no connection to load with")));
        };
        let mut copies = Vec::with_capacity(group.len());
        for job in group {
            let Task::Copy { range, rank, replace: false } = &job.task else { return Ok(None) };
            copies.push((&*job.work, range, rank));
        }
        begin(shared, target).await?;
        let ranges: Vec<(&TableName, &KeyRange)> =
            copies.iter().map(|(work, range, _)| (&work.on_target.name, *range)).collect();
        if !shared.ledger.claim_all(target, &ranges).await.map_err(Failure::Target)? {
            return Ok(None);
        }
        let (mut all, mut chunks) = (Vec::new(), Vec::new());
        for (work, range, rank) in &copies {
            shared.progress.now(&work.table.name);
            count_notes(target, work, notes).await?;
            let read = transfer(shared, &mut reader, target, work, &work.predicate(range)).await?;
            carry_types(shared, &mut reader, target, work, range, Look::Source).await?;
            chunks.push(line(shared, work, range, rank, read));
            all.push(read);
        }
        let works: Vec<&TableWork> = copies.iter().map(|(work, ..)| *work).collect();
        same_tables(shared, &works).await?;
        reader.let_go().await.map_err(Failure::Source)?;
        shared.ledger.put(target, &chunks).await.map_err(Failure::Target)?;
        commit(shared, target).await?;
        Ok(Some(all))
    }
}

/// A chunk's line in the ledger.
fn line(shared: &Shared, work: &TableWork, range: &KeyRange, rank: &Rank, read: Read) -> Chunk {
    Chunk {
        table: work.on_target.name.clone(),
        rank: rank.clone(),
        range: range.clone(),
        rows: read.rows,
        bytes: read.bytes,
        snapshot: shared.snapshot.clone(),
    }
}

/// The server notes each rounding inside a generated column, which happened at the source just the
/// same. Notes are left out for tables that have one; warnings and errors count as ever.
async fn count_notes(
    target: &mut Session,
    work: &TableWork,
    counted: &mut bool,
) -> Result<(), Failure> {
    let wanted = !work.table.columns.iter().any(|column| column.generated);
    if *counted != wanted {
        let set = format!("SET SESSION sql_notes = {}", u8::from(wanted));
        target.execute(set).await.map_err(Failure::Target)?;
        *counted = wanted;
    }
    Ok(())
}

async fn delete(target: &mut Session, work: &TableWork, predicate: &str) -> Result<(), Failure> {
    // The form of DELETE that takes a hint.
    let table = work.on_target.name.sql();
    let deleting = |hint: &str| format!("DELETE {table} FROM {table}{hint} WHERE {predicate}");
    let [forced, without] = work.key.as_ref().map(ChunkKey::hints).unwrap_or_default();
    match target.execute(deleting(&forced)).await {
        Err(error) if error.code() == Some(NO_SUCH_INDEX) => {
            target.execute(deleting(&without)).await
        }
        other => other,
    }
    .map(drop)
    .map_err(Failure::Target)
}

/// Begins a transaction on the target that can only commit while its pass is the current one.
async fn begin(shared: &Shared, target: &mut Session) -> Result<(), Failure> {
    target.execute("START TRANSACTION").await.map_err(Failure::Target)?;
    shared.ledger.fence(target, shared.pass).await.map_err(|error| match error.kind() {
        Kind::State => Failure::Final(error),
        _ => Failure::Target(error),
    })
}

/// Commits, and tells how long the target took for it.
async fn commit(shared: &Shared, target: &mut Session) -> Result<(), Failure> {
    let begun = Instant::now();
    target.execute("COMMIT").await.map_err(Failure::Target)?;
    shared.governor.committed(begun.elapsed());
    Ok(())
}

/// Reads and loads at once, and demands that what arrived is what was sent.
async fn transfer(
    shared: &Shared,
    reader: &mut ReaderSession,
    target: &mut Session,
    work: &TableWork,
    predicate: &str,
) -> Result<Read, Failure> {
    let order =
        work.key.as_ref().map(|key| format!(" ORDER BY {}", key.column_list())).unwrap_or_default();
    let query = format!(
        "SELECT {} FROM {}{} WHERE {}{order}",
        work.form.select_list(),
        work.table.name.sql(),
        work.hint(),
        work.table.taken(predicate),
    );
    let begun = Instant::now();
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let halt = shared.halt.child_token();
    let moved = |rows, bytes| shared.progress.moved(rows, bytes);
    let reading = read::read_rows(reader, &work.form, &query, sender, &halt, &moved);
    let loading = async {
        let loaded = load::load(target, &work.load, receiver).await;
        if loaded.is_err() {
            // Nobody takes rows any more.
            halt.cancel();
        }
        loaded
    };
    let (read, loaded) = tokio::join!(reading, loading);
    let (read, outcome) = match (read, loaded) {
        (Ok(read), Ok(outcome)) => (read, outcome),
        (Ok(_), Err(error)) => return Err(Failure::Target(error)),
        (Err(halted), Err(error)) if halted.kind() == Kind::Interrupted => {
            return Err(if shared.halt.is_cancelled() {
                Failure::Final(halted)
            } else {
                Failure::Target(error)
            });
        }
        (Err(error), _) => return Err(Failure::Source(error)),
    };
    if outcome.warnings == 0 && outcome.affected == read.rows {
        shared.governor.moved(begun.elapsed());
        return Ok(read);
    }
    let warning = match outcome.warnings {
        0 => None,
        _ => load::first_warning(target).await.map_err(Failure::Target)?,
    };
    let mut what = format!("{} rows were sent, {} arrived", read.rows, outcome.affected);
    if outcome.warnings > 0 {
        what = format!("{what}, with {} warnings", outcome.warnings);
    }
    let code = warning.as_ref().map(|(code, _)| *code);
    if let Some((_, warning)) = warning {
        what = format!("{what}; the first is {warning}");
    }
    let error = Error::new(Kind::NotExact, what).at(target.place());
    Err(Failure::Final(match code {
        Some(VALUE_TOO_LARGE) => large::value_was_cut(error),
        _ => error,
    }))
}

/// Whether the tables that were just read are those that the snapshot saw, not others that took their
/// names (an online schema change). Asked under the metadata locks of those reads, by a connection that
/// is outside the snapshot: inside it the server shows the definitions of then.
async fn same_tables(shared: &Shared, works: &[&TableWork]) -> Result<(), Failure> {
    let names: Vec<&TableName> = works.iter().map(|work| &work.table.name).collect();
    let mut witness = shared.witness.lock().await;
    let now = snapshot::created_now(&mut witness, &names).await.map_err(Failure::Source)?;
    drop(witness);
    for (work, now) in works.iter().zip(now) {
        if work.created.as_deref().is_some_and(|then| then != now) {
            return Err(Failure::Source(
                Error::new(
                    Kind::SnapshotLost,
                    "another table has taken the name of the one in the snapshot",
                )
                .at(&work.table.name),
            ));
        }
    }
    Ok(())
}

pub(super) fn triggers_in_the_way(work: &TableWork) -> Error {
    Error::new(
        Kind::State,
        "the source changed after the copy, and the table's triggers on the target would fire while its rows are replaced",
    )
    .at(&work.table.name)
    .next("`daybreak undo --to indexes`, then `daybreak resume`")
}
