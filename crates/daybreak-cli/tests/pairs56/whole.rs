//! Whole migrations: the shop under its writer, and Sakila.

use std::{path::Path, time::Duration};

use mysql_async::prelude::Queryable as _;
use rehearsal::{
    sakila,
    shop::{self, ShopOptions},
    writer::{self, WriterHandle, WriterOptions, WriterSpawn},
};

use crate::pair::{app, app_url, assert_equal, findings, run, says, start};

/// Far above what anything here takes; only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(120);
const SEED: u64 = 56;

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_under_its_writer() {
    let pair = start().await;
    let options = ShopOptions { rows: 8_000, seed: SEED, ..ShopOptions::default() };
    eprintln!("the shop's and the writer's seed is {SEED}");
    shop::generate(&app_url(&pair.source), &options, |_, _| {}).await.unwrap();
    let directory = pair.directory("[replication]\nposition = \"file\"\n");
    let mut wish = WriterOptions::new(directory.path().join("writer"));
    (wish.rate, wish.seed) = (150.0, SEED);
    let writer = WriterHandle::spawn(WriterSpawn {
        exe: Path::new(env!("CARGO_BIN_EXE_daybreak")),
        args: &["rehearsal-writer", "--"],
        url: &app_url(&pair.source),
        options: wish,
    })
    .unwrap();
    writer.wait_until("commits", PATIENCE, |status| status.committed >= 100).await.unwrap();

    let found = findings(directory.path(), 0).await;
    for id in [
        "source.anonymous_account",
        "replication.account_statements",
        "replication.timestamp_defaults",
    ] {
        assert!(found.contains_key(id), "{id} is missing in {:?}", found.keys());
    }
    says(directory.path(), &["plan"], 0).await;
    says(directory.path(), &["run"], 4).await;
    says(directory.path(), &["status"], 0).await;
    says(directory.path(), &["cutover", "--dry-run"], 0).await;
    says(directory.path(), &["cutover"], 0).await;

    // Nobody has written to the target yet, and nobody can at the source any more.
    assert_equal(&pair, "shop").await;
    let refused = app(&pair.source).await.query_drop("CREATE TABLE shop.late (id INT)").await;
    assert!(
        matches!(&refused, Err(mysql_async::Error::Server(error)) if error.code == 1290),
        "{refused:?}"
    );
    let target = app_url(&pair.target);
    writer.set_url(&target).unwrap();
    let endpoint = format!("127.0.0.1:{}", pair.target.port());
    writer
        .wait_until("commits on the target", PATIENCE, |status| {
            status.by_endpoint.get(&endpoint).is_some_and(|commits| *commits >= 20)
        })
        .await
        .unwrap();
    writer.stop().await.unwrap();
    let proof = writer::check(&pair.target.root_url(), &writer.ledger()).await.unwrap();
    assert!(proof.is_ok() && proof.acknowledged > 200, "{proof}");
}

/// What databases of that age hold: each is named, or arrives as it was.
const MUSEUM: &[&str] = &[
    "CREATE DATABASE museum CHARACTER SET latin1",
    "USE museum",
    "SET NAMES utf8mb4",
    "SET sql_mode = ''",
    // Bare TIMESTAMPs: the first takes CURRENT_TIMESTAMP by itself, the second a zero.
    "CREATE TABLE stamps (id INT PRIMARY KEY, a TIMESTAMP, b TIMESTAMP, c TIMESTAMP NULL, d TIMESTAMP(3) NOT NULL)",
    "INSERT INTO stamps VALUES (1, '2001-02-03 04:05:06', 0, NULL, '2001-02-03 04:05:06.789'), (2, NULL, '1999-12-31', 0, 0)",
    "CREATE TABLE zeros (id INT PRIMARY KEY, d DATE NOT NULL DEFAULT '0000-00-00', t DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', \
     m DATE, y YEAR NOT NULL DEFAULT 0, KEY (d), KEY (t))",
    "INSERT INTO zeros (id, m) VALUES (1, '2001-00-00'), (2, '2001-02-00'), (3, NULL)",
    "SET sql_mode = 'ALLOW_INVALID_DATES'",
    "INSERT INTO zeros (id, d, m) VALUES (4, '2001-02-31', '2001-04-31')",
    "SET sql_mode = ''",
    // Keys of texts, whose collations have other names on the target; old defaults of databases and tables.
    "CREATE TABLE words8 (word VARCHAR(80) CHARACTER SET utf8 NOT NULL, n INT, PRIMARY KEY (word)) DEFAULT CHARSET=utf8",
    "INSERT INTO words8 VALUES ('straße', 1), ('Été', 2), ('zz', 3), ('日本', 4), ('', 5), ('b', 6), ('Ä', 7), ('ö', 8)",
    "CREATE TABLE words1 (word VARCHAR(80) NOT NULL, n INT, UNIQUE KEY (word), KEY (word(2))) DEFAULT CHARSET=latin1 COLLATE=latin1_german1_ci",
    "INSERT INTO words1 VALUES ('straße', 1), ('Été', 2), ('zz', 3), ('€', 4), ('ÿ', 5)",
    // Written by a client that said latin1 and sent utf8: twice encoded, and so it stays.
    "SET NAMES latin1",
    "INSERT INTO words1 VALUES ('twice Ã© ä', 6)",
    "SET NAMES utf8mb4",
    "CREATE TABLE mixed (a CHAR(5) CHARACTER SET cp1251, b VARCHAR(9) CHARACTER SET ucs2, c TEXT CHARACTER SET koi8r)",
    "INSERT INTO mixed VALUES ('дом', 'дом', 'дом')",
    "CREATE TABLE redundant (id INT PRIMARY KEY, t TEXT, KEY (t(100))) ROW_FORMAT=REDUNDANT",
    "INSERT INTO redundant VALUES (1, REPEAT('r', 9000)), (2, NULL)",
    "CREATE TABLE compact (id INT PRIMARY KEY, t VARCHAR(255) CHARACTER SET utf8, KEY (t)) ROW_FORMAT=COMPACT",
    "INSERT INTO compact VALUES (1, REPEAT('ü', 255)), (2, '')",
    "CREATE TABLE padded (id INT(4) UNSIGNED ZEROFILL PRIMARY KEY, f FLOAT(7,3), d DOUBLE(20,5), r REAL, b BOOL, n NUMERIC(5,2) UNSIGNED)",
    "INSERT INTO padded VALUES (7, 1.0005, 1e10, 1.5e-310, 1, 3.14), (8, -0.0, -0.0, 5e-324, 0, 0)",
    "CREATE TABLE numbers (id INT PRIMARY KEY AUTO_INCREMENT, f FLOAT, d DOUBLE)",
    "INSERT INTO numbers (f, d) VALUES (-1.2208461e-6, -1.2208461e-6), (1.6471104e-15, 1.6471104113193217e-15), (-2.327056e-35, 1e15), (1e-4, 123456789012345680000)",
    "CREATE TABLE lists (id INT PRIMARY KEY, e ENUM('x', 'ä', '') CHARACTER SET utf8, s SET('a', 'b') NOT NULL)",
    "INSERT INTO lists VALUES (1, 'ä', 'a,b'), (2, 'nothing', ''), (3, '', 'b'), (4, NULL, '')",
    "CREATE TABLE notes (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY (t)) DEFAULT CHARSET=utf8 COLLATE=utf8_unicode_ci",
    "INSERT INTO notes VALUES (1, 'the old text'), (2, NULL)",
    // Modes that are gone, and bodies as they were typed.
    "SET sql_mode = 'NO_AUTO_CREATE_USER,NO_FIELD_OPTIONS,PIPES_AS_CONCAT'",
    "CREATE FUNCTION joined(a VARCHAR(10) CHARACTER SET utf8, b YEAR) RETURNS VARCHAR(20) CHARSET utf8 DETERMINISTIC RETURN a || b",
    "CREATE FUNCTION counted(a INT(3)) RETURNS BIGINT(20) UNSIGNED DETERMINISTIC RETURN a",
    "SET sql_mode = 'MYSQL40,ANSI_QUOTES'",
    "CREATE PROCEDURE quoted() SELECT \"n\" FROM \"words8\"",
    "SET sql_mode = 'POSTGRESQL'",
    "CREATE TRIGGER stamped BEFORE UPDATE ON stamps FOR EACH ROW SET NEW.id = NEW.id || ''",
    "SET sql_mode = ''",
    "CREATE VIEW seen AS SELECT word, _utf8'ä' AS a, n FROM words8 WHERE n > 1",
    "CREATE EVENT never ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' DO DELETE FROM zeros WHERE id < 0",
];

/// The same kinds of values through the binary log.
const LATER: &[&str] = &[
    "USE museum",
    "SET NAMES utf8mb4",
    "SET sql_mode = ''",
    "INSERT INTO stamps VALUES (3, 0, NULL, NULL, 0), (4, '1970-01-01 00:00:01', '2038-01-19 03:14:07', 0, '2001-02-03 04:05:06.007')",
    "UPDATE zeros SET t = '2001-00-00 00:00:01', d = '0000-00-00' WHERE id = 3",
    "DELETE FROM words8 WHERE word = 'zz'",
    "UPDATE words8 SET word = 'STRASSE' WHERE word = 'straße'",
    "UPDATE words1 SET n = n + 1",
    "UPDATE redundant SET t = REPEAT('q', 8000) WHERE id = 2",
    "UPDATE padded SET d = -1e-5, f = 0.0004 WHERE id = 7",
    "INSERT INTO numbers (f, d) SELECT f / 3, d / 3 FROM numbers",
    "UPDATE lists SET e = 'nothing', s = 'a' WHERE id = 1",
    "CREATE TABLE later (id INT PRIMARY KEY, at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', t VARCHAR(9)) DEFAULT CHARSET=utf8",
    "INSERT INTO later VALUES (1, 0, 'é')",
    "ALTER TABLE notes ADD COLUMN more TINYTEXT",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_museum_whole() {
    let pair = start().await;
    run(&mut pair.source_root().await, MUSEUM).await;
    let directory =
        pair.directory("[replication]\nposition = \"file\"\n\n[copy]\ndefiner = \"current\"\n");
    findings(directory.path(), 0).await;
    says(directory.path(), &["run", "--until", "objects"], 0).await;
    run(&mut pair.source_root().await, LATER).await;
    says(directory.path(), &["resume", "--yes"], 0).await;
    assert_equal(&pair, "museum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sakila_whole() {
    let pair = start().await;
    sakila::load(&pair.source.root_url()).await.unwrap();
    let directory =
        pair.directory("[replication]\nposition = \"file\"\n\n[copy]\ndefiner = \"current\"\n");
    findings(directory.path(), 0).await;
    says(directory.path(), &["run", "--yes"], 0).await;
    assert_equal(&pair, sakila::DATABASE).await;
}
