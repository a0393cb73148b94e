//! `types_zoo`: one column of every type, filled with the values that break tools.
//!
//! The first rows are the extremes, in a fixed order; the others are drawn at random.

use rand::{Rng, rngs::StdRng};

use super::{
    plan::Plan,
    schema::Dialect,
    values::{RowText, any_script, latin1, nasty_bytes, push_hex, push_quoted},
};

const COLUMNS: &[&str] = &[
    "id",
    "c_tinyint",
    "c_utinyint",
    "c_smallint",
    "c_usmallint",
    "c_mediumint",
    "c_umediumint",
    "c_int",
    "c_uint",
    "c_bigint",
    "c_ubigint",
    "c_decimal",
    "c_money",
    "c_float",
    "c_double",
    "c_bit1",
    "c_bit64",
    "c_date",
    "c_time",
    "c_datetime",
    "c_timestamp",
    "c_year",
    "c_char",
    "c_varchar",
    "c_latin1",
    "c_ucs2",
    "c_binary",
    "c_varbinary",
    "c_tinytext",
    "c_text",
    "c_mediumtext",
    "c_longtext",
    "c_tinyblob",
    "c_blob",
    "c_mediumblob",
    "c_longblob",
    "c_enum",
    "c_set",
    "c_json",
    "c_point",
];

/// Extremes of each type as SQL expressions, in the order of the columns after `id`.
/// Row number n takes value n modulo the number of values; NULL is taken by a row of its own.
const EXTREMES: &[&[&str]] = &[
    &["-128", "127", "0"],
    &["0", "255", "128"],
    &["-32768", "32767", "0"],
    &["0", "65535", "32768"],
    &["-8388608", "8388607", "0"],
    &["0", "16777215", "8388608"],
    &["-2147483648", "1073741823", "0"],
    &["0", "4294967295", "2147483648"],
    &["-9223372036854775808", "9223372036854775807", "0"],
    &["18446744073709551615", "9223372036854775808", "9223372036854775807"],
    &[
        "99999999999999999999999999999999999.999999999999999999999999999999",
        "-99999999999999999999999999999999999.999999999999999999999999999999",
        "0.000000000000000000000000000001",
    ],
    &["-9999999999", "9999999999", "0"],
    &[
        "-0e0",
        "3.40282346e38",
        "-3.40282346e38",
        "1.17549435e-38",
        "1.4e-45",
        "16777217",
        "0.1",
        "8388608.5",
        "1.0000001",
    ],
    &[
        "-0e0",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "2.2250738585072014e-308",
        "5e-324",
        "0.1",
        "0.30000000000000004",
        "9007199254740993",
        "123456789.12345679",
    ],
    &["b'0'", "b'1'"],
    &["x'ffffffffffffffff'", "b'0'", "x'3132333435363738'", "x'8000000000000000'"],
    &["'1000-01-01'", "'9999-12-31'", "'0000-00-00'", "'2024-02-29'", "'2024-00-00'"],
    &["'-838:59:59.000000'", "'838:59:59.000000'", "'00:00:00.000001'", "'-00:00:00.500000'"],
    &[
        "'1000-01-01 00:00:00.000000'",
        "'9999-12-31 23:59:59.999999'",
        "'0000-00-00 00:00:00'",
        "'2024-03-31 02:30:00.123456'",
    ],
    &[
        "'1970-01-01 00:00:01.000000'",
        "'2038-01-19 03:14:07.999999'",
        "'0000-00-00 00:00:00'",
        "'2024-10-27 00:30:00.5'",
        "'2024-10-27 01:30:00.5'",
    ],
    &["1901", "2155", "0"],
    &["''", "'a  '", "'ß'", "'\\\\'"],
    &["''", "' lead and trail  '", "'\\\\N'", "'NULL'", "'a,b\\tc\\nd\\r\\0e\\Z'", "'🙂'"],
    &["''", "'café ÿ €'", "'Ã¤ is ä twice encoded'"],
    &["''", "'日本'", "'\\\\'"],
    &["''", "x'6100000000000000'", "x'ffffffffffffffff'", "'12345678'"],
    &["''", "x'00'", "x'5c4e'", "x'2020'", "x'c3'"],
    &["''", "REPEAT('ä', 127)", "'x'"],
    &["''", "REPEAT('長', 1000)", "'line\\r\\nline'"],
    &["''", "REPEAT('ab\\t', 30000)", "'y'"],
    &["''", "REPEAT('0123456789', 10000)", "'z'"],
    &["''", "REPEAT(x'00', 255)", "x'5c'"],
    &["''", "REPEAT(x'5c', 65535)", "x'095c0a'"],
    &["''", "REPEAT(x'0a5c09', 30000)", "x'1a'"],
    &["''", "REPEAT(x'ff00', 100000)", "x'27'"],
    &["''", "'a'", "'B'", "'c,d'", "'e\\'f'"],
    &["''", "'r'", "'r,w,x,ä'", "'x'"],
    &[
        r#"'{}'"#,
        r#"'[]'"#,
        r#"'null'"#,
        r#"'"a string"'"#,
        r#"'-0.0'"#,
        r#"'18446744073709551615'"#,
        r#"'1.7976931348623157e308'"#,
        r#"'{"b":1,"a":[1,2.50,"\\\\u0000",{"deep":[[[]]]}],"":"empty key","é":"\\\\ud83d\\\\ude42"}'"#,
        r#"'["\\\\\\"quoted\\\\\\"","\\\\\\\\"]'"#,
    ],
    &["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(-1.5 1e-10)')"],
];

/// The columns that the server has, quoted.
pub(super) fn columns(dialect: Dialect) -> Vec<String> {
    let mut names: Vec<String> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    if dialect == Dialect::Modern {
        names.push("c_hidden".to_owned());
        names.push("c_expression".to_owned());
    }
    names
}

/// Values that must be opaque JSON (dates, decimals, blobs), which text cannot express.
const OPAQUE: &str = "JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('-12:00:00.5' AS TIME(6)), 'n', CAST(1.10 AS DECIMAL(30,10)), 'b', x'00ff')";

pub(super) fn row(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // Number 0 in an AUTO_INCREMENT column, and a negative one: both are legal and both bite.
    row.raw(index as i64 - 1);
    let json = matches!(plan.dialect, Dialect::Modern | Dialect::Mysql57);
    for (number, values) in EXTREMES.iter().enumerate() {
        let name = COLUMNS[number + 1];
        // Random numbers are drawn for every cell, so that a cell does not depend on the dialect.
        let coin: u32 = rng.random_range(0..100);
        match index {
            0 => row.null(),
            _ if name == "c_ubigint" => unique_big(index, row),
            1..20 => row.raw(values[(index as usize - 1) % values.len()]),
            20 if name == "c_json" && json => row.raw(OPAQUE),
            _ if coin < 15 => row.null(),
            _ => match random(name, rng) {
                Some(text) => row.raw(text),
                None => row.raw(values[rng.random_range(0..values.len())]),
            },
        };
    }
    if plan.dialect == Dialect::Modern {
        match index % 3 {
            0 => row.null(),
            1 => row.text("seen"),
            _ => row.raw("DEFAULT"),
        };
        row.raw("DEFAULT");
    }
}

/// The unique column: the largest numbers first, NULL in every fifth row.
fn unique_big(index: u64, row: &mut RowText) -> &mut RowText {
    if index % 5 == 4 {
        row.null()
    } else if index % 2 == 1 {
        row.raw(u64::MAX - index / 2)
    } else {
        row.raw((1_u64 << 63) - index)
    }
}

/// A random value for the columns where that says more than the extremes do.
fn random(name: &str, rng: &mut StdRng) -> Option<String> {
    let mut sql = String::new();
    match name {
        "c_tinyint" => sql = rng.random::<i8>().to_string(),
        "c_smallint" => sql = rng.random::<i16>().to_string(),
        "c_int" => sql = (rng.random::<i32>() / 4).to_string(),
        "c_uint" => sql = rng.random::<u32>().to_string(),
        "c_bigint" => sql = rng.random::<i64>().to_string(),
        "c_float" => sql = finite(rng, |r| f64::from(f32::from_bits(r.random()))),
        "c_double" => sql = finite(rng, |r| f64::from_bits(r.random())),
        "c_bit64" => push_hex(&mut sql, &rng.random::<u64>().to_be_bytes()),
        "c_varchar" | "c_tinytext" => push_quoted(&mut sql, &any_script(rng, 0, 5)),
        "c_text" | "c_mediumtext" | "c_longtext" => {
            push_quoted(&mut sql, &any_script(rng, 0, 60));
        }
        "c_latin1" => push_quoted(&mut sql, &latin1(rng)),
        "c_binary" => push_hex(&mut sql, &nasty_bytes(rng, 8)),
        "c_varbinary" | "c_tinyblob" | "c_blob" | "c_mediumblob" | "c_longblob" => {
            let length = rng.random_range(0..200);
            push_hex(&mut sql, &nasty_bytes(rng, length));
        }
        _ => return None,
    }
    Some(sql)
}

/// A number of any size, drawn over its bits; 0 for what SQL has no literal for.
fn finite(rng: &mut StdRng, draw: impl Fn(&mut StdRng) -> f64) -> String {
    let number = draw(rng);
    if number.is_finite() { format!("{number:e}") } else { "0".to_owned() }
}
