//! Copying two tables to another server, and comparing them there.

use super::figures::{self, Machine, Series};
use super::nibble::{self, Replica};
use super::stage::Stage;
use super::ways::{self, Copy, Tools};
use super::{Failure, Options, Part};

/// Measures the parts that are asked for and prints the figures.
pub async fn bench(options: &Options) -> Result<(), Failure> {
    let before = Machine::look()?;
    eprintln!("bench: starting two servers");
    let stage = Stage::set(options).await?;
    let tools = Tools::find(&stage, options)?;
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
    if !options.parts.contains(&Part::Copy) {
        copies.clear();
        eprintln!("bench: copying what is compared");
        Copy::Daybreak.run(&tools, &stage, options).await?;
        stage.check_copy(Copy::Daybreak.name()).await?;
    }
    if !options.parts.contains(&Part::Verify) {
        checks.clear();
    }
    for round in 0..options.rounds {
        for turn in 0..copies.len() {
            let at = (round + turn) % copies.len();
            stage.empty_target().await?;
            let usage = Copy::ALL[at].run(&tools, &stage, options).await?;
            stage.check_copy(Copy::ALL[at].name()).await?;
            copies[at].add(round, usage.wall, Some(usage.peak));
        }
        // What the last way left on the target is what all of these compare.
        stage.settle().await?;
        for turn in 0..checks.len() {
            let at = (round + turn) % checks.len();
            let (wall, peak) = match at {
                0 => {
                    let usage = ways::verify(&tools, &stage, options).await?;
                    (usage.wall, Some(usage.peak))
                }
                1 => (nibble::checksum(&stage, Replica::AfterEachChunk).await?, None),
                _ => (nibble::checksum(&stage, Replica::Alongside).await?, None),
            };
            checks[at].add(round, wall, peak);
        }
    }
    let after = Machine::look()?;
    figures::print(options, &stage, &tools, &before, &after, &copies, &checks);
    Ok(())
}
