//! Foreign keys whose rows would refer to what a condition leaves out: rows of users' tables are read for it, but
//! only where there are conditions.

use std::collections::BTreeSet;

use crate::{
    error::{Kind, Result},
    mysql::{Catalog, Reference, Session, TableName},
};

/// A foreign key to a table of which not all rows are taken.
#[derive(Debug, Clone)]
pub(super) struct Orphans {
    pub key: Reference,
    /// Whether a row that is taken refers to one that isn't; none where the server didn't say in time.
    pub found: Option<bool>,
}

/// What a server says of a statement that took too long: MySQL, MariaDB.
const TOO_LONG: [u16; 2] = [3024, 1969];

pub(super) async fn read(session: &mut Session, catalog: &Catalog) -> Result<Vec<Orphans>> {
    let filtered: BTreeSet<TableName> = catalog
        .tables
        .iter()
        .filter(|table| table.condition.is_some())
        .map(|table| table.name.clone())
        .collect();
    let mut orphans = Vec::new();
    for key in Reference::to(session, &filtered).await? {
        let (Some(child), Some(parent)) = (catalog.table(&key.child), catalog.table(&key.parent))
        else {
            continue;
        };
        let asked = key.has_orphans(session, &child.rows_taken(), &parent.rows_taken()).await;
        orphans.push(Orphans { key, found: in_time(asked)? });
    }
    Ok(orphans)
}

/// What a server says of rows; none where it didn't in time, or the account may not read them, which is the
/// rules' to name.
pub(super) fn in_time(asked: Result<bool>) -> Result<Option<bool>> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code().is_some_and(|code| TOO_LONG.contains(&code)) => Ok(None),
        Err(error) if error.kind() == Kind::Privilege => Ok(None),
        Err(error) => Err(error),
    }
}
