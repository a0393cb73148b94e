//! Rows against what a server takes at once: values, documents and whole rows larger than `max_allowed_packet`,
//! transactions larger than `max_binlog_cache_size`. They arrive; or their chunk is rolled back, the row named, and
//! the run goes on once the operator has raised the limit.

mod support;

use mysql_async::prelude::Queryable as _;
use support::{
    daybreak,
    faults::{Bench, Running, on},
};

const SETTINGS: &str = "[copy]\nthreads = 1\nload_threads = 1\n";

const SMALL_PACKET: &str = "SET GLOBAL max_allowed_packet = 1048576";
const LARGE_PACKET: &str = "SET GLOBAL max_allowed_packet = 67108864";

/// A table's rows and its lines in the ledger.
async fn arrived(bench: &Bench, table: &str) -> (u64, u64) {
    let mut root = bench.pair.target_root().await;
    let count = format!("SELECT COUNT(*) FROM shop.{table}");
    let lines = format!("SELECT COUNT(*) FROM daybreak.chunks WHERE table_name = '{table}'");
    (
        root.query_first(count).await.unwrap().unwrap(),
        root.query_first(lines).await.unwrap().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn values_and_rows_larger_than_a_packet_arrive() {
    let bench = Bench::start().await;
    let root = bench.pair.source.root_url();
    on(
        &root,
        &[
            // Each value fits, the row doesn't; and each byte of some values is escaped.
            "CREATE TABLE shop.wide (id INT PRIMARY KEY, a LONGTEXT, b LONGBLOB, c LONGTEXT, d FLOAT)",
            "INSERT INTO shop.wide VALUES (1, REPEAT('x', 900000), REPEAT('y', 900000), REPEAT('z', 900000), 0.1), \
             (7, REPEAT('\\\\', 900000), REPEAT('\\0', 900000), REPEAT('\\n', 900000), 0.2)",
            // More than the protocol's own packet of 16 MiB.
            "CREATE TABLE shop.twenty (a INT, v LONGBLOB)",
            "INSERT INTO shop.twenty VALUES (1, REPEAT('\\t', 20000000)), (1, NULL)",
            // Large beside what goes through variables.
            "CREATE TABLE shop.beside (id INT PRIMARY KEY, v LONGTEXT, s SET ('a', 'b'), e ENUM ('a', ''), j JSON)",
            "INSERT INTO shop.beside VALUES (7, REPEAT('v', 3000000), 'a,b', '', JSON_OBJECT('d', CAST('1.10' AS DECIMAL(9, 2)), 't', REPEAT('t', 900000)))",
            "CREATE TABLE shop.shapes (id INT PRIMARY KEY, g GEOMETRY)",
            "INSERT INTO shop.shapes VALUES (1, ST_GeomFromText(CONCAT('LINESTRING(', REPEAT('1 1,', 100000), '2 2)')))",
            "ANALYZE TABLE shop.wide, shop.twenty, shop.beside, shop.shapes",
        ],
    )
    .await;
    for url in [&root, &bench.pair.target.root_url()] {
        on(url, &[SMALL_PACKET]).await;
    }
    let directory = bench.directory(SETTINGS);
    let ended = Running::events(directory.path(), &["run", "--until", "verify"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    for table in ["wide", "twenty", "beside", "shapes"] {
        assert!(arrived(&bench, table).await.0 > 0, "{table}");
    }
    for url in [&root, &bench.pair.target.root_url()] {
        on(url, &[LARGE_PACKET]).await;
    }
    bench.finishes(directory.path(), "after larger packets were allowed").await;
}

/// A server prints a document, and computes a column, as one value.
async fn computed_value_too_large(column: &str, value: &str, at_the_source: bool) {
    let bench = Bench::start().await;
    let root = bench.pair.source.root_url();
    on(
        &root,
        &[
            &format!("CREATE TABLE shop.computed (tenant INT, id INT, {column}, PRIMARY KEY (tenant, id))"),
            &format!(
                "INSERT INTO shop.computed (tenant, id, v) VALUES (1, 1, '\"a\"'), (1, 7, {value}), (2, 1, '\"b\"')"
            ),
            "ANALYZE TABLE shop.computed",
        ],
    )
    .await;
    let (side, limited) = match at_the_source {
        true => ("source ", root),
        false => ("target ", bench.pair.target.root_url()),
    };
    let directory = bench.directory(SETTINGS);
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    on(&limited, &[SMALL_PACKET]).await;
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    let words = [
        "shop.computed",
        "(tenant=1, id=7)",
        "1301",
        side,
        "max_allowed_packet",
        "daybreak resume",
    ];
    ended.told(1, &words);
    assert_eq!(arrived(&bench, "computed").await, (0, 0), "{}", ended.text);
    bench.keeps_secrets(directory.path(), &ended);
    on(&limited, &[LARGE_PACKET]).await;
    bench.finishes(directory.path(), "after larger packets were allowed").await;
}

const DOCUMENT: &str = "JSON_OBJECT('d', CAST('1.10' AS DECIMAL(9, 2)), 'v', REPEAT('z', 3000000))";

#[tokio::test(flavor = "multi_thread")]
async fn a_document_larger_than_the_target_prints_is_named() {
    computed_value_too_large("v JSON", DOCUMENT, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_larger_than_the_source_prints_is_named() {
    computed_value_too_large("v JSON", DOCUMENT, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computed_column_larger_than_the_target_computes_is_named() {
    let column = "v LONGTEXT, g LONGTEXT AS (CONCAT(v, v)) STORED";
    computed_value_too_large(column, "REPEAT('z', 700000)", false).await;
}

/// Where neither server prints a document, no two of them are equal: whether they are isn't known.
#[tokio::test(flavor = "multi_thread")]
async fn documents_that_no_server_prints_are_not_equal() {
    let bench = Bench::start().await;
    let (root, target) = (bench.pair.source.root_url(), bench.pair.target.root_url());
    let insert = format!("INSERT INTO shop.documents VALUES (1, '1'), (7, {DOCUMENT})");
    on(&root, &["CREATE TABLE shop.documents (id INT PRIMARY KEY, v JSON)", &insert]).await;
    let directory = bench.directory(SETTINGS);
    let ended = Running::events(directory.path(), &["run", "--until", "verify"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let change = "UPDATE shop.documents SET v = JSON_SET(v, '$.d', 'another') WHERE id = 7";
    on(&target, &["SET SESSION sql_log_bin = 0", change]).await;
    for url in [&root, &target] {
        on(url, &[SMALL_PACKET]).await;
    }
    for mode in ["checksum", "full"] {
        let arguments = ["verify", "--mode", mode, "--table", "shop.documents"];
        let ended = Running::start(daybreak(directory.path(), &arguments)).end().await;
        ended.told(1, &["shop.documents", "1301", "max_allowed_packet"]);
    }
    for url in [&root, &target] {
        on(url, &[LARGE_PACKET]).await;
    }
    for mode in ["checksum", "full"] {
        let arguments = ["verify", "--mode", mode, "--table", "shop.documents"];
        let ended = Running::start(daybreak(directory.path(), &arguments)).end().await;
        ended.told(3, &["shop.documents", "(id=7)"]);
    }
}

/// A target whose transactions may have eight MiB in the binary log.
async fn small_cache(table: &str, rows: &str) -> (Bench, tempfile::TempDir) {
    let bench = Bench::start_with(|_, options| options.binlog(true)).await;
    on(
        &bench.pair.source.root_url(),
        &[&format!("CREATE TABLE shop.heavy {table}"), rows, "ANALYZE TABLE shop.heavy"],
    )
    .await;
    let directory = bench.directory(SETTINGS);
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    on(&bench.pair.target.root_url(), &["SET GLOBAL max_binlog_cache_size = 8388608"]).await;
    (bench, directory)
}

/// Twenty-four rows of a megabyte.
const HEAVY: &str = "INSERT INTO shop.heavy SELECT n, REPEAT('z', 1000000) FROM \
                     (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 24) SELECT n FROM s) AS s";

/// Nothing of it stays, and when the limit is raised it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_keys_larger_than_a_transaction_may_be_is_named() {
    let (bench, directory) = small_cache("(n INT, v LONGTEXT)", HEAVY).await;
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    ended.told(1, &["shop.heavy", "all rows, the largest row: 1000002 bytes", "1197", "target "]);
    ended.told(1, &["max_binlog_cache_size", "more than the table's size", "daybreak resume"]);
    assert_eq!(arrived(&bench, "heavy").await, (0, 0), "{}", ended.text);
    bench.keeps_secrets(directory.path(), &ended);
    let raised = "SET GLOBAL max_binlog_cache_size = 1073741824";
    on(&bench.pair.target.root_url(), &[raised]).await;
    bench.finishes(directory.path(), "after a larger cache was allowed").await;
}

/// Where rows fit and chunks don't, smaller chunks do.
#[tokio::test(flavor = "multi_thread")]
async fn smaller_chunks_fit_into_a_small_transaction() {
    let (bench, directory) = small_cache("(id INT PRIMARY KEY, v LONGTEXT)", HEAVY).await;
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    ended.told(1, &["shop.heavy", "the largest row: (id=", "1197", "chunk_mib", "daybreak resume"]);
    let file = directory.path().join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[copy]\n", "[copy]\nchunk_mib = 2\n")).unwrap();
    let ended = Running::events(directory.path(), &["resume", "--until", "rows"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let (rows, lines) = arrived(&bench, "heavy").await;
    assert!(rows == 24 && lines >= 12, "{rows} rows in {lines} chunks");
    bench.finishes(directory.path(), "in smaller chunks").await;
}
