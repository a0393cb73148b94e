//! The stage of the physical route: S3 and RDS on loopback, whose cluster is a real server.

use std::{path::Path, time::Duration};

use daybreak::error::{Error, Kind, Result};
use rehearsal::cloud::{
    Cloud,
    rds::{Options, ROLE, Rds, SUBNET_GROUP},
};

use super::{tools::Tools, write_private};
use crate::cli::Rehearse;

const BUCKET: &str = "rehearsal";
const CLUSTER: &str = "rehearsal";
const MASTER: &str = "admin";

/// S3 and RDS.
pub struct Loopback {
    cloud: Cloud,
    rds: Rds,
    tools: Tools,
    password: String,
}

impl Loopback {
    pub async fn start(place: &Path, tools: Tools) -> Result<Self> {
        let cloud = Cloud::start(place.join("s3")).await?;
        cloud.make_bucket(BUCKET)?;
        let beside = Options::beside(&cloud, place.join("rds"), Duration::from_millis(300));
        let rds = Rds::start(Options {
            profile: tools.profile(),
            programs: Some(tools.programs.clone()),
            ..beside
        })
        .await?;
        let password =
            (0..4).map(|_| format!("{:08x}", super::rand_u32())).collect::<String>() + "-Aa";
        Ok(Loopback { cloud, rds, tools, password })
    }

    /// The master account, as an operator names it before there is a cluster.
    pub fn master_url(&self) -> String {
        format!("mysql://{MASTER}:{}@127.0.0.1:3306/", self.password)
    }

    /// Root's URL on the restored cluster.
    pub async fn root_url(&self) -> Result<String> {
        self.rds.root_url(CLUSTER).await.ok_or_else(|| {
            Error::new(Kind::State, "the rehearsal's cluster isn't there").at(self.rds.endpoint())
        })
    }

    /// The sections of `daybreak.toml` that the physical route reads, and the credentials beside it.
    pub fn configuration(&self, options: &Rehearse, directory: &Path) -> Result<String> {
        write_private(
            &directory.join("aws.credentials"),
            &format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                self.cloud.access_key, self.cloud.secret_key
            ),
        )?;
        let mut staging = String::new();
        if let Some(place) = &options.staging {
            let place = std::path::absolute(place)?;
            staging = format!("directory = {}\n", text(&place.to_string_lossy()));
        }
        Ok(format!(
            "\n[aws]\nregion = \"{}\"\nendpoint_s3 = \"{}\"\nendpoint_rds = \"{}\"\n\
             credentials_file = \"aws.credentials\"\nprofile = \"default\"\n\
             \n[backup]\nprogram = {}\nincrementals = {}\nstream = {}\n{}\
             {}\n[staging]\n{staging}s3 = \"s3://{BUCKET}/backups\"\n\
             \n[restore]\ncluster = \"{CLUSTER}\"\nsubnet_group = \"{SUBNET_GROUP}\"\n\
             ingestion_role = \"{ROLE}\"\n",
            self.cloud.region,
            self.cloud.s3_endpoint,
            self.rds.endpoint(),
            text(&self.tools.programs.tools.backup.to_string_lossy()),
            options.incrementals,
            options.stream,
            self.tools.rules(),
            self.tools.definers(),
        ))
    }
}

/// A text as TOML has it.
fn text(value: &str) -> String {
    serde_json::Value::String(value.into()).to_string()
}
