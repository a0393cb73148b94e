//! Two real servers, a tiny shop copied by hand, a writer, and a migration over both.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use daybreak::{
    config::{Config, Overrides},
    engine::{
        Context, Finding, Fingerprint, Journal, Plan, PlannedStep, PositionBy, Route, Runner, Step,
        StopSignal,
    },
    error::Result,
    event::{Event, Events},
    mysql::{Coordinates, Session},
    select::Selection,
    source::prepare::PrepareSource,
    switch::{clean_up::CleanUp, cut_over::CutOver},
    sync::replicate::{Recorded, Replicate},
};
use mysql_async::{Conn, prelude::Queryable};
use rehearsal::server::{Product, Role, Server, ServerOptions};
use tokio::time::MissedTickBehavior;

/// Far above what anything here takes; only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const MIGRATION: &str = "0123abcd";

/// A source and a target.
pub struct Pair {
    pub source: Server,
    pub target: Server,
    pub by: PositionBy,
    pub directory: tempfile::TempDir,
}

impl Pair {
    /// Starts both, with a table `shop.t` of three rows on the source.
    pub async fn start(target: Role, by: PositionBy) -> Pair {
        Self::start_with(target, by, |source| source).await
    }

    /// The same, with a source set up otherwise.
    pub async fn start_with(
        target: Role,
        by: PositionBy,
        adjust: impl FnOnce(ServerOptions) -> ServerOptions,
    ) -> Pair {
        let gtid = by == PositionBy::Gtid;
        let options = |role| {
            ServerOptions::new(Product::Mysql97, role)
                .gtid(gtid)
                .binlog(true)
                .durable(false)
                .buffer_pool_mib(32)
                .redo_log_mib(16)
        };
        let (source, target) = tokio::join!(
            Server::start(adjust(options(Role::Source))),
            Server::start(options(target))
        );
        let (source, target) = (source.unwrap(), target.unwrap());
        let pair = Pair { source, target, by, directory: tempfile::tempdir().unwrap() };
        let mut conn = pair.source.connect_root().await.unwrap();
        run(&mut conn, "CREATE DATABASE shop").await;
        run(&mut conn, "CREATE TABLE shop.t (id BIGINT PRIMARY KEY, v VARCHAR(40))").await;
        run(&mut conn, "INSERT INTO shop.t VALUES (-3, 'a'), (-2, 'b'), (-1, NULL)").await;
        pair
    }

    /// The configuration with every wait short.
    pub fn config(&self) -> Config {
        config(&self.source.root_url(), &self.target.admin_url())
    }

    /// A migration in the pair's directory.
    pub fn context(&self, config: Config, events: Events) -> Arc<Context> {
        context(self.directory.path(), config, self.by, events)
    }

    /// A runner over all steps that these tests are about.
    pub fn runner(&self, context: &Arc<Context>) -> Runner {
        Runner::new(context.clone(), steps()).unwrap()
    }

    /// Runs up to and with replication.
    pub async fn replicate(&self) -> Arc<Context> {
        let context = self.context(self.config(), Events::nowhere());
        self.runner(&context).run(Some("replicate"), false).await.unwrap();
        context
    }

    /// Whether the source takes a write.
    pub async fn source_takes_writes(&self) -> bool {
        let mut conn = self.source.connect_root().await.unwrap();
        conn.query_drop("SET SESSION lock_wait_timeout = 1").await.unwrap();
        conn.query_drop("CREATE TABLE IF NOT EXISTS shop.probe (id INT PRIMARY KEY)").await.is_ok()
    }

    /// All rows of `shop.t` of a server.
    pub async fn rows(server: &Server) -> Vec<(i64, Option<String>)> {
        let mut conn = server.connect_root().await.unwrap();
        conn.query("SELECT id, v FROM shop.t ORDER BY id").await.unwrap()
    }

    /// Waits until both sides hold the same rows.
    pub async fn equal(&self) {
        until("both sides hold the same rows", async || {
            Self::rows(&self.source).await == Self::rows(&self.target).await
        })
        .await;
    }
}

pub fn config(source: &str, target: &str) -> Config {
    let overrides = Overrides {
        source: Some(source.into()),
        target: Some(target.into()),
        max_write_stop: Some(Duration::from_secs(20)),
        ..Overrides::default()
    };
    let mut config = Config::from_overrides(&overrides).unwrap();
    config.replication.heartbeat_interval = Duration::from_millis(20);
    config.replication.stalled_after = Duration::from_secs(30);
    config
}

pub fn context(directory: &Path, config: Config, by: PositionBy, events: Events) -> Arc<Context> {
    context_of(directory, config, by, events, &steps())
}

/// A migration of these steps.
pub fn context_of(
    directory: &Path,
    config: Config,
    by: PositionBy,
    events: Events,
    steps: &[Box<dyn Step>],
) -> Arc<Context> {
    let fresh = !Journal::exists(directory);
    let journal = Journal::open(directory).unwrap();
    if fresh {
        let planned = steps
            .iter()
            .map(|step| PlannedStep {
                id: step.id().into(),
                title: step.title().into(),
                rollback: step.rollback().into(),
            })
            .collect();
        let plan = Plan {
            migration: MIGRATION.into(),
            route: Route::Logical,
            reason: "a test".into(),
            replication: config.replication.mode,
            position: by,
            source: config.source.to_string(),
            target: config.target.to_string(),
            fingerprint: Fingerprint {
                server_uuid: String::new(),
                version: String::new(),
                schema_digest: String::new(),
            },
            target_uuid: String::new(),
            selection: Selection::default(),
            definer: Default::default(),
            streamed: false,
            tables: Vec::new(),
            steps: planned,
        };
        journal
            .append(daybreak::engine::Entry::Planned { plan: Box::new(plan), consent: false })
            .unwrap();
    }
    Arc::new(Context {
        config,
        directory: directory.to_path_buf(),
        journal: Arc::new(journal),
        events,
        stop: StopSignal::default(),
        write_lock: tokio::sync::Mutex::new(None),
    })
}

pub fn steps() -> Vec<Box<dyn Step>> {
    vec![
        Box::new(PrepareSource),
        Box::new(ByHand),
        Box::new(Replicate),
        Box::new(CutOver),
        Box::new(CleanUp),
    ]
}

/// Copies `shop.t` in the name of the step `rows`, and records where the source stood.
pub struct ByHand;

#[async_trait]
impl Step for ByHand {
    fn id(&self) -> &'static str {
        "rows"
    }
    fn title(&self) -> &'static str {
        "copy by hand"
    }
    fn rollback(&self) -> &'static str {
        "drop it"
    }
    async fn check(&self, _: &Context) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn run(&self, context: &Context) -> Result<()> {
        let (mut source, mut target) = (context.source().await?, context.target().await?);
        source.execute("FLUSH TABLES WITH READ LOCK").await?;
        let coordinates = Coordinates::read(&mut source).await?;
        let rows: Vec<(i64, Option<String>)> =
            source.conn().query("SELECT id, v FROM shop.t").await.unwrap();
        source.execute("UNLOCK TABLES").await?;
        context.journal.record("rows", "snapshot", &Recorded { coordinates })?;
        target.execute("CREATE DATABASE IF NOT EXISTS shop").await?;
        target
            .execute("CREATE TABLE IF NOT EXISTS shop.t (id BIGINT PRIMARY KEY, v VARCHAR(40))")
            .await?;
        target.execute("DELETE FROM shop.t").await?;
        for row in rows {
            target.execute_with("INSERT INTO shop.t VALUES (?, ?)", row).await?;
        }
        Ok(())
    }
    async fn verify(&self, _: &Context) -> Result<()> {
        Ok(())
    }
    async fn undo(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        target.execute("DROP DATABASE IF EXISTS shop").await?;
        target.execute("DROP DATABASE IF EXISTS daybreak").await?;
        Ok(())
    }
}

/// Inserts rows into the source one by one until it is refused for good, and remembers each that
/// was acknowledged.
pub struct Writer {
    pub acknowledged: Arc<Mutex<Vec<i64>>>,
    pub count: Arc<AtomicU64>,
    /// Refused because the source is read only.
    pub refused: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub fn start(url: String, first: i64) -> Writer {
        let (acknowledged, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (refused, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn({
            let (acknowledged, count) = (acknowledged.clone(), count.clone());
            let (refused, stop) = (refused.clone(), stop.clone());
            async move {
                let mut conn = Conn::from_url(&url).await.unwrap();
                let mut id = first;
                let mut pace = tokio::time::interval(Duration::from_millis(2));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::SeqCst) {
                    let insert =
                        format!("INSERT INTO shop.t VALUES ({id}, REPEAT('x', {}))", id % 40);
                    match conn.query_drop(insert).await {
                        Ok(()) => {
                            acknowledged.lock().unwrap().push(id);
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(mysql_async::Error::Server(error)) if error.code == 1290 => {
                            refused.store(true, Ordering::SeqCst);
                        }
                        // Ended by the cutover while it waited for a table's lock.
                        Err(mysql_async::Error::Server(error)) if error.code == 1317 => {}
                        Err(error) => panic!("the writer: {error}"),
                    }
                    id += 1;
                    pace.tick().await;
                }
            }
        });
        Writer { acknowledged, count, refused, stop, task }
    }

    pub fn written(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until it got some further.
    pub async fn goes_on(&self) {
        let before = self.written();
        until("the writer goes on", async || self.written() > before + 3).await;
    }

    pub async fn stop(self) -> Vec<i64> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.acknowledged.lock().unwrap().clone()
    }
}

/// Collects events.
#[derive(Clone, Default)]
pub struct Seen(pub Arc<Mutex<Vec<Event>>>);

impl Seen {
    pub fn events(&self) -> Events {
        let seen = self.0.clone();
        Events::to(move |event| seen.lock().unwrap().push(event.clone()))
    }

    pub fn any(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(wanted)
    }
}

pub async fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn number(server: &Server, sql: &str) -> i64 {
    let mut conn = server.connect_root().await.unwrap();
    conn.query_first(sql).await.unwrap().unwrap()
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    rehearsal::watch::until_within(PATIENCE, what, condition).await;
}

pub async fn has_daybreak(server: &Server) -> bool {
    let sql = "SELECT (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'daybreak') \
               + (SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'daybreak%')";
    number(server, sql).await > 0
}

pub async fn session(server: &Server, side: daybreak::mysql::Side) -> Session {
    let url = daybreak::mysql::ServerUrl::parse(&server.root_url()).unwrap();
    Session::open(&url, side).await.unwrap()
}
