//! The trait over the AWS SDK.

use async_trait::async_trait;
use aws_sdk_rds::{
    Client,
    types::{
        ApplyMethod, DbCluster, DbClusterParameterGroup, DbInstance, Filter,
        Parameter as SdkParameter, SourceType, Tag,
    },
};
use jiff::{SignedDuration, Timestamp};

use super::{
    Cluster, EngineVersion, EventSource, Instance, InstanceRequest, Parameter, ParameterGroup, Rds,
    RdsEvent, RestoreRequest, SubnetGroup, Tags, fault,
};
use crate::{
    config::AwsConfig,
    error::{Error, Kind, Result},
};

/// The engine of all clusters made here.
const ENGINE: &str = "aurora-mysql";

/// How long RDS keeps events; an earlier start is refused.
///
/// Source: RDS API reference, *DescribeEvents*: 14 days.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24 - 1);

/// How many parameters a call of ModifyDBClusterParameterGroup takes.
const PARAMETERS_A_CALL: usize = 20;

/// RDS, through the AWS SDK.
#[derive(Debug, Clone)]
pub struct SdkRds {
    client: Client,
    place: String,
}

impl SdkRds {
    /// With what the SDK found out about credentials and Region, and the endpoint that was given
    /// instead of the Region's.
    pub fn new(sdk: &aws_config::SdkConfig, config: &AwsConfig) -> Self {
        let mut builder = aws_sdk_rds::config::Builder::from(sdk);
        if let Some(endpoint) = &config.endpoint_rds {
            builder = builder.endpoint_url(endpoint);
        }
        let region = sdk.region().map_or("no Region", |region| region.as_ref());
        let place = match &config.endpoint_rds {
            Some(endpoint) => format!("RDS at {endpoint}"),
            None => format!("RDS in {region}"),
        };
        SdkRds { client: Client::from_conf(builder.build()), place }
    }
}

fn tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn read_tags(tags: Option<Vec<Tag>>) -> Tags {
    let pair = |tag: Tag| Some((tag.key?, tag.value.unwrap_or_default()));
    tags.unwrap_or_default().into_iter().filter_map(pair).collect()
}

fn port(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

fn timestamp(date: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::new(date.secs(), i32::try_from(date.subsec_nanos()).ok()?).ok()
}

/// An answer that lacks what it must have.
fn lacks(what: &str) -> Error {
    Error::new(Kind::Aws, format!("an answer of RDS has no {what}"))
        .next("is that endpoint really RDS? See endpoint_rds in [aws]")
}

fn cluster(from: DbCluster) -> Result<Cluster> {
    let member = |member: aws_sdk_rds::types::DbClusterMember| {
        let writer = member.is_cluster_writer == Some(true);
        Some((member.db_instance_identifier?, writer))
    };
    Ok(Cluster {
        identifier: from.db_cluster_identifier.ok_or_else(|| lacks("cluster identifier"))?,
        arn: from.db_cluster_arn.unwrap_or_default(),
        status: from.status.ok_or_else(|| lacks("cluster status"))?,
        percent: from.percent_progress.filter(|percent| !percent.is_empty()),
        created: from.cluster_create_time.and_then(|date| timestamp(&date)),
        endpoint: from.endpoint.filter(|endpoint| !endpoint.is_empty()),
        port: port(from.port),
        engine_version: from.engine_version.unwrap_or_default(),
        parameter_group: from.db_cluster_parameter_group,
        members: from
            .db_cluster_members
            .unwrap_or_default()
            .into_iter()
            .filter_map(member)
            .collect(),
        tags: read_tags(from.tag_list),
    })
}

fn instance(from: DbInstance) -> Result<Instance> {
    let endpoint = from.endpoint.and_then(|end| Some((end.address?, port(end.port)?)));
    Ok(Instance {
        identifier: from.db_instance_identifier.ok_or_else(|| lacks("instance identifier"))?,
        arn: from.db_instance_arn.unwrap_or_default(),
        status: from.db_instance_status.ok_or_else(|| lacks("instance status"))?,
        cluster: from.db_cluster_identifier,
        endpoint,
        tags: read_tags(from.tag_list),
    })
}

fn group(from: DbClusterParameterGroup) -> Result<ParameterGroup> {
    Ok(ParameterGroup {
        name: from
            .db_cluster_parameter_group_name
            .ok_or_else(|| lacks("name of a parameter group"))?,
        arn: from.db_cluster_parameter_group_arn.unwrap_or_default(),
        family: from.db_parameter_group_family.unwrap_or_default(),
    })
}

fn parameter(from: SdkParameter) -> Option<Parameter> {
    Some(Parameter {
        name: from.parameter_name?,
        value: from.parameter_value,
        modifiable: from.is_modifiable != Some(false),
        is_static: from.apply_type.as_deref() == Some("static"),
    })
}

#[async_trait]
impl Rds for SdkRds {
    async fn restore_cluster_from_s3(&self, request: &RestoreRequest) -> Result<Cluster> {
        let done = self
            .client
            .restore_db_cluster_from_s3()
            .db_cluster_identifier(&request.cluster)
            .engine(ENGINE)
            .engine_version(&request.engine_version)
            .master_username(&request.master_user)
            .master_user_password(request.master_password.reveal())
            .source_engine("mysql")
            .source_engine_version(&request.source_version)
            .s3_bucket_name(&request.bucket)
            .set_s3_prefix(Some(request.prefix.clone()).filter(|prefix| !prefix.is_empty()))
            .s3_ingestion_role_arn(&request.ingestion_role)
            .db_cluster_parameter_group_name(&request.parameter_group)
            .set_db_subnet_group_name(request.subnet_group.clone())
            .set_vpc_security_group_ids(
                Some(request.security_groups.clone()).filter(|groups| !groups.is_empty()),
            )
            .set_kms_key_id(request.kms_key.clone())
            .storage_encrypted(request.encrypted || request.kms_key.is_some())
            .set_port(request.port.map(i32::from))
            .set_tags(Some(tags(&request.tags)))
            .send()
            .await
            .map_err(|error| fault::map(error, "the restore from S3", &self.place))?;
        cluster(done.db_cluster.ok_or_else(|| lacks("cluster"))?)
    }

    async fn cluster(&self, identifier: &str) -> Result<Option<Cluster>> {
        let asked =
            self.client.describe_db_clusters().db_cluster_identifier(identifier).send().await;
        match asked {
            Ok(found) => {
                found.db_clusters.unwrap_or_default().into_iter().next().map(cluster).transpose()
            }
            Err(error) if fault::code(&error) == Some("DBClusterNotFoundFault") => Ok(None),
            Err(error) => Err(fault::map(error, "looking at the cluster", &self.place)),
        }
    }

    async fn create_instance(&self, request: &InstanceRequest) -> Result<Instance> {
        let done = self
            .client
            .create_db_instance()
            .db_instance_identifier(&request.instance)
            .db_cluster_identifier(&request.cluster)
            .db_instance_class(&request.class)
            .engine(ENGINE)
            .set_tags(Some(tags(&request.tags)))
            .send()
            .await
            .map_err(|error| fault::map(error, "making the instance", &self.place))?;
        instance(done.db_instance.ok_or_else(|| lacks("instance"))?)
    }

    async fn instance(&self, identifier: &str) -> Result<Option<Instance>> {
        let asked =
            self.client.describe_db_instances().db_instance_identifier(identifier).send().await;
        match asked {
            Ok(found) => {
                found.db_instances.unwrap_or_default().into_iter().next().map(instance).transpose()
            }
            Err(error)
                if matches!(
                    fault::code(&error),
                    Some("DBInstanceNotFound" | "DBInstanceNotFoundFault")
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault::map(error, "looking at the instance", &self.place)),
        }
    }

    async fn events(
        &self,
        source: EventSource,
        identifier: &str,
        since: Timestamp,
    ) -> Result<Vec<RdsEvent>> {
        let kind = match source {
            EventSource::Cluster => SourceType::DbCluster,
            EventSource::Instance => SourceType::DbInstance,
        };
        let earliest = Timestamp::now().checked_sub(EVENTS_KEPT).unwrap_or(since);
        let since = since.max(earliest);
        let mut pages = self
            .client
            .describe_events()
            .source_identifier(identifier)
            .source_type(kind)
            .start_time(aws_smithy_types::DateTime::from_secs(since.as_second()))
            .into_paginator()
            .send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| fault::map(error, "reading the events", &self.place))?;
            for event in page.events.unwrap_or_default() {
                let Some(date) = event.date else { continue };
                let at = timestamp(&date).ok_or_else(|| lacks("usable date of an event"))?;
                events.push(RdsEvent {
                    at,
                    source: event.source_identifier.unwrap_or_default(),
                    message: event.message.unwrap_or_default(),
                    categories: event.event_categories.unwrap_or_default(),
                });
            }
        }
        events.sort();
        Ok(events)
    }

    async fn engine_versions(&self) -> Result<Vec<EngineVersion>> {
        let mut pages =
            self.client.describe_db_engine_versions().engine(ENGINE).into_paginator().send();
        let mut versions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page
                .map_err(|error| fault::map(error, "asking for Aurora's versions", &self.place))?;
            for version in page.db_engine_versions.unwrap_or_default() {
                versions.push(EngineVersion {
                    version: version.engine_version.unwrap_or_default(),
                    family: version.db_parameter_group_family.unwrap_or_default(),
                    description: version.db_engine_version_description.unwrap_or_default(),
                });
            }
        }
        Ok(versions)
    }

    async fn create_parameter_group(
        &self,
        name: &str,
        family: &str,
        description: &str,
        wanted: &Tags,
    ) -> Result<ParameterGroup> {
        let done = self
            .client
            .create_db_cluster_parameter_group()
            .db_cluster_parameter_group_name(name)
            .db_parameter_group_family(family)
            .description(description)
            .set_tags(Some(tags(wanted)))
            .send()
            .await
            .map_err(|error| fault::map(error, "making the parameter group", &self.place))?;
        group(done.db_cluster_parameter_group.ok_or_else(|| lacks("parameter group"))?)
    }

    async fn parameter_group(&self, name: &str) -> Result<Option<ParameterGroup>> {
        let asked = self
            .client
            .describe_db_cluster_parameter_groups()
            .db_cluster_parameter_group_name(name)
            .send()
            .await;
        match asked {
            Ok(found) => {
                let found = found.db_cluster_parameter_groups.unwrap_or_default();
                found.into_iter().next().map(group).transpose()
            }
            Err(error)
                if matches!(
                    fault::code(&error),
                    Some("DBParameterGroupNotFound" | "DBClusterParameterGroupNotFound")
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault::map(error, "looking at the parameter group", &self.place)),
        }
    }

    async fn parameters(&self, group: &str) -> Result<Vec<Parameter>> {
        let mut pages = self
            .client
            .describe_db_cluster_parameters()
            .db_cluster_parameter_group_name(group)
            .into_paginator()
            .send();
        let mut parameters = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| fault::map(error, "reading the parameters", &self.place))?;
            parameters
                .extend(page.parameters.unwrap_or_default().into_iter().filter_map(parameter));
        }
        Ok(parameters)
    }

    async fn default_parameters(&self, family: &str) -> Result<Vec<Parameter>> {
        let (mut parameters, mut marker) = (Vec::new(), None);
        loop {
            let defaults = self
                .client
                .describe_engine_default_cluster_parameters()
                .db_parameter_group_family(family)
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| fault::map(error, "reading the default parameters", &self.place))?
                .engine_defaults
                .ok_or_else(|| lacks("default parameters"))?;
            parameters
                .extend(defaults.parameters.unwrap_or_default().into_iter().filter_map(parameter));
            marker = defaults.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(parameters);
            }
        }
    }

    async fn set_parameters(&self, group: &str, parameters: &[(String, String)]) -> Result<()> {
        for some in parameters.chunks(PARAMETERS_A_CALL) {
            let some = some.iter().map(|(name, value)| {
                SdkParameter::builder()
                    .parameter_name(name)
                    .parameter_value(value)
                    .apply_method(ApplyMethod::PendingReboot)
                    .build()
            });
            self.client
                .modify_db_cluster_parameter_group()
                .db_cluster_parameter_group_name(group)
                .set_parameters(Some(some.collect()))
                .send()
                .await
                .map_err(|error| fault::map(error, "setting the parameters", &self.place))?;
        }
        Ok(())
    }

    async fn subnet_group(&self, name: &str) -> Result<Option<SubnetGroup>> {
        let asked = self.client.describe_db_subnet_groups().db_subnet_group_name(name).send().await;
        let found = match asked {
            Ok(found) => found.db_subnet_groups.unwrap_or_default().into_iter().next(),
            Err(error) if fault::code(&error) == Some("DBSubnetGroupNotFoundFault") => None,
            Err(error) => {
                return Err(fault::map(error, "looking at the subnet group", &self.place));
            }
        };
        Ok(found.map(|found| {
            let zone = |subnet: aws_sdk_rds::types::Subnet| subnet.subnet_availability_zone?.name;
            let mut zones: Vec<String> =
                found.subnets.unwrap_or_default().into_iter().filter_map(zone).collect();
            zones.sort();
            zones.dedup();
            SubnetGroup {
                name: found.db_subnet_group_name.unwrap_or_default(),
                zones,
                status: found.subnet_group_status.unwrap_or_default(),
            }
        }))
    }

    async fn tags(&self, arn: &str) -> Result<Tags> {
        let found = self
            .client
            .list_tags_for_resource()
            .resource_name(arn)
            .set_filters(None::<Vec<Filter>>)
            .send()
            .await
            .map_err(|error| fault::map(error, "reading the tags", &self.place))?;
        Ok(read_tags(found.tag_list))
    }

    async fn delete_instance(&self, identifier: &str) -> Result<()> {
        let asked = self
            .client
            .delete_db_instance()
            .db_instance_identifier(identifier)
            .skip_final_snapshot(true)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    fault::code(&error),
                    Some("DBInstanceNotFound" | "DBInstanceNotFoundFault")
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(fault::map(error, "deleting the instance", &self.place)),
        }
    }

    async fn delete_cluster(&self, identifier: &str) -> Result<()> {
        let asked = self
            .client
            .delete_db_cluster()
            .db_cluster_identifier(identifier)
            .skip_final_snapshot(true)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if fault::code(&error) == Some("DBClusterNotFoundFault") => Ok(()),
            Err(error) => Err(fault::map(error, "deleting the cluster", &self.place)),
        }
    }

    async fn delete_parameter_group(&self, name: &str) -> Result<()> {
        let asked = self
            .client
            .delete_db_cluster_parameter_group()
            .db_cluster_parameter_group_name(name)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    fault::code(&error),
                    Some("DBParameterGroupNotFound" | "DBClusterParameterGroupNotFound")
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(fault::map(error, "deleting the parameter group", &self.place)),
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
