//! Following RDS while it works: states, percentages and events, until the thing is there, has
//! failed, or nothing moves any more. The SDK's waiters give up after 30 minutes, where a restore
//! takes hours.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;

use super::{Decide, Pace, Restore, recovered_from};
use crate::{
    aws::rds::{Cluster, EventSource, RdsEvent},
    error::{Error, Kind, Result, Retry},
    event::{Event, Unit},
};

/// States out of which nothing comes by itself.
///
/// Source: Aurora User Guide, *Viewing DB cluster status* and *Viewing DB instance status*.
const DEAD_ENDS: [&str; 14] = [
    "migration-failed",
    "cloning-failed",
    "failed",
    "incompatible-restore",
    "incompatible-parameters",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-create",
    "insufficient-capacity",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "storage-full",
    "deleting",
    "stopped",
];

/// States in which something goes on.
const ON_THE_WAY: [&str; 10] = [
    "creating",
    "preparing-data-migration",
    "migrating",
    "backing-up",
    "modifying",
    "upgrading",
    "rebooting",
    "starting",
    "maintenance",
    "resetting-master-credentials",
];

/// How often in a row AWS may be busy before it is an error.
const BUSY_LIMIT: u32 = 20;

/// An event that says why it failed, and what to do: by words of its text, since the API doesn't tell
/// an event's number.
///
/// Source: Aurora User Guide, *Amazon RDS event categories and event messages for Aurora*.
struct Failure {
    number: &'static str,
    words: [&'static str; 2],
    remedy: &'static str,
}

const FAILURES: [Failure; 6] = [
    Failure {
        number: "RDS-EVENT-0083",
        words: ["unable to copy", "s3"],
        remedy: "the ingestion role can't read the bucket, or nothing usable lies under the prefix: compare \
                 role and bucket with what `daybreak restore --policies` prints, and what lies there with \
                 `daybreak backup inspect s3://...`",
    },
    Failure {
        number: "RDS-EVENT-0082",
        words: ["unable to copy", "backup"],
        remedy: "the ingestion role can't read the bucket, or nothing usable lies under the prefix: compare \
                 role and bucket with what `daybreak restore --policies` prints, and what lies there with \
                 `daybreak backup inspect s3://...`",
    },
    Failure {
        number: "RDS-EVENT-0076",
        words: ["failed to migrate", ""],
        remedy: "the backup itself is refused: `daybreak backup inspect s3://...` names the rule; mend it at \
                 the source, take and upload the backup again",
    },
    Failure {
        number: "RDS-EVENT-0077",
        words: ["failed to convert", "innodb"],
        remedy: "a table of another engine can't become InnoDB: ALTER TABLE ... ENGINE=InnoDB at the source \
                 (or drop it), then take and upload the backup again",
    },
    Failure {
        number: "RDS-EVENT-0354",
        words: ["incompatible resources", ""],
        remedy: "parameter group, subnet group, security groups or the instance class don't go together: \
                 correct them in [restore]",
    },
    Failure {
        number: "RDS-EVENT-0355",
        words: ["insufficient resource", ""],
        remedy: "a limit of the account or the zone is reached: another instance class, or ask for more \
                 under Service Quotas, Amazon RDS",
    },
];

/// How many looks an event may come later than the state `available`.
const LATE_EVENTS: u32 = 8;

fn failure(message: &str) -> Option<&'static Failure> {
    let lower = message.to_ascii_lowercase();
    FAILURES
        .iter()
        .find(|failure| message.contains(failure.number))
        .or_else(|| FAILURES.iter().find(|failure| failure.words.iter().all(|w| lower.contains(w))))
}

/// Follows one cluster and its instances.
pub(super) struct Follower<'a> {
    restore: &'a Restore<'a>,
    cluster: &'a str,
    /// Events before this belong to an earlier cluster of that name.
    began: Timestamp,
    seen: Vec<RdsEvent>,
    known: BTreeSet<RdsEvent>,
    patience: Patience,
}

/// What was last seen to move.
struct Patience {
    pace: Pace,
    last: String,
    since: Instant,
    busy: u32,
}

impl Patience {
    /// Notes how things stand.
    fn note(&mut self, now: String) {
        self.busy = 0;
        if now != self.last {
            self.last = now;
            self.since = Instant::now();
        }
    }

    /// Whether a passing failure may pass.
    fn bears(&mut self, error: Error) -> Result<()> {
        self.busy += 1;
        if error.kind().retry() == Retry::Again && self.busy <= BUSY_LIMIT {
            Ok(())
        } else {
            Err(error)
        }
    }
}

impl<'a> Follower<'a> {
    pub fn new(restore: &'a Restore<'a>, cluster: &'a str, began: Timestamp) -> Self {
        let patience = Patience {
            pace: restore.wanted.pace,
            last: String::new(),
            since: Instant::now(),
            busy: 0,
        };
        Follower { restore, cluster, began, seen: Vec::new(), known: BTreeSet::new(), patience }
    }

    /// All events so far, oldest first.
    pub fn seen(&self) -> &[RdsEvent] {
        &self.seen
    }

    /// Returns when the cluster is available.
    pub async fn until_cluster_is_available(&mut self) -> Result<Cluster> {
        let mut told = String::new();
        loop {
            self.restore.stop.check()?;
            let look = self.look_at_cluster().await;
            match look {
                Err(error) => self.patience.bears(error)?,
                Ok(cluster) => {
                    self.tell(&mut told, &cluster.identifier, &cluster.status);
                    self.progress(&cluster);
                    if cluster.status == "available" {
                        // What it tells of its last moments, the coordinates among it.
                        self.read_events(EventSource::Cluster, self.cluster).await?;
                        return Ok(cluster);
                    }
                    self.judge(&cluster.status, &cluster.identifier)?;
                    let percent = cluster.percent.as_deref().unwrap_or_default();
                    let now = format!("{} {percent} {}", cluster.status, self.seen.len());
                    self.patience.note(now);
                }
            }
            self.rest().await?;
        }
    }

    /// Returns when an event told the coordinates, or should have long ago: events may come a little
    /// later than the state that they belong to.
    pub async fn until_coordinates_are_told(&mut self) -> Result<()> {
        for _ in 0..LATE_EVENTS {
            let told = recovered_from(&self.seen).is_some();
            if told || self.restore.wanted.decide == Some(Decide::Backup) {
                break;
            }
            self.rest().await?;
            self.read_events(EventSource::Cluster, self.cluster).await?;
        }
        Ok(())
    }

    async fn look_at_cluster(&mut self) -> Result<Cluster> {
        let cluster = self.restore.our_cluster().await?.ok_or_else(|| {
            Error::new(Kind::Aws, format!("the cluster {} is gone", self.cluster))
                .at(self.restore.rds.place())
                .next("somebody deleted it; the same command again makes it anew")
        })?;
        self.read_events(EventSource::Cluster, self.cluster).await?;
        Ok(cluster)
    }

    /// Returns when an instance is available.
    pub async fn until_instance_is_available(&mut self, name: &str) -> Result<()> {
        let mut told = String::new();
        loop {
            self.restore.stop.check()?;
            match self.look_at_instance(name).await {
                Err(error) => self.patience.bears(error)?,
                Ok(status) => {
                    self.tell(&mut told, name, &status);
                    if status == "available" {
                        return Ok(());
                    }
                    self.judge(&status, name)?;
                    self.patience.note(format!("{name} {status} {}", self.seen.len()));
                }
            }
            self.rest().await?;
        }
    }

    async fn look_at_instance(&mut self, name: &str) -> Result<String> {
        let instance = self.restore.rds.instance(name).await?.ok_or_else(|| {
            Error::new(Kind::Aws, format!("the instance {name} is gone"))
                .at(self.restore.rds.place())
                .next("somebody deleted it; the same command again makes it anew")
        })?;
        self.read_events(EventSource::Instance, name).await?;
        Ok(instance.status)
    }

    fn tell(&self, told: &mut String, name: &str, status: &str) {
        if told == status {
            return;
        }
        if !ON_THE_WAY.contains(&status) && !DEAD_ENDS.contains(&status) && status != "available" {
            self.restore
                .events
                .warn(format!("{name} is {status}, which is not a state that is known"));
        } else {
            self.restore.events.info(format!("{name} is {status}"));
        }
        *told = status.to_string();
    }

    fn progress(&self, cluster: &Cluster) {
        let digits: String = cluster
            .percent
            .as_deref()
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let (Ok(percent), Some(total)) =
            (digits.parse::<u64>(), self.restore.wanted.backup.bytes.filter(|bytes| *bytes > 0))
        else {
            return;
        };
        let done =
            u64::try_from(u128::from(total) * u128::from(percent.min(100)) / 100).unwrap_or(0);
        self.restore.events.send(Event::Progress {
            task: "restore".into(),
            now: cluster.status.clone(),
            done,
            total: Some(total),
            unit: Unit::Bytes,
            bytes: done,
        });
    }

    /// Passes on what is new.
    async fn read_events(&mut self, source: EventSource, name: &str) -> Result<()> {
        for event in self.restore.rds.events(source, name, self.began).await? {
            // The API is asked by whole seconds: an earlier cluster of that name may have had its
            // last event in the same one.
            if event.at < self.began || !self.known.insert(event.clone()) {
                continue;
            }
            let text = format!("RDS: {}: {}", event.source, event.message);
            if failure(&event.message).is_some() || event.categories.iter().any(|c| c == "failure")
            {
                self.restore.events.warn(text);
            } else {
                self.restore.events.info(text);
            }
            self.seen.push(event);
        }
        self.seen.sort();
        Ok(())
    }

    /// An error for what has failed.
    fn judge(&self, status: &str, name: &str) -> Result<()> {
        let event =
            self.seen.iter().rev().find_map(|event| Some((event, failure(&event.message)?)));
        let dead = DEAD_ENDS.contains(&status);
        let again = "; then take the failed cluster back (`daybreak restore --undo`, or `daybreak undo`) \
                     and restore again";
        if let Some((event, failure)) = event {
            return Err(Error::new(
                Kind::Aws,
                format!("the restore failed ({}): {}", failure.number, event.message),
            )
            .at(format!("{name}, which is {status}"))
            .at(self.restore.rds.place())
            .next(format!("{}{again}", failure.remedy)));
        }
        if !dead {
            return Ok(());
        }
        let last = self.seen.last().map_or("RDS tells no event", |event| event.message.as_str());
        Err(Error::new(Kind::Aws, format!("{name} is {status}: {last}"))
            .at(self.restore.rds.place())
            .next(format!(
                "see its events and logs in the RDS console, and remove the cause{again}"
            )))
    }

    /// Waits for the next look, and gives up when nothing moves any more.
    async fn rest(&self) -> Result<()> {
        let pace = self.patience.pace;
        if self.patience.since.elapsed() > pace.no_progress {
            return Err(Error::new(
                Kind::Timeout,
                format!(
                    "nothing has moved for {} min; last seen: {}",
                    pace.no_progress.as_secs() / 60,
                    self.patience.last
                ),
            )
            .at(self.restore.rds.place())
            .next(
                "look at the cluster in the RDS console; the same command again goes on waiting",
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(pace.look) => Ok(()),
            () = self.restore.stop.stopped() => self.restore.stop.check(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_known_by_their_words() {
        for (text, number) in [
            ("Aurora was unable to copy backup data from an Amazon S3 bucket.", "RDS-EVENT-0083"),
            ("Failed to migrate from mysql 5.7 to aurora. Reason: compressed", "RDS-EVENT-0076"),
            ("Failed to convert shop.notes to InnoDB. Reason: x", "RDS-EVENT-0077"),
            (
                "You can't create the DB instance because of incompatible resources. x",
                "RDS-EVENT-0354",
            ),
            ("can't be created because of insufficient resource limits. x", "RDS-EVENT-0355"),
            ("RDS-EVENT-0082 in other words", "RDS-EVENT-0082"),
        ] {
            assert_eq!(failure(text).map(|failure| failure.number), Some(number), "{text}");
        }
        assert!(failure("DB cluster created").is_none());
    }
}
