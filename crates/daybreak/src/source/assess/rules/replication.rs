//! Whether native replication can carry the changes: the binary log, identities, GTIDs, the way there.

use super::{
    super::{NO_FILTERS, Survey, position},
    Estimates, Findings, few, set_global, span, without_replication,
};
use crate::{
    engine::{PositionBy, Severity},
    mysql::Product,
    source::grants::Scope,
};

/// The binary log must be there, by rows, and hold everything.
pub(super) fn binary_log(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if !survey.native() {
        return;
    }
    let facts = &survey.source.facts;
    let inventory = &survey.source.inventory;
    if facts.on("log_bin") != Some(true) {
        out.blocker(
            "source.log_bin",
            vec!["log_bin".into()],
            "the source writes no binary log: changes made during the copy can't follow",
            if facts.dialect.aurora.is_some() {
                "set binlog_format = ROW in the cluster's parameter group and reboot the writer"
                    .to_string()
            } else if facts.managed {
                "set a backup retention above 0 days: that switches the binary log on".to_string()
            } else {
                format!(
                    "set log_bin = binlog and a server_id in my.cnf and restart; or {}",
                    without_replication(survey)
                )
            },
        );
        return;
    }
    let format = facts.variable("binlog_format");
    if !format.is_empty() && !format.eq_ignore_ascii_case("ROW") {
        out.blocker(
            "source.binlog_format",
            vec!["binlog_format".into()],
            format!("binlog_format is {format}: statements may change other rows on the target than at the source"),
            format!("{} Connections keep the old format until they end.", set_global(facts.managed, "binlog_format", "'ROW'")),
        );
    }
    let image = facts.variable("binlog_row_image");
    if !image.is_empty() && !image.eq_ignore_ascii_case("FULL") {
        out.warning(
            "source.binlog_row_image",
            vec!["binlog_row_image".into()],
            format!("binlog_row_image is {image}: rows of tables without a primary key may not be found on the \
                     target"),
            set_global(facts.managed, "binlog_row_image", "'FULL'"),
        );
    }
    let filters = &inventory.activity.binlog_filters;
    if !filters.is_empty() {
        out.blocker(
            "source.binlog_filters",
            filters.clone(),
            format!("the binary log leaves databases out ({})", filters.join(", ")),
            format!(
                "take the filter out of my.cnf and restart; or {}",
                without_replication(survey)
            ),
        );
    }
    let compressed = facts.on("binlog_transaction_compression") == Some(true);
    if let Some(target) = &survey.target
        && compressed
        && !target.dialect.mysql_from(8, 0, 20)
    {
        out.blocker(
            "source.binlog_transaction_compression",
            vec!["binlog_transaction_compression".into()],
            "the source compresses its binary log in a way that the target can't read (MySQL 8.0.20+)",
            set_global(facts.managed, "binlog_transaction_compression", "OFF"),
        );
    }
    if let Some(hosts) =
        inventory.activity.replicates_from.as_ref().filter(|hosts| !hosts.is_empty())
    {
        if facts.logs_replica_updates() {
            out.note(
                "source.is_replica",
                hosts.clone(),
                format!("the source is itself a replica of {}: writes must be stopped there at the cutover", hosts.join(", ")),
                "stop the writes of that server too before the cutover",
            );
        } else {
            out.blocker(
                "source.log_replica_updates",
                hosts.clone(),
                format!("the source is a replica of {} and doesn't log what it applies: those changes would be missed", hosts.join(", ")),
                "set log_replica_updates = ON (log_slave_updates) in my.cnf and restart; or migrate from the \
                 server that it replicates from",
            );
        }
    }
    read_only(survey, out);
}

/// The replication account and the heartbeat are writes.
fn read_only(survey: &Survey, out: &mut Findings) {
    let facts = &survey.source.facts;
    let strict = facts.on("super_read_only") == Some(true);
    let writes = survey.wishes.heartbeat || !survey.wishes.replication_account;
    let may = !strict
        && survey
            .source
            .grants
            .has_any(&["CONNECTION_ADMIN", "READ_ONLY ADMIN", "SUPER"], Scope::Server);
    if writes && facts.on("read_only") == Some(true) && !may {
        out.blocker(
            "source.read_only",
            vec![if strict { "super_read_only" } else { "read_only" }.to_string()],
            "the source is read-only: the replication account and the heartbeat can't be written there",
            "migrate from the server that takes the writes; or name an existing account in [replication] user \
             and set heartbeat = false",
        );
    }
}

/// How long the binary log is kept, against how long the copy takes.
pub(super) fn retention(survey: &Survey, estimates: &Estimates, out: &mut Findings) {
    let facts = &survey.source.facts;
    if !survey.native() || facts.on("log_bin") != Some(true) {
        return;
    }
    let Some(kept) = facts.binlog_kept_seconds() else { return };
    let copy = estimates.copy_seconds;
    // The copy, indexes and a night's pause must fit.
    let (least, wanted) = (3_600.max(copy * 2), 86_400.max(copy * 4));
    let days = (wanted * 2).div_ceil(86_400).max(7);
    let remedy = if facts.rds_binlog_retention_hours.is_some() {
        format!(
            "CALL mysql.rds_set_configuration('binlog retention hours', {});",
            (days * 24).min(2_160)
        )
    } else if facts.variables.contains_key("binlog_expire_logs_seconds") {
        set_global(facts.managed, "binlog_expire_logs_seconds", &(days * 86_400).to_string())
    } else {
        set_global(facts.managed, "expire_logs_days", &days.to_string())
    };
    let (id, objects) = ("source.binlog_retention", vec!["binary log".to_string()]);
    let about = format!(
        "the source keeps its binary log for {}, and the copy may take about {}",
        if kept == 0 { "no time at all".into() } else { span(kept) },
        span(copy.max(60))
    );
    if kept < least {
        out.blocker(
            id,
            objects,
            format!("{about}: the target could miss changes (error 1236)"),
            remedy,
        );
    } else if kept < wanted {
        out.warning(id, objects, format!("{about}: a pause could outlast it"), remedy);
    }
}

/// Server ids.
pub(super) fn identities(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if !survey.native() {
        return;
    }
    let facts = &survey.source.facts;
    let id = facts.number("server_id").unwrap_or(0);
    if id == 0 {
        out.blocker(
            "source.server_id",
            vec!["server_id".into()],
            "server_id is 0 at the source: it serves no replica",
            "set a server_id of its own in my.cnf, and SET GLOBAL server_id = N;",
        );
        return;
    }
    let Some(landing) = survey.landing() else { return };
    if landing.facts.number("server_id") == Some(id)
        && landing.facts.server_uuid != facts.server_uuid
    {
        out.blocker(
            "replication.server_id",
            vec!["server_id".into()],
            format!("both servers have server_id {id}: a replica takes such changes for its own"),
            format!(
                "SET GLOBAL server_id = {}; on one of them, and the same in its my.cnf",
                id.wrapping_add(1)
            ),
        );
    }
}

/// GTID modes, and what they leave of the ways to keep the place.
///
/// Source: MySQL manual, *Replication Mode and GTIDs*; 13117 and 1781 seen with the rehearsal's servers.
pub(super) fn gtids(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let (Some(landing), Some(choice)) = (survey.landing(), survey.position()) else { return };
    let (source, target) = (&survey.source.facts, &landing.facts);
    if source.dialect.product == Product::Mariadb || target.dialect.product == Product::Mariadb {
        return;
    }
    let why_not = position::why_not_gtid(source, landing, survey.to_aurora());
    if let (PositionBy::Gtid, Some(reason)) = (choice.by, &why_not) {
        out.blocker(
            "replication.position",
            vec!["replication.position".into()],
            format!("GTID auto position is prescribed, but {reason}"),
            "position = \"auto\" or \"file\" in [replication]",
        );
        return;
    }
    let anonymous = source.gtid_mode().starts_with("OFF");
    let objects = || {
        vec![
            format!("source gtid_mode={}", source.gtid_mode()),
            format!("target gtid_mode={}", target.gtid_mode()),
        ]
    };
    if anonymous && target.gtid_mode() == "ON" {
        let at_source = if source.dialect.mysql_from(5, 7, 6) {
            "; or switch GTIDs on at the source, online: SET GLOBAL enforce_gtid_consistency = ON; then gtid_mode \
             OFF_PERMISSIVE, ON_PERMISSIVE, ON"
        } else {
            ""
        };
        out.blocker(
            "replication.gtid_mode",
            objects(),
            format!(
                "the source's transactions have no GTIDs, and a target with gtid_mode=ON takes none without (error \
                 13117{})",
                // Before 5.7 a transaction isn't even marked as one without a GTID.
                if source.dialect.mysql_from(5, 7, 0) {
                    ""
                } else {
                    "; with ASSIGN_GTIDS_TO_ANONYMOUS_TRANSACTIONS it is 1782"
                }
            ),
            if target.managed {
                format!("set gtid-mode = OFF_PERMISSIVE in the target's cluster parameter group and reboot its \
                         writer{at_source}")
            } else {
                format!("on the target: SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = \
                         OFF_PERMISSIVE;{at_source}")
            },
        );
    } else if !anonymous && target.gtid_mode() == "OFF" {
        out.blocker(
            "replication.gtid_mode",
            objects(),
            "the source's transactions have GTIDs, and a target with gtid_mode=OFF takes none with (error 1781)",
            if target.managed {
                "set gtid-mode = ON and enforce_gtid_consistency = ON in the target's cluster parameter group and \
                 reboot its writer"
                    .to_string()
            } else {
                "on the target: SET GLOBAL gtid_mode = OFF_PERMISSIVE;".to_string()
            },
        );
    } else if choice.by == PositionBy::File && survey.wishes.position.is_none() {
        out.note(
            "replication.position",
            objects(),
            format!("replication keeps its place by file and offset: {}", choice.reason),
            "nothing: it works as well, as long as the source isn't replaced by another server meanwhile",
        );
    }
}

/// Native replication carries everything, statements about accounts too.
pub(super) fn selection(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if !survey.native() {
        return;
    }
    let inventory = &survey.source.inventory;
    let selection = &survey.wishes.selection;
    let mut left: Vec<String> = inventory
        .databases
        .iter()
        .filter(|name| !selection.takes_database(name))
        .cloned()
        .collect();
    left.extend(
        inventory
            .left_out
            .iter()
            .filter(|table| selection.takes_database(&table.database))
            .map(ToString::to_string),
    );
    if !left.is_empty() {
        out.blocker(
            "replication.selection",
            left.clone(),
            format!("native replication carries the changes of every table, and breaks with 1146 at the first one \
                     on what isn't selected: {}", few(&left)),
            format!("select everything; or {}", without_replication(survey)),
        );
    }
    if !inventory.server.user_tables.is_empty() {
        out.warning(
            "replication.system_tables",
            inventory.server.user_tables.clone(),
            "tables of users in the server's own databases aren't migrated; a change there would stop replication \
             (1146)",
            "move them to a database of their own: RENAME TABLE ... TO ...;",
        );
    }
    anonymous_accounts(survey, out);
    let old = !survey.source.facts.dialect.mysql_from(5, 7, 0)
        && survey.source.facts.dialect.product == Product::Mysql;
    if old && survey.target.as_ref().is_some_and(|target| target.dialect.mysql_from(8, 0, 0)) {
        out.warning(
            "replication.account_statements",
            Vec::new(),
            "a statement about accounts that is run at the source during the migration stops replication: GRANT ... \
             IDENTIFIED BY and CREATE USER as MySQL 5.6 logs them aren't understood from MySQL 8.0 on (error 1064), \
             and GRANT makes no account there (1410). daybreak keeps its own account out of the binary log, or makes \
             it before the position from which the target reads",
            "make and change no accounts at the source until the cutover; if one was: the failure names the statement, \
             and how to skip it on the target",
        );
    }
}

/// Native replication knows no conditions, no other names, and all columns.
///
/// Source: MySQL manual, *Replication Filtering Options*, and Aurora User Guide, *Configuring replication
/// filters*: databases and tables can be filtered, rows and columns can't. MySQL manual, *Replication with
/// Differing Table Definitions*: rows are applied by the place of their columns, whatever these are called.
pub(super) fn filters(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let selection = &survey.wishes.selection;
    if !survey.native() {
        return;
    }
    let renamed: Vec<String> = selection
        .renames
        .iter()
        .map(|rename| format!("{} to {}", rename.from, rename.to))
        .collect();
    if !renamed.is_empty() {
        out.blocker(
            NO_FILTERS,
            renamed.clone(),
            format!(
                "native replication carries changes under the names that databases have at the source: the first one \
                 of a renamed database ({}) would stop it (1146). Aurora has no replicate-rewrite-db, and elsewhere that \
                 leaves statements as they are which name the database",
                few(&renamed)
            ),
            format!("leave the renames out; or {}", without_replication(survey)),
        );
    }
    let columns: Vec<String> = selection.exclude_columns.iter().map(ToString::to_string).collect();
    if !columns.is_empty() {
        out.blocker(
            NO_FILTERS,
            columns.clone(),
            format!(
                "native replication carries whole rows, and MySQL takes their columns by place: on a table without \
                 {} the values behind it would land in the wrong columns, or stop it (1677). Replication filters, \
                 Aurora's too, know databases and tables, and no columns",
                few(&columns)
            ),
            format!("take the columns too, and drop them on the target after the cutover; or {}", without_replication(survey)),
        );
    }
    if selection.filters.is_empty() {
        return;
    }
    let tables: Vec<String> =
        selection.filters.iter().map(|filter| filter.table.to_string()).collect();
    out.blocker(
        NO_FILTERS,
        tables.clone(),
        format!(
            "native replication carries every change of a table, also of the rows that a condition leaves out ({}): \
             they would arrive on the target, or stop it (1032) where it lacks them. Replication filters, Aurora's \
             too, know databases and tables, and no rows",
            few(&tables)
        ),
        format!("leave the conditions out; or {}", without_replication(survey)),
    );
}

/// Anonymous accounts, which catch logins that are meant for an account at `%`.
///
/// Source: MySQL manual, *Access Control, Stage 1*: the closest host is looked at first.
fn anonymous_accounts(survey: &Survey, out: &mut Findings) {
    let Some(accounts) = &survey.source.inventory.server.accounts else { return };
    let found: Vec<String> = accounts
        .iter()
        .filter(|(user, _)| user.is_empty())
        .map(|(_, host)| format!("''@'{host}'"))
        .collect();
    if found.is_empty() {
        return;
    }
    let why = "the source has anonymous accounts: they catch logins from their hosts that are meant for an account \
               at % (error 1045), since their host is closer";
    let drop: Vec<String> = found.iter().map(|account| format!("DROP USER {account};")).collect();
    let drop = drop.join(" ");
    if !survey.wishes.replication_account {
        out.note(
            "source.anonymous_account",
            found,
            format!("{why}. daybreak makes its replication account for those hosts too, and drops it there with the rest"),
            format!("none needed; nobody misses them as a rule: {drop}"),
        );
        return;
    }
    // Where the target reaches the source over loopback, `localhost` is what the source sees.
    let loopback = survey.source.url.is_local()
        && survey.landing().is_some_and(|landing| landing.url.is_local());
    let severity = if loopback { Severity::Blocker } else { Severity::Warning };
    let remedy =
        format!("{drop} or make the replication account of [replication] user for those hosts too");
    let own = survey.wishes.replication_user.as_ref().is_some_and(|user| {
        let at = |host: &String| accounts.iter().any(|(name, of)| name == user && of == host);
        accounts.iter().filter(|(name, _)| name.is_empty()).all(|(_, host)| at(host))
    });
    if !own {
        out.add(severity, "source.anonymous_account", found, why, remedy);
    }
}

/// The way from the target to the source.
pub(super) fn path(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if !survey.native() {
        return;
    }
    let facts = &survey.source.facts;
    let far = survey.landing().is_some_and(|landing| !landing.url.is_local());
    if far && survey.source.url.is_local() && !survey.wishes.source_address {
        out.blocker(
            "replication.source_host",
            vec![facts.place.clone()],
            "the target must connect to the source, and the source's address here means this machine only",
            "set source_host (and source_port) in [replication] to the source's address as the target sees it",
        );
    }
    if facts.on("skip_networking") == Some(true) {
        out.blocker(
            "source.skip_networking",
            vec!["skip_networking".into()],
            "the source takes no network connections, so that the target can't reach it",
            "take skip_networking out of my.cnf and restart",
        );
    } else if far && matches!(facts.variable("bind_address"), "127.0.0.1" | "::1" | "localhost") {
        out.blocker(
            "source.bind_address",
            vec!["bind_address".into()],
            format!(
                "the source listens on {} only, so that the target can't reach it",
                facts.variable("bind_address")
            ),
            "set bind_address to an address of its network in my.cnf and restart",
        );
    }
    if facts.on("require_secure_transport") == Some(true) && !survey.wishes.replication_tls {
        out.blocker(
            "source.require_secure_transport",
            vec!["require_secure_transport".into()],
            "the source refuses connections without TLS, and the replica's uses none",
            "tls = true in [replication] (on Aurora after CALL mysql.rds_import_binlog_ssl_material)",
        );
    }
}
