//! The shop's schema, as SQL text fitted to the server.
//!
//! Owns which lines of `schema.sql` and `objects.sql` a server gets. Knows nothing of rows.

use mysql_async::{Conn, prelude::Queryable};

use super::{ShopError, server};

const TABLES: &str = include_str!("schema.sql");
const OBJECTS: &str = include_str!("objects.sql");

/// What the server can do, as far as the shop cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// MySQL 8.0.16 and later: everything.
    Modern,
    /// MySQL 5.7, and a newer one that is to be portable: generated columns and JSON, no more.
    Mysql57,
    /// MySQL 5.5 and 5.6.
    Mysql56,
    /// MariaDB 10.2 and later.
    MariaDb,
}

impl Dialect {
    pub(super) async fn of(conn: &mut Conn) -> Result<Self, ShopError> {
        let version: String = conn
            .query_first("SELECT VERSION()")
            .await
            .map_err(server("reading the server's version"))?
            .unwrap_or_default();
        let mut numbers = version.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        let number = (next(), next(), next());
        Ok(if version.contains("MariaDB") {
            Self::MariaDb
        } else if number >= (8, 0, 16) {
            Self::Modern
        } else if number >= (5, 7, 8) {
            Self::Mysql57
        } else {
            Self::Mysql56
        })
    }

    /// Whether a line with this marker belongs to this server.
    fn keeps(self, marker: &str) -> bool {
        match marker {
            "@8" => self == Self::Modern,
            "@old" => self != Self::Modern,
            "@gen" => self != Self::Mysql56,
            _ => true,
        }
    }

    fn json(self) -> &'static str {
        match self {
            Self::Modern | Self::Mysql57 => "JSON",
            Self::MariaDb | Self::Mysql56 => "LONGTEXT",
        }
    }

    fn collation(self) -> &'static str {
        match self {
            Self::Modern => "utf8mb4_0900_ai_ci",
            _ => "utf8mb4_unicode_ci",
        }
    }
}

/// Puts a name into backticks.
pub(crate) fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The statements of a script, without the lines that this server does not get.
fn statements(script: &str, dialect: Dialect) -> Vec<String> {
    script
        .split("\n;;")
        .map(|part| {
            part.lines()
                .filter_map(|line| match line.rsplit_once(" -- @") {
                    Some((text, marker)) => {
                        dialect.keeps(&format!("@{}", marker.trim())).then(|| text.to_owned())
                    }
                    None => Some(line.to_owned()),
                })
                .collect::<Vec<_>>()
                .join("\n")
                .replace("{JSON}", dialect.json())
        })
        .map(|text| strip_heading(&text))
        .filter(|text| !text.is_empty())
        .collect()
}

/// Drops the comment lines before a statement, but keeps the `-- @ansi` marker.
fn strip_heading(text: &str) -> String {
    let mut rest = text.trim();
    while rest.starts_with("-- ") && !rest.starts_with("-- @ansi") {
        rest = rest.split_once('\n').map_or("", |(_, r)| r).trim_start();
    }
    rest.to_owned()
}

fn name_of(statement: &str) -> String {
    statement.lines().next().unwrap_or_default().chars().take(70).collect()
}

pub(super) async fn create_database(
    conn: &mut Conn,
    database: &str,
    dialect: Dialect,
) -> Result<(), ShopError> {
    // What stored objects keep as their connection's collation.
    let collation = dialect.collation();
    conn.query_drop(format!("SET NAMES utf8mb4 COLLATE {collation}"))
        .await
        .map_err(server("setting the character set"))?;
    let tables: Option<u64> = conn
        .exec_first(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?",
            (database,),
        )
        .await
        .map_err(server("looking for tables"))?;
    if tables.unwrap_or(0) > 0 {
        return Err(ShopError::NotEmpty(database.to_owned()));
    }
    let name = quote_name(database);
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS {name}"))
        .await
        .map_err(server("creating the database"))?;
    conn.query_drop(format!("ALTER DATABASE {name} CHARACTER SET utf8mb4 COLLATE {collation}"))
        .await
        .map_err(server("setting the database's collation"))
}

pub(super) async fn create_tables(conn: &mut Conn, dialect: Dialect) -> Result<(), ShopError> {
    conn.query_drop("SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'")
        .await
        .map_err(server("setting sql_mode"))?;
    for statement in statements(TABLES, dialect) {
        conn.query_drop(&statement).await.map_err(server(name_of(&statement)))?;
    }
    Ok(())
}

pub(super) async fn create_objects(conn: &mut Conn, dialect: Dialect) -> Result<(), ShopError> {
    for statement in statements(OBJECTS, dialect) {
        let (mode, text) = match statement.strip_prefix("-- @ansi") {
            Some(text) => ("ANSI_QUOTES,STRICT_TRANS_TABLES", text.trim_start()),
            None => ("STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", &*statement),
        };
        conn.query_drop(format!("SET SESSION sql_mode = '{mode}'"))
            .await
            .map_err(server("setting sql_mode"))?;
        conn.query_drop(text).await.map_err(server(name_of(text)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_get_fewer_lines() {
        let modern = statements(TABLES, Dialect::Modern);
        let old = statements(TABLES, Dialect::Mysql56);
        assert_eq!(modern.len(), old.len());
        assert!(modern.iter().all(|s| !s.contains("-- @")), "{modern:?}");
        assert!(modern.iter().any(|s| s.contains("INVISIBLE")));
        assert!(old.iter().all(|s| !s.contains("GENERATED ALWAYS")));
        assert!(modern.iter().all(|s| s.starts_with("CREATE") || s.starts_with("ALTER")));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote_name("a`b"), "`a``b`");
    }
}
