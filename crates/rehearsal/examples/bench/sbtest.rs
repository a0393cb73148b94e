//! Fills `sbtest1` and `sbtest2` as sysbench's `oltp_*` scripts do: same columns, same index, same kind
//! of content (digits in groups of eleven, `k` anywhere in the table). Unlike sysbench it is seeded, so
//! that every run measures the same rows, and `k` is spread evenly.

use std::fmt::Write as _;

use mysql_async::{Conn, prelude::Queryable};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;

use super::Failure;

/// The database.
pub const DATABASE: &str = "sbtest";
/// Its tables.
pub const TABLES: [&str; 2] = ["sbtest1", "sbtest2"];

const STATEMENT_BYTES: usize = 1 << 20;
const STATEMENTS_A_COMMIT: usize = 16;

/// Makes one table and its rows, on a connection of its own.
pub async fn fill(mut conn: Conn, number: usize, rows: u64) -> Result<(), Failure> {
    let name = format!("`{DATABASE}`.`{}`", TABLES[number]);
    conn.query_drop("SET SESSION sql_log_bin = 0, unique_checks = 0, autocommit = 0").await?;
    conn.query_drop(format!(
        "CREATE TABLE {name} (
           id INTEGER NOT NULL AUTO_INCREMENT,
           k INTEGER DEFAULT '0' NOT NULL,
           c CHAR(120) DEFAULT '' NOT NULL,
           pad CHAR(60) DEFAULT '' NOT NULL,
           PRIMARY KEY (id)
         ) ENGINE = InnoDB"
    ))
    .await?;
    // A thread writes the next statement while the server takes this one.
    let (sender, mut statements) = mpsc::channel::<String>(2);
    let head = format!("INSERT INTO {name} (k, c, pad) VALUES ");
    let writer = tokio::task::spawn_blocking(move || {
        let mut rng = StdRng::seed_from_u64(1 + number as u64);
        let mut text = head.clone();
        for row in 0..rows {
            if text.len() > head.len() {
                text.push(',');
            }
            write_row(&mut rng, rows, &mut text);
            if text.len() >= STATEMENT_BYTES || row + 1 == rows {
                // Nobody listens when the connection has failed, which its own side reports.
                if sender.blocking_send(std::mem::replace(&mut text, head.clone())).is_err() {
                    return;
                }
            }
        }
    });
    let mut open = 0;
    while let Some(statement) = statements.recv().await {
        conn.query_drop(statement).await?;
        open += 1;
        if open % STATEMENTS_A_COMMIT == 0 {
            conn.query_drop("COMMIT").await?;
        }
    }
    conn.query_drop("COMMIT").await?;
    writer.await?;
    conn.query_drop(format!("CREATE INDEX k_{} ON {name} (k)", number + 1)).await?;
    conn.query_drop(format!("ANALYZE TABLE {name}")).await?;
    conn.disconnect().await?;
    Ok(())
}

fn write_row(rng: &mut StdRng, rows: u64, text: &mut String) {
    // Writing to a String can't fail.
    _ = write!(text, "({},'", rng.random_range(1..=rows));
    write_groups(rng, 10, text);
    text.push_str("','");
    write_groups(rng, 5, text);
    text.push_str("')");
}

fn write_groups(rng: &mut StdRng, groups: usize, text: &mut String) {
    for group in 0..groups {
        if group > 0 {
            text.push('-');
        }
        _ = write!(text, "{:011}", rng.random_range(0..100_000_000_000_u64));
    }
}
