//! What only one of the two products has, where the source is of one and the target of the other: named
//! before a row moves. What the other can hold in other words is put into them
//! (`target::ddl::across`), and said.

use std::collections::BTreeMap;

use super::{
    super::{Survey, trial::Trial},
    Estimates, Findings, few,
};
use crate::{
    engine::Severity,
    mysql::{Column, Product, Table},
    target::ddl::ElementKind,
};

/// The products of source and target, if they differ.
fn across(survey: &Survey) -> Option<(Product, Product)> {
    let (from, to) = (survey.source.facts.dialect.product, survey.target.as_ref()?.dialect.product);
    (from != to).then_some((from, to))
}

/// What columns are, by a test.
fn columns(survey: &Survey, wanted: impl Fn(&Table, &Column) -> bool) -> Vec<String> {
    let tables = &survey.source.catalog.tables;
    tables
        .iter()
        .flat_map(|table| {
            table
                .columns
                .iter()
                .filter(|column| wanted(table, column))
                .map(|column| format!("{}.{}", table.name, column.name))
        })
        .collect()
}

fn indexes(survey: &Survey, wanted: impl Fn(&Table, &crate::mysql::Index) -> bool) -> Vec<String> {
    let tables = &survey.source.catalog.tables;
    tables
        .iter()
        .flat_map(|table| {
            table
                .indexes
                .iter()
                .filter(|index| wanted(table, index))
                .map(|index| format!("{}.{}", table.name, index.name))
        })
        .collect()
}

/// Of MySQL, on the way to MariaDB.
pub(super) fn of_mysql(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if across(survey) != Some((Product::Mysql, Product::Mariadb)) {
        return;
    }
    let functional =
        indexes(survey, |_, index| index.parts.iter().any(|part| part.column.is_none()));
    if !functional.is_empty() {
        out.blocker(
            "target.functional_index",
            functional.clone(),
            format!("MariaDB has no keys over expressions: {}", few(&functional)),
            "at the source: ALTER TABLE ... ADD COLUMN c ... AS (expression) VIRTUAL INVISIBLE, a key over that \
             column instead, and DROP INDEX",
        );
    }
    let hidden = columns(survey, |_, column| {
        let extra = column.extra.to_ascii_uppercase();
        extra.contains("INVISIBLE")
            && !column.nullable
            && !column.auto_increment
            && !column.generated
            && !column.has_default
    });
    if !hidden.is_empty() {
        out.blocker(
            "target.invisible_column",
            hidden.clone(),
            format!("MariaDB wants a default of an invisible column that is NOT NULL (error 4108): {}", few(&hidden)),
            "give them a default at the source (ALTER TABLE ... ALTER COLUMN ... SET DEFAULT ...), or make them \
             visible",
        );
    }
    if let Some(trial) = survey.trial() {
        in_definitions(
            trial,
            "SRID",
            out,
            "target.srid",
            "MariaDB has no spatial reference systems, so that these columns would take and compute other values",
            "at the source: ALTER TABLE ... MODIFY COLUMN ... without SRID (this drops the spatial index's use), or \
             leave the table out with [select] exclude",
        );
        in_definitions(
            trial,
            "NOT ENFORCED",
            out,
            "target.check_not_enforced",
            "MariaDB enforces every CHECK, and would refuse rows that are there",
            "ALTER TABLE ... DROP CHECK ... at the source",
        );
    }
    let documents = columns(survey, |_, column| column.data_type == "json");
    if !documents.is_empty() {
        out.warning(
            "target.json_as_text",
            documents.clone(),
            format!(
                "JSON is text on MariaDB ({}): LONGTEXT that a CHECK holds to the format. Documents are compared and \
                 sorted as text, -> and ->> aren't known, dates, decimals and bytes within documents become what their \
                 text says",
                few(&documents)
            ),
            "nothing, if that is wanted; see that the application's statements use JSON_EXTRACT and JSON_VALUE",
        );
    }
    let numbers = columns(survey, |_, column| {
        matches!(column.data_type.as_str(), "float" | "double") && !column.generated
    });
    if !numbers.is_empty() {
        out.note(
            "target.no_negative_zero",
            numbers,
            "MariaDB has no -0: a FLOAT or DOUBLE of -0 becomes 0, which is equal to it",
            "nothing",
        );
    }
}

/// Tables whose definition, in the target's words, still holds something of the source's.
fn in_definitions(
    trial: &Trial,
    words: &str,
    out: &mut Findings,
    id: &str,
    why: &str,
    remedy: &str,
) {
    let mut objects = Vec::new();
    for (name, table) in &trial.adapted {
        for element in &table.elements {
            if element.has_words(words) {
                let of = match &element.kind {
                    ElementKind::Column { name, .. }
                    | ElementKind::Check { name }
                    | ElementKind::Key { name, .. } => name.as_str(),
                    _ => "",
                };
                objects.push(format!("{name}.{of}"));
            }
        }
    }
    if !objects.is_empty() {
        out.blocker(id, objects.clone(), format!("{why}: {}", few(&objects)), remedy);
    }
}

/// Of MariaDB, on the way to MySQL.
pub(super) fn of_mariadb(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if across(survey) != Some((Product::Mariadb, Product::Mysql)) {
        return;
    }
    let long = indexes(survey, |table, index| {
        index.kind.eq_ignore_ascii_case("HASH") && !table.engine.eq_ignore_ascii_case("MEMORY")
    });
    if !long.is_empty() {
        out.blocker(
            "target.long_unique",
            long.clone(),
            format!("MySQL has no unique keys over whole BLOB and TEXT columns (error 1170): {}", few(&long)),
            "at the source: ADD COLUMN h BINARY(32) AS (UNHEX(SHA2(column, 256))) STORED and a unique key over it \
             instead; or a VARCHAR that is short enough",
        );
    }
    let Some(trial) = survey.trial() else { return };
    let mut named: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (name, table) in &trial.adapted {
        for element in &table.elements {
            if let ElementKind::Check { name: check } = &element.kind {
                let of = (name.database.clone(), check.to_lowercase());
                named.entry(of).or_default().push(format!("{name} {check}"));
            }
        }
    }
    let twice: Vec<String> =
        named.into_values().filter(|tables| tables.len() > 1).flatten().collect();
    if !twice.is_empty() {
        out.blocker(
            "target.check_names",
            twice.clone(),
            format!("MySQL wants a CHECK's name once in a database (error 3822): {}", few(&twice)),
            "ALTER TABLE ... DROP CONSTRAINT ..., ADD CONSTRAINT another_name CHECK (...) at the source",
        );
    }
}

/// Packages, which daybreak doesn't make anywhere.
pub(super) fn packages(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let packages: Vec<String> = survey
        .source
        .inventory
        .odd_routines
        .iter()
        .map(|(kind, name)| format!("{} {name}", kind.to_lowercase()))
        .collect();
    if packages.is_empty() {
        return;
    }
    if survey.target.as_ref().is_some_and(|target| target.dialect.is_mariadb()) {
        out.warning(
            "source.packages",
            packages.clone(),
            format!("packages aren't migrated: {}", few(&packages)),
            "create them on the target before the cutover, as SHOW CREATE PACKAGE and SHOW CREATE PACKAGE BODY \
             print them",
        );
    } else {
        out.blocker(
            "target.packages",
            packages.clone(),
            format!("MySQL has no packages: {}", few(&packages)),
            "rewrite them as procedures and functions and DROP PACKAGE at the source, or leave their database out \
             with [select] exclude",
        );
    }
}

/// What the target didn't understand when it was asked, unless another finding names it already.
pub(super) fn tried(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(trial) = survey.trial() else { return };
    let mut objects = Vec::new();
    let mut first = String::new();
    for refused in &trial.refused {
        let name = refused.what.split_once(' ').map_or("", |(_, name)| name);
        if out.blocks(name) || out.blocks(&refused.what) {
            continue;
        }
        if first.is_empty() {
            first = format!("{}: {}", refused.what, refused.why);
        }
        objects.push(format!("{} ({})", refused.what, refused.why));
    }
    if !objects.is_empty() {
        out.blocker(
            "target.definition",
            objects,
            format!(
                "the target doesn't understand definitions of the source; the first is {first}"
            ),
            "write them in words that both servers know, or leave them out with [select] exclude",
        );
    }
    for unknown in &trial.unknown {
        for (severity, objects, what) in [
            (Severity::Blocker, &unknown.unmakable, "they can't be created"),
            (
                Severity::Warning,
                &unknown.failing,
                "they are created, and fail when they come to it",
            ),
        ] {
            if !objects.is_empty() {
                out.add(
                    severity,
                    "target.function_unknown",
                    objects.clone(),
                    format!("the target has no function {}, which {} use: {what}", unknown.function, few(objects)),
                    "rewrite them at the source with what both servers have, or create a stored function of that \
                     name on the target beforehand",
                );
            }
        }
    }
}
