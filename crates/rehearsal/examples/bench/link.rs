//! Copying tables from a source that is far away: the protocol compressed, and not.

use std::time::Duration;

use rehearsal::proxy::{Direction, Proxy};

use super::figures::{Machine, Series};
use super::stage::Stage;
use super::workload::Workload;
use super::{Failure, Options, measure, ways};

/// What the line carries each way, in bytes a second: 100 Mbit/s.
const RATE: u64 = 12_500_000;
/// How long a byte takes one way, in milliseconds: 40 ms there and back.
const WAY_MILLIS: u64 = 20;

/// Measures it and prints the figures.
pub async fn bench(options: &Options, workload: Workload) -> Result<(), Failure> {
    let before = Machine::look()?;
    eprintln!("bench: {}: starting two servers, and a line to the source", workload.name());
    let stage = Stage::set(options, workload).await?;
    let line = Proxy::before(stage.source.port()).await?;
    line.far(RATE, Duration::from_millis(WAY_MILLIS));
    let ways = [("off", "`compression=off`"), ("zlib", "`compression=zlib`")];
    let mut series = ways.map(|(_, name)| (Series::new(name), 0.0));
    for round in 0..options.rounds {
        for turn in 0..ways.len() {
            let at = (round + turn) % ways.len();
            let (compression, name) = ways[at];
            stage.empty_target().await?;
            let source =
                format!("mysql://root@127.0.0.1:{}/?compression={compression}", line.port());
            let servers = [&stage.source, &stage.target];
            let copy = ways::daybreak(options, servers, &source, "copy", stage.private_dir());
            let carried = line.carried(Direction::Down);
            let usage = measure::run(vec![copy], stage.private_dir()).await?;
            series[at].1 = (line.carried(Direction::Down) - carried) as f64 / 1e6;
            stage.check_copy(name).await?;
            series[at].0.add(round, usage.wall, Some(usage.peak));
        }
    }
    let after = Machine::look()?;
    println!(
        "\nCopying {} ({:.0} MB) from a source behind {} Mbit/s and {} ms, median of {} rounds:\n",
        workload.words(),
        stage.megabytes(),
        RATE * 8 / 1_000_000,
        2 * WAY_MILLIS,
        options.rounds
    );
    println!("| daybreak copy | seconds (range) | MB/s | over the line | compression=off = 1 |");
    println!("|---|---|---|---|---|");
    let plain = series[0].0.median();
    for (way, carried) in &series {
        let (seconds, (least, most)) = (way.median(), way.range());
        println!(
            "| {} | {seconds:.1} ({least:.1}-{most:.1}) | {:.1} | {carried:.0} MB | {:.2} |",
            way.name(),
            stage.megabytes() / seconds,
            seconds / plain
        );
    }
    println!(
        "\n{} cores, {:.0} GiB; load {:.1} before, {:.1} at the end; mysqld {}; {} threads; {}.",
        before.cores,
        before.memory_gib,
        before.load,
        after.load,
        stage.source.binaries().version,
        options.threads,
        Stage::settings(),
    );
    Ok(())
}
