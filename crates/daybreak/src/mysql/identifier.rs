//! Names in SQL: the one function that quotes an identifier, and the one that quotes a text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Quotes an identifier for any server and any `sql_mode`.
///
/// Source: MySQL manual, *Schema Object Names*: within backticks only the backtick is special and is
/// doubled.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes a text as a string literal in a form that no `sql_mode` and no character set can change:
/// as utf8mb4 bytes in hexadecimal. For the few places where a parameter can't stand.
pub fn quote_text(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() * 2 + 12);
    literal.push_str("_utf8mb4 X'");
    push_hex(&mut literal, text.as_bytes());
    literal.push('\'');
    literal
}

/// Appends bytes in hexadecimal.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A table's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The database (schema) it is in.
    pub database: String,
    /// Its own name.
    pub name: String,
}

impl TableName {
    /// A full name.
    pub fn new(database: impl Into<String>, name: impl Into<String>) -> Self {
        TableName { database: database.into(), name: name.into() }
    }

    /// The quoted form, for SQL.
    pub fn sql(&self) -> String {
        format!("{}.{}", quote(&self.database), quote(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(TableName::new("we.b", "x y").sql(), "`we.b`.`x y`");
        assert_eq!(quote_text("a'\\"), "_utf8mb4 X'61275C'");
    }
}
