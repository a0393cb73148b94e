//! `daybreak status` and `watch`: where a migration stands, read from its journal (and before a restore, by
//! whose rules its backup is judged, from its configuration).

use std::{path::Path, time::Duration};

use daybreak::{
    config::Config,
    engine::{Entry, Finding, Journal, Phase, Route, State, StepPhase, context::RESTORE},
    error::{Error, Exit, Kind, Result},
    target::restore::step::RULES,
    transit::inspection::Profile,
};
use serde::Serialize;

use super::Session;
use crate::directory;

fn read(directory: &Path) -> Result<Journal> {
    if !Journal::exists(directory) {
        return Err(Error::new(Kind::State, "there is no migration here")
            .at(directory.display())
            .next("`daybreak run` begins one; --dir names another directory"));
    }
    Journal::open(directory)
}

fn word(phase: StepPhase) -> &'static str {
    match phase {
        StepPhase::Pending => "pending",
        StepPhase::Started => "started",
        StepPhase::Failed => "failed",
        StepPhase::Finished => "finished",
        StepPhase::Verified => "verified",
        StepPhase::Undoing => "being undone",
    }
}

fn headline(state: &State) -> String {
    let phase = match state.phase {
        Phase::Empty => "nothing planned",
        Phase::Planned => "planned; `daybreak run` begins",
        Phase::Active => "at work (or killed: then `daybreak resume`)",
        Phase::Paused
            if state.current() == Some(("cutover", StepPhase::Pending)) && !state.consent =>
        {
            "ready for the cutover: `daybreak cutover --dry-run`, then `daybreak cutover`"
        }
        Phase::Paused
            if !state.consent
                && !state.past_no_return
                && state.current().is_some_and(|(step, _)| step == "cutover") =>
        {
            "the cutover didn't come through: `daybreak cutover` tries again, `daybreak resume` only takes back what it \
             left"
        }
        Phase::Paused => "paused; `daybreak resume` goes on",
        Phase::Completed => "completed",
        Phase::Aborted => "aborted",
    };
    match state.past_no_return {
        true if state.phase != Phase::Completed => format!("{phase}; past the point of no return"),
        _ => phase.to_string(),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    state: &'a State,
    /// That it is none to Amazon Aurora, if it isn't, or that this isn't known.
    rehearsal: Option<&'a str>,
}

/// Whether a backup is restored that Amazon Aurora might refuse: by the journal once it is, and until then by
/// what the configuration says now.
fn rehearsal(journal: &Journal, directory: &Path) -> Result<Option<&'static str>> {
    if !journal.plan().is_ok_and(|plan| plan.route == Route::Physical) {
        return Ok(None);
    }
    let found: Option<Vec<Finding>> = journal.recall(RESTORE, "findings")?;
    let rules = match found {
        Some(found) if found.iter().any(|finding| finding.id == RULES) => Profile::Any,
        Some(_) => Profile::Aurora,
        None => Config::rules(directory)?,
    };
    Ok(rules.caution())
}

/// Prints the state.
pub fn status(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    let journal = read(directory)?;
    let state = journal.state();
    // A configuration that can't be read is no reason not to say where things stand.
    let rehearsal = match rehearsal(&journal, directory) {
        Ok(caution) => caution.map(str::to_string),
        Err(error) => Some(format!("whether this is a rehearsal isn't known: {}", error.what())),
    };
    let rehearsal = rehearsal.as_deref();
    if session.global.json.is_some() {
        session.ui.document(&Document { state: &state, rehearsal });
        return Ok(Exit::Done);
    }
    session.ui.line(&headline(&state));
    if let Some(caution) = rehearsal {
        session.ui.line(caution);
    }
    if let Ok(plan) = journal.plan() {
        session.ui.line(&format!("  {} -> {}", plan.source, plan.target));
    }
    for (step, phase) in &state.steps {
        session.ui.line(&format!("  {:<16} {}", step, word(*phase)));
    }
    let entries = journal.entries()?;
    if let Some(error) = entries.iter().rev().find_map(|record| match &record.entry {
        Entry::StepFailed { error, .. } => Some(error),
        _ => None,
    }) && state.current().is_some_and(|(_, phase)| phase == StepPhase::Failed)
    {
        session.ui.line(&format!("last failure: {error}"));
    }
    Ok(Exit::Done)
}

/// Prints each entry of the journal as another process writes it, until that process ends or pauses.
pub async fn watch(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    let mut seen = 0;
    loop {
        let journal = read(directory)?;
        for record in journal.entries()? {
            if record.seq <= seen {
                continue;
            }
            seen = record.seq;
            if session.global.json.is_some() {
                session.ui.document(&record);
            } else if let Some(text) = describe(&record.entry) {
                session.ui.line(&format!("{:.0}  {text}", record.at));
            }
        }
        match journal.state().phase {
            Phase::Paused => return Ok(Exit::Paused),
            Phase::Completed | Phase::Aborted => return Ok(Exit::Done),
            Phase::Empty | Phase::Planned => {}
            // Between its last entry and its end a process still holds the directory.
            Phase::Active if directory::hold(directory).is_ok() => {
                session.ui.line("the process that was at work is gone; `daybreak resume` goes on");
                return Ok(Exit::Paused);
            }
            Phase::Active => {}
        }
        drop(journal);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        }
    }
}

fn describe(entry: &Entry) -> Option<String> {
    Some(match entry {
        Entry::Planned { plan, .. } => format!("planned migration {}", plan.migration),
        Entry::Resumed { .. } => "taken up".to_string(),
        Entry::SwitchOptions { options } => {
            format!("the cutover is to go by `{}`", options.command())
        }
        Entry::ConsentEnded { why } => format!("consent ended: {why}"),
        Entry::StepStarted { step } => format!("{step}: started"),
        Entry::Checkpoint { .. } => return None,
        Entry::StepFinished { step } => format!("{step}: finished"),
        Entry::StepVerified { step } => format!("{step}: verified"),
        Entry::StepFailed { step, error } => format!("{step}: failed: {error}"),
        Entry::PointOfNoReturn { step } => format!("{step}: the point of no return"),
        Entry::PointOfNoReturnLifted { step } => {
            format!("{step}: before the point of no return again")
        }
        Entry::Paused { reason } => format!("paused: {reason}"),
        Entry::UndoStarted { step } => format!("{step}: being undone"),
        Entry::StepUndone { step } => format!("{step}: undone"),
        Entry::Completed => "completed".to_string(),
        Entry::Aborted => "aborted".to_string(),
    })
}
