//! What RDS's errors mean for us: the kind, and what to do next.

use aws_sdk_rds::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{aws::error::failure, error::Error};

/// The code of an error that RDS answered with.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Turns an error of the SDK into ours; `doing` is what was being asked, as a clause.
pub(super) fn map<E>(error: SdkError<E, HttpResponse>, doing: &str, place: &str) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let remedy = error
        .as_service_error()
        .and_then(|said| next(said.code().unwrap_or_default(), said.message().unwrap_or_default()));
    let error = failure(error, format!("{doing} failed")).at(place);
    match remedy {
        Some(remedy) => error.next(remedy),
        None => error,
    }
}

/// What to do about a code.
///
/// Source: the RDS API reference, *RestoreDBClusterFromS3*, *CreateDBInstance*; what all services answer
/// alike is known to [`failure`].
fn next(code: &str, message: &str) -> Option<String> {
    // RDS words what IAM lacks in the message, under several codes.
    if message.contains("iam:PassRole") {
        return Some(
            "whoever runs daybreak must be allowed iam:PassRole on the ingestion role; `daybreak restore \
             --policies` prints the policy"
                .into(),
        );
    }
    if message.contains("IAM role ARN") || message.contains("ingestion role") {
        return Some(
            "the ingestion role must exist, trust rds.amazonaws.com and read the bucket; `daybreak \
             restore --policies` prints its trust and permission policies"
                .into(),
        );
    }
    Some(
        match code {
            "InvalidS3BucketFault" => {
                "the bucket must exist in the cluster's Region, hold objects under the prefix, and the \
                 ingestion role must be able to list and read it; `daybreak restore --policies` prints \
                 its policies"
            }
            "AccessDenied" | "AccessDeniedException" | "AccessDeniedFault" | "UnauthorizedOperation"
            | "NotAuthorized" => {
                "whoever runs daybreak lacks a permission: `daybreak restore --policies` prints all that \
                 it needs"
            }
            "DBClusterAlreadyExistsFault" => {
                "a cluster of that identifier is there: the same command again goes on with it if it is this \
                 migration's; if it isn't, choose another one (cluster in [restore], or --cluster)"
            }
            "DBInstanceAlreadyExists" => {
                "an instance of that identifier is there: the same command again goes on with it if it is \
                 this migration's; if it isn't, choose another cluster identifier, from which it comes"
            }
            "DBParameterGroupAlreadyExists" | "DBParameterGroupAlreadyExistsFault" => {
                "a cluster parameter group of that name is there: the same command again goes on with it if \
                 it is this migration's; if it isn't, choose another cluster identifier, from which its name \
                 comes, or name a group (parameter_group in [restore])"
            }
            "DBClusterQuotaExceededFault" | "InstanceQuotaExceeded" | "StorageQuotaExceeded"
            | "DBClusterParameterGroupQuotaExceeded" | "DBParameterGroupQuotaExceeded" => {
                "the account's quota is used up: delete what isn't needed, or ask for more under Service \
                 Quotas, Amazon RDS"
            }
            "InvalidSubnet" | "DBSubnetGroupNotFoundFault" | "DBSubnetGroupDoesNotCoverEnoughAZs"
            | "InvalidDBSubnetGroupStateFault" | "InvalidVPCNetworkStateFault" => {
                "the DB subnet group must exist and have subnets in at least two Availability Zones of \
                 one VPC: name another one (subnet_group in [restore])"
            }
            "KMSKeyNotAccessibleFault" => {
                "the KMS key must exist in the Region, be enabled, and its policy must let whoever runs \
                 daybreak use it (kms:DescribeKey, kms:CreateGrant)"
            }
            "DBClusterParameterGroupNotFound" | "DBParameterGroupNotFound" => {
                "name a cluster parameter group that exists (parameter_group in [restore]), or none, and \
                 one is made"
            }
            "InsufficientDBInstanceCapacity" | "InsufficientStorageClusterCapacity" => {
                "AWS has no such capacity there now: another instance class or zone, or later"
            }
            "InvalidParameterValue" if message.to_ascii_lowercase().contains("password") => {
                "the master password must have 8 to 41 printable characters, without / \" @ or space"
            }
            _ => return None,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_way_out() {
        for (code, message, words) in [
            ("InvalidS3BucketFault", "no", "Region"),
            (
                "AccessDenied",
                "User: x is not authorized to perform: iam:PassRole on resource: y",
                "PassRole",
            ),
            (
                "InvalidParameterValue",
                "IAM role ARN value is invalid or does not include the required permissions",
                "trust rds.amazonaws.com",
            ),
            (
                "AccessDenied",
                "User: x is not authorized to perform: rds:CreateDBInstance",
                "--policies",
            ),
            ("DBClusterAlreadyExistsFault", "", "another one"),
            ("DBParameterGroupAlreadyExists", "", "goes on with it"),
            ("DBClusterQuotaExceededFault", "", "Service Quotas"),
            ("InvalidSubnet", "", "two Availability Zones"),
        ] {
            let remedy = next(code, message).unwrap_or_default();
            assert!(remedy.contains(words), "{code}: {remedy}");
        }
        assert_eq!(next("Throttling", "Rate exceeded"), None);
    }
}
