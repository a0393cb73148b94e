//! What each step needs of the two accounts, as a table, and the statement that grants what is missing.

use std::collections::BTreeSet;

use super::{
    super::{ServerFacts, Survey, inventory::ObjectKind},
    Estimates, Findings, few,
};
use crate::{
    engine::{ReplicationMode, Severity},
    mysql::{Dialect, Side, quote},
    select::OWN_DATABASE,
    source::grants::{END_STATEMENTS, Grants, Scope},
};

/// Where a privilege is needed.
enum Where {
    /// On the server.
    Server,
    /// On every database that is taken.
    Databases,
    /// On those that have such objects.
    With(&'static [ObjectKind]),
    /// On daybreak's own database.
    Own,
    /// On a database of the server.
    System(&'static str),
}

/// A need of the migration.
struct Need {
    side: Side,
    id: &'static str,
    /// Any of these does. The first that the server's version knows is the one to grant.
    any_of: &'static [&'static str],
    at: Where,
    severity: Severity,
    why: &'static str,
    when: fn(&Survey) -> bool,
}

fn always(_: &Survey) -> bool {
    true
}

fn native(survey: &Survey) -> bool {
    survey.native()
}

fn makes_account(survey: &Survey) -> bool {
    survey.native() && !survey.wishes.replication_account
}

fn heartbeat(survey: &Survey) -> bool {
    survey.native() && survey.wishes.heartbeat
}

fn own_replication(survey: &Survey) -> bool {
    survey.native() && !survey.to_aurora()
}

/// The replication password reaches the procedures by way of a temporary table.
fn hands_over(survey: &Survey) -> bool {
    survey.native()
        && survey.to_aurora()
        && survey.landing().is_some_and(|landing| !landing.facts.dialect.is_mariadb())
}

/// The bodies of routines lie in `mysql.proc` before MySQL 8.0, and on MariaDB.
fn routines_in_table(survey: &Survey) -> bool {
    !survey.source.facts.dialect.mysql_from(8, 0, 0)
}

fn routines_in_dictionary(survey: &Survey) -> bool {
    !routines_in_table(survey)
}

fn moves_writes(survey: &Survey) -> bool {
    survey.wishes.mode != ReplicationMode::CopyOnly
}

/// MariaDB 10.11 took READ_ONLY ADMIN out of SUPER.
fn closes_without_super(survey: &Survey) -> bool {
    let dialect = &survey.source.facts.dialect;
    moves_writes(survey) && dialect.is_mariadb() && dialect.version >= (10, 11, 0)
}

fn closes_by_super(survey: &Survey) -> bool {
    moves_writes(survey) && !closes_without_super(survey)
}

/// Each lets an account take the global read lock.
const GLOBAL_LOCK: [&str; 2] = ["RELOAD", "FLUSH_TABLES"];

fn stops_by_global_lock(survey: &Survey) -> bool {
    moves_writes(survey) && survey.source.grants.has_any(&GLOBAL_LOCK, Scope::Server)
}

/// An account without either is told of the one that does best.
fn stops_by_table_locks(survey: &Survey) -> bool {
    moves_writes(survey) && survey.source.grants.has_any(&END_STATEMENTS, Scope::Server)
}

use Severity::{Blocker, Note, Warning};
use Side::{Source, Target};
use Where::{Databases, Own, Server, System, With};

#[rustfmt::skip]
const NEEDS: [Need; 44] = [
    Need { side: Source, id: "select", any_of: &["SELECT"], at: Databases, severity: Blocker, why: "to read rows and definitions", when: always },
    Need { side: Source, id: "trigger", any_of: &["TRIGGER"], at: Databases, severity: Blocker, why: "to see triggers: without it they would be missed", when: always },
    Need { side: Source, id: "event", any_of: &["EVENT"], at: Databases, severity: Blocker, why: "to see events: without it they would be missed", when: always },
    Need { side: Source, id: "show_view", any_of: &["SHOW VIEW"], at: With(&[ObjectKind::View]), severity: Blocker, why: "to read the definitions of views", when: always },
    // Source: MySQL manual: the global SELECT shows routines in 8.0 too; SHOW_ROUTINE from 8.0.20 on.
    Need { side: Source, id: "show_routine", any_of: &["SHOW_ROUTINE", "SELECT"], at: Server, severity: Blocker, why: "to see procedures and functions: without it they would be missed", when: routines_in_dictionary },
    Need { side: Source, id: "show_routine", any_of: &["SELECT"], at: System("proc"), severity: Blocker, why: "to see procedures and functions: without it they would be missed", when: routines_in_table },
    Need { side: Source, id: "lock", any_of: &["LOCK TABLES"], at: Databases, severity: Blocker, why: "to stop writes for the moment in which the snapshot opens", when: always },
    Need { side: Source, id: "backup_admin", any_of: &["BACKUP_ADMIN"], at: Server, severity: Note, why: "to keep DDL out during the copy; without it a table that is altered is copied again", when: routines_in_dictionary },
    Need { side: Source, id: "replication_client", any_of: &["REPLICATION CLIENT", "SUPER"], at: Server, severity: Blocker, why: "to read the position in the binary log", when: always },
    Need { side: Source, id: "process", any_of: &["PROCESS"], at: Server, severity: Note, why: "to see long transactions before the lock is asked for", when: always },
    Need { side: Source, id: "create_user", any_of: &["CREATE USER"], at: Server, severity: Blocker, why: "to make the replication account (or name one in [replication] user)", when: makes_account },
    Need { side: Source, id: "heartbeat", any_of: &["CREATE"], at: Own, severity: Blocker, why: "to write the heartbeat (or heartbeat = false in [replication])", when: heartbeat },
    Need { side: Source, id: "heartbeat", any_of: &["INSERT"], at: Own, severity: Blocker, why: "to write the heartbeat (or heartbeat = false in [replication])", when: heartbeat },
    Need { side: Source, id: "heartbeat", any_of: &["UPDATE"], at: Own, severity: Blocker, why: "to write the heartbeat (or heartbeat = false in [replication])", when: heartbeat },
    Need { side: Source, id: "heartbeat", any_of: &["DELETE"], at: Own, severity: Blocker, why: "to write the heartbeat (or heartbeat = false in [replication])", when: heartbeat },
    Need { side: Source, id: "heartbeat", any_of: &["DROP"], at: Own, severity: Blocker, why: "to write the heartbeat (or heartbeat = false in [replication])", when: heartbeat },
    Need { side: Source, id: "read_only", any_of: &["SYSTEM_VARIABLES_ADMIN", "READ_ONLY ADMIN", "SUPER"], at: Server, severity: Blocker, why: "to close the source for writes at the cutover", when: closes_by_super },
    Need { side: Source, id: "read_only", any_of: &["READ_ONLY ADMIN"], at: Server, severity: Blocker, why: "to close the source for writes at the cutover", when: closes_without_super },
    Need { side: Source, id: "write_stop", any_of: &["RELOAD", "FLUSH_TABLES", "CONNECTION_ADMIN", "CONNECTION ADMIN", "SUPER"], at: Server, severity: Blocker, why: "to stop the server's writes at the cutover, or to end those that wait for table locks", when: moves_writes },
    Need { side: Source, id: "end_statements", any_of: &END_STATEMENTS, at: Server, severity: Warning, why: "to end the statements that wait for table locks; without it a cutover is put back each time that the global read lock isn't to be had, because of long statements", when: stops_by_global_lock },
    Need { side: Source, id: "global_lock", any_of: &GLOBAL_LOCK, at: Server, severity: Note, why: "to stop the server as a whole at the cutover; table locks, which do instead, let DDL and other tables be written, and a cutover that sees that is put back", when: stops_by_table_locks },
    Need { side: Target, id: "select", any_of: &["SELECT"], at: Databases, severity: Blocker, why: "to verify rows", when: always },
    Need { side: Target, id: "create", any_of: &["CREATE"], at: Databases, severity: Blocker, why: "to create databases and tables", when: always },
    Need { side: Target, id: "insert", any_of: &["INSERT"], at: Databases, severity: Blocker, why: "to load rows", when: always },
    Need { side: Target, id: "update", any_of: &["UPDATE"], at: Databases, severity: Blocker, why: "to give JSON documents their exact types", when: always },
    Need { side: Target, id: "delete", any_of: &["DELETE"], at: Databases, severity: Blocker, why: "to load a chunk again", when: always },
    Need { side: Target, id: "alter", any_of: &["ALTER"], at: Databases, severity: Blocker, why: "to add indexes and foreign keys", when: always },
    Need { side: Target, id: "index", any_of: &["INDEX"], at: Databases, severity: Blocker, why: "to add indexes", when: always },
    Need { side: Target, id: "drop", any_of: &["DROP"], at: Databases, severity: Blocker, why: "to take back what was created", when: always },
    Need { side: Target, id: "references", any_of: &["REFERENCES"], at: Databases, severity: Blocker, why: "to add foreign keys", when: always },
    Need { side: Target, id: "own", any_of: &["SELECT"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "own", any_of: &["INSERT"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "own", any_of: &["UPDATE"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "own", any_of: &["DELETE"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "own", any_of: &["CREATE"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "own", any_of: &["DROP"], at: Own, severity: Blocker, why: "to keep daybreak's own tables there", when: always },
    Need { side: Target, id: "hand_over", any_of: &["CREATE TEMPORARY TABLES"], at: Own, severity: Note, why: "to keep the replication password out of the target's process list", when: hands_over },
    Need { side: Target, id: "create_view", any_of: &["CREATE VIEW"], at: With(&[ObjectKind::View]), severity: Blocker, why: "to create views", when: always },
    Need { side: Target, id: "show_view", any_of: &["SHOW VIEW"], at: With(&[ObjectKind::View]), severity: Blocker, why: "to compare the definitions of views", when: always },
    Need { side: Target, id: "create_routine", any_of: &["CREATE ROUTINE"], at: With(&[ObjectKind::Procedure, ObjectKind::Function]), severity: Blocker, why: "to create procedures and functions", when: always },
    Need { side: Target, id: "trigger", any_of: &["TRIGGER"], at: With(&[ObjectKind::Trigger]), severity: Blocker, why: "to create triggers", when: always },
    Need { side: Target, id: "event", any_of: &["EVENT"], at: With(&[ObjectKind::Event]), severity: Blocker, why: "to create events", when: always },
    Need { side: Target, id: "replication_client", any_of: &["REPLICATION CLIENT", "SLAVE MONITOR", "SUPER"], at: Server, severity: Blocker, why: "to see how replication does", when: native },
    Need { side: Target, id: "replication", any_of: &["REPLICATION_SLAVE_ADMIN", "REPLICATION SLAVE ADMIN", "SUPER"], at: Server, severity: Blocker, why: "to start and stop replication", when: own_replication },
];

/// From which version on servers know a privilege; those of all versions aren't listed.
fn knows(dialect: &Dialect, privilege: &str) -> bool {
    match privilege {
        "FLUSH_TABLES" => dialect.mysql_from(8, 0, 23),
        "SHOW_ROUTINE" => dialect.mysql_from(8, 0, 20),
        "BACKUP_ADMIN" | "SYSTEM_VARIABLES_ADMIN" | "CONNECTION_ADMIN" => {
            dialect.mysql_from(8, 0, 0)
        }
        "REPLICATION_SLAVE_ADMIN" => dialect.mysql_from(8, 0, 18),
        "READ_ONLY ADMIN" | "SLAVE MONITOR" | "REPLICATION SLAVE ADMIN" | "CONNECTION ADMIN" => {
            dialect.is_mariadb() && dialect.version >= (10, 5, 2)
        }
        _ => true,
    }
}

/// Everything both accounts lack.
pub(super) fn all(survey: &Survey, _: &Estimates, out: &mut Findings) {
    // Several rights for one purpose stand next to each other and are one finding.
    for needs in NEEDS.chunk_by(|a, b| a.side == b.side && a.id == b.id) {
        missing_for(survey, needs, out);
    }
    pass_on(survey, out);
    visibility(survey, out);
    procedures(survey, out);
    for side in [Source, Target] {
        let Some((grants, facts)) = account_of(survey, side) else { continue };
        if grants.not_understood() > 0 {
            out.warning(
                &format!("{side}.privilege.unknown"),
                vec![facts.account.clone()],
                format!("{} lines of SHOW GRANTS of the {side} aren't understood: what they grant counts as missing", grants.not_understood()),
                "please report them",
            );
        }
    }
}

fn account_of(survey: &Survey, side: Side) -> Option<(&Grants, &ServerFacts)> {
    match side {
        Source => Some((&survey.source.grants, &survey.source.facts)),
        Target => survey.landing().map(|landing| (&landing.grants, &landing.facts)),
    }
}

/// One purpose: which of its rights are missing, where, and the statement that grants them.
fn missing_for(survey: &Survey, needs: &[Need], out: &mut Findings) {
    let Some(need) = needs.iter().find(|need| (need.when)(survey)) else { return };
    let Some((grants, facts)) = account_of(survey, need.side) else { return };
    let (mut privileges, mut lacks, mut places) = (Vec::new(), Vec::new(), BTreeSet::new());
    for need in needs.iter().filter(|need| (need.when)(survey)) {
        let known: Vec<&str> = need
            .any_of
            .iter()
            .copied()
            .filter(|privilege| knows(&facts.dialect, privilege))
            .collect();
        let missing = lacking(survey, grants, need, &known);
        let Some(first) = known.first().filter(|_| !missing.is_empty()) else { continue };
        privileges.push(*first);
        lacks.push(known.join(" or "));
        places.extend(missing);
    }
    if privileges.is_empty() {
        return;
    }
    let literal = facts.on("partial_revokes") == Some(true);
    let everywhere = survey.wishes.selection.is_everything() || places.len() > super::NAMED;
    let level = |name: &str| on_database(name, literal);
    let levels: Vec<String> = match need.at {
        Server => vec!["*.*".into()],
        Databases | With(_) if everywhere => vec!["*.*".into()],
        Databases | With(_) => places.iter().map(|name| level(name)).collect(),
        Own => vec![level(OWN_DATABASE)],
        System(table) => vec![format!("mysql.{table}")],
    };
    let mut statements: Vec<String> =
        levels.iter().map(|level| grant_statement(&privileges, level, &facts.account)).collect();
    statements.dedup();
    let places: Vec<String> = places.into_iter().collect();
    let (place, objects) = match need.at {
        Databases | With(_) => (format!(" on {}", few(&places)), places),
        Own => (format!(" on {OWN_DATABASE}"), vec![OWN_DATABASE.to_string()]),
        System(table) => (format!(" on mysql.{table}"), vec![format!("mysql.{table}")]),
        Server => (String::new(), vec![facts.account.clone()]),
    };
    out.add(
        need.severity,
        &format!("{}.privilege.{}", need.side, need.id),
        objects,
        format!(
            "the account {} lacks {}{place} at the {}: {}",
            facts.account,
            lacks.join(", "),
            need.side,
            need.why
        ),
        format!("{} -- at the {}{}", statements.join(" "), need.side, idle_roles(grants)),
    );
}

/// Where a need isn't met: databases by name, or one empty name for the server.
fn lacking(survey: &Survey, grants: &Grants, need: &Need, any_of: &[&str]) -> Vec<String> {
    let catalog = &survey.source.catalog;
    let databases = || catalog.databases.iter().map(|database| database.name.as_str());
    let lacks = |database: &str| {
        if grants.has_any(any_of, Scope::Database(database)) {
            return false;
        }
        // Rights on each of the tables that are taken do as well.
        let mut tables =
            catalog.tables.iter().filter(|table| table.name.database == database).peekable();
        tables.peek().is_none()
            || survey.wishes.selection.takes_objects(database)
            || !tables.all(|table| grants.has_any(any_of, Scope::Table(&table.name)))
    };
    match need.at {
        Server => missing_if(!grants.has_any(any_of, Scope::Server)),
        Own => missing_if(!grants.has_any(any_of, Scope::Database(OWN_DATABASE))),
        System(table) => missing_if(
            !grants.has_any(any_of, Scope::Table(&crate::mysql::TableName::new("mysql", table))),
        ),
        Databases => databases().filter(|name| lacks(name)).map(String::from).collect(),
        With(kinds) => databases()
            .filter(|name| {
                survey
                    .source
                    .inventory
                    .objects
                    .iter()
                    .any(|object| kinds.contains(&object.kind) && object.name.database == *name)
            })
            .filter(|name| lacks(name))
            .map(String::from)
            .collect(),
    }
}

fn missing_if(missing: bool) -> Vec<String> {
    if missing { vec![String::new()] } else { Vec::new() }
}

/// The replication account's right must be one that may be passed on.
fn pass_on(survey: &Survey, out: &mut Findings) {
    if makes_account(survey) && !survey.source.grants.may_grant("REPLICATION SLAVE") {
        let account = &survey.source.facts.account;
        out.blocker(
            "source.privilege.replication_slave",
            vec![account.clone()],
            format!(
                "the account {account} may not give REPLICATION SLAVE to the replication account at the source"
            ),
            format!(
                "GRANT REPLICATION SLAVE ON *.* TO {} WITH GRANT OPTION; -- at the source; or name an existing \
                 account in [replication] user",
                account_sql(account)
            ),
        );
    }
}

/// Databases that the account can't see would be missed in silence.
fn visibility(survey: &Survey, out: &mut Findings) {
    let facts = &survey.source.facts;
    let sees = survey.source.grants.has_any(&["SELECT", "SHOW DATABASES"], Scope::Server);
    if survey.wishes.selection.databases.is_empty()
        && survey.wishes.selection.tables.is_empty()
        && !sees
    {
        out.blocker(
            "source.privilege.show_databases",
            vec!["SHOW DATABASES".into()],
            format!(
                "everything is selected, and the account {} at the source sees only the databases it has rights on: \
                 others would be missed",
                facts.account
            ),
            format!(
                "{} or name the databases in [select]",
                grant_statement(&["SELECT", "SHOW DATABASES"], "*.*", &facts.account)
            ),
        );
    }
    let hidden: Vec<String> = survey
        .source
        .inventory
        .objects
        .iter()
        .filter(|object| object.hidden)
        .map(super::super::inventory::Object::describe)
        .collect();
    if !hidden.is_empty() && !out.0.iter().any(|f| f.id == "source.privilege.show_routine") {
        out.blocker(
            "source.privilege.show_routine",
            hidden.clone(),
            format!("the account {} can't read the bodies of {}", facts.account, few(&hidden)),
            grant_statement(
                &[if routines_in_table(survey) { "SELECT" } else { "SHOW_ROUTINE" }],
                if routines_in_table(survey) { "mysql.proc" } else { "*.*" },
                &facts.account,
            ),
        );
    }
}

/// Aurora's replication goes through procedures.
fn procedures(survey: &Survey, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let Some(position) = survey.position() else { return };
    if !survey.to_aurora() {
        return;
    }
    // Names of Aurora 3 and later, and of Aurora 2.
    let by_gtid = position.by == crate::engine::PositionBy::Gtid;
    let mut needed: Vec<[&str; 2]> = vec![
        if by_gtid {
            [
                "rds_set_external_source_with_auto_position",
                "rds_set_external_master_with_auto_position",
            ]
        } else {
            ["rds_set_external_source", "rds_set_external_master"]
        },
        ["rds_start_replication"; 2],
        ["rds_stop_replication"; 2],
        ["rds_reset_external_source", "rds_reset_external_master"],
    ];
    if by_gtid {
        needed.push(["rds_gtid_purged"; 2]);
    }
    let absent: Vec<String> = needed
        .iter()
        .filter(|names| !names.iter().any(|name| landing.procedures.contains(*name)))
        .map(|names| format!("mysql.{}", names[0]))
        .collect();
    let account = &landing.facts.account;
    if !absent.is_empty() {
        out.blocker(
            "target.procedures",
            absent.clone(),
            format!("the target has no {} (or the account can't see it)", absent.join(", ")),
            format!(
                "{} or kind = \"mysql\" in [target] if it isn't Aurora",
                grant_statement(&["EXECUTE"], "*.*", account)
            ),
        );
    }
    let closed: Vec<String> = needed
        .iter()
        .filter_map(|names| {
            let there = names.iter().find(|name| landing.procedures.contains(**name))?;
            (!landing.grants.may_execute("mysql", there)).then(|| format!("mysql.{there}"))
        })
        .collect();
    if !closed.is_empty() {
        let statements: Vec<String> = closed
            .iter()
            .map(|name| format!("GRANT EXECUTE ON PROCEDURE {name} TO {};", account_sql(account)))
            .collect();
        out.blocker(
            "target.privilege.execute",
            closed.clone(),
            format!("the account {account} may not call {} at the target", closed.join(", ")),
            statements.join(" "),
        );
    }
}

/// Roles that are granted may just not be active.
fn idle_roles(grants: &Grants) -> String {
    match grants.roles() {
        [] => String::new(),
        roles => format!(
            " (or, if one of the account's roles has it: SET DEFAULT ROLE ALL; roles: {})",
            roles.join(", ")
        ),
    }
}

/// `GRANT a, b ON level TO 'user'@'host';`
pub(crate) fn grant_statement(privileges: &[&str], level: &str, account: &str) -> String {
    format!("GRANT {} ON {level} TO {};", privileges.join(", "), account_sql(account))
}

/// `user@host` as SQL writes it. The host never holds an `@`, the user may.
pub(super) fn account_sql(account: &str) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    match account.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", literal(user), literal(host)),
        None => literal(account),
    }
}

/// A database's name as the level of a grant, where `_` and `%` are wildcards.
fn on_database(name: &str, literal: bool) -> String {
    let name = if literal {
        name.to_string()
    } else {
        name.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")
    };
    format!("{}.*", quote(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_can_be_run_as_they_are() {
        assert_eq!(
            grant_statement(&["SELECT"], &on_database("my_shop", false), "app@10.%"),
            "GRANT SELECT ON `my\\_shop`.* TO 'app'@'10.%';"
        );
        assert_eq!(on_database("my_shop", true), "`my_shop`.*");
        assert_eq!(account_sql("a@b@localhost"), "'a@b'@'localhost'");
        assert_eq!(
            grant_statement(&["SELECT", "EVENT"], "*.*", "it's@%"),
            "GRANT SELECT, EVENT ON *.* TO 'it''s'@'%';"
        );
    }
}
