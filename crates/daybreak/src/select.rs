//! Which databases and tables a migration takes, which of their rows and columns, and what they are called
//! on the target.

mod columns;
mod condition;

use serde::{Deserialize, Serialize};

pub use columns::LeftColumn;
pub(crate) use columns::same_column;
pub use condition::Condition;

use crate::{
    error::{Error, Kind, Result},
    mysql::TableName,
};

/// The database that daybreak keeps its own tables in, on both sides. Never migrated.
pub const OWN_DATABASE: &str = "daybreak";

/// Databases that belong to the server itself.
const SYSTEM_DATABASES: [&str; 5] =
    ["mysql", "information_schema", "performance_schema", "sys", OWN_DATABASE];

/// A table of which not all rows are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Which one.
    pub table: TableName,
    /// What a row must fulfil.
    pub condition: Condition,
}

/// A database that has another name on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// Its name at the source.
    pub from: String,
    /// Its name on the target.
    pub to: String,
}

/// The longest name of a database, in characters.
///
/// Source: MySQL manual, *Identifier Length Limits*.
const LONGEST_NAME: usize = 64;

/// Which databases and tables are taken. Empty: all but the server's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Databases to take; empty for all.
    pub databases: Vec<String>,
    /// Tables to take; empty for all of the databases.
    pub tables: Vec<TableName>,
    /// Databases to leave.
    pub exclude_databases: Vec<String>,
    /// Tables to leave.
    pub exclude_tables: Vec<TableName>,
    /// Tables of which only some rows are taken, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Databases that have other names on the target, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renames: Vec<Rename>,
    /// Columns to leave, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_columns: Vec<LeftColumn>,
}

impl Selection {
    /// Reads `D`, `D.T` and exclusions of either form, as flags and configuration write them.
    pub fn parse(databases: &[String], tables: &[String], exclude: &[String]) -> Result<Self> {
        let mut selection = Selection { databases: databases.to_vec(), ..Selection::default() };
        for table in tables {
            selection.tables.push(table_name(table).ok_or_else(|| {
                Error::new(Kind::Config, format!("{table} isn't a table's full name"))
                    .next("write DATABASE.TABLE")
            })?);
        }
        for name in exclude {
            match parts(name, 2).as_deref() {
                Some([database, table]) => {
                    selection.exclude_tables.push(TableName::new(database, table));
                }
                Some([database]) => selection.exclude_databases.push(database.clone()),
                _ => {
                    // Left as it is it would match nothing, and what it names be migrated.
                    return Err(Error::new(Kind::Config, format!("{name} isn't a name")).next(
                        "write DATABASE or DATABASE.TABLE, with backticks around odd names",
                    ));
                }
            }
        }
        if let Some(own) = databases.iter().find(|name| is_system(name)) {
            return Err(Error::new(
                Kind::Config,
                format!("{own} is a database of the server itself"),
            )
            .next("leave it out: accounts and routines are named in the plan instead"));
        }
        Ok(selection)
    }

    /// Adds conditions on rows: tables, as `D.T`, and what their rows must fulfil.
    ///
    /// # Errors
    /// `Config` for a name that isn't a table's, a second condition on a table, and what
    /// [`Condition::parse`] refuses: each names the table.
    pub fn filtered<'a>(
        mut self,
        filters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        for (name, condition) in filters {
            let table = table_name(name).ok_or_else(|| {
                Error::new(Kind::Config, format!("{name} isn't a table's full name"))
                    .next("write DATABASE.TABLE, with backticks around odd names")
            })?;
            if self.filters.iter().any(|filter| filter.table == table) {
                return Err(Error::new(Kind::Config, "the table has two conditions")
                    .at(table)
                    .next("put them into one, with AND or OR"));
            }
            let condition = Condition::parse(condition).map_err(|error| error.at(&table))?;
            self.filters.push(Filter { table, condition });
        }
        self.filters.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(self)
    }

    /// Adds other names for databases: the source's, and the target's.
    ///
    /// # Errors
    /// `Config` for what isn't a database's name, belongs to a server itself, or is named twice.
    pub fn renamed<'a>(
        mut self,
        renames: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        for (from, to) in renames {
            let (from, to) = (database_name(from)?, database_name(to)?);
            if let Some(own) = [&from, &to].into_iter().find(|name| is_system(name)) {
                return Err(Error::new(
                    Kind::Config,
                    format!("{own} is a database of the server itself"),
                )
                .at(format!("{from} to {to}"))
                .next("choose another name"));
            }
            let twice = self.renames.iter().find(|known| known.from == from || known.to == to);
            if let Some(Rename { from: known, to: called }) = twice {
                return Err(Error::new(
                    Kind::Config,
                    format!("{known} is to be called {called}, and {from} {to}: each name can stand once"),
                )
                .next("give each database one name of its own on the target"));
            }
            self.renames.push(Rename { from, to });
        }
        self.renames.retain(|rename| rename.from != rename.to);
        self.renames.sort_by(|a, b| a.from.cmp(&b.from));
        Ok(self)
    }

    /// What a database of the source is called on the target.
    pub fn database_on_target(&self, name: &str) -> String {
        let rename = self.renames.iter().find(|rename| rename.from == name);
        rename.map_or(name, |rename| rename.to.as_str()).to_string()
    }

    /// What a table (or whatever else a database holds) of the source is called on the target.
    pub fn table_on_target(&self, name: &TableName) -> TableName {
        TableName::new(self.database_on_target(&name.database), &name.name)
    }

    /// What a table's rows must fulfil to be taken; none: all are.
    pub fn condition(&self, table: &TableName) -> Option<&Condition> {
        self.filters.iter().find(|filter| filter.table == *table).map(|filter| &filter.condition)
    }

    /// The same of the target, by the names that it has there. All rows and columns are taken that are there:
    /// one that is left out at the source is one too many.
    pub fn on_target(&self) -> Selection {
        let databases = |names: &[String]| {
            names.iter().map(|name| self.database_on_target(name)).collect::<Vec<_>>()
        };
        let tables = |names: &[TableName]| {
            names.iter().map(|name| self.table_on_target(name)).collect::<Vec<_>>()
        };
        Selection {
            databases: databases(&self.databases),
            tables: tables(&self.tables),
            exclude_databases: databases(&self.exclude_databases),
            exclude_tables: tables(&self.exclude_tables),
            filters: Vec::new(),
            renames: Vec::new(),
            exclude_columns: Vec::new(),
        }
    }

    /// The same, of these databases alone where none is named: others on the target are somebody else's.
    pub fn within(mut self, databases: impl IntoIterator<Item = String>) -> Selection {
        if self.databases.is_empty() && self.tables.is_empty() {
            self.databases = databases.into_iter().collect();
        }
        self
    }

    /// Whether nothing that users own is left out by its name.
    pub fn is_everything(&self) -> bool {
        let Selection { databases, tables, exclude_databases, exclude_tables, .. } = self;
        databases.is_empty()
            && tables.is_empty()
            && exclude_databases.is_empty()
            && exclude_tables.is_empty()
    }

    /// A part of another selection: its conditions, names and columns left out hold here too, unless this one
    /// has some of its own.
    pub fn part_of(mut self, whole: &Selection) -> Selection {
        if self.filters.is_empty() {
            let filters = whole.filters.iter().filter(|filter| self.takes_table(&filter.table));
            self.filters = filters.cloned().collect();
        }
        if self.renames.is_empty() {
            // All of them: foreign keys and views refer to what isn't taken.
            self.renames.clone_from(&whole.renames);
        }
        if self.exclude_columns.is_empty() {
            let left = whole.exclude_columns.iter().filter(|left| self.takes_table(&left.table));
            self.exclude_columns = left.cloned().collect();
        }
        self
    }

    /// Whether anything of a database may be taken.
    pub fn takes_database(&self, name: &str) -> bool {
        if is_system(name) || self.exclude_databases.iter().any(|excluded| excluded == name) {
            return false;
        }
        let by_database = self.databases.iter().any(|database| database == name);
        let by_table = self.tables.iter().any(|table| table.database == name);
        (self.databases.is_empty() && self.tables.is_empty()) || by_database || by_table
    }

    /// Whether a table is taken.
    pub fn takes_table(&self, name: &TableName) -> bool {
        if !self.takes_database(&name.database) || self.exclude_tables.contains(name) {
            return false;
        }
        let whole = (self.databases.is_empty() && self.tables.is_empty())
            || self.databases.contains(&name.database);
        whole || self.tables.contains(name)
    }

    /// Whether views, routines, triggers and events of a database are taken: only with the whole of it.
    pub fn takes_objects(&self, database: &str) -> bool {
        self.takes_database(database)
            && ((self.databases.is_empty() && self.tables.is_empty())
                || self.databases.iter().any(|name| name == database))
    }
}

/// Whether a database belongs to the server itself, or to daybreak.
pub fn is_system(database: &str) -> bool {
    SYSTEM_DATABASES.iter().any(|name| name.eq_ignore_ascii_case(database))
}

/// The two sides of `LEFT=RIGHT`, at the first `=` outside of backticks; none without one.
pub fn assignment(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.find(|c| {
        quoted ^= c == '`';
        c == '=' && !quoted
    })?;
    Some((text[..at].trim(), text[at + 1..].trim()))
}

/// A database's name with optional backticks around it.
fn database_name(text: &str) -> Result<String> {
    let wrong =
        |what: &str, next: &str| Error::new(Kind::Config, format!("{text} {what}")).next(next);
    match parts(text, 2).as_deref() {
        Some([name]) if name.chars().count() > LONGEST_NAME => {
            Err(wrong("is longer than a name may be", "64 characters are the most"))
        }
        Some([name]) => Ok(name.clone()),
        Some([..]) => Err(wrong(
            "is a table's name: databases can be renamed, tables can't",
            "rename the table at the source before, or on the target afterwards",
        )),
        None => Err(wrong("isn't a database's name", "write backticks around odd names")),
    }
}

/// `D.T` with optional backticks around either.
fn table_name(text: &str) -> Option<TableName> {
    match parts(text, 2)?.as_slice() {
        [database, table] => Some(TableName::new(database, table)),
        _ => None,
    }
}

/// The parts of `D`, `D.T` or `D.T.C`, at most so many, with optional backticks around each, and two for one
/// within; none for an empty part or a backtick without its other.
fn parts(text: &str, most: usize) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' if quoted && rest.peek() == Some(&'`') => {
                rest.next();
                parts.last_mut()?.push('`');
            }
            '`' => quoted = !quoted,
            '.' if !quoted && parts.len() < most => parts.push(String::new()),
            c => parts.last_mut()?.push(c),
        }
    }
    (!quoted && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select() {
        let selection =
            Selection::parse(&["a".into()], &["b.t".into()], &["a.x".into(), "c".into()]).unwrap();
        assert!(selection.takes_table(&TableName::new("a", "t")));
        assert!(!selection.takes_table(&TableName::new("a", "x")));
        assert!(selection.takes_table(&TableName::new("b", "t")));
        assert!(!selection.takes_table(&TableName::new("b", "u")));
        assert!(!selection.takes_database("c"));
        assert!(selection.takes_objects("a") && !selection.takes_objects("b"));
        assert_eq!(table_name("`we.b`.`t`"), Some(TableName::new("we.b", "t")));
        assert_eq!(table_name("a.`b``c`"), Some(TableName::new("a", "b`c")));
        let selection = Selection::parse(&[], &[], &["`we.b`".into()]).unwrap();
        assert!(!selection.takes_database("we.b") && selection.takes_database("we"));
        for wrong in ["`we.b", "we.", "", "a.`b"] {
            assert!(Selection::parse(&[], &[], &[wrong.into()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_belong_to_tables() {
        let given = [("b.`we=ird`", "x = 'a=b'"), ("a.t", "id > 5")];
        let selection = Selection::default().filtered(given).unwrap();
        let condition = |table: &TableName| selection.condition(table).map(Condition::sql);
        assert_eq!(condition(&TableName::new("b", "we=ird")), Some("(x = 'a=b')".into()));
        assert_eq!(condition(&TableName::new("a", "u")), None);
        let part = Selection::parse(&[], &["a.t".into()], &[]).unwrap().part_of(&selection);
        assert_eq!(part.filters.len(), 1);
        let wrong = |given: &[(&str, &str)]| {
            Selection::default().filtered(given.iter().copied()).unwrap_err().to_string()
        };
        assert!(wrong(&[("t", "id > 5")]).contains("full name"));
        assert!(wrong(&[("a.t", "TRUE"), ("a.`t`", "FALSE")]).contains("two conditions"));
        assert!(wrong(&[("a.t", "(id")]).contains("a.t"));
        assert_eq!(assignment("a.`b=c` = id = 5"), Some(("a.`b=c`", "id = 5")));
        assert_eq!(assignment("a.b"), None);
    }

    #[test]
    fn databases_have_other_names_on_the_target() {
        let selection = Selection::parse(&["a".into()], &["b.t".into()], &["a.x".into()]).unwrap();
        let selection = selection.renamed([("a", "b"), ("`b`", "c")]).unwrap();
        let there = selection.on_target();
        assert!(there.takes_table(&TableName::new("b", "t")) && !there.takes_database("a"));
        assert!(!there.takes_table(&TableName::new("b", "x")));
        assert!(there.takes_table(&TableName::new("c", "t")));
        assert!(!there.takes_table(&TableName::new("c", "u")));
        let all = Selection::default().renamed([("a", "z"), ("same", "same")]).unwrap();
        assert_eq!(all.renames.len(), 1);
        let part = Selection::parse(&["b".into()], &[], &[]).unwrap().part_of(&all);
        assert_eq!(part.renames, all.renames);
        let within = all.on_target().within(["z".to_string()]);
        assert!(within.takes_objects("z") && !within.takes_database("others"));
        for (wrong, why) in [
            (&[("a", "mysql")][..], "database of the server"),
            (&[("daybreak", "x")], "database of the server"),
            (&[("a", "x"), ("b", "x")], "each name can stand once"),
            (&[("a", "x"), ("a", "y")], "each name can stand once"),
            (&[("a.t", "a.u")], "tables can't"),
            (&[("a", "")], "isn't a database's name"),
        ] {
            let error =
                Selection::default().renamed(wrong.iter().copied()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_servers_own_are_never_taken() {
        let all = Selection::default();
        assert!(!all.takes_database("mysql") && !all.takes_database(OWN_DATABASE));
        assert!(all.takes_database("shop"));
        assert!(Selection::parse(&["mysql".into()], &[], &[]).is_err());
    }
}
