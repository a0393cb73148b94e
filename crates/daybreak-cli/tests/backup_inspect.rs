//! `daybreak backup inspect` as its users run it: output, exit codes, extraction.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn samples() -> PathBuf {
    rehearsal::backups::samples(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn inspect(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_daybreak"))
        .args(["backup", "inspect"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn says_what_it_is_lists_and_extracts() {
    let samples = samples();
    let chain = samples.join("chain_dir.tar.gz");
    let chain = chain.to_str().unwrap();
    let run = inspect(&[chain, "--for", "any"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{text}");
    assert!(
        text.contains(": whole") && text.contains("replicate from mysql-bin.000003:699306"),
        "{text}"
    );
    // By Aurora's rules it has blockers.
    let run = inspect(&[chain, "--json", "--list"]);
    assert_eq!(run.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    for key in [
        "whole",
        "kind",
        "partial",
        "compressed",
        "encrypted",
        "server_version",
        "chain",
        "coordinates",
        "findings",
        "checks",
        "list",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["kind"], "full");
    assert_eq!(json["chain"].as_array().unwrap().len(), 3);

    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("new");
    let run = inspect(&[chain, "--for", "any", "--extract", to.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(to.join("inc2/ibdata1.delta").exists());
    // What is there isn't touched.
    let run = inspect(&[chain, "--extract", to.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(2));
    let bad = samples.join("bad_cut_between_chunks.xbstream.gz");
    let other = directory.path().join("other");
    let run =
        inspect(&[bad.to_str().unwrap(), "--for", "any", "--extract", other.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(3));
    assert!(!other.exists());
}

/// More than progress is told of: stdout is one document all the same, and `restore` reads it.
#[test]
fn one_document_of_a_large_backup_that_restore_reads() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("chain");
    let packed = samples().join("prepared_chain.tar.gz");
    let run =
        inspect(&[packed.to_str().unwrap(), "--for", "any", "--extract", to.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    for place in [to.to_str().unwrap(), packed.to_str().unwrap()] {
        let run = inspect(&[place, "--for", "any", "--json"]);
        assert_eq!(run.status.code(), Some(0));
        let json: serde_json::Value = serde_json::from_slice(&run.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&run.stdout)));
        assert!(json["bytes"].as_u64().unwrap() > 64 << 20, "{}", json["bytes"]);
        let file = directory.path().join("inspection.json");
        std::fs::write(&file, &run.stdout).unwrap();
        let restore = |file: &Path| {
            Command::new(env!("CARGO_BIN_EXE_daybreak"))
                .args(["restore", "--policies", "--from", "s3://bucket/prefix", "--dir"])
                .arg(directory.path())
                .arg("--inspection")
                .arg(file)
                .output()
                .unwrap()
        };
        let run = restore(&file);
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
        // It is read: something else in its place is refused.
        std::fs::write(&file, "{}").unwrap();
        let run = restore(&file);
        assert_ne!(run.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&run.stderr).contains("inspection can't be read"));
    }
}

fn said(run: &Output) -> String {
    let both = [&run.stdout[..], &run.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn list(directory: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    let run = command.args(["backup", "list"]).arg(directory).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    said(&run)
}

#[test]
fn of_several_fulls_none_is_chosen_and_daybreaks_own_files_are_known() {
    let place = tempfile::tempdir().unwrap();
    let packed = samples().join("chain_dir.tar.gz");
    let chain = place.path().join("chain");
    let run =
        inspect(&[packed.to_str().unwrap(), "--for", "any", "--extract", chain.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let look = |more: &[&str]| {
        let run = inspect(&[&[chain.to_str().unwrap(), "--for", "any"], more].concat());
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    let (_, before) = look(&["--list"]);
    // What daybreak leaves beside backups isn't a backup's.
    for own in [".daybreak-backups.lock", "daybreak-backups.json", "daybreak-full.log.1"] {
        std::fs::write(chain.join(own), "").unwrap();
    }
    std::fs::create_dir(chain.join(".daybreak-stream-tmp")).unwrap();
    std::fs::write(chain.join(".daybreak-stream-tmp/x"), "").unwrap();
    let (code, text) = look(&["--list"]);
    assert_eq!((code, &text), (Some(0), &before));
    assert!(text.contains("replicate from mysql-bin.000003:699306"), "{text}");
    // A second full backup beside it: it isn't told which one is meant.
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(chain.join("full")).arg(chain.join("full2"));
    assert!(copy.status().unwrap().success());
    let (code, text) = look(&[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("replicate from the position of the one that is meant of 2 full backups"),
        "{text}"
    );
    let (_, json) = look(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["coordinates"].is_null() && json["chain"][0]["coordinates"].is_object());
}

#[test]
fn a_partial_backup_is_called_so() {
    let packed = samples().join("partial_db_shop.tar.gz");
    let run = inspect(&[packed.to_str().unwrap(), "--for", "any"]);
    let text = said(&run);
    assert!(text.contains(": whole, but partial: databases or tables were left out"), "{text}");
}

#[test]
fn a_directory_without_a_manifest_is_told_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let nothing = list(place.path());
    assert!(nothing.contains("there is no daybreak-backups.json"), "{nothing}");
    let chain = place.path().join("chain");
    let packed = samples().join("chain_dir.tar.gz");
    let run =
        inspect(&[packed.to_str().unwrap(), "--for", "any", "--extract", chain.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let several = list(&chain);
    assert!(several.contains("It holds full, inc1, inc2"), "{several}");
    let one = list(&chain.join("inc1"));
    assert!(one.contains("is itself an incremental backup (LSN 5209883 to 6539814)"), "{one}");
    // With a manifest, an empty one.
    std::fs::write(chain.join("daybreak-backups.json"), r#"{"format": 1, "backups": []}"#).unwrap();
    assert!(list(&chain).contains("none was taken there yet"), "{}", list(&chain));
    let gone = place.path().join("gone");
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    let run = command.args(["backup", "list"]).arg(gone).output().unwrap();
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
}

#[test]
fn places_that_are_none() {
    assert_eq!(inspect(&["/nowhere/at/all"]).status.code(), Some(1));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(inspect(&[empty.path().to_str().unwrap()]).status.code(), Some(3));
    // Nothing says in which Region: asked of nobody.
    let run = inspect(&["s3://bucket/prefix", "--dir", empty.path().to_str().unwrap()]);
    assert_ne!(run.status.code(), Some(0));
}
