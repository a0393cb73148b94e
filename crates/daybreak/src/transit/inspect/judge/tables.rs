//! Tables of InnoDB whose files should be there and aren't (5.x, MariaDB: a table has a `.frm`).
//!
//! A table without a file of its own needn't have lost it: it may lie in the system tablespace, or may have
//! been created or rebuilt while the tool ran, and is then made from the redo log. InnoDB's dictionary in the
//! system tablespace tells, and the numbers of tablespaces, which are given in order: one whose number is
//! below that of a file that is there was there when the tool began. Of MySQL 8.0 the dictionary
//! (`mysql.ibd`) isn't read.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::transit::{
    inspect::{
        links::Backup,
        metadata,
        probe::{Content, unpacked_name},
    },
    inspection::BackupKind,
};

/// The tables of a backup, as far as its files tell.
#[derive(Debug, Default)]
struct Tables<'a> {
    /// Those of InnoDB, by their `.frm`.
    defined: BTreeSet<&'a str>,
    /// Those with a file of their own, partitions as their table, with the tablespaces' numbers.
    filed: BTreeMap<&'a str, BTreeSet<u32>>,
    /// All tablespaces' numbers.
    spaces: BTreeSet<u32>,
}

/// A file's table: partitions have `#P#` in their names (MariaDB, MySQL 5.x), of a table only one `.frm`.
fn table(base: &str) -> &str {
    let end = base.find("#P#").or_else(|| base.find("#p#"));
    &base[..end.unwrap_or(base.len())]
}

impl<'a> Tables<'a> {
    fn of(backup: &Backup<'a>) -> Tables<'a> {
        let mut tables = Tables::default();
        for (name, seen) in &backup.files {
            let name = unpacked_name(name).0;
            if let (Content::Frm(12), Some(base)) = (&seen.content, name.strip_suffix(".frm")) {
                tables.defined.insert(base);
            }
            let (base, number) = match (&seen.content, name) {
                (Content::Space(space), name) => {
                    let base = name.strip_suffix(".ibd").or_else(|| name.strip_suffix(".new"));
                    (base, Some(space.id).filter(|_| !space.blank && space.flaw.is_none()))
                }
                (Content::Delta(_), name) => (name.strip_suffix(".ibd.delta"), None),
                // What can't be read is there all the same.
                (_, name) if name.ends_with(".ibd") => (name.strip_suffix(".ibd"), None),
                (Content::Text(text), name) if name.ends_with(".ibd.meta") => {
                    let number = metadata::delta_meta(text).ok().map(|(_, number)| number);
                    (name.strip_suffix(".ibd.meta"), number)
                }
                _ => continue,
            };
            if let Some(base) = base {
                let numbers = tables.filed.entry(table(base)).or_default();
                numbers.extend(number);
                tables.spaces.extend(number);
            }
        }
        tables
    }

    /// Tables of InnoDB for which no file is there under their name.
    fn unfiled(&self) -> impl Iterator<Item = &'a str> {
        self.defined.iter().copied().filter(|table| !self.filed.contains_key(table))
    }
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
            let (lost, unsure) = by_dictionary(backup, &Tables::of(backup));
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
        let before: Vec<Tables<'_>> = order[..at].iter().map(|one| Tables::of(one)).collect();
        let (lost, unsure) = by_base(&Tables::of(backup), &before);
        found.each("backup.file_missing", named(backup, &lost));
        found.each("backup.table_unfiled", named(backup, &unsure));
    }
}

fn named(backup: &Backup<'_>, tables: &[String]) -> Vec<String> {
    tables.iter().map(|table| format!("{}: {table}", backup.name)).collect()
}

/// Tables that the dictionary names with a tablespace of their own, older than one that is there: lost if
/// they are defined (definitions are copied last), not sure if they may have been dropped meanwhile.
fn by_dictionary(backup: &Backup<'_>, tables: &Tables<'_>) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut unsure) = (Vec::new(), Vec::new());
    let Some(system) = backup.system() else { return (lost, unsure) };
    let newest = tables.spaces.last().copied().unwrap_or(0);
    for one in system.tables() {
        let older = one.space != 0 && one.space < newest && !tables.spaces.contains(&one.space);
        let file = format!("{}.ibd", one.name);
        // What an ALTER TABLE in mid-way leaves isn't anybody's table; one with another number was made again.
        if !older || one.name.contains("#sql") || backup.has_file(&file) {
            continue;
        }
        match tables.defined.contains(one.name.as_str()) {
            true => lost.push(file),
            false => unsure.push(file),
        }
    }
    (lost, unsure)
}

/// Tables that are there and whose changed pages aren't: lost if the base has a file of them, and not sure
/// if nothing in the base tells.
fn by_base(tables: &Tables<'_>, before: &[Tables<'_>]) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut unsure) = (Vec::new(), Vec::new());
    for name in tables.unfiled() {
        let base = before.iter().rev().find(|base| base.defined.contains(name));
        match base.map(|base| base.filed.get(name)) {
            // Under another name since it was renamed.
            Some(Some(numbers)) if numbers.iter().any(|n| tables.spaces.contains(n)) => {}
            Some(Some(_)) => lost.push(format!("{name}.ibd.delta")),
            // In the system tablespace, as it was before.
            Some(None) => {}
            None => unsure.push(name.to_string()),
        }
    }
    (lost, unsure)
}
