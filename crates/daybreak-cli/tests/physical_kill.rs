//! `kill -9`, again and again, of one migration by the physical route: at entries of its journal and at
//! moments in between, while the backup is taken, uploaded, restored, followed and cut over; then
//! `resume`, which is killed too. What ends is whole: both sides equal, no acknowledged row lost.
//!
//! `SEED` repeats a run; the seed is printed.

#[path = "support/across.rs"]
mod across;
#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::{path::Path, time::Duration};

use across::assert_same_at;
use cloud::{MASTER, OWNER, Stage};
use daybreak::engine::Journal;
use mysql_async::prelude::Queryable as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use support::{connect, daybreak, kill_log::KillLog, output, said, split, was_killed};

/// Runs a verb that is killed: some entries of the journal later, or after a while. Returns whether it was.
async fn killed(directory: &Path, verb: &[&str], random: &mut StdRng) -> bool {
    let mut command = daybreak(directory, verb);
    let (ended, at) = if random.random_bool(0.6) {
        let written = Journal::open(directory).unwrap().entries().unwrap().len() as u64;
        let entry = written + random.random_range(1..=7);
        let at = format!("{entry}:{}", ["synced", "effect"][random.random_range(0..2)]);
        command.env("DAYBREAK_KILL_AT", &at);
        (output(command).await, at)
    } else {
        let after = Duration::from_millis(random.random_range(100..3000));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut program = command.spawn().unwrap();
        tokio::time::sleep(after).await;
        // It may have ended by then.
        let _ = program.kill();
        let ended = tokio::task::spawn_blocking(move || program.wait_with_output().unwrap());
        (ended.await.unwrap(), format!("{} ms", after.as_millis()))
    };
    if was_killed(&ended) {
        let journal = Journal::open(directory).unwrap();
        let last = journal.entries().unwrap().len();
        eprintln!("killed at {at}; {last} entries");
        return true;
    }
    assert!(ended.status.success(), "{at}: {}", said(&ended));
    false
}

async fn killed_all_along(backup: &str, kills: usize) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let stage = Stage::start().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    stage.configure(directory, backup);
    let owner = format!("mysql://owner:{OWNER}@127.0.0.1:{}/", stage.source.port());
    let writer = KillLog::start(owner);

    let planned = output(daybreak(directory, &["plan", "--route", "physical"])).await;
    assert!(planned.status.success(), "{}", said(&planned));
    let mut struck = 0;
    while struck < kills && killed(directory, &["resume", "--yes"], &mut random).await {
        struck += 1;
    }
    if struck == kills {
        let ended = output(daybreak(directory, &["resume", "--yes"])).await;
        assert!(ended.status.success(), "SEED={seed}: {}", said(&ended));
    }
    eprintln!("{struck} kills");
    assert!(struck >= kills.min(5), "SEED={seed}: only {struck} kills");

    let restored = stage.rds.root_url("shop").await.expect("no cluster was restored");
    let mut target = connect(&restored).await;
    let acknowledged = writer.arrived(&mut target, &format!("SEED={seed}")).await;
    assert!(acknowledged > 100, "SEED={seed}: hardly anything was written");
    assert_same_at(&stage.source.root_url(), &restored, "shop", true).await;
    let mut root = connect(&stage.source.root_url()).await;
    let closed: bool = root.query_first("SELECT @@GLOBAL.read_only").await.unwrap().unwrap();
    assert!(closed, "SEED={seed}: the source is open");
    let clusters = stage.rds.known().clusters.len();
    assert_eq!(clusters, 1, "SEED={seed}: clusters were restored more than once");
    assert_eq!(stage.cloud.uploads_under_way(), [], "SEED={seed}: unfinished uploads are left");
    let secrets =
        [split(&stage.source.root_url()).1, MASTER.into(), stage.cloud.secret_key.clone()];
    assert!(std::fs::read_dir(stage.cloud.bucket("backups")).unwrap().next().is_some());
    for place in [stage.cloud.bucket("backups"), stage.place.path().join("staging")] {
        without(&secrets, &place);
    }
}

/// No file below a directory holds one of these texts, as far as it isn't compressed.
fn without(secrets: &[String], directory: &Path) {
    let mut grep = std::process::Command::new("grep");
    grep.args(["--recursive", "--text", "--files-with-matches", "--fixed-strings"]);
    for secret in secrets {
        assert!(secret.len() > 8, "no secret to look for");
        grep.arg("--regexp").arg(secret);
    }
    let found = grep.arg(directory).output().unwrap();
    let said = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "a secret lies in {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_in_a_directory() {
    killed_all_along("incrementals = 1", 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream() {
    killed_all_along("stream = true", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn each_way_many_times() {
    for backup in ["", "incrementals = 2", "stream = true"].repeat(4) {
        eprintln!("[backup] {backup}");
        killed_all_along(backup, 40).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn a_stream_many_times() {
    for _ in 0..4 {
        killed_all_along("stream = true", 40).await;
    }
}
