//! The contract of a step, and the findings that its check yields.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Context, Entry, Record};
use crate::error::Result;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but may surprise: read it before going on.
    Warning,
    /// The migration can't work, or would lose something.
    Blocker,
}

/// Something found on a server, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A stable name, such as `source.binlog_format`.
    pub id: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What it concerns: tables, accounts, variables.
    pub objects: Vec<String>,
    /// What was found and why it matters, in one or two sentences.
    pub why: String,
    /// What to do, as exactly as possible: a statement, a setting.
    pub remedy: String,
}

/// The checkpoint of a step that holds what its check found, and what it found since.
pub const FINDINGS: &str = "findings";

/// What steps found, as far as they weren't undone since: the weightiest first, each once.
pub fn noted(records: &[Record]) -> Vec<Finding> {
    let mut latest: Vec<(&str, Vec<Finding>)> = Vec::new();
    for record in records {
        match &record.entry {
            Entry::Checkpoint { step, name, data } if name == FINDINGS => {
                latest.retain(|(of, _)| of != step);
                // What another daybreak wrote in another form isn't shown.
                latest.push((step, serde_json::from_value(data.clone()).unwrap_or_default()));
            }
            Entry::StepUndone { step } => latest.retain(|(of, _)| of != step),
            _ => {}
        }
    }
    let mut all: Vec<Finding> = Vec::new();
    for finding in latest.into_iter().flat_map(|(_, findings)| findings) {
        if !all.contains(&finding) {
            all.push(finding);
        }
    }
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    all
}

/// One step of a migration.
///
/// The harness in `tests/` runs each step through the same trials: a failure at each point, a second
/// run, a second undo.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name: lower case with underscores, stable, unique in a plan.
    fn id(&self) -> &'static str;

    /// What it does, in one line.
    fn title(&self) -> &'static str;

    /// How its effects are taken back, in one line: the shadow checklist.
    fn rollback(&self) -> &'static str;

    /// Whether an operator must have agreed before it runs: moving the writes is nothing that a
    /// program does on its own.
    fn wants_consent(&self) -> bool {
        false
    }

    /// Looks whether it could run now. Read-only; may be called at any time.
    async fn check(&self, context: &Context) -> Result<Vec<Finding>>;

    /// Does the work. Idempotent: goes on from whatever an earlier, killed run left.
    async fn run(&self, context: &Context) -> Result<()>;

    /// Asks the servers, not memory, whether the work holds.
    async fn verify(&self, context: &Context) -> Result<()>;

    /// Takes the effects back. Idempotent; handles nothing, partial and whole.
    async fn undo(&self, context: &Context) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_as_long_as_their_step() {
        let finding = |id: &str, severity| Finding {
            id: id.into(),
            severity,
            objects: Vec::new(),
            why: "why".into(),
            remedy: "remedy".into(),
        };
        let (note, warning) = (finding("n", Severity::Note), finding("w", Severity::Warning));
        let noted = |entries: Vec<Entry>| {
            let at = jiff::Timestamp::UNIX_EPOCH;
            let record = |(seq, entry)| Record { seq, at, entry };
            noted(&(1..).zip(entries).map(record).collect::<Vec<_>>())
        };
        let found = |step: &str, data: serde_json::Value| Entry::Checkpoint {
            step: step.into(),
            name: FINDINGS.into(),
            data,
        };
        let of = |step, findings: &[&Finding]| found(step, serde_json::json!(findings));
        let undone = Entry::StepUndone { step: "a".into() };
        let both = vec![of("a", &[&note]), of("b", &[&note, &warning])];
        assert_eq!(noted(both.clone()), [warning.clone(), note.clone()]);
        assert_eq!(noted([both, vec![of("b", &[]), undone]].concat()), []);
        let odd = vec![found("a", serde_json::json!("odd")), of("b", &[&note])];
        assert_eq!(noted(odd), [note]);
    }
}
