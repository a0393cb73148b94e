//! Keys of every sort, several chunks each.

use daybreak::{
    engine::{Entry, Step as _},
    target::rows::CopyRows,
};

use super::harness::{Pair, run_and_verify};

/// Statements that make tables of about 5,000 rows.
const TABLES: [&str; 9] = [
    "CREATE DATABASE keyed",
    "CREATE TABLE keyed.integers (id BIGINT PRIMARY KEY, v VARCHAR(100))",
    "INSERT INTO keyed.integers SELECT n * n * n - 1000000, REPEAT('x', n % 100) FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) SELECT n FROM s) AS s",
    "CREATE TABLE keyed.composite (tenant INT, day DATE, seq INT, v VARCHAR(100), PRIMARY KEY (tenant, day, seq))",
    "INSERT INTO keyed.composite SELECT 1 + (id % 100 = 0), '2024-01-01' + INTERVAL (id % 37) DAY, id % 1000000 , v FROM keyed.integers GROUP BY 1, 2, 3, 4",
    "CREATE TABLE keyed.texts (name VARCHAR(60) COLLATE utf8mb4_0900_ai_ci, v VARCHAR(100), PRIMARY KEY (name))",
    "INSERT INTO keyed.texts SELECT CONCAT(CHAR(65 + ABS(id) % 26), id, 'ß ', CHAR(97 + ABS(id) % 26)), v FROM keyed.integers",
    "CREATE TABLE keyed.nothing (a INT, b VARCHAR(100))",
    "INSERT INTO keyed.nothing SELECT id % 10, v FROM keyed.integers",
];

const MORE: [&str; 8] = [
    "CREATE TABLE keyed.bytes (id BINARY(16) NOT NULL, v INT, UNIQUE KEY (id))",
    "INSERT INTO keyed.bytes SELECT UNHEX(LEFT(SHA2(id, 256), 32)), 1 FROM keyed.integers",
    "CREATE TABLE keyed.enums (e ENUM('b','a') NOT NULL, n INT NOT NULL, PRIMARY KEY (e, n))",
    "INSERT INTO keyed.enums SELECT 1 + n % 2, n FROM (SELECT ROW_NUMBER() OVER () AS n FROM keyed.integers) AS s",
    "CREATE TABLE keyed.parted (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 4",
    "INSERT INTO keyed.parted SELECT ROW_NUMBER() OVER (), 1 FROM keyed.integers",
    // The key that comes first by name can't be forced.
    "CREATE TABLE keyed.hidden (a INT NOT NULL, b INT NOT NULL, UNIQUE KEY k2 (a), UNIQUE KEY k1 (b) INVISIBLE)",
    "INSERT INTO keyed.hidden SELECT n, -n FROM (SELECT ROW_NUMBER() OVER () AS n FROM keyed.integers) AS s",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_cut_without_a_gap() {
    let pair = Pair::take(&["keyed"]).await;
    let mut source = pair.source().await;
    source.execute("SET SESSION cte_max_recursion_depth = 10000").await.unwrap();
    for statement in TABLES.iter().chain(&MORE) {
        source.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    source.execute("ANALYZE TABLE keyed.integers, keyed.composite, keyed.texts, keyed.nothing, keyed.bytes").await.unwrap();
    let context = pair.context(pair.config("keyed"), None);
    run_and_verify(&context).await.unwrap();
    pair.assert_equal("keyed").await;
    let mut target = pair.target().await;
    for table in ["integers", "composite", "texts", "bytes"] {
        let chunks: u64 = target
            .scalar(format!("SELECT COUNT(*) FROM daybreak.chunks WHERE table_name = '{table}'"))
            .await
            .unwrap()
            .unwrap();
        assert!(chunks >= 4, "{table}: {chunks}");
    }
    let results = context.journal.tables().unwrap();
    assert_eq!(results.len(), 8);
    assert!(results.iter().all(|table| table.rows >= 2000 && table.bytes > 0), "{results:?}");

    // Undo leaves the tables empty, twice the same.
    context.journal.append(Entry::UndoStarted { step: "rows".into() }).unwrap();
    for _ in 0..2 {
        CopyRows.undo(&context).await.unwrap();
        for result in &results {
            let (database, table) = result.table.split_once('.').unwrap();
            let rows: u64 = target
                .scalar(format!("SELECT COUNT(*) FROM `{database}`.`{table}`"))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(rows, 0);
        }
    }
    // So does it when even the databases are gone.
    target.execute("DROP DATABASE keyed").await.unwrap();
    target.execute("DROP DATABASE daybreak").await.unwrap();
    CopyRows.undo(&context).await.unwrap();
    context.journal.append(Entry::StepUndone { step: "rows".into() }).unwrap();
}
