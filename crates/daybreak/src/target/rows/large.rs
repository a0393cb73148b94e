//! What is too large for a server: which row of a range it is, and what to do about it.
//!
//! Values travel in pieces, so that most may be larger than `max_allowed_packet`. Servers refuse those that they
//! compute (JSON's text, generated columns), and transactions larger than `max_binlog_cache_size`.

use super::{queue::TableWork, readers::Readers};
use crate::{
    error::{Error, Result},
    mysql::{ChunkKey, KeyRange, ReaderSession, VALUE_TOO_LARGE, quote},
};

/// A statement is.
const PACKET: u16 = 1153;

/// A transaction is larger than `max_binlog_cache_size`, a statement than `max_binlog_stmt_cache_size`.
const CACHE: [u16; 2] = [1197, 1705];

/// A chunk that arrived with warnings, the first of which says that a value was too large.
pub(super) fn value_was_cut(error: Error) -> Error {
    error.with_code(VALUE_TOO_LARGE).next(
        "the chunk was rolled back; raise max_allowed_packet on that server to the source's value at least \
         (1073741824 is the most), then `daybreak resume`",
    )
}

/// Says of an error about something too large which row is the largest. Other errors stay as they are.
pub(super) async fn named(
    error: Error,
    readers: &Readers,
    work: &TableWork,
    range: &KeyRange,
) -> Error {
    let whole_rows = match error.code() {
        Some(VALUE_TOO_LARGE | PACKET) => false,
        Some(code) if CACHE.contains(&code) => true,
        _ => return error,
    };
    let error = match whole_rows && work.key.is_none() {
        true => error.next(
            "raise max_binlog_cache_size on the target to more than the table's size (all rows of a table \
             that nothing cuts are one transaction), then `daybreak resume`",
        ),
        false => error,
    };
    let asked = async {
        let mut reader = readers.borrow().await?;
        largest(&mut reader, work, range, whole_rows).await
    };
    match asked.await {
        Ok(Some(largest)) => error.at(largest),
        Ok(None) => error,
        // The first failure is the one to tell.
        Err(unknown) => {
            tracing::debug!(%unknown, "which row is the largest isn't known");
            error
        }
    }
}

/// The largest row of a range at the source, or the row with the largest value that servers compute.
async fn largest(
    reader: &mut ReaderSession,
    work: &TableWork,
    range: &KeyRange,
    whole_rows: bool,
) -> Result<Option<String>> {
    let stored_size = reader.dialect().mysql_from(5, 7, 22);
    let sizes: Vec<String> = work
        .table
        .columns
        .iter()
        .filter(|column| match whole_rows {
            true => !column.generated,
            false => column.generated || column.data_type == "json",
        })
        .map(|column| {
            let name = quote(&column.name);
            // Its length would have to be printed, which the source may be too small for.
            let size = match column.data_type == "json" && stored_size {
                true => "JSON_STORAGE_SIZE",
                false => "LENGTH",
            };
            format!("COALESCE({size}({name}), 0)")
        })
        .collect();
    let size = match (sizes.as_slice(), whole_rows) {
        ([], _) => return Ok(None),
        (all, true) => all.join(" + "),
        ([one], false) => one.clone(),
        (all, false) => format!("GREATEST({})", all.join(", ")),
    };
    let key = work.key.clone().or_else(|| ChunkKey::identity(&work.table));
    let taken = work.table.taken(&work.predicate(range));
    let rows = format!("FROM {}{} WHERE {taken}", work.table.name.sql(), work.hint());
    // Not by sorting: the server would put whole documents into its sort buffer.
    let Some(bytes) = reader.scalar::<u64>(format!("SELECT MAX({size}) {rows}")).await? else {
        return Ok(None);
    };
    let of = match whole_rows {
        true => "the largest row",
        false => "the largest computed value",
    };
    let Some(key) = key else { return Ok(Some(format!("{of}: {bytes} bytes"))) };
    let sql = format!("SELECT {} {rows} AND {size} = {bytes} LIMIT 1", key.read_list());
    let Some(row) = reader.row(sql).await? else { return Ok(None) };
    Ok(Some(format!("{of}: {}, {bytes} bytes", key.describe(&key.tuple(&row, 0)?))))
}
