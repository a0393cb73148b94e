//! `kill -9` at entries of the journal all along a whole run from MariaDB to MariaDB, by file and position;
//! then `resume`. The end is equal each time, and no acknowledged row is lost, while a writer goes on.

#[path = "support/across.rs"]
mod across;
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use across::{assert_same, at_source, fill_shop, owner, servers};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Product;
use support::{Pair, connect, daybreak, output, resume, said, until, was_killed};

/// As if no migration had been.
async fn reset(pair: &Pair) {
    let mut source = pair.source_root().await;
    let mut target = pair.target_root().await;
    for statement in ["SET GLOBAL read_only = OFF", "DROP DATABASE IF EXISTS daybreak"] {
        source.query_drop(statement).await.unwrap();
    }
    let made: Vec<String> = source
        .query("SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user LIKE 'daybreak%'")
        .await
        .unwrap();
    for account in made {
        source.query_drop(format!("DROP USER {account}")).await.unwrap();
    }
    for statement in [
        "STOP SLAVE",
        "RESET SLAVE ALL",
        "DROP DATABASE IF EXISTS daybreak",
        "DROP DATABASE IF EXISTS shop",
        "SET GLOBAL read_only = OFF",
    ] {
        target.query_drop(statement).await.unwrap();
    }
}

/// Writes until the source is closed; returns how many rows were acknowledged.
async fn write(url: String, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) {
    let mut conn = connect(&url).await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let next = acknowledged.load(Ordering::SeqCst) + 1;
        match conn.exec_drop("INSERT INTO shop.kill_log VALUES (?, NOW(6))", (next,)).await {
            Ok(()) => acknowledged.store(next, Ordering::SeqCst),
            // 1290: closed for good.
            Err(mysql_async::Error::Server(error)) if error.code == 1290 => return,
            Err(error) => panic!("the writer failed: {error}"),
        }
    }
}

async fn killed_at(pair: &Pair, at: &str) -> bool {
    reset(pair).await;
    at_source(
        pair,
        &[
            "DROP TABLE IF EXISTS shop.kill_log",
            "CREATE TABLE shop.kill_log (id BIGINT PRIMARY KEY, at DATETIME(6))",
        ],
    )
    .await;
    let directory = pair.directory("");
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = tokio::spawn(write(owner(&pair.source), stop.clone(), acknowledged.clone()));
    let mut first = daybreak(directory.path(), &["run", "--yes"]);
    first.env("DAYBREAK_KILL_AT", at);
    let first = output(first).await;
    let reached = was_killed(&first);
    if reached {
        resume(directory.path(), at, async || {
            let before = acknowledged.load(Ordering::SeqCst);
            until("the writer goes on", async || acknowledged.load(Ordering::SeqCst) > before + 3)
                .await;
            let status: Option<mysql_async::Row> =
                pair.target_root().await.query_first("SHOW SLAVE STATUS").await.unwrap();
            let status = status.expect("replication isn't back");
            for thread in ["Slave_IO_Running", "Slave_SQL_Running"] {
                assert_eq!(status.get::<String, _>(thread).as_deref(), Some("Yes"), "{at}");
            }
        })
        .await;
    } else {
        assert!(first.status.success(), "{at}: {}", said(&first));
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    let there: u64 = pair
        .target_root()
        .await
        .query_first("SELECT COUNT(*) FROM shop.kill_log")
        .await
        .unwrap()
        .unwrap();
    assert!(there >= acknowledged, "{at}: {acknowledged} acknowledged, {there} on the target");
    assert!(acknowledged > 0, "{at}: nothing was written");
    assert_same(pair, "shop").await;
    let closed: bool =
        pair.source_root().await.query_first("SELECT @@GLOBAL.read_only").await.unwrap().unwrap();
    assert!(closed, "{at}: the source is open");
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_all_along_from_mariadb_to_mariadb() {
    let pair = servers(Product::Mariadb1011, Product::Mariadb1011, &["shop"]).await;
    fill_shop(&pair, 500, 3).await;
    let mut reached = 0;
    for entry in (3..).step_by(5) {
        let point = if entry % 2 == 0 { "synced" } else { "effect" };
        if !killed_at(&pair, &format!("{entry}:{point}")).await {
            break;
        }
        reached += 1;
    }
    assert!(reached >= 5, "only {reached} entries were reached");
    eprintln!("{reached} kills");
}
