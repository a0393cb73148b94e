//! `kill -9` at every entry of the journal of a whole run, once when the entry is on disk and nothing
//! of its effect has begun, once when the effect is complete; then `resume`. The end is equal each
//! time, and no row that the source acknowledged is lost, while a writer goes on in between.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use mysql_async::prelude::Queryable as _;
use support::{Pair, connect, daybreak, output, resume, said, until, was_killed};

/// Rows of the shop: small, as a run is made hundreds of times.
const ROWS: u64 = 500;

/// Inserts until the source is closed; remembers what was acknowledged.
struct Writer {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(url: String) -> Writer {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, done) = (acknowledged.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut conn = connect(&url).await;
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
            while !done.load(Ordering::SeqCst) {
                pace.tick().await;
                let next = count.load(Ordering::SeqCst) + 1;
                match conn.exec_drop("INSERT INTO shop.kill_log VALUES (?, NOW(6))", (next,)).await
                {
                    Ok(()) => count.store(next, Ordering::SeqCst),
                    // 1290: closed for good.
                    Err(mysql_async::Error::Server(error)) if error.code == 1290 => return,
                    Err(error) => panic!("the writer failed: {error}"),
                }
            }
        });
        Writer { acknowledged, stop, task }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

/// One run that is killed, and resumed to its end. Returns whether the point was reached.
async fn killed_at(pair: &Pair, settings: &str, entry: u64, point: &str) -> bool {
    let at = format!("{entry}:{point}");
    pair.reset().await;
    let mut root = pair.source_root().await;
    root.query_drop("DROP TABLE IF EXISTS shop.kill_log").await.unwrap();
    root.query_drop("CREATE TABLE shop.kill_log (id BIGINT PRIMARY KEY, at DATETIME(6))")
        .await
        .unwrap();
    let directory = pair.directory(settings);
    let writer = Writer::start(pair.source.root_url());

    let mut first = daybreak(directory.path(), &["run", "--yes"]);
    first.env("DAYBREAK_KILL_AT", &at);
    let first = output(first).await;
    let reached = was_killed(&first);
    if !reached {
        assert!(first.status.success(), "{at}: {}", said(&first));
    } else {
        resume(directory.path(), &at, async || {
            let before = writer.acknowledged.load(Ordering::SeqCst);
            until("the writer goes on", async || {
                writer.acknowledged.load(Ordering::SeqCst) > before + 3
            })
            .await;
            let running = "SELECT COUNT(*) FROM performance_schema.replication_connection_status c \
                           JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME) \
                           WHERE c.SERVICE_STATE = 'ON' AND a.SERVICE_STATE = 'ON'";
            let mut target = pair.target_root().await;
            let running: Option<u8> = target.query_first(running).await.unwrap();
            assert_eq!(running, Some(1), "{at}: replication isn't back");
        })
        .await;
    }

    let acknowledged = writer.end().await;
    let mut target = pair.target_root().await;
    let there: u64 =
        target.query_first("SELECT COUNT(*) FROM shop.kill_log").await.unwrap().unwrap();
    assert!(there >= acknowledged, "{at}: {acknowledged} acknowledged, {there} on the target");
    pair.assert_equal(&at);
    let closed: u8 = root.query_first("SELECT @@GLOBAL.super_read_only").await.unwrap().unwrap();
    assert_eq!(closed, 1, "{at}: the source is open");
    let own: u64 = target
        .query_first(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'daybreak'",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own, 0, "{at}: daybreak's own database is left on the target");
    reached
}

/// Every entry of the given parity (two pairs of servers share the work), both points.
async fn every_entry(gtid: bool, settings: &str, entries: impl Iterator<Item = u64>) {
    let pair = Pair::start(gtid, ROWS).await;
    let mut reached = 0;
    for entry in entries {
        // The last entry's effect point doesn't exist: nothing is written after it.
        let synced = killed_at(&pair, settings, entry, "synced").await;
        if !synced {
            break;
        }
        reached += 1;
        killed_at(&pair, settings, entry, "effect").await;
    }
    assert!(reached >= 10, "only {reached} entries were reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_odd_entry_with_gtid() {
    every_entry(true, "", (1..).step_by(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_even_entry_with_gtid() {
    every_entry(true, "", (2..).step_by(2)).await;
}
