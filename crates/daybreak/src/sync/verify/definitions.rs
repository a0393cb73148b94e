//! Definitions of everything that was selected, read from `information_schema` of either side in a
//! form in which equal things are spelled equally whatever the version, and the differences between
//! two such readings.
//!
//! Not compared, because a migration changes them on purpose: definers, whether events are enabled,
//! AUTO_INCREMENT counters. Bodies that a server prints in its own words (views, expressions) are
//! compared between servers of one series only; between others, that they exist.

mod objects;
mod products;
mod spelling;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use super::report::{DefinitionDifference, ObjectCount};
use crate::{
    engine::Severity,
    error::Result,
    mysql::{Dialect, Session, TableName, charset, quote_text},
    select::Selection,
};

/// A part of an object: its class and its name.
type Part = (&'static str, String);

/// The parts of an object.
type Parts = BTreeMap<Part, String>;

/// What a side has: objects by kind and name, each with its parts.
#[derive(Debug)]
pub struct Definitions {
    dialect: Dialect,
    /// What is called otherwise on the target: objects of the source have the target's names here.
    selection: Selection,
    objects: BTreeMap<(&'static str, String), Parts>,
}

/// Classes that only inform: differing there doesn't make the sides different.
const INFORM: [&str; 5] = ["engine", "row format", "comment", "schedule", "partition"];

/// Classes in the server's own words, comparable within a series only.
const OWN_WORDS: [&str; 5] = ["expression", "definition", "sql_mode", "order", "partition"];

/// Classes that are counted as if they were objects.
const COUNTED: [&str; 4] = ["column", "index", "foreign key", "check"];

impl Definitions {
    /// Reads a side. Takes no lock.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<Self> {
        let dialect = session.dialect().clone();
        let selection_of = selection.clone();
        let mut read = Definitions { dialect, selection: selection_of, objects: BTreeMap::new() };
        let databases = read.databases(session, selection).await?;
        if databases.is_empty() {
            return Ok(read);
        }
        let quoted: Vec<String> = databases.iter().map(|name| quote_text(name)).collect();
        let within = format!("IN ({})", quoted.join(", "));
        read.tables(session, selection, &within).await?;
        read.views(session, selection, &within).await?;
        read.routines(session, selection, &within).await?;
        read.triggers(session, selection, &within).await?;
        read.events(session, selection, &within).await?;
        Ok(read)
    }

    async fn databases(
        &mut self,
        session: &mut Session,
        selection: &Selection,
    ) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for row in session
            .rows(
                "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
                 FROM information_schema.SCHEMATA",
            )
            .await?
        {
            let name: String = session.field(&row, "SCHEMA_NAME")?;
            if !selection.takes_database(&name) {
                continue;
            }
            let collation: String = session.field(&row, "DEFAULT_COLLATION_NAME")?;
            let named = self.selection.database_on_target(&name);
            self.put("database", &named, ("collation", String::new()), charset::modern(&collation));
            names.push(name);
        }
        Ok(names)
    }

    fn put(&mut self, kind: &'static str, name: &str, part: Part, value: String) {
        self.objects.entry((kind, name.to_string())).or_default().insert(part, value);
    }

    /// An object's name, as the target has it.
    fn named(&self, name: &TableName) -> String {
        self.selection.table_on_target(name).to_string()
    }

    /// Makes sure that an object is there, even if it has no parts.
    fn exists(&mut self, kind: &'static str, name: &str) {
        self.objects.entry((kind, name.to_string())).or_default();
    }

    fn names(&self, kind: &str) -> BTreeSet<&str> {
        self.objects.keys().filter(|key| key.0 == kind).map(|key| key.1.as_str()).collect()
    }

    fn count(&self, class: &str) -> u64 {
        self.objects.values().flat_map(BTreeMap::keys).filter(|part| part.0 == class).count() as u64
    }

    /// Whether a class of parts is known to this server at all.
    fn knows(&self, class: &str) -> bool {
        let mysql = |major, minor, patch| self.dialect.mysql_from(major, minor, patch);
        let mariadb =
            |major, minor| self.dialect.is_mariadb() && self.dialect.version >= (major, minor, 0);
        match class {
            "check" => mysql(8, 0, 16) || mariadb(10, 3),
            "generated" | "expression" => mysql(5, 7, 6) || mariadb(10, 3),
            "srid" => mysql(8, 0, 3),
            _ => true,
        }
    }
}

/// Counts the objects of both sides by kind, and names those that are on one side only.
pub fn count(source: &Definitions, target: &Definitions) -> BTreeMap<String, ObjectCount> {
    let mut counts = BTreeMap::new();
    for kind in ["database", "table", "view", "procedure", "function", "trigger", "event"] {
        let (ours, theirs) = (source.names(kind), target.names(kind));
        let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| {
            a.difference(b).map(|name| (*name).to_string()).collect::<Vec<_>>()
        };
        counts.insert(
            kind.to_string(),
            ObjectCount {
                source: ours.len() as u64,
                target: theirs.len() as u64,
                only_on_source: only(&ours, &theirs),
                only_on_target: only(&theirs, &ours),
            },
        );
    }
    // Which one is missing is said with its table, among the definitions.
    for class in COUNTED {
        counts.insert(
            class.to_string(),
            ObjectCount {
                source: source.count(class),
                target: target.count(class),
                ..ObjectCount::default()
            },
        );
    }
    counts
}

fn is_innodb(parts: &Parts) -> bool {
    let engine = parts.get(&("engine", String::new()));
    engine.is_some_and(|engine| engine.eq_ignore_ascii_case("InnoDB"))
}

/// A table's parts with trees for keys by hash, which InnoDB doesn't have.
fn with_trees(parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    for ((class, _), text) in &mut parts {
        if *class == "index" {
            let head = text.split('(').next().unwrap_or_default().replace("HASH", "BTREE");
            let tail = text.find('(').map_or("", |at| &text[at..]);
            *text = head + tail;
        }
    }
    parts
}

/// What differs between objects that both sides have.
pub fn differences(source: &Definitions, target: &Definitions) -> Vec<DefinitionDifference> {
    let (s, t) = (&source.dialect, &target.dialect);
    let one_series =
        s.product == t.product && (s.version.0, s.version.1) == (t.version.0, t.version.1);
    let mut found = Vec::new();
    for (object, ours) in &source.objects {
        let Some(theirs) = target.objects.get(object) else { continue };
        let across = (s.product != t.product).then(|| products::alike(ours, theirs));
        let (ours, theirs) =
            across.as_ref().map_or((ours, theirs), |(ours, theirs)| (ours, theirs));
        let becomes_innodb = is_innodb(theirs) && !is_innodb(ours);
        let trees = becomes_innodb.then(|| with_trees(ours));
        let ours = trees.as_ref().unwrap_or(ours);
        let parts: BTreeSet<&Part> = ours.keys().chain(theirs.keys()).collect();
        for part in parts {
            let (a, b) = (ours.get(part), theirs.get(part));
            let class = part.0;
            let comparable = if one_series || !OWN_WORDS.contains(&class) {
                source.knows(class) && target.knows(class)
            } else {
                false
            };
            if a == b || !comparable {
                continue;
            }
            // The server shows no body to an account that may not see it.
            let hidden = matches!(class, "body" | "definition") && (a.is_none() || b.is_none());
            found.push(DefinitionDifference {
                kind: object.0.to_string(),
                name: object.1.clone(),
                part: format!("{class} {}", part.1).trim_end().to_string(),
                source: a.cloned(),
                target: b.cloned(),
                severity: if INFORM.contains(&class) || hidden {
                    Severity::Warning
                } else {
                    Severity::Blocker
                },
            });
        }
    }
    found
}
