//! The hashes themselves, and servers that don't make it easy.

use std::time::Duration;

use daybreak::{
    config::VerifyConfig,
    engine::{StopReason, StopSignal},
    error::Kind,
    event::{Event, Events},
    mysql::{Catalog, ChunkKey, KeyRange},
    select::Selection,
    sync::verify::{
        Liveness,
        What::Different,
        compare,
        hash::{self, Documents, RowHash},
    },
};

use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::watch::until_within;

use super::harness::{Sides, config, found};

/// Waits until a server has dropped a session that does nothing.
async fn drops_the_idle(url: &str) {
    let (mut idle, mut watcher) =
        (Conn::from_url(url).await.unwrap(), Conn::from_url(url).await.unwrap());
    let id: u64 = idle.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    until_within(Duration::from_secs(60), "an idle session is dropped", async || {
        let listed = format!("SELECT 1 FROM performance_schema.processlist WHERE ID = {id}");
        watcher.query_first::<u8, _>(listed).await.unwrap().is_none()
    })
    .await;
    watcher.disconnect().await.unwrap();
}

/// Servers that drop an idle session after two seconds and cut results short.
pub async fn impatient_servers_are_compared(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        for sql in [
            "CREATE DATABASE impatient",
            "CREATE TABLE impatient.t (a INT PRIMARY KEY, b INT, c INT)",
            "INSERT INTO impatient.t VALUES (1, 2, 3), (2, 3, 4)",
            "SET GLOBAL wait_timeout = 2, GLOBAL sql_select_limit = 2, GLOBAL max_execution_time = 500",
        ] {
            session.execute(sql).await.unwrap();
        }
    }
    target.execute("UPDATE impatient.t SET c = 5 WHERE a = 2").await.unwrap();
    let [ours, theirs] = sides.urls();
    let selection = Selection { databases: vec!["impatient".into()], ..Selection::default() };
    // Every time something is told, the comparison rests for as long as both servers bear with an idle session.
    let impatient = [sides.source.root_url(), sides.target.root_url()];
    let events = Events::to(move |event| {
        if matches!(event, Event::Progress { .. }) {
            let [source, target] = impatient.clone();
            let waiting = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let both = async { tokio::join!(drops_the_idle(&source), drops_the_idle(&target)) };
                runtime.unwrap().block_on(both)
            });
            waiting.join().unwrap();
        }
    });
    let stop = StopSignal::default();
    // One thread: none is just logging in while the other one sleeps.
    let alone = VerifyConfig { threads: 1, ..config(100) };
    let report = compare(&ours, &theirs, &selection, &alone, Liveness::Still, &events, &stop).await;
    for session in [&mut source, &mut target] {
        let defaults = "SET GLOBAL wait_timeout = DEFAULT, GLOBAL sql_select_limit = DEFAULT, GLOBAL max_execution_time = DEFAULT";
        session.execute(defaults).await.unwrap();
    }
    let report = report.unwrap();
    assert_eq!(found(&report, "t"), [("(a=2)".to_string(), Different)]);
    assert_eq!(report.objects["column"].source, 3);
}

pub async fn hashes_stand_by_themselves(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    let selection = Selection { databases: vec!["cases".into()], ..Selection::default() };
    let catalog = Catalog::read(&mut source, &selection).await.unwrap();
    let find = |name: &str| catalog.tables.iter().find(|t| t.name.name == name).unwrap();
    let all = KeyRange::all();

    // Neither the connection's character set nor its settings change a hash.
    let kinds = find("kinds");
    let by = RowHash::new(&source, kinds, Documents::Values).unwrap();
    let plain = hash::chunk_sum(&mut source, kinds, &by, None, &all).await.unwrap();
    for names in ["binary", "latin1", "gbk", "utf8mb4"] {
        source.execute(format!("SET NAMES {names}")).await.unwrap();
        assert_eq!(
            hash::chunk_sum(&mut source, kinds, &by, None, &all).await.unwrap(),
            plain,
            "{names}"
        );
    }
    let key = ChunkKey::of(kinds).unwrap();
    assert_eq!(hash::chunk_sum(&mut source, kinds, &by, Some(&key), &all).await.unwrap(), plain);
    assert_eq!(plain.rows, 1_000);

    // The parts of a table add up to it.
    let rows = hash::row_hashes(&mut source, kinds, &by, &key, &all).await.unwrap();
    assert_eq!(rows.len(), 1_000);
    let xor = rows.iter().fold(0, |xor, row| xor ^ u64::from_str_radix(&row.1[..16], 16).unwrap());
    assert_eq!(xor, plain.xor.0);
    let one = KeyRange { after: Some(rows[6].0.clone()), up_to: Some(rows[7].0.clone()) };
    let one = hash::chunk_sum(&mut source, kinds, &by, Some(&key), &one).await.unwrap();
    assert_eq!(one.rows, 1);
    assert_eq!(format!("{:016x}", one.xor.0), rows[7].1[..16]);

    // A range through an index that isn't there yet.
    let mut missing = key.clone();
    missing.index = "later".into();
    assert_eq!(
        hash::chunk_sum(&mut source, kinds, &by, Some(&missing), &all).await.unwrap(),
        plain
    );

    // No rows are no rows, and a row that can't be hashed is an error.
    target
        .execute(
            "CREATE TABLE cases.wide (id INT PRIMARY KEY, a VARBINARY(20000), b VARBINARY(20000))",
        )
        .await
        .unwrap();
    let catalog = Catalog::read(&mut target, &selection).await.unwrap();
    let wide = catalog.tables.iter().find(|t| t.name.name == "wide").unwrap();
    let by = RowHash::new(&target, wide, Documents::Values).unwrap();
    let sum = hash::chunk_sum(&mut target, wide, &by, None, &all).await.unwrap();
    assert_eq!((sum.rows, sum.xor, sum.sum.0.as_str()), (0, (0, 0), "0"));
    target
        .execute("INSERT INTO cases.wide VALUES (1, REPEAT('a', 20000), REPEAT('b', 20000))")
        .await
        .unwrap();
    target.execute("SET GLOBAL max_allowed_packet = 16384").await.unwrap();
    let [_, mut narrow] = sides.sessions().await;
    let error = hash::chunk_sum(&mut narrow, wide, &by, None, &all).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotExact, "{error}");
    assert!(
        error.to_string().contains("max_allowed_packet")
            && error.to_string().contains("cases.wide")
    );
    target.execute("SET GLOBAL max_allowed_packet = 67108864").await.unwrap();

    // A stop is heeded.
    let stop = StopSignal::default();
    stop.stop(StopReason::Interrupt);
    let [ours, theirs] = sides.urls();
    let error = compare(
        &ours,
        &theirs,
        &selection,
        &config(100),
        Liveness::Still,
        &Events::nowhere(),
        &stop,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}
