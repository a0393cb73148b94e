//! Which keys the target's tables have.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::Result,
    mysql::{Session, TableName, quote_text},
};

/// The names of keys and foreign keys that a table has.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// Keys.
    pub keys: BTreeSet<String>,
    /// Foreign keys.
    pub foreign_keys: BTreeSet<String>,
}

/// The keys that tables of some databases have, read in bulk.
pub(crate) async fn present(
    target: &mut Session,
    databases: BTreeSet<&str>,
) -> Result<BTreeMap<TableName, Present>> {
    if databases.is_empty() {
        return Ok(BTreeMap::new());
    }
    let databases: Vec<String> = databases.into_iter().map(quote_text).collect();
    present_where(target, &format!("TABLE_SCHEMA IN ({})", databases.join(", "))).await
}

async fn present_where(
    target: &mut Session,
    condition: &str,
) -> Result<BTreeMap<TableName, Present>> {
    let mut all: BTreeMap<TableName, Present> = BTreeMap::new();
    for row in target
        .rows(format!(
            "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME \
             FROM information_schema.STATISTICS WHERE {condition}"
        ))
        .await?
    {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        all.entry(name).or_default().keys.insert(target.field(&row, "INDEX_NAME")?);
    }
    for row in target
        .rows(format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME \
             FROM information_schema.TABLE_CONSTRAINTS \
             WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' AND {condition}"
        ))
        .await?
    {
        let name = TableName::new(
            target.field::<String>(&row, "TABLE_SCHEMA")?,
            target.field::<String>(&row, "TABLE_NAME")?,
        );
        all.entry(name).or_default().foreign_keys.insert(target.field(&row, "CONSTRAINT_NAME")?);
    }
    Ok(all)
}

/// The keys of one table.
pub(super) async fn present_on(target: &mut Session, name: &TableName) -> Result<Present> {
    let (database, table) = (quote_text(&name.database), quote_text(&name.name));
    let condition = format!("TABLE_SCHEMA = {database} AND TABLE_NAME = {table}");
    Ok(present_where(target, &condition).await?.remove(name).unwrap_or_default())
}
