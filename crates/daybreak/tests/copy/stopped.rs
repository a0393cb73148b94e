//! Where writes stop before the copy: they stay stopped, or the copy is brought up to date.

use std::sync::Arc;

use daybreak::{
    engine::{Entry, ReplicationMode, StopReason},
    error::Kind,
    event::Event,
    target::{
        objects::CreateObjects,
        rows::{ensure_current, latest_snapshot},
    },
};

use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::harness::{OnEvent, Pair, run_and_verify, step};

#[tokio::test(flavor = "multi_thread")]
async fn writes_stay_stopped_for_as_long_as_the_process_lives() {
    let pair = Pair::take(&["stopped"]).await;
    pair.on_source(&[
        "CREATE DATABASE stopped",
        "CREATE TABLE stopped.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "INSERT INTO stopped.t VALUES (1, 'a'), (2, 'b')",
        "CREATE TABLE stopped.fired (n INT PRIMARY KEY AUTO_INCREMENT)",
        "CREATE TRIGGER stopped.fires AFTER INSERT ON stopped.t FOR EACH ROW INSERT INTO stopped.fired VALUES ()",
        "CREATE TRIGGER stopped.fires_too AFTER DELETE ON stopped.t FOR EACH ROW INSERT INTO stopped.fired VALUES ()",
    ])
    .await;
    let mut config = pair.config("stopped");
    config.replication.mode = ReplicationMode::None;
    let first = pair.context(config.clone(), None);
    run_and_verify(&first).await.unwrap();
    first.journal.append(Entry::StepStarted { step: "objects".into() }).unwrap();
    step(&first, &CreateObjects).await.unwrap();
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

    // So does the next one, after its snapshot and before what differs is copied.
    let signal: Arc<std::sync::OnceLock<daybreak::engine::StopSignal>> = Arc::default();
    let on_event: OnEvent = {
        let signal = signal.clone();
        Arc::new(move |event| {
            if matches!(event, Event::Note { text, .. } if text.starts_with("the snapshot is of")) {
                signal.get().unwrap().stop(StopReason::Pause);
            }
        })
    };
    let second = pair.context(config.clone(), Some(on_event));
    signal.set(second.stop.clone()).ok().unwrap();
    assert_eq!(ensure_current(&second).await.unwrap_err().kind(), Kind::Paused);
    // Nor does asking again in the same process, with the lock still held, say that all is well.
    assert_eq!(ensure_current(&second).await.unwrap_err().kind(), Kind::Paused);
    drop(second);

    let third = pair.context(config, None);
    ensure_current(&third).await.unwrap();
    let after = latest_snapshot(&third.journal).unwrap().unwrap();
    assert!(after.taken_at > before.taken_at && after.coordinates != before.coordinates);
    pair.assert_equal("stopped").await;
    let mut target = pair.target().await;
    let triggers: u64 = target
        .scalar("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'stopped'")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(triggers, 2);
    writer.execute("SET SESSION lock_wait_timeout = 1").await.unwrap();
    let error = writer.execute("INSERT INTO stopped.t VALUES (4, 'd')").await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockWait);
    let entries = third.journal.entries().unwrap().len();
    ensure_current(&third).await.unwrap();
    assert_eq!(third.journal.entries().unwrap().len(), entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_writes_do_not_move_is_not_trusted() {
    let options = ServerOptions::new(Product::Mysql97, Role::Source).durable(false);
    let server = Server::start(options.arg("--binlog-ignore-db=quiet")).await.unwrap();
    let mut pair = Pair::take(&["quiet"]).await;
    pair.source = server.root_url();
    pair.on_source(&[
        "CREATE DATABASE quiet",
        "CREATE TABLE quiet.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "INSERT INTO quiet.t VALUES (1, 'a'), (2, 'b')",
    ])
    .await;
    let mut config = pair.config("quiet");
    config.replication.mode = ReplicationMode::None;
    let first = pair.context(config.clone(), None);
    run_and_verify(&first).await.unwrap();
    drop(first);

    // The process died; the source is open, and written to.
    pair.on_source(&["UPDATE quiet.t SET v = 'new' WHERE id = 2"]).await;
    let second = pair.context(config, None);
    ensure_current(&second).await.unwrap();
    pair.assert_equal("quiet").await;
}
