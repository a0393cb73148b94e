//! Each column of each table by itself: what is said to need it must be what the server itself says, by
//! taking or refusing the definition without it.

use daybreak::{
    mysql::{Catalog, Column, quote},
    select::Selection,
    target::{ddl::CreateTable, schema::definition},
};
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::{open, pair, script, shop, torture};

/// Beside the shop: what each server prints of expressions and partitions is its own.
const OF_ALL: &str = "CREATE TABLE extra.by_year (id INT, d DATE, year INT, p1 INT, hash INT) ENGINE = InnoDB \
 PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (id) (PARTITION p1 VALUES LESS THAN (2000), PARTITION `year` VALUES LESS THAN MAXVALUE)
;;
CREATE TABLE extra.by_key (`key` INT, a INT, `b``c` INT) ENGINE = InnoDB PARTITION BY KEY (a, `b``c`) PARTITIONS 3
;;
CREATE TABLE extra.by_columns (`range` INT, c INT, `less` DATE) ENGINE = InnoDB PARTITION BY RANGE COLUMNS (c, `less`) \
 (PARTITION c VALUES LESS THAN (1, '2020-01-01'), PARTITION d VALUES LESS THAN (MAXVALUE, MAXVALUE))
;;
CREATE TABLE extra.by_list (engine INT, abs INT, t INT) ENGINE = InnoDB PARTITION BY LIST (ABS(engine) + t) (PARTITION abs VALUES IN (1, 2))
;;
CREATE TABLE extra.referred (id INT PRIMARY KEY, other INT, self INT, u INT, UNIQUE KEY self (u), \
 CONSTRAINT other FOREIGN KEY (self) REFERENCES extra.referred (id) ON DELETE CASCADE) ENGINE = InnoDB
;;
CREATE TABLE extra.noted (`a` INT COMMENT '`b`', `b` ENUM('a','`a`') DEFAULT '`a`', `A b` VARCHAR(9) DEFAULT '(`a`)', \
 `we``ird, (` INT, c SET('b') NOT NULL, KEY `a` (b), KEY (`A b`(3)) COMMENT '`a`', FULLTEXT KEY `b` (`A b`)) ENGINE = InnoDB COMMENT '`a`'";

const OF_97: &str = "CREATE TABLE extra.computed (a INT, b INT AS (a + 1), `c` INT DEFAULT (ABS(`a`)), json INT, cast INT, \
 d DATE AS (CAST('2020-01-01' AS DATE)), e INT INVISIBLE, f VARCHAR(9) DEFAULT (_utf8mb4'e'), KEY ((json + 1)), \
 KEY fn ((CAST(`cast` AS SIGNED)), e), CONSTRAINT json CHECK (e > 1), CHECK (CHAR_LENGTH(f) > 0), g INT CHECK (g <> 3), \
 s GEOMETRY NOT NULL SRID 4326, SPATIAL KEY g (s), many JSON, KEY m ((CAST(many->'$.a' AS UNSIGNED ARRAY))))";

const OF_MARIADB: &str = "CREATE TABLE extra.computed (a INT, b INT AS (a + 1) STORED, `c` INT DEFAULT ABS(`a`), j JSON, \
 d DATE AS (CAST('2020-01-01' AS DATE)), e INT INVISIBLE, f INT CHECK (f > 0), g INT CHECK (`c` > 0), \
 i INT DEFAULT (c), k UUID, l VARCHAR(99) COMPRESSED, CONSTRAINT j CHECK (e > 1))
;;
CREATE TABLE extra.periods (id INT, b DATE, e DATE, other DATE, PERIOD FOR p (b, e), UNIQUE KEY (id, p WITHOUT OVERLAPS))
;;
CREATE TABLE extra.ignored (a INT, b INT, UNIQUE KEY (a) USING HASH, KEY b (b) IGNORED)";

/// Takes each column out; returns how many could be and how many not.
async fn each_column(url: &str) -> (usize, usize) {
    let mut session = open(url).await;
    session.execute("SET SESSION foreign_key_checks = 0, sql_quote_show_create = 1").await.unwrap();
    let catalog = Catalog::read(&mut session, &Selection::default()).await.unwrap();
    session.execute("CREATE DATABASE lacking").await.unwrap();
    // What a foreign key refers to is looked for there.
    session.execute("USE lacking").await.unwrap();
    let (mut free, mut needed) = (0, 0);
    for table in &catalog.tables {
        let text = definition(&mut session, &table.name).await.unwrap();
        let whole = CreateTable::parse(&text).unwrap();
        for column in &table.columns {
            let stays = |other: &&Column| other.name != column.name;
            let hidden = |other: &Column| other.extra.to_uppercase().contains("INVISIBLE");
            if table.stored_columns().filter(stays).all(hidden) {
                continue;
            }
            // Case makes no difference.
            let name = match free % 2 == 0 {
                true => column.name.to_ascii_uppercase(),
                false => column.name.clone(),
            };
            let (less, needing) = (whole.without_columns(&[&name]), whole.needing(&name));
            assert_eq!(less.elements.len() + 1, whole.elements.len(), "{}.{name}", table.name);
            let made = session.execute(less.sql("lacking")).await;
            let what = format!("{}.{name}: {needing:?}: {made:?}\n{text}", table.name);
            assert_eq!(made.is_ok(), needing.is_empty(), "{what}");
            if made.is_err() {
                needed += 1;
                continue;
            }
            free += 1;
            let there = daybreak::mysql::TableName::new("lacking", &whole.name);
            let printed = definition(&mut session, &there).await.unwrap();
            let dialect = session.dialect().clone();
            let printed = CreateTable::parse(&printed).unwrap().normalised(&dialect);
            assert_eq!(printed, less.normalised(&dialect), "{what}");
            session.execute(format!("DROP TABLE lacking.{}", quote(&whole.name))).await.unwrap();
        }
    }
    session.execute("DROP DATABASE lacking").await.unwrap();
    (free, needed)
}

#[tokio::test]
async fn what_needs_a_column_is_what_the_server_says() {
    let (pair, _guard) = pair().await;
    torture(pair).await;
    shop(&pair.source).await;
    let mut session = open(&pair.source.root_url()).await;
    script(&mut session, &format!("CREATE DATABASE extra\n;;\n{OF_ALL}\n;;\n{OF_97}")).await;
    let (free, needed) = each_column(&pair.source.root_url()).await;
    assert!(free > 100 && needed > 50, "{free} {needed}");
}

async fn by_another_server(product: Product, of_its_own: &str) {
    let options = ServerOptions::new(product, Role::Source).buffer_pool_mib(64).durable(false);
    let source = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    shop(&source).await;
    let mut session = open(&source.root_url()).await;
    script(&mut session, &format!("CREATE DATABASE extra\n;;\n{OF_ALL}\n;;\n{of_its_own}")).await;
    let (free, needed) = each_column(&source.root_url()).await;
    assert!(free > 50 && needed > 30, "{free} {needed}");
}

#[tokio::test]
async fn what_needs_a_column_is_what_mysql_56_says() {
    by_another_server(Product::Mysql56, "").await;
}

#[tokio::test]
async fn what_needs_a_column_is_what_mariadb_says() {
    by_another_server(Product::Mariadb1011, OF_MARIADB).await;
}
