//! The tables: what was copied of each, what verification says of it, and the sums.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    StepReport,
    checkpoints::{Checkpoints, elements, name_of, plain, text},
    figures::per_second,
};
use crate::{
    engine::{Plan, Route, TableResult},
    sync::verify,
};

/// How many differences of a table are spelled out; the others are counted.
const SPELLED_OUT: usize = 50;

/// What verification says of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableVerdict {
    /// Both sides are equal.
    Equal,
    /// They differ.
    Different,
    /// It couldn't be compared, or the verdict is one that this version doesn't know.
    Unproven,
    /// It wasn't compared.
    None,
}

/// A table, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableReport {
    /// Its full name.
    pub table: String,
    /// The source's estimate of its rows when the plan was made.
    pub rows_estimate: Option<u64>,
    /// Rows copied; none on the physical route, as are the bytes and the time.
    pub rows: Option<u64>,
    /// Bytes sent to the target.
    pub bytes: Option<u64>,
    /// How long its copying took, in milliseconds.
    pub copy_millis: Option<u64>,
    /// What verification says.
    pub verdict: TableVerdict,
    /// The same in verification's own words.
    pub verified: Option<String>,
    /// Rows on the source when it was compared.
    pub rows_source: Option<u64>,
    /// Rows on the target.
    pub rows_target: Option<u64>,
    /// In how many chunks it was compared.
    pub chunks: Option<u64>,
    /// What differs; at most 50 lines.
    pub differences: Vec<String>,
    /// How many differences there are.
    pub differences_total: u64,
}

/// The comparison of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// When its result was noted.
    pub at: Timestamp,
    /// By what: `checksum`, `count`.
    pub mode: Option<String>,
    /// Whether every table of the migration was compared and is equal.
    pub equal: bool,
    /// How many tables are equal.
    pub tables_equal: u64,
    /// How many differ.
    pub tables_different: u64,
    /// How many are unproven or weren't compared.
    pub tables_unproven: u64,
    /// Rows compared, on the source's side.
    pub rows: Option<u64>,
    /// Whatever else the step noted.
    pub details: Map<String, Value>,
}

/// Sums over the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Tables of the migration.
    pub tables: u64,
    /// Rows copied.
    pub rows: u64,
    /// Bytes sent to the target.
    pub bytes: u64,
    /// How long the copying took, in milliseconds.
    pub copy_millis: u64,
    /// Rows per second while copying.
    pub rows_per_second: Option<f64>,
    /// Mebibytes per second while copying.
    pub mib_per_second: Option<f64>,
}

pub(super) fn read(
    plan: &Plan,
    results: &[TableResult],
    checkpoints: &Checkpoints<'_>,
) -> (Vec<TableReport>, Option<Verification>) {
    let mut tables: Vec<TableReport> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut entry = |tables: &mut Vec<TableReport>, name: &str| -> usize {
        *index.entry(name.to_string()).or_insert_with(|| {
            tables.push(TableReport {
                table: name.to_string(),
                rows_estimate: None,
                rows: None,
                bytes: None,
                copy_millis: None,
                verdict: TableVerdict::None,
                verified: None,
                rows_source: None,
                rows_target: None,
                chunks: None,
                differences: Vec::new(),
                differences_total: 0,
            });
            tables.len() - 1
        })
    };
    for (name, rows, _) in &plan.tables {
        let at = entry(&mut tables, name);
        tables[at].rows_estimate = Some(*rows);
    }
    for result in results {
        let at = entry(&mut tables, &result.table);
        let table = &mut tables[at];
        // A restore copies no rows one by one: of a table nothing is known but what was compared.
        if plan.route == Route::Physical {
            continue;
        }
        table.rows = Some(result.rows);
        table.bytes = Some(result.bytes);
        table.copy_millis = Some(result.copy_millis);
    }
    // What a comparison said holds only as long as its step isn't undone.
    let compared_anew = checkpoints.standing("cutover", verify::COMPARISON);
    let Some(verified) = compared_anew.or_else(|| checkpoints.standing("verify", verify::RESULT))
    else {
        return (tables, None);
    };
    for result in results {
        if let Some(words) = &result.verified {
            let at = entry(&mut tables, &result.table);
            tables[at].verdict = verdict(words);
            tables[at].verified = Some(words.clone());
        }
    }
    let mut details = verified.data.as_object().cloned().unwrap_or_default();
    let list = details.remove("tables").unwrap_or_default();
    for value in elements(&list) {
        let name = name_of(value.get("table")).or_else(|| name_of(value.get("name")));
        let at = entry(&mut tables, &name.unwrap_or_else(|| plain(value)));
        compared(&mut tables[at], value);
    }
    let number = |wanted: &[TableVerdict]| {
        tables.iter().filter(|table| wanted.contains(&table.verdict)).count() as u64
    };
    let (tables_equal, tables_different) =
        (number(&[TableVerdict::Equal]), number(&[TableVerdict::Different]));
    let denied = ["equal", "ok"].iter().any(|key| details.get(*key) == Some(&Value::Bool(false)));
    let verification = Verification {
        at: verified.at,
        mode: text(details.remove("mode").as_ref()),
        equal: tables_equal == tables.len() as u64 && !tables.is_empty() && !denied,
        tables_equal,
        tables_different,
        tables_unproven: number(&[TableVerdict::Unproven, TableVerdict::None]),
        rows: tables.iter().filter_map(|table| table.rows_source).reduce(|a, b| a + b),
        details,
    };
    (tables, Some(verification))
}

/// Takes over what verification noted of a table.
fn compared(table: &mut TableReport, value: &Value) {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    table.rows_source = number("rows_source");
    table.rows_target = number("rows_target");
    table.chunks = number("chunks");
    if let Some(words) = value.get("verdict").and_then(words) {
        table.verdict = verdict(&words);
        table.verified = Some(words);
    }
    let differences: Vec<String> =
        value.get("differences").into_iter().flat_map(elements).map(difference).collect();
    table.differences_total =
        number("differences_total").unwrap_or(0).max(differences.len() as u64);
    table.differences = differences;
    table.differences.truncate(SPELLED_OUT);
    if table.differences_total > 0 && table.verdict == TableVerdict::Equal {
        // Two statements that contradict each other prove nothing.
        table.verdict = TableVerdict::Unproven;
    }
}

/// A verdict's words: a text, a tag, or the only key of an object.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Object(parts) => ["verdict", "kind", "outcome", "state"]
            .iter()
            .find_map(|key| text(parts.get(*key)))
            .or_else(|| parts.keys().next().cloned()),
        other => text(Some(other)),
    }
}

fn verdict(words: &str) -> TableVerdict {
    match words.to_ascii_lowercase().as_str() {
        "equal" | "same" | "identical" => TableVerdict::Equal,
        "different" | "differs" | "unequal" | "missing" => TableVerdict::Different,
        _ => TableVerdict::Unproven,
    }
}

/// A difference on one line: `kind: missing, key: 17`.
fn difference(value: &Value) -> String {
    match value {
        Value::Object(parts) => {
            let parts: BTreeMap<&String, &Value> =
                parts.iter().filter(|(_, value)| !value.is_null()).collect();
            let parts: Vec<String> =
                parts.into_iter().map(|(key, value)| format!("{key}: {}", plain(value))).collect();
            parts.join(", ")
        }
        other => plain(other),
    }
}

pub(super) fn totals(tables: &[TableReport], steps: &[StepReport]) -> Totals {
    let sum = |part: fn(&TableReport) -> Option<u64>| tables.iter().filter_map(part).sum::<u64>();
    let (rows, bytes) = (sum(|table| table.rows), sum(|table| table.bytes));
    // Tables are copied side by side: their times overlap, the step's don't.
    let copy_millis = steps.iter().find(|step| step.id == "rows").map_or(0, |step| step.millis);
    Totals {
        tables: tables.len() as u64,
        rows,
        bytes,
        copy_millis,
        rows_per_second: per_second(rows, copy_millis),
        mib_per_second: per_second(bytes, copy_millis).map(|rate| rate / 1_048_576.0),
    }
}
