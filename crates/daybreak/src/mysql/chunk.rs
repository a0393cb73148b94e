//! Ranges of a table by its key: the one place that turns key values into SQL.
//!
//! A range is cut at key tuples of the *whole* key and is open at either end of the table, so that a
//! table's ranges together cover every row that is there or will be. A key's values travel as
//! literals that no connection setting can change: numbers as digits (an ENUM's and a SET's too), texts
//! with character set and collation, bytes in hexadecimal. [`value`] has each type's form.

mod value;

use serde::{Deserialize, Serialize};

use self::value::{Form, can_be_cut};
use super::{AnySession, Column, Table, identifier::push_hex, quote};
use crate::error::{Error, Kind, Result};

/// `ER_KEY_DOES_NOT_EXITS`: the index named in FORCE INDEX isn't there (yet).
pub const NO_SUCH_INDEX: u16 = 1176;

/// A key that a table can be cut by: unique, without NULLs, and of types whose order is exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkKey {
    /// The index to read by.
    pub index: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Whether the table is partitioned.
    partitioned: bool,
}

impl ChunkKey {
    /// The best key of a table: the primary key, else the first fitting unique index; none if there
    /// is none of a type that can be cut.
    pub fn of(table: &Table) -> Option<Self> {
        Self::candidates(table).find(|key| key.columns.iter().all(can_be_cut))
    }

    /// The key that tells rows apart, even where it can't cut the table (a SET of 64 members, a UUID).
    pub fn identity(table: &Table) -> Option<Self> {
        Self::candidates(table).next()
    }

    fn candidates(table: &Table) -> impl Iterator<Item = Self> {
        table
            .indexes
            .iter()
            .filter(|index| {
                index.unique
                    && !index.hidden
                    && index.kind == "BTREE"
                    && index.parts.iter().all(|part| {
                        part.column.is_some() && part.prefix.is_none() && !part.nullable
                    })
            })
            .map(|index| ChunkKey {
                index: index.name.clone(),
                columns: index
                    .parts
                    .iter()
                    .filter_map(|part| table.column(part.column.as_deref()?).cloned())
                    .collect(),
                partitioned: table.partitioned,
            })
            .filter(|key| !key.columns.is_empty())
    }

    /// The columns, quoted, for SELECT and ORDER BY.
    pub fn column_list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quote(&column.name)).collect();
        names.join(", ")
    }

    /// What follows a table's name where its rows are read by this key: the first where the key's index is there, the
    /// second where it isn't ([`NO_SUCH_INDEX`]), as on a target whose secondary indexes are still to be built.
    ///
    /// No range is read through any other index. Where it begins or ends at a text in a collation in which some
    /// characters weigh nothing (or as much as two), one over a prefix of that column leaves out rows (seen on 9.7),
    /// and the server chooses one now and then.
    pub fn hints(&self) -> [String; 2] {
        let [forced, _] = self.hints_for_rows();
        [forced, " USE INDEX ()".to_string()]
    }

    /// The same where rows are looked for by their whole keys ([`ChunkKey::equals`]): any index finds a row by its own
    /// bytes, and without one a locking read would lock the whole table.
    pub fn hints_for_rows(&self) -> [String; 2] {
        [format!(" FORCE INDEX ({})", quote(&self.index)), String::new()]
    }

    /// The key's values as expressions whose results [`ChunkKey::tuple`] reads.
    pub fn read_list(&self) -> String {
        self.read_parts().join(", ")
    }

    /// The same, all of them as texts by the binary protocol too.
    pub fn text_list(&self) -> String {
        let parts: Vec<String> =
            self.read_parts().iter().map(|part| format!("CONCAT({part})")).collect();
        parts.join(", ")
    }

    fn read_parts(&self) -> Vec<String> {
        self.columns.iter().map(|column| Form::of(column).read(column)).collect()
    }

    /// Makes a tuple of a row whose columns from `from` on are those of [`ChunkKey::read_list`].
    pub fn tuple(&self, row: &mysql_async::Row, from: usize) -> Result<KeyTuple> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let text = row.get_opt::<String, _>(from + at).and_then(|value| value.ok());
            let value = text.and_then(|text| Form::of(column).value(text)).ok_or_else(|| {
                Error::new(Kind::Bug, format!("key column {} has no value", column.name))
            })?;
            values.push(value);
        }
        Ok(KeyTuple(values))
    }

    /// The key of the n-th row after a tuple (or from the start), in key order; none if the table
    /// ends before. This is how ranges are cut.
    pub async fn walk(
        &self,
        session: &mut AnySession,
        table: &Table,
        range: &KeyRange,
        rows: u64,
    ) -> Result<Option<KeyTuple>> {
        let sql = format!(
            "SELECT {} FROM {}{} WHERE {} ORDER BY {} LIMIT 1 OFFSET {}",
            self.read_list(),
            table.name.sql(),
            self.hints()[0],
            table.taken(&range.predicate(self)),
            self.column_list(),
            rows.saturating_sub(1),
        );
        match session.row(sql).await? {
            Some(row) => Ok(Some(self.tuple(&row, 0)?)),
            None => Ok(None),
        }
    }

    /// A predicate that holds for just this key.
    pub fn equals(&self, tuple: &KeyTuple) -> String {
        let parts: Vec<String> =
            (0..self.columns.len()).map(|at| self.compared(at, "=", tuple)).collect();
        format!("({})", parts.join(" AND "))
    }

    /// A comparison of one of the columns with its value in a tuple.
    fn compared(&self, at: usize, operator: &str, tuple: &KeyTuple) -> String {
        let (column, value) = (&self.columns[at], &tuple.0[at]);
        let form = Form::of(column);
        if self.partitioned && form.is_zero(value) {
            return value::compared_with_zero(column, operator);
        }
        form.compared(column, operator, value)
    }

    /// A predicate for all keys after (or, with `or_equal`, at and after) a tuple.
    fn after(&self, tuple: &KeyTuple) -> String {
        self.compare(tuple, ">", false)
    }

    fn up_to(&self, tuple: &KeyTuple) -> String {
        self.compare(tuple, "<", true)
    }

    /// `(a > x) OR (a = x AND b > y)`, led by `a >= x` so that the server reads a range of the index:
    /// it doesn't for row constructors.
    fn compare(&self, tuple: &KeyTuple, operator: &str, or_equal: bool) -> String {
        let last = self.columns.len() - 1;
        let compared = |at: usize, operator: &str| self.compared(at, operator, tuple);
        let closed = format!("{operator}=");
        let closing = if or_equal { closed.as_str() } else { operator };
        if last == 0 {
            return compared(0, closing);
        }
        let mut terms = Vec::new();
        for at in 0..=last {
            let mut term: Vec<String> = (0..at).map(|before| compared(before, "=")).collect();
            term.push(compared(at, if at == last { closing } else { operator }));
            terms.push(format!("({})", term.join(" AND ")));
        }
        format!("({} AND ({}))", compared(0, &closed), terms.join(" OR "))
    }

    /// A key for people: `(id=7, day=2024-01-01)`.
    pub fn describe(&self, tuple: &KeyTuple) -> String {
        let parts: Vec<String> = self
            .columns
            .iter()
            .zip(&tuple.0)
            .map(|(column, value)| {
                format!("{}={}", column.name, Form::of(column).shown(column, value))
            })
            .collect();
        format!("({})", parts.join(", "))
    }
}

/// Runs a query that was made with each of [`ChunkKey::hints`], the second where the first names no index.
pub async fn rows_through(
    session: &mut AnySession,
    [forced, without]: [String; 2],
) -> Result<Vec<mysql_async::Row>> {
    match session.rows(forced).await {
        Err(error) if error.code() == Some(NO_SUCH_INDEX) => session.rows(without).await,
        other => other,
    }
}

/// The values of a key, in the form of [`ChunkKey::read_list`]: digits, or hexadecimal bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyTuple(pub Vec<String>);

impl KeyTuple {
    /// A value of bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let mut hex = String::with_capacity(bytes.len() * 2);
        push_hex(&mut hex, bytes);
        self.0.push(hex);
    }
}

/// The rows whose key is after `after` and not after `up_to`; open where there is no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    /// The key that the range begins after.
    pub after: Option<KeyTuple>,
    /// The last key of the range.
    pub up_to: Option<KeyTuple>,
}

impl KeyRange {
    /// The whole table.
    pub fn all() -> Self {
        KeyRange::default()
    }

    /// The predicate, for a WHERE clause.
    pub fn predicate(&self, key: &ChunkKey) -> String {
        match (&self.after, &self.up_to) {
            (None, None) => "TRUE".to_string(),
            (Some(after), None) => key.after(after),
            (None, Some(up_to)) => key.up_to(up_to),
            (Some(after), Some(up_to)) => format!("{} AND {}", key.after(after), key.up_to(up_to)),
        }
    }

    /// The range for people.
    pub fn describe(&self, key: &ChunkKey) -> String {
        match (&self.after, &self.up_to) {
            (None, None) => "all rows".to_string(),
            (Some(after), None) => format!("after {}", key.describe(after)),
            (None, Some(up_to)) => format!("up to {}", key.describe(up_to)),
            (Some(after), Some(up_to)) => {
                format!("after {} up to {}", key.describe(after), key.describe(up_to))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: &str, charset: Option<&str>) -> Column {
        Column {
            name: name.into(),
            nullable: false,
            charset: charset.map(Into::into),
            collation: charset.map(|charset| format!("{charset}_bin")),
            ..Column::of_type(data_type)
        }
    }

    #[test]
    fn ranges_use_the_whole_key() {
        let key = ChunkKey {
            index: "PRIMARY".into(),
            columns: vec![column("a", "int", None), column("b", "varchar", Some("latin1"))],
            partitioned: false,
        };
        let mut tuple = KeyTuple(vec!["-5".into()]);
        tuple.push_bytes(b"x'");
        let range = KeyRange { after: Some(tuple.clone()), up_to: None };
        assert_eq!(
            range.predicate(&key),
            "(`a` >= -5 AND ((`a` > -5) OR (`a` = -5 AND `b` > _latin1 X'7827' COLLATE latin1_bin)))"
        );
        let range = KeyRange { after: None, up_to: Some(tuple.clone()) };
        assert_eq!(
            range.predicate(&key),
            "(`a` <= -5 AND ((`a` < -5) OR (`a` = -5 AND `b` <= _latin1 X'7827' COLLATE latin1_bin)))"
        );
        assert_eq!(key.describe(&tuple), "(a=-5, b=x')");
        assert_eq!(KeyRange::all().predicate(&key), "TRUE");
    }

    #[test]
    fn temporal_values_are_text_again() {
        let columns = vec![column("d", "date", None)];
        let key = ChunkKey { index: "PRIMARY".into(), columns, partitioned: false };
        let mut tuple = KeyTuple(vec![]);
        tuple.push_bytes(b"2024-01-31");
        assert_eq!(key.equals(&tuple), "(`d` = '2024-01-31')");
    }
}
