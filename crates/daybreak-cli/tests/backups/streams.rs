//! Backups that leave as a stream: what `mbstream` unpacks is the same as a directory.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use rehearsal::writer::WriterHandle;
use serde_json::Value;

use crate::{
    chain::follow_and_compare,
    place::{Place, serve, wrote},
    support,
};

fn unpack(place: &Place, stream: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let program = place.tools.stream.as_ref().expect("mbstream");
    let status = Command::new(program)
        .arg("-x")
        .arg("-C")
        .arg(to)
        .stdin(Stdio::from(std::fs::File::open(stream).unwrap()))
        .status()
        .unwrap();
    assert!(status.success());
}

/// The files of a backup but those that hold the time, and the logs, which go on while nobody writes.
fn stable(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            if path.is_dir() {
                open.push(path);
            } else if !["xtrabackup_info", "ib_logfile0", "ibdata1"].contains(&name.as_str())
                && !name.starts_with("aria_log")
                && !name.starts_with("xtrabackup_")
                && !name.starts_with("mysql/")
            {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_holds_what_a_directory_holds() {
    let place = Place::start(2_000).await;
    place.checkpoint().await;
    place.taken(&["--name", "directory"]).await;
    // To the standard output, with nothing else on it.
    let mut command = place.take(&["--name", "piped", "--stream", "-"]);
    let piped = place.home.path().join("piped.xbstream");
    let out = std::fs::File::create(&piped).unwrap();
    let status = tokio::task::spawn_blocking(move || command.stdout(out).status().unwrap());
    assert!(status.await.unwrap().success());
    let unpacked = place.home.path().join("unpacked");
    unpack(&place, &piped, &unpacked);
    let (one, other) = (stable(&place.backups().join("directory")), stable(&unpacked));
    let names = |of: &BTreeMap<String, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs");
    }
    assert!(one.keys().any(|name| name.starts_with("shop/") && name.ends_with(".ibd")));
    let listed = place.list().await;
    assert_eq!((&listed[1]["name"], &listed[1]["stream"]), (&"piped".into(), &"xbstream".into()));
    assert_eq!(listed[1]["bytes"], piped.metadata().unwrap().len());
    assert!(!place.backups().join("piped").exists() && place.logins().is_empty());
    // Where the pipe is closed early, there is no backup.
    let mut command = place.take(&["--name", "closed", "--stream", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", support::said(&output));
    assert_eq!(place.list().await[2]["state"], "unfinished");
    // A file that is in the way isn't written over, and JSON doesn't get between.
    let there = piped.to_str().unwrap();
    assert!(place.refused(&["--stream", there], 1).await.contains("isn't there yet"));
    place.refused(&["--stream", "-", "--json"], 2).await;
    place.refused(&["--stream", "-", "--format", "tar"], 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_stream_on_a_streamed_base_becomes_a_replica() {
    let place = Place::start(1_000).await;
    let writer: WriterHandle = place.writer().await;
    let mut links: Vec<Value> = Vec::new();
    let home = place.home.path().to_path_buf();
    for (name, arguments) in
        [("full", &[][..]), ("inc1", &["--incremental"]), ("inc2", &["--incremental"])]
    {
        let file = home.join(format!("{name}.xbstream"));
        let mut all = vec!["--stream", file.to_str().unwrap()];
        all.extend(arguments);
        links.push(place.taken(&all).await);
        unpack(&place, &file, &home.join(name));
        wrote(&writer, 100).await;
        place.checkpoint().await;
    }
    assert_eq!(links[1]["from_lsn"], links[0]["to_lsn"]);
    assert_eq!(links[2]["from_lsn"], links[1]["to_lsn"]);
    writer.stop().await.unwrap();
    for incremental in [None, Some("inc1"), Some("inc2")] {
        let mut command = Command::new(&place.tools.backup);
        command.arg("--prepare").arg(format!("--target-dir={}", home.join("full").display()));
        if let Some(name) = incremental {
            command.arg(format!("--incremental-dir={}", home.join(name).display()));
        }
        let output = support::output(command).await;
        assert!(output.status.success(), "{}", support::said(&output));
    }
    let Place { server, home: _home, .. } = place;
    let restored = serve(&home.join("full"), &server, &home.join("restored")).await;
    follow_and_compare(server, restored, &links[2]["coordinates"]).await;
}
