//! Building keys: one connection, which adds to a table what it lacks. The step `indexes` builds with it, and
//! so does the copy, for tables that are complete while others' rows come.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::present::{Present, present_on};
use crate::{
    engine::Context,
    error::{Error, Kind, Result},
    mysql::{Session, TableName, quote},
    target::{
        ddl::Clause,
        schema::{settle_writer, try_set},
    },
};

/// How much memory all builders sort in, in MiB, and beside loading rows.
const SORTING: usize = 128;
const SORTING_BESIDE: usize = 64;

/// How many seconds a build beside the copy waits for somebody who reads the table: it may have worked for
/// long, and nothing waits for it meanwhile.
const LOCK_WAIT: u32 = 300;

/// How long it is waited for builds that are ended, and how often it is looked.
const END_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What builders may take of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// They are so many, and have it for themselves.
    All(usize),
    /// They are so many, and rows are loaded beside.
    Beside(usize),
}

/// A connection that builds keys.
pub(crate) struct Builder<'a> {
    ctx: &'a Context,
    session: Session,
    /// Ends what is being built.
    halt: CancellationToken,
}

impl<'a> Builder<'a> {
    /// Opens one.
    pub async fn open(ctx: &'a Context, share: Share, halt: CancellationToken) -> Result<Self> {
        let mut session = ctx.target().await?;
        settle_writer(&mut session).await?;
        // MySQL 8.0.27+: 1 MiB by default, which is little for sorting. Modest, since all builders have it.
        let (buffer, threads) = match share {
            Share::All(builders) => {
                (SORTING / builders.max(1), if builders > 2 { "2" } else { "4" })
            }
            Share::Beside(builders) => (SORTING_BESIDE / builders.max(1), "2"),
        };
        let buffer = buffer.clamp(8, 64) * 1_048_576;
        try_set(&mut session, "innodb_ddl_buffer_size", &buffer.to_string()).await?;
        try_set(&mut session, "innodb_ddl_threads", threads).await?;
        if let Share::Beside(_) = share {
            try_set(&mut session, "innodb_parallel_read_threads", threads).await?;
            try_set(&mut session, "lock_wait_timeout", &LOCK_WAIT.to_string()).await?;
        }
        Ok(Builder { ctx, session, halt })
    }

    /// Closes it.
    pub async fn close(self) {
        self.session.close().await;
    }

    /// Ends, after its connection was lost, what the server may still be at work on for it.
    pub async fn cut_off(self) {
        let Ok(mut killer) = self.ctx.target().await else { return };
        // It is gone already as a rule (1094).
        if let Err(error) = killer.execute(format!("KILL {}", self.session.id())).await {
            tracing::debug!(%error, "KILL of a builder that was cut off");
        }
        killer.close().await;
    }

    /// The connection, for other questions than keys.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Adds those of some keys (or foreign keys) that a table lacks, which had `known` to begin with.
    ///
    /// # Errors
    /// `Interrupted` when it was ended; whatever the server refuses, with the table and its keys.
    pub async fn add(
        &mut self,
        name: &TableName,
        clauses: &[Clause],
        known: Option<&Present>,
        foreign: bool,
    ) -> Result<()> {
        let mut attempts = 0;
        let (none, mut seen) = (Present::default(), None);
        loop {
            self.check()?;
            let present = seen.as_ref().or(known).unwrap_or(&none);
            let there = if foreign { &present.foreign_keys } else { &present.keys };
            let lacking: Vec<&Clause> =
                clauses.iter().filter(|clause| !there.contains(&clause.name)).collect();
            if lacking.is_empty() {
                return Ok(());
            }
            let list: Vec<&str> = lacking.iter().map(|clause| clause.sql.as_str()).collect();
            let sql = format!("ALTER TABLE {} {} {}", name.sql(), mark(self.ctx)?, list.join(", "));
            let Err(error) = self.interruptible(&sql).await else { return Ok(()) };
            attempts += 1;
            // The server had been at work on it still, for a process that died: look again.
            if matches!(error.code(), Some(1061 | 1826 | 1022)) && attempts < 3 {
                seen = Some(present_on(&mut self.session, name).await?);
                continue;
            }
            if error.kind() == Kind::Interrupted {
                return Err(error);
            }
            return Err(explain(error, name, &lacking));
        }
    }

    /// Drops keys of a table: one at least.
    pub async fn drop_keys(&mut self, name: &TableName, keys: &[&str]) -> Result<()> {
        let sql = altering(name, &dropping(keys));
        self.interruptible(&sql).await.map_err(|error| error.at(name))
    }

    fn check(&self) -> Result<()> {
        self.ctx.stop.check()?;
        match self.halt.is_cancelled() {
            true => Err(Error::new(Kind::Interrupted, "all work ends")),
            false => Ok(()),
        }
    }

    /// Runs a long statement, and kills it when a stop is asked for.
    async fn interruptible(&mut self, sql: &str) -> Result<()> {
        let (ctx, halt) = (self.ctx, self.halt.clone());
        let id = self.session.id();
        let ended = async {
            tokio::select! {
                () = ctx.stop.stopped() => {}
                () = halt.cancelled() => {}
            }
        };
        let mut running = std::pin::pin!(self.session.execute(sql));
        let result = tokio::select! {
            result = &mut running => return result.map(drop),
            () = ended => {
                // If it can't be killed it is waited for: the server would go on with it anyway.
                if let Ok(mut killer) = ctx.target().await {
                    if let Err(error) = killer.execute(format!("KILL QUERY {id}")).await {
                        ctx.events.detail(format!("an index build could not be interrupted: {error}"));
                    }
                    killer.close().await;
                }
                running.await
            }
        };
        ctx.stop.check()?;
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(Kind::Interrupted, "all work ends").because(error)),
        }
    }
}

/// Drops keys of a table.
pub(crate) async fn drop_keys(
    session: &mut Session,
    name: &TableName,
    keys: &[&str],
) -> Result<()> {
    alter(session, name, &dropping(keys)).await
}

fn dropping(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| format!("DROP KEY {}", quote(key))).collect()
}

fn altering(name: &TableName, clauses: &[String]) -> String {
    format!("ALTER TABLE {} {}", name.sql(), clauses.join(", "))
}

/// Alters a table, unless there is nothing to alter.
pub(super) async fn alter(
    session: &mut Session,
    name: &TableName,
    clauses: &[String],
) -> Result<()> {
    if clauses.is_empty() {
        return Ok(());
    }
    session.execute(altering(name, clauses)).await.map(drop).map_err(|error| error.at(name))
}

/// By what a build of this migration is known in the server's list of what runs.
fn mark(ctx: &Context) -> Result<String> {
    Ok(format!("/* daybreak builds keys: {} */", ctx.plan()?.migration))
}

/// Ends builds that the server goes on with for a process that died, or for a connection that was lost: nobody
/// waits for them, and they would keep others from the table.
///
/// # Errors
/// When the server can't be asked. A build that doesn't end in time is told and left.
pub(crate) async fn end_left_behind(ctx: &Context, session: &mut Session) -> Result<()> {
    let mark = mark(ctx)?;
    let begun = tokio::time::Instant::now();
    let mut told = false;
    loop {
        let mut left = Vec::new();
        // Every account sees its own there.
        for row in session.rows("SHOW FULL PROCESSLIST").await? {
            let text = session.optional::<Vec<u8>>(&row, "Info")?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let id: u64 = session.field(&row, "Id")?;
            if text.starts_with("ALTER TABLE") && text.contains(&mark) {
                left.push(id);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if !told {
            ctx.events.info(format!(
                "keys were still being built on the target for a process that is gone ({}): that is ended",
                left.len()
            ));
            told = true;
            for id in &left {
                if let Err(error) = session.execute(format!("KILL {id}")).await {
                    tracing::debug!(%error, id, "a build that was left behind isn't killed");
                }
            }
        }
        ctx.stop.check()?;
        if begun.elapsed() > END_LIMIT {
            ctx.events.warn(format!(
                "an index build that a process left behind doesn't end; its table may be locked: connection {} on {}",
                left[0],
                session.place()
            ));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Names what was being built, and what helps.
fn explain(error: Error, name: &TableName, clauses: &[&Clause]) -> Error {
    let names: Vec<&str> = clauses.iter().map(|clause| clause.name.as_str()).collect();
    let place = format!("{name}, keys {}", names.join(", "));
    let next = match error.code() {
        Some(1062 | 1586 | 1569) => Some(
            "the rows on the target hold equal keys where the source has none: the copy isn't exact, \
             or a collation differs; `daybreak undo --to schema`, then copy again",
        ),
        Some(1021 | 1041 | 1114 | 1878 | 3 | 28) => Some(
            "free space on the target, its temporary directory (innodb_tmpdir, tmpdir) included, \
             then `daybreak resume`",
        ),
        Some(1206) => Some("raise innodb_buffer_pool_size on the target, then `daybreak resume`"),
        Some(1799) => Some("raise innodb_online_alter_log_max_size, then `daybreak resume`"),
        Some(6125 | 1822) => Some(
            "the foreign key points to columns without a unique key: set \
             restrict_fk_on_non_standard_key to OFF in the target's parameter group, or make the key \
             unique at the source",
        ),
        _ => None,
    };
    let kind = if matches!(error.code(), Some(1062 | 1586 | 1569)) {
        Kind::Different
    } else {
        error.kind()
    };
    let code = error.code();
    let mut explained =
        Error::new(kind, "a key could not be built").because(error.causes().join(": "));
    explained = explained.at(place);
    if let Some(server) = error.place() {
        explained = explained.at(server);
    }
    if let Some(code) = code {
        explained = explained.with_code(code);
    }
    match next {
        Some(next) => explained.next(next),
        None => explained,
    }
}
