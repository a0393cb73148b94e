//! The statements run on the target, table by table, each written down before it is begun.
//!
//! While replication runs, it is stopped at the moment that both sides share, before the source's table
//! is let go: what was compared stands still on the target until its rows are set, and nothing of the
//! source's is applied twice or lost. Killed in between, a table's rows are as before or set (a
//! transaction); [`go_on`] lets replication run again, and another repair sets the rest.

use super::{LeftAlone, RepairReport, Sides, Sink, expect_moment, script, table, works};
use crate::{
    config::{VerifyConfig, VerifyMode},
    engine::{Context, Entry, Journal, ReplicationMode, StepPhase},
    error::{Error, Kind, Result},
    mysql::{Session, Side},
    select::Selection,
    switch::cut_over,
    sync::{
        replicate,
        verify::{STEP, report::VerifyReport, table::Pair},
    },
};

/// Refuses a repair where the target's rows are right by definition, or the copy isn't done.
///
/// # Errors
/// `State`.
pub fn expect_repairable(journal: &Journal) -> Result<()> {
    let state = journal.state();
    if state.past_no_return {
        return Err(Error::new(
            Kind::State,
            "the target was opened for writes: the source is stale, and nothing is repaired from it",
        )
        .next("what differs now was written since, or is to be mended on the target by hand"));
    }
    // Begun, it may have taken replication down; what the source wrote since is still to come.
    if state.step(cut_over::ID).is_some_and(|phase| phase != StepPhase::Pending) {
        return Err(Error::new(Kind::State, "a cutover was begun, and isn't taken back")
            .next("`daybreak resume` takes it back or brings it to its end"));
    }
    let before = state.steps.iter().take_while(|(step, _)| step != STEP);
    match before.into_iter().find(|(_, phase)| *phase != StepPhase::Verified) {
        None => Ok(()),
        Some((step, _)) => Err(Error::new(
            Kind::State,
            format!("the target isn't all there yet: {step} isn't done and verified"),
        )
        .next("`daybreak resume` goes on")),
    }
}

/// Takes up a repair that was killed: lets replication run again that it had stopped.
///
/// # Errors
/// As `daybreak replicate start`.
pub async fn go_on(context: &Context) -> Result<()> {
    let state = context.journal.state();
    let Some(table) = state.repairing.clone() else { return Ok(()) };
    // Steps that were taken back since have taken replication with them.
    if replicate::must_follow(&state) {
        running(context).await?;
    }
    context.journal.append(Entry::RepairEnded { table })?;
    Ok(())
}

/// Makes sure that replication runs, if it is to. It is started even if it seems to run: a stop that was
/// given up is still on its way there, and a start waits for it.
pub(super) async fn running(context: &Context) -> Result<()> {
    match context.plan()?.replication {
        ReplicationMode::Native => replicate::start(context).await.map(drop),
        _ => Ok(()),
    }
}

/// Sets right what a comparison found.
///
/// # Errors
/// `Replication` where the target should follow and doesn't; whatever the servers refuse.
pub async fn apply(
    context: &Context,
    selection: &Selection,
    config: &VerifyConfig,
    found: &VerifyReport,
) -> Result<RepairReport> {
    expect_repairable(&context.journal)?;
    let (plan, target_url) = (context.plan()?, context.target_url()?);
    let sides = Sides {
        source: &context.config.source,
        target: &target_url,
        selection,
        config,
        migration: Some((&plan, &context.journal)),
        stop: &context.stop,
    };
    expect_moment(sides, found).await?;
    let mut pair = Pair::for_rows(sides.source, sides.target, VerifyMode::Full).await?;
    let (works, left_alone) = works(&mut pair, sides, found, false).await?;
    let mut report = RepairReport { left_alone, applied: true, ..RepairReport::default() };
    let holds = script::guard(&mut pair.target, true, found.live).await?;
    for work in works {
        context.stop.check()?;
        let name = work.source.name.clone();
        let mut session = Session::open(sides.target, Side::Target).await?;
        session.without_limits().await?;
        let mut out = Sink::Server(session);
        for statement in script::beginning(pair.target.dialect(), &holds) {
            out.run(&statement, None).await?;
        }
        context.journal.append(Entry::RepairStarted { table: name.to_string() })?;
        let applier = found.live.then_some(context);
        let repaired = table(&mut pair, sides, work, &mut out, found.live, applier).await;
        // What wasn't committed is rolled back before replication goes on.
        if let Sink::Server(session) = out {
            session.close().await;
        }
        let goes_on = match applier {
            Some(_) => running(context).await,
            None => Ok(()),
        };
        if goes_on.is_ok() {
            context.journal.append(Entry::RepairEnded { table: name.to_string() })?;
        }
        match repaired {
            Ok(Ok(done)) => {
                context.events.info(format!(
                    "{name}: {} rows set, {} put in, {} taken off",
                    done.set, done.added, done.removed
                ));
                report.tables.push(done);
            }
            Ok(Err(left)) => report.left_alone.push(left),
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Sql | Kind::Unsupported | Kind::LockWait | Kind::Deadlock
                ) =>
            {
                let next = error.next_step().unwrap_or("see the target's error log").to_string();
                report.left_alone.push(LeftAlone { table: name, why: error.told(), next });
            }
            Err(error) => {
                goes_on?;
                return Err(error);
            }
        }
        goes_on.map_err(|error| {
            error.next("`daybreak replicate start`, then `daybreak verify --repair --yes` goes on")
        })?;
    }
    pair.close().await;
    Ok(report)
}
