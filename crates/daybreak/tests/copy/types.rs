//! Every type, with the values that break tools.

use super::harness::Pair;

/// Values as the engine has them, by column: in hexadecimal where the type allows it, numbers as both
/// number and text.
const LOOK: &str = "SELECT id, HEX(ti), HEX(bu), bu, HEX(CAST(de AS CHAR)), fl * 1e0, fl2 * 1e0, dou * 1e0, \
    1 / fl, HEX(bi), HEX(CAST(da AS CHAR)), HEX(CAST(dt AS CHAR)), HEX(CAST(ts AS CHAR)), HEX(CAST(ti6 AS CHAR)), ye + 0, \
    HEX(c), HEX(vl), HEX(vg), HEX(vs), HEX(vu), HEX(v16), HEX(v32), HEX(bn), HEX(vb), HEX(bl), HEX(tx), \
    CAST(en AS UNSIGNED), HEX(en), CAST(en0 AS UNSIGNED), HEX(en0), CAST(eu AS UNSIGNED), CAST(se AS UNSIGNED), HEX(se), \
    JSON_TYPE(js), HEX(CAST(js AS CHAR)), HEX(ge), HEX(pt), HEX(ve), inv, gen FROM types_zoo.t ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn every_value_arrives_as_it_was() {
    let pair = Pair::take(&["types_zoo"]).await;
    let sixty_four: Vec<String> = (1..=64).map(|n| format!("'m{n}'")).collect();
    let create = format!(
        "CREATE TABLE types_zoo.t (id INT PRIMARY KEY AUTO_INCREMENT, ti TINYINT, bu BIGINT UNSIGNED, \
         de DECIMAL(65,30), fl FLOAT, fl2 FLOAT(10,3), dou DOUBLE, bi BIT(64), da DATE, dt DATETIME(6), \
         ts TIMESTAMP(3) NULL, ti6 TIME(6), ye YEAR, c CHAR(10), vl VARCHAR(300) CHARACTER SET latin1, \
         vg VARCHAR(30) CHARACTER SET gbk, vs VARCHAR(30) CHARACTER SET sjis, vu VARCHAR(300) CHARACTER SET utf8mb4, \
         v16 VARCHAR(30) CHARACTER SET utf16, v32 VARCHAR(30) CHARACTER SET utf32, bn BINARY(8), \
         vb VARBINARY(300), bl LONGBLOB, tx LONGTEXT, \
         en ENUM('a','','5','b\\'c','d,e') CHARACTER SET latin1, en0 ENUM('0','00','x'), \
         eu ENUM('x','y') CHARACTER SET utf32, se SET({}), js JSON, \
         ge GEOMETRY, pt POINT SRID 4326, ve VECTOR(3), inv INT INVISIBLE, gen INT AS (ye + 1) STORED)",
        sixty_four.join(",")
    );
    let all_bytes: String = (0..=255u32).map(|byte| format!("{byte:02x}")).collect();
    let columns = "INSERT INTO types_zoo.t (id, ti, bu, de, fl, fl2, dou, bi, da, dt, ts, ti6, ye, c, vl, vg, vs, vu, v16, v32, \
                   bn, vb, bl, tx, en, en0, eu, se, js, ge, pt, ve, inv) VALUES ";
    let rows = [
        // Nothing at all; an AUTO_INCREMENT value of 0.
        "(0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            .to_string(),
        // Limits; text that looks like syntax.
        format!(
            "(1, -128, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567890, -0.0, 1234567.891, -0e0, \
             X'5C4E09000A2C3031', '0000-00-00', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999', '-838:59:59.000001', 0, \
             'a b', X'{all_bytes}', X'{}', X'{}', _utf8mb4 X'F09F9982E282AC5C', _utf32 X'0001F642', _utf32 X'0001F642', \
             X'00', X'{all_bytes}', X'{all_bytes}', '\\\\N', '', '0', 'y', 18446744073709551615, \
             JSON_OBJECT('a', 18446744073709551615, 'b', -0.5e0, 'k\\\\\\\"', 'z\\n', 'n', NULL), \
             ST_GeomFromText('LINESTRING(0 0, 1.5 -2.25)'), ST_GeomFromText('POINT(10 20)', 4326), \
             TO_VECTOR('[1,-0.1,3.4e38]'), 7)",
            "BF5C816E", // two gbk characters, one of which ends in a backslash
            "835C955C", // the same in sjis
        ),
        // Small and odd.
        "(2, 127, 9223372036854775808, 0.000000000000000000000000000001, 1.1754943e-38, -0.001, 4.9e-324, 1, '1000-01-01', '0000-00-00 00:00:00', \
         '1970-01-01 00:00:01', '00:00:00.000001', 2155, '', '', '', '', '', '', '', X'', '', '', '', 'b\\'c', '00', 'x', '', 'null', NULL, NULL, NULL, -1)"
            .to_string(),
        "(3, 0, 0, -1, 1.4e-45, 0.1, 1.7976931348623157e308, 0, '2024-02-31', '2024-02-29 00:00:00.000001', '2024-10-27 00:30:00', '24:00:00', 1901, \
         ' x', 'tab\\there', NULL, NULL, 'line\\nbreak\\rback\\\\', NULL, NULL, X'FFFF', X'00', X'5C', '\\0', '5', 'x', NULL, 'm1,m64', '\"x\"', \
         ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),POLYGON((0 0,0 1,1 1,0 0)))'), NULL, NULL, NULL)"
            .to_string(),
        "(4, 1, 1, 1, 3.4028235e38, 0, 0.1, 255, '2024-01-01', NULL, NULL, NULL, 1970, 'NULL', 'NULL', NULL, NULL, '\\\\', NULL, NULL, NULL, \
         NULL, NULL, '', 'd,e', NULL, NULL, 'm2', '[1.0, 1e300, 0.1, true, \"\\\\u0000\", {\"\": []}]', NULL, NULL, NULL, NULL)"
            .to_string(),
        "(5, 1, 1, 1, 16777216.5, 0, 123456789.123456789, 255, '2024-01-01', NULL, NULL, NULL, 1970, 'x', 'x', NULL, NULL, REPEAT('é', 300), NULL, NULL, NULL, \
         NULL, REPEAT('\\t\\\\', 3000000), REPEAT('ab', 100), 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            .to_string(),
    ];
    let mut source = pair.source().await;
    source.execute("CREATE DATABASE types_zoo").await.unwrap();
    source.execute(&create).await.unwrap();
    for row in rows {
        source.execute(format!("{columns}{row}")).await.unwrap();
    }
    // An ENUM that holds no member (number 0), in both.
    source
        .execute("UPDATE IGNORE types_zoo.t SET en = 'nothing', en0 = 'nothing' WHERE id IN (3, 4)")
        .await
        .unwrap();
    let zeros: u64 = source
        .scalar("SELECT COUNT(*) FROM types_zoo.t WHERE en = 0 AND en0 = 0")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(zeros, 2);
    for statement in [
        // One column, and values that make an empty line.
        "CREATE TABLE types_zoo.one (a VARCHAR(3))",
        "INSERT INTO types_zoo.one VALUES (''), (NULL), (''), ('a')",
        "CREATE TABLE types_zoo.nothing_stored (a INT AS (1) VIRTUAL)",
        "INSERT INTO types_zoo.nothing_stored VALUES (), ()",
        "SET SESSION sql_generate_invisible_primary_key = 1",
        "CREATE TABLE types_zoo.hidden_key (a INT)",
        "INSERT INTO types_zoo.hidden_key VALUES (1), (2)",
        "CREATE TABLE types_zoo.`we``ird \n.%` (`a\t\\\\'\"` INT PRIMARY KEY, `select` JSON)",
        "INSERT INTO types_zoo.`we``ird \n.%` VALUES (1, '{}')",
        "CREATE TABLE types_zoo.empty (a INT PRIMARY KEY)",
    ] {
        source.execute(statement).await.unwrap();
    }
    pair.copy(pair.config("types_zoo")).await.unwrap();
    pair.assert_equal("types_zoo").await;
    let mut both = Vec::new();
    for mut session in [pair.source().await, pair.target().await] {
        let rows = session.rows(LOOK).await.unwrap();
        both.push(rows.into_iter().map(|row| row.unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(both[0].len(), 6);
    for (here, there) in both[0].iter().zip(&both[1]) {
        for (at, (a, b)) in here.iter().zip(there).enumerate() {
            assert_eq!(a, b, "row {:?}, column {at}", here[0]);
        }
    }
}
