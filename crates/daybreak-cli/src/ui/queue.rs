//! What waits to be printed. Of progress only the newest figure of each task waits, so that the
//! queue stays short however fast events come and however slow a terminal is.

use std::collections::VecDeque;

use daybreak::event::Event;
use jiff::Timestamp;

/// Something to print.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// An event of the library.
    Event(Event),
    /// A line of the result.
    Line(String),
    /// A JSON document of the result.
    Document(String),
    /// A warning of the command itself.
    Warning(String),
    /// An error: what failed, and its further lines.
    Error(Vec<(&'static str, String)>),
}

impl Message {
    /// Whether a newer one of its task takes its place.
    pub fn is_figure(&self) -> bool {
        matches!(self, Message::Event(Event::Progress { .. } | Event::Lag { .. }))
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<(Message, Timestamp)>,
    closed: bool,
}

impl Queue {
    pub fn push(&mut self, message: Message, at: Timestamp) {
        // Not past anything else: a figure belongs to what was begun before it.
        let same = match task(&message) {
            None => None,
            Some(wanted) => self
                .messages
                .iter_mut()
                .rev()
                .map_while(|waiting| {
                    task(&waiting.0).map(|task| task == wanted).map(|same| (same, waiting))
                })
                .find_map(|(same, waiting)| same.then_some(waiting)),
        };
        match same {
            Some(waiting) => *waiting = (message, at),
            None => self.messages.push_back((message, at)),
        }
    }

    pub fn take(&mut self) -> VecDeque<(Message, Timestamp)> {
        std::mem::take(&mut self.messages)
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// The task whose figure a message is; none if it is something else.
fn task(message: &Message) -> Option<String> {
    match message {
        Message::Event(Event::Progress { task, .. }) => Some(format!("task {task}")),
        // That it was caught up once must not be lost.
        Message::Event(Event::Lag { caught_up, .. }) => Some(format!("lag {caught_up}")),
        _ => None,
    }
}
