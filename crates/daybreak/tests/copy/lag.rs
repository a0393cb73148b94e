//! A replica of the target that can't follow holds the copy back.

use std::sync::Arc;

use daybreak::{
    error::Kind,
    event::Event,
    mysql::{ServerUrl, Session, Side},
    sync::replicate::ReplicaStatus,
};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    watch::until_within,
};
use tokio::sync::mpsc;

use super::harness::{Pair, run_and_verify};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// A replica of a target, hours behind what is written there.
async fn slow_replica(target: &Server) -> (Server, Session) {
    let options = ServerOptions::new(Product::Mysql97, Role::Plain);
    let replica = Server::start(options).await.unwrap();
    let url = ServerUrl::parse(&replica.root_url()).unwrap();
    let mut session = Session::open(&url, Side::Target).await.unwrap();
    for statement in [
        &format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'root', \
             SOURCE_PASSWORD = '{}', GET_SOURCE_PUBLIC_KEY = 1, SOURCE_DELAY = 7200",
            target.port(),
            target.root_password()
        ),
        "START REPLICA",
    ] {
        session.execute(statement).await.unwrap();
    }
    (replica, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_holds_the_copy_back() {
    let mut pair = Pair::take(&["followed"]).await;
    pair.on_source(&[
        "CREATE DATABASE followed",
        "CREATE TABLE followed.t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO followed.t VALUES (1, 'one'), (2, NULL)",
    ])
    .await;
    let options = ServerOptions::new(Product::Mysql97, Role::Source).durable(false);
    let target = Server::start(options).await.unwrap();
    pair.target = target.root_url();
    let (replica, mut replicating) = slow_replica(&target).await;

    let mut config = pair.config("followed");
    config.copy.throttle.max_replica_lag_millis = Some(1000);
    let error = pair.copy(config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(error.next_step().unwrap().contains("replicas ="), "{error:?}");
    config.copy.replicas = vec![ServerUrl::parse(&pair.source).unwrap()];
    let error = pair.copy(config.clone()).await.unwrap_err();
    assert!(error.what().contains("no replica"), "{error}");

    config.copy.replicas = vec![ServerUrl::parse(&replica.root_url()).unwrap()];
    until_within(PATIENCE, "a replica that is behind", async || {
        let status = ReplicaStatus::read(&mut replicating).await.unwrap();
        status.is_some_and(|status| status.seconds_behind.is_some_and(|behind| behind > 1))
    })
    .await;
    let (told, mut tells) = mpsc::unbounded_channel();
    let context = pair
        .context(config, Some(Arc::new(move |event: &Event| _ = told.send(format!("{event:?}")))));
    let mut heard = async |words: &str| {
        let wait = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = tells.recv().await {
                if event.contains(words) {
                    return;
                }
            }
        });
        wait.await.unwrap_or_else(|_| panic!("it never said {words}"));
    };
    let meanwhile = async {
        heard("the copy waits: replica root@").await;
        let mut target = pair.target().await;
        let rows = target.scalar::<u64>("SELECT COUNT(*) FROM followed.t").await.unwrap();
        assert_eq!(rows, Some(0), "nothing is copied meanwhile");
        for statement in [
            "STOP REPLICA SQL_THREAD",
            "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0",
            "START REPLICA SQL_THREAD",
        ] {
            replicating.execute(statement).await.unwrap();
        }
        heard("the copy goes on").await;
    };
    let (copied, ()) = tokio::join!(run_and_verify(&context), meanwhile);
    copied.unwrap();
    pair.assert_equal("followed").await;
}
