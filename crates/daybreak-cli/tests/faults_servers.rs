//! A server dies, or is started anew, while rows move.

mod support;

use rehearsal::proxy::{Direction, Proxy};
use support::{
    faults::{Bench, Running},
    until,
};

const SETTINGS: &str = "[copy]\nthreads = 1\nload_threads = 1\n";

/// A run that is in the middle of its rows.
async fn in_mid_copy(bench: &Bench, directory: &std::path::Path, link: &Proxy) -> Running {
    link.throttle(2_000_000);
    let run = Running::events(directory, &["run", "--yes"]);
    run.begins("rows").await;
    let carried = || link.carried(Direction::Up) + link.carried(Direction::Down);
    let before = carried();
    until("rows on their way", async || {
        assert!(!run.is_finished(), "it ended: {}", run.text());
        carried() >= before + 700_000
    })
    .await;
    assert!(bench.pair.source.pid() != 0);
    run
}

/// Started anew at once: the run may find the server back in time, or end with a word on what to do.
async fn restarted(source: bool) {
    let mut bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory(SETTINGS);
    let side = if source { "source" } else { "target" };
    let link = if source { &bench.source_link } else { &bench.target_link };
    let run = in_mid_copy(&bench, directory.path(), link).await;
    let server = if source { &mut bench.pair.source } else { &mut bench.pair.target };
    // As by a power cut.
    server.kill().await;
    server.restart().await.unwrap();
    link.pass().await;
    let ended = run.end().await;
    if ended.code() != Some(0) {
        ended.told(1, &[side, &link.port().to_string()]);
    }
    let again = ended.text.contains("trying again") || ended.text.contains("another snapshot");
    let log = std::fs::read_to_string(directory.path().join("daybreak.log")).unwrap();
    assert!(again || log.contains("tried again, 1 of 5 times"), "nothing failed: {log}");
    bench.keeps_secrets(directory.path(), &ended);
    if ended.code() == Some(0) {
        bench.pair.assert_equal(side);
    } else {
        bench.finishes(directory.path(), side).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_restarted_in_mid_copy() {
    restarted(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_restarted_in_mid_load() {
    restarted(false).await;
}
