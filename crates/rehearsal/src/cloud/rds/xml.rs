//! Answers as the query protocol words them.

const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// A text in XML.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// An element with a text.
pub(super) fn leaf(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", text(value))
}

/// An element with a text, if there is one.
pub(super) fn maybe(name: &str, value: Option<&str>) -> String {
    value.map(|value| leaf(name, value)).unwrap_or_default()
}

/// An element around others.
pub(super) fn node(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// A list.
pub(super) fn list(name: &str, members: impl IntoIterator<Item = String>) -> String {
    node(name, &members.into_iter().collect::<String>())
}

/// A whole answer.
pub(super) fn answer(action: &str, result: &str, id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// A refusal.
pub(super) fn error(code: &str, message: &str, receiver: bool, id: &str) -> String {
    let kind = if receiver { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type>{}{}</Error>\
         <RequestId>{id}</RequestId></ErrorResponse>",
        leaf("Code", code),
        leaf("Message", message)
    )
}
