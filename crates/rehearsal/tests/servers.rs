//! Real servers: they start, keep their data, and end whatever happens.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rehearsal::server::{Product, RehearsalError, Role, Server};
use support::{one, run, small, start, until};

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state ...`: what is left of a dead one until it is collected counts as gone.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn starts_and_keeps_its_data(product: Product, version: &str) {
    let began = Instant::now();
    let mut server = start(product, Role::Source).await;
    eprintln!("{product}: started in {:?}", began.elapsed());
    let mut conn = server.connect_root().await.unwrap();
    let said: String = one(&mut conn, "SELECT VERSION()").await;
    assert!(said.starts_with(version), "{said}");
    let (format, image, address): (String, String, String) =
        one(&mut conn, "SELECT @@binlog_format, @@binlog_row_image, @@bind_address").await;
    assert_eq!((&*format, &*image, &*address), ("ROW", "FULL", "127.0.0.1"));
    run(&mut conn, "CREATE DATABASE kept").await;
    run(&mut conn, "CREATE TABLE kept.t (id INT PRIMARY KEY) ENGINE=InnoDB").await;
    run(&mut conn, "INSERT INTO kept.t VALUES (7)").await;

    let (port, first) = (server.port(), server.pid());
    server.restart().await.unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), first);
    assert!(!is_running(first));
    let mut conn = server.connect_root().await.unwrap();
    assert_eq!(one::<i32>(&mut conn, "SELECT id FROM kept.t").await, 7);

    server.kill().await;
    assert!(!is_running(server.pid()));
    server.restart().await.unwrap();
    let mut conn = server.connect_root().await.unwrap();
    assert_eq!(one::<i32>(&mut conn, "SELECT id FROM kept.t").await, 7);

    let (pid, dir) = (server.pid(), server.dir().to_owned());
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let password = server.root_password().to_owned();
    assert!(
        !String::from_utf8_lossy(&arguments).contains(&password),
        "the password is in the arguments"
    );
    assert_private(&dir);
    drop(server);
    assert!(!is_running(pid));
    assert!(!dir.exists(), "the temporary directory is still there");
}

fn assert_private(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    for path in [path.to_owned(), path.join("data"), path.join("server.json")] {
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{} can be read by others: {mode:o}", path.display());
    }
}

#[tokio::test]
async fn mysql_97_starts_and_keeps_its_data() {
    // Whichever MySQL 8.0.23+ is on PATH may stand in for it.
    starts_and_keeps_its_data(Product::Mysql97, "").await;
}

#[tokio::test]
async fn mysql_56_starts_and_keeps_its_data() {
    starts_and_keeps_its_data(Product::Mysql56, "5.6.").await;
}

#[tokio::test]
async fn mariadb_1011_starts_and_keeps_its_data() {
    starts_and_keeps_its_data(Product::Mariadb1011, "10.11.").await;
}

#[tokio::test]
async fn several_servers_at_once_have_ports_and_uuids_of_their_own() {
    let starts = [(); 3].map(|()| Server::start(small(Product::Mysql97, Role::Plain)));
    let [a, b, c] = starts;
    let (a, b, c) = tokio::try_join!(a, b, c).unwrap();
    let mut uuids = Vec::new();
    for server in [&a, &b, &c] {
        let mut conn = server.connect_root().await.unwrap();
        uuids.push(one::<(String, u32)>(&mut conn, "SELECT @@server_uuid, @@server_id").await);
    }
    assert!(
        uuids[0].0 != uuids[1].0 && uuids[1].0 != uuids[2].0 && uuids[0].0 != uuids[2].0,
        "{uuids:?}"
    );
    assert!(
        uuids[0].1 != uuids[1].1 && uuids[1].1 != uuids[2].1 && uuids[0].1 != uuids[2].1,
        "{uuids:?}"
    );
}

#[tokio::test]
async fn a_kept_directory_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let options = small(Product::Mysql97, Role::AuroraStandin).dir(dir.path().join("target"));
    let server = Server::start(options.clone()).await.unwrap();
    let (root, admin, port) = (server.root_url(), server.admin_url(), server.port());
    drop(server);
    let server = Server::start(options.clone()).await.unwrap();
    assert_eq!((server.root_url(), server.admin_url(), server.port()), (root, admin, port));
    server.connect_admin().await.unwrap();
    drop(server);
    let mut other = options;
    other.role = Role::Source;
    let error = Server::start(other).await.unwrap_err();
    assert!(matches!(error, RehearsalError::Other { .. }), "{error}");
}

#[tokio::test]
async fn an_error_says_what_the_server_said() {
    let error = Server::start(small(Product::Mysql97, Role::Plain).arg("--no-such-option"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no-such-option") && text.contains("next step"), "{text}");
}

#[tokio::test]
async fn a_taken_port_is_refused_and_not_fought_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Server::start(small(Product::Mysql97, Role::Plain).port(port)).await.unwrap_err();
    assert!(matches!(error, RehearsalError::NoPort { .. }), "{error}");
}

/// Names the file into which this test, run by itself as a child, writes the pid of its server.
const HOLD: &str = "REHEARSAL_TEST_HOLD_SERVER";

#[tokio::test]
async fn a_server_ends_with_its_killed_parent() {
    if let Some(file) = std::env::var_os(HOLD) {
        let server = start(Product::Mysql97, Role::Plain).await;
        let beside = Path::new(&file).with_extension("new");
        let text = format!("{} {}", server.pid(), server.dir().display());
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        std::future::pending::<()>().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["a_server_ends_with_its_killed_parent", "--exact"])
        .env(HOLD, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the child's server runs", || async { file.exists() }).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let (pid, left) = text.split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(is_running(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the server ends with its parent", || async { !is_running(pid) }).await;
    // Nobody was left to remove it.
    std::fs::remove_dir_all(left).unwrap();
}
