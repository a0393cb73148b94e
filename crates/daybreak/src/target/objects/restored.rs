//! The step `objects` of the physical route: what a restore leaves out.

use async_trait::async_trait;

use super::{
    Aside, CreateObjects, ObjectKind, STEP, create_all, kept, memory,
    settle_reader,
};
use crate::{
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    mysql::Session,
};

/// Makes accounts, routines and events, which a restore from S3 leaves out, and looks whether named time
/// zones work. Tables, views and triggers came with the backup.
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
        if !has_time_zones(&mut target).await? {
            findings.push(Finding {
                id: "target.time_zones".into(),
                severity: Severity::Warning,
                objects: vec![target.place().to_string()],
                why: "the target knows no named time zones: CONVERT_TZ yields NULL there".into(),
                remedy: "load the time zone tables (mysql_tzinfo_to_sql) on the target where its account may".into(),
            });
        }
        target.close().await;
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        settle_reader(&mut target).await?;
        let aside = Aside::load(&context.directory)?.ok_or_else(|| {
            Error::new(Kind::State, "what the source's routines were at the backup isn't known any more")
                .at(context.directory.display())
                .next("`daybreak undo`, then `daybreak run`: the backup is taken anew")
        })?;
        memory::keep(&mut target, &aside.0).await?;
        let (mut objects, mut unreadable) = kept(context, &mut target).await?;
        objects.retain(|object| left_out(object.name.kind));
        unreadable.retain(|object| left_out(object.object.kind));
        create_all(context, target, objects, unreadable).await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        CreateObjects.verify(context).await
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        CreateObjects.drop_made(context, false).await
    }
}

fn left_out(kind: ObjectKind) -> bool {
    match kind {
        ObjectKind::Table | ObjectKind::View | ObjectKind::Trigger => false,
        ObjectKind::Function | ObjectKind::Procedure | ObjectKind::Event => true,
    }
}

async fn has_time_zones(target: &mut Session) -> Result<bool> {
    let there: Option<String> =
        target.scalar("SELECT CONVERT_TZ('2020-01-01 00:00:00', 'UTC', 'Europe/Berlin')").await?;
    Ok(there.is_some())
}
