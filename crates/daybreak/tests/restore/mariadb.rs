//! A chain of a running MariaDB, taken with the real tool, restored from a tree and from streams; then
//! what a restore leaves out.

use std::{
    collections::BTreeSet,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use daybreak::{
    mysql::{FilePosition, ServerUrl, Session, Side},
    target::{accounts, restore::settings},
};
use mysql_async::{Conn, Opts, prelude::Queryable as _};
use rehearsal::{
    cloud::cluster::Profile,
    server::{Product, Role, Server, ServerOptions, find_mariadb_backup},
};

use super::harness::Place;

async fn connect(url: &str) -> Conn {
    Conn::new(Opts::from_url(url).unwrap()).await.unwrap()
}

async fn source() -> Server {
    let options =
        ServerOptions::new(Product::Mariadb1011, Role::Source).buffer_pool_mib(32).redo_log_mib(16);
    let server = Server::start(options).await.unwrap();
    let mut root = connect(&server.root_url()).await;
    for sql in [
        "CREATE DATABASE shop",
        "USE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))",
        "INSERT INTO shop.t (v) SELECT seq FROM seq_1_to_1000",
        "CREATE VIEW shop.v AS SELECT id FROM shop.t",
        "CREATE PROCEDURE shop.p() SELECT 1",
        "CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO SET @x = 1",
        "CREATE USER 'app'@'%' IDENTIFIED BY 'App-password-1'",
        "GRANT SELECT, INSERT ON shop.* TO 'app'@'%'",
        "GRANT UPDATE (v) ON shop.t TO 'app'@'%'",
        "CREATE USER 'boss'@'localhost' IDENTIFIED BY 'Boss-password-1' ACCOUNT LOCK",
        "GRANT ALL PRIVILEGES ON *.* TO 'boss'@'localhost' WITH GRANT OPTION",
        "CREATE ROLE reader",
        "GRANT SELECT ON shop.* TO reader",
        "GRANT reader TO 'app'@'%'",
        "CREATE USER 'there'@'%' IDENTIFIED BY 'There-password-1'",
        "CREATE USER 'ed'@'%' IDENTIFIED VIA unix_socket",
    ] {
        root.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    server
}

/// Takes a backup as root; the password goes by a private file.
fn back_up(server: &Server, arguments: &[String], output: Option<&Path>) {
    let login = tempfile::tempdir().unwrap();
    let path = login.path().join("login.cnf");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(0o600).open(&path).unwrap();
    use std::io::Write as _;
    write!(
        file,
        "[client]\nuser=root\npassword=\"{}\"\nhost=127.0.0.1\nport={}\n",
        server.root_password(),
        server.port()
    )
    .unwrap();
    let output =
        output.map_or_else(Stdio::null, |path| std::fs::File::create(path).unwrap().into());
    let log = std::fs::File::create(login.path().join("log")).unwrap();
    let done = Command::new(find_mariadb_backup().unwrap().backup)
        .arg(format!("--defaults-file={}", path.display()))
        .arg("--backup")
        .arg(format!("--datadir={}", server.data_dir().display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log)
        .status()
        .unwrap();
    assert!(done.success(), "{}", std::fs::read_to_string(login.path().join("log")).unwrap());
}

fn target_dir(path: &Path) -> String {
    format!("--target-dir={}", path.display())
}

async fn sum(url: &str) -> (u64, u64) {
    let mut conn = connect(url).await;
    let rows: u64 = conn.query_first("SELECT COUNT(*) FROM shop.t").await.unwrap().unwrap();
    let (_, sum): (String, u64) = conn.query_first("CHECKSUM TABLE shop.t").await.unwrap().unwrap();
    (rows, sum)
}

async fn change(server: &Server) {
    let mut root = connect(&server.root_url()).await;
    root.query_drop("USE shop").await.unwrap();
    root.query_drop("INSERT INTO shop.t (v) SELECT CONCAT('later ', seq) FROM seq_1_to_500")
        .await
        .unwrap();
    root.query_drop("UPDATE shop.t SET v = 'changed' WHERE id % 7 = 0").await.unwrap();
}

async fn position(server: &Server) -> FilePosition {
    let mut root = connect(&server.root_url()).await;
    let row: mysql_async::Row = root.query_first("SHOW MASTER STATUS").await.unwrap().unwrap();
    FilePosition { file: row.get(0).unwrap(), position: row.get(1).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_restored_from_a_tree_and_its_accounts_follow() {
    let server = source().await;
    let mut place = Place::new(Profile::Rehearsal).await;
    let (full, inc) = (place.prefix().join("full"), place.prefix().join("inc1"));
    back_up(&server, &[target_dir(&full)], None);
    change(&server).await;
    back_up(
        &server,
        &[target_dir(&inc), format!("--incremental-basedir={}", full.display())],
        None,
    );
    let (at_end, sums) = (position(&server).await, sum(&server.root_url()).await);
    change(&server).await;

    let url = ServerUrl::parse(&server.root_url()).unwrap();
    let mut from = Session::open(&url, Side::Source).await.unwrap();
    place.wanted.backup.server_version = from.dialect().text.clone();
    place.wanted.settings = settings(
        &mut from,
        daybreak::engine::ReplicationMode::Native,
        daybreak::engine::PositionBy::File,
    )
    .await
    .unwrap();
    let restored = place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    place.restore().verify(&restored).await.unwrap();
    let root_url = place.rds.root_url("shop").await.unwrap();
    assert_eq!(sum(&root_url).await, sums);
    assert_eq!(restored.coordinates.clone().unwrap().file, Some(at_end));
    assert_eq!(place.rds.known().parameter_groups["shop-daybreak"]["binlog_format"], "ROW");

    // What a restore leaves out.
    let mut root = connect(&root_url).await;
    let left: u64 = root
        .query_first(
            "SELECT (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop') + \
             (SELECT COUNT(*) FROM information_schema.EVENTS) + \
             (SELECT COUNT(*) FROM mysql.user WHERE User IN ('app', 'boss', 'reader'))",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left, 0);

    root.query_drop("CREATE USER 'there'@'%' IDENTIFIED BY 'Another-password-1'").await.unwrap();
    let mut to = Session::open(&place.restore().url(&restored), Side::Target).await.unwrap();
    let record = |_: &BTreeSet<accounts::AccountName>| Ok(());
    let moved =
        accounts::migrate(&mut from, &mut to, BTreeSet::new(), &record, &place.events, &place.stop)
            .await
            .unwrap();
    let names: Vec<&str> = moved.made.iter().map(|name| name.user.as_str()).collect();
    assert_eq!(names, ["app", "boss", "reader"]);
    assert_eq!(moved.there.len(), 1, "{:?}", moved.there);
    let left = |what: &str| moved.left_out.iter().any(|left| left.what.contains(what));
    for what in ["SUPER ON *.*", "FILE ON *.*", "SHUTDOWN ON *.*", "account"] {
        assert!(left(what), "{what}: {:#?}", moved.left_out);
    }
    // The old password works, the locked account stays locked, nobody's password was changed.
    let login = |user: &str, password: &str| {
        let url = format!("mysql://{user}:{password}@127.0.0.1:{}/", restored.port);
        async move { Conn::new(Opts::from_url(&url).unwrap()).await }
    };
    let mut app = login("app", "App-password-1").await.unwrap();
    app.query_drop("INSERT INTO shop.t (v) VALUES ('by app')").await.unwrap();
    app.query_drop("UPDATE shop.t SET v = 'x' WHERE id = 1").await.unwrap();
    app.query_drop("DELETE FROM shop.t").await.unwrap_err();
    app.query_drop("SET ROLE reader").await.unwrap();
    login("boss", "Boss-password-1").await.unwrap_err();
    login("there", "Another-password-1").await.unwrap();
    // Again: nothing new. Back: ours go, the other stays.
    let again = accounts::migrate(
        &mut from,
        &mut to,
        moved.made.clone(),
        &record,
        &place.events,
        &place.stop,
    )
    .await
    .unwrap();
    assert_eq!((again.made.len(), again.there.len()), (3, 1));
    assert!(accounts::time_zones(&mut to).await.unwrap().is_some(), "zones are left out here");
    let story = place.story();
    for secret in ["App-password", "Boss-password", "AS '*"] {
        assert!(!story.contains(secret), "{story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_restored_and_a_cut_one_is_refused() {
    let server = source().await;
    let mut place = Place::new(Profile::Rehearsal).await;
    place.wanted.backup.server_version = "10.11.6-MariaDB".into();
    let stream: PathBuf = place.dir.path().join("stream");
    let temp = place.dir.path().join("temp");
    back_up(&server, &["--stream=xbstream".into(), target_dir(&temp)], Some(&stream));
    let sums = sum(&server.root_url()).await;
    let whole = std::fs::read(&stream).unwrap();
    let put = |bytes: &[u8]| {
        let _ = std::fs::remove_dir_all(place.prefix());
        for (number, part) in bytes.chunks(3_000_000).enumerate() {
            std::fs::write(place.prefix().join(format!("backup.xbstream{number:05}")), part)
                .unwrap();
        }
    };
    put(&whole[..whole.len() * 2 / 3]);
    let error = place.refusal().await.to_string();
    assert!(error.contains("RDS-EVENT-0076"), "{error}");
    place.restore().undo(&place.asked()).await.unwrap();
    put(&whole);
    place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    assert_eq!(sum(&place.rds.root_url("shop").await.unwrap()).await, sums);
}
