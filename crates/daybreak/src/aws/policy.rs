//! What IAM must allow for the calls that daybreak makes, as statements of a policy that can be pasted.
//!
//! Nothing here asks IAM: what a caller or a role really may do shows when AWS is asked for something.
//!
//! Source: Service Authorization Reference, *Amazon S3* and *AWS KMS*; S3 User Guide, *Multipart upload
//! API and permissions*; KMS Developer Guide, *Use aliases to control access to KMS keys*.

use serde_json::{Value, json};

use crate::{
    config::S3Place,
    error::{Error, Kind},
};

/// Where the calls go.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The bucket and prefix.
    pub place: &'a S3Place,
    /// The Region.
    pub region: Option<&'a str>,
    /// The account, if it is known.
    pub account: Option<&'a str>,
    /// The KMS key of the objects, if they are encrypted with one: its ARN or id, an alias or its ARN.
    pub key: Option<&'a str>,
}

impl Scope<'_> {
    /// The partition's name in an ARN: China and GovCloud have their own.
    pub fn partition(&self) -> &'static str {
        match self.region {
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The bucket's ARN.
    pub fn bucket(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition(), self.place.bucket)
    }

    /// The ARN of the objects. With the slash at the prefix's end: `shop-old/...` isn't below `shop`.
    pub fn objects(&self) -> String {
        format!("{}/{}", self.bucket(), self.place.key("*"))
    }

    /// What reading takes: HeadBucket, GetBucketLocation, GetBucketEncryption, ListObjectsV2, HeadObject
    /// and GetObject.
    pub fn reading(&self) -> Vec<Value> {
        let mut statements = vec![
            json!({
                "Sid": "ReadBucket",
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetEncryptionConfiguration"],
                "Resource": self.bucket(),
            }),
            json!({
                "Sid": "ReadObjects",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": self.objects(),
            }),
        ];
        statements.extend(self.key.map(|key| self.with_key("ReadKey", &["kms:Decrypt"], key)));
        statements
    }

    /// What an upload takes beside [`Scope::reading`]: ListMultipartUploads, PutObject,
    /// CreateMultipartUpload, UploadPart, CompleteMultipartUpload, ListParts, AbortMultipartUpload and
    /// DeleteObject. Parts are read again by S3 when they are put together: that is why it takes
    /// kms:Decrypt too.
    pub fn writing(&self) -> Vec<Value> {
        let mut statements = vec![
            json!({
                "Sid": "UploadBucket",
                "Effect": "Allow",
                "Action": "s3:ListBucketMultipartUploads",
                "Resource": self.bucket(),
            }),
            json!({
                "Sid": "UploadObjects",
                "Effect": "Allow",
                "Action": [
                    "s3:PutObject", "s3:DeleteObject",
                    "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
                ],
                "Resource": self.objects(),
            }),
        ];
        let key = self.key.map(|key| self.with_key("UploadKey", &["kms:GenerateDataKey"], key));
        statements.extend(key);
        statements
    }

    /// The policy of whoever uploads.
    pub fn upload(&self) -> Value {
        document([self.reading(), self.writing()].concat())
    }

    /// What a KMS key is used for. A statement's resource can be a key and never its alias: where only
    /// that is known, a condition names it.
    pub fn with_key(&self, sid: &str, actions: &[&str], key: &str) -> Value {
        let own = || {
            let (region, account) = (self.region.unwrap_or("*"), self.account.unwrap_or("*"));
            format!("arn:{}:kms:{region}:{account}", self.partition())
        };
        let parts: Vec<&str> = key.splitn(6, ':').collect();
        let (home, name) = match parts.as_slice() {
            ["arn", partition, "kms", region, account, name] => {
                (format!("arn:{partition}:kms:{region}:{account}"), *name)
            }
            _ => (own(), key),
        };
        if name.starts_with("alias/") {
            return json!({
                "Sid": sid,
                "Effect": "Allow",
                "Action": actions,
                "Resource": format!("{home}:key/*"),
                "Condition": { "ForAnyValue:StringEquals": { "kms:ResourceAliases": name } },
            });
        }
        json!({
            "Sid": sid,
            "Effect": "Allow",
            "Action": actions,
            "Resource": format!("{home}:key/{}", name.strip_prefix("key/").unwrap_or(name)),
        })
    }
}

/// A policy of these statements.
pub fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The account that a role's ARN names.
pub fn account_of(role: &str) -> Option<&str> {
    role.split(':').nth(4).filter(|account| !account.is_empty())
}

/// A refusal together with the policy that would do; any other error as it is. `policy` is told the KMS
/// key that AWS names, if it is about one.
pub fn explained(error: Error, policy: impl FnOnce(Option<&str>) -> Value) -> Error {
    if error.kind() != Kind::AwsDenied {
        return error;
    }
    let words = error.causes().join(" ");
    let named = words.split_whitespace().find_map(|word| {
        let arn = &word[word.find("arn:")?..];
        arn.contains(":kms:").then(|| arn.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
    });
    let hint = error.next_step().unwrap_or_default();
    let next = format!("{hint}\npermissions of whoever runs daybreak: {}", policy(named));
    error.next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope<'a>(place: &'a S3Place, key: Option<&'a str>) -> Scope<'a> {
        Scope { place, region: Some("eu-west-1"), account: Some("123456789012"), key }
    }

    #[test]
    fn a_key_is_named_as_iam_can_read_it() {
        let place = S3Place::parse("s3://backups/shop").unwrap();
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234";
        let statement = |key| scope(&place, None).with_key("K", &["kms:Decrypt"], key);
        for key in ["1234", "key/1234", arn] {
            let statement = statement(key);
            assert_eq!(statement["Resource"], arn, "{key}");
            assert!(statement.get("Condition").is_none(), "{statement}");
        }
        for (alias, resource) in [
            ("alias/shop", "arn:aws:kms:eu-west-1:123456789012:key/*"),
            (
                "arn:aws:kms:eu-west-1:999999999999:alias/shop",
                "arn:aws:kms:eu-west-1:999999999999:key/*",
            ),
        ] {
            let statement = statement(alias);
            assert_eq!(statement["Resource"], resource, "{alias}");
            let condition = &statement["Condition"]["ForAnyValue:StringEquals"];
            assert_eq!(condition["kms:ResourceAliases"], "alias/shop", "{statement}");
        }
    }

    #[test]
    fn a_refusal_tells_the_policy_with_the_key_that_aws_names() {
        let place = S3Place::parse("s3://backups/shop").unwrap();
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234";
        let said = format!("not authorized to perform: kms:GenerateDataKey on resource: \"{arn}\"");
        let policy = |key: Option<&str>| scope(&place, key).upload();
        let error = explained(Error::new(Kind::AwsDenied, "no").because(said), policy);
        let wanted = policy(Some(arn)).to_string();
        assert!(error.next_step().unwrap().ends_with(&wanted), "{error}");
        assert!(wanted.contains(arn) && wanted.contains("s3:AbortMultipartUpload"), "{wanted}");
        let other = explained(Error::new(Kind::Aws, "no"), policy);
        assert_eq!(other.next_step(), None);
    }
}
