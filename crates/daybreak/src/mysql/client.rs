//! What a [`super::Session`] asks of a connection, whichever client made it.

use async_trait::async_trait;
use mysql_async::{Conn, Error, Params, Row, prelude::Queryable as _};

use super::Outcome;

/// What a client says.
pub type Said<T> = Result<T, Error>;

/// A connection by one of the clients. Answers that weren't read to their end are before the next
/// statement is sent.
#[async_trait]
pub trait Client: Send + Sync {
    /// The connection's number on the server.
    fn id(&self) -> u32;

    /// The rows of a statement, by the text protocol.
    async fn query(&mut self, sql: &[u8]) -> Said<Vec<Row>>;

    /// Runs a statement; any rows are read and dropped.
    async fn run(&mut self, sql: &[u8]) -> Said<()>;

    /// The rows of a prepared statement.
    async fn query_prepared(&mut self, sql: &str, parameters: Params) -> Said<Vec<Row>>;

    /// Runs a prepared statement; any rows are read and dropped.
    async fn run_prepared(&mut self, sql: &str, parameters: Params) -> Said<()>;

    /// What the last answer said at its end.
    fn outcome(&self) -> Outcome;

    /// Ends the connection in good order.
    async fn bye(self) -> Said<()>
    where
        Self: Sized;
}

#[async_trait]
impl Client for Conn {
    fn id(&self) -> u32 {
        Conn::id(self)
    }

    async fn query(&mut self, sql: &[u8]) -> Said<Vec<Row>> {
        mysql_async::prelude::Queryable::query(self, sql).await
    }

    async fn run(&mut self, sql: &[u8]) -> Said<()> {
        self.query_drop(sql).await
    }

    async fn query_prepared(&mut self, sql: &str, parameters: Params) -> Said<Vec<Row>> {
        self.exec(sql, parameters).await
    }

    async fn run_prepared(&mut self, sql: &str, parameters: Params) -> Said<()> {
        self.exec_drop(sql, parameters).await
    }

    fn outcome(&self) -> Outcome {
        Outcome { affected: self.affected_rows(), warnings: self.get_warnings() }
    }

    async fn bye(self) -> Said<()> {
        self.disconnect().await
    }
}
