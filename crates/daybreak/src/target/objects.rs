//! The step `objects`: routines, views, triggers and events on the target.
//!
//! Made from what was read together with the rows, each under its own settings. Events are made
//! disabled and wait for the cutover. A view that can't be made is named, with why; anything else
//! that can't be made stops the step.

mod aside;
mod columns;
mod create;
mod definition;
mod events;
mod header;
mod memory;
mod renamed;
mod restored;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::schema::{databases, relations, selection, settle_reader};
use crate::{
    engine::{Context, Finding, Journal, Severity, Step, StepPhase},
    error::{Error, Kind, Result},
    mysql::{Session, TableName},
};

pub(crate) use aside::Aside;
pub(crate) use columns::lacks;
use create::Maker;
pub use definition::{ObjectKind, ObjectName, count_by_kind};
pub use events::enable_events;
pub(crate) use memory::remember;
pub(crate) use renamed::{Judged, judge, view_query};
pub use restored::CreateLeftOut;

const STEP: &str = "objects";

/// A routine, view, trigger or event as the source prints it, in utf8mb4.
#[derive(Debug, Clone)]
pub(crate) struct Printed {
    /// Which one.
    pub name: ObjectName,
    /// The statement that makes it.
    pub sql: Vec<u8>,
    /// The `sql_mode` under which it is read.
    pub sql_mode: String,
}

impl Printed {
    /// Whether it is a view.
    pub fn is_view(&self) -> bool {
        self.name.kind == ObjectKind::View
    }
}

/// Every selected object that can be read.
pub(crate) async fn printed(
    session: &mut Session,
    selection: &crate::select::Selection,
) -> Result<Vec<Printed>> {
    let mut found = Vec::new();
    for name in definition::names(session, selection).await? {
        if name.kind == ObjectKind::Table {
            continue;
        }
        match definition::read(session, &name).await {
            Ok(object) => found.push(Printed {
                name,
                sql_mode: definition::known_modes(object.sql_mode.as_deref().unwrap_or_default()),
                sql: object.printed,
            }),
            Err(error) if matches!(error.kind(), Kind::Privilege | Kind::SnapshotLost) => {}
            // A view that doesn't work at the source either.
            Err(error) if error.code() == Some(1356) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Makes routines, views, triggers and events.
#[derive(Debug, Clone, Copy, Default)]
pub struct CreateObjects;

/// An object that isn't on the target, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCreated {
    /// Which one.
    pub object: ObjectName,
    /// The server's words.
    pub why: String,
}

/// What is about to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Creating {
    objects: BTreeSet<ObjectName>,
    /// The collations that databases of the target had, which change for the moment in which an
    /// object of another one is made.
    collations: BTreeMap<String, String>,
}

/// The steps in whose names objects are made: this one, or one that found the copy outdated; the one
/// that comes last first.
pub(crate) const MAKERS: [&str; 3] = ["cutover", "verify", STEP];

/// The checkpoint that names what couldn't be made.
pub(crate) const NOT_CREATED: &str = "not_created";

/// What was noted last of the objects that were made.
pub(crate) fn latest<T: DeserializeOwned>(journal: &Journal, name: &str) -> Result<Option<T>> {
    for step in MAKERS {
        if let Some(found) = journal.recall(step, name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn creating(journal: &Journal) -> Result<Option<Creating>> {
    latest(journal, "creating")
}

fn step_at_work(journal: &Journal) -> String {
    let state = journal.state();
    match (state.step(STEP), state.current()) {
        (Some(StepPhase::Verified), Some((step, _))) => step.to_string(),
        _ => STEP.to_string(),
    }
}

/// What was read, or, for a plan that came here without it, is read now.
async fn kept(
    ctx: &Context,
    target: &mut Session,
) -> Result<(Vec<definition::Object>, Vec<NotCreated>)> {
    if let Some(kept) = memory::recall(ctx, target).await? {
        return Ok(kept);
    }
    let mut source = ctx.source().await?;
    settle_reader(&mut source).await?;
    remember(ctx, &mut source, target).await?;
    source.close().await;
    memory::recall(ctx, target)
        .await?
        .ok_or_else(|| Error::new(Kind::Bug, "what was just written isn't there"))
}

#[async_trait]
impl Step for CreateObjects {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "create routines, views, triggers, and events (disabled)"
    }

    fn rollback(&self) -> &'static str {
        "drop the events, triggers, views and routines that were created"
    }

    async fn check(&self, ctx: &Context) -> Result<Vec<Finding>> {
        let ours = creating(&ctx.journal)?.unwrap_or_default();
        let (mut source, mut target) = (ctx.source().await?, ctx.target().await?);
        let selection = selection(ctx);
        let on_target = selection.on_target();
        let wanted = count_by_kind(&mut source, &selection).await?;
        let there = count_by_kind(&mut target, &on_target).await?;
        let names: BTreeSet<String> = databases(&mut target).await?;
        let names = names.into_iter().filter(|name| on_target.takes_database(name)).collect();
        let relations = relations(&mut target, &names).await?;
        let mut taken = Vec::new();
        for (kind, names) in &wanted {
            if *kind == ObjectKind::Table {
                continue;
            }
            let there = match kind {
                ObjectKind::View => Some(&relations),
                kind => there.get(kind),
            };
            for name in names {
                let name = selection.table_on_target(name);
                let object = ObjectName { kind: *kind, name: name.clone() };
                if there.is_some_and(|there| there.contains(&name))
                    && !ours.objects.contains(&object)
                {
                    taken.push(object.to_string());
                }
            }
        }
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Finding {
            id: "target.objects_exist".into(),
            severity: Severity::Blocker,
            why: format!(
                "the target already has {} of the routines, views, triggers or events, such as {}, and \
                 this migration didn't make them",
                taken.len(),
                taken[0]
            ),
            remedy: "drop or rename them on the target".into(),
            objects: taken,
        }])
    }

    async fn run(&self, ctx: &Context) -> Result<()> {
        let mut target = ctx.target().await?;
        settle_reader(&mut target).await?;
        let (objects, unreadable) = kept(ctx, &mut target).await?;
        create_all(ctx, target, objects, unreadable).await
    }

    async fn verify(&self, ctx: &Context) -> Result<()> {
        let mut target = ctx.target().await?;
        settle_reader(&mut target).await?;
        let not_created: Vec<NotCreated> = latest(&ctx.journal, NOT_CREATED)?.unwrap_or_default();
        let left: BTreeSet<&ObjectName> = not_created.iter().map(|left| &left.object).collect();
        let (objects, _) = kept(ctx, &mut target).await?;
        let there = count_by_kind(&mut target, &selection(ctx).on_target()).await?;
        for object in objects.iter().filter(|object| !left.contains(&object.name)) {
            ctx.stop.check()?;
            let name = &object.name;
            if !there.get(&name.kind).is_some_and(|names| names.contains(&name.name)) {
                return Err(Error::new(Kind::Different, "an object is not on the target")
                    .at(name)
                    .at(target.place())
                    .next("`daybreak resume` makes it again"));
            }
            let found = definition::read(&mut target, name).await?;
            let definer = ctx.config.copy.definer;
            if !create::is_same(object, &found, definer) {
                return Err(Error::new(
                    Kind::Different,
                    "an object's definition isn't the source's",
                )
                .at(name)
                .at(target.place())
                .next(format!(
                    "compare SHOW CREATE {} on both sides; `daybreak undo --to indexes` takes the \
                     objects back",
                    name.kind.word()
                )));
            }
        }
        target.close().await;
        Ok(())
    }

    async fn undo(&self, ctx: &Context) -> Result<()> {
        self.drop_made(ctx, true).await
    }
}

impl CreateObjects {
    /// Drops what was made. `all`: and all that is kept, which a later step may have made anew.
    async fn drop_made(&self, ctx: &Context, all: bool) -> Result<()> {
        let Some(mut creating) = creating(&ctx.journal)? else { return Ok(()) };
        let mut target = ctx.target().await?;
        // Made anew in the name of a later step, which may be undone by now.
        if all && let Some((kept, _)) = memory::recall(ctx, &mut target).await? {
            creating.objects.extend(kept.into_iter().map(|object| object.name));
        }
        let mut maker = Maker::open(ctx, target, creating.collations.clone()).await?;
        maker.restore().await?;
        for object in creating.objects.iter().rev() {
            maker.drop_object(object).await?;
        }
        Ok(())
    }
}

/// Makes objects on the target, and writes down which before it does.
async fn create_all(
    ctx: &Context,
    mut target: Session,
    objects: Vec<definition::Object>,
    unreadable: Vec<NotCreated>,
) -> Result<()> {
    let step = step_at_work(&ctx.journal);
    let mut creating = creating(&ctx.journal)?.unwrap_or_default();
    creating.objects.extend(objects.iter().map(|object| object.name.clone()));
    for (database, collation) in create::collations(&mut target).await? {
        if objects.iter().any(|object| object.name.name.database == database) {
            creating.collations.entry(database).or_insert(collation);
        }
    }
    ctx.journal.record(&step, "creating", &creating)?;
    let to_enable: Vec<TableName> = objects
        .iter()
        .filter(|object| object.enabled)
        .map(|object| object.name.name.clone())
        .collect();
    ctx.journal.record(&step, "events_to_enable", &to_enable)?;

    let mut maker = Maker::open(ctx, target, creating.collations.clone()).await?;
    let made = maker.make_all(&objects, unreadable).await;
    // Whatever happened: databases keep the collation that they had.
    let restored = maker.restore().await;
    let not_created = made?;
    restored?;
    ctx.journal.record(&step, NOT_CREATED, &not_created)?;
    for missing in &not_created {
        ctx.events.warn(format!("{} is not on the target: {}", missing.object, missing.why));
    }
    Ok(())
}

/// Drops what this migration made, before rows are loaded again, which triggers must not see.
/// [`make_anew`] makes it again.
pub async fn take_down(ctx: &Context) -> Result<()> {
    CreateObjects.undo(ctx).await
}

/// Makes all objects as the source has them now, which must be closed.
///
/// # Errors
/// `Blocked` when the target has one of that name that this migration didn't make.
pub async fn make_anew(ctx: &Context) -> Result<()> {
    if creating(&ctx.journal)?.is_none() {
        return Ok(());
    }
    if let Some(finding) = CreateObjects.check(ctx).await?.into_iter().next() {
        return Err(Error::new(Kind::Blocked, finding.why).next(finding.remedy));
    }
    let (mut source, mut target) = (ctx.source().await?, ctx.target().await?);
    settle_reader(&mut source).await?;
    settle_reader(&mut target).await?;
    remember(ctx, &mut source, &mut target).await?;
    CreateObjects.run(ctx).await?;
    CreateObjects.verify(ctx).await
}
