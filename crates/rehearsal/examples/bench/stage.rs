//! Owns the two servers, the tables, the emptied target and the proof that a copy is whole.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysql_async::{Conn, prelude::Queryable};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::workload::{self, DATABASE, Table, Workload};
use super::{Failure, Options, failure};

const BUFFER_POOL_MIB: u32 = 512;
const REDO_LOG_MIB: u32 = 512;
/// How long the servers may take to write out what the last run left.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Few enough pages that writing them no longer disturbs.
const SETTLED_PAGES: u64 = 100;

/// Both servers, and what is known of the source.
pub struct Stage {
    /// The server that is copied from.
    pub source: Server,
    /// The server that is copied to.
    pub target: Server,
    tables: Vec<Table>,
    content: Content,
    data_bytes: u64,
    /// Below a server's directory, so that it goes when that goes, after a kill as well.
    private: PathBuf,
}

/// What both sides must have alike.
#[derive(Debug, PartialEq)]
struct Content {
    rows: Vec<u64>,
    checksums: Vec<u64>,
    indexes: Vec<String>,
}

impl Stage {
    /// Starts the servers and fills the source.
    pub async fn set(options: &Options, workload: Workload) -> Result<Stage, Failure> {
        let wish = |role| {
            ServerOptions::new(Product::Mysql97, role)
                .durable(true)
                .buffer_pool_mib(BUFFER_POOL_MIB)
                .redo_log_mib(REDO_LOG_MIB)
        };
        let source = Server::start(wish(Role::Source)).await?;
        let target = Server::start(wish(Role::Plain)).await?;
        let mut conn = source.connect_root().await?;
        conn.query_drop("SET SESSION sql_log_bin = 0").await?;
        conn.query_drop(format!("CREATE DATABASE `{DATABASE}`")).await?;
        eprintln!("bench: generating rows");
        let tables = workload.tables(options.rows);
        let conns = [source.connect_root().await?, source.connect_root().await?];
        workload::fill(&tables, conns).await?;
        let content = Content::of(&mut conn, &tables).await?;
        if content.rows.iter().zip(&tables).any(|(rows, table)| *rows != table.rows) {
            return Err(failure("the source wasn't filled", "run it again and report it"));
        }
        conn.query_drop("SET SESSION information_schema_stats_expiry = 0").await?;
        let data_bytes = conn
            .exec_first(
                "SELECT CAST(SUM(data_length) AS UNSIGNED) FROM information_schema.tables
                 WHERE table_schema = ?",
                (DATABASE,),
            )
            .await?
            .unwrap_or(0);
        conn.disconnect().await?;
        let private = source.dir().join("bench");
        private_dir(&private)?;
        let stage = Stage { source, target, tables, content, data_bytes, private };
        // Only MySQL's own programs know these.
        let more = ["mysql", "mysqldump"]
            .map(|group| format!("[{group}]\nssl-mode=DISABLED\nget-server-public-key\n"))
            .concat();
        write_option_file(&stage.option_file("source"), &stage.source, &more)?;
        write_option_file(&stage.option_file("target"), &stage.target, &more)?;
        Ok(stage)
    }

    /// The tables.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.content.rows.iter().sum()
    }

    /// The tables' data at the source (`data_length`, without secondary indexes), in millions of bytes.
    pub fn megabytes(&self) -> f64 {
        self.data_bytes as f64 / 1e6
    }

    /// What is said of both servers under the figures.
    pub fn settings() -> String {
        format!(
            "both servers: buffer pool {BUFFER_POOL_MIB} MiB, redo log {REDO_LOG_MIB} MiB, every commit \
             flushed (innodb_flush_log_at_trx_commit=1), TCP without TLS; binary log on (sync_binlog=1) \
             at the source, off at the target"
        )
    }

    /// A directory that nobody else can read.
    pub fn private_dir(&self) -> &Path {
        &self.private
    }

    /// The option file with the login of a side, for programs of MySQL and MariaDB.
    pub fn option_file(&self, side: &str) -> PathBuf {
        self.private.join(format!("{side}.cnf"))
    }

    /// Takes everything off the target that a copy left, and waits until both servers are at rest.
    pub async fn empty_target(&self) -> Result<(), Failure> {
        let mut conn = self.target.connect_root().await?;
        for database in [DATABASE, "daybreak"] {
            conn.query_drop(format!("DROP DATABASE IF EXISTS `{database}`")).await?;
        }
        conn.disconnect().await?;
        self.settle().await
    }

    /// Waits until the servers and the system have written out what was still to be written.
    pub async fn settle(&self) -> Result<(), Failure> {
        for server in [&self.source, &self.target] {
            let mut conn = server.connect_root().await?;
            write_out(&mut conn).await?;
            conn.disconnect().await?;
        }
        sync().await
    }

    /// Fails unless the target has every row and index of the source.
    pub async fn check_copy(&self, way: &str) -> Result<(), Failure> {
        let mut conn = self.target.connect_root().await?;
        let content = Content::of(&mut conn, &self.tables).await.map_err(|error| {
            failure(
                format!("what {way} copied can't be read: {error}"),
                "does the way work at all?",
            )
        })?;
        conn.disconnect().await?;
        if content != self.content {
            return Err(failure(
                format!(
                    "what {way} copied isn't what is at the source: {content:?} instead of {:?}",
                    self.content
                ),
                "its time would mean nothing: find out why first",
            ));
        }
        Ok(())
    }
}

impl Content {
    async fn of(conn: &mut Conn, tables: &[Table]) -> Result<Content, Failure> {
        let (mut rows, mut checksums) = (Vec::new(), Vec::new());
        for table in tables {
            let name = table.sql();
            let count: Option<u64> =
                conn.query_first(format!("SELECT COUNT(*) FROM {name}")).await?;
            let sum: Option<(String, Option<u64>)> =
                conn.query_first(format!("CHECKSUM TABLE {name}")).await?;
            rows.push(count.unwrap_or(0));
            // NULL: there is no such table.
            checksums.push(sum.and_then(|(_, sum)| sum).ok_or("a table has no checksum")?);
        }
        let indexes = conn
            .exec(
                "SELECT CONCAT_WS('.', table_name, index_name, seq_in_index, column_name, non_unique)
                 FROM information_schema.statistics WHERE table_schema = ? ORDER BY 1",
                (DATABASE,),
            )
            .await?;
        Ok(Content { rows, checksums, indexes })
    }
}

/// Makes a directory that nobody else can read.
pub fn private_dir(path: &Path) -> Result<(), Failure> {
    Ok(std::fs::DirBuilder::new().mode(0o700).create(path)?)
}

/// Writes root's login at a server, for programs of MySQL and MariaDB, and more lines after it.
pub fn write_option_file(path: &Path, server: &Server, more: &str) -> Result<(), Failure> {
    let (port, password) = (server.port(), server.root_password());
    let login = format!("[client]\nhost=127.0.0.1\nport={port}\nuser=root\npassword={password}\n");
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    Ok(file?.write_all((login + more).as_bytes())?)
}

/// Waits until the system has written out what was still to be written.
pub async fn sync() -> Result<(), Failure> {
    // SAFETY: sync takes nothing, returns nothing and cannot fail.
    Ok(tokio::task::spawn_blocking(|| unsafe { libc::sync() }).await?)
}

/// Lets a server write its changed pages now, not in the middle of the next run.
pub async fn write_out(conn: &mut Conn) -> Result<(), Failure> {
    let before: Option<f64> = conn.query_first("SELECT @@innodb_max_dirty_pages_pct").await?;
    conn.query_drop("SET GLOBAL innodb_max_dirty_pages_pct = 0").await?;
    let begun = Instant::now();
    let dirty = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";
    while let Some((_, pages)) = conn.query_first::<(String, u64), _>(dirty).await?
        && pages > SETTLED_PAGES
    {
        if begun.elapsed() > SETTLE_LIMIT {
            eprintln!("bench: note: {pages} pages are still unwritten");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = before.unwrap_or(90.0);
    conn.query_drop(format!("SET GLOBAL innodb_max_dirty_pages_pct = {before}")).await?;
    Ok(())
}
