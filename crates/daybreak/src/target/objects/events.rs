//! Lets the events run on the target, once it takes the writes.

use super::{
    ObjectKind, ObjectName,
    create::under_settings,
    definition::{count_by_kind, in_client_charset, read},
    header, latest,
};
use crate::{
    engine::{Context, ReplicationMode},
    error::{Kind, Result},
    mysql::{Session, TableName, quote},
    target::schema::{selection, settle_reader},
};

/// Enables the events that were enabled at the source when they were read. Idempotent.
///
/// ALTER EVENT takes definer and settings of whoever runs it: each event is altered under its own.
pub async fn enable_events(ctx: &Context, target: &mut Session) -> Result<()> {
    let names: Vec<TableName> = latest(&ctx.journal, "events_to_enable")?.unwrap_or_default();
    settle_reader(target).await?;
    for name in &names {
        let event = ObjectName { kind: ObjectKind::Event, name: name.clone() };
        let object = match read(target, &event).await {
            Ok(object) => object,
            Err(error) if error.kind() == Kind::SnapshotLost => {
                ctx.events
                    .warn(format!("{event} is not on the target (any more), so it isn't enabled"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if object.enabled {
            continue;
        }
        let definer = header::definer(&object.sql).unwrap_or_else(|| "CURRENT_USER".to_string());
        // The database's name may not be sayable in the event's character set.
        target.execute(format!("USE {}", quote(&name.database))).await?;
        let sql = format!("ALTER DEFINER = {definer} EVENT {} ENABLE", quote(&name.name));
        let sql = in_client_charset(target, &object, sql.into_bytes()).await?;
        let altered = under_settings(target, &object, &sql).await;
        target
            .execute(
                "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
                 time_zone = '+00:00'",
            )
            .await?;
        target.execute("SET NAMES utf8mb4").await?;
        altered.map_err(|error| error.at(&event))?;
    }
    if ctx.plan()?.replication != ReplicationMode::Native {
        return Ok(());
    }
    // What came by replication was disabled by the server itself; whether it ran at the source isn't
    // known here.
    let there = count_by_kind(target, &selection(ctx)).await?;
    for name in there.get(&ObjectKind::Event).into_iter().flatten() {
        let event = ObjectName { kind: ObjectKind::Event, name: name.clone() };
        let object = read(target, &event).await?;
        let status = header::status(&object.printed).unwrap_or_default();
        if !names.contains(name) && status.contains("ON") {
            ctx.events.warn(format!(
                "{event} came by replication and is disabled: if it shall run, ALTER EVENT {} ENABLE",
                name.sql()
            ));
        }
    }
    Ok(())
}
