//! Runs the checksum queries of Percona Toolkit's `pt-table-checksum` (3.7) on both servers.
//!
//! From its manual and the statements that it issues with default options are taken: one table after
//! the other on one connection; chunks along the primary key ("nibbling"), each looked for with `LIMIT
//! n-1, 2`; EXPLAIN of the boundary's and the chunk's query before they run; the chunk's checksum
//! (`COUNT(*)`, `BIT_XOR` over `CRC32` of all columns joined by `#`, CHAR converted to utf8mb4);
//! the empty chunks below and above the table; a first chunk of 1,000 rows, then as many as run in 0.5 s
//! by a weighted average; the next table starts with the average of all. For columns that may be NULL it
//! adds a string of `ISNULL`s: these tables have none.
//!
//! Left out is what isn't a checksum: writing to `percona.checksums` (here the same SELECT without
//! REPLACE INTO), replication, looking for lag and load. So it is measured kinder than it is.

use std::time::{Duration, Instant};

use mysql_async::{Conn, Row, prelude::Queryable};
use tokio::sync::mpsc;

use super::{Failure, failure, stage::Stage, workload::DATABASE};

/// `--chunk-size`: rows of the first chunk.
const FIRST_CHUNK: u64 = 1_000;
/// `--chunk-time`: seconds that a chunk shall take at the source.
const CHUNK_TIME: f64 = 0.5;
/// How much of the average so far stays when a chunk is added.
const WEIGHT: f64 = 0.75;
/// Chunks that the replica may be behind: `--max-lag`, 1 s, of 0.5 s each.
const MAX_LAG: usize = 2;

/// When the target runs a chunk's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replica {
    /// While the source waits.
    AfterEachChunk,
    /// While the source is at the chunks that follow, as a replica does.
    Alongside,
}

impl Replica {
    /// Returns how it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Replica::AfterEachChunk => "pt-table-checksum's queries, in turn",
            Replica::Alongside => "pt-table-checksum's queries, replica alongside",
        }
    }
}

/// A chunk's query and what it gave at the source.
struct Chunk {
    query: String,
    answer: (u64, String),
}

/// Compares both servers; fails when they differ. The time is that of all queries on both.
pub async fn checksum(stage: &Stage, replica: Replica) -> Result<Duration, Failure> {
    let mut source = stage.source.connect_root().await?;
    let mut target = stage.target.connect_root().await?;
    let begun = Instant::now();
    let (sender, mut chunks) = mpsc::channel::<Chunk>(MAX_LAG);
    let (confirm, mut confirmed) = mpsc::channel::<()>(1);
    let follow = tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            let answer = counted(&mut target, &chunk.query).await?;
            if answer != chunk.answer {
                return Err(failure(
                    format!("a chunk differs: {:?} and {answer:?}", chunk.answer),
                    "the copy was proven before: report this",
                ));
            }
            if replica == Replica::AfterEachChunk && confirm.send(()).await.is_err() {
                break; // the source's side has failed, and says so
            }
        }
        target.disconnect().await.map_err(Failure::from)
    });
    let mut total = Rate::default();
    for table in stage.tables() {
        let table = table.name.as_str();
        let mut rate = Rate::default();
        let mut size = total.in_time().unwrap_or(FIRST_CHUNK);
        let mut nibbles = Nibbles::of(&mut source, table).await?;
        while let Some(query) = nibbles.next(&mut source, size).await? {
            source.query_drop(format!("EXPLAIN {query}")).await?;
            let chunk_begun = Instant::now();
            let answer = counted(&mut source, &query).await?;
            let seconds = chunk_begun.elapsed().as_secs_f64();
            if answer.0 > 0 {
                total.sum(answer.0, seconds);
                rate.weigh(answer.0, seconds);
                size = rate.in_time().unwrap_or(size);
            }
            let sent = sender.send(Chunk { query, answer }).await.is_ok();
            if !sent || replica == Replica::AfterEachChunk && confirmed.recv().await.is_none() {
                break; // the target's side has failed, and says so below
            }
        }
    }
    drop(sender);
    follow.await??;
    let wall = begun.elapsed();
    source.disconnect().await?;
    Ok(wall)
}

/// Rows a second.
#[derive(Debug, Default)]
struct Rate {
    rows: f64,
    seconds: f64,
}

impl Rate {
    fn sum(&mut self, rows: u64, seconds: f64) {
        self.rows += rows as f64;
        self.seconds += seconds;
    }

    fn weigh(&mut self, rows: u64, seconds: f64) {
        self.rows = self.rows * WEIGHT + rows as f64;
        self.seconds = self.seconds * WEIGHT + seconds;
    }

    /// How many rows the next chunk shall have.
    fn in_time(&self) -> Option<u64> {
        (self.seconds > 0.0).then(|| ((self.rows / self.seconds * CHUNK_TIME) as u64).max(1))
    }
}

/// The chunks of one table, in their order.
struct Nibbles {
    from: String,
    first: u64,
    last: u64,
    next: Next,
}

enum Next {
    From(u64),
    Below,
    Above,
    Nothing,
}

impl Nibbles {
    async fn of(source: &mut Conn, table: &str) -> Result<Nibbles, Failure> {
        let from = format!("`{}`.`{table}` FORCE INDEX(`PRIMARY`)", DATABASE);
        let mut end = async |order: &str, comment: &str| {
            let query = format!(
                "SELECT /*!40001 SQL_NO_CACHE */ `id` FROM {from} ORDER BY {order} LIMIT 1 /*{comment}*/"
            );
            let id: Option<u64> = source.query_first(query).await?;
            id.ok_or_else(|| failure(format!("{table} is empty"), "report this"))
        };
        let first = end("`id`", "first lower boundary").await?;
        let last = end("`id` DESC", "last upper boundary").await?;
        Ok(Nibbles { from, first, last, next: Next::From(first) })
    }

    /// Returns the next chunk's query; asks the source where it ends.
    async fn next(&mut self, source: &mut Conn, size: u64) -> Result<Option<String>, Failure> {
        let from = &self.from;
        let (query, next) = match self.next {
            Next::From(lower) => {
                let boundary = format!(
                    "SELECT /*!40001 SQL_NO_CACHE */ `id` FROM {from} WHERE ((`id` >= '{lower}')) \
                     ORDER BY `id` LIMIT {}, 2 /*next chunk boundary*/",
                    size.saturating_sub(1)
                );
                source.query_drop(format!("EXPLAIN {boundary}")).await?;
                let ids: Vec<u64> = source.query(boundary).await?;
                let upper = ids.first().copied().unwrap_or(self.last);
                let query = format!(
                    "SELECT COUNT(*) AS cnt, COALESCE(LOWER(CONV(BIT_XOR(CAST(CRC32(CONCAT_WS('#', \
                     `id`, `k`, convert(`c` using utf8mb4), convert(`pad` using utf8mb4))) \
                     AS UNSIGNED)), 10, 16)), 0) AS crc FROM {from} \
                     WHERE ((`id` >= '{lower}')) AND ((`id` <= '{upper}')) /*checksum chunk*/"
                );
                (query, ids.get(1).map_or(Next::Below, |id| Next::From(*id)))
            }
            Next::Below => (
                format!(
                    "SELECT COUNT(*), '0' FROM {from} WHERE ((`id` < '{}')) /*past lower chunk*/",
                    self.first
                ),
                Next::Above,
            ),
            Next::Above => (
                format!(
                    "SELECT COUNT(*), '0' FROM {from} WHERE ((`id` > '{}')) /*past upper chunk*/",
                    self.last
                ),
                Next::Nothing,
            ),
            Next::Nothing => return Ok(None),
        };
        self.next = next;
        Ok(Some(query))
    }
}

async fn counted(conn: &mut Conn, query: &str) -> Result<(u64, String), Failure> {
    let row: Option<Row> = conn.query_first(query).await?;
    let row = row.ok_or("a checksum has no row")?;
    Ok(mysql_async::from_row_opt(row)?)
}
