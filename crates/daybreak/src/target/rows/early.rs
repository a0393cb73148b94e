//! Keys that are built early: those of a table whose rows are in, while others' still come.
//!
//! Only keys that no row can break. A resume replaces chunk by chunk what has changed, and a value that moved
//! from one chunk to another is there twice for a while. Whatever isn't built here, or fails, is left to the
//! step `indexes`, which adds what a table lacks.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{STEP, governor::Governor, queue::TableWork};
use crate::{
    engine::Context,
    error::{Kind, Result},
    mysql::{Session, TableName},
    target::{
        ddl::{Clause, CreateTable},
        indexes::{self, Builder, Share},
        schema,
    },
};

/// The checkpoint with the tables that may have got keys early: what undo takes them off again.
const CHECKPOINT: &str = "early_keys";

/// How many readers are worth a builder.
const READERS: usize = 4;

/// A table whose rows are in, and the keys that it may have now.
struct Ready {
    name: TableName,
    bytes: u64,
    keys: Vec<Vec<Clause>>,
}

/// What may be built, and what is.
pub(super) struct Early {
    tables: Mutex<Tables>,
    /// Something became ready.
    more: Notify,
    /// No more is begun.
    over: CancellationToken,
    /// What is being built is ended.
    halt: CancellationToken,
    /// How many tables have keys for it, and how many were built.
    total: u64,
    done: AtomicU64,
}

#[derive(Default)]
struct Tables {
    ready: Vec<Ready>,
    building: BTreeSet<TableName>,
    /// About how many bytes tables have whose rows aren't in.
    left: u64,
}

impl Tables {
    /// Takes the largest table that is worth it: a build that others' rows don't outlast by far is better
    /// left to the step `indexes`, which has the whole server for it and adds all keys of a table at once.
    fn take(&mut self) -> Option<Ready> {
        let left = self.left;
        let worth = self.ready.iter().enumerate().filter(|(_, ready)| ready.bytes / 2 <= left);
        let (at, _) = worth.max_by_key(|(_, ready)| ready.bytes)?;
        let ready = self.ready.swap_remove(at);
        self.building.insert(ready.name.clone());
        Some(ready)
    }
}

impl Early {
    pub fn new(works: &[TableWork]) -> Self {
        let left = works.iter().map(|work| work.table.data_bytes).sum();
        Early {
            tables: Mutex::new(Tables { left, ..Tables::default() }),
            more: Notify::new(),
            over: CancellationToken::new(),
            halt: CancellationToken::new(),
            total: works.iter().filter(|work| !work.early.is_empty()).count() as u64,
            done: AtomicU64::new(0),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All rows of a table are in: no chunk of it waits, moves or is tried again.
    pub fn complete(&self, work: &TableWork) {
        let mut tables = self.tables();
        tables.left = tables.left.saturating_sub(work.table.data_bytes);
        if !work.early.is_empty() {
            tables.ready.push(Ready {
                name: work.on_target.name.clone(),
                bytes: work.table.data_bytes,
                keys: work.early.clone(),
            });
            self.more.notify_waiters();
        }
    }

    /// All rows are in, or no more come as the copy failed: nothing is begun any more, and after a failure
    /// what is being built is ended.
    pub fn end(&self, context: &Context, failed: bool) {
        self.over.cancel();
        if failed {
            self.halt.cancel();
            return;
        }
        let names: Vec<String> =
            self.tables().building.iter().map(|table| table.to_string()).collect();
        if !names.is_empty() {
            context.events.info(format!(
                "the rows are in; keys that were begun meanwhile are waited for: {}",
                names.join(", ")
            ));
        }
    }

    /// Builds until there is nothing more to begin, and what was begun has ended.
    pub async fn build(&self, context: &Context, governor: &Governor) {
        if self.total == 0 {
            return;
        }
        let builders = (context.config.copy.threads / READERS).max(1);
        join_all((0..builders).map(|_| self.builder(context, governor, builders))).await;
    }

    async fn builder(&self, context: &Context, governor: &Governor, builders: usize) {
        let mut builder: Option<Builder<'_>> = None;
        while let Some(ready) = self.next(governor).await {
            self.tell(context, &ready.name);
            let built = async {
                let builder = match &mut builder {
                    Some(builder) => builder,
                    none => {
                        let share = Share::Beside(builders);
                        none.insert(Builder::open(context, share, self.halt.clone()).await?)
                    }
                };
                for clauses in &ready.keys {
                    builder.add(&ready.name, clauses, None, false).await?;
                }
                Ok(())
            };
            let built: Result<()> = built.await;
            self.tables().building.remove(&ready.name);
            let Err(error) = built else {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.tell(context, &ready.name);
                continue;
            };
            if matches!(error.kind(), Kind::Interrupted | Kind::Paused) {
                break;
            }
            let causes = std::iter::once(error.what().to_string()).chain(error.causes());
            context.events.detail(format!(
                "{}: its keys are left to the step `{}`: {}",
                ready.name,
                indexes::STEP,
                causes.collect::<Vec<_>>().join(": ")
            ));
            // What the server goes on with would be nobody's.
            if error.kind() == Kind::ConnectionLost
                && let Some(lost) = builder.take()
            {
                lost.cut_off().await;
            }
            // Whatever is full is so for the next one, too. A table that somebody holds isn't.
            if error.kind() != Kind::LockWait {
                self.over.cancel();
            }
        }
        if let Some(builder) = builder {
            builder.close().await;
        }
    }

    /// Waits for a table to build keys of, while the copy isn't held back. None when no more is begun.
    async fn next(&self, governor: &Governor) -> Option<Ready> {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            // From here on nothing is missed.
            more.as_mut().enable();
            tokio::select! {
                biased;
                () = self.over.cancelled() => return None,
                () = governor.unhindered() => {}
            }
            let ready = self.tables().take();
            if ready.is_some() {
                return ready;
            }
            tokio::select! {
                () = self.over.cancelled() => return None,
                () = more => {}
            }
        }
    }

    fn tell(&self, context: &Context, now: &TableName) {
        indexes::progress(context, now.to_string(), self.done.load(Ordering::Relaxed), self.total);
    }
}

/// Finds out which keys tables may have early, and lack. A table that is copied from its beginning loses those
/// that it has of them: rows come faster without.
pub(super) async fn arrange(
    context: &Context,
    target: &mut Session,
    works: &mut [TableWork],
) -> Result<()> {
    let mut noted = noted(context)?;
    let several = works.len() > 1;
    let mut concerned: Vec<&mut TableWork> = works
        .iter_mut()
        .filter(|work| {
            let large = several && work.table.data_bytes >= schema::SMALL;
            large || noted.contains(&work.on_target.name)
        })
        .collect();
    if concerned.is_empty() {
        return Ok(());
    }
    let created = schema::created(context, target).await?;
    let databases = concerned.iter().map(|work| work.on_target.name.database.as_str()).collect();
    let present = indexes::present(target, databases).await?;
    let (before, mut builder) = (noted.len(), None);
    for work in &mut concerned {
        let name = &work.on_target.name;
        let Some(remembered) = created.get(name) else { continue };
        let mut keys = CreateTable::parse(&remembered.definition)?.left_out().unconstrained();
        let none = indexes::Present::default();
        let has = &present.get(name).unwrap_or(&none).keys;
        let there: Vec<&str> = keys
            .iter()
            .flatten()
            .map(|clause| clause.name.as_str())
            .filter(|key| has.contains(*key))
            .collect();
        if noted.contains(name) && work.begins_anew() && !there.is_empty() {
            let builder = match &mut builder {
                Some(builder) => builder,
                none => {
                    let share = Share::Beside(1);
                    none.insert(Builder::open(context, share, CancellationToken::new()).await?)
                }
            };
            builder.drop_keys(name, &there).await?;
        } else {
            for clauses in &mut keys {
                clauses.retain(|clause| !has.contains(&clause.name));
            }
            keys.retain(|clauses| !clauses.is_empty());
        }
        if !keys.is_empty() {
            noted.insert(name.clone());
        }
        work.early = keys;
    }
    if let Some(builder) = builder {
        builder.close().await;
    }
    if noted.len() > before {
        context.journal.record(STEP, CHECKPOINT, &noted)?;
    }
    Ok(())
}

fn noted(context: &Context) -> Result<BTreeSet<TableName>> {
    Ok(context.journal.recall(STEP, CHECKPOINT)?.unwrap_or_default())
}

/// Takes off what was built early.
pub(super) async fn undo(context: &Context, target: &mut Session) -> Result<()> {
    let noted = noted(context)?;
    if noted.is_empty() {
        return Ok(());
    }
    schema::settle_writer(target).await?;
    let created = schema::created(context, target).await?;
    let databases = noted.iter().map(|name| name.database.as_str()).collect();
    let present = indexes::present(target, databases).await?;
    for name in &noted {
        let (Some(remembered), Some(has)) = (created.get(name), present.get(name)) else {
            continue;
        };
        let keys = CreateTable::parse(&remembered.definition)?.left_out().unconstrained();
        let ours = keys.iter().flatten().map(|clause| clause.name.as_str());
        let there: Vec<&str> = ours.filter(|key| has.keys.contains(*key)).collect();
        indexes::drop_keys(target, name, &there).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(name: &str, bytes: u64) -> Ready {
        Ready { name: TableName::new("d", name), bytes, keys: Vec::new() }
    }

    #[test]
    fn the_largest_that_is_worth_it_comes_first() {
        let mut tables = Tables { left: 100, ..Tables::default() };
        tables.ready = vec![ready("small", 10), ready("huge", 900), ready("large", 200)];
        assert_eq!(tables.take().map(|ready| ready.name.name).as_deref(), Some("large"));
        assert_eq!(tables.building.len(), 1);
        tables.left = 4;
        assert!(tables.take().is_none(), "the rows that are left don't last as long");
        tables.left = 5;
        assert_eq!(tables.take().map(|ready| ready.name.name).as_deref(), Some("small"));
        tables.left = 0;
        assert!(tables.take().is_none());
    }
}
