//! Finds the backups in what was read: each has its files, and what the tool wrote about it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Source,
    metadata::{self, Checkpoints, Info, Position},
    pages::Space,
    probe::{Content, Packed, Seen, unpacked_name},
};
use crate::{mysql::Coordinates, transit::inspection::Form};

/// A backup: full or incremental.
#[derive(Debug)]
pub struct Backup<'a> {
    /// Where it lies, relative to what was given.
    pub name: String,
    pub form: Form,
    /// Its files by their names within it.
    pub files: BTreeMap<&'a str, &'a Seen>,
    pub checkpoints: Option<Checkpoints>,
    pub info: Option<Info>,
    pub settings: BTreeMap<String, String>,
    /// As `xtrabackup_binlog_info` has it.
    pub position: Option<Position>,
    /// The last commit's, as a preparation wrote it, or as the system tablespace has it.
    pub committed: Option<Coordinates>,
    /// What can't be understood of its metadata.
    pub flaws: Vec<String>,
    /// Files that it must have and hasn't.
    pub absent: Vec<&'static str>,
}

/// Whether a file at a backup's root shows that a backup is there.
fn is_marker(file: &str) -> bool {
    let (file, _) = unpacked_name(file);
    metadata::CHECKPOINTS.contains(&file)
        || metadata::INFO.contains(&file)
        || metadata::BINLOG.contains(&file)
        || [metadata::SETTINGS, "xtrabackup_logfile", "ibdata1", "ibdata1.delta", "ib_logfile0"]
            .contains(&file)
}

/// All backups of a source, and the files that belong to none.
pub fn gather(source: &Source) -> (Vec<Backup<'_>>, Vec<&str>) {
    let mut roots: BTreeSet<&str> = BTreeSet::new();
    for name in source.probe.files.keys() {
        let (root, file) = name.rsplit_once('/').unwrap_or(("", name));
        if is_marker(file) {
            roots.insert(root);
        }
    }
    let mut files: BTreeMap<&str, BTreeMap<&str, &Seen>> = BTreeMap::new();
    let mut strays = Vec::new();
    for (name, seen) in &source.probe.files {
        // The innermost root above the file.
        let mut above = name.rsplit_once('/').map_or("", |(above, _)| above);
        let root = loop {
            if roots.contains(above) {
                break Some(above);
            }
            match above.rsplit_once('/') {
                Some((higher, _)) => above = higher,
                None if above.is_empty() => break None,
                None => above = "",
            }
        };
        match root {
            Some("") => _ = files.entry("").or_default().insert(name, seen),
            Some(root) => _ = files.entry(root).or_default().insert(&name[root.len() + 1..], seen),
            None => strays.push(name.as_str()),
        }
    }
    let backups =
        files.into_iter().map(|(root, files)| Backup::read(source, root, files)).collect();
    (backups, strays)
}

impl<'a> Backup<'a> {
    fn read(source: &Source, root: &str, files: BTreeMap<&'a str, &'a Seen>) -> Backup<'a> {
        let name = match (&source.names, root) {
            (None, "") => ".".to_string(),
            (None, root) => root.to_string(),
            (Some(_), "") => source.name.clone(),
            (Some(_), root) => format!("{}/{root}", source.name),
        };
        let mut backup = Backup {
            name,
            form: source.form,
            files,
            checkpoints: None,
            info: None,
            settings: BTreeMap::new(),
            position: None,
            committed: None,
            flaws: Vec::new(),
            absent: Vec::new(),
        };
        match backup.text(metadata::CHECKPOINTS).map(|text| Checkpoints::parse(&text)) {
            Some(Ok(checkpoints)) => backup.checkpoints = Some(checkpoints),
            Some(Err(what)) => backup.flaws.push(format!("{}: {what}", metadata::CHECKPOINTS[0])),
            None => backup.need(metadata::CHECKPOINTS),
        }
        match backup.text(metadata::INFO).map(|text| Info::parse(&text)) {
            Some(Ok(info)) => backup.info = Some(info),
            Some(Err(what)) => backup.flaws.push(format!("{}: {what}", metadata::INFO[0])),
            None => backup.need(metadata::INFO),
        }
        match backup.text(metadata::BINLOG).map(|text| Position::parse(&text)) {
            Some(Ok(position)) => backup.position = position,
            Some(Err(what)) => backup.flaws.push(format!("{}: {what}", metadata::BINLOG[0])),
            None => {}
        }
        match backup.text(&[metadata::SETTINGS]) {
            Some(text) => backup.settings = metadata::settings(&text),
            None => backup.need(&[metadata::SETTINGS]),
        }
        let prepared =
            backup.text(metadata::BINLOG_INNODB).map(|text| Position::parse_committed(&text));
        backup.committed = match prepared {
            Some(Ok(position)) => position.map(|position| position.coordinates),
            Some(Err(what)) => {
                backup.flaws.push(format!("{}: {what}", metadata::BINLOG_INNODB[0]));
                None
            }
            None => None,
        };
        backup
    }

    fn need(&mut self, names: &[&'static str]) {
        // One that the tool packed in a way that isn't read here is there all the same.
        let packed = self.files.keys().any(|name| {
            let (inner, packed) = unpacked_name(name);
            matches!(packed, Packed::Other | Packed::Encrypted) && names.contains(&inner)
        });
        let flawed = names.iter().any(|name| {
            self.files.contains_key(name) || self.files.contains_key(format!("{name}.qp").as_str())
        });
        if !packed && !flawed {
            self.absent.push(names[0]);
        }
    }

    /// A file by its name, packed or not.
    pub fn file(&self, name: &str) -> Option<&'a Seen> {
        let packed = || self.files.get(format!("{name}.qp").as_str());
        self.files.get(name).or_else(packed).copied()
    }

    /// Whether a file is there, however it is packed.
    pub fn has_file(&self, wanted: &str) -> bool {
        self.files.keys().any(|name| unpacked_name(name).0 == wanted)
    }

    /// A small file's text, under any of its names, packed or not.
    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let packed = format!("{name}.qp");
            let seen = self.files.get(name).or_else(|| self.files.get(packed.as_str()))?;
            match &seen.content {
                Content::Text(text) => Some(text.clone()),
                _ => None,
            }
        })
    }

    /// Its tablespaces, by name without the tool's ending.
    pub fn spaces(&self) -> impl Iterator<Item = (&'a str, &'a Seen, &'a Space)> {
        self.files.iter().filter_map(|(name, seen)| match &seen.content {
            Content::Space(space) => Some((unpacked_name(name).0, *seen, space.as_ref())),
            _ => None,
        })
    }

    /// Its system tablespace.
    pub fn system(&self) -> Option<&'a Space> {
        self.spaces().find(|(name, ..)| *name == "ibdata1").map(|(_, _, space)| space)
    }

    /// Whether a directory is in it.
    pub fn has_database(&self, database: &str) -> bool {
        let begins = format!("{database}/");
        self.files
            .range(begins.as_str()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(&begins))
    }

    /// How many bytes its files hold, unpacked.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|seen| seen.unpacked.unwrap_or(seen.size)).sum()
    }

    /// The server's version as numbers.
    pub fn server(&self) -> Option<(u64, u64, u64)> {
        version(self.info.as_ref()?.get("server_version")?)
    }

    /// Whether the server writes `.frm` files.
    pub fn has_frm(&self) -> bool {
        let mariadb = self.info.as_ref().and_then(|info| info.get("server_version"));
        mariadb.is_some_and(|version| version.contains("MariaDB"))
            || self.server().is_some_and(|version| version < (8, 0, 0))
    }

    /// Where replication begins after it, by its own files.
    pub fn stated(&self) -> Option<Position> {
        let info = self.info.as_ref().and_then(Info::position);
        let agreed = Position::agreed(self.position.clone(), info);
        agreed.unwrap_or_else(|_| self.position.clone())
    }
}

/// The numbers at the beginning of a version: `8.0.35-31` is 8, 0, 35.
pub fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers =
        text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u64>().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}
