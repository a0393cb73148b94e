//! The copy is cut off, the source changes, connections die, definitions change: what arrives is what
//! is there in the end, and what can't arrive as it was never stays.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use daybreak::{
    config::Config,
    error::Kind,
    event::Event,
    mysql::{ServerUrl, Session, Side},
    target::rows::latest_snapshot,
};

use super::harness::{OnEvent, Pair, cut_off, run_and_verify};

/// Privileges without those that hold DDL back.
const LESSER: &str = "SELECT, LOCK TABLES, REPLICATION CLIENT, SHOW VIEW, TRIGGER";

async fn big_tables(pair: &Pair, database: &str) {
    let numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
                   SELECT n FROM s) AS s";
    let mut source = pair.source().await;
    for statement in [
        "SET SESSION cte_max_recursion_depth = 100000".to_string(),
        format!("CREATE DATABASE {database}"),
        format!("CREATE TABLE {database}.keyed (id INT PRIMARY KEY, v VARCHAR(200))"),
        format!("INSERT INTO {database}.keyed SELECT n * 10, REPEAT('x', n % 200) FROM {numbers}"),
        format!("CREATE TABLE {database}.keyless (a INT, v VARCHAR(200))"),
        format!("INSERT INTO {database}.keyless SELECT n % 7, REPEAT('y', n % 200) FROM {numbers}"),
        format!("ANALYZE TABLE {database}.keyed, {database}.keyless"),
    ] {
        source.execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Does something on a server from within an event.
fn now(url: ServerUrl, work: impl AsyncFnOnce(Session) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = Session::open(&url, Side::Source).await.unwrap();
            work(session).await;
        });
    });
    thread.join().unwrap();
}

/// Does something once, when the first snapshot was taken and nothing of it was read.
fn after_the_first_snapshot(work: impl Fn() + Send + Sync + 'static) -> OnEvent {
    let snapshots = AtomicU32::new(0);
    Arc::new(move |event| {
        let taken =
            matches!(event, Event::Note { text, .. } if text.starts_with("the snapshot is of"));
        if taken && snapshots.fetch_add(1, Ordering::SeqCst) == 0 {
            work();
        }
    })
}

/// Chunks of about a thousand rows: most of some twenty are there when the copy is cut off.
fn cutoff_config(pair: &Pair) -> Config {
    let mut config = pair.config("cutoff");
    config.copy.chunk_bytes = 128 << 10;
    config
}

/// How many chunks are there.
const CHUNKS: &str = "SELECT COUNT(*) FROM daybreak.chunks";

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_cut_off_goes_on_though_the_source_changed() {
    let pair = Pair::take(&["cutoff"]).await;
    big_tables(&pair, "cutoff").await;
    for chunks in [6, 12, 18] {
        let stopped = cut_off(&pair, cutoff_config(&pair), CHUNKS, chunks).await;
        assert!(stopped, "the copy was faster than this test");
        pair.on_source(&[
            "DELETE FROM cutoff.keyed WHERE id BETWEEN 1000 AND 1500",
            "DELETE FROM cutoff.keyed WHERE id % 100000 = 0",
            "UPDATE cutoff.keyed SET v = 'changed' WHERE id BETWEEN 150000 AND 150100",
            "INSERT IGNORE INTO cutoff.keyed VALUES (-1, 'first'), (12345, 'between'), (900000, 'last')",
            "DELETE FROM cutoff.keyless WHERE a = 3 LIMIT 5",
            "INSERT INTO cutoff.keyless VALUES (3, 'z'), (3, 'z'), (NULL, NULL)",
        ])
        .await;
    }
    pair.copy(cutoff_config(&pair)).await.unwrap();
    pair.assert_equal("cutoff").await;
    // Most of what was there was proved instead of sent again: the keyless table, and few ranges.
    assert!(pair.bytes_sent() < 3_500_000, "{}", pair.bytes_sent());
}

/// Values of a second unique key that changed places between two chunks which both were copied: whichever
/// comes first, its new value is still the other's on the target.
#[tokio::test(flavor = "multi_thread")]
async fn unique_values_that_moved_between_chunks_arrive() {
    let pair = Pair::take(&["moving"]).await;
    pair.on_source(&[
        "SET SESSION cte_max_recursion_depth = 100000",
        "CREATE DATABASE moving",
        // The target's table can't do without the second key.
        "CREATE TABLE moving.counted (id INT PRIMARY KEY, n INT NOT NULL AUTO_INCREMENT, v VARCHAR(200), UNIQUE KEY (n))",
        "INSERT INTO moving.counted WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
         SELECT n * 10, n, REPEAT('x', n % 200) FROM s",
        "CREATE TABLE moving.few (id INT PRIMARY KEY, n INT, v INT, UNIQUE KEY (n), KEY (v))",
        "INSERT INTO moving.few SELECT id, n, n FROM moving.counted LIMIT 50",
        "ANALYZE TABLE moving.counted, moving.few",
    ])
    .await;
    let copied = "SELECT COUNT(*) FROM moving.counted";
    let stopped = cut_off(&pair, pair.config("moving"), copied, 2_000).await;
    assert!(stopped, "the copy was faster than this test");
    let mut target = pair.target().await;
    let both: u64 = target
        .scalar("SELECT COUNT(*) FROM moving.counted WHERE id IN (10, 15000)")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(both, 2, "both chunks are there");
    pair.on_source(&[
        "UPDATE moving.counted SET n = 900000 WHERE id = 10",
        "UPDATE moving.counted SET n = 1 WHERE id = 15000",
        "UPDATE moving.counted SET n = 1500 WHERE id = 10",
    ])
    .await;
    pair.copy(pair.config("moving")).await.unwrap();
    pair.assert_equal("moving").await;
    // Small tables have their keys from the beginning.
    let keys: u64 = target
        .scalar(
            "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'moving' AND TABLE_NAME = 'few'",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(keys, 3);
}

/// An index over a prefix of the key doesn't give the rows of a range that begins or ends at a text with characters
/// that weigh nothing, as a third of them does here, and is what the server chooses then.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_texts_are_replaced_as_a_whole() {
    let pair = Pair::take(&["weightless"]).await;
    pair.on_source(&[
        "SET SESSION cte_max_recursion_depth = 100000",
        "CREATE DATABASE weightless",
        "CREATE TABLE weightless.texts (k CHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci PRIMARY KEY, \
         v VARCHAR(200), KEY begins (k(3)))",
        "INSERT INTO weightless.texts WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4000) \
         SELECT CONCAT(IF(CRC32(n) % 3 = 0, '\\0\\0', ''), LPAD(n, 5, '0')), REPEAT('x', n % 100) FROM s",
        "ANALYZE TABLE weightless.texts",
    ])
    .await;
    let mut config = pair.config("weightless");
    config.copy.chunk_bytes = 4 << 10;
    let stopped = cut_off(&pair, config.clone(), CHUNKS, 12).await;
    assert!(stopped, "the copy was faster than this test");
    pair.on_source(&["UPDATE weightless.texts SET v = CONCAT(v, 'y')"]).await;
    pair.copy(config).await.unwrap();
    pair.assert_equal("weightless").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_nobody_copied_are_replaced() {
    let pair = Pair::take(&["cutoff"]).await;
    big_tables(&pair, "cutoff").await;
    assert!(cut_off(&pair, cutoff_config(&pair), CHUNKS, 6).await);
    let mut target = pair.target().await;
    target.execute("DELETE FROM daybreak.chunks WHERE range_rank IN ('2', '4')").await.unwrap();
    target.execute("INSERT INTO cutoff.keyless VALUES (1, 'nobody')").await.unwrap();
    pair.copy(cutoff_config(&pair)).await.unwrap();
    pair.assert_equal("cutoff").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_die_are_followed_by_a_new_snapshot() {
    let pair = Pair::take(&["dying"]).await;
    big_tables(&pair, "dying").await;
    let mut config = pair.config("dying");
    config.source = pair.account("dying", LESSER).await;
    let root = ServerUrl::parse(&pair.source).unwrap();
    let on_event = after_the_first_snapshot(move || {
        now(root.clone(), async |mut session| {
            let sql = "SELECT id FROM performance_schema.processlist WHERE user = 'dying'";
            let rows = session.rows(sql).await.unwrap();
            assert!(rows.len() >= 3);
            for row in rows {
                let id: u64 = session.column(&row, 0).unwrap().unwrap();
                session.execute(format!("KILL {id}")).await.unwrap();
            }
        });
    });
    let context = pair.context(config, Some(on_event));
    run_and_verify(&context).await.unwrap();
    pair.assert_equal("dying").await;
    let snapshots = context.journal.metrics().unwrap();
    assert_eq!(snapshots.iter().filter(|metric| metric.1 == "snapshot_stall_millis").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_during_the_copy_is_noticed() {
    for statement in [
        "ALTER TABLE ddl.keyed ADD COLUMN extra INT DEFAULT 7, ALGORITHM = COPY",
        "ALTER TABLE ddl.keyed ADD COLUMN extra INT DEFAULT 7 FIRST, ALGORITHM = INSTANT",
        "TRUNCATE TABLE ddl.keyed",
        "DROP TABLE ddl.keyed",
        // What an online schema change does: another table, older than the snapshot, takes the name.
        "RENAME TABLE ddl.keyed TO ddl.keyed_old, ddl.keyed_new TO ddl.keyed",
    ] {
        let pair = Pair::take(&["ddl"]).await;
        big_tables(&pair, "ddl").await;
        let before = "UPDATE ddl.keyed SET v = 'before the snapshot' WHERE id = 10";
        pair.on_source(&["CREATE TABLE ddl.keyed_new LIKE ddl.keyed", before]).await;
        // The server tells a table's age in seconds.
        let mut source = pair.source().await;
        let sql = "SELECT MAX(CREATE_TIME) < NOW() - INTERVAL 1 SECOND FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'ddl'";
        while source.scalar::<i64>(sql).await.unwrap() != Some(1) {}
        source
            .execute("ALTER TABLE ddl.keyed_new COMMENT 'a younger one', ALGORITHM = COPY")
            .await
            .unwrap();
        source.execute("INSERT INTO ddl.keyed_new VALUES (1, 'new')").await.unwrap();
        let mut config = pair.config("ddl");
        config.source = pair.account("lesser", LESSER).await;
        let root = ServerUrl::parse(&pair.source).unwrap();
        let on_event = after_the_first_snapshot(move || {
            now(root.clone(), async move |mut session| {
                session.execute(statement).await.unwrap();
            });
        });
        let context = pair.context(config, Some(on_event));
        run_and_verify(&context).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        // An instant column may be left to replication; everything else needs a new look.
        let mut target = pair.target().await;
        let columns: u64 = target
            .scalar("SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'ddl' AND TABLE_NAME = 'keyed'")
            .await
            .unwrap()
            .unwrap();
        if !(statement.contains("INSTANT") && columns == 2) {
            pair.assert_equal("ddl").await;
        }
        assert!(latest_snapshot(&context.journal).unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_arrive_as_it_was_is_rolled_back() {
    let pair = Pair::take(&["exact"]).await;
    pair.on_source(&[
        "CREATE DATABASE exact",
        "CREATE TABLE exact.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "INSERT INTO exact.t VALUES (1, 'abc'), (2, 'abc')",
    ])
    .await;
    let context = pair.context(pair.config("exact"), None);
    daybreak::engine::Step::run(&daybreak::target::rows::CopyRows, &context).await.unwrap();
    drop(context);
    let mut target = pair.target().await;
    target.execute("ALTER TABLE exact.t MODIFY v VARCHAR(4)").await.unwrap();
    pair.on_source(&["UPDATE exact.t SET v = 'geheimnis' WHERE id = 2"]).await;
    let error = pair.copy(pair.config("exact")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotExact, "{error}");
    let text = error.to_string();
    assert!(text.contains("column 'v' at row 2") && text.contains("exact.t"), "{text}");
    assert!(!text.contains("geheim"), "{text}");
    let old: u64 =
        target.scalar("SELECT COUNT(*) FROM exact.t WHERE v = 'abc'").await.unwrap().unwrap();
    assert_eq!(old, 2);
}
