//! The step `upload` of the physical route, killed between any two of its effects, and with what happens to
//! the bucket meanwhile: it goes on, or begins anew, and never counts what isn't whole.

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use cloud::Stage;
use rehearsal::server::find_mariadb_backup;
use serde_json::Value;
use support::{daybreak, output, said, was_killed};

/// What was printed last: before it, lines tell of progress.
fn document(ended: &Output) -> Value {
    let text = String::from_utf8_lossy(&ended.stdout);
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A planned migration.
struct Migration<'a> {
    stage: &'a Stage,
    directory: tempfile::TempDir,
    id: String,
}

impl<'a> Migration<'a> {
    async fn plan(stage: &'a Stage, backup: &str) -> Migration<'a> {
        let program = find_mariadb_backup().unwrap().backup;
        Migration::plan_with(stage, backup, &program).await
    }

    async fn plan_with(stage: &'a Stage, backup: &str, program: &Path) -> Migration<'a> {
        let directory = tempfile::tempdir().unwrap();
        stage.configure_with(directory.path(), backup, program);
        let mut migration = Migration { stage, directory, id: String::new() };
        let planned = migration.run(&["plan", "--route", "physical", "--json"], None).await;
        assert!(planned.status.success(), "{}", said(&planned));
        let plan = document(&planned);
        let plan = plan.get("plan").unwrap_or(&plan);
        migration.id = plan["migration"].as_str().unwrap().to_string();
        migration
    }

    async fn run(&self, arguments: &[&str], kill_at: Option<&str>) -> Output {
        let mut command = daybreak(self.directory.path(), arguments);
        if let Some(place) = kill_at {
            command.env("DAYBREAK_KILL_AT", place);
        }
        output(command).await
    }

    async fn killed(&self, place: &str) {
        let ended = self.run(&["resume", "--until", "upload"], Some(place)).await;
        assert!(was_killed(&ended), "{place}: {}", said(&ended));
    }

    async fn done(&self) -> String {
        let ended = self.run(&["resume", "--until", "upload"], None).await;
        assert!(ended.status.success(), "{}", said(&ended));
        said(&ended)
    }

    /// Takes everything back, and looks for what is left in the bucket.
    async fn undone(&self) {
        let ended = self.run(&["undo"], None).await;
        assert!(ended.status.success(), "{}", said(&ended));
        let mut open = vec![self.objects()];
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
                assert!(entry.path().is_dir(), "{} is left", entry.path().display());
                open.push(entry.path());
            }
        }
    }

    /// Where its backups lie, or of a stream what is known of it.
    fn backups(&self) -> PathBuf {
        self.stage.place.path().join("staging").join(format!("daybreak-{}", self.id))
    }

    fn chain(&self) -> Value {
        let text = std::fs::read(self.backups().join("daybreak-backups.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn objects(&self) -> PathBuf {
        self.stage.cloud.bucket("backups").join(format!("here/daybreak-{}", self.id))
    }

    fn first_object(&self) -> PathBuf {
        self.objects().join("backup.xbstream00000")
    }

    /// The bucket holds the one backup that is written down, whole.
    async fn assert_whole(&self, why: &str) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command.args(["backup", "inspect", "--for", "any", "--json"]).arg(self.first_object());
        let ended = output(command).await;
        assert!(ended.status.success(), "{why}: {}", said(&ended));
        let found = document(&ended);
        let chain = self.chain();
        assert_eq!(chain["backups"].as_array().unwrap().len(), 1, "{why}");
        let known = &chain["backups"][0];
        assert_eq!((&found["whole"], &known["state"]), (&true.into(), &"whole".into()), "{why}");
        assert_eq!(found["coordinates"]["file"], known["coordinates"]["file"], "{why}");
        assert_eq!(found["chain"][0]["to_lsn"], known["to_lsn"], "{why}");
        let journal = daybreak::engine::Journal::open(self.directory.path()).unwrap();
        let recorded: Option<Value> = journal.recall("upload", "full").unwrap();
        assert_eq!(recorded.as_ref(), Some(known), "{why}");
        assert!(self.directory.path().join("objects.json").exists(), "{why}");
        assert_eq!(self.stage.cloud.uploads_under_way(), [], "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_any_two_effects_a_stream_is_there_once() {
    let stage = Stage::start().await;
    for place in ["stream-aside", "stream-recorded", "upload-sent", "upload-complete"] {
        let migration = Migration::plan(&stage, "stream = true").await;
        migration.killed(place).await;
        let before = migration.chain();
        // Nothing can be seen of a stream before what is known of it is written down.
        let seen = migration.first_object().exists();
        assert_eq!(seen, place.starts_with("upload"), "{place}");
        let text = migration.done().await;
        migration.assert_whole(place).await;
        // A complete one isn't taken a second time.
        assert_eq!(migration.chain() == before, place == "upload-complete", "{place}: {text}");
        assert_eq!(text.contains("was uploaded already"), place == "upload-complete", "{text}");
        migration.undone().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_stream_that_lost_something_begins_anew() {
    let stage = Stage::start().await;
    let migration = Migration::plan(&stage, "stream = true").await;
    migration.killed("upload-complete").await;
    let first = migration.chain();
    // What others put there stops it, and costs nothing once it is gone.
    let other = migration.objects().join("of-someone");
    std::fs::write(&other, "theirs").unwrap();
    let ended = migration.run(&["resume", "--until", "upload"], None).await;
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(3), "{text}");
    assert!(text.contains("of-someone wasn't sent by this upload"), "{text}");
    assert!(migration.first_object().exists() && migration.chain() == first);
    std::fs::remove_file(&other).unwrap();
    // An object is lost; and it is killed when the rest was taken away.
    std::fs::remove_file(migration.first_object()).unwrap();
    migration.killed("stream-taken-away").await;
    assert_eq!(migration.chain(), first);
    migration.done().await;
    migration.assert_whole("an object was lost").await;
    assert_ne!(migration.chain(), first);
    migration.undone().await;

    // What was written down is lost.
    let migration = Migration::plan(&stage, "stream = true").await;
    migration.killed("upload-complete").await;
    std::fs::remove_file(migration.directory.path().join("objects.json")).unwrap();
    let text = migration.done().await;
    assert!(text.contains("wasn't put aside"), "{text}");
    migration.assert_whole("a record was lost").await;
}

/// A tool whose stream is cut off on its way, and that ends well all the same.
fn cutting_tool(directory: &Path) -> PathBuf {
    let program = find_mariadb_backup().unwrap().backup;
    let path = directory.join("mariadb-backup");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--stream*) ;; *) exec '{0}' \"$@\";; esac\n\
         '{0}' \"$@\" | {{ head -c 3000000; cat >/dev/null; }}\n",
        program.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_on_its_way_never_counts() {
    let stage = Stage::start().await;
    let tool = cutting_tool(stage.place.path());
    let migration = Migration::plan_with(&stage, "stream = true", &tool).await;
    let ended = migration.run(&["resume", "--until", "upload"], None).await;
    let text = said(&ended);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("isn't whole") && text.contains("take the backup again"), "{text}");
    assert!(!migration.first_object().exists(), "it can be seen");
    assert_eq!(stage.cloud.uploads_under_way(), []);
    assert_eq!(migration.chain()["backups"][0]["state"], "unfinished");
    let log = std::fs::read(migration.backups().join("daybreak-full.log")).unwrap();
    stage.configure(migration.directory.path(), "stream = true");
    migration.done().await;
    migration.assert_whole("with the tool itself").await;
    // What the error pointed to.
    assert!(log == std::fs::read(migration.backups().join("daybreak-full.log.1")).unwrap());
}

/// What was planned is done, whatever is edited afterwards; and what was uploaded can be taken back when
/// the directory that it came from is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_decides_and_undo_needs_no_directory() {
    let stage = Stage::start().await;
    let migration = Migration::plan(&stage, "incrementals = 1").await;
    let ended = migration.run(&["resume", "--until", "backup"], None).await;
    assert!(ended.status.success(), "{}", said(&ended));
    let before = migration.chain();
    stage.configure(migration.directory.path(), "stream = true");
    migration.done().await;
    assert_eq!(migration.chain(), before, "backups were taken again");
    for link in ["full", "inc1"] {
        assert!(migration.objects().join(link).join("xtrabackup_checkpoints").exists(), "{link}");
    }
    let mut names: Vec<_> = migration.objects().read_dir().unwrap().flatten().collect();
    names.retain(|entry| entry.path().is_file());
    assert!(names.is_empty(), "what isn't the backup's went up: {names:?}");
    std::fs::remove_dir_all(migration.backups()).unwrap();
    migration.undone().await;
}
