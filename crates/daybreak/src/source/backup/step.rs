//! The step `backup`: the full backup and the incremental ones that follow it, into the staging
//! directory.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Request, TakenBackup, Wanted,
    chain::{self, BackupState, Held},
    check, take,
};
use crate::{
    config::Incremental,
    engine::{Context, Finding, Severity, Step, StopSignal},
    error::{Error, Kind, Result},
    mysql::ServerUrl,
    select::Selection,
    target::objects::Aside,
    transit::{self, MAX_OBJECTS, archive::tree::blobs_of_path, inspect::inspect},
};

/// The step's name.
pub const ID: &str = "backup";

/// Where a migration's backups lie: below the staging directory, or in the migration's own.
pub fn directory(context: &Context) -> Result<PathBuf> {
    let staging = context.config.staging.directory.clone();
    let parent = staging.unwrap_or_else(|| context.directory.clone());
    Ok(parent.join(format!("daybreak-{}", context.plan()?.migration)))
}

/// What is taken, in order.
fn wanted(context: &Context) -> Vec<String> {
    let incrementals =
        (1..=context.config.backup.incrementals).map(|number| format!("inc{number}"));
    std::iter::once("full".to_string()).chain(incrementals).collect()
}

/// How far this step has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Done {
    /// The backups that were taken, those among them that weren't kept.
    names: BTreeSet<String>,
    /// Those that were kept, in order.
    kept: Vec<TakenBackup>,
    /// The one to whose end what was put aside belongs.
    settled: Option<String>,
}

/// The checkpoint that holds [`Done`].
const DONE: &str = "done";

/// How often the last backup is taken when accounts or routines change while it is.
const ATTEMPTS: u32 = 3;

/// Which backup to take, into which directory.
pub(crate) fn request(context: &Context, to: &Path, name: &str, wanted: Wanted) -> Request {
    Request {
        source: context.config.source.clone(),
        config: context.config.backup.clone(),
        to: to.to_path_buf(),
        name: Some(name.to_string()),
        wanted,
    }
}

/// The backups that lie in the directory.
pub(crate) fn on_disk(context: &Context) -> Result<Vec<TakenBackup>> {
    let chain = chain::read(&directory(context)?)?;
    Ok(chain.backups.into_iter().filter(|backup| backup.state == BackupState::Whole).collect())
}

/// The backups that this migration took and that are restored, the last one of which says where
/// replication begins. The journal knows them, whatever became of the directory; none: none was taken
/// yet.
pub(crate) fn remembered(context: &Context) -> Result<Vec<TakenBackup>> {
    let done: Option<Done> = context.journal.recall(ID, DONE)?;
    if let Some(done) = done.filter(|done| !done.kept.is_empty()) {
        return Ok(done.kept);
    }
    if let Some(streamed) = context.journal.recall(transit::step::ID, "full")? {
        return Ok(vec![streamed]);
    }
    // A directory that can't be read says nothing; nobody goes on without.
    Ok(on_disk(context).unwrap_or_default())
}

/// Why a chain over so many files can't go up: one with incrementals is a tree, each file an object.
fn too_many(files: u64, incrementals: u32) -> Option<String> {
    let all = files.saturating_mul(u64::from(incrementals) + 1);
    (incrementals > 0 && all > MAX_OBJECTS).then(|| {
        format!("full and incremental backups have about {all} files, and Aurora restores from {MAX_OBJECTS} objects")
    })
}

/// What a restore leaves out, read before a backup begins and again when it has ended. Only when both
/// are the same is it known how things were at the backup's end, where replication begins: what was made
/// later follows by replication, and would be there twice.
pub(crate) struct Watch {
    source: ServerUrl,
    selection: Selection,
    stop: StopSignal,
    directory: PathBuf,
    before: Aside,
}

impl Watch {
    /// Reads for the first time.
    ///
    /// # Errors
    /// What the source says.
    pub(crate) async fn begin(context: &Context) -> Result<Watch> {
        let source = context.config.source.clone();
        let (selection, stop) = (context.plan()?.selection.clone(), context.stop.clone());
        let before = Aside::read(&source, &selection, &stop).await?;
        Ok(Watch { source, selection, stop, directory: context.directory.clone(), before })
    }

    /// Reads again, when the backup has ended, and puts aside what was read.
    ///
    /// # Errors
    /// `Backup` when it isn't what it was; what the source says; `Io`.
    pub(crate) async fn end(self, name: &str) -> Result<()> {
        let directory = self.directory.clone();
        match self.compare().await? {
            Ok(same) => same.write(&directory),
            Err(what) => Err(changed(name, &what)),
        }
    }

    /// Reads again; what differs, if anything does.
    async fn compare(self) -> Result<std::result::Result<Aside, String>> {
        let after = Aside::read(&self.source, &self.selection, &self.stop).await?;
        Ok(match after == self.before {
            true => Ok(after),
            false => Err(after.differs(&self.before)),
        })
    }
}

/// The error for a backup that such a change befell.
fn changed(name: &str, what: &str) -> Error {
    Error::new(
        Kind::Backup,
        format!(
            "{what} changed at the source while the backup {name} was taken, and a restore leaves these out: \
             whether they are to be made, or follow by replication, can't be told"
        ),
    )
    .next(
        "leave accounts, routines and events alone while the last backup is taken; `daybreak resume` takes it \
         again. With incrementals = 1 in [backup] (not with stream) the full one stays, and only a short \
         incremental one is taken again",
    )
}

/// Removes a backup from the directory and its manifest.
fn discard(directory: &Path, name: &str) -> Result<()> {
    let mut held = Held::hold(directory)?;
    let Ok(backup) = held.chain.get(name) else { return Ok(()) };
    let backup = TakenBackup { state: BackupState::Unfinished, ..backup.clone() };
    held.put(backup)?;
    held.drop_unfinished().map(drop)
}

/// Takes the backups.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakeBackup;

#[async_trait]
impl Step for TakeBackup {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "take a physical backup of the running source"
    }

    fn rollback(&self) -> &'static str {
        "delete the backups that were taken"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut session = context.source().await?;
        let directory = directory(context)?;
        // As long as the migration's own isn't there, the file system of its parent counts.
        let to = directory.parent().unwrap_or(&directory);
        // A stream lies nowhere.
        let to = (!context.plan()?.streamed).then_some(to);
        let config = &context.config.backup;
        let whole = on_disk(context).is_ok_and(|taken| !taken.is_empty());
        let mut checked =
            check::check(&context.config.source, &mut session, config, to, whole, false).await?;
        let mut blocked = |id: &str, why: String, remedy: &str| {
            checked.findings.push(Finding {
                id: format!("backup.{id}"),
                severity: Severity::Blocker,
                objects: Vec::new(),
                why,
                remedy: remedy.into(),
            });
        };
        if let Some(why) = too_many(checked.files, config.incrementals) {
            blocked(
                "files",
                why,
                "incrementals = 0 in [backup]: a full backup goes up as one tar in parts",
            );
        }
        if config.incrementals > 1 && config.based_on == Incremental::Full {
            blocked(
                "superseded",
                format!(
                    "with based_on = \"full\" only the last of {} incremental backups would be restored",
                    config.incrementals
                ),
                "based_on = \"previous\", or incrementals = 1, in [backup]",
            );
        }
        Ok(checked.findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let directory = directory(context)?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| Error::from(error).at(directory.display()))?;
        let mut done: Done = context.journal.recall(ID, DONE)?.unwrap_or_default();
        let names = wanted(context);
        let last = names.last().cloned().unwrap_or_default();
        if done.settled.is_some() && Aside::load(&context.directory)?.is_none() {
            // What was put aside is gone, and reading it now would be too late.
            done.settled = None;
        }
        for name in &names {
            let settled = done.settled.is_some()
                && done.settled.as_ref() == done.kept.last().map(|backup| &backup.name);
            if done.names.contains(name) && (*name != last || settled) {
                continue;
            }
            self.one(context, &directory, &mut done, name, *name == last).await?;
        }
        Ok(())
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let (place, rules) = (directory(context)?, context.config.backup.rules);
        let found = tokio::task::spawn_blocking(move || inspect(blobs_of_path(&place)?, rules))
            .await
            .map_err(|error| {
                Error::new(Kind::Bug, "the inspection's thread is gone").because(error)
            })??;
        for finding in &found.findings {
            match finding.severity {
                Severity::Blocker => {
                    return Err(Error::new(Kind::Blocked, finding.why.clone())
                        .at(directory(context)?.display())
                        .next(finding.remedy.clone()));
                }
                Severity::Warning => context.events.warn(finding.why.clone()),
                Severity::Note => context.events.detail(finding.why.clone()),
            }
        }
        if !found.whole {
            return Err(Error::new(Kind::Backup, "the backup isn't whole")
                .at(directory(context)?.display())
                .next("`daybreak backup inspect` says what is missing; `daybreak undo --to prepare_source`, then `daybreak resume` takes it again"));
        }
        let (there, kept) = (on_disk(context)?, remembered(context)?);
        for backup in &kept {
            if !there.contains(backup) {
                let name = &backup.name;
                return Err(Error::new(Kind::Backup, format!("the backup {name} isn't there"))
                    .at(directory(context)?.display())
                    .next("bring it back; or `daybreak undo --to prepare_source`, and `daybreak resume` takes it again"));
            }
        }
        Ok(())
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let directory = directory(context)?;
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::from(error).at(directory.display()))
            }
            _ => Aside::forget(&context.directory),
        }
    }
}

impl TakeBackup {
    /// Takes one backup, and notes it. `last`: it must be settled what was there at its end.
    async fn one(
        &self,
        context: &Context,
        directory: &Path,
        done: &mut Done,
        name: &str,
        last: bool,
    ) -> Result<()> {
        if done.names.contains(name) || last {
            // The last one counts only together with what was read around it; one that an ended run
            // left is too old for that.
            done.names.remove(name);
            done.kept.retain(|backup| backup.name != name);
            discard(directory, name)?;
        }
        let wanted = match (done.kept.last(), context.config.backup.based_on) {
            (None, _) => Wanted::Full,
            (Some(_), Incremental::Full) => Wanted::Incremental { base: Some("full".into()) },
            (Some(base), Incremental::Previous) => {
                Wanted::Incremental { base: Some(base.name.clone()) }
            }
        };
        let full = wanted == Wanted::Full;
        let request = request(context, directory, name, wanted);
        let record = |done: &Done| context.journal.record(ID, DONE, done);
        // One that an ended run left was taken outside any two readings.
        let there = on_disk(context)?.iter().any(|backup| backup.name == name);
        for attempt in 1.. {
            context.stop.check()?;
            let watch = match there {
                true => None,
                false => Some(Watch::begin(context).await?),
            };
            let backup = take(&request, None, &context.stop, &context.events).await?;
            if backup.same_lsn_as_base {
                // What its base doesn't hold of what it holds, replication brings.
                discard(directory, name)?;
                let base = done.kept.last().map(|base| base.name.clone()).unwrap_or_default();
                context.events.info(format!(
                    "{name} isn't kept: the server made no checkpoint since {base}; replication begins where \
                     {base} ends"
                ));
                if !last || done.settled.as_ref() == Some(&base) {
                    done.names.insert(name.to_string());
                    return record(done);
                }
                let what = "something of accounts, routines or events";
                if attempt >= ATTEMPTS {
                    // The server makes no checkpoint: then the base itself is taken again.
                    discard(directory, &base)?;
                    done.names.remove(&base);
                    done.kept.retain(|backup| backup.name != base);
                    record(done)?;
                    return Err(changed(&base, what));
                }
                context.events.warn(format!(
                    "{what} changed while {base} was taken, so another backup is needed: {name} is taken again"
                ));
                continue;
            }
            let compared = match watch {
                Some(watch) => watch.compare().await?,
                None => Err("what a restore leaves out may have".to_string()),
            };
            match compared {
                Ok(same) => {
                    // The file is of one backup or of the next, and never of the wrong one.
                    if done.settled.take().is_some() {
                        record(done)?;
                    }
                    same.write(&context.directory)?;
                    done.settled = Some(backup.name.clone());
                }
                Err(_) if !last => {}
                Err(what) => {
                    if full || attempt >= ATTEMPTS {
                        // A full one stays: incremental ones can be built upon it.
                        return Err(changed(name, &what));
                    }
                    context
                        .events
                        .warn(format!("{what} changed while {name} was taken: it is taken again"));
                    discard(directory, name)?;
                    continue;
                }
            }
            done.names.insert(name.to_string());
            done.kept.push(backup);
            return record(done);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full backup alone goes up as one tar, whatever it holds.
    #[test]
    fn a_tree_has_a_bound() {
        assert_eq!(too_many(MAX_OBJECTS / 2, 1), None);
        let why = too_many(MAX_OBJECTS / 2 + 1, 1).unwrap();
        assert!(why.contains("1000002 files"), "{why}");
        assert_eq!(too_many(MAX_OBJECTS / 4, 3), None);
        assert!(too_many(MAX_OBJECTS / 4 + 1, 3).is_some());
        assert_eq!(too_many(MAX_OBJECTS * 9, 0), None);
        assert!(too_many(u64::MAX, 2).is_some());
    }
}
