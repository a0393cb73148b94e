//! JSON holds values of types that no text can tell (dates, times, decimals, bytes, unsigned
//! integers). Whoever moved such a document as text made strings and other numbers of them: both
//! sides print alike and aren't. The hash of a row tells them apart where both servers have
//! JSON_TABLE; where one hasn't, it is over the text, so that the documents that hold such values are
//! counted on both sides, and a difference is named as a limit of the verdict.

use super::{
    hash::Documents,
    table::{Pair, Work},
};
use crate::{
    error::Result,
    mysql::{Column, Session, Table, quote},
};

/// A line for each JSON column whose documents hold such values on the two sides in other numbers.
pub(super) async fn limits(pair: &mut Pair, work: &Work) -> Result<Vec<String>> {
    let columns: Vec<&Column> =
        work.source.columns.iter().filter(|column| column.data_type == "json").collect();
    // MariaDB's JSON is the text itself.
    if columns.is_empty()
        || pair.source.dialect().is_mariadb()
        || pair.target.dialect().is_mariadb()
        || Documents::of(&pair.source, &pair.target) == Documents::Values
    {
        return Ok(Vec::new());
    }
    let (ours, theirs) = tokio::join!(
        opaque(&mut pair.source, &work.source, &columns),
        opaque(&mut pair.target, &work.target, &columns)
    );
    Ok(columns
        .iter()
        .zip(ours?.into_iter().zip(theirs?))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(column, (ours, theirs))| {
            format!(
                "{}, column {}: {ours} documents at the source and {theirs} on the target hold values of \
                 types that JSON text can't tell (dates, times, decimals, bytes, some integers); \
                 where the numbers differ, one side has strings or numbers that print alike",
                work.source.name, column.name
            )
        })
        .collect())
}

async fn opaque(session: &mut Session, table: &Table, columns: &[&Column]) -> Result<Vec<u64>> {
    let sums: Vec<String> = columns
        .iter()
        .map(|column| {
            let c = quote(&column.name);
            format!("COALESCE(SUM({c} <> CAST(CAST({c} AS CHAR) AS JSON)), 0)")
        })
        .collect();
    let sql = format!("SELECT {} FROM {}", sums.join(", "), table.rows_taken());
    let Some(row) = session.row(sql).await? else { return Ok(vec![0; columns.len()]) };
    (0..columns.len())
        .map(|at| session.column::<u64>(&row, at).map(Option::unwrap_or_default))
        .collect()
}
