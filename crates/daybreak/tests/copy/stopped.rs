//! Where writes stop before the copy: they stay stopped, or the copy is brought up to date.

use daybreak::{
    engine::ReplicationMode,
    error::Kind,
    target::rows::{ensure_current, latest_snapshot},
};

use super::harness::{Pair, run_and_verify};

#[tokio::test(flavor = "multi_thread")]
async fn writes_stay_stopped_for_as_long_as_the_process_lives() {
    let pair = Pair::take(&["stopped"]).await;
    pair.on_source(&[
        "CREATE DATABASE stopped",
        "CREATE TABLE stopped.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "INSERT INTO stopped.t VALUES (1, 'a'), (2, 'b')",
    ])
    .await;
    let mut config = pair.config("stopped");
    config.replication.mode = ReplicationMode::None;
    let first = pair.context(config.clone(), None);
    run_and_verify(&first).await.unwrap();
    let mut writer = pair.source().await;
    writer.execute("SET SESSION lock_wait_timeout = 1").await.unwrap();
    let insert = "INSERT INTO stopped.t VALUES (3, 'c')";
    assert_eq!(writer.execute(insert).await.unwrap_err().kind(), Kind::LockWait);
    ensure_current(&first).await.unwrap();
    let before = latest_snapshot(&first.journal).unwrap().unwrap();

    // The process dies; the source is open, and written to.
    drop(first);
    writer.execute("SET SESSION lock_wait_timeout = 30").await.unwrap();
    writer.execute(insert).await.unwrap();
    writer.execute("DELETE FROM stopped.t WHERE id = 1").await.unwrap();
    let second = pair.context(config, None);
    ensure_current(&second).await.unwrap();
    let after = latest_snapshot(&second.journal).unwrap().unwrap();
    assert!(after.taken_at > before.taken_at && after.coordinates != before.coordinates);
    pair.assert_equal("stopped").await;
    writer.execute("SET SESSION lock_wait_timeout = 1").await.unwrap();
    let error = writer.execute("INSERT INTO stopped.t VALUES (4, 'd')").await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait);
}
