//! Rows of one table on both sides: sums of ranges, cut finer where they differ, down to keys.

use std::collections::BTreeMap;

use super::{
    full,
    hash::{Documents, in_common},
    means::{Means, Sums},
    report::{Difference, What},
    whole,
};
use crate::{
    config::VerifyMode,
    error::{Error, Kind, Result},
    mysql::{ChunkKey, Column, KeyRange, KeyTuple, ServerUrl, Session, Side, Table, charset},
};

/// A range of at most this many rows is compared row by row.
const LEAF: u64 = 200;
/// Into how many parts a differing range is cut.
const PARTS: u64 = 16;
/// How many differing keys of one table are looked for; past that its ranges are only counted.
pub(super) const SOUGHT: usize = 10_000;

/// A connection to either side, used together.
#[derive(Debug)]
pub(super) struct Pair {
    pub source: Session,
    pub target: Session,
}

impl Pair {
    pub async fn open(source: &ServerUrl, target: &ServerUrl) -> Result<Self> {
        let (source, target) =
            tokio::join!(Session::open(source, Side::Source), Session::open(target, Side::Target));
        let mut pair = Pair { source: source?, target: target? };
        // One side waits for the other, and some sessions for all the others.
        pair.source.without_limits().await?;
        pair.target.without_limits().await?;
        Ok(pair)
    }

    /// The same, for rows as a mode compares them.
    pub async fn for_rows(
        source: &ServerUrl,
        target: &ServerUrl,
        mode: VerifyMode,
    ) -> Result<Self> {
        let mut pair = Self::open(source, target).await?;
        if mode == VerifyMode::Full {
            full::settle(&mut pair.source).await?;
            full::settle(&mut pair.target).await?;
        }
        Ok(pair)
    }

    pub async fn close(self) {
        tokio::join!(self.source.close(), self.target.close());
    }
}

/// By what a table's rows are told apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum By {
    /// A key whose order is the same on both sides: ranges.
    Ranges(ChunkKey),
    /// A key that can't cut the table but names a row: the table is summed whole.
    Identity(ChunkKey),
    /// Nothing: rows are a multiset of hashes.
    Nothing,
}

/// A table that both sides have, with columns in the source's order.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub source: Table,
    pub target: Table,
    pub by: By,
    /// By what both sides' rows are compared.
    pub means: Means,
}

impl Work {
    /// Puts both sides' tables together, or says why their rows can't be compared.
    pub fn new(
        source: &Table,
        target: &Table,
        pair: &Pair,
        mode: VerifyMode,
    ) -> Result<Result<Self, String>> {
        let mut columns = Vec::with_capacity(source.columns.len());
        for column in &source.columns {
            match target.column(&column.name) {
                Some(theirs) => columns.push(theirs.clone()),
                None => return Ok(Err(format!("column {} isn't on the target", column.name))),
            }
        }
        if let Some(extra) = target.columns.iter().find(|c| source.column(&c.name).is_none()) {
            return Ok(Err(format!("column {} is on the target only", extra.name)));
        }
        let target = Table { columns, ..target.clone() };
        // Types that are read in different ways have no common ground to be compared on.
        let documents = Documents::of(&pair.source, &pair.target);
        let (from, to) = (pair.source.dialect(), pair.target.dialect());
        let ours = Means::of(mode, &pair.source, &in_common(source, from, to), documents);
        let theirs = Means::of(mode, &pair.target, &in_common(&target, from, to), documents);
        let means = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => ours,
            (Ok(_), Ok(_)) => {
                let (a, b) = source
                    .columns
                    .iter()
                    .zip(&target.columns)
                    .find(|(a, b)| a.data_type != b.data_type)
                    .ok_or_else(|| Error::new(Kind::Bug, "equal types are read differently"))?;
                return Ok(Err(format!(
                    "column {} is {} at the source and {} at the target",
                    a.name, a.data_type, b.data_type
                )));
            }
            (Err(error), _) | (_, Err(error)) if error.kind() == Kind::Unsupported => {
                return Ok(Err(error.what().to_string()));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let by = match (ChunkKey::of(source), ChunkKey::identity(source)) {
            (Some(key), _) if same_order(&key, &target) => By::Ranges(key),
            (_, Some(key)) => By::Identity(key),
            _ => By::Nothing,
        };
        Ok(Ok(Work { source: source.clone(), target, by, means }))
    }

    /// The key by which a row is named.
    pub fn key(&self) -> Option<&ChunkKey> {
        match &self.by {
            By::Ranges(key) | By::Identity(key) => Some(key),
            By::Nothing => None,
        }
    }

    pub fn rows_estimate(&self) -> u64 {
        self.source.rows_estimate.max(self.target.rows_estimate)
    }
}

/// Whether a key's columns have the same character sets, collations and members on the target.
fn same_order(key: &ChunkKey, target: &Table) -> bool {
    let collation = |column: &Column| column.collation.as_deref().map(charset::modern);
    key.columns.iter().all(|column| {
        target.column(&column.name).is_some_and(|theirs| {
            let numbered = matches!(column.data_type.as_str(), "enum" | "set");
            theirs.data_type == column.data_type
                && collation(theirs) == collation(column)
                && (!numbered || theirs.column_type == column.column_type)
        })
    })
}

/// A row whose hashes differ; none where a side doesn't have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowDifference {
    pub key: KeyTuple,
    pub source: Option<String>,
    pub target: Option<String>,
}

impl RowDifference {
    pub fn describe(&self, key: &ChunkKey) -> Difference {
        let what = match (&self.source, &self.target) {
            (Some(_), None) => What::MissingOnTarget,
            (None, _) => What::ExtraOnTarget,
            (Some(_), Some(_)) => What::Different,
        };
        Difference { key: key.describe(&self.key), what }
    }
}

/// What differs in a table.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows by key.
    pub rows: Vec<RowDifference>,
    /// Rows without a key.
    pub hashes: Vec<Difference>,
    /// At least so many more.
    pub beyond: u64,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.hashes.is_empty() && self.beyond == 0
    }

    pub fn is_full(&self) -> bool {
        self.rows.len() + self.hashes.len() >= SOUGHT
    }

    pub fn add(&mut self, other: Found) {
        self.rows.extend(other.rows);
        self.hashes.extend(other.hashes);
        self.beyond += other.beyond;
    }

    /// A row that one range misses and another has too many is where it is: only the order of keys
    /// differed.
    pub fn settle_moves(&mut self) {
        let mut merged: BTreeMap<KeyTuple, RowDifference> = BTreeMap::new();
        for row in std::mem::take(&mut self.rows) {
            match merged.get_mut(&row.key) {
                Some(seen) => {
                    seen.source = seen.source.take().or(row.source);
                    seen.target = seen.target.take().or(row.target);
                }
                None => {
                    merged.insert(row.key.clone(), row);
                }
            }
        }
        self.rows = merged.into_values().filter(|row| row.source != row.target).collect();
    }
}

/// Finds out which rows of a range differ that isn't equal.
pub(super) async fn differences(
    pair: &mut Pair,
    work: &Work,
    range: KeyRange,
    seen: Sums,
) -> Result<Found> {
    let By::Ranges(key) = &work.by else {
        return whole::differences(pair, work).await;
    };
    let mut found = Found::default();
    let mut narrowing = Narrowing::of(range, seen);
    while !found.is_full() {
        match narrowing.next(pair, work, key).await? {
            Some(rows) => found.rows.extend(rows),
            None => return Ok(found),
        }
    }
    found.beyond += narrowing.left();
    Ok(found)
}

/// Ranges that aren't equal, cut finer until their rows can be told apart one by one.
#[derive(Debug, Default)]
pub(super) struct Narrowing {
    open: Vec<(KeyRange, Sums)>,
}

impl Narrowing {
    /// Begins with a range, and what was seen of it.
    pub fn of(range: KeyRange, seen: Sums) -> Self {
        Narrowing { open: vec![(range, seen)] }
    }

    /// The differing rows of the next small range; none when all were looked at.
    pub async fn next(
        &mut self,
        pair: &mut Pair,
        work: &Work,
        key: &ChunkKey,
    ) -> Result<Option<Vec<RowDifference>>> {
        while let Some((range, seen)) = self.open.pop() {
            let rows = seen.source.max(seen.target);
            let parts = if rows > LEAF {
                // The side with more rows is the one whose keys cut: rows past the other's last key too.
                let (session, table) = if seen.source >= seen.target {
                    (&mut pair.source, &work.source)
                } else {
                    (&mut pair.target, &work.target)
                };
                cut(session, table, key, &range, rows.div_ceil(PARTS)).await?
            } else {
                Vec::new()
            };
            if parts.len() < 2 {
                return leaf(pair, work, key, &range).await.map(Some);
            }
            for part in parts {
                let seen = Means::sums(pair, work, &part).await?;
                if !seen.equal {
                    self.open.push((part, seen));
                }
            }
        }
        Ok(None)
    }

    /// At least how many rows differ in what wasn't looked at.
    pub fn left(&self) -> u64 {
        self.open.iter().map(|(_, seen)| seen.source.abs_diff(seen.target).max(1)).sum()
    }
}

/// Cuts a range into parts of so many rows, the last with the rest.
async fn cut(
    session: &mut Session,
    table: &Table,
    key: &ChunkKey,
    range: &KeyRange,
    rows: u64,
) -> Result<Vec<KeyRange>> {
    let mut parts = Vec::new();
    let mut rest = range.clone();
    // Bounded, as writers may keep adding rows at the end.
    while (parts.len() as u64) < 2 * PARTS {
        let Some(at) = key.walk(session, table, &rest, rows).await? else { break };
        parts.push(KeyRange { after: rest.after.take(), up_to: Some(at.clone()) });
        rest.after = Some(at);
    }
    parts.push(rest);
    Ok(parts)
}

async fn leaf(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    range: &KeyRange,
) -> Result<Vec<RowDifference>> {
    let (ours, theirs) = tokio::join!(
        work.means.rows(&mut pair.source, &work.source, key, range),
        work.means.rows(&mut pair.target, &work.target, key, range)
    );
    Ok(by_key(ours?, theirs?))
}

/// The keys whose hashes differ.
pub(super) fn by_key(
    ours: Vec<(KeyTuple, String)>,
    theirs: Vec<(KeyTuple, String)>,
) -> Vec<RowDifference> {
    let mut rows: BTreeMap<KeyTuple, (Option<String>, Option<String>)> = BTreeMap::new();
    for (key, hash) in ours {
        rows.entry(key).or_default().0 = Some(hash);
    }
    for (key, hash) in theirs {
        rows.entry(key).or_default().1 = Some(hash);
    }
    rows.into_iter()
        .filter(|(_, (source, target))| source != target)
        .map(|(key, (source, target))| RowDifference { key, source, target })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> KeyTuple {
        KeyTuple(vec![text.into()])
    }

    #[test]
    fn a_row_in_another_range_is_no_difference() {
        let hash = || Some("aa".to_string());
        let mut found = Found {
            rows: vec![
                RowDifference { key: key("1"), source: hash(), target: None },
                RowDifference { key: key("2"), source: None, target: hash() },
                RowDifference { key: key("1"), source: None, target: hash() },
            ],
            ..Found::default()
        };
        found.settle_moves();
        assert_eq!(found.rows.len(), 1);
        assert_eq!(found.rows[0].key, key("2"));
    }

    #[test]
    fn keys_are_told_apart_by_bytes() {
        let found = by_key(
            vec![(key("61"), "x".into()), (key("62"), "y".into())],
            vec![(key("41"), "x".into()), (key("62"), "z".into())],
        );
        assert_eq!(found.len(), 3);
    }
}
