//! A moment at which both sides must be equal, for tables whose rows have no key: two snapshots
//! around a lock that lasts only as long as the target's lag.
//!
//! The table is locked for reading at the source (its wait bounded by a second), a snapshot is opened
//! there and its position taken; once the target has executed that position, a snapshot is opened on
//! the target under a lock of the same kind, and both locks are let go. The two snapshots then show
//! the same moment of this table, and are compared at leisure while writes go on. Nothing is held
//! while rows are read, so a table's size doesn't matter.

use std::time::Duration;

use super::{
    live,
    table::{Pair, Work},
};
use crate::{
    engine::{Context, StopSignal},
    error::{Kind, Result},
    mysql::{Coordinates, PATIENT_SECONDS, Session},
    sync::replicate,
};

/// The longest that the table may be locked at the source.
const HOLD: Duration = Duration::from_secs(3);

/// After how many idle seconds a server gives up a lock whose holder's machine died.
pub(super) const IDLE_SECONDS: u64 = 20;

/// Opens a transaction on both sessions of `read` that shows one and the same moment of a table, or
/// says why it can't be had now. `lock` holds the locks meanwhile. With `applier` the target's replication
/// is stopped at that moment (perhaps also where there is none to be had), and is for the caller to start.
pub(super) async fn open(
    read: &mut Pair,
    lock: &mut Pair,
    work: &Work,
    applier: Option<&Context>,
    stop: &StopSignal,
) -> Result<Result<Coordinates, String>> {
    for table in [&work.source, &work.target] {
        if !table.engine.eq_ignore_ascii_case("InnoDB") {
            return Ok(Err(format!("{} has no snapshots", table.engine)));
        }
    }
    // The lock then lasts only for what happens in between.
    if !live::catch_up(read, stop).await? {
        return Ok(Err("the target didn't catch up with the source".to_string()));
    }
    let opened = under_locks(read, lock, work, applier, stop).await;
    // Let go in every case; the first failure is the one to tell.
    let (ours, theirs) = tokio::join!(unlock(&mut lock.source), unlock(&mut lock.target));
    match opened {
        Ok(Ok(position)) => {
            ours?;
            theirs?;
            Ok(Ok(position))
        }
        Ok(Err(why)) => {
            close(read).await?;
            Ok(Err(why))
        }
        Err(error) if matches!(error.kind(), Kind::LockWait | Kind::Deadlock) => {
            close(read).await?;
            Ok(Err("the table could not be locked for an instant: writers hold it".to_string()))
        }
        Err(error) if error.kind() == Kind::Privilege => {
            close(read).await?;
            Ok(Err("the account may not LOCK TABLES".to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Ends both transactions.
pub(super) async fn close(read: &mut Pair) -> Result<()> {
    read.source.execute("ROLLBACK").await?;
    read.target.execute("ROLLBACK").await?;
    Ok(())
}

async fn under_locks(
    read: &mut Pair,
    lock: &mut Pair,
    work: &Work,
    applier: Option<&Context>,
    stop: &StopSignal,
) -> Result<Result<Coordinates, String>> {
    lock_table(&mut lock.source, &work.source.name.sql()).await?;
    read.source.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let position = Coordinates::read(&mut read.source).await?;
    if !live::wait(&mut read.target, &position, None, HOLD, stop).await? {
        return Ok(Err(format!("the target is more than {HOLD:?} behind")));
    }
    match applier {
        // Waits for an applier that has said it executed the position and is about to commit.
        None => lock_table(&mut lock.target, &work.target.name.sql()).await?,
        Some(context) => match tokio::time::timeout(HOLD, replicate::stop(context)).await {
            Ok(stopped) => drop(stopped?),
            Err(_) => return Ok(Err(format!("replication doesn't stop within {HOLD:?}"))),
        },
    }
    read.target.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    Ok(Ok(position))
}

/// Locks a table for reading. With autocommit off InnoDB's own table lock is taken as well, which
/// old servers need to wait for open transactions.
async fn lock_table(session: &mut Session, table: &str) -> Result<()> {
    session
        .execute(format!(
            "SET SESSION autocommit = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1, \
             wait_timeout = {IDLE_SECONDS}"
        ))
        .await?;
    session.execute(format!("LOCK TABLES {table} READ")).await.map(drop)
}

async fn unlock(session: &mut Session) -> Result<()> {
    session.execute("ROLLBACK").await?;
    session.execute("UNLOCK TABLES").await?;
    session
        .execute(format!("SET SESSION autocommit = 1, wait_timeout = {PATIENT_SECONDS}"))
        .await
        .map(drop)
}
