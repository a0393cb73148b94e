//! How a target is told to replicate: through the `mysql.rds_*` procedures or by statements of its
//! own. The one place where a replication password becomes SQL; neither a log nor an error shows it.
//!
//! The procedures report some failures as result rows only, so nothing here is believed: callers
//! look at the replica's status afterwards.

use mysql_async::Value;
use tokio::sync::mpsc;

use super::status::ReplicaStatus;
use crate::{
    config::TargetKind,
    error::{Error, Kind, Result},
    mysql::{Coordinates, FilePosition, GtidSet, Secret, Session, TableName},
    select::OWN_DATABASE,
    source::read::Batch,
    target::{ledger::hex, load::load},
};

/// Whom to replicate from, and how to log in there.
#[derive(Debug, Clone)]
pub struct SourceLogin {
    /// The source's host as the target reaches it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The replication account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Whether to use TLS.
    pub tls: bool,
}

/// Where replication starts.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// By GTIDs: the source sends what the target lacks.
    AutoPosition,
    /// At a file and offset of the source's binary log.
    At(&'a Coordinates),
}

/// The session variable in which a target gets a password, as hexadecimal digits.
const VARIABLE: &str = "@daybreak_handed_over";

/// The password as an expression.
const HANDED_OVER: &str = "CONVERT(UNHEX(@daybreak_handed_over) USING utf8mb4)";

/// Puts a secret into [`VARIABLE`] without its ever being part of a statement: as the content of a file
/// that is loaded into a temporary table. False where that would bring it into a binary log (a log of
/// statements keeps loaded files; MariaDB's does by default).
async fn hand_over(target: &mut Session, secret: &Secret) -> Result<bool> {
    if target.dialect().is_mariadb()
        || target.variable("binlog_format").await?.as_deref() == Some("STATEMENT")
    {
        return Ok(false);
    }
    let table = TableName::new(OWN_DATABASE, "handed_over").sql();
    match target.execute(format!("CREATE TEMPORARY TABLE {table} (n TINYINT)")).await {
        Ok(_) => {}
        Err(error) if error.kind() == Kind::Privilege => return Ok(false),
        Err(error) => return Err(error),
    }
    let digits = hex(secret.reveal().as_bytes());
    let (send, batches) = mpsc::channel(2);
    // There is room for both.
    _ = send.try_send(Batch::Rows(digits.into()));
    _ = send.try_send(Batch::End);
    let sql = format!(
        "LOAD DATA LOCAL INFILE 'daybreak' INTO TABLE {table} CHARACTER SET binary ({VARIABLE}) SET n = 1"
    );
    let loaded = load(target, &sql, batches).await;
    target.execute(format!("DROP TEMPORARY TABLE {table}")).await?;
    loaded?;
    Ok(true)
}

/// How a target is controlled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The `mysql.rds_*` procedures that are there; none: statements are used.
    procedures: Option<Vec<String>>,
}

impl Control {
    /// Finds out how a target is controlled: by the procedures where they exist, unless the
    /// configuration says otherwise.
    pub async fn find(target: &mut Session, kind: Option<TargetKind>) -> Result<Self> {
        if kind == Some(TargetKind::Mysql) {
            return Ok(Control { procedures: None });
        }
        let mut names = Vec::new();
        for row in target
            .rows(
                "SELECT LOWER(ROUTINE_NAME) FROM information_schema.ROUTINES \
                 WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME LIKE 'rds\\_%'",
            )
            .await?
        {
            names.push(target.column::<String>(&row, 0)?.unwrap_or_default());
        }
        let usable = names.iter().any(|name| name.starts_with("rds_set_external_"));
        match (kind, usable) {
            (_, true) => Ok(Control { procedures: Some(names) }),
            (Some(TargetKind::Aurora), false) => Err(Error::new(
                Kind::Unsupported,
                "the target has no procedure mysql.rds_set_external_source",
            )
            .at(target.place())
            .next("use the cluster's master account, or say kind = \"mysql\" in [target]")),
            (_, false) => Ok(Control { procedures: None }),
        }
    }

    /// Whether the target has a procedure of that name.
    pub fn has(&self, procedure: &str) -> bool {
        self.procedures.as_ref().is_some_and(|names| names.iter().any(|name| name == procedure))
    }

    /// Whether the procedures are used.
    pub fn by_procedures(&self) -> bool {
        self.procedures.is_some()
    }

    /// The procedure's name: `..._source` from Aurora 3 on, `..._master` before.
    fn named(&self, source: &'static str, master: &'static str) -> &'static str {
        if self.has(source) { source } else { master }
    }

    /// Tells the target whom to follow and from where. Starts nothing.
    pub async fn set_source(
        &self,
        target: &mut Session,
        login: &SourceLogin,
        start: Start<'_>,
    ) -> Result<()> {
        if login.password.reveal().len() > 32 {
            return Err(Error::new(
                Kind::Config,
                "a replication password may have 32 characters at most",
            )
            .next("give the replication account a shorter one"));
        }
        let file = match start {
            Start::AutoPosition => None,
            Start::At(coordinates) => Some(coordinates.file.as_ref().ok_or_else(|| {
                Error::new(Kind::Replication, "the snapshot has no binary log position")
                    .next("switch the source's binary log on, then copy again")
            })?),
        };
        let host = login.host.as_str();
        let (port, user, password) = (login.port, login.user.as_str(), login.password.reveal());
        if self.by_procedures() {
            return self.call_set_source(target, login, file).await;
        }
        let dialect = target.dialect().clone();
        let (change, word) = if dialect.says_replica() {
            ("CHANGE REPLICATION SOURCE TO", "SOURCE")
        } else {
            ("CHANGE MASTER TO", "MASTER")
        };
        let mut sql = format!(
            "{change} {word}_HOST = {}, {word}_PORT = {port}, {word}_USER = {}, {word}_PASSWORD = {}, {word}_SSL = {}",
            literal(host),
            literal(user),
            literal(password),
            u8::from(login.tls)
        );
        // Without TLS, caching_sha2_password needs the source's public key.
        if !login.tls && dialect.mysql_from(8, 0, 4) {
            sql.push_str(&format!(", GET_{word}_PUBLIC_KEY = 1"));
        }
        match file {
            None => sql.push_str(&format!(", {word}_AUTO_POSITION = 1")),
            Some(at) => {
                if dialect.is_mariadb() {
                    sql.push_str(", MASTER_USE_GTID = no");
                } else if dialect.has_gtid_mode() {
                    sql.push_str(&format!(", {word}_AUTO_POSITION = 0"));
                }
                sql.push_str(&format!(
                    ", {word}_LOG_FILE = {}, {word}_LOG_POS = {}",
                    literal(&at.file),
                    at.position
                ));
            }
        }
        target.execute_secret(&Secret::new(sql), ()).await?;
        Ok(())
    }

    /// The same by procedure. A parameter's value stands in the process list and the statement history
    /// of the target while the call runs (seen on 9.7), so the password goes another way where it can.
    async fn call_set_source(
        &self,
        target: &mut Session,
        login: &SourceLogin,
        file: Option<&FilePosition>,
    ) -> Result<()> {
        let handed_over = hand_over(target, &login.password).await?;
        let password = if handed_over { HANDED_OVER } else { "?" };
        let mut values: Vec<Value> =
            vec![login.host.as_str().into(), login.port.into(), login.user.as_str().into()];
        if !handed_over {
            values.push(login.password.reveal().into());
        }
        let (name, marks) = match file {
            None => (
                self.named(
                    "rds_set_external_source_with_auto_position",
                    "rds_set_external_master_with_auto_position",
                ),
                "?",
            ),
            Some(at) => {
                values.extend([at.file.as_str().into(), at.position.into()]);
                (self.named("rds_set_external_source", "rds_set_external_master"), "?, ?, ?")
            }
        };
        values.push(u8::from(login.tls).into());
        let sql = Secret::new(format!("CALL mysql.{name}(?, ?, ?, {password}, {marks})"));
        let called = target.execute_secret(&sql, values).await;
        if handed_over {
            target.execute(format!("SET {VARIABLE} = NULL")).await?;
        }
        called.map(drop)
    }

    /// Starts both threads. Whether they run is for the status to say.
    pub async fn start(&self, target: &mut Session) -> Result<()> {
        self.say(target, "rds_start_replication", "START").await
    }

    /// Stops both threads.
    pub async fn stop(&self, target: &mut Session) -> Result<()> {
        self.say(target, "rds_stop_replication", "STOP").await
    }

    /// Makes the target forget its source.
    pub async fn reset(&self, target: &mut Session) -> Result<()> {
        if self.by_procedures() {
            let name = self.named("rds_reset_external_source", "rds_reset_external_master");
            target.execute(format!("CALL mysql.{name}()")).await?;
        } else if target.dialect().says_replica() {
            target.execute("RESET REPLICA ALL").await?;
        } else {
            target.execute("RESET SLAVE ALL").await?;
        }
        Ok(())
    }

    async fn say(&self, target: &mut Session, procedure: &str, verb: &str) -> Result<()> {
        if self.by_procedures() {
            target.execute(format!("CALL mysql.{procedure}()")).await?;
        } else if target.dialect().says_replica() {
            target.execute(format!("{verb} REPLICA")).await?;
        } else {
            target.execute(format!("{verb} SLAVE")).await?;
        }
        Ok(())
    }

    /// Tells the target that it holds these transactions already; only what its history lacks is added.
    ///
    /// Source: MySQL manual, *gtid_purged*: `+set` from MySQL 8.0; before, only into an empty history.
    pub async fn add_purged(&self, target: &mut Session, held: &GtidSet) -> Result<()> {
        let executed = executed_gtids(target).await?;
        let lacking = held.minus(&executed);
        if lacking.is_empty() {
            return Ok(());
        }
        let value = if target.dialect().mysql_from(8, 0, 0) {
            format!("+{lacking}")
        } else if executed.is_empty() {
            lacking.to_string()
        } else {
            return Err(Error::new(
                Kind::Unsupported,
                format!("{} can't be told of the source's GTIDs beside its own", target.dialect()),
            )
            .at(target.place())
            .next("say position = \"file\" in [replication]"));
        };
        if self.has("rds_gtid_purged") {
            target.execute_with("CALL mysql.rds_gtid_purged(?)", (value,)).await?;
        } else if self.by_procedures() {
            return Err(Error::new(
                Kind::Unsupported,
                "the target has no procedure mysql.rds_gtid_purged (Aurora 3.04 and later have it)",
            )
            .at(target.place())
            .next("say position = \"file\" in [replication]"));
        } else {
            target.execute(format!("SET GLOBAL gtid_purged = '{value}'")).await?;
        }
        let still = held.minus(&executed_gtids(target).await?);
        if still.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Replication, format!("the target's gtid_purged didn't take {still}"))
            .at(target.place())
            .next("see its error log, or say position = \"file\" in [replication]"))
    }

    /// Stops replication and makes the target forget its source, if it has one; asks it again until
    /// it has none. Does nothing to a target that is no replica.
    pub async fn detach(&self, target: &mut Session) -> Result<()> {
        let Some(status) = ReplicaStatus::read(target).await? else { return Ok(()) };
        // A replica that was reset but not forgotten has a row with an empty host.
        if status.applying || status.receiver != super::Receiver::Stopped {
            self.stop(target).await?;
        }
        self.reset(target).await?;
        match ReplicaStatus::read(target).await? {
            None => Ok(()),
            Some(status) if status.source_host.is_empty() => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Replication,
                "the target still has its source after it was reset",
            )
            .at(target.place())),
        }
    }
}

/// What a server has executed, by GTIDs; empty where it has none.
pub async fn executed_gtids(session: &mut Session) -> Result<GtidSet> {
    if !session.dialect().has_gtid_mode() {
        return Ok(GtidSet::default());
    }
    let text: Option<String> = session.scalar("SELECT @@GLOBAL.gtid_executed").await?;
    GtidSet::parse(&text.unwrap_or_default())
}

/// A text as a literal for the statements that take no parameter and no hexadecimal literal. Every
/// [`Session`] has a `sql_mode` in which a backslash escapes.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_end_where_they_should() {
        assert_eq!(literal(r"a'b\c"), r"'a''b\\c'");
    }
}
