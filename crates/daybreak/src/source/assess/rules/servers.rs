//! What the two servers are to each other: versions, settings, room.

use super::{
    super::{NO_REPLICATION, NOT_ASKED, Survey},
    Estimates, Findings, set_global,
};
use crate::{
    mysql::{Dialect, Product},
    select::OWN_DATABASE,
    source::grants::Scope,
    transit::inspection::Profile,
};

/// A source that is its own target.
pub(super) fn same_server(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    if landing.facts.server_uuid == survey.source.facts.server_uuid {
        out.blocker(
            "target.same_server",
            vec![landing.facts.place.clone()],
            format!("source and target are the same server ({})", landing.facts.server_uuid),
            "give the target's own address with --target",
        );
    }
}

/// What nobody looked at, where no target could be asked.
pub(super) fn target_not_asked(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let (why, remedy) = match &survey.target {
        Some(target) if target.landing.is_some() => return,
        Some(target) => (
            format!(
                "of the target only the version is known ({}), so this wasn't looked at: which collations it has",
                target.dialect
            ),
            "once the target is there, give it: --target mysql://user@host:port/",
        ),
        None => (
            "no target was given, so this wasn't looked at: its version and collations".to_string(),
            "give it: --target mysql://user@host:port/, or --target-version V for what depends on its version alone",
        ),
    };
    out.note(
        NOT_ASKED,
        Vec::new(),
        format!(
            "{why}, whether it holds these databases already, its settings (read_only, local_infile, \
             log_bin_trust_function_creators, max_allowed_packet, lower_case_table_names), what its account may do, \
             whether it knows the definers, whether it replicates already, and by what replication would keep its place"
        ),
        remedy,
    );
}

/// MySQL's release series in order, which is the order in which replication supports them.
///
/// Source: MySQL manual, *Replication Compatibility Between MySQL Versions*: from one series to the next.
const SERIES: [(u16, u16); 6] = [(5, 5), (5, 6), (5, 7), (8, 0), (8, 4), (9, 0)];

fn series(dialect: &Dialect) -> usize {
    let (major, minor, _) = dialect.version;
    SERIES.iter().rposition(|series| *series <= (major, minor)).unwrap_or(0)
}

/// Versions: backwards is no way for replication, two series at once is out of what is supported.
pub(super) fn older_target(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(target) = &survey.target else { return };
    let (from, to) = (&survey.source.facts.dialect, &target.dialect);
    if from.product != to.product {
        return;
    }
    let line = |dialect: &Dialect| (dialect.version.0, dialect.version.1);
    let objects = vec![format!("source {from}"), format!("target {to}")];
    if line(to) < line(from) {
        let why = "the target's version is older than the source's";
        if survey.native() {
            out.blocker(
                "target.version",
                objects,
                format!("{why}: replication works from older to newer only"),
                "choose a target of the source's version or newer; or accept a downtime: \
                 mode = \"none\" in [replication]",
            );
        } else {
            out.warning(
                "target.version",
                objects,
                format!("{why}: what the newer version knows alone can't be created there"),
                "choose a target of the source's version or newer",
            );
        }
    } else if survey.native() && from.product == Product::Mysql && series(to) > series(from) + 1 {
        out.warning(
            "target.version",
            objects,
            "replication over more than one release series isn't supported by MySQL, though it works for \
             ordinary statements and rows",
            "rehearse it; avoid DDL and account statements at the source during the migration",
        );
    }
}

/// Pairs that native replication can't serve.
pub(super) fn not_mysql(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let (Some(target), Some(why)) = (&survey.target, survey.no_replication()) else { return };
    if !survey.native() {
        return;
    }
    out.blocker(
        NO_REPLICATION,
        vec![
            format!("source {}", survey.source.facts.dialect),
            format!("target {}", target.dialect),
        ],
        format!("native replication isn't possible: {why}"),
        "accept a downtime: mode = \"none\" in [replication]",
    );
}

/// Rows travel by LOAD DATA LOCAL.
pub(super) fn local_infile(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    if landing.facts.on("local_infile") == Some(false) {
        out.blocker(
            "target.local_infile",
            vec!["local_infile".into()],
            "local_infile is 0 on the target: rows are loaded with LOAD DATA LOCAL",
            set_global(landing.facts.managed, "local_infile", "1"),
        );
    }
}

/// `lower_case_table_names`, which can't be changed later.
pub(super) fn names_case(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let (from, to) = (
        survey.source.facts.variable("lower_case_table_names"),
        landing.facts.variable("lower_case_table_names"),
    );
    if from == to || to.is_empty() {
        return;
    }
    let upper = |name: &str| name.chars().any(char::is_uppercase);
    let mut mixed: Vec<String> = survey
        .source
        .catalog
        .databases
        .iter()
        .map(|database| database.name.clone())
        .filter(|name| upper(name))
        .collect();
    mixed.extend(
        survey
            .source
            .catalog
            .tables
            .iter()
            .filter(|table| upper(&table.name.name))
            .map(|table| table.name.to_string()),
    );
    let why = format!("lower_case_table_names is {from} on the source and {to} on the target");
    if mixed.is_empty() {
        out.warning(
            "target.lower_case_table_names",
            vec!["lower_case_table_names".into()],
            format!("{why}: statements that write names in another case find their tables on one side only"),
            "make the target with the source's value (fixed when a cluster is created), or see that the \
             application writes names in lower case",
        );
    } else {
        out.blocker(
            "target.lower_case_table_names",
            mixed,
            format!("{why}, and names with upper-case letters are in use"),
            format!("make a target with lower_case_table_names = {from} (in the parameter group when the \
                     cluster is created: it is fixed from then on), or rename these in lower case"),
        );
    }
}

/// New names that the target would write otherwise.
pub(super) fn renames_case(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let folds = landing.facts.number("lower_case_table_names").is_some_and(|value| value > 0);
    let renames = &survey.wishes.selection.renames;
    let upper: Vec<String> = renames
        .iter()
        .filter(|rename| folds && rename.to.chars().any(char::is_uppercase))
        .map(|rename| rename.to.clone())
        .collect();
    if !upper.is_empty() {
        out.blocker(
            "rename.case",
            upper,
            "lower_case_table_names isn't 0 on the target: it keeps no upper-case letters in names",
            "write the new names in lower case",
        );
    }
}

/// Packets that the target wouldn't take.
pub(super) fn packets(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let (Some(from), Some(to)) = (
        survey.source.facts.number("max_allowed_packet"),
        landing.facts.number("max_allowed_packet"),
    ) else {
        return;
    };
    if to < from {
        out.warning(
            "target.max_allowed_packet",
            vec!["max_allowed_packet".into()],
            format!("max_allowed_packet is {from} on the source and {to} on the target: a JSON document \
                     or a generated value larger than that can't be loaded, and clients can't write such rows there"),
            set_global(landing.facts.managed, "max_allowed_packet", &from.to_string()),
        );
    }
}

/// InnoDB pages of another size.
pub(super) fn page_size(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let from = survey.source.facts.number("innodb_page_size");
    let to = match survey.landing() {
        Some(landing) => landing.facts.number("innodb_page_size"),
        None => survey.to_aurora().then_some(16_384),
    };
    let (Some(from), Some(to)) = (from, to) else { return };
    // A physical backup of other pages can't be restored at all.
    if from > to && survey.wishes.restored_by != Some(Profile::Aurora) {
        out.warning(
            "target.innodb_page_size",
            vec!["innodb_page_size".into()],
            format!(
                "InnoDB's pages have {from} bytes on the source and {to} on the target: rows and \
                     index keys that fit there may be too long here"
            ),
            "none in advance: a table that doesn't fit is named when it is created",
        );
    }
}

/// A target that takes no writes, or that others write to.
pub(super) fn target_read_only(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let facts = &landing.facts;
    // read_only doesn't bind our account when it holds CONNECTION_ADMIN, as Aurora's master does: a
    // target that is closed for applications until the cutover opens it is as it should be.
    let bound = !landing.grants.has_any(&["CONNECTION_ADMIN", "SUPER"], Scope::Server);
    let reader =
        facts.on("innodb_read_only") == Some(true) || facts.on("super_read_only") == Some(true);
    if reader || (facts.on("read_only") == Some(true) && bound) {
        out.blocker(
            "target.read_only",
            vec!["read_only".into()],
            "the target is read-only",
            if facts.managed {
                "use the writer's (cluster) endpoint, not a reader's; or CALL mysql.rds_set_read_only(0);"
                    .to_string()
            } else {
                "SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0;".to_string()
            },
        );
    } else if facts.on("read_only") == Some(true) {
        out.note(
            "target.closed",
            vec!["read_only".into()],
            "the target is closed for accounts without CONNECTION_ADMIN, which keeps applications out \
             until the cutover opens it",
            "none",
        );
    }
    match &landing.replicates_from {
        Some(hosts) if !hosts.is_empty() => out.blocker(
            "target.is_replica",
            hosts.clone(),
            format!("the target replicates from {} already", hosts.join(", ")),
            if landing.has_rds_procedures() {
                let reset = if landing.procedures.contains("rds_reset_external_source") {
                    "rds_reset_external_source"
                } else {
                    "rds_reset_external_master"
                };
                format!(
                    "if that replication is no longer wanted: CALL mysql.rds_stop_replication; \
                     CALL mysql.{reset};"
                )
            } else if facts.dialect.says_replica() {
                "if that replication is no longer wanted: STOP REPLICA; RESET REPLICA ALL;".into()
            } else {
                "if that replication is no longer wanted: STOP SLAVE; RESET SLAVE ALL;".into()
            },
        ),
        _ => {}
    }
}

/// Room: what is to come must not be there.
pub(super) fn target_occupied(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if let Some(landing) = survey.landing() {
        if !landing.occupied.is_empty() {
            out.blocker(
                "target.not_empty",
                landing.occupied.clone(),
                "databases to be migrated hold something on the target already",
                "look at it, then DROP DATABASE there; or leave the database out with [select] exclude",
            );
        }
        let coming = landing.coming.iter().map(String::as_str);
        for found in landing.register.findings(None, survey.native(), coming) {
            out.add(found.severity, &found.id, found.objects, found.why, found.remedy);
        }
    }
    if survey.native() && survey.source.inventory.own_database {
        out.blocker(
            "source.own_database",
            vec![OWN_DATABASE.into()],
            format!(
                "the source has a database `{OWN_DATABASE}`: another migration is at work there, or one was left \
                 unfinished"
            ),
            format!(
                "`daybreak undo` in that migration's directory; if there is none: DROP DATABASE {OWN_DATABASE}; on \
                 the source"
            ),
        );
    }
}

/// Settings that applications feel, and that stay the target's own.
pub(super) fn settings(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let (from, to) = (&survey.source.facts, &landing.facts);
    let isolation = |facts: &super::super::ServerFacts| {
        let value = facts.variable("transaction_isolation");
        if value.is_empty() { facts.variable("tx_isolation") } else { value }.to_string()
    };
    let mut differ = Vec::new();
    for (name, from, to) in [
        ("sql_mode", from.variable("sql_mode").to_string(), to.variable("sql_mode").to_string()),
        ("time_zone", from.effective_time_zone().to_string(), to.effective_time_zone().to_string()),
        ("transaction_isolation", isolation(from), isolation(to)),
        (
            "explicit_defaults_for_timestamp",
            from.variable("explicit_defaults_for_timestamp").to_string(),
            to.variable("explicit_defaults_for_timestamp").to_string(),
        ),
        (
            "character_set_server",
            from.variable("character_set_server").to_string(),
            to.variable("character_set_server").to_string(),
        ),
        (
            "collation_server",
            from.variable("collation_server").to_string(),
            to.variable("collation_server").to_string(),
        ),
        (
            "innodb_strict_mode",
            from.variable("innodb_strict_mode").to_string(),
            to.variable("innodb_strict_mode").to_string(),
        ),
    ] {
        if !alike(name, &from, &to) {
            differ.push(format!("{name}: {from:?} on the source, {to:?} on the target"));
        }
    }
    if !differ.is_empty() {
        out.warning(
            "target.settings",
            differ,
            "settings that applications feel differ between the servers; daybreak doesn't carry them over",
            "set those that matter in the target's parameter group before the cutover",
        );
    }
    if from.dialect.mysql_from(5, 6, 0)
        && !from.dialect.mysql_from(8, 0, 0)
        && survey.native()
        && from.on("explicit_defaults_for_timestamp") != Some(true)
        && to.on("explicit_defaults_for_timestamp") == Some(true)
    {
        out.warning(
            "replication.timestamp_defaults",
            vec!["explicit_defaults_for_timestamp".into()],
            "a bare TIMESTAMP column in a CREATE or ALTER TABLE that replicates becomes NULL DEFAULT NULL on the \
             target (what is copied keeps its defaults)",
            format!(
                "{} until the cutover; or run no such DDL at the source during the migration, or write NOT NULL and \
                 the default out: the verification finds such a column, and then it must be altered by hand",
                set_global(landing.facts.managed, "explicit_defaults_for_timestamp", "OFF")
            ),
        );
    }
}

/// Whether two values mean the same: UTC has many names.
fn alike(name: &str, a: &str, b: &str) -> bool {
    let utc = |zone: &str| matches!(zone, "UTC" | "Etc/UTC" | "+00:00" | "GMT");
    a.eq_ignore_ascii_case(b) || (name == "time_zone" && utc(a) && utc(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_ordered() {
        let of = |text: &str| series(&Dialect::read(text, None));
        assert_eq!(of("8.0.36") + 1, of("8.4.7"));
        assert_eq!(of("8.4.7") + 1, of("9.7.0"));
        assert_eq!((of("5.6.24"), of("8.1.0")), (1, 3));
    }
}
