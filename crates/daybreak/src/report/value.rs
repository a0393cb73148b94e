//! Shows any JSON value to a person: sections that callers add, and fields of checkpoints that this
//! version has no words of its own for.
//!
//! A name's ending says what a figure is: `_millis`, `_seconds`, `_bytes`, `_at`.

use serde_json::{Map, Value};

use super::{figures, page::Page};

/// How deep lists and objects are laid out; what is deeper stays JSON.
const DEPTH: usize = 3;

/// The name of a field as a label: `longest_gap_millis` becomes `Longest gap`.
pub(super) fn label(name: &str) -> String {
    // Of the source, after the cutover.
    if name == "kept_closed" {
        return "Source stays closed after a restart".into();
    }
    let name = ["_millis", "_seconds", "_bytes", "_at"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name);
    let mut label = name.replace(['_', '-'], " ");
    if let Some(first) = label.get(..1) {
        let first = first.to_ascii_uppercase();
        label.replace_range(..1, &first);
    }
    label
}

/// A value that is neither a list nor an object, as its field's name asks for.
pub(super) fn scalar(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::Number(number) => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            match number.as_u64() {
                _ if name.ends_with("_millis") => figures::millis(float),
                _ if name.ends_with("_seconds") => figures::millis(float * 1000.0),
                Some(whole) if name.ends_with("_bytes") || name == "bytes" => figures::bytes(whole),
                Some(whole) => figures::count(whole),
                None => number.to_string(),
            }
        }
        Value::String(text) => match text.parse() {
            Ok(at) if name.ends_with("_at") || name == "at" => figures::clock(at),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

/// The fields of an object, those named `first` before the others.
pub(super) fn fields(page: &mut Page, object: &Map<String, Value>, first: &[&str]) {
    fields_at(page, object, first, 0);
}

fn fields_at(page: &mut Page, object: &Map<String, Value>, first: &[&str], depth: usize) {
    let leading = first.iter().filter_map(|name| object.get_key_value(*name));
    let others = object.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    page.raw("<dl>\n");
    for (name, value) in leading.chain(others) {
        page.wrap("<div><dt>", label(name), "</dt><dd>");
        show(page, name, value, depth);
        page.raw("</dd></div>\n");
    }
    page.raw("</dl>\n");
}

/// Any value.
pub(super) fn show(page: &mut Page, name: &str, value: &Value, depth: usize) {
    match value {
        Value::Object(object) if !object.is_empty() && depth < DEPTH => {
            fields_at(page, object, &[], depth + 1);
        }
        Value::Array(list) if list.is_empty() => {
            page.text("none");
        }
        Value::Array(list) if depth < DEPTH => {
            page.raw("<ul>\n");
            for one in list {
                page.raw("<li>");
                match one {
                    Value::Object(object) => page.text(line(object)),
                    Value::Array(_) => page.text(one),
                    _ => page.text(scalar(name, one)),
                };
                page.raw("</li>\n");
            }
            page.raw("</ul>\n");
        }
        Value::Array(_) | Value::Object(_) => {
            page.wrap("<code>", value, "</code>");
        }
        _ => {
            page.text(scalar(name, value));
        }
    }
}

/// An object on one line.
fn line(object: &Map<String, Value>) -> String {
    let parts: Vec<String> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{}: {}", label(name).to_lowercase(), scalar(name, value)))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_say_what_figures_are() {
        assert_eq!(label("longest_gap_millis"), "Longest gap");
        assert_eq!(label("_at"), " at");
        assert_eq!(label("é"), "é");
        assert_eq!(scalar("gap_millis", &json!(1840)), "1.84 s");
        assert_eq!(scalar("lag_seconds", &json!(0.25)), "250 ms");
        assert_eq!(scalar("sent_bytes", &json!(2048)), "2.0 KiB");
        assert_eq!(scalar("commits", &json!(12345)), "12,345");
        assert_eq!(scalar("done_at", &json!("2026-03-01T00:00:00Z")), "2026-03-01 00:00:00 UTC");
        assert_eq!(scalar("passed", &json!(true)), "yes");
    }
}
