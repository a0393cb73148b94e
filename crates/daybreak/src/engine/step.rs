//! The contract of a step, and the findings that its check yields.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Context, Entry, Record};
use crate::error::{Error, Kind, Result};

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

/// How many objects of a finding are named; the finding has all.
const NAMED: usize = 5;

impl Finding {
    /// What is wrong, with the first of what it concerns, in one line.
    pub fn line(&self) -> String {
        let mut objects = self.objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if self.objects.len() > NAMED {
            objects += &format!(" and {} more", self.objects.len() - NAMED);
        }
        let about = if objects.is_empty() { String::new() } else { format!(" ({objects})") };
        format!("{}: {}{about}", self.id, self.why)
    }
}

/// The refusal that names blockers, each with what it concerns and its own remedy: one in a line, several
/// each on lines of its own. None without one.
pub fn blocked(what: &str, blockers: &[&Finding]) -> Option<Error> {
    Some(match blockers {
        [] => return None,
        [one] => Error::new(Kind::Blocked, format!("{what}: {}", one.line())).next(&one.remedy),
        several => {
            let mut text = format!("{what}: {} blockers", several.len());
            for finding in several {
                let remedy = finding.remedy.replace('\n', "\n            ");
                text += &format!("\n  {}\n    remedy: {remedy}", finding.line());
            }
            Error::new(Kind::Blocked, text)
                .next("do what each remedy says, then go on with `daybreak resume`")
        }
    })
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
            // Its own check is newer than what an earlier step foresaw of it.
            Entry::StepVerified { step } => {
                let foreseen = format!("{step}.");
                for (_, findings) in latest.iter_mut().filter(|(of, _)| of != step) {
                    findings.retain(|finding| !finding.id.starts_with(&foreseen));
                }
            }
            _ => {}
        }
    }
    let mut all: Vec<Finding> = Vec::new();
    // Of the same thing the latest word counts: figures and texts change.
    for finding in latest.into_iter().flat_map(|(_, findings)| findings) {
        all.retain(|other| (&other.id, &other.objects) != (&finding.id, &finding.objects));
        all.push(finding);
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
    fn each_blocker_has_lines_of_its_own() {
        let finding = |id: &str, objects: usize, remedy: &str| Finding {
            id: id.into(),
            severity: Severity::Blocker,
            objects: (0..objects).map(|n| format!("o{n}")).collect(),
            why: format!("{id} is wrong"),
            remedy: remedy.into(),
        };
        let (a, b) = (finding("a", 7, "mend a;\nthen look"), finding("b", 0, "mend b"));
        assert!(blocked("it can't begin", &[]).is_none());
        let one = blocked("it can't begin", &[&b]).unwrap().to_string();
        assert_eq!(one, "it can't begin: b: b is wrong\n  next:  mend b");
        let both = blocked("it can't begin", &[&a, &b]).unwrap().to_string();
        assert_eq!(
            both,
            "it can't begin: 2 blockers\n  a: a is wrong (o0, o1, o2, o3, o4 and 2 more)\n    remedy: mend a;\n            \
             then look\n  b: b is wrong\n    remedy: mend b\n  next:  do what each remedy says, then go on with `daybreak resume`"
        );
    }

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
        let (foreseen, verified) =
            (finding("b.group", Severity::Warning), Entry::StepVerified { step: "b".into() });
        // Foreseen by one step, mended before the other looked itself; and not mended.
        let mended = vec![of("a", &[&foreseen, &note]), of("b", &[]), verified.clone()];
        assert_eq!(noted(mended), std::slice::from_ref(&note));
        let left = vec![of("a", &[&foreseen]), of("b", &[&foreseen]), verified];
        assert_eq!(noted(left), [foreseen]);
        let odd = vec![found("a", serde_json::json!("odd")), of("b", &[&note])];
        assert_eq!(noted(odd), [note]);
    }
}
