//! How much memory a backup takes on its way, whatever its size and the number of its files: the kernel's own
//! figure.

use std::{
    fs::{self, File},
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use rehearsal::watch::{peak_kib, until_within};

use super::stage::{PATIENCE, PLACE, Stage, said, seed};

/// Far more than may be held.
const MIB: u64 = 400;
/// In KiB, as the kernel tells it.
const BOUND: u64 = 256 << 10;

/// How long a million files may take.
const LONG: Duration = Duration::from_secs(2 * 3600);

/// Follows a process to its end: the figure only ever grows, so the last one that is seen is the most.
async fn most_of(process: u32, patience: Duration) -> u64 {
    let mut most = 0;
    until_within(patience, "its end", async || match peak_kib(process) {
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
    let most = uploaded(stage, more, PATIENCE).await;
    assert!(most < BOUND, "{most} KiB");
}

/// Uploads, and tells the most memory that it took.
async fn uploaded(stage: &Stage, more: &[&str], patience: Duration) -> u64 {
    let mut arguments = vec![stage.backup.to_str().unwrap(), PLACE, "--uploads", "64"];
    arguments.extend(more);
    let child = stage.start(&arguments);
    let process = child.id().unwrap();
    let (output, most) =
        tokio::join!(stage.end_within(child, patience), most_of(process, patience));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    most
}

async fn inspect(path: &std::path::Path) {
    let most = inspected(path, 0).await;
    assert!(most < BOUND, "{most} KiB");
}

/// Inspects, and tells the most memory that it took.
async fn inspected(path: &std::path::Path, code: i32) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.args(["backup", "inspect", "--for", "any"]).arg(path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let (output, most) = tokio::join!(ended, most_of(process, LONG));
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    most
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

/// So many more files, in pairs: a table's definition, and a tablespace of one page of 1 KiB; of tables in a
/// hundred databases. Half of the tablespaces are empty if the backup is to be damaged.
fn many(stage: &Stage, files: usize, damaged: bool) {
    let mut definition = [0; 64];
    definition[..4].copy_from_slice(&[0xfe, 0x01, 10, 12]);
    let mut page = tablespace_page();
    for database in 0..100 {
        let directory = stage.backup.join(format!("db{database:04}"));
        fs::create_dir(&directory).unwrap();
        for table in 0..files / 200 {
            let number = (database * files / 200 + table + 1) as u32;
            page[34..38].copy_from_slice(&number.to_be_bytes());
            page[38..42].copy_from_slice(&number.to_be_bytes());
            let empty = damaged && table % 2 == 0;
            let bytes = if empty { &[][..] } else { &page[..] };
            fs::write(directory.join(format!("t{table:06}.ibd")), bytes).unwrap();
            fs::write(directory.join(format!("t{table:06}.frm")), definition).unwrap();
        }
    }
}

/// The first and only page of a tablespace with pages of 1 KiB.
fn tablespace_page() -> [u8; 1024] {
    let mut page = [0; 1024];
    let no_checksum = 0xdead_beef_u32.to_be_bytes();
    page[..4].copy_from_slice(&no_checksum);
    page[1016..1020].copy_from_slice(&no_checksum);
    page[24..26].copy_from_slice(&8_u16.to_be_bytes());
    page[46..50].copy_from_slice(&1_u32.to_be_bytes());
    page[54..58].copy_from_slice(&(1_u32 << 6).to_be_bytes());
    page
}

/// Files may take no more than their share of what is left of the bound for a million.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_files() {
    const FILES: u64 = 50_000;
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let few = inspected(&stage.backup, 0).await;
    many(&stage, FILES as usize, false);
    let more = inspected(&stage.backup, 0).await - few;
    assert!(more < (BOUND - few) * FILES / 1_000_000, "{more} KiB");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn of_a_million_files() {
    // With those that any backup has no more than Aurora takes.
    const FILES: usize = 999_800;
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    many(&stage, FILES, false);
    inspect(&stage.backup).await;
    let most = uploaded(&stage, &[], LONG).await;
    assert!(most < BOUND, "{most} KiB");
    let sent = stage.cloud.received().len();
    assert!(sent > FILES, "{sent} objects");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn of_a_million_damaged_files() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    many(&stage, 999_800, true);
    let most = inspected(&stage.backup, 3).await;
    assert!(most < BOUND, "{most} KiB");
}
