//! `daybreak backup`: physical backups, one file a verb.

pub(crate) mod inspect;
mod list;
mod prepare;
mod take;

use daybreak::error::{Exit, Result};

use super::Session;
use crate::cli::BackupVerb;

/// Runs one of the verbs.
pub async fn backup(session: &Session<'_>, verb: BackupVerb) -> Result<Exit> {
    match verb {
        BackupVerb::Take(options) => take::take(session, *options).await,
        BackupVerb::Prepare { directory, to, name, program } => {
            prepare::prepare(session, directory, to, name, program).await
        }
        BackupVerb::List { directory } => list::list(session, &directory),
        BackupVerb::Inspect(options) => inspect::inspect(session, options).await,
    }
}
