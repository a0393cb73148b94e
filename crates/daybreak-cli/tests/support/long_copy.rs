//! A copy that takes long enough to be disturbed many times: tables of every kind that a resume treats
//! otherwise, a writer that leaves none of them alone, and what must hold between rows and ledger at any moment.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mysql_async::{Conn, prelude::Queryable as _};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::{
    faults::{Bench, Running},
    until,
};

/// In chunks of one MiB the largest tables have several of them.
pub const SETTINGS: &str = "[copy]\nthreads = 2\nchunk_mib = 1\n\
                            [replication]\nheartbeat_interval = \"20ms\"\n";

/// Small tables, which are copied together.
const SMALL: usize = 20;

/// The target has a unique key besides the one that cuts this table, as it counts up: a resume copies it anew.
const TWICE: &str = "twice";

/// A random number's seed, and how often something is done, as the environment says it.
pub fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Makes the tables at the source, some 20 MB. All names are within `shop`.
pub async fn tables(root: &mut Conn) {
    let numbers = |count: u32| {
        format!(
            "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) \
             SELECT n FROM s) AS s"
        )
    };
    let long = |length: u32| format!("REPEAT(CHAR(64 + n % 60), {length} + n % 97)");
    let mut statements = vec![
        "SET SESSION cte_max_recursion_depth = 100000".to_string(),
        "CREATE TABLE shop.keyed (id BIGINT PRIMARY KEY, v VARCHAR(600), d DOUBLE, KEY (v(20)), KEY (d))".into(),
        format!("INSERT INTO shop.keyed SELECT n * 10, {}, n / 7 FROM {}", long(350), numbers(20_000)),
        format!(
            "CREATE TABLE shop.{TWICE} (id INT PRIMARY KEY, n INT NOT NULL AUTO_INCREMENT, v VARCHAR(600), UNIQUE KEY (n))"
        ),
        format!("INSERT INTO shop.{TWICE} SELECT n * 10, n, {} FROM {}", long(300), numbers(9_000)),
        "CREATE TABLE shop.tenants (tenant INT, code VARCHAR(40), v VARCHAR(600), u INT, \
         PRIMARY KEY (tenant, code), UNIQUE KEY (u))"
            .into(),
        // One tenant has nine rows of ten.
        format!(
            "INSERT INTO shop.tenants SELECT IF(n % 10, 7, n), CONCAT('Key ', n), {}, n FROM {}",
            long(250),
            numbers(8_000)
        ),
        "CREATE TABLE shop.keyless (a INT, v VARCHAR(600))".into(),
        // Each row is there several times.
        format!(
            "INSERT INTO shop.keyless SELECT n % 40, REPEAT(CHAR(65 + n % 40), 450) FROM {}",
            numbers(3_000)
        ),
        // So small that the target has its key before its rows.
        "CREATE TABLE shop.nullable (n INT, v VARCHAR(600), UNIQUE KEY (n))".into(),
        format!(
            "INSERT INTO shop.nullable SELECT IF(n % 5, n, NULL), {} FROM {}",
            long(200),
            numbers(1_000)
        ),
    ];
    for small in 0..SMALL {
        statements.push(format!(
            "CREATE TABLE shop.small_{small} (id INT PRIMARY KEY, n INT, v VARCHAR(40), UNIQUE KEY (n))"
        ));
        statements.push(format!(
            "INSERT INTO shop.small_{small} SELECT n, 100 - n, 'small' FROM {}",
            numbers(30)
        ));
    }
    statements.push(format!(
        "ANALYZE TABLE shop.keyed, shop.{TWICE}, shop.tenants, shop.keyless, shop.nullable"
    ));
    for statement in statements {
        root.query_drop(&statement)
            .await
            .unwrap_or_else(|error| panic!("{statement:.200}: {error}"));
    }
}

/// Changes rows of all these tables: values of unique keys move from one row to another, rows come, go and get
/// other keys.
pub struct Writer {
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    pub fn start(url: String, seed: u64) -> Writer {
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, done) = (written.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut conn = super::connect(&url).await;
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !done.load(Ordering::SeqCst) {
                pace.tick().await;
                for statement in change(&mut random) {
                    match conn.query_drop(&statement).await {
                        Ok(()) => {}
                        // Somebody has that key, or holds that row.
                        Err(mysql_async::Error::Server(error))
                            if matches!(error.code, 1062 | 1205 | 1213) =>
                        {
                            conn.query_drop("ROLLBACK").await.unwrap();
                            break;
                        }
                        Err(error) => panic!("{statement}: {error}"),
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
            conn.disconnect().await.unwrap();
        });
        Writer { written, stop, task }
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Ends it; returns how many transactions it made.
    pub async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.written.load(Ordering::SeqCst)
    }
}

/// One transaction.
fn change(random: &mut StdRng) -> Vec<String> {
    let mut id = |most: u32| random.random_range(1..=most);
    // Two rows change places, as far as a unique key tells them apart.
    let swap = |table: &str, key: &str, column: &str, (one, other): (u32, u32)| {
        vec![
            "BEGIN".to_string(),
            format!("SET @one = NULL, @other = NULL, @spare = {}", 10_000_000 + one),
            format!("SELECT {column} INTO @one FROM {table} WHERE {key} = {one} FOR UPDATE"),
            format!("SELECT {column} INTO @other FROM {table} WHERE {key} = {other} FOR UPDATE"),
            format!("UPDATE {table} SET {column} = @spare WHERE {key} = {one} AND @one <> @other"),
            format!("UPDATE {table} SET {column} = @one WHERE {key} = {other} AND @one <> @other"),
            format!("UPDATE {table} SET {column} = @other WHERE {key} = {one} AND @one <> @other"),
            "COMMIT".into(),
        ]
    };
    match id(12) {
        1 => vec![format!(
            "UPDATE shop.keyed SET v = 'changed', d = -d WHERE id = {}",
            id(20_000) * 10
        )],
        2 => vec![format!("DELETE FROM shop.keyed WHERE id = {}", id(20_000) * 10)],
        3 => vec![format!("INSERT IGNORE INTO shop.keyed VALUES ({}, 'new', 0.1)", id(220_000))],
        // To another chunk.
        4 => vec![format!(
            "UPDATE IGNORE shop.keyed SET id = {} WHERE id = {}",
            id(220_000),
            id(20_000) * 10
        )],
        5 | 6 => swap(&format!("shop.{TWICE}"), "id", "n", (id(9_000) * 10, id(9_000) * 10)),
        7 => swap("shop.tenants", "u", "u", (id(8_000), id(8_000))),
        8 => vec![format!(
            "UPDATE IGNORE shop.tenants SET tenant = {}, code = CONCAT(code, ' moved') WHERE u = {} AND LENGTH(code) < 20",
            id(8_000),
            id(8_000)
        )],
        9 => vec![format!(
            "INSERT INTO shop.keyless SELECT a, v FROM shop.keyless WHERE a = {} LIMIT 1",
            id(40)
        )],
        10 => vec![format!("DELETE FROM shop.keyless WHERE a = {} LIMIT 1", id(40))],
        11 => vec![format!(
            "UPDATE IGNORE shop.nullable SET n = {} WHERE n = {}",
            id(4_000),
            id(2_000)
        )],
        _ => {
            let small = id(SMALL as u32) - 1;
            swap(&format!("shop.small_{small}"), "id", "n", (id(30), id(30)))
        }
    }
}

/// What the ledger says of a table, and what is there.
#[derive(Debug)]
struct Stock {
    name: String,
    chunks: u64,
    ranges: u64,
    ranks: u64,
    said: u64,
    there: u64,
}

/// At any moment, seen in one view: no range stands in the ledger twice, and as many rows are there as it says. A
/// row that was copied without its line, or twice, would be seen here.
pub async fn rows_and_ledger_agree(target: &mut Conn, why: &str) {
    // The server may still empty a table for a process that has died: then the view is gone (1412).
    until("a view of rows and ledger", async || agree_in_one_view(target, why).await).await;
}

/// False where the view was lost.
async fn agree_in_one_view(target: &mut Conn, why: &str) -> bool {
    target.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await.unwrap();
    let lines: Vec<(String, u64, u64, u64, u64)> = target
        .query(
            "SELECT table_name, COUNT(*), COUNT(DISTINCT range_id), COUNT(DISTINCT range_rank), \
             CAST(SUM(row_count) AS UNSIGNED) FROM daybreak.chunks \
             WHERE table_schema = 'shop' GROUP BY table_name",
        )
        .await
        .or_else(|error| match error {
            // Taken back, and the rows with it.
            mysql_async::Error::Server(error) if error.code == 1146 => Ok(Vec::new()),
            error => Err(error),
        })
        .unwrap();
    let tables: Vec<String> = target
        .query(
            "SELECT TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE = 'BASE TABLE'",
        )
        .await
        .unwrap();
    for name in tables {
        let line = lines.iter().find(|line| line.0 == name);
        let (_, chunks, ranges, ranks, said) = line.cloned().unwrap_or_default();
        let count = format!("SELECT COUNT(*) FROM shop.`{}`", name.replace('`', "``"));
        let there: u64 = match target.query_first(count).await {
            Err(mysql_async::Error::Server(error)) if error.code == 1412 => return false,
            counted => counted.unwrap().unwrap(),
        };
        let stock = Stock { name, chunks, ranges, ranks, said, there };
        // This one's lines go before its rows do.
        let anew = stock.name == TWICE && stock.chunks == 0;
        assert!(
            stock.chunks == stock.ranges
                && stock.chunks == stock.ranks
                && (anew || stock.said == stock.there),
            "{why}: {stock:?}"
        );
    }
    target.query_drop("COMMIT").await.unwrap();
    true
}

/// After the step `rows`: the ledger is of one snapshot, and whole. Returns how many chunks it has.
pub async fn ledger_is_of_one_snapshot(target: &mut Conn, why: &str) -> u64 {
    rows_and_ledger_agree(target, why).await;
    let (snapshots, tables): (u64, u64) = target
        .query_first(
            "SELECT COUNT(DISTINCT snapshot_id), COUNT(DISTINCT table_name) FROM daybreak.chunks \
             WHERE table_schema = 'shop'",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(snapshots, 1, "{why}: a mixture of snapshots");
    let all: u64 = target
        .query_first(
            "SELECT COUNT(*) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE = 'BASE TABLE'",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tables, all, "{why}: a table isn't in the ledger");
    let (chunks, cut): (u64, u64) = target
        .query_first(
            "SELECT COUNT(IF(table_name <> '', 1, NULL)), COUNT(IF(table_name = 'keyed', 1, NULL)) \
             FROM daybreak.chunks",
        )
        .await
        .unwrap()
        .unwrap();
    assert!(cut > 4, "{why}: {cut} chunks only");
    chunks
}

/// From the rows to the end: the writer's last transaction arrives, both modes of the verification find everything
/// equal, the cutover comes through, and `mysqldump` of both sides is the same.
pub async fn ends_equal(bench: &Bench, directory: &Path, writer: Writer, why: &str) {
    let ended = Running::events(directory, &["resume", "--until", "verify"]).end().await;
    assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
    let written = writer.end().await;
    assert!(written > 0, "{why}: nothing was written");
    let mut source = bench.pair.source_root().await;
    source.query_drop("CREATE TABLE shop.the_last (id INT PRIMARY KEY)").await.unwrap();
    let mut target = bench.pair.target_root().await;
    until("the last transaction", async || {
        target.query_drop("SELECT 1 FROM shop.the_last").await.is_ok()
    })
    .await;
    for mode in ["checksum", "full"] {
        let verified =
            Running::start(super::daybreak(directory, &["verify", "--mode", mode])).end().await;
        assert_eq!(verified.code(), Some(0), "{why}, {mode}: {}", verified.text);
    }
    bench.finishes(directory, why).await;
    println!("{why}: {written} transactions of the writer");
}
