//! All rows of a table that differ, a few at a time, however many there are.

use std::{collections::VecDeque, vec};

use crate::{
    engine::StopSignal,
    error::Result,
    mysql::{ChunkKey, KeyRange, KeyTuple},
    sync::verify::{
        live::KEYS,
        means::Means,
        table::{By, Narrowing, Pair, RowDifference, Work},
        whole::{self, Copies},
    },
};

/// Some rows that differ.
pub(super) enum Lot {
    /// By key, each of them once in a sweep.
    Rows(Vec<RowDifference>),
    /// Rows without a key.
    Copies(Vec<Copies>),
}

/// How far a sweep is.
enum At {
    /// In ranges: what is left of the table, and the range that is looked at.
    Ranges { rest: Option<KeyRange>, narrowing: Narrowing },
    /// Not begun.
    Whole,
    /// At keys that are known.
    Keys { left: Vec<KeyTuple> },
    /// In buckets of hashes.
    Buckets { batches: vec::IntoIter<Vec<String>> },
}

/// A way once through a table.
pub(super) struct Sweep {
    at: At,
    found: VecDeque<Lot>,
    chunk_rows: u64,
}

impl Sweep {
    pub fn of(work: &Work, chunk_rows: u64) -> Self {
        let at = match &work.by {
            By::Ranges(_) => {
                At::Ranges { rest: Some(KeyRange::all()), narrowing: Narrowing::default() }
            }
            By::Identity(_) | By::Nothing => At::Whole,
        };
        Sweep { at, found: VecDeque::new(), chunk_rows }
    }

    /// The same for rows that are known to differ, or did.
    pub fn over(keys: Vec<KeyTuple>) -> Self {
        Sweep { at: At::Keys { left: keys }, found: VecDeque::new(), chunk_rows: 0 }
    }

    /// The next rows that differ; none at the end.
    ///
    /// # Errors
    /// `Interrupted` once a stop is asked for; what the servers said.
    pub async fn next(
        &mut self,
        pair: &mut Pair,
        work: &Work,
        stop: &StopSignal,
    ) -> Result<Option<Lot>> {
        loop {
            stop.check()?;
            if let Some(lot) = self.found.pop_front() {
                return Ok(Some(lot));
            }
            match (&mut self.at, &work.by) {
                (At::Ranges { rest, narrowing }, By::Ranges(key)) => {
                    if let Some(rows) = narrowing.next(pair, work, key).await? {
                        self.found.extend(confirmed(pair, work, key, &rows).await?);
                        continue;
                    }
                    let Some(mut range) = rest.take() else { return Ok(None) };
                    let end =
                        key.walk(&mut pair.source, &work.source, &range, self.chunk_rows).await?;
                    if let Some(end) = end {
                        *rest = Some(KeyRange { after: Some(end.clone()), up_to: None });
                        range.up_to = Some(end);
                    }
                    let seen = Means::sums(pair, work, &range).await?;
                    if !seen.equal {
                        *narrowing = Narrowing::of(range, seen);
                    }
                }
                (At::Keys { left }, by) => {
                    let (By::Ranges(key) | By::Identity(key), false) = (by, left.is_empty()) else {
                        return Ok(None);
                    };
                    let keys = left.split_off(left.len().saturating_sub(KEYS));
                    // Wherever it is.
                    let there = Some(String::new());
                    let rows: Vec<RowDifference> = keys
                        .into_iter()
                        .map(|key| RowDifference { key, source: there.clone(), target: None })
                        .collect();
                    self.found.extend(confirmed(pair, work, key, &rows).await?);
                }
                (At::Buckets { batches }, by) => {
                    let Some(batch) = batches.next() else { return Ok(None) };
                    match by {
                        By::Identity(key) | By::Ranges(key) => {
                            let rows = whole::rows(pair, work, key, &batch).await?;
                            self.found.extend(confirmed(pair, work, key, &rows).await?);
                        }
                        By::Nothing => {
                            let copies = whole::copies(pair, work, &batch).await?;
                            let lots = copies.chunks(KEYS).map(|lot| Lot::Copies(lot.to_vec()));
                            self.found.extend(lots);
                        }
                    }
                }
                (At::Whole | At::Ranges { .. }, _) => {
                    let batches = whole::batches(pair, work).await?.into_iter();
                    self.at = At::Buckets { batches };
                }
            }
        }
    }
}

/// What the rows of these keys are on both sides, without those that agree: a row whose order differs
/// between the sides is missed in one range and has no place in another.
async fn confirmed(
    pair: &mut Pair,
    work: &Work,
    key: &ChunkKey,
    suspects: &[RowDifference],
) -> Result<Vec<Lot>> {
    let mut lots = Vec::new();
    for suspects in suspects.chunks(KEYS) {
        let keys: Vec<KeyTuple> = suspects.iter().map(|row| row.key.clone()).collect();
        let (ours, theirs) = tokio::join!(
            work.means.named(&mut pair.source, &work.source, key, &keys, None),
            work.means.named(&mut pair.target, &work.target, key, &keys, None)
        );
        let (ours, theirs) = (ours?, theirs?);
        let find = |rows: &[(KeyTuple, String)], tuple: &KeyTuple| {
            rows.iter().find(|row| row.0 == *tuple).map(|row| row.1.clone())
        };
        let mut rows = Vec::with_capacity(suspects.len());
        for suspect in suspects {
            let (source, target) = (find(&ours, &suspect.key), find(&theirs, &suspect.key));
            // Seen at the target only, and there at the source: it is found where the source has it.
            let elsewhere = suspect.source.is_none() && source.is_some();
            if source != target && !elsewhere {
                rows.push(RowDifference { key: suspect.key.clone(), source, target });
            }
        }
        if !rows.is_empty() {
            lots.push(Lot::Rows(rows));
        }
    }
    Ok(lots)
}
