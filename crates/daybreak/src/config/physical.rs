//! The sections that the physical route reads: `[aws]`, `[backup]`, `[staging]`, `[restore]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    target::restore::Decide,
    transit::inspection::Profile,
};

/// Where AWS is, and as whom it is asked. What isn't said is as the AWS SDK finds it: environment,
/// profile, instance role.
#[derive(Debug, Clone, Default)]
pub struct AwsConfig {
    /// The Region, such as `eu-central-1`.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Another S3 endpoint than the Region's, as a URL.
    pub endpoint_s3: Option<String>,
    /// Another RDS endpoint than the Region's, as a URL.
    pub endpoint_rds: Option<String>,
    /// Another file of credentials than the SDK's own.
    pub credentials_file: Option<PathBuf>,
}

/// A program that takes physical backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupTool {
    /// Percona XtraBackup 2.3, 2.4 or 8.0.
    Xtrabackup,
    /// The older front end of XtraBackup 2.x.
    Innobackupex,
    /// MariaDB's own.
    MariadbBackup,
}

/// On which backup an incremental one is based.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incremental {
    /// Each on the one before.
    Previous,
    /// Each on the full one.
    Full,
}

/// How a physical backup is taken.
#[derive(Debug, Clone)]
pub struct BackupConfig {
    /// The tool; none: the one that fits the source.
    pub tool: Option<BackupTool>,
    /// The tool's program; none: found on PATH.
    pub program: Option<PathBuf>,
    /// The source's data directory as this machine sees it; none: as the server says.
    pub data_directory: Option<PathBuf>,
    /// How many files are copied at once.
    pub parallel: u32,
    /// The most I/O operations a second, as the tool counts them; none: no bound.
    pub throttle: Option<u32>,
    /// How many incremental backups follow the full one.
    pub incrementals: u32,
    /// On which each is based.
    pub based_on: Incremental,
    /// Whether the backup goes to S3 while it is being taken, with nothing on disk.
    pub stream: bool,
    /// By whose rules it is judged. Aurora's, but for a stand-in that takes what Aurora doesn't.
    pub rules: Profile,
}

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// Without a slash at either end; empty: the whole bucket.
    pub prefix: String,
}

/// How objects are encrypted at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// As the bucket does by default.
    Bucket,
    /// SSE-S3.
    S3,
    /// SSE-KMS, with this key.
    Kms(String),
}

impl Encryption {
    /// Reads `bucket`, `s3` or `kms:KEY`.
    ///
    /// # Errors
    /// `Config`.
    pub fn parse(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("kms:")) {
            ("bucket", _) => Ok(Encryption::Bucket),
            ("s3" | "AES256", _) => Ok(Encryption::S3),
            (_, Some(key)) if !key.is_empty() => Ok(Encryption::Kms(key.to_string())),
            _ => Err(Error::new(Kind::Config, format!("encryption = {text:?} is not known"))
                .next("choose bucket, s3 or kms:KEY; Aurora reads no other")),
        }
    }
}

/// Where a backup waits, and where it goes.
#[derive(Debug, Clone)]
pub struct StagingConfig {
    /// A directory, as a rule an EFS mount.
    pub directory: Option<PathBuf>,
    /// The bucket and prefix that it goes to.
    pub s3: Option<S3Place>,
    /// About how many bytes an object holds before the next one begins (5 TB is S3's bound).
    pub split_bytes: u64,
    /// How many bytes a part of a multipart upload holds (5 MiB to 5 GiB).
    pub part_bytes: u64,
    /// How many parts travel at once.
    pub uploads: usize,
    /// The most bytes a second; none: no bound.
    pub bandwidth: Option<u64>,
    /// How objects are encrypted at rest.
    pub encryption: Encryption,
}

/// The cluster that is made from the backup.
#[derive(Debug, Clone)]
pub struct RestoreConfig {
    /// Its identifier.
    pub cluster: Option<String>,
    /// The class of its instance.
    pub instance_class: Option<String>,
    /// Aurora's version; none: the closest one that isn't older than the source.
    pub engine_version: Option<String>,
    /// The DB subnet group.
    pub subnet_group: Option<String>,
    /// The VPC security groups.
    pub security_groups: Vec<String>,
    /// The ARN of the role by which RDS reads the bucket.
    pub ingestion_role: Option<String>,
    /// A cluster parameter group that is there; none: one is made.
    pub parameter_group: Option<String>,
    /// Whether the cluster's storage is encrypted. It is unless that is refused: a cluster that was
    /// made without can't be encrypted later.
    pub encrypted: bool,
    /// The KMS key of the cluster's storage; none: the account's own for RDS (`aws/rds`).
    pub kms_key: Option<String>,
    /// Whether a reader is made as well.
    pub reader: bool,
    /// Whose coordinates count when RDS's event and the backup disagree, or there is no event; none:
    /// it pauses.
    pub coordinates: Option<Decide>,
}

impl Default for RestoreConfig {
    fn default() -> Self {
        RestoreConfig {
            cluster: None,
            instance_class: None,
            engine_version: None,
            subnet_group: None,
            security_groups: Vec::new(),
            ingestion_role: None,
            parameter_group: None,
            encrypted: true,
            kms_key: None,
            reader: false,
            coordinates: None,
        }
    }
}

pub(super) const AWS_KEYS: &[&str] =
    &["region", "profile", "endpoint_s3", "endpoint_rds", "credentials_file"];
pub(super) const BACKUP_KEYS: &[&str] = &[
    "tool",
    "program",
    "data_directory",
    "parallel",
    "throttle",
    "incrementals",
    "based_on",
    "stream",
    "rules",
];
pub(super) const STAGING_KEYS: &[&str] =
    &["directory", "s3", "split_mib", "part_mib", "uploads", "bandwidth_mib", "encryption"];
pub(super) const RESTORE_KEYS: &[&str] = &[
    "cluster",
    "instance_class",
    "engine_version",
    "subnet_group",
    "security_groups",
    "ingestion_role",
    "parameter_group",
    "encrypted",
    "kms_key",
    "reader",
    "coordinates",
];

/// What the command line says of `[aws]` and `[staging]`; it wins over the file.
#[derive(Debug, Clone, Default)]
pub struct CloudOverrides {
    /// `--region`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--endpoint-s3`.
    pub endpoint_s3: Option<String>,
    /// `--split-mib`.
    pub split_mib: Option<u64>,
    /// `--part-mib`.
    pub part_mib: Option<u64>,
    /// `--uploads`.
    pub uploads: Option<usize>,
    /// `--bandwidth-mib`.
    pub bandwidth_mib: Option<u64>,
    /// `--encryption`.
    pub encryption: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAws {
    region: Option<String>,
    profile: Option<String>,
    endpoint_s3: Option<String>,
    endpoint_rds: Option<String>,
    credentials_file: Option<PathBuf>,
}

impl RawAws {
    pub(super) fn under(self, given: &CloudOverrides) -> Self {
        RawAws {
            region: given.region.clone().or(self.region),
            profile: given.profile.clone().or(self.profile),
            endpoint_s3: given.endpoint_s3.clone().or(self.endpoint_s3),
            ..self
        }
    }

    pub(super) fn read(self, directory: &Path) -> Result<AwsConfig> {
        for (key, given) in
            [("endpoint_s3", &self.endpoint_s3), ("endpoint_rds", &self.endpoint_rds)]
        {
            let sound = |text: &String| {
                url::Url::parse(text)
                    .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            };
            if given.as_ref().is_some_and(|text| !sound(text)) {
                return Err(Error::new(Kind::Config, format!("{key} isn't a URL"))
                    .at("[aws]")
                    .next("write https://host:port"));
            }
        }
        Ok(AwsConfig {
            region: self.region,
            profile: self.profile,
            endpoint_s3: self.endpoint_s3,
            endpoint_rds: self.endpoint_rds,
            credentials_file: self.credentials_file.map(|path| directory.join(path)),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBackup {
    tool: Option<BackupTool>,
    program: Option<PathBuf>,
    data_directory: Option<PathBuf>,
    parallel: Option<u32>,
    throttle: Option<u32>,
    incrementals: Option<u32>,
    based_on: Option<Incremental>,
    stream: bool,
    rules: Option<Profile>,
}

impl RawBackup {
    pub(super) fn read(self, directory: &Path) -> Result<BackupConfig> {
        Ok(BackupConfig {
            tool: self.tool,
            // A bare name is for PATH, anything else is a file.
            program: self.program.map(|program| match program.components().count() {
                1 => program,
                _ => directory.join(program),
            }),
            data_directory: self.data_directory.map(|path| directory.join(path)),
            parallel: self.parallel.unwrap_or(2).max(1),
            throttle: self.throttle,
            incrementals: self.incrementals.unwrap_or(0),
            based_on: self.based_on.unwrap_or(Incremental::Previous),
            stream: self.stream,
            rules: self.rules.unwrap_or(Profile::Aurora),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStaging {
    directory: Option<PathBuf>,
    s3: Option<String>,
    split_mib: Option<u64>,
    part_mib: Option<u64>,
    uploads: Option<usize>,
    bandwidth_mib: Option<u64>,
    encryption: Option<String>,
}

impl RawStaging {
    pub(super) fn under(self, given: &CloudOverrides) -> Self {
        RawStaging {
            split_mib: given.split_mib.or(self.split_mib),
            part_mib: given.part_mib.or(self.part_mib),
            uploads: given.uploads.or(self.uploads),
            bandwidth_mib: given.bandwidth_mib.or(self.bandwidth_mib),
            encryption: given.encryption.clone().or(self.encryption),
            ..self
        }
    }

    pub(super) fn read(self, directory: &Path) -> Result<StagingConfig> {
        const MIB: u64 = 1_048_576;
        let encryption = self.encryption.as_deref().map_or(Ok(Encryption::Bucket), |text| {
            Encryption::parse(text).map_err(|error| error.at("[staging]"))
        })?;
        Ok(StagingConfig {
            directory: self.directory.map(|path| directory.join(path)),
            s3: self.s3.as_deref().map(S3Place::parse).transpose()?,
            split_bytes: self.split_mib.unwrap_or(512 * 1024).clamp(1, 4 * 1024 * 1024) * MIB,
            part_bytes: self.part_mib.unwrap_or(16).clamp(5, 5 * 1024) * MIB,
            uploads: self.uploads.unwrap_or(4).clamp(1, 256),
            bandwidth: self.bandwidth_mib.map(|mib| mib.max(1) * MIB),
            encryption,
        })
    }
}

impl S3Place {
    /// Reads `s3://bucket/prefix`.
    pub fn parse(text: &str) -> Result<S3Place> {
        let wrong = || {
            Error::new(Kind::Config, format!("{text:?} is no place in S3"))
                .next("write s3://bucket/prefix")
        };
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(named) {
            return Err(wrong());
        }
        Ok(S3Place { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
    }

    /// The key of an object below the prefix.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.into() } else { format!("{}/{name}", self.prefix) }
    }
}

impl std::fmt::Display for S3Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRestore {
    cluster: Option<String>,
    instance_class: Option<String>,
    engine_version: Option<String>,
    subnet_group: Option<String>,
    security_groups: Vec<String>,
    ingestion_role: Option<String>,
    parameter_group: Option<String>,
    encrypted: Option<bool>,
    kms_key: Option<String>,
    reader: bool,
    coordinates: Option<Decide>,
}

impl RawRestore {
    pub(super) fn read(self) -> Result<RestoreConfig> {
        let sound = |name: &String| {
            name.len() <= 63
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !name.ends_with('-')
                && !name.contains("--")
        };
        if let Some(name) = self.cluster.as_ref().filter(|name| !sound(name)) {
            return Err(Error::new(
                Kind::Config,
                format!("cluster = {name:?} can't be a cluster's identifier"),
            )
            .at("[restore]")
            .next("begin with a letter; letters, digits and single hyphens follow, 63 at most"));
        }
        if self.encrypted == Some(false) && self.kms_key.is_some() {
            return Err(Error::new(Kind::Config, "kms_key names a key, and encrypted is false")
                .at("[restore]")
                .next("leave one of them out"));
        }
        Ok(RestoreConfig {
            cluster: self.cluster,
            instance_class: self.instance_class,
            engine_version: self.engine_version,
            subnet_group: self.subnet_group,
            security_groups: self.security_groups,
            ingestion_role: self.ingestion_role,
            parameter_group: self.parameter_group,
            encrypted: self.encrypted.unwrap_or(true),
            kms_key: self.kms_key,
            reader: self.reader,
            coordinates: self.coordinates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_s3() {
        let place = S3Place::parse("s3://my-bucket/a/b/").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("my-bucket", "a/b"));
        assert_eq!(place.key("x.tar.gz00000"), "a/b/x.tar.gz00000");
        assert_eq!(S3Place::parse("s3://my-bucket").unwrap().key("x"), "x");
        for wrong in ["my-bucket/a", "s3://", "s3://Big/x", "http://my-bucket/"] {
            assert_eq!(S3Place::parse(wrong).unwrap_err().kind(), Kind::Config, "{wrong}");
        }
    }

    #[test]
    fn clusters_have_names_that_rds_takes() {
        let named = |name: &str| {
            RawRestore { cluster: Some(name.into()), ..RawRestore::default() }.read().is_ok()
        };
        let plain = RawRestore { encrypted: Some(false), ..RawRestore::default() };
        assert!(!plain.read().unwrap().encrypted);
        let both = RawRestore {
            encrypted: Some(false),
            kms_key: Some("alias/x".into()),
            ..RawRestore::default()
        };
        assert_eq!(both.read().unwrap_err().kind(), Kind::Config);
        assert!(named("shop-1") && !named("1shop") && !named("a--b") && !named("a-"));
    }
}
