//! Which ranges of which tables are on the target: `daybreak`.`chunks`, written in the same transaction
//! as the rows, so that the two can't disagree.

use std::collections::HashSet;

use mysql_async::{Params, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, Kind, Result},
    mysql::{Coordinates, KeyRange, Session, TableName, quote},
    select::OWN_DATABASE,
};

/// The table's name in daybreak's own database.
pub const TABLE: &str = "chunks";

/// The line that holds the number of the pass instead of a range.
const PASS: &str = "pass";

/// The place of a chunk among those of its table, in key order.
///
/// Only a server can order keys (collations), so the order in which chunks were cut is kept: numbers
/// that leave room between any two, as in a table of contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rank(Vec<u32>);

impl Rank {
    /// The `n`-th (from 1) of any number of ranks that lie after `left` and before `right`.
    pub fn between(left: Option<&Rank>, right: Option<&Rank>, n: u32) -> Rank {
        let mut parts = left.map(|rank| rank.0.clone()).unwrap_or_default();
        if let Some(rest) = right.and_then(|right| right.0.strip_prefix(parts.as_slice())) {
            // `right` lies within `left`: stay below its first number that isn't zero.
            let zeros = rest.iter().take_while(|part| **part == 0).count();
            parts.extend(std::iter::repeat_n(0, zeros + 1));
        }
        parts.push(n);
        Rank(parts)
    }

    fn text(&self) -> String {
        self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    fn parse(text: &str) -> Option<Rank> {
        text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<_>>>().map(Rank)
    }
}

/// What tells one snapshot from another; equal for two between which nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId(String);

impl SnapshotId {
    /// The id of a point in the source's history; `taken` tells apart those of a source without a
    /// binary log.
    pub fn of(coordinates: &Coordinates, taken: &str) -> Self {
        let point = match &coordinates.file {
            Some(file) => format!("{file} {}", coordinates.gtids),
            None => format!("unknown, at {taken}"),
        };
        SnapshotId(hex(&Sha256::digest(point.as_bytes())[..16]))
    }
}

/// A range that is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Of which table.
    pub table: TableName,
    /// Its place among the table's chunks.
    pub rank: Rank,
    /// From where to where.
    pub range: KeyRange,
    /// Its rows.
    pub rows: u64,
    /// The bytes sent for it.
    pub bytes: u64,
    /// The snapshot that it is (proved to be) of.
    pub snapshot: SnapshotId,
}

/// The ledger of one migration.
#[derive(Debug, Clone)]
pub struct Ledger {
    migration: String,
}

impl Ledger {
    /// The ledger of a migration.
    pub fn of(migration: &str) -> Self {
        Ledger { migration: migration.to_string() }
    }

    fn name() -> String {
        TableName::new(OWN_DATABASE, TABLE).sql()
    }

    /// Makes sure that the table is there.
    pub async fn create(&self, target: &mut Session) -> Result<()> {
        target.execute(format!("CREATE DATABASE IF NOT EXISTS {}", quote(OWN_DATABASE))).await?;
        // Two names of 64 characters and a digest are a key that every row format can hold.
        target
            .execute(format!(
                "CREATE TABLE IF NOT EXISTS {} (\
                 migration CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 table_schema VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
                 table_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
                 range_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 range_rank VARCHAR(2000) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 key_range LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
                 row_count BIGINT UNSIGNED NOT NULL, \
                 byte_count BIGINT UNSIGNED NOT NULL, \
                 snapshot_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 loaded_at DATETIME(6) NOT NULL, \
                 PRIMARY KEY (migration, table_schema, table_name, range_id)) ENGINE = InnoDB",
                Self::name()
            ))
            .await?;
        Ok(())
    }

    /// Every chunk, by table and rank. None when the table isn't there.
    pub async fn read(&self, target: &mut Session) -> Result<Vec<Chunk>> {
        let rows = target
            .rows_with(
                format!(
                    "SELECT table_schema, table_name, range_rank, key_range, row_count, byte_count, \
                     snapshot_id FROM {} WHERE migration = ? AND table_name <> ''",
                    Self::name()
                ),
                (&self.migration,),
            )
            .await;
        let rows = match rows {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            other => other?,
        };
        let mut chunks = Vec::with_capacity(rows.len());
        for row in &rows {
            let rank: String = target.field(row, "range_rank")?;
            let damaged = |what: &str| {
                Error::new(Kind::State, format!("the ledger has a {what} that can't be read"))
                    .at(format!("{}, {}", target.place(), Self::name()))
                    .next("`daybreak undo` empties the tables and the ledger; then run again")
            };
            chunks.push(Chunk {
                table: TableName::new(
                    target.field::<String>(row, "table_schema")?,
                    target.field::<String>(row, "table_name")?,
                ),
                rank: Rank::parse(&rank).ok_or_else(|| damaged("rank"))?,
                range: serde_json::from_str(&target.field::<String>(row, "key_range")?)
                    .map_err(|_| damaged("range"))?,
                rows: target.field(row, "row_count")?,
                bytes: target.field(row, "byte_count")?,
                snapshot: SnapshotId(target.field(row, "snapshot_id")?),
            });
        }
        chunks.sort_by(|a, b| (&a.table, &a.rank).cmp(&(&b.table, &b.rank)));
        Ok(chunks)
    }

    /// The tables of which the ledger has anything.
    pub async fn tables(&self, target: &mut Session) -> Result<HashSet<TableName>> {
        let rows = target
            .rows_with(
                format!(
                    "SELECT DISTINCT table_schema, table_name FROM {} WHERE migration = ?",
                    Self::name()
                ),
                (&self.migration,),
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(TableName::new(
                    target.field::<String>(row, "table_schema")?,
                    target.field::<String>(row, "table_name")?,
                ))
            })
            .collect()
    }

    /// Begins a pass: from when this returns, no transaction of an earlier pass (of a process that was
    /// killed, of a connection that was cut off) can commit rows any more. Returns the pass's number.
    pub async fn begin_pass(&self, target: &mut Session) -> Result<u64> {
        target
            .execute_with(
                format!(
                    "INSERT IGNORE INTO {} (migration, table_schema, table_name, range_id, range_rank, \
                     key_range, row_count, byte_count, snapshot_id, loaded_at) \
                     VALUES (?, '', '', ?, '', '', 0, 0, '', UTC_TIMESTAMP(6))",
                    Self::name()
                ),
                (&self.migration, PASS),
            )
            .await?;
        // Waits for every transaction that has read the number before (see `fence`).
        target
            .execute_with(
                format!(
                    "UPDATE {} SET row_count = row_count + 1 WHERE migration = ? \
                     AND table_schema = '' AND table_name = '' AND range_id = ?",
                    Self::name()
                ),
                (&self.migration, PASS),
            )
            .await?;
        self.pass(target, "").await
    }

    async fn pass(&self, target: &mut Session, locking: &str) -> Result<u64> {
        let rows = target
            .rows_with(
                format!(
                    "SELECT row_count FROM {} WHERE migration = ? AND table_schema = '' \
                     AND table_name = '' AND range_id = ? {locking}",
                    Self::name()
                ),
                (&self.migration, PASS),
            )
            .await?;
        let number = rows.first().map(|row| target.column(row, 0)).transpose()?.flatten();
        // Somebody took the ledger away: no pass has this number.
        Ok(number.unwrap_or_default())
    }

    /// Makes sure, within a transaction, that its pass is still the current one until it ends.
    pub async fn fence(&self, target: &mut Session, pass: u64) -> Result<()> {
        let locking = target.dialect().for_share();
        if self.pass(target, locking).await? == pass {
            return Ok(());
        }
        Err(Error::new(Kind::State, "another process has taken up the copy")
            .at(target.place())
            .next("let only one process work on a migration"))
    }

    /// Claims a range, within a transaction: waits until no other one (of ours that was cut off,
    /// whose fate isn't known) is at work on it, and says what the ledger has of it already.
    pub async fn claim(
        &self,
        target: &mut Session,
        table: &TableName,
        range: &KeyRange,
    ) -> Result<Option<(u64, u64, SnapshotId)>> {
        let id = range_id(range)?;
        let fresh = target
            .execute_with(
                format!(
                    "INSERT IGNORE INTO {} (migration, table_schema, table_name, range_id, range_rank, \
                     key_range, row_count, byte_count, snapshot_id, loaded_at) \
                     VALUES (?, ?, ?, ?, '', ?, 0, 0, '', UTC_TIMESTAMP(6))",
                    Self::name()
                ),
                (
                    &self.migration,
                    &table.database,
                    &table.name,
                    &id,
                    serde_json::to_string(range)?,
                ),
            )
            .await?;
        if fresh.affected == 1 {
            return Ok(None);
        }
        let locking = target.dialect().for_share();
        let rows = target
            .rows_with(
                format!(
                    "SELECT row_count, byte_count, snapshot_id FROM {} WHERE migration = ? \
                     AND table_schema = ? AND table_name = ? AND range_id = ? {locking}",
                    Self::name()
                ),
                (&self.migration, &table.database, &table.name, &id),
            )
            .await?;
        match rows.first() {
            None => Ok(None),
            Some(row) => Ok(Some((
                target.field(row, "row_count")?,
                target.field(row, "byte_count")?,
                SnapshotId(target.field(row, "snapshot_id")?),
            ))),
        }
    }

    /// Claims ranges of several tables at once; false when the ledger has one of them already.
    pub async fn claim_all(
        &self,
        target: &mut Session,
        ranges: &[(&TableName, &KeyRange)],
    ) -> Result<bool> {
        let mut values = Vec::with_capacity(ranges.len() * 5);
        for (table, range) in ranges {
            values.push(Value::from(&self.migration));
            values.push(Value::from(&table.database));
            values.push(Value::from(&table.name));
            values.push(Value::from(range_id(range)?));
            values.push(Value::from(serde_json::to_string(range)?));
        }
        let rows = vec!["(?, ?, ?, ?, '', ?, 0, 0, '', UTC_TIMESTAMP(6))"; ranges.len()];
        let fresh = target
            .execute_with(
                format!(
                    "INSERT IGNORE INTO {} (migration, table_schema, table_name, range_id, range_rank, \
                     key_range, row_count, byte_count, snapshot_id, loaded_at) VALUES {}",
                    Self::name(),
                    rows.join(", ")
                ),
                Params::Positional(values),
            )
            .await?;
        Ok(fresh.affected == ranges.len() as u64)
    }

    /// Writes (or replaces) chunks' lines, in the transaction that is open.
    pub async fn put(&self, target: &mut Session, chunks: &[Chunk]) -> Result<()> {
        let mut values = Vec::with_capacity(chunks.len() * 9);
        for chunk in chunks {
            values.push(Value::from(&self.migration));
            values.push(Value::from(&chunk.table.database));
            values.push(Value::from(&chunk.table.name));
            values.push(Value::from(range_id(&chunk.range)?));
            values.push(Value::from(chunk.rank.text()));
            values.push(Value::from(serde_json::to_string(&chunk.range)?));
            values.push(Value::from(chunk.rows));
            values.push(Value::from(chunk.bytes));
            values.push(Value::from(&chunk.snapshot.0));
        }
        let rows = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))"; chunks.len()];
        target
            .execute_with(
                format!(
                    "INSERT INTO {} (migration, table_schema, table_name, range_id, range_rank, \
                     key_range, row_count, byte_count, snapshot_id, loaded_at) VALUES {} \
                     ON DUPLICATE KEY UPDATE range_rank = VALUES(range_rank), \
                     row_count = VALUES(row_count), byte_count = VALUES(byte_count), \
                     snapshot_id = VALUES(snapshot_id), loaded_at = VALUES(loaded_at)",
                    Self::name(),
                    rows.join(", ")
                ),
                Params::Positional(values),
            )
            .await?;
        Ok(())
    }

    /// Forgets what is known of a table: its rows count as not copied.
    pub async fn forget(&self, target: &mut Session, table: &TableName) -> Result<()> {
        target
            .execute_with(
                format!(
                    "DELETE FROM {} WHERE migration = ? AND table_schema = ? AND table_name = ?",
                    Self::name()
                ),
                (&self.migration, &table.database, &table.name),
            )
            .await?;
        Ok(())
    }

    /// Forgets one chunk, in the transaction that is open.
    pub async fn forget_range(
        &self,
        target: &mut Session,
        table: &TableName,
        range: &KeyRange,
    ) -> Result<()> {
        target
            .execute_with(
                format!(
                    "DELETE FROM {} WHERE migration = ? AND table_schema = ? AND table_name = ? \
                     AND range_id = ?",
                    Self::name()
                ),
                (&self.migration, &table.database, &table.name, range_id(range)?),
            )
            .await?;
        Ok(())
    }

    /// Removes all that it has of the migration. Without the table, or without its database, there is
    /// nothing to do.
    pub async fn remove(&self, target: &mut Session) -> Result<()> {
        let delete = format!("DELETE FROM {} WHERE migration = ?", Self::name());
        match target.execute_with(delete, (&self.migration,)).await {
            Err(error) if is_missing(&error) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Whether an error says that a table or its database isn't there.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error.code(), Some(1049 | 1146 | 1051))
}

fn range_id(range: &KeyRange) -> Result<String> {
    Ok(hex(&Sha256::digest(serde_json::to_vec(range)?)[..16]))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_are_read_back() {
        let rank = Rank::between(Some(&Rank(vec![3])), Some(&Rank(vec![3, 0, 2])), 7);
        assert_eq!(rank, Rank(vec![3, 0, 0, 7]));
        assert_eq!(Rank::parse(&rank.text()), Some(rank));
        assert_eq!(Rank::parse("1.x"), None);
    }

    proptest! {
        /// Whatever gaps are filled in whatever order, there is always room, in order.
        #[test]
        fn there_is_room_between_any_two(places in prop::collection::vec((0usize..64, 1usize..4), 1..24)) {
            let mut ranks: Vec<Rank> = Vec::new();
            for (place, count) in places {
                let at = place % (ranks.len() + 1);
                let left = at.checked_sub(1).map(|left| ranks[left].clone());
                let right = ranks.get(at).cloned();
                let new: Vec<Rank> = (1..=count as u32)
                    .map(|n| Rank::between(left.as_ref(), right.as_ref(), n))
                    .collect();
                ranks.splice(at..at, new);
                prop_assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
            }
        }
    }
}
