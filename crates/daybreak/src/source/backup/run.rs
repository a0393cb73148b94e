//! Runs a backup tool: it ends with daybreak, however daybreak ends; its log is kept and followed;
//! success is what all of its signs say, not one of them.

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::oneshot,
};

use super::info;
use crate::{
    engine::StopSignal,
    error::{Error, Kind, Result},
    mysql::Secret,
    pipe,
    process::Group,
};

/// How many lines are kept at hand to say why it failed, and how much of one.
const TAIL: usize = 200;
const LINE_BYTES: usize = 16 * 1024;

/// How long a tool that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How often its progress is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Its last line when all went well, after the time.
const COMPLETED: &str = "completed OK!";

/// What a tool doesn't get of daybreak's environment: it has its login from its option file, and needs no
/// other secret. The names of AWS's are those that its SDK reads.
const SECRETS: [&str; 7] = [
    "DAYBREAK_SOURCE_PASSWORD",
    "DAYBREAK_TARGET_PASSWORD",
    "MYSQL_PWD",
    "AWS_SECRET_ACCESS_KEY",
    "SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// How many logs of earlier runs are kept beside the newest.
const LOGS_KEPT: u32 = 4;

/// A tool at work. Dropping it kills the tool.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// What it streams, until someone takes it.
    output: Option<std::io::PipeReader>,
    group: Group,
}

/// How a tool ended.
#[derive(Debug)]
pub(super) struct Ended {
    status: ExitStatus,
    tail: VecDeque<String>,
    log: PathBuf,
    tool: String,
}

type Request = (Command, tokio::runtime::Handle, oneshot::Sender<std::io::Result<Child>>);

/// Starts a command from a thread that lives as long as the process: PR_SET_PDEATHSIG is tied to the
/// thread that forked, and a runtime's threads come and go.
async fn spawn(mut command: Command) -> std::io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl, getppid and _exit are called, all of which are
    // async-signal-safe; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before prctl took effect: nobody would ever signal then.
            if libc::getppid().cast_unsigned() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let gone = || std::io::Error::other("the thread that starts programs is gone");
    let (reply, answer) = oneshot::channel();
    {
        let sender = match SPAWNER.get() {
            Some(sender) => sender,
            None => {
                let (sender, requests) = mpsc::channel::<Request>();
                std::thread::Builder::new().name("backup-spawner".into()).spawn(move || {
                    for (mut command, runtime, reply) in requests {
                        let _inside = runtime.enter();
                        // A child that nobody waits for any more is killed when it is dropped.
                        _ = reply.send(command.spawn());
                    }
                })?;
                SPAWNER.get_or_init(|| Mutex::new(sender))
            }
        };
        let sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let request = (command, tokio::runtime::Handle::current(), reply);
        sender.send(request).map_err(|_| gone())?;
    }
    answer.await.map_err(|_| gone())?
}

impl Running {
    /// Starts a tool. Its standard output is for [`Running::stdout`] when it streams.
    pub(super) async fn start(
        program: &Path,
        arguments: &[std::ffi::OsString],
        directory: &Path,
        streams: bool,
    ) -> Result<Running> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut output = None;
        if streams {
            let (reader, writer) = std::io::pipe()?;
            pipe::widen(&reader);
            command.stdout(writer);
            output = Some(reader);
        } else {
            command.stdout(Stdio::null());
        }
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let child = spawn(command).await.map_err(|error| {
            Error::new(Kind::Backup, "the backup tool can't be started")
                .because(error)
                .at(program.display())
        })?;
        let group = Group::of(&child);
        Ok(Running { child, output, group })
    }

    /// What it streams.
    pub(super) fn stdout(&mut self) -> Option<std::io::PipeReader> {
        self.output.take()
    }

    /// Its process, for what the system says about it.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Follows it to its end. Every line goes into the log (a file that only its owner can read), and
    /// to `line`; `tick` is called now and then. When a stop is asked for the tool is ended.
    pub(super) async fn follow(
        mut self,
        tool: &str,
        log: &Path,
        secret: Option<&Secret>,
        stop: &StopSignal,
        mut line: impl FnMut(&str),
        mut tick: impl FnMut(),
    ) -> Result<Ended> {
        let mut file = set_aside(log)
            .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(log))
            .map_err(|error| Error::from(error).at(log.display()))?;
        let pipe = self.child.stderr.take();
        let mut lines =
            Lines::new(pipe.ok_or_else(|| Error::new(Kind::Bug, "a tool without a log"))?);
        let mut tail = VecDeque::with_capacity(TAIL);
        let mut timer = tokio::time::interval(TICK);
        let mut logged = true;
        loop {
            tokio::select! {
                next = lines.next() => {
                    let Some(text) = next else { break };
                    let text = clean(&text, secret);
                    if let Err(error) = writeln!(file, "{text}")
                        && std::mem::take(&mut logged)
                    {
                        tracing::warn!(%error, log = %log.display(), "the tool's log can't be written on");
                    }
                    line(&text);
                    if tail.len() == TAIL {
                        tail.pop_front();
                    }
                    tail.push_back(text);
                }
                _ = timer.tick() => tick(),
                () = stop.stopped() => {
                    self.group.signal(libc::SIGTERM);
                    if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
                        self.group.signal(libc::SIGKILL);
                        _ = self.child.wait().await;
                    }
                    self.group.ended();
                    stop.check()?;
                }
            }
        }
        // It has closed its log: its end is near, or somebody holds it up.
        let status = tokio::select! {
            status = self.child.wait() => status,
            () = stop.stopped() => {
                self.group.signal(libc::SIGKILL);
                self.child.wait().await
            }
        };
        self.group.ended();
        stop.check()?;
        let status = status
            .map_err(|error| Error::new(Kind::Io, "a tool's end isn't known").because(error))?;
        Ok(Ended { status, tail, log: log.to_path_buf(), tool: tool.to_string() })
    }
}

/// Gives the log of an earlier run a number, the newest 1: an error may have pointed to it.
fn set_aside(log: &Path) -> std::io::Result<()> {
    let numbered = |number: u32| {
        let mut name = log.as_os_str().to_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    for number in (0..LOGS_KEPT).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl Ended {
    /// Whether it says that it did its work, in both of its ways. What it left must be looked at all
    /// the same.
    ///
    /// # Errors
    /// What went wrong, as far as its log says it, and what to do.
    pub(super) fn success(&self) -> Result<()> {
        let completed = self
            .tail
            .iter()
            .rev()
            .find(|line| !line.trim().is_empty())
            .is_some_and(|line| line.trim_end().ends_with(COMPLETED));
        if completed && self.status.success() {
            return Ok(());
        }
        let how = match (self.status.code(), self.status.signal()) {
            (Some(0), _) => format!("ended without \"{COMPLETED}\" as its last line"),
            (Some(code), _) => format!("failed with exit status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in an unknown way".to_string(),
        };
        let said = self.complaint();
        let (kind, next) = said.as_deref().map_or((Kind::Backup, None), meaning);
        let mut what = format!("{} {how}", self.tool);
        if let Some(said) = said {
            what.push_str(": ");
            what.push_str(&said);
        }
        let error = Error::new(kind, what).at(self.log.display());
        Err(match next {
            Some(next) => error.next(next),
            None => error
                .next("see its log; the backup counts as not taken, and the next one replaces it"),
        })
    }

    /// The line that says most about a failure: the first that is understood, else the last that
    /// complains, else the last.
    fn complaint(&self) -> Option<String> {
        let understood = self.tail.iter().find(|line| meaning(line).1.is_some());
        let complains = |line: &&String| {
            let line = line.to_ascii_lowercase();
            ["error", "fail", "can't", "cannot", "fatal"].iter().any(|word| line.contains(word))
        };
        understood
            .or_else(|| self.tail.iter().rev().find(complains))
            .or_else(|| self.tail.iter().rev().find(|line| !line.trim().is_empty()))
            .map(|line| without_time(line).to_string())
    }
}

/// What a line of a tool's log means, and what to do.
fn meaning(line: &str) -> (Kind, Option<&'static str>) {
    let has = |text: &str| line.contains(text);
    let (kind, next) = if has("Access denied for user") {
        (
            Kind::Login,
            "check the account's user, password and host: the tool logs in from the host on which it runs",
        )
    } else if has("missing required privilege") || has("Access denied; you need") {
        (Kind::Privilege, "grant the account what the line names")
    } else if has("No space left on device") || has("Disk quota exceeded") || has("Errcode: 28") {
        (
            Kind::Io,
            "free space in the directory of the backups (or name another one), then take it again",
        )
    } else if has("INSTANT ADD/DROP") {
        (
            Kind::Backup,
            "run OPTIMIZE TABLE on the tables that the log names, or use XtraBackup 8.0.32 or later with a server of 8.0.32 or later",
        )
    } else if has("without redo logging") || has("DDL operation has been performed") {
        (Kind::Backup, "an ALTER or CREATE INDEX ran meanwhile: take it again when none runs")
    } else if has("Unable to obtain lock") || has("Lock wait timeout") {
        (Kind::LockWait, "long statements held the lock up: take it again when they have ended")
    } else if has("log block numbers mismatch")
        || has("was overwritten")
        || has("log records have been overwritten")
        || has("Was only able to copy log")
    {
        (
            Kind::Backup,
            "the server wrote its redo log faster than it was copied: enlarge the redo log (innodb_log_file_size, innodb_redo_log_capacity), raise --parallel or drop --throttle",
        )
    } else if has("Unsupported server version")
        || has("not supported by")
        || has("unsupported redo log format")
    {
        (
            Kind::Backup,
            "use the version of the tool that fits the server: `daybreak backup take` names it",
        )
    } else if has("Can't connect") || has("Can't change dir") || has("Permission denied") {
        (
            Kind::Backup,
            "run it on the source's own host, as a user that may read its data directory",
        )
    } else {
        return (Kind::Backup, None);
    };
    (kind, Some(next))
}

/// `[00] 2026-11-21 14:49:55 text` and `2026-11-21T14:49:55.1-00:00 0 [ERROR] [MY-011825] [Xtrabackup]
/// text` without what comes before the text.
fn without_time(line: &str) -> &str {
    let mut rest = line.trim();
    loop {
        let word = rest.split(' ').next().unwrap_or_default();
        let noise = word.starts_with(['[', '>'])
            || (!word.is_empty()
                && word.chars().all(|c| c.is_ascii_digit() || "-:.TZ+".contains(c)));
        match rest.get(word.len() + 1..) {
            Some(after) if noise => rest = after.trim_start(),
            _ => return rest,
        }
    }
}

/// A line without secrets: the tools print the account's grants, whose old form holds a hash, and
/// their own arguments.
fn clean(line: &str, secret: Option<&Secret>) -> String {
    let line = match line.find("IDENTIFIED ") {
        Some(at) => format!("{}IDENTIFIED ...", &line[..at]),
        None => line.to_string(),
    };
    let line = if line.contains("--") { info::scrubbed(&line) } else { line };
    match secret.map(Secret::reveal).filter(|secret| secret.len() > 3) {
        Some(secret) => line.replace(secret, "..."),
        None => line,
    }
}

/// Lines of a pipe; too long ones are cut. Dropping the future of [`Lines::next`] loses nothing.
struct Lines<R> {
    pipe: R,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R) -> Self {
        Lines { pipe, buffer: Vec::new(), ended: false }
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            // A carriage return is a line too: progress is rewritten in place.
            if let Some(end) = self.buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.buffer.len() >= LINE_BYTES || (self.ended && !self.buffer.is_empty()) {
                let line = std::mem::take(&mut self.buffer);
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.ended {
                return None;
            }
            match self.pipe.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => self.ended = true,
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str, stop: &StopSignal) -> (Result<Ended>, String) {
        let place = tempfile::tempdir().unwrap();
        let arguments = ["-c".into(), script.into()];
        let running =
            Running::start(Path::new("/bin/sh"), &arguments, place.path(), false).await.unwrap();
        let log = place.path().join("log");
        let secret = Secret::new("geheim");
        let ended = running.follow("tool", &log, Some(&secret), stop, |_| {}, || {}).await;
        (ended, std::fs::read_to_string(&log).unwrap())
    }

    #[tokio::test]
    async fn success_is_both_signs() {
        let stop = StopSignal::default();
        let outcome = async |script: &str| run(script, &stop).await.0.unwrap().success();
        assert!(outcome("echo a >&2; printf '[00] 2026 completed OK!' >&2").await.is_ok());
        assert!(outcome("echo 'completed OK!' >&2; echo >&2").await.is_ok());
        for wrong in [
            "echo 'completed OK!' >&2; exit 1",
            "echo 'completed OK!' >&2; echo 'InnoDB: more' >&2",
            "exit 0",
            "echo 'completed OK!'",
            "echo 'completed OK!' >&2; kill -9 $$",
        ] {
            assert!(outcome(wrong).await.is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_logs_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("daybreak-full.log");
        for run in 0..7 {
            set_aside(&log).unwrap();
            std::fs::write(&log, run.to_string()).unwrap();
        }
        let read = |ending: &str| {
            std::fs::read_to_string(place.path().join(format!("daybreak-full.log{ending}"))).ok()
        };
        let kept = ["", ".1", ".2", ".3", ".4"].map(read).map(Option::unwrap);
        assert_eq!(kept, ["6", "5", "4", "3", "2"]);
        assert_eq!(read(".5"), None);
    }

    #[tokio::test]
    async fn failures_are_understood() {
        let stop = StopSignal::default();
        let script = "echo '[00] 2026-11-21 14:50:59 Error: missing required privilege PROCESS on *.*' >&2; \
            echo \"[00] 1.GRANT RELOAD ON *.* TO c IDENTIFIED BY PASSWORD '*B69027'\" >&2; \
            echo 'x --password=geheim geheim' >&2; exit 1";
        let (ended, log) = run(script, &stop).await;
        let error = ended.unwrap().success().unwrap_err();
        assert_eq!(error.kind(), Kind::Privilege);
        assert!(
            error
                .what()
                .ends_with("exit status 1: Error: missing required privilege PROCESS on *.*"),
            "{error}"
        );
        assert!(!log.contains("B69027") && !log.contains("geheim"), "{log}");
        let full = run(
            "echo 'Error writing file (Errcode: 28 \"No space left on device\")' >&2; exit 1",
            &stop,
        )
        .await
        .0;
        assert_eq!(full.unwrap().success().unwrap_err().kind(), Kind::Io);
    }

    #[tokio::test]
    async fn a_stop_ends_it_with_all_that_it_started() {
        let stop = StopSignal::default();
        let place = tempfile::tempdir().unwrap();
        let arguments = ["-c".into(), "trap '' TERM; sleep 1000 & echo $! >&2; wait; wait".into()];
        let running =
            Running::start(Path::new("/bin/sh"), &arguments, place.path(), false).await.unwrap();
        let child = Mutex::new(String::new());
        let seen = |line: &str| {
            *child.lock().unwrap() = line.to_string();
            stop.stop(crate::engine::StopReason::Pause);
        };
        let log = place.path().join("log");
        let ended = running.follow("tool", &log, None, &stop, seen, || {}).await;
        assert_eq!(ended.unwrap_err().kind(), Kind::Paused);
        let child = child.lock().unwrap().clone();
        let gone = || {
            std::fs::read_to_string(format!("/proc/{child}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
