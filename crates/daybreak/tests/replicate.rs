//! Replication between real servers: set up, followed, broken, taken back.

mod pair;

use std::time::Duration;

use daybreak::{
    config::TargetKind,
    engine::{PositionBy, Step as _, StepPhase, StopSignal},
    error::Kind,
    event::{Event, Events},
    explain::{self, Doing},
    mysql::{Coordinates, Secret, Side},
    sync::{
        heartbeat,
        replicate::{self, Control, SourceLogin, Start},
    },
};
use mysql_async::prelude::Queryable as _;
use pair::{Pair, Seen, has_daybreak, number, run, session, until};
use rehearsal::server::{Product, Role, Server, ServerOptions};

async fn there_and_back(role: Role, by: PositionBy) {
    let pair = Pair::start(role, by).await;
    let seen = Seen::default();
    let context = pair.context(pair.config(), seen.events());
    let runner = pair.runner(&context);
    runner.run(Some("rows"), false).await.unwrap();
    // What comes after the snapshot comes by replication.
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (1, 'after'), (2, 'the snapshot')").await;
    run(&mut source, "DELETE FROM shop.t WHERE id = -3").await;
    runner.run(Some("replicate"), false).await.unwrap();
    pair.equal().await;
    assert!(seen.any(
        |event| matches!(event, Event::Lag { caught_up: true, seconds: Some(s) } if *s < 5.0)
    ));
    assert!(context.journal.metrics().unwrap().iter().any(|(_, name, _)| name == "lag_seconds"));

    // Its place is kept over a stop, and a point can be waited for.
    let stopped = replicate::stop(&context).await.unwrap();
    assert!(!stopped.running());
    run(&mut source, "INSERT INTO shop.t VALUES (3, 'while stopped')").await;
    let mut target = session(&pair.target, Side::Target).await;
    let goal = Coordinates::read(&mut session(&pair.source, Side::Source).await).await.unwrap();
    let short = Duration::from_millis(200);
    let never = StopSignal::default();
    let error = replicate::wait_for(&mut target, &goal, by, short, &never).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Replication, "{error}");
    replicate::start(&context).await.unwrap();
    replicate::wait_for(&mut target, &goal, by, pair::PATIENCE, &never).await.unwrap();
    pair.equal().await;

    // The point right after the source's log was rotated can be waited for as well.
    run(&mut source, "FLUSH BINARY LOGS").await;
    let goal = Coordinates::read(&mut session(&pair.source, Side::Source).await).await.unwrap();
    replicate::wait_for(&mut target, &goal, by, pair::PATIENCE, &never).await.unwrap();

    // Run again where it runs already: nothing is set anew.
    let entries = context.journal.entries().unwrap().len();
    let step = replicate::Replicate;
    context
        .journal
        .append(daybreak::engine::Entry::Resumed { version: "t".into(), consent: false })
        .unwrap();
    step.run(&context).await.unwrap();
    step.verify(&context).await.unwrap();
    assert_eq!(context.journal.entries().unwrap().len(), entries + 1);
    context.journal.append(daybreak::engine::Entry::Paused { reason: "t".into() }).unwrap();

    // Back, and back again.
    runner.undo(Some("rows")).await.unwrap();
    assert!(replicate::status(&mut target).await.unwrap().is_none());
    step.undo(&context).await.unwrap();
    assert_eq!(context.journal.state().step("replicate"), Some(StepPhase::Pending));

    // And there again, without applying anything twice.
    run(&mut source, "INSERT INTO shop.t VALUES (4, 'in between')").await;
    runner.run(Some("replicate"), false).await.unwrap();
    pair.equal().await;
    assert!(replicate::is_running_replica(&mut target).await.unwrap());

    // All of it back: nothing of ours is left on either side.
    assert!(has_daybreak(&pair.source).await && has_daybreak(&pair.target).await);
    runner.undo(None).await.unwrap();
    assert!(!has_daybreak(&pair.source).await && !has_daybreak(&pair.target).await);
    assert!(!pair.directory.path().join("replication.secret").exists());
    assert!(replicate::status(&mut target).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_gtids_between_plain_servers() {
    there_and_back(Role::Plain, PositionBy::Gtid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_gtids_into_aurora() {
    there_and_back(Role::AuroraStandin, PositionBy::Gtid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_file_into_aurora() {
    there_and_back(Role::AuroraStandin, PositionBy::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn troubles_are_named_and_mended() {
    let pair = Pair::start(Role::Plain, PositionBy::File).await;
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "CREATE USER repl@'%' IDENTIFIED BY 'right-It1s'").await;
    run(&mut source, "GRANT REPLICATION SLAVE ON *.* TO repl@'%'").await;
    let with = |password: &str| {
        let mut config = pair.config();
        config.replication.user = Some("repl".into());
        config.replication.password = Some(Secret::new(password));
        config
    };

    // A wrong password: refused at once, named, and not shown.
    let context = pair.context(with("wrong-It1s"), Events::nowhere());
    let error = pair.runner(&context).run(Some("replicate"), false).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Replication, Some(1045)), "{error}");
    assert!(error.to_string().contains("account_host") && !error.to_string().contains("It1s"));
    for record in context.journal.entries().unwrap() {
        assert!(!serde_json::to_string(&record).unwrap().contains("It1s"));
    }
    drop(context);

    // Corrected, the same step goes on.
    let context = pair.context(with("right-It1s"), Events::nowhere());
    let runner = pair.runner(&context);
    runner.run(Some("replicate"), false).await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (10, 'ten')").await;
    pair.equal().await;

    // A row that was written to the target stands in the way.
    let mut target = pair.target.connect_root().await.unwrap();
    run(&mut target, "INSERT INTO shop.t VALUES (11, 'not from the source')").await;
    run(&mut source, "INSERT INTO shop.t VALUES (11, 'from the source')").await;
    let error = replicate::catch_up(&context, PositionBy::File).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Replication, Some(1062)), "{error}");
    assert!(error.next_step().unwrap().contains("on the target already"), "{error}");
    run(&mut target, "DELETE FROM shop.t WHERE id = 11").await;
    replicate::start(&context).await.unwrap();
    pair.equal().await;

    // What `replication.unique_with_null` is about: the second row would lose its 10 after the third has got it.
    run(&mut source, "CREATE TABLE shop.moving (u INT, n INT, UNIQUE KEY only_one (u))").await;
    run(&mut source, "INSERT INTO shop.moving VALUES (5, 1), (10, 2), (7, 3)").await;
    let moved =
        "UPDATE shop.moving SET u = CASE n WHEN 1 THEN 50 WHEN 2 THEN 20 ELSE 10 END ORDER BY n";
    run(&mut source, moved).await;
    let error = replicate::catch_up(&context, PositionBy::File).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Replication, Some(1062)), "{error}");
    let next = error.next_step().unwrap();
    assert!(next.contains("no key without NULL") && next.contains("DROP INDEX"), "{error}");
    // What it says to do helps.
    run(&mut target, "ALTER TABLE shop.moving DROP INDEX only_one").await;
    replicate::start(&context).await.unwrap();
    pair.equal().await;
    run(&mut target, "ALTER TABLE shop.moving ADD UNIQUE KEY only_one (u)").await;
    let mut rows: Vec<(i32, i32)> = target.query("SELECT n, u FROM shop.moving").await.unwrap();
    rows.sort_unstable();
    assert_eq!(rows, [(1, 50), (2, 20), (3, 10)]);

    // A row that was deleted there is missed.
    run(&mut target, "DELETE FROM shop.t WHERE id = 11").await;
    run(&mut source, "UPDATE shop.t SET v = 'changed' WHERE id = 11").await;
    let error = replicate::catch_up(&context, PositionBy::File).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Replication, Some(1032)), "{error}");
    let known = explain::of_code(1032, "", Doing::Replicating).unwrap();
    assert_eq!(error.next_step(), Some(&*known.hint()));
    run(&mut target, "INSERT INTO shop.t VALUES (11, 'from the source')").await;
    replicate::start(&context).await.unwrap();
    pair.equal().await;

    // The operator's own account stays when all is undone.
    runner.undo(None).await.unwrap();
    assert_eq!(
        number(&pair.source, "SELECT COUNT(*) FROM mysql.user WHERE User = 'repl'").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_refused_and_left_alone() {
    let pair = Pair::start(Role::Plain, PositionBy::Gtid).await;
    let mut source = pair.source.connect_root().await.unwrap();
    let context = pair.context(pair.config(), Events::nowhere());
    let runner = pair.runner(&context);

    run(&mut source, "CREATE DATABASE daybreak").await;
    let error = runner.run(Some("rows"), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    runner.undo(None).await.unwrap();
    assert_eq!(source.query::<String, _>("SHOW DATABASES LIKE 'daybreak'").await.unwrap().len(), 1);
    run(&mut source, "DROP DATABASE daybreak").await;

    runner.run(Some("rows"), false).await.unwrap();
    let mut target = pair.target.connect_root().await.unwrap();
    run(
        &mut target,
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'else'",
    )
    .await;
    let error = runner.run(Some("replicate"), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    replicate::Replicate.undo(&context).await.unwrap();
    let mut watch = session(&pair.target, Side::Target).await;
    let status = replicate::status(&mut watch).await.unwrap().unwrap();
    assert_eq!((status.source_user.as_str(), status.source_port), ("else", 1));
    // The heartbeat that was made says whose it is.
    let mut watch = session(&pair.source, Side::Source).await;
    assert_eq!(heartbeat::owner(&mut watch).await.unwrap().as_deref(), Some(pair::MIGRATION));
}

/// A heartbeat that can't be written hides the lag, and keeps nobody from catching up.
#[tokio::test(flavor = "multi_thread")]
async fn positions_decide_where_no_heartbeat_comes() {
    let pair = Pair::start(Role::Plain, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let mut source = pair.source.connect_root().await.unwrap();
    let (mut here, mut there) =
        (session(&pair.source, Side::Source).await, session(&pair.target, Side::Target).await);
    for (broken, mended, why) in [
        ("SET GLOBAL super_read_only = ON", "SET GLOBAL read_only = OFF", "--super-read-only"),
        ("DELETE FROM daybreak.heartbeat", "DROP TABLE daybreak.heartbeat", "has lost its row"),
        ("DO 0", "DO 0", "daybreak.heartbeat"),
    ] {
        // The last beat is of no use any more.
        let old = pair.config().replication.max_lag;
        until("the heartbeat is old", async || {
            let lag = heartbeat::lag(&mut here, &mut there).await.unwrap();
            lag.is_none_or(|lag| lag > old)
        })
        .await;
        run(&mut source, "INSERT INTO shop.t (id) SELECT MAX(id) + 1 FROM shop.t").await;
        run(&mut source, broken).await;
        let seen = Seen::default();
        let context = pair.context(pair.config(), seen.events());
        tokio::time::timeout(pair::PATIENCE, replicate::catch_up(&context, PositionBy::Gtid))
            .await
            .unwrap_or_else(|_| panic!("{broken}: it waits for a heartbeat that doesn't come"))
            .unwrap_or_else(|error| panic!("{broken}: {error}"));
        assert_eq!(Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);
        assert!(
            seen.any(|event| matches!(event, Event::Note { text, .. } if text.contains(why))),
            "{why}: {:?}",
            seen.0.lock().unwrap()
        );
        assert!(seen.any(|event| matches!(event, Event::Lag { caught_up: true, seconds: None })));
        run(&mut source, mended).await;
    }
}

/// Of several workers the one is named that met something, not those that stopped because of it, nor the
/// thread that leads them.
async fn the_first_worker_is_named(product: Product, workers: &str) {
    let options = |role| {
        let options = ServerOptions::new(product, role).binlog(true).durable(false);
        options.buffer_pool_mib(32).redo_log_mib(16)
    };
    let (source, target) = tokio::join!(
        Server::start(options(Role::Source)),
        Server::start(options(Role::Plain).arg(workers))
    );
    let (source, target) = (source.unwrap(), target.unwrap());
    let (mut at_source, mut at_target) =
        (source.connect_root().await.unwrap(), target.connect_root().await.unwrap());
    let mut replica = session(&target, Side::Target).await;
    let from = Coordinates::read(&mut session(&source, Side::Source).await).await.unwrap();
    let control = Control::find(&mut replica, Some(TargetKind::Mysql)).await.unwrap();
    let login = SourceLogin {
        host: "127.0.0.1".into(),
        port: source.port(),
        user: "root".into(),
        password: Secret::new(source.root_password()),
        tls: false,
    };
    control.set_source(&mut replica, &login, Start::At(&from)).await.unwrap();
    run(&mut at_target, "SET SESSION sql_log_bin = 0").await;
    for sql in ["CREATE DATABASE s", "CREATE TABLE s.t (id INT PRIMARY KEY)"] {
        run(&mut at_source, sql).await;
    }
    control.start(&mut replica).await.unwrap();
    until("the table is there", async || {
        at_target.query_drop("INSERT INTO s.t VALUES (5)").await.is_ok()
    })
    .await;
    control.stop(&mut replica).await.unwrap();
    for id in 1..60 {
        run(&mut at_source, &format!("INSERT INTO s.t VALUES ({id})")).await;
    }
    control.start(&mut replica).await.unwrap();
    let mut status = None;
    until("the applier stops", async || {
        status = replicate::status(&mut replica).await.unwrap();
        status.as_ref().is_some_and(|status| status.apply_error.is_some() && !status.applying)
    })
    .await;
    let (error, _) = replicate::stopped_by(&mut replica, &status.unwrap()).await.unwrap().unwrap();
    assert_eq!(error.code, 1062, "{error:?}");
    assert!(error.text.contains("Duplicate entry '5'"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_mysqls_workers_is_named() {
    the_first_worker_is_named(Product::Mysql97, "--replica-parallel-workers=4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_mariadbs_workers_is_named() {
    the_first_worker_is_named(Product::Mariadb1011, "--slave-parallel-threads=4").await;
}
