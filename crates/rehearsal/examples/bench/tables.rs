//! Copying tables to another server, and comparing them there.

use super::figures::{self, Machine, Series};
use super::limit::{self, Limit};
use super::measure::{Usage, cpu_of};
use super::nibble::{self, Replica};
use super::stage::Stage;
use super::ways::{self, Copy, Tools};
use super::workload::Workload;
use super::{Failure, Options, Part};

/// Measures the parts that are asked for and prints the figures.
pub async fn bench(options: &Options, workload: Workload) -> Result<(), Failure> {
    let before = Machine::look()?;
    eprintln!("bench: {}: starting two servers", workload.name());
    let stage = Stage::set(options, workload).await?;
    let tools = Tools::find(&stage)?;
    eprintln!(
        "bench: {} rows, {:.0} MB, {} rounds, {} threads",
        stage.rows(),
        stage.megabytes(),
        options.rounds,
        options.threads
    );

    let names =
        Copy::ALL.map(Copy::name).into_iter().chain(limit::Part::ALL.map(limit::Part::name));
    let mut copies: Vec<Series> = names.map(Series::new).collect();
    let mut checks = vec![
        Series::new("daybreak verify"),
        Series::new(Replica::AfterEachChunk.name()),
        Series::new(Replica::Alongside.name()),
    ];
    let mut limit = None;
    if options.parts.contains(&Part::Copy) {
        eprintln!("bench: the source writes files for the limit");
        let limit = limit.insert(Limit::prepare(&stage, options, &tools.mysql).await?);
        // Whoever is first at a fresh server pays for each page of its buffer pool: a second of the
        // kernel's time for 512 MiB.
        stage.empty_target().await?;
        limit.run(limit::Part::Load, &stage).await?;
    } else {
        copies.clear();
        eprintln!("bench: copying what is compared");
        Copy::Daybreak.run(&tools, &stage, options).await?;
        stage.check_copy(Copy::Daybreak.name()).await?;
    }
    // The queries walk one integer key.
    if !options.parts.contains(&Part::Verify) || workload != Workload::Sysbench {
        checks.clear();
    }
    for round in 0..options.rounds {
        for turn in 0..copies.len() {
            let at = (round + turn) % copies.len();
            stage.empty_target().await?;
            let usage = match Copy::ALL.get(at) {
                Some(way) => {
                    on_servers(&stage, &mut copies[at], way.run(&tools, &stage, options)).await?
                }
                None => {
                    let part = limit::Part::ALL[at - Copy::ALL.len()];
                    let Some(limit) = &limit else { continue };
                    let usage =
                        on_servers(&stage, &mut copies[at], limit.run(part, &stage)).await?;
                    copies[at].add(round, usage.wall, None);
                    if part != limit::Part::Read {
                        stage.check_copy(part.name()).await?;
                    }
                    continue;
                }
            };
            stage.check_copy(Copy::ALL[at].name()).await?;
            copies[at].add(round, usage.wall, Some(usage.peak));
        }
        if checks.is_empty() {
            continue;
        }
        if !copies.is_empty() {
            // Whatever came last, it may have been one that only reads.
            stage.empty_target().await?;
            Copy::Daybreak.run(&tools, &stage, options).await?;
        }
        stage.settle().await?;
        for turn in 0..checks.len() {
            let at = (round + turn) % checks.len();
            let (wall, peak) = match at {
                0 => {
                    let usage = ways::verify(&stage, options).await?;
                    (usage.wall, Some(usage.peak))
                }
                1 => (nibble::checksum(&stage, Replica::AfterEachChunk).await?, None),
                _ => (nibble::checksum(&stage, Replica::Alongside).await?, None),
            };
            checks[at].add(round, wall, peak);
        }
    }
    let after = Machine::look()?;
    figures::print(options, workload, &stage, &tools, [&before, &after], &copies, &checks);
    Ok(())
}

/// Notes what a run takes of the servers' cores.
async fn on_servers(
    stage: &Stage,
    series: &mut Series,
    run: impl Future<Output = Result<Usage, Failure>>,
) -> Result<Usage, Failure> {
    let cpu =
        || [&stage.source, &stage.target].map(|server| cpu_of(server.pid()).unwrap_or(f64::NAN));
    let before = cpu();
    let usage = run.await?;
    let after = cpu();
    series.add_servers(after[0] - before[0], after[1] - before[1]);
    Ok(usage)
}
