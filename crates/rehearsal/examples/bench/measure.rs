//! Owns the processes that are measured: their time, and the most memory that they had.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::server::spawn;

use super::{Failure, failure};

/// How often a process is looked at: also how exact a time is.
const LOOK: Duration = Duration::from_millis(5);

/// What some processes took.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// From the start of the first to the end of the last.
    pub wall: Duration,
    /// The most memory that was resident, in KiB; of processes that ran together, the sum of each one's
    /// most.
    pub peak: u64,
}

impl Usage {
    /// One after the other.
    pub fn then(self, next: Usage) -> Usage {
        Usage { wall: self.wall + next.wall, peak: self.peak.max(next.peak) }
    }
}

struct Running {
    name: String,
    child: Child,
    peak: u64,
    done: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

/// Runs a pipeline to its end. What the programs say goes to files in `logs`; of one that fails, the end
/// of it becomes part of the error.
pub async fn run(pipeline: Vec<Command>, logs: &Path) -> Result<Usage, Failure> {
    let begun = Instant::now();
    let mut running: Vec<Running> = Vec::new();
    let last = pipeline.len().saturating_sub(1);
    for (number, mut command) in pipeline.into_iter().enumerate() {
        let name = Path::new(command.get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let log = std::fs::File::create(logs.join(format!("{name}.log")))?;
        let input = running.last_mut().and_then(|before| before.child.stdout.take());
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(if number == last { log.try_clone()?.into() } else { Stdio::piped() });
        command.stderr(log);
        let child = spawn(command)
            .map_err(|error| failure(format!("{name} can't be started: {error}"), "make bench"))?;
        running.push(Running { name, child, peak: 0, done: false });
    }
    let mut failed = Vec::new();
    while running.iter().any(|process| !process.done) {
        for process in running.iter_mut().filter(|process| !process.done) {
            process.peak = process.peak.max(peak_of(process.child.id()).unwrap_or(0));
            let Some(status) = process.child.try_wait()? else { continue };
            process.done = true;
            if !status.success() {
                failed.push(format!("{} ({status})", process.name));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let wall = begun.elapsed();
    if !failed.is_empty() {
        // When one of a pipeline fails the others may as well, or have said why.
        let said = running.iter().map(|process| tail(logs, &process.name));
        return Err(failure(
            format!("failed: {}\n{}", failed.join(", "), said.collect::<String>().trim_end()),
            "see what they say above",
        ));
    }
    Ok(Usage { wall, peak: running.iter().map(|process| process.peak).sum() })
}

/// The end of what a program said.
fn tail(logs: &Path, name: &str) -> String {
    let said = std::fs::read(logs.join(format!("{name}.log"))).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).into_owned();
    said.lines().map(|line| format!("  {name}: {line}\n")).collect()
}

/// The most memory that a process has had resident so far, in KiB. `wait4` would tell as well, but its
/// figure can be that of this process, from which the other came by fork.
fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
