//! Finds the backups in what was read: each has its files, and what the tool wrote about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    Source,
    metadata::{self, Checkpoints, Info, Position},
    pages::{Space, Special},
    probe::{Content, Packed, Seen, unpacked_name},
};
use crate::{
    mysql::Coordinates,
    transit::{inspection::Form, named::Named},
};

/// A backup: full or incremental.
#[derive(Debug)]
pub struct Backup<'a> {
    /// Where it lies, relative to what was given.
    pub name: String,
    pub form: Form,
    /// Its files by their names within it.
    pub files: Files<'a>,
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

/// The files of a backup, sorted by their names within it.
#[derive(Debug)]
pub struct Files<'a> {
    /// Those of the whole source.
    all: &'a Named<Seen>,
    /// What stands before their names there.
    root: String,
    /// Where they are there, in order: between them lie backups of their own.
    places: Vec<Range<usize>>,
}

impl<'a> Files<'a> {
    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Seen)> + use<'a, '_> {
        self.places.iter().cloned().flatten().map(|place| {
            let (name, seen) = self.all.at(place);
            (&name[self.root.len()..], seen)
        })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.iter().map(|(name, _)| name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.iter().map(Range::len).sum()
    }

    /// A file by its name.
    pub fn get(&self, name: &str) -> Option<&'a Seen> {
        let place = self.all.find(&format!("{}{name}", self.root))?;
        let ours = self.places.iter().any(|places| places.contains(&place));
        ours.then(|| self.all.at(place).1)
    }

    /// Those whose names begin so.
    pub fn beginning(&self, with: &str) -> impl Iterator<Item = (&'a str, &'a Seen)> + use<'a, '_> {
        let found = self.all.beginning(&format!("{}{with}", self.root));
        let ours = self
            .places
            .iter()
            .map(move |places| places.start.max(found.start)..places.end.min(found.end));
        ours.flatten().map(|place| {
            let (name, seen) = self.all.at(place);
            (&name[self.root.len()..], seen)
        })
    }

    /// Whether a file is there, however it is packed.
    pub fn has(&self, wanted: &str) -> bool {
        self.beginning(wanted).any(|(name, _)| unpacked_name(name).0 == wanted)
    }
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
    let all = source.probe.files();
    let mut roots: BTreeSet<&str> = BTreeSet::new();
    for (name, _) in all.iter() {
        let (root, file) = name.rsplit_once('/').unwrap_or(("", name));
        if is_marker(file) {
            roots.insert(root);
        }
    }
    let mut places: BTreeMap<&str, Vec<Range<usize>>> = BTreeMap::new();
    let mut strays = Vec::new();
    // Neighbours lie in the same directory, and so below the same root.
    let mut last: Option<(&str, Option<&str>)> = None;
    for (place, (name, _)) in all.iter().enumerate() {
        let directory = name.rsplit_once('/').map_or("", |(above, _)| above);
        let root = match last {
            Some((same, root)) if same == directory => root,
            _ => innermost(&roots, directory),
        };
        last = Some((directory, root));
        let Some(root) = root else {
            strays.push(name);
            continue;
        };
        let ranges = places.entry(root).or_default();
        match ranges.last_mut() {
            Some(range) if range.end == place => range.end = place + 1,
            _ => ranges.push(place..place + 1),
        }
    }
    let backups = places
        .into_iter()
        .map(|(root, places)| {
            let before = if root.is_empty() { String::new() } else { format!("{root}/") };
            Backup::read(source, root, Files { all, root: before, places })
        })
        .collect();
    (backups, strays)
}

/// The innermost root above a directory, or itself.
fn innermost<'a>(roots: &BTreeSet<&'a str>, directory: &str) -> Option<&'a str> {
    let mut above = directory;
    loop {
        if let Some(root) = roots.get(above) {
            return Some(root);
        }
        match above.rsplit_once('/') {
            Some((higher, _)) => above = higher,
            None if above.is_empty() => return None,
            None => above = "",
        }
    }
}

impl<'a> Backup<'a> {
    fn read(source: &Source, root: &str, files: Files<'a>) -> Backup<'a> {
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
        let packed = self.files.names().any(|name| {
            let (inner, packed) = unpacked_name(name);
            matches!(packed, Packed::Other | Packed::Encrypted) && names.contains(&inner)
        });
        let flawed = names.iter().any(|name| self.file(name).is_some());
        if !packed && !flawed {
            self.absent.push(names[0]);
        }
    }

    /// A file by its name, packed or not.
    pub fn file(&self, name: &str) -> Option<&'a Seen> {
        self.files.get(name).or_else(|| self.files.get(&format!("{name}.qp")))
    }

    /// A small file's text, under any of its names, packed or not.
    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| match &self.file(name)?.content {
            Content::Text(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// Its tablespaces, by name without the tool's ending.
    pub fn spaces(&self) -> impl Iterator<Item = (&'a str, &'a Space)> + use<'a, '_> {
        self.files.iter().filter_map(|(name, seen)| match &seen.content {
            Content::Space(space) => Some((unpacked_name(name).0, space)),
            _ => None,
        })
    }

    /// What its system tablespace tells beside other tablespaces.
    pub fn system(&self) -> Option<&'a Special> {
        let mut named = self.files.beginning("ibdata1");
        named.find(|(name, _)| unpacked_name(name).0 == "ibdata1")?.1.special()
    }

    /// Whether a directory is in it.
    pub fn has_database(&self, database: &str) -> bool {
        self.files.beginning(&format!("{database}/")).next().is_some()
    }

    /// How many bytes its files hold, unpacked.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, seen)| seen.plain_size()).sum()
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
