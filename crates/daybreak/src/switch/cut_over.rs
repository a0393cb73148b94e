//! The cutover: writes stop at the source, the target executes the last of them, opens, and the
//! source stays closed.
//!
//! # What a failure or a kill leaves, and why that is sound
//!
//! Until the journal holds `PointOfNoReturn`, the source is closed by nothing but a lock that lives
//! with a connection. Whatever happens to daybreak or its machine, the source opens by itself, and
//! the target has executed a prefix of its history. The only effect that outlives a kill is that
//! replication may be reset; the `fence` in the journal says from where to set it again: the target
//! has executed exactly that position, so nothing is lost and nothing is applied twice.
//!
//! After `PointOfNoReturn` a killed run leaves four possibilities: target open or not yet, source
//! closed for good or (the lock being gone) open again. Going on looks at the source first:
//!
//! - It still stands at the fence, P: both sides hold the same, and the rest is done as if nothing
//!   had been: the lock again, open, close.
//! - It moved past P: its writers went on when the lock died. If the target wrote nothing of its own
//!   since the fence (its own GTIDs or its binary log stand where they were written down), it still
//!   is an exact copy of the source at P: it is closed again if it was before, `PointOfNoReturnLifted`
//!   is written, replication is set again from P, and the cutover is done again. What is killed from
//!   there on is before the point of no return: what replication then writes is no second history. If the target was written too, or nobody can tell, two histories exist; no program may
//!   choose between them, and the error names both positions. A person may
//!   (`daybreak cutover --target-is-the-truth`): where the source stands then is written down as `truth`
//!   and counts as the fence's position, and the rest is done.
//!
//! That the source "stands at the fence" is believed only of a binary log that tells of every write.
//! Without one, or with one that leaves databases out, the source counts as moved unless the journal
//! says that it was closed while the lock held. And a point of no return counts for the fence that it
//! followed, not for that of a later attempt.
//!
//! The budget bounds what comes after the point of no return too (with a few seconds at least): a
//! target that doesn't answer must not keep the source's writers waiting. The lock is let go of, by
//! KILL if its connection doesn't answer, and the next run finds one of the cases above.
//!
//! The target is opened *before* the source is closed for good: the other way round, a machine that
//! dies in between would leave nothing open, with nobody to open it.
//!
//! It refuses: to begin with unequal sides or replication that doesn't run, to outlast its budget,
//! and to be interrupted between the lock and a sound state.

mod gates;
mod hold;
mod objects;
mod open;
mod resume;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use gates::{DryRun, Gate, dry_run};

use crate::{
    engine::{Context, Entry, Finding, ReplicationMode, Step},
    error::{Error, Kind, Result},
    mysql::{Coordinates, Session},
    source::lock::LockMethod,
    switch::hook,
    sync::replicate,
};

/// The step's name.
pub const ID: &str = "cutover";

/// What the cutover came to, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutoverRecord {
    /// How long writes were stopped: from when the lock was asked for until the target was open and
    /// the source closed for good.
    pub write_stop_millis: f64,
    /// The longest that they might have been.
    pub budget_millis: f64,
    /// The source's last position, which the target has executed.
    pub position: Coordinates,
    /// Where the target stood before it was opened: what it writes of its own comes after.
    pub target: Coordinates,
    /// How the writes were kept out; none when a resumed cutover found the source closed already.
    pub lock: Option<LockMethod>,
    /// Whether an interrupted cutover was gone on with.
    pub resumed: bool,
    /// Whether the source stays closed when it is restarted.
    #[serde(default)]
    pub kept_closed: bool,
}

/// Where both sides stood when the last write had arrived. Written before replication is reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// The source's position, which the target has executed.
    position: Coordinates,
    /// The target's own.
    target: Coordinates,
    /// The target's identity, to tell its own GTIDs from the source's.
    target_uuid: String,
    /// How the source was before anything was closed.
    before: ReadOnly,
    /// How the target was before it was opened.
    #[serde(default)]
    target_before: Option<ReadOnly>,
}

/// A server's switches against writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadOnly {
    /// `read_only`.
    read_only: bool,
    /// `super_read_only`; off where there is none.
    super_read_only: bool,
}

impl ReadOnly {
    async fn read(session: &mut Session) -> Result<Self> {
        let on = |value: Option<String>| {
            value.is_some_and(|value| {
                value.eq_ignore_ascii_case("on")
                    || value == "1"
                    || value.eq_ignore_ascii_case("true")
            })
        };
        Ok(ReadOnly {
            read_only: on(session.variable("read_only").await?),
            super_read_only: on(session.variable("super_read_only").await?),
        })
    }
}

/// Whether a server takes no writes from ordinary accounts.
pub(super) async fn is_closed(session: &mut Session) -> Result<bool> {
    Ok(ReadOnly::read(session).await?.read_only)
}

/// The step that moves the writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct CutOver;

#[async_trait]
impl Step for CutOver {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "stop writes at the source, wait for the last of them, open the target"
    }

    fn rollback(&self) -> &'static str {
        "until the target is opened: the source takes writes again and replication goes on; after that none"
    }

    fn wants_consent(&self) -> bool {
        true
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let gates = gates::look(context).await?;
        Ok(gates.into_iter().filter_map(|gate| gate.finding).collect())
    }

    async fn run(&self, context: &Context) -> Result<()> {
        if let Some(record) = context.journal.recall::<CutoverRecord>(ID, "result")? {
            return open::after(context, &record).await;
        }
        let fenced = fence(context)?;
        if context.config.cutover.target_is_the_truth
            && (fenced.is_none() || !since_fence(context)?.opening)
        {
            return Err(nothing_to_choose());
        }
        if let Some(mut fence) = fenced {
            match resume::from_fence(context, &mut fence).await? {
                resume::Next::Forward(lock) => {
                    return open::forward(context, &fence, lock, true).await;
                }
                resume::Next::Again => {}
            }
        }
        let (fence, lock) = match context.plan()?.replication {
            ReplicationMode::Native => hold::with_replication(context).await?,
            ReplicationMode::None => hold::without_replication(context).await?,
            ReplicationMode::CopyOnly => {
                return Err(Error::new(Kind::State, "a copy alone has no cutover")
                    .next("plan a migration (`daybreak run`) to move the writes"));
            }
        };
        open::forward(context, &fence, Some(lock), false).await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let (mut source, mut target) = (context.source().await?, context.target().await?);
        let wrong = |what: &str, session: &Session, next: String| {
            Err(Error::new(Kind::State, what).at(session.place()).next(next))
        };
        let (closed, opened) =
            (ReadOnly::read(&mut source).await?, ReadOnly::read(&mut target).await?);
        if !closed.read_only || (source.dialect().has_super_read_only() && !closed.super_read_only)
        {
            let next = format!(
                "run {} on it if no application writes there any more",
                open::closing_statement(&source)
            );
            return wrong("the source takes writes", &source, next);
        }
        if opened.read_only || opened.super_read_only {
            let next = "switch its read_only off".to_string();
            return wrong("the target takes no writes", &target, next);
        }
        if let Some(status) = replicate::status(&mut target).await? {
            let next = "stop and reset that replication".to_string();
            let what = format!(
                "the target still replicates from {}:{}",
                status.source_host, status.source_port
            );
            return wrong(&what, &target, next);
        }
        Ok(())
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        // The runner refuses this after the point of no return: the source was never closed for good.
        hook::settle(context, "the cutover is taken back").await?;
        if let Some(why) = hold::vanished(context).await? {
            // There is nothing left to put back, and the steps before can be undone all the same.
            context.events.warn(format!("replication isn't put back: {why}"));
            return forget_fence(context);
        }
        hold::put_replication_back(context).await
    }
}

/// The fence in force, if there is one; at the position that the operator vouched for, if he did.
fn fence(context: &Context) -> Result<Option<Fence>> {
    let mut fence = context.journal.recall::<Option<Fence>>(ID, "fence")?.flatten();
    if let (Some(fence), Some(truth)) = (&mut fence, since_fence(context)?.truth) {
        fence.position = truth;
    }
    Ok(fence)
}

/// The refusal of a choice that nobody has.
pub fn nothing_to_choose() -> Error {
    Error::new(
        Kind::State,
        "no cutover was interrupted after the target was opened: there is nothing to choose",
    )
    .next("`daybreak status` says where it stands")
}

/// What became of the fence in force, by the order of entries: an earlier fence's don't count.
#[derive(Debug, Clone, Default)]
struct SinceFence {
    /// The target was about to be opened.
    opening: bool,
    /// The source was closed, and had been kept closed until then.
    closed: bool,
    /// Where the source stood when the operator said that the target holds all that is to stay.
    truth: Option<Coordinates>,
}

fn since_fence(context: &Context) -> Result<SinceFence> {
    let mut since = SinceFence::default();
    for record in context.journal.entries()? {
        match record.entry {
            Entry::PointOfNoReturn { .. } => since.opening = true,
            Entry::PointOfNoReturnLifted { .. } => since.opening = false,
            Entry::Checkpoint { step, name, data } if step == ID => match name.as_str() {
                "fence" => since = SinceFence::default(),
                "closed" => since.closed = true,
                "truth" => since.truth = Some(serde_json::from_value(data)?),
                _ => {}
            },
            _ => {}
        }
    }
    Ok(since)
}

/// Notes that no fence is in force any more: replication runs again.
fn forget_fence(context: &Context) -> Result<()> {
    context.journal.record(ID, "fence", &None::<Fence>)
}

/// Whether a server wrote anything since a point of its own history. Changes of log files alone are
/// no writes; a history that can't be read counts as one.
async fn moved(session: &mut Session, since: &Coordinates) -> Result<bool> {
    let now = Coordinates::read(session).await?;
    if now == *since {
        return Ok(false);
    }
    if now.gtids != since.gtids {
        return Ok(true);
    }
    let (Some(before), Some(now)) = (&since.file, &now.file) else { return Ok(true) };
    let files = session.binary_logs().await?;
    let first = files.iter().position(|file| *file == before.file);
    let last = files.iter().position(|file| *file == now.file);
    let (Some(first), Some(last)) = (first, last) else { return Ok(true) };
    if last < first || (last == first && now.position < before.position) {
        return Ok(true);
    }
    for (n, file) in files[first..=last].iter().enumerate() {
        let from = if n == 0 { before.position } else { 4 };
        let events = session
            .rows(format!(
                "SHOW BINLOG EVENTS IN {} FROM {from} LIMIT 100",
                replicate::literal(file)
            ))
            .await;
        let Ok(events) = events else { return Ok(true) };
        for event in events {
            let kind: String = session.field(&event, "Event_type")?;
            let only_the_log = matches!(
                kind.to_ascii_lowercase().as_str(),
                "rotate"
                    | "stop"
                    | "format_desc"
                    | "previous_gtids"
                    | "gtid_list"
                    | "binlog_checkpoint"
                    | "start_encryption"
            );
            if !only_the_log {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
