//! Owns what a restored cluster leaves out of the data that it was given: accounts, routines, events
//! and time zones.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Product, RehearsalError};

/// The statements, one a line, that end all accounts and make root anew, run before anybody is let in.
pub(super) fn accounts(product: Product, root_password: &str) -> String {
    let mut lines = vec!["SET SESSION sql_log_bin = 0".to_owned()];
    let tables: &[&str] = match product {
        Product::Mysql56 | Product::Mysql57 => {
            &["user", "db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv"]
        }
        Product::Mariadb1011 => {
            &["db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv", "roles_mapping"]
        }
        Product::Mysql97 => &[
            "db",
            "tables_priv",
            "columns_priv",
            "procs_priv",
            "proxies_priv",
            "global_grants",
            "role_edges",
            "default_roles",
        ],
    };
    // The server's own accounts own views and triggers of its own.
    let own = "('mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys')";
    lines.extend(tables.iter().map(|table| match *table {
        "role_edges" => format!("DELETE FROM mysql.{table}"),
        table => format!("DELETE FROM mysql.{table} WHERE User NOT IN {own}"),
    }));
    match product {
        Product::Mysql56 | Product::Mysql57 => {}
        Product::Mariadb1011 => {
            lines.push("DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys'".to_owned());
        }
        Product::Mysql97 => lines.push(
            "DELETE FROM mysql.user WHERE User NOT IN ('mysql.sys', 'mysql.session', 'mysql.infoschema')".to_owned(),
        ),
    }
    lines.push("FLUSH PRIVILEGES".to_owned());
    for host in ["localhost", "127.0.0.1"] {
        let account = format!("'root'@'{host}'");
        if product == Product::Mysql56 {
            lines.push(format!(
                "GRANT ALL PRIVILEGES ON *.* TO {account} IDENTIFIED BY '{root_password}' WITH GRANT OPTION"
            ));
        } else {
            lines.push(format!("CREATE USER {account} IDENTIFIED BY '{root_password}'"));
            lines.push(format!("GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION"));
        }
    }
    lines.into_iter().map(|line| line + ";\n").collect()
}

/// Drops the routines and events of the users' databases and empties the time zone tables.
pub(super) async fn leave_out(
    mut conn: Conn,
    port: u16,
    product: Product,
) -> Result<(), RehearsalError> {
    let work = async {
        conn.query_drop("SET SESSION sql_log_bin = 0").await?;
        let own = "('mysql', 'sys', 'information_schema', 'performance_schema')";
        let routines: Vec<(String, String, String)> = conn
            .query(format!(
                "SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES \
                 WHERE ROUTINE_SCHEMA NOT IN {own}"
            ))
            .await?;
        let events: Vec<(String, String)> = conn
            .query(format!(
                "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN {own}"
            ))
            .await?;
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        for (kind, schema, name) in routines {
            let sql = format!("DROP {kind} {}.{}", quoted(&schema), quoted(&name));
            conn.query_drop(sql).await?;
        }
        for (schema, name) in events {
            conn.query_drop(format!("DROP EVENT {}.{}", quoted(&schema), quoted(&name))).await?;
        }
        for table in
            ["time_zone", "time_zone_name", "time_zone_transition", "time_zone_transition_type"]
        {
            conn.query_drop(format!("DELETE FROM mysql.{table}")).await?;
        }
        if product != Product::Mysql56 {
            conn.query_drop("FLUSH TABLES").await?;
        }
        conn.query_drop("SET GLOBAL event_scheduler = ON").await?;
        conn.disconnect().await
    };
    work.await.map_err(|source| RehearsalError::Sql {
        doing: "leaving out what a restore leaves out".to_owned(),
        port,
        source,
    })
}
