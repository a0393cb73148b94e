//! The drawings: the timeline's bars and the curves, as inline SVG that stretches with the page.
//! Words and figures beside them are HTML, so that they stay readable on any width.

use jiff::Timestamp;

use super::{Report, RunEnd, RunKind, Span, StepReport, figures, page::Page};

/// The drawings' width in their own units.
const WIDTH: f64 = 1000.0;

/// The curve's height in its own units.
const HEIGHT: f64 = 200.0;

/// Time across the drawing. Pauses take a little room whatever their length, so that a night's pause
/// doesn't press an hour's work into a line.
pub(super) struct Axis(Vec<Stretch>);

/// A stretch of work, and where it lies.
struct Stretch {
    from: i64,
    to: i64,
    left: f64,
    right: f64,
}

impl Axis {
    /// The axis of some spans of work; none if there are none.
    pub fn of(sessions: &[Span]) -> Option<Self> {
        let working: i64 = sessions
            .iter()
            .map(|span| span.to.as_millisecond() - span.from.as_millisecond())
            .sum::<i64>()
            .max(1);
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for session in sessions {
            let (from, to) = (session.from.as_millisecond(), session.to.as_millisecond());
            match spans.last_mut() {
                // A pause that is short beside the work is drawn as long as it was.
                Some(last) if (from - last.1) * 25 <= working => last.1 = to.max(last.1),
                _ => spans.push((from, to.max(from))),
            }
        }
        let (first, last) = (spans.first()?.0, spans.last()?.1);
        let gaps = spans.len() - 1;
        let gap = if gaps == 0 { 0.0 } else { (WIDTH * 0.3 / gaps as f64).min(28.0) };
        let all: i64 = spans.iter().map(|(from, to)| to - from).sum();
        let room = WIDTH - gap * gaps as f64;
        let mut left = 0.0;
        let stretches = spans
            .iter()
            .map(|&(from, to)| {
                let share = if all > 0 {
                    (to - from) as f64 / all as f64
                } else {
                    1.0 / spans.len() as f64
                };
                let stretch = Stretch { from, to, left, right: left + room * share };
                left = stretch.right + gap;
                stretch
            })
            .collect();
        (last >= first).then_some(Axis(stretches))
    }

    /// Where a moment lies, from 0 to 1000.
    pub fn x(&self, at: Timestamp) -> f64 {
        let at = at.as_millisecond();
        let mut before = 0.0;
        for stretch in &self.0 {
            if at < stretch.from {
                // Within a pause.
                return f64::midpoint(before, stretch.left);
            }
            if at <= stretch.to {
                let length = (stretch.to - stretch.from).max(1) as f64;
                let share = (at - stretch.from) as f64 / length;
                return stretch.left + share * (stretch.right - stretch.left);
            }
            before = stretch.right;
        }
        WIDTH
    }

    /// The pauses: where each begins and ends, and how long it was in milliseconds.
    fn pauses(&self) -> impl Iterator<Item = (f64, f64, i64)> {
        self.0.windows(2).filter_map(|pair| match pair {
            [a, b] => Some((a.right, b.left, b.from - a.to)),
            _ => None,
        })
    }

    /// Whether a pause lies between two moments.
    fn parts(&self, a: Timestamp, b: Timestamp) -> bool {
        let (a, b) = (a.as_millisecond(), b.as_millisecond());
        self.0.windows(2).any(|pair| a <= pair[0].to && pair[1].from <= b)
    }
}

/// A place in hundredths of the width, for HTML beside a drawing.
fn percent(x: f64) -> String {
    format!("{:.2}%", x / WIDTH * 100.0)
}

/// A coordinate within a drawing.
fn unit(x: f64) -> String {
    format!("{x:.1}")
}

/// The steps as bars over time.
pub(super) fn timeline(page: &mut Page, report: &Report) {
    let Some(axis) = Axis::of(&report.sessions) else { return };
    page.raw("<div class=\"gantt\">\n");
    for (at, step) in report.steps.iter().enumerate() {
        page.raw("<div class=\"bar\"><span class=\"name\"><i>").text(at + 1).raw("</i> ").wrap(
            "<bdi>",
            &step.id,
            "</bdi></span>",
        );
        strip(page, report, step, &axis);
        let took = if step.runs.is_empty() {
            "\u{2013}".to_string()
        } else {
            figures::millis(step.millis as f64)
        };
        page.wrap("<span class=\"took\">", took, "</span></div>\n");
    }
    scale(page, &axis, report.began_at, report.ended_at);
    page.raw("</div>\n<p class=\"legend\">");
    let mut seen: Vec<&str> = Vec::new();
    for run in report.steps.iter().flat_map(|step| &step.runs) {
        if !seen.contains(&class(run.kind, run.end)) {
            seen.push(class(run.kind, run.end));
        }
    }
    for (class, word) in [
        ("run", "done"),
        ("open", "at work"),
        ("failed", "failed"),
        ("stopped", "stopped before its end"),
        ("undo", "taken back"),
    ] {
        if seen.contains(&class) {
            page.wrap("<span><i class=\"", class, "\"></i>").text(word).raw("</span> ");
        }
    }
    if axis.pauses().next().is_some() {
        page.raw("<span><i class=\"pause\"></i>pause (not to scale)</span> ");
    }
    if report.point_of_no_return.is_some() {
        page.raw("<span><i class=\"line\"></i>point of no return</span>");
    }
    page.raw("</p>\n");
}

/// The colour of a run.
fn class(kind: RunKind, end: RunEnd) -> &'static str {
    match (kind, end) {
        (_, RunEnd::Open) => "open",
        (_, RunEnd::Failed) => "failed",
        (_, RunEnd::Stopped | RunEnd::Lost) => "stopped",
        (RunKind::Run, RunEnd::Verified | RunEnd::Undone) => "run",
        (RunKind::Undo, RunEnd::Verified | RunEnd::Undone) => "undo",
    }
}

fn strip(page: &mut Page, report: &Report, step: &StepReport, axis: &Axis) {
    page.raw(
        "<svg viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
    )
    .text(format_args!("{}: {} runs", step.id, step.runs.len()))
    .raw("\">");
    for (left, right, _) in axis.pauses() {
        rectangle(page, "pause", left, right);
    }
    for run in &step.runs {
        rectangle(page, class(run.kind, run.end), axis.x(run.from), axis.x(run.to));
    }
    if let Some(point) = &report.point_of_no_return {
        let x = unit(axis.x(point.at));
        page.wrap("<line class=\"line\" x1=\"", &x, "\" x2=\"");
        page.text(&x).raw("\" y1=\"0\" y2=\"20\"/>");
    }
    page.raw("</svg>");
}

fn rectangle(page: &mut Page, class: &str, left: f64, right: f64) {
    let (y, height) = if class == "pause" { (0, 20) } else { (4, 12) };
    page.wrap("<rect class=\"", class, "\" x=\"")
        .wrap("", unit(left), "\" width=\"")
        // Stretched lines keep their width, a narrow rectangle doesn't: CSS gives it an outline.
        .wrap("", unit((right - left).max(0.5)), "\" y=\"")
        .wrap("", y, "\" height=\"")
        .wrap("", height, "\"/>");
}

/// The clock beneath a drawing: its two ends, and the pauses where there is room.
fn scale(page: &mut Page, axis: &Axis, from: Option<Timestamp>, to: Option<Timestamp>) {
    let (Some(from), Some(to)) = (from, to) else { return };
    page.raw("<div class=\"scale\"><span></span><span class=\"marks\">");
    page.wrap("<b class=\"first\">", figures::clock(from), "</b>");
    let mut free = 27.0;
    for (left, right, millis) in axis.pauses() {
        let middle = f64::midpoint(left, right) / WIDTH * 100.0;
        if middle < free || middle > 70.0 {
            continue;
        }
        free = middle + 18.0;
        page.wrap("<b class=\"mid\" style=\"left:", percent(f64::midpoint(left, right)), "\">")
            .wrap("paused ", figures::millis(millis as f64), "</b>");
    }
    page.wrap("<b class=\"last\">", to.strftime("%H:%M:%S"), "</b></span><span></span></div>\n");
}

/// A figure over time.
pub(super) struct Curve<'a> {
    /// What it is, for those who can't see it.
    pub label: &'static str,
    /// When it was how much.
    pub points: Vec<(Timestamp, f64)>,
    /// The least that the drawing's top stands for.
    pub least: f64,
    /// How the figure is written.
    pub figure: fn(f64) -> String,
    /// When work was done.
    pub sessions: &'a [Span],
}

/// Draws a curve.
pub(super) fn curve(page: &mut Page, curve: &Curve<'_>) {
    let points = &curve.points;
    let (Some(&(first, _)), Some(&(last, _))) = (points.first(), points.last()) else { return };
    // Only the stretch in which there was something to measure.
    let within: Vec<Span> = curve
        .sessions
        .iter()
        .filter(|span| span.to >= first && span.from <= last)
        .map(|span| Span { from: span.from.max(first), to: span.to.min(last) })
        .collect();
    let whole = [Span { from: first, to: last }];
    let Some(axis) = Axis::of(if within.is_empty() { &whole } else { &within }) else { return };
    let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = ceiling(highest.max(curve.least));
    let mut line = String::new();
    let mut area = String::new();
    let mut previous: Option<(Timestamp, f64)> = None;
    for &(now, value) in points {
        let (x, y) = (axis.x(now), HEIGHT - value / top * HEIGHT);
        match previous {
            Some((at, _)) if !axis.parts(at, now) => {
                line.push_str(&format!("L{x:.1} {y:.1}"));
            }
            _ => {
                if let Some((_, x)) = previous {
                    area.push_str(&format!("L{x:.1} {HEIGHT}Z"));
                }
                line.push_str(&format!("M{x:.1} {y:.1}"));
                area.push_str(&format!("M{x:.1} {HEIGHT}"));
            }
        }
        area.push_str(&format!("L{x:.1} {y:.1}"));
        previous = Some((now, x));
    }
    if let Some((_, x)) = previous {
        area.push_str(&format!("L{x:.1} {HEIGHT}Z"));
    }
    page.raw("<div class=\"curve\"><div class=\"plot\">")
        .raw("<svg viewBox=\"0 0 1000 200\" preserveAspectRatio=\"none\" role=\"img\" ")
        .wrap("aria-label=\"", curve.label, "\">");
    for y in ["0.5", "100", "199.5"] {
        page.wrap("<line class=\"grid\" x1=\"0\" x2=\"1000\" y1=\"", y, "\" y2=\"")
            .wrap("", y, "\"/>");
    }
    page.wrap("<path class=\"area\" d=\"", area, "\"/>")
        .wrap("<path class=\"stroke\" d=\"", line, "\"/></svg>")
        .wrap("<b class=\"top\">", (curve.figure)(top), "</b>")
        .wrap("<b class=\"half\">", (curve.figure)(top / 2.0), "</b></div>\n");
    scale(page, &axis, Some(first), Some(last));
    page.raw("</div>\n");
}

/// The next round figure: 1, 2 or 5 of a power of ten.
fn ceiling(wanted: f64) -> f64 {
    let power = 10f64.powf(wanted.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .iter()
        .map(|step| step * power)
        .find(|top| *top >= wanted)
        .unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn span(from: i64, to: i64) -> Span {
        Span { from: at(from), to: at(to) }
    }

    #[test]
    fn a_long_pause_takes_little_room() {
        let axis = Axis::of(&[span(0, 100), span(100_000, 100_100)]).unwrap();
        assert_eq!(axis.x(at(0)), 0.0);
        assert!((axis.x(at(50)) - 243.0).abs() < 0.1, "{}", axis.x(at(50)));
        assert_eq!(axis.x(at(5_000)), 500.0);
        assert_eq!(axis.x(at(100_100)), 1000.0);
        assert!(axis.parts(at(100), at(100_000)) && !axis.parts(at(10), at(100)));
        // A short one is to scale.
        let axis = Axis::of(&[span(0, 100), span(102, 202)]).unwrap();
        assert_eq!((axis.x(at(101)), axis.pauses().count()), (500.0, 0));
    }

    #[test]
    fn many_short_lives_fit() {
        let sessions: Vec<Span> = (0..200).map(|n| span(n * 1000, n * 1000)).collect();
        let axis = Axis::of(&sessions).unwrap();
        for (n, pair) in sessions.windows(2).enumerate() {
            assert!(axis.x(pair[0].from) < axis.x(pair[1].from), "{n}");
        }
        assert!(axis.x(at(199_000)) <= WIDTH);
        assert!(Axis::of(&[]).is_none());
    }

    #[test]
    fn tops_are_round() {
        assert_eq!(
            [0.05, 0.3, 1.0, 1.2, 7.0, 70.0, 120_000.0].map(ceiling),
            [0.05, 0.5, 1.0, 2.0, 10.0, 100.0, 200_000.0]
        );
    }
}
