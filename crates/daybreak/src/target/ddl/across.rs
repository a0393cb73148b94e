//! Fits a definition to a server of the other product: MySQL's to MariaDB, MariaDB's to MySQL.
//!
//! Only what means the same in other words is put into them, and said. What the other product can't
//! hold stays as it is, so that it is refused by name before a row moves
//! ([`crate::source::assess`]); nothing that changes what a table takes is left out silently.

use std::collections::BTreeSet;

use super::{
    CreateTable, Element, ElementKind,
    adapt::{end, splice},
    parse::Words,
    token::TokenKind,
};
use crate::mysql::{Dialect, quote};

/// The version comments that MariaDB doesn't read.
///
/// Source: MariaDB, *Comment Syntax*: those of 50700 to 99999.
const UNREAD_BY_MARIADB: std::ops::RangeInclusive<u32> = 50_700..=99_999;

/// Options of MariaDB's tables that MySQL doesn't know and that only say how a file is written.
const OF_MARIADB: [&str; 7] = [
    "PAGE_CHECKSUM",
    "TRANSACTIONAL",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "ENCRYPTED",
    "ENCRYPTION_KEY_ID",
    "IETF_QUOTES",
];

/// Puts a definition into the target's words. Returns what a person should know.
pub(super) fn adapt(table: &mut CreateTable, from: &Dialect, to: &Dialect) -> Vec<String> {
    match (from.is_mariadb(), to.is_mariadb()) {
        (false, true) => to_mariadb(table, to),
        (true, false) => to_mysql(table),
        _ => Vec::new(),
    }
}

fn column_name(element: &Element) -> Option<&str> {
    match &element.kind {
        ElementKind::Column { name, .. } => Some(name),
        _ => None,
    }
}

fn to_mariadb(table: &mut CreateTable, to: &Dialect) -> Vec<String> {
    let mut documents = Vec::new();
    let mut unread = BTreeSet::new();
    for element in &mut table.elements {
        let words_of_index = if to.version >= (10, 6, 0) { "IGNORED" } else { "" };
        let is_key = matches!(element.kind, ElementKind::Key { .. });
        let is_check = matches!(element.kind, ElementKind::Check { .. });
        element.raw = read_comments(&element.raw, &mut unread, |word| match word {
            "INVISIBLE" if is_key => Some(words_of_index.to_string()),
            "INVISIBLE" => Some("INVISIBLE".to_string()),
            // Left for the target to refuse: without it rows would be refused that are there.
            "NOT" if is_check => Some("NOT ENFORCED".to_string()),
            _ => None,
        });
        element.raw = without_introducers(&element.raw);
        let Some(name) = column_name(element).map(str::to_string) else { continue };
        element.raw = replaced_type(&element.raw, "geomcollection", "geometrycollection");
        let text = replaced_type(
            &element.raw,
            "json",
            "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        );
        if text == element.raw {
            continue;
        }
        element.raw = text;
        documents.push(name.clone());
        let words = Words::of(&element.raw);
        let generated = (0..words.len()).any(|at| words.is(at, "GENERATED"));
        if !generated {
            let check = format!(" CHECK (json_valid({}))", quote(&name));
            let place = end(&words, words.len() - 1);
            element.raw.insert_str(place, &check);
        }
    }
    table.options = read_comments(&table.options, &mut unread, |_| None);
    let mut notes = Vec::new();
    if !documents.is_empty() {
        notes.push(format!(
            "JSON is text on MariaDB ({}): LONGTEXT that CHECK (json_valid()) holds to the format",
            documents.join(", ")
        ));
    }
    if !unread.is_empty() {
        let unread: Vec<String> = unread.into_iter().collect();
        notes.push(format!("{} left out: MariaDB has no such thing", unread.join(", ")));
    }
    notes
}

/// Opens the version comments that MariaDB doesn't read: what `spell` knows by its first word stands
/// bare afterwards, the others are taken out and named.
fn read_comments(
    text: &str,
    unread: &mut BTreeSet<String>,
    spell: impl Fn(&str) -> Option<String>,
) -> String {
    let words = Words::of(text);
    let mut changes = Vec::new();
    for at in 0..words.len() {
        if words.kind(at) != Some(TokenKind::VersionOpen) {
            continue;
        }
        let version = words.text(at).trim_start_matches(|c: char| !c.is_ascii_digit());
        if !version.parse().is_ok_and(|version| UNREAD_BY_MARIADB.contains(&version)) {
            continue;
        }
        let close = (at..words.len())
            .find(|place| words.kind(*place) == Some(TokenKind::VersionClose))
            .unwrap_or(words.len() - 1);
        let span = words.start(at)..end(&words, close);
        let first = words.text(at + 1).to_ascii_uppercase();
        match spell(&first) {
            Some(spelled) => changes.push((span, spelled)),
            // An SRID changes what a column takes: left for the target to refuse. 0 is what it takes to be
            // without.
            None if first == "SRID" && words.text(at + 2) != "0" => {
                changes.push((span, format!("SRID {}", words.text(at + 2))));
            }
            None => {
                unread.insert(first);
                changes.push((span, String::new()));
            }
        }
    }
    splice(text, changes)
}

/// Texts without the `_utf8mb4` that MySQL prints before them, which says what the connection's character
/// set says already. MariaDB 10.11 stores a text behind it without escaping its quotes, and can't read
/// the table's expression afterwards (error 1064).
fn without_introducers(text: &str) -> String {
    let words = Words::of(text);
    let changes = (0..words.len())
        .filter(|at| words.is(*at, "_utf8mb4") && words.kind(at + 1) == Some(TokenKind::Text))
        .map(|at| (words.start(at)..end(&words, at), String::new()))
        .collect();
    splice(text, changes)
}

/// A column's text with another type, if it is of the first.
fn replaced_type(text: &str, from: &str, to: &str) -> String {
    let words = Words::of(text);
    if words.is(1, from) {
        splice(text, vec![(words.start(1)..end(&words, 1), to.to_string())])
    } else {
        text.to_string()
    }
}

fn to_mysql(table: &mut CreateTable) -> Vec<String> {
    let mut notes = Vec::new();
    let mut checks = Vec::new();
    for element in &mut table.elements {
        match &element.kind {
            ElementKind::Column { .. } => {
                checks.extend(take_check(element));
                element.raw = with_default_in_parentheses(&element.raw);
            }
            ElementKind::Key { .. } => element.raw = replaced_tail(&element.raw),
            _ => {}
        }
    }
    // MariaDB names checks within their table, MySQL within the database; and it numbers those that
    // were given no name the same way in every table.
    let table_name: String = table.name.chars().take(50).collect();
    let taken: BTreeSet<String> = table
        .elements
        .iter()
        .filter_map(|element| match &element.kind {
            ElementKind::Check { name } if !is_numbered(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let mut names = (1..)
        .map(|number| format!("{table_name}_chk_{number}"))
        .filter(move |name| !taken.contains(name));
    let mut named = |check: &str| {
        let name = names.next().unwrap_or_default();
        (format!("CONSTRAINT {} CHECK {check}", quote(&name)), name)
    };
    for element in &mut table.elements {
        let ElementKind::Check { name } = &element.kind else { continue };
        if !is_numbered(name) {
            continue;
        }
        let words = Words::of(&element.raw);
        let Some(check) = (0..words.len()).find(|at| words.is(*at, "CHECK")) else { continue };
        let (text, name) = named(element.raw[end(&words, check)..].trim());
        *element = Element { raw: format!("\n  {text}"), kind: ElementKind::Check { name } };
    }
    for check in checks {
        let (text, name) = named(&check);
        let raw = format!("\n  {text}");
        if let Some(last) = table.elements.last_mut() {
            last.raw = last.raw.trim_end().to_string();
        }
        table.elements.push(Element { raw, kind: ElementKind::Check { name } });
    }

    let words = Words::of(&table.options);
    let (mut changes, mut removed) = (Vec::new(), Vec::new());
    for at in 0..words.len() {
        let Some(name) = words.name(at).map(|name| name.to_ascii_uppercase()) else { continue };
        if !OF_MARIADB.contains(&name.as_str()) {
            continue;
        }
        let value = if words.is_mark(at + 1, b'=') { at + 2 } else { at + 1 };
        changes.push((words.start(at)..end(&words, value), String::new()));
        removed.push(name);
    }
    if !removed.is_empty() {
        notes.push(format!("{} left out: MySQL has no such option", removed.join(", ")));
        table.options = splice(&table.options, changes);
    }
    notes
}

/// Whether MariaDB gave the name: `CONSTRAINT_1`.
fn is_numbered(name: &str) -> bool {
    name.strip_prefix("CONSTRAINT_")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Takes the CHECK out of a column's text: MySQL prints it with the table. Returns the condition.
fn take_check(element: &mut Element) -> Option<String> {
    let words = Words::of(&element.raw);
    let mut at = 0;
    while at < words.len() {
        if words.is_mark(at, b'(') {
            at = words.behind_group(at);
            continue;
        }
        if words.is(at, "CHECK") && words.is_mark(at + 1, b'(') {
            let behind = words.behind_group(at + 1);
            let condition = element.raw[words.start(at + 1)..end(&words, behind - 1)].to_string();
            let span = words.start(at)..end(&words, behind - 1);
            element.raw = splice(&element.raw, vec![(span, String::new())]);
            return Some(condition);
        }
        at += 1;
    }
    None
}

/// A default that MySQL takes in parentheses only: a function, and any value of a BLOB or TEXT.
fn with_default_in_parentheses(text: &str) -> String {
    let words = Words::of(text);
    let kind = words.text(1).to_ascii_lowercase();
    let moment = matches!(kind.as_str(), "datetime" | "timestamp");
    let large = kind.ends_with("text") || kind.ends_with("blob");
    let mut at = 2;
    while at < words.len() {
        if words.is_mark(at, b'(') {
            at = words.behind_group(at);
            continue;
        }
        if words.is(at, "DEFAULT") {
            let first = at + 1;
            let now = words.is(first, "current_timestamp");
            let function = words.kind(first) == Some(TokenKind::Word)
                && words.is_mark(first + 1, b'(')
                && !(now && moment);
            let value = large && !words.is(first, "NULL") && !words.is_mark(first, b'(');
            if !(function || value) {
                return text.to_string();
            }
            let last = if words.is_mark(first + 1, b'(') {
                words.behind_group(first + 1) - 1
            } else {
                first
            };
            let span = words.start(first)..end(&words, last);
            let inner = format!("({})", &text[span.clone()]);
            return splice(text, vec![(span, inner)]);
        }
        at += 1;
    }
    text.to_string()
}

/// MariaDB's `IGNORED` behind a key is MySQL's `INVISIBLE`.
fn replaced_tail(text: &str) -> String {
    let words = Words::of(text);
    match words.len().checked_sub(1) {
        Some(last) if words.is(last, "IGNORED") => {
            splice(text, vec![(words.start(last)..end(&words, last), "INVISIBLE".to_string())])
        }
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(sql: &str, from: &str, to: &str) -> String {
        let mut table = CreateTable::parse(sql).unwrap();
        let (from, to) = (Dialect::read(from, None), Dialect::read(to, None));
        adapt(&mut table, &from, &to);
        table.sql("d")
    }

    #[test]
    fn to_mariadb() {
        let text = adapted(
            "CREATE TABLE `t` (\n  `id` int NOT NULL,\n  `a` int DEFAULT '4' /*!80023 INVISIBLE */ COMMENT 'json /*!80023 INVISIBLE */',\n  \
             `j` json DEFAULT (json_array()),\n  `g` json GENERATED ALWAYS AS (`j`) VIRTUAL,\n  \
             `p` point /*!80003 SRID 4326 */,\n  `q` point /*!80003 SRID 0 */,\n  PRIMARY KEY (`id`),\n  \
             KEY `a` (`a`) /*!80000 INVISIBLE */,\n  CONSTRAINT `c` CHECK ((`a` > 1)) /*!80016 NOT ENFORCED */,\n  \
             CONSTRAINT `q` CHECK ((`a` <> _utf8mb4'it\\'s _utf8mb4'))\n) \
             ENGINE=InnoDB /*!80016 ENCRYPTION='N' */\n/*!50100 PARTITION BY KEY (id) */",
            "9.7.0",
            "10.11.6-MariaDB",
        );
        for wanted in [
            "`a` int DEFAULT '4' INVISIBLE COMMENT 'json /*!80023 INVISIBLE */'",
            "`j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT (json_array()) CHECK (json_valid(`j`))",
            "`g` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin GENERATED ALWAYS AS (`j`) VIRTUAL,",
            // For the target to refuse.
            "`p` point SRID 4326",
            "CHECK ((`a` > 1)) NOT ENFORCED",
            "KEY `a` (`a`) IGNORED",
            "CHECK ((`a` <> 'it\\'s _utf8mb4'))",
            "/*!50100 PARTITION BY KEY (id) */",
        ] {
            assert!(text.contains(wanted), "{wanted} isn't in {text}");
        }
        assert!(!text.contains("SRID 0") && !text.contains("ENCRYPTION"), "{text}");
    }

    #[test]
    fn to_mysql() {
        let text = adapted(
            "CREATE TABLE `t` (\n  `id` char(36) NOT NULL DEFAULT uuid(),\n  `a` text DEFAULT 'x',\n  \
             `n` int(11) DEFAULT NULL COMMENT 'CHECK (1)' CHECK (`n` > 1),\n  \
             `at` datetime DEFAULT current_timestamp(),\n  `d` date DEFAULT current_timestamp(),\n  \
             PRIMARY KEY (`id`),\n  KEY `n` (`n`) IGNORED,\n  CONSTRAINT `CONSTRAINT_1` CHECK (`n` < 9),\n  \
             CONSTRAINT `t_chk_1` CHECK (`n` <> 5)\n) ENGINE=InnoDB PAGE_CHECKSUM=1 `PAGE_COMPRESSED`='ON'",
            "10.11.6-MariaDB",
            "9.7.0",
        );
        for wanted in [
            "DEFAULT (uuid())",
            "DEFAULT ('x')",
            "`n` int(11) DEFAULT NULL COMMENT 'CHECK (1)'",
            "`at` datetime DEFAULT current_timestamp()",
            "`d` date DEFAULT (current_timestamp())",
            "KEY `n` (`n`) INVISIBLE",
            // Numbered anew, past the name that is taken.
            "CONSTRAINT `t_chk_2` CHECK (`n` < 9)",
            "CONSTRAINT `t_chk_1` CHECK (`n` <> 5)",
            "CONSTRAINT `t_chk_3` CHECK (`n` > 1)",
        ] {
            assert!(text.contains(wanted), "{wanted} isn't in {text}");
        }
        assert!(!text.contains("PAGE_"), "{text}");
    }
}
