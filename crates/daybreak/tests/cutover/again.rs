//! A cutover that was interrupted past the point of no return while the source went on: the source is
//! followed again, and nothing of the attempt stays.

use super::{
    killed::{go_on, last, named, past_no_return},
    *,
};
use daybreak::{config::HookCommand, engine::Journal};

/// A hook that leaves a line in a file of the migration's directory.
fn writes_down(file: &str) -> Option<HookCommand> {
    let line = format!("echo \"$DAYBREAK_EVENT: $DAYBREAK_REASON\" >> {file}");
    Some(HookCommand { argv: vec!["sh".into(), "-c".into(), line], timeout: pair::PATIENCE })
}

fn lines(pair: &Pair, file: &str) -> usize {
    let text = std::fs::read_to_string(pair.directory.path().join(file)).unwrap_or_default();
    text.lines().count()
}

/// Goes on in a process that is killed when its entry of that number is on disk.
async fn killed_after(pair: &Pair, entries: u64, wanted: &str) {
    let output = go_on(pair, &format!("{}:effect", last(pair).0 + entries)).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none(), "to be killed at {wanted}, but: {text}");
    assert_eq!(named(&last(pair).1), wanted, "{text}");
}

async fn read_only(pair: &Pair) -> (i64, i64) {
    let switch = "SELECT @@GLOBAL.read_only";
    (number(&pair.source, switch).await, number(&pair.target, switch).await)
}

/// Killed when the target is open, and on the way back: at no time do both sides take writes for good,
/// what replication then writes to the target is no second history, and undo is allowed again.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_followed_again_and_nothing_stays() {
    for by in [PositionBy::Gtid, PositionBy::File] {
        let pair = Pair::start(Role::AuroraStandin, by).await;
        drop(pair.replicate().await);
        let mut target = pair.target.connect_root().await.unwrap();
        run(&mut target, "SET GLOBAL read_only = ON").await;
        // Taken up, consent used, begun, closing, fence (twice where the procedures write), no return.
        for entries in 1.. {
            assert!(entries < 10, "no point of no return");
            drop(go_on(&pair, &format!("{}:synced", last(&pair).0 + entries)).await);
            if named(&last(&pair).1) == "point_of_no_return" {
                break;
            }
        }
        killed_after(&pair, 3, "point_of_no_return").await;
        assert_eq!(read_only(&pair).await, (1, 0), "{by:?}: it was to be killed when all is done");

        // Somebody opens the source again, and it goes on.
        let mut source = pair.source.connect_root().await.unwrap();
        run(&mut source, "SET GLOBAL read_only = OFF").await;
        let writer = Writer::start(pair.source.root_url(), 100);
        writer.goes_on().await;
        // Taken up, begun, lifted, source_set, started: replication runs, and nobody was told.
        killed_after(&pair, 5, "started").await;
        writer.goes_on().await;
        pair::until("the target follows", async || Pair::rows(&pair.target).await.len() > 5).await;
        assert_eq!(read_only(&pair).await, (0, 1), "{by:?}: the target is as it was");
        let state = Journal::open(pair.directory.path()).unwrap().state();
        assert!(!state.past_no_return && !state.consent, "{by:?}");

        // Neither a false second history, nor another attempt without a word; undo is allowed.
        let context = pair.context(pair.config(), Events::nowhere());
        let runner = pair.runner(&context);
        let standing = runner.run(None, false).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(standing, Standing::WantsConsent("cutover".into()), "{by:?}");
        let mut watch = session(&pair.target, Side::Target).await;
        assert!(replicate::is_running_replica(&mut watch).await.unwrap(), "{by:?}");
        runner.undo(Some("replicate")).await.unwrap_or_else(|error| panic!("{error}"));
        runner.run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
        let acknowledged = writer.stop().await;
        assert_whole(&pair, &acknowledged).await;
        assert_eq!(read_only(&pair).await, (1, 0), "{by:?}");
    }
}

/// Past the point of no return each attempt is a whole write stop: one that fails isn't made again by
/// itself, whatever it failed by.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_fails_is_not_tried_again_by_itself() {
    let mut pair = past_no_return(PositionBy::Gtid).await;
    let pid = i32::try_from(pair.target.pid()).unwrap();
    let stops = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = stops.clone();
    let ending = Events::to(move |event| {
        if matches!(event, Event::Note { text, .. } if text.starts_with("writes are stopped by")) {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // SAFETY: a signal to a child process of this test that nobody has waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    });
    let context = pair.context(pair.config(), ending);
    let error = pair.runner(&context).run(None, false).await.unwrap_err();
    assert_eq!(stops.load(std::sync::atomic::Ordering::SeqCst), 1, "{error}");
    assert_eq!(error.kind(), Kind::State, "{error}");
    let next = error.next_step().unwrap();
    assert!(next.contains("the source takes writes again"), "{error}");
    assert!(next.contains("`daybreak resume`"), "{error}");
    assert!(pair.source_takes_writes().await);
    pair.target.kill().await;
}

/// Wherever the source has its writes back `on_abort` is told, once.
#[tokio::test(flavor = "multi_thread")]
async fn on_abort_is_told_past_no_return_too() {
    let pair = past_no_return(PositionBy::Gtid).await;
    let pid = i32::try_from(pair.target.pid()).unwrap();
    // SAFETY: signals to a child process of this test.
    let signal = move |what| unsafe { libc::kill(pid, what) };
    let freezing = Events::to(move |event| {
        if matches!(event, Event::Note { text, .. } if text.starts_with("writes are stopped by")) {
            signal(libc::SIGSTOP);
        }
    });
    let config = |stop| {
        let mut config = pair.config();
        config.cutover.max_write_stop = Duration::from_secs(stop);
        config.hooks.before_write_stop = writes_down("asked");
        config.hooks.on_abort = writes_down("aborted");
        config
    };
    // The switch is given up: the target hangs.
    let context = pair.context(config(1), freezing);
    let error = pair.runner(&context).run(None, false).await.unwrap_err();
    signal(libc::SIGCONT);
    assert_eq!(error.kind(), Kind::WriteStopExceeded, "{error}");
    assert_eq!((lines(&pair, "asked"), lines(&pair, "aborted")), (0, 1), "{error}");
    drop(context);

    // Switched, and killed; somebody opens the source: it is followed again, and that is told.
    killed_after(&pair, 3, "point_of_no_return").await;
    assert_eq!(read_only(&pair).await, (1, 0));
    let mut source = pair.source.connect_root().await.unwrap();
    run(&mut source, "SET GLOBAL read_only = OFF").await;
    run(&mut source, "INSERT INTO shop.t VALUES (500, 'on the source')").await;
    let context = pair.context(config(20), Events::nowhere());
    context.journal.append(Entry::Resumed { version: "t".into(), consent: false }).unwrap();
    context.journal.append(Entry::StepStarted { step: "cutover".into() }).unwrap();
    context.journal.record("cutover", "closing", &()).unwrap();
    pair.runner(&context).run(None, false).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((lines(&pair, "asked"), lines(&pair, "aborted")), (1, 2));
    assert_whole(&pair, &[500]).await;
}

/// Of two histories a person chooses the target's: it is completed, whatever the source wrote before. What
/// it writes after that is no part of the choice.
pub(super) async fn the_target_is_chosen(pair: &Pair) {
    let mut target = pair.target.connect_admin().await.unwrap();
    run(&mut target, "INSERT INTO shop.t VALUES (500, 'brought by hand')").await;
    let mut config = pair.config();
    config.cutover.target_is_the_truth = true;
    let context = pair.context(config, Events::nowhere());
    pair.runner(&context).run(None, true).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(context.journal.state().phase, daybreak::engine::Phase::Completed);
    assert_eq!(read_only(pair).await, (1, 0));
    let here: Vec<i64> = Pair::rows(&pair.target).await.into_iter().map(|(id, _)| id).collect();
    assert!(here.contains(&500) && here.contains(&501), "{here:?}");
}

/// The choice is written down with where the source stood: killed there, going on needs no other, until
/// the source goes on once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_is_for_what_the_source_had_written() {
    let pair = past_no_return(PositionBy::File).await;
    let mut source = pair.source.connect_root().await.unwrap();
    let mut target = pair.target.connect_admin().await.unwrap();
    run(&mut source, "INSERT INTO shop.t VALUES (500, 'on the source')").await;
    run(&mut target, "INSERT INTO shop.t VALUES (501, 'on the target')").await;
    let mut watch = session(&pair.source, Side::Source).await;
    let choose = async || {
        let now = daybreak::mysql::Coordinates::read(&mut watch).await.unwrap();
        let journal = Journal::open(pair.directory.path()).unwrap();
        journal.append(Entry::Resumed { version: "t".into(), consent: true }).unwrap();
        journal.append(Entry::StepStarted { step: "cutover".into() }).unwrap();
        journal.record("cutover", "truth", &now).unwrap();
    };
    let mut choose = choose;
    choose().await;
    run(&mut source, "INSERT INTO shop.t VALUES (502, 'once more')").await;
    let context = pair.context(pair.config(), Events::nowhere());
    let error = pair.runner(&context).run(None, false).await.unwrap_err();
    assert!(error.what().contains("both sides may have been written"), "{error}");
    assert!(error.next_step().unwrap().contains("--target-is-the-truth"), "{error}");
    assert!(pair.source_takes_writes().await);
    drop(context);
    choose().await;
    let context = pair.context(pair.config(), Events::nowhere());
    pair.runner(&context).run(None, false).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read_only(&pair).await, (1, 0));
}

/// Where there is nothing to choose, saying so doesn't make a cutover of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_nobody_has_is_refused() {
    let pair = Pair::start(Role::AuroraStandin, PositionBy::Gtid).await;
    drop(pair.replicate().await);
    let mut config = pair.config();
    config.cutover.target_is_the_truth = true;
    let context = pair.context(config, Events::nowhere());
    let error = pair.runner(&context).run(None, true).await.unwrap_err();
    assert!(error.what().contains("nothing to choose"), "{error}");
    assert!(pair.source_takes_writes().await);
}
