//! Measures daybreak against the tools that it would replace: `bench [--only copy|verify|link|physical|forms|tables]
//! [--workload NAME|all] [--rows N] [--rounds N] [--threads N] [--daybreak PATH]`, or `make bench ROWS=1000000 ROUNDS=3`.
//!
//! Every way runs in every round, each on an emptied target, none always first. It is no test: nothing
//! fails on a time, but a way that didn't bring everything over ends it.

mod catalog;
mod endpoint;
mod figures;
mod forms;
mod limit;
mod link;
mod measure;
mod nibble;
mod physical;
mod source;
mod stage;
mod tables;
mod transfers;
mod ways;
mod workload;

use std::path::PathBuf;

use workload::Workload;

/// What failed, and what to do about it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes an error of what failed and the next step.
pub fn failure(what: impl std::fmt::Display, next: impl std::fmt::Display) -> Failure {
    format!("{what}\n  next step: {next}").into()
}

/// What can be measured for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Copying tables.
    Copy,
    /// Comparing them.
    Verify,
    /// Copying them over a slow link.
    Link,
    /// Bringing a physical backup to S3.
    Physical,
    /// The forms in which values can travel.
    Forms,
    /// As many tables as `--rows` says.
    Tables,
}

/// What is asked for.
pub struct Options {
    /// What is measured.
    pub parts: Vec<Part>,
    /// What is copied and compared.
    pub workloads: Vec<Workload>,
    /// Rows of each of sysbench's two tables; other workloads are measured by it.
    pub rows: u64,
    /// How often each way runs.
    pub rounds: usize,
    /// Threads of every tool that has a say in it.
    pub threads: usize,
    /// The program to measure.
    pub daybreak: PathBuf,
}

impl Options {
    fn parse() -> Result<Options, Failure> {
        // <target>/release/examples/bench lies below <target>/release/daybreak.
        let beside = std::env::current_exe()?;
        let beside = beside.parent().and_then(|examples| examples.parent());
        let mut options = Options {
            parts: vec![Part::Copy, Part::Verify, Part::Link, Part::Physical, Part::Forms],
            workloads: vec![Workload::Sysbench],
            rows: 1_000_000,
            rounds: 3,
            threads: 2,
            daybreak: beside.map(|dir| dir.join("daybreak")).unwrap_or_default(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().unwrap_or_default();
            let usage = || {
                failure(
                    format!("`{name} {value}` isn't understood"),
                    "bench [--only copy|verify|link|physical|forms|tables] [--workload NAME|all] [--rows N] [--rounds N] [--threads N] [--daybreak PATH]",
                )
            };
            let number = || value.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(usage);
            match name.as_str() {
                "--only" => {
                    options.parts = match value.as_str() {
                        "all" => options.parts,
                        "copy" => vec![Part::Copy],
                        "verify" => vec![Part::Verify],
                        "link" => vec![Part::Link],
                        "physical" => vec![Part::Physical],
                        "forms" => vec![Part::Forms],
                        "tables" => vec![Part::Tables],
                        _ => return Err(usage()),
                    }
                }
                "--workload" => options.workloads = Workload::named(&value)?,
                "--rows" => options.rows = number()?,
                "--rounds" => options.rounds = usize::try_from(number()?)?,
                "--threads" => options.threads = usize::try_from(number()?)?,
                "--daybreak" => options.daybreak = PathBuf::from(&value),
                _ => return Err(usage()),
            }
        }
        if !options.daybreak.is_file() {
            return Err(failure(
                format!("there is no daybreak in {}", options.daybreak.display()),
                "make build, or name it with --daybreak",
            ));
        }
        // It is started in another directory.
        options.daybreak = options.daybreak.canonicalize()?;
        Ok(options)
    }
}

#[tokio::main]
async fn main() {
    if let Err(failed) = bench().await {
        eprintln!("bench: {failed}");
        let mut cause = failed.source();
        while let Some(source) = cause {
            eprintln!("  because: {source}");
            cause = source.source();
        }
        std::process::exit(1);
    }
}

async fn bench() -> Result<(), Failure> {
    if let Some(directory) = endpoint::asked_for() {
        return endpoint::serve(&directory).await;
    }
    let options = Options::parse()?;
    let any = |parts: &[Part]| parts.iter().any(|part| options.parts.contains(part));
    for workload in &options.workloads {
        if any(&[Part::Copy, Part::Verify]) {
            tables::bench(&options, *workload).await?;
        }
        if any(&[Part::Link]) {
            link::bench(&options, *workload).await?;
        }
    }
    if options.parts.contains(&Part::Physical) {
        physical::bench(&options).await?;
    }
    if options.parts.contains(&Part::Forms) {
        forms::bench(&options).await?;
    }
    // Only where it is asked for by its name: it takes long, and a disk for each side.
    if options.parts.contains(&Part::Tables) {
        catalog::bench(&options).await?;
    }
    Ok(())
}
