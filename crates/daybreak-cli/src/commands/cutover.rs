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
    let migration =
        migration::open(session, directory, servers, Planning::Never, None, |overrides| {
            overrides.max_write_stop =
                max_write_stop.as_deref().map(config::duration).transpose()?;
            Ok(())
        })
        .await?;
    if dry_run {
        let found = cut_over::dry_run(&migration.context).await?;
        if session.global.json.is_some() {
            session.ui.document(&found);
        } else {
            for line in &found.lines {
                session.ui.line(line);
            }
        }
        return Ok(if found.blocked { Exit::Found } else { Exit::Done });
    }
    run::go(session, &migration, None, true).await
}
