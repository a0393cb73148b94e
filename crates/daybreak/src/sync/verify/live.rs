//! Differences while replication runs: looked at again until both sides agree, and proven under a
//! lock where they don't.
//!
//! A proof of one row: hold it (or the gap where it would be) `FOR SHARE` at the source, take the
//! source's position while holding it, wait until the target has executed that position, read the
//! row there with a lock of its own, and compare. The lock is what makes it sound: nobody changes
//! the row after the position was taken, and whoever changed it before had written the binary log
//! by then. Two gaps are closed: `gtid_executed` of the source may lag behind the lock by the end of
//! a group commit, so that a difference found by GTID is looked at again at the file position; and a
//! target's position may be ahead of the commit by an instant, so that the target's row is read with
//! a lock, which waits for the applier. And no difference counts before it was proven twice.

use std::time::{Duration, Instant};

use super::{
    hash,
    report::LISTED,
    table::{Pair, RowDifference, Work},
};
use crate::{
    engine::StopSignal,
    error::{Error, Kind, Result},
    mysql::{ChunkKey, Coordinates, FilePosition, KeyTuple, Session},
};

/// The longest that a row may be held at the source while the target catches up.
const HOLD: Duration = Duration::from_secs(5);
/// The longest wait for the target before a row is held.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How often the target is asked.
const POLL: Duration = Duration::from_millis(5);
/// How many keys one query looks up.
const KEYS: usize = 100;

/// How far the target's replica is.
#[derive(Debug)]
struct Replica {
    running: bool,
    error: String,
    auto_position: bool,
    source_uuid: Option<String>,
    executed: Option<FilePosition>,
}

/// A column of a row if the server has it, and it isn't NULL.
fn field(row: &mysql_async::Row, names: [&str; 2]) -> Option<String> {
    let at = row
        .columns_ref()
        .iter()
        .position(|column| names.iter().any(|name| column.name_str().eq_ignore_ascii_case(name)))?;
    row.get_opt::<Option<String>, _>(at)?.ok()?
}

/// Reads the replica's status; none if the target is no replica. Of several channels, the one from
/// this source.
async fn replica(target: &mut Session, source_uuid: &str) -> Result<Option<Replica>> {
    let statement = target.dialect().replica_status();
    let mut replicas: Vec<Replica> = target
        .rows(statement)
        .await?
        .iter()
        .map(|row| {
            let says = |names, wanted: &str| field(row, names).as_deref() == Some(wanted);
            let file = field(row, ["Relay_Source_Log_File", "Relay_Master_Log_File"]);
            let position = field(row, ["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"]);
            let io = field(row, ["Replica_IO_Running", "Slave_IO_Running"]);
            let error = |sql: &str, io: &str| {
                field(row, [sql, sql])
                    .filter(|text| !text.is_empty())
                    .or_else(|| field(row, [io, io]))
                    .unwrap_or_default()
            };
            Replica {
                // A connection that is being made again isn't a stop.
                running: says(["Replica_SQL_Running", "Slave_SQL_Running"], "Yes")
                    && io.as_deref() != Some("No"),
                error: error("Last_SQL_Error", "Last_IO_Error"),
                auto_position: says(["Auto_Position", "Auto_Position"], "1"),
                source_uuid: field(row, ["Source_UUID", "Master_UUID"]).filter(|u| !u.is_empty()),
                executed: match (file, position.and_then(|text| text.parse().ok())) {
                    (Some(file), Some(position)) if !file.is_empty() => {
                        Some(FilePosition { file, position })
                    }
                    _ => None,
                },
            }
        })
        .collect();
    if let Some(at) =
        replicas.iter().position(|replica| replica.source_uuid.as_deref() == Some(source_uuid))
    {
        return Ok(Some(replicas.swap_remove(at)));
    }
    Ok(replicas.into_iter().next())
}

/// Whether the target is a replica that runs.
pub(super) async fn is_replicating(target: &mut Session) -> Result<bool> {
    Ok(replica(target, "").await?.is_some_and(|replica| replica.running))
}

/// By what the target's progress is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Gtid,
    File,
}

/// What is known of the pair's replication.
#[derive(Debug)]
pub(super) struct Follower {
    source_uuid: String,
}

impl Follower {
    pub async fn new(source: &mut Session) -> Result<Self> {
        Ok(Follower { source_uuid: source.server_uuid().await? })
    }

    /// Whether the target has executed a position; an error if replication doesn't run.
    async fn executed(
        &self,
        target: &mut Session,
        position: &Coordinates,
        by: Option<Measure>,
    ) -> Result<bool> {
        let Some(replica) = replica(target, &self.source_uuid).await? else {
            return Err(Error::new(Kind::Replication, "the target is no replica any more")
                .at(target.place()));
        };
        if !replica.running {
            let why = if replica.error.is_empty() {
                String::new()
            } else {
                format!(": {}", replica.error)
            };
            return Err(Error::new(
                Kind::Replication,
                format!("replication stopped during verification{why}"),
            )
            .at(target.place()));
        }
        let by_gtid = replica.auto_position && !position.gtids.is_empty();
        match by.unwrap_or(if by_gtid { Measure::Gtid } else { Measure::File }) {
            Measure::Gtid => {
                let sql =
                    format!("SELECT GTID_SUBSET('{}', @@GLOBAL.gtid_executed)", position.gtids);
                Ok(target.scalar::<i64>(sql).await? == Some(1))
            }
            Measure::File => match (&position.file, &replica.executed) {
                (Some(wanted), Some(executed)) => Ok(executed.reaches(wanted)),
                _ => Err(Error::new(
                    Kind::Replication,
                    "the target's position in the source's binary log is unknown",
                )
                .at(target.place())),
            },
        }
    }

    /// Whether file positions of target and source speak of the same binary log.
    async fn has_file(&self, target: &mut Session, position: &Coordinates) -> Result<bool> {
        let replica = replica(target, &self.source_uuid).await?;
        Ok(position.file.is_some()
            && replica.is_some_and(|replica| {
                replica.executed.is_some()
                    && replica.source_uuid.is_none_or(|uuid| uuid == self.source_uuid)
            }))
    }

    /// Waits until the target has executed a position, up to a limit.
    pub async fn wait(
        &self,
        target: &mut Session,
        position: &Coordinates,
        limit: Duration,
        stop: &StopSignal,
    ) -> Result<bool> {
        self.wait_by(target, position, None, limit, stop).await
    }

    async fn wait_by(
        &self,
        target: &mut Session,
        position: &Coordinates,
        by: Option<Measure>,
        limit: Duration,
        stop: &StopSignal,
    ) -> Result<bool> {
        let begun = Instant::now();
        while !self.executed(target, position, by).await? {
            stop.check()?;
            if begun.elapsed() > limit {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(true)
    }

    /// Waits until the target has executed what the source has now.
    pub async fn catch_up(&self, pair: &mut Pair, stop: &StopSignal) -> Result<bool> {
        let now = Coordinates::read(&mut pair.source).await?;
        self.wait(&mut pair.target, &now, CATCH_UP, stop).await
    }
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
    follower: &Follower,
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
    while !open.is_empty() {
        stop.check()?;
        if !follower.catch_up(pair, stop).await? {
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
            for tuple in std::mem::take(&mut open) {
                if settled.proven.len() >= LISTED || Instant::now() > until {
                    undecided.push(tuple);
                    continue;
                }
                match prove(follower, pair, work, key, &tuple, stop).await? {
                    Proof::Agree => {}
                    Proof::Differ(row) => settled.proven.push(row),
                    Proof::Undecided(why) => {
                        settled.why = why;
                        undecided.push(tuple);
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
        hash::key_hashes(&mut pair.source, &work.source, key, keys, None),
        hash::key_hashes(&mut pair.target, &work.target, key, keys, None)
    );
    let (ours, theirs) = (ours?, theirs?);
    let find = |rows: &[(KeyTuple, String)], tuple: &KeyTuple| {
        rows.iter().find(|row| row.0 == *tuple).map(|row| row.1.clone())
    };
    Ok(keys.iter().filter(|tuple| find(&ours, tuple) != find(&theirs, tuple)).cloned().collect())
}

enum Proof {
    Agree,
    Differ(RowDifference),
    Undecided(String),
}

async fn prove(
    follower: &Follower,
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    tuple: &KeyTuple,
    stop: &StopSignal,
) -> Result<Proof> {
    let first = prove_once(follower, pair, work, key, tuple, stop).await?;
    match first {
        Proof::Differ(_) => prove_once(follower, pair, work, key, tuple, stop).await,
        other => Ok(other),
    }
}

async fn prove_once(
    follower: &Follower,
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    tuple: &KeyTuple,
    stop: &StopSignal,
) -> Result<Proof> {
    // The lock is then held only for what happened in between.
    if !follower.catch_up(pair, stop).await? {
        return Ok(Proof::Undecided("the target didn't catch up with the source".to_string()));
    }
    let transactional = work.source.engine.eq_ignore_ascii_case("InnoDB");
    pair.source.execute("SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1").await?;
    pair.target.execute("SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 2").await?;
    let proof = match hold(pair, work, transactional).await {
        Ok(()) => held(follower, pair, work, key, tuple, transactional, stop).await,
        Err(error) => Err(error),
    };
    // Let go in every case; the first failure is the one to tell.
    let released = release(&mut pair.source, transactional).await;
    match proof {
        Err(error) if matches!(error.kind(), Kind::LockWait | Kind::Deadlock) => {
            released?;
            Ok(Proof::Undecided("the row is locked by others".to_string()))
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
    source.execute(if transactional { "ROLLBACK" } else { "UNLOCK TABLES" }).await.map(drop)
}

async fn held(
    follower: &Follower,
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    tuple: &KeyTuple,
    transactional: bool,
    stop: &StopSignal,
) -> Result<Proof> {
    let one = std::slice::from_ref(tuple);
    let lock = transactional.then(|| pair.source.dialect().for_share());
    let ours = hash::key_hashes(&mut pair.source, &work.source, key, one, lock).await?;
    let ours = ours.into_iter().next().map(|row| row.1);
    let position = Coordinates::read(&mut pair.source).await?;
    let late = || Ok(Proof::Undecided(format!("the target is more than {HOLD:?} behind")));
    if !follower.wait(&mut pair.target, &position, HOLD, stop).await? {
        return late();
    }
    let mut theirs = target_row(pair, work, key, one).await?;
    if ours != theirs && follower.has_file(&mut pair.target, &position).await? {
        let by = Some(Measure::File);
        if !follower.wait_by(&mut pair.target, &position, by, HOLD, stop).await? {
            return late();
        }
        theirs = target_row(pair, work, key, one).await?;
    }
    Ok(if ours == theirs {
        Proof::Agree
    } else {
        Proof::Differ(RowDifference { key: tuple.clone(), source: ours, target: theirs })
    })
}

/// The target's row, read with a lock that waits for the applier's commit and ends at once.
async fn target_row(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    one: &[KeyTuple],
) -> Result<Option<String>> {
    let lock = pair.target.dialect().for_share();
    let rows = hash::key_hashes(&mut pair.target, &work.target, key, one, Some(lock)).await?;
    Ok(rows.into_iter().next().map(|row| row.1))
}
