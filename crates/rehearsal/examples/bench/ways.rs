//! Owns the programs that are measured and how each is called. No password is in an argument.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::server::{Server, servers_dir};

use super::measure::{self, Usage};
use super::{Failure, Options, failure, stage::Stage, workload::DATABASE};

/// A way to copy the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// `daybreak copy`.
    Daybreak,
    /// `mysqldump | mysql`.
    Mysqldump,
    /// `mydumper`, then `myloader`, through a directory.
    Mydumper,
}

impl Copy {
    /// All of them; the others' ratios are against the first.
    pub const ALL: [Copy; 3] = [Copy::Daybreak, Copy::Mysqldump, Copy::Mydumper];

    /// Returns how it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Copy::Daybreak => "daybreak copy",
            Copy::Mysqldump => "mysqldump \\| mysql",
            Copy::Mydumper => "mydumper, then myloader",
        }
    }

    /// Copies the database onto the empty target.
    pub async fn run(
        self,
        tools: &Tools,
        stage: &Stage,
        options: &Options,
    ) -> Result<Usage, Failure> {
        let logs = stage.private_dir();
        let threads = options.threads.to_string();
        match self {
            Copy::Daybreak => {
                let servers = [&stage.source, &stage.target];
                let copy = daybreak(options, servers, &address(&stage.source), "copy", logs);
                measure::run(vec![copy], logs).await
            }
            Copy::Mysqldump => {
                let mut dump = reading(&tools.mysqldump, &stage.option_file("source"));
                // Without the second the target's GTIDs would be set, which isn't what is measured.
                dump.args(["--single-transaction", "--set-gtid-purged=OFF", "--databases"]);
                dump.arg(DATABASE);
                let load = reading(&tools.mysql, &stage.option_file("target"));
                measure::run(vec![dump, load], logs).await
            }
            Copy::Mydumper => {
                let dir = stage.private_dir().join("dump");
                let mut dump = reading(&tools.mydumper, &stage.option_file("source"));
                dump.args(["--threads", &threads, "--database", DATABASE, "--outputdir"]);
                dump.arg(&dir);
                // Without it a table is one thread's.
                dump.args(["--rows", "250000"]);
                let mut load = reading(&tools.myloader, &stage.option_file("target"));
                load.args(["--threads", &threads, "--directory"]).arg(&dir);
                let usage = measure::run(vec![dump], logs).await?;
                let usage = usage.then(measure::run(vec![load], logs).await?);
                std::fs::remove_dir_all(&dir)?;
                Ok(usage)
            }
        }
    }
}

/// Compares both servers with `daybreak verify`, which must find them equal.
pub async fn verify(stage: &Stage, options: &Options) -> Result<Usage, Failure> {
    let (servers, logs) = ([&stage.source, &stage.target], stage.private_dir());
    let verify = daybreak(options, servers, &address(&stage.source), "verify", logs);
    measure::run(vec![verify], logs).await
}

/// Where the programs are.
pub struct Tools {
    mysqldump: PathBuf,
    /// MySQL's own client.
    pub mysql: PathBuf,
    mydumper: PathBuf,
    myloader: PathBuf,
    /// The version of the package that mydumper is of.
    pub mydumper_version: String,
}

impl Tools {
    /// Finds them; nothing is downloaded.
    pub fn find(stage: &Stage) -> Result<Tools, Failure> {
        let binaries = stage.source.binaries();
        let program = |name: &str| {
            binaries.program(name).ok_or_else(|| {
                failure(
                    format!("there is no {name} in {}", binaries.bin.display()),
                    "install the server's client programs, or run scripts/get-servers mysql-9.7",
                )
            })
        };
        let home = servers_dir().unwrap_or_default().join("mydumper");
        let stamp = std::fs::read_to_string(home.join(".complete")).map_err(|_| {
            failure("mydumper isn't there", "scripts/get-servers mydumper (make bench does it)")
        })?;
        Ok(Tools {
            mysqldump: program("mysqldump")?,
            mysql: program("mysql")?,
            mydumper: home.join("bin/mydumper"),
            myloader: home.join("bin/myloader"),
            mydumper_version: stamp.lines().nth(1).unwrap_or_default().to_owned(),
        })
    }
}

/// `daybreak` on the two servers of a benchmark, the source at an address that may be another's before it;
/// with a directory of its own, as a daybreak.toml where this was started is none of its business.
pub fn daybreak(
    options: &Options,
    [source, target]: [&Server; 2],
    source_address: &str,
    verb: &str,
    directory: &Path,
) -> Command {
    let mut command = Command::new(&options.daybreak);
    let threads = options.threads.to_string();
    command.args([verb, "--no-progress", "--database", DATABASE, "--threads", &threads]);
    command.args(["--source", source_address, "--target", &address(target)]);
    command.env("DAYBREAK_SOURCE_PASSWORD", source.root_password());
    command.env("DAYBREAK_TARGET_PASSWORD", target.root_password());
    command.current_dir(directory);
    command
}

/// A server's URL for root.
pub fn address(server: &Server) -> String {
    format!("mysql://root@127.0.0.1:{}/", server.port())
}

/// A program that logs in as an option file says.
fn reading(program: &Path, option_file: &Path) -> Command {
    let mut argument = OsString::from("--defaults-file=");
    argument.push(option_file);
    let mut command = Command::new(program);
    command.arg(argument);
    command
}
