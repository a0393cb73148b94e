//! Who would keep a lock from being granted: long statements and open transactions that wrote.
//!
//! What is seen depends on the account's privileges (PROCESS). Never the text of a statement: it may
//! hold data.

use std::{collections::HashMap, fmt, time::Duration};

use super::LockMethod;
use crate::{
    error::{Kind, Result},
    mysql::Session,
};

/// From what age on a statement counts as in the way; the younger are gone before they matter.
const LONG_STATEMENT: Duration = Duration::from_millis(100);

/// The same for a transaction, of which the server counts whole seconds.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

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
    pub(super) async fn look(session: &mut Session, own: &[u32]) -> Result<Self> {
        let mut found = Blockers::default();
        let mut users = Vec::new();
        let me = session.id();
        let ages = ages(session).await?;
        for row in session.rows("SHOW PROCESSLIST").await? {
            let id: u64 = session.field(&row, "Id")?;
            let user: String = session.optional(&row, "User")?.unwrap_or_default();
            let command: String = session.optional(&row, "Command")?.unwrap_or_default();
            // An idle or young connection has a Time too; MariaDB's may be negative for a moment.
            let seconds: i64 = session.optional(&row, "Time")?.unwrap_or(0);
            let seconds = u64::try_from(seconds).unwrap_or(0);
            let works = matches!(command.as_str(), "Query" | "Execute" | "Fetch");
            let servers_own = matches!(user.as_str(), "system user" | "event_scheduler");
            if id == u64::from(me) || own.iter().any(|own| u64::from(*own) == id) {
                continue;
            }
            let age = match ages.get(&id).copied() {
                None if seconds == 0 => None,
                age => Some(age.unwrap_or_default().max(Duration::from_secs(seconds))),
            };
            if works && !servers_own && age.is_none_or(|age| age >= LONG_STATEMENT) {
                found.statements.push(Connection { id, user: user.clone(), age });
            }
            users.push((id, user));
        }
        // The times in this table are those of the server's own zone, whatever the session's is.
        let transactions = session
            .rows(
                "SELECT trx_mysql_thread_id AS id, GREATEST(0, COALESCE(TIMESTAMPDIFF(SECOND, trx_started, \
                 CONVERT_TZ(NOW(), '+00:00', 'SYSTEM')), 0)) AS seconds \
                 FROM information_schema.INNODB_TRX \
                 WHERE (trx_rows_modified > 0 OR trx_rows_locked > 0)",
            )
            .await;
        let transactions = match transactions {
            Ok(rows) => rows,
            // Without PROCESS nothing is seen; the bound of each try holds all the same.
            Err(error) if error.kind() == Kind::Privilege => {
                found.blind = true;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        for row in transactions {
            let id: u64 = session.field(&row, "id")?;
            let seconds: i64 = session.field(&row, "seconds")?;
            let age = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            if age >= LONG_TRANSACTION {
                let user = users.iter().find(|(known, _)| *known == id);
                let user = user.map_or_else(|| "?".to_string(), |(_, user)| user.clone());
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

/// For how long each connection's statement has been running, more finely than the list of processes
/// tells. Empty where the account can't see that.
async fn ages(session: &mut Session) -> Result<HashMap<u64, Duration>> {
    let sql = if session.dialect().is_mariadb() {
        "SELECT ID AS id, CAST(TIME_MS AS SIGNED) AS millis FROM information_schema.PROCESSLIST"
    } else {
        // TIMER_WAIT is in picoseconds; that of a statement under way goes on.
        "SELECT threads.PROCESSLIST_ID AS id, CAST(MAX(statements.TIMER_WAIT) DIV 1000000000 AS SIGNED) AS millis \
         FROM performance_schema.threads \
         JOIN performance_schema.events_statements_current AS statements USING (THREAD_ID) \
         WHERE threads.PROCESSLIST_ID IS NOT NULL AND statements.TIMER_WAIT IS NOT NULL \
         AND statements.END_EVENT_ID IS NULL GROUP BY threads.PROCESSLIST_ID"
    };
    let rows = match session.rows(sql).await {
        Ok(rows) => rows,
        Err(error) if error.kind() == Kind::Privilege => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut ages = HashMap::with_capacity(rows.len());
    for row in rows {
        let millis: i64 = session.field(&row, "millis")?;
        let millis = u64::try_from(millis).unwrap_or(0);
        ages.insert(session.field(&row, "id")?, Duration::from_millis(millis));
    }
    Ok(ages)
}
