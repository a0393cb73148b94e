//! Foreign keys as references between rows: whether one refers to a row that isn't there.
//!
//! Asked where a condition leaves out rows of a parent. With `foreign_key_checks = 0` a server adds a
//! foreign key whatever its rows refer to, and says nothing.

use std::collections::BTreeSet;

use super::{Session, TableName, quote, quote_text};
use crate::error::Result;

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its name.
    pub name: String,
    /// Whose rows refer.
    pub child: TableName,
    /// To whose.
    pub parent: TableName,
    /// By which columns: the child's and the parent's.
    pub columns: Vec<(String, String)>,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} to {}", self.child, self.name, self.parent)
    }
}

impl Reference {
    /// The foreign keys that refer to some tables.
    pub(crate) async fn to(
        session: &mut Session,
        parents: &BTreeSet<TableName>,
    ) -> Result<Vec<Self>> {
        let mut found: Vec<Self> = Vec::new();
        for parent in parents {
            let rows = session
                .rows(format!(
                    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, \
                     REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
                     WHERE REFERENCED_TABLE_SCHEMA = {} AND REFERENCED_TABLE_NAME = {} \
                     ORDER BY CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
                    quote_text(&parent.database),
                    quote_text(&parent.name)
                ))
                .await?;
            for row in rows {
                let child = TableName::new(
                    session.field::<String>(&row, "CONSTRAINT_SCHEMA")?,
                    session.field::<String>(&row, "TABLE_NAME")?,
                );
                let name: String = session.field(&row, "CONSTRAINT_NAME")?;
                let columns = (
                    session.field(&row, "COLUMN_NAME")?,
                    session.field(&row, "REFERENCED_COLUMN_NAME")?,
                );
                match found.last_mut() {
                    Some(last) if last.child == child && last.name == name => {
                        last.columns.push(columns);
                    }
                    _ => found.push(Reference {
                        name,
                        child,
                        parent: parent.clone(),
                        columns: vec![columns],
                    }),
                }
            }
        }
        Ok(found)
    }

    /// Whether one of the child's rows refers to none of the parent's; both as they stand in a FROM
    /// clause. A key that holds NULL refers to nothing.
    pub(crate) async fn has_orphans(
        &self,
        session: &mut Session,
        child: &str,
        parent: &str,
    ) -> Result<bool> {
        // Each in a table of its own, so that what a condition names is its own table's.
        let list = |side: fn(&(String, String)) -> &String| {
            let named = self.columns.iter().enumerate();
            let named = named.map(|(at, pair)| format!("{} AS daybreak_k{at}", quote(side(pair))));
            named.collect::<Vec<_>>().join(", ")
        };
        let each = |form: fn(usize) -> String| {
            (0..self.columns.len()).map(form).collect::<Vec<_>>().join(" AND ")
        };
        let sql = format!(
            "SELECT 1 FROM (SELECT {} FROM {child}) AS daybreak_child WHERE {} AND NOT EXISTS \
             (SELECT 1 FROM (SELECT {} FROM {parent}) AS daybreak_parent WHERE {}) LIMIT 1",
            list(|pair| &pair.0),
            each(|at| format!("daybreak_child.daybreak_k{at} IS NOT NULL")),
            list(|pair| &pair.1),
            each(|at| format!("daybreak_parent.daybreak_k{at} = daybreak_child.daybreak_k{at}")),
        );
        let row = session.row(sql).await.map_err(|error| error.at(&self.child))?;
        Ok(row.is_some())
    }
}
