//! Owns what a caller may wish of a server, and the arguments that each product makes of it.
//! No secret is ever among the arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Binaries, Product};

/// What the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A source: binary log on, root may do everything.
    Source,
    /// A target with `mysql.rds_*` procedures and a master account `admin` to which what Aurora denies is denied.
    AuroraStandin,
    /// A server as it comes: no binary log unless asked for.
    Plain,
}

/// Data that were restored from a backup, and the master account that they get.
#[derive(Clone)]
pub struct Restored {
    /// The prepared data directory, on the file system of the server's own; it is moved, not copied.
    pub data: PathBuf,
    /// The master account's name.
    pub master_user: String,
    /// Its password.
    pub master_password: String,
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restored({})", self.data.display())
    }
}

/// What is wished of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Which server.
    pub product: Product,
    /// What for.
    pub role: Role,
    /// GTIDs on (`gtid_mode=ON`) or off; MariaDB always has its own.
    pub gtid: bool,
    /// Whether a binary log is written.
    pub binlog: bool,
    /// Whether each commit is flushed to disk (redo log and binary log).
    pub durable: bool,
    /// The buffer pool in MiB.
    pub buffer_pool_mib: u32,
    /// The redo log in MiB.
    pub redo_log_mib: u32,
    /// The port to listen on; a free one is chosen otherwise.
    pub port: Option<u16>,
    /// A private directory to use, to keep, and to go on from when it holds a server already; a temporary one otherwise.
    pub dir: Option<PathBuf>,
    /// The server program; found by [`super::find`] otherwise.
    pub mysqld: Option<PathBuf>,
    /// Data to start on, instead of empty ones. All accounts, routines, events and time zones in them
    /// are left out, as a restored Aurora cluster leaves them out.
    pub restored: Option<Restored>,
    /// Further arguments, after all others.
    pub extra_args: Vec<String>,
}

impl ServerOptions {
    /// Returns the usual wishes for a product in a role.
    pub fn new(product: Product, role: Role) -> Self {
        Self {
            product,
            role,
            gtid: product != Product::Mysql56,
            binlog: role != Role::Plain,
            durable: role == Role::Source,
            buffer_pool_mib: 256,
            redo_log_mib: 100,
            port: None,
            dir: None,
            mysqld: None,
            restored: None,
            extra_args: Vec::new(),
        }
    }

    /// Sets whether GTIDs are on.
    pub fn gtid(mut self, on: bool) -> Self {
        self.gtid = on;
        self
    }

    /// Sets whether a binary log is written.
    pub fn binlog(mut self, on: bool) -> Self {
        self.binlog = on;
        self
    }

    /// Sets whether each commit is flushed to disk.
    pub fn durable(mut self, on: bool) -> Self {
        self.durable = on;
        self
    }

    /// Sets the buffer pool's size in MiB.
    pub fn buffer_pool_mib(mut self, mib: u32) -> Self {
        self.buffer_pool_mib = mib;
        self
    }

    /// Sets the redo log's size in MiB.
    pub fn redo_log_mib(mut self, mib: u32) -> Self {
        self.redo_log_mib = mib;
        self
    }

    /// Sets the port to listen on.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets a directory to use and to keep.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets the server program.
    pub fn mysqld(mut self, path: impl Into<PathBuf>) -> Self {
        self.mysqld = Some(path.into());
        self
    }

    /// Sets data to start on.
    pub fn restored(mut self, restored: Restored) -> Self {
        self.restored = Some(restored);
        self
    }

    /// Adds an argument, such as `--sql-mode=ANSI`.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.extra_args.push(argument.into());
        self
    }
}

/// Where one server's files are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub dir: PathBuf,
    pub data: PathBuf,
    pub tmp: PathBuf,
    pub socket: PathBuf,
    pub error_log: PathBuf,
    pub output: PathBuf,
    pub pid_file: PathBuf,
    pub init_file: PathBuf,
    pub state: PathBuf,
}

impl Places {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            data: dir.join("data"),
            tmp: dir.join("tmp"),
            socket: dir.join("mysqld.sock"),
            error_log: dir.join("error.log"),
            output: dir.join("output.log"),
            pid_file: dir.join("mysqld.pid"),
            init_file: dir.join("init.sql"),
            state: dir.join("server.json"),
        }
    }
}

/// Makes `--name=path` without asking that the path be UTF-8.
pub(super) fn path_arg(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push("=");
    argument.push(path);
    argument
}

/// Returns the arguments that every start of a product needs, its first one included.
pub(super) fn base_args() -> Vec<OsString> {
    let mut args = vec![OsString::from("--no-defaults")];
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        args.push("--user=root".into());
    }
    args
}

/// Returns the arguments with which a server of these options runs.
pub(super) fn arguments(
    options: &ServerOptions,
    binaries: &Binaries,
    places: &Places,
    port: u16,
    server_id: u32,
) -> Vec<OsString> {
    let version = binaries.version_numbers();
    let mysql = options.product != Product::Mariadb1011;
    let mut args = base_args();
    if options.product == Product::Mysql97 {
        // As little as --no-defaults reads, but for what SET PERSIST wrote.
        args[0] = "--defaults-file=/dev/null".into();
    }
    args.push(path_arg("--datadir", &places.data));
    // A starting server of MySQL 5.6 or MariaDB deletes the temporary tables that it finds there,
    // those of others that run in /tmp too.
    args.push(path_arg("--tmpdir", &places.tmp));
    args.push(path_arg("--socket", &places.socket));
    args.push(path_arg("--log-error", &places.error_log));
    args.push(path_arg("--pid-file", &places.pid_file));
    let mut add = |argument: String| args.push(argument.into());
    add(format!("--port={port}"));
    add("--bind-address=127.0.0.1".to_owned());
    add(format!("--server-id={server_id}"));
    add("--local-infile=1".to_owned());
    add("--event-scheduler=ON".to_owned());
    add("--max-connections=500".to_owned());
    add("--report-host=127.0.0.1".to_owned());
    add(format!("--report-port={port}"));
    add(format!("--innodb-buffer-pool-size={}M", options.buffer_pool_mib));
    add(format!("--innodb-flush-log-at-trx-commit={}", if options.durable { 1 } else { 2 }));
    match options.product {
        Product::Mysql97 => {
            if version >= (8, 0, 30) {
                add(format!("--innodb-redo-log-capacity={}M", options.redo_log_mib.max(8)));
            }
            add("--mysqlx=OFF".to_owned());
            add("--secure-file-priv=".to_owned());
            add("--skip-name-resolve".to_owned());
        }
        // Names are resolved here as they were then, so that 127.0.0.1 is `localhost` and the
        // anonymous account stands in the way as it does on real servers of that age. The redo
        // log keeps the size that it has in the template.
        Product::Mysql56 => add(format!("--innodb-log-file-size={MYSQL56_LOG_MIB}M")),
        Product::Mysql57 | Product::Mariadb1011 => {
            add(format!("--innodb-log-file-size={}M", options.redo_log_mib.max(8)));
            add("--secure-file-priv=".to_owned());
            add("--skip-name-resolve".to_owned());
        }
    }
    if options.binlog {
        add("--log-bin=binlog".to_owned());
        add(format!("--sync-binlog={}", u8::from(options.durable)));
        add("--binlog-format=ROW".to_owned());
        add("--binlog-row-image=FULL".to_owned());
        if options.product == Product::Mysql97 && version >= (8, 0, 26) {
            add("--log-replica-updates=ON".to_owned());
        } else {
            add("--log-slave-updates=1".to_owned());
        }
    } else if options.product == Product::Mysql97 {
        add("--skip-log-bin".to_owned());
    }
    add("--relay-log=relay".to_owned());
    if mysql {
        // MySQL 5.6 can't have GTIDs without a binary log of the replica's own updates.
        let gtid = options.gtid && (options.binlog || options.product != Product::Mysql56);
        add(format!("--gtid-mode={}", if gtid { "ON" } else { "OFF" }));
        add(format!("--enforce-gtid-consistency={}", if gtid { "ON" } else { "OFF" }));
    }
    if options.role == Role::AuroraStandin {
        add("--log-bin-trust-function-creators=1".to_owned());
        if options.product == Product::Mysql97 {
            // The account `admin` keeps its global rights on everything but the schema `mysql`.
            add("--partial-revokes=ON".to_owned());
            add("--disabled-storage-engines=MyISAM,MRG_MYISAM,ARCHIVE,BLACKHOLE,FEDERATED"
                .to_owned());
        } else if options.product == Product::Mariadb1011 {
            add("--enforce-storage-engine=InnoDB".to_owned());
        }
    }
    args.extend(options.extra_args.iter().map(OsString::from));
    args
}

/// MySQL 5.6 rewrites its redo log at a start with another size, so it always has this one.
pub(super) const MYSQL56_LOG_MIB: u32 = 24;
