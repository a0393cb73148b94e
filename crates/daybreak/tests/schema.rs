//! Definitions on real servers: schema, indexes and objects are made on an Aurora stand-in by its
//! restricted account, compared by what both servers print, made twice, and taken back.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use daybreak::{
    config::{Config, Overrides},
    engine::{
        Context, Entry, Finding, Fingerprint, Journal, Plan, PlannedStep, PositionBy,
        ReplicationMode, Route, Runner, Step, StopSignal,
    },
    error::{Kind, Result},
    event::{Event, Events, Level},
    mysql::{Catalog, Session, TableName},
    select::Selection,
    target::{
        ddl::CreateTable,
        indexes::BuildIndexes,
        schema::{CreateSchema, bring_in_line, definition},
    },
};
use rehearsal::server::{Product, Role, Server, ServerOptions};
use tokio::sync::{MutexGuard, OnceCell};

const TORTURE: &str = include_str!("schema/torture.sql");
const TORTURE_DATABASE: &str = "tor`ture \"db\" ☃";

struct Pair {
    source: Server,
    target: Server,
    /// Databases that the servers came with.
    own: Vec<String>,
}

static PAIR: OnceCell<Pair> = OnceCell::const_new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Two servers, shared by all tests, emptied for each.
async fn pair() -> (&'static Pair, MutexGuard<'static, ()>) {
    let guard = ONE_AT_A_TIME.lock().await;
    let pair = PAIR
        .get_or_init(|| async {
            let small = |role| {
                ServerOptions::new(Product::Mysql97, role).buffer_pool_mib(64).durable(false)
            };
            let (source, target) = tokio::try_join!(
                Server::start(small(Role::Source)),
                Server::start(small(Role::AuroraStandin)),
            )
            .unwrap_or_else(|error| panic!("{error}"));
            Pair { source, target, own: Vec::new() }
        })
        .await;
    for url in [pair.source.root_url(), pair.target.root_url()] {
        let mut session = open(&url).await;
        session.execute("SET foreign_key_checks = 0").await.unwrap();
        for database in databases(&mut session).await {
            if !pair.own.contains(&database) {
                session
                    .execute(format!("DROP DATABASE {}", daybreak::mysql::quote(&database)))
                    .await
                    .unwrap();
            }
        }
    }
    (pair, guard)
}

async fn open(url: &str) -> Session {
    Session::open(&daybreak::mysql::ServerUrl::parse(url).unwrap(), daybreak::mysql::Side::Target)
        .await
        .unwrap()
}

/// Databases that aren't the server's own.
async fn databases(session: &mut Session) -> Vec<String> {
    let rows = session
        .rows(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN \
             ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1",
        )
        .await
        .unwrap();
    rows.iter().map(|row| session.field(row, "SCHEMA_NAME").unwrap()).collect()
}

async fn script(session: &mut Session, text: &str) {
    for statement in text.split("\n;;\n") {
        let statement: Vec<&str> =
            statement.lines().skip_while(|line| line.starts_with("-- ")).collect();
        let statement = statement.join("\n");
        if !statement.trim().is_empty() {
            session
                .execute(&statement)
                .await
                .unwrap_or_else(|error| panic!("{error}\n{statement}"));
        }
    }
}

async fn torture(pair: &Pair) {
    let mut session = open(&pair.source.root_url()).await;
    script(
        &mut session,
        "CREATE DATABASE `second` CHARACTER SET utf8mb4\n;;\nCREATE TABLE `second`.parent (id INT PRIMARY KEY)",
    )
    .await;
    script(&mut session, TORTURE).await;
}

async fn shop(pair: &Pair) {
    let options = rehearsal::shop::ShopOptions { rows: 300, ..Default::default() };
    rehearsal::shop::generate(&pair.source.root_url(), &options, |_, _| {}).await.unwrap();
}

struct Migration {
    context: Arc<Context>,
    warnings: Arc<Mutex<Vec<String>>>,
    directory: tempfile::TempDir,
}

/// What would come after: a migration that is complete can't be undone.
struct Later;

#[async_trait::async_trait]
impl Step for Later {
    fn id(&self) -> &'static str {
        "later"
    }
    fn title(&self) -> &'static str {
        "never runs"
    }
    fn rollback(&self) -> &'static str {
        "nothing"
    }
    async fn check(&self, _: &Context) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn run(&self, _: &Context) -> Result<()> {
        Ok(())
    }
    async fn verify(&self, _: &Context) -> Result<()> {
        Ok(())
    }
    async fn undo(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

fn all_steps() -> Vec<Box<dyn Step>> {
    vec![Box::new(CreateSchema), Box::new(BuildIndexes), Box::new(Later)]
}

impl Migration {
    fn new(pair: &Pair) -> Self {
        Self::with(pair, |_| {})
    }

    fn with(pair: &Pair, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::from_overrides(&Overrides {
            source: Some(pair.source.root_url()),
            target: Some(pair.target.admin_url()),
            threads: Some(2),
            ..Overrides::default()
        })
        .unwrap();
        change(&mut config);
        let journal = Journal::open(directory.path()).unwrap();
        let steps = all_steps()
            .iter()
            .map(|step| PlannedStep {
                id: step.id().into(),
                title: step.title().into(),
                rollback: step.rollback().into(),
            })
            .collect();
        journal
            .append(Entry::Planned {
                plan: Box::new(Plan {
                    migration: "0badcafe".into(),
                    route: Route::Logical,
                    reason: "a test".into(),
                    replication: ReplicationMode::Native,
                    position: PositionBy::Gtid,
                    source: "s".into(),
                    target: "t".into(),
                    fingerprint: Fingerprint {
                        server_uuid: "u".into(),
                        version: "9.7.0".into(),
                        schema_digest: "d".into(),
                    },
                    target_uuid: "t".into(),
                    selection: config.select.clone(),
                    tables: Vec::new(),
                    steps,
                }),
            })
            .unwrap();
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&warnings);
        let context = Context {
            config,
            directory: directory.path().to_path_buf(),
            journal: Arc::new(journal),
            events: Events::to(move |event| {
                if let Event::Note { level: Level::Warning, text } = event {
                    sink.lock().unwrap().push(text.clone());
                }
            }),
            stop: StopSignal::default(),
            write_lock: tokio::sync::Mutex::default(),
        };
        Migration { context: Arc::new(context), warnings, directory }
    }

    fn runner(&self) -> Runner {
        Runner::new(Arc::clone(&self.context), all_steps()).unwrap()
    }

    async fn run(&self, until: &str) {
        let done = self.runner().run(Some(until), false).await;
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn undo(&self) {
        self.runner().undo(None).await.unwrap_or_else(|error| panic!("{error}"));
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap())
    }
}

fn printed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Every table's definition, less the next value of AUTO_INCREMENT.
async fn tables(url: &str, lean: bool) -> Vec<(TableName, String)> {
    let mut session = open(url).await;
    let catalog = Catalog::read(&mut session, &Selection::default()).await.unwrap();
    let mut all = Vec::new();
    for table in &catalog.tables {
        let text = definition(&mut session, &table.name).await.unwrap();
        let parsed = CreateTable::parse(&text).unwrap();
        assert_eq!(parsed.original(), text);
        let parsed = if lean { parsed.without_secondary() } else { parsed };
        // The key that AUTO_INCREMENT needs is there before the others, which shows in the order.
        let text = match table.name.name.as_str() {
            "counted_elsewhere" => parsed.normalised(session.dialect()),
            _ => parsed.sql("d"),
        };
        all.push((table.name.clone(), text));
    }
    all
}

/// Says which of many differ, instead of printing all.
fn same<T: PartialEq + std::fmt::Debug>(wanted: &[(T, String)], found: &[(T, String)]) {
    for (wanted, found) in wanted.iter().zip(found) {
        assert_eq!(wanted.0, found.0);
        if wanted.1 != found.1 {
            panic!("{:?}: wanted\n{}\nfound\n{}", wanted.0, wanted.1, found.1);
        }
    }
    assert_eq!(wanted.len(), found.len());
}

#[tokio::test]
async fn a_schema_is_made_without_its_secondary_keys_and_taken_back() {
    let (pair, _guard) = pair().await;
    torture(pair).await;
    shop(pair).await;
    let migration = Migration::new(pair);
    migration.run("schema").await;
    let wanted = tables(&pair.source.root_url(), true).await;
    same(&wanted, &tables(&pair.target.root_url(), false).await);
    migration.run("indexes").await;
    let wanted = tables(&pair.source.root_url(), false).await;
    same(&wanted, &tables(&pair.target.root_url(), false).await);
    assert_eq!(migration.warnings(), Vec::<String>::new());
    migration.undo().await;
    assert_eq!(databases(&mut open(&pair.target.root_url()).await).await, Vec::<String>::new());
    _ = (
        printed(""),
        &migration.directory,
        Kind::Sql,
        bring_in_line,
        Path::new(""),
        PathBuf::new(),
    );
}
