//! What stays behind, by name: nothing is left out in silence.

use serde::{Deserialize, Serialize};

use super::Survey;

/// Something that daybreak doesn't bring to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMigrated {
    /// What it is: `account`, `plugin`, `database`, ...
    pub kind: String,
    /// Its name; `(not readable)` where the account may not see the names.
    pub name: String,
    /// Why, and what to do instead.
    pub why: String,
}

const NOT_READABLE: &str = "(not readable)";

pub(super) fn list(survey: &Survey) -> Vec<NotMigrated> {
    let mut out = Vec::new();
    let mut add = |kind: &str, name: &str, why: &str| {
        out.push(NotMigrated { kind: kind.into(), name: name.into(), why: why.into() });
    };
    let inventory = &survey.source.inventory;
    let selection = &survey.wishes.selection;

    for name in inventory.databases.iter().filter(|name| !selection.takes_database(name)) {
        add("database", name, "not selected");
    }
    for table in &inventory.left_out {
        if selection.takes_database(&table.database) {
            add("table", &table.to_string(), "not selected");
        }
    }
    for filter in &selection.filters {
        let rows = format!("{}, rows without {}", filter.table, filter.condition.sql());
        add("rows", &rows, "the condition leaves them out");
    }
    for column in &selection.exclude_columns {
        add("column", &column.to_string(), "left out by name: the target's table lacks it");
    }
    for name in inventory
        .databases
        .iter()
        .filter(|name| selection.takes_database(name) && !selection.takes_objects(name))
    {
        add(
            "objects",
            name,
            "only tables of this database are selected: its views, routines, triggers and events stay behind",
        );
    }
    for (kind, name) in &inventory.odd_routines {
        add(
            &kind.to_lowercase(),
            &name.to_string(),
            "MySQL has no such objects: rewrite it; on MariaDB create it yourself",
        );
    }
    for name in &inventory.server.user_tables {
        add("table", name, "in a database of the server itself: move it to one of your own");
    }

    let server = &inventory.server;
    let why =
        "accounts and their rights aren't migrated: create them on the target (CREATE USER, GRANT)";
    match &server.accounts {
        Some(accounts) => {
            for (user, host) in accounts.iter().filter(|(user, _)| !is_reserved(user)) {
                add("account", &format!("{user}@{host}"), why);
            }
        }
        None => add(
            "account",
            NOT_READABLE,
            "accounts and their rights aren't migrated; SELECT on mysql.user would name them here",
        ),
    }
    for (kind, names, why) in [
        (
            "loadable_function",
            &server.loadable_functions,
            "its library can't be loaded on Aurora: replace it",
        ),
        (
            "foreign_server",
            &server.foreign_servers,
            "Aurora has no FEDERATED engine; elsewhere: CREATE SERVER on the target",
        ),
        ("plugin", &server.plugins, "plugins aren't migrated: see which of them the target offers"),
        (
            "component",
            &server.components,
            "components aren't migrated: see which of them the target offers",
        ),
        (
            "resource_group",
            &server.resource_groups,
            "resource groups aren't migrated; Aurora has none",
        ),
        (
            "tablespace",
            &server.tablespaces,
            "general tablespaces aren't migrated: their tables get files of their own",
        ),
    ] {
        match names {
            Some(names) => names.iter().for_each(|name| add(kind, name, why)),
            None => add(kind, NOT_READABLE, why),
        }
    }
    if server.time_zones && survey.landing().is_none_or(|landing| !landing.has_zones) {
        add(
            "time_zones",
            "mysql.time_zone_name",
            "the time zone tables aren't migrated: load them on the target (Aurora has its own)",
        );
    }
    out
}

/// Whether an account is one that the servers make for themselves.
fn is_reserved(user: &str) -> bool {
    user.starts_with("mysql.") || user.starts_with("rds") || user == "mariadb.sys"
}
