//! The first step: looks at everything once more, writes down what was found, and stops at blockers.
//! It changes nothing on either server.

use async_trait::async_trait;

use super::{
    assess::{Assessment, TargetSpec, Wishes, assess},
    backup::{self, step::TakeBackup},
};
use crate::{
    engine::{Context, FINDINGS, Finding, Route, Severity, Step, context::RESTORE, step::blocked},
    error::{Error, Kind, Result, Retry},
    mysql::{Catalog, Session},
    route,
    target::restore::step::RestoreCluster,
    transit::{self, step::Upload},
};

/// The step's name.
pub const STEP: &str = "preflight";

/// Looks whether the migration can work at all.
#[derive(Debug, Clone, Copy)]
pub struct Preflight;

async fn look(context: &Context) -> Result<Assessment> {
    let plan = context.plan()?;
    let target = match plan.route {
        Route::Physical => TargetSpec::None,
        Route::Logical => TargetSpec::Url(Box::new(context.target_url()?)),
    };
    let wishes = Wishes::by(&context.config, plan.route);
    let mut assessment = assess(&context.config.source, &target, &wishes).await?;
    assessment.on_route(plan.route);
    if plan.route == Route::Physical {
        assessment.findings.extend(ahead(context).await?);
    }
    Ok(assessment)
}

/// What the physical route's own steps would stop at, told before anything is made: their checks come
/// hours later, when the backup is taken. All that is wrong is told at once.
async fn ahead(context: &Context) -> Result<Vec<Finding>> {
    let (mut findings, mut failed) = (Vec::<Finding>::new(), Vec::<(&str, Error)>::new());
    for (step, checked) in [
        (backup::step::ID, TakeBackup.check(context).await),
        (transit::step::ID, Upload.check(context).await),
        (RESTORE, RestoreCluster.check_ahead(context).await),
    ] {
        match checked {
            Ok(found) => findings.extend(found),
            // The same again may help, or nobody wants to know more.
            Err(error)
                if error.kind().retry() != Retry::No
                    || matches!(error.kind(), Kind::Paused | Kind::Interrupted | Kind::Bug) =>
            {
                return Err(error);
            }
            // Two steps may need the same thing.
            Err(error) if failed.iter().any(|(_, other)| other.what() == error.what()) => {}
            Err(error) => failed.push((step, error)),
        }
    }
    let blocked = findings.iter().any(|finding| finding.severity == Severity::Blocker);
    if failed.len() == 1 && !blocked {
        return Err(failed.remove(0).1);
    }
    findings.extend(failed.into_iter().map(|(step, error)| Finding {
        id: format!("{step}.check"),
        severity: Severity::Blocker,
        objects: error.place().map(str::to_string).into_iter().collect(),
        why: error.told(),
        remedy: error.next_step().unwrap_or("look at the log, then the same command again").into(),
    }));
    Ok(findings)
}

#[async_trait]
impl Step for Preflight {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "look at both servers for whatever stands in the way"
    }

    fn rollback(&self) -> &'static str {
        "nothing to take back: it only reads"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        Ok(look(context).await?.findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let assessment = look(context).await?;
        context.journal.record(STEP, FINDINGS, &assessment.findings)?;
        context.journal.record(STEP, "not_migrated", &assessment.not_migrated)?;
        let blockers: Vec<&Finding> = assessment.blockers().collect();
        blocked("the migration can't begin", &blockers).map_or(Ok(()), Err)
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let plan = context.plan()?;
        route::check_same_source(&plan, &context.config, &context.journal).await?;
        let mut source = context.source().await?;
        let version = &source.dialect().text;
        if *version != plan.fingerprint.version {
            return Err(Error::new(
                Kind::State,
                format!(
                    "the source was {} when the plan was made and is {version} now",
                    plan.fingerprint.version
                ),
            )
            .at(source.place())
            .next("make a new plan: `daybreak undo`, then `daybreak plan`"));
        }
        let digest = digest(&mut source, context).await?;
        if digest != plan.fingerprint.schema_digest {
            context.events.warn(
                "the source's schema has changed since the plan was made: the migration takes it as it is now",
            );
        }
        source.close().await;
        Ok(())
    }

    async fn undo(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

async fn digest(source: &mut Session, context: &Context) -> Result<String> {
    Ok(Catalog::read(source, &context.config.select).await?.digest())
}
