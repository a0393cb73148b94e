//! SIGKILL at random moments: the same command goes on, and no part that was complete is sent again.

use std::{collections::HashSet, process::Stdio, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::io::AsyncWriteExt as _;

use super::stage::{PLACE, Stage, said, seed, xbstream};

/// Kills it until it gets through. Returns how often it was killed.
async fn kill_until_done(stage: &Stage, arguments: &[&str], random: &mut StdRng) -> u32 {
    let mut kills = 0;
    loop {
        let mut child = stage.start(arguments);
        // After some parts more, and a moment that hits anything between two.
        let more = stage.cloud.received().len() + random.random_range(0..4);
        stage.until_received(&mut child, more).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..120_000))).await;
        if child.try_wait().unwrap().is_none() && kills < 12 {
            kills += 1;
            child.start_kill().unwrap();
            child.wait().await.unwrap();
            stage.until_quiet().await;
            continue;
        }
        let output = stage.end(child).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        return kills;
    }
}

fn assert_nothing_twice(stage: &Stage) {
    let received = stage.cloud.received();
    let mut seen = HashSet::new();
    for part in &received {
        // An upload that was begun twice has another id, so it isn't looked at.
        assert!(seen.insert((part.key.clone(), part.number)), "sent twice: {part:?}");
    }
    assert_eq!(stage.cloud.uploads_under_way(), []);
}

/// Uploads a backup's directory, killed at random moments. Returns what the bucket is to be looked at with.
async fn killed(more: &[&str]) -> Stage {
    let stage = Stage::new().await;
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    stage.write_backup(60, seed);
    stage.cloud.faults(|faults| faults.delay = Some(Duration::from_millis(20)));
    let mut arguments = vec![stage.backup.to_str().unwrap(), PLACE, "--uploads", "2"];
    arguments.extend(more);
    let kills = kill_until_done(&stage, &arguments, &mut random).await;
    assert!(kills > 0, "it was never killed");
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree() {
    let stage = killed(&[]).await;
    stage.assert_tree_is_backup();
    assert_nothing_twice(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tar() {
    let stage = killed(&["--as", "tar.gz", "--split-mib", "20"]).await;
    stage.assert_tar_is_backup();
    assert_nothing_twice(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_anew() {
    let stage = Stage::new().await;
    stage.write_backup(22, seed());
    let bytes = xbstream(&stage.backup_files());
    let arguments = ["-", PLACE, "--stream-name", "backup.xbstream", "--split-mib", "10"];
    let begin = || stage.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut child = begin();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..12 << 20]).await.unwrap();
    stage.until_received(&mut child, 2).await;
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    stage.until_quiet().await;
    assert!(!stage.cloud.uploads_under_way().is_empty());
    assert!(stage.objects().read_dir().is_err(), "a half stream can be seen");
    // Interrupted, it takes its own away.
    let mut child = begin();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..12 << 20]).await.unwrap();
    stage.until_received(&mut child, 4).await;
    // SAFETY: sends a signal to a child of ours that wasn't waited for.
    unsafe { libc::kill(child.id().unwrap() as i32, libc::SIGINT) };
    let output = stage.end(child).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("can't be gone on with"), "{text}");
    assert!(text.contains("taken away from the bucket"), "{text}");
    assert_eq!(stage.cloud.uploads_under_way(), []);
    let mut child = begin();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes).await.unwrap();
    drop(input);
    let output = stage.end(child).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(stage.joined("backup.xbstream") == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_goes_on() {
    let stage = Stage::new().await;
    stage.write_backup(40, seed());
    stage.cloud.faults(|faults| faults.delay = Some(Duration::from_millis(50)));
    let backup = stage.backup.to_str().unwrap();
    let arguments = [backup, PLACE, "--uploads", "1"];
    let mut child = stage.start(&arguments);
    stage.until_received(&mut child, 2).await;
    // SAFETY: sends a signal to a child of ours that wasn't waited for.
    unsafe { libc::kill(child.id().unwrap() as i32, libc::SIGTERM) };
    let output = stage.end(child).await;
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("the same command goes on from here"), "{}", said(&output));
    stage.until_quiet().await;
    stage.done(&arguments).await;
    stage.assert_tree_is_backup();
    assert_nothing_twice(&stage);
}

/// Objects of a stream whose parts are all there wait for its end without a list of them: what the bucket
/// has is made an object only if it is what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_parts_are_gone_at_its_end_is_not_there() {
    let stage = Stage::new().await;
    stage.write_backup(22, seed());
    let bytes = xbstream(&stage.backup_files());
    let arguments = ["-", PLACE, "--stream-name", "backup.xbstream", "--split-mib", "10"];
    let mut child = stage.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // Two parts of the first object, and one of the second.
    input.write_all(&bytes[..16 << 20]).await.unwrap();
    stage.until_received(&mut child, 3).await;
    stage.until_quiet().await;
    assert_eq!(stage.cloud.expire_uploads("shop/full/backup.xbstream00000"), 1);
    input.write_all(&bytes[16 << 20..]).await.unwrap();
    drop(input);
    let output = stage.end(child).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("the bucket's parts aren't those that were sent"), "{text}");
    assert_eq!(stage.cloud.uploads_under_way(), []);
    assert!(stage.objects().read_dir().map_or(true, |mut left| left.next().is_none()));
}
