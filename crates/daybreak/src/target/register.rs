//! Which migrations are at work on a target, and which of its databases each of them makes: `daybreak`.`migrations`
//! and `daybreak`.`schemas` there.
//!
//! Several sources may come into one target, each by a migration of its own and into databases of its
//! own, as long as none of them replicates: a target replicates from one source, and a cutover of that
//! kind counts on nobody else's writes. All that daybreak keeps on a target is kept by migration; the last
//! one that leaves takes the database `daybreak` with it. Entering and leaving happen one at a time.

use std::collections::BTreeSet;

use crate::{
    engine::{Context, Finding, ReplicationMode, Severity},
    error::{Error, Kind, Result},
    mysql::{Session, TableName, quote, quote_text},
    select::OWN_DATABASE,
    sync::heartbeat,
};

/// The lock under which migrations enter and leave: one name for a whole server.
const LOCK: &str = "daybreak.register";

/// How long it is waited for, in seconds: nothing under it takes long.
const LOCK_WAIT: u32 = 60;

/// The tables in which each migration has rows of its own.
const KEPT: [&str; 5] = ["chunks", "created", "objects", "schemas", "migrations"];

/// A migration at work on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub migration: String,
    /// Its source, for people.
    pub source: String,
    /// Whether it replicates.
    pub native: bool,
    /// The databases that it makes.
    pub databases: BTreeSet<String>,
}

/// What a target has of daybreak's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A database of that name that no migration is entered in: an older version's, or somebody's.
    Foreign,
    /// The migrations at work.
    Migrations(Vec<Entry>),
}

fn table(name: &str) -> String {
    TableName::new(OWN_DATABASE, name).sql()
}

impl Found {
    /// Looks. The server's named lock is taken only where something seems to be somebody's: another migration
    /// may just be entering or leaving.
    pub async fn read(session: &mut Session) -> Result<Self> {
        match Self::read_now(session).await? {
            Found::Foreign => alone(session, Self::read_now).await,
            found => Ok(found),
        }
    }

    async fn read_now(session: &mut Session) -> Result<Self> {
        let own = quote_text(OWN_DATABASE);
        let there: Option<String> = session
            .scalar(format!(
                "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {own}"
            ))
            .await?;
        if there.is_none() {
            return Ok(Found::Nothing);
        }
        let sql =
            format!("SELECT migration, source, replicates FROM {} ORDER BY 1", table("migrations"));
        let rows = match session.rows(sql).await {
            Ok(rows) => rows,
            // 1142: somebody's, and not for this account.
            Err(error) if matches!(error.code(), Some(1146 | 1049 | 1054 | 1142)) => {
                return Ok(Found::Foreign);
            }
            Err(error) => return Err(error),
        };
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            entries.push(Entry {
                migration: session.field(&row, "migration")?,
                source: session.field(&row, "source")?,
                native: session.field::<i64>(&row, "replicates")? != 0,
                databases: BTreeSet::new(),
            });
        }
        let sql = format!("SELECT schema_name, migration FROM {}", table("schemas"));
        let rows = match session.rows(sql).await {
            Ok(rows) => rows,
            Err(error) if matches!(error.code(), Some(1146 | 1049)) => return Ok(Found::Foreign),
            Err(error) => return Err(error),
        };
        for row in rows {
            let of: String = session.field(&row, "migration")?;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.migration == of) {
                entry.databases.insert(session.field(&row, "schema_name")?);
            }
        }
        Ok(Found::Migrations(entries))
    }

    /// What of it stands in the way of a migration that makes some databases; `migration`: its name, if it
    /// has one by now.
    pub fn findings<'a>(
        &self,
        migration: Option<&str>,
        native: bool,
        databases: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Finding> {
        let finding = |id: &str, severity, objects, why: String, remedy: String| Finding {
            id: id.into(),
            severity,
            objects,
            why,
            remedy,
        };
        let entries = match self {
            Found::Nothing => return Vec::new(),
            Found::Foreign => {
                return vec![finding(
                    "target.own_database",
                    Severity::Blocker,
                    vec![OWN_DATABASE.into()],
                    format!(
                        "the target has a database `{OWN_DATABASE}` already: another migration is at work there, or \
                         one was left unfinished"
                    ),
                    format!(
                        "`daybreak undo` in that migration's directory; if there is none: DROP DATABASE \
                         {OWN_DATABASE}; on the target"
                    ),
                )];
            }
            Found::Migrations(entries) => entries,
        };
        let others: Vec<&Entry> =
            entries.iter().filter(|entry| Some(entry.migration.as_str()) != migration).collect();
        if others.is_empty() {
            return Vec::new();
        }
        let named: Vec<String> = others
            .iter()
            .map(|entry| format!("{} from {}", entry.migration, entry.source))
            .collect();
        let all = named.join(", ");
        let remedy = format!(
            "finish it, or `daybreak undo` in its directory; if that is gone, and nobody is at work: DROP DATABASE \
             {OWN_DATABASE}; on the target"
        );
        if let Some(other) = others.iter().find(|entry| entry.native) {
            return vec![finding(
                "target.own_database",
                Severity::Blocker,
                named,
                format!(
                    "migration {} from {} replicates into the target: its cutover counts on nobody else's writes there",
                    other.migration, other.source
                ),
                remedy,
            )];
        }
        if native {
            return vec![finding(
                "target.own_database",
                Severity::Blocker,
                named,
                format!(
                    "other migrations are at work on the target ({all}), and one that replicates must be alone there: \
                     Aurora MySQL 3 replicates from one source (rds_set_external_source has one channel), and a cutover \
                     counts on nobody else's writes"
                ),
                format!(
                    "mode = \"none\" in [replication], so that writes stop for the copy; or {remedy}"
                ),
            )];
        }
        let mut findings = Vec::new();
        for database in databases {
            if let Some(other) = others.iter().find(|entry| entry.databases.contains(database)) {
                findings.push(finding(
                    "target.claimed",
                    Severity::Blocker,
                    vec![database.into()],
                    format!(
                        "migration {} from {} makes the database {database} on the target",
                        other.migration, other.source
                    ),
                    format!("rename = {{ ... }} in [select] gives it another name there, exclude leaves it out; or {remedy}"),
                ));
            }
        }
        if findings.is_empty() {
            findings.push(finding(
                "target.shared",
                Severity::Note,
                named,
                format!("other migrations are at work on the target: {all}. Each makes databases of its own"),
                "none: the database `daybreak` goes with the last of them".into(),
            ));
        }
        findings
    }
}

/// Enters the migration, with the databases that it makes (more may be added later).
///
/// # Errors
/// `Blocked` where others are at work that it can't share the target with.
pub(crate) async fn enter(
    ctx: &Context,
    session: &mut Session,
    databases: &BTreeSet<String>,
) -> Result<()> {
    let plan = ctx.plan()?;
    let (migration, native) =
        (plan.migration.as_str(), plan.replication == ReplicationMode::Native);
    let source: String = plan.source.chars().take(500).collect();
    alone(session, async |session| {
        let found = Found::read_now(session).await?;
        // What an older version left of this very migration has no register yet.
        if found != Found::Foreign {
            let blocker = found
                .findings(Some(migration), native, databases.iter().map(String::as_str))
                .into_iter()
                .find(|finding| finding.severity == Severity::Blocker);
            if let Some(Finding { why, remedy, objects, .. }) = blocker {
                return Err(Error::new(Kind::Blocked, why)
                    .at(format!("{}, {}", session.place(), objects.join(", ")))
                    .next(remedy));
            }
        }
        session.execute(format!("CREATE DATABASE IF NOT EXISTS {}", quote(OWN_DATABASE))).await?;
        session
            .execute(format!(
                "CREATE TABLE IF NOT EXISTS {} (\
                 schema_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
                 migration CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL) ENGINE=InnoDB",
                table("schemas")
            ))
            .await?;
        session
            .execute(format!(
                "CREATE TABLE IF NOT EXISTS {} (\
                 migration CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, \
                 source VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
                 replicates TINYINT NOT NULL, entered_at DATETIME NOT NULL) ENGINE=InnoDB",
                table("migrations")
            ))
            .await?;
        session
            .execute_with(
                format!("INSERT IGNORE INTO {} VALUES (?, ?, ?, UTC_TIMESTAMP())", table("migrations")),
                (migration, source.as_str(), native),
            )
            .await?;
        for database in databases {
            session
                .execute_with(
                    format!("INSERT IGNORE INTO {} VALUES (?, ?)", table("schemas")),
                    (database, migration),
                )
                .await?;
        }
        Ok(())
    })
    .await
}

/// Takes away what daybreak keeps of a migration, and its database with the last one.
pub(crate) async fn leave(session: &mut Session, migration: &str) -> Result<()> {
    alone(session, async |session| {
        let last = match Found::read_now(session).await? {
            Found::Nothing => return Ok(()),
            // Without a register: ours if the heartbeat says so.
            Found::Foreign => {
                if heartbeat::owner(session).await?.as_deref() != Some(migration) {
                    return Ok(());
                }
                true
            }
            Found::Migrations(entries) => entries.iter().all(|entry| entry.migration == migration),
        };
        if last {
            return session
                .execute(format!("DROP DATABASE IF EXISTS {}", quote(OWN_DATABASE)))
                .await
                .map(drop);
        }
        for name in KEPT {
            let delete = format!("DELETE FROM {} WHERE migration = ?", table(name));
            match session.execute_with(delete, (migration,)).await {
                Err(error) if error.code() == Some(1146) => {}
                other => drop(other?),
            }
        }
        Ok(())
    })
    .await
}

/// Whether a target has anything left of a migration.
pub(crate) async fn has(session: &mut Session, migration: &str) -> Result<bool> {
    Ok(match Found::read(session).await? {
        Found::Nothing => false,
        Found::Foreign => heartbeat::owner(session).await?.as_deref() == Some(migration),
        Found::Migrations(entries) => entries.iter().any(|entry| entry.migration == migration),
    })
}

/// Does something while no other migration enters or leaves.
async fn alone<T>(
    session: &mut Session,
    work: impl AsyncFnOnce(&mut Session) -> Result<T>,
) -> Result<T> {
    let lock = quote_text(LOCK);
    let got: Option<i64> = session.scalar(format!("SELECT GET_LOCK({lock}, {LOCK_WAIT})")).await?;
    if got != Some(1) {
        return Err(Error::new(
            Kind::LockWait,
            "another migration is entering or leaving the target",
        )
        .at(session.place())
        .next("the same command again; who holds it: SELECT IS_USED_LOCK('daybreak.register')"));
    }
    let done = work(session).await;
    // It ends with the connection in any case.
    if let Err(error) = session.execute(format!("DO RELEASE_LOCK({lock})")).await {
        tracing::debug!(%error, "the register's lock");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(migration: &str, native: bool, databases: &[&str]) -> Entry {
        Entry {
            migration: migration.into(),
            source: format!("root@{migration}:3306"),
            native,
            databases: databases.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn who_may_share_a_target() {
        let ids = |found: &Found, migration, native| -> Vec<String> {
            let databases = ["shop", "crm"];
            found.findings(migration, native, databases).into_iter().map(|f| f.id).collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(ids(&Found::Nothing, None, true), none);
        assert_eq!(ids(&Found::Foreign, None, false), ["target.own_database"]);
        let one = Found::Migrations(vec![entry("a", false, &["store"])]);
        assert_eq!(ids(&one, None, false), ["target.shared"]);
        assert_eq!(ids(&one, Some("a"), true), none);
        assert_eq!(ids(&one, None, true), ["target.own_database"]);
        let replicating = Found::Migrations(vec![entry("a", true, &["store"])]);
        assert_eq!(ids(&replicating, Some("b"), false), ["target.own_database"]);
        let both =
            Found::Migrations(vec![entry("a", false, &["shop"]), entry("b", false, &["crm"])]);
        assert_eq!(ids(&both, None, false), ["target.claimed"; 2]);
        assert_eq!(ids(&both, Some("a"), false), ["target.claimed"]);
        assert_eq!(ids(&Found::Migrations(Vec::new()), None, true), none);
    }
}
