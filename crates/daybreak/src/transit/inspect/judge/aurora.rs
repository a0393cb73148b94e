//! What Amazon Aurora takes and refuses.

use super::{Findings, content, few, product};
use crate::transit::{
    MAX_OBJECTS, MAX_TOTAL,
    inspect::{
        Source, files,
        links::{Backup, version},
        probe::{Content, unpacked_name},
        server,
    },
    inspection::{BackupKind, Form, Inspection, Product},
};

pub(super) fn judge(
    sources: &[Source],
    backups: &[Backup<'_>],
    inspection: &Inspection,
    found: &mut Findings,
) {
    forms(sources, backups, inspection, found);
    for backup in backups {
        server(backup, found);
        settings(backup, found);
        tables(backup, found);
        let name = || vec![backup.name.clone()];
        if content::is_compressed(backup) {
            found.each("backup.compressed", name());
        }
        if content::is_tool_encrypted(backup) {
            found.each("backup.encrypted", name());
        }
    }
    if !backups.is_empty() {
        found.add("backup.not_migrated", Vec::new(), "beside the tables");
    }
}

fn forms(
    sources: &[Source],
    backups: &[Backup<'_>],
    inspection: &Inspection,
    found: &mut Findings,
) {
    for source in sources {
        let Some(names) = &source.names else { continue };
        let name = || vec![source.name.clone()];
        match (source.form, names.ending) {
            (Form::XbstreamGz, _) => found.each("backup.gzipped_xbstream", name()),
            (Form::TarGz, ".tar.gz" | ".gz")
            | (Form::Tar, ".tar")
            | (Form::Xbstream, ".xbstream")
            | (Form::Directory, _) => {}
            _ => found.each("backup.name", name()),
        }
        if names.dotted || !names.even {
            found.each("backup.part_names", name());
        }
    }
    let mut kinds: Vec<Form> = backups.iter().map(|backup| backup.form).collect();
    kinds.dedup();
    if kinds.len() > 1 {
        let names: Vec<String> = backups.iter().map(|backup| backup.name.clone()).collect();
        found.each("backup.mixed_forms", names);
    }
    let packed: Vec<String> = inspection
        .chain
        .iter()
        .filter(|link| link.kind == BackupKind::Incremental && link.form != Form::Directory)
        .map(|link| link.name.clone())
        .collect();
    found.each("backup.incremental_form", packed);
    let plain = backups.iter().filter(|backup| backup.form == Form::Directory);
    let files: u64 = plain.map(|backup| backup.files.len() as u64).sum();
    if files > MAX_OBJECTS {
        found.add("backup.files", Vec::new(), format!("{files} files"));
    }
    if inspection.bytes > MAX_TOTAL {
        found.add("backup.size", Vec::new(), format!("{} bytes", inspection.bytes));
    }
}

fn server(backup: &Backup<'_>, found: &mut Findings) {
    let Some(info) = &backup.info else { return };
    let said = info.get("server_version").unwrap_or("unknown");
    let objects = || vec![backup.name.clone()];
    let product = product(backup);
    for (id, what) in server::release(product, said) {
        found.add(id, objects(), what);
    }
    let (Some(Product::Mysql | Product::Percona), Some(accepted), Some(server)) =
        (product, server::accepted(said), version(said))
    else {
        return;
    };
    let tool = info.get("tool_version").unwrap_or("unknown");
    let fits = version(tool).is_some_and(|(major, minor, release)| {
        (major, minor) == accepted.tool && (!accepted.not_older || release >= server.2)
    });
    if !fits {
        found.add("backup.tool", objects(), format!("XtraBackup {tool} of MySQL {said}"));
    }
}

fn settings(backup: &Backup<'_>, found: &mut Findings) {
    let setting = |name: &str| backup.settings.get(name).map(String::as_str);
    let shape = server::Shape {
        page_size: content::page_size(backup).map(u64::from),
        data_files: setting("innodb_data_file_path"),
        log_files: setting("innodb_log_files_in_group"),
        server: backup.server(),
    };
    for (id, what) in shape.broken() {
        found.add(id, vec![backup.name.clone()], what);
    }
}

/// A file's table, as `db.table`.
fn table(name: &str) -> String {
    let base = name.rsplit_once('.').map_or(name, |(base, _)| base);
    base.replacen('/', ".", 1)
}

fn tables(backup: &Backup<'_>, found: &mut Findings) {
    let spaces = |is: &dyn Fn(&crate::transit::inspect::pages::Space) -> bool| -> Vec<String> {
        backup.spaces().filter(|(_, space)| is(space)).map(|(name, _)| table(name)).collect()
    };
    found.each("backup.tablespace_encrypted", spaces(&|space| space.encrypted));
    found.each("backup.row_format", spaces(&|space| space.row_compressed));
    found.each("backup.page_compression", spaces(&|space| space.page_compressed));
    let mut elsewhere = spaces(&|space| space.elsewhere);
    let (mut myisam, mut engines, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for (name, seen) in backup.files.iter() {
        let name = unpacked_name(name).0;
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if ending == "isl" {
            elsewhere.push(table(name));
        }
        let Some((database, file)) = name.split_once('/') else { continue };
        if database == "mysql" {
            let base = file.split('.').next().unwrap_or_default();
            let defines = ["frm", "ibd", "sdi"].contains(&ending);
            if defines && !files::is_system_table(base) && !matches!(seen.content, Content::View) {
                own.push(table(name));
            }
            continue;
        }
        if ["performance_schema", "sys"].contains(&database) {
            continue;
        }
        match (&seen.content, ending) {
            (Content::Frm(12), _) => {}
            (Content::Frm(9), _) | (_, "MYD") => myisam.push(table(name)),
            (Content::Frm(number), _) => {
                let engine = files::engine(*number)
                    .map_or_else(|| format!("engine {number}"), str::to_string);
                engines.push(format!("{} ({engine})", table(name)));
            }
            (_, "ARZ" | "CSV" | "MRG") if !backup.has_frm() => {
                engines.push(format!("{} ({ending})", table(name)));
            }
            _ => {}
        }
    }
    for list in [&mut elsewhere, &mut myisam, &mut engines, &mut own] {
        list.sort_unstable();
        list.dedup();
    }
    found.each("backup.data_directory", elsewhere);
    if !myisam.is_empty() {
        let what = few(&myisam);
        found.add("backup.myisam", myisam, what);
    }
    found.each("backup.engine", engines);
    found.each("backup.mysql_tables", own);
}
