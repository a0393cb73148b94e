//! What is refused: before anything is asked for, by RDS's answer, and by the migration itself.

use daybreak::{
    config::S3Place,
    engine::StopReason,
    error::Kind,
    mysql::Secret,
    target::restore::{BucketFacts, policy},
};
use rehearsal::{
    cloud::{cluster::Profile, rds::ROLE},
    watch::until_within,
};

use super::harness::{ACCESS, Place, prepared_chain, sdk};

/// Far above what anything here takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[tokio::test]
async fn a_check_finds_what_is_wrong() {
    let sound = Place::new(Profile::Aurora).await.wanted;
    let mut place = Place::new(Profile::Aurora).await;
    place.wanted.backup.server_version = "8.0.36".into();
    assert_eq!(place.blockers().await, []);
    let good = place.wanted.clone();
    type Change = fn(&mut daybreak::target::restore::Wanted);
    let cases: [(&str, &str, Change); 14] = [
        ("restore.engine_version", "retired", |w| w.backup.server_version = "5.6.24".into()),
        ("restore.engine_version", "MariaDB", |w| {
            w.backup.server_version = "10.11.14-MariaDB".into()
        }),
        ("restore.engine_version", "logical", |w| w.backup.server_version = "8.4.3".into()),
        ("restore.engine_version", "older", |w| {
            w.config.engine_version = Some("8.0.mysql_aurora.3.04.4".into());
        }),
        ("restore.subnet_group", "two", |w| w.config.subnet_group = Some("one-zone".into())),
        ("restore.subnet_group", "no DB subnet group", |w| {
            w.config.subnet_group = Some("none".into())
        }),
        ("restore.bucket_region", "us-east-1", |w| {
            w.bucket = BucketFacts { region: Some("us-east-1".into()), ..BucketFacts::default() };
        }),
        ("restore.objects", "nothing lies", |w| w.bucket.objects = Some(0)),
        ("restore.object_size", "5 TB", |w| w.bucket.largest = Some(6_000_000_000_000)),
        ("restore.prefix", "prefix of its own", |w| {
            w.place = S3Place::parse("s3://backups").unwrap()
        }),
        ("restore.ingestion_role", "rds.amazonaws.com", |w| w.config.ingestion_role = None),
        ("restore.ingestion_role", "ARN", |w| w.config.ingestion_role = Some("my-role".into())),
        ("restore.master_password", "printable", |w| {
            w.master_password = Secret::new("with space 1")
        }),
        ("restore.parameter_group", "no cluster parameter group", |w| {
            w.config.parameter_group = Some("none".into());
        }),
    ];
    for (id, words, change) in cases {
        place.wanted = good.clone();
        change(&mut place.wanted);
        let blockers = place.blockers().await;
        assert_eq!(blockers.len(), 1, "{id} {words}: {blockers:#?}");
        let text = format!("{} {}", blockers[0].why, blockers[0].remedy);
        assert_eq!(blockers[0].id, id);
        assert!(text.contains(words), "{words} in {text}");
        assert!(!text.contains(sound.master_password.reveal()));
    }
    place.rds.somebody_elses_cluster("shop");
    place.wanted = good;
    assert_eq!(place.blockers().await[0].id, "restore.cluster");
    assert_eq!(place.rds.known().clusters.len(), 1);
    assert!(place.rds.known().parameter_groups.is_empty(), "a check made something");
}

#[tokio::test]
async fn somebody_elses_cluster_is_left_alone() {
    let mut place = Place::new(Profile::Aurora).await;
    place.wanted.backup.server_version = "8.0.36".into();
    place.rds.somebody_elses_cluster("shop");
    let error = place.refusal().await;
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    assert!(error.to_string().contains("--cluster"), "{error}");
    place.restore().undo(&Default::default()).await.unwrap();
    assert_eq!(place.rds.known().clusters["shop"].status, "available");
    assert_eq!(place.rds.known().count("DeleteDBCluster"), 0);
    assert!(place.story().contains("isn't this migration's: it stays"));
}

#[tokio::test]
async fn what_rds_refuses_says_what_to_do() {
    let mut place = Place::new(Profile::Aurora).await;
    place.wanted.backup.server_version = "8.0.36".into();
    place.rds.faults(|faults| faults.may_pass_role = false);
    let refusal = place.refusal().await;
    assert_eq!(refusal.kind(), Kind::AwsDenied, "{refusal}");
    let error = refusal.to_string();
    let policy = policy::caller(&place.wanted).to_string();
    assert!(error.contains("iam:PassRole") && error.contains(&policy), "{error}");

    place.rds.faults(|faults| {
        faults.may_pass_role = true;
        faults.roles.clear();
    });
    let error = place.refusal().await.to_string();
    let (trust, rights) =
        (policy::trust().to_string(), policy::ingestion(&place.wanted).to_string());
    assert!(error.contains(&trust) && error.contains(&rights), "{error}");
    assert!(
        rights.contains("arn:aws:s3:::backups/shop/*") && rights.contains("s3:GetObjectVersion")
    );

    place.rds.faults(|faults| {
        faults.roles.insert(ROLE.into());
        faults.quota = 0;
    });
    assert!(place.refusal().await.to_string().contains("Service Quotas"));

    place.rds.faults(|faults| faults.quota = 40);
    place.wanted.place = S3Place::parse("s3://no-such-bucket/shop").unwrap();
    let error = place.refusal().await.to_string();
    assert!(error.contains("InvalidS3BucketFault") && error.contains("Region"), "{error}");

    place.rds.faults(|faults| faults.expired = true);
    let error = place.refusal().await;
    assert!(error.to_string().contains("expired"), "{error}");
    place.rds.faults(|faults| faults.expired = false);

    // Another secret signs another signature; another key isn't known. Neither secret is shown.
    for (access, words) in
        [(ACCESS, "SignatureDoesNotMatch"), ("AKIAOTHER", "InvalidClientTokenId")]
    {
        place.sdk = sdk(&place.rds, access, "another-secret-of-theirs").await;
        let error = place.refusal().await.to_string();
        assert!(error.contains(words) && !error.contains("another-secret"), "{error}");
    }
    assert!(place.rds.known().clusters.is_empty());
}

/// The restore of what lies under the prefix fails, with these words.
pub async fn fails(place: &Place, words: &[&str]) {
    let error = place.refusal().await;
    let text = error.to_string();
    assert_eq!(error.kind(), Kind::Aws, "{text}");
    for words in words {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(place.rds.known().clusters["shop"].status, "migration-failed");
    assert_eq!(place.rds.known().count("CreateDBInstance"), 0);
    place.restore().undo(&place.asked()).await.unwrap();
    assert!(place.rds.known().clusters.is_empty() && place.rds.known().parameter_groups.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_says_why() {
    let mut place = Place::new(Profile::Aurora).await;
    place.wanted.backup.server_version = "8.0.36".into();
    // What lies there isn't what was said; Aurora finds out by itself.
    std::fs::copy(prepared_chain(), place.prefix().join("b.tar.gz")).unwrap();
    fails(&place, &["RDS-EVENT-0076", "MySQL 5.6", "backup inspect", "--undo"]).await;

    place.rds.faults(|faults| faults.copy_fails = true);
    let rights = policy::ingestion(&place.wanted).to_string();
    fails(&place, &["RDS-EVENT-0083", "--policies", &rights]).await;
    place.rds.faults(|faults| faults.copy_fails = false);

    place.rds.faults(|faults| faults.migration_fails = Some("because".into()));
    fails(&place, &["RDS-EVENT-0076", "because"]).await;
    place.rds.faults(|faults| faults.migration_fails = None);

    std::fs::write(place.prefix().join("manifest.json"), "{}").unwrap();
    fails(&place, &["does not look like a tar archive"]).await;
    std::fs::remove_file(place.prefix().join("manifest.json")).unwrap();

    let whole = std::fs::read(prepared_chain()).unwrap();
    std::fs::write(place.prefix().join("b.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    fails(&place, &["RDS-EVENT-0076"]).await;

    std::fs::remove_file(place.prefix().join("b.tar.gz")).unwrap();
    fails(&place, &["no object lies under the prefix"]).await;
}

/// A directory tree of which Aurora reads only the words.
pub fn tree(place: &Place, info: &str, extra: &[(&str, &str)]) {
    let dir = place.prefix();
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::create_dir_all(dir.join("full/app")).unwrap();
    std::fs::write(
        dir.join("full/xtrabackup_checkpoints"),
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 100\nlast_lsn = 120\n",
    )
    .unwrap();
    std::fs::write(dir.join("full/xtrabackup_info"), info).unwrap();
    for (name, text) in extra {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aurora_refuses_is_refused() {
    let mut place = Place::new(Profile::Aurora).await;
    place.wanted.backup.server_version = "8.0.36".into();
    place.prefix();
    let info = |more: &str| {
        format!("server_version = 8.0.36\npartial = N\nencrypted = N\ncompressed = N\n{more}")
    };
    for (info, extra, words) in [
        (info("partial = Y"), vec![], "partial"),
        (info("tool_command = --backup --databases=shop"), vec![], "partial"),
        (info("compressed = compressed"), vec![], "compressed"),
        (info("encrypted = Y"), vec![], "encrypted"),
        (info(""), vec![("full/app/t.ibd.qp", "x")], "compressed"),
        (info(""), vec![("full/app/t.ibd.xbcrypt", "x")], "encrypted"),
        (info(""), vec![("full/app/t.isl", "/elsewhere")], "outside the data directory"),
        (info(""), vec![("full/backup-my.cnf", "innodb_page_size=8192")], "16 KiB"),
        (
            info(""),
            vec![("full/backup-my.cnf", "innodb_data_file_path=a:1G;b:1G")],
            "data_file_path",
        ),
        (info("server_version = 10.11.14-MariaDB-log"), vec![], "MariaDB"),
        (info("server_version = 8.4.2"), vec![], "8.4.2"),
        (String::new(), vec![], "no whole backup"),
    ] {
        tree(&place, &info, &extra);
        fails(&place, &["RDS-EVENT-0076", words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_heard_and_busy_answers_are_borne() {
    let mut place = Place::new(Profile::Rehearsal).await;
    std::fs::copy(prepared_chain(), place.prefix().join("b.tar.gz")).unwrap();
    place.rds.faults(|faults| faults.hold = true);
    let stop = place.stop.clone();
    let watch = async {
        let migrating = async || {
            let known = place.rds.known();
            known.clusters.get("shop").is_some_and(|cluster| cluster.status == "migrating")
        };
        until_within(PATIENCE, "it migrates", migrating).await;
        stop.stop(StopReason::Pause);
    };
    let (ended, ()) = tokio::join!(place.run(), watch);
    assert_eq!(ended.unwrap_err().kind(), Kind::Paused);
    // Nothing moves any more: that is an end too, and nothing is lost by it.
    place.stop = Default::default();
    place.wanted.pace.no_progress = std::time::Duration::from_millis(200);
    let error = place.run_from(place.asked()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.to_string().contains("migrating"), "{error}");
    place.wanted.pace.no_progress = std::time::Duration::from_secs(120);
    place.rds.faults(|faults| {
        faults.hold = false;
        faults.throttle_every = 3;
    });
    let restored = place.run_from(place.asked()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(restored.cluster, "shop");
    assert_eq!(place.rds.known().count("RestoreDBClusterFromS3"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_though_the_answer_was_lost_is_ours() {
    let mut place = Place::new(Profile::Rehearsal).await;
    std::fs::copy(prepared_chain(), place.prefix().join("b.tar.gz")).unwrap();
    let calls = ["RestoreDBClusterFromS3", "CreateDBInstance", "CreateDBClusterParameterGroup"];
    place.rds.faults(|faults| faults.lose_answer = calls.map(String::from).into());
    let restored = place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    assert_eq!(restored.instances, ["shop-1"]);
    let known = place.rds.known();
    assert!(place.story().contains("is this migration's: goes on"), "{}", place.story());
    for call in calls {
        assert_eq!(known.count(call), 2, "{call} wasn't asked again: the fault did nothing");
    }
    assert_eq!((known.clusters.len(), known.instances.len()), (1, 1));
    let asked = known.asked.iter().find(|asked| asked["Action"] == calls[0]).unwrap();
    assert_eq!(asked.get("StorageEncrypted").map(String::as_str), Some("true"));
    assert_eq!(asked.get("KmsKeyId"), None);
    place.rds.faults(|faults| {
        faults.lose_answer = ["DeleteDBInstance", "DeleteDBCluster"].map(String::from).into();
    });
    place.restore().undo(&place.asked()).await.unwrap();
    assert!(place.rds.known().clusters.is_empty());
    place.wanted.config.encrypted = false;
    place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    let asked = place.rds.known().asked;
    let last = asked.iter().rfind(|asked| asked["Action"] == calls[0]).unwrap();
    assert_eq!(last.get("StorageEncrypted").map(String::as_str), Some("false"));
}
