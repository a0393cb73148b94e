//! What a migration's journal adds up to: one total function from a state and an entry to the next
//! state, or to a refusal. Nothing else decides what may follow what.

use serde::{Deserialize, Serialize};

use super::Plan;

/// How the operator wants the cutover to go, beside what `daybreak.toml` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchOptions {
    /// Whether it waits, with writes stopped, to be told to open the target.
    pub pause_before_open: bool,
    /// The longest that writes may be stopped, in milliseconds; none: as configured.
    pub max_write_stop_millis: Option<u64>,
}

impl SwitchOptions {
    /// The command that cuts over so.
    pub fn command(&self) -> String {
        let mut command = "daybreak cutover".to_string();
        if self.pause_before_open {
            command += " --pause-before-open";
        }
        if let Some(millis) = self.max_write_stop_millis {
            command += &format!(" --max-write-stop {millis}ms");
        }
        command
    }
}

/// One line of the journal. Written and synced *before* the effect that it announces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The migration is born: what will be done, from which source.
    Planned {
        /// The plan.
        plan: Box<Plan>,
        /// Whether the operator agreed already to the steps that want consent.
        consent: bool,
    },
    /// A process takes up the work.
    Resumed {
        /// daybreak's version.
        version: String,
        /// Whether the operator agreed to the steps that want consent (the cutover).
        consent: bool,
    },
    /// How the cutover is to go, as the operator said; holds until it is said anew.
    SwitchOptions {
        /// What was said.
        options: SwitchOptions,
    },
    /// The operator's consent is used up by an attempt that begins now, or withdrawn: the next attempt
    /// at a step that wants consent is asked for anew.
    ConsentEnded {
        /// By what.
        why: String,
    },
    /// A step's run begins (again).
    StepStarted {
        /// Its name.
        step: String,
    },
    /// Something that a step must remember, or is about to do.
    Checkpoint {
        /// Its name.
        step: String,
        /// What it is called; a later one of the same name replaces it.
        name: String,
        /// The content.
        data: serde_json::Value,
    },
    /// A step's run returned.
    StepFinished {
        /// Its name.
        step: String,
    },
    /// The servers confirm the step's work.
    StepVerified {
        /// Its name.
        step: String,
    },
    /// A step failed; the migration pauses.
    StepFailed {
        /// Its name.
        step: String,
        /// The error, as printed.
        error: String,
    },
    /// The target is about to be opened for writes: undo is refused from here on.
    PointOfNoReturn {
        /// The step that does it.
        step: String,
    },
    /// The target was written by nobody and is closed again as it was, and the source takes writes as
    /// before: the step is before its point of no return again.
    PointOfNoReturnLifted {
        /// The step.
        step: String,
    },
    /// The rows of a table on the target are about to be set to the source's (`verify --repair`); where
    /// replication runs, it may be stopped meanwhile.
    RepairStarted {
        /// The table's full name.
        table: String,
    },
    /// The repair is over, done or not, and replication runs again where it is to.
    RepairEnded {
        /// The table's full name.
        table: String,
    },
    /// The process lets go of the work in good order.
    Paused {
        /// Why.
        reason: String,
    },
    /// A step's effects are about to be taken back.
    UndoStarted {
        /// Its name.
        step: String,
    },
    /// They are.
    StepUndone {
        /// Its name.
        step: String,
    },
    /// All steps are verified.
    Completed,
    /// All steps are undone, and the migration is given up.
    Aborted,
}

impl Entry {
    /// The entry's kind, as it is stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Planned { .. } => "planned",
            Entry::Resumed { .. } => "resumed",
            Entry::SwitchOptions { .. } => "switch_options",
            Entry::ConsentEnded { .. } => "consent_ended",
            Entry::StepStarted { .. } => "step_started",
            Entry::Checkpoint { .. } => "checkpoint",
            Entry::StepFinished { .. } => "step_finished",
            Entry::StepVerified { .. } => "step_verified",
            Entry::StepFailed { .. } => "step_failed",
            Entry::PointOfNoReturn { .. } => "point_of_no_return",
            Entry::PointOfNoReturnLifted { .. } => "point_of_no_return_lifted",
            Entry::RepairStarted { .. } => "repair_started",
            Entry::RepairEnded { .. } => "repair_ended",
            Entry::Paused { .. } => "paused",
            Entry::UndoStarted { .. } => "undo_started",
            Entry::StepUndone { .. } => "step_undone",
            Entry::Completed => "completed",
            Entry::Aborted => "aborted",
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPhase {
    /// Nothing of it was done. Set at birth and by `StepUndone`.
    Pending,
    /// Its run began. Set by `StepStarted`.
    Started,
    /// Its run or its verification failed. Set by `StepFailed`.
    Failed,
    /// Its run returned. Set by `StepFinished`.
    Finished,
    /// The servers confirm it. Set by `StepVerified`.
    Verified,
    /// It is being undone. Set by `UndoStarted`.
    Undoing,
}

/// Where the migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is no plan yet.
    Empty,
    /// Planned; nothing was done.
    Planned,
    /// A process is (or was, when it was killed) at work.
    Active,
    /// Let go of in good order, or after a failure.
    Paused,
    /// Done.
    Completed,
    /// Given up, all undone.
    Aborted,
}

/// What a journal adds up to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Where the migration stands.
    pub phase: Phase,
    /// Each step in order, and where it stands.
    pub steps: Vec<(String, StepPhase)>,
    /// Whether the target may have been opened for writes.
    pub past_no_return: bool,
    /// Whether the operator agreed to the next attempt at the steps that want consent. It ends when
    /// the attempt begins, when he withdraws it, and when something is undone.
    pub consent: bool,
    /// The table whose repair has begun and isn't known to be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairing: Option<String>,
}

/// An entry that may not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry} may not follow here: {why}")]
pub struct Illegal {
    /// The entry's kind.
    pub entry: &'static str,
    /// Why not.
    pub why: String,
}

impl Default for State {
    fn default() -> Self {
        State {
            phase: Phase::Empty,
            steps: Vec::new(),
            past_no_return: false,
            consent: false,
            repairing: None,
        }
    }
}

impl State {
    /// Where a step stands.
    pub fn step(&self, id: &str) -> Option<StepPhase> {
        self.steps.iter().find(|(step, _)| step == id).map(|(_, phase)| *phase)
    }

    /// The first step that isn't verified.
    pub fn current(&self) -> Option<(&str, StepPhase)> {
        self.steps
            .iter()
            .find(|(_, phase)| *phase != StepPhase::Verified)
            .map(|(step, phase)| (step.as_str(), *phase))
    }

    /// Whether a plan may be made, in place of one that nothing was done of, or of which all was undone.
    pub fn may_be_planned(&self) -> bool {
        match self.phase {
            Phase::Empty | Phase::Planned => true,
            Phase::Paused => {
                !self.past_no_return
                    && self.steps.iter().all(|(_, phase)| *phase == StepPhase::Pending)
            }
            Phase::Active | Phase::Completed | Phase::Aborted => false,
        }
    }

    /// The state after an entry, or why the entry may not follow.
    pub fn after(&self, entry: &Entry) -> Result<State, Illegal> {
        use {Phase as P, StepPhase as S};
        let illegal = |why: &str| Err(Illegal { entry: entry.kind(), why: why.to_string() });
        let mut next = self.clone();
        // A step by name: its index, or a refusal.
        let index = |step: &str| {
            self.steps.iter().position(|(id, _)| id == step).ok_or_else(|| Illegal {
                entry: entry.kind(),
                why: format!("the plan has no step {step}"),
            })
        };
        let (active, open) =
            (self.phase == P::Active, matches!(self.phase, P::Planned | P::Active | P::Paused));
        match entry {
            Entry::Planned { plan, consent } => {
                if !self.may_be_planned() {
                    return illegal("the migration has begun");
                }
                next.phase = P::Planned;
                next.repairing = None;
                next.consent = *consent;
                next.steps = plan.steps.iter().map(|step| (step.id.clone(), S::Pending)).collect();
            }
            Entry::Resumed { consent, .. } => {
                if !open {
                    return illegal("there is nothing to go on with");
                }
                next.phase = P::Active;
                next.consent |= consent;
            }
            Entry::SwitchOptions { .. } => {
                if !open {
                    return illegal("there is nothing to go on with");
                }
            }
            Entry::ConsentEnded { .. } => {
                if !open {
                    return illegal("there is nothing to go on with");
                }
                next.consent = false;
            }
            Entry::StepStarted { step } => {
                let at = index(step)?;
                if !active {
                    return illegal("no process is at work");
                }
                if self.steps[..at].iter().any(|(_, phase)| *phase != S::Verified) {
                    return illegal("a step before it isn't verified");
                }
                if !matches!(self.steps[at].1, S::Pending | S::Started | S::Failed) {
                    return illegal("the step is past its run, or being undone");
                }
                next.steps[at].1 = S::Started;
            }
            Entry::Checkpoint { step, .. } => {
                let at = index(step)?;
                if !active {
                    return illegal("no process is at work");
                }
                if !matches!(self.steps[at].1, S::Started | S::Finished | S::Undoing) {
                    return illegal("the step isn't at work");
                }
            }
            Entry::StepFinished { step } => {
                let at = index(step)?;
                if !active || self.steps[at].1 != S::Started {
                    return illegal("the step isn't running");
                }
                next.steps[at].1 = S::Finished;
            }
            Entry::StepVerified { step } => {
                let at = index(step)?;
                if !active || self.steps[at].1 != S::Finished {
                    return illegal("the step hasn't finished");
                }
                next.steps[at].1 = S::Verified;
            }
            Entry::StepFailed { step, .. } => {
                let at = index(step)?;
                if !active || !matches!(self.steps[at].1, S::Started | S::Finished) {
                    return illegal("the step isn't running");
                }
                next.steps[at].1 = S::Failed;
            }
            Entry::PointOfNoReturn { step } => {
                let at = index(step)?;
                if !active || self.steps[at].1 != S::Started {
                    return illegal("the step isn't running");
                }
                if self.repairing.is_some() {
                    return illegal("a repair was begun and hasn't ended");
                }
                next.past_no_return = true;
            }
            Entry::PointOfNoReturnLifted { step } => {
                let at = index(step)?;
                if !active || !self.past_no_return || self.steps[at].1 != S::Started {
                    return illegal("the step isn't past its point of no return");
                }
                (next.past_no_return, next.consent) = (false, false);
            }
            Entry::RepairStarted { table } => {
                if self.past_no_return {
                    return illegal("the target has been opened for writes");
                }
                if !open {
                    return illegal("there is nothing to repair");
                }
                next.repairing = Some(table.clone());
            }
            Entry::RepairEnded { .. } => {
                if self.repairing.is_none() {
                    return illegal("nothing is being repaired");
                }
                next.repairing = None;
            }
            Entry::Paused { .. } => {
                if !active {
                    return illegal("no process is at work");
                }
                next.phase = P::Paused;
            }
            Entry::UndoStarted { step } => {
                let at = index(step)?;
                if self.past_no_return {
                    return illegal("the target has been opened for writes");
                }
                if !active {
                    return illegal("no process is at work");
                }
                if self.steps[at].1 == S::Pending {
                    return illegal("nothing of the step was done");
                }
                if self.steps[at + 1..].iter().any(|(_, phase)| *phase != S::Pending) {
                    return illegal("a later step isn't undone yet");
                }
                next.steps[at].1 = S::Undoing;
                // Who takes steps back has changed his mind; the next cutover is asked for anew.
                next.consent = false;
            }
            Entry::StepUndone { step } => {
                let at = index(step)?;
                if !active || self.steps[at].1 != S::Undoing {
                    return illegal("the step isn't being undone");
                }
                next.steps[at].1 = S::Pending;
            }
            Entry::Completed => {
                if !active || self.steps.iter().any(|(_, phase)| *phase != S::Verified) {
                    return illegal("not every step is verified");
                }
                next.phase = P::Completed;
            }
            Entry::Aborted => {
                if !active || self.steps.iter().any(|(_, phase)| *phase != S::Pending) {
                    return illegal("not every step is undone");
                }
                next.phase = P::Aborted;
            }
        }
        Ok(next)
    }
}
