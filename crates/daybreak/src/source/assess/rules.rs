//! The rules: each looks at what was read and adds findings under its own ids. A rule asks no server.

mod activity;
mod objects;
mod physical;
mod privileges;
mod products;
mod replication;
mod servers;
mod tables;

pub(super) use physical::is_restorable;
pub(crate) use privileges::grant_statement;

use super::{Estimates, Survey};
use crate::engine::{Finding, Severity};

/// How many objects a finding's sentence names; all are in its list.
const NAMED: usize = 3;

type Rule = fn(&Survey, &Estimates, &mut Findings);

/// Every rule, in the order in which a reader meets their findings (within one severity).
const RULES: [Rule; 47] = [
    servers::target_not_asked,
    servers::same_server,
    servers::older_target,
    servers::not_mysql,
    servers::local_infile,
    servers::names_case,
    servers::renames_case,
    servers::packets,
    servers::page_size,
    servers::target_read_only,
    servers::target_occupied,
    servers::settings,
    physical::restorable,
    tables::nothing,
    tables::missing,
    tables::engines,
    tables::kinds,
    tables::types,
    tables::keys,
    tables::collations,
    tables::options,
    tables::defaults,
    tables::values,
    tables::foreign_keys,
    tables::orphans,
    tables::spatial,
    products::of_mysql,
    products::of_mariadb,
    products::packages,
    objects::renames,
    objects::columns,
    objects::function_creators,
    objects::definers,
    objects::sql_modes,
    objects::reserved_words,
    objects::time_zones,
    objects::events,
    replication::binary_log,
    replication::retention,
    replication::identities,
    replication::gtids,
    replication::selection,
    replication::filters,
    replication::path,
    activity::now,
    privileges::all,
    // Last: it leaves out what others name.
    products::tried,
];

/// Applies every rule: blockers first, else in the rules' order.
pub(super) fn apply(survey: &Survey, estimates: &Estimates) -> Vec<Finding> {
    let mut findings = Findings::default();
    for rule in RULES {
        rule(survey, estimates, &mut findings);
    }
    findings.0.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings.0
}

/// Where rules put what they find.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        id: &str,
        objects: Vec<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding {
            id: id.to_string(),
            severity,
            objects,
            why: why.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether a blocker names this object, or a part of it: `shop.t.id uuid`, `shop.t (default)`.
    fn blocks(&self, object: &str) -> bool {
        let blockers = self.0.iter().filter(|finding| finding.severity == Severity::Blocker);
        blockers.flat_map(|finding| &finding.objects).any(|named| {
            named
                .strip_prefix(object)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
        })
    }

    fn blocker(
        &mut self,
        id: &str,
        objects: Vec<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Blocker, id, objects, why, remedy);
    }

    fn warning(
        &mut self,
        id: &str,
        objects: Vec<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, id, objects, why, remedy);
    }

    fn note(
        &mut self,
        id: &str,
        objects: Vec<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Note, id, objects, why, remedy);
    }
}

/// How to do without native replication, by a route that can.
fn without_replication(survey: &Survey) -> &'static str {
    match survey.wishes.restored_by {
        None => "accept a downtime: mode = \"none\" in [replication]",
        Some(_) => {
            "take the logical route with an accepted downtime: `daybreak plan --route logical`, \
             mode = \"none\" in [replication]"
        }
    }
}

/// `a, b, c and 4 more`.
fn few(objects: &[String]) -> String {
    let named = objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match objects.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

/// `3 tables`, `1 table`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `90 min`, `2 d`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How a global variable is set on a server: a statement, or its parameter group.
fn set_global(managed: bool, name: &str, value: &str) -> String {
    if managed {
        format!("set {name} = {value} in the server's parameter group")
    } else {
        format!("SET GLOBAL {name} = {value};")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        assert_eq!(few(&names), "a, b, c and 1 more");
        assert_eq!(few(&names[..2]), "a, b");
        assert_eq!((count(1, "table"), count(2, "table")), ("1 table".into(), "2 tables".into()));
        assert_eq!(
            (span(90), span(3_600), span(86_400)),
            ("90 s".into(), "60 min".into(), "24 h".into())
        );
    }
}
