//! Differences while replication runs: looked at again until both sides agree, and proven under a
//! lock where they don't.
//!
//! A proof of a few rows: hold them (or the gaps where they would be) `FOR SHARE` at the source, take
//! the source's position while holding them, wait until the target has executed that position, read the
//! row there with a lock of its own, and compare. The lock is what makes it sound: nobody changes
//! the row after the position was taken, and whoever changed it before had written the binary log
//! by then. Two gaps are closed: `gtid_executed` of the source may lag behind the lock by the end of
//! a group commit, so that a difference found by GTID is looked at again at the file position; and a
//! target's position may be ahead of the commit by an instant, so that the target's row is read with
//! a lock, which waits for the applier. And no difference counts before it was proven twice.

use std::time::{Duration, Instant};

use super::{
    fence::IDLE_SECONDS,
    report::LISTED,
    table::{Pair, RowDifference, Work, by_key},
};
use crate::{
    engine::{PositionBy, StopSignal},
    error::{Error, Kind, Result},
    mysql::{ChunkKey, Coordinates, KeyTuple, PATIENT_SECONDS, Session},
    sync::replicate::{self, Receiver},
};

/// The longest that a row may be held at the source while the target catches up.
const HOLD: Duration = Duration::from_secs(5);
/// The longest wait for the target before a row is held.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How many rows are held at once.
const HELD: usize = 20;
/// How many keys one query looks up.
pub(super) const KEYS: usize = 100;

/// Whether the target is a replica that runs.
pub(super) async fn is_replicating(target: &mut Session) -> Result<bool> {
    let status = replicate::status(target).await?;
    // A connection that is being made again isn't a stop.
    Ok(status.is_some_and(|status| status.applying && status.receiver != Receiver::Stopped))
}

/// Waits until the target has executed a position of the source, up to a limit; an error if
/// replication doesn't run.
pub(super) async fn wait(
    target: &mut Session,
    position: &Coordinates,
    by: Option<PositionBy>,
    limit: Duration,
    stop: &StopSignal,
) -> Result<bool> {
    let by = match by {
        Some(by) => by,
        None => {
            let status = replicate::status(target).await?;
            if status.is_some_and(|status| status.auto_position) && !position.gtids.is_empty() {
                PositionBy::Gtid
            } else {
                PositionBy::File
            }
        }
    };
    match replicate::wait_for(target, position, by, limit, stop).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::Timeout => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the target has executed what the source has now.
pub(super) async fn catch_up(pair: &mut Pair, stop: &StopSignal) -> Result<bool> {
    let now = Coordinates::read(&mut pair.source).await?;
    wait(&mut pair.target, &now, None, CATCH_UP, stop).await
}

/// What became of differences that were looked at again.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Proven differences.
    pub proven: Vec<RowDifference>,
    /// Rows that neither agreed nor could be proven different.
    pub in_doubt: u64,
    /// Why not, of the last one.
    pub why: String,
    /// How many rows were looked at.
    pub rechecked: u64,
}

/// Looks at the differing rows of a table again until they agree, are proven different, or the time
/// is up.
pub(super) async fn settle(
    pair: &mut Pair,
    work: &Work,
    suspects: Vec<RowDifference>,
    until: Instant,
    stop: &StopSignal,
) -> Result<Settled> {
    let key =
        work.key().ok_or_else(|| Error::new(Kind::Bug, "rows without a key can't be looked up"))?;
    let mut settled = Settled {
        rechecked: suspects.len() as u64,
        why: "the rows keep changing".to_string(),
        ..Settled::default()
    };
    let mut open: Vec<KeyTuple> = suspects.into_iter().map(|row| row.key).collect();
    let mut round = 0;
    let mut batch = HELD;
    while !open.is_empty() {
        stop.check()?;
        if !catch_up(pair, stop).await? {
            settled.why = "the target didn't catch up with the source".to_string();
        }
        let mut left = Vec::new();
        for keys in open.chunks(KEYS) {
            left.extend(disagreeing(pair, work, key, keys).await?);
        }
        open = left;
        round += 1;
        // Most differences are changes under way: the second look finds them settled.
        if round > 1 {
            let mut undecided = Vec::new();
            let mut waiting = open.as_slice();
            while let Some((keys, rest)) = waiting.split_at_checked(batch.min(waiting.len())) {
                if keys.is_empty() {
                    break;
                }
                waiting = rest;
                if settled.proven.len() >= LISTED || Instant::now() > until {
                    undecided.extend_from_slice(keys);
                    continue;
                }
                match prove(pair, work, key, keys, stop).await? {
                    Ok(different) => settled.proven.extend(different),
                    Err(why) => {
                        settled.why = why;
                        undecided.extend_from_slice(keys);
                        // One row that others hold must not keep its neighbours in doubt.
                        batch = (batch / 2).max(1);
                    }
                }
            }
            open = undecided;
        }
        if Instant::now() > until || settled.proven.len() >= LISTED {
            break;
        }
    }
    settled.in_doubt = open.len() as u64;
    Ok(settled)
}

/// Those of the keys on whose rows the sides don't agree right now.
async fn disagreeing(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    keys: &[KeyTuple],
) -> Result<Vec<KeyTuple>> {
    let (ours, theirs) = tokio::join!(
        work.means.named(&mut pair.source, &work.source, key, keys, None),
        work.means.named(&mut pair.target, &work.target, key, keys, None)
    );
    let (ours, theirs) = (ours?, theirs?);
    let find = |rows: &[(KeyTuple, String)], tuple: &KeyTuple| {
        rows.iter().find(|row| row.0 == *tuple).map(|row| row.1.clone())
    };
    Ok(keys.iter().filter(|tuple| find(&ours, tuple) != find(&theirs, tuple)).cloned().collect())
}

/// Proves which of the rows differ, the others agreeing; or says why that can't be known now.
async fn prove(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    keys: &[KeyTuple],
    stop: &StopSignal,
) -> Result<Result<Vec<RowDifference>, String>> {
    match prove_once(pair, work, key, keys, stop).await? {
        Ok(different) if !different.is_empty() => {
            let keys: Vec<KeyTuple> = different.into_iter().map(|row| row.key).collect();
            prove_once(pair, work, key, &keys, stop).await
        }
        other => Ok(other),
    }
}

async fn prove_once(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    keys: &[KeyTuple],
    stop: &StopSignal,
) -> Result<Result<Vec<RowDifference>, String>> {
    // The lock is then held only for what happened in between.
    if !catch_up(pair, stop).await? {
        return Ok(Err("the target didn't catch up with the source".to_string()));
    }
    let transactional = work.source.engine.eq_ignore_ascii_case("InnoDB");
    pair.source
        .execute(format!(
            "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, wait_timeout = {IDLE_SECONDS}"
        ))
        .await?;
    pair.target.execute("SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 2").await?;
    let proof = match hold(pair, work, transactional).await {
        Ok(()) => held(pair, work, key, keys, transactional, stop).await,
        Err(error) => Err(error),
    };
    // Let go in every case; the first failure is the one to tell.
    let released = release(&mut pair.source, transactional).await;
    match proof {
        Err(error) if matches!(error.kind(), Kind::LockWait | Kind::Deadlock) => {
            released?;
            Ok(Err("the rows are locked by others".to_string()))
        }
        Err(error) => Err(error),
        Ok(proof) => released.map(|()| proof),
    }
}

async fn hold(pair: &mut Pair, work: &Work, transactional: bool) -> Result<()> {
    let sql = if transactional {
        "START TRANSACTION".to_string()
    } else {
        // Rows of other engines have no locks.
        format!("LOCK TABLES {} READ", work.source.name.sql())
    };
    pair.source.execute(sql).await.map(drop)
}

async fn release(source: &mut Session, transactional: bool) -> Result<()> {
    source.execute(if transactional { "ROLLBACK" } else { "UNLOCK TABLES" }).await?;
    source.execute(format!("SET SESSION wait_timeout = {PATIENT_SECONDS}")).await.map(drop)
}

async fn held(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    keys: &[KeyTuple],
    transactional: bool,
    stop: &StopSignal,
) -> Result<Result<Vec<RowDifference>, String>> {
    let lock = transactional.then(|| pair.source.dialect().for_share());
    let ours = work.means.named(&mut pair.source, &work.source, key, keys, lock).await?;
    let position = Coordinates::read(&mut pair.source).await?;
    let since = Instant::now();
    let late = || Ok(Err(format!("the target is more than {HOLD:?} behind")));
    if !wait(&mut pair.target, &position, None, HOLD, stop).await? {
        return late();
    }
    let theirs = target_rows(pair, work, key, keys).await?;
    let different = by_key(ours.clone(), theirs);
    if different.is_empty() || position.file.is_none() {
        return Ok(Ok(different));
    }
    let left = HOLD.saturating_sub(since.elapsed());
    if !wait(&mut pair.target, &position, Some(PositionBy::File), left, stop).await? {
        return late();
    }
    Ok(Ok(by_key(ours, target_rows(pair, work, key, keys).await?)))
}

/// The target's rows, read with a lock that waits for the applier's commit and ends at once.
async fn target_rows(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    keys: &[KeyTuple],
) -> Result<Vec<(KeyTuple, String)>> {
    let lock = pair.target.dialect().for_share();
    work.means.named(&mut pair.target, &work.target, key, keys, Some(lock)).await
}
