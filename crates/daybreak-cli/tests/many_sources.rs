//! Several sources into one target: each by its own migration, into databases of its own, at the same time;
//! and refused where they would meet.

mod support;

use std::path::Path;

use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};
use support::{configure, connect, daybreak, output, said};

async fn start(role: Role) -> Server {
    let options = ServerOptions::new(Product::Mysql97, role).gtid(true).binlog(true);
    Server::start(options.durable(false).buffer_pool_mib(32)).await.unwrap()
}

/// Two sources, each with a shop of its own, and a target.
async fn servers() -> (Server, Server, Server) {
    let (first, second, target) =
        tokio::join!(start(Role::Source), start(Role::Source), start(Role::AuroraStandin));
    for server in [&first, &second, &target] {
        at(
            server,
            &[
                "SET sql_log_bin = 0",
                "CREATE USER owner IDENTIFIED BY 'Owner-of-the-shop-1'",
                "GRANT ALL ON *.* TO owner",
                "REVOKE SYSTEM_USER ON *.* FROM owner",
                "SET GLOBAL log_bin_trust_function_creators = 1",
            ],
        )
        .await;
    }
    for (server, rows) in [(&first, 3_000), (&second, 2_000)] {
        at(
            server,
            &[
                "CREATE DATABASE shop",
                "CREATE TABLE shop.customers (id INT PRIMARY KEY, name VARCHAR(40))",
                "CREATE TABLE shop.orders (id INT PRIMARY KEY, customer INT, KEY (customer), \
                 CONSTRAINT by_customer FOREIGN KEY (customer) REFERENCES shop.customers (id))",
                "SET SESSION cte_max_recursion_depth = 10000",
                &format!(
                    "INSERT INTO shop.customers WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s \
                     WHERE n < {rows}) SELECT n, CONCAT('{rows} ', n) FROM s"
                ),
                "INSERT INTO shop.orders SELECT id, id FROM shop.customers",
                "CREATE DEFINER = owner VIEW shop.named AS SELECT o.id, c.name FROM shop.orders o JOIN \
                 shop.customers c ON c.id = o.customer",
                "CREATE DEFINER = owner EVENT shop.wakes ON SCHEDULE EVERY 1 YEAR STARTS '2040-01-01' DO DO 1",
            ],
        )
        .await;
    }
    (first, second, target)
}

async fn at(server: &Server, statements: &[&str]) {
    let mut root = connect(&server.root_url()).await;
    for statement in statements {
        root.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn number(server: &Server, sql: &str) -> u64 {
    connect(&server.root_url()).await.query_first(sql).await.unwrap().unwrap()
}

fn migration(source: &Server, target: &Server, extra: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &source.root_url(), &target.admin_url(), extra);
    directory
}

async fn verb(directory: &Path, arguments: &[&str], code: i32) -> String {
    let ended = output(daybreak(directory, arguments)).await;
    assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", said(&ended));
    said(&ended)
}

const NONE: &str = "[replication]\nmode = \"none\"\n";
const RENAMED: &str = "[select]\nrename = { shop = \"store\" }\n[replication]\nmode = \"none\"\n[copy]\nthreads = 2\n";
const DATABASES: &str = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'store', 'daybreak')";

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_come_into_one_target_at_the_same_time() {
    let (first, second, target) = servers().await;
    let (one, two) = (migration(&first, &target, NONE), migration(&second, &target, RENAMED));
    let (one, two) = (one.path(), two.path());

    verb(one, &["run", "--until", "indexes"], 0).await;
    // Under the same name there is no room, and beside others none for replication.
    let clashing = migration(&second, &target, NONE);
    let text = verb(clashing.path(), &["run"], 3).await;
    assert!(text.contains("shop: 2 tables and views"), "{text}");
    let text = verb(clashing.path(), &["assess"], 3).await;
    assert!(
        text.contains("target.claimed") && text.contains("makes the database shop on the target"),
        "{text}"
    );
    let native = migration(&second, &target, "");
    let text = verb(native.path(), &["run"], 3).await;
    assert!(
        text.contains(
            "one that replicates must be alone there: Aurora MySQL 3 replicates from one source"
        ) && text.contains("mode = \"none\" in [replication]"),
        "{text}"
    );

    // Taken back, one leaves alone what is another's.
    let text = verb(two, &["run", "--until", "rows"], 0).await;
    assert!(text.contains("other migrations are at work on the target"), "{text}");
    verb(one, &["undo"], 0).await;
    assert_eq!(number(&target, DATABASES).await, 2);
    assert_eq!(number(&target, "SELECT COUNT(*) FROM store.orders").await, 2_000);
    assert_eq!(number(&target, "SELECT COUNT(DISTINCT migration) FROM daybreak.chunks").await, 1);

    // Both at once, to the end.
    let (ours, theirs) =
        tokio::join!(verb(one, &["run", "--yes"], 0), verb(two, &["resume", "--yes"], 0));
    assert_eq!(number(&target, DATABASES).await, 2, "{ours}\n{theirs}");
    assert_eq!(
        number(&target, "SELECT COUNT(*) FROM shop.named WHERE name LIKE '3000 %'").await,
        3_000
    );
    assert_eq!(
        number(&target, "SELECT COUNT(*) FROM store.named WHERE name LIKE '2000 %'").await,
        2_000
    );
    let events = "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_NAME = 'wakes' AND STATUS = 'ENABLED'";
    assert_eq!(number(&target, events).await, 2);
    for directory in [one, two] {
        verb(directory, &["verify", "--mode", "full"], 0).await;
    }
    // One after the other works as well: the first one's databases are nobody's business any more.
    at(&second, &["SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"]).await;
    let third = migration(&second, &target, &RENAMED.replace("store", "third"));
    verb(third.path(), &["run", "--yes"], 0).await;
    assert_eq!(number(&target, "SELECT COUNT(*) FROM third.orders").await, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_one_that_replicates_there_is_no_other() {
    let (first, second, target) = servers().await;
    let native = migration(&first, &target, "");
    verb(native.path(), &["run", "--until", "schema"], 0).await;
    let two = migration(&second, &target, RENAMED);
    let text = verb(two.path(), &["run"], 3).await;
    assert!(
        text.contains(
            "replicates into the target: its cutover counts on nobody else's writes there"
        ),
        "{text}"
    );
    verb(native.path(), &["undo"], 0).await;
    assert_eq!(number(&target, DATABASES).await, 0);
    // Somebody's own database of that name is nobody's to drop.
    at(&target, &["CREATE DATABASE daybreak", "CREATE TABLE daybreak.theirs (id INT)"]).await;
    let text = verb(two.path(), &["resume"], 3).await;
    assert!(text.contains("the target has a database `daybreak` already"), "{text}");
    verb(two.path(), &["undo"], 0).await;
    assert_eq!(number(&target, "SELECT COUNT(*) FROM daybreak.theirs").await, 0);
}

/// Both pass their preflight while neither has begun: who comes second to the same name is refused.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_begin_together_cannot_make_one_database() {
    let (first, second, target) = servers().await;
    let (one, two) = (migration(&first, &target, NONE), migration(&second, &target, NONE));
    verb(one.path(), &["run", "--until", "preflight"], 0).await;
    verb(two.path(), &["run", "--until", "preflight"], 0).await;
    verb(one.path(), &["resume", "--until", "schema"], 0).await;
    let text = verb(two.path(), &["resume"], 3).await;
    assert!(
        text.contains("makes the database shop on the target")
            || text.contains("already has 2 of the tables"),
        "{text}"
    );
    verb(two.path(), &["undo"], 0).await;
    verb(one.path(), &["resume", "--yes"], 0).await;
    assert_eq!(number(&target, "SELECT COUNT(*) FROM shop.orders").await, 3_000);
    assert_eq!(number(&target, DATABASES).await, 1);
}
