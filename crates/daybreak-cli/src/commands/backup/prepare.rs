//! `daybreak backup prepare`.

use std::path::PathBuf;

use daybreak::{
    engine::StopSignal,
    error::{Exit, Result},
    source::backup::{self, PrepareRequest},
};

use super::Session;
use crate::commands::{listen_for_signals, log_to, migration};

/// Makes a chain of backups into one on which a server starts.
pub async fn prepare(
    session: &Session<'_>,
    directory: PathBuf,
    to: Option<PathBuf>,
    name: Option<String>,
    program: Option<PathBuf>,
) -> Result<Exit> {
    log_to(session, None)?;
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let request = PrepareRequest { directory, name, to, program };
    let prepared = backup::prepare(&request, &stop, &migration::logged(session)).await?;
    if session.global.json.is_some() {
        session.ui.document(&prepared);
        return Ok(Exit::Done);
    }
    session.ui.line(&format!("prepared: {}", prepared.place.display()));
    session.ui.line(&format!("made of: {}", prepared.of.join(", ")));
    match &prepared.coordinates {
        Some(coordinates) => session.ui.line(&format!("replicate from: {coordinates}")),
        None => session.ui.line("no coordinates: the source wrote no binary log"),
    }
    Ok(Exit::Done)
}
