//! The report as one HTML page: no script, no other file, light and dark, fit for a phone and for
//! paper. What matters comes first: what came of it, then the figures that people ask for.

use serde_json::Value;

use super::{
    Outcome, Rate, Report, RunEnd, StepReport, TableReport, TableVerdict, chart,
    figures::{bytes, clock, count, millis, things},
    following,
    page::Page,
    route, value,
};
use crate::engine::{Severity, StepPhase};

/// The page's only style.
const STYLE: &str = include_str!("html/style.css");

/// The page's sign: a sun over a line.
const SIGN: &str = "<svg class=\"sign\" viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M6 21a10 10 0 0 1 20 0z\"/><path d=\"M2 25h28M16 3v4M4.5 9l2.8 2.8M27.5 9l-2.8 2.8\" fill=\"none\" stroke-width=\"2.4\" stroke-linecap=\"round\"/></svg>";

pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n")
        // The page asks for nothing; this says so to the browser as well.
        .raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n")
        .raw("<link rel=\"icon\" href=\"data:,\">\n")
        .wrap("<title>Migration ", &report.migration, " \u{2013} daybreak</title>\n<style>\n")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<main>\n");
    head(&mut page, report);
    cards(&mut page, report);
    if !report.sessions.is_empty() {
        page.section("Timeline", |page| chart::timeline(page, report));
    }
    failures(&mut page, report);
    writes(&mut page, report);
    curves(&mut page, report);
    verification(&mut page, report);
    tables(&mut page, report);
    findings(&mut page, report);
    not_migrated(&mut page, report);
    leftovers(&mut page, report);
    extra(&mut page, report);
    steps(&mut page, report);
    about(&mut page, report);
    page.raw("</main>\n</body>\n</html>\n");
    page.finish()
}

/// What went on over time: the copy, the application's writes, the target's lag.
fn curves(page: &mut Page, report: &Report) {
    let per_second = |value: f64| format!("{} rows/s", count(value.round() as u64));
    let rate = |rate: &Rate, label| chart::Curve {
        label,
        points: rate.points.iter().map(|point| (point.at, point.per_second)).collect(),
        least: 10.0,
        figure: |value| count(value.round() as u64),
        sessions: &report.sessions,
    };
    if let Some(copy) = &report.copy_rate {
        page.section("Rows copied per second", |page| {
            chart::curve(page, &rate(copy, "rows copied per second, over time"));
            page.wrap("<p class=\"quiet\">highest ", per_second(copy.max_per_second), "</p>\n");
        });
    }
    if let Some(writes) = &report.source_writes {
        page.section("Rows changed on the source per second", |page| {
            chart::curve(page, &rate(writes, "rows changed on the source per second, over time"));
            page.wrap("<p class=\"quiet\">highest ", per_second(writes.max_per_second), "").raw(
                " inserted, updated or deleted there, daybreak's own heartbeat included</p>\n",
            );
        });
    }
    if let Some(lag) = &report.lag {
        page.section("Lag of the target", |page| {
            let curve = chart::Curve {
                label: "lag over time",
                points: lag.points.iter().map(|point| (point.at, point.seconds)).collect(),
                least: 0.05,
                figure: |seconds| millis(seconds * 1000.0),
                sessions: &report.sessions,
            };
            chart::curve(page, &curve);
            page.wrap("<p class=\"quiet\">highest ", millis(lag.max_seconds * 1000.0), ", ")
                .wrap("at the end ", millis(lag.last_seconds * 1000.0), ", ")
                .text(things(lag.samples as u64, "sample", "samples"))
                .raw("; the cutover goes by positions, never by the lag alone</p>\n");
        });
    }
}

/// How a verdict looks.
fn tone(outcome: Outcome) -> (&'static str, &'static str) {
    const CHECK: &str = "<path d=\"M5 12.5l4.5 4.5L19 7.5\"/>";
    const CROSS: &str = "<path d=\"M7 7l10 10M17 7L7 17\"/>";
    const BARS: &str = "<path d=\"M9 6v12M15 6v12\"/>";
    const DOTS: &str = "<path d=\"M6 12h.01M12 12h.01M18 12h.01\"/>";
    const BACK: &str = "<path d=\"M9 7l-4 4 4 4M5 11h9a4 4 0 0 1 0 8h-2\"/>";
    const ASK: &str = "<path d=\"M12 6v8M12 18h.01\"/>";
    match outcome {
        Outcome::Completed => ("good", CHECK),
        Outcome::CompletedUnproven => ("warn", ASK),
        Outcome::Failed | Outcome::Disproved => ("bad", CROSS),
        Outcome::Paused => ("warn", BARS),
        Outcome::Running | Outcome::Planned => ("calm", DOTS),
        Outcome::Undone | Outcome::Aborted => ("calm", BACK),
    }
}

fn head(page: &mut Page, report: &Report) {
    page.raw("<header>").raw(SIGN).raw("<div>");
    page.wrap("<h1>Migration <bdi>", &report.migration, "</bdi></h1>\n<p>");
    match (report.began_at, report.ended_at) {
        (Some(from), Some(to)) => {
            page.text(clock(from)).raw(" \u{2192} ").text(clock(to));
        }
        _ => {
            page.text("not begun yet");
        }
    }
    page.raw("</p></div></header>\n");
    let (tone, icon) = tone(report.verdict.outcome);
    page.wrap("<div class=\"verdict ", tone, "\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">")
        .raw(icon)
        .wrap("</svg><div><p class=\"headline\">", &report.verdict.headline, "</p>\n");
    if let Some(detail) = &report.verdict.detail {
        page.wrap("<p class=\"detail\">", detail, "</p>\n");
    }
    if let Some(next) = &report.verdict.next {
        page.raw("<p class=\"next\"><b>Next:</b> ");
        commands(page, next);
        page.raw("</p>\n");
    }
    page.raw("</div></div>\n<div class=\"route\">\n");
    for (what, server) in [("Source", &report.source), ("Target", &report.target)] {
        page.wrap("<div><span>", what, "</span><strong><bdi>").text(&server.name).wrap(
            "</bdi></strong><small>",
            server.version.as_deref().unwrap_or(""),
            "</small></div>\n",
        );
        if what == "Source" {
            page.wrap("<div class=\"way\"><span>", route(report.route), " route</span>")
                .raw("<i></i>")
                .wrap("<small>", following(report), "</small></div>\n");
        }
    }
    page.raw("</div>\n");
}

/// A text in which backticks set commands apart.
fn commands(page: &mut Page, text: &str) {
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            page.wrap("<code>", part, "</code>");
        } else {
            page.text(part);
        }
    }
}

fn cards(page: &mut Page, report: &Report) {
    let mut cards: Vec<(&str, String, String)> = Vec::new();
    let (totals, counts) = (&report.totals, &report.counts);
    if report.began_at.is_some() {
        let mut notes = Vec::new();
        for (value, one, many) in [
            (counts.pauses, "pause", "pauses"),
            (counts.failures, "failure", "failures"),
            (counts.processes_lost, "process lost", "processes lost"),
        ] {
            if value > 0 {
                notes.push(things(value, one, many));
            }
        }
        if report.elapsed_millis > report.working_millis + 1000 {
            notes.push(format!("{} at work", millis(report.working_millis as f64)));
        }
        cards.push(("Took", millis(report.elapsed_millis as f64), notes.join(", ")));
    }
    if totals.rows > 0 {
        let rate = totals.rows_per_second.map(|rate| format!("{} rows/s", count(rate as u64)));
        cards.push(("Rows copied", count(totals.rows), rate.unwrap_or_default()));
        let rate = totals.mib_per_second.map(|rate| format!("{rate:.1} MiB/s"));
        cards.push(("Data sent", bytes(totals.bytes), rate.unwrap_or_default()));
    }
    if let Some(stop) = report.cutover.as_ref().and_then(|cutover| cutover.write_stop_millis) {
        cards.push(("Writes stopped", millis(stop), "at the cutover".into()));
    }
    if let Some(stall) = report.snapshot.as_ref().and_then(|snapshot| snapshot.stall_millis) {
        cards.push(("Writes stalled", millis(stall), "for the snapshot".into()));
    }
    if let Some(lag) = &report.lag {
        cards.push((
            "Highest lag",
            millis(lag.max_seconds * 1000.0),
            format!("{} at the end", millis(lag.last_seconds * 1000.0)),
        ));
    }
    if cards.is_empty() {
        return;
    }
    page.raw("<ul class=\"cards\">\n");
    for (what, figure, note) in cards {
        page.wrap("<li><span>", what, "</span><strong>").text(figure).raw("</strong>");
        if !note.is_empty() {
            page.wrap("<small>", note, "</small>");
        }
        page.raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn failures(page: &mut Page, report: &Report) {
    let mut all: Vec<(&StepReport, &super::Failure)> = report
        .steps
        .iter()
        .flat_map(|step| step.failures.iter().map(move |failure| (step, failure)))
        .collect();
    if all.is_empty() {
        return;
    }
    all.sort_by_key(|(_, failure)| failure.at);
    page.section(format_args!("Failures ({})", all.len()), |page| {
        page.raw("<ul class=\"list\">\n");
        for (step, failure) in all {
            page.wrap("<li><p><b><bdi>", &step.id, "</bdi></b> <span class=\"quiet\">")
                .wrap("", clock(failure.at), "</span></p><pre>")
                .wrap("", &failure.error, "</pre></li>\n");
        }
        page.raw("</ul>\n");
    });
}

fn writes(page: &mut Page, report: &Report) {
    if report.snapshot.is_none() && report.cutover.is_none() && report.point_of_no_return.is_none()
    {
        return;
    }
    page.section("When writes stood still", |page| {
        page.raw("<dl>\n");
        if let Some(snapshot) = &report.snapshot {
            let stall = snapshot.stall_millis.map_or_else(|| "not noted".into(), millis);
            page.term("Stall on the source", format_args!("{stall}, for the consistent snapshot"));
            page.term("Snapshot", {
                let mut words = clock(snapshot.at);
                if let Some(method) = &snapshot.method {
                    words += &format!(", by {}", method.replace('_', " "));
                }
                if let Some(attempts) = snapshot.attempts {
                    words += &format!(", {}", things(attempts, "attempt", "attempts"));
                }
                if snapshot.taken > 1 {
                    words += &format!("; the last of {}", snapshot.taken);
                }
                words
            });
            if let Some(coordinates) = &snapshot.coordinates {
                page.wrap(
                    "<div><dt>Snapshot's position</dt><dd><code>",
                    coordinates,
                    "</code></dd></div>\n",
                );
            }
        }
        if let Some(cutover) = &report.cutover {
            let stop = cutover.write_stop_millis.map_or_else(|| "not noted".into(), millis);
            page.term("Write stop", format_args!("{stop}, at the cutover"));
            page.term("Cutover", clock(cutover.at));
            if let Some(position) = &cutover.position {
                page.wrap(
                    "<div><dt>Last position</dt><dd><code>",
                    position,
                    "</code></dd></div>\n",
                );
            }
        }
        if let Some(point) = &report.point_of_no_return {
            page.term(
                "Point of no return",
                format_args!(
                    "{}, in step {}: undo is refused from here on",
                    clock(point.at),
                    point.step
                ),
            );
        }
        page.raw("</dl>\n");
        if let Some(cutover) = &report.cutover
            && !cutover.details.is_empty()
        {
            page.raw("<details><summary>More of the cutover</summary>\n");
            value::fields(page, &cutover.details, &[]);
            page.raw("</details>\n");
        }
    });
}

fn verification(page: &mut Page, report: &Report) {
    let Some(found) = &report.verification else { return };
    page.section("Comparison of both sides", |page| {
        page.raw("<dl>\n");
        page.term(
            "Result",
            if found.equal { "every table is equal" } else { "not every table was found equal" },
        );
        page.term(
            "Tables",
            format_args!(
                "{} equal, {} different, {} unproven",
                count(found.tables_equal),
                count(found.tables_different),
                count(found.tables_unproven)
            ),
        );
        page.term(
            "By",
            match found.mode.as_deref() {
                Some("checksum") => "checksums computed inside both servers",
                Some("count") => "row counts only: contents were not compared",
                Some(other) => other,
                None => "not noted",
            },
        );
        page.term("Result noted", clock(found.at));
        page.raw("</dl>\n");
        if !found.details.is_empty() {
            page.raw("<details><summary>More of the comparison</summary>\n");
            value::fields(page, &found.details, &[]);
            page.raw("</details>\n");
        }
    });
}

fn tables(page: &mut Page, report: &Report) {
    if report.tables.is_empty() {
        return;
    }
    page.section(format_args!("Tables ({})", count(report.totals.tables)), |page| {
        if report.rows_taken_back {
            page.raw("<p class=\"quiet\">The copied rows were removed again by undo.</p>\n");
        }
        // What needs eyes comes first; the order of the plan stays otherwise.
        let mut tables: Vec<&TableReport> = report.tables.iter().collect();
        tables.sort_by_key(|table| match table.verdict {
            TableVerdict::Different => 0,
            TableVerdict::Unproven => 1,
            TableVerdict::Equal | TableVerdict::None => 2,
        });
        page.raw("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th>Table</th><th class=\"n\">Rows</th><th class=\"n\">Sent</th><th class=\"n\">Copy</th><th>Both sides</th></tr></thead>\n<tbody>\n");
        for table in tables {
            one_table(page, table);
        }
        page.raw("</tbody>\n</table></div>\n");
    });
}

fn one_table(page: &mut Page, table: &TableReport) {
    // What was compared is known; what wasn't, estimated.
    let rows = match (table.rows.or(table.rows_source), table.rows_estimate) {
        (Some(rows), _) => count(rows),
        (None, Some(estimate)) => format!("about {}", count(estimate)),
        (None, None) => "\u{2013}".into(),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "\u{2013}".into());
    page.wrap("<tr><td><bdi>", &table.table, "</bdi></td><td class=\"n\">")
        .wrap("", rows, "</td><td class=\"n\">")
        .wrap("", or_dash(table.bytes.map(bytes)), "</td><td class=\"n\">")
        .wrap("", or_dash(table.copy_millis.map(|took| millis(took as f64))), "</td><td>");
    let (class, word) = match table.verdict {
        TableVerdict::Equal => ("good", "equal"),
        TableVerdict::Different => ("bad", "different"),
        TableVerdict::Unproven => ("warn", table.verified.as_deref().unwrap_or("unproven")),
        TableVerdict::None => ("calm", "not compared"),
    };
    page.wrap("<span class=\"tag ", class, "\">").text(word).raw("</span>");
    if let (Some(source), Some(target)) = (table.rows_source, table.rows_target)
        && source != target
    {
        page.wrap(" <small>", count(source), " rows on the source, ").wrap(
            "",
            count(target),
            match table.verdict {
                // Under a writer the two counts are of different moments.
                TableVerdict::Equal => " on the target, counted at different moments</small>",
                _ => " on the target</small>",
            },
        );
    }
    if !table.differences.is_empty() {
        page.wrap(
            "<details><summary>",
            things(table.differences_total, "difference", "differences"),
            "</summary><ul>",
        );
        for difference in &table.differences {
            page.wrap("<li><code>", difference, "</code></li>");
        }
        let more = table.differences_total.saturating_sub(table.differences.len() as u64);
        if more > 0 {
            page.wrap("<li>and ", count(more), " more</li>");
        }
        page.raw("</ul></details>");
    }
    page.raw("</td></tr>\n");
}

fn findings(page: &mut Page, report: &Report) {
    if report.findings.is_empty() {
        return;
    }
    page.section(format_args!("Findings ({})", report.findings.len()), |page| {
        page.raw("<ul class=\"list\">\n");
        for finding in &report.findings {
            let (class, word) = match finding.severity {
                Severity::Blocker => ("bad", "blocker"),
                Severity::Warning => ("warn", "warning"),
                Severity::Note => ("calm", "note"),
            };
            page.wrap("<li><p><span class=\"tag ", class, "\">")
                .wrap("", word, "</span> <code>")
                .wrap("", &finding.id, "</code></p><p>")
                .wrap("", &finding.why, "</p>");
            if !finding.objects.is_empty() {
                page.wrap("<p class=\"quiet\"><bdi>", finding.objects.join(", "), "</bdi></p>");
            }
            if !finding.remedy.is_empty() {
                page.raw("<p><b>Remedy:</b> ");
                commands(page, &finding.remedy);
                page.raw("</p>");
            }
            page.raw("</li>\n");
        }
        page.raw("</ul>\n");
    });
}

fn not_migrated(page: &mut Page, report: &Report) {
    if report.not_migrated.is_empty() {
        return;
    }
    page.section(format_args!("Not migrated ({})", report.not_migrated.len()), |page| {
        page.raw("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th>What</th><th>Name</th><th>Why</th></tr></thead>\n<tbody>\n");
        for one in &report.not_migrated {
            page.wrap("<tr><td>", one.kind.replace('_', " "), "</td><td><bdi>")
                .wrap("", &one.name, "</bdi></td><td>")
                .wrap("", &one.why, "</td></tr>\n");
        }
        page.raw("</tbody>\n</table></div>\n");
    });
}

fn leftovers(page: &mut Page, report: &Report) {
    if report.left_on_source.is_empty() {
        return;
    }
    page.section(format_args!("Left on the source ({})", report.left_on_source.len()), |page| {
        page.raw("<ul class=\"list\">\n");
        for one in &report.left_on_source {
            page.raw("<li><p>");
            if let Some(kind) = &one.kind {
                page.text(kind.replace('_', " ")).raw(" ");
            }
            page.wrap("<b><bdi>", &one.name, "</bdi></b></p>");
            if let Some(why) = &one.why {
                page.wrap("<p class=\"quiet\">", why, "</p>");
            }
            if let Some(sql) = &one.sql {
                page.wrap("<pre>", sql, "</pre>");
            }
            page.raw("</li>\n");
        }
        page.raw("</ul>\n");
    });
}

fn extra(page: &mut Page, report: &Report) {
    const FIRST: [&str; 6] = [
        "passed",
        "all_on_target",
        "source_closed",
        "acknowledged_commits",
        "rows_checked",
        "longest_gap_millis",
    ];
    for (name, data) in &report.extra {
        let heading = match name.as_str() {
            "rehearsal" => "Rehearsal: the writer's proof".to_string(),
            other => value::label(other),
        };
        page.section(heading, |page| {
            if name == "rehearsal" {
                page.raw("<p class=\"quiet\">An application kept writing during the whole rehearsal. Afterwards everything that a server had acknowledged to it was looked up on the target.</p>\n");
            }
            match data {
                Value::Object(object) => value::fields(page, object, &FIRST),
                other => value::show(page, name, other, 0),
            }
        });
    }
}

fn steps(page: &mut Page, report: &Report) {
    page.section("Steps and what takes each back", |page| {
        page.raw("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th>#</th><th>Step</th><th>Does</th><th>Rollback</th><th>Stands</th><th class=\"n\">Took</th></tr></thead>\n<tbody>\n");
        for (at, step) in report.steps.iter().enumerate() {
            let (class, word) = standing(step);
            page.wrap("<tr><td>", at + 1, "</td><td><bdi>")
                .wrap("", &step.id, "</bdi></td><td>")
                .wrap("", &step.title, "</td><td>")
                .wrap("", &step.rollback, "</td><td><span class=\"tag ")
                .wrap("", class, "\">")
                .wrap("", word, "</span>");
            if step.attempts > 1 {
                page.wrap(" <small>", things(step.attempts, "attempt", "attempts"), "</small>");
            }
            page.raw("</td><td class=\"n\">");
            if step.runs.is_empty() {
                page.text("\u{2013}");
            } else {
                page.text(millis(step.millis as f64));
            }
            page.raw("</td></tr>\n");
        }
        page.raw("</tbody>\n</table></div>\n");
    });
}

fn standing(step: &StepReport) -> (&'static str, &'static str) {
    match step.phase {
        StepPhase::Verified => ("good", "verified"),
        StepPhase::Failed => ("bad", "failed"),
        StepPhase::Undoing => ("warn", "being undone"),
        StepPhase::Pending if step.undone_at.is_some() => ("calm", "undone"),
        StepPhase::Pending => ("calm", "not begun"),
        StepPhase::Started | StepPhase::Finished => {
            if step.runs.last().is_some_and(|run| run.end == RunEnd::Open) {
                ("warn", "at work")
            } else {
                ("warn", "stopped")
            }
        }
    }
}

fn about(page: &mut Page, report: &Report) {
    page.section("Log and versions", |page| {
        page.raw("<details><summary>Every moment of the migration</summary><div class=\"scroll\" tabindex=\"0\"><table>\n<tbody>\n");
        for moment in &report.moments {
            page.wrap("<tr><td class=\"when\">", clock(moment.at), "</td><td>")
                .wrap("", moment.what.replace('_', " "), "</td><td><bdi>")
                .wrap("", moment.step.as_deref().unwrap_or(""), "</bdi></td><td>")
                .wrap("", moment.detail.as_deref().unwrap_or(""), "</td></tr>\n");
        }
        page.raw("</tbody>\n</table></div></details>\n<dl>\n");
        page.term("Why this route", &report.reason);
        page.term("Source's identity", &report.source.uuid);
        page.term("Target's identity", &report.target.uuid);
        if !report.versions.is_empty() {
            page.term("daybreak at work", report.versions.join(", "));
        }
        page.raw("</dl>\n");
    });
    page.wrap("<footer>Made ", clock(report.made_at), " by daybreak ")
        .text(&report.made_by)
        .wrap(
            " from the journal of this migration. Times are UTC. Form ",
            report.schema_version,
            ".",
        )
        .raw("</footer>\n");
}
