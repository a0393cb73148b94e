//! The first step: looks at everything once more, writes down what was found, and stops at blockers.
//! It changes nothing on either server.

use async_trait::async_trait;

use super::{
    assess::{Assessment, TargetSpec, Wishes, assess},
    backup::step::TakeBackup,
};
use crate::{
    engine::{Context, Finding, Route, Severity, Step},
    error::{Error, Kind, Result},
    mysql::{Catalog, Session},
    route,
    target::restore::step::RestoreCluster,
    transit::step::Upload,
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
    let mut assessment =
        assess(&context.config.source, &target, &Wishes::of(&context.config)).await?;
    assessment.on_route(plan.route);
    if plan.route == Route::Physical {
        // A source that can't be backed up is told before anything is made there.
        assessment.findings.extend(TakeBackup.check(context).await?);
        // Nor does a backup of hours end before a bucket or a role that won't do.
        let later = [Upload.check(context).await?, RestoreCluster.check(context).await?].concat();
        let weighty = later.into_iter().filter(|finding| finding.severity != Severity::Note);
        assessment.findings.extend(weighty);
    }
    Ok(assessment)
}

/// A failure that lists all blockers; none without one.
pub(crate) fn blocked(assessment: &Assessment) -> Option<Error> {
    let blockers: Vec<&Finding> = assessment.blockers().collect();
    let first = blockers.first()?;
    let list: Vec<String> =
        blockers.iter().map(|finding| format!("{}: {}", finding.id, finding.why)).collect();
    let next = match blockers.len() {
        1 => first.remedy.clone(),
        more => format!(
            "{} (and {} more: `daybreak assess` has the remedy of each)",
            first.remedy,
            more - 1
        ),
    };
    Some(
        Error::new(Kind::Blocked, format!("the migration can't begin: {}", list.join("; ")))
            .next(next),
    )
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
        context.journal.record(STEP, "findings", &assessment.findings)?;
        context.journal.record(STEP, "not_migrated", &assessment.not_migrated)?;
        blocked(&assessment).map_or(Ok(()), Err)
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
