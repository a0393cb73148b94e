//! Native replication from the source to the target: set up, followed, waited for, taken back.
//!
//! Where it starts is decided once and written down before it is done. By GTIDs the target is told
//! what its rows already hold, and the source sends the rest. By file and offset the rule is *never
//! apply twice*: the snapshot's coordinates are used only while nothing was applied since; a replica
//! that is there goes on from where it stands, one that must be set again starts at the position
//! that was written into the journal before it was reset, and one that vanished is refused.
//!
//! Nothing is believed that the procedures of Aurora print; the replica's own status is asked.

mod control;
mod follow;
mod health;
mod remedy;
mod status;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use crate::engine::PositionBy;
use crate::{
    engine::{
        Context, Entry, Finding, Journal, Severity, Step,
        context::{ENDPOINT, RESTORE},
    },
    error::{Error, Kind, Result},
    mysql::{Coordinates, GtidSet, Session},
    source::prepare,
};
pub(crate) use control::literal;
pub use control::{Control, SourceLogin, Start, executed_gtids};
pub use follow::{catch_up, wait_for};
pub use health::{Following, Health, must_follow};
pub use remedy::{explanation, failure, failure_of, stopped, stopped_by};
pub use status::{Receiver, ReplicaStatus, ThreadError};

/// The step's name.
pub const ID: &str = "replicate";

/// What is left to do where nobody can tell how far a replica came.
const ANEW: &str = "`daybreak undo --to prepare_source`, then run again: the rows are copied anew";

/// What is said of a target that is no replica, and what to do.
pub(crate) const NOBODY: (&str, &str) = (
    "the target replicates from nobody",
    "`daybreak undo --to objects`, then `daybreak resume` sets replication up",
);

/// How long the threads may take until both run.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// The checkpoint of a restore that holds where replication begins.
pub(crate) const COORDINATES: &str = "coordinates";

/// The snapshot's checkpoint, as far as replication needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorded {
    /// Where the source stood when the rows were read.
    pub coordinates: Coordinates,
}

/// What was told to the target. Written before it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceSet {
    host: String,
    port: u16,
    user: String,
    by: PositionBy,
    from: Coordinates,
}

/// The step that makes the target follow the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replicate;

#[async_trait]
impl Step for Replicate {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "replicate the changes made since the snapshot and catch up"
    }

    fn rollback(&self) -> &'static str {
        "stop replication and make the target forget its source"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        check(context).await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let by = context.plan()?.position;
        let mut target = context.target().await?;
        // Replicated heartbeats need their row.
        crate::sync::heartbeat::create(&mut target, &context.plan()?.migration).await?;
        let from = beginning(context, by)?;
        ensure(context, &mut target, ID, by, &from).await?;
        target.close().await;
        catch_up(context, by).await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let by = context.plan()?.position;
        let (mut source, mut target) = (context.source().await?, context.target().await?);
        confirm_running(&mut target).await?;
        let goal = Coordinates::read(&mut source).await?;
        let patience = context.config.replication.stalled_after;
        wait_for(&mut target, &goal, by, patience, &context.stop).await?;
        confirm_running(&mut target).await
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        let Some(status) = configured(&mut target).await? else { return Ok(()) };
        if !is_ours(context, &status)? {
            context.events.warn(format!(
                "the target replicates from {}:{}, which this migration didn't set up: left alone",
                status.source_host, status.source_port
            ));
            return Ok(());
        }
        take_down(context, &mut target, ID).await?;
        if !status.executed_gtids.is_empty() {
            context.events.info(
                "the source's transactions stay named in the target's gtid_executed: nothing can take them out of \
                 it, and they do no harm",
            );
        }
        Ok(())
    }
}

/// How the target logs in at the source.
pub fn login(context: &Context) -> Result<SourceLogin> {
    let settings = &context.config.replication;
    let (user, password) = match &settings.user {
        Some(user) => {
            let password = settings.password.clone().ok_or_else(|| {
                Error::new(Kind::Config, "the replication account has no password")
                    .next("set password_file in [replication]")
            })?;
            (user.clone(), password)
        }
        None => prepare::made_login(context)?,
    };
    let source = &context.config.source;
    let host = match &settings.source_host {
        Some(host) => host.clone(),
        None if source.host == "localhost" => "127.0.0.1".to_string(),
        None => source.host.clone(),
    };
    Ok(SourceLogin {
        host,
        port: settings.source_port.unwrap_or(source.port),
        user,
        password,
        tls: settings.tls,
    })
}

/// What a server says of its replication; none when it is no replica.
pub async fn status(session: &mut Session) -> Result<Option<ReplicaStatus>> {
    configured(session).await
}

/// Whether a server is a replica whose threads both run.
pub async fn is_running_replica(target: &mut Session) -> Result<bool> {
    Ok(configured(target).await?.is_some_and(|status| status.running()))
}

/// Starts a replication that is set up and stopped, and returns when both threads run.
pub async fn start(context: &Context) -> Result<ReplicaStatus> {
    let mut target = context.target().await?;
    let control = Control::find(&mut target, context.config.target_kind).await?;
    our_own(context, &mut target).await?;
    let by = context.plan()?.position;
    if let Some(refusal) = vanished(context, &mut target, ID, by).await? {
        return Err(refusal);
    }
    control.start(&mut target).await?;
    confirm_running(&mut target).await?;
    configured(&mut target).await?.ok_or_else(|| not_a_replica(&target))
}

/// Stops replication, and returns when both threads have ended. Its place is kept.
pub async fn stop(context: &Context) -> Result<ReplicaStatus> {
    let mut target = context.target().await?;
    let control = Control::find(&mut target, context.config.target_kind).await?;
    our_own(context, &mut target).await?;
    control.stop(&mut target).await?;
    confirm_stopped(&mut target).await
}

/// Makes sure that the target is a replica by this migration's doing.
async fn our_own(context: &Context, target: &mut Session) -> Result<()> {
    match configured(target).await? {
        None => Err(not_a_replica(target)),
        Some(status) if !is_ours(context, &status)? => Err(foreign(target, &status)),
        Some(_) => Ok(()),
    }
}

/// A replica's status; a server that was reset but still shows an empty row is no replica.
async fn configured(session: &mut Session) -> Result<Option<ReplicaStatus>> {
    Ok(ReplicaStatus::read(session).await?.filter(|status| !status.source_host.is_empty()))
}

fn not_a_replica(target: &Session) -> Error {
    Error::new(Kind::Replication, "the target replicates from nobody").at(target.place()).next(
        "`daybreak resume` sets replication up; if it had been and somebody reset it, \
             `daybreak undo --to objects` first",
    )
}

/// Whether a replica follows what this migration told it to follow.
pub(crate) fn is_ours(context: &Context, status: &ReplicaStatus) -> Result<bool> {
    let names = |host: &str, port: u16, user: &str| {
        (status.source_host.as_str(), status.source_port, status.source_user.as_str())
            == (host, port, user)
    };
    // Told by the cutover or by the step itself: either remembers.
    for step in [ID, crate::switch::cut_over::ID] {
        if let Some(set) = context.journal.recall::<SourceSet>(step, "source_set")?
            && names(&set.host, set.port, &set.user)
        {
            return Ok(true);
        }
    }
    Ok(login(context).is_ok_and(|login| names(&login.host, login.port, &login.user)))
}

/// Where the source stood when its rows were read, or at the end of the backup that was restored.
pub(crate) fn starting_point(journal: &Journal) -> Result<Option<Coordinates>> {
    for (step, name) in [("rows", "snapshot"), (RESTORE, COORDINATES)] {
        if let Some(Recorded { coordinates }) = journal.recall(step, name)? {
            return Ok(Some(coordinates));
        }
    }
    Ok(None)
}

/// Where replication starts if it has to be set up: the snapshot, or where it was left since.
fn beginning(context: &Context, by: PositionBy) -> Result<Coordinates> {
    let snapshot = starting_point(&context.journal)?.ok_or_else(|| {
        Error::new(Kind::State, "the journal has no snapshot to replicate from")
            .next("copy the rows first (`daybreak run --until rows`)")
    })?;
    if by == PositionBy::Gtid {
        return Ok(snapshot);
    }
    let (left_at, _) = history(context, ID)?;
    Ok(left_at.unwrap_or(snapshot))
}

/// The refusal to go on with a replication by file and offset whose place is lost: it was started and
/// vanished, or its place was reset and a start would begin with the source's first log. None where
/// that isn't so.
pub(crate) async fn vanished(
    context: &Context,
    target: &mut Session,
    step: &str,
    by: PositionBy,
) -> Result<Option<Error>> {
    if by == PositionBy::Gtid {
        return Ok(None);
    }
    let lost = match configured(target).await? {
        None => matches!(history(context, step)?, (None, true)),
        Some(status) => {
            !status.running() && is_ours(context, &status)? && has_no_place(context, &status)?
        }
    };
    Ok(lost.then(|| {
        Error::new(
            Kind::State,
            "the target's replication was reset by somebody else or after it had failed, and by file and offset \
             nobody can tell how far it had come",
        )
        .at(target.place())
        .next(ANEW)
    }))
}

/// Whether a replica that is set up has forgotten where it stands (RESET REPLICA keeps the source's
/// name alone), or stands before the point where this migration had it begin.
fn has_no_place(context: &Context, status: &ReplicaStatus) -> Result<bool> {
    let Some(executed) = &status.executed else { return Ok(true) };
    let begun =
        context.journal.entries()?.into_iter().rev().find_map(|record| match record.entry {
            Entry::Checkpoint { name, data, .. } if name == "source_set" => Some(data),
            _ => None,
        });
    let Some(begun) = begun else { return Ok(false) };
    let begun = serde_json::from_value::<SourceSet>(begun)?.from.file;
    Ok(begun.is_some_and(|begun| begun != *executed && begun.reaches(executed)))
}

/// Where a step left replication when it took it down, unless it started it since, and whether it
/// ever started it; all since the last snapshot or fence, from where everything is set anew.
///
/// An undone step's checkpoints aren't recalled, but what was applied stays applied: this looks at
/// the whole history.
fn history(context: &Context, of: &str) -> Result<(Option<Coordinates>, bool)> {
    let (mut left_at, mut started) = (None, false);
    for record in context.journal.entries()? {
        let Entry::Checkpoint { step, name, data } = record.entry else { continue };
        match name.as_str() {
            "snapshot" if step == "rows" => (left_at, started) = (None, false),
            ENDPOINT if step == RESTORE => (left_at, started) = (None, false),
            "fence" if step == of => (left_at, started) = (None, false),
            "started" if step == of => (left_at, started) = (None, true),
            "left_at" if step == of => {
                left_at = Some(serde_json::from_value::<Recorded>(data)?.coordinates);
            }
            _ => {}
        }
    }
    Ok((left_at, started))
}

/// Makes sure that the target replicates: sets it up from `from` if it has no source, goes on with
/// what is there if it has ours. Returns when both threads run.
///
/// The caller promises that `from` is where the target stood when the step hadn't started it yet.
///
/// # Errors
/// `State` when the step had started it by file and offset since, and it vanished.
pub(crate) async fn ensure(
    context: &Context,
    target: &mut Session,
    step: &str,
    by: PositionBy,
    from: &Coordinates,
) -> Result<()> {
    let control = Control::find(target, context.config.target_kind).await?;
    let login = login(context)?;
    let mut from = from.clone();
    if let Some(refusal) = vanished(context, target, step, by).await? {
        return Err(refusal);
    }
    if let Some(status) = configured(target).await? {
        if !is_ours(context, &status)? {
            return Err(foreign(target, &status));
        }
        let same = (status.source_host.as_str(), status.source_port, status.source_user.as_str())
            == (login.host.as_str(), login.port, login.user.as_str());
        if same && status.running() {
            return Ok(());
        }
        // It can't reach or enter the source: the operator may have corrected host or password, so it
        // is told again. An applier that failed may have gaps behind it, and is only started.
        let told_wrong =
            !same || (status.receive_error.is_some() && status.receiver != Receiver::Running);
        if !(told_wrong && status.apply_error.is_none()) {
            context.journal.record(step, "started", &())?;
            control.start(target).await?;
            return confirm_running(target).await;
        }
        if let Some(left_at) = take_down(context, target, step).await? {
            from = left_at;
        }
    } else if by == PositionBy::File
        && let (Some(left_at), _) = history(context, step)?
    {
        // Killed after it was taken down and before it was set again.
        from = left_at;
    }
    let set = SourceSet {
        host: login.host.clone(),
        port: login.port,
        user: login.user.clone(),
        by,
        from: from.clone(),
    };
    context.journal.record(step, "source_set", &set)?;
    let begin = match by {
        PositionBy::Gtid => {
            control.add_purged(target, &from.gtids).await?;
            Start::AutoPosition
        }
        PositionBy::File => Start::At(&from),
    };
    control.set_source(target, &login, begin).await?;
    context.journal.record(step, "started", &())?;
    control.start(target).await?;
    confirm_running(target).await
}

/// Stops replication, writes down where it stood, and makes the target forget its source.
async fn take_down(
    context: &Context,
    target: &mut Session,
    step: &str,
) -> Result<Option<Coordinates>> {
    let control = Control::find(target, context.config.target_kind).await?;
    control.stop(target).await?;
    let status = confirm_stopped(target).await?;
    // A clean stop leaves no gaps, so that this is exactly what was applied. A failure of one of
    // several workers may leave some: then no position says what was applied. Nor does one that was
    // reset.
    let left_at = if status.apply_error.is_some() || has_no_place(context, &status)? {
        None
    } else {
        status.executed.map(|file| Coordinates { file: Some(file), gtids: GtidSet::default() })
    };
    // By GTIDs the position isn't needed: the target's history says it.
    let left_at = left_at.filter(|_| !status.auto_position);
    if let Some(coordinates) = &left_at {
        context.journal.record(step, "left_at", &Recorded { coordinates: coordinates.clone() })?;
    }
    control.detach(target).await?;
    Ok(left_at)
}

pub(crate) fn foreign(target: &Session, status: &ReplicaStatus) -> Error {
    Error::new(
        Kind::Blocked,
        format!("the target already replicates from {}:{}", status.source_host, status.source_port),
    )
    .at(target.place())
    .next("stop and reset that replication if it is no longer needed, or choose another target")
}

/// Returns when both threads run, and with the replica's own error as soon as one fails.
pub(crate) async fn confirm_running(target: &mut Session) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = configured(target).await?.ok_or_else(|| not_a_replica(target))?;
        if status.running() {
            return Ok(());
        }
        if let Some(error) = failure_of(target, &status).await? {
            return Err(error);
        }
        if begun.elapsed() > START_PATIENCE {
            return Err(Error::new(
                Kind::Replication,
                format!(
                    "replication doesn't start: receiver {:?}, applier {}",
                    status.receiver,
                    if status.applying { "running" } else { "stopped" }
                ),
            )
            .at(target.place())
            .next("see the target's error log, then `daybreak resume`"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns when both threads have ended, with what the replica says then.
pub(crate) async fn confirm_stopped(target: &mut Session) -> Result<ReplicaStatus> {
    let begun = Instant::now();
    loop {
        let status = configured(target).await?.ok_or_else(|| not_a_replica(target))?;
        if !status.applying && status.receiver == Receiver::Stopped {
            return Ok(status);
        }
        if begun.elapsed() > START_PATIENCE {
            return Err(Error::new(Kind::Replication, "replication doesn't stop")
                .at(target.place())
                .next("a large transaction may be under way there; try again when it has ended"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What makes replication impossible, as far as both servers can be asked.
async fn check(context: &Context) -> Result<Vec<Finding>> {
    let by = context.plan()?.position;
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    let mut findings = Vec::new();
    let mut blocker = |id: &str, objects: Vec<String>, why: String, remedy: &str| {
        findings.push(Finding {
            id: id.into(),
            severity: Severity::Blocker,
            objects,
            why,
            remedy: remedy.into(),
        });
    };
    let on = |value: &Option<String>| value.as_deref() == Some("ON");
    if !on(&source.variable("log_bin").await?) {
        blocker(
            "source.log_bin",
            vec!["log_bin".into()],
            "the source writes no binary log, so there is nothing to replicate".into(),
            "start the source with log_bin, or say mode = \"none\" in [replication]",
        );
    }
    let ids = (source.variable("server_id").await?, target.variable("server_id").await?);
    if ids.0 == ids.1 || ids.0.as_deref() == Some("0") {
        blocker(
            "source.server_id",
            vec!["server_id".into()],
            "source and target have the same server_id, or the source has none".into(),
            "give the source a server_id of its own",
        );
    }
    if source.dialect().is_mariadb() && !target.dialect().is_mariadb() {
        blocker(
            "source.mariadb",
            Vec::new(),
            "MySQL can't apply the row events of MariaDB (13121)".into(),
            "say mode = \"none\" in [replication]: writes stop before the copy",
        );
    }
    if by == PositionBy::Gtid {
        for session in [&mut source, &mut target] {
            let side = session.side();
            if !on(&session.variable("gtid_mode").await?) {
                blocker(
                    &format!("{side}.gtid_mode"),
                    vec!["gtid_mode".into()],
                    format!("GTIDs aren't on at the {side}, and the plan keeps its place by them"),
                    "switch gtid_mode on, or say position = \"file\" in [replication] and plan anew",
                );
            }
        }
    }
    if context.config.source.socket.is_some() && context.config.replication.source_host.is_none() {
        blocker(
            "replication.source_host",
            Vec::new(),
            "the source is given by a socket, which the target can't reach".into(),
            "set source_host and source_port in [replication]",
        );
    }
    if let Some(status) = configured(&mut target).await?
        && !is_ours(context, &status)?
    {
        let found = foreign(&target, &status);
        blocker(
            "target.replica",
            vec![format!("{}:{}", status.source_host, status.source_port)],
            found.what().to_string(),
            found.next_step().unwrap_or_default(),
        );
    }
    if let Some(coordinates) = starting_point(&context.journal)?
        && configured(&mut target).await?.is_none()
        && let Some(why) = missing_log(&mut source, by, &coordinates).await?
    {
        blocker(
            "source.binlog_purged",
            Vec::new(),
            why,
            "`daybreak undo --to prepare_source`, keep the source's binary logs longer, and run again",
        );
    }
    Ok(findings)
}

/// Whether the source has purged what the target still needs; says so if it has.
async fn missing_log(
    source: &mut Session,
    by: PositionBy,
    from: &Coordinates,
) -> Result<Option<String>> {
    match (by, &from.file) {
        (PositionBy::Gtid, _) => {
            let purged: Option<String> = source.scalar("SELECT @@GLOBAL.gtid_purged").await?;
            let gone = GtidSet::parse(&purged.unwrap_or_default())?.minus(&from.gtids);
            Ok((!gone.is_empty())
                .then(|| format!("the source has purged {gone}, which the snapshot doesn't hold")))
        }
        (PositionBy::File, Some(file)) => {
            let mut there = false;
            for row in source.rows("SHOW BINARY LOGS").await? {
                there |= source.column::<String>(&row, 0)?.as_deref() == Some(file.file.as_str());
            }
            Ok((!there).then(|| format!("the source no longer has {}", file.file)))
        }
        (PositionBy::File, None) => Ok(Some("the snapshot has no binary log position".into())),
    }
}
