//! `daybreak replicate start|status|wait|stop`, on a migration.

use daybreak::{
    config::{self, Config},
    engine::{Journal, StepPhase, StopSignal, target_of},
    error::{Error, Exit, Kind, Result},
    explain::Explanation,
    mysql::{Coordinates, Session as Connection, Side},
    route,
    sync::replicate::{self, Receiver, ReplicaStatus},
};

use serde::Serialize;

use super::{
    Session, explain, listen_for_signals, log_to,
    migration::{self, Planning},
    run,
};
use crate::{
    cli::{OnMigration, Replicate},
    directory,
};

/// Does what was asked.
pub async fn replicate(session: &Session<'_>, verb: Replicate) -> Result<Exit> {
    match verb {
        Replicate::Start(on) => start(session, &on).await,
        Replicate::Stop(on) => {
            let migration = open(session, &on).await?;
            replicate::stop(&migration.context).await?;
            session.ui.line("stopped; `daybreak replicate start` goes on from the same position");
            Ok(Exit::Done)
        }
        Replicate::Status(on) => {
            let config = Config::load(&on.directory.dir, &on.servers.overrides()?)?;
            log_to(session, None)?;
            let target = match Journal::exists(&on.directory.dir) {
                true => target_of(&config, &Journal::open(&on.directory.dir)?)?.0,
                false => config.target,
            };
            let mut target = Connection::open(&target, Side::Target).await?;
            match replicate::status(&mut target).await? {
                Some(mut status) => {
                    let stopped = replicate::stopped_by(&mut target, &status).await?;
                    let stopped = stopped.map(|(error, _)| error);
                    let known = stopped.as_ref().and_then(replicate::explanation);
                    if status.apply_error.is_some() {
                        // A coordinator only counts; this says what its worker met.
                        status.apply_error = stopped;
                    }
                    show(session, &status, known);
                }
                None => {
                    return Err(Error::new(Kind::Replication, "the target is no replica")
                        .at(target.place())
                        .next("`daybreak run` or `daybreak replicate start` makes it one"));
                }
            }
            Ok(Exit::Done)
        }
        Replicate::Wait { on, timeout } => {
            let timeout = config::duration(&timeout)?;
            let config = Config::load(&on.directory.dir, &on.servers.overrides()?)?;
            log_to(session, None)?;
            directory::expect_migration(&on.directory.dir)?;
            let journal = Journal::open(&on.directory.dir)?;
            let plan = journal.plan()?;
            route::check_same_source(&plan, &config, &journal).await?;
            let (target, _) = target_of(&config, &journal)?;
            let stop = StopSignal::default();
            listen_for_signals(stop.clone())?;
            let mut source = Connection::open(&config.source, Side::Source).await?;
            let mut target = Connection::open(&target, Side::Target).await?;
            let goal = Coordinates::read(&mut source).await?;
            replicate::wait_for(&mut target, &goal, plan.position, timeout, &stop).await?;
            session.ui.line(&format!("the target has executed everything up to {goal}"));
            Ok(Exit::Done)
        }
    }
}

async fn open(session: &Session<'_>, on: &OnMigration) -> Result<migration::Migration> {
    migration::open(session, &on.directory.dir, &on.servers, Planning::Never, None, |_| Ok(()))
        .await
}

async fn start(session: &Session<'_>, on: &OnMigration) -> Result<Exit> {
    let migration = open(session, on).await?;
    let state = migration.context.journal.state();
    if state.step(replicate::ID) == Some(StepPhase::Verified) && !state.past_no_return {
        let status = replicate::start(&migration.context).await?;
        show(session, &status, None);
        return Ok(Exit::Done);
    }
    run::go(session, &migration, Some(replicate::ID), false).await
}

/// The status, and what is known of the error that stopped it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a ReplicaStatus,
    explanation: Option<&'static Explanation>,
}

fn show(session: &Session<'_>, status: &ReplicaStatus, explanation: Option<&'static Explanation>) {
    if session.global.json.is_some() {
        session.ui.document(&Shown { status, explanation });
        return;
    }
    let receiver = match status.receiver {
        Receiver::Running => "running",
        Receiver::Connecting => "connecting",
        Receiver::Stopped => "stopped",
    };
    let position = |at: &Option<daybreak::mysql::FilePosition>| {
        at.as_ref().map_or_else(|| "-".to_string(), ToString::to_string)
    };
    for (name, value) in [
        ("source", format!("{}@{}:{}", status.source_user, status.source_host, status.source_port)),
        ("receiver", receiver.to_string()),
        ("applier", if status.applying { "running" } else { "stopped" }.to_string()),
        ("received", position(&status.received)),
        ("executed", position(&status.executed)),
        ("GTIDs", status.executed_gtids.to_string()),
        (
            "behind",
            status.seconds_behind.map_or_else(
                || "unknown".to_string(),
                |seconds| format!("{seconds} s (the server's own figure)"),
            ),
        ),
    ] {
        session.ui.line(&format!("{name:<9} {value}"));
    }
    for (thread, error) in [("receiver", &status.receive_error), ("applier", &status.apply_error)] {
        if let Some(error) = error {
            session.ui.line(&format!("{thread} error {}: {}", error.code, error.text));
        }
    }
    for line in explanation.map(explain::lines).unwrap_or_default() {
        session.ui.line(&line);
    }
}
