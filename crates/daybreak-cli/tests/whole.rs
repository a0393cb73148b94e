//! Whole migrations by `daybreak rehearse` under a writer that never stops: with GTID, by file and
//! position, and with accepted downtime. Each proves by content that every acknowledged commit is on
//! the target. And afterwards: no password anywhere it shouldn't be.

mod support;

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use support::{Pair, daybreak, output, said, split};

async fn rehearse(arguments: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command
        .args(["rehearse", "--rows", "12000", "--rate", "150", "--dir"])
        .arg(directory.path())
        .args(arguments)
        .stdin(std::process::Stdio::null());
    let run = output(command).await;
    assert!(run.status.success(), "{}", said(&run));
    let report = std::fs::read_to_string(directory.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let rehearsal = &report["extra"]["rehearsal"];
    assert_eq!(rehearsal["all_on_target"], true, "{rehearsal}");
    assert_eq!(rehearsal["source_closed"], true, "{rehearsal}");
    assert!(rehearsal["acknowledged_commits"].as_u64().unwrap() > 500, "{rehearsal}");
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("order_lines"), "the report names no table");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_with_gtid() {
    rehearse(&["--position", "gtid"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_by_file_and_position() {
    rehearse(&["--position", "file"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_accepted_downtime() {
    rehearse(&["--downtime"]).await;
}

/// Every place under a directory where a text stands, with whether others may read it.
fn places(directory: &Path, text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(places(&path, text));
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        if content.windows(text.len()).any(|window| window == text.as_bytes()) {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            found.push((path.display().to_string(), mode & 0o077 != 0));
        }
    }
    found
}

/// Whether a text stands in the arguments of any process.
fn in_process_list(text: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_where_it_should_not_be() {
    let pair = Pair::start(true, 500).await;
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (pair.source.root_url(), pair.target.admin_url());
    let passwords = [split(&source).1, split(&target).1];

    // The worst way: passwords in URLs on the command line, and the most talkative log.
    let mut command =
        daybreak(directory.path(), &["run", "--until", "replicate", "--log-level", "trace"]);
    command.arg(format!("--source={source}")).arg("--target").arg(&target);
    command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id();
    let running = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    // The program blanks its arguments before it connects: once its journal is there, it has.
    let mut looked = 0;
    while !running.is_finished() {
        if directory.path().join("journal.db").exists()
            && Path::new(&format!("/proc/{id}")).exists()
        {
            looked += 1;
            for password in &passwords {
                assert!(!in_process_list(password), "a password is in the process list");
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(looked > 0);
    let run = running.await.unwrap();
    assert!(run.status.success(), "{}", said(&run));
    assert!(said(&run).contains("blanked in the process list"), "{}", said(&run));

    let mut resume = daybreak(directory.path(), &["resume", "--yes", "--log-level", "trace"]);
    resume
        .env("DAYBREAK_SOURCE_PASSWORD", &passwords[0])
        .env("DAYBREAK_TARGET_PASSWORD", &passwords[1]);
    let secret = std::fs::read_to_string(directory.path().join("replication.secret")).unwrap();
    let resume = output(resume).await;
    assert!(resume.status.success(), "{}", said(&resume));

    let mut all: Vec<String> = passwords.to_vec();
    all.push(secret.trim().to_string());
    for password in &all {
        assert!(password.len() >= 8, "the test looks for nothing");
        assert!(!said(&run).contains(password) && !said(&resume).contains(password));
        let found = places(directory.path(), password);
        // The replication account's own file is the one place for its password.
        let wrong: Vec<_> = found
            .iter()
            .filter(|(path, public)| *public || !path.ends_with("replication.secret"))
            .collect();
        assert!(wrong.is_empty(), "a password stands in {wrong:?}");
    }
    for file in ["report.json", "report.html", "daybreak.log", "journal.db"] {
        assert!(directory.path().join(file).exists(), "{file} isn't there to be looked at");
    }
}
