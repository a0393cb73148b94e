//! The step `objects` of the physical route: what a restore leaves out.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{Aside, CreateObjects, ObjectKind, STEP, create_all, kept, memory, settle_reader};
use crate::{
    engine::{Context, Finding, Step},
    error::{Error, Kind, Result},
    event::Events,
    target::{
        accounts::{self, AccountName},
        register,
    },
};

/// The checkpoint that names the accounts that were made.
const ACCOUNTS: &str = "accounts";

/// Makes accounts, routines and events, which a restore from S3 leaves out, and looks whether named time
/// zones work. Tables, views and triggers came with the backup.
///
/// All of it is as it was at the backup's end, where replication begins: what was made or changed at the
/// source since then follows by replication, which would stop at what is there already.
///
/// Source: Aurora User Guide, *Migrating data from an external MySQL database: physical migration*.
#[derive(Debug, Clone, Copy, Default)]
pub struct CreateLeftOut;

#[async_trait]
impl Step for CreateLeftOut {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "create what a restore leaves out: accounts, routines, and events (disabled)"
    }

    fn rollback(&self) -> &'static str {
        "drop the accounts, routines and events that were created"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut target = context.target().await?;
        let mut findings = Vec::new();
        findings.extend(accounts::time_zones(&mut target).await?);
        target.close().await;
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        settle_reader(&mut target).await?;
        let aside = Aside::load(&context.directory)?.ok_or_else(|| {
            Error::new(
                Kind::State,
                "what the source's routines and accounts were at the backup isn't known any more",
            )
            .at(context.directory.display())
            .next("`daybreak undo`, then `daybreak run`: the backup is taken anew")
        })?;
        let ours: BTreeSet<AccountName> =
            context.journal.recall(STEP, ACCOUNTS)?.unwrap_or_default();
        let record = |made: &BTreeSet<AccountName>| context.journal.record(STEP, ACCOUNTS, made);
        let (quiet, events, stop) = (Events::nowhere(), &context.events, &context.stop);
        // Definers are there before their routines, and routines before the grants on them.
        let all = &aside.accounts;
        let made = accounts::make(all, &mut target, ours, &record, &quiet, stop).await?.made;
        register::enter(context, &mut target, &BTreeSet::new()).await?;
        memory::keep(context, &mut target, &aside.objects).await?;
        let (mut objects, mut unreadable) = kept(context, &mut target).await?;
        objects.retain(|object| left_out(object.name.kind));
        unreadable.retain(|object| left_out(object.object.kind));
        create_all(context, context.target().await?, objects, unreadable).await?;
        let moved = accounts::make(all, &mut target, made, &record, events, stop).await?;
        context.journal.record(STEP, "accounts_moved", &moved)?;
        for left in &moved.left_out {
            let line =
                format!("left out: {} {}: {}; {}", left.account, left.what, left.why, left.remedy);
            // Who may less than before fails at the cutover: that isn't to be missed.
            match left.remedy.as_str() {
                accounts::NOTHING_TO_DO => context.events.detail(line),
                _ => context.events.warn(line),
            }
        }
        target.close().await;
        Ok(())
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        CreateObjects.verify(context).await
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        CreateObjects.drop_made(context, false).await?;
        let made: Option<BTreeSet<AccountName>> = context.journal.recall(STEP, ACCOUNTS)?;
        let Some(made) = made else { return Ok(()) };
        accounts::undo(&mut context.target().await?, &made).await
    }
}

fn left_out(kind: ObjectKind) -> bool {
    match kind {
        ObjectKind::Table | ObjectKind::View | ObjectKind::Trigger => false,
        ObjectKind::Function | ObjectKind::Procedure | ObjectKind::Event => true,
    }
}
