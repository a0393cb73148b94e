//! What the source holds outside users' databases: accounts, plugins, tablespaces, and tables that
//! somebody put among the server's own. None of it is migrated.

use super::inventory::{list, optional, table};
use crate::{
    error::Result,
    mysql::{Session, is_system_table},
};

/// What the server holds that no database holds. Each none: not readable.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub accounts: Option<Vec<(String, String)>>,
    pub loadable_functions: Option<Vec<String>>,
    pub foreign_servers: Option<Vec<String>>,
    pub components: Option<Vec<String>>,
    pub plugins: Option<Vec<String>>,
    pub resource_groups: Option<Vec<String>>,
    pub tablespaces: Option<Vec<String>>,
    /// Tables with a file elsewhere than in the data directory.
    pub elsewhere: Option<Vec<String>>,
    /// Tablespaces that are encrypted: a table's as `database/table`.
    pub encrypted: Option<Vec<String>>,
    /// Tables in `mysql` or `sys` that the server didn't put there.
    pub user_tables: Vec<String>,
    pub time_zones: bool,
}

impl Server {
    pub(super) async fn read(session: &mut Session) -> Result<Self> {
        let mysql = !session.dialect().is_mariadb();
        let eight = session.dialect().mysql_from(8, 0, 0);
        let mut server = Server {
            accounts: accounts(session).await?,
            loadable_functions: list(session, "SELECT name FROM mysql.func ORDER BY 1").await?,
            foreign_servers: list(session, "SELECT Server_name FROM mysql.servers ORDER BY 1")
                .await?,
            plugins: list(
                session,
                "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_LIBRARY IS NOT NULL \
                 AND PLUGIN_STATUS = 'ACTIVE' ORDER BY 1",
            )
            .await?,
            components: Some(Vec::new()),
            resource_groups: Some(Vec::new()),
            tablespaces: Some(Vec::new()),
            elsewhere: Some(Vec::new()),
            encrypted: Some(Vec::new()),
            user_tables: Vec::new(),
            time_zones: optional(session, "SELECT 1 FROM mysql.time_zone_name LIMIT 1")
                .await?
                .is_some_and(|rows| !rows.is_empty()),
        };
        if eight {
            server.components =
                list(session, "SELECT component_urn FROM mysql.component ORDER BY 1").await?;
            server.resource_groups = list(
                session,
                "SELECT RESOURCE_GROUP_NAME FROM information_schema.RESOURCE_GROUPS \
                 WHERE RESOURCE_GROUP_NAME NOT IN ('USR_default', 'SYS_default') ORDER BY 1",
            )
            .await?;
            server.tablespaces = list(
                session,
                "SELECT NAME FROM information_schema.INNODB_TABLESPACES \
                 WHERE SPACE_TYPE = 'General' AND NAME <> 'mysql' ORDER BY 1",
            )
            .await?;
        } else if session.dialect().mysql_from(5, 7, 6) {
            server.tablespaces = list(
                session,
                "SELECT NAME FROM information_schema.INNODB_SYS_TABLESPACES \
                 WHERE SPACE_TYPE = 'General' AND NAME <> 'mysql' ORDER BY 1",
            )
            .await?;
        }
        if session.dialect().mysql_from(8, 0, 13) {
            server.encrypted = list(
                session,
                "SELECT NAME FROM information_schema.INNODB_TABLESPACES WHERE ENCRYPTION = 'Y' \
                 ORDER BY 1",
            )
            .await?;
        }
        if mysql {
            let view = if eight { "INNODB_DATAFILES" } else { "INNODB_SYS_DATAFILES" };
            server.elsewhere = list(
                session,
                &format!(
                    "SELECT PATH FROM information_schema.{view} \
                     WHERE PATH LIKE '/%.ibd' ORDER BY 1"
                ),
            )
            .await?;
        } else if session.dialect().version >= (10, 6, 0) {
            server.elsewhere = list(
                session,
                "SELECT FILENAME FROM information_schema.INNODB_SYS_TABLESPACES \
                 WHERE FILENAME LIKE '/%.ibd' ORDER BY 1",
            )
            .await?;
        }
        for row in session
            .rows(
                "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA IN ('mysql', 'sys') AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2",
            )
            .await?
        {
            let name = table(session, &row, "TABLE_SCHEMA", "TABLE_NAME")?;
            let own = match name.database.as_str() {
                "mysql" => is_system_table(&name.name),
                _ => name.name == "sys_config",
            };
            if !own {
                server.user_tables.push(name.to_string());
            }
        }
        Ok(server)
    }
}

/// Accounts and roles: `(user, host)`.
pub(super) async fn accounts(session: &mut Session) -> Result<Option<Vec<(String, String)>>> {
    let Some(rows) = optional(session, "SELECT User, Host FROM mysql.user ORDER BY 1, 2").await?
    else {
        return Ok(None);
    };
    let mut accounts = Vec::new();
    for row in &rows {
        let user: String = session.column(row, 0)?.unwrap_or_default();
        accounts.push((user, session.column(row, 1)?.unwrap_or_default()));
    }
    Ok(Some(accounts))
}
