//! What IAM must allow for a restore, as JSON that can be pasted.
//!
//! Source: Service Authorization Reference, *Amazon RDS*; Aurora User Guide, *Migrating data from an
//! external MySQL database* and *AWS KMS key management*.

use serde_json::{Value, json};

use super::{Restore, Wanted};
use crate::{
    aws::policy::{Scope, account_of, document},
    error::{Error, Kind},
};

/// Who may take the ingestion role: RDS.
pub fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "rds.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    })
}

fn scope(wanted: &Wanted) -> Scope<'_> {
    Scope {
        place: &wanted.place,
        region: wanted.region.as_deref(),
        account: wanted.config.ingestion_role.as_deref().and_then(account_of),
        key: wanted.bucket.kms_key.as_deref(),
    }
}

/// What the ingestion role must be allowed.
pub fn ingestion(wanted: &Wanted) -> Value {
    let scope = scope(wanted);
    let mut statements = vec![
        json!({
            "Sid": "IngestBucket",
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": scope.bucket(),
        }),
        json!({
            "Sid": "IngestObjects",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": scope.objects(),
        }),
    ];
    statements.extend(scope.key.map(|key| scope.with_key("IngestKey", &["kms:Decrypt"], key)));
    document(statements)
}

/// What whoever runs daybreak must be allowed: reading the bucket, uploading to it, restoring from it.
pub fn caller(wanted: &Wanted) -> Value {
    let scope = scope(wanted);
    let partition = scope.partition();
    let config = &wanted.config;
    let (region, account) = (scope.region.unwrap_or("*"), scope.account.unwrap_or("*"));
    let rds =
        |kind: &str, name: &str| format!("arn:{partition}:rds:{region}:{account}:{kind}:{name}");
    let cluster = config.cluster.as_deref().unwrap_or("CLUSTER").to_ascii_lowercase();
    let (own, instances) = (rds("cluster", &cluster), rds("db", &format!("{cluster}-*")));
    // One that is there is only used: nothing of it is changed.
    let (group, made) = match &config.parameter_group {
        Some(group) => (rds("cluster-pg", group), false),
        None => (rds("cluster-pg", &format!("{cluster}-daybreak")), true),
    };
    let subnets = rds("subgrp", config.subnet_group.as_deref().unwrap_or("default*"));
    // Of these the defaults are taken.
    let (options, parameters) = (rds("og", "default*"), rds("pg", "default*"));
    let role = config
        .ingestion_role
        .clone()
        .unwrap_or_else(|| format!("arn:{partition}:iam::ACCOUNT:role/INGESTION_ROLE"));
    let mut statements = [scope.reading(), scope.writing()].concat();
    statements.extend([
        json!({
            "Sid": "RestoreLook",
            "Effect": "Allow",
            "Action": [
                "rds:DescribeDBClusters", "rds:DescribeDBInstances", "rds:DescribeEvents",
                "rds:DescribeDBEngineVersions", "rds:DescribeDBSubnetGroups",
                "rds:DescribeDBClusterParameterGroups", "rds:DescribeDBClusterParameters",
                "rds:DescribeEngineDefaultClusterParameters", "rds:ListTagsForResource",
            ],
            "Resource": "*",
        }),
        json!({
            "Sid": "RestoreMake",
            "Effect": "Allow",
            "Action": [
                "rds:RestoreDBClusterFromS3", "rds:CreateDBInstance", "rds:AddTagsToResource",
            ],
            "Resource": [own, instances, group, subnets, options, parameters],
        }),
        json!({
            "Sid": "RestorePassRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role,
            "Condition": { "StringEquals": { "iam:PassedToService": "rds.amazonaws.com" } },
        }),
        json!({
            "Sid": "RestoreUndo",
            "Effect": "Allow",
            "Action": ["rds:DeleteDBInstance", "rds:DeleteDBCluster"],
            // No final snapshot is taken, but DeleteDBCluster asks for that kind of resource too.
            "Resource": [own, instances, rds("cluster-snapshot", &format!("{cluster}*"))],
        }),
    ]);
    if made {
        statements.push(json!({
            "Sid": "RestoreParameters",
            "Effect": "Allow",
            "Action": [
                "rds:CreateDBClusterParameterGroup", "rds:ModifyDBClusterParameterGroup",
                "rds:DeleteDBClusterParameterGroup",
            ],
            "Resource": group,
        }));
    }
    if let Some(key) = config.kms_key.as_deref().filter(|_| config.encrypted) {
        let actions = ["kms:DescribeKey", "kms:CreateGrant"];
        let mut statement = scope.with_key("RestoreStorageKey", &actions, key);
        // China's names end in .cn.
        let through = json!(format!("rds.{region}.amazonaws.com*"));
        statement["Condition"]["StringLike"]["kms:ViaService"] = through;
        statements.push(statement);
    }
    document(statements)
}

/// All three, for people.
pub fn needed(wanted: &Wanted) -> String {
    format!(
        "trust policy of the ingestion role: {}\npermissions of the ingestion role: {}\npermissions of \
         whoever runs daybreak (those called Upload... only where it also uploads): {}",
        trust(),
        ingestion(wanted),
        caller(wanted)
    )
}

impl Restore<'_> {
    /// What IAM must look like belongs to an error about it, where it can be compared.
    pub(super) fn with_policies(&self, error: Error) -> Error {
        let hint = error.next_step().unwrap_or_default();
        let about = error.kind() == Kind::AwsDenied || hint.contains("--policies");
        let needed = needed(self.wanted);
        if !about || hint.contains(&needed) {
            return error;
        }
        let hint = format!("{hint}\n{needed}");
        error.next(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        config::{RestoreConfig, S3Place},
        mysql::Secret,
        target::restore::{BackupFacts, BucketFacts, Pace},
    };

    const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/5678";

    fn wanted() -> Wanted {
        Wanted {
            migration: "m".into(),
            place: S3Place::parse("s3://backups/shop").unwrap(),
            bucket: BucketFacts::default(),
            backup: BackupFacts::default(),
            config: RestoreConfig {
                cluster: Some("shop".into()),
                ingestion_role: Some("arn:aws:iam::123456789012:role/reads".into()),
                ..RestoreConfig::default()
            },
            region: Some("eu-central-1".into()),
            master_user: "admin".into(),
            master_password: Secret::new(""),
            protection: Default::default(),
            port: None,
            settings: Vec::new(),
            decide: None,
            pace: Pace::for_size(0),
        }
    }

    fn statement<'a>(policy: &'a Value, sid: &str) -> Option<&'a Value> {
        policy["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == sid)
    }

    /// The actions, which may be one or a list.
    fn actions(policy: &Value) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for statement in policy["Statement"].as_array().unwrap() {
            match &statement["Action"] {
                Value::String(one) => drop(all.insert(one.clone())),
                list => all.extend(
                    list.as_array().unwrap().iter().map(|action| action.as_str().unwrap().into()),
                ),
            }
        }
        all
    }

    #[test]
    fn the_callers_policy_is_what_is_called_and_no_more() {
        let mut wanted = wanted();
        wanted.bucket.kms_key = Some("1234".into());
        wanted.config.kms_key = Some(ARN.into());
        let policy = caller(&wanted);
        let all: BTreeSet<String> = [
            "iam:PassRole",
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKey",
            "rds:AddTagsToResource",
            "rds:CreateDBClusterParameterGroup",
            "rds:CreateDBInstance",
            "rds:DeleteDBCluster",
            "rds:DeleteDBClusterParameterGroup",
            "rds:DeleteDBInstance",
            "rds:DescribeDBClusterParameterGroups",
            "rds:DescribeDBClusterParameters",
            "rds:DescribeDBClusters",
            "rds:DescribeDBEngineVersions",
            "rds:DescribeDBInstances",
            "rds:DescribeDBSubnetGroups",
            "rds:DescribeEngineDefaultClusterParameters",
            "rds:DescribeEvents",
            "rds:ListTagsForResource",
            "rds:ModifyDBClusterParameterGroup",
            "rds:RestoreDBClusterFromS3",
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:GetBucketLocation",
            "s3:GetEncryptionConfiguration",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:ListBucketMultipartUploads",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
        ]
        .map(String::from)
        .into();
        assert_eq!(actions(&policy), all);
        // Only what changes nothing goes for everything.
        for statement in policy["Statement"].as_array().unwrap() {
            let everything = statement["Resource"] == "*";
            assert_eq!(everything, statement["Sid"] == "RestoreLook", "{statement}");
        }
        let undo = statement(&policy, "RestoreUndo").unwrap();
        assert_eq!(undo["Resource"][0], "arn:aws:rds:eu-central-1:123456789012:cluster:shop");
        assert_eq!(undo["Resource"][1], "arn:aws:rds:eu-central-1:123456789012:db:shop-*");
        let storage = statement(&policy, "RestoreStorageKey").unwrap();
        assert_eq!(storage["Resource"], ARN);
        assert_eq!(
            storage["Condition"]["StringLike"]["kms:ViaService"],
            "rds.eu-central-1.amazonaws.com*"
        );
        // A group that is there is used, and nothing else.
        wanted.config.parameter_group = Some("theirs".into());
        assert!(statement(&caller(&wanted), "RestoreParameters").is_none());
        // An alias and RDS as the way are both conditions.
        wanted.config.kms_key = Some("alias/storage".into());
        let policy = caller(&wanted);
        let condition = &statement(&policy, "RestoreStorageKey").unwrap()["Condition"];
        assert_eq!(condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"], "alias/storage");
        assert_eq!(condition["StringLike"]["kms:ViaService"], "rds.eu-central-1.amazonaws.com*");
    }

    #[test]
    fn the_roles_policy_names_the_key_of_the_objects() {
        let mut wanted = wanted();
        assert!(statement(&ingestion(&wanted), "IngestKey").is_none());
        wanted.bucket.kms_key = Some("1234".into());
        let policy = ingestion(&wanted);
        assert_eq!(
            statement(&policy, "IngestKey").unwrap()["Resource"],
            "arn:aws:kms:eu-central-1:123456789012:key/1234"
        );
        assert_eq!(
            statement(&policy, "IngestObjects").unwrap()["Resource"],
            "arn:aws:s3:::backups/shop/*"
        );
        wanted.bucket.kms_key = Some("alias/shop".into());
        let text = ingestion(&wanted).to_string();
        assert!(text.contains("kms:ResourceAliases") && !text.contains("key/alias"), "{text}");
    }
}
