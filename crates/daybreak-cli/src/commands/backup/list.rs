//! `daybreak backup list`.

use std::path::Path;

use daybreak::{
    error::{Exit, Result},
    source::backup::{BackupState, TakenBackup, chain},
    transit::staging::size,
};

use super::Session;

/// Prints the backups of a directory, as its manifest tells of them.
pub fn list(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    let chain = chain::read(directory)?;
    if session.global.json.is_some() {
        session.ui.document(&chain);
        return Ok(Exit::Done);
    }
    if chain.backups.is_empty() {
        session.ui.line(&format!("no backups in {}", directory.display()));
    }
    for backup in &chain.backups {
        session.ui.line(&line(backup));
    }
    Ok(Exit::Done)
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
