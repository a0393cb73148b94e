//! Values in documents of the source that JSON text can't tell: asked for by path, as expressions that
//! make them again.

use std::collections::HashMap;

use serde_json::Value;

use super::literal::Cells;
use crate::{
    error::{Error, Kind, Result},
    mysql::{ChunkKey, Column, KeyTuple, Session, Table, quote, quote_text},
    sync::verify::hash::RowHash,
    target::document::{Place, condition, expression, is_carried, places},
};

/// How many values one query asks for, or one call of JSON_REPLACE sets.
const VALUES: usize = 500;

/// Of each row that has some, by the place of the column among the cells: what JSON_REPLACE sets.
pub(super) type Typed = HashMap<KeyTuple, HashMap<usize, Vec<String>>>;

/// How rows are called, and found again: by key, or by hash where there is none.
#[derive(Debug, Clone, Copy)]
pub(super) enum Names<'a> {
    Key(&'a ChunkKey),
    Hash(&'a RowHash),
}

impl Names<'_> {
    /// The expressions that make a row's name, all of them as text by the binary protocol too.
    pub fn list(self) -> String {
        match self {
            Names::Key(key) => key.text_list(),
            Names::Hash(hash) => hash.to_string(),
        }
    }

    /// The name of a row whose results from a place on are those expressions.
    pub fn name(self, row: &mysql_async::Row, at: usize) -> Result<KeyTuple> {
        match self {
            Names::Key(key) => key.tuple(row, at),
            Names::Hash(_) => {
                let hash = row.get_opt::<String, _>(at).and_then(|hash| hash.ok());
                let hash = hash.ok_or_else(|| {
                    Error::new(Kind::NotExact, "a row could not be hashed by the server")
                })?;
                Ok(KeyTuple(vec![hash]))
            }
        }
    }

    /// The condition that holds for rows of these names.
    pub fn hold(self, names: &[KeyTuple]) -> String {
        match self {
            Names::Key(key) => {
                let each: Vec<String> = names.iter().map(|name| key.equals(name)).collect();
                format!("({})", each.join(" OR "))
            }
            Names::Hash(hash) => {
                let hashes: Vec<String> =
                    names.iter().flat_map(|name| &name.0).map(|hash| format!("'{hash}'")).collect();
                format!("{hash} IN ({})", hashes.join(", "))
            }
        }
    }
}

/// The values of documents that text can't tell, of the rows that a condition holds for.
pub(super) async fn typed(
    source: &mut Session,
    table: &Table,
    cells: &Cells,
    names: Names<'_>,
    rows: &str,
) -> Result<Typed> {
    let mut typed = Typed::new();
    // MariaDB's JSON is the text itself.
    let columns: Vec<(usize, &Column)> = match source.dialect().is_mariadb() {
        true => Vec::new(),
        false => cells.documents().filter(|(_, column)| column.data_type == "json").collect(),
    };
    if columns.is_empty() {
        return Ok(typed);
    }
    let flags: Vec<String> = columns
        .iter()
        .map(|(_, column)| {
            let document = format!("daybreak_row.{}", quote(&column.name));
            format!("COALESCE({}, 0)", condition(source, &document))
        })
        .collect();
    let sql = format!(
        "SELECT {}, {} FROM {} AS daybreak_row WHERE {rows}",
        flags.join(", "),
        names.list(),
        table.name.sql()
    );
    for row in source.rows(sql).await? {
        let tuple = names.name(&row, columns.len())?;
        for (flag, (cell, column)) in columns.iter().enumerate() {
            let flagged = source.column::<u64>(&row, flag)?.unwrap_or_default() != 0;
            if flagged && !typed.get(&tuple).is_some_and(|of| of.contains_key(cell)) {
                let from = format!(
                    "{} WHERE {} LIMIT 1",
                    table.name.sql(),
                    names.hold(std::slice::from_ref(&tuple))
                );
                let pairs = pairs(source, column, &from)
                    .await
                    .map_err(|error| error.at(format!("{}, column {}", table.name, column.name)))?;
                typed.entry(tuple.clone()).or_default().insert(*cell, pairs);
            }
        }
    }
    Ok(typed)
}

/// Paths and values, for JSON_REPLACE.
async fn pairs(source: &mut Session, column: &Column, from: &str) -> Result<Vec<String>> {
    let c = quote(&column.name);
    let text: Option<String> =
        source.scalar(format!("SELECT CAST({c} AS CHAR) FROM {from}")).await?;
    let Some(text) = text else { return Ok(Vec::new()) };
    let document: Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Bug, "the text of a JSON document can't be read").because(error)
    })?;
    let mut found: Vec<(Place, Value)> = Vec::new();
    places(document, "$", &mut found);
    let mut pairs = Vec::new();
    for batch in found.chunks(VALUES) {
        let asked: Vec<String> = batch
            .iter()
            .map(|(place, _)| {
                let value = format!("JSON_EXTRACT({c}, {})", quote_text(&place.path));
                match place.number {
                    true => format!("CONCAT(JSON_TYPE({value}), ':', CAST({value} AS CHAR))"),
                    false => format!("JSON_TYPE({value})"),
                }
            })
            .collect();
        let row = source.row(format!("SELECT {} FROM {from}", asked.join(", "))).await?;
        let Some(row) = row else { return Ok(Vec::new()) };
        for (at, (place, value)) in batch.iter().enumerate() {
            let said: String = source.column(&row, at)?.unwrap_or_default();
            if !is_carried(&said) {
                pairs.push(format!("{}, {}", quote_text(&place.path), expression(&said, value)?));
            }
        }
    }
    Ok(pairs)
}

/// A document with these values set in it.
pub(super) fn with(document: String, pairs: &[String]) -> String {
    let text = format!("CAST({document} AS JSON)");
    pairs
        .chunks(VALUES)
        .fold(text, |inner, pairs| format!("JSON_REPLACE({inner}, {})", pairs.join(", ")))
}
