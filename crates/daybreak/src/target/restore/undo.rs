//! Taking back: the instances, the cluster, the parameter group, and of these only what carries this
//! migration's tag.

use std::future::Future;
use std::time::{Duration, Instant};

use super::{Asked, Restore, Restored};
use crate::{
    error::{Error, Kind, Result},
    mysql::{Session, Side, activity::connected},
};

/// Whose threads aren't clients.
const SERVERS_OWN: [&str; 6] =
    ["system user", "event_scheduler", "unauthenticated user", "rdsadmin", "rdsrepladmin", ""];

/// Says that somebody works on a cluster.
pub fn used(cluster: &str, clients: &[String]) -> Error {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = clients.iter().take(SHOWN).map(String::as_str).collect();
    Error::new(
        Kind::Blocked,
        format!(
            "the cluster {cluster} is in use, and deleting it would lose what was written there: {} of {} \
             connections",
            shown.join(", "),
            clients.len()
        ),
    )
}

impl Restore<'_> {
    /// Deletes what this migration made; what is gone already is no error, what isn't ours stays and
    /// is named. Returns when all of it is gone. Idempotent.
    ///
    /// # Errors
    /// What RDS says; `Timeout` when it doesn't come to an end.
    pub async fn undo(&self, asked: &Asked) -> Result<()> {
        self.take_back(asked).await.map_err(|error| self.with_policies(error))
    }

    async fn take_back(&self, asked: &Asked) -> Result<()> {
        let identifier = match (&asked.cluster, &self.wanted.config.cluster) {
            (Some(cluster), _) | (None, Some(cluster)) => cluster.clone(),
            (None, None) => return Ok(()),
        };
        let cluster = self.rds.cluster(&identifier).await?;
        let mut instances = asked.instances.clone();
        if let Some(cluster) = cluster.as_ref().filter(|cluster| self.is_ours(&cluster.tags)) {
            instances.extend(cluster.members.iter().map(|(name, _)| name.clone()));
        }
        instances.sort();
        instances.dedup();
        // All begin to go at once; then each is waited for.
        let mut going = Vec::new();
        for name in &instances {
            let Some(instance) = self.rds.instance(name).await? else { continue };
            if !self.is_ours(&instance.tags) {
                self.events.warn(format!("the instance {name} isn't this migration's: it stays"));
                continue;
            }
            if instance.status != "deleting" {
                self.events.info(format!("deletes the instance {name}"));
                if let Err(error) = self.rds.delete_instance(name).await {
                    // The answer may have been lost on its way, and the second call be refused.
                    let status = self.rds.instance(name).await?.map(|found| found.status);
                    if !matches!(status.as_deref(), None | Some("deleting")) {
                        return Err(error);
                    }
                }
            }
            going.push(name.clone());
        }
        for name in &going {
            self.until_gone(name, async || Ok(self.rds.instance(name).await?.map(|i| i.status)))
                .await?;
        }
        match cluster {
            Some(cluster) if self.is_ours(&cluster.tags) => {
                if cluster.status != "deleting" {
                    self.events.info(format!("deletes the cluster {identifier}"));
                    if let Err(error) = self.rds.delete_cluster(&identifier).await {
                        let status = self.rds.cluster(&identifier).await?.map(|found| found.status);
                        if !matches!(status.as_deref(), None | Some("deleting")) {
                            return Err(error);
                        }
                    }
                }
                self.until_gone(&identifier, async || {
                    Ok(self.rds.cluster(&identifier).await?.map(|cluster| cluster.status))
                })
                .await?;
            }
            Some(_) => {
                self.events
                    .warn(format!("the cluster {identifier} isn't this migration's: it stays"));
            }
            None => {}
        }
        let group = match &asked.parameter_group {
            Some(group) => group.clone(),
            None if self.wanted.config.parameter_group.is_none() => {
                format!("{identifier}-daybreak")
            }
            None => return Ok(()),
        };
        if let Some(found) = self.rds.parameter_group(&group).await? {
            if self.is_ours(&self.rds.tags(&found.arn).await?) {
                self.events.info(format!("deletes the parameter group {group}"));
                self.rds.delete_parameter_group(&group).await?;
            } else {
                self.events
                    .warn(format!("the parameter group {group} isn't this migration's: it stays"));
            }
        }
        Ok(())
    }

    /// Who works on a restored cluster beside the servers' own threads and this session, each as
    /// `user@host (database)`. What an ended program left may take a moment to go.
    ///
    /// # Errors
    /// When the cluster can't be reached or logged in to.
    pub async fn in_use(&self, restored: &Restored) -> Result<Vec<String>> {
        const MOMENT: Duration = Duration::from_secs(5);
        let mut session = Session::open(&self.url(restored), Side::Target).await?;
        let own = session.id();
        let begun = Instant::now();
        loop {
            let clients: Vec<String> = connected(&mut session)
                .await?
                .into_iter()
                .filter(|one| one.id != u64::from(own) && !SERVERS_OWN.contains(&one.user.as_str()))
                .map(|one| {
                    let database = one.database.unwrap_or_else(|| "no database".into());
                    format!("{}@{} ({database})", one.user, one.host)
                })
                .collect();
            if clients.is_empty() || begun.elapsed() > MOMENT {
                session.close().await;
                return Ok(clients);
            }
            self.stop.check()?;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn until_gone<F, Look>(&self, name: &str, look: Look) -> Result<()>
    where
        Look: Fn() -> F,
        F: Future<Output = Result<Option<String>>>,
    {
        let pace = self.wanted.pace;
        let begun = Instant::now();
        while let Some(status) = look().await? {
            if begun.elapsed() > pace.no_progress {
                return Err(Error::new(Kind::Timeout, format!("{name} is still {status}"))
                    .at(self.rds.place())
                    .next("look at it in the RDS console; the same command again goes on"));
            }
            self.stop.check()?;
            tokio::select! {
                () = tokio::time::sleep(pace.look) => {}
                () = self.stop.stopped() => self.stop.check()?,
            }
        }
        Ok(())
    }
}
