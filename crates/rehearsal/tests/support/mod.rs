//! What the tests of real servers share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use mysql_async::{
    Conn,
    prelude::{FromRow, Queryable as _},
};
use rehearsal::server::{Product, Role, Server, ServerOptions};

/// Far above what anything here takes; only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn start(product: Product, role: Role) -> Server {
    Server::start(small(product, role)).await.unwrap_or_else(|error| panic!("{error}"))
}

pub fn small(product: Product, role: Role) -> ServerOptions {
    ServerOptions::new(product, role).buffer_pool_mib(32).redo_log_mib(16)
}

pub async fn one<T: FromRow + Send + 'static>(conn: &mut Conn, sql: &str) -> T {
    let row = conn.query_first(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.unwrap_or_else(|| panic!("{sql}: no row"))
}

pub async fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Returns the error number with which a statement is refused.
pub async fn refusal(conn: &mut Conn, sql: &str) -> u16 {
    match conn.query_drop(sql).await {
        Ok(()) => panic!("{sql}: was allowed"),
        Err(mysql_async::Error::Server(error)) => error.code,
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    rehearsal::watch::until_within(PATIENCE, what, condition).await;
}
