//! A prepared chain of 5.6.24, restored whole.

use daybreak::{
    engine::Severity,
    error::Kind,
    mysql::{Coordinates, FilePosition},
    target::restore::Decide,
};
use mysql_async::{Conn, Opts, prelude::Queryable as _};
use rehearsal::{
    backups::sums,
    cloud::{cluster::Profile, rds::PositionEvent},
};

use super::harness::{PASSWORD, Place, prepared_chain, samples};

/// Puts the chain into the bucket in parts, as `split -d` does.
fn in_parts(place: &Place) {
    let whole = std::fs::read(prepared_chain()).unwrap();
    for (number, part) in whole.chunks(100_000).enumerate() {
        std::fs::write(place.prefix().join(format!("backup.tar.gz{number:05}")), part).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_chain_is_restored_whole() {
    let place = Place::new(Profile::Rehearsal).await;
    in_parts(&place);
    let findings = place.restore().check().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity < Severity::Blocker), "{findings:#?}");
    let asked_before = place.rds.known().asked.len();
    assert!(place.rds.known().clusters.is_empty(), "a check made something");

    let restored = place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    place.restore().verify(&restored).await.unwrap();
    let expected = std::fs::read_to_string(samples().join("chain.sums")).unwrap();
    let mut expected: Vec<String> = expected.lines().map(String::from).collect();
    expected.sort();
    let root = place.rds.root_url("shop").await.unwrap();
    assert_eq!(sums(&root).await.unwrap(), expected);

    // Where the last incremental ended, not the full one.
    let file = restored.coordinates.as_ref().and_then(|found| found.file.clone()).unwrap();
    let story = place.story();
    assert!(story.contains(&format!("'{}', position {}", file.file, file.position)), "{story}");
    // States may pass between two looks; what was told stays.
    for words in ["Rehearsal: a backup of MySQL 5.6", "shop-1 is available"] {
        assert!(story.contains(words), "{words} in\n{story}");
    }

    // Only what differs was set, and the request was as it must be.
    let known = place.rds.known();
    assert_eq!(known.parameter_groups["shop-daybreak"].len(), 1);
    assert_eq!(known.parameter_groups["shop-daybreak"]["log_bin_trust_function_creators"], "1");
    let request = known.asked[asked_before..]
        .iter()
        .find(|asked| asked["Action"] == "RestoreDBClusterFromS3")
        .unwrap();
    for (name, value) in [
        ("S3Prefix", "shop/"),
        ("SourceEngineVersion", "5.6.24"),
        ("EngineVersion", "5.6.rehearsal"),
        ("Tags.Tag.1.Key", "daybreak:migration"),
        ("Tags.Tag.1.Value", "m-1"),
        ("MasterUserPassword", "(given)"),
    ] {
        assert_eq!(request[name], value, "{name}");
    }

    // What a restore leaves out is left out; the master account isn't root.
    let mut conn = Conn::new(Opts::from_url(&root).unwrap()).await.unwrap();
    let accounts: Vec<String> =
        conn.query("SELECT DISTINCT User FROM mysql.user ORDER BY 1").await.unwrap();
    assert_eq!(accounts, ["dba", "rdsadmin", "root"]);
    // Aurora's own are there, and no other.
    let routines: Vec<String> =
        conn.query("SELECT DISTINCT CONCAT(db, '.', LEFT(name, 4)) FROM mysql.proc").await.unwrap();
    assert_eq!(routines, ["mysql.rds_"]);
    let url = place.restore().url(&restored);
    let mut session =
        daybreak::mysql::Session::open(&url, daybreak::mysql::Side::Target).await.unwrap();
    assert_eq!(
        session.execute("SET GLOBAL max_connections = 10").await.unwrap_err().kind(),
        Kind::Privilege
    );

    // The same again asks for nothing new.
    let again = place.run_from(place.asked()).await.unwrap();
    assert_eq!(again, restored);
    let known = place.rds.known();
    for action in ["RestoreDBClusterFromS3", "CreateDBInstance", "CreateDBClusterParameterGroup"] {
        assert_eq!(known.count(action), 1, "{action}");
    }
    no_secret(&place);
    place.restore().undo(&place.asked()).await.unwrap();
    assert!(place.rds.known().clusters.is_empty());
}

/// The master password is in nothing that was told or kept.
fn no_secret(place: &Place) {
    use std::os::unix::fs::PermissionsExt as _;
    assert!(!place.story().contains(PASSWORD));
    let state = place.dir.path().join("rds/rds.json");
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(!text.contains("pass\\\\word-1") && text.contains("RestoreDBClusterFromS3"));
    assert_eq!(std::fs::metadata(state).unwrap().permissions().mode() & 0o077, 0);
    let asked = serde_json::to_string(&place.asked()).unwrap();
    assert!(!asked.contains("word-1"));
    assert!(!format!("{:?}", place.wanted).contains("word-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinates_that_disagree_pause() {
    let mut place = Place::new(Profile::Rehearsal).await;
    in_parts(&place);
    let at = |file: &str, position| {
        let file = FilePosition { file: file.into(), position };
        Some(Coordinates { file: Some(file), gtids: Default::default() })
    };
    place.wanted.backup.coordinates = Some(at("binlog.000003", 700_000));
    place.rds.faults(|faults| faults.position = PositionEvent::Says("binlog.000002".into(), 4));
    let error = place.refusal().await;
    assert_eq!(error.kind(), Kind::Paused, "{error}");
    for words in ["binlog.000002:4", "binlog.000003:700000", "--coordinates"] {
        assert!(error.to_string().contains(words), "{words} in {error}");
    }
    // Decided, it goes on with the cluster that is there.
    place.wanted.decide = Some(Decide::Backup);
    let restored = place.run_from(place.asked()).await.unwrap();
    assert_eq!(restored.coordinates, at("binlog.000003", 700_000));
    place.wanted.decide = Some(Decide::Event);
    let restored = place.run_from(place.asked()).await.unwrap();
    assert_eq!(restored.coordinates, at("binlog.000002", 4));
    place.wanted.decide = None;
    // Agreement needs no decision.
    place.wanted.backup.coordinates = Some(at("binlog.000002", 4));
    let restored = place.run_from(place.asked()).await.unwrap();
    assert_eq!(restored.coordinates, at("binlog.000002", 4));
    assert_eq!(place.rds.known().count("RestoreDBClusterFromS3"), 1);
    place.restore().undo(&place.asked()).await.unwrap();
    // Without an event nothing says that the backup's own word is right: that is for a person too.
    place.wanted.migration = "m-2".into();
    place.rds.faults(|faults| faults.position = PositionEvent::Missing);
    let error = place.refusal().await;
    assert_eq!(error.kind(), Kind::Paused, "{error}");
    for words in ["no event", "binlog.000002:4", "coordinates = \"backup\""] {
        assert!(error.to_string().contains(words), "{words} in {error}");
    }
    place.wanted.decide = Some(Decide::Backup);
    let restored = place.run_from(place.asked()).await.unwrap();
    assert_eq!(restored.coordinates, at("binlog.000002", 4));
    assert!(place.story().contains("the backup's is taken"), "{}", place.story());
}
