//! `daybreak plan`, `run`, `resume`, `pause`, `undo`, `abort`: the runner over the journal.

use std::path::Path;

use daybreak::{
    engine::{Entry, Journal, Route, Standing},
    error::{Error, Exit, Kind, Result},
    report::{self, Report},
    source::activity,
    sync::verify::repair,
};

use super::{
    Session, cutover,
    migration::{self, Migration, Planning},
};
use crate::{
    cli::{Servers, Switch},
    directory,
};

/// Makes (or makes anew) the plan and prints it.
pub async fn plan(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    route: Route,
    markdown: Option<&Path>,
) -> Result<Exit> {
    let migration =
        migration::open(session, directory, servers, Planning::Anew { route }, None, |_| Ok(()))
            .await?;
    let plan = migration.plan()?;
    if let Some(file) = markdown {
        std::fs::write(file, plan.markdown())
            .map_err(|error| Error::from(error).at(file.display()))?;
    }
    if session.global.json.is_some() {
        session.ui.document(&*plan);
    } else {
        session.ui.line(&plan.markdown());
        session.ui.line("`daybreak run` begins it; it stops before the cutover unless told --yes");
    }
    Ok(Exit::Done)
}

/// Begins or goes on. `begin`: a plan is made when there is none.
pub async fn run(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    switch: &Switch,
    until: Option<&str>,
    yes: bool,
    begin: bool,
) -> Result<Exit> {
    let planning = if begin {
        Planning::IfMissing { consent: yes, route: Route::Logical }
    } else {
        Planning::Never
    };
    let migration = migration::open(session, directory, servers, planning, until, |overrides| {
        switch.add(overrides)
    })
    .await?;
    cutover::note(&migration)?;
    let journal = &migration.context.journal;
    if begin && !yes && journal.state().consent {
        let why = "`daybreak run` without --yes".to_string();
        journal.append(Entry::ConsentEnded { why })?;
    }
    go(session, &migration, until, yes).await
}

/// Runs an opened migration, writes its report, and prints where it ended.
pub async fn go(
    session: &Session<'_>,
    migration: &Migration,
    until: Option<&str>,
    consent: bool,
) -> Result<Exit> {
    repair::go_on(&migration.context).await?;
    let result = tokio::select! {
        result = migration.runner.run(until, consent) => result,
        () = activity::watch(migration.context.clone()) => unreachable!("it has no end"),
    };
    let report = Report::build(&migration.context.journal).and_then(|report| {
        report::write(&report, &migration.context.directory).map(|paths| (report, paths))
    });
    let standing = result?;
    let (report, (_, page)) = report?;
    match standing {
        Standing::Completed => {
            for line in report.summary_lines() {
                session.ui.line(&line);
            }
            session.ui.line(&format!("report: {}", page.display()));
            Ok(Exit::Done)
        }
        Standing::Until(step) => {
            session.ui.line(&format!("stopped after {step}, as asked; `daybreak resume` goes on"));
            Ok(Exit::Done)
        }
        Standing::WantsConsent(step) => {
            session.ui.line(&format!(
                "ready for {step}: `daybreak cutover --dry-run` shows what it does, `{}` does it",
                migration.switch.command()
            ));
            Ok(Exit::Paused)
        }
    }
}

/// Asks the process at work to pause.
pub fn pause(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    directory::expect_migration(directory)?;
    if directory::hold(directory).is_ok() {
        return Err(Error::new(Kind::State, "no process is at work on this migration")
            .at(directory.display())
            .next("`daybreak status` says where it stands"));
    }
    Journal::request_pause(directory)?;
    session.ui.line("asked: it pauses at its next safe point; `daybreak resume` goes on");
    Ok(Exit::Done)
}

/// Takes steps back.
pub async fn undo(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    to: Option<&str>,
) -> Result<Exit> {
    let migration =
        migration::open(session, directory, servers, Planning::Back, None, |_| Ok(())).await?;
    migration.runner.undo(to).await?;
    session.ui.line(match to {
        Some(_) => "undone as far as asked",
        None => "undone: nothing of daybreak's is left on either server",
    });
    Ok(Exit::Done)
}

/// Takes everything back, for good.
pub async fn abort(session: &Session<'_>, directory: &Path, servers: &Servers) -> Result<Exit> {
    let migration =
        migration::open(session, directory, servers, Planning::Back, None, |_| Ok(())).await?;
    migration.runner.abort().await?;
    session.ui.line("aborted: everything is undone, and this migration is closed");
    Ok(Exit::Done)
}
