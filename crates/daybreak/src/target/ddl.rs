//! A table's definition as SHOW CREATE TABLE prints it, taken apart into its elements: so that a
//! table can be made without its secondary keys, these added later, and two sides be compared.
//!
//! Understands what servers print, not everything that may be written by hand. What it doesn't know
//! stays in the definition as it is; nothing is dropped without a note.

mod across;
mod adapt;
mod bytes;
mod columns;
mod normal;
mod parse;
pub mod token;

use std::collections::BTreeSet;

use crate::{
    error::Result,
    mysql::{Dialect, quote},
};

pub(crate) use bytes::{readable, unquoted};
pub use normal::default_collation;

/// What an element of a definition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementKind {
    /// A column.
    Column {
        /// Its name.
        name: String,
        /// Whether the server counts it up.
        auto_increment: bool,
        /// Whether it can't be NULL.
        not_null: bool,
    },
    /// The primary key.
    PrimaryKey {
        /// Its columns; none for an expression.
        columns: Vec<Option<String>>,
    },
    /// Another key.
    Key {
        /// Its name.
        name: String,
        /// Its kind.
        kind: KeyKind,
        /// Its columns; none for an expression or a prefix.
        columns: Vec<Option<String>>,
    },
    /// A foreign key.
    ForeignKey {
        /// Its name.
        name: String,
    },
    /// A CHECK constraint.
    Check {
        /// Its name; empty if it has none.
        name: String,
    },
    /// Something else, kept where it is: MariaDB's `PERIOD FOR SYSTEM_TIME`.
    Other,
}

/// The kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `UNIQUE KEY`.
    Unique,
    /// `KEY`.
    Plain,
    /// A key over at least one expression.
    Functional,
    /// `FULLTEXT KEY`.
    Fulltext,
    /// `SPATIAL KEY`.
    Spatial,
}

/// An element: what it is, and its text, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What it is.
    pub kind: ElementKind,
    /// The text between the commas, white space included.
    raw: String,
}

impl Element {
    /// The text, without white space around it.
    pub fn text(&self) -> &str {
        self.raw.trim()
    }

    /// Whether rows could break it. Of a key over expressions only its text says so.
    fn constrains(&self) -> bool {
        match &self.kind {
            ElementKind::Key {
                kind: KeyKind::Plain | KeyKind::Fulltext | KeyKind::Spatial,
                ..
            } => false,
            ElementKind::Key { kind: KeyKind::Functional, .. } => {
                let words = parse::Words::of(&self.raw);
                !words.is(0, "KEY") && !words.is(0, "INDEX")
            }
            _ => true,
        }
    }

    /// Whether these words follow each other in it, outside parentheses and quotes.
    pub fn has_words(&self, wanted: &str) -> bool {
        let words = parse::Words::of(&self.raw);
        let wanted: Vec<&str> = wanted.split(' ').collect();
        let mut at = 0;
        while at < words.len() {
            if words.is_mark(at, b'(') {
                at = words.behind_group(at);
                continue;
            }
            if wanted.iter().enumerate().all(|(n, word)| words.is(at + n, word)) {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// A table's definition, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// The table's name.
    pub name: String,
    /// Up to the opening parenthesis.
    head: String,
    /// Columns, keys, constraints, in order.
    pub elements: Vec<Element>,
    /// From behind the closing parenthesis to the partitions.
    pub options: String,
    /// The partitions; empty without.
    pub partitions: String,
}

/// What was left out of a table, as clauses of ALTER TABLE, in the order in which they are added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Keys: those of one inner list may be added by one ALTER TABLE.
    pub keys: Vec<Vec<Clause>>,
    /// Foreign keys.
    pub foreign_keys: Vec<Clause>,
}

/// One thing to add: `ADD KEY ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The key's or constraint's name.
    pub name: String,
    /// The clause, `ADD` included.
    pub sql: String,
    /// Whether rows could break it: a unique key, or a foreign key.
    pub constrains: bool,
}

impl LeftOut {
    /// The keys that no row can break, which may therefore be there while rows still change places.
    pub fn unconstrained(&self) -> Vec<Vec<Clause>> {
        let free = |keys: &Vec<Clause>| -> Vec<Clause> {
            keys.iter().filter(|clause| !clause.constrains).cloned().collect()
        };
        self.keys.iter().map(free).filter(|keys| !keys.is_empty()).collect()
    }
}

impl CreateTable {
    /// Takes a definition apart.
    ///
    /// # Errors
    /// `Unsupported` when it isn't a definition with a list of columns.
    pub fn parse(sql: &str) -> Result<Self> {
        parse::parse(sql)
    }

    /// The definition exactly as it was.
    pub fn original(&self) -> String {
        let raws: Vec<&str> = self.elements.iter().map(|element| element.raw.as_str()).collect();
        format!("{}({}){}{}", self.head, raws.join(","), self.options, self.partitions)
    }

    /// Whether a column is counted up by the server.
    pub fn auto_increment_column(&self) -> Option<&str> {
        self.elements.iter().find_map(|element| match &element.kind {
            ElementKind::Column { name, auto_increment: true, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the table has a primary key.
    pub fn has_primary_key(&self) -> bool {
        self.elements.iter().any(|element| matches!(element.kind, ElementKind::PrimaryKey { .. }))
    }

    /// The keys that a table can't do without while rows are loaded: the primary key, the key that
    /// AUTO_INCREMENT needs, and, without a primary key, the unique keys that may stand for it.
    ///
    /// InnoDB orders a table without a primary key by its first unique key without NULLs, and would
    /// rebuild the table if that came later.
    fn kept(&self) -> BTreeSet<usize> {
        let not_null: BTreeSet<&str> = self
            .elements
            .iter()
            .filter_map(|element| match &element.kind {
                ElementKind::Column { name, not_null: true, .. } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let counted = self.auto_increment_column();
        let has_primary_key = self.has_primary_key();
        let mut kept = BTreeSet::new();
        let leads = |columns: &[Option<String>]| {
            counted.is_some() && columns.first().and_then(|first| first.as_deref()) == counted
        };
        let (mut leader, mut second) = (None, None);
        for (at, element) in self.elements.iter().enumerate() {
            match &element.kind {
                ElementKind::PrimaryKey { columns } => {
                    kept.insert(at);
                    if leads(columns) {
                        leader = Some(at);
                    }
                }
                ElementKind::Key { kind, columns, .. } => {
                    if *kind == KeyKind::Unique
                        && !has_primary_key
                        && columns.iter().all(|column| {
                            column.as_deref().is_some_and(|column| not_null.contains(column))
                        })
                    {
                        kept.insert(at);
                    }
                    if leader.is_none() && leads(columns) {
                        leader = Some(at);
                    }
                    // MyISAM counts in a later column of a key, too.
                    let within = columns.iter().any(|c| c.is_some() && c.as_deref() == counted);
                    if second.is_none() && within {
                        second = Some(at);
                    }
                }
                _ => {}
            }
        }
        let within_primary = self.elements.iter().any(|element| match &element.kind {
            ElementKind::PrimaryKey { columns } => {
                columns.iter().any(|c| c.is_some() && c.as_deref() == counted)
            }
            _ => false,
        });
        match (leader, within_primary) {
            (Some(at), _) => {
                kept.insert(at);
            }
            (None, false) => kept.extend(second),
            (None, true) => {}
        }
        kept
    }

    fn stays(&self, at: usize, kept: &BTreeSet<usize>) -> bool {
        match self.elements[at].kind {
            ElementKind::Key { .. } => kept.contains(&at),
            ElementKind::ForeignKey { .. } => false,
            _ => true,
        }
    }

    /// The definition without the secondary keys and foreign keys that can be added later.
    pub fn without_secondary(&self) -> CreateTable {
        self.keeping(&self.kept())
    }

    /// The definition without its foreign keys: for a table of few rows, whose keys cost less while
    /// these come in than an ALTER TABLE does that sorts next to nothing (measured on 9.7: 20 ms of the
    /// server's time).
    pub fn without_foreign_keys(&self) -> CreateTable {
        let keys = (0..self.elements.len())
            .filter(|at| matches!(self.elements[*at].kind, ElementKind::Key { .. }));
        self.keeping(&keys.collect())
    }

    fn keeping(&self, kept: &BTreeSet<usize>) -> CreateTable {
        let elements = (0..self.elements.len())
            .filter(|at| self.stays(*at, kept))
            .map(|at| self.elements[at].clone())
            .collect();
        CreateTable { elements, ..self.clone() }
    }

    /// What [`CreateTable::without_secondary`] leaves out.
    ///
    /// Unique and plain keys that follow each other share an ALTER TABLE. A FULLTEXT key stands
    /// alone (InnoDB builds one at a time), as do SPATIAL ones and those over expressions (which
    /// bring a hidden column along, and would turn the whole statement into a copy of the table).
    pub fn left_out(&self) -> LeftOut {
        let kept = self.kept();
        let mut left = LeftOut::default();
        let mut open = false;
        for (at, element) in self.elements.iter().enumerate() {
            if self.stays(at, &kept) {
                continue;
            }
            let clause = |name: &str| Clause {
                name: name.to_string(),
                sql: format!("ADD {}", element.text()),
                constrains: element.constrains(),
            };
            match &element.kind {
                ElementKind::Key { name, kind, .. } => {
                    let alone = !matches!(kind, KeyKind::Unique | KeyKind::Plain);
                    match left.keys.last_mut() {
                        Some(last) if open && !alone => last.push(clause(name)),
                        _ => left.keys.push(vec![clause(name)]),
                    }
                    open = !alone;
                }
                ElementKind::ForeignKey { name } => left.foreign_keys.push(clause(name)),
                _ => {}
            }
        }
        left
    }

    /// Puts databases that foreign keys refer to (those of other databases than the table's own) into other
    /// names.
    pub fn refer(&mut self, name: impl Fn(&str) -> String) {
        for element in &mut self.elements {
            if matches!(element.kind, ElementKind::ForeignKey { .. }) {
                element.raw = parse::referring(&element.raw, &name);
            }
        }
    }

    /// The statement that makes the table, in a database.
    pub fn sql(&self, database: &str) -> String {
        let texts: Vec<&str> = self.elements.iter().map(Element::text).collect();
        format!(
            "CREATE TABLE {}.{} (\n  {}\n){}{}",
            quote(database),
            quote(&self.name),
            texts.join(",\n  "),
            self.options,
            self.partitions
        )
    }

    /// The same definition in the words that all versions share, for comparing two sides:
    /// AUTO_INCREMENT's next value, display widths, old names of character sets, collations that go
    /// without saying, version comments and the order of keys make no difference.
    ///
    /// `dialect` is that of the server that printed it.
    pub fn normalised(&self, dialect: &Dialect) -> String {
        normal::normalised(self, dialect, true)
    }

    /// The same without expressions (generated columns, defaults, CHECKs, partitions, keys over
    /// expressions), which a server prints in its own words: for comparing servers of two series.
    pub fn normalised_loosely(&self, dialect: &Dialect) -> String {
        normal::normalised(self, dialect, false)
    }

    /// Fits the definition to the target: says what the source's version leaves unsaid, and takes
    /// out what can't be there. Returns what a person should know.
    pub fn adapt(&mut self, from: &Dialect, to: &adapt::Adaptation) -> Vec<String> {
        adapt::adapt(self, from, to)
    }
}

pub use adapt::Adaptation;

#[cfg(test)]
mod tests;
