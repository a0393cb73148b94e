//! Killed in the middle: the tool ends with daybreak, what is left is marked, swept and replaced.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::Value;

use crate::{
    place::{AWS_SECRET, AtWork, PASSWORD, Place, runs, signal_to},
    support::{self, until},
};

/// So slow that it is met in the middle.
const SLOW: [&str; 2] = ["--throttle", "1"];

/// Starts a slow backup, and returns when the tool copies. Which process the tool is.
async fn in_the_middle(place: &Place, arguments: &[&str]) -> (AtWork, u32, PathBuf) {
    let mut all = SLOW.to_vec();
    all.extend(arguments);
    let work = AtWork::start(place.take(&all));
    let log = std::cell::RefCell::new(PathBuf::new());
    until("the tool to copy", async || {
        let name = if arguments.contains(&"--incremental") { "inc1" } else { "full" };
        *log.borrow_mut() = place.backups().join(format!("daybreak-{name}.log"));
        std::fs::read_to_string(&*log.borrow()).is_ok_and(|text| text.contains("Copying "))
    })
    .await;
    // The one that says its version has ended long ago.
    let children = work.children();
    assert_eq!(children.len(), 1, "{children:?}");
    (work, children[0], log.into_inner())
}

async fn states(place: &Place) -> Vec<Value> {
    place.list().await.iter().map(|one| one["state"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_tool_leaves_no_backup() {
    let place = Place::start(500).await;
    let (work, tool, log) = in_the_middle(&place, &[]).await;
    // Meanwhile: the login lies in a private file, and nowhere else.
    let logins = place.logins();
    assert_eq!(logins.len(), 1);
    let file = logins[0].join("login.cnf");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&logins[0]), mode(&file), mode(&log)), (0o700, 0o600, 0o600));
    for process in [tool, work.0.id()] {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap();
        assert!(line.len() > 20 && !holds(&line, PASSWORD), "the password is in an argument list");
    }
    let environment = std::fs::read(format!("/proc/{tool}/environ")).unwrap();
    assert!(
        environment.len() > 20 && !holds(&environment, PASSWORD),
        "the tool's environment has it"
    );
    assert!(!holds(&environment, AWS_SECRET), "the tool's environment has AWS's secrets");
    assert_eq!(states(&place).await, ["unfinished"]);
    // Another one waits its turn.
    let said = place.refused(&[], 1).await;
    assert!(said.contains("another daybreak"), "{said}");
    signal_to(tool, libc::SIGKILL);
    let output = work.end().await;
    let said = support::said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was ended by signal 9"), "{said}");
    assert_eq!(states(&place).await, ["unfinished"]);
    assert!(place.logins().is_empty());
    let said = place.refused(&["--incremental"], 1).await;
    assert!(said.contains("no whole backup"), "{said}");
    let of_the_killed = std::fs::read(&log).unwrap();
    place.taken(&[]).await;
    assert_eq!(states(&place).await, ["whole"]);
    // The error pointed to the log: it is still there.
    let kept = place.backups().join("daybreak-full.log.1");
    assert_eq!(std::fs::read(&kept).unwrap(), of_the_killed);
    assert_eq!(mode(&kept), 0o600);
    assert!(std::fs::read_to_string(&log).unwrap().contains("completed OK!"));
    place.assert_no_secret_in_files();
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tool_ends_with_daybreak() {
    let place = Place::start(500).await;
    for arguments in [&[][..], &["--stream", "-"]] {
        let (work, tool, _) = in_the_middle_of(&place, arguments).await;
        let spool = place.backups().canonicalize().unwrap().join(".daybreak-stream-tmp");
        assert_eq!(spool.exists(), !arguments.is_empty());
        if spool.exists() {
            // What a tool keeps until a stream's end lies beside the chain, and is its owner's alone.
            let line = std::fs::read(format!("/proc/{tool}/cmdline")).unwrap();
            assert!(holds(&line, &format!("--tmpdir={}", spool.display())));
            assert_eq!(spool.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        work.signal(libc::SIGKILL);
        work.end().await;
        until("the tool's end", async || !runs(tool)).await;
        assert_eq!(place.logins().len(), 1, "a killed daybreak can't have cleaned up");
        assert_eq!(states(&place).await, ["unfinished"]);
    }
    let output = support::output(place.take(&[])).await;
    let said = support::said(&output);
    assert!(output.status.success() && said.contains("removed the backup full"), "{said}");
    assert_eq!(states(&place).await, ["whole"]);
    assert!(place.logins().is_empty(), "what it left is swept");
    assert!(!place.backups().join(".daybreak-stream-tmp").exists());
    // An incremental one that is killed doesn't harm its base.
    place.checkpoint().await;
    let (work, tool, _) = in_the_middle(&place, &["--incremental"]).await;
    work.signal(libc::SIGKILL);
    work.end().await;
    until("the tool's end", async || !runs(tool)).await;
    assert_eq!(states(&place).await, ["whole", "unfinished"]);
    place.taken(&["--incremental"]).await;
    assert_eq!(states(&place).await, ["whole", "whole"]);
}

/// The same for a stream, whose log says other words.
async fn in_the_middle_of(place: &Place, arguments: &[&str]) -> (AtWork, u32, PathBuf) {
    if arguments.is_empty() {
        return in_the_middle(place, arguments).await;
    }
    let work = AtWork::start(place.take(arguments));
    // Nobody reads the pipe: the tool waits in the middle.
    let log = place.backups().join("daybreak-full.log");
    until("the tool to stream", async || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Streaming "))
    })
    .await;
    let children = work.children();
    assert_eq!(children.len(), 1, "{children:?}");
    (work, children[0], log)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_tool_in_order() {
    let place = Place::start(500).await;
    for arguments in [&[][..], &["--stream", "-"]] {
        let (work, tool, _) = in_the_middle_of(&place, arguments).await;
        work.signal(libc::SIGINT);
        let output = work.end().await;
        let text = support::said(&output);
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(
            text.contains("the same command again") && !text.contains("daybreak resume"),
            "{text}"
        );
        assert!(!runs(tool));
        assert_eq!(states(&place).await, ["unfinished"]);
        assert!(place.logins().is_empty());
    }
    // The stream's name is that of a directory which is somebody else's.
    let theirs = place.backups().join("full/theirs");
    std::fs::create_dir(theirs.parent().unwrap()).unwrap();
    std::fs::write(&theirs, "x").unwrap();
    place.taken(&["--name", "next"]).await;
    assert_eq!(std::fs::read(&theirs).unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_killed_begins_again_on_a_copy_and_is_refused_in_place() {
    let place = Place::start(300).await;
    place.taken(&[]).await;
    place.checkpoint().await;
    place.taken(&["--incremental"]).await;
    // The tool itself, held up before the step that merges.
    let slow = place.home.path().join("held-up");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--incremental-dir*) echo held up >&2; exec sleep 1000;; esac\nexec {} \"$@\"\n",
        place.tools.backup.display()
    );
    std::fs::write(&slow, script).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o700)).unwrap();
    let prepare = |program: &std::path::Path, to: Option<&std::path::Path>| {
        let mut command = place.daybreak(&["backup", "prepare"]);
        command.arg(place.backups()).arg("--program").arg(program);
        if let Some(to) = to {
            command.arg("--to").arg(to);
        }
        command
    };
    let copy = place.home.path().join("copy");
    let log = place.backups().join("daybreak-inc1.prepare.log");
    for to in [Some(copy.as_path()), None] {
        if log.exists() {
            std::fs::remove_file(&log).unwrap();
        }
        let work = AtWork::start(prepare(&slow, to));
        until("the merge to be held up", async || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("held up"))
        })
        .await;
        work.signal(libc::SIGKILL);
        work.end().await;
        if to.is_some() {
            // The backups are as they were, and the copy begins again.
            assert_eq!(states(&place).await, ["whole", "whole"]);
            let output = support::output(prepare(&place.tools.backup, to)).await;
            let said = support::said(&output);
            assert!(output.status.success() && said.contains("beginning again"), "{said}");
            assert!(copy.join("xtrabackup_binlog_info").exists());
            assert!(!place.home.path().join("copy.daybreak-incremental").exists());
        } else {
            assert_eq!(states(&place).await, ["preparing", "whole"]);
            for to in [None, Some(place.home.path().join("other"))] {
                let output = support::output(prepare(&place.tools.backup, to.as_deref())).await;
                let said = support::said(&output);
                assert_eq!(output.status.code(), Some(1), "{said}");
                assert!(
                    said.contains("was cut off") && said.contains("take a full backup"),
                    "{said}"
                );
            }
            let said = place.refused(&["--incremental"], 1).await;
            assert!(said.contains("prepared"), "{said}");
        }
    }
}
