//! `verify --repair` and `--repair-sql` on a migration whose source is written all the time: what was
//! changed on the target is set right, killed or not; never without the word, nor when it is too late.

mod support;

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use daybreak::engine::{Entry, Journal};
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::time::MissedTickBehavior;

use support::{Pair, connect, daybreak, output, said, split, until};

/// Tables beside the shop's.
const TABLES: [&str; 9] = [
    "CREATE TABLE shop.m (id INT PRIMARY KEY, u BIGINT, v VARCHAR(100), f FLOAT, j JSON, UNIQUE KEY (u))",
    "CREATE TABLE shop.k (a INT, v VARCHAR(100), f FLOAT)",
    "CREATE TABLE shop.fired (id INT PRIMARY KEY, v INT)",
    "CREATE DEFINER = 'owner'@'%' TRIGGER shop.fires BEFORE INSERT ON shop.fired FOR EACH ROW SET NEW.v = NEW.v + 1",
    "CREATE TABLE shop.noted (id INT PRIMARY KEY, v INT)",
    "CREATE DEFINER = 'owner'@'%' TRIGGER shop.notes BEFORE UPDATE ON shop.noted FOR EACH ROW SET NEW.v = NEW.v + 1",
    "INSERT INTO shop.m WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4000) \
     SELECT n, n, REPEAT('v', 50), n / 7e0, JSON_ARRAY(1.5, n, CAST('2024-01-31' AS DATE)) FROM s",
    "INSERT INTO shop.k SELECT id % 50, v, 0.1 FROM shop.m WHERE id < 1000",
    "INSERT INTO shop.noted SELECT id, 1 FROM shop.m WHERE id < 10",
];

struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    /// Writes to rows beyond 3,000 and to those without a key.
    fn start(url: String) -> Writer {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn({
            let (stop, done) = (stop.clone(), done.clone());
            async move {
                let mut conn = connect(&url).await;
                let mut n = 0_u64;
                // No faster than a target on the same cores can follow.
                let mut pace = tokio::time::interval(Duration::from_millis(5));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::SeqCst) {
                    n += 1;
                    pace.tick().await;
                    let id = 3_001 + n % 500;
                    for sql in [
                        format!("UPDATE shop.m SET u = -u, v = '{n}' WHERE id = {id}"),
                        format!(
                            "REPLACE INTO shop.m VALUES ({}, {n} + 100000, 'new', 0.1, '[1]')",
                            5_000 + n % 300
                        ),
                        format!("INSERT INTO shop.k VALUES ({n} + 1000, 'x', {n} / 7e0)"),
                        format!("DELETE FROM shop.k WHERE a = {n} + 980"),
                    ] {
                        conn.query_drop(&sql)
                            .await
                            .unwrap_or_else(|error| panic!("{sql}: {error}"));
                    }
                    done.store(n, Ordering::SeqCst);
                }
            }
        });
        Writer { stop, done, task }
    }

    async fn goes_on(&self) {
        let from = self.done.load(Ordering::SeqCst);
        until("the writer goes on", async || self.done.load(Ordering::SeqCst) > from + 20).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
    }
}

/// Changes rows on the target that the writer leaves alone, out of everybody's log.
async fn damage(target: &mut Conn) {
    for sql in [
        "SET sql_log_bin = 0",
        "UPDATE shop.m SET v = 'evil', j = CAST(CAST(j AS CHAR) AS JSON) WHERE id BETWEEN 100 AND 2500",
        "DELETE FROM shop.m WHERE id BETWEEN 10 AND 20",
        "INSERT INTO shop.m VALUES (900000, 15, 'evil', 0, NULL)",
        "UPDATE shop.m SET u = 70000 WHERE id = 30",
        "UPDATE shop.m SET u = 30 WHERE id = 31",
        "UPDATE shop.m SET u = 31 WHERE id = 30",
        "DELETE FROM shop.k WHERE a = 7 LIMIT 3",
        "UPDATE shop.k SET f = 0.10000000894069672 WHERE a = 8 LIMIT 2",
        "UPDATE shop.noted SET v = 9 WHERE id = 3",
        "UPDATE shop.order_lines SET quantity = quantity + 1 LIMIT 3",
    ] {
        target.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn applies(target: &mut Conn) -> bool {
    let both = "SELECT COUNT(*) FROM performance_schema.replication_connection_status c \
                JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME) \
                WHERE c.SERVICE_STATE = 'ON' AND a.SERVICE_STATE = 'ON'";
    target.query_first(both).await.unwrap() == Some(1)
}

async fn verb(directory: &Path, arguments: &[&str]) -> Output {
    output(daybreak(directory, &[&["verify"], arguments].concat())).await
}

/// Runs a file as the account that the migration has on the target.
fn client(pair: &Pair, file: &Path) -> Output {
    let (user, password) = pair.target.admin_login();
    let login = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[client]\nuser={user}\npassword=\"{password}\"\nhost=127.0.0.1\nport={}\n",
        pair.target.port()
    );
    fs::write(login.path(), text).unwrap();
    Command::new(pair.target.binaries().program("mysql").expect("mysql"))
        .arg(format!("--defaults-file={}", login.path().display()))
        .stdin(File::open(file).unwrap())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_repaired_while_its_source_is_written() {
    let pair = Pair::start(true, 1_000).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    source.query_drop("SET SESSION cte_max_recursion_depth = 10000").await.unwrap();
    for sql in TABLES {
        source.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let directory = pair.directory("");
    let dir = directory.path();
    let early = verb(dir, &["--repair", "--yes"]).await;
    assert_eq!(early.status.code(), Some(1), "{}", said(&early));
    assert!(said(&early).contains("there is no migration here"), "{}", said(&early));
    let run = output(daybreak(dir, &["run"])).await;
    assert_eq!(run.status.code(), Some(4), "{}", said(&run));
    let writer = Writer::start(pair.source.root_url());
    writer.goes_on().await;

    let equal = verb(dir, &["--repair", "--yes"]).await;
    assert!(equal.status.success() && said(&equal).contains("equal:"), "{}", said(&equal));
    damage(&mut target).await;
    let counted = verb(dir, &["--repair", "--yes", "--mode", "count"]).await;
    assert_eq!(counted.status.code(), Some(2), "{}", said(&counted));
    let asked = verb(dir, &["--repair"]).await;
    assert_eq!(asked.status.code(), Some(2), "{}", said(&asked));
    assert!(said(&asked).contains("add --yes if that is meant"), "{}", said(&asked));

    // Standing still, it is ahead of nothing.
    let stopped = output(daybreak(dir, &["replicate", "stop"])).await;
    assert!(stopped.status.success(), "{}", said(&stopped));
    let refused = verb(dir, &["--repair", "--yes"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("daybreak replicate start"), "{}", said(&refused));
    let started = output(daybreak(dir, &["replicate", "start"])).await;
    assert!(started.status.success(), "{}", said(&started));

    let repaired = verb(dir, &["--repair", "--yes", "--json"]).await;
    assert!(repaired.status.success(), "{}", said(&repaired));
    let text = String::from_utf8_lossy(&repaired.stdout).into_owned();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |name: &str| {
        let tables = document["repair"][0]["tables"].as_array().unwrap();
        let table = tables.iter().find(|table| table["table"]["name"] == name).unwrap();
        ["set", "added", "removed"].map(|what| table[what].as_u64().unwrap())
    };
    assert_eq!(of("m"), [2_401 + 2, 11, 1], "{text}");
    assert_eq!(of("k"), [0, 5, 2], "{text}");
    assert_eq!(of("noted"), [1, 0, 0], "{text}");
    assert_eq!(of("order_lines"), [3, 0, 0], "{text}");
    assert_eq!(document["repair"][0]["applied"], true);
    assert!(applies(&mut target).await);
    writer.goes_on().await;
    let journal = Journal::open(dir).unwrap().entries().unwrap();
    let begun =
        |record: &&daybreak::engine::Record| matches!(record.entry, Entry::RepairStarted { .. });
    assert_eq!(journal.iter().filter(begun).count(), 4);

    // What its own triggers would change is named, with a way that works.
    source.query_drop("INSERT INTO shop.fired VALUES (1, 1)").await.unwrap();
    until("the row is there", async || {
        target.query_first("SELECT COUNT(*) FROM shop.fired").await.unwrap() == Some(1)
    })
    .await;
    damage(&mut target).await;
    target.query_drop("UPDATE shop.fired SET v = 7").await.unwrap();
    let left = verb(dir, &["--repair", "--yes", "--mode", "full"]).await;
    assert_eq!(left.status.code(), Some(3), "{}", said(&left));
    assert!(said(&left).contains("not repaired: shop.fired: its triggers"), "{}", said(&left));
    assert!(said(&left).contains("repaired: shop.m: 2403 rows set"), "{}", said(&left));
    let trigger: mysql_async::Row =
        target.query_first("SHOW CREATE TRIGGER shop.fires").await.unwrap().unwrap();
    let trigger: String = trigger.get(2).unwrap();
    target.query_drop("DROP TRIGGER shop.fires").await.unwrap();
    let repaired = verb(dir, &["--repair", "--yes"]).await;
    // The trigger itself is missing now.
    assert_eq!(repaired.status.code(), Some(3), "{}", said(&repaired));
    target.query_drop("USE shop").await.unwrap();
    target.query_drop(trigger).await.unwrap();
    let equal = verb(dir, &["--mode", "full"]).await;
    assert!(equal.status.success(), "{}", said(&equal));

    // Killed while replication stands still; and interrupted, which lets it run again.
    for signal in [libc::SIGKILL, libc::SIGINT] {
        loop {
            damage(&mut target).await;
            let mut repair = daybreak(dir, &["verify", "--repair", "--yes"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            until("replication stands still", async || !applies(&mut target).await).await;
            // SAFETY: the child has not been waited for, so the id is still its own.
            unsafe { libc::kill(libc::pid_t::try_from(repair.id()).unwrap(), signal) };
            let ended = repair.wait().unwrap();
            let open = Journal::open(dir).unwrap().state().repairing.is_some();
            if signal == libc::SIGINT {
                assert!(matches!(ended.code(), Some(0 | 130)), "{ended:?}");
                assert!(!open && applies(&mut target).await);
                break;
            }
            // A repair that was over by then is tried again.
            if open {
                break;
            }
        }
        writer.goes_on().await;
        let again = verb(dir, &["--repair", "--yes"]).await;
        assert!(again.status.success(), "{}", said(&again));
        assert!(applies(&mut target).await);
        assert!(Journal::open(dir).unwrap().state().repairing.is_none());
    }

    // By a file, as the account that Aurora gives.
    damage(&mut target).await;
    let file = dir.join("repair.sql");
    let path = file.to_str().unwrap();
    let written = verb(dir, &["--repair-sql", path]).await;
    assert_eq!(written.status.code(), Some(3), "{}", said(&written));
    assert!(said(&written).contains("run it on the target as its head says"), "{}", said(&written));
    // One of its triggers could fire for a row that came meanwhile.
    assert!(said(&written).contains("not repaired: shop.noted"), "{}", said(&written));
    let migration = Journal::open(dir).unwrap().plan().unwrap().migration.clone();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("-- migration: {migration}")), "{}", &text[..2000]);
    for url in [pair.source.root_url(), pair.target.admin_url()] {
        assert!(!text.contains(&split(&url).1), "a password stands in the file");
    }
    let ran = client(&pair, &file);
    assert!(ran.status.success(), "{}", said(&ran));
    let again = verb(dir, &["--repair-sql", path]).await;
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    let rest = verb(dir, &["--repair", "--yes", "--table", "shop.noted"]).await;
    assert!(rest.status.success(), "{}", said(&rest));
    let other = dir.join("other.sql");
    let nothing = verb(dir, &["--repair-sql", other.to_str().unwrap()]).await;
    assert!(nothing.status.success(), "{}", said(&nothing));
    assert!(said(&nothing).contains("wasn't written") && !other.exists(), "{}", said(&nothing));

    // The wrong way round, and too late.
    let (ours, theirs) = (split(&pair.source.root_url()).0, split(&pair.target.admin_url()).0);
    let path = other.to_str().unwrap();
    let password = |side: &str| dir.join(format!("{side}.password")).display().to_string();
    let (first, second) = (password("target"), password("source"));
    let swapped = [
        "--repair-sql",
        path,
        "--source",
        &theirs,
        "--source-password-file",
        &first,
        "--target",
        &ours,
        "--target-password-file",
        &second,
    ];
    let refused = verb(dir, &swapped).await;
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("replicates from the target"), "{}", said(&refused));
    writer.end().await;
    let moved = output(daybreak(dir, &["cutover"])).await;
    assert!(moved.status.success(), "{}", said(&moved));
    target.query_drop("UPDATE shop.m SET v = 'newer' WHERE id = 1").await.unwrap();
    let by_name =
        [ours.replace("127.0.0.1", "localhost"), theirs.replace("127.0.0.1", "localhost")];
    for arguments in [
        &["--repair", "--yes"][..],
        &["--repair-sql", path],
        &["--repair-sql", path, "--source", &by_name[0], "--target", &by_name[1]],
    ] {
        let refused = verb(dir, arguments).await;
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("the source is stale"), "{}", said(&refused));
    }
    assert!(!other.exists());
    let late = client(&pair, &file);
    assert!(!late.status.success() && said(&late).contains("too late"), "{}", said(&late));
    let newer: Option<String> =
        target.query_first("SELECT v FROM shop.m WHERE id = 1").await.unwrap();
    assert_eq!(newer.as_deref(), Some("newer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_follows_by_position_or_not_at_all_is_repaired() {
    let pair = Pair::start(false, 500).await;
    let (mut source, mut target) = (pair.source_root().await, pair.target_root().await);
    source.query_drop("SET SESSION cte_max_recursion_depth = 10000").await.unwrap();
    for sql in TABLES {
        source.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for (mode, until) in [("none", "verify"), ("native", "verify")] {
        let extra = format!("[replication]\nmode = \"{mode}\"\n");
        let directory = pair.directory(&extra);
        let dir = directory.path();
        let early = output(daybreak(dir, &["run", "--until", "rows"])).await;
        assert!(early.status.success(), "{mode}: {}", said(&early));
        let refused = verb(dir, &["--repair", "--yes"]).await;
        assert_eq!(refused.status.code(), Some(1), "{mode}: {}", said(&refused));
        assert!(said(&refused).contains("isn't all there yet"), "{mode}: {}", said(&refused));
        let run = output(daybreak(dir, &["resume", "--until", until])).await;
        assert!(run.status.success(), "{mode}: {}", said(&run));
        let writer = (mode == "native").then(|| Writer::start(pair.source.root_url()));
        if let Some(writer) = &writer {
            writer.goes_on().await;
        }
        damage(&mut target).await;
        let differ = verb(dir, &[]).await;
        assert_eq!(differ.status.code(), Some(3), "{mode}: {}", said(&differ));
        let cutover = output(daybreak(dir, &["cutover"])).await;
        assert_ne!(cutover.status.code(), Some(0), "{mode}: {}", said(&cutover));
        let repaired = verb(dir, &["--repair", "--yes", "--mode", "full"]).await;
        assert!(repaired.status.success(), "{mode}: {}", said(&repaired));
        if let Some(writer) = writer {
            writer.goes_on().await;
            writer.end().await;
        }
        // A comparison that found both sides equal lets the cutover begin.
        let moved = output(daybreak(dir, &["cutover"])).await;
        assert!(moved.status.success(), "{mode}: {}", said(&moved));
        pair.assert_equal(mode);
        pair.reset().await;
    }
}
