//! More connections load than read, so that rows move while others commit.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use daybreak::{event::Event, mysql::ServerUrl};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::harness::{Pair, run_and_verify};

const ROWS: &[&str] = &[
    "SET SESSION cte_max_recursion_depth = 100000",
    "CREATE DATABASE wide",
    "CREATE TABLE wide.t (id INT PRIMARY KEY, v VARCHAR(200))",
    "INSERT INTO wide.t WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
     SELECT n, REPEAT(n, 20) FROM s",
    "ANALYZE TABLE wide.t",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_move_while_another_chunk_commits() {
    let mut pair = Pair::take(&["wide"]).await;
    pair.on_source(ROWS).await;
    let options = ServerOptions::new(Product::Mysql97, Role::Source).durable(false);
    let target = Server::start(options).await.unwrap();
    pair.target = target.root_url();
    // Each commit takes a tenth of a second.
    let slow = "SET GLOBAL binlog_group_commit_sync_delay = 100000";
    pair.target().await.execute(slow).await.unwrap();
    let mut config = pair.config("wide");
    config.copy.threads = 1;
    config.copy.chunk_bytes = 512 << 10;
    let over = Arc::new(AtomicBool::new(false));
    let mut looking = pair.target().await;
    let looks = tokio::spawn({
        let over = over.clone();
        async move {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                let busy = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                            WHERE INFO = 'COMMIT' OR INFO LIKE 'LOAD DATA%'";
                most = most.max(looking.scalar::<u64>(busy).await.unwrap().unwrap());
            }
            most
        }
    });
    pair.copy(config).await.unwrap();
    over.store(true, Ordering::SeqCst);
    let most = looks.await.unwrap();
    pair.target().await.execute("SET GLOBAL binlog_group_commit_sync_delay = 0").await.unwrap();
    pair.assert_equal("wide").await;
    assert_eq!(most, 2, "one connection reads, and two load");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_gives_no_more_connections_is_loaded_by_fewer() {
    let pair = Pair::take(&["wide"]).await;
    pair.on_source(ROWS).await;
    for statement in [
        "DROP USER IF EXISTS few",
        "CREATE USER few IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 3",
        "GRANT ALL ON *.* TO few",
    ] {
        pair.target().await.execute(statement).await.unwrap();
    }
    let mut config = pair.config("wide");
    let port = config.target.port;
    config.target = ServerUrl::parse(&format!("mysql://few:x@127.0.0.1:{port}/")).unwrap();
    // As many as were asked for there must be.
    config.copy.load_threads = Some(3);
    let error = pair.copy(config.clone()).await.unwrap_err();
    assert_eq!(error.code(), Some(1226), "{error}");

    config.copy.load_threads = None;
    let told = Arc::new(AtomicBool::new(false));
    let context = pair.context(
        config,
        Some(Arc::new({
            let told = told.clone();
            move |event: &Event| {
                if format!("{event:?}").contains("one worker fewer") {
                    told.store(true, Ordering::SeqCst);
                }
            }
        })),
    );
    run_and_verify(&context).await.unwrap();
    pair.assert_equal("wide").await;
    assert!(told.load(Ordering::SeqCst));

    let mut root = pair.target().await;
    root.execute("DROP USER few").await.unwrap();
}
