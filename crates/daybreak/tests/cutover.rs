//! The cutover between real servers: with writers, past its budget, and cut off at every point.

mod pair;

use std::time::Duration;

use daybreak::{
    engine::{Entry, PositionBy, Standing, Step as _, StepPhase},
    error::Kind,
    event::{Event, Events},
    mysql::Side,
    switch::{
        clean_up::LeftOnSource,
        cut_over::{CutOver, CutoverRecord, dry_run},
    },
    sync::replicate,
};
use mysql_async::prelude::Queryable as _;
use pair::{Pair, Seen, Writer, has_daybreak, number, run, session, until};
use rehearsal::server::{Role, ServerOptions};

/// Every row that was acknowledged is on the target, and nothing else.
async fn assert_whole(pair: &Pair, acknowledged: &[i64]) {
    let (here, there) = (Pair::rows(&pair.source).await, Pair::rows(&pair.target).await);
    assert_eq!(here, there);
    for id in acknowledged {
        assert!(there.iter().any(|(found, _)| found == id), "{id} was acknowledged and is lost");
    }
}

async fn the_writes_move(role: Role, by: PositionBy) {
    let mut pair = Pair::start(role, by).await;
    drop(pair.replicate().await);
    let seen = Seen::default();
    let context = pair.context(pair.config(), seen.events());
    let runner = pair.runner(&context);
    let writer = Writer::start(pair.source.root_url(), 100);
    writer.goes_on().await;

    // Not without consent; and the dry run changes nothing.
    let standing = runner.run(None, false).await.unwrap();
    assert_eq!(standing, Standing::WantsConsent("cutover".into()));
    let looked = dry_run(&context).await.unwrap();
    let lines = looked.lines;
    assert!(!looked.blocked);
    assert!(lines.iter().any(|line| line.contains("super_read_only = ON")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("BLOCKED")), "{lines:#?}");
    writer.goes_on().await;

    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    until("the source refuses writes", async || {
        writer.refused.load(std::sync::atomic::Ordering::SeqCst)
    })
    .await;
    let acknowledged = writer.stop().await;
    assert_whole(&pair, &acknowledged).await;
    // Even for root.
    assert!(!pair.source_takes_writes().await);
    let mut target = pair.target.connect_admin().await.unwrap();
    run(&mut target, "INSERT INTO shop.t VALUES (-100, 'on the target')").await;
    let mut watch = session(&pair.target, Side::Target).await;
    assert!(replicate::status(&mut watch).await.unwrap().is_none());

    let record: CutoverRecord = context.journal.recall("cutover", "result").unwrap().unwrap();
    assert!(record.write_stop_millis > 0.0 && record.write_stop_millis < record.budget_millis);
    eprintln!("write stop {:.0} ms", record.write_stop_millis);
    assert!(seen.any(|event| matches!(event, Event::WritesResumed { on_target: true, .. })));
    assert!(context.journal.state().past_no_return);
    assert_eq!(runner.undo(None).await.unwrap_err().kind(), Kind::State);

    // daybreak's own are gone from the target, and named where they stay.
    assert_eq!(
        number(
            &pair.target,
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'daybreak'"
        )
        .await,
        0
    );
    let left: Vec<LeftOnSource> =
        context.journal.recall("clean_up", "left_on_source").unwrap().unwrap();
    assert_eq!(left.len(), 3);
    assert_eq!(left[0].kind, "setting");
    pair.source.restart().await.unwrap();
    assert!(!pair.source_takes_writes().await, "a restart opened the source");
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "SET GLOBAL read_only = OFF").await;
    for one in left {
        run(&mut source, &one.sql).await;
    }
    assert!(!has_daybreak(&pair.source).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_gtids_between_plain_servers() {
    the_writes_move(Role::Plain, PositionBy::Gtid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_gtids_into_aurora() {
    the_writes_move(Role::AuroraStandin, PositionBy::Gtid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_file_into_aurora() {
    the_writes_move(Role::AuroraStandin, PositionBy::File).await;
}

/// Lets the target apply everything this much later.
async fn delay(pair: &Pair, seconds: u32) {
    let mut conn = pair.target.connect_root().await.unwrap();
    run(&mut conn, "STOP REPLICA SQL_THREAD").await;
    run(&mut conn, &format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}")).await;
    run(&mut conn, "START REPLICA SQL_THREAD").await;
}

/// The connection that holds a global read lock.
async fn lock_holder(conn: &mut mysql_async::Conn) -> Option<u64> {
    conn.query_first(
        "SELECT t.PROCESSLIST_ID FROM performance_schema.metadata_locks l \
         JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
         WHERE l.OBJECT_TYPE = 'GLOBAL' AND l.LOCK_TYPE = 'SHARED' AND l.LOCK_STATUS = 'GRANTED' \
         AND l.LOCK_DURATION = 'EXPLICIT'",
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_the_write_stop_is_put_back() {
    let pair = Pair::start(Role::Plain, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let writer = Writer::start(pair.source.root_url(), 100);
    writer.goes_on().await;
    delay(&pair, 3).await;
    let config = || {
        let mut config = pair.config();
        // The delay is no lag to worry about, and longer than what follows takes.
        config.replication.max_lag = Duration::from_secs(30);
        config
    };

    // The budget runs out before the target has executed the last position.
    let seen = Seen::default();
    let mut tight = config();
    tight.cutover.max_write_stop = Duration::from_millis(700);
    let context = pair.context(tight, seen.events());
    let error = pair.runner(&context).run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::WriteStopExceeded, "{error}");
    assert!(seen.any(|event| matches!(event, Event::WritesResumed { on_target: false, millis, .. } if *millis >= 700.0)));
    writer.goes_on().await;
    assert!(!context.journal.state().past_no_return);
    let mut watch = session(&pair.target, Side::Target).await;
    assert!(replicate::is_running_replica(&mut watch).await.unwrap());
    drop(context);

    // The connection that holds the lock is killed in the middle of the stop.
    let context = pair.context(config(), Events::nowhere());
    let runner = pair.runner(&context);
    let killing = async {
        let mut conn = pair.source.connect_root().await.unwrap();
        until("the lock's connection is killed", async || match lock_holder(&mut conn).await {
            Some(id) => conn.query_drop(format!("KILL {id}")).await.is_ok(),
            None => false,
        })
        .await;
        writer.goes_on().await;
    };
    let (result, ()) = tokio::join!(runner.run(None, true), killing);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    assert!(!context.journal.state().past_no_return);

    // Undone, neither the source's writers nor replication notice.
    assert_eq!(context.journal.state().step("cutover"), Some(StepPhase::Failed));
    runner.undo(Some("replicate")).await.unwrap();
    CutOver.undo(&context).await.unwrap();
    writer.goes_on().await;
    assert!(replicate::is_running_replica(&mut watch).await.unwrap());
    drop((runner, context));

    // The process goes away in the middle, and its connections with it: the source opens by itself.
    let context = pair.context(config(), Events::nowhere());
    let runner = pair.runner(&context);
    let going = tokio::spawn(async move { runner.run(None, true).await });
    let mut conn = pair.source.connect_root().await.unwrap();
    until("writes are stopped", async || lock_holder(&mut conn).await.is_some()).await;
    going.abort();
    assert!(going.await.unwrap_err().is_cancelled());
    writer.goes_on().await;
    drop(context);

    // And going on ends well.
    delay(&pair, 0).await;
    let context = pair.context(pair.config(), Events::nowhere());
    pair.runner(&context).run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    let acknowledged = writer.stop().await;
    assert_whole(&pair, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_locks_do_where_the_account_may_not_lock_all() {
    let pair = Pair::start(Role::AuroraStandin, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "CREATE USER mover@'%' IDENTIFIED BY 'moves-It1s'").await;
    run(
        &mut source,
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, LOCK TABLES, PROCESS, REPLICATION CLIENT, REPLICATION SLAVE, \
         SYSTEM_VARIABLES_ADMIN, XA_RECOVER_ADMIN, SHOW VIEW, EVENT, TRIGGER ON *.* TO mover@'%'",
    )
    .await;
    let mut config = pair.config();
    config.source.user = "mover".into();
    config.source.password = Some(daybreak::mysql::Secret::new("moves-It1s"));
    let context = pair.context(config, Events::nowhere());
    let runner = pair.runner(&context);

    // Without the right to close the source nothing is begun.
    run(&mut source, "REVOKE SYSTEM_VARIABLES_ADMIN ON *.* FROM mover@'%'").await;
    let error = runner.run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    run(&mut source, "GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO mover@'%'").await;

    // An application's account: only accounts with SYSTEM_USER may end statements of root.
    run(&mut source, "CREATE USER app@'%' IDENTIFIED BY 'app'").await;
    run(&mut source, "GRANT INSERT ON shop.* TO app@'%'").await;
    let port = pair.source.port();
    let writer =
        Writer::start(format!("mysql://app:app@127.0.0.1:{port}/?prefer_socket=false"), 100);
    writer.goes_on().await;
    // Nor does it go past the point of no return without the right to end who waits for the locks.
    let error = runner.run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Privilege, "{error}");
    assert!(!context.journal.state().past_no_return);
    writer.goes_on().await;
    run(&mut source, "GRANT CONNECTION_ADMIN ON *.* TO mover@'%'").await;
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    let record: CutoverRecord = context.journal.recall("cutover", "result").unwrap().unwrap();
    assert_eq!(record.lock, Some(daybreak::source::lock::LockMethod::TableLocks));
    let acknowledged = writer.stop().await;
    assert_whole(&pair, &acknowledged).await;
    assert!(!pair.source_takes_writes().await);
}

/// Locks on tables don't bind who makes new ones: the position moves on, and the cutover is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_moves_after_the_stop_undoes_it() {
    let pair = Pair::start(Role::AuroraStandin, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "CREATE USER mover@'%' IDENTIFIED BY 'moves-It1s'").await;
    run(
        &mut source,
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, LOCK TABLES, PROCESS, REPLICATION CLIENT, REPLICATION SLAVE, \
         SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, XA_RECOVER_ADMIN, SHOW VIEW, EVENT, TRIGGER ON *.* TO mover@'%'",
    )
    .await;
    let mut config = pair.config();
    config.source.user = "mover".into();
    config.source.password = Some(daybreak::mysql::Secret::new("moves-It1s"));
    let context = pair.context(config, Events::nowhere());
    let runner = pair.runner(&context);

    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let unbound = tokio::spawn({
        let (done, mut root) = (done.clone(), pair.source.connect_root().await.unwrap());
        async move {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                run(&mut root, "CREATE DATABASE unbound").await;
                run(&mut root, "DROP DATABASE unbound").await;
            }
        }
    });
    let error = runner.run(None, true).await.unwrap_err();
    assert!(error.to_string().contains("wrote past"), "{error}");
    assert!(!context.journal.state().past_no_return);
    assert!(pair.source_takes_writes().await);
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    unbound.await.unwrap();

    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(!pair.source_takes_writes().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_replication_writes_stop_before_the_copy() {
    let pair = Pair::start(Role::AuroraStandin, PositionBy::File).await;
    let mut source = pair.source.connect_root().await.unwrap();
    let steps = || -> Vec<Box<dyn daybreak::engine::Step>> {
        vec![
            Box::new(daybreak::target::schema::CreateSchema),
            Box::new(daybreak::target::rows::CopyRows),
            Box::new(CutOver),
            Box::new(daybreak::switch::clean_up::CleanUp),
        ]
    };
    let migration = || {
        let mut config = pair.config();
        config.replication.mode = daybreak::engine::ReplicationMode::None;
        let context =
            pair::context_of(pair.directory.path(), config, pair.by, Events::nowhere(), &steps());
        (daybreak::engine::Runner::new(context.clone(), steps()).unwrap(), context)
    };
    let (runner, context) = migration();
    runner.run(Some("rows"), false).await.unwrap_or_else(|error| panic!("{error}"));
    drop((runner, context));
    // The lock ended with that run; what came since must be copied again.
    run(&mut source, "INSERT INTO shop.t VALUES (1, 'in between')").await;
    let (runner, context) = migration();
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_whole(&pair, &[1]).await;
    assert!(!pair.source_takes_writes().await);
    let record: CutoverRecord = context.journal.recall("cutover", "result").unwrap().unwrap();
    assert!(record.lock.is_some());
}

/// Nothing tells whether a source that was open again was written to.
async fn an_untold_write_arrives(adjust: impl FnOnce(ServerOptions) -> ServerOptions) {
    let pair = Pair::start_with(Role::AuroraStandin, PositionBy::File, adjust).await;
    let steps = || -> Vec<Box<dyn daybreak::engine::Step>> {
        vec![
            Box::new(daybreak::target::schema::CreateSchema),
            Box::new(daybreak::target::rows::CopyRows),
            Box::new(CutOver),
        ]
    };
    let mut config = pair.config();
    config.replication.mode = daybreak::engine::ReplicationMode::None;
    let directory = pair.directory.path();
    let context = pair::context_of(directory, config, pair.by, Events::nowhere(), &steps());
    let runner = daybreak::engine::Runner::new(context.clone(), steps()).unwrap();
    runner.run(Some("rows"), false).await.unwrap_or_else(|error| panic!("{error}"));

    // As a process leaves it that is killed at the point of no return.
    let mut watch = session(&pair.target, Side::Target).await;
    let target = daybreak::mysql::Coordinates::read(&mut watch).await.unwrap();
    let mut source = session(&pair.source, Side::Source).await;
    let fence = serde_json::json!({
        "position": daybreak::mysql::Coordinates::read(&mut source).await.unwrap(),
        "target": target,
        "target_uuid": watch.server_uuid().await.unwrap(),
        "before": {"read_only": false, "super_read_only": false},
    });
    for entry in [
        Entry::Resumed { version: "t".into(), consent: true },
        Entry::StepStarted { step: "cutover".into() },
        Entry::Checkpoint { step: "cutover".into(), name: "fence".into(), data: fence },
        Entry::PointOfNoReturn { step: "cutover".into() },
    ] {
        context.journal.append(entry).unwrap();
    }
    // Filters go by the database that is in use.
    let mut writer = pair.source.connect_root().await.unwrap();
    run(&mut writer, "USE shop").await;
    run(&mut writer, "INSERT INTO shop.t VALUES (1, 'in between')").await;
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_whole(&pair, &[1]).await;
    assert!(!pair.source_takes_writes().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_log_is_never_taken_for_unchanged() {
    an_untold_write_arrives(|source| source.binlog(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_whose_log_leaves_databases_out() {
    an_untold_write_arrives(|source| source.arg("--binlog-ignore-db=shop")).await;
}

/// A log that was begun anew counts from the beginning, and the target skips what it knows by number.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_history_was_reset_is_refused() {
    let pair = Pair::start(Role::Plain, PositionBy::Gtid).await;
    let context = pair.replicate().await;
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "RESET BINARY LOGS AND GTIDS").await;
    let findings = CutOver.check(&context).await.unwrap();
    assert!(findings.iter().any(|finding| finding.id == "cutover.history"), "{findings:#?}");
    assert!(pair.source_takes_writes().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_missing_stop_it() {
    let pair = Pair::start(Role::Plain, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "SET SESSION sql_log_bin = 0").await;
    run(&mut source, "CREATE VIEW shop.v AS SELECT 1").await;
    let context = pair.context(pair.config(), Events::nowhere());
    let runner = pair.runner(&context);
    let error = runner.run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Different, "{error}");
    assert!(error.what().contains("views not on the target: shop.v"), "{error}");
    assert!(pair.source_takes_writes().await);

    // A prepared XA transaction is found before anything is stopped.
    run(&mut source, "DROP VIEW shop.v").await;
    run(&mut source, "SET SESSION sql_log_bin = 1").await;
    for sql in
        ["XA START 'x'", "INSERT INTO shop.t VALUES (7, 'xa')", "XA END 'x'", "XA PREPARE 'x'"]
    {
        run(&mut source, sql).await;
    }
    let error = runner.run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    drop(source);
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "XA COMMIT 'x'").await;
    runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_whole(&pair, &[7]).await;
}

#[cfg(feature = "failpoints")]
#[path = "cutover/again.rs"]
mod again;

#[cfg(feature = "failpoints")]
mod killed {
    use std::process::{Command, Output};

    use super::*;
    use daybreak::engine::{FINDINGS, Journal};

    /// Runs the rest of a migration in a process of its own, as the parent's environment says.
    #[test]
    #[ignore = "run by the tests below, in a process of its own"]
    fn child() {
        let Ok(directory) = std::env::var("DAYBREAK_TEST_DIR") else { return };
        let of = |name: &str| std::env::var(name).unwrap();
        let by = match of("DAYBREAK_TEST_BY").as_str() {
            "gtid" => PositionBy::Gtid,
            _ => PositionBy::File,
        };
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let config = pair::config(&of("DAYBREAK_TEST_SOURCE"), &of("DAYBREAK_TEST_TARGET"));
            let context = pair::context(directory.as_ref(), config, by, Events::nowhere());
            let runner = daybreak::engine::Runner::new(context, pair::steps()).unwrap();
            runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
        });
    }

    pub(super) fn last(pair: &Pair) -> (u64, Entry) {
        let record =
            Journal::open(pair.directory.path()).unwrap().entries().unwrap().pop().unwrap();
        (record.seq, record.entry)
    }

    /// Goes on in another process, which kills itself at an entry.
    pub(super) async fn go_on(pair: &Pair, kill_at: &str) -> Output {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--ignored", "--exact", "killed::child", "--nocapture"])
            .env("DAYBREAK_KILL_AT", kill_at)
            .env("DAYBREAK_TEST_DIR", pair.directory.path())
            .env("DAYBREAK_TEST_SOURCE", pair.source.root_url())
            .env("DAYBREAK_TEST_TARGET", pair.target.admin_url())
            .env("DAYBREAK_TEST_BY", if pair.by == PositionBy::Gtid { "gtid" } else { "file" });
        tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap()
    }

    pub(super) fn named(entry: &Entry) -> String {
        match entry {
            Entry::Checkpoint { name, .. } => name.clone(),
            other => other.kind().to_string(),
        }
    }

    /// After how many entries the next process will write the one of that name.
    async fn distance(pair: &Pair, wanted: &str) -> u64 {
        let journal = Journal::open(pair.directory.path()).unwrap();
        let fence: Option<serde_json::Value> =
            journal.recall::<Option<serde_json::Value>>("cutover", "fence").unwrap().flatten();
        let closed = number(&pair.source, "SELECT @@GLOBAL.super_read_only").await == 1;
        // Taken up, the consent used, the step begun.
        let mut before = match journal.state().past_no_return {
            false => vec!["resumed", "consent_ended", "step_started"],
            true => vec!["resumed", "step_started"],
        };
        // What the gates warn of is noted when it is another than before.
        if journal.recall::<serde_json::Value>("cutover", FINDINGS).unwrap().is_none() {
            before.push(FINDINGS);
        }
        if closed {
            before.extend(["point_of_no_return", "result"]);
        } else {
            if fence.is_some() {
                if journal.state().past_no_return {
                    before.push("point_of_no_return_lifted");
                }
                let mut watch = session(&pair.target, Side::Target).await;
                if replicate::status(&mut watch).await.unwrap().is_none() {
                    before.extend(["source_set", "started"]);
                }
                before.push("no fence");
            }
            before.extend(["closing", "fence", "point_of_no_return", "result"]);
        }
        before.iter().position(|name| *name == wanted).unwrap() as u64 + 1
    }

    /// Goes on until the process is killed at that entry, with the writer going on where it can.
    async fn kill_at(pair: &Pair, writer: &Writer, wanted: &str, point: &str) {
        let kill_at = last(pair).0 + distance(pair, wanted).await;
        let output = go_on(pair, &format!("{kill_at}:{point}")).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_none(), "to be killed at {wanted}:{point}, but: {text}");
        assert_eq!(named(&last(pair).1), wanted, "{point}");
        // Whatever was under way: either the source is closed for good, or it takes writes.
        if number(&pair.source, "SELECT @@GLOBAL.super_read_only").await == 0 {
            writer.goes_on().await;
        }
    }

    async fn at_every_entry(role: Role, by: PositionBy) {
        let pair = Pair::start(role, by).await;
        drop(pair.replicate().await);
        let writer = Writer::start(pair.source.root_url(), 100);
        for wanted in ["closing", "fence", "point_of_no_return"] {
            for point in ["synced", "effect"] {
                kill_at(&pair, &writer, wanted, point).await;
            }
        }
        kill_at(&pair, &writer, "result", "synced").await;
        // What is left has no effect on writes: at whatever entry comes.
        for after in 2.. {
            let (seq, _) = last(&pair);
            let output = go_on(&pair, &format!("{}:effect", seq + after)).await;
            if output.status.success() {
                break;
            }
            assert!(output.status.code().is_none(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let acknowledged = writer.stop().await;
        assert_whole(&pair, &acknowledged).await;
        assert!(!pair.source_takes_writes().await);
        let journal = Journal::open(pair.directory.path()).unwrap();
        assert_eq!(journal.state().phase, daybreak::engine::Phase::Completed);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn at_every_entry_by_gtids() {
        at_every_entry(Role::AuroraStandin, PositionBy::Gtid).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn at_every_entry_by_file() {
        at_every_entry(Role::AuroraStandin, PositionBy::File).await;
    }

    /// Brings a pair to where the target counts as open and the source isn't closed.
    pub(super) async fn past_no_return(by: PositionBy) -> Pair {
        let pair = Pair::start(Role::AuroraStandin, by).await;
        drop(pair.replicate().await);
        let kill_at = last(&pair).0 + distance(&pair, "point_of_no_return").await;
        let output = go_on(&pair, &format!("{kill_at}:synced")).await;
        assert!(output.status.code().is_none());
        assert_eq!(named(&last(&pair).1), "point_of_no_return");
        pair
    }

    /// Whatever the target does, nobody at the source waits for it past the bound.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_target_that_hangs_past_no_return_doesnt_keep_the_source_closed() {
        let pair = past_no_return(PositionBy::Gtid).await;
        let pid = i32::try_from(pair.target.pid()).unwrap();
        // SAFETY: signals to a child process of this test.
        let signal = move |what| unsafe { libc::kill(pid, what) };
        let seen = Seen::default();
        let (events, collected) = (seen.events(), seen.clone());
        let freezing = Events::to(move |event| {
            events.send(event.clone());
            if matches!(event, Event::Note { text, .. } if text.starts_with("writes are stopped by"))
            {
                signal(libc::SIGSTOP);
            }
        });
        let mut config = pair.config();
        config.cutover.max_write_stop = Duration::from_secs(2);
        let context = pair.context(config, freezing);
        let error = pair.runner(&context).run(None, true).await.unwrap_err();
        assert!(pair.source_takes_writes().await);
        signal(libc::SIGCONT);
        assert_eq!(error.kind(), Kind::WriteStopExceeded, "{error}");
        assert!(error.next_step().unwrap().contains("the source takes writes again"), "{error}");
        assert!(
            collected.any(|event| matches!(event, Event::WritesResumed { on_target: false, .. }))
        );
        drop(context);
        let context = pair.context(pair.config(), Events::nowhere());
        pair.runner(&context).run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
        assert_whole(&pair, &[]).await;
        assert!(!pair.source_takes_writes().await);
    }

    /// The second attempt after one that was given up past the point of no return: what is killed
    /// before its own point goes on as any other.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_earlier_point_of_no_return_doesnt_count() {
        let pair = past_no_return(PositionBy::File).await;
        let writer = Writer::start(pair.source.root_url(), 100);
        writer.goes_on().await;
        kill_at(&pair, &writer, "fence", "synced").await;
        // Replication was running all the time.
        until("the target follows", async || Pair::rows(&pair.target).await.len() > 10).await;
        let context = pair.context(pair.config(), Events::nowhere());
        pair.runner(&context).run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
        let acknowledged = writer.stop().await;
        assert_whole(&pair, &acknowledged).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_histories_are_never_merged() {
        for by in [PositionBy::Gtid, PositionBy::File] {
            let pair = past_no_return(by).await;
            let mut source = pair.source.connect_root().await.unwrap();
            run(&mut source, "INSERT INTO shop.t VALUES (500, 'on the source')").await;
            let mut target = pair.target.connect_admin().await.unwrap();
            run(&mut target, "INSERT INTO shop.t VALUES (501, 'on the target')").await;

            let context = pair.context(pair.config(), Events::nowhere());
            let error = pair.runner(&context).run(None, true).await.unwrap_err();
            assert_eq!(error.kind(), Kind::State, "{error}");
            assert!(error.what().contains("both sides may have been written"), "{error}");
            // Nothing was done to either.
            let mut watch = session(&pair.target, Side::Target).await;
            assert!(replicate::status(&mut watch).await.unwrap().is_none());
            assert!(pair.source_takes_writes().await);
            drop(context);
            again::the_target_is_chosen(&pair).await;
        }
    }
}
