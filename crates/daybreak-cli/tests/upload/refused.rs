//! What is no backup, or none that Aurora takes, doesn't go up; nor does a password.

use std::{fs, process::Stdio};

use tokio::io::AsyncWriteExt as _;

use super::stage::{PLACE, Stage, files, said, seed, xbstream};

const SECRET: &str = "geheim-and-more";

/// Runs it, expects blockers, and that nothing was sent.
async fn refused(stage: &Stage, arguments: &[&str], words: &[&str]) {
    let output = stage.run(arguments).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    assert!(text.contains("BLOCKER") && text.contains("remedy:"), "{text}");
    assert_eq!(stage.cloud.received(), []);
    assert!(!stage.objects().exists(), "something is in the bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_or_not_for_aurora() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    let info = fs::read_to_string(stage.backup.join("xtrabackup_info")).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(info.contains(from));
        fs::write(stage.backup.join("xtrabackup_info"), info.replace(from, to)).unwrap();
    };
    edit("partial = N", "partial = Y");
    refused(&stage, &[backup, PLACE], &["backup.partial"]).await;
    refused(&stage, &[backup, PLACE, "--as", "tar.gz"], &["backup.partial"]).await;
    edit("5.7.44-log", "10.11.18-MariaDB");
    refused(&stage, &[backup, PLACE], &["backup.product"]).await;
    edit("partial = N", "partial = N");
    fs::rename(stage.backup.join("shop/t1.ibd"), stage.backup.join("shop/t1.ibd.qp")).unwrap();
    refused(&stage, &[backup, PLACE], &["backup.compressed"]).await;
    fs::rename(stage.backup.join("shop/t1.ibd.qp"), stage.backup.join("shop/t1.ibd")).unwrap();
    let checkpoints = stage.backup.join("xtrabackup_checkpoints");
    let kept = fs::read(&checkpoints).unwrap();
    fs::remove_file(&checkpoints).unwrap();
    // Whoever it is for, it isn't whole.
    refused(&stage, &[backup, PLACE, "--for", "any"], &["backup.incomplete"]).await;
    fs::write(&checkpoints, kept).unwrap();
    // An archive that lacks a part.
    let archive = stage.work.path().join("backup.xbstream00002");
    fs::write(&archive, xbstream(&stage.backup_files())).unwrap();
    refused(&stage, &[archive.to_str().unwrap(), PLACE], &["backup.parts_missing"]).await;
    // By the rules of wholeness alone a MariaDB's goes.
    edit("5.7.44-log", "10.11.18-MariaDB");
    stage.done(&[backup, PLACE, "--for", "any"]).await;
    // What was looked at by lesser rules isn't let through by the greater ones.
    let output = stage.run(&[backup, PLACE]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}

/// The manifest of backups in a directory, with one full one in this state.
fn manifest(state: &str, same_lsn: bool) -> String {
    format!(
        r#"{{"format": 1, "backups": [{{"name": "full", "state": {state}, "stream": null, "base": null,
        "from_lsn": 0, "to_lsn": 2000, "last_lsn": 2100, "same_lsn_as_base": {same_lsn},
        "coordinates": null, "gtids": null, "start_time": null, "end_time": null,
        "tool": "xtrabackup", "tool_version": [2, 4, 29], "server": "s", "server_version": "5.7.44",
        "bytes": 1, "files": 1}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_of_the_backups_says_is_heard() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    // As `backup take --to DIR` leaves it: DIR/full, and the manifest in DIR.
    let root = stage.work.path().join("backups");
    fs::create_dir(&root).unwrap();
    fs::rename(&stage.backup, root.join("full")).unwrap();
    let file = root.join("daybreak-backups.json");
    let (all, full) = (root.to_str().unwrap(), root.join("full"));
    let full = full.to_str().unwrap();
    for (state, same_lsn, word) in [
        ("\"unfinished\"", false, "upload.unfinished"),
        ("\"preparing\"", false, "upload.preparing"),
        ("\"merged\"", false, "upload.merged"),
        ("\"whole\"", true, "upload.equal_lsn"),
    ] {
        fs::write(&file, manifest(state, same_lsn)).unwrap();
        for place in [all, full] {
            refused(&stage, &[place, PLACE], &[word]).await;
        }
    }
    let known = manifest("\"whole\"", false);
    fs::write(&file, known.replace("\"full\"", "\"gone\"")).unwrap();
    refused(&stage, &[all, PLACE], &["upload.gone"]).await;
    // Somebody takes a backup there.
    fs::write(&file, known).unwrap();
    let held = daybreak::source::backup::chain::Held::hold(&root).unwrap();
    for place in [all, full] {
        let output = stage.run(&[place, PLACE]).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("being taken or prepared") && text.contains("next:"), "{text}");
    }
    drop(held);
    fs::write(root.join("daybreak-full.log"), "account@host").unwrap();
    stage.done(&[all, PLACE]).await;
    let names: Vec<String> = files(&stage.objects()).into_keys().collect();
    assert!(names.iter().all(|name| name.starts_with("full/")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_stays_here() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    let info = stage.backup.join("xtrabackup_info");
    let clean = fs::read_to_string(&info).unwrap();
    let secret = clean.replace("--backup", &format!("--user=b --password={SECRET} --backup"));
    fs::write(&info, &secret).unwrap();
    let nowhere = |stage: &Stage| {
        for (name, bytes) in files(&stage.cloud.bucket("backups")) {
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "the password is in {name}");
        }
    };
    let text = stage.done(&[backup, PLACE]).await;
    assert!(text.contains("without the password"), "{text}");
    nowhere(&stage);
    let sent = fs::read_to_string(stage.objects().join("xtrabackup_info")).unwrap();
    assert!(sent.contains("--user=b --password=... --backup"), "{sent}");
    assert_eq!(fs::read_to_string(&info).unwrap(), secret, "the user's own file was changed");
    // Again: it is what was sent.
    assert!(stage.done(&[backup, PLACE]).await.contains("uploaded already"));
    // As one tar.
    fs::remove_file(stage.backup.join(".daybreak-upload.json")).unwrap();
    fs::remove_dir_all(stage.objects()).unwrap();
    stage.done(&[backup, PLACE, "--as", "tar.gz"]).await;
    let packed = stage.work.path().join("packed.tar.gz");
    fs::write(&packed, stage.joined("backup.tar.gz")).unwrap();
    let told = std::process::Command::new("tar")
        .args(["-xzOf", packed.to_str().unwrap(), "xtrabackup_info"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_with_a_password_is_refused_unless_it_may() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let info = stage.backup.join("xtrabackup_info");
    let text = fs::read_to_string(&info).unwrap();
    let text = text.replace("--backup", &format!("--password={SECRET} --backup"));
    fs::write(&info, text).unwrap();
    let stream = xbstream(&stage.backup_files());
    let archive = stage.work.path().join("backup.xbstream");
    fs::write(&archive, &stream).unwrap();
    let archive = archive.to_str().unwrap();
    refused(&stage, &[archive, PLACE], &["backup.secret", "--allow-secrets"]).await;
    // Nor does it pass by way of stdin.
    let arguments = ["-", PLACE, "--stream-name", "backup.xbstream"];
    for (bytes, word) in
        [(&stream[..], "backup.secret"), (&stream[..stream.len() / 2], "backup.damaged")]
    {
        let mut child = stage.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(bytes).await.unwrap();
        drop(input);
        let output = stage.end(child).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(word) && text.contains("remedy:"), "{text}");
        assert!(!stage.objects().exists(), "something can be seen in the bucket");
        assert_eq!(stage.cloud.uploads_under_way(), []);
    }
    let own = stage.work.path().join("own.json");
    let allowed = [archive, "s3://backups/allowed", "--manifest", own.to_str().unwrap()];
    stage.done(&[&allowed[..], &["--allow-secrets"]].concat()).await;
    // What was allowed once isn't for ever.
    let output = stage.run(&allowed).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}
