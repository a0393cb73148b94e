//! An account that `read_only` doesn't bind writes to a MariaDB source after it was closed: the migration
//! is completed once what it wrote was brought over by hand.

#[path = "support/across.rs"]
mod across;
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use across::{assert_same, at_source, fill_shop, servers, verb};
use mysql_async::prelude::Queryable as _;
use rehearsal::server::Product;
use support::{connect, daybreak, output, said};

#[tokio::test(flavor = "multi_thread")]
async fn writes_past_read_only_are_brought_over_and_the_migration_completed() {
    let pair = servers(Product::Mariadb1011, Product::Mariadb1011, &["shop"]).await;
    fill_shop(&pair, 500, 3).await;
    at_source(&pair, &["CREATE TABLE shop.unbound (id INT PRIMARY KEY)"]).await;
    let directory = pair.directory("");
    let dir = directory.path();
    verb(dir, &["run"], 4).await;
    let refused = verb(dir, &["cutover", "--target-is-the-truth"], 1).await;
    assert!(said(&refused).contains("nothing to choose"), "{}", said(&refused));

    let stop = Arc::new(AtomicBool::new(false));
    let unbound = tokio::spawn({
        let (stop, url) = (stop.clone(), pair.source.root_url());
        async move {
            let mut root = connect(&url).await;
            let mut id = 0;
            while !stop.load(Ordering::SeqCst) {
                id += 1;
                root.exec_drop("INSERT INTO shop.unbound VALUES (?)", (id,)).await.unwrap();
            }
        }
    });
    let watched = output(daybreak(dir, &["cutover"])).await;
    stop.store(true, Ordering::SeqCst);
    unbound.await.unwrap();
    let text = said(&watched);
    assert_eq!(watched.status.code(), Some(1), "{text}");
    assert!(text.contains("read_only doesn't bind"), "{text}");
    assert!(text.contains("`daybreak cutover --target-is-the-truth`"), "{text}");

    // As it says: by hand. Nobody but a person knows that it was done.
    let mut target = pair.target_root().await;
    let arrived: i64 =
        target.query_first("SELECT COALESCE(MAX(id), 0) FROM shop.unbound").await.unwrap().unwrap();
    let late: Vec<i64> = pair
        .source_root()
        .await
        .exec("SELECT id FROM shop.unbound WHERE id > ? ORDER BY id", (arrived,))
        .await
        .unwrap();
    assert!(!late.is_empty(), "nothing was written too late");
    for id in late {
        target.exec_drop("INSERT INTO shop.unbound VALUES (?)", (id,)).await.unwrap();
    }
    let unsure = output(daybreak(dir, &["resume"])).await;
    assert_eq!(unsure.status.code(), Some(1), "{}", said(&unsure));
    assert!(said(&unsure).contains("--target-is-the-truth"), "{}", said(&unsure));
    let chosen = verb(dir, &["cutover", "--target-is-the-truth"], 0).await;
    assert!(said(&chosen).contains("taken for the truth"), "{}", said(&chosen));
    assert_same(&pair, "shop").await;
    let closed: Option<u8> =
        pair.source_root().await.query_first("SELECT @@GLOBAL.read_only").await.unwrap();
    assert_eq!(closed, Some(1));
    verb(dir, &["resume"], 0).await;
}
