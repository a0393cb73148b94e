//! What makes the target's rows those of the source: as a file of SQL, or done at once. Always this
//! way round: nothing here writes to the source.
//!
//! Both are the same statements, made in one place ([`rows`]) from the differences of a table at one
//! moment. Where nothing follows, the tables stand still; while replication runs, the moment is that of
//! [`super::fence`]: two snapshots that show the table after just the same changes.
//!
//! The target's triggers would fire for each row that is put in or taken off, and nothing in a session
//! keeps them from it: tables that have such are left alone and named.

mod apply;
mod documents;
mod literal;
mod rows;
mod script;
mod sweep;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use serde::Serialize;

pub use apply::{apply, expect_repairable, go_on};
pub use rows::TableRepair;
pub use script::expect_no_file;

use self::{rows::Repairer, script::Sink};
use super::{
    fence,
    report::{Verdict, VerifyReport},
    table::{Pair, Work},
};
use crate::{
    config::{VerifyConfig, VerifyMode},
    engine::{
        Context, Endpoint, Journal, Plan, ReplicationMode, StopSignal,
        context::{ENDPOINT, RESTORE},
    },
    error::{Error, Kind, Result},
    mysql::{Catalog, Coordinates, ServerUrl, Session, Side, TableName},
    select::Selection,
    sync::replicate,
};

/// How many differing rows of a table are kept in mind; where there are more, the whole table is gone
/// through once more while replication stands still.
const SUSPECTS: usize = 100_000;

/// A table that differs and isn't repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftAlone {
    /// The table.
    pub table: TableName,
    /// Why.
    pub why: String,
    /// What to do.
    pub next: String,
}

/// What was repaired, or is to be by a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// The file; none where the statements were run, or there is nothing to write.
    pub file: Option<PathBuf>,
    /// Whether the statements were run.
    pub applied: bool,
    /// What is set right.
    pub tables: Vec<TableRepair>,
    /// What differs and isn't.
    pub left_alone: Vec<LeftAlone>,
}

impl RepairReport {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(TableRepair::rows).sum()
    }
}

/// Two servers, and what of them was compared.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// Whose rows count.
    pub source: &'a ServerUrl,
    /// Whose rows are set.
    pub target: &'a ServerUrl,
    /// What was selected.
    pub selection: &'a Selection,
    /// How it was compared.
    pub config: &'a VerifyConfig,
    /// The migration that the two are of, and its directory's journal.
    pub migration: Option<(&'a Plan, &'a Journal)>,
    /// The word to stop.
    pub stop: &'a StopSignal,
}

/// Writes the statements that set right what a comparison found. Without a row to set there is no file.
///
/// # Errors
/// `Usage` where a file is there already; whatever kept it from reading the rows.
pub async fn write(sides: Sides<'_>, found: &VerifyReport, path: &Path) -> Result<RepairReport> {
    expect_no_file(path)?;
    expect_moment(sides, found).await?;
    let mut pair = Pair::for_rows(sides.source, sides.target, VerifyMode::Full).await?;
    let (works, left_alone) = works(&mut pair, sides, found, found.live).await?;
    let mut report = RepairReport { left_alone, ..RepairReport::default() };
    let mut out = Sink::file(path)?;
    header(&mut out, &mut pair, sides, found).await?;
    let holds = script::guard(&mut pair.target, sides.migration.is_some(), found.live).await?;
    for statement in script::beginning(pair.target.dialect(), &holds) {
        out.run(&statement, None).await?;
    }
    for work in works {
        sides.stop.check()?;
        out.comment("")?;
        out.comment(&format!("table {}", work.source.name))?;
        match table(&mut pair, sides, work.clone(), &mut out, found.live, None).await? {
            Ok(done) => report.tables.push(done),
            Err(left) => report.left_alone.push(left),
        }
    }
    pair.close().await;
    for left in &report.left_alone {
        out.comment(&format!("not repaired: {}: {}", left.table, left.why))?;
    }
    out.comment("the end")?;
    if report.rows() > 0 {
        out.finish()?;
        report.file = Some(path.to_path_buf());
    }
    Ok(report)
}

/// Refuses where the target should follow the source and doesn't: what the source still sends would meet
/// rows that are ahead of it.
async fn expect_moment(sides: Sides<'_>, found: &VerifyReport) -> Result<()> {
    if found.live {
        return Ok(());
    }
    let mut target = Session::open(sides.target, Side::Target).await?;
    let set_up = replicate::status(&mut target).await?.is_some();
    target.close().await;
    let follows = sides.migration.is_some_and(|(plan, journal)| {
        plan.replication == ReplicationMode::Native && replicate::must_follow(&journal.state())
    });
    match set_up || follows {
        false => Ok(()),
        true => Err(Error::new(
            Kind::Replication,
            "nothing is repaired while replication doesn't run: what the source still sends would meet rows that \
             are ahead of it",
        )
        .at(sides.target)
        .next("`daybreak replicate start`, then the same command again")),
    }
}

/// Sets a table right at a moment that both sides share, or says why there is none. With `applier`, the
/// target's replication stands still from then on.
async fn table(
    pair: &mut Pair,
    sides: Sides<'_>,
    work: Work,
    out: &mut Sink,
    live: bool,
    applier: Option<&Context>,
) -> Result<Result<TableRepair, LeftAlone>> {
    let name = work.source.name.clone();
    let packet: u64 =
        pair.target.scalar("SELECT @@GLOBAL.max_allowed_packet").await?.unwrap_or_default();
    // What differs is looked for while replication runs: it then stands still for these rows alone.
    let mut only = None;
    if applier.is_some() && work.key().is_some() {
        if let Err(left) = moment(pair, sides, &work, None).await? {
            return Ok(Err(left));
        }
        let chunk_rows = sides.config.chunk_rows;
        let found = rows::suspects(pair, &work, chunk_rows, SUSPECTS, sides.stop).await;
        fence::close(pair).await?;
        only = found.map_err(|error| error.at(&name))?;
    }
    if live {
        match moment(pair, sides, &work, applier).await? {
            Ok(position) => out.comment(&format!("the source at {position}"))?,
            Err(left) => return Ok(Err(left)),
        }
    } else {
        for session in [&mut pair.source, &mut pair.target] {
            session.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        }
    }
    // Once replication stands still, nothing comes between.
    let late = live && applier.is_none();
    let how = (late, usize::try_from(packet).unwrap_or(usize::MAX), sides.config.chunk_rows);
    let repaired = match Repairer::new(pair, work, out, how, only, sides.stop) {
        Ok(repairer) => repairer.run().await,
        Err(error) => Err(error),
    };
    let closed = fence::close(pair).await;
    let repaired = repaired.map_err(|error| error.at(&name))?;
    closed?;
    Ok(Ok(repaired))
}

/// Opens the moment of [`fence`], as often as it takes within the time for looking again.
async fn moment(
    pair: &mut Pair,
    sides: Sides<'_>,
    work: &Work,
    applier: Option<&Context>,
) -> Result<Result<Coordinates, LeftAlone>> {
    let mut locks = Pair::open(sides.source, sides.target).await?;
    let until = Instant::now() + sides.config.recheck;
    loop {
        sides.stop.check()?;
        let why = match fence::open(pair, &mut locks, work, applier, sides.stop).await? {
            Ok(position) => {
                locks.close().await;
                return Ok(Ok(position));
            }
            Err(why) => why,
        };
        if let Some(context) = applier {
            apply::running(context).await?;
        }
        if Instant::now() > until {
            locks.close().await;
            return Ok(Err(LeftAlone {
                table: work.source.name.clone(),
                why: format!("no moment could be had that both sides share: {why}"),
                next: "the same command again, when fewer or shorter transactions write there and the target \
                       keeps up"
                    .to_string(),
            }));
        }
    }
}

/// The tables whose rows differ and can be set right, and those that can't.
async fn works(
    pair: &mut Pair,
    sides: Sides<'_>,
    found: &VerifyReport,
    late: bool,
) -> Result<(Vec<Work>, Vec<LeftAlone>)> {
    let there = sides.selection.on_target();
    let (ours, theirs) = tokio::join!(
        Catalog::read(&mut pair.source, sides.selection),
        Catalog::read(&mut pair.target, &there)
    );
    let (ours, theirs) = (ours?, theirs?);
    let triggers = triggers(&mut pair.target, late).await?;
    let (mut works, mut left) = (Vec::new(), Vec::new());
    for verdict in &found.tables {
        let name = &verdict.table;
        let mut alone = |why: String, next: &str| {
            left.push(LeftAlone { table: name.clone(), why, next: next.to_string() });
        };
        match &verdict.verdict {
            Verdict::Equal => continue,
            Verdict::NotCompared(why) => {
                alone(
                    format!("not compared: {why}"),
                    "make it comparable, then the same command again",
                );
                continue;
            }
            Verdict::Different => {}
        }
        let name_there = sides.selection.table_on_target(name);
        let (Some(source), Some(target)) = (ours.table(name), theirs.table(&name_there)) else {
            alone("it went away meanwhile".into(), "the same command again");
            continue;
        };
        if let Some(triggers) = triggers.get(&name_there) {
            alone(
                format!("its triggers on the target would fire: {}", triggers.join(", ")),
                "keep what SHOW CREATE TRIGGER says of them on the target, drop them there (replication fires none), \
                 repair, and make them again; `daybreak verify` compares them with the source's",
            );
            continue;
        }
        if found.live
            && !(source.engine.eq_ignore_ascii_case("InnoDB")
                && target.engine.eq_ignore_ascii_case("InnoDB"))
        {
            alone(
                format!("{} has no snapshots, and the source is being written", source.engine),
                "ALTER TABLE .. ENGINE = InnoDB on both sides, or stop its writers and set its rows by hand",
            );
            continue;
        }
        match Work::new(source, target, pair, sides.config.mode)? {
            Ok(work) => works.push(work),
            Err(why) => alone(why, "give both sides the same columns, then the same command again"),
        }
    }
    Ok((works, left))
}

/// The triggers of each table that would fire: `late`, those of UPDATE too, for rows that came meanwhile.
async fn triggers(target: &mut Session, late: bool) -> Result<BTreeMap<TableName, Vec<String>>> {
    let fires = if late { "TRUE" } else { "EVENT_MANIPULATION <> 'UPDATE'" };
    let rows = target
        .rows(format!(
            "SELECT EVENT_OBJECT_SCHEMA AS D, EVENT_OBJECT_TABLE AS T, TRIGGER_NAME AS N \
             FROM information_schema.TRIGGERS WHERE {fires} ORDER BY TRIGGER_NAME"
        ))
        .await?;
    let mut triggers: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for row in rows {
        let table =
            TableName::new(target.field::<String>(&row, "D")?, target.field::<String>(&row, "T")?);
        triggers.entry(table).or_default().push(target.field(&row, "N")?);
    }
    Ok(triggers)
}

/// Makes sure that the target isn't the source, nor what the source replicates from, nor what the plan in
/// the directory calls the source, and not opened for writes by its cutover. What comes back is the plan,
/// if it is for these two servers.
///
/// # Errors
/// `Usage` where the servers are the wrong way round, `State` where it is too late or too early.
pub async fn right_way_round(
    source_url: &ServerUrl,
    target_url: &ServerUrl,
    journal: Option<&Journal>,
) -> Result<Option<Arc<Plan>>> {
    let (source, target) = tokio::join!(
        Session::open(source_url, Side::Source),
        Session::open(target_url, Side::Target)
    );
    let (mut source, mut target) = (source?, target?);
    let (ours, theirs) = (source.server_uuid().await?, target.server_uuid().await?);
    let follows = match replicate::status(&mut source).await {
        Ok(status) => status.is_some_and(|status| {
            let local = |host: &str| matches!(host, "127.0.0.1" | "localhost" | "::1");
            let (host, other) = (status.source_host.as_str(), target_url.host.as_str());
            let same_host = host == other || (local(host) && local(other));
            same_host && status.source_port == target_url.port
        }),
        // Whom a source follows isn't everybody's to ask.
        Err(error) if error.kind() == Kind::Privilege => false,
        Err(error) => return Err(error),
    };
    source.close().await;
    target.close().await;
    let plan = journal.and_then(|journal| journal.plan().ok());
    let made = match journal {
        Some(journal) => journal.recall::<Endpoint>(RESTORE, ENDPOINT)?,
        None => None,
    };
    let planned = plan.as_ref().map(|plan| {
        let target = made.map_or_else(|| plan.target_uuid.clone(), |made| made.server_uuid);
        (plan.fingerprint.server_uuid.clone(), target)
    });
    let (from, to) = planned.unwrap_or_default();
    let wrong = match () {
        () if ours == theirs => "source and target are the same server",
        () if follows => "the source replicates from the target: what is newer is there",
        () if ours == to || theirs == from => {
            "what is called the source here is the target of this directory's migration, or the other way round"
        }
        () => "",
    };
    if !wrong.is_empty() {
        return Err(Error::new(Kind::Usage, format!("nothing is repaired: {wrong}"))
            .at(target_url)
            .next("give the servers the right way round: the source has the right rows, the target gets them"));
    }
    if let Some(journal) = journal.filter(|_| theirs == to) {
        apply::expect_repairable(journal)?;
    }
    Ok(plan.filter(|_| (ours, theirs) == (from, to)))
}

/// What the file says of itself.
async fn header(
    out: &mut Sink,
    pair: &mut Pair,
    sides: Sides<'_>,
    found: &VerifyReport,
) -> Result<()> {
    let position = match Coordinates::read(&mut pair.source).await {
        Ok(position) => position.to_string(),
        Err(error) if error.kind() == Kind::Privilege => {
            "a position that the account may not see".into()
        }
        Err(error) => return Err(error),
    };
    let (ours, theirs) = (pair.source.server_uuid().await?, pair.target.server_uuid().await?);
    let by = match found.mode {
        VerifyMode::Full => "byte by byte",
        VerifyMode::Checksum | VerifyMode::Count => "by checksums",
    };
    let client = match &sides.target.socket {
        Some(socket) => format!("--socket={}", socket.display()),
        None => format!("--host={} --port={}", sides.target.host, sides.target.port),
    };
    let mut lines = vec![
        "daybreak verify --repair-sql: makes the target's rows those of the source".to_string(),
        format!("migration: {}", sides.migration.map_or("none", |(plan, _)| &plan.migration)),
        format!("source:    {} (server {ours}), at {position}", sides.source),
        format!("target:    {} (server {theirs}); no other server takes this file", sides.target),
        format!("written:   {} by daybreak {}, rows compared {by}", Timestamp::now(), env!("CARGO_PKG_VERSION")),
        format!("to run it: mysql {client} --user={} --password < FILE, then `daybreak verify`", sides.target.user),
        "It holds rows: keep it as private as they are. Not after the cutover: the source is stale then.".to_string(),
    ];
    if found.live {
        lines.push(
            "Replication ran: each table is repaired as of the position beside it, and a row that has changed on \
             the target since is left as it is. A row that the source gave, since, just the value that was wrong \
             here is set back, and one that the source deleted since comes back (which stops replication if the source \
             puts it in once more): run it soon, while little is written, and verify afterwards."
                .to_string(),
        );
    }
    for line in lines {
        out.comment(&line)?;
    }
    Ok(())
}
