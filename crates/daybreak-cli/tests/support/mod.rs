//! What the whole-run tests share: a pair of real servers, the real binary, and a comparison of both
//! sides by `mysqldump`, which shares no code with daybreak.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod faults;
pub mod kill_log;
pub mod long_copy;

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use daybreak::engine::{Journal, StepPhase};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable as _};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{self, ShopOptions},
    watch::until_within,
};

/// A source with a small shop, and an Aurora stand-in.
pub struct Pair {
    pub source: Server,
    pub target: Server,
}

impl Pair {
    pub async fn start(gtid: bool, rows: u64) -> Pair {
        Self::start_with(gtid, rows, |_, options| options).await
    }

    /// The same, with servers set up otherwise.
    pub async fn start_with(
        gtid: bool,
        rows: u64,
        adjust: impl Fn(Role, ServerOptions) -> ServerOptions,
    ) -> Pair {
        let wish = |role| {
            let options = ServerOptions::new(Product::Mysql97, role)
                .gtid(gtid)
                .durable(false)
                .buffer_pool_mib(64)
                .redo_log_mib(64);
            adjust(role, options)
        };
        let source = Server::start(wish(Role::Source)).await.unwrap();
        let target = Server::start(wish(Role::AuroraStandin)).await.unwrap();
        // Accounts aren't migrated: the owner of the shop's routines and triggers is on both sides.
        for server in [&source, &target] {
            let mut root = connect(&server.root_url()).await;
            for statement in [
                "SET sql_log_bin = 0",
                "CREATE USER 'owner'@'%' IDENTIFIED BY 'Owner-of-the-shop-1'",
                "GRANT ALL ON shop.* TO 'owner'@'%'",
                "SET GLOBAL log_bin_trust_function_creators = 1",
            ] {
                root.query_drop(statement).await.unwrap();
            }
        }
        let options = ShopOptions { rows, seed: 7, ..ShopOptions::default() };
        let owner = format!("mysql://owner:Owner-of-the-shop-1@127.0.0.1:{}/", source.port());
        shop::generate(&owner, &options, |_, _| {}).await.unwrap();
        Pair { source, target }
    }

    /// A migration's directory with its configuration; the passwords lie in private files.
    pub fn directory(&self, extra: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        configure(directory.path(), &self.source.root_url(), &self.target.admin_url(), extra);
        directory
    }

    pub async fn source_root(&self) -> Conn {
        connect(&self.source.root_url()).await
    }

    pub async fn target_root(&self) -> Conn {
        connect(&self.target.root_url()).await
    }

    /// As if no migration had been: source open, target empty.
    pub async fn reset(&self) {
        let mut source = self.source_root().await;
        for statement in [
            "RESET PERSIST IF EXISTS super_read_only",
            "SET GLOBAL super_read_only = OFF",
            "SET GLOBAL read_only = OFF",
        ] {
            source.query_drop(statement).await.unwrap();
        }
        forget(&mut source, &["daybreak"]).await;
        let mut target = self.target_root().await;
        target.query_drop("STOP REPLICA").await.unwrap();
        target.query_drop("RESET REPLICA ALL").await.unwrap();
        target.query_drop("SET GLOBAL read_only = OFF").await.unwrap();
        forget(&mut target, &["daybreak", "shop"]).await;
    }

    /// Both sides' content and definitions, by `mysqldump`, equal but for counters.
    pub fn assert_equal(&self, why: &str) {
        let source = dump(&self.source);
        let target = dump(&self.target);
        if source != target {
            let mut lines = Vec::new();
            for line in diff(&source, &target) {
                lines.push(line);
            }
            panic!("{why}: the sides differ:\n{}", lines.join("\n"));
        }
        assert!(source.values().sum::<usize>() > 100, "{why}: the dump is empty");
    }
}

/// Writes a configuration with these servers into a migration's directory.
pub fn configure(directory: &Path, source: &str, target: &str, extra: &str) {
    let mut text = String::new();
    for (section, url) in [("source", source), ("target", target)] {
        let (plain, password) = split(url);
        private(&directory.join(format!("{section}.password")), &password);
        text +=
            &format!("[{section}]\nurl = \"{plain}\"\npassword_file = \"{section}.password\"\n\n");
    }
    text += extra;
    private(&directory.join("daybreak.toml"), &text);
}

pub async fn forget(root: &mut Conn, databases: &[&str]) {
    for database in databases {
        root.query_drop(format!("DROP DATABASE IF EXISTS {database}")).await.unwrap();
    }
    let accounts: Vec<(String, String)> = root
        .query("SELECT user, host FROM mysql.user WHERE user LIKE 'daybreak%' OR user LIKE 'dbrk%'")
        .await
        .unwrap();
    for (user, host) in accounts {
        root.query_drop(format!("DROP USER '{user}'@'{host}'")).await.unwrap();
    }
}

pub async fn connect(url: &str) -> Conn {
    try_connect(url).await.unwrap()
}

pub async fn try_connect(url: &str) -> Result<Conn, mysql_async::Error> {
    let options = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
    Conn::new(options).await
}

/// A URL without its password, and the password.
pub fn split(url: &str) -> (String, String) {
    let opts = Opts::from_url(url).unwrap();
    let user = opts.user().unwrap();
    (
        format!("mysql://{user}@{}:{}/", opts.ip_or_hostname(), opts.tcp_port()),
        opts.pass().unwrap_or_default().to_string(),
    )
}

pub fn private(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The program under test.
pub fn daybreak(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.args(arguments).arg("--dir").arg(directory).stdin(Stdio::null());
    for variable in ["DAYBREAK_KILL_AT", "DAYBREAK_SOURCE_PASSWORD", "DAYBREAK_TARGET_PASSWORD"] {
        command.env_remove(variable);
    }
    command
}

/// Runs it off the async threads, and returns what it said.
pub async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub fn said(output: &Output) -> String {
    format!(
        "exit {:?}, signal {:?}\n{}{}",
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Far above what anything here takes; only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, condition).await;
}

/// Goes on after a kill, to the end. A cutover that was begun isn't begun again without the word: it is
/// taken back, which `stands` looks at, and the word is given.
pub async fn resume(directory: &Path, why: &str, stands: impl AsyncFnOnce()) {
    let state = Journal::open(directory).unwrap().state();
    let mut resumed = output(daybreak(directory, &["resume"])).await;
    if !state.consent && !state.past_no_return {
        assert_eq!(resumed.status.code(), Some(4), "{why}: {}", said(&resumed));
        assert!(said(&resumed).contains("`daybreak cutover` does it"), "{why}: {}", said(&resumed));
        let state = Journal::open(directory).unwrap().state();
        assert!(!state.past_no_return && !state.consent, "{why}");
        assert_eq!(state.step("cutover"), Some(StepPhase::Pending), "{why}");
        stands().await;
        resumed = output(daybreak(directory, &["resume", "--yes"])).await;
    }
    assert!(resumed.status.success(), "{why}: resume: {}", said(&resumed));
}

pub fn was_killed(output: &Output) -> bool {
    was_killed_by(&output.status, libc::SIGKILL)
}

pub fn was_killed_by(status: &ExitStatus, signal: i32) -> bool {
    status.signal() == Some(signal)
}

/// The lines of a dump with how often each stands, counters and comments left out.
fn dump(server: &Server) -> BTreeMap<String, usize> {
    let (_, password) = split(&server.root_url());
    let options = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        options.path(),
        format!(
            "[client]\nuser=root\npassword=\"{password}\"\nhost=127.0.0.1\nport={}\n",
            server.port()
        ),
    )
    .unwrap();
    let program: PathBuf = server.binaries().program("mysqldump").expect("mysqldump");
    let output = Command::new(program)
        .arg(format!("--defaults-file={}", options.path().display()))
        .args([
            "--single-transaction",
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--skip-extended-insert",
            "--complete-insert",
            "--skip-comments",
            "--no-tablespaces",
            "--set-gtid-purged=OFF",
            "--skip-dump-date",
            "--databases",
            "shop",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counter = regex_lite::Regex::new(r" AUTO_INCREMENT=\d+").unwrap();
    let mut lines = BTreeMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        *lines.entry(counter.replace_all(&line, "").into_owned()).or_default() += 1;
    }
    lines
}

fn diff(source: &BTreeMap<String, usize>, target: &BTreeMap<String, usize>) -> Vec<String> {
    let mut out = Vec::new();
    for (sign, one, other) in [("-", source, target), ("+", target, source)] {
        for (line, count) in one {
            if other.get(line) != Some(count) {
                out.push(format!("{sign} {count}x {}", line.chars().take(300).collect::<String>()));
            }
        }
    }
    out.truncate(40);
    out
}
