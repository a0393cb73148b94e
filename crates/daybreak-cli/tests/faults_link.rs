//! The link to either server is cut, slow, or silent in the middle of the work. What can be tried
//! again is tried again; what arrives is what was sent, and nothing twice.

mod support;

use std::time::{Duration, Instant};

use rehearsal::proxy::{Direction, Proxy};
use support::{
    daybreak,
    faults::{Bench, Running},
    until,
};

/// Which link goes bad.
type Link = fn(&Bench) -> &Proxy;

/// One thread, so that the cut meets the copy and nothing else; a link slow enough to be met.
const SETTINGS: &str = "[copy]\nthreads = 1\nload_threads = 1\n";
const SLOW: u64 = 4_000_000;

const SIDES: [(&str, Link); 2] =
    [("source", |bench| &bench.source_link), ("target", |bench| &bench.target_link)];

/// Waits until more has passed than anything but rows comes to.
async fn rows_pass(link: &Proxy) {
    let carried = || link.carried(Direction::Up) + link.carried(Direction::Down);
    let before = carried();
    until("rows on their way", async || carried() >= before + 500_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_mid_chunk_is_made_again() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let cases: [(&str, Link, Direction); 2] = [
        ("the source's rows are cut", |bench| &bench.source_link, Direction::Down),
        ("the target's rows are cut", |bench| &bench.target_link, Direction::Up),
    ];
    for (why, link, direction) in cases {
        bench.reset().await;
        let directory = bench.directory(SETTINGS);
        let link = link(&bench);
        link.throttle(SLOW);
        let cuts = link.cuts();
        let run = Running::events(directory.path(), &["run", "--until", "verify"]);
        run.begins("rows").await;
        // Nothing but rows comes to so much.
        link.cut_after(direction, 1_000_000);
        until("the cut", async || link.cuts() > cuts || run.is_finished()).await;
        link.pass().await;
        let ended = run.end().await;
        assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
        assert_eq!(link.cuts(), cuts + 1, "{why}: nothing was cut");
        bench.keeps_secrets(directory.path(), &ended);
        bench.finishes(directory.path(), why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn a_link_that_stays_cut_is_named_and_the_rest_is_resumed() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for (side, link) in SIDES {
        bench.reset().await;
        let directory = bench.directory(SETTINGS);
        let link = link(&bench);
        link.throttle(SLOW);
        let run = Running::events(directory.path(), &["run"]);
        run.begins("rows").await;
        rows_pass(link).await;
        link.refuse().await;
        let ended = run.end().await;
        let place = format!("{side} ");
        ended.told(1, &["nothing listens there", &place, &link.port().to_string(), "trying again"]);
        bench.keeps_secrets(directory.path(), &ended);
        bench.finishes(directory.path(), side).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_and_narrow_link_only_takes_longer() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    let directory = bench.directory("");
    bench.source_link.delay(Duration::from_millis(1));
    bench.target_link.throttle(5_000_000);
    let ended = Running::events(directory.path(), &["run", "--yes"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.pair.assert_equal("over a slow link");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn a_link_that_falls_silent_is_found_out() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for (side, link) in SIDES {
        bench.reset().await;
        let directory = bench.directory(SETTINGS);
        let link = link(&bench);
        link.throttle(SLOW);
        let mut command = daybreak(directory.path(), &["run", "--json", "--log-level", "debug"]);
        command.env("DAYBREAK_SILENCE_MS", "300");
        let run = Running::start(command);
        run.begins("rows").await;
        rows_pass(link).await;
        let begun = Instant::now();
        link.blackhole();
        let ended = run.end().await;
        ended.told(1, &[&format!("{side} "), "no answer within"]);
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        bench.keeps_secrets(directory.path(), &ended);
        bench.finishes(directory.path(), side).await;
    }
}
