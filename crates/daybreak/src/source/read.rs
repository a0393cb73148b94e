//! Rows out of the source as bytes that `LOAD DATA` takes back in, without a value being decoded.
//!
//! Most values travel as the server writes them, in the column's own character set. A type whose
//! text isn't the whole value gets a form that is; a type that isn't known is refused.

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, Kind, Result},
    mysql::{Column, ReaderSession, Table, quote, wire::Cells},
};

/// How many bytes are handed over at once: one packet, below the least `max_allowed_packet` in use.
const BATCH: usize = 1_000_000;

/// How many bytes of a value are looked at together.
const PIECE: usize = 256;

/// How many batches may wait for the target.
pub const BATCHES_AHEAD: usize = 3;

/// What the reader hands to the loader. Reading that ends without [`Batch::End`] failed.
#[derive(Debug)]
pub enum Batch {
    /// Whole or partial lines.
    Rows(Bytes),
    /// All rows were handed over.
    End,
}

/// How a column's value makes a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    /// One result column, as it is.
    Plain,
    /// Two result columns: the text, and the number. An ENUM that holds no member (number 0) reads as
    /// '' like a member that is called so; a number that no member is called tells the server.
    Enum { nothing: Vec<u8> },
}

/// How a table's rows are read and loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowForm {
    select: String,
    load: String,
    cells: Vec<Cell>,
}

impl RowForm {
    /// The form for a table's stored columns.
    ///
    /// # Errors
    /// `Unsupported` for a type that isn't known.
    pub fn of(table: &Table) -> Result<Self> {
        let (mut select, mut fields, mut sets, mut cells) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (at, column) in table.stored_columns().enumerate() {
            let name = quote(&column.name);
            let variable = format!("@v{at}");
            match column.data_type.as_str() {
                // The text of a FLOAT has six digits; as a DOUBLE it has all. (`+ 0e0` would lose the
                // sign of -0.)
                "float" => {
                    select.push(format!("{name} * 1e0"));
                    fields.push(name);
                    cells.push(Cell::Plain);
                }
                // LOAD DATA takes no JSON in the character set binary.
                "json" => {
                    select.push(name.clone());
                    sets.push(format!("{name} = CONVERT({variable} USING utf8mb4)"));
                    fields.push(variable);
                    cells.push(Cell::Plain);
                }
                // Bytes without a character set would be taken for the value's own.
                "uuid" | "inet4" | "inet6" => {
                    select.push(name.clone());
                    sets.push(format!("{name} = CONVERT({variable} USING latin1)"));
                    fields.push(variable);
                    cells.push(Cell::Plain);
                }
                // By number: an empty SET and a member that is called '' have the same text.
                "set" => {
                    select.push(format!("CAST({name} AS UNSIGNED)"));
                    sets.push(format!("{name} = CAST({variable} AS UNSIGNED)"));
                    fields.push(variable);
                    cells.push(Cell::Plain);
                }
                "enum" => {
                    select.push(format!("{name}, CAST({name} AS UNSIGNED)"));
                    fields.push(name);
                    cells.push(Cell::Enum { nothing: no_member(column) });
                }
                other if is_plain(other) => {
                    select.push(name.clone());
                    fields.push(name);
                    cells.push(Cell::Plain);
                }
                other => {
                    return Err(Error::new(
                        Kind::Unsupported,
                        format!("columns of type {other} aren't copied: nobody has proved yet that they arrive as they were"),
                    )
                    .at(format!("{}.{}", table.name, column.name))
                    .next("exclude the table, or change the column's type"));
                }
            }
        }
        if cells.is_empty() {
            // A row without stored columns is still a row.
            select.push("'-'".to_string());
            fields.push("@v0".to_string());
            cells.push(Cell::Plain);
        }
        if !sets.is_empty() {
            // With a SET, MariaDB takes a 0 that was read into an AUTO_INCREMENT column for "count up",
            // whatever the sql_mode; assigned by the SET it stays 0.
            let counted = table.stored_columns().position(|column| column.auto_increment);
            if let Some(at) = counted {
                let variable = format!("@v{at}");
                let name = std::mem::replace(&mut fields[at], variable.clone());
                if name != variable {
                    sets.push(format!("{name} = {variable}"));
                }
            }
        }
        let set = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
        Ok(RowForm {
            select: select.join(", "),
            load: format!("({}){set}", fields.join(", ")),
            cells,
        })
    }

    /// The expressions to select.
    pub fn select_list(&self) -> &str {
        &self.select
    }

    /// The fields, and what becomes of them: the end of a LOAD DATA statement.
    pub fn load_list(&self) -> &str {
        &self.load
    }

    /// Appends one row as one line.
    fn write(&self, mut row: Cells<'_>, out: &mut BytesMut) -> Result<()> {
        for (n, cell) in self.cells.iter().enumerate() {
            if n > 0 {
                out.put_u8(b'\t');
            }
            let value = row.cell()?;
            let nothing = match cell {
                Cell::Plain => None,
                Cell::Enum { nothing } => (row.cell()? == Some(b"0")).then_some(&nothing[..]),
            };
            match (value, nothing) {
                (None, _) => out.put_slice(b"\\N"),
                (_, Some(nothing)) => escape(nothing, out),
                (Some(value), None) => escape(value, out),
            }
        }
        row.end()?;
        out.put_u8(b'\n');
        Ok(())
    }
}

/// Types whose text in the column's own character set (or whose bytes) is the whole value.
fn is_plain(data_type: &str) -> bool {
    matches!(
        data_type,
        "tinyint"
            | "smallint"
            | "mediumint"
            | "int"
            | "bigint"
            | "decimal"
            | "double"
            | "bit"
            | "year"
            | "date"
            | "time"
            | "datetime"
            | "timestamp"
            | "char"
            | "varchar"
            | "tinytext"
            | "text"
            | "mediumtext"
            | "longtext"
            | "binary"
            | "varbinary"
            | "tinyblob"
            | "blob"
            | "mediumblob"
            | "longblob"
            | "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
            | "vector"
    )
}

/// A zero that is no member's name. (In UTF-16 and UTF-32 the server takes no number: such a value is
/// refused when it is loaded.)
fn no_member(column: &Column) -> Vec<u8> {
    // The definition quotes each member; at most five zeros are read as a number.
    let zeros = (1..=5)
        .map(|count| "0".repeat(count))
        .find(|zeros| !column.column_type.contains(&format!("'{zeros}'")))
        .unwrap_or_else(|| "0".to_string());
    zeros.into_bytes()
}

/// Escapes a value for `FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n'`.
fn escape(value: &[u8], out: &mut BytesMut) {
    out.reserve(value.len() + 16);
    let special = |byte: u8| matches!(byte, b'\\' | b'\t' | b'\n' | 0);
    for mut piece in value.chunks(PIECE) {
        // Without a way out of the middle, so that many bytes are looked at in one instruction: most pieces
        // hold nothing special.
        if piece.iter().fold(false, |found, byte| found | special(*byte)) {
            while let Some(at) = piece.iter().position(|byte| special(*byte)) {
                out.put_slice(&piece[..at]);
                out.put_slice(match piece[at] {
                    b'\t' => b"\\t",
                    b'\n' => b"\\n",
                    0 => b"\\0",
                    _ => b"\\\\",
                });
                piece = &piece[at + 1..];
            }
        }
        out.put_slice(piece);
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Rows.
    pub rows: u64,
    /// Bytes handed over.
    pub bytes: u64,
}

/// Reads the rows of a query and hands them over in batches; `halt` ends it early. `moved` is told of
/// each batch: rows and bytes.
///
/// # Errors
/// What the server said. Whoever receives sees the channel end without [`Batch::End`].
pub async fn read_rows(
    session: &mut ReaderSession,
    form: &RowForm,
    query: &str,
    batches: mpsc::Sender<Batch>,
    halt: &CancellationToken,
    moved: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Read> {
    let place = session.place().to_string();
    let halted = || Error::new(Kind::Interrupted, "reading was ended early").at(&place);
    let mut read = Read::default();
    let mut since_batch = 0;
    let mut buffer = BytesMut::with_capacity(BATCH + BATCH / 4);
    let mut rows = session.read(query).await?;
    let send = async |batch: Batch| {
        tokio::select! {
            sent = batches.send(batch) => sent.map_err(|_| halted()),
            () = halt.cancelled() => Err(halted()),
        }
    };
    while let Some(row) = rows.next().await? {
        form.write(row, &mut buffer).map_err(|error| error.at(&place))?;
        read.rows += 1;
        since_batch += 1;
        while buffer.len() >= BATCH {
            // A single huge row leaves in pieces as well: no packet may exceed the server's limit.
            let piece = buffer.split_to(BATCH).freeze();
            read.bytes += BATCH as u64;
            send(Batch::Rows(piece)).await?;
            moved(since_batch, BATCH as u64);
            since_batch = 0;
        }
    }
    // Before the end is told: whoever loads must not take a value that was left out for an empty one.
    session.nothing_cut().await?;
    if !buffer.is_empty() {
        let length = buffer.len() as u64;
        read.bytes += length;
        send(Batch::Rows(buffer.freeze())).await?;
        moved(since_batch, length);
    }
    send(Batch::End).await?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(value: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        escape(value, &mut out);
        out.to_vec()
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped(b"a\tb\nc\\d\0e"), b"a\\tb\\nc\\\\d\\0e");
        assert_eq!(escaped(b"\\N"), b"\\\\N");
        assert_eq!(escaped(b""), b"");
        // Wherever it stands in a long value.
        for length in [1, 255, 256, 257, 700] {
            for at in 0..length {
                let mut value = vec![b'x'; length];
                value[at] = b'\n';
                let mut wanted = value.clone();
                wanted.splice(at..=at, *b"\\n");
                assert_eq!(escaped(&value), wanted, "{at} of {length}");
            }
        }
    }

    #[test]
    fn no_member_is_called_like_the_zero() {
        let column = |column_type: &str, charset: &str| Column {
            charset: Some(charset.into()),
            ..Column::of_type(column_type)
        };
        assert_eq!(no_member(&column("enum('a','')", "latin1")), b"0");
        assert_eq!(no_member(&column("enum('0','00')", "utf8mb4")), b"000");
    }
}
