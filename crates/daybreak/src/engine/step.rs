//! The contract of a step, and the findings that its check yields.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Context;
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

/// How many objects of a blocker are named; the finding has all.
const NAMED: usize = 5;

/// The refusal that names blockers, each with what it concerns and its own remedy: one in a line, several
/// each on lines of its own. None without one.
pub(crate) fn blocked(what: &str, blockers: &[&Finding]) -> Option<Error> {
    let why = |finding: &Finding| {
        let mut objects =
            finding.objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if finding.objects.len() > NAMED {
            objects += &format!(" and {} more", finding.objects.len() - NAMED);
        }
        let about = if objects.is_empty() { String::new() } else { format!(" ({objects})") };
        format!("{}: {}{about}", finding.id, finding.why)
    };
    Some(match blockers {
        [] => return None,
        [one] => Error::new(Kind::Blocked, format!("{what}: {}", why(one))).next(&one.remedy),
        several => {
            let mut text = format!("{what}: {} blockers", several.len());
            for finding in several {
                let remedy = finding.remedy.replace('\n', "\n            ");
                text += &format!("\n  {}\n    remedy: {remedy}", why(finding));
            }
            Error::new(Kind::Blocked, text)
                .next("do what each remedy says, then go on with `daybreak resume`")
        }
    })
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
}
