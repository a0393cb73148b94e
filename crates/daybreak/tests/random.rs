//! Schemas, keys and rows that nobody thought of: made from a seed, copied while a writer changes every
//! unique key of theirs, followed by replication, and compared by code that shares nothing with either.
//!
//! A failure prints its seed; `SEED=n` runs the same again, `CASES=n` says how many.

mod pair;
mod random {
    #[path = "../torture/look.rs"]
    pub mod look;
    pub mod schema;
    pub mod types;
    pub mod writer;
}

use std::{collections::BTreeMap, env, path::Path, sync::Arc, time::Duration};

use daybreak::{
    config::{Config, VerifyConfig, VerifyMode},
    engine::{
        Context, Entry, Journal, PositionBy, ReplicationMode, Route, Runner, StopReason, StopSignal,
    },
    error::Kind,
    event::Events,
    mysql::ServerUrl,
    route,
    select::Selection,
    sync::verify::{Liveness, Verdict, compare},
};
use mysql_async::{Conn, prelude::Queryable as _};
use proptest::{
    prelude::RngExt as _,
    test_runner::{RngAlgorithm, TestRng},
};
use random::{
    look::{Contents, contents, tables},
    schema::Case,
    types::Way,
    writer::Writer,
};
use rehearsal::server::{Product, Role, Server, ServerOptions};

/// How many cases are moved together.
const BATCH: u64 = 10;

/// So small that tables of some hundred rows are cut.
const CHUNK_BYTES: u64 = 2048;

const WAYS: [Way; 5] = [
    Way { from: Product::Mysql97, to: Product::Mysql97 },
    Way { from: Product::Mysql56, to: Product::Mysql97 },
    Way { from: Product::Mariadb1011, to: Product::Mariadb1011 },
    Way { from: Product::Mariadb1011, to: Product::Mysql97 },
    Way { from: Product::Mysql97, to: Product::Mariadb1011 },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_handful_of_random_schemas() {
    let mut cut = 0;
    for way in WAYS {
        cut += run(way, if way.is_modern() { 8 } else { 4 }).await;
    }
    assert!(cut > 0, "no copy was cut off");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn two_hundred_random_schemas() {
    run(WAYS[0], 200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-long"]
async fn two_hundred_random_schemas_between_others() {
    for way in &WAYS[1..] {
        run(*way, 50).await;
    }
}

/// Returns how many copies were cut off.
async fn run(way: Way, by_default: u64) -> u64 {
    let given = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = given("CASES").unwrap_or(by_default);
    let first = given("SEED").unwrap_or_else(|| rand::random_range(0..1_000_000_000));
    let mut cut = 0;
    for begin in (0..cases).step_by(BATCH as usize) {
        let count = BATCH.min(cases - begin);
        let seed = first + begin;
        eprintln!("{way:?}, {count} cases: SEED={seed} CASES={count}");
        cut += u64::from(batch(way, seed, count).await);
    }
    cut
}

/// Moves some cases together, each in a database of its own. Returns whether the copy was cut off.
async fn batch(way: Way, seed: u64, count: u64) -> bool {
    let gtids = way.is_modern() && seed.is_multiple_of(2);
    let by = if gtids { PositionBy::Gtid } else { PositionBy::File };
    let options = |product, role| {
        ServerOptions::new(product, role)
            .gtid(by == PositionBy::Gtid)
            .binlog(true)
            .durable(false)
            .buffer_pool_mib(64)
            .redo_log_mib(64)
    };
    let (source, target) = tokio::try_join!(
        Server::start(options(way.from, Role::Source)),
        Server::start(options(way.to, Role::AuroraStandin))
    )
    .unwrap();
    let (mut here, mut there) = (connect(&source).await, connect(&target).await);
    let cases: Vec<Case> = (0..count).map(|n| Case::random(n, way, &mut rng(seed + n))).collect();
    for case in &cases {
        let mut rng = rng(seed ^ (case.number << 32));
        for sql in case.sql(&mut rng) {
            here.query_drop(&sql).await.unwrap_or_else(|error| panic!("{sql:.3000}: {error}"));
        }
    }
    let databases: Vec<String> = cases.iter().map(Case::database).collect();
    pair::run(&mut here, "CREATE TABLE case_0.marker (n INT PRIMARY KEY)").await;

    // Where nothing replicates, nobody writes.
    let writer = way.replicates().then(|| Writer::start(source.root_url(), &cases, rng(seed)));
    if let Some(writer) = &writer {
        writer.has_begun().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut config = pair::config(&source.root_url(), &target.admin_url());
    config.select = Selection { databases: databases.clone(), ..Selection::default() };
    config.copy.chunk_bytes = CHUNK_BYTES;
    config.copy.threads = 2;
    config.replication.position = Some(by);
    if writer.is_none() {
        config.replication.mode = ReplicationMode::CopyOnly;
    }
    let before = writer.as_ref().map(Writer::written);
    let last = if writer.is_some() { "replicate" } else { "objects" };
    let chunks = rng(seed).random_range(0..10 * count);
    let context = migration(directory.path(), config.clone()).await;
    let ended = cut_off(context, chunks, last, &mut there)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{}", told(&cases)));
    if !ended {
        eprintln!("  resumed after {chunks} chunks");
        let context = context_of(directory.path(), config.clone());
        runner(context)
            .run(Some(last), false)
            .await
            .unwrap_or_else(|error| panic!("resumed after {chunks}: {error:?}\n{}", told(&cases)));
    }
    let mut unchanged = Vec::new();
    if let Some(writer) = writer {
        assert!(Some(writer.written()) > before, "nothing was written while the copy was made");
        unchanged = writer.stop().await;

        // The last transaction: with it, all others are there.
        pair::run(&mut here, "INSERT INTO case_0.marker VALUES (1)").await;
        pair::until("the target has all", async || {
            there.query_first("SELECT n FROM case_0.marker").await.unwrap() == Some(1)
        })
        .await;
    }

    let mut wrong = Vec::new();
    let mut rows = BTreeMap::new();
    for database in &databases {
        let names = tables(&mut here, database).await;
        assert_eq!(names, tables(&mut there, database).await);
        for name in names {
            let ours = contents(&mut here, database, &name, !way.with_mariadb()).await;
            let theirs = contents(&mut there, database, &name, !way.with_mariadb()).await;
            if ours != theirs {
                let lacks = |a: &Contents, b: &Contents| {
                    let rows = a.rows.iter().filter(|row| !b.rows.contains(row));
                    rows.take(3).map(|row| format!("{row:?}")).collect::<Vec<_>>().join(" ")
                };
                let (a, b) = (ours.rows.len(), theirs.rows.len());
                let (here, there) = (lacks(&ours, &theirs), lacks(&theirs, &ours));
                wrong.push(format!(
                    "{database}.{name}: {a} rows, {b} arrived; lacking: {here}; too many: {there}"
                ));
            }
            rows.insert(format!("{database}.{name}"), ours.rows.len());
        }
    }
    verified(&config, rows.len(), &mut wrong).await;
    for key in unchanged {
        // One that had no rows to change is no failure of anybody's.
        if rows.get(&key).is_some_and(|rows| *rows > 5) {
            wrong.push(format!("{key}: a unique key was never changed"));
        }
    }
    let cut: Option<u64> = there
        .query_first(
            "SELECT COUNT(*) FROM (SELECT table_name FROM daybreak.chunks WHERE table_name <> '' \
             GROUP BY table_schema, table_name HAVING COUNT(*) > 2) AS several",
        )
        .await
        .unwrap();
    assert!(cut > Some(0), "no table was cut");
    assert!(wrong.is_empty(), "seed {seed}:\n{}\n{}", wrong.join("\n"), told(&cases));
    !ended
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn told(cases: &[Case]) -> String {
    cases.iter().map(Case::told).collect::<Vec<_>>().join("\n")
}

async fn connect(server: &Server) -> Conn {
    let mut conn = server.connect_root().await.unwrap();
    pair::run(&mut conn, random::writer::SETTINGS).await;
    conn
}

async fn migration(directory: &Path, config: Config) -> Arc<Context> {
    let (plan, _) = route::make_plan(&config, Route::Logical, &Events::nowhere()).await.unwrap();
    let context = context_of(directory, config);
    context.journal.append(Entry::Planned { plan: Box::new(plan), consent: true }).unwrap();
    context
}

fn context_of(directory: &Path, config: Config) -> Arc<Context> {
    Arc::new(Context {
        config,
        directory: directory.to_path_buf(),
        journal: Arc::new(Journal::open(directory).unwrap()),
        events: Events::nowhere(),
        stop: StopSignal::default(),
        write_lock: tokio::sync::Mutex::new(None),
    })
}

fn runner(context: Arc<Context>) -> Runner {
    let steps = route::steps(&context.journal.plan().unwrap());
    Runner::new(context, steps).unwrap()
}

/// Begins a migration, and has it pause once the target has more than so many chunks. True: it had done its last
/// step before.
async fn cut_off(
    context: Arc<Context>,
    chunks: u64,
    last: &'static str,
    there: &mut Conn,
) -> daybreak::error::Result<bool> {
    let stop = context.stop.clone();
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let running = tokio::spawn(async move { runner(context).run(Some(last), false).await });
    while !running.is_finished() {
        look.tick().await;
        let counted = there.query_first("SELECT COUNT(*) FROM daybreak.chunks").await;
        // It isn't there from the beginning.
        if counted.is_ok_and(|counted: Option<u64>| counted > Some(chunks)) {
            stop.stop(StopReason::Pause);
            break;
        }
    }
    match running.await.unwrap() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::Paused => Ok(false),
        Err(error) => Err(error),
    }
}

/// Both modes of the verification say that each table is equal.
async fn verified(config: &Config, tables: usize, wrong: &mut Vec<String>) {
    let urls: [&ServerUrl; 2] = [&config.source, &config.target];
    for mode in [VerifyMode::Checksum, VerifyMode::Full] {
        let verify =
            VerifyConfig { mode, threads: 2, chunk_rows: 61, recheck: Duration::from_secs(60) };
        let (events, stop) = (Events::nowhere(), StopSignal::default());
        let report =
            compare(urls[0], urls[1], &config.select, &verify, Liveness::Detect, &events, &stop);
        let report = report.await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(report.tables.len(), tables);
        let unequal = report.tables.iter().filter(|table| table.verdict != Verdict::Equal);
        wrong.extend(unequal.map(|table| format!("{mode:?}: {table:?}")));
    }
}
