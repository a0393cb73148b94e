//! The `verify` verb on two real servers: equal is equal; one changed byte, a missing row and an
//! extra row are named by key, with exit code 3.

mod support;

use std::process::Command;

use mysql_async::prelude::Queryable as _;
use rehearsal::shop::{self, ShopOptions};
use support::{Pair, output, said};

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_named_by_key() {
    let pair = Pair::start(true, 2_000).await;
    // The same seed gives the same shop: nothing of daybreak's had a hand in the copy.
    let options = ShopOptions { rows: 2_000, seed: 7, ..ShopOptions::default() };
    shop::generate(&pair.target.root_url(), &options, |_, _| {}).await.unwrap();
    let by = |mode: &'static str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command
            .args(["verify", "--mode", mode, "--source", &pair.source.root_url()])
            .args(["--target", &pair.target.root_url()]);
        output(command)
    };
    let verify = || by("checksum");
    for (mode, how) in [("checksum", "by checksums of every row"), ("full", "byte by byte")] {
        let equal = by(mode).await;
        assert!(equal.status.success() && said(&equal).contains(how), "{}", said(&equal));
    }

    let mut target = pair.target_root().await;
    target.query_drop("SET foreign_key_checks = 0").await.unwrap();
    let (changed, gone): (u64, u64) =
        target.query_first("SELECT MIN(id), MAX(id) FROM shop.customers").await.unwrap().unwrap();
    for (undo, what, key) in [
        (
            format!("UPDATE shop.customers SET name = CONCAT(name, 'x') WHERE id = {changed}"),
            "one byte of one row changed",
            changed,
        ),
        (format!("DELETE FROM shop.customers WHERE id = {gone}"), "a row deleted", gone),
        (
            "INSERT INTO shop.customers (id, name, email, created_at) VALUES (99999999, 'extra', 'e@example.com', NOW())".to_string(),
            "a row added",
            99_999_999,
        ),
    ] {
        target.query_drop(&undo).await.unwrap();
        let different = verify().await;
        assert_eq!(different.status.code(), Some(3), "{what}: {}", said(&different));
        let text = said(&different);
        assert!(
            text.contains("shop.customers") && text.contains(&format!("id={key}")),
            "{what}: {text}"
        );
    }
    let full = by("full").await;
    assert_eq!(full.status.code(), Some(3), "{}", said(&full));
    for key in [changed, gone, 99_999_999] {
        assert!(said(&full).contains(&format!("id={key}")), "{}", said(&full));
    }

    // What a row can hold without printing it, and what isn't a row.
    let mut source = pair.source_root().await;
    for root in [&mut source, &mut target] {
        for sql in [
            "CREATE TABLE shop.fine (id INT PRIMARY KEY, f FLOAT, d DOUBLE, j JSON, v INT DEFAULT 1, KEY by_v (v))",
            "INSERT INTO shop.fine (id, f, d, j) VALUES (1, 0.1, 0, '[1]'), (2, 0.1, 0, '[1.5]'), (3, 0.1, 0, '[1]')",
            "CREATE TRIGGER shop.fine_t BEFORE INSERT ON shop.fine FOR EACH ROW SET NEW.v = 2",
        ] {
            root.query_drop(sql).await.unwrap();
        }
    }
    for (change, says) in [
        ("UPDATE shop.fine SET f = 0.10000000894069672 WHERE id = 1", "id=1"),
        ("UPDATE shop.fine SET j = NULL WHERE id = 2", "id=2"),
        ("UPDATE shop.fine SET j = JSON_ARRAY(1.5) WHERE id = 2", "id=2"),
        ("UPDATE shop.fine SET d = -0e0 WHERE id = 3", "id=3"),
        ("ALTER TABLE shop.fine DROP INDEX by_v", "index by_v"),
        ("ALTER TABLE shop.fine ALTER v SET DEFAULT 2", "column v"),
        ("DROP TRIGGER shop.fine_t", "trigger shop.fine_t"),
    ] {
        target.query_drop(change).await.unwrap();
        let different = verify().await;
        assert_eq!(different.status.code(), Some(3), "{change}: {}", said(&different));
        assert!(said(&different).contains(says), "{change}: {}", said(&different));
    }
}
