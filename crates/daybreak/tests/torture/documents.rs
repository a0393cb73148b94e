//! JSON documents and shapes.

use super::case::{ALL, Case, M97, MARIA, SAME_97, TO_MARIA, case};

pub const CASES: &[Case] = &[
    case("json_of_every_type", M97 | MARIA, 8, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
        r#"INSERT INTO {t} VALUES (1, 'null'), (2, 'true'), (3, '"x"'), (4, '1'), (5, '1.5'), (6, '[]'), (7, '{}'), (8, NULL)"#,
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE j IS NULL"]),
    case("json_numbers", M97 | MARIA, 5, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON NOT NULL)",
        "INSERT INTO {t} VALUES (1, '[18446744073709551615, -9223372036854775808, 9223372036854775807]'), (2, '[1e300, 1.0, 0.1, -0.0, 5e-324]'), (3, '[123456789012345678901234567890]'), (4, '1.7976931348623157e308'), (5, '[0, -0, 10000000000000000]')",
    ]),
    case("json_of_dates_and_decimals", M97, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
        "INSERT INTO {t} VALUES (1, JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST('-12:34:56.000001' AS TIME(6)), CAST('2024-02-29 1:2:3.5' AS DATETIME(6)))), (2, JSON_OBJECT('d', CAST(1.10 AS DECIMAL(65,30)), 'e', CAST(1 AS DECIMAL(10,0))))",
        "INSERT INTO {t} VALUES (3, CAST(CAST(1.50 AS DECIMAL(5,2)) AS JSON)), (4, JSON_OBJECT('b', X'00FF5C', 'bit', b'101', 'y', CAST(2024 AS YEAR))), (5, JSON_OBJECT('t', TIMESTAMP('2024-01-01 00:00:00'))), (6, CAST(X'0102' AS JSON))",
    ])
    .holds(&["SELECT JSON_TYPE(j->'$[0]') = 'DATE' FROM {t} WHERE id = 1", "SELECT JSON_TYPE(j->'$.d') = 'DECIMAL' FROM {t} WHERE id = 2", "SELECT JSON_TYPE(j) = 'BLOB' FROM {t} WHERE id = 6"])
    // What text can't tell: said beforehand as a warning, and text is what MariaDB's JSON is.
    .refused(&[(TO_MARIA, "warning target.json_as_text")]),
    // Text makes integers without a sign from 4294967296 on, SQL makes them with one.
    case("json_integers", M97, 3, &[
        "CREATE TABLE {t} (id BIGINT PRIMARY KEY, j JSON)",
        "INSERT INTO {t} VALUES (1, JSON_ARRAY(5000000000, 4294967296, 4294967295, 9223372036854775807, -5000000000)), (2, '[5000000000, 4294967296, 4294967295, 9223372036854775807, -5000000000]')",
        "INSERT INTO {t} SELECT id + 5000000000, JSON_OBJECT('id', id + 5000000000) FROM {t} WHERE id = 1",
    ])
    .holds(&[
        "SELECT SUM(JSON_TYPE(j->'$[0]') = 'INTEGER') = 1 AND SUM(JSON_TYPE(j->'$[1]') = 'INTEGER') = 1 AND SUM(JSON_TYPE(j->'$[2]') = 'INTEGER') = 2 AND SUM(JSON_TYPE(j->'$[3]') = 'INTEGER') = 1 FROM {t}",
        "SELECT JSON_TYPE(j->'$.id') = 'INTEGER' FROM {t} WHERE id > 2",
    ])
    .refused(&[(TO_MARIA, "warning target.json_as_text")]),
    case("json_integers_without_a_key", M97 | MARIA, 3, &[
        "CREATE TABLE {t} (j JSON)",
        "INSERT INTO {t} VALUES ('[5000000000, 9223372036854775806, 4294967295]'), ('4294967296'), ('[-5000000000]')",
    ]),
    case("json_without_a_key", M97, 3, &[
        "CREATE TABLE {t} (a INT, j JSON)",
        "INSERT INTO {t} VALUES (1, JSON_ARRAY(CAST(1.50 AS DECIMAL(5,2)))), (1, JSON_ARRAY(1.5)), (1, JSON_ARRAY(1.5e0))",
    ])
    .refused(&[(SAME_97, "source.json_without_key"), (TO_MARIA, "warning target.json_as_text")]),
    case("json_text", M97 | MARIA, 5, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
        r#"INSERT INTO {t} VALUES (1, '{"": "", " ": "\\u0000\\n\\t\\\\\\"", "é🙂": "\\u00e9"}'), (2, '"\\\\N"'), (3, '["\\ud83d\\ude42", "/", "\\/"]'), (4, '{"a":1,"a":2,"b":{"a":1,"a":3}}'), (5, '  [ 1 , 2 ]  ')"#,
    ]),
    case("json_deep_and_long", M97 | MARIA, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
        "INSERT INTO {t} VALUES (1, CONCAT(REPEAT('[', 30), '1', REPEAT(']', 30))), (2, CONCAT('[', REPEAT('\"0123456789\",', 20000), '0]')), (3, CONCAT('\"', REPEAT('é', 70000), '\"'))",
    ]),
    case("json_by_default_and_computed", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON DEFAULT (JSON_OBJECT('k', 1)), n INT AS (JSON_EXTRACT(j, '$.k')) VIRTUAL, KEY (n))",
        "INSERT INTO {t} (id) VALUES (1)",
        "INSERT INTO {t} (id, j) VALUES (2, '{\"k\": 7}')",
    ])
    .holds(&["SELECT n = 7 FROM {t} WHERE id = 2"]),
    case("json_with_an_index_over_its_members", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON, KEY tags ((CAST(j->'$.tags' AS UNSIGNED ARRAY))))",
        "INSERT INTO {t} VALUES (1, '{\"tags\": [1, 2]}'), (2, '{\"tags\": [2, 3]}')",
    ])
    .refused(&[(TO_MARIA, "target.functional_index")]),
    case("shapes_of_every_kind", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a GEOMETRY, b POINT, c LINESTRING, d POLYGON, e MULTIPOINT, f MULTILINESTRING, g MULTIPOLYGON, h GEOMETRYCOLLECTION)",
        "INSERT INTO {t} VALUES (1, ST_GeomFromText('POINT(1.5 -2.25)'), ST_GeomFromText('POINT(1e300 5e-324)'), ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0)'), ST_GeomFromText('POLYGON((0 0,0 9,9 9,9 0,0 0),(1 1,1 2,2 2,2 1,1 1))'), ST_GeomFromText('MULTIPOINT(1 1, 2 2)'), ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,0 1,1 1,0 0)))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'))",
        "INSERT INTO {t} VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, ST_GeomFromText('LINESTRING(10 13, 92 0)'), NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    ]),
    case("an_empty_collection", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, g GEOMETRY)",
        "INSERT INTO {t} VALUES (1, ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'))",
    ]),
    case("shapes_with_an_srid_in_the_value", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, g GEOMETRY)",
        "INSERT INTO {t} VALUES (1, ST_GeomFromText('POINT(10 20)', 4326)), (2, ST_GeomFromText('POINT(10 20)', 0))",
    ])
    .holds(&["SELECT ST_SRID(g) = 4326 FROM {t} WHERE id = 1"]),
    case("shapes_with_an_srid_in_the_column", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, g GEOMETRY SRID 0, SPATIAL KEY (p))",
        "INSERT INTO {t} VALUES (1, ST_GeomFromText('POINT(10 20)', 4326), ST_GeomFromText('LINESTRING(0 0,1 1)')), (2, ST_GeomFromText('POINT(-89.5 -179.5)', 4326), NULL)",
    ])
    .refused(&[(TO_MARIA, "target.srid")]),
    case("spatial_keys", ALL & !super::case::M56, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, p POINT NOT NULL, SPATIAL KEY (p)) ENGINE = InnoDB",
        "INSERT INTO {t} SELECT n, POINT(n, -n / 7) FROM {n}",
    ])
    .cut(),
    case("points_with_bytes_of_syntax", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, p POINT)",
        "INSERT INTO {t} SELECT n, POINT(n * 0.000001, -1 / n) FROM {n}",
    ])
    .cut(),
];
