//! Every privilege that daybreak asks for is taken away in turn: `assess` and `run` name it, and the
//! statement that grants it, before anything moves. The list is the one that `assess` gives to
//! accounts that have nothing; with just that a whole migration goes through.

mod support;

use std::{collections::BTreeSet, path::Path};

use mysql_async::{Conn, prelude::Queryable as _};
use support::{
    configure, daybreak,
    faults::{Bench, Running},
    output, said,
};

const ACCOUNT: &str = "'mover'@'%'";

/// What `assess` misses: side, and the GRANT statement.
async fn missing(directory: &Path) -> (Option<i32>, BTreeSet<(String, String)>, String) {
    let run = output(daybreak(directory, &["assess", "--json"])).await;
    let text = said(&run);
    let document: serde_json::Value =
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut statements = BTreeSet::new();
    for finding in document["findings"].as_array().unwrap() {
        let remedy = finding["remedy"].as_str().unwrap();
        let side = finding["id"].as_str().unwrap().split('.').next().unwrap().to_string();
        for part in remedy.split_inclusive(';') {
            let Some(at) = part.find("GRANT ") else { continue };
            let Some(statement) = part[at..].strip_suffix(';') else { continue };
            if statement.contains(ACCOUNT) {
                statements.insert((side.clone(), statement.to_string()));
            }
        }
    }
    (run.status.code(), statements, text)
}

/// What an account has: privilege and level.
async fn granted(root: &mut Conn) -> Vec<(String, String)> {
    let lines: Vec<String> = root.query(format!("SHOW GRANTS FOR {ACCOUNT}")).await.unwrap();
    let mut all = Vec::new();
    for line in lines {
        let (head, tail) = line.strip_prefix("GRANT ").unwrap().split_once(" ON ").unwrap();
        let (level, rest) = tail.split_once(" TO ").unwrap();
        for privilege in head.split(',').map(str::trim).filter(|one| *one != "USAGE") {
            all.push((privilege.to_string(), level.to_string()));
        }
        if rest.contains("WITH GRANT OPTION") {
            all.push(("GRANT OPTION".into(), level.to_string()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_privilege_is_missed_by_name_and_all_together_suffice() {
    let bench = Bench::start().await;
    let (mut source, mut target) = (bench.pair.source_root().await, bench.pair.target_root().await);
    let password = "Of-the-mover-1";
    for root in [&mut source, &mut target] {
        root.query_drop("SET SESSION sql_log_bin = 0").await.unwrap();
        root.query_drop(format!("CREATE USER {ACCOUNT} IDENTIFIED BY '{password}'")).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let urls = [&bench.pair.source, &bench.pair.target]
        .map(|server| format!("mysql://mover:{password}@127.0.0.1:{}/", server.port()));
    // Definers that the account isn't want a right which managed servers don't give.
    configure(directory.path(), &urls[0], &urls[1], "[copy]\ndefiner = \"current\"\n");
    let text = std::fs::read_to_string(directory.path().join("daybreak.toml")).unwrap();
    // Without this an account that may call none of Aurora's procedures sees no Aurora.
    let text = text.replace("[target]\n", "[target]\nkind = \"aurora\"\n");
    support::private(&directory.path().join("daybreak.toml"), &text);

    // The cure by what is said alone; some needs show only when others are met.
    for round in 0.. {
        let (_, statements, text) = missing(directory.path()).await;
        if statements.is_empty() {
            break;
        }
        assert!(round < 6, "it never has enough: {text}");
        for (side, statement) in statements {
            let root = if side == "source" { &mut source } else { &mut target };
            root.query_drop(&statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    let (code, _, text) = missing(directory.path()).await;
    assert_eq!(code, Some(0), "{text}");

    let mut tried = 0;
    for side in ["source", "target"] {
        let all = granted(if side == "source" { &mut source } else { &mut target }).await;
        for (privilege, level) in all.clone() {
            // Held on the whole server as well: not missed on a part of it.
            if level != "*.*" && all.contains(&(privilege.clone(), "*.*".into())) {
                continue;
            }
            let root = if side == "source" { &mut source } else { &mut target };
            let revoke = format!("REVOKE {privilege} ON {level} FROM {ACCOUNT}");
            root.query_drop(&revoke).await.unwrap_or_else(|error| panic!("{revoke}: {error}"));
            let (code, statements, text) = missing(directory.path()).await;
            // Asked for beside SELECT, which shows databases and routines as well: not missed alone.
            if side == "source" && ["SHOW DATABASES", "SHOW_ROUTINE"].contains(&privilege.as_str())
            {
                assert_eq!((code, statements.len()), (Some(0), 0), "{text}");
                continue;
            }
            let named: Vec<_> =
                statements.iter().filter(|(_, grant)| grant.contains(&privilege)).collect();
            assert!(
                !named.is_empty(),
                "{side} {privilege} on {level} isn't named: {statements:?} {text}"
            );
            println!("{side} {privilege} ON {level} ({code:?}): {statements:?}");
            // Without a blocker it is a wish: the run goes its other way.
            if code == Some(3) {
                let run = Running::start(daybreak(directory.path(), &["run", "--yes"])).end().await;
                run.told(3, &["GRANT", &privilege]);
                let status = output(daybreak(directory.path(), &["status"])).await;
                for words in ["last failure: preflight can't begin: ", "GRANT", &privilege] {
                    assert!(said(&status).contains(words), "{words}: {}", said(&status));
                }
                let begun: u64 = target
                    .query_first("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'daybreak')")
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(begun, 0, "{side} {privilege}: something moved");
                bench.keeps_secrets(directory.path(), &run);
            }
            let root = if side == "source" { &mut source } else { &mut target };
            for (_, statement) in &statements {
                root.query_drop(statement).await.unwrap();
            }
            if privilege == "EXECUTE" {
                // An account that sees no procedure for GTIDs is told of the others only; the plan of
                // the runs above is by GTID.
                let back = format!("GRANT {privilege} ON {level} TO {ACCOUNT}");
                root.query_drop(back).await.unwrap();
            }
            tried += 1;
        }
    }
    assert!(tried > 25, "only {tried} privileges were tried");
    let (code, statements, text) = missing(directory.path()).await;
    assert_eq!((code, statements.len()), (Some(0), 0), "{text}");

    // And it is enough; what can't be seen for want of a right that nobody needs is said, with its name.
    let run = Running::start(daybreak(directory.path(), &["run"])).end().await;
    assert_eq!(run.code(), Some(4), "{}", run.text);
    let dry = Running::start(daybreak(directory.path(), &["cutover", "--dry-run"])).end().await;
    assert_eq!(dry.code(), Some(0), "{}", dry.text);
    let grant = format!("GRANT XA_RECOVER_ADMIN ON *.* TO {ACCOUNT};");
    assert!(dry.text.contains(&grant), "{}", dry.text);
    let run = Running::start(daybreak(directory.path(), &["run", "--yes"])).end().await;
    assert_eq!(run.code(), Some(0), "{}", run.text);
}
