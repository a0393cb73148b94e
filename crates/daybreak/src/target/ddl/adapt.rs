//! Fits a definition to the target: says what the source's version leaves unsaid, takes out what
//! can't be there, and tells of both.

use std::{collections::BTreeSet, ops::Range};

use super::{CreateTable, ElementKind, normal::default_collation, parse::Words, token::TokenKind};
use crate::mysql::Dialect;

/// What the target demands of a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// Storage engines that it refuses, in lower case: such tables become InnoDB.
    pub refused_engines: BTreeSet<String>,
    /// Storage engines that it has, in lower case; tables of others that hold rows become InnoDB. None:
    /// not asked.
    pub engines: Option<BTreeSet<String>>,
    /// What the target is; none: of the source's product.
    pub to: Option<Dialect>,
}

impl Adaptation {
    /// Whether tables of an engine are made as InnoDB.
    pub fn refuses(&self, engine: &str) -> bool {
        let engine = engine.to_ascii_lowercase();
        self.refused_engines.contains(&engine)
            || self.engines.as_ref().is_some_and(|engines| !engines.contains(&engine))
    }
}

/// Takes spans out of a text, or puts others in their place.
pub(super) fn splice(text: &str, mut changes: Vec<(Range<usize>, String)>) -> String {
    changes.sort_by_key(|(span, _)| span.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (span, new) in changes {
        if span.start >= at {
            out.push_str(&text[at..span.start]);
            out.push_str(&new);
            at = span.end;
        }
    }
    out.push_str(&text[at..]);
    out
}

pub(super) fn end(words: &Words<'_>, at: usize) -> usize {
    words.start(at) + words.text(at).len()
}

/// The value of an option, unless it is quoted.
pub(super) fn option_value(options: &str, name: &str) -> Option<String> {
    let words = Words::of(options);
    (0..words.len()).find(|at| words.is(*at, name)).map(|at| {
        let value = if words.is_mark(at + 1, b'=') { at + 2 } else { at + 1 };
        words.text(value).to_string()
    })
}

/// Takes out `DATA DIRECTORY`, `INDEX DIRECTORY` and `TABLESPACE`.
fn without_places(text: &str, removed: &mut BTreeSet<&'static str>) -> String {
    let words = Words::of(text);
    let mut changes = Vec::new();
    for at in 0..words.len() {
        let (what, mut value) = if words.is(at, "DATA") && words.is(at + 1, "DIRECTORY") {
            ("DATA DIRECTORY", at + 2)
        } else if words.is(at, "INDEX") && words.is(at + 1, "DIRECTORY") {
            ("INDEX DIRECTORY", at + 2)
        } else if words.is(at, "TABLESPACE") {
            ("TABLESPACE", at + 1)
        } else {
            continue;
        };
        if words.is_mark(value, b'=') {
            value += 1;
        }
        let mut last = value;
        if what == "TABLESPACE" && words.is(last + 1, "STORAGE") {
            last += 2;
        }
        // A version comment that held nothing else goes with it.
        let alone = at > 0
            && words.kind(at - 1) == Some(TokenKind::VersionOpen)
            && words.kind(last + 1) == Some(TokenKind::VersionClose);
        let span = if alone {
            words.start(at - 1)..end(&words, last + 1)
        } else {
            words.start(at)..end(&words, last)
        };
        removed.insert(what);
        changes.push((span, String::new()));
    }
    splice(text, changes)
}

/// Names the collation behind each character set that stands alone.
fn with_collations(text: &str, dialect: &Dialect, table_option: bool) -> String {
    let words = Words::of(text);
    let mut changes = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words.is_mark(at, b'(') {
            at = words.behind_group(at);
            continue;
        }
        let mut value = if words.is(at, "CHARACTER") && words.is(at + 1, "SET") {
            at + 2
        } else if words.is(at, "CHARSET") {
            at + 1
        } else {
            at += 1;
            continue;
        };
        if words.is_mark(value, b'=') {
            value += 1;
        }
        if !words.is(value + 1, "COLLATE") {
            let collation = default_collation(words.text(value), dialect);
            let equals = if table_option { "=" } else { " " };
            let place = end(&words, value);
            changes.push((place..place, format!(" COLLATE{equals}{collation}")));
        }
        at = value + 1;
    }
    splice(text, changes)
}

/// Leaves out a column's collation where it is the table's: the server prints it whether or not it
/// was written, and would print a written one differently.
fn without_inherited(text: &str, table_collation: &str) -> String {
    let words = Words::of(text);
    let mut changes = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words.is_mark(at, b'(') {
            at = words.behind_group(at);
            continue;
        }
        if words.is(at, "CHARACTER") || words.is(at, "CHARSET") {
            return text.to_string();
        }
        if words.is(at, "COLLATE") && words.is(at + 1, table_collation) {
            changes.push((words.start(at)..words.start(at + 2), String::new()));
        }
        at += 1;
    }
    splice(text, changes)
}

/// A key's text without `USING HASH`.
fn without_hash(text: &str) -> String {
    let words = Words::of(text);
    let changes = (0..words.len())
        .filter(|at| words.is(*at, "USING") && words.is(at + 1, "HASH"))
        .map(|at| (words.start(at)..end(&words, at + 1), String::new()))
        .collect();
    splice(text, changes)
}

pub(super) fn adapt(table: &mut CreateTable, from: &Dialect, to: &Adaptation) -> Vec<String> {
    let mut notes = Vec::new();
    let mut removed = BTreeSet::new();
    table.options = without_places(&table.options, &mut removed);
    table.partitions = without_places(&table.partitions, &mut removed);
    if !removed.is_empty() {
        let removed: Vec<&str> = removed.into_iter().collect();
        notes.push(format!(
            "{} left out: files lie where the target keeps them",
            removed.join(", ")
        ));
    }

    table.options = with_collations(&table.options, from, true);
    let table_collation = option_value(&table.options, "COLLATE").unwrap_or_default();
    for element in &mut table.elements {
        if matches!(element.kind, ElementKind::Column { .. }) {
            element.raw = without_inherited(&element.raw, &table_collation);
            element.raw = with_collations(&element.raw, from, false);
        }
    }

    if let Some(target) = &to.to {
        notes.extend(super::across::adapt(table, from, target));
    }

    let words = Words::of(&table.options);
    let engine = (0..words.len())
        .find(|at| words.is(*at, "ENGINE"))
        .map(|at| if words.is_mark(at + 1, b'=') { at + 2 } else { at + 1 });
    if let Some(at) = engine {
        let name = words.text(at).to_string();
        if to.refuses(&name) {
            let mut changes = vec![(words.start(at)..end(&words, at), "InnoDB".to_string())];
            // Formats of other engines mean nothing to InnoDB, which refuses them.
            if let Some(at) = (0..words.len()).find(|at| words.is(*at, "ROW_FORMAT")) {
                let value = if words.is_mark(at + 1, b'=') { at + 2 } else { at + 1 };
                if words.is(value, "FIXED") || words.is(value, "PAGE") {
                    changes.push((words.start(at)..end(&words, value), String::new()));
                }
            }
            table.options = splice(&table.options, changes);
            // InnoDB has no keys by hash: it makes trees of them and says nothing.
            for element in &mut table.elements {
                if matches!(element.kind, ElementKind::PrimaryKey { .. } | ElementKind::Key { .. })
                {
                    element.raw = without_hash(&element.raw);
                }
            }
            // Partitions each name the engine as well.
            let words = Words::of(&table.partitions);
            let changes = (0..words.len())
                .filter(|at| words.is(*at, "ENGINE"))
                .map(|at| if words.is_mark(at + 1, b'=') { at + 2 } else { at + 1 })
                .map(|at| (words.start(at)..end(&words, at), "InnoDB".to_string()))
                .collect();
            table.partitions = splice(&table.partitions, changes);
            notes.push(format!("engine {name} becomes InnoDB: the target refuses {name}"));
        }
    }
    notes
}
