//! `daybreak cutover`.

use std::{path::Path, time::Duration};

use daybreak::{
    config::{self, Overrides},
    engine::{Entry, Journal, Phase, StepPhase, SwitchOptions},
    error::{Error, Exit, Kind, Result},
    switch::cut_over,
};

use super::{
    Session,
    migration::{self, Migration, Planning},
    run,
};
use crate::{
    cli::{Servers, Switch},
    directory,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Only to be shown.
    Looking,
    /// The cutover.
    All,
    /// The rest of one that left two histories: the target's stays.
    Choosing,
}

/// Shows the cutover, or does it and everything after.
pub async fn cutover(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    doing: Doing,
    switch: &Switch,
) -> Result<Exit> {
    let migration =
        migration::open(session, directory, servers, Planning::Never, None, |overrides| {
            overrides.target_is_the_truth = doing == Doing::Choosing;
            switch.apply(overrides)
        })
        .await?;
    if doing == Doing::Choosing && !migration.context.journal.state().past_no_return {
        return Err(cut_over::nothing_to_choose());
    }
    if doing == Doing::Looking {
        let found = cut_over::dry_run(&migration.context).await?;
        if session.global.json.is_some() {
            session.ui.document(&found);
        } else {
            for line in &found.lines {
                session.ui.line(line);
            }
        }
        return Ok(if found.blocked { Exit::Found } else { Exit::Done });
    }
    ready(&migration)?;
    note(&migration)?;
    run::go(session, &migration, None, true).await
}

/// Whether everything before the cutover is done: what isn't takes its time, and the moment of a cutover
/// is somebody's choice.
fn ready(migration: &Migration) -> Result<()> {
    let state = migration.context.journal.state();
    match state.steps.iter().take_while(|(step, _)| step != cut_over::ID).find(|(_, phase)| *phase != StepPhase::Verified) {
        None => Ok(()),
        Some((step, _)) => Err(Error::new(
            Kind::Blocked,
            format!("the migration isn't ready for the cutover: {step} isn't done and verified"),
        )
        .at(migration.context.directory.display())
        .next("`daybreak resume` goes on up to the cutover; `daybreak resume --yes` goes on and cuts over")),
    }
}

/// Tells the cutover that waits in another process to open the target.
pub fn go(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    if !Journal::exists(directory) || directory::hold(directory).is_ok() {
        return Err(Error::new(Kind::State, "no cutover waits to be told")
            .at(directory.display())
            .next("`daybreak cutover --pause-before-open` begins one that does; `daybreak status` says where it stands"));
    }
    Journal::request_open(directory)?;
    session
        .ui
        .line("told: if the cutover waits, it opens the target now; `daybreak status` says so");
    Ok(Exit::Done)
}

impl Switch {
    /// Puts what was given over the configuration: `cutover` is told anew how it is to go.
    pub fn apply(&self, overrides: &mut Overrides) -> Result<()> {
        (overrides.max_write_stop, overrides.pause_before_open) = (None, false);
        self.add(overrides)
    }

    /// Puts what was given over what was said before.
    pub fn add(&self, overrides: &mut Overrides) -> Result<()> {
        if let Some(given) = &self.max_write_stop {
            overrides.max_write_stop = Some(config::duration(given)?);
        }
        overrides.pause_before_open |= self.pause_before_open;
        Ok(())
    }
}

/// What was said, as the journal keeps it.
pub fn said(overrides: &Overrides) -> SwitchOptions {
    SwitchOptions {
        pause_before_open: overrides.pause_before_open,
        max_write_stop_millis: overrides.max_write_stop.map(|stop| stop.as_millis() as u64),
    }
}

/// Puts what was said before over the configuration.
pub fn as_before(journal: &Journal, overrides: &mut Overrides) -> Result<()> {
    let before = journal.switch_options()?.unwrap_or_default();
    overrides.pause_before_open = before.pause_before_open;
    overrides.max_write_stop = before.max_write_stop_millis.map(Duration::from_millis);
    Ok(())
}

/// Writes down how the cutover is to go, if that isn't as it was: going on goes by that too.
pub fn note(migration: &Migration) -> Result<()> {
    let journal = &migration.context.journal;
    let ended = matches!(journal.state().phase, Phase::Completed | Phase::Aborted);
    if !ended && journal.switch_options()?.unwrap_or_default() != migration.switch {
        journal.append(Entry::SwitchOptions { options: migration.switch })?;
    }
    Ok(())
}
