//! Verification against real servers: equal sides are equal, and everything that can be wrong is
//! found, by its key. No test here proves only that nothing was found.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use daybreak::{
    config::{VerifyConfig, VerifyMode},
    engine::{Severity, StopReason, StopSignal},
    error::Kind,
    event::{Event, Events},
    mysql::{Catalog, ChunkKey, KeyRange, ServerUrl, Session, Side},
    select::Selection,
    sync::verify::{Liveness, TableVerdict, Verdict, VerifyReport, What, compare, hash},
};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{self, ShopOptions},
};

struct Sides {
    source: Server,
    target: Server,
}

impl Sides {
    async fn start(role: Role) -> Self {
        let options = |role| ServerOptions::new(Product::Mysql97, role).durable(false);
        let (source, target) = tokio::join!(
            Server::start(options(role)),
            Server::start(options(Role::Plain).binlog(role == Role::Source))
        );
        Sides { source: source.unwrap(), target: target.unwrap() }
    }

    fn urls(&self) -> [ServerUrl; 2] {
        [&self.source, &self.target].map(|server| ServerUrl::parse(&server.root_url()).unwrap())
    }

    async fn sessions(&self) -> [Session; 2] {
        let [source, target] = self.urls();
        [
            Session::open(&source, Side::Source).await.unwrap(),
            Session::open(&target, Side::Target).await.unwrap(),
        ]
    }

    async fn compare(&self, database: &str, config: &VerifyConfig, live: Liveness) -> VerifyReport {
        let [source, target] = self.urls();
        let selection = Selection { databases: vec![database.into()], ..Selection::default() };
        let (events, stop) = (Events::nowhere(), StopSignal::default());
        compare(&source, &target, &selection, config, live, &events, &stop).await.unwrap()
    }
}

fn config(chunk_rows: u64) -> VerifyConfig {
    VerifyConfig {
        mode: VerifyMode::Checksum,
        threads: 3,
        chunk_rows,
        recheck: Duration::from_secs(60),
    }
}

fn table<'a>(report: &'a VerifyReport, name: &str) -> &'a TableVerdict {
    report.tables.iter().find(|verdict| verdict.table.name == name).unwrap()
}

/// The differences of a table, as text.
fn found(report: &VerifyReport, name: &str) -> Vec<(String, What)> {
    let verdict = table(report, name);
    verdict.differences.iter().map(|row| (row.key.clone(), row.what)).collect()
}

/// A table of 1,000 rows with even numbers as keys, and a change on the target.
struct Case {
    name: &'static str,
    /// Columns and key.
    columns: &'static str,
    /// The row, as SQL over its number `n` (2, 4, ..).
    row: &'static str,
    /// Statements on the target; `T` is the table.
    change: &'static [&'static str],
    /// What must be found, and nothing else.
    finds: &'static [(&'static str, What)],
}

use What::{Different, ExtraOnTarget, MissingOnTarget};

const CASES: &[Case] = &[
    Case {
        name: "untouched",
        columns: "id INT PRIMARY KEY, v VARCHAR(20)",
        row: "n, CONCAT('v', n)",
        change: &[],
        finds: &[],
    },
    Case {
        name: "one_byte",
        columns: "id INT PRIMARY KEY, v LONGBLOB",
        row: "n, REPEAT(CHAR(n % 256), 3000)",
        change: &["UPDATE T SET v = INSERT(v, 2999, 1, X'01') WHERE id = 576"],
        finds: &[("(id=576)", Different)],
    },
    Case {
        name: "deleted",
        columns: "id BIGINT UNSIGNED PRIMARY KEY, v INT",
        row: "18446744073709549000 + n, n",
        change: &["DELETE FROM T WHERE id = 18446744073709549576"],
        finds: &[("(id=18446744073709549576)", MissingOnTarget)],
    },
    Case {
        name: "added",
        columns: "id INT PRIMARY KEY, v INT",
        row: "n, n",
        change: &["INSERT INTO T VALUES (-7, 1), (501, 1), (100000, 1)"],
        finds: &[
            ("(id=-7)", ExtraOnTarget),
            ("(id=501)", ExtraOnTarget),
            ("(id=100000)", ExtraOnTarget),
        ],
    },
    Case {
        name: "float_ulp",
        columns: "id INT PRIMARY KEY, v FLOAT",
        row: "n, 0.1",
        change: &["UPDATE T SET v = 0.10000000894069672 WHERE id = 900"],
        finds: &[("(id=900)", Different)],
    },
    Case {
        name: "double_ulp",
        columns: "id INT PRIMARY KEY, v DOUBLE",
        row: "n, 0.3e0",
        change: &["UPDATE T SET v = 0.30000000000000004e0 WHERE id = 2"],
        finds: &[("(id=2)", Different)],
    },
    Case {
        name: "minus_zero",
        columns: "id INT PRIMARY KEY, f FLOAT, d DOUBLE",
        row: "n, 0, 0",
        change: &["UPDATE T SET d = -0e0 WHERE id = 4", "UPDATE T SET f = -0e0 WHERE id = 8"],
        finds: &[("(id=4)", Different), ("(id=8)", Different)],
    },
    Case {
        name: "letter_case",
        columns: "id INT PRIMARY KEY, v VARCHAR(9) COLLATE utf8mb4_0900_ai_ci",
        row: "n, 'a'",
        change: &["UPDATE T SET v = 'A' WHERE id = 2000"],
        finds: &[("(id=2000)", Different)],
    },
    Case {
        name: "case_of_key",
        columns: "id VARCHAR(9) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, v INT",
        row: "CONCAT('k', LPAD(n, 5, '0')), 0",
        change: &["UPDATE T SET id = 'K00500' WHERE id = 'k00500'"],
        finds: &[("(id=K00500)", ExtraOnTarget), ("(id=k00500)", MissingOnTarget)],
    },
    Case {
        name: "trailing_space",
        columns: "id INT PRIMARY KEY, v VARCHAR(9) COLLATE utf8mb4_general_ci",
        row: "n, 'a'",
        change: &["UPDATE T SET v = 'a ' WHERE id = 10"],
        finds: &[("(id=10)", Different)],
    },
    Case {
        name: "null_or_empty",
        columns: "id INT PRIMARY KEY, v VARCHAR(9), w VARCHAR(9)",
        row: "n, NULL, 'x'",
        change: &[
            "UPDATE T SET v = '' WHERE id = 10",
            "UPDATE T SET v = 'x', w = NULL WHERE id = 12",
        ],
        finds: &[("(id=10)", Different), ("(id=12)", Different)],
    },
    Case {
        name: "joined",
        columns: "id INT PRIMARY KEY, v VARCHAR(9), w VARCHAR(9)",
        row: "n, '1:a', 'b'",
        change: &["UPDATE T SET v = '1', w = ':ab' WHERE id = 10"],
        finds: &[("(id=10)", Different)],
    },
    Case {
        name: "fraction",
        columns: "id INT PRIMARY KEY, v DATETIME(6), w TIMESTAMP(3) NULL, x TIME(6)",
        row: "n, '2024-01-31 23:59:59.5', '2024-03-31 01:30:00.250', '-00:00:00.5'",
        change: &[
            "UPDATE T SET v = '2024-01-31 23:59:59.500001' WHERE id = 100",
            "UPDATE T SET w = '2024-03-31 01:30:00.251' WHERE id = 200",
            "UPDATE T SET x = '00:00:00.5' WHERE id = 300",
        ],
        finds: &[("(id=100)", Different), ("(id=200)", Different), ("(id=300)", Different)],
    },
    Case {
        name: "documents",
        columns: "id INT PRIMARY KEY, v JSON",
        row: "n, '{\"a\": 1, \"b\": [1, 2]}'",
        change: &[
            "UPDATE T SET v = '{\"a\": 1.0, \"b\": [1, 2]}' WHERE id = 10",
            "UPDATE T SET v = '{\"a\": 1, \"b\": [2, 1]}' WHERE id = 12",
            "UPDATE T SET v = 'null' WHERE id = 14",
        ],
        finds: &[("(id=10)", Different), ("(id=12)", Different), ("(id=14)", Different)],
    },
    Case {
        name: "kinds",
        columns: "id INT PRIMARY KEY, e ENUM('','a') NULL, s SET('x','y'), b BIT(64), \
                  g GEOMETRY, l VARCHAR(9) CHARACTER SET latin1, u TEXT CHARACTER SET ucs2, \
                  v VECTOR(2), d DECIMAL(65,30), c INT AS (id * 2) VIRTUAL",
        row: "n, 'a', 'x', X'8000000000000000', ST_GeomFromText('POINT(1 2)', 0), 'ä', 'ä', \
              STRING_TO_VECTOR('[1,2]'), 0, DEFAULT",
        change: &[
            "UPDATE T SET e = '' WHERE id = 10",
            "UPDATE T SET s = 'x,y' WHERE id = 20",
            "UPDATE T SET b = X'8000000000000001' WHERE id = 30",
            "UPDATE T SET g = ST_GeomFromText('POINT(1 2)', 4326) WHERE id = 40",
            "UPDATE T SET l = 'ã' WHERE id = 50",
            "UPDATE T SET u = 'Ä' WHERE id = 60",
            "UPDATE T SET v = STRING_TO_VECTOR('[1,2.0000002]') WHERE id = 70",
            "UPDATE T SET d = 0.000000000000000000000000000001 WHERE id = 80",
        ],
        finds: &[
            ("(id=10)", Different),
            ("(id=20)", Different),
            ("(id=30)", Different),
            ("(id=40)", Different),
            ("(id=50)", Different),
            ("(id=60)", Different),
            ("(id=70)", Different),
            ("(id=80)", Different),
        ],
    },
    Case {
        name: "two_part_key",
        columns: "a INT, b BINARY(2), v INT, PRIMARY KEY (a, b)",
        row: "n DIV 100, UNHEX(LPAD(HEX(n), 4, '0')), 0",
        change: &["UPDATE T SET v = 1 WHERE a = 5 AND b = X'01F8'"],
        finds: &[("(a=5, b=0x01F8)", Different)],
    },
    Case {
        name: "enum_key",
        columns: "e ENUM('north','south'), id INT, v INT, PRIMARY KEY (e, id)",
        row: "IF(n % 4, 'north', 'south'), n, 0",
        change: &["UPDATE T SET v = 1 WHERE id = 504", "DELETE FROM T WHERE id = 506"],
        finds: &[("(e=north, id=506)", MissingOnTarget), ("(e=south, id=504)", Different)],
    },
    Case {
        name: "many_more",
        columns: "id INT PRIMARY KEY",
        row: "n",
        change: &[
            "INSERT INTO T SELECT id + 10000 FROM T",
            "INSERT INTO T SELECT id + 100000 FROM T",
        ],
        finds: &[],
    },
    Case {
        name: "keyless",
        columns: "v VARCHAR(9)",
        row: "n DIV 4",
        // Equal rows come in pairs, so that the exclusive or of all hashes is as before.
        change: &["UPDATE T SET v = 'other' WHERE v = '77'"],
        finds: &[],
    },
    Case {
        name: "float_key",
        columns: "f FLOAT PRIMARY KEY, v INT",
        row: "n / 7, 0",
        change: &["UPDATE T SET v = 1 ORDER BY f LIMIT 1"],
        finds: &[],
    },
];

async fn numbers(session: &mut Session) {
    session.execute("CREATE TABLE cases.numbers (n INT PRIMARY KEY)").await.unwrap();
    session.execute("SET SESSION cte_max_recursion_depth = 10000").await.unwrap();
    session
        .execute(
            "INSERT INTO cases.numbers WITH RECURSIVE r AS (SELECT 2 AS n UNION ALL \
             SELECT n + 2 FROM r WHERE n < 2000) SELECT n FROM r",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_differs_is_found() {
    let sides = Sides::start(Role::Plain).await;
    equal_shops_are_equal(&sides).await;
    changed_rows_are_found_by_key(&sides).await;
    documents_that_text_cannot_tell(&sides).await;
    other_definitions_are_found(&sides).await;
    hashes_stand_by_themselves(&sides).await;
    impatient_servers_are_compared(&sides).await;
}

/// Servers that drop an idle session after two seconds and cut results short.
#[expect(clippy::disallowed_methods, reason = "idleness itself is what is tested")]
async fn impatient_servers_are_compared(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        for sql in [
            "CREATE DATABASE impatient",
            "CREATE TABLE impatient.t (a INT PRIMARY KEY, b INT, c INT)",
            "INSERT INTO impatient.t VALUES (1, 2, 3), (2, 3, 4)",
            "SET GLOBAL wait_timeout = 2, GLOBAL sql_select_limit = 2, GLOBAL max_execution_time = 500",
        ] {
            session.execute(sql).await.unwrap();
        }
    }
    target.execute("UPDATE impatient.t SET c = 5 WHERE a = 2").await.unwrap();
    let [ours, theirs] = sides.urls();
    let selection = Selection { databases: vec!["impatient".into()], ..Selection::default() };
    let events = Events::to(|event| {
        if matches!(event, Event::Progress { .. }) {
            std::thread::sleep(Duration::from_millis(3_500));
        }
    });
    let stop = StopSignal::default();
    // One thread: none is just logging in while the other one sleeps.
    let alone = VerifyConfig { threads: 1, ..config(100) };
    let report = compare(&ours, &theirs, &selection, &alone, Liveness::Still, &events, &stop).await;
    for session in [&mut source, &mut target] {
        let defaults = "SET GLOBAL wait_timeout = DEFAULT, GLOBAL sql_select_limit = DEFAULT, GLOBAL max_execution_time = DEFAULT";
        session.execute(defaults).await.unwrap();
    }
    let report = report.unwrap();
    assert_eq!(found(&report, "t"), [("(a=2)".to_string(), Different)]);
    assert_eq!(report.objects["column"].source, 3);
}

async fn equal_shops_are_equal(sides: &Sides) {
    let options = ShopOptions { rows: 2_000, ..ShopOptions::default() };
    let [ours, theirs] = [&sides.source, &sides.target].map(|server| server.root_url());
    let (ours, theirs) = tokio::join!(
        shop::generate(&ours, &options, |_, _| {}),
        shop::generate(&theirs, &options, |_, _| {})
    );
    let summary = ours.unwrap();
    theirs.unwrap();
    let report = sides.compare("shop", &config(150), Liveness::Detect).await;
    assert!(report.is_equal(), "{:#?}", report.first_differences(20));
    assert!(!report.live && report.limits.is_empty(), "{:?}", report.limits);
    for (name, rows) in &summary.tables {
        let verdict = table(&report, name);
        // The trigger's table and the like are filled by others.
        if verdict.rows_source != *rows {
            assert_eq!(verdict.rows_source, verdict.rows_target, "{name}");
        }
    }
    assert!(report.rows().0 >= summary.rows.min(2_000) && report.rows().0 == report.rows().1);
    assert!(table(&report, "orders").chunks > 1);
    assert_eq!(report.objects["trigger"].source, report.objects["trigger"].target);
    assert!(report.objects["view"].source >= 4 && report.objects["index"].target > 20);

    let [_, mut target] = sides.sessions().await;
    let count = VerifyConfig { mode: VerifyMode::Count, ..config(100) };
    assert!(sides.compare("shop", &count, Liveness::Still).await.is_equal());
    target.execute("DELETE FROM shop.page_views LIMIT 1").await.unwrap();
    let report = sides.compare("shop", &count, Liveness::Still).await;
    assert_eq!(table(&report, "page_views").verdict, Verdict::Different);
    assert!(report.first_differences(9)[0].contains("page_views"), "{report:?}");
}

async fn changed_rows_are_found_by_key(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        session.execute("CREATE DATABASE cases").await.unwrap();
        numbers(session).await;
        for case in CASES {
            let name = format!("cases.{}", case.name);
            session.execute(format!("CREATE TABLE {name} ({})", case.columns)).await.unwrap();
            session
                .execute(
                    format!(
                        "INSERT INTO {name} SELECT {} FROM cases.numbers",
                        case.row.replace(", DEFAULT", "")
                    )
                    .replace(
                        "cases.kinds SELECT",
                        "cases.kinds (id, e, s, b, g, l, u, v, d) SELECT",
                    ),
                )
                .await
                .unwrap();
        }
    }
    let report = sides.compare("cases", &config(300), Liveness::Still).await;
    assert!(report.is_equal(), "{:#?}", report.first_differences(20));

    for case in CASES {
        for change in case.change {
            let sql = change.replace(" T ", &format!(" cases.{} ", case.name));
            let sql = if sql.ends_with(" T") {
                format!("{}cases.{}", &sql[..sql.len() - 1], case.name)
            } else {
                sql
            };
            assert!(target.execute(&sql).await.unwrap().affected > 0, "{sql}");
        }
    }
    let report = sides.compare("cases", &config(300), Liveness::Still).await;
    assert!(!report.is_equal());
    for case in CASES {
        let verdict = table(&report, case.name);
        let expected = if case.change.is_empty() { Verdict::Equal } else { Verdict::Different };
        assert_eq!(verdict.verdict, expected, "{}", case.name);
        if !case.finds.is_empty() {
            let wanted: Vec<_> =
                case.finds.iter().map(|(key, what)| ((*key).to_string(), *what)).collect();
            let mut got = found(&report, case.name);
            got.sort_by_key(|row| wanted.iter().position(|wanted| wanted == row));
            assert_eq!(got, wanted, "{}", case.name);
            assert_eq!(verdict.more, 0, "{}", case.name);
        }
    }
    assert_eq!(table(&report, "untouched").chunks, 4);
    let verdict = table(&report, "many_more");
    assert_eq!((verdict.rows_source, verdict.rows_target), (1_000, 4_000));
    assert_eq!(
        (verdict.differences.len() as u64 + verdict.more, verdict.differences.len()),
        (3_000, 100)
    );
    let rows = found(&report, "keyless");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter()
            .any(|row| row.0.contains("2 times at the source and 0") && row.1 == MissingOnTarget)
    );
    assert!(
        rows.iter()
            .any(|row| row.0.contains("0 times at the source and 2") && row.1 == ExtraOnTarget)
    );
    assert_eq!(found(&report, "float_key").len(), 2);
}

/// What becomes of documents whose values no text can tell, once they went through their text.
async fn documents_that_text_cannot_tell(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        for sql in [
            "CREATE DATABASE documents",
            "CREATE TABLE documents.d (id INT PRIMARY KEY, j JSON)",
            "INSERT INTO documents.d VALUES (1, JSON_OBJECT('d', CAST('2024-02-29' AS DATE))), \
             (2, JSON_ARRAY(CAST(1.10 AS DECIMAL(30,10)))), (3, JSON_ARRAY(CAST('-12:00:00.5' AS TIME(6)))), \
             (4, JSON_ARRAY(x'00ff')), (5, '[1.5, \"2024-02-29\"]')",
        ] {
            session.execute(sql).await.unwrap();
        }
    }
    let report = sides.compare("documents", &config(100), Liveness::Still).await;
    assert!(report.is_equal() && report.limits.is_empty(), "{report:?}");
    for id in [1, 3, 4] {
        let sql =
            format!("UPDATE documents.d SET j = CAST(CAST(j AS CHAR) AS JSON) WHERE id = {id}");
        assert_eq!(target.execute(sql).await.unwrap().affected, 1);
    }
    // They print alike: the rows count as equal, and the report says what that is worth.
    let report = sides.compare("documents", &config(100), Liveness::Still).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(report.limits.len(), 1);
    let line = &report.limits[0];
    assert!(
        line.contains("documents.d, column j: 4 documents") && line.contains("and 1"),
        "{line}"
    );
    // A decimal that became a double prints in another way, and is a difference. To UPDATE they are
    // equal, and it would change nothing.
    target.execute("UPDATE documents.d SET j = NULL WHERE id = 2").await.unwrap();
    target.execute("UPDATE documents.d SET j = '[1.1]' WHERE id = 2").await.unwrap();
    let report = sides.compare("documents", &config(100), Liveness::Still).await;
    assert_eq!(found(&report, "d"), [("(id=2)".to_string(), Different)]);
}

async fn other_definitions_are_found(sides: &Sides) {
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

async fn hashes_stand_by_themselves(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    let selection = Selection { databases: vec!["cases".into()], ..Selection::default() };
    let catalog = Catalog::read(&mut source, &selection).await.unwrap();
    let find = |name: &str| catalog.tables.iter().find(|t| t.name.name == name).unwrap();
    let all = KeyRange::all();

    // Neither the connection's character set nor its settings change a hash.
    let kinds = find("kinds");
    let plain = hash::chunk_sum(&mut source, kinds, None, &all).await.unwrap();
    for names in ["binary", "latin1", "gbk", "utf8mb4"] {
        source.execute(format!("SET NAMES {names}")).await.unwrap();
        assert_eq!(
            hash::chunk_sum(&mut source, kinds, None, &all).await.unwrap(),
            plain,
            "{names}"
        );
    }
    let key = ChunkKey::of(kinds).unwrap();
    assert_eq!(hash::chunk_sum(&mut source, kinds, Some(&key), &all).await.unwrap(), plain);
    assert_eq!(plain.rows, 1_000);

    // The parts of a table add up to it.
    let rows = hash::row_hashes(&mut source, kinds, &key, &all).await.unwrap();
    assert_eq!(rows.len(), 1_000);
    let xor = rows.iter().fold(0, |xor, row| xor ^ u64::from_str_radix(&row.1[..16], 16).unwrap());
    assert_eq!(xor, plain.xor.0);
    let one = KeyRange { after: Some(rows[6].0.clone()), up_to: Some(rows[7].0.clone()) };
    let one = hash::chunk_sum(&mut source, kinds, Some(&key), &one).await.unwrap();
    assert_eq!(one.rows, 1);
    assert_eq!(format!("{:016x}", one.xor.0), rows[7].1[..16]);

    // A range through an index that isn't there yet.
    let mut missing = key.clone();
    missing.index = "later".into();
    assert_eq!(hash::chunk_sum(&mut source, kinds, Some(&missing), &all).await.unwrap(), plain);

    // No rows are no rows, and a row that can't be hashed is an error.
    target
        .execute(
            "CREATE TABLE cases.wide (id INT PRIMARY KEY, a VARBINARY(20000), b VARBINARY(20000))",
        )
        .await
        .unwrap();
    let catalog = Catalog::read(&mut target, &selection).await.unwrap();
    let wide = catalog.tables.iter().find(|t| t.name.name == "wide").unwrap();
    let sum = hash::chunk_sum(&mut target, wide, None, &all).await.unwrap();
    assert_eq!((sum.rows, sum.xor, sum.sum.0.as_str()), (0, (0, 0), "0"));
    target
        .execute("INSERT INTO cases.wide VALUES (1, REPEAT('a', 20000), REPEAT('b', 20000))")
        .await
        .unwrap();
    target.execute("SET GLOBAL max_allowed_packet = 16384").await.unwrap();
    let [_, mut narrow] = sides.sessions().await;
    let error = hash::chunk_sum(&mut narrow, wide, None, &all).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotExact, "{error}");
    assert!(
        error.to_string().contains("max_allowed_packet")
            && error.to_string().contains("cases.wide")
    );
    target.execute("SET GLOBAL max_allowed_packet = 67108864").await.unwrap();

    // A stop is heeded.
    let stop = StopSignal::default();
    stop.stop(StopReason::Interrupt);
    let [ours, theirs] = sides.urls();
    let error = compare(
        &ours,
        &theirs,
        &selection,
        &config(100),
        Liveness::Still,
        &Events::nowhere(),
        &stop,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}

/// Writes to the source without a pause until it is told to stop.
struct Hammer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Hammer {
    fn start(url: &ServerUrl) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..2u64)
            .map(|worker| {
                let (url, stop, done) = (url.clone(), stop.clone(), done.clone());
                tokio::spawn(async move {
                    let mut session = Session::open(&url, Side::Source).await.unwrap();
                    let mut n = worker * 1_000_000;
                    while !stop.load(Ordering::SeqCst) {
                        n += 1;
                        let id = 1_000 + n % 1_000;
                        for sql in [
                            // A row that is never the same at two moments.
                            "UPDATE live.t SET n = n + 1 WHERE id = 1".to_string(),
                            format!("UPDATE live.t SET n = n + 1, v = '{n}' WHERE id = {id}"),
                            format!(
                                "REPLACE INTO live.t VALUES ({}, 'new', {n})",
                                10_000 + n % 500
                            ),
                            format!("DELETE FROM live.t WHERE id = {}", 10_000 + (n + 250) % 500),
                            format!("INSERT INTO live.k VALUES ({n}, 'x')"),
                            format!("DELETE FROM live.k WHERE v = {}", n.saturating_sub(20)),
                            format!("UPDATE live.e SET v = {n} WHERE id = {}", n % 50),
                        ] {
                            match session.execute(&sql).await {
                                Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                                Err(error)
                                    if matches!(error.kind(), Kind::Deadlock | Kind::LockWait) =>
                                {
                                    0
                                }
                                Err(error) => panic!("{sql}: {error}"),
                            };
                        }
                    }
                })
            })
            .collect();
        Hammer { stop, done, tasks }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_divergence_is_proven() {
    let sides = Sides::start(Role::Source).await;
    let [mut source, mut target] = sides.sessions().await;
    for sql in [
        "CREATE DATABASE live".to_string(),
        "CREATE TABLE live.t (id INT PRIMARY KEY, v VARCHAR(20), n BIGINT)".to_string(),
        "CREATE TABLE live.k (v BIGINT, w VARCHAR(20))".to_string(),
        "CREATE TABLE live.e (e ENUM('a','b'), id INT, v BIGINT, PRIMARY KEY (e, id))".to_string(),
        "SET SESSION cte_max_recursion_depth = 10000".to_string(),
        "INSERT INTO live.t WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5000) SELECT n, 'v', 0 FROM r".to_string(),
        "INSERT INTO live.e SELECT IF(id % 2, 'a', 'b'), id, 0 FROM live.t WHERE id < 200".to_string(),
        "INSERT INTO live.k SELECT -id, 'old' FROM live.t WHERE id < 500".to_string(),
    ] {
        source.execute(sql).await.unwrap();
    }
    target
        .execute(format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'root', \
             SOURCE_PASSWORD = '{}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
            sides.source.port(),
            sides.source.root_password()
        ))
        .await
        .unwrap();
    target.execute("START REPLICA").await.unwrap();

    let hammer = Hammer::start(&sides.urls()[0]);
    while hammer.done() < 500 {
        tokio::task::yield_now().await;
    }
    let before = hammer.done();
    let report = sides.compare("live", &config(500), Liveness::Detect).await;
    assert!(report.live && report.is_equal(), "{:#?}", report);
    assert!(hammer.done() > before, "the writer stood still");
    // The rows that are written all the time had to be looked at again.
    assert!(report.rechecked > 0, "{report:#?}");
    assert_eq!(report.proven, 0);

    target.execute("SET SESSION sql_log_bin = 0").await.unwrap();
    for sql in [
        "UPDATE live.t SET v = 'evil' WHERE id = 777",
        "DELETE FROM live.t WHERE id = 778",
        "INSERT INTO live.t VALUES (900000, 'evil', 0)",
        "UPDATE live.e SET v = -1 WHERE id = 150",
        "UPDATE live.k SET w = 'evil' WHERE v = -77",
    ] {
        assert_eq!(target.execute(sql).await.unwrap().affected, 1, "{sql}");
    }
    let before = hammer.done();
    let report = sides.compare("live", &config(500), Liveness::Detect).await;
    assert!(hammer.done() > before, "the writer stood still");
    let mut got = found(&report, "t");
    got.sort();
    assert_eq!(
        got,
        [
            ("(id=777)".to_string(), Different),
            ("(id=778)".to_string(), MissingOnTarget),
            ("(id=900000)".to_string(), ExtraOnTarget)
        ]
    );
    assert_eq!(found(&report, "e"), [("(e=b, id=150)".to_string(), Different)]);
    assert_eq!(found(&report, "k").len(), 2, "{report:#?}");
    assert!(report.proven >= 5);
    assert_eq!(report.tables.iter().map(|table| table.more).sum::<u64>(), 0, "{report:#?}");

    // A replica that stops isn't a difference.
    target.execute("STOP REPLICA SQL_THREAD").await.unwrap();
    let [ours, theirs] = sides.urls();
    let selection = Selection { databases: vec!["live".into()], ..Selection::default() };
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let error = compare(&ours, &theirs, &selection, &config(500), Liveness::Live, &events, &stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Replication, "{error}");
    hammer.end().await;
}

/// Types that all products have, with values at which their texts might part.
const COMMON: [&str; 2] = [
    "CREATE TABLE common.t (id INT UNSIGNED NOT NULL AUTO_INCREMENT, i BIGINT UNSIGNED, z INT(8) ZEROFILL, \
     f FLOAT, m FLOAT(7,4), d DOUBLE, x DOUBLE(20,3), n DECIMAL(65,30) DEFAULT '1.5', y YEAR, b BIT(64), \
     da DATE, ti TIME(3), dt DATETIME(6), ts TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), \
     e ENUM('','a') DEFAULT 'a', s SET('x','y'), c CHAR(5) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s', \
     v VARCHAR(20) CHARACTER SET ucs2, u VARCHAR(20) CHARACTER SET utf8 COLLATE utf8_bin, bi BINARY(4), \
     vb VARBINARY(9), tx MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, bl LONGBLOB, g GEOMETRY, \
     PRIMARY KEY (id), UNIQUE KEY pair (da, ti), KEY part (u(3))) \
     ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
    "INSERT INTO common.t VALUES \
     (1, 18446744073709551615, 5, 1.4e-45, 0.1, 5e-324, 0.1234, 99999999999999999999999999999999999.999999999999999999999999999999, \
      2155, X'FFFFFFFFFFFFFFFF', '2024-02-29', '-12:00:00.5', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', \
      '', 'x,y', 'a ', '日本', 'ß', 'a', X'5C00', REPEAT('長🙂', 5000), REPEAT(X'00FF', 50000), NULL), \
     (2, 0, 0, 3.40282346e38, -1, 1.7976931348623157e308, -5, -0.000000000000000000000000000001, 0, 0, '0000-00-00', \
      '838:59:59', '0000-00-00', '0000-00-00', 'a', '', '', '', '', '', '', '', '', POINTTEXT('POINT(1 -2.5e-10)')), \
     (3, NULL, NULL, 16777217, NULL, 0.1, NULL, 0, NULL, NULL, '2024-00-00', NULL, '2024-03-31 02:30:00', NULL, \
      NULL, NULL, 'é', ' ', 'NULL', NULL, NULL, NULL, NULL, NULL)",
];

#[tokio::test(flavor = "multi_thread")]
async fn products_hash_alike() {
    let start = |product| Server::start(ServerOptions::new(product, Role::Plain).durable(false));
    let (old, new, maria) =
        tokio::join!(start(Product::Mysql56), start(Product::Mysql97), start(Product::Mariadb1011));
    let servers = [old.unwrap(), new.unwrap(), maria.unwrap()];
    let urls: Vec<ServerUrl> =
        servers.iter().map(|server| ServerUrl::parse(&server.root_url()).unwrap()).collect();
    for url in &urls {
        let mut session = Session::open(url, Side::Source).await.unwrap();
        let point =
            if session.dialect().mysql_from(8, 0, 0) { "ST_GeomFromText" } else { "GeomFromText" };
        session
            .execute(
                "CREATE DATABASE common DEFAULT CHARACTER SET latin1 COLLATE latin1_swedish_ci",
            )
            .await
            .unwrap();
        for sql in COMMON {
            session.execute(sql.replace("POINTTEXT", point)).await.unwrap();
        }
    }
    let selection = Selection { databases: vec!["common".into()], ..Selection::default() };
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    for (ours, theirs) in [(0, 1), (2, 1), (1, 2)] {
        let report = compare(
            &urls[ours],
            &urls[theirs],
            &selection,
            &config(100),
            Liveness::Detect,
            &events,
            &stop,
        )
        .await
        .unwrap();
        assert!(report.is_equal(), "{ours} {theirs}: {:#?}", report.first_differences(20));
        assert_eq!(report.rows(), (3, 3));
    }
    let mut target = Session::open(&urls[1], Side::Target).await.unwrap();
    target.execute("UPDATE common.t SET f = 16777216 + 2 WHERE id = 3").await.unwrap();
    target.execute("UPDATE common.t SET v = '日木' WHERE id = 1").await.unwrap();
    let report =
        compare(&urls[0], &urls[1], &selection, &config(100), Liveness::Still, &events, &stop)
            .await
            .unwrap();
    assert_eq!(
        found(&report, "t"),
        [("(id=1)".to_string(), Different), ("(id=3)".to_string(), Different)]
    );
}
