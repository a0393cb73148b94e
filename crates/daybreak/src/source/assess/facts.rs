//! What a server is: product, version, identity, and the variables that bear on a migration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::inventory::{Inventory, ObjectKind, optional};
use crate::{
    error::Result,
    mysql::{Catalog, Dialect, ServerUrl, Session},
};

/// The variables that are looked at, by the names of all versions.
const VARIABLES: [&str; 47] = [
    "basedir",
    "bind_address",
    "binlog_checksum",
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_transaction_compression",
    "character_set_server",
    "collation_server",
    "disabled_storage_engines",
    "enforce_gtid_consistency",
    "event_scheduler",
    "expire_logs_days",
    "explicit_defaults_for_timestamp",
    "gtid_mode",
    "innodb_data_file_path",
    "innodb_log_files_in_group",
    "innodb_page_size",
    "innodb_strict_mode",
    "local_infile",
    "log_bin",
    "log_bin_compress",
    "log_bin_trust_function_creators",
    "log_replica_updates",
    "log_slave_updates",
    "lower_case_table_names",
    "max_allowed_packet",
    "max_connections",
    "partial_revokes",
    "port",
    "read_only",
    "innodb_read_only",
    "require_secure_transport",
    "restrict_fk_on_non_standard_key",
    "server_id",
    "skip_networking",
    "sql_mode",
    "sql_generate_invisible_primary_key",
    "sql_require_primary_key",
    "super_read_only",
    "system_time_zone",
    "time_zone",
    "transaction_isolation",
    "tx_isolation",
    "version",
    "version_comment",
];

/// What both servers are, and how much there is to move.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// The source.
    pub source: ServerFacts,
    /// The target, if one could be asked.
    pub target: Option<ServerFacts>,
    /// The target's product and version, if they are known.
    pub target_version: Option<String>,
    /// What is selected.
    pub totals: Totals,
}

impl Facts {
    /// The facts for a person.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.source.describe("source", &mut lines);
        match (&self.target, &self.target_version) {
            (Some(target), _) => target.describe("target", &mut lines),
            (None, Some(version)) => lines.push(format!("target: {version} (not asked)")),
            (None, None) => {}
        }
        let totals = &self.totals;
        lines.push(format!(
            "selected: {} databases, {} tables, {} views, {} routines, {} triggers, {} events; \
             {:.1} MiB of data, {:.1} MiB of indexes",
            totals.databases,
            totals.tables,
            totals.views,
            totals.routines,
            totals.triggers,
            totals.events,
            totals.data_bytes as f64 / 1_048_576.0,
            totals.index_bytes as f64 / 1_048_576.0,
        ));
        lines
    }
}

/// What one server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `user@host:port`.
    pub place: String,
    /// Product and version.
    pub dialect: Dialect,
    /// Its identity.
    pub server_uuid: String,
    /// The account that the server took us for: `user@host`.
    pub account: String,
    /// The TLS version and cipher of our connection; none without TLS.
    pub tls: Option<String>,
    /// Whether it is a managed server (RDS, Aurora).
    pub managed: bool,
    /// RDS's own `binlog retention hours`, where there is such a setting; 0 is its NULL: purged as
    /// soon as possible.
    pub rds_binlog_retention_hours: Option<u64>,
    /// The global variables that bear on a migration, as the server writes them.
    pub variables: BTreeMap<String, String>,
}

impl ServerFacts {
    pub(super) async fn read(session: &mut Session, url: &ServerUrl) -> Result<Self> {
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        for row in session.rows("SHOW GLOBAL VARIABLES").await? {
            let name: String = session.column(&row, 0)?.unwrap_or_default();
            let name = name.to_ascii_lowercase();
            if VARIABLES.contains(&name.as_str()) {
                variables.insert(name, session.column(&row, 1)?.unwrap_or_default());
            }
        }
        let mut status: BTreeMap<String, String> = BTreeMap::new();
        for row in session
            .rows("SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')")
            .await?
        {
            let name: String = session.column(&row, 0)?.unwrap_or_default();
            status.insert(name, session.column::<String>(&row, 1)?.unwrap_or_default());
        }
        let cipher = status.get("Ssl_cipher").filter(|cipher| !cipher.is_empty());
        let tls = cipher.map(|cipher| {
            let version = status.get("Ssl_version").map_or("TLS", String::as_str);
            format!("{version} {cipher}")
        });
        let retention = optional(
            session,
            "SELECT CAST(value AS UNSIGNED) FROM mysql.rds_configuration \
             WHERE name = 'binlog retention hours'",
        )
        .await?;
        let rds_binlog_retention_hours = match retention.as_deref().and_then(<[_]>::first) {
            Some(row) => Some(session.column(row, 0)?.unwrap_or(0)),
            None => None,
        };
        let managed = rds_binlog_retention_hours.is_some()
            || session.dialect().aurora.is_some()
            || variables.get("basedir").is_some_and(|path| path.starts_with("/rdsdbbin"));
        Ok(ServerFacts {
            place: url.to_string(),
            dialect: session.dialect().clone(),
            server_uuid: session.server_uuid().await?,
            account: session.scalar("SELECT CURRENT_USER()").await?.unwrap_or_default(),
            tls,
            managed,
            rds_binlog_retention_hours,
            variables,
        })
    }

    fn describe(&self, side: &str, lines: &mut Vec<String>) {
        lines.push(format!(
            "{side}: {}, {}{}, server {} (id {})",
            self.place,
            self.dialect,
            if self.managed { " (managed)" } else { "" },
            self.server_uuid,
            self.variable("server_id"),
        ));
        lines.push(format!(
            "  account {}, {}",
            self.account,
            self.tls.as_deref().unwrap_or("no TLS")
        ));
        let log = if self.on("log_bin") == Some(true) {
            let kept = match self.binlog_kept_seconds() {
                Some(seconds) => super::rules::span(seconds),
                None => "ever".into(),
            };
            format!(
                "binary log {} {}, kept for {kept}",
                self.variable("binlog_format"),
                self.variable("binlog_row_image")
            )
        } else {
            "no binary log".to_string()
        };
        lines.push(format!("  {log}; gtid_mode {}", self.gtid_mode()));
        let shown =
            ["lower_case_table_names", "character_set_server", "time_zone", "max_allowed_packet"];
        let shown: Vec<String> =
            shown.iter().map(|name| format!("{name}={}", self.variable(name))).collect();
        lines.push(format!("  {}", shown.join(", ")));
    }

    /// A variable; empty if this server doesn't have it.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// Whether a switch is on; none if this server doesn't have it.
    pub fn on(&self, name: &str) -> Option<bool> {
        let value = self.variables.get(name)?;
        Some(matches!(value.to_ascii_uppercase().as_str(), "ON" | "1" | "YES" | "TRUE"))
    }

    /// A variable as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.variables.get(name)?.parse().ok()
    }

    /// `gtid_mode`, `OFF` where there is none.
    pub fn gtid_mode(&self) -> &str {
        match self.variable("gtid_mode") {
            "" => "OFF",
            mode => mode,
        }
    }

    /// How long the binary log is kept, in seconds; none for ever.
    pub fn binlog_kept_seconds(&self) -> Option<u64> {
        if let Some(hours) = self.rds_binlog_retention_hours {
            return Some(hours * 3600);
        }
        let seconds = self.number("binlog_expire_logs_seconds").unwrap_or(0);
        // Where both exist the finer one counts, unless it is 0. MariaDB's days may be fractions.
        let days = self.variable("expire_logs_days").parse::<f64>().unwrap_or(0.0);
        match (seconds, (days * 86_400.0) as u64) {
            (0, 0) => None,
            (0, seconds) | (seconds, _) => Some(seconds),
        }
    }

    /// The time zone that `NOW()` means by default.
    pub fn effective_time_zone(&self) -> &str {
        match self.variable("time_zone") {
            "SYSTEM" => self.variable("system_time_zone"),
            zone => zone,
        }
    }

    /// Whether what a replica applies is written to its own binary log.
    pub fn logs_replica_updates(&self) -> bool {
        self.on("log_replica_updates").or_else(|| self.on("log_slave_updates")).unwrap_or(false)
    }
}

/// How much is selected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Databases.
    pub databases: usize,
    /// Base tables.
    pub tables: usize,
    /// Views.
    pub views: usize,
    /// Procedures and functions.
    pub routines: usize,
    /// Triggers.
    pub triggers: usize,
    /// Events.
    pub events: usize,
    /// Rows, by the server's estimate.
    pub rows: u64,
    /// Bytes of data, likewise.
    pub data_bytes: u64,
    /// Bytes of indexes, likewise.
    pub index_bytes: u64,
}

impl Totals {
    pub(super) fn of(catalog: &Catalog, inventory: &Inventory) -> Self {
        let count = |kinds: &[ObjectKind]| {
            inventory.objects.iter().filter(|object| kinds.contains(&object.kind)).count()
        };
        Totals {
            databases: catalog.databases.len(),
            tables: catalog.tables.len(),
            views: count(&[ObjectKind::View]),
            routines: count(&[ObjectKind::Procedure, ObjectKind::Function]),
            triggers: count(&[ObjectKind::Trigger]),
            events: count(&[ObjectKind::Event]),
            rows: catalog.tables.iter().map(|table| table.rows_estimate).sum(),
            data_bytes: catalog.tables.iter().map(|table| table.data_bytes).sum(),
            index_bytes: inventory.tables.values().map(|table| table.index_bytes).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(variables: &[(&str, &str)]) -> ServerFacts {
        ServerFacts {
            place: "u@h:3306".into(),
            dialect: Dialect::read("8.0.36", None),
            server_uuid: "uuid".into(),
            account: "u@%".into(),
            tls: None,
            managed: false,
            rds_binlog_retention_hours: None,
            variables: variables
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }

    #[test]
    fn retention_has_many_names() {
        assert_eq!(facts(&[("expire_logs_days", "0")]).binlog_kept_seconds(), None);
        assert_eq!(facts(&[("expire_logs_days", "2")]).binlog_kept_seconds(), Some(172_800));
        assert_eq!(facts(&[("expire_logs_days", "0.5")]).binlog_kept_seconds(), Some(43_200));
        let both = facts(&[("expire_logs_days", "10"), ("binlog_expire_logs_seconds", "3600")]);
        assert_eq!(both.binlog_kept_seconds(), Some(3600));
        let mut rds = facts(&[("binlog_expire_logs_seconds", "2592000")]);
        rds.rds_binlog_retention_hours = Some(0);
        assert_eq!(rds.binlog_kept_seconds(), Some(0));
        rds.rds_binlog_retention_hours = Some(24);
        assert_eq!(rds.binlog_kept_seconds(), Some(86_400));
    }

    #[test]
    fn switches() {
        let facts = facts(&[("log_bin", "ON"), ("local_infile", "0"), ("time_zone", "SYSTEM")]);
        assert_eq!(
            (facts.on("log_bin"), facts.on("local_infile"), facts.on("x")),
            (Some(true), Some(false), None)
        );
        assert_eq!(facts.gtid_mode(), "OFF");
    }
}
