//! Copies of the rows that a condition takes: cut off, gone on with, and compared with all that the target
//! has.

use daybreak::{
    config::{Config, VerifyMode},
    engine::StopSignal,
    error::Kind,
    event::Events,
    mysql::{Catalog, Session},
    select::Selection,
    sync::verify::{self, Liveness, VerifyReport},
};

use rehearsal::server::Product;

use super::harness::{Pair, cut_off};

/// Ranges and the condition together; names of the table and of others, and what would go wrong unless
/// it stood in parentheses.
const KEYED: &str = "keyed.v LIKE 'x%' AND filters.keyed.id % 3 = 0 OR v = 'it''s (:this'";
const KEYLESS: &str = "a IN (SELECT n FROM filters.wanted AS w WHERE w.n = keyless.a)";
const DOCUMENTS: &str = "documents.id > 2";

fn filtered(pair: &Pair) -> Config {
    let mut config = pair.config("filters");
    config.select = config
        .select
        .filtered([
            ("filters.keyed", KEYED),
            ("filters.keyless", KEYLESS),
            ("filters.documents", DOCUMENTS),
        ])
        .unwrap();
    config
}

async fn tables(pair: &Pair) {
    pair.on_source(&[
        "SET SESSION cte_max_recursion_depth = 100000",
        "CREATE DATABASE filters",
        "CREATE TABLE filters.wanted (n INT PRIMARY KEY)",
        "INSERT INTO filters.wanted VALUES (1), (3)",
        "CREATE TABLE filters.keyed (id INT PRIMARY KEY, v VARCHAR(200))",
        "INSERT INTO filters.keyed WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
         SELECT n, IF(n % 2, REPEAT('x', n % 200), 'y') FROM s",
        "CREATE TABLE filters.keyless (a INT, v VARCHAR(200))",
        "INSERT INTO filters.keyless SELECT id % 7, REPEAT('z', id % 200) FROM filters.keyed LIMIT 3000",
        "CREATE TABLE filters.documents (id INT PRIMARY KEY, daybreak_v INT, j JSON)",
        "INSERT INTO filters.documents SELECT id, id, JSON_OBJECT('d', CAST('2024-01-01' AS DATE), 'n', 1.50, 'k', JSON_ARRAY(id)) \
         FROM filters.keyed WHERE id <= 20",
        "ANALYZE TABLE filters.keyed, filters.keyless",
    ])
    .await;
}

/// What each table shall hold, by the test's own eyes.
async fn assert_taken(pair: &Pair) {
    let (mut source, mut target) = (pair.source().await, pair.target().await);
    let order = "GROUP_CONCAT(t.h ORDER BY t.h)";
    async fn sum(session: &mut Session, sql: String) -> (u64, Option<String>) {
        let row = session.row(sql).await.unwrap().unwrap();
        (session.column(&row, 0).unwrap().unwrap(), session.column(&row, 1).unwrap())
    }
    for (table, columns, condition) in [
        ("keyed", "id, COALESCE(v, '-')", KEYED),
        ("keyless", "COALESCE(a, '-'), COALESCE(v, '-')", KEYLESS),
        (
            "documents",
            "id, CAST(j AS CHAR), JSON_TYPE(JSON_EXTRACT(j, '$.d')), JSON_TYPE(JSON_EXTRACT(j, '$.n'))",
            DOCUMENTS,
        ),
        ("wanted", "n", "TRUE"),
    ] {
        let select = |condition: &str| {
            format!(
                "SELECT COUNT(*), SHA2({order}, 256) FROM (SELECT \
                 SHA2(CONCAT_WS('|', {columns}), 256) AS h FROM filters.{table} WHERE {condition}) AS t"
            )
        };
        for session in [&mut source, &mut target] {
            session.execute("SET SESSION group_concat_max_len = 10000000").await.unwrap();
        }
        let ours = sum(&mut source, select(&format!("({condition})"))).await;
        let theirs = sum(&mut target, select("TRUE")).await;
        assert_eq!(ours, theirs, "{table}");
        let all: u64 =
            source.scalar(format!("SELECT COUNT(*) FROM filters.{table}")).await.unwrap().unwrap();
        assert!(ours.0 > 0 && (ours.0 < all || condition == "TRUE"), "{table}: {ours:?} of {all}");
    }
}

async fn compared(pair: &Pair, mode: VerifyMode) -> VerifyReport {
    let mut config = filtered(pair);
    config.verify.mode = mode;
    config.verify.chunk_rows = 500;
    compared_by(&config).await
}

async fn compared_by(config: &Config) -> VerifyReport {
    verify::compare(
        &config.source,
        &config.target,
        &config.select,
        &config.verify,
        Liveness::Still,
        &Events::nowhere(),
        &StopSignal::default(),
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_copy_that_was_cut_off_goes_on_though_rows_came_and_went() {
    let pair = Pair::take(&["filters"]).await;
    tables(&pair).await;
    let chunks = "SELECT COUNT(*) FROM daybreak.chunks WHERE table_name = 'keyed'";
    for more_than in [3, 5] {
        let mut config = filtered(&pair);
        config.copy.chunk_bytes = 32 << 10;
        let stopped = cut_off(&pair, config, chunks, more_than).await;
        assert!(stopped, "the copy was faster than this test");
        pair.on_source(&[
            // Out of the condition, into it, within it; the same for the tables without a key.
            "UPDATE filters.keyed SET v = 'y' WHERE id BETWEEN 300 AND 330",
            "UPDATE filters.keyed SET v = 'it''s (:this' WHERE id IN (1, 2, 5000, 19999)",
            "UPDATE filters.keyed SET v = 'xx' WHERE id BETWEEN 900 AND 930",
            "DELETE FROM filters.keyed WHERE id = 9",
            "INSERT IGNORE INTO filters.keyed VALUES (-3, 'x'), (-2, 'x'), (60000, 'x'), (60001, 'x')",
            "UPDATE filters.wanted SET n = IF(n = 3, 4, n)",
            "UPDATE filters.documents SET id = 100 - id WHERE id IN (1, 7)",
        ])
        .await;
    }
    let config = filtered(&pair);
    pair.copy(config).await.unwrap();
    assert_taken(&pair).await;
    // The tables were made by hand: definitions are the same.
    for mode in [VerifyMode::Count, VerifyMode::Checksum, VerifyMode::Full] {
        let report = compared(&pair, mode).await;
        assert!(report.is_equal(), "{mode:?}: {:?}", report.first_differences(20));
    }

    // A row that the condition leaves out is one too many on the target, and one that it takes is missed.
    let mut target = pair.target().await;
    for sql in [
        "INSERT INTO filters.keyed VALUES (4, 'nobody asked for it')",
        "DELETE FROM filters.keyed WHERE id = 15",
        "INSERT INTO filters.keyless VALUES (6, 'neither')",
    ] {
        target.execute(sql).await.unwrap();
    }
    for mode in [VerifyMode::Checksum, VerifyMode::Full] {
        let report = compared(&pair, mode).await;
        let found = report.first_differences(20).join("; ");
        assert!(found.contains("(id=4) only on the target"), "{mode:?}: {found}");
        assert!(found.contains("(id=15) missing on the target"), "{mode:?}: {found}");
        assert!(found.contains("filters.keyless: the row with hash"), "{mode:?}: {found}");
    }
    let counted = compared(&pair, VerifyMode::Count).await;
    assert!(counted.first_differences(20).join("; ").contains("filters.keyless"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_means_nothing_is_refused_by_table() {
    let pair = Pair::take(&["filters"]).await;
    tables(&pair).await;
    let mut source = pair.source().await;
    for (table, condition, why) in [
        ("filters.keyed", "nothing = 1", "Unknown column 'nothing'"),
        ("filters.keyed", "COUNT(*) > 1", "Invalid use of group function"),
        ("filters.keyed", "id = ", "error in your SQL syntax"),
        ("filters.keyed", "(id, v)", "Operand should contain 1 column"),
        ("filters.nowhere", "TRUE", "a condition on a table that isn't taken"),
        ("other.keyed", "TRUE", "a condition on a table that isn't taken"),
    ] {
        let selection = Selection { databases: vec!["filters".into()], ..Selection::default() };
        let selection = selection.filtered([(table, condition)]).unwrap();
        let error = Catalog::read(&mut source, &selection).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{condition}: {error}");
        let said = format!("{error} {}", error.causes().join(": "));
        assert!(said.contains(table) && said.contains(why), "{condition}: {said}");
    }
    // What is expected of a condition is what is estimated.
    let selection = Selection { databases: vec!["filters".into()], ..Selection::default() };
    let all = Catalog::read(&mut source, &selection).await.unwrap();
    let some = selection.filtered([("filters.keyed", "id <= 200")]).unwrap();
    let some = Catalog::read(&mut source, &some).await.unwrap();
    let of = |catalog: &Catalog| {
        let table = catalog.tables.iter().find(|table| table.name.name == "keyed").unwrap();
        (table.rows_estimate, table.data_bytes)
    };
    let (all, some) = (of(&all), of(&some));
    assert!(some.0 > 0 && some.0 < all.0 / 10 && some.1 < all.1 / 10, "{all:?} {some:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_and_other_sources_take_conditions() {
    for product in [Product::Mysql56, Product::Mariadb1011] {
        let pair = Pair::with_source(product, &["filters"]).await;
        pair.on_source(&[
            "DROP DATABASE IF EXISTS filters",
            "CREATE DATABASE filters",
            "CREATE TABLE filters.keyed (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE = InnoDB",
            "CREATE TABLE filters.wanted (n INT PRIMARY KEY) ENGINE = InnoDB",
            "INSERT INTO filters.wanted VALUES (2), (5)",
            "INSERT INTO filters.keyed VALUES (1, 'a'), (2, 'b'), (3, 'c'), (5, 'e')",
        ])
        .await;
        let mut config = pair.config("filters");
        let of = [("filters.keyed", "id IN (SELECT n FROM filters.wanted) OR v = 'c'")];
        config.select = config.select.filtered(of).unwrap();
        pair.copy(config.clone()).await.unwrap();
        let mut target = pair.target().await;
        let ids: Option<String> =
            target.scalar("SELECT GROUP_CONCAT(id ORDER BY id) FROM filters.keyed").await.unwrap();
        assert_eq!(ids.as_deref(), Some("2,3,5"), "{product:?}");
        for mode in [VerifyMode::Checksum, VerifyMode::Full] {
            config.verify.mode = mode;
            let report = compared_by(&config).await;
            assert!(report.is_equal(), "{product:?} {mode:?}: {:?}", report.first_differences(9));
        }
    }
}

/// By its size the table is cut: were it of no rows, a chunk of 16,384 could be gigabytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_leaves_the_size_of_a_row() {
    let pair = Pair::take(&["filters"]).await;
    tables(&pair).await;
    let mut source = pair.source().await;
    let whole = Catalog::read(&mut source, &pair.config("filters").select).await.unwrap();
    let all = filtered(&pair).select;
    for (condition, least) in [
        (KEYLESS, 1),
        ("a IN (SELECT n FROM filters.wanted)", 1),
        ("EXISTS (SELECT 1 FROM filters.wanted AS w WHERE w.n > keyless.a)", 1),
        ("1 = 0", 0),
    ] {
        let select = Selection { filters: Vec::new(), ..all.clone() };
        let select = select.filtered([("filters.keyless", condition)]).unwrap();
        let some = Catalog::read(&mut source, &select).await.unwrap();
        let of = |catalog: &Catalog| {
            let table = catalog.tables.iter().find(|table| table.name.name == "keyless").unwrap();
            (table.rows_estimate, table.data_bytes)
        };
        let ((rows, bytes), (all_rows, all_bytes)) = (of(&some), of(&whole));
        assert!((least..=all_rows).contains(&rows), "{condition}: {rows} of {all_rows}");
        if let Some(row) = bytes.checked_div(rows) {
            let whole_row = all_bytes / all_rows;
            assert!(row.abs_diff(whole_row) <= 1, "{condition}: {row}, not {whole_row}");
        }
    }
}
