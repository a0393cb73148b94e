//! What stands in the way of rows at the target: locks of others, a deadlock, a row larger than a
//! server takes.

mod support;

use mysql_async::prelude::Queryable as _;
use support::{
    daybreak,
    faults::{Bench, Running, on, until},
};

const SETTINGS: &str = "[copy]\nthreads = 1\nload_threads = 1\n";
const WAITS: &str = "SELECT COUNT(*) FROM performance_schema.data_lock_waits";

/// Both sides' tables are there, and no row yet.
async fn with_tables(bench: &Bench) -> tempfile::TempDir {
    let directory = bench.directory(SETTINGS);
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    directory
}

fn log(directory: &tempfile::TempDir) -> String {
    std::fs::read_to_string(directory.path().join("daybreak.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_at_the_target_costs_one_chunk_once_more() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = with_tables(&bench).await;
    let mut other = bench.pair.target_root().await;
    for statement in [
        "SET SESSION cte_max_recursion_depth = 100000",
        "SET SESSION sql_log_bin = 0",
        "CREATE TABLE mysql.heavy (id INT PRIMARY KEY) ENGINE = InnoDB",
        "BEGIN",
        // The heavier transaction survives.
        "INSERT INTO mysql.heavy WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s \
         WHERE n < 50000) SELECT n FROM s",
        "INSERT INTO shop.big VALUES (4000, 'somebody')",
    ] {
        other.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let run = Running::events(directory.path(), &["resume", "--until", "rows"]);
    until(&mut bench.pair.target_root().await, WAITS, |waits| waits > 0).await;
    // Closes the circle.
    other.query_drop("INSERT INTO shop.big VALUES (1, 'somebody')").await.unwrap();
    other.query_drop("ROLLBACK").await.unwrap();
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let log = log(&directory);
    assert!(log.contains("tried again, 1 of 5 times") && log.contains("deadlock"), "{log}");
    other.query_drop("DROP TABLE mysql.heavy").await.unwrap();
    bench.finishes(directory.path(), "after a deadlock").await;
}

/// Rows and tables that somebody else holds are waited for with a bound and a word, and taken when they
/// are free.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn locks_of_others_at_the_target_are_waited_for_with_a_bound() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for (locks, free) in [
        (&["BEGIN", "INSERT INTO shop.big VALUES (3999, 'somebody')"][..], "ROLLBACK"),
        // Where no key tells rows apart, what came before the gap must be gone.
        (&["BEGIN", "SELECT * FROM shop.keyless FOR UPDATE"], "ROLLBACK"),
        (&["LOCK TABLES shop.big WRITE"], "UNLOCK TABLES"),
    ] {
        bench.reset().await;
        let directory = with_tables(&bench).await;
        let mut other = bench.pair.target_root().await;
        for lock in locks {
            other.query_drop(*lock).await.unwrap();
        }
        let run = Running::events(directory.path(), &["resume", "--until", "rows"]);
        let patience = std::time::Duration::from_secs(200);
        run.says_within(patience, &["who holds it on the target"]).await;
        other.query_drop(free).await.unwrap();
        let ended = run.end().await;
        assert_eq!(ended.code(), Some(0), "{locks:?}: {}", ended.text);
        bench.finishes(directory.path(), free).await;
    }
}

const HUGE: &str =
    "INSERT INTO shop.huge VALUES (1, 'small'), (7, REPEAT('z', 3000000)), (9, 'small')";

/// A row of three megabytes; the named servers take packets of one.
async fn huge_row(small_source: bool, small_target: bool) -> (Bench, tempfile::TempDir) {
    let bench = Bench::start().await;
    let root = bench.pair.source.root_url();
    on(&root, &["CREATE TABLE shop.huge (id INT PRIMARY KEY, v LONGTEXT)", HUGE]).await;
    let small = "SET GLOBAL max_allowed_packet = 1048576";
    if small_source {
        on(&root, &[small]).await;
    }
    if small_target {
        on(&bench.pair.target.root_url(), &[small]).await;
    }
    let directory = bench.directory(SETTINGS);
    (bench, directory)
}

async fn larger(bench: &Bench) {
    for server in [&bench.pair.source, &bench.pair.target] {
        on(&server.root_url(), &["SET GLOBAL max_allowed_packet = 67108864"]).await;
    }
}

/// Makes the huge value at the target end otherwise, by a connection that may.
async fn ends_with(bench: &Bench, end: char) {
    let root = bench.pair.target.root_url();
    let mut conn = support::connect(&root).await;
    let before: u64 =
        conn.query_first("SELECT @@GLOBAL.max_allowed_packet").await.unwrap().unwrap();
    on(&root, &["SET GLOBAL max_allowed_packet = 67108864"]).await;
    let update = format!("UPDATE shop.huge SET v = CONCAT(LEFT(v, 2999999), '{end}') WHERE id = 7");
    on(&root, &["SET SESSION sql_log_bin = 0", &update]).await;
    on(&root, &[&format!("SET GLOBAL max_allowed_packet = {before}")]).await;
}

/// The limit is for what a server is sent at once: such a row arrives, and is compared.
async fn a_row_too_large(small_source: bool, small_target: bool) {
    let (bench, directory) = huge_row(small_source, small_target).await;
    let ended = Running::events(directory.path(), &["run", "--until", "verify"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    assert!(!ended.text.contains("another snapshot"), "{}", ended.text);
    // A value that is another one is seen, however large.
    ends_with(&bench, 'X').await;
    let (source, target) = bench.urls();
    let ((source, from), (target, to)) = (support::split(&source), support::split(&target));
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_daybreak"));
    verify.args(["verify", "--source", &source, "--target", &target, "--table", "shop.huge"]);
    verify.env("DAYBREAK_SOURCE_PASSWORD", from).env("DAYBREAK_TARGET_PASSWORD", to);
    let differs = Running::start(verify).end().await;
    assert_eq!(differs.code(), Some(3), "a huge value that differs: {}", differs.text);
    assert!(differs.text.contains("shop.huge: (id=7)"), "{}", differs.text);
    ends_with(&bench, 'z').await;
    bench.keeps_secrets(directory.path(), &ended);
    larger(&bench).await;
    let resumed = Running::start(daybreak(directory.path(), &["resume", "--yes"])).end().await;
    assert_eq!(resumed.code(), Some(0), "{}", resumed.text);
    bench.pair.assert_equal("after larger packets were allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_larger_than_the_source_sends() {
    a_row_too_large(true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_larger_than_the_target_takes() {
    a_row_too_large(false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_larger_than_both_take() {
    a_row_too_large(true, true).await;
}
