//! Past the point of no return: opens the target, closes the source for good, lets go of the lock,
//! and writes down what it came to. Each part may be done already.

use std::time::{Duration, Instant};

use super::{CutoverRecord, Fence, ID, ReadOnly, hold, is_closed, moved};
use crate::{
    engine::{Context, Entry, ReplicationMode},
    error::{Error, Kind, Result},
    event::Event,
    mysql::{Coordinates, Session, activity::connected},
    source::lock::{LockMethod, WriteLock},
    switch::hook,
    sync::replicate,
    target,
};

/// How long closing may wait for others' locks, in seconds.
const CLOSE_WAIT: u32 = 10;

/// How long the switch may take at least, when the wait before it has used up the budget: giving up
/// half-way is worse than being late.
const SWITCH: Duration = Duration::from_secs(5);

/// How long closing may be held up before those in its way are looked for.
const LOOK_FOR_WAITERS: Duration = Duration::from_millis(50);

/// For how long a closed source is watched where some accounts aren't bound by `read_only`.
const WATCH: Duration = Duration::from_millis(300);

/// How a source stands that has its writes back.
const TAKES_WRITES: &str = "the source takes writes again";

/// The statement that closes the source for good.
pub(super) fn closing_statement(source: &Session) -> &'static str {
    if source.dialect().has_super_read_only() {
        "SET GLOBAL super_read_only = ON"
    } else {
        "SET GLOBAL read_only = ON"
    }
}

/// Finds out whether the account may close the source, by setting the switch to what it is.
pub(super) async fn probe_closing(source: &mut Session) -> Result<()> {
    let now = ReadOnly::read(source).await?;
    let (name, on) = if source.dialect().has_super_read_only() {
        ("super_read_only", now.super_read_only)
    } else {
        ("read_only", now.read_only)
    };
    // Switching it on would wait for others' locks; only an open source is probed.
    if on {
        return Ok(());
    }
    source.execute(format!("SET GLOBAL {name} = OFF")).await.map_err(|error| {
        error.next(format!("grant the account what {} needs", closing_statement(source)))
    })?;
    Ok(())
}

/// Goes on from the point of no return to the end.
pub(super) async fn forward(
    context: &Context,
    fence: &Fence,
    mut lock: Option<WriteLock>,
    resumed: bool,
) -> Result<()> {
    let begun = lock.as_ref().map_or_else(Instant::now, WriteLock::since);
    let method = lock.as_ref().map(WriteLock::method);
    let budget = context.config.cutover.max_write_stop;
    let deadline = (begun + budget).max(Instant::now() + SWITCH);
    if let Some(lock) = &lock {
        lock.keep_until(deadline);
    }
    let switching = switch(context, fence, &mut lock, resumed);
    let switched = match tokio::time::timeout_at(deadline.into(), switching).await {
        Ok(switched) => switched,
        Err(_) => Err(Error::new(
            Kind::WriteStopExceeded,
            format!(
                "writes were stopped for {:.1} s, and the switch was still under way",
                begun.elapsed().as_secs_f64()
            ),
        )),
    };
    if let Err(error) = switched {
        return Err(give_up(context, lock, error).await);
    }
    let write_stop_millis = begun.elapsed().as_secs_f64() * 1e3;
    if let Some(lock) = lock {
        // The source is closed by its own switch now; a lock that died meanwhile changes nothing.
        if let Err(error) = lock.release().await {
            context.events.detail(format!("the lock's connection had ended: {}", error.what()));
        }
    }
    context.events.send(Event::WritesResumed {
        why: "cutover".into(),
        millis: write_stop_millis,
        on_target: true,
    });
    let mut source = context.source().await?;
    if !source.dialect().has_super_read_only() {
        watch(&mut source, fence).await?;
    }
    let kept_closed = keep_closed(context, &mut source).await;
    let record = CutoverRecord {
        write_stop_millis,
        budget_millis: budget.as_secs_f64() * 1e3,
        position: fence.position.clone(),
        target: fence.target.clone(),
        lock: method,
        resumed,
        kept_closed,
    };
    context.journal.record(ID, "result", &record)?;
    context.events.info(match kept_closed {
        true => "the source is closed by SET PERSIST super_read_only = ON, which outlives a restart".to_string(),
        false => format!(
            "the source is closed by {}; a restart of it forgets that unless its configuration says the same",
            closing_statement(&source)
        ),
    });
    after(context, &record).await
}

/// What is left when the target is open and the source closed: the hook, and the target's events.
pub(super) async fn after(context: &Context, record: &CutoverRecord) -> Result<()> {
    let told = [
        ("DAYBREAK_SOURCE_POSITION", record.position.to_string()),
        ("DAYBREAK_TARGET_POSITION", record.target.to_string()),
        ("DAYBREAK_WRITE_STOP_MILLIS", format!("{:.0}", record.write_stop_millis)),
    ];
    hook::after_target_open(context, &told).await?;
    let mut target = context.target().await?;
    target::objects::enable_events(context, &mut target).await?;
    Ok(())
}

/// Makes a source that is closed stay so when it is restarted, where it can be told to.
async fn keep_closed(context: &Context, source: &mut Session) -> bool {
    if !source.dialect().has_persist() {
        return false;
    }
    match source.execute("SET PERSIST super_read_only = ON").await {
        Ok(_) => true,
        Err(error) => {
            context
                .events
                .detail(format!("the source doesn't keep super_read_only: {}", error.what()));
            false
        }
    }
}

/// The switch itself, while the lock holds: the target is open and the source closed when it returns.
async fn switch(
    context: &Context,
    fence: &Fence,
    lock: &mut Option<WriteLock>,
    resumed: bool,
) -> Result<()> {
    let mut source = context.source().await?;
    let mut target = context.target().await?;
    if resumed {
        context.journal.append(Entry::PointOfNoReturn { step: ID.to_string() })?;
        if context.plan()?.replication == ReplicationMode::Native {
            // Killed between the fence and the end of the reset.
            hold::detach(context, &mut target).await?;
        }
    }
    // The entry may have taken long to reach the disk; nothing is open yet.
    if let Some(lock) = lock {
        lock.still_held().await?;
    }
    open_target(context, &mut target).await?;
    close_source(context, &mut source, lock).await?;
    let told = Coordinates::tell_all(&mut source).await?;
    // What the log can't tell, the lock's own connection proves by being there still.
    let lost = match lock {
        Some(lock) if !told => lock.still_held().await.is_err(),
        _ => false,
    };
    if lost || moved(&mut source, &fence.position).await? {
        return Err(moved_after_close(context, fence, &mut source, &mut target).await?);
    }
    if !told {
        context.journal.record(ID, "closed", &fence.position)?;
    }
    Ok(())
}

/// Lets go of the lock after a switch that failed, and says how both sides stand: some of it may be
/// done, or be done still by a server that doesn't answer.
async fn give_up(context: &Context, lock: Option<WriteLock>, error: Error) -> Error {
    if let Some(lock) = lock {
        match lock.release().await {
            Ok(held) => context.events.send(Event::WritesResumed {
                why: "cutover".into(),
                millis: held.as_secs_f64() * 1e3,
                on_target: false,
            }),
            Err(held) => context.events.warn(held.to_string()),
        }
    }
    let asking = async { is_closed(&mut context.source().await?).await };
    let source = match tokio::time::timeout(SWITCH, asking).await {
        Ok(Ok(true)) => "the source is closed",
        Ok(Ok(false)) => TAKES_WRITES,
        _ => "the source doesn't answer",
    };
    if source == TAKES_WRITES
        && let Err(unsettled) = hook::settle(context, error.what()).await
    {
        context.events.warn(unsettled.to_string());
    }
    // What was found out says itself what to do.
    if matches!(error.kind(), Kind::State | Kind::Blocked) {
        return error;
    }
    hold::final_attempt(error).next(format!(
        "{source}, and the target may be open already: let nobody write to the target, then `daybreak resume` looks \
         at both and goes on"
    ))
}

async fn open_target(context: &Context, target: &mut Session) -> Result<()> {
    let now = ReadOnly::read(target).await?;
    if !now.read_only && !now.super_read_only {
        return Ok(());
    }
    let control = replicate::Control::find(target, context.config.target_kind).await?;
    if control.has("rds_set_read_only") {
        target.execute("CALL mysql.rds_set_read_only(0)").await?;
    } else {
        // Switching read_only off switches super_read_only off too, where there is one.
        target.execute("SET GLOBAL read_only = OFF").await?;
    }
    let now = ReadOnly::read(target).await?;
    if now.read_only || now.super_read_only {
        return Err(Error::new(Kind::State, "the target still takes no writes")
            .at(target.place())
            .next("switch its read_only off, then `daybreak resume`; the source takes writes meanwhile"));
    }
    Ok(())
}

/// Closes a target that was closed before the cutover opened it.
pub(super) async fn close_target(
    context: &Context,
    target: &mut Session,
    fence: &Fence,
) -> Result<()> {
    let (now, Some(before)) = (ReadOnly::read(target).await?, fence.target_before) else {
        return Ok(());
    };
    if (now.read_only || !before.read_only) && (now.super_read_only || !before.super_read_only) {
        return Ok(());
    }
    target.execute(format!("SET SESSION lock_wait_timeout = {CLOSE_WAIT}")).await?;
    let control = replicate::Control::find(target, context.config.target_kind).await?;
    if control.has("rds_set_read_only") {
        target.execute("CALL mysql.rds_set_read_only(1)").await?;
    } else if before.super_read_only {
        target.execute("SET GLOBAL super_read_only = ON").await?;
    } else {
        target.execute("SET GLOBAL read_only = ON").await?;
    }
    if ReadOnly::read(target).await?.read_only {
        return Ok(());
    }
    Err(Error::new(
        Kind::State,
        "the target, which was read only before the cutover, still takes writes",
    )
    .at(target.place())
    .next("switch its read_only on, then `daybreak resume`"))
}

/// Closes the source by its own switch while the lock still holds.
async fn close_source(
    context: &Context,
    source: &mut Session,
    lock: &mut Option<WriteLock>,
) -> Result<()> {
    let statement = closing_statement(source);
    let result = match lock.as_ref().map(WriteLock::method) {
        // Already closed, or nobody is kept waiting.
        None => {
            source.execute(format!("SET SESSION lock_wait_timeout = {CLOSE_WAIT}")).await?;
            source.execute(statement).await.map(drop)
        }
        // The holder of the global read lock needn't wait for anybody.
        Some(LockMethod::GlobalReadLock) => {
            let by_holder = match lock {
                Some(lock) => lock.session().await.execute(statement).await.map(drop),
                None => Ok(()),
            };
            match by_holder {
                Ok(()) => Ok(()),
                Err(_) => close_past_waiters(context, source, statement).await,
            }
        }
        Some(LockMethod::TableLocks) => close_past_waiters(context, source, statement).await,
    };
    let now = ReadOnly::read(source).await;
    let how = format!(
        "the target is open and the source takes writes as well: let nobody write to the target, run {statement} on \
         the source, then `daybreak resume`"
    );
    match (result, now) {
        (Ok(()), Ok(now))
            if now.read_only
                && (now.super_read_only || !source.dialect().has_super_read_only()) =>
        {
            Ok(())
        }
        (Ok(()), Ok(_)) => Err(Error::new(Kind::State, "the source's read_only didn't stay on")
            .at(source.place())
            .next(how)),
        (Err(error), _) | (Ok(()), Err(error)) => {
            let mut failed = Error::new(Kind::State, "the source couldn't be closed for good")
                .because(
                    std::iter::once(error.what().to_string())
                        .chain(error.causes())
                        .collect::<Vec<_>>()
                        .join(": "),
                )
                .at(source.place())
                .next(how);
            if let Some(code) = error.code() {
                failed = failed.with_code(code);
            }
            Err(failed)
        }
    }
}

/// Closes a source on which table locks hold writers up.
///
/// The holder of table locks may not set the switch (1192). Another session waits for every writing
/// statement that has begun, those included that wait for the very locks; and letting the locks go
/// first would let those write. So they are ended: what they wait for is to be refused. New ones don't
/// begin once the switch is waited for.
async fn close_past_waiters(
    context: &Context,
    watcher: &mut Session,
    statement: &str,
) -> Result<()> {
    let mut closer = context.source().await?;
    closer.execute(format!("SET SESSION lock_wait_timeout = {CLOSE_WAIT}")).await?;
    let mine = [closer.id(), watcher.id()];
    let mut closing = std::pin::pin!(closer.execute(statement));
    loop {
        match tokio::time::timeout(LOOK_FOR_WAITERS, &mut closing).await {
            Ok(closed) => return closed.map(drop),
            Err(_) => end_waiters(watcher, &mine).await?,
        }
    }
}

/// Ends the statements that wait for a table's lock; their connections stay.
async fn end_waiters(watcher: &mut Session, mine: &[u32]) -> Result<()> {
    const WAITS: [&str; 2] = ["Waiting for table metadata lock", "Waiting for table level lock"];
    for one in connected(watcher).await? {
        let id = one.id;
        if !WAITS.contains(&one.state.as_str()) || mine.iter().any(|own| u64::from(*own) == id) {
            continue;
        }
        match watcher.execute(format!("KILL QUERY {id}")).await {
            Ok(_) => {}
            // 1094: it has gone by itself. Others may not be ended by this account (SYSTEM_USER): the
            // closing waits for them, and fails by its own bound if they stay.
            Err(error) if error.code() == Some(1094) || error.kind() == Kind::Privilege => {
                tracing::debug!(id, %error, "a statement that waits for the lock isn't ended");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens a source that this migration closed, as far as it was open before.
pub(super) async fn reopen_source(source: &mut Session, before: ReadOnly) -> Result<()> {
    let now = ReadOnly::read(source).await?;
    if now.super_read_only && !before.super_read_only {
        source.execute("SET GLOBAL super_read_only = OFF").await?;
        if source.dialect().has_persist() {
            // A warning where it isn't persisted.
            source.execute("RESET PERSIST IF EXISTS super_read_only").await?;
        }
    }
    if now.read_only && !before.read_only {
        source.execute("SET GLOBAL read_only = OFF").await?;
    }
    Ok(())
}

/// The lock died between the last look and the closing, and somebody was quick. While the target has
/// no writes of its own the source takes its writers back; going on begins again from the fence.
async fn moved_after_close(
    context: &Context,
    fence: &Fence,
    source: &mut Session,
    target: &mut Session,
) -> Result<Error> {
    let now = Coordinates::read(source).await?;
    if wrote(target, fence).await? != Wrote::Nothing {
        return Ok(two_histories(fence, &now, source, target).await);
    }
    close_target(context, target, fence).await?;
    reopen_source(source, fence.before).await?;
    context.events.send(Event::WritesResumed {
        why: "cutover".into(),
        millis: 0.0,
        on_target: false,
    });
    Ok(Error::new(
        Kind::State,
        format!(
            "the lock on the source was lost just before it was closed, and it wrote past {}",
            fence.position
        ),
    )
    .at(source.place())
    .next("the source takes writes again and the target got none: `daybreak resume` follows the source and cuts over again"))
}

async fn watch(source: &mut Session, fence: &Fence) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < WATCH {
        if moved(source, &fence.position).await? {
            return Err(Error::new(
                Kind::State,
                format!(
                    "an account that read_only doesn't bind wrote to the source after it was closed at {}",
                    fence.position
                ),
            )
            .at(source.place())
            .next(format!(
                "end the connections of accounts with SUPER on the source. Then bring what they wrote after {} to the \
                 target by hand (mysqlbinlog) and run `daybreak cutover --target-is-the-truth`, which completes it; or, if \
                 nobody has written to the target, `daybreak resume` follows the source and cuts over again",
                fence.position
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether the target wrote anything of its own since the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    Nothing,
    Something,
    /// It keeps no record of its own writes.
    NobodyKnows,
}

pub(super) async fn wrote(target: &mut Session, fence: &Fence) -> Result<Wrote> {
    let now = Coordinates::read(target).await?;
    if now == fence.target && now.file.is_some() {
        return Ok(Wrote::Nothing);
    }
    if now.file.is_none() {
        return Ok(Wrote::NobodyKnows);
    }
    if target.variable("gtid_mode").await?.as_deref() == Some("ON") {
        // Replication that was set again may have added the source's; only its own count.
        let own = |coordinates: &Coordinates| coordinates.gtids.of(&fence.target_uuid);
        return Ok(if own(&now) == own(&fence.target) { Wrote::Nothing } else { Wrote::Something });
    }
    Ok(if moved(target, &fence.target).await? { Wrote::Something } else { Wrote::Nothing })
}

/// The error when both sides went on by themselves.
pub(super) async fn two_histories(
    fence: &Fence,
    source_now: &Coordinates,
    source: &Session,
    target: &mut Session,
) -> Error {
    let target_now = match Coordinates::read(target).await {
        Ok(now) => now.to_string(),
        Err(_) => "unknown".to_string(),
    };
    Error::new(
        Kind::State,
        format!(
            "the cutover was interrupted after the target was opened, and both sides may have been written since: the \
             source went from {} to {source_now}, the target from {} to {target_now}",
            fence.position, fence.target
        ),
    )
    .at(format!("{}, {}", source.place(), target.place()))
    .next(format!(
        "decide which side's writes stay. If the target's: bring the source's writes after {} to it by hand \
         (mysqlbinlog), then `daybreak cutover --target-is-the-truth` closes the source and completes the migration. If \
         the source's: drop the migrated databases on the target, and begin a new migration in a new directory",
        fence.position
    ))
}
