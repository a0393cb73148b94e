//! Definitions on real servers: schema, indexes and objects are made on an Aurora stand-in by its
//! restricted account, compared by what both servers print, made twice, and taken back.

#[path = "schema/columns.rs"]
mod columns;

use std::sync::{Arc, Mutex};

use daybreak::{
    config::{Config, Definer, Overrides},
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
        objects::{CreateObjects, ObjectKind, count_by_kind, enable_events},
        schema::{CreateSchema, bring_in_line, definition},
    },
};
use rehearsal::{
    sakila,
    server::{Product, Role, Server, ServerOptions},
};
use tokio::sync::{MutexGuard, OnceCell};

const TORTURE: &str = include_str!("schema/torture.sql");

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

async fn shop(source: &Server) {
    let options = rehearsal::shop::ShopOptions { rows: 300, ..Default::default() };
    rehearsal::shop::generate(&source.root_url(), &options, |_, _| {}).await.unwrap();
    // A table's size must not change any more: by it is decided whether its keys wait.
    let mut session = open(&source.root_url()).await;
    let catalog = Catalog::read(&mut session, &Selection::default()).await.unwrap();
    for table in &catalog.tables {
        session.rows(format!("ANALYZE TABLE {}", table.name.sql())).await.unwrap();
    }
}

struct Migration {
    context: Arc<Context>,
    warnings: Arc<Mutex<Vec<String>>>,
    /// Removed with it.
    _directory: tempfile::TempDir,
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
    vec![Box::new(CreateSchema), Box::new(BuildIndexes), Box::new(CreateObjects), Box::new(Later)]
}

impl Migration {
    fn new(pair: &Pair) -> Self {
        Self::with(pair, |_| {})
    }

    fn with(pair: &Pair, change: impl FnOnce(&mut Config)) -> Self {
        Self::from(&pair.source, "9.7.4", pair, change)
    }

    fn from(source: &Server, version: &str, pair: &Pair, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::from_overrides(&Overrides {
            source: Some(source.root_url()),
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
                consent: false,
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
                        version: version.into(),
                        schema_digest: "d".into(),
                    },
                    target_uuid: "t".into(),
                    selection: config.select.clone(),
                    definer: Default::default(),
                    streamed: false,
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
        Migration { context: Arc::new(context), warnings, _directory: directory }
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
        let parsed = match lean {
            // What is small has its keys from the beginning.
            true if table.data_bytes < 1 << 20 => parsed.without_foreign_keys(),
            true => parsed.without_secondary(),
            false => parsed,
        };
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

/// Every object as SHOW CREATE prints it, settings included.
async fn objects(url: &str) -> Vec<(String, String)> {
    let mut session = open(url).await;
    let mut all = Vec::new();
    for (kind, names) in count_by_kind(&mut session, &Selection::default()).await.unwrap() {
        if kind == ObjectKind::Table {
            continue;
        }
        for name in names {
            // A view that the server itself can't print: it stores what its parser can't read.
            let shown = session.row(format!("SHOW CREATE {} {}", kind.word(), name.sql())).await;
            let Ok(Some(row)) = shown else { continue };
            let text: Vec<String> = row
                .columns_ref()
                .iter()
                .enumerate()
                .filter(|(_, column)| column.name_str() != "Created")
                .map(|(at, column)| {
                    let value: Option<Vec<u8>> = row.get(at).unwrap();
                    format!(
                        "{}: {}",
                        column.name_str(),
                        String::from_utf8_lossy(&value.unwrap_or_default())
                    )
                })
                .collect();
            all.push((format!("{kind} {name}"), text.join("\n")));
        }
    }
    all
}

fn without_definer(text: &str) -> String {
    let Some(at) = text.find("DEFINER=") else { return text.to_string() };
    let end = text[at..].find(' ').unwrap();
    format!("{}{}", &text[..at], &text[at + end + 1..])
}

async fn enabled(url: &str) -> Vec<String> {
    let mut session = open(url).await;
    let rows = session
        .rows("SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) AS n FROM information_schema.EVENTS WHERE STATUS = 'ENABLED' ORDER BY 1")
        .await
        .unwrap();
    rows.iter().map(|row| session.field(row, "n").unwrap()).collect()
}

async fn drop_maker(url: &str) {
    open(url).await.execute("DROP USER IF EXISTS `ma``ker \"x\"`@`%`").await.unwrap();
}

async fn make_maker(url: &str, on: &str) {
    drop_maker(url).await;
    let text = format!(
        "CREATE USER `ma``ker \"x\"`@`%` IDENTIFIED BY 'Maker-1-pw'\n;;\n\
         GRANT ALL PRIVILEGES ON {on} TO `ma``ker \"x\"`@`%`"
    );
    script(&mut open(url).await, &text).await;
}

/// The objects that an account of the source's own made, some of them in old character sets.
async fn torture_objects(pair: &Pair) {
    make_maker(&pair.source.root_url(), "*.*").await;
    let url = format!("mysql://ma%60ker%20%22x%22:Maker-1-pw@127.0.0.1:{}/", pair.source.port());
    let mut session = open(&url).await;
    script(&mut session, include_str!("schema/objects.sql")).await;
    use mysql_async::prelude::Queryable as _;
    // 0x5C, the backslash, is the second byte of this character in gbk.
    session.execute("SET NAMES gbk").await.unwrap();
    let body = b"CREATE PROCEDURE gbk_\xD5\x5C() COMMENT 'c\xD5\x5C' SELECT '\xD5\x5C', `key` AS `\xD5\x5C` FROM `order`";
    session.conn().query_drop(&body[..]).await.unwrap();
    let view = b"CREATE VIEW `v_\xD5\x5C` AS SELECT '\xD5\x5C' AS `\xD5\x5C`";
    session.conn().query_drop(&view[..]).await.unwrap();
    session.execute("SET NAMES latin1").await.unwrap();
    let trigger =
        b"CREATE TRIGGER `tr\xE9` AFTER INSERT ON `order` FOR EACH ROW SET @x = '\xE9\x80'";
    session.conn().query_drop(&trigger[..]).await.unwrap();
    let event = b"CREATE EVENT `e\xE9` ON SCHEDULE EVERY 1 YEAR COMMENT '\xE9' DO SET @x = '\xE9'";
    session.conn().query_drop(&event[..]).await.unwrap();
}

#[tokio::test]
async fn objects_keep_definers_settings_order_and_character_sets() {
    let (pair, _guard) = pair().await;
    torture(pair).await;
    torture_objects(pair).await;
    make_maker(&pair.target.root_url(), "`tor``ture \"db\" ☃`.*").await;
    let migration = Migration::new(pair);
    migration.run("objects").await;
    let mut target = migration.context.target().await.unwrap();
    enable_events(&migration.context, &mut target).await.unwrap();
    let mut wanted = objects(&pair.source.root_url()).await;
    wanted.retain(|(name, _)| !name.ends_with("invalid"));
    same(&wanted, &objects(&pair.target.root_url()).await);
    assert_eq!(enabled(&pair.source.root_url()).await, enabled(&pair.target.root_url()).await);
    println!("{:#?}", migration.warnings());
    migration.undo().await;
    assert_eq!(databases(&mut open(&pair.target.root_url()).await).await, Vec::<String>::new());
}

/// Everything that a source and a target have must be the same, definers and AUTO_INCREMENT aside.
async fn same_on_both(pair: &Pair) {
    let strip = |all: Vec<(String, String)>| -> Vec<(String, String)> {
        all.into_iter().map(|(name, text)| (name, without_definer(&text))).collect()
    };
    let (source, target) = (pair.source.root_url(), pair.target.root_url());
    same(&tables(&source, false).await, &tables(&target, false).await);
    same(&strip(objects(&source).await), &strip(objects(&target).await));
}

async fn nothing_left(pair: &Pair) {
    let left = databases(&mut open(&pair.target.root_url()).await).await;
    assert_eq!(left, Vec::<String>::new());
}

/// Other servers print definitions in other words; what they mean arrives.
async fn from_another_server(product: Product) {
    let (pair, _guard) = pair().await;
    let options = ServerOptions::new(product, Role::Source).buffer_pool_mib(64).durable(false);
    let source = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    shop(&source).await;
    let version = open(&source.root_url()).await.dialect().text.clone();
    let migration =
        Migration::from(&source, &version, pair, |config| config.copy.definer = Definer::Current);
    migration.run("objects").await;
    assert_eq!(migration.warnings(), Vec::<String>::new());
    let (mut old, mut new) = (open(&source.root_url()).await, open(&pair.target.root_url()).await);
    let all = Selection::default();
    assert_eq!(
        count_by_kind(&mut old, &all).await.unwrap(),
        count_by_kind(&mut new, &all).await.unwrap()
    );
    let (old, new) = (
        Catalog::read(&mut old, &all).await.unwrap(),
        Catalog::read(&mut new, &all).await.unwrap(),
    );
    for (old, new) in old.tables.iter().zip(&new.tables) {
        let shape = |table: &daybreak::mysql::Table| -> Vec<(String, bool, Option<String>)> {
            let plain = |name: &String| name.replace("utf8mb3", "utf8");
            let columns = table.columns.iter();
            columns
                .map(|column| {
                    (column.name.clone(), column.nullable, column.collation.as_ref().map(plain))
                })
                .collect()
        };
        assert_eq!(shape(old), shape(new), "{}", old.name);
        assert_eq!(old.indexes.len(), new.indexes.len(), "{}", old.name);
    }
    migration.undo().await;
    nothing_left(pair).await;
}

#[tokio::test]
async fn mysql_56_arrives_on_a_new_server() {
    from_another_server(Product::Mysql56).await;
}

#[tokio::test]
async fn mariadb_arrives_on_a_new_server() {
    from_another_server(Product::Mariadb1011).await;
}

#[tokio::test]
async fn a_definer_that_is_missing_is_told_and_what_stands_on_it_is_named() {
    let (pair, _guard) = pair().await;
    torture(pair).await;
    torture_objects(pair).await;
    drop_maker(&pair.target.root_url()).await;
    let migration = Migration::new(pair);
    migration.run("objects").await;
    let warnings = migration.warnings();
    let has =
        |parts: &[&str]| warnings.iter().any(|text| parts.iter().all(|part| text.contains(part)));
    assert!(has(&["`ma``ker \"x\"`@`%` doesn't exist", "trigger", "event"]), "{warnings:#?}");
    assert!(has(&["v_z is not on the target", "1449", "CREATE USER"]), "{warnings:#?}");
    // Once the account is there, the same views are made.
    migration.runner().undo(Some("indexes")).await.unwrap_or_else(|error| panic!("{error}"));
    make_maker(&pair.target.root_url(), "`tor``ture \"db\" ☃`.*").await;
    migration.run("objects").await;
    let warnings = migration.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    migration.undo().await;
    nothing_left(pair).await;
}

#[tokio::test]
async fn sakila_arrives_whole() {
    let (pair, _guard) = pair().await;
    sakila::load(&pair.source.root_url()).await.unwrap();
    let migration = Migration::with(pair, |config| config.copy.definer = Definer::Current);
    migration.run("objects").await;
    same_on_both(pair).await;
    assert_eq!(migration.warnings(), Vec::<String>::new());
    migration.undo().await;
    nothing_left(pair).await;
}

#[tokio::test]
async fn a_table_that_changes_is_made_again_and_one_that_vanishes_goes() {
    let (pair, _guard) = pair().await;
    let mut source = open(&pair.source.root_url()).await;
    script(
        &mut source,
        "CREATE DATABASE a\n;;\nCREATE TABLE a.stays (id INT PRIMARY KEY, b INT, KEY b (b))\n;;\n\
         CREATE TABLE a.changes (id INT PRIMARY KEY)\n;;\nCREATE TABLE a.goes (id INT PRIMARY KEY)",
    )
    .await;
    let migration = Migration::new(pair);
    migration.run("schema").await;
    let mut target = open(&pair.target.root_url()).await;
    for table in ["stays", "changes", "goes"] {
        target.execute(format!("INSERT INTO a.{table} (id) VALUES (1)")).await.unwrap();
    }
    source.execute("INSERT INTO a.stays (id) VALUES (7)").await.unwrap();
    source.execute("ALTER TABLE a.changes ADD COLUMN c TEXT, ADD KEY (c(3))").await.unwrap();
    source.execute("DROP TABLE a.goes").await.unwrap();
    source.execute("CREATE TABLE a.comes (id INT PRIMARY KEY, n INT, KEY (n))").await.unwrap();
    source.execute("CREATE DATABASE b").await.unwrap();

    let again = async |target: &mut Session| {
        let mut source = migration.context.source().await.unwrap();
        let catalog = Catalog::read(&mut source, &Selection::default()).await.unwrap();
        bring_in_line(&migration.context, &mut source, target, &catalog).await
    };
    let made = again(&mut target).await.unwrap();
    assert_eq!(made, [TableName::new("a", "changes"), TableName::new("a", "comes")]);
    assert_eq!(again(&mut target).await.unwrap(), []);
    let rows: Option<i64> = target.scalar("SELECT COUNT(*) FROM a.stays").await.unwrap();
    assert_eq!(rows, Some(1), "a table that is right keeps its rows");
    same(
        &tables(&pair.source.root_url(), true).await,
        &tables(&pair.target.root_url(), false).await,
    );

    // A table of somebody else's is never touched.
    target.execute("CREATE TABLE a.theirs (id INT)").await.unwrap();
    source.execute("CREATE TABLE a.theirs (id INT, x INT)").await.unwrap();
    let error = again(&mut target).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked);
    assert!(printed(&error).contains("a.theirs"), "{error}");
    migration.undo().await;
    assert_eq!(databases(&mut target).await, ["a"], "it holds what isn't ours");
    let warnings = migration.warnings();
    assert!(warnings.iter().any(|text| text.contains("theirs")), "{warnings:?}");
}

#[tokio::test]
async fn what_is_on_the_target_already_blocks() {
    let (pair, _guard) = pair().await;
    let mut source = open(&pair.source.root_url()).await;
    script(
        &mut source,
        "CREATE DATABASE a\n;;\nCREATE TABLE a.t (id INT)\n;;\nCREATE VIEW a.v AS SELECT 1\n;;\n\
         CREATE PROCEDURE a.p() SELECT 1",
    )
    .await;
    let mut target = open(&pair.target.root_url()).await;
    for sql in ["CREATE DATABASE a", "CREATE VIEW a.t AS SELECT 1", "CREATE DATABASE daybreak"] {
        target.execute(sql).await.unwrap();
    }
    let migration = Migration::with(pair, |config| config.copy.definer = Definer::Current);
    let error = migration.runner().run(Some("schema"), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked);
    let text = printed(&error);
    assert!(text.contains("target.own_database") && text.contains("target.tables_exist"), "{text}");
    for sql in ["DROP VIEW a.t", "DROP DATABASE daybreak", "CREATE PROCEDURE a.p() SELECT 2"] {
        target.execute(sql).await.unwrap();
    }
    migration.run("indexes").await;
    let error = migration.runner().run(Some("objects"), false).await.unwrap_err();
    assert!(printed(&error).contains("target.objects_exist"), "{error}");
    migration.undo().await;
    assert_eq!(databases(&mut target).await, ["a"], "the database was there before");
}

/// A stop at each entry of the journal, then on, or back.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn any_point_of_failure_can_be_resumed_and_undone() {
    let (pair, _guard) = pair().await;
    script(
        &mut open(&pair.source.root_url()).await,
        "CREATE DATABASE a COLLATE latin1_bin\n;;\n\
         CREATE TABLE a.t (id INT AUTO_INCREMENT PRIMARY KEY, b INT, KEY b (b), KEY f ((b + 1)), \
         CONSTRAINT s FOREIGN KEY (b) REFERENCES a.t (id))\n;;\n\
         CREATE TABLE a.keyless (b INT, UNIQUE KEY b (b))\n;;\n\
         CREATE FUNCTION a.f() RETURNS INT DETERMINISTIC RETURN 1\n;;\n\
         CREATE VIEW a.a AS SELECT 1 AS x\n;;\n\
         CREATE OR REPLACE VIEW a.z AS SELECT a.f() AS y FROM a.t\n;;\n\
         CREATE OR REPLACE VIEW a.a AS SELECT y FROM a.z\n;;\n\
         CREATE TRIGGER a.r BEFORE INSERT ON a.t FOR EACH ROW SET @a = 1\n;;\n\
         CREATE EVENT a.e ON SCHEDULE EVERY 1 DAY DO DO 1",
    )
    .await;
    for back in [false, true] {
        for at in 0.. {
            let migration = Migration::with(pair, |config| config.copy.definer = Definer::Current);
            migration.context.journal.fail_in(Some(at));
            let failed = migration.runner().run(Some("objects"), false).await.is_err();
            migration.context.journal.fail_in(None);
            if back {
                // The undo fails half way, too.
                migration.context.journal.fail_in(Some(at % 5));
                let _failed_or_not = migration.runner().undo(None).await;
                migration.context.journal.fail_in(None);
                migration.undo().await;
                nothing_left(pair).await;
                migration.run("objects").await;
            } else {
                migration.run("objects").await;
            }
            let mut target = migration.context.target().await.unwrap();
            enable_events(&migration.context, &mut target).await.unwrap();
            same_on_both(pair).await;
            migration.undo().await;
            migration.undo().await;
            nothing_left(pair).await;
            if !failed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn everything_is_made_as_the_source_has_it_and_taken_back() {
    let (pair, _guard) = pair().await;
    torture(pair).await;
    shop(&pair.source).await;
    // The source's root is a system account of the stand-in, too: nobody may define in its name.
    let migration = Migration::with(pair, |config| config.copy.definer = Definer::Current);
    migration.run("schema").await;
    let wanted = tables(&pair.source.root_url(), true).await;
    same(&wanted, &tables(&pair.target.root_url(), false).await);
    migration.run("indexes").await;
    let wanted = tables(&pair.source.root_url(), false).await;
    same(&wanted, &tables(&pair.target.root_url(), false).await);
    assert_eq!(migration.warnings(), Vec::<String>::new());
    migration.run("objects").await;
    assert_eq!(enabled(&pair.target.root_url()).await, Vec::<String>::new());
    let mut target = migration.context.target().await.unwrap();
    for _ in 0..2 {
        enable_events(&migration.context, &mut target).await.unwrap();
    }
    same_on_both(pair).await;
    assert_eq!(migration.warnings(), Vec::<String>::new());
    migration.undo().await;
    assert_eq!(databases(&mut open(&pair.target.root_url()).await).await, Vec::<String>::new());
}
