//! Who would keep a lock from being granted: long statements and open transactions that wrote.
//!
//! What is seen depends on the account's privileges (PROCESS). Never the text of a statement: it may
//! hold data.

use std::fmt;

use super::LockMethod;
use crate::{
    error::{Kind, Result},
    mysql::Session,
};

/// From what age on somebody counts as in the way; the younger are gone before they matter. The server
/// counts whole seconds.
const LONG_SECONDS: u64 = 1;

/// How many are named.
const NAMED: usize = 5;

#[derive(Debug, Clone)]
struct Connection {
    id: u64,
    user: String,
    seconds: u64,
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
            if works && !servers_own && seconds >= LONG_SECONDS {
                found.statements.push(Connection { id, user: user.clone(), seconds });
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
            let seconds = u64::try_from(seconds).unwrap_or(0);
            if seconds >= LONG_SECONDS {
                let user = users.iter().find(|(known, _)| *known == id);
                let user = user.map_or_else(|| "?".to_string(), |(_, user)| user.clone());
                found.transactions.push(Connection { id, user, seconds });
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
                id => write!(
                    f,
                    "{comma}connection {id} (user {}, {what} for {} s)",
                    one.user, one.seconds
                )?,
            }
        }
        if all.len() > NAMED {
            write!(f, " and {} more", all.len() - NAMED)?;
        }
        Ok(())
    }
}
