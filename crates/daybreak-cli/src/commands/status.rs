//! `daybreak status` and `watch`: where a migration stands, by its journal (and before a restore, by whose
//! rules its backup is judged, by its configuration). `status` asks the target's replica as well, briefly: a
//! journal doesn't know that replication stopped since.

use std::{path::Path, time::Duration};

use daybreak::{
    config::Config,
    engine::{
        Entry, FINDINGS, Finding, Journal, Phase, ReplicationMode, Route, Severity, State,
        StepPhase, context::RESTORE, noted, target_of,
    },
    error::{Exit, Result},
    report::{Outcome, Report},
    switch::cut_over,
    sync::replicate::{self, Following, Health},
    target::restore::step::RULES,
    transit::inspection::Profile,
};
use serde::Serialize;

use super::Session;
use crate::{cli::Servers, directory};

/// How long the target may take to say how replication stands.
const PATIENCE: Duration = Duration::from_secs(3);

fn read(directory: &Path) -> Result<Journal> {
    directory::expect_migration(directory)?;
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

/// Whether all before the cutover is done, and it waits for the word.
fn is_ready(state: &State) -> bool {
    state.phase == Phase::Paused
        && state.current() == Some((cut_over::ID, StepPhase::Pending))
        && !state.consent
}

fn headline(state: &State, replication: Option<&Health>) -> String {
    let down = replication.map(|health| health.state).filter(|_| is_ready(state));
    let stopped = replication.is_some_and(|health| health.state == Following::Stopped);
    let phase = match state.phase {
        _ if down == Some(Following::Stopped) => {
            "not ready for the cutover: replication has stopped"
        }
        _ if down == Some(Following::Nobody) => {
            "not ready for the cutover: the target replicates from nobody"
        }
        Phase::Empty => "nothing planned",
        Phase::Planned => "planned; `daybreak run` begins",
        Phase::Active => "at work (or killed: then `daybreak resume`)",
        Phase::Paused if is_ready(state) => {
            "ready for the cutover: `daybreak cutover --dry-run`, then `daybreak cutover`"
        }
        Phase::Paused
            if !state.consent
                && !state.past_no_return
                && state.current().is_some_and(|(step, _)| step == cut_over::ID) =>
        {
            "the cutover didn't come through: `daybreak cutover` tries again, `daybreak resume` only takes back what it \
             left"
        }
        Phase::Paused if stopped => "paused, and replication has stopped",
        Phase::Paused => "paused; `daybreak resume` goes on",
        Phase::Completed => "completed",
        Phase::Aborted => "aborted",
    };
    match state.past_no_return {
        true if state.phase != Phase::Completed => format!("{phase}; past the point of no return"),
        _ => phase.to_string(),
    }
}

/// The state, how replication stands, and what failed last: the JSON form.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    state: &'a State,
    /// None where the target isn't to follow, or not yet, or not any more.
    replication: Option<Health>,
    /// Why it stands where it does, if that is a failure.
    failure: Option<String>,
    /// That it is none to Amazon Aurora, if it isn't, or that this isn't known.
    rehearsal: Option<&'a str>,
    /// What the steps found.
    findings: &'a [Finding],
    /// The columns that aren't migrated.
    columns_left_out: Vec<String>,
}

/// Whether a backup is restored that Amazon Aurora might refuse: by the journal once it is, and until then by
/// what the configuration says now.
fn rehearsal(journal: &Journal, directory: &Path) -> Result<Option<&'static str>> {
    if !journal.plan().is_ok_and(|plan| plan.route == Route::Physical) {
        return Ok(None);
    }
    let found: Option<Vec<Finding>> = journal.recall(RESTORE, FINDINGS)?;
    let rules = match found {
        Some(found) if found.iter().any(|finding| finding.id == RULES) => Profile::Any,
        Some(_) => Profile::Aurora,
        None => Config::rules(directory)?,
    };
    Ok(rules.caution())
}

/// Prints the state. Changes nothing on either server.
pub async fn status(session: &Session<'_>, directory: &Path, servers: &Servers) -> Result<Exit> {
    let journal = read(directory)?;
    let state = journal.state();
    // A configuration that can't be read is no reason not to say where things stand.
    let rehearsal = match rehearsal(&journal, directory) {
        Ok(caution) => caution.map(str::to_string),
        Err(error) => Some(format!("whether this is a rehearsal isn't known: {}", error.what())),
    };
    let rehearsal = rehearsal.as_deref();
    let replication = replication(&journal, directory, servers).await;
    let report = Report::build(&journal).ok().map(|report| report.verdict);
    let failure = report
        .filter(|verdict| verdict.outcome == Outcome::Failed)
        .and_then(|verdict| verdict.detail);
    let findings = noted(&journal.entries()?);
    // Without a plan nothing is left out, and where things stand is told all the same.
    let plan = journal.plan().ok();
    let columns = plan.iter().flat_map(|plan| &plan.selection.exclude_columns);
    let columns: Vec<String> = columns.map(ToString::to_string).collect();
    if session.global.json.is_some() {
        session.ui.document(&Shown {
            state: &state,
            replication,
            failure,
            rehearsal,
            findings: &findings,
            columns_left_out: columns,
        });
        return Ok(Exit::Done);
    }
    session.ui.line(&headline(&state, replication.as_ref()));
    if let Some(caution) = rehearsal {
        session.ui.line(caution);
    }
    if let Some(plan) = &plan {
        session.ui.line(&format!("  {} -> {}", plan.source, plan.target));
    }
    if !columns.is_empty() {
        session.ui.line(&format!("  not migrated: column {}", columns.join(", column ")));
    }
    for (step, phase) in &state.steps {
        session.ui.line(&format!("  {:<16} {}", step, word(*phase)));
    }
    // When it is over, the report has what was found on the way. That it is a rehearsal stands above.
    let over = matches!(state.phase, Phase::Completed | Phase::Aborted);
    for finding in findings.iter().filter(|finding| !over && finding.id != RULES) {
        match finding.severity {
            Severity::Note => session.ui.line(&format!("note     {}", finding.line())),
            Severity::Warning | Severity::Blocker => {
                session.ui.line(&format!("warning  {}", finding.line()));
                session.ui.line(&format!("         remedy: {}", finding.remedy));
            }
        }
    }
    if let Some(health) = replication {
        session.ui.line(&health.why);
        if let Some(next) = &health.next {
            session.ui.line(&format!("  next:  {next}"));
        }
        if health.state == Following::Unknown {
            session
                .ui
                .line("  what stands above is the journal's: replication may have stopped since");
        }
    }
    if let Some(failure) = failure {
        session.ui.line(&format!("last failure: {failure}"));
    }
    Ok(Exit::Done)
}

/// How replication stands, where it was set up and writes weren't moved yet.
async fn replication(journal: &Journal, directory: &Path, servers: &Servers) -> Option<Health> {
    let (state, plan) = (journal.state(), journal.plan().ok()?);
    let begun = state
        .step(replicate::ID)
        .is_some_and(|phase| !matches!(phase, StepPhase::Pending | StepPhase::Undoing));
    let at_work = matches!(state.phase, Phase::Active | Phase::Paused);
    if plan.replication != ReplicationMode::Native || !begun || !at_work || state.past_no_return {
        return None;
    }
    let target = servers
        .overrides()
        .and_then(|overrides| Config::load(directory, &overrides))
        .and_then(|config| target_of(&config, journal));
    let mut health = match target {
        Ok((target, _)) => Health::ask(&target, PATIENCE).await,
        Err(error) => Health::unknown(&error),
    };
    // While it is being set up, or taken down by the cutover, a target without a source is as it should be.
    if health.state == Following::Nobody && !replicate::must_follow(&state) {
        health.next = None;
    }
    Some(health)
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
        Entry::RepairStarted { table } => format!("rows of {table} are being repaired"),
        Entry::RepairEnded { table } => format!("the repair of {table} is over"),
        Entry::Paused { reason } => format!("paused: {reason}"),
        Entry::UndoStarted { step } => format!("{step}: being undone"),
        Entry::StepUndone { step } => format!("{step}: undone"),
        Entry::Completed => "completed".to_string(),
        Entry::Aborted => "aborted".to_string(),
    })
}
