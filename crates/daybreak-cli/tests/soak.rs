//! `kill -9` at random moments of whole runs, of the program, the source and the target alike, under a
//! writer that never gives up; then `resume` until the end. No acknowledged commit is lost or doubled.
//!
//! Run by `make soak` (`KILLS`, `SEED`); the seed is printed.

mod support;

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::{Conn, prelude::Queryable as _};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rehearsal::{server::Server, watch::until_within};
use support::{Pair, daybreak, output, said, try_connect};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

/// How often a run is resumed before it counts as stuck.
const RESUMES: usize = 12;

/// Writes to a table without a key, one row a transaction, numbered without gaps. A commit whose
/// acknowledgement was lost is looked for before it is tried again.
struct Writer {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(url: String) -> Writer {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, done) = (acknowledged.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut conn: Option<Conn> = None;
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !done.load(Ordering::SeqCst) {
                pace.tick().await;
                let mut connected = match conn.take() {
                    Some(conn) => conn,
                    None => match try_connect(&url).await {
                        Ok(conn) => conn,
                        Err(_) => continue,
                    },
                };
                let next = count.load(Ordering::SeqCst) + 1;
                match write(&mut connected, next).await {
                    Ok(()) => count.store(next, Ordering::SeqCst),
                    // 1290: closed for good.
                    Err(mysql_async::Error::Server(error)) if error.code == 1290 => return,
                    // A statement that was ended (1317), a deadlock with a lock of ours (1213), or the
                    // server is gone: again, on a new connection.
                    Err(_) => continue,
                }
                conn = Some(connected);
            }
        });
        Writer { acknowledged, stop, task }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

async fn write(conn: &mut Conn, next: u64) -> Result<(), mysql_async::Error> {
    let there: Option<u64> =
        conn.exec_first("SELECT COUNT(*) FROM shop.soak_log WHERE n = ?", (next,)).await?;
    if there == Some(0) {
        conn.exec_drop("INSERT INTO shop.soak_log VALUES (?, NOW(6))", (next,)).await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Program,
    Source,
    Target,
}

/// Ends the victim as a power cut would; a server comes back after a while.
async fn strike(pair: &mut Pair, program: &mut Child, victim: Victim, away: Duration) {
    let server: &mut Server = match victim {
        Victim::Program => {
            program.kill().unwrap();
            return;
        }
        Victim::Source => &mut pair.source,
        Victim::Target => &mut pair.target,
    };
    server.kill().await;
    tokio::time::sleep(away).await;
    server.restart().await.unwrap();
}

/// One migration, killed at a random moment of `length` if it still runs then. Returns how long it took
/// if it wasn't.
async fn round(
    pair: &mut Pair,
    number: usize,
    length: Duration,
    random: &mut StdRng,
) -> (Victim, Option<Duration>) {
    pair.reset().await;
    let mut root = pair.source_root().await;
    root.query_drop("DROP TABLE IF EXISTS shop.soak_log").await.unwrap();
    root.query_drop("CREATE TABLE shop.soak_log (n BIGINT, at DATETIME(6))").await.unwrap();
    drop(root);
    let directory = pair.directory("");
    let writer = Writer::start(pair.source.root_url());
    let victim = [Victim::Program, Victim::Source, Victim::Target][number % 3];
    // The first is left alone: it tells how long one takes.
    let moment = match number {
        0 => length,
        _ => random.random_range(Duration::ZERO..length),
    };
    let away = random.random_range(Duration::ZERO..Duration::from_secs(2));
    let what = format!("round {number}: {victim:?} killed after {moment:?}, away for {away:?}");

    let mut command = daybreak(directory.path(), &["run", "--yes", "--no-progress"]);
    let log = std::fs::File::create(directory.path().join("first-run.txt")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(Stdio::from(log));
    let begun = Instant::now();
    let mut program = command.spawn().unwrap();
    let end =
        until_within(Duration::MAX, "its end", async || program.try_wait().unwrap().is_some());
    // The moment of the kill, unless it ends before.
    let ended = tokio::time::timeout(moment, end).await.is_ok().then(|| begun.elapsed());
    if ended.is_none() {
        strike(pair, &mut program, victim, away).await;
    }
    let mut status = tokio::task::spawn_blocking(move || program.wait().unwrap()).await.unwrap();
    let mut last = std::fs::read_to_string(directory.path().join("first-run.txt")).unwrap();
    let mut resumes = 0;
    while !status.success() {
        resumes += 1;
        assert!(resumes <= RESUMES, "{what}: stuck\n{last}");
        // Killed before there was anything to resume: begun again.
        let verb = if directory.path().join("journal.db").exists() { "resume" } else { "run" };
        let mut again = output(daybreak(directory.path(), &[verb, "--yes", "--no-progress"])).await;
        if !again.status.success() && said(&again).contains("there is no plan yet") {
            again = output(daybreak(directory.path(), &["run", "--yes", "--no-progress"])).await;
        }
        (status, last) = (again.status, said(&again));
    }

    let acknowledged = writer.end().await;
    let mut target = pair.target_root().await;
    let (there, different): (u64, u64) = target
        .query_first("SELECT COUNT(*), COUNT(DISTINCT n) FROM shop.soak_log")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(there, different, "{what}: a commit is doubled\n{last}");
    assert!(there >= acknowledged, "{what}: {acknowledged} acknowledged, {there} there\n{last}");
    let highest: Option<u64> =
        target.query_first("SELECT COALESCE(MAX(n), 0) FROM shop.soak_log").await.unwrap();
    assert_eq!(highest, Some(there), "{what}: a commit is missing\n{last}");
    pair.assert_equal(&what);
    let mut root = pair.source_root().await;
    let closed: u8 = root.query_first("SELECT @@GLOBAL.super_read_only").await.unwrap().unwrap();
    assert_eq!(closed, 1, "{what}: the source is open\n{last}");
    let how = if ended.is_none() { "struck" } else { "had ended" };
    println!("{what}: {how}, {resumes} resumes, {acknowledged} commits");
    (victim, ended)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn killed_at_random_moments() {
    let wish = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = wish("SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let kills = wish("KILLS").unwrap_or(100);
    println!("SEED={seed} KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    // What a killed server acknowledged is there when it comes back, and so are its settings.
    let mut pair = Pair::start_with(true, 500, |_, options| {
        options.durable(true).arg("--log-bin-trust-function-creators=1")
    })
    .await;
    let mut struck: BTreeMap<Victim, u64> = BTreeMap::new();
    // Long enough to end; from then on as long as the last one that did.
    let (mut number, mut length) = (0, Duration::from_secs(600));
    while struck.values().sum::<u64>() < kills {
        let (victim, ended) = round(&mut pair, number, length, &mut random).await;
        match ended {
            Some(took) => length = took,
            None => *struck.entry(victim).or_default() += 1,
        }
        number += 1;
    }
    println!("SEED={seed}: {number} runs, killed: {struck:?}; no commit lost, none doubled");
}
