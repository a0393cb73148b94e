//! Where replication must begin: what RDS says it recovered, against what the backup itself says.

use serde::{Deserialize, Serialize};

use super::Restore;
use crate::{
    aws::rds::RdsEvent,
    error::{Error, Kind, Result},
    mysql::{Coordinates, FilePosition},
};

/// How a decision is told.
const DECIDE: &str = "coordinates = \"event\" or \"backup\" in [restore], then `daybreak resume` (with \
                      `daybreak restore`: --coordinates event or --coordinates backup)";

/// Whose coordinates count when they disagree, or when there is no event to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// The event's.
    Event,
    /// The backup's.
    Backup,
}

/// Reads `Recovered from Binary log filename 'binlog.000007', position 1234`, in whatever quotes and
/// with whatever between; the newest of them counts.
pub fn recovered_from(events: &[RdsEvent]) -> Option<FilePosition> {
    events.iter().rev().find_map(|event| read(&event.message))
}

fn read(message: &str) -> Option<FilePosition> {
    const WORDS: &str = "binary log filename";
    let lower = message.to_ascii_lowercase();
    let at = lower.find(WORDS)? + WORDS.len();
    let quotes = |c: char| c.is_whitespace() || "'\"`,:;=[](){}".contains(c);
    let mut words = message.get(at..)?.split(quotes).filter(|word| !word.is_empty());
    let file = words.next()?.to_string();
    let number = words.find_map(|word| word.trim_end_matches('.').parse::<u64>().ok())?;
    Some(FilePosition { file, position: number })
}

impl Restore<'_> {
    /// Brings both together.
    ///
    /// # Errors
    /// `Paused` when they disagree, or there is no event, and nobody decided.
    pub(super) fn coordinates(&self, events: &[RdsEvent]) -> Result<Option<Coordinates>> {
        let event = recovered_from(events);
        let of_event =
            |file: FilePosition| Coordinates { file: Some(file), gtids: Default::default() };
        let backup = match &self.wanted.backup.coordinates {
            Some(backup) => backup.clone(),
            None => {
                if event.is_none() {
                    self.events.warn(
                        "no event tells which binary log position the backup holds, and the backup wasn't \
                         looked at: replication can't begin before that is known (`daybreak backup inspect`)",
                    );
                }
                return Ok(event.map(of_event));
            }
        };
        match (event, backup) {
            (None, None) => Ok(None),
            // Aurora writes that event for every backup with a position, so its absence is nothing to
            // pass over: what the backup says of itself would go unchecked. (RDS forgets events after
            // 14 days.)
            (None, Some(backup)) if self.wanted.decide == Some(Decide::Backup) => {
                self.events.warn(format!(
                    "no event tells which binary log position was recovered; the backup's is taken, as told: \
                     {backup}"
                ));
                Ok(Some(backup))
            }
            (None, Some(backup)) => Err(Error::new(
                Kind::Paused,
                format!(
                    "no event of RDS tells which binary log position was recovered, so the backup's can't be \
                     compared with it: {backup}"
                ),
            )
            .at(self.wanted.place.to_string())
            .next(format!(
                "look for \"Recovered from Binary log filename\" among the cluster's events in the RDS \
                 console, and whether only this backup lies under the prefix; if the backup's position is \
                 right: coordinates = \"backup\": {DECIDE}"
            ))),
            (Some(event), Some(backup)) if backup.file.as_ref() == Some(&event) => {
                self.events.info(format!("event and backup agree: replication begins at {event}"));
                Ok(Some(backup))
            }
            // A backup taken with GTIDs alone names no file; the set is the stronger word.
            (Some(event), Some(backup)) if backup.file.is_none() && !backup.gtids.is_empty() => {
                self.events.info(format!("the event says {event}, the backup {backup}"));
                Ok(Some(Coordinates { file: Some(event), gtids: backup.gtids }))
            }
            (Some(event), backup) => match (self.wanted.decide, backup) {
                (Some(Decide::Event), _) => Ok(Some(of_event(event))),
                (Some(Decide::Backup), backup) => Ok(backup),
                (None, backup) => Err(Error::new(
                    Kind::Paused,
                    format!(
                        "the coordinates disagree: RDS recovered {event}, the backup says {}",
                        backup.map_or_else(|| "that there are none".into(), |found| found.to_string())
                    ),
                )
                .at(self.wanted.place.to_string())
                .next(format!(
                    "find out which is right before anything replicates: compare \
                     xtrabackup_binlog_info of the *last* incremental, and look whether another backup \
                     lies under the same prefix; then {DECIDE}"
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_in_many_words() {
        for text in [
            "Recovered from Binary log filename 'mysql-bin.000012', position 90210",
            "Recovered from Binary log filename mysql-bin.000012, position 90210.",
            "Recovered from Binary log filename \"mysql-bin.000012\" and position = 90210, GTID x",
        ] {
            let found = read(text).unwrap();
            assert_eq!(
                (found.file.as_str(), found.position),
                ("mysql-bin.000012", 90210),
                "{text}"
            );
        }
        for text in ["DB cluster created", "Binary log filename", "Binary log filename x, position"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
