//! What an interrupted cutover left, and how to go on from it. The reasoning is at the top of
//! [`super`].

use super::{Fence, ID, ReadOnly, hold, moved, open, since_fence};
use crate::{
    engine::{Context, Entry},
    error::Result,
    mysql::{Coordinates, Session},
    source::lock::WriteLock,
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
pub(super) async fn from_fence(context: &Context, fenced: &Fence) -> Result<Next> {
    // An earlier fence may have been past it, and given up since.
    let since = since_fence(context)?;
    if !since.opening {
        hold::put_replication_back(context).await?;
        return Ok(Next::Again);
    }
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    let closed = ReadOnly::read(&mut source).await?.read_only;
    let mut lock = match closed {
        true => None,
        false => Some(hold::acquire(context, &mut source).await?),
    };
    let looked = match &mut lock {
        Some(lock) => {
            let mut session = lock.session().await;
            unchanged(&mut session, fenced).await
        }
        // Closed under the lock: whatever the log tells, nobody wrote.
        None if since.closed => moved(&mut source, &fenced.position).await.map(|moved| !moved),
        None => unchanged(&mut source, fenced).await,
    };
    if looked? {
        return Ok(Next::Forward(lock));
    }
    if let Some(lock) = lock {
        lock.release().await?;
    }
    let now = Coordinates::read(&mut source).await?;
    if open::wrote(&mut target, fenced).await? != open::Wrote::Nothing {
        return Err(open::two_histories(fenced, &now, &source, &mut target).await);
    }
    context.events.info(format!(
        "the source went on from {} after the cutover was interrupted, the target didn't: it follows again, then the \
         cutover is done again",
        fenced.position
    ));
    open::close_target(context, &mut target, fenced).await?;
    // Somebody may have been quick.
    if open::wrote(&mut target, fenced).await? != open::Wrote::Nothing {
        return Err(open::two_histories(fenced, &now, &source, &mut target).await);
    }
    open::reopen_source(&mut source, fenced.before).await?;
    // From here on the target's log holds what replication writes, and proves nothing any more.
    context.journal.append(Entry::PointOfNoReturnLifted { step: ID.to_string() })?;
    hold::put_replication_back(context).await?;
    Ok(Next::Again)
}

/// Whether a source that was open in between provably stands at the fence: without a binary log, or
/// with one that leaves databases out, nothing proves it.
async fn unchanged(source: &mut Session, fenced: &Fence) -> Result<bool> {
    Ok(Coordinates::tell_all(source).await? && !moved(source, &fenced.position).await?)
}
