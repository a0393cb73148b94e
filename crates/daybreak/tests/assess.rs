//! The assessment against real servers: a sound pair has no blockers, each trouble is found, the
//! statements that the findings name cure them, and another server than the planned one is refused.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use daybreak::{
    config::{Config, Definer, Overrides},
    engine::{
        Context, Entry, Finding, Journal, Plan, PositionBy, ReplicationMode, Route, Runner,
        Severity, Standing, Step, StopSignal,
    },
    error::Kind,
    event::Events,
    mysql::{ServerUrl, Session, Side, TableName},
    route,
    select::Selection,
    source::{
        assess::{Assessment, NotMigrated, TargetSpec, Wishes, assess},
        preflight::Preflight,
    },
};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{ShopOptions, generate},
};

async fn start(options: ServerOptions) -> Server {
    let options = options.buffer_pool_mib(32).redo_log_mib(16).durable(false);
    Server::start(options).await.unwrap_or_else(|error| panic!("{error}"))
}

fn options(product: Product, role: Role) -> ServerOptions {
    ServerOptions::new(product, role)
}

fn url(text: &str) -> ServerUrl {
    ServerUrl::parse(text).unwrap()
}

/// The same server, another account.
fn as_user(server: &Server, user: &str, password: &str) -> ServerUrl {
    url(&format!("mysql://{user}:{password}@127.0.0.1:{}/", server.port()))
}

async fn root(server: &Server) -> Session {
    Session::open(&url(&server.root_url()), Side::Source).await.unwrap()
}

async fn run(session: &mut Session, statements: &[&str]) {
    for statement in statements {
        session.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn look(source: &ServerUrl, target: &ServerUrl, wishes: &Wishes) -> Assessment {
    assess(source, &TargetSpec::Url(Box::new(target.clone())), wishes).await.unwrap()
}

fn ids(assessment: &Assessment) -> BTreeSet<&str> {
    assessment.findings.iter().map(|finding| finding.id.as_str()).collect()
}

fn blockers(assessment: &Assessment) -> Vec<&str> {
    assessment.blockers().map(|finding| finding.id.as_str()).collect()
}

fn finding<'a>(assessment: &'a Assessment, id: &str) -> &'a Finding {
    assessment
        .findings
        .iter()
        .find(|finding| finding.id == id)
        .unwrap_or_else(|| panic!("no {id} in {:?}", ids(assessment)))
}

/// The findings as a reader sees them, without what changes from run to run.
fn text(assessment: &Assessment) -> String {
    let mut out = String::new();
    for finding in &assessment.findings {
        let severity = match finding.severity {
            Severity::Blocker => "blocker",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        writeln!(
            out,
            "{severity} {}\n  {}\n  -> {}\n  of {:?}",
            finding.id, finding.why, finding.remedy, finding.objects
        )
        .unwrap();
    }
    let mut marks = vec![(assessment.facts.source.dialect.to_string(), "(source version)")];
    marks.extend(assessment.facts.target_version.clone().map(|text| (text, "(target version)")));
    let marks: Vec<(&str, &str)> =
        marks.iter().map(|(text, mark)| (text.as_str(), *mark)).collect();
    redact(out, &marks)
}

/// Puts marks in place of what changes from run to run.
fn redact(mut text: String, marks: &[(&str, &str)]) -> String {
    for (volatile, mark) in marks {
        text = text.replace(volatile, mark);
    }
    text
}

fn config(source: &str, target: &str) -> Config {
    Config::from_overrides(&Overrides {
        source: Some(source.into()),
        target: Some(target.into()),
        ..Overrides::default()
    })
    .unwrap()
}

fn context(
    directory: &std::path::Path,
    config: Config,
    plan: Plan,
    events: Events,
) -> Arc<Context> {
    let journal = Journal::open(directory).unwrap();
    journal.append(Entry::Planned { plan: Box::new(plan), consent: false }).unwrap();
    Arc::new(Context {
        config,
        directory: directory.to_path_buf(),
        journal: Arc::new(journal),
        events,
        stop: StopSignal::default(),
        write_lock: tokio::sync::Mutex::new(None),
    })
}

/// The plan as it is printed, without what changes from run to run.
fn checklist(plan: &Plan) -> String {
    let text = redact(
        plan.markdown(),
        &[
            (&plan.migration, "(id)"),
            (&plan.source, "(source)"),
            (&plan.target, "(target)"),
            (&plan.fingerprint.version, "(version)"),
        ],
    );
    // The sizes are the server's estimates.
    let lines = text.lines().filter(|line| !line.ends_with("MiB"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A plan of the first step alone.
fn only_preflight(mut plan: Plan) -> Plan {
    plan.steps.truncate(1);
    plan
}

#[tokio::test]
async fn a_sound_pair_needs_only_its_privileges() {
    let (source, target) = tokio::join!(
        start(options(Product::Mysql97, Role::Source)),
        start(options(Product::Mysql97, Role::AuroraStandin)),
    );
    let shop = ShopOptions { rows: 300, ..ShopOptions::default() };
    generate(&source.root_url(), &shop, |_, _| {}).await.unwrap();
    let (from, to) = (url(&source.root_url()), url(&target.admin_url()));

    // On the stand-in root is there, and protected from its admin.
    let kept = look(&from, &to, &Wishes::default()).await;
    assert_eq!(blockers(&kept), ["target.privilege.system_user"], "{}", text(&kept));
    let wishes = Wishes { definer: Definer::Current, ..Wishes::default() };
    let assessment = look(&from, &to, &wishes).await;
    assert_eq!(blockers(&assessment), [""; 0], "{}", text(&assessment));
    let position = assessment.position.as_ref().unwrap();
    assert_eq!(position.by, PositionBy::Gtid, "{}", position.reason);
    let totals = &assessment.facts.totals;
    assert!(totals.tables > 5 && totals.views > 2 && totals.triggers > 1 && totals.events > 0);
    assert!(assessment.estimates.rows > 0 && assessment.estimates.bytes > 0);
    assert!(assessment.not_migrated.iter().any(|left| left.name == "root@localhost"));
    assert!(ids(&assessment).contains("source.events"));
    assert!(!ids(&assessment).contains("target.not_asked"));
    let json = serde_json::to_string(&assessment).unwrap();
    assert!(!json.contains(source.root_password()) && json.contains("\"target_version\""));

    the_plan(&source, &target).await;
    privileges_are_named_and_cured(&source, &target).await;
}

async fn the_plan(source: &Server, target: &Server) {
    let mut config = config(&source.root_url(), &target.admin_url());
    config.copy.definer = Definer::Current;
    let (plan, _) = route::make_plan(&config, Route::Logical, &Events::nowhere()).await.unwrap();
    assert_eq!(plan.migration.len(), 8);
    assert_eq!((plan.position, plan.replication), (PositionBy::Gtid, ReplicationMode::Native));
    assert!(plan.tables.windows(2).all(|pair| pair[0].2 >= pair[1].2), "largest first");
    let steps = route::steps(&plan);
    assert!(steps.iter().map(|step| step.id()).eq(plan.steps.iter().map(|step| step.id.as_str())));

    insta::assert_snapshot!("plan", checklist(&plan));
    for (mode, absent) in [
        (ReplicationMode::None, &["prepare_source", "replicate"][..]),
        (ReplicationMode::CopyOnly, &["prepare_source", "replicate", "verify", "cutover"]),
    ] {
        let other = Plan { replication: mode, ..plan.clone() };
        let left: Vec<&str> = route::steps(&other).iter().map(|step| step.id()).collect();
        let all = plan.steps.iter().map(|step| step.id.as_str());
        assert!(all.filter(|id| !absent.contains(id)).eq(left), "{mode:?}");
    }

    // Another source, another target.
    let empty = tempfile::tempdir().unwrap();
    let journal = Journal::open(empty.path()).unwrap();
    let swapped = self::config(&target.root_url(), &source.root_url());
    let error = route::check_same_source(&plan, &swapped, &journal).await.unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    let said = error.to_string();
    assert!(said.contains(&plan.fingerprint.server_uuid) && said.contains(&plan.target_uuid));
    assert!(!said.contains(source.root_password()) && !said.contains(target.root_password()));
    route::check_same_source(&plan, &config, &journal).await.unwrap();

    let plan = only_preflight(plan);
    let directory = tempfile::tempdir().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = said.clone();
    let events = Events::to(move |event| listener.lock().unwrap().push(format!("{event:?}")));
    let context = context(directory.path(), config, plan, events);
    let runner = Runner::new(context.clone(), vec![Box::new(Preflight)]).unwrap();
    assert_eq!(runner.run(None, false).await.unwrap(), Standing::Completed);
    let found: Vec<Finding> = context.journal.recall("preflight", "findings").unwrap().unwrap();
    assert!(!found.is_empty());
    let left: Vec<NotMigrated> =
        context.journal.recall("preflight", "not_migrated").unwrap().unwrap();
    assert!(!left.is_empty());

    // A schema that moves on is no failure; the reader is told.
    let told = |what: &str| said.lock().unwrap().iter().any(|event: &String| event.contains(what));
    assert!(!told("schema has changed"));
    run(&mut root(source).await, &["CREATE TABLE shop.later (id INT PRIMARY KEY)"]).await;
    Preflight.verify(&context).await.unwrap();
    assert!(told("schema has changed"));
}

/// An account with nothing is told what to grant; once that is granted, word for word, nothing is missing.
async fn privileges_are_named_and_cured(source: &Server, target: &Server) {
    let (mut at_source, mut at_target) = (root(source).await, root(target).await);
    run(
        &mut at_source,
        &["CREATE USER 'we''ak'@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON shop.* TO 'we''ak'@'%'"],
    )
    .await;
    run(
        &mut at_target,
        &["CREATE USER 'weak'@'%' IDENTIFIED BY 'x'", "GRANT CREATE ON shop.* TO 'weak'@'%'"],
    )
    .await;
    let (from, to) = (as_user(source, "we'ak", "x"), as_user(target, "weak", "x"));
    let wishes =
        Wishes { target_kind: Some(daybreak::config::TargetKind::Aurora), ..Wishes::default() };
    let assessment = look(&from, &to, &wishes).await;
    let found = blockers(&assessment);
    for id in [
        "source.privilege.trigger",
        "source.privilege.event",
        "source.privilege.show_routine",
        "source.privilege.lock",
        "source.privilege.replication_client",
        "source.privilege.create_user",
        "source.privilege.replication_slave",
        "source.privilege.heartbeat",
        "source.privilege.read_only",
        "source.privilege.show_databases",
        "target.privilege.select",
        "target.privilege.insert",
        "target.privilege.references",
        "target.privilege.own",
        "target.privilege.replication_client",
        "target.procedures",
    ] {
        assert!(found.contains(&id), "{id} is missing in {found:?}");
    }
    let remedy = &finding(&assessment, "source.privilege.replication_client").remedy;
    assert_eq!(remedy, "GRANT REPLICATION CLIENT ON *.* TO 'we''ak'@'%'; -- at the source");
    insta::assert_snapshot!("privileges", text(&assessment));

    // Some needs show only when others are met (a view can't be seen without any right on it).
    for _ in 0..4 {
        let assessment = look(&from, &to, &wishes).await;
        for finding in &assessment.findings {
            let session = match finding.id.split_once('.') {
                Some(("source", rest)) if rest.starts_with("privilege") => &mut at_source,
                Some(("target", rest)) if rest.starts_with("privilege") || rest == "procedures" => {
                    &mut at_target
                }
                _ => continue,
            };
            for statement in
                finding.remedy.split_inclusive(';').filter(|part| part.contains("GRANT "))
            {
                let statement = &statement[statement.find("GRANT ").unwrap()..];
                session
                    .execute(statement.trim_end_matches(';'))
                    .await
                    .unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
        }
    }
    let cured = look(&from, &to, &wishes).await;
    let left: Vec<&str> = ids(&cured).into_iter().filter(|id| id.contains("privilege")).collect();
    assert_eq!(left, [""; 0], "{}", text(&cured));
    assert_eq!(blockers(&cured), [""; 0], "{}", text(&cured));
    // A privilege that only a role gives counts, once the role is active.
    run(
        &mut at_source,
        &[
            "CREATE ROLE tables_role",
            "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON shop.* TO tables_role",
            "CREATE USER roled@'%' IDENTIFIED BY 'x' DEFAULT ROLE tables_role",
        ],
    )
    .await;
    let wishes =
        Wishes { selection: Selection::parse(&["shop".into()], &[], &[]).unwrap(), ..wishes };
    let roled = look(&as_user(source, "roled", "x"), &to, &wishes).await;
    let found = ids(&roled);
    assert!(
        !found.contains("source.privilege.trigger") && !found.contains("source.privilege.lock")
    );
    assert!(found.contains("source.privilege.create_user"));
}

#[tokio::test]
async fn every_trouble_is_found() {
    let (source, target) = tokio::join!(
        start(
            options(Product::Mysql97, Role::Source)
                .gtid(false)
                .arg("--server-id=77")
                .arg("--binlog-ignore-db=audit")
        ),
        start(
            options(Product::Mysql97, Role::AuroraStandin)
                .arg("--server-id=77")
                .arg("--lower-case-table-names=0")
        ),
    );
    let (mut at_source, mut at_target) = (root(&source).await, root(&target).await);
    run(
        &mut at_source,
        &[
            "CREATE DATABASE mess",
            "CREATE DATABASE other",
            "CREATE DATABASE daybreak",
            "CREATE TABLE mess.heap (a INT) ENGINE=MyISAM",
            "CREATE TABLE mess.keyless (a INT)",
            "CREATE TABLE mess.uniq (a INT NOT NULL UNIQUE)",
            "CREATE TABLE mess.moving (a INT UNIQUE)",
            "CREATE TABLE mess.named (a INT PRIMARY KEY, b INT UNIQUE)",
            "CREATE TABLE mess.hole (a INT) ENGINE=BLACKHOLE",
            "CREATE TABLE mess.small (a INT PRIMARY KEY) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
            "CREATE TABLE mess.fits (a INT PRIMARY KEY) ROW_FORMAT=DYNAMIC",
            "CREATE TABLE other.parent (id INT PRIMARY KEY)",
            "CREATE TABLE mess.child (id INT PRIMARY KEY, p INT, CONSTRAINT fk_p FOREIGN KEY (p) REFERENCES other.parent (id))",
            "CREATE TABLE mysql.mine (a INT PRIMARY KEY)",
            "CREATE TABLE mess.t (a INT PRIMARY KEY)",
            "CREATE FUNCTION mess.one() RETURNS INT DETERMINISTIC RETURN 1",
            "CREATE DEFINER='gone'@'nowhere' PROCEDURE mess.gone() SELECT 1",
            "CREATE DEFINER='root'@'localhost' TRIGGER mess.tr BEFORE INSERT ON mess.t FOR EACH ROW SET NEW.a = NEW.a",
            "CREATE EVENT mess.tick ON SCHEDULE EVERY 1 DAY DO DO 1",
            "CREATE TABLESPACE ts1 ADD DATAFILE 'ts1.ibd'",
            "CREATE SERVER elsewhere FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')",
            "SET GLOBAL binlog_row_image = 'MINIMAL'",
            "SET GLOBAL binlog_expire_logs_seconds = 600",
            "SET GLOBAL binlog_format = 'MIXED'",
        ],
    )
    .await;
    run(
        &mut at_target,
        &[
            "SET GLOBAL local_infile = 0",
            "SET GLOBAL max_allowed_packet = 1048576",
            "SET GLOBAL log_bin_trust_function_creators = 0",
            "SET GLOBAL sql_require_primary_key = ON",
            "SET GLOBAL sql_mode = ''",
            "SET GLOBAL event_scheduler = OFF",
            "CREATE DATABASE mess",
            "CREATE TABLE mess.there (a INT PRIMARY KEY)",
            "CREATE DATABASE daybreak",
        ],
    )
    .await;
    // Prepared and left behind, as by an application that died.
    let mut xa = root(&source).await;
    run(
        &mut xa,
        &["XA START 'left'", "INSERT INTO mess.t VALUES (1)", "XA END 'left'", "XA PREPARE 'left'"],
    )
    .await;
    let (from, to) = (url(&source.root_url()), url(&target.admin_url()));
    let wishes = Wishes {
        selection: Selection::parse(&["mess".into(), "absent".into()], &[], &[]).unwrap(),
        ..Wishes::default()
    };
    let assessment = look(&from, &to, &wishes).await;
    let sections = redact(
        text(&assessment),
        &[(source.dir().to_str().unwrap(), "(dir)"), (&source.port().to_string(), "(port)")],
    );
    insta::assert_snapshot!("every_trouble", sections);
    let left: Vec<String> = assessment
        .not_migrated
        .iter()
        .map(|left| format!("{} {}: {}", left.kind, left.name, left.why))
        .collect();
    insta::assert_snapshot!("not_migrated", left.join("\n"));

    // Without replication its findings are gone, and the engines' weigh less.
    let none = Wishes { mode: ReplicationMode::None, definer: Definer::Current, ..wishes };
    let assessment = look(&from, &to, &none).await;
    let found = ids(&assessment);
    assert!(!found.iter().any(|id| id.starts_with("replication.") || id.contains("binlog")));
    assert!(!found.contains("target.definer_missing") && assessment.position.is_none());
    assert_eq!(finding(&assessment, "source.engine").severity, Severity::Warning);

    // The step stops, and names every blocker.
    let config = config(&source.root_url(), &target.admin_url());
    let (plan, assessment) =
        route::make_plan(&config, Route::Logical, &Events::nowhere()).await.unwrap();
    let expected: Vec<String> = assessment.blockers().map(|finding| finding.id.clone()).collect();
    assert!(expected.len() > 5);
    let plan = only_preflight(plan);
    let directory = tempfile::tempdir().unwrap();
    let context = context(directory.path(), config, plan, Events::nowhere());
    let runner = Runner::new(context.clone(), vec![Box::new(Preflight)]).unwrap();
    let error = runner.run(None, false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked);
    assert!(context.journal.recall::<Vec<Finding>>("preflight", "findings").unwrap().is_none());
    // What came up between the check and the run is recorded before it stops.
    for entry in [
        Entry::Resumed { version: "1".into(), consent: false },
        Entry::StepStarted { step: "preflight".into() },
    ] {
        context.journal.append(entry).unwrap();
    }
    let alone = Preflight.run(&context).await.unwrap_err();
    assert!(context.journal.recall::<Vec<Finding>>("preflight", "findings").unwrap().is_some());
    for id in &expected {
        assert!(error.what().contains(id.as_str()), "{id} isn't in {error}");
        assert!(alone.what().contains(id.as_str()), "{id} isn't in {alone}");
        let own_line = |line: &str| line.starts_with(&format!("  {id}: "));
        assert!(error.what().lines().any(own_line), "{id} has no line in {error}");
    }
    assert_eq!(error.what().matches("\n    remedy: ").count(), expected.len(), "{error}");
    versions_alone(&from).await;
    run(&mut xa, &["XA ROLLBACK 'left'"]).await;
}

/// A target that is no more than a version.
async fn versions_alone(from: &ServerUrl) {
    for (version, expected) in [("3.10.0", true), ("8.4.7", true), ("9.7.9", false)] {
        let assessment =
            assess(from, &TargetSpec::Version(version.into()), &Wishes::default()).await.unwrap();
        let old = assessment.blockers().any(|finding| finding.id == "target.version");
        assert_eq!(old, expected, "{version}");
        assert!(ids(&assessment).contains("target.not_asked"));
    }
    let mut assessment = assess(from, &TargetSpec::None, &Wishes::default()).await.unwrap();
    let unseen = finding(&assessment, "target.not_asked");
    assert!(unseen.why.contains("local_infile") && unseen.remedy.contains("--target mysql://"));
    // On the physical route there is nothing to give.
    assessment.on_route(Route::Physical);
    assert!(!ids(&assessment).contains("target.not_asked"));
    assert!(assessment.position.is_none() && assessment.facts.target.is_none());
    let error =
        assess(from, &TargetSpec::Version("newest".into()), &Wishes::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}

#[tokio::test]
async fn old_and_other_sources() {
    let (old, maria, target) = tokio::join!(
        start(options(Product::Mysql56, Role::Source)),
        start(options(Product::Mariadb1011, Role::Source)),
        start(options(Product::Mysql97, Role::AuroraStandin)),
    );
    let to = url(&target.admin_url());
    let mut session = root(&old).await;
    run(
        &mut session,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id INT PRIMARY KEY, name VARCHAR(10)) CHARACTER SET utf8",
            "CREATE TABLE shop.place (id INT PRIMARY KEY, g GEOMETRY NOT NULL, SPATIAL INDEX (g)) ENGINE=MyISAM",
            "SET SESSION sql_mode = 'NO_AUTO_CREATE_USER'",
            "CREATE PROCEDURE shop.p() SELECT 1",
            "CREATE VIEW shop.v AS SELECT id FROM shop.t",
        ],
    )
    .await;
    let from = url(&old.root_url());
    let assessment = look(&from, &to, &Wishes::default()).await;
    let found = ids(&assessment);
    // GTIDs are off at the source, and the stand-in insists on them.
    assert!(blockers(&assessment).contains(&"replication.gtid_mode"), "{}", text(&assessment));
    assert!(finding(&assessment, "replication.gtid_mode").remedy.contains("OFF_PERMISSIVE"));
    assert_eq!(assessment.position.as_ref().unwrap().by, PositionBy::File);
    for id in ["target.version", "target.sql_mode", "source.engine", "target.spatial_srid"] {
        assert!(found.contains(id), "{id} is missing in {found:?}");
    }
    assert!(!found.contains("target.collation_unknown"), "{}", text(&assessment));
    insta::assert_snapshot!("source_56", text(&assessment));

    let mut session = root(&maria).await;
    run(
        &mut session,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id UUID PRIMARY KEY, name VARCHAR(10)) COLLATE utf8mb4_uca1400_ai_ci",
            "CREATE TABLE shop.versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
            "CREATE SEQUENCE shop.numbers",
            "SET SESSION sql_mode = 'ORACLE'",
            "CREATE PROCEDURE shop.p AS BEGIN SELECT 1; END",
        ],
    )
    .await;
    let assessment = look(&url(&maria.root_url()), &to, &Wishes::default()).await;
    let found = blockers(&assessment);
    for id in [
        "replication.products",
        "source.table_kind",
        "target.type_unknown",
        "target.collation_unknown",
        "target.sql_mode_oracle",
    ] {
        assert!(found.contains(&id), "{id} is missing in {found:?}");
    }
    let kinds = assessment.blockers().filter(|finding| finding.id == "source.table_kind").count();
    assert_eq!(kinds, 2, "sequences and versioned tables");
    insta::assert_snapshot!("source_mariadb", text(&assessment));
    let none = Wishes {
        mode: ReplicationMode::None,
        selection: Selection {
            exclude_tables: vec![
                TableName::new("shop", "numbers"),
                TableName::new("shop", "versioned"),
            ],
            ..Selection::default()
        },
        ..Wishes::default()
    };
    let assessment = look(&url(&maria.root_url()), &to, &none).await;
    assert!(!blockers(&assessment).contains(&"source.table_kind"));
    assert!(assessment.not_migrated.iter().any(|left| left.name == "shop.numbers"));
}

#[tokio::test]
async fn without_a_binary_log_nothing_can_follow() {
    let (source, target) = tokio::join!(
        start(options(Product::Mysql97, Role::Plain)),
        start(options(Product::Mysql97, Role::Plain).gtid(true)),
    );
    let mut session = root(&source).await;
    run(&mut session, &["CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)"]).await;
    let (from, to) = (url(&source.root_url()), url(&target.root_url()));
    let assessment = look(&from, &to, &Wishes::default()).await;
    assert_eq!(blockers(&assessment), ["source.log_bin"], "{}", text(&assessment));
    let none = Wishes { mode: ReplicationMode::None, ..Wishes::default() };
    assert_eq!(blockers(&look(&from, &to, &none).await), [""; 0]);
    // A server isn't its own target.
    let same = look(&from, &from, &none).await;
    assert!(blockers(&same).contains(&"target.same_server"));
}
