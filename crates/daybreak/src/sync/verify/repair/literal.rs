//! A row's values as SQL that no connection setting can change: numbers as digits (of floating-point
//! ones as many as name the number exactly), whatever has bytes in hexadecimal, an ENUM by its member.
//!
//! They are read by the binary protocol, each as it is stored. What is too long for a statement goes
//! into a user variable first, piece by piece.

use std::fmt::Write as _;

use mysql_async::{Row, Value};

use crate::{
    error::{Error, Kind, Result},
    mysql::{Column, Session, identifier::push_hex, quote},
    sync::verify::table::Work,
};

/// How a column's values are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// What the server sends says it all.
    Plain,
    /// Two results: the member, and its number (0: none).
    Enum,
    /// By its number.
    Set,
    /// Text of types that take no bytes.
    Ascii,
    /// A document.
    Json,
}

/// A column that is set.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    source: Column,
    target: Column,
    form: Form,
}

/// The columns of a table that are set: all but the generated ones.
#[derive(Debug, Clone)]
pub(super) struct Cells(pub Vec<Cell>);

/// A value in SQL.
#[derive(Debug, PartialEq)]
pub(super) enum Literal<'a> {
    /// As it stands.
    Text(String),
    /// Bytes, and what stands before and after them.
    Bytes { bytes: &'a [u8], before: &'static str, after: &'static str },
}

const PLAIN: (&str, &str) = ("", "");

impl Cells {
    pub fn of(work: &Work, target: &Session) -> Self {
        let mysql = !target.dialect().is_mariadb();
        let both = work.source.columns.iter().zip(&work.target.columns);
        let cells = both.filter(|(_, theirs)| !theirs.generated).map(|(ours, theirs)| Cell {
            source: ours.clone(),
            target: theirs.clone(),
            form: match theirs.data_type.as_str() {
                "enum" => Form::Enum,
                "set" => Form::Set,
                "uuid" | "inet4" | "inet6" => Form::Ascii,
                "json" if mysql => Form::Json,
                _ => Form::Plain,
            },
        });
        Cells(cells.collect())
    }

    /// What is selected at the source; nothing, if all columns are generated.
    pub fn select_list(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|cell| {
                let c = quote(&cell.source.name);
                match cell.form {
                    Form::Plain | Form::Json => c,
                    Form::Enum => format!("{c}, CAST({c} AS UNSIGNED)"),
                    Form::Set => format!("CAST({c} AS UNSIGNED)"),
                    Form::Ascii => format!("CAST({c} AS CHAR)"),
                }
            })
            .collect();
        parts.join(", ")
    }

    /// How many results that is.
    pub fn width(&self) -> usize {
        self.0.iter().map(Cell::width).sum()
    }

    /// The columns that are set, quoted.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|cell| quote(&cell.target.name)).collect();
        names.join(", ")
    }

    /// The columns that hold documents, by their place among the cells.
    pub fn documents(&self) -> impl Iterator<Item = (usize, &Column)> {
        let cells = self.0.iter().enumerate().filter(|(_, cell)| cell.form == Form::Json);
        cells.map(|(at, cell)| (at, &cell.source))
    }
}

impl Cell {
    fn width(&self) -> usize {
        if self.form == Form::Enum { 2 } else { 1 }
    }

    /// The value of a row whose results for this column begin at `at`, which is moved past them.
    pub fn literal<'a>(&self, row: &'a Row, at: &mut usize) -> Result<Literal<'a>> {
        let value = |at: usize| {
            row.as_ref(at).ok_or_else(|| Error::new(Kind::Bug, "a row has lost a value"))
        };
        let (first, second) = (value(*at)?, *at + 1);
        *at += self.width();
        if let (Form::Enum, Value::Bytes(_)) = (self.form, first)
            && matches!(value(second)?, Value::Int(0) | Value::UInt(0))
        {
            return Ok(Literal::Text(no_member(&self.target)));
        }
        self.of_value(first).ok_or_else(|| {
            Error::new(
                Kind::Bug,
                format!("a value of type {} can't be written", self.target.data_type),
            )
            .at(&self.target.name)
        })
    }

    fn of_value<'a>(&self, value: &'a Value) -> Option<Literal<'a>> {
        let data_type = self.target.data_type.as_str();
        Some(Literal::Text(match value {
            Value::NULL => "NULL".to_string(),
            // The number 0 would be the year 0000.
            Value::Int(number) if self.source.column_type == "year(2)" => format!("'{number:02}'"),
            Value::UInt(number) if self.source.column_type == "year(2)" => format!("'{number:02}'"),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            // A FLOAT is a DOUBLE exactly. Without an exponent the server would read a DECIMAL.
            Value::Float(number) => format!("{:e}", f64::from(*number)),
            Value::Double(number) => format!("{number:e}"),
            Value::Date(year, month, day, hour, minute, second, micros) => {
                let mut text = format!("'{year:04}-{month:02}-{day:02}");
                if data_type != "date" {
                    // Writing into a String can't fail.
                    let _ = write!(text, " {hour:02}:{minute:02}:{second:02}.{micros:06}");
                }
                text + "'"
            }
            Value::Time(negative, days, hours, minutes, seconds, micros) => {
                let sign = if *negative { "-" } else { "" };
                let hours = u64::from(*days) * 24 + u64::from(*hours);
                format!("'{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}'")
            }
            Value::Bytes(bytes) => return self.of_bytes(bytes),
        }))
    }

    fn of_bytes<'a>(&self, bytes: &'a [u8]) -> Option<Literal<'a>> {
        let digits = |extra: &[u8]| {
            let known = |byte: &u8| byte.is_ascii_digit() || extra.contains(byte);
            let text = bytes.iter().all(known).then(|| String::from_utf8_lossy(bytes).into_owned());
            text.filter(|text| !text.is_empty())
        };
        let (before, after) = match (self.target.data_type.as_str(), self.form) {
            ("decimal", _) => return digits(b"-.").map(Literal::Text),
            ("bit", _) => {
                let number =
                    bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                return (bytes.len() <= 8).then(|| Literal::Text(number.to_string()));
            }
            (_, Form::Set) => return digits(b"").map(Literal::Text),
            // What has no character set of its own takes no bytes.
            (_, Form::Json) => ("CONVERT(", " USING utf8mb4)"),
            (_, Form::Ascii) => ("CONVERT(", " USING latin1)"),
            (_, Form::Plain | Form::Enum) => PLAIN,
        };
        Some(Literal::Bytes { bytes, before, after })
    }
}

/// A zero that is no member's name: an ENUM that holds none of its members reads as '' like a member
/// that is called so, and strict servers take no number 0.
fn no_member(column: &Column) -> String {
    let zeros = (1..=5)
        .map(|count| "0".repeat(count))
        .find(|zeros| !column.column_type.contains(&format!("'{zeros}'")))
        .unwrap_or_else(|| "0".to_string());
    hex(zeros.as_bytes())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("X'");
    push_hex(&mut text, bytes);
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(column_type: &str, form: Form) -> Cell {
        let column = Column::of_type(column_type);
        Cell { source: column.clone(), target: column, form }
    }

    fn text(column_type: &str, value: &Value) -> String {
        match cell(column_type, Form::Plain).of_value(value).unwrap() {
            Literal::Text(text) => text,
            Literal::Bytes { bytes, before, after } => format!("{before}{}{after}", hex(bytes)),
        }
    }

    #[test]
    fn values_are_named_exactly() {
        assert_eq!(text("float", &Value::Float(0.1)), "1.0000000149011612e-1");
        assert_eq!(text("double", &Value::Double(-0.0)), "-0e0");
        assert_eq!(text("double", &Value::Double(5e-324)), "5e-324");
        assert_eq!(text("bigint unsigned", &Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(text("year(2)", &Value::Int(0)), "'00'");
        assert_eq!(text("year", &Value::Int(0)), "0");
        assert_eq!(text("date", &Value::Date(0, 0, 0, 0, 0, 0, 0)), "'0000-00-00'");
        assert_eq!(
            text("datetime(6)", &Value::Date(2024, 2, 31, 1, 2, 3, 50)),
            "'2024-02-31 01:02:03.000050'"
        );
        assert_eq!(
            text("time(3)", &Value::Time(true, 34, 22, 59, 59, 500_000)),
            "'-838:59:59.500000'"
        );
        assert_eq!(
            text("bit(64)", &Value::Bytes(vec![0x80, 0, 0, 0, 0, 0, 0, 1])),
            "9223372036854775809"
        );
        assert_eq!(text("decimal(5,2)", &Value::Bytes(b"-1.50".to_vec())), "-1.50");
        assert_eq!(text("varchar(9)", &Value::Bytes(b"a'\\\0".to_vec())), "X'61275C00'");
        assert_eq!(text("blob", &Value::Bytes(Vec::new())), "X''");
        let odd = Value::Bytes(b"1); DROP".to_vec());
        assert_eq!(cell("decimal(5,2)", Form::Plain).of_value(&odd), None);
    }

    #[test]
    fn no_member_is_no_members_name() {
        assert_eq!(no_member(&cell("enum('0','a')", Form::Enum).target), "X'3030'");
    }
}
