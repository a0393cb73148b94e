//! `daybreak cutover`.

use std::path::Path;

use daybreak::{
    config,
    error::{Exit, Result},
    switch::cut_over,
};

use super::{
    Session,
    migration::{self, Planning},
    run,
};
use crate::cli::Servers;

/// Shows the cutover, or does it and everything after.
pub async fn cutover(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    dry_run: bool,
    max_write_stop: Option<String>,
) -> Result<Exit> {
    let migration = migration::open(session, directory, servers, Planning::Never, |overrides| {
        overrides.max_write_stop = max_write_stop.as_deref().map(config::duration).transpose()?;
        Ok(())
    })
    .await?;
    if dry_run {
        let lines = cut_over::dry_run(&migration.context).await?;
        if session.global.json.is_some() {
            session.ui.document(&lines);
        } else {
            for line in lines {
                session.ui.line(&line);
            }
        }
        return Ok(Exit::Done);
    }
    run::go(session, &migration, None, true).await
}
