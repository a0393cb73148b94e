//! `kill -9` at entries of the journal all along a whole run from MariaDB to MariaDB, by file and position;
//! then `resume`. The end is equal each time, and no acknowledged row is lost, while a writer goes on.

#[path = "support/across.rs"]
mod across;
mod support;

use across::{assert_same, fill_shop, owner, servers};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Product;
use support::{
    Pair, connect, daybreak,
    kill_log::{self, KillLog},
    output, resume, said, until, was_killed,
};

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

async fn killed_at(pair: &Pair, at: &str) -> bool {
    reset(pair).await;
    kill_log::make(&mut connect(&owner(&pair.source)).await).await;
    let directory = pair.directory("");
    let writer = KillLog::start(owner(&pair.source));
    let mut first = daybreak(directory.path(), &["run", "--yes"]);
    first.env("DAYBREAK_KILL_AT", at);
    let first = output(first).await;
    let reached = was_killed(&first);
    if reached {
        resume(directory.path(), at, async || {
            let before = writer.count();
            until("the writer goes on", async || writer.count() > before + 3).await;
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
    writer.arrived(&mut pair.target_root().await, at).await;
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
