//! What a replica says about itself, in one type over all servers. Only reads.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    mysql::{Coordinates, Dialect, FilePosition, GtidSet, Session},
};

use super::{PositionBy, remedy};

/// What the thread that fetches the source's log is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// It doesn't run.
    Stopped,
    /// It tries to reach the source.
    Connecting,
    /// It is connected.
    Running,
}

/// The last error of a thread of the replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadError {
    /// The server's error number.
    pub code: u32,
    /// The server's words; they may hold values of rows, never a password.
    pub text: String,
}

/// A replica's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The source's host, as the replica was told.
    pub source_host: String,
    /// Its port.
    pub source_port: u16,
    /// The account that the replica logs in with.
    pub source_user: String,
    /// The thread that fetches.
    pub receiver: Receiver,
    /// Whether the thread that applies runs.
    pub applying: bool,
    /// Why the fetching thread failed last.
    pub receive_error: Option<ThreadError>,
    /// Why the applying thread failed last.
    pub apply_error: Option<ThreadError>,
    /// How far the source's log was fetched.
    pub received: Option<FilePosition>,
    /// How far it was applied.
    pub executed: Option<FilePosition>,
    /// The transactions fetched since the replica was set up.
    pub retrieved_gtids: GtidSet,
    /// The transactions in the server's history, its own included.
    pub executed_gtids: GtidSet,
    /// Whether it finds its place by GTIDs.
    pub auto_position: bool,
    /// What the server takes for its lag; nothing is ever gated on it.
    pub seconds_behind: Option<u64>,
}

impl ReplicaStatus {
    /// Asks a server; none when it is no replica of anything.
    pub async fn read(session: &mut Session) -> Result<Option<Self>> {
        let words = Words::of(session.dialect());
        let rows = session.rows(session.dialect().replica_status()).await?;
        // Channels other than the unnamed one aren't ours; the column came with MySQL 5.7.
        let mut unnamed = None;
        for row in rows {
            let has_channels = row
                .columns_ref()
                .iter()
                .any(|column| column.name_str().eq_ignore_ascii_case("Channel_Name"));
            let channel: Option<String> =
                if has_channels { session.optional(&row, "Channel_Name")? } else { None };
            if channel.unwrap_or_default().is_empty() {
                unnamed = Some(row);
                break;
            }
        }
        let Some(row) = unnamed else { return Ok(None) };
        let has = |name: &str| {
            row.columns_ref().iter().any(|column| column.name_str().eq_ignore_ascii_case(name))
        };
        let error = |number: &str, text: &str| -> Result<Option<ThreadError>> {
            let code: u32 = session.optional(&row, number)?.unwrap_or(0);
            let text: String = session.optional(&row, text)?.unwrap_or_default();
            Ok((code != 0).then(|| ThreadError { code, text: without_secrets(&text) }))
        };
        let place = |file: &str, position: &str| -> Result<Option<FilePosition>> {
            let file: String = session.optional(&row, file)?.unwrap_or_default();
            let position: u64 = session.optional(&row, position)?.unwrap_or(0);
            Ok((!file.is_empty()).then_some(FilePosition { file, position }))
        };
        let gtids = |name: &str| -> Result<GtidSet> {
            if !has(name) {
                return Ok(GtidSet::default());
            }
            GtidSet::parse(&session.optional::<String>(&row, name)?.unwrap_or_default())
        };
        let receiver = match session.optional::<String>(&row, words.io_running)?.as_deref() {
            Some("Yes") => Receiver::Running,
            Some("No") | None => Receiver::Stopped,
            Some(_) => Receiver::Connecting,
        };
        Ok(Some(ReplicaStatus {
            source_host: session.optional(&row, words.host)?.unwrap_or_default(),
            source_port: session.optional(&row, words.port)?.unwrap_or(0),
            source_user: session.optional(&row, words.user)?.unwrap_or_default(),
            receiver,
            applying: session.optional::<String>(&row, words.sql_running)?.as_deref()
                == Some("Yes"),
            receive_error: error("Last_IO_Errno", "Last_IO_Error")?,
            apply_error: error("Last_SQL_Errno", "Last_SQL_Error")?,
            received: place(words.log_file, words.read_position)?,
            executed: place(words.relay_file, words.executed_position)?,
            // MariaDB's GTIDs have another form, and nothing here is decided by them.
            retrieved_gtids: gtids("Retrieved_Gtid_Set")?,
            executed_gtids: gtids("Executed_Gtid_Set")?,
            auto_position: has("Auto_Position")
                && session.optional::<u64>(&row, "Auto_Position")? == Some(1),
            seconds_behind: session.optional(&row, words.seconds_behind)?,
        }))
    }

    /// Whether both threads run.
    pub fn running(&self) -> bool {
        self.receiver == Receiver::Running && self.applying
    }

    /// Whether the receiver lost the source and tries to reach it again by itself.
    pub fn reconnecting(&self) -> bool {
        self.applying
            && self.receiver == Receiver::Connecting
            && self.receive_error.as_ref().is_none_or(remedy::passing)
    }

    /// Whether everything up to a point of the source's history is applied.
    ///
    /// By file, the position compared is that of the source's own log, never that of the relay log.
    pub fn reached(&self, goal: &Coordinates, by: PositionBy) -> bool {
        match by {
            PositionBy::Gtid => self.executed_gtids.contains(&goal.gtids),
            PositionBy::File => match (&self.executed, &goal.file) {
                (Some(executed), Some(file)) => executed.reaches(file),
                _ => false,
            },
        }
    }

    /// What changes whenever the replica gets on: two equal samples, no progress between them.
    pub fn progress(&self) -> (u64, Option<&FilePosition>, Option<&FilePosition>) {
        (self.executed_gtids.count(), self.executed.as_ref(), self.received.as_ref())
    }
}

/// What this server's columns are called.
/// A replica's error without what lets somebody in: it repeats the statement that failed, and old
/// sources log accounts with their passwords' hashes.
pub(super) fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // `IDENTIFIED [WITH plugin] BY [PASSWORD] 'secret'`, `... AS 'hash'`: what is quoted goes.
    while let Some(at) = rest.to_ascii_uppercase().find("IDENTIFIED") {
        let (before, clause) = rest.split_at(at);
        out.push_str(before);
        let upper = clause.to_ascii_uppercase();
        let by = [" BY ", " AS "].iter().filter_map(|word| upper.find(word)).min();
        let Some(open) = by.and_then(|by| Some(by + clause[by..].find(['\'', '"'])?)) else {
            let (word, behind) = clause.split_at("IDENTIFIED".len());
            out.push_str(word);
            rest = behind;
            continue;
        };
        let mark = &clause[open..=open];
        let end = clause[open + 1..].find(mark).map_or(clause.len(), |end| open + 1 + end);
        out.push_str(&clause[..=open]);
        out.push_str("...");
        rest = &clause[end..];
    }
    out.push_str(rest);
    // A hash that stands elsewhere, as in `SET PASSWORD FOR ... = '*hash'`.
    while let Some(at) = hash_at(&out) {
        out.replace_range(at + 1..at + 41, "...");
    }
    out
}

/// Where a `*` is followed by 40 hexadecimal digits.
fn hash_at(text: &str) -> Option<usize> {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'*').map(|(at, _)| at).find(|at| {
        text.as_bytes()
            .get(at + 1..at + 41)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

struct Words {
    host: &'static str,
    port: &'static str,
    user: &'static str,
    io_running: &'static str,
    sql_running: &'static str,
    log_file: &'static str,
    read_position: &'static str,
    relay_file: &'static str,
    executed_position: &'static str,
    seconds_behind: &'static str,
}

impl Words {
    fn of(dialect: &Dialect) -> Self {
        if dialect.says_replica() {
            Words {
                host: "Source_Host",
                port: "Source_Port",
                user: "Source_User",
                io_running: "Replica_IO_Running",
                sql_running: "Replica_SQL_Running",
                log_file: "Source_Log_File",
                read_position: "Read_Source_Log_Pos",
                relay_file: "Relay_Source_Log_File",
                executed_position: "Exec_Source_Log_Pos",
                seconds_behind: "Seconds_Behind_Source",
            }
        } else {
            Words {
                host: "Master_Host",
                port: "Master_Port",
                user: "Master_User",
                io_running: "Slave_IO_Running",
                sql_running: "Slave_SQL_Running",
                log_file: "Master_Log_File",
                read_position: "Read_Master_Log_Pos",
                relay_file: "Relay_Master_Log_File",
                executed_position: "Exec_Master_Log_Pos",
                seconds_behind: "Seconds_Behind_Master",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_somebody_in_is_left_out() {
        let hash = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
        let text = format!(
            "near 'IDENTIFIED BY PASSWORD '{hash}'' on query. Query: 'GRANT ALL ON x.* TO 'u'@'h' identified with \
             'mysql_native_password' as 'open sesame', 'v'@'h' IDENTIFIED BY \"secret\"; SET PASSWORD FOR 'u'@'h'='{hash}''"
        );
        let shown = without_secrets(&text);
        for secret in [&hash[1..], "sesame", "secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("TO 'u'@'h'") && shown.ends_with("'u'@'h'='*...''"), "{shown}");
        for plain in ["", "Duplicate entry '1'", "table IDENTIFIED", "é IDENTIFIED BY ", "5 * 3"] {
            assert_eq!(without_secrets(plain), plain);
        }
    }
}
