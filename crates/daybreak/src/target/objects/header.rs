//! The head of a CREATE statement as SHOW CREATE prints it: the definer, an event's status, a
//! trigger's place. What comes behind the head is never looked at.

use std::ops::Range;

use crate::{
    mysql::charset,
    target::ddl::token::{Token, TokenKind, tokens},
};

/// The tokens of a head that mean something.
struct Head<'a> {
    sql: &'a [u8],
    tokens: Vec<Token>,
}

impl<'a> Head<'a> {
    fn of(sql: &'a [u8]) -> Self {
        let mut tokens = tokens(sql);
        tokens.retain(|token| {
            !matches!(
                token.kind,
                TokenKind::Space
                    | TokenKind::Comment
                    | TokenKind::VersionOpen
                    | TokenKind::VersionClose
            )
        });
        Head { sql, tokens }
    }

    fn text(&self, at: usize) -> &'a [u8] {
        self.tokens.get(at).map_or(b"", |token| &self.sql[token.span.clone()])
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Word)
            && self.text(at).eq_ignore_ascii_case(word.as_bytes())
    }

    fn is_mark(&self, at: usize, mark: u8) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Mark(mark))
    }

    fn span(&self, from: usize, to: usize) -> Option<Range<usize>> {
        Some(self.tokens.get(from)?.span.start..self.tokens.get(to)?.span.end)
    }

    /// The first of some words.
    fn find(&self, from: usize, words: &[&str]) -> Option<usize> {
        (from..self.tokens.len()).find(|at| words.iter().any(|word| self.is(*at, word)))
    }
}

const KINDS: [&str; 5] = ["PROCEDURE", "FUNCTION", "VIEW", "TRIGGER", "EVENT"];

fn replace(sql: &[u8], span: Range<usize>, new: &[u8]) -> Vec<u8> {
    [&sql[..span.start], new, &sql[span.end..]].concat()
}

/// Where the account of `DEFINER=account` stands.
fn definer_span(sql: &[u8]) -> Option<Range<usize>> {
    let head = Head::of(sql);
    let kind = head.find(0, &KINDS)?;
    let at = (0..kind).find(|at| head.is(*at, "DEFINER") && head.is_mark(at + 1, b'='))?;
    let first = at + 2;
    // `user@host`, `CURRENT_USER()`, or a word alone.
    let longer = head.is_mark(first + 1, b'@') || head.is_mark(first + 1, b'(');
    let last = if longer { first + 2 } else { first };
    head.span(first, last)
}

/// The account of the definer, as it is written.
pub(super) fn definer(sql: &[u8]) -> Option<String> {
    definer_span(sql).map(|span| String::from_utf8_lossy(&sql[span]).into_owned())
}

/// The same statement with another definer.
pub(super) fn with_definer(sql: &[u8], definer: &str) -> Vec<u8> {
    match definer_span(sql) {
        Some(span) => replace(sql, span, definer.as_bytes()),
        None => sql.to_vec(),
    }
}

/// Where an event's status stands: `ENABLE`, `DISABLE`, `DISABLE ON SLAVE`.
fn status_span(sql: &[u8]) -> Option<Range<usize>> {
    let head = Head::of(sql);
    let kind = head.find(0, &["EVENT"])?;
    let completion = head.find(kind, &["COMPLETION"])?;
    let at = head.find(completion, &["ENABLE", "DISABLE", "DO"])?;
    if head.is(at, "DO") {
        return None;
    }
    let last = if head.is(at, "DISABLE") && head.is(at + 1, "ON") { at + 2 } else { at };
    head.span(at, last)
}

/// An event's status, as it is written.
pub(super) fn status(sql: &[u8]) -> Option<String> {
    status_span(sql).map(|span| String::from_utf8_lossy(&sql[span]).into_owned())
}

/// The same event with another status.
pub(super) fn with_status(sql: &[u8], status: &str) -> Vec<u8> {
    match status_span(sql) {
        Some(span) => replace(sql, span, status.as_bytes()),
        None => sql.to_vec(),
    }
}

/// The same routine or event with its comment as NO_BACKSLASH_ESCAPES reads it: servers print
/// comments with backslashes before them whatever the mode in which the text must be read again.
pub(super) fn with_plain_comment(sql: &[u8]) -> Vec<u8> {
    let head = Head::of(sql);
    let span = head.find(0, &KINDS).and_then(|kind| {
        let end = match head.is(kind, "EVENT") {
            true => head.find(kind, &["DO"])?,
            false => head.tokens.len(),
        };
        // Of a routine, each characteristic stands on its own line.
        let alone = |at: usize| sql[..head.tokens[at].span.start].ends_with(b"\n    ");
        let comment = (kind..end)
            .find(|at| head.is(*at, "COMMENT") && (head.is(kind, "EVENT") || alone(*at)))?;
        head.span(comment + 1, comment + 1)
    });
    let Some(span) = span else { return sql.to_vec() };
    let (mut plain, mut escaped) = (Vec::new(), false);
    for byte in &sql[span.clone()] {
        match (escaped, byte) {
            (false, b'\\') => escaped = true,
            (true, byte) => {
                plain.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'0' => 0,
                    other => *other,
                });
                escaped = false;
            }
            (false, byte) => plain.push(*byte),
        }
    }
    replace(sql, span, &plain)
}

/// The same trigger without `FOLLOWS x` or `PRECEDES x`: triggers are made in their order, and one
/// that it names may not be there yet.
pub(super) fn without_order(sql: &[u8]) -> Vec<u8> {
    let head = Head::of(sql);
    let span = head
        .find(0, &["TRIGGER"])
        .and_then(|kind| {
            (kind..head.tokens.len()).find(|at| head.is(*at, "EACH") && head.is(at + 1, "ROW"))
        })
        .filter(|at| head.is(at + 2, "FOLLOWS") || head.is(at + 2, "PRECEDES"))
        .and_then(|at| {
            let last = if head.is_mark(at + 4, b'.') { at + 5 } else { at + 3 };
            head.span(at + 2, last)
        });
    match span {
        Some(span) => replace(sql, span, b""),
        None => sql.to_vec(),
    }
}

/// The same function with the type that it returns in words that all versions share: no display
/// width (MySQL 8.0.19 dropped it, but for ZEROFILL and `tinyint(1)`), and `utf8mb3` for `utf8`.
pub(super) fn with_shared_type(sql: &[u8]) -> Vec<u8> {
    let head = Head::of(sql);
    let span = head.find(0, &["FUNCTION"]).and_then(|kind| {
        // The parameters, whose names may be anything, stand in parentheses of their own.
        let (mut depth, mut at) = (0usize, kind + 2);
        loop {
            match head.tokens.get(at)?.kind {
                TokenKind::Mark(b'(') => depth += 1,
                TokenKind::Mark(b')') if depth == 1 => break,
                TokenKind::Mark(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        // Each characteristic behind it stands on its own line.
        let start = head.is(at + 1, "RETURNS").then(|| head.tokens[at + 1].span.end)?;
        let end = sql[start..].iter().position(|byte| *byte == b'\n')?;
        Some(start..start + end)
    });
    let Some(span) = span else { return sql.to_vec() };
    let of = Head::of(&sql[span.clone()]);
    let integer = ["TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR"];
    let width = integer.iter().any(|kind| of.is(0, kind))
        && of.is_mark(1, b'(')
        && of.is_mark(3, b')')
        && of.find(0, &["ZEROFILL"]).is_none()
        && !(of.is(0, "TINYINT") && of.text(2) == b"1" && of.find(0, &["UNSIGNED"]).is_none());
    let mut shared = Vec::new();
    for at in (0..of.tokens.len()).filter(|at| !(width && (1..=3).contains(at))) {
        shared.push(b' ');
        let text = of.text(at);
        match std::str::from_utf8(text) {
            Ok(word) => shared.extend_from_slice(charset::modern(word).as_bytes()),
            Err(_) => shared.extend_from_slice(text),
        }
    }
    replace(sql, span, &shared)
}

/// What a trigger does: its text behind `FOR EACH ROW`.
pub(super) fn trigger_body(sql: &[u8]) -> &[u8] {
    let head = Head::of(sql);
    let row = head.find(0, &["TRIGGER"]).and_then(|kind| {
        (kind..head.tokens.len()).find(|at| head.is(*at, "EACH") && head.is(at + 1, "ROW"))
    });
    match row {
        Some(at) => sql[head.tokens[at + 1].span.end..].trim_ascii(),
        None => sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn return_types_are_one() {
        let of = |kind: &str| {
            let sql = format!(
                "CREATE DEFINER=`a`@`%` FUNCTION `f(`(`x)` int(11), y decimal(5,2)) RETURNS {kind}\n    \
                 DETERMINISTIC\nRETURN int(11)"
            );
            text(with_shared_type(sql.as_bytes()))
        };
        for (old, new) in [
            ("int(11)", "int"),
            ("bigint(20) unsigned", "bigint unsigned"),
            ("tinyint(4)", "tinyint"),
            ("tinyint(3) unsigned", "tinyint unsigned"),
            ("year(4)", "year"),
            ("varchar(9) CHARSET utf8", "varchar(9) CHARSET utf8mb3"),
            (
                "enum('a','utf8') CHARSET utf8 COLLATE utf8_bin",
                "enum('a','utf8') CHARSET utf8mb3 COLLATE utf8mb3_bin",
            ),
        ] {
            assert_eq!(of(old), of(new));
        }
        for (one, other) in [
            ("int(11)", "bigint(11)"),
            ("tinyint(1)", "tinyint"),
            ("int(5) zerofill", "int(6) zerofill"),
            ("char(5)", "char(6)"),
            ("varchar(9) CHARSET utf8", "varchar(9) CHARSET utf8mb4"),
        ] {
            assert_ne!(of(one), of(other));
        }
        assert!(
            of("int(11)").contains("`x)` int(11)") && of("int(11)").ends_with("RETURN int(11)")
        );
    }

    #[test]
    fn definers_are_replaced() {
        let cases = [
            (
                "CREATE DEFINER=`a``@b`@`%` PROCEDURE `DEFINER=`()\nSELECT 'DEFINER=x@y'",
                "`a``@b`@`%`",
            ),
            (
                "CREATE DEFINER=\"root\"@\"localhost\" FUNCTION \"f\"() RETURNS INT RETURN 1",
                "\"root\"@\"localhost\"",
            ),
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`u`@`h` SQL SECURITY DEFINER VIEW `v` AS select 1",
                "`u`@`h`",
            ),
            (
                "CREATE DEFINER='u'@'h' TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1",
                "'u'@'h'",
            ),
        ];
        for (sql, definer) in cases {
            assert_eq!(super::definer(sql.as_bytes()).as_deref(), Some(definer));
            let new = text(with_definer(sql.as_bytes(), "CURRENT_USER"));
            assert_eq!(new, sql.replacen(definer, "CURRENT_USER", 1));
        }
        // The body of an object without a definer is no place to look for one.
        let plain = b"CREATE VIEW v AS select 'x' AS `DEFINER`";
        assert_eq!(definer(plain), None);
    }

    #[test]
    fn events_change_their_status_only() {
        let sql = "CREATE DEFINER=`r`@`%` EVENT `ENABLE` ON SCHEDULE EVERY 1 DAY STARTS '2020-01-01' \
                   ON COMPLETION NOT PRESERVE ENABLE COMMENT 'DISABLE' DO SET @ENABLE = 1";
        let off = text(with_status(sql.as_bytes(), "DISABLE"));
        assert_eq!(off, sql.replacen("PRESERVE ENABLE", "PRESERVE DISABLE", 1));
        let replica = off.replacen("PRESERVE DISABLE", "PRESERVE DISABLE ON SLAVE", 1);
        assert_eq!(text(with_status(replica.as_bytes(), "ENABLE")), sql);
    }

    #[test]
    fn comments_lose_their_backslashes() {
        let sql = r#"CREATE PROCEDURE `p`()
    SQL SECURITY INVOKER
    COMMENT 'a\\b''\n'
SELECT '\\'"#;
        assert_eq!(
            text(with_plain_comment(sql.as_bytes())),
            sql.replacen("a\\\\b''\\n", "a\\b''\n", 1)
        );
        let none = "CREATE PROCEDURE p() CREATE TABLE t (a INT) COMMENT '\\\\'";
        assert_eq!(text(with_plain_comment(none.as_bytes())), none);
    }

    #[test]
    fn a_triggers_neighbour_is_left_out() {
        let sql = "CREATE TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW FOLLOWS `a``b` SET @f = 'FOLLOWS c'";
        assert_eq!(
            text(without_order(sql.as_bytes())),
            "CREATE TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW  SET @f = 'FOLLOWS c'"
        );
        let plain = "CREATE TRIGGER t AFTER DELETE ON x FOR EACH ROW SET @f = 1";
        assert_eq!(text(without_order(plain.as_bytes())), plain);
    }
}
