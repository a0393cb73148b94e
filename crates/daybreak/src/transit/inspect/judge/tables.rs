//! Tables of InnoDB whose files should be there and aren't (5.x, MariaDB: a table has a `.frm`).
//!
//! A table without a file of its own needn't have lost it: it may lie in the system tablespace, or may have
//! been created or rebuilt while the tool ran, and is then made from the redo log. InnoDB's dictionary in the
//! system tablespace tells, and the numbers of tablespaces, which are given in order: one whose number is
//! below that of a file that is there was there when the tool began. Of MySQL 8.0 the dictionary
//! (`mysql.ibd`) isn't read.

use super::Findings;
use crate::transit::{
    inspect::{
        links::Backup,
        metadata,
        probe::{Content, Seen, unpacked_name},
    },
    inspection::BackupKind,
};

/// A file's table: partitions have `#P#` in their names (MariaDB, MySQL 5.x), of a table only one `.frm`.
fn table(base: &str) -> &str {
    let end = base.find("#P#").or_else(|| base.find("#p#"));
    &base[..end.unwrap_or(base.len())]
}

/// The table of which a file is the tablespace, or a partition's, and the tablespace's number if it is known.
fn filed<'a>(name: &'a str, seen: &Seen) -> Option<(&'a str, Option<u32>)> {
    let name = unpacked_name(name).0;
    let (base, number) = match &seen.content {
        Content::Space(space) => (
            name.strip_suffix(".ibd").or_else(|| name.strip_suffix(".new")),
            Some(space.id).filter(|_| !space.blank),
        ),
        Content::Delta(_) => (name.strip_suffix(".ibd.delta"), None),
        Content::Meta { space, .. } => (name.strip_suffix(".ibd.meta"), Some(*space)),
        // What can't be read is there all the same.
        Content::NoSpace => (name.strip_suffix(".ibd").or_else(|| name.strip_suffix(".new")), None),
        _ => {
            let known = name.strip_suffix(".ibd").or_else(|| name.strip_suffix(".ibd.meta"));
            (known, None)
        }
    };
    base.map(|base| (table(base), number))
}

/// The table of InnoDB that a file defines.
fn defined<'a>(name: &'a str, seen: &Seen) -> Option<&'a str> {
    matches!(seen.content, Content::Frm(12)).then(|| unpacked_name(name).0.strip_suffix(".frm"))?
}

/// Whether a table of InnoDB is defined.
fn is_defined(backup: &Backup<'_>, table: &str) -> bool {
    let mut files = backup.files.beginning(&format!("{table}.frm"));
    files.any(|(name, seen)| defined(name, seen) == Some(table))
}

/// The numbers of a table's tablespaces; none if it has no file of its own.
fn numbers(backup: &Backup<'_>, table: &str) -> Option<Vec<u32>> {
    let mut numbers = None;
    for ending in [".", "#P#", "#p#"] {
        for (name, seen) in backup.files.beginning(&format!("{table}{ending}")) {
            if let Some((_, number)) = filed(name, seen).filter(|(of, _)| *of == table) {
                numbers.get_or_insert_with(Vec::new).extend(number);
            }
        }
    }
    numbers
}

/// The numbers of all tablespaces, in order.
fn all_numbers(backup: &Backup<'_>) -> Vec<u32> {
    let files = backup.files.iter();
    let mut all: Vec<u32> = files.filter_map(|(name, seen)| filed(name, seen)?.1).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Looks for lost files: in each backup by its dictionary, in each link by the one before it.
pub(super) fn judge(backups: &[Backup<'_>], order: &[&Backup<'_>], found: &mut Findings) {
    for backup in backups {
        let is_unread = !backup.has_frm() && backup.info.is_some();
        if is_unread {
            found.each("backup.tables_unknown", vec![backup.name.clone()]);
        }
        let partial = backup.info.as_ref().is_none_or(metadata::Info::is_partial);
        if !partial && !is_unread && backup.absent.is_empty() {
            let (lost, unsure) = by_dictionary(backup);
            found.each("backup.file_missing", named(backup, &lost));
            found.each("backup.table_unfiled", named(backup, &unsure));
        }
    }
    for (at, backup) in order.iter().enumerate() {
        let incremental = backup
            .checkpoints
            .as_ref()
            .is_some_and(|checkpoints| checkpoints.kind == BackupKind::Incremental);
        let partial = backup.info.as_ref().is_none_or(metadata::Info::is_partial);
        if !incremental || partial || !backup.has_frm() || !backup.absent.is_empty() {
            continue;
        }
        let (lost, unsure) = by_base(backup, &order[..at]);
        found.each("backup.file_missing", named(backup, &lost));
        found.each("backup.table_unfiled", named(backup, &unsure));
    }
}

fn named(backup: &Backup<'_>, tables: &[String]) -> Vec<String> {
    tables.iter().map(|table| format!("{}: {table}", backup.name)).collect()
}

/// Tables that the dictionary names with a tablespace of their own, older than one that is there: lost if
/// they are defined (definitions are copied last), not sure if they may have been dropped meanwhile.
fn by_dictionary(backup: &Backup<'_>) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut unsure) = (Vec::new(), Vec::new());
    let Some(system) = backup.system() else { return (lost, unsure) };
    let numbers = all_numbers(backup);
    let newest = numbers.last().copied().unwrap_or(0);
    for one in system.tables() {
        let is_there = numbers.binary_search(&one.space).is_ok();
        let older = one.space != 0 && one.space < newest && !is_there;
        let file = format!("{}.ibd", one.name);
        // What an ALTER TABLE in mid-way leaves isn't anybody's table; one with another number was made again.
        if !older || one.name.contains("#sql") || backup.files.has(&file) {
            continue;
        }
        match is_defined(backup, &one.name) {
            true => lost.push(file),
            false => unsure.push(file),
        }
    }
    (lost, unsure)
}

/// Tables that are there and whose changed pages aren't: lost if the base has a file of them, and not sure
/// if nothing in the base tells.
fn by_base(backup: &Backup<'_>, before: &[&Backup<'_>]) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut unsure) = (Vec::new(), Vec::new());
    let mut unfiled: Vec<&str> = backup
        .files
        .iter()
        .filter_map(|(name, seen)| defined(name, seen))
        .filter(|table| numbers(backup, table).is_none())
        .collect();
    unfiled.sort_unstable();
    unfiled.dedup();
    let here = all_numbers(backup);
    for name in unfiled {
        let base = before.iter().rev().find(|base| is_defined(base, name));
        match base.map(|base| numbers(base, name)) {
            // Under another name since it was renamed.
            Some(Some(numbers)) if numbers.iter().any(|n| here.binary_search(n).is_ok()) => {}
            Some(Some(_)) => lost.push(format!("{name}.ibd.delta")),
            // In the system tablespace, as it was before.
            Some(None) => {}
            None => unsure.push(name.to_string()),
        }
    }
    (lost, unsure)
}
