//! What goes wrong is said, with what to do, and leaves nothing that looks like a backup.

use mysql_async::prelude::Queryable as _;

use crate::{
    place::{GRANT, PASSWORD, Place},
    support,
};

#[tokio::test(flavor = "multi_thread")]
async fn before_a_backup_everything_is_looked_at() {
    let place = Place::start(100).await;
    // The login.
    let mut command = place.take(&[]);
    command.env("DAYBREAK_SOURCE_PASSWORD", "Wrong-password-1");
    let output = support::output(command).await;
    let said = support::said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1045") || said.contains("Access denied"), "{said}");
    assert!(!said.contains("Wrong-password-1"), "{said}");
    // The tool.
    let said = place.refused(&["--program", "/nowhere/mariadb-backup"], 1).await;
    assert!(
        said.contains("isn't there") && said.contains("install mariadb-backup 10.11"),
        "{said}"
    );
    let said = place.refused(&["--program", "/bin/true"], 1).await;
    assert!(said.contains("doesn't say that it is a backup tool"), "{said}");
    let mut command = place.daybreak(&["backup", "take", "--source"]);
    command
        .arg(format!("mysql://backup@127.0.0.1:{}/", place.server.port()))
        .arg("--to")
        .arg(place.backups())
        .env("PATH", place.home.path());
    let said = support::said(&support::output(command).await);
    assert!(said.contains("no backup tool for MariaDB 10.11"), "{said}");
    assert!(said.contains("install mariadb-backup 10.11"), "{said}");
    let said = place.refused(&["--tool", "xtrabackup", "--program"], 2).await;
    assert!(said.contains("--program"), "{said}");
    let program = place.tools.backup.to_str().unwrap();
    let said = place.refused(&["--tool", "xtrabackup", "--program", program], 2).await;
    assert!(said.contains("not the tool that is wished"), "{said}");
    // The data directory.
    let said = place.refused(&["--data-directory", "/nowhere"], 3).await;
    assert!(said.contains("can't be read") && said.contains("always reads"), "{said}");
    // The base.
    let said = place.refused(&["--incremental"], 1).await;
    assert!(
        said.contains("no whole backup") && said.contains("take a full backup first"),
        "{said}"
    );
    let said = place.refused(&["--incremental", "--base", "x"], 1).await;
    assert!(said.contains("there is no backup \"x\""), "{said}");
    place.refused(&["--name", "../x"], 2).await;
    assert!(place.list().await.is_empty() && place.logins().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grant_that_is_printed_is_the_one_that_is_needed() {
    let place = Place::start(100).await;
    let mut root = support::connect(&place.server.root_url()).await;
    for lacking in ["RELOAD", "PROCESS", "REPLICATION CLIENT"] {
        root.query_drop(format!("REVOKE {lacking} ON *.* FROM 'backup'@'127.0.0.1'"))
            .await
            .unwrap();
        let said = place.refused(&[], 1).await;
        assert!(said.contains(&format!("lacks {lacking}")), "{said}");
        let statement = format!("GRANT {lacking} ON *.* TO 'backup'@'127.0.0.1';");
        assert!(said.contains(&statement), "{said}");
        root.query_drop(statement).await.unwrap();
    }
    root.query_drop("REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'backup'@'127.0.0.1'").await.unwrap();
    let said = place.refused(&[], 1).await;
    let statement = said.split("next:").nth(1).unwrap().trim().lines().next().unwrap();
    assert_eq!(statement.trim_end_matches(';'), GRANT);
    root.query_drop(statement).await.unwrap();
    place.taken(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_only_built_on_what_is_there() {
    let place = Place::start(100).await;
    place.taken(&[]).await;
    place.checkpoint().await;
    // Of another server.
    let other = Place::start(10).await;
    let mut command = other.take(&["--incremental"]);
    command.arg("--to").arg(place.backups());
    let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let own = arguments.iter().position(|argument| *argument == other.backups()).unwrap();
    arguments.drain(own - 1..=own);
    let mut command = other.daybreak(&[]);
    command.args(arguments);
    let output = support::output(command).await;
    let said = support::said(&output);
    assert!(said.contains("another server"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Its files.
    let checkpoints = place.backups().join("full/xtrabackup_checkpoints");
    let good = std::fs::read_to_string(&checkpoints).unwrap();
    let prepared = good.replace("full-backuped", "full-prepared");
    for (bad, why) in [
        (Some(prepared.as_str()), "prepared by somebody else"),
        (Some(""), "says nothing that can be used"),
        (None, "xtrabackup_checkpoints is missing"),
    ] {
        match bad {
            Some(text) => std::fs::write(&checkpoints, text).unwrap(),
            None => std::fs::remove_file(&checkpoints).unwrap(),
        }
        let said = place.refused(&["--incremental"], 1).await;
        assert!(said.contains(why) && said.contains("take a full backup"), "{said}");
    }
    std::fs::write(&checkpoints, good).unwrap();
    place.taken(&["--incremental"]).await;
    std::fs::rename(place.backups().join("full"), place.backups().join("gone")).unwrap();
    let said = place.refused(&["--incremental"], 1).await;
    assert!(said.contains("its directory is missing"), "{said}");
    // Something in the way isn't removed.
    std::fs::create_dir(place.backups().join("full2")).unwrap();
    let said = place.refused(&[], 1).await;
    assert!(said.contains("isn't in the manifest"), "{said}");
    assert!(place.backups().join("full2").exists());
}

/// A small file system, which goes with it. Needs root.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(place: std::path::PathBuf, mib: u64) -> Option<Small> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        std::fs::create_dir_all(&place).unwrap();
        let small = Small(place);
        small.run(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).then_some(small)
    }

    fn enlarge(&self, mib: u64) {
        assert!(self.run(&["-o", &format!("remount,size={mib}m")]));
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let status = std::process::Command::new("mount").args(arguments).arg(&self.0).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.0.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_the_next_one_replaces_what_is_left() {
    let place = Place::start(100).await;
    let Some(small) = Small::mount(place.backups(), 8) else {
        eprintln!("left out: a small file system needs root");
        return;
    };
    // Less than the data take: seen before it begins.
    let said = place.refused(&[], 3).await;
    assert!(said.contains("are free in") && said.contains("the backup takes about"), "{said}");
    small.enlarge(512);
    let full = place.taken(&[]).await;
    // What arrives later is seen by the tool alone.
    let size = full["bytes"].as_u64().unwrap() / 1_048_576;
    let mut root = support::connect(&place.server.root_url()).await;
    root.query_drop("CREATE TABLE shop.big (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT)")
        .await
        .unwrap();
    for _ in 0..200 {
        root.query_drop("INSERT INTO shop.big (v) VALUES (REPEAT(UUID(), 7000))").await.unwrap();
    }
    place.checkpoint().await;
    small.enlarge(size + 24);
    let said = place.refused(&["--incremental"], 1).await;
    assert!(said.contains("free space in the directory of the backups"), "{said}");
    assert_eq!(place.list().await[1]["state"], "unfinished");
    small.enlarge(1024);
    let output = support::output(place.take(&["--incremental"])).await;
    let said = support::said(&output);
    assert!(output.status.success() && said.contains("never finished"), "{said}");
    let listed = place.list().await;
    assert_eq!((listed.len(), &listed[1]["state"]), (2, &"whole".into()));
    assert!(
        !std::fs::read_to_string(place.backups().join("daybreak-inc1.log"))
            .unwrap()
            .contains(PASSWORD)
    );
}
