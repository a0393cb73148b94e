//! Measures daybreak against the tools that it would replace: `bench [--rows N] [--rounds N]
//! [--threads N] [--daybreak PATH]`, or `make bench ROWS=1000000 ROUNDS=3`.
//!
//! Owns the order of the runs: every way in every round, each on an emptied target, none always first.
//! It is no test: nothing fails on a time, but a way that didn't bring everything over ends it.

mod figures;
mod measure;
mod nibble;
mod sbtest;
mod stage;
mod ways;

use std::path::PathBuf;

use figures::{Machine, Series};
use nibble::Replica;
use stage::Stage;
use ways::{Copy, Tools};

/// What failed, and what to do about it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes an error of what failed and the next step.
pub fn failure(what: impl std::fmt::Display, next: impl std::fmt::Display) -> Failure {
    format!("{what}\n  next step: {next}").into()
}

/// What is asked for.
pub struct Options {
    /// Rows of each of the two tables.
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
                    "bench [--rows N] [--rounds N] [--threads N] [--daybreak PATH]",
                )
            };
            let number = || value.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(usage);
            match name.as_str() {
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
    let options = Options::parse()?;
    let before = Machine::look()?;
    eprintln!("bench: starting two servers");
    let stage = Stage::set(&options).await?;
    let tools = Tools::find(&stage, &options)?;
    eprintln!(
        "bench: 2 tables of {} rows, {:.0} MB, {} rounds, {} threads",
        options.rows,
        stage.megabytes(),
        options.rounds,
        options.threads
    );

    let mut copies: Vec<Series> = Copy::ALL.iter().map(|way| Series::new(way.name())).collect();
    let mut checks = vec![
        Series::new("daybreak verify"),
        Series::new(Replica::AfterEachChunk.name()),
        Series::new(Replica::Alongside.name()),
    ];
    for round in 0..options.rounds {
        for turn in 0..copies.len() {
            let at = (round + turn) % copies.len();
            stage.empty_target().await?;
            let usage = Copy::ALL[at].run(&tools, &stage, &options).await?;
            stage.check_copy(Copy::ALL[at].name()).await?;
            copies[at].add(round, usage.wall, Some(usage.peak));
        }
        // What the last way left on the target is what all of these compare.
        stage.settle().await?;
        for turn in 0..checks.len() {
            let at = (round + turn) % checks.len();
            let (wall, peak) = match at {
                0 => {
                    let usage = ways::verify(&tools, &stage, &options).await?;
                    (usage.wall, Some(usage.peak))
                }
                1 => (nibble::checksum(&stage, Replica::AfterEachChunk).await?, None),
                _ => (nibble::checksum(&stage, Replica::Alongside).await?, None),
            };
            checks[at].add(round, wall, peak);
        }
    }
    let after = Machine::look()?;
    figures::print(&options, &stage, &tools, &before, &after, &copies, &checks);
    Ok(())
}
