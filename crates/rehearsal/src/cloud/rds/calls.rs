//! The calls, one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::state::{Cluster, Group, Instance, Pairs};
use super::xml::{leaf, list, maybe, node};
use super::{SUBNET_GROUP, Shared, work};
use crate::cloud::cluster::{Engine, Profile};

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub code: String,
    pub message: String,
    pub status: u16,
}

impl Refused {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Refused { code: code.into(), message: message.into(), status: 400 }
    }

    fn missing(code: &str, message: impl Into<String>) -> Self {
        Refused { code: code.into(), message: message.into(), status: 404 }
    }
}

/// A request's parameters.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub fn read(body: &[u8]) -> Result<Self, Refused> {
        let wrong = || Refused::new("MalformedQueryString", "the body isn't form-encoded");
        let text = std::str::from_utf8(body).map_err(|_| wrong())?;
        let mut pairs = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            pairs.insert(decode(name).ok_or_else(wrong)?, decode(value).ok_or_else(wrong)?);
        }
        Ok(Form(pairs))
    }

    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn must(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| {
            Refused::new(
                "MissingParameter",
                format!("The request must contain the parameter {name}"),
            )
        })
    }

    /// `Tags.Tag.1.Key`, `Tags.Tag.1.Value`, ...
    fn two(&self, list: &str, one: &str, other: &str) -> Pairs {
        let mut pairs = Pairs::new();
        for number in 1.. {
            let Some(name) = self.get(&format!("{list}.{number}.{one}")) else { break };
            let value = self.get(&format!("{list}.{number}.{other}")).unwrap_or_default();
            pairs.insert(name.to_owned(), value.to_owned());
        }
        pairs
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The versions that are offered: name, family, compatible with.
const VERSIONS: [(&str, &str, &str); 8] = [
    (
        "5.7.mysql_aurora.2.11.5",
        "aurora-mysql5.7",
        "Aurora MySQL 2.11.5 (compatible with MySQL 5.7.12)",
    ),
    (
        "5.7.mysql_aurora.2.12.5",
        "aurora-mysql5.7",
        "Aurora MySQL 2.12.5 (compatible with MySQL 5.7.44)",
    ),
    (
        "8.0.mysql_aurora.3.04.4",
        "aurora-mysql8.0",
        "Aurora MySQL 3.04.4 (compatible with MySQL 8.0.28)",
    ),
    (
        "8.0.mysql_aurora.3.08.2",
        "aurora-mysql8.0",
        "Aurora MySQL 3.08.2 (compatible with MySQL 8.0.39)",
    ),
    (
        "8.0.mysql_aurora.3.10.3",
        "aurora-mysql8.0",
        "Aurora MySQL 3.10.3 (compatible with MySQL 8.0.42)",
    ),
    (
        "8.0.mysql_aurora.3.12.0",
        "aurora-mysql8.0",
        "Aurora MySQL 3.12.0 (compatible with MySQL 8.0.44)",
    ),
    (
        "8.0.mysql_aurora.3.13.0",
        "aurora-mysql8.0",
        "Aurora MySQL 3.13.0 (compatible with MySQL 8.0.45)",
    ),
    (
        "8.4.mysql_aurora.8.4.7",
        "aurora-mysql8.4",
        "Aurora MySQL 8.4.7 (compatible with MySQL 8.4.7)",
    ),
];

/// Those that only a rehearsal has.
const REHEARSED: [(&str, &str, &str); 2] = [
    ("5.6.rehearsal", "rehearsal-mysql5.6", "A rehearsal's server (compatible with MySQL 5.6.51)"),
    (
        "10.11.rehearsal",
        "rehearsal-mariadb10.11",
        "A rehearsal's server (compatible with MariaDB 10.11.99)",
    ),
];

/// Parameters, what they are by themselves, and whether a change waits for a reboot.
const DEFAULTS: [(&str, Option<&str>, bool, bool); 11] = [
    ("binlog_format", Some("OFF"), true, true),
    ("character_set_server", None, true, false),
    ("collation_server", None, true, false),
    ("enforce_gtid_consistency", Some("OFF"), true, true),
    ("explicit_defaults_for_timestamp", Some("1"), true, true),
    ("gtid-mode", Some("OFF_PERMISSIVE"), true, true),
    ("innodb_flush_log_at_trx_commit", Some("1"), false, false),
    ("local_infile", Some("1"), true, false),
    ("log_bin_trust_function_creators", Some("0"), true, false),
    ("lower_case_table_names", Some("0"), true, true),
    ("time_zone", None, true, false),
];

pub(super) fn call(shared: &Arc<Shared>, action: &str, form: &Form) -> Result<String, Refused> {
    match action {
        "RestoreDBClusterFromS3" => restore(shared, form),
        "DescribeDBClusters" => describe_clusters(shared, form),
        "CreateDBInstance" => create_instance(shared, form),
        "DescribeDBInstances" => describe_instances(shared, form),
        "DescribeEvents" => describe_events(shared, form),
        "DescribeDBEngineVersions" => describe_versions(shared, form),
        "CreateDBClusterParameterGroup" => create_group(shared, form),
        "DescribeDBClusterParameterGroups" => describe_groups(shared, form),
        "DescribeDBClusterParameters" => describe_parameters(shared, form),
        "DescribeEngineDefaultClusterParameters" => {
            let list = parameters(&Pairs::new());
            Ok(node("EngineDefaults", &list))
        }
        "ModifyDBClusterParameterGroup" => modify_group(shared, form),
        "DescribeDBSubnetGroups" => describe_subnets(form),
        "ListTagsForResource" => list_tags(shared, form),
        "DeleteDBInstance" => delete_instance(shared, form),
        "DeleteDBCluster" => delete_cluster(shared, form),
        "DeleteDBClusterParameterGroup" => delete_group(shared, form),
        other => Err(Refused::new("InvalidAction", format!("Could not find operation {other}"))),
    }
}

fn restore(shared: &Arc<Shared>, form: &Form) -> Result<String, Refused> {
    let faults = shared.faults();
    let identifier = form.must("DBClusterIdentifier")?.to_ascii_lowercase();
    let role = form.must("S3IngestionRoleArn")?;
    let (bucket, version) = (form.must("S3BucketName")?, form.must("EngineVersion")?);
    let (user, password) = (form.must("MasterUsername")?, form.must("MasterUserPassword")?);
    for (name, must) in [("Engine", "aurora-mysql"), ("SourceEngine", "mysql")] {
        if form.must(name)? != must {
            return Err(Refused::new("InvalidParameterValue", format!("Invalid {name}")));
        }
    }
    form.must("SourceEngineVersion")?;
    if !faults.may_pass_role {
        return Err(Refused {
            code: "AccessDenied".into(),
            message: format!(
                "User: arn:aws:iam::123456789012:user/operator is not authorized to perform: iam:PassRole \
                 on resource: {role}"
            ),
            status: 403,
        });
    }
    if !faults.roles.contains(role) {
        return Err(Refused::new(
            "InvalidParameterValue",
            format!(
                "IAM role ARN value is invalid or does not include the required permissions: {role}"
            ),
        ));
    }
    if bucket.contains(['/', '.']) || !shared.options.root.join(bucket).is_dir() {
        return Err(Refused::new(
            "InvalidS3BucketFault",
            "The specified Amazon S3 bucket name can't be found or Amazon RDS isn't authorized to access \
             the specified Amazon S3 bucket. Verify the SourceS3BucketName and S3IngestionRoleArn values \
             and try again.",
        ));
    }
    if password.len() < 8 {
        return Err(Refused::new(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password",
        ));
    }
    let known = versions(shared).into_iter().find(|(name, ..)| *name == version);
    let Some((name, family, description)) = known else {
        return Err(Refused::new(
            "InvalidParameterCombination",
            format!("Cannot find version {version} for aurora-mysql"),
        ));
    };
    if let Some(name) = form.get("DBSubnetGroupName") {
        let zones = subnets(name)?.iter().collect::<std::collections::BTreeSet<_>>().len();
        if zones < 2 {
            return Err(Refused::new(
                "DBSubnetGroupDoesNotCoverEnoughAZs",
                format!(
                    "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ \
                     coverage: {zones}. Add subnets to cover at least 2 AZs."
                ),
            ));
        }
    }
    let default = format!("default.{family}");
    let group = form.get("DBClusterParameterGroupName").unwrap_or(&default).to_owned();
    let cluster = shared.change(|state| {
        if state.clusters.contains_key(&identifier) {
            return Err(Refused::new("DBClusterAlreadyExistsFault", "DB cluster already exists"));
        }
        if state.clusters.len() >= faults.quota {
            return Err(Refused::new(
                "DBClusterQuotaExceededFault",
                "You have exceeded the maximum number of clusters",
            ));
        }
        if group != default {
            match state.groups.get(&group) {
                Some(found) if found.family == family => {}
                Some(_) => {
                    return Err(Refused::new(
                        "InvalidParameterCombination",
                        "The parameter group's family doesn't fit the engine version",
                    ));
                }
                None => {
                    return Err(Refused::missing(
                        "DBClusterParameterGroupNotFound",
                        format!("DBClusterParameterGroup not found: {group}"),
                    ));
                }
            }
        }
        let cluster = Cluster {
            identifier: identifier.clone(),
            arn: state.arn("cluster", &identifier),
            status: "creating".into(),
            created: Timestamp::now(),
            engine_version: version.to_owned(),
            master_user: user.to_owned(),
            parameter_group: group.clone(),
            subnet_group: form.get("DBSubnetGroupName").map(str::to_owned),
            port: None,
            percent: None,
            tags: form.two("Tags.Tag", "Key", "Value"),
        };
        state.clusters.insert(identifier.clone(), cluster.clone());
        state.tell("db-cluster", &identifier, "creation", "DB cluster created".into());
        Ok(cluster)
    })?;
    work::restore(
        shared.clone(),
        identifier,
        bucket.to_owned(),
        form.get("S3Prefix").unwrap_or_default().to_owned(),
        (user.to_owned(), password.to_owned()),
        Engine::read(name, description),
    );
    Ok(node("DBCluster", &cluster_xml(&cluster, &[])))
}

fn tags_xml(tags: &Pairs) -> String {
    list(
        "TagList",
        tags.iter().map(|(key, value)| node("Tag", &(leaf("Key", key) + &leaf("Value", value)))),
    )
}

fn cluster_xml(cluster: &Cluster, members: &[String]) -> String {
    let mut xml = leaf("DBClusterIdentifier", &cluster.identifier)
        + &leaf("DBClusterArn", &cluster.arn)
        + &leaf("Status", &cluster.status)
        + &leaf("Engine", "aurora-mysql")
        + &leaf("EngineVersion", &cluster.engine_version)
        + &leaf("MasterUsername", &cluster.master_user)
        + &leaf("ClusterCreateTime", &cluster.created.to_string())
        + &leaf("DBClusterParameterGroup", &cluster.parameter_group)
        + &maybe("DBSubnetGroup", cluster.subnet_group.as_deref())
        + &maybe("PercentProgress", cluster.percent.map(|percent| percent.to_string()).as_deref());
    if let Some(port) = cluster.port {
        xml += &(leaf("Endpoint", "127.0.0.1") + &leaf("Port", &port.to_string()));
    }
    xml += &list(
        "DBClusterMembers",
        members.iter().enumerate().map(|(number, name)| {
            let writer = if number == 0 { "true" } else { "false" };
            node(
                "DBClusterMember",
                &(leaf("DBInstanceIdentifier", name) + &leaf("IsClusterWriter", writer)),
            )
        }),
    );
    xml + &tags_xml(&cluster.tags)
}

fn instance_xml(instance: &Instance, port: Option<u16>) -> String {
    let mut xml = leaf("DBInstanceIdentifier", &instance.identifier)
        + &leaf("DBInstanceArn", &instance.arn)
        + &leaf("DBInstanceStatus", &instance.status)
        + &leaf("DBInstanceClass", &instance.class)
        + &leaf("Engine", "aurora-mysql")
        + &leaf("DBClusterIdentifier", &instance.cluster);
    if let Some(port) = port.filter(|_| instance.status == "available") {
        xml +=
            &node("Endpoint", &(leaf("Address", "127.0.0.1") + &leaf("Port", &port.to_string())));
    }
    xml + &tags_xml(&instance.tags)
}

fn describe_clusters(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let state = shared.state();
    let wanted = form.get("DBClusterIdentifier").map(str::to_ascii_lowercase);
    let found: Vec<String> = state
        .clusters
        .values()
        .filter(|cluster| wanted.as_ref().is_none_or(|wanted| *wanted == cluster.identifier))
        .map(|cluster| {
            let members: Vec<String> = state
                .instances
                .values()
                .filter(|instance| instance.cluster == cluster.identifier)
                .map(|instance| instance.identifier.clone())
                .collect();
            node("DBCluster", &cluster_xml(cluster, &members))
        })
        .collect();
    match wanted {
        Some(wanted) if found.is_empty() => Err(Refused::missing(
            "DBClusterNotFoundFault",
            format!("DBCluster {wanted} not found."),
        )),
        _ => Ok(list("DBClusters", found)),
    }
}

fn create_instance(shared: &Arc<Shared>, form: &Form) -> Result<String, Refused> {
    let identifier = form.must("DBInstanceIdentifier")?.to_ascii_lowercase();
    let cluster = form.must("DBClusterIdentifier")?.to_ascii_lowercase();
    let class = form.must("DBInstanceClass")?.to_owned();
    let instance = shared.change(|state| {
        match state.clusters.get(&cluster).map(|cluster| cluster.status.as_str()) {
            None => {
                return Err(Refused::missing("DBClusterNotFoundFault", "DBCluster not found."));
            }
            Some("available") => {}
            Some(status) => {
                return Err(Refused::new(
                    "InvalidDBClusterStateFault",
                    format!("DB cluster is not available; it is {status}"),
                ));
            }
        }
        if state.instances.contains_key(&identifier) {
            return Err(Refused::new("DBInstanceAlreadyExists", "DB instance already exists"));
        }
        let instance = Instance {
            identifier: identifier.clone(),
            arn: state.arn("db", &identifier),
            status: "creating".into(),
            class,
            cluster,
            tags: form.two("Tags.Tag", "Key", "Value"),
        };
        state.instances.insert(identifier.clone(), instance.clone());
        Ok(instance)
    })?;
    work::instance(shared.clone(), identifier);
    Ok(node("DBInstance", &instance_xml(&instance, None)))
}

fn describe_instances(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let state = shared.state();
    let wanted = form.get("DBInstanceIdentifier").map(str::to_ascii_lowercase);
    let found: Vec<String> = state
        .instances
        .values()
        .filter(|instance| wanted.as_ref().is_none_or(|wanted| *wanted == instance.identifier))
        .map(|instance| {
            let port = state.clusters.get(&instance.cluster).and_then(|cluster| cluster.port);
            node("DBInstance", &instance_xml(instance, port))
        })
        .collect();
    match wanted {
        Some(wanted) if found.is_empty() => {
            Err(Refused::missing("DBInstanceNotFound", format!("DBInstance {wanted} not found.")))
        }
        _ => Ok(list("DBInstances", found)),
    }
}

/// Two events a page, so that whoever reads them must turn pages.
fn describe_events(shared: &Shared, form: &Form) -> Result<String, Refused> {
    const PAGE: usize = 2;
    let state = shared.state();
    let source = form.get("SourceIdentifier");
    let kind = form.get("SourceType");
    let since: Option<Timestamp> = form.get("StartTime").and_then(|time| time.parse().ok());
    let skip: usize = form.get("Marker").and_then(|marker| marker.parse().ok()).unwrap_or(0);
    let all: Vec<_> = state
        .events
        .iter()
        .filter(|event| source.is_none_or(|source| event.source == source))
        .filter(|event| kind.is_none_or(|kind| event.kind == kind))
        .filter(|event| since.is_none_or(|since| event.at >= since))
        .collect();
    let events = all.iter().skip(skip).take(PAGE).map(|event| {
        let categories = list(
            "EventCategories",
            event.categories.iter().map(|category| leaf("EventCategory", category)),
        );
        node(
            "Event",
            &(leaf("SourceIdentifier", &event.source)
                + &leaf("SourceType", event.kind)
                + &leaf("Message", &event.message)
                + &leaf("Date", &event.at.to_string())
                + &categories),
        )
    });
    let list = list("Events", events);
    let next = (all.len() > skip + PAGE).then(|| (skip + PAGE).to_string());
    Ok(list + &maybe("Marker", next.as_deref()))
}

fn versions(shared: &Shared) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut versions = VERSIONS.to_vec();
    if shared.options.profile == Profile::Rehearsal {
        versions.extend(REHEARSED);
    }
    versions
}

fn describe_versions(shared: &Shared, form: &Form) -> Result<String, Refused> {
    if form.get("Engine").is_some_and(|engine| engine != "aurora-mysql") {
        return Ok(list("DBEngineVersions", []));
    }
    let version = |(name, family, description): (&str, &str, &str)| {
        node(
            "DBEngineVersion",
            &(leaf("Engine", "aurora-mysql")
                + &leaf("EngineVersion", name)
                + &leaf("DBParameterGroupFamily", family)
                + &leaf("DBEngineVersionDescription", description)),
        )
    };
    Ok(list("DBEngineVersions", versions(shared).into_iter().map(version)))
}

fn group_xml(group: &Group) -> String {
    leaf("DBClusterParameterGroupName", &group.name)
        + &leaf("DBParameterGroupFamily", &group.family)
        + &leaf("Description", &group.description)
        + &leaf("DBClusterParameterGroupArn", &group.arn)
}

fn no_group(name: &str) -> Refused {
    Refused::missing(
        "DBParameterGroupNotFound",
        format!("DBClusterParameterGroup not found: {name}"),
    )
}

fn create_group(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBClusterParameterGroupName")?.to_ascii_lowercase();
    let family = form.must("DBParameterGroupFamily")?.to_owned();
    if !versions(shared).iter().any(|(_, known, _)| *known == family) {
        return Err(Refused::new("InvalidParameterValue", "ParameterGroupFamily is not valid"));
    }
    shared.change(|state| {
        if state.groups.contains_key(&name) {
            return Err(Refused::new(
                "DBParameterGroupAlreadyExists",
                "Parameter group already exists",
            ));
        }
        let group = Group {
            arn: state.arn("cluster-pg", &name),
            name: name.clone(),
            family,
            description: form.get("Description").unwrap_or_default().to_owned(),
            values: Pairs::new(),
            tags: form.two("Tags.Tag", "Key", "Value"),
        };
        let xml = node("DBClusterParameterGroup", &group_xml(&group));
        state.groups.insert(name, group);
        Ok(xml)
    })
}

fn describe_groups(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let state = shared.state();
    let wanted = form.get("DBClusterParameterGroupName");
    let found: Vec<String> = state
        .groups
        .values()
        .filter(|group| wanted.is_none_or(|wanted| wanted == group.name))
        .map(|group| node("DBClusterParameterGroup", &group_xml(group)))
        .collect();
    match wanted {
        Some(wanted) if found.is_empty() => Err(no_group(wanted)),
        _ => Ok(list("DBClusterParameterGroups", found)),
    }
}

fn parameters(values: &Pairs) -> String {
    let parameter = |(name, value, modifiable, is_static): (&str, Option<&str>, bool, bool)| {
        let value = values.get(name).map(String::as_str).or(value);
        node(
            "Parameter",
            &(leaf("ParameterName", name)
                + &maybe("ParameterValue", value)
                + &leaf("ApplyType", if is_static { "static" } else { "dynamic" })
                + &leaf("IsModifiable", if modifiable { "true" } else { "false" })),
        )
    };
    list("Parameters", DEFAULTS.into_iter().map(parameter))
}

fn describe_parameters(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBClusterParameterGroupName")?;
    let state = shared.state();
    let group = state.groups.get(name).ok_or_else(|| no_group(name))?;
    Ok(parameters(&group.values))
}

fn modify_group(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBClusterParameterGroupName")?;
    let values = form.two("Parameters.Parameter", "ParameterName", "ParameterValue");
    if values.is_empty() || values.len() > 20 {
        return Err(Refused::new(
            "InvalidParameterValue",
            "1 to 20 parameters can be modified at once",
        ));
    }
    for name in values.keys() {
        match DEFAULTS.iter().find(|(known, ..)| known == name) {
            Some((_, _, true, _)) => {}
            _ => {
                return Err(Refused::new(
                    "InvalidParameterValue",
                    format!("Could not find parameter with name: {name}"),
                ));
            }
        }
    }
    shared.change(|state| {
        let group = state.groups.get_mut(name).ok_or_else(|| no_group(name))?;
        group.values.extend(values);
        Ok(leaf("DBClusterParameterGroupName", name))
    })
}

fn subnets(name: &str) -> Result<&'static [&'static str], Refused> {
    match name {
        SUBNET_GROUP => Ok(&["a", "b", "b"]),
        "one-zone" => Ok(&["a", "a"]),
        name => Err(Refused::missing(
            "DBSubnetGroupNotFoundFault",
            format!("DB subnet group '{name}' does not exist."),
        )),
    }
}

fn describe_subnets(form: &Form) -> Result<String, Refused> {
    let name = form.must("DBSubnetGroupName")?;
    let subnets = subnets(name)?.iter().enumerate().map(|(number, zone)| {
        node(
            "Subnet",
            &(leaf("SubnetIdentifier", &format!("subnet-{number:08}"))
                + &node("SubnetAvailabilityZone", &leaf("Name", &format!("zone-1{zone}")))
                + &leaf("SubnetStatus", "Active")),
        )
    });
    let group = leaf("DBSubnetGroupName", name)
        + &leaf("SubnetGroupStatus", "Complete")
        + &list("Subnets", subnets);
    Ok(list("DBSubnetGroups", [node("DBSubnetGroup", &group)]))
}

fn list_tags(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let arn = form.must("ResourceName")?;
    let state = shared.state();
    let clusters = state.clusters.values().map(|of| (&of.arn, &of.tags));
    let instances = state.instances.values().map(|of| (&of.arn, &of.tags));
    let groups = state.groups.values().map(|of| (&of.arn, &of.tags));
    match clusters.chain(instances).chain(groups).find(|(known, _)| *known == arn) {
        Some((_, tags)) => Ok(tags_xml(tags)),
        None => {
            Err(Refused::new("InvalidParameterValue", "The specified resource name does not exist"))
        }
    }
}

fn delete_instance(shared: &Arc<Shared>, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBInstanceIdentifier")?.to_ascii_lowercase();
    let instance = shared.change(|state| {
        let missing =
            || Refused::missing("DBInstanceNotFound", format!("DBInstance {name} not found."));
        let instance = state.instances.get_mut(&name).ok_or_else(missing)?;
        instance.status = "deleting".into();
        Ok(instance.clone())
    })?;
    work::delete_instance(shared.clone(), name);
    Ok(node("DBInstance", &instance_xml(&instance, None)))
}

fn delete_cluster(shared: &Arc<Shared>, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBClusterIdentifier")?.to_ascii_lowercase();
    if form.get("SkipFinalSnapshot") != Some("true")
        && form.get("FinalDBSnapshotIdentifier").is_none()
    {
        return Err(Refused::new(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        ));
    }
    let cluster = shared.change(|state| {
        if state.instances.values().any(|instance| instance.cluster == name) {
            return Err(Refused::new(
                "InvalidDBClusterStateFault",
                "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
            ));
        }
        let missing =
            || Refused::missing("DBClusterNotFoundFault", format!("DBCluster {name} not found."));
        let cluster = state.clusters.get_mut(&name).ok_or_else(missing)?;
        cluster.status = "deleting".into();
        Ok(cluster.clone())
    })?;
    work::delete_cluster(shared.clone(), name);
    Ok(node("DBCluster", &cluster_xml(&cluster, &[])))
}

fn delete_group(shared: &Shared, form: &Form) -> Result<String, Refused> {
    let name = form.must("DBClusterParameterGroupName")?;
    shared.change(|state| {
        if state.clusters.values().any(|cluster| cluster.parameter_group == name) {
            return Err(Refused::new(
                "InvalidDBParameterGroupState",
                "One or more database clusters are still members of this parameter group, so the group \
                 cannot be deleted",
            ));
        }
        state.groups.remove(name).map(|_| String::new()).ok_or_else(|| no_group(name))
    })
}
