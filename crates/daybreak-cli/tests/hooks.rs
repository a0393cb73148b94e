//! The operator's hooks around the cutover, its pause before the target is opened, and its budget: the
//! real binary on real servers.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
};

use mysql_async::{Conn, prelude::Queryable as _};
use rehearsal::server::Server;
use support::{PATIENCE, Pair, daybreak, output, private, said, split, until};

/// Replaces all that follows the servers in a migration's configuration.
fn configure(directory: &Path, extra: &str) {
    let path = directory.join("daybreak.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let servers = text.split("\n[cutover]\n").next().unwrap();
    private(&path, &format!("{servers}\n[cutover]\n{extra}"));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn report(directory: &Path) -> serde_json::Value {
    serde_json::from_str(&read(&directory.join("report.json"))).unwrap()
}

/// The last run of a hook, as the report has it.
fn last_hook(directory: &Path) -> serde_json::Value {
    report(directory)["hooks"].as_array().unwrap().last().unwrap().clone()
}

async fn takes_writes(root: &mut Conn) -> bool {
    let (closed, super_closed): (bool, bool) =
        root.query_first("SELECT @@read_only, @@super_read_only").await.unwrap().unwrap();
    // And a lock that is still there would hold this up.
    root.query_drop("SET lock_wait_timeout = 1").await.unwrap();
    !closed
        && !super_closed
        && root.query_drop("INSERT INTO shop.hooked VALUES (NULL, 'probe')").await.is_ok()
}

/// A client's option file, so that a hook can ask a server.
fn option_file(path: &Path, server: &Server) {
    let (_, password) = split(&server.root_url());
    let text = format!(
        "[client]\nuser=root\npassword=\"{password}\"\nhost=127.0.0.1\nport={}\n",
        server.port()
    );
    private(path, &text);
}

fn is_alive(pid: &str) -> bool {
    let state = read(Path::new(&format!("/proc/{}/stat", pid.trim())));
    // One that nobody has waited for yet is dead all the same.
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_and_the_pause_are_heeded() {
    let pair = Pair::start(true, 500).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    source
        .query_drop("CREATE TABLE shop.hooked (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))")
        .await
        .unwrap();
    without_replication_the_veto_comes_before_the_copy(&pair, &mut source).await;

    let directory = pair.directory("[replication]\nmax_lag = \"30s\"\n");
    let dir = directory.path();
    let run = output(daybreak(dir, &["run"])).await;
    assert_eq!(run.status.code(), Some(4), "{}", said(&run));

    // A veto: nothing is begun.
    configure(
        dir,
        "[hooks]\nbefore_write_stop = \"env > told; echo the queue is not empty; exit 7\"\non_abort = \"touch aborted\"\n",
    );
    let (_, secret) = split(&pair.target.admin_url());
    let mut vetoed = daybreak(dir, &["cutover"]);
    vetoed.env("DAYBREAK_TARGET_PASSWORD", &secret).env("MYSQL_PWD", &secret);
    let vetoed = output(vetoed).await;
    assert_eq!(vetoed.status.code(), Some(3), "{}", said(&vetoed));
    for words in [
        "vetoed the write stop (exit code 7)",
        "nothing was changed",
        "the queue is not empty",
        "daybreak cutover",
    ] {
        assert!(said(&vetoed).contains(words), "{words}: {}", said(&vetoed));
    }
    assert!(read(&dir.join("daybreak.log")).contains("the queue is not empty"));
    assert!(takes_writes(&mut source).await);
    assert!(!dir.join("aborted").exists());
    let told = read(&dir.join("told"));
    for line in [
        "DAYBREAK_EVENT=before_write_stop".to_string(),
        format!("DAYBREAK_SOURCE=127.0.0.1:{}", pair.source.port()),
        format!("DAYBREAK_TARGET=127.0.0.1:{}", pair.target.port()),
        format!("DAYBREAK_MIGRATION={}", report(dir)["migration"].as_str().unwrap()),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    let (_, source_secret) = split(&pair.source.root_url());
    assert!(!told.contains(&secret) && !told.contains(&source_secret));
    let hook = last_hook(dir);
    assert_eq!(
        (&hook["hook"], &hook["ended"]["code"]),
        (&"before_write_stop".into(), &7.into()),
        "{hook}"
    );
    assert_eq!(hook["output"][0], "the queue is not empty");
    assert!(report(dir)["point_of_no_return"].is_null());

    // One that isn't there, and one that takes too long: its whole group goes, and who was cut off
    // couldn't put anything back.
    configure(dir, "[hooks]\nbefore_write_stop = [\"./no-such-hook\"]\n");
    let missing = output(daybreak(dir, &["cutover"])).await;
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
    assert!(said(&missing).contains("couldn't be started"), "{}", said(&missing));
    configure(
        dir,
        "[hooks]\ntimeout = \"10s\"\non_abort = \"echo $DAYBREAK_EVENT > aborted\"\n\
         before_write_stop = { timeout = \"700ms\", command = \"trap '' TERM; sleep 3000 & echo $! > child; echo $$ > leader; wait; wait\" }\n",
    );
    let late = output(daybreak(dir, &["cutover"])).await;
    assert_eq!(late.status.code(), Some(3), "{}", said(&late));
    assert!(said(&late).contains("wasn't done within"), "{}", said(&late));
    for file in ["child", "leader"] {
        let pid = read(&dir.join(file));
        assert!(pid.trim().parse::<u32>().is_ok(), "{file}: {pid:?}");
        until("the hook's processes are gone", async || !is_alive(&pid)).await;
    }
    assert_eq!(read(&dir.join("aborted")), "on_abort\n");
    assert!(takes_writes(&mut source).await);

    // The budget runs out while the target is behind: everything is put back, and that is told.
    std::fs::remove_file(dir.join("aborted")).unwrap();
    for sql in [
        "STOP REPLICA SQL_THREAD",
        "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 5",
        "START REPLICA SQL_THREAD",
    ] {
        target.query_drop(sql).await.unwrap();
    }
    configure(
        dir,
        "[hooks]\nbefore_write_stop = \"true\"\non_abort = \"echo $DAYBREAK_REASON > aborted; exit 1\"\nafter_target_open = \"touch opened\"\n",
    );
    let exceeded = output(daybreak(dir, &["cutover", "--max-write-stop", "300ms"])).await;
    assert_eq!(exceeded.status.code(), Some(1), "{}", said(&exceeded));
    assert!(read(&dir.join("aborted")).contains("(0.3 s)"), "{}", said(&exceeded));
    assert!(takes_writes(&mut source).await && !dir.join("opened").exists());
    let hooks = report(dir)["hooks"].clone();
    let ends: Vec<_> = hooks.as_array().unwrap().iter().rev().take(2).collect();
    assert_eq!(ends[0]["hook"], "on_abort");
    assert_eq!((&ends[0]["ended"]["code"], &ends[1]["ended"]["code"]), (&1.into(), &0.into()));
    for sql in [
        "STOP REPLICA SQL_THREAD",
        "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0",
        "START REPLICA SQL_THREAD",
    ] {
        target.query_drop(sql).await.unwrap();
    }

    // A pause that nobody ends is within the budget too.
    std::fs::remove_file(dir.join("aborted")).unwrap();
    let paused =
        output(daybreak(dir, &["cutover", "--pause-before-open", "--max-write-stop", "1s"])).await;
    assert_eq!(paused.status.code(), Some(1), "{}", said(&paused));
    assert!(said(&paused).contains("been told to open"), "{}", said(&paused));
    assert!(takes_writes(&mut source).await && dir.join("aborted").exists());
    let early = output(daybreak(dir, &["cutover", "--go"])).await;
    assert_eq!(early.status.code(), Some(1), "{}", said(&early));
    assert!(said(&early).contains("no cutover waits"), "{}", said(&early));

    // Told to go on, it opens the target. What the hook then finds is a target that takes writes and a
    // source that doesn't; that it fails changes nothing any more.
    std::fs::remove_file(dir.join("told")).unwrap();
    option_file(&dir.join("source.cnf"), &pair.source);
    option_file(&dir.join("target.cnf"), &pair.target);
    let mysql = pair.target.binaries().program("mysql").expect("mysql");
    configure(
        dir,
        &format!(
            "pause_before_open = true\nmax_write_stop = \"50s\"\n[hooks]\nafter_target_open = '''\n\
             [ -f once ] || {{ touch once; kill -9 $PPID; exit 1; }}\n\
             env > told\n\
             {0} --defaults-file=target.cnf -e \"INSERT INTO shop.hooked VALUES (NULL, 'by the hook')\" || exit 1\n\
             {0} --defaults-file=source.cnf -e \"INSERT INTO shop.hooked VALUES (NULL, 'too late')\" && exit 2\n\
             exit 5'''\n",
            mysql.display()
        ),
    );
    let dry = output(daybreak(dir, &["cutover", "--dry-run"])).await;
    assert!(dry.status.success() && said(&dry).contains("after_target_open"), "{}", said(&dry));
    assert!(said(&dry).contains("cutover --go"), "{}", said(&dry));
    let mut child =
        daybreak(dir, &["cutover"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (waiting, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            if line.contains("cutover --go") {
                waiting.send(()).unwrap();
            }
            text += &line;
            text.push('\n');
        }
        text
    });
    tokio::time::timeout(PATIENCE, waits.recv()).await.unwrap().expect("it never waited");
    assert!(child.try_wait().unwrap().is_none());
    assert!(!takes_writes(&mut source).await, "writes are stopped while it waits");
    let go = output(daybreak(dir, &["cutover", "--go"])).await;
    assert!(go.status.success(), "{}", said(&go));
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    // The hook's first run ended daybreak: going on runs it again, and nothing else twice.
    let text = reader.join().unwrap();
    assert_eq!(status.signal(), Some(9), "{text}");
    assert!(!takes_writes(&mut source).await && !dir.join("told").exists());
    let resumed = output(daybreak(dir, &["resume"])).await;
    let text = said(&resumed);
    assert!(resumed.status.success(), "{text}");
    assert!(text.contains("THE HOOK after_target_open FAILED"), "{text}");
    let hook = last_hook(dir);
    assert_eq!(
        (&hook["hook"], &hook["ended"]["code"]),
        (&"after_target_open".into(), &5.into()),
        "{hook} {text}"
    );
    let page = read(&dir.join("report.html"));
    assert!(page.contains("after_target_open ended with exit code 5"), "not in the page");
    let told = read(&dir.join("told"));
    assert!(
        told.contains("DAYBREAK_SOURCE_POSITION=") && told.contains("DAYBREAK_TARGET_POSITION="),
        "{told}"
    );
    assert!(!told.contains(&secret) && !told.contains(&source_secret));
    let rows: Vec<String> =
        target.query("SELECT v FROM shop.hooked WHERE v <> 'probe' ORDER BY id").await.unwrap();
    assert_eq!(rows, ["by the hook"]);
    assert!(!takes_writes(&mut source).await);
    assert_eq!(report(dir)["verdict"]["outcome"], "completed", "{}", report(dir)["verdict"]);
    assert!(report(dir)["cutover"]["details"]["budget_millis"] == 50_000.0);
}

/// Where writes stop before the copy, that is what the hook is asked before.
async fn without_replication_the_veto_comes_before_the_copy(pair: &Pair, source: &mut Conn) {
    let directory = pair.directory("[replication]\nmode = \"none\"\n");
    let dir = directory.path();
    configure(
        dir,
        "[hooks]\nbefore_write_stop = \"echo asked >> asked; exit 1\"\non_abort = \"touch aborted\"\n",
    );
    let vetoed = output(daybreak(dir, &["run", "--yes"])).await;
    assert_eq!(vetoed.status.code(), Some(3), "{}", said(&vetoed));
    assert!(takes_writes(source).await && !dir.join("aborted").exists());
    // It agrees, and the run ends before the cutover: the source has its writes back, and that is told.
    configure(
        dir,
        "[hooks]\nbefore_write_stop = \"echo asked >> asked\"\non_abort = \"touch aborted\"\n",
    );
    let copied = output(daybreak(dir, &["resume", "--until", "rows"])).await;
    assert!(copied.status.success(), "{}", said(&copied));
    assert_eq!(read(&dir.join("asked")), "asked\nasked\n");
    assert!(dir.join("aborted").exists() && takes_writes(source).await);
    let undone = output(daybreak(dir, &["undo"])).await;
    assert!(undone.status.success(), "{}", said(&undone));
}

/// It agrees, and then the writes can't be stopped: that is told as often as it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn on_abort_follows_a_source_that_is_gone_after_the_hook() {
    let mut pair = Pair::start(true, 500).await;
    let directory = pair.directory("[replication]\nmode = \"none\"\n");
    let dir = directory.path();
    let copied = output(daybreak(dir, &["run", "--until", "schema"])).await;
    assert!(copied.status.success(), "{}", said(&copied));
    let pid = pair.source.pid();
    configure(
        dir,
        &format!(
            "[hooks]\nbefore_write_stop = \"echo asked >> asked; kill -9 {pid} || true\"\non_abort = \"echo told >> told\"\n"
        ),
    );
    let failed = output(daybreak(dir, &["run", "--until", "rows"])).await;
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let (asked, told) = (read(&dir.join("asked")), read(&dir.join("told")));
    assert!(asked.lines().count() >= 1, "{}", said(&failed));
    assert_eq!(asked.lines().count(), told.lines().count(), "{}", said(&failed));
    pair.source.kill().await;
}
