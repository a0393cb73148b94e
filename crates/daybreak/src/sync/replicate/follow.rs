//! Waiting for a replica: until it has caught up, and until it has executed a given point.
//!
//! Positions decide. A target counts as caught up when it has executed everything that the source
//! had committed at most `max_lag` ago. The heartbeat tells people the lag: its first beat is waited
//! for while one may come, and never longer than [`FIRST_BEAT`].

use std::time::{Duration, Instant};

use super::{PositionBy, ReplicaStatus, configured, failure_of, not_a_replica};
use crate::{
    engine::{Context, StopSignal},
    error::{Error, Kind, Result},
    event::Event,
    mysql::{Coordinates, Session},
    sync::heartbeat::{self, Heartbeat},
};

/// How often a replica is asked while somebody waits for a point.
const POLL: Duration = Duration::from_millis(20);

/// How often it is asked while it catches up.
const CATCH_UP_POLL: Duration = Duration::from_millis(100);

/// How long a source that can't be reached is no failure yet, once replication ran: a receiver tries
/// again every 60 s (the server's default, which the procedures of Aurora don't change).
const OUTAGE: Duration = Duration::from_secs(90);

/// How long the first heartbeat to arrive may keep a target waiting that has caught up by its position.
const FIRST_BEAT: Duration = Duration::from_secs(30);

/// Waits until the target is no further behind than the configured lag, telling the lag about once a
/// second. Takes as long as it takes, as long as it moves.
///
/// # Errors
/// `Replication` with the replica's own error, or when nothing moved for `stalled_after`.
pub async fn catch_up(context: &Context, by: PositionBy) -> Result<()> {
    let beat = Heartbeat::start(context);
    let caught_up = follow(context, by, &beat).await;
    beat.stop().await;
    caught_up
}

/// The lag as the heartbeat tells it: for people, and nothing is decided by it.
struct Lag<'a> {
    /// None where the configuration wants no heartbeat.
    beat: Option<&'a Heartbeat>,
    since: Instant,
    /// What the row was when it was first looked at, which says nothing of today.
    first: Option<Option<u64>>,
    arrives: bool,
}

impl Lag<'_> {
    /// How far behind the target is, as long as heartbeats are written and arrive.
    async fn look(
        &mut self,
        source: &mut Session,
        target: &mut Session,
    ) -> Result<Option<Duration>> {
        let Some(beat) = self.beat else { return Ok(None) };
        let written = heartbeat::row(target).await?.map(|(_, seq)| seq);
        self.arrives |= *self.first.get_or_insert(written) != written;
        if !self.arrives || beat.trouble().is_some() {
            return Ok(None);
        }
        heartbeat::lag(source, target).await
    }

    /// Whether the first may still come.
    fn is_awaited(&self) -> bool {
        self.beat.is_some_and(|beat| !self.arrives && beat.trouble().is_none())
            && self.since.elapsed() < FIRST_BEAT
    }

    /// Why nobody knows the lag, if somebody should.
    fn unknown(&self) -> Option<String> {
        let beat = self.beat?;
        match beat.trouble() {
            Some(why) => Some(format!("the heartbeat can't be written at the source: {why}")),
            None if !self.arrives => Some("no heartbeat arrives at the target".into()),
            None => None,
        }
    }
}

async fn follow(context: &Context, by: PositionBy, beat: &Heartbeat) -> Result<()> {
    let settings = &context.config.replication;
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    let mut goal: Option<(Coordinates, Instant)> = None;
    let mut told: Option<Instant> = None;
    let mut outage: Option<Instant> = None;
    let mut last: Option<(ReplicaStatus, Instant)> = None;
    let beat = settings.heartbeat.then_some(beat);
    let mut beats = Lag { beat, since: Instant::now(), first: None, arrives: false };
    loop {
        context.stop.check()?;
        let status = configured(&mut target).await?.ok_or_else(|| not_a_replica(&target))?;
        if let Some(error) = broken(&mut target, &status, &mut outage).await? {
            return Err(error);
        }
        let (point, asked) = match &goal {
            Some(goal) => goal.clone(),
            None => {
                let asked = Instant::now();
                let now = (Coordinates::read(&mut source).await?, asked);
                goal.insert(now).clone()
            }
        };
        let reached = status.reached(&point, by);
        let behind = asked.elapsed();
        let lag = beats.look(&mut source, &mut target).await?;
        let near = reached && behind <= settings.max_lag && status.running();
        let caught_up = near && !beats.is_awaited();
        if caught_up || told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) {
            told = Some(Instant::now());
            tell(context, lag, caught_up)?;
        }
        if caught_up {
            if let Some(why) = beats.unknown() {
                context.events.warn(format!(
                    "{why}. The lag isn't known; by its position the target has caught up"
                ));
            }
            return Ok(());
        }
        match &last {
            Some((before, since)) if before.progress() == status.progress() && !reached => {
                if since.elapsed() > settings.stalled_after {
                    return Err(stalled(&target, &status, since.elapsed()));
                }
            }
            _ => last = Some((status, Instant::now())),
        }
        if reached {
            goal = None;
        }
        tokio::select! {
            () = tokio::time::sleep(CATCH_UP_POLL) => {}
            () = context.stop.stopped() => {}
        }
    }
}

fn tell(context: &Context, lag: Option<Duration>, caught_up: bool) -> Result<()> {
    let seconds = lag.map(|lag| lag.as_secs_f64());
    context.events.send(Event::Lag { seconds, caught_up });
    if let Some(seconds) = seconds {
        context.journal.measure("lag_seconds", seconds)?;
    }
    Ok(())
}

/// The failure a status tells of. A source that can't be reached for a moment is none yet.
async fn broken(
    target: &mut Session,
    status: &ReplicaStatus,
    outage: &mut Option<Instant>,
) -> Result<Option<Error>> {
    if status.running() {
        *outage = None;
        return Ok(None);
    }
    let since = *outage.get_or_insert_with(Instant::now);
    if status.reconnecting() && since.elapsed() < OUTAGE {
        return Ok(None);
    }
    Ok(Some(match failure_of(target, status).await? {
        Some(error) => error,
        None => stopped(target, status),
    }))
}

fn stopped(target: &Session, status: &ReplicaStatus) -> Error {
    Error::new(
        Kind::Replication,
        format!(
            "replication doesn't run: receiver {:?}, applier {}",
            status.receiver,
            if status.applying { "running" } else { "stopped" }
        ),
    )
    .at(target.place())
    .next("somebody stopped it, or the server was restarted: `daybreak replicate start`, then `daybreak resume`")
}

fn stalled(target: &Session, status: &ReplicaStatus, since: Duration) -> Error {
    let at = status.executed.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    Error::new(
        Kind::Replication,
        format!("replication hasn't moved for {} s{at}", since.as_secs()),
    )
    .at(target.place())
    .next(
        "look at the target's process list: a lock or a very large transaction; raise stalled_after in \
         [replication] if it is busy, then `daybreak resume`. `daybreak explain replication-slow` and `daybreak explain \
         replication-stuck` tell the two apart",
    )
}

/// Waits until the target has executed a point of the source's history.
///
/// # Errors
/// `Timeout` when it hasn't within the time, `Replication` when it can't any more, and the word to
/// stop.
pub async fn wait_for(
    target: &mut Session,
    goal: &Coordinates,
    by: PositionBy,
    timeout: Duration,
    stop: &StopSignal,
) -> Result<()> {
    let begun = Instant::now();
    let mut outage = None;
    loop {
        stop.check()?;
        let status = configured(target).await?.ok_or_else(|| not_a_replica(target))?;
        if status.reached(goal, by) {
            return Ok(());
        }
        if let Some(error) = broken(target, &status, &mut outage).await? {
            return Err(error);
        }
        if begun.elapsed() >= timeout {
            let at = match (by, &status.executed) {
                (PositionBy::File, Some(at)) => at.to_string(),
                _ => format!("without {}", goal.gtids.minus(&status.executed_gtids)),
            };
            return Err(Error::new(
                Kind::Timeout,
                format!(
                    "the target hasn't executed {goal} within {:.1} s; it is {at}",
                    timeout.as_secs_f64()
                ),
            )
            .at(target.place())
            .next("wait until it has caught up (`daybreak replicate wait`), then try again"));
        }
        tokio::time::sleep(POLL.min(timeout)).await;
    }
}
