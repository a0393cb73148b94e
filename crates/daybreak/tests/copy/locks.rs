//! The lock is bounded, and what opens under it is of one moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use daybreak::{
    error::Kind,
    event::Events,
    mysql::{
        ConnectionId, ServerUrl, Session, Side, TableName,
        activity::{connected, open_transactions},
    },
    select::Selection,
    source::{
        lock::{LockMethod, Reach, WriteLock},
        snapshot::{Snapshot, SnapshotMethod, SnapshotRequest},
    },
};
use rehearsal::server::Product;
use tokio::task::JoinHandle;

use super::harness::{Pair, run_and_verify};

const WAIT: Duration = Duration::from_millis(300);

/// What an account needs that may not stop the whole server.
const LESSER: &str = "SELECT, LOCK TABLES, REPLICATION CLIENT";

/// Writes without end, and tells the longest that a commit took.
fn writer(
    mut session: Session,
    statement: &'static str,
    end: Arc<AtomicBool>,
) -> JoinHandle<(u64, Duration)> {
    tokio::spawn(async move {
        let (mut commits, mut longest) = (0, Duration::ZERO);
        while !end.load(Ordering::SeqCst) {
            let begun = Instant::now();
            session.execute(statement).await.unwrap();
            longest = longest.max(begun.elapsed());
            commits += 1;
        }
        (commits, longest)
    })
}

/// Waits until a condition on the server holds.
async fn until(session: &mut Session, condition: &str) {
    let begun = Instant::now();
    loop {
        let met: Option<i64> = session.scalar(format!("SELECT {condition}")).await.unwrap();
        if met == Some(1) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_queues_behind_a_lock_that_waits() {
    let pair = Pair::take(&["locked"]).await;
    pair.on_source(&[
        "CREATE DATABASE locked",
        "CREATE TABLE locked.read_long (id INT PRIMARY KEY AUTO_INCREMENT)",
        "INSERT INTO locked.read_long VALUES (1), (2)",
        "CREATE TABLE locked.changed (id INT PRIMARY KEY)",
        "CREATE TABLE locked.written (id INT PRIMARY KEY AUTO_INCREMENT)",
    ])
    .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let tables: Vec<TableName> =
        ["read_long", "changed", "written"].map(|name| TableName::new("locked", name)).into();
    let acquire = async |reach, attempts| {
        WriteLock::acquire(reach, &url, &tables, WAIT, attempts, &Events::nowhere()).await
    };
    let end = Arc::new(AtomicBool::new(false));
    let writing = [
        writer(pair.source().await, "INSERT INTO locked.written VALUES ()", end.clone()),
        writer(pair.source().await, "INSERT INTO locked.read_long VALUES ()", end.clone()),
    ];

    // In the way of table locks: a transaction that changed something. The global lock passes by it.
    let mut open = pair.source().await;
    open.execute("START TRANSACTION").await.unwrap();
    open.execute("INSERT INTO locked.changed VALUES (1)").await.unwrap();
    let lock = acquire(Reach::Server, 8).await.unwrap();
    assert_eq!(lock.method(), LockMethod::GlobalReadLock);
    lock.release().await.unwrap();

    let mut reader = pair.source().await;
    let reader_id = reader.id();
    let reading =
        tokio::spawn(async move { reader.execute("SELECT SLEEP(30) FROM locked.read_long").await });
    let mut watcher = pair.source().await;
    until(
        &mut watcher,
        &format!("EXISTS (SELECT 1 FROM performance_schema.processlist WHERE id = {reader_id} AND state LIKE '%sleep%')"),
    )
    .await;
    // At once (nobody looks long yet), and when both have been at it for long.
    for _ in 0..2 {
        let error = acquire(Reach::Tables, 4).await.unwrap_err();
        assert_eq!(error.kind(), Kind::LockWait, "{error}");
        until(
            &mut watcher,
            &format!("EXISTS (SELECT 1 FROM performance_schema.processlist WHERE id = {reader_id} AND time >= 3)"),
        )
        .await;
    }
    // Nor where the whole server is to stand still.
    let error = acquire(Reach::Server, 5).await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait, "{error}");
    let error = acquire(Reach::Tables, 3).await.unwrap_err().to_string();
    for named in [reader_id, open.id()] {
        assert!(error.contains(&format!("connection {named} ")), "{error}");
    }
    assert!(!error.contains("SLEEP"), "{error}");

    // With the transaction gone, table locks pass by the reader.
    open.execute("ROLLBACK").await.unwrap();
    let mut lock = acquire(Reach::Tables, 5).await.unwrap();
    assert_eq!(lock.method(), LockMethod::TableLocks);
    lock.still_held().await.unwrap();
    let id = lock.session().await.id();
    watcher.execute(format!("KILL {id}")).await.unwrap();
    assert_eq!(lock.still_held().await.unwrap_err().kind(), Kind::ConnectionLost);
    lock.release().await.unwrap();

    watcher.execute(format!("KILL {reader_id}")).await.unwrap();
    assert!(reading.await.unwrap().is_err());
    end.store(true, Ordering::SeqCst);
    for writing in writing {
        let (commits, longest) = writing.await.unwrap();
        assert!(commits > 20, "{commits}");
        assert!(longest < Duration::from_secs(1), "a writer waited for {longest:?}");
    }
}

/// A SELECT that has just begun is seen where the whole server is to stand still, by a clock finer than
/// the list of processes has.
#[tokio::test(flavor = "multi_thread")]
async fn a_young_reader_keeps_the_global_lock_from_being_asked_for() {
    let pair = Pair::take(&["young"]).await;
    pair.on_source(&[
        "CREATE DATABASE young",
        "CREATE TABLE young.t (id INT PRIMARY KEY AUTO_INCREMENT)",
        "INSERT INTO young.t VALUES (1)",
    ])
    .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let mut reader = pair.source().await;
    let reader_id = reader.id();
    let reading =
        tokio::spawn(async move { reader.execute("SELECT SLEEP(30) FROM young.t").await });
    let mut watcher = pair.source().await;
    until(
        &mut watcher,
        &format!(
            "EXISTS (SELECT 1 FROM performance_schema.events_statements_current AS s \
             JOIN performance_schema.threads AS t USING (thread_id) \
             WHERE t.processlist_id = {reader_id} AND s.timer_wait > 150000000000)"
        ),
    )
    .await;
    // No tables are named: there is no other way.
    let error = WriteLock::acquire(Reach::Server, &url, &[], WAIT, 1, &Events::nowhere())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait, "{error}");
    assert!(error.to_string().contains(&format!("connection {reader_id} ")), "{error}");
    // It was never asked for: nothing of the table is marked for flushing.
    pair.on_source(&["SET SESSION lock_wait_timeout = 1", "INSERT INTO young.t VALUES ()"]).await;
    watcher.execute(format!("KILL {reader_id}")).await.unwrap();
    assert!(reading.await.unwrap().is_err());
}

/// Runs short statements over many connections, until told to end.
async fn busy(
    pair: &Pair,
    connections: usize,
    statement: &'static str,
    rest: Duration,
    end: &Arc<AtomicBool>,
) -> Vec<JoinHandle<()>> {
    let mut all = Vec::new();
    for _ in 0..connections {
        let (mut session, end) = (pair.source().await, end.clone());
        all.push(tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                session.execute(statement).await.unwrap();
                if rest > Duration::ZERO {
                    tokio::time::sleep(rest).await;
                }
            }
        }));
    }
    all
}

/// On a busy source some statement is always under way, and none for long.
#[tokio::test(flavor = "multi_thread")]
async fn short_statements_are_in_nobodys_way() {
    let pair = Pair::take(&[]).await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    // No tables are named: there is no other way.
    let acquire = async |tries| {
        let lock =
            WriteLock::acquire(Reach::Server, &url, &[], WAIT, tries, &Events::nowhere()).await;
        // Dropped, so that what is done next isn't kept waiting.
        lock.map(|lock| lock.method())
    };
    let end = Arc::new(AtomicBool::new(false));
    let working = busy(&pair, 60, "DO SLEEP(0.002)", Duration::ZERO, &end).await;
    let lock = acquire(200).await;
    end.store(true, Ordering::SeqCst);
    for one in working {
        one.await.unwrap();
    }
    assert_eq!(lock.unwrap(), LockMethod::GlobalReadLock);

    // The same where the server keeps no account of statements; who is seen at rest has begun since.
    let statements = |on: &str| {
        format!(
            "UPDATE performance_schema.setup_consumers SET ENABLED = '{on}' WHERE NAME = 'events_statements_current'"
        )
    };
    pair.on_source(&[&statements("NO")]).await;
    let end = Arc::new(AtomicBool::new(false));
    let working = busy(&pair, 40, "DO SLEEP(0.01)", Duration::from_millis(30), &end).await;
    let lock = acquire(200).await;
    end.store(true, Ordering::SeqCst);
    for one in working {
        one.await.unwrap();
    }
    // And who isn't may be at work for long.
    let mut reader = pair.source().await;
    let reader_id = reader.id();
    let reading = tokio::spawn(async move { reader.execute("DO SLEEP(30)").await });
    let mut watcher = pair.source().await;
    until(
        &mut watcher,
        &format!("EXISTS (SELECT 1 FROM performance_schema.processlist WHERE id = {reader_id} AND command = 'Query')"),
    )
    .await;
    let refused = acquire(1).await;
    watcher.execute(format!("KILL {reader_id}")).await.unwrap();
    assert!(reading.await.unwrap().is_err());
    pair.on_source(&[&statements("YES")]).await;
    assert_eq!(lock.unwrap(), LockMethod::GlobalReadLock);
    let error = refused.unwrap_err();
    assert!(error.to_string().contains(&format!("connection {reader_id} ")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_reload_locks_tables() {
    let pair = Pair::take(&["locked"]).await;
    pair.on_source(&["CREATE DATABASE locked", "CREATE TABLE locked.`a``b` (id INT)"]).await;
    let tables = [TableName::new("locked", "a`b")];
    let events = Events::nowhere();
    let url = pair.account("lesser", LESSER).await;
    let lock = WriteLock::acquire(Reach::Tables, &url, &tables, WAIT, 3, &events).await.unwrap();
    assert_eq!(lock.method(), LockMethod::TableLocks);
    let mut writer = pair.source().await;
    writer.execute("SET SESSION lock_wait_timeout = 1").await.unwrap();
    let error = writer.execute("INSERT INTO locked.`a``b` VALUES (1)").await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait);
    // A dropped lock is an open server.
    drop(lock);
    writer.execute("SET SESSION lock_wait_timeout = 30").await.unwrap();
    writer.execute("INSERT INTO locked.`a``b` VALUES (1)").await.unwrap();

    let url = pair.account("least", "SELECT").await;
    let error =
        WriteLock::acquire(Reach::Tables, &url, &tables, WAIT, 3, &events).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Privilege, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_moment_and_knows_which() {
    let pair = Pair::take(&["moved"]).await;
    pair.on_source(&[
        "CREATE DATABASE moved",
        "CREATE TABLE moved.a (id INT PRIMARY KEY, n BIGINT)",
        "CREATE TABLE moved.b (id INT PRIMARY KEY, n BIGINT)",
        "INSERT INTO moved.a VALUES (1, 1000000), (2, 1000000), (3, 1000000)",
        "INSERT INTO moved.b VALUES (1, 0), (2, 0), (3, 0)",
        "CREATE TABLE moved.log (id INT PRIMARY KEY AUTO_INCREMENT)",
    ])
    .await;
    let (all, lesser) =
        (ServerUrl::parse(&pair.source).unwrap(), pair.account("lesser", LESSER).await);
    let last = async |session: &mut Session| -> u64 {
        let gtids: String = session.scalar("SELECT @@GLOBAL.gtid_executed").await.unwrap().unwrap();
        gtids.rsplit(['-', ':']).next().unwrap().parse().unwrap()
    };
    let mut root = pair.source().await;
    let before = last(&mut root).await;
    let end = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for id in 1..=3 {
        let (mut session, end) = (pair.source().await, end.clone());
        writers.push(tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                for statement in [
                    "START TRANSACTION".to_string(),
                    format!("UPDATE moved.a SET n = n - 1 WHERE id = {id}"),
                    "INSERT INTO moved.log VALUES ()".to_string(),
                    format!("UPDATE moved.b SET n = n + 1 WHERE id = {id}"),
                    "COMMIT".to_string(),
                ] {
                    session.execute(statement).await.unwrap();
                }
            }
        }));
    }
    let config = pair.config("moved");
    let selection = Selection { databases: vec!["moved".into()], ..Selection::default() };
    let mut methods = Vec::new();
    let mut moved = Vec::new();
    for round in 0..24 {
        // Every third under a lock that is held already: the global one, as no tables are named.
        let mut held = None;
        if round % 3 == 2 {
            let lock = WriteLock::acquire(Reach::Server, &all, &[], WAIT, 20, &Events::nowhere())
                .await
                .unwrap();
            assert_eq!(lock.method(), LockMethod::GlobalReadLock);
            held = Some(lock);
        }
        let is_held = held.is_some();
        let mut snapshot = Snapshot::take(SnapshotRequest {
            url: if round % 2 == 0 { &all } else { &lesser },
            selection: &selection,
            sessions: 4,
            copy: &config.copy,
            events: &Events::nowhere(),
            held: held.as_mut(),
        })
        .await
        .unwrap();
        drop(held);
        assert_eq!(snapshot.backup_lock.is_some(), round % 2 == 0);
        let stall = snapshot.record.stall_millis;
        assert!((stall == 0.0) == is_held && stall < 1000.0, "{stall}");
        methods.push(snapshot.record.method);
        let gtids = snapshot.record.coordinates.gtids.to_string();
        let gtid: u64 = gtids.rsplit(['-', ':']).next().unwrap().parse().unwrap();
        for session in &mut snapshot.sessions {
            let sum: u64 = session
                .scalar("SELECT (SELECT SUM(n) FROM moved.a) + (SELECT SUM(n) FROM moved.b)")
                .await
                .unwrap()
                .unwrap();
            assert_eq!(sum, 3_000_000);
            let log: u64 = session.scalar("SELECT COUNT(*) FROM moved.log").await.unwrap().unwrap();
            assert_eq!(log, gtid - before, "what is seen is what the coordinates say");
            moved.push(log);
        }
    }
    end.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(methods.contains(&SnapshotMethod::TableLocks), "{methods:?}");
    assert!(moved.last() > moved.first(), "the writers never stood still");
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_waits_for_the_end_of_a_copy_where_that_can_be_had() {
    let pair = Pair::take(&["ddl"]).await;
    pair.on_source(&["CREATE DATABASE ddl", "CREATE TABLE ddl.t (id INT PRIMARY KEY)"]).await;
    let config = pair.config("ddl");
    let snapshot = Snapshot::take(SnapshotRequest {
        url: &config.source,
        selection: &config.select,
        sessions: 1,
        copy: &config.copy,
        events: &Events::nowhere(),
        held: None,
    })
    .await
    .unwrap();
    let mut root = pair.source().await;
    root.execute("SET SESSION lock_wait_timeout = 1").await.unwrap();
    let error = root.execute("ALTER TABLE ddl.t ADD COLUMN a INT").await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait);
    root.execute("INSERT INTO ddl.t VALUES (1)").await.unwrap();
    drop(snapshot);
    root.execute("SET SESSION lock_wait_timeout = 30").await.unwrap();
    root.execute("ALTER TABLE ddl.t ADD COLUMN a INT").await.unwrap();
}

/// Without BACKUP_ADMIN, DDL waits for who reads a table at that moment, never for the whole copy of it:
/// not for who cuts it into ranges either, when these are handed out faster than they are worked off.
#[tokio::test(flavor = "multi_thread")]
async fn ddl_does_not_wait_until_a_table_is_cut() {
    let pair = Pair::take(&["slow"]).await;
    pair.on_source(&[
        "CREATE DATABASE slow",
        "CREATE TABLE slow.first (id INT PRIMARY KEY, v LONGTEXT)",
    ])
    .await;
    let mut config = pair.config("slow");
    config.copy.threads = 1;
    config.source = pair.account("lesser", LESSER).await;
    let context = pair.context(config.clone(), None);
    daybreak::engine::Step::run(&daybreak::target::rows::CopyRows, &context).await.unwrap();
    drop(context);
    let numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
                   SELECT n FROM s) AS s";
    pair.on_source(&[
        "INSERT INTO slow.first VALUES (1, REPEAT('x', 8000000))",
        "CREATE TABLE slow.then_cut (id INT PRIMARY KEY, v INT)",
        "SET SESSION cte_max_recursion_depth = 100000",
        &format!("INSERT INTO slow.then_cut SELECT n, n FROM {numbers}"),
        "ANALYZE TABLE slow.first, slow.then_cut",
    ])
    .await;

    // The only worker waits for a row of the first table at the target.
    let mut holder = pair.target().await;
    holder.execute("START TRANSACTION").await.unwrap();
    holder.execute("INSERT INTO slow.first VALUES (1, 'in the way')").await.unwrap();
    let context = Arc::new(pair.context(config, None));
    let copying = tokio::spawn({
        let context = context.clone();
        async move { run_and_verify(&context).await }
    });
    // Two ranges of the second lie ready, and the third finds no room.
    let mut watcher = pair.source().await;
    until(
        &mut watcher,
        "COALESCE((SELECT SUM(count_star) FROM performance_schema.events_statements_summary_by_digest \
         WHERE digest_text LIKE '%`slow` . `then_cut` FORCE INDEX%'), 0) >= 3",
    )
    .await;
    let altered = async {
        watcher.execute("SET SESSION lock_wait_timeout = 5").await?;
        watcher.execute("ALTER TABLE slow.then_cut ADD COLUMN w INT, ALGORITHM = COPY").await
    };
    let altered = altered.await;
    holder.execute("ROLLBACK").await.unwrap();
    copying.await.unwrap().unwrap();
    altered.unwrap_or_else(|error| panic!("DDL waited for the copy: {error}"));
    pair.assert_equal("slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_xa_transaction_is_waited_for() {
    let pair = Pair::take(&["xa"]).await;
    pair.on_source(&[
        "CREATE DATABASE xa",
        "CREATE TABLE xa.t (id INT PRIMARY KEY)",
        "XA START 'daybreak-test'",
        "INSERT INTO xa.t VALUES (1)",
        "XA END 'daybreak-test'",
        "XA PREPARE 'daybreak-test'",
    ])
    .await;
    let mut config = pair.config("xa");
    (config.copy.lock_attempts, config.copy.lock_wait) = (6, Duration::from_millis(100));
    let selection = config.select.clone();
    let url = ServerUrl::parse(&pair.source).unwrap();
    let events = Events::nowhere();
    let take = async || {
        Snapshot::take(SnapshotRequest {
            url: &url,
            selection: &selection,
            sessions: 2,
            copy: &config.copy,
            events: &events,
            held: None,
        })
        .await
    };
    let result = take().await;
    // Whatever is asserted, the next test needs the server without it.
    pair.on_source(&["XA COMMIT 'daybreak-test'"]).await;
    let error = result.unwrap_err();
    assert!(error.kind() == Kind::LockWait && error.to_string().contains("XA"), "{error}");
    let mut snapshot = take().await.unwrap();
    let rows: u64 =
        snapshot.sessions[1].scalar("SELECT COUNT(*) FROM xa.t").await.unwrap().unwrap();
    assert_eq!(rows, 1);
}

/// A client that hangs in the middle of a statement can't be asked, and dropping its connection only
/// waits for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_connection_hangs_is_let_go_of() {
    let pair = Pair::take(&["hanging"]).await;
    pair.on_source(&["CREATE DATABASE hanging", "CREATE TABLE hanging.t (id INT PRIMARY KEY)"])
        .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let tables = [TableName::new("hanging", "t")];
    let mut lock = WriteLock::acquire(Reach::Tables, &url, &tables, WAIT, 20, &Events::nowhere())
        .await
        .unwrap();
    let hangs = async { lock.session().await.execute("DO SLEEP(300)").await };
    assert!(tokio::time::timeout(Duration::from_millis(300), hangs).await.is_err());
    let held = lock.release().await.unwrap();
    assert!(held < Duration::from_secs(30), "{held:?}");
    pair.on_source(&["SET SESSION lock_wait_timeout = 1", "INSERT INTO hanging.t VALUES (1)"])
        .await;
}

/// A row that is written but not committed when a table lock is asked for would otherwise be committed
/// under the lock: in the binary log before the position, but not in the views.
async fn waits_for_open_transactions(pair: &Pair) {
    pair.on_source(&["CREATE DATABASE open_one", "CREATE TABLE open_one.t (id INT PRIMARY KEY)"])
        .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let tables = [TableName::new("open_one", "t")];
    let acquire = async |attempts| {
        WriteLock::acquire(Reach::Tables, &url, &tables, WAIT, attempts, &Events::nowhere()).await
    };
    let mut writer = pair.source().await;
    writer.execute("START TRANSACTION").await.unwrap();
    writer.execute("INSERT INTO open_one.t VALUES (1)").await.unwrap();
    let error = acquire(1).await.expect_err("granted over an open transaction");
    assert_eq!(error.kind(), Kind::LockWait, "{error}");
    writer.execute("COMMIT").await.unwrap();
    let lock = acquire(20).await.unwrap();
    assert_eq!(lock.method(), LockMethod::TableLocks);
    let writing =
        tokio::spawn(
            async move { writer.execute("INSERT INTO open_one.t VALUES (2)").await.is_ok() },
        );
    let mut root = pair.source().await;
    let waits = "(SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                 WHERE INFO LIKE 'INSERT INTO open_one%' AND STATE LIKE '%lock%') = 1";
    until(&mut root, waits).await;
    let rows: Option<i64> = root.scalar("SELECT COUNT(*) FROM open_one.t").await.unwrap();
    assert_eq!(rows, Some(1), "written under the lock");
    lock.release().await.unwrap();
    assert!(writing.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn table_locks_wait_for_open_transactions() {
    waits_for_open_transactions(&Pair::take(&["open_one"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_locks_of_mysql_56_wait_for_open_transactions() {
    waits_for_open_transactions(&Pair::with_source(Product::Mysql56, &["open_one"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_locks_of_mariadb_wait_for_open_transactions() {
    waits_for_open_transactions(&Pair::with_source(Product::Mariadb1011, &["open_one"]).await)
        .await;
}

/// Who works at the source is seen whatever the statements say: MySQL answers no query of
/// `information_schema.INNODB_TRX` and `PROCESSLIST` while one has a character of four bytes in it (3854).
async fn any_text_may_run(pair: &Pair) {
    pair.on_source(&[
        "CREATE DATABASE spoken",
        "CREATE TABLE spoken.t (id INT PRIMARY KEY, v VARCHAR(9))",
        "INSERT INTO spoken.t VALUES (1, '')",
    ])
    .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let tables = [TableName::new("spoken", "t")];
    let acquire = async |attempts| {
        WriteLock::acquire(Reach::Tables, &url, &tables, WAIT, attempts, &Events::nowhere()).await
    };
    let mut writer = pair.source().await;
    let id = writer.id();
    writer.execute("SET NAMES utf8mb4").await.unwrap();
    writer.execute("START TRANSACTION").await.unwrap();
    writer.execute("UPDATE spoken.t SET v = 'x'").await.unwrap();
    let writing = tokio::spawn(async move {
        writer.execute("UPDATE spoken.t SET v = 'z' WHERE id = 1 AND SLEEP(600) = '😀'").await
    });
    let mut root = pair.source().await;
    let ours = async |root: &mut Session| {
        let all = open_transactions(root).await.unwrap().unwrap();
        all.into_iter().find(|one| one.id == u64::from(id))
    };
    let begun = Instant::now();
    loop {
        let all = connected(&mut root).await.unwrap();
        let one = all.iter().find(|one| one.id == u64::from(id)).unwrap();
        let open = ours(&mut root).await.unwrap();
        assert!(open.locks);
        if one.command == "Query" && one.seconds >= 1 && open.seconds >= 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{one:?} {open:?}");
    }
    let error = acquire(1).await.expect_err("granted over an open transaction");
    assert_eq!(error.kind(), Kind::LockWait, "{error}");
    assert!(error.to_string().contains(&format!("connection {id} ")), "{error}");
    assert!(error.to_string().contains("a transaction open"), "{error}");

    let mut other = pair.source().await;
    let connection = ConnectionId::of(&mut other).await.unwrap();
    connection.end(&url, Side::Source).await.unwrap();
    assert_eq!(other.execute("DO 1").await.unwrap_err().kind(), Kind::ConnectionLost);

    root.execute(format!("KILL {id}")).await.unwrap();
    assert!(writing.await.unwrap().is_err());
    acquire(20).await.unwrap().release().await.unwrap();
    assert_eq!(ours(&mut root).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_may_run_meanwhile() {
    any_text_may_run(&Pair::take(&["spoken"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_may_run_on_mysql_56() {
    any_text_may_run(&Pair::with_source(Product::Mysql56, &["spoken"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_may_run_on_mariadb() {
    any_text_may_run(&Pair::with_source(Product::Mariadb1011, &["spoken"]).await).await;
}

/// MySQL 5.6 has no metadata lock that keeps rows from being written: what is seen is what the
/// coordinates say all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_mysql_56_knows_its_moment() {
    let pair = Pair::with_source(Product::Mysql56, &["moment"]).await;
    pair.on_source(&[
        "CREATE DATABASE moment",
        "CREATE TABLE moment.log (id INT PRIMARY KEY AUTO_INCREMENT)",
        "FLUSH LOGS",
    ])
    .await;
    let url = ServerUrl::parse(&pair.source).unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..3 {
        let session = pair.source().await;
        writers.push(writer(session, "INSERT INTO moment.log VALUES ()", end.clone()));
    }
    let config = pair.config("moment");
    let selection = Selection { databases: vec!["moment".into()], ..Selection::default() };
    let mut root = pair.source().await;
    // What was logged up to a position; the log isn't read from its beginning each time.
    let (mut logged, mut read_to) = (0, 4);
    for _ in 0..40 {
        let mut snapshot = Snapshot::take(SnapshotRequest {
            url: &url,
            selection: &selection,
            sessions: 3,
            copy: &config.copy,
            events: &Events::nowhere(),
            held: None,
        })
        .await
        .unwrap();
        assert_eq!(snapshot.record.method, SnapshotMethod::TableLocks);
        let at = snapshot.record.coordinates.file.clone().unwrap();
        logged += root
            .rows(format!("SHOW BINLOG EVENTS IN '{}' FROM {read_to}", at.file))
            .await
            .unwrap()
            .iter()
            .filter(|event| {
                let kind: String = root.field(event, "Event_type").unwrap();
                let ends: u64 = root.field(event, "End_log_pos").unwrap();
                kind == "Write_rows" && ends <= at.position
            })
            .count() as u64;
        read_to = at.position;
        for session in &mut snapshot.sessions {
            let seen: u64 =
                session.scalar("SELECT COUNT(*) FROM moment.log").await.unwrap().unwrap();
            assert_eq!(seen, logged, "what is seen is what the coordinates say");
        }
    }
    end.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
}
