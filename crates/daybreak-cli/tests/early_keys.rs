//! Keys of a table whose rows are in are built while others' rows come: seen while it happens, killed in it,
//! taken back, and held back.

mod support;

use std::path::Path;

use mysql_async::{Conn, prelude::Queryable as _};
use support::{
    connect, daybreak,
    faults::{Bench, Running, on, until},
    was_killed_by,
};
use tempfile::TempDir;

/// One reader and one loader: tables come one after the other, the largest first.
const SETTINGS: &str = "[copy]\nthreads = 1\nload_threads = 1\nchunk_mib = 1\n";

/// Keys that may be there early, and those that may not.
const EARLY: [(&str, &[&str]); 2] =
    [("first", &["by_sum", "by_v", "places", "words"]), ("twice", &["by_v"])];

/// Of three tables the first has keys of every kind, the second one that cuts it and another unique one that the
/// target can't do without, and the third comes last.
async fn tables(bench: &Bench) {
    let numbers = |count: u32| {
        format!(
            "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) \
             SELECT n FROM s) AS s"
        )
    };
    on(
        &bench.pair.source.root_url(),
        &[
            "SET SESSION cte_max_recursion_depth = 100000",
            "CREATE TABLE shop.first (id INT PRIMARY KEY, u INT, v VARCHAR(600), w TEXT, p POINT NOT NULL SRID 0, \
             KEY by_sum ((u + 1)), UNIQUE KEY by_u (u), KEY by_v (v(30)), SPATIAL KEY places (p), FULLTEXT KEY words (w), \
             UNIQUE KEY by_double ((u * 2)))",
            &format!(
                "INSERT INTO shop.first SELECT n, n, REPEAT(CHAR(64 + n % 60), 350), CONCAT('word number', n), \
                 POINT(n, n) FROM {}",
                numbers(8_000)
            ),
            "CREATE TABLE shop.twice (id INT PRIMARY KEY, n INT NOT NULL AUTO_INCREMENT, v VARCHAR(600), \
             UNIQUE KEY by_n (n), KEY by_v (v(30)))",
            &format!(
                "INSERT INTO shop.twice SELECT n, n, REPEAT(CHAR(64 + n % 60), 350) FROM {}",
                numbers(6_500)
            ),
            "CREATE TABLE shop.last (id INT PRIMARY KEY, v VARCHAR(600), KEY by_v (v(30)))",
            &format!(
                "INSERT INTO shop.last SELECT n, REPEAT(CHAR(64 + n % 60), 350) FROM {}",
                numbers(5_000)
            ),
            "ANALYZE TABLE shop.first, shop.twice, shop.last",
        ],
    )
    .await;
}

/// The keys of a table on the target, but for the primary one.
async fn keys(target: &mut Conn, table: &str) -> Vec<String> {
    target.query_drop("SET SESSION information_schema_stats_expiry = 0").await.unwrap();
    target
        .exec(
            "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' \
             AND TABLE_NAME = ? AND INDEX_NAME NOT IN ('PRIMARY', 'by_n') ORDER BY 1",
            (table,),
        )
        .await
        .unwrap()
}

/// Waits until so many rows of a table are in.
async fn until_rows(target: &mut Conn, table: &str, rows: u64) {
    let copied = format!(
        "SELECT CAST(COALESCE(SUM(row_count), 0) AS UNSIGNED) FROM daybreak.chunks WHERE table_name = '{table}'"
    );
    until(target, &copied, |copied| copied >= rows).await;
}

/// Waits until a table has its early keys, and no others, while rows of the third still come.
async fn until_early(target: &mut Conn, run: &Running, table: (&str, &[&str])) {
    let there = format!(
        "SELECT COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' \
         AND TABLE_NAME = '{}' AND INDEX_NAME NOT IN ('PRIMARY', 'by_n')",
        table.0
    );
    until(target, &there, |count| count >= table.1.len() as u64).await;
    assert_eq!(keys(target, table.0).await, table.1, "{}", run.text());
    still_comes(target, run).await;
}

async fn still_comes(target: &mut Conn, run: &Running) {
    let copied: u64 = target
        .query_first(
            "SELECT CAST(COALESCE(SUM(row_count), 0) AS UNSIGNED) FROM daybreak.chunks WHERE table_name = 'last'",
        )
        .await
        .unwrap()
        .unwrap();
    assert!(copied < 5_000 && !run.is_finished(), "the rows are all in: {}", run.text());
}

/// A migration that has made its tables, and root on the target.
async fn made(settings: &str) -> (Bench, TempDir, Conn) {
    let bench = Bench::start().await;
    let directory = bench.directory(settings);
    tables(&bench).await;
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let target = bench.pair.target_root().await;
    (bench, directory, target)
}

/// Goes on with its rows, while somebody on the target lets nobody write to the third table: its rows come
/// when he ends that.
async fn copies(bench: &Bench, directory: &Path) -> (Conn, Running) {
    let mut last = connect(&bench.pair.target.root_url()).await;
    last.query_drop("LOCK TABLES shop.last READ").await.unwrap();
    (last, Running::events(directory, &["resume", "--until", "rows"]))
}

/// Somebody on the target reads a table and keeps its metadata lock: no build there ends.
async fn holder(bench: &Bench, table: &str) -> Conn {
    let mut holder = connect(&bench.pair.target.root_url()).await;
    holder.query_drop("BEGIN").await.unwrap();
    holder.query_drop(format!("SELECT COUNT(*) FROM shop.{table}")).await.unwrap();
    holder
}

/// How many builds of a table's keys the target is at work on.
fn building(table: &str) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE `shop`.`{table}`%ADD%'"
    )
}

/// Kills it; then the third table's rows may come again.
async fn killed(run: Running, last: &mut Conn) {
    run.signal(libc::SIGKILL);
    let ended = run.end().await;
    assert!(was_killed_by(&ended.status, libc::SIGKILL), "{}", ended.text);
    last.query_drop("UNLOCK TABLES").await.unwrap();
}

/// Values of unique keys change places between chunks, rows come and go.
async fn change(bench: &Bench) {
    on(
        &bench.pair.source.root_url(),
        &[
            "UPDATE shop.first SET u = -u WHERE id IN (5, 7995)",
            "UPDATE shop.first SET u = 8000 - id WHERE id IN (5, 7995)",
            "DELETE FROM shop.first WHERE id BETWEEN 4000 AND 4010",
            "UPDATE shop.first SET w = 'sphinx', p = POINT(-1, id) WHERE id = 11",
            "INSERT INTO shop.first SELECT MAX(id) + 1, MAX(id) + 1, 'new', 'sphinx of quartz', POINT(1, 2) FROM shop.first",
            "UPDATE shop.twice SET n = -n WHERE id IN (5, 6495)",
            "UPDATE shop.twice SET n = 6500 - id WHERE id IN (5, 6495)",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_built_while_others_rows_come() {
    let (bench, directory, mut target) = made(SETTINGS).await;
    let (mut last, run) = copies(&bench, directory.path()).await;
    for table in EARLY {
        until_early(&mut target, &run, table).await;
    }
    last.query_drop("UNLOCK TABLES").await.unwrap();
    run.says(&["\"task\":\"indexes\"", "shop.first"]).await;
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    // What rows could break is left to the step that comes after.
    assert_eq!(keys(&mut target, "first").await, EARLY[0].1);
    bench.finishes(directory.path(), "keys were built early").await;
}

/// A build that is at work when the rows are in is waited for, and said; a stop ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_waited_for_and_ended_by_a_stop() {
    let (bench, directory, mut target) = made(SETTINGS).await;
    let mut held = holder(&bench, "twice").await;
    let (mut last, run) = copies(&bench, directory.path()).await;
    let waits = building("twice");
    until(&mut target, &waits, |count| count == 1).await;
    last.query_drop("UNLOCK TABLES").await.unwrap();
    run.says(&["the rows are in", "shop.twice"]).await;
    run.signal(libc::SIGINT);
    let ended = run.end().await;
    assert_ne!(ended.code(), Some(0), "{}", ended.text);
    until(&mut target, &waits, |count| count == 0).await;

    let run = Running::events(directory.path(), &["resume", "--until", "rows"]);
    held.query_drop("COMMIT").await.unwrap();
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.finishes(directory.path(), "a stop ended an early build").await;
}

/// The copy doesn't fail for it: the keys are the step's that comes after.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_cut_off_is_left_to_its_step() {
    let (bench, directory, mut target) = made(SETTINGS).await;
    let mut held = holder(&bench, "twice").await;
    let (mut last, run) = copies(&bench, directory.path()).await;
    until(&mut target, &building("twice"), |count| count == 1).await;
    let id = building("twice").replace("COUNT(*)", "ID");
    let id: u64 = target.query_first(id).await.unwrap().unwrap();
    target.query_drop(format!("KILL {id}")).await.unwrap();
    run.says(&["shop.twice: its keys are left to the step `indexes`"]).await;
    held.query_drop("COMMIT").await.unwrap();
    last.query_drop("UNLOCK TABLES").await.unwrap();
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    assert_eq!(keys(&mut target, "first").await, EARLY[0].1);
    assert_eq!(keys(&mut target, "twice").await, Vec::<String>::new());
    bench.finishes(directory.path(), "an early build was cut off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_keys_are_built_and_when_they_are_there() {
    let (bench, directory, mut target) = made(SETTINGS).await;
    let directory = directory.path();
    let mut held = holder(&bench, "twice").await;
    let (mut last, run) = copies(&bench, directory).await;
    until_early(&mut target, &run, EARLY[0]).await;
    let builds = building("twice");
    until(&mut target, &builds, |count| count == 1).await;
    killed(run, &mut last).await;
    change(&bench).await;
    let still: u64 = target.query_first(&builds).await.unwrap().unwrap();
    assert_eq!(still, 1, "the server has noticed: there is nothing to test");

    // The server's build is ended, whoever holds the table.
    let (mut last, run) = copies(&bench, directory).await;
    run.says(&["for a process that is gone (1)"]).await;
    until(&mut target, &builds, |count| count == 0).await;
    held.query_drop("COMMIT").await.unwrap();
    for table in EARLY {
        until_early(&mut target, &run, table).await;
    }
    killed(run, &mut last).await;
    change(&bench).await;
    on(&bench.pair.source.root_url(), &["UPDATE shop.twice SET v = 'other' WHERE id % 1000 = 1"])
        .await;

    // What is copied from its beginning is copied without them; what is replaced in part keeps them.
    let ended = Running::events(directory, &["resume", "--until", "rows"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    assert_eq!(keys(&mut target, "first").await, EARLY[0].1);
    let dropped: Vec<String> = target
        .query(
            "SELECT DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest \
             WHERE DIGEST_TEXT LIKE 'ALTER TABLE%DROP KEY%'",
        )
        .await
        .unwrap();
    assert_eq!(dropped, ["ALTER TABLE `shop` . `twice` DROP KEY `by_v`"]);
    bench.finishes(directory, "killed twice while keys were built early").await;
    let found = "SELECT COUNT(*) FROM shop.first WHERE MATCH (w) AGAINST ('sphinx')";
    let found: u64 = target.query_first(found).await.unwrap().unwrap();
    assert_eq!(found, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_takes_early_keys_off_again() {
    let (bench, directory, mut target) = made(SETTINGS).await;
    let directory = directory.path();
    let names: Vec<String> = target.query("SHOW TABLES FROM shop").await.unwrap();
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let definitions = async |target: &mut Conn| {
        let mut all = Vec::new();
        for name in &names {
            let shown: Option<(String, String)> = target
                .query_first(format!("SHOW CREATE TABLE shop.{}", quoted(name)))
                .await
                .unwrap();
            // What is counted up next isn't part of it.
            let text = shown.unwrap().1;
            let counter = text
                .split(" AUTO_INCREMENT=")
                .nth(1)
                .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
            let counter = format!(" AUTO_INCREMENT={}", counter.unwrap_or_default());
            all.push(text.replace(&counter, ""));
        }
        all
    };
    let before = definitions(&mut target).await;
    let mut held = holder(&bench, "twice").await;
    let (mut last, run) = copies(&bench, directory).await;
    until_early(&mut target, &run, EARLY[0]).await;
    until(&mut target, &building("twice"), |count| count == 1).await;
    killed(run, &mut last).await;
    assert_ne!(definitions(&mut target).await, before);

    let undo = Running::events(directory, &["undo", "--to", "schema"]);
    undo.says(&["for a process that is gone (1)"]).await;
    held.query_drop("COMMIT").await.unwrap();
    let ended = undo.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    assert_eq!(definitions(&mut target).await, before);
    for name in &names {
        let row: Option<u8> = target
            .query_first(format!("SELECT 1 FROM shop.{} LIMIT 1", quoted(name)))
            .await
            .unwrap();
        assert_eq!(row, None, "{name}");
    }
    bench.finishes(directory, "after undo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_build_begins_while_the_copy_is_held_back() {
    let (bench, directory, mut target) = made("[copy]\nthreads = 2\nchunk_mib = 1\n").await;
    let directory = directory.path();
    let throttle = async |more: &[&str]| {
        let arguments = [&["throttle"], more].concat();
        let ended = Running::start(daybreak(directory, &arguments)).end().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.text);
    };
    throttle(&["--max-threads", "1"]).await;
    let (mut last, run) = copies(&bench, directory).await;
    until_rows(&mut target, "first", 8_000).await;
    until_rows(&mut target, "twice", 6_500).await;
    let begun = |run: &Running| run.text().contains("\"task\":\"indexes\"");
    assert!(!begun(&run), "one worker of three copies: {}", run.text());
    throttle(&["--max-threads", "off", "--pause"]).await;
    run.says(&["the copy goes paused"]).await;
    assert!(!begun(&run), "it is paused: {}", run.text());
    assert_eq!(keys(&mut target, "first").await, Vec::<String>::new());
    still_comes(&mut target, &run).await;
    throttle(&["--go"]).await;
    for table in EARLY {
        until_early(&mut target, &run, table).await;
    }
    last.query_drop("UNLOCK TABLES").await.unwrap();
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.finishes(directory, "held back").await;
}
