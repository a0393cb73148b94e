//! Objects and accounts put aside in the migration's directory, for a target that isn't there yet.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{memory::gather, settle_reader};
use crate::{
    engine::StopSignal,
    error::{Error, Result},
    files,
    mysql::{ServerUrl, Session, Side},
    select::Selection,
    target::accounts::{self, Kept},
};

/// The file's name in the migration's directory. It holds hashes of passwords, and bodies of routines
/// may hold secrets: it is private.
const FILE: &str = "objects.json";

/// All objects and accounts of the source, as they were at one moment.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// Routines, views, triggers and events.
    pub(super) objects: Vec<String>,
    /// Accounts and what they may do.
    pub(super) accounts: Vec<Kept>,
}

impl Aside {
    /// Reads them.
    pub(crate) async fn read(
        source: &ServerUrl,
        selection: &Selection,
        stop: &StopSignal,
    ) -> Result<Aside> {
        let mut session = Session::open(source, Side::Source).await?;
        settle_reader(&mut session).await?;
        let objects = gather(&mut session, selection, stop).await?;
        let accounts = accounts::kept(&mut session).await?;
        session.close().await;
        Ok(Aside { objects, accounts })
    }

    /// What differs from another reading, for people: accounts by their names, of objects how many.
    pub(crate) fn differs(&self, other: &Aside) -> String {
        let count = |one: &Aside, other: &Aside| {
            one.objects.iter().filter(|object| !other.objects.contains(object)).count()
        };
        let objects = count(self, other).max(count(other, self));
        let mut names: Vec<String> = Vec::new();
        for (one, other) in [(self, other), (other, self)] {
            for kept in one.accounts.iter().filter(|kept| !other.accounts.contains(kept)) {
                names.push(kept.account.name.to_string());
            }
        }
        names.sort();
        names.dedup();
        let mut said = Vec::new();
        if objects > 0 {
            said.push(format!("{objects} of the routines, views, triggers and events"));
        }
        if !names.is_empty() {
            said.push(format!("the accounts {}", names.join(", ")));
        }
        said.join(" and ")
    }

    /// Puts them aside, whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        files::replace(&path, &serde_json::to_vec(self)?, 0o600)
            .map_err(|error| Error::from(error).at(path.display()))
    }

    /// What was put aside; none if nothing was.
    pub(crate) fn load(directory: &Path) -> Result<Option<Aside>> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
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
