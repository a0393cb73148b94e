//! By file and offset nothing tells a replica what it has applied already: nothing is applied twice,
//! whatever happens between stopping replication and forgetting where it stood.

mod pair;

use std::sync::Arc;

use daybreak::{
    engine::{Entry, PositionBy, StepPhase},
    error::Kind,
    event::{Event, Events},
    explain::{self, Doing},
    mysql::{Coordinates, Side, TlsMode},
    sync::replicate,
};
use mysql_async::prelude::Queryable as _;
use pair::{Pair, Seen, run, session};
use rehearsal::server::Role;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Stands before a server and holds back, once, what a client says from certain words on.
struct Held {
    port: u16,
    /// The words were said, and didn't reach the server.
    said: Arc<Notify>,
    /// Lets them through.
    pass: Arc<Notify>,
}

impl Held {
    async fn before(port: u16, words: &'static str) -> Held {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let held = Held {
            port: listener.local_addr().unwrap().port(),
            said: Arc::default(),
            pass: Arc::default(),
        };
        let (said, pass) = (held.said.clone(), held.pass.clone());
        tokio::spawn(async move {
            let once = Arc::new(tokio::sync::Mutex::new(true));
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_server, &mut to_client).await },
                );
                let (said, pass, once) = (said.clone(), pass.clone(), once.clone());
                tokio::spawn(async move {
                    let mut piece = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                        if String::from_utf8_lossy(&piece[..length]).contains(words) {
                            let mut once = once.lock().await;
                            if std::mem::take(&mut *once) {
                                said.notify_one();
                                pass.notified().await;
                            }
                        }
                        if to_server.write_all(&piece[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        held
    }
}

/// The lock dies just before replication is stopped, and the target applies what is written then: that
/// is behind the fence, from where it must not be set again.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_the_fence_is_not_applied_again() {
    let pair = Pair::start(Role::Plain, PositionBy::File).await;
    drop(pair.replicate().await);
    let held = Held::before(pair.target.port(), "STOP REPLICA").await;
    let mut config = pair.config();
    (config.target.port, config.target.tls) = (held.port, TlsMode::Off);
    // The wait below is for a condition.
    config.cutover.max_write_stop = pair::PATIENCE;
    let seen = Seen::default();
    let context = pair.context(config, seen.events());
    let runner = pair.runner(&context);
    let between = async {
        held.said.notified().await;
        let mut source = pair.source.connect_root().await.unwrap();
        let holder: u64 = source
            .query_first(
                "SELECT t.PROCESSLIST_ID FROM performance_schema.metadata_locks l \
                 JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
                 WHERE l.OBJECT_TYPE = 'GLOBAL' AND l.LOCK_TYPE = 'SHARED' AND l.LOCK_DURATION = 'EXPLICIT'",
            )
            .await
            .unwrap()
            .expect("nobody holds the lock");
        run(&mut source, &format!("KILL {holder}")).await;
        run(&mut source, "INSERT INTO shop.t VALUES (1, 'behind the fence')").await;
        pair.equal().await;
        held.pass.notify_one();
    };
    let (result, ()) = tokio::join!(runner.run(None, true), between);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    assert!(!context.journal.state().past_no_return);

    // It follows on, without the row that it has.
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (2, 'later')").await;
    replicate::catch_up(&context, PositionBy::File).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);
    assert!(!pair.source_takes_writes().await);
}

/// Put back after a cutover that was called off, then reset by somebody: the fence is no place to
/// begin at any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_replication_that_was_put_back_and_vanished_is_refused() {
    let pair = Pair::start(Role::Plain, PositionBy::File).await;
    let context = pair.replicate().await;
    let mut here = session(&pair.source, Side::Source).await;
    let mut there = session(&pair.target, Side::Target).await;
    // As a process leaves it that is killed when it has put replication back.
    let fence = serde_json::json!({
        "position": Coordinates::read(&mut here).await.unwrap(),
        "target": Coordinates::read(&mut there).await.unwrap(),
        "target_uuid": there.server_uuid().await.unwrap(),
        "before": {"read_only": false, "super_read_only": false},
    });
    let checkpoint =
        |name: &str, data| Entry::Checkpoint { step: "cutover".into(), name: name.into(), data };
    for entry in [
        Entry::Resumed { version: "t".into(), consent: true },
        Entry::StepStarted { step: "cutover".into() },
        checkpoint("fence", fence),
        checkpoint("started", serde_json::Value::Null),
    ] {
        context.journal.append(entry).unwrap();
    }
    drop(context);
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (1, 'behind the fence')").await;
    pair.equal().await;
    let mut target = pair.target.connect_root().await.unwrap();
    run(&mut target, "STOP REPLICA").await;
    run(&mut target, "RESET REPLICA ALL").await;

    let context = pair.context(pair.config(), Events::nowhere());
    let runner = pair.runner(&context);
    let error = runner.run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    assert!(error.next_step().unwrap().contains("undo --to prepare_source"), "{error}");
    assert!(replicate::status(&mut there).await.unwrap().is_none());
    drop((runner, context));

    // The way that it names leads on.
    let seen = Seen::default();
    let context = pair.context(pair.config(), seen.events());
    let runner = pair.runner(&context);
    runner.undo(Some("prepare_source")).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        seen.any(
            |event| matches!(event, Event::Note { text, .. } if text.contains("isn't put back"))
        )
    );
    assert_eq!(context.journal.state().step("rows"), Some(StepPhase::Pending));
    drop((runner, context));
    run(&mut source, "INSERT INTO shop.t VALUES (2, 'later')").await;
    let context = pair.context(pair.config(), Events::nowhere());
    pair.runner(&context).run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);
    assert!(!pair.source_takes_writes().await);
}

/// RESET REPLICA keeps the source's name and forgets the place: a start would begin with the source's
/// first log. Neither `replicate start` nor the steps do that, and no remedy says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_forgot_its_place_is_not_started() {
    let pair = Pair::start(Role::Plain, PositionBy::File).await;
    let context = pair.replicate().await;
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (1, 'applied')").await;
    pair.equal().await;
    let mut target = pair.target.connect_root().await.unwrap();
    let mut watch = session(&pair.target, Side::Target).await;
    let first =
        "CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE = 'binlog.000001', SOURCE_LOG_POS = 4";
    for (told, placed) in [("RESET REPLICA", false), (first, true)] {
        run(&mut target, "STOP REPLICA").await;
        run(&mut target, told).await;
        let status = replicate::status(&mut watch).await.unwrap().unwrap();
        assert_eq!(status.executed.is_some(), placed, "{told}: {status:?}");
        let runner = pair.runner(&context);
        let error = replicate::start(&context).await.unwrap_err();
        assert_eq!(error.kind(), Kind::State, "{told}: {error}");
        assert!(error.next_step().unwrap().contains("undo --to prepare_source"), "{error}");
        // Nor does the cutover.
        let error = runner.run(None, true).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Blocked, "{told}: {error}");
        let status = replicate::status(&mut watch).await.unwrap().unwrap();
        assert!(!status.applying && status.receiver == replicate::Receiver::Stopped, "{status:?}");
    }
    // Taken down and set up again, it is refused still; copied anew, all is well.
    let runner = pair.runner(&context);
    runner.undo(Some("rows")).await.unwrap_or_else(|error| panic!("{error}"));
    let error = runner.run(Some("replicate"), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    runner.undo(Some("prepare_source")).await.unwrap_or_else(|error| panic!("{error}"));
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);

    for code in [1594, 1872, 13124] {
        let known = explain::of_code(code, "", Doing::Replicating).unwrap();
        assert!(known.remedy.contains("undo --to prepare_source"), "{}", known.remedy);
        assert!(!known.remedy.contains("daybreak replicate start"), "{}", known.remedy);
    }
}
