//! Rows by condition, by the real program: copied, compared, cut over, and refused where the outcome would
//! not be what was asked for.

mod support;

use std::{path::Path, process::Command};

use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};
use support::{configure, connect, daybreak, output, said};

struct Sides {
    source: Server,
    target: Server,
}

impl Sides {
    /// Two servers, and at the source customers with their orders.
    async fn start() -> Sides {
        let start = |role| {
            Server::start(
                ServerOptions::new(Product::Mysql97, role).durable(false).buffer_pool_mib(32),
            )
        };
        let (source, target) = tokio::join!(start(Role::Source), start(Role::AuroraStandin));
        let sides = Sides { source: source.unwrap(), target: target.unwrap() };
        // Accounts aren't migrated: who defines objects is on both sides.
        for server in [&sides.source, &sides.target] {
            let mut root = connect(&server.root_url()).await;
            for statement in [
                "CREATE USER owner IDENTIFIED BY 'Owner-of-the-shop-1'",
                "GRANT ALL ON *.* TO owner",
                "REVOKE SYSTEM_USER ON *.* FROM owner",
                "SET GLOBAL log_bin_trust_function_creators = 1",
            ] {
                root.query_drop(statement).await.unwrap();
            }
        }
        sides
            .at_source(&[
                "CREATE DATABASE shop",
                "CREATE TABLE shop.customers (id INT PRIMARY KEY, region CHAR(2))",
                "CREATE TABLE shop.orders (id INT PRIMARY KEY, customer INT, placed DATETIME, \
                 KEY (placed), CONSTRAINT by_customer FOREIGN KEY (customer) REFERENCES shop.customers (id))",
                "INSERT INTO shop.customers WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) \
                 SELECT n, IF(n % 4, 'EU', 'US') FROM s",
                "INSERT INTO shop.orders SELECT id, IF(id % 10, 201 - id, NULL), '2026-01-01' + INTERVAL id DAY \
                 FROM shop.customers",
                "CREATE DEFINER = owner VIEW shop.latest AS SELECT id FROM shop.orders WHERE placed > '2026-06-01'",
            ])
            .await;
        sides
    }

    async fn at_source(&self, statements: &[&str]) {
        let mut root = connect(&self.source.root_url()).await;
        for statement in statements {
            root.query_drop(*statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    async fn number(&self, sql: &str) -> u64 {
        connect(&self.target.root_url()).await.query_first(sql).await.unwrap().unwrap()
    }

    /// Runs a verb on both servers, without a migration's directory.
    async fn verb(&self, arguments: &[&str], code: i32) -> String {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command.current_dir(elsewhere.path()).args(arguments);
        command.args(["--source", &self.source.root_url(), "--target", &self.target.admin_url()]);
        ended(command, code).await
    }

    fn configured(&self, extra: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        configure(directory.path(), &self.source.root_url(), &self.target.admin_url(), extra);
        directory
    }
}

async fn ended(command: Command, code: i32) -> String {
    let what = format!("{command:?}");
    let ended = output(command).await;
    assert_eq!(ended.status.code(), Some(code), "{what}: {}", said(&ended));
    said(&ended)
}

/// Runs a verb of a migration.
async fn verb(directory: &Path, arguments: &[&str], code: i32) -> String {
    ended(daybreak(directory, arguments), code).await
}

const EU: &str = "shop.customers=region = 'EU'";
const OF_EU: &str = "shop.orders=customer IN (SELECT id FROM shop.customers WHERE region = 'EU') OR customer IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_condition_are_copied_and_compared() {
    let sides = Sides::start().await;
    // What can't be a condition is told apart before a server is asked, what the server doesn't
    // understand before anything is made.
    for (condition, code, why) in [
        ("shop.customers", 2, "names no condition"),
        ("shop.customers=region = 'EU') OR (1 = 1", 2, "closes a parenthesis that it doesn't open"),
        ("shop.customers=region = 'EU' -- all", 2, "holds a comment"),
        ("shop.orders=placed > NOW()", 2, "isn't the same twice"),
        ("shop.customers=regoin = 'EU'", 2, "Unknown column 'regoin'"),
        ("shop.clients=TRUE", 2, "a condition on a table that isn't taken"),
    ] {
        let text = sides.verb(&["copy", "--where", condition], code).await;
        let table = condition.split('=').next().unwrap();
        assert!(text.contains(why) && text.contains(table), "{condition}: {text}");
    }
    // Orders of customers who stay behind.
    let text = sides.verb(&["copy", "--where", EU], 3).await;
    assert!(text.contains("shop.orders.by_customer to shop.customers"), "{text}");
    assert_eq!(sides.number("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'daybreak')").await, 0);
    let assessed = sides.verb(&["assess", "--where", EU], 3).await;
    assert!(
        assessed.contains("select.orphans") && assessed.contains("replication.filters"),
        "{assessed}"
    );

    let text = sides.verb(&["copy", "--where", EU, "--where", OF_EU], 0).await;
    assert!(text.contains("copied 2 tables"), "{text}");
    assert_eq!(sides.number("SELECT COUNT(*) FROM shop.customers").await, 150);
    assert_eq!(sides.number("SELECT COUNT(*) FROM shop.customers WHERE region <> 'EU'").await, 0);
    for mode in ["count", "checksum", "full"] {
        sides.verb(&["verify", "--mode", mode, "--where", EU, "--where", OF_EU], 0).await;
        sides.verb(&["verify", "--mode", mode, "--where", OF_EU], 3).await;
    }
    let text = sides
        .verb(
            &["verify", "--where", "shop.customers=region = 'US'", "--table", "shop.customers"],
            3,
        )
        .await;
    assert!(
        text.contains("(id=1) only on the target")
            && text.contains("(id=100) missing on the target"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_takes_the_rows_of_its_conditions() {
    let sides = Sides::start().await;
    let select = "[select]\nwhere = { \"shop.customers\" = \"region = 'EU'\", \"shop.orders\" = \
                  \"customer IN (SELECT id FROM shop.customers WHERE region = 'EU')\" }\n";
    // Replication would bring the rest.
    let native = sides.configured(select);
    for command in [&["plan"][..], &["run"]] {
        let text = verb(native.path(), command, 3).await;
        assert!(
            text.contains("native replication carries every change of a table, also of the rows that a condition leaves out")
                && text.contains("shop.customers, shop.orders")
                && text.contains("mode = \"none\""),
            "{text}"
        );
    }
    let text = verb(native.path(), &["plan", "--route", "physical"], 2).await;
    assert!(text.contains("a physical backup holds every row"), "{text}");

    let directory = sides.configured(&format!("{select}[replication]\nmode = \"none\"\n"));
    let dir = directory.path();
    let text = verb(dir, &["plan"], 0).await;
    assert!(text.contains("- of shop.customers only rows WHERE (region = 'EU')"), "{text}");
    let text = verb(dir, &["run"], 4).await;
    assert!(text.contains("ready for cutover"), "{text}");
    // The source was open in between: a row came, one left, and one changed sides.
    sides
        .at_source(&[
            "INSERT INTO shop.customers VALUES (1000, 'EU'), (1001, 'US')",
            "UPDATE shop.customers SET region = 'US' WHERE id = 10",
            "UPDATE shop.customers SET region = 'EU' WHERE id = 20",
        ])
        .await;
    // What the configuration says must be what the plan was made for.
    let path = dir.join("daybreak.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"region = 'EU'\"", "\"region = 'US'\"")).unwrap();
    let refused = verb(dir, &["cutover"], 2).await;
    assert!(refused.contains("[select] isn't what the plan was made for"), "{refused}");
    std::fs::write(&path, text).unwrap();

    verb(dir, &["cutover"], 0).await;
    let eu = "SELECT COUNT(*) FROM shop.customers";
    assert_eq!(sides.number(eu).await, 151);
    assert_eq!(sides.number(&format!("{eu} WHERE region = 'EU' AND id IN (20, 1000)")).await, 2);
    let stray =
        "SELECT COUNT(*) FROM shop.orders WHERE customer NOT IN (SELECT id FROM shop.customers)";
    assert_eq!(sides.number(stray).await, 0);
    verb(dir, &["verify", "--mode", "full"], 0).await;
    let report = verb(dir, &["report", "--json"], 0).await;
    assert!(report.contains("shop.customers, rows without (region = 'EU')"), "{report}");
}

/// A foreign key is built though its rows don't hold: what the source was asked beforehand isn't what it
/// has when the rows are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_does_not_hold_is_named() {
    let sides = Sides::start().await;
    let directory = sides.configured(
        "[select]\nwhere = { \"shop.customers\" = \"region = 'EU'\", \"shop.orders\" = \"id < 0\" }\n\
         [replication]\nmode = \"none\"\n",
    );
    let dir = directory.path();
    verb(dir, &["run", "--until", "schema"], 0).await;
    sides.at_source(&["INSERT INTO shop.orders VALUES (-1, 4, NOW())"]).await;
    let text = verb(dir, &["resume"], 3).await;
    assert!(
        text.contains("the foreign key doesn't hold")
            && text.contains("shop.orders.by_customer to shop.customers"),
        "{text}"
    );
    verb(dir, &["undo"], 0).await;
    assert_eq!(sides.number("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'daybreak')").await, 0);
}
