//! Cuts SQL into tokens: words, quoted names and texts, comments, version comments, marks.
//!
//! Works on bytes, since a routine's text may be in any character set that holds ASCII. Knows no
//! grammar, and refuses nothing: what isn't closed reaches to the end.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// White space.
    Space,
    /// A keyword, a bare name or a number; bytes above ASCII count as letters.
    Word,
    /// A name in backticks.
    Name,
    /// A text in single or double quotes.
    Text,
    /// A comment that the server doesn't read.
    Comment,
    /// The opening of a comment that the server reads: `/*!`, `/*!80013`, `/*M!100301`.
    VersionOpen,
    /// Its end.
    VersionClose,
    /// One byte of anything else.
    Mark(u8),
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where.
    pub span: Range<usize>,
}

/// Cuts a statement into tokens that together are all of it.
///
/// Backslashes escape within texts, as in what a server prints under a `sql_mode` without
/// `NO_BACKSLASH_ESCAPES`.
pub fn tokens(sql: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut at, mut within_version) = (0, false);
    while at < sql.len() {
        let rest = &sql[at..];
        let (kind, length) = next(rest, within_version);
        match kind {
            TokenKind::VersionOpen => within_version = true,
            TokenKind::VersionClose => within_version = false,
            _ => {}
        }
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
    tokens
}

fn next(rest: &[u8], within_version: bool) -> (TokenKind, usize) {
    let first = rest[0];
    let run = |belongs: fn(u8) -> bool| {
        rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len())
    };
    match first {
        byte if byte.is_ascii_whitespace() => (TokenKind::Space, run(|b| b.is_ascii_whitespace())),
        byte if is_word(byte) => (TokenKind::Word, run(is_word)),
        b'`' => (TokenKind::Name, quoted(rest, b'`', false)),
        b'\'' | b'"' => (TokenKind::Text, quoted(rest, first, true)),
        b'*' if within_version && rest.starts_with(b"*/") => (TokenKind::VersionClose, 2),
        b'/' if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") => {
            let mark = if rest[2] == b'M' { 4 } else { 3 };
            let digits = rest[mark..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (TokenKind::VersionOpen, mark + digits)
        }
        b'/' if rest.starts_with(b"/*") => {
            let end = rest[2..].windows(2).position(|pair| pair == b"*/");
            (TokenKind::Comment, end.map_or(rest.len(), |end| end + 4))
        }
        b'#' => (TokenKind::Comment, line(rest)),
        b'-' if rest.starts_with(b"--")
            && rest.get(2).is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control()) =>
        {
            (TokenKind::Comment, line(rest))
        }
        byte => (TokenKind::Mark(byte), 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

fn line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn quoted(rest: &[u8], quote: u8, backslash: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' if backslash => at += 2,
            byte if byte == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The name within backticks, or a bare word.
pub fn unquoted(text: &str) -> String {
    match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sql: &str) -> Vec<&str> {
        tokens(sql.as_bytes())
            .into_iter()
            .filter(|token| token.kind != TokenKind::Space)
            .map(|token| &sql[token.span])
            .collect()
    }

    #[test]
    fn quotes_and_comments_are_whole() {
        assert_eq!(
            cut("`a``\n,` 'it''s \\' (' \"x\"\"y\""),
            ["`a``\n,`", "'it''s \\' ('", "\"x\"\"y\""]
        );
        assert_eq!(
            cut("a/* ' */b -- '\nc--1 # `"),
            ["a", "/* ' */", "b", "-- '", "c", "-", "-", "1", "# `"]
        );
        assert_eq!(cut("x /*!80023 INVISIBLE */,"), ["x", "/*!80023", "INVISIBLE", "*/", ","]);
        assert_eq!(cut("2 */ 3"), ["2", "*", "/", "3"]);
        assert_eq!(cut("'open"), ["'open"]);
        assert_eq!(cut("'open\\"), ["'open\\"]);
    }
}
