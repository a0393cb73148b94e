//! `daybreak explain`, and the same words beside a replica that an error stopped.

mod support;

use mysql_async::prelude::Queryable as _;
use support::{Pair, daybreak, output, said};

/// Runs `explain`, which needs no migration.
async fn explain(arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command.arg("explain").args(arguments);
    output(command).await
}

fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn what_is_known_is_told() {
    let one = explain(&["1032"]).await;
    assert!(one.status.success(), "{}", said(&one));
    for part in
        ["ER_KEY_NOT_FOUND", "  cause ", "  confirm ", "  remedy ", "daybreak replicate start"]
    {
        assert!(printed(&one).contains(part), "{part}: {}", said(&one));
    }
    let json = explain(&["ER_DUP_ENTRY", "--json"]).await;
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    // One of loading, two of replicating: the event that met it tells.
    assert_eq!(found.as_array().unwrap().len(), 3, "{found}");
    for field in ["codes", "name", "doing", "title", "cause", "confirm", "remedy"] {
        assert!(!found[0][field].is_null(), "{field}: {found}");
    }
    // A message as it was printed, with and without quotes.
    let words = "Got fatal error 1236 from source: Client requested source to start replication from impossible position";
    let pasted = explain(&[words]).await;
    assert!(printed(&pasted).contains("sync_binlog"), "{}", said(&pasted));
    let split: Vec<&str> = words.split(' ').collect();
    assert_eq!(printed(&explain(&split).await), printed(&pasted));

    // The rules by which backups are judged, by their names and as `backup inspect` prints them.
    for asked in [&["backup.page_damaged"][..], &["BLOCKER", " backup.page_damaged"]] {
        let rule = explain(asked).await;
        assert!(rule.status.success(), "{}", said(&rule));
        for part in ["page damaged, of a backup: a blocker", "innochecksum", "CHECK TABLE"] {
            assert!(printed(&rule).contains(part), "{part}: {}", said(&rule));
        }
    }

    let all = explain(&[]).await;
    assert!(all.status.success() && printed(&all).lines().count() > 50, "{}", said(&all));
    let all: serde_json::Value =
        serde_json::from_slice(&explain(&["--json"]).await.stdout).unwrap();
    assert!(all.as_array().unwrap().len() > 50);

    for unknown in ["9999", "colourless green ideas"] {
        let unknown = explain(&[unknown]).await;
        assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
        assert!(said(&unknown).contains("nothing is known here of"), "{}", said(&unknown));
    }
}

/// `status` and `verify` don't hold a replica for running that has stopped.
async fn told_beside_the_work(dir: &std::path::Path, met: &str, known: &serde_json::Value) {
    let remedy = known["remedy"].as_str().unwrap();
    let status = output(daybreak(dir, &["status"])).await;
    assert!(status.status.success(), "{}", said(&status));
    for words in
        ["paused, and replication has stopped", "replication failed while applying", met, remedy]
    {
        assert!(printed(&status).contains(words), "{words}: {}", said(&status));
    }
    let status = output(daybreak(dir, &["status", "--json"])).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let replication = &status["replication"];
    assert_eq!(
        (&replication["state"], &status["phase"]),
        (&"stopped".into(), &"paused".into()),
        "{status}"
    );
    assert!(replication["next"].as_str().unwrap().contains(remedy), "{status}");
    let differs = output(daybreak(dir, &["verify", "--table", "shop.extra"])).await;
    assert_eq!(differs.status.code(), Some(3), "{}", said(&differs));
    for words in ["replication has stopped", met, remedy, "isn't on the target", "replicate wait"] {
        assert!(said(&differs).contains(words), "{words}: {}", said(&differs));
    }
    let differs = output(daybreak(dir, &["verify", "--table", "shop.extra", "--json"])).await;
    let differs: serde_json::Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!(differs["replication"]["state"], "stopped", "{differs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applier_that_stopped_is_explained() {
    let pair = Pair::start(true, 500).await;
    let directory = pair.directory("");
    let run = output(daybreak(directory.path(), &["run", "--until", "replicate"])).await;
    assert!(run.status.success(), "{}", said(&run));
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    source.query_drop("CREATE TABLE shop.extra (id INT PRIMARY KEY, v INT)").await.unwrap();
    source.query_drop("INSERT INTO shop.extra VALUES (1, 1)").await.unwrap();
    let wait = async || {
        let done = output(daybreak(directory.path(), &["replicate", "wait"])).await;
        (done.status.success(), said(&done))
    };
    let (caught_up, why) = wait().await;
    assert!(caught_up, "{why}");

    target.query_drop("SET sql_log_bin = 0").await.unwrap();
    for (code, met, on_target, on_source, back) in [
        (
            1062,
            "Duplicate entry '2'",
            "INSERT INTO shop.extra VALUES (2, 0)",
            "INSERT INTO shop.extra VALUES (2, 2)",
            "DELETE FROM shop.extra WHERE id = 2",
        ),
        (
            1032,
            "Can't find record in 'extra'",
            "DELETE FROM shop.extra WHERE id = 1",
            "UPDATE shop.extra SET v = 5 WHERE id = 1",
            "INSERT INTO shop.extra VALUES (1, 1)",
        ),
    ] {
        target.query_drop(on_target).await.unwrap();
        source.query_drop(on_source).await.unwrap();
        // It ends when the applier does, with the same words as a hint.
        let (caught_up, why) = wait().await;
        assert!(!caught_up && why.contains(&code.to_string()), "{why}");
        let known = explain(&[&code.to_string(), "--json"]).await;
        let known: serde_json::Value = serde_json::from_slice(&known.stdout).unwrap();
        let known = known.as_array().unwrap().iter().find(|one| one["doing"] == "replicating");
        let known = known.unwrap().clone();
        assert!(why.contains(known["remedy"].as_str().unwrap()), "{why}");

        let status = output(daybreak(directory.path(), &["replicate", "status"])).await;
        for part in ["cause", "remedy"] {
            assert!(said(&status).contains(known[part].as_str().unwrap()), "{}", said(&status));
        }
        assert!(said(&status).contains(known["confirm"][0].as_str().unwrap()), "{}", said(&status));
        let json = output(daybreak(directory.path(), &["replicate", "status", "--json"])).await;
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&json["explanation"], &json["applying"]), (&known, &false.into()), "{json}");
        // Its worker's own words, not its coordinator's.
        for words in [said(&status), json["apply_error"]["text"].to_string()] {
            assert!(words.contains(met) && !words.contains("Coordinator stopped"), "{words}");
        }
        told_beside_the_work(directory.path(), met, &known).await;

        target.query_drop(back).await.unwrap();
        let started = output(daybreak(directory.path(), &["replicate", "start"])).await;
        assert!(started.status.success(), "{}", said(&started));
        let (caught_up, why) = wait().await;
        assert!(caught_up, "{why}");
    }
    let status = output(daybreak(directory.path(), &["replicate", "status", "--json"])).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert!(status["explanation"].is_null() && status["applying"] == true, "{status}");
    let status = output(daybreak(directory.path(), &["status", "--json"])).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["replication"]["state"], "runs", "{status}");
    // What can't be asked is said, and the journal's word stands.
    let away =
        output(daybreak(directory.path(), &["status", "--target", "mysql://a@127.0.0.1:1/"])).await;
    assert!(away.status.success(), "{}", said(&away));
    for words in ["replicate        verified", "couldn't be asked", "may have stopped since"] {
        assert!(printed(&away).contains(words), "{words}: {}", said(&away));
    }
}
