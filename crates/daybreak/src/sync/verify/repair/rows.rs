//! The statements that make a table's rows those of the source: what is wrong on the target is taken
//! off, what the source has is put in.
//!
//! A row is taken off only as long as it is, byte by byte, what was compared: by its key and its hash. So
//! nothing is lost that came meanwhile. Where another unique key could refuse a value that moved from
//! one row to another, all of a table's rows are taken off before any is put in, in one transaction.

use serde::Serialize;

use super::{
    documents::{self, Names, Typed},
    literal::{Cells, Literal, hex},
    script::Sink,
    sweep::{Lot, Sweep},
};
use crate::{
    engine::StopSignal,
    error::{Error, Kind, Result},
    mysql::{Column, KeyTuple, TableName, quote},
    sync::verify::{
        full::{Rows, through},
        hash::{self, Documents, RowHash, in_common},
        live::KEYS,
        means::Means,
        table::{By, Pair, RowDifference, Work},
        whole::Copies,
    },
};

/// The size at which an INSERT is complete.
const STATEMENT: usize = 256 << 10;

/// A value beyond so many bytes is put into a variable, by pieces of so many.
const PIECE: usize = 256 << 10;

/// What is set right in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRepair {
    /// The table.
    pub table: TableName,
    /// Rows that both sides have, with other values: the source's are set.
    pub set: u64,
    /// Rows that the target lacks: put in.
    pub added: u64,
    /// Rows that the source doesn't have: taken off.
    pub removed: u64,
}

impl TableRepair {
    /// All of them.
    pub fn rows(&self) -> u64 {
        self.set + self.added + self.removed
    }
}

/// The keys of all rows that differ now, as far as the sessions see; none if there are more than `most`.
pub(super) async fn suspects(
    pair: &mut Pair,
    work: &Work,
    chunk_rows: u64,
    most: usize,
    stop: &StopSignal,
) -> Result<Option<Vec<KeyTuple>>> {
    let (mut sweep, mut keys) = (Sweep::of(work, chunk_rows), Vec::new());
    while let Some(lot) = sweep.next(pair, work, stop).await? {
        stop.check()?;
        let Lot::Rows(rows) = lot else { return Ok(None) };
        keys.extend(rows.into_iter().map(|row| row.key));
        if keys.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(keys))
}

/// What a way through a table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Both, a few rows at a time, each in a transaction of its own.
    Both,
    /// Takes rows off.
    Off,
    /// Puts rows in.
    In,
}

/// Sets one table right.
pub(super) struct Repairer<'a> {
    pub pair: &'a mut Pair,
    pub work: Work,
    pub out: &'a mut Sink,
    /// Whether changes of the source may come between the comparison and the statements.
    pub late: bool,
    /// The longest value that the target takes, in bytes.
    pub packet: usize,
    pub chunk_rows: u64,
    pub stop: &'a StopSignal,
    /// The rows to look at; none: all of the table.
    only: Option<Vec<KeyTuple>>,
    hash: RowHash,
    cells: Cells,
    done: TableRepair,
}

impl<'a> Repairer<'a> {
    pub fn new(
        pair: &'a mut Pair,
        mut work: Work,
        out: &'a mut Sink,
        (late, packet, chunk_rows): (bool, usize, u64),
        only: Option<Vec<KeyTuple>>,
        stop: &'a StopSignal,
    ) -> Result<Self> {
        let hash = match &work.means {
            Means::Hash(hash) => hash.clone(),
            Means::Values(_) => {
                let (from, to) = (pair.source.dialect(), pair.target.dialect());
                let documents = Documents::of(&pair.source, &pair.target);
                let ours =
                    RowHash::new(&pair.source, &in_common(&work.source, from, to), documents)?;
                let theirs =
                    RowHash::new(&pair.target, &in_common(&work.target, from, to), documents)?;
                if ours != theirs {
                    return Err(Error::new(
                        Kind::Unsupported,
                        "the sides hash its rows in different ways",
                    )
                    .at(&work.source.name));
                }
                ours
            }
        };
        if work.by == By::Nothing {
            // Statements tell such rows apart by what the servers say.
            work.means = Means::Hash(hash.clone());
        }
        let cells = Cells::of(&work, &pair.target);
        let table = work.source.name.clone();
        let done = TableRepair { table, set: 0, added: 0, removed: 0 };
        Ok(Repairer { pair, work, out, late, packet, chunk_rows, stop, only, hash, cells, done })
    }

    /// Whether no row that comes can stand in the way of one that is still to go: no key of the target but
    /// that which names a row is unique, and to that key only equal values are the same. ('A' and 'a' may be
    /// two rows to be set, and one to the key; so may 0 and -0 of a FLOAT.)
    fn alone(&self) -> bool {
        let target = &self.work.target;
        self.work.key().is_some_and(|key| {
            let mut unique = target.indexes.iter().filter(|index| index.unique);
            let exact = |column: &Column| {
                !column.is_text() && !matches!(column.data_type.as_str(), "float" | "double")
            };
            unique.all(|index| index.name == key.index) && key.columns.iter().all(exact)
        })
    }

    /// Goes through the table, as the sessions see it, and writes what sets it right.
    pub async fn run(mut self) -> Result<TableRepair> {
        let ways: &[Doing] = if self.alone() { &[Doing::Both] } else { &[Doing::Off, Doing::In] };
        let mut open = false;
        for doing in ways {
            let mut sweep = match &self.only {
                Some(keys) => Sweep::over(keys.clone()),
                None => Sweep::of(&self.work, self.chunk_rows),
            };
            while let Some(lot) = sweep.next(self.pair, &self.work, self.stop).await? {
                self.stop.check()?;
                if !open {
                    self.out.run("START TRANSACTION", None).await?;
                    open = true;
                }
                match lot {
                    Lot::Rows(rows) => self.rows(*doing, &rows).await?,
                    Lot::Copies(copies) => self.copies(*doing, &copies).await?,
                }
                if *doing == Doing::Both {
                    self.out.run("COMMIT", None).await?;
                    open = false;
                }
            }
        }
        if open {
            self.out.run("COMMIT", None).await?;
        }
        Ok(self.done)
    }

    async fn rows(&mut self, doing: Doing, rows: &[RowDifference]) -> Result<()> {
        if doing != Doing::In {
            for row in rows {
                match (&row.source, &row.target) {
                    (Some(_), Some(_)) => self.done.set += 1,
                    (Some(_), None) => self.done.added += 1,
                    (None, _) => self.done.removed += 1,
                }
            }
            self.take_off(rows).await?;
        }
        if doing != Doing::Off {
            let keys: Vec<KeyTuple> =
                rows.iter().filter(|row| row.source.is_some()).map(|row| row.key.clone()).collect();
            let Some(key) = self.work.key().cloned() else { return Ok(()) };
            let names = Names::Key(&key);
            let from = through(&self.work.source, &key, &names.hold(&keys), "");
            let wanted = keys.into_iter().map(|key| (key, 1)).collect();
            self.put_in(names, from, wanted).await?;
        }
        Ok(())
    }

    /// Takes off those rows that the target has.
    async fn take_off(&mut self, rows: &[RowDifference]) -> Result<()> {
        let Some(key) = self.work.key() else { return Ok(()) };
        let keys: Vec<KeyTuple> =
            rows.iter().filter(|row| row.target.is_some()).map(|row| row.key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let table = &self.work.target;
        let theirs =
            hash::key_hashes(&mut self.pair.target, table, &self.hash, key, &keys, None).await?;
        // The hash is of the key's columns too: no row of one key has the hash of another's.
        let hashes: Vec<KeyTuple> = theirs
            .into_iter()
            .filter(|(tuple, _)| keys.contains(tuple))
            .map(|(_, hash)| KeyTuple(vec![hash]))
            .collect();
        if hashes.is_empty() {
            // Gone meanwhile: only engines without snapshots show that.
            return Ok(());
        }
        let sql = format!(
            "DELETE FROM {} WHERE {} AND {}",
            table.name.sql(),
            Names::Key(key).hold(&keys),
            Names::Hash(&self.hash).hold(&hashes)
        );
        self.out.run(&sql, Some(keys.len() as u64)).await
    }

    async fn copies(&mut self, doing: Doing, copies: &[Copies]) -> Result<()> {
        if doing != Doing::In {
            for row in copies.iter().filter(|row| row.target > row.source) {
                let more = row.target - row.source;
                let hash = KeyTuple(vec![row.hash.clone()]);
                let sql = format!(
                    "DELETE FROM {} WHERE {} LIMIT {more}",
                    self.work.target.name.sql(),
                    Names::Hash(&self.hash).hold(&[hash])
                );
                self.out.run(&sql, Some(more)).await?;
                self.done.removed += more;
            }
        }
        if doing != Doing::Off {
            let wanted: Vec<(KeyTuple, u64)> = copies
                .iter()
                .filter(|row| row.source > row.target)
                .map(|row| (KeyTuple(vec![row.hash.clone()]), row.source - row.target))
                .collect();
            if wanted.is_empty() {
                return Ok(());
            }
            self.done.added += wanted.iter().map(|(_, copies)| copies).sum::<u64>();
            let hash = self.hash.clone();
            let names = Names::Hash(&hash);
            let hashes: Vec<KeyTuple> = wanted.iter().map(|(name, _)| name.clone()).collect();
            let from = format!("{} WHERE {}", self.work.source.name.sql(), names.hold(&hashes));
            self.put_in(names, [from.clone(), from], wanted).await?;
        }
        Ok(())
    }

    /// Puts rows in as the source has them, each so many times.
    async fn put_in(
        &mut self,
        names: Names<'_>,
        from: [String; 2],
        mut wanted: Vec<(KeyTuple, u64)>,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let Repairer { pair, work, out, cells, packet, .. } = self;
        let source = &mut pair.source;
        let rows = names.hold(&wanted.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let typed = documents::typed(source, &work.source, cells, names, &rows).await?;
        let list: Vec<String> = [cells.select_list(), names.list()]
            .into_iter()
            .filter(|list| !list.is_empty())
            .collect();
        let query = from.map(|from| format!("SELECT {} FROM {from}", list.join(", ")));
        let mut insert = Insert::into(work, cells, self.late);
        let mut rows = Rows::open(source, query).await?;
        while let Some(row) = rows.next().await? {
            let name = names.name(&row, cells.width())?;
            let Some((_, left)) = wanted.iter_mut().find(|(wanted, _)| *wanted == name) else {
                continue;
            };
            if *left > 0 {
                *left -= 1;
                insert.row(out, cells, &row, (&name, &typed), *packet).await.map_err(|error| {
                    let named = work.key().map(|key| key.describe(&name));
                    error.at(format!("{} {}", work.source.name, named.unwrap_or_default()))
                })?;
            }
        }
        insert.flush(out).await?;
        match wanted.iter().all(|(_, left)| *left == 0) {
            true => Ok(()),
            // The sessions show one moment; only engines without one let rows vanish.
            false => {
                Err(Error::new(Kind::Different, "rows changed at the source while they were read")
                    .at(&work.source.name)
                    .next("stop what writes there, then the same command again"))
            }
        }
    }
}

/// An INSERT that is put together.
struct Insert {
    head: String,
    tail: String,
    text: String,
    rows: u64,
    /// How many variables the statement uses.
    variables: usize,
}

impl Insert {
    fn into(work: &Work, cells: &Cells, late: bool) -> Self {
        let head = format!("INSERT INTO {} ({}) VALUES ", work.target.name.sql(), cells.names());
        // What has come meanwhile under this key is newer.
        let tail = match work.target.stored_columns().next() {
            Some(column) if late && work.key().is_some() => {
                format!(" ON DUPLICATE KEY UPDATE {0} = {0}", quote(&column.name))
            }
            _ => String::new(),
        };
        Insert { head, tail, text: String::new(), rows: 0, variables: 0 }
    }

    async fn row(
        &mut self,
        out: &mut Sink,
        cells: &Cells,
        row: &mysql_async::Row,
        (name, typed): (&KeyTuple, &Typed),
        packet: usize,
    ) -> Result<()> {
        let documents = typed.get(name);
        let (mut values, mut at, mut size) = (Vec::with_capacity(cells.0.len()), 0, 0);
        for (n, cell) in cells.0.iter().enumerate() {
            let value = match cell.literal(row, &mut at)? {
                Literal::Text(text) => text,
                Literal::Bytes { bytes, before, after } => {
                    let bytes = match bytes.len() > PIECE || size + 2 * bytes.len() > 2 * STATEMENT
                    {
                        true => self.variable(out, bytes, packet).await?,
                        false => hex(bytes),
                    };
                    let value = format!("{before}{bytes}{after}");
                    match documents.and_then(|documents| documents.get(&n)) {
                        Some(pairs) => documents::with(value, pairs),
                        None => value,
                    }
                }
            };
            size += value.len();
            values.push(value);
        }
        self.text.push_str(if self.rows == 0 { "(" } else { ", (" });
        self.text.push_str(&values.join(", "));
        self.text.push(')');
        self.rows += 1;
        match self.text.len() >= STATEMENT || self.rows >= KEYS as u64 {
            true => self.flush(out).await,
            false => Ok(()),
        }
    }

    /// Puts bytes into a variable, whose name comes back.
    async fn variable(&mut self, out: &mut Sink, bytes: &[u8], packet: usize) -> Result<String> {
        if bytes.len() > packet {
            return Err(Error::new(
                Kind::Unsupported,
                format!(
                    "a value of {} bytes is longer than the target's max_allowed_packet ({packet})",
                    bytes.len()
                ),
            )
            .next("raise max_allowed_packet on the target, or copy the table again"));
        }
        self.variables += 1;
        let name = format!("@daybreak_{}", self.variables);
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            let piece = hex(piece);
            let sql = match at {
                0 => format!("SET {name} = {piece}"),
                _ => format!("SET {name} = CONCAT({name}, {piece})"),
            };
            out.run(&sql, None).await?;
        }
        Ok(name)
    }

    async fn flush(&mut self, out: &mut Sink) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let sql = format!("{}{}{}", self.head, self.text, self.tail);
        out.run(&sql, Some(self.rows)).await?;
        if self.variables > 0 {
            let empty: Vec<String> =
                (1..=self.variables).map(|n| format!("@daybreak_{n} = NULL")).collect();
            out.run(&format!("SET {}", empty.join(", ")), None).await?;
        }
        (self.rows, self.variables) = (0, 0);
        self.text.clear();
        Ok(())
    }
}
