//! The source lives on: long transactions where writes must stop for a moment, and DDL in every phase.

mod support;

use mysql_async::prelude::Queryable as _;
use support::faults::{Bench, Running, on};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn a_long_transaction_holds_up_the_snapshot_and_is_told() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory(
        "[copy]\nthreads = 1\nload_threads = 1\nlock_wait = \"100ms\"\nlock_attempts = 3\n",
    );
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let mut other = bench.pair.source_root().await;
    let id: u64 = other.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    other.query_drop("BEGIN").await.unwrap();
    other.query_drop("UPDATE shop.big SET v = 'uncommitted' WHERE id = 5").await.unwrap();
    let ended = Running::events(directory.path(), &["resume", "--yes"]).end().await;
    ended.told(1, &["source ", &id.to_string(), "transaction"]);
    bench.keeps_secrets(directory.path(), &ended);
    // Nobody is kept waiting after that.
    on(&bench.pair.source.root_url(), &["UPDATE shop.big SET v = 'meanwhile' WHERE id = 6"]).await;
    other.query_drop("COMMIT").await.unwrap();
    bench.finishes(directory.path(), "after the transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_at_the_write_stop_is_told_and_the_source_stays_open() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory("[cutover]\nmax_write_stop = \"2s\"\n");
    let ended = Running::events(directory.path(), &["run", "--until", "verify"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let mut other = bench.pair.source_root().await;
    let id: u64 = other.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    other.query_drop("BEGIN").await.unwrap();
    other.query_drop("UPDATE shop.big SET v = 'last words' WHERE id = 5").await.unwrap();
    let ended = Running::events(directory.path(), &["resume", "--yes"]).end().await;
    if ended.code() != Some(0) {
        ended.told(ended.code().unwrap(), &["source "]);
        assert!(ended.text.contains(&id.to_string()), "{}", ended.text);
        on(&bench.pair.source.root_url(), &["UPDATE shop.big SET v = 'meanwhile' WHERE id = 6"])
            .await;
        other.query_drop("COMMIT").await.unwrap();
    }
    bench.keeps_secrets(directory.path(), &ended);
    bench.finishes(directory.path(), "after the transaction").await;
}

/// DDL of every kind at the beginning of a phase: it is taken along, or told; and the end is equal.
async fn ddl_in(bench: &Bench, phase: &str) {
    bench.reset().await;
    let root = bench.pair.source.root_url();
    on(
        &root,
        &[
            "DROP TABLE IF EXISTS shop.changes, shop.goes, shop.comes, shop.renamed, shop.named",
            "CREATE TABLE shop.changes (id INT PRIMARY KEY, v VARCHAR(40))",
            "INSERT INTO shop.changes VALUES (1, 'a'), (2, 'b')",
            "CREATE TABLE shop.goes (id INT PRIMARY KEY)",
            "CREATE TABLE shop.named (id INT PRIMARY KEY)",
            "INSERT INTO shop.named VALUES (1)",
        ],
    )
    .await;
    let directory = bench.directory("[copy]\nthreads = 1\nload_threads = 1\n");
    let run = Running::events(directory.path(), &["run", "--yes"]);
    run.begins(phase).await;
    let mut conn = support::connect(&root).await;
    for statement in [
        "SET SESSION lock_wait_timeout = 20",
        "ALTER TABLE shop.changes ADD COLUMN extra INT DEFAULT 7, ADD INDEX by_v (v)",
        "INSERT INTO shop.changes VALUES (3, 'c', 3)",
        "CREATE TABLE shop.comes (id INT PRIMARY KEY, n INT)",
        "INSERT INTO shop.comes VALUES (1, 1)",
        "DROP TABLE shop.goes",
        "RENAME TABLE shop.named TO shop.renamed",
    ] {
        match conn.query_drop(statement).await {
            Ok(()) => {}
            // The source is closed already: what comes too late is refused, not lost.
            Err(mysql_async::Error::Server(error)) if error.code == 1290 => break,
            Err(error) => panic!("{phase}: {statement}: {error}"),
        }
    }
    let ended = run.end().await;
    bench.keeps_secrets(directory.path(), &ended);
    if ended.code() != Some(0) {
        ended.told(ended.code().unwrap(), &["shop"]);
    }
    bench.finishes(directory.path(), phase).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_after_the_copy_is_taken_along() {
    let bench = Bench::start().await;
    for phase in ["indexes", "objects", "replicate"] {
        ddl_in(&bench, phase).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn ddl_before_and_during_the_copy_is_taken_along() {
    let bench = Bench::start().await;
    for phase in ["preflight", "schema", "rows"] {
        ddl_in(&bench, phase).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_during_the_last_looks_is_taken_along() {
    let bench = Bench::start().await;
    for phase in ["verify", "cutover"] {
        ddl_in(&bench, phase).await;
    }
}
