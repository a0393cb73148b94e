//! The operator's consent is for one attempt at the cutover: what didn't come through isn't begun again
//! by `resume`, and what was asked for with it holds when the word is given again.

mod support;

use mysql_async::{Conn, prelude::Queryable as _};
use support::{
    Pair, daybreak,
    faults::{Ended, Running},
    output, said,
};

async fn takes_writes(root: &mut Conn) -> bool {
    // A lock that is still there would hold this up.
    root.query_drop("SET lock_wait_timeout = 1").await.unwrap();
    let closed: Option<u8> = root.query_first("SELECT @@GLOBAL.read_only").await.unwrap();
    closed == Some(0) && root.query_drop("INSERT INTO shop.probe VALUES (NULL)").await.is_ok()
}

async fn replicates(target: &mut Conn) -> bool {
    let both = "SELECT COUNT(*) FROM performance_schema.replication_connection_status c \
                JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME) \
                WHERE c.SERVICE_STATE = 'ON' AND a.SERVICE_STATE = 'ON'";
    target.query_first(both).await.unwrap() == Some(1)
}

/// `resume` alone makes no other attempt, as often as it is said, and names what does.
async fn waits_for_the_word(pair: &Pair, dir: &std::path::Path, command: &str, why: &str) {
    for _ in 0..2 {
        let resumed = output(daybreak(dir, &["resume"])).await;
        let text = said(&resumed);
        assert_eq!(resumed.status.code(), Some(4), "{why}: {text}");
        assert!(text.contains(&format!("`{command}` does it")), "{why}: {text}");
        assert!(!text.contains("writes are stopped"), "{why}: {text}");
        assert!(takes_writes(&mut pair.source_root().await).await, "{why}: {text}");
        assert!(replicates(&mut pair.target_root().await).await, "{why}: {text}");
        let status = said(&output(daybreak(dir, &["status"])).await);
        assert!(status.contains("ready for the cutover"), "{why}: {status}");
    }
}

/// Lets a cutover come to its pause, does something to it, and returns what it came to.
async fn at_the_pause(
    dir: &std::path::Path,
    arguments: &[&str],
    act: impl FnOnce(&Running),
) -> Ended {
    let cutover = Running::start(daybreak(dir, arguments));
    cutover.says(&["cutover --go"]).await;
    act(&cutover);
    cutover.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_for_one_attempt_and_its_options_hold() {
    let pair = Pair::start(true, 500).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    source.query_drop("CREATE TABLE shop.probe (id INT AUTO_INCREMENT PRIMARY KEY)").await.unwrap();
    let directory = pair.directory("[hooks]\non_abort = \"echo told >> aborted\"\n");
    let dir = directory.path();

    // What `run --yes` agreed to, `run` takes back.
    let copied = output(daybreak(dir, &["run", "--yes", "--until", "verify"])).await;
    assert!(copied.status.success(), "{}", said(&copied));
    let stops = output(daybreak(dir, &["run"])).await;
    assert_eq!(stops.status.code(), Some(4), "{}", said(&stops));
    waits_for_the_word(&pair, dir, "daybreak cutover", "withdrawn").await;

    // A gate says no: nothing was begun, and nothing is when the gate opens.
    target.query_drop("STOP REPLICA").await.unwrap();
    let blocked = output(daybreak(dir, &["cutover"])).await;
    assert_eq!(blocked.status.code(), Some(3), "{}", said(&blocked));
    assert!(said(&blocked).contains("`daybreak cutover`"), "{}", said(&blocked));
    let status = said(&output(daybreak(dir, &["status"])).await);
    for words in [
        "not ready for the cutover: replication has stopped",
        "`daybreak replicate start`",
        "last failure: cutover can't begin",
    ] {
        assert!(status.contains(words), "{words}: {status}");
    }
    target.query_drop("START REPLICA").await.unwrap();
    waits_for_the_word(&pair, dir, "daybreak cutover", "a closed gate").await;

    // Killed, and interrupted, while it waits to be told.
    let options = ["cutover", "--pause-before-open", "--max-write-stop", "55s"];
    let again = "daybreak cutover --pause-before-open --max-write-stop 55000ms";
    let killed = at_the_pause(dir, &options, |run| run.signal(libc::SIGKILL)).await;
    assert_eq!(killed.code(), None, "{}", killed.text);
    assert!(!dir.join("aborted").exists(), "a kill tells nobody");
    waits_for_the_word(&pair, dir, again, "killed").await;
    let told = || std::fs::read_to_string(dir.join("aborted")).unwrap().lines().count();
    assert_eq!(told(), 1, "taking it back tells on_abort, once");
    let interrupted = at_the_pause(dir, &options, |run| run.signal(libc::SIGINT)).await;
    interrupted.told(130, &["interrupted", again, "daybreak resume --yes"]);
    let status = said(&output(daybreak(dir, &["status"])).await);
    assert!(status.contains("didn't come through"), "{status}");
    waits_for_the_word(&pair, dir, again, "interrupted").await;
    assert_eq!(told(), 2);

    // The budget, said anew, is spent; the pause holds still.
    let spent = ["resume", "--yes", "--max-write-stop", "1s"];
    let spent = at_the_pause(dir, &spent, |_| {}).await;
    assert_eq!(spent.code(), Some(1), "{}", spent.text);
    let again = "daybreak cutover --pause-before-open --max-write-stop 1000ms";
    assert!(spent.text.contains(again), "{}", spent.text);
    waits_for_the_word(&pair, dir, again, "a spent budget").await;

    // With the word it goes on as it was begun: it waits to be told, and only then opens the target.
    let word = ["resume", "--yes", "--max-write-stop", "55s"];
    let told = at_the_pause(dir, &word, |_| {
        let go = daybreak(dir, &["cutover", "--go"]).output().unwrap();
        assert!(go.status.success(), "{}", said(&go));
    })
    .await;
    assert_eq!(told.code(), Some(0), "{}", told.text);
    assert!(!takes_writes(&mut source).await);
    pair.assert_equal("told");
}

/// The moment of a cutover is somebody's choice: it isn't begun before all else is done, nor after a
/// comparison by hand that found differences.
#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_waits_for_all_before_it_and_heeds_what_was_compared_since() {
    let pair = Pair::start(true, 300).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    for statement in [
        "CREATE TABLE shop.probe (id INT AUTO_INCREMENT PRIMARY KEY)",
        "CREATE TABLE shop.drifts (id INT PRIMARY KEY, v INT)",
        "INSERT INTO shop.drifts VALUES (77, 1)",
        "CREATE USER ledger@'10.%' IDENTIFIED BY 'Of-the-ledger-1'",
    ] {
        source.query_drop(statement).await.unwrap();
    }
    let directory = pair.directory("");
    let dir = directory.path();
    let run = async |arguments: &[&str], code: i32| {
        let ended = output(daybreak(dir, arguments)).await;
        let text = said(&ended);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {text}");
        text
    };

    run(&["run", "--until", "rows"], 0).await;
    let early = run(&["cutover"], 3).await;
    assert!(early.contains("isn't ready") && early.contains("indexes"), "{early}");
    assert!(takes_writes(&mut source).await);
    let status = run(&["status"], 0).await;
    assert!(status.contains("indexes          pending"), "{status}");
    run(&["resume"], 4).await;

    target.query_drop("UPDATE shop.drifts SET v = 2").await.unwrap();
    let differs = run(&["verify"], 3).await;
    assert!(differs.contains("shop.drifts") && differs.contains("id=77"), "{differs}");
    for arguments in [&["cutover", "--dry-run"][..], &["cutover"]] {
        let text = run(arguments, 3).await;
        assert!(text.contains("found differences after"), "{text}");
        assert!(takes_writes(&mut source).await);
    }
    // What is equal of one table doesn't say that all is.
    target.query_drop("UPDATE shop.drifts SET v = 1").await.unwrap();
    run(&["verify", "--table", "shop.drifts"], 0).await;
    run(&["cutover", "--dry-run"], 3).await;
    let document = output(daybreak(dir, &["verify", "--json"])).await;
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["live"], true, "{document}");
    // Accounts aren't copied: the one that the target lacks is named, and keeps nothing from going on.
    let lacks = "the target lacks accounts of the source: 'ledger'@'10.%'; the logical route doesn't copy accounts";
    let dry = run(&["cutover", "--dry-run"], 0).await;
    assert!(dry.contains(&format!("warning ({lacks}")), "{dry}");
    assert!(dry.contains("SHOW GRANTS FOR 'ledger'@'10.%'") && !dry.contains("'owner'"), "{dry}");
    let done = run(&["cutover"], 0).await;
    assert!(done.contains(lacks), "{done}");
    pair.assert_equal("after all");
}
