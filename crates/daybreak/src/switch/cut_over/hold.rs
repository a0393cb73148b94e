//! The write stop, up to the point of no return: the lock, the last position, the wait, the last
//! checks, and the fence. Whatever goes wrong here is put back, the lock first.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{Fence, ID, ReadOnly, fence, forget_fence, gates, moved, objects, open};
use crate::{
    engine::{Context, Entry, PositionBy, StopSignal},
    error::{Error, Kind, Result, Retry},
    event::Event,
    mysql::{Catalog, ConnectionId, Coordinates, Session, Side, TableName},
    source::lock::{LockMethod, Reach, WriteLock},
    switch::hook,
    sync::{heartbeat, replicate, verify},
    target,
};

/// How often the lock is looked at while the target catches up.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is looked whether the target may be opened.
const ASK: Duration = Duration::from_millis(20);

/// What hasn't happened when nobody says so.
const NOT_TOLD: &str = "been told to open (`daybreak cutover --go`)";

/// How often the global read lock is tried before table locks do.
const GLOBAL_TRIES: u32 = 5;

/// What the write stop is waiting for, for the error that a spent budget becomes.
struct Stage(Mutex<&'static str>);

impl Stage {
    fn set(&self, stage: &'static str) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stage;
    }

    fn get(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Stops the writes of a source that replicates to the target, up to the point of no return, which
/// is in the journal when this returns. The lock is held.
pub(super) async fn with_replication(context: &Context) -> Result<(Fence, WriteLock)> {
    let by = context.plan()?.position;
    let mut source = context.source().await?;
    let mut target = context.target().await?;
    // A privilege that is missing shows now, not when the target is open already.
    open::probe_closing(&mut source).await?;
    // Its heartbeat is stopped when it returns: nothing of ours writes to the source from here on.
    replicate::catch_up(context, by).await?;
    context.stop.check()?;
    hook::before_write_stop(context).await?;
    match stop_writes(context, &mut source, &mut target, by).await {
        Ok(held) => Ok(held),
        Err(error) => {
            hook::on_abort(context, error.what()).await;
            Err(error)
        }
    }
}

/// What `before_write_stop` agreed to.
async fn stop_writes(
    context: &Context,
    source: &mut Session,
    target: &mut Session,
    by: PositionBy,
) -> Result<(Fence, WriteLock)> {
    context.stop.check()?;
    // A word that came too late for an earlier attempt isn't for this one.
    context.journal.open_requested(true)?;
    let before = ReadOnly::read(source).await?;
    let may_kill = gates::may_kill(source).await?;
    let at_target = ConnectionId::of(target).await?;
    context.journal.record(ID, "closing", &before)?;

    // From here to a sound state nothing is interrupted: `context.stop` isn't looked at, but where it
    // waits to be told to open.
    let asked = Instant::now();
    let mut lock = acquire(context, source).await?;
    let deadline = lock.since().max(asked) + context.config.cutover.max_write_stop;
    lock.keep_until(deadline);
    context.events.send(Event::WritesStopped { why: "cutover".into() });
    if let Err(error) = closable(&lock, may_kill) {
        return Err(put_back(context, lock, None, error).await);
    }
    let stage = Stage(Mutex::new("stopped"));
    let held = tokio::time::timeout_at(
        deadline.into(),
        hold(context, &mut lock, source, target, by, before, &stage),
    )
    .await;
    let held = match held {
        Ok(Ok(fence)) => {
            context.journal.append(Entry::PointOfNoReturn { step: ID.to_string() }).map(|_| fence)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(exceeded(context, lock.since().elapsed(), stage.get())),
    };
    match held {
        Ok(fence) => Ok((fence, lock)),
        Err(error) => Err(put_back(context, lock, Some(at_target), error).await),
    }
}

/// The same where writes have been stopped since before the copy: nothing has to arrive any more.
pub(super) async fn without_replication(context: &Context) -> Result<(Fence, WriteLock)> {
    let mut source = context.source().await?;
    open::probe_closing(&mut source).await?;
    target::rows::ensure_current(context).await?;
    verify::after_the_copy(context, ID).await?;
    context.stop.check()?;
    context.journal.open_requested(true)?;
    let before = ReadOnly::read(&mut source).await?;
    context.journal.record(ID, "closing", &before)?;
    let Some(mut lock) = context.write_lock.lock().await.take() else {
        return Err(Error::new(Kind::Bug, "writes aren't stopped although the rows are current"));
    };
    match last_look(context, &mut lock, &mut source, before).await {
        Ok(fence) => Ok((fence, lock)),
        Err(error) => {
            let error = put_back(context, lock, None, error).await;
            hook::on_abort(context, error.what()).await;
            Err(error)
        }
    }
}

async fn last_look(
    context: &Context,
    lock: &mut WriteLock,
    source: &mut Session,
    before: ReadOnly,
) -> Result<Fence> {
    let may_kill = gates::may_kill(source).await?;
    closable(lock, may_kill)?;
    let mut target = context.target().await?;
    let snapshot = target::rows::latest_snapshot(&context.journal)?.ok_or_else(|| {
        Error::new(Kind::State, "the journal has no snapshot").next("copy the rows first")
    })?;
    objects::compare(context, source, &mut target).await?;
    let position = match &snapshot.coordinates.file {
        Some(_) => snapshot.coordinates,
        // The snapshot's place tells nothing; that the lock was held since does.
        None => Coordinates::read(&mut *lock.session().await).await?,
    };
    let budget = context.config.cutover.max_write_stop;
    match tokio::time::timeout(budget, told_to_open(context, lock, &position)).await {
        Ok(told) => told?,
        Err(_) => return Err(exceeded(context, lock.since().elapsed(), NOT_TOLD)),
    }
    still(lock, &position).await?;
    let fence = Fence {
        position,
        target: Coordinates::read(&mut target).await?,
        target_uuid: target.server_uuid().await?,
        before,
        target_before: Some(ReadOnly::read(&mut target).await?),
    };
    context.journal.record(ID, "fence", &fence)?;
    context.journal.append(Entry::PointOfNoReturn { step: ID.to_string() })?;
    Ok(fence)
}

/// Takes the lock: the global one if it is to be had, since it keeps out what no table lock does
/// (other tables, DDL, accounts), else the locks of everything that is selected.
pub(super) async fn acquire(context: &Context, source: &mut Session) -> Result<WriteLock> {
    let catalog = Catalog::read(source, &context.plan()?.selection).await?;
    let tables: Vec<TableName> = catalog.tables.into_iter().map(|table| table.name).collect();
    let (url, settings) = (&context.config.source, &context.config.copy);
    let (wait, attempts) = (settings.lock_wait, settings.lock_attempts);
    let events = &context.events;
    let few = attempts.min(GLOBAL_TRIES);
    match WriteLock::acquire(Reach::Server, url, &[], wait, few, events).await {
        Err(error) if matches!(error.kind(), Kind::LockWait | Kind::Privilege) => {
            events.detail(format!("the global read lock isn't to be had: {}", error.what()));
            WriteLock::acquire(Reach::Server, url, &tables, wait, attempts, events).await
        }
        other => other,
    }
    .map_err(final_attempt)
}

/// Whether a source that is kept closed by that lock can be closed for good while it is.
fn closable(lock: &WriteLock, may_kill: bool) -> Result<()> {
    if lock.method() == LockMethod::GlobalReadLock || may_kill {
        return Ok(());
    }
    Err(Error::new(
        Kind::Privilege,
        "writes could be stopped by table locks only, and under these the account can't close the source for good",
    )
    .next(
        "grant it RELOAD (or FLUSH_TABLES) for FLUSH TABLES WITH READ LOCK, or CONNECTION_ADMIN (before MySQL 8: \
         SUPER) to end the statements that wait for the locks; if it has RELOAD, wait for long statements to end",
    ))
}

/// A failed cutover isn't begun again by itself: another write stop is for a person to ask for.
pub(super) fn final_attempt(error: Error) -> Error {
    if error.kind().retry() == Retry::No {
        return error;
    }
    let kind = if error.kind() == Kind::LockWait { Kind::Timeout } else { Kind::State };
    let (what, place) = (error.what().to_string(), error.place().map(str::to_string));
    let next = error.next_step().map(str::to_string);
    let causes = error.causes();
    let mut last = Error::new(kind, what);
    if let Some(code) = error.code() {
        last = last.with_code(code);
    }
    if !causes.is_empty() {
        last = last.because(causes.join(": "));
    }
    if let Some(place) = place {
        last = last.at(place);
    }
    last.next(next.unwrap_or_else(|| "`daybreak cutover` tries again".to_string()))
}

/// The stop itself.
async fn hold(
    context: &Context,
    lock: &mut WriteLock,
    source: &mut Session,
    target: &mut Session,
    by: PositionBy,
    before: ReadOnly,
    stage: &Stage,
) -> Result<Fence> {
    let position = Coordinates::read(&mut *lock.session().await).await?;
    stage.set("executed the source's last position");
    let never = StopSignal::default();
    loop {
        match replicate::wait_for(target, &position, by, LOOK, &never).await {
            Ok(()) => break,
            // The budget ends this, not the slice.
            Err(error) if error.kind() == Kind::Timeout => still(lock, &position).await?,
            Err(error) => return Err(error),
        }
    }
    // A position may look reached where a log was begun anew; whose threads run follows this source.
    replicate::confirm_running(target).await?;
    stage.set("shown the same objects and heartbeat");
    objects::compare(context, source, target).await?;
    same_heartbeat(source, target).await?;
    stage.set(NOT_TOLD);
    told_to_open(context, lock, &position).await?;
    still(lock, &position).await?;
    let mut fence = Fence {
        position,
        target: Coordinates::read(target).await?,
        target_uuid: target.server_uuid().await?,
        before,
        target_before: Some(ReadOnly::read(target).await?),
    };
    stage.set("stopped replicating");
    context.journal.record(ID, "fence", &fence)?;
    if let Some(control) = ours(context, target).await? {
        // The place that the reset forgets is the fence only if nothing came after it: the source
        // stands there when the applier has ended. Else it is only started again.
        control.stop(target).await?;
        replicate::confirm_stopped(target).await?;
        still(lock, &fence.position).await?;
        control.detach(target).await?;
    }
    still(lock, &fence.position).await?;
    // The procedures may have written to the target's own log.
    let now = Coordinates::read(target).await?;
    if now != fence.target {
        fence.target = now;
        context.journal.record(ID, "fence", &fence)?;
    }
    Ok(fence)
}

/// Waits to be told to open the target, if that is wanted, while the lock holds. The budget ends it;
/// so does the word to stop, since nothing is half done here.
async fn told_to_open(
    context: &Context,
    lock: &mut WriteLock,
    position: &Coordinates,
) -> Result<()> {
    if !context.config.cutover.pause_before_open {
        return Ok(());
    }
    context.events.warn(format!(
        "writes are stopped and both sides agree: `daybreak cutover --go` opens the target; without it everything is put \
         back {:.1} s after writes were stopped",
        context.config.cutover.max_write_stop.as_secs_f64()
    ));
    loop {
        let slice = Instant::now() + LOOK;
        while Instant::now() < slice {
            if context.journal.open_requested(true)? {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(ASK) => {}
                () = context.stop.stopped() => context.stop.check()?,
            }
        }
        still(lock, position).await?;
    }
}

/// Stops replication and makes the target forget the source, if that is ours.
pub(super) async fn detach(context: &Context, target: &mut Session) -> Result<()> {
    match ours(context, target).await? {
        Some(control) => control.detach(target).await,
        None => Ok(()),
    }
}

/// How a target is controlled that replicates by this migration's doing; none if it is no replica.
async fn ours(context: &Context, target: &mut Session) -> Result<Option<replicate::Control>> {
    let Some(status) = replicate::status(target).await? else { return Ok(None) };
    if !replicate::is_ours(context, &status)? {
        return Err(replicate::foreign(target, &status));
    }
    replicate::Control::find(target, context.config.target_kind).await.map(Some)
}

/// Proves by the lock's own connection that the lock is held and that nothing was written.
async fn still(lock: &mut WriteLock, position: &Coordinates) -> Result<()> {
    let lost = |error: Error| {
        Error::new(Kind::State, "the connection that kept the source closed was lost")
            .because(error.causes().join(": "))
            .next("the source takes writes again; `daybreak cutover` tries again")
    };
    let mut session = lock.session().await;
    match moved(&mut session, position).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::new(
            Kind::State,
            format!("the source wrote past {position} although writes were stopped"),
        )
        .at(session.place())
        .next(
            "an account or a table that the lock doesn't bind: stop those writers (DDL, accounts, tables that aren't \
             taken), then `daybreak cutover` again",
        )),
        Err(error) if matches!(error.kind(), Kind::ConnectionLost | Kind::Connect) => {
            Err(lost(error))
        }
        Err(error) => Err(error),
    }
}

/// The proof by content: the row that was written last is the same on both sides.
async fn same_heartbeat(source: &mut Session, target: &mut Session) -> Result<()> {
    let (here, there) = (heartbeat::row(source).await?, heartbeat::row(target).await?);
    if here == there {
        return Ok(());
    }
    Err(Error::new(
        Kind::Different,
        format!(
            "the target has executed the source's last position and yet holds heartbeat {} instead of {}",
            there.map_or_else(|| "none".to_string(), |row| row.1.to_string()),
            here.map_or_else(|| "none".to_string(), |row| row.1.to_string())
        ),
    )
    .at(target.place())
    .next("replication filters, or somebody wrote to `daybreak`.`heartbeat`: `daybreak undo --to prepare_source`, then `daybreak resume` copies the rows anew"))
}

fn exceeded(context: &Context, stopped: Duration, stage: &str) -> Error {
    Error::new(
        Kind::WriteStopExceeded,
        format!(
            "writes were stopped for {:.1} s, the most that was allowed ({:.1} s), and the target still hadn't {stage}",
            stopped.as_secs_f64(),
            context.config.cutover.max_write_stop.as_secs_f64()
        ),
    )
    .at(match context.target_url() {
        Ok(target) => format!("target {target}"),
        Err(_) => "target".to_string(),
    })
}

/// Puts everything back, the source's writers first; returns the failure that led here.
///
/// `abandoned` is the connection to the target on which a statement may still run that the spent
/// budget cut off: it would stop replication again after it was put back, so it is ended first.
async fn put_back(
    context: &Context,
    lock: WriteLock,
    abandoned: Option<ConnectionId>,
    error: Error,
) -> Error {
    let mut error = final_attempt(error);
    match lock.release().await {
        Ok(held) => context.events.send(Event::WritesResumed {
            why: "cutover".into(),
            millis: held.as_secs_f64() * 1e3,
            on_target: false,
        }),
        Err(held) => {
            context.events.warn(held.to_string());
            error = error.next(format!(
                "the source may still be closed: {}. Then `daybreak cutover` tries again",
                held.next_step().unwrap_or_default()
            ));
        }
    }
    let replication = async {
        if let Some(connection) = abandoned {
            connection.end(&context.target_url()?, Side::Target).await?;
        }
        put_replication_back(context).await
    };
    match replication.await {
        Ok(()) => error,
        Err(worse) => {
            context.events.warn(format!("replication couldn't be put back: {worse}"));
            error.next(
                "the source takes writes again, but replication isn't back yet: `daybreak resume` sets it from \
                 where it was stopped",
            )
        }
    }
}

/// Sets replication again from the fence, if a fence was written: the target executed exactly that.
pub(super) async fn put_replication_back(context: &Context) -> Result<()> {
    let Some(fence) = fence(context)? else { return Ok(()) };
    let plan = context.plan()?;
    if plan.replication == crate::engine::ReplicationMode::Native {
        let mut target = context.target().await?;
        replicate::ensure(context, &mut target, ID, plan.position, &fence.position).await?;
    }
    forget_fence(context)
}

/// The refusal to set replication again from the fence, if that is what would come of it.
pub(super) async fn vanished(context: &Context) -> Result<Option<Error>> {
    let plan = context.plan()?;
    if fence(context)?.is_none() || plan.replication != crate::engine::ReplicationMode::Native {
        return Ok(None);
    }
    let mut target = context.target().await?;
    replicate::vanished(context, &mut target, ID, plan.position).await
}
