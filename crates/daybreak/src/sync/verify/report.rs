//! What a comparison found, in the form that the journal keeps and the report prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{config::VerifyMode, engine::Severity, mysql::TableName};

/// How many differences are listed by key for one table; the others are counted.
pub const LISTED: usize = 100;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The source has it, the target doesn't.
    MissingOnTarget,
    /// The target has it, the source doesn't.
    ExtraOnTarget,
    /// Both have it, with other values.
    Different,
}

impl What {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            What::MissingOnTarget => "missing on the target",
            What::ExtraOnTarget => "only on the target",
            What::Different => "different",
        }
    }
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its key for people; of a table without one, the row's hash and how often each side has it.
    pub key: String,
    /// What is wrong.
    pub what: What,
}

/// The outcome for a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides hold the same rows.
    Equal,
    /// They don't.
    Different,
    /// It could not be decided, and why. Counts as not equal.
    NotCompared(String),
}

/// What was found of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVerdict {
    /// The table.
    pub table: TableName,
    /// Rows counted at the source; while writes go on, chunk by chunk, so not of one moment.
    pub rows_source: u64,
    /// Rows counted at the target.
    pub rows_target: u64,
    /// How many ranges were compared.
    pub chunks: u64,
    /// The outcome.
    pub verdict: Verdict,
    /// The first differing rows, by key.
    pub differences: Vec<Difference>,
    /// How many more there are at least.
    pub more: u64,
}

/// How many objects of a kind there are, and which are on one side only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCount {
    /// How many at the source.
    pub source: u64,
    /// How many at the target.
    pub target: u64,
    /// Those that the target lacks.
    pub only_on_source: Vec<String>,
    /// Those that the source lacks.
    pub only_on_target: Vec<String>,
}

/// A definition that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionDifference {
    /// The kind of object: `table`, `view`, ...
    pub kind: String,
    /// Its full name.
    pub name: String,
    /// What of it: `column price`, `index sku`, `check ..`.
    pub part: String,
    /// As the source has it; none if it doesn't.
    pub source: Option<String>,
    /// As the target has it; none if it doesn't.
    pub target: Option<String>,
    /// `Blocker` where it makes the sides different; a `Warning` is for reading only (storage engine,
    /// row format, comments).
    pub severity: Severity,
}

/// What a comparison of both sides found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// By what rows were compared.
    pub mode: VerifyMode,
    /// Whether replication ran meanwhile: then a row counts as equal once both sides agreed on it,
    /// and as different only if proven so under a lock.
    pub live: bool,
    /// The tables, in name order.
    pub tables: Vec<TableVerdict>,
    /// Objects by kind.
    pub objects: BTreeMap<String, ObjectCount>,
    /// Definitions that differ.
    pub definitions: Vec<DefinitionDifference>,
    /// What this comparison can't vouch for, by name.
    pub limits: Vec<String>,
    /// How many rows were looked at again.
    pub rechecked: u64,
    /// How many differences were proven under a lock.
    pub proven: u64,
    /// How long it took.
    pub seconds: f64,
}

impl VerifyReport {
    /// Whether both sides hold the same.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.verdict == Verdict::Equal)
            && self
                .objects
                .values()
                .all(|count| count.only_on_source.is_empty() && count.only_on_target.is_empty())
            && self.definitions.iter().all(|found| found.severity < Severity::Blocker)
    }

    /// Rows of all tables, at the source and at the target.
    pub fn rows(&self) -> (u64, u64) {
        self.tables.iter().fold((0, 0), |(source, target), table| {
            (source + table.rows_source, target + table.rows_target)
        })
    }

    /// The first things that make the sides different, one a line.
    pub fn first_differences(&self, most: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for table in &self.tables {
            match &table.verdict {
                Verdict::Equal => {}
                Verdict::NotCompared(why) => {
                    lines.push(format!("{}: not compared: {why}", table.table));
                }
                Verdict::Different if table.differences.is_empty() => lines.push(format!(
                    "{}: {} rows at the source, {} at the target",
                    table.table, table.rows_source, table.rows_target
                )),
                Verdict::Different => {
                    let shown: Vec<String> = table
                        .differences
                        .iter()
                        .take(3)
                        .map(|row| format!("{} {}", row.key, row.what.words()))
                        .collect();
                    let others = table.more + table.differences.len() as u64 - shown.len() as u64;
                    let others =
                        if others > 0 { format!(" and {others} more") } else { String::new() };
                    lines.push(format!("{}: {}{others}", table.table, shown.join(", ")));
                }
            }
        }
        for (kind, count) in &self.objects {
            // A table that the target lacks has a verdict of its own.
            for (names, side) in [
                (&count.only_on_source, "missing on the target"),
                (&count.only_on_target, "only on the target"),
            ] {
                if kind != "table" || side != "missing on the target" {
                    lines.extend(names.iter().map(|name| format!("{kind} {name}: {side}")));
                }
            }
        }
        for found in self.definitions.iter().filter(|found| found.severity == Severity::Blocker) {
            lines.push(format!(
                "{} {}, {}: {} at the source, {} at the target",
                found.kind,
                found.name,
                found.part,
                found.source.as_deref().unwrap_or("nothing"),
                found.target.as_deref().unwrap_or("nothing"),
            ));
        }
        let more = lines.len().saturating_sub(most);
        lines.truncate(most);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}
