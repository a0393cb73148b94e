//! The words for events, the same on a terminal and in a log.

use std::collections::VecDeque;

use daybreak::{
    error::Error,
    event::Unit,
    report::figures::{self, bytes, count, millis},
};
use jiff::Timestamp;

/// How far back a rate looks, in milliseconds.
const WINDOW: i64 = 10_000;

/// The lines of an error, each with its label.
pub(super) fn error(error: &Error) -> Vec<(&'static str, String)> {
    let mut what = error.what().to_string();
    for cause in error.causes() {
        what = format!("{what}: {cause}");
    }
    let mut lines = vec![("error", what)];
    lines.extend(error.place().map(|place| ("where", place.to_string())));
    lines.extend(error.next_step().map(|next| ("next", next.to_string())));
    lines
}

/// A task's newest figures, and what they were lately.
#[derive(Debug)]
pub(super) struct Task {
    pub done: u64,
    pub total: Option<u64>,
    pub unit: Unit,
    pub bytes: u64,
    pub now: String,
    /// When it began, and how much was done then (a task that goes on after a pause).
    first: (Timestamp, u64, u64),
    /// The newest one.
    pub at: Timestamp,
    recent: VecDeque<(Timestamp, u64)>,
}

impl Task {
    pub fn new(unit: Unit, done: u64, bytes: u64, at: Timestamp) -> Self {
        Task {
            done,
            total: None,
            unit,
            bytes,
            now: String::new(),
            first: (at, done, bytes),
            at,
            recent: VecDeque::new(),
        }
    }

    /// Takes the newest figures.
    pub fn update(&mut self, done: u64, total: Option<u64>, bytes: u64, now: &str, at: Timestamp) {
        (self.done, self.total, self.bytes, self.at) = (done, total, bytes, at);
        self.now.clear();
        self.now.push_str(now);
        // A few figures a second are enough for a rate.
        if self.recent.back().is_none_or(|(last, _)| since(*last, at) >= 200) {
            self.recent.push_back((at, done));
        }
        while self.recent.front().is_some_and(|(first, _)| since(*first, at) > WINDOW) {
            self.recent.pop_front();
        }
    }

    pub fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.done >= total)
    }

    /// Units per second lately.
    fn rate(&self) -> Option<f64> {
        let (at, done) = *self.recent.front()?;
        let took = since(at, self.at);
        // Too short a time says nothing.
        (took >= 500 && self.done > done).then(|| (self.done - done) as f64 * 1000.0 / took as f64)
    }

    /// Where it stands: `12%, 37 s left, 12,345 of about 99,000 rows, 2,345 rows/s, 34.2 MiB`. What
    /// matters most comes first, since a narrow terminal cuts the end off.
    pub fn standing(&self) -> String {
        let (one, many) = words(self.unit);
        // Only rows are estimated; and an estimate that was too low is none any more.
        let about = if self.unit == Unit::Rows { "about " } else { "" };
        let rate = self.rate();
        let mut parts = Vec::new();
        match self.total.filter(|total| *total > self.done) {
            Some(total) => {
                let percent = u128::from(self.done) * 100 / u128::from(total);
                parts.push(format!("{percent}%"));
                if let Some(rate) = rate {
                    parts.push(format!("{} left", duration((total - self.done) as f64 / rate)));
                }
                parts.push(format!("{} of {about}{} {many}", count(self.done), count(total)));
            }
            None => parts.push(figures::things(self.done, one, many)),
        }
        if let Some(rate) = rate {
            parts.push(format!("{} {many}/s", number(rate)));
        }
        if self.bytes > 0 {
            parts.push(bytes(self.bytes));
        }
        parts.join(", ")
    }

    /// What it came to: `99,000 rows, 34.2 MiB in 12.3 s (8,048 rows/s, 2.8 MiB/s)`.
    pub fn result(&self) -> String {
        let (one, many) = words(self.unit);
        let mut text = figures::things(self.done, one, many);
        if self.bytes > 0 {
            text += &format!(", {}", bytes(self.bytes));
        }
        let (at, done, moved) = self.first;
        let took = since(at, self.at);
        if took >= 500 {
            text += &format!(" in {}", millis(took as f64));
            let per_second = |value: u64| value as f64 * 1000.0 / took as f64;
            text += &format!(" ({} {many}/s", number(per_second(self.done.saturating_sub(done))));
            if self.bytes > moved {
                let rate = per_second(self.bytes - moved) / 1_048_576.0;
                text += &format!(", {rate:.1} MiB/s");
            }
            text.push(')');
        }
        text
    }
}

/// How far the target is behind.
pub(super) fn lag(seconds: Option<f64>, caught_up: bool) -> String {
    match (seconds, caught_up) {
        (Some(seconds), true) => format!("lag {}, caught up", millis(seconds * 1000.0)),
        (Some(seconds), false) => format!("lag {}, catching up", millis(seconds * 1000.0)),
        (None, true) => "caught up".into(),
        (None, false) => "catching up".into(),
    }
}

/// The writes go on.
pub(super) fn resumed(why: &str, took: f64, on_target: bool) -> String {
    let place = if on_target { "the target" } else { "the source" };
    format!("writes go on at {place} after {} ({why})", millis(took))
}

/// Milliseconds from one moment to another; a clock that was set back gives none.
pub(super) fn since(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_millisecond() - from.as_millisecond()).max(0)
}

fn words(unit: Unit) -> (&'static str, &'static str) {
    match unit {
        Unit::Rows => ("row", "rows"),
        Unit::Tables => ("table", "tables"),
        Unit::Objects => ("object", "objects"),
        Unit::Bytes => ("byte", "bytes"),
        Unit::Files => ("file", "files"),
    }
}

/// A rate: whole where it is large.
fn number(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { count(rate as u64) }
}

/// A time left, no finer than it can be known.
fn duration(seconds: f64) -> String {
    if seconds < 60.0 { format!("{:.0} s", seconds.ceil()) } else { millis(seconds * 1000.0) }
}
