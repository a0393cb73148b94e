//! The step `schema`: databases, tables and daybreak's own database on the target.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    STEP, adaptation, base_tables, bring_in_line, comparable, databases, each_definition,
    relations, remembered, selection, settle_reader, settle_writer,
};
use crate::{
    engine::{Context, Finding, ReplicationMode, Severity, Step},
    error::{Error, Kind, Result},
    mysql::{Catalog, Session, TableName, charset, quote, quote_text},
    target::{
        ddl::CreateTable,
        register::{self, Found},
    },
};

/// Makes the databases and tables, without the keys that come after the rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct CreateSchema;

/// What the step is about to make, as the journal says before anything is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Creating {
    /// Databases that were on the target before.
    databases_before: BTreeSet<String>,
    /// Databases that are needed.
    databases: BTreeSet<String>,
    /// Tables, by their full names.
    tables: BTreeSet<TableName>,
}

/// How many names a finding lists before it only counts.
const NAMES: usize = 50;

fn names<T: std::fmt::Display>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = all.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names
}

#[async_trait]
impl Step for CreateSchema {
    fn id(&self) -> &'static str {
        STEP
    }

    fn title(&self) -> &'static str {
        "create databases and tables on the target, without the keys that come after the rows"
    }

    fn rollback(&self) -> &'static str {
        "drop the tables and databases that were created, and what daybreak keeps of them, on the target"
    }

    async fn check(&self, ctx: &Context) -> Result<Vec<Finding>> {
        let ours: Option<Creating> = ctx.journal.recall(STEP, "creating")?;
        let (mut source, mut target) = (ctx.source().await?, ctx.target().await?);
        settle_reader(&mut source).await?;
        settle_writer(&mut target).await?;
        let catalog = Catalog::read(&mut source, &selection(ctx)).await?;
        let mut findings = Vec::new();

        let made = if ours.is_some() {
            remembered::read(&mut target, &ctx.plan()?.migration).await?
        } else {
            remembered::Memory::default()
        };
        let on_target = catalog.on_target(&selection(ctx));
        let wanted: BTreeSet<String> =
            on_target.databases.iter().map(|db| db.name.clone()).collect();
        let plan = ctx.plan()?;
        let found = Found::read(&mut target).await?;
        if ours.is_none() || found != Found::Foreign {
            let native = plan.replication == ReplicationMode::Native;
            let mut findings_of =
                found.findings(Some(&plan.migration), native, wanted.iter().map(String::as_str));
            // Preflight said it.
            findings_of.retain(|finding| finding.severity == Severity::Blocker);
            findings.extend(findings_of);
        }
        let existing = relations(&mut target, &wanted).await?;
        let taken: Vec<&TableName> = on_target
            .tables
            .iter()
            .map(|table| &table.name)
            .filter(|name| existing.contains(name) && !made.tables.contains_key(name))
            .collect();
        if let Some(first) = taken.first() {
            findings.push(Finding {
                id: "target.tables_exist".into(),
                severity: Severity::Blocker,
                why: format!(
                    "the target already has {} of the tables, such as {first}, and this migration \
                     didn't make them",
                    taken.len()
                ),
                remedy:
                    "drop or rename them on the target, or leave them out with [select] exclude"
                        .into(),
                objects: names(taken),
            });
        }
        findings.extend(database_defaults(&mut target, &on_target, &made).await?);
        findings.extend(keyless(&mut target, &catalog).await?);
        findings.extend(collations(&mut target, &catalog).await?);
        findings.extend(engines(&mut target, &catalog).await?);
        Ok(findings)
    }

    async fn run(&self, ctx: &Context) -> Result<()> {
        let (mut source, mut target) = (ctx.source().await?, ctx.target().await?);
        settle_reader(&mut source).await?;
        let catalog = Catalog::read(&mut source, &selection(ctx)).await?;
        let on_target = catalog.on_target(&selection(ctx));
        let there = databases(&mut target).await?;
        let mut creating: Creating = ctx.journal.recall(STEP, "creating")?.unwrap_or_default();
        for database in &on_target.databases {
            if !creating.databases.contains(&database.name) && there.contains(&database.name) {
                creating.databases_before.insert(database.name.clone());
            }
        }
        creating.databases.extend(on_target.databases.iter().map(|database| database.name.clone()));
        creating.tables.extend(on_target.tables.iter().map(|table| table.name.clone()));
        ctx.journal.record(STEP, "creating", &creating)?;

        bring_in_line(ctx, &mut source, &mut target, &catalog).await?;
        source.close().await;
        target.close().await;
        Ok(())
    }

    async fn verify(&self, ctx: &Context) -> Result<()> {
        // Of the target alone: the source lives on, and what changes there is brought in line before its
        // rows are read.
        let mut target = ctx.target().await?;
        settle_reader(&mut target).await?;
        let made = remembered::read(&mut target, &ctx.plan()?.migration).await?;
        let databases = made.tables.keys().map(|name| name.database.clone()).collect();
        let existing = base_tables(&mut target, &databases).await?;
        for (name, remembered) in &made.tables {
            let missing = || {
                Error::new(Kind::Different, "a table that was made is not on the target")
                    .at(name)
                    .at(target.place())
                    .next("`daybreak resume` makes it again")
            };
            if !existing.contains(name) || remembered.hash.is_empty() {
                return Err(missing());
            }
        }
        each_definition(ctx, &mut target, &made.tables, |target, name, remembered, found| {
            let wanted = CreateTable::parse(&remembered.definition)?;
            let lean = wanted.without_secondary();
            let found = comparable(ctx, target, found);
            // Small tables have their keys already, and after the step `indexes` all have all.
            let forms = [&lean, &wanted.without_foreign_keys(), &wanted];
            match forms.into_iter().any(|form| comparable(ctx, target, form) == found) {
                true => Ok(()),
                false => Err(different(name, &comparable(ctx, target, &lean), &found)),
            }
        })
        .await?;
        target.close().await;
        Ok(())
    }

    async fn undo(&self, ctx: &Context) -> Result<()> {
        // Without the checkpoint nothing was made.
        let Some(creating) = ctx.journal.recall::<Creating>(STEP, "creating")? else {
            return Ok(());
        };
        let mut target = ctx.target().await?;
        settle_writer(&mut target).await?;
        let made = remembered::read(&mut target, &ctx.plan()?.migration).await?;
        for name in made.tables.keys() {
            super::drop_table(&mut target, name).await?;
        }
        let there = databases(&mut target).await?;
        for database in &made.databases {
            if !there.contains(database) || creating.databases_before.contains(database) {
                continue;
            }
            let left = contents(&mut target, database).await?;
            if left.is_empty() {
                target.execute(format!("DROP DATABASE IF EXISTS {}", quote(database))).await?;
            } else {
                ctx.events.warn(format!(
                    "database {database} stays on the target: it holds what this migration didn't \
                     make ({})",
                    names(left).join(", ")
                ));
            }
        }
        register::leave(&mut target, &ctx.plan()?.migration).await?;
        target.close().await;
        Ok(())
    }
}

/// The first line in which two normalised definitions differ, as an error.
pub(crate) fn different(name: &TableName, wanted: &str, found: &str) -> Error {
    let (wanted_lines, found_lines): (Vec<&str>, Vec<&str>) =
        (wanted.lines().collect(), found.lines().collect());
    let missing = wanted_lines.iter().find(|line| !found_lines.contains(line));
    let extra = found_lines.iter().find(|line| !wanted_lines.contains(line));
    let what = match (missing, extra) {
        (Some(missing), Some(extra)) => format!("wanted `{missing}`, found `{extra}`"),
        (Some(missing), None) => format!("`{missing}` is missing"),
        (None, Some(extra)) => format!("`{extra}` is too much"),
        (None, None) => "the order of columns differs".to_string(),
    };
    Error::new(Kind::Different, format!("the target's definition isn't the source's: {what}"))
        .at(name)
        .next("compare SHOW CREATE TABLE on both sides; `daybreak undo` takes the tables back")
}

/// What a database holds.
async fn contents(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let name = quote_text(database);
    let mut left = Vec::new();
    for row in session
        .rows(format!(
            "SELECT TABLE_NAME AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name} \
             UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name} \
             UNION ALL SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}"
        ))
        .await?
    {
        left.push(session.field::<String>(&row, "n")?);
    }
    Ok(left)
}

/// Databases that are there with other defaults than the source's.
async fn database_defaults(
    target: &mut Session,
    catalog: &Catalog,
    made: &remembered::Memory,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let rows = target
        .rows("SELECT SCHEMA_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA")
        .await?;
    for row in rows {
        let name: String = target.field(&row, "SCHEMA_NAME")?;
        let collation: String = target.field(&row, "DEFAULT_COLLATION_NAME")?;
        let Some(wanted) = catalog.databases.iter().find(|database| database.name == name) else {
            continue;
        };
        if made.databases.contains(&name) || same_collation(&wanted.collation, &collation) {
            continue;
        }
        findings.push(Finding {
            id: "target.database_collation".into(),
            severity: Severity::Warning,
            why: format!(
                "database {name} is on the target with collation {collation}, at the source it has \
                 {}: tables and routines that are made later would differ",
                wanted.collation
            ),
            remedy: format!(
                "ALTER DATABASE {} CHARACTER SET {} COLLATE {}",
                quote(&name),
                wanted.charset,
                wanted.collation
            ),
            objects: vec![name],
        });
    }
    Ok(findings)
}

/// `utf8_x` and `utf8mb3_x` are one.
fn same_collation(a: &str, b: &str) -> bool {
    plain(a) == plain(b)
}

/// One name for a collation that versions call differently.
fn plain(collation: &str) -> String {
    charset::modern(&collation.to_ascii_lowercase())
}

/// Tables without a key, where the target would give them one or refuse them.
async fn keyless(target: &mut Session, catalog: &Catalog) -> Result<Vec<Finding>> {
    let keyless: Vec<&TableName> = catalog
        .tables
        .iter()
        .filter(|table| table.primary_key().is_none())
        .map(|table| &table.name)
        .collect();
    if keyless.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for (variable, why) in [
        (
            "sql_generate_invisible_primary_key",
            "the target would give tables without a primary key a hidden one, so that they would no \
             longer be the source's",
        ),
        ("sql_require_primary_key", "the target refuses tables without a primary key"),
    ] {
        let row = target
            .rows_with("SHOW SESSION VARIABLES WHERE Variable_name = ?", (variable,))
            .await?
            .into_iter()
            .next();
        let value = match row {
            Some(row) => target.column::<String>(&row, 1)?,
            None => None,
        };
        if value.as_deref() == Some("ON") {
            findings.push(Finding {
                id: format!("target.{variable}"),
                severity: Severity::Blocker,
                objects: names(keyless.iter()),
                why: why.into(),
                remedy: format!(
                    "set {variable} to OFF in the target's parameter group (or SET GLOBAL) until the \
                     migration is done, or give the tables a primary key at the source"
                ),
            });
        }
    }
    Ok(findings)
}

/// Collations in use that the target doesn't know.
async fn collations(target: &mut Session, catalog: &Catalog) -> Result<Vec<Finding>> {
    let mut known = BTreeSet::new();
    for row in target.rows("SELECT COLLATION_NAME FROM information_schema.COLLATIONS").await? {
        let name: String = target.field(&row, "COLLATION_NAME")?;
        known.insert(plain(&name));
    }
    // MariaDB 10.10+ lists its newer collations without the character set in front.
    let full = target
        .rows("SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
        .await;
    match full {
        Ok(rows) => {
            for row in rows {
                let name: String = target.column(&row, 0)?.unwrap_or_default();
                known.insert(plain(&name));
            }
        }
        // 1054: no such column elsewhere.
        Err(error) if error.code() == Some(1054) => {}
        Err(error) => return Err(error),
    }
    let mut used: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    let mut uses = |collation: &str, by: String| {
        let plain = plain(collation);
        if !known.contains(&plain) {
            used.entry(collation.to_string()).or_default().push(by);
        }
    };
    for database in &catalog.databases {
        uses(&database.collation, database.name.clone());
    }
    for table in &catalog.tables {
        if let Some(collation) = &table.collation {
            uses(collation, table.name.to_string());
        }
        for column in &table.columns {
            if let Some(collation) = &column.collation {
                uses(collation, format!("{}.{}", table.name, column.name));
            }
        }
    }
    Ok(used
        .into_iter()
        .map(|(collation, by)| Finding {
            id: "target.collation_unknown".into(),
            severity: Severity::Blocker,
            why: format!("the target doesn't know the collation {collation}"),
            remedy: "convert what uses it to a collation that both servers know (ALTER TABLE ... \
                     CONVERT TO CHARACTER SET ... COLLATE ...), or choose a newer target"
                .into(),
            objects: names(by),
        })
        .collect())
}

/// Tables of engines that the target refuses.
async fn engines(target: &mut Session, catalog: &Catalog) -> Result<Vec<Finding>> {
    let demands = adaptation(target).await?;
    let tables: Vec<&TableName> = catalog
        .tables
        .iter()
        .filter(|table| demands.refuses(&table.engine))
        .map(|table| &table.name)
        .collect();
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Finding {
        id: "target.engine".into(),
        severity: Severity::Warning,
        objects: names(tables),
        why: "the target refuses the storage engine of these tables: they become InnoDB there"
            .into(),
        remedy:
            "nothing, if that is wanted; else ALTER TABLE ... ENGINE=InnoDB at the source first, \
                 to see that it works"
                .into(),
    }])
}
