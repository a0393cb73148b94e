//! `daybreak verify`.

use std::{sync::Arc, time::Duration};

use daybreak::{
    config::{Config, VerifyMode},
    engine::{Journal, ReplicationMode, StopSignal, target_of},
    error::{Error, Exit, Kind, Result},
    select::Selection,
    sync::{
        replicate::{Following, Health, must_follow},
        verify::{
            self, Verdict, VerifyReport,
            repair::{self, RepairReport, TableRepair},
        },
    },
};
use serde::Serialize;

use super::{
    Session, listen_for_signals, log_to,
    migration::{self, Planning, logged},
};
use crate::cli::{self, Verify};

/// How long the target may take to say how replication stands.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found, and how replication stood where that bears on it: the JSON form.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a VerifyReport,
    /// None where the sides are equal, and where nothing is to replicate.
    replication: Option<Health>,
    /// What is set right, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repair: Vec<&'a RepairReport>,
}

/// Compares two servers, prints what differs, and sets it right if that is asked for.
pub async fn verify(session: &Session<'_>, options: &Verify) -> Result<Exit> {
    let Verify { servers, select, mode, threads, .. } = options;
    let directory = options.directory.dir.as_path();
    if let Some(path) = &options.repair_sql {
        repair::expect_no_file(path)?;
    }
    // A repair is written down in the migration's journal, and no other daybreak works on it meanwhile.
    let migration = match options.repair {
        true => Some(open(session, options).await?),
        false => {
            log_to(session, None)?;
            None
        }
    };
    let mut overrides = servers.overrides()?;
    overrides.threads = *threads;
    let mut config = match &migration {
        Some(migration) => migration.context.config.clone(),
        None => Config::load(directory, &overrides)?,
    };
    match mode {
        Some(cli::VerifyMode::Count) => config.verify.mode = VerifyMode::Count,
        Some(cli::VerifyMode::Checksum) => config.verify.mode = VerifyMode::Checksum,
        Some(cli::VerifyMode::Full) => config.verify.mode = VerifyMode::Full,
        None => {}
    }
    let repairs = options.repair || options.repair_sql.is_some();
    if repairs && config.verify.mode == VerifyMode::Count {
        return Err(Error::new(Kind::Usage, "row counts don't say which rows to repair")
            .next("add --mode checksum or --mode full"));
    }
    config.verify.threads = threads.unwrap_or(config.verify.threads);
    if select.is_given() {
        // Of a migration, what is taken has its conditions and its names.
        config.select = select.read()?.part_of(&config.select);
    }
    let whole = !select.is_given();
    // Whose comparison this is; a restored cluster's place is known to the journal alone.
    let (mut ours, mut follows) = (false, false);
    let journal = match &migration {
        Some(migration) => Some(migration.context.journal.clone()),
        None if Journal::exists(directory) => Some(Arc::new(Journal::open(directory)?)),
        None => None,
    };
    if let Some(journal) = &journal
        && let Ok(plan) = journal.plan()
    {
        ours = plan.source == config.source.to_string() && plan.target == config.target.to_string();
        follows =
            ours && plan.replication == ReplicationMode::Native && must_follow(&journal.state());
        if ours {
            config.target = target_of(&config, journal)?.0;
        }
    }
    let plan = match repairs {
        true => repair::right_way_round(&config.source, &config.target, journal.as_deref()).await?,
        false => None,
    };
    let stop = match &migration {
        Some(migration) => migration.context.stop.clone(),
        None => {
            let stop = StopSignal::default();
            listen_for_signals(stop.clone())?;
            stop
        }
    };
    let events = logged(session);
    let compare = async |selection: &Selection| {
        let detect = verify::Liveness::Detect;
        let (from, to) = (&config.source, &config.target);
        verify::compare(from, to, selection, &config.verify, detect, &events, &stop).await
    };
    let mut report = compare(&config.select).await?;
    let mut repaired = Vec::new();
    if let Some(path) = &options.repair_sql {
        let of = plan.as_deref().zip(journal.as_deref());
        let sides = repair::Sides {
            source: &config.source,
            target: &config.target,
            selection: &config.select,
            config: &config.verify,
            migration: of,
            stop: &stop,
        };
        repaired.push(repair::write(sides, &report, path).await?);
    }
    let mut refused = None;
    if let Some(migration) = &migration
        && report.tables.iter().any(|table| table.verdict == Verdict::Different)
    {
        if options.yes {
            let done =
                repair::apply(&migration.context, &config.select, &config.verify, &report).await?;
            again(&mut report, &done, &config.select, compare).await?;
            repaired.push(done);
        } else {
            let tables = report.tables.iter().filter(|table| table.verdict == Verdict::Different);
            let what = format!("rows of {} tables on the target would be set", tables.count());
            refused = Some(Error::new(Kind::Usage, what).at(&config.target).next(
                "add --yes if that is meant; --repair-sql FILE writes down what would be done",
            ));
        }
    }
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
        session.ui.document(&Shown {
            report: &report,
            replication: replication.clone(),
            repair: repaired.iter().collect(),
        });
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
        for line in repaired.iter().flat_map(lines) {
            session.ui.line(&line);
        }
        let written = repaired.iter().any(|repair| repair.file.is_some());
        if let (Some(path), false) = (&options.repair_sql, written) {
            let path = path.display();
            session.ui.line(&format!("no row to set right: {path} wasn't written"));
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
    if let Some(refused) = refused {
        return Err(refused);
    }
    let mut differ = Error::new(Kind::Different, "the two sides differ");
    if let Some(file) = repaired.iter().find_map(|repair| repair.file.as_ref()) {
        differ = differ.next(format!(
            "look at {}, and run it on the target as its head says; then `daybreak verify`",
            file.display()
        ));
    }
    Err(match replication {
        Some(health) => explained(differ, &health, &report),
        None => differ,
    })
}

/// Opens the migration whose target is to be repaired.
async fn open(session: &Session<'_>, options: &Verify) -> Result<migration::Migration> {
    let (directory, servers) = (&options.directory.dir, &options.servers);
    if !Journal::exists(directory) {
        return Err(Error::new(Kind::State, "there is no migration here, and only a migration's target is repaired")
            .at(directory.display())
            .next("--dir names another directory; --repair-sql FILE writes the statements for any two servers"));
    }
    if Journal::open(directory)?
        .plan()
        .is_ok_and(|plan| plan.replication == ReplicationMode::CopyOnly)
    {
        return Err(Error::new(
            Kind::State,
            "a copy of its own is no migration, and only a migration's target is repaired",
        )
        .at(directory.display())
        .next("--repair-sql FILE writes the statements"));
    }
    let migration =
        migration::open(session, directory, servers, Planning::Never, None, |_| Ok(())).await?;
    repair::expect_repairable(&migration.context.journal)?;
    repair::go_on(&migration.context).await?;
    Ok(migration)
}

/// Compares the tables that were repaired once more.
async fn again(
    report: &mut VerifyReport,
    done: &RepairReport,
    selection: &Selection,
    compare: impl AsyncFn(&Selection) -> Result<VerifyReport>,
) -> Result<()> {
    let tables: Vec<_> = done.tables.iter().map(|repair| repair.table.clone()).collect();
    if tables.is_empty() {
        return Ok(());
    }
    let tables = Selection { tables, ..Selection::default() };
    let found = compare(&tables.part_of(selection)).await?;
    for verdict in found.tables {
        if let Some(before) = report.tables.iter_mut().find(|table| table.table == verdict.table) {
            *before = verdict;
        }
    }
    Ok(())
}

/// What is said of a repair.
fn lines(repair: &RepairReport) -> Vec<String> {
    let mut lines = Vec::new();
    let verb = if repair.applied { "repaired" } else { "to repair" };
    for table in repair.tables.iter().filter(|table| table.rows() > 0) {
        let TableRepair { table, set, added, removed } = table;
        lines.push(format!("{verb}: {table}: {set} rows set, {added} put in, {removed} taken off"));
    }
    for left in &repair.left_alone {
        lines.push(format!("not repaired: {}: {}\n  next:  {}", left.table, left.why, left.next));
    }
    if let Some(file) = &repair.file {
        lines.push(format!("written: {}", file.display()));
    }
    lines
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
