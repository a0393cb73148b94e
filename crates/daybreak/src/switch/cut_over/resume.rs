//! What an interrupted cutover left, and how to go on from it. The reasoning is at the top of
//! [`super`].

use super::{Fence, ID, ReadOnly, SinceFence, hold, moved, open, since_fence};
use crate::{
    engine::{Context, Entry},
    error::{Error, Kind, Result},
    mysql::{Coordinates, Session},
    source::lock::WriteLock,
    switch::hook,
};

/// How to go on.
pub(super) enum Next {
    /// Both sides hold the same: open and close. With the lock, unless the source is closed already.
    Forward(Option<WriteLock>),
    /// Replication follows the source again: from the start.
    Again,
}

/// Looks at both sides and decides.
///
/// # Errors
/// `State` when both sides went on by themselves.
pub(super) async fn from_fence(context: &Context, fenced: &mut Fence) -> Result<Next> {
    // An earlier fence may have been past it, and given up since.
    let since = since_fence(context)?;
    if !since.opening {
        hold::put_replication_back(context).await?;
        return Ok(Next::Again);
    }
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    // Each further look would stop the writes again: that is for a person to ask for.
    decide(context, fenced, since, &mut source, &mut target).await.map_err(hold::final_attempt)
}

async fn decide(
    context: &Context,
    fenced: &mut Fence,
    since: SinceFence,
    source: &mut Session,
    target: &mut Session,
) -> Result<Next> {
    let closed = ReadOnly::read(source).await?.read_only;
    let mut lock = match closed {
        true => None,
        false => Some(hold::acquire(context, source).await?),
    };
    if context.config.cutover.target_is_the_truth {
        let now = match &mut lock {
            Some(lock) => {
                lock.keep_until(lock.since() + context.config.cutover.max_write_stop);
                Coordinates::read(&mut *lock.session().await).await?
            }
            None => Coordinates::read(source).await?,
        };
        context.journal.record(ID, "truth", &now)?;
        context.events.warn(format!(
            "the target is taken for the truth, as told: what the source wrote from {} to {now} is there only if \
             somebody brought it",
            fenced.position
        ));
        fenced.position = now;
        return Ok(Next::Forward(lock));
    }
    let looked = match &mut lock {
        Some(lock) => {
            let deadline = lock.since() + context.config.cutover.max_write_stop;
            lock.keep_until(deadline);
            let looking = async { unchanged(&mut *lock.session().await, fenced).await };
            let looked = tokio::time::timeout_at(deadline.into(), looking).await;
            looked.unwrap_or_else(|_| {
                Err(Error::new(
                    Kind::WriteStopExceeded,
                    "the source didn't say in time whether it was written to since",
                )
                .at(source.place())
                .next("the source takes writes again; `daybreak resume` asks it again"))
            })
        }
        // Closed under the lock: whatever the log tells, nobody wrote.
        None if since.closed => moved(source, &fenced.position).await.map(|moved| !moved),
        None => unchanged(source, fenced).await,
    };
    if matches!(looked, Ok(true)) {
        return Ok(Next::Forward(lock));
    }
    if let Some(lock) = lock {
        lock.release().await?;
    }
    looked?;
    let now = Coordinates::read(source).await?;
    // Who vouched for the target brought to it what the source would be asked for again.
    if since.truth.is_some() || open::wrote(target, fenced).await? != open::Wrote::Nothing {
        return Err(open::two_histories(fenced, &now, source, target).await);
    }
    context.events.info(format!(
        "the source went on from {} after the cutover was interrupted, the target didn't: it follows again, then the \
         cutover is done again",
        fenced.position
    ));
    open::close_target(context, target, fenced).await?;
    // Somebody may have been quick.
    if open::wrote(target, fenced).await? != open::Wrote::Nothing {
        return Err(open::two_histories(fenced, &now, source, target).await);
    }
    open::reopen_source(source, fenced.before).await?;
    // From here on the target's log holds what replication writes, and proves nothing any more.
    context.journal.append(Entry::PointOfNoReturnLifted { step: ID.to_string() })?;
    hook::settle(context, "the source went on while the cutover was interrupted").await?;
    hold::put_replication_back(context).await?;
    Ok(Next::Again)
}

/// Whether a source that was open in between provably stands at the fence: without a binary log, or
/// with one that leaves databases out, nothing proves it.
async fn unchanged(source: &mut Session, fenced: &Fence) -> Result<bool> {
    Ok(Coordinates::tell_all(source).await? && !moved(source, &fenced.position).await?)
}
