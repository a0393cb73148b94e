//! Tables that can't be cut by a key: their rows as a multiset of hashes, narrowed down by the
//! hashes' first digits so that only the rows of differing buckets travel.

use std::collections::BTreeMap;

use super::{
    hash::RowHash,
    report::{Difference, What},
    table::{By, Found, Pair, RowDifference, Work, by_key},
};
use crate::{
    error::{Error, Kind, Result},
    mysql::{ChunkKey, KeyTuple, Session, Table},
};

/// How many hashes are fetched from one side at once.
const BATCH: u64 = 200_000;

/// How many rows a bucket should have: every batch of buckets reads the whole table.
const BUCKET: u64 = 1_000;

/// A bucket: how many rows, and their hashes' sum.
pub(super) type Bucket = (u64, String);

/// Finds out which rows of a whole table differ.
pub(super) async fn differences(pair: &mut Pair, work: &Work) -> Result<Found> {
    let mut found = Found::default();
    for batch in batches(pair, work).await? {
        if found.is_full() {
            found.beyond += batch.len() as u64;
            continue;
        }
        match &work.by {
            By::Ranges(key) | By::Identity(key) => {
                found.rows.extend(rows(pair, work, key, &batch).await?);
            }
            By::Nothing => {
                let copies = copies(pair, work, &batch).await?;
                found.hashes.extend(copies.iter().map(Copies::describe));
            }
        }
    }
    // A changed row has its old hash in one bucket and its new one in another.
    found.settle_moves();
    Ok(found)
}

/// The names of the buckets that differ, as many together as can be fetched at once.
pub(super) async fn batches(pair: &mut Pair, work: &Work) -> Result<Vec<Vec<String>>> {
    let digits = digits(work.rows_estimate());
    let (ours, theirs) = tokio::join!(
        work.means.buckets(&mut pair.source, &work.source, digits),
        work.means.buckets(&mut pair.target, &work.target, digits)
    );
    let (ours, theirs) = (ours?, theirs?);
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    names.sort();
    names.dedup();
    let mut batches: Vec<(Vec<String>, u64)> = Vec::new();
    for name in names {
        let (a, b) = (ours.get(name), theirs.get(name));
        if a == b {
            continue;
        }
        let rows = a.map_or(0, |bucket| bucket.0).max(b.map_or(0, |bucket| bucket.0));
        match batches.last_mut() {
            Some((batch, sum)) if *sum + rows <= BATCH => {
                batch.push(name.clone());
                *sum += rows;
            }
            _ => batches.push((vec![name.clone()], rows)),
        }
    }
    Ok(batches.into_iter().map(|(batch, _)| batch).collect())
}

/// The rows of some buckets that differ, by key.
pub(super) async fn rows(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    batch: &[String],
) -> Result<Vec<RowDifference>> {
    let (ours, theirs) = tokio::join!(
        work.means.keyed(&mut pair.source, &work.source, key, batch),
        work.means.keyed(&mut pair.target, &work.target, key, batch)
    );
    Ok(by_key(ours?, theirs?))
}

/// How often a row without a key is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copies {
    pub hash: String,
    pub source: u64,
    pub target: u64,
}

impl Copies {
    fn describe(&self) -> Difference {
        let Copies { hash, source, target } = self;
        Difference {
            key: format!(
                "the row with hash {}, {source} times at the source and {target} at the target,",
                &hash[..hash.len().min(16)]
            ),
            what: if source > target { What::MissingOnTarget } else { What::ExtraOnTarget },
        }
    }
}

/// The rows of some buckets that aren't there equally often.
pub(super) async fn copies(pair: &mut Pair, work: &Work, batch: &[String]) -> Result<Vec<Copies>> {
    let (ours, theirs) = tokio::join!(
        work.means.counted(&mut pair.source, &work.source, batch),
        work.means.counted(&mut pair.target, &work.target, batch)
    );
    let (ours, theirs) = (ours?, theirs?);
    let mut hashes: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    hashes.sort();
    hashes.dedup();
    let count = |of: &BTreeMap<String, u64>, hash| of.get(hash).copied().unwrap_or_default();
    Ok(hashes
        .into_iter()
        .map(|hash| Copies {
            hash: hash.clone(),
            source: count(&ours, hash),
            target: count(&theirs, hash),
        })
        .filter(|copies| copies.source != copies.target)
        .collect())
}

/// By how many digits of the hash to tell buckets apart: from 256 to a million of them.
fn digits(rows: u64) -> usize {
    (2..5).find(|digits| rows >> (4 * digits) <= BUCKET).unwrap_or(5)
}

/// Rows and sums by the first digits of the hash.
pub(super) async fn buckets(
    session: &mut Session,
    table: &Table,
    hash: &RowHash,
    digits: usize,
) -> Result<BTreeMap<String, Bucket>> {
    let rows = session
        .rows(format!(
            "SELECT SUBSTRING(daybreak_h, 1, {digits}) AS b, COUNT(*), \
             SUM(CAST(CONV(SUBSTRING(daybreak_h, 17, 16), 16, 10) AS UNSIGNED)) \
             FROM (SELECT {hash} AS daybreak_h FROM {} LIMIT 18446744073709551615) AS d GROUP BY b",
            table.rows_taken()
        ))
        .await?;
    let mut buckets = BTreeMap::new();
    for row in rows {
        let name: String = session.column(&row, 0)?.ok_or_else(|| {
            Error::new(Kind::NotExact, "a row could not be hashed by the server").at(&table.name)
        })?;
        let count = session.column::<u64>(&row, 1)?.unwrap_or_default();
        let sum = session.column::<String>(&row, 2)?.unwrap_or_default();
        buckets.insert(name, (count, sum));
    }
    Ok(buckets)
}

fn within(batch: &[String]) -> String {
    let digits = batch.first().map_or(0, |name| name.len());
    let names: Vec<String> = batch.iter().map(|name| format!("'{name}'")).collect();
    format!("SUBSTRING(daybreak_h, 1, {digits}) IN ({})", names.join(", "))
}

pub(super) async fn counted(
    session: &mut Session,
    table: &Table,
    hash: &RowHash,
    batch: &[String],
) -> Result<BTreeMap<String, u64>> {
    let rows = session
        .rows(format!(
            "SELECT daybreak_h, COUNT(*) FROM (SELECT {hash} AS daybreak_h FROM {} LIMIT 18446744073709551615) AS d \
             WHERE {} GROUP BY daybreak_h",
            table.rows_taken(),
            within(batch)
        ))
        .await?;
    let mut counts = BTreeMap::new();
    for row in rows {
        let hash: String = session.column(&row, 0)?.unwrap_or_default();
        counts.insert(hash, session.column::<u64>(&row, 1)?.unwrap_or_default());
    }
    Ok(counts)
}

pub(super) async fn keyed(
    session: &mut Session,
    table: &Table,
    hash: &RowHash,
    key: &ChunkKey,
    batch: &[String],
) -> Result<Vec<(KeyTuple, String)>> {
    let rows = session
        .rows(format!(
            "SELECT * FROM (SELECT {hash} AS daybreak_h, {} FROM {} LIMIT 18446744073709551615) AS d WHERE {}",
            key.read_list(),
            table.rows_taken(),
            within(batch)
        ))
        .await?;
    let mut tuples = Vec::with_capacity(rows.len());
    for row in rows {
        let hash: String = session.column(&row, 0)?.unwrap_or_default();
        tuples.push((key.tuple(&row, 1)?, hash));
    }
    Ok(tuples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stay_small() {
        assert_eq!([0, 256_000, 300_000].map(digits), [2, 2, 3]);
        assert_eq!(digits(100_000_000), 5);
        assert_eq!(digits(u64::MAX), 5);
    }
}
