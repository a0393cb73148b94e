//! `kill -9` at some entries of the journal of this pair's run; then `resume`, while rows are inserted
//! all the time. `tests/kill.rs` does it at every entry, where both servers are new.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use mysql_async::prelude::Queryable as _;

use crate::{
    pair::{app, assert_equal, run, start},
    support::{Pair, daybreak, forget, output, said, was_killed},
};

/// Each such entry is tried.
const STRIDE: usize = 7;

/// Inserts until the source is closed; returns how many were acknowledged.
async fn write(pair: &Pair, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let mut conn = app(&pair.source).await;
    tokio::spawn(async move {
        let mut acknowledged = 0;
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
        while !stop.load(Ordering::SeqCst) {
            pace.tick().await;
            let next = acknowledged + 1;
            match conn.exec_drop("INSERT INTO shop.log VALUES (?, NOW(6))", (next,)).await {
                Ok(()) => acknowledged = next,
                // 1290: closed for good.
                Err(mysql_async::Error::Server(error)) if error.code == 1290 => break,
                Err(error) => panic!("the writer failed: {error}"),
            }
        }
        acknowledged
    })
}

/// As if no migration had been.
async fn reset(pair: &Pair) {
    let mut source = pair.source_root().await;
    run(&mut source, &["SET GLOBAL read_only = OFF"]).await;
    forget(&mut source, &["daybreak", "shop"]).await;
    run(
        &mut source,
        &[
            "CREATE DATABASE shop CHARACTER SET utf8",
            "CREATE TABLE shop.log (id BIGINT PRIMARY KEY, at DATETIME(6))",
            "CREATE TABLE shop.words (word VARCHAR(20) NOT NULL PRIMARY KEY, f FLOAT, KEY (f))",
            "INSERT INTO shop.words VALUES ('a', 1e-7), ('b', -1e-7), ('c', 0.1), ('d', -0.0), ('e', NULL)",
            "CREATE FUNCTION shop.f() RETURNS INT(11) DETERMINISTIC RETURN 1",
        ],
    )
    .await;
    let mut target = pair.target_root().await;
    run(&mut target, &["STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = OFF"]).await;
    forget(&mut target, &["daybreak", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_seventh_entry() {
    let pair = start().await;
    let mut reached = 0;
    for (turn, entry) in (1..).step_by(STRIDE).enumerate() {
        let at = format!("{entry}:{}", if turn % 2 == 0 { "effect" } else { "synced" });
        reset(&pair).await;
        let directory = pair.directory("[copy]\ndefiner = \"current\"\n");
        let stop = Arc::new(AtomicBool::new(false));
        let writer = write(&pair, stop.clone()).await;
        let mut first = daybreak(directory.path(), &["run", "--yes"]);
        first.env("DAYBREAK_KILL_AT", &at);
        let first = output(first).await;
        let killed = was_killed(&first);
        if killed {
            let second = output(daybreak(directory.path(), &["resume", "--yes"])).await;
            assert!(second.status.success(), "{at}: {}", said(&second));
        } else {
            assert!(first.status.success(), "{at}: {}", said(&first));
        }
        stop.store(true, Ordering::SeqCst);
        let acknowledged = writer.await.unwrap();
        let mut target = pair.target_root().await;
        let there: u64 =
            target.query_first("SELECT COUNT(*) FROM shop.log").await.unwrap().unwrap();
        assert!(
            there >= acknowledged && there > 10,
            "{at}: {acknowledged} acknowledged, {there} there"
        );
        assert_equal(&pair, "shop").await;
        let closed: Option<u8> =
            pair.source_root().await.query_first("SELECT @@GLOBAL.read_only").await.unwrap();
        assert_eq!(closed, Some(1), "{at}: the source is open");
        let own: Vec<String> = target.query("SHOW DATABASES LIKE 'daybreak'").await.unwrap();
        assert!(own.is_empty(), "{at}: daybreak's own database is left on the target");
        if !killed {
            break;
        }
        reached += 1;
    }
    eprintln!("{reached} entries were reached");
    assert!(reached >= 4, "only {reached} entries were reached");
}
