//! A disk that is really full: under the target's data, and under the migration's own directory.

mod support;

use std::{io::Write as _, path::Path, process::Command};

use rehearsal::server::Role;
use support::{
    configure,
    faults::{Bench, Running},
};

/// A small file system in memory, as long as it is used.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// None where this account may not mount, which is said.
    fn of(mib: u32) -> Option<Disk> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "daybreak-test"])
            .arg(directory.path())
            .output()
            .unwrap();
        if !mounted.status.success() {
            eprintln!(
                "NOT TESTED: a full disk needs a small file system, and mounting one needs root: {}",
                String::from_utf8_lossy(&mounted.stderr)
            );
            return None;
        }
        Some(Disk { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves so many KiB.
    fn fill(&self, leave_kib: u64) {
        let output = Command::new("df").args(["-k", "--output=avail"]).arg(self.path()).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let free: u64 = output.split_whitespace().last().unwrap().parse().unwrap();
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        let piece = vec![0; 1024];
        for _ in leave_kib..free {
            // The last pages may be taken by somebody else meanwhile.
            if file.write_all(&piece).is_err() {
                break;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server on it may be dying still.
        _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_target_is_told_and_the_copy_goes_on_when_there_is_room() {
    let Some(disk) = Disk::of(600) else { return };
    let bench = Bench::start_with(|role, options| match role {
        Role::AuroraStandin => options.dir(disk.path().join("server")),
        _ => options,
    })
    .await;
    bench.big_tables().await;
    let directory = bench.directory("[copy]\nthreads = 1\n");
    let ended = Running::events(directory.path(), &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    disk.fill(700);
    let ended = Running::events(directory.path(), &["resume"]).end().await;
    ended.told(1, &["is full", "target ", "shop.", "free space", "daybreak resume"]);
    bench.keeps_secrets(directory.path(), &ended);
    disk.make_room();
    bench.finishes(directory.path(), "after room was made").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_journal_loses_nothing() {
    let Some(disk) = Disk::of(4) else { return };
    let bench = Bench::start().await;
    bench.big_tables().await;
    let (source, target) = bench.urls();
    for (step, leave_kib) in [("schema", 0), ("rows", 8), ("replicate", 0)] {
        bench.reset().await;
        let directory = disk.path().join(step);
        std::fs::create_dir(&directory).unwrap();
        configure(&directory, &source, &target, "[copy]\nthreads = 1\n");
        let ended = Running::events(&directory, &["run", "--until", step]).end().await;
        assert_eq!(ended.code(), Some(0), "{step}: {}", ended.text);
        disk.fill(leave_kib);
        let ended = Running::events(&directory, &["resume", "--yes"]).end().await;
        ended.told(1, &[&directory.display().to_string(), "free space"]);
        assert!(ended.text.contains("journal"), "{step}: {}", ended.text);
        bench.keeps_secrets(&directory, &ended);
        disk.make_room();
        bench.finishes(&directory, step).await;
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_a_run_loses_nothing() {
    let Some(disk) = Disk::of(4) else { return };
    let bench = Bench::start().await;
    bench.big_tables().await;
    let (source, target) = bench.urls();
    for step in ["rows", "indexes", "cutover"] {
        bench.reset().await;
        let directory = disk.path().join(step);
        std::fs::create_dir(&directory).unwrap();
        configure(&directory, &source, &target, "[copy]\nthreads = 1\n");
        bench.source_link.throttle(2_000_000);
        let run = Running::events(&directory, &["run", "--yes"]);
        run.begins(step).await;
        disk.fill(0);
        let ended = run.end().await;
        // Later entries may still find place in what the journal has already.
        if ended.code() != Some(0) {
            ended.told(1, &[&directory.display().to_string(), "free space"]);
        }
        bench.keeps_secrets(&directory, &ended);
        disk.make_room();
        bench.finishes(&directory, step).await;
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
