//! Rows that differ, one kind of difference after the other, found by key.

use daybreak::{
    mysql::Session,
    sync::verify::{Liveness, Verdict, What},
};

use super::harness::{Sides, config, found, table};

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
            "UPDATE T SET v = NULL WHERE id = 16",
            "UPDATE T SET v = JSON_OBJECT('a', 1.0, 'b', JSON_ARRAY(1, 2)) WHERE id = 16",
            "UPDATE T SET v = NULL WHERE id = 18",
            "UPDATE T SET v = JSON_OBJECT('a', 1, 'b', JSON_ARRAY(CAST(1 AS UNSIGNED), 2)) WHERE id = 18",
            "UPDATE T SET v = '{\"a\": \"1\", \"b\": [1, 2]}' WHERE id = 20",
            "UPDATE T SET v = '{\"a\": 1, \"b\": [1, true]}' WHERE id = 22",
        ],
        finds: &[
            ("(id=10)", Different),
            ("(id=12)", Different),
            ("(id=14)", Different),
            ("(id=16)", Different),
            ("(id=18)", Different),
            ("(id=20)", Different),
            ("(id=22)", Different),
        ],
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
        row: "n / 7e0, 0",
        change: &["UPDATE T SET v = 1 ORDER BY f LIMIT 1"],
        finds: &[("(f=0.2857143)", Different)],
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

pub async fn changed_rows_are_found_by_key(sides: &Sides) {
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
}
