//! Owns the Aurora stand-in: turns a plain server into one with `mysql.rds_*` and a restricted `admin`.
//! The statements are in `standin/*.sql`; what each denies and where it is still kinder is said there.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Binaries, Product, RehearsalError};

const MYSQL: &str = include_str!("../standin/mysql.sql");
const MARIADB: &str = include_str!("../standin/mariadb.sql");
const MYSQL5: &str = include_str!("../standin/mysql5.sql");
const COMMON: &str = include_str!("../standin/common.sql");

/// Applies the stand-in as root on a connection that is then closed. Nothing of it enters the binary log.
pub(super) async fn apply(
    mut conn: Conn,
    port: u16,
    binaries: &Binaries,
    (admin, admin_password): (&str, &str),
) -> Result<(), RehearsalError> {
    let (script, common) = match binaries.product {
        Product::Mariadb1011 => (MARIADB, ""),
        Product::Mysql56 | Product::Mysql57 => (MYSQL5, COMMON),
        Product::Mysql97 => (MYSQL, COMMON),
    };
    let (admin, admin_password) = (escaped(admin), escaped(admin_password));
    // 8.4 split SET_USER_ID in two; each version knows its own only.
    let definer = if binaries.version_numbers() >= (8, 4, 0) {
        "SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER"
    } else {
        "SET_USER_ID"
    };
    let refused = |statement: &str| {
        let name = statement.lines().find(|line| !line.starts_with("--")).unwrap_or_default();
        let name: String = name.chars().take(60).collect();
        move |source| RehearsalError::Sql {
            doing: format!("preparing the stand-in ({name} ...)"),
            port,
            source,
        }
    };
    for statement in statements(script).chain(statements(common)) {
        let text = statement
            .replace("'admin'@'%'", &format!("'{admin}'@'%'"))
            .replace("{admin_password}", &admin_password)
            .replace("{definer_privileges}", definer);
        conn.query_drop(text).await.map_err(refused(statement))?;
    }
    conn.disconnect().await.map_err(refused("disconnecting"))
}

/// A text within quotes, under the `sql_mode` that a server starts with.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

/// Splits a script at the lines that are nothing but `$$`.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split("\n$$\n").map(str::trim).filter(|statement| !statement.is_empty())
}
