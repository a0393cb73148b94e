//! A prepared backup, extracted by daybreak, under a real server: every row is there.

use std::fs;

use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};

use crate::samples::{directory, extracted};

#[tokio::test]
async fn the_prepared_chain_on_mysql_5_6_has_every_row() {
    let samples = directory();
    // The redo log has the size that the backup's has.
    let options = ServerOptions::new(Product::Mysql56, Role::Plain)
        .arg("--innodb-log-file-size=48M")
        .arg("--explicit-defaults-for-timestamp=1");
    let mut server = Server::start(options).await.unwrap();
    server.stop().await;
    let data = server.data_dir().to_path_buf();
    // The account that the test knows stays; everything else comes from the backup.
    let accounts: Vec<(String, Vec<u8>)> = ["user.frm", "user.MYD", "user.MYI"]
        .iter()
        .map(|file| (format!("mysql/{file}"), fs::read(data.join("mysql").join(file)).unwrap()))
        .collect();
    let (tree, found) = extracted(&samples.join("prepared_chain.tar.gz"));
    assert!(found.whole);
    fs::remove_dir_all(&data).unwrap();
    copy(&tree.path().join("chain"), &data);
    for (file, bytes) in accounts {
        fs::write(data.join(file), bytes).unwrap();
    }
    server.restart().await.unwrap();

    let mut root = server.connect_root().await.unwrap();
    let sums = fs::read_to_string(samples.join("expected/chain.sums")).unwrap();
    let mut compared = 0;
    for line in sums.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [schema, table, engine, rows, sum] = fields[..] else { panic!("{line}") };
        let name = format!("`{schema}`.`{table}`");
        let have: Option<u64> =
            root.query_first(format!("SELECT COUNT(*) FROM {name}")).await.unwrap();
        assert_eq!(have, rows.parse().ok(), "rows of {name}");
        let have: Option<(String, Option<u64>)> =
            root.query_first(format!("CHECKSUM TABLE {name}")).await.unwrap();
        assert_eq!(have.unwrap().1, sum.parse().ok(), "checksum of {name}");
        let have: Option<String> = root
            .exec_first(
                "SELECT engine FROM information_schema.tables \
                 WHERE table_schema = ? AND table_name = ?",
                (schema, table),
            )
            .await
            .unwrap();
        assert_eq!(have.as_deref(), Some(engine), "{name}");
        compared += 1;
    }
    assert!(compared >= 10, "{compared} tables");
    root.disconnect().await.unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => _ = fs::copy(entry.path(), to).unwrap(),
        }
    }
}
