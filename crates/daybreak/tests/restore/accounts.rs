//! Accounts between MySQL servers: the target is the Aurora stand-in, whose master account is denied
//! what Aurora denies.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use daybreak::{
    engine::StopSignal,
    event::Events,
    mysql::{ServerUrl, Session, Side},
    target::accounts::{self, AccountName},
};
use mysql_async::{Conn, Opts, prelude::Queryable as _};
use rehearsal::server::{Product, Role, Server, ServerOptions};

async fn server(role: Role) -> Server {
    let options = ServerOptions::new(Product::Mysql97, role).buffer_pool_mib(32).redo_log_mib(16);
    Server::start(options).await.unwrap()
}

async fn log_in(port: u16, user: &str, password: &str) -> Result<Conn, mysql_async::Error> {
    let url = format!("mysql://{user}:{password}@127.0.0.1:{port}/");
    Conn::new(Opts::from_url(&url).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_travel_with_their_passwords() {
    let (source, target) = (server(Role::Source).await, server(Role::AuroraStandin).await);
    let mut root = source.connect_root().await.unwrap();
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)",
        "CREATE USER 'app'@'%' IDENTIFIED BY 'App-password-1' WITH MAX_USER_CONNECTIONS 7",
        "GRANT SELECT, INSERT, UPDATE (v) ON shop.t TO 'app'@'%'",
        "CREATE ROLE 'reader'",
        "GRANT SELECT ON shop.* TO 'reader'",
        "GRANT 'reader' TO 'app'@'%'",
        "SET DEFAULT ROLE 'reader' TO 'app'@'%'",
        "CREATE USER 'boss'@'%' IDENTIFIED BY 'Boss-password-1'",
        "GRANT ALL PRIVILEGES ON *.* TO 'boss'@'%' WITH GRANT OPTION",
        "CREATE USER 'locked'@'%' IDENTIFIED BY 'Locked-password-1' ACCOUNT LOCK",
        "CREATE USER 'it''s'@'10.0.%' IDENTIFIED BY 'Its-password-1'",
        "CREATE USER 'admin'@'%' IDENTIFIED BY 'Not-this-one-1'",
        "CREATE USER ''@'localhost'",
    ] {
        root.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut to_root = target.connect_root().await.unwrap();
    to_root.query_drop("CREATE DATABASE shop").await.unwrap();
    to_root.query_drop("CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)").await.unwrap();
    let (from, to) = (source.root_url(), target.admin_url());
    let mut from = Session::open(&ServerUrl::parse(&from).unwrap(), Side::Source).await.unwrap();
    let mut to = Session::open(&ServerUrl::parse(&to).unwrap(), Side::Target).await.unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let seen = recorded.clone();
    let record = move |made: &BTreeSet<AccountName>| {
        seen.lock().unwrap().push(made.clone());
        Ok(())
    };
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let moved = accounts::migrate(&mut from, &mut to, BTreeSet::new(), &record, &events, &stop)
        .await
        .unwrap();
    let names: Vec<&str> = moved.made.iter().map(|name| name.user.as_str()).collect();
    assert_eq!(names, ["app", "boss", "it's", "locked", "reader"]);
    assert_eq!(recorded.lock().unwrap().len(), names.len(), "each is written down before");
    assert!(moved.there.iter().any(|name| name.user == "admin"));

    let mut app = log_in(target.port(), "app", "App-password-1").await.unwrap();
    app.query_drop("INSERT INTO shop.t VALUES (1, 1)").await.unwrap();
    app.query_drop("UPDATE shop.t SET v = 2 WHERE id = 1").await.unwrap();
    app.query_drop("DELETE FROM shop.t").await.unwrap_err();
    let role: String = app.query_first("SELECT CURRENT_ROLE()").await.unwrap().unwrap();
    assert_eq!(role, "`reader`@`%`");
    let mut boss = log_in(target.port(), "boss", "Boss-password-1").await.unwrap();
    boss.query_drop("SET GLOBAL max_connections = 100").await.unwrap_err();
    boss.query_drop("CREATE DATABASE of_boss").await.unwrap();
    log_in(target.port(), "locked", "Locked-password-1").await.unwrap_err();
    log_in(target.port(), "admin", "Not-this-one-1").await.unwrap_err();

    let left: Vec<String> =
        moved.left_out.iter().map(|left| format!("{} {}", left.account, left.what)).collect();
    for what in
        ["SUPER ON *.*", "FILE ON *.*", "SYSTEM_VARIABLES_ADMIN ON *.*", "BACKUP_ADMIN ON *.*"]
    {
        assert!(left.contains(&format!("'boss'@'%' {what}")), "{what}: {left:#?}");
    }
    assert!(left.contains(&"''@'localhost' account".into()), "{left:#?}");
    let text = serde_json::to_string(&moved).unwrap();
    assert!(!text.contains("$A$") && !text.contains("password-1"), "{text}");

    // Killed in between and run again: the same, and nothing of it counts as somebody else's.
    let again = accounts::migrate(&mut from, &mut to, moved.made.clone(), &record, &events, &stop)
        .await
        .unwrap();
    assert_eq!((again.made.clone(), again.there.clone()), (moved.made.clone(), moved.there));
    accounts::undo(&mut to, &moved.made).await.unwrap();
    accounts::undo(&mut to, &moved.made).await.unwrap();
    let users: Vec<String> = to_root
        .query("SELECT User FROM mysql.user WHERE User IN ('app', 'boss', 'locked', 'reader', 'admin')")
        .await
        .unwrap();
    assert_eq!(users, ["admin"]);
}
