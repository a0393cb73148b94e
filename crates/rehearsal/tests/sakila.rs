//! Sakila loads unchanged on every product, whole.

use mysql_async::prelude::Queryable as _;
use rehearsal::{
    sakila,
    server::{Product, Role, Server, ServerOptions},
};

async fn loads_on(product: Product) {
    let options = ServerOptions::new(product, Role::Source).durable(false).buffer_pool_mib(64);
    let server = Server::start(options).await.unwrap();
    sakila::load(&server.root_url()).await.unwrap();
    let mut root = server.connect_root().await.unwrap();
    let tables: Vec<String> = root
        .query(
            "SELECT table_name FROM information_schema.TABLES \
             WHERE table_schema = 'sakila' AND table_type = 'BASE TABLE'",
        )
        .await
        .unwrap();
    let mut rows = 0;
    for table in &tables {
        let count: Option<u64> =
            root.query_first(format!("SELECT COUNT(*) FROM sakila.{table}")).await.unwrap();
        rows += count.unwrap();
    }
    assert_eq!((tables.len(), rows), (16, 47_273));
    for (view, wanted) in [
        ("TABLES WHERE table_type = 'VIEW' AND table_schema", 7),
        ("TRIGGERS WHERE trigger_schema", 6),
        ("ROUTINES WHERE routine_schema", 6),
    ] {
        let sql = format!("SELECT COUNT(*) FROM information_schema.{view} = 'sakila'");
        assert_eq!(root.query_first::<u64, _>(sql).await.unwrap(), Some(wanted), "{view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mysql_56() {
    loads_on(Product::Mysql56).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mysql_97() {
    loads_on(Product::Mysql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() {
    loads_on(Product::Mariadb1011).await;
}
