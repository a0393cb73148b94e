//! `daybreak backup list`.

use std::path::Path;

use daybreak::{
    error::{Error, Exit, Kind, Result},
    source::backup::{BackupState, TakenBackup, chain, info},
    transit::{archive::parts, inspection::BackupKind, staging::size},
};

use super::Session;

/// Prints the backups of a directory, as its manifest tells of them.
pub fn list(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    if !directory.is_dir() {
        return Err(Error::new(Kind::Usage, "there is no such directory")
            .at(directory.display())
            .next("give the directory that `backup take --to` was given"));
    }
    let chain = chain::read(directory)?;
    if session.global.json.is_some() {
        session.ui.document(&chain);
        return Ok(Exit::Done);
    }
    if chain.backups.is_empty() {
        session.ui.line(&instead(directory)?);
    }
    for backup in &chain.backups {
        session.ui.line(&line(backup));
    }
    Ok(Exit::Done)
}

/// How many names are told.
const NAMED: usize = 20;

/// What a directory is whose manifest knows no backup.
fn instead(directory: &Path) -> Result<String> {
    let (place, manifest) = (directory.display(), chain::FILE);
    if directory.join(manifest).exists() {
        return Ok(format!("no backups in {place}: none was taken there yet, or none was kept"));
    }
    // As it is named from its parent.
    let real = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    if let (Some(parent), Some(name)) = (real.parent(), real.file_name())
        && let Ok(chain) = chain::read(parent)
        && chain.backups.iter().any(|backup| name == backup.name.as_str())
    {
        return Ok(format!(
            "{place} is the backup {} itself: `daybreak backup list {}` lists it with its chain",
            name.display(),
            parent.display()
        ));
    }
    if let Ok(found) = info::checkpoints(directory) {
        let kind = match found.kind {
            BackupKind::Full => "a full backup",
            BackupKind::Incremental => "an incremental backup",
            BackupKind::LogApplied | BackupKind::Prepared => "a prepared backup",
        };
        return Ok(format!(
            "{place} is itself {kind} (LSN {} to {}), of which no {manifest} tells: `daybreak backup inspect \
             {place}` says more",
            found.from_lsn, found.to_lsn
        ));
    }
    let mut names = Vec::new();
    let unreadable = |error| Error::from(error).at(directory.display());
    for entry in directory.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if info::checkpoints(&entry.path()).is_ok() || parts::is_archive(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    if names.is_empty() {
        return Ok(format!(
            "no backups in {place}: there is no {manifest}, which `daybreak backup take --to {place}` writes, \
             nor a backup of another's"
        ));
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(format!(
        "{place} has no {manifest}, so it isn't known what is based on what. It holds {}{more}: `daybreak backup \
         inspect {place}` (or of one of them) says what they are",
        names.join(", ")
    ))
}

/// One backup on a line.
pub(super) fn line(backup: &TakenBackup) -> String {
    let state = match &backup.state {
        BackupState::Unfinished => "UNFINISHED".to_string(),
        BackupState::Whole => "whole".to_string(),
        BackupState::Preparing => "BEING PREPARED, or cut off in it".to_string(),
        BackupState::Prepared { merged } if merged.is_empty() => "prepared".to_string(),
        BackupState::Prepared { merged } => format!("prepared, with {}", merged.join(", ")),
        BackupState::Merged => "merged".to_string(),
    };
    let mut parts = vec![format!("{:<12} {state}", backup.name)];
    match &backup.base {
        Some(base) => parts.push(format!("on {base}")),
        None => parts.push("full".to_string()),
    }
    if backup.state != BackupState::Unfinished {
        parts.push(format!("LSN {} to {}", backup.from_lsn, backup.to_lsn));
        parts.push(size(backup.bytes));
        if let Some(coordinates) = &backup.coordinates {
            parts.push(format!("as of {coordinates}"));
        }
        if backup.same_lsn_as_base {
            parts.push("SAME LSN AS ITS BASE: merge before an upload".to_string());
        }
    }
    if backup.stream.is_some() {
        parts.push("streamed".to_string());
    }
    parts.join("  ")
}
