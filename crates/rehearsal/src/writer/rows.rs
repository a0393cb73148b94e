//! The tables that the writer touches: their columns, and how a value is written and compared.
//!
//! A value is text as the server prints it (bytes as hexadecimal digits) or nothing for NULL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::shop::{push_quoted, quote_name};

/// A value; `None` is NULL.
pub(super) type Cell = Option<String>;

/// How a column's text is written into SQL and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers that need no quotes and compare as text: integers, decimals.
    Exact,
    /// A double: compared by its bits.
    Double,
    /// Text, dates, enumerations.
    Text,
    /// Bytes, in hexadecimal digits.
    Bytes,
    /// JSON: compared as a document.
    Json,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The key's columns; for the keyless table the tag.
    pub(super) key: &'static [(&'static str, Kind)],
    pub(super) columns: &'static [(&'static str, Kind)],
    /// Rows are found by reading the whole table, and each must be there once.
    pub(super) keyless: bool,
    /// The first key column is a number out of the worker's own range.
    pub(super) own_range: bool,
}

use Kind::{Bytes, Double, Exact, Json, Text};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "customers",
        key: &[("id", Exact)],
        columns: &[
            ("email", Text),
            ("name", Text),
            ("country", Text),
            ("points", Exact),
            ("credit", Exact),
            ("score", Double),
            ("profile", Json),
            ("created_at", Text),
            ("updated_at", Text),
        ],
        keyless: false,
        own_range: true,
    },
    Table {
        name: "orders",
        key: &[("id", Exact)],
        columns: &[
            ("customer_id", Exact),
            ("status", Text),
            ("ordered_at", Text),
            ("total", Exact),
            ("currency", Text),
            ("note", Text),
        ],
        keyless: false,
        own_range: true,
    },
    Table {
        name: "order_lines",
        key: &[("order_id", Exact), ("line_no", Exact)],
        columns: &[
            ("product_id", Exact),
            ("quantity", Exact),
            ("unit_price", Exact),
            ("discount", Exact),
        ],
        keyless: false,
        own_range: true,
    },
    Table {
        name: "payments",
        key: &[("id", Exact)],
        columns: &[
            ("order_id", Exact),
            ("reference", Text),
            ("method", Text),
            ("amount", Exact),
            ("fee", Exact),
            ("paid_at", Text),
            ("raw", Bytes),
        ],
        keyless: false,
        own_range: true,
    },
    Table {
        name: "stock",
        key: &[("warehouse", Text), ("product_id", Exact)],
        columns: &[("quantity", Exact), ("flags", Text), ("counted_on", Text)],
        keyless: false,
        own_range: false,
    },
    Table {
        name: "products",
        key: &[("id", Exact)],
        columns: &[("price", Exact), ("version", Exact)],
        keyless: false,
        own_range: false,
    },
    Table {
        name: "price_log",
        key: &[("product_id", Exact), ("version", Exact)],
        columns: &[("old_price", Exact), ("new_price", Exact)],
        keyless: false,
        own_range: false,
    },
    Table {
        name: "sessions",
        key: &[("id", Bytes)],
        columns: &[("customer_id", Exact), ("data", Bytes), ("expires_at", Text)],
        keyless: false,
        own_range: false,
    },
    Table {
        name: "events_log",
        key: &[("id", Exact), ("happened_on", Text)],
        columns: &[("kind", Text), ("level", Exact), ("payload", Json)],
        keyless: false,
        own_range: true,
    },
    Table {
        name: "page_views",
        key: &[("tag", Text)],
        columns: &[
            ("viewed_at", Text),
            ("customer_id", Exact),
            ("url", Text),
            ("referrer", Text),
            ("agent", Text),
            ("ms", Exact),
        ],
        keyless: true,
        own_range: false,
    },
];

impl Table {
    /// A table by its name; the names are the writer's own, so one that is unknown is a damaged ledger.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }
}

/// What a transaction does to one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The table.
    pub(super) t: String,
    /// The key.
    pub(super) k: Vec<String>,
    /// The columns written, or nothing if the row is deleted.
    pub(super) v: Option<BTreeMap<String, Cell>>,
}

impl Change {
    pub(super) fn write(table: &Table, key: Vec<String>, values: Values) -> Self {
        Self { t: table.name.to_owned(), k: key, v: Some(values) }
    }

    pub(super) fn delete(table: &Table, key: Vec<String>) -> Self {
        Self { t: table.name.to_owned(), k: key, v: None }
    }
}

/// Columns with their values.
pub(super) type Values = BTreeMap<String, Cell>;

fn push_literal(sql: &mut String, kind: Kind, value: &str) {
    match kind {
        Exact | Double => sql.push_str(value),
        Text | Json => push_quoted(sql, value),
        Bytes if value.is_empty() => sql.push_str("''"),
        Bytes => {
            sql.push_str("x'");
            sql.push_str(value);
            sql.push('\'');
        }
    }
}

fn push_cell(sql: &mut String, table: &Table, column: &str, cell: &Cell) {
    let kind = table
        .key
        .iter()
        .chain(table.columns)
        .find(|(name, _)| *name == column)
        .map_or(Text, |(_, kind)| *kind);
    match cell {
        Some(value) => push_literal(sql, kind, value),
        None => sql.push_str("NULL"),
    }
}

/// `a = 1 AND b = 2` for a key.
pub(super) fn key_condition(table: &Table, key: &[String]) -> String {
    let mut sql = String::new();
    for ((name, kind), value) in table.key.iter().zip(key) {
        if !sql.is_empty() {
            sql.push_str(" AND ");
        }
        sql.push_str(&quote_name(name));
        sql.push('=');
        push_literal(&mut sql, *kind, value);
    }
    sql
}

/// `(1,2)` for a key.
pub(super) fn push_key(sql: &mut String, table: &Table, key: &[String]) {
    sql.push('(');
    for (n, ((_, kind), value)) in table.key.iter().zip(key).enumerate() {
        if n > 0 {
            sql.push(',');
        }
        push_literal(sql, *kind, value);
    }
    sql.push(')');
}

/// An INSERT of the key with these columns.
pub(super) fn insert(table: &Table, key: &[String], values: &Values) -> String {
    let mut names: Vec<String> = table.key.iter().map(|(name, _)| quote_name(name)).collect();
    names.extend(values.keys().map(|name| quote_name(name)));
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", table.name, names.join(","));
    push_key(&mut sql, table, key);
    sql.pop();
    for (name, cell) in values {
        sql.push(',');
        push_cell(&mut sql, table, name, cell);
    }
    sql.push(')');
    sql
}

/// An UPDATE of these columns.
pub(super) fn update(table: &Table, key: &[String], values: &Values) -> String {
    let mut sql = format!("UPDATE {} SET ", table.name);
    for (n, (name, cell)) in values.iter().enumerate() {
        if n > 0 {
            sql.push(',');
        }
        sql.push_str(&quote_name(name));
        sql.push('=');
        push_cell(&mut sql, table, name, cell);
    }
    sql.push_str(" WHERE ");
    sql.push_str(&key_condition(table, key));
    sql
}

/// A DELETE by key.
pub(super) fn delete(table: &Table, key: &[String]) -> String {
    format!("DELETE FROM {} WHERE {}", table.name, key_condition(table, key))
}

/// Whether two values of a column are the same.
pub(super) fn same(kind: Kind, expected: Option<&str>, found: Option<&str>) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some(a), Some(b)) => match kind {
            Exact | Text => a == b,
            Bytes => a.eq_ignore_ascii_case(b),
            Double => match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => a.to_bits() == b.to_bits(),
                _ => false,
            },
            Json => match (
                serde_json::from_str::<serde_json::Value>(a),
                serde_json::from_str::<serde_json::Value>(b),
            ) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            },
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_kind() {
        assert!(same(Double, Some("1e1"), Some("10")));
        assert!(!same(Double, Some("-0"), Some("0")));
        assert!(!same(Exact, Some("1.0"), Some("1.00")));
        assert!(same(Json, Some(r#"{"a":1,"b":2}"#), Some(r#"{"b": 2, "a": 1}"#)));
        assert!(!same(Text, None, Some("")));
    }

    #[test]
    fn statements() {
        let table = Table::named("stock").expect("known");
        let key = vec!["north".to_owned(), "7".to_owned()];
        let values = Values::from([
            ("flags".to_owned(), None),
            ("quantity".to_owned(), Some("3".to_owned())),
        ]);
        assert_eq!(
            insert(table, &key, &values),
            "INSERT INTO stock (`warehouse`,`product_id`,`flags`,`quantity`) VALUES ('north',7,NULL,3)"
        );
        assert_eq!(
            update(table, &key, &values),
            "UPDATE stock SET `flags`=NULL,`quantity`=3 WHERE `warehouse`='north' AND `product_id`=7"
        );
        assert_eq!(
            delete(table, &key),
            "DELETE FROM stock WHERE `warehouse`='north' AND `product_id`=7"
        );
    }
}
