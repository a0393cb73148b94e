//! What the entries of a journal tell about time: the steps with each of their runs, the spans in
//! which a process was at work, and the moments worth naming.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PointOfNoReturn;
use crate::{
    engine::{Entry, Plan, Record, State, StepPhase},
    switch::hook::{Ended, HookRun},
};

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// Its last.
    pub to: Timestamp,
}

impl Span {
    /// How long it is, in milliseconds.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.to.as_millisecond() - self.from.as_millisecond()).unwrap_or(0)
    }
}

/// Forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The step was run, or only verified.
    Run,
    /// The step was undone.
    Undo,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// The servers confirm it.
    Verified,
    /// The effects are taken back.
    Undone,
    /// It failed.
    Failed,
    /// It was stopped in good order.
    Stopped,
    /// Its process ended without a word: killed, or the machine went down.
    Lost,
    /// It hasn't ended, as far as the journal knows.
    Open,
}

/// One attempt at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Forward or back.
    pub kind: RunKind,
    /// When it began.
    pub from: Timestamp,
    /// When it ended, or the last sign of life.
    pub to: Timestamp,
    /// How it ended.
    pub end: RunEnd,
}

/// A failure of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The error, as it was printed.
    pub error: String,
}

/// A step of the plan, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub id: String,
    /// What it does.
    pub title: String,
    /// What takes it back.
    pub rollback: String,
    /// Where it stands.
    pub phase: StepPhase,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When the servers confirmed it; none if they didn't, or if it was undone since.
    pub verified_at: Option<Timestamp>,
    /// When its effects were last taken back.
    pub undone_at: Option<Timestamp>,
    /// How long it was worked at in all runs, undo left out, in milliseconds.
    pub millis: u64,
    /// How often its run began.
    pub attempts: u64,
    /// How often it was tried again by itself, without a pause.
    pub retries: u64,
    /// Its failures.
    pub failures: Vec<Failure>,
    /// Each attempt.
    pub runs: Vec<Run>,
}

/// Something that happened to the migration as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Its name: `planned`, `began`, `resumed`, `process_lost`, `paused`, `step_failed`,
    /// `point_of_no_return`, `point_of_no_return_lifted`, `hook`, `step_undone`, `completed`, `aborted`.
    pub what: String,
    /// The step that it concerns.
    pub step: Option<String>,
    /// More words: a reason, an error, a version.
    pub detail: Option<String>,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Failures of steps.
    pub failures: u64,
    /// Steps tried again by themselves.
    pub retries: u64,
    /// Stops in good order before the end.
    pub pauses: u64,
    /// Work taken up again.
    pub resumes: u64,
    /// Processes that ended without a word.
    pub processes_lost: u64,
    /// Steps undone.
    pub undone: u64,
}

pub(super) struct History {
    pub steps: Vec<StepReport>,
    pub sessions: Vec<Span>,
    pub moments: Vec<Moment>,
    pub counts: Counts,
    pub point_of_no_return: Option<PointOfNoReturn>,
    pub versions: Vec<String>,
    pub began_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub elapsed_millis: u64,
    pub working_millis: u64,
}

/// The fold over the entries.
struct Reader<'a> {
    history: History,
    index: BTreeMap<String, usize>,
    metrics: &'a [(Timestamp, String, f64)],
    /// When the process that is at work began.
    at_work: Option<Timestamp>,
    /// The step that is being run or undone.
    open: Option<(usize, RunKind, Timestamp)>,
    /// The steps that failed since the process began.
    failed_here: Vec<usize>,
    /// The entry before.
    last: Option<Timestamp>,
}

impl History {
    pub fn read(
        plan: &Plan,
        state: &State,
        records: &[Record],
        metrics: &[(Timestamp, String, f64)],
    ) -> Self {
        let steps: Vec<StepReport> = plan
            .steps
            .iter()
            .map(|step| StepReport {
                id: step.id.clone(),
                title: step.title.clone(),
                rollback: step.rollback.clone(),
                phase: state.step(&step.id).unwrap_or(StepPhase::Pending),
                started_at: None,
                verified_at: None,
                undone_at: None,
                millis: 0,
                attempts: 0,
                retries: 0,
                failures: Vec::new(),
                runs: Vec::new(),
            })
            .collect();
        let mut reader = Reader {
            index: steps.iter().enumerate().map(|(at, step)| (step.id.clone(), at)).collect(),
            history: History {
                steps,
                sessions: Vec::new(),
                moments: Vec::new(),
                counts: Counts::default(),
                point_of_no_return: None,
                versions: Vec::new(),
                began_at: None,
                ended_at: None,
                elapsed_millis: 0,
                working_millis: 0,
            },
            metrics,
            at_work: None,
            open: None,
            failed_here: Vec::new(),
            last: None,
        };
        for record in records {
            reader.take(record.at, &record.entry);
            reader.last = Some(record.at);
        }
        reader.end()
    }
}

impl Reader<'_> {
    fn take(&mut self, at: Timestamp, entry: &Entry) {
        match entry {
            Entry::Planned { .. } => self.moment(at, "planned", None, None),
            Entry::Resumed { version, .. } => {
                if self.at_work.is_some() {
                    let alive = self.last_sign_of_life(Some(at));
                    self.close(alive, RunEnd::Lost);
                    self.leave(alive);
                    self.history.counts.processes_lost += 1;
                    self.moment(alive, "process_lost", None, None);
                }
                let what = if self.history.began_at.is_none() {
                    self.history.began_at = Some(at);
                    "began"
                } else {
                    self.history.counts.resumes += 1;
                    "resumed"
                };
                if self.history.versions.last() != Some(version) {
                    self.history.versions.push(version.clone());
                }
                self.failed_here.clear();
                self.at_work = Some(at);
                self.moment(at, what, None, Some(format!("daybreak {version}")));
            }
            Entry::StepStarted { step } => {
                let Some(step) = self.step(step) else { return };
                // An attempt that is still open here ended without its failure being written.
                self.close(at, RunEnd::Failed);
                if self.failed_here.contains(&step) {
                    self.history.counts.retries += 1;
                    self.history.steps[step].retries += 1;
                }
                let report = &mut self.history.steps[step];
                report.attempts += 1;
                report.started_at.get_or_insert(at);
                self.open = Some((step, RunKind::Run, at));
            }
            Entry::Checkpoint { step, name, data } if name.starts_with("hook_") => {
                let Ok(run) = serde_json::from_value::<HookRun>(data.clone()) else { return };
                if run.ended != Ended::Begun {
                    let words = format!("{} {}", run.hook.name(), run.words());
                    self.moment(at, "hook", Some(step), Some(words));
                }
            }
            Entry::RepairStarted { table } => {
                self.moment(at, "repair", None, Some(format!("rows of {table}")));
            }
            Entry::SwitchOptions { .. }
            | Entry::ConsentEnded { .. }
            | Entry::RepairEnded { .. }
            | Entry::Checkpoint { .. }
            | Entry::StepFinished { .. } => {}
            Entry::StepVerified { step } => {
                let Some(step) = self.step(step) else { return };
                self.reopen(step);
                self.close(at, RunEnd::Verified);
                self.history.steps[step].verified_at = Some(at);
            }
            Entry::StepFailed { step: id, error } => {
                let Some(step) = self.step(id) else { return };
                self.reopen(step);
                self.close(at, RunEnd::Failed);
                self.failed_here.push(step);
                self.history.counts.failures += 1;
                self.history.steps[step].failures.push(Failure { at, error: error.clone() });
                self.moment(at, "step_failed", Some(id), Some(error.clone()));
            }
            Entry::PointOfNoReturn { step } => {
                self.history.point_of_no_return = Some(PointOfNoReturn { at, step: step.clone() });
                self.moment(at, "point_of_no_return", Some(step), None);
            }
            Entry::PointOfNoReturnLifted { step } => {
                self.history.point_of_no_return = None;
                self.moment(at, "point_of_no_return_lifted", Some(step), None);
            }
            Entry::Paused { reason } => {
                self.close(at, RunEnd::Stopped);
                self.leave(at);
                self.history.counts.pauses += 1;
                self.moment(at, "paused", None, Some(reason.clone()));
            }
            Entry::UndoStarted { step } => {
                let Some(step) = self.step(step) else { return };
                self.close(at, RunEnd::Stopped);
                self.open = Some((step, RunKind::Undo, at));
            }
            Entry::StepUndone { step: id } => {
                let Some(step) = self.step(id) else { return };
                self.close(at, RunEnd::Undone);
                let report = &mut self.history.steps[step];
                (report.undone_at, report.verified_at) = (Some(at), None);
                self.history.counts.undone += 1;
                self.moment(at, "step_undone", Some(id), None);
            }
            Entry::Completed => {
                self.leave(at);
                self.moment(at, "completed", None, None);
            }
            Entry::Aborted => {
                self.leave(at);
                self.moment(at, "aborted", None, None);
            }
        }
    }

    fn step(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    fn moment(&mut self, at: Timestamp, what: &str, step: Option<&str>, detail: Option<String>) {
        self.history.moments.push(Moment {
            at,
            what: what.to_string(),
            step: step.map(str::to_string),
            detail,
        });
    }

    /// A step that had finished its run is only verified after a resume: that began with the process.
    fn reopen(&mut self, step: usize) {
        if self.open.is_none()
            && let Some(from) = self.last.or(self.at_work)
        {
            self.open = Some((step, RunKind::Run, from));
        }
    }

    fn close(&mut self, to: Timestamp, end: RunEnd) {
        let Some((step, kind, from)) = self.open.take() else { return };
        let run = Run { kind, from, to: to.max(from), end };
        let report = &mut self.history.steps[step];
        if kind == RunKind::Run {
            report.millis += Span { from, to: run.to }.millis();
        }
        report.runs.push(run);
    }

    fn leave(&mut self, to: Timestamp) {
        let Some(from) = self.at_work.take() else { return };
        self.history.sessions.push(Span { from, to: to.max(from) });
        self.history.ended_at = Some(to.max(from));
    }

    /// The last entry or figure before a moment: a killed process writes no farewell.
    fn last_sign_of_life(&self, before: Option<Timestamp>) -> Timestamp {
        let floor = self.last.or(self.at_work).unwrap_or(Timestamp::UNIX_EPOCH);
        let measured = self
            .metrics
            .iter()
            .map(|(at, _, _)| *at)
            .filter(|at| before.is_none_or(|before| *at < before))
            .max();
        measured.map_or(floor, |measured| measured.max(floor))
    }

    fn end(mut self) -> History {
        if self.at_work.is_some() {
            let alive = self.last_sign_of_life(None);
            self.close(alive, RunEnd::Open);
            self.leave(alive);
        }
        let mut history = self.history;
        history.working_millis = history.sessions.iter().map(Span::millis).sum();
        if let (Some(from), Some(to)) = (history.began_at, history.ended_at) {
            history.elapsed_millis = Span { from, to }.millis();
        }
        history
    }
}
