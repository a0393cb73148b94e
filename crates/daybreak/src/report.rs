//! The report of a migration: what was done, how long writes stood still, what both sides hold, and
//! what is left to do, as JSON for machines and as one HTML page for people.
//!
//! Everything is read from the journal; no server is asked, and nothing is claimed that the journal
//! doesn't hold. Checkpoints are read field by field, so that a journal of another version of
//! daybreak still gives a report: what isn't understood is shown as it is, never left out.
//!
//! # The JSON form
//! Stable within a `schema_version`: fields may be added, none changes its meaning or goes. Times are
//! RFC 3339 in UTC, durations milliseconds, sizes bytes. See the fields of [`Report`].

pub mod figures;

mod chart;
mod checkpoints;
mod history;
mod html;
mod lag;
mod page;
mod rate;
mod summary;
mod tables;
mod value;
mod verdict;
mod write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    engine::{
        Entry, Finding, Journal, Plan, PositionBy, Record, ReplicationMode, Route, State,
        StepPhase, TableResult,
    },
    error::{Error, Kind, Result},
    switch::hook::HookRun,
};

pub use history::{Counts, Failure, Moment, Run, RunEnd, RunKind, Span, StepReport};
pub use lag::{Lag, LagPoint};
pub use rate::{Rate, RatePoint};
pub use tables::{TableReport, TableVerdict, Totals, Verification};
pub use verdict::{Outcome, Verdict};
pub use write::{HTML_FILE, JSON_FILE, write, write_file};

/// The version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// A server, as the plan knew it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `user@host:port`, without a password.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// Its version, where the journal holds it.
    pub version: Option<String>,
}

/// The consistent snapshot that the rows were read from: the last one taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Timestamp,
    /// How the writes were kept out meanwhile.
    pub method: Option<String>,
    /// How long writes on the source stood still, in milliseconds.
    pub stall_millis: Option<f64>,
    /// How often the lock was tried.
    pub attempts: Option<u64>,
    /// The point in the source's history.
    pub coordinates: Option<String>,
    /// How many snapshots were taken in all.
    pub taken: usize,
}

/// The switch of the writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cutover {
    /// When it was done.
    pub at: Timestamp,
    /// How long writes were stopped, in milliseconds.
    pub write_stop_millis: Option<f64>,
    /// The source's last position.
    pub position: Option<String>,
    /// Whatever else the step noted.
    pub details: Map<String, Value>,
}

/// A run of one of the operator's hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it began.
    pub at: Timestamp,
    /// The step that ran it.
    pub step: String,
    /// What came of it: `hook`, `ended`, `millis`, `output`.
    #[serde(flatten)]
    pub run: HookRun,
}

/// Something that the target doesn't get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMigrated {
    /// What it is: `event`, `account`, `table`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
    /// The step that said so.
    pub step: String,
}

/// Something of daybreak's that is still on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is: `account`, `database`.
    pub kind: Option<String>,
    /// Its name, or a line that says what it is.
    pub name: String,
    /// Why it was left.
    pub why: Option<String>,
    /// The statement that removes it.
    pub sql: Option<String>,
}

/// From when on undo was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointOfNoReturn {
    /// When.
    pub at: Timestamp,
    /// The step that passed it.
    pub step: String,
}

/// The report of one migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub schema_version: u32,
    /// When the report was made.
    pub made_at: Timestamp,
    /// The version of daybreak that made it.
    pub made_by: String,
    /// The migration's name.
    pub migration: String,
    /// What came of it, in plain words.
    pub verdict: Verdict,
    /// Where the data come from.
    pub source: Server,
    /// Where they go.
    pub target: Server,
    /// The route.
    pub route: Route,
    /// Why this route.
    pub reason: String,
    /// How changes follow.
    pub replication: ReplicationMode,
    /// By what, when they do.
    pub position: Option<PositionBy>,
    /// When work began; none when nothing was done yet.
    pub began_at: Option<Timestamp>,
    /// The last sign of life.
    pub ended_at: Option<Timestamp>,
    /// From the first to the last moment, pauses included, in milliseconds.
    pub elapsed_millis: u64,
    /// The same without the pauses.
    pub working_millis: u64,
    /// Each span in which a process was at work.
    pub sessions: Vec<Span>,
    /// How often what happened.
    pub counts: Counts,
    /// Each step of the plan, in order.
    pub steps: Vec<StepReport>,
    /// What happened to the migration as a whole, in order.
    pub moments: Vec<Moment>,
    /// Each table: those of the plan, largest first, then any others.
    pub tables: Vec<TableReport>,
    /// Whether the copied rows were removed again by undo.
    pub rows_taken_back: bool,
    /// The tables' sums.
    pub totals: Totals,
    /// The comparison of both sides; none while it wasn't made, or when it was undone.
    pub verification: Option<Verification>,
    /// The snapshot that the rows were read from.
    pub snapshot: Option<Snapshot>,
    /// The switch of the writes.
    pub cutover: Option<Cutover>,
    /// Every run of a hook, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// From when on undo was refused; none while it isn't.
    pub point_of_no_return: Option<PointOfNoReturn>,
    /// How fast rows were copied, over time.
    pub copy_rate: Option<Rate>,
    /// How many rows the source's applications changed, over time.
    pub source_writes: Option<Rate>,
    /// How far the target was behind, over time.
    pub lag: Option<Lag>,
    /// What was found on the servers, the weightiest first.
    pub findings: Vec<Finding>,
    /// What the target doesn't get, by name.
    pub not_migrated: Vec<NotMigrated>,
    /// What is still on the source, with the statements that remove it.
    pub left_on_source: Vec<Leftover>,
    /// The versions of daybreak that were at work, in order.
    pub versions: Vec<String>,
    /// What callers added, by name; `rehearsal` is the writer's proof.
    pub extra: Map<String, Value>,
}

impl Report {
    /// Reads a journal and makes its report.
    ///
    /// # Errors
    /// `State` when the journal has no plan yet.
    pub fn build(journal: &Journal) -> Result<Self> {
        let plan = journal.plan()?;
        let records = journal.entries()?;
        let (tables, metrics) = (journal.tables()?, journal.metrics()?);
        Ok(Self::of(
            Plan::clone(&plan),
            &journal.state(),
            &records,
            &tables,
            &metrics,
            Timestamp::now(),
        ))
    }

    /// Makes the report of records that are at hand.
    ///
    /// # Errors
    /// `State` when they hold no plan; `Journal` when one of them can't follow the one before.
    pub fn assemble(
        records: &[Record],
        tables: &[TableResult],
        metrics: &[(Timestamp, String, f64)],
        now: Timestamp,
    ) -> Result<Self> {
        let (mut state, mut plan) = (State::default(), None);
        for record in records {
            state = state.after(&record.entry).map_err(|illegal| {
                Error::new(Kind::Journal, illegal.to_string()).at(format!("entry {}", record.seq))
            })?;
            if let Entry::Planned { plan: new, .. } = &record.entry {
                plan = Some((**new).clone());
            }
        }
        let plan = plan.ok_or_else(|| {
            Error::new(Kind::State, "there is no plan yet").next("`daybreak plan` makes one")
        })?;
        Ok(Self::of(plan, &state, records, tables, metrics, now))
    }

    fn of(
        plan: Plan,
        state: &State,
        records: &[Record],
        results: &[TableResult],
        metrics: &[(Timestamp, String, f64)],
        now: Timestamp,
    ) -> Self {
        let history = history::History::read(&plan, state, records, metrics);
        let checkpoints = checkpoints::Checkpoints::read(records);
        let undone = |step: &str| {
            history.steps.iter().any(|one| {
                one.id == step && one.phase == StepPhase::Pending && one.undone_at.is_some()
            })
        };
        let (tables, verification) = tables::read(&plan, results, &checkpoints);
        let totals = tables::totals(&tables, &history.steps);
        let verdict =
            verdict::judge(&plan, state, records, &history, verification.as_ref(), &totals);
        Report {
            schema_version: SCHEMA_VERSION,
            made_at: now,
            made_by: env!("CARGO_PKG_VERSION").to_string(),
            verdict,
            source: Server {
                name: plan.source,
                uuid: plan.fingerprint.server_uuid,
                version: Some(plan.fingerprint.version).filter(|version| !version.is_empty()),
            },
            target: match checkpoints.endpoint() {
                Some(endpoint) => Server {
                    name: match plan.target.rsplit_once('@') {
                        Some((user, _)) => format!("{user}@{}:{}", endpoint.host, endpoint.port),
                        None => format!("{}:{}", endpoint.host, endpoint.port),
                    },
                    uuid: endpoint.server_uuid,
                    version: checkpoints.target_version(),
                },
                None => Server {
                    name: plan.target,
                    uuid: plan.target_uuid,
                    version: checkpoints.target_version(),
                },
            },
            migration: plan.migration,
            route: plan.route,
            reason: plan.reason,
            replication: plan.replication,
            position: (plan.replication == ReplicationMode::Native).then_some(plan.position),
            began_at: history.began_at,
            ended_at: history.ended_at,
            elapsed_millis: history.elapsed_millis,
            working_millis: history.working_millis,
            rows_taken_back: undone("rows"),
            sessions: history.sessions,
            counts: history.counts,
            steps: history.steps,
            moments: history.moments,
            tables,
            totals,
            verification,
            snapshot: checkpoints.snapshot(),
            cutover: checkpoints.cutover(),
            hooks: checkpoints.hooks(),
            point_of_no_return: history.point_of_no_return,
            copy_rate: Rate::of(metrics, rate::COPIED),
            source_writes: Rate::of(metrics, rate::CHANGED),
            lag: Lag::of(metrics),
            findings: checkpoints.findings(),
            not_migrated: checkpoints.not_migrated(),
            left_on_source: checkpoints.left_on_source(),
            versions: history.versions,
            extra: Map::new(),
        }
    }

    /// Adds a section of a caller's own, shown under its name.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, data: Value) -> Self {
        self.extra.insert(name.into(), data);
        self
    }

    /// Adds the proof of a rehearsal's writer, shown as a section of its own.
    ///
    /// Any object will do. Known fields: `passed`, `all_on_target` and `source_closed` (one of them
    /// false turns the verdict), `acknowledged_commits`, `rows_checked`, `longest_gap_millis` (the
    /// longest that the application waited for a commit) and `findings` (what is wrong).
    #[must_use]
    pub fn with_rehearsal(mut self, proof: Value) -> Self {
        if verdict::passed(&proof) == Some(false) {
            verdict::disprove(&mut self.verdict);
        }
        self.with_extra("rehearsal", proof)
    }

    /// The report as a JSON document, ended by a newline.
    pub fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::new(Kind::Bug, "the report has no JSON form").because(error))?;
        text.push('\n');
        Ok(text)
    }

    /// The report as one HTML page that needs nothing else: no script, no other file.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// The report on one screen: at most 24 lines of 80 columns, without control characters.
    pub fn summary_lines(&self) -> Vec<String> {
        summary::lines(self)
    }
}

/// The route in words.
fn route(route: Route) -> &'static str {
    match route {
        Route::Logical => "logical",
        Route::Physical => "physical",
    }
}

/// How changes follow, in words.
fn following(report: &Report) -> &'static str {
    match (report.replication, report.position) {
        (ReplicationMode::None, _) => "no replication: writes stop before the copy",
        (ReplicationMode::CopyOnly, _) => "a copy of one snapshot, nothing after it",
        (ReplicationMode::Native, Some(PositionBy::File)) => {
            "replication by binary log file and position"
        }
        (ReplicationMode::Native, _) => "replication by GTID auto position",
    }
}
