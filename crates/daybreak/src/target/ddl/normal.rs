//! The same definition in words that every version shares.
//!
//! Only noise goes: what two servers print differently of one and the same table. Whatever it
//! doesn't know, it keeps, so that an unknown difference shows rather than hides.

use super::{
    CreateTable, Element, ElementKind, KeyKind, bytes::hexadecimal, parse::Words, token::TokenKind,
};
use crate::mysql::{Dialect, charset};

/// The collation that a character set has if none is named, on a server of this version.
///
/// Source: MySQL manual, *Supported Character Sets and Collations*; the default of utf8mb4 changed
/// in 8.0.1.
pub fn default_collation(charset: &str, dialect: &Dialect) -> String {
    let charset = charset.to_ascii_lowercase();
    let suffix = match charset.as_str() {
        "binary" => return "binary".to_string(),
        "utf8" => return "utf8_general_ci".to_string(),
        "utf8mb4" if dialect.mysql_from(8, 0, 1) => "0900_ai_ci",
        "latin1" => "swedish_ci",
        "big5" | "gb2312" | "gbk" | "gb18030" => "chinese_ci",
        "dec8" => "swedish_ci",
        "swe7" => "swedish_ci",
        "hp8" => "english_ci",
        "ujis" | "sjis" | "cp932" | "eucjpms" => "japanese_ci",
        "tis620" => "thai_ci",
        "euckr" => "korean_ci",
        _ => "general_ci",
    };
    format!("{charset}_{suffix}")
}

/// The name that newer versions use.
fn modern(name: &str) -> String {
    charset::modern(&name.to_ascii_lowercase())
}

/// The tokens of a text without white space, comments, and the marks of version comments.
fn plain(text: &str) -> Vec<String> {
    let words = Words::of(text);
    let mut out: Vec<String> = Vec::new();
    for at in 0..words.len() {
        match words.kind(at) {
            None | Some(TokenKind::VersionOpen | TokenKind::VersionClose) => {}
            // What a literal's character set is goes without saying in older versions.
            Some(TokenKind::Word)
                if matches!(words.text(at), "_utf8mb4" | "_utf8mb3" | "_utf8")
                    && words.kind(at + 1) == Some(TokenKind::Text) => {}
            // A number with a point in it, as MariaDB prints it without quotes.
            Some(_) if touches(&words, at) => {
                if let Some(last) = out.last_mut() {
                    last.push_str(words.text(at));
                }
            }
            Some(_) => out.push(words.text(at).to_string()),
        }
    }
    out
}

/// Whether a token goes on with the number before it: `0` `.` `50`.
fn touches(words: &Words<'_>, at: usize) -> bool {
    let digits = |at: usize| words.text(at).bytes().all(|byte| byte.is_ascii_digit());
    let adjacent = |at: usize| words.start(at - 1) + words.text(at - 1).len() == words.start(at);
    if at == 0 || !adjacent(at) {
        return false;
    }
    if words.is_mark(at, b'.') {
        digits(at - 1)
    } else {
        at >= 2 && digits(at) && words.is_mark(at - 1, b'.') && digits(at - 2) && adjacent(at - 1)
    }
}

fn is(token: Option<&String>, word: &str) -> bool {
    token.is_some_and(|token| token.eq_ignore_ascii_case(word))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.parse::<f64>().is_ok()
}

fn behind_group(tokens: &[String], at: usize) -> usize {
    let mut depth = 0usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" => depth += 1,
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return place + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// A table's options: (its collation, the others in alphabetical order).
fn options(table: &CreateTable, dialect: &Dialect) -> (String, Vec<String>) {
    let tokens = plain(&table.options);
    let (mut charset, mut collation, mut others) = (None, None, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let mut name = tokens[at].to_ascii_uppercase();
        at += 1;
        match name.as_str() {
            "DEFAULT" | "," => continue,
            "CHARACTER" if is(tokens.get(at), "SET") => {
                at += 1;
                name = "CHARSET".to_string();
            }
            "DATA" | "INDEX" if is(tokens.get(at), "DIRECTORY") => {
                at += 1;
                name = "DIRECTORY".to_string();
            }
            _ => {}
        }
        if is(tokens.get(at), "=") {
            at += 1;
        }
        let value = match tokens.get(at) {
            Some(open) if open == "(" => {
                let behind = behind_group(&tokens, at);
                let value = tokens[at..behind].join("");
                at = behind;
                value
            }
            Some(value) => {
                at += 1;
                value.clone()
            }
            None => String::new(),
        };
        match name.as_str() {
            "AUTO_INCREMENT" | "DIRECTORY" | "ENCRYPTION" => {}
            "TABLESPACE" => {
                if is(tokens.get(at), "STORAGE") {
                    at += 2;
                }
            }
            "CHARSET" => charset = Some(value),
            "COLLATE" => collation = Some(value),
            "ENGINE" => others.push(format!("{name}={}", value.to_ascii_lowercase())),
            _ => others.push(format!("{name}={value}")),
        }
    }
    others.sort();
    let collation = collation
        .or_else(|| charset.map(|charset| default_collation(&charset, dialect)))
        .unwrap_or_default();
    (modern(&collation), others)
}

fn column(text: &str, table_collation: &str, dialect: &Dialect) -> String {
    let tokens = plain(text);
    let kind = tokens.get(1).map(|kind| kind.to_ascii_lowercase()).unwrap_or_default();
    let zerofill = tokens.iter().any(|token| token.eq_ignore_ascii_case("zerofill"));
    let unsigned = tokens.iter().any(|token| token.eq_ignore_ascii_case("unsigned"));
    let integer =
        matches!(kind.as_str(), "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year");
    let number = integer || matches!(kind.as_str(), "decimal" | "float" | "double");
    let is_text = matches!(
        kind.as_str(),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
    );
    let mut out: Vec<String> = Vec::new();
    let (mut charset, mut collation) = (None, None);
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token == "(" {
            let behind = behind_group(&tokens, at);
            let width = behind == at + 3 && at == 2 && integer;
            let boolean = kind == "tinyint" && !unsigned && is(tokens.get(at + 1), "1");
            // MySQL 8.0.19 stopped to print widths, which mean nothing but to ZEROFILL.
            if !width || zerofill || boolean {
                out.extend_from_slice(&tokens[at..behind]);
            }
            at = behind;
        } else if is(Some(token), "CHARACTER") && is(tokens.get(at + 1), "SET") {
            charset = tokens.get(at + 2).cloned();
            at += 3;
        } else if is(Some(token), "COLLATE") && at > 1 {
            collation = tokens.get(at + 1).cloned();
            at += 2;
        } else if is(Some(token), "DEFAULT") && is(tokens.get(at + 1), "NULL") {
            at += 2;
        } else if is(Some(token), "NOT") && is(tokens.get(at + 1), "NULL") {
            out.push("NOT NULL".to_string());
            at += 2;
        } else if is(Some(token), "NULL") && at > 1 {
            at += 1;
        } else if is(Some(token), "current_timestamp") {
            out.push("CURRENT_TIMESTAMP".to_string());
            at += 1;
            if is(tokens.get(at), "(") && is(tokens.get(at + 1), ")") {
                at += 2;
            }
        } else if token == "-" && out.last().is_some_and(|last| last == "DEFAULT") {
            out.push(format!("-{}", tokens.get(at + 1).map_or("", String::as_str)));
            at += 2;
        } else if number
            && out.last().is_some_and(|last| last == "DEFAULT")
            && token.starts_with('\'')
            && is_number(token.trim_matches('\''))
        {
            out.push(token.trim_matches('\'').to_string());
            at += 1;
        } else if matches!(kind.as_str(), "binary" | "varbinary")
            && out.last().is_some_and(|last| last == "DEFAULT")
            && token.starts_with('\'')
        {
            out.push(hexadecimal(token.as_bytes()));
            at += 1;
        } else if (kind.ends_with("text") || kind.ends_with("blob"))
            && out.last().is_some_and(|last| last == "DEFAULT")
            && token.starts_with('\'')
        {
            // MySQL prints it in parentheses, MariaDB bare.
            out.extend(["(".to_string(), token.clone(), ")".to_string()]);
            at += 1;
        } else if at == 1 && kind == "geometrycollection" {
            // Its name from MySQL 8.0 on.
            out.push("geomcollection".to_string());
            at += 1;
        } else {
            out.push(token.clone());
            at += 1;
        }
    }
    // Products print it in different places.
    if let Some(at) = out.iter().position(|token| token.eq_ignore_ascii_case("INVISIBLE")) {
        out.remove(at);
        out.push("INVISIBLE".to_string());
    }
    if is_text {
        let collation = collation
            .or_else(|| charset.map(|charset| default_collation(&charset, dialect)))
            .unwrap_or_else(|| table_collation.to_string());
        out.push(format!("COLLATE {}", modern(&collation)));
    }
    out.join(" ")
}

/// A key or constraint without the words that go without saying.
fn other(text: &str) -> String {
    let tokens = plain(text);
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens.get(at), "USING") && is(tokens.get(at + 1), "BTREE") {
            at += 2;
        } else if is(tokens.get(at), "ON")
            && is(tokens.get(at + 2), "NO")
            && is(tokens.get(at + 3), "ACTION")
        {
            at += 4;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out.join(" ")
}

fn partitions(text: &str) -> String {
    let tokens = plain(text);
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let directory = (is(tokens.get(at), "DATA") || is(tokens.get(at), "INDEX"))
            && is(tokens.get(at + 1), "DIRECTORY");
        let tablespace = is(tokens.get(at), "TABLESPACE");
        if directory || tablespace {
            at += if directory { 2 } else { 1 };
            at += usize::from(is(tokens.get(at), "="));
            at += 1;
        } else {
            // Older versions print the expression as it was typed: without backticks, in any case.
            let token = &tokens[at];
            out.push(if token.starts_with(['\'', '"']) {
                token.clone()
            } else {
                token.trim_matches('`').to_ascii_lowercase()
            });
            at += 1;
        }
    }
    out.join(" ")
}

/// A column without its expressions.
fn loosely(text: &str) -> String {
    without_expressions(text, &["AS", "DEFAULT", "CHECK"])
}

/// A text with nothing left between the parentheses of expressions: those behind these words, and
/// those within a key's.
fn without_expressions(text: &str, behind: &[&str]) -> String {
    let tokens: Vec<String> = text.split(' ').map(str::to_string).collect();
    let mut out: Vec<&str> = Vec::new();
    let (mut at, mut depth) = (0, 0);
    while at < tokens.len() {
        let token = tokens[at].as_str();
        let follows = at > 0 && behind.iter().any(|word| is(tokens.get(at - 1), word));
        if token == "(" && (follows || depth > 0) {
            out.push("(expression)");
            at = behind_group(&tokens, at);
            continue;
        }
        // MariaDB prints a default that is a function without parentheses around it.
        if follows && is(tokens.get(at + 1), "(") && is(tokens.get(at - 1), "DEFAULT") {
            out.push("(expression)");
            at = behind_group(&tokens, at + 1);
            continue;
        }
        match token {
            "(" => depth += 1,
            ")" => depth = usize::saturating_sub(depth, 1),
            _ => {}
        }
        out.push(token);
        at += 1;
    }
    out.join(" ")
}

pub(super) fn normalised(table: &CreateTable, dialect: &Dialect, expressions: bool) -> String {
    let (collation, options) = options(table, dialect);
    let mut lines = vec![format!("table {}", table.name)];
    let texts = |wanted: fn(&ElementKind) -> bool, print: &dyn Fn(&Element) -> String| {
        table
            .elements
            .iter()
            .filter(|element| wanted(&element.kind))
            .map(print)
            .collect::<Vec<String>>()
    };
    lines.extend(texts(|kind| matches!(kind, ElementKind::Column { .. }), &|element| {
        let text = column(element.text(), &collation, dialect);
        match expressions {
            true => text,
            false => loosely(&text),
        }
    }));
    let mut rest = texts(|kind| !matches!(kind, ElementKind::Column { .. }), &|element| {
        let text = other(element.text());
        match element.kind {
            _ if expressions => text,
            // One thing in InnoDB, whether it is said or not.
            ElementKind::ForeignKey { .. } => {
                text.replace(" ON DELETE RESTRICT", "").replace(" ON UPDATE RESTRICT", "")
            }
            ElementKind::Check { .. } => without_expressions(&text, &["CHECK"]),
            ElementKind::Key { kind: KeyKind::Functional, .. } => without_expressions(&text, &[]),
            // InnoDB makes a tree of it; older servers print what was asked for.
            ElementKind::Key { .. } | ElementKind::PrimaryKey { .. } => {
                text.replace(" USING HASH", "")
            }
            _ => text,
        }
    });
    // Keys stand in the order in which they were added, which means nothing.
    rest.sort();
    lines.extend(rest);
    lines.push(format!("collation {collation}"));
    lines.extend(options);
    if expressions {
        lines.push(partitions(&table.partitions));
    } else {
        lines.push(format!("partitioned {}", !table.partitions.is_empty()));
    }
    lines.join("\n")
}
