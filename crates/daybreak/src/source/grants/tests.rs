//! Lines as real servers wrote them.

use super::{Grants, Scope};
use crate::mysql::TableName;

/// MySQL 9.7, an account with two active roles under `partial_revokes`.
const MYSQL_97: [&str; 11] = [
    "GRANT SELECT, INSERT, DELETE ON *.* TO `u`@`%`",
    "GRANT BACKUP_ADMIN,SYSTEM_VARIABLES_ADMIN ON *.* TO `u`@`%` WITH GRANT OPTION",
    "GRANT ALL PRIVILEGES ON `shop`.* TO `u`@`%`",
    "GRANT CREATE ON `we``ird'\"x`.* TO `u`@`%`",
    "GRANT ALL PRIVILEGES ON `sh_op%`.* TO `u`@`%`",
    "REVOKE INSERT ON `mysql`.* FROM `u`@`%`",
    "GRANT SELECT (`a`), INSERT (`a`, `b`), UPDATE ON `other`.`t` TO `u`@`%` WITH GRANT OPTION",
    "GRANT EXECUTE ON PROCEDURE `other`.`p` TO `u`@`%`",
    "GRANT EXECUTE ON FUNCTION `other`.`f` TO `u`@`%`",
    "GRANT `r1`@`%`,`r2`@`%` TO `u`@`%`",
    "GRANT `r2`@`%` TO `u`@`%` WITH ADMIN OPTION",
];

/// MariaDB 10.11, with an inherited role.
const MARIADB: [&str; 12] = [
    "GRANT `r1` TO `u`@`%`",
    "GRANT SELECT, INSERT, BINLOG MONITOR, REPLICATION SLAVE ADMIN ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*B69027D44F6E5EDC07F1AEAD1477967B16F28227'",
    "GRANT CREATE ON `we``ird'\"x`.* TO `u`@`%`",
    "GRANT ALL PRIVILEGES ON `sh\\_op%`.* TO `u`@`%`",
    "GRANT SELECT (`a`), INSERT (`a`, `b`), UPDATE ON `shop`.`t` TO `u`@`%` WITH GRANT OPTION",
    "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `u`@`%`",
    "GRANT `r2` TO `r1`",
    "GRANT USAGE ON *.* TO `r1`",
    "GRANT EVENT, TRIGGER ON `shop`.* TO `r1`",
    "GRANT EXECUTE ON PACKAGE BODY `shop`.`pk` TO `r1`",
    "GRANT DELETE ON *.* TO `r2`",
    "SET DEFAULT ROLE `r1` FOR `u`@`%`",
];

fn db(name: &str) -> Scope<'_> {
    Scope::Database(name)
}

#[test]
fn mysql_97() {
    let mut grants = Grants::parse(MYSQL_97);
    grants.literal = true;
    assert_eq!(grants.not_understood(), 0);
    assert!(grants.has("SELECT", Scope::Server) && grants.has("SELECT", db("anything")));
    assert!(grants.has("INSERT", db("shop")) && !grants.has("INSERT", db("mysql")));
    assert!(grants.has("SELECT", db("mysql")), "only INSERT was taken back");
    assert!(grants.has("TRIGGER", db("shop")) && !grants.has("TRIGGER", db("other")));
    // A dynamic privilege isn't part of ALL on a database.
    assert!(grants.has("BACKUP_ADMIN", Scope::Server) && grants.may_grant("BACKUP_ADMIN"));
    assert!(!grants.has("SHOW_ROUTINE", db("shop")) && !grants.may_grant("SELECT"));
    assert!(!grants.has("RELOAD", db("shop")));
    assert!(grants.has("CREATE", db("we`ird'\"x")));
    // Literal under partial_revokes.
    assert!(!grants.has("TRIGGER", db("shXopY")) && grants.has("TRIGGER", db("sh_op%")));
    let table = TableName::new("other", "t");
    assert!(grants.has("UPDATE", Scope::Table(&table)) && !grants.has("UPDATE", db("other")));
    assert!(grants.may_execute("other", "P") && grants.may_execute("other", "f"));
    assert!(!grants.may_execute("other", "q") && grants.may_execute("shop", "any"));
    assert_eq!(grants.roles(), ["r1@%", "r2@%", "r2@%"]);
}

#[test]
fn mariadb() {
    let grants = Grants::parse(MARIADB);
    assert_eq!(grants.not_understood(), 0);
    assert!(grants.has("REPLICATION CLIENT", Scope::Server));
    assert!(grants.has("REPLICATION SLAVE ADMIN", Scope::Server));
    assert!(grants.has("DELETE", db("x")) && !grants.has("UPDATE", db("x")));
    assert!(grants.has("EVENT", db("shop")));
    assert!(grants.has("EVENT", db("sh_op1")) && !grants.has("EVENT", db("shXop1")));
    assert_eq!(grants.roles(), ["r1", "r2"]);
    assert!(!format!("{grants:?}").contains("B69027"), "a hash is kept");
}

#[test]
fn columns_never_suffice() {
    // 5.6 prints columns without quotes.
    let grants =
        Grants::parse(["GRANT SELECT (a), INSERT (a, b), UPDATE ON `shop`.`t` TO 'u'@'localhost'"]);
    let table = TableName::new("shop", "t");
    assert!(grants.has("UPDATE", Scope::Table(&table)));
    assert!(!grants.has("SELECT", Scope::Table(&table)));
    assert!(!grants.has("INSERT", Scope::Table(&table)));
}

#[test]
fn old_servers() {
    let root = Grants::parse([
        "GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' IDENTIFIED BY PASSWORD '*X' WITH GRANT OPTION",
        "GRANT PROXY ON ''@'' TO 'root'@'localhost' WITH GRANT OPTION",
    ]);
    assert_eq!(root.not_understood(), 0);
    assert!(root.has("SUPER", Scope::Server) && root.may_grant("REPLICATION SLAVE"));
    assert!(root.has("SELECT", Scope::Table(&TableName::new("a", "b"))));
    let limited = Grants::parse([
        "GRANT RELOAD, REPLICATION CLIENT ON *.* TO 'b'@'10.%' IDENTIFIED BY PASSWORD <secret> REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 5 GRANT OPTION",
    ]);
    assert!(limited.may_grant("RELOAD") && !limited.has("SELECT", db("a")));
    // ANSI_QUOTES when the server printed it.
    let ansi = Grants::parse(["GRANT EVENT, TRIGGER ON \"we`ird\"\"x\".* TO 'u'@'localhost'"]);
    assert!(ansi.has("EVENT", db("we`ird\"x")));
}

#[test]
fn nothing_is_nothing() {
    let usage = Grants::parse(["GRANT USAGE ON *.* TO `a`@`b`"]);
    assert!(!usage.has("SELECT", Scope::Server) && !usage.may_grant("USAGE"));
    assert!(usage.has("USAGE", Scope::Server));
}

#[test]
fn a_managed_master() {
    // Aurora MySQL 3, shortened: all it has comes through the role.
    let grants = Grants::parse([
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, CREATE ROLE, DROP ROLE ON *.* TO `admin`@`%` WITH GRANT OPTION",
        "GRANT APPLICATION_PASSWORD_ADMIN,CONNECTION_ADMIN,ROLE_ADMIN,SET_USER_ID,XA_RECOVER_ADMIN ON *.* TO `admin`@`%` WITH GRANT OPTION",
        "REVOKE INSERT, UPDATE, DELETE, CREATE, DROP ON `mysql`.* FROM `admin`@`%`",
        "GRANT `rds_superuser_role`@`%` TO `admin`@`%` WITH ADMIN OPTION",
    ]);
    assert!(grants.has("SET_USER_ID", Scope::Server));
    assert!(grants.has_any(&["SUPER", "CREATE USER"], Scope::Server));
    assert!(!grants.has("SUPER", Scope::Server));
    assert!(!grants.has("INSERT", db("mysql")) && grants.may_execute("mysql", "rds_kill"));
    assert!(grants.may_grant("REPLICATION SLAVE"));
}

#[test]
fn the_closest_pattern_decides() {
    let grants = Grants::parse([
        "GRANT SELECT, TRIGGER ON `shop%`.* TO 'u'@'%'",
        "GRANT INSERT ON `shop\\_1`.* TO 'u'@'%'",
    ]);
    assert!(grants.has("TRIGGER", db("shop2")));
    assert!(grants.has("INSERT", db("shop_1")) && !grants.has("TRIGGER", db("shop_1")));
    assert!(!grants.has("INSERT", db("shopX1")));
}

#[test]
fn case_follows_the_server() {
    let mut grants = Grants::parse(["GRANT SELECT ON `Shop`.* TO 'u'@'%'"]);
    assert!(!grants.has("SELECT", db("shop")));
    grants.any_case = true;
    assert!(grants.has("SELECT", db("shop")));
}

#[test]
fn what_isnt_understood_grants_nothing() {
    let grants = Grants::parse(["DENY SELECT ON *.* TO `u`@`%`", "", "GRANT SELECT ON"]);
    assert_eq!(grants.not_understood(), 3);
    assert!(!grants.has("SELECT", Scope::Server));
}
