//! Makes the plan: which source and target, which steps in which order, by what replication keeps its
//! place. It decides by what [`crate::source::assess`] found, and refuses another source or target than
//! the planned ones later on.

use crate::{
    config::Config,
    engine::{
        Finding, Fingerprint, Journal, Plan, PlannedStep, PositionBy, ReplicationMode, Route, Step,
        step::blocked, target_of,
    },
    error::{Error, Kind, Result},
    event::Events,
    mysql::{Session, Side},
    source::{
        assess::{Assessment, NO_FILTERS, NO_REPLICATION, Survey, TargetSpec, Wishes},
        backup::{self, step::TakeBackup},
        preflight::Preflight,
        prepare::PrepareSource,
    },
    switch::{clean_up::CleanUp, cut_over::CutOver},
    sync::{replicate::Replicate, verify::Verify},
    target::{
        indexes::BuildIndexes,
        objects::{CreateLeftOut, CreateObjects},
        restore::step::RestoreCluster,
        rows::CopyRows,
        schema::CreateSchema,
    },
    transit::{inspect::rules, step::Upload},
};

/// Looks at both servers and makes the plan. Blockers are in the assessment; whoever runs the plan
/// meets them again in its first step.
///
/// # Errors
/// When a server can't be reached.
pub async fn make_plan(
    config: &Config,
    route: Route,
    events: &Events,
) -> Result<(Plan, Assessment)> {
    if route == Route::Physical {
        refuse_other_replication(config)?;
        refuse_filters(config)?;
    }
    events.detail(format!("looking at {} and {}", config.source, config.target));
    let wishes = Wishes::by(config, route);
    let target = match route {
        Route::Logical => TargetSpec::Url(Box::new(config.target.clone())),
        // It is made on the way.
        Route::Physical => TargetSpec::None,
    };
    let survey = Survey::take(&config.source, &target, wishes).await?;
    let mut assessment = survey.judge();
    assessment.on_route(route);
    refuse_impossible(&assessment)?;
    if route == Route::Physical {
        refuse_unrestorable(&assessment)?;
    }
    let catalog = survey.catalog();
    let mut tables: Vec<(String, u64, u64)> = catalog
        .tables
        .iter()
        .map(|table| (table.name.to_string(), table.rows_estimate, table.data_bytes))
        .collect();
    tables.sort_by(|a, b| (b.2, &a.0).cmp(&(a.2, &b.0)));
    let target_uuid = assessment
        .facts
        .target
        .as_ref()
        .map(|target| target.server_uuid.clone())
        .or_else(|| (route == Route::Physical).then(String::new))
        .ok_or_else(|| Error::new(Kind::Bug, "a target that was asked left no facts"))?;
    let (position, because) = match &assessment.position {
        Some(position) => (position.by, format!("; {}", position.reason)),
        // Nothing is replicated: the plan has no use for it.
        None => (PositionBy::File, String::new()),
    };
    let mut plan = Plan {
        migration: format!("{:08x}", rand::random::<u32>()),
        route,
        reason: match route {
            Route::Logical => format!("{}{because}", assessment.route.reason),
            Route::Physical => assessment.route.reason.clone(),
        },
        streamed: route == Route::Physical && config.backup.stream,
        replication: config.replication.mode,
        position,
        source: config.source.to_string(),
        target: config.target.to_string(),
        fingerprint: Fingerprint {
            server_uuid: assessment.facts.source.server_uuid.clone(),
            version: assessment.facts.source.dialect.text.clone(),
            schema_digest: catalog.digest(),
        },
        target_uuid,
        selection: config.select.clone(),
        definer: config.copy.definer,
        tables,
        steps: Vec::new(),
    };
    plan.steps = steps(&plan)
        .iter()
        .map(|step| PlannedStep {
            id: step.id().to_string(),
            title: step.title().to_string(),
            rollback: step.rollback().to_string(),
        })
        .collect();
    Ok((plan, assessment))
}

/// What no remedy on the servers can mend makes no plan: another one must be asked for.
fn refuse_impossible(assessment: &Assessment) -> Result<()> {
    let impossible =
        |finding: &&Finding| [NO_REPLICATION, NO_FILTERS].contains(&finding.id.as_str());
    match assessment.blockers().find(impossible) {
        Some(finding) => Err(Error::new(Kind::Blocked, finding.why.clone())
            .at(finding.objects.join(", "))
            .next(finding.remedy.clone())),
        None => Ok(()),
    }
}

/// Replication of which the physical route knows nothing.
fn refuse_other_replication(config: &Config) -> Result<()> {
    let (what, key, next) = if config.replication.mode != ReplicationMode::Native {
        (
            "the physical route replicates from the backup's coordinates: it has no other mode",
            "replication.mode",
            "mode = \"native\", or --route logical",
        )
    } else if config.replication.position == Some(PositionBy::Gtid) {
        (
            "the physical route begins at the backup's file and position, which the backup and the restored \
             cluster's own event must agree on: the event names no GTIDs",
            "replication.position",
            "position = \"auto\" or \"file\" in [replication], or --route logical",
        )
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Config, what).at(key).next(next))
}

/// A backup holds all rows and columns, under the names that they have.
fn refuse_filters(config: &Config) -> Result<()> {
    if let Some(filter) = config.select.filters.first() {
        return Err(Error::new(
            Kind::Config,
            "a physical backup holds every row: conditions can't leave any out",
        )
        .at(format!("[select] where, {}", filter.table))
        .next("leave the condition out, or --route logical"));
    }
    if let Some(column) = config.select.exclude_columns.first() {
        return Err(Error::new(
            Kind::Config,
            "a physical backup holds whole tables: columns can't be left out",
        )
        .at(format!("[select] exclude_columns, {column}"))
        .next("take the column too, and drop it on the target afterwards, or --route logical"));
    }
    match config.select.renames.first() {
        None => Ok(()),
        Some(rename) => Err(Error::new(
            Kind::Config,
            "a physical backup is restored under the names that databases have",
        )
        .at(format!("[select] rename, {}", rename.from))
        .next("leave the rename out, or --route logical")),
    }
}

/// A source of which no backup could be restored gets no plan: it would fail hours later.
fn refuse_unrestorable(assessment: &Assessment) -> Result<()> {
    let broken: Vec<&Finding> =
        assessment.blockers().filter(|finding| rules::rule(&finding.id).is_some()).collect();
    if let Some(error) = blocked("no backup of this source can be restored", &broken) {
        // There is no plan that could be gone on with.
        return Err(match broken.len() {
            1 => error,
            _ => error.next("do what each remedy says, then the same command again"),
        });
    }
    // Whatever the rules: there must be a tool.
    backup::tool::needed(&assessment.facts.source.dialect).map(drop)
}

/// The steps of a plan, in order.
pub fn steps(plan: &Plan) -> Vec<Box<dyn Step>> {
    match plan.route {
        Route::Logical => logical(plan),
        Route::Physical => physical(plan),
    }
}

fn physical(plan: &Plan) -> Vec<Box<dyn Step>> {
    let steps: [(bool, Box<dyn Step>); 10] = [
        (true, Box::new(Preflight)),
        (true, Box::new(PrepareSource)),
        (!plan.streamed, Box::new(TakeBackup)),
        (true, Box::new(Upload)),
        (true, Box::new(RestoreCluster)),
        (true, Box::new(CreateLeftOut)),
        (true, Box::new(Replicate)),
        (true, Box::new(Verify)),
        (true, Box::new(CutOver)),
        (true, Box::new(CleanUp)),
    ];
    steps.into_iter().filter_map(|(wanted, step)| wanted.then_some(step)).collect()
}

fn logical(plan: &Plan) -> Vec<Box<dyn Step>> {
    let native = plan.replication == ReplicationMode::Native;
    let moves_writes = plan.replication != ReplicationMode::CopyOnly;
    let steps: [(bool, Box<dyn Step>); 10] = [
        (true, Box::new(Preflight)),
        (native, Box::new(PrepareSource)),
        (true, Box::new(CreateSchema)),
        (true, Box::new(CopyRows)),
        (true, Box::new(BuildIndexes)),
        (true, Box::new(CreateObjects)),
        (native, Box::new(Replicate)),
        (moves_writes, Box::new(Verify)),
        (moves_writes, Box::new(CutOver)),
        (true, Box::new(CleanUp)),
    ];
    steps.into_iter().filter_map(|(wanted, step)| wanted.then_some(step)).collect()
}

/// Makes sure that both servers answer and are the ones that the plan was made for. A target that the
/// migration has yet to make isn't asked.
///
/// # Errors
/// `State` when one isn't, naming both.
pub async fn check_same_source(plan: &Plan, config: &Config, journal: &Journal) -> Result<()> {
    check_servers(plan, config, journal, None).await
}

/// The same before an undo. On the physical route a server that can't be reached is only said: the
/// cluster may be half deleted, and that the source is down is no reason to keep paying for it. A step
/// that needs the server fails by itself.
///
/// # Errors
/// As [`check_same_source`].
pub async fn check_for_undo(
    plan: &Plan,
    config: &Config,
    journal: &Journal,
    events: &Events,
) -> Result<()> {
    let physical = plan.route == Route::Physical;
    check_servers(plan, config, journal, physical.then_some(events)).await
}

async fn check_servers(
    plan: &Plan,
    config: &Config,
    journal: &Journal,
    may_be_down: Option<&Events>,
) -> Result<()> {
    let (target, made) = target_of(config, journal)?;
    let made = made.unwrap_or_else(|| plan.target_uuid.clone());
    for (side, url, planned, name) in [
        (Side::Source, &config.source, &plan.fingerprint.server_uuid, &plan.source),
        (Side::Target, &target, &made, &plan.target),
    ] {
        if planned.is_empty() {
            continue;
        }
        let mut session = match (Session::open(url, side).await, may_be_down) {
            (Err(error), Some(events)) if error.kind() == Kind::Connect => {
                events.warn(format!("the {side} can't be asked whether it is the plan's: {error}"));
                continue;
            }
            (opened, _) => opened?,
        };
        let found = session.server_uuid().await?;
        session.close().await;
        if found != *planned {
            return Err(Error::new(
                Kind::State,
                format!(
                    "this is another {side} than the plan's: planned {name} (server {planned}), found {url} \
                     (server {found})"
                ),
            )
            .next(format!(
                "give the plan's {side} again, or begin a new migration in another directory"
            )));
        }
    }
    Ok(())
}
