//! The SQL that sets differences right: run by the servers' own client, it makes equal sides.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use daybreak::{
    config::{VerifyConfig, VerifyMode},
    engine::StopSignal,
    error::Kind,
    event::Events,
    mysql::{ServerUrl, Session, Side},
    select::Selection,
    sync::verify::{
        Liveness, VerifyReport, compare,
        repair::{self, RepairReport},
    },
};
use rehearsal::server::{Role, Server};

use super::harness::{Sides, config, products};

/// Tables, what both sides have, and what then happens on the target.
const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "kinds",
        &[
            "CREATE TABLE T (id BIGINT UNSIGNED PRIMARY KEY, i1 TINYINT, i8 BIGINT, z INT(8) ZEROFILL, \
             f FLOAT, m FLOAT(7,4), d DOUBLE, n DECIMAL(65,30), y YEAR, b BIT(64), b1 BIT(1), da DATE, ti TIME(3), \
             dt DATETIME(6), ts TIMESTAMP(6) NULL ON UPDATE CURRENT_TIMESTAMP(6), e ENUM('','a','0'), s SET('x','y',''), \
             c CHAR(5) CHARACTER SET latin1, v VARCHAR(20) CHARACTER SET ucs2, u VARCHAR(20) CHARACTER SET utf8mb4, \
             k VARCHAR(20) CHARACTER SET gbk, j2 VARCHAR(20) CHARACTER SET sjis, bi BINARY(4), vb VARBINARY(9), \
             tx MEDIUMTEXT, bl LONGBLOB, g GEOMETRY, p POINT SRID 4326, ve VECTOR(2), \
             ge INT AS (i1 * 2) VIRTUAL, gs VARCHAR(40) AS (CONCAT(u, '!')) STORED, inv INT INVISIBLE DEFAULT 3)",
            "INSERT INTO T (id, i1, i8, z, f, m, d, n, y, b, b1, da, ti, dt, ts, e, s, c, v, u, k, j2, bi, vb, tx, bl, g, p, ve, inv) VALUES \
             (0, -128, -9223372036854775808, 5, 1.4e-45, 0.1, 5e-324, \
              99999999999999999999999999999999999.999999999999999999999999999999, 2155, X'FFFFFFFFFFFFFFFF', 1, \
              '2024-02-31', '-838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '', 'x,y,', \
              'a ', '日本', 'ß🙂', '\\\\誠', 'ソ表', 'a', X'5C00', REPEAT('長🙂', 5000), REPEAT(X'00FF', 50000), \
              ST_GeomFromText('POINT(1 -2.5e-10)', 4326), ST_GeomFromText('POINT(1 2)', 4326), \
              STRING_TO_VECTOR('[1e-30,-0]'), 9), \
             (18446744073709551615, 127, 0, 0, -0e0, -1, -0e0, -0.000000000000000000000000000001, 0, 0, 0, \
              '0000-00-00', '-00:00:00.5', '0000-00-00', '0000-00-00', 'a', '', '', '', '', '', '', '', '', '', '', \
              NULL, NULL, NULL, NULL), \
             (2, NULL, NULL, NULL, 3.40282346e38, NULL, 1.7976931348623157e308, NULL, NULL, NULL, NULL, '2024-00-00', \
              NULL, '2024-03-31 02:30:00', NULL, '0', NULL, 'é', NULL, 'a''b', NULL, NULL, NULL, NULL, NULL, NULL, \
              ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'), NULL, NULL, 0), \
             (3, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 1901, 1, 1, '2024-01-01', '10:00', '2024-01-01', '2024-03-31 01:30:00', \
              'a', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', NULL, NULL, NULL, 1)",
            // Number 0, which is no member.
            "INSERT IGNORE INTO T (id, e) VALUES (4, 'none')",
        ],
        &[
            "DELETE FROM T WHERE id IN (0, 18446744073709551615, 4)",
            "UPDATE T SET f = 16777217, d = 0.1, u = 'other', e = '', ts = '2000-01-01' WHERE id = 2",
            "UPDATE T SET f = 0.10000000894069672 WHERE id = 3",
            "INSERT INTO T (id, i1) VALUES (77, 1)",
        ],
    ),
    (
        "documents",
        &[
            "CREATE TABLE T (id INT PRIMARY KEY, v JSON, w JSON)",
            "INSERT INTO T VALUES (1, JSON_OBJECT('a', 1.5, 'b', CAST('2024-01-31' AS DATE), 'c', \
             JSON_ARRAY(CAST('10:00:00.5' AS TIME(6)), CAST(7 AS UNSIGNED), CAST(4294967296 AS SIGNED), 1e0, 5e300)), \
             CAST(CAST('2024-01-31 01:02:03' AS DATETIME) AS JSON)), \
             (2, CAST(1.10 AS JSON), JSON_ARRAY(CAST(X'00FF' AS BINARY(2)), 'ß🙂', NULL, TRUE)), \
             (3, '{\"a\\\\\"b\": 1, \"\": \"2024-01-31\", \"n\": 18446744073709551615, \"m\": -9223372036854775808}', 'null'), \
             (4, NULL, '[]'), (5, '\"x\"', '{}')",
        ],
        &[
            "UPDATE T SET v = CAST(CAST(v AS CHAR) AS JSON), w = CAST(CAST(w AS CHAR) AS JSON) WHERE id < 3",
            "UPDATE T SET v = NULL WHERE id = 3",
            "DELETE FROM T WHERE id > 3",
        ],
    ),
    (
        "keyless_documents",
        &[
            "CREATE TABLE T (v JSON, n INT)",
            "INSERT INTO T VALUES (JSON_ARRAY(1.5, CAST('2024-01-31' AS DATE)), 1), ('[1]', 2), ('[1]', 2)",
        ],
        &["DELETE FROM T WHERE n = 1", "UPDATE T SET v = JSON_ARRAY(CAST(1 AS UNSIGNED)) LIMIT 1"],
    ),
    (
        "moved",
        &[
            "CREATE TABLE T (id INT PRIMARY KEY, u INT NOT NULL, w VARCHAR(9), UNIQUE KEY (u), UNIQUE KEY (w))",
            "INSERT INTO T SELECT n, n, IF(n % 10, CONCAT('w', n), NULL) FROM numbers",
        ],
        &[
            "UPDATE T SET u = u + 1000000",
            "UPDATE T SET u = IF(id = 2, 2000, IF(id = 2000, 2, u - 1000000))",
            "UPDATE T SET w = 'tmp' WHERE id = 1002",
            "UPDATE T SET w = 'w1002' WHERE id = 30",
            "DELETE FROM T WHERE id = 700",
            "INSERT INTO T VALUES (701, 700, 'w700')",
        ],
    ),
    (
        "letter_case",
        &[
            "CREATE TABLE T (id VARCHAR(9) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, v INT)",
            "INSERT INTO T SELECT CONCAT('k', LPAD(n, 5, '0')), 0 FROM numbers",
        ],
        &[
            "UPDATE T SET id = 'K00500' WHERE id = 'k00500'",
            "UPDATE T SET id = 'k00500 ', v = 1 WHERE id = 'k00700'",
            // More than are set together: none may go after its like has come.
            "UPDATE T SET id = UPPER(id) WHERE id > 'k01200'",
        ],
    ),
    (
        "keyless",
        &[
            "CREATE TABLE T (a INT NULL, b VARCHAR(9) NULL, f FLOAT)",
            "INSERT INTO T SELECT NULL, NULL, 0.1 FROM numbers WHERE n < 20",
            "INSERT INTO T SELECT n, '', 0 FROM numbers",
            "INSERT INTO T SELECT n, NULL, -0e0 FROM numbers WHERE n > 1000",
        ],
        &[
            "DELETE FROM T WHERE a IS NULL LIMIT 3",
            "INSERT INTO T VALUES (NULL, '', 0.1), (NULL, NULL, NULL), (NULL, NULL, NULL)",
            "INSERT INTO T SELECT a, b, f FROM T WHERE a BETWEEN 10 AND 20",
            "UPDATE T SET f = 0 WHERE a = 1500 AND b IS NULL",
            "DELETE FROM T WHERE a BETWEEN 200 AND 900",
        ],
    ),
    (
        "keyless_but_unique",
        &[
            "CREATE TABLE T (a INT NULL, b INT, UNIQUE KEY (a))",
            "INSERT INTO T SELECT IF(n % 4, n, NULL), n FROM numbers",
        ],
        &[
            "UPDATE T SET a = NULL WHERE a = 6",
            "UPDATE T SET a = 6 WHERE a = 10",
            "UPDATE T SET b = 1 WHERE a IS NULL LIMIT 5",
        ],
    ),
    (
        "by_set",
        &[
            "CREATE TABLE T (s SET('a','b','c','d','e','f','g','h','i','j','k') PRIMARY KEY, v BLOB)",
            "INSERT INTO T SELECT n, REPEAT('x', n) FROM numbers WHERE n < 2000",
        ],
        &[
            "UPDATE T SET v = 'y' WHERE s = 'b'",
            "DELETE FROM T WHERE s = 'b,c'",
            "INSERT INTO T VALUES ('a', '')",
        ],
    ),
    (
        "by_number",
        &[
            "CREATE TABLE T (f FLOAT, e ENUM('north','south'), b BINARY(2), v INT, PRIMARY KEY (f, e, b))",
            "INSERT INTO T SELECT n / 7e0, IF(n % 4, 'north', 'south'), UNHEX(LPAD(HEX(n), 4, '0')), 0 FROM numbers",
        ],
        &["UPDATE T SET v = 1 ORDER BY f LIMIT 3", "DELETE FROM T ORDER BY f DESC LIMIT 3"],
    ),
    (
        "parents",
        &[
            "CREATE TABLE T (id INT PRIMARY KEY AUTO_INCREMENT, v INT, CHECK (v < 1000))",
            "INSERT INTO T VALUES (0, 0), (1, 1), (2, 2), (3, 3)",
            "CREATE TABLE children (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE)",
            "INSERT INTO children VALUES (10, 0), (11, 1), (12, 2), (13, 3)",
        ],
        &[
            "UPDATE T SET v = 9 WHERE id IN (0, 1)",
            "SET foreign_key_checks = 0",
            "DELETE FROM T WHERE id = 3",
            "SET foreign_key_checks = 1",
        ],
    ),
    (
        "long",
        &[
            "CREATE TABLE T (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT CHARACTER SET utf16, j JSON, g GEOMETRY)",
            "INSERT INTO T VALUES (1, REPEAT(X'000102FF', 800000), REPEAT('長🙂', 200000), \
             JSON_ARRAY(REPEAT('x', 1000000), 1.5), \
             ST_GeomFromText(CONCAT('LINESTRING(', REPEAT('1 2, ', 40000), '3 4)')))",
            "INSERT INTO T SELECT n, REPEAT(CHAR(n % 256), 200000), 'x', '1', NULL FROM numbers WHERE n < 20",
        ],
        &[
            "DELETE FROM T WHERE id IN (1, 4, 6, 8)",
            "UPDATE T SET b = INSERT(b, 1000, 1, 'x') WHERE id > 9",
        ],
    ),
    (
        "thousands",
        &[
            "CREATE TABLE T (id INT PRIMARY KEY, v VARCHAR(20))",
            "INSERT INTO T SELECT n, 'v' FROM numbers",
        ],
        &[
            "UPDATE T SET v = 'w' WHERE id % 4",
            "INSERT INTO T SELECT n + 100001, 'x' FROM numbers",
            "INSERT INTO T SELECT n + 10001, 'x' FROM numbers",
            "INSERT INTO T SELECT id + 1000000, v FROM T",
            "INSERT INTO T SELECT id + 10000000, v FROM T",
        ],
    ),
    (
        "only_here",
        &["CREATE TABLE T (id INT PRIMARY KEY, v TEXT)", "INSERT INTO T SELECT n, n FROM numbers"],
        &["DELETE FROM T"],
    ),
    (
        "only_there",
        &["CREATE TABLE T (id INT PRIMARY KEY, v TEXT)"],
        &["INSERT INTO T SELECT n, n FROM numbers"],
    ),
    (
        "od`d \"na'me;\n-- x",
        &[
            "CREATE TABLE T (`i``d;\n x` INT PRIMARY KEY, `ü 'v` TEXT, `-- c` INT)",
            "INSERT INTO T VALUES (1, 'it''s', 1), (2, '\\\\', 2)",
        ],
        &["UPDATE T SET `-- c` = 3", "DELETE FROM T WHERE `i``d;\n x` = 1"],
    ),
    (
        "generated_only",
        &[
            "CREATE TABLE T (a INT AS (1) STORED, b INT AS (2) STORED)",
            "INSERT INTO T () VALUES (), ()",
        ],
        &["DELETE FROM T LIMIT 1"],
    ),
    ("equal", &["CREATE TABLE T (id INT PRIMARY KEY)", "INSERT INTO T SELECT n FROM numbers"], &[]),
];

fn sql(database: &str, table: &str, statement: &str) -> String {
    let name = format!("`{database}`.`{}`", table.replace('`', "``"));
    let text = statement.replace(" T ", &format!(" {name} "));
    let text = match text.strip_suffix(" T") {
        Some(text) => format!("{text} {name}"),
        None => text,
    };
    text.replace("FROM numbers", &format!("FROM `{database}`.numbers"))
        .replace(" children ", &format!(" `{database}`.children "))
        .replace("REFERENCES parents", &format!("REFERENCES `{database}`.parents"))
}

async fn numbers(session: &mut Session, database: &str) {
    for statement in [
        format!("CREATE DATABASE {database}"),
        format!("CREATE TABLE {database}.numbers (n INT PRIMARY KEY)"),
        "SET SESSION cte_max_recursion_depth = 10000".to_string(),
        format!(
            "INSERT INTO {database}.numbers WITH RECURSIVE r AS (SELECT 2 AS n UNION ALL \
             SELECT n + 2 FROM r WHERE n < 2000) SELECT n FROM r"
        ),
    ] {
        session.execute(statement).await.unwrap();
    }
}

/// Runs a file with the servers' own client.
pub fn client(server: &Server, programs: &Server, options: &[&str], file: &Path) -> Output {
    let login = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        login.path(),
        format!(
            "[client]\nuser=root\npassword=\"{}\"\nhost=127.0.0.1\nport={}\n",
            server.root_password(),
            server.port()
        ),
    )
    .unwrap();
    let programs = programs.binaries();
    Command::new(
        programs.program("mysql").or_else(|| programs.program("mariadb")).expect("a client"),
    )
    .arg(format!("--defaults-file={}", login.path().display()))
    .args(options)
    .stdin(File::open(file).unwrap())
    .output()
    .unwrap()
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Compares, and writes the file.
pub async fn write(
    [source, target]: &[ServerUrl; 2],
    database: &str,
    config: &VerifyConfig,
    file: &Path,
) -> (VerifyReport, daybreak::error::Result<RepairReport>) {
    let selection = Selection { databases: vec![database.into()], ..Selection::default() };
    write_of([source, target], &selection, config, file).await
}

async fn write_of(
    [source, target]: [&ServerUrl; 2],
    selection: &Selection,
    config: &VerifyConfig,
    file: &Path,
) -> (VerifyReport, daybreak::error::Result<RepairReport>) {
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let live = Liveness::Detect;
    let found = compare(source, target, selection, config, live, &events, &stop).await.unwrap();
    let sides = repair::Sides { source, target, selection, config, migration: None, stop: &stop };
    let written = repair::write(sides, &found, file).await;
    (found, written)
}

/// What CHECKSUM TABLE says of both sides.
async fn checksums(sessions: [&mut Session; 2], table: &str) -> Vec<Option<u64>> {
    let mut sums = Vec::new();
    for session in sessions {
        let row = session.row(format!("CHECKSUM TABLE {table}")).await.unwrap().unwrap();
        sums.push(session.column(&row, 1).unwrap());
    }
    sums
}

async fn whatever_differs(sides: &Sides, mode: VerifyMode) {
    let database = if mode == VerifyMode::Full { "mend_full" } else { "mend" };
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        numbers(session, database).await;
        for (table, both, _) in CASES {
            for statement in *both {
                let statement = sql(database, table, statement);
                session
                    .execute(&statement)
                    .await
                    .unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repair.sql");
    let config = VerifyConfig { mode, ..config(300) };
    let urls = sides.urls();
    let (found, nothing) = write(&urls, database, &config, &file).await;
    assert!(found.is_equal(), "{:#?}", found.first_differences(20));
    assert_eq!(nothing.unwrap(), RepairReport::default());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

    for (table, _, change) in CASES {
        for statement in *change {
            let statement = sql(database, table, statement);
            target.execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    let trigger = format!(
        "CREATE TRIGGER {database}.fires BEFORE INSERT ON {database}.fired FOR EACH ROW SET NEW.v = 7"
    );
    let fired = format!("CREATE TABLE {database}.fired (id INT PRIMARY KEY, v INT)");
    for session in [&mut source, &mut target] {
        session.execute(&fired).await.unwrap();
        session.execute(&trigger).await.unwrap();
    }
    source.execute(format!("INSERT INTO {database}.fired VALUES (1, 1)")).await.unwrap();

    let (found, written) = write(&urls, database, &config, &file).await;
    assert!(!found.is_equal());
    let written = written.unwrap();
    let [left] = written.left_alone.as_slice() else { panic!("{written:#?}") };
    assert_eq!(left.table.name, "fired");
    assert!(left.why.contains("fires"), "{left:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let counted = |name: &str| {
        let table = written.tables.iter().find(|repair| repair.table.name == name);
        table.map(|repair| (repair.set, repair.added, repair.removed))
    };
    assert_eq!(counted("kinds"), Some((2, 3, 1)));
    assert_eq!(counted("thousands"), Some((500, 0, 11_000)));
    assert_eq!(counted("moved"), Some((4, 1, 1)));
    assert_eq!(counted("equal"), None);
    let (_, again) = write(&urls, database, &config, &file).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Usage);

    // Never the wrong way round: on the source it does nothing, whatever the client is told.
    let before = checksums([&mut source, &mut target], &format!("{database}.kinds")).await;
    for options in [&[][..], &["--force"][..]] {
        let refused = client(&sides.source, &sides.target, options, &file);
        assert!(said(&refused).contains("another server, or too late"), "{}", said(&refused));
        assert_eq!(refused.status.success(), !options.is_empty(), "{}", said(&refused));
        assert_eq!(
            checksums([&mut source, &mut target], &format!("{database}.kinds")).await,
            before
        );
    }
    let ran = client(&sides.target, &sides.target, &[], &file);
    assert!(ran.status.success(), "{}", said(&ran));

    for other in [VerifyMode::Full, VerifyMode::Checksum] {
        let report = sides
            .compare(database, &VerifyConfig { mode: other, ..config.clone() }, Liveness::Still)
            .await;
        let different: Vec<String> = report.first_differences(20);
        assert_eq!(different.len(), 1, "{mode:?}, seen by {other:?}: {different:#?}");
        assert!(different[0].contains("fired"), "{different:#?}");
    }
    for (table, ..) in CASES {
        let name = sql(database, table, "T ").replacen("T ", "", 1);
        let name = if name.is_empty() {
            format!("`{database}`.`{}`", table.replace('`', "``"))
        } else {
            name
        };
        // The order of rows without a key counts there.
        if !table.starts_with("keyless") && !table.contains("only") {
            let sums = checksums([&mut source, &mut target], &name).await;
            assert_eq!(sums[0], sums[1], "{table}");
        }
    }
    let children: Option<u64> =
        target.scalar(format!("SELECT COUNT(*) FROM {database}.children")).await.unwrap();
    assert_eq!(children, Some(4));

    // Once more it finds nothing as it was, and says so before anything is changed.
    let ran = client(&sides.target, &sides.target, &[], &file);
    assert!(!ran.status.success() && said(&ran).contains("1062"), "{}", said(&ran));
    let report = sides.compare(database, &config, Liveness::Still).await;
    assert_eq!(report.first_differences(20).len(), 1, "{:#?}", report.first_differences(20));

    // What stands between them isn't lost: a row that is no longer what was compared.
    fs::remove_file(&file).unwrap();
    target
        .execute(format!("UPDATE {database}.by_number SET v = 5 ORDER BY f LIMIT 1"))
        .await
        .unwrap();
    let (_, written) = write(&urls, database, &config, &file).await;
    assert_eq!(written.unwrap().rows(), 1);
    target
        .execute(format!("UPDATE {database}.by_number SET v = 6 ORDER BY f LIMIT 1"))
        .await
        .unwrap();
    let ran = client(&sides.target, &sides.target, &[], &file);
    assert!(!ran.status.success(), "{}", said(&ran));
    let v: Option<i64> = target
        .scalar(format!("SELECT v FROM {database}.by_number ORDER BY f LIMIT 1"))
        .await
        .unwrap();
    assert_eq!(v, Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sets_everything_right() {
    let sides = Sides::start(Role::Plain).await;
    whatever_differs(&sides, VerifyMode::Checksum).await;
    whatever_differs(&sides, VerifyMode::Full).await;
    conditions_columns_and_names(&sides).await;
    the_wrong_way_round(&sides).await;
}

/// Where only some rows and columns are taken, and the target's database is called otherwise: a row that isn't
/// taken is one too many there.
async fn conditions_columns_and_names(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for statement in [
        "CREATE DATABASE here",
        "CREATE TABLE here.keyed (id INT PRIMARY KEY, v VARCHAR(9))",
        "CREATE TABLE here.keyless (a INT, v VARCHAR(9))",
        "INSERT INTO here.keyed VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
        "INSERT INTO here.keyless VALUES (1, 'a'), (2, 'b'), (2, 'b'), (3, NULL), (4, 'd')",
    ] {
        source.execute(statement).await.unwrap();
        let there = statement.replace("here", "there").replace("'b'), (3", "'x'), (3");
        target.execute(there).await.unwrap();
    }
    target.execute("DELETE FROM there.keyed WHERE id = 3").await.unwrap();
    // Columns that the target lacks, one of them in the condition.
    for statement in [
        "ALTER TABLE here.keyed ADD COLUMN secret INT NOT NULL FIRST",
        "UPDATE here.keyed SET secret = id",
        "ALTER TABLE here.keyless ADD COLUMN doc JSON AFTER a",
        "UPDATE here.keyless SET doc = JSON_ARRAY(RAND())",
    ] {
        source.execute(statement).await.unwrap();
    }
    let selection = Selection { databases: vec!["here".into()], ..Selection::default() };
    let filters = [("here.keyed", "secret < 4"), ("here.keyless", "a < 4")];
    let selection = selection.filtered(filters).unwrap().renamed([("here", "there")]).unwrap();
    let selection = selection.without_columns(["here.keyed.Secret", "here.keyless.doc"]).unwrap();
    for mode in [VerifyMode::Checksum, VerifyMode::Full] {
        let config = VerifyConfig { mode, ..config(300) };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("repair.sql");
        let [from, to] = &sides.urls();
        let (found, written) = write_of([from, to], &selection, &config, &file).await;
        assert!(!found.is_equal());
        let report = written.unwrap();
        let done = |at: usize| {
            let repair = &report.tables[at];
            (repair.table.to_string(), repair.set, repair.added, repair.removed)
        };
        assert_eq!(done(0), ("here.keyed".into(), 1, 1, 1));
        assert_eq!(done(1), ("here.keyless".into(), 0, 1, 2));
        let ran = client(&sides.target, &sides.target, &[], &file);
        assert!(ran.status.success(), "{}", said(&ran));
        fs::remove_file(&file).unwrap();
        let (found, _) = write_of([from, to], &selection, &config, &file).await;
        assert!(found.is_equal(), "{:#?}", found.first_differences(20));
        let rows = "SELECT GROUP_CONCAT(CONCAT(id, v) ORDER BY id) FROM there.keyed";
        assert_eq!(target.scalar::<String>(rows).await.unwrap().unwrap(), "1a,2b,3c");
        // For the other mode.
        for again in [
            "UPDATE there.keyed SET v = 'x' WHERE id = 2",
            "DELETE FROM there.keyed WHERE id = 3",
            "INSERT INTO there.keyed VALUES (4, 'd')",
            "UPDATE there.keyless SET v = 'x' WHERE a = 2 LIMIT 1",
            "INSERT INTO there.keyless VALUES (4, 'd')",
        ] {
            target.execute(again).await.unwrap();
        }
    }
}

/// The same server twice, and a source that follows the target.
async fn the_wrong_way_round(sides: &Sides) {
    let [source, target] = sides.urls();
    let same = repair::right_way_round(&target, &target, None).await.unwrap_err();
    assert!(same.kind() == Kind::Usage && same.what().contains("the same server"), "{same}");
    let [mut ours, mut theirs] = sides.sessions().await;
    ours.execute(format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'localhost', SOURCE_PORT = {}, SOURCE_USER = 'x'",
        target.port
    ))
    .await
    .unwrap();
    let follows = repair::right_way_round(&source, &target, None).await.unwrap_err();
    assert!(follows.what().contains("replicates from the target"), "{follows}");
    ours.execute("RESET REPLICA ALL").await.unwrap();
    assert!(repair::right_way_round(&source, &target, None).await.unwrap().is_none());

    // A replica that stands still has rows of the source before it.
    theirs
        .execute("CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'localhost', SOURCE_USER = 'x'")
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    let (_, refused) = write(&[source, target], "mend", &config(300), &file).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Replication);
    theirs.execute("RESET REPLICA ALL").await.unwrap();
}

/// Types that all products have.
const COMMON: [&str; 5] = [
    "CREATE TABLE common.t (id INT UNSIGNED NOT NULL AUTO_INCREMENT, i BIGINT UNSIGNED, z INT(8) ZEROFILL, \
     f FLOAT, m FLOAT(7,4), d DOUBLE, n DECIMAL(65,30), y YEAR, b BIT(64), da DATE, ti TIME(3), dt DATETIME(6), \
     ts TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), e ENUM('','a'), s SET('x','y'), c CHAR(5) CHARACTER SET latin1, \
     v VARCHAR(20) CHARACTER SET ucs2, u VARCHAR(20) CHARACTER SET utf8 COLLATE utf8_bin, bi BINARY(4), vb VARBINARY(9), \
     tx MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, bl LONGBLOB, g GEOMETRY, \
     PRIMARY KEY (id), UNIQUE KEY pair (da, ti)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
    "INSERT INTO common.t VALUES \
     (1, 18446744073709551615, 5, 1.4e-45, 0.1, 5e-324, 99999999999999999999999999999999999.999999999999999999999999999999, \
      2155, X'FFFFFFFFFFFFFFFF', '2024-02-29', '-12:00:00.5', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', \
      '', 'x,y', 'a ', '日本', 'ß', 'a', X'5C00', REPEAT('長🙂', 5000), REPEAT(X'00FF', 200000), NULL), \
     (0, 0, 0, 3.40282346e38, -1, 1.7976931348623157e308, -0.000000000000000000000000000001, 0, 0, '0000-00-00', \
      '838:59:59', '0000-00-00', '0000-00-00', 'a', '', '', '', '', '', '', '', '', POINTTEXT('POINT(1 -2.5e-10)')), \
     (3, NULL, NULL, 16777217, NULL, 0.1, 0, NULL, NULL, '2024-00-00', NULL, '2024-03-31 02:30:00', NULL, \
      NULL, NULL, 'é', ' ', 'NULL', NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE common.k (v VARCHAR(9), n INT, f FLOAT) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci",
    "INSERT INTO common.k VALUES ('a', 1, 0.1), ('a', 1, 0.1), ('b', 1, 1), ('b', 1, 1), ('c', NULL, NULL)",
    "CREATE TABLE common.m (id INT NOT NULL PRIMARY KEY, f FLOAT, v VARCHAR(9) CHARACTER SET utf8 COLLATE utf8_general_ci) \
     ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sets_other_products_right() {
    let (servers, urls) = products(&COMMON).await;
    for url in &urls {
        let mut session = Session::open(url, Side::Source).await.unwrap();
        let rows: Vec<String> = (0..500).map(|n| format!("({n}, {n} / 7e0, 'é')")).collect();
        session.execute(format!("INSERT INTO common.m VALUES {}", rows.join(", "))).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in [(0, 1), (2, 1), (1, 2)] {
        let pair = [urls[from].clone(), urls[to].clone()];
        for mode in [VerifyMode::Checksum, VerifyMode::Full] {
            let mut target = Session::open(&pair[1], Side::Target).await.unwrap();
            for change in [
                "DELETE FROM common.t WHERE id < 2",
                "UPDATE common.t SET d = 0.2, u = 'x' WHERE id = 3",
                "DELETE FROM common.k WHERE v = 'a' LIMIT 1",
                "INSERT INTO common.k VALUES ('b', 1, 1), (NULL, NULL, 3)",
                "UPDATE common.m SET v = 'E' WHERE id % 5 = 0",
                "DELETE FROM common.m WHERE id % 7 = 0",
                "INSERT INTO common.m VALUES (-5, 1, '')",
            ] {
                assert!(target.execute(change).await.unwrap().affected > 0, "{change}");
            }
            let file = directory.path().join(format!("{from}-{to}-{mode:?}.sql"));
            let config = VerifyConfig { mode, ..config(100) };
            let (_, written) = write(&pair, "common", &config, &file).await;
            let written = written.unwrap();
            assert!(written.left_alone.is_empty(), "{written:#?}");
            // The client of 9.7 has no way to log in that older servers know.
            let programs = |at: usize| if at == 1 { &servers[1] } else { &servers[2] };
            let wrong = client(&servers[from], programs(from), &["--force"], &file);
            let what = format!("{from} to {to}, {mode:?}");
            assert!(
                said(&wrong).contains("another server, or too late"),
                "{what}: {}",
                said(&wrong)
            );
            let ran = client(&servers[to], programs(to), &[], &file);
            assert!(ran.status.success(), "{what}: {}", said(&ran));
            let (found, _) = write(&pair, "common", &config, &directory.path().join("none")).await;
            assert!(found.is_equal(), "{what}: {:#?}", found.first_differences(20));
        }
    }
}
