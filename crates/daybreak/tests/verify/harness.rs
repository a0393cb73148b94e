//! Two servers, and what a comparison of them says.

use std::time::Duration;

use daybreak::{
    config::{VerifyConfig, VerifyMode},
    engine::StopSignal,
    event::Events,
    mysql::{ServerUrl, Session, Side},
    select::Selection,
    sync::verify::{Liveness, TableVerdict, Verdict, VerifyReport, What, compare},
};
use rehearsal::server::{Product, Role, Server, ServerOptions};

/// The servers.
pub struct Sides {
    pub source: Server,
    pub target: Server,
}

impl Sides {
    pub async fn start(role: Role) -> Self {
        let options = |role| ServerOptions::new(Product::Mysql97, role).durable(false);
        let (source, target) = tokio::join!(
            Server::start(options(role)),
            Server::start(options(Role::Plain).binlog(role == Role::Source))
        );
        Sides { source: source.unwrap(), target: target.unwrap() }
    }

    pub fn urls(&self) -> [ServerUrl; 2] {
        [&self.source, &self.target].map(|server| ServerUrl::parse(&server.root_url()).unwrap())
    }

    pub async fn sessions(&self) -> [Session; 2] {
        let [source, target] = self.urls();
        [
            Session::open(&source, Side::Source).await.unwrap(),
            Session::open(&target, Side::Target).await.unwrap(),
        ]
    }

    /// Makes the database `live` with a table that has a key, one that has none, and what else is said, and
    /// lets the target follow the source.
    pub async fn follow(&self, more: &[&str]) {
        let [mut source, mut target] = self.sessions().await;
        for sql in [
            "CREATE DATABASE live",
            "CREATE TABLE live.t (id INT PRIMARY KEY, v VARCHAR(20), n BIGINT)",
            "CREATE TABLE live.k (v BIGINT, w VARCHAR(20))",
            "SET SESSION cte_max_recursion_depth = 10000",
            "INSERT INTO live.t WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5000) \
             SELECT n, 'v', 0 FROM r",
            "INSERT INTO live.k SELECT -id, 'old' FROM live.t WHERE id < 500",
        ]
        .iter()
        .chain(more)
        {
            source.execute(sql).await.unwrap();
        }
        target
            .execute(format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'root', \
                 SOURCE_PASSWORD = '{}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
                self.source.port(),
                self.source.root_password()
            ))
            .await
            .unwrap();
        target.execute("START REPLICA").await.unwrap();
    }

    pub async fn compare(
        &self,
        database: &str,
        config: &VerifyConfig,
        live: Liveness,
    ) -> VerifyReport {
        let [source, target] = self.urls();
        let selection = Selection { databases: vec![database.into()], ..Selection::default() };
        both_ways(&source, &target, &selection, config, live).await
    }
}

/// What a comparison says: by checksums and byte by byte it is the same.
pub async fn both_ways(
    source: &ServerUrl,
    target: &ServerUrl,
    selection: &Selection,
    config: &VerifyConfig,
    live: Liveness,
) -> VerifyReport {
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let report = compare(source, target, selection, config, live, &events, &stop).await.unwrap();
    if config.mode == VerifyMode::Checksum {
        let full = VerifyConfig { mode: VerifyMode::Full, ..config.clone() };
        let full = compare(source, target, selection, &full, live, &events, &stop).await.unwrap();
        assert_eq!((full.tables.len(), full.mode), (report.tables.len(), VerifyMode::Full));
        for (ours, theirs) in report.tables.iter().zip(&full.tables) {
            assert_eq!(without_hashes(ours), without_hashes(theirs));
        }
        assert_eq!(full.is_equal(), report.is_equal());
        assert_eq!(full.limits, report.limits);
    }
    report
}

/// A verdict without what depends on the hash: how a row without a key is called, and on live servers
/// how many rows there were at that moment.
fn without_hashes(verdict: &TableVerdict) -> (String, &Verdict, Vec<(String, What)>, u64) {
    let named = |key: &str| match key.strip_prefix("the row with hash ") {
        Some(rest) => rest.split_once(',').map_or(rest, |(_, times)| times).to_string(),
        None => key.to_string(),
    };
    let mut rows: Vec<_> =
        verdict.differences.iter().map(|row| (named(&row.key), row.what)).collect();
    rows.sort();
    (verdict.table.to_string(), &verdict.verdict, rows, verdict.more)
}

/// MySQL 5.6, MySQL 9.7 and MariaDB, each with a database `common` and these tables; `POINTTEXT` is the
/// server's function for points.
pub async fn products(tables: &[&str]) -> ([Server; 3], Vec<ServerUrl>) {
    let start = |product| Server::start(ServerOptions::new(product, Role::Plain).durable(false));
    let (old, new, maria) =
        tokio::join!(start(Product::Mysql56), start(Product::Mysql97), start(Product::Mariadb1011));
    let servers = [old.unwrap(), new.unwrap(), maria.unwrap()];
    let urls: Vec<ServerUrl> =
        servers.iter().map(|server| ServerUrl::parse(&server.root_url()).unwrap()).collect();
    for url in &urls {
        let mut session = Session::open(url, Side::Source).await.unwrap();
        let point =
            if session.dialect().mysql_from(8, 0, 0) { "ST_GeomFromText" } else { "GeomFromText" };
        session
            .execute(
                "CREATE DATABASE common DEFAULT CHARACTER SET latin1 COLLATE latin1_swedish_ci",
            )
            .await
            .unwrap();
        for sql in tables {
            session.execute(sql.replace("POINTTEXT", point)).await.unwrap();
        }
    }
    (servers, urls)
}

pub fn config(chunk_rows: u64) -> VerifyConfig {
    VerifyConfig {
        mode: VerifyMode::Checksum,
        threads: 3,
        chunk_rows,
        recheck: Duration::from_secs(60),
    }
}

pub fn table<'a>(report: &'a VerifyReport, name: &str) -> &'a TableVerdict {
    report.tables.iter().find(|verdict| verdict.table.name == name).unwrap()
}

/// The differences of a table, as text.
pub fn found(report: &VerifyReport, name: &str) -> Vec<(String, What)> {
    let verdict = table(report, name);
    verdict.differences.iter().map(|row| (row.key.clone(), row.what)).collect()
}
