//! The report on one screen: what the command prints at the end.

use serde_json::Value;

use super::{
    Report,
    figures::{bytes, clock, count, millis, tame, things},
    following, route, value, verdict,
};
use crate::engine::Severity;

/// The most lines, and the most columns of each.
const LINES: usize = 24;
const COLUMNS: usize = 80;

/// Where what is said of a label begins.
const INDENT: usize = 14;

pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = wrap(&report.verdict.headline, COLUMNS, 2);
    if let Some(detail) = &report.verdict.detail {
        // The whole of a long error is in the report; its first lines say what happened.
        let detail: Vec<&str> = detail.lines().map(str::trim).collect();
        for line in detail.iter().take(3) {
            lines.extend(wrap(line, COLUMNS - 2, 2).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines.push(String::new());
    for (label, text, most) in facts(report) {
        for (at, line) in wrap(&text, COLUMNS - INDENT, most).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            lines.push(format!("  {label:<width$} {line}", width = INDENT - 3));
        }
    }
    if lines.len() > LINES {
        lines.truncate(LINES - 1);
        lines.push("  ...           see the report for the rest".into());
    }
    lines
}

/// Labels, what is said of each, and on how many lines at most; what matters least comes last.
fn facts(report: &Report) -> Vec<(&'static str, String, usize)> {
    let (totals, counts) = (&report.totals, &report.counts);
    let mut facts = Vec::new();
    let mut say = |label, text: String, most| facts.push((label, text, most));
    if let Some(next) = &report.verdict.next {
        say("next", next.clone(), 2);
    }
    if let Some(stop) = report.cutover.as_ref().and_then(|cutover| cutover.write_stop_millis) {
        say("write stop", format!("{} at the cutover", millis(stop)), 1);
    }
    if let Some(stall) = report.snapshot.as_ref().and_then(|snapshot| snapshot.stall_millis) {
        say("stall", format!("{} on the source, for the snapshot", millis(stall)), 1);
    }
    let unwilling = report.hooks.iter().filter(|hook| !hook.run.succeeded());
    let (vetoes, failed): (Vec<_>, Vec<_>) = unwilling.partition(|hook| hook.run.vetoed());
    for (label, hooks) in [("HOOK FAILED", failed), ("hooks", vetoes)] {
        let runs: Vec<String> = hooks
            .iter()
            .map(|hook| format!("{} {}", hook.run.hook.name(), hook.run.words()))
            .collect();
        if !runs.is_empty() {
            say(label, runs.join("; "), 3);
        }
    }
    if let Some(found) = &report.verification
        && !found.equal
    {
        say(
            "compared",
            format!(
                "{} equal, {} different, {} unproven",
                things(found.tables_equal, "table", "tables"),
                found.tables_different,
                found.tables_unproven
            ),
            1,
        );
    }
    if totals.rows > 0 {
        let mut text = format!(
            "{}, {} in {}",
            things(totals.rows, "row", "rows"),
            bytes(totals.bytes),
            things(totals.tables, "table", "tables")
        );
        if let (Some(rows), Some(mib)) = (totals.rows_per_second, totals.mib_per_second) {
            text += &format!(" ({} rows/s, {mib:.1} MiB/s)", count(rows as u64));
        }
        if report.rows_taken_back {
            text += ", removed again by undo";
        }
        say("copied", text, 2);
    }
    if let Some(lag) = &report.lag {
        say(
            "lag",
            format!(
                "highest {}, at the end {}",
                millis(lag.max_seconds * 1000.0),
                millis(lag.last_seconds * 1000.0)
            ),
            1,
        );
    }
    if report.began_at.is_some() {
        let mut text = millis(report.elapsed_millis as f64);
        for (number, one, many) in [
            (counts.pauses, "pause", "pauses"),
            (counts.failures, "failure", "failures"),
            (counts.retries, "retry", "retries"),
            (counts.processes_lost, "process lost", "processes lost"),
        ] {
            if number > 0 {
                text += &format!(", {}", things(number, one, many));
            }
        }
        say("took", text, 1);
    }
    if let Some(proof) = report.extra.get("rehearsal") {
        let mut text = match verdict::passed(proof) {
            Some(true) => vec!["passed".to_string()],
            Some(false) => vec!["FAILED".to_string()],
            None => Vec::new(),
        };
        let fields = proof.as_object().into_iter().flatten();
        text.extend(
            fields
                .filter(|(name, one)| !verdict::PROOFS.contains(&name.as_str()) && is_scalar(one))
                .map(|(name, one)| {
                    format!("{} {}", value::label(name).to_lowercase(), value::scalar(name, one))
                }),
        );
        say("rehearsal", text.join(", "), 3);
    }
    if !report.findings.is_empty() {
        let number = |severity| {
            report.findings.iter().filter(|finding| finding.severity == severity).count() as u64
        };
        let parts: Vec<String> = [
            (Severity::Blocker, "blocker", "blockers"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Note, "note", "notes"),
        ]
        .into_iter()
        .filter(|(severity, _, _)| number(*severity) > 0)
        .map(|(severity, one, many)| things(number(severity), one, many))
        .collect();
        say("findings", parts.join(", "), 1);
    }
    if !report.not_migrated.is_empty() {
        let names: Vec<String> =
            report.not_migrated.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
        say("not moved", format!("{}: {}", names.len(), names.join(", ")), 3);
    }
    if !report.left_on_source.is_empty() {
        let names: Vec<&str> = report.left_on_source.iter().map(|one| one.name.as_str()).collect();
        say("left there", format!("{} (on the source)", names.join(", ")), 2);
    }
    say("source", server(&report.source), 1);
    say("target", server(&report.target), 1);
    say(
        "migration",
        format!("{}, {} route, {}", report.migration, route(report.route), following(report)),
        2,
    );
    if let Some(from) = report.began_at {
        say("began", clock(from), 1);
    }
    facts
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn server(server: &super::Server) -> String {
    match &server.version {
        Some(version) => format!("{} ({version})", server.name),
        None => server.name.clone(),
    }
}

/// Breaks a text into lines of a width, at most `most` of them; the last one says that more follows.
fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let text = tame(text);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            // A word that is longer than a line is cut.
            if columns(&line) + column(c) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            while columns(last) + 4 > width {
                last.pop();
            }
            last.push_str(" ...");
        }
    }
    lines
}

fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// How many columns a character takes on a terminal, rather one too many than one too few.
fn column(c: char) -> usize {
    if c >= '\u{1100}' { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_within_the_width() {
        assert_eq!(wrap("one two three", 7, 5), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4, 5), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("one two three four", 9, 1), ["one t ..."]);
        assert_eq!(wrap("表表表", 4, 3), ["表表", "表"]);
        assert_eq!(wrap("", 4, 3), [""]);
    }
}
