//! Pages as real servers write them: with every checksum, page size and row format none is called damaged,
//! and any bit that is turned is.

use std::{fs, path::Path};

use daybreak::transit::inspection::Profile;
use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};

use crate::samples::look;

/// What is said of the pages below a data directory, which isn't a backup else.
fn damaged(data: &Path) -> Vec<String> {
    let found = look(data, Profile::Any);
    let pages = found
        .findings
        .into_iter()
        .filter(|one| one.id == "backup.page_damaged" || one.id == "backup.file_damaged");
    pages
        .flat_map(|one| one.objects)
        .filter(|object| object.contains(".ibd") || object.contains("ibdata"))
        .collect()
}

async fn pages(product: Product, arguments: &[&str], tables: &[(&str, &str)]) {
    let mut options = ServerOptions::new(product, Role::Plain);
    for argument in arguments {
        options = options.arg(*argument);
    }
    let mut server = Server::start(options).await.unwrap();
    let mut root = server.connect_root().await.unwrap();
    root.query_drop("CREATE DATABASE pages").await.unwrap();
    root.query_drop("USE pages").await.unwrap();
    for (table, with) in tables {
        let create = format!(
            "CREATE TABLE pages.{table} (id INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(400), b LONGTEXT, KEY (t)) ENGINE=InnoDB {with}"
        );
        root.query_drop(create).await.unwrap();
        let fill = format!(
            "INSERT INTO pages.{table} (t, b) SELECT SHA2(RAND(), 256), REPEAT(SHA2(RAND(), 256), 30) FROM information_schema.COLLATIONS LIMIT 60"
        );
        root.query_drop(&fill).await.unwrap();
        for _ in 0..4 {
            let double = format!(
                "INSERT INTO pages.{table} (t, b) SELECT SHA2(RAND(), 256), IF(RAND() < 0.05, REPEAT(t, 900), b) FROM pages.{table}"
            );
            root.query_drop(double).await.unwrap();
        }
        root.query_drop(format!("DELETE FROM pages.{table} WHERE id % 3 = 0")).await.unwrap();
    }
    root.disconnect().await.unwrap();
    server.stop().await;
    let data = server.data_dir().to_path_buf();
    assert_eq!(damaged(&data), Vec::<String>::new(), "{product:?} {arguments:?}");
    if arguments.iter().any(|argument| argument.ends_with("=none")) {
        return;
    }
    for (table, _) in tables {
        let path = data.join(format!("pages/{table}.ibd"));
        let whole = fs::read(&path).unwrap();
        assert!(whole.len() > 65536);
        let mut other = whole.clone();
        other[whole.len() / 4 + 77] ^= 1;
        // The first page that holds rows, whatever its size.
        other[whole.len() / 2 + 500] ^= 0x40;
        fs::write(&path, other).unwrap();
        let said = damaged(&data);
        assert!(
            said.iter().any(|one| one.contains(&format!("{table}.ibd"))),
            "{product:?} {arguments:?}: {table}: {said:?}"
        );
        fs::write(&path, whole).unwrap();
    }
}

/// A tool copies a table's file also when MySQL has made it and not written its pages yet.
#[tokio::test]
async fn of_a_table_that_was_just_created() {
    let options = ServerOptions::new(Product::Mysql56, Role::Plain);
    let options = options.arg("--innodb-file-format=Barracuda");
    let mut server = Server::start(options).await.unwrap();
    let mut root = server.connect_root().await.unwrap();
    root.query_drop("CREATE DATABASE pages").await.unwrap();
    root.query_drop("CREATE TABLE pages.t (id INT PRIMARY KEY) ENGINE=InnoDB").await.unwrap();
    root.query_drop(
        "CREATE TABLE pages.z (id INT PRIMARY KEY) ENGINE=InnoDB ROW_FORMAT=COMPRESSED",
    )
    .await
    .unwrap();
    server.kill().await;
    let data = server.data_dir().to_path_buf();
    for table in ["t", "z"] {
        let path = data.join(format!("pages/{table}.ibd"));
        let whole = fs::read(&path).unwrap();
        assert_eq!(
            whole[24..26],
            [0, 0],
            "{table} has its pages already: nothing is shown by this"
        );
        assert_eq!(damaged(&data), Vec::<String>::new(), "{table}");
        // Its number, the flags, something where nothing is yet, a type that isn't a tablespace's.
        for at in [41, 57, 3000, 25] {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&path, other).unwrap();
            let said = damaged(&data);
            assert!(
                said.iter().any(|one| one.contains(&format!("{table}.ibd"))),
                "{table} {at}: {said:?}"
            );
        }
        fs::write(&path, whole).unwrap();
    }
}

#[tokio::test]
async fn of_mysql_5_6() {
    let tables = [("plain", ""), ("zip", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8")];
    for algorithm in ["innodb", "crc32", "none"] {
        let algorithm = format!("--innodb-checksum-algorithm={algorithm}");
        pages(Product::Mysql56, &[&algorithm, "--innodb-file-format=Barracuda"], &tables).await;
    }
}

#[tokio::test]
async fn of_mysql_9_7() {
    let tables = [("plain", ""), ("zip", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4")];
    for algorithm in ["crc32", "innodb"] {
        let algorithm = format!("--innodb-checksum-algorithm={algorithm}");
        pages(Product::Mysql97, &[&algorithm], &tables).await;
    }
}

#[tokio::test]
async fn of_mariadb_10_11() {
    let tables = [("plain", ""), ("packed", "PAGE_COMPRESSED=1"), ("zip", "ROW_FORMAT=COMPRESSED")];
    for algorithm in ["full_crc32", "crc32"] {
        let algorithm = format!("--innodb-checksum-algorithm={algorithm}");
        pages(
            Product::Mariadb1011,
            &[&algorithm],
            &tables[..if algorithm.contains("full") { 3 } else { 1 }],
        )
        .await;
    }
}
