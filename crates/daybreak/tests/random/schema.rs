//! A case: a database with a few tables of random columns and keys, and the rows they begin with.

use proptest::{prelude::RngExt as _, test_runner::TestRng};

use rehearsal::server::Product;

use super::types::{InKeys, Type, Way, one, some};

/// Names that must be quoted, or look like something else.
const NAMES: &[&str] =
    &["key", "a b", "ä", "back`tick", "Q'uote", "col.umn", "SELECT", "semi;colon", "x\\y"];

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub data_type: Type,
    pub nullable: bool,
    /// Counts up.
    pub counts: bool,
    invisible: bool,
}

/// Columns by number, each with the length of its prefix.
#[derive(Debug, Clone)]
pub struct Key {
    pub parts: Vec<(usize, Option<u32>)>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub database: String,
    pub name: String,
    pub columns: Vec<Column>,
    pub primary: Option<Key>,
    pub unique: Vec<Key>,
    plain: Vec<Key>,
    /// A table, a column of it, and the column of this one that refers to it.
    pub parent: Option<(String, String, usize)>,
    on_delete: &'static str,
    /// Columns that the server reckons, partitions, and the row format.
    generated: Vec<String>,
    partitions: &'static str,
    collation: &'static str,
    format: &'static str,
    rows: usize,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub number: u64,
    pub tables: Vec<Table>,
    collation: &'static str,
}

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl Case {
    pub fn random(number: u64, way: Way, rng: &mut TestRng) -> Case {
        let mut tables: Vec<Table> = Vec::new();
        for n in 0..rng.random_range(1..=3) {
            let table = Table::random(format!("case_{number}"), n, way, tables.last(), rng);
            tables.push(table);
        }
        Case { number, tables, collation: way.collation() }
    }

    pub fn database(&self) -> String {
        format!("case_{}", self.number)
    }

    /// What makes it, rows included.
    pub fn sql(&self, rng: &mut TestRng) -> Vec<String> {
        let mut sql = vec![format!(
            "CREATE DATABASE {} CHARACTER SET utf8mb4{}",
            self.database(),
            self.collation
        )];
        for table in &self.tables {
            sql.push(table.definition());
            for begin in (0..table.rows).step_by(40) {
                let count = 40.min(table.rows - begin);
                sql.push(table.insert(count, rng).replacen("INSERT", "INSERT IGNORE", 1));
            }
            sql.push(format!("ANALYZE TABLE {}", table.sql_name()));
        }
        sql
    }

    /// Its definitions, for whoever reads a failure.
    pub fn told(&self) -> String {
        self.tables.iter().map(|table| table.definition() + ";\n").collect()
    }
}

impl Table {
    fn random(
        database: String,
        n: usize,
        way: Way,
        before: Option<&Table>,
        rng: &mut TestRng,
    ) -> Table {
        let name = if rng.random_range(0..5) == 0 { one(rng, NAMES) } else { "t" };
        // MariaDB prints the names of foreign keys, which begin with the table's, and of their columns without doubling
        // these.
        let name = if way.is_modern() { name } else { name.trim_end_matches("`tick") };
        let mut columns: Vec<Column> = (0..rng.random_range(1..=8))
            .map(|at| Column {
                name: match rng.random_range(0..6) {
                    0 => format!("{}{at}", one(rng, NAMES)),
                    _ => format!("c{at}"),
                },
                data_type: Type::random(rng, way),
                nullable: rng.random_range(0..3) > 0,
                counts: false,
                invisible: at > 0 && rng.random_range(0..12) == 0 && way.is_modern(),
            })
            .collect();

        let whole: Vec<usize> = (0..columns.len())
            .filter(|at| columns[*at].data_type.in_keys() == InKeys::Whole)
            .collect();
        let mut primary = None;
        match rng.random_range(0..10) {
            0 => {}
            1..=3 => {
                // What most tables have.
                let counts = rng.random();
                // One that counts needs room to.
                let roomy = Type::Int { name: "INT", bits: 32, unsigned: rng.random() };
                columns.insert(
                    0,
                    Column {
                        name: "id".into(),
                        data_type: if counts { roomy } else { Type::integer(rng) },
                        nullable: false,
                        counts,
                        invisible: false,
                    },
                );
                primary = Some(Key { parts: vec![(0, None)] });
            }
            _ if whole.is_empty() => {}
            other => {
                let count = if other < 7 { 1 } else { rng.random_range(1..=3).min(whole.len()) };
                let parts: Vec<_> =
                    some(rng, &whole, count).into_iter().map(|at| (at, None)).collect();
                for (at, _) in &parts {
                    columns[*at].nullable = false;
                }
                primary = Some(Key { parts });
            }
        }
        // Without a key, documents with values that JSON has no words for are refused.
        for column in &mut columns {
            if let Type::Json { opaque } = &mut column.data_type {
                *opaque = primary.is_some();
            }
        }
        let parent = before.and_then(|parent| {
            let [(at, None)] = parent.primary.as_ref()?.parts[..] else { return None };
            let referred = &parent.columns[at];
            let printed_well = way.is_modern() || !referred.name.contains('`');
            if !matches!(referred.data_type, Type::Int { .. })
                || !parent.partitions.is_empty()
                || !printed_well
            {
                return None;
            }
            columns.push(Column {
                name: "parent".into(),
                data_type: referred.data_type.clone(),
                nullable: true,
                counts: false,
                invisible: false,
            });
            Some((parent.sql_name(), referred.name.clone(), columns.len() - 1))
        });
        let keys = |most: u32, rng: &mut TestRng| -> Vec<Key> {
            let count = rng.random_range(0..=most);
            (0..count).filter_map(|_| random_key(&columns, rng)).collect()
        };
        let unique = keys(2, rng);
        let plain = keys(2, rng);
        let generated = columns
            .iter()
            .enumerate()
            .filter(|(at, column)| {
                // MariaDB has none of a CHAR: what that reads depends on a setting.
                let refused = way.with_mariadb()
                    && matches!(column.data_type, Type::Char { name: "CHAR", .. });
                !column.counts && !refused && parent.as_ref().is_none_or(|(_, _, own)| own != at)
            })
            .take(if rng.random_range(0..4) == 0 && way.from != Product::Mysql56 { 2 } else { 0 })
            .map(|(at, column)| {
                let kind = if rng.random() { "STORED" } else { "VIRTUAL" };
                format!("g{at} INT AS ({} IS NULL) {kind}", quoted(&column.name))
            })
            .collect();
        let prefixed = |key: &Key| key.parts.iter().any(|(_, prefix)| prefix.is_some());
        let alone = unique.is_empty() && parent.is_none() && !plain.iter().any(prefixed);
        let partitions = match (&primary, alone && rng.random_range(0..4) == 0) {
            (Some(_), true)
                if !columns.iter().any(|c| matches!(c.data_type, Type::Point { .. })) =>
            {
                " PARTITION BY KEY () PARTITIONS 3"
            }
            _ => "",
        };
        let formats =
            ["", "", " ROW_FORMAT=COMPRESSED", " ROW_FORMAT=REDUNDANT", " ROW_FORMAT=COMPACT"];
        Table {
            database,
            name: format!("{name}{n}"),
            columns,
            primary,
            unique,
            plain,
            parent,
            on_delete: one(rng, &["CASCADE", "SET NULL", "RESTRICT"]),
            generated,
            partitions,
            collation: way.collation(),
            format: one(rng, &formats),
            rows: one(rng, &[0, 1, 30, 200, 400]),
        }
    }

    pub fn sql_name(&self) -> String {
        format!("{}.{}", self.database, quoted(&self.name))
    }

    /// Names of a key's columns, for SQL.
    fn list(&self, key: &Key) -> String {
        let parts = key.parts.iter().map(|(at, prefix)| {
            let prefix = prefix.map_or(String::new(), |prefix| format!("({prefix})"));
            quoted(&self.columns[*at].name) + &prefix
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    pub fn definition(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for column in &self.columns {
            let null = if column.nullable { "NULL" } else { "NOT NULL" };
            let counts = if column.counts { " AUTO_INCREMENT" } else { "" };
            let invisible = if column.invisible { " INVISIBLE" } else { "" };
            let (name, data_type) = (quoted(&column.name), column.data_type.sql());
            lines.push(format!("{name} {data_type} {null}{counts}{invisible}"));
        }
        lines.extend(self.generated.iter().cloned());
        if let Some(key) = &self.primary {
            lines.push(format!("PRIMARY KEY ({})", self.list(key)));
        }
        for (n, key) in self.unique.iter().enumerate() {
            lines.push(format!("UNIQUE KEY `u{n}` ({})", self.list(key)));
        }
        for (n, key) in self.plain.iter().enumerate() {
            lines.push(format!("KEY `k{n}` ({})", self.list(key)));
        }
        if let Some((table, column, at)) = &self.parent {
            lines.push(format!(
                "FOREIGN KEY ({}) REFERENCES {table} ({}) ON DELETE {} ON UPDATE CASCADE",
                quoted(&self.columns[*at].name),
                quoted(column),
                self.on_delete
            ));
        }
        format!(
            "CREATE TABLE {} (\n  {}\n) CHARACTER SET utf8mb4{}{}{}",
            self.sql_name(),
            lines.join(",\n  "),
            self.collation,
            self.format,
            self.partitions
        )
    }

    /// A value for a column.
    pub fn value(&self, at: usize, rng: &mut TestRng) -> String {
        let column = &self.columns[at];
        if column.nullable && rng.random_range(0..6) == 0 {
            return "NULL".into();
        }
        match &self.parent {
            Some((table, referred, own)) if *own == at => {
                format!("(SELECT {} FROM {table} ORDER BY RAND() LIMIT 1)", quoted(referred))
            }
            _ => column.data_type.value(rng),
        }
    }

    /// Some rows, in one statement.
    pub fn insert(&self, count: usize, rng: &mut TestRng) -> String {
        let taken: Vec<usize> =
            (0..self.columns.len()).filter(|at| !self.columns[*at].counts).collect();
        let names: Vec<String> = taken.iter().map(|at| quoted(&self.columns[*at].name)).collect();
        let rows: Vec<String> = (0..count)
            .map(|_| {
                let values: Vec<String> = taken.iter().map(|at| self.value(*at, rng)).collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!("INSERT INTO {} ({}) VALUES {}", self.sql_name(), names.join(", "), rows.join(", "))
    }

    /// Whether a unique key always has values left that no row has.
    pub fn has_room(&self, key: &Key) -> bool {
        key.parts.iter().any(|(at, _)| self.columns[*at].data_type.is_wide())
    }

    /// Whether it has a key without NULL over whole columns.
    pub fn names_rows(&self) -> bool {
        self.all_unique().any(|key| {
            key.parts.iter().all(|(at, prefix)| prefix.is_none() && !self.columns[*at].nullable)
        })
    }

    /// Every key that is unique.
    pub fn all_unique(&self) -> impl Iterator<Item = &Key> {
        self.primary.iter().chain(&self.unique)
    }
}

fn random_key(columns: &[Column], rng: &mut TestRng) -> Option<Key> {
    let usable: Vec<usize> = (0..columns.len())
        .filter(|at| columns[*at].data_type.in_keys() != InKeys::Never && !columns[*at].counts)
        .collect();
    let count = rng.random_range(1..=2).min(usable.len());
    let parts: Vec<(usize, Option<u32>)> = some(rng, &usable, count)
        .into_iter()
        .map(|at| {
            let prefix = match &columns[at].data_type {
                Type::Text { .. } | Type::Blob { .. } => Some(8),
                Type::Char { length, .. } | Type::Bytes { length, .. }
                    if *length > 4 && rng.random_range(0..4) == 0 =>
                {
                    Some(3)
                }
                _ => None,
            };
            (at, prefix)
        })
        .collect();
    (!parts.is_empty()).then_some(Key { parts })
}
