//! What the text of a JSON document doesn't carry: decimals, dates, times, bytes, large integers with a
//! sign and small ones without. Which values those are, and the SQL expression that makes each again.

use serde_json::Value;

use crate::{
    error::{Error, Kind, Result},
    mysql::{AnySession, quote_text},
};

/// What text carries. `NULL` is JSON's. Integers are apart.
const CARRIED: &str = "('OBJECT', 'ARRAY', 'STRING', 'DOUBLE', 'BOOLEAN', 'NULL')";

/// From this integer on text makes one without a sign (seen on 9.7), below it one with a sign.
const UNSIGNED_FROM: u64 = 1 << 32;

/// A condition that holds for documents with a value that text doesn't carry.
///
/// It counts: MySQL 9.7 computes `EXISTS (SELECT .. FROM JSON_TABLE(column ..))` for one row only.
pub(crate) fn condition(session: &AnySession, document: &str) -> String {
    if !session.dialect().mysql_from(8, 0, 11) {
        // No JSON_TABLE. None of these values prints without a digit.
        return format!("CAST({document} AS CHAR) REGEXP '[0-9]'");
    }
    let lost = |value: &str| {
        format!(
            "JSON_TYPE({value}) NOT IN {CARRIED} \
             AND NOT (JSON_TYPE({value}) = 'INTEGER' AND CAST({value} AS SIGNED) < {UNSIGNED_FROM}) \
             AND NOT (JSON_TYPE({value}) = 'UNSIGNED INTEGER' AND CAST({value} AS UNSIGNED) >= {UNSIGNED_FROM})"
        )
    };
    let within = |path: &str| {
        format!(
            "(SELECT COUNT(*) FROM JSON_TABLE({document}, '{path}' COLUMNS (v JSON PATH '$')) \
             AS daybreak_node WHERE {})",
            lost("daybreak_node.v")
        )
    };
    format!("(({}) OR {} > 0 OR {} > 0)", lost(document), within("$**.*"), within("$**[*]"))
}

/// A place in a document that needs asking for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The path, for JSON_EXTRACT.
    pub path: String,
    /// Whether it is a number; else a text that dates, times or bytes could print like.
    pub number: bool,
}

/// Collects the places of a document whose type the text may not tell, and what the text says there.
pub(crate) fn places(value: Value, path: &str, found: &mut Vec<(Place, Value)>) {
    match value {
        Value::Array(items) => {
            for (at, item) in items.into_iter().enumerate() {
                places(item, &format!("{path}[{at}]"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                // A name in a path is a JSON string.
                places(member, &format!("{path}.{}", Value::String(name)), found);
            }
        }
        Value::Number(_) => found.push((Place { path: path.into(), number: true }, value)),
        Value::String(ref text) if may_be_typed(text) => {
            found.push((Place { path: path.into(), number: false }, value));
        }
        Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Whether dates, times or bytes could print like this text.
fn may_be_typed(text: &str) -> bool {
    text.starts_with("base64:type")
        || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'.' | b' '))
}

/// Whether text makes just the value that a server said is there: its type, and of a number its digits
/// behind a colon.
pub(crate) fn is_carried(said: &str) -> bool {
    let (kind, number) = said.split_once(':').unwrap_or((said, ""));
    // None: no whole number stands there, as with every other type; then no integer is carried.
    let whole = number.parse::<i128>().ok();
    match kind {
        "STRING" => true,
        // A version that prints 5.0 as 5 makes an integer of it.
        "DOUBLE" => number.contains(['.', 'e', 'E']),
        "INTEGER" => whole.is_some_and(|number| number < i128::from(UNSIGNED_FROM)),
        "UNSIGNED INTEGER" => whole.is_some_and(|number| number >= i128::from(UNSIGNED_FROM)),
        _ => false,
    }
}

/// An SQL expression that makes a value of the type that a server said it has; for numbers it said
/// the text as well.
pub(crate) fn expression(said: &str, value: &Value) -> Result<String> {
    let (kind, number) = said.split_once(':').unwrap_or((said, ""));
    let text = value.as_str().unwrap_or_default();
    let literal = quote_text(text);
    let unknown = || {
        Error::new(
            Kind::Unsupported,
            format!("a JSON document holds a value of type {kind} that can't be made again"),
        )
        .next("exclude the table, or make the document again from JSON text at the source")
    };
    // Digits, a sign, a point, an exponent: nothing else goes into a statement as it is.
    if !number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
        return Err(unknown());
    }
    Ok(match kind {
        "DATE" => format!("CAST({literal} AS DATE)"),
        "TIME" => format!("CAST({literal} AS TIME(6))"),
        "DATETIME" => format!("CAST({literal} AS DATETIME(6))"),
        // The one way to a TIMESTAMP that needs no table.
        "TIMESTAMP" => of_column("TIMESTAMP(6)", &format!("JSON_ARRAY({literal})"), "v"),
        "DECIMAL" => {
            let digits = number.trim_start_matches('-');
            let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let precision = digits.len() - usize::from(digits.contains('.'));
            format!("CAST('{number}' AS DECIMAL({precision}, {scale}))")
        }
        "INTEGER" => format!("CAST({number} AS SIGNED)"),
        "UNSIGNED INTEGER" => format!("CAST({number} AS UNSIGNED)"),
        // A version that prints 5.0 as 5 isn't misunderstood.
        "DOUBLE" if number.contains(['e', 'E']) => number.to_string(),
        "DOUBLE" => format!("{number}e0"),
        "STRING" => literal,
        _ => opaque(text).ok_or_else(unknown)?,
    })
}

/// An expression for `base64:type<number>:<bytes>`, the text of bytes with the type of the column or
/// expression that they came from.
fn opaque(text: &str) -> Option<String> {
    let (kind, base64) = text.strip_prefix("base64:type")?.split_once(':')?;
    let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if !base64.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
        return None;
    }
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = (base64.len() / 4 * 3).checked_sub(padding)?;
    let bytes = format!("FROM_BASE64('{base64}')");
    let array = format!("JSON_ARRAY(CAST({bytes} AS BINARY({length})))");
    // A table function's columns have just the types wanted. Bytes go into them as such only while
    // they are short enough for a VARBINARY; longer ones become a MEDIUMBLOB by themselves.
    let short = length <= 65_535;
    Some(match kind {
        "15" if short => format!("CAST({bytes} AS BINARY({length}))"),
        "16" if (1..=8).contains(&length) => of_column(
            &format!("BIT({})", 8 * length),
            &format!("JSON_ARRAY(CAST(CONV(HEX({bytes}), 16, 10) AS UNSIGNED))"),
            "v",
        ),
        "249" if short => of_column("TINYBLOB", &array, "v"),
        "250" if short => of_column("MEDIUMBLOB", &array, "v"),
        "250" => bytes,
        "251" => of_column("LONGBLOB", "JSON_ARRAY('')", &format!("CONCAT(v, {bytes})")),
        "252" if short => of_column("BLOB", &array, "v"),
        "254" if length <= 255 => of_column(&format!("BINARY({length})"), &array, "v"),
        _ => return None,
    })
}

/// The first value of an array as a column `v` of an SQL type, or an expression over it. It becomes
/// JSON within the subquery: what leaves one as bytes is a BLOB of any length.
fn of_column(data_type: &str, array: &str, expression: &str) -> String {
    format!(
        "(SELECT JSON_EXTRACT(JSON_ARRAY({expression}), '$[0]') FROM JSON_TABLE({array}, '$[0]' COLUMNS (v {data_type} PATH '$')) \
         AS daybreak_value)"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_numbers_and_what_may_be_typed() {
        let document =
            json!({"a\"b": [1, "x", "2024-01-01"], "n": null, "": {"t": "base64:type15:"}});
        let mut found = Vec::new();
        places(document, "$", &mut found);
        let mut paths: Vec<&str> = found.iter().map(|(place, _)| place.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["$.\"\".\"t\"", "$.\"a\\\"b\"[0]", "$.\"a\\\"b\"[2]"]);
    }

    #[test]
    fn text_carries_some() {
        for said in ["STRING", "DOUBLE:5.0", "INTEGER:-7", "UNSIGNED INTEGER:4294967296"] {
            assert!(is_carried(said), "{said}");
        }
        for said in
            ["DATE", "DOUBLE:5", "INTEGER:4294967296", "UNSIGNED INTEGER:7", "DECIMAL:1.5", ""]
        {
            assert!(!is_carried(said), "{said}");
        }
    }

    #[test]
    fn values_get_their_types() {
        let made = |said: &str, value: Value| expression(said, &value).unwrap();
        assert_eq!(made("DECIMAL:-1.10", json!(-1.1)), "CAST('-1.10' AS DECIMAL(3, 2))");
        assert_eq!(made("DECIMAL:5", json!(5)), "CAST('5' AS DECIMAL(1, 0))");
        assert_eq!(made("UNSIGNED INTEGER:5", json!(5)), "CAST(5 AS UNSIGNED)");
        assert_eq!(made("DOUBLE:5", json!(5)), "5e0");
        assert_eq!(
            made("BLOB", json!("base64:type15:AP8=")),
            "CAST(FROM_BASE64('AP8=') AS BINARY(2))"
        );
        assert!(expression("BLOB", &json!("base64:type245:AP8=")).is_err());
        assert!(expression("BLOB", &json!("base64:type15:x')")).is_err());
        assert!(expression("DECIMAL:1 OR 1", &json!(1)).is_err());
    }
}
