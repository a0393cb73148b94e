//! What a backup would be refused for is known from the running server, by the same rules.

use std::{collections::BTreeSet, process::Stdio};

use daybreak::{
    config::{Config, Overrides},
    engine::{Finding, PositionBy, Route, Severity},
    error::Kind,
    event::Events,
    mysql::ServerUrl,
    route::make_plan,
    source::assess::{Assessment, TargetSpec, Wishes, assess},
    transit::inspection::Profile,
};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions, find_mariadb_backup};

use crate::{
    mariadb::{login, take},
    samples::look,
};

async fn start(options: ServerOptions) -> Server {
    Server::start(options.buffer_pool_mib(64).durable(false)).await.unwrap()
}

async fn run(server: &Server, statements: &[&str]) {
    let mut root = server.connect_root().await.unwrap();
    for statement in statements {
        root.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    root.disconnect().await.unwrap();
}

async fn judged(server: &Server, rules: Option<Profile>) -> Assessment {
    let url = ServerUrl::parse(&server.root_url()).unwrap();
    let wishes = Wishes { restored_by: rules, ..Wishes::default() };
    assess(&url, &TargetSpec::None, &wishes).await.unwrap()
}

/// The findings of the rules about backups.
fn about_backups(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.id.starts_with("backup.")).collect()
}

fn weighed(findings: &[Finding]) -> BTreeSet<(String, Severity)> {
    let found = about_backups(findings).into_iter();
    found.map(|finding| (finding.id.clone(), finding.severity)).collect()
}

fn ids(findings: &[Finding], severity: Severity) -> BTreeSet<&str> {
    let found = about_backups(findings).into_iter();
    found
        .filter(|finding| finding.severity == severity)
        .map(|finding| finding.id.as_str())
        .collect()
}

/// A source and its backup are judged alike.
#[tokio::test]
async fn the_running_server_and_its_backup_agree() {
    let mut server = start(ServerOptions::new(Product::Mariadb1011, Role::Source)).await;
    let place = tempfile::tempdir().unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let outside = format!(
        "CREATE TABLE shop.outside (id INT PRIMARY KEY) DATA DIRECTORY '{}'",
        elsewhere.display()
    );
    run(
        &server,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.plain (id INT PRIMARY KEY, t TEXT)",
            "CREATE TABLE shop.old (id INT PRIMARY KEY) ENGINE=MyISAM",
            "CREATE TABLE shop.small (id INT PRIMARY KEY) ROW_FORMAT=COMPRESSED",
            "CREATE TABLE shop.pages (id INT PRIMARY KEY, t TEXT) PAGE_COMPRESSED=1",
            &outside,
        ],
    )
    .await;
    // So that all is in the tables' files.
    server.restart().await.unwrap();
    let backup = place.path().join("full");
    let program = find_mariadb_backup().unwrap().backup;
    let options = login(&server, place.path());
    take(&program, &options, &[&format!("--target-dir={}", backup.display())], Stdio::null());

    for profile in [Profile::Aurora, Profile::Any] {
        let found = look(&backup, profile).findings;
        let known = judged(&server, Some(profile)).await.findings;
        let (mut in_backup, known) = (weighed(&found), weighed(&known));
        // What only a backup has: a tool, and files.
        in_backup
            .retain(|(id, _)| !["backup.not_migrated", "backup.foreign_gtids"].contains(&&**id));
        assert_eq!(known, in_backup, "{profile:?}");
    }
    let known = judged(&server, Some(Profile::Aurora)).await;
    let of = |id: &str| known.findings.iter().find(|one| one.id == id).unwrap();
    assert_eq!(of("backup.myisam").objects, ["shop.old"]);
    assert_eq!(of("backup.row_format").objects, ["shop.small"]);
    assert_eq!(of("backup.page_compression").objects, ["shop.pages"]);
    assert_eq!(of("backup.data_directory").objects, ["shop.outside"]);
    // Said once, and by the rules of this route.
    for other in ["source.compressed", "source.data_directory", "source.engine"] {
        assert!(known.findings.iter().all(|one| one.id != other), "{other}");
    }
    // Copied row by row none of it stands in the way.
    let logical = judged(&server, None).await;
    assert_eq!(about_backups(&logical.findings), [] as [&Finding; 0]);
    for other in ["source.data_directory", "source.engine"] {
        assert!(logical.findings.iter().any(|one| one.id == other), "{other}");
    }
    assert!(!logical.route.reason.contains("physical"), "{}", logical.route.reason);
}

#[tokio::test]
async fn mysql_56_and_its_settings() {
    let server = start(
        ServerOptions::new(Product::Mysql56, Role::Source)
            .arg("--innodb-log-files-in-group=3")
            .arg("--innodb-file-format=Barracuda"),
    )
    .await;
    run(
        &server,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.plain (id INT PRIMARY KEY)",
            "CREATE TABLE shop.small (id INT PRIMARY KEY) KEY_BLOCK_SIZE=4",
        ],
    )
    .await;
    let found = judged(&server, Some(Profile::Aurora)).await;
    let blockers = ids(&found.findings, Severity::Blocker);
    let wanted = ["backup.log_files", "backup.row_format", "backup.server_version"];
    assert_eq!(blockers, BTreeSet::from(wanted));
    for finding in about_backups(&found.findings) {
        assert!(!finding.remedy.is_empty() && !finding.remedy.contains("again"), "{finding:?}");
    }
    assert_eq!(
        about_backups(&judged(&server, Some(Profile::Any)).await.findings),
        [] as [&Finding; 0]
    );

    let (url, target) = (server.root_url(), "mysql://admin:x@127.0.0.1:3306/".to_string());
    let overrides = Overrides { source: Some(url), target: Some(target), ..Overrides::default() };
    let mut config = Config::from_overrides(&overrides).unwrap();
    let planned = |config: Config| async move {
        make_plan(&config, Route::Physical, &Events::nowhere()).await.map(|(plan, _)| plan)
    };
    let error = planned(config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    for id in wanted {
        assert!(error.to_string().contains(id), "{id} in {error}");
    }
    config.backup.rules = Profile::Any;
    planned(config.clone()).await.unwrap();
    // A place in the replication stream that this route can't keep isn't forgotten in silence.
    config.replication.position = Some(PositionBy::Gtid);
    let error = planned(config).await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (Kind::Config, Some("replication.position")));
}

/// No remedy of this route is one of the other's.
#[tokio::test]
async fn remedies_are_those_of_the_route() {
    let server =
        start(ServerOptions::new(Product::Mysql97, Role::Source).binlog(false).gtid(false)).await;
    run(
        &server,
        &[
            "CREATE DATABASE shop",
            "CREATE DATABASE other",
            "CREATE TABLE shop.pages (id INT PRIMARY KEY) COMPRESSION='zlib'",
        ],
    )
    .await;
    let url = ServerUrl::parse(&server.root_url()).unwrap();
    for (rules, words) in [(None, "accept a downtime"), (Some(Profile::Aurora), "--route logical")]
    {
        let selection = daybreak::select::Selection::parse(&["shop".into()], &[], &[]).unwrap();
        let wishes = Wishes { restored_by: rules, selection, ..Wishes::default() };
        let found = assess(&url, &TargetSpec::None, &wishes).await.unwrap();
        for id in ["source.log_bin", "replication.selection"] {
            let finding = found.findings.iter().find(|one| one.id == id).unwrap();
            assert!(finding.remedy.contains(words), "{finding:?}");
            assert_eq!(finding.remedy.contains("--route logical"), rules.is_some(), "{finding:?}");
        }
        let mut blockers = ids(&found.findings, Severity::Blocker);
        // Whose build of 9.7 it is doesn't matter here.
        blockers.remove("backup.product");
        let wanted: &[&str] = match rules {
            Some(_) => &["backup.page_compression", "backup.server_version"],
            None => &[],
        };
        assert_eq!(blockers, wanted.iter().copied().collect());
        assert!(!found.route.reason.contains("physical"), "{}", found.route.reason);
    }
}
