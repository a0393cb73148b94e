//! Makes a full backup and its incremental ones into one on which a server starts: the tool's
//! `--prepare`, in the order in which they were taken, and the coordinates of the last one.
//!
//! In place or on a copy. The tools can't go on with a preparation that was cut off: on a copy it begins
//! again; in place the backup is lost, which is said and never glossed over.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    chain::{self, BackupState, Held, TakenBackup},
    command::{self, PrepareOptions},
    info,
    run::Running,
    take::settle,
    tool::{self, Tool},
};
use crate::{
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    mysql::Coordinates,
    transit::{inspection::BackupKind, staging},
};

/// Says in a copy how far it has come.
const MARK: &str = "daybreak-prepared.json";

/// The task's name in events.
const TASK: &str = "prepare";

/// What is to be prepared.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// The directory of the backups.
    pub directory: PathBuf,
    /// The last backup to be merged; none: the newest whole one.
    pub name: Option<String>,
    /// A new directory for the result; none: in place, in the full backup's own directory.
    pub to: Option<PathBuf>,
    /// The tool's program; none: found on PATH.
    pub program: Option<PathBuf>,
}

/// A backup on which a server starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Where it lies.
    pub place: PathBuf,
    /// The backups that it was made of, in order.
    pub of: Vec<String>,
    /// Where replication goes on: the coordinates of the last of them.
    pub coordinates: Option<Coordinates>,
    /// The GTIDs as the server writes them.
    pub gtids: Option<String>,
    /// The LSN of its last checkpoint.
    pub to_lsn: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    done: bool,
    prepared: Prepared,
}

/// Prepares a backup, or returns what was prepared before.
///
/// # Errors
/// `Backup` when a link is missing, isn't whole, or was cut off while it was merged in place.
pub async fn prepare(
    request: &PrepareRequest,
    stop: &StopSignal,
    events: &Events,
) -> Result<Prepared> {
    stop.check()?;
    if !request.directory.join(chain::FILE).is_file() {
        return Err(Error::new(Kind::Backup, "there is no manifest of backups")
            .at(request.directory.display())
            .next("name the directory that `daybreak backup take --to` was given"));
    }
    let mut held = Held::hold(&request.directory)?;
    if request.to.is_none()
        && let Some(prepared) = prepared_before(&held, request.name.as_deref())
    {
        return Ok(prepared);
    }
    let last = match &request.name {
        Some(name) => held.chain.get(name)?.name.clone(),
        None => newest(&held)?,
    };
    let lineage: Vec<TakenBackup> = held.chain.lineage(&last)?.into_iter().cloned().collect();
    check_links(&held, &lineage)?;
    let (full, newest) = match (lineage.first(), lineage.last()) {
        (Some(full), Some(newest)) => (full.clone(), newest.clone()),
        _ => return Err(Error::new(Kind::Bug, "a lineage without links")),
    };
    let version = lineage.iter().map(|backup| backup.tool_version).max().unwrap_or_default();
    let tool = tool::find_again(request.program.as_deref(), full.tool, version).await?;
    let mut prepared = Prepared {
        place: held.place(&full.name),
        of: lineage.iter().map(|backup| backup.name.clone()).collect(),
        coordinates: newest.coordinates.clone(),
        gtids: newest.gtids.clone(),
        to_lsn: newest.to_lsn,
    };
    let info = match info::place(&held.place(&full.name), info::INFO) {
        Some(file) => text(&file)?,
        None => return Err(Error::new(Kind::Backup, "xtrabackup_info is missing").at(&full.name)),
    };
    let work = Work { info: &info, tool: &tool, held: &held, lineage: &lineage, events };
    match &request.to {
        Some(to) => {
            prepared.place = absolute(to)?;
            if work.on_copy(&mut prepared, stop).await? {
                return Ok(prepared);
            }
        }
        None => {
            set(&mut held, &full.name, |backup| backup.state = BackupState::Preparing)?;
            let work = Work { info: &info, tool: &tool, held: &held, lineage: &lineage, events };
            events.info("merging in place: this isn't interrupted, since the backup would be lost");
            work.in_place(&prepared).await?;
            for link in &lineage[1..] {
                set(&mut held, &link.name, |backup| backup.state = BackupState::Merged)?;
            }
            set(&mut held, &full.name, |backup| {
                backup.state = BackupState::Prepared { merged: prepared.of[1..].to_vec() };
                backup.coordinates = prepared.coordinates.clone();
                backup.gtids = prepared.gtids.clone();
            })?;
        }
    }
    events.info(format!("prepared {} in {}", prepared.of.join(", "), prepared.place.display()));
    Ok(prepared)
}

fn set(held: &mut Held, name: &str, change: impl FnOnce(&mut TakenBackup)) -> Result<()> {
    let mut backup = held.chain.get(name)?.clone();
    change(&mut backup);
    held.put(backup)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::from(error).at(path.display()))
}

/// What an earlier call prepared in place: the newest full one, or that to which a link belongs.
fn prepared_before(held: &Held, name: Option<&str>) -> Option<Prepared> {
    let of = |backup: &TakenBackup| match &backup.state {
        BackupState::Prepared { merged } => {
            let mut of = vec![backup.name.clone()];
            of.extend(merged.iter().cloned());
            // Its own LSNs stay as they were taken: what else is based on it is told by them.
            let last = of.last().and_then(|last| held.chain.get(last).ok());
            Some(Prepared {
                place: held.place(&backup.name),
                of,
                coordinates: backup.coordinates.clone(),
                gtids: backup.gtids.clone(),
                to_lsn: last.map_or(backup.to_lsn, |last| last.to_lsn),
            })
        }
        _ => None,
    };
    let fulls = held.chain.backups.iter().rev().filter(|backup| backup.base.is_none());
    match name {
        None => fulls.into_iter().next().and_then(of),
        Some(name) => {
            let mut all = fulls.filter_map(of);
            all.find(|prepared| prepared.of.last().is_some_and(|last| last == name))
        }
    }
}

/// The last link of the newest full backup.
fn newest(held: &Held) -> Result<String> {
    let backups = &held.chain.backups;
    let last = backups
        .iter()
        .rev()
        .find(|backup| !matches!(backup.state, BackupState::Unfinished | BackupState::Merged));
    let last = last.ok_or_else(|| {
        Error::new(Kind::Backup, "there is no whole backup").at(held.directory().display())
    })?;
    Ok(last.name.clone())
}

/// Every link must be there, whole, and as it was taken.
fn check_links(held: &Held, lineage: &[TakenBackup]) -> Result<()> {
    for backup in lineage {
        let wrong = |what: &str| {
            Error::new(Kind::Backup, format!("{} can't be prepared: {what}", backup.name))
                .at(held.directory().display())
        };
        match &backup.state {
            BackupState::Whole => {}
            BackupState::Unfinished => {
                return Err(wrong("it was never finished").next("take it again"));
            }
            BackupState::Preparing => {
                return Err(wrong("its preparation was cut off, and what it holds now can't be trusted")
                    .next("remove its directory and take a full backup; with --to DIR the backups themselves stay as they are"));
            }
            BackupState::Prepared { .. } | BackupState::Merged => {
                return Err(wrong("it was merged already, and takes nothing more")
                    .next("take a full backup, or use the prepared one as it is"));
            }
        }
        if backup.stream.is_some() {
            return Err(wrong("it left as a stream")
                .next("extract it first: daybreak backup inspect FILE --extract DIR"));
        }
        held.check_on_disk(backup)
            .map_err(|error| wrong(error.what()).next("take a full backup"))?;
        if let Some(link) = find_isl(&held.place(&backup.name))? {
            return Err(wrong("a table lies outside the data directory, and preparing could open the live file")
                .at(link.display())
                .next("move the table into the data directory (ALTER TABLE without DATA DIRECTORY) and take the backup again"));
        }
    }
    Ok(())
}

/// A `.isl` file: it names the place of a table's file outside the data directory.
fn find_isl(directory: &Path) -> Result<Option<PathBuf>> {
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "isl") {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

struct Work<'a> {
    /// The full backup's `xtrabackup_info`, as it was taken.
    info: &'a str,
    tool: &'a Tool,
    held: &'a Held,
    lineage: &'a [TakenBackup],
    events: &'a Events,
}

impl Work<'_> {
    /// Merges everything into the full backup itself. A stop is heeded when it is done.
    async fn in_place(&self, prepared: &Prepared) -> Result<()> {
        let stop = StopSignal::default();
        for (number, link) in self.lineage.iter().enumerate() {
            let incremental = (number > 0).then(|| self.held.place(&link.name));
            self.step(&prepared.place, incremental, number, &stop).await.map_err(|error| {
                error.next("the backup is lost: take a full one; with --to DIR the backups stay as they are")
            })?;
        }
        self.conclude(prepared)
    }

    /// Merges everything into a copy. Returns whether an earlier call has done it already.
    async fn on_copy(&self, prepared: &mut Prepared, stop: &StopSignal) -> Result<bool> {
        let to = prepared.place.clone();
        let mark = to.join(MARK);
        let scratch = to.with_file_name(match to.file_name() {
            Some(name) => format!("{}.daybreak-incremental", name.to_string_lossy()),
            None => return Err(Error::new(Kind::Usage, "--to names no directory")),
        });
        if let Ok(text) = fs::read(&mark) {
            let mark: Mark = serde_json::from_slice(&text).map_err(|error| {
                Error::new(Kind::Backup, "what is in the directory can't be understood")
                    .because(error)
                    .at(to.display())
            })?;
            if mark.done
                && mark.prepared.of == prepared.of
                && mark.prepared.to_lsn == prepared.to_lsn
            {
                chain::remove_tree(&scratch)?;
                *prepared = mark.prepared;
                prepared.place = to;
                return Ok(true);
            }
            if mark.done {
                return Err(Error::new(Kind::State, "the directory holds another prepared backup")
                    .at(to.display())
                    .next("name a new directory"));
            }
            self.events.warn(format!("{}: beginning again what was cut off", to.display()));
            chain::remove_tree(&to)?;
        } else if to.exists() && fs::read_dir(&to)?.next().is_some() {
            return Err(Error::new(Kind::State, "the directory isn't empty")
                .at(to.display())
                .next("name a new directory"));
        }
        chain::remove_tree(&scratch)?;
        let largest = self.lineage[1..].iter().map(|backup| backup.bytes).max().unwrap_or(0);
        let wanted: u64 = self.lineage.iter().map(|backup| backup.bytes).sum::<u64>() + largest;
        let free = staging::free_space(&to)?;
        if free < wanted {
            return Err(Error::new(
                Kind::Io,
                format!(
                    "{} are free, and the copy takes about {}",
                    staging::size(free),
                    staging::size(wanted)
                ),
            )
            .at(to.display())
            .next("free space, name another directory, or prepare in place (without --to)"));
        }
        fs::create_dir_all(&to).map_err(|error| Error::from(error).at(to.display()))?;
        // The backups themselves stay as they are: the tools consume an incremental one.
        let began = Mark { done: false, prepared: prepared.clone() };
        chain::replace(&mark, &serde_json::to_vec_pretty(&began)?)?;
        for (number, link) in self.lineage.iter().enumerate() {
            let from = self.held.place(&link.name);
            let incremental = match number {
                0 => {
                    self.copy(&from, &to, link, stop).await?;
                    None
                }
                _ => {
                    self.copy(&from, &scratch, link, stop).await?;
                    Some(scratch.clone())
                }
            };
            self.step(&to, incremental, number, stop).await?;
            chain::remove_tree(&scratch)?;
        }
        self.conclude(prepared)?;
        let done = Mark { done: true, prepared: prepared.clone() };
        chain::replace(&mark, &serde_json::to_vec_pretty(&done)?)?;
        Ok(false)
    }

    /// Copies a backup's files.
    async fn copy(
        &self,
        from: &Path,
        to: &Path,
        link: &TakenBackup,
        stop: &StopSignal,
    ) -> Result<()> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        let (stop, events) = (stop.clone(), self.events.clone());
        let (name, total) = (link.name.clone(), link.bytes);
        tokio::task::spawn_blocking(move || {
            let mut done = 0;
            copy_tree(&from, &to, &stop, &mut |bytes| {
                done += bytes;
                events.send(Event::Progress {
                    task: TASK.into(),
                    now: format!("copying {name}"),
                    done,
                    total: Some(total),
                    unit: Unit::Bytes,
                    bytes: done,
                });
            })
        })
        .await
        .map_err(|error| Error::new(Kind::Bug, "a copy panicked").because(error))?
    }

    /// One run of the tool.
    async fn step(
        &self,
        target: &Path,
        incremental: Option<PathBuf>,
        number: usize,
        stop: &StopSignal,
    ) -> Result<()> {
        let link = &self.lineage[number];
        let scratch = self.held.directory().join(".daybreak-prepare-tmp");
        chain::remove_tree(&scratch)?;
        fs::create_dir(&scratch).map_err(|error| Error::from(error).at(scratch.display()))?;
        let options = PrepareOptions {
            target: target.to_path_buf(),
            incremental,
            last: number + 1 == self.lineage.len(),
            scratch: scratch.clone(),
        };
        let arguments = command::prepare(self.tool, &options);
        let shown = command::shown(&self.tool.program, &arguments);
        self.events.info(format!("{}: {shown}", link.name));
        let running =
            Running::start(&self.tool.program, &arguments, self.held.directory(), false).await?;
        let log = self.held.directory().join(format!("daybreak-{}.prepare.log", link.name));
        let line = |line: &str| tracing::debug!(backup = link.name, "{line}");
        let name = tool::name(self.tool.kind);
        let ended = running.follow(name, &log, None, stop, line, || {}).await;
        chain::remove_tree(&scratch)?;
        ended?.success()?;
        let found = info::checkpoints(target)?;
        if found.to_lsn != link.to_lsn {
            return Err(Error::new(
                Kind::Backup,
                format!(
                    "after {} the LSN is {}, and should be {}",
                    link.name, found.to_lsn, link.to_lsn
                ),
            )
            .at(target.display())
            .next("the tool didn't do what it said: don't use the result"));
        }
        Ok(())
    }

    /// Looks at the result, and gives it the coordinates of the last link: the full one's own files
    /// would have a replica begin too early.
    fn conclude(&self, prepared: &Prepared) -> Result<()> {
        let place = &prepared.place;
        let found = info::checkpoints(place)?;
        // mariadb-backup always says `log-applied`.
        let right = match self.tool.kind {
            crate::config::BackupTool::MariadbBackup => {
                matches!(found.kind, BackupKind::LogApplied | BackupKind::Prepared)
            }
            _ => found.kind == BackupKind::Prepared,
        };
        if !right {
            return Err(Error::new(Kind::Backup, "the tool left something that isn't prepared")
                .at(place.display())
                .next("see its log; don't use the result"));
        }
        if let [_, .., last] = self.lineage {
            let from = self.held.place(&last.name);
            if let Some(file) = info::place(&from, info::BINLOG_INFO)
                && let Some(name) = file.file_name()
            {
                chain::replace(&place.join(name), &fs::read(&file)?)?;
            }
            // The rest is the full one's: it is no incremental backup. The tools leave either's there.
            if let Some(file) = info::place(&from, info::INFO)
                && let Some(target) = info::place(place, info::INFO)
            {
                chain::replace(&target, info::merged(self.info, &text(&file)?).as_bytes())?;
            }
        }
        let said = info::coordinates(place)?.map(|written| written.coordinates());
        if said != prepared.coordinates {
            return Err(Error::new(
                Kind::Backup,
                "the coordinates aren't those of the last backup",
            )
            .at(place.display())
            .next("don't use the result"));
        }
        settle(place)?;
        Ok(())
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| Error::from(error).at(path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn copy_tree(from: &Path, to: &Path, stop: &StopSignal, copied: &mut dyn FnMut(u64)) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| Error::from(error).at(to.display()))?;
    for entry in fs::read_dir(from).map_err(|error| Error::from(error).at(from.display()))? {
        stop.check()?;
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target, stop, copied)?;
        } else if kind.is_file() {
            let bytes = fs::copy(&source, &target)
                .map_err(|error| Error::from(error).at(source.display()))?;
            copied(bytes);
        } else {
            return Err(Error::new(Kind::Backup, "a backup holds something that is no file")
                .at(source.display()));
        }
    }
    Ok(())
}
