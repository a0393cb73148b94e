//! Connections of daybreak are killed on the servers, and what they are at work on is ended, in every phase: the
//! work is done again, or the run ends with a word on what to do; what arrives is what was sent.

mod support;

use std::{collections::HashSet, path::Path, time::Duration};

use mysql_async::{Conn, prelude::Queryable as _};
use support::{
    faults::{Bench, Ended, Running},
    long_copy::{self, Writer},
    until,
};

const SETTINGS: &str = "[copy]\nthreads = 2\n[replication]\nheartbeat_interval = \"20ms\"\n";
const PHASES: [&str; 5] = ["schema", "rows", "indexes", "replicate", "verify"];

/// What is ended: `KILL` the connection, `KILL QUERY` what it is at work on.
const HOW: [&str; 2] = ["KILL", "KILL QUERY"];

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
async fn in_phase(bench: &Bench, directory: &Path, phase: &str) -> Running {
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

async fn went_well(bench: &Bench, directory: &Path, ended: &Ended, why: &str) {
    if ended.code() != Some(0) {
        ended.told(1, &["127.0.0.1:"]);
    }
    bench.keeps_secrets(directory, ended);
    bench.finishes(directory, why).await;
}

/// Whether a connection is at work on something, and on what.
async fn at_work(root: &mut Conn, id: u64) -> Option<String> {
    root.exec_first(
        "SELECT COALESCE(INFO, STATE) FROM information_schema.PROCESSLIST \
         WHERE ID = ? AND COMMAND <> 'Sleep'",
        (id,),
    )
    .await
    .unwrap()
}

async fn root_of(bench: &Bench, source: bool) -> Conn {
    match source {
        true => bench.pair.source_root().await,
        false => bench.pair.target_root().await,
    }
}

fn side(source: bool) -> &'static str {
    if source { "source" } else { "target" }
}

/// Kills the n-th connection that a phase has on a server, or what it is at work on; false if it never has so
/// many.
async fn nth_killed(bench: &Bench, phase: &str, how: &str, source: bool, n: usize) -> bool {
    bench.reset().await;
    let directory = bench.directory(SETTINGS);
    let run = in_phase(bench, directory.path(), phase).await;
    let mut root = root_of(bench, source).await;
    let mut seen = Vec::new();
    let verified = format!("\"step\":\"{phase}\",\"millis\"");
    let mut killed = false;
    while !killed && !run.is_finished() && !run.text().contains(&verified) {
        for id in connections(&mut root).await {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        if let Some(id) = seen.get(n)
            && (how == "KILL" || at_work(&mut root, *id).await.is_some())
        {
            // It may have gone by itself meanwhile.
            killed = root.query_drop(format!("{how} {id}")).await.is_ok();
        }
    }
    bench.source_link.pass().await;
    bench.target_link.pass().await;
    let ended = run.end().await;
    let why = format!("{phase}, {how} of connection {n} at the {}", side(source));
    went_well(bench, directory.path(), &ended, &why).await;
    seen.len() > n
}

async fn all_killed_in(phases: &[&str], how: &str) {
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
                if root.query_drop(format!("{how} {id}")).await.is_ok() {
                    killed.insert(id);
                }
            }
        }
        assert!(!killed.is_empty(), "{phase}: nothing to kill: {}", run.text());
        bench.source_link.pass().await;
        bench.target_link.pass().await;
        let ended = run.end().await;
        went_well(&bench, directory.path(), &ended, &format!("{how}, {phase}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_killed_while_tables_are_made_and_copied() {
    all_killed_in(&PHASES[..2], HOW[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_killed_during_replication_and_verification() {
    all_killed_in(&PHASES[3..], HOW[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_asked_ended_in_each_phase() {
    all_killed_in(&PHASES, HOW[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn each_connection_killed_in_each_phase() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for phase in PHASES {
        for source in [true, false] {
            for (how, most) in [(HOW[0], 8), (HOW[1], 3)] {
                let mut n = 0;
                while n < most && nth_killed(&bench, phase, how, source, n).await {
                    n += 1;
                }
                assert!(n > 0, "{phase}: it has no connection");
            }
        }
    }
}

/// Statements that change definitions wait on the target for somebody; they are ended while they do, and made
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_are_ended_half_way_are_made_again() {
    let bench = Bench::start().await;
    bench.big_tables().await;
    for (step, statement) in [("schema", "CREATE"), ("indexes", "ALTER TABLE `shop`.`big`")] {
        for how in HOW {
            bench.reset().await;
            let directory = bench.directory(SETTINGS);
            let why = format!("{how}, {step}");
            let before = if step == "schema" { "prepare_source" } else { "rows" };
            let ended = Running::events(directory.path(), &["run", "--until", before]).end().await;
            assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
            let mut other = bench.pair.target_root().await;
            other.query_drop("LOCK INSTANCE FOR BACKUP").await.unwrap();
            let run = Running::events(directory.path(), &["resume", "--until", step]);
            let mut root = bench.pair.target_root().await;
            let mut waiting: Option<u64> = None;
            until(&why, async || {
                assert!(!run.is_finished(), "{why}: it ended: {}", run.text());
                let waits = "SELECT ID FROM information_schema.PROCESSLIST \
                             WHERE STATE LIKE 'Waiting for backup lock' AND INFO LIKE ? LIMIT 1";
                waiting = root.exec_first(waits, (format!("{statement}%"),)).await.unwrap();
                waiting.is_some()
            })
            .await;
            root.query_drop(format!("{how} {}", waiting.unwrap())).await.unwrap();
            run.says(&[step, "trying again (1 of 4)"]).await;
            other.query_drop("UNLOCK INSTANCE").await.unwrap();
            let ended = run.end().await;
            assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
            bench.finishes(directory.path(), &why).await;
        }
    }
}

/// One after another, each connection that a copy has on each server, and what each of them is at work on, while
/// the copy moves and the source changes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn each_connection_of_one_long_copy_killed_in_turn() {
    let bench = Bench::start().await;
    let mut source = bench.pair.source_root().await;
    long_copy::tables(&mut source).await;
    // Whoever asks for the load has a connection of its own.
    let settings = long_copy::SETTINGS.replace("[copy]\n", "[copy]\nmax_source_load = 1000\n");
    let directory = bench.directory(&settings);
    let directory = directory.path();
    let ended = Running::events(directory, &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let seed = long_copy::wish("SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("SEED={seed}");
    let writer = Writer::start(bench.pair.source.root_url(), seed);
    bench.source_link.throttle(6_000_000);

    let mut target = bench.pair.target_root().await;
    let mut all = Vec::new();
    let (mut paused, mut run) = (0, None);
    for how in HOW {
        // At the source two who read rows, one who cuts tables, one outside of the snapshot, who keeps DDL out,
        // and who looks at the load; at the target two who load, and one who looks at tables.
        for (source, count, rows) in [(true, 6, "FORCE INDEX"), (false, 3, "LOAD DATA")] {
            let mut root = root_of(&bench, source).await;
            // Each of them, and at least one in the midst of rows.
            let (mut n, mut midst) = (0, false);
            while n < count || !midst {
                let why = format!("SEED={seed}: {how} of connection {n} at the {}", side(source));
                let going = going(&bench, directory, run.take(), &mut paused).await;
                moves(&mut target, &going, &why).await;
                let there = connections(&mut root).await;
                if let Some(id) = there.get(n % count) {
                    // Those that only hold something are never at work.
                    let doing = is_seen_at_work(&mut root, *id, &mut target, &going).await;
                    if root.query_drop(format!("{how} {id}")).await.is_ok() {
                        let doing = doing.unwrap_or_default();
                        midst |= doing.contains(rows);
                        all.push(format!("{why}: {doing:.60}"));
                        n += 1;
                    }
                    long_copy::rows_and_ledger_agree(&mut target, &why).await;
                }
                run = Some(going);
            }
        }
    }
    bench.source_link.pass().await;
    let why = format!("SEED={seed}: after {} were killed", all.len());
    println!("{}\npaused {paused} times", all.join("\n"));
    if let Some(run) = run {
        let ended = run.end().await;
        if ended.code() != Some(0) {
            ended.told(1, &["127.0.0.1:"]);
        }
    }
    let ended = Running::events(directory, &["resume", "--until", "rows"]).end().await;
    assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
    long_copy::ledger_is_of_one_snapshot(&mut target, &why).await;
    long_copy::ends_equal(&bench, directory, writer, &why).await;
}

/// The copy, begun again if it paused (with a word on why) or was done.
async fn going(bench: &Bench, directory: &Path, run: Option<Running>, paused: &mut u32) -> Running {
    if let Some(run) = run {
        if !run.is_finished() {
            return run;
        }
        let ended = run.end().await;
        bench.keeps_secrets(directory, &ended);
        if ended.code() == Some(0) {
            let undone = Running::events(directory, &["undo", "--to", "schema"]).end().await;
            assert_eq!(undone.code(), Some(0), "{}", undone.text);
        } else {
            ended.told(1, &["127.0.0.1:"]);
            *paused += 1;
        }
    }
    Running::events(directory, &["resume", "--until", "rows"])
}

/// How many lines the ledger has got so far.
async fn lines(target: &mut Conn) -> String {
    let asked = target.query_first(
        "SELECT CAST(MAX(loaded_at) AS CHAR) FROM daybreak.chunks WHERE table_name <> ''",
    );
    // None where it was taken back.
    asked.await.ok().flatten().flatten().unwrap_or_default()
}

/// Waits until the copy has put another chunk there, or is over.
async fn moves(target: &mut Conn, run: &Running, why: &str) {
    let before = lines(target).await;
    until(why, async || run.is_finished() || lines(target).await != before).await;
}

/// Waits until a connection is at work, as long as the copy doesn't put several chunks there.
async fn is_seen_at_work(
    root: &mut Conn,
    id: u64,
    target: &mut Conn,
    run: &Running,
) -> Option<String> {
    let (mut doing, mut moved, mut last) = (None, 0, lines(target).await);
    until("a connection at work", async || {
        doing = at_work(root, id).await;
        let now = lines(target).await;
        moved += u32::from(now != last);
        last = now;
        doing.is_some() || moved > 3 || run.is_finished()
    })
    .await;
    doing
}
