//! `daybreak`.`objects` on the target: routines, views, triggers and events as they were when the
//! rows were read.
//!
//! They are made later than the rows, but by then replication's starting point is fixed: what changed
//! at the source after it follows by replication, and would be there twice if it were read late.

use super::{
    ObjectName,
    definition::{Object, names, read},
    renamed::renamed,
};
use crate::{
    engine::{Context, StopSignal},
    error::{Error, Kind, Result},
    mysql::{Session, quote},
    select::{OWN_DATABASE, Selection},
    target::{
        objects::{NotCreated, ObjectKind},
        schema::selection,
    },
};

fn table() -> String {
    format!("{}.`objects`", quote(OWN_DATABASE))
}

/// Reads all objects of the source and keeps them on the target, in place of what was kept before.
pub(crate) async fn remember(
    ctx: &Context,
    source: &mut Session,
    target: &mut Session,
) -> Result<()> {
    let kept = gather(source, &selection(ctx), &ctx.stop).await?;
    keep(ctx, target, &kept).await
}

/// Reads all objects of the source, each in the form in which it is kept: as the target shall have it.
pub(super) async fn gather(
    source: &mut Session,
    selection: &Selection,
    stop: &StopSignal,
) -> Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for name in names(source, selection).await? {
        if name.kind == ObjectKind::Table {
            continue;
        }
        stop.check()?;
        match read(source, &name).await {
            Ok(object) => {
                let object = Kept::Object(Box::new(renamed(object, selection)?));
                kept.push(serde_json::to_string(&object)?);
            }
            // Dropped between the list and its turn.
            Err(error) if error.kind() == Kind::SnapshotLost => {}
            // A view that is broken at the source: the server can't even print it.
            Err(error) if name.kind == ObjectKind::View && error.kind() == Kind::Sql => {
                kept.push(serde_json::to_string(&Kept::Unreadable(NotCreated {
                    object: ObjectName { name: selection.table_on_target(&name.name), ..name },
                    why: error.causes().join(": "),
                }))?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

/// Keeps what was gathered on the target, in place of what was kept before.
pub(super) async fn keep(ctx: &Context, target: &mut Session, kept: &[String]) -> Result<()> {
    let plan = ctx.plan()?;
    let migration = plan.migration.as_str();
    target.execute(format!("CREATE DATABASE IF NOT EXISTS {}", quote(OWN_DATABASE))).await?;
    target
        .execute(format!(
            "CREATE TABLE IF NOT EXISTS {} (\
             migration CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
             position INT UNSIGNED NOT NULL, \
             body LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             PRIMARY KEY (migration, position)) ENGINE=InnoDB",
            table()
        ))
        .await?;
    // All or nothing: position 0 says that the reading is whole.
    target.execute("START TRANSACTION").await?;
    let written = write(target, migration, kept).await;
    match written {
        Ok(()) => target.execute("COMMIT").await.map(drop),
        Err(error) => {
            target.execute("ROLLBACK").await?;
            Err(error)
        }
    }
}

async fn write(target: &mut Session, migration: &str, kept: &[String]) -> Result<()> {
    let delete = format!("DELETE FROM {} WHERE migration = ?", table());
    target.execute_with(delete, (migration,)).await?;
    let sql = format!("INSERT INTO {} VALUES (?, ?, ?)", table());
    target.execute_with(sql.as_str(), (migration, 0u32, "")).await?;
    for (at, body) in kept.iter().enumerate() {
        let position = u32::try_from(at + 1)
            .map_err(|_| Error::new(Kind::Unsupported, "there are too many objects"))?;
        target.execute_with(sql.as_str(), (migration, position, body)).await?;
    }
    Ok(())
}

/// What is kept of an object.
#[derive(serde::Serialize, serde::Deserialize)]
enum Kept {
    Object(Box<Object>),
    Unreadable(NotCreated),
}

/// The objects as they were kept, in the order in which they must be made; none if nothing was kept
/// yet.
pub(super) async fn recall(
    ctx: &Context,
    target: &mut Session,
) -> Result<Option<(Vec<Object>, Vec<NotCreated>)>> {
    let sql = format!("SELECT position, body FROM {} WHERE migration = ? ORDER BY 1", table());
    let rows = match target.rows_with(sql, (&ctx.plan()?.migration,)).await {
        Ok(rows) => rows,
        Err(error) if matches!(error.code(), Some(1146 | 1049)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if rows.is_empty() {
        return Ok(None);
    }
    let (mut objects, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        if target.field::<u32>(&row, "position")? == 0 {
            continue;
        }
        match serde_json::from_str(&target.field::<String>(&row, "body")?)? {
            Kept::Object(object) => objects.push(*object),
            Kept::Unreadable(view) => unreadable.push(view),
        }
    }
    Ok(Some((objects, unreadable)))
}
