//! What is told of a backup while it is taken.

use std::sync::{Arc, Mutex};

use daybreak::{
    config::{BackupConfig, Config, Overrides},
    engine::{StopReason, StopSignal},
    error::Kind,
    event::{Event, Events},
    source::backup::{self, Request, Wanted},
};

use crate::{place::Place, support::until};

/// Bytes done and in all, and the words beside them.
type Figures = Vec<(u64, u64, String)>;

/// How far the tool says that it has read the redo log, in order.
fn scanned(log: &str) -> Vec<u64> {
    let said = log.lines().filter_map(|line| line.split_once("log scanned up to ("));
    said.filter_map(|(_, rest)| rest.split(')').next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_come_and_move() {
    let place = Place::start(2_000).await;
    let writer = place.writer().await;
    let url = place.server.root_url();
    let servers =
        Overrides { source: Some(url.clone()), target: Some(url), ..Overrides::default() };
    let config = Config::from_overrides(&servers).unwrap();
    let request = Request {
        source: config.source,
        // So slow that there is something to tell.
        config: BackupConfig {
            program: Some(place.tools.backup.clone()),
            throttle: Some(1),
            ..config.backup
        },
        to: place.backups(),
        name: None,
        wanted: Wanted::Full,
    };
    let seen = Arc::new(Mutex::new(Figures::new()));
    let events = Events::to({
        let seen = seen.clone();
        move |event| {
            if let Event::Progress { task, now, done, total: Some(total), .. } = event
                && task == "backup"
            {
                seen.lock().unwrap().push((*done, *total, now.clone()));
            }
        }
    });
    let stop = StopSignal::default();
    let taking = tokio::spawn({
        let (stop, events) = (stop.clone(), events.clone());
        async move { backup::take(&request, None, &stop, &events).await }
    });
    let log = place.backups().join("daybreak-full.log");
    let mut told = [false; 4];
    until("figures that move, or the backup's end", async || {
        let figures = seen.lock().unwrap();
        let says = |words: &str| figures.iter().any(|(_, _, now)| now.contains(words));
        let moved = figures.first().map(|first| first.0) < figures.last().map(|last| last.0);
        let redo = scanned(&std::fs::read_to_string(&log).unwrap_or_default());
        let now = [moved, redo.first() < redo.last(), says(" behind"), says(" left")];
        if now != told {
            // What is missing, should it wait in vain.
            println!("moved, redo, behind, left: {now:?}, {} figures, {redo:?}", figures.len());
            told = now;
        }
        now == [true; 4] || taking.is_finished()
    })
    .await;
    assert!(!taking.is_finished(), "{:?}: {:?}", taking.await, seen.lock().unwrap());
    stop.stop(StopReason::Pause);
    assert_eq!(taking.await.unwrap().unwrap_err().kind(), Kind::Paused);
    writer.stop().await.unwrap();
    let figures = seen.lock().unwrap();
    assert!(figures.windows(2).all(|pair| pair[0].0 <= pair[1].0), "it went back: {figures:?}");
    assert!(
        figures
            .iter()
            .all(|(done, total, now)| { *total > 0 && done <= total && now.starts_with("full") })
    );
}
