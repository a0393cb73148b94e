//! What the tests of pairs share: servers of any two products, the shop and its owner on both, the load
//! writer, and a comparison by content that knows nothing of daybreak: every row of every table, read
//! over the binary protocol from both sides.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use mysql_async::{Conn, Row, Value, prelude::Queryable as _};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{self, ShopOptions},
    writer::{self, WriterHandle, WriterOptions, WriterSpawn},
};

use super::support::{Pair, connect, daybreak, output, said, split};

/// How long anything that is waited for may take: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(180);

const OWNER: &str = "Owner-of-the-shop-1";

/// A source of one product and an Aurora stand-in of another, both small; `databases` belong to the
/// account `owner` on both sides.
pub async fn servers(source: Product, target: Product, databases: &[&str]) -> Pair {
    let to_mariadb = target == Product::Mariadb1011;
    let wish = |product, role| {
        // A source keeps its place by file and offset, or there is no replication at all.
        let wish = ServerOptions::new(product, role)
            .gtid(false)
            .durable(false)
            .buffer_pool_mib(64)
            .redo_log_mib(64);
        match product == Product::Mysql97 && to_mariadb {
            // One that MariaDB has too: the default isn't.
            true => wish.arg("--collation-server=utf8mb4_unicode_520_ci"),
            false => wish,
        }
    };
    let (source, target) = tokio::try_join!(
        Server::start(wish(source, Role::Source)),
        Server::start(wish(target, Role::AuroraStandin)),
    )
    .unwrap();
    for server in [&source, &target] {
        let mut root = connect(&server.root_url()).await;
        root.query_drop("SET sql_log_bin = 0").await.unwrap();
        root.query_drop(format!("CREATE USER 'owner'@'%' IDENTIFIED BY '{OWNER}'")).await.unwrap();
        if server.binaries().product == Product::Mysql97 {
            // For tables with a generated invisible primary key.
            root.query_drop("GRANT SESSION_VARIABLES_ADMIN ON *.* TO 'owner'@'%'").await.unwrap();
        }
        for database in databases {
            root.query_drop(format!("GRANT ALL ON {database}.* TO 'owner'@'%'")).await.unwrap();
        }
        root.query_drop("SET GLOBAL log_bin_trust_function_creators = 1").await.unwrap();
    }
    Pair { source, target }
}

/// The URL of the account that owns the databases.
pub fn owner(server: &Server) -> String {
    format!("mysql://owner:{OWNER}@127.0.0.1:{}/", server.port())
}

/// Fills the source with a shop that both products can hold.
pub async fn fill_shop(pair: &Pair, rows: u64, seed: u64) {
    let options = ShopOptions { rows, seed, portable: true, ..ShopOptions::default() };
    shop::generate(&owner(&pair.source), &options, |_, _| {}).await.unwrap();
}

/// Runs statements at the source as the owner.
pub async fn at_source(pair: &Pair, statements: &[&str]) {
    let mut owner = connect(&owner(&pair.source)).await;
    for statement in statements {
        owner.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Starts the writer on the source, and returns when it has written.
pub async fn start_writer(pair: &Pair, directory: &Path, rate: f64) -> WriterHandle {
    let mut options = WriterOptions::new(directory.join("writer"));
    options.rate = rate;
    let writer = WriterHandle::spawn(WriterSpawn {
        exe: Path::new(env!("CARGO_BIN_EXE_daybreak")),
        args: &["rehearsal-writer", "--"],
        url: &owner(&pair.source),
        options,
    })
    .unwrap();
    writer
        .wait_until("commits on the source", PATIENCE, |status| status.committed >= 50)
        .await
        .unwrap();
    writer
}

/// Sends the writer to the target, lets it write there, and proves that every commit that was ever
/// acknowledged is there. Returns how many.
pub async fn move_writer(pair: &Pair, writer: &WriterHandle) -> u64 {
    writer.set_url(&owner(&pair.target)).unwrap();
    let target = format!("127.0.0.1:{}", pair.target.port());
    writer
        .wait_until("commits on the target", PATIENCE, |status| {
            status.by_endpoint.get(&target).is_some_and(|commits| *commits >= 20)
        })
        .await
        .unwrap();
    writer.stop().await.unwrap();
    let report = writer::check(&pair.target.root_url(), &writer.ledger()).await.unwrap();
    assert!(report.is_ok(), "{report}");
    report.acknowledged
}

/// Runs a verb, which must end with this code.
pub async fn verb(directory: &Path, arguments: &[&str], code: i32) -> Output {
    let output = output(daybreak(directory, arguments)).await;
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    output
}

/// Compares both sides by hand, which must find them equal.
pub async fn verify(pair: &Pair) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.arg("verify").stdin(Stdio::null());
    for (option, variable, url) in [
        ("--source", "DAYBREAK_SOURCE_PASSWORD", pair.source.root_url()),
        ("--target", "DAYBREAK_TARGET_PASSWORD", pair.target.admin_url()),
    ] {
        let (plain, password) = split(&url);
        command.arg(option).arg(plain).env(variable, password);
    }
    let output = output(command).await;
    assert!(output.status.success(), "{}", said(&output));
}

/// The one JSON document that a verb printed.
pub fn document(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// The findings of one severity: id and the rest.
pub fn findings(assessment: &serde_json::Value, severity: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    assessment["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == severity)
        .map(|finding| {
            let rest = format!(
                "{} [{}] {}",
                text(&finding["why"]),
                finding["objects"],
                text(&finding["remedy"])
            );
            (text(&finding["id"]), rest)
        })
        .collect()
}

/// Assesses a pair; blockers by id, each with its words.
pub async fn blockers(directory: &Path) -> Vec<(String, String)> {
    let assessed = output(daybreak(directory, &["assess", "--json"])).await;
    let found = findings(&document(&assessed), "blocker");
    let code = if found.is_empty() { 0 } else { 3 };
    assert_eq!(assessed.status.code(), Some(code), "{}", said(&assessed));
    found
}

/// Every row of a table, as often as it is there.
type Rows = BTreeMap<String, usize>;

/// What a side holds: rows by table; views, routines, triggers and events by name.
#[derive(Debug, PartialEq)]
pub struct Contents {
    pub tables: BTreeMap<String, Rows>,
    pub objects: Vec<String>,
}

/// Reads a database of one side, as root. `signed_zero`: whether -0 is told from 0, which MariaDB doesn't have.
pub async fn contents(url: &str, database: &str, signed_zero: bool) -> Contents {
    let mut conn = connect(url).await;
    for statement in ["SET character_set_results = NULL", "SET time_zone = '+00:00'"] {
        conn.query_drop(statement).await.unwrap();
    }
    let named: Vec<Vec<u8>> = conn
        .exec(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE'",
            (database,),
        )
        .await
        .unwrap();
    let mut tables = BTreeMap::new();
    for table in named {
        let table = String::from_utf8(table).unwrap();
        let columns: Vec<Vec<u8>> = conn
            .exec(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
                 ORDER BY ORDINAL_POSITION",
                (database, &table),
            )
            .await
            .unwrap();
        let columns: Vec<String> = columns
            .into_iter()
            .map(|name| format!("`{}`", String::from_utf8(name).unwrap().replace('`', "``")))
            .collect();
        let sql = format!(
            "SELECT {} FROM `{database}`.`{}`",
            columns.join(", "),
            table.replace('`', "``")
        );
        let rows: Vec<Row> = conn.exec(sql, ()).await.unwrap();
        let mut counted = Rows::new();
        for row in rows {
            let values: Vec<String> =
                row.unwrap().iter().map(|one| value(one, signed_zero)).collect();
            *counted.entry(values.join(" | ")).or_default() += 1;
        }
        tables.insert(table, counted);
    }
    Contents { tables, objects: objects(&mut conn, database).await }
}

/// A value in one spelling for all servers: numbers as numbers, fractions by their bits.
fn value(value: &Value, signed_zero: bool) -> String {
    match value {
        Value::Float(number) if *number == 0.0 && !signed_zero => "f0".to_string(),
        Value::Double(number) if *number == 0.0 && !signed_zero => "d0".to_string(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => format!("f{:08x}", number.to_bits()),
        Value::Double(number) => format!("d{:016x}", number.to_bits()),
        Value::Bytes(bytes) => {
            // Long ones by a checksum of the test's own.
            let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).into_owned();
            format!("{}:{sum:016x}:{head:?}", bytes.len())
        }
        other => format!("{other:?}"),
    }
}

async fn objects(conn: &mut Conn, database: &str) -> Vec<String> {
    let named: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = conn
        .exec(
            "SELECT CAST('view' AS BINARY), CAST(TABLE_NAME AS BINARY), CAST(CHECK_OPTION AS BINARY) \
               FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? \
             UNION ALL SELECT CAST(ROUTINE_TYPE AS BINARY), CAST(ROUTINE_NAME AS BINARY), CAST(ROUTINE_DEFINITION AS BINARY) \
               FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? \
             UNION ALL SELECT CAST('trigger' AS BINARY), CAST(TRIGGER_NAME AS BINARY), CAST(ACTION_STATEMENT AS BINARY) \
               FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? \
             UNION ALL SELECT CAST('event' AS BINARY), CAST(EVENT_NAME AS BINARY), CAST(EVENT_DEFINITION AS BINARY) \
               FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 1, 2",
            (database, database, database, database),
        )
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    named
        .into_iter()
        .map(|(kind, name, body)| format!("{} {}: {}", text(kind), text(name), text(body)))
        .collect()
}

/// Both sides hold the same rows and objects of a database; how many rows.
pub async fn assert_same(pair: &Pair, database: &str) -> usize {
    let signed_zero = pair.target.binaries().product != Product::Mariadb1011;
    assert_same_at(&pair.source.root_url(), &pair.target.root_url(), database, signed_zero).await
}

/// The same, of any two servers, by URLs of accounts that may read everything.
pub async fn assert_same_at(
    source: &str,
    target: &str,
    database: &str,
    signed_zero: bool,
) -> usize {
    let (source, target) = tokio::join!(
        contents(source, database, signed_zero),
        contents(target, database, signed_zero)
    );
    assert_eq!(source.objects, target.objects, "objects of {database}");
    let names = |contents: &Contents| contents.tables.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&source), names(&target), "tables of {database}");
    let mut total = 0;
    for (table, ours) in &source.tables {
        let theirs = &target.tables[table];
        let only = |a: &Rows, b: &Rows| -> Vec<String> {
            a.iter()
                .filter(|(row, n)| b.get(*row) != Some(n))
                .map(|(r, n)| format!("{n}x {r}"))
                .take(5)
                .collect()
        };
        let (lost, odd) = (only(ours, theirs), only(theirs, ours));
        assert!(
            lost.is_empty() && odd.is_empty(),
            "{database}.{table}: source {lost:#?}, target {odd:#?}"
        );
        total += ours.values().sum::<usize>();
    }
    total
}
