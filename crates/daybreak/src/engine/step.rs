//! The contract of a step, and the findings that its check yields.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Context;
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
