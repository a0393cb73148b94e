//! What is printed, line by line, with the clock in the test's hand.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use daybreak::{
    error::{Error, Kind},
    event::{Event, Level, Unit},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    Ui,
    queue::{Message, Queue},
    render::{Look, Renderer},
    words,
};

/// What was written, for the test to read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Desk {
    renderer: Renderer,
    now: Timestamp,
    stdout: Paper,
    stderr: Paper,
}

impl Desk {
    fn new(look: Look) -> Self {
        let (stdout, stderr) = (Paper::default(), Paper::default());
        Desk {
            renderer: Renderer::new(look, Box::new(stdout.clone()), Box::new(stderr.clone())),
            now: "2026-03-01T07:58:13Z".parse().unwrap(),
            stdout,
            stderr,
        }
    }

    /// Lets time pass, as the thread would see it.
    fn wait(&mut self, millis: i64) -> &mut Self {
        for _ in 0..millis / 100 {
            self.now += SignedDuration::from_millis(100);
            self.renderer.tick(self.now);
        }
        self
    }

    fn show(&mut self, message: Message) -> &mut Self {
        self.renderer.show(message, self.now);
        self
    }

    fn send(&mut self, event: Event) -> &mut Self {
        self.show(Message::Event(event))
    }
}

fn rows(done: u64, now: &str) -> Event {
    Event::Progress {
        task: "rows".into(),
        now: now.into(),
        done,
        total: Some(100_000),
        unit: Unit::Rows,
        bytes: done * 100,
    }
}

fn a_step(desk: &mut Desk) {
    desk.send(Event::StepStarted {
        step: "rows".into(),
        title: "copies the rows from one snapshot".into(),
        number: 4,
        of: 10,
    });
    desk.wait(100).send(Event::WritesStopped { why: "snapshot".into() });
    desk.wait(100).send(Event::WritesResumed {
        why: "snapshot".into(),
        millis: 12.4,
        on_target: false,
    });
    for n in 0..=100u64 {
        desk.send(rows(n * 990, if n < 60 { "shop.orders" } else { "shop.\u{1b}[2Jevil" }));
        desk.send(Event::Lag { seconds: Some(0.2), caught_up: false });
        desk.wait(100);
    }
    desk.send(Event::Note { level: Level::Detail, text: "not for everyone".into() });
    desk.send(Event::Note { level: Level::Warning, text: "two\nlines".into() });
    desk.send(Event::StepVerified { step: "rows".into(), millis: 10_300 });
    desk.send(Event::StepStarted {
        step: "indexes".into(),
        title: "builds".into(),
        number: 5,
        of: 10,
    });
    desk.send(Event::StepFailed {
        step: "indexes".into(),
        error: "the connection was cut\n  where: target".into(),
    });
    desk.send(Event::StepUndone { step: "rows".into() });
}

#[test]
fn a_log_has_lines_now_and_then() {
    let mut desk = Desk::new(Look::Lines);
    a_step(&mut desk);
    desk.show(Message::Line("the result".into()));
    assert_eq!(desk.stdout.text(), "the result\n");
    insta::assert_snapshot!(desk.stderr.text(), @r"
    2026-03-01T07:58:13Z [4/10] rows  copies the rows from one snapshot
    2026-03-01T07:58:13Z [4/10] rows  writes on the source are stopped (snapshot)
    2026-03-01T07:58:13Z [4/10] rows  writes go on at the source after 12 ms (snapshot)
    2026-03-01T07:58:13Z [4/10] rows  0%, 0 of about 100,000 rows, shop.orders
    2026-03-01T07:58:13Z [4/10] rows  lag 200 ms, catching up
    2026-03-01T07:58:18Z [4/10] rows  48%, 6 s left, 48,510 of about 100,000 rows, 9,900 rows/s, 4.6 MiB, shop.orders
    2026-03-01T07:58:23Z [4/10] rows  98%, 1 s left, 98,010 of about 100,000 rows, 9,900 rows/s, 9.3 MiB, shop.\u{1b}[2Jevil
    2026-03-01T07:58:23Z [4/10] rows  warning: two
           lines
    2026-03-01T07:58:23Z [4/10] rows  99,000 rows, 9.4 MiB in 10.0 s (9,900 rows/s, 0.9 MiB/s)
    2026-03-01T07:58:23Z [4/10] rows  ok 10.3 s
    2026-03-01T07:58:23Z [5/10] indexes  builds
    2026-03-01T07:58:23Z [5/10] indexes  failed: the connection was cut
    2026-03-01T07:58:23Z undone rows
    ");
}

#[test]
fn json_is_all_that_is_on_stdout() {
    let mut desk = Desk::new(Look::Json);
    a_step(&mut desk);
    desk.show(Message::Line("for people".into()));
    desk.show(Message::Document(r#"{"result":1}"#.into()));
    assert_eq!(desk.stderr.text(), "for people\n");
    let text = desk.stdout.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let figures: Vec<u64> = lines
        .iter()
        .filter(|line| line["event"] == "progress")
        .map(|line| line["done"].as_u64().unwrap())
        .collect();
    // Ten seconds: about one a second, the first and the last among them.
    assert!((10..=13).contains(&figures.len()), "{figures:?}");
    assert_eq!((figures[0], figures[figures.len() - 1]), (0, 99_000));
    assert_eq!(lines[0]["event"], "step_started");
    assert_eq!(lines[0]["at"], "2026-03-01T07:58:13Z");
    assert_eq!(lines[lines.len() - 1], serde_json::json!({"result": 1}));
    let verified = text.lines().position(|line| line.contains("step_verified")).unwrap();
    let last = text.lines().position(|line| line.contains("\"done\":99000")).unwrap();
    assert!(last < verified, "a figure came after the end of its step");
}

#[test]
fn a_task_that_is_complete_says_so_once() {
    let mut desk = Desk::new(Look::Lines);
    for done in [0, 50_000, 100_000, 100_000, 100_000] {
        desk.wait(600).send(rows(done, ""));
    }
    desk.renderer.finish(desk.now);
    insta::assert_snapshot!(desk.stderr.text(), @r"
    2026-03-01T07:58:13Z rows: 0%, 0 of about 100,000 rows
    2026-03-01T07:58:14Z rows: 100,000 rows, 83,333 rows/s, 9.5 MiB
    2026-03-01T07:58:16Z rows: 100,000 rows, 9.5 MiB in 2.40 s (41,666 rows/s, 4.0 MiB/s)
    ");
}

#[test]
fn a_figure_that_stays_is_printed_in_time() {
    let mut desk = Desk::new(Look::Lines);
    desk.send(rows(1, "")).send(rows(2, ""));
    assert_eq!(desk.stderr.text().lines().count(), 1);
    desk.wait(4_900);
    assert_eq!(desk.stderr.text().lines().count(), 1);
    desk.wait(200);
    assert_eq!(desk.stderr.text().lines().count(), 2);
    desk.wait(60_000);
    assert_eq!(desk.stderr.text().lines().count(), 2, "nothing new, nothing printed");
}

#[test]
fn errors_are_aligned() {
    let error = Error::new(Kind::Sql, "the chunk could not be loaded")
        .because(std::io::Error::other("disk\nfull"))
        .at("target 127.0.0.1:3307, shop.o\u{1b}rders")
        .next("free space, then `daybreak resume`");
    let mut desk = Desk::new(Look::Lines);
    desk.show(Message::Error(words::error(&error)));
    desk.show(Message::Warning("mind the gap".into()));
    assert_eq!(desk.stdout.text(), "");
    insta::assert_snapshot!(desk.stderr.text(), @r"
    error: the chunk could not be loaded: disk
           full
    where: target 127.0.0.1:3307, shop.o\u{1b}rders
    next:  free space, then `daybreak resume`
    warning: mind the gap
    ");
}

#[test]
fn colours_are_for_terminals() {
    let mut desk = Desk::new(Look::Lines);
    a_step(&mut desk);
    assert!(!desk.stderr.text().contains('\u{1b}'));
    let mut desk = Desk::new(Look::Lines);
    desk.renderer.colour = true;
    desk.send(Event::StepVerified { step: "rows".into(), millis: 12_345 });
    assert!(desk.stderr.text().contains("\u{1b}[32mok\u{1b}[0m 12.3 s"), "{}", desk.stderr.text());
}

#[test]
fn results_for_programs_stay_as_they_are() {
    let mut desk = Desk::new(Look::Lines);
    desk.renderer.tame_results = false;
    desk.show(Message::Line("a\u{202e}b\n".into()));
    desk.renderer.tame_results = true;
    desk.show(Message::Line("a\u{202e}b\u{7}".into()));
    assert_eq!(desk.stdout.text(), "a\u{202e}b\na\\u{202e}b\\u{7}\n");
}

#[test]
fn only_the_newest_figure_waits() {
    let mut queue = Queue::default();
    let at = Timestamp::UNIX_EPOCH;
    let lag = |caught_up| Message::Event(Event::Lag { seconds: None, caught_up });
    for n in 0..1000 {
        queue.push(Message::Event(rows(n, "")), at);
        queue.push(lag(n == 500), at);
    }
    queue.push(Message::Line("between".into()), at);
    queue.push(Message::Event(rows(1000, "")), at);
    let kept: Vec<Message> = queue.take().into_iter().map(|(message, _)| message).collect();
    // Rows, both kinds of lag, the line, and the figure that came after it.
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert!(matches!(&kept[0], Message::Event(Event::Progress { done: 999, .. })));
    assert!(matches!(&kept[4], Message::Event(Event::Progress { done: 1000, .. })));
    assert!(queue.is_empty());
}

#[test]
fn many_senders_lose_nothing() {
    let (stdout, stderr) = (Paper::default(), Paper::default());
    let ui =
        Ui::over(Renderer::new(Look::Json, Box::new(stdout.clone()), Box::new(stderr.clone())));
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let events = ui.events();
            scope.spawn(move || {
                for n in 0..100 {
                    events.info(format!("{sender}/{n}"));
                    events.send(rows(n, ""));
                }
            });
        }
    });
    ui.line("in time");
    assert_eq!(stderr.text(), "in time\n");
    let events = ui.events();
    events.info("the last");
    drop(ui);
    let text = stdout.text();
    assert_eq!(text.lines().filter(|line| line.contains("\"note\"")).count(), 801);
    assert!(text.lines().any(|line| line.contains("the last")), "{text}");
    // Each sender's events are in its order.
    for sender in 0..8 {
        let at = |n| text.find(&format!("\"{sender}/{n}\"")).unwrap();
        assert!((1..100).all(|n| at(n - 1) < at(n)));
    }
    // Nobody listens any more; nothing breaks.
    events.info("too late");
}

#[test]
fn a_reader_that_went_away_stops_nothing() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let ui = Ui::over(Renderer::new(Look::Lines, Box::new(Gone), Box::new(Gone)));
    ui.events().info("a");
    ui.line("b");
    ui.document(&1);
}
