//! A cluster made from a backup in S3, by way of the RDS API: looked at before, asked for, followed
//! until it is there, and taken back.
//!
//! Whatever is made here carries a tag with the migration's name, and is written down before it is
//! asked for. So a run that was killed finds what it made, by identifier and tag; a cluster of that
//! name without the tag belongs to somebody else, and is left alone.

mod check;
mod coordinates;
mod follow;
mod parameters;
pub mod policy;
pub mod step;
mod undo;
mod version;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    aws::rds::{Cluster, InstanceRequest, Rds, RestoreRequest, Tags},
    config::{RestoreConfig, S3Place},
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::Events,
    mysql::{Coordinates, Protection, Secret, ServerUrl, Session, Side, TlsMode},
};

pub use coordinates::{Decide, recovered_from};
pub use parameters::{Setting, settings};
pub use undo::used;
pub use version::{Choice, choose};

use follow::Follower;

/// The tag of everything that is made here; its value is the migration's name.
pub const TAG: &str = "daybreak:migration";

/// The class of an instance when none is named.
const CLASS: &str = "db.r6g.large";

/// What is known of the bucket.
#[derive(Debug, Clone, Default)]
pub struct BucketFacts {
    /// The Region that it is in.
    pub region: Option<String>,
    /// The KMS key of its objects, when they are encrypted with one.
    pub kms_key: Option<String>,
    /// How many objects lie under the prefix.
    pub objects: Option<u64>,
    /// How many bytes the largest of them has.
    pub largest: Option<u64>,
}

/// What is known of the backup and of the server that it is of.
#[derive(Debug, Clone, Default)]
pub struct BackupFacts {
    /// The server's version as it says it: `8.0.36`, `10.11.14-MariaDB`.
    pub server_version: String,
    /// Where replication must begin, by the backup itself; outer none: nobody looked.
    pub coordinates: Option<Option<Coordinates>>,
    /// How many bytes it holds, unpacked.
    pub bytes: Option<u64>,
}

/// How patiently RDS is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long between two looks.
    pub look: Duration,
    /// How long nothing at all may move (state, percentage, events) before the wait is given up.
    pub no_progress: Duration,
}

impl Pace {
    /// For a backup of this size: a look every 15 s. RDS says nothing for hours while it copies, and
    /// needs several hours for a TiB, so the wait is given up only after six hours and twelve more
    /// for each TiB without any news.
    pub fn for_size(bytes: u64) -> Self {
        let hours = 6.0 + 12.0 * (bytes as f64 / (1u64 << 40) as f64);
        Pace { look: Duration::from_secs(15), no_progress: Duration::from_secs_f64(hours * 3600.0) }
    }
}

/// All that a restore is told.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The migration's name.
    pub migration: String,
    /// Where the backup lies.
    pub place: S3Place,
    /// What is known of the bucket.
    pub bucket: BucketFacts,
    /// What is known of the backup.
    pub backup: BackupFacts,
    /// `[restore]`.
    pub config: RestoreConfig,
    /// The Region in which the cluster is made.
    pub region: Option<String>,
    /// The master account's name.
    pub master_user: String,
    /// Its password.
    pub master_password: Secret,
    /// How connections to the cluster are protected.
    pub protection: Protection,
    /// The port that the cluster listens on; none: 3306.
    pub port: Option<u16>,
    /// What the parameter group must hold.
    pub settings: Vec<Setting>,
    /// What counts when the coordinates of event and backup disagree, or there is no event; none: a
    /// person decides.
    pub decide: Option<Decide>,
    /// How patiently RDS is asked.
    pub pace: Pace,
}

/// What was asked for so far: written down before it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// When the first thing was asked for, by this machine's clock.
    pub at: Option<Timestamp>,
    /// Aurora's version.
    pub engine_version: Option<String>,
    /// The parameter group that is made.
    pub parameter_group: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The instances, the writer first.
    pub instances: Vec<String>,
}

/// The cluster that came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its identifier.
    pub cluster: String,
    /// Aurora's version.
    pub engine_version: String,
    /// The writer's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The instances, the writer first.
    pub instances: Vec<String>,
    /// Where replication must begin; none when the source has no binary log.
    pub coordinates: Option<Coordinates>,
}

/// What is asked, of whom, and where news of it goes.
pub struct Restore<'a> {
    /// RDS.
    pub rds: &'a dyn Rds,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// Where events go.
    pub events: &'a Events,
    /// The word to stop.
    pub stop: &'a StopSignal,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restore({})", self.wanted.place)
    }
}

/// What writes down what is asked for; an error of it means that nothing is asked.
pub type Record<'a> = &'a (dyn Fn(&Asked) -> Result<()> + Send + Sync);

impl Restore<'_> {
    /// The cluster's identifier.
    ///
    /// # Errors
    /// `Config` when none is named.
    pub fn cluster(&self) -> Result<&str> {
        self.wanted.config.cluster.as_deref().ok_or_else(|| {
            Error::new(Kind::Config, "no cluster is named")
                .at("[restore]")
                .next("give --cluster ID, or cluster in [restore]")
        })
    }

    fn tags(&self) -> Tags {
        Tags::from([(TAG.to_string(), self.wanted.migration.clone())])
    }

    fn is_ours(&self, tags: &Tags) -> bool {
        tags.get(TAG) == Some(&self.wanted.migration)
    }

    /// The cluster if it is this migration's; none if there is none of its name.
    ///
    /// # Errors
    /// `Blocked` when it is somebody else's.
    async fn our_cluster(&self) -> Result<Option<Cluster>> {
        let Some(cluster) = self.rds.cluster(self.cluster()?).await? else { return Ok(None) };
        if self.is_ours(&cluster.tags) {
            return Ok(Some(cluster));
        }
        Err(Error::new(
            Kind::Blocked,
            format!(
                "there is a cluster {} already, and this migration didn't make it",
                cluster.identifier
            ),
        )
        .at(self.rds.place())
        .next("choose another identifier (cluster in [restore], or --cluster): a restore makes a new one"))
    }

    /// Makes the cluster and its instances, or goes on with those that an earlier run asked for, and
    /// returns when they are there. Idempotent.
    ///
    /// # Errors
    /// `Blocked` for what stands in the way; `Aws` with the remedy when RDS refuses or the migration
    /// fails; `Timeout` when nothing moves any more; `Paused` when the coordinates disagree.
    pub async fn run(&self, asked: Asked, record: Record<'_>) -> Result<Restored> {
        self.check_authority()?;
        self.make(asked, record).await.map_err(|error| self.with_policies(error))
    }

    async fn make(&self, mut asked: Asked, record: Record<'_>) -> Result<Restored> {
        let identifier = self.cluster()?.to_string();
        let cluster = match self.our_cluster().await? {
            Some(cluster) => {
                self.events.info(format!(
                    "goes on with the cluster {identifier}, which is {}",
                    cluster.status
                ));
                cluster
            }
            None => self.ask_for_cluster(&identifier, &mut asked, record).await?,
        };
        asked.cluster = Some(identifier.clone());
        asked.at = asked.at.or_else(|| Some(Timestamp::now()));
        // By RDS's own clock, if it says so; ours may be ahead by as much as a signature bears.
        let ours = asked.at.unwrap_or_else(Timestamp::now) - SignedDuration::from_mins(5);
        let began = cluster.created.unwrap_or(ours);
        let mut follower = Follower::new(self, &identifier, began);
        let cluster = follower.until_cluster_is_available().await?;
        follower.until_coordinates_are_told().await?;
        let coordinates = self.coordinates(follower.seen())?;

        let mut names = vec![format!("{identifier}-1")];
        if self.wanted.config.reader {
            names.push(format!("{identifier}-2"));
        }
        for name in &names {
            self.ask_for_instance(&identifier, name, &mut asked, record).await?;
            follower.until_instance_is_available(name).await?;
        }
        let cluster = self.rds.cluster(&identifier).await?.unwrap_or(cluster);
        let missing = |what: &str| {
            Error::new(Kind::Aws, format!("the cluster is available but has no {what}"))
                .at(&identifier)
                .next("run the same command again in a minute; it goes on from here")
        };
        let restored = Restored {
            cluster: identifier.clone(),
            engine_version: cluster.engine_version.clone(),
            host: cluster.endpoint.clone().ok_or_else(|| missing("endpoint"))?,
            port: cluster.port.ok_or_else(|| missing("port"))?,
            instances: names,
            coordinates,
        };
        self.events.info(format!("the cluster is at {}:{}", restored.host, restored.port));
        Ok(restored)
    }

    async fn ask_for_cluster(
        &self,
        identifier: &str,
        asked: &mut Asked,
        record: Record<'_>,
    ) -> Result<Cluster> {
        self.stop.check()?;
        let config = &self.wanted.config;
        let role = config.ingestion_role.clone().ok_or_else(|| {
            Error::new(Kind::Config, "no ingestion role is named")
                .at("[restore]")
                .next(policy::needed(self.wanted))
        })?;
        if self.wanted.place.prefix.is_empty() {
            return Err(check::whole_bucket(&self.wanted.place));
        }
        let choice = self.choose_version().await?;
        asked.at = Some(Timestamp::now());
        asked.engine_version = Some(choice.version.version.clone());
        let group = self.parameter_group(identifier, &choice, asked, record).await?;
        asked.cluster = Some(identifier.to_string());
        record(asked)?;
        self.stop.check()?;
        // With the slash at its end: RDS takes every key that *begins* with the prefix, and
        // `shop` would take `shop-old/...` as well.
        let prefix = format!("{}/", self.wanted.place.prefix);
        let request = RestoreRequest {
            cluster: identifier.to_string(),
            engine_version: choice.version.version,
            master_user: self.wanted.master_user.clone(),
            master_password: self.wanted.master_password.clone(),
            source_version: version::plain(&self.wanted.backup.server_version),
            bucket: self.wanted.place.bucket.clone(),
            prefix,
            ingestion_role: role,
            parameter_group: group,
            subnet_group: config.subnet_group.clone(),
            security_groups: config.security_groups.clone(),
            encrypted: config.encrypted,
            kms_key: config.kms_key.clone(),
            port: self.wanted.port,
            tags: self.tags(),
        };
        self.events.info(format!(
            "asks for the cluster {identifier} ({}) from {}",
            request.engine_version, self.wanted.place
        ));
        let error = match self.rds.restore_cluster_from_s3(&request).await {
            Ok(cluster) => return Ok(cluster),
            Err(error) => error,
        };
        // The answer may have been lost on its way, and what it was about be there.
        match self.our_cluster().await {
            Ok(Some(cluster)) => {
                self.asked_already(identifier, &error);
                return Ok(cluster);
            }
            Err(theirs) if theirs.kind() == Kind::Blocked => return Err(theirs),
            Ok(None) | Err(_) => {}
        }
        Err(error)
    }

    /// Says that something of ours is there although RDS gave an error.
    fn asked_already(&self, what: &str, error: &Error) {
        self.events.info(format!(
            "{what} is there and is this migration's: goes on, though RDS said: {}",
            error.causes().join(": ")
        ));
    }

    async fn ask_for_instance(
        &self,
        cluster: &str,
        name: &str,
        asked: &mut Asked,
        record: Record<'_>,
    ) -> Result<()> {
        self.stop.check()?;
        if self.has_instance(cluster, name).await? {
            return Ok(());
        }
        if !asked.instances.iter().any(|known| known == name) {
            asked.instances.push(name.to_string());
        }
        record(asked)?;
        let class = self.wanted.config.instance_class.clone().unwrap_or_else(|| CLASS.to_string());
        self.events.info(format!("asks for the instance {name} ({class})"));
        let request = InstanceRequest {
            instance: name.to_string(),
            cluster: cluster.to_string(),
            class,
            tags: self.tags(),
        };
        let Err(error) = self.rds.create_instance(&request).await else { return Ok(()) };
        match self.has_instance(cluster, name).await {
            Ok(true) => {
                self.asked_already(name, &error);
                Ok(())
            }
            Err(theirs) if theirs.kind() == Kind::Blocked => Err(theirs),
            Ok(false) | Err(_) => Err(error),
        }
    }

    /// Whether the instance is there, made by this migration.
    ///
    /// # Errors
    /// `Blocked` when it is somebody else's.
    async fn has_instance(&self, cluster: &str, name: &str) -> Result<bool> {
        let Some(found) = self.rds.instance(name).await? else { return Ok(false) };
        if self.is_ours(&found.tags) && found.cluster.as_deref() == Some(cluster) {
            return Ok(true);
        }
        Err(Error::new(
            Kind::Blocked,
            format!("there is an instance {name} already, and this migration didn't make it"),
        )
        .at(self.rds.place())
        .next("choose another cluster identifier, from which the instance's comes"))
    }

    /// Asks RDS, and the cluster itself, whether it is there and can be worked with.
    ///
    /// # Errors
    /// `Different` when it isn't as it was restored; what the server says when it can't be reached.
    pub async fn verify(&self, restored: &Restored) -> Result<()> {
        self.look_at(restored).await.map_err(|error| self.with_policies(error))
    }

    async fn look_at(&self, restored: &Restored) -> Result<()> {
        let different = |what: String| {
            Error::new(Kind::Different, what)
                .at(self.rds.place())
                .next("see the cluster in the RDS console; the restore goes on when run again")
        };
        let cluster = self
            .our_cluster()
            .await?
            .ok_or_else(|| different(format!("the cluster {} is gone", restored.cluster)))?;
        if cluster.status != "available" {
            return Err(different(format!("the cluster is {}", cluster.status)));
        }
        for name in &restored.instances {
            let found = self.rds.instance(name).await?;
            let status = found.as_ref().map_or("gone", |instance| instance.status.as_str());
            if status != "available" {
                return Err(different(format!("the instance {name} is {status}")));
            }
        }
        let mut session = Session::open(&self.url(restored), Side::Target).await?;
        let databases: u64 = session
            .scalar(
                "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN \
                 ('mysql', 'information_schema', 'performance_schema', 'sys')",
            )
            .await?
            .unwrap_or_default();
        session.close().await;
        if databases == 0 {
            return Err(different("the restored cluster holds no database".into()));
        }
        Ok(())
    }

    /// The URL of the restored cluster for its master account.
    pub fn url(&self, restored: &Restored) -> ServerUrl {
        self.url_at(restored.host.clone(), restored.port)
    }

    fn url_at(&self, host: String, port: u16) -> ServerUrl {
        let url = ServerUrl {
            host,
            port,
            user: self.wanted.master_user.clone(),
            password: Some(self.wanted.master_password.clone()),
            socket: None,
            tls: TlsMode::Required,
            ca: None,
            compression: false,
        };
        url.protected(&self.wanted.protection)
    }

    /// The authority's file is looked at before hours are spent on a cluster that can't be logged in to
    /// without it.
    fn check_authority(&self) -> Result<()> {
        self.url_at("the restored cluster".into(), 0).check_authority()
    }
}
