//! `daybreak restore`, the program itself: killed in the middle and run again, and where its secrets go.

mod support;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rehearsal::{
    backups::sums,
    cloud::{
        Cloud,
        cluster::Profile,
        rds::{Options, ROLE, Rds, SUBNET_GROUP},
    },
};
use support::{output, said, until};

const ACCESS: &str = "AKIAREHEARSAL0000001";
const SECRET: &str = "Geheim/of+the+rehearsal/0123456789abcdefg";
const PASSWORD: &str = "Master-word-1";

/// What the program is told by its environment.
fn login(command: &mut Command, access: &str, secret: &str) {
    command
        .env("AWS_ACCESS_KEY_ID", access)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("DAYBREAK_TARGET_PASSWORD", PASSWORD)
        .env_remove("AWS_PROFILE");
}

async fn endpoint(dir: &Path) -> Rds {
    let prefix = dir.join("buckets/backups/shop");
    std::fs::create_dir_all(&prefix).unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../rehearsal/data/xtrabackup/prepared_chain.tar.gz");
    std::fs::copy(sample, prefix.join("backup.tar.gz00000")).unwrap();
    Rds::start(Options {
        root: dir.join("buckets"),
        dir: dir.join("rds"),
        region: "eu-central-1".into(),
        access_key: ACCESS.into(),
        secret_key: SECRET.into(),
        profile: Profile::Rehearsal,
        programs: None,
        state: Duration::from_millis(30),
    })
    .await
    .unwrap()
}

fn restore(rds: &Rds, directory: &Path, more: &[&str]) -> Command {
    restore_as(rds, directory, "shop", more)
}

fn restore_as(rds: &Rds, directory: &Path, cluster: &str, more: &[&str]) -> Command {
    let endpoint = rds.endpoint();
    let mut arguments = vec![
        "restore",
        "--from",
        "s3://backups/shop",
        "--cluster",
        cluster,
        "--ingestion-role",
        ROLE,
        "--subnet-group",
        SUBNET_GROUP,
        "--server-version",
        "5.6.24",
        "--region",
        "eu-central-1",
        "--endpoint-rds",
        &endpoint,
        // Nothing listens there: that the bucket can't be looked at is said, and is no end.
        "--endpoint-s3",
        "http://127.0.0.1:9",
        "--log-level",
        "trace",
    ];
    arguments.extend(more);
    let mut command = support::daybreak(directory, &arguments);
    login(&mut command, ACCESS, SECRET);
    command
}

/// Waits until the endpoint's cluster is in a state; panics when the program ends before.
async fn until_status(rds: &Rds, child: &mut std::process::Child, status: &str) {
    until(status, async || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "ended with {ended:?} before {status}");
        rds.known().clusters.get("shop").is_some_and(|cluster| cluster.status == status)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    rds.faults(|faults| faults.hold = true);
    let mut child =
        restore(&rds, &directory, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until_status(&rds, &mut child, "migrating").await;
    let argv = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let argv = String::from_utf8_lossy(&argv).into_owned();
    assert!(!argv.contains(PASSWORD) && !argv.contains(SECRET));
    child.kill().unwrap();
    child.wait().unwrap();
    rds.faults(|faults| faults.hold = false);

    let done = output(restore(&rds, &directory, &[])).await;
    assert!(done.status.success(), "{}", said(&done));
    let text = said(&done);
    assert!(
        text.contains("goes on with the cluster shop") && text.contains("replication begins at"),
        "{text}"
    );
    assert_eq!(rds.known().count("RestoreDBClusterFromS3"), 1);

    // No secret in what was printed or kept, and nothing that others can read.
    use std::os::unix::fs::PermissionsExt as _;
    for secret in [PASSWORD, SECRET] {
        assert!(!text.contains(secret));
    }
    let mut files = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let content = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        for secret in [PASSWORD, SECRET] {
            assert!(!content.contains(secret), "{}", entry.path().display());
        }
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        files += 1;
    }
    assert!(files >= 3, "lock, log and restore.json");

    // Not by a slip of the hand, and not from under somebody.
    let unasked = output(restore(&rds, &directory, &["--undo"])).await;
    assert_eq!(unasked.status.code(), Some(2), "{}", said(&unasked));
    assert!(said(&unasked).contains("--yes"), "{}", said(&unasked));
    let somebody = support::connect(&rds.root_url("shop").await.unwrap()).await;
    let in_use = output(restore(&rds, &directory, &["--undo", "--yes"])).await;
    assert_eq!(in_use.status.code(), Some(3), "{}", said(&in_use));
    assert!(said(&in_use).contains("in use") && said(&in_use).contains("--even-in-use"));
    assert_eq!(rds.known().count("DeleteDBInstance"), 0);
    somebody.disconnect().await.unwrap();
    let undone = output(restore(&rds, &directory, &["--undo", "--yes"])).await;
    assert!(undone.status.success(), "{}", said(&undone));
    let known = rds.known();
    assert!(
        known.clusters.is_empty()
            && known.instances.is_empty()
            && known.parameter_groups.is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_names_itself_and_is_taken_back_by_its_directory_alone() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    rds.faults(|faults| faults.hold = true);
    let mut child = restore(&rds, &directory, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_status(&rds, &mut child, "migrating").await;
    // SAFETY: sends a signal to a child of ours that wasn't waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(130), "{text}");
    assert!(text.contains("the same command again") && !text.contains("daybreak resume"), "{text}");
    rds.faults(|faults| faults.hold = false);
    let taken_back = |directory: &Path| {
        let endpoint = rds.endpoint();
        let arguments =
            ["restore", "--undo", "--yes", "--region", "eu-central-1", "--endpoint-rds", &endpoint];
        let mut command = support::daybreak(directory, &arguments);
        login(&mut command, ACCESS, SECRET);
        output(command)
    };
    let elsewhere = taken_back(&place.path().join("elsewhere")).await;
    assert!(said(&elsewhere).contains("no restore was begun"), "{}", said(&elsewhere));
    let undone = taken_back(&directory).await;
    assert!(undone.status.success(), "{}", said(&undone));
    assert!(rds.known().clusters.is_empty() && rds.known().parameter_groups.is_empty());
}

/// The master password goes to whoever answers: not over a connection other than the one asked for.
#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_logged_in_to_as_was_asked() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    let absent = place.path().join("no.pem");
    let no_file = output(restore(&rds, &directory, &["--ca", absent.to_str().unwrap()])).await;
    assert_eq!(no_file.status.code(), Some(2), "{}", said(&no_file));
    assert_eq!(rds.known().count("RestoreDBClusterFromS3"), 0, "{}", said(&no_file));
    // The cluster is a server without TLS.
    let refused = |ended: std::process::Output, how: &str| {
        assert_eq!(ended.status.code(), Some(1), "{how}: {}", said(&ended));
        assert!(said(&ended).contains("the server offers no TLS"), "{how}: {}", said(&ended));
    };
    refused(output(restore(&rds, &directory, &["--tls", "required"])).await, "by the flag");
    let target = "[target]\nurl = \"mysql://admin@cluster.example/?tls=verify-identity\"\n";
    support::private(&directory.join("daybreak.toml"), target);
    refused(output(restore(&rds, &directory, &[])).await, "by daybreak.toml");
    let undo = output(restore(&rds, &directory, &["--undo", "--yes"])).await;
    assert_eq!(undo.status.code(), Some(3), "{}", said(&undo));
    let done = output(restore(&rds, &directory, &["--tls", "off"])).await;
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(rds.known().count("RestoreDBClusterFromS3"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_is_told_the_policy() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    for action in ["DescribeDBClusters", "RestoreDBClusterFromS3", "CreateDBInstance"] {
        rds.faults(|faults| faults.denied = [action.to_string()].into());
        let denied = output(restore(&rds, &directory, &[])).await;
        let text = said(&denied);
        assert_eq!(denied.status.code(), Some(3), "{action}: {text}");
        let words = ["user/operator", "RestoreMake", "sts:AssumeRole", "cluster:shop"];
        for words in [&words[..], &[action]].concat() {
            assert!(text.contains(words), "{action}: {words} in {text}");
        }
        assert_eq!(text.matches("sts:AssumeRole").count(), 1, "{text}");
    }
    rds.faults(|faults| faults.denied.clear());
    let done = output(restore(&rds, &directory, &[])).await;
    assert!(done.status.success(), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_name_the_key_of_the_objects() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    std::fs::create_dir_all(&directory).unwrap();
    let policies = async |more: &[&str]| {
        let all = [&["--policies", "--json"], more].concat();
        let printed = output(restore(&rds, &directory, &all)).await;
        assert!(printed.status.success(), "{}", said(&printed));
        serde_json::from_slice::<serde_json::Value>(&printed.stdout).unwrap()
    };
    let plain = policies(&[]).await.to_string();
    assert!(!plain.contains("kms:") && !plain.contains("iam:ListRoles"), "{plain}");
    let toml = "[staging]\nencryption = \"kms:1234\"\n";
    support::private(&directory.join("daybreak.toml"), toml);
    let key = "arn:aws:kms:eu-central-1:123456789012:key/1234";
    let by_file = policies(&[]).await;
    assert!(by_file["ingestion"].to_string().contains(key), "{by_file}");
    assert!(by_file["caller"].to_string().contains(key), "{by_file}");
    let by_flag = policies(&["--encryption", "kms:alias/shop"]).await.to_string();
    assert!(by_flag.contains("kms:ResourceAliases") && !by_flag.contains("key/alias"), "{by_flag}");
    assert!(!policies(&["--encryption", "s3"]).await.to_string().contains("kms:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isnt_ours_is_not_deleted() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    let done = output(restore(&rds, &directory, &[])).await;
    assert!(done.status.success(), "{}", said(&done));
    let text = said(&done);
    assert!(text.contains("mysqldump --routines") && text.contains("SHOW CREATE USER"), "{text}");
    // The same directory, but a record of another migration.
    let file = directory.join("restore.json");
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["migration"] = "another".into();
    std::fs::write(&file, kept.to_string()).unwrap();
    let theirs = output(restore(&rds, &directory, &["--undo", "--yes", "--even-in-use"])).await;
    assert_eq!(theirs.status.code(), Some(3), "{}", said(&theirs));
    assert!(said(&theirs).contains("isn't the one that this restore made"), "{}", said(&theirs));
    assert_eq!(rds.known().clusters.len(), 1);
    assert!(file.exists(), "what was made isn't known any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_words() {
    let place = tempfile::tempdir().unwrap();
    let rds = endpoint(place.path()).await;
    let directory = place.path().join("migration");
    let policies = output(restore(&rds, &directory, &["--policies"])).await;
    assert!(
        policies.status.success() && said(&policies).contains("iam:PassRole"),
        "{}",
        said(&policies)
    );
    assert!(rds.known().asked.is_empty());
    let checked = output(restore(&rds, &directory, &["--check"])).await;
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    rds.somebody_elses_cluster("shop");
    let blocked = output(restore(&rds, &directory, &[])).await;
    assert_eq!(blocked.status.code(), Some(3), "{}", said(&blocked));
    assert!(said(&blocked).contains("this migration didn't make it"), "{}", said(&blocked));
    rds.faults(|faults| {
        faults.position = rehearsal::cloud::rds::PositionEvent::Says("b.000001".into(), 4)
    });
    assert_eq!(rds.known().count("RestoreDBClusterFromS3"), 0);
    let other = place.path().join("other");
    let mut command = restore_as(&rds, &other, "shop2", &["--expect", "b.000001:5"]);
    let paused = output(command).await;
    assert_eq!(paused.status.code(), Some(4), "{}", said(&paused));
    assert!(said(&paused).contains("b.000001:4") && said(&paused).contains("b.000001:5"));
    command =
        restore_as(&rds, &other, "shop2", &["--expect", "b.000001:5", "--coordinates", "backup"]);
    let done = output(command).await;
    assert!(
        done.status.success() && said(&done).contains("begins at b.000001:5"),
        "{}",
        said(&done)
    );
    assert_eq!(rds.known().count("RestoreDBClusterFromS3"), 1);
}

/// A merged and prepared chain of MySQL 5.6.24, by the program's own verbs from the archive to the server:
/// looked at and extracted, uploaded, restored; and what is there then is what was there when it was taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_is_what_is_restored() {
    let place = tempfile::tempdir().unwrap();
    let samples = rehearsal::backups::samples(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let cloud = Cloud::start(place.path().join("s3")).await.unwrap();
    cloud.make_bucket("backups").unwrap();
    let rds =
        Rds::start(Options::beside(&cloud, place.path().join("rds"), Duration::from_millis(30)))
            .await
            .unwrap();
    let run = async |directory: &str, verb: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command.args(verb).stdin(Stdio::null());
        login(&mut command, &cloud.access_key, &cloud.secret_key);
        if !directory.is_empty() {
            command.arg("--dir").arg(place.path().join(directory));
        }
        let done = output(command).await;
        assert!(done.status.success(), "{verb:?}: {}", said(&done));
        done
    };
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let packed = text(&samples.join("prepared_chain.tar.gz"));
    let extracted = place.path().join("extracted");
    let found = run("", &["backup", "inspect", &packed, "--for", "any", "--json"]).await;
    let inspection = place.path().join("inspection.json");
    std::fs::write(&inspection, &found.stdout).unwrap();
    run("", &["backup", "inspect", &packed, "--for", "any", "--extract", &text(&extracted)]).await;
    let backup = text(&extracted.join("chain"));
    let mut expected: Vec<String> = std::fs::read_to_string(samples.join("expected/chain.sums"))
        .unwrap()
        .lines()
        .map(String::from)
        .collect();
    expected.sort();
    assert!(expected.len() > 5);
    let endpoint = rds.endpoint();
    let s3 = ["--region", &cloud.region, "--endpoint-s3", &cloud.s3_endpoint];
    for form in ["tar.gz", "tree"] {
        let bucket = format!("s3://backups/{form}");
        let manifest = text(&place.path().join(format!("{form}.json")));
        let upload = ["upload", &backup, &bucket, "--for", "any", "--as", form];
        // Parts as small as they may be: more than one object of the tar.
        let parts = ["--manifest", &manifest, "--part-mib", "5", "--split-mib", "5"];
        run(form, &[&upload[..], &parts, &s3].concat()).await;
        let cluster = form.replace('.', "-");
        let restore =
            ["restore", "--from", &bucket, "--cluster", &cluster, "--ingestion-role", ROLE];
        let more = ["--subnet-group", SUBNET_GROUP, "--endpoint-rds", &endpoint];
        let told = ["--inspection", &text(&inspection)];
        let done = run(form, &[&restore[..], &more, &told, &s3].concat()).await;
        // Where the last incremental ended, which xtrabackup_binlog_info of a merged chain doesn't say.
        assert!(said(&done).contains("mysql-bin.000003:699306"), "{}", said(&done));
        let restored = rds.root_url(&cluster).await.unwrap();
        assert_eq!(sums(&restored).await.unwrap(), expected, "{form}");
    }
}
