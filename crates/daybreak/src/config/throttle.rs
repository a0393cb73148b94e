//! How fast the copy may go: what `[copy]` says, or what `daybreak throttle` has said since. A copy at work
//! heeds it within a second.

use std::{fmt, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    files,
};

/// The file in the migration's directory that holds what was said since.
const FILE: &str = "throttle.json";

/// Bounds of the copy. What is none has no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// No new chunk is begun while more threads than this run at the source (`Threads_running`,
    /// daybreak's own included).
    pub max_source_load: Option<u64>,
    /// Fewer chunks are copied at once while a commit on the target takes longer, in milliseconds.
    pub max_commit_millis: Option<u64>,
    /// No new chunk is begun while a replica of the target is further behind it, in milliseconds.
    pub max_replica_lag_millis: Option<u64>,
    /// At most so many chunks are copied at once.
    pub max_threads: Option<u64>,
    /// No new chunk is begun.
    pub paused: bool,
}

/// What the servers say of themselves; none where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many threads run at the source.
    pub load: Option<u64>,
    /// How long the slowest commit since the last look took.
    pub commit: Option<Duration>,
    /// How far the slowest replica is behind.
    pub lag: Option<Duration>,
}

impl Throttle {
    /// What `daybreak throttle` said in a directory; none if nothing.
    ///
    /// # Errors
    /// `Io`; `State` when the file can't be understood.
    pub fn said(directory: &Path) -> Result<Option<Throttle>> {
        let path = directory.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::from(error).at(path.display())),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::new(Kind::State, "what was said of the copy's speed can't be read")
                .because(error)
                .at(path.display())
                .next("`daybreak throttle --reset`, then say it again")
        })
    }

    /// What holds: what was said, or else this, which the configuration says.
    ///
    /// # Errors
    /// As [`Throttle::said`].
    pub fn in_force(&self, directory: &Path) -> Result<Throttle> {
        Ok(Throttle::said(directory)?.unwrap_or_else(|| self.clone()))
    }

    /// Says it, for the copy at work and those to come.
    ///
    /// # Errors
    /// `Io`.
    pub fn say(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::new(Kind::Bug, "bounds can't be written").because(error))?;
        files::replace(&path, &text, 0o644).map_err(|error| Error::from(error).at(path.display()))
    }

    /// Takes back what was said: the configuration counts again.
    ///
    /// # Errors
    /// `Io`.
    pub fn unsay(directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::from(error).at(path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether chunks are held back by what is measured.
    pub fn measures(&self) -> bool {
        self.asks() || self.max_commit_millis.is_some()
    }

    /// Whether servers are asked before anything may begin.
    pub fn asks(&self) -> bool {
        self.max_source_load.is_some() || self.max_replica_lag_millis.is_some()
    }

    /// Whether the source has too much to do.
    pub fn is_busy(&self, measured: &Measured) -> bool {
        self.max_source_load.zip(measured.load).is_some_and(|(most, load)| load > most)
    }

    /// Whether a replica is too far behind.
    pub fn is_behind(&self, measured: &Measured) -> bool {
        (self.max_replica_lag_millis.map(Duration::from_millis).zip(measured.lag))
            .is_some_and(|(most, lag)| lag > most)
    }

    /// How many chunks may be copied at once, of `threads`, after `now` of them, by what was measured.
    pub fn next(&self, now: usize, threads: usize, measured: &Measured) -> usize {
        if self.paused {
            return 0;
        }
        let most = self
            .max_threads
            .map_or(threads, |most| usize::try_from(most).unwrap_or(usize::MAX).clamp(1, threads));
        let busy = self.is_busy(measured) || self.is_behind(measured);
        let slow = (self.max_commit_millis.map(Duration::from_millis).zip(measured.commit))
            .is_some_and(|(most, commit)| commit > most);
        if busy {
            // Down fast, up slowly.
            (now / 2).min(most)
        } else if slow {
            // One goes on: else nothing would be measured.
            now.saturating_sub(1).clamp(1, most)
        } else if self.measures() {
            (now + 1).min(most)
        } else {
            most
        }
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bounds = Vec::new();
        if self.paused {
            bounds.push("paused".to_string());
        }
        if let Some(most) = self.max_source_load {
            bounds.push(format!("while at most {most} threads run at the source"));
        }
        if let Some(most) = self.max_commit_millis {
            bounds.push(format!("fewer chunks at once while a commit takes over {most} ms"));
        }
        if let Some(most) = self.max_replica_lag_millis {
            bounds.push(format!("while no replica is over {most} ms behind"));
        }
        if let Some(most) = self.max_threads {
            bounds.push(format!("workers: at most {most}"));
        }
        match bounds.is_empty() {
            true => f.write_str("as fast as it can"),
            false => f.write_str(&bounds.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_again_and_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Throttle::said(directory.path()).unwrap(), None);
        let bounds = Throttle { max_source_load: Some(30), paused: true, ..Throttle::default() };
        bounds.say(directory.path()).unwrap();
        assert_eq!(Throttle::said(directory.path()).unwrap(), Some(bounds));
        std::fs::write(directory.path().join(FILE), "{\"max_sauce_load\": 1}").unwrap();
        assert_eq!(Throttle::said(directory.path()).unwrap_err().kind(), Kind::State);
        Throttle::unsay(directory.path()).unwrap();
        Throttle::unsay(directory.path()).unwrap();
        assert_eq!(Throttle::said(directory.path()).unwrap(), None);
    }

    #[test]
    fn bounds_hold() {
        let nothing = Measured::default();
        let free = Throttle::default();
        assert_eq!(free.next(0, 4, &nothing), 4);
        let paused = Throttle { paused: true, ..Throttle::default() };
        assert_eq!(paused.next(4, 4, &nothing), 0);
        let few = Throttle { max_threads: Some(2), ..Throttle::default() };
        assert_eq!((few.next(4, 4, &nothing), few.next(1, 1, &nothing)), (2, 1));
        let load = Throttle { max_source_load: Some(30), ..Throttle::default() };
        let steps =
            [(4, 31, 2), (2, 31, 1), (1, 31, 0), (0, 31, 0), (0, 30, 1), (3, 5, 4), (4, 5, 4)];
        for (now, running, then) in steps {
            let measured = Measured { load: Some(running), ..nothing };
            assert_eq!(load.next(now, 4, &measured), then, "{now} at {running}");
        }
        // What can't be measured holds nothing back.
        assert_eq!(load.next(3, 4, &nothing), 4);
        let commit = Throttle { max_commit_millis: Some(100), ..Throttle::default() };
        for (now, millis, then) in [(4, 101, 3), (1, 5000, 1), (0, 101, 1), (2, 100, 3)] {
            let measured = Measured { commit: Some(Duration::from_millis(millis)), ..nothing };
            assert_eq!(commit.next(now, 4, &measured), then, "{now} at {millis}");
        }
        let lag = Throttle { max_replica_lag_millis: Some(5000), ..Throttle::default() };
        for (now, seconds, then) in [(4, 6, 2), (1, 6, 0), (0, 5, 1), (1, u64::MAX, 0)] {
            let measured = Measured { lag: Some(Duration::from_secs(seconds)), ..nothing };
            assert_eq!(lag.next(now, 4, &measured), then, "{now} at {seconds}");
        }
    }
}
