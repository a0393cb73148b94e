//! Columns that are left out: refused where something needs them, told where something may, and a whole
//! migration without them.

use daybreak::engine::{Entry, Journal};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::{
    Sides,
    support::{configure, connect, daybreak, output, said, was_killed},
    verb,
};

const NOTHING: &str = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN \
                       ('shop', 'store', 'daybreak')";

/// Columns of customers at the beginning, in the middle and at the end, of kinds that are treated apart.
async fn widened(sides: &Sides) {
    sides
        .at_source(&[
            "ALTER TABLE shop.customers ADD COLUMN `select` VARCHAR(20) NOT NULL FIRST, \
             ADD COLUMN doc JSON AFTER id, ADD COLUMN doubled INT AS (id * 2) STORED, \
             ADD COLUMN hidden INT NOT NULL DEFAULT 3 INVISIBLE, ADD COLUMN kept JSON, \
             ADD COLUMN Secret VARBINARY(20) NOT NULL COMMENT 'not for `region`'",
            "UPDATE shop.customers SET `select` = id, doc = JSON_ARRAY(1.5, id), secret = RANDOM_BYTES(9), \
             kept = JSON_OBJECT('at', CAST('2026-01-01' AS DATE))",
        ])
        .await;
}

const LEFT: &str = "exclude_columns = [\"shop.customers.`select`\", \"shop.customers.DOC\", \
                    \"shop.customers.doubled\", \"shop.customers.hidden\", \"shop.customers.secret\"]\n";

async fn columns_there(sides: &Sides, table: &str) -> String {
    let mut target = connect(&sides.target.root_url()).await;
    let (database, name) = table.split_once('.').unwrap();
    let sql = format!(
        "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = '{database}' AND TABLE_NAME = '{name}'"
    );
    target.query_first(sql).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_something_needs_are_refused_beforehand() {
    let sides = Sides::start().await;
    widened(&sides).await;
    for (given, code, why) in [
        (&["customers.secret"][..], 2, "isn't a column's full name"),
        (&["shop.customers.secret", "shop.customers.SECRET"], 2, "is left out twice"),
        (&["shop.customers.secrets"], 2, "isn't there"),
        (&["shop.clients.secret"], 2, "a table that isn't taken"),
        (&["shop.customers.ID"], 2, "the primary key"),
        (&["shop.customers.id"], 2, "the generated column `doubled`"),
        (&["shop.customers.id"], 2, "the foreign key shop.orders.by_customer to shop.customers"),
        (&["shop.orders.customer"], 2, "the foreign key `by_customer`"),
        (&["shop.orders.placed"], 2, "the key `placed`"),
    ] {
        let mut arguments = vec!["copy"];
        arguments.extend(given.iter().flat_map(|column| ["--exclude-column", column]));
        let text = sides.verb(&arguments, code).await;
        assert!(text.contains(why) && text.contains(given[given.len() - 1]), "{given:?}: {text}");
    }
    sides
        .at_source(&[
            "CREATE DEFINER = owner VIEW shop.shown AS SELECT c.id, c.secret AS s FROM shop.customers c",
            "CREATE DEFINER = owner VIEW shop.regions AS SELECT region AS secret FROM shop.customers",
            "CREATE DEFINER = owner TRIGGER shop.hides BEFORE INSERT ON shop.customers FOR EACH ROW SET NEW.secret = 'x'",
            "CREATE DEFINER = owner TRIGGER shop.counts AFTER DELETE ON shop.customers FOR EACH ROW SET @n = @n + 1",
            "CREATE DEFINER = owner PROCEDURE shop.reveals() SELECT Secret FROM shop.customers",
            "CREATE DEFINER = owner PROCEDURE shop.harmless() SELECT id FROM shop.customers",
        ])
        .await;
    let text = sides.verb(&["assess", "--exclude-column", "shop.customers.secret"], 3).await;
    for wanted in [
        "column.objects",
        "view shop.shown: it selects shop.customers.secret",
        "trigger shop.hides: it reads NEW.secret of shop.customers",
        "column.texts",
        "trigger shop.counts (on shop.customers)",
        "procedure shop.reveals (names customers and secret)",
        "replication.filters",
        "column shop.customers.secret: left out by name",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("shop.regions") && !text.contains("shop.harmless"), "{text}");
    let text = sides.verb(&["copy", "--exclude-column", "shop.customers.secret"], 3).await;
    assert!(text.contains("view shop.shown: it selects shop.customers.secret"), "{text}");
    assert_eq!(sides.number(NOTHING).await, 0);
}

/// What came after preflight looked is refused by the target, by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_comes_late_is_named() {
    let sides = Sides::start().await;
    widened(&sides).await;
    let directory = sides.configured(&format!("[select]\n{LEFT}[replication]\nmode = \"none\"\n"));
    let dir = directory.path();
    verb(dir, &["run", "--until", "preflight"], 0).await;
    sides
        .at_source(&[
            "CREATE DEFINER = owner VIEW shop.shown AS SELECT c.id, c.secret AS s FROM shop.customers c",
            "CREATE DEFINER = owner TRIGGER shop.hides BEFORE INSERT ON shop.customers FOR EACH ROW SET NEW.secret = 'x'",
        ])
        .await;
    let text = verb(dir, &["resume"], 1).await;
    assert!(text.contains("trigger shop.hides") && text.contains("secret"), "{text}");
    sides.at_source(&["DROP TRIGGER shop.hides"]).await;
    verb(dir, &["undo", "--to", "schema"], 0).await;
    let text = verb(dir, &["resume"], 3).await;
    assert!(
        text.contains("view shop.shown is not on the target: ERROR 1054")
            && text.contains("view shop.shown: missing on the target"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_leaves_columns_out() {
    let sides = Sides::start().await;
    widened(&sides).await;
    sides
        .at_source(&[
            "CREATE DEFINER = owner TRIGGER shop.renames BEFORE UPDATE ON shop.customers FOR EACH ROW \
             SET NEW.region = UPPER(NEW.region)",
            "CREATE DEFINER = owner VIEW shop.europe AS SELECT id FROM shop.customers WHERE region = 'EU'",
        ])
        .await;
    // Replication would bring values by the places of their columns.
    let native = sides.configured(&format!("[select]\n{LEFT}"));
    for command in [&["plan"][..], &["run"]] {
        let text = verb(native.path(), command, 3).await;
        assert!(
            text.contains("MySQL takes their columns by place")
                && text.contains("shop.customers.select")
                && text.contains("mode = \"none\""),
            "{text}"
        );
    }
    let text = verb(native.path(), &["plan", "--route", "physical"], 2).await;
    assert!(
        text.contains("columns can't be left out") && text.contains("exclude_columns"),
        "{text}"
    );

    // With a condition on a column that is left out, and another name.
    let directory = sides.configured(&format!(
        "[select]\n{LEFT}rename = {{ shop = \"store\" }}\nwhere = {{ \"shop.customers\" = \"hidden = 3\" }}\n\
         [replication]\nmode = \"none\"\n"
    ));
    let dir = directory.path();
    let text = verb(dir, &["plan"], 0).await;
    assert!(text.contains("- not migrated: column shop.customers.secret"), "{text}");
    verb(dir, &["run", "--until", "rows"], 0).await;
    assert_eq!(columns_there(&sides, "store.customers").await, "id,region,kept");
    let status = verb(dir, &["status"], 0).await;
    assert!(status.contains("not migrated: column shop.customers.DOC, column"), "{status}");
    assert!(status.contains("trigger shop.renames (on shop.customers)"), "{status}");
    let path = dir.join("daybreak.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(", \"shop.customers.secret\"", "")).unwrap();
    let refused = verb(dir, &["resume"], 2).await;
    assert!(refused.contains("[select] isn't what the plan was made for"), "{refused}");
    std::fs::write(&path, text).unwrap();
    sides
        .at_source(&[
            "UPDATE shop.customers SET secret = 'other' WHERE id < 20",
            "UPDATE shop.customers SET kept = JSON_ARRAY(2.50) WHERE id = 21",
            // What stays behind may change, and what is new is taken.
            "ALTER TABLE shop.customers MODIFY secret VARBINARY(99) NOT NULL",
            "ALTER TABLE shop.customers ADD COLUMN later INT FIRST",
            "UPDATE shop.orders SET customer = NULL WHERE customer = 22",
            "UPDATE shop.customers SET hidden = 4 WHERE id = 22",
            "INSERT INTO shop.customers (`select`, id, region, secret) VALUES ('x', 1000, 'EU', '')",
        ])
        .await;
    let text = verb(dir, &["resume"], 4).await;
    assert!(text.contains("ready for cutover"), "{text}");
    // Somebody needs it meanwhile: told when the source is looked at again.
    sides.at_source(&["ALTER TABLE shop.customers ADD KEY late (secret)"]).await;
    let text = verb(dir, &["cutover"], 2).await;
    assert!(text.contains("shop.customers.secret by the key `late`"), "{text}");
    sides.at_source(&["ALTER TABLE shop.customers DROP KEY late"]).await;
    verb(dir, &["cutover"], 0).await;

    assert_eq!(columns_there(&sides, "store.customers").await, "later,id,region,kept");
    for (sql, wanted) in [
        ("SELECT COUNT(*) FROM store.customers", 200),
        ("SELECT COUNT(*) FROM store.customers WHERE id = 1000 OR id = 22", 1),
        ("SELECT COUNT(*) FROM store.europe", 150),
        (
            "SELECT COUNT(*) FROM store.customers WHERE JSON_TYPE(JSON_EXTRACT(kept, '$.at')) = 'DATE'",
            198,
        ),
        (
            "SELECT COUNT(*) FROM store.customers WHERE JSON_TYPE(JSON_EXTRACT(kept, '$[0]')) = 'DECIMAL'",
            1,
        ),
    ] {
        assert_eq!(sides.number(sql).await, wanted, "{sql}");
    }
    let mut target = connect(&sides.target.root_url()).await;
    target.query_drop("UPDATE store.customers SET region = 'uk' WHERE id = 5").await.unwrap();
    assert_eq!(
        sides
            .number("SELECT COUNT(*) FROM store.customers WHERE region = 'UK' COLLATE utf8mb4_bin")
            .await,
        1
    );
    for mode in ["checksum", "full"] {
        let text = verb(dir, &["verify", "--mode", mode], 3).await;
        assert!(text.contains("shop.customers: (id=5) different"), "{text}");
        assert!(!text.contains("definition") && !text.contains("secret"), "{text}");
    }
    let report = verb(dir, &["report", "--json"], 0).await;
    assert!(report.contains("shop.customers.secret") && report.contains("\"column\""), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_set_right_without_the_columns() {
    let sides = Sides::start().await;
    widened(&sides).await;
    let directory = sides.configured(&format!("[select]\n{LEFT}[replication]\nmode = \"none\"\n"));
    let dir = directory.path();
    verb(dir, &["run"], 4).await;
    let mut target = connect(&sides.target.root_url()).await;
    let damage = async |target: &mut mysql_async::Conn| {
        for sql in [
            "UPDATE shop.customers SET kept = '{}' WHERE id = 7",
            "DELETE FROM shop.orders WHERE customer = 9",
            "DELETE FROM shop.customers WHERE id = 9",
            "INSERT INTO shop.customers (id, region) VALUES (5000, 'XX')",
        ] {
            target.query_drop(sql).await.unwrap();
        }
    };
    damage(&mut target).await;
    let text = verb(dir, &["verify", "--repair", "--yes"], 0).await;
    assert!(text.contains("repaired: shop.customers: 1 rows set, 1 put in, 1 taken off"), "{text}");
    verb(dir, &["verify", "--mode", "full"], 0).await;
    damage(&mut target).await;
    let file = dir.join("repair.sql");
    let file = file.to_str().unwrap();
    verb(dir, &["verify", "--repair-sql", file], 3).await;
    let written = std::fs::read_to_string(file).unwrap();
    assert!(written.contains("`kept`") && !written.to_lowercase().contains("secret"), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_without_columns_survives_kills() {
    let sides = Sides::start().await;
    widened(&sides).await;
    let mut reached = 0;
    for entry in (3..).step_by(5) {
        let at = format!("{entry}:{}", ["synced", "effect"][usize::from(entry % 2 == 0)]);
        let directory =
            sides.configured(&format!("[select]\n{LEFT}[replication]\nmode = \"none\"\n"));
        let dir = directory.path();
        let mut first = daybreak(dir, &["run", "--yes"]);
        first.env("DAYBREAK_KILL_AT", &at);
        let first = output(first).await;
        let killed = was_killed(&first);
        if killed {
            reached += 1;
            let open = "SELECT @@GLOBAL.super_read_only";
            let mut source = connect(&sides.source.root_url()).await;
            let closed: u8 = source.query_first(open).await.unwrap().unwrap();
            if closed == 0 && !super::past_no_return(dir) {
                sides
                    .at_source(&[
                        "UPDATE shop.customers SET secret = RANDOM_BYTES(9), region = IF(id % 2, 'EU', 'US') WHERE id % 17 = 3",
                        "INSERT INTO shop.customers (id, `select`, region, secret) SELECT MAX(id) + 1, 's', 'EU', 'x' FROM shop.customers",
                    ])
                    .await;
            }
            verb(dir, &["resume", "--yes"], 0).await;
        } else {
            assert!(first.status.success(), "{at}: {}", said(&first));
        }
        verb(dir, &["verify", "--mode", "full"], 0).await;
        assert_eq!(columns_there(&sides, "shop.customers").await, "id,region,kept", "{at}");
        let sum =
            "SELECT SHA2(GROUP_CONCAT(CONCAT(id, region) ORDER BY id), 256) FROM shop.customers";
        let mut sums = Vec::new();
        for server in [&sides.source, &sides.target] {
            let mut root = connect(&server.root_url()).await;
            root.query_drop("SET SESSION group_concat_max_len = 1000000").await.unwrap();
            sums.push(root.query_first::<String, _>(sum).await.unwrap().unwrap());
        }
        assert_eq!(sums[0], sums[1], "{at}");
        if !killed {
            let entries = Journal::open(dir).unwrap().entries().unwrap();
            assert!(entries.iter().any(|record| record.entry == Entry::Completed));
            break;
        }
        sides
            .at_source(&[
                "RESET PERSIST IF EXISTS super_read_only",
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
            ])
            .await;
        connect(&sides.target.root_url()).await.query_drop("DROP DATABASE shop").await.unwrap();
    }
    assert!(reached >= 5, "only {reached} entries were reached");
}

/// What another product's or version's table has that the target can't hold may be what is left out.
#[tokio::test(flavor = "multi_thread")]
async fn other_products_leave_columns_out() {
    let options = |product, role| {
        ServerOptions::new(product, role).gtid(false).durable(false).buffer_pool_mib(32)
    };
    let target = Server::start(options(Product::Mysql97, Role::AuroraStandin)).await.unwrap();
    for (product, odd) in [
        (Product::Mariadb1011, "odd UUID, doc JSON CHECK (json_length(doc) > 0)"),
        (Product::Mysql56, "odd CHAR(36), doc TEXT"),
    ] {
        let source = Server::start(options(product, Role::Source)).await.unwrap();
        let mut root = connect(&source.root_url()).await;
        for statement in [
            "CREATE DATABASE shop COLLATE utf8mb4_general_ci".to_string(),
            format!(
                "CREATE TABLE shop.t (first VARCHAR(9) NOT NULL, id INT AUTO_INCREMENT PRIMARY KEY, {odd}, v VARCHAR(9), \
                 KEY (v), `last` INT NOT NULL)"
            ),
            "INSERT INTO shop.t (first, odd, doc, v, `last`) VALUES \
             ('a', '123e4567-e89b-12d3-a456-426655440000', '[1]', 'v', 1), ('b', NULL, NULL, NULL, 2)".to_string(),
            "CREATE VIEW shop.shown AS SELECT t.v FROM shop.t".to_string(),
        ] {
            root.query_drop(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        let directory = tempfile::tempdir().unwrap();
        configure(
            directory.path(),
            &source.root_url(),
            &target.admin_url(),
            "[select]\nexclude_columns = [\"shop.t.first\", \"shop.t.odd\", \"shop.t.doc\", \"shop.t.LAST\"]\n\
             [copy]\ndefiner = \"current\"\n[replication]\nmode = \"none\"\n",
        );
        let dir = directory.path();
        // What each server prints of a view is its own.
        for (view, of) in [
            ("bare", "SELECT first FROM shop.t"),
            ("joined", "SELECT a.id FROM shop.t a JOIN shop.t b USING (id, `last`)"),
            ("same", "SELECT t.id FROM shop.t t WHERE t.doc IS NULL"),
            ("nested", "SELECT id FROM shop.t WHERE id IN (SELECT LENGTH(x.first) FROM shop.t x)"),
        ] {
            root.query_drop(format!("CREATE VIEW shop.{view} AS {of}")).await.unwrap();
        }
        root.query_drop(
            "CREATE TRIGGER shop.fills BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.`Last` = 1",
        )
        .await
        .unwrap();
        let text = verb(dir, &["assess"], 3).await;
        for (view, column) in
            [("bare", "first"), ("joined", "LAST"), ("same", "doc"), ("nested", "first")]
        {
            let wanted = format!("view shop.{view}: it selects shop.t.{column}");
            assert!(text.contains(&wanted), "{product:?}: {wanted}: {text}");
            root.query_drop(format!("DROP VIEW shop.{view}")).await.unwrap();
        }
        assert!(text.contains("trigger shop.fills: it reads NEW.LAST of shop.t"), "{text}");
        assert!(!text.contains("shop.shown"), "{text}");
        root.query_drop("DROP TRIGGER shop.fills").await.unwrap();

        verb(dir, &["run"], 4).await;
        for mode in ["checksum", "full"] {
            verb(dir, &["verify", "--mode", mode], 0).await;
        }
        let mut there = connect(&target.root_url()).await;
        let rows: Vec<(i32, Option<String>)> =
            there.query("SELECT * FROM shop.t ORDER BY id").await.unwrap();
        assert_eq!(rows, [(1, Some("v".into())), (2, None)], "{product:?}");
        verb(dir, &["undo"], 0).await;
    }
}

/// Of a table `t` with a column `secret`, beside another that has one as well.
const VIEWS: [&str; 22] = [
    "SELECT * FROM shop.t",
    "SELECT id FROM shop.t",
    "SELECT t.id, t.Secret FROM shop.t AS t",
    "SELECT o.secret FROM shop.t JOIN shop.other o USING (id)",
    "SELECT id FROM shop.t NATURAL JOIN shop.other",
    "SELECT t.id FROM shop.t LEFT JOIN shop.other ON t.id = other.secret",
    "SELECT v AS secret FROM shop.t",
    "SELECT id FROM shop.t ORDER BY secret",
    "SELECT COUNT(*) FROM shop.t GROUP BY v HAVING MAX(secret) > 1",
    "SELECT 'secret', '`t`.`secret`', id AS `shop.t.secret` FROM shop.t",
    "SELECT id FROM shop.t PARTITION (p0) x WHERE x.secret = 1",
    "SELECT id FROM shop.t FORCE INDEX (PRIMARY) WHERE secret IS NULL",
    "SELECT id FROM shop.other o WHERE EXISTS (SELECT 1 FROM shop.t WHERE t.id = o.secret)",
    "SELECT id FROM shop.other o WHERE EXISTS (SELECT 1 FROM shop.t WHERE t.secret = o.id)",
    "SELECT id FROM shop.t UNION SELECT secret FROM shop.t",
    "SELECT a.id FROM shop.t a JOIN shop.t b ON a.id = b.id + 1 AND b.secret = 1",
    "SELECT x.id FROM (SELECT id, secret FROM shop.t) x",
    "SELECT x.id FROM (SELECT id, v AS secret FROM shop.t) x WHERE x.secret = 1",
    "WITH c AS (SELECT secret AS s FROM shop.t) SELECT s FROM c",
    "WITH c AS (SELECT id AS secret FROM shop.t) SELECT c.secret FROM c",
    "SELECT id, ROW_NUMBER() OVER (ORDER BY secret) AS n FROM shop.t",
    "SELECT id, ROW_NUMBER() OVER (ORDER BY v) AS n FROM shop.t",
];

/// A view is said to need the column where the server can't make it without, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn views_are_told_as_the_server_would() {
    for product in [Product::Mysql97, Product::Mariadb1011, Product::Mysql56] {
        let wish = ServerOptions::new(product, Role::Source).durable(false).buffer_pool_mib(32);
        let server = Server::start(wish.gtid(false)).await.unwrap();
        let mut root = connect(&server.root_url()).await;
        for statement in [
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id INT PRIMARY KEY, secret INT, v INT) ENGINE = InnoDB \
             PARTITION BY HASH (id) PARTITIONS 2",
            "CREATE TABLE shop.other (id INT PRIMARY KEY, secret INT) ENGINE = InnoDB",
        ] {
            root.query_drop(statement).await.unwrap();
        }
        let mut made = Vec::new();
        for (at, view) in VIEWS.iter().enumerate() {
            // Older servers have no derived tables in views, no WITH and no windows.
            if root.query_drop(format!("CREATE VIEW shop.v{at} AS {view}")).await.is_ok() {
                made.push(at);
            }
        }
        assert!(made.len() >= 16, "{product:?}: {made:?}");
        let elsewhere = tempfile::tempdir().unwrap();
        let mut assess = std::process::Command::new(env!("CARGO_BIN_EXE_daybreak"));
        assess.current_dir(elsewhere.path()).args(["assess", "--json"]);
        assess.args(["--source", &server.root_url(), "--exclude-column", "shop.t.SECRET"]);
        let said = said(&output(assess).await);
        // The same table without the column: what the server says of each view now.
        root.query_drop("ALTER TABLE shop.t DROP COLUMN secret").await.unwrap();
        let (mut needing, mut free) = (0, 0);
        for at in made {
            let told = said.contains(&format!("view shop.v{at}: it selects shop.t.SECRET"));
            let works = root.query_drop(format!("SELECT * FROM shop.v{at}")).await.is_ok();
            assert_eq!(told, !works, "{product:?}: {}: {said}", VIEWS[at]);
            if works { free += 1 } else { needing += 1 }
        }
        assert!(needing >= 8 && free >= 6, "{product:?}: {needing} {free}");
    }
}
