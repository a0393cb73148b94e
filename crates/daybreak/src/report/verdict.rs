//! What came of a migration, in plain words. Nothing is called equal that wasn't compared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Totals, Verification, figures,
    history::{History, RunKind},
};
use crate::engine::{Entry, Phase, Plan, Record, State, StepPhase};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Planned; nothing was done.
    Planned,
    /// A process is at work, or ended without a word.
    Running,
    /// Stopped in good order.
    Paused,
    /// Stopped by a failure; resumable.
    Failed,
    /// Every step is verified, and both sides were found equal.
    Completed,
    /// Every step is verified, but the journal holds no proof that both sides are equal.
    CompletedUnproven,
    /// Every step was taken back.
    Undone,
    /// Given up, every step taken back.
    Aborted,
    /// The servers agree, but a rehearsal's writer misses something.
    Disproved,
}

/// What came of it, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// For machines.
    pub outcome: Outcome,
    /// One sentence.
    pub headline: String,
    /// More, where there is more to say.
    pub detail: Option<String>,
    /// The step at which it stands, when it isn't done.
    pub step: Option<String>,
    /// What to do next.
    pub next: Option<String>,
}

/// Reasons of a pause that are no failure, as the runner writes them.
const IN_GOOD_ORDER: [&str; 3] = ["as far as asked", "paused, as asked", "interrupted"];

/// The fields of a rehearsal's proof that must not be false.
pub(super) const PROOFS: [&str; 3] = ["passed", "all_on_target", "source_closed"];

pub(super) fn judge(
    plan: &Plan,
    state: &State,
    records: &[Record],
    history: &History,
    verification: Option<&Verification>,
    totals: &Totals,
) -> Verdict {
    let current = state.current();
    let step = current.map(|(id, _)| id.to_string());
    let place = |id: &str| {
        let number = plan.steps.iter().position(|step| step.id == id).map_or(0, |at| at + 1);
        format!("step {number} of {}, {id}", plan.steps.len())
    };
    let here = step.as_deref().map_or_else(|| "the end".to_string(), place);
    let say = |outcome, headline: String, detail: Option<String>, next: Option<&str>| Verdict {
        outcome,
        headline,
        detail,
        step: step.clone(),
        next: next.map(str::to_string),
    };
    match state.phase {
        Phase::Empty | Phase::Planned => say(
            Outcome::Planned,
            "Planned; nothing was done yet".into(),
            None,
            Some("`daybreak run` begins"),
        ),
        Phase::Active => say(
            Outcome::Running,
            format!("At work at {here}"),
            Some("as far as the journal knows: a process is at work, or was killed".into()),
            Some("`daybreak resume` goes on if no process is at work"),
        ),
        Phase::Completed => completed(verification, totals, say),
        Phase::Aborted => say(
            Outcome::Aborted,
            "Given up: every step was taken back".into(),
            last_failure(history),
            None,
        ),
        Phase::Paused => {
            let undone = history.counts.undone > 0;
            if undone && state.steps.iter().all(|(_, phase)| *phase == StepPhase::Pending) {
                return say(
                    Outcome::Undone,
                    "Undone: every step was taken back".into(),
                    last_failure(history),
                    Some("`daybreak run` begins anew, `daybreak abort` closes the migration"),
                );
            }
            let equal = verification.is_some_and(|found| found.equal);
            paused(state, records, history, equal, &here, say)
        }
    }
}

fn completed(
    verification: Option<&Verification>,
    totals: &Totals,
    say: impl Fn(Outcome, String, Option<String>, Option<&str>) -> Verdict,
) -> Verdict {
    let Some(found) = verification else {
        return say(
            Outcome::CompletedUnproven,
            "Completed, without a comparison of both sides in the journal".into(),
            None,
            Some("`daybreak verify` compares both sides"),
        );
    };
    let tables = figures::things(totals.tables, "table", "tables");
    if found.equal {
        let by = match found.mode.as_deref() {
            Some("checksum") => "by checksums computed inside both servers",
            Some("full") => "row by row",
            Some("count") => {
                return say(
                    Outcome::CompletedUnproven,
                    "Completed: both sides have the same numbers of rows".into(),
                    Some(format!("{tables} counted; their contents were not compared")),
                    Some("`daybreak verify --mode checksum` compares contents"),
                );
            }
            _ => "by verification",
        };
        let rows = found.rows.map_or_else(String::new, |rows| {
            format!(" with {}", figures::things(rows, "row", "rows"))
        });
        return say(
            Outcome::Completed,
            "Completed: both sides were found equal".into(),
            Some(format!("{tables}{rows} compared {by}")),
            None,
        );
    }
    say(
        Outcome::CompletedUnproven,
        "Completed, but not every table was found equal".into(),
        Some(format!(
            "{} equal, {} different, {} unproven",
            figures::things(found.tables_equal, "table", "tables"),
            found.tables_different,
            found.tables_unproven
        )),
        Some("see the tables below; `daybreak verify` compares them again"),
    )
}

fn paused(
    state: &State,
    records: &[Record],
    history: &History,
    equal: bool,
    here: &str,
    say: impl Fn(Outcome, String, Option<String>, Option<&str>) -> Verdict,
) -> Verdict {
    let reason = records.iter().rev().find_map(|record| match &record.entry {
        Entry::Paused { reason } => Some(reason.as_str()),
        _ => None,
    });
    let reason = reason.unwrap_or("no reason is given");
    let (step, phase) = state.current().unzip();
    let undoing = state.steps.iter().find(|(_, phase)| *phase == StepPhase::Undoing);
    // Another attempt at the cutover is asked for anew.
    let cutting_over = step == Some("cutover") && !state.past_no_return;
    let resume = Some(match cutting_over {
        true => "`daybreak cutover` tries again, `daybreak undo` takes all back",
        false => "`daybreak resume` goes on from here, `daybreak undo` takes all back",
    });
    if let Some((id, _)) = undoing {
        return say(
            Outcome::Failed,
            format!("Undo stopped while taking back {id}"),
            Some(reason.to_string()),
            Some("`daybreak undo` goes on with it"),
        );
    }
    if !IN_GOOD_ORDER.contains(&reason) || phase == Some(StepPhase::Failed) {
        // The whole error has more to say than the reason of the pause.
        let error = (phase == Some(StepPhase::Failed)).then(|| last_failure(history)).flatten();
        let next = if cutting_over {
            "the source has the writes; remove the cause, then `daybreak cutover` tries again; `daybreak undo` takes all back"
        } else if state.past_no_return {
            "`daybreak resume` goes on from here; undo is past its point of no return"
        } else {
            "remove the cause, then `daybreak resume` goes on from here; `daybreak undo` takes all back"
        };
        return say(
            Outcome::Failed,
            format!("Failed at {here}, and paused there"),
            Some(error.unwrap_or_else(|| reason.to_string())),
            Some(next),
        );
    }
    let undid = history
        .steps
        .iter()
        .flat_map(|step| &step.runs)
        .max_by_key(|run| run.to)
        .is_some_and(|run| run.kind == RunKind::Undo);
    let ready = !state.consent && cutting_over && phase == Some(StepPhase::Pending);
    if undid && !ready {
        return say(Outcome::Paused, format!("Taken back to before {here}"), None, resume);
    }
    if ready {
        return say(
            Outcome::Paused,
            "Ready for the cutover, which waits for consent".into(),
            equal.then(|| "both sides were found equal".to_string()),
            Some("`daybreak resume --yes` goes through it, `daybreak undo` takes all back"),
        );
    }
    let why = match reason {
        "as far as asked" => "it was run as far as asked".to_string(),
        "paused, as asked" => "a pause was asked for".to_string(),
        "interrupted" => "it was interrupted (Ctrl-C or SIGTERM)".to_string(),
        other => other.to_string(),
    };
    say(Outcome::Paused, format!("Paused at {here}, because {why}"), None, resume)
}

fn last_failure(history: &History) -> Option<String> {
    let failures = history.steps.iter().flat_map(|step| {
        step.failures.iter().map(move |failure| (failure.at, &step.id, &failure.error))
    });
    failures.max_by_key(|(at, _, _)| *at).map(|(_, id, error)| format!("{id}: {error}"))
}

/// Whether a rehearsal's proof holds; none if it doesn't say.
pub(super) fn passed(proof: &Value) -> Option<bool> {
    PROOFS
        .iter()
        .filter_map(|name| proof.get(*name).and_then(Value::as_bool))
        .reduce(|all, one| all && one)
}

/// Turns a verdict, since a rehearsal's writer misses something.
pub(super) fn disprove(verdict: &mut Verdict) {
    let before = std::mem::replace(
        &mut verdict.headline,
        "Not proven: the rehearsal failed its proof".into(),
    );
    verdict.detail = Some(match verdict.detail.take() {
        Some(detail) => format!("by the servers alone: {before} ({detail})"),
        None => format!("by the servers alone: {before}"),
    });
    verdict.outcome = Outcome::Disproved;
    verdict.next = Some("see the rehearsal's findings".into());
}
