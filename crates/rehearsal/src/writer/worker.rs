//! One worker: a connection, and the same transaction again until it is committed.
//!
//! Owns connecting, retrying and resolving. The row in `writer_commits` goes in first and has the
//! transaction's own key: a commit whose answer was lost is found by it and never done twice.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};

use super::{
    WriterError, WriterOptions,
    control::{Tally, Target, Watch},
    ledger::{Begin, Ledger, Past, Pending},
    server,
    work::{Next, SPAN, Transaction, Work},
};

const CONNECT: Duration = Duration::from_secs(5);
/// No attempt takes longer; lock waits are far shorter.
const ATTEMPT: Duration = Duration::from_secs(60);
/// What an attempt on the old server still gets once the URL has changed, or after a stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a transaction is tried again after a stop.
const LAST_TRIES: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(20);
/// The pace catches up with what it missed in at most this time.
const CATCH_UP: Duration = Duration::from_millis(250);

const SESSION: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET SESSION innodb_lock_wait_timeout = 5, lock_wait_timeout = 30, autocommit = 1, time_zone = '+00:00', \
     sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
];

const ER_DUP_ENTRY: u16 = 1062;
const ER_LOCK_DEADLOCK: u16 = 1213;

/// What all workers have in common.
pub(super) struct Shared {
    pub(super) options: WriterOptions,
    pub(super) ledger: Ledger,
    watch: Watch,
    tally: Arc<Tally>,
    begin: Begin,
    past: Past,
    json: bool,
}

impl Shared {
    /// Reads the shop's size, and settles what an earlier run left open.
    pub(super) async fn prepare(
        options: WriterOptions,
        watch: Watch,
        ledger: Ledger,
        past: Past,
        tally: Arc<Tally>,
    ) -> Result<Arc<Self>, WriterError> {
        let mut found = Found { json: None, begin: past.begin.clone(), open: past.open.clone() };
        loop {
            let mut conn = connect_patiently(&watch, &options.database, &tally).await?;
            match found.complete(&mut conn, &options, &ledger, &tally, &watch).await {
                Ok(()) => break,
                Err(WriterError::Server { source, .. }) if !is_final(&source, &watch) => {
                    Failure::Server(source).count(&tally);
                    watch.look(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
        let begin = found.begin.ok_or_else(|| WriterError::Ended("no beginning".to_owned()))?;
        let json = found.json.unwrap_or(false);
        Ok(Arc::new(Self { options, ledger, watch, tally, begin, past, json }))
    }
}

/// What must be known before the first transaction; whatever is known stays known in a retry.
struct Found {
    json: Option<bool>,
    begin: Option<Begin>,
    open: BTreeSet<(u32, u64)>,
}

impl Found {
    async fn complete(
        &mut self,
        conn: &mut Conn,
        options: &WriterOptions,
        ledger: &Ledger,
        tally: &Tally,
        watch: &Watch,
    ) -> Result<(), WriterError> {
        if self.json.is_none() {
            let kind: Option<String> = conn
                .exec_first(
                    "SELECT LOWER(DATA_TYPE) FROM information_schema.COLUMNS \
                     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'customers' AND COLUMN_NAME = 'profile'",
                    (&options.database,),
                )
                .await
                .map_err(server("looking for the shop"))?;
            self.json = Some(kind.as_deref() == Some("json"));
        }
        if self.begin.is_none() {
            let begin = measure(conn).await?;
            ledger.begin(begin.clone()).on_disk().await?;
            self.begin = Some(begin);
        }
        while let Some(&(worker, seq)) = self.open.first() {
            settle(conn, ledger, tally, watch, worker, seq).await?;
            self.open.pop_first();
        }
        Ok(())
    }
}

/// Whether trying again is no use: there is no shop, or the writer was told to stop.
fn is_final(error: &mysql_async::Error, watch: &Watch) -> bool {
    let no_shop = matches!(error, mysql_async::Error::Server(e) if [1049, 1146].contains(&e.code));
    no_shop || watch.now().stop
}

async fn connect_patiently(
    watch: &Watch,
    database: &str,
    tally: &Tally,
) -> Result<Conn, WriterError> {
    loop {
        let target = watch.now();
        match connect(&target, database).await {
            Ok(conn) => return Ok(conn),
            Err(failure) => {
                failure.count(tally);
                let is_final = match &failure {
                    Failure::Server(error) => is_final(error, watch),
                    _ => target.stop,
                };
                if is_final {
                    return Err(WriterError::Ended(failure.text()));
                }
            }
        }
        watch.look(RETRY).await;
    }
}

/// The generator's highest ids, and where the writer's begin.
async fn measure(conn: &mut Conn) -> Result<Begin, WriterError> {
    let mut number = async |sql: &str| -> Result<u64, WriterError> {
        let found: Option<Option<u64>> =
            conn.query_first(sql).await.map_err(server("reading the shop's highest ids"))?;
        Ok(found.flatten().unwrap_or(0))
    };
    let mut highest = 0;
    for table in ["customers", "orders", "payments", "events_log"] {
        highest = highest.max(number(&format!("SELECT MAX(id) FROM {table}")).await?);
    }
    let own = |what: &str, column: &str| {
        format!("SELECT MAX({column}) FROM {what} WHERE {column} < {SPAN}")
    };
    Ok(Begin {
        first_worker: u32::try_from(number("SELECT MAX(worker) FROM writer_commits").await?)
            .unwrap_or(u32::MAX - 1000)
            + 1,
        base: (highest / SPAN + 1) * SPAN,
        customers: number(&own("customers", "id")).await?.max(1),
        products: number(&own("products", "id")).await?.max(1),
        stocked: number(
            "SELECT MIN(m) FROM (SELECT MAX(product_id) AS m FROM stock GROUP BY warehouse) AS s",
        )
        .await?,
    })
}

/// Finds out about a transaction of an earlier run; one that isn't there is barred for good.
async fn settle(
    conn: &mut Conn,
    ledger: &Ledger,
    tally: &Tally,
    watch: &Watch,
    worker: u32,
    seq: u64,
) -> Result<(), WriterError> {
    conn.query_drop(format!(
        "INSERT IGNORE INTO writer_commits (worker, seq, outcome) VALUES ({worker}, {seq}, 'abandoned')"
    ))
    .await
    .map_err(server("settling a transaction that was in doubt"))?;
    if is_committed(conn, worker, seq)
        .await
        .map_err(server("settling a transaction that was in doubt"))?
    {
        ledger.ack(worker, seq).on_disk().await?;
        tally.committed(&watch.now().endpoint());
        Ok(())
    } else {
        ledger.abandoned(worker, seq).on_disk().await
    }
}

async fn is_committed(conn: &mut Conn, worker: u32, seq: u64) -> Result<bool, mysql_async::Error> {
    let outcome: Option<String> = conn
        .query_first(format!(
            "SELECT outcome FROM writer_commits WHERE worker = {worker} AND seq = {seq}"
        ))
        .await?;
    Ok(outcome.as_deref() == Some("committed"))
}

/// Why an attempt failed.
enum Failure {
    Server(mysql_async::Error),
    Ledger(WriterError),
    TimedOut,
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Server(error)
    }
}

impl Failure {
    fn number(&self) -> u16 {
        match self {
            Self::Server(mysql_async::Error::Server(error)) => error.code,
            _ => 0,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Server(error) => error.to_string(),
            Self::Ledger(error) => error.to_string(),
            Self::TimedOut => "no answer in time".to_owned(),
        }
    }

    fn count(&self, tally: &Tally) {
        tally.failed(self.number(), self.text());
    }
}

async fn connect(target: &Target, database: &str) -> Result<Conn, Failure> {
    let opts: Opts = OptsBuilder::from_opts(target.opts.clone())
        .db_name(Some(database))
        .prefer_socket(false)
        .into();
    let open = async {
        let mut conn = Conn::new(opts).await?;
        for statement in SESSION {
            conn.query_drop(*statement).await?;
        }
        Ok(conn)
    };
    tokio::time::timeout(CONNECT, open).await.unwrap_or(Err(Failure::TimedOut))
}

struct Worker {
    shared: Arc<Shared>,
    number: u32,
    conn: Option<(Conn, u64)>,
}

/// Works until a stop; fails only if the ledger does.
pub(super) async fn run(shared: Arc<Shared>, index: u32) -> Result<(), WriterError> {
    let number = shared.begin.first_worker + index;
    let mut seq = shared.past.last.get(&number).copied().unwrap_or(0);
    let options = &shared.options;
    let mut work = Work::new(&shared.begin, index, options.workers, options.seed, seq, shared.json);
    let pace = (options.rate > 0.0)
        .then(|| Duration::from_secs_f64(f64::from(options.workers) / options.rate));
    let mut due = Instant::now()
        + pace.unwrap_or_default().mul_f64(f64::from(index) / f64::from(options.workers));
    let mut control = shared.watch.receiver();
    let mut worker = Worker { shared: shared.clone(), number, conn: None };
    loop {
        let ready = control.wait_for(|target| target.stop || !target.paused).await;
        if ready.map_or(true, |target| target.stop) {
            break;
        }
        if let Some(pace) = pace {
            due = due.max(Instant::now().checked_sub(CATCH_UP).unwrap_or(due));
            tokio::time::sleep_until(due.into()).await;
            due += pace;
            let target = shared.watch.now();
            if target.paused || target.stop {
                continue;
            }
        }
        let tx = match work.next(seq + 1) {
            Next::Run(tx) => tx,
            Next::ReadProduct(id) => match worker.read_product(id).await {
                Some(found) => {
                    work.know_product(id, found);
                    continue;
                }
                None => break,
            },
        };
        seq += 1;
        let mut intent = shared.ledger.intent(number, seq, &tx.changes);
        if !worker.commit(seq, &tx, &mut intent).await? {
            break;
        }
    }
    if let Some((conn, _)) = worker.conn.take() {
        // The work is done: how the farewell goes, or whether it comes in time, changes nothing.
        tokio::select! {
            _ = conn.disconnect() => {}
            () = tokio::time::sleep(GRACE) => {}
        }
    }
    Ok(())
}

impl Worker {
    /// Tries until it is committed; `false` if a stop came first and it stays in doubt.
    async fn commit(
        &mut self,
        seq: u64,
        tx: &Transaction,
        intent: &mut Pending,
    ) -> Result<bool, WriterError> {
        let mut stopped_at = None;
        loop {
            let target = self.shared.watch.now();
            match self.guarded(&target, async |w| w.attempt(&target, seq, tx, intent).await).await {
                Ok(()) => {
                    self.shared.ledger.ack(self.number, seq).on_disk().await?;
                    self.shared.tally.committed(&target.endpoint());
                    return Ok(true);
                }
                Err(Failure::Ledger(error)) => return Err(error),
                Err(failure) => self.after(failure).await,
            }
            if self.shared.watch.now().stop {
                let since = *stopped_at.get_or_insert_with(Instant::now);
                if since.elapsed() > LAST_TRIES {
                    return Ok(false);
                }
            }
        }
    }

    /// Counts the failure, cleans up, and waits a moment or for a new control file.
    async fn after(&mut self, failure: Failure) {
        failure.count(&self.shared.tally);
        let number = failure.number();
        let mut usable = false;
        if let (true, Some((conn, _))) = (number != 0, self.conn.as_mut()) {
            let rollback = tokio::time::timeout(GRACE, conn.query_drop("ROLLBACK"));
            usable = matches!(rollback.await, Ok(Ok(())));
        }
        if !usable {
            self.conn = None;
        }
        if number != ER_LOCK_DEADLOCK {
            self.shared.watch.look(RETRY).await;
        }
    }

    /// Runs an attempt, but not for ever: not beyond its time, nor long after the URL has changed.
    async fn guarded<T>(
        &mut self,
        target: &Target,
        attempt: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut control = self.shared.watch.receiver();
        let generation = target.generation;
        let overtaken = async {
            let moved = |now: &Target| now.stop || now.generation != generation;
            if control.wait_for(moved).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GRACE).await;
        };
        let outcome = tokio::select! {
            outcome = attempt(self) => outcome,
            () = overtaken => Err(Failure::TimedOut),
            () = tokio::time::sleep(ATTEMPT) => Err(Failure::TimedOut),
        };
        if matches!(outcome, Err(Failure::TimedOut)) {
            self.conn = None;
        }
        outcome
    }

    /// The connection to the current server.
    async fn connection(&mut self, target: &Target) -> Result<&mut Conn, Failure> {
        if self.conn.as_ref().is_some_and(|(_, generation)| *generation != target.generation) {
            self.conn = None;
        }
        let (conn, _) = match self.conn.take() {
            Some(open) => self.conn.insert(open),
            None => {
                let conn = connect(target, &self.shared.options.database).await?;
                self.conn.insert((conn, target.generation))
            }
        };
        Ok(conn)
    }

    async fn attempt(
        &mut self,
        target: &Target,
        seq: u64,
        tx: &Transaction,
        intent: &mut Pending,
    ) -> Result<(), Failure> {
        let worker = self.number;
        let conn = self.connection(target).await?;
        conn.query_drop("START TRANSACTION").await?;
        let marker = conn
            .query_drop(format!(
                "INSERT INTO writer_commits (worker, seq) VALUES ({worker}, {seq})"
            ))
            .await;
        match marker {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if error.code == ER_DUP_ENTRY => {
                conn.query_drop("ROLLBACK").await?;
                if is_committed(conn, worker, seq).await? {
                    return Ok(());
                }
                return Err(mysql_async::Error::Server(error).into());
            }
            Err(error) => return Err(error.into()),
        }
        for statement in &tx.statements {
            conn.query_drop(statement).await?;
        }
        intent.on_disk().await.map_err(Failure::Ledger)?;
        conn.query_drop("COMMIT").await?;
        Ok(())
    }

    /// Version and price (in cents) of a product; nothing at all if a stop came first.
    async fn read_product(&mut self, id: u64) -> Option<Option<(u64, u64)>> {
        loop {
            let target = self.shared.watch.now();
            if target.stop {
                return None;
            }
            let read = async |w: &mut Self| -> Result<Option<(u64, u64)>, Failure> {
                let conn = w.connection(&target).await?;
                Ok(conn
                    .query_first(format!(
                        "SELECT version, CAST(price * 100 AS UNSIGNED) FROM products WHERE id = {id}"
                    ))
                    .await?)
            };
            match self.guarded(&target, read).await {
                Ok(found) => return Some(found),
                Err(failure) => self.after(failure).await,
            }
        }
    }
}
