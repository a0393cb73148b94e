//! The moving part of a terminal: a bar for each task and a line that says what is waited for.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::Task;

/// How often a terminal is drawn, at most.
const HERTZ: u8 = 12;

/// The bars at the bottom of a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    tasks: HashMap<String, ProgressBar>,
    waiting: Option<ProgressBar>,
    colour: bool,
}

impl Bars {
    pub fn new(colour: bool) -> Self {
        Bars {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ)),
            tasks: HashMap::new(),
            waiting: None,
            colour,
        }
    }

    /// Does something with the bars out of the way.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.all.suspend(work)
    }

    /// Moves a task's bar; makes it if there is none.
    pub fn task(&mut self, name: &str, task: &Task, text: String) {
        let bar = match self.tasks.get(name) {
            Some(bar) => bar,
            None => {
                let bar = ProgressBar::new(0);
                let bar = match &self.waiting {
                    Some(waiting) => self.all.insert_before(waiting, bar),
                    None => self.all.add(bar),
                };
                bar.set_prefix(name.to_string());
                self.tasks.entry(name.to_string()).or_insert(bar)
            }
        };
        // Without a total, or past an estimate, there is no end to draw.
        let known = task.total.filter(|total| *total >= task.done && *total > 0);
        bar.set_style(style(self.colour, known.is_some()));
        bar.set_length(known.unwrap_or(0));
        bar.set_position(task.done);
        bar.set_message(text);
    }

    /// Says what is waited for, on the last line.
    pub fn wait(&mut self, text: String) {
        let bar = self.waiting.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            let template = if self.colour {
                "       {spinner:.cyan} {wide_msg}"
            } else {
                "       {spinner} {wide_msg}"
            };
            bar.set_style(styled(ProgressStyle::default_spinner(), template));
            bar
        });
        bar.set_message(text);
        bar.tick();
    }

    /// Takes all of them away.
    pub fn clear(&mut self) {
        for bar in self.tasks.drain().map(|(_, bar)| bar).chain(self.waiting.take()) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

fn style(colour: bool, known: bool) -> ProgressStyle {
    let base = ProgressStyle::default_bar();
    match (known, colour) {
        (true, true) => {
            styled(base, "       {prefix} {bar:20.cyan/dim} {wide_msg}").progress_chars("━╸─")
        }
        (true, false) => {
            styled(base, "       {prefix} [{bar:20}] {wide_msg}").progress_chars("=> ")
        }
        (false, _) => styled(base, "       {prefix} {wide_msg}"),
    }
}

/// A style by its template; the plain one if a template is wrong.
fn styled(style: ProgressStyle, template: &str) -> ProgressStyle {
    style.clone().template(template).unwrap_or(style)
}
