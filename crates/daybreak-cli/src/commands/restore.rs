//! `daybreak restore`: a cluster made from a backup in S3.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use daybreak::{
    aws::{
        self,
        rds::{Rds as _, SdkRds},
        s3::S3,
    },
    config::{AwsConfig, Config, Encryption, RestoreConfig, S3Place, read_secret},
    engine::{Finding, Journal, PositionBy, ReplicationMode, Severity, StopSignal, blocked},
    error::{Error, Exit, Kind, Result},
    files,
    mysql::{
        Coordinates, FilePosition, Protection, Secret, ServerUrl, Session as Server, Side, TlsMode,
    },
    target::{
        accounts::{self, Moved},
        restore::{
            Asked, BackupFacts, BucketFacts, Decide, Restore, Restored, TAG, Wanted, policy,
            settings,
            step::{key_of, pace},
            used,
        },
    },
    transit::inspection::Inspection,
};
use serde::{Deserialize, Serialize};

use super::{Session, listen_for_signals, log_to};
use crate::{cli, directory};

/// What a restore keeps in its directory, so that a killed one goes on and `--undo` knows its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    migration: String,
    place: S3Place,
    asked: Asked,
    #[serde(default)]
    accounts: std::collections::BTreeSet<accounts::AccountName>,
    #[serde(default)]
    restored: Option<Restored>,
}

const FILE: &str = "restore.json";

/// What this verb leaves to do. (`daybreak run --route physical` does it.)
const LEFT_OUT: &str = "left out by a restore: routines and events. Take them from the source as it was at the backup, \
                        without what changed since, which replication brings: mysqldump --routines --events \
                        --no-create-info --no-create-db --no-data --skip-triggers --databases DB ... | mysql -h \
                        CLUSTER; then ALTER EVENT ... DISABLE each event until the cutover (SHOW EVENTS)";

impl Kept {
    fn read(directory: &Path) -> Result<Option<Kept>> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                Error::new(Kind::Journal, "what an earlier restore wrote down can't be read")
                    .because(error)
                    .at(path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error).at(path.display())),
        }
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        files::replace(&path, &serde_json::to_vec_pretty(self)?, 0o600)
            .map_err(|error| Error::from(error).at(path.display()))
    }
}

fn pick<T>(flag: Option<T>, file: Option<T>) -> Option<T> {
    flag.or(file)
}

/// The configuration with what the flags say.
struct Configured {
    aws: AwsConfig,
    place: S3Place,
    restore: RestoreConfig,
    encryption: Encryption,
    protection: Protection,
}

fn configured(options: &cli::Restore) -> Result<Configured> {
    let (mut aws, staging, mut restore, mut protection) =
        Config::load_for_restore(&options.directory.dir)?;
    if let Some(ca) = &options.ca {
        // Named to be looked at: the file's mode stays only if it does that.
        protection.tls = protection.tls.filter(|tls| *tls == TlsMode::VerifyIdentity);
        protection.ca = Some(ca.clone());
    }
    protection.tls = pick(options.tls.map(Into::into), protection.tls);
    let encryption = match &options.encryption {
        Some(text) => Encryption::parse(text).map_err(|error| error.at("--encryption"))?,
        None => staging.encryption.clone(),
    };
    aws.region = pick(options.region.clone(), aws.region);
    aws.profile = pick(options.profile.clone(), aws.profile);
    aws.endpoint_rds = pick(options.endpoint_rds.clone(), aws.endpoint_rds);
    aws.endpoint_s3 = pick(options.endpoint_s3.clone(), aws.endpoint_s3);
    restore.cluster = pick(options.cluster.clone(), restore.cluster);
    restore.instance_class = pick(options.instance_class.clone(), restore.instance_class);
    restore.engine_version = pick(options.engine_version.clone(), restore.engine_version);
    restore.subnet_group = pick(options.subnet_group.clone(), restore.subnet_group);
    restore.ingestion_role = pick(options.ingestion_role.clone(), restore.ingestion_role);
    restore.parameter_group = pick(options.parameter_group.clone(), restore.parameter_group);
    restore.kms_key = pick(options.kms_key.clone(), restore.kms_key);
    restore.reader |= options.reader;
    restore.encrypted &= !options.unencrypted;
    if !restore.encrypted && restore.kms_key.is_some() {
        return Err(Error::new(
            Kind::Usage,
            "a KMS key is named, and the storage isn't to be encrypted",
        )
        .next("leave one of them out"));
    }
    if !options.security_group.is_empty() {
        restore.security_groups = options.security_group.clone();
    }
    let place = match &options.from {
        Some(from) => Some(S3Place::parse(from)?),
        // What is taken back knows itself where it came from.
        None if options.undo => Some(begun(&options.directory.dir)?.place),
        None => staging.s3,
    };
    let place = place.ok_or_else(|| {
        Error::new(Kind::Usage, "nothing says where the backup lies")
            .next("give --from s3://bucket/prefix, or s3 in [staging]")
    })?;
    Ok(Configured { aws, place, restore, encryption, protection })
}

/// The restore that was begun in a directory.
fn begun(directory: &Path) -> Result<Kept> {
    Kept::read(directory)?.ok_or_else(|| {
        Error::new(Kind::State, "no restore was begun in this directory")
            .at(directory.display())
            .next("give the --dir of the restore that is to be taken back")
    })
}

/// What is known of the backup: by its inspection, or by what the flags say.
fn backup(options: &cli::Restore) -> Result<BackupFacts> {
    let mut facts = BackupFacts { server_version: String::new(), coordinates: None, bytes: None };
    if let Some(path) = &options.inspection {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(Kind::Usage, "the inspection can't be read")
                .because(error)
                .at(path.display())
                .next("make it with `daybreak backup inspect --json`")
        };
        let text = std::fs::read(path).map_err(|error| wrong(error.into()))?;
        let found: Inspection =
            serde_json::from_slice(&text).map_err(|error| wrong(error.into()))?;
        if !found.whole {
            return Err(Error::new(Kind::Blocked, "the backup isn't whole")
                .at(path.display())
                .next("see `daybreak backup inspect`: nothing can be restored from it"));
        }
        facts.server_version = found.server_version.unwrap_or_default();
        facts.coordinates = Some(found.coordinates);
        facts.bytes = Some(found.bytes);
    }
    if let Some(version) = &options.server_version {
        facts.server_version = version.clone();
    }
    if let Some(text) = &options.expect {
        let position = text.rsplit_once(':').and_then(|(file, position)| {
            Some(FilePosition { file: file.into(), position: position.parse().ok()? })
        });
        let position = position.ok_or_else(|| {
            Error::new(Kind::Usage, format!("{text:?} is no position"))
                .next("write FILE:POSITION, such as binlog.000012:4711")
        })?;
        let gtids = Default::default();
        facts.coordinates = Some(Some(Coordinates { file: Some(position), gtids }));
    }
    Ok(facts)
}

fn password(file: Option<&Path>) -> Result<Secret> {
    if let Some(file) = file {
        return read_secret(file);
    }
    std::env::var("DAYBREAK_TARGET_PASSWORD")
        .ok()
        .filter(|secret| !secret.is_empty())
        .map(Secret::new)
        .ok_or_else(|| {
            Error::new(Kind::Usage, "the master account's password isn't given")
                .next("give --master-password-file FILE, or DAYBREAK_TARGET_PASSWORD")
        })
}

/// Asks the bucket, as far as whoever runs this may.
async fn bucket(
    session: &Session<'_>,
    sdk: &aws::SdkConfig,
    aws: &AwsConfig,
    place: &S3Place,
    encryption: &Encryption,
) -> Result<BucketFacts> {
    let store = S3::new(sdk, aws, None);
    match BucketFacts::read(&store, place, encryption).await {
        Ok(facts) => Ok(facts),
        // What may not be looked at is told with what allows it.
        Err(error) if error.kind() == Kind::AwsDenied => Err(error),
        Err(error) => {
            session.ui.warn(&format!(
                "the bucket can't be looked at from here, RDS will tell: {}: {}",
                error.what(),
                error.causes().join(": ")
            ));
            Ok(BucketFacts { kms_key: key_of(encryption), ..BucketFacts::default() })
        }
    }
}

/// Restores, checks alone, prints policies, or takes back.
pub async fn restore(session: &Session<'_>, options: cli::Restore) -> Result<Exit> {
    let Configured { aws, place, restore: config, encryption, protection } = configured(&options)?;
    let directory: PathBuf = options.directory.dir.clone();
    let decide = options.coordinates.map(|decide| match decide {
        cli::Coordinates::Event => Decide::Event,
        cli::Coordinates::Backup => Decide::Backup,
    });
    let mut wanted = Wanted {
        migration: String::new(),
        place,
        bucket: BucketFacts { kms_key: key_of(&encryption), ..BucketFacts::default() },
        backup: backup(&options)?,
        region: aws.region.clone(),
        master_user: options.master_user.clone(),
        master_password: Secret::new(""),
        protection,
        port: options.port,
        settings: Vec::new(),
        decide: pick(decide, config.coordinates),
        pace: pace(&aws, None),
        config,
    };
    wanted.pace = pace(&aws, wanted.backup.bytes);
    if options.policies {
        if session.global.json.is_some() {
            session.ui.document(&serde_json::json!({
                "trust": policy::trust(),
                "ingestion": policy::ingestion(&wanted),
                "caller": policy::caller(&wanted),
            }));
        } else {
            session.ui.line(&policy::needed(&wanted));
        }
        return Ok(Exit::Done);
    }
    let _held = directory::hold(&directory)?;
    log_to(session, Some(&directory))?;
    let sdk = aws::sdk(&aws).await?;
    wanted.region = sdk.region().map(ToString::to_string).or(wanted.region);
    let rds = SdkRds::new(&sdk, &aws);
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let events = session.ui.events();
    if options.undo {
        let kept = begun(&directory)?;
        wanted.migration = kept.migration.clone();
        wanted.place = kept.place.clone();
        if wanted.config.cluster.is_none() {
            wanted.config.cluster = kept.asked.cluster.clone();
        }
        wanted.master_password = Secret::new("");
        let may_look = match password(options.master_password_file.as_deref()) {
            Ok(password) => {
                wanted.master_password = password;
                true
            }
            Err(error) if options.master_password_file.is_some() => return Err(error),
            Err(_) => false,
        };
        let restore = Restore { rds: &rds, wanted: &wanted, events: &events, stop: &stop };
        may_be_deleted(&rds, &restore, &kept, &options, may_look).await?;
        restore.undo(&kept.asked).await?;
        let path = directory.join(FILE);
        std::fs::remove_file(&path).map_err(|error| Error::from(error).at(path.display()))?;
        session.ui.line("taken back: nothing of this restore is left in RDS");
        return Ok(Exit::Done);
    }
    wanted.master_password = password(options.master_password_file.as_deref())?;
    let mut source = match &options.source {
        Some(url) => {
            let mut url = ServerUrl::parse(url)?;
            if let Some(file) = &options.source_password_file {
                url.password = Some(read_secret(file)?);
            } else if let Ok(secret) = std::env::var("DAYBREAK_SOURCE_PASSWORD") {
                url.password = Some(Secret::new(secret));
            }
            Some(Server::open(&url, Side::Source).await?)
        }
        None => None,
    };
    if let Some(source) = &mut source {
        if wanted.backup.server_version.is_empty() {
            wanted.backup.server_version = source.dialect().text.clone();
        }
        let by = match source.variable("gtid_mode").await?.as_deref() {
            Some("ON") => PositionBy::Gtid,
            _ => PositionBy::File,
        };
        wanted.settings = settings(source, ReplicationMode::Native, by).await?;
    }
    if wanted.backup.server_version.is_empty() {
        return Err(Error::new(Kind::Usage, "nothing says which server the backup is of").next(
            "give --inspection FILE (`daybreak backup inspect --json`), --source URL, or --server-version V",
        ));
    }
    wanted.bucket = bucket(session, &sdk, &aws, &wanted.place, &encryption).await?;

    let mut kept = match Kept::read(&directory)? {
        Some(kept) if kept.place != wanted.place => {
            return Err(Error::new(
                Kind::State,
                format!("this directory holds the restore of {}", kept.place),
            )
            .at(directory.display())
            .next("give each restore a --dir of its own, or take that one back (--undo)"));
        }
        Some(kept) => kept,
        None => Kept {
            migration: new_name()?,
            place: wanted.place.clone(),
            asked: Asked::default(),
            accounts: Default::default(),
            restored: None,
        },
    };
    wanted.migration = kept.migration.clone();
    let restore = Restore { rds: &rds, wanted: &wanted, events: &events, stop: &stop };
    let findings = restore.check().await?;
    show(session, &findings, options.check);
    refuse_blocked(&findings)?;
    if options.check {
        return Ok(Exit::Done);
    }
    kept.write(&directory)?;
    let written = Mutex::new(kept.clone());
    let record = |asked: &Asked| {
        let mut kept = written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.asked = asked.clone();
        kept.write(&directory)
    };
    let restored = restore.run(kept.asked.clone(), &record).await?;
    restore.verify(&restored).await?;
    kept = written.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    kept.restored = Some(restored.clone());
    kept.write(&directory)?;

    let mut target = Server::open(&restore.url(&restored), Side::Target).await?;
    let mut moved = Moved::default();
    if let Some(source) = &mut source {
        let ours = kept.accounts.clone();
        let written = Mutex::new(kept);
        let record = |made: &std::collections::BTreeSet<accounts::AccountName>| {
            let mut kept = written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.accounts = made.clone();
            kept.write(&directory)
        };
        moved = accounts::migrate(source, &mut target, ours, &record, &events, &stop).await?;
    }
    let zones = accounts::time_zones(&mut target).await?;
    target.close().await;
    if session.global.json.is_some() {
        session.ui.document(&serde_json::json!({
            "restored": restored, "accounts": moved, "findings": zones,
        }));
        return Ok(Exit::Done);
    }
    session.ui.line(&format!(
        "cluster {} ({}) at {}:{}",
        restored.cluster, restored.engine_version, restored.host, restored.port
    ));
    match &restored.coordinates {
        Some(coordinates) => session.ui.line(&format!("replication begins at {coordinates}")),
        None => session.ui.line("no binary log position is known: replication can't begin"),
    }
    if source.is_some() {
        session.ui.line(&format!(
            "accounts: {} made, {} were there already",
            moved.made.len(),
            moved.there.len()
        ));
    }
    for left in &moved.left_out {
        session.ui.line(&format!(
            "left out: {} {}: {}; {}",
            left.account, left.what, left.why, left.remedy
        ));
    }
    if let Some(zones) = zones {
        session.ui.warn(&format!("{}; {}", zones.why, zones.remedy));
    }
    session.ui.line(LEFT_OUT);
    if source.is_none() {
        session.ui.line(
            "left out by a restore: accounts (give --source and run this again; or SHOW CREATE USER and SHOW \
             GRANTS of each at the source)",
        );
    }
    Ok(Exit::Done)
}

/// Whether a restored cluster may go: somebody said so, it is this restore's, and nobody works on it.
async fn may_be_deleted(
    rds: &SdkRds,
    restore: &Restore<'_>,
    kept: &Kept,
    options: &cli::Restore,
    may_look: bool,
) -> Result<()> {
    let Some(name) = &kept.asked.cluster else { return Ok(()) };
    let Some(cluster) = rds.cluster(name).await? else { return Ok(()) };
    if cluster.tags.get(TAG) != Some(&kept.migration) {
        return Err(Error::new(
            Kind::Blocked,
            format!("the cluster {name} isn't the one that this restore made: its tag {TAG} says otherwise"),
        )
        .at(rds.place())
        .next("nothing was deleted; if it is to go, delete it by other means"));
    }
    if !options.yes {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "the cluster {name} ({}), its instances and its parameter group would be deleted, without a \
                 snapshot",
                cluster.status
            ),
        )
        .at(rds.place())
        .next("add --yes if that is meant"));
    }
    if options.even_in_use {
        return Ok(());
    }
    let journal = options.directory.dir.join("journal.db").exists();
    if journal && Journal::open(&options.directory.dir)?.state().past_no_return {
        return Err(Error::new(
            Kind::Blocked,
            format!("the cluster {name} was opened for writes by a cutover: deleting it loses what was written"),
        )
        .next("add --even-in-use if that is meant"));
    }
    // Without an instance that answers nobody works on it.
    let mut answers = cluster.status == "available";
    if answers {
        answers = false;
        for (instance, _) in &cluster.members {
            answers |=
                rds.instance(instance).await?.is_some_and(|found| found.status == "available");
        }
    }
    let Some(((host, port), true)) = cluster.endpoint.zip(cluster.port).map(|end| (end, answers))
    else {
        return Ok(());
    };
    let unseen = |error: Error| {
        Error::new(Kind::Blocked, format!("whether anybody works on {name} can't be seen"))
            .because(error)
            .next(
                "give the master account's password (--master-password-file, DAYBREAK_TARGET_PASSWORD) where \
                 the cluster can be reached; or add --even-in-use",
            )
    };
    if !may_look {
        return Err(unseen(Error::new(Kind::Usage, "the master account's password isn't given")));
    }
    let restored = Restored {
        cluster: name.clone(),
        engine_version: cluster.engine_version,
        host,
        port,
        instances: Vec::new(),
        coordinates: None,
    };
    let clients = restore.in_use(&restored).await.map_err(unseen)?;
    match clients.is_empty() {
        true => Ok(()),
        false => Err(used(name, &clients).next("end them first; or add --even-in-use")),
    }
}

/// A name that no other restore has.
fn new_name() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn show(session: &Session<'_>, findings: &[Finding], all: bool) {
    if all && session.global.json.is_some() {
        session.ui.document(&serde_json::json!({ "findings": findings }));
        return;
    }
    for finding in findings {
        match finding.severity {
            Severity::Warning => session.ui.warn(&format!("{}; {}", finding.why, finding.remedy)),
            Severity::Note if all => {
                session
                    .ui
                    .line(&format!("note: {}: {}; {}", finding.id, finding.why, finding.remedy));
            }
            _ => {}
        }
    }
}

fn refuse_blocked(findings: &[Finding]) -> Result<()> {
    let blockers: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
    blocked("the restore can't begin", &blockers).map_or(Ok(()), Err)
}
