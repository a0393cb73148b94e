//! A pair of servers that all tests of this file share, one test at a time, and contexts to run in.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use daybreak::{
    config::{Config, Overrides},
    engine::{
        Context, Entry, Fingerprint, Journal, Plan, PlannedStep, PositionBy, ReplicationMode,
        Route, Step, StopReason, StopSignal,
    },
    error::{Kind, Result},
    event::{Event, Events},
    mysql::{Catalog, ServerUrl, Session, Side},
    select::Selection,
    target::rows::CopyRows,
};
use rehearsal::server::{Product, Role, Server, ServerOptions};
use tokio::sync::{MutexGuard, OnceCell};

static SERVERS: OnceCell<(Server, Server)> = OnceCell::const_new();
static OTHERS: OnceCell<(Server, Server)> = OnceCell::const_new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The servers, for as long as the test runs.
pub struct Pair {
    pub source: String,
    pub target: String,
    directory: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Event>>>,
    _turn: MutexGuard<'static, ()>,
}

/// What a test of its own does when an event is sent. It may block.
pub type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;

impl Pair {
    /// Waits for its turn; the databases named are dropped on both sides.
    pub async fn take(databases: &[&str]) -> Pair {
        let turn = ONE_AT_A_TIME.lock().await;
        let servers = SERVERS.get_or_init(|| async {
            let source = ServerOptions::new(Product::Mysql97, Role::Source).durable(false);
            let target = ServerOptions::new(Product::Mysql97, Role::Plain);
            let (source, target) = tokio::join!(Server::start(source), Server::start(target));
            (source.unwrap(), target.unwrap())
        });
        let (source, target) = servers.await;
        let pair = Pair {
            source: source.root_url(),
            target: target.root_url(),
            directory: tempfile::tempdir().unwrap(),
            seen: Arc::default(),
            _turn: turn,
        };
        for mut session in [pair.source().await, pair.target().await] {
            session.execute("SET SESSION foreign_key_checks = 0").await.unwrap();
            for database in databases.iter().chain(&["daybreak"]) {
                session.execute(format!("DROP DATABASE IF EXISTS `{database}`")).await.unwrap();
            }
        }
        pair
    }

    /// Waits for its turn, with a source of another product; each product has one test.
    pub async fn with_source(product: Product, databases: &[&str]) -> Pair {
        let mut pair = Pair::take(databases).await;
        let others = OTHERS.get_or_init(|| async {
            let old = ServerOptions::new(Product::Mysql56, Role::Source).durable(false);
            let maria = ServerOptions::new(Product::Mariadb1011, Role::Source).durable(false);
            let (old, maria) = tokio::join!(Server::start(old), Server::start(maria));
            (old.unwrap(), maria.unwrap())
        });
        let (old, maria) = others.await;
        let server = if product == Product::Mysql56 { old } else { maria };
        pair.source = server.root_url();
        pair
    }

    pub async fn source(&self) -> Session {
        Session::open(&ServerUrl::parse(&self.source).unwrap(), Side::Source).await.unwrap()
    }

    pub async fn target(&self) -> Session {
        Session::open(&ServerUrl::parse(&self.target).unwrap(), Side::Target).await.unwrap()
    }

    /// Runs statements on the source.
    pub async fn on_source(&self, statements: &[&str]) {
        let mut session = self.source().await;
        for statement in statements {
            session.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// An account on the source with just these global privileges.
    pub async fn account(&self, name: &str, grants: &str) -> ServerUrl {
        let mut root = self.source().await;
        root.execute(format!("DROP USER IF EXISTS '{name}'@'%'")).await.unwrap();
        root.execute(format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'x'")).await.unwrap();
        root.execute(format!("GRANT {grants} ON *.* TO '{name}'@'%'")).await.unwrap();
        let port = ServerUrl::parse(&self.source).unwrap().port;
        ServerUrl::parse(&format!("mysql://{name}:x@127.0.0.1:{port}/")).unwrap()
    }

    pub fn config(&self, database: &str) -> Config {
        let overrides = Overrides {
            source: Some(self.source.clone()),
            target: Some(self.target.clone()),
            threads: Some(2),
            ..Overrides::default()
        };
        let mut config = Config::from_overrides(&overrides).unwrap();
        config.select = Selection { databases: vec![database.into()], ..Selection::default() };
        config.copy.chunk_bytes = 64 << 10;
        config
    }

    /// A context over this pair's journal, as a process has it that (again) takes up the work.
    pub fn context(&self, config: Config, on_event: Option<OnEvent>) -> Context {
        let journal = Journal::open(self.directory.path()).unwrap();
        if journal.plan().is_err() {
            journal
                .append(Entry::Planned { plan: Box::new(plan(&config)), consent: false })
                .unwrap();
        }
        journal.append(Entry::Resumed { version: "test".into(), consent: false }).unwrap();
        let step = journal.state().current().unwrap().0.to_string();
        journal.append(Entry::StepStarted { step }).unwrap();
        let seen = self.seen.clone();
        Context {
            config,
            directory: Path::new(self.directory.path()).to_path_buf(),
            journal: Arc::new(journal),
            events: Events::to(move |event| {
                seen.lock().unwrap().push(event.clone());
                if let Some(on_event) = &on_event {
                    on_event(event);
                }
            }),
            stop: StopSignal::default(),
            write_lock: tokio::sync::Mutex::new(None),
        }
    }

    /// Runs and verifies the step as a process of its own would.
    pub async fn copy(&self, config: Config) -> Result<()> {
        let context = self.context(config, None);
        run_and_verify(&context).await
    }

    /// The bytes of rows that the latest pass sent.
    pub fn bytes_sent(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        let bytes = seen.iter().rev().find_map(|event| match event {
            Event::Progress { bytes, .. } => Some(*bytes),
            _ => None,
        });
        bytes.unwrap()
    }

    /// Demands that both sides hold the same rows: the engine's own checksum of each table.
    pub async fn assert_equal(&self, database: &str) {
        let (mut source, mut target) = (self.source().await, self.target().await);
        let selection = Selection { databases: vec![database.into()], ..Selection::default() };
        let catalog = Catalog::read(&mut source, &selection).await.unwrap();
        assert!(!catalog.tables.is_empty());
        for table in &catalog.tables {
            let name = table.name.sql();
            let mut both = Vec::new();
            for session in [&mut source, &mut target] {
                let count: u64 =
                    session.scalar(format!("SELECT COUNT(*) FROM {name}")).await.unwrap().unwrap();
                let row = session.row(format!("CHECKSUM TABLE {name}")).await.unwrap().unwrap();
                both.push((count, session.column::<u64>(&row, 1).unwrap()));
            }
            assert_eq!(both[0], both[1], "{name}");
        }
    }
}

pub async fn run_and_verify(context: &Context) -> Result<()> {
    step(context, &CopyRows).await
}

/// Runs and verifies the step that is at work.
pub async fn step(context: &Context, step: &dyn Step) -> Result<()> {
    let id = || step.id().to_string();
    step.run(context).await?;
    context.journal.append(Entry::StepFinished { step: id() })?;
    step.verify(context).await?;
    context.journal.append(Entry::StepVerified { step: id() })?;
    Ok(())
}

fn plan(config: &Config) -> Plan {
    let step =
        |id: &str| PlannedStep { id: id.into(), title: String::new(), rollback: String::new() };
    Plan {
        migration: "c0ffee00".into(),
        route: Route::Logical,
        reason: String::new(),
        replication: ReplicationMode::Native,
        position: PositionBy::Gtid,
        source: String::new(),
        target: String::new(),
        fingerprint: Fingerprint {
            server_uuid: String::new(),
            version: String::new(),
            schema_digest: String::new(),
        },
        target_uuid: String::new(),
        selection: config.select.clone(),
        definer: Default::default(),
        streamed: false,
        tables: Vec::new(),
        steps: vec![step("rows"), step("objects"), step("verify")],
    }
}

/// Runs a copy on one connection until the target answers a question with more than so many, then asks it to
/// pause. False: it was done before.
pub async fn cut_off(pair: &Pair, mut config: Config, question: &str, more_than: u64) -> bool {
    config.copy.threads = 1;
    let context = Arc::new(pair.context(config, None));
    let running = tokio::spawn({
        let context = context.clone();
        async move { run_and_verify(&context).await }
    });
    let mut target = pair.target().await;
    while !running.is_finished() {
        let there = target.scalar::<u64>(question).await;
        if there.is_ok_and(|there| there.unwrap() > more_than) {
            context.stop.stop(StopReason::Pause);
            break;
        }
    }
    match running.await.unwrap() {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Paused, "{error}");
            true
        }
    }
}
