//! A 5.6 source, a 9.7 stand-in, the program's verbs, and a comparison of both sides that shares no
//! code with daybreak: each server prints its own rows, and says its definitions in `information_schema`. (The
//! `mysqldump` of 9.7 can't log in to 5.6.)

use std::{collections::BTreeMap, path::Path};

use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use crate::support::{Pair, connect, daybreak, output, said};

/// The application's account; accounts aren't migrated, so it is on both sides.
const APP: &str = "app:Owner-of-the-shop-1";

/// A 5.6 source as it comes, and a stand-in that takes transactions without GTIDs.
pub async fn start() -> Pair {
    start_with(|target| target).await
}

/// The same, with a target set up otherwise.
pub async fn start_with(adjust: impl FnOnce(ServerOptions) -> ServerOptions) -> Pair {
    let source =
        ServerOptions::new(Product::Mysql56, Role::Source).durable(false).buffer_pool_mib(64);
    let target = ServerOptions::new(Product::Mysql97, Role::AuroraStandin)
        .gtid(false)
        .durable(false)
        .buffer_pool_mib(64)
        .redo_log_mib(64)
        .arg("--gtid-mode=OFF_PERMISSIVE");
    let (source, target) = tokio::join!(Server::start(source), Server::start(adjust(target)));
    let pair = Pair { source: source.unwrap(), target: target.unwrap() };
    let (user, password) = APP.split_once(':').unwrap();
    let mut root = pair.source_root().await;
    // At `localhost` too: 5.6 comes with an anonymous account, which catches logins from there.
    for statement in [
        "SET sql_log_bin = 0".to_string(),
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
        format!("CREATE USER '{user}'@'localhost' IDENTIFIED BY '{password}'"),
        format!("GRANT ALL ON shop.* TO '{user}'@'%'"),
        format!("GRANT ALL ON shop.* TO '{user}'@'localhost'"),
        "SET GLOBAL log_bin_trust_function_creators = 1".to_string(),
    ] {
        root.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let mut root = pair.target_root().await;
    for statement in [
        "SET sql_log_bin = 0".to_string(),
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
        format!("GRANT ALL ON shop.* TO '{user}'@'%'"),
    ] {
        root.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    pair
}

/// The application's way to a server.
pub fn app_url(server: &Server) -> String {
    format!("mysql://{APP}@127.0.0.1:{}/", server.port())
}

/// Runs the program and insists on its exit code; returns all that it said.
pub async fn says(directory: &Path, arguments: &[&str], exit: i32) -> String {
    let ended = output(daybreak(directory, arguments)).await;
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(exit), "{arguments:?}: {text}");
    text
}

/// What `assess --json` finds, by id.
pub async fn findings(directory: &Path, exit: i32) -> BTreeMap<String, serde_json::Value> {
    let ended = output(daybreak(directory, &["assess", "--json"])).await;
    assert_eq!(ended.status.code(), Some(exit), "{}", said(&ended));
    let document: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let list = document["findings"].as_array().unwrap();
    list.iter().map(|one| (one["id"].as_str().unwrap().to_string(), one.clone())).collect()
}

/// Runs statements.
pub async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Insists that a database is the same on both sides: every row, every definition.
pub async fn assert_equal(pair: &Pair, database: &str) {
    let source = rows(&mut pair.source_root().await, database).await;
    let target = rows(&mut pair.target_root().await, database).await;
    assert!(source.len() > 10, "{database} is empty");
    assert_same(&source, &target, &format!("the rows of {database}"));
    let source = definitions(&mut pair.source_root().await, database).await;
    let target = definitions(&mut pair.target_root().await, database).await;
    assert_same(&source, &target, &format!("the definitions of {database}"));
}

fn assert_same(source: &BTreeMap<String, usize>, target: &BTreeMap<String, usize>, what: &str) {
    let only = |sign: char, a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
        a.iter()
            .filter(|(line, count)| b.get(*line) != Some(count))
            .map(|(line, count)| {
                format!("{sign} {count}x {}", line.chars().take(400).collect::<String>())
            })
            .take(20)
            .collect::<Vec<_>>()
    };
    let mut lines = only('-', source, target);
    lines.extend(only('+', target, source));
    assert!(lines.is_empty(), "{what} differ:\n{}", lines.join("\n"));
}

/// Every row of every table as the server itself prints it, in hexadecimal, with how often it stands.
async fn rows(root: &mut Conn, database: &str) -> BTreeMap<String, usize> {
    // No character set of a client comes between, and a TIMESTAMP is in one zone on both sides.
    run(root, &["SET NAMES binary", "SET time_zone = '+00:00'"]).await;
    let columns: Vec<(String, String, String)> = root
        .exec(
            "SELECT table_name, column_name, data_type FROM information_schema.COLUMNS JOIN information_schema.TABLES t \
             USING (table_schema, table_name) WHERE table_schema = ? AND t.table_type = 'BASE TABLE' \
             ORDER BY table_name, ordinal_position",
            (database,),
        )
        .await
        .unwrap();
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column, kind) in columns {
        let name = quoted(&column);
        // The bytes of a FLOAT or DOUBLE, which 5.6 and 9.7 print otherwise. HEX of a number is its integer.
        let value = match &*kind {
            "float" | "double" => format!("HEX(POINT({name}, 0))"),
            _ => format!("HEX(CAST({name} AS BINARY))"),
        };
        let text = format!("CONCAT({}, IFNULL({value}, 'NULL'))", literal(&format!("{column}=")));
        tables.entry(table).or_default().push(text);
    }
    let mut lines = BTreeMap::new();
    for (table, values) in tables {
        let from = format!("{}.{}", quoted(database), quoted(&table));
        let sql = format!("SELECT CONCAT_WS(' ', {}) FROM {from}", values.join(", "));
        let found: Vec<Vec<u8>> = root.query(sql).await.unwrap();
        for row in found {
            let line = format!("{table}: {}", String::from_utf8_lossy(&row));
            *lines.entry(line).or_default() += 1;
        }
    }
    run(root, &["SET NAMES utf8mb4"]).await;
    lines
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Everything that `information_schema` says of a database, in words that both versions share.
async fn definitions(root: &mut Conn, database: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (what, sql) in [
        (
            "database",
            "SELECT CONCAT_WS(' ', default_character_set_name, default_collation_name) FROM information_schema.SCHEMATA WHERE schema_name = ?",
        ),
        (
            "table",
            "SELECT CONCAT_WS(' ', table_name, table_type, engine, table_collation, table_comment) FROM information_schema.TABLES WHERE table_schema = ?",
        ),
        (
            "column",
            "SELECT CONCAT_WS(' ', table_name, column_name, ordinal_position, IFNULL(column_default, '(none)'), is_nullable, column_type, \
             character_set_name, collation_name, extra, column_comment) FROM information_schema.COLUMNS c WHERE table_schema = ? AND NOT EXISTS \
             (SELECT 1 FROM information_schema.VIEWS v WHERE v.table_schema = c.table_schema AND v.table_name = c.table_name)",
        ),
        (
            "index",
            "SELECT CONCAT_WS(' ', table_name, index_name, non_unique, seq_in_index, column_name, IF(index_type = 'SPATIAL', '', sub_part), index_type, index_comment) \
             FROM information_schema.STATISTICS WHERE table_schema = ?",
        ),
        (
            "key",
            "SELECT CONCAT_WS(' ', constraint_name, table_name, column_name, ordinal_position, referenced_table_name, referenced_column_name) \
             FROM information_schema.KEY_COLUMN_USAGE WHERE table_schema = ?",
        ),
        (
            "rule",
            "SELECT CONCAT_WS(' ', constraint_name, table_name, referenced_table_name, REPLACE(update_rule, 'RESTRICT', 'NO ACTION'), REPLACE(delete_rule, 'RESTRICT', 'NO ACTION')) \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE constraint_schema = ?",
        ),
        (
            "partition",
            "SELECT CONCAT_WS(' ', table_name, partition_name, partition_method, partition_description) \
             FROM information_schema.PARTITIONS WHERE partition_name IS NOT NULL AND table_schema = ?",
        ),
        (
            "view",
            "SELECT CONCAT_WS(' ', table_name, check_option, security_type, is_updatable) FROM information_schema.VIEWS WHERE table_schema = ?",
        ),
        (
            "routine",
            "SELECT CONCAT_WS(' ', routine_name, routine_type, is_deterministic, sql_data_access, security_type, sql_mode, routine_comment, dtd_identifier, routine_definition) \
             FROM information_schema.ROUTINES WHERE routine_schema = ?",
        ),
        (
            "parameter",
            "SELECT CONCAT_WS(' ', specific_name, ordinal_position, parameter_mode, parameter_name, dtd_identifier) FROM information_schema.PARAMETERS WHERE specific_schema = ?",
        ),
        (
            "trigger",
            "SELECT CONCAT_WS(' ', trigger_name, event_object_table, action_timing, event_manipulation, sql_mode, action_statement) FROM information_schema.TRIGGERS WHERE trigger_schema = ?",
        ),
        (
            "event",
            "SELECT CONCAT_WS(' ', event_name, event_type, interval_value, interval_field, on_completion, status, starts, sql_mode, event_comment, event_definition) FROM information_schema.EVENTS WHERE event_schema = ?",
        ),
    ] {
        let found: Vec<Option<String>> =
            root.exec(sql, (database,)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        for text in found.into_iter().flatten() {
            *lines.entry(format!("{what} {}", in_shared_words(&text))).or_default() += 1;
        }
    }
    lines
}

/// What 8.0 and later print otherwise: no display width, `utf8mb3`, no modes that are gone.
fn in_shared_words(text: &str) -> String {
    let width =
        regex_lite::Regex::new(r"\b(tinyint|smallint|mediumint|int|bigint|year)\((\d+)\)").unwrap();
    let utf8 = regex_lite::Regex::new(r"\butf8(_\w+)?\b").unwrap();
    let text = width.replace_all(text, |found: &regex_lite::Captures<'_>| match &found[0] {
        "tinyint(1)" => found[0].to_string(),
        _ => found[1].to_string(),
    });
    let text = utf8.replace_all(&text, |found: &regex_lite::Captures<'_>| {
        format!("utf8mb3{}", found.get(1).map_or("", |rest| rest.as_str()))
    });
    let text = text.replace("DEFAULT_GENERATED ", "").replace("DEFAULT_GENERATED", "");
    let gone =
        "(NO_AUTO_CREATE_USER|NO_FIELD_OPTIONS|NO_KEY_OPTIONS|NO_TABLE_OPTIONS|MYSQL40|POSTGRESQL)";
    let behind = regex_lite::Regex::new(&format!(",{gone}\\b")).unwrap();
    let before = regex_lite::Regex::new(&format!("\\b{gone},?")).unwrap();
    before.replace_all(&behind.replace_all(&text, ""), "").into_owned()
}

/// A connection of the application.
pub async fn app(server: &Server) -> Conn {
    connect(&app_url(server)).await
}
