//! The calls of the RDS API that a restore makes, behind one narrow trait, in types of our own.
//!
//! Only what daybreak reads of an answer is here. [`SdkRds`] asks AWS; whoever tests a caller can ask
//! something else.

mod fault;
mod sdk;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{error::Result, mysql::Secret};

pub use sdk::SdkRds;

/// Tags of a resource, by key.
pub type Tags = BTreeMap<String, String>;

/// What `RestoreDBClusterFromS3` is told.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The identifier that the cluster gets.
    pub cluster: String,
    /// Aurora's version.
    pub engine_version: String,
    /// The master account's name.
    pub master_user: String,
    /// Its password. Sent to RDS, and to nobody else.
    pub master_password: Secret,
    /// The version of the server that was backed up: `8.0.36`.
    pub source_version: String,
    /// The bucket.
    pub bucket: String,
    /// What the objects' keys begin with; empty: the whole bucket.
    pub prefix: String,
    /// The ARN of the role by which RDS reads the bucket.
    pub ingestion_role: String,
    /// The cluster parameter group.
    pub parameter_group: String,
    /// The DB subnet group.
    pub subnet_group: Option<String>,
    /// The VPC security groups.
    pub security_groups: Vec<String>,
    /// Whether the storage is encrypted.
    pub encrypted: bool,
    /// The KMS key of the storage; none: the account's own for RDS.
    pub kms_key: Option<String>,
    /// The port that the cluster listens on; none: 3306.
    pub port: Option<u16>,
    /// Tags.
    pub tags: Tags,
}

/// What `CreateDBInstance` is told.
#[derive(Debug, Clone)]
pub struct InstanceRequest {
    /// The identifier that the instance gets.
    pub instance: String,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its class, such as `db.r6g.large`.
    pub class: String,
    /// Tags.
    pub tags: Tags,
}

/// A DB cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Its state, such as `creating`, `migrating`, `available`.
    pub status: String,
    /// How far the present state has come, as RDS says it.
    pub percent: Option<String>,
    /// When it was made, by RDS's clock.
    pub created: Option<Timestamp>,
    /// The writer's endpoint.
    pub endpoint: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Aurora's version.
    pub engine_version: String,
    /// The parameter group in use.
    pub parameter_group: Option<String>,
    /// The instances, and whether each is the writer.
    pub members: Vec<(String, bool)>,
    /// Tags.
    pub tags: Tags,
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Its state.
    pub status: String,
    /// The cluster that it belongs to.
    pub cluster: Option<String>,
    /// Its endpoint: host and port.
    pub endpoint: Option<(String, u16)>,
    /// Tags.
    pub tags: Tags,
}

/// Of what events are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSource {
    /// A DB cluster.
    Cluster,
    /// A DB instance.
    Instance,
}

/// An event of RDS. The API tells text and categories; the number (`RDS-EVENT-0083`) only where the
/// text or the ARN has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RdsEvent {
    /// When.
    pub at: Timestamp,
    /// Whose: the identifier.
    pub source: String,
    /// What happened.
    pub message: String,
    /// Its categories, such as `failure`.
    pub categories: Vec<String>,
}

/// An engine version that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// As RDS names it: `8.0.mysql_aurora.3.08.2`.
    pub version: String,
    /// The family of its parameter groups: `aurora-mysql8.0`.
    pub family: String,
    /// For people: `Aurora MySQL 3.08.2 (compatible with MySQL 8.0.39)`.
    pub description: String,
}

/// A parameter of a cluster parameter group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value; none: the engine's own.
    pub value: Option<String>,
    /// Whether a group may set it.
    pub modifiable: bool,
    /// Whether a change waits for a reboot.
    pub is_static: bool,
}

/// A cluster parameter group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterGroup {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The family it is of.
    pub family: String,
}

/// A DB subnet group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetGroup {
    /// Its name.
    pub name: String,
    /// The Availability Zones that its subnets lie in, each once.
    pub zones: Vec<String>,
    /// Its state; `Complete` when all is well.
    pub status: String,
}

/// The calls. What isn't there is `None`; an error says what to do.
#[async_trait]
pub trait Rds: Send + Sync {
    /// Begins a restore.
    async fn restore_cluster_from_s3(&self, request: &RestoreRequest) -> Result<Cluster>;
    /// A cluster.
    async fn cluster(&self, identifier: &str) -> Result<Option<Cluster>>;
    /// Makes an instance of a cluster.
    async fn create_instance(&self, request: &InstanceRequest) -> Result<Instance>;
    /// An instance.
    async fn instance(&self, identifier: &str) -> Result<Option<Instance>>;
    /// All events since a moment, oldest first.
    async fn events(
        &self,
        source: EventSource,
        identifier: &str,
        since: Timestamp,
    ) -> Result<Vec<RdsEvent>>;
    /// The versions of `aurora-mysql` that are offered.
    async fn engine_versions(&self) -> Result<Vec<EngineVersion>>;
    /// Makes a cluster parameter group.
    async fn create_parameter_group(
        &self,
        name: &str,
        family: &str,
        description: &str,
        tags: &Tags,
    ) -> Result<ParameterGroup>;
    /// A cluster parameter group.
    async fn parameter_group(&self, name: &str) -> Result<Option<ParameterGroup>>;
    /// All parameters of a cluster parameter group.
    async fn parameters(&self, group: &str) -> Result<Vec<Parameter>>;
    /// What the parameters of a family are where no group sets them.
    async fn default_parameters(&self, family: &str) -> Result<Vec<Parameter>>;
    /// Sets parameters (name, value) of a cluster parameter group, for the next start.
    async fn set_parameters(&self, group: &str, parameters: &[(String, String)]) -> Result<()>;
    /// A DB subnet group.
    async fn subnet_group(&self, name: &str) -> Result<Option<SubnetGroup>>;
    /// The tags of a resource, by its ARN.
    async fn tags(&self, arn: &str) -> Result<Tags>;
    /// Deletes an instance. One that is gone is no error.
    async fn delete_instance(&self, identifier: &str) -> Result<()>;
    /// Deletes a cluster without a final snapshot. One that is gone is no error.
    async fn delete_cluster(&self, identifier: &str) -> Result<()>;
    /// Deletes a cluster parameter group. One that is gone is no error.
    async fn delete_parameter_group(&self, name: &str) -> Result<()>;
    /// Where the calls go, for messages: `rds eu-central-1`.
    fn place(&self) -> String;
}
