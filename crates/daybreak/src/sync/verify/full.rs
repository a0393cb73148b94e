//! Rows compared byte by byte on this side of the network, for those who trust no server's functions:
//! mode `full`.
//!
//! Both sides' rows come in key order, by the binary protocol (numbers as their own bits, dates as their
//! parts, texts and blobs as they are stored), and are compared pair by pair as they arrive; nothing is
//! kept. Nothing of this is shared with the copy, which reads text, or with the checksums. Where rows
//! differ, ranges are cut finer as for checksums, and a row is named by the SHA-256 of its values. Rows
//! that have no order (no key that can cut the table) are told apart by those digests.

use std::{collections::BTreeMap, fmt};

use mysql_async::{BinaryProtocol, QueryResult, Row, Value, prelude::Queryable as _};
use sha2::{Digest as _, Sha256};

use super::hash::{DOCUMENT_AS_TEXT, Documents, NUMBER_WITHOUT_SIGNED_ZERO, types_within};
use crate::{
    error::{Error, Kind, Result},
    mysql::{
        ChunkKey, Column, KeyRange, KeyTuple, Session, Table, Watch, chunk::NO_SUCH_INDEX,
        identifier::push_hex, quote,
    },
};

/// The expressions whose values are a row, the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowValues(String);

impl fmt::Display for RowValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RowValues {
    /// The values of a table's rows.
    ///
    /// # Errors
    /// `Unsupported` for a column of a type that isn't known.
    pub fn new(session: &Session, table: &Table, documents: Documents) -> Result<Self> {
        let mariadb = session.dialect().is_mariadb();
        let mut parts = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            parts.push(values(column, mariadb, documents).ok_or_else(|| {
                Error::new(
                    Kind::Unsupported,
                    format!(
                        "column {} has type {}, which can't be compared",
                        column.name, column.data_type
                    ),
                )
                .at(&table.name)
                .at(session.place())
                .next("leave the table out ([select] exclude), or change the column's type")
            })?);
        }
        Ok(RowValues(parts.join(", ")))
    }
}

/// A column as values that are all of it; none for an unknown type.
fn values(column: &Column, mariadb: bool, documents: Documents) -> Option<String> {
    let c = quote(&column.name);
    Some(match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" | "decimal" | "float"
        | "double" | "bit" | "date" | "time" | "datetime" | "timestamp" | "char" | "varchar"
        | "binary" | "varbinary" | "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob"
        | "blob" | "mediumblob" | "longblob" | "vector" | "geometry" | "point" | "linestring"
        | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
        | "geomcollection" | DOCUMENT_AS_TEXT => c,
        NUMBER_WITHOUT_SIGNED_ZERO => format!("IF({c} = 0, 0, {c})"),
        // The number as well: an ENUM's error value '' isn't a member ''.
        "enum" | "set" => format!("{c}, CAST({c} AS UNSIGNED)"),
        "json" if mariadb => c,
        "json" => match documents {
            Documents::Text => format!("{c}, JSON_TYPE({c})"),
            Documents::Values => format!("{c}, CONCAT(JSON_TYPE({c}), {})", types_within(&c)),
        },
        "uuid" | "inet4" | "inet6" => format!("CAST({c} AS CHAR)"),
        _ => return None,
    })
}

/// Sets a session up to send texts as they are stored.
pub(super) async fn settle(session: &mut Session) -> Result<()> {
    session.execute("SET SESSION character_set_results = NULL").await.map(drop)
}

/// Rows as they come from one side.
pub(super) struct Rows<'a> {
    result: QueryResult<'a, 'static, BinaryProtocol>,
    watch: Watch,
}

impl<'a> Rows<'a> {
    /// Runs a query through the key's index, or (the second text) without it where it isn't there, as on a target
    /// whose secondary indexes are still to be built.
    pub async fn open(session: &'a mut Session, [forced, without]: [String; 2]) -> Result<Self> {
        let watch = session.watch();
        // Preparing tells whether the index is there.
        let statement = match watch.over(session.conn().prep(forced)).await {
            Err(error) if error.code() == Some(NO_SUCH_INDEX) => {
                watch.over(session.conn().prep(without)).await
            }
            other => other,
        }?;
        let result = watch.over(session.conn().exec_iter(statement, ())).await?;
        Ok(Rows { result, watch })
    }

    pub async fn next(&mut self) -> Result<Option<Row>> {
        self.watch.over(self.result.next()).await
    }
}

/// What became of a range: rows of either side, and whether all were equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    pub source: u64,
    pub target: u64,
    pub equal: bool,
}

/// Compares the rows of a range in key order.
pub(super) async fn pairs(
    source: (&mut Session, &Table),
    target: (&mut Session, &Table),
    values: &RowValues,
    key: &ChunkKey,
    range: &KeyRange,
) -> Result<Pairs> {
    let query = |table: &Table| {
        key.hints().map(|hint| {
            format!(
                "SELECT {values} FROM {}{hint} WHERE {} ORDER BY {}",
                table.name.sql(),
                table.taken(&range.predicate(key)),
                key.column_list()
            )
        })
    };
    let (ours, theirs) = tokio::join!(
        Rows::open(&mut *source.0, query(source.1)),
        Rows::open(&mut *target.0, query(target.1))
    );
    let (mut ours, mut theirs) = (ours?, theirs?);
    let mut pairs = Pairs { equal: true, ..Pairs::default() };
    loop {
        let (a, b) = tokio::join!(ours.next(), theirs.next());
        let (a, b) = (a?, b?);
        pairs.source += u64::from(a.is_some());
        pairs.target += u64::from(b.is_some());
        match (a, b) {
            (None, None) => break,
            (Some(a), Some(b)) => pairs.equal = pairs.equal && same(&a, &b)?,
            _ => pairs.equal = false,
        }
    }
    drop((ours, theirs));
    // Two values that were left out are no equal ones.
    source.0.nothing_cut().await?;
    target.0.nothing_cut().await?;
    Ok(pairs)
}

/// Whether two rows hold the same.
fn same(a: &Row, b: &Row) -> Result<bool> {
    if a.len() != b.len() {
        return Err(Error::new(Kind::Bug, "the same values have another number of columns"));
    }
    for at in 0..a.len() {
        let (Some(a), Some(b)) = (a.as_ref(at), b.as_ref(at)) else {
            return Err(Error::new(Kind::Bug, "a row has lost a value"));
        };
        // Bytes are most of it; whatever else goes by what it means.
        let equal = match (a, b) {
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (a, b) => {
                let (mut left, mut right) = (Vec::with_capacity(32), Vec::with_capacity(32));
                encode(a, &mut left);
                encode(b, &mut right);
                left == right
            }
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A value as bytes that end by themselves: the same for a number whatever width it was sent in, another
/// for each bit of a floating-point number, minus zero included.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let float = |number: f64, out: &mut Vec<u8>| {
        out.push(b'F');
        out.extend_from_slice(&number.to_bits().to_be_bytes());
    };
    let whole = |number: i128, out: &mut Vec<u8>| {
        out.push(b'I');
        out.extend_from_slice(&number.to_be_bytes());
    };
    match value {
        Value::NULL => out.push(b'N'),
        Value::Bytes(bytes) => {
            out.push(b'B');
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        Value::Int(number) => whole((*number).into(), out),
        Value::UInt(number) => whole((*number).into(), out),
        // A FLOAT is a DOUBLE exactly.
        Value::Float(number) => float((*number).into(), out),
        Value::Double(number) => float(*number, out),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            out.push(b'D');
            out.extend_from_slice(&year.to_be_bytes());
            out.extend_from_slice(&[*month, *day, *hour, *minute, *second]);
            out.extend_from_slice(&micros.to_be_bytes());
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            out.push(b'T');
            out.push(u8::from(*negative));
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&[*hours, *minutes, *seconds]);
            out.extend_from_slice(&micros.to_be_bytes());
        }
    }
}

/// The digest of a row's values, as hexadecimal digits.
fn digest(row: &Row, values: usize, buffer: &mut Vec<u8>) -> Result<String> {
    buffer.clear();
    for at in 0..values {
        let value =
            row.as_ref(at).ok_or_else(|| Error::new(Kind::Bug, "a row has lost a value"))?;
        encode(value, buffer);
    }
    let mut text = String::with_capacity(64);
    push_hex(&mut text, &Sha256::digest(buffer));
    Ok(text)
}

/// Tells `each` every row's key and digest.
async fn digests(
    session: &mut Session,
    values: &RowValues,
    key: Option<&ChunkKey>,
    rest: [String; 2],
    mut each: impl FnMut(Option<KeyTuple>, String) + Send,
) -> Result<()> {
    let keys = key.map_or_else(String::new, |key| format!(", {}", key.text_list()));
    let width = key.map_or(0, |key| key.columns.len());
    let query = rest.map(|rest| format!("SELECT {values}{keys} FROM {rest}"));
    let mut rows = Rows::open(session, query).await?;
    let mut buffer = Vec::new();
    while let Some(row) = rows.next().await? {
        let values = row.len().saturating_sub(width);
        let digest = digest(&row, values, &mut buffer)?;
        let tuple = key.map(|key| key.tuple(&row, values)).transpose()?;
        each(tuple, digest);
    }
    drop(rows);
    session.nothing_cut().await
}

/// Each row of a range: its key and its digest.
pub(super) async fn row_digests(
    session: &mut Session,
    table: &Table,
    values: &RowValues,
    key: &ChunkKey,
    range: &KeyRange,
) -> Result<Vec<(KeyTuple, String)>> {
    let taken = table.taken(&range.predicate(key));
    let rows = key.hints().map(|hint| format!("{}{hint} WHERE {taken}", table.name.sql()));
    keyed(session, values, key, rows, |_| true).await
}

/// The row of each of these keys that is there; `lock` as in [`super::hash::key_hashes`].
pub(super) async fn key_digests(
    session: &mut Session,
    table: &Table,
    values: &RowValues,
    key: &ChunkKey,
    wanted: &[KeyTuple],
    lock: &str,
) -> Result<Vec<(KeyTuple, String)>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<String> = wanted.iter().map(|tuple| key.equals(tuple)).collect();
    let rows = through(table, key, &table.taken(&wanted.join(" OR ")), lock);
    keyed(session, values, key, rows, |_| true).await
}

/// Where rows are read from that are looked for by their keys: through the key's index, and as the server likes.
pub(super) fn through(table: &Table, key: &ChunkKey, predicate: &str, lock: &str) -> [String; 2] {
    let name = table.name.sql();
    key.hints_for_rows().map(|hint| format!("{name}{hint} WHERE {predicate} {lock}"))
}

/// The rows of a whole table whose digests are wanted.
pub(super) async fn picked(
    session: &mut Session,
    table: &Table,
    values: &RowValues,
    key: &ChunkKey,
    wanted: impl Fn(&str) -> bool + Send + Sync,
) -> Result<Vec<(KeyTuple, String)>> {
    let rows = table.rows_taken();
    keyed(session, values, key, [rows.clone(), rows], wanted).await
}

async fn keyed(
    session: &mut Session,
    values: &RowValues,
    key: &ChunkKey,
    rows: [String; 2],
    wanted: impl Fn(&str) -> bool + Send + Sync,
) -> Result<Vec<(KeyTuple, String)>> {
    let mut found = Vec::new();
    digests(session, values, Some(key), rows, |tuple, digest| {
        if let (Some(tuple), true) = (tuple, wanted(&digest)) {
            found.push((tuple, digest));
        }
    })
    .await?;
    Ok(found)
}

/// How often each wanted digest is there.
pub(super) async fn counted(
    session: &mut Session,
    table: &Table,
    values: &RowValues,
    wanted: impl Fn(&str) -> bool + Send + Sync,
) -> Result<BTreeMap<String, u64>> {
    let rows = table.rows_taken();
    let mut counts = BTreeMap::new();
    digests(session, values, None, [rows.clone(), rows], |_, digest| {
        if wanted(&digest) {
            *counts.entry(digest).or_default() += 1;
        }
    })
    .await?;
    Ok(counts)
}

/// Rows, and the sum of their digests, by the digests' first `digits`.
pub(super) async fn buckets(
    session: &mut Session,
    table: &Table,
    values: &RowValues,
    digits: usize,
) -> Result<BTreeMap<String, (u64, String)>> {
    let rows = table.rows_taken();
    let mut sums: BTreeMap<String, (u64, u128)> = BTreeMap::new();
    digests(session, values, None, [rows.clone(), rows], |_, digest| {
        // 128 bits of each, summed modulo 2^128: rows of no order, equal ones counted.
        let (bucket, rest) = digest.split_at(digits);
        let number = u128::from_str_radix(&rest[..rest.len().min(32)], 16).unwrap_or_default();
        let sum = sums.entry(bucket.to_string()).or_default();
        *sum = (sum.0 + 1, sum.1.wrapping_add(number));
    })
    .await?;
    Ok(sums.into_iter().map(|(bucket, (rows, sum))| (bucket, (rows, sum.to_string()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&value, &mut out);
        out
    }

    #[test]
    fn values_are_what_they_mean() {
        assert_eq!(encoded(Value::Int(7)), encoded(Value::UInt(7)));
        assert_ne!(encoded(Value::Int(-1)), encoded(Value::UInt(u64::MAX)));
        assert_eq!(encoded(Value::Float(0.1)), encoded(Value::Double(f64::from(0.1_f32))));
        assert_ne!(encoded(Value::Double(0.0)), encoded(Value::Double(-0.0)));
        assert_ne!(encoded(Value::Bytes(Vec::new())), encoded(Value::NULL));
        assert_ne!(encoded(Value::Bytes(b"1".to_vec())), encoded(Value::Int(1)));
    }
}
