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
