//! With accepted downtime, when the source takes writes again between the comparison and the cutover:
//! what changed is copied and compared anew, objects included, before the target is opened.

mod support;

use mysql_async::prelude::Queryable as _;
use rehearsal::server::Server;
use support::{Pair, daybreak, output, private, said};

const NONE: &str = "[replication]\nmode = \"none\"\n[copy]\nchunk_mib = 1\n";

async fn at(server: &Server, statements: &[&str]) {
    let mut root = support::connect(&server.root_url()).await;
    for statement in statements {
        root.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn ask(server: &Server, sql: &str) -> Option<String> {
    support::connect(&server.root_url()).await.query_first(sql).await.unwrap()
}

/// Runs a verb and demands its exit code.
async fn verb(directory: &std::path::Path, arguments: &[&str], code: i32) -> String {
    let ended = output(daybreak(directory, arguments)).await;
    assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", said(&ended));
    said(&ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_the_source_was_open_again_is_copied_and_compared_anew() {
    let pair = Pair::start(true, 200).await;
    at(
        &pair.source,
        &[
            "CREATE TABLE shop.moved (id INT PRIMARY KEY, email VARCHAR(200) NOT NULL UNIQUE, \
             note VARCHAR(2000) DEFAULT 'a')",
            "SET SESSION cte_max_recursion_depth = 10000",
            "INSERT INTO shop.moved WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 6000) \
             SELECT n, CONCAT('mail', n), REPEAT('n', 1000) FROM s",
            "ANALYZE TABLE shop.moved",
            "CREATE DEFINER = owner PROCEDURE shop.says() SELECT 'before'",
            "CREATE DEFINER = owner TRIGGER shop.moved_bi BEFORE INSERT ON shop.moved FOR EACH ROW SET NEW.note = UPPER(NEW.note)",
            "CREATE DEFINER = owner VIEW shop.seen AS SELECT id FROM shop.moved",
            "CREATE DEFINER = owner EVENT shop.sleeps ON SCHEDULE EVERY 1 YEAR STARTS '2040-01-01' DO DO 1",
        ],
    )
    .await;
    let directory = pair.directory(NONE);
    let dir = directory.path();
    assert!(verb(dir, &["run"], 4).await.contains("ready for cutover"));

    // The source is open again, for hours. Values of a unique key move from chunk to chunk and back.
    at(
        &pair.source,
        &[
            "UPDATE shop.moved SET email = 'aside' WHERE id = 5",
            "UPDATE shop.moved SET email = 'mail5' WHERE id = 5900",
            "UPDATE shop.moved SET email = 'mail5900' WHERE id = 5",
            "DELETE FROM shop.moved WHERE id = 5800",
            "UPDATE shop.moved SET email = 'mail5800' WHERE id = 6",
            "DROP PROCEDURE shop.says",
            "CREATE DEFINER = owner PROCEDURE shop.says() SELECT 'after'",
            "DROP TRIGGER shop.moved_bi",
            "ALTER DEFINER = owner VIEW shop.seen AS SELECT id, email FROM shop.moved",
            "DROP EVENT shop.sleeps",
            "CREATE DEFINER = owner EVENT shop.wakes ON SCHEDULE EVERY 1 YEAR STARTS '2041-01-01' DO DO 2",
            "CREATE TABLE shop.newer (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO shop.newer VALUES (1, 'new')",
        ],
    )
    .await;
    // What only a comparison of everything finds.
    at(&pair.target, &["ALTER TABLE shop.moved ALTER COLUMN note SET DEFAULT 'x'"]).await;
    let text = verb(dir, &["cutover"], 3).await;
    assert!(text.contains("shop.moved") && text.contains("note"), "{text}");
    at(&pair.source, &["UPDATE shop.newer SET v = 'the source takes writes'"]).await;
    at(&pair.target, &["ALTER TABLE shop.moved ALTER COLUMN note SET DEFAULT 'a'"]).await;

    verb(dir, &["cutover"], 0).await;
    pair.assert_equal("after the source was open again");
    let shown = ask(
        &pair.target,
        "SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA = 'shop' AND ROUTINE_NAME = 'says'",
    );
    assert_eq!(shown.await.as_deref(), Some("SELECT 'after'"));
    let events = "SELECT GROUP_CONCAT(EVENT_NAME, ' ', STATUS) FROM information_schema.EVENTS \
                  WHERE EVENT_SCHEMA = 'shop' AND EVENT_NAME IN ('sleeps', 'wakes')";
    assert_eq!(ask(&pair.target, events).await.as_deref(), Some("wakes ENABLED"));
}

/// What a plan was made for holds: steps that ran went by it.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_plan_stands_for_are_not_changed_under_way() {
    let pair = Pair::start(true, 200).await;
    let directory = pair.directory("");
    let dir = directory.path();
    verb(dir, &["run", "--until", "schema"], 0).await;
    let path = dir.join("daybreak.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    for (extra, named) in [
        ("\n[select]\nexclude = [\"shop.types_zoo\"]\n", "[select]"),
        ("\n[replication]\nmode = \"none\"\n", "replication.mode"),
        ("\n[copy]\ndefiner = \"current\"\n", "copy.definer"),
    ] {
        private(&path, &format!("{before}{extra}"));
        let text = verb(dir, &["resume"], 2).await;
        assert!(text.contains(named) && text.contains("daybreak undo"), "{text}");
        verb(dir, &["plan"], 1).await;
    }
    // Taken back, it may be planned anew; `undo` goes by the plan, whatever the file says.
    verb(dir, &["undo"], 0).await;
    let other = "[replication]\nmode = \"none\"\n[select]\nexclude = [\"shop.types_zoo\"]\n";
    private(&path, &format!("{before}\n{other}"));
    let text = verb(dir, &["resume"], 2).await;
    assert!(text.contains("`daybreak plan` makes a new plan"), "{text}");
    let plan = verb(dir, &["plan"], 0).await;
    assert!(!plan.contains("types_zoo"), "{plan}");
    verb(dir, &["run", "--yes"], 0).await;
    let left = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'types_zoo'";
    assert_eq!(ask(&pair.target, left).await.as_deref(), Some("0"));
}
