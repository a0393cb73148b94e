//! A bucket, the RDS endpoint, and a restore that is told what it needs.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daybreak::{
    aws::{self, rds::SdkRds},
    config::{AwsConfig, RestoreConfig, S3Place},
    engine::{Finding, Severity, StopSignal},
    error::{Error, Result},
    event::{Event, Events},
    mysql::{Protection, Secret},
    target::restore::{Asked, BackupFacts, Pace, Restore, Restored, Setting, Wanted},
};
use rehearsal::cloud::{
    cluster::Profile,
    rds::{Options, ROLE, Rds, SUBNET_GROUP},
};

pub const ACCESS: &str = "AKIAREHEARSAL0000001";
pub const SECRET: &str = "Geheim/of+the+rehearsal/0123456789abcdefg";
pub const PASSWORD: &str = "Master'pass\\word-1%";
pub const REGION: &str = "eu-central-1";

/// One endpoint and one bucket; all of it goes with this value.
pub struct Place {
    pub rds: Rds,
    pub sdk: SdkRds,
    pub dir: tempfile::TempDir,
    pub told: Arc<Mutex<Vec<String>>>,
    pub events: Events,
    pub stop: StopSignal,
    pub wanted: Wanted,
    /// What was written down, each time.
    pub recorded: Mutex<Vec<Asked>>,
    pub records: AtomicUsize,
}

impl Place {
    pub async fn new(profile: Profile) -> Place {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("buckets/backups")).unwrap();
        let rds = Rds::start(Options {
            root: dir.path().join("buckets"),
            dir: dir.path().join("rds"),
            region: REGION.into(),
            access_key: ACCESS.into(),
            secret_key: SECRET.into(),
            profile,
            programs: None,
            state: Duration::from_millis(30),
        })
        .await
        .unwrap();
        let sdk = sdk(&rds, ACCESS, SECRET).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = told.clone();
        let events = Events::to(move |event| {
            if let Event::Note { text, .. } = event {
                lines.lock().unwrap().push(text.clone());
            }
        });
        Place {
            rds,
            sdk,
            dir,
            told,
            events,
            stop: StopSignal::default(),
            wanted: wanted(),
            recorded: Mutex::default(),
            records: AtomicUsize::new(0),
        }
    }

    /// The bucket's directory below the prefix.
    pub fn prefix(&self) -> PathBuf {
        let dir = self.dir.path().join("buckets/backups/shop");
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    pub fn restore(&self) -> Restore<'_> {
        Restore { rds: &self.sdk, wanted: &self.wanted, events: &self.events, stop: &self.stop }
    }

    pub async fn run(&self) -> Result<Restored> {
        self.run_from(Asked::default()).await
    }

    pub async fn run_from(&self, asked: Asked) -> Result<Restored> {
        let record = |asked: &Asked| {
            self.records.fetch_add(1, Ordering::SeqCst);
            self.recorded.lock().unwrap().push(asked.clone());
            Ok(())
        };
        self.restore().run(asked, &record).await
    }

    pub fn asked(&self) -> Asked {
        self.recorded.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// The error with which the restore ends.
    pub async fn refusal(&self) -> Error {
        match self.run().await {
            Ok(restored) => panic!("was restored: {restored:?}\n{}", self.story()),
            Err(error) => error,
        }
    }

    pub async fn blockers(&self) -> Vec<Finding> {
        let mut findings = self.restore().check().await.unwrap();
        findings.retain(|finding| finding.severity == Severity::Blocker);
        findings
    }

    pub fn story(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

pub async fn sdk(rds: &Rds, access: &str, secret: &str) -> SdkRds {
    let config = AwsConfig {
        region: Some(REGION.into()),
        endpoint_rds: Some(rds.endpoint()),
        ..AwsConfig::default()
    };
    let sdk = aws::sdk(&config).await.unwrap();
    let credentials =
        aws_sdk_rds::config::Credentials::new(access, secret, None, None, "of the test");
    let sdk = sdk
        .into_builder()
        .credentials_provider(aws_sdk_rds::config::SharedCredentialsProvider::new(credentials))
        .build();
    SdkRds::new(&sdk, &config)
}

pub fn wanted() -> Wanted {
    Wanted {
        migration: "m-1".into(),
        place: S3Place::parse("s3://backups/shop").unwrap(),
        bucket: Default::default(),
        backup: BackupFacts { server_version: "5.6.24-log".into(), ..BackupFacts::default() },
        config: RestoreConfig {
            cluster: Some("shop".into()),
            subnet_group: Some(SUBNET_GROUP.into()),
            ingestion_role: Some(ROLE.into()),
            ..RestoreConfig::default()
        },
        region: Some(REGION.into()),
        master_user: "dba".into(),
        master_password: Secret::new(PASSWORD),
        protection: Protection::default(),
        port: None,
        settings: vec![
            Setting {
                name: "log_bin_trust_function_creators".into(),
                value: "1".into(),
                why: "routines".into(),
            },
            Setting { name: "local_infile".into(), value: "ON".into(), why: "rows".into() },
        ],
        decide: None,
        pace: Pace { look: Duration::from_millis(20), no_progress: Duration::from_secs(120) },
    }
}

/// The prepared backup of 5.6.24, as one object.
pub fn prepared_chain() -> PathBuf {
    samples().join("prepared_chain.tar.gz")
}

pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rehearsal/data/xtrabackup")
}
