//! What a table holds, by this module's own eyes: every row over the binary protocol, numbers by their
//! bits, texts as bytes of their own character set. Nothing here is the copy's or the verification's.

use mysql_async::{Conn, Row, Value, prelude::Queryable as _};

/// A table's columns by name, and its rows, sorted.
#[derive(Debug, PartialEq)]
pub struct Contents {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Names of the base tables of a database.
pub async fn tables(conn: &mut Conn, database: &str) -> Vec<String> {
    let names: Vec<Vec<u8>> = conn
        .exec(
            "SELECT CAST(TABLE_NAME AS CHAR CHARACTER SET utf8mb4) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = ? AND TABLE_TYPE <> 'VIEW'",
            (database,),
        )
        .await
        .unwrap();
    let mut names: Vec<String> =
        names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
    // Not in an order of the server's.
    names.sort();
    names
}

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Reads a table. `signed_zero`: whether -0 is told from 0, which MariaDB doesn't.
pub async fn contents(conn: &mut Conn, database: &str, table: &str, signed_zero: bool) -> Contents {
    let columns: Vec<(Vec<u8>, String)> = conn
        .exec(
            "SELECT CAST(COLUMN_NAME AS CHAR CHARACTER SET utf8mb4), LOWER(DATA_TYPE) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            (database, table),
        )
        .await
        .unwrap();
    let (mut names, mut select) = (Vec::new(), Vec::new());
    for (name, data_type) in columns {
        let name = String::from_utf8(name).unwrap();
        let column = quoted(&name);
        match data_type.as_str() {
            // The bytes as stored: without HEX the server would convert them.
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "json" => {
                select.push(format!("CAST({column} AS BINARY)"));
            }
            "enum" | "set" => {
                select.push(format!("CAST({column} AS UNSIGNED), CAST({column} AS BINARY)"));
            }
            _ => select.push(column),
        }
        names.push(name);
    }
    let sql = format!("SELECT {} FROM {}.{}", select.join(", "), quoted(database), quoted(table));
    let rows: Vec<Row> =
        conn.exec(&sql, ()).await.unwrap_or_else(|error| panic!("{database}.{table}: {error}"));
    let mut rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.unwrap().iter().map(|value| text(value, signed_zero)).collect())
        .collect();
    rows.sort();
    Contents { columns: names, rows }
}

fn text(value: &Value, signed_zero: bool) -> String {
    let number = |number: f64| if number == 0.0 && !signed_zero { 0.0 } else { number };
    match value {
        Value::Float(value) => format!("float {:016x}", number(f64::from(*value)).to_bits()),
        Value::Double(value) => format!("double {:016x}", number(*value).to_bits()),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Bytes(bytes) if bytes.len() > 256 => {
            // By a checksum of its own, so that a difference can be printed.
            let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            format!("{} bytes, {sum:016x}", bytes.len())
        }
        Value::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
        other => format!("{other:?}"),
    }
}
