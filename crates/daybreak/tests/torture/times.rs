//! Dates, times and moments: those that aren't any, and those that clocks show twice.

use super::case::{ALL, Case, M97, MARIA, case};

pub const CASES: &[Case] = &[
    case("zero_dates", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, t DATETIME, f DATETIME(6), s TIMESTAMP NULL)",
        "INSERT INTO {t} VALUES (1, 0, 0, 0, 0), (2, NULL, NULL, NULL, NULL)",
    ])
    .holds(&["SELECT HEX(d + 0) = 0 FROM {t} WHERE id = 1"]),
    case("dates_with_zero_parts", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, t DATETIME)",
        "INSERT INTO {t} VALUES (1, '2024-00-00', '2024-00-00 00:00:00'), (2, '2024-02-00', '2024-02-00 23:59:59'), (3, '0000-01-01', '0000-01-01 01:01:01')",
    ])
    .holds(&["SELECT d + 0 = 20240000 FROM {t} WHERE id = 1"]),
    case("dates_that_are_none", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, t DATETIME)",
        "INSERT INTO {t} VALUES (1, '2023-02-29', '2023-02-31 00:00:00'), (2, '2023-04-31', '2023-11-31 12:00:00'), (3, '1900-02-29', '2100-02-29 00:00:00')",
    ])
    .holds(&["SELECT d + 0 = 20230229 FROM {t} WHERE id = 1"]),
    case("dates_at_their_ends", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, t DATETIME(6))",
        "INSERT INTO {t} VALUES (1, '1000-01-01', '1000-01-01 00:00:00.000000'), (2, '9999-12-31', '9999-12-31 23:59:59.999999'), (3, '0001-01-01', '0001-01-01 00:00:00.000001')",
    ]),
    case("zero_date_defaults", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE NOT NULL DEFAULT '0000-00-00', t DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', s TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00')",
        "INSERT INTO {t} (id) VALUES (1), (2)",
    ])
    .holds(&["SELECT COUNT(*) = 2 FROM {t} WHERE d + 0 = 0 AND s + 0 = 0"]),
    case("moments_by_default", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), b DATETIME DEFAULT CURRENT_TIMESTAMP, c TIMESTAMP NULL DEFAULT NULL)",
        "INSERT INTO {t} (id, a, b) VALUES (1, '2001-01-01 00:00:00.123', '2001-01-01 00:00:00'), (2, '2038-01-19 03:14:07.999', NULL)",
    ])
    .holds(&["SELECT a = '2001-01-01 00:00:00.123' FROM {t} WHERE id = 1"]),
    case("bare_timestamps", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TIMESTAMP, b TIMESTAMP)",
        "INSERT INTO {t} VALUES (1, '2001-01-01 00:00:00', '2001-01-01 00:00:00'), (2, '2002-01-01 00:00:00', '0000-00-00 00:00:00')",
    ]),
    case("times", ALL, 8, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TIME, b TIME(6))",
        "INSERT INTO {t} VALUES (1, '-838:59:59', '-838:59:59.000000'), (2, '838:59:59', '838:59:59'), (3, '00:00:00', '-00:00:00.000001'), (4, '-00:00:01', '00:00:00.999999'), (5, '24:00:00', '-24:00:00.5'), (6, NULL, NULL), (7, '100:00:00', '-100:00:00.100000'), (8, '-00:59:00', '-00:59:00.999999')",
    ]),
    case("times_of_every_fraction", ALL, 3, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TIME(0), b TIME(1), c TIME(2), d TIME(3), e TIME(4), f TIME(5), g TIME(6))",
        "INSERT INTO {t} VALUES (1, '1:2:3', '1:2:3.1', '1:2:3.12', '1:2:3.123', '1:2:3.1234', '1:2:3.12345', '1:2:3.123456'), (2, '-1:2:3', '-1:2:3.1', '-1:2:3.12', '-1:2:3.123', '-1:2:3.1234', '-1:2:3.12345', '-1:2:3.123456'), (3, '-0:0:0', '-0:0:0.1', '-0:0:0.01', '-0:0:0.001', '-0:0:0.0001', '-0:0:0.00001', '-0:0:0.000001')",
    ]),
    case("datetimes_of_every_fraction", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a DATETIME(0), b DATETIME(1), c DATETIME(2), d DATETIME(3), e DATETIME(4), f DATETIME(5), g DATETIME(6))",
        "INSERT INTO {t} VALUES (1, '2024-02-29 1:2:3', '2024-02-29 1:2:3.9', '2024-02-29 1:2:3.99', '2024-02-29 1:2:3.999', '2024-02-29 1:2:3.9999', '2024-02-29 1:2:3.99999', '2024-02-29 1:2:3.999999'), (2, 0, 0, 0, 0, 0, 0, 0)",
    ]),
    case("timestamps_of_every_fraction", ALL, 2, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a TIMESTAMP(0) NULL, b TIMESTAMP(1) NULL, c TIMESTAMP(2) NULL, d TIMESTAMP(3) NULL, e TIMESTAMP(4) NULL, f TIMESTAMP(5) NULL, g TIMESTAMP(6) NULL)",
        "INSERT INTO {t} VALUES (1, '2024-02-29 1:2:3', '2024-02-29 1:2:3.9', '2024-02-29 1:2:3.99', '2024-02-29 1:2:3.999', '2024-02-29 1:2:3.9999', '2024-02-29 1:2:3.99999', '2024-02-29 1:2:3.999999'), (2, NULL, 0, NULL, 0, NULL, 0, NULL)",
    ]),
    // In Europe clocks show 02:30 twice on that day, and in March never.
    case("timestamps_when_clocks_change", ALL, 8, &[
        "CREATE TABLE {t} (s TIMESTAMP NULL, id INT PRIMARY KEY)",
        "INSERT INTO {t} VALUES ('2024-10-27 00:30:00', 1), ('2024-10-27 01:30:00', 2), ('2024-03-31 00:59:59', 3), ('2024-03-31 01:00:00', 4), ('2024-03-31 02:30:00', 5), ('1970-01-01 00:00:01', 6), ('2038-01-19 03:14:07', 7), ('2024-11-03 06:30:00', 8)",
    ])
    .holds(&["SELECT COUNT(DISTINCT s) = 8 FROM {t}"]),
    case("timestamps_as_key", ALL, 400, &[
        "CREATE TABLE {t} (s TIMESTAMP(6) NOT NULL DEFAULT '2001-01-01 00:00:00' PRIMARY KEY, id INT)",
        "INSERT INTO {t} SELECT '2024-10-26 22:00:00.000001' + INTERVAL n * 45 SECOND, n FROM {n}",
    ])
    .cut(),
    case("dates_as_key", ALL, 403, &[
        "CREATE TABLE {t} (d DATE PRIMARY KEY, id INT)",
        "INSERT INTO {t} SELECT '2024-01-01' + INTERVAL n DAY, n FROM {n}",
        "INSERT INTO {t} VALUES ('0000-00-00', 0), ('2024-00-00', 1), ('2023-02-31', 2)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE d + 0 = 0"])
    .cut(),
    case("datetimes_with_fractions_as_key", ALL, 401, &[
        "CREATE TABLE {t} (d DATETIME(6), id INT, PRIMARY KEY (d))",
        "INSERT INTO {t} SELECT '2024-01-01 00:00:00' + INTERVAL n MICROSECOND, n FROM {n}",
        "INSERT INTO {t} VALUES (0, 0)",
    ])
    .cut(),
    case("times_as_key", ALL, 800, &[
        "CREATE TABLE {t} (a TIME(6), id INT, PRIMARY KEY (a))",
        "INSERT INTO {t} SELECT SEC_TO_TIME(n * 60) + INTERVAL n MICROSECOND, n FROM {n}",
        "INSERT INTO {t} SELECT SUBTIME('00:00:00.000000', SEC_TO_TIME(n * 7.000001)), -n FROM {n}",
    ])
    .holds(&["SELECT COUNT(*) = 400 FROM {t} WHERE a < '00:00:00'"])
    .cut(),
    case("years_as_key", ALL, 256, &[
        "CREATE TABLE {t} (y YEAR, id INT, filler CHAR(100) DEFAULT 'x', PRIMARY KEY (y))",
        "INSERT INTO {t} (y, id) SELECT 1900 + n, n FROM {n} WHERE n <= 255",
        "INSERT INTO {t} (y, id) VALUES (0, 0)",
    ])
    .holds(&["SELECT COUNT(*) = 1 FROM {t} WHERE y = 0", "SELECT COUNT(*) = 1 FROM {t} WHERE y = 2000"])
    .cut(),
    case("expressions_of_time_by_default", M97 | MARIA, 1, &[
        "CREATE TABLE {t} (id INT PRIMARY KEY, a DATETIME DEFAULT (NOW() + INTERVAL 1 DAY), b DATE DEFAULT (CURRENT_DATE))",
        "INSERT INTO {t} VALUES (1, '2001-01-01 00:00:00', '2001-01-01')",
    ]),
];
