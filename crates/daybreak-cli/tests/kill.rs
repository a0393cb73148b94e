//! `kill -9` at every entry of the journal of a whole run, once when the entry is on disk and nothing
//! of its effect has begun, once when the effect is complete; then `resume`. The end is equal each
//! time, and no row that the source acknowledged is lost, while a writer goes on in between.

mod support;

use mysql_async::prelude::Queryable as _;
use support::{
    Pair, daybreak,
    kill_log::{self, KillLog},
    output, resume, said, until, was_killed,
};

/// Rows of the shop: small, as a run is made hundreds of times.
const ROWS: u64 = 500;

/// One run that is killed, and resumed to its end. Returns whether the point was reached.
async fn killed_at(pair: &Pair, settings: &str, entry: u64, point: &str) -> bool {
    let at = format!("{entry}:{point}");
    pair.reset().await;
    let mut root = pair.source_root().await;
    kill_log::make(&mut root).await;
    let directory = pair.directory(settings);
    let writer = KillLog::start(pair.source.root_url());

    let mut first = daybreak(directory.path(), &["run", "--yes"]);
    first.env("DAYBREAK_KILL_AT", &at);
    let first = output(first).await;
    let reached = was_killed(&first);
    if !reached {
        assert!(first.status.success(), "{at}: {}", said(&first));
    } else {
        resume(directory.path(), &at, async || {
            let before = writer.count();
            until("the writer goes on", async || {
                writer.count() > before + 3
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

    let mut target = pair.target_root().await;
    writer.arrived(&mut target, &at).await;
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
