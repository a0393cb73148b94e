//! Brings the generated rows into the server.
//!
//! Owns connections, statements and transactions; a thread writes SQL text while its connection
//! sends the text before it. Largest table first, each table in key order on one connection.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use mysql_async::{Conn, Opts, prelude::Queryable};
use tokio::sync::mpsc;

use super::{
    ShopError,
    plan::{Plan, TableRows},
    server,
    values::RowText,
};

type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Bytes of one INSERT statement.
const STATEMENT_BYTES: usize = 1 << 20;
/// Statements in one transaction.
const STATEMENTS_A_COMMIT: usize = 16;
/// Rows that share one random generator; it decides the content, so it never changes.
const ROWS_A_SEED: u64 = 256;

const SESSION: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO'",
    "SET SESSION unique_checks = 0, foreign_key_checks = 0",
    "SET SESSION autocommit = 0",
];

pub(super) async fn load_all(
    opts: Opts,
    plan: Arc<Plan>,
    threads: usize,
    progress: Progress,
) -> Result<(), ShopError> {
    let mut queue = plan.tables();
    queue.sort_by_key(|table| table.rows);
    let queue = Arc::new(Mutex::new(queue));
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..threads.max(1) {
        let (opts, plan, queue) = (opts.clone(), plan.clone(), queue.clone());
        let (done, progress) = (done.clone(), progress.clone());
        tasks.spawn(async move {
            let mut conn = Conn::new(opts).await.map_err(server("connecting to load rows"))?;
            for statement in SESSION {
                conn.query_drop(*statement).await.map_err(server(*statement))?;
            }
            loop {
                let next = queue.lock().map_err(|_| ShopError::Task)?.pop();
                let Some(table) = next else { break };
                load_table(&mut conn, plan.clone(), table, &done, &progress).await?;
            }
            conn.disconnect().await.map_err(server("disconnecting"))
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|_| ShopError::Task)??;
    }
    Ok(())
}

async fn load_table(
    conn: &mut Conn,
    plan: Arc<Plan>,
    table: TableRows,
    done: &AtomicU64,
    progress: &Progress,
) -> Result<(), ShopError> {
    let (sender, mut statements) = mpsc::channel::<(String, u64)>(2);
    let total = plan.total();
    let name = table.name;
    let writer = tokio::task::spawn_blocking(move || write_statements(&plan, table, &sender));
    let mut open = 0;
    while let Some((statement, rows)) = statements.recv().await {
        conn.query_drop(statement).await.map_err(server(format!("loading {name}")))?;
        open += 1;
        if open == STATEMENTS_A_COMMIT {
            conn.query_drop("COMMIT")
                .await
                .map_err(server(format!("committing rows of {name}")))?;
            open = 0;
        }
        progress(done.fetch_add(rows, Ordering::Relaxed) + rows, total);
    }
    conn.query_drop("COMMIT").await.map_err(server(format!("committing rows of {name}")))?;
    writer.await.map_err(|_| ShopError::Task)
}

/// Runs on a thread of its own; ends early once nobody listens.
fn write_statements(plan: &Plan, table: TableRows, sender: &mpsc::Sender<(String, u64)>) {
    let head = plan.insert_head(&table);
    let mut text = RowText::new(&head);
    let mut rng = plan.random(table.number, 0);
    for index in 0..table.rows {
        if index % ROWS_A_SEED == 0 {
            rng = plan.random(table.number, index / ROWS_A_SEED);
        }
        text.begin_row();
        (table.write)(plan, index, &mut rng, &mut text);
        text.end_row();
        if text.len() >= STATEMENT_BYTES {
            let full = std::mem::replace(&mut text, RowText::new(&head));
            if sender.blocking_send(full.finish()).is_err() {
                return;
            }
        }
    }
    if text.rows() > 0 {
        // Nobody listening means that the connection failed, which is reported by its own side.
        let _ = sender.blocking_send(text.finish());
    }
}
