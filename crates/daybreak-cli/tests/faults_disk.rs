//! A disk that is really full: under the target's data, under its temporary files, and under the migration's own
//! directory.

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::Disk;
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Role;
use support::{
    configure,
    faults::{Bench, Running, on},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_target_is_told_and_the_copy_goes_on_when_there_is_room() {
    let Some(disk) = Disk::of(600) else { return };
    // Where its binary log finds no room first, a MySQL server doesn't fail: it waits for room, and says so
    // in its error log alone.
    let bench = Bench::start_with(|role, options| match role {
        Role::AuroraStandin => options.dir(disk.path().join("server")).binlog(false),
        _ => options,
    })
    .await;
    bench.big_tables().await;
    let directory = bench.directory("[copy]\nthreads = 1\nload_threads = 1\n");
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    disk.fill(700);
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    ended.told(1, &["is full", "target ", "shop.", "free space", "daybreak resume"]);
    bench.keeps_secrets(directory.path(), &ended);
    disk.make_room();
    bench.finishes(directory.path(), "after room was made").await;
}

/// Sorting for an index finds no room where the server keeps temporary files: the table, its keys and what is to be
/// done are named, the rows stay, and the keys are built when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_temporary_directory_while_keys_are_built_is_told() {
    let Some(disk) = Disk::of(96) else { return };
    let bench = Bench::start_with(|role, options| match role {
        Role::AuroraStandin => options.arg(format!("--innodb-tmpdir={}", disk.path().display())),
        _ => options,
    })
    .await;
    let root = bench.pair.source.root_url();
    on(
        &root,
        &[
            "CREATE TABLE shop.sorted (id INT PRIMARY KEY, v VARCHAR(700), w INT, KEY by_v (v), UNIQUE KEY by_w (w)) CHARACTER SET latin1",
            // More than is sorted in memory.
            "SET SESSION cte_max_recursion_depth = 100000",
            "INSERT INTO shop.sorted SELECT n, REPEAT(SHA2(n, 256), 9), n FROM \
             (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 40000) SELECT n FROM s) AS s",
            "ANALYZE TABLE shop.sorted",
        ],
    )
    .await;
    // The more threads, the less memory for each.
    let directory = bench.directory("[copy]\nthreads = 16\n");
    let ended = Running::events(directory.path(), &["run", "--until", "rows"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    disk.fill(512);
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    // Tables are built beside one another, and whichever needs room next is the first to fail.
    let words = [
        "a key could not be built",
        "shop.",
        ", keys ",
        "target ",
        "innodb_tmpdir",
        "daybreak resume",
    ];
    ended.told(1, &words);
    bench.keeps_secrets(directory.path(), &ended);
    let rows = "SELECT COUNT(*) FROM shop.sorted";
    let mut target = bench.pair.target_root().await;
    let there: Option<u64> = target.query_first(rows).await.unwrap();
    assert_eq!(there, Some(40_000));
    disk.make_room();
    let ended = Running::events(directory.path(), &["resume", "--until", "indexes"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let keys: u64 = target
        .query_first(
            "SELECT COUNT(*) FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'sorted'",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(keys, 3);
    bench.finishes(directory.path(), "after room was made for sorting").await;
}

/// The same while others' rows still come: the copy goes on, and the step `indexes` tells it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_temporary_directory_while_keys_are_built_early_is_left_to_their_step() {
    let Some(disk) = Disk::of(96) else { return };
    let bench = Bench::start_with(|role, options| match role {
        Role::AuroraStandin => options.arg(format!("--innodb-tmpdir={}", disk.path().display())),
        _ => options,
    })
    .await;
    let numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 40000) SELECT n FROM s) AS s";
    on(
        &bench.pair.source.root_url(),
        &[
            "SET SESSION cte_max_recursion_depth = 100000",
            "CREATE TABLE shop.sorted (id INT PRIMARY KEY, v VARCHAR(700), KEY by_v (v)) CHARACTER SET latin1",
            &format!("INSERT INTO shop.sorted SELECT n, REPEAT(SHA2(n, 256), 9) FROM {numbers}"),
            "CREATE TABLE shop.later (id INT PRIMARY KEY, v VARCHAR(700)) CHARACTER SET latin1",
            &format!("INSERT INTO shop.later SELECT n, REPEAT(SHA2(n, 256), 6) FROM {numbers}"),
            "ANALYZE TABLE shop.sorted, shop.later",
        ],
    )
    .await;
    // The more threads, the less memory for each.
    let directory = bench.directory("[copy]\nthreads = 16\n");
    let directory = directory.path();
    let ended = Running::events(directory, &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    disk.fill(512);
    let mut later = bench.pair.target_root().await;
    later.query_drop("LOCK TABLES shop.later READ").await.unwrap();
    let run = Running::events(directory, &["resume", "--until", "rows"]);
    run.says(&["shop.sorted: its keys are left to the step `indexes`", "a key could not be built"])
        .await;
    later.query_drop("UNLOCK TABLES").await.unwrap();
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let ended = Running::events(directory, &["resume"]).end().await;
    ended.told(1, &["a key could not be built", "shop.sorted, keys by_v", "innodb_tmpdir"]);
    disk.make_room();
    bench.finishes(directory, "after room was made for sorting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_journal_loses_nothing() {
    let Some(disk) = Disk::of(4) else { return };
    let bench = Bench::start().await;
    bench.big_tables().await;
    let (source, target) = bench.urls();
    for (step, leave_kib) in [("schema", 0), ("rows", 8), ("replicate", 0)] {
        bench.reset().await;
        let directory = disk.path().join(step);
        std::fs::create_dir(&directory).unwrap();
        configure(&directory, &source, &target, "[copy]\nthreads = 1\nload_threads = 1\n");
        let ended = Running::events(&directory, &["run", "--until", step]).end().await;
        assert_eq!(ended.code(), Some(0), "{step}: {}", ended.text);
        disk.fill(leave_kib);
        let ended = Running::events(&directory, &["resume", "--yes"]).end().await;
        ended.told(1, &[&directory.display().to_string(), "free space"]);
        assert!(ended.text.contains("journal"), "{step}: {}", ended.text);
        bench.keeps_secrets(&directory, &ended);
        disk.make_room();
        bench.finishes(&directory, step).await;
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_a_run_loses_nothing() {
    let Some(disk) = Disk::of(4) else { return };
    let bench = Bench::start().await;
    bench.big_tables().await;
    let (source, target) = bench.urls();
    for step in ["rows", "indexes", "cutover"] {
        bench.reset().await;
        let directory = disk.path().join(step);
        std::fs::create_dir(&directory).unwrap();
        configure(&directory, &source, &target, "[copy]\nthreads = 1\nload_threads = 1\n");
        bench.source_link.throttle(2_000_000);
        let run = Running::events(&directory, &["run", "--yes"]);
        run.begins(step).await;
        disk.fill(0);
        let ended = run.end().await;
        // Later entries may still find place in what the journal has already.
        if ended.code() != Some(0) {
            ended.told(1, &[&directory.display().to_string(), "free space"]);
        }
        bench.keeps_secrets(&directory, &ended);
        disk.make_room();
        bench.finishes(&directory, step).await;
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
