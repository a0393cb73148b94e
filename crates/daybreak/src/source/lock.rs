//! Keeps a server from taking writes for as long as a connection lives, and no longer.
//!
//! Asking for such a lock is itself dangerous: while it waits for one long transaction, every writer
//! queues behind it. So each try is bounded by a fraction of a second, then withdrawn and repeated
//! later; who is surely in the way is waited for without asking. The lock ends with its connection,
//! and the connection ends by itself when this machine does.
//!
//! `FLUSH TABLES WITH READ LOCK` is one short statement, but when it is withdrawn while a long SELECT
//! reads a table, that table stays marked for flushing, and everybody who opens it waits until that
//! SELECT ends (seen on 9.7). How long a SELECT will take can't be known, so no bound on the wait helps.
//! Where just some tables must stand still for a moment it is therefore not asked for at all
//! ([`Reach::Tables`]). Where the writes of a whole server end for good, or where there are too many
//! tables to lock each, it comes first, when no statement is seen that has run for long
//! ([`Reach::Server`]).
//!
//! `LOCK TABLES ... READ` withdrawn leaves nothing behind. Its price: a transaction that writes the
//! tables in another order than the lock takes them may be ended by a deadlock (1213; the server
//! chooses the transaction, seen on 9.7), as it may be by any other transaction.
//!
//! Servers before MySQL 5.7.8 grant it while a transaction that has written is still to commit: its rows
//! would be in the binary log before the position, but not in a snapshot's views. With autocommit off
//! InnoDB's own table locks are taken as well, which wait for such transactions, and are kept as long.

mod blockers;
mod kept;

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use rand::Rng as _;
use tokio::sync::MutexGuard;

use self::blockers::Blockers;
pub(crate) use self::kept::Kept;
use crate::{
    error::{Error, Kind, Result},
    event::Events,
    mysql::{ConnectionId, ServerUrl, Session, Side, TableName},
};

/// The least pause between two tries: writers that queued must get through meanwhile.
const PAUSE: Duration = Duration::from_millis(150);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Every how many tries table locks are asked for although somebody seems to be in the way: a
/// transaction elsewhere only looks so.
const ASK_ANYWAY: u32 = 5;

/// After how many tries table locks are thought of where the global lock comes first.
const THINK_OF_OTHER: u32 = 3;

/// How long letting go of the lock in good order may take; after that its connection is ended.
const RELEASE: Duration = Duration::from_secs(2);

/// How long ending it from another connection may take.
const END: Duration = Duration::from_secs(15);

/// How long the server may take to hear that a statement is withdrawn.
const WITHDRAW: Duration = Duration::from_secs(5);

/// So many tables can't be opened within a try (9.7 takes 0.2 ms for each): the global lock comes first.
const MANY_TABLES: usize = 1_000;

/// What must stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Just the tables that are named, for a moment: table locks (so long as the tables aren't too many).
    Tables,
    /// The server, for good: the global read lock where it is to be had, else table locks.
    Server,
}

/// How the writes are kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMethod {
    /// `FLUSH TABLES WITH READ LOCK`: nothing commits.
    GlobalReadLock,
    /// `LOCK TABLES ... READ` on every table that is taken.
    TableLocks,
}

impl LockMethod {
    fn words(self) -> &'static str {
        match self {
            LockMethod::GlobalReadLock => "FLUSH TABLES WITH READ LOCK",
            LockMethod::TableLocks => "LOCK TABLES ... READ",
        }
    }

    fn statement(self, tables: &[TableName]) -> String {
        match self {
            LockMethod::GlobalReadLock => self.words().to_string(),
            LockMethod::TableLocks => {
                let names: Vec<String> =
                    tables.iter().map(|table| format!("{} READ", table.sql())).collect();
                format!("LOCK TABLES {}", names.join(", "))
            }
        }
    }
}

/// A lock on writes, held by a connection.
///
/// Dropping it cuts the connection, which opens the server again.
pub struct WriteLock {
    kept: Kept,
    since: Instant,
    method: LockMethod,
    place: String,
    url: Box<ServerUrl>,
    connection: ConnectionId,
}

impl WriteLock {
    /// Stops writes to `tables` (base tables only), or on the server as a whole.
    ///
    /// No single try keeps writers waiting for much longer than `wait`; there are up to `attempts`.
    ///
    /// # Errors
    /// `LockWait`, naming who was in the way, when all tries are used up; `Privilege` when the account
    /// may neither lock tables nor the server.
    pub async fn acquire(
        reach: Reach,
        url: &ServerUrl,
        tables: &[TableName],
        wait: Duration,
        attempts: u32,
        events: &Events,
    ) -> Result<Self> {
        let mut watcher = Session::open(url, Side::Source).await?;
        let (mut holder, mut connection) = open_holder(url, wait).await?;
        let place = holder.place().to_string();
        let many = tables.len() > MANY_TABLES;
        let mut allowed =
            Allowed { global: reach == Reach::Server || many, tables: !tables.is_empty() };
        let mut seen = Blockers::default();
        let mut waited = 0;
        for attempt in 1..=attempts.max(1) {
            if attempt > 1 {
                pause(attempt).await;
            }
            let now = Blockers::look(&mut watcher, &[holder.id()]).await?;
            let Some(method) = choose(allowed, &now, attempt, waited) else {
                events.detail(format!(
                    "the lock isn't asked for yet, to keep writers from queueing behind {now}"
                ));
                seen = now;
                // The server gives an idle connection up soon.
                if holder.execute("DO 1").await.is_err() {
                    (holder, connection) = open_holder(url, wait).await?;
                }
                continue;
            };
            if method == LockMethod::TableLocks {
                take_innodb_locks(&mut holder).await?;
            }
            match ask(&mut holder, &mut watcher, &method.statement(tables), wait).await? {
                Answer::Locked(since) => {
                    events.detail(format!(
                        "writes are stopped by {} (try {attempt}, granted in {:.1} ms)",
                        method.words(),
                        since.elapsed().as_secs_f64() * 1e3
                    ));
                    // Nothing is said to any server here: no answer may be waited for under the lock
                    // by those who don't bound it.
                    let (kept, url) = (Kept::set_up(holder), Box::new(url.clone()));
                    return Ok(WriteLock { kept, since, method, place, url, connection });
                }
                Answer::Denied(error) => {
                    allowed.deny(method);
                    if !allowed.any() {
                        return Err(Error::new(
                            Kind::Privilege,
                            "the account may not stop writes for the moment of a snapshot",
                        )
                        .because(error)
                        .at(&place)
                        .next(
                            "grant it LOCK TABLES and SELECT on every database that is migrated",
                        ));
                    }
                    events.detail(format!("the account may not use {}", method.words()));
                }
                Answer::Waited { holder_usable } => {
                    waited += 1;
                    seen = Blockers::look(&mut watcher, &[holder.id()]).await?;
                    events.detail(format!(
                        "{} was not granted within {} ms (try {attempt} of {attempts}); in the way: {seen}",
                        method.words(),
                        wait.as_millis()
                    ));
                    // What InnoDB has granted already is let go of.
                    if !holder_usable || holder.execute("ROLLBACK").await.is_err() {
                        (holder, connection) = open_holder(url, wait).await?;
                    }
                }
            }
        }
        Err(Error::new(
            Kind::LockWait,
            format!("writes could not be stopped in {attempts} tries of {} ms each: in the way are {seen}", wait.as_millis()),
        )
        .at(&place)
        .next(if many {
            "end these connections' work, or wait for it, then `daybreak resume`. So many tables take long to lock: a \
             longer copy.lock_wait lets them, and makes writers wait longer"
        } else {
            "end these connections' work, or wait for it, then `daybreak resume`; a longer copy.lock_wait makes \
             writers wait longer"
        }))
    }

    /// The connection that holds the lock. Begin no transaction on it: that would end table locks.
    pub async fn session(&mut self) -> MutexGuard<'_, Session> {
        self.kept.session().await
    }

    /// When the statement that got the lock was sent: writers may have waited since.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How.
    pub fn method(&self) -> LockMethod {
        self.method
    }

    /// Asks the server whether the lock is still there. (A connection of its own keeps it from being
    /// given up for idleness.)
    ///
    /// # Errors
    /// `ConnectionLost` when its connection is gone, and with it the lock.
    pub async fn still_held(&mut self) -> Result<()> {
        let answer = self.kept.session().await.execute("DO 1").await;
        answer.map(drop).map_err(|error| {
            Error::new(Kind::ConnectionLost, "the lock that kept writes out is lost")
                .because(error)
                .at(&self.place)
        })
    }

    /// Bounds how long the lock is kept if nobody lets go of it: from then on the server may drop it.
    pub fn keep_until(&self, last: Instant) {
        self.kept.until(last);
    }

    /// Lets writes in again; returns how long they were kept out. A connection that doesn't answer is
    /// ended from another one: dropping it wouldn't do, since the client waits for what is under way.
    ///
    /// # Errors
    /// `State` when nobody knows whether the lock is gone, with how to end it.
    pub async fn release(self) -> Result<Duration> {
        let asking = async { self.kept.session().await.execute("UNLOCK TABLES").await };
        match tokio::time::timeout(RELEASE, asking).await {
            Ok(Ok(_)) => return Ok(self.since.elapsed()),
            Ok(Err(error)) => tracing::debug!(%error, "UNLOCK TABLES"),
            Err(_) => tracing::debug!("UNLOCK TABLES isn't answered"),
        }
        let ending = self.connection.end(&self.url, Side::Source);
        let ended = tokio::time::timeout(END, ending).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Timeout, format!("no answer within {} s", END.as_secs())))
        });
        match ended {
            Ok(()) => Ok(self.since.elapsed()),
            Err(error) => Err(Error::new(
                Kind::State,
                "the connection that keeps writes out doesn't answer, and couldn't be ended",
            )
            .because(error.what().to_string())
            .at(&self.place)
            .next(format!(
                "KILL {} on it lets writes in again; an idle connection is dropped by the server itself after {} s",
                self.connection.number(),
                kept::IDLE_SECONDS
            ))),
        }
    }
}

impl std::fmt::Debug for WriteLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteLock({:?} on {})", self.method, self.place)
    }
}

/// Which ways are left.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    global: bool,
    tables: bool,
}

impl Allowed {
    fn deny(&mut self, method: LockMethod) {
        match method {
            LockMethod::GlobalReadLock => self.global = false,
            LockMethod::TableLocks => self.tables = false,
        }
    }

    fn any(self) -> bool {
        self.global || self.tables
    }
}

/// What to ask for now, if anything.
fn choose(allowed: Allowed, now: &Blockers, attempt: u32, waited: u32) -> Option<LockMethod> {
    let other_thought_of = attempt > THINK_OF_OTHER || waited >= THINK_OF_OTHER;
    let by_global = allowed.global && now.leave_room_for(LockMethod::GlobalReadLock);
    let by_tables = allowed.tables
        // An account that sees nobody won't ask for the global lock.
        && (!allowed.global || now.are_unseen() || other_thought_of)
        && (now.leave_room_for(LockMethod::TableLocks) || attempt.is_multiple_of(ASK_ANYWAY));
    match (by_tables, by_global) {
        (true, false) => Some(LockMethod::TableLocks),
        (false, true) => Some(LockMethod::GlobalReadLock),
        (false, false) => None,
        // Turns, so that neither is tried in vain for ever.
        (true, true) if waited.is_multiple_of(2) => Some(LockMethod::GlobalReadLock),
        (true, true) => Some(LockMethod::TableLocks),
    }
}

enum Answer {
    Locked(Instant),
    Waited { holder_usable: bool },
    Denied(Error),
}

async fn open_holder(url: &ServerUrl, wait: Duration) -> Result<(Session, ConnectionId)> {
    let mut session = Session::open(url, Side::Source).await?;
    // The server's own bound is whole seconds: a second line behind the KILL.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    // The idle bound stands before the lock is asked for: a machine that dies the moment it is
    // granted must not leave it behind for hours.
    session
        .execute(format!(
            "SET SESSION lock_wait_timeout = {}, wait_timeout = {}",
            seconds.max(1),
            kept::IDLE_SECONDS
        ))
        .await?;
    let connection = ConnectionId::of(&mut session).await?;
    Ok((session, connection))
}

/// Makes table locks wait for transactions that have written, where they don't by themselves.
async fn take_innodb_locks(holder: &mut Session) -> Result<()> {
    if !holder.dialect().table_locks_wait_for_writers() {
        // What the holder reads is of its own moment all the same.
        holder.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        holder.execute("SET SESSION autocommit = 0, innodb_table_locks = 1").await?;
    }
    Ok(())
}

/// Sends the statement, and withdraws it after `wait`.
async fn ask(
    holder: &mut Session,
    watcher: &mut Session,
    statement: &str,
    wait: Duration,
) -> Result<Answer> {
    let id = holder.id();
    let since = Instant::now();
    let mut asking = pin!(holder.execute(statement));
    let answer = match tokio::time::timeout(wait, &mut asking).await {
        Ok(answer) => answer,
        Err(_) => {
            // An account may always end its own statements.
            let kill = format!("KILL QUERY {id}");
            let killing = watcher.execute(kill);
            // Who hangs here would hold what is granted meanwhile.
            let Ok(killed) = tokio::time::timeout(WITHDRAW, killing).await else {
                return Err(Error::new(
                    Kind::ConnectionLost,
                    "the server doesn't answer while a lock is asked for",
                ));
            };
            match tokio::time::timeout(Duration::from_secs(5), &mut asking).await {
                // Granted in the last moment: it counts.
                Ok(answer) => answer,
                Err(_) => {
                    killed?;
                    return Ok(Answer::Waited { holder_usable: false });
                }
            }
        }
    };
    match answer {
        Ok(_) => Ok(Answer::Locked(since)),
        Err(error) => match error.code() {
            // Withdrawn, the server's own bound, or the loser of a deadlock.
            Some(1317 | 1205 | 1213) => Ok(Answer::Waited { holder_usable: true }),
            // Managed servers refuse the global lock as "access denied" (1045).
            Some(1045 | 1227 | 1044 | 1142) => Ok(Answer::Denied(error)),
            _ if error.kind() == Kind::ConnectionLost => {
                Ok(Answer::Waited { holder_usable: false })
            }
            _ => Err(error),
        },
    }
}

async fn pause(attempt: u32) {
    let longest = (PAUSE * attempt).min(LONGEST_PAUSE);
    let millis = rand::rng().random_range(PAUSE.as_millis() as u64..=longest.as_millis() as u64);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
