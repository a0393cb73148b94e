//! The copy is cut off, the source changes, connections die, definitions change: what arrives is what
//! is there in the end, and what can't arrive as it was never stays.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use daybreak::{
    engine::{StopReason, StopSignal},
    error::Kind,
    event::Event,
    mysql::{ServerUrl, Session, Side},
    target::rows::latest_snapshot,
};

use super::harness::{OnEvent, Pair, run_and_verify};

const NUMBERS: &str = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s)";

async fn big_tables(pair: &Pair, database: &str) {
    let mut source = pair.source().await;
    for statement in [
        "SET SESSION cte_max_recursion_depth = 100000".to_string(),
        format!("CREATE DATABASE {database}"),
        format!("CREATE TABLE {database}.keyed (id INT PRIMARY KEY, v VARCHAR(200))"),
        format!("INSERT INTO {database}.keyed SELECT n * 10, REPEAT('x', n % 200) FROM {NUMBERS} AS s"),
        format!("CREATE TABLE {database}.keyless (a INT, v VARCHAR(200))"),
        format!("INSERT INTO {database}.keyless SELECT n % 7, REPEAT('y', n % 200) FROM {NUMBERS} AS s"),
        format!("ANALYZE TABLE {database}.keyed, {database}.keyless"),
    ] {
        source.execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Runs statements on a server from within an event, which is no place to wait in otherwise.
fn now(url: &str, statements: &'static [&'static str]) {
    let url = ServerUrl::parse(url).unwrap();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut session = Session::open(&url, Side::Source).await.unwrap();
            for statement in statements {
                session.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            session.close().await;
        });
    };
    std::thread::spawn(work).join().unwrap();
}

fn rows_so_far(event: &Event) -> u64 {
    match event {
        Event::Progress { done, .. } => *done,
        _ => 0,
    }
}

/// The moment after a snapshot was taken and before anything of it was read.
fn is_snapshot_taken(event: &Event) -> bool {
    matches!(event, Event::Note { text, .. } if text.starts_with("the snapshot is of"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_cut_off_goes_on_though_the_source_changed() {
    let pair = Pair::take(&["cutoff"]).await;
    big_tables(&pair, "cutoff").await;
    let mut kept_at_first = 0;
    for round in 0..4 {
        let signal: Arc<std::sync::OnceLock<StopSignal>> = Arc::default();
        let stop_at = 3_000 + 7_000 * round;
        let on_event: OnEvent = {
            let signal = signal.clone();
            Arc::new(move |event| {
                if rows_so_far(event) >= stop_at
                    && let Some(signal) = signal.get()
                {
                    signal.stop(StopReason::Pause);
                }
            })
        };
        let mut config = pair.config("cutoff");
        config.copy.threads = 3;
        let context = pair.context(config, Some(on_event));
        signal.set(context.stop.clone()).ok().unwrap();
        // The ticks may come too late to stop anything; the rounds after that copy nothing new.
        if let Err(error) = run_and_verify(&context).await {
            assert_eq!(error.kind(), Kind::Paused, "{error}");
        } else {
            break;
        }
        drop(context);
        if round == 0 {
            let mut target = pair.target().await;
            kept_at_first =
                target.scalar("SELECT COUNT(*) FROM daybreak.chunks").await.unwrap().unwrap_or(0u64);
        }
        pair.on_source(&[
            "DELETE FROM cutoff.keyed WHERE id BETWEEN 1000 AND 1500",
            "DELETE FROM cutoff.keyed WHERE id % 10000 = 0",
            "UPDATE cutoff.keyed SET v = 'changed' WHERE id BETWEEN 100000 AND 100100",
            "INSERT INTO cutoff.keyed SELECT id + 1, 'new' FROM cutoff.keyed WHERE id % 5000 = 10",
            "INSERT IGNORE INTO cutoff.keyed VALUES (-1, 'first'), (900000, 'last')",
            "DELETE FROM cutoff.keyless WHERE a = 3 LIMIT 5",
            "INSERT INTO cutoff.keyless VALUES (3, 'z'), (3, 'z'), (NULL, NULL)",
        ])
        .await;
    }
    // What is not read again isn't looked at again either: nothing was written since.
    if pair.context_is_open() {
        pair.copy(pair.config("cutoff")).await.unwrap();
    }
    pair.assert_equal("cutoff").await;
    assert!(kept_at_first < 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_die_are_followed_by_a_new_snapshot() {
    let pair = Pair::take(&["dying"]).await;
    big_tables(&pair, "dying").await;
    let deaths = Arc::new(AtomicU32::new(0));
    let on_event: OnEvent = {
        let (deaths, url) = (deaths.clone(), pair.source.clone());
        Arc::new(move |event| {
            let first = is_snapshot_taken(event) && deaths.load(Ordering::SeqCst) == 0;
            if first {
                deaths.fetch_add(1, Ordering::SeqCst);
                // All connections but this one: the readers, the keepers of locks.
                now(
                    &url,
                    &[
                        "DROP PROCEDURE IF EXISTS dying.kill_all",
                        "CREATE PROCEDURE dying.kill_all() BEGIN DECLARE n BIGINT; DECLARE done INT DEFAULT 0; \
                         DECLARE c CURSOR FOR SELECT id FROM performance_schema.processlist WHERE user = 'root' AND id <> CONNECTION_ID(); \
                         DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1; DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; \
                         OPEN c; l: LOOP FETCH c INTO n; IF done THEN LEAVE l; END IF; KILL n; END LOOP; END",
                        "CALL dying.kill_all()",
                    ],
                );
            }
        })
    };
    // The procedure is DDL, which the lock for backups would hold back: an account without it.
    let mut config = pair.config("dying");
    config.source = pair.lesser().await;
    let context = pair.context(config, Some(on_event));
    let first = run_and_verify(&context).await;
    assert_eq!(deaths.load(Ordering::SeqCst), 1);
    first.unwrap();
    pair.assert_equal("dying").await;
}
