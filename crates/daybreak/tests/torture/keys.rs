//! Keys of every type, cut into chunks at tuples of their values; keys that can't be cut; no keys.

use super::case::{ALL, Case, FROM_MARIA, M56, M97, MARIA, TO_MARIA, case};

pub const CASES: &[Case] = &[
    case("bit_key", ALL, 400, &[
        "CREATE TABLE {t} (k BIT(64) PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT CAST(n AS UNSIGNED) * 46116860184273879, n FROM {n}",
    ])
    .holds(&["SELECT MAX(k + 0) > 9223372036854775808 FROM {t}"])
    .cut(),
    case("narrow_bit_key", ALL, 400, &[
        "CREATE TABLE {t} (k BIT(9) PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT n + 100, n FROM {n}",
    ])
    .cut(),
    case("float_key", ALL, 401, &[
        "CREATE TABLE {t} (k FLOAT PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT (n - 200) / 7, n FROM {n}",
        "INSERT INTO {t} VALUES (1e-45, 0)",
    ])
    .cut(),
    case("double_key", ALL, 403, &[
        "CREATE TABLE {t} (k DOUBLE PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT SQRT(n) * POW(-10, n % 200), n FROM {n}",
        "INSERT INTO {t} VALUES (4.9e-324, 0), (1.7976931348623157e308, 0), (-0e0, 0)",
    ])
    .cut(),
    // Neighbours that differ in the last bit only.
    case("double_key_of_neighbours", ALL, 400, &[
        "CREATE TABLE {t} (k DOUBLE PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT 0.1 + n * 1.3877787807814457e-17, n FROM {n}",
    ])
    .cut(),
    // Equal to 0, and kept in another partition: the server doesn't find it there by all of its key. (MariaDB
    // has no such zero.)
    case("minus_zero_in_partitions", M56 | M97, 400, &[
        "CREATE TABLE {t} (a INT, k DOUBLE, b TINYINT UNSIGNED, PRIMARY KEY (a, k, b)) \
         PARTITION BY KEY () PARTITIONS 3",
        "INSERT INTO {t} SELECT n, -0e0, 0 FROM {n}",
    ])
    .holds(&["SELECT VERSION() LIKE '%MariaDB%' OR SUM(CONCAT(k) = '-0') = 400 FROM {t}"])
    .cut(),
    case("minus_zero_first_in_partitions", M56 | M97, 400, &[
        "CREATE TABLE {t} (k FLOAT, a SMALLINT, b TINYINT UNSIGNED, PRIMARY KEY (k, a, b)) \
         PARTITION BY KEY () PARTITIONS 3",
        "INSERT INTO {t} SELECT IF(n BETWEEN 100 AND 300, -0e0, n - 200), n, 0 FROM {n}",
    ])
    .holds(&["SELECT VERSION() LIKE '%MariaDB%' OR SUM(CONCAT(k) = '-0') = 201 FROM {t}"])
    .cut(),
    // Every third begins with characters that weigh nothing. A range up to such a key is empty in the index of the
    // prefixes, which is therefore what the server would choose.
    case("weightless_beginnings", M97, 400, &[
        "CREATE TABLE {t} (k CHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci PRIMARY KEY, j JSON, KEY (k(3)))",
        "INSERT INTO {t} SELECT CONCAT(IF(n % 3 = 0, '\\0\\0', ''), LPAD(n, 4, '0')), JSON_ARRAY(CAST(n AS DECIMAL(9,3))) FROM {n}",
    ])
    .holds(&["SELECT VERSION() LIKE '%MariaDB%' OR SUM(JSON_TYPE(JSON_EXTRACT(j, '$[0]')) = 'DECIMAL') = 400 FROM {t}"])
    .refused(&[(TO_MARIA, "warning target.json_as_text")])
    .cut(),
    case("fixed_float_key", ALL, 400, &[
        "CREATE TABLE {t} (k FLOAT(10,3), v DOUBLE(16,4), PRIMARY KEY (k, v))",
        "INSERT INTO {t} SELECT n DIV 9 + 0.001, n / 7 FROM {n}",
    ])
    .cut(),
    case("enum_key", ALL, 401, &[
        "CREATE TABLE {t} (k ENUM('z','','a','5') NOT NULL, n INT, PRIMARY KEY (k, n))",
        "INSERT INTO {t} SELECT 1 + n % 4, n FROM {n}",
        "INSERT IGNORE INTO {t} VALUES ('nothing', 1)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE k = 0"])
    .refused(&[(TO_MARIA, "target.enum_no_member")])
    .cut(),
    case("enum_key_in_the_middle", ALL, 400, &[
        "CREATE TABLE {t} (a TINYINT, k ENUM('south','north','it''s') CHARACTER SET latin1 COLLATE latin1_german1_ci, n INT, PRIMARY KEY (a, k, n))",
        "INSERT INTO {t} SELECT n % 2, 1 + n % 3, n FROM {n}",
    ])
    .cut(),
    case("enum_key_in_utf16", ALL, 400, &[
        "CREATE TABLE {t} (k ENUM('b','a') CHARACTER SET utf16 COLLATE utf16_general_ci, n INT, PRIMARY KEY (k, n))",
        "INSERT INTO {t} SELECT 1 + n % 2, n FROM {n}",
    ])
    .cut(),
    case("set_key", ALL, 400, &[
        "CREATE TABLE {t} (k SET('c','b','a','9') NOT NULL, n INT, PRIMARY KEY (k, n))",
        "INSERT INTO {t} SELECT n % 16, n FROM {n}",
    ])
    .holds(&["SELECT COUNT(*) = 25 FROM {t} WHERE k = ''"])
    .cut(),
    case("set_key_of_64", ALL, 400, &[
        "CREATE TABLE {t} (k SET({64}) NOT NULL PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CAST(n AS UNSIGNED) * 46116860184273879, n FROM {n}",
    ]),
    case("decimal_key", ALL, 400, &[
        "CREATE TABLE {t} (k DECIMAL(65,30) PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT (n - 200) * 1234567890123456789012345678.000000000000000000000000000001, n FROM {n}",
    ])
    .cut(),
    case("uuid_key_in_binary", ALL, 400, &[
        "CREATE TABLE {t} (k BINARY(16) PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT UNHEX(LEFT(SHA2(n, 256), 32)), n FROM {n}",
    ])
    .cut(),
    case("binary_key_of_padding", ALL, 256, &[
        "CREATE TABLE {t} (k BINARY(4) PRIMARY KEY, n INT, filler CHAR(100) DEFAULT 'x')",
        "INSERT INTO {t} (k, n) SELECT UNHEX(LPAD(HEX(n - 1), 2, '0')), n FROM {n} WHERE n <= 256",
    ])
    .cut(),
    case("varbinary_key", ALL, 400, &[
        "CREATE TABLE {t} (k VARBINARY(9) PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(UNHEX(LPAD(HEX(n % 256), 2, '0')), REPEAT(X'00', n DIV 256), UNHEX(LPAD(HEX(n % 7), 2, '0'))), n FROM {n}",
    ])
    .cut(),
    case("text_key_without_case", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(IF(n % 2, 'ä', 'Z'), CHAR(65 + n % 26 + IF(n % 3, 32, 0)), n, IF(n % 5, 'ß', 'ss')), n FROM {n}",
    ])
    .cut(),
    case("text_key_by_bytes", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(CHAR(33 + n % 90), IF(n % 2, 'a', 'A'), IF(n % 3, '', '🙂'), n DIV 4, CHAR(65 + n % 4)), n FROM {n}",
    ])
    .cut(),
    case("text_key_with_trailing_spaces", M97, 404, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT('k', n), n FROM {n}",
        "INSERT INTO {t} VALUES ('k1 ', 0), ('k1  ', 0), ('', 0), (' ', 0)",
    ])
    .refused(&[(TO_MARIA, "target.collation_unknown")])
    .cut(),
    case("text_key_with_nopad", MARIA, 402, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_nopad_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT('k', n), n FROM {n}",
        "INSERT INTO {t} VALUES ('k1 ', 0), ('k1  ', 0)",
    ])
    .refused(&[(FROM_MARIA, "target.collation_unknown")]),
    case("text_key_in_utf8mb3", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf8 COLLATE utf8_unicode_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(IF(n % 2, 'é', 'E'), n), n FROM {n}",
    ])
    .cut(),
    case("text_key_in_sjis", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET sjis COLLATE sjis_japanese_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(_sjis X'835C', n, _sjis X'835C'), n FROM {n}",
    ])
    .cut(),
    case("text_key_in_utf16", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET utf16 COLLATE utf16_unicode_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT('🙂', n, '\\\\'), n FROM {n}",
    ])
    .cut(),
    case("text_key_in_latin1_german2", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german2_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(ELT(1 + n % 4, 'ß', 'ss', 'ä', 'ae'), n), n FROM {n}",
    ])
    .cut(),
    case("char_key_with_control_characters", ALL, 400, &[
        "CREATE TABLE {t} (k CHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, n INT)",
        "INSERT INTO {t} SELECT CONCAT(n, '\\t'), n FROM {n} WHERE n <= 200",
        "INSERT INTO {t} SELECT n, n FROM {n} WHERE n <= 200",
    ])
    .cut(),
    case("composite_key_with_one_huge_leading_value", ALL, 401, &[
        "CREATE TABLE {t} (tenant INT, day DATE, seq BIGINT UNSIGNED, v VARCHAR(20), PRIMARY KEY (tenant, day, seq))",
        "INSERT INTO {t} SELECT 1, '2024-01-01' + INTERVAL n DIV 100 DAY, 18446744073709551615 - n, 'x' FROM {n}",
        "INSERT INTO {t} VALUES (2, '2024-01-01', 1, 'y')",
    ])
    .cut(),
    case("constant_first_column", ALL, 400, &[
        "CREATE TABLE {t} (a CHAR(3) CHARACTER SET latin1 COLLATE latin1_bin, b ENUM('x'), n INT, PRIMARY KEY (a, b, n))",
        "INSERT INTO {t} SELECT 'abc', 'x', n FROM {n}",
    ])
    .cut(),
    case("key_of_sixteen_columns", ALL, 400, &[
        "CREATE TABLE {t} (a TINYINT, b SMALLINT, c BIT(3), d FLOAT, e DOUBLE, f DECIMAL(9,3), g DATE, h TIME(3), i DATETIME, j CHAR(2) CHARACTER SET latin1 COLLATE latin1_swedish_ci, k BINARY(2), l ENUM('a','b'), m SET('a','b'), n YEAR, o VARCHAR(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, p INT, PRIMARY KEY (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p))",
        "INSERT INTO {t} SELECT 1, 1, n % 2, 0.1, 0.1, n % 2 / 8, '2024-01-01', '-1:00:00.5', '2024-01-01', 'x', X'00', 1 + n % 2, n % 4, 2000, 'é', n FROM {n}",
    ])
    .cut(),
    case("sparse_integers", ALL, 400, &[
        "CREATE TABLE {t} (id BIGINT PRIMARY KEY, v INT)",
        "INSERT INTO {t} SELECT IF(n <= 200, n, 9000000000000000000 + n), n FROM {n}",
    ])
    .cut(),
    case("descending_parts", M97 | MARIA, 400, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin, PRIMARY KEY (a DESC, b), KEY other (b DESC, a))",
        "INSERT INTO {t} SELECT n DIV 10, n FROM {n}",
    ])
    .cut(),
    case("unique_only", ALL, 400, &[
        "CREATE TABLE {t} (a INT NOT NULL, b DOUBLE NOT NULL, v INT, UNIQUE KEY u (a, b))",
        "INSERT INTO {t} SELECT n DIV 50, n / 3, n FROM {n}",
    ])
    .cut(),
    case("nullable_unique", ALL, 403, &[
        "CREATE TABLE {t} (a INT, v INT, UNIQUE KEY u (a))",
        "INSERT INTO {t} SELECT n, n FROM {n}",
        "INSERT INTO {t} VALUES (NULL, 1), (NULL, 1), (NULL, 2)",
    ]),
    case("prefix_unique", ALL, 400, &[
        "CREATE TABLE {t} (a VARCHAR(100) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL, v INT, UNIQUE KEY u (a(5)))",
        "INSERT INTO {t} SELECT CONCAT(LPAD(n, 5, '0'), REPEAT('x', n % 90)), n FROM {n}",
    ]),
    case("prefix_in_the_primary_key", ALL, 400, &[
        "CREATE TABLE {t} (a BLOB NOT NULL, b INT, PRIMARY KEY (a(4), b))",
        "INSERT INTO {t} SELECT CONCAT(LPAD(n DIV 3, 4, '0'), REPEAT(X'5C', n % 90)), n FROM {n}",
    ]),
    case("hidden_unique_key", M97, 400, &[
        "CREATE TABLE {t} (a INT NOT NULL, b INT NOT NULL, UNIQUE KEY z (a), UNIQUE KEY b (b) INVISIBLE)",
        "INSERT INTO {t} SELECT n, -n FROM {n}",
    ])
    .cut(),
    case("functional_key", M97, 400, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9), UNIQUE KEY u ((a * 2)), KEY v ((LOWER(b)), a))",
        "INSERT INTO {t} SELECT n, n FROM {n}",
    ])
    .refused(&[(TO_MARIA, "target.functional_index")]),
    case("key_over_a_generated_column", M97, 400, &[
        "CREATE TABLE {t} (a INT, h BINARY(16) AS (UNHEX(LEFT(SHA2(a, 256), 32))) STORED NOT NULL PRIMARY KEY, v INT)",
        "INSERT INTO {t} (a, v) SELECT n, n FROM {n}",
    ])
    .refused(&[(TO_MARIA, "target.definition")])
    .cut(),
    case("unique_over_a_virtual_column", M97 | MARIA, 400, &[
        "CREATE TABLE {t} (a INT, b INT AS (a * 3) VIRTUAL, UNIQUE KEY u (b))",
        "INSERT INTO {t} (a) SELECT n FROM {n}",
    ]),
    case("equal_rows_without_a_key", ALL, 8, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9))",
        "INSERT INTO {t} VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL), (1, 'X'), (2, ''), (2, NULL)",
    ])
    .holds(&["SELECT COUNT(*) = 4 FROM {t} WHERE a = 1"]),
    case("equal_rows_in_partitions", ALL, 400, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9)) PARTITION BY HASH (a) PARTITIONS 4",
        "INSERT INTO {t} SELECT n % 10, 'x' FROM {n}",
    ]),
    case("many_rows_without_a_key", ALL, 1600, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9))",
        "INSERT INTO {t} SELECT a.n % 7, REPEAT('y', a.n % 5) FROM {n} AS a JOIN {n} AS b ON b.n <= 4",
    ]),
    case("invisible_primary_key", M97, 400, &[
        "SET SESSION sql_generate_invisible_primary_key = ON",
        "CREATE TABLE {t} (a INT, b VARCHAR(9))",
        "SET SESSION sql_generate_invisible_primary_key = OFF",
        "INSERT INTO {t} SELECT 1, 'x' FROM {n}",
    ])
    .cut(),
    case("many_keys", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, b VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_swedish_ci, c DATE, KEY (a), KEY (a, b), KEY (b(3)), KEY (c, a, b), UNIQUE KEY (c, id), KEY (b, c), KEY (a) COMMENT 'again')",
        "INSERT INTO {t} SELECT n, n % 9, n, '2024-01-01' + INTERVAL n DAY FROM {n}",
    ])
    .cut(),
    case("keys_by_hash", ALL, 2, &[
        "CREATE TABLE {t} (id INT, a INT, PRIMARY KEY (id) USING HASH, KEY (a) USING BTREE)",
        "INSERT INTO {t} VALUES (1, 2), (2, 3)",
    ]),
    case("fulltext_keys", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, b VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, FULLTEXT KEY a (a), FULLTEXT KEY ab (a, b)) ENGINE = InnoDB",
        "INSERT INTO {t} SELECT n, CONCAT('word', n, ' other words'), 'é ü' FROM {n}",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE MATCH (a) AGAINST ('word7')"])
    .cut(),
    case("fulltext_with_its_own_number", M97 | M56, 1, &[
        "CREATE TABLE {t} (FTS_DOC_ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, a TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, FULLTEXT KEY (a)) ENGINE = InnoDB",
        "INSERT INTO {t} VALUES (5, 'words')",
    ]),
];
