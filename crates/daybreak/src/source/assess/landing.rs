//! What the target is and has: whether there is room for what comes, and what it would not take.

use std::collections::BTreeSet;

use super::{
    facts::ServerFacts,
    instance,
    inventory::{self, Inventory},
};
use crate::{
    error::Result,
    mysql::{Catalog, ServerUrl, Session, quote_text},
    source::grants::Grants,
    target::register::Found,
};

/// The target as it was found.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    pub url: ServerUrl,
    pub facts: ServerFacts,
    pub grants: Grants,
    /// Every collation, under the names that columns show.
    pub collations: BTreeSet<String>,
    /// The `mysql.rds_*` procedures.
    pub procedures: BTreeSet<String>,
    /// Databases of the selection that hold something already: what.
    pub occupied: Vec<String>,
    /// What it has of daybreak's.
    pub register: Found,
    /// The databases that are to come, by the names that they shall have there.
    pub coming: Vec<String>,
    /// Time zones of the source's events that the target doesn't know.
    pub unknown_zones: BTreeSet<String>,
    /// Whether named time zones are known at all.
    pub has_zones: bool,
    /// None without the privilege to ask.
    pub accounts: Option<BTreeSet<String>>,
    /// Accounts with SYSTEM_USER, whom only accounts with SYSTEM_USER may make a definer. None: as above.
    pub system_users: Option<BTreeSet<String>>,
    /// The hosts it replicates from; none without the privilege to ask.
    pub replicates_from: Option<Vec<String>>,
}

impl Landing {
    pub(super) async fn read(
        session: &mut Session,
        url: &ServerUrl,
        coming: &Catalog,
        inventory: &Inventory,
    ) -> Result<Self> {
        let facts = ServerFacts::read(session, url).await?;
        let grants = Grants::read(session).await?;
        let mut collations: BTreeSet<String> =
            inventory::names(session, "SELECT COLLATION_NAME FROM information_schema.COLLATIONS")
                .await?
                .into_iter()
                .collect();
        // MariaDB 10.10+ lists its newer collations without the character set in front.
        if let Some(rows) = inventory::optional(
            session,
            "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
        )
        .await?
        {
            for row in &rows {
                collations.extend(session.column::<String>(row, 0)?);
            }
        }
        let procedures = inventory::names(
            session,
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES \
             WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME LIKE 'rds\\_%'",
        )
        .await?
        .into_iter()
        .collect();
        let mut unknown_zones = BTreeSet::new();
        let zones: BTreeSet<&String> = inventory
            .objects
            .iter()
            .filter_map(|object| object.time_zone.as_ref())
            .filter(|zone| *zone != "SYSTEM")
            .collect();
        for zone in zones {
            if !knows_zone(session, zone).await? {
                unknown_zones.insert(zone.clone());
            }
        }
        let accounts = instance::accounts(session).await?.map(|accounts| {
            accounts.into_iter().map(|(user, host)| format!("{user}@{host}")).collect()
        });
        let system_users = inventory::list(
            session,
            "SELECT CONCAT(USER, '@', HOST) FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER'",
        )
        .await?
        .map(BTreeSet::from_iter);
        Ok(Landing {
            url: url.clone(),
            occupied: occupied(session, coming).await?,
            register: Found::read(session).await?,
            coming: coming.databases.iter().map(|database| database.name.clone()).collect(),
            has_zones: knows_zone(session, "Europe/Lisbon").await?,
            replicates_from: inventory::sources(session).await?,
            facts,
            grants,
            collations,
            procedures,
            unknown_zones,
            accounts,
            system_users,
        })
    }

    /// Whether it has the procedures by which Aurora replicates.
    pub(super) fn has_rds_procedures(&self) -> bool {
        self.procedures.iter().any(|name| name.starts_with("rds_set_external_"))
    }

    /// Whether a procedure is there and may be called.
    pub(super) fn may_call(&self, procedure: &str) -> bool {
        self.procedures.contains(procedure) && self.grants.may_execute("mysql", procedure)
    }
}

async fn knows_zone(session: &mut Session, zone: &str) -> Result<bool> {
    let known: Option<String> = session
        .scalar(format!(
            "SELECT CAST(CONVERT_TZ('2026-01-01 00:00:00', {}, '+00:00') AS CHAR)",
            quote_text(zone)
        ))
        .await?;
    Ok(known.is_some())
}

/// What the databases that are to come hold already: `shop: 3 tables`.
async fn occupied(session: &mut Session, catalog: &Catalog) -> Result<Vec<String>> {
    if catalog.databases.is_empty() {
        return Ok(Vec::new());
    }
    let taken: Vec<String> =
        catalog.databases.iter().map(|database| quote_text(&database.name)).collect();
    let within = format!("IN ({})", taken.join(", "));
    let mut occupied = Vec::new();
    for (what, view, column) in [
        ("tables and views", "TABLES", "TABLE_SCHEMA"),
        ("routines", "ROUTINES", "ROUTINE_SCHEMA"),
        ("events", "EVENTS", "EVENT_SCHEMA"),
    ] {
        for row in session
            .rows(format!(
                "SELECT {column} AS D, COUNT(*) AS N FROM information_schema.{view} \
                 WHERE {column} {within} GROUP BY {column} ORDER BY 1"
            ))
            .await?
        {
            let database: String = session.field(&row, "D")?;
            let count: u64 = session.field(&row, "N")?;
            occupied.push(format!("{database}: {count} {what}"));
        }
    }
    Ok(occupied)
}
