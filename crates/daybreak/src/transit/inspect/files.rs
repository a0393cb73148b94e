//! What the names of a backup's files tell: whether the server or the tool writes such files, and which
//! belong together.

use std::collections::{BTreeMap, BTreeSet};

use super::probe::{Content, Seen, unpacked_name};
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

/// What is missing among files that belong together, in words.
pub fn missing(files: &BTreeMap<&str, &Seen>, has_frm: bool) -> Vec<String> {
    // Base names by ending: `db/t` of `db/t.MYD`.
    let mut by_ending: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in files.keys() {
        if let Some((base, ending)) = unpacked_name(name).0.rsplit_once('.') {
            by_ending.entry(ending).or_default().insert(base);
        }
    }
    let none = BTreeSet::new();
    let of = |ending: &str| by_ending.get(ending).unwrap_or(&none);
    let mut missing = BTreeSet::new();
    for (one, other) in [("MYD", "MYI"), ("CSV", "CSM"), ("MAD", "MAI"), ("delta", "meta")] {
        for (has, wants) in [(one, other), (other, one)] {
            for base in of(has).difference(of(wants)) {
                missing.insert(format!("{base}.{wants} (there is {base}.{has})"));
            }
        }
    }
    for base in of("TRN").iter().chain(of("par")).chain(of("cfg")) {
        // A trigger's own name needn't be its table's.
        let database = base.split('/').next().unwrap_or_default();
        let any = of("TRG").iter().chain(of("frm")).chain(of("ibd"));
        if !any.into_iter().any(|other| other.split('/').next() == Some(database)) {
            missing.insert(format!("the table of {base}"));
        }
    }
    if has_frm {
        for ending in ["MYD", "MYI", "CSV", "CSM", "MAD", "MAI", "ARZ", "MRG", "par"] {
            for base in of(ending) {
                let table = base.split("#P#").next().unwrap_or(base);
                let table = table.split("#p#").next().unwrap_or(table);
                if !of("frm").contains(table) {
                    missing.insert(format!("{table}.frm (there is {base}.{ending})"));
                }
            }
        }
        for (name, seen) in files {
            let (Content::Frm(engine), Some(base)) =
                (&seen.content, unpacked_name(name).0.strip_suffix(".frm"))
            else {
                continue;
            };
            let wanted: &[&str] = match engine {
                9 => &["MYD", "MYI"],
                16 => &["ARZ"],
                17 => &["CSV", "CSM"],
                _ => &[],
            };
            // Of a partitioned table the partitions' files have names of their own.
            if wanted.is_empty() || of("par").contains(base) {
                continue;
            }
            let parted = |set: &BTreeSet<&str>| set.iter().any(|other| partition_of(other, base));
            for ending in wanted {
                if !of(ending).contains(base) && !parted(of(ending)) {
                    missing.insert(format!("{base}.{ending} (there is {base}.frm)"));
                }
            }
        }
    }
    missing.into_iter().collect()
}

fn partition_of(file: &str, table: &str) -> bool {
    file.strip_prefix(table).is_some_and(|rest| rest.starts_with("#P#") || rest.starts_with("#p#"))
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
