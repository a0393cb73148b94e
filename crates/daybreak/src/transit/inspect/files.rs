//! What the names of a backup's files tell: whether the server or the tool writes such files, and which
//! belong together.

use super::{
    links::Files,
    probe::{Content, unpacked_name},
};
use crate::mysql;

/// Endings of files in a database's directory.
const ENDINGS: &[&str] = &[
    "frm", "ibd", "par", "opt", "isl", "sdi", "cfg", "cfp", "MYD", "MYI", "MRG", "CSV", "CSM",
    "ARZ", "ARM", "MAD", "MAI", "TRN", "TRG", "delta", "meta",
];

/// What mariadb-backup leaves for its preparation about tables that were created, renamed or dropped
/// while it ran.
const MARIADB: &[&str] = &["new", "ren", "del"];

/// Other files at the root of a backup, as the server and the tools write them.
const ROOT: &[&str] = &[
    "backup-my.cnf",
    "auto.cnf",
    "mysqld-auto.cnf",
    "server-my.cnf",
    "ib_buffer_pool",
    "ibtmp1",
    "aria_log_control",
    "ddl_recovery-backup.log",
    "mysql_upgrade_info",
    "mariadb_upgrade_info",
    "donor_galera_info",
    "backup_galera_info",
    "debian-5.5.flag",
    "debian-5.6.flag",
    "debian-5.7.flag",
];

/// What the tools write begins so.
const ROOT_BEGINNINGS: &[&str] = &[
    "xtrabackup_",
    "mariadb_backup_",
    "ibdata",
    "ib_logfile",
    "undo",
    "aria_log.",
    "#ib_",
    "#innodb_redo/",
    "#innodb_temp/",
    "component_keyring",
    // What daybreak itself keeps beside a backup.
    "daybreak",
    ".daybreak",
];

/// Whether a file, by its name within a backup, is one that the server or a tool writes.
pub fn is_known(name: &str) -> bool {
    let (name, _) = unpacked_name(name);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if name.starts_with("#innodb_") || (ROOT.contains(&name) && !name.contains('/')) {
        return true;
    }
    match name.split_once('/') {
        Some((_, file)) => {
            !file.contains('/') && (ENDINGS.contains(&ending) || MARIADB.contains(&ending))
        }
        None => {
            let binary_log = !ending.is_empty() && ending.bytes().all(|byte| byte.is_ascii_digit());
            ROOT_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
                || binary_log
                || ["index", "ibd", "ibu", "pem", "isl", "delta", "meta"].contains(&ending)
        }
    }
}

/// Files that come in pairs.
const PAIRS: &[(&str, &str)] = &[("MYD", "MYI"), ("CSV", "CSM"), ("MAD", "MAI"), ("delta", "meta")];

/// Endings of files that a table with a `.frm` has.
const OF_A_FRM: &[&str] = &["MYD", "MYI", "CSV", "CSM", "MAD", "MAI", "ARZ", "MRG", "par"];

/// What is missing among files that belong together, in words.
pub fn missing(files: &Files<'_>, has_frm: bool) -> Vec<String> {
    let mut missing = Vec::new();
    // The last database that was looked at: its files are neighbours.
    let mut last: Option<(&str, bool)> = None;
    for (name, seen) in files.iter() {
        let Some((base, ending)) = unpacked_name(name).0.rsplit_once('.') else { continue };
        for (one, other) in PAIRS {
            let wanted = if ending == *one { other } else { one };
            if [one, other].contains(&&ending) && !files.has(&format!("{base}.{wanted}")) {
                missing.push(format!("{base}.{wanted} (there is {base}.{ending})"));
            }
        }
        if ["TRN", "par", "cfg"].contains(&ending) {
            // A trigger's own name needn't be its table's.
            let database = base.split('/').next().unwrap_or_default();
            let any = match last {
                Some((same, any)) if same == database => any,
                _ => has_tables(files, database),
            };
            last = Some((database, any));
            if !any {
                missing.push(format!("the table of {base}"));
            }
        }
        if !has_frm {
            continue;
        }
        if OF_A_FRM.contains(&ending) {
            let table = base.split("#P#").next().unwrap_or(base);
            let table = table.split("#p#").next().unwrap_or(table);
            if !files.has(&format!("{table}.frm")) {
                missing.push(format!("{table}.frm (there is {base}.{ending})"));
            }
        }
        if let (Content::Frm(engine), "frm") = (&seen.content, ending) {
            let wanted: &[&str] = match engine {
                9 => &["MYD", "MYI"],
                16 => &["ARZ"],
                17 => &["CSV", "CSM"],
                _ => &[],
            };
            // Of a partitioned table the partitions' files have names of their own.
            let parted = !wanted.is_empty() && files.has(&format!("{base}.par"));
            for ending in wanted.iter().filter(|_| !parted) {
                let is_there = files.has(&format!("{base}.{ending}"))
                    || ["#P#", "#p#"].iter().any(|mark| has_partition(files, base, mark, ending));
                if !is_there {
                    missing.push(format!("{base}.{ending} (there is {base}.frm)"));
                }
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// A file's ending, however it is packed.
fn ending(name: &str) -> &str {
    unpacked_name(name).0.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether files of tables are in a database.
fn has_tables(files: &Files<'_>, database: &str) -> bool {
    const OF_TABLES: [&str; 3] = ["TRG", "frm", "ibd"];
    let mut its = files.beginning(&format!("{database}/"));
    its.any(|(name, _)| OF_TABLES.contains(&ending(name)))
        || OF_TABLES.iter().any(|ending| files.has(&format!("{database}.{ending}")))
}

/// Whether a partition of a table has a file with this ending.
fn has_partition(files: &Files<'_>, table: &str, mark: &str, wanted: &str) -> bool {
    files.beginning(&format!("{table}{mark}")).any(|(name, _)| ending(name) == wanted)
}

/// An engine's name, by the number in a `.frm`. Source: MySQL's and MariaDB's `legacy_db_type`.
pub fn engine(number: u8) -> Option<&'static str> {
    Some(match number {
        6 => "MEMORY",
        9 => "MyISAM",
        10 => "MRG_MYISAM",
        12 => "InnoDB",
        14 => "NDB",
        16 => "ARCHIVE",
        17 => "CSV",
        18 => "FEDERATED",
        19 => "BLACKHOLE",
        28 => "PERFORMANCE_SCHEMA",
        43 => "Aria",
        _ => return None,
    })
}

/// Whether a file in the schema `mysql` is of the server's own tables, or of MySQL Enterprise Backup's. The
/// definitions of MySQL 8.0 have a number behind the name.
pub fn is_system_table(table: &str) -> bool {
    const OF_BACKUPS: [&str; 3] = ["backup_history", "backup_progress", "inventory"];
    let table = table.split("#P#").next().unwrap_or(table);
    let plain = match table.rsplit_once('_') {
        Some((front, number))
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            front
        }
        _ => table,
    };
    [table, plain]
        .into_iter()
        .any(|name| mysql::is_system_table(name) || OF_BACKUPS.contains(&name))
}
