//! Prints messages, one at a time, in one of three looks. Knows the time only as it is told, so that
//! tests hold the clock.

use std::{collections::BTreeMap, io::Write};

use daybreak::{
    event::{Event, Level},
    report::figures::{millis, tame},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    bars::Bars,
    queue::Message,
    words::{self, Task, since},
};

/// How printing looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Steps and moving bars, for a terminal.
    Bars,
    /// Lines with the time, for a log.
    Lines,
    /// Events as lines of JSON on stdout.
    Json,
}

/// Something of which the newest figure is printed now and then.
struct Figure<T> {
    newest: T,
    /// When one was last printed.
    printed: Option<Timestamp>,
    /// Whether the newest one wasn't printed yet.
    waits: bool,
    /// Whether the one that completes it was seen.
    complete: bool,
}

struct Lag {
    event: Event,
    text: String,
    caught_up: bool,
}

pub(super) struct Renderer {
    look: Look,
    pub colour: bool,
    /// Whether results go to a terminal, which control characters could confuse.
    pub tame_results: bool,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    bars: Option<Bars>,
    /// The step at work: its label (`[3/10] rows`) and since when.
    step: Option<(String, String, Timestamp)>,
    tasks: BTreeMap<String, Figure<(Task, Event)>>,
    lag: Option<Figure<Lag>>,
    /// Why writes are stopped, and since when.
    stopped: Option<(String, Timestamp)>,
}

/// An event with its time, as a line of JSON.
#[derive(Serialize)]
struct Stamped<'a> {
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";

impl Renderer {
    pub fn new(look: Look, stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> Self {
        Renderer {
            look,
            colour: false,
            tame_results: true,
            stdout,
            stderr,
            bars: None,
            step: None,
            tasks: BTreeMap::new(),
            lag: None,
            stopped: None,
        }
    }

    /// Prints a message, or remembers it for later.
    pub fn show(&mut self, message: Message, at: Timestamp) {
        match message {
            Message::Event(event) => self.event(event, at),
            Message::Line(text) => {
                self.settle(at);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = if self.tame_results { lines(text) } else { text.to_string() };
                if self.look == Look::Json { self.err(&text) } else { self.out(&text) }
            }
            Message::Document(text) => {
                self.settle(at);
                self.out(&text);
            }
            Message::Warning(text) => {
                let text = lines(&text);
                let word = self.paint(YELLOW, "warning:");
                self.err(&format!("{word} {text}"));
            }
            Message::Error(parts) => {
                self.settle(at);
                self.step = None;
                self.clear();
                for (label, text) in parts {
                    let label = format!("{:<6}", format!("{label}:"));
                    let label =
                        if label.starts_with("error") { self.paint(RED, &label) } else { label };
                    // Further lines of a text begin where its first does.
                    let text = lines(&text).replace('\n', "\n       ");
                    self.err(&format!("{label} {text}"));
                }
            }
        }
    }

    /// Prints what has waited long enough, and moves the bars.
    pub fn tick(&mut self, now: Timestamp) {
        let due = |printed: Option<Timestamp>, every: i64| {
            printed.is_none_or(|printed| since(printed, now) >= every)
        };
        let names: Vec<String> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.waits && due(task.printed, self.every()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.print_task(&name, now);
        }
        if self.lag.as_ref().is_some_and(|lag| lag.waits && due(lag.printed, self.every_lag())) {
            self.print_lag(now);
        }
        if self.look == Look::Bars {
            self.wait_line(now);
        }
    }

    /// Prints whatever still waits, and leaves a terminal as it should be.
    pub fn finish(&mut self, now: Timestamp) {
        self.settle(now);
        self.step = None;
        self.stopped = None;
        self.clear();
        // There is no one left to tell.
        let _gone = self.stdout.flush().is_err() | self.stderr.flush().is_err();
    }

    fn event(&mut self, event: Event, at: Timestamp) {
        // Figures come often; everything else is printed as it comes, after the figures before it.
        match event {
            Event::Progress { ref task, ref now, done, total, unit, bytes } => {
                let (name, now) = (task.clone(), now.clone());
                let figure = self.tasks.entry(name.clone()).or_insert_with(|| Figure {
                    newest: (Task::new(unit, done, bytes, at), event.clone()),
                    printed: None,
                    waits: false,
                    complete: false,
                });
                figure.newest.0.update(done, total, bytes, &now, at);
                figure.newest.1 = event;
                figure.waits = true;
                let first = figure.printed.is_none();
                let completes = !figure.complete && figure.newest.0.is_complete();
                figure.complete |= completes;
                let late = figure.printed.is_some_and(|last| since(last, at) >= self.every());
                if first || completes || late {
                    self.print_task(&name, at);
                }
                return;
            }
            Event::Lag { seconds, caught_up } => {
                let newest = Lag { text: words::lag(seconds, caught_up), caught_up, event };
                let before = self.lag.take();
                let turned = before.as_ref().is_none_or(|lag| lag.newest.caught_up != caught_up);
                let printed = before.and_then(|lag| lag.printed);
                let late = printed.is_some_and(|last| since(last, at) >= self.every_lag());
                self.lag = Some(Figure { newest, printed, waits: true, complete: false });
                if turned || late {
                    self.print_lag(at);
                }
                return;
            }
            _ => {}
        }
        if matches!(
            event,
            Event::StepStarted { .. }
                | Event::StepVerified { .. }
                | Event::StepFailed { .. }
                | Event::StepUndone { .. }
        ) {
            self.settle(at);
        }
        if self.look == Look::Json {
            self.json(&event, at);
            return;
        }
        match event {
            Event::StepStarted { step, title, number, of } => {
                let head = self.paint(BOLD, &format!("[{number}/{of}] {}", tame(&step)));
                self.say(&format!("{head}  {}", tame(&title)), at, false);
                self.step = Some((format!("[{number}/{of}] {}", tame(&step)), step, at));
            }
            Event::StepVerified { millis: took, .. } => {
                let word = self.paint(GREEN, "ok");
                self.within(&format!("{word} {}", millis(took as f64)), at);
                self.step = None;
                self.clear();
            }
            Event::StepFailed { error, .. } => {
                // The whole of it is printed if the command ends by it.
                let first = error.lines().next().unwrap_or_default();
                let word = self.paint(RED, "failed:");
                self.within(&format!("{word} {}", tame(first)), at);
                self.clear();
            }
            Event::StepUndone { step } => {
                let word = self.paint(GREEN, "undone");
                self.say(&format!("{word} {}", tame(&step)), at, false);
            }
            Event::WritesStopped { why } => {
                let why = tame(&why);
                let text = format!("writes on the source are stopped ({why})");
                let text = self.paint(YELLOW, &text);
                self.within(&text, at);
                self.stopped = Some((why, at));
            }
            Event::WritesResumed { why, millis, on_target } => {
                self.stopped = None;
                let text = self.paint(GREEN, &words::resumed(&tame(&why), millis, on_target));
                self.within(&text, at);
            }
            Event::Note { level, text } => {
                let text = lines(&text).replace('\n', "\n       ");
                match level {
                    // For the log file, which has its own way.
                    Level::Detail => {}
                    Level::Info => self.within(&text, at),
                    Level::Warning => {
                        let word = self.paint(YELLOW, "warning:");
                        self.within(&format!("{word} {text}"), at);
                    }
                }
            }
            Event::Progress { .. } | Event::Lag { .. } => {}
        }
    }

    /// How often a figure of a task is printed, in milliseconds.
    fn every(&self) -> i64 {
        match self.look {
            // No more often than a terminal is drawn.
            Look::Bars => 80,
            Look::Lines => 5_000,
            Look::Json => 1_000,
        }
    }

    /// How often the lag is printed.
    fn every_lag(&self) -> i64 {
        match self.look {
            Look::Bars => 0,
            Look::Lines => 30_000,
            Look::Json => 1_000,
        }
    }

    fn print_task(&mut self, name: &str, at: Timestamp) {
        let Some(figure) = self.tasks.get_mut(name) else { return };
        figure.printed = Some(at);
        figure.waits = false;
        let (task, event) = &figure.newest;
        let mut text = task.standing();
        if !task.now.is_empty() {
            text = format!("{text}, {}", tame(&task.now));
        }
        match self.look {
            Look::Bars => {
                let bars = self.bars.get_or_insert_with(|| Bars::new(self.colour));
                bars.task(&tame(name), task, text);
            }
            Look::Lines => {
                let line = self.named(name, &text);
                self.within(&line, at);
            }
            Look::Json => {
                let (event, told) = (event.clone(), task.at);
                self.json(&event, told);
            }
        }
    }

    fn print_lag(&mut self, at: Timestamp) {
        let Some(lag) = &mut self.lag else { return };
        lag.printed = Some(at);
        lag.waits = false;
        let (text, event) = (lag.newest.text.clone(), lag.newest.event.clone());
        match self.look {
            // The line at the bottom shows it.
            Look::Bars => {}
            Look::Lines => self.within(&text, at),
            Look::Json => self.json(&event, at),
        }
    }

    /// Prints the last figure of each task: what comes next is about something else.
    fn settle(&mut self, at: Timestamp) {
        for (name, figure) in std::mem::take(&mut self.tasks) {
            let (task, event) = figure.newest;
            match self.look {
                Look::Json if figure.waits => self.json(&event, task.at),
                Look::Json => {}
                Look::Bars | Look::Lines => {
                    let line = self.named(&name, &task.result());
                    self.within(&line, at);
                }
            }
        }
        if self.look == Look::Json && self.lag.as_ref().is_some_and(|lag| lag.waits) {
            self.print_lag(at);
        }
        self.lag = None;
        self.clear();
    }

    /// The line at a terminal's bottom: what is being waited for, and for how long.
    fn wait_line(&mut self, now: Timestamp) {
        let mut parts = Vec::new();
        if let Some((why, from)) = &self.stopped {
            parts.push(format!("writes stopped for {} ({why})", running(*from, now)));
        }
        if let Some((_, step, from)) = &self.step {
            parts.push(format!("{}, {}", tame(step), running(*from, now)));
        }
        if let Some(lag) = &self.lag {
            parts.push(lag.newest.text.clone());
        }
        if parts.is_empty() {
            return;
        }
        self.bars.get_or_insert_with(|| Bars::new(self.colour)).wait(parts.join("; "));
    }

    fn clear(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }

    /// A text about a task, with its name where the step's doesn't say the same.
    fn named(&self, task: &str, text: &str) -> String {
        let known =
            self.look == Look::Lines && self.step.as_ref().is_some_and(|(_, step, _)| step == task);
        if known { text.to_string() } else { format!("{}: {text}", tame(task)) }
    }

    /// A line about the step at work.
    fn within(&mut self, text: &str, at: Timestamp) {
        self.say(text, at, true);
    }

    /// A line on stderr: with the time in a log, set in under its step on a terminal.
    fn say(&mut self, text: &str, at: Timestamp, within: bool) {
        let step = self.step.as_ref().filter(|_| within);
        let line = match (self.look, step) {
            (Look::Bars, Some(_)) => format!("       {text}"),
            (Look::Bars, None) => text.to_string(),
            (_, step) => {
                let time = at.strftime("%Y-%m-%dT%H:%M:%SZ");
                match step {
                    Some((label, _, _)) => format!("{time} {label}  {text}"),
                    None => format!("{time} {text}"),
                }
            }
        };
        self.err(&line);
    }

    fn json(&mut self, event: &Event, at: Timestamp) {
        // An event is made of texts and numbers: it always has a JSON form.
        if let Ok(line) = serde_json::to_string(&Stamped { at, event }) {
            self.out(&line);
        }
    }

    fn out(&mut self, line: &str) {
        let stdout = &mut self.stdout;
        put(self.bars.as_ref(), stdout.as_mut(), line);
    }

    fn err(&mut self, line: &str) {
        let stderr = &mut self.stderr;
        put(self.bars.as_ref(), stderr.as_mut(), line);
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// Writes a line in one piece. A reader that went away (`| head`) is no failure of ours.
fn put(bars: Option<&Bars>, to: &mut dyn Write, line: &str) {
    let mut text = String::with_capacity(line.len() + 1);
    text.push_str(line);
    text.push('\n');
    let mut write = || {
        let _gone = to.write_all(text.as_bytes()).and_then(|()| to.flush()).is_err();
    };
    match bars {
        Some(bars) => bars.aside(write),
        None => write(),
    }
}

/// A text of several lines without anything that a terminal would obey.
fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(tame).collect();
    lines.join("\n")
}

/// A running time, in tenths of a second so that it counts steadily.
fn running(from: Timestamp, to: Timestamp) -> String {
    let took = since(from, to) as f64;
    if took < 60_000.0 { format!("{:.1} s", took / 1000.0) } else { millis(took) }
}
