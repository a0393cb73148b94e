//! What happens between the steps of the physical route: accounts and routines that change, a staging
//! directory that goes away, coordinates that disagree, a source that is quiet or down.

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cloud::Stage;
use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::cloud::rds::PositionEvent;
use support::{connect, daybreak, output, said, try_connect};

async fn done(directory: &Path, arguments: &[&str]) -> String {
    let ended = output(daybreak(directory, arguments)).await;
    assert!(ended.status.success(), "{arguments:?}: {}", said(&ended));
    said(&ended)
}

async fn refused(directory: &Path, arguments: &[&str], code: i32, words: &[&str]) -> Output {
    let ended = output(daybreak(directory, arguments)).await;
    assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", said(&ended));
    for words in words {
        assert!(said(&ended).contains(words), "{words} in {}", said(&ended));
    }
    ended
}

async fn all(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// An account, its rights, and a routine that it may call, made at the source.
async fn make(root: &mut Conn, name: &str) {
    all(
        root,
        &[
            // Without NO_AUTO_CREATE_USER, which routines lose on the target.
            "SET sql_mode = 'STRICT_TRANS_TABLES'",
            &format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'Pass-of-{name}-1'"),
            &format!("GRANT SELECT ON shop.* TO '{name}'@'%'"),
            &format!("CREATE PROCEDURE shop.{name}() SELECT '{name}'"),
            &format!("GRANT EXECUTE ON PROCEDURE shop.{name} TO '{name}'@'%'"),
        ],
    )
    .await;
}

/// Whether the account works on a server, with the rights and the routine of [`make`].
async fn works(url: &str, name: &str) {
    let (_, address) = url.rsplit_once('@').unwrap();
    let mut conn = try_connect(&format!("mysql://{name}:Pass-of-{name}-1@{address}"))
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let said: Option<String> = conn.query_first(format!("CALL shop.{name}()")).await.unwrap();
    assert_eq!(said.as_deref(), Some(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_routines_of_any_time_are_there_in_the_end() {
    let stage = Stage::start().await;
    let mut root = connect(&stage.source.root_url()).await;
    make(&mut root, "before").await;
    let directory = stage.planned("").await;
    let directory = directory.path();
    says_that_it_is_a_rehearsal(directory).await;
    // Nor does a configuration that can't be read hide it.
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "[backup\n").unwrap();
    let said = done(directory, &["status"]).await;
    assert!(said.contains("isn't known") && said.contains("preflight"), "{said}");
    std::fs::write(&file, text).unwrap();
    done(directory, &["resume", "--until", "upload"]).await;
    let aside = directory.join("objects.json");
    assert_eq!(aside.metadata().unwrap().permissions().mode() & 0o077, 0);
    make(&mut root, "after_backup").await;
    all(&mut root, &["ALTER USER 'before'@'%' IDENTIFIED BY 'Pass-of-before-1'"]).await;

    // What the backup is is in the journal: the staging directory isn't needed any more.
    let staging = stage.place.path().join("staging");
    std::fs::rename(&staging, stage.place.path().join("unmounted")).unwrap();
    let text = done(directory, &["resume", "--until", "restore"]).await;
    assert!(text.contains("event and backup agree"), "{text}");
    make(&mut root, "after_restore").await;
    done(directory, &["resume", "--yes"]).await;

    let restored = stage.rds.root_url("shop").await.unwrap();
    for name in ["before", "after_backup", "after_restore"] {
        works(&restored, name).await;
    }
    assert!(!aside.exists(), "hashes of passwords stay behind");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap();
    let (_, address) = restored.rsplit_once('@').unwrap();
    let target = report["target"]["name"].as_str().unwrap();
    assert!(target.contains(address.trim_end_matches('/')), "{target} is not at {address}");
    let left = report["not_migrated"].to_string();
    assert!(!left.contains("before@%") && !left.contains("owner@%"), "{left}");
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["id"] == "backup.rules"), "{findings:#?}");
    let page = std::fs::read_to_string(directory.join("report.html")).unwrap();
    assert!(page.contains("this is a rehearsal"), "the page doesn't say that it is a rehearsal");
    // Whatever the configuration says by now.
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("rules = \"any\"", "")).unwrap();
    says_that_it_is_a_rehearsal(directory).await;
}

async fn says_that_it_is_a_rehearsal(directory: &Path) {
    let text = done(directory, &["status"]).await;
    assert!(text.contains("this is a rehearsal") && text.contains("rules = \"any\""), "{text}");
    let json = output(daybreak(directory, &["status", "--json"])).await;
    let state: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(state["steps"].is_array() && state["phase"].is_string(), "{state}");
    assert!(
        state["rehearsal"].as_str().is_some_and(|why| why.contains("rules = \"any\"")),
        "{state}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_change_while_the_backup_is_taken() {
    let stage = Stage::start().await;
    let directory = stage.planned("").await;
    let directory = directory.path();
    let stop = Arc::new(AtomicBool::new(false));
    let (told, url) = (stop.clone(), stage.source.root_url());
    let busy = tokio::spawn(async move {
        let mut root = connect(&url).await;
        for number in 0.. {
            if told.load(Ordering::SeqCst) {
                break;
            }
            root.query_drop(format!("CREATE USER busy{number}@localhost")).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let until_backup = ["resume", "--until", "backup"];
    let words = ["'busy", "changed at the source while the backup full was taken", "resume"];
    let ended = output(daybreak(directory, &until_backup)).await;
    assert!(!ended.status.success(), "{}", said(&ended));
    for words in words {
        assert!(said(&ended).contains(words), "{words} in {}", said(&ended));
    }
    assert!(!directory.join("objects.json").exists(), "read at the wrong time");
    stop.store(true, Ordering::SeqCst);
    busy.await.unwrap();
    done(directory, &until_backup).await;
    assert!(directory.join("objects.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_source_has_no_superfluous_backups() {
    let stage = Stage::start().await;
    let mut root = connect(&stage.source.root_url()).await;
    all(
        &mut root,
        &[
            // Nothing is written back that needn't be, so no checkpoint comes by itself.
            "SET GLOBAL innodb_max_dirty_pages_pct = 99",
            // Who may not ask for a checkpoint.
            "CREATE USER 'dba'@'%' IDENTIFIED BY 'Dba-of-the-shop-1'",
            "GRANT ALL ON *.* TO 'dba'@'%' WITH GRANT OPTION",
            "REVOKE SUPER ON *.* FROM 'dba'@'%'",
        ],
    )
    .await;
    let directory = stage.planned("incrementals = 2").await;
    let directory = directory.path();
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    support::private(&file, &text.replacen("mysql://root@", "mysql://dba@", 1));
    support::private(&directory.join("source.password"), "Dba-of-the-shop-1");
    let text = done(directory, &["resume", "--until", "restore"]).await;
    assert!(text.contains("inc1 isn't kept") && text.contains("inc2 isn't kept"), "{text}");
    assert!(text.contains("event and backup agree"), "{text}");
    make(&mut root, "afterwards").await;
    done(directory, &["resume", "--yes"]).await;
    works(&stage.rds.root_url("shop").await.unwrap(), "afterwards").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinates_that_disagree_and_a_source_that_is_down() {
    let mut stage = Stage::start().await;
    stage.rds.faults(|faults| faults.position = PositionEvent::Says("mysql-bin.000099".into(), 4));
    let directory = stage.planned("").await;
    let directory = directory.path();
    let until_restore = ["resume", "--until", "restore"];
    let words =
        ["the coordinates disagree", "mysql-bin.000099:4", "in [restore]", "daybreak resume"];
    refused(directory, &until_restore, 4, &words).await;
    refused(directory, &until_restore, 4, &words).await;
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    support::private(&file, &format!("{text}coordinates = \"backup\"\n"));
    done(directory, &until_restore).await;
    assert_eq!(stage.rds.known().count("RestoreDBClusterFromS3"), 1);

    // Somebody works on the cluster: it isn't taken away.
    let restored = stage.rds.root_url("shop").await.unwrap();
    let somebody = connect(&restored).await;
    let undo = ["undo", "--to", "upload"];
    refused(directory, &undo, 3, &["the cluster shop is in use", "root@", "rds_kill"]).await;
    assert_eq!(stage.rds.known().clusters.len(), 1);
    somebody.disconnect().await.unwrap();
    // That the source is down is no reason to go on paying for it.
    stage.source.kill().await;
    done(directory, &undo).await;
    let known = stage.rds.known();
    assert!(known.clusters.is_empty() && known.instances.is_empty(), "{known:?}");
}

/// What `[target] url` says of TLS is for the cluster that is made as well: the restored server has none.
#[tokio::test(flavor = "multi_thread")]
async fn the_targets_tls_settings_hold_for_the_cluster() {
    let stage = Stage::start().await;
    let directory = stage.planned("").await;
    let directory = directory.path();
    let file = directory.join("daybreak.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let protected = plain.replace(":3306/", ":3306/?tls=required");
    assert_ne!(plain, protected);
    let until_restore = ["resume", "--until", "restore"];
    support::private(&file, &protected);
    let words = ["the server offers no TLS", "target admin@"];
    refused(directory, &until_restore, 1, &words).await;
    support::private(&file, &plain);
    done(directory, &until_restore).await;
    assert_eq!(stage.rds.known().count("RestoreDBClusterFromS3"), 1);
    support::private(&file, &protected);
    let undo = ["undo", "--to", "upload"];
    refused(directory, &undo, 1, &words).await;
    assert_eq!(stage.rds.known().clusters.len(), 1);
    support::private(&file, &plain);
    done(directory, &undo).await;
}

/// A bucket, a role or a right that won't do is told before hours are spent on a backup.
#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_is_asked_before_a_backup_is_taken() {
    let stage = Stage::start().await;
    let directory = stage.planned("").await;
    let directory = directory.path();
    let preflight = ["resume", "--until", "preflight"];
    stage.cloud.faults(|faults| faults.denied = true);
    let words = ["AccessDenied", "s3:PutObject", "arn:aws:s3:::backups/here/daybreak-"];
    refused(directory, &preflight, 3, &words).await;
    stage.cloud.faults(|faults| faults.denied = false);
    stage.rds.faults(|faults| faults.denied = ["DescribeDBSubnetGroups".to_string()].into());
    let words = ["rds:DescribeDBSubnetGroups", "sts:AssumeRole", "user/operator"];
    refused(directory, &preflight, 3, &words).await;
    stage.rds.faults(|faults| faults.denied.clear());
    let file = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    support::private(&file, &text.replace("role/", "no-role/"));
    refused(directory, &preflight, 3, &["restore.ingestion_role", "role's ARN"]).await;
    support::private(&file, &text);
    done(directory, &preflight).await;
    assert!(stage.place.path().join("staging").read_dir().unwrap().next().is_none());
}
