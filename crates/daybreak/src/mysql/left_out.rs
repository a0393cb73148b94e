//! Columns that aren't taken: whoever reads a table's columns sees it without them, as the target shall
//! have it. That it can do without is asked of the definition, as the server prints it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reference, Session, Table, TableName};
use crate::{
    error::{Error, Kind, Result},
    select::{LeftColumn, Selection, same_column},
    target::{ddl::CreateTable, schema::definition},
};

/// Takes the columns that are left out from the tables.
///
/// # Errors
/// `Config` for a column that isn't there, one that something else of the table or of another needs, and a
/// table of which nothing would be left: each names the column, and why.
pub(super) async fn leave_out(
    session: &mut Session,
    tables: &mut BTreeMap<TableName, Table>,
    selection: &Selection,
) -> Result<()> {
    if selection.exclude_columns.is_empty() {
        return Ok(());
    }
    let place = session.place().to_string();
    for left in &selection.exclude_columns {
        let refuse = |what: &str, next: &str| {
            Err(Error::new(Kind::Config, what).at(left).at(&place).next(next))
        };
        let Some(table) = tables.get_mut(&left.table) else {
            return refuse(
                "a column is to be left out of a table that isn't taken",
                "no such table is there, or it is left out: correct the name, or leave the option out",
            );
        };
        let before = table.columns.len();
        table.columns.retain(|column| !same_column(&column.name, &left.column));
        if table.columns.len() == before {
            return refuse(
                "a column is to be left out that isn't there",
                "correct the name, or leave the option out",
            );
        }
        let hidden = |extra: &str| extra.to_ascii_uppercase().contains("INVISIBLE");
        if table.stored_columns().all(|column| hidden(&column.extra)) {
            return refuse(
                "no column would be left that is visible and isn't computed",
                "keep one of the columns, or leave the whole table out with [select] exclude",
            );
        }
    }
    // Without it names stand bare.
    session.execute("SET SESSION sql_quote_show_create = 1").await?;
    let of: BTreeSet<TableName> =
        selection.exclude_columns.iter().map(|left| left.table.clone()).collect();
    let mut needed = Vec::new();
    for name in &of {
        // What goes with the columns needs none of them.
        let table = CreateTable::parse(&definition(session, name).await?)?
            .without_columns(&selection.columns_left(name));
        for left in selection.exclude_columns.iter().filter(|left| left.table == *name) {
            let whatever = table.needing(&left.column).into_iter();
            needed.extend(whatever.map(|what| (left, what)));
        }
    }
    // Keys of other tables.
    for key in Reference::to(session, &of).await? {
        let refers = |left: &&LeftColumn| {
            left.table == key.parent
                && key.columns.iter().any(|(_, to)| same_column(to, &left.column))
        };
        if tables.contains_key(&key.child) {
            let left = selection.exclude_columns.iter().filter(refers);
            needed.extend(left.map(|left| (left, format!("the foreign key {key}"))));
        }
    }
    if needed.is_empty() {
        return Ok(());
    }
    let what: Vec<String> = needed.iter().map(|(left, what)| format!("{left} by {what}")).collect();
    let columns: BTreeSet<String> = needed.iter().map(|(left, _)| left.to_string()).collect();
    Err(Error::new(Kind::Config, format!("what is to be left out is needed: {}", what.join(", ")))
        .at(columns.into_iter().collect::<Vec<_>>().join(", "))
        .at(place)
        .next("keep these columns, or drop what needs them at the source beforehand"))
}
