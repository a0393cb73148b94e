//! Backups that mariadb-backup takes of a real MariaDB: a tree of full and incremental, and a stream.

use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use daybreak::transit::inspection::{BackupKind, Product as Of, Profile};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions, find_mariadb_backup};

use crate::samples::{blockers, look};

pub fn take(program: &Path, options: &Path, arguments: &[&str], stdout: Stdio) {
    let run = Command::new(program)
        .arg(format!("--defaults-file={}", options.display()))
        .args(["--backup"])
        .args(arguments)
        .stdout(stdout)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && log.trim_end().ends_with("completed OK!"), "{log}");
}

/// The tool's option file, private.
pub fn login(server: &Server, place: &Path) -> PathBuf {
    let options = place.join("options.cnf");
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(&options).unwrap();
    let text = format!(
        "[mariadb-backup]\nuser=root\npassword={}\nsocket={}\ndatadir={}\n",
        server.root_password(),
        server.socket().display(),
        server.data_dir().display()
    );
    std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    options
}

#[tokio::test]
async fn a_tree_and_a_stream_of_mariadb() {
    let program = find_mariadb_backup().unwrap().backup;
    let mut server =
        Server::start(ServerOptions::new(Product::Mariadb1011, Role::Source)).await.unwrap();
    let mut root = server.connect_root().await.unwrap();
    for statement in [
        "CREATE DATABASE shop",
        "USE shop",
        "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT)",
        "CREATE TABLE shop.small (id INT PRIMARY KEY) ROW_FORMAT=COMPRESSED",
        "CREATE TABLE shop.pages (id INT PRIMARY KEY, t TEXT) PAGE_COMPRESSED=1",
        "CREATE TABLE shop.aria (id INT PRIMARY KEY) ENGINE=Aria",
        "CREATE TABLE shop.isam (id INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE shop.parted (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
        "CREATE VIEW shop.seen AS SELECT * FROM shop.orders",
        "INSERT INTO shop.orders (t) SELECT REPEAT('x', 500) FROM seq_1_to_2000",
    ] {
        root.query_drop(statement).await.unwrap();
    }
    // So that all is in the tables' files. What is created later is in the redo log only.
    root.disconnect().await.unwrap();
    server.restart().await.unwrap();
    let mut root = server.connect_root().await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let options = login(&server, place.path());
    std::fs::create_dir(place.path().join("tree")).unwrap();
    let full = at("tree/full");
    take(&program, &options, &[&format!("--target-dir={full}")], Stdio::null());
    for statement in [
        "USE shop",
        "CREATE TABLE later (id INT PRIMARY KEY)",
        "INSERT INTO orders (t) SELECT REPEAT('y', 500) FROM seq_1_to_2000",
    ] {
        root.query_drop(statement).await.unwrap();
    }
    root.query_drop("SET GLOBAL innodb_log_checkpoint_now = 1").await.unwrap();
    let arguments =
        [format!("--target-dir={}", at("tree/inc1")), format!("--incremental-basedir={full}")];
    take(&program, &options, &[&arguments[0], &arguments[1]], Stdio::null());
    let stream = place.path().join("backup.xbstream");
    let out = std::fs::File::create(&stream).unwrap();
    let scratch = format!("--target-dir={}", at("scratch"));
    take(&program, &options, &["--stream=xbstream", &scratch], out.into());
    let end: Option<(String, u64)> = root
        .query_first("SHOW MASTER STATUS")
        .await
        .unwrap()
        .map(|row: mysql_async::Row| (row.get("File").unwrap(), row.get("Position").unwrap()));

    let found = look(&place.path().join("tree"), Profile::Any);
    assert!(found.whole && !found.partial, "{:#?}", found.findings);
    assert_eq!(blockers(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    let unknown = found.findings.iter().find(|one| one.id == "backup.unknown_file");
    assert!(unknown.is_none(), "{unknown:?}");
    let links: Vec<(&str, BackupKind)> =
        found.chain.iter().map(|link| (link.name.as_str(), link.kind)).collect();
    assert_eq!(links, [("full", BackupKind::Full), ("inc1", BackupKind::Incremental)]);
    assert_eq!(found.product, Some(Of::Mariadb));
    let mine = found.coordinates.unwrap().file.map(|at| (at.file, at.position));
    assert_eq!(mine, end);

    // Its redo log is a run of bytes; its pages have checksums of their own.
    for (file, id) in [
        ("full/ib_logfile0", "backup.file_damaged"),
        ("inc1/ib_logfile0", "backup.file_damaged"),
        ("full/shop/orders.ibd", "backup.page_damaged"),
        ("inc1/shop/orders.ibd.delta", "backup.page_damaged"),
        ("full/shop/small.ibd", "backup.page_damaged"),
        ("full/shop/isam.MYI", "backup.file_damaged"),
    ] {
        let path = place.path().join("tree").join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        match id {
            "backup.file_damaged" => _ = bytes.pop(),
            _ => bytes[20_000] ^= 1,
        }
        std::fs::write(&path, bytes).unwrap();
        let found = look(&place.path().join("tree"), Profile::Any);
        assert_eq!(blockers(&found), [id], "{file}: {:#?}", found.findings);
        std::fs::write(&path, whole).unwrap();
    }
    for files in [
        &["full/shop/orders.ibd"][..],
        &["inc1/shop/orders.ibd.delta", "inc1/shop/orders.ibd.meta"],
    ] {
        let tree = place.path().join("tree");
        let kept: Vec<_> =
            files.iter().map(|file| std::fs::read(tree.join(file)).unwrap()).collect();
        files.iter().for_each(|file| std::fs::remove_file(tree.join(file)).unwrap());
        let found = look(&tree, Profile::Any);
        assert_eq!(blockers(&found), ["backup.file_missing"], "{files:?}: {:#?}", found.findings);
        files
            .iter()
            .zip(kept)
            .for_each(|(file, bytes)| std::fs::write(tree.join(file), bytes).unwrap());
    }

    let found = look(&stream, Profile::Any);
    assert!(found.whole && !found.partial, "{:#?}", found.findings);
    assert_eq!(blockers(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    let found = look(&stream, Profile::Aurora);
    let ids = blockers(&found);
    for id in ["backup.product", "backup.row_format", "backup.page_compression"] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    root.disconnect().await.unwrap();
}
