//! What travels between the servers.

use daybreak::{
    error::Kind,
    mysql::{ServerUrl, Session, Side},
};
use rehearsal::proxy::{Direction, Proxy};

use super::harness::Pair;

/// A server behind a link, by a compressed connection.
async fn compressed(server: &str) -> (ServerUrl, Proxy) {
    let mut url = ServerUrl::parse(server).unwrap();
    let link = Proxy::before(url.port).await.unwrap();
    (url.port, url.compression) = (link.port(), true);
    (url, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_connections_carry_the_rows_in_fewer_bytes() {
    let pair = Pair::take(&["narrow"]).await;
    pair.on_source(&[
        "SET SESSION cte_max_recursion_depth = 100000",
        "CREATE DATABASE narrow",
        "CREATE TABLE narrow.words (id INT PRIMARY KEY, v TEXT, raw BLOB)",
        "INSERT INTO narrow.words WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000) \
         SELECT n, REPEAT(CONCAT('line ', n, '\\n'), 20), UNHEX(REPEAT(HEX(n), n % 50)) FROM s",
        "INSERT INTO narrow.words VALUES (0, REPEAT('larger than a packet that is compressed ', 1000000), NULL)",
    ])
    .await;
    let mut config = pair.config("narrow");
    let (source, target);
    (config.source, source) = compressed(&pair.source).await;
    (config.target, target) = compressed(&pair.target).await;
    pair.copy(config).await.unwrap();
    pair.assert_equal("narrow").await;
    let sent = pair.bytes_sent();
    let carried = (source.carried(Direction::Down), target.carried(Direction::Up));
    assert!(carried.0 < sent / 3 && carried.1 < sent / 3, "{carried:?} of {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_compression_is_told() {
    let pair = Pair::take(&[]).await;
    let (url, _link) = compressed(&pair.target).await;
    pair.target()
        .await
        .execute("SET GLOBAL protocol_compression_algorithms = 'uncompressed'")
        .await
        .unwrap();
    let refused = Session::open(&url, Side::Target).await;
    pair.target()
        .await
        .execute("SET GLOBAL protocol_compression_algorithms = DEFAULT")
        .await
        .unwrap();
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(Session::open(&url, Side::Target).await.is_ok());
}
