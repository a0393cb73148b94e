//! The state that a ledger promises, and the report of a check.
//!
//! Owns replaying the ledger, one table at a time so that memory stays with the largest table.
//! Knows no server: which of the commits in doubt happened is told by the caller.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
};

use super::{
    WriterError,
    ledger::{Line, LineKind, each_line},
    rows::{Cell, Change, Table},
};

/// Findings that a report spells out; the others are only counted.
const SPELLED_OUT: usize = 20;

/// What can be wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// A row that was committed is not there.
    Missing,
    /// A row is there with other values.
    Different,
    /// A row that was deleted is there.
    Resurrected,
    /// A row in the writer's own range that no committed transaction wrote.
    Unexpected,
    /// A row of the table without a key is there more than once.
    Doubled,
    /// An acknowledged transaction left no trace in `writer_commits`.
    LostCommit,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// Expected and found values, where that says more.
    pub detail: String,
}

/// A commit whose acknowledgement was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The worker.
    pub worker: u32,
    /// Its transaction's number.
    pub seq: u64,
    /// Whether the server has it; both are right, half of it would not be.
    pub committed: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Transactions that the server had acknowledged.
    pub acknowledged: u64,
    /// Transactions that were given up between two runs of the writer.
    pub abandoned: u64,
    /// Transactions without an answer, and how each went.
    pub in_doubt: Vec<InDoubt>,
    /// Rows compared, deleted ones included.
    pub rows_checked: u64,
    /// Rows compared in the table without a key.
    pub keyless_rows: u64,
    /// How many findings of each kind there are.
    pub counts: BTreeMap<FindingKind, u64>,
    /// The first findings.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether every acknowledged commit is there, once and unchanged.
    pub fn is_ok(&self) -> bool {
        self.counts.is_empty()
    }

    /// The number of findings of one kind.
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, kind: FindingKind, table: &str, key: &[String], detail: String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.findings.len() < SPELLED_OUT {
            self.findings.push(Finding {
                kind,
                table: table.to_owned(),
                key: key.join(", "),
                detail,
            });
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let committed = self.in_doubt.iter().filter(|one| one.committed).count();
        write!(
            f,
            "{} acknowledged commits, {} in doubt ({committed} of them committed), {} rows checked, {} of them without a key: ",
            self.acknowledged,
            self.in_doubt.len(),
            self.rows_checked,
            self.keyless_rows
        )?;
        if self.is_ok() {
            return f.write_str("all as acknowledged");
        }
        for (kind, count) in &self.counts {
            write!(f, "{count} {kind:?} ")?;
        }
        for finding in &self.findings {
            write!(
                f,
                "\n  {:?}: {} ({}) {}",
                finding.kind, finding.table, finding.key, finding.detail
            )?;
        }
        Ok(())
    }
}

/// One row as it should be.
pub(super) struct Row {
    pub(super) key: Vec<String>,
    /// The columns in the table's order, `None` where the writer wrote nothing; nothing at all if
    /// the row is deleted.
    pub(super) cells: Option<Vec<Option<Cell>>>,
}

/// The rows of one table by their keys.
pub(super) type Rows = HashMap<String, Row>;

/// A key as one string.
pub(super) fn join_key(key: &[String]) -> String {
    key.join("\u{1f}")
}

/// Replays the ledger for one table, counting the transactions that `happened`.
pub(super) fn replay(
    path: &Path,
    table: &Table,
    happened: impl Fn(u32, u64) -> bool,
) -> Result<Rows, WriterError> {
    let mark = format!("\"t\":\"{}\"", table.name);
    let mark = mark.as_bytes();
    let mut rows = Rows::new();
    each_line(path, |text| {
        if !text.windows(mark.len()).any(|window| window == mark) {
            return Ok(());
        }
        let line: Line<Vec<Change>> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        if line.k != LineKind::Intent || !happened(line.w, line.s) {
            return Ok(());
        }
        for change in line.c.unwrap_or_default() {
            if change.t == table.name {
                apply(&mut rows, table, change)?;
            }
        }
        Ok(())
    })?;
    Ok(rows)
}

fn apply(rows: &mut Rows, table: &Table, change: Change) -> Result<(), String> {
    if change.k.len() != table.key.len() {
        return Err(format!("a key of {} has {} parts", table.name, change.k.len()));
    }
    let row = rows
        .entry(join_key(&change.k))
        .or_insert_with(|| Row { key: change.k.clone(), cells: None });
    let Some(values) = change.v else {
        row.cells = None;
        return Ok(());
    };
    let cells = row.cells.get_or_insert_with(|| vec![None; table.columns.len()]);
    for (name, cell) in values {
        let at = table
            .columns
            .iter()
            .position(|(column, _)| *column == name)
            .ok_or_else(|| format!("{} has no column {name}", table.name))?;
        cells[at] = Some(cell);
    }
    Ok(())
}
