//! Steps, the plan they form, the journal that remembers them, and the runner that goes through them.
//!
//! The engine knows nothing of MySQL: it runs, resumes, pauses and undoes [`Step`]s in the order of a
//! [`Plan`], and writes each move into the [`Journal`] before it is made.

pub mod context;
#[cfg(feature = "failpoints")]
pub(crate) mod failpoint;
pub mod journal;
pub mod plan;
pub mod runner;
pub mod state;
pub mod step;

pub use context::{Context, Endpoint, StopReason, StopSignal, target_of};
pub use journal::{Journal, Record, TableResult};
pub use plan::{Fingerprint, Plan, PlannedStep, PositionBy, ReplicationMode, Route};
pub use runner::{Runner, Standing};
pub use state::{Entry, Phase, State, StepPhase, SwitchOptions};
pub use step::{FINDINGS, Finding, Severity, Step, blocked, noted};
