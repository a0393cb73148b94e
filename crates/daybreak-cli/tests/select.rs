//! Rows by condition, by the real program: copied, compared, cut over, and refused where the outcome would
//! not be what was asked for.

#[path = "select/columns.rs"]
mod columns;
mod support;

use std::{path::Path, process::Command};

use daybreak::engine::Journal;
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

const FIRST: &str =
    "[select]\nrename = { shop = \"store\", crm = \"shop\" }\n[replication]\nmode = \"none\"\n";

/// A second database that refers to the first, and objects of all kinds in both.
async fn two_databases(sides: &Sides) {
    sides
        .at_source(&[
            "CREATE DATABASE crm COLLATE utf8mb4_bin",
            "CREATE TABLE crm.notes (id INT PRIMARY KEY, customer INT, text JSON, \
             CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES shop.customers (id))",
            "INSERT INTO crm.notes SELECT id, id, JSON_OBJECT('at', CAST('2026-01-01' AS DATE), 'n', id) FROM shop.customers",
            "CREATE TABLE shop.log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(40))",
            "CREATE DEFINER = owner VIEW crm.named AS SELECT n.id, c.region AS shop FROM crm.notes n JOIN shop.customers c \
             ON c.id = n.customer WHERE c.region <> 'shop.x'",
            "USE shop",
            "CREATE DEFINER = owner PROCEDURE counted() SELECT COUNT(*) FROM orders",
            "CREATE DEFINER = owner FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n",
            "CREATE DEFINER = owner TRIGGER placed AFTER INSERT ON shop.orders FOR EACH ROW INSERT INTO log (what) VALUES ('placed')",
            "CREATE DEFINER = owner EVENT swept ON SCHEDULE EVERY 1 YEAR STARTS '2040-01-01' DO DELETE FROM log",
            "CREATE DEFINER = owner VIEW shop.twice AS SELECT doubled(id) AS d FROM latest",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_get_other_names_on_the_target() {
    let sides = Sides::start().await;
    two_databases(&sides).await;
    let directory = sides.configured(FIRST);
    let dir = directory.path();
    let text = verb(dir, &["plan"], 0).await;
    assert!(text.contains("- crm is called shop on the target"), "{text}");
    // Each step back and forth, cut off where rows are there and keys aren't.
    verb(dir, &["run", "--until", "rows"], 0).await;
    assert_eq!(sides.number("SELECT COUNT(*) FROM shop.notes").await, 200);
    assert_eq!(sides.number("SELECT COUNT(*) FROM daybreak.chunks WHERE table_schema = 'store' AND table_name = 'orders'").await, 1);
    sides
        .at_source(&[
            "DELETE FROM crm.notes WHERE id = 7",
            "UPDATE shop.orders SET placed = NULL WHERE id = 7",
        ])
        .await;
    verb(dir, &["resume"], 4).await;
    verb(dir, &["undo", "--to", "schema"], 0).await;
    assert_eq!(sides.number("SELECT COUNT(*) FROM store.orders").await, 0);
    let text = verb(dir, &["resume"], 4).await;
    assert!(text.contains("ready for cutover"), "{text}");
    sides
        .at_source(&[
            "INSERT INTO crm.notes VALUES (1000, NULL, '[1.5]')",
            "ALTER TABLE shop.orders ADD COLUMN paid INT",
            "DROP PROCEDURE shop.counted",
        ])
        .await;
    verb(dir, &["cutover"], 0).await;

    for (sql, wanted) in [
        ("SELECT COUNT(*) FROM store.customers", 200),
        ("SELECT COUNT(*) FROM store.orders WHERE placed IS NOT NULL", 199),
        ("SELECT COUNT(*) FROM store.orders WHERE paid IS NULL", 200),
        ("SELECT COUNT(*) FROM shop.notes", 200),
        (
            "SELECT COUNT(*) FROM shop.notes WHERE JSON_TYPE(JSON_EXTRACT(text, '$.at')) = 'DATE'",
            199,
        ),
        ("SELECT COUNT(*) FROM shop.named WHERE shop = 'EU'", 149),
        ("SELECT MAX(d) FROM store.twice", 400),
        (
            "SELECT COUNT(*) FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = 'shop' AND \
          TABLE_NAME = 'notes' AND REFERENCED_TABLE_SCHEMA = 'store' AND REFERENCED_TABLE_NAME = 'customers'",
            1,
        ),
        (
            "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'store' AND STATUS = 'ENABLED'",
            1,
        ),
        ("SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'store'", 1),
        (
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('crm', 'daybreak')",
            0,
        ),
        (
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'shop' AND \
          DEFAULT_COLLATION_NAME = 'utf8mb4_bin'",
            1,
        ),
    ] {
        assert_eq!(sides.number(sql).await, wanted, "{sql}");
    }
    let mut target = connect(&sides.target.root_url()).await;
    target.query_drop("INSERT INTO store.orders (id, customer) VALUES (5000, 1)").await.unwrap();
    assert_eq!(sides.number("SELECT COUNT(*) FROM store.log WHERE what = 'placed'").await, 1);
    target.query_drop("DELETE FROM store.orders WHERE id = 5000").await.unwrap();
    target.query_drop("DELETE FROM store.log").await.unwrap();
    for mode in ["checksum", "full"] {
        verb(dir, &["verify", "--mode", mode], 0).await;
    }
    let text = verb(dir, &["verify", "--table", "crm.notes"], 0).await;
    assert!(text.contains("equal: 1 tables, 200 rows"), "{text}");
    target.query_drop("UPDATE shop.notes SET customer = 3 WHERE id = 1").await.unwrap();
    target.query_drop("DROP VIEW store.twice").await.unwrap();
    for mode in ["checksum", "full"] {
        let text = verb(dir, &["verify", "--mode", mode], 3).await;
        assert!(text.contains("crm.notes: (id=1) different"), "{text}");
        assert!(text.contains("view store.twice: missing on the target"), "{text}");
    }
    assert!(verb(dir, &["report", "--json"], 0).await.contains("crm.notes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_cannot_be_are_refused_beforehand() {
    let sides = Sides::start().await;
    two_databases(&sides).await;
    for (renames, why) in [
        (&["shop"][..], "names no other name"),
        (&["shop=mysql"], "a database of the server itself"),
        (&["shop=store", "crm=store"], "each name can stand once"),
        (&["shop.orders=shop.sales"], "tables can't"),
        (&["shop=crm"], "as another database of the source is"),
        (&["shops=store"], "there is no database shops"),
    ] {
        let mut arguments = vec!["copy"];
        arguments.extend(renames.iter().flat_map(|rename| ["--rename", rename]));
        let text = sides.verb(&arguments, 2).await;
        assert!(text.contains(why), "{renames:?}: {text}");
    }
    let native = sides.configured("[select]\nrename = { shop = \"store\" }\n");
    let text = verb(native.path(), &["plan"], 3).await;
    assert!(
        text.contains("changes under the names that databases have at the source")
            && text.contains("shop to store")
            && text.contains("mode = \"none\""),
        "{text}"
    );
    let text = verb(native.path(), &["plan", "--route", "physical"], 2).await;
    assert!(text.contains("restored under the names that databases have"), "{text}");

    // Somebody's tables are there; and texts that name the old database, of each kind.
    let mut target = connect(&sides.target.root_url()).await;
    target.query_drop("CREATE DATABASE store").await.unwrap();
    target.query_drop("CREATE TABLE store.theirs (id INT PRIMARY KEY)").await.unwrap();
    sides
        .at_source(&[
            "CREATE DEFINER = owner PROCEDURE crm.p() SELECT * FROM Shop.orders",
            "CREATE DEFINER = owner TRIGGER crm.t BEFORE INSERT ON crm.notes FOR EACH ROW SET NEW.id = shop.doubled(NEW.id)",
            "CREATE DEFINER = owner EVENT crm.e ON SCHEDULE EVERY 1 YEAR STARTS '2040-01-01' DO DELETE FROM `shop`.log",
            "CREATE DEFINER = owner VIEW crm.v AS SELECT shop.id FROM shop.orders shop",
            "CREATE DEFINER = owner PROCEDURE crm.said() BEGIN PREPARE s FROM 'DELETE FROM shop.log'; END",
        ])
        .await;
    let text = sides.verb(&["assess", "--rename", "shop=store"], 3).await;
    for wanted in [
        "target.not_empty",
        "store: 1 tables and views",
        "rename.objects",
        "procedure crm.p: its text names the database `shop`",
        "trigger crm.t: its text names",
        "event crm.e: its text names",
        "view crm.v: something in it is called `shop` like the database",
        "procedure crm.said (shop)",
        "replication.filters",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let text = sides.verb(&["copy", "--rename", "shop=store"], 3).await;
    assert!(
        text.contains("databases to be migrated hold something on the target already"),
        "{text}"
    );
    assert_eq!(sides.number("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('crm', 'daybreak')").await, 0);
}

/// Killed here and there, with rows that come, go and change sides before it is gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_and_renamed_migration_survives_kills() {
    let sides = Sides::start().await;
    two_databases(&sides).await;
    let settings = "[select]\nexclude = [\"crm\"]\nrename = { shop = \"store\" }\n\
                    where = { \"shop.customers\" = \"region = 'EU'\", \"shop.orders\" = \
                    \"customer IN (SELECT id FROM shop.customers WHERE region = 'EU')\" }\n\
                    [replication]\nmode = \"none\"\n";
    let mut reached = 0;
    for entry in (3..).step_by(4) {
        let point = ["synced", "effect"][usize::from(entry % 8 == 3)];
        let at = format!("{entry}:{point}");
        let directory = sides.configured(settings);
        let dir = directory.path();
        let mut first = daybreak(dir, &["run", "--yes"]);
        first.env("DAYBREAK_KILL_AT", &at);
        let first = output(first).await;
        if support::was_killed(&first) {
            reached += 1;
            let open = "SELECT @@GLOBAL.super_read_only";
            let closed: u8 =
                connect(&sides.source.root_url()).await.query_first(open).await.unwrap().unwrap();
            if closed == 0 && !past_no_return(dir) {
                sides
                    .at_source(&[
                        "UPDATE shop.customers SET region = IF(region = 'EU', 'US', 'EU') WHERE id % 17 = 3",
                        "INSERT INTO shop.customers SELECT MAX(id) + 1, 'EU' FROM shop.customers",
                        "INSERT INTO shop.orders SELECT MAX(o.id) + 1, MAX(c.id), NULL FROM shop.orders o, shop.customers c",
                    ])
                    .await;
            }
            verb(dir, &["resume", "--yes"], 0).await;
        } else {
            assert!(first.status.success(), "{at}: {}", said(&first));
        }
        verb(dir, &["verify", "--mode", "full"], 0).await;
        let mut source = connect(&sides.source.root_url()).await;
        for (table, condition) in [
            ("customers", "region = 'EU'"),
            ("orders", "customer IN (SELECT id FROM shop.customers WHERE region = 'EU')"),
        ] {
            let sum = |database: &str, condition: &str| {
                format!(
                    "SELECT CONCAT(COUNT(*), ' ', SUM(id)) FROM {database}.{table} WHERE {condition}"
                )
            };
            let ours: String = source.query_first(sum("shop", condition)).await.unwrap().unwrap();
            let theirs: String = connect(&sides.target.root_url())
                .await
                .query_first(sum("store", "TRUE"))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(ours, theirs, "{at}: {table}");
        }
        assert_eq!(sides.number("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'crm', 'daybreak')").await, 0, "{at}");
        if !support::was_killed(&first) {
            break;
        }
        // As if no migration had been.
        sides
            .at_source(&[
                "RESET PERSIST IF EXISTS super_read_only",
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
            ])
            .await;
        connect(&sides.target.root_url()).await.query_drop("DROP DATABASE store").await.unwrap();
    }
    assert!(reached >= 5, "only {reached} entries were reached");
}

/// Whether the target may have been opened: what the source writes from then on is nobody's.
fn past_no_return(directory: &Path) -> bool {
    let state = Journal::open(directory).unwrap().state();
    state.past_no_return
}
