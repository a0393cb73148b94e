//! The plan: which route, which steps in which order, and what takes each back.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{config::Definer, select::Selection};

/// How the data get to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Rows are read from the source and loaded into the target.
    Logical,
    /// A physical backup goes to S3, and a new cluster is restored from it.
    Physical,
}

/// How changes made meanwhile get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicationMode {
    /// By the server's own replication.
    Native,
    /// Not at all: writes stop before the copy.
    None,
    /// Not at all, and writes go on: the target gets the snapshot and nothing after it. Only for
    /// `daybreak copy`, never for a migration.
    CopyOnly,
}

/// By what replication keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionBy {
    /// GTID auto position.
    Gtid,
    /// File and offset of the binary log.
    File,
}

/// Which source a plan was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The server's identity.
    pub server_uuid: String,
    /// Its version, as it writes it.
    pub version: String,
    /// The digest of what is selected.
    pub schema_digest: String,
}

/// A step, as the plan lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name.
    pub id: String,
    /// What it does.
    pub title: String,
    /// What takes it back.
    pub rollback: String,
}

/// What will be done, for which source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The migration's name: 8 hexadecimal digits, part of the names that it creates.
    pub migration: String,
    /// The route.
    pub route: Route,
    /// Why this route.
    pub reason: String,
    /// How changes follow.
    pub replication: ReplicationMode,
    /// By what, when they do.
    pub position: PositionBy,
    /// The source, for people: `user@host:port`, without a password.
    pub source: String,
    /// The target, likewise.
    pub target: String,
    /// What the source was.
    pub fingerprint: Fingerprint,
    /// The target server's identity; empty where the migration makes the target.
    pub target_uuid: String,
    /// What is taken.
    pub selection: Selection,
    /// What becomes of the DEFINER of objects.
    #[serde(default)]
    pub definer: Definer,
    /// The tables and the source's estimate of rows and bytes, largest first.
    pub tables: Vec<(String, u64, u64)>,
    /// Whether the backup of the physical route goes to S3 while it is taken.
    #[serde(default)]
    pub streamed: bool,
    /// The steps in order.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    /// The numbered checklist with the rollback of each step beside it, in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let rows: u64 = self.tables.iter().map(|table| table.1).sum();
        let bytes: u64 = self.tables.iter().map(|table| table.2).sum();
        // Writing into a String can't fail.
        let _ = writeln!(out, "# Migration {}\n", self.migration);
        let _ = writeln!(out, "- source: {} ({})", self.source, self.fingerprint.version);
        let _ = writeln!(out, "- target: {}", self.target);
        let _ = writeln!(
            out,
            "- route: {}, {}",
            match self.route {
                Route::Logical => "logical",
                Route::Physical => "physical",
            },
            match (self.replication, self.position) {
                (ReplicationMode::Native, PositionBy::Gtid) => "replication by GTID auto position",
                (ReplicationMode::Native, PositionBy::File) => {
                    "replication by binary log file and position"
                }
                (ReplicationMode::None, _) => "no replication: writes stop before the copy",
                (ReplicationMode::CopyOnly, _) => "a copy of one snapshot, nothing after it",
            }
        );
        let _ = writeln!(out, "- why: {}", self.reason);
        if self.route == Route::Logical {
            let _ = writeln!(
                out,
                "- accounts and grants aren't copied: make them on the target{}",
                match self.replication {
                    ReplicationMode::CopyOnly => "",
                    _ => " before the cutover",
                }
            );
        }
        for rename in &self.selection.renames {
            let _ = writeln!(out, "- {} is called {} on the target", rename.from, rename.to);
        }
        for filter in &self.selection.filters {
            let _ = writeln!(
                out,
                "- of {} only rows WHERE {}",
                filter.table,
                filter.condition.sql().replace('\n', " ")
            );
        }
        for column in &self.selection.exclude_columns {
            let _ = writeln!(out, "- not migrated: column {column}");
        }
        let _ = writeln!(
            out,
            "- {} tables, about {rows} rows, {:.1} MiB\n",
            self.tables.len(),
            bytes as f64 / 1_048_576.0
        );
        let _ = writeln!(out, "| # | step | does | rollback |\n|---|---|---|---|");
        for (at, step) in self.steps.iter().enumerate() {
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {} |",
                at + 1,
                step.id,
                step.title,
                step.rollback
            );
        }
        out
    }
}
