//! Proves that both sides hold the same: checksums computed inside both servers at once, bisected to
//! the keys that differ.
//!
//! Owns the step `verify` and the comparison that it and the command of that name run. It changes
//! nothing on either side, and never says *equal* without having asked both.

mod compare;
mod count;
mod definitions;
mod fence;
mod full;
pub mod hash;
mod json;
mod live;
mod means;
pub mod repair;
mod report;
mod table;
mod whole;

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;

pub use compare::{Liveness, compare};
pub use report::{
    DefinitionDifference, Difference, ObjectCount, TableVerdict, Verdict, VerifyReport, What,
};

use crate::{
    config::VerifyMode,
    engine::{Context, Finding, ReplicationMode, Severity, Step, TableResult},
    error::{Error, Kind, Result},
    mysql::Catalog,
    sync::replicate,
    target::rows,
};

/// The step's name.
const STEP: &str = "verify";

/// How many differences an error names.
const NAMED: usize = 10;

/// The checkpoint that holds what comparing said.
pub(crate) const RESULT: &str = "result";

/// The same, where a later step compared the sides anew.
pub(crate) const COMPARISON: &str = "comparison";

/// The checkpoint that says of which snapshot the sides were found equal.
const COMPARED: &str = "compared";

/// How often the sides are compared when DDL comes between.
const ATTEMPTS: u32 = 5;

/// What a server says of a database, table, column or key that isn't there (any more), and of a view of
/// rows whose table has another shape by now.
const GONE: [u16; 5] = [1049, 1146, 1054, 1176, 1412];

/// The step that compares both sides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verify;

#[async_trait]
impl Step for Verify {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "compare every row, object and definition of both sides"
    }

    fn rollback(&self) -> &'static str {
        "nothing: it only reads"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if context.plan()?.replication == ReplicationMode::Native {
            let mut target = context.target().await?;
            if !live::is_replicating(&mut target).await? {
                let replicate::Health { why, next, .. } =
                    replicate::Health::of(&mut target).await?;
                findings.push(Finding {
                    id: "verify.replication".to_string(),
                    severity: Severity::Blocker,
                    objects: vec![target.place().to_string()],
                    why: format!("the sides would drift apart while they are compared: {why}"),
                    remedy: next.unwrap_or_default(),
                });
            }
            target.close().await;
        }
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        // Where nothing follows, the source must be closed, and what was copied be what it has now.
        rows::ensure_current(context).await?;
        compare_sides(context, STEP).await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let report: VerifyReport = context.journal.recall(STEP, RESULT)?.ok_or_else(|| {
            Error::new(Kind::State, "the sides have not been compared")
                .next("`daybreak resume` compares them")
        })?;
        finding(&report)?;
        if context.plan()?.replication == ReplicationMode::Native {
            let mut target = context.target().await?;
            let runs = live::is_replicating(&mut target).await?;
            let place = target.place().to_string();
            target.close().await;
            if !runs {
                return Err(Error::new(
                    Kind::Replication,
                    "the sides were equal, but replication doesn't run any more",
                )
                .at(place));
            }
        }
        Ok(())
    }

    async fn undo(&self, _context: &Context) -> Result<()> {
        Ok(())
    }
}

/// Compares all of both sides; the result goes into the journal in the name of the step at work.
async fn compare_sides(context: &Context, step: &str) -> Result<()> {
    let config = &context.config;
    let target = context.target_url()?;
    let liveness = if context.plan()?.replication == ReplicationMode::Native {
        Liveness::Live
    } else {
        Liveness::Still
    };
    let mut attempt = 1;
    let report = loop {
        let before = schema(context).await?;
        let compared = compare(
            &config.source,
            &target,
            &config.select,
            &config.verify,
            liveness,
            &context.events,
            &context.stop,
        )
        .await;
        let in_doubt = match &compared {
            Ok(report) => !report.is_equal(),
            Err(error) => matches!(error.code(), Some(code) if GONE.contains(&code)),
        };
        // What changed its shape while it was looked at is neither equal nor different.
        if !in_doubt || attempt >= ATTEMPTS || schema(context).await? == before {
            break compared.map_err(|error| match error.code() {
                Some(code) if GONE.contains(&code) => {
                    error.next("`daybreak resume` compares anew; keep DDL away meanwhile")
                }
                _ => error,
            })?;
        }
        attempt += 1;
        context.events.warn("tables changed while they were compared: comparing anew");
        if liveness == Liveness::Live {
            replicate::catch_up(context, context.plan()?.position).await?;
        }
    };
    context.journal.record(step, if step == STEP { RESULT } else { COMPARISON }, &report)?;
    note(context, &report)?;
    finding(&report)?;
    let of = rows::latest_snapshot(&context.journal)?.map(|record| record.taken_at);
    context.journal.record(step, COMPARED, &of)
}

/// Where nothing follows the copy, and it was brought up to date after the sides were found equal:
/// compares them anew. Writes must be stopped.
pub(crate) async fn after_the_copy(context: &Context, step: &str) -> Result<()> {
    let latest = rows::latest_snapshot(&context.journal)?.map(|record| record.taken_at);
    for by in [STEP, step] {
        if context.journal.recall::<Option<Timestamp>>(by, COMPARED)? == Some(latest) {
            return Ok(());
        }
    }
    compare_sides(context, step).await
}

/// Whether every row was compared, and not only counted.
pub(crate) fn proven(context: &Context) -> Result<bool> {
    let report: Option<VerifyReport> = context.journal.recall(STEP, RESULT)?;
    Ok(report.is_some_and(|report| report.mode != VerifyMode::Count))
}

/// The shape of the source's tables at this moment.
async fn schema(context: &Context) -> Result<String> {
    let mut source = context.source().await?;
    let digest = Catalog::read(&mut source, &context.config.select).await?.digest();
    source.close().await;
    Ok(digest)
}

/// Notes each table's verdict beside what the copy noted of it, and what the verdict can't vouch for.
fn note(context: &Context, report: &VerifyReport) -> Result<()> {
    let known = context.journal.tables()?;
    let known: HashMap<&str, &TableResult> =
        known.iter().map(|result| (result.table.as_str(), result)).collect();
    let mut results = Vec::with_capacity(report.tables.len());
    for verdict in &report.tables {
        let table = verdict.table.to_string();
        let mut result = known
            .get(table.as_str())
            .map(|result| (*result).clone())
            .unwrap_or(TableResult { table, rows: 0, bytes: 0, copy_millis: 0, verified: None });
        result.verified = Some(match &verdict.verdict {
            Verdict::Equal => "equal".to_string(),
            Verdict::Different => "different".to_string(),
            Verdict::NotCompared(why) => format!("not compared: {why}"),
        });
        results.push(result);
    }
    context.journal.put_tables(&results)?;
    for limit in &report.limits {
        context.events.warn(limit.clone());
    }
    for found in report.definitions.iter().filter(|found| found.severity < Severity::Blocker) {
        context.events.detail(format!(
            "{} {}, {}: {} at the source, {} at the target",
            found.kind,
            found.name,
            found.part,
            found.source.as_deref().unwrap_or("nothing"),
            found.target.as_deref().unwrap_or("nothing"),
        ));
    }
    context.journal.measure("verify_seconds", report.seconds)
}

/// An error that names the first differences, unless there are none.
fn finding(report: &VerifyReport) -> Result<()> {
    if report.is_equal() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Different,
        format!("the sides differ: {}", report.first_differences(NAMED).join("; ")),
    )
    .next("find out what wrote there, or copy the tables again; `daybreak resume` compares anew"))
}
