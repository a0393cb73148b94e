//! A cluster restored from data of MySQL 8.0 and later: by Aurora's rules, with the programs that are named, and
//! able to follow the server that the data are of. The backup calls the newest server's data those of an 8.0,
//! since no server of that age is at hand.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use mysql_async::Conn;
use rehearsal::cloud::cluster::{self, Engine, Order, Profile, Programs};
use rehearsal::server::{BackupPrograms, Product, Role, Server, ServerOptions, find};
use support::{one, run, until};

/// Where things are.
fn order(place: &Path) -> Order {
    let server = find(Product::Mysql97).unwrap();
    // Already prepared: the tool isn't asked.
    let tools = BackupPrograms { backup: place.join("xtrabackup"), stream: None };
    Order {
        bucket: place.join("bucket"),
        prefix: "full/".into(),
        profile: Profile::Aurora,
        engine: Engine::read(
            "8.0.mysql_aurora.3.12.0",
            "Aurora MySQL 3.12.0 (compatible with MySQL 8.0.44)",
        ),
        programs: Some(Programs { server, tools }),
        dir: place.join("cluster"),
        parameters: BTreeMap::new(),
        master_user: "dba".into(),
        master_password: "Pass-word-1".into(),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if name != "auto.cnf" && !name.starts_with("binlog.") && !name.ends_with(".pem") {
            std::fs::copy(path, to.join(name)).unwrap();
        }
    }
}

async fn with_gtids() -> (Server, Conn) {
    let wish = ServerOptions::new(Product::Mysql97, Role::Source).gtid(true);
    let source = Server::start(wish.buffer_pool_mib(64).redo_log_mib(64)).await.unwrap();
    let mut root = source.connect_root().await.unwrap();
    for statement in [
        "CREATE USER 'replica'@'%' IDENTIFIED WITH caching_sha2_password BY 'Pass-word-2'",
        "GRANT REPLICATION SLAVE ON *.* TO 'replica'@'%'",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY)",
        "CREATE FUNCTION shop.f() RETURNS INT DETERMINISTIC RETURN 1",
        "INSERT INTO shop.t VALUES (1)",
    ] {
        run(&mut root, statement).await;
    }
    (source, root)
}

#[tokio::test]
async fn it_is_restored_from_mysql_8_and_follows_a_source_with_gtids() {
    let place = tempfile::tempdir().unwrap();
    let (mut source, mut root) = with_gtids().await;
    let (file, position): (String, u64) = one(
        &mut root,
        "SELECT LOCAL->>'$.binary_log_file', CAST(LOCAL->>'$.binary_log_position' AS UNSIGNED) \
         FROM performance_schema.log_status",
    )
    .await;
    drop(root);
    source.stop().await;
    let backup = place.path().join("bucket/full");
    copy(source.data_dir(), &backup);
    for (name, text) in [
        (
            "xtrabackup_checkpoints",
            "backup_type = full-prepared\nfrom_lsn = 0\nto_lsn = 9\nlast_lsn = 9\n".to_owned(),
        ),
        ("xtrabackup_info", "server_version = 8.0.44\ntool_version = 8.0.44-35\n".to_owned()),
        ("xtrabackup_binlog_info", format!("{file}\t{position}\n")),
        ("backup-my.cnf", "innodb_data_file_path=ibdata1:12M:autoextend\n".to_owned()),
    ] {
        std::fs::write(backup.join(name), text).unwrap();
    }
    source.restart().await.unwrap();

    let order = order(place.path());
    std::fs::create_dir(&order.dir).unwrap();
    let prepared = cluster::prepare(&order).unwrap();
    assert_eq!(prepared.remarks, Vec::<String>::new());
    assert_eq!(prepared.position, Some((file.clone(), position)));
    let cluster = cluster::start(prepared, &order).await.unwrap();
    assert_eq!(cluster.binaries().mysqld, find(Product::Mysql97).unwrap().mysqld);

    // What a restore leaves out is left out.
    let mut conn = cluster.connect_root().await.unwrap();
    let kept = "SELECT COUNT(*) FROM mysql.user WHERE User = 'replica'";
    assert_eq!(one::<u64>(&mut conn, kept).await, 0);
    let routines = "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop'";
    assert_eq!(one::<u64>(&mut conn, routines).await, 0);

    let mut admin = cluster.connect_admin().await.unwrap();
    let port = source.port();
    run(
        &mut admin,
        &format!(
            "CALL mysql.rds_set_external_source('127.0.0.1', {port}, 'replica', 'Pass-word-2', '{file}', {position}, 0)"
        ),
    )
    .await;
    run(&mut admin, "CALL mysql.rds_start_replication()").await;
    let mut root = source.connect_root().await.unwrap();
    run(&mut root, "INSERT INTO shop.t VALUES (2)").await;
    until("the row is on the cluster", async || {
        one::<u64>(&mut conn, "SELECT COUNT(*) FROM shop.t").await == 2
    })
    .await;
}
