//! JSON documents with values that their text doesn't tell: decimals, dates, times, bytes, unsigned
//! integers. Both sides are asked for the type and the text of every value, by path.

use daybreak::{engine::Step as _, error::Kind, mysql::Session, target::rows::CopyRows};

use super::harness::Pair;

/// A table of a column of every type that a JSON value can come from, and documents made of them.
const EVERY_KIND: [&str; 10] = [
    "CREATE DATABASE typed_json",
    "CREATE TABLE typed_json.origin (id INT PRIMARY KEY, da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6), de DECIMAL(30,10), d5 DECIMAL(9,1), \
     b1 TINYBLOB, b2 BLOB, b3 MEDIUMBLOB, b4 LONGBLOB, bn BINARY(4), vb VARBINARY(9), bi BIT(10), b64 BIT(64), u INT UNSIGNED, ye YEAR, fl FLOAT, dou DOUBLE, g POINT)",
    "INSERT INTO typed_json.origin VALUES \
     (1, '2024-02-29', '-12:34:56.5', '2024-02-29 01:02:03.000001', '2024-02-29 01:02:03.4', 1.10, 123456.7, \
      X'00FF', X'00FF', X'00FF', X'00FF', 'ab', X'00FF', 5, 18446744073709551615, 5, 2024, 0.1, 1e20, POINT(1, 2)), \
     (2, '0000-00-00', '838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', -0.0000000001, -5, \
      '', '', REPEAT('x', 70000), REPEAT('y', 70000), '', '', 0, 0, 4294967295, 0, -0e0, 5, POINT(0, 0)), \
     (3, '1000-01-01', '00:00:00', '0000-00-00 00:00:00', '1970-01-01 00:00:01', 12345678901234567890.0123456789, 0, \
      REPEAT('a', 255), REPEAT('b', 60000), REPEAT('c', 60000), X'00', 'abcd', REPEAT('d', 9), 1023, 1, 0, 1901, 1, 1.5, POINT(0, 0))",
    "CREATE TABLE typed_json.t (name VARCHAR(20) COLLATE utf8mb4_0900_ai_ci, n INT, doc JSON, other JSON, \
     changed TIMESTAMP(6) NOT NULL DEFAULT '2001-02-03 04:05:06.7' ON UPDATE CURRENT_TIMESTAMP(6), \
     seen DATETIME NULL ON UPDATE CURRENT_TIMESTAMP, kind VARCHAR(30) AS (JSON_TYPE(doc->'$.a[0].da')) STORED, PRIMARY KEY (name, n))",
    "INSERT INTO typed_json.t (name, n, doc, other) SELECT 'é''\\\\', id, JSON_OBJECT('a', JSON_ARRAY(JSON_OBJECT('da', da, 'ti', ti, 'dt', dt, 'ts', ts, 'de', de, 'd5', d5), \
     JSON_ARRAY(b1, b2, b3, b4, bn, vb, bi, b64), u, ye, fl, dou, g), 'q\"\\\\$.[*]', JSON_OBJECT('', da, '\\0é\\n', ti, 'null', NULL, 't', TRUE, 's', CONCAT(da, '')), \
     'x', CAST(da AS CHAR), 'y', CAST(18446744073709551615 AS UNSIGNED), 'e', JSON_ARRAY(), 'text', 'base64:type15:AP8='), \
     JSON_ARRAY(de, de * 1e0) FROM typed_json.origin",
    "INSERT INTO typed_json.t (name, n, doc, other) SELECT 'root', 1, CAST(da AS JSON), CAST(ts AS JSON) FROM typed_json.origin WHERE id = 1",
    "INSERT INTO typed_json.t (name, n, doc, other) SELECT 'root', 2, CAST(de AS JSON), CAST(vb AS JSON) FROM typed_json.origin WHERE id = 1",
    "INSERT INTO typed_json.t (name, n, doc, other) SELECT 'root', 3, CAST(u AS JSON), CAST(b2 AS JSON) FROM typed_json.origin WHERE id = 1",
    "INSERT INTO typed_json.t (name, n, doc, other) VALUES ('plain', 1, '{\"a\": [1, 1.0, \"2024-01-01\", 18446744073709551615]}', NULL), ('plain', 2, 'null', '\"12:00:00\"'), \
     ('literals', 1, JSON_ARRAY(X'00FF', _binary 'ab', 1.5, -0.00, 100.0, CAST(5 AS DECIMAL(65,30)), 0.1, CAST(1 AS UNSIGNED), FROM_BASE64('AP8=')), '{}'), \
     ('partial', 1, JSON_OBJECT('k', CAST('2024-01-01' AS DATE), 'long', REPEAT('x', 1000)), NULL)",
    "UPDATE typed_json.t SET doc = JSON_SET(doc, '$.long', 'x'), changed = changed WHERE name = 'partial'",
];

/// Every document, its text in hexadecimal, and the type and text of every value in it.
async fn values(session: &mut Session, database: &str, column: &str) -> Vec<String> {
    let row = format!("HEX(t.name), t.n, HEX(CAST(t.{column} AS CHAR)), JSON_TYPE(t.{column})");
    let nodes = |path: &str| {
        format!(
            "SELECT {row}, '{path}', q.o, JSON_TYPE(q.v), HEX(CAST(q.v AS CHAR)) FROM {database}.t AS t LEFT JOIN \
             JSON_TABLE(t.{column}, '{path}' COLUMNS (o FOR ORDINALITY, v JSON PATH '$')) AS q ON TRUE"
        )
    };
    let sql = format!("{} UNION ALL {} ORDER BY 1, 2, 5, 6", nodes("$**.*"), nodes("$**[*]"));
    session.rows(sql).await.unwrap().into_iter().map(|row| format!("{:?}", row.unwrap())).collect()
}

async fn assert_same_values(pair: &Pair, database: &str, columns: &[&str]) {
    let (mut source, mut target) = (pair.source().await, pair.target().await);
    for column in columns {
        let here = values(&mut source, database, column).await;
        let there = values(&mut target, database, column).await;
        assert!(!here.is_empty());
        assert_eq!(here.len(), there.len());
        for (here, there) in here.iter().zip(&there) {
            assert!(here == there, "{column}: {here:.1000} is {there:.1000}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_value_arrives() {
    let pair = Pair::take(&["typed_json"]).await;
    pair.on_source(&EVERY_KIND).await;
    let mut source = pair.source().await;
    let kinds: Option<String> = source
        .scalar(
            "SELECT GROUP_CONCAT(DISTINCT JSON_TYPE(q.v) ORDER BY JSON_TYPE(q.v)) FROM typed_json.t AS t, \
             JSON_TABLE(JSON_ARRAY(t.doc), '$**.*' COLUMNS (v JSON PATH '$')) AS q",
        )
        .await
        .unwrap();
    for kind in ["DATE", "TIME", "DATETIME", "TIMESTAMP", "DECIMAL"] {
        assert!(kinds.as_ref().unwrap().split(',').any(|found| found == kind), "{kinds:?}");
    }
    pair.copy(pair.config("typed_json")).await.unwrap();
    assert_same_values(&pair, "typed_json", &["doc", "other"]).await;
    pair.assert_equal("typed_json").await;
    // What a change would have touched, and what is computed from a document.
    let look = "SELECT GROUP_CONCAT(CONCAT_WS('|', HEX(name), n, changed, IFNULL(seen, '-'), IFNULL(kind, '-')) ORDER BY name, n) FROM typed_json.t";
    let here: Option<String> = source.scalar(look).await.unwrap();
    let mut target = pair.target().await;
    let there: Option<String> = target.scalar(look).await.unwrap();
    assert!(here.as_ref().unwrap().contains("|2001-02-03 04:05:06.700000|-|DATE"), "{here:?}");
    assert_eq!(here, there);
    // Nothing was changed in place.
    let free: Option<u64> = target
        .scalar("SELECT MAX(JSON_STORAGE_FREE(doc) + IFNULL(JSON_STORAGE_FREE(other), 0)) FROM typed_json.t")
        .await
        .unwrap();
    assert_eq!(free, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_documents_arrive_and_later_changes_of_type_too() {
    let pair = Pair::take(&["many_json"]).await;
    pair.on_source(&[
        "CREATE DATABASE many_json",
        // The server sees no change where only the types of numbers differ, and the key is computed.
        "CREATE TABLE many_json.computed (doc JSON NOT NULL, id INT AS (doc->'$.id') STORED PRIMARY KEY)",
        "INSERT INTO many_json.computed (doc) VALUES (JSON_OBJECT('id', CAST(1 AS UNSIGNED), 'daybreak', 1.5)), (JSON_OBJECT('id', 2.0))",
        "CREATE TABLE many_json.t (name CHAR(1) NOT NULL DEFAULT '', n BIGINT UNSIGNED PRIMARY KEY, doc JSON)",
        "SET SESSION cte_max_recursion_depth = 10000",
        // Distinct ones, and some with an element more.
        "INSERT INTO many_json.t (n, doc) WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000) \
         SELECT n, IF(n % 7 = 0, JSON_OBJECT('n', 'none'), JSON_OBJECT('id', CAST(n AS UNSIGNED), 'price', CAST(n / 100 AS DECIMAL(12,2)), \
         'day', CAST('2024-01-01' AS DATE) + INTERVAL n DAY, 'more', IF(n % 11 = 0, JSON_ARRAY(1.5), NULL))) FROM s",
        // More values than one statement sets.
        "UPDATE many_json.t SET doc = (SELECT JSON_ARRAYAGG(CAST(u.n / 10 AS DECIMAL(10,1))) FROM (SELECT n FROM many_json.t LIMIT 1200) AS u) WHERE n = 7",
        "ANALYZE TABLE many_json.t",
    ])
    .await;
    pair.copy(pair.config("many_json")).await.unwrap();
    assert_same_values(&pair, "many_json", &["doc"]).await;
    let look = "SELECT GROUP_CONCAT(CONCAT_WS(' ', id, doc, JSON_TYPE(doc->'$.id'), JSON_TYPE(doc->'$.daybreak')) ORDER BY id) FROM many_json.computed";
    let there: Option<String> = pair.target().await.scalar(look).await.unwrap();
    assert_eq!(
        there.as_deref(),
        Some(r#"1 {"id": 1, "daybreak": 1.5} UNSIGNED INTEGER DECIMAL,2 {"id": 2.0} DECIMAL"#)
    );

    // The same texts, of other types: the copy that is brought up to date has them as well.
    pair.on_source(&[
        "UPDATE many_json.t SET doc = CAST(CAST(doc AS CHAR) AS JSON) WHERE n BETWEEN 10 AND 20",
        "UPDATE many_json.t SET doc = JSON_OBJECT('d', '2024-01-01') WHERE n = 14",
        "UPDATE many_json.t SET doc = JSON_OBJECT('n', 'none', 'd', CAST('2024-01-01' AS DATE)) WHERE n = 21",
    ])
    .await;
    CopyRows.run(&pair.context(pair.config("many_json"), None)).await.unwrap();
    assert_same_values(&pair, "many_json", &["doc"]).await;
    pair.on_source(&[
        "UPDATE many_json.t SET doc = JSON_OBJECT('d', CAST('2024-01-01' AS DATE)) WHERE n = 14",
        "UPDATE many_json.t SET doc = JSON_OBJECT('n', 'none', 'd', '2024-01-01') WHERE n = 21",
    ])
    .await;
    CopyRows.run(&pair.context(pair.config("many_json"), None)).await.unwrap();
    assert_same_values(&pair, "many_json", &["doc"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_such_documents_are_refused() {
    let pair = Pair::take(&["keyless_json"]).await;
    pair.on_source(&[
        "CREATE DATABASE keyless_json",
        "CREATE TABLE keyless_json.t (name INT, n INT, doc JSON)",
        "INSERT INTO keyless_json.t VALUES (1, 1, '[1, 1.5, \"2024-01-01\", null, 18446744073709551615]'), (1, 1, NULL)",
        // A key that can't cut the table still tells its rows apart.
        "CREATE TABLE keyless_json.enums (e ENUM('a','b') PRIMARY KEY, doc JSON)",
        "INSERT INTO keyless_json.enums VALUES ('a', JSON_ARRAY(1.5)), ('b', '1')",
    ])
    .await;
    pair.copy(pair.config("keyless_json")).await.unwrap();
    assert_same_values(&pair, "keyless_json", &["doc"]).await;
    let kind: Option<String> = pair
        .target()
        .await
        .scalar("SELECT JSON_TYPE(doc->'$[0]') FROM keyless_json.enums WHERE e = 'a'")
        .await
        .unwrap();
    assert_eq!(kind.as_deref(), Some("DECIMAL"));

    pair.on_source(&["INSERT INTO keyless_json.t VALUES (2, 2, JSON_ARRAY(JSON_ARRAY(1.5)))"])
        .await;
    let error = pair.copy(pair.config("keyless_json")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.place().unwrap().contains("keyless_json.t, column doc"), "{error}");
}
