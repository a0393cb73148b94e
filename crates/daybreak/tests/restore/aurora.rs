//! What the stand-in refuses by Aurora's profile, by its own reading of what lies in the bucket; and what it
//! tells of a migration's progress.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use daybreak::{
    error::Kind,
    event::{Event, Events},
};
use rehearsal::cloud::cluster::Profile;

use super::{
    harness::{Place, prepared_chain},
    refused::{fails, tree},
};

/// What the tool says of a backup that Aurora takes.
fn info(server: &str, tool: &str) -> String {
    format!(
        "server_version = {server}\ntool_version = {tool}\npartial = N\nencrypted = N\ncompressed = N\n"
    )
}

/// Behind every refusal: a rehearsal has no XtraBackup to go on with.
const TAKEN: &str = "no xtrabackup to prepare";

async fn place(server: &str, engine: &str) -> Place {
    let mut place = Place::new(Profile::Aurora).await;
    place.prefix();
    place.wanted.backup.server_version = server.into();
    place.wanted.config.engine_version = Some(engine.into());
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_tools_that_aurora_refuses() {
    let (v2, v3) = ("5.7.mysql_aurora.2.12.5", "8.0.mysql_aurora.3.04.4");
    let mut place = place("8.0.28", v3).await;
    for (engine, said, there, tool, words) in [
        // What lies there decides, not what was said of it: compatible with 8.0.28.
        (v3, "8.0.28", "8.0.28", "8.0.28", TAKEN),
        (v3, "8.0.28", "8.0.28-1", "8.0.28", TAKEN),
        (v3, "8.0.28", "8.0.29", "8.0.35", "compatible with MySQL 8.0.28"),
        (v3, "8.0.28", "5.7.44", "2.4.29", "compatible with MySQL 8.0.28"),
        (v2, "5.7.44", "5.7.44-log", "2.4.29", TAKEN),
        (v2, "5.7.44", "8.0.11", "8.0.35", "compatible with MySQL 5.7.44"),
        (v2, "5.7.44", "5.7.44-48", "2.4.29", "Percona Server"),
        (v2, "5.7.44", "5.7.44", "2.3.10", "XtraBackup 2.3.10"),
        (v3, "8.0.28", "8.0.28", "8.0.27", "XtraBackup 8.0.27"),
        (v3, "8.0.28", "8.0.28", "2.4.29", "XtraBackup 2.4.29"),
        // Before 3.05 these pass, and 8.0.12 does everywhere.
        (v3, "8.0.11", "8.0.11", "8.0.35", TAKEN),
        ("8.0.mysql_aurora.3.08.2", "8.0.39", "8.0.12", "8.0.35", TAKEN),
        ("8.0.mysql_aurora.3.08.2", "8.0.39", "8.0.11", "8.0.35", "3.05 and later"),
        ("8.0.mysql_aurora.3.08.2", "8.0.39", "8.0.13", "8.0.35", "3.05 and later"),
        ("8.0.mysql_aurora.3.10.3", "8.0.39", "8.0.15", "8.0.35", "3.05 and later"),
    ] {
        place.wanted.config.engine_version = Some(engine.into());
        place.wanted.backup.server_version = said.into();
        tree(&place, &info(there, tool), &[]);
        println!("{there} by {tool} to {engine}");
        fails(&place, &["RDS-EVENT-0076", words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_settings_that_aurora_refuses() {
    let mut place = place("5.7.44", "5.7.mysql_aurora.2.12.5").await;
    let page = |flags: u32, kind: u16| {
        let mut page = vec![0; 16_384];
        page[24..26].copy_from_slice(&kind.to_be_bytes());
        page[54..58].copy_from_slice(&flags.to_be_bytes());
        page
    };
    let plain = page(0x21, 8);
    let two = |kind| [plain.clone(), page(0, kind)].concat();
    for (name, bytes, words) in [
        ("app/t.ibd", two(17_855), TAKEN),
        ("app/t.ibd", page(0x21 | 4 << 1, 8), "ROW_FORMAT=COMPRESSED (app/t)"),
        (
            "app/t.ibd.meta",
            b"page_size = 16384\nzip_size = 8192\n".to_vec(),
            "ROW_FORMAT=COMPRESSED",
        ),
        ("app/t.ibd", two(14), "page compression (app/t)"),
        ("app/t.ibd", two(15), "app/t is encrypted"),
        ("app/t.ibd", page(0x21 | 1 << 13, 8), "app/t is encrypted"),
        ("app/t.ibd", page(0x21 | 1 << 10, 8), "outside the data directory"),
        ("backup-my.cnf", b"innodb_log_files_in_group=2\n".to_vec(), TAKEN),
        ("backup-my.cnf", b"innodb_log_files_in_group=3\n".to_vec(), "innodb_log_files_in_group"),
        ("app/compression_dictionary.frm", Vec::new(), TAKEN),
        ("mysql/compression_dictionary.frm", Vec::new(), "Percona Server"),
    ] {
        tree(&place, &info("5.7.44-log", "2.4.29"), &[]);
        let path: PathBuf = place.prefix().join("full").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        println!("{name}: {words}");
        fails(&place, &["RDS-EVENT-0076", words]).await;
    }
    // Of 8.0 the group of log files is no matter.
    place.wanted.backup.server_version = "8.0.28".into();
    place.wanted.config.engine_version = None;
    let settings = [("full/backup-my.cnf", "innodb_log_files_in_group=32")];
    tree(&place, &info("8.0.28", "8.0.35"), &settings);
    fails(&place, &["RDS-EVENT-0076", TAKEN]).await;
}

/// The check that finds it beforehand isn't all that stands between.
#[tokio::test]
async fn a_subnet_group_in_one_zone_is_refused() {
    let mut place = place("8.0.28", "8.0.mysql_aurora.3.04.4").await;
    place.wanted.config.subnet_group = Some("one-zone".into());
    let error = place.refusal().await;
    assert_eq!(error.kind(), Kind::Aws, "{error}");
    assert!(error.to_string().contains("DBSubnetGroupDoesNotCoverEnoughAZs"), "{error}");
    let known = place.rds.known();
    assert!(known.clusters.is_empty() && known.count("RestoreDBClusterFromS3") == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_migration_is() {
    let mut place = Place::new(Profile::Rehearsal).await;
    std::fs::copy(prepared_chain(), place.prefix().join("b.tar.gz")).unwrap();
    place.wanted.backup.bytes = Some(4_000_000_000);
    place.rds.faults(|faults| faults.hold = true);
    type Told = Vec<(u64, Option<u64>)>;
    let told: Arc<Mutex<Told>> = Arc::default();
    let list = told.clone();
    place.events = Events::to(move |event| {
        if let Event::Progress { task, done, total, .. } = event
            && task == "restore"
        {
            list.lock().unwrap().push((*done, *total));
        }
    });
    // A quarter, as long as it is held there.
    let watch = async {
        while told.lock().unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        place.rds.faults(|faults| faults.hold = false);
    };
    let run = place.run();
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => panic!("ended before anything was told: {ended:?}"),
        () = watch => {}
    }
    run.await.unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told[0], (1_000_000_000, Some(4_000_000_000)));
    assert!(told.is_sorted(), "{told:?}");
}
