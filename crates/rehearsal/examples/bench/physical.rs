//! A physical backup on its way to S3 on loopback: the order of the runs, and their figures.

use super::endpoint::Endpoint;
use super::figures::{Machine, Series};
use super::source::Source;
use super::transfers::{Run, Transfers, Trip, Way};
use super::{Failure, Options, stage};

/// All runs of one way.
struct Line {
    way: Way,
    series: Series,
    cpu: f64,
    endpoint_cpu: f64,
    written: u64,
    stored: u64,
}

/// Measures both trips and prints the figures.
pub async fn bench(options: &Options) -> Result<(), Failure> {
    let before = Machine::look()?;
    eprintln!("bench: starting a MariaDB server");
    let source = Source::set(options).await?;
    let objects = source.private.join("s3");
    stage::private_dir(&objects)?;
    let endpoint = Endpoint::start(&objects)?;
    let transfers = Transfers::find(&source, &endpoint, options)?;
    eprintln!("bench: the backup holds {:.0} MB, {} rounds", source.megabytes(), options.rounds);
    let mut tables = [Trip::Directory, Trip::Stream].map(|trip| {
        let lines = Way::ALL.map(|way| Line {
            way,
            series: Series::new(way.name(trip)),
            cpu: 0.0,
            endpoint_cpu: 0.0,
            written: 0,
            stored: 0,
        });
        (trip, lines)
    });
    for round in 0..options.rounds {
        for (trip, lines) in &mut tables {
            for turn in 0..lines.len() {
                let line = &mut lines[(round + turn) % Way::ALL.len()];
                stage::sync().await?;
                line.add(round, &transfers.run(*trip, line.way).await?);
            }
        }
    }
    let after = Machine::look()?;
    for (trip, lines) in &tables {
        println!(
            "\n{} ({:.0} MB), median of {} rounds:\n",
            trip.title(),
            source.megabytes(),
            options.rounds
        );
        table(lines, options, source.megabytes());
    }
    println!(
        "\n{} cores, {:.0} GiB; load {:.1} before, {:.1} at the end; MariaDB and mariadb-backup {}, rclone {} \
         (the distribution's packages); S3 is the rehearsal's endpoint, a process of its own on loopback \
         (http, digests checked, objects on the same disk), whose time on the cores is in both sides' \
         seconds. The server was at rest; what was read lay in the page cache as a rule.",
        before.cores,
        before.memory_gib,
        before.load,
        after.load,
        source.server.binaries().version,
        transfers.rclone_version,
    );
    Ok(())
}

impl Trip {
    fn title(self) -> &'static str {
        match self {
            Trip::Directory => "A backup's directory to S3 as tar.gz",
            Trip::Stream => "The backup of a running server to S3",
        }
    }
}

impl Line {
    fn add(&mut self, round: usize, run: &Run) {
        self.series.add(round, run.usage.wall, Some(run.usage.peak));
        self.cpu += run.usage.cpu;
        self.endpoint_cpu += run.endpoint_cpu;
        self.written = self.written.max(run.usage.written);
        self.stored = run.stored;
    }
}

fn table(lines: &[Line; 4], options: &Options, megabytes: f64) {
    let rounds = options.rounds as f64;
    let ours = lines[0].series.median();
    println!(
        "| way | seconds (range) | MB/s | in S3 | written to disk | peak memory | core seconds, own + S3's \
         | daybreak = 1 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for line in lines {
        let (seconds, (least, most)) = (line.series.median(), line.series.range());
        let megabytes_of = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        println!(
            "| {} | {seconds:.1} ({least:.1}-{most:.1}) | {:.0} | {} | {} | {} MiB | {:.1} + {:.1} | {:.2} |",
            line.series.name(),
            megabytes / seconds,
            if line.stored == 0 { "-".into() } else { megabytes_of(line.stored) },
            megabytes_of(line.written),
            line.series.peak().unwrap_or(0).div_ceil(1024),
            line.cpu / rounds,
            line.endpoint_cpu / rounds,
            seconds / ours,
        );
    }
    let limit = |way| {
        lines.iter().find(|line| line.way == way).map_or(f64::NAN, |line| line.series.median())
    };
    let slower = limit(Way::ReadOnly).max(limit(Way::UploadOnly));
    println!("\ndaybreak's share of the limit (the slower one): {:.2}", slower / ours);
}
