//! The MariaDB server that is backed up, at rest, and its backup in a directory.

use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable;
use rehearsal::server::{Product, Role, Server, ServerOptions, find_mariadb_backup};
use rehearsal::shop::{self, ShopOptions};

use super::{
    Failure, Options, failure, measure, stage, transfers,
    workload::{self, Workload},
};

const BUFFER_POOL_MIB: u32 = 512;
const REDO_LOG_MIB: u32 = 128;

/// The server and its backup.
pub struct Source {
    /// The server.
    pub server: Server,
    /// `mariadb-backup`.
    pub tool: PathBuf,
    /// A backup in a directory.
    pub backup: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// For all files of the benchmark; goes with the server's directory.
    pub private: PathBuf,
}

impl Source {
    /// Starts the server, fills it with sysbench's tables and a shop, and takes the backup.
    pub async fn set(options: &Options) -> Result<Source, Failure> {
        let tool = find_mariadb_backup()?.backup;
        let wish = ServerOptions::new(Product::Mariadb1011, Role::Source)
            .durable(false)
            .binlog(true)
            .buffer_pool_mib(BUFFER_POOL_MIB)
            .redo_log_mib(REDO_LOG_MIB);
        let server = Server::start(wish).await?;
        eprintln!("bench: generating rows");
        let mut conn = server.connect_root().await?;
        // They are in the tables; the binary log is in no backup.
        conn.query_drop("SET SESSION sql_log_bin = 0").await?;
        conn.query_drop(format!("CREATE DATABASE `{}`", workload::DATABASE)).await?;
        let conns = [server.connect_root().await?, server.connect_root().await?];
        workload::fill(&Workload::Sysbench.tables(options.rows), conns).await?;
        let shop = ShopOptions { rows: 2 * options.rows, portable: true, ..ShopOptions::default() };
        shop::generate(&server.root_url(), &shop, |_, _| ()).await?;
        stage::write_out(&mut conn).await?;
        conn.disconnect().await?;
        let private = server.dir().join("bench");
        stage::private_dir(&private)?;
        stage::write_option_file(&private.join("source.cnf"), &server, "")?;
        let mut source = Source { backup: private.join("backup"), server, tool, bytes: 0, private };
        let take = transfers::backup_to(&source, &source.backup);
        measure::run(vec![take], &source.private).await?;
        source.bytes = bytes_below(&source.backup)?;
        Ok(source)
    }

    /// The option file with the server's login.
    pub fn option_file(&self) -> PathBuf {
        self.private.join("source.cnf")
    }

    /// Bytes of the backup, in millions.
    pub fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6
    }
}

/// The files below a directory, by their names relative to it.
pub fn files_below(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        let entries = std::fs::read_dir(&directory)
            .map_err(|error| failure(format!("{}: {error}", directory.display()), "make bench"))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of all files below a directory.
pub fn bytes_below(root: &Path) -> Result<u64, Failure> {
    files_below(root)?.iter().map(|name| Ok(std::fs::metadata(root.join(name))?.len())).sum()
}
