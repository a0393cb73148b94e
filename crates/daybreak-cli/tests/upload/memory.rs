//! How much memory a backup takes on its way, whatever its size: the kernel's own figure.

use std::{
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
};

use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use rehearsal::watch::{peak_kib, until_within};

use super::stage::{PATIENCE, PLACE, Stage, said, seed};

/// Far more than may be held.
const MIB: u64 = 400;
/// In KiB, as the kernel tells it.
const BOUND: u64 = 256 << 10;

/// Follows a process to its end: the figure only ever grows, so the last one that is seen is the most.
async fn most_of(process: u32) -> u64 {
    let mut most = 0;
    until_within(PATIENCE, "its end", async || match peak_kib(process) {
        Some(now) => {
            most = now;
            false
        }
        None => true,
    })
    .await;
    println!("{} MiB at most", most >> 10);
    assert!(most > 1024, "nothing was seen of it");
    most
}

/// A file of so many MiB that can't be packed, and takes no memory to write.
fn dense(stage: &Stage, name: &str, mib: u64) {
    let mut block = vec![0; 1 << 20];
    StdRng::seed_from_u64(seed()).fill_bytes(&mut block);
    let mut file = File::create(stage.backup.join(name)).unwrap();
    for _ in 0..mib {
        file.write_all(&block).unwrap();
    }
}

/// A file of so many MiB that takes no room.
fn sparse(stage: &Stage, name: &str, mib: u64) {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(stage.backup.join(name))
        .unwrap()
        .set_len(mib << 20)
        .unwrap();
}

async fn upload(stage: &Stage, more: &[&str]) {
    let mut arguments = vec![stage.backup.to_str().unwrap(), PLACE, "--uploads", "64"];
    arguments.extend(more);
    let child = stage.start(&arguments);
    let process = child.id().unwrap();
    let (output, most) = tokio::join!(stage.end(child), most_of(process));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(most < BOUND, "{most} KiB");
}

async fn inspect(path: &std::path::Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.args(["backup", "inspect", "--for", "any"]).arg(path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let (output, most) = tokio::join!(ended, most_of(process));
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(most < BOUND, "{most} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tree() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    sparse(&stage, "ib_logfile1", MIB);
    upload(&stage, &[]).await;
    assert_eq!(stage.objects().join("ib_logfile1").metadata().unwrap().len(), MIB << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tar_that_is_packed_and_looked_at() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    // Half of it is looked at page by page, half only passes.
    sparse(&stage, "shop/t0.ibd", MIB / 2);
    dense(&stage, "ib_logfile1", MIB / 2);
    upload(&stage, &["--as", "tar.gz"]).await;
    inspect(&stage.objects().join("backup.tar.gz00000")).await;
    inspect(&stage.backup).await;
}
