//! Texts in every character set, with bytes that look like syntax in another; bytes without one.

use super::case::{ALL, Case, FROM_56, FROM_MARIA, M56, M97, MARIA, TO_MARIA, case};

pub const CASES: &[Case] = &[
    case("all_bytes_of_latin1", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin, b TEXT CHARACTER SET latin1 COLLATE latin1_swedish_ci)",
        "INSERT INTO {t} SELECT n, UNHEX(LPAD(HEX(n % 256), 2, '0')), UNHEX(CONCAT(LPAD(HEX(n % 256), 2, '0'), '5C', LPAD(HEX((n + 7) % 256), 2, '0'))) FROM {n}",
    ])
    .holds(&["SELECT HEX(a) = '0A' FROM {t} WHERE id = 10"])
    .cut(),
    case("double_encoded_latin1", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci, b VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci)",
        "INSERT INTO {t} VALUES (1, _latin1 X'C3A9E282AC', _latin1 X'C3A9E282AC'), (2, _latin1 X'F09F9982', _latin1 X'F09F9982')",
    ])
    .holds(&["SELECT HEX(a) = 'C3A9E282AC' AND HEX(b) = 'C383C2A9C3A2E2809AC2AC' FROM {t} WHERE id = 1"]),
    case("bytes_under_latin1_that_are_utf8_cut_off", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci)",
        "INSERT INTO {t} VALUES (1, X'C3F09F')",
    ]),
    case("undefined_bytes_of_cp1251", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET cp1251 COLLATE cp1251_general_ci)",
        "INSERT INTO {t} VALUES (1, X'98C0FF5C')",
    ])
    .holds(&["SELECT HEX(a) = '98C0FF5C' FROM {t}"]),
    case("high_bytes_in_ascii", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET ascii COLLATE ascii_general_ci)",
        "INSERT INTO {t} VALUES (1, 'a\\\\b\\0c\\nd\\te')",
    ]),
    case("gbk_that_ends_in_a_backslash", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET gbk COLLATE gbk_chinese_ci, b TEXT CHARACTER SET gbk COLLATE gbk_bin)",
        "INSERT INTO {t} VALUES (1, X'BF5C', X'816E5C'), (2, X'BF27', X'815C815C')",
    ])
    .holds(&["SELECT HEX(a) = 'BF5C' FROM {t} WHERE id = 1"]),
    case("sjis_that_ends_in_a_backslash", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET sjis COLLATE sjis_japanese_ci, b VARCHAR(20) CHARACTER SET cp932 COLLATE cp932_japanese_ci)",
        "INSERT INTO {t} VALUES (1, X'835C', X'955C'), (2, X'5C7E', X'8740')",
    ])
    .holds(&["SELECT HEX(a) = '835C' FROM {t} WHERE id = 1"]),
    case("big5_that_ends_in_a_backslash", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET big5 COLLATE big5_chinese_ci)",
        "INSERT INTO {t} VALUES (1, X'A55C'), (2, X'B35CA44A')",
    ])
    .holds(&["SELECT HEX(a) = 'A55C' FROM {t} WHERE id = 1"]),
    case("gb18030_of_four_bytes", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET gb18030)",
        "INSERT INTO {t} VALUES (1, X'94398639815C'), (2, '汉')",
    ])
    .refused(&[(TO_MARIA, "target.collation_unknown")]),
    case("japanese_and_korean", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET ujis COLLATE ujis_japanese_ci, b VARCHAR(9) CHARACTER SET eucjpms COLLATE eucjpms_japanese_ci, c VARCHAR(9) CHARACTER SET euckr COLLATE euckr_korean_ci, d VARCHAR(9) CHARACTER SET gb2312 COLLATE gb2312_chinese_ci)",
        "INSERT INTO {t} VALUES (1, '日本', '日本', '한국', '中国')",
    ]),
    case("one_byte_sets", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET koi8r COLLATE koi8r_general_ci, b VARCHAR(9) CHARACTER SET hebrew COLLATE hebrew_general_ci, c VARCHAR(9) CHARACTER SET greek COLLATE greek_general_ci, d VARCHAR(9) CHARACTER SET tis620 COLLATE tis620_thai_ci, e VARCHAR(9) CHARACTER SET cp850 COLLATE cp850_general_ci, f VARCHAR(9) CHARACTER SET latin2 COLLATE latin2_czech_cs, g VARCHAR(9) CHARACTER SET swe7 COLLATE swe7_swedish_ci, h VARCHAR(9) CHARACTER SET armscii8 COLLATE armscii8_general_ci)",
        "INSERT INTO {t} VALUES (1, 'да', 'אב', 'αβ', 'กข', 'é', 'ž', 'å', 'Ա')",
    ])
    .holds(&["SELECT a = 'да' AND g = 'å' FROM {t}"]),
    case("utf16_and_utf32", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf16 COLLATE utf16_general_ci, b TEXT CHARACTER SET utf32 COLLATE utf32_general_ci, c VARCHAR(20) CHARACTER SET utf16le COLLATE utf16le_general_ci, d CHAR(5) CHARACTER SET utf32 COLLATE utf32_bin)",
        "INSERT INTO {t} VALUES (1, _utf8mb4 X'F09F9982', _utf8mb4 X'F09F9982', _utf8mb4 X'F09F9982', _utf8mb4 X'F09F9982'), (2, _utf16 X'0A0A090A5C0A', _utf32 X'00000A0A0000095C', _utf16 X'0A0A5C09', ''), (3, _utf16 X'000A0009005C0000', _utf32 X'0000000A', _utf16 X'000A', NULL)",
    ])
    .holds(&["SELECT HEX(a) = 'D83DDE42' FROM {t} WHERE id = 1"]),
    case("half_a_pair_in_ucs2", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET ucs2 COLLATE ucs2_general_ci)",
        "INSERT INTO {t} VALUES (1, X'D83D'), (2, X'00E90A5C095C')",
    ])
    .holds(&["SELECT HEX(a) = 'D83D' FROM {t} WHERE id = 1"]),
    case("utf8mb3", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf8 COLLATE utf8_general_ci, b TEXT CHARACTER SET utf8 COLLATE utf8_bin)",
        "INSERT INTO {t} VALUES (1, 'é€', 'ab\\\\'), (2, X'EFBFBD', X'EFBBBF')",
    ]),
    case("utf8mb4", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, b LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci)",
        r"INSERT INTO {t} VALUES (1, X'F09F9982', X'F48FBFBF'), (2, '\\N', 'NULL'), (3, '\n\r\t\0\Z\\', '\\'), (4, '', NULL)",
    ])
    .holds(&[r"SELECT a = '\\N' AND a IS NOT NULL FROM {t} WHERE id = 2"]),
    case("text_beside_text_in_other_sets", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci, b VARCHAR(9) CHARACTER SET sjis COLLATE sjis_japanese_ci, c VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, d VARBINARY(9), e VARCHAR(9) CHARACTER SET ucs2 COLLATE ucs2_general_ci)",
        "INSERT INTO {t} VALUES (1, X'E95C', X'835C', X'C3A95C', X'FF5C', X'00E9005C')",
    ]),
    case("collations_0900", M97, 2, &[
        "CREATE TABLE {t} (a VARCHAR(9) COLLATE utf8mb4_0900_as_cs PRIMARY KEY, b VARCHAR(9) COLLATE utf8mb4_ja_0900_as_cs_ks)",
        "INSERT INTO {t} VALUES ('a', 'あ'), ('a ', 'ア')",
    ])
    .refused(&[(TO_MARIA, "target.collation_unknown")]),
    case("chars_with_spaces", ALL, 5, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a CHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci, b VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci, c CHAR(0), d CHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci)",
        "INSERT INTO {t} VALUES (1, 'x  ', 'x  ', '', REPEAT('é', 255)), (2, '  x', '  x', NULL, '  '), (3, '', ' ', '', 'a\\n'), (4, NULL, NULL, NULL, NULL), (5, 'a\\tb', 'a\\tb ', '', '\\t')",
    ])
    .holds(&["SELECT LENGTH(b) = 3 FROM {t} WHERE id = 1"]),
    case("binary_padding", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a BINARY(4), b VARBINARY(4), c BINARY(0))",
        "INSERT INTO {t} VALUES (1, X'61', X'6100', ''), (2, X'00000000', X'00', NULL), (3, X'20202020', X'20', ''), (4, X'5C4E0A09', '', '')",
    ])
    .holds(&["SELECT HEX(a) = '61000000' AND HEX(b) = '6100' FROM {t} WHERE id = 1"]),
    case("all_pairs_of_bytes", ALL, 256, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARBINARY(9000), b BLOB)",
        "INSERT INTO {t} SELECT a.n - 1, UNHEX(GROUP_CONCAT(CONCAT(LPAD(HEX(a.n - 1), 2, '0'), LPAD(HEX(b.n - 1), 2, '0')) ORDER BY b.n SEPARATOR '')), UNHEX(LPAD(HEX(a.n - 1), 2, '0')) FROM {n} AS a JOIN {n} AS b ON b.n <= 256 WHERE a.n <= 256 GROUP BY a.n",
    ])
    .holds(&["SELECT SUM(LENGTH(b)) = 256 AND MIN(LENGTH(a)) >= 510 FROM {t}"])
    .cut(),
    case("blobs_of_every_size", ALL, 4, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TINYBLOB, b BLOB, c MEDIUMBLOB, d LONGBLOB)",
        "INSERT INTO {t} VALUES (1, REPEAT(X'5C', 255), REPEAT(X'0A', 65535), REPEAT(X'00', 65536), REPEAT(X'09FF', 100000)), (2, '', '', '', ''), (3, NULL, NULL, NULL, NULL), (4, X'00', X'0D0A', X'1A', X'27')",
    ])
    .holds(&["SELECT LENGTH(b) = 65535 FROM {t} WHERE id = 1"]),
    case("texts_of_every_size", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TINYTEXT, b TEXT, c MEDIUMTEXT, d LONGTEXT) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_general_ci",
        "INSERT INTO {t} VALUES (1, REPEAT('é', 127), REPEAT('\\\\', 65535), REPEAT('🙂', 20000), REPEAT('\\n\\t', 100000)), (2, '', '', '', ''), (3, NULL, NULL, NULL, NULL)",
    ]),
    case("texts_that_fill_a_row", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(16000) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, b VARCHAR(1000) CHARACTER SET latin1 COLLATE latin1_bin)",
        "INSERT INTO {t} VALUES (1, REPEAT('🙂', 16000), REPEAT('x', 1000)), (2, '', '')",
    ]),
    // The servers' max_allowed_packet is 4 MiB here.
    case("rows_larger_than_a_packet", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a LONGBLOB, b LONGBLOB, c LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)",
        "INSERT INTO {t} VALUES (1, REPEAT(X'00', 3000000), REPEAT(X'5C', 3000000), NULL), (3, NULL, NULL, NULL)",
        "INSERT INTO {t} VALUES (2, REPEAT('\\t\\n', 1500000), REPEAT('ab', 1500000), REPEAT('é', 1500000))",
    ])
    .holds(&["SELECT LENGTH(a) + LENGTH(b) + LENGTH(c) = 9000000 FROM {t} WHERE id = 2"]),
    case("one_column_of_text", ALL, 5, &[
        "CREATE TABLE {t} (a VARCHAR(3))",
        "INSERT INTO {t} VALUES (''), (NULL), (''), ('\\\\'), ('\\n')",
    ])
    .holds(&["SELECT COUNT(*) = 2 FROM {t} WHERE a = '' AND a IS NOT NULL"]),
    case("null_and_its_likes", ALL, 6, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9), b INT, c VARBINARY(9))",
        r"INSERT INTO {t} VALUES (1, NULL, NULL, NULL), (2, '', 0, ''), (3, 'NULL', 0, 'NULL'), (4, '\\N', 0, '\\N'), (5, 'N', 0, X'00'), (6, '0', 0, '0')",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE a IS NULL"]),
    case("ambiguous_with_commas", ALL, 4, &[
        "CREATE TABLE {t} (a VARCHAR(9), b VARCHAR(9))",
        "INSERT INTO {t} VALUES ('a,b', 'c'), ('a', 'b,c'), ('a', ''), ('', 'a')",
    ]),
    case("defaults_with_quotes", ALL, 1, &[
        r#"CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(40) DEFAULT 'it''s \\ "x" `y` /* no */ -- no', b VARCHAR(9) DEFAULT '\n\t', c BINARY(3) DEFAULT X'00FF5C', d VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT 'é€')"#,
        "INSERT INTO {t} (id) VALUES (1)",
    ]),
    // MariaDB and MySQL 5.6 print such a default as '?', so that nobody can see whether it has it.
    case("default_of_four_bytes", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '🙂')",
        "INSERT INTO {t} (id) VALUES (1)",
    ])
    .refused(&[
        (TO_MARIA, "rows the target's definition isn't the source's"),
        (FROM_MARIA, "source.default_unreadable"),
        (FROM_56, "source.default_unreadable"),
    ]),
    case("default_of_four_bytes_without_rows", M56 | MARIA, 0, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT 'a🙂')",
    ])
    .refused(&[
        (FROM_MARIA, "source.default_unreadable"),
        (FROM_56, "source.default_unreadable"),
    ]),
    case("default_with_a_question", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'é?')",
        "INSERT INTO {t} (id) VALUES (1)",
    ]),
    case("default_with_a_question_without_rows", ALL, 0, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '?')",
    ])
    .refused(&[
        (FROM_MARIA, "warning source.default_unknown"),
        (FROM_56, "warning source.default_unknown"),
    ]),
    case("defaults_of_bytes", ALL, 1, &[
        r"CREATE TABLE {t} (id INT PRIMARY KEY, a BINARY(3) DEFAULT 'ab', b VARBINARY(9) DEFAULT 'it''s\\', c VARBINARY(9) DEFAULT X'FF00FE5C27', d BINARY(2) DEFAULT X'C3A9', e VARBINARY(9) DEFAULT '')",
        "INSERT INTO {t} (id) VALUES (1)",
    ])
    .holds(&["SELECT HEX(c) = 'FF00FE5C27' AND HEX(a) = '616200' FROM {t}"]),
    case("long_unsigned_words", M56 | MARIA | M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a LONG VARCHAR, b LONG VARBINARY, c NATIONAL VARCHAR(9), d NCHAR(3))",
        "INSERT INTO {t} VALUES (1, 'x', X'FF', 'é', 'é'), (2, NULL, NULL, NULL, NULL)",
    ]),
];
