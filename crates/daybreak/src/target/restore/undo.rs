//! Taking back: the instances, the cluster, the parameter group, and of these only what carries this
//! migration's tag.

use std::future::Future;
use std::time::Instant;

use super::{Asked, Restore};
use crate::error::{Error, Kind, Result};

impl Restore<'_> {
    /// Deletes what this migration made; what is gone already is no error, what isn't ours stays and
    /// is named. Returns when all of it is gone. Idempotent.
    ///
    /// # Errors
    /// What RDS says; `Timeout` when it doesn't come to an end.
    pub async fn undo(&self, asked: &Asked) -> Result<()> {
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
                self.rds.delete_instance(name).await?;
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
                    self.rds.delete_cluster(&identifier).await?;
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
