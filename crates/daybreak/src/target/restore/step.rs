//! The step `restore`: the cluster is made from what lies in the bucket.

use async_trait::async_trait;

use super::{Asked, BackupFacts, BucketFacts, Pace, Restore, Restored, Wanted, settings};
use crate::{
    aws::{
        self,
        policy::{self, Scope},
        rds::SdkRds,
        s3::{AtRest, ObjectStore, S3},
    },
    config::{AwsConfig, Encryption, S3Place},
    engine::{
        Context, Endpoint, Finding, Severity, Step,
        context::{ENDPOINT, RESTORE},
    },
    error::{Error, Kind, Result},
    mysql::{Protection, Secret},
    source::backup,
    sync::replicate::{COORDINATES, Recorded},
    transit,
};

/// The step's name.
pub const ID: &str = RESTORE;
/// The finding that it is a rehearsal.
pub const RULES: &str = "backup.rules";

/// What to do about a tool that was never tried.
const VERIFY_ALL: &str = "have every row of every table compared before the cutover: mode = \"checksum\" in \
                          [verify], which is the default";

/// A stand-in answers at once; RDS is asked every 15 s.
pub fn pace(aws: &AwsConfig, bytes: Option<u64>) -> Pace {
    let mut pace = Pace::for_size(bytes.unwrap_or_default());
    let local = |url: &String| url.contains("//127.0.0.1") || url.contains("//localhost");
    if aws.endpoint_rds.as_ref().is_some_and(local) {
        pace.look = std::time::Duration::from_millis(200);
    }
    pace
}

/// Makes the cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreCluster;

impl BucketFacts {
    /// Asks a bucket. `encryption` is how the objects were to be encrypted; what they tell counts more.
    ///
    /// # Errors
    /// `AwsDenied` with the policy that allows it.
    pub async fn read(store: &S3, place: &S3Place, encryption: &Encryption) -> Result<Self> {
        Self::ask(store, place, encryption).await.map_err(|error| {
            policy::explained(error, |named| {
                let (region, asked) = (store.region(), key_of(encryption));
                let key = named.or(asked.as_deref());
                let scope = Scope { place, region: region.as_deref(), account: None, key };
                policy::document(scope.reading())
            })
        })
    }

    async fn ask(store: &S3, place: &S3Place, encryption: &Encryption) -> Result<Self> {
        let mut facts = BucketFacts::default();
        let found = store.bucket(&place.bucket).await?;
        facts.region = found.region;
        facts.kms_key = match (encryption, found.encryption) {
            (Encryption::Bucket, Some(AtRest::Kms(key))) => key,
            (asked, _) => key_of(asked),
        };
        let (mut objects, mut largest, mut page) = (0, 0, None);
        loop {
            let listed = store.list(&place.bucket, &format!("{}/", place.prefix), page).await?;
            // They were all encrypted alike, or the upload would not have come to its end.
            if let (0, Some(one)) = (objects, listed.objects.first())
                && let Some(head) = store.head(&place.bucket, &one.key).await?
                && let Some(how) = head.encryption
            {
                facts.kms_key = match how {
                    AtRest::Kms(key) => key,
                    AtRest::S3 | AtRest::Other(_) => None,
                };
            }
            objects += listed.objects.len() as u64;
            largest = listed.objects.iter().map(|object| object.size).fold(largest, u64::max);
            page = listed.next;
            if page.is_none() {
                break;
            }
        }
        (facts.objects, facts.largest) = (Some(objects), Some(largest));
        Ok(facts)
    }
}

/// The KMS key that objects were to be encrypted with.
pub fn key_of(encryption: &Encryption) -> Option<String> {
    match encryption {
        Encryption::Kms(key) => Some(key.clone()),
        Encryption::Bucket | Encryption::S3 => None,
    }
}

/// RDS, and all that a restore is told by configuration, plan and backup.
async fn wanted(context: &Context) -> Result<(SdkRds, Wanted)> {
    let config = &context.config;
    let plan = context.plan()?;
    let sdk = aws::sdk(&config.aws).await?;
    let place = transit::step::place(context)?;
    let taken = backup::step::remembered(context)?;
    let last = taken.last();
    let mut source = context.source().await?;
    let settings = settings(&mut source, plan.replication, plan.position).await?;
    let version = source.dialect().text.clone();
    source.close().await;
    let bytes = last.map(|_| taken.iter().map(|backup| backup.bytes).sum());
    let password = config.target.password.clone().unwrap_or_else(|| Secret::new(""));
    let store = S3::new(&sdk, &config.aws, None);
    let wanted = Wanted {
        migration: plan.migration.clone(),
        bucket: BucketFacts::read(&store, &place, &config.staging.encryption).await?,
        place,
        backup: BackupFacts {
            server_version: last.map_or(version, |backup| backup.server_version.clone()),
            coordinates: last.map(|backup| backup.coordinates.clone()),
            bytes,
        },
        config: config.restore.clone(),
        region: sdk.region().map(ToString::to_string),
        master_user: config.target.user.clone(),
        master_password: password,
        protection: Protection::of(&config.target),
        port: None,
        settings,
        decide: config.restore.coordinates,
        pace: pace(&config.aws, bytes),
    };
    Ok((SdkRds::new(&sdk, &config.aws), wanted))
}

impl RestoreCluster {
    /// The same check before there is a backup: all but whether one lies in the bucket.
    pub(crate) async fn check_ahead(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut findings = self.check(context).await?;
        findings.retain(|finding| finding.id != "restore.objects");
        Ok(findings)
    }
}

/// What whoever reads the report must know of the backup that was restored.
fn cautions(context: &Context) -> Result<Vec<Finding>> {
    let mut cautions = Vec::new();
    let mut add = |id: &str, objects: Vec<String>, why: String, remedy: &str| {
        let severity = Severity::Warning;
        cautions.push(Finding { id: id.into(), severity, objects, why, remedy: remedy.into() });
    };
    if let Some(why) = context.config.backup.rules.caution() {
        add(RULES, Vec::new(), why.into(), "rules = \"aurora\" in [backup] for a real migration");
    }
    if let Some(backup) = backup::step::remembered(context)?.last()
        && backup::tool::untried(backup.tool)
    {
        let tool = backup::tool::name(backup.tool);
        add(
            "backup.untried",
            vec![tool.into()],
            format!(
                "the backup was taken with {tool}, which daybreak's own tests can't run: its command lines are \
                 built from its documentation"
            ),
            VERIFY_ALL,
        );
    }
    Ok(cautions)
}

/// What is enough to find again what was made, and to take it back. Source and bucket may be gone.
async fn known(context: &Context) -> Result<(SdkRds, Wanted)> {
    let config = &context.config;
    let sdk = aws::sdk(&config.aws).await?;
    let wanted = Wanted {
        migration: context.plan()?.migration.clone(),
        place: transit::step::place(context)?,
        bucket: BucketFacts::default(),
        backup: BackupFacts::default(),
        config: config.restore.clone(),
        region: sdk.region().map(ToString::to_string),
        master_user: config.target.user.clone(),
        master_password: config.target.password.clone().unwrap_or_else(|| Secret::new("")),
        protection: Protection::of(&config.target),
        port: None,
        settings: Vec::new(),
        decide: None,
        pace: pace(&config.aws, None),
    };
    Ok((SdkRds::new(&sdk, &config.aws), wanted))
}

#[async_trait]
impl Step for RestoreCluster {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "restore a new cluster from S3"
    }

    fn rollback(&self) -> &'static str {
        "delete the cluster, its instances and its parameter group"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let (rds, wanted) = wanted(context).await?;
        let (events, stop) = (&context.events, &context.stop);
        let mut findings = Restore { rds: &rds, wanted: &wanted, events, stop }.check().await?;
        findings.extend(cautions(context)?);
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let (rds, wanted) = wanted(context).await?;
        if wanted.backup.coordinates.is_none() {
            return Err(Error::new(
                Kind::Paused,
                "which backup lies in the bucket isn't known any more: neither the journal nor the manifest \
                 beside the backup says it, and the coordinates of RDS couldn't be compared with its own",
            )
            .at(context.directory.display())
            .next(
                "bring back what is missing (the staging directory, or the migration's own), then `daybreak \
                 resume`; or `daybreak undo --to prepare_source`, and `daybreak resume` takes the backup again",
            ));
        }
        let (events, stop) = (&context.events, &context.stop);
        let restore = Restore { rds: &rds, wanted: &wanted, events, stop };
        let asked: Asked = context.journal.recall(ID, "asked")?.unwrap_or_default();
        let record = |asked: &Asked| context.journal.record(ID, "asked", asked);
        let restored = restore.run(asked, &record).await?;
        let coordinates = restored.coordinates.clone().ok_or_else(|| {
            Error::new(Kind::State, "neither the backup nor RDS says where replication must begin")
                .next("switch the binary log on at the source, `daybreak undo`, and begin again")
        })?;
        context.journal.record(ID, "restored", &restored)?;
        context.journal.record(ID, COORDINATES, &Recorded { coordinates })?;
        let url = restore.url(&restored);
        let mut target = crate::mysql::Session::open(&url, crate::mysql::Side::Target).await?;
        let server_uuid = target.server_uuid().await?;
        target.close().await;
        let endpoint = Endpoint { host: url.host, port: url.port, server_uuid };
        context.journal.record(ID, ENDPOINT, &endpoint)
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let restored: Option<Restored> = context.journal.recall(ID, "restored")?;
        let restored = restored.ok_or_else(|| {
            Error::new(Kind::State, "no cluster was restored yet").next("`daybreak resume`")
        })?;
        let (rds, wanted) = known(context).await?;
        let (events, stop) = (&context.events, &context.stop);
        Restore { rds: &rds, wanted: &wanted, events, stop }.verify(&restored).await
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let Some(asked) = context.journal.recall::<Asked>(ID, "asked")? else { return Ok(()) };
        let (rds, wanted) = known(context).await?;
        let (events, stop) = (&context.events, &context.stop);
        let restore = Restore { rds: &rds, wanted: &wanted, events, stop };
        if let Some(restored) = context.journal.recall::<Restored>(ID, "restored")? {
            // Past the point of no return the engine undoes nothing. Before it there is no data that the
            // source lacks, so a server that can't be reached is no obstacle; one in use is.
            match restore.in_use(&restored).await {
                Ok(clients) if clients.is_empty() => {}
                Ok(clients) => {
                    return Err(super::used(&restored.cluster, &clients).next(
                        "end them (CALL mysql.rds_kill(ID)) or keep them out by the security group, then \
                         the same undo again",
                    ));
                }
                Err(error) => events.warn(format!(
                    "whether anybody works on {} can't be seen: {error}",
                    restored.cluster
                )),
            }
        }
        restore.undo(&asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    /// What a remedy says of daybreak.toml can be written there.
    #[test]
    fn the_remedy_is_a_setting() {
        let mode = VERIFY_ALL.split("mode = ").nth(1).unwrap();
        let mode = mode.split_whitespace().next().unwrap();
        let place = tempfile::tempdir().unwrap();
        let text = format!(
            "[source]\nurl = \"mysql://a@h/\"\n[target]\nurl = \"mysql://a@h/\"\n[verify]\nmode = {mode}\n"
        );
        std::fs::write(place.path().join(crate::config::FILE), text).unwrap();
        Config::load(place.path(), &Overrides::default()).unwrap();
    }
}
