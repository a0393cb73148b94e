//! What the source says of its accounts.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    mysql::{Dialect, Session, quote},
};

/// An account's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountName {
    /// The user.
    pub user: String,
    /// From where.
    pub host: String,
}

/// Accounts that belong to a server or to RDS.
///
/// Source: Aurora User Guide, *Physical migration from MySQL*, reserved accounts.
const RESERVED: [&str; 19] = [
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
    "mariadb.sys",
    "rdsadmin",
    "rdsproxyadmin",
    "rdsrepladmin",
    "rdsrepladmin_priv_checks_user",
    "rds_superuser_role",
    "rdstopmgr",
    "aws_comprehend_access",
    "aws_lambda_access",
    "aws_load_s3_access",
    "aws_sagemaker_access",
    "aws_select_s3_access",
    "aws_bedrock_access",
    "debian-sys-maint",
    "mysql",
    "root",
];

impl AccountName {
    /// In SQL, under a `sql_mode` without ANSI quotes and with backslashes.
    pub fn sql(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        format!("{}@{}", quoted(&self.user), quoted(&self.host))
    }

    /// The same; MariaDB's roles have no host.
    pub(super) fn sql_for(&self, is_role: bool, target: &Dialect) -> String {
        match is_role && target.is_mariadb() {
            true => quote(&self.user),
            false => self.sql(),
        }
    }

    /// Why it stays where it is.
    pub(super) fn reserved(&self) -> Option<&'static str> {
        let user = self.user.to_ascii_lowercase();
        if user.starts_with("daybreak_") {
            return Some("it is daybreak's own");
        }
        RESERVED.contains(&user.as_str()).then_some("it is the server's own, or reserved by RDS")
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql())
    }
}

/// An account with all that it may do. It holds the hash of its password: it lies in private files
/// only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The account.
    pub account: Account,
    /// The lines of SHOW GRANTS, which hold the hash as well on older servers.
    pub grants: Vec<String>,
    /// The roles that are active at a login.
    pub default_roles: Vec<AccountName>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.account.name)
    }
}

/// An account as the source has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// The authentication plugin.
    pub plugin: String,
    /// What the plugin compares a password with.
    pub(super) hash: Vec<u8>,
    /// Whether nobody can log in with it.
    pub locked: bool,
    /// `ANY`, `X509`, `SPECIFIED` or empty.
    pub tls: String,
    /// Whether it is a role (MariaDB; MySQL's are locked accounts).
    pub is_role: bool,
    /// Limits by their names.
    pub limits: Vec<(String, u64)>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.name)
    }
}

/// The source's accounts that the target doesn't know, by name; one that the target lets in from anywhere
/// counts as known, and the servers' own, daybreak's and the one for replication don't count. None where
/// one side's can't be read.
pub(crate) async fn lacking(
    source: &mut Session,
    target: &mut Session,
    replication: Option<&str>,
) -> Result<Option<Vec<AccountName>>> {
    let (Some(mut ours), Some(theirs)) = (names(source).await?, names(target).await?) else {
        return Ok(None);
    };
    let mine: String = source.scalar("SELECT CURRENT_USER()").await?.unwrap_or_default();
    let theirs: BTreeSet<AccountName> = theirs.into_iter().collect();
    ours.retain(|name| {
        let anywhere = AccountName { user: name.user.clone(), host: "%".into() };
        !(name.user.is_empty()
            || name.reserved().is_some()
            || Some(name.user.as_str()) == replication
            || format!("{}@{}", name.user, name.host) == mine
            || theirs.contains(name)
            || theirs.contains(&anywhere))
    });
    Ok(Some(ours))
}

async fn names(session: &mut Session) -> Result<Option<Vec<AccountName>>> {
    let rows =
        match session.rows("SELECT User AS user, Host AS host FROM mysql.user ORDER BY 1, 2").await
        {
            Ok(rows) => rows,
            Err(error) if error.kind() == Kind::Privilege => return Ok(None),
            Err(error) => return Err(error),
        };
    let name = |row: &mysql_async::Row| {
        Ok(AccountName { user: session.field(row, "user")?, host: session.field(row, "host")? })
    };
    rows.iter().map(name).collect::<Result<_>>().map(Some)
}

/// All accounts, in the order of their names.
pub(super) async fn accounts(source: &mut Session) -> Result<Vec<Account>> {
    let dialect = source.dialect();
    let limits = "max_questions, max_updates, max_connections, max_user_connections";
    let sql = if dialect.is_mariadb() {
        format!(
            "SELECT User AS user, Host AS host, plugin, authentication_string AS hash, is_role, ssl_type, \
             {limits}, 'N' AS locked FROM mysql.user ORDER BY 1, 2"
        )
    } else if dialect.mysql_from(5, 7, 6) {
        format!(
            "SELECT User AS user, Host AS host, plugin, authentication_string AS hash, 'N' AS is_role, \
             ssl_type, {limits}, account_locked AS locked FROM mysql.user ORDER BY 1, 2"
        )
    } else {
        format!(
            "SELECT User AS user, Host AS host, plugin, IF(plugin IN ('', 'mysql_native_password', \
             'mysql_old_password'), Password, authentication_string) AS hash, 'N' AS is_role, ssl_type, \
             {limits}, 'N' AS locked FROM mysql.user ORDER BY 1, 2"
        )
    };
    let rows = source.rows(sql).await.map_err(|error| match error.kind() {
        Kind::Privilege => {
            error.next("GRANT SELECT ON mysql.* to the account that daybreak uses at the source")
        }
        _ => error,
    })?;
    let mut accounts = Vec::new();
    for row in rows {
        let text = |name: &str| -> Result<String> {
            let bytes: Option<Vec<u8>> = source.optional(&row, name)?;
            String::from_utf8(bytes.unwrap_or_default())
                .map_err(|_| Error::new(Kind::Unsupported, "an account's name isn't UTF-8"))
        };
        let number = |name: &str| -> Result<u64> {
            Ok(source.optional::<i64>(&row, name)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
        };
        let mut plugin = text("plugin")?;
        if plugin.is_empty() {
            plugin = "mysql_native_password".into();
        }
        accounts.push(Account {
            name: AccountName { user: text("user")?, host: text("host")? },
            plugin,
            hash: source.optional::<Vec<u8>>(&row, "hash")?.unwrap_or_default(),
            locked: text("locked")? == "Y",
            tls: text("ssl_type")?,
            is_role: text("is_role")? == "Y",
            limits: vec![
                ("MAX_QUERIES_PER_HOUR".into(), number("max_questions")?),
                ("MAX_UPDATES_PER_HOUR".into(), number("max_updates")?),
                ("MAX_CONNECTIONS_PER_HOUR".into(), number("max_connections")?),
                ("MAX_USER_CONNECTIONS".into(), number("max_user_connections")?),
            ],
        });
    }
    if source.dialect().is_mariadb() {
        locked_on_mariadb(source, &mut accounts).await?;
    }
    Ok(accounts)
}

/// MariaDB's view `mysql.user` doesn't show which accounts are locked.
async fn locked_on_mariadb(source: &mut Session, accounts: &mut [Account]) -> Result<()> {
    let sql =
        "SELECT User, Host FROM mysql.global_priv WHERE JSON_VALUE(Priv, '$.account_locked') = 1";
    for row in source.rows(sql).await? {
        let (user, host): (String, String) =
            (source.field(&row, "User")?, source.field(&row, "Host")?);
        for account in accounts.iter_mut() {
            account.locked |= account.name.user == user && account.name.host == host;
        }
    }
    Ok(())
}

/// The lines of SHOW GRANTS for an account.
pub(super) async fn grants(source: &mut Session, name: &AccountName) -> Result<Vec<String>> {
    let is_role = name.host.is_empty() && source.dialect().is_mariadb();
    let sql = match is_role {
        true => format!("SHOW GRANTS FOR {}", quote(&name.user)),
        false => format!("SHOW GRANTS FOR {}", name.sql()),
    };
    let mut lines = Vec::new();
    for row in source.rows(sql).await? {
        lines.push(source.column::<String>(&row, 0)?.unwrap_or_default());
    }
    Ok(lines)
}

/// The roles that are active at an account's login (MySQL 8.0 and later).
pub(super) async fn default_roles(
    source: &mut Session,
    name: &AccountName,
) -> Result<Vec<AccountName>> {
    if !source.dialect().mysql_from(8, 0, 0) {
        return Ok(Vec::new());
    }
    let sql = "SELECT DEFAULT_ROLE_USER AS user, DEFAULT_ROLE_HOST AS host FROM mysql.default_roles \
               WHERE USER = ? AND HOST = ?";
    let rows = source.rows_with(sql, (&name.user, &name.host)).await?;
    let role = |row: &mysql_async::Row| {
        Ok(AccountName { user: source.field(row, "user")?, host: source.field(row, "host")? })
    };
    rows.iter().map(role).collect()
}
