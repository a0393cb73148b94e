//! In which form values are cheapest for the server that takes them: raw bytes for LOAD DATA (what daybreak
//! sends), BASE64 that the server decodes (what MySQL Shell does with binary columns), or INSERTs of many rows
//! (what mydumper and mysqldump write).
//!
//! Everything is in memory before the clock starts, and one connection sends it: what is measured is the server.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mysql_async::{Conn, prelude::Queryable as _};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::{
    Failure, Options, failure,
    figures::{self, Machine},
    measure, stage,
};

/// What a statement of INSERT, or a packet of rows, holds at most.
const PIECE: usize = 1_000_000;
/// What a transaction holds.
const TRANSACTION: usize = 16 * PIECE;
/// With an integer's rows as `--rows`, what longer values may hold in all, for each of those rows.
const BYTES_A_ROW: u64 = 100;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Base64,
    Insert,
}

impl Form {
    const ALL: [Form; 3] = [Form::Raw, Form::Base64, Form::Insert];
}

/// What a literal of it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    Bare,
    Text,
    Binary,
}

/// A column's type, and how its values are made.
struct Kind {
    sql: &'static str,
    /// About as many bytes has a value.
    bytes: u64,
    literal: Literal,
    value: fn(&mut StdRng) -> Vec<u8>,
}

const KINDS: [Kind; 11] = [
    Kind { sql: "INT", bytes: 10, literal: Literal::Bare, value: |rng| text(rng.random::<i32>()) },
    Kind {
        sql: "BIGINT",
        bytes: 20,
        literal: Literal::Bare,
        value: |rng| text(rng.random::<i64>()),
    },
    Kind {
        sql: "DECIMAL(20,4)",
        bytes: 18,
        literal: Literal::Bare,
        value: |rng| {
            text(format_args!("{}.{:04}", rng.random::<i32>(), rng.random_range(0..10_000)))
        },
    },
    Kind {
        sql: "DOUBLE",
        bytes: 19,
        literal: Literal::Bare,
        value: |rng| text(rng.random::<f64>()),
    },
    Kind {
        sql: "DATETIME(6)",
        bytes: 26,
        literal: Literal::Text,
        value: |rng| {
            text(format_args!(
                "20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
                rng.random_range(10..30),
                rng.random_range(1..=12),
                rng.random_range(1..=28),
                rng.random_range(0..24),
                rng.random_range(0..60),
                rng.random_range(0..60),
                rng.random_range(0..1_000_000)
            ))
        },
    },
    Kind { sql: "VARCHAR(100)", bytes: 60, literal: Literal::Text, value: |rng| words(rng, 60) },
    Kind { sql: "TEXT", bytes: 1_000, literal: Literal::Text, value: |rng| words(rng, 1_000) },
    Kind {
        sql: "JSON",
        bytes: 220,
        literal: Literal::Text,
        value: |rng| {
            let numbers: Vec<String> = (0..10).map(|_| rng.random::<i32>().to_string()).collect();
            let name: String = (0..20).map(|_| rng.random_range('a'..='z')).collect();
            text(format_args!("{{\"name\": \"{name}\", \"numbers\": [{}]}}", numbers.join(", ")))
        },
    },
    Kind {
        sql: "VARBINARY(16)",
        bytes: 16,
        literal: Literal::Binary,
        value: |rng| random(rng, 16),
    },
    Kind { sql: "BLOB", bytes: 1_000, literal: Literal::Binary, value: |rng| random(rng, 1_000) },
    Kind {
        sql: "MEDIUMBLOB",
        bytes: 100_000,
        literal: Literal::Binary,
        value: |rng| random(rng, 100_000),
    },
];

fn text(value: impl std::fmt::Display) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn random(rng: &mut StdRng, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|_| rng.random()).collect()
}

fn words(rng: &mut StdRng, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 6] = ["dawn ", "river ", "été ", "table ", "Straße ", "light's "];
    let mut out = String::new();
    while out.len() + 8 < bytes {
        out.push_str(WORDS[rng.random_range(0..WORDS.len())]);
    }
    out.into_bytes()
}

/// What is sent: statements, each with the rows that it loads, if they aren't in its text.
struct Work {
    table: String,
    create: String,
    statements: Vec<Statement>,
}

struct Statement {
    sql: Vec<u8>,
    rows: Vec<Bytes>,
}

impl Work {
    fn of(kind: &Kind, form: Form, rows: u64) -> Work {
        // The same values for every form.
        let mut rng = StdRng::seed_from_u64(1);
        let table = format!("`forms`.`{form:?}`").to_lowercase();
        let head = match form {
            Form::Insert => format!("INSERT INTO {table} VALUES "),
            Form::Raw | Form::Base64 => format!(
                "LOAD DATA LOCAL INFILE 'bench' INTO TABLE {table} CHARACTER SET binary \
                 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' {}",
                match (form, kind.sql) {
                    (Form::Base64, "JSON") =>
                        "(id, @v) SET v = CONVERT(FROM_BASE64(@v) USING utf8mb4)",
                    (Form::Base64, _) => "(id, @v) SET v = FROM_BASE64(@v)",
                    (_, "JSON") => "(id, @v) SET v = CONVERT(@v USING utf8mb4)",
                    _ => "(id, v)",
                }
            ),
        };
        let (mut statements, mut pieces, mut piece) = (Vec::new(), Vec::new(), Vec::new());
        let mut loaded = 0;
        for id in 1..=rows {
            let value = (kind.value)(&mut rng);
            match form {
                Form::Insert => {
                    piece.extend_from_slice(if piece.is_empty() { head.as_bytes() } else { b"," });
                    piece.extend_from_slice(format!("({id},").as_bytes());
                    write_literal(kind.literal, &value, &mut piece);
                    piece.push(b')');
                }
                Form::Raw | Form::Base64 => {
                    piece.extend_from_slice(format!("{id}\t").as_bytes());
                    match form {
                        Form::Raw => escape(&value, &mut piece),
                        _ => piece.extend_from_slice(STANDARD.encode(value).as_bytes()),
                    }
                    piece.push(b'\n');
                }
            }
            if piece.len() < PIECE && id < rows {
                continue;
            }
            loaded += piece.len();
            let piece = std::mem::take(&mut piece);
            if form == Form::Insert {
                statements.push(Statement { sql: piece, rows: Vec::new() });
                continue;
            }
            pieces.push(Bytes::from(piece));
            if loaded >= TRANSACTION || id == rows {
                let rows = std::mem::take(&mut pieces);
                statements.push(Statement { sql: head.clone().into_bytes(), rows });
                loaded = 0;
            }
        }
        let create =
            format!("CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY, v {} NULL)", kind.sql);
        Work { table, create, statements }
    }

    async fn send(self, conn: &mut Conn) -> Result<(), Failure> {
        let mut sent = 0;
        for Statement { sql, rows } in self.statements {
            sent += sql.len();
            if !rows.is_empty() {
                sent += TRANSACTION;
                conn.set_infile_handler(async move {
                    Ok(stream::iter(rows.into_iter().map(Ok::<_, std::io::Error>)).boxed())
                });
            }
            conn.query_drop(sql).await?;
            if sent >= TRANSACTION {
                conn.query_drop("COMMIT").await?;
                sent = 0;
            }
        }
        Ok(conn.query_drop("COMMIT").await?)
    }
}

fn write_literal(literal: Literal, value: &[u8], out: &mut Vec<u8>) {
    let quote: &[u8] = match literal {
        Literal::Bare => return out.extend_from_slice(value),
        Literal::Text => b"'",
        Literal::Binary => b"_binary'",
    };
    out.extend_from_slice(quote);
    for byte in value {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(*byte),
        }
    }
}

/// Measures every form of every type and prints the figures.
pub async fn bench(options: &Options) -> Result<(), Failure> {
    let before = Machine::look()?;
    let wish = ServerOptions::new(Product::Mysql97, Role::Plain);
    let server = Server::start(wish.durable(true).buffer_pool_mib(512).redo_log_mib(512)).await?;
    let mut conn = server.connect_root().await?;
    conn.query_drop("SET GLOBAL local_infile = 1").await?;
    conn.query_drop("SET SESSION autocommit = 0, unique_checks = 0").await?;
    println!("\nSeconds of the server for each form, median of {} rounds:\n", options.rounds);
    println!(
        "| type, rows | raw: seconds, CPU s | BASE64 | INSERT | BASE64 / raw | INSERT / raw |"
    );
    println!("|---|---|---|---|---|---|");
    // Whoever is first pays for the pages of the buffer pool.
    measured(&server, &mut conn, &KINDS[0], Form::Raw, options.rows).await?;
    for kind in &KINDS {
        let rows = options.rows.min(options.rows * BYTES_A_ROW / kind.bytes).max(1);
        let mut runs: [Vec<(f64, f64)>; 3] = Default::default();
        for round in 0..options.rounds {
            let mut content = None;
            for turn in 0..Form::ALL.len() {
                let at = (round + turn) % Form::ALL.len();
                let form = Form::ALL[at];
                // Numbers in BASE64 are nobody's idea.
                if form == Form::Base64 && kind.literal == Literal::Bare {
                    continue;
                }
                let (wall, cpu, found) = measured(&server, &mut conn, kind, form, rows).await?;
                if *content.get_or_insert(found) != found {
                    return Err(failure(
                        format!("{} as {form:?} isn't what the other forms brought", kind.sql),
                        "its time would mean nothing: find out why first",
                    ));
                }
                runs[at].push((wall.as_secs_f64(), cpu));
            }
        }
        let middle = |runs: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
            figures::median(runs.iter().map(of).collect())
        };
        let raw = middle(&runs[0], |run| run.0);
        let mut line = format!("| {}, {rows} |", kind.sql);
        for runs in &runs {
            let (wall, cpu) = (middle(runs, |run| run.0), middle(runs, |run| run.1));
            _ = match runs.is_empty() {
                true => write!(line, " - |"),
                false => write!(line, " {wall:.2}, {cpu:.2} |"),
            };
        }
        for runs in &runs[1..] {
            _ = match runs.is_empty() {
                true => write!(line, " - |"),
                false => write!(line, " {:.2} |", middle(runs, |run| run.0) / raw),
            };
        }
        println!("{line}");
    }
    let after = Machine::look()?;
    println!(
        "\n{} cores; load {:.1} before, {:.1} at the end; mysqld {}; one connection, transactions of {} MB.",
        before.cores,
        before.load,
        after.load,
        server.binaries().version,
        TRANSACTION / 1_000_000
    );
    conn.disconnect().await?;
    Ok(())
}

/// Seconds, seconds of the server on a core, and what the table holds then.
async fn measured(
    server: &Server,
    conn: &mut Conn,
    kind: &Kind,
    form: Form,
    rows: u64,
) -> Result<(Duration, f64, (u64, u64)), Failure> {
    let work = Work::of(kind, form, rows);
    conn.query_drop("DROP DATABASE IF EXISTS `forms`").await?;
    conn.query_drop("CREATE DATABASE `forms`").await?;
    conn.query_drop(&work.create).await?;
    stage::write_out(conn).await?;
    stage::sync().await?;
    let table = work.table.clone();
    let cpu = || measure::cpu_of(server.pid()).unwrap_or(f64::NAN);
    let (begun, cpu_before) = (std::time::Instant::now(), cpu());
    work.send(conn).await?;
    let (wall, cpu) = (begun.elapsed(), cpu() - cpu_before);
    let count: Option<u64> = conn.query_first(format!("SELECT COUNT(*) FROM {table}")).await?;
    let sum: Option<(String, u64)> = conn.query_first(format!("CHECKSUM TABLE {table}")).await?;
    let (Some(count), Some((_, sum))) = (count, sum) else {
        return Err(failure("the table can't be read", "run it again and report it"));
    };
    if count != rows {
        return Err(failure(
            format!("{} as {form:?}: {count} rows of {rows} arrived", kind.sql),
            "its time would mean nothing: find out why first",
        ));
    }
    Ok((wall, cpu, (count, sum)))
}
