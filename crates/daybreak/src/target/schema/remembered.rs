//! `daybreak`.`created` on the target: each table that a migration made, and its definition.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::{Params, Value};

use crate::{
    error::Result,
    mysql::{Session, TableName, quote},
    select::OWN_DATABASE,
};

/// What is remembered of a table that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The digest of the source's definition; empty while the table is being made.
    pub hash: String,
    /// The statement that makes the table as it shall be in the end, keys included.
    pub definition: String,
}

/// All that this migration made on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Databases.
    pub databases: BTreeSet<String>,
    /// Tables.
    pub tables: BTreeMap<TableName, Remembered>,
}

fn table() -> String {
    format!("{}.`created`", quote(OWN_DATABASE))
}

pub(super) async fn create(session: &mut Session) -> Result<()> {
    session.execute(format!("CREATE DATABASE IF NOT EXISTS {}", quote(OWN_DATABASE))).await?;
    session
        .execute(format!(
            "CREATE TABLE IF NOT EXISTS {} (\
             migration CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
             database_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             table_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             definition_hash CHAR(64) CHARACTER SET ascii NOT NULL, \
             definition LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             PRIMARY KEY (migration, database_name, table_name)) ENGINE=InnoDB",
            table()
        ))
        .await?;
    Ok(())
}

/// All that is remembered of a migration; nothing where the table (or the database) isn't there.
pub(super) async fn read(session: &mut Session, migration: &str) -> Result<Memory> {
    let sql = format!(
        "SELECT database_name, table_name, definition_hash, definition FROM {} WHERE migration = ?",
        table()
    );
    let rows = match session.rows_with(sql, (migration,)).await {
        Ok(rows) => rows,
        Err(error) if matches!(error.code(), Some(1146 | 1049)) => return Ok(Memory::default()),
        Err(error) => return Err(error),
    };
    let mut memory = Memory::default();
    for row in rows {
        let name = TableName::new(
            session.field::<String>(&row, "database_name")?,
            session.field::<String>(&row, "table_name")?,
        );
        if name.name.is_empty() {
            memory.databases.insert(name.database);
            continue;
        }
        memory.tables.insert(
            name,
            Remembered {
                hash: session.field(&row, "definition_hash")?,
                definition: session.field(&row, "definition")?,
            },
        );
    }
    Ok(memory)
}

/// Says that tables are about to be made, each with its definition: all at once, since each writing waits
/// for the disk.
pub(super) async fn begin(
    session: &mut Session,
    migration: &str,
    tables: &[(&TableName, &str)],
) -> Result<()> {
    write(
        session,
        migration,
        tables.iter().map(|(name, definition)| (*name, "", *definition)).collect(),
    )
    .await
}

/// Says that a database is about to be made: a row without a table's name.
pub(super) async fn begin_database(
    session: &mut Session,
    migration: &str,
    name: &str,
) -> Result<()> {
    begin(session, migration, &[(&TableName::new(name, ""), "")]).await
}

/// Says that tables are made: each with the digest of the source's definition, and its own.
pub(super) async fn finish(
    session: &mut Session,
    migration: &str,
    tables: &[(&TableName, &str, &str)],
) -> Result<()> {
    write(session, migration, tables.to_vec()).await
}

async fn write(
    session: &mut Session,
    migration: &str,
    rows: Vec<(&TableName, &str, &str)>,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut values = Vec::with_capacity(rows.len() * 5);
    for (name, hash, definition) in &rows {
        values.push(Value::from(migration));
        values.push(Value::from(&name.database));
        values.push(Value::from(&name.name));
        values.push(Value::from(*hash));
        values.push(Value::from(*definition));
    }
    let places = vec!["(?, ?, ?, ?, ?)"; rows.len()].join(", ");
    session
        .execute_with(
            format!("REPLACE INTO {} VALUES {places}", table()),
            Params::Positional(values),
        )
        .await?;
    Ok(())
}

/// Says that a table isn't ours (any more).
pub(super) async fn forget(session: &mut Session, migration: &str, name: &TableName) -> Result<()> {
    session
        .execute_with(
            format!(
                "DELETE FROM {} WHERE migration = ? AND database_name = ? AND table_name = ?",
                table()
            ),
            (migration, &name.database, &name.name),
        )
        .await?;
    Ok(())
}
