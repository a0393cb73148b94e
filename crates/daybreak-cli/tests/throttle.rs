//! How fast the copy goes is told to it while it goes.

mod support;

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use support::{
    connect, daybreak,
    faults::{Bench, Ended, Running, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_waits_for_a_busy_source_is_held_and_let_go_while_it_runs() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory("[copy]\nthreads = 1\nmax_source_load = 6\n");
    let throttle = async |more: &[&str]| -> Ended {
        let arguments = [&["throttle"], more].concat();
        Running::start(daybreak(directory.path(), &arguments)).end().await
    };
    throttle(&[]).await.told(1, &["there is no migration here"]);
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);

    // What isn't understood changes nothing.
    throttle(&["--max-threads", "0"]).await.told(2, &["--max-threads", "off"]);
    throttle(&["--max-commit-latency", "fast"]).await.told(2, &["--max-commit-latency", "500ms"]);
    throttle(&["--max-replica-lag", "5s"]).await.told(2, &["no replica", "replicas ="]);
    let shown = throttle(&[]).await;
    assert_eq!(shown.code(), Some(0), "{}", shown.text);
    assert!(shown.text.contains("at most 6 threads run at the source, as daybreak.toml says"));

    let root = bench.pair.source.root_url();
    let mut busy = Vec::new();
    for _ in 0..8 {
        let mut conn = connect(&root).await;
        busy.push(tokio::spawn(async move { conn.query_drop("SELECT SLEEP(600)").await }));
    }
    let mut source = connect(&root).await;
    let sleeping = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
    until(&mut source, sleeping, |count| count == 8).await;
    let mut target = connect(&bench.pair.target.root_url()).await;
    let rows = "SELECT COUNT(*) FROM shop.big";

    let run = Running::events(directory.path(), &["resume", "--yes"]);
    run.says(&["the copy waits", "threads run at the source, more than 6"]).await;
    // Heeded while it runs: the load counts no more, and yet nothing is copied.
    let held = throttle(&["--max-source-load", "off", "--max-threads", "1", "--pause"]).await;
    assert_eq!(held.code(), Some(0), "{}", held.text);
    assert!(held.text.contains("the copy goes paused; workers: at most 1"), "{}", held.text);
    run.says(&["the copy goes paused"]).await;
    let copied: u64 = target.query_first(rows).await.unwrap().unwrap();
    assert_eq!(copied, 0, "it was held: {}", run.text());
    for conn in busy {
        conn.abort();
    }
    until(&mut source, sleeping, |count| count == 0).await;
    let said = throttle(&["--json"]).await;
    let said: serde_json::Value = serde_json::from_str(&said.text).unwrap();
    assert_eq!((&said["paused"], &said["max_source_load"]), (&true.into(), &().into()));

    assert_eq!(throttle(&["--go"]).await.code(), Some(0));
    run.says(&["the copy goes on: 1 of 2 workers"]).await;
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.keeps_secrets(directory.path(), &ended);
    bench.pair.assert_equal("throttled");
    let reset = throttle(&["--reset"]).await;
    assert!(
        reset.code() == Some(0) && reset.text.contains("as daybreak.toml says"),
        "{}",
        reset.text
    );
    assert!(!directory.path().join("throttle.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_commits_take_workers_away() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory =
        bench.directory("[copy]\nthreads = 2\nchunk_mib = 1\nmax_commit_latency = \"50ms\"\n");
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    // A copy that takes as long as it must for this.
    bench.source_link.throttle(200_000);
    let run = Running::events(directory.path(), &["resume", "--yes"]);
    run.says(&["3 of 3 workers copy"]).await;
    bench.target_link.delay(Duration::from_millis(40));
    run.says(&["2 of 3 workers copy", "the slowest commit took"]).await;
    bench.source_link.pass().await;
    bench.target_link.pass().await;
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.pair.assert_equal("slow commits");
}
