//! What the text of a JSON document doesn't carry: decimals, dates, times, bytes, large integers with a
//! sign and small ones without. LOAD DATA makes doubles, strings and integers of them, which print alike; here
//! each such value is put in its place, within the chunk's transaction, and both sides are compared
//! value by value before the chunk counts.
//!
//! Which values a document holds is asked of the servers by path: nothing is guessed from a text. A
//! type that no SQL expression can make is refused, and so is a table whose rows nothing tells apart.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{
    queue::TableWork,
    worker::{Failure, Shared, triggers_in_the_way},
};
use crate::{
    error::{Error, Kind, Result},
    mysql::{
        AnySession, ChunkKey, Column, KeyRange, KeyTuple, ReaderSession, Session, Table,
        chunk::rows_through, quote, quote_text,
    },
    target::document::{Place, condition, expression, places},
};

/// How many documents are looked at together, and how many bytes of them.
const DOCUMENTS: usize = 200;
const DOCUMENT_BYTES: u64 = 4 << 20;

/// How many values one query asks for, or one UPDATE sets in a document.
const VALUES: usize = 500;

/// The size at which an UPDATE is sent.
const STATEMENT_BYTES: usize = 256 << 10;

/// Where documents with such values are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At the source: the target has what text made.
    Source,
    /// On both sides: the target may have such values where the source has none any more.
    Both,
}

/// Gives a range's documents on the target the types that they have at the source.
pub(super) async fn carry_types(
    shared: &Shared,
    reader: &mut ReaderSession,
    target: &mut Session,
    work: &TableWork,
    range: &KeyRange,
    look: Look,
) -> Result<(), Failure> {
    // MariaDB's JSON is the text itself.
    if reader.dialect().is_mariadb() || target.dialect().is_mariadb() {
        return Ok(());
    }
    for column in work.table.stored_columns().filter(|column| column.data_type == "json") {
        let key = key(work);
        let documents = Documents { work, column, key: key.as_ref() };
        let mut found = documents.find(reader, range).await.map_err(Failure::Source)?;
        if look == Look::Both {
            found.extend(documents.find(target, range).await.map_err(Failure::Target)?);
        }
        if found.is_empty() {
            continue;
        }
        let Some(key) = &key else { return Err(Failure::Final(documents.keyless())) };
        if work.has_triggers {
            return Err(Failure::Final(triggers_in_the_way(work)));
        }
        for batch in batches(found) {
            if shared.halt.is_cancelled() {
                let halted = Error::new(Kind::Interrupted, "the copy was ended early");
                return Err(Failure::Final(halted));
            }
            documents.carry(reader, target, key, &batch).await?;
        }
    }
    Ok(())
}

/// The key by which a single row is found again: unlike the key that cuts a table, it needs no exact
/// order.
fn key(work: &TableWork) -> Option<ChunkKey> {
    work.key.clone().or_else(|| ChunkKey::identity(&work.table))
}

/// Cuts what was found into lots that fit into memory.
fn batches(found: BTreeMap<KeyTuple, u64>) -> Vec<Vec<KeyTuple>> {
    let mut batches: Vec<Vec<KeyTuple>> = Vec::new();
    let mut bytes = 0;
    for (tuple, length) in found {
        match batches.last_mut() {
            Some(batch) if batch.len() < DOCUMENTS && bytes + length <= DOCUMENT_BYTES => {
                batch.push(tuple);
                bytes += length;
            }
            _ => {
                batches.push(vec![tuple]);
                bytes = length;
            }
        }
    }
    batches
}

/// What a server says of a document: a digest of its text, and of each place the type (and of a
/// number its text).
type Said = (String, Vec<Option<String>>);

/// A row's document: what it is from outside, and what its text says at each place.
type Document = (KeyTuple, Root, Vec<Value>);

/// What is to be set in a document: paths and values.
struct Change<'a> {
    tuple: &'a KeyTuple,
    /// The root, if the document will compare equal to what it was.
    root: Option<&'a Root>,
    pairs: String,
}

/// What a document is, from outside.
///
/// An UPDATE that changes just the types of numbers does nothing: 1.5 is 1.5, and the server keeps the
/// row. Such a document therefore is first given something that makes it another, at its root, where
/// no generated column or key looks.
#[derive(Debug)]
enum Root {
    /// A name that isn't in it.
    Object(String),
    /// How many elements.
    Array(usize),
    Scalar,
}

impl Root {
    fn of(document: &Value) -> Self {
        match document {
            Value::Object(members) => {
                let mut name = "daybreak".to_string();
                while members.contains_key(&name) {
                    name.push('_');
                }
                Root::Object(name)
            }
            Value::Array(items) => Root::Array(items.len()),
            _ => Root::Scalar,
        }
    }

    fn unequal(&self, column: &str) -> String {
        match self {
            Root::Object(name) => format!("JSON_SET({column}, '$.\"{name}\"', 0)"),
            Root::Array(_) => format!("JSON_ARRAY_APPEND({column}, '$', 0)"),
            Root::Scalar => format!("JSON_ARRAY({column})"),
        }
    }

    /// Undoes that, but for scalars, which are set as a whole.
    fn equal(&self, column: &str) -> String {
        match self {
            Root::Object(name) => format!("JSON_REMOVE({column}, '$.\"{name}\"')"),
            Root::Array(length) => format!("JSON_REMOVE({column}, '$[{length}]')"),
            Root::Scalar => column.to_string(),
        }
    }
}

/// The documents of one column.
struct Documents<'a> {
    work: &'a TableWork,
    column: &'a Column,
    key: Option<&'a ChunkKey>,
}

impl Documents<'_> {
    /// The rows whose document holds what text doesn't carry, and the length of the document.
    async fn find(
        &self,
        session: &mut AnySession,
        range: &KeyRange,
    ) -> Result<BTreeMap<KeyTuple, u64>> {
        let table = self.work.on(session);
        // By its full name, as within JSON_TABLE's subquery others could be meant.
        let column = format!("{}.{}", table.name.sql(), quote(&self.column.name));
        let (keys, limit) = match self.key {
            Some(key) => (format!(", {}", key.read_list()), ""),
            None => (String::new(), " LIMIT 1"),
        };
        let rows = format!(
            "({}) AND {}{limit}",
            table.taken(&self.work.predicate(range)),
            condition(session, &column)
        );
        let hints = self.work.key.as_ref().map(ChunkKey::hints).unwrap_or_default();
        let asked = hints.map(|hint| {
            format!("SELECT LENGTH({column}){keys} FROM {}{hint} WHERE {rows}", table.name.sql())
        });
        let mut found = BTreeMap::new();
        for row in rows_through(session, asked).await? {
            let tuple = match self.key {
                Some(key) => key.tuple(&row, 1)?,
                None => KeyTuple(Vec::new()),
            };
            found.insert(tuple, session.column(&row, 0)?.unwrap_or_default());
        }
        Ok(found)
    }

    /// Makes a lot of documents on the target as they are at the source.
    async fn carry(
        &self,
        reader: &mut ReaderSession,
        target: &mut Session,
        key: &ChunkKey,
        batch: &[KeyTuple],
    ) -> Result<(), Failure> {
        // Documents of one shape are asked for together.
        let mut shapes: HashMap<Vec<Place>, Vec<Document>> = HashMap::new();
        for (tuple, text) in self.texts(reader, key, batch).await.map_err(Failure::Source)? {
            let document: Value = serde_json::from_str(&text).map_err(|error| {
                let bug = Error::new(Kind::Bug, "the text of a JSON document can't be read");
                Failure::Final(bug.because(error).at(self.describe(key, &tuple)))
            })?;
            let root = Root::of(&document);
            let mut found = Vec::new();
            places(document, "$", &mut found);
            let (places, values) = found.into_iter().unzip();
            shapes.entry(places).or_default().push((tuple, root, values));
        }
        for (places, documents) in shapes {
            let tuples: Vec<KeyTuple> = documents.iter().map(|(tuple, ..)| tuple.clone()).collect();
            let ours = self.ask(reader, key, &tuples, &places).await.map_err(Failure::Source)?;
            let theirs = self.ask(target, key, &tuples, &places).await.map_err(Failure::Target)?;
            if ours == theirs {
                continue;
            }
            let mut rounds: Vec<Vec<Change<'_>>> = Vec::new();
            for (tuple, root, values) in &documents {
                let missing = || Failure::Final(self.not_exact(key, tuple));
                let ours = &ours.get(tuple).ok_or_else(missing)?.1;
                let theirs = &theirs.get(tuple).ok_or_else(missing)?.1;
                let mut pairs = Vec::new();
                for (at, place) in places.iter().enumerate() {
                    if ours[at] == theirs[at] {
                        continue;
                    }
                    let said = ours[at].as_deref().unwrap_or_default();
                    let value = expression(said, &values[at])
                        .map_err(|error| Failure::Final(error.at(self.describe(key, tuple))))?;
                    let pair = format!("{}, {value}", quote_text(&place.path));
                    pairs.push((place.number, pair));
                }
                for (round, pairs) in pairs.chunks(VALUES).enumerate() {
                    if rounds.len() == round {
                        rounds.push(Vec::new());
                    }
                    let seems_equal = pairs.iter().all(|(number, _)| *number);
                    let pairs: Vec<&str> = pairs.iter().map(|(_, pair)| pair.as_str()).collect();
                    let root = seems_equal.then_some(root);
                    rounds[round].push(Change { tuple, root, pairs: pairs.join(", ") });
                }
            }
            for changes in rounds {
                self.change(target, key, &changes).await?;
            }
            let theirs = self.ask(target, key, &tuples, &places).await.map_err(Failure::Target)?;
            if let Some(tuple) = tuples.iter().find(|tuple| ours.get(tuple) != theirs.get(tuple)) {
                return Err(Failure::Final(self.not_exact(key, tuple)));
            }
        }
        Ok(())
    }

    async fn texts(
        &self,
        session: &mut AnySession,
        key: &ChunkKey,
        tuples: &[KeyTuple],
    ) -> Result<Vec<(KeyTuple, String)>> {
        let column = quote(&self.column.name);
        let rows = session.rows(self.query(
            self.work.on(session),
            &format!("CAST({column} AS CHAR)"),
            key,
            tuples,
        ));
        let rows = rows.await?;
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            // NULL, where the other side has a document, is for the comparison of rows to find.
            if let Some(text) = session.column(&row, 0)? {
                texts.push((key.tuple(&row, 1)?, text));
            }
        }
        Ok(texts)
    }

    /// What a server says of documents of one shape.
    async fn ask(
        &self,
        session: &mut AnySession,
        key: &ChunkKey,
        tuples: &[KeyTuple],
        places: &[Place],
    ) -> Result<HashMap<KeyTuple, Said>> {
        let column = quote(&self.column.name);
        let mut said: HashMap<KeyTuple, Said> = HashMap::with_capacity(tuples.len());
        // One query at least, for the digest.
        for from in (0..places.len().max(1)).step_by(VALUES) {
            let places = &places[from..places.len().min(from + VALUES)];
            let asked = places.iter().map(|place| {
                let value = format!("JSON_EXTRACT({column}, {})", quote_text(&place.path));
                if place.number {
                    format!("CONCAT(JSON_TYPE({value}), ':', CAST({value} AS CHAR))")
                } else {
                    format!("JSON_TYPE({value})")
                }
            });
            let mut list = vec![format!("SHA2({column}, 256)")];
            list.extend(asked);
            for row in session
                .rows(self.query(self.work.on(session), &list.join(", "), key, tuples))
                .await?
            {
                let tuple = key.tuple(&row, list.len())?;
                let digest = session.column(&row, 0)?.unwrap_or_default();
                let (_, all) = said.entry(tuple).or_insert_with(|| (digest, Vec::new()));
                for at in 1..list.len() {
                    all.push(session.column(&row, at)?);
                }
            }
        }
        Ok(said)
    }

    /// Selects expressions, and behind them the key, of some rows.
    fn query(&self, table: &Table, list: &str, key: &ChunkKey, tuples: &[KeyTuple]) -> String {
        let wanted: Vec<String> = tuples.iter().map(|tuple| key.equals(tuple)).collect();
        format!(
            "SELECT {list}, {} FROM {} WHERE {}",
            key.read_list(),
            table.name.sql(),
            wanted.join(" OR ")
        )
    }

    /// Sets values in documents.
    async fn change(
        &self,
        target: &mut Session,
        key: &ChunkKey,
        changes: &[Change<'_>],
    ) -> Result<(), Failure> {
        let column = quote(&self.column.name);
        let unequal: Vec<(&KeyTuple, String)> = changes
            .iter()
            .filter_map(|change| Some((change.tuple, change.root?.unequal(&column))))
            .collect();
        self.update(target, key, &unequal).await?;
        let changed: Vec<(&KeyTuple, String)> = changes
            .iter()
            .map(|change| {
                let document =
                    change.root.map_or_else(|| column.clone(), |root| root.equal(&column));
                (change.tuple, format!("JSON_REPLACE({document}, {})", change.pairs))
            })
            .collect();
        self.update(target, key, &changed).await
    }

    /// Sets documents to the results of expressions.
    async fn update(
        &self,
        target: &mut Session,
        key: &ChunkKey,
        documents: &[(&KeyTuple, String)],
    ) -> Result<(), Failure> {
        // A row that is changed by nobody but us keeps the time of its last change.
        let kept: String = self
            .work
            .table
            .stored_columns()
            .filter(|column| column.extra.to_ascii_lowercase().contains("on update"))
            .map(|column| format!(", {0} = {0}", quote(&column.name)))
            .collect();
        let (mut cases, mut wanted) = (String::new(), Vec::new());
        for (at, (tuple, document)) in documents.iter().enumerate() {
            let row = key.equals(tuple);
            cases.push_str(&format!(" WHEN {row} THEN {document}"));
            wanted.push(row);
            if cases.len() < STATEMENT_BYTES && at + 1 < documents.len() {
                continue;
            }
            // Within CASE, the server doesn't change the document in place, which leaves gaps.
            let sql = format!(
                "UPDATE {} SET {} = CASE{cases} END{kept} WHERE {}",
                self.work.on_target.name.sql(),
                quote(&self.column.name),
                wanted.join(" OR ")
            );
            let outcome = target.execute(sql).await.map_err(Failure::Target)?;
            if outcome.affected != wanted.len() as u64 {
                return Err(Failure::Final(self.not_exact(key, tuple)));
            }
            cases.clear();
            wanted.clear();
        }
        Ok(())
    }

    fn describe(&self, key: &ChunkKey, tuple: &KeyTuple) -> String {
        format!("{}, column {}, {}", self.work.table.name, self.column.name, key.describe(tuple))
    }

    fn not_exact(&self, key: &ChunkKey, tuple: &KeyTuple) -> Error {
        Error::new(Kind::NotExact, "a JSON document didn't arrive as it was")
            .at(self.describe(key, tuple))
            .next("exclude the table, or make the document again from JSON text at the source")
    }

    fn keyless(&self) -> Error {
        Error::new(
            Kind::Unsupported,
            "documents hold values that JSON text can't carry (dates, times, decimals, bytes, \
             some integers), and the table has no key by which to set them",
        )
        .at(format!("{}, column {}", self.work.table.name, self.column.name))
        .next("add a primary key to the table at the source, or exclude the table")
    }
}
