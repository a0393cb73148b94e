//! Chains: their true order, and what is missing in them. Made from the real one.

use std::{fs, path::Path};

use daybreak::transit::inspection::{Inspection, Profile};

use crate::samples::{blockers, directory, extracted, look};

/// The real chain as directories; the caller bends it.
fn chain() -> tempfile::TempDir {
    extracted(&directory().join("chain_dir.tar.gz")).0
}

/// A redo log from one LSN to another, of empty blocks without checksums.
fn redo_log(to: u64, last: u64) -> Vec<u8> {
    let mut log = vec![0; 2048];
    for at in to / 512..=(last - 1) / 512 {
        let mut block = vec![0; 512];
        block[..4].copy_from_slice(&(at as u32 + 1).to_be_bytes());
        block[4..6].copy_from_slice(&512_u16.to_be_bytes());
        block[508..].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
        log.extend(block);
    }
    log
}

/// Writes other LSNs (and a start time) into a link, and a redo log that fits.
fn set(link: &Path, from: u64, to: u64, last: u64, start: &str) {
    let kind = if from == 0 { "full-backuped" } else { "incremental" };
    let text = format!(
        "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {last}\ncompact = 0\n"
    );
    fs::write(link.join("xtrabackup_checkpoints"), text).unwrap();
    fs::write(link.join("xtrabackup_logfile"), redo_log(to, last)).unwrap();
    let info = fs::read_to_string(link.join("xtrabackup_info")).unwrap();
    let lines: Vec<String> = info
        .lines()
        .map(|line| match line.split(" = ").next().unwrap() {
            "innodb_from_lsn" => format!("innodb_from_lsn = {from}"),
            "innodb_to_lsn" => format!("innodb_to_lsn = {to}"),
            "start_time" => format!("start_time = 2026-11-21 {start}"),
            _ => line.to_string(),
        })
        .collect();
    fs::write(link.join("xtrabackup_info"), lines.join("\n")).unwrap();
}

fn order(found: &Inspection) -> Vec<&str> {
    found.chain.iter().map(|link| link.name.as_str()).collect()
}

#[test]
fn equal_lsns_are_ordered_by_the_redo_log_and_refused_as_a_tree() {
    let tree = chain();
    let at = |name: &str| tree.path().join(name);
    // No checkpoint between the two, and names that lie.
    fs::rename(at("inc1"), at("b")).unwrap();
    fs::rename(at("inc2"), at("a")).unwrap();
    set(&at("b"), 5_209_883, 5_209_883, 6_801_998, "02:48:21");
    set(&at("a"), 5_209_883, 5_209_883, 7_700_723, "02:48:32");
    let found = look(tree.path(), Profile::Any);
    assert_eq!(order(&found), ["full", "b", "a"]);
    assert_eq!(found.coordinates.clone().unwrap().file.unwrap().position, 699_306);
    assert_eq!(blockers(&found), Vec::<&str>::new());
    assert!(found.whole);
    assert!(blockers(&look(tree.path(), Profile::Aurora)).contains(&"backup.equal_lsn"));
    // The first without progress, the second with it.
    set(&at("a"), 5_209_883, 6_883_810, 7_700_723, "02:48:32");
    let found = look(tree.path(), Profile::Aurora);
    assert_eq!(order(&found), ["full", "b", "a"]);
    assert!(blockers(&found).contains(&"backup.equal_lsn"));
}

#[test]
fn missing_links_and_bases() {
    let tree = chain();
    let at = |name: &str| tree.path().join(name);
    fs::remove_dir_all(at("inc1")).unwrap();
    let found = look(tree.path(), Profile::Any);
    assert_eq!((order(&found), blockers(&found)), (vec!["full"], vec!["backup.link_missing"]));
    assert!(!found.whole);
    fs::remove_dir_all(at("full")).unwrap();
    let found = look(tree.path(), Profile::Any);
    assert_eq!(blockers(&found), ["backup.no_base"]);
}

#[test]
fn a_prepared_base_zero_lsns_and_a_killed_tool() {
    let tree = chain();
    let at = |name: &str| tree.path().join(name);
    let checkpoints = at("full/xtrabackup_checkpoints");
    let text = fs::read_to_string(&checkpoints).unwrap();
    fs::write(&checkpoints, text.replace("full-backuped", "full-prepared")).unwrap();
    assert!(blockers(&look(tree.path(), Profile::Any)).contains(&"backup.base_prepared"));
    fs::write(
        &checkpoints,
        "backup_type = full-prepared\nfrom_lsn = 0\nto_lsn = 0\nlast_lsn = 0\ncompact = 0\n",
    )
    .unwrap();
    let found = look(&at("full"), Profile::Any);
    assert!(!found.whole && blockers(&found).contains(&"backup.zero_lsn"));
    for file in ["xtrabackup_checkpoints", "xtrabackup_info"] {
        let text = fs::read(at("inc1").join(file)).unwrap();
        fs::remove_file(at("inc1").join(file)).unwrap();
        let found = look(&at("inc1"), Profile::Any);
        assert!(!found.whole && blockers(&found).contains(&"backup.incomplete"), "{file}");
        fs::write(at("inc1").join(file), text).unwrap();
    }
}

#[test]
fn two_incrementals_on_one_base() {
    let tree = chain();
    let inc2 = tree.path().join("inc2");
    set(&inc2, 5_209_883, 6_883_810, 7_700_723, "02:48:32");
    let found = look(tree.path(), Profile::Any);
    assert_eq!(order(&found), ["full", "inc2"]);
    assert!(found.findings.iter().any(|one| one.id == "backup.superseded"));
    assert!(blockers(&look(tree.path(), Profile::Aurora)).contains(&"backup.superseded"));
}

#[test]
fn files_cut_lost_or_from_elsewhere() {
    let tree = chain();
    let at = |name: &str| tree.path().join(name);
    let broken = |change: &dyn Fn(), id: &str| {
        change();
        let found = look(tree.path(), Profile::Any);
        assert!(blockers(&found).contains(&id), "{id}: {:?}", blockers(&found));
        assert!(!found.whole, "{id}");
    };
    let cut = |file: &str, size: u64| {
        fs::OpenOptions::new().write(true).open(at(file)).unwrap().set_len(size).unwrap();
    };
    let bytes = fs::read(at("full/shop/docs.ibd")).unwrap();
    broken(&|| cut("full/shop/docs.ibd", bytes.len() as u64 - 16384), "backup.file_damaged");
    fs::write(at("full/shop/docs.ibd"), &bytes).unwrap();
    let bytes = fs::read(at("inc1/ibdata1.delta")).unwrap();
    broken(&|| cut("inc1/ibdata1.delta", bytes.len() as u64 - 16384), "backup.file_damaged");
    fs::write(at("inc1/ibdata1.delta"), &bytes).unwrap();
    assert!(look(tree.path(), Profile::Any).whole);
    broken(&|| fs::remove_file(at("inc1/ibdata1.meta")).unwrap(), "backup.file_missing");
}

#[test]
fn isl_files_and_secrets_and_unknown_files() {
    let tree = chain();
    let full = tree.path().join("full");
    fs::write(full.join("shop/docs.isl"), "/mnt/other/shop/docs.ibd").unwrap();
    fs::write(full.join("notes.txt"), "x").unwrap();
    let info = fs::read_to_string(full.join("xtrabackup_info")).unwrap();
    fs::write(full.join("xtrabackup_info"), info.replace("--password=...", "--password=hunter2"))
        .unwrap();
    let found = look(&full, Profile::Aurora);
    let ids: Vec<&str> = found.findings.iter().map(|one| one.id.as_str()).collect();
    for id in ["backup.data_directory", "backup.unknown_file", "backup.secret", "backup.myisam"] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    let text = format!("{found:?}");
    assert!(!text.contains("hunter2"), "no secret in what is reported");
}
