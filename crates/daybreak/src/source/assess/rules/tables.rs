//! Tables: engines, keys, types, collations, options that the target or the copy can't take.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{Survey, inventory::TableOptions, values::Odd},
    Estimates, Findings, count, few, without_replication,
};
use crate::{
    engine::Severity,
    mysql::{Product, Table, charset, quote},
    transit::inspection::Profile,
};

/// Nothing selected.
pub(super) fn nothing(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if survey.source.catalog.tables.is_empty()
        && survey.source.inventory.objects.is_empty()
        && survey.source.inventory.odd_tables.is_empty()
    {
        out.blocker(
            "select.nothing",
            Vec::new(),
            "nothing is selected: the account sees no table of a user's database",
            "check [select], and that the account has SELECT on what is to be migrated",
        );
    }
}

/// What was asked for by name and isn't there.
pub(super) fn missing(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let selection = &survey.wishes.selection;
    let inventory = &survey.source.inventory;
    let mut absent: Vec<String> = selection
        .databases
        .iter()
        .filter(|name| !inventory.databases.contains(*name))
        .cloned()
        .collect();
    absent.extend(
        selection
            .tables
            .iter()
            .filter(|name| {
                selection.takes_table(name)
                    && survey.source.catalog.table(name).is_none()
                    && !inventory.odd_tables.iter().any(|odd| odd.name == **name)
            })
            .map(ToString::to_string),
    );
    if !absent.is_empty() {
        out.blocker(
            "select.missing",
            absent.clone(),
            format!("selected, but not there or not visible to the account: {}", few(&absent)),
            "correct the names (they are case-sensitive), or grant SELECT on them",
        );
    }
}

fn alter_engine(tables: &[&Table]) -> String {
    let statements: Vec<String> = tables
        .iter()
        .take(super::NAMED)
        .map(|table| format!("ALTER TABLE {} ENGINE=InnoDB;", table.name.sql()))
        .collect();
    let rest =
        if tables.len() > super::NAMED { " and so on, at the source" } else { " at the source" };
    format!("{}{rest}", statements.join(" "))
}

/// Defaults that the source itself prints wrongly, so that the target would have them wrong.
pub(super) fn defaults(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let named = |lost| -> Vec<String> {
        let all = survey.source.inventory.doubtful_defaults.iter();
        all.filter(|default| default.lost == lost)
            .map(|default| format!("{}.{}", default.table, default.column))
            .collect()
    };
    let (lost, unknown) = (named(Some(true)), named(None));
    if !lost.is_empty() {
        out.blocker(
            "source.default_unreadable",
            lost.clone(),
            format!(
                "the default of {} has a character of four bytes, which the source prints as ?: the target would \
                 fill new rows with a question mark",
                few(&lost)
            ),
            "at the source ALTER TABLE ... ALTER column DROP DEFAULT (who inserts must then name the value), and set \
             it on the target after the cutover; or leave the table out",
        );
    }
    if !unknown.is_empty() {
        out.warning(
            "source.default_unknown",
            unknown.clone(),
            format!(
                "the default of {} is printed with a ?, and the table has no row that would tell whether that is a \
                 character of four bytes, which the source can't print",
                few(&unknown)
            ),
            "compare it with what the application expects; if it isn't a ?, set it on the target after the cutover",
        );
    }
}

/// Values that the copy would refuse, hours later.
pub(super) fn values(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let of = |wanted: Odd, found: Option<bool>| -> Vec<String> {
        let all = survey.source.odd_values.iter();
        all.filter(|value| value.odd == wanted && value.found == found)
            .map(|value| value.column.clone())
            .collect()
    };
    let documents = of(Odd::Json, Some(true));
    if !documents.is_empty() {
        out.blocker(
            "source.json_without_key",
            documents.clone(),
            format!(
                "documents in {} hold values that JSON text can't carry (dates, times, decimals, bytes, some \
                 integers), and the table has no key by which to set them",
                few(&documents)
            ),
            "add a primary key to the table at the source, or leave the table out",
        );
    }
    let numbers = of(Odd::NoMember, Some(true));
    if !numbers.is_empty() {
        out.blocker(
            "target.enum_no_member",
            numbers.clone(),
            format!(
                "{} holds the ENUM's number 0, which is no member: MariaDB takes it only with a warning, and \
                 the copy allows none",
                few(&numbers)
            ),
            "at the source UPDATE .. SET column = NULL (or a member) WHERE column = 0, or leave the table out",
        );
    }
    let unknown = [of(Odd::Json, None), of(Odd::NoMember, None)].concat();
    if !unknown.is_empty() {
        out.warning(
            "source.values_unknown",
            unknown.clone(),
            format!(
                "whether {} holds values that can't be brought over as they are wasn't to be had in time",
                few(&unknown)
            ),
            "none needed: the copy names the table, and stops, if one does",
        );
    }
}

/// Engines: a consistent copy needs transactions on both sides.
pub(super) fn engines(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let mut by_engine: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    for table in &survey.source.catalog.tables {
        // A restore brings tables of MyISAM; [`super::physical`] says what becomes of them.
        let restored = survey.wishes.restored_by.is_some() && table.is_myisam();
        if !table.engine.eq_ignore_ascii_case("InnoDB") && !restored {
            by_engine.entry(table.engine.clone()).or_default().push(table);
        }
    }
    for (engine, tables) in by_engine {
        let objects: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
        let what =
            format!("{} of engine {engine} ({})", count(tables.len(), "table"), few(&objects));
        let holds_rows = matches!(
            engine.to_ascii_lowercase().as_str(),
            "myisam" | "aria" | "memory" | "archive" | "csv"
        );
        if !holds_rows {
            out.blocker(
                "source.engine_unsupported",
                objects,
                if engine.is_empty() {
                    format!("{what}: the server can't open them")
                } else {
                    format!("{what}: daybreak doesn't migrate this engine")
                },
                format!(
                    "convert them to InnoDB, or leave them out with [select] exclude, and {}",
                    without_replication(survey)
                ),
            );
        } else if survey.native() {
            out.blocker(
                "source.engine",
                objects,
                format!(
                    "{what}: without transactions a write during the copy is lost or doubled{}",
                    if survey.to_aurora() { ", and Aurora has InnoDB only" } else { "" }
                ),
                alter_engine(&tables),
            );
        } else if survey.to_aurora() {
            out.warning(
                "source.engine",
                objects,
                format!("{what}: they become InnoDB on the target"),
                format!(
                    "nothing, if that is wanted; to see beforehand that it works: {}",
                    alter_engine(&tables)
                ),
            );
        } else {
            out.blocker(
                "source.engine",
                objects,
                format!("{what}: a chunk that fails half-way can't be rolled back on the target"),
                alter_engine(&tables),
            );
        }
    }
}

/// Tables that aren't ordinary ones.
pub(super) fn kinds(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for odd in &survey.source.inventory.odd_tables {
        by_kind.entry(&odd.kind).or_default().push(odd.name.to_string());
    }
    for (kind, objects) in by_kind {
        let (why, remedy) = match kind {
            "SEQUENCE" => (
                "sequences aren't migrated: MySQL has none, and daybreak doesn't bring their state to MariaDB",
                "replace them by AUTO_INCREMENT columns, or leave them out with [select] exclude",
            ),
            "SYSTEM VERSIONED" => (
                "system-versioned tables of MariaDB aren't migrated: their history would be lost",
                "ALTER TABLE ... DROP SYSTEM VERSIONING (this gives up the history), or leave them out \
                 with [select] exclude",
            ),
            _ => (
                "these are neither tables nor views, and daybreak doesn't know what they are",
                "leave them out with [select] exclude",
            ),
        };
        out.blocker("source.table_kind", objects, format!("{kind}: {why}"), remedy);
    }
}

/// Types that the target doesn't have.
pub(super) fn types(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let to_mysql = match &survey.target {
        Some(target) => target.dialect.product == Product::Mysql,
        None => true,
    };
    let old = survey.target.as_ref().is_some_and(|target| !target.dialect.mysql_from(9, 0, 0));
    let from_mariadb = survey.source.facts.dialect.is_mariadb();
    let mut foreign = Vec::new();
    for table in &survey.source.catalog.tables {
        for column in &table.columns {
            let lower = column.data_type.as_str();
            let of_mariadb = from_mariadb
                && to_mysql
                && (matches!(lower, "uuid" | "inet4" | "inet6" | "xmltype")
                    || column.column_type.to_ascii_uppercase().contains("COMPRESSED"));
            // MySQL has VECTOR from 9.0 on; MariaDB's is another.
            let vector = lower == "vector" && (old || (from_mariadb && to_mysql));
            if of_mariadb || vector {
                foreign.push(format!("{}.{} {}", table.name, column.name, column.column_type));
            }
            // MySQL 8.4 refuses it (error 1063).
            let counts =
                survey.target.as_ref().is_some_and(|target| target.dialect.mysql_from(8, 4, 0));
            if counts && column.auto_increment && matches!(lower, "float" | "double") {
                foreign.push(format!(
                    "{}.{} {} AUTO_INCREMENT",
                    table.name, column.name, column.column_type
                ));
            }
        }
    }
    if !foreign.is_empty() {
        let counting = foreign.iter().any(|column| column.ends_with("AUTO_INCREMENT"));
        out.blocker(
            "target.type_unknown",
            foreign.clone(),
            format!("the target has no such column types: {}", few(&foreign)),
            format!(
                "convert these columns at the source (uuid to BINARY(16) or CHAR(36), inet6 to VARBINARY(16) or \
                 VARCHAR(39), COMPRESSED off{}), or choose a target that has the type",
                if counting { ", a FLOAT that counts up to BIGINT" } else { "" }
            ),
        );
    }
}

/// Keys: what a replica and the verification find rows by.
pub(super) fn keys(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let tables = &survey.source.catalog.tables;
    let keyless: Vec<&Table> =
        tables.iter().filter(|table| table.primary_key().is_none()).collect();
    if keyless.is_empty() {
        return;
    }
    let has_unique = |table: &Table| {
        table.indexes.iter().any(|index| {
            index.unique && index.parts.iter().all(|part| part.column.is_some() && !part.nullable)
        })
    };
    let (unique, none): (Vec<&Table>, Vec<&Table>) =
        keyless.iter().copied().partition(|table| has_unique(table));
    let slow = if survey.native() {
        "replicating an UPDATE or DELETE there may read the whole table"
    } else {
        "the copy and the verification can't split them"
    };
    for (id, tables, why) in [
        (
            "source.no_primary_key",
            &unique,
            "without a primary key; a unique key without NULL stands in for it".to_string(),
        ),
        (
            "source.no_key",
            &none,
            format!("with neither a primary key nor a unique one without NULL: {slow}"),
        ),
    ] {
        let Some(first) = tables.first() else { continue };
        let objects: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
        let severity = if id == "source.no_key" { Severity::Warning } else { Severity::Note };
        out.add(
            severity,
            id,
            objects.clone(),
            format!("{} ({}) {why}", count(tables.len(), "table"), few(&objects)),
            format!(
                "give them one at the source, such as ALTER TABLE {} ADD COLUMN {} BIGINT UNSIGNED NOT NULL \
                 AUTO_INCREMENT PRIMARY KEY;",
                first.name.sql(),
                quote("id")
            ),
        );
    }
    // MySQL before 8.0 and MariaDB look for each row in the order of the event.
    let hashes = survey.target.as_ref().is_none_or(|target| target.dialect.mysql_from(8, 0, 0));
    let moving: Vec<String> = none
        .iter()
        .filter(|table| table.indexes.iter().any(|index| index.unique))
        .map(|table| table.name.to_string())
        .collect();
    if survey.native() && hashes && !moving.is_empty() {
        out.warning(
            "replication.unique_with_null",
            moving.clone(),
            format!(
                "{} ({}) with a unique key, but none without NULL: the target applies the rows of one statement there \
                 in another order than the source did, and stops (1062) if that gives a row a value which another row \
                 was to lose first",
                count(moving.len(), "table"),
                few(&moving)
            ),
            "give them a primary key at the source, or make the unique key's columns NOT NULL; else let no statement \
             there change that key in several rows at once",
        );
    }
    let Some(landing) = survey.landing() else { return };
    for (variable, why) in [
        ("sql_require_primary_key", "the target refuses tables without a primary key"),
        (
            "sql_generate_invisible_primary_key",
            "the target gives tables without a primary key an invisible one, so that both sides differ",
        ),
    ] {
        let may_set = landing.grants.has_any(
            &["SESSION_VARIABLES_ADMIN", "SYSTEM_VARIABLES_ADMIN", "SUPER"],
            crate::source::grants::Scope::Server,
        );
        if landing.facts.on(variable) == Some(true) && !may_set {
            out.blocker(
                &format!("target.{variable}"),
                keyless.iter().map(|table| table.name.to_string()).collect(),
                why,
                format!(
                    "{} until the migration is done, or give the tables a primary key at the source",
                    super::set_global(landing.facts.managed, variable, "OFF")
                ),
            );
        }
    }
}

/// One name for a collation that versions call differently.
fn plain(collation: &str) -> String {
    charset::modern(&collation.to_ascii_lowercase())
}

/// Collations in use that the target doesn't have.
pub(super) fn collations(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let Some(target) = &survey.target else { return };
    let known: Option<BTreeSet<String>> = target
        .landing
        .as_ref()
        .map(|landing| landing.collations.iter().map(|name| plain(name)).collect());
    let unknown = |name: &str| match &known {
        Some(known) => !known.contains(&plain(name)),
        // Only the version is known: what each product has alone.
        None => {
            let (mysql, name) = (target.dialect.product == Product::Mysql, plain(name));
            if mysql {
                name.contains("uca1400")
                    || name.contains("nopad")
                    || (name.contains("0900") && !target.dialect.mysql_from(8, 0, 0))
            } else {
                name.contains("0900")
            }
        }
    };
    let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut look = |collation: Option<&str>, by: String| {
        if let Some(name) = collation.filter(|name| unknown(name)) {
            used.entry(name.to_string()).or_default().push(by);
        }
    };
    let catalog = &survey.source.catalog;
    for table in &catalog.tables {
        for column in &table.columns {
            look(column.collation.as_deref(), format!("{}.{}", table.name, column.name));
        }
        look(table.collation.as_deref(), format!("{} (default)", table.name));
    }
    for database in &catalog.databases {
        look(Some(&database.collation), format!("{} (default)", database.name));
    }
    for object in &survey.source.inventory.objects {
        for collation in &object.collations {
            look(Some(collation), object.describe());
        }
    }
    for (collation, mut objects) in used {
        objects.dedup();
        out.blocker(
            "target.collation_unknown",
            objects.clone(),
            format!("the target doesn't have the collation {collation}, which {} use", few(&objects)),
            "convert them at the source to a collation that both have (ALTER TABLE ... CONVERT TO CHARACTER \
             SET utf8mb4 COLLATE utf8mb4_unicode_520_ci), or choose another target version",
        );
    }
}

/// Options of tables that the target doesn't honour. Where a physical backup would be refused for them,
/// [`super::physical`] says so instead.
pub(super) fn options(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if survey.wishes.restored_by == Some(Profile::Aurora) {
        return;
    }
    let compressed = survey.tables_with(|table| {
        table.page_compressed()
            || ["row_format=compressed", "key_block_size="]
                .iter()
                .any(|word| table.options.contains(word))
    });
    if survey.to_aurora() && !compressed.is_empty() {
        out.warning(
            "source.compressed",
            compressed.clone(),
            format!(
                "{} compressed ({}): Aurora has no compressed tables, so that they need their full size there",
                if compressed.len() == 1 { "1 table is".into() } else { format!("{} tables are", compressed.len()) },
                few(&compressed)
            ),
            "ALTER TABLE ... ROW_FORMAT=DYNAMIC KEY_BLOCK_SIZE=0 at the source, to see the size beforehand",
        );
    }
    let encrypted = survey.tables_with(TableOptions::encrypted);
    if !encrypted.is_empty() {
        out.warning(
            "source.encrypted",
            encrypted.clone(),
            format!("tables are encrypted ({}): a target without a keyring refuses ENCRYPTION='Y'; Aurora \
                     encrypts its whole storage instead", few(&encrypted)),
            "ALTER TABLE ... ENCRYPTION='N' at the source (or ENCRYPTED=NO on MariaDB), and a target with \
             encrypted storage",
        );
    }
    let elsewhere = survey.elsewhere();
    if survey.wishes.restored_by.is_none() && !elsewhere.is_empty() {
        out.note(
            "source.data_directory",
            elsewhere,
            "tables have their files outside the data directory: on the target they lie where it keeps all",
            "nothing",
        );
    }
}

/// Foreign keys that the target takes differently.
pub(super) fn foreign_keys(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let inventory = &survey.source.inventory;
    let describe = |key: &super::super::inventory::ForeignKey| {
        format!("{}.{} to {}", key.table, key.name, key.parent)
    };
    let outside: Vec<String> = inventory
        .foreign_keys
        .iter()
        .filter(|key| !survey.wishes.selection.takes_table(&key.parent))
        .map(describe)
        .collect();
    if !outside.is_empty() {
        out.blocker(
            "select.foreign_keys",
            outside.clone(),
            format!("foreign keys point to tables that aren't selected: {}", few(&outside)),
            "select those tables too, or drop the keys at the source",
        );
    }
    let refused = survey
        .landing()
        .is_some_and(|landing| landing.facts.on("restrict_fk_on_non_standard_key") == Some(true));
    let non_unique: Vec<String> =
        inventory.foreign_keys.iter().filter(|key| key.non_unique).map(describe).collect();
    if refused && !non_unique.is_empty() {
        out.warning(
            "target.foreign_key_non_unique",
            non_unique.clone(),
            format!("foreign keys point to columns without a unique key ({}): the target refuses them from \
                     applications (restrict_fk_on_non_standard_key)", few(&non_unique)),
            "make the parent's columns unique, or set restrict_fk_on_non_standard_key = OFF in the target's \
             parameter group",
        );
    }
}

/// Foreign keys to rows that a condition leaves out: the server would add them all the same, and they
/// wouldn't hold.
pub(super) fn orphans(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let of = |wanted: Option<bool>| -> Vec<String> {
        let orphans = survey.source.orphans.iter().filter(|orphans| orphans.found == wanted);
        orphans.map(|orphans| orphans.key.to_string()).collect()
    };
    let (broken, unknown) = (of(Some(true)), of(None));
    if !broken.is_empty() {
        out.blocker(
            "select.orphans",
            broken.clone(),
            format!("rows that are taken refer to rows that a condition leaves out, so that their foreign keys \
                     wouldn't hold: {}", few(&broken)),
            "give the table that refers a condition as well (column IN (SELECT key FROM parent WHERE the parent's \
             condition)), widen the parent's, or drop the key at the source",
        );
    }
    if !unknown.is_empty() {
        out.warning(
            "select.orphans_unknown",
            unknown.clone(),
            format!("whether rows that are taken refer to rows that a condition leaves out wasn't to be had in time: \
                     {}", few(&unknown)),
            "none needed: the step `indexes` looks on the target, and stops if one does",
        );
    }
}

/// Spatial indexes that MySQL 8.0 doesn't use.
pub(super) fn spatial(survey: &Survey, _: &Estimates, out: &mut Findings) {
    if survey.source.facts.dialect.mysql_from(8, 0, 0) {
        // Columns with an SRID are told apart there, and the source behaves as the target does.
        return;
    }
    let indexes: Vec<String> = survey
        .source
        .catalog
        .tables
        .iter()
        .flat_map(|table| {
            table
                .indexes
                .iter()
                .filter(|index| index.kind.eq_ignore_ascii_case("SPATIAL"))
                .map(|index| format!("{}.{}", table.name, index.name))
        })
        .collect();
    if !indexes.is_empty() {
        out.note(
            "target.spatial_srid",
            indexes,
            "from MySQL 8.0 on the optimizer uses a spatial index only if its column has an SRID",
            "after the cutover: ALTER TABLE ... MODIFY COLUMN ... NOT NULL SRID n",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn utf8_has_two_names() {
        assert_eq!(plain("utf8_general_ci"), plain("utf8mb3_general_ci"));
        assert_ne!(plain("utf8mb4_general_ci"), plain("utf8mb3_general_ci"));
    }
}
