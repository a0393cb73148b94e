//! Literals of bytes in definitions. MySQL before 8.0 and MariaDB print the default of a BINARY column
//! as the bytes themselves between quotes, whatever the connection's character set; MySQL 8.0 prints
//! them in hexadecimal, which every server reads.

use super::token::{TokenKind, tokens};

/// A definition as text: each literal that isn't UTF-8 in hexadecimal. None if other bytes aren't.
pub(crate) fn readable(definition: Vec<u8>) -> Option<String> {
    let sql = match String::from_utf8(definition) {
        Ok(text) => return Some(text),
        Err(error) => error.into_bytes(),
    };
    let mut out = String::with_capacity(sql.len() + 64);
    for token in tokens(&sql) {
        let bytes = &sql[token.span];
        match std::str::from_utf8(bytes) {
            Ok(text) => out.push_str(text),
            Err(_) if token.kind == TokenKind::Text => out.push_str(&hexadecimal(bytes)),
            Err(_) => return None,
        }
    }
    Some(out)
}

/// A quoted literal as `0x5C4E`.
pub(super) fn hexadecimal(literal: &[u8]) -> String {
    let hex: String = unquoted(literal).iter().map(|byte| format!("{byte:02X}")).collect();
    match hex.is_empty() {
        true => "''".to_string(),
        false => format!("0x{hex}"),
    }
}

/// The bytes that a quoted literal stands for.
pub(crate) fn unquoted(literal: &[u8]) -> Vec<u8> {
    let Some(quote) = literal.first() else { return Vec::new() };
    let end = literal.len().saturating_sub(1).max(1);
    let mut inner = literal[1..end].iter().copied();
    let mut out = Vec::new();
    while let Some(byte) = inner.next() {
        if byte == b'\\' {
            out.extend(inner.next().map(|escaped| match escaped {
                b'0' => 0,
                b'b' => 8,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'Z' => 26,
                other => other,
            }));
        } else {
            out.push(byte);
            if byte == *quote {
                // It is doubled.
                inner.next();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_hexadecimal() {
        let text = |sql: &[u8]| readable(sql.to_vec());
        assert_eq!(text(b"DEFAULT 'it''s'").as_deref(), Some("DEFAULT 'it''s'"));
        assert_eq!(
            text(b"`a` binary(9) DEFAULT '\\0\xFF\\\\''\\'\\n', `b` char(1) DEFAULT '\xC3\xA9'")
                .as_deref(),
            Some("`a` binary(9) DEFAULT 0x00FF5C27270A, `b` char(1) DEFAULT 'é'")
        );
        assert_eq!(text(b"`\xFF` int"), None);
        assert_eq!(hexadecimal(b"''"), "''");
        assert_eq!(hexadecimal(b"'"), "''");
    }
}
