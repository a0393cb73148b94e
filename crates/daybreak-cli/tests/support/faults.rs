//! What the tests of faults share: a pair of servers behind bad links, a run that is watched while it
//! works, and what every failure must say and must not.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::{
    proxy::Proxy,
    server::{Role, ServerOptions},
    watch::until_within,
};

use super::{Pair, configure, connect, daybreak, split};

/// Far above what anything here takes; only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A pair of servers, each behind a link that can go bad. Replication goes through the source's.
pub struct Bench {
    pub pair: Pair,
    pub source_link: Proxy,
    pub target_link: Proxy,
}

impl Bench {
    pub async fn start() -> Bench {
        Self::start_with(|_, options| options).await
    }

    pub async fn start_with(adjust: impl Fn(Role, ServerOptions) -> ServerOptions) -> Bench {
        let pair = Pair::start_with(true, 500, adjust).await;
        let source_link = Proxy::before(pair.source.port()).await.unwrap();
        let target_link = Proxy::before(pair.target.port()).await.unwrap();
        Bench { pair, source_link, target_link }
    }

    /// The servers' URLs through their links, passwords included.
    pub fn urls(&self) -> (String, String) {
        let via = |url: String, port: u16, link: &Proxy| {
            url.replace(&format!(":{port}/"), &format!(":{}/", link.port()))
        };
        (
            via(self.pair.source.root_url(), self.pair.source.port(), &self.source_link),
            via(self.pair.target.admin_url(), self.pair.target.port(), &self.target_link),
        )
    }

    /// A migration's directory whose servers are reached through the links.
    pub fn directory(&self, extra: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = self.urls();
        configure(directory.path(), &source, &target, extra);
        directory
    }

    /// Two tables of about two megabytes each, in one chunk: one with a key, and one whose rows can
    /// only be counted.
    pub async fn big_tables(&self) {
        let mut root = self.pair.source_root().await;
        let numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4000) \
                       SELECT n FROM s) AS s";
        for statement in [
            "SET SESSION cte_max_recursion_depth = 10000".to_string(),
            // The copy may have built the one key already; the other is always its step's.
            "CREATE TABLE shop.big (id INT PRIMARY KEY, v VARCHAR(1000), KEY (v(20)), UNIQUE KEY by_both (id, v(20)))"
                .to_string(),
            format!("INSERT INTO shop.big SELECT n, REPEAT(CHAR(64 + n % 60), 500) FROM {numbers}"),
            "CREATE TABLE shop.keyless (a INT, v VARCHAR(1000))".to_string(),
            format!("INSERT INTO shop.keyless SELECT n % 7, REPEAT('y', 500) FROM {numbers}"),
            // By their sizes they are copied alone, and have their keys after their rows.
            "ANALYZE TABLE shop.big, shop.keyless".to_string(),
        ] {
            root.query_drop(&statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// The fault is gone: `resume` goes through to the end, and both sides are equal.
    pub async fn finishes(&self, directory: &Path, why: &str) {
        self.source_link.pass().await;
        self.target_link.pass().await;
        let resumed = Running::start(daybreak(directory, &["resume", "--yes"])).end().await;
        assert_eq!(resumed.code(), Some(0), "{why}: {}", resumed.text);
        self.keeps_secrets(directory, &resumed);
        self.pair.assert_equal(why);
    }

    /// No password is in what was printed, nor in any file but those that are for it.
    pub fn keeps_secrets(&self, directory: &Path, ended: &Ended) {
        let mut secrets = vec![split(&self.pair.source.root_url()).1];
        secrets.push(split(&self.pair.target.admin_url()).1);
        let own = std::fs::read_to_string(directory.join("replication.secret"));
        secrets.extend(own.ok().map(|text| text.trim().to_string()));
        for secret in secrets {
            assert!(secret.len() >= 8, "the test looks for nothing");
            assert!(!ended.text.contains(&secret), "a password was printed");
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() || name.ends_with(".password") || name == "replication.secret" {
                    continue;
                }
                let content = std::fs::read(&path).unwrap();
                let there = content.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!there, "a password stands in {}", path.display());
            }
        }
    }

    /// As if no migration had been.
    pub async fn reset(&self) {
        self.source_link.pass().await;
        self.target_link.pass().await;
        self.pair.reset().await;
    }
}

/// What a run said, and how it ended.
pub struct Ended {
    pub status: ExitStatus,
    pub text: String,
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// It ended with this code, and says all of this and a next step.
    pub fn told(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code(), Some(code), "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "{word:?} is missing:\n{}", self.text);
        }
        assert!(self.text.contains("next:"), "no next step:\n{}", self.text);
    }
}

/// daybreak at work.
pub struct Running {
    pub pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
    child: tokio::task::JoinHandle<ExitStatus>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn std::io::Read + Send> = Box::new(child.stdout.take().unwrap());
        let errors: Box<dyn std::io::Read + Send> = Box::new(child.stderr.take().unwrap());
        let readers: Vec<_> = [out, errors]
            .into_iter()
            .map(|stream| {
                let lines = lines.clone();
                std::thread::spawn(move || {
                    for line in BufReader::new(stream).split(b'\n') {
                        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
                        lines.lock().unwrap().push(line);
                    }
                })
            })
            .collect();
        let child = tokio::task::spawn_blocking(move || {
            for reader in readers {
                reader.join().unwrap();
            }
            child.wait().unwrap()
        });
        Running { pid, lines, child }
    }

    /// A run that tells its events as JSON.
    pub fn events(directory: &Path, arguments: &[&str]) -> Running {
        let mut command = daybreak(directory, arguments);
        command.arg("--json");
        Running::start(command)
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that holds all of these.
    pub async fn says(&self, words: &[&str]) {
        self.says_within(PATIENCE, words).await;
    }

    /// The same, where it may take longer.
    pub async fn says_within(&self, patience: Duration, words: &[&str]) {
        let begun = Instant::now();
        // This says more than its own limit does.
        until_within(Duration::MAX, "a line", async || {
            let ended = self.child.is_finished();
            let said = self
                .lines
                .lock()
                .unwrap()
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word)));
            assert!(said || !ended, "it ended and never said {words:?}:\n{}", self.text());
            let late = begun.elapsed() > patience;
            assert!(said || !late, "it never said {words:?}:\n{}", self.text());
            said
        })
        .await;
    }

    /// Waits until a step begins.
    pub async fn begins(&self, step: &str) {
        self.says(&["step_started", &format!("\"step\":\"{step}\"")]).await;
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: sends a signal; the process is a child that has not been waited for, or is gone.
        unsafe { libc::kill(self.pid as libc::pid_t, signal) };
    }

    pub fn is_finished(&self) -> bool {
        self.child.is_finished()
    }

    /// Waits for its end, which must come.
    pub async fn end(mut self) -> Ended {
        match tokio::time::timeout(PATIENCE, &mut self.child).await {
            Ok(status) => Ended { status: status.unwrap(), text: self.text() },
            Err(_) => {
                self.signal(libc::SIGKILL);
                panic!("it hangs:\n{}", self.text());
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.child.is_finished() {
            self.signal(libc::SIGKILL);
        }
    }
}

/// Waits until a query's first value holds.
pub async fn until(conn: &mut Conn, query: &str, wanted: impl Fn(u64) -> bool) {
    until_within(PATIENCE, query, async || {
        // A server that is away for the moment says nothing.
        let value: Option<u64> = conn.query_first(query).await.ok().flatten();
        value.is_some_and(&wanted)
    })
    .await;
}

/// Runs statements as root of a server.
pub async fn on(url: &str, statements: &[&str]) {
    let mut root = connect(url).await;
    for statement in statements {
        root.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
