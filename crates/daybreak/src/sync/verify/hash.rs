//! Digests of rows and ranges, computed inside a server so that no row travels.
//!
//! A row becomes one byte string in which every column stands by itself: NULL is `N`, a value is its
//! length, a colon and its bytes, a large object is `S` and its own SHA-256. Values are taken as they
//! are stored, never as a client would print them: texts as bytes of their own character set, FLOAT
//! and DOUBLE as the bytes of the number (`-0` included), a JSON document as its text and the type of
//! every value in it that this text doesn't tell. A range is
//! the number of its rows, and the sums and the exclusive ors of 64-bit slices of their hashes:
//! `BIT_XOR` alone lets two equal rows be replaced by two others, and over `UNHEX(..)` it is always 0
//! on MariaDB. A row whose hash comes out NULL (a value beyond `max_allowed_packet`) is an error; it
//! never counts as equal. A type that isn't known here is refused, never left out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    mysql::{
        AnySession, ChunkKey, Column, Dialect, KeyRange, KeyTuple, Session, Table,
        chunk::rows_through, quote,
    },
};

/// A table without a key is read whole; beyond this many rows its hashes aren't kept in a temporary
/// table of the server, but computed anew for each aggregate.
const LARGE_SCAN: u64 = 20_000_000;

/// Keeps a derived table from being merged into the outer query, which would compute each hash once
/// per aggregate: measured on 9.7, that takes 2.8 times as long.
const UNMERGED: &str = " LIMIT 18446744073709551615";

/// The checksum of a range of rows on one server. Equal sums, equal rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSum {
    /// How many rows.
    pub rows: u64,
    /// The exclusive or of the hashes' first and second 64 bits.
    pub xor: (u64, u64),
    /// The sums of the same, in decimal digits.
    pub sum: (String, String),
}

impl fmt::Display for ChunkSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {:016x}{:016x}", self.rows, self.xor.0, self.xor.1)
    }
}

/// How far a hash looks into JSON documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// Their text: dates and strings, decimals and doubles print alike.
    Text,
    /// Every value's type too. Takes JSON_TABLE: MySQL 8.0.11 and later.
    Values,
}

impl Documents {
    /// The most that both servers can tell.
    pub fn of(source: &Session, target: &Session) -> Self {
        match [source, target].iter().all(|on| on.dialect().mysql_from(8, 0, 11)) {
            true => Documents::Values,
            false => Documents::Text,
        }
    }
}

/// The expression that hashes a row, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowHash(String);

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RowHash {
    /// The hash of a table's rows on a server. Hashes compare only if they are equal expressions.
    ///
    /// # Errors
    /// `Unsupported` for a column of a type that isn't known.
    pub fn new(session: &AnySession, table: &Table, documents: Documents) -> Result<Self> {
        let mariadb = session.dialect().is_mariadb();
        let mut parts = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            parts.push(column_expression(column, mariadb, documents).ok_or_else(|| {
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
        Ok(RowHash(format!("SHA2(CONCAT({}), 256)", parts.join(", "))))
    }
}

/// The types of a document's values that its text doesn't tell, and where they are: for either way
/// down (members, elements) how many, and a sum over their places.
///
/// `NULL` is JSON's. It counts first, since most documents have none and an aggregate of another kind
/// costs several times as much; and it counts, as MySQL 9.7 computes `EXISTS` over JSON_TABLE for one
/// row only.
pub(super) fn types_within(document: &str) -> String {
    ["$**.*", "$**[*]"]
        .map(|path| {
            let select = |what: &str| {
                format!(
                    "(SELECT {what} FROM JSON_TABLE({document}, '{path}' COLUMNS \
                     (daybreak_n FOR ORDINALITY, daybreak_v JSON PATH '$')) AS daybreak_node \
                     WHERE JSON_TYPE(daybreak_node.daybreak_v) NOT IN \
                     ('OBJECT', 'ARRAY', 'STRING', 'INTEGER', 'DOUBLE', 'BOOLEAN', 'NULL'))"
                )
            };
            format!(
                "IF({} = 0, '-', {})",
                select("COUNT(*)"),
                select(
                    "CONCAT(COUNT(*), ':', SUM(CAST(CONV(SUBSTRING(SHA2(CONCAT(daybreak_node.daybreak_n, \
                     JSON_TYPE(daybreak_node.daybreak_v)), 256), 1, 16), 16, 10) AS UNSIGNED)), ';')"
                )
            )
        })
        .join(", ")
}

/// JSON that the other side keeps as text.
pub(super) const DOCUMENT_AS_TEXT: &str = "json as text";

/// FLOAT and DOUBLE where the target is MariaDB, which has no -0 and stores 0 for it.
pub(super) const NUMBER_WITHOUT_SIGNED_ZERO: &str = "number without -0";

/// A table's columns as both servers can hash them alike, where they are of two products: by types of
/// this module's own.
pub fn in_common(table: &Table, source: &Dialect, target: &Dialect) -> Table {
    let mut table = table.clone();
    if source.product == target.product {
        return table;
    }
    for column in &mut table.columns {
        column.data_type = match column.data_type.as_str() {
            "json" | "longtext" => DOCUMENT_AS_TEXT.to_string(),
            "float" | "double" if target.is_mariadb() => NUMBER_WITHOUT_SIGNED_ZERO.to_string(),
            _ => continue,
        };
    }
    table
}

/// The bytes of a number, as digits.
fn number(expression: &str) -> String {
    format!("SUBSTRING(HEX(POINT({expression}, 0)), 19, 16)")
}

/// One column as bytes that end by themselves; none for an unknown type.
fn column_expression(column: &Column, mariadb: bool, documents: Documents) -> Option<String> {
    let c = quote(&column.name);
    let sized = |x: String| format!("LENGTH({x}), ':', {x}");
    let value = match column.data_type.as_str() {
        // `+ 0` takes the padding of ZEROFILL away, whose width differs between versions.
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => {
            sized(format!("{c} + 0"))
        }
        "decimal" => sized(c.clone()),
        // The 8 bytes of the number itself, from the X of a point. No text will do: MySQL 5.6 prints
        // some numbers with more digits than newer servers, and small ones without an exponent; in an
        // expression MySQL has room for 22 characters only, and cuts digits to fit.
        "float" | "double" => number(&c),
        NUMBER_WITHOUT_SIGNED_ZERO => number(&format!("IF({c} = 0, 0, {c})")),
        DOCUMENT_AS_TEXT => format!("'S', SHA2({c}, 256)"),
        "bit" => sized(format!("CAST({c} AS UNSIGNED)")),
        "date" | "time" | "datetime" | "timestamp" => sized(c.clone()),
        "char" | "varchar" => sized(format!("CAST({c} AS BINARY)")),
        "binary" | "varbinary" => sized(c.clone()),
        // The number as well: an ENUM's error value '' isn't a member ''.
        "enum" | "set" => {
            format!("CAST({c} AS UNSIGNED), '=', {}", sized(format!("CAST({c} AS BINARY)")))
        }
        // SHA2 takes the bytes as stored. It makes 64 digits of any length, so that the row stays
        // within a packet.
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob"
        | "longblob" | "vector" | "geometry" | "point" | "linestring" | "polygon"
        | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
        | "geomcollection" => {
            format!("'S', SHA2({c}, 256)")
        }
        // MariaDB's JSON is a text.
        "json" if !mariadb => {
            let text = format!("'J', JSON_TYPE({c}), ':', SHA2({c}, 256)");
            match documents {
                Documents::Text => text,
                Documents::Values => format!("{text}, {}", types_within(&c)),
            }
        }
        "json" => format!("'S', SHA2({c}, 256)"),
        "uuid" | "inet4" | "inet6" => sized(format!("CAST({c} AS CHAR)")),
        _ => return None,
    };
    Some(format!("IF({c} IS NULL, 'N', CONCAT({value}))"))
}

/// Where rows are read from, and which: through the key's index, and through none.
fn from(table: &Table, key: Option<&ChunkKey>, range: &KeyRange) -> Result<[String; 2]> {
    let name = table.name.sql();
    match key {
        Some(key) => {
            let rows = table.taken(&range.predicate(key));
            Ok(key.hints().map(|hint| format!("{name}{hint} WHERE {rows}")))
        }
        None if *range == KeyRange::all() => Ok([table.rows_taken(), table.rows_taken()]),
        None => Err(Error::new(Kind::Bug, "a range needs a key").at(&table.name)),
    }
}

/// The checksum of a range on one server, in whatever transaction the session has open.
///
/// # Errors
/// `NotExact` when a row can't be hashed.
pub async fn chunk_sum(
    session: &mut AnySession,
    table: &Table,
    hash: &RowHash,
    key: Option<&ChunkKey>,
    range: &KeyRange,
) -> Result<ChunkSum> {
    let unmerged = if key.is_none() && table.rows_estimate > LARGE_SCAN { "" } else { UNMERGED };
    let statements = from(table, key, range)?.map(|from| {
        format!(
            "SELECT COUNT(*), COUNT(h), {}, {}, {}, {} FROM (SELECT {hash} AS h FROM {from}{unmerged}) AS d",
            aggregate("BIT_XOR", 1),
            aggregate("BIT_XOR", 17),
            aggregate("SUM", 1),
            aggregate("SUM", 17),
        )
    });
    let row = forcing(session, table, statements)
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Bug, "a checksum has no row").at(&table.name))?;
    let count = |at| session.column::<u64>(&row, at).map(Option::unwrap_or_default);
    // No rows: no sum.
    let sum = |at| {
        let text = session.column::<String>(&row, at)?;
        Ok::<_, Error>(text.unwrap_or_else(|| "0".to_string()))
    };
    let (rows, hashed) = (count(0)?, count(1)?);
    if hashed != rows {
        return Err(unhashed(session, table, rows.saturating_sub(hashed)));
    }
    Ok(ChunkSum { rows, xor: (count(2)?, count(3)?), sum: (sum(4)?, sum(5)?) })
}

/// `AGGREGATE(64 bits of h from a digit on)`.
fn aggregate(function: &str, from: u8) -> String {
    format!("{function}(CAST(CONV(SUBSTRING(h, {from}, 16), 16, 10) AS UNSIGNED))")
}

fn unhashed(session: &AnySession, table: &Table, rows: u64) -> Error {
    Error::new(Kind::NotExact, format!("{rows} rows could not be hashed by the server"))
        .at(&table.name)
        .at(session.place())
        .next("raise max_allowed_packet on that server; SHA2() must exist there")
}

/// Each row of a range: its key and its hash.
///
/// # Errors
/// As [`chunk_sum`].
pub async fn row_hashes(
    session: &mut Session,
    table: &Table,
    hash: &RowHash,
    key: &ChunkKey,
    range: &KeyRange,
) -> Result<Vec<(KeyTuple, String)>> {
    let statements = from(table, Some(key), range)?
        .map(|from| format!("SELECT {hash}, {} FROM {from}", key.read_list()));
    let rows = forcing(session, table, statements).await?;
    tuples(session, table, key, rows)
}

/// The row of each of these keys that is there: its key and its hash. With `lock`, words that lock
/// the rows (and, where there is none, the gap), such as [`crate::mysql::Dialect::for_share`].
///
/// # Errors
/// As [`chunk_sum`]; `LockWait` when a lock isn't granted in time.
pub async fn key_hashes(
    session: &mut Session,
    table: &Table,
    hash: &RowHash,
    key: &ChunkKey,
    tuples_wanted: &[KeyTuple],
    lock: Option<&str>,
) -> Result<Vec<(KeyTuple, String)>> {
    if tuples_wanted.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<String> = tuples_wanted.iter().map(|tuple| key.equals(tuple)).collect();
    let wanted = table.taken(&wanted.join(" OR "));
    let lock = lock.unwrap_or_default();
    let statements = key.hints_for_rows().map(|hint| {
        format!(
            "SELECT {hash}, {} FROM {}{hint} WHERE {wanted} {lock}",
            key.read_list(),
            table.name.sql()
        )
    });
    let rows = forcing(session, table, statements).await?;
    tuples(session, table, key, rows)
}

fn tuples(
    session: &Session,
    table: &Table,
    key: &ChunkKey,
    rows: Vec<mysql_async::Row>,
) -> Result<Vec<(KeyTuple, String)>> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(hash) = session.column::<String>(&row, 0)? else {
            return Err(unhashed(session, table, 1));
        };
        out.push((key.tuple(&row, 1)?, hash));
    }
    Ok(out)
}

async fn forcing(
    session: &mut AnySession,
    table: &Table,
    statements: [String; 2],
) -> Result<Vec<mysql_async::Row>> {
    rows_through(session, statements).await.map_err(|error| error.at(&table.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str) -> Column {
        Column { name: "a`b".into(), ..Column::of_type(data_type) }
    }

    #[test]
    fn every_value_ends_by_itself() {
        assert_eq!(
            column_expression(&column("double"), false, Documents::Text).unwrap(),
            "IF(`a``b` IS NULL, 'N', CONCAT(SUBSTRING(HEX(POINT(`a``b`, 0)), 19, 16)))"
        );
        assert_eq!(
            column_expression(&column("longtext"), false, Documents::Values).unwrap(),
            "IF(`a``b` IS NULL, 'N', CONCAT('S', SHA2(`a``b`, 256)))"
        );
    }

    #[test]
    fn an_unknown_type_is_refused() {
        assert!(column_expression(&column("hologram"), false, Documents::Values).is_none());
    }
}
