//! What replication can't go on from: a binary log that was purged, rows that stand in the way.

mod support;

use support::{
    daybreak,
    faults::{Bench, Running, on},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_binary_log_wants_another_copy() {
    let bench = Bench::start().await;
    let directory = bench.directory("[replication]\nstalled_after = \"30s\"\n");
    let ended = Running::events(directory.path(), &["run", "--until", "objects"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    // What happened since the snapshot is lost with the log.
    on(
        &bench.pair.source.root_url(),
        &[
            "CREATE TABLE shop.since (id INT PRIMARY KEY)",
            "INSERT INTO shop.since VALUES (1)",
            "FLUSH BINARY LOGS",
            "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY",
        ],
    )
    .await;
    let ended = Running::events(directory.path(), &["resume", "--yes"]).end().await;
    let words =
        ["has purged", "keep the source's binary logs", "daybreak undo --to prepare_source"];
    ended.told(3, &words);
    bench.keeps_secrets(directory.path(), &ended);
    // A resume before that says the same.
    let ended = Running::events(directory.path(), &["resume", "--yes"]).end().await;
    ended.told(3, &words);
    let undo = daybreak(directory.path(), &["undo", "--to", "prepare_source"]);
    let undone = Running::start(undo).end().await;
    assert_eq!(undone.code(), Some(0), "{}", undone.text);
    bench.finishes(directory.path(), "after another copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_the_way_are_named_with_what_to_do() {
    let bench = Bench::start().await;
    let source = bench.pair.source.root_url();
    on(
        &source,
        &[
            "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO shop.t VALUES (1, 1), (2, 2)",
        ],
    )
    .await;
    let hidden = "SET SESSION sql_log_bin = 0";
    for (code, at_target, back, at_source) in [
        (
            "1062",
            "INSERT INTO shop.t VALUES (10, 0)",
            "DELETE FROM shop.t WHERE id = 10",
            "INSERT INTO shop.t VALUES (10, 10)",
        ),
        (
            "1032",
            "DELETE FROM shop.t WHERE id = 2",
            "INSERT INTO shop.t VALUES (2, 2)",
            "UPDATE shop.t SET v = 22 WHERE id = 2",
        ),
    ] {
        bench.reset().await;
        let directory = bench.directory("");
        let ended = Running::events(directory.path(), &["run", "--until", "replicate"]).end().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.text);
        let target = bench.pair.target.root_url();
        on(&target, &[hidden, at_target]).await;
        on(&source, &[at_source]).await;
        let ended = Running::events(directory.path(), &["resume", "--yes"]).end().await;
        let words = [code, "target ", "on the target", "copy again", "daybreak replicate start"];
        ended.told(3, &words);
        bench.keeps_secrets(directory.path(), &ended);
        // The operator puts the target right.
        on(&target, &[hidden, back]).await;
        let start = daybreak(directory.path(), &["replicate", "start"]);
        let started = Running::start(start).end().await;
        assert_eq!(started.code(), Some(0), "{}", started.text);
        bench.finishes(directory.path(), code).await;
        on(&source, &["SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"]).await;
        on(
            &source,
            &["REPLACE INTO shop.t VALUES (1, 1), (2, 2)", "DELETE FROM shop.t WHERE id = 10"],
        )
        .await;
    }
}
