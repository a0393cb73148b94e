//! `daybreak verify`.

use std::{path::Path, time::Duration};

use daybreak::{
    config::{Config, VerifyMode},
    engine::{Journal, ReplicationMode, StopSignal, target_of},
    error::{Error, Exit, Kind, Result},
    select::Selection,
    sync::{
        replicate::{Following, Health, must_follow},
        verify::{self, Verdict, VerifyReport},
    },
};
use serde::Serialize;

use super::{Session, listen_for_signals, log_to, migration};
use crate::cli::{self, Select, Servers};

/// How long the target may take to say how replication stands.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found, and how replication stood where that bears on it: the JSON form.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a VerifyReport,
    /// None where the sides are equal, and where nothing is to replicate.
    replication: Option<Health>,
}

/// Compares two servers and prints what differs.
pub async fn verify(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    select: &Select,
    mode: Option<cli::VerifyMode>,
    threads: Option<usize>,
) -> Result<Exit> {
    log_to(session, None)?;
    let mut overrides = servers.overrides()?;
    overrides.threads = threads;
    let mut config = Config::load(directory, &overrides)?;
    match mode {
        Some(cli::VerifyMode::Count) => config.verify.mode = VerifyMode::Count,
        Some(cli::VerifyMode::Checksum) => config.verify.mode = VerifyMode::Checksum,
        Some(cli::VerifyMode::Full) => config.verify.mode = VerifyMode::Full,
        None => {}
    }
    config.verify.threads = threads.unwrap_or(config.verify.threads);
    let given = [&select.database, &select.table, &select.exclude];
    if given.iter().any(|names| !names.is_empty()) {
        config.select = Selection::parse(&select.database, &select.table, &select.exclude)?;
    }
    let whole = given.iter().all(|names| names.is_empty());
    // Whose comparison this is; a restored cluster's place is known to the journal alone.
    let (mut ours, mut follows) = (false, false);
    if Journal::exists(directory) {
        let journal = Journal::open(directory)?;
        if let Ok(plan) = journal.plan() {
            ours = plan.source == config.source.to_string()
                && plan.target == config.target.to_string();
            follows = ours
                && plan.replication == ReplicationMode::Native
                && must_follow(&journal.state());
            if ours {
                config.target = target_of(&config, &journal)?.0;
            }
        }
    }
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let report = verify::compare(
        &config.source,
        &config.target,
        &config.select,
        &config.verify,
        verify::Liveness::Detect,
        &migration::logged(session),
        &stop,
    )
    .await?;
    let by_rows = config.verify.mode != VerifyMode::Count;
    if ours && !report.tables.is_empty() && (!report.is_equal() || (whole && by_rows)) {
        Journal::note_comparison(directory, report.is_equal())?;
    }
    // Where it doesn't run, or is behind, that is what there is to say of a difference.
    let replication = match report.is_equal() || report.tables.is_empty() {
        true => None,
        false => Some(Health::ask(&config.target, PATIENCE).await),
    }
    .filter(|health| match health.state {
        Following::Nobody => follows,
        Following::Unknown => false,
        _ => true,
    });
    if session.global.json.is_some() {
        session.ui.document(&Shown { report: &report, replication: replication.clone() });
    } else {
        for table in &report.tables {
            let verdict = match &table.verdict {
                Verdict::Equal => "equal".to_string(),
                Verdict::Different => "DIFFERENT".to_string(),
                Verdict::NotCompared(why) => format!("NOT COMPARED: {why}"),
            };
            session.ui.line(&format!(
                "{:<48} {:>12} rows  {verdict}",
                table.table.to_string(),
                table.rows_source
            ));
        }
        for line in report.first_differences(200) {
            session.ui.line(&line);
        }
        for limit in &report.limits {
            session.ui.line(&format!("note: {limit}"));
        }
    }
    if report.tables.is_empty() {
        return Err(Error::new(Kind::Usage, "there is nothing to compare: no table is selected")
            .next("check --database, --table and --exclude"));
    }
    if report.is_equal() {
        let by = match config.verify.mode {
            VerifyMode::Count => "by row counts only",
            VerifyMode::Checksum => "by checksums of every row",
            VerifyMode::Full => "byte by byte",
        };
        if session.global.json.is_none() {
            session.ui.line(&format!(
                "equal: {} tables, {} rows, {by}, {:.1} s",
                report.tables.len(),
                report.rows().0,
                report.seconds
            ));
        }
        return Ok(Exit::Done);
    }
    let differ = Error::new(Kind::Different, "the two sides differ");
    Err(match replication {
        Some(health) => explained(differ, &health, &report),
        None => differ,
    })
}

/// The same error, with what replication has to do with it.
fn explained(differ: Error, health: &Health, report: &VerifyReport) -> Error {
    const AGAIN: &str = "when the target has caught up (`daybreak replicate wait` returns then), `daybreak verify` \
                         says what differs all the same";
    let lacks = |why: &str| {
        let lately = "what the source wrote lately isn't on the target";
        Error::new(Kind::Different, format!("{}, and {lately}: {why}", differ.what()))
    };
    match health.state {
        Following::Stopped | Following::Nobody => {
            let next = health.next.as_deref().unwrap_or_default();
            lacks(&health.why).next(format!("{next}; {AGAIN}"))
        }
        Following::Reconnects => lacks(&health.why).next(AGAIN),
        Following::Runs | Following::Unknown => {
            // While it runs a row that differs is proven; what couldn't be compared may only be late.
            let late = report.tables.iter().all(|table| table.verdict != Verdict::Different)
                && report.tables.iter().any(|table| table.verdict != Verdict::Equal);
            match late {
                true => differ.next(format!("what couldn't be compared may only be late; {AGAIN}")),
                false => differ,
            }
        }
    }
}
