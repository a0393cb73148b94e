//! Compares what the ledger promises with what a server has.
//!
//! Reads only. Every row is read back by its key and compared column by column; rows in the
//! writer's own ranges that nobody committed are found as well.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use futures_util::TryStreamExt;
use mysql_async::{Conn, Opts, OptsBuilder, Row as ServerRow, Value, prelude::Queryable};

use super::{
    WriterError,
    expected::{CheckReport, FindingKind, InDoubt, Row, Rows, join_key, replay},
    ledger::Past,
    rows::{Kind, TABLES, Table, push_key, same},
    server,
    work::SPAN,
};
use crate::shop::quote_name;

/// Keys in one SELECT.
const BATCH: usize = 500;

/// Checks that everything in the ledger is on the server, once and unchanged.
///
/// The writer must have ended, or be paused with nothing under way. The database is the one in
/// the URL, else `shop`.
///
/// # Errors
/// Fails if the ledger is damaged or the server can't be read; what is wrong with the data is in
/// the report, and no error.
pub async fn check(url: &str, ledger: &Path) -> Result<CheckReport, WriterError> {
    let opts = Opts::from_url(url).map_err(WriterError::Url)?;
    let database = opts.db_name().unwrap_or("shop").to_owned();
    let mut conn = Conn::new(OptsBuilder::from_opts(opts).db_name(Some(database)))
        .await
        .map_err(server("connecting for the check"))?;
    for statement in [
        "SET NAMES utf8mb4",
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    ] {
        conn.query_drop(statement).await.map_err(server("preparing the check"))?;
    }
    let past = Past::read(ledger)?;
    let mut report = CheckReport {
        acknowledged: past.acknowledged,
        abandoned: past.abandoned.len() as u64,
        ..CheckReport::default()
    };
    let there = commits(&mut conn, &past, &mut report).await?;
    let happened = |worker: u32, seq: u64| {
        let id = (worker, seq);
        !past.abandoned.contains(&id) && (!past.open.contains(&id) || there.contains(&id))
    };
    for table in TABLES {
        let rows = replay(ledger, table, happened)?;
        report.rows_checked += rows.len() as u64;
        if table.keyless {
            report.keyless_rows += rows.len() as u64;
            keyless(&mut conn, table, &rows, &past, &mut report).await?;
        } else {
            keyed(&mut conn, table, &rows, &mut report).await?;
            if table.own_range {
                unexpected(&mut conn, table, &rows, &past, &mut report).await?;
            }
        }
    }
    conn.disconnect().await.map_err(server("ending the check"))?;
    Ok(report)
}

/// The committed transactions that the server knows of this ledger's workers.
async fn commits(
    conn: &mut Conn,
    past: &Past,
    report: &mut CheckReport,
) -> Result<HashSet<(u32, u64)>, WriterError> {
    let mut there = HashSet::new();
    let (Some(first), Some(last)) = (past.last.keys().next(), past.last.keys().last()) else {
        return Ok(there);
    };
    let mut rows = conn
        .query_iter(format!(
            "SELECT worker, seq FROM writer_commits WHERE outcome = 'committed' AND worker BETWEEN {first} AND {last}"
        ))
        .await
        .map_err(server("reading writer_commits"))?;
    if let Some(mut stream) =
        rows.stream::<(u32, u64)>().await.map_err(server("reading writer_commits"))?
    {
        while let Some(id) = stream.try_next().await.map_err(server("reading writer_commits"))? {
            there.insert(id);
        }
    }
    drop(rows);
    let name = |worker: u32, seq: u64| [worker.to_string(), seq.to_string()];
    for (&worker, &last) in &past.last {
        for seq in 1..=last {
            let id = (worker, seq);
            let committed = there.contains(&id);
            if past.open.contains(&id) {
                report.in_doubt.push(InDoubt { worker, seq, committed });
            } else if past.abandoned.contains(&id) == committed {
                let (kind, detail) = if committed {
                    (FindingKind::Unexpected, "was abandoned")
                } else {
                    (FindingKind::LostCommit, "was acknowledged")
                };
                report.add(kind, "writer_commits", &name(worker, seq), detail.to_owned());
            }
        }
    }
    for &(worker, seq) in &there {
        if past.last.get(&worker).is_none_or(|last| seq > *last) {
            report.add(
                FindingKind::Unexpected,
                "writer_commits",
                &name(worker, seq),
                "is not in the ledger".to_owned(),
            );
        }
    }
    Ok(there)
}

/// `SELECT key, columns FROM table`, bytes as hexadecimal digits.
fn select(table: &Table, columns: &[(&str, Kind)]) -> String {
    let list: Vec<String> = table
        .key
        .iter()
        .chain(columns)
        .map(|(name, kind)| match kind {
            Kind::Bytes => format!("LOWER(HEX({}))", quote_name(name)),
            _ => quote_name(name),
        })
        .collect();
    format!("SELECT {} FROM {}", list.join(","), table.name)
}

fn cells(row: ServerRow) -> Vec<Option<String>> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        })
        .collect()
}

fn split(table: &Table, row: ServerRow) -> (Vec<String>, Vec<Option<String>>) {
    let mut key = cells(row);
    let columns = key.split_off(table.key.len());
    (key.into_iter().map(Option::unwrap_or_default).collect(), columns)
}

async fn keyed(
    conn: &mut Conn,
    table: &Table,
    rows: &Rows,
    report: &mut CheckReport,
) -> Result<(), WriterError> {
    let all: Vec<&Row> = rows.values().collect();
    let names: Vec<String> = table.key.iter().map(|(name, _)| quote_name(name)).collect();
    for batch in all.chunks(BATCH) {
        let mut sql = format!("{} WHERE ({}) IN (", select(table, table.columns), names.join(","));
        for (n, row) in batch.iter().enumerate() {
            if n > 0 {
                sql.push(',');
            }
            push_key(&mut sql, table, &row.key);
        }
        sql.push(')');
        let found: Vec<ServerRow> =
            conn.query(sql).await.map_err(server(format!("reading rows of {}", table.name)))?;
        let mut found: HashMap<String, Vec<Option<String>>> = found
            .into_iter()
            .map(|row| split(table, row))
            .map(|(key, columns)| (join_key(&key), columns))
            .collect();
        for row in batch {
            let there = found.remove(&join_key(&row.key));
            judge(table, row, there.as_deref(), report);
        }
    }
    Ok(())
}

fn judge(table: &Table, row: &Row, there: Option<&[Option<String>]>, report: &mut CheckReport) {
    match (&row.cells, there) {
        (None, None) => {}
        (Some(_), None) => report.add(FindingKind::Missing, table.name, &row.key, String::new()),
        (None, Some(_)) => {
            report.add(FindingKind::Resurrected, table.name, &row.key, String::new());
        }
        (Some(expected), Some(there)) => {
            let mut wrong = Vec::new();
            for (((name, kind), expected), there) in table.columns.iter().zip(expected).zip(there) {
                let Some(expected) = expected else { continue };
                if !same(*kind, expected.as_deref(), there.as_deref()) {
                    wrong.push(format!("{name}: {expected:?} expected, {there:?} found"));
                }
            }
            if !wrong.is_empty() {
                report.add(FindingKind::Different, table.name, &row.key, wrong.join("; "));
            }
        }
    }
}

async fn keyless(
    conn: &mut Conn,
    table: &Table,
    rows: &Rows,
    past: &Past,
    report: &mut CheckReport,
) -> Result<(), WriterError> {
    let what = || server(format!("reading rows of {}", table.name));
    let (tag, _) = table.key[0];
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut result = conn
        .query_iter(format!("{} WHERE {tag} IS NOT NULL", select(table, table.columns)))
        .await
        .map_err(what())?;
    if let Some(mut stream) = result.stream::<ServerRow>().await.map_err(what())? {
        while let Some(row) = stream.try_next().await.map_err(what())? {
            let (key, columns) = split(table, row);
            let id = join_key(&key);
            match rows.get(&id) {
                Some(expected) => judge(table, expected, Some(&columns), report),
                None if of_this_ledger(&id, past) => {
                    report.add(FindingKind::Unexpected, table.name, &key, String::new());
                }
                None => {}
            }
            *seen.entry(id).or_default() += 1;
        }
    }
    drop(result);
    for (id, row) in rows {
        match seen.get(id).copied().unwrap_or(0) {
            0 => report.add(FindingKind::Missing, table.name, &row.key, String::new()),
            1 => {}
            times => {
                report.add(FindingKind::Doubled, table.name, &row.key, format!("{times} times"))
            }
        }
    }
    Ok(())
}

fn of_this_ledger(tag: &str, past: &Past) -> bool {
    tag.strip_prefix('w')
        .and_then(|rest| rest.split('.').next())
        .and_then(|worker| worker.parse().ok())
        .is_some_and(|worker: u32| past.last.contains_key(&worker))
}

async fn unexpected(
    conn: &mut Conn,
    table: &Table,
    rows: &Rows,
    past: &Past,
    report: &mut CheckReport,
) -> Result<(), WriterError> {
    let (Some(begin), Some(last)) = (&past.begin, past.last.keys().last()) else {
        return Ok(());
    };
    let what = || server(format!("looking for stray rows in {}", table.name));
    let end = begin.base + u64::from(last - begin.first_worker + 1) * SPAN;
    let (id, _) = table.key[0];
    let mut result = conn
        .query_iter(format!("{} WHERE {id} >= {} AND {id} < {end}", select(table, &[]), begin.base))
        .await
        .map_err(what())?;
    if let Some(mut stream) = result.stream::<ServerRow>().await.map_err(what())? {
        while let Some(row) = stream.try_next().await.map_err(what())? {
            let (key, _) = split(table, row);
            if !rows.contains_key(&join_key(&key)) {
                report.add(FindingKind::Unexpected, table.name, &key, String::new());
            }
        }
    }
    Ok(())
}
