//! The step `backup`: the full backup and the incremental ones that follow it, into the staging
//! directory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{
    Request, TakenBackup, Wanted,
    chain::{self, BackupState},
    check, take,
};
use crate::{
    config::Incremental,
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    target::objects::Aside,
    transit::{MAX_OBJECTS, archive::tree::blobs_of_path, inspect::inspect},
};

/// The step's name.
pub const ID: &str = "backup";

/// Where a migration's backups lie: below the staging directory, or in the migration's own.
pub fn directory(context: &Context) -> Result<PathBuf> {
    let staging = context.config.staging.directory.clone();
    let parent = staging.unwrap_or_else(|| context.directory.clone());
    Ok(parent.join(format!("daybreak-{}", context.plan()?.migration)))
}

/// What is taken, in order: name, and on which it is based.
fn wanted(context: &Context) -> Vec<(String, Wanted)> {
    let config = &context.config.backup;
    let mut wanted = vec![("full".to_string(), Wanted::Full)];
    for number in 1..=config.incrementals {
        let base = match config.based_on {
            Incremental::Full => "full".to_string(),
            Incremental::Previous => wanted[wanted.len() - 1].0.clone(),
        };
        wanted.push((format!("inc{number}"), Wanted::Incremental { base: Some(base) }));
    }
    wanted
}

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

/// The backups that this migration took, the last one of which says where replication begins.
pub(crate) fn taken(context: &Context) -> Result<Vec<TakenBackup>> {
    let chain = chain::read(&directory(context)?)?;
    Ok(chain.backups.into_iter().filter(|backup| backup.state == BackupState::Whole).collect())
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
        let config = &context.config.backup;
        let whole = taken(context).is_ok_and(|taken| !taken.is_empty());
        let mut checked =
            check::check(&context.config.source, &mut session, config, Some(to), whole, false)
                .await?;
        let mut blocked = |id: &str, why: String, remedy: &str| {
            checked.findings.push(Finding {
                id: format!("backup.{id}"),
                severity: Severity::Blocker,
                objects: Vec::new(),
                why,
                remedy: remedy.into(),
            });
        };
        let files = checked.files * u64::from(1 + config.incrementals);
        if config.incrementals > 0 && files > MAX_OBJECTS {
            blocked(
                "files",
                format!(
                    "full and incremental backups have about {files} files, and Aurora restores from {MAX_OBJECTS} objects"
                ),
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
        for (name, wanted) in wanted(context) {
            context.stop.check()?;
            let request = request(context, &directory, &name, wanted);
            let backup = take(&request, None, &context.stop, &context.events).await?;
            context.journal.record(ID, &name, &backup)?;
        }
        // What a restore leaves out is read when the backup ends: what changes from here on follows by
        // replication.
        let (source, selection) = (&context.config.source, context.plan()?.selection);
        Aside::read(source, &selection, &context.stop).await?.write(&context.directory)
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
        let taken = taken(context)?;
        for (name, _) in wanted(context) {
            if !taken.iter().any(|backup| backup.name == name) {
                return Err(Error::new(Kind::Backup, format!("the backup {name} isn't there"))
                    .at(directory(context)?.display())
                    .next("`daybreak resume` takes it"));
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
