//! One file a verb (or a family of them); here only the way to it.

mod assess;
mod backup;
mod copy;
mod cutover;
mod explain;
mod init;
mod migration;
mod rehearse;
mod replicate;
mod report;
mod restore;
mod run;
mod status;
mod throttle;
mod upload;
mod verify;

use daybreak::error::{Error, Exit, Kind, Result};

use crate::{
    cli::{Cli, Global, Verb},
    logging,
    ui::{Ui, UiOptions},
};

/// What a verb works with.
pub struct Session<'a> {
    /// The flags that every verb has.
    pub global: &'a Global,
    /// The only printer.
    pub ui: &'a Ui,
    /// Who else wants the events (the rehearsal moves its writer by them).
    pub observer: Option<daybreak::event::Events>,
    /// Whether stdout is one JSON document, without events.
    pub one_document: bool,
}

/// Runs the verb that was asked for and returns the exit code.
pub async fn dispatch(cli: Cli, password_was_in_argv: bool) -> Exit {
    let json = cli.global.json.is_some() && !matches!(cli.verb, Verb::Report { .. });
    let ui = Ui::new(UiOptions { json, progress: !cli.global.no_progress });
    if password_was_in_argv {
        ui.warn(
            "a password was given on the command line: it was blanked in the process list, but your \
             shell may remember it; DAYBREAK_SOURCE_PASSWORD, DAYBREAK_TARGET_PASSWORD, password \
             files and --defaults-file don't leave traces",
        );
    }
    let one_document = json
        && matches!(
            cli.verb,
            Verb::Plan { .. } | Verb::Copy(_) | Verb::Backup { .. } | Verb::Verify(_)
        );
    let session = Session { global: &cli.global, ui: &ui, observer: None, one_document };
    let alone = stands_alone(&cli.verb);
    match verb(&session, cli.verb).await {
        Ok(exit) => exit,
        Err(error) => {
            let error = if alone { again(error) } else { error };
            ui.print_error(&error);
            error.kind().exit()
        }
    }
}

/// Whether a verb goes on by itself, without a journal that `daybreak resume` could go on with.
fn stands_alone(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Assess { .. }
            | Verb::Copy(_)
            | Verb::Verify(_)
            | Verb::Backup { .. }
            | Verb::Upload(_)
            | Verb::Restore(_)
    )
}

/// What is to be run next is the command itself, where the library's hint is for a migration.
fn again(error: Error) -> Error {
    const RESUME: &str = "`daybreak resume`";
    // Uploads and restores go on; what only looks, and a backup, begins anew. Both are said by the verb's help.
    if matches!(error.kind(), Kind::Interrupted | Kind::Paused)
        && error.next_step().is_some_and(|next| next.contains(RESUME))
    {
        return error.next("run the same command again");
    }
    match error.next_step().map(|next| next.replace(RESUME, "the same command again")) {
        Some(next) => error.next(next),
        None => error,
    }
}

async fn verb(session: &Session<'_>, verb: Verb) -> Result<Exit> {
    match verb {
        Verb::Init { directory, force } => init::init(session, &directory.dir, force),
        Verb::Assess { directory, servers, select, target_version, route } => {
            let route = route.map(Into::into);
            assess::assess(session, &directory.dir, &servers, &select, target_version, route).await
        }
        Verb::Plan { directory, servers, route, markdown } => {
            run::plan(session, &directory.dir, &servers, route.into(), markdown.as_deref()).await
        }
        Verb::Run { directory, servers, until, yes, switch } => {
            run::run(session, &directory.dir, &servers, &switch, until.as_deref(), yes, true).await
        }
        Verb::Resume { directory, servers, until, yes, switch } => {
            run::run(session, &directory.dir, &servers, &switch, until.as_deref(), yes, false).await
        }
        Verb::Status { directory, servers } => {
            status::status(session, &directory.dir, &servers).await
        }
        Verb::Watch { directory } => status::watch(session, &directory.dir).await,
        Verb::Pause { directory } => run::pause(session, &directory.dir),
        Verb::Throttle(options) => throttle::throttle(session, &options),
        Verb::Undo { directory, servers, to } => {
            run::undo(session, &directory.dir, &servers, to.as_deref()).await
        }
        Verb::Abort { directory, servers } => run::abort(session, &directory.dir, &servers).await,
        Verb::Rehearse(options) => rehearse::rehearse(session, options).await,
        Verb::Copy(options) => copy::copy(session, options).await,
        Verb::Restore(options) => restore::restore(session, *options).await,
        Verb::Upload(options) => upload::upload(session, options).await,
        Verb::Verify(options) => verify::verify(session, &options).await,
        Verb::Replicate { verb } => replicate::replicate(session, verb).await,
        Verb::Cutover { directory, go: true, .. } => cutover::go(session, &directory.dir),
        Verb::Cutover { directory, servers, dry_run, go: false, target_is_the_truth, switch } => {
            let doing = match (dry_run, target_is_the_truth) {
                (true, _) => cutover::Doing::Looking,
                (false, true) => cutover::Doing::Choosing,
                (false, false) => cutover::Doing::All,
            };
            cutover::cutover(session, &directory.dir, &servers, doing, &switch).await
        }
        Verb::Explain { asked } => explain::explain(session, &asked),
        Verb::Report { directory, html, json } => {
            report::report(session, &directory.dir, html.as_deref(), json.as_deref())
        }
        Verb::Backup { verb } => backup::backup(session, verb).await,
        Verb::RehearsalWriter { args } => rehearse::writer(args).await,
    }
}

/// Begins the log of a verb that works on a migration's directory.
pub fn log_to(session: &Session<'_>, directory: Option<&std::path::Path>) -> Result<()> {
    logging::start(session.global, directory)
}

/// Makes the stop signal of Ctrl-C and SIGTERM.
pub fn listen_for_signals(stop: daybreak::engine::StopSignal) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::new(Kind::Io, "signals can't be listened for").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::spawn(async move {
        // Every further one means the same: a step that mustn't be left half done ends first.
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.stop(daybreak::engine::StopReason::Interrupt);
        }
    });
    Ok(())
}
