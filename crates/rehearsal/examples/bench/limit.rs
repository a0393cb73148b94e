//! What the servers themselves can do: reading everything to nowhere, and loading files that are ready
//! (`LOAD DATA INFILE`, then the secondary indexes), over as many connections as the tools have threads.
//! Both together are the limit of whoever reads the one and writes the other on the same machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use mysql_async::prelude::Queryable as _;

use super::measure::{self, Output, Usage};
use super::stage::{self, Stage};
use super::workload::DATABASE;
use super::{Failure, Options};

/// Files to load, and the statements that the connections run.
pub struct Limit {
    /// Creates the tables at the target.
    create: Vec<String>,
    read: Vec<PathBuf>,
    load: Vec<PathBuf>,
    index: Vec<PathBuf>,
    mysql: PathBuf,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Both at once.
    Together,
    /// Reading alone.
    Read,
    /// Loading alone.
    Load,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Together, Part::Read, Part::Load];

    /// How it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Part::Together => "limit: `SELECT` to nowhere beside `LOAD DATA INFILE`",
            Part::Read => "the `SELECT`s alone",
            Part::Load => "the `LOAD DATA INFILE`s and indexes alone",
        }
    }
}

impl Limit {
    /// Has the source write the files, and writes down the statements.
    pub async fn prepare(stage: &Stage, options: &Options, mysql: &Path) -> Result<Limit, Failure> {
        let dir = stage.private_dir().join("limit");
        stage::private_dir(&dir)?;
        let mut source = stage.source.connect_root().await?;
        let mut pieces = Vec::new();
        for table in stage.tables() {
            for (number, piece) in table.pieces().into_iter().enumerate() {
                let file = dir.join(format!("{}.{number}.tsv", table.name));
                let name = table.sql();
                let from = format!("{name} FORCE INDEX (PRIMARY) WHERE {piece}");
                source
                    .query_drop(format!(
                        "SELECT * FROM {from} INTO OUTFILE '{}' CHARACTER SET binary",
                        file.display()
                    ))
                    .await?;
                let load = format!(
                    "LOAD DATA INFILE '{}' INTO TABLE {name} CHARACTER SET binary;\n",
                    file.display()
                );
                pieces.push((format!("SELECT * FROM {from};\n"), load));
            }
        }
        source.disconnect().await?;
        let settings = "SET SESSION unique_checks = 0, foreign_key_checks = 0;\n";
        let script = |name: &str, thread: usize, statements: Vec<&str>| {
            let path = dir.join(format!("{name}{thread}.sql"));
            std::fs::write(&path, settings.to_owned() + &statements.concat())?;
            Ok::<_, Failure>(path)
        };
        let (mut read, mut load, mut index) = (Vec::new(), Vec::new(), Vec::new());
        let keys: Vec<String> = stage.tables().iter().map(|t| t.add_keys() + ";\n").collect();
        for thread in 0..options.threads {
            let own = || pieces.iter().skip(thread).step_by(options.threads);
            read.push(script("read", thread, own().map(|piece| piece.0.as_str()).collect())?);
            load.push(script("load", thread, own().map(|piece| piece.1.as_str()).collect())?);
            let keys = keys.iter().skip(thread).step_by(options.threads);
            index.push(script("index", thread, keys.map(String::as_str).collect())?);
        }
        let create = stage.tables().iter().map(super::workload::Table::create).collect();
        Ok(Limit { create, read, load, index, mysql: mysql.into() })
    }

    /// Runs a part; the target is empty.
    pub async fn run(&self, part: Part, stage: &Stage) -> Result<Usage, Failure> {
        if part != Part::Read {
            let mut target = stage.target.connect_root().await?;
            target.query_drop(format!("CREATE DATABASE `{DATABASE}`")).await?;
            for create in &self.create {
                target.query_drop(create).await?;
            }
            target.disconnect().await?;
        }
        let reading = self.all(stage, "source", &self.read);
        let loading = async {
            let loaded = self.all(stage, "target", &self.load).await?;
            Ok::<_, Failure>(loaded.then(self.all(stage, "target", &self.index).await?))
        };
        match part {
            Part::Read => reading.await,
            Part::Load => loading.await,
            Part::Together => {
                let (read, loaded) = tokio::try_join!(reading, loading)?;
                Ok(read.beside(loaded))
            }
        }
    }

    /// Runs scripts, each over a connection of its own.
    async fn all(&self, stage: &Stage, side: &str, scripts: &[PathBuf]) -> Result<Usage, Failure> {
        let runs = scripts.iter().map(async |script| {
            let mut command = Command::new(&self.mysql);
            let mut login = std::ffi::OsString::from("--defaults-file=");
            login.push(stage.option_file(side));
            command.arg(login).args(["--quick", "--skip-column-names", "--batch", "--raw"]);
            let mut statements = Command::new("cat");
            statements.arg(script);
            let logs = script.with_extension("logs");
            std::fs::create_dir_all(&logs)?;
            measure::run_to(vec![statements, command], Output::Nothing, &logs).await
        });
        let runs = futures_util::future::try_join_all(runs).await?;
        Ok(runs.into_iter().reduce(Usage::beside).unwrap_or(Usage::NOTHING))
    }
}
