//! The names of what both sides hold, compared while writes are stopped: the last look for something
//! that never arrived. Owns no content; rows were compared by verification.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    engine::{Context, ReplicationMode},
    error::{Error, Kind, Result},
    mysql::{Session, TableName},
    select::Selection,
    target::{self, objects::NOT_CREATED, schema::databases},
};

/// Names by kind.
type Names = BTreeMap<&'static str, BTreeSet<String>>;

/// How many names an error lists.
const NAMED: usize = 5;

/// Compares the names of tables, views, routines, triggers and events of both sides, as the target has
/// them.
///
/// # Errors
/// `Different`, with the first names that one side lacks.
pub(super) async fn compare(
    context: &Context,
    source: &mut Session,
    target: &mut Session,
) -> Result<()> {
    let plan = context.plan()?;
    let selection = &plan.selection;
    let left_out = not_migrated(context, selection)?;
    let mut on_target = selection.on_target();
    if plan.replication != ReplicationMode::Native {
        // Others on the target are somebody else's.
        let taken =
            databases(source).await?.into_iter().filter(|name| selection.takes_database(name));
        on_target = on_target.within(taken.map(|name| selection.database_on_target(&name)));
    }
    // Both at once: writes are stopped.
    let (here, there) = tokio::try_join!(names(source, selection), names(target, &on_target))?;
    let mut differences = Vec::new();
    for kind in here.keys().chain(there.keys()).collect::<BTreeSet<_>>() {
        let empty = BTreeSet::new();
        let (here, there) = (here.get(kind).unwrap_or(&empty), there.get(kind).unwrap_or(&empty));
        for (missing, side) in [
            (here.difference(there).collect::<Vec<_>>(), "target"),
            (there.difference(here).collect(), "source"),
        ] {
            let missing: Vec<&str> = missing
                .into_iter()
                .map(String::as_str)
                .filter(|name| !left_out.contains(*name))
                .collect();
            if !missing.is_empty() {
                let more = missing.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let named = missing[..missing.len().min(NAMED)].join(", ");
                differences.push(format!("{kind} not on the {side}: {named}{more}"));
            }
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Different,
        format!("both sides don't hold the same objects: {}", differences.join("; ")),
    )
    .next("create or drop what differs, then `daybreak cutover` again"))
}

/// What was named as not migrated, in the form of [`names`].
fn not_migrated(context: &Context, selection: &Selection) -> Result<BTreeSet<String>> {
    let mut left_out = BTreeSet::new();
    let journal = &context.journal;
    let lists = [
        journal.recall::<Value>("preflight", "not_migrated")?,
        target::objects::latest::<Value>(journal, NOT_CREATED)?,
    ];
    for list in lists.into_iter().flatten() {
        for one in list.as_array().into_iter().flatten() {
            // No object, though a table's name may look the same.
            if one.get("kind").and_then(Value::as_str) == Some("column") {
                continue;
            }
            // Either says the name itself, or names an object that has one.
            let name = one.get("name").or_else(|| one.get("object")?.get("name"));
            let name = match name {
                Some(Value::String(name)) => name.clone(),
                Some(Value::Object(parts)) => {
                    let part = |key: &str| parts.get(key).and_then(Value::as_str).unwrap_or("");
                    format!("{}.{}", part("database"), part("name"))
                }
                _ => continue,
            };
            let name = name.replace('`', "");
            // Named as at the source, or as on the target: nothing else has either name.
            if let Some((database, rest)) = name.split_once('.') {
                let database = selection.database_on_target(database);
                left_out.insert(format!("{database}.{rest}").to_lowercase());
            }
            left_out.insert(name.to_lowercase());
        }
    }
    Ok(left_out)
}

async fn names(session: &mut Session, selection: &Selection) -> Result<Names> {
    let mut names = Names::new();
    for (sql, fixed) in [
        ("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES", None),
        (
            "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES",
            None,
        ),
        (
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, '' FROM information_schema.TRIGGERS",
            Some("triggers"),
        ),
        ("SELECT EVENT_SCHEMA, EVENT_NAME, '' FROM information_schema.EVENTS", Some("events")),
    ] {
        for row in session.rows(sql).await? {
            let text = |at| session.column::<String>(&row, at).map(Option::unwrap_or_default);
            let (database, name, kind) = (text(0)?, text(1)?, text(2)?);
            let kind = match (fixed, kind.to_ascii_uppercase().as_str()) {
                (Some(kind), _) => kind,
                (None, "VIEW") => "views",
                (None, "FUNCTION") => "functions",
                (None, "PROCEDURE") => "procedures",
                (None, "BASE TABLE" | "SYSTEM VERSIONED") => "tables",
                (None, _) => "other objects",
            };
            let taken = match kind {
                "tables" => selection.takes_table(&TableName::new(&database, &name)),
                _ => selection.takes_objects(&database),
            };
            if taken {
                // Servers may fold the case of names differently; what differs by case alone can't be
                // told apart by one of them anyway.
                let name = selection.table_on_target(&TableName::new(database, name));
                names.entry(kind).or_default().insert(name.to_string().to_lowercase());
            }
        }
    }
    Ok(names)
}
