//! The state of the backups in one directory, in a file beside them: what each is based on, its LSNs
//! and coordinates, and whether it is whole. Only what this file calls whole is ever built upon.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    command::StreamFormat,
    info,
    tool::{Tool, Version},
};
use crate::{
    config::BackupTool,
    error::{Error, Kind, Result},
    files,
    mysql::Coordinates,
    transit::inspection::BackupKind,
};

/// The manifest's name.
pub const FILE: &str = "daybreak-backups.json";

/// Held while backups are taken or prepared there.
pub(crate) const LOCK: &str = ".daybreak-backups.lock";

/// The manifest's form.
const FORMAT: u32 = 1;

/// How far a backup has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// Begun. If nobody is at it, it was interrupted, and is replaced by the next one.
    Unfinished,
    /// Whole, as taken.
    Whole,
    /// Being merged in place, so that its files are no longer those of a backup. If nobody is at it,
    /// it was interrupted, and can't be trusted.
    Preparing,
    /// Prepared to the end, with these incremental ones merged into it.
    Prepared {
        /// The links that were merged, in order.
        merged: Vec<String>,
    },
    /// Merged into its full one, which may have consumed its files.
    Merged,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBackup {
    /// Its name: its directory, or what its stream is called.
    pub name: String,
    /// How far it has come.
    pub state: BackupState,
    /// Its form, when it left as a stream; none: a directory beside the manifest.
    pub stream: Option<StreamFormat>,
    /// The backup on which it is based; none: a full one.
    pub base: Option<String>,
    /// The LSN from which changed pages are in it; 0 in a full one.
    pub from_lsn: u64,
    /// The LSN of the checkpoint that it holds.
    pub to_lsn: u64,
    /// The LSN up to which its redo log goes.
    pub last_lsn: u64,
    /// Whether no checkpoint lies between its base and it. Its place in a chain can't be told by LSNs
    /// then, and Aurora tells by them: merge the chain before the upload, or take it again.
    pub same_lsn_as_base: bool,
    /// Where replication goes on from it (once it is prepared: from the last one that was merged into
    /// it); none where the server writes no binary log.
    pub coordinates: Option<Coordinates>,
    /// The GTIDs as the server writes them (MariaDB's have a form of their own).
    pub gtids: Option<String>,
    /// When it began, by the source's clock.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// The tool.
    pub tool: BackupTool,
    /// Its version.
    pub tool_version: Version,
    /// The server's identity.
    pub server: String,
    /// The server's version, as it says it.
    pub server_version: String,
    /// The bytes of its files; of a stream, those that left.
    pub bytes: u64,
    /// The number of its files; none for a stream.
    pub files: Option<u64>,
}

/// All backups of a directory, in the order in which they were begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    format: u32,
    /// The backups.
    pub backups: Vec<TakenBackup>,
}

/// A directory of backups, held by this process.
#[derive(Debug)]
pub struct Held {
    directory: PathBuf,
    /// What the manifest says.
    pub chain: Chain,
    _lock: File,
}

/// Reads what is in a directory, without holding it.
///
/// # Errors
/// `Io`; `Backup` when the manifest can't be understood.
pub fn read(directory: &Path) -> Result<Chain> {
    let path = directory.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Chain { format: FORMAT, backups: Vec::new() });
        }
        Err(error) => return Err(Error::from(error).at(path.display())),
    };
    let wrong = |what: &str| {
        Error::new(Kind::Backup, what.to_string())
            .at(path.display())
            .next("nothing was changed; use the daybreak that wrote it, or another directory")
    };
    let chain: Chain = serde_json::from_slice(&text)
        .map_err(|error| wrong("the manifest of the backups can't be understood").because(error))?;
    if chain.format != FORMAT {
        return Err(wrong("the manifest of the backups is of another daybreak"));
    }
    for (at, backup) in chain.backups.iter().enumerate() {
        check_name(&backup.name)?;
        if chain.backups[..at].iter().any(|other| other.name == backup.name) {
            return Err(wrong("the manifest names a backup twice"));
        }
        if let Some(base) = &backup.base
            && !chain.backups[..at].iter().any(|other| other.name == *base)
        {
            return Err(wrong("the manifest bases a backup on one that doesn't come before it"));
        }
    }
    Ok(chain)
}

/// A backup's name is one part of a path, and sorts as it reads.
pub(super) fn check_name(name: &str) -> Result<()> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match !name.is_empty() && name.len() <= 64 && name.chars().all(sound) {
        true => Ok(()),
        false => Err(Error::new(Kind::Usage, format!("{name:?} can't be a backup's name"))
            .next("use letters, digits, - and _")),
    }
}

impl Held {
    /// Makes the directory where it isn't there, and holds it. What others may do there is left as it
    /// is; a new one is its owner's alone.
    ///
    /// # Errors
    /// `State` when another process is at work there.
    pub fn hold(directory: &Path) -> Result<Held> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            Error::new(Kind::Io, "the directory of the backups can't be made")
                .because(error)
                .at(directory.display())
        })?;
        let directory = directory.canonicalize()?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::from(error).at(path.display()))?;
        if !files::lock(&lock, false).map_err(|error| Error::from(error).at(path.display()))? {
            return Err(Error::new(
                Kind::State,
                "another daybreak takes or prepares backups there",
            )
            .at(directory.display())
            .next("wait for it, or give another directory"));
        }
        let chain = read(&directory)?;
        Ok(Held { directory, chain, _lock: lock })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a backup lies.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the manifest: whoever reads it finds the old one or the new one, whole.
    ///
    /// # Errors
    /// `Io`.
    pub fn save(&mut self) -> Result<()> {
        self.chain.format = FORMAT;
        let text = serde_json::to_vec_pretty(&self.chain)?;
        replace(&self.directory.join(FILE), &text)
    }

    /// Removes what interrupted backups left, from the disk and from the manifest. Returns their names.
    ///
    /// # Errors
    /// `Io`.
    pub fn drop_unfinished(&mut self) -> Result<Vec<String>> {
        let mut unfinished = Vec::new();
        for backup in &self.chain.backups {
            if backup.state != BackupState::Unfinished {
                continue;
            }
            // A stream left nothing here: a directory of its name is somebody else's. That of a backup
            // wasn't there when it was begun.
            if backup.stream.is_none() {
                remove_tree(&self.place(&backup.name))?;
            }
            unfinished.push(backup.name.clone());
        }
        if !unfinished.is_empty() {
            self.chain.backups.retain(|backup| backup.state != BackupState::Unfinished);
            self.save()?;
        }
        Ok(unfinished)
    }

    /// Puts a backup into the manifest, or in the place of the one of its name.
    ///
    /// # Errors
    /// `Io`.
    pub fn put(&mut self, backup: TakenBackup) -> Result<()> {
        match self.chain.backups.iter_mut().find(|other| other.name == backup.name) {
            Some(other) => *other = backup,
            None => self.chain.backups.push(backup),
        }
        self.save()
    }

    /// Checks that an incremental backup of a server may be based on this one: it is whole, of the
    /// same server, and so is everything that it is based on, without a gap.
    ///
    /// # Errors
    /// `Backup`, which says what is wrong with which link.
    pub fn check_base(&self, name: &str, server: &str, tool: &Tool) -> Result<()> {
        let lineage = self.chain.lineage(name)?;
        for backup in lineage {
            let wrong = |what: String| {
                Error::new(Kind::Backup, format!("{} can't be a base: {what}", backup.name))
                    .at(self.directory.display())
                    .next("take a full backup")
            };
            if backup.server != server {
                return Err(wrong("it is of another server".into()));
            }
            match &backup.state {
                BackupState::Whole => {}
                BackupState::Unfinished => return Err(wrong("it was never finished".into())),
                BackupState::Preparing | BackupState::Prepared { .. } | BackupState::Merged => {
                    return Err(wrong("it is prepared, and takes no further incremental".into()));
                }
            }
            let mariadb = |kind| kind == BackupTool::MariadbBackup;
            if mariadb(backup.tool) != mariadb(tool.kind)
                || (backup.tool_version.0, backup.tool_version.1)
                    != (tool.version.0, tool.version.1)
            {
                return Err(wrong(format!("it was taken by another series of tools than {tool}")));
            }
            if backup.stream.is_none() {
                self.check_on_disk(backup).map_err(|error| wrong(error.what().to_string()))?;
            }
        }
        Ok(())
    }

    /// Whether the directory of a whole backup holds what the manifest says.
    pub(super) fn check_on_disk(&self, backup: &TakenBackup) -> Result<()> {
        let directory = self.place(&backup.name);
        if !directory.is_dir() {
            return Err(
                Error::new(Kind::Backup, "its directory is missing").at(directory.display())
            );
        }
        let found = info::checkpoints(&directory)?;
        info::info(&directory)?;
        let kind = if backup.base.is_some() { BackupKind::Incremental } else { BackupKind::Full };
        if found.kind != kind {
            let what = match found.kind {
                BackupKind::LogApplied | BackupKind::Prepared => "it was prepared by somebody else",
                _ => "it is of another kind than the manifest says",
            };
            return Err(Error::new(Kind::Backup, what).at(directory.display()));
        }
        if (found.from_lsn, found.to_lsn, found.last_lsn)
            != (backup.from_lsn, backup.to_lsn, backup.last_lsn)
        {
            return Err(Error::new(Kind::Backup, "its LSNs aren't those of the manifest")
                .at(directory.display()));
        }
        Ok(())
    }
}

impl Chain {
    /// A backup by its name.
    ///
    /// # Errors
    /// `Backup` when there is none.
    pub fn get(&self, name: &str) -> Result<&TakenBackup> {
        self.backups.iter().find(|backup| backup.name == name).ok_or_else(|| {
            Error::new(Kind::Backup, format!("there is no backup {name:?}"))
                .next("`daybreak backup list DIR` shows those that are there")
        })
    }

    /// The newest whole backup.
    pub fn last_whole(&self) -> Option<&TakenBackup> {
        self.backups.iter().rev().find(|backup| backup.state == BackupState::Whole)
    }

    /// The newest whole full backup.
    pub fn last_full(&self) -> Option<&TakenBackup> {
        self.backups
            .iter()
            .rev()
            .find(|backup| backup.base.is_none() && backup.state == BackupState::Whole)
    }

    /// A backup with all that it is based on, the full one first.
    ///
    /// # Errors
    /// `Backup` when a link is missing, or the LSNs have a gap.
    pub fn lineage(&self, name: &str) -> Result<Vec<&TakenBackup>> {
        let mut lineage = vec![self.get(name)?];
        while let Some(base) = lineage.last().and_then(|backup| backup.base.as_ref()) {
            let next = self.get(base)?;
            let link = lineage.last().map_or(0, |backup| backup.from_lsn);
            let unfinished = lineage.last().is_some_and(|b| b.state == BackupState::Unfinished);
            if next.to_lsn != link && !unfinished {
                return Err(Error::new(
                    Kind::Backup,
                    format!("there is a gap in the chain: {base} ends at LSN {}, and what is based on it begins at {link}", next.to_lsn),
                )
                .next("take a full backup"));
            }
            lineage.push(next);
        }
        lineage.reverse();
        Ok(lineage)
    }

    /// A name that no backup has: `full`, `full2`, ... or `inc1`, `inc2`, ...
    pub fn new_name(&self, incremental: bool) -> String {
        let taken = |name: &String| self.backups.iter().any(|backup| backup.name == *name);
        let mut names = (1u32..).map(|number| match (incremental, number) {
            (true, _) => format!("inc{number}"),
            (false, 1) => "full".to_string(),
            (false, _) => format!("full{number}"),
        });
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

/// Puts a file beside backups in place, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    files::replace(path, bytes, 0o640).map_err(|error| Error::from(error).at(path.display()))
}

/// Removes a directory; one that isn't there is fine.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::new(Kind::Io, "an unfinished backup can't be removed")
                .because(error)
                .at(path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn backup(name: &str, base: Option<&str>, lsns: (u64, u64)) -> TakenBackup {
        TakenBackup {
            name: name.into(),
            state: BackupState::Whole,
            stream: Some(StreamFormat::Xbstream),
            base: base.map(Into::into),
            from_lsn: lsns.0,
            to_lsn: lsns.1,
            last_lsn: lsns.1,
            same_lsn_as_base: false,
            coordinates: None,
            gtids: None,
            start_time: None,
            end_time: None,
            tool: BackupTool::MariadbBackup,
            tool_version: (10, 11, 18),
            server: "one".into(),
            server_version: "10.11".into(),
            bytes: 1,
            files: None,
        }
    }

    fn tool() -> Tool {
        Tool {
            kind: BackupTool::MariadbBackup,
            program: "x".into(),
            version: (10, 11, 18),
            text: "10.11.18".into(),
        }
    }

    #[test]
    fn a_manifest_is_kept_and_held_by_one() {
        let place = tempfile::tempdir().unwrap();
        let mut held = Held::hold(place.path()).unwrap();
        assert_eq!(Held::hold(place.path()).unwrap_err().kind(), Kind::State);
        held.put(backup("full", None, (0, 10))).unwrap();
        held.put(backup("inc1", Some("full"), (10, 20))).unwrap();
        drop(held);
        let chain = Held::hold(place.path()).unwrap().chain.clone();
        assert_eq!(chain.backups.len(), 2);
        assert_eq!((chain.new_name(false), chain.new_name(true)), ("full2".into(), "inc2".into()));
        assert_eq!(chain.last_whole().unwrap().name, "inc1");
        let names: Vec<_> = chain.lineage("inc1").unwrap().iter().map(|b| &b.name).collect();
        assert_eq!(names, ["full", "inc1"]);
    }

    #[test]
    fn only_a_sound_base_is_a_base() {
        let place = tempfile::tempdir().unwrap();
        let refused = |change: &dyn Fn(&mut TakenBackup), server: &str| {
            let mut held = Held::hold(place.path()).unwrap();
            held.chain = Chain::default();
            let mut full = backup("full", None, (0, 10));
            change(&mut full);
            held.put(full).unwrap();
            held.put(backup("inc1", Some("full"), (10, 20))).unwrap();
            let refused = held.check_base("inc1", server, &tool());
            refused.map_err(|error| error.what().to_string()).err()
        };
        assert_eq!(refused(&|_| {}, "one"), None);
        let why = |change: &dyn Fn(&mut TakenBackup)| refused(change, "one").unwrap();
        assert!(refused(&|_| {}, "two").unwrap().contains("another server"));
        assert!(why(&|b| b.state = BackupState::Unfinished).contains("never finished"));
        assert!(why(&|b| b.state = BackupState::Preparing).contains("prepared"));
        assert!(why(&|b| b.to_lsn = 9).contains("gap"));
        assert!(why(&|b| b.tool_version = (10, 6, 1)).contains("another series"));
        assert!(why(&|b| b.stream = None).contains("missing"));
    }

    #[test]
    fn a_foreign_manifest_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(FILE);
        let mut held = Held::hold(place.path()).unwrap();
        held.put(backup("full", None, (0, 10))).unwrap();
        drop(held);
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            good.replace("\"format\": 1", "\"format\": 2"),
            good.replace("\"full\"", "\"../full\""),
            good[..good.len() / 2].to_string(),
        ] {
            assert_ne!(bad, good);
            fs::write(&path, &bad).unwrap();
            assert!(Held::hold(place.path()).is_err(), "{bad}");
        }
    }
}
