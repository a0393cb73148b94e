//! Copying and comparing more and more tables, of which each holds next to nothing: what a table costs by
//! itself, and whether memory and time stay in proportion.

use mysql_async::prelude::Queryable as _;
use rehearsal::server::{Product, Role, Server, ServerOptions};

use super::figures::Machine;
use super::measure::{self, Usage};
use super::stage::private_dir;
use super::workload::DATABASE;
use super::{Failure, Options, failure, ways};

/// Connections that fill the source.
const FILLERS: u64 = 4;
/// How many times as many tables the next run has.
const STEP: u64 = 10;

/// Measures a hundredth of so many tables, a tenth and all of them, and prints the figures.
pub async fn bench(options: &Options) -> Result<(), Failure> {
    let before = Machine::look()?;
    let wish = |role| {
        // The source's files needn't survive; the target's commits are on disk as anywhere.
        ServerOptions::new(Product::Mysql97, role)
            .durable(role == Role::Plain)
            .buffer_pool_mib(512)
            .redo_log_mib(512)
    };
    let source = Server::start(wish(Role::Source)).await?;
    let target = Server::start(wish(Role::Plain)).await?;
    let logs = source.dir().join("bench");
    private_dir(&logs)?;
    let mut conn = source.connect_root().await?;
    conn.query_drop("SET SESSION sql_log_bin = 0").await?;
    conn.query_drop(format!("CREATE DATABASE `{DATABASE}`")).await?;
    let run = async |verb: &str| -> Result<Usage, Failure> {
        let command =
            ways::daybreak(options, [&source, &target], &ways::address(&source), verb, &logs);
        measure::run(vec![command], &logs).await
    };
    println!("\n| tables | copy: seconds | peak memory | verify: seconds | peak memory |");
    println!("|---|---|---|---|---|");
    let mut there = 0;
    for tables in [options.rows / (STEP * STEP), options.rows / STEP, options.rows] {
        if tables <= there {
            continue;
        }
        eprintln!("bench: making tables {} to {tables}", there + 1);
        fill(&source, there, tables).await?;
        there = tables;
        let mut conn = target.connect_root().await?;
        for database in [DATABASE, "daybreak"] {
            conn.query_drop(format!("DROP DATABASE IF EXISTS `{database}`")).await?;
        }
        let copy = run("copy").await?;
        check(&target, tables).await?;
        let verify = run("verify").await?;
        conn.disconnect().await?;
        println!(
            "| {tables} | {:.1} | {} MiB | {:.1} | {} MiB |",
            copy.wall.as_secs_f64(),
            copy.peak.div_ceil(1024),
            verify.wall.as_secs_f64(),
            verify.peak.div_ceil(1024)
        );
    }
    let after = Machine::look()?;
    println!(
        "\n{} cores; load {:.1} before, {:.1} at the end; mysqld {}; each table has three rows, four columns and a \
         secondary index; {} threads.",
        before.cores,
        before.load,
        after.load,
        source.binaries().version,
        options.threads
    );
    conn.disconnect().await?;
    Ok(())
}

/// Makes the tables from one number to another.
async fn fill(source: &Server, there: u64, tables: u64) -> Result<(), Failure> {
    let fillers = (0..FILLERS).map(async |first| {
        let mut conn = source.connect_root().await?;
        conn.query_drop("SET SESSION sql_log_bin = 0").await?;
        for number in (there..tables).filter(|number| number % FILLERS == first) {
            let name = format!("`{DATABASE}`.`t{number:06}`");
            conn.query_drop(format!(
                "CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, \
                 at DATETIME NULL, v BIGINT NOT NULL, KEY by_name (name))"
            ))
            .await?;
            conn.query_drop(format!(
                "INSERT INTO {name} VALUES (1, 'a', NULL, {number}), (2, 'b', NOW(), 2), (3, 'c', NULL, 3)"
            ))
            .await?;
        }
        conn.disconnect().await.map_err(Failure::from)
    });
    futures_util::future::try_join_all(fillers).await.map(drop)
}

/// Fails unless all tables are there with their keys, and three rows in the first and the last.
async fn check(target: &Server, tables: u64) -> Result<(), Failure> {
    let mut conn = target.connect_root().await?;
    let count = "SELECT COUNT(DISTINCT table_name), COUNT(*) FROM information_schema.statistics \
                 WHERE table_schema = ?";
    let found: Option<(u64, u64)> = conn.exec_first(count, (DATABASE,)).await?;
    let mut whole = found == Some((tables, 2 * tables));
    for number in [0, tables - 1] {
        let rows = format!("SELECT COUNT(*) FROM `{DATABASE}`.`t{number:06}`");
        whole &= conn.query_first::<u64, _>(rows).await? == Some(3);
    }
    conn.disconnect().await?;
    match whole {
        true => Ok(()),
        false => Err(failure(
            format!("of {tables} tables the target has (with their indexes' columns) {found:?}"),
            "its time would mean nothing: find out why first",
        )),
    }
}
