//! The load writer against a real server that dies, and the check that must find every loss.

use std::{path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use mysql_async::prelude::Queryable;
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{ShopOptions, generate},
    writer::{
        CheckReport, FindingKind, WriterHandle, WriterOptions, WriterSpawn, check, control_path,
    },
};

/// Far above what anything here takes; only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The example beside this test; built if a run of this test alone left it out.
fn writer_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let test = std::env::current_exe().expect("has a path");
            let profile = test.parent().and_then(|deps| deps.parent()).expect("lies in target");
            let program = profile.join("examples/shop-writer");
            let built = |path| std::fs::metadata(path).and_then(|data| data.modified());
            let test_built = built(&test).expect("runs");
            // It may never have been built.
            if built(&program).map_or(true, |program_built| program_built < test_built) {
                let mut cargo = Command::new(env!("CARGO"));
                cargo.args(["build", "--quiet", "-p", "rehearsal", "--example", "shop-writer"]);
                cargo.env("CARGO_TARGET_DIR", profile.parent().expect("lies in target"));
                if profile.ends_with("release") {
                    cargo.arg("--release");
                }
                assert!(cargo.status().expect("cargo runs").success());
            }
            program
        })
        .clone()
}

async fn server_with_shop() -> Server {
    server_of(Product::Mysql97).await
}

async fn server_of(product: Product) -> Server {
    let options = ServerOptions::new(product, Role::Source).buffer_pool_mib(64);
    let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    let options = ShopOptions { rows: 2000, ..ShopOptions::default() };
    generate(&server.root_url(), &options, |_, _| {}).await.expect("generates");
    server
}

fn spawn(server: &Server, dir: &std::path::Path, rate: f64) -> WriterHandle {
    let mut options = WriterOptions::new(dir);
    options.rate = rate;
    options.seed = 42;
    eprintln!("the writer's seed is {}", options.seed);
    WriterHandle::spawn(WriterSpawn {
        exe: &writer_program(),
        args: &[],
        url: &server.root_url(),
        options,
    })
    .expect("starts")
}

async fn commits(writer: &WriterHandle, more: u64) -> u64 {
    let now = writer.wait_until("starting", PATIENCE, |_| true).await.expect("starts").committed;
    writer
        .wait_until("committing", PATIENCE, |status| status.committed >= now + more)
        .await
        .expect("commits")
        .committed
}

async fn checked(server: &Server, writer: &WriterHandle) -> CheckReport {
    check(&server.root_url(), &writer.ledger()).await.expect("can be checked")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_and_what_is_wrong_is_found() {
    let server = server_with_shop().await;
    let dir = tempfile::tempdir().expect("a directory");
    let writer = spawn(&server, dir.path(), 0.0);
    commits(&writer, 2000).await;

    writer.pause().expect("pauses");
    let paused =
        writer.wait_until("pausing", PATIENCE, |status| status.paused).await.expect("pauses");
    writer.mark_gap().expect("marks");
    writer.unpause().expect("goes on");
    commits(&writer, 10).await;
    let status = writer.stop().await.expect("stops in good order");
    assert!(status.committed >= paused.committed + 10);
    assert_eq!(status.gap_mark, 1);
    assert!(status.errors.keys().all(|number| [1213, 1205].contains(number)), "{status:?}");
    assert!(!writer.is_running());

    let report = checked(&server, &writer).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.acknowledged, status.committed);
    assert_eq!(report.in_doubt, []);
    assert!(report.keyless_rows > 100 && report.rows_checked > 2000, "{report}");

    // No password where others can read it.
    let opts = mysql_async::Opts::from_url(&server.root_url()).expect("is a URL");
    let password = opts.pass().unwrap_or_default();
    assert!(!password.is_empty());
    for name in ["ledger.jsonl", "status.json", "writer.log"] {
        let text = std::fs::read_to_string(dir.path().join(name)).expect("is there");
        assert!(!text.contains(password), "{name} holds the password");
    }
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(control_path(dir.path())).expect("is there"),
    );
    assert_eq!(mode & 0o777, 0o600);

    let mut conn = server.connect_root().await.expect("connects");
    for statement in [
        "USE shop",
        "DELETE FROM events_log WHERE id > 1000000000 ORDER BY id LIMIT 1",
        "UPDATE orders SET note = 'changed' WHERE id > 1000000000 ORDER BY id LIMIT 1",
        "INSERT INTO page_views SELECT * FROM page_views WHERE tag IS NOT NULL LIMIT 1",
        "INSERT INTO events_log (id, happened_on, kind) VALUES (2000000000, '2024-01-01', 'stray')",
        "DELETE FROM price_log WHERE version > 1 ORDER BY version DESC LIMIT 1",
        "DELETE FROM writer_commits WHERE worker = 1 AND seq = 1",
    ] {
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let report = checked(&server, &writer).await;
    eprintln!("{report}");
    assert_eq!(report.count(FindingKind::Missing), 2, "{report}");
    assert_eq!(report.count(FindingKind::Different), 1, "{report}");
    assert_eq!(report.count(FindingKind::Doubled), 1, "{report}");
    assert_eq!(report.count(FindingKind::Unexpected), 1, "{report}");
    assert_eq!(report.count(FindingKind::LostCommit), 1, "{report}");
    assert!(
        report.findings.iter().any(|f| f.table == "page_views" && f.kind == FindingKind::Doubled)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let mut server = server_with_shop().await;
    let dir = tempfile::tempdir().expect("a directory");
    let writer = spawn(&server, dir.path(), 0.0);
    for _ in 0..3 {
        commits(&writer, 200).await;
        server.kill().await;
        writer
            .wait_until("noticing", PATIENCE, |status| {
                status.current_gap_ms > 100.0 && status.errors.contains_key(&0)
            })
            .await
            .expect("goes on trying");
        server.restart().await.unwrap_or_else(|error| panic!("{error}"));
    }
    commits(&writer, 200).await;
    let status = writer.stop().await.expect("stops");
    assert!(status.longest_gap_ms > 100.0 && status.longest_gap_at > 0, "{status:?}");
    let report = checked(&server, &writer).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.in_doubt, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_goes_on_with_its_ledger() {
    let server = server_with_shop().await;
    let dir = tempfile::tempdir().expect("a directory");
    for _ in 0..4 {
        let writer = spawn(&server, dir.path(), 0.0);
        commits(&writer, 150).await;
        writer.kill().await;
        let mut conn = server.connect_root().await.expect("connects");
        // The server may still be busy with the dead writer's last words.
        let started = std::time::Instant::now();
        loop {
            let others: Option<u64> = conn
                .query_first(
                    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = 'shop'",
                )
                .await
                .expect("counts");
            if others == Some(0) {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "connections of the dead writer stay");
        }
        let report = checked(&server, &writer).await;
        assert!(report.is_ok(), "{report}");
        eprintln!("{report}");
    }
    let writer = spawn(&server, dir.path(), 0.0);
    commits(&writer, 50).await;
    writer.stop().await.expect("stops");
    let report = checked(&server, &writer).await;
    assert!(report.is_ok() && report.in_doubt.is_empty(), "{report}");
    assert!(report.acknowledged >= 650, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_is_waited_for_and_another_url_is_followed() {
    let server = server_with_shop().await;
    let dir = tempfile::tempdir().expect("a directory");
    let writer = spawn(&server, dir.path(), 300.0);
    commits(&writer, 100).await;
    let mut conn = server.connect_root().await.expect("connects");
    conn.query_drop("SET GLOBAL super_read_only = ON").await.expect("closes");
    let closed = writer
        .wait_until("being refused", PATIENCE, |status| status.errors.contains_key(&1290))
        .await
        .expect("is refused");
    assert!(closed.last_error.is_some());
    conn.query_drop("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF")
        .await
        .expect("opens");
    commits(&writer, 100).await;
    // The same server by another name is another endpoint.
    let url = server.root_url().replace("127.0.0.1", "localhost");
    writer.set_url(&url).expect("is told");
    let moved = writer
        .wait_until("moving", PATIENCE, |status| status.by_endpoint.len() == 2)
        .await
        .expect("moves");
    assert!(moved.endpoint.starts_with("localhost:"), "{moved:?}");
    writer.stop().await.expect("stops");
    let report = checked(&server, &writer).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_servers_are_written_to_as_well() {
    for product in [Product::Mysql56, Product::Mariadb1011] {
        if rehearsal::server::find(product).is_err() {
            eprintln!("{product} is not here: skipped");
            continue;
        }
        let server = server_of(product).await;
        let dir = tempfile::tempdir().expect("a directory");
        let writer = spawn(&server, dir.path(), 0.0);
        commits(&writer, 500).await;
        writer.stop().await.expect("stops");
        let report = checked(&server, &writer).await;
        assert!(report.is_ok(), "{product}: {report}");
        eprintln!("{product}: {report}");
    }
}
