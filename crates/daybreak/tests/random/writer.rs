//! A writer that leaves no unique key alone: rows come, go, get new keys, and take over those of others.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::{collections::BTreeMap, time::Duration};

use mysql_async::{Conn, prelude::Queryable as _};
use proptest::{prelude::RngExt as _, test_runner::TestRng};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::{
    schema::{Case, Key, Table, quoted},
    types::one,
};

/// What is too large is clipped, whatever date there is goes in.
pub const SETTINGS: &str =
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'";

/// How often each unique key is changed at least, where there are rows to change.
const ENOUGH: u64 = 3;

/// How many rounds over all keys it takes at most to do so.
const ROUNDS: u64 = 60;

pub struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: JoinHandle<Vec<String>>,
}

impl Writer {
    pub fn start(url: String, cases: &[Case], mut rng: TestRng) -> Writer {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tables: Vec<Table> = cases.iter().flat_map(|case| case.tables.clone()).collect();
        let task = tokio::spawn({
            let (stop, written) = (stop.clone(), written.clone());
            async move {
                let mut conn = Conn::from_url(&url).await.unwrap();
                conn.query_drop(SETTINGS).await.unwrap();
                let mut pace = tokio::time::interval(Duration::from_millis(3));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut changed: BTreeMap<(usize, usize), u64> = BTreeMap::new();
                for round in 0.. {
                    let lacking = tables.iter().enumerate().any(|(t, table)| {
                        (0..table.all_unique().count())
                            .any(|k| changed.get(&(t, k)).is_none_or(|done| *done < ENOUGH))
                    });
                    if stop.load(Ordering::SeqCst) && (!lacking || round >= ROUNDS) {
                        break;
                    }
                    for (t, table) in tables.iter().enumerate() {
                        let keys: Vec<&Key> = table.all_unique().collect();
                        for (k, key) in keys.iter().enumerate() {
                            pace.tick().await;
                            let done = if rng.random() {
                                give_new(&mut conn, table, key, &mut rng).await
                            } else {
                                take_over(&mut conn, table, key).await
                            };
                            *changed.entry((t, k)).or_default() += done;
                            written.fetch_add(done, Ordering::SeqCst);
                        }
                        pace.tick().await;
                        let done = others(&mut conn, table, &mut rng).await;
                        written.fetch_add(done, Ordering::SeqCst);
                    }
                }
                conn.disconnect().await.unwrap();
                tables
                    .iter()
                    .enumerate()
                    .filter(|(t, table)| {
                        table.all_unique().enumerate().any(|(k, key)| {
                            table.has_room(key)
                                && changed.get(&(*t, k)).is_none_or(|done| *done == 0)
                        })
                    })
                    .map(|(_, table)| format!("{}.{}", table.database, table.name))
                    .collect()
            }
        });
        Writer { stop, written, task }
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    pub async fn has_begun(&self) {
        crate::pair::until("the writer writes", async || {
            self.written() > 10 || self.task.is_finished()
        })
        .await;
    }

    /// Ends it once it has changed each unique key. Returns the tables that have one which it could not.
    pub async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// Runs a statement and says how many rows it changed; what the server refuses changes none.
async fn affected(conn: &mut Conn, sql: &str) -> u64 {
    match conn.query_drop(sql).await {
        Ok(()) => conn.affected_rows(),
        // Equal keys, rows that others refer to, a parent that isn't there, deadlocks; and a variable
        // whose character set can't be compared with the column's; MariaDB's counter at its end.
        Err(mysql_async::Error::Server(error))
            if matches!(
                error.code,
                1062 | 1451 | 1452 | 1761 | 1205 | 1213 | 1467 | 1267 | 1271 | 167
            ) =>
        {
            0
        }
        Err(error) => panic!("{sql}: {error}"),
    }
}

fn names(table: &Table, key: &Key) -> Vec<String> {
    key.parts.iter().map(|(at, _)| quoted(&table.columns[*at].name)).collect()
}

/// A row gets another key.
async fn give_new(conn: &mut Conn, table: &Table, key: &Key, rng: &mut TestRng) -> u64 {
    let sets: Vec<String> = key
        .parts
        .iter()
        .map(|(at, _)| format!("{} = {}", quoted(&table.columns[*at].name), table.value(*at, rng)))
        .collect();
    let sql =
        format!("UPDATE {} SET {} ORDER BY RAND() LIMIT 1", table.sql_name(), sets.join(", "));
    affected(conn, &sql).await
}

/// A row goes, and another one takes its key, in one transaction: the key moves from one place of the
/// table to another.
async fn take_over(conn: &mut Conn, table: &Table, key: &Key) -> u64 {
    let (name, columns) = (table.sql_name(), names(table, key));
    let variables: Vec<String> = (0..columns.len()).map(|n| format!("@k{n}")).collect();
    let pairs = |between: &str, sign: &str| {
        let pairs: Vec<String> = columns
            .iter()
            .zip(&variables)
            .map(|(column, variable)| format!("{column} {sign} {variable}"))
            .collect();
        pairs.join(between)
    };
    affected(conn, "START TRANSACTION").await;
    // Of a key that is mostly NULL some values are to move, too.
    let nulls: Vec<String> = columns.iter().map(|column| format!("{column} IS NULL")).collect();
    let select = format!(
        "SELECT {} INTO {} FROM {name} ORDER BY {}, RAND() LIMIT 1",
        columns.join(", "),
        variables.join(", "),
        nulls.join(" OR ")
    );
    affected(conn, &select).await;
    let gone = format!("DELETE FROM {name} WHERE {} LIMIT 1", pairs(" AND ", "<=>"));
    let taken = format!("UPDATE {name} SET {} ORDER BY RAND() LIMIT 1", pairs(", ", "="));
    if affected(conn, &gone).await == 0 || affected(conn, &taken).await == 0 {
        affected(conn, "ROLLBACK").await;
        return 0;
    }
    affected(conn, "COMMIT").await;
    1
}

/// Whatever else happens to rows.
async fn others(conn: &mut Conn, table: &Table, rng: &mut TestRng) -> u64 {
    let name = table.sql_name();
    let sql = match rng.random_range(0..4) {
        0 | 1 => table.insert(rng.random_range(1..=3), rng),
        2 => format!("DELETE FROM {name} ORDER BY RAND() LIMIT 1"),
        _ => {
            let at = (0..table.columns.len()).collect::<Vec<_>>();
            let at = one(rng, &at);
            let (column, value) = (quoted(&table.columns[at].name), table.value(at, rng));
            // Where no key names a row, a replica gives rows their values in an order of its own, and may
            // meet a unique key: `replication.unique_with_null`.
            let rows = if table.names_rows() { 3 } else { 1 };
            format!("UPDATE {name} SET {column} = {value} ORDER BY RAND() LIMIT {rows}")
        }
    };
    affected(conn, &sql).await
}
