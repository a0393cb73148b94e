//! Full and incremental backups, merged, started, and replicated from the coordinates.

use std::path::Path;

use mysql_async::prelude::Queryable as _;
use rehearsal::{server::Server, writer};
use serde_json::Value;

use crate::{
    across,
    place::{Place, serve, wrote},
    support::{self, Pair},
};

/// Replicates from the coordinates of a prepared backup, and compares every row. Nothing may be
/// written to the source any more.
pub async fn follow_and_compare(source: Server, restored: Server, coordinates: &Value) -> Pair {
    let (file, position) = (&coordinates["file"]["file"], &coordinates["file"]["position"]);
    let mut at_source = support::connect(&source.root_url()).await;
    let (end, end_position): (String, u64) = {
        let row: mysql_async::Row =
            at_source.query_first("SHOW MASTER STATUS").await.unwrap().unwrap();
        (row.get(0).unwrap(), row.get(1).unwrap())
    };
    let mut root = support::connect(&restored.root_url()).await;
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'root', MASTER_PASSWORD = '{}', \
         MASTER_LOG_FILE = '{}', MASTER_LOG_POS = {position}, MASTER_USE_GTID = no",
        source.port(),
        source.root_password(),
        file.as_str().unwrap(),
    );
    root.query_drop(change).await.unwrap();
    root.query_drop("START SLAVE").await.unwrap();
    let waited: Option<i64> = root
        .query_first(format!("SELECT MASTER_POS_WAIT('{end}', {end_position}, 120)"))
        .await
        .unwrap()
        .unwrap();
    if waited.is_none_or(|events| events < 0) {
        let row: mysql_async::Row = root.query_first("SHOW SLAVE STATUS").await.unwrap().unwrap();
        let error: Option<String> = row.get("Last_SQL_Error");
        panic!("the restored server can't follow: {error:?}");
    }
    root.query_drop("STOP SLAVE").await.unwrap();
    let pair = Pair { source, target: restored };
    assert!(across::assert_same(&pair, "shop").await > 100);
    pair
}

/// What daybreak prepared it calls whole, with the coordinates of the last that was merged.
async fn inspected_whole(place: &Path, coordinates: &Value) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.args(["backup", "inspect", "--for", "any", "--json"]).arg(place);
    let output = support::output(command).await;
    assert!(output.status.success(), "{}", support::said(&output));
    let found = across::document(&output);
    assert_eq!(found["whole"], true, "{found:#}");
    assert_eq!(found["chain"].as_array().unwrap().len(), 1);
    assert_eq!(&found["coordinates"], coordinates, "{found:#}");
    let stale = |one: &Value| one["id"].as_str().unwrap().starts_with("backup.coordinates");
    assert!(!found["findings"].as_array().unwrap().iter().any(stale), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_one_and_two_incrementals_become_a_replica() {
    let place = Place::start(3_000).await;
    let writer = place.writer().await;
    let full = place.taken(&[]).await;
    assert_eq!((&full["name"], &full["state"]), (&"full".into(), &"whole".into()));
    assert_eq!(full["base"], Value::Null);
    wrote(&writer, 200).await;
    place.checkpoint().await;
    let one = place.taken(&["--incremental", "--parallel", "4"]).await;
    assert_eq!((&one["name"], &one["base"]), (&"inc1".into(), &"full".into()));
    assert_eq!(one["from_lsn"], full["to_lsn"]);
    assert_eq!(one["same_lsn_as_base"], false);
    wrote(&writer, 200).await;
    place.checkpoint().await;
    let two = place.taken(&["--incremental"]).await;
    assert_eq!((&two["name"], &two["base"]), (&"inc2".into(), &"inc1".into()));
    assert_eq!(two["from_lsn"], one["to_lsn"]);
    // On another base than the newest.
    place.checkpoint().await;
    let other = place.taken(&["--incremental", "--base", "full", "--name", "since-full"]).await;
    assert_eq!(other["from_lsn"], full["to_lsn"]);
    wrote(&writer, 100).await;
    place.assert_no_secret_in_files();
    assert!(place.logins().is_empty());

    // On a copy: the backups stay as they were.
    let prepare = async |name: &str, to: Option<&Path>| -> Value {
        let mut command = place.daybreak(&["backup", "prepare", "--json", "--name", name]);
        command.arg(place.backups()).arg("--program").arg(&place.tools.backup);
        if let Some(to) = to {
            command.arg("--to").arg(to);
        }
        let output = support::output(command).await;
        assert!(output.status.success(), "{}", support::said(&output));
        across::document(&output)
    };
    let copy = place.home.path().join("copy");
    let before = tree(&place.backups().join("inc2"));
    let prepared = prepare("inc2", Some(&copy)).await;
    assert_eq!(prepared["of"], serde_json::json!(["full", "inc1", "inc2"]));
    assert_eq!(prepared["coordinates"], two["coordinates"]);
    assert_ne!(prepared["coordinates"], full["coordinates"]);
    assert_eq!(tree(&place.backups().join("inc2")), before, "the copy changed the backup");
    // Asked again, it is known.
    assert_eq!(prepare("inc2", Some(&copy)).await, prepared);
    inspected_whole(&copy, &prepared["coordinates"]).await;
    // In place, by the other way through the chain.
    let in_place = prepare("since-full", None).await;
    assert_eq!(in_place["of"], serde_json::json!(["full", "since-full"]));
    assert_eq!(prepare("since-full", None).await, in_place);
    inspected_whole(&place.backups().join("full"), &in_place["coordinates"]).await;
    let states: Vec<Value> = place.list().await.iter().map(|one| one["state"].clone()).collect();
    let merged = serde_json::json!({"prepared": {"merged": ["since-full"]}});
    assert_eq!(states, [merged, "whole".into(), "whole".into(), "merged".into()]);
    // Nothing more can be based on it, nor merged into it.
    let said = place.refused(&["--incremental"], 1).await;
    assert!(said.contains("prepared"), "{said}");

    writer.stop().await.unwrap();
    let Place { server, home, .. } = place;
    let restored = serve(&copy, &server, &home.path().join("restored")).await;
    let pair = follow_and_compare(server, restored, &prepared["coordinates"]).await;
    let report = writer::check(&pair.target.root_url(), &writer.ledger()).await.unwrap();
    assert!(report.is_ok() && report.acknowledged > 500, "{report}");
    let Pair { source, target } = pair;
    drop(target);
    let place = home.path().join("backups/full");
    let restored = serve(&place, &source, &home.path().join("restored2")).await;
    follow_and_compare(source, restored, &in_place["coordinates"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_checkpoint_between_them_it_is_said_and_merged_in_order() {
    let place = Place::start(500).await;
    place.taken(&[]).await;
    let insert = async |n: i32| {
        let mut root = support::connect(&place.server.root_url()).await;
        root.query_drop("CREATE TABLE IF NOT EXISTS shop.same (id INT PRIMARY KEY, v LONGTEXT)")
            .await
            .unwrap();
        root.query_drop(format!(
            "REPLACE INTO shop.same VALUES (1, '{n}'), ({n}, REPEAT('x', 99))"
        ))
        .await
        .unwrap();
    };
    // Pages stay dirty, so that the checkpoint stays where it is.
    let mut root = support::connect(&place.server.root_url()).await;
    root.query_drop("SET GLOBAL innodb_max_dirty_pages_pct = 99.9").await.unwrap();
    place.checkpoint().await;
    let mut same = 0;
    for n in [7, 8, 9] {
        insert(n).await;
        let output = support::output(place.take(&["--incremental"])).await;
        let said = support::said(&output);
        assert!(output.status.success(), "{said}");
        let backup = place.list().await.pop().unwrap();
        let is_same = backup["same_lsn_as_base"] == true;
        assert_eq!(is_same, backup["from_lsn"] == backup["to_lsn"]);
        assert_eq!(is_same, said.contains("merge the chain first"), "{said}");
        same += i32::from(is_same);
    }
    assert!(same > 0, "the server made a checkpoint each time");
    let copy = place.home.path().join("copy");
    let mut command = place.daybreak(&["backup", "prepare"]);
    command.arg(place.backups()).arg("--to").arg(&copy).arg("--program").arg(&place.tools.backup);
    let output = support::output(command).await;
    assert!(output.status.success(), "{}", support::said(&output));
    let restored = serve(&copy, &place.server, &place.home.path().join("restored")).await;
    let mut root = support::connect(&restored.root_url()).await;
    let rows: Vec<(i32, String)> =
        root.query("SELECT id, LEFT(v, 3) FROM shop.same ORDER BY id").await.unwrap();
    let text = |n, v: &str| (n, v.to_string());
    assert_eq!(rows, [text(1, "9"), text(7, "xxx"), text(8, "xxx"), text(9, "xxx")]);
}

/// Every file of a directory with its size.
fn tree(directory: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    found.push((path.display().to_string(), path.metadata().unwrap().len()));
                }
            }
        }
    }
    found.sort();
    found
}
