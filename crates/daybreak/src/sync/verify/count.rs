//! Rows counted, exactly: the comparison of mode `count`.

use super::table::{Found, Pair, Work};
use crate::{
    error::Result,
    mysql::{Session, Table},
};

/// Counts a table's rows on both sides at once.
pub(super) async fn both(pair: &mut Pair, work: &Work) -> Result<(u64, u64)> {
    let (ours, theirs) =
        tokio::join!(one(&mut pair.source, &work.source), one(&mut pair.target, &work.target));
    Ok((ours?, theirs?))
}

async fn one(session: &mut Session, table: &Table) -> Result<u64> {
    let count = session.scalar(format!("SELECT COUNT(*) FROM {}", table.rows_taken())).await?;
    Ok(count.unwrap_or_default())
}

/// A difference in numbers, without the rows.
pub(super) fn found(ours: u64, theirs: u64) -> Found {
    Found { beyond: ours.abs_diff(theirs), ..Found::default() }
}
