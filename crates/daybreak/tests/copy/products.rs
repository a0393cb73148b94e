//! Sources of other products: MySQL 5.6 and MariaDB.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use daybreak::{source::snapshot::SnapshotMethod, target::rows::latest_snapshot};
use rehearsal::server::Product;

use super::harness::{Pair, run_and_verify};

/// What both sides are asked: no two products' checksums of tables agree.
const LOOK: &str = "SELECT COUNT(*), SUM(id), BIT_XOR(CRC32(CONCAT_WS('#', id, HEX(t), HEX(b), f * 1e0, d, ts, HEX(e)))), \
                    SUM(CRC32(CONCAT_WS('#', id, HEX(t), HEX(b), f * 1e0, d, ts, HEX(e)))) FROM other.t";

async fn copies_from(product: Product) -> SnapshotMethod {
    let pair = Pair::with_source(product, &["other"]).await;
    let mut source = pair.source().await;
    for statement in [
        "CREATE DATABASE other DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "CREATE TABLE other.t (id INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(50) CHARACTER SET latin1, b BLOB, f FLOAT, \
         d DECIMAL(20,5), ts TIMESTAMP NULL, e ENUM('a', ''))",
        "INSERT INTO other.t (t, b, f, d, ts, e) VALUES (X'E9095C', X'000A0D5C', 0.1, -1.5, '2001-01-01 01:01:01', ''), (NULL, NULL, NULL, NULL, NULL, NULL)",
        "UPDATE IGNORE other.t SET e = 'nothing' WHERE id = 2",
        "CREATE TABLE other.written (id INT PRIMARY KEY AUTO_INCREMENT)",
    ] {
        source.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for _ in 0..11 {
        source.execute("INSERT INTO other.t (t, b, f, d, ts, e) SELECT t, b, id / 7, id, ts, e FROM other.t").await.unwrap();
    }
    let end = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (mut session, end) = (pair.source().await, end.clone());
        async move {
            while !end.load(Ordering::SeqCst) {
                session.execute("INSERT INTO other.written VALUES ()").await.unwrap();
            }
        }
    });
    let context = pair.context(pair.config("other"), None);
    run_and_verify(&context).await.unwrap();
    end.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    let mut both = Vec::new();
    for mut session in [pair.source().await, pair.target().await] {
        both.push(format!("{:?}", session.rows(LOOK).await.unwrap()[0].clone().unwrap()));
    }
    assert_eq!(both[0], both[1]);
    let record = latest_snapshot(&context.journal).unwrap().unwrap();
    assert!(record.coordinates.file.is_some());
    record.method
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_is_copied() {
    assert_eq!(copies_from(Product::Mysql56).await, SnapshotMethod::TableLocks);
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_copied_without_a_lock() {
    assert_eq!(copies_from(Product::Mariadb1011).await, SnapshotMethod::AgreedPositions);
}
