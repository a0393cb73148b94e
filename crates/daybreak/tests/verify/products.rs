//! Servers of other products as source: equal is equal across them, and a change is found.

use daybreak::{
    mysql::{ServerUrl, Session, Side},
    select::Selection,
    sync::verify::{Liveness, What::Different},
};

use super::harness::{both_ways, config, found, products};

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

/// A table to change, with all that goes with one, and one without a key.
const CHANGED: [&str; 5] = [
    "CREATE TABLE common.m (id INT NOT NULL PRIMARY KEY, f FLOAT, d DOUBLE, v VARCHAR(9) CHARACTER SET utf8 COLLATE utf8_general_ci, \
     dt DATETIME(6), w INT DEFAULT 1, KEY by_v (v)) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci",
    "INSERT INTO common.m (id, f, d, v, dt) VALUES (1, 0.1, 0.3e0, 'a', '2024-01-31 23:59:59.5'), (2, 0.1, 0.3e0, 'a', NULL), \
     (3, 0, 0, 'a', NULL), (4, 0, 0, 'a', NULL), (5, 1, 1, 'a', NULL), (6, 1, 1, 'a', NULL), (7, 1, 1, NULL, NULL), \
     (8, 1, 1, '', '2024-01-31 23:59:59.5'), (9, 0, 0, 'a', NULL)",
    "CREATE TABLE common.k (v VARCHAR(9), n INT) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci",
    "INSERT INTO common.k VALUES ('a', 1), ('a', 1), ('b', 1), ('b', 1), ('c', NULL)",
    "CREATE TRIGGER common.tr BEFORE INSERT ON common.m FOR EACH ROW SET NEW.w = 2",
];

/// Each by itself at the source, and what must be found.
const ROWS: [(&str, &str); 7] = [
    // One unit in the last place: of either, the server's own text is as before.
    ("UPDATE common.m SET f = 0.10000000894069672 WHERE id = 1", "(id=1)"),
    ("UPDATE common.m SET d = 0.30000000000000004e0 WHERE id = 2", "(id=2)"),
    ("UPDATE common.m SET v = 'A' WHERE id = 5", "(id=5)"),
    ("UPDATE common.m SET v = 'a ' WHERE id = 6", "(id=6)"),
    ("UPDATE common.m SET v = '' WHERE id = 7", "(id=7)"),
    ("UPDATE common.m SET dt = '2024-01-31 23:59:59.500001' WHERE id = 8", "(id=8)"),
    ("UPDATE common.k SET v = 'x' WHERE v = 'a'", "2 times at the source and 0"),
];

const DEFINITIONS: [(&str, &str); 3] = [
    ("ALTER TABLE common.m DROP INDEX by_v", "index by_v"),
    ("ALTER TABLE common.m ALTER w SET DEFAULT 2", "column w"),
    ("DROP TRIGGER common.tr", "trigger common.tr: only on the target"),
];

/// Changes at the source, one after the other; each adds a line to what is found.
async fn every_change_is_found(ours: &ServerUrl, theirs: &ServerUrl, selection: &Selection) {
    let mut source = Session::open(ours, Side::Source).await.unwrap();
    let look = async || {
        let still = Liveness::Still;
        both_ways(ours, theirs, selection, &config(100), still).await
    };
    for (at, (change, key)) in ROWS.iter().enumerate() {
        assert!(source.execute(*change).await.unwrap().affected > 0, "{change}");
        let report = look().await;
        let (m, k) = (found(&report, "m"), found(&report, "k"));
        assert!(m.iter().chain(&k).any(|row| row.0.contains(key)), "{change}: {m:?} {k:?}");
        // Nothing else, and nothing that was found before is lost.
        assert_eq!(m.len(), (at + 1).min(6), "{change}: {m:?}");
        assert_eq!(k.len(), if at == 6 { 2 } else { 0 }, "{change}: {k:?}");
    }
    // On the target: MariaDB 10.11 makes 0 of -0 whenever it stores one.
    let mut target = Session::open(theirs, Side::Target).await.unwrap();
    for (column, id) in [("f", 3), ("d", 4)] {
        let set = |zero: &str| format!("UPDATE common.m SET {column} = {zero} WHERE id = {id}");
        target.execute(set("-0e0")).await.unwrap();
        let (row, all) = ((format!("(id={id})"), Different), found(&look().await, "m"));
        assert!(all.len() == 7 && all.contains(&row), "{column}: {all:?}");
        target.execute(set("0")).await.unwrap();
    }
    for (change, says) in DEFINITIONS {
        let before = look().await.first_differences(50);
        assert!(!before.iter().any(|line| line.contains(says)), "{before:#?}");
        source.execute(change).await.unwrap();
        let after = look().await.first_differences(50);
        assert!(after.iter().any(|line| line.contains(says)), "{change}: {after:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn products_hash_alike() {
    let (_servers, urls) = products(&COMMON).await;
    for url in &urls {
        let mut session = Session::open(url, Side::Source).await.unwrap();
        for sql in CHANGED {
            session.execute(sql).await.unwrap();
        }
    }
    let selection = Selection { databases: vec!["common".into()], ..Selection::default() };
    for (ours, theirs) in [(0, 1), (2, 1), (1, 2)] {
        let (ours, theirs) = (&urls[ours], &urls[theirs]);
        let report = both_ways(ours, theirs, &selection, &config(100), Liveness::Detect).await;
        assert!(report.is_equal(), "{ours} {theirs}: {:#?}", report.first_differences(20));
        assert_eq!(report.rows(), (3 + 9 + 5, 3 + 9 + 5));
    }
    let mut target = Session::open(&urls[1], Side::Target).await.unwrap();
    target.execute("UPDATE common.t SET f = 16777216 + 2 WHERE id = 3").await.unwrap();
    target.execute("UPDATE common.t SET v = '日木' WHERE id = 1").await.unwrap();
    let report = both_ways(&urls[0], &urls[1], &selection, &config(100), Liveness::Still).await;
    assert_eq!(
        found(&report, "t"),
        [("(id=1)".to_string(), Different), ("(id=3)".to_string(), Different)]
    );
    // -0 is -0 on both, and isn't 0.
    let mut source = Session::open(&urls[0], Side::Source).await.unwrap();
    for (zero, equal) in [("-0e0", true), ("0", false)] {
        let sql = format!("UPDATE common.m SET f = {zero}, d = {zero} WHERE id = 9");
        source.execute(&sql).await.unwrap();
        if equal {
            target.execute(&sql).await.unwrap();
        }
        let report = both_ways(&urls[0], &urls[1], &selection, &config(100), Liveness::Still).await;
        let wanted = if equal { Vec::new() } else { vec![("(id=9)".to_string(), Different)] };
        assert_eq!(found(&report, "m"), wanted);
    }
    target.execute("UPDATE common.m SET f = 0, d = 0 WHERE id = 9").await.unwrap();
    for source in [&urls[0], &urls[2]] {
        every_change_is_found(source, &urls[1], &selection).await;
    }
}
