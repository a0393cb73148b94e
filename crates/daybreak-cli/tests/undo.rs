//! `undo` from every step leaves the source as it was, and nothing of daybreak's on the target.

mod support;

use mysql_async::{Conn, prelude::Queryable as _};
use support::{Pair, daybreak, output, said};

/// What must be the same before and after: databases with their tables, accounts, what the server
/// lets in, replication.
async fn world(conn: &mut Conn) -> Vec<String> {
    let mut all = Vec::new();
    for query in [
        "SELECT CONCAT('database ', SCHEMA_NAME) FROM information_schema.SCHEMATA ORDER BY 1",
        "SELECT CONCAT('table ', TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') ORDER BY 1",
        "SELECT CONCAT('routine ', ROUTINE_SCHEMA, '.', ROUTINE_NAME) FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA NOT IN ('sys', 'mysql') ORDER BY 1",
        "SELECT CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME, ' ', STATUS) FROM information_schema.EVENTS ORDER BY 1",
        "SELECT CONCAT('account ', user, '@', host) FROM mysql.user ORDER BY 1",
        "SELECT CONCAT('read_only ', @@GLOBAL.read_only, @@GLOBAL.super_read_only)",
        "SELECT CONCAT('channel ', HOST, ':', PORT) FROM performance_schema.replication_connection_configuration",
    ] {
        let rows: Vec<String> = conn.query(query).await.unwrap();
        all.extend(rows);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_from_every_step_leaves_nothing() {
    let pair = Pair::start(true, 500).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    let before = (world(&mut source).await, world(&mut target).await);
    let steps = [
        "preflight",
        "prepare_source",
        "schema",
        "rows",
        "indexes",
        "objects",
        "replicate",
        "verify",
    ];
    for step in steps {
        let directory = pair.directory("");
        let run = output(daybreak(directory.path(), &["run", "--until", step])).await;
        assert!(run.status.success(), "{step}: {}", said(&run));
        if step == "replicate" {
            // There is something to take back.
            assert_ne!(before.0, world(&mut source).await);
            assert_ne!(before.1, world(&mut target).await);
        }
        for time in ["first", "second"] {
            let undo = output(daybreak(directory.path(), &["undo"])).await;
            assert!(undo.status.success(), "{step}, {time} undo: {}", said(&undo));
            let after = (world(&mut source).await, world(&mut target).await);
            assert_eq!(before, after, "{step}, {time} undo");
        }
    }

    // Back to a step, and on again from there.
    let directory = pair.directory("");
    let run = output(daybreak(directory.path(), &["run", "--until", "verify"])).await;
    assert!(run.status.success(), "{}", said(&run));
    let undo = output(daybreak(directory.path(), &["undo", "--to", "schema"])).await;
    assert!(undo.status.success(), "{}", said(&undo));
    let rows: u64 = target.query_first("SELECT COUNT(*) FROM shop.orders").await.unwrap().unwrap();
    assert_eq!(rows, 0, "the rows are gone, their table is there");
    let resume = output(daybreak(directory.path(), &["resume", "--yes"])).await;
    assert!(resume.status.success(), "{}", said(&resume));
    pair.assert_equal("after undo --to and resume");

    // Past the point of no return it is refused.
    let undo = output(daybreak(directory.path(), &["undo"])).await;
    assert_eq!(undo.status.code(), Some(1), "{}", said(&undo));
    assert!(said(&undo).contains("opened for writes"), "{}", said(&undo));
}
