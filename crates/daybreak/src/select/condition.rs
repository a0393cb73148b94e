//! Conditions on the rows that a migration takes: one SQL expression of the operator's for a table.
//!
//! It becomes part of statements as it is, in parentheses and beside a range of keys: whatever could end
//! the parentheses early, hide what follows, or hold for a row at one moment and not at the next is
//! refused here. That it means something to the server is asked of the source, which alone reads it.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    target::ddl::token::{Token, TokenKind, tokens},
};

/// A condition that a row must fulfil to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Condition(String);

/// Functions whose result depends on the moment, the session or chance, or that do something.
///
/// Source: MySQL manual, *Functions and Operators*; MariaDB adds those on sequences.
const UNSTEADY: [&str; 38] = [
    "benchmark",
    "connection_id",
    "curdate",
    "current_role",
    "curtime",
    "database",
    "found_rows",
    "get_lock",
    "is_free_lock",
    "is_used_lock",
    "last_insert_id",
    "lastval",
    "load_file",
    "master_gtid_wait",
    "master_pos_wait",
    "nextval",
    "now",
    "ps_current_thread_id",
    "rand",
    "random_bytes",
    "release_all_locks",
    "release_lock",
    "row_count",
    "schema",
    "session_user",
    "setval",
    "sleep",
    "source_pos_wait",
    "sys_guid",
    "sysdate",
    "system_user",
    "sql_thread_wait_after_gtids",
    "user",
    "uuid",
    "uuid_short",
    "uuid_v4",
    "uuid_v7",
    "wait_for_executed_gtid_set",
];

/// The same that need no parentheses: reserved words.
const UNSTEADY_WORDS: [&str; 9] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "utc_date",
    "utc_time",
    "utc_timestamp",
];

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// `Config` when it isn't one whole expression, or when it may not hold twice.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let refuse = |what: String, next: &str| Err(Error::new(Kind::Config, what).next(next));
        const ONE: &str =
            "write one SQL expression over the table's columns, as it stands behind WHERE";
        if text.is_empty() {
            return refuse("the condition is empty".into(), ONE);
        }
        let all: Vec<Token> = tokens(text.as_bytes())
            .into_iter()
            .filter(|token| token.kind != TokenKind::Space)
            .collect();
        let word = |at: usize| all.get(at).map_or("", |token: &Token| &text[token.span.clone()]);
        let is = |at: usize, wanted: &str| {
            all.get(at).is_some_and(|token| token.kind == TokenKind::Word)
                && word(at).eq_ignore_ascii_case(wanted)
        };
        let mut open = 0_u32;
        for (at, token) in all.iter().enumerate() {
            let said = &text[token.span.clone()];
            match token.kind {
                TokenKind::Comment | TokenKind::VersionOpen | TokenKind::VersionClose => {
                    return refuse(
                        format!("the condition holds a comment ({said})"),
                        "leave it out: it could hide what follows the condition",
                    );
                }
                TokenKind::Text | TokenKind::Name if !is_closed(said) => {
                    return refuse(
                        format!("the condition holds a quote without its other ({said})"),
                        ONE,
                    );
                }
                // The client looks for `:name` outside of texts, and takes the quote of \\' for one within.
                TokenKind::Text if escapes_before_quote(said) => {
                    return refuse(
                        format!(
                            "the condition holds a text with a backslash before a quote ({said})"
                        ),
                        "write the backslash as CHAR(92), with CONCAT",
                    );
                }
                TokenKind::Mark(b'(') => open += 1,
                TokenKind::Mark(b')') if open == 0 => {
                    return refuse(
                        "the condition closes a parenthesis that it doesn't open".into(),
                        ONE,
                    );
                }
                TokenKind::Mark(b')') => open -= 1,
                TokenKind::Mark(mark @ (b';' | b'?' | b'@' | b':' | b'\\' | 0)) => {
                    let mark = char::from(mark).escape_default();
                    return refuse(
                        format!("the condition holds `{mark}`"),
                        match token.kind {
                            TokenKind::Mark(b'@') => {
                                "write the value itself: a variable isn't the same in every session"
                            }
                            _ => ONE,
                        },
                    );
                }
                TokenKind::Word | TokenKind::Name => {
                    // A function may be called by its quoted name, a word not.
                    let quoted = token.kind == TokenKind::Name;
                    let said = said.trim_matches('`');
                    // `x.now` is a column, `x.now()` a function of somebody's.
                    let qualified = at > 0 && all[at - 1].kind == TokenKind::Mark(b'.');
                    let called =
                        all.get(at + 1).is_some_and(|next| next.kind == TokenKind::Mark(b'('));
                    let lower = said.to_ascii_lowercase();
                    // With an argument it computes from that alone.
                    let now = lower == "unix_timestamp"
                        && all.get(at + 2).is_some_and(|next| next.kind == TokenKind::Mark(b')'));
                    let unsteady = (!quoted && UNSTEADY_WORDS.contains(&lower.as_str()))
                        || (called && (now || UNSTEADY.contains(&lower.as_str())));
                    if unsteady && !qualified {
                        return refuse(
                            format!(
                                "the condition asks for {}, which isn't the same twice: what is copied \
                                     couldn't be proven afterwards",
                                said.to_ascii_uppercase()
                            ),
                            "write the value itself, such as '2026-01-31 00:00:00' (TIMESTAMP columns are \
                             compared in UTC)",
                        );
                    }
                    // Which rows these leave, the server may decide otherwise each time.
                    let some = (!qualified && (is(at, "limit") || is(at, "over")))
                        || (is(at, "rownum") && called)
                        || (is(at, "fetch") && (is(at + 1, "first") || is(at + 1, "next")));
                    if some {
                        return refuse(
                            format!(
                                "the condition asks for some of the rows ({}), which need not be the same twice",
                                said.to_ascii_uppercase()
                            ),
                            "write what the rows' values must be",
                        );
                    }
                    let locks = (is(at, "for") && (is(at + 1, "update") || is(at + 1, "share")))
                        || (is(at, "lock") && is(at + 1, "in"))
                        || ((is(at, "next") || is(at, "previous")) && is(at + 1, "value"));
                    if locks || (is(at, "into") && !qualified) {
                        return refuse(format!("the condition does more than ask ({said})"), ONE);
                    }
                }
                _ => {}
            }
        }
        if open > 0 {
            return refuse("the condition opens a parenthesis that it doesn't close".into(), ONE);
        }
        Ok(Condition(text.to_string()))
    }

    /// The condition in parentheses, for SQL.
    pub fn sql(&self) -> String {
        format!("({})", self.0)
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_closed(quoted: &str) -> bool {
    let Some(quote) = quoted.chars().next() else { return false };
    // Cut as a whole: its last character closes it unless it is escaped, or one of a pair.
    let inner = &quoted[1..];
    let mut rest = inner.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\\' && quote != '`' {
            rest.next();
        } else if c == quote {
            match rest.peek() {
                Some(next) if *next == quote => drop(rest.next()),
                Some(_) => return false,
                None => return true,
            }
        }
    }
    false
}

fn escapes_before_quote(text: &str) -> bool {
    ["\\\\'", "\\\\\""].iter().any(|pair| text.contains(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_expression_is_taken() {
        for fine in [
            "id > 5",
            " a = 1 OR b IN (SELECT id FROM shop.customers WHERE region = 'EU') ",
            "name LIKE 'it''s; -- (%' AND `we;ird(` = \"x)\"",
            "UNIX_TIMESTAMP(created) > 5 AND x.now = user",
            "t > '10:30:00' AND j->'$.a' = 1",
            "a - -1 = 2",
            "`limit` > 5 AND `now` = 1",
        ] {
            let condition = Condition::parse(fine).unwrap();
            assert_eq!(condition.sql(), format!("({})", fine.trim()), "{fine}");
        }
    }

    #[test]
    fn what_would_end_or_hide_is_refused() {
        for (wrong, why) in [
            ("", "is empty"),
            ("a = 1) OR (1 = 1", "closes a parenthesis"),
            ("(a = 1", "opens a parenthesis"),
            ("a = 1; DROP TABLE t", "holds `;`"),
            ("a = 1 -- x", "a comment"),
            ("a = 1 --", "a comment"),
            ("a = 1 # x", "a comment"),
            ("a = /* x */ 1", "a comment"),
            ("a = /*!50000 1 */", "a comment"),
            ("a = 'x", "a quote without its other"),
            ("a = 'x\\'", "a quote without its other"),
            ("`a = 1", "a quote without its other"),
            ("a = 'x\\\\'", "a backslash before a quote"),
            ("a = 'x\\\\'' :y'", "a backslash before a quote"),
            ("a = @x", "holds `@`"),
            ("a = ?", "holds `?`"),
            ("a = :x", "holds `:`"),
            ("a IN (SELECT b FROM t FOR UPDATE)", "does more than ask"),
            ("a IN (SELECT b FROM t LOCK IN SHARE MODE)", "does more than ask"),
            ("`rand`() < 0.1", "isn't the same twice"),
            ("a IN (SELECT b FROM (SELECT b FROM t LIMIT 5) AS d)", "some of the rows"),
            (
                "a = (SELECT MAX(n) FROM (SELECT ROW_NUMBER() OVER (ORDER BY c) AS n FROM t) AS d)",
                "some of the rows",
            ),
            ("ROWNUM() < 5", "some of the rows"),
        ] {
            let error = Condition::parse(wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.what().contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_isnt_the_same_twice_is_refused() {
        for wrong in [
            "a > NOW()",
            "a > now (6)",
            "RAND() < 0.1",
            "a < CURRENT_TIMESTAMP",
            "a < utc_date",
            "a > UNIX_TIMESTAMP()",
            "a > UNIX_TIMESTAMP ( )",
            "owner = CURRENT_USER()",
            "a = UUID()",
            "SLEEP(1) = 0",
        ] {
            let error = Condition::parse(wrong).unwrap_err();
            assert!(error.what().contains("isn't the same twice"), "{wrong}: {error}");
        }
    }
}
