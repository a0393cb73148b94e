//! What the physical route would stop at hours later, told before anything is made: preflight asks source,
//! bucket and RDS for all of it, shows and keeps what it finds, and a route that can't be isn't planned.

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::path::Path;

use cloud::{MASTER, Stage};
use rehearsal::server::{Product, Role, Server, ServerOptions};
use serde_json::Value;
use support::{configure, daybreak, output, private, said};

/// Puts one text for another in `daybreak.toml`.
fn edit(directory: &Path, from: &str, to: &str) {
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "no {from:?} in {text}");
    private(&file, &text.replacen(from, to, 1));
}

/// Runs, which ends in preflight with this code and these words: nothing was made anywhere.
async fn refused(stage: &Stage, directory: &Path, code: i32, words: &[&str]) {
    let before = stage.rds.known();
    let ended = output(daybreak(directory, &["run"])).await;
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(code), "{words:?}: {text}");
    for words in words {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(!text.contains(MASTER), "{text}");
    let empty = |at: &Path| std::fs::read_dir(at).map_or(0, Iterator::count) == 0;
    assert!(empty(&stage.place.path().join("staging")), "a backup directory: {text}");
    assert!(empty(&stage.cloud.bucket("backups")), "something is in S3: {text}");
    assert_eq!(stage.cloud.received(), []);
    assert_eq!(stage.rds.known().clusters.len(), before.clusters.len(), "{text}");
    assert_eq!(stage.rds.known().count("RestoreDBClusterFromS3"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_refuses_what_a_later_step_would() {
    let stage = Stage::start().await;
    let directory = stage.planned("incrementals = 1").await;
    let directory = directory.path();
    let good = std::fs::read_to_string(directory.join("daybreak.toml")).unwrap();
    let role = good.lines().find(|line| line.starts_with("ingestion_role")).unwrap();
    let place = "s3 = \"s3://backups/here\"";
    let group = good.lines().find(|line| line.starts_with("subnet_group")).unwrap();
    // `stream` is the plan's; what the configuration says of it doesn't count any more.
    let cases: [(&str, &str, i32, &[&str]); 9] = [
        (place, "", 2, &["no place in S3 is named", "[staging]"]),
        (place, "s3 = \"s3://no-such-bucket/here\"", 1, &["no-such-bucket"]),
        ("cluster = \"shop\"", "", 3, &["restore.cluster"]),
        (role, "", 3, &["restore.ingestion_role", "rds.amazonaws.com"]),
        (role, "ingestion_role = \"mine\"", 3, &["restore.ingestion_role", "ARN"]),
        (group, "subnet_group = \"one-zone\"", 3, &["restore.subnet_group", "two"]),
        (group, "subnet_group = \"none\"", 3, &["restore.subnet_group", "no DB subnet group none"]),
        (group, "engine_version = \"8.0.mysql_aurora.3.99.0\"", 3, &["restore.engine_version"]),
        ("aws.credentials", "missing.credentials", 1, &["credentials"]),
    ];
    for (from, to, code, words) in cases {
        edit(directory, from, to);
        refused(&stage, directory, code, words).await;
        private(&directory.join("daybreak.toml"), &good);
    }
    private(&directory.join("target.password"), "short");
    refused(&stage, directory, 3, &["restore.master_password"]).await;
    // All that is wrong at once: what can't be asked as well as what is answered.
    edit(directory, place, "");
    edit(directory, "incrementals = 1", "incrementals = 2\nbased_on = \"full\"");
    refused(&stage, directory, 3, &["no place in S3 is named", "backup.superseded"]).await;
    private(&directory.join("daybreak.toml"), &good);
    private(&directory.join("target.password"), MASTER);

    stage.cloud.faults(|faults| faults.elsewhere = Some("us-west-2".into()));
    refused(&stage, directory, 1, &["us-west-2"]).await;
    stage.cloud.faults(|faults| faults.elsewhere = None);
    stage.rds.somebody_elses_cluster("shop");
    refused(&stage, directory, 3, &["restore.cluster", "shop"]).await;

    let streamed = stage.planned("stream = true\nincrementals = 1").await;
    refused(&stage, streamed.path(), 3, &["upload.stream", "incrementals = 0"]).await;
}

/// How often something was said.
fn times(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_notes_are_shown_once_and_kept() {
    let stage = Stage::start().await;
    let directory = stage.planned("").await;
    let directory = directory.path();
    let text = std::fs::read_to_string(directory.join("daybreak.toml")).unwrap();
    let group = text.lines().find(|line| line.starts_with("subnet_group")).unwrap();
    edit(directory, group, "");
    let ended = output(daybreak(directory, &["run", "--until", "preflight"])).await;
    let text = said(&ended);
    assert!(ended.status.success(), "{text}");
    let (group, role) = ("no DB subnet group is named", "what the role may do isn't asked");
    assert_eq!((times(&text, group), times(&text, role)), (1, 1), "{text}");

    let shown = said(&output(daybreak(directory, &["status"])).await);
    assert!(shown.contains(group) && shown.contains("name one as subnet_group"), "{shown}");
    assert!(shown.contains(role), "{shown}");
    let json = output(daybreak(directory, &["status", "--json"])).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["phase"].is_string() && json["steps"].is_array(), "{json}");
    let ids: Vec<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"restore.subnet_group") && ids.contains(&"restore.ingestion_role"));
    let report = std::fs::read(directory.join("report.json")).unwrap();
    assert!(String::from_utf8_lossy(&report).contains(group));

    // Undone, nothing of it stands any more; begun again, it is told again.
    let undone = output(daybreak(directory, &["undo"])).await;
    assert!(undone.status.success(), "{}", said(&undone));
    assert!(!said(&output(daybreak(directory, &["status"])).await).contains(group));
    let again = said(&output(daybreak(directory, &["run", "--until", "preflight"])).await);
    assert_eq!(times(&again, group), 1, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_is_not_planned() {
    let place = tempfile::tempdir().unwrap();
    for (option, words) in [("--position=gtid", "--position gtid"), ("--downtime", "--downtime")] {
        let dir = place.path().join(option);
        let arguments = ["rehearse", "--route", "physical", option];
        let ended = output(daybreak(&dir, &arguments)).await;
        let text = said(&ended);
        assert_eq!(ended.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && text.contains("file and position"), "{text}");
        assert!(!dir.exists(), "servers were set up for nothing");
    }
    let wish = ServerOptions::new(Product::Mysql97, Role::Source).durable(false);
    let source = Server::start(wish.buffer_pool_mib(32).redo_log_mib(16)).await.unwrap();
    let directory = place.path().join("migration");
    std::fs::create_dir(&directory).unwrap();
    let target = format!("mysql://admin:{MASTER}@127.0.0.1:3306/");
    for (rules, words) in [("aurora", "backup.server_version"), ("any", "5.7 and 8.0")] {
        configure(
            &directory,
            &source.root_url(),
            &target,
            &format!("[backup]\nrules = \"{rules}\"\n"),
        );
        let ended = output(daybreak(&directory, &["plan", "--route", "physical"])).await;
        let text = said(&ended);
        assert!(!ended.status.success() && text.contains(words), "{rules}: {text}");
        assert!(text.contains("logical route"), "{rules}: {text}");
    }
    let ended = output(daybreak(&directory, &["assess", "--route", "physical"])).await;
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(3), "{text}");
    assert!(text.contains("route: physical"), "{text}");
    configure(&directory, &source.root_url(), &target, "[replication]\nposition = \"gtid\"\n");
    let ended = output(daybreak(&directory, &["plan", "--route", "physical"])).await;
    assert_eq!(ended.status.code(), Some(2), "{}", said(&ended));
    assert!(said(&ended).contains("replication.position"), "{}", said(&ended));
}
