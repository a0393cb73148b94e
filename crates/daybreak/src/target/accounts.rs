//! Accounts and what they may do, from the source to the target: what a restore leaves out.
//!
//! Passwords travel as hashes where both servers know the plugin. What can't be taken along is named,
//! each privilege that the target refuses among it. An account that is there already is never touched.
//! No statement with a hash is logged, nor does an error show one.

mod grant;
mod read;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    mysql::{Dialect, Secret, Session, quote_text},
};

use grant::Grant;
pub use read::{Account, AccountName};
pub(crate) use read::{Kept, lacking};

/// What Aurora's master account can't grant, and Aurora takes from restored accounts.
///
/// Source: Aurora User Guide, *Master user account privileges* and *Physical migration from MySQL*.
const STRIPPED: [&str; 24] = [
    "SUPER",
    "FILE",
    "SHUTDOWN",
    "CREATE TABLESPACE",
    "BACKUP_ADMIN",
    "BINLOG_ADMIN",
    "BINLOG_ENCRYPTION_ADMIN",
    "CLONE_ADMIN",
    "ENCRYPTION_KEY_ADMIN",
    "GROUP_REPLICATION_ADMIN",
    "GROUP_REPLICATION_STREAM",
    "INNODB_REDO_LOG_ARCHIVE",
    "INNODB_REDO_LOG_ENABLE",
    "PERSIST_RO_VARIABLES_ADMIN",
    "REPLICATION_APPLIER",
    "REPLICATION_SLAVE_ADMIN",
    "RESOURCE_GROUP_ADMIN",
    "RESOURCE_GROUP_USER",
    "SERVICE_CONNECTION_ADMIN",
    "SESSION_VARIABLES_ADMIN",
    "SYSTEM_USER",
    "SYSTEM_VARIABLES_ADMIN",
    "TABLE_ENCRYPTION_ADMIN",
    "TELEMETRY_LOG_ADMIN",
];

/// The remedy where none is needed.
pub(crate) const NOTHING_TO_DO: &str = "nothing to do";

/// Something that isn't on the target, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The account.
    pub account: AccountName,
    /// The privilege (with where), the role or `account` for the whole of it.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Accounts that were made here, by this run or an earlier one.
    pub made: BTreeSet<AccountName>,
    /// Accounts that were there already, and were left as they are.
    pub there: BTreeSet<AccountName>,
    /// What isn't on the target.
    pub left_out: Vec<LeftOut>,
}

/// Makes the source's accounts on the target. `ours` are those that an earlier run wrote down;
/// `record` writes down each before it is made. Idempotent.
///
/// # Errors
/// What a server says that isn't about one account alone.
pub async fn migrate(
    source: &mut Session,
    target: &mut Session,
    ours: BTreeSet<AccountName>,
    record: &(dyn Fn(&BTreeSet<AccountName>) -> Result<()> + Send + Sync),
    events: &Events,
    stop: &StopSignal,
) -> Result<Moved> {
    make(&kept(source).await?, target, ours, record, events, stop).await
}

/// Reads the source's accounts with all that they may do, but those that stay where they are. What
/// comes back holds hashes of passwords.
///
/// # Errors
/// What the server says.
pub(crate) async fn kept(source: &mut Session) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for account in read::accounts(source).await? {
        if account.name.reserved().is_some() {
            kept.push(Kept { account, grants: Vec::new(), default_roles: Vec::new() });
            continue;
        }
        let grants = match read::grants(source, &account.name).await {
            Ok(grants) => grants,
            // 1141: dropped since the list was read.
            Err(error) if error.code() == Some(1141) => continue,
            Err(error) => return Err(error),
        };
        let default_roles = read::default_roles(source, &account.name).await?;
        kept.push(Kept { account, grants, default_roles });
    }
    Ok(kept)
}

/// As [`migrate`], from what was read before.
pub(crate) async fn make(
    accounts: &[Kept],
    target: &mut Session,
    ours: BTreeSet<AccountName>,
    record: &(dyn Fn(&BTreeSet<AccountName>) -> Result<()> + Send + Sync),
    events: &Events,
    stop: &StopSignal,
) -> Result<Moved> {
    let plugins = plugins(target).await?;
    let mut moved = Moved { made: ours, ..Moved::default() };
    let mut granted = Vec::new();
    let total = accounts.len() as u64;
    for (done, kept) in accounts.iter().enumerate() {
        let account = &kept.account;
        stop.check()?;
        events.send(Event::Progress {
            task: "accounts".into(),
            now: account.name.to_string(),
            done: done as u64,
            total: Some(total),
            unit: Unit::Objects,
            bytes: 0,
        });
        if let Some(why) = account.name.reserved() {
            moved.left_out.push(whole(account, why, NOTHING_TO_DO));
            continue;
        }
        if exists(target, &account.name).await? {
            if !moved.made.contains(&account.name) {
                moved.there.insert(account.name.clone());
                continue;
            }
        } else if let Err(left) = creatable(account, target.dialect(), &plugins) {
            moved.left_out.push(left);
            continue;
        } else {
            moved.made.insert(account.name.clone());
            record(&moved.made)?;
            let statement = creation(account, target.dialect());
            if let Err(error) = target.execute_secret(&Secret::new(statement), ()).await {
                if !matches!(error.kind(), Kind::Sql | Kind::Privilege) {
                    return Err(error);
                }
                moved.made.remove(&account.name);
                let why = format!("the target refused it: {}", error.causes().join(": "));
                moved.left_out.push(whole(account, why, "create it by hand, with a new password"));
                continue;
            }
        }
        granted.push(kept);
    }
    // Roles are granted to accounts, so all of these are there first.
    for kept in granted {
        stop.check()?;
        for line in &kept.grants {
            give(target, &kept.account, line, &mut moved.left_out).await?;
        }
        default_roles(target, kept, &mut moved.left_out).await?;
    }
    for left in &moved.left_out {
        events.detail(format!("{}: {} isn't on the target: {}", left.account, left.what, left.why));
    }
    Ok(moved)
}

/// Drops what was made; what is gone is no error.
///
/// # Errors
/// What the server says.
pub async fn undo(target: &mut Session, made: &BTreeSet<AccountName>) -> Result<()> {
    for name in made {
        match target.execute(format!("DROP USER {}", name.sql())).await {
            Ok(_) => {}
            // 1396: it isn't there.
            Err(error) if error.code() == Some(1396) => {}
            Err(error) => return Err(error.at(name)),
        }
    }
    Ok(())
}

fn whole(account: &Account, why: impl Into<String>, remedy: impl Into<String>) -> LeftOut {
    LeftOut {
        account: account.name.clone(),
        what: "account".into(),
        why: why.into(),
        remedy: remedy.into(),
    }
}

/// The authentication plugins that a server has.
async fn plugins(target: &mut Session) -> Result<BTreeSet<String>> {
    let rows = target
        .rows(
            "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND \
             PLUGIN_STATUS = 'ACTIVE'",
        )
        .await?;
    rows.iter().map(|row| target.field::<String>(row, "PLUGIN_NAME")).collect()
}

async fn exists(target: &mut Session, name: &AccountName) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM mysql.user WHERE User = ? AND Host = ?";
    let rows = target.rows_with(sql, (&name.user, &name.host)).await?;
    let count: Option<u64> = match rows.first() {
        Some(row) => target.column(row, 0)?,
        None => None,
    };
    Ok(count.unwrap_or_default() > 0)
}

/// Whether the target can have the account with its password.
fn creatable(
    account: &Account,
    target: &Dialect,
    plugins: &BTreeSet<String>,
) -> std::result::Result<(), LeftOut> {
    if account.name.user.is_empty() {
        return Err(whole(account, "it is anonymous, and catches others' logins", NOTHING_TO_DO));
    }
    if account.is_role {
        return match target.mysql_from(8, 0, 0) || target.is_mariadb() {
            true => Ok(()),
            false => {
                Err(whole(account, "the target has no roles", "grant its privileges one by one"))
            }
        };
    }
    if !plugins.contains(&account.plugin) {
        return Err(whole(
            account,
            format!(
                "the target has no plugin {}, so its password can't be taken along",
                account.plugin
            ),
            "create it by hand under another plugin, with a new password",
        ));
    }
    if matches!(account.plugin.as_str(), "auth_socket" | "unix_socket") {
        return Err(whole(account, "it logs in as a user of the source's machine", NOTHING_TO_DO));
    }
    Ok(())
}

/// The statement that makes an account. It holds the hash.
fn creation(account: &Account, target: &Dialect) -> String {
    let name = account.name.sql();
    if account.is_role {
        return match target.is_mariadb() {
            true => format!("CREATE ROLE {}", crate::mysql::quote(&account.name.user)),
            false => format!("CREATE ROLE {name}"),
        };
    }
    let mut sql = format!("CREATE USER {name} IDENTIFIED WITH {}", account.plugin);
    let native = matches!(account.plugin.as_str(), "mysql_native_password" | "mysql_old_password");
    // Before 5.7 the plugins of the server's own don't look where `AS` puts the hash.
    let by_password = native && !target.is_mariadb() && !target.mysql_from(5, 7, 0);
    if by_password && !account.hash.is_empty() {
        sql = format!("CREATE USER {name} IDENTIFIED BY PASSWORD {}", hash(&account.hash, target));
    } else if !account.hash.is_empty() {
        sql.push_str(" AS ");
        sql.push_str(&hash(&account.hash, target));
    }
    if target.mysql_from(5, 7, 6) || target.is_mariadb() {
        sql.push_str(match account.tls.as_str() {
            "ANY" => " REQUIRE SSL",
            "X509" => " REQUIRE X509",
            _ => "",
        });
    }
    let limits: Vec<String> = account
        .limits
        .iter()
        .filter(|(_, limit)| *limit > 0)
        .map(|(name, limit)| format!("{name} {limit}"))
        .collect();
    if !limits.is_empty() && (target.mysql_from(5, 7, 6) || target.is_mariadb()) {
        sql.push_str(&format!(" WITH {}", limits.join(" ")));
    }
    if account.locked {
        sql.push_str(" ACCOUNT LOCK");
    }
    sql
}

/// A hash as a literal. That of caching_sha2_password holds any byte; MySQL 8.0.17 and later take it
/// in hexadecimal.
fn hash(hash: &[u8], target: &Dialect) -> String {
    if target.mysql_from(8, 0, 17) {
        let mut literal = String::from("0x");
        crate::mysql::identifier::push_hex(&mut literal, hash);
        return literal;
    }
    let text = String::from_utf8_lossy(hash);
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Gives an account what a line of SHOW GRANTS grants; whole if possible, else one by one.
async fn give(
    target: &mut Session,
    account: &Account,
    line: &str,
    left_out: &mut Vec<LeftOut>,
) -> Result<()> {
    let mut leave = |what: String, why: String, remedy: &str| {
        left_out.push(LeftOut { account: account.name.clone(), what, why, remedy: remedy.into() });
    };
    let Some(grant) = Grant::read(line) else {
        leave(
            grant::shown(line),
            "it isn't understood".into(),
            "grant it by hand, if it is needed",
        );
        return Ok(());
    };
    let (kept, stripped): (Vec<String>, Vec<String>) = grant
        .privileges()
        .into_iter()
        .partition(|privilege| !STRIPPED.contains(&privilege.to_ascii_uppercase().as_str()));
    for privilege in stripped {
        leave(
            format!("{privilege} ON {}", grant.on()),
            "Aurora gives it to nobody".into(),
            "nothing to do: what needs it is done by Aurora or by mysql.rds_* procedures",
        );
    }
    if kept.is_empty() || (kept.len() == 1 && kept[0].eq_ignore_ascii_case("USAGE")) {
        return Ok(());
    }
    let to = account.name.sql_for(account.is_role, target.dialect());
    let first = target.execute(grant.sql(&kept, &to)).await;
    let Err(error) = first else { return Ok(()) };
    passes(&error)?;
    if kept.len() == 1 {
        leave(
            grant.names(&kept[0]),
            refused(&error),
            "grant it by hand, as far as the target lets you",
        );
        return Ok(());
    }
    for privilege in kept {
        let one = [privilege];
        if let Err(error) = target.execute(grant.sql(&one, &to)).await {
            passes(&error)?;
            leave(
                grant.names(&one[0]),
                refused(&error),
                "grant it by hand, as far as the target lets you",
            );
        }
    }
    Ok(())
}

/// Whether an error is about this one grant: what is lost with the connection isn't.
fn passes(error: &Error) -> Result<()> {
    match error.kind() {
        Kind::Sql | Kind::Privilege | Kind::Login | Kind::Unsupported => Ok(()),
        kind => Err(Error::new(kind, "the grants can't be made")
            .because(error.causes().join(": "))
            .next("the same again goes on from here")),
    }
}

fn refused(error: &Error) -> String {
    format!("the target refused it: {}", error.causes().join(": "))
}

/// The roles that are active at a login.
async fn default_roles(
    target: &mut Session,
    kept: &Kept,
    left_out: &mut Vec<LeftOut>,
) -> Result<()> {
    let account = &kept.account;
    if !target.dialect().mysql_from(8, 0, 0) || kept.default_roles.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = kept.default_roles.iter().map(AccountName::sql).collect();
    let sql = format!("SET DEFAULT ROLE {} TO {}", list.join(", "), account.name.sql());
    if let Err(error) = target.execute(sql).await {
        passes(&error)?;
        left_out.push(LeftOut {
            account: account.name.clone(),
            what: "default roles".into(),
            why: refused(&error),
            remedy: "SET DEFAULT ROLE by hand".into(),
        });
    }
    Ok(())
}

/// Whether named time zones work on a server: a finding if they don't.
///
/// # Errors
/// What the server says.
pub async fn time_zones(target: &mut Session) -> Result<Option<crate::engine::Finding>> {
    let sql = format!(
        "SELECT CONVERT_TZ('2026-07-01 12:00:00', {}, {})",
        quote_text("UTC"),
        quote_text("Europe/Berlin")
    );
    if target.scalar::<String>(sql).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(crate::engine::Finding {
        id: "target.time_zones".into(),
        severity: crate::engine::Severity::Warning,
        objects: vec!["mysql.time_zone_name".into()],
        why: "named time zones don't work on the target: CONVERT_TZ gives NULL, and events, sessions and \
              the time_zone parameter can't use them"
            .into(),
        remedy: "load the tables where that is allowed (mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql -u \
                 MASTER mysql), or use offsets such as '+02:00'"
            .into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_holds_the_hash_as_the_target_takes_it() {
        let account = Account {
            name: AccountName { user: "a'b".into(), host: "%".into() },
            plugin: "mysql_native_password".into(),
            hash: b"*ABC'\\".to_vec(),
            locked: true,
            tls: "ANY".into(),
            is_role: false,
            limits: vec![("MAX_USER_CONNECTIONS".into(), 3), ("MAX_QUERIES_PER_HOUR".into(), 0)],
        };
        let new = creation(&account, &Dialect::read("8.0.36", None));
        assert_eq!(
            new,
            "CREATE USER 'a''b'@'%' IDENTIFIED WITH mysql_native_password AS 0x2A414243275C REQUIRE SSL \
             WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK"
        );
        let old = creation(&account, &Dialect::read("5.7.44", None));
        assert!(old.contains("AS '*ABC''\\\\'"), "{old}");
        let older = Account { locked: false, ..account.clone() };
        assert_eq!(
            creation(&older, &Dialect::read("5.6.24", None)),
            "CREATE USER 'a''b'@'%' IDENTIFIED BY PASSWORD '*ABC''\\\\'"
        );
        assert!(!format!("{account:?}").contains("ABC"));
    }
}
