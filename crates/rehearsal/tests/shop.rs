//! The generated shop on a real server: the same seed, the same content; something of everything.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mysql_async::{Conn, prelude::Queryable};
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{ShopError, ShopOptions, ShopSummary, generate},
};

async fn start(product: Product) -> Server {
    let options = ServerOptions::new(product, Role::Source).durable(false).buffer_pool_mib(64);
    Server::start(options).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn shop(
    server: &Server,
    database: &str,
    rows: u64,
    seed: u64,
    threads: usize,
) -> ShopSummary {
    let options =
        ShopOptions { rows, seed, database: database.to_owned(), threads, portable: false };
    generate(&server.root_url(), &options, |_, _| {})
        .await
        .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
}

/// Name, checksum and definition of every table.
async fn content(conn: &mut Conn, database: &str) -> Vec<(String, Option<u64>, String)> {
    let tables: Vec<String> = conn
        .exec(
            "SELECT TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME",
            (database,),
        )
        .await
        .expect("lists tables");
    let mut all = Vec::new();
    for table in tables {
        let name = format!("`{database}`.`{}`", table.replace('`', "``"));
        let (_, sum): (String, Option<u64>) = conn
            .query_first(format!("CHECKSUM TABLE {name} EXTENDED"))
            .await
            .expect("has a checksum")
            .expect("one row");
        let (_, definition): (String, String) = conn
            .query_first(format!("SHOW CREATE TABLE {name}"))
            .await
            .expect("has a definition")
            .expect("one row");
        all.push((table, sum, definition));
    }
    all
}

async fn number(conn: &mut Conn, sql: &str) -> u64 {
    conn.query_first(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .unwrap_or_else(|| panic!("{sql}: nothing"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_shop() {
    let server = start(Product::Mysql97).await;
    let one = shop(&server, "one", 2000, 7, 1).await;
    let two = shop(&server, "two", 2000, 7, 3).await;
    let other = shop(&server, "other", 2000, 8, 2).await;
    assert_eq!((one.rows, &one.tables), (2000, &two.tables));
    assert_eq!(other.rows, 2000);

    let mut conn = server.connect_root().await.expect("connects");
    let first = content(&mut conn, "one").await;
    assert_eq!(first, content(&mut conn, "two").await);
    assert_ne!(first, content(&mut conn, "other").await);
    for (table, rows) in &one.tables {
        let name = table.replace('`', "``");
        let there = number(&mut conn, &format!("SELECT COUNT(*) FROM one.`{name}`")).await;
        assert_eq!(there, *rows, "{table}");
    }
    // Everything refers to something that is there, though the load did not ask the server.
    let constraints: Vec<(String, String, String, String)> = conn
        .query(
            "SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME \
             FROM information_schema.KEY_COLUMN_USAGE \
             WHERE TABLE_SCHEMA = 'one' AND REFERENCED_TABLE_NAME IS NOT NULL",
        )
        .await
        .expect("lists foreign keys");
    assert!(constraints.len() > 12, "{constraints:?}");
    for (table, column, parent, id) in constraints {
        let orphans = number(
            &mut conn,
            &format!(
                "SELECT COUNT(*) FROM one.{table} c LEFT JOIN one.{parent} p ON p.{id} = c.{column} \
                 WHERE c.{column} IS NOT NULL AND p.{id} IS NULL"
            ),
        )
        .await;
        assert_eq!(orphans, 0, "{table}.{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_something_of_everything() {
    let server = start(Product::Mysql97).await;
    let done = Arc::new(AtomicU64::new(0));
    let seen = done.clone();
    let options = ShopOptions { rows: 500, ..ShopOptions::default() };
    let summary = generate(&server.root_url(), &options, move |done, total| {
        assert_eq!(total, 500);
        seen.fetch_max(done, Ordering::Relaxed);
    })
    .await
    .expect("generates");
    assert_eq!((summary.rows, done.load(Ordering::Relaxed)), (500, 500));

    let mut conn = server.connect_root().await.expect("connects");
    conn.query_drop("USE shop").await.expect("is there");
    for (least, sql) in [
        (4, "SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'shop'"),
        (3, "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop'"),
        (
            1,
            "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop' AND SQL_MODE LIKE '%ANSI_QUOTES%'",
        ),
        (3, "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'"),
        (2, "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop'"),
        (
            5,
            "SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = 'shop' AND PARTITION_NAME IS NOT NULL",
        ),
        (
            3,
            "SELECT COUNT(*) FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'shop'",
        ),
        (
            2,
            "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' AND EXPRESSION IS NOT NULL",
        ),
        (
            2,
            "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' AND INDEX_TYPE = 'FULLTEXT'",
        ),
        (
            1,
            "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' AND INDEX_TYPE = 'SPATIAL'",
        ),
        (
            2,
            "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND EXTRA LIKE '%INVISIBLE%'",
        ),
        (
            2,
            "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND EXTRA LIKE '%STORED GENERATED%'",
        ),
        (1, "SELECT COUNT(*) FROM files WHERE content = ''"),
        (1, "SELECT COUNT(*) FROM active_products"),
        (1, "SELECT COUNT(*) FROM `a view, \"quoted\"`"),
        (
            1,
            "SELECT COUNT(*) FROM types_zoo WHERE c_double = 0 AND CAST(c_double AS CHAR) LIKE '-%'",
        ),
        (1, "SELECT COUNT(*) FROM types_zoo WHERE c_double > 0 AND c_double < 1e-307"),
        (1, "SELECT COUNT(*) FROM types_zoo WHERE id = 0"),
        (1, "SELECT COUNT(*) FROM types_zoo WHERE c_ubigint = 18446744073709551615"),
        (1, "SELECT COUNT(*) FROM types_zoo WHERE JSON_TYPE(c_json->'$.t') = 'TIME'"),
    ] {
        let found = number(&mut conn, sql).await;
        assert!(found >= least, "{sql}: {found}");
    }
    // Every column that may be NULL is so at least once, and every column has a value.
    let columns: Vec<(String, String, String)> = conn
        .query(
            "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME) \
             WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'types_zoo'",
        )
        .await
        .expect("lists columns");
    for (table, column, nullable) in columns {
        let (nulls, values): (u64, u64) = conn
            .query_first(format!(
                "SELECT COUNT(*) - COUNT(`{column}`), COUNT(`{column}`) FROM {table}"
            ))
            .await
            .expect("counts")
            .expect("one row");
        assert!(values > 0, "{column} is never filled");
        assert!(
            nullable == "NO" || nulls > 0 || column == "c_expression",
            "{column} is never NULL"
        );
    }

    let again = generate(&server.root_url(), &options, |_, _| {}).await;
    assert!(matches!(again, Err(ShopError::NotEmpty(name)) if name == "shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn older_servers_get_what_they_can_hold() {
    for product in [Product::Mysql56, Product::Mariadb1011] {
        if rehearsal::server::find(product).is_err() {
            eprintln!("{product} is not here: skipped");
            continue;
        }
        let server = start(product).await;
        let summary = shop(&server, "shop", 2000, 3, 2).await;
        assert_eq!(summary.rows, 2000, "{product}");
    }
}
