//! What an account may do is answered alike by the assessment and by the cutover, and the grants that
//! the README names are enough for both.

mod pair;

use std::collections::BTreeMap;

use daybreak::{
    engine::{PositionBy, ReplicationMode, Severity, Step as _},
    event::Events,
    mysql::ServerUrl,
    source::assess::{Assessment, TargetSpec, Wishes, assess},
    switch::cut_over::CutOver,
};
use pair::{Pair, run};
use rehearsal::server::{Product, Role, Server, ServerOptions};

/// What an account lacks at the source.
async fn lacking(source: &ServerUrl, target: &str, wishes: &Wishes) -> BTreeMap<String, Severity> {
    let target = TargetSpec::Url(Box::new(ServerUrl::parse(target).unwrap()));
    let Assessment { findings, .. } = assess(source, &target, wishes).await.unwrap();
    let about = |id: &str| id.starts_with("source.privilege.");
    findings.into_iter().filter(|f| about(&f.id)).map(|f| (f.id, f.severity)).collect()
}

/// The statements of the README, for an account of that password.
fn in_the_readme(password: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let section = readme.split_once("### What the accounts need").unwrap().1;
    let block = section.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
    let statements = block.replace("'...'", &format!("'{password}'"));
    statements.split(';').map(|one| one.trim().to_string()).filter(|one| !one.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_grants_what_a_cutover_may_need() {
    let pair = Pair::start(Role::AuroraStandin, PositionBy::Gtid).await;
    let mut root = pair.source.connect_root().await.unwrap();
    for statement in in_the_readme("moves-It1s") {
        run(&mut root, &statement).await;
    }
    let mover =
        ServerUrl::parse(&format!("mysql://migrator:moves-It1s@127.0.0.1:{}/", pair.source.port()))
            .unwrap();
    let lacks = async || lacking(&mover, &pair.target.admin_url(), &Wishes::default()).await;
    assert_eq!(lacks().await, BTreeMap::new());
    // Without one of the two, writes can't be stopped in every case.
    for (privilege, id, severity) in [
        ("CONNECTION_ADMIN", "source.privilege.end_statements", Severity::Warning),
        ("RELOAD", "source.privilege.global_lock", Severity::Note),
    ] {
        run(&mut root, &format!("REVOKE {privilege} ON *.* FROM migrator")).await;
        assert_eq!(lacks().await, BTreeMap::from([(id.to_string(), severity)]));
        run(&mut root, &format!("GRANT {privilege} ON *.* TO migrator")).await;
    }
    // Without either, in none.
    run(&mut root, "REVOKE CONNECTION_ADMIN, RELOAD ON *.* FROM migrator").await;
    let id = "source.privilege.write_stop".to_string();
    assert_eq!(lacks().await, BTreeMap::from([(id, Severity::Blocker)]));
}

/// MariaDB shows what a role gives only if it isn't asked for an account by name; and its SUPER doesn't
/// set read_only.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_closes_a_mariadb_source() {
    let options = |role| ServerOptions::new(Product::Mariadb1011, role).durable(false).binlog(true);
    let (source, target) =
        tokio::join!(Server::start(options(Role::Source)), Server::start(options(Role::Plain)));
    let pair = Pair {
        source: source.unwrap(),
        target: target.unwrap(),
        by: PositionBy::File,
        directory: tempfile::tempdir().unwrap(),
    };
    let mut root = pair.source.connect_root().await.unwrap();
    for statement in [
        "CREATE ROLE closer",
        "GRANT READ_ONLY ADMIN, CONNECTION ADMIN ON *.* TO closer",
        "CREATE USER roled@'%' IDENTIFIED BY 'x'",
        "GRANT closer TO roled@'%'",
        "SET DEFAULT ROLE closer FOR roled@'%'",
        "CREATE USER super@'%' IDENTIFIED BY 'x'",
        "GRANT SUPER ON *.* TO super@'%'",
    ] {
        run(&mut root, statement).await;
    }
    for account in ["roled", "super"] {
        if account == "super" {
            run(&mut root, "GRANT SELECT, REPLICATION CLIENT ON *.* TO super@'%'").await;
        } else {
            run(&mut root, "GRANT SELECT, BINLOG MONITOR, SLAVE MONITOR ON *.* TO roled@'%'").await;
        }
        let mut config = pair.config();
        config.replication.mode = ReplicationMode::None;
        config.source =
            ServerUrl::parse(&format!("mysql://{account}:x@127.0.0.1:{}/", pair.source.port()))
                .unwrap();
        let wishes = Wishes::of(&config);
        let assessed = lacking(&config.source, &pair.target.root_url(), &wishes).await;
        let steps: Vec<Box<dyn daybreak::engine::Step>> = vec![Box::new(CutOver)];
        let directory = tempfile::tempdir().unwrap();
        let context =
            pair::context_of(directory.path(), config, pair.by, Events::nowhere(), &steps);
        let gates = CutOver.check(&context).await.unwrap();
        let closed = gates.iter().any(|gate| gate.id == "cutover.closable");
        assert_eq!(
            (assessed.contains_key("source.privilege.read_only"), closed),
            (account == "super", account == "super"),
            "{account}: {assessed:?}, {gates:#?}"
        );
    }
}
