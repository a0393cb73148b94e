//! A shop to migrate: seeded schema, rows, views, routines, triggers and events.
//!
//! Owns what the generated database holds. The same options give the same content, byte for byte,
//! whatever the number of threads. Refuses to write into a database that already has tables.

mod load;
mod plan;
mod rows;
mod schema;
mod values;
mod zoo;

use std::{sync::Arc, time::Instant};

use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};

pub(crate) use schema::quote_name;
pub(crate) use values::push_quoted;

/// Says which shop to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopOptions {
    /// Rows over all tables together; at least [`ShopOptions::MIN_ROWS`] are written.
    pub rows: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// The database to create and fill.
    pub database: String,
    /// Connections that load at the same time.
    pub threads: usize,
    /// Whether a MySQL 8 server gets only what MariaDB has as well: no invisible columns, no keys over
    /// expressions, no SRIDs, no collation of its own.
    pub portable: bool,
}

impl ShopOptions {
    /// The smallest shop that still has something of everything.
    pub const MIN_ROWS: u64 = 500;
}

impl Default for ShopOptions {
    fn default() -> Self {
        Self { rows: 10_000, seed: 1, database: "shop".to_owned(), threads: 2, portable: false }
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct ShopSummary {
    /// Every table with its number of rows, in the order in which they were created.
    pub tables: Vec<(String, u64)>,
    /// Rows over all tables.
    pub rows: u64,
    /// Wall-clock time.
    pub seconds: f64,
}

/// Why a shop could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// The URL is no MySQL URL; it is not repeated, as it may hold a password.
    #[error("the server's URL is not valid")]
    Url(#[source] mysql_async::UrlError),
    /// The database has tables that this generator did not create.
    #[error("database {0:?} is not empty; choose another name or drop it first")]
    NotEmpty(String),
    /// The server said no.
    #[error("{what}")]
    Server {
        /// What was being done.
        what: String,
        /// What the server or the driver answered.
        #[source]
        source: mysql_async::Error,
    },
    /// A loading task died.
    #[error("a loading task ended early")]
    Task,
}

pub(crate) fn server(what: impl Into<String>) -> impl FnOnce(mysql_async::Error) -> ShopError {
    let what = what.into();
    move |source| ShopError::Server { what, source }
}

/// Creates the database and fills it; `progress` is called with the rows done and the total.
///
/// # Errors
/// Fails if the database has tables already, or when the server refuses a statement.
pub async fn generate(
    url: &str,
    options: &ShopOptions,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Result<ShopSummary, ShopError> {
    let started = Instant::now();
    let opts = Opts::from_url(url).map_err(ShopError::Url)?;
    let base = OptsBuilder::from_opts(opts).db_name(None::<String>);
    let mut conn = Conn::new(base.clone()).await.map_err(server("connecting to the server"))?;
    let dialect = match schema::Dialect::of(&mut conn).await? {
        schema::Dialect::Modern if options.portable => schema::Dialect::Mysql57,
        dialect => dialect,
    };
    schema::create_database(&mut conn, &options.database, dialect).await?;
    let with_db = base.db_name(Some(options.database.clone()));
    conn.query_drop(format!("USE {}", quote_name(&options.database)))
        .await
        .map_err(server("selecting the database"))?;
    schema::create_tables(&mut conn, dialect).await?;

    let plan = Arc::new(plan::Plan::new(options.rows, options.seed, dialect));
    load::load_all(with_db.into(), plan.clone(), options.threads, Arc::new(progress)).await?;
    schema::create_objects(&mut conn, dialect).await?;
    conn.disconnect().await.map_err(server("closing the connection"))?;

    let tables = plan.summary();
    Ok(ShopSummary {
        rows: tables.iter().map(|(_, rows)| rows).sum(),
        tables,
        seconds: started.elapsed().as_secs_f64(),
    })
}
