//! By what replication would keep its place: GTID auto position, or file and offset.

use serde::{Deserialize, Serialize};

use super::{facts::ServerFacts, landing::Landing};
use crate::{engine::PositionBy, mysql::Product, source::grants::Scope};

/// A way to keep the place, and why it is that one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The way.
    pub by: PositionBy,
    /// Why.
    pub reason: String,
}

/// Chooses by what both servers can, unless it is prescribed.
pub(super) fn choose(
    source: &ServerFacts,
    target: &Landing,
    prescribed: Option<PositionBy>,
    to_aurora: bool,
) -> Position {
    if let Some(by) = prescribed {
        return Position { by, reason: "replication.position says so".into() };
    }
    match why_not_gtid(source, target, to_aurora) {
        None => Position {
            by: PositionBy::Gtid,
            reason: "gtid_mode is ON on both servers, and the target's gtid_purged can be set"
                .into(),
        },
        Some(reason) => Position { by: PositionBy::File, reason },
    }
}

/// Why GTID auto position is no way here; none if it is.
pub(super) fn why_not_gtid(
    source: &ServerFacts,
    target: &Landing,
    to_aurora: bool,
) -> Option<String> {
    for (side, facts) in [("source", source), ("target", &target.facts)] {
        if facts.dialect.product == Product::Mariadb {
            return Some(format!("the {side} is MariaDB, whose GTIDs are of another kind"));
        }
    }
    for (side, facts) in [("source", source), ("target", &target.facts)] {
        if facts.gtid_mode() != "ON" {
            return Some(format!("gtid_mode is {} on the {side}", facts.gtid_mode()));
        }
    }
    if target.may_call("rds_gtid_purged") {
        return None;
    }
    if to_aurora {
        return Some(
            "the target has no procedure mysql.rds_gtid_purged (Aurora 3.04+), so that its \
             gtid_purged can't be set"
                .into(),
        );
    }
    let may_set = target.grants.has_any(&["SYSTEM_VARIABLES_ADMIN", "SUPER"], Scope::Server);
    if !may_set {
        return Some(
            "the account may not set gtid_purged on the target (SYSTEM_VARIABLES_ADMIN)".into(),
        );
    }
    if !target.facts.dialect.mysql_from(8, 0, 0) {
        return Some("before MySQL 8.0 gtid_purged can be set on an unused server only".into());
    }
    None
}
