//! `kill -9` at random moments of one long copy, which is resumed each time, while a writer changes every unique
//! key of the source: at each death rows and ledger agree, and in the end both sides do.
//!
//! The seed is printed; `SEED=n KILLS=n cargo test --workspace --test kill_copy five` does the same again.

mod support;

use std::path::Path;

use mysql_async::{Conn, prelude::Queryable as _};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use support::{
    faults::{Bench, Running},
    long_copy::{self, Writer, wish},
    until, was_killed_by,
};

/// How many lines of the ledger a process writes at most before it dies: less than there are in the end, so that
/// it is at work still.
const LINES: u64 = 28;

/// When a process dies.
#[derive(Debug)]
struct Moment {
    /// So many lines of the ledger were written by it; 0: its pass has begun.
    lines: u64,
    /// And then a transaction that is open has so many rows.
    rows: u64,
}

/// What is seen of a process at work.
struct Seen {
    pass: u64,
    lines: u64,
    rows: u64,
}

/// Looks at the target: the pass's number, lines of the ledger since a moment, and rows that aren't committed.
async fn look(target: &mut Conn, since: &str) -> Seen {
    // Before the first pass there is no ledger.
    let lines: Option<(Option<u64>, u64)> = target
        .exec_first(
            "SELECT CAST(MAX(IF(table_name = '', row_count, NULL)) AS UNSIGNED), \
             COUNT(IF(table_name <> '' AND loaded_at > ?, 1, NULL)) FROM daybreak.chunks",
            (since,),
        )
        .await
        .ok()
        .flatten();
    let rows: Option<u64> = target
        .query_first(
            "SELECT CAST(COALESCE(MAX(trx_rows_modified), 0) AS UNSIGNED) FROM information_schema.INNODB_TRX",
        )
        .await
        .unwrap();
    let (pass, lines) = lines.unwrap_or_default();
    Seen { pass: pass.unwrap_or_default(), lines, rows: rows.unwrap_or_default() }
}

/// A process that goes on with the copy and dies. False: it was done before.
async fn dies(target: &mut Conn, directory: &Path, moment: &Moment, what: &str) -> bool {
    let since: String = target.query_first("SELECT UTC_TIMESTAMP(6)").await.unwrap().unwrap();
    let before = look(target, &since).await;
    let run = Running::events(directory, &["resume", "--until", "rows"]);
    until(what, async || {
        let seen = look(target, &since).await;
        let begun = seen.pass > before.pass && seen.lines >= moment.lines;
        // One that commits meanwhile is as good.
        let within = seen.rows >= moment.rows || seen.lines > moment.lines + 1;
        run.is_finished() || (begun && within)
    })
    .await;
    run.signal(libc::SIGKILL);
    let ended = run.end().await;
    if was_killed_by(&ended.status, libc::SIGKILL) {
        return true;
    }
    assert_eq!(ended.code(), Some(0), "{what}: {}", ended.text);
    false
}

async fn killed(by_default: u64) {
    let seed = wish("SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let kills = wish("KILLS").unwrap_or(by_default);
    println!("SEED={seed} KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    let bench = Bench::start().await;
    let mut source = bench.pair.source_root().await;
    long_copy::tables(&mut source).await;
    let directory = bench.directory(long_copy::SETTINGS);
    let directory = directory.path();
    let ended = Running::events(directory, &["run", "--until", "schema"]).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);

    let writer = Writer::start(bench.pair.source.root_url(), seed);
    until("the writer writes", async || writer.written() > 10).await;
    // Slow enough to be looked at.
    bench.source_link.throttle(12_000_000);
    let mut target = bench.pair.target_root().await;
    let mut done = 0;
    while done < kills {
        let moment =
            Moment { lines: random.random_range(0..=LINES), rows: random.random_range(0..3_000) };
        let what = format!("SEED={seed}, kill {}: {moment:?}", done + 1);
        let written = writer.written();
        if dies(&mut target, directory, &moment, &what).await {
            done += 1;
            println!("{what}");
        } else {
            // Over sooner than it could be looked at: from the beginning.
            println!("{what}: it was done before");
            let undone = Running::events(directory, &["undo", "--to", "schema"]).end().await;
            assert_eq!(undone.code(), Some(0), "{what}: {}", undone.text);
        }
        long_copy::rows_and_ledger_agree(&mut target, &what).await;
        until("the writer goes on", async || writer.written() > written).await;
    }

    bench.source_link.pass().await;
    let why = format!("SEED={seed}: after {kills} kills");
    let ended = Running::events(directory, &["resume", "--until", "rows"]).end().await;
    assert_eq!(ended.code(), Some(0), "{why}: {}", ended.text);
    bench.keeps_secrets(directory, &ended);
    let chunks = long_copy::ledger_is_of_one_snapshot(&mut target, &why).await;
    assert!(chunks > LINES + 12, "{why}: {chunks} chunks");
    long_copy::ends_equal(&bench, directory, writer, &why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_times_killed_in_one_copy() {
    killed(5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn fifty_times_killed_in_one_copy() {
    killed(50).await;
}
