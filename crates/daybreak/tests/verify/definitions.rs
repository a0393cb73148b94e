//! Definitions and objects that differ.

use daybreak::{
    engine::Severity,
    sync::verify::{Liveness, Verdict},
};

use super::harness::{Sides, config, table};

pub async fn other_definitions_are_found(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        for sql in [
            "CREATE DATABASE defs",
            "CREATE TABLE defs.a (id INT PRIMARY KEY, v INT DEFAULT 1, w VARCHAR(9), KEY by_w (w(3) DESC))",
            "CREATE TABLE defs.b (id INT PRIMARY KEY, a_id INT, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES defs.a (id))",
            "CREATE TABLE defs.c (id INT PRIMARY KEY, v INT, CONSTRAINT c_v CHECK (v > 0))",
            "CREATE TABLE defs.d (id INT PRIMARY KEY, v INT, x INT)",
            "CREATE TABLE defs.e (id INT PRIMARY KEY)",
            "CREATE VIEW defs.v AS SELECT id FROM defs.a",
            "CREATE TRIGGER defs.t BEFORE INSERT ON defs.a FOR EACH ROW SET NEW.v = 1",
            "CREATE EVENT defs.ev ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM defs.a WHERE id < 0",
            "CREATE FUNCTION defs.f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1",
            "CREATE PROCEDURE defs.p(IN a INT) SELECT a",
        ] {
            session.execute(sql).await.unwrap();
        }
    }
    let report = sides.compare("defs", &config(100), Liveness::Still).await;
    assert!(report.is_equal(), "{:#?}", report.first_differences(20));
    for (change, back, says) in [
        ("DROP INDEX by_w ON defs.a", "CREATE INDEX by_w ON defs.a (w(3) DESC)", "index by_w"),
        (
            "ALTER TABLE defs.a ALTER v SET DEFAULT 2",
            "ALTER TABLE defs.a ALTER v SET DEFAULT 1",
            "column v",
        ),
        ("ALTER TABLE defs.b DROP FOREIGN KEY b_a", "", "foreign key b_a"),
        ("ALTER TABLE defs.c ALTER CHECK c_v NOT ENFORCED", "", "check c_v"),
        ("ALTER TABLE defs.d DROP COLUMN x", "", "column x"),
        ("ALTER TABLE defs.a MODIFY w VARCHAR(9) COLLATE utf8mb4_bin", "", "column w"),
        ("DROP TABLE defs.e", "", "defs.e: not compared"),
        ("DROP VIEW defs.v", "", "view defs.v: missing"),
        ("DROP TRIGGER defs.t", "", "trigger defs.t: missing"),
        ("DROP EVENT defs.ev", "", "event defs.ev: missing"),
        ("DROP FUNCTION defs.f", "", "function defs.f: missing"),
        (
            "CREATE FUNCTION defs.f(a INT) RETURNS INT DETERMINISTIC RETURN a + 2",
            "",
            "function defs.f, body",
        ),
        ("DROP PROCEDURE defs.p", "", "procedure defs.p: missing"),
        ("CREATE VIEW defs.extra AS SELECT 1", "", "view defs.extra: only on the target"),
    ] {
        target.execute(change).await.unwrap();
        let report = sides.compare("defs", &config(100), Liveness::Still).await;
        let lines = report.first_differences(50);
        assert!(lines.iter().any(|line| line.contains(says)), "{change}: {lines:#?}");
        assert!(!report.is_equal());
        if !back.is_empty() {
            target.execute(back).await.unwrap();
            assert!(
                sides.compare("defs", &config(100), Liveness::Still).await.is_equal(),
                "{back}"
            );
        }
    }
    let report = sides.compare("defs", &config(100), Liveness::Still).await;
    assert!(
        matches!(&table(&report, "d").verdict, Verdict::NotCompared(why) if why.contains("column x"))
    );
    // What a migration changes on purpose is told, and is no difference.
    target
        .execute("ALTER TABLE cases.untouched ROW_FORMAT = COMPRESSED, COMMENT 'x'")
        .await
        .unwrap();
    let report = sides.compare("cases", &config(1000), Liveness::Still).await;
    let told: Vec<_> = report.definitions.iter().map(|found| found.severity).collect();
    assert!(!told.is_empty() && told.iter().all(|severity| *severity < Severity::Blocker));
}
