//! Objects put aside in the migration's directory, for a target that isn't there yet.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use super::{memory::gather, settle_reader};
use crate::{
    engine::StopSignal,
    error::{Error, Result},
    mysql::{ServerUrl, Session, Side},
    select::Selection,
};

/// The file's name in the migration's directory. Bodies of routines may hold secrets: it is private.
const FILE: &str = "objects.json";

/// All objects of the source, as they were at one moment.
pub(crate) struct Aside(pub(super) Vec<String>);

impl Aside {
    /// Reads them.
    pub(crate) async fn read(
        source: &ServerUrl,
        selection: &Selection,
        stop: &StopSignal,
    ) -> Result<Aside> {
        let mut session = Session::open(source, Side::Source).await?;
        settle_reader(&mut session).await?;
        let kept = gather(&mut session, selection, stop).await?;
        session.close().await;
        Ok(Aside(kept))
    }

    /// Puts them aside, whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let fresh = directory.join(format!(".{FILE}.{}", std::process::id()));
        let filled = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(&serde_json::to_vec(&self.0)?)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        filled().map_err(|error| Error::from(error).at(path.display()))
    }

    /// What was put aside; none if nothing was.
    pub(crate) fn load(directory: &Path) -> Result<Option<Aside>> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(Aside(serde_json::from_slice(&text)?))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error).at(path.display())),
        }
    }

    /// Forgets them.
    pub(crate) fn forget(directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::from(error).at(path.display()))
            }
            _ => Ok(()),
        }
    }
}
