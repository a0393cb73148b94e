//! A migration's directory, opened: configuration, journal, context, runner.

use std::{path::Path, sync::Arc};

use daybreak::{
    config::{self, Config, Overrides},
    engine::{Context, Entry, Journal, Plan, Route, Runner, StopReason, StopSignal, SwitchOptions},
    error::{Error, Kind, Result},
    event::{Event, Events, Level},
    mysql::ServerUrl,
    route,
};

use super::{Session, cutover, init, listen_for_signals, log_to};
use crate::{
    cli::Servers,
    directory::{self, Held},
};

/// An opened migration, held by this process.
pub struct Migration {
    /// What its steps are given.
    pub context: Arc<Context>,
    /// Goes through its steps.
    pub runner: Runner,
    /// How the cutover is to go, beside what the configuration says.
    pub switch: SwitchOptions,
    _held: Held,
}

/// Whether opening makes a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planning {
    /// There must be one, and the configuration still say what it was made for.
    Never,
    /// There must be one. It holds whatever the configuration says by now: steps are taken back.
    Back,
    /// When there is none; with the operator's consent to the cutover, or without.
    IfMissing {
        /// `--yes`.
        consent: bool,
        /// By this route.
        route: Route,
    },
    /// A new one, in place of one that nothing was done of.
    Anew {
        /// By this route.
        route: Route,
    },
}

/// Opens a migration: holds its directory, reads its configuration and journal, and makes sure that
/// the servers are those of its plan.
pub async fn open(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    planning: Planning,
    until: Option<&str>,
    adjust: impl FnOnce(&mut Overrides) -> Result<()>,
) -> Result<Migration> {
    if matches!(planning, Planning::Never | Planning::Back) {
        directory::expect_migration(directory)?;
    }
    let mut overrides = servers.overrides()?;
    let held = directory::hold(directory)?;
    log_to(session, Some(directory))?;
    let begun = Journal::exists(directory).then(|| Journal::open(directory)).transpose()?;
    if let Some(journal) = &begun {
        cutover::as_before(journal, &mut overrides)?;
    }
    adjust(&mut overrides)?;
    let mut config = Config::load(directory, &overrides)?;
    let journal = Arc::new(match begun {
        Some(journal) => journal,
        None => Journal::open(directory)?,
    });
    let events = logged(session);
    if matches!(planning, Planning::Anew { .. }) && !journal.state().may_be_planned() {
        return Err(Error::new(Kind::State, "the migration has begun, its plan stands")
            .at(directory.display())
            .next("`daybreak resume` goes on; `daybreak undo` takes it back, then `daybreak plan` makes another plan"));
    }
    let wanted = match planning {
        Planning::Never | Planning::Back => None,
        Planning::IfMissing { consent, route } => {
            journal.plan().is_err().then_some((consent, route))
        }
        Planning::Anew { route } => Some((false, route)),
    };
    if let Some((consent, route)) = wanted {
        let (plan, _) = route::make_plan(&config, route, &events).await?;
        if let Some(until) = until
            && !plan.steps.iter().any(|step| step.id == until)
        {
            let known: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
            return Err(Error::new(Kind::Usage, format!("the plan has no step {until}"))
                .next(format!("choose one of {}", known.join(", "))));
        }
        remember_servers(session, directory, &overrides)?;
        journal.append(Entry::Planned { plan: Box::new(plan), consent })?;
    } else {
        let plan = journal.plan()?;
        if planning != Planning::Back {
            same_wishes(&plan, &config, journal.state().may_be_planned())
                .map_err(|error| error.at(directory.join(config::FILE).display()))?;
        }
        config.select = plan.selection.clone();
        config.replication.mode = plan.replication;
        config.copy.definer = plan.definer;
        match planning {
            Planning::Back => route::check_for_undo(&plan, &config, &journal, &events).await?,
            _ => route::check_same_source(&plan, &config, &journal).await?,
        }
    }
    let plan = journal.plan()?;
    let steps = route::steps(&plan);
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    watch_for_pause(journal.clone(), stop.clone());
    let context = Arc::new(Context {
        config,
        directory: directory.to_path_buf(),
        journal,
        events,
        stop,
        write_lock: tokio::sync::Mutex::new(None),
    });
    let runner = Runner::new(context.clone(), steps)?;
    Ok(Migration { context, runner, switch: cutover::said(&overrides), _held: held })
}

impl Migration {
    /// The plan in force.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        self.context.plan()
    }
}

/// A plan stands for what was selected and how changes follow: steps that already ran went by it.
fn same_wishes(plan: &Plan, config: &Config, fresh: bool) -> Result<()> {
    let changed = match () {
        () if config.select != plan.selection => "[select]",
        () if config.replication.mode != plan.replication => "replication.mode",
        () if config.copy.definer != plan.definer => "copy.definer",
        () => return Ok(()),
    };
    Err(Error::new(
        Kind::Config,
        format!("{changed} isn't what the plan was made for any more"),
    )
    .next(match fresh {
        true => "`daybreak plan` makes a new plan",
        false => {
            "put it back and go on; or `daybreak undo` (which goes by the plan), then `daybreak plan` and `daybreak run`"
        }
    }))
}

/// Writes the servers that flags named into `daybreak.toml`, where it names none: a resume must find
/// them. Never with a password.
fn remember_servers(session: &Session<'_>, directory: &Path, overrides: &Overrides) -> Result<()> {
    let path = directory.join(config::FILE);
    let there = path.exists();
    let before = match there {
        true => {
            std::fs::read_to_string(&path).map_err(|error| Error::from(error).at(path.display()))?
        }
        false => config::TEMPLATE.to_string(),
    };
    let mut text = before.clone();
    for (section, url) in [("source", &overrides.source), ("target", &overrides.target)] {
        let Some(url) = url else { continue };
        if config::names_server(&text, section) {
            continue;
        }
        let plain = ServerUrl::blanked(url).unwrap_or_else(|| url.clone());
        let line = format!("url = {}\n", serde_json::Value::String(plain));
        let head = format!("[{section}]\n");
        text = match text.contains(&head) {
            true => text.replacen(&head, &format!("{head}{line}"), 1),
            false => format!("{text}\n{head}{line}"),
        };
    }
    if text == before {
        return Ok(());
    }
    init::write(directory, &text, there)?;
    session.ui.events().detail(format!("wrote the servers into {}", path.display()));
    Ok(())
}

/// The events of a run: to the printer, to the log, and to whoever else observes.
pub fn logged(session: &Session<'_>) -> Events {
    // A verb that prints one document prints no events beside it.
    let events = if session.one_document { Events::nowhere() } else { session.ui.events() };
    let observer = session.observer.clone();
    Events::to(move |event| {
        match event {
            Event::Progress { .. } | Event::Lag { .. } => {
                tracing::debug!(target: "daybreak", "{}", json(event));
            }
            Event::StepFailed { .. } | Event::Note { level: Level::Warning, .. } => {
                tracing::warn!(target: "daybreak", "{}", json(event));
            }
            _ => tracing::info!(target: "daybreak", "{}", json(event)),
        }
        events.send(event.clone());
        if let Some(observer) = &observer {
            observer.send(event.clone());
        }
    })
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// Turns a request of `daybreak pause` (another process) into the word to stop.
fn watch_for_pause(journal: Arc<Journal>, stop: StopSignal) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            match journal.pause_requested(false) {
                Ok(false) => {}
                Ok(true) => {
                    stop.stop(StopReason::Pause);
                    return;
                }
                Err(error) => {
                    tracing::warn!(target: "daybreak", %error, "a pause can't be asked for");
                    return;
                }
            }
        }
    });
}
