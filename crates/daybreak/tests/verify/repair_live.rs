//! The SQL that sets differences right, made and run while the source is written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use daybreak::{
    config::{VerifyConfig, VerifyMode},
    error::Kind,
    mysql::{ServerUrl, Session, Side},
    sync::verify::Liveness,
};
use rehearsal::{server::Role, watch::until_within};

use super::{
    harness::{Sides, config},
    repair::{client, said, write},
};

/// Writes to all tables, no faster than a target on the same cores can follow.
async fn hammer(url: ServerUrl, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut session = Session::open(&url, Side::Source).await.unwrap();
    let mut n = 0_u64;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::SeqCst) {
        n += 1;
        pace.tick().await;
        let id = 2_000 + n % 500;
        for sql in [
            format!("UPDATE live.t SET n = n + 1, v = '{n}' WHERE id = {id}"),
            format!("REPLACE INTO live.t VALUES ({}, 'new', {n})", 10_000 + n % 500),
            format!("DELETE FROM live.t WHERE id = {}", 10_000 + (n + 250) % 500),
            format!("INSERT INTO live.k VALUES ({n}, 'x')"),
            format!("DELETE FROM live.k WHERE v = {}", n.saturating_sub(20)),
            format!("UPDATE live.u SET u = -u WHERE id = {id}"),
        ] {
            match session.execute(&sql).await {
                Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                Err(error) if matches!(error.kind(), Kind::Deadlock | Kind::LockWait) => 0,
                Err(error) => panic!("{sql}: {error}"),
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_made_under_a_writer_sets_right_what_differs() {
    let sides = Sides::start(Role::Source).await;
    let [_, mut target] = sides.sessions().await;
    sides
        .follow(&[
            "CREATE TABLE live.u (id INT PRIMARY KEY, u BIGINT, UNIQUE KEY (u))",
            "INSERT INTO live.u SELECT id, id FROM live.t",
        ])
        .await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = tokio::spawn(hammer(sides.urls()[0].clone(), stop.clone(), done.clone()));
    let goes_on = async |by: u64| {
        let from = done.load(Ordering::SeqCst);
        let until = async || done.load(Ordering::SeqCst) > from + by;
        until_within(Duration::from_secs(60), "the writer goes on", until).await;
    };
    goes_on(500).await;
    until_within(Duration::from_secs(60), "the target has what was there at first", async || {
        let rows = target
            .scalar::<u64>(
                "SELECT (SELECT COUNT(*) FROM live.k WHERE v < 0) + (SELECT COUNT(*) FROM live.u WHERE id = 1500)",
            )
            .await;
        rows.is_ok_and(|rows| rows == Some(500))
    })
    .await;
    target.execute("SET SESSION sql_log_bin = 0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for mode in [VerifyMode::Checksum, VerifyMode::Full] {
        // Rows that the writer leaves alone: others would stop replication, or be set right by it.
        for sql in [
            "UPDATE live.t SET v = 'evil' WHERE id BETWEEN 700 AND 1500",
            "DELETE FROM live.t WHERE id BETWEEN 300 AND 310",
            "INSERT INTO live.t VALUES (900000, 'evil', 0)",
            "UPDATE live.k SET w = 'evil' WHERE v BETWEEN -90 AND -77",
            "DELETE FROM live.k WHERE v = -5",
            "UPDATE live.u SET u = 10000000 WHERE id = 7",
            "UPDATE live.u SET u = 7 WHERE id = 1500",
            "UPDATE live.u SET u = 1500 WHERE id = 7",
        ] {
            assert!(target.execute(sql).await.unwrap().affected > 0, "{sql}");
        }
        let file = directory.path().join(format!("{mode:?}.sql"));
        let config = VerifyConfig { mode, ..config(500) };
        let (found, written) = write(&sides.urls(), "live", &config, &file).await;
        assert!(found.live && !found.is_equal());
        let written = written.unwrap();
        let counted: Vec<_> = written
            .tables
            .iter()
            .map(|repair| (repair.table.name.as_str(), repair.set, repair.added, repair.removed))
            .collect();
        assert_eq!(counted, [("k", 0, 15, 14), ("t", 801, 11, 1), ("u", 2, 0, 0)], "{mode:?}");
        goes_on(200).await;
        let ran = client(&sides.target, &sides.target, &[], &file);
        assert!(ran.status.success(), "{mode:?}: {}", said(&ran));
        goes_on(200).await;
        let report = sides.compare("live", &config, Liveness::Detect).await;
        assert!(report.live && report.is_equal(), "{mode:?}: {:#?}", report.first_differences(20));
    }
    // After a cutover the target follows nobody: the file is too late.
    target.execute("STOP REPLICA").await.unwrap();
    target.execute("RESET REPLICA ALL").await.unwrap();
    let late =
        client(&sides.target, &sides.target, &["--force"], &directory.path().join("Full.sql"));
    assert!(said(&late).contains("too late") && said(&late).contains("1792"), "{}", said(&late));
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}
