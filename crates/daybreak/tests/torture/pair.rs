//! A pair of servers with every case that it has: what must be refused is refused first, by name; the
//! rest is moved by the plan's own steps and looked at on both sides.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use daybreak::{
    config::{Config, Overrides, VerifyConfig, VerifyMode},
    engine::{
        Context, Entry, Finding, Journal, ReplicationMode, Route, Runner, Severity, StopSignal,
    },
    error::Kind,
    event::Events,
    mysql::ServerUrl,
    route,
    select::Selection,
    sync::verify::{Liveness, Verdict, compare},
};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable as _};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::{
    GROUPS,
    case::{Case, M56, M97, MARIA, Way},
    look::{contents, quoted, tables},
};

/// Where cases are that the target can't hold.
const REFUSED: &str = "refused";

/// How rows are cut: so that tables of 400 rows have several chunks, of the copy and of the verification.
const CHUNK_BYTES: u64 = 4096;
const CHUNK_ROWS: u64 = 61;

fn product(bit: u8) -> Product {
    match bit {
        M97 => Product::Mysql97,
        M56 => Product::Mysql56,
        _ => Product::Mariadb1011,
    }
}

/// A case and the database that it is in.
type Placed = (&'static str, &'static Case);

/// Moves every case that a way has.
pub async fn run(way: Way) {
    let options = |bit, role| {
        let options = ServerOptions::new(product(bit), role)
            .gtid(false)
            .durable(false)
            .buffer_pool_mib(64)
            .redo_log_mib(128)
            .arg("--max-allowed-packet=4M");
        // Old tables may have long keys and every format only so.
        match bit {
            M56 => options
                .arg("--innodb-file-format=Barracuda")
                .arg("--innodb-large-prefix=1")
                .arg("--innodb-log-file-size=128M"),
            _ => options,
        }
    };
    let (source, target) = tokio::try_join!(
        Server::start(options(way.from, Role::Source)),
        Server::start(options(way.to, Role::AuroraStandin)),
    )
    .unwrap();
    let mut here = connect(&source, way.from).await;
    let mut there = connect(&target, way.to).await;

    let cases: Vec<Placed> = GROUPS
        .iter()
        .flat_map(|(group, cases)| cases.iter().map(move |case| (*group, case)))
        .collect();
    let (has, lacks): (Vec<Placed>, Vec<Placed>) =
        cases.into_iter().partition(|(_, case)| case.on & way.from != 0);
    let by = |case: &Case, word: &str| case.refusal(way).is_some_and(|by| by.starts_with(word));
    let (late, has): (Vec<Placed>, Vec<Placed>) =
        has.into_iter().partition(|(_, case)| by(case, "rows "));
    let (refused, moved): (Vec<Placed>, Vec<Placed>) =
        has.into_iter().partition(|(_, case)| case.refusal(way).is_some() && !by(case, "warning "));
    eprintln!(
        "{way:?}: {} moved, {} refused, not there: {}",
        moved.len(),
        refused.len(),
        lacks
            .iter()
            .map(|(group, case)| format!("{group}.{}", case.name))
            .collect::<Vec<_>>()
            .join(", ")
    );

    let late_databases: Vec<String> = (0..late.len()).map(|n| format!("late_{n}")).collect();
    let groups: BTreeSet<&str> = moved.iter().map(|(group, _)| *group).collect();
    let own = late_databases.iter().map(String::as_str).chain(["elsewhere", REFUSED]);
    for database in groups.iter().copied().chain(own) {
        run_sql(
            &mut here,
            &format!(
                "CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci"
            ),
        )
        .await;
    }
    run_sql(&mut here, "CREATE TABLE elsewhere.numbers (n INT PRIMARY KEY)").await;
    let numbers: Vec<String> = (1..=400).map(|n| format!("({n})")).collect();
    run_sql(&mut here, &format!("INSERT INTO elsewhere.numbers VALUES {}", numbers.join(",")))
        .await;
    let mut wrong = Vec::new();
    for (group, case) in &moved {
        wrong.extend(create(&mut here, group, case).await);
    }
    for (_, case) in &refused {
        wrong.extend(create(&mut here, REFUSED, case).await);
    }
    for (database, (_, case)) in late_databases.iter().zip(&late) {
        wrong.extend(create(&mut here, database, case).await);
    }
    assert!(wrong.is_empty(), "{way:?}: at the source\n{}", wrong.join("\n"));

    let urls = (source.root_url(), target.admin_url());
    named_before_a_row_moves(way, &urls, &refused, &mut there).await;
    for (database, (_, case)) in late_databases.iter().zip(&late) {
        refused_by_the_copy(way, &urls, database, case).await;
    }
    moves(way, &urls, &moved, (&mut here, &mut there)).await;
}

/// A case of which only its rows tell that it can't be carried stops the copy, by its name.
async fn refused_by_the_copy(way: Way, urls: &(String, String), database: &str, case: &Case) {
    let directory = tempfile::tempdir().unwrap();
    let config = config(urls, &[database.to_string()]);
    let (runner, _, _) = migration(directory.path(), config).await;
    let error = runner.run(Some("objects"), false).await.expect_err("refused, and yet it ran");
    let wanted = case.refusal(way).and_then(|by| by.strip_prefix("rows ")).unwrap_or_default();
    assert!(
        matches!(error.kind(), Kind::Unsupported | Kind::Different | Kind::NotExact),
        "{error}"
    );
    assert!(error.what().contains(wanted), "{error}");
    assert!(error.place().is_some_and(|place| place.contains(case.table)), "{error}");
    runner.undo(None).await.unwrap();
}

async fn connect(server: &Server, bit: u8) -> Conn {
    // Rows are larger than what the server takes for a packet.
    let url = Opts::from_url(&server.root_url()).unwrap();
    let options = OptsBuilder::from_opts(url).max_allowed_packet(Some(1 << 30));
    let mut conn = Conn::new(options).await.unwrap();
    let gipk = if bit == M97 { ", sql_generate_invisible_primary_key = OFF" } else { "" };
    run_sql(
        &mut conn,
        &format!(
            "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
             time_zone = '+00:00'{gipk}"
        ),
    )
    .await;
    run_sql(&mut conn, "SET NAMES utf8mb4").await;
    conn
}

async fn run_sql(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql:.300}: {error}"));
}

/// Makes a case's table. Returns what is wrong with it.
async fn create(conn: &mut Conn, database: &str, case: &Case) -> Option<String> {
    let analyze = if case.cut { "ANALYZE TABLE {t}" } else { "DO 0" };
    for sql in case.sql.iter().chain(&[analyze]) {
        let sql = case.fill(database, sql);
        if let Err(error) = conn.query_drop(&sql).await {
            return Some(format!("{}: {sql:.300}: {error}", case.name));
        }
    }
    let rows = count(conn, database, case).await;
    (rows != case.rows).then(|| format!("{}: {rows} rows", case.name))
}

async fn count(conn: &mut Conn, database: &str, case: &Case) -> u64 {
    let sql = case.fill(database, "SELECT COUNT(*) FROM {t}");
    conn.query_first(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap()
}

fn config((source, target): &(String, String), databases: &[String]) -> Config {
    let overrides = Overrides {
        source: Some(source.clone()),
        target: Some(target.clone()),
        threads: Some(2),
        ..Overrides::default()
    };
    let mut config = Config::from_overrides(&overrides).unwrap();
    config.select = Selection { databases: databases.to_vec(), ..Selection::default() };
    config.replication.mode = ReplicationMode::None;
    config.copy.chunk_bytes = CHUNK_BYTES;
    config
}

/// A migration in a directory of its own: what runs it, and what was found beforehand.
async fn migration(directory: &Path, config: Config) -> (Runner, Vec<Finding>, Arc<Journal>) {
    let (plan, assessment) =
        route::make_plan(&config, Route::Logical, &Events::nowhere()).await.unwrap();
    let steps = route::steps(&plan);
    let journal = Arc::new(Journal::open(directory).unwrap());
    journal.append(Entry::Planned { plan: Box::new(plan), consent: false }).unwrap();
    let context = Context {
        config,
        directory: directory.to_path_buf(),
        journal: journal.clone(),
        events: Events::nowhere(),
        stop: StopSignal::default(),
        write_lock: tokio::sync::Mutex::new(None),
    };
    (Runner::new(Arc::new(context), steps).unwrap(), assessment.findings, journal)
}

/// Every case that the target can't hold stops the migration, each by its own finding, before the
/// target has anything.
async fn named_before_a_row_moves(
    way: Way,
    urls: &(String, String),
    refused: &[Placed],
    there: &mut Conn,
) {
    let directory = tempfile::tempdir().unwrap();
    let config = config(urls, &[REFUSED.to_string(), "elsewhere".to_string()]);
    let (runner, findings, _) = migration(directory.path(), config).await;
    let mut missed = Vec::new();
    for (_, case) in refused {
        let id = case.refusal(way).unwrap_or_default();
        let named = findings.iter().any(|finding| {
            finding.id == id
                && finding.severity == Severity::Blocker
                && names(finding, REFUSED, case)
        });
        if !named {
            missed.push(format!("{} by {id}", case.name));
        }
    }
    let told: Vec<String> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Blocker)
        .map(|finding| format!("{}: {:?}", finding.id, finding.objects))
        .collect();
    assert!(missed.is_empty(), "{way:?}: not named: {missed:#?}\nof {told:#?}");
    if refused.is_empty() {
        return;
    }
    let error = runner.run(Some("objects"), false).await.expect_err("refused, and yet it ran");
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    let touched: Vec<String> = there
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('refused', 'elsewhere', 'daybreak')")
        .await
        .unwrap();
    assert!(touched.is_empty(), "{touched:?}");
}

/// Whether one of a finding's objects is the table or a part of it.
fn names(finding: &Finding, database: &str, case: &Case) -> bool {
    let table = format!("{database}.{}", case.table);
    finding.objects.iter().any(|object| {
        object.match_indices(&table).any(|(at, _)| {
            let behind = object[at + table.len()..].chars().next();
            behind.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    })
}

/// Everything that can be moved arrives as it was.
async fn moves(
    way: Way,
    urls: &(String, String),
    moved: &[Placed],
    (here, there): (&mut Conn, &mut Conn),
) {
    let mut databases: BTreeSet<String> =
        moved.iter().map(|(group, _)| (*group).to_string()).collect();
    databases.insert("elsewhere".to_string());
    let databases: Vec<String> = databases.into_iter().collect();
    let directory = tempfile::tempdir().unwrap();
    let config = config(urls, &databases);
    let (runner, findings, journal) = migration(directory.path(), config.clone()).await;
    let blockers: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
    assert!(blockers.is_empty(), "{way:?}: {blockers:#?}");
    for (group, case) in moved {
        if let Some(id) = case.refusal(way).and_then(|id| id.strip_prefix("warning ")) {
            let told =
                findings.iter().any(|finding| finding.id == id && names(finding, group, case));
            assert!(told, "{}: no {id}", case.name);
        }
    }
    runner.run(Some("objects"), false).await.unwrap_or_else(|error| panic!("{way:?}: {error:?}"));

    let mut wrong = Vec::new();
    if way.from == M97 {
        wrong.extend(read_too_often(here, moved).await);
    }
    for (group, case) in moved {
        let rows = count(there, group, case).await;
        if rows != case.rows {
            wrong.push(format!("{group}.{}: {rows} rows", case.name));
        }
        let warned = case.refusal(way).is_some();
        for holds in case.holds {
            for (conn, side) in [(&mut *here, "source"), (&mut *there, "target")] {
                if side == "target" && warned {
                    continue;
                }
                let sql = case.fill(group, holds);
                let held: Option<Option<i64>> =
                    conn.query_first(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
                if held.flatten() != Some(1) {
                    wrong.push(format!("{group}.{}, {side}: {holds}", case.name));
                }
            }
        }
    }
    let mut looked_at = 0;
    for database in &databases {
        let ours = tables(here, database).await;
        let theirs = tables(there, database).await;
        if ours != theirs {
            wrong.push(format!("{database}: {ours:?} became {theirs:?}"));
        }
        for table in &ours {
            looked_at += 1;
            let a = contents(here, database, table, way.to != MARIA).await;
            let b = contents(there, database, table, way.to != MARIA).await;
            if a != b {
                let first = a.rows.iter().zip(&b.rows).find(|(a, b)| a != b);
                wrong
                    .push(format!("{database}.{table}: {first:?} {:?} {:?}", a.columns, b.columns));
            }
            if way.from == way.to {
                let a = definition(here, database, table).await;
                let b = definition(there, database, table).await;
                if a != b
                    && !a.contains("ENGINE=MyISAM")
                    && !a.contains("ENGINE=MEMORY")
                    && !a.contains("ENGINE=ARCHIVE")
                {
                    wrong.push(format!("{database}.{table}: {a}\nbecame {b}"));
                }
            }
        }
    }
    assert!(looked_at > moved.len(), "{looked_at} of {}", moved.len());
    let counted = journal.tables().unwrap();
    for (group, case) in moved.iter().filter(|(_, case)| case.cut) {
        let chunks: Option<u64> = there
            .exec_first(
                "SELECT COUNT(*) FROM daybreak.chunks WHERE table_schema = ? AND table_name = ?",
                (group, case.table),
            )
            .await
            .unwrap();
        if chunks.unwrap_or_default() < 3 {
            wrong.push(format!("{group}.{}: {chunks:?} chunks", case.name));
        }
    }
    assert_eq!(counted.len(), looked_at, "tables in the journal");
    verified(way, urls, &config.select, looked_at, &mut wrong).await;
    assert!(wrong.is_empty(), "{way:?}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// The tables of which more was read than a few times their rows: ranges of them were looked for by going
/// through all of it.
async fn read_too_often(conn: &mut Conn, moved: &[Placed]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (group, case) in moved.iter().filter(|(_, case)| case.cut) {
        let read: Option<u64> = conn
            .exec_first(
                "SELECT COUNT_FETCH FROM performance_schema.table_io_waits_summary_by_table \
                 WHERE OBJECT_SCHEMA = ? AND OBJECT_NAME = ?",
                (group, case.table),
            )
            .await
            .unwrap();
        let read = read.unwrap_or_default();
        if read == 0 || read > 8 * case.rows {
            wrong.push(format!("{group}.{}: {read} rows read of {}", case.name, case.rows));
        }
    }
    wrong
}

async fn definition(conn: &mut Conn, database: &str, table: &str) -> String {
    let sql = format!("SHOW CREATE TABLE {}.{}", quoted(database), quoted(table));
    let (_, text): (Vec<u8>, Vec<u8>) = conn.query_first(&sql).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

/// All modes of the verification say that each table is equal.
async fn verified(
    way: Way,
    (source, target): &(String, String),
    selection: &Selection,
    tables: usize,
    wrong: &mut Vec<String>,
) {
    let urls = [source, target].map(|url| ServerUrl::parse(url).unwrap());
    for mode in [VerifyMode::Checksum, VerifyMode::Full, VerifyMode::Count] {
        let config = VerifyConfig {
            mode,
            threads: 2,
            chunk_rows: CHUNK_ROWS,
            recheck: std::time::Duration::from_secs(60),
        };
        let (events, stop) = (Events::nowhere(), StopSignal::default());
        let report =
            compare(&urls[0], &urls[1], selection, &config, Liveness::Still, &events, &stop)
                .await
                .unwrap_or_else(|error| panic!("{way:?}: {error:?}"));
        if report.tables.len() != tables {
            wrong.push(format!("{mode:?}: {} of {tables} tables", report.tables.len()));
        }
        for verdict in &report.tables {
            if verdict.verdict != Verdict::Equal {
                wrong.push(format!("{mode:?}: {verdict:?}"));
            }
        }
        if !report.is_equal() {
            wrong.push(format!("{mode:?}: {:#?}", report.first_differences(30)));
        }
    }
}
