//! `daybreak cutover`.

use std::path::Path;

use daybreak::{
    config::{self, Overrides},
    engine::Journal,
    error::{Error, Exit, Kind, Result},
    switch::cut_over,
};

use super::{
    Session,
    migration::{self, Planning},
    run,
};
use crate::{
    cli::{Servers, Switch},
    directory,
};

/// Shows the cutover, or does it and everything after.
pub async fn cutover(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    dry_run: bool,
    switch: &Switch,
) -> Result<Exit> {
    let migration =
        migration::open(session, directory, servers, Planning::Never, None, |overrides| {
            switch.apply(overrides)
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

/// Tells the cutover that waits in another process to open the target.
pub fn go(session: &Session<'_>, directory: &Path) -> Result<Exit> {
    if !Journal::exists(directory) || directory::hold(directory).is_ok() {
        return Err(Error::new(Kind::State, "no cutover waits to be told")
            .at(directory.display())
            .next("`daybreak cutover --pause-before-open` begins one that does; `daybreak status` says where it stands"));
    }
    Journal::request_open(directory)?;
    session
        .ui
        .line("told: if the cutover waits, it opens the target now; `daybreak status` says so");
    Ok(Exit::Done)
}

impl Switch {
    /// Puts what was given over the configuration.
    pub fn apply(&self, overrides: &mut Overrides) -> Result<()> {
        overrides.max_write_stop =
            self.max_write_stop.as_deref().map(config::duration).transpose()?;
        overrides.pause_before_open = self.pause_before_open;
        Ok(())
    }
}
