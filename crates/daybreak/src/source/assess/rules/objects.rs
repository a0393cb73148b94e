//! Views, routines, triggers and events: what keeps them from being created, or from meaning the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        Survey,
        inventory::{Object, ObjectKind},
    },
    Estimates, Findings, few, set_global,
};
use crate::{
    config::Definer,
    mysql::Product,
    source::grants::Scope,
    target::{
        ddl::token::{TokenKind, tokens},
        objects::{Judged, ObjectName},
    },
};

fn described<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<String> {
    objects.into_iter().map(Object::describe).collect()
}

/// Objects that can't be made, each with why, and those that can and may mean something else then.
fn told(judged: &[(ObjectName, Judged)]) -> (Vec<String>, Vec<String>) {
    let refused = judged
        .iter()
        .filter_map(|(name, found)| Some(format!("{name}: {}", found.refused.as_ref()?)))
        .collect();
    let mentions = judged
        .iter()
        .filter(|(_, found)| found.refused.is_none())
        .filter_map(|(name, found)| Some(format!("{name} ({})", found.mentions.as_ref()?)))
        .collect();
    (refused, mentions)
}

/// Objects that name a database which has another name on the target.
pub(super) fn renames(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let (refused, mentions) = told(&survey.source.judged);
    if !refused.is_empty() {
        out.blocker(
            "rename.objects",
            refused.clone(),
            format!("what is written in objects isn't put into other words: {}", few(&refused)),
            "write them without the database's name at the source (within its own database none is needed), or drop \
             them there and make them on the target by hand",
        );
    }
    if !mentions.is_empty() {
        out.warning(
            "rename.texts",
            mentions.clone(),
            format!("the name of a renamed database stands in texts, or alone: {}. It stays as it is, which is \
                     wrong where SQL is made of it", few(&mentions)),
            "look at each, and alter on the target what means the database",
        );
    }
}

/// Objects that name a column which the target lacks.
pub(super) fn columns(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let (refused, mentions) = told(&survey.source.lacking);
    if !refused.is_empty() {
        out.blocker(
            "column.objects",
            refused.clone(),
            format!("objects need columns that are left out, and can't be made on the target (1054): {}", few(&refused)),
            "take the columns too; or write the objects without them at the source, or drop them there and make \
             them on the target by hand",
        );
    }
    if !mentions.is_empty() {
        out.warning(
            "column.texts",
            mentions.clone(),
            format!(
                "the target makes these without looking at the columns that their statements name, and they would \
                 fail when they come to one that is left out: {}",
                few(&mentions)
            ),
            "look at each, also for INSERT without a list of columns and SELECT *, and alter on the target what needs \
             the column",
        );
    }
}

/// Functions and triggers under a binary log (error 1419).
pub(super) fn function_creators(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let refused = landing.facts.on("log_bin") == Some(true)
        && landing.facts.on("log_bin_trust_function_creators") == Some(false)
        && !landing.grants.has("SUPER", Scope::Server);
    let objects = described(
        survey
            .source
            .inventory
            .objects
            .iter()
            .filter(|object| matches!(object.kind, ObjectKind::Function | ObjectKind::Trigger)),
    );
    if refused && !objects.is_empty() {
        out.blocker(
            "target.log_bin_trust_function_creators",
            objects,
            "the target writes a binary log and lets nobody without SUPER create functions and triggers \
             (error 1419)",
            set_global(landing.facts.managed, "log_bin_trust_function_creators", "1"),
        );
    }
}

/// Definers: whether they can be kept.
pub(super) fn definers(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    if survey.wishes.definer == Definer::Current {
        return;
    }
    let mut by_definer: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for object in &survey.source.inventory.objects {
        if object.definer != landing.facts.account {
            by_definer.entry(&object.definer).or_default().push(object);
        }
    }
    if by_definer.is_empty() {
        return;
    }
    let dialect = &landing.facts.dialect;
    // Source: MySQL manual, *SET_USER_ID* (8.0 to 8.3) and *SET_ANY_DEFINER*, *ALLOW_NONEXISTENT_DEFINER*
    // (8.2 on); MariaDB, *SET USER* (10.5.2 on).
    let needed = if dialect.mysql_from(8, 2, 0) {
        "SET_ANY_DEFINER"
    } else if dialect.mysql_from(8, 0, 0) {
        "SET_USER_ID"
    } else if dialect.is_mariadb() && dialect.version >= (10, 5, 2) {
        "SET USER"
    } else {
        "SUPER"
    };
    let grant = |privilege: &str| {
        super::privileges::grant_statement(&[privilege], "*.*", &landing.facts.account)
    };
    let instead =
        "or definer = \"current\" in [copy], which makes daybreak's account the definer of all";
    if !landing.grants.has_any(&[needed, "SET_USER_ID", "SUPER"], Scope::Server) {
        let names: Vec<String> = by_definer.keys().map(ToString::to_string).collect();
        out.blocker(
            "target.privilege.definer",
            described(by_definer.values().flatten().copied()),
            format!("objects have other definers ({}) than the account on the target, which lacks {needed}", few(&names)),
            format!("{} on the target; {instead}", grant(needed)),
        );
        return;
    }
    // Source: MySQL manual, *SYSTEM_USER*: 8.0.16 on; error 1227 at CREATE otherwise.
    let protected: Vec<String> = by_definer
        .keys()
        .filter(|definer| {
            landing.system_users.as_ref().is_some_and(|users| users.contains(**definer))
        })
        .map(ToString::to_string)
        .collect();
    if !protected.is_empty() && !landing.grants.has("SYSTEM_USER", Scope::Server) {
        out.blocker(
            "target.privilege.system_user",
            protected.clone(),
            format!(
                "definers have SYSTEM_USER on the target ({}): only an account that has it too may make them definers",
                few(&protected)
            ),
            format!(
                "definer = \"current\" in [copy], which makes daybreak's account the definer of all; or, where the \
                 server gives it: {} on the target",
                grant("SYSTEM_USER")
            ),
        );
    }
    let Some(accounts) = &landing.accounts else { return };
    let absent: Vec<String> = by_definer
        .keys()
        .filter(|definer| !accounts.contains(**definer))
        .map(ToString::to_string)
        .collect();
    if absent.is_empty() {
        return;
    }
    let create: Vec<String> = absent
        .iter()
        .take(super::NAMED)
        .map(|account| {
            format!("CREATE USER {} ACCOUNT LOCK;", super::privileges::account_sql(account))
        })
        .collect();
    let why = format!("definers don't exist on the target: {}", few(&absent));
    if dialect.mysql_from(8, 2, 0)
        && !landing.grants.has_any(&["ALLOW_NONEXISTENT_DEFINER"], Scope::Server)
    {
        out.blocker(
            "target.definer_missing",
            absent,
            format!("{why}, and the account lacks ALLOW_NONEXISTENT_DEFINER"),
            format!(
                "create them on the target, {}; or {}; {instead}",
                create.join(" "),
                grant("ALLOW_NONEXISTENT_DEFINER")
            ),
        );
    } else {
        out.warning(
            "target.definer_missing",
            absent,
            format!("{why}: their objects are created, but fail with 1449 when used"),
            format!("create these accounts on the target before the cutover, with the rights that the objects \
                     need (accounts aren't migrated): {} {instead}", create.join(" ")),
        );
    }
}

/// Words of `sql_mode` that MySQL 8.0 removed, and those that only MariaDB has.
///
/// Source: MySQL 8.0 release notes 8.0.11; MariaDB, *SQL_MODE*.
const REMOVED: [&str; 11] = [
    "DB2",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "ORACLE",
    "POSTGRESQL",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_AUTO_CREATE_USER",
];
const OF_MARIADB: [&str; 3] =
    ["EMPTY_STRING_IS_NULL", "SIMULTANEOUS_ASSIGNMENT", "IGNORE_BAD_TABLE_OPTIONS"];

/// Modes that objects were created under and that the target doesn't have.
pub(super) fn sql_modes(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let modern = match &survey.target {
        Some(target) => target.dialect.mysql_from(8, 0, 0),
        None => true,
    };
    if !modern {
        return;
    }
    let (mut removed, mut by, mut oracle) = (BTreeSet::new(), Vec::new(), Vec::new());
    for object in &survey.source.inventory.objects {
        let gone: Vec<&str> = object
            .sql_mode
            .split(',')
            .filter(|mode| REMOVED.contains(mode) || OF_MARIADB.contains(mode))
            .collect();
        if gone.contains(&"ORACLE") {
            oracle.push(object.describe());
        } else if !gone.is_empty() {
            by.push(object.describe());
            removed.extend(gone);
        }
    }
    if !oracle.is_empty() {
        out.blocker(
            "target.sql_mode_oracle",
            oracle.clone(),
            format!("written for sql_mode ORACLE, which MySQL can't read: {}", few(&oracle)),
            "rewrite them in the standard syntax, or leave their database out with [select] exclude",
        );
    }
    if !by.is_empty() {
        let removed: Vec<&str> = removed.into_iter().collect();
        out.warning(
            "target.sql_mode",
            by.clone(),
            format!(
                "created under sql_mode {}, which the target doesn't have: {}",
                removed.join(", "),
                few(&by)
            ),
            "none needed: these words are left out there; look whether the objects rely on them",
        );
    }
}

/// Words that MySQL reserved from 8.0 on, and from 8.4 on, and that had no meaning before: where one
/// stands without backticks, it is somebody's name.
///
/// Source: MySQL manual, *Keywords and Reserved Words*, 8.0 and 8.4.
const RESERVED_80: [&str; 21] = [
    "CUME_DIST",
    "DENSE_RANK",
    "EMPTY",
    "EXCEPT",
    "FIRST_VALUE",
    "GROUPING",
    "GROUPS",
    "INTERSECT",
    "JSON_TABLE",
    "LAG",
    "LAST_VALUE",
    "LATERAL",
    "LEAD",
    "NTH_VALUE",
    "NTILE",
    "OVER",
    "PERCENT_RANK",
    "RANK",
    "RECURSIVE",
    "ROW_NUMBER",
    "WINDOW",
];
const RESERVED_84: [&str; 4] = ["MANUAL", "PARALLEL", "QUALIFY", "TABLESAMPLE"];

/// Names in old texts that are keywords on the target: creating the object fails with 1064.
pub(super) fn reserved_words(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let from = &survey.source.facts.dialect;
    let to = survey.target.as_ref().map(|target| &target.dialect);
    if from.product != Product::Mysql
        || from.mysql_from(8, 0, 0)
        || to.is_some_and(|to| !to.mysql_from(8, 0, 0))
    {
        return;
    }
    let newest = to.is_some_and(|to| to.mysql_from(8, 4, 0));
    let (mut words, mut objects) = (BTreeSet::new(), Vec::new());
    for object in &survey.source.inventory.objects {
        let found = object.body.as_deref().map(|body| names_among(body, newest));
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            objects.push(object.describe());
            words.extend(found);
        }
    }
    if !objects.is_empty() {
        let words: Vec<String> = words.into_iter().collect();
        out.blocker(
            "target.reserved_word",
            objects.clone(),
            format!(
                "names without backticks that are reserved words on the target ({}): these can't be created there \
                 (error 1064): {}",
                few(&words),
                few(&objects)
            ),
            "create them anew at the source with these names in backticks, such as `rank`",
        );
    }
}

/// The newly reserved words that stand in a text as bare names; behind a point a name may be any word.
fn names_among(body: &str, newest: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut free = true;
    for token in tokens(body.as_bytes()) {
        let text = body.get(token.span).unwrap_or_default();
        match token.kind {
            TokenKind::Space | TokenKind::Comment => continue,
            TokenKind::Word if free => {
                let upper = text.to_ascii_uppercase();
                if RESERVED_80.contains(&upper.as_str())
                    || (newest && RESERVED_84.contains(&upper.as_str()))
                {
                    found.insert(text.to_string());
                }
            }
            _ => {}
        }
        free = !matches!(token.kind, TokenKind::Mark(b'.' | b'@'));
    }
    found
}

/// Time zones of events.
pub(super) fn time_zones(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(landing) = survey.landing() else { return };
    let events = || survey.source.inventory.objects.iter().filter(|o| o.kind == ObjectKind::Event);
    let unknown = described(events().filter(|event| {
        event.time_zone.as_ref().is_some_and(|zone| landing.unknown_zones.contains(zone))
    }));
    if !unknown.is_empty() {
        let zones: Vec<String> = landing.unknown_zones.iter().cloned().collect();
        out.blocker(
            "target.time_zone_unknown",
            unknown,
            format!("events are in time zones that the target doesn't know: {}", zones.join(", ")),
            "load the time zone tables there: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql",
        );
    }
    let (from, to) = (
        survey.source.facts.variable("system_time_zone"),
        landing.facts.variable("system_time_zone"),
    );
    let system = described(events().filter(|event| event.time_zone.as_deref() == Some("SYSTEM")));
    if from != to && !system.is_empty() {
        out.warning(
            "target.time_zone_system",
            system,
            format!("events run in the server's own time zone, which is {from} on the source and {to} on the target"),
            "ALTER EVENT under a named time_zone at the source, or set the target's time zone alike",
        );
    }
}

/// Events, which must not run on both sides.
pub(super) fn events(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let enabled = described(
        survey.source.inventory.objects.iter().filter(|o| o.kind == ObjectKind::Event && o.enabled),
    );
    if enabled.is_empty() {
        return;
    }
    out.note(
        "source.events",
        enabled.clone(),
        format!(
            "events are created disabled on the target and enabled at the cutover: {}",
            few(&enabled)
        ),
        "nothing",
    );
    let off = survey.landing().is_some_and(|landing| {
        landing.facts.dialect.product == Product::Mysql
            && !matches!(landing.facts.variable("event_scheduler"), "ON" | "1")
    });
    if off && survey.source.facts.variable("event_scheduler") == "ON" {
        out.warning(
            "target.event_scheduler",
            vec!["event_scheduler".into()],
            "event_scheduler is off on the target: no event would run after the cutover",
            set_global(
                survey.landing().is_some_and(|landing| landing.facts.managed),
                "event_scheduler",
                "ON",
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::names_among;

    #[test]
    fn new_keywords_are_found_where_they_are_names() {
        let among = |body: &str| names_among(body, true).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(among("BEGIN DECLARE rank INT; SELECT Groups FROM t; END"), "Groups rank");
        assert_eq!(among("SELECT t.rank, `lead`, @over, 'rank', \"lag\" FROM t -- window"), "");
        assert_eq!(among("SELECT ranking, over_all FROM t /* rank */"), "");
        assert_eq!(names_among("SELECT manual", false).len(), 0);
    }
}
