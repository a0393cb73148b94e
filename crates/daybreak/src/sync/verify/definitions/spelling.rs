//! Spells types and defaults as one server would, whatever server said them.

use crate::target::ddl::unquoted;

/// Takes the display widths of integers and years away, which MySQL 8.0.19 dropped; keeps those of
/// ZEROFILL, which show.
pub(super) fn column_type(text: &str) -> String {
    let Some((head, rest)) = text.split_once('(') else {
        return if text == "geometrycollection" { "geomcollection".into() } else { text.into() };
    };
    let integer = matches!(head, "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year");
    match rest.split_once(')') {
        Some((_, after)) if integer && !after.contains("zerofill") => format!("{head}{after}"),
        _ => text.to_string(),
    }
}

/// A default as MySQL writes it: MariaDB quotes texts and says NULL.
pub(super) fn default(text: &str, mariadb: bool) -> Option<String> {
    if mariadb && text == "NULL" {
        return None;
    }
    if mariadb && text.len() > 1 && text.starts_with('\'') && text.ends_with('\'') {
        return Some(String::from_utf8_lossy(&unquoted(text.as_bytes())).into_owned());
    }
    Some(now(text))
}

/// Whether a default as MariaDB prints it is computed: neither a text nor a number.
pub(super) fn is_expression(text: &str) -> bool {
    !text.starts_with(['\'', 'b', 'x', '-']) && !text.starts_with(|c: char| c.is_ascii_digit())
        || text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.contains('(')
}

/// `current_timestamp()`, `CURRENT_TIMESTAMP` and `now()` in one spelling.
pub(super) fn now(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.find("current_timestamp") {
        Some(_) => lower.replace("current_timestamp()", "current_timestamp"),
        None => text.to_string(),
    }
}

/// `EXTRA` without what other columns of `information_schema` say.
pub(super) fn extra(text: &str) -> String {
    let mut text = now(text);
    for word in ["DEFAULT_GENERATED", "default_generated"] {
        text = text.replace(word, "");
    }
    let text = text.replace("PERSISTENT", "STORED GENERATED");
    // MariaDB separates what it has to say by commas.
    let mut words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    if let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case("INVISIBLE")) {
        let word = words.remove(at);
        words.push(word);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_spell_alike() {
        assert_eq!(column_type("int(10) unsigned"), "int unsigned");
        assert_eq!(column_type("int(5) unsigned zerofill"), "int(5) unsigned zerofill");
        assert_eq!(column_type("decimal(10,2)"), "decimal(10,2)");
        assert_eq!(column_type("year(4)"), "year");
        assert_eq!(column_type("enum('int(3)')"), "enum('int(3)')");
        assert_eq!(default("'it''s'", true).as_deref(), Some("it's"));
        assert_eq!(default("'it\\'s\\n\\\\'", true).as_deref(), Some("it's\n\\"));
        assert_eq!(default("NULL", true), None);
        assert_eq!(default("NULL", false).as_deref(), Some("NULL"));
        assert_eq!(now("current_timestamp()"), now("CURRENT_TIMESTAMP"));
        assert_eq!(
            extra("DEFAULT_GENERATED on update CURRENT_TIMESTAMP(6)"),
            "on update current_timestamp(6)"
        );
    }
}
