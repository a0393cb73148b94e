//! Ctrl-C and SIGTERM in every phase, and a second daybreak on the same directory.

mod support;

use mysql_async::prelude::Queryable as _;
use support::{
    daybreak,
    faults::{Bench, Running},
};

const STEPS: [&str; 10] = [
    "preflight",
    "prepare_source",
    "schema",
    "rows",
    "indexes",
    "objects",
    "replicate",
    "verify",
    "cutover",
    "clean_up",
];

/// A signal at the beginning of a step: it ends soundly, says so, and goes on when asked.
async fn signalled(bench: &Bench, step: &str, signal: i32) {
    bench.reset().await;
    let directory = bench.directory("");
    let run = Running::events(directory.path(), &["run", "--yes"]);
    run.begins(step).await;
    run.signal(signal);
    let ended = run.end().await;
    bench.keeps_secrets(directory.path(), &ended);
    // A step that is quick, or mustn't be left half done, ends first.
    if ended.code() != Some(0) {
        ended.told(130, &["interrupted", "daybreak resume"]);
        let opened = ended.text.contains("\"on_target\":true");
        let mut source = bench.pair.source_root().await;
        let closed: u8 =
            source.query_first("SELECT @@GLOBAL.super_read_only").await.unwrap().unwrap();
        // Writes are possible on exactly one side.
        assert_eq!(closed == 1, opened, "{step}: {}", ended.text);
    }
    bench.finishes(directory.path(), step).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_in_the_long_phases() {
    let bench = Bench::start().await;
    for (step, signal) in [("rows", libc::SIGTERM), ("verify", libc::SIGINT)] {
        signalled(&bench, step, signal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn interrupted_in_every_phase() {
    let bench = Bench::start().await;
    for step in STEPS {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            signalled(&bench, step, signal).await;
        }
    }
}

/// Where writes are stopped, or moving, a signal is no reason to leave things half done.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_the_critical_seconds_waits_for_a_sound_state() {
    let bench = Bench::start().await;
    for event in ["writes_stopped", "writes_resumed"] {
        bench.reset().await;
        let directory = bench.directory("");
        let run = Running::events(directory.path(), &["run", "--yes"]);
        run.says(&[event, "cutover"]).await;
        for _ in 0..3 {
            run.signal(libc::SIGTERM);
        }
        let ended = run.end().await;
        bench.keeps_secrets(directory.path(), &ended);
        let mut source = bench.pair.source_root().await;
        let closed: u8 =
            source.query_first("SELECT @@GLOBAL.super_read_only").await.unwrap().unwrap();
        let moved = ended.text.contains("\"on_target\":true");
        assert_eq!(closed == 1, moved, "{event}: {}", ended.text);
        if ended.code() != Some(0) {
            ended.told(130, &["interrupted", "daybreak resume"]);
        }
        bench.finishes(directory.path(), event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daybreak_is_refused_and_named_the_first() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory("[copy]\nthreads = 1\nload_threads = 1\n");
    bench.source_link.throttle(1_000_000);
    let run = Running::events(directory.path(), &["run", "--yes"]);
    run.begins("rows").await;
    for verb in [
        &["run", "--yes"][..],
        &["resume"],
        &["undo"],
        &["abort"],
        &["cutover"],
        &["plan"],
        &["replicate", "stop"],
    ] {
        let second = Running::start(daybreak(directory.path(), verb)).end().await;
        let pid = format!("process {}", run.pid);
        second.told(1, &["another daybreak", &pid, "daybreak pause"]);
    }
    // Looking is allowed.
    let status = Running::start(daybreak(directory.path(), &["status"])).end().await;
    assert_eq!(status.code(), Some(0), "{}", status.text);
    assert!(!run.is_finished(), "{}", run.text());
    bench.source_link.pass().await;
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.pair.assert_equal("undisturbed");
}
