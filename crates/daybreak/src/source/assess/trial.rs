//! Whether a target of the other product understands the source's definitions: it is asked to *prepare*
//! each statement, which parses it and runs nothing. Read-only on both sides; done only where the
//! products differ, since it takes two statements a table.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{Inventory, ObjectKind};
use crate::{
    error::{Error, Kind, Result},
    mysql::{Catalog, Session, TableName},
    select::Selection,
    target::{
        ddl::{
            CreateTable,
            token::{TokenKind, tokens},
        },
        objects::{Printed, printed},
        schema::{adaptation, definition, settle_reader, settle_writer},
    },
};

/// What prepares a statement without understanding it: it may not be prepared at all, lacks a
/// privilege, or misses what isn't there yet.
///
/// Source: MySQL and MariaDB error references; 1295 comes after the parser on MySQL.
const UNDERSTOOD: [u16; 10] = [1295, 1044, 1045, 1142, 1227, 1370, 1146, 1049, 1050, 1356];

/// What of an object's text can't be understood; the rest depends on tables that aren't there yet.
///
/// 1064 syntax, 1115 character set, 1273 collation, 1193 system variable, 4161 type (MariaDB).
const NOT_UNDERSTOOD: [u16; 6] = [1064, 1115, 1149, 1193, 1273, 4161];

/// Words before a name that no function follows.
const NAMES_FOLLOW: [&[u8]; 9] =
    [b"into", b"table", b"from", b"join", b"references", b"update", b"with", b"key", b"procedure"];

/// A definition that the target doesn't understand.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// `table shop.t`, `view shop.v`.
    pub what: String,
    /// The server's error number and words.
    pub why: String,
}

/// A function that the target doesn't have, and what calls it.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub function: String,
    /// Tables and views, which can't be made without it.
    pub unmakable: Vec<String>,
    /// Routines, triggers and events, which fail when they come to it.
    pub failing: Vec<String>,
}

/// The source's definitions before and after the target saw them.
#[derive(Debug, Clone, Default)]
pub(super) struct Trial {
    /// The tables' definitions as the source prints them, without the columns that aren't taken.
    pub tables: BTreeMap<TableName, CreateTable>,
    /// The same in the target's words.
    pub adapted: BTreeMap<TableName, CreateTable>,
    pub refused: Vec<Refused>,
    pub unknown: Vec<Unknown>,
    objects: Vec<Printed>,
}

impl Trial {
    /// Reads what is to be tried. What can't be read is for other rules to name.
    pub(super) async fn read(
        source: &mut Session,
        catalog: &Catalog,
        selection: &Selection,
    ) -> Result<Self> {
        settle_reader(source).await?;
        let mut trial = Trial::default();
        for table in &catalog.tables {
            match definition(source, &table.name).await {
                Ok(text) => {
                    let left = selection.columns_left(&table.name);
                    let parsed = CreateTable::parse(&text)?.without_columns(&left);
                    trial.tables.insert(table.name.clone(), parsed);
                }
                Err(error) if matches!(error.kind(), Kind::Privilege | Kind::SnapshotLost) => {}
                Err(error) => return Err(error),
            }
        }
        trial.objects = printed(source, selection).await?;
        Ok(trial)
    }

    /// Lets the target prepare all of it.
    pub(super) async fn run(
        &mut self,
        target: &mut Session,
        source: &crate::mysql::Dialect,
        inventory: &Inventory,
    ) -> Result<()> {
        settle_writer(target).await?;
        // A name without a database must mean something.
        target.execute("USE information_schema").await?;
        let mode: String = target.scalar("SELECT @@SESSION.sql_mode").await?.unwrap_or_default();
        let demands = adaptation(target).await?;
        let mut called: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
        for (name, table) in &self.tables {
            let mut adapted = table.clone();
            adapted.adapt(source, &demands);
            let text = adapted.sql(&name.database);
            self.adapted.insert(name.clone(), adapted);
            if let Some(error) = prepare(target, &text, &mode, &mode).await?
                && !error.code().is_some_and(|code| UNDERSTOOD.contains(&code))
            {
                self.refused.push(Refused { what: format!("table {name}"), why: words(&error) });
                continue;
            }
            // MySQL looks for the functions of a CHECK only when it makes the table.
            for function in functions(text.as_bytes()) {
                called.entry(function).or_default().0.insert(format!("table {name}"));
            }
        }
        let stored: BTreeSet<String> = inventory
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Function)
            .map(|object| object.name.name.to_lowercase())
            .collect();
        for object in &self.objects {
            let what = object.name.to_string();
            let text = String::from_utf8_lossy(&object.sql);
            if let Some(error) = prepare(target, &text, &object.sql_mode, &mode).await?
                && error.code().is_some_and(|code| NOT_UNDERSTOOD.contains(&code))
            {
                self.refused.push(Refused { what, why: words(&error) });
                continue;
            }
            for function in functions(&object.sql) {
                if stored.contains(&function) {
                    continue;
                }
                let (unmakable, failing) = called.entry(function).or_default();
                if object.is_view() { unmakable } else { failing }.insert(what.clone());
            }
        }
        for (function, (unmakable, failing)) in called {
            let error = prepare(target, &format!("DO (SELECT {function}())"), &mode, &mode).await?;
            // 1305: there is no such function, built in or stored.
            if error.is_some_and(|error| error.code() == Some(1305)) {
                self.unknown.push(Unknown {
                    function,
                    unmakable: unmakable.into_iter().collect(),
                    failing: failing.into_iter().collect(),
                });
            }
        }
        Ok(())
    }
}

/// The server's number and words.
fn words(error: &Error) -> String {
    let text = error.causes().pop().unwrap_or_else(|| error.what().to_string());
    // What precedes the place in the text is the same in every syntax error.
    match text.find("for the right syntax to use near ") {
        Some(at) => format!("error {}, near {}", error.code().unwrap_or(0), &text[at + 33..]),
        None => text,
    }
}

/// Prepares a statement under a `sql_mode`, and puts ours back. Returns what the server says against it.
async fn prepare(
    target: &mut Session,
    sql: &str,
    under: &str,
    ours: &str,
) -> Result<Option<Error>> {
    target.execute_with("SET @daybreak_trial = ?", (sql,)).await?;
    let set = |mode: &str| format!("SET SESSION sql_mode = '{mode}'");
    if under != ours {
        // Modes that the target lacks are another rule's.
        match target.execute(set(under)).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(1231) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let prepared = target.execute("PREPARE daybreak_trial FROM @daybreak_trial").await;
    if under != ours {
        target.execute(set(ours)).await?;
    }
    match prepared {
        Ok(_) => {
            target.execute("DEALLOCATE PREPARE daybreak_trial").await?;
            Ok(None)
        }
        Err(error) if error.code().is_some() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// The names of what may be built-in functions that a text calls, in lower case: an unqualified word
/// with a parenthesis right behind it, as `sql_mode` without IGNORE_SPACE demands of most of them.
fn functions(sql: &[u8]) -> BTreeSet<String> {
    let all = tokens(sql);
    let mut found = BTreeSet::new();
    let mut before: &[u8] = b"";
    for (at, token) in all.iter().enumerate() {
        if matches!(token.kind, TokenKind::Space | TokenKind::Comment) {
            continue;
        }
        let text = &sql[token.span.clone()];
        let called = all.get(at + 1).is_some_and(|next| next.kind == TokenKind::Mark(b'('));
        let plain = text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && text.first().is_some_and(u8::is_ascii_alphabetic);
        let name_follows =
            before == b"." || NAMES_FOLLOW.iter().any(|word| before.eq_ignore_ascii_case(word));
        if token.kind == TokenKind::Word && called && plain && !name_follows {
            found.insert(String::from_utf8_lossy(text).to_ascii_lowercase());
        }
        before = text;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn calls_are_told_from_names() {
        let found = functions(
            b"CREATE VIEW v AS SELECT Uuid_To_Bin(a), `f`(1), d.g(2), b (3) FROM t JOIN u(x) -- h(1)\n",
        );
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["uuid_to_bin"]);
    }
}
