//! Tables: partitions, foreign keys, generated and invisible columns, formats, sizes.

use super::case::{ALL, Case, FROM_56, FROM_MARIA, M56, M97, MARIA, SAME_97, TO_MARIA, case};

pub const CASES: &[Case] = &[
    case("nothing_in_it", ALL, 0, &["CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9))"]),
    case("nothing_in_its_partitions", ALL, 0, &["CREATE TABLE {t} (id INT PRIMARY KEY) PARTITION BY KEY (id) PARTITIONS 3"]),
    case("one_column", ALL, 2, &["CREATE TABLE {t} (id INT PRIMARY KEY)", "INSERT INTO {t} VALUES (0), (1)"]),
    case("one_column_of_bits", ALL, 3, &["CREATE TABLE {t} (b BIT(8))", "INSERT INTO {t} VALUES (10), (NULL), (92)"]),
    case("one_column_of_bytes", ALL, 3, &["CREATE TABLE {t} (b BLOB)", "INSERT INTO {t} VALUES (X'0A'), (''), (NULL)"]),
    case("columns_1017", ALL, 3, &["CREATE TABLE {t} ({1017})", "INSERT INTO {t} (c1) VALUES (1), (2), (NULL)"])
        .holds(&["SELECT SUM(c99) = 297 FROM {t}"]),
    case("by_range", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION `p,1)` VALUES LESS THAN (200) COMMENT = 'it''s )', PARTITION pm VALUES LESS THAN MAXVALUE)",
        "INSERT INTO {t} SELECT n, n FROM {n}",
    ])
    .cut(),
    case("by_range_columns", ALL, 400, &[
        "CREATE TABLE {t} (d DATE, s VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin, v INT, PRIMARY KEY (d, s)) PARTITION BY RANGE COLUMNS (d, s) (PARTITION a VALUES LESS THAN ('2024-06-01', 'm'), PARTITION b VALUES LESS THAN (MAXVALUE, MAXVALUE))",
        "INSERT INTO {t} SELECT '2024-01-01' + INTERVAL n DAY, n, n FROM {n}",
    ])
    .cut(),
    case("by_list", ALL, 399, &[
        "CREATE TABLE {t} (id INT, r TINYINT, PRIMARY KEY (id, r)) PARTITION BY LIST (r) (PARTITION a VALUES IN (0, 1), PARTITION b VALUES IN (2, NULL))",
        "INSERT INTO {t} SELECT n, n % 3 FROM {n} WHERE n < 400",
    ])
    .cut(),
    case("by_list_columns", ALL, 3, &[
        "CREATE TABLE {t} (a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, v INT) PARTITION BY LIST COLUMNS (a) (PARTITION x VALUES IN ('(', ')'), PARTITION y VALUES IN ('''', ',', NULL))",
        "INSERT INTO {t} VALUES ('(', 1), ('''', 2), (NULL, 3)",
    ]),
    case("by_hash", ALL, 400, &[
        "CREATE TABLE {t} (id INT, d DATETIME, PRIMARY KEY (id, d)) PARTITION BY HASH (YEAR(d)) PARTITIONS 5",
        "INSERT INTO {t} SELECT n, '2000-01-01' + INTERVAL n MONTH FROM {n}",
    ])
    .cut(),
    case("by_linear_hash", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY) PARTITION BY LINEAR HASH (id) PARTITIONS 3",
        "INSERT INTO {t} VALUES (1), (2), (-3)",
    ]),
    case("by_key", ALL, 400, &[
        "CREATE TABLE {t} (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v INT) PARTITION BY KEY () PARTITIONS 4",
        "INSERT INTO {t} SELECT CONCAT('é', n), n FROM {n}",
    ])
    .cut(),
    case("by_linear_key", ALL, 400, &[
        "CREATE TABLE {t} (a INT NOT NULL, b BINARY(4) NOT NULL, UNIQUE KEY u (a, b)) PARTITION BY LINEAR KEY (b) PARTITIONS 3",
        "INSERT INTO {t} SELECT n, n FROM {n}",
    ])
    .cut(),
    case("subpartitions", ALL, 400, &[
        "CREATE TABLE {t} (id INT, d DATE, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (TO_DAYS(d)) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2024), PARTITION pm VALUES LESS THAN MAXVALUE)",
        "INSERT INTO {t} SELECT n, '2023-06-01' + INTERVAL n DAY FROM {n}",
    ])
    .cut(),
    case("named_subpartitions", ALL, 2, &[
        "CREATE TABLE {t} (id INT, d DATE, PRIMARY KEY (id, d)) PARTITION BY RANGE (TO_DAYS(d)) SUBPARTITION BY KEY (id) (PARTITION p0 VALUES LESS THAN (TO_DAYS('2024-01-01')) (SUBPARTITION `s 0`, SUBPARTITION s1), PARTITION pm VALUES LESS THAN MAXVALUE (SUBPARTITION s2, SUBPARTITION s3))",
        "INSERT INTO {t} VALUES (1, '2023-01-01'), (2, '2024-01-01')",
    ]),
    case("partitions_200", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 64",
        "INSERT INTO {t} SELECT n FROM {n}",
    ]),
    case("foreign_key_to_itself", ALL, 400, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, parent INT, KEY (parent), FOREIGN KEY (parent) REFERENCES {t} (id) ON DELETE CASCADE)",
        "SET SESSION foreign_key_checks = 0",
        "INSERT INTO {t} SELECT n, 401 - n FROM {n}",
        "SET SESSION foreign_key_checks = 1",
    ])
    .cut(),
    case("foreign_keys_in_a_circle", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, other INT, KEY (other))",
        "CREATE TABLE {d}.circle_closed (id INT PRIMARY KEY, other INT, CONSTRAINT closes FOREIGN KEY (other) REFERENCES {t} (id))",
        "INSERT INTO {t} VALUES (1, 1)",
        "INSERT INTO {d}.circle_closed VALUES (1, 1)",
        "ALTER TABLE {t} ADD CONSTRAINT opens FOREIGN KEY (other) REFERENCES {d}.circle_closed (id) ON UPDATE CASCADE",
    ]),
    case("foreign_key_across_databases", ALL, 2, &[
        "CREATE TABLE {o}.parent (id INT PRIMARY KEY)",
        "CREATE TABLE {t} (id INT PRIMARY KEY, p INT, CONSTRAINT elsewhere FOREIGN KEY (p) REFERENCES {o}.parent (id) ON DELETE SET NULL)",
        "INSERT INTO {o}.parent VALUES (1)",
        "INSERT INTO {t} VALUES (1, 1), (2, NULL)",
    ]),
    case("foreign_key_to_a_non_unique_key", ALL, 2, &[
        "SET @relaxed = 1 /*!80400 , restrict_fk_on_non_standard_key = OFF */",
        "CREATE TABLE {d}.not_unique (id INT PRIMARY KEY, a INT, KEY (a))",
        "INSERT INTO {d}.not_unique VALUES (1, 7), (2, 7)",
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, CONSTRAINT lax FOREIGN KEY (a) REFERENCES {d}.not_unique (a))",
        "INSERT INTO {t} VALUES (1, 7), (2, NULL)",
    ]),
    case("foreign_key_of_two_columns", ALL, 2, &[
        "CREATE TABLE {d}.pairs (a INT, b VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin, PRIMARY KEY (a, b))",
        "INSERT INTO {d}.pairs VALUES (1, 'x')",
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, b VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin, CONSTRAINT both_of FOREIGN KEY (a, b) REFERENCES {d}.pairs (a, b) ON UPDATE CASCADE ON DELETE RESTRICT)",
        "INSERT INTO {t} VALUES (1, 1, 'x'), (2, NULL, 'y')",
    ]),
    // Written while foreign_key_checks was off: the copy takes what is there.
    case("orphans", ALL, 2, &[
        "CREATE TABLE {d}.bereft (id INT PRIMARY KEY)",
        "CREATE TABLE {t} (id INT PRIMARY KEY, p INT, CONSTRAINT orphaned FOREIGN KEY (p) REFERENCES {d}.bereft (id))",
        "SET SESSION foreign_key_checks = 0",
        "INSERT INTO {t} VALUES (1, 99), (2, NULL)",
        "SET SESSION foreign_key_checks = 1",
    ]),
    case("generated_columns", M97 | MARIA, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, s INT AS (a + 1) STORED, v VARCHAR(20) AS (CONCAT('x', a)) VIRTUAL, z INT, KEY (s), KEY (v))",
        "INSERT INTO {t} (id, a, z) VALUES (1, 1, 9), (2, NULL, 8), (3, -1, NULL)",
    ])
    .holds(&["SELECT s = 2 AND v = 'x1' FROM {t} WHERE id = 1"]),
    case("generated_first", M97 | MARIA, 2, &[
        "CREATE TABLE {t} (g INT AS (a * 2) STORED, a INT, h INT AS (a * 3) VIRTUAL, b INT)",
        "INSERT INTO {t} (a, b) VALUES (1, 2), (3, 4)",
    ]),
    case("generated_with_rounding", M97 | MARIA, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a DECIMAL(10,5), g DECIMAL(10,2) AS (a * 1.00001) STORED)",
        "INSERT INTO {t} (id, a) VALUES (1, 1.00555), (2, -2.55555), (3, NULL)",
    ]),
    case("generated_only", M97, 2, &["CREATE TABLE {t} (a INT AS (1) VIRTUAL)", "INSERT INTO {t} VALUES (), ()"]),
    case("invisible_columns", M97 | MARIA, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, hidden INT INVISIBLE DEFAULT 4, a INT, later VARCHAR(9) DEFAULT 'x' INVISIBLE)",
        "INSERT INTO {t} (id, hidden, a, later) VALUES (1, 1, 1, 'a'), (2, NULL, 2, NULL)",
        "INSERT INTO {t} VALUES (3, 3)",
    ])
    .holds(&["SELECT hidden = 1 AND later = 'a' FROM {t} WHERE id = 1"]),
    case("invisible_without_a_default", M97, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, hidden INT NOT NULL INVISIBLE)",
        "INSERT INTO {t} (id, hidden) VALUES (1, 1)",
    ])
    .refused(&[(TO_MARIA, "target.invisible_column")]),
    case("invisible_index", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, KEY (a) INVISIBLE)",
        "INSERT INTO {t} VALUES (1, 1), (2, 2)",
    ]),
    case("defaults_that_are_expressions", M97 | MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT DEFAULT (1 + 2), b VARCHAR(40) DEFAULT (CONCAT('it''s ', '(', 1)), c CHAR(36) DEFAULT (UUID()), d DOUBLE DEFAULT (RAND()), e VARCHAR(9) DEFAULT (LPAD('x', 3, '('))) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_general_ci",
        "INSERT INTO {t} (id) VALUES (1), (2)",
    ])
    .holds(&["SELECT COUNT(DISTINCT c) = 2 FROM {t}"]),
    case("defaults_of_large_types", M97 | MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TEXT DEFAULT ('it''s'), b BLOB DEFAULT ('x'))",
        "INSERT INTO {t} (id) VALUES (1)",
    ]),
    case("checks", M97 | MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT CHECK (a > 0), b INT, CHECK (b > a))",
        "INSERT INTO {t} VALUES (1, 1, 2)",
    ]),
    case("check_not_enforced", M97, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, CONSTRAINT lax_check CHECK (a > 0) NOT ENFORCED)",
        "INSERT INTO {t} VALUES (1, -1), (2, 1)",
    ])
    .refused(&[(TO_MARIA, "target.check_not_enforced")]),
    case("rows_compact", ALL, 400, &["CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(99)) ROW_FORMAT = COMPACT", "INSERT INTO {t} SELECT n, REPEAT('x', n % 90) FROM {n}"]).cut(),
    case("rows_redundant", ALL, 2, &["CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(99)) ROW_FORMAT = REDUNDANT", "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)"]),
    case("rows_dynamic", ALL, 2, &["CREATE TABLE {t} (id INT PRIMARY KEY, a TEXT) ROW_FORMAT = DYNAMIC", "INSERT INTO {t} VALUES (1, REPEAT('x', 20000)), (2, NULL)"]),
    case("rows_compressed", ALL, 2, &["CREATE TABLE {t} (id INT PRIMARY KEY, a TEXT) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8", "INSERT INTO {t} VALUES (1, REPEAT('x', 20000)), (2, NULL)"]),
    case("key_block_size_alone", M97 | M56, 1, &["CREATE TABLE {t} (id INT PRIMARY KEY) KEY_BLOCK_SIZE = 4", "INSERT INTO {t} VALUES (1)"]),
    case("options", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY) AVG_ROW_LENGTH = 100 MIN_ROWS = 1 MAX_ROWS = 1000 STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0 STATS_SAMPLE_PAGES = 30 CHECKSUM = 1 DELAY_KEY_WRITE = 1 PACK_KEYS = 1",
        "INSERT INTO {t} VALUES (1)",
    ]),
    case("attributes", M97, 1, &[
        r#"CREATE TABLE {t} (id INT PRIMARY KEY, a INT SECONDARY_ENGINE_ATTRIBUTE '{"a": 1}') SECONDARY_ENGINE_ATTRIBUTE = '{"b": "it''s"}'"#,
        "INSERT INTO {t} VALUES (1, 1)",
    ]),
    case("of_other_defaults", ALL, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9), b VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_german1_ci) DEFAULT CHARSET = ucs2 COLLATE = ucs2_general_ci",
        "INSERT INTO {t} VALUES (1, 'é', 'é')",
    ]),
    case("myisam", M97 | M56 | MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9)) ENGINE = MyISAM",
        "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)",
    ]),
    case("memory", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9), KEY (a) USING HASH) ENGINE = MEMORY",
        "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)",
    ]),
    case("archive", M97 | M56, 2, &[
        "CREATE TABLE {t} (a INT, b VARCHAR(9)) ENGINE = ARCHIVE",
        "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)",
    ]),
    case("merged", M97 | M56 | MARIA, 1, &[
        "CREATE TABLE {d}.merged_part (a INT) ENGINE = MyISAM",
        "INSERT INTO {d}.merged_part VALUES (1)",
        "CREATE TABLE {t} (a INT) ENGINE = MERGE UNION = ({d}.merged_part)",
    ])
    .refused(&[
        (SAME_97, "source.engine_unsupported"),
        (FROM_56, "source.engine_unsupported"),
        (FROM_MARIA, "source.engine_unsupported"),
        (TO_MARIA, "source.engine_unsupported"),
    ]),
];
