//! Owns what is copied: tables of several shapes, seeded, so that every run measures the same rows.

use std::fmt::Write as _;

use mysql_async::{Conn, prelude::Queryable};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;

use super::{Failure, failure};

/// The database.
pub const DATABASE: &str = "bench";

const STATEMENT_BYTES: usize = 1 << 20;
const STATEMENTS_A_COMMIT: usize = 16;
/// Rows of a file that the server loads by itself.
const PIECE_ROWS: u64 = 250_000;
/// The tables of [`Workload::Many`].
const MANY: u64 = 2_000;

/// A set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// sysbench's two tables.
    Sysbench,
    /// One of them, ten times as large.
    Big,
    /// Many columns, texts and blobs.
    Wide,
    /// 2,000 small ones.
    Many,
    /// Five secondary indexes.
    Indexed,
    /// `(tenant, id)`, nine tenths of it one tenant's.
    Skewed,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 6] = [
        Workload::Sysbench,
        Workload::Big,
        Workload::Wide,
        Workload::Many,
        Workload::Indexed,
        Workload::Skewed,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Sysbench => "sysbench",
            Workload::Big => "big",
            Workload::Wide => "wide",
            Workload::Many => "many",
            Workload::Indexed => "indexed",
            Workload::Skewed => "skewed",
        }
    }

    /// The one of a name; several for `all`.
    pub fn named(name: &str) -> Result<Vec<Workload>, Failure> {
        if name == "all" {
            return Ok(Self::ALL.to_vec());
        }
        let found = Self::ALL.into_iter().find(|workload| workload.name() == name);
        found.map(|workload| vec![workload]).ok_or_else(|| {
            let names = Self::ALL.map(Workload::name).join(", ");
            failure(format!("there is no workload {name}"), format!("one of all, {names}"))
        })
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Workload::Sysbench => "sysbench's two tables",
            Workload::Big => "one of sysbench's tables, large",
            Workload::Wide => "a wide table with texts and blobs",
            Workload::Many => "2,000 small tables",
            Workload::Indexed => "a table with five secondary indexes",
            Workload::Skewed => "(tenant, id), one tenant with nine tenths of the rows",
        }
    }

    /// Its tables, `rows` being those of one of sysbench's.
    pub fn tables(self, rows: u64) -> Vec<Table> {
        match self {
            Workload::Sysbench => (1..=2).map(|number| sysbench(number, rows)).collect(),
            Workload::Big => vec![sysbench(1, 10 * rows)],
            Workload::Wide => vec![Table {
                name: "wide".into(),
                columns: "id BIGINT UNSIGNED NOT NULL PRIMARY KEY, customer INT NOT NULL, \
                          placed DATETIME(6) NOT NULL, price DECIMAL(12,2) NOT NULL, weight DOUBLE NULL, \
                          state ENUM('new','paid','sent') NOT NULL, code CHAR(12) NOT NULL, \
                          name VARCHAR(120) NULL, city VARCHAR(60) NULL, note TEXT NULL, picture BLOB NULL, \
                          a INT NULL, b INT NULL, c BIGINT NULL, d SMALLINT NULL, e DATE NULL, f TINYINT NULL, \
                          g VARCHAR(40) NULL, h VARCHAR(40) NULL, i TIMESTAMP NULL"
                    .into(),
                keys: vec!["KEY by_customer (customer)".into()],
                rows: rows / 5,
                cut: Cut::Id,
                row: write_wide,
            }],
            Workload::Many => (1..=MANY)
                .map(|number| Table {
                    name: format!("small{number:04}"),
                    ..sysbench(1, (rows / 10_000).max(1))
                })
                .collect(),
            Workload::Indexed => vec![Table {
                name: "indexed".into(),
                columns: "id INT NOT NULL PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, c VARCHAR(40) NOT NULL, \
                          d DATETIME NOT NULL, e BIGINT NOT NULL, pad CHAR(60) NOT NULL"
                    .into(),
                keys: ["a (a)", "ba (b, a)", "c (c)", "d (d)", "ec (e, c)"]
                    .map(|key| format!("KEY {key}"))
                    .to_vec(),
                rows,
                cut: Cut::Id,
                row: write_indexed,
            }],
            Workload::Skewed => vec![Table {
                name: "skewed".into(),
                columns: "tenant INT NOT NULL, id BIGINT NOT NULL, v INT NOT NULL, pad CHAR(120) NOT NULL, \
                          PRIMARY KEY (tenant, id)"
                    .into(),
                keys: vec!["KEY by_v (v)".into()],
                rows: 2 * rows,
                cut: Cut::Tenant,
                row: write_skewed,
            }],
        }
    }
}

/// How a table is cut into pieces for the server's own loading.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Id,
    Tenant,
}

/// A table.
pub struct Table {
    /// Its name.
    pub name: String,
    columns: String,
    /// Its secondary indexes, as CREATE TABLE has them.
    keys: Vec<String>,
    /// Its rows.
    pub rows: u64,
    cut: Cut,
    row: fn(&mut StdRng, u64, u64, &mut String),
}

impl Table {
    /// Its full name.
    pub fn sql(&self) -> String {
        format!("`{DATABASE}`.`{}`", self.name)
    }

    /// The statement that makes it, without its secondary indexes.
    pub fn create(&self) -> String {
        format!("CREATE TABLE {} ({}) ENGINE = InnoDB", self.sql(), self.columns)
    }

    /// The statement that adds those.
    pub fn add_keys(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| format!("ADD {key}")).collect();
        format!("ALTER TABLE {} {}", self.sql(), keys.join(", "))
    }

    /// Conditions that cut it into pieces, each row in one.
    pub fn pieces(&self) -> Vec<String> {
        let (column, first, rest) = match self.cut {
            Cut::Id => ("id", String::new(), None),
            Cut::Tenant => ("id", "tenant = 1 AND ".to_owned(), Some("tenant > 1".to_owned())),
        };
        let count = self.rows.div_ceil(PIECE_ROWS).max(1);
        (0..count)
            .map(|n| {
                let (after, to) = (n * PIECE_ROWS, (n + 1) * PIECE_ROWS);
                format!("{first}{column} > {after} AND {column} <= {to}")
            })
            .chain(rest)
            .collect()
    }

    /// Makes it with its rows, on a connection of its own.
    pub async fn fill(&self, conn: &mut Conn) -> Result<(), Failure> {
        conn.query_drop("SET SESSION sql_log_bin = 0, unique_checks = 0, autocommit = 0").await?;
        conn.query_drop(self.create()).await?;
        // A thread writes the next statement while the server takes this one.
        let (sender, mut statements) = mpsc::channel::<String>(2);
        let head = format!("INSERT INTO {} VALUES ", self.sql());
        let (rows, row) = (self.rows, self.row);
        let seed = self.name.bytes().fold(1, |seed: u64, byte| seed * 31 + u64::from(byte));
        let writer = tokio::task::spawn_blocking(move || {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut text = head.clone();
            for id in 1..=rows {
                if text.len() > head.len() {
                    text.push(',');
                }
                row(&mut rng, id, rows, &mut text);
                if text.len() >= STATEMENT_BYTES || id == rows {
                    // Nobody listens when the connection has failed, which its own side reports.
                    if sender.blocking_send(std::mem::replace(&mut text, head.clone())).is_err() {
                        return;
                    }
                }
            }
        });
        let mut open = 0;
        while let Some(statement) = statements.recv().await {
            conn.query_drop(statement).await?;
            open += 1;
            if open % STATEMENTS_A_COMMIT == 0 {
                conn.query_drop("COMMIT").await?;
            }
        }
        conn.query_drop("COMMIT").await?;
        writer.await?;
        conn.query_drop(self.add_keys()).await?;
        conn.query_drop(format!("ANALYZE TABLE {}", self.sql())).await?;
        Ok(())
    }
}

/// Makes tables with their rows, two at a time.
pub async fn fill(tables: &[Table], conns: [Conn; 2]) -> Result<(), Failure> {
    let half = async |first: usize, mut conn: Conn| {
        for table in tables.iter().skip(first).step_by(2) {
            table.fill(&mut conn).await?;
        }
        conn.disconnect().await.map_err(Failure::from)
    };
    let [one, two] = conns;
    tokio::try_join!(half(0, one), half(1, two)).map(drop)
}

/// As sysbench's `oltp_*` scripts make them: same columns, same index, same kind of content. Unlike
/// sysbench's, `k` is spread evenly.
fn sysbench(number: u64, rows: u64) -> Table {
    Table {
        name: format!("sbtest{number}"),
        columns: "id INTEGER NOT NULL AUTO_INCREMENT, k INTEGER DEFAULT '0' NOT NULL, \
                  c CHAR(120) DEFAULT '' NOT NULL, pad CHAR(60) DEFAULT '' NOT NULL, PRIMARY KEY (id)"
            .into(),
        keys: vec![format!("KEY k_{number} (k)")],
        rows,
        cut: Cut::Id,
        row: write_sysbench,
    }
}

// Writing to a String can't fail.
fn write_sysbench(rng: &mut StdRng, id: u64, rows: u64, text: &mut String) {
    _ = write!(text, "({id},{},'", rng.random_range(1..=rows));
    write_groups(rng, 10, text);
    text.push_str("','");
    write_groups(rng, 5, text);
    text.push_str("')");
}

fn write_groups(rng: &mut StdRng, groups: usize, text: &mut String) {
    for group in 0..groups {
        if group > 0 {
            text.push('-');
        }
        _ = write!(text, "{:011}", rng.random_range(0..100_000_000_000_u64));
    }
}

fn write_words(rng: &mut StdRng, bytes: usize, text: &mut String) {
    const WORDS: [&str; 8] =
        ["dawn", "river", "été", "table", "Straße", "light\\'s", "tab\\there", "next\\nline"];
    let end = text.len() + bytes;
    while text.len() < end {
        text.push_str(WORDS[rng.random_range(0..WORDS.len())]);
        text.push(' ');
    }
}

fn write_wide(rng: &mut StdRng, id: u64, _rows: u64, text: &mut String) {
    _ = write!(
        text,
        "({id},{},'20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}',{}.{:02},{},{},'{:012}','",
        rng.random_range(1..1_000_000),
        rng.random_range(10..30),
        rng.random_range(1..=12),
        rng.random_range(1..=28),
        rng.random_range(0..24),
        rng.random_range(0..60),
        rng.random_range(0..60),
        rng.random_range(0..1_000_000),
        rng.random_range(0..100_000),
        rng.random_range(0..100),
        rng.random::<f64>(),
        rng.random_range(1..=3),
        rng.random_range(0..1_000_000_000_000_u64),
    );
    write_words(rng, 60, text);
    text.push_str("','");
    write_words(rng, 20, text);
    text.push_str("','");
    write_words(rng, 900, text);
    text.push_str("',X'");
    for _ in 0..rng.random_range(10..80) {
        _ = write!(text, "{:016x}", rng.random::<u64>());
    }
    _ = write!(
        text,
        "',{},NULL,{},{},'2024-02-29',{},'",
        rng.random::<i32>(),
        rng.random::<i64>(),
        rng.random::<i16>(),
        rng.random::<i8>()
    );
    write_words(rng, 12, text);
    text.push_str("',NULL,'2024-03-31 01:30:00')");
}

fn write_indexed(rng: &mut StdRng, id: u64, rows: u64, text: &mut String) {
    _ = write!(text, "({id},{},{},'", rng.random_range(0..=rows), rng.random_range(0..1_000));
    write_groups(rng, 3, text);
    _ = write!(
        text,
        "','20{:02}-01-{:02} {:02}:00:00',{},'",
        rng.random_range(10..30),
        rng.random_range(1..=28),
        rng.random_range(0..24),
        rng.random::<i64>()
    );
    write_groups(rng, 5, text);
    text.push_str("')");
}

fn write_skewed(rng: &mut StdRng, id: u64, rows: u64, text: &mut String) {
    // The last tenth is that of the others.
    let tenant = if id <= rows / 10 * 9 { 1 } else { 2 + id % 500 };
    _ = write!(text, "({tenant},{id},{},'", rng.random_range(0..=rows));
    write_groups(rng, 10, text);
    text.push_str("')");
}
