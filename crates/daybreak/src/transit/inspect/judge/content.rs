//! What the files of a backup tell: damage, what was left out, what is packed or encrypted.

use super::{Findings, few};
use crate::transit::{
    inspect::{
        files,
        links::Backup,
        metadata,
        probe::{Content, Packed, Seen, unpacked_name},
    },
    inspection::BackupKind,
};

/// Files that are damaged, missing or unknown.
pub(super) fn judge(backup: &Backup<'_>, found: &mut Findings) {
    let mut damaged = Vec::new();
    for (name, seen) in backup.files.iter() {
        let flaw = seen.flaw().map(str::to_string).or_else(|| flaw_of(backup, name, seen));
        if let Some(flaw) = flaw {
            damaged.push(format!("{name}: {flaw}"));
        }
    }
    found.each("backup.file_damaged", damaged);
    found.each("backup.page_damaged", damaged_pages(backup));
    let mut missing = files::missing(&backup.files, backup.has_frm());
    missing.extend(system_files(backup));
    found.each("backup.file_missing", missing);
    let unknown =
        backup.files.names().filter(|name| !files::is_known(name)).map(ToString::to_string);
    found.each("backup.unknown_file", unknown.collect());
    let unread: Vec<String> = backup
        .files
        .names()
        .filter(|name| matches!(unpacked_name(name).1, Packed::Other | Packed::Encrypted))
        .map(ToString::to_string)
        .collect();
    if !unread.is_empty() {
        let what = few(&unread);
        found.add("backup.unread", unread, what);
    }
}

fn flaw_of(backup: &Backup<'_>, name: &str, seen: &Seen) -> Option<String> {
    match &seen.content {
        Content::Space(space) => {
            let stored = u64::from(space.stored()).max(1);
            let size = seen.plain_size();
            let path = backup.settings.get("innodb_data_file_path");
            let whole_space =
                unpacked_name(name).0 != "ibdata1" || !path.is_some_and(|path| path.contains(';'));
            if !size.is_multiple_of(stored) {
                return Some(format!("{size} bytes are no whole pages of {stored}"));
            }
            (whole_space && size / stored < u64::from(space.pages)).then(|| {
                format!("{} pages of {}, by its own first page", size / stored, space.pages)
            })
        }
        Content::Delta(by_size) => {
            match &meta_of(backup, name)?.content {
                Content::Meta { page, .. } => match by_size.get(*page) {
                    // The files of the system tablespace after the first count their pages from 0.
                    Some(seen) if seen.other_pages && !is_later_system_file(name) => {
                        Some("its first page isn't the one that it names".into())
                    }
                    Some(seen) => seen.flaw.clone(),
                    None => Some(format!("pages of {page} bytes")),
                },
                Content::Text(text) => {
                    metadata::delta_meta(text).err().map(|what| format!("its .meta: {what}"))
                }
                _ => None,
            }
        }
        Content::Redo(redo) => {
            let checkpoints = backup.checkpoints.as_ref()?;
            let raw = matches!(checkpoints.kind, BackupKind::Full | BackupKind::Incremental);
            // Beside xtrabackup_logfile another one is the server's.
            let second = name.starts_with("ib_logfile") && backup.files.has("xtrabackup_logfile");
            (raw && !second).then(|| redo.flaw(checkpoints, knows_redo(backup)))?
        }
        Content::Index(None) => Some("it isn't the index file of a table of MyISAM".into()),
        Content::Index(Some(head)) if !head.open => {
            let size = seen.plain_size();
            if size < head.index {
                return Some(format!("{size} bytes of {}, by its own head", head.index));
            }
            let data = format!("{}.MYD", unpacked_name(name).0.strip_suffix(".MYI")?);
            let data = backup.file(&data)?;
            let size = data.plain_size();
            (size < head.data)
                .then(|| format!("its .MYD has {size} bytes of {}, by its head", head.data))
        }
        _ => None,
    }
}

/// What tells of changed pages, by their file's name.
fn meta_of<'a>(backup: &Backup<'a>, name: &str) -> Option<&'a Seen> {
    backup.file(&format!("{}.meta", unpacked_name(name).0.strip_suffix(".delta")?))
}

fn is_later_system_file(name: &str) -> bool {
    name.starts_with("ibdata") && !name.starts_with("ibdata1.")
}

/// Whether the format of its redo log is one that is surely known: blocks in MySQL 5.x, with the size that
/// all but Percona's have, and MariaDB's since 10.8.
fn knows_redo(backup: &Backup<'_>) -> bool {
    let plain = backup.settings.get("innodb_log_block_size").is_none_or(|size| size == "512");
    let mariadb = super::product(backup) == Some(crate::transit::inspection::Product::Mariadb);
    plain
        && backup.server().is_some_and(|version| match mariadb {
            true => version >= (10, 8, 0),
            false => version < (8, 0, 0),
        })
}

/// Pages that don't fit their checksums, by file.
fn damaged_pages(backup: &Backup<'_>) -> Vec<String> {
    let mut files = Vec::new();
    for (name, seen) in backup.files.iter() {
        let damaged = match &seen.content {
            Content::Space(_) => seen.special().and_then(|special| special.damaged.said()),
            Content::Delta(by_size) => match meta_of(backup, name).map(|meta| &meta.content) {
                Some(Content::Meta { page, .. }) => {
                    by_size.get(*page).and_then(|seen| seen.damaged.said())
                }
                _ => None,
            },
            _ => None,
        };
        files.extend(damaged.map(|pages| format!("{name}: {pages}")));
    }
    files
}

/// Files without which no server starts on the backup.
fn system_files(backup: &Backup<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    let has =
        |wanted: &str| backup.files.has(wanted) || backup.files.has(&format!("{wanted}.delta"));
    let path = backup.settings.get("innodb_data_file_path").map_or("ibdata1", String::as_str);
    for file in path.split(';') {
        let file = file.trim_matches(['"', '\'', ' ']).split(':').next().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or(file);
        if !file.is_empty() && !has(file) {
            missing.push(file.to_string());
        }
    }
    if backup.server().is_some_and(|version| version >= (8, 0, 0))
        && !backup.has_frm()
        && !has("mysql.ibd")
    {
        missing.push("mysql.ibd".into());
    }
    let raw = backup
        .checkpoints
        .as_ref()
        .is_some_and(|found| matches!(found.kind, BackupKind::Full | BackupKind::Incremental));
    if raw && !has("xtrabackup_logfile") && !has("ib_logfile0") {
        missing.push("xtrabackup_logfile".into());
    }
    missing
}

/// Whether databases or tables were left out.
pub(super) fn is_partial(backup: &Backup<'_>, found: &mut Findings) -> bool {
    let mut signs = Vec::new();
    if let Some(info) = &backup.info {
        if info.is_on("partial") {
            signs.push("partial = Y".to_string());
        }
        // The same that `Info::is_partial` goes by.
        signs.extend(info.narrowing());
    }
    // A stream that was cut lacks much; that is said already.
    if backup.absent.is_empty() {
        for database in ["mysql", "performance_schema"] {
            let space = format!("{database}.ibd");
            if !backup.has_database(database) && !backup.files.has(&space) {
                signs.push(format!("no {database}/"));
            }
        }
        let lacking = lacking_tables(backup);
        if !lacking.is_empty() {
            signs.push(format!("tables that InnoDB's dictionary names: {}", few(&lacking)));
        }
    }
    if signs.is_empty() {
        return false;
    }
    let what = format!("{}: {}", backup.name, signs.join("; "));
    found.add("backup.partial", signs, what);
    true
}

/// Tables that the dictionary in the system tablespace names and that have no file (5.x).
fn lacking_tables(backup: &Backup<'_>) -> Vec<String> {
    let Some(system) = backup.system() else { return Vec::new() };
    system
        .tables()
        .into_iter()
        .filter(|table| table.space != 0)
        // What an ALTER TABLE in mid-way leaves isn't anybody's table.
        .filter(|table| !table.name.contains("#sql"))
        .filter(|table| !backup.files.has(&format!("{}.ibd", table.name)))
        .map(|table| table.name.clone())
        .collect()
}

/// Whether the tool compressed files.
pub(super) fn is_compressed(backup: &Backup<'_>) -> bool {
    let packed = |name: &str| {
        let inner = name.strip_suffix(".xbcrypt").unwrap_or(name);
        matches!(unpacked_name(inner).1, Packed::Qpress | Packed::Other)
    };
    backup.files.names().any(packed)
        || backup.info.as_ref().is_some_and(|info| info.is_on("compressed"))
}

/// Whether the tool encrypted files.
pub(super) fn is_tool_encrypted(backup: &Backup<'_>) -> bool {
    backup.files.names().any(|name| unpacked_name(name).1 == Packed::Encrypted)
        || backup.info.as_ref().is_some_and(|info| info.is_on("encrypted"))
}

/// Whether files are encrypted, by the tool or by the server.
pub(super) fn is_encrypted(backup: &Backup<'_>) -> bool {
    is_tool_encrypted(backup)
        || backup.files.get("xtrabackup_keys").is_some()
        || backup.spaces().any(|(_, space)| space.encrypted)
}

/// The page size.
pub(super) fn page_size(backup: &Backup<'_>) -> Option<u32> {
    let pages = || backup.spaces().find_map(|(_, space)| space.page_size());
    backup.settings.get("innodb_page_size").and_then(|size| size.parse().ok()).or_else(pages)
}
