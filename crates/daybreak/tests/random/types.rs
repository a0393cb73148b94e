//! A column's type, and values of it that are likely to be somebody's edge.

use proptest::{prelude::RngExt as _, test_runner::TestRng};
use rehearsal::server::Product;

/// From which server to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub from: Product,
    pub to: Product,
}

impl Way {
    /// Whether both have JSON, SRIDs, invisible columns and the collations of MySQL 8.0.
    pub fn is_modern(self) -> bool {
        self.from == Product::Mysql97 && self.to == Product::Mysql97
    }

    pub fn to_mariadb(self) -> bool {
        self.to == Product::Mariadb1011
    }

    /// Whether MariaDB is on one side, which doesn't tell -0 from 0.
    pub fn with_mariadb(self) -> bool {
        self.to_mariadb() || self.from == Product::Mariadb1011
    }

    /// Whether the one can follow the other.
    pub fn replicates(self) -> bool {
        self.to_mariadb() == (self.from == Product::Mariadb1011)
    }

    /// What follows `CHARACTER SET utf8mb4` where no collation is chosen: the default isn't everywhere.
    pub fn collation(self) -> &'static str {
        if self.is_modern() { "" } else { " COLLATE utf8mb4_unicode_520_ci" }
    }
}

/// Pieces of texts: what collations hold for equal, what LOAD DATA and SQL escape, what is long.
const PIECES: &[&str] = &[
    "a", "A", "ä", "Ä", "a\u{308}", "ß", "ss", "é", "e", "z", "Z", "0", "9", " ", "  ", "\t", "\n",
    "\r\n", "\\", "\\N", "'", "\"", "`", "\0", "\u{1a}", "%", "_", "漢", "😀", "ı", "I", "ﬁ", "-",
];

const COLLATIONS: &[&str] = &[
    "utf8mb4_0900_ai_ci",
    "utf8mb4_0900_as_cs",
    "utf8mb4_0900_bin",
    "utf8mb4_bin",
    "utf8mb4_general_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
    "latin1_bin",
    "ucs2_general_ci",
    "utf16_unicode_ci",
    "gbk_chinese_ci",
    "ascii_general_ci",
];

#[derive(Debug, Clone)]
pub enum Type {
    Int {
        name: &'static str,
        bits: u32,
        unsigned: bool,
    },
    Decimal {
        digits: u32,
        scale: u32,
    },
    Float,
    Double,
    Bit(u32),
    Char {
        name: &'static str,
        length: u32,
        collation: &'static str,
    },
    Text {
        name: &'static str,
        collation: &'static str,
    },
    Bytes {
        name: &'static str,
        length: u32,
    },
    Blob {
        name: &'static str,
    },
    /// With `zero`, values hold number 0 as well, which is no member; MariaDB takes none.
    Enum {
        members: Vec<&'static str>,
        collation: &'static str,
        zero: bool,
    },
    Set {
        members: u32,
    },
    Date,
    Year,
    Time(u32),
    DateTime(u32),
    Timestamp(u32),
    /// With `opaque`, documents hold dates, decimals and bytes as well.
    Json {
        opaque: bool,
    },
    /// `declared`: whether the column has it as well.
    Point {
        srid: u32,
        declared: bool,
    },
}

/// What a column may be used for in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InKeys {
    Whole,
    ByPrefix,
    Never,
}

impl Type {
    pub fn random(rng: &mut TestRng, way: Way) -> Type {
        let mut collation = one(rng, COLLATIONS);
        if !way.is_modern() && collation.contains("0900") {
            collation = "utf8mb4_unicode_520_ci";
        }
        if way.from == Product::Mysql56 && collation == "utf8mb3_general_ci" {
            collation = "utf8_general_ci";
        }
        let length = rng.random_range(1..=30);
        match rng.random_range(0..24) {
            0..=5 => Type::integer(rng),
            6 => {
                let digits = rng.random_range(1..=65);
                Type::Decimal { digits, scale: rng.random_range(0..=digits.min(30)) }
            }
            7 => Type::Float,
            8 => Type::Double,
            9 => Type::Bit(rng.random_range(1..=64)),
            10..=12 => {
                let name = if rng.random() { "VARCHAR" } else { "CHAR" };
                Type::Char { name, length, collation }
            }
            13 => {
                let name = one(rng, &["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"]);
                Type::Text { name, collation }
            }
            14 | 15 => {
                let name = if rng.random() { "VARBINARY" } else { "BINARY" };
                Type::Bytes { name, length }
            }
            16 => Type::Blob { name: one(rng, &["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"]) },
            17 => {
                let all = ["a", "B", "ö", "", "0", "7", "c,d", "e'f", "long enough"];
                let count = rng.random_range(1..=all.len());
                let (collation, zero) = (way.collation(), !way.to_mariadb());
                Type::Enum { members: some(rng, &all, count), collation, zero }
            }
            18 => Type::Set { members: one(rng, &[1, 3, 8, 33, 63]) },
            19 => one(rng, &[Type::Date, Type::Year]),
            20 => Type::Time(rng.random_range(0..=6)),
            21 => {
                let digits = rng.random_range(0..=6);
                if rng.random() { Type::DateTime(digits) } else { Type::Timestamp(digits) }
            }
            22 if way.is_modern() => Type::Json { opaque: false },
            _ => {
                Type::Point { srid: if rng.random() { 0 } else { 4326 }, declared: way.is_modern() }
            }
        }
    }

    pub fn integer(rng: &mut TestRng) -> Type {
        let all =
            [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)];
        let (name, bits) = one(rng, &all);
        Type::Int { name, bits, unsigned: rng.random() }
    }

    /// Whether there are so many values that a unique key always has some left.
    pub fn is_wide(&self) -> bool {
        !matches!(
            self,
            Type::Enum { .. }
                | Type::Year
                | Type::Bit(..=10)
                | Type::Set { members: ..=10 }
                | Type::Int { bits: 8, .. }
        )
    }

    pub fn in_keys(&self) -> InKeys {
        match self {
            Type::Json { .. } | Type::Point { .. } => InKeys::Never,
            Type::Text { .. } | Type::Blob { .. } => InKeys::ByPrefix,
            _ => InKeys::Whole,
        }
    }

    pub fn sql(&self) -> String {
        let texts = |name: &str, collation: &str| {
            let charset = collation.split('_').next().unwrap_or_default();
            format!("{name} CHARACTER SET {charset} COLLATE {collation}")
        };
        match self {
            Type::Int { name, unsigned, .. } => {
                format!("{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            Type::Decimal { digits, scale } => format!("DECIMAL({digits},{scale})"),
            Type::Float => "FLOAT".into(),
            Type::Double => "DOUBLE".into(),
            Type::Bit(bits) => format!("BIT({bits})"),
            Type::Char { name, length, collation } => {
                texts(&format!("{name}({length})"), collation)
            }
            Type::Text { name, collation } => texts(name, collation),
            Type::Bytes { name, length } => format!("{name}({length})"),
            Type::Blob { name } => (*name).into(),
            Type::Enum { members, collation, .. } => {
                let quoted: Vec<String> =
                    members.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
                format!("ENUM({}) CHARACTER SET utf8mb4{collation}", quoted.join(","))
            }
            Type::Set { members } => {
                let names: Vec<String> = (0..*members).map(|n| format!("'m{n}'")).collect();
                format!("SET({})", names.join(","))
            }
            Type::Date => "DATE".into(),
            Type::Year => "YEAR".into(),
            Type::Time(digits) => format!("TIME({digits})"),
            Type::DateTime(digits) => format!("DATETIME({digits})"),
            Type::Timestamp(digits) => format!("TIMESTAMP({digits})"),
            Type::Json { .. } => "JSON".into(),
            Type::Point { declared: false, .. } => "POINT".into(),
            Type::Point { srid, .. } => format!("POINT SRID {srid}"),
        }
    }

    /// A value as SQL. What is too large the server clips, as the session's mode lets it.
    pub fn value(&self, rng: &mut TestRng) -> String {
        match self {
            Type::Int { bits, unsigned, .. } => {
                let (least, most) = match unsigned {
                    true => (0, (1i128 << bits) - 1),
                    false => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
                };
                let value = match rng.random_range(0..10) {
                    0 => one(rng, &[least, most, 0, 1]),
                    1..=5 => (most / 3 + rng.random_range(0..1000)).min(most),
                    _ => rng.random_range(least..=most),
                };
                value.to_string()
            }
            Type::Decimal { digits, scale } => {
                let mut number = |count| -> String {
                    (0..count).map(|_| char::from(b'0' + rng.random_range(0..10u8))).collect()
                };
                let (whole, fraction) = (number(digits - scale), number(*scale));
                let sign = if rng.random() { "-" } else { "" };
                format!("{sign}0{whole}.{fraction}0")
            }
            Type::Float => {
                let special =
                    ["0", "-0.0", "1.17549435e-38", "1e-45", "-3.40282347e38", "0.1", "16777217"];
                match rng.random_range(0..4) {
                    0 => one(rng, &special).into(),
                    _ => format!("{:e}", rng.random_range(-1000f32..1000.0)),
                }
            }
            Type::Double => {
                let special = ["0e0", "-0e0", "4.9e-324", "2.2250738585072014e-308", "-1.7e308"];
                match rng.random_range(0..4) {
                    0 => one(rng, &special).into(),
                    _ => format!("{:e}", rng.random_range(-1e6..1e6f64)),
                }
            }
            Type::Bit(bits) => {
                let value: u64 = rng.random();
                format!("{}", value >> (64 - bits))
            }
            Type::Char { length, .. } => text(rng, *length as usize),
            Type::Text { .. } => {
                let most = if rng.random_range(0..8) == 0 { 250 } else { 12 };
                text(rng, most)
            }
            Type::Bytes { length, .. } => bytes(rng, *length as usize),
            Type::Blob { .. } => {
                let most = if rng.random_range(0..8) == 0 { 250 } else { 12 };
                bytes(rng, most)
            }
            Type::Enum { members, zero, .. } => {
                rng.random_range(usize::from(!zero)..=members.len()).to_string()
            }
            Type::Set { members } => (rng.random::<u64>() >> (64 - members)).to_string(),
            Type::Date => match rng.random_range(0..12) {
                0 => "'0000-00-00'".into(),
                1 => "'2023-02-31'".into(),
                _ => format!("'{}'", date(rng)),
            },
            Type::Year => match rng.random_range(0..8) {
                0 => "0".into(),
                _ => rng.random_range(1901..=2155).to_string(),
            },
            Type::Time(_) => {
                let sign = if rng.random() { "-" } else { "" };
                format!("'{sign}{:02}:{}'", rng.random_range(0..=837), clock(rng))
            }
            Type::DateTime(_) => match rng.random_range(0..12) {
                0 => "'0000-00-00 00:00:00'".into(),
                _ => format!("'{} {:02}:{}'", date(rng), rng.random_range(0..24), clock(rng)),
            },
            Type::Timestamp(_) => match rng.random_range(0..12) {
                0 => "'0000-00-00 00:00:00'".into(),
                1 => "'2038-01-19 03:14:07'".into(),
                _ => format!(
                    "'{}-{:02}-{:02} {:02}:{}'",
                    rng.random_range(1971..2038),
                    rng.random_range(1..=12),
                    rng.random_range(1..=28),
                    rng.random_range(0..24),
                    clock(rng)
                ),
            },
            Type::Json { opaque } => document(rng, *opaque),
            Type::Point { srid, .. } => {
                let (x, y) = (rng.random_range(-80f64..80.0), rng.random_range(-80f64..80.0));
                format!("ST_GeomFromText('POINT({x} {y})', {srid})")
            }
        }
    }
}

/// One of several.
pub fn one<T: Clone>(rng: &mut TestRng, all: &[T]) -> T {
    all[rng.random_range(0..all.len())].clone()
}

/// Several of them, each once, in no order.
pub fn some<T: Clone>(rng: &mut TestRng, all: &[T], count: usize) -> Vec<T> {
    let mut left = all.to_vec();
    (0..count).map(|_| left.swap_remove(rng.random_range(0..left.len()))).collect()
}

fn date(rng: &mut TestRng) -> String {
    let year = if rng.random() { rng.random_range(1..10_000) } else { 2024 };
    format!("{year:04}-{:02}-{:02}", rng.random_range(1..=12), rng.random_range(1..=28))
}

/// Minutes, seconds and a fraction.
fn clock(rng: &mut TestRng) -> String {
    let (minute, second) = (rng.random_range(0..60), rng.random_range(0..60));
    format!("{minute:02}:{second:02}.{:06}", rng.random_range(0..1_000_000))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn text(rng: &mut TestRng, most: usize) -> String {
    let pieces = rng.random_range(0..=most);
    let text: String = (0..pieces).map(|_| one(rng, PIECES)).collect();
    let text: String = text.chars().take(most).collect();
    format!("_utf8mb4 X'{}'", hex(text.as_bytes()))
}

fn bytes(rng: &mut TestRng, most: usize) -> String {
    let bytes: Vec<u8> = (0..rng.random_range(0..=most)).map(|_| rng.random()).collect();
    format!("X'{}'", hex(&bytes))
}

fn document(rng: &mut TestRng, opaque: bool) -> String {
    let plain = [
        "'null'",
        "'{}'",
        "'[]'",
        "'\"a \\\\u0000 b\"'",
        "'[1, 1.0, 1e0, -0.0, 9223372036854775807, -9223372036854775808, 1e-320]'",
        "'{\"b\": [true, false, null], \"a\": {\"\": \"ä😀\"}}'",
        "'{\"aa\": 1, \"b\": 2, \"AA\": 3}'",
    ];
    let others = [
        "JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('01:02:03.4' AS TIME(3)))",
        "JSON_ARRAY(CAST(1.10 AS DECIMAL(20,5)), CAST('x' AS BINARY), ST_GeomFromText('POINT(1 2)'))",
        "JSON_ARRAY(CAST('2024-02-29 01:02:03' AS DATETIME), 1.5e0, 18446744073709551615)",
    ];
    if opaque && rng.random_range(0..3) == 0 {
        return one(rng, &others).into();
    }
    match rng.random_range(0..3) {
        0 => format!("'[{}, \"{}\"]'", rng.random::<i64>(), rng.random::<u32>()),
        _ => one(rng, &plain).into(),
    }
}
