//! How one key column's values are read, written as literals, and shown: each in a form that names the
//! value exactly and compares as the index orders it, whatever the connection's settings.

use crate::mysql::{Column, quote};

/// The form in which a column's values are in a [`super::KeyTuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Digits, as the server prints them.
    Digits,
    /// A BIT: the digits of its number.
    Bits,
    /// A FLOAT or DOUBLE: the shortest digits that name the number. The server's own text isn't used: that
    /// of a FLOAT has six digits, and versions print DOUBLE differently.
    Float,
    /// An ENUM or SET: the digits of its number, by which indexes order it.
    Member,
    /// A text's bytes in its own character set, in hexadecimal.
    Text,
    /// The text of a date or time, in hexadecimal.
    Temporal,
    /// Bytes in hexadecimal.
    Bytes,
}

impl Form {
    pub(super) fn of(column: &Column) -> Self {
        match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => {
                Form::Digits
            }
            "bit" => Form::Bits,
            "float" | "double" => Form::Float,
            "enum" | "set" => Form::Member,
            "date" | "time" | "datetime" | "timestamp" => Form::Temporal,
            _ if column.is_text() => Form::Text,
            _ => Form::Bytes,
        }
    }

    /// The expression whose result [`Form::value`] takes.
    pub(super) fn read(self, column: &Column) -> String {
        let name = quote(&column.name);
        match self {
            Form::Digits => name,
            Form::Bits | Form::Member => format!("CAST({name} AS UNSIGNED)"),
            // The eight bytes of the number, from the X of a point.
            Form::Float => format!("SUBSTRING(HEX(POINT({name}, 0)), 19, 16)"),
            Form::Text | Form::Temporal | Form::Bytes => format!("HEX({name})"),
        }
    }

    /// The value in a tuple of what was read; none if that isn't of this form.
    pub(super) fn value(self, read: String) -> Option<String> {
        if self != Form::Float {
            return Some(read);
        }
        let bytes: [u8; 8] = unhex(&read)?.try_into().ok()?;
        let number = f64::from_le_bytes(bytes);
        // -0 and 0 are one key.
        let number = if number == 0.0 { 0.0 } else { number };
        number.is_finite().then(|| format!("{number:e}"))
    }

    /// A literal of a value.
    pub(super) fn literal(self, column: &Column, value: &str) -> String {
        match (self, &column.charset, &column.collation) {
            (Form::Digits | Form::Bits | Form::Float | Form::Member, _, _) => value.to_string(),
            (Form::Text, Some(charset), Some(collation)) => {
                format!("_{charset} X'{value}' COLLATE {collation}")
            }
            (Form::Temporal, _, _) => {
                let text = unhex(value).unwrap_or_default();
                format!("'{}'", String::from_utf8_lossy(&text).replace(['\'', '\\'], ""))
            }
            (Form::Text | Form::Bytes, _, _) => format!("X'{value}'"),
        }
    }

    /// A comparison of a column with a value, by which the server reads a range of an index.
    pub(super) fn compared(self, column: &Column, operator: &str, value: &str) -> String {
        let name = quote(&column.name);
        if self != Form::Member || operator == "=" {
            return format!("{name} {operator} {}", self.literal(column, value));
        }
        // An index on an ENUM or SET is read for equality alone (seen on 9.7): every range over it would
        // be a scan of the table.
        let at: u64 = value.parse().unwrap_or_default();
        let numbers: Vec<String> = (0..=highest(column))
            .filter(|number| match operator {
                "<" => *number < at,
                "<=" => *number <= at,
                ">" => *number > at,
                _ => *number >= at,
            })
            .map(|number| number.to_string())
            .collect();
        match numbers.is_empty() {
            true => "FALSE".to_string(),
            false => format!("{name} IN ({})", numbers.join(", ")),
        }
    }

    /// Whether a value is the zero of a FLOAT or DOUBLE, of which there are two, equal ones.
    pub(super) fn is_zero(self, value: &str) -> bool {
        self == Form::Float && value.parse() == Ok(0.0)
    }

    /// A value for people.
    pub(super) fn shown(self, column: &Column, value: &str) -> String {
        match self {
            Form::Digits | Form::Bits => value.to_string(),
            Form::Float => match value.parse::<f64>() {
                // As few digits as tell the FLOAT from others.
                Ok(number) if column.data_type == "float" => (number as f32).to_string(),
                Ok(number) => number.to_string(),
                Err(_) => value.to_string(),
            },
            Form::Member => member(column, value),
            Form::Text | Form::Temporal | Form::Bytes => {
                match unhex(value).map(String::from_utf8) {
                    Some(Ok(text)) if !text.chars().any(char::is_control) => text,
                    _ => format!("0x{value}"),
                }
            }
        }
    }
}

/// A comparison of a FLOAT or DOUBLE with zero in a partitioned table.
///
/// PARTITION BY KEY keeps -0 and 0 in different partitions, though they are equal; and where the server sees that
/// all columns of the key are given, it looks for the row in one of them alone, and says that there is none (seen
/// on 9.7). What it reckons doesn't give a column; the bounds beside it are for the index.
pub(super) fn compared_with_zero(column: &Column, operator: &str) -> String {
    // More than the smallest FLOATs, which the server takes for zero when it makes a range of an index.
    const NEAR: &str = "1e-30";
    let name = quote(&column.name);
    let exact = format!("{name} + 0e0 {operator} 0e0");
    match operator {
        "=" => format!("({name} BETWEEN -{NEAR} AND {NEAR} AND {exact})"),
        "<" | "<=" => format!("({name} <= {NEAR} AND {exact})"),
        _ => format!("({name} >= -{NEAR} AND {exact})"),
    }
}

/// The most numbers of an ENUM or SET that are listed one by one.
const MOST_NUMBERS: u64 = 256;

/// The highest number that an ENUM or SET has.
fn highest(column: &Column) -> u64 {
    let members = members(column).len();
    match column.data_type.as_str() {
        "set" => 1_u64.checked_shl(members as u32).map_or(u64::MAX, |above| above - 1),
        _ => members as u64,
    }
}

/// Whether ranges over a column's values are exact: its literals name each value, and compare as the
/// index orders them.
pub(super) fn can_be_cut(column: &Column) -> bool {
    match column.data_type.as_str() {
        "binary" | "varbinary" => true,
        "enum" | "set" => highest(column) <= MOST_NUMBERS,
        _ => Form::of(column) != Form::Bytes,
    }
}

/// The members of an ENUM or SET, from the column's type.
fn members(column: &Column) -> Vec<String> {
    let Some((_, list)) = column.column_type.split_once('(') else { return Vec::new() };
    let (mut members, mut member, mut within) = (Vec::new(), String::new(), false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // A quote within a member is doubled.
            '\'' if within && chars.peek() == Some(&'\'') => {
                chars.next();
                member.push('\'');
            }
            '\'' if within => {
                members.push(std::mem::take(&mut member));
                within = false;
            }
            '\'' => within = true,
            _ if within => member.push(c),
            _ => {}
        }
    }
    members
}

/// What the members of a number are called.
fn member(column: &Column, value: &str) -> String {
    let (members, number) = (members(column), value.parse::<u64>().unwrap_or_default());
    if column.data_type == "set" {
        let set = members.iter().enumerate().filter(|(at, _)| number >> at & 1 == 1);
        let names: Vec<&str> = set.map(|(_, name)| name.as_str()).collect();
        return names.join(",");
    }
    let name = usize::try_from(number).ok().and_then(|number| members.get(number.checked_sub(1)?));
    // Number 0 is no member: it reads as ''.
    name.cloned().unwrap_or_else(|| format!("number {value}"))
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(hex.get(2 * n..2 * n + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, column_type: &str) -> Column {
        Column {
            name: "a".into(),
            data_type: data_type.into(),
            nullable: false,
            ..Column::of_type(column_type)
        }
    }

    #[test]
    fn numbers_are_named_exactly() {
        let value = |number: f64| {
            let hex = number.to_le_bytes().into_iter().map(|byte| format!("{byte:02X}"));
            Form::Float.value(hex.collect())
        };
        for number in [0.1, -1.0 / 3.0, f64::MAX, 5e-324, 1e22, f64::from(0.1_f32)] {
            let text = value(number).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
            // Without an exponent the server would read a DECIMAL.
            assert!(text.contains('e'), "{text}");
        }
        assert_eq!(value(-0.0).as_deref(), Some("0e0"));
        assert_eq!(value(f64::NAN), None);
        assert_eq!(Form::Float.value("zz".into()), None);
        let float = column("float", "float");
        assert_eq!(Form::Float.shown(&float, "1.0000000149011612e-1"), "0.1");
    }

    #[test]
    fn members_have_names() {
        let colours = column("enum", "enum('red','it''s, (blue)','')");
        assert_eq!(members(&colours), ["red", "it's, (blue)", ""]);
        assert_eq!(member(&colours, "2"), "it's, (blue)");
        assert_eq!(member(&colours, "0"), "number 0");
        assert_eq!(member(&colours, "9"), "number 9");
        let set = column("set", "set('a','b','c')");
        assert_eq!(member(&set, "5"), "a,c");
        assert_eq!(member(&set, "0"), "");
        assert_eq!(Form::Member.compared(&colours, ">", "1"), "`a` IN (2, 3)");
        assert_eq!(Form::Member.compared(&colours, "<=", "1"), "`a` IN (0, 1)");
        assert_eq!(Form::Member.compared(&colours, ">", "3"), "FALSE");
        assert_eq!(Form::Member.compared(&set, ">=", "6"), "`a` IN (6, 7)");
    }

    #[test]
    fn what_indexes_give_ranges_of_is_cut() {
        let list = |data_type: &str, members: usize| {
            let all: Vec<String> = (0..members).map(|n| format!("'m{n}'")).collect();
            column(data_type, &format!("{data_type}({})", all.join(",")))
        };
        assert!(can_be_cut(&list("set", 8)) && !can_be_cut(&list("set", 9)));
        assert!(!can_be_cut(&list("set", 63)) && !can_be_cut(&list("set", 64)));
        assert!(can_be_cut(&list("enum", 256)) && !can_be_cut(&list("enum", 257)));
        assert!(can_be_cut(&column("bit", "bit(64)")) && can_be_cut(&column("double", "double")));
        assert!(!can_be_cut(&column("uuid", "uuid")) && !can_be_cut(&column("blob", "blob")));
    }
}
