//! By what rows are compared: sums that both servers compute, or the rows themselves.

use std::collections::BTreeMap;

use super::{
    full::{self, Pairs, RowValues},
    hash::{self, Documents, RowHash},
    table::{By, Pair, Work},
    whole::{self, Bucket},
};
use crate::{
    config::VerifyMode,
    error::Result,
    mysql::{ChunkKey, KeyRange, KeyTuple, Session, Table},
};

/// What is asked of both servers. Rows compare only if both are asked the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Means {
    /// Hashes, computed there.
    Hash(RowHash),
    /// The values, compared here.
    Values(RowValues),
}

/// Rows of a range on either side, and whether they are equal.
pub(super) type Sums = Pairs;

impl Means {
    /// A table's means on one server.
    ///
    /// # Errors
    /// `Unsupported` for a column of a type that isn't known.
    pub fn of(
        mode: VerifyMode,
        session: &Session,
        table: &Table,
        documents: Documents,
    ) -> Result<Self> {
        Ok(match mode {
            VerifyMode::Full => Means::Values(RowValues::new(session, table, documents)?),
            VerifyMode::Count | VerifyMode::Checksum => {
                Means::Hash(RowHash::new(session, table, documents)?)
            }
        })
    }

    /// Compares a range on both sides at once.
    pub async fn sums(pair: &mut Pair, work: &Work, range: &KeyRange) -> Result<Sums> {
        let key = match &work.by {
            By::Ranges(key) => Some(key),
            By::Identity(_) | By::Nothing => None,
        };
        match (&work.means, key) {
            (Means::Hash(hash), key) => {
                let (ours, theirs) = tokio::join!(
                    hash::chunk_sum(&mut pair.source, &work.source, hash, key, range),
                    hash::chunk_sum(&mut pair.target, &work.target, hash, key, range)
                );
                let (ours, theirs) = (ours?, theirs?);
                Ok(Sums { source: ours.rows, target: theirs.rows, equal: ours == theirs })
            }
            (Means::Values(values), Some(key)) => {
                let source = (&mut pair.source, &work.source);
                full::pairs(source, (&mut pair.target, &work.target), values, key, range).await
            }
            // Without an order: by digest.
            (Means::Values(values), None) => {
                let (ours, theirs) = tokio::join!(
                    full::buckets(&mut pair.source, &work.source, values, 1),
                    full::buckets(&mut pair.target, &work.target, values, 1)
                );
                let (ours, theirs) = (ours?, theirs?);
                let rows = |buckets: &BTreeMap<String, Bucket>| {
                    buckets.values().map(|bucket| bucket.0).sum::<u64>()
                };
                Ok(Sums { source: rows(&ours), target: rows(&theirs), equal: ours == theirs })
            }
        }
    }

    /// Each row of a range: its key and its hash.
    pub async fn rows(
        &self,
        session: &mut Session,
        table: &Table,
        key: &ChunkKey,
        range: &KeyRange,
    ) -> Result<Vec<(KeyTuple, String)>> {
        match self {
            Means::Hash(hash) => hash::row_hashes(session, table, hash, key, range).await,
            Means::Values(values) => full::row_digests(session, table, values, key, range).await,
        }
    }

    /// The row of each of these keys that is there: its key and its hash. `lock` as in
    /// [`hash::key_hashes`].
    pub async fn named(
        &self,
        session: &mut Session,
        table: &Table,
        key: &ChunkKey,
        wanted: &[KeyTuple],
        lock: Option<&str>,
    ) -> Result<Vec<(KeyTuple, String)>> {
        match self {
            Means::Hash(hash) => hash::key_hashes(session, table, hash, key, wanted, lock).await,
            Means::Values(values) => {
                let lock = lock.unwrap_or_default();
                full::key_digests(session, table, values, key, wanted, lock).await
            }
        }
    }

    /// Rows and sums of a whole table, by the first digits of the hash.
    pub async fn buckets(
        &self,
        session: &mut Session,
        table: &Table,
        digits: usize,
    ) -> Result<BTreeMap<String, Bucket>> {
        match self {
            Means::Hash(hash) => whole::buckets(session, table, hash, digits).await,
            Means::Values(values) => full::buckets(session, table, values, digits).await,
        }
    }

    /// How often each hash of some buckets is there.
    pub async fn counted(
        &self,
        session: &mut Session,
        table: &Table,
        buckets: &[String],
    ) -> Result<BTreeMap<String, u64>> {
        match self {
            Means::Hash(hash) => whole::counted(session, table, hash, buckets).await,
            Means::Values(values) => {
                full::counted(session, table, values, |hash| is_of(hash, buckets)).await
            }
        }
    }

    /// The rows of some buckets: key and hash.
    pub async fn keyed(
        &self,
        session: &mut Session,
        table: &Table,
        key: &ChunkKey,
        buckets: &[String],
    ) -> Result<Vec<(KeyTuple, String)>> {
        match self {
            Means::Hash(hash) => whole::keyed(session, table, hash, key, buckets).await,
            Means::Values(values) => {
                let wanted = |hash: &str| is_of(hash, buckets);
                full::picked(session, table, values, key, wanted).await
            }
        }
    }
}

/// Whether a hash is in one of some buckets, which are sorted.
fn is_of(hash: &str, buckets: &[String]) -> bool {
    let digits = buckets.first().map_or(0, |name| name.len());
    hash.get(..digits)
        .is_some_and(|name| buckets.binary_search_by(|bucket| bucket.as_str().cmp(name)).is_ok())
}
