//! `daybreak backup`: the physical backups of the physical route.

mod inspect;

use daybreak::error::{Exit, Result};

use super::Session;
use crate::cli::BackupVerb;

/// Runs one of its verbs.
pub async fn backup(session: &Session<'_>, verb: BackupVerb) -> Result<Exit> {
    match verb {
        BackupVerb::Inspect(options) => inspect::inspect(session, options).await,
    }
}
