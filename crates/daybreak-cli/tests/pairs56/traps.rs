//! The traps of this pair: each is named by `assess` before it bites, and what bites all the same is
//! said with its next step, which is taken here and works.

use mysql_async::prelude::Queryable as _;

use crate::{
    pair::{assert_equal, findings, run, says, start, start_with},
    support::Pair,
};

const SETTINGS: &str = "[copy]\ndefiner = \"current\"\n";

async fn small(pair: &Pair) {
    run(
        &mut pair.source_root().await,
        &[
            "CREATE DATABASE small CHARACTER SET utf8",
            "CREATE TABLE small.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))",
            "INSERT INTO small.t (v) VALUES ('a'), ('b'), ('c'), ('d'), ('e'), ('f'), ('g'), ('h'), ('i'), ('j'), ('k')",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_insists_on_gtids_is_a_blocker() {
    let pair = start_with(|target| target.gtid(true).arg("--gtid-mode=ON")).await;
    small(&pair).await;
    let directory = pair.directory(SETTINGS);
    let found = findings(directory.path(), 3).await;
    let blocker = &found["replication.gtid_mode"];
    assert_eq!(blocker["severity"], "blocker", "{blocker}");
    for (field, word) in [("why", "13117"), ("why", "1782"), ("remedy", "OFF_PERMISSIVE")] {
        assert!(blocker[field].as_str().unwrap().contains(word), "{word}: {blocker}");
    }
    // And nothing is begun.
    says(directory.path(), &["run", "--yes"], 3).await;
    let mut source = pair.source_root().await;
    let made: Vec<String> = source.query("SHOW DATABASES LIKE 'daybreak'").await.unwrap();
    assert!(made.is_empty());

    // The remedy, where the target may be told.
    let mut root = pair.target_root().await;
    run(
        &mut root,
        &["SET GLOBAL gtid_mode = ON_PERMISSIVE", "SET GLOBAL gtid_mode = OFF_PERMISSIVE"],
    )
    .await;
    says(directory.path(), &["run", "--yes"], 0).await;
    assert_equal(&pair, "small").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_and_among_the_servers_own_are_named() {
    let pair = start().await;
    small(&pair).await;
    let mut source = pair.source_root().await;
    run(
        &mut source,
        &[
            "CREATE TABLE small.old (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY (t)) ENGINE=MyISAM",
            "CREATE TABLE mysql.leftover (id INT PRIMARY KEY)",
            "SET sql_mode = 'NO_AUTO_CREATE_USER,MYSQL323'",
            "CREATE PROCEDURE small.p() SELECT 1",
            "CREATE PROCEDURE small.ranked() SELECT 1 AS rank",
        ],
    )
    .await;
    let directory = pair.directory(SETTINGS);
    let found = findings(directory.path(), 3).await;
    for (id, severity, object) in [
        ("source.engine", "blocker", "small.old"),
        ("replication.system_tables", "warning", "mysql.leftover"),
        ("target.sql_mode", "warning", "procedure small.p"),
        ("source.anonymous_account", "note", "''@'localhost'"),
        ("replication.account_statements", "warning", ""),
        ("replication.timestamp_defaults", "warning", "explicit_defaults_for_timestamp"),
        ("target.version", "warning", ""),
        ("target.reserved_word", "blocker", "procedure small.ranked"),
    ] {
        let finding =
            found.get(id).unwrap_or_else(|| panic!("{id} is missing in {:?}", found.keys()));
        assert_eq!(finding["severity"], severity, "{finding}");
        assert!(finding["objects"].to_string().contains(object), "{finding}");
        assert!(finding["remedy"].as_str().is_some_and(|remedy| remedy.len() > 10), "{finding}");
    }
    let remedy = found["source.engine"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("ALTER TABLE `small`.`old` ENGINE=InnoDB;"), "{remedy}");
    run(
        &mut source,
        &[
            "ALTER TABLE `small`.`old` ENGINE=InnoDB",
            "DROP PROCEDURE small.ranked",
            "CREATE PROCEDURE small.ranked() SELECT 1 AS `rank`",
        ],
    )
    .await;
    findings(directory.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_meanwhile_is_reported_and_skipped() {
    let pair = start().await;
    small(&pair).await;
    let directory = pair.directory(SETTINGS);
    says(directory.path(), &["run", "--until", "rows"], 0).await;
    let hash = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
    let mut source = pair.source_root().await;
    run(
        &mut source,
        &[
            "INSERT INTO small.t (v) VALUES ('before')",
            &format!("GRANT SELECT ON small.* TO 'clerk'@'%' IDENTIFIED BY PASSWORD '{hash}'"),
            "INSERT INTO small.t (v) VALUES ('between')",
            "DROP USER 'clerk'@'%'",
            "INSERT INTO small.t (v) VALUES ('after')",
        ],
    )
    .await;
    for code in ["1064", "1396"] {
        let said = says(directory.path(), &["resume", "--yes"], 1).await;
        for word in
            [code, "takes no accounts along", "mysql.rds_skip_repl_error", "daybreak resume"]
        {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(!said.contains(&hash[1..]), "a password's hash is shown: {said}");
        let mut admin = crate::support::connect(&pair.target.admin_url()).await;
        run(&mut admin, &["CALL mysql.rds_skip_repl_error"]).await;
    }
    says(directory.path(), &["resume", "--yes"], 0).await;
    assert_equal(&pair, "small").await;
    let log = std::fs::read_to_string(directory.path().join("daybreak.log")).unwrap();
    assert!(!log.contains(&hash[1..]), "a password's hash is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_timestamp_made_meanwhile_is_found_or_kept() {
    for keeps in [false, true] {
        let pair = start_with(|target| match keeps {
            true => target.arg("--explicit-defaults-for-timestamp=OFF"),
            false => target,
        })
        .await;
        small(&pair).await;
        let directory = pair.directory(SETTINGS);
        let named =
            findings(directory.path(), 0).await.contains_key("replication.timestamp_defaults");
        assert_eq!(named, !keeps);
        says(directory.path(), &["run", "--until", "objects"], 0).await;
        let mut source = pair.source_root().await;
        run(
            &mut source,
            &[
                "CREATE TABLE small.bare (id INT PRIMARY KEY, a TIMESTAMP, b TIMESTAMP)",
                "INSERT INTO small.bare (id) VALUES (1)",
            ],
        )
        .await;
        if keeps {
            says(directory.path(), &["resume", "--yes"], 0).await;
            assert_equal(&pair, "small").await;
            continue;
        }
        let said = says(directory.path(), &["resume", "--yes"], 3).await;
        assert!(said.contains("small.bare") && said.contains("column a"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_account_catches_no_login_and_no_account_is_left() {
    let pair = start().await;
    small(&pair).await;
    let mut source = pair.source_root().await;
    let ours =
        "SELECT CONCAT(user, '@', host) FROM mysql.user WHERE user LIKE 'dbrk%' ORDER BY host";
    let anonymous: Vec<String> =
        source.query("SELECT host FROM mysql.user WHERE user = '' ORDER BY host").await.unwrap();
    assert!(!anonymous.is_empty(), "the trap isn't there");
    let directory = pair.directory(SETTINGS);
    says(directory.path(), &["run", "--until", "replicate"], 0).await;
    let made: Vec<String> = source.query(ours).await.unwrap();
    assert_eq!(made.len(), anonymous.len() + 1, "{made:?}");
    says(directory.path(), &["undo"], 0).await;
    let made: Vec<String> = source.query(ours).await.unwrap();
    assert!(made.is_empty(), "{made:?}");

    // An account of the operator's own, which daybreak doesn't touch.
    run(
        &mut source,
        &[
            "CREATE USER 'mine'@'%' IDENTIFIED BY 'Mine-is-mine-1'",
            "GRANT REPLICATION SLAVE ON *.* TO 'mine'@'%'",
        ],
    )
    .await;
    let settings =
        format!("{SETTINGS}\n[replication]\nuser = \"mine\"\npassword_file = \"mine.password\"\n");
    let directory = pair.directory(&settings);
    crate::support::private(&directory.path().join("mine.password"), "Mine-is-mine-1");
    let found = findings(directory.path(), 3).await;
    assert_eq!(found["source.anonymous_account"]["severity"], "blocker", "{found:?}");
    for host in &anonymous {
        let drop = format!("DROP USER ''@'{host}';");
        assert!(found["source.anonymous_account"]["remedy"].as_str().unwrap().contains(&drop));
        run(&mut source, &[&drop]).await;
    }
    says(directory.path(), &["run", "--yes"], 0).await;
    assert_equal(&pair, "small").await;
}
