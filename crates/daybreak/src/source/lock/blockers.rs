//! Who would keep a lock from being granted: long statements and open transactions that wrote.
//!
//! What is seen depends on the account's privileges (PROCESS). Never the text of a statement: it may
//! hold data.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use super::LockMethod;
use crate::{
    error::{Kind, Result},
    mysql::{
        Session,
        activity::{Connected, OpenTransaction, connected, open_transactions},
    },
};

/// From what age on a statement counts as in the way; the younger are gone before they matter.
const LONG_STATEMENT: Duration = Duration::from_millis(100);

/// The same for a transaction, of which the server counts whole seconds.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

/// How often the list of processes is read again where it alone tells how old a statement is.
const AGAIN: Duration = Duration::from_millis(20);

/// How many are named.
const NAMED: usize = 5;

#[derive(Debug, Clone)]
struct Connection {
    id: u64,
    user: String,
    /// Since when; none if the account can't see that of a statement younger than a second.
    age: Option<Duration>,
}

/// Connections that are in the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Blockers {
    /// With a long statement: the global lock waits until it closes its tables.
    statements: Vec<Connection>,
    /// With a long transaction that holds row locks: table locks wait for its end.
    transactions: Vec<Connection>,
    /// The account sees only its own connections.
    blind: bool,
}

impl Blockers {
    /// Looks who works for long. `own` are connections not to count.
    ///
    /// The list is read first and the ages after it: what has no age then has ended, and what began in
    /// between is young. The other way round, whatever began in between would look as if it might be old.
    pub(super) async fn look(session: &mut Session, own: &[u32]) -> Result<Self> {
        let mut found = Blockers::default();
        let listed = Instant::now();
        let all = connected(session).await?;
        let ages = ages(session).await?;
        let mut undecided = Vec::new();
        for one in &all {
            if one.id == u64::from(session.id()) || own.iter().any(|own| u64::from(*own) == one.id)
            {
                continue;
            }
            if !works(one) {
                continue;
            }
            let connection = |age| Connection { id: one.id, user: one.user.clone(), age };
            match (ages.of(one.id), one.seconds) {
                (age, 1..) => {
                    let age = if let Age::Of(age) = age { age } else { Duration::ZERO };
                    let age = age.max(Duration::from_secs(one.seconds));
                    found.statements.push(connection(Some(age)));
                }
                (Age::Of(age), 0) if age >= LONG_STATEMENT => {
                    found.statements.push(connection(Some(age)));
                }
                (Age::Of(_) | Age::Ended, 0) => {}
                (Age::Unknown, 0) => undecided.push(connection(None)),
            }
        }
        // Who is seen at rest within the time that makes a statement long has none that is.
        while !undecided.is_empty() && listed.elapsed() < LONG_STATEMENT {
            tokio::time::sleep(AGAIN).await;
            let now = connected(session).await?;
            undecided.retain(|one| now.iter().any(|other| other.id == one.id && works(other)));
        }
        found.statements.append(&mut undecided);
        let transactions = open_transactions(session).await?;
        // Where nothing is seen, the bound of each try holds all the same.
        found.blind = transactions.is_none();
        for OpenTransaction { id, seconds, locks } in transactions.into_iter().flatten() {
            let age = Duration::from_secs(seconds);
            if locks && age >= LONG_TRANSACTION {
                let user = all.iter().find(|one| one.id == id);
                let user = user.map_or_else(|| "?".to_string(), |one| one.user.clone());
                found.transactions.push(Connection { id, user, age: Some(age) });
            }
        }
        Ok(found)
    }

    /// Whether the account can't see who is in the way.
    pub(super) fn are_unseen(&self) -> bool {
        self.blind
    }

    /// Whether nobody is known to be in a method's way.
    pub(super) fn leave_room_for(&self, method: LockMethod) -> bool {
        match method {
            LockMethod::GlobalReadLock => self.statements.is_empty() && !self.blind,
            LockMethod::TableLocks => self.transactions.is_empty(),
        }
    }
}

impl fmt::Display for Blockers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements = self.statements.iter().map(|one| (one, "a statement running"));
        let transactions = self.transactions.iter().map(|one| (one, "a transaction open"));
        let all: Vec<_> = statements.chain(transactions).collect();
        if all.is_empty() {
            return f.write_str("connections that this account can't see, or short ones");
        }
        for (at, (one, what)) in all.iter().take(NAMED).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match one.id {
                0 => write!(f, "{comma}a prepared XA transaction (see XA RECOVER)")?,
                id => write!(f, "{comma}connection {id} (user {}, {what}", one.user)?,
            }
            match one.age {
                _ if one.id == 0 => {}
                Some(age) if age >= Duration::from_secs(1) => {
                    write!(f, " for {} s)", age.as_secs())?
                }
                _ => f.write_str(" for less than a second)")?,
            }
        }
        if all.len() > NAMED {
            write!(f, " and {} more", all.len() - NAMED)?;
        }
        Ok(())
    }
}

/// Whether a client's statement is under way.
fn works(one: &Connected) -> bool {
    !matches!(one.user.as_str(), "system user" | "event_scheduler")
        && matches!(one.command.as_str(), "Query" | "Execute" | "Fetch")
}

/// How old a connection's statement is.
#[derive(Debug, Clone, Copy)]
enum Age {
    Of(Duration),
    /// None was under way.
    Ended,
    /// The server doesn't tell this account, or not of this connection.
    Unknown,
}

/// For how long connections' statements have been running, more finely than the list of processes
/// tells.
struct Ages {
    known: HashMap<u64, Age>,
    /// Of a connection that isn't named: it has gone, or nothing is told.
    other: Age,
}

impl Ages {
    fn of(&self, id: u64) -> Age {
        self.known.get(&id).copied().unwrap_or(self.other)
    }
}

async fn ages(session: &mut Session) -> Result<Ages> {
    let nothing = Ages { known: HashMap::new(), other: Age::Unknown };
    let sql = if session.dialect().is_mariadb() {
        "SELECT ID AS id, COMMAND IN ('Query', 'Execute', 'Fetch') AS running, \
         CAST(TIME_MS AS SIGNED) AS millis, 1 AS told FROM information_schema.PROCESSLIST"
    } else {
        // TIMER_WAIT is in picoseconds; that of a statement under way goes on. Which statements are
        // counted can be configured, for all and for each connection.
        "SELECT threads.PROCESSLIST_ID AS id, MAX(statements.EVENT_ID IS NOT NULL) AS running, \
         CAST(MAX(statements.TIMER_WAIT) DIV 1000000000 AS SIGNED) AS millis, \
         MAX(threads.INSTRUMENTED = 'YES') AND NOT EXISTS (SELECT 1 FROM performance_schema.setup_instruments \
         WHERE NAME LIKE 'statement/%' AND (ENABLED = 'NO' OR TIMED = 'NO')) AS told \
         FROM performance_schema.threads \
         LEFT JOIN performance_schema.events_statements_current AS statements \
         ON statements.THREAD_ID = threads.THREAD_ID AND statements.END_EVENT_ID IS NULL \
         WHERE threads.PROCESSLIST_ID IS NOT NULL GROUP BY threads.PROCESSLIST_ID"
    };
    let rows = match session.rows(sql).await {
        Ok(rows) => rows,
        Err(error) if error.kind() == Kind::Privilege => return Ok(nothing),
        Err(error) => return Err(error),
    };
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let running = session.field::<i64>(&row, "running")? == 1;
        let told = session.field::<i64>(&row, "told")? == 1;
        let age = match (session.optional::<i64>(&row, "millis")?, running, told) {
            (Some(millis), true, _) => {
                Age::Of(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
            }
            (_, false, true) => Age::Ended,
            _ => Age::Unknown,
        };
        known.insert(session.field(&row, "id")?, age);
    }
    // This very statement is under way: who isn't told so is told nothing.
    Ok(match known.get(&u64::from(session.id())) {
        Some(Age::Of(_)) => Ages { known, other: Age::Ended },
        _ => nothing,
    })
}
