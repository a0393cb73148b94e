//! What goes up arrives byte for byte, in every form.

use std::{fs, process::Stdio};

use tokio::io::AsyncWriteExt as _;

use super::stage::{PLACE, Stage, chunk, chunk_end, files, said, seed, xbstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_as_a_tree() {
    let stage = Stage::new().await;
    stage.write_backup(17, seed());
    fs::write(stage.backup.join("daybreak-backups.json"), r#"{"format": 1, "backups": []}"#)
        .unwrap();
    stage.done(&[stage.backup.to_str().unwrap(), PLACE, "--encryption", "s3"]).await;
    fs::remove_file(stage.backup.join("daybreak-backups.json")).unwrap();
    stage.assert_tree_is_backup();
    // Again: nothing is sent, the bucket is asked.
    let sent = stage.cloud.received().len();
    let text = stage.done(&[stage.backup.to_str().unwrap(), PLACE, "--encryption", "s3"]).await;
    assert!(text.contains("uploaded already"), "{text}");
    assert_eq!(stage.cloud.received().len(), sent);
    // A further database: only that is sent.
    fs::create_dir(stage.backup.join("inc1")).unwrap();
    fs::write(stage.backup.join("inc1/later.TRG"), vec![7; 9000]).unwrap();
    stage.done(&[stage.backup.to_str().unwrap(), PLACE, "--encryption", "s3"]).await;
    stage.assert_tree_is_backup();
    let more: Vec<_> = stage.cloud.received().split_off(sent);
    assert_eq!(more.len(), 1, "{more:?}");
    // A file that has become another one is sent again, whether it went as a whole or in parts.
    let mut large = fs::read(stage.backup.join("ibdata1")).unwrap();
    large[100] ^= 1;
    fs::write(stage.backup.join("ibdata1"), &large).unwrap();
    fs::write(stage.backup.join("inc1/later.TRG"), vec![8; 9000]).unwrap();
    stage.done(&[stage.backup.to_str().unwrap(), PLACE, "--encryption", "s3"]).await;
    stage.assert_tree_is_backup();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_as_one_tar() {
    let stage = Stage::new().await;
    stage.write_backup(17, seed());
    let backup = stage.backup.to_str().unwrap();
    stage.done(&[backup, PLACE, "--as", "tar.gz", "--split-mib", "10"]).await;
    let names: Vec<String> = files(&stage.objects()).into_keys().collect();
    assert_eq!(names, ["backup.tar.gz00000", "backup.tar.gz00001"]);
    stage.assert_tar_is_backup();
    // One of them is lost: it is sent again, and the other one isn't.
    let arguments = [backup, PLACE, "--as", "tar.gz", "--split-mib", "10"];
    fs::remove_file(stage.objects().join("backup.tar.gz00001")).unwrap();
    let sent = stage.cloud.received().len();
    stage.done(&arguments).await;
    let again = stage.cloud.received().split_off(sent);
    assert!(!again.is_empty() && again.iter().all(|part| part.key.ends_with("00001")), "{again:?}");
    stage.assert_tar_is_backup();
    // The objects go as ready files, too: by the beginning of their names.
    let parts = stage.objects().join("backup.tar.gz");
    let place = "s3://backups/again";
    let manifest = stage.work.path().join("again.json");
    let manifest = manifest.to_str().unwrap();
    stage.done(&[parts.to_str().unwrap(), place, "--manifest", manifest]).await;
    assert!(files(&stage.cloud.bucket("backups").join("again")) == files(&stage.objects()));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams() {
    let stage = Stage::new().await;
    stage.write_backup(17, seed());
    // An xbstream goes up as it is.
    let bytes = xbstream(&stage.backup_files());
    let mut child = stage
        .command(&["-", PLACE, "--stream-name", "backup.xbstream", "--split-mib", "10"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes).await.unwrap();
    assert!(stage.objects().read_dir().is_err(), "parts of a stream that hasn't ended are there");
    drop(input);
    let output = stage.end(child).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(stage.joined("backup.xbstream") == bytes);
    fs::remove_dir_all(stage.objects()).unwrap();
    // A tar stream is compressed on the way.
    let tar = std::process::Command::new("tar")
        .args(["-C", stage.backup.to_str().unwrap(), "-cf", "-", "."])
        .output()
        .unwrap();
    let mut child = stage
        .command(&["-", PLACE, "--stream-name", "backup.tar.gz"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&tar.stdout).await.unwrap();
    drop(input);
    let output = stage.end(child).await;
    assert!(output.status.success(), "{}", said(&output));
    stage.assert_tar_is_backup();
    // Nothing at all is no backup.
    let place = "s3://backups/nothing";
    let output = stage.run(&["-", place, "--stream-name", "other.xbstream"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the stream was empty"), "{}", said(&output));
    assert_eq!(stage.cloud.uploads_under_way(), []);
}

/// Where S3 is comes from the flags alone, as for the upload.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_up_is_inspected_there() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    stage.done(&[stage.backup.to_str().unwrap(), PLACE]).await;
    let output = stage.end(stage.other(&["backup", "inspect", PLACE]).spawn().unwrap()).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(PLACE) && text.contains(": whole"), "{text}");
}

/// More than twice what may be held goes through, and the kernel says how much memory it took.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    const MIB: usize = 600;
    let stage = Stage::new().await;
    let mut child = stage
        .command(&["-", PLACE, "--stream-name", "backup.xbstream", "--uploads", "64"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    stage.write_backup(1, seed());
    let backup = xbstream(&stage.backup_files());
    input.write_all(&backup).await.unwrap();
    let bytes: Vec<u8> = (0..1 << 20).map(|at: u32| ((at * 31) >> 3) as u8).collect();
    let mut piece = chunk("ib_logfile1", 0, &bytes);
    // Where the offset stands, behind the head and the payload's length.
    let at = 14 + "ib_logfile1".len() + 8;
    for number in 0..MIB as u64 {
        piece[at..at + 8].copy_from_slice(&(number << 20).to_le_bytes());
        input.write_all(&piece).await.unwrap();
    }
    input.write_all(&chunk_end("ib_logfile1")).await.unwrap();
    // It lives as long as its input; the figure only ever grows.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    drop(input);
    let output = stage.end(child).await;
    assert!(output.status.success(), "{}", said(&output));
    println!("{} MiB at most", peak / 1024);
    assert!(peak < 256 * 1024, "{peak} KiB");
    let sent = backup.len() + MIB * piece.len() + chunk_end("ib_logfile1").len();
    assert_eq!(stage.joined("backup.xbstream").len(), sent);
}
