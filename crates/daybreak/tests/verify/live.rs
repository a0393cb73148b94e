//! Comparing while the source is written and the target follows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use daybreak::{
    engine::StopSignal,
    error::Kind,
    event::Events,
    mysql::{ServerUrl, Session, Side},
    select::Selection,
    sync::verify::{
        Liveness,
        What::{Different, ExtraOnTarget, MissingOnTarget},
        compare,
    },
};
use rehearsal::server::Role;

use super::harness::{Sides, config, found};

/// Writes to the source without a pause until it is told to stop.
struct Hammer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Hammer {
    fn start(url: &ServerUrl) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..2u64)
            .map(|worker| {
                let (url, stop, done) = (url.clone(), stop.clone(), done.clone());
                tokio::spawn(async move {
                    let mut session = Session::open(&url, Side::Source).await.unwrap();
                    let mut n = worker * 1_000_000;
                    while !stop.load(Ordering::SeqCst) {
                        n += 1;
                        let id = 1_000 + n % 1_000;
                        for sql in [
                            // A row that is never the same at two moments.
                            "UPDATE live.t SET n = n + 1 WHERE id = 1".to_string(),
                            format!("UPDATE live.t SET n = n + 1, v = '{n}' WHERE id = {id}"),
                            format!(
                                "REPLACE INTO live.t VALUES ({}, 'new', {n})",
                                10_000 + n % 500
                            ),
                            format!("DELETE FROM live.t WHERE id = {}", 10_000 + (n + 250) % 500),
                            format!("INSERT INTO live.k VALUES ({n}, 'x')"),
                            format!("DELETE FROM live.k WHERE v = {}", n.saturating_sub(20)),
                            format!("UPDATE live.e SET v = {n} WHERE id = {}", n % 50),
                        ] {
                            match session.execute(&sql).await {
                                Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                                Err(error)
                                    if matches!(error.kind(), Kind::Deadlock | Kind::LockWait) =>
                                {
                                    0
                                }
                                Err(error) => panic!("{sql}: {error}"),
                            };
                        }
                    }
                })
            })
            .collect();
        Hammer { stop, done, tasks }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_divergence_is_proven() {
    let sides = Sides::start(Role::Source).await;
    let [_, mut target] = sides.sessions().await;
    sides
        .follow(&[
            "CREATE TABLE live.e (e ENUM('a','b'), id INT, v BIGINT, PRIMARY KEY (e, id))",
            "INSERT INTO live.e SELECT IF(id % 2, 'a', 'b'), id, 0 FROM live.t WHERE id < 200",
        ])
        .await;

    let hammer = Hammer::start(&sides.urls()[0]);
    while hammer.done() < 500 {
        tokio::task::yield_now().await;
    }
    let before = hammer.done();
    let report = sides.compare("live", &config(500), Liveness::Detect).await;
    assert!(report.live && report.is_equal(), "{:#?}", report);
    assert!(hammer.done() > before, "the writer stood still");
    // The rows that are written all the time had to be looked at again.
    assert!(report.rechecked > 0, "{report:#?}");
    assert_eq!(report.proven, 0);

    target.execute("SET SESSION sql_log_bin = 0").await.unwrap();
    for sql in [
        "UPDATE live.t SET v = 'evil' WHERE id = 777",
        "DELETE FROM live.t WHERE id = 778",
        "INSERT INTO live.t VALUES (900000, 'evil', 0)",
        "UPDATE live.e SET v = -1 WHERE id = 150",
        "UPDATE live.k SET w = 'evil' WHERE v = -77",
    ] {
        assert_eq!(target.execute(sql).await.unwrap().affected, 1, "{sql}");
    }
    let before = hammer.done();
    let report = sides.compare("live", &config(500), Liveness::Detect).await;
    assert!(hammer.done() > before, "the writer stood still");
    let mut got = found(&report, "t");
    got.sort();
    assert_eq!(
        got,
        [
            ("(id=777)".to_string(), Different),
            ("(id=778)".to_string(), MissingOnTarget),
            ("(id=900000)".to_string(), ExtraOnTarget)
        ]
    );
    assert_eq!(found(&report, "e"), [("(e=b, id=150)".to_string(), Different)]);
    assert_eq!(found(&report, "k").len(), 2, "{report:#?}");
    assert!(report.proven >= 5);
    assert_eq!(report.tables.iter().map(|table| table.more).sum::<u64>(), 0, "{report:#?}");

    // A replica that stops isn't a difference.
    target.execute("STOP REPLICA SQL_THREAD").await.unwrap();
    let [ours, theirs] = sides.urls();
    let selection = Selection { databases: vec!["live".into()], ..Selection::default() };
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let error = compare(&ours, &theirs, &selection, &config(500), Liveness::Live, &events, &stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Replication, "{error}");
    hammer.end().await;
}
