//! What a server holds: databases, tables, columns and indexes, read in bulk from
//! `information_schema` and never table by table.

use std::{collections::BTreeMap, io};

use mysql_async::Row;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};
use sha2::{Digest, Sha256};

use super::{Session, TableName, left_out, quote_text, session::Fields};
use crate::{
    error::{Error, Kind, Result},
    select::{Condition, Selection},
};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type alone, in lower case: `int`, `varchar`, `json`.
    pub data_type: String,
    /// The whole type: `int unsigned`, `varchar(20)`, `enum('a','b')`.
    pub column_type: String,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Its character set; none for types without one.
    pub charset: Option<String>,
    /// Its collation; none for types without one.
    pub collation: Option<String>,
    /// Whether its value is computed (STORED or VIRTUAL), so that it can't be written.
    pub generated: bool,
    /// Whether the server counts it up.
    pub auto_increment: bool,
    /// The server's `EXTRA` text.
    pub extra: String,
    /// Whether a default other than NULL is given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_default: bool,
}

impl Column {
    /// A column `c` of a type, with nothing else said of it.
    #[cfg(test)]
    pub(crate) fn of_type(column_type: &str) -> Column {
        Column {
            name: "c".into(),
            data_type: column_type.split(['(', ' ']).next().unwrap_or_default().into(),
            column_type: column_type.into(),
            nullable: true,
            charset: None,
            collation: None,
            generated: false,
            auto_increment: false,
            extra: String::new(),
            has_default: false,
        }
    }

    /// Whether it is an integer without a sign.
    pub fn unsigned(&self) -> bool {
        self.column_type.contains("unsigned")
    }

    /// Whether it is stored as text with a character set (JSON isn't).
    pub fn is_text(&self) -> bool {
        matches!(
            self.data_type.as_str(),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext"
        )
    }
}

/// A part of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    /// The column; none for an expression.
    pub column: Option<String>,
    /// How many characters or bytes of it are indexed; none for all.
    pub prefix: Option<u64>,
    /// Whether the column takes NULL.
    pub nullable: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name; `PRIMARY` for the primary key.
    pub name: String,
    /// Whether it allows no two equal keys.
    pub unique: bool,
    /// `BTREE`, `FULLTEXT`, `SPATIAL`, ...
    pub kind: String,
    /// Its parts in order.
    pub parts: Vec<IndexPart>,
    /// Whether the optimizer doesn't know it (INVISIBLE, MariaDB's IGNORED): it can't be forced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A base table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its full name.
    pub name: TableName,
    /// The storage engine.
    pub engine: String,
    /// The collation that new columns get.
    pub collation: Option<String>,
    /// `Dynamic`, `Compressed`, ...
    pub row_format: Option<String>,
    /// The server's estimate of its rows.
    pub rows_estimate: u64,
    /// The server's figure for its data, in bytes, indexes left out.
    pub data_bytes: u64,
    /// Whether it is partitioned, as far as the server says so ([`Catalog::read`] asks further where it
    /// matters: for tables with a FLOAT or DOUBLE in a unique key).
    pub partitioned: bool,
    /// The columns that are taken, in order, invisible ones included.
    pub columns: Vec<Column>,
    /// Indexes, the primary key first.
    pub indexes: Vec<Index>,
    /// What a row must fulfil to be taken; none: all are. Only at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl Table {
    /// The same table as the target has it: under the name that it has there, and with all of its rows.
    pub fn on_target(&self, name: TableName) -> Table {
        Table { name, condition: None, ..self.clone() }
    }

    /// A predicate, and with it what a row must fulfil to be taken: for a WHERE clause.
    pub fn taken(&self, predicate: &str) -> String {
        match &self.condition {
            Some(condition) => format!("({predicate}) AND {}", condition.sql()),
            None => predicate.to_string(),
        }
    }

    /// The rows that are taken, for a FROM clause: the name, and where there is a condition, WHERE.
    pub fn rows_taken(&self) -> String {
        match &self.condition {
            Some(condition) => format!("{} WHERE {}", self.name.sql(), condition.sql()),
            None => self.name.sql(),
        }
    }

    /// Whether its engine is MyISAM: no transactions, and converted where a physical backup is restored.
    pub fn is_myisam(&self) -> bool {
        self.engine.eq_ignore_ascii_case("MyISAM")
    }

    /// The primary key.
    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == "PRIMARY")
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that can be written.
    pub fn stored_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }
}

/// A database (schema).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The default character set.
    pub charset: String,
    /// The default collation.
    pub collation: String,
}

/// What was selected of a server: its databases and base tables, in name order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The databases.
    pub databases: Vec<Database>,
    /// The base tables, in name order.
    pub tables: Vec<Table>,
}

impl Catalog {
    /// Reads databases, tables, columns and indexes of what is selected. Takes no lock.
    ///
    /// # Errors
    /// `Config` for a condition on a table that isn't there, or that the server doesn't understand, for
    /// renames of what isn't there, or to a name that another database has, and for columns that can't be
    /// left out.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<Self> {
        if session.dialect().mysql_from(8, 0, 0) {
            // Otherwise sizes may be a day old.
            session.execute("SET SESSION information_schema_stats_expiry = 0").await?;
        }
        let (mut catalog, mut all) = (Catalog::default(), Vec::new());
        for row in session
            .rows(
                "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
                 FROM information_schema.SCHEMATA ORDER BY 1",
            )
            .await?
        {
            let name: String = session.field(&row, "SCHEMA_NAME")?;
            all.push(name.clone());
            if selection.takes_database(&name) {
                catalog.databases.push(Database {
                    name,
                    charset: session.field(&row, "DEFAULT_CHARACTER_SET_NAME")?,
                    collation: session.field(&row, "DEFAULT_COLLATION_NAME")?,
                });
            }
        }
        check_renames(session, &catalog, &all, selection)?;
        if catalog.databases.is_empty() {
            return Ok(catalog);
        }
        let databases: Vec<String> =
            catalog.databases.iter().map(|database| quote_text(&database.name)).collect();
        let within = format!("IN ({})", databases.join(", "));

        let mut tables: BTreeMap<TableName, Table> = BTreeMap::new();
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_COLLATION, ROW_FORMAT, \
                 COALESCE(TABLE_ROWS, 0) AS TABLE_ROWS, COALESCE(DATA_LENGTH, 0) AS DATA_LENGTH, \
                 COALESCE(CREATE_OPTIONS, '') AS CREATE_OPTIONS \
                 FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA {within}"
        );
        session
            .each(sql, |fields, row| {
                let name = named(fields, row)?;
                if !selection.takes_table(&name) {
                    return Ok(());
                }
                let options: String = fields.field(row, "CREATE_OPTIONS")?;
                tables.insert(
                    name.clone(),
                    Table {
                        name,
                        engine: fields.optional(row, "ENGINE")?.unwrap_or_default(),
                        collation: fields.optional(row, "TABLE_COLLATION")?,
                        row_format: fields.optional(row, "ROW_FORMAT")?,
                        rows_estimate: fields.field(row, "TABLE_ROWS")?,
                        data_bytes: fields.field(row, "DATA_LENGTH")?,
                        partitioned: options.contains("partitioned"),
                        columns: Vec::new(),
                        indexes: Vec::new(),
                        condition: None,
                    },
                );
                Ok(())
            })
            .await?;
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, \
                 CHARACTER_SET_NAME, COLLATION_NAME, EXTRA, COLUMN_DEFAULT IS NOT NULL AS HAS_DEFAULT \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA {within} \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        );
        session
            .each(sql, |fields, row| {
                let name = named(fields, row)?;
                let Some(table) = tables.get_mut(&name) else { return Ok(()) };
                let extra: String = fields.field(row, "EXTRA")?;
                let upper = extra.to_ascii_uppercase();
                table.columns.push(Column {
                    name: fields.field(row, "COLUMN_NAME")?,
                    data_type: fields.field::<String>(row, "DATA_TYPE")?.to_ascii_lowercase(),
                    column_type: fields.field(row, "COLUMN_TYPE")?,
                    nullable: fields.field::<String>(row, "IS_NULLABLE")? == "YES",
                    charset: fields.optional(row, "CHARACTER_SET_NAME")?,
                    collation: fields.optional(row, "COLLATION_NAME")?,
                    // MySQL also says DEFAULT_GENERATED, of a default that is an expression.
                    generated: ["STORED GENERATED", "VIRTUAL GENERATED", "PERSISTENT"]
                        .iter()
                        .any(|word| upper.contains(word)),
                    auto_increment: upper.contains("AUTO_INCREMENT"),
                    extra,
                    has_default: fields.field::<i64>(row, "HAS_DEFAULT")? != 0,
                });
                Ok(())
            })
            .await?;
        let dialect = session.dialect();
        let hidden = if dialect.mysql_from(8, 0, 0) {
            "IS_VISIBLE = 'NO'"
        } else if dialect.is_mariadb() && dialect.version >= (10, 6, 0) {
            "IGNORED = 'YES'"
        } else {
            "FALSE"
        };
        // A functional part has EXPRESSION instead of COLUMN_NAME (which is NULL then).
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, \
                 NULLABLE, INDEX_TYPE, {hidden} AS IS_HIDDEN FROM information_schema.STATISTICS WHERE TABLE_SCHEMA {within} \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX"
        );
        session
            .each(sql, |fields, row| {
                let name = named(fields, row)?;
                let Some(table) = tables.get_mut(&name) else { return Ok(()) };
                let index: String = fields.field(row, "INDEX_NAME")?;
                let part = IndexPart {
                    column: fields.optional(row, "COLUMN_NAME")?,
                    prefix: fields.optional(row, "SUB_PART")?,
                    nullable: fields.optional::<String>(row, "NULLABLE")?.as_deref() == Some("YES"),
                };
                match table.indexes.last_mut() {
                    Some(last) if last.name == index => last.parts.push(part),
                    _ => table.indexes.push(Index {
                        name: index,
                        unique: fields.field::<i64>(row, "NON_UNIQUE")? == 0,
                        kind: fields.field(row, "INDEX_TYPE")?,
                        parts: vec![part],
                        hidden: fields.field::<i64>(row, "IS_HIDDEN")? != 0,
                    }),
                }
                Ok(())
            })
            .await?;
        if session.dialect().mysql_from(8, 0, 0) {
            find_partitioned(session, &mut tables).await?;
        }
        for filter in &selection.filters {
            let table = tables.get_mut(&filter.table).ok_or_else(|| {
                Error::new(Kind::Config, "there is a condition on a table that isn't taken")
                    .at(&filter.table)
                    .at(session.place())
                    .next("no such table is there, or it is left out: correct the name, or leave the condition out")
            })?;
            estimate(session, table, &filter.condition).await?;
            table.condition = Some(filter.condition.clone());
        }
        left_out::leave_out(session, &mut tables, selection).await?;
        catalog.tables = tables.into_values().collect();
        Ok(catalog)
    }

    /// The same as the target shall have it.
    pub fn on_target(&self, selection: &Selection) -> Catalog {
        let named = |database: &Database| Database {
            name: selection.database_on_target(&database.name),
            ..database.clone()
        };
        let mut tables: Vec<Table> = self
            .tables
            .iter()
            .map(|table| table.on_target(selection.table_on_target(&table.name)))
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Catalog { databases: self.databases.iter().map(named).collect(), tables }
    }

    /// A digest of every definition, blind to sizes: equal digests, equal structure.
    pub fn digest(&self) -> String {
        let mut hasher = io::BufWriter::new(Sha256::new());
        // Table by table, as 100,000 of them twice in memory, and once more as text, are much.
        let written = serde_json::to_writer(&mut hasher, &Shape(self));
        let hasher = written.ok().and_then(|()| hasher.into_inner().ok()).unwrap_or_default();
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A table by name.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        // In name order: looked for one by one, 100,000 tables of two sides are 5,000,000,000 looks.
        let at = self.tables.binary_search_by(|table| table.name.cmp(name)).ok()?;
        self.tables.get(at)
    }
}

/// Finds the partitioned ones among tables with a FLOAT or DOUBLE in a unique key. What the list of tables says
/// lacks those PARTITION BY KEY () (seen on 9.7).
async fn find_partitioned(
    session: &mut Session,
    tables: &mut BTreeMap<TableName, Table>,
) -> Result<()> {
    /// How many tables are asked for at once.
    const AT_ONCE: usize = 64;
    let with_floats: Vec<TableName> = tables
        .values()
        .filter(|table| !table.partitioned && has_float_key(table))
        .map(|table| table.name.clone())
        .collect();
    for some in with_floats.chunks(AT_ONCE) {
        let names: Vec<String> = some
            .iter()
            .map(|name| {
                let (database, name) = (quote_text(&name.database), quote_text(&name.name));
                format!("(TABLE_SCHEMA = {database} AND TABLE_NAME = {name})")
            })
            .collect();
        let sql = format!(
            "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.PARTITIONS \
             WHERE PARTITION_NAME IS NOT NULL AND ({})",
            names.join(" OR ")
        );
        session
            .each(sql, |fields, row| {
                if let Some(table) = tables.get_mut(&named(fields, row)?) {
                    table.partitioned = true;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

fn has_float_key(table: &Table) -> bool {
    table.indexes.iter().filter(|index| index.unique).any(|index| {
        index
            .parts
            .iter()
            .filter_map(|part| table.column(part.column.as_deref()?))
            .any(|column| matches!(column.data_type.as_str(), "float" | "double"))
    })
}

/// The table that a row of `information_schema` is about.
fn named(fields: &Fields<'_>, row: &Row) -> Result<TableName> {
    let (database, name): (String, String) =
        (fields.field(row, "TABLE_SCHEMA")?, fields.field(row, "TABLE_NAME")?);
    Ok(TableName::new(database, name))
}

/// A catalog without what changes as rows come and go.
struct Shape<'a>(&'a Catalog);

impl Serialize for Shape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        struct Tables<'a>(&'a [Table]);
        impl Serialize for Tables<'_> {
            fn serialize<S: Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                let shape =
                    |table: &Table| Table { rows_estimate: 0, data_bytes: 0, ..table.clone() };
                serializer.collect_seq(self.0.iter().map(shape))
            }
        }
        let mut shape = serializer.serialize_struct("Catalog", 2)?;
        shape.serialize_field("databases", &self.0.databases)?;
        shape.serialize_field("tables", &Tables(&self.0.tables))?;
        shape.end()
    }
}

/// What is renamed must be there (`all`: what is, taken or not, as foreign keys may refer to it), and what
/// comes must have names of its own.
fn check_renames(
    session: &Session,
    catalog: &Catalog,
    all: &[String],
    selection: &Selection,
) -> Result<()> {
    let has = |name: &str| catalog.databases.iter().any(|database| database.name == name);
    for rename in &selection.renames {
        let refuse = |what: String, next: &str| {
            Err(Error::new(Kind::Config, what).at(session.place()).next(next))
        };
        if !all.contains(&rename.from) {
            return refuse(
                format!("there is no database {} to be called {}", rename.from, rename.to),
                "correct the name, or leave the rename out",
            );
        }
        // Taken or not: what the source's views and routines mean by that name would be another database.
        let stays = selection.database_on_target(&rename.to) == rename.to;
        if stays && has(&rename.from) && all.contains(&rename.to) {
            return refuse(
                format!(
                    "{} would be called {}, as another database of the source is",
                    rename.from, rename.to
                ),
                "choose another name, or rename that one too",
            );
        }
    }
    Ok(())
}

/// Lets the server read a condition, which runs nothing, and takes over how many rows it expects.
async fn estimate(session: &mut Session, table: &mut Table, condition: &Condition) -> Result<()> {
    let dialect = session.dialect();
    // Older ones print `filtered` only then; newer ones know no EXTENDED, and print a tree unless told.
    let form = match dialect.is_mariadb() || !dialect.mysql_from(5, 7, 3) {
        true => "EXTENDED",
        false => "FORMAT=TRADITIONAL",
    };
    let explain =
        format!("EXPLAIN {form} SELECT 1 FROM {} WHERE {}", table.name.sql(), condition.sql());
    let rows = session.rows(explain).await.map_err(|error| match error.kind() {
        Kind::Sql => {
            Error::new(Kind::Config, format!("the condition {} can't be used", condition.sql()))
                .because(error)
                .at(&table.name)
                .next("correct it: one SQL expression over the table's columns")
        }
        _ => error.at(&table.name),
    })?;
    // One line is of the table itself, others of those in subqueries; a single one without a table says that
    // no row can fulfil it.
    let mut own = None;
    for row in &rows {
        let of: Option<String> = session.optional(row, "table")?;
        let kind: Option<String> = session.optional(row, "select_type")?;
        let outer = matches!(kind.as_deref(), Some("SIMPLE" | "PRIMARY"));
        if outer && of.as_deref() == Some(table.name.name.as_str()) {
            own = own.or(Some(row));
        } else if outer && of.is_none() && rows.len() == 1 {
            (table.rows_estimate, table.data_bytes) = (0, 0);
        }
    }
    let Some(own) = own else { return Ok(()) };
    let number: Option<u64> = session.optional(own, "rows")?;
    let part: Option<f64> = session.optional(own, "filtered")?;
    let Some(number) = number else { return Ok(()) };
    let expected = (number as f64 * part.unwrap_or(100.0) / 100.0).ceil().max(1.0) as u64;
    let all = table.rows_estimate.max(1);
    let expected = expected.min(table.rows_estimate);
    table.data_bytes =
        (u128::from(table.data_bytes) * u128::from(expected) / u128::from(all)) as u64;
    table.rows_estimate = expected;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Migrations have the digest in their plans: it is that of the whole catalog's JSON, without sizes.
    #[test]
    fn a_digest_is_of_the_shape_alone() {
        let table = |name: &str, rows_estimate| Table {
            name: TableName::new("d", name),
            engine: "InnoDB".into(),
            collation: None,
            row_format: Some("Dynamic".into()),
            rows_estimate,
            data_bytes: 16_384 * rows_estimate,
            partitioned: false,
            columns: vec![Column::of_type("int unsigned")],
            indexes: Vec::new(),
            condition: None,
        };
        let of = |rows| Catalog {
            databases: Vec::new(),
            tables: vec![table("a", rows), table("b", rows)],
        };
        let text = serde_json::to_vec(&of(0)).unwrap();
        let wanted: String =
            Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(of(7).digest(), wanted);
        assert_ne!(Catalog { tables: vec![table("a", 7)], ..of(7) }.digest(), wanted);
    }
}
