//! What MariaDB has alone. MySQL can't hold most of it; what it can is put into its words.

use super::case::{Case, FROM_MARIA, MARIA, case};

pub const CASES: &[Case] = &[
    case("uuids", MARIA, 2, &[
        "CREATE TABLE {t} (id UUID PRIMARY KEY, v INT)",
        "INSERT INTO {t} VALUES ('123e4567-e89b-12d3-a456-426655440000', 1), (UUID(), 2)",
    ])
    .refused(&[(FROM_MARIA, "target.type_unknown")]),
    case("addresses", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INET6, b INET4)",
        "INSERT INTO {t} VALUES (1, '2001:db8::1', '10.0.0.1'), (2, NULL, NULL)",
    ])
    .refused(&[(FROM_MARIA, "target.type_unknown")]),
    case("compressed_columns", MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(1000) COMPRESSED, b LONGTEXT COMPRESSED)",
        "INSERT INTO {t} VALUES (1, REPEAT('x', 900), REPEAT('y', 9000))",
    ])
    .refused(&[(FROM_MARIA, "target.type_unknown")]),
    case("sequence_as_default", MARIA, 2, &[
        "CREATE SEQUENCE {d}.counter",
        "CREATE TABLE {t} (id BIGINT DEFAULT NEXTVAL({d}.counter) PRIMARY KEY, v INT)",
        "INSERT INTO {t} (v) VALUES (1), (2)",
    ])
    .refused(&[(FROM_MARIA, "target.definition")]),
    case("system_versioned", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
        "INSERT INTO {t} VALUES (1, 1), (2, 2)",
        "UPDATE {t} SET v = 3",
    ])
    .refused(&[(FROM_MARIA, "source.table_kind")]),
    case("without_overlaps", MARIA, 1, &[
        "CREATE TABLE {t} (id INT, a DATE, b DATE, PERIOD FOR p (a, b), UNIQUE (id, p WITHOUT OVERLAPS))",
        "INSERT INTO {t} VALUES (1, '2024-01-01', '2024-02-01')",
    ])
    .refused(&[(FROM_MARIA, "target.definition")]),
    case("long_unique", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TEXT, UNIQUE KEY whole (a))",
        "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)",
    ])
    .refused(&[(FROM_MARIA, "target.long_unique")]),
    case("collation_uca1400", MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE uca1400_ai_ci)",
        "INSERT INTO {t} VALUES (1, 'x')",
    ])
    .refused(&[(FROM_MARIA, "target.collation_unknown")]),
    case("ignored_index", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, KEY (a) IGNORED)",
        "INSERT INTO {t} VALUES (1, 1), (2, 2)",
    ]),
    case("persistent_columns", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT, b INT AS (a + 1) PERSISTENT)",
        "INSERT INTO {t} (id, a) VALUES (1, 1), (2, NULL)",
    ]),
    case("page_options", MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY) PAGE_COMPRESSED = 1 PAGE_COMPRESSION_LEVEL = 9",
        "INSERT INTO {t} VALUES (1)",
    ]),
    case("aria", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, t VARCHAR(9)) ENGINE = Aria TRANSACTIONAL = 1 ROW_FORMAT = PAGE",
        "INSERT INTO {t} VALUES (1, 'x'), (2, NULL)",
    ]),
    case("numbered_checks", MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a INT CHECK (a > 0), CHECK (id < 100))",
        "INSERT INTO {t} VALUES (1, 1)",
    ]),
    case("json_with_its_check", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON NOT NULL DEFAULT '[]', k LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin CHECK (JSON_VALID(k)))",
        "INSERT INTO {t} VALUES (1, '{\"a\":1,\"a\":2}', '1.50'), (2, ' [1, 2.0] ', NULL)",
    ]),
    case("functions_as_default", MARIA, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, u VARCHAR(36) DEFAULT UUID(), d DATE DEFAULT CURRENT_TIMESTAMP(), n INT DEFAULT (3 * 4))",
        "INSERT INTO {t} (id) VALUES (1), (2)",
    ]),
];
