//! `daybreak copy`: one step, schema and rows from one snapshot; with `--dir` resumable.

use std::sync::Arc;

use daybreak::{
    config::{self, Config, Definer},
    engine::{Context, Entry, Journal, ReplicationMode, Route, Runner, Standing, StopSignal},
    error::{Error, Exit, Kind, Result},
    route,
};

use super::{Session, listen_for_signals, log_to, migration};
use crate::{cli, directory};

/// Copies.
pub async fn copy(session: &Session<'_>, options: cli::Copy) -> Result<Exit> {
    let mut overrides = options.servers.overrides()?;
    overrides.threads = options.threads;
    overrides.load_threads = options.load_threads;
    let temporary = tempfile::tempdir()?;
    let place = options.dir.as_deref().unwrap_or(temporary.path());
    let _held = directory::hold(place)?;
    log_to(session, options.dir.as_deref())?;
    if options.dir.is_some() && place.join(config::FILE).exists() {
        return Err(Error::new(Kind::Usage, "the directory is that of a migration")
            .at(place.display())
            .next("give --dir a directory of its own"));
    }
    if options.resume != Journal::exists(place) {
        return Err(if options.resume {
            Error::new(Kind::State, "there is no copy to go on with").at(place.display())
        } else {
            Error::new(Kind::State, "the directory holds a copy already")
                .at(place.display())
                .next("go on with --resume, or give another --dir")
        });
    }
    let mut config = Config::from_overrides(&overrides)?;
    config.select = options.select.read()?;
    config.copy.definer = match options.definer {
        cli::Definer::Keep => Definer::Keep,
        cli::Definer::Current => Definer::Current,
    };
    config.replication.mode = ReplicationMode::CopyOnly;
    let events = migration::logged(session);
    let journal = Arc::new(Journal::open(place)?);
    if options.resume {
        let plan = journal.plan()?;
        route::check_same_source(&plan, &config, &journal).await?;
        config.select = plan.selection.clone();
        config.copy.definer = plan.definer;
    } else {
        let (mut plan, _) = route::make_plan(&config, Route::Logical, &events).await?;
        if options.no_data {
            plan.steps.retain(|step| step.id != "rows");
        }
        journal.append(Entry::Planned { plan: Box::new(plan), consent: true })?;
    }
    let plan = journal.plan()?;
    let mut steps = route::steps(&plan);
    steps.retain(|step| plan.steps.iter().any(|planned| planned.id == step.id()));
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let context = Arc::new(Context {
        config,
        directory: place.to_path_buf(),
        journal: journal.clone(),
        events,
        stop,
        write_lock: tokio::sync::Mutex::new(None),
    });
    let standing = Runner::new(context, steps)?.run(None, true).await.map_err(|error| {
        if error.kind() == Kind::Blocked && options.dir.is_none() {
            error
        } else if error.kind() == Kind::Blocked {
            let next = error.next_step().unwrap_or("do what it says").to_string();
            error.next(next.replace("`daybreak resume`", "the same command with --resume"))
        } else if options.dir.is_none() {
            error.next(
                "without --dir there is no journal: drop what was created on the target (and, unless another \
                 migration is in `daybreak`.`migrations` there, the database `daybreak`), and copy again, \
                 with --dir to be able to go on",
            )
        } else {
            error.next("the same command with --resume goes on")
        }
    })?;
    if standing != Standing::Completed {
        return Err(Error::new(Kind::Bug, "a copy ended before its end"));
    }
    let tables = journal.tables()?;
    let (rows, bytes) =
        tables.iter().fold((0, 0), |(rows, bytes), table| (rows + table.rows, bytes + table.bytes));
    if session.global.json.is_some() {
        session.ui.document(&serde_json::json!({
            "snapshot": journal.recall::<serde_json::Value>("rows", "snapshot")?,
            "rows": rows, "bytes": bytes, "tables": tables,
        }));
        return Ok(Exit::Done);
    }
    session.ui.line(&format!("copied {} tables, {rows} rows, {bytes} bytes", tables.len()));
    if let Some(snapshot) = journal.recall::<serde_json::Value>("rows", "snapshot")? {
        let coordinates: daybreak::mysql::Coordinates =
            serde_json::from_value(snapshot["coordinates"].clone())?;
        session.ui.line(&format!("as of {coordinates}"));
    }
    Ok(Exit::Done)
}
