//! Whole migrations by `daybreak rehearse` under a writer that never stops: with GTID, by file and
//! position, and with accepted downtime. Each proves by content that every acknowledged commit is on
//! the target. And afterwards: no password anywhere it shouldn't be.

mod support;

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mysql_async::prelude::Queryable as _;
use rehearsal::server::Server;
use support::{Pair, connect, daybreak, output, said, split};
use tokio::task::JoinHandle;

async fn rehearse(arguments: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command
        .args(["rehearse", "--rows", "12000", "--rate", "150", "--dir"])
        .arg(directory.path())
        .args(arguments)
        .stdin(std::process::Stdio::null());
    let run = output(command).await;
    assert!(run.status.success(), "{}", said(&run));
    let report = std::fs::read_to_string(directory.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let rehearsal = &report["extra"]["rehearsal"];
    assert_eq!(rehearsal["all_on_target"], true, "{rehearsal}");
    assert_eq!(rehearsal["source_closed"], true, "{rehearsal}");
    assert!(rehearsal["acknowledged_commits"].as_u64().unwrap() > 500, "{rehearsal}");
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("order_lines"), "the report names no table");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_with_gtid() {
    rehearse(&["--position", "gtid"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_by_file_and_position() {
    rehearse(&["--position", "file"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_accepted_downtime() {
    rehearse(&["--downtime"]).await;
}

/// Every place under a directory where a text stands, with whether others may read it.
fn places(directory: &Path, text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(places(&path, text));
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        if content.windows(text.len()).any(|window| window == text.as_bytes()) {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            found.push((path.display().to_string(), mode & 0o077 != 0));
        }
    }
    found
}

/// Whether a text stands in the arguments of any process.
fn in_process_list(text: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

/// Has a server write down every statement in all the ways it knows, and gathers what its process list
/// shows until the end is asked for.
async fn watch(server: &Server, end: Arc<AtomicBool>) -> JoinHandle<BTreeSet<String>> {
    let mut root = connect(&server.root_url()).await;
    for statement in [
        "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME LIKE 'events_statements%'",
        "SET GLOBAL general_log = ON",
        "SET GLOBAL long_query_time = 0",
        "SET GLOBAL slow_query_log = ON",
    ] {
        root.query_drop(statement).await.unwrap();
    }
    tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while !end.load(Ordering::SeqCst) {
            for table in ["information_schema.PROCESSLIST", "performance_schema.processlist"] {
                let sql = format!("SELECT INFO FROM {table} WHERE INFO IS NOT NULL");
                seen.extend(root.query::<String, _>(sql).await.unwrap());
            }
        }
        for sql in [
            "SELECT SQL_TEXT FROM performance_schema.events_statements_history_long WHERE SQL_TEXT IS NOT NULL",
            "SELECT DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST_TEXT IS NOT NULL",
            "SELECT SQL_TEXT FROM performance_schema.prepared_statements_instances",
            "SELECT CONVERT(VARIABLE_VALUE USING utf8mb4) FROM performance_schema.user_variables_by_thread \
             WHERE VARIABLE_VALUE IS NOT NULL",
        ] {
            seen.extend(root.query::<String, _>(sql).await.unwrap());
        }
        seen
    })
}

/// Where a server's own text logs show a text: general log, slow log, error log.
fn server_logs(server: &Server, text: &str) -> Vec<String> {
    let logs: Vec<_> = std::fs::read_dir(server.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .chain([server.error_log()])
        .collect();
    assert!(logs.len() >= 3, "{logs:?}");
    logs.iter()
        .flat_map(|path| {
            let content = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            let lines: Vec<String> =
                content.lines().filter(|line| line.contains(text)).map(str::to_string).collect();
            lines
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_where_it_should_not_be() {
    let pair = Pair::start(true, 500).await;
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (pair.source.root_url(), pair.target.admin_url());
    let passwords = [split(&source).1, split(&target).1];
    let end = Arc::new(AtomicBool::new(false));
    let watches = [watch(&pair.source, end.clone()).await, watch(&pair.target, end.clone()).await];

    // The worst way: passwords in URLs on the command line, and the most talkative log.
    let mut command =
        daybreak(directory.path(), &["run", "--until", "replicate", "--log-level", "trace"]);
    command.arg(format!("--source={source}")).arg("--target").arg(&target);
    command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id();
    let running = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    // The program blanks its arguments before it connects: once its journal is there, it has.
    let mut looked = 0;
    while !running.is_finished() {
        if directory.path().join("journal.db").exists()
            && Path::new(&format!("/proc/{id}")).exists()
        {
            looked += 1;
            for password in &passwords {
                assert!(!in_process_list(password), "a password is in the process list");
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(looked > 0);
    let run = running.await.unwrap();
    assert!(run.status.success(), "{}", said(&run));
    assert!(said(&run).contains("blanked in the process list"), "{}", said(&run));

    let mut resume = daybreak(directory.path(), &["resume", "--yes", "--log-level", "trace"]);
    resume
        .env("DAYBREAK_SOURCE_PASSWORD", &passwords[0])
        .env("DAYBREAK_TARGET_PASSWORD", &passwords[1]);
    let secret = std::fs::read_to_string(directory.path().join("replication.secret")).unwrap();
    let resume = output(resume).await;
    assert!(resume.status.success(), "{}", said(&resume));

    let mut all: Vec<String> = passwords.to_vec();
    all.push(secret.trim().to_string());
    end.store(true, Ordering::SeqCst);
    for (watch, server) in watches.into_iter().zip([&pair.source, &pair.target]) {
        let statements = watch.await.unwrap();
        assert!(statements.len() > 100, "{}", statements.len());
        for password in &all {
            let shown: Vec<_> = statements.iter().filter(|text| text.contains(password)).collect();
            assert!(shown.is_empty(), "a server shows a password: {shown:#?}");
            let logged = server_logs(server, password);
            assert!(logged.is_empty(), "a server logs a password: {logged:#?}");
        }
    }
    for password in &all {
        assert!(password.len() >= 8, "the test looks for nothing");
        assert!(!said(&run).contains(password) && !said(&resume).contains(password));
        let found = places(directory.path(), password);
        // The replication account's own file is the one place for its password.
        let wrong: Vec<_> = found
            .iter()
            .filter(|(path, public)| *public || !path.ends_with("replication.secret"))
            .collect();
        assert!(wrong.is_empty(), "a password stands in {wrong:?}");
    }
    for file in ["report.json", "report.html", "daybreak.log", "journal.db"] {
        assert!(directory.path().join(file).exists(), "{file} isn't there to be looked at");
    }
}
