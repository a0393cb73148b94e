//! Whole rehearsals of the physical route: a backup of a live MariaDB goes to S3 on loopback, a cluster is
//! restored from it by way of the RDS API, follows from the backup's coordinates, is compared, and takes
//! the writes. Each proves by content that every acknowledged commit is on the target.

mod support;

use std::path::Path;

use support::{daybreak, output, said};

/// Rehearses, and returns the report.
async fn rehearse(options: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("rehearsal");
    let mut arguments =
        vec!["rehearse", "--route", "physical", "--rows", "3000", "--rate", "50", "--seed", "7"];
    arguments.extend(options);
    let ended = output(daybreak(&dir, &arguments)).await;
    let text = said(&ended);
    assert!(ended.status.success(), "{text}");
    assert!(text.contains("all as acknowledged") && text.contains("closed for writes"), "{text}");
    assert!(text.contains("event and backup agree"), "{text}");
    for secret in secrets(&dir) {
        assert!(!text.contains(&secret), "a secret in the output: {text}");
        for file in ["journal.db", "daybreak.log", "report.json", "report.html", "daybreak.toml"] {
            let content = std::fs::read(dir.join(file)).unwrap();
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret in {file}");
        }
    }
    serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap()
}

/// The passwords and keys that lie beside a rehearsal.
fn secrets(dir: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let credentials = read("aws.credentials");
    let key = credentials.lines().find_map(|line| line.strip_prefix("aws_secret_access_key = "));
    let secrets: Vec<String> = ["source.password", "target.password", "replication.secret"]
        .iter()
        .map(|name| read(name).trim().to_string())
        .chain([key.unwrap().to_string()])
        .collect();
    assert!(secrets.iter().all(|secret| secret.len() > 8), "no secrets to look for");
    secrets
}

fn proven(report: &serde_json::Value) {
    assert_eq!(report["verdict"]["outcome"], "completed", "{}", report["verdict"]);
    assert_eq!(report["extra"]["rehearsal"]["all_on_target"], true);
    assert_eq!(report["extra"]["rehearsal"]["source_closed"], true);
    assert!(
        report["extra"]["rehearsal"]["acknowledged_commits"].as_u64().unwrap() > 500,
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_and_two_incremental_backups_by_way_of_a_staging_directory() {
    let staging = tempfile::tempdir().unwrap();
    let place = staging.path().to_str().unwrap();
    proven(&rehearse(&["--incrementals", "2", "--staging", place]).await);
    let entry = std::fs::read_dir(staging.path()).unwrap().next().unwrap().unwrap();
    for link in ["full", "inc1", "inc2"] {
        assert!(entry.path().join(link).join("xtrabackup_checkpoints").exists(), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_as_one_compressed_tar() {
    proven(&rehearse(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_nothing_on_disk() {
    proven(&rehearse(&["--stream"]).await);
}
