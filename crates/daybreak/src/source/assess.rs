//! Looks at the source, and at the target if there is one, and says what a migration would meet.
//!
//! Read-only, and safe on a busy server: `information_schema`, variables and small system tables, no
//! row of a user's table (but where a condition may leave out what foreign keys refer to), no lock, every
//! statement bounded in time. What can't be read for want of a
//! privilege is said, never taken for absent. It decides nothing: [`crate::route`] makes the plan,
//! [`super::preflight`] stops at blockers.

mod facts;
mod instance;
mod inventory;
mod landing;
mod not_migrated;
mod orphans;
mod position;
mod rules;
mod trial;
mod values;

use serde::{Deserialize, Serialize};

pub use facts::{Facts, ServerFacts, Totals};
pub use not_migrated::NotMigrated;
pub use position::Position;

use crate::{
    config::{Config, Definer, TargetKind},
    engine::{Finding, PositionBy, ReplicationMode, Route, Severity},
    error::{Error, Kind, Result},
    mysql::{Catalog, Dialect, Product, ServerUrl, Session, Side},
    select::Selection,
    source::grants::Grants,
    target::{
        objects::{Judged, ObjectName, judge, lacks, printed},
        schema::settle_reader,
    },
    transit::inspection::Profile,
};
use inventory::{Inventory, TableOptions};
use landing::Landing;
use orphans::Orphans;
pub(crate) use rules::grant_statement;
use trial::Trial;
use values::OddValues;

/// The rate that the estimate of the copy assumes, in bytes a second.
///
/// Source: facts of the rehearsal machine (2 cores, loading with keys deferred); the target is what
/// limits it, so that a larger one is faster.
const COPY_RATE: u64 = 20 * 1_048_576;

/// The finding that says that native replication can't serve this pair of servers at all.
pub(crate) const NO_REPLICATION: &str = "replication.products";

/// The finding that says that native replication would bring other rows or columns than those that are taken.
pub(crate) const NO_FILTERS: &str = "replication.filters";

/// The finding that says what wasn't looked at for want of a target.
pub(crate) const NOT_ASKED: &str = "target.not_asked";

/// What the rows are to land on.
#[derive(Debug, Clone)]
pub enum TargetSpec {
    /// A server that can be asked.
    Url(Box<ServerUrl>),
    /// Only a version: `8.0.42`, `8.4`, Aurora's `3.10.0` or `8.0.mysql_aurora.3.10.0`.
    Version(String),
    /// Not known yet: Aurora, of whatever version.
    None,
}

/// What is wanted of the migration, as far as it bears on the findings.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// What is taken.
    pub selection: Selection,
    /// How changes follow.
    pub mode: ReplicationMode,
    /// By what replication keeps its place, if that is prescribed.
    pub position: Option<PositionBy>,
    /// Whether an existing replication account is used, so that none is made.
    pub replication_account: bool,
    /// Its name.
    pub replication_user: Option<String>,
    /// Whether the replica's connection uses TLS.
    pub replication_tls: bool,
    /// Whether the address of the source as the target reaches it is given.
    pub source_address: bool,
    /// Whether a heartbeat row is written at the source.
    pub heartbeat: bool,
    /// What becomes of definers.
    pub definer: Definer,
    /// Whose procedures the target has, if that is prescribed.
    pub target_kind: Option<TargetKind>,
    /// On the physical route: by whose rules a backup is judged. None: rows are copied.
    pub restored_by: Option<Profile>,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes {
            selection: Selection::default(),
            mode: ReplicationMode::Native,
            position: None,
            replication_account: false,
            replication_user: None,
            replication_tls: false,
            source_address: false,
            heartbeat: true,
            definer: Definer::Keep,
            target_kind: None,
            restored_by: None,
        }
    }
}

impl Wishes {
    /// What a configuration says.
    pub fn of(config: &Config) -> Self {
        Wishes {
            selection: config.select.clone(),
            mode: config.replication.mode,
            position: config.replication.position,
            replication_account: config.replication.user.is_some(),
            replication_user: config.replication.user.clone(),
            replication_tls: config.replication.tls,
            source_address: config.replication.source_host.is_some(),
            heartbeat: config.replication.heartbeat,
            definer: config.copy.definer,
            target_kind: config.target_kind,
            restored_by: None,
        }
    }

    /// What a configuration says, for a route.
    pub fn by(config: &Config, route: Route) -> Self {
        let restored_by = (route == Route::Physical).then_some(config.backup.rules);
        Wishes { restored_by, ..Wishes::of(config) }
    }
}

/// A route, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The route.
    pub route: Route,
    /// Why, in one or two sentences.
    pub reason: String,
}

/// What to expect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Rows, by the server's own estimate.
    pub rows: u64,
    /// Bytes of data without indexes, likewise.
    pub bytes: u64,
    /// The rate assumed for the copy.
    pub bytes_per_second: u64,
    /// How long the copy would take at that rate, indexes left out.
    pub copy_seconds: u64,
}

/// All that was seen, and what follows from it. The JSON form is stable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assessment {
    /// What the servers are.
    pub facts: Facts,
    /// What stands in the way or may surprise: blockers first.
    pub findings: Vec<Finding>,
    /// What daybreak doesn't bring to the target, by name.
    pub not_migrated: Vec<NotMigrated>,
    /// The route to take.
    pub route: Recommendation,
    /// What to expect.
    pub estimates: Estimates,
    /// By what replication would keep its place; none where it isn't wanted or no target is known.
    pub position: Option<Position>,
}

impl Assessment {
    /// The findings that keep a migration from starting.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }

    /// What is otherwise by a route: the physical one makes the target, and brings accounts as well; which
    /// of them it can't is known when they are made.
    pub fn on_route(&mut self, route: Route) {
        if route == Route::Physical {
            self.not_migrated.retain(|one| one.kind != "account");
            self.findings.retain(|one| one.id != NOT_ASKED);
            self.route = Recommendation {
                route,
                reason: "asked for: a physical backup is restored as a new cluster; replication begins at \
                         the backup's file and position"
                    .into(),
            };
        }
    }

    /// The facts for a person, line by line.
    pub fn fact_lines(&self) -> Vec<String> {
        let mut lines = self.facts.lines();
        if let Some(position) = &self.position {
            let by = match position.by {
                PositionBy::Gtid => "GTID auto position",
                PositionBy::File => "file and offset",
            };
            lines.push(format!("replication by {by}: {}", position.reason));
        }
        lines
    }
}

/// All that was read of both servers, before any rule looked at it.
pub(crate) struct Survey {
    source: SourceSide,
    target: Option<TargetSide>,
    wishes: Wishes,
}

struct SourceSide {
    url: ServerUrl,
    facts: ServerFacts,
    grants: Grants,
    catalog: Catalog,
    inventory: Inventory,
    orphans: Vec<Orphans>,
    /// Columns whose values no definition tells of.
    odd_values: Vec<OddValues>,
    /// What renames mean for views, routines, triggers and events; nothing without renames.
    judged: Vec<(ObjectName, Judged)>,
    /// The same of columns that are left out.
    lacking: Vec<(ObjectName, Judged)>,
}

struct TargetSide {
    dialect: Dialect,
    /// None when only a version is known.
    landing: Option<Landing>,
    /// What it made of the source's definitions, where it is of the other product.
    trial: Option<Trial>,
}

impl Survey {
    /// Reads both servers.
    pub(crate) async fn take(
        source: &ServerUrl,
        target: &TargetSpec,
        wishes: Wishes,
    ) -> Result<Self> {
        let mut session = Session::open(source, Side::Source).await?;
        bound(&mut session).await?;
        let facts = ServerFacts::read(&mut session, source).await?;
        let grants = Grants::read(&mut session).await?;
        let catalog = Catalog::read(&mut session, &wishes.selection).await?;
        let inventory = Inventory::read(&mut session, &wishes.selection).await?;
        let orphans = orphans::read(&mut session, &catalog).await?;
        let (mut judged, mut lacking) = (Vec::new(), Vec::new());
        let Selection { renames, exclude_columns, .. } = &wishes.selection;
        if !(renames.is_empty() && exclude_columns.is_empty()) {
            settle_reader(&mut session).await?;
            for object in printed(&mut session, &wishes.selection).await? {
                lacking.push((object.name.clone(), lacks(&object, &wishes.selection)));
                let found = judge(&object, &wishes.selection);
                judged.push((object.name, found));
            }
        }
        let target = match target {
            TargetSpec::Url(url) => {
                let mut on_target = Session::open(url, Side::Target).await?;
                bound(&mut on_target).await?;
                let landing = Landing::read(
                    &mut on_target,
                    url,
                    &catalog.on_target(&wishes.selection),
                    &inventory,
                )
                .await?;
                let dialect = on_target.dialect().clone();
                let mut trial = None;
                if dialect.product != facts.dialect.product {
                    let mut tried = Trial::read(&mut session, &catalog, &wishes.selection).await?;
                    tried.run(&mut on_target, &facts.dialect, &inventory).await?;
                    trial = Some(tried);
                }
                on_target.close().await;
                Some(TargetSide { dialect, landing: Some(landing), trial })
            }
            TargetSpec::Version(text) => {
                Some(TargetSide { dialect: version(text)?, landing: None, trial: None })
            }
            TargetSpec::None => None,
        };
        let odd_values = match &wishes.restored_by {
            Some(_) => Vec::new(),
            None => {
                let dialect = target.as_ref().map(|target| &target.dialect);
                values::read(&mut session, &catalog, dialect).await?
            }
        };
        session.close().await;
        let url = source.clone();
        let source = SourceSide {
            url,
            facts,
            grants,
            catalog,
            inventory,
            orphans,
            odd_values,
            judged,
            lacking,
        };
        Ok(Survey { source, target, wishes })
    }

    /// The tables of which something holds.
    fn tables_with(&self, holds: impl Fn(&TableOptions) -> bool) -> Vec<String> {
        let tables = self.source.inventory.tables.iter();
        tables.filter(|(_, table)| holds(table)).map(|(name, _)| name.to_string()).collect()
    }

    /// Tables outside the data directory; the files of those whose definition doesn't say so.
    fn elsewhere(&self) -> Vec<String> {
        let mut found = self.tables_with(|table| table.options.contains("data directory="));
        for file in self.source.inventory.server.elsewhere.iter().flatten() {
            let path = file.strip_suffix(".ibd").unwrap_or(file);
            let mut parts = path.rsplit('/');
            let table = parts.next().and_then(|table| table.split('#').next()).unwrap_or_default();
            let name = format!("{}.{table}", parts.next().unwrap_or_default());
            if !found.contains(&name) {
                found.push(file.clone());
            }
        }
        found
    }

    /// What is selected of the source.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.source.catalog
    }

    /// What follows from it.
    pub(crate) fn judge(&self) -> Assessment {
        let estimates = self.estimates();
        Assessment {
            facts: Facts {
                source: self.source.facts.clone(),
                target: self.landing().map(|landing| landing.facts.clone()),
                target_version: self.target.as_ref().map(|target| target.dialect.to_string()),
                totals: Totals::of(&self.source.catalog, &self.source.inventory),
            },
            findings: rules::apply(self, &estimates),
            not_migrated: not_migrated::list(self),
            route: self.recommend(),
            position: self.position(),
            estimates,
        }
    }

    fn native(&self) -> bool {
        self.wishes.mode == ReplicationMode::Native
    }

    fn landing(&self) -> Option<&Landing> {
        self.target.as_ref().and_then(|target| target.landing.as_ref())
    }

    fn trial(&self) -> Option<&Trial> {
        self.target.as_ref().and_then(|target| target.trial.as_ref())
    }

    /// Whether the rows land on Aurora, or on what acts like it. Not knowing counts as yes.
    fn to_aurora(&self) -> bool {
        match (self.wishes.target_kind, &self.target) {
            (Some(kind), _) => kind == TargetKind::Aurora,
            (None, None) => true,
            (None, Some(target)) => {
                target.dialect.aurora.is_some()
                    || target.landing.as_ref().is_some_and(Landing::has_rds_procedures)
            }
        }
    }

    fn position(&self) -> Option<Position> {
        let landing = self.landing()?;
        self.native().then(|| {
            position::choose(&self.source.facts, landing, self.wishes.position, self.to_aurora())
        })
    }

    /// Why native replication can't serve this pair of servers; none where it can, or no target is known.
    ///
    /// Source: tried with the servers of the rehearsal (MariaDB 10.11, MySQL 9.7): rows of MariaDB stop MySQL
    /// with 13121. MariaDB logs in at MySQL with a plugin that Debian's package lacks; given that, it stops
    /// with error 22 at the first BEGIN of a session in MySQL's default collation, utf8mb4_0900_ai_ci.
    fn no_replication(&self) -> Option<&'static str> {
        let (from, to) = (&self.source.facts.dialect, &self.target.as_ref()?.dialect);
        match from.product {
            _ if from.product == to.product => None,
            Product::Mariadb => Some("MySQL can't apply MariaDB's row events (error 13121)"),
            Product::Mysql if from.mysql_from(8, 0, 0) => Some(
                "MariaDB can't follow a binary log of MySQL 8.0 or newer: it can't log in with \
                     caching_sha2_password, and stops at the first session in a collation that it lacks (error 22)",
            ),
            // 5.x to MariaDB works.
            Product::Mysql => None,
        }
    }

    fn estimates(&self) -> Estimates {
        let tables = &self.source.catalog.tables;
        let bytes: u64 = tables.iter().map(|table| table.data_bytes).sum();
        Estimates {
            rows: tables.iter().map(|table| table.rows_estimate).sum(),
            bytes,
            bytes_per_second: COPY_RATE,
            copy_seconds: bytes.div_ceil(COPY_RATE),
        }
    }

    fn recommend(&self) -> Recommendation {
        let facts = &self.source.facts;
        let restorable =
            !facts.managed && facts.dialect.aurora.is_none() && rules::is_restorable(self);
        let reason = by_rows(restorable && self.to_aurora());
        let reason = match self.no_replication() {
            Some(_) if self.native() => format!(
                "{reason}. Accept a downtime (mode = \"none\" in [replication]): writes stop for the copy, since \
                 native replication can't follow here"
            ),
            _ => reason,
        };
        Recommendation { route: Route::Logical, reason }
    }
}

/// Why rows are copied; `restorable`: Aurora would restore a physical backup as well.
fn by_rows(restorable: bool) -> String {
    let base = "rows are read from the source and loaded into the target; works for any \
                MySQL-compatible source and an existing target";
    match restorable {
        true => format!(
            "{base}. A physical backup suits this source too, and takes less time where there is much data: it \
             is restored as a new cluster (`daybreak assess --route physical`, `daybreak plan --route \
             physical`, on the source's host)"
        ),
        false => base.to_string(),
    }
}

/// Assesses a migration.
///
/// # Errors
/// When a server can't be reached, or refuses what everyone may read.
pub async fn assess(
    source: &ServerUrl,
    target: &TargetSpec,
    wishes: &Wishes,
) -> Result<Assessment> {
    Ok(Survey::take(source, target, wishes.clone()).await?.judge())
}

/// Bounds every statement of a session: a server in trouble isn't kept busy by being looked at.
async fn bound(session: &mut Session) -> Result<()> {
    session.execute("SET SESSION lock_wait_timeout = 5").await?;
    if session.dialect().is_mariadb() {
        session.execute("SET SESSION max_statement_time = 300").await?;
    } else if session.dialect().mysql_from(5, 7, 8) {
        session.execute("SET SESSION max_execution_time = 300000").await?;
    }
    Ok(())
}

/// Reads the version of a target that isn't there yet.
///
/// Source: Aurora MySQL release notes: versions 1, 2 and 3 are compatible with 5.6, 5.7 and 8.0; from 8.4
/// on Aurora's version is MySQL's.
fn version(text: &str) -> Result<Dialect> {
    let trimmed = text.trim();
    let wrong = || {
        Error::new(Kind::Usage, format!("{text:?} isn't a version of a target"))
            .next("write a MySQL version (8.0.42, 8.4.7), an Aurora one (3.10.0, 8.0.mysql_aurora.3.10.0) or a MariaDB one (10.11.6-MariaDB)")
    };
    let aurora = |of: &str| {
        let mysql = match of.split('.').next() {
            Some("1") => "5.6.10",
            Some("2") => "5.7.12",
            Some("3") => "8.0.39",
            _ => return None,
        };
        Some(Dialect::read(mysql, Some(of.to_string())))
    };
    if let Some((_, of)) = trimmed.split_once("mysql_aurora.") {
        return aurora(of).ok_or_else(wrong);
    }
    let dialect = Dialect::read(trimmed, None);
    match dialect.version {
        (1..=3, ..) => aurora(trimmed).ok_or_else(wrong),
        (0, ..) | (4, ..) => Err(wrong()),
        (5, 0..=4, _) => Err(wrong()),
        _ => Ok(dialect),
    }
}

#[cfg(test)]
mod tests {
    use super::{by_rows, version};

    /// What this version has isn't denied.
    #[test]
    fn both_routes_are_told_of() {
        assert!(by_rows(true).contains("`daybreak plan --route physical`"));
        assert!(!by_rows(true).contains("only") && !by_rows(false).contains("physical"));
    }

    #[test]
    fn versions_of_targets() {
        let aurora = version("8.0.mysql_aurora.3.10.0").unwrap();
        assert_eq!((aurora.version.0, aurora.aurora.as_deref()), (8, Some("3.10.0")));
        assert_eq!(version("3.10").unwrap().version, (8, 0, 39));
        assert_eq!(version("8.4.7").unwrap().version, (8, 4, 7));
        assert!(version("10.11.6-MariaDB").unwrap().is_mariadb());
        for wrong in ["", "latest", "0.1", "4.1", "5.1.73"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }
}
