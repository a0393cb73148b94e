//! What the library tells while it works. It never prints; whoever holds the sink decides how an
//! event looks: a bar, a line in a log, a line of JSON.

use std::sync::Arc;

use serde::Serialize;

/// How much an event matters to a reader of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Of interest when something is being looked into.
    Detail,
    /// Of interest to everyone.
    Info,
    /// Needs a person's attention, but nothing stopped.
    Warning,
}

/// What a progress figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Rows of tables.
    Rows,
    /// Tables.
    Tables,
    /// Views, routines, triggers, events.
    Objects,
    /// Bytes.
    Bytes,
    /// Files of a backup, or objects of a bucket.
    Files,
}

/// One thing that happened. The JSON form is stable and documented in the README.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step begins.
    StepStarted {
        /// The step's name, as in the plan.
        step: String,
        /// One line for a person.
        title: String,
        /// Its place in the plan, from 1.
        number: usize,
        /// How many steps the plan has.
        of: usize,
    },
    /// A step's work is done, and the world was asked whether it holds.
    StepVerified {
        /// The step's name.
        step: String,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed; the migration pauses.
    StepFailed {
        /// The step's name.
        step: String,
        /// The error, as it is printed.
        error: String,
    },
    /// A step's effects were taken back.
    StepUndone {
        /// The step's name.
        step: String,
    },
    /// Where a task stands. Sent often; a receiver may drop any but the last one of a task.
    Progress {
        /// The task, such as `rows`, `indexes` or `verify`.
        task: String,
        /// What is being worked on now, such as a table.
        now: String,
        /// Units done.
        done: u64,
        /// Units in all, if known; an estimate for rows.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
        /// Bytes moved so far, where bytes move.
        bytes: u64,
    },
    /// How far the target is behind.
    Lag {
        /// Seconds, by the heartbeat row; unknown without one.
        seconds: Option<f64>,
        /// Whether the target has executed all that the source had committed when it was asked.
        caught_up: bool,
    },
    /// The source stopped taking writes.
    WritesStopped {
        /// Why: `snapshot` or `cutover`.
        why: String,
    },
    /// The stop ended.
    WritesResumed {
        /// Why it had been.
        why: String,
        /// How long writes were stopped, in milliseconds.
        millis: f64,
        /// Whether writes go to the target from now on.
        on_target: bool,
    },
    /// A line for the reader.
    Note {
        /// How much it matters.
        level: Level,
        /// The line.
        text: String,
    },
}

/// Where events go.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    /// Sends every event to a function, which must not block.
    pub fn to(receiver: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Events(Arc::new(receiver))
    }

    /// Drops them.
    pub fn nowhere() -> Self {
        Events(Arc::new(|_| {}))
    }

    /// Sends one.
    pub fn send(&self, event: Event) {
        (self.0)(&event);
    }

    /// Sends a line of interest to everyone.
    pub fn info(&self, text: impl Into<String>) {
        self.send(Event::Note { level: Level::Info, text: text.into() });
    }

    /// Sends a line that needs attention.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(Event::Note { level: Level::Warning, text: text.into() });
    }

    /// Sends a line of interest only when something is being looked into.
    pub fn detail(&self, text: impl Into<String>) {
        self.send(Event::Note { level: Level::Detail, text: text.into() });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
