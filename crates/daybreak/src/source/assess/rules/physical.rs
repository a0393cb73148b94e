//! What Aurora would refuse a physical backup of this source for: the rules by which a finished backup is
//! judged ([`crate::transit::inspect::rules`]), held against the running server.

use super::{super::Survey, Estimates, Findings, few};
use crate::{
    mysql::Product as Family,
    transit::{
        inspect::{
            rules,
            server::{self, Shape},
        },
        inspection::{Product, Profile},
    },
};

/// A broken rule: its name, what it concerns, and what was found.
type Broken = (&'static str, Vec<String>, String);

/// Only on the physical route.
pub(super) fn restorable(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(profile) = survey.wishes.restored_by else { return };
    for (id, objects, what) in broken(survey) {
        let Some(rule) = rules::rule(id) else { continue };
        let Some(severity) = rule.weight(profile) else { continue };
        out.add(severity, id, objects, format!("{what}; {}", rule.why), rule.beforehand());
    }
}

/// Whether Aurora would restore a physical backup of this source, as far as the server tells.
pub(in super::super) fn is_restorable(survey: &Survey) -> bool {
    broken(survey).iter().all(|(id, ..)| {
        let weight = rules::rule(id).and_then(|rule| rule.weight(Profile::Aurora));
        weight.is_none_or(|severity| severity < crate::engine::Severity::Blocker)
    })
}

fn broken(survey: &Survey) -> Vec<Broken> {
    let facts = &survey.source.facts;
    let said = facts.dialect.text.as_str();
    let product = match facts.dialect.product {
        Family::Mariadb => Product::Mariadb,
        Family::Mysql
            if facts.variable("version_comment").to_ascii_lowercase().contains("percona") =>
        {
            Product::Percona
        }
        Family::Mysql => server::product(said),
    };
    let set = |name: &str| Some(facts.variable(name)).filter(|value| !value.is_empty());
    let (major, minor, patch) = facts.dialect.version;
    let shape = Shape {
        page_size: facts.number("innodb_page_size"),
        data_files: set("innodb_data_file_path"),
        log_files: set("innodb_log_files_in_group"),
        server: Some((major.into(), minor.into(), patch.into())),
    };
    let mut broken: Vec<Broken> = server::release(Some(product), said)
        .into_iter()
        .chain(shape.broken())
        .map(|(id, what)| (id, Vec::new(), what))
        .collect();
    let tables = survey.source.catalog.tables.iter();
    let myisam = tables.filter(|table| table.is_myisam()).map(|table| table.name.to_string());
    for (id, objects) in [
        ("backup.myisam", myisam.collect()),
        ("backup.row_format", survey.tables_with(|table| table.row_compressed)),
        ("backup.page_compression", survey.tables_with(|table| table.page_compressed())),
        ("backup.tablespace_encrypted", encrypted(survey)),
        ("backup.data_directory", survey.elsewhere()),
    ] {
        if !objects.is_empty() {
            let what = few(&objects);
            broken.push((id, objects, what));
        }
    }
    broken
}

/// Tables by their definition, and tablespaces that hold more than one.
fn encrypted(survey: &Survey) -> Vec<String> {
    let mut found = survey.tables_with(|table| table.encrypted());
    let spaces = survey.source.inventory.server.encrypted.iter().flatten();
    for space in spaces.map(|space| space.replacen('/', ".", 1)) {
        if !found.contains(&space) {
            found.push(space);
        }
    }
    found
}
