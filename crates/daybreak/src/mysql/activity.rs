//! Who is connected to a server, and which transactions are open there.
//!
//! On MySQL 8.0 and later `information_schema.PROCESSLIST` and `INNODB_TRX` hold statements as utf8mb3, and as long as
//! anybody's statement has a character of four bytes in it, no query of them gets an answer (3854, seen on 9.7),
//! whichever columns it asks for. The one isn't asked there; of the other `performance_schema` tells enough.

use mysql_async::Row;

use crate::{
    error::{Kind, Result},
    mysql::Session,
};

/// The server could not convert a text between character sets.
const CANNOT_CONVERT: u16 = 3854;

/// A line of `SHOW PROCESSLIST`: an account without PROCESS sees its own connections.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The connection's number.
    pub id: u64,
    /// Its account's name; `system user` and others for the server's own threads.
    pub user: String,
    /// The client's end of it, as the server sees it.
    pub host: String,
    /// Its default database.
    pub database: Option<String>,
    /// What it does: `Query`, `Sleep`, `Daemon` and so on.
    pub command: String,
    /// For how many whole seconds.
    pub seconds: u64,
    /// What its statement is at.
    pub state: String,
}

/// Everybody who is connected, as far as the account may see them.
pub async fn connected(session: &mut Session) -> Result<Vec<Connected>> {
    let mut all = Vec::new();
    for row in session.rows("SHOW PROCESSLIST").await? {
        let text = |name: &str| session.optional::<String>(&row, name);
        let (user, host, database) = (text("User")?, text("Host")?, text("db")?);
        let (command, state) = (text("Command")?, text("State")?);
        // MariaDB's may be negative for a moment.
        let seconds: i64 = session.optional(&row, "Time")?.unwrap_or(0);
        all.push(Connected {
            id: session.field(&row, "Id")?,
            user: user.unwrap_or_default(),
            host: host.unwrap_or_default(),
            database,
            command: command.unwrap_or_default(),
            seconds: u64::try_from(seconds).unwrap_or(0),
            state: state.unwrap_or_default(),
        });
    }
    Ok(all)
}

/// A transaction that hasn't ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its connection's number; 0 for a prepared XA transaction that has none.
    pub id: u64,
    /// For how many whole seconds it has been open.
    pub seconds: u64,
    /// Whether it has written, or holds locks.
    pub locks: bool,
}

/// All transactions that are open in InnoDB; none where they can't be seen: without PROCESS, or where that is
/// of no help (3854), without SELECT on `performance_schema`, or where that is off or doesn't count transactions.
pub async fn open_transactions(session: &mut Session) -> Result<Option<Vec<OpenTransaction>>> {
    let rows = match ask(session).await {
        Ok(Some(rows)) => rows,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == Kind::Privilege => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let seconds: i64 = session.optional(&row, "seconds")?.unwrap_or(0);
        all.push(OpenTransaction {
            id: session.field(&row, "id")?,
            seconds: u64::try_from(seconds).unwrap_or(0),
            locks: session.field::<i64>(&row, "locks")? != 0,
        });
    }
    Ok(Some(all))
}

async fn ask(session: &mut Session) -> Result<Option<Vec<Row>>> {
    // The times in this table are those of the server's own zone, whatever the session's is.
    let asked = session
        .rows(
            "SELECT trx_mysql_thread_id AS id, COALESCE(TIMESTAMPDIFF(SECOND, trx_started, \
             CONVERT_TZ(NOW(), @@SESSION.time_zone, 'SYSTEM')), 0) AS seconds, \
             trx_rows_modified > 0 OR trx_rows_locked > 0 AS locks FROM information_schema.INNODB_TRX",
        )
        .await;
    match asked {
        Err(error) if error.code() == Some(CANNOT_CONVERT) => {}
        other => return other.map(Some),
    }
    let counted: Option<bool> = session
        .scalar(
            "SELECT @@GLOBAL.performance_schema AND NOT EXISTS (SELECT 1 FROM performance_schema.setup_consumers \
             WHERE ENABLED = 'NO' AND NAME IN \
             ('global_instrumentation', 'thread_instrumentation', 'events_transactions_current')) \
             AND 2 = (SELECT COUNT(*) FROM performance_schema.setup_instruments WHERE ENABLED = 'YES' \
             AND (NAME = 'wait/lock/metadata/sql/mdl' OR NAME = 'transaction' AND TIMED = 'YES'))",
        )
        .await?;
    if counted != Some(true) {
        return Ok(None);
    }
    // TIMER_WAIT is in picoseconds. Who holds that lock on a table is who LOCK TABLES .. READ waits for; rows' locks
    // would be dear to list. Prepared XA transactions without a connection aren't here.
    let rows = session
        .rows(
            "SELECT threads.PROCESSLIST_ID AS id, \
             CAST(transactions.TIMER_WAIT DIV 1000000000000 AS SIGNED) AS seconds, \
             EXISTS (SELECT 1 FROM performance_schema.metadata_locks AS locks \
             WHERE locks.OWNER_THREAD_ID = transactions.THREAD_ID AND locks.LOCK_STATUS = 'GRANTED' \
             AND locks.OBJECT_TYPE = 'TABLE' AND locks.LOCK_TYPE = 'SHARED_WRITE') AS locks \
             FROM performance_schema.events_transactions_current AS transactions \
             JOIN performance_schema.threads AS threads ON threads.THREAD_ID = transactions.THREAD_ID \
             WHERE transactions.STATE = 'ACTIVE' AND threads.PROCESSLIST_ID IS NOT NULL",
        )
        .await?;
    Ok(Some(rows))
}
