//! Numbers, at their limits and beyond what text tells; bits, ENUM and SET by number.

use super::case::{ALL, Case, FROM_56, FROM_MARIA, M97, TO_MARIA, case};

pub const CASES: &[Case] = &[
    case("tinyints", ALL, 3, &[
        "CREATE TABLE {t} (a TINYINT PRIMARY KEY, b TINYINT UNSIGNED, c TINYINT(1))",
        "INSERT INTO {t} VALUES (-128, 0, 1), (0, NULL, 0), (127, 255, -1)",
    ])
    .holds(&["SELECT MAX(b) = 255 AND MIN(a) = -128 FROM {t}"]),
    case("smallints", ALL, 3, &[
        "CREATE TABLE {t} (a SMALLINT PRIMARY KEY, b SMALLINT UNSIGNED)",
        "INSERT INTO {t} VALUES (-32768, 0), (0, NULL), (32767, 65535)",
    ]),
    case("mediumints", ALL, 3, &[
        "CREATE TABLE {t} (a MEDIUMINT PRIMARY KEY, b MEDIUMINT UNSIGNED)",
        "INSERT INTO {t} VALUES (-8388608, 0), (0, NULL), (8388607, 16777215)",
    ]),
    case("ints", ALL, 3, &[
        "CREATE TABLE {t} (a INT PRIMARY KEY, b INT UNSIGNED)",
        "INSERT INTO {t} VALUES (-2147483648, 0), (0, NULL), (2147483647, 4294967295)",
    ]),
    case("bigints", ALL, 4, &[
        "CREATE TABLE {t} (a BIGINT PRIMARY KEY, b BIGINT UNSIGNED)",
        "INSERT INTO {t} VALUES (-9223372036854775808, 0), (0, NULL), (9223372036854775807, 18446744073709551615), (1, 9223372036854775808)",
    ])
    .holds(&["SELECT MAX(b) = 18446744073709551615 FROM {t}"]),
    case("unsigned_key_past_the_sign", ALL, 400, &[
        "CREATE TABLE {t} (a BIGINT UNSIGNED PRIMARY KEY, b INT)",
        "INSERT INTO {t} SELECT 18446744073709551615 - CAST(n AS UNSIGNED) * 46116860184273879, n FROM {n}",
    ])
    .cut(),
    case("zerofill", ALL, 3, &[
        "CREATE TABLE {t} (a INT(8) ZEROFILL PRIMARY KEY, b BIGINT(20) ZEROFILL, c DECIMAL(10,2) ZEROFILL, d FLOAT ZEROFILL, e DOUBLE ZEROFILL)",
        "INSERT INTO {t} VALUES (0, 0, 0, 0, 0), (7, 7, 7.5, 0.1, 0.1), (4294967295, 18446744073709551615, 99999999.99, 1e30, 1e300)",
    ]),
    case("auto_increment_zero", ALL, 3, &[
        "CREATE TABLE {t} (id INT AUTO_INCREMENT PRIMARY KEY, a INT)",
        "INSERT INTO {t} VALUES (0, 1), (-5, 2), (7, 3)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE id = 0"]),
    case("auto_increment_zero_beside_a_set_clause", ALL, 3, &[
        "CREATE TABLE {t} (s SET('a','b'), id INT AUTO_INCREMENT PRIMARY KEY)",
        "INSERT INTO {t} VALUES ('a', 0), ('', 1), (NULL, 2)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE id = 0"]),
    case("auto_increment_at_its_end", ALL, 2, &[
        "CREATE TABLE {t} (id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, a INT)",
        "INSERT INTO {t} VALUES (255, 1), (1, 2)",
    ]),
    case("auto_increment_not_first", ALL, 3, &[
        "CREATE TABLE {t} (a INT NOT NULL, id INT NOT NULL AUTO_INCREMENT, PRIMARY KEY (a, id), KEY (id))",
        "INSERT INTO {t} VALUES (1, 0), (1, 5), (2, 1)",
    ]),
    case("auto_increment_of_bigint_past_the_sign", ALL, 2, &[
        "CREATE TABLE {t} (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, a INT)",
        "INSERT INTO {t} VALUES (18446744073709551614, 1), (9223372036854775808, 2)",
    ]),
    case("auto_increment_of_float", ALL & !M97, 3, &[
        "CREATE TABLE {t} (id FLOAT AUTO_INCREMENT PRIMARY KEY, a INT)",
        "INSERT INTO {t} VALUES (0, 1), (2.5, 2), (7, 3)",
    ])
    .refused(&[(FROM_56, "target.type_unknown"), (FROM_MARIA, "target.type_unknown")]),
    case("auto_increment_set_ahead", ALL, 1, &[
        "CREATE TABLE {t} (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 1000000",
        "INSERT INTO {t} VALUES (1)",
    ]),
    case("decimals", ALL, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a DECIMAL(65,30), b DECIMAL(65,0), c DECIMAL(30,30), d DECIMAL(1,0) UNSIGNED, e DECIMAL(10,5))",
        "INSERT INTO {t} VALUES (1, 99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999999999999999999999999999999999999999999999999, 0.999999999999999999999999999999, 9, 0)",
        "INSERT INTO {t} VALUES (2, -99999999999999999999999999999999999.999999999999999999999999999999, -99999999999999999999999999999999999999999999999999999999999999999, -0.999999999999999999999999999999, 0, -0.00001)",
        "INSERT INTO {t} VALUES (3, 0.000000000000000000000000000001, 1, 0.000000000000000000000000000001, 1, 99999.99999), (4, NULL, NULL, NULL, NULL, NULL), (5, -0.0, -0, -0.0, 0, -0.0), (6, 1.5, 10, .1, 2, 1.50000)",
    ]),
    case("floats", ALL, 12, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, f FLOAT)",
        "INSERT INTO {t} VALUES (1, 0.1), (2, 16777217), (3, 3.4028234e38), (4, -3.4028234e38), (5, 1.17549435e-38), (6, 1e-45), (7, -1.4e-45), (8, 1/3), (9, 123456.789), (10, NULL), (11, 0), (12, 8388609.5)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE id = 1 AND f <> 0.1", "SELECT f > 0 FROM {t} WHERE id = 6"]),
    case("doubles", ALL, 10, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DOUBLE)",
        "INSERT INTO {t} VALUES (1, 0.1), (2, 9007199254740993), (3, 1.7976931348623157e308), (4, -1.7976931348623157e308), (5, 2.2250738585072014e-308), (6, 4.9e-324), (7, -4.9e-324), (8, 1e0/3), (9, 123456789.123456789), (10, NULL)",
    ])
    .holds(&["SELECT d > 0 FROM {t} WHERE id = 6", "SELECT d * 3 = 1 FROM {t} WHERE id = 8"]),
    case("doubles_of_many_digits", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DOUBLE, f FLOAT)",
        "INSERT INTO {t} SELECT n, SQRT(n) * POW(10, n % 600 - 300), -LN(n + 1) * POW(10, n % 70 - 35) FROM {n}",
    ])
    .cut(),
    case("negative_zero", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, f FLOAT, d DOUBLE)",
        "INSERT INTO {t} VALUES (1, -0e0, -0e0), (2, 0, 0), (3, '-0', '-0')",
    ]),
    case("fractions_of_fixed_width", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, f FLOAT(10,3), d DOUBLE(20,5), u FLOAT UNSIGNED, v DOUBLE(5,0))",
        "INSERT INTO {t} VALUES (1, 1234567.891, 123456789012345.12345, 0.1, 12345), (2, -0.001, -0.00001, 1e-40, 0), (3, 0.1, 0.1, 3e38, -1), (4, NULL, NULL, NULL, NULL)",
    ]),
    case("bits", ALL, 5, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a BIT(1), b BIT(8), c BIT(9), d BIT(64))",
        "INSERT INTO {t} VALUES (1, 1, b'01011100', b'101011100', 18446744073709551615), (2, 0, 0, 0, 0), (3, NULL, NULL, NULL, NULL), (4, 1, 9, 10, X'5C4E09000A2C3031'), (5, 0, 78, 92, X'00005C4E')",
    ])
    .holds(&["SELECT d + 0 = 18446744073709551615 FROM {t} WHERE id = 1"]),
    case("years", ALL, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, y YEAR)",
        "INSERT INTO {t} VALUES (1, 0), (2, 1901), (3, 2155), (4, '0'), (5, 70), (6, NULL)",
    ])
    .holds(&["SELECT y = 0 FROM {t} WHERE id = 1", "SELECT y = 2000 FROM {t} WHERE id = 4"]),
    case("enum_without_a_member", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('a','','b'))",
        "INSERT IGNORE INTO {t} VALUES (1, 'a'), (2, ''), (3, 'nothing'), (4, NULL)",
    ])
    .holds(&["SELECT e = 0 FROM {t} WHERE id = 3", "SELECT e = 2 FROM {t} WHERE id = 2"])
    .refused(&[(TO_MARIA, "target.enum_no_member")]),
    case("enum_of_digits", ALL, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('0','00','1','2','-1'))",
        "INSERT IGNORE INTO {t} VALUES (1, '0'), (2, '00'), (3, '2'), (4, 'nothing'), (5, 2), (6, '-1')",
    ])
    .holds(&["SELECT e = 0 FROM {t} WHERE id = 4", "SELECT e + 0 = 4 FROM {t} WHERE id = 3"])
    .refused(&[(TO_MARIA, "target.enum_no_member")]),
    case("enum_of_syntax", ALL, 6, &[
        r"CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('a,b',')','''','\\','\t','\\N'))",
        "INSERT INTO {t} SELECT n, n FROM {n} WHERE n < 7",
    ])
    .holds(&[r"SELECT e = '\\N' FROM {t} WHERE id = 6"]),
    case("enum_in_latin1", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('ä','é') CHARACTER SET latin1 COLLATE latin1_german1_ci)",
        "INSERT INTO {t} VALUES (1, 'ä'), (2, 'é')",
    ]),
    case("enum_in_utf16", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('ä','12') CHARACTER SET utf16 COLLATE utf16_general_ci)",
        "INSERT INTO {t} VALUES (1, 'ä'), (2, '12'), (3, NULL)",
    ]),
    case("enum_of_300", ALL, 300, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, e ENUM('x') NOT NULL)",
        "SET SESSION group_concat_max_len = 100000",
        "SET @members = (SELECT GROUP_CONCAT(CONCAT('''m', n, '''') ORDER BY n) FROM {n} WHERE n <= 300)",
        "SET @sql = CONCAT('ALTER TABLE {t} MODIFY e ENUM(', @members, ') NOT NULL')",
        "PREPARE wider FROM @sql",
        "EXECUTE wider",
        "INSERT INTO {t} SELECT n, n FROM {n} WHERE n <= 300",
    ])
    .holds(&["SELECT e = 'm300' FROM {t} WHERE id = 300"]),
    case("set_of_64", ALL, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, s SET({64}))",
        "INSERT INTO {t} VALUES (1, 18446744073709551615), (2, 0), (3, 'm64'), (4, 'm1,m64'), (5, NULL), (6, 9223372036854775807)",
    ])
    .holds(&["SELECT s + 0 <> 0 AND FIND_IN_SET('m64', s) = 64 FROM {t} WHERE id = 1"]),
    case("set_with_an_empty_member", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, s SET('','a','1'))",
        "INSERT INTO {t} VALUES (1, 0), (2, 1), (3, 3), (4, 4)",
    ])
    .holds(&["SELECT s + 0 = 1 FROM {t} WHERE id = 2", "SELECT s + 0 = 0 FROM {t} WHERE id = 1"]),
    case("booleans", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, b BOOLEAN NOT NULL DEFAULT TRUE, c BOOL)",
        "INSERT INTO {t} VALUES (1, TRUE, FALSE), (2, 5, NULL), (3, FALSE, TRUE)",
    ]),
    case("serial", ALL, 2, &[
        "CREATE TABLE {t} (id SERIAL, a INT)",
        "INSERT INTO {t} VALUES (1, 1), (2, 2)",
    ]),
    case("vectors", M97, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, v VECTOR(3), w VECTOR(16000))",
        "INSERT INTO {t} VALUES (1, TO_VECTOR('[1,-0.1,3.4e38]'), NULL), (2, TO_VECTOR('[0,0,0]'), TO_VECTOR('[1]')), (3, NULL, NULL), (4, TO_VECTOR('[1e-37,-0.0,16777217]'), TO_VECTOR('[9.25,5.5e-9]'))",
    ])
    .refused(&[(TO_MARIA, "target.type_unknown")]),
];
