//! The conductor's side: starts the writer's process and steers it through its control file.
//!
//! The process dies with this one. The URL goes into the control file and never into arguments.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::server::spawn;

use super::{
    Control, Status, WriterError, WriterOptions, control_path, file, ledger_path, status_path,
};

/// How long a stop may take before the process is killed.
const STOP: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(25);

/// What to start.
pub struct WriterSpawn<'a> {
    /// The program.
    pub exe: &'a Path,
    /// Arguments before the writer's own, such as a hidden subcommand.
    pub args: &'a [&'a str],
    /// The server to begin with.
    pub url: &'a str,
    /// Everything else; `dir` is created if need be.
    pub options: WriterOptions,
}

/// A running writer; dropping it kills the process.
pub struct WriterHandle {
    dir: PathBuf,
    control: Mutex<Control>,
    pid: i32,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl WriterHandle {
    /// Writes the control file and starts the process.
    ///
    /// # Errors
    /// Fails if the files can't be written or the program can't be started.
    pub fn spawn(spawn: WriterSpawn<'_>) -> Result<Self, WriterError> {
        let options = &spawn.options;
        let dir = options.dir.clone();
        std::fs::create_dir_all(&dir).map_err(file("creating the writer's directory", &dir))?;
        let control =
            Control { url: spawn.url.to_owned(), paused: false, stop: false, gap_mark: 0 };
        control.write(&control_path(&dir))?;
        let status = status_path(&dir);
        if status.exists() {
            std::fs::remove_file(&status).map_err(file("removing an old status", &status))?;
        }
        let log_path = dir.join("writer.log");
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log_path)
            .map_err(file("opening the writer's log", &log_path))?;
        let mut command = Command::new(spawn.exe);
        command
            .args(spawn.args)
            .arg("--dir")
            .arg(&dir)
            .args(["--database", &options.database])
            .args(["--workers", &options.workers.to_string()])
            .args(["--rate", &options.rate.to_string()])
            .args(["--seed", &options.seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let (pid, exit) = start(command, spawn.exe)?;
        Ok(Self { dir, control: Mutex::new(control), pid, exit })
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Control)) -> Result<(), WriterError> {
        let mut control = self.control();
        change(&mut control);
        control.write(&control_path(&self.dir))
    }

    /// Sends the writer to another server.
    ///
    /// # Errors
    /// Fails if the control file can't be written.
    pub fn set_url(&self, url: &str) -> Result<(), WriterError> {
        self.change(|control| url.clone_into(&mut control.url))
    }

    /// Lets no new transaction begin.
    ///
    /// # Errors
    /// Fails if the control file can't be written.
    pub fn pause(&self) -> Result<(), WriterError> {
        self.change(|control| control.paused = true)
    }

    /// Lets the writer go on.
    ///
    /// # Errors
    /// Fails if the control file can't be written.
    pub fn unpause(&self) -> Result<(), WriterError> {
        self.change(|control| control.paused = false)
    }

    /// Forgets the longest gap so far, so that the next one is that of a cutover.
    ///
    /// # Errors
    /// Fails if the control file can't be written.
    pub fn mark_gap(&self) -> Result<u64, WriterError> {
        self.change(|control| control.gap_mark += 1)?;
        Ok(self.control().gap_mark)
    }

    /// What the writer last said about itself.
    ///
    /// # Errors
    /// Fails as long as it has said nothing yet.
    pub fn status(&self) -> Result<Status, WriterError> {
        let path = status_path(&self.dir);
        let text = std::fs::read(&path).map_err(file("reading the writer's status", &path))?;
        serde_json::from_slice(&text)
            .map_err(std::io::Error::other)
            .map_err(file("reading the writer's status", &path))
    }

    /// Waits until the status is as wished.
    ///
    /// # Errors
    /// Fails if that takes longer than `limit`, or if the process ends.
    pub async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        wish: impl Fn(&Status) -> bool,
    ) -> Result<Status, WriterError> {
        let started = Instant::now();
        loop {
            if let Ok(status) = self.status()
                && wish(&status)
            {
                return Ok(status);
            }
            if let Some(exit) = *self.exit.borrow() {
                return Err(WriterError::Ended(format!(
                    "{exit}; see {}",
                    self.dir.join("writer.log").display()
                )));
            }
            if started.elapsed() > limit {
                return Err(WriterError::Timeout { what: what.to_owned(), limit });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the writer in good order and tells what it last said.
    ///
    /// # Errors
    /// Fails if it had to be killed, or if it ended with an error.
    pub async fn stop(&self) -> Result<Status, WriterError> {
        self.change(|control| control.stop = true)?;
        match tokio::time::timeout(STOP, self.wait()).await {
            Ok(exit) if exit.success() => self.status(),
            Ok(exit) => Err(WriterError::Ended(format!(
                "{exit}; see {}",
                self.dir.join("writer.log").display()
            ))),
            Err(_) => {
                self.kill().await;
                Err(WriterError::Timeout { what: "stopping".to_owned(), limit: STOP })
            }
        }
    }

    /// Kills the process as a crash would, and waits for its end.
    pub async fn kill(&self) {
        self.send_kill();
        self.wait().await;
    }

    fn send_kill(&self) {
        if self.exit.borrow().is_none() {
            // SAFETY: plain system call; the child is ours and its end was not yet seen.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
    }

    async fn wait(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(status) => (*status).unwrap_or_default(),
            // The waiting thread only ends after it has sent the status.
            Err(_) => ExitStatus::default(),
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// The writer's ledger.
    pub fn ledger(&self) -> PathBuf {
        ledger_path(&self.dir)
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.send_kill();
    }
}

type Started = (i32, watch::Receiver<Option<ExitStatus>>);

/// Starts the program so that it dies with this process; a thread of its own waits for its end.
fn start(command: Command, exe: &Path) -> Result<Started, WriterError> {
    let mut child = spawn(command).map_err(file("starting the load writer", exe))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let (sender, exit) = watch::channel(None);
    std::thread::Builder::new()
        .name("shop-writer".to_owned())
        .spawn(move || {
            let status = child.wait().unwrap_or_default();
            sender.send_replace(Some(status));
        })
        .map_err(file("starting a thread that waits for", exe))?;
    Ok((pid, exit))
}
