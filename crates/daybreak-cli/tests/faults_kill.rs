//! Connections of daybreak are killed on the servers, in every phase: the work is done again, or the
//! run ends with a word on what to do; what arrives is what was sent.

mod support;

use std::{collections::HashSet, time::Duration};

use mysql_async::{Conn, prelude::Queryable as _};
use support::faults::{Bench, Ended, Running};

const SETTINGS: &str = "[copy]\nthreads = 2\n[replication]\nheartbeat_interval = \"20ms\"\n";
const PHASES: [&str; 3] = ["rows", "replicate", "verify"];

/// daybreak's connections on a server.
async fn connections(root: &mut Conn) -> Vec<u64> {
    root.query(
        "SELECT PROCESSLIST_ID FROM performance_schema.session_connect_attrs \
         WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = 'daybreak' ORDER BY 1",
    )
    .await
    .unwrap()
}

/// A run that is slow from the beginning of a phase on.
async fn in_phase(bench: &Bench, directory: &std::path::Path, phase: &str) -> Running {
    if phase == "rows" {
        bench.source_link.throttle(4_000_000);
    }
    let run = Running::events(directory, &["run", "--until", "verify"]);
    run.begins(phase).await;
    if phase != "rows" {
        bench.source_link.delay(Duration::from_millis(10));
        bench.target_link.delay(Duration::from_millis(10));
    }
    run
}

async fn went_well(bench: &Bench, directory: &std::path::Path, ended: &Ended, why: &str) {
    if ended.code() != Some(0) {
        ended.told(1, &["127.0.0.1:"]);
    }
    bench.keeps_secrets(directory, ended);
    bench.finishes(directory, why).await;
}

/// Kills the n-th connection that a phase has on a server; false if it never has so many.
async fn nth_killed(bench: &Bench, phase: &str, source: bool, n: usize) -> bool {
    bench.reset().await;
    let directory = bench.directory(SETTINGS);
    let run = in_phase(bench, directory.path(), phase).await;
    let pair = &bench.pair;
    let mut root = if source { pair.source_root().await } else { pair.target_root().await };
    let mut seen = Vec::new();
    let verified = format!("\"step\":\"{phase}\",\"millis\"");
    let mut killed = false;
    while !killed && !run.is_finished() && !run.text().contains(&verified) {
        for id in connections(&mut root).await {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        if let Some(id) = seen.get(n) {
            // It may have gone by itself meanwhile.
            _ = root.query_drop(format!("KILL {id}")).await;
            killed = true;
        }
    }
    bench.source_link.pass().await;
    bench.target_link.pass().await;
    let ended = run.end().await;
    let side = if source { "source" } else { "target" };
    let why = format!("{phase}, connection {n} at the {side}");
    went_well(bench, directory.path(), &ended, &why).await;
    killed
}

async fn all_killed_in(phases: &[&str]) {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for &phase in phases {
        bench.reset().await;
        let directory = bench.directory(SETTINGS);
        let run = in_phase(&bench, directory.path(), phase).await;
        let mut killed = HashSet::new();
        for mut root in [bench.pair.source_root().await, bench.pair.target_root().await] {
            for id in connections(&mut root).await {
                // It may have gone by itself meanwhile.
                if root.query_drop(format!("KILL {id}")).await.is_ok() {
                    killed.insert(id);
                }
            }
        }
        assert!(!killed.is_empty(), "{phase}: nothing to kill: {}", run.text());
        bench.source_link.pass().await;
        bench.target_link.pass().await;
        let ended = run.end().await;
        went_well(&bench, directory.path(), &ended, phase).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_killed_during_the_copy() {
    all_killed_in(&PHASES[..1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_killed_during_replication_and_verification() {
    all_killed_in(&PHASES[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn each_connection_killed_in_each_phase() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for phase in PHASES {
        for source in [true, false] {
            let mut n = 0;
            while n < 8 && nth_killed(&bench, phase, source, n).await {
                n += 1;
            }
            assert!(n > 0, "{phase}: it has no connection");
        }
    }
}
