//! A MariaDB with a shop, an account with the least privileges, and a directory for its backups.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use mysql_async::prelude::Queryable as _;
use rehearsal::{
    server::{BackupPrograms, Product, Role, Server, ServerOptions, find_mariadb_backup},
    shop::{self, ShopOptions},
    writer::{WriterHandle, WriterOptions, WriterSpawn},
};
use serde_json::Value;

use crate::{across, support};

/// With what option files and shells take amiss.
pub const PASSWORD: &str = "pa\"ss\\wo#rd '1 $x;";

/// What AWS's SDK takes from the environment, and no backup tool needs.
const AWS: [&str; 3] =
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
pub const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Far above what anything here takes; only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const GRANT: &str = "GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO 'backup'@'127.0.0.1'";

pub struct Place {
    pub server: Server,
    pub tools: BackupPrograms,
    /// Where backups, scratch and login files go.
    pub home: tempfile::TempDir,
}

impl Place {
    /// Starts it; the account has its privileges.
    pub async fn start(rows: u64) -> Place {
        let options = ServerOptions::new(Product::Mariadb1011, Role::Source)
            .durable(false)
            .buffer_pool_mib(64)
            .redo_log_mib(96);
        let server = Server::start(options).await.unwrap();
        let mut root = support::connect(&server.root_url()).await;
        for statement in [
            "CREATE USER 'owner'@'%' IDENTIFIED BY 'Owner-of-the-shop-1'",
            "GRANT ALL ON shop.* TO 'owner'@'%'",
            "SET GLOBAL log_bin_trust_function_creators = 1",
            GRANT_USER,
        ] {
            root.query_drop(statement).await.unwrap();
        }
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        root.query_drop(format!("SET PASSWORD FOR 'backup'@'127.0.0.1' = PASSWORD('{password}')"))
            .await
            .unwrap();
        root.query_drop(GRANT).await.unwrap();
        let options = ShopOptions { rows, seed: 7, portable: true, ..ShopOptions::default() };
        shop::generate(&across::owner(&server), &options, |_, _| {}).await.unwrap();
        let tools = find_mariadb_backup().unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("tmp")).unwrap();
        Place { server, tools, home }
    }

    /// Where the backups are.
    pub fn backups(&self) -> PathBuf {
        self.home.path().join("backups")
    }

    /// Where login files are put.
    pub fn tmp(&self) -> PathBuf {
        self.home.path().join("tmp")
    }

    /// The program, with this place's tool and temporary directory.
    pub fn daybreak(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .env("TMPDIR", self.tmp())
            .env_remove("DAYBREAK_TARGET_PASSWORD")
            .env("DAYBREAK_SOURCE_PASSWORD", PASSWORD);
        for name in AWS {
            command.env(name, AWS_SECRET);
        }
        command
    }

    /// `backup take` with the least account.
    pub fn take(&self, arguments: &[&str]) -> Command {
        let mut command = self.daybreak(&["backup", "take"]);
        command
            .arg("--source")
            .arg(format!("mysql://backup@127.0.0.1:{}/", self.server.port()))
            .arg("--to")
            .arg(self.backups());
        if !arguments.contains(&"--program") {
            command.arg("--program").arg(&self.tools.backup);
        }
        command.args(arguments);
        command
    }

    /// Runs `backup take`, which must succeed; what it says of the backup.
    pub async fn taken(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = support::output(self.take(&all)).await;
        assert!(output.status.success(), "{}", support::said(&output));
        across::document(&output)
    }

    /// Runs `backup take`, which must end with this code; what it said.
    pub async fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = support::output(self.take(arguments)).await;
        let said = support::said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
        said
    }

    /// `backup list --json`.
    pub async fn list(&self) -> Vec<Value> {
        let mut command = self.daybreak(&["backup", "list", "--json"]);
        command.arg(self.backups());
        let output = support::output(command).await;
        across::document(&output)["backups"].as_array().unwrap().clone()
    }

    /// Has the server make a checkpoint, as it does now and then.
    pub async fn checkpoint(&self) {
        let mut root = support::connect(&self.server.root_url()).await;
        root.query_drop("SET GLOBAL innodb_log_checkpoint_now = ON").await.unwrap();
    }

    /// A writer that has begun to write.
    pub async fn writer(&self) -> WriterHandle {
        let mut options = WriterOptions::new(self.home.path().join("writer"));
        options.rate = 200.0;
        let writer = WriterHandle::spawn(WriterSpawn {
            exe: Path::new(env!("CARGO_BIN_EXE_daybreak")),
            args: &["rehearsal-writer", "--"],
            url: &across::owner(&self.server),
            options,
        })
        .unwrap();
        wrote(&writer, 50).await;
        writer
    }

    /// No file below the backups and the temporary directory holds the password.
    pub fn assert_no_secret_in_files(&self) {
        let mut open = vec![self.backups(), self.tmp()];
        let mut looked = 0;
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                assert!(!found, "the password is in {}", path.display());
                looked += 1;
            }
        }
        assert!(looked > 10, "{looked} files");
    }

    /// The login files that are there.
    pub fn logins(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.tmp()).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    }
}

const GRANT_USER: &str = "CREATE USER 'backup'@'127.0.0.1'";

/// Waits until the writer has committed so much more.
pub async fn wrote(writer: &WriterHandle, more: u64) {
    let before = writer.status().map_or(0, |status| status.committed);
    writer
        .wait_until("commits", PATIENCE, move |status| status.committed >= before + more)
        .await
        .unwrap();
}

/// A program that is at work, killed when the test ends.
pub struct AtWork(pub Child);

impl AtWork {
    pub fn start(mut command: Command) -> AtWork {
        AtWork(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The processes that it started itself.
    pub fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id()));
        let mut children = Vec::new();
        for task in tasks.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.extend(text.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        children
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        signal_to(self.0.id(), signal);
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Output {
        let taken = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        tokio::task::spawn_blocking(move || taken.wait_with_output().unwrap()).await.unwrap()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

pub fn signal_to(process: u32, signal: i32) {
    // SAFETY: kill takes any number and changes no memory; the process is one that this test started.
    assert_eq!(unsafe { libc::kill(process.try_into().unwrap(), signal) }, 0);
}

/// Whether a process runs; a dead one that nobody has collected doesn't.
pub fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Starts a server on a prepared backup's files; its accounts are those of the source.
pub async fn serve(prepared: &Path, source: &Server, home: &Path) -> Server {
    let options = ServerOptions::new(Product::Mariadb1011, Role::Plain)
        .durable(false)
        .buffer_pool_mib(64)
        .redo_log_mib(96)
        .dir(home);
    drop(Server::start(options.clone()).await.unwrap());
    std::fs::remove_dir_all(home.join("data")).unwrap();
    std::fs::rename(prepared, home.join("data")).unwrap();
    let state = home.join("server.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    known["root_password"] = source.root_password().into();
    std::fs::write(&state, serde_json::to_vec(&known).unwrap()).unwrap();
    Server::start(options).await.unwrap()
}
