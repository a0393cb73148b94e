//! A writer of numbered rows, which knows how many were acknowledged. Of runs that are killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mysql_async::{Conn, prelude::Queryable as _};
use tokio::task::JoinHandle;

use super::connect;

/// Makes the table anew.
pub async fn make(conn: &mut Conn) {
    for statement in [
        "DROP TABLE IF EXISTS shop.kill_log",
        "CREATE TABLE shop.kill_log (id BIGINT PRIMARY KEY, at DATETIME(6))",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
}

/// Inserts until the source is closed.
pub struct KillLog {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl KillLog {
    pub fn start(url: String) -> KillLog {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, done) = (acknowledged.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut conn = connect(&url).await;
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !done.load(Ordering::SeqCst) {
                pace.tick().await;
                let next = count.load(Ordering::SeqCst) + 1;
                match conn.exec_drop("INSERT INTO shop.kill_log VALUES (?, NOW(6))", (next,)).await
                {
                    Ok(()) => count.store(next, Ordering::SeqCst),
                    // 1290: closed for good.
                    Err(mysql_async::Error::Server(error)) if error.code == 1290 => return,
                    Err(error) => panic!("the writer failed: {error}"),
                }
            }
        });
        KillLog { acknowledged, stop, task }
    }

    /// How many rows were acknowledged so far.
    pub fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Ends it. Every row that was acknowledged is at the target; returns how many these are.
    pub async fn arrived(self, target: &mut Conn, why: &str) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let there: u64 =
            target.query_first("SELECT COUNT(*) FROM shop.kill_log").await.unwrap().unwrap();
        assert!(there >= acknowledged, "{why}: {acknowledged} acknowledged, {there} on the target");
        assert!(acknowledged > 0, "{why}: nothing was written");
        acknowledged
    }
}
