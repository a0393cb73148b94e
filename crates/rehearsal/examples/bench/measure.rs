//! Owns the processes that are measured: their time, the most memory that they had, what they wrote.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::{server::spawn, watch::peak_kib};

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
    /// Time on a core, in seconds, with that of the programs that they called.
    pub cpu: f64,
    /// Bytes that they, and the programs that they called, gave the system to write to a disk.
    pub written: u64,
}

impl Usage {
    /// Of no process.
    pub const NOTHING: Usage = Usage { wall: Duration::ZERO, peak: 0, cpu: 0.0, written: 0 };

    /// At the same time.
    pub fn beside(self, other: Usage) -> Usage {
        Usage {
            wall: self.wall.max(other.wall),
            peak: self.peak + other.peak,
            cpu: self.cpu + other.cpu,
            written: self.written + other.written,
        }
    }

    /// One after the other.
    pub fn then(self, next: Usage) -> Usage {
        Usage {
            wall: self.wall + next.wall,
            peak: self.peak.max(next.peak),
            cpu: self.cpu + next.cpu,
            written: self.written + next.written,
        }
    }
}

struct Running {
    name: String,
    child: Child,
    peak: u64,
    cpu: f64,
    written: u64,
    done: bool,
}

/// Where the last program of a pipeline writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// With what it says otherwise.
    Log,
    /// Nowhere.
    Nothing,
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
    run_to(pipeline, Output::Log, logs).await
}

/// As [`run`], and says where what comes out at the end goes.
pub async fn run_to(pipeline: Vec<Command>, output: Output, logs: &Path) -> Result<Usage, Failure> {
    let begun = Instant::now();
    let mut running: Vec<Running> = Vec::new();
    let last = pipeline.len().saturating_sub(1);
    for (number, mut command) in pipeline.into_iter().enumerate() {
        let program = Path::new(command.get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // One program may be there twice.
        let name = format!("{number}-{program}");
        let log = File::create(logs.join(format!("{name}.log")))?;
        let input = running.last_mut().and_then(|before| before.child.stdout.take());
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(match output {
            _ if number < last => Stdio::piped(),
            Output::Log => log.try_clone()?.into(),
            Output::Nothing => Stdio::null(),
        });
        command.stderr(log);
        let child = spawn(command).map_err(|error| {
            failure(format!("{program} can't be started: {error}"), "make bench")
        })?;
        running.push(Running { name, child, peak: 0, cpu: 0.0, written: 0, done: false });
    }
    let mut failed = Vec::new();
    while running.iter().any(|process| !process.done) {
        for process in running.iter_mut().filter(|process| !process.done) {
            let pid = process.child.id();
            process.peak = process.peak.max(peak_kib(pid).unwrap_or(0));
            // Whoever has ended can still be asked for these until it is waited for.
            if has_ended(pid) {
                process.cpu = cpu_of(pid).unwrap_or(f64::NAN);
                process.written = written_by(pid).unwrap_or(0);
            } else {
                continue;
            }
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
    Ok(Usage {
        wall,
        peak: running.iter().map(|process| process.peak).sum(),
        cpu: running.iter().map(|process| process.cpu).sum(),
        written: running.iter().map(|process| process.written).sum(),
    })
}

/// Whether a child of ours has ended; it isn't waited for.
fn has_ended(pid: u32) -> bool {
    // SAFETY: an all-zero siginfo_t is a valid one, and the pointer to it is good for the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // An error is left to `try_wait`, which tells it.
        libc::waitid(libc::P_PID, pid, &raw mut info, options) != 0 || info.si_pid() != 0
    }
}

/// Seconds on a core that a process and the children that it has waited for had so far.
pub fn cpu_of(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field may hold anything, but ends with the last parenthesis. utime to cstime are the
    // 14th to 17th.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.map(|field| field.parse().unwrap_or(0)).sum();
    // SAFETY: it takes a number and returns one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(ticks as f64 / per_second as f64)
}

/// Bytes that a process and the children that it has waited for gave the system to write to a disk.
fn written_by(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| {
        io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    field("write_bytes:")
}

/// The end of what a program said.
fn tail(logs: &Path, name: &str) -> String {
    let said = std::fs::read(logs.join(format!("{name}.log"))).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).into_owned();
    said.lines().map(|line| format!("  {name}: {line}\n")).collect()
}
