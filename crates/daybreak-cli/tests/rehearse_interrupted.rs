//! Ctrl-C while `daybreak rehearse` sets its stage: nothing of its servers stays in the temporary
//! directory.

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use support::{faults::Running, until};

/// The stage's directory for servers, once it is there.
fn place(temporary: &Path) -> Option<PathBuf> {
    std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).next()
}

/// Interrupts a rehearsal as soon as its stage has come so far.
async fn interrupted_at(moment: &str, come: impl Fn(&Running, &Path) -> bool) {
    let (temporary, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
    command
        .args(["rehearse", "--rows", "200000", "--dir"])
        .arg(work.path().join("rehearsal"))
        .env("TMPDIR", temporary.path())
        .stdin(std::process::Stdio::null());
    let run = Running::start(command);
    until(moment, async || {
        assert!(!run.is_finished(), "{moment}: it ended: {}", run.text());
        place(temporary.path()).is_some_and(|place| come(&run, &place))
    })
    .await;
    run.signal(libc::SIGINT);
    let ended = run.end().await;
    ended.told(130, &["interrupted", "begins anew"]);
    assert_eq!(place(temporary.path()), None, "{moment}: files stay: {}", ended.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_stage_leaves_no_files() {
    // Where a copy is under way, what it makes next must not stay behind what is removed.
    for (server, files) in [
        ("source", 1),
        ("target", 4),
        ("source", 7),
        ("target", 10),
        ("source", 13),
        ("target", 16),
    ] {
        interrupted_at(&format!("{files} files of the {server} are copied"), |_, place| {
            let copied = std::fs::read_dir(place.join(server).join("data.partial"));
            // Where copies are quick it is past that already: as good a moment.
            copied.is_ok_and(|copied| copied.count() >= files)
                || place.join(server).join("data").exists()
        })
        .await;
    }
    interrupted_at("the source starts", |_, place| place.join("source/data").exists()).await;
    interrupted_at("the shop is being filled", |run, _| run.text().contains("generating")).await;
}
