//! What each server calls things. Every difference between products and versions is answered here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// MySQL, and what calls itself so (Percona Server, RDS).
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// A server's product and version, which decide its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// Whose server it is.
    pub product: Product,
    /// Major, minor, patch.
    pub version: (u16, u16, u16),
    /// The version as the server writes it.
    pub text: String,
    /// The Aurora version, if `@@aurora_version` exists.
    pub aurora: Option<String>,
}

impl Dialect {
    /// Reads `VERSION()` (and `@@aurora_version` where there is one).
    pub fn read(version: &str, aurora: Option<String>) -> Self {
        let product = if version.to_ascii_lowercase().contains("mariadb") {
            Product::Mariadb
        } else {
            Product::Mysql
        };
        // MariaDB may lead with 5.5.5- for old clients.
        let number = match product {
            Product::Mariadb => version.strip_prefix("5.5.5-").unwrap_or(version),
            Product::Mysql => version,
        };
        let mut parts = number
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse::<u16>().unwrap_or(0));
        let mut part = || parts.next().unwrap_or(0);
        Dialect { product, version: (part(), part(), part()), text: version.to_string(), aurora }
    }

    /// Whether it is MySQL of at least this version.
    pub fn mysql_from(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.product == Product::Mysql && self.version >= (major, minor, patch)
    }

    /// Whether two servers are of one series (9.7, 10.11), and so print things in the same words.
    pub fn same_series(&self, other: &Dialect) -> bool {
        let series = |dialect: &Dialect| (dialect.product, dialect.version.0, dialect.version.1);
        series(self) == series(other)
    }

    /// Whether it is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.product == Product::Mariadb
    }

    /// Whether it speaks of sources and replicas (MySQL 8.0.22+).
    ///
    /// Source: MySQL 8.0 release notes 8.0.22, 8.0.23; 8.4 removed the old words.
    pub fn says_replica(&self) -> bool {
        self.mysql_from(8, 0, 23)
    }

    /// The statement that shows the binary log's coordinates.
    pub fn binary_log_status(&self) -> &'static str {
        if self.mysql_from(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }

    /// The statement that shows what replicas are doing.
    pub fn replica_status(&self) -> &'static str {
        if self.says_replica() { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" }
    }

    /// The shared row lock's words: `FOR SHARE` from MySQL 8.0.1.
    pub fn for_share(&self) -> &'static str {
        if self.mysql_from(8, 0, 1) { "FOR SHARE" } else { "LOCK IN SHARE MODE" }
    }

    /// Whether `LOCK TABLES ... READ` by itself waits for every transaction that has written (by a metadata
    /// lock of its own, MySQL 5.7.8+). Where it doesn't, a row is committed under it (seen on 5.6.24);
    /// of MariaDB only 10.11 is known to wait.
    pub fn table_locks_wait_for_writers(&self) -> bool {
        self.mysql_from(5, 7, 8)
    }

    /// Whether a setting can outlive a restart by `SET PERSIST` (MySQL 8.0+).
    pub fn has_persist(&self) -> bool {
        self.mysql_from(8, 0, 0)
    }

    /// Whether `super_read_only` exists (MySQL 5.7.8+).
    pub fn has_super_read_only(&self) -> bool {
        self.mysql_from(5, 7, 8)
    }

    /// Whether `gtid_mode` exists.
    pub fn has_gtid_mode(&self) -> bool {
        self.mysql_from(5, 6, 5)
    }

    /// Whether `LOCK INSTANCE FOR BACKUP` exists (MySQL 8.0).
    pub fn has_instance_lock(&self) -> bool {
        self.mysql_from(8, 0, 0)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::Mysql => "MySQL",
            Product::Mariadb => "MariaDB",
        };
        write!(f, "{product} {}", self.text)?;
        match &self.aurora {
            Some(aurora) => write!(f, " (Aurora {aurora})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let my = Dialect::read("9.7.0-0ubuntu1", None);
        assert_eq!((my.product, my.version), (Product::Mysql, (9, 7, 0)));
        assert_eq!(my.binary_log_status(), "SHOW BINARY LOG STATUS");
        let maria = Dialect::read("5.5.5-10.11.6-MariaDB-log", None);
        assert_eq!((maria.product, maria.version), (Product::Mariadb, (10, 11, 6)));
        assert_eq!(maria.replica_status(), "SHOW SLAVE STATUS");
        assert_eq!(Dialect::read("5.6.24-log", None).for_share(), "LOCK IN SHARE MODE");
    }
}
