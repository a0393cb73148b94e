//! Owns the figures and how they are printed: a Markdown table, and under it what they were measured on.

use std::time::Duration;

use super::{Failure, Options, stage::Stage, ways::Tools, workload::Workload};

/// All runs of one way.
pub struct Series {
    name: &'static str,
    seconds: Vec<f64>,
    peak: Option<u64>,
    /// Seconds on a core of the source and of the target, a run each.
    servers: Vec<(f64, f64)>,
}

impl Series {
    /// How it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The most memory that it had resident, in KiB.
    pub fn peak(&self) -> Option<u64> {
        self.peak
    }

    /// None yet.
    pub fn new(name: &'static str) -> Self {
        Series { name, seconds: Vec::new(), peak: None, servers: Vec::new() }
    }

    /// Adds a run and says so.
    pub fn add(&mut self, round: usize, wall: Duration, peak: Option<u64>) {
        let load = load().unwrap_or_default();
        let name = self.name.replace(['\\', '`'], "");
        eprintln!(
            "bench: round {}: {name:<48} {:>8.2} s   (load {load:.1})",
            round + 1,
            wall.as_secs_f64()
        );
        self.seconds.push(wall.as_secs_f64());
        self.peak = self.peak.max(peak);
    }

    /// Adds what a run took of the servers' cores.
    pub fn add_servers(&mut self, source: f64, target: f64) {
        self.servers.push((source, target));
    }

    /// The seconds in the middle.
    pub fn median(&self) -> f64 {
        median(self.seconds.clone())
    }

    /// The fewest seconds and the most.
    pub fn range(&self) -> (f64, f64) {
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.seconds.iter().copied().fold(0.0, f64::max))
    }
}

/// The one in the middle, or between the two.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match (numbers.get((numbers.len().max(1) - 1) / 2), numbers.get(numbers.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// What it runs on.
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// Memory.
    pub memory_gib: f64,
    /// How many processes wanted a core during the last minute.
    pub load: f64,
}

impl Machine {
    /// Asks the system.
    pub fn look() -> Result<Machine, Failure> {
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let kib = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next())
            .and_then(|kib| kib.parse::<f64>().ok())
            .unwrap_or(f64::NAN);
        Ok(Machine {
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib / f64::from(1 << 20),
            load: load()?,
        })
    }
}

/// How many processes wanted a core during the last minute; what is measured counts as well.
fn load() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}

/// Prints everything.
pub fn print(
    options: &Options,
    workload: Workload,
    stage: &Stage,
    tools: &Tools,
    [before, after]: [&Machine; 2],
    copies: &[Series],
    checks: &[Series],
) {
    let what = format!(
        "{} ({} rows, {:.0} MB), median of {} rounds",
        workload.words(),
        grouped(stage.rows()),
        stage.megabytes(),
        options.rounds
    );
    if !copies.is_empty() {
        println!("\nCopying {what}:\n");
        table("copy", stage, copies);
    }
    if !checks.is_empty() {
        println!("\nComparing {what}:\n");
        table("comparison", stage, checks);
    }
    println!(
        "\n{} cores, {:.0} GiB; load {:.1} before, {:.1} at the end; mysqld, mysqldump and mysql {}, \
         mydumper {} (the distribution's package); {} threads for daybreak, mydumper and myloader, one connection to each server for the others; {}.",
        before.cores,
        before.memory_gib,
        before.load,
        after.load,
        stage.source.binaries().version,
        tools.mydumper_version,
        options.threads,
        Stage::settings(),
    );
}

fn table(head: &str, stage: &Stage, series: &[Series]) {
    let Some(ours) = series.first().map(Series::median) else { return };
    println!(
        "| {head} | seconds (range) | rows/s | MB/s | peak memory | source, target CPU s | daybreak = 1 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for way in series {
        let (seconds, (least, most)) = (way.median(), way.range());
        let peak = way.peak.map_or("-".to_owned(), |kib| format!("{} MiB", kib.div_ceil(1024)));
        let cpu = |of: fn(&(f64, f64)) -> f64| median(way.servers.iter().map(of).collect());
        let servers = match way.servers.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.1}, {:.1}", cpu(|run| run.0), cpu(|run| run.1)),
        };
        println!(
            "| {} | {seconds:.1} ({least:.1}-{most:.1}) | {} | {:.1} | {peak} | {servers} | {:.2} |",
            way.name,
            grouped((stage.rows() as f64 / seconds) as u64),
            stage.megabytes() / seconds,
            seconds / ours
        );
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
