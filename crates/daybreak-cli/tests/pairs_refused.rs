//! What a target of the other product can't hold is named by `assess`, each with a remedy, and nothing
//! is made on the target; and what MariaDB's snapshot refuses.

#[path = "support/across.rs"]
mod across;
mod support;

use across::{at_source, blockers, document, findings, servers, verb};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Product;
use support::{Pair, daybreak, output, said};

const NONE: &str = "[replication]\nmode = \"none\"\n";

/// Each expected blocker is there and names its object; nothing else blocks; `run` ends with them and
/// leaves the target as it was.
async fn assert_named(pair: &Pair, expected: &[(&str, &str)]) {
    let directory = pair.directory(NONE);
    let found = blockers(directory.path()).await;
    for (id, object) in expected {
        assert!(
            found.iter().any(|(name, text)| name == id && text.contains(object)),
            "{id} doesn't name {object}: {found:#?}"
        );
    }
    for (id, text) in &found {
        assert!(expected.iter().any(|(name, _)| name == id), "{id} was not expected: {text}");
    }
    let refused = output(daybreak(directory.path(), &["run", "--yes"])).await;
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let mut target = pair.target_root().await;
    let made: Vec<String> = target
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('app', 'daybreak')")
        .await
        .unwrap();
    assert!(made.is_empty(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mysql_cannot_hold_of_mariadb() {
    let pair = servers(Product::Mariadb1011, Product::Mysql97, &["app"]).await;
    at_source(
        &pair,
        &[
            "CREATE DATABASE app COLLATE utf8mb4_general_ci",
            "CREATE TABLE app.kinds (id UUID PRIMARY KEY)",
            "CREATE TABLE app.addresses (id INT PRIMARY KEY, a INET6)",
            "CREATE TABLE app.small (id INT PRIMARY KEY, c VARCHAR(99) COMPRESSED)",
            "CREATE TABLE app.sorted (id INT PRIMARY KEY, c VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci)",
            "CREATE TABLE app.nopad (id INT PRIMARY KEY, c VARCHAR(9) COLLATE utf8mb4_nopad_bin)",
            "CREATE SEQUENCE app.numbers",
            "CREATE TABLE app.history (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
            "CREATE TABLE app.booked (id INT PRIMARY KEY, b DATE, e DATE, PERIOD FOR p (b, e))",
            "CREATE TABLE app.long_unique (id INT PRIMARY KEY, t TEXT, UNIQUE KEY t (t))",
            "CREATE TABLE app.one (id INT PRIMARY KEY, a INT, CONSTRAINT same CHECK (a > 1))",
            "CREATE TABLE app.two (id INT PRIMARY KEY, a INT, CONSTRAINT same CHECK (a > 2))",
            "CREATE TABLE app.formatted (id INT PRIMARY KEY, a INT, b BIGINT AS (CRC32C(a)) STORED)",
            "CREATE TABLE app.checked (id INT PRIMARY KEY, a TEXT CHECK (JSON_COMPACT(a) <> '1'))",
            "CREATE VIEW app.shown AS SELECT id, TO_CHAR(b, 'YYYY') AS y FROM app.booked",
            "CREATE PROCEDURE app.counted() BEGIN FOR i IN 1..3 DO SELECT i; END FOR; END",
            "CREATE PROCEDURE app.harmless() BEGIN SELECT COUNT(*), IF(1 IN (1), 2, 3) FROM app.one; END",
            "CREATE FUNCTION app.charred() RETURNS VARCHAR(20) RETURN CHR(65)",
            "SET SESSION sql_mode = 'ORACLE'",
            "CREATE PROCEDURE app.oracle AS BEGIN NULL; END",
            "CREATE PACKAGE app.pack AS PROCEDURE p(); END",
        ],
    )
    .await;
    assert_named(
        &pair,
        &[
            ("target.type_unknown", "app.kinds.id uuid"),
            ("target.type_unknown", "app.addresses.a inet6"),
            ("target.type_unknown", "app.small.c"),
            ("target.collation_unknown", "app.sorted.c"),
            ("target.collation_unknown", "app.nopad.c"),
            ("source.table_kind", "app.numbers"),
            ("source.table_kind", "app.history"),
            ("target.definition", "table app.booked"),
            ("target.definition", "table app.formatted"),
            ("target.definition", "procedure app.counted"),
            ("target.long_unique", "app.long_unique.t"),
            ("target.check_names", "app.one same"),
            ("target.check_names", "app.two same"),
            ("target.function_unknown", "table app.checked"),
            ("target.function_unknown", "view app.shown"),
            ("target.sql_mode_oracle", "procedure app.oracle"),
            ("target.packages", "package app.pack"),
        ],
    )
    .await;
    let directory = pair.directory(NONE);
    let assessed = document(&verb(directory.path(), &["assess", "--json"], 3).await);
    let warned = findings(&assessed, "warning");
    let unknown: Vec<_> = warned.iter().filter(|(id, _)| id == "target.function_unknown").collect();
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert!(unknown[0].1.contains("function app.charred") && unknown[0].1.contains("chr"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_cannot_hold_of_mysql() {
    let pair = servers(Product::Mysql97, Product::Mariadb1011, &["app"]).await;
    at_source(
        &pair,
        &[
            "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci",
            "CREATE DATABASE app",
            "CREATE TABLE app.sorted (id INT PRIMARY KEY, c VARCHAR(9) COLLATE utf8mb4_0900_as_cs)",
            "CREATE TABLE app.vectors (id INT PRIMARY KEY, v VECTOR(3))",
            "CREATE TABLE app.computed (id INT PRIMARY KEY, a INT, KEY k ((a + 1)))",
            "CREATE TABLE app.elements (id INT PRIMARY KEY, j JSON, KEY k ((CAST(j AS UNSIGNED ARRAY))))",
            "CREATE TABLE app.places (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326)",
            "CREATE TABLE app.lax (id INT PRIMARY KEY, a INT, CONSTRAINT lax_check CHECK (a > 1) NOT ENFORCED)",
            "CREATE TABLE app.hidden (id INT PRIMARY KEY, a INT NOT NULL INVISIBLE)",
            "CREATE TABLE app.ids (id BINARY(16) PRIMARY KEY DEFAULT (UUID_TO_BIN(UUID())))",
            "CREATE TABLE app.words (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY t (t) WITH PARSER ngram)",
            "CREATE TABLE app.plain (id INT PRIMARY KEY, d DOUBLE, j JSON)",
            "CREATE VIEW app.shown AS SELECT BIN_TO_UUID(id) AS u FROM app.ids",
            "CREATE VIEW app.beside AS SELECT p.id, q.n FROM app.plain p, LATERAL (SELECT p.d AS n) q",
            "CREATE PROCEDURE app.arrow() SELECT j ->> '$.a' FROM app.plain",
            "CREATE TRIGGER app.named BEFORE INSERT ON app.plain FOR EACH ROW \
             SET NEW.id = IF(REGEXP_LIKE('a', 'b'), NEW.id, NEW.id)",
        ],
    )
    .await;
    assert_named(
        &pair,
        &[
            ("target.collation_unknown", "app.sorted.c"),
            ("target.type_unknown", "app.vectors.v"),
            ("target.functional_index", "app.computed.k"),
            ("target.functional_index", "app.elements.k"),
            ("target.srid", "app.places.p"),
            ("target.check_not_enforced", "app.lax.lax_check"),
            ("target.invisible_column", "app.hidden.a"),
            ("target.definition", "table app.ids"),
            ("target.definition", "table app.words"),
            ("target.definition", "view app.beside"),
            ("target.definition", "procedure app.arrow"),
            ("target.function_unknown", "view app.shown"),
        ],
    )
    .await;
    let directory = pair.directory(NONE);
    let assessed = document(&verb(directory.path(), &["assess", "--json"], 3).await);
    let warned = findings(&assessed, "warning");
    let has = |id: &str, text: &str| warned.iter().any(|(n, t)| n == id && t.contains(text));
    assert!(has("target.json_as_text", "app.plain.j"), "{warned:#?}");
    assert!(has("target.function_unknown", "trigger app.named"), "{warned:#?}");
    let noted = findings(&assessed, "note");
    assert!(
        noted
            .iter()
            .any(|(id, text)| id == "target.no_negative_zero" && text.contains("app.plain.d"))
    );
    assert!(assessed["route"]["reason"].as_str().unwrap().starts_with("rows are read"));
    // Native replication is no way either, and the way that is one is recommended.
    let native = pair.directory("");
    let assessed = document(&verb(native.path(), &["assess", "--json"], 3).await);
    assert!(findings(&assessed, "blocker").iter().any(|(id, _)| id == "replication.products"));
    assert!(assessed["route"]["reason"].as_str().unwrap().contains("mode = \"none\""));
    verb(native.path(), &["plan"], 3).await;
}

/// A prepared XA transaction is in no view, and its rows come before the position: a snapshot waits, and
/// says so if it stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_keeps_mariadb_from_a_snapshot() {
    let pair = servers(Product::Mariadb1011, Product::Mariadb1011, &["app"]).await;
    at_source(
        &pair,
        &[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY)",
            "INSERT INTO app.t VALUES (1)",
            "XA START 'unfinished'",
            "INSERT INTO app.t VALUES (2)",
            "XA END 'unfinished'",
            "XA PREPARE 'unfinished'",
        ],
    )
    .await;
    let directory = pair.directory("");
    let paused = output(daybreak(directory.path(), &["run"])).await;
    assert!(!paused.status.success(), "{}", said(&paused));
    assert!(said(&paused).contains("XA RECOVER"), "{}", said(&paused));
    let mut root = pair.source_root().await;
    root.query_drop("XA COMMIT 'unfinished'").await.unwrap();
    verb(directory.path(), &["resume"], 4).await;
    verb(directory.path(), &["cutover"], 0).await;
    assert_eq!(across::assert_same(&pair, "app").await, 2);
}
