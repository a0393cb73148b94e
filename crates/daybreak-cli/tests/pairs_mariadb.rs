//! Whole migrations between MariaDB and MySQL, in all three directions, by the built program as a user
//! runs it: from MariaDB to a MariaDB stand-in by native replication under a writer that never stops,
//! and across the products with an accepted downtime.

#[path = "support/across.rs"]
mod across;
mod support;

use across::{
    assert_same, blockers, document, fill_shop, findings, move_writer, servers, start_writer, verb,
    verify,
};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Product;
use support::{Pair, connect, daybreak, output, said};

/// Rows of the shop: enough for every kind of value.
const ROWS: u64 = 3_000;

const NONE: &str = "[replication]\nmode = \"none\"\n";

async fn closed(pair: &Pair) -> bool {
    let mut owner = connect(&across::owner(&pair.source)).await;
    let refused = owner.query_drop("CREATE TABLE shop.written_after_the_cutover (id INT)").await;
    matches!(refused, Err(mysql_async::Error::Server(error)) if error.code == 1290)
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_to_mariadb_under_a_writer() {
    let pair = servers(Product::Mariadb1011, Product::Mariadb1011, &["shop"]).await;
    fill_shop(&pair, ROWS, 7).await;
    let directory = pair.directory("");
    let writer = start_writer(&pair, directory.path(), 150.0).await;

    assert_eq!(blockers(directory.path()).await, []);
    verb(directory.path(), &["plan"], 0).await;
    verb(directory.path(), &["run"], 4).await;
    verb(directory.path(), &["status"], 0).await;
    verify(&pair).await;
    verb(directory.path(), &["cutover", "--dry-run"], 0).await;
    verb(directory.path(), &["cutover"], 0).await;

    assert!(closed(&pair).await, "the source takes writes");
    assert!(assert_same(&pair, "shop").await as u64 >= ROWS);
    let acknowledged = move_writer(&pair, &writer).await;
    assert!(acknowledged > 100, "{acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_to_mysql_with_accepted_downtime() {
    let pair = servers(Product::Mariadb1011, Product::Mysql97, &["shop"]).await;
    fill_shop(&pair, ROWS, 8).await;

    // Native replication is refused, with the reason, before anything is done.
    let native = pair.directory("");
    let found = blockers(native.path()).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].0, "replication.products");
    assert!(found[0].1.contains("13121") && found[0].1.contains("mode = \"none\""), "{found:?}");
    for arguments in [&["plan"][..], &["run", "--yes"]] {
        let refused = said(&verb(native.path(), arguments, 3).await);
        assert!(refused.contains("13121") && refused.contains("mode = \"none\""), "{refused}");
    }
    let mut target = pair.target_root().await;
    let touched: Vec<String> = target
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('shop', 'daybreak')")
        .await
        .unwrap();
    assert!(touched.is_empty(), "{touched:?}");

    downtime(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_to_mariadb_with_accepted_downtime() {
    let pair = servers(Product::Mysql97, Product::Mariadb1011, &["shop"]).await;
    fill_shop(&pair, ROWS, 9).await;
    downtime(&pair).await;
}

/// A whole migration during which nobody may write.
async fn downtime(pair: &Pair) {
    let directory = pair.directory(NONE);
    let assessed = document(&verb(directory.path(), &["assess", "--json"], 0).await);
    assert_eq!(findings(&assessed, "blocker"), []);
    verb(directory.path(), &["plan"], 0).await;
    verb(directory.path(), &["run"], 4).await;
    verify(pair).await;
    let cut = output(daybreak(directory.path(), &["cutover"])).await;
    assert!(cut.status.success(), "{}", said(&cut));
    assert!(closed(pair).await, "the source takes writes");
    assert!(assert_same(pair, "shop").await as u64 >= ROWS);
}
