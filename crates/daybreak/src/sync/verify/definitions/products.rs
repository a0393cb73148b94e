//! What MySQL and MariaDB can't but hold differently of one and the same table, put alike on both sides.

use super::{Part, Parts};

/// What MariaDB's JSON is.
const JSON_AS_TEXT: &str = "longtext utf8mb4_bin ";

/// Both sides' parts of an object without what the products hold differently.
pub(super) fn alike(ours: &Parts, theirs: &Parts) -> (Parts, Parts) {
    (as_text(ours, theirs), as_text(theirs, ours))
}

/// JSON is text that a CHECK holds to the format on MariaDB; and CHECKs have names in the table there, in
/// the database on MySQL, so that they are counted.
fn as_text(parts: &Parts, others: &Parts) -> Parts {
    let mut checks = 0;
    let mut out = Parts::new();
    for (part, text) in parts {
        match part.0 {
            "column" => {
                let text = match text.strip_prefix("json ") {
                    Some(rest) => format!("{JSON_AS_TEXT}{rest}"),
                    None => text.clone(),
                };
                out.insert(part.clone(), text);
            }
            "check" => checks += usize::from(!is_format_of_json(part, others)),
            _ => {
                out.insert(part.clone(), text.clone());
            }
        }
    }
    if checks > 0 {
        out.insert(("check", "constraints".to_string()), format!("{checks} of them"));
    }
    out
}

/// MariaDB names the CHECK of a column after it; where the other side has JSON, that is what it checks.
fn is_format_of_json(check: &Part, others: &Parts) -> bool {
    let column = ("column", check.1.clone());
    others.get(&column).is_some_and(|text| text.starts_with("json "))
}
