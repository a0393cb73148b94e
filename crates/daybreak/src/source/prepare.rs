//! Prepares the source for replication: the account that the target logs in with, and the
//! `daybreak` database with its heartbeat.
//!
//! Everything that it makes carries the migration's name, and the journal says so before it is made;
//! what was there before is never touched. The account stays out of the binary log where the
//! session may leave it out. The `daybreak` database is written to the binary log on purpose: the
//! heartbeat's updates are, and replicas that the source already has would stop at the first one
//! (1146) without the table.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rand::{
    Rng as _,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use serde::{Deserialize, Serialize};

use crate::{
    config,
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    mysql::{Dialect, Secret, Session, quote, quote_text},
    select::OWN_DATABASE,
    sync::{heartbeat, replicate::literal},
};

/// The step's name.
pub const ID: &str = "prepare_source";

/// The file in the migration directory that holds the made account's password.
pub const SECRET_FILE: &str = "replication.secret";

/// The account that the step makes. Written down before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAccount {
    /// Its name.
    pub user: String,
    /// Where it may log in from.
    pub host: String,
    /// The hosts of anonymous accounts within that: without an account of the same name there, theirs
    /// would catch the login (1045), as their host is closer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closer: Vec<String>,
}

impl MadeAccount {
    /// `'user'@'host'`, for each host.
    pub fn each(&self) -> Vec<String> {
        self.hosts().map(|host| format!("{}@{}", literal(&self.user), literal(host))).collect()
    }

    fn hosts(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.host).chain(&self.closer)
    }

    fn sql(&self) -> String {
        self.each().join(", ")
    }
}

/// What the step found and made of the `daybreak` database. Written down before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MadeDatabase {
    /// The migration it belongs to.
    migration: String,
}

/// The step that prepares the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrepareSource;

#[async_trait]
impl Step for PrepareSource {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "make the replication account and the heartbeat on the source"
    }

    fn rollback(&self) -> &'static str {
        "drop the replication account and the `daybreak` database on the source"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut source = context.source().await?;
        let migration = context.plan()?.migration.clone();
        let mut findings = Vec::new();
        if database_state(&mut source, context, &migration).await? == Standing::Foreign {
            findings.push(Finding {
                id: "source.daybreak_database".into(),
                severity: Severity::Blocker,
                objects: vec![OWN_DATABASE.into()],
                why: format!(
                    "the source has a database `{OWN_DATABASE}` that this migration didn't make"
                ),
                remedy: format!(
                    "if it is left over from another migration, undo that one or DROP DATABASE {}; otherwise rename it",
                    quote(OWN_DATABASE)
                ),
            });
        }
        if context.config.replication.user.is_some() {
            return Ok(findings);
        }
        let account = account(context, &mut source).await?;
        let made: Option<MadeAccount> = context.journal.recall(ID, "account")?;
        let ours: Vec<&String> = made.iter().flat_map(MadeAccount::hosts).collect();
        let there = hosts(&mut source, &account.user).await?.unwrap_or_default();
        if account.hosts().any(|host| there.contains(host) && !ours.contains(&host)) {
            findings.push(Finding {
                id: "source.replication_account".into(),
                severity: Severity::Blocker,
                objects: vec![account.sql()],
                why: format!("the account {} exists already", account.sql()),
                remedy:
                    "drop it, or name an account of yours in [replication] (user, password_file)"
                        .into(),
            });
        }
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut source = context.source().await?;
        if context.config.replication.user.is_none() {
            make_account(context, &mut source).await?;
        }
        context.stop.check()?;
        let migration = context.plan()?.migration.clone();
        if database_state(&mut source, context, &migration).await? == Standing::Foreign {
            return Err(foreign_database(&source));
        }
        context.journal.record(ID, "database", &MadeDatabase { migration: migration.clone() })?;
        heartbeat::create(&mut source, &migration).await?;
        source.close().await;
        Ok(())
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let mut source = context.source().await?;
        let migration = context.plan()?.migration.clone();
        let wrong = |what: String| {
            Error::new(Kind::State, what)
                .at(source_place(context))
                .next("`daybreak resume` makes it again")
        };
        if heartbeat::owner(&mut source).await?.as_deref() != Some(&migration)
            || heartbeat::row(&mut source).await?.is_none()
        {
            return Err(wrong("the heartbeat isn't on the source".into()));
        }
        if context.config.replication.user.is_none() {
            // The account itself proves that it is there and that the password is the file's.
            let (user, password) = made_login(context)?;
            let account = account(context, &mut source).await?;
            let there = hosts(&mut source, &account.user).await?;
            let all = there.is_none_or(|there| account.hosts().all(|host| there.contains(host)));
            if account.user != user || !all {
                return Err(wrong(format!("the account {} isn't on the source", account.sql())));
            }
            if reaches_itself(&account.host) {
                let mut url = context.config.source.clone();
                (url.user, url.password) = (user, Some(password));
                let login = Session::open(&url, crate::mysql::Side::Source).await;
                login.map_err(|error| caught(error, &account))?.close().await;
            }
        }
        Ok(())
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let mut source = context.source().await?;
        if let Some(made) = context.journal.recall::<MadeDatabase>(ID, "database")?
            && database_state(&mut source, context, &made.migration).await? != Standing::Foreign
        {
            source.execute(format!("DROP DATABASE IF EXISTS {}", quote(OWN_DATABASE))).await?;
        }
        if let Some(account) = context.journal.recall::<MadeAccount>(ID, "account")? {
            unlogged(&mut source).await?;
            drop_accounts(&mut source, &account).await?;
            let path = secret_path(&context.directory);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::from(error).at(path.display()));
                }
                _ => {}
            }
        }
        source.close().await;
        Ok(())
    }
}

/// The account that this migration makes, and its password as it lies in the migration directory.
///
/// # Errors
/// `State` before the source was prepared.
pub fn made_login(context: &Context) -> Result<(String, Secret)> {
    let path = secret_path(&context.directory);
    let made: Option<MadeAccount> = context.journal.recall(ID, "account")?;
    let Some(made) = made.filter(|_| path.exists()) else {
        return Err(Error::new(Kind::State, "the replication account isn't made yet")
            .at(path.display())
            .next(
                "`daybreak resume` makes it, or name one in [replication] (user, password_file)",
            ));
    };
    Ok((made.user, config::read_secret(&path)?))
}

fn secret_path(directory: &Path) -> PathBuf {
    directory.join(SECRET_FILE)
}

fn source_place(context: &Context) -> String {
    format!("source {}", context.config.source)
}

/// The account, with a name short enough for the server (16 characters before MySQL 5.7.8).
async fn account(context: &Context, source: &mut Session) -> Result<MadeAccount> {
    let migration = context.plan()?.migration.clone();
    let dialect = source.dialect();
    let short = !dialect.is_mariadb() && !dialect.mysql_from(5, 7, 8);
    let host = context.config.replication.account_host.clone();
    Ok(MadeAccount {
        user: if short { format!("dbrk_{migration}") } else { format!("daybreak_{migration}") },
        closer: anonymous_hosts(source, &host).await?,
        host,
    })
}

/// Whose the `daybreak` database on the source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Absent,
    Ours,
    Foreign,
}

/// A database is ours by the mark on its heartbeat table; an empty one when the journal says that
/// this migration was about to make it.
async fn database_state(
    source: &mut Session,
    context: &Context,
    migration: &str,
) -> Result<Standing> {
    let named = quote_text(OWN_DATABASE);
    let there: Option<i64> = source
        .scalar(format!(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {named}"
        ))
        .await?;
    if there.unwrap_or(0) == 0 {
        return Ok(Standing::Absent);
    }
    let tables: Option<i64> = source
        .scalar(format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {named}"
        ))
        .await?;
    let owner = heartbeat::owner(source).await?;
    let begun = context.journal.recall::<MadeDatabase>(ID, "database")?.is_some();
    Ok(match (owner, tables.unwrap_or(0)) {
        (Some(owner), _) if owner == migration => Standing::Ours,
        (None, 0) if begun => Standing::Ours,
        _ => Standing::Foreign,
    })
}

fn foreign_database(source: &Session) -> Error {
    Error::new(
        Kind::Blocked,
        format!("the source has a database `{OWN_DATABASE}` that this migration didn't make"),
    )
    .at(source.place())
    .next("rename or drop it, then try again")
}

/// Keeps the session's statements out of the binary log if the account may do that.
async fn unlogged(source: &mut Session) -> Result<bool> {
    match source.execute("SET SESSION sql_log_bin = 0").await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::Privilege => Ok(false),
        Err(error) => Err(error),
    }
}

async fn logged_again(source: &mut Session) -> Result<()> {
    source.execute("SET SESSION sql_log_bin = 1").await?;
    Ok(())
}

async fn make_account(context: &Context, source: &mut Session) -> Result<()> {
    let dialect = source.dialect().clone();
    let account = account(context, source).await?;
    let made: Option<MadeAccount> = context.journal.recall(ID, "account")?;
    if made.as_ref() != Some(&account) {
        // The operator changed account_host, or anonymous accounts, after the first attempt: the old
        // ones are ours to drop.
        if let Some(old) = made {
            drop_accounts(source, &old).await?;
        }
        context.journal.record(ID, "account", &account)?;
    }
    let password = secret(&secret_path(&context.directory))?;
    let unlogged = unlogged(source).await?;
    if !unlogged {
        context.events.info(format!(
            "the account on the source may not set sql_log_bin: {} is written to the source's binary log, and so \
             to the replicas it already has",
            account.sql()
        ));
    }
    for who in account.each() {
        make_one(source, &dialect, &who, &password).await?;
    }
    if unlogged {
        logged_again(source).await?;
    }
    Ok(())
}

async fn make_one(
    source: &mut Session,
    dialect: &Dialect,
    who: &str,
    password: &Secret,
) -> Result<()> {
    let by = literal(password.reveal());
    // 1396: it exists, from an earlier attempt of ours.
    let created = source
        .execute_secret(&Secret::new(format!("CREATE USER {who} IDENTIFIED BY {by}")), ())
        .await;
    match created {
        Ok(_) => {}
        Err(error) if error.code() == Some(1396) => {
            let sql = if dialect.mysql_from(5, 7, 6)
                || (dialect.is_mariadb() && dialect.version >= (10, 2, 0))
            {
                format!("ALTER USER {who} IDENTIFIED BY {by}")
            } else {
                format!("SET PASSWORD FOR {who} = PASSWORD({by})")
            };
            source.execute_secret(&Secret::new(sql), ()).await?;
        }
        Err(error) => return Err(error),
    }
    // Never GRANT ... IDENTIFIED BY: newer servers don't understand it, and it would be in the log.
    source.execute(format!("GRANT REPLICATION SLAVE ON *.* TO {who}")).await?;
    Ok(())
}

async fn drop_accounts(source: &mut Session, account: &MadeAccount) -> Result<()> {
    for who in account.each() {
        match source.execute(format!("DROP USER {who}")).await {
            Ok(_) => {}
            // 1396: there is none.
            Err(error) if error.code() == Some(1396) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The hosts at which there is an account of a name; none when the account we use may not look.
async fn hosts(source: &mut Session, user: &str) -> Result<Option<Vec<String>>> {
    texts(source, "SELECT Host FROM mysql.user WHERE User = ?", (user,)).await
}

/// The hosts of anonymous accounts that lie within a host pattern; none known when the account we
/// use may not look.
async fn anonymous_hosts(source: &mut Session, within: &str) -> Result<Vec<String>> {
    let sql = "SELECT Host FROM mysql.user WHERE User = '' AND Host <> '' AND Host LIKE ? AND Host <> ? \
               ORDER BY Host";
    Ok(texts(source, sql, (within, within)).await?.unwrap_or_default())
}

/// The first column of a query; none without the privilege to ask.
async fn texts(
    source: &mut Session,
    sql: &str,
    values: impl Into<mysql_async::Params> + Send,
) -> Result<Option<Vec<String>>> {
    match source.rows_with(sql, values).await {
        Ok(rows) => {
            let texts = rows.iter().map(|row| Ok(source.column(row, 0)?.unwrap_or_default()));
            texts.collect::<Result<_>>().map(Some)
        }
        Err(error) if error.kind() == Kind::Privilege => Ok(None),
        Err(error) => Err(error),
    }
}

/// A refused login of the account that was just made: another account with a closer host caught it.
fn caught(error: Error, account: &MadeAccount) -> Error {
    if error.code() != Some(1045) {
        return error;
    }
    let why = format!(
        "the source took the login of {} for another account's with a closer host, such as an anonymous one: \
         DROP USER ''@'localhost' (and ''@ the machine's name); or name the target's own address: account_host in \
         [replication]",
        account.sql()
    );
    error.next(why)
}

/// Whether an account of that host may log in from here too, so that its login can be tried.
fn reaches_itself(host: &str) -> bool {
    host == "%"
}

/// The password in the file, which is made on the first call: on disk before any server knows it.
fn secret(path: &Path) -> Result<Secret> {
    let at = |error: std::io::Error| Error::from(error).at(path.display());
    if path.exists() {
        let secret = config::read_secret(path)?;
        if !secret.reveal().is_empty() {
            return Ok(secret);
        }
        // Killed between making the file and writing it.
        std::fs::remove_file(path).map_err(at)?;
    }
    let password = random_password();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at)?;
    file.write_all(password.as_bytes()).map_err(at)?;
    file.sync_all().map_err(at)?;
    Ok(Secret::new(password))
}

/// 32 characters (the most that a replica takes) that need no quoting anywhere, of every class that
/// password policies ask for.
fn random_password() -> String {
    const CLASSES: [&[u8]; 4] =
        [b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz", b"0123456789", b"-_.~"];
    let mut rng = rand::rng();
    let mut bytes: Vec<u8> =
        CLASSES.iter().filter_map(|class| class.choose(&mut rng).copied()).collect();
    let all = CLASSES.concat();
    while bytes.len() < 32 {
        bytes.push(all[rng.random_range(0..all.len())]);
    }
    bytes.shuffle(&mut rng);
    bytes.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn passwords_hold_every_class() {
        let password = random_password();
        assert_eq!(password.len(), 32);
        for class in [
            char::is_uppercase as fn(char) -> bool,
            char::is_lowercase,
            |c| c.is_ascii_digit(),
            |c| c.is_ascii_punctuation(),
        ] {
            assert!(password.chars().any(class));
        }
        assert_ne!(password, random_password());
    }

    #[test]
    fn the_secret_is_made_once_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SECRET_FILE);
        let first = secret(&path).unwrap();
        assert!(secret(&path).unwrap() == first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
