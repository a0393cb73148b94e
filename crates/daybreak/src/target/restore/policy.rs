//! What IAM must allow, as JSON that can be pasted.

use serde_json::{Value, json};

use super::Wanted;

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

/// The partition's name in an ARN: China and GovCloud have their own.
fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// What the ingestion role must be allowed.
pub fn ingestion(wanted: &Wanted) -> Value {
    let partition = partition(wanted.region.as_deref());
    let bucket = format!("arn:{partition}:s3:::{}", wanted.place.bucket);
    let mut statements = vec![
        json!({
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": bucket,
        }),
        json!({
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": format!("{bucket}/{}*", wanted.place.prefix),
        }),
    ];
    if let Some(key) = &wanted.bucket.kms_key {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": key_arn(key, partition, wanted.region.as_deref()),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn key_arn(key: &str, partition: &str, region: Option<&str>) -> String {
    match key.starts_with("arn:") {
        true => key.to_string(),
        false => format!("arn:{partition}:kms:{}:*:key/{key}", region.unwrap_or("*")),
    }
}

/// What whoever runs daybreak must be allowed.
pub fn caller(wanted: &Wanted) -> Value {
    let partition = partition(wanted.region.as_deref());
    let role = wanted
        .config
        .ingestion_role
        .clone()
        .unwrap_or_else(|| format!("arn:{partition}:iam::ACCOUNT:role/INGESTION_ROLE"));
    let mut statements = vec![
        json!({
            "Effect": "Allow",
            "Action": [
                "rds:RestoreDBClusterFromS3", "rds:CreateDBInstance",
                "rds:DescribeDBClusters", "rds:DescribeDBInstances", "rds:DescribeEvents",
                "rds:DescribeDBEngineVersions", "rds:DescribeDBSubnetGroups",
                "rds:CreateDBClusterParameterGroup", "rds:ModifyDBClusterParameterGroup",
                "rds:DescribeDBClusterParameterGroups", "rds:DescribeDBClusterParameters",
                "rds:DescribeEngineDefaultClusterParameters",
                "rds:DeleteDBInstance", "rds:DeleteDBCluster", "rds:DeleteDBClusterParameterGroup",
                "rds:AddTagsToResource", "rds:ListTagsForResource",
            ],
            "Resource": "*",
        }),
        json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role,
            "Condition": { "StringEquals": { "iam:PassedToService": "rds.amazonaws.com" } },
        }),
        json!({ "Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*" }),
        json!({
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": format!("arn:{partition}:s3:::{}", wanted.place.bucket),
        }),
    ];
    if let Some(key) = &wanted.config.kms_key {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["kms:DescribeKey", "kms:CreateGrant"],
            "Resource": key_arn(key, partition, wanted.region.as_deref()),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// All three, for people.
pub fn needed(wanted: &Wanted) -> String {
    format!(
        "trust policy of the ingestion role: {}\npermissions of the ingestion role: {}\npermissions of \
         whoever runs daybreak: {}",
        trust(),
        ingestion(wanted),
        caller(wanted)
    )
}
