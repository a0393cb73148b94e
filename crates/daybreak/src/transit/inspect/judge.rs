//! Holds the rules against what was seen.

mod aurora;
mod content;
mod tables;

use std::collections::BTreeSet;

use super::{
    Source, chain,
    links::{self, Backup},
    metadata::Position,
    rules::{self, RULES},
    server,
};
use crate::{
    engine::{Finding, Severity},
    mysql::Coordinates,
    transit::{
        archive::Oddity,
        inspection::{BackupKind, Check, Inspection, Link, Outcome, Product, Profile},
    },
};

/// Breaking one of these means that something is missing or damaged.
const WHOLENESS: &[&str] = &[
    "backup.empty",
    "backup.damaged",
    "backup.unsafe",
    "backup.parts_missing",
    "backup.incomplete",
    "backup.metadata",
    "backup.zero_lsn",
    "backup.file_missing",
    "backup.file_damaged",
    "backup.page_damaged",
    "backup.unread",
    "backup.oddities",
    "backup.link_missing",
];

/// Whether a backup is whole as far as it could be read: what the tool packed in a way that isn't read here
/// must be unpacked before more can be said.
pub(super) fn is_sound(inspection: &Inspection) -> bool {
    let broken = |id: &str| WHOLENESS.contains(&id) && id != "backup.unread";
    !inspection.findings.iter().any(|finding| broken(&finding.id))
}

/// Objects that a finding names in its text.
const NAMED: usize = 5;

/// What was found so far.
struct Findings {
    profile: Profile,
    list: Vec<Finding>,
    broken: BTreeSet<&'static str>,
}

impl Findings {
    /// A rule is broken: by what, and in which way.
    fn add(&mut self, id: &'static str, objects: Vec<String>, what: impl Into<String>) {
        self.broken.insert(id);
        let Some(rule) = rules::rule(id) else {
            debug_assert!(false, "{id} is no rule");
            return;
        };
        let Some(severity) = rule.weight(self.profile) else { return };
        let why = format!("{}; {}", what.into(), rule.why);
        // The same of another link is said once.
        if let Some(same) = self.list.iter_mut().find(|one| one.id == id && one.why == why) {
            let new: Vec<String> =
                objects.into_iter().filter(|object| !same.objects.contains(object)).collect();
            same.objects.extend(new);
            return;
        }
        let remedy = rule.remedy.into();
        self.list.push(Finding { id: id.into(), severity, objects, why, remedy });
    }

    /// The same for objects that are worth their names.
    fn each(&mut self, id: &'static str, objects: Vec<String>) {
        if objects.is_empty() {
            return;
        }
        let what = few(&objects);
        self.add(id, objects, what);
    }
}

/// The first of them, in words.
fn few(objects: &[String]) -> String {
    let shown = objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match objects.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What a profile's rules say of what was read.
pub(super) fn judge(sources: &[Source], profile: Profile) -> Inspection {
    let mut found = Findings { profile, list: Vec::new(), broken: BTreeSet::new() };
    let mut backups: Vec<Backup<'_>> = Vec::new();
    for source in sources {
        for (id, what) in &source.faults {
            found.add(id, vec![source.name.clone()], what.clone());
        }
        let (its, strays) = links::gather(source);
        for backup in &its {
            oddities(source, backup, &mut found);
        }
        if !its.is_empty() || !source.faults.is_empty() || sources.len() > 1 {
            let ours = |name: &str| name.starts_with("daybreak") || name.starts_with(".daybreak");
            let strays = strays.iter().filter(|name| !ours(name));
            found.each("backup.unknown_file", strays.map(ToString::to_string).collect());
        }
        backups.extend(its);
    }
    if backups.is_empty() && sources.iter().all(|source| source.faults.is_empty()) {
        let names = sources.iter().map(|source| source.name.clone()).collect();
        found.add("backup.empty", names, "no file of a physical backup was found");
    }
    let mut partial = false;
    for backup in &backups {
        metadata(backup, &mut found);
        content::judge(backup, &mut found);
        partial |= content::is_partial(backup, &mut found);
    }
    let chain = chain::build(&backups);
    for (id, objects, what) in chain.faults {
        found.add(id, objects, what);
    }
    let ordered: Vec<&Backup<'_>> = chain.order.iter().map(|at| &backups[*at]).collect();
    one_server(&ordered, &mut found);
    tables::judge(&backups, &ordered, &mut found);
    let mut links = Vec::new();
    for (at, backup) in ordered.iter().enumerate() {
        let last = at + 1 == ordered.len();
        links.extend(link(backup, coordinates(backup, last, &mut found)));
    }
    let of = |key: &str| {
        let mut newest = ordered
            .iter()
            .copied()
            .rev()
            .chain(backups.iter().rev())
            .filter_map(|backup| backup.info.as_ref());
        newest.find_map(|info| info.get(key).map(str::to_string))
    };
    let any = |is: &dyn Fn(&Backup<'_>) -> bool| backups.iter().any(is);
    let mut inspection = Inspection {
        whole: false,
        kind: links.first().map(|link| link.kind),
        partial,
        compressed: any(&content::is_compressed),
        encrypted: any(&content::is_encrypted),
        product: backups.iter().rev().find_map(product),
        server_version: of("server_version"),
        tool: of("tool_name"),
        tool_version: of("tool_version"),
        page_size: backups.iter().find_map(content::page_size),
        data_file_path: backups
            .iter()
            .find_map(|backup| backup.settings.get("innodb_data_file_path").cloned()),
        // Of several full backups none is the one that is meant.
        coordinates: links
            .last()
            .filter(|_| !found.broken.contains("backup.several_fulls"))
            .and_then(|link| link.coordinates.clone()),
        files: backups.iter().map(|backup| backup.files.len() as u64).sum(),
        bytes: backups.iter().map(Backup::bytes).sum(),
        chain: links,
        findings: Vec::new(),
        checks: Vec::new(),
    };
    aurora::judge(sources, &backups, &inspection, &mut found);
    inspection.whole = !WHOLENESS.iter().any(|id| found.broken.contains(id));
    if profile == Profile::Aurora {
        inspection.checks = checks(&inspection, &found);
    }
    found.list.sort_by_key(|one| std::cmp::Reverse(one.severity));
    inspection.findings = found.list;
    inspection
}

/// Each of Aurora's rules with its outcome.
fn checks(inspection: &Inspection, found: &Findings) -> Vec<Check> {
    let outcome = |id: &str| {
        if found.broken.contains(id) {
            return Outcome::Failed;
        }
        // What isn't there can't be held against a rule.
        let unknown = match id {
            "backup.product"
            | "backup.server_version"
            | "backup.server_release"
            | "backup.tool" => inspection.server_version.is_none(),
            "backup.page_size" => inspection.page_size.is_none(),
            "backup.data_files" => inspection.data_file_path.is_none(),
            _ => false,
        };
        match unknown || !inspection.whole && !WHOLENESS.contains(&id) {
            true => Outcome::Unknown,
            false => Outcome::Passed,
        }
    };
    RULES
        .iter()
        .filter(|rule| rule.aurora != Severity::Note)
        .map(|rule| Check {
            id: rule.id.into(),
            outcome: outcome(rule.id),
            severity: rule.aurora,
            source: rule.source.into(),
        })
        .collect()
}

/// The server's product.
fn product(backup: &Backup<'_>) -> Option<Product> {
    let info = backup.info.as_ref()?;
    let version = info.get("server_version")?;
    let tool = info.get("tool_name").unwrap_or_default().to_ascii_lowercase();
    if version.contains("MariaDB") || tool.starts_with("maria") {
        return Some(Product::Mariadb);
    }
    let compression = ["mysql/compression_dictionary", "mysql/compression_dictionary_cols"]
        .iter()
        .any(|table| backup.files.beginning(table).next().is_some());
    Some(if compression { Product::Percona } else { server::product(version) })
}

fn oddities(source: &Source, backup: &Backup<'_>, found: &mut Findings) {
    let mariadb = product(backup) == Some(Product::Mariadb);
    let tool = backup.info.as_ref().and_then(|info| links::version(info.get("tool_version")?));
    for (oddity, name) in &source.probe.oddities {
        let (sound, what) = match oddity {
            Oddity::Rewrite => (mariadb, "is replaced within the stream"),
            Oddity::Rename => (mariadb, "is renamed within the stream"),
            Oddity::Remove => (mariadb, "is taken back within the stream"),
            Oddity::Seek => (mariadb, "is written out of order"),
            Oddity::Sparse => {
                (!mariadb && tool.is_some_and(|tool| tool >= (8, 0, 0)), "has holes in the stream")
            }
            Oddity::Ignored => {
                found.add("backup.ignored_chunk", vec![name.clone()], name.clone());
                continue;
            }
        };
        if !sound {
            found.add("backup.oddities", vec![name.clone()], format!("{name} {what}"));
        }
    }
}

/// What the tool says of the backup, against itself.
fn metadata(backup: &Backup<'_>, found: &mut Findings) {
    let name = || vec![backup.name.clone()];
    if !backup.absent.is_empty() {
        let what = format!("{} has no {}", backup.name, backup.absent.join(", no "));
        found.add("backup.incomplete", name(), what);
    }
    for flaw in &backup.flaws {
        found.add("backup.metadata", name(), format!("{}: {flaw}", backup.name));
    }
    let Some(checkpoints) = &backup.checkpoints else { return };
    if checkpoints.to_lsn == 0 || checkpoints.last_lsn == 0 {
        found.add("backup.zero_lsn", name(), format!("{} has LSNs of zero", backup.name));
        return;
    }
    if let Some(what) = checkpoints.contradiction() {
        found.add("backup.metadata", name(), format!("{}: {what}", backup.name));
    }
    if checkpoints.compact {
        found.each("backup.compact", name());
    }
    let Some(info) = &backup.info else { return };
    let mut differs = Vec::new();
    let raw = matches!(checkpoints.kind, BackupKind::Full | BackupKind::Incremental);
    for (key, have) in
        [("innodb_from_lsn", checkpoints.from_lsn), ("innodb_to_lsn", checkpoints.to_lsn)]
    {
        let Some(said) = info.number(key) else { continue };
        // Merging moves the end of a prepared backup on, never back.
        if said != have && (raw || key == "innodb_from_lsn" || said > have) {
            differs.push(format!("{key} is {said} in one file and {have} in the other"));
        }
    }
    let incremental = checkpoints.kind == BackupKind::Incremental;
    if info.get("incremental").is_some() && info.is_on("incremental") != incremental {
        differs.push("one file says that it is incremental, the other that it isn't".into());
    }
    if let Err(what) = Position::agreed(backup.position.clone(), info.position()) {
        found.add("backup.coordinates_differ", name(), format!("{}: {what}", backup.name));
    }
    if !differs.is_empty() {
        let what = format!("{}: {}", backup.name, differs.join(", "));
        found.add("backup.metadata", name(), what);
    }
    if info.tells_secret() {
        found.each("backup.secret", name());
    }
    if let Some(foreign) = backup.stated().and_then(|position| position.foreign_gtids) {
        found.add("backup.foreign_gtids", name(), foreign);
    }
}

/// Where replication begins after a link. Only of the last one findings are made.
fn coordinates(backup: &Backup<'_>, last: bool, found: &mut Findings) -> Option<Coordinates> {
    let name = || vec![backup.name.clone()];
    let stated = backup.stated().map(|position| position.coordinates);
    let checkpoints = backup.checkpoints.as_ref()?;
    let said = backup.info.as_ref().and_then(|info| info.number("innodb_to_lsn"));
    let prepared = matches!(checkpoints.kind, BackupKind::LogApplied | BackupKind::Prepared);
    let merged = prepared && said.is_some_and(|said| said != checkpoints.to_lsn);
    let in_pages =
        backup.system().and_then(|system| system.binlog.clone()).map(|(file, position)| {
            Coordinates {
                file: Some(crate::mysql::FilePosition { file, position }),
                gtids: crate::mysql::GtidSet::default(),
            }
        });
    let differ = |found: &mut Findings, one: &Coordinates, other: &Coordinates| {
        let shown = |at: &Coordinates| {
            at.file.as_ref().map_or("by GTID only".to_string(), ToString::to_string)
        };
        let what = format!("{}: {} here and {} there", backup.name, shown(one), shown(other));
        found.add("backup.coordinates_differ", name(), what);
    };
    if merged {
        if let (Some(file), Some(pages)) = (&backup.committed, &in_pages)
            && file.file != pages.file
            && last
        {
            differ(found, file, pages);
        }
        let true_one = backup.committed.clone().or(in_pages);
        match (&true_one, last) {
            (_, false) => {}
            (Some(at), true) => {
                let shown = at.file.as_ref().map(ToString::to_string).unwrap_or_default();
                let what = format!(
                    "{} holds merged incrementals; the last commit is at {shown}",
                    backup.name
                );
                found.add("backup.coordinates_stale", name(), what);
            }
            (None, true) => {
                let what = format!("{} holds merged incrementals", backup.name);
                found.add("backup.coordinates_unknown", name(), what);
            }
        }
        return true_one;
    }
    let Some(stated) = stated else {
        if last {
            found.each("backup.no_coordinates", name());
        }
        return None;
    };
    // Nothing can have been committed after the backup's end.
    if prepared && last {
        let committed = backup.committed.as_ref().or(in_pages.as_ref());
        if let (Some(at), Some(Some(done))) = (&stated.file, committed.map(|c| &c.file))
            && at != done
            && done.reaches(at)
        {
            differ(found, &stated, committed.unwrap_or(&stated));
        }
    }
    Some(stated)
}

fn link(backup: &Backup<'_>, coordinates: Option<Coordinates>) -> Option<Link> {
    let checkpoints = backup.checkpoints.as_ref()?;
    let info = |key: &str| backup.info.as_ref()?.get(key).map(str::to_string);
    Some(Link {
        name: backup.name.clone(),
        form: backup.form,
        kind: checkpoints.kind,
        from_lsn: checkpoints.from_lsn,
        to_lsn: checkpoints.to_lsn,
        last_lsn: checkpoints.last_lsn,
        start_time: info("start_time"),
        end_time: info("end_time"),
        coordinates,
        files: backup.files.len() as u64,
        bytes: backup.bytes(),
    })
}

fn one_server(chain: &[&Backup<'_>], found: &mut Findings) {
    for pair in chain.windows(2) {
        let (one, other) = (pair[0], pair[1]);
        let series = |backup: &Backup<'_>| backup.server().map(|(major, minor, _)| (major, minor));
        let mut differs = Vec::new();
        if series(one) != series(other) {
            differs.push("server versions");
        }
        if product(one) != product(other) {
            differs.push("products");
        }
        for key in ["innodb_page_size", "innodb_data_file_path"] {
            if one.settings.get(key) != other.settings.get(key) {
                differs.push(key);
            }
        }
        if !differs.is_empty() {
            let what = format!("{} and {}: different {}", one.name, other.name, differs.join(", "));
            found.add("backup.mixed_servers", vec![one.name.clone(), other.name.clone()], what);
        }
    }
}
