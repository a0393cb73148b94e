//! Whole migrations between MariaDB and MySQL, in all three directions, by the built program as a user
//! runs it: from MariaDB to a MariaDB stand-in by native replication under a writer that never stops,
//! and across the products with an accepted downtime.

#[path = "support/across.rs"]
mod across;
mod support;

use across::{
    assert_same, at_source, blockers, document, fill_shop, findings, move_writer, servers,
    start_writer, verb, verify,
};
use mysql_async::prelude::Queryable as _;
use rehearsal::{sakila, server::Product};
use support::{Pair, connect, daybreak, output, said};

/// Rows of the shop: enough for every kind of value.
const ROWS: u64 = 3_000;

/// What is migrated: the shop, Sakila, and what the products say in different words.
const DATABASES: &[&str] = &["shop", "sakila", "words"];

const NONE: &str = "[replication]\nmode = \"none\"\n";

/// What MariaDB has alone and MariaDB takes.
const MARIADB_TO_MARIADB: &[&str] = &[
    "CREATE DATABASE words COLLATE utf8mb4_uca1400_ai_ci",
    "CREATE TABLE words.types (id UUID PRIMARY KEY DEFAULT UUID(), a INET6, b INET4, \
     c VARCHAR(100) COMPRESSED, hidden INT INVISIBLE DEFAULT 4, long_one TEXT, UNIQUE (long_one))",
    "INSERT INTO words.types (id, a, b, c, long_one) VALUES \
     ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.168.0.1', REPEAT('x', 100), 'y'), \
     (UUID(), NULL, NULL, NULL, NULL), (UUID(), '::', '0.0.0.0', '', '')",
    "CREATE TABLE words.ignoring (id INT PRIMARY KEY AUTO_INCREMENT, n INT CHECK (n < 9), KEY n (n) IGNORED)",
    "INSERT INTO words.ignoring VALUES (1, 1), (2, NULL)",
];

/// What MySQL takes in its own words.
const MARIADB_TO_MYSQL: &[&str] = &[
    "CREATE DATABASE words",
    "CREATE TABLE words.computed (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT AS (a + 1) PERSISTENT, \
     u CHAR(36) DEFAULT UUID(), t TEXT DEFAULT 'it''s', d DATE DEFAULT CURRENT_TIMESTAMP(), s INT DEFAULT (3 * 4), \
     hidden INT NOT NULL INVISIBLE DEFAULT 4, j JSON, KEY a (a) IGNORED, CHECK (a < 100), \
     CONSTRAINT named CHECK (s > 0), n INT COMMENT 'CHECK (1)' CHECK (n <> 7))",
    "INSERT INTO words.computed (id, a, hidden, j, n) VALUES (0, 1, 5, '{\"a\": [1, 2.50]}', 1), (NULL, 2, 6, '[]', 2)",
    "CREATE TABLE words.twin (id INT PRIMARY KEY, a INT, CHECK (a < 100)) PAGE_CHECKSUM=1",
    "INSERT INTO words.twin VALUES (1, 99)",
    "CREATE TABLE words.aria (id INT PRIMARY KEY, t VARCHAR(9)) ENGINE=Aria TRANSACTIONAL=1 ROW_FORMAT=PAGE",
    "INSERT INTO words.aria VALUES (1, 'one'), (2, 'two')",
    "CREATE TABLE words.myisam (id INT PRIMARY KEY, t VARCHAR(9)) ENGINE=MyISAM",
    "INSERT INTO words.myisam VALUES (1, 'one'), (2, NULL)",
];

/// What MariaDB takes in its own words.
const MYSQL_TO_MARIADB: &[&str] = &[
    "CREATE DATABASE words",
    "SET SESSION sql_generate_invisible_primary_key = ON",
    "CREATE TABLE words.keyless (a INT, b VARCHAR(9))",
    "INSERT INTO words.keyless VALUES (1, 'one'), (2, NULL)",
    "SET SESSION sql_generate_invisible_primary_key = OFF",
    "CREATE TABLE words.hidden (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 4, b INT NULL INVISIBLE COMMENT 'INVISIBLE', \
     KEY a (a) INVISIBLE, KEY b (b DESC), CONSTRAINT named CHECK (a < 100))",
    "INSERT INTO words.hidden (id, a, b) VALUES (1, 2, 3), (2, 4, NULL)",
    "CREATE TABLE words.documents (id INT PRIMARY KEY AUTO_INCREMENT, j JSON NOT NULL, k JSON DEFAULT (JSON_OBJECT()), \
     n INT AS (JSON_EXTRACT(j, '$.n')) VIRTUAL, g GEOMETRYCOLLECTION, p POINT SRID 0, u CHAR(36) DEFAULT (UUID()))",
    "INSERT INTO words.documents (j, g, p) VALUES ('{\"n\": 5, \"a\": 1.50}', ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))'), \
     POINT(3, 4)), (JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 'x', CAST(1.10 AS DECIMAL(5,2))), NULL, NULL)",
];

/// Puts all databases on the source.
async fn fill(pair: &Pair, seed: u64, words: &[&str]) {
    fill_shop(pair, ROWS, seed).await;
    sakila::load(&across::owner(&pair.source)).await.unwrap();
    at_source(pair, words).await;
}

/// Both sides hold the same, in every database.
async fn assert_all_same(pair: &Pair) {
    assert!(assert_same(pair, "shop").await as u64 >= ROWS);
    assert_eq!(assert_same(pair, "sakila").await, 47_273);
    assert!(assert_same(pair, "words").await >= 4);
}

async fn closed(pair: &Pair) -> bool {
    let mut owner = connect(&across::owner(&pair.source)).await;
    let refused = owner.query_drop("CREATE TABLE shop.written_after_the_cutover (id INT)").await;
    matches!(refused, Err(mysql_async::Error::Server(error)) if error.code == 1290)
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_to_mariadb_under_a_writer() {
    let pair = servers(Product::Mariadb1011, Product::Mariadb1011, DATABASES).await;
    fill(&pair, 7, MARIADB_TO_MARIADB).await;
    let directory = pair.directory("");
    let writer = start_writer(&pair, directory.path(), 150.0).await;

    assert_eq!(blockers(directory.path()).await, []);
    verb(directory.path(), &["plan"], 0).await;
    verb(directory.path(), &["run"], 4).await;
    verb(directory.path(), &["status"], 0).await;
    verify(&pair).await;
    verb(directory.path(), &["cutover", "--dry-run"], 0).await;
    verb(directory.path(), &["cutover"], 0).await;

    assert!(closed(&pair).await, "the source takes writes");
    assert_all_same(&pair).await;
    let acknowledged = move_writer(&pair, &writer).await;
    assert!(acknowledged > 100, "{acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_to_mysql_with_accepted_downtime() {
    let pair = servers(Product::Mariadb1011, Product::Mysql97, DATABASES).await;
    fill(&pair, 8, MARIADB_TO_MYSQL).await;

    // Native replication is refused, with the reason, before anything is done.
    let native = pair.directory("");
    let found = blockers(native.path()).await;
    let (products, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(id, _)| id == "replication.products");
    assert_eq!(products.len(), 1, "{products:?}");
    assert!(
        products[0].1.contains("13121") && products[0].1.contains("mode = \"none\""),
        "{products:?}"
    );
    // Without transactions a row could come twice while replication follows; without it none can.
    assert!(others.iter().all(|(id, _)| id == "source.engine"), "{others:?}");
    for arguments in [&["plan"][..], &["run", "--yes"]] {
        let refused = said(&verb(native.path(), arguments, 3).await);
        assert!(refused.contains("13121") && refused.contains("mode = \"none\""), "{refused}");
    }
    let mut target = pair.target_root().await;
    let touched: Vec<String> = target
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'daybreak')")
        .await
        .unwrap();
    assert!(touched.is_empty(), "{touched:?}");

    downtime(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_to_mariadb_with_accepted_downtime() {
    let pair = servers(Product::Mysql97, Product::Mariadb1011, DATABASES).await;
    fill(&pair, 9, MYSQL_TO_MARIADB).await;
    downtime(&pair).await;
}

/// A whole migration during which nobody may write.
async fn downtime(pair: &Pair) {
    let directory = pair.directory(NONE);
    let assessed = document(&verb(directory.path(), &["assess", "--json"], 0).await);
    assert_eq!(findings(&assessed, "blocker"), []);
    verb(directory.path(), &["plan"], 0).await;
    verb(directory.path(), &["run"], 4).await;
    verify(pair).await;
    let cut = output(daybreak(directory.path(), &["cutover"])).await;
    assert!(cut.status.success(), "{}", said(&cut));
    assert!(closed(pair).await, "the source takes writes");
    assert_all_same(pair).await;
}
