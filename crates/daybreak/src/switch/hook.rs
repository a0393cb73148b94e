//! The operator's own commands around the switch: `[hooks]` in `daybreak.toml`.
//!
//! | hook | when | if it fails |
//! |---|---|---|
//! | `before_write_stop` | before writes are stopped | a veto: nothing is begun |
//! | `after_target_open` | the target takes writes, the source is closed | it stays so; said loudly |
//! | `on_abort` | the source takes its writes again, after `before_write_stop` agreed or was cut off (after a kill: once that is found) | said |
//!
//! A hook runs in the migration's directory, in a process group of its own, which is ended as a whole
//! when its time is over. It is told where things are by its environment and never a password. Each
//! run is in the journal before it begins and when it has ended; one whose end isn't there (daybreak
//! was killed) is run again, so that hooks must bear being repeated.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::mpsc,
};

use crate::{
    config::HookCommand,
    engine::{Context, Entry},
    error::{Error, Kind, Result},
    process::Group,
};

/// How many lines of a hook's output go to the events and into the report; the log gets more.
const TOLD: usize = 20;

/// How many lines are read at all, and how much of one.
const LINES: usize = 10_000;
const LINE_BYTES: usize = 2_000;

/// How long a group that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// How long output is waited for once the command has ended: what it left running may hold the pipe.
const REST: Duration = Duration::from_millis(500);

/// What a hook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Before writes are stopped; may say no.
    BeforeWriteStop,
    /// The target takes the writes.
    AfterTargetOpen,
    /// The source takes its writes again.
    OnAbort,
}

impl Hook {
    /// Its name in `[hooks]`.
    pub fn name(self) -> &'static str {
        match self {
            Hook::BeforeWriteStop => "before_write_stop",
            Hook::AfterTargetOpen => "after_target_open",
            Hook::OnAbort => "on_abort",
        }
    }

    /// The name of its checkpoints.
    fn checkpoint(self) -> String {
        format!("hook_{}", self.name())
    }

    fn command(self, context: &Context) -> Option<&HookCommand> {
        let hooks = &context.config.hooks;
        match self {
            Hook::BeforeWriteStop => hooks.before_write_stop.as_ref(),
            Hook::AfterTargetOpen => hooks.after_target_open.as_ref(),
            Hook::OnAbort => hooks.on_abort.as_ref(),
        }
    }
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It hasn't, as far as is known.
    Begun,
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Its time was over, and its process group was ended.
    TimedOut,
    /// It couldn't be started, and why.
    NotStarted(String),
}

/// A run of a hook, for the journal and the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// Which.
    pub hook: Hook,
    /// How it ended.
    pub ended: Ended,
    /// How long it ran, in milliseconds.
    pub millis: u64,
    /// The first lines of what it printed.
    pub output: Vec<String>,
}

impl HookRun {
    /// Whether it agreed.
    pub fn succeeded(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// Whether it said no, as it may.
    pub fn vetoed(&self) -> bool {
        self.hook == Hook::BeforeWriteStop && matches!(self.ended, Ended::Code(code) if code != 0)
    }

    /// How it ended, in words.
    pub fn words(&self) -> String {
        match &self.ended {
            Ended::Code(code) if self.vetoed() => {
                format!("vetoed the write stop (exit code {code})")
            }
            Ended::Begun => "began, and its end isn't known".to_string(),
            Ended::Code(code) => format!("ended with exit code {code}"),
            Ended::Signal(signal) => format!("was ended by signal {signal}"),
            Ended::TimedOut => {
                format!("wasn't done within {:.1} s and was ended", self.millis as f64 / 1e3)
            }
            Ended::NotStarted(why) => format!("couldn't be started: {why}"),
        }
    }
}

/// What a hook is told beside what is always known: names of its environment, and values.
pub(crate) type Told<'a> = &'a [(&'static str, String)];

/// Asks `before_write_stop`. Afterwards `on_abort` is owed until the target is open.
///
/// # Errors
/// `Blocked` when it says no, or can't be asked.
pub(crate) async fn before_write_stop(context: &Context) -> Result<()> {
    let Some(run) = run(context, Hook::BeforeWriteStop, &[]).await? else { return Ok(()) };
    if run.succeeded() {
        return Ok(());
    }
    let refused = Error::new(
        Kind::Blocked,
        format!(
            "the hook before_write_stop {}: writes weren't stopped, nothing was changed",
            run.words()
        ),
    )
    .next("see what it printed (daybreak.log); `daybreak cutover` asks it again");
    // Who was cut off couldn't put back what it had done.
    if matches!(run.ended, Ended::TimedOut | Ended::Signal(_)) {
        on_abort(context, refused.what()).await;
    }
    Err(refused)
}

/// Tells `after_target_open`, once; what it says changes nothing any more.
pub(crate) async fn after_target_open(context: &Context, told: Told<'_>) -> Result<()> {
    let step = crate::switch::cut_over::ID;
    let before: Option<HookRun> =
        context.journal.recall(step, &Hook::AfterTargetOpen.checkpoint())?;
    if before.is_some_and(|run| run.ended != Ended::Begun) {
        return Ok(());
    }
    if let Some(run) = run(context, Hook::AfterTargetOpen, told).await?
        && !run.succeeded()
    {
        context.events.warn(format!(
            "THE HOOK after_target_open FAILED: it {}. The target is open and takes the writes, the source is closed, and \
             that stays so: do by hand what the hook should have done",
            run.words()
        ));
    }
    Ok(())
}

/// Tells `on_abort` if it is owed: `before_write_stop` agreed (or was killed with daybreak), or writes
/// were about to be stopped, and since then the target wasn't opened for good and nobody was told.
///
/// # Errors
/// `Journal` when that can't be looked up.
pub(crate) async fn settle(context: &Context, reason: &str) -> Result<()> {
    let mut owed = false;
    for record in context.journal.entries()? {
        let Entry::Checkpoint { name, data, .. } = record.entry else { continue };
        match name.as_str() {
            // The cutover's own words for "about to stop writes" and "done".
            "closing" => owed = true,
            "result" => owed = false,
            name if name.starts_with("hook_") => {
                let run: HookRun = serde_json::from_value(data)?;
                match (run.hook, &run.ended) {
                    (Hook::BeforeWriteStop, Ended::Begun | Ended::Code(0)) => owed = true,
                    (Hook::OnAbort, ended) if *ended != Ended::Begun => owed = false,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    if owed {
        on_abort(context, reason).await;
    }
    Ok(())
}

/// Tells `on_abort`. Its failure is said, and is no further failure.
pub(crate) async fn on_abort(context: &Context, reason: &str) {
    let told = [("DAYBREAK_REASON", reason.to_string())];
    match run(context, Hook::OnAbort, &told).await {
        Ok(Some(run)) if !run.succeeded() => context.events.warn(format!(
            "the hook on_abort {}: the source takes writes again all the same",
            run.words()
        )),
        Ok(_) => {}
        Err(error) => context.events.warn(format!("the hook on_abort: {error}")),
    }
}

/// Runs a hook, if there is one.
async fn run(context: &Context, hook: Hook, told: Told<'_>) -> Result<Option<HookRun>> {
    let Some(command) = hook.command(context) else { return Ok(None) };
    let mut run = HookRun { hook, ended: Ended::Begun, millis: 0, output: Vec::new() };
    note(context, &run)?;
    context.events.info(format!("running the hook {}", hook.name()));
    let begun = Instant::now();
    run.ended = execute(context, hook, command, told, &mut run.output).await?;
    run.millis = begun.elapsed().as_millis() as u64;
    note(context, &run)?;
    context.events.info(format!("the hook {} {}", hook.name(), run.words()));
    Ok(Some(run))
}

/// Writes a run into the journal, with the step that is at work.
fn note(context: &Context, run: &HookRun) -> Result<()> {
    let state = context.journal.state();
    let step = state.current().map_or(crate::switch::cut_over::ID, |(step, _)| step);
    match context.journal.record(step, &run.hook.checkpoint(), run) {
        // The step has failed already and takes no entries: the log has it.
        Err(error) if error.kind() == Kind::State => {
            tracing::info!(hook = run.hook.name(), ended = ?run.ended, "a hook after its step");
            Ok(())
        }
        other => other,
    }
}

async fn execute(
    context: &Context,
    hook: Hook,
    command: &HookCommand,
    told: Told<'_>,
    output: &mut Vec<String>,
) -> Result<Ended> {
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err(Error::new(Kind::Bug, "a hook without a command"));
    };
    let mut process = Command::new(program);
    process
        .args(arguments)
        .current_dir(&context.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // It may have passwords of its own, but not ours.
    for ours in ["DAYBREAK_SOURCE_PASSWORD", "DAYBREAK_TARGET_PASSWORD", "MYSQL_PWD"] {
        process.env_remove(ours);
    }
    let (config, target) = (&context.config, context.target_url()?);
    process
        .env("DAYBREAK_EVENT", hook.name())
        .env("DAYBREAK_MIGRATION", &context.plan()?.migration)
        .env("DAYBREAK_SOURCE", format!("{}:{}", config.source.host, config.source.port))
        .env("DAYBREAK_TARGET", format!("{}:{}", target.host, target.port))
        .envs(told.iter().map(|(name, value)| (*name, value.as_str())));
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Ended::NotStarted(error.to_string())),
    };
    let mut group = Group::of(&child);
    let (send, mut lines) = mpsc::channel(64);
    let readers = [
        child.stdout.take().map(|pipe| tokio::spawn(read_lines(pipe, send.clone()))),
        child.stderr.take().map(|pipe| tokio::spawn(read_lines(pipe, send))),
    ];
    let deadline = Instant::now() + command.timeout;
    let mut timed_out = false;
    let mut open = true;
    let status = loop {
        tokio::select! {
            line = lines.recv(), if open => match line {
                Some(line) => tell(context, hook, line, output),
                None => open = false,
            },
            status = child.wait() => break status,
            () = tokio::time::sleep_until(deadline.into()), if !timed_out => {
                timed_out = true;
                group.signal(libc::SIGTERM);
                if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
                    break status;
                }
                group.signal(libc::SIGKILL);
            }
        }
    };
    if timed_out {
        // Whatever it started goes with it.
        group.signal(libc::SIGKILL);
    }
    let rest = async {
        while let Some(line) = lines.recv().await {
            tell(context, hook, line, output);
        }
    };
    if tokio::time::timeout(REST, rest).await.is_err() {
        tracing::info!(hook = hook.name(), "something that it started still holds its output");
    }
    for reader in readers.into_iter().flatten() {
        reader.abort();
    }
    // What it left running in order may run on.
    group.ended();
    if timed_out {
        return Ok(Ended::TimedOut);
    }
    let status = status
        .map_err(|error| Error::new(Kind::Io, "a hook couldn't be waited for").because(error))?;
    use std::os::unix::process::ExitStatusExt as _;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    })
}

/// A line of output: the first ones for everybody, the others for the log.
fn tell(context: &Context, hook: Hook, line: String, output: &mut Vec<String>) {
    if output.len() < TOLD {
        context.events.info(format!("{}: {line}", hook.name()));
        output.push(line);
    } else {
        tracing::info!(hook = hook.name(), "{line}");
    }
}

/// Sends a pipe's lines, without what a terminal would obey; reads on without sending past the bounds,
/// so that the command is never held up.
async fn read_lines(mut pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let (mut buffer, mut line, mut sent) = (vec![0; 8192], Vec::new(), 0);
    loop {
        let read = pipe.read(&mut buffer).await.unwrap_or(0);
        for byte in &buffer[..read] {
            if *byte != b'\n' && line.len() < LINE_BYTES {
                line.push(*byte);
            }
            if *byte == b'\n' && sent < LINES {
                sent += 1;
                if lines.send(printable(&line)).await.is_err() {
                    return;
                }
            }
            if *byte == b'\n' {
                line.clear();
            }
        }
        if read == 0 {
            if !line.is_empty() && sent < LINES && lines.send(printable(&line)).await.is_err() {
                tracing::debug!("a hook's last line came too late");
            }
            return;
        }
    }
}

fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches('\r').chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
