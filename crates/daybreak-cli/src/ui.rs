//! The only printer: results to stdout; progress, warnings and errors to stderr.
//!
//! On a terminal steps and bars move; elsewhere there are plain lines with the time; with `--json`
//! each event is one line of JSON on stdout, and stdout holds nothing but JSON. Whoever sends an
//! event never waits for a terminal or a pipe: it is put into a queue, of which a thread prints.
//! Nothing here knows what a migration is, decides anything, or exits.

mod bars;
mod queue;
mod render;
#[cfg(test)]
mod tests;
mod words;

use std::{
    io::IsTerminal as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use daybreak::{
    error::{Error, Kind},
    event::{Event, Events},
};
use jiff::Timestamp;
use serde::Serialize;

use queue::{Message, Queue};
use render::{Look, Renderer};

/// How often the thread looks whether something that waits is due, or a bar must move.
const TICK: Duration = Duration::from_millis(100);

/// What the flags say about printing.
#[derive(Debug, Clone, Copy)]
pub struct UiOptions {
    /// `--json`.
    pub json: bool,
    /// Not `--no-progress`: bars are wanted where there is a terminal.
    pub progress: bool,
}

/// The printer of one command.
pub struct Ui {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Held for moments only, and never while printing.
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Held while printing.
    renderer: Mutex<Renderer>,
}

impl Ui {
    /// A printer on this process's stdout and stderr.
    pub fn new(options: UiOptions) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let terminal = stderr.is_terminal() && variable("TERM").is_some_and(|term| term != "dumb");
        let look = if options.json {
            Look::Json
        } else if terminal && options.progress {
            Look::Bars
        } else {
            Look::Lines
        };
        let mut renderer = Renderer::new(look, Box::new(stdout), Box::new(stderr));
        renderer.colour = terminal && variable("NO_COLOR").is_none();
        renderer.tame_results = std::io::stdout().is_terminal();
        Self::over(renderer)
    }

    fn over(renderer: Renderer) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            renderer: Mutex::new(renderer),
        });
        let other = shared.clone();
        let thread = std::thread::Builder::new().name("ui".into()).spawn(move || other.print());
        // Without a thread, what is sent waits for the next result, or for the end.
        Ui { shared, thread: thread.ok() }
    }

    /// The receiver of the library's events.
    pub fn events(&self) -> Events {
        let shared = self.shared.clone();
        Events::to(move |event: &Event| shared.push(Message::Event(event.clone())))
    }

    /// Prints a line (or more) of the result. With `--json` it goes to stderr.
    pub fn line(&self, text: &str) {
        self.shared.push(Message::Line(text.to_string()));
        self.shared.drain();
    }

    /// Prints one JSON document of the result, on one line.
    pub fn document(&self, document: &impl Serialize) {
        match serde_json::to_string(document) {
            Ok(text) => self.shared.push(Message::Document(text)),
            Err(error) => {
                self.print_error(&Error::new(Kind::Bug, "a result has no JSON form").because(error))
            }
        }
        self.shared.drain();
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        self.shared.push(Message::Warning(text.to_string()));
        self.shared.drain();
    }

    /// Prints what failed, where, and what to do next.
    pub fn print_error(&self, error: &Error) {
        self.shared.push(Message::Error(words::error(error)));
        self.shared.drain();
    }
}

impl Drop for Ui {
    /// Prints what is still to be printed.
    fn drop(&mut self) {
        self.shared.queue().close();
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left its messages to us.
            let _panicked = thread.join().is_err();
        }
        self.shared.drain();
        self.shared.renderer().finish(Timestamp::now());
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renderer(&self) -> MutexGuard<'_, Renderer> {
        self.renderer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: Message) {
        // Figures come by the thousand: the next tick is early enough for them.
        let wakes = !message.is_figure();
        self.queue().push(message, Timestamp::now());
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Prints all that is in the queue, on the caller's thread.
    fn drain(&self) {
        // The renderer first, so that two drains can't change the order.
        let mut renderer = self.renderer();
        let messages = self.queue().take();
        for (message, at) in messages {
            renderer.show(message, at);
        }
    }

    /// The thread's work: prints until the queue is closed.
    fn print(&self) {
        loop {
            {
                let queue = self.queue();
                if queue.is_closed() {
                    return;
                }
                if queue.is_empty() {
                    let _woken = self.wake.wait_timeout(queue, TICK);
                }
            }
            self.drain();
            self.renderer().tick(Timestamp::now());
        }
    }
}
