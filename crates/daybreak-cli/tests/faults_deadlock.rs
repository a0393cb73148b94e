//! Deadlocks that are forced on the target: others hold rows and gaps in a chunk's way, ask for what it has loaded
//! already, and are the heavier ones. The server rolls the whole chunk back each time; it arrives as a whole.

mod support;

use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::server::Role;
use support::{
    connect,
    faults::{Bench, Running},
    long_copy, until,
};

/// How many deadlocks each of daybreak's connections was rolled back for, by what the server counts for its account.
const VICTIM: &str = "SELECT CAST(COALESCE(SUM(SUM_ERROR_RAISED), 0) AS UNSIGNED) \
                      FROM performance_schema.events_errors_summary_by_user_by_error \
                      WHERE USER = 'admin' AND ERROR_NAME = 'ER_LOCK_DEADLOCK'";

/// How many deadlocks InnoDB has seen.
const SEEN: &str =
    "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'";

/// Locks the line that the chunk at work is about to write into the ledger, and no other.
const LINE: &str = "SELECT * FROM daybreak.chunks WHERE migration = @migration AND table_schema = 'shop' \
                    AND table_name = @name AND range_id = @range FOR UPDATE";

/// That line's key, for who reads what isn't committed: it is claimed, and not filled in yet.
const PEEK: &str = "SELECT migration, table_name, range_id FROM daybreak.chunks \
                    WHERE table_schema = 'shop' AND range_rank = ''";

/// Somebody who stands in the way, and what closes the circle.
struct Other {
    name: String,
    conn: Conn,
    closes: String,
}

impl Other {
    /// Takes a lock that a loader will wait for, and is the heavier one of the two.
    async fn in_the_way(bench: &Bench, number: usize, takes: &str, closes: &str) -> Other {
        let mut conn = connect(&bench.pair.target.root_url()).await;
        let name = format!("{number}: {takes}");
        for statement in [
            "SET SESSION cte_max_recursion_depth = 100000, sql_log_bin = 0, innodb_lock_wait_timeout = 120",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "BEGIN",
            &format!(
                "INSERT INTO mysql.heavy WITH RECURSIVE s(n) AS \
                 (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT {number}, n FROM s"
            ),
            takes,
        ] {
            conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        Other { name, conn, closes: closes.to_string() }
    }

    /// If a loader waits for it: closes the circle, and goes.
    async fn strikes(&mut self, peeks: &mut Conn) -> bool {
        let waits: Option<u64> = self
            .conn
            .query_first(
                // By the transaction: whoever waits for a lock that nobody wrote down yet does that itself.
                "SELECT COUNT(*) FROM performance_schema.data_lock_waits \
                 JOIN information_schema.INNODB_TRX ON trx_id = BLOCKING_ENGINE_TRANSACTION_ID \
                 WHERE trx_mysql_thread_id = CONNECTION_ID()",
            )
            .await
            .unwrap();
        if waits == Some(0) {
            return false;
        }
        if self.closes == LINE {
            let line: (String, String, String) = peeks.query_first(PEEK).await.unwrap().unwrap();
            self.conn.exec_drop("SET @migration = ?, @name = ?, @range = ?", line).await.unwrap();
        }
        // Granted once the loader is rolled back.
        let closed = self.conn.query_drop(&self.closes).await;
        closed.unwrap_or_else(|error| panic!("{}: {}: {error}", self.name, self.closes));
        self.conn.query_drop("ROLLBACK").await.unwrap();
        println!("{}", self.name);
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_rolled_back_for_deadlocks_arrive_once() {
    // One that logs statements wouldn't let loaders be READ COMMITTED: gaps are in their way as well.
    let bench = Bench::start_with(|role, options| match role {
        Role::AuroraStandin => options.binlog(true),
        _ => options,
    })
    .await;
    let mut source = bench.pair.source_root().await;
    long_copy::tables(&mut source).await;
    // With one loader nobody else is ever in the way of those who are in its own.
    let directory = bench
        .directory(&long_copy::SETTINGS.replace("threads = 2", "threads = 1\nload_threads = 1"));
    let directory = directory.path();
    let ended = Running::events(directory, &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let mut target = bench.pair.target_root().await;
    for statement in [
        "SET SESSION sql_log_bin = 0",
        "CREATE TABLE mysql.heavy (number INT, n INT, PRIMARY KEY (number, n)) ENGINE = InnoDB",
    ] {
        target.query_drop(statement).await.unwrap();
    }
    let (victims, seen): (u64, u64) = (
        target.query_first(VICTIM).await.unwrap().unwrap(),
        target.query_first(SEEN).await.unwrap().unwrap(),
    );

    // Rows that are to come, and then the line of the chunk that waits for them.
    let mut ways: Vec<(String, String)> = [22_000, 70_000, 123_000, 188_000]
        .iter()
        .map(|id| {
            (format!("INSERT INTO shop.keyed (id, v) VALUES ({id}, 'somebody')"), LINE.into())
        })
        .collect();
    // No key tells these rows apart: whatever was loaded of them must be gone. One of those is asked for.
    ways.push((
        "INSERT INTO shop.nullable VALUES (999, 'somebody')".into(),
        "SELECT v FROM shop.nullable WHERE n = 2 FOR UPDATE".into(),
    ));
    // A gap without rows, and the line of the chunk that waits for it.
    ways.push(("SELECT * FROM shop.keyless FOR UPDATE".into(), LINE.into()));
    let mut others = Vec::new();
    for (number, (takes, closes)) in ways.iter().enumerate() {
        others.push(Other::in_the_way(&bench, number, takes, closes).await);
    }
    let count = others.len() as u64;
    let mut peeks = bench.pair.target_root().await;
    peeks.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await.unwrap();
    let run = Running::events(directory, &["resume", "--until", "rows"]);
    until("each of them was in the way", async || {
        assert!(!run.is_finished(), "it ended: {}", run.text());
        for at in (0..others.len()).rev() {
            if others[at].strikes(&mut peeks).await {
                others.remove(at);
            }
        }
        others.is_empty()
    })
    .await;
    let ended = run.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    assert!(!ended.text.contains("step_failed"), "a chunk only, not the step: {}", ended.text);
    let now: u64 = target.query_first(VICTIM).await.unwrap().unwrap();
    assert_eq!(now - victims, count, "{}", ended.text);
    let now: u64 = target.query_first(SEEN).await.unwrap().unwrap();
    assert!(now - seen >= count, "{now}, {seen} before");
    long_copy::ledger_is_of_one_snapshot(&mut target, "after deadlocks").await;
    target.query_drop("DROP TABLE mysql.heavy").await.unwrap();
    bench.finishes(directory, "after deadlocks").await;
}
