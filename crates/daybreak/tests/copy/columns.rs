//! Copies without some of the columns: made, cut off, gone on with, and compared with all that the target
//! has; and what can't be left out.

use daybreak::{
    config::{Config, VerifyMode},
    engine::StopSignal,
    error::Kind,
    event::Events,
    mysql::{Catalog, Session},
    sync::verify::{self, Liveness, VerifyReport},
};
use rehearsal::server::Product;

use super::harness::{Pair, cut_off};

/// Columns at the beginning, in the middle and at the end, of kinds that a copy treats apart.
const LEFT: [&str; 8] = [
    "lacking.keyed.First",
    "lacking.keyed.`we``ird, (`",
    "lacking.keyed.doc",
    "lacking.keyed.computed",
    "lacking.keyed.hidden",
    "lacking.keyed.`last`",
    "lacking.keyless.`select`",
    "lacking.documents.secret",
];

/// The columns that stay, for the test's own eyes.
const KEPT: [(&str, &str, &str); 3] = [
    (
        "keyed",
        "id,v,kept,g",
        "CONCAT_WS('|', id, v, CAST(kept AS CHAR), JSON_TYPE(JSON_EXTRACT(kept, '$.d')), g)",
    ),
    ("keyless", "a,v", "CONCAT_WS('|', a, v)"),
    (
        "documents",
        "id,j",
        "CONCAT_WS('|', id, CAST(j AS CHAR), JSON_TYPE(JSON_EXTRACT(j, '$.d')), JSON_TYPE(JSON_EXTRACT(j, '$.n')))",
    ),
];

fn lacking(pair: &Pair, left: &[&str]) -> Config {
    let mut config = pair.config("lacking");
    config.select = config.select.without_columns(left.iter().copied()).unwrap();
    config
}

async fn tables(pair: &Pair) {
    pair.on_source(&[
        "SET SESSION cte_max_recursion_depth = 100000",
        "CREATE DATABASE lacking",
        "CREATE TABLE lacking.keyed (first TEXT NOT NULL, id INT PRIMARY KEY, `we``ird, (` VARCHAR(20) NOT NULL, \
         v VARCHAR(200) COMMENT 'not `first`, nor `last`', doc JSON, kept JSON, \
         computed INT AS (id + 1) STORED NOT NULL, g INT AS (id * 2) VIRTUAL, hidden INT NOT NULL DEFAULT 7 INVISIBLE, \
         `last` DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
        "INSERT INTO lacking.keyed (first, id, `we``ird, (`, v, doc, kept) \
         WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
         SELECT IF(n % 2, 'x', 'y'), n, n, REPEAT('v', n % 150), JSON_ARRAY(n), \
         JSON_OBJECT('d', CAST('2024-01-01' AS DATE), 'n', n) FROM s",
        "CREATE TABLE lacking.keyless (`select` BLOB, a INT, v VARCHAR(200))",
        "INSERT INTO lacking.keyless SELECT RANDOM_BYTES(40), id % 7, REPEAT('z', id % 200) FROM lacking.keyed LIMIT 3000",
        "CREATE TABLE lacking.documents (id INT PRIMARY KEY, secret JSON NOT NULL, j JSON)",
        "INSERT INTO lacking.documents SELECT id, JSON_ARRAY(1.5, id), \
         JSON_OBJECT('d', CAST('2024-01-01' AS DATE), 'n', 1.50) FROM lacking.keyed WHERE id <= 20",
        "ANALYZE TABLE lacking.keyed, lacking.keyless",
    ])
    .await;
}

async fn one(session: &mut Session, sql: String) -> String {
    session.scalar(sql.as_str()).await.unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap()
}

/// What each table shall hold, and which columns.
async fn assert_taken(pair: &Pair, condition: &str) {
    let (mut source, mut target) = (pair.source().await, pair.target().await);
    for session in [&mut source, &mut target] {
        session.execute("SET SESSION group_concat_max_len = 10000000").await.unwrap();
    }
    for (table, columns, row) in KEPT {
        let there = format!(
            "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = 'lacking' AND TABLE_NAME = '{table}'"
        );
        assert_eq!(one(&mut target, there).await, columns);
        let sum = |condition: &str| {
            format!(
                "SELECT CONCAT(COUNT(*), ' ', SHA2(GROUP_CONCAT(h ORDER BY h), 256)) FROM \
                 (SELECT SHA2({row}, 256) AS h FROM lacking.{table} WHERE {condition}) AS t"
            )
        };
        let taken = if table == "keyed" { condition } else { "TRUE" };
        let ours = one(&mut source, sum(taken)).await;
        assert!(!ours.starts_with("0 "), "{table}");
        assert_eq!(ours, one(&mut target, sum("TRUE")).await, "{table}");
    }
}

async fn compared(config: &Config, mode: VerifyMode) -> VerifyReport {
    let mut settings = config.verify.clone();
    (settings.mode, settings.chunk_rows) = (mode, 500);
    verify::compare(
        &config.source,
        &config.target,
        &config.select,
        &settings,
        Liveness::Still,
        &Events::nowhere(),
        &StopSignal::default(),
    )
    .await
    .unwrap()
}

async fn assert_equal(config: &Config) {
    for mode in [VerifyMode::Count, VerifyMode::Checksum, VerifyMode::Full] {
        let report = compared(config, mode).await;
        assert!(report.is_equal(), "{mode:?}: {:?}", report.first_differences(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_columns_that_was_cut_off_goes_on() {
    let pair = Pair::take(&["lacking"]).await;
    tables(&pair).await;
    let chunks = "SELECT COUNT(*) FROM daybreak.chunks WHERE table_name = 'keyed'";
    // By a column that isn't there on the target.
    let condition = "first = 'x' OR hidden <> 7";
    let filtered = || {
        let mut config = lacking(&pair, &LEFT);
        config.select = config.select.filtered([("lacking.keyed", condition)]).unwrap();
        config
    };
    for more_than in [3, 5] {
        let mut config = filtered();
        config.copy.load_threads = Some(1);
        config.copy.chunk_bytes = 32 << 10;
        let stopped = cut_off(&pair, config, chunks, more_than).await;
        assert!(stopped, "the copy was faster than this test");
        pair.on_source(&[
            // Only in what isn't taken, in both, and from outside of the condition to within.
            "UPDATE lacking.keyed SET `we``ird, (` = 'changed', doc = NULL WHERE id BETWEEN 300 AND 400",
            "UPDATE lacking.keyed SET v = CONCAT('w', id), `we``ird, (` = v WHERE id BETWEEN 401 AND 420",
            "UPDATE lacking.keyed SET hidden = 8 WHERE id IN (2, 4, 10000)",
            "UPDATE lacking.keyed SET first = 'y' WHERE id = 1",
            "DELETE FROM lacking.keyed WHERE id = 9",
            "UPDATE lacking.documents SET secret = '[]', j = NULL WHERE id = 3",
            "UPDATE lacking.keyless SET a = a + 1 WHERE v LIKE 'zzz%' LIMIT 5",
        ])
        .await;
    }
    let config = filtered();
    pair.copy(config.clone()).await.unwrap();
    assert_taken(&pair, condition).await;
    assert_equal(&config).await;

    // What isn't taken may change; what is taken may not, nor may the target have more.
    pair.on_source(&["UPDATE lacking.keyed SET doc = '{}', `we``ird, (` = 'else' WHERE id < 50"])
        .await;
    assert_equal(&config).await;
    let mut target = pair.target().await;
    for sql in [
        "UPDATE lacking.keyed SET v = 'wrong' WHERE id = 15",
        "UPDATE lacking.keyed SET kept = JSON_SET(kept, '$.d', '2024-01-01') WHERE id = 17",
        "DELETE FROM lacking.keyed WHERE id = 19",
        "UPDATE lacking.keyless SET v = 'wrong' WHERE a = 2 LIMIT 1",
    ] {
        target.execute(sql).await.unwrap();
    }
    for mode in [VerifyMode::Checksum, VerifyMode::Full] {
        let found = compared(&config, mode).await.first_differences(20).join("; ");
        for wanted in [
            "(id=15) different",
            "(id=17) different",
            "(id=19) missing on the target",
            "lacking.keyless: the row with hash",
        ] {
            assert!(found.contains(wanted), "{mode:?}: {wanted}: {found}");
        }
        assert!(!found.contains("lacking.documents"), "{found}");
    }
    target.execute("ALTER TABLE lacking.documents ADD COLUMN secret JSON AFTER id").await.unwrap();
    let report = compared(&config, VerifyMode::Checksum).await;
    let found = report.first_differences(20).join("; ");
    assert!(found.contains("column secret is on the target only"), "{found}");
    // Whoever compares without knowing of it is told.
    let whole = pair.config("lacking");
    let found = compared(&whole, VerifyMode::Checksum).await.first_differences(20).join("; ");
    assert!(found.contains("column first isn't on the target"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_column_that_nothing_needs_can_be_left_out_alone() {
    let pair = Pair::take(&["lacking"]).await;
    tables(&pair).await;
    let mut source = pair.source().await;
    let whole = Catalog::read(&mut source, &pair.config("lacking").select).await.unwrap();
    for left in LEFT {
        let selection = lacking(&pair, &[left]).select;
        let some = Catalog::read(&mut source, &selection).await.unwrap();
        let columns = |catalog: &Catalog| -> usize {
            catalog.tables.iter().map(|table| table.columns.len()).sum()
        };
        assert_eq!(columns(&some) + 1, columns(&whole), "{left}");
        assert_ne!(some.digest(), whole.digest());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_column_is_refused_by_name() {
    let pair = Pair::take(&["lacking", "elsewhere"]).await;
    pair.on_source(&[
        "CREATE DATABASE lacking",
        "CREATE DATABASE elsewhere",
        "CREATE TABLE lacking.t (id INT AUTO_INCREMENT, u INT, k INT, p TEXT, f TEXT, ck INT, g1 INT, \
         g2 INT AS (g1 + 1), d1 INT, d2 INT DEFAULT (d1 + 1), x INT, s POINT NOT NULL SRID 0, \
         free INT COMMENT 'u', PRIMARY KEY (id), UNIQUE KEY uk (u), KEY kk (k, u), KEY pk (p(5)), FULLTEXT KEY fk (f), \
         KEY xk ((x + 1)), SPATIAL KEY sk (s), CHECK (ck > 0))",
        "CREATE TABLE lacking.parted (a INT, b DATE, c INT) PARTITION BY RANGE (YEAR(b)) \
         (PARTITION c VALUES LESS THAN (2030), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        "CREATE TABLE lacking.child (a INT, u INT, CONSTRAINT up FOREIGN KEY (u) REFERENCES lacking.t (u))",
        "CREATE TABLE elsewhere.child (k INT, CONSTRAINT outside FOREIGN KEY (k) REFERENCES lacking.t (u))",
        "CREATE TABLE lacking.hid (a INT, b INT INVISIBLE, c INT AS (1))",
    ])
    .await;
    let mut source = pair.source().await;
    let mut refused = async |left: &[&str]| {
        let error = Catalog::read(&mut source, &lacking(&pair, left).select).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{left:?}: {error}");
        assert!(error.next_step().is_some(), "{left:?}");
        format!("{error} {}", error.place().unwrap_or_default())
    };
    for (column, by) in [
        ("t.ID", "the primary key"),
        ("t.u", "the unique key `uk`, lacking.t.u by the key `kk`"),
        ("t.u", "the foreign key lacking.child.up to lacking.t"),
        ("t.K", "the key `kk`"),
        ("t.p", "the key `pk`"),
        ("t.f", "the FULLTEXT key `fk`"),
        ("t.x", "the key over expressions `xk`"),
        ("t.s", "the SPATIAL key `sk`"),
        ("t.ck", "the CHECK `t_chk_1`"),
        ("t.g1", "the generated column `g2`"),
        ("t.d1", "the default of `d2`"),
        ("parted.B", "the partitions"),
        ("child.u", "the foreign key `up`"),
    ] {
        let name = format!("lacking.{column}");
        let said = refused(&[&name]).await;
        assert!(said.contains(by) && said.contains(&name), "{column}: {said}");
        assert!(!said.contains("elsewhere"), "a key of a table that isn't taken: {said}");
    }
    let both = refused(&["lacking.t.ck", "lacking.parted.b"]).await;
    assert!(both.contains("CHECK") && both.contains("partitions"), "{both}");
    for (left, why) in [
        (&["lacking.t.nothing"][..], "that isn't there"),
        (&["lacking.nothing.a"], "a table that isn't taken"),
        (&["elsewhere.child.k"], "a table that isn't taken"),
        (&["lacking.hid.a"], "visible and isn't computed"),
        (&["lacking.hid.a", "lacking.hid.b"], "visible and isn't computed"),
    ] {
        let said = refused(left).await;
        assert!(said.contains(why) && said.contains(left[0]), "{left:?}: {said}");
    }
    // What needs it goes with it.
    for fine in [&["lacking.t.free"][..], &["lacking.t.g1", "lacking.t.g2"], &["lacking.parted.c"]]
    {
        let read = Catalog::read(&mut source, &lacking(&pair, fine).select).await;
        assert!(read.is_ok(), "{fine:?}: {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_and_other_sources_leave_out_columns() {
    for (product, types) in [
        (Product::Mysql56, "TEXT"),
        // Its CHECK is the column's own; MySQL has no such type.
        (Product::Mariadb1011, "JSON"),
    ] {
        let pair = Pair::with_source(product, &["lacking"]).await;
        pair.on_source(&[
            "DROP DATABASE IF EXISTS lacking",
            "CREATE DATABASE lacking",
            &format!(
                "CREATE TABLE lacking.keyed (first {types}, id INT PRIMARY KEY, `Key` VARCHAR(20) NOT NULL, v VARCHAR(20), \
                 `last` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB PARTITION BY RANGE (id) \
                 (PARTITION `last` VALUES LESS THAN (3), PARTITION p1 VALUES LESS THAN MAXVALUE)"
            ),
            "CREATE TABLE lacking.keyless (a INT, b BLOB NOT NULL) ENGINE = InnoDB",
            "INSERT INTO lacking.keyed (first, id, `Key`, v) VALUES ('[1]', 1, 'a', 'b'), (NULL, 2, 'c', NULL), ('{}', 3, '', 'e')",
            "INSERT INTO lacking.keyless VALUES (1, 'x'), (1, 'y'), (NULL, 'z')",
        ])
        .await;
        let left =
            ["lacking.keyed.first", "lacking.keyed.key", "lacking.keyed.LAST", "lacking.keyless.b"];
        let config = lacking(&pair, &left);
        pair.copy(config.clone()).await.unwrap();
        let mut target = pair.target().await;
        let rows = "SELECT GROUP_CONCAT(CONCAT_WS(':', id, v) ORDER BY id) FROM lacking.keyed";
        assert_eq!(one(&mut target, rows.into()).await, "1:b,2,3:e", "{product:?}");
        assert_equal(&config).await;
        target.execute("UPDATE lacking.keyed SET v = 'x' WHERE id = 2").await.unwrap();
        for mode in [VerifyMode::Checksum, VerifyMode::Full] {
            let found = compared(&config, mode).await.first_differences(9).join("; ");
            assert!(found.contains("(id=2) different"), "{product:?} {mode:?}: {found}");
        }
        let error =
            Catalog::read(&mut pair.source().await, &lacking(&pair, &["lacking.keyed.ID"]).select)
                .await
                .unwrap_err();
        let said = error.to_string();
        assert!(said.contains("the primary key") && said.contains("the partitions"), "{said}");
    }
}
