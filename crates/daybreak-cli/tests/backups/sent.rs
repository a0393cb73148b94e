//! Backups on their way out: one taken by hand with a password in its command, a stream that is cut, a disk
//! that fills.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rehearsal::cloud::Cloud;

use crate::{
    disk::Disk,
    place::{PASSWORD, Place},
    support,
};

/// A program in the tool's place.
fn script(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.home.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// All files below a directory.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root.to_path_buf()], Vec::new());
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_backup_taken_by_hand_stays_here() {
    let place = Place::start(300).await;
    let target = place.home.path().join("by-hand");
    let mut command = Command::new(&place.tools.backup);
    command
        .args(["--no-defaults", "--backup", "--user=backup", "--host=127.0.0.1"])
        .arg(format!("--port={}", place.server.port()))
        .arg(format!("--password={PASSWORD}"))
        .arg(format!("--target-dir={}", target.display()));
    let output = support::output(command).await;
    assert!(output.status.success(), "{}", support::said(&output));
    // This tool blanks its own; XtraBackup 2.3 writes it as it was given.
    let info = target.join("xtrabackup_info");
    let text = fs::read_to_string(&info).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("tool_command") {
            true => format!("{line} --password={PASSWORD} --backup"),
            false => line.to_string(),
        })
        .collect();
    let text = lines.join("\n") + "\n";
    assert!(text.contains(PASSWORD));
    fs::write(&info, &text).unwrap();
    let cloud = Cloud::start(place.home.path().join("s3")).await.unwrap();
    cloud.make_bucket("backups").unwrap();
    for (form, to) in [("tree", "s3://backups/tree"), ("tar.gz", "s3://backups/tar")] {
        let mut command = place.daybreak(&["upload", "--for", "any", "--as", form]);
        command
            .arg(&target)
            .arg(to)
            .args(["--endpoint-s3", &cloud.s3_endpoint, "--region", &cloud.region])
            .arg("--manifest")
            .arg(place.home.path().join(format!("{form}.json")))
            .env("AWS_ACCESS_KEY_ID", &cloud.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &cloud.secret_key);
        let output = support::output(command).await;
        assert!(output.status.success(), "{}", support::said(&output));
    }
    assert_eq!(fs::read_to_string(&info).unwrap(), text, "the user's own file was changed");
    let packed = files(&cloud.bucket("backups").join("tar"));
    let [packed] = &packed[..] else { panic!("{packed:?}") };
    let unpacked = place.home.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let status =
        Command::new("tar").arg("-C").arg(&unpacked).arg("-xzf").arg(packed).status().unwrap();
    assert!(status.success());
    for root in [cloud.bucket("backups").join("tree"), unpacked] {
        let sent = fs::read_to_string(root.join("xtrabackup_info")).unwrap();
        assert!(sent.contains("--password=... --backup"), "{sent}");
        // A word of it is enough to be found.
        for file in files(&root) {
            let bytes = fs::read(&file).unwrap();
            for part in [PASSWORD, "wo#rd"] {
                let found = bytes.windows(part.len()).any(|window| window == part.as_bytes());
                assert!(!found, "{part:?} is in {}", file.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_arrive_whole_is_no_backup() {
    let place = Place::start(300).await;
    let program = place.tools.backup.display();
    let cutting = script(
        &place,
        "cutting",
        &format!(
            "#!/bin/sh\ncase \"$*\" in *--stream*) ;; *) exec '{program}' \"$@\";; esac\n\
             '{program}' \"$@\" | {{ head -c 3000000; cat >/dev/null; }}\n"
        ),
    );
    let file = place.home.path().join("full.xbstream");
    let (cutting, to) = (cutting.to_str().unwrap(), file.to_str().unwrap());
    let said = place.refused(&["--stream", to, "--program", cutting], 1).await;
    assert!(said.contains("isn't whole") && said.contains("take the backup again"), "{said}");
    assert!(!file.exists(), "half a stream is left");
    assert_eq!(place.list().await[0]["state"], "unfinished");
    place.taken(&["--stream", to]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_under_a_backup_is_told_and_the_same_command_finishes() {
    let Some(disk) = Disk::of(1200) else { return };
    let place = Place::start(2_000).await;
    // When the tool begins, somebody else takes the room that there was.
    let program = place.tools.backup.display();
    let filler = disk.path().join("filler");
    let once = disk.path().join("once");
    let filling = script(
        &place,
        "filling",
        &format!(
            "#!/bin/sh\ncase \"$*\" in *--backup*) if [ ! -e '{once}' ]; then : >'{once}'\n\
             room=$(df -k --output=avail '{disk}' | tail -1)\n\
             dd if=/dev/zero of='{filler}' bs=1k count=$((room - 2000)) 2>/dev/null; fi;; esac\n\
             exec '{program}' \"$@\"\n",
            once = once.display(),
            filler = filler.display(),
            disk = disk.path().display(),
        ),
    );
    let backups = disk.path().join("backups");
    let take = || {
        let mut command = place.daybreak(&["backup", "take", "--name", "full", "--source"]);
        command.arg(format!("mysql://backup@127.0.0.1:{}/", place.server.port()));
        command.arg("--to").arg(&backups).arg("--program").arg(&filling);
        command
    };
    let output = support::output(take()).await;
    let said = support::said(&output);
    assert!(filler.exists(), "the disk wasn't filled: {said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("next:") && said.contains("free space"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    disk.make_room();
    let output = support::output(take()).await;
    assert!(output.status.success(), "{}", support::said(&output));
    let mut command = place.daybreak(&["backup", "inspect", "--for", "any"]);
    command.arg(backups.join("full"));
    let output = support::output(command).await;
    assert!(output.status.success(), "{}", support::said(&output));
    assert!(place.logins().is_empty());
}
