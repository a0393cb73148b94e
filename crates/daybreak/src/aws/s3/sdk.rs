//! [`ObjectStore`] over the AWS SDK.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata as _,
    types::{
        ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart,
        ServerSideEncryption,
    },
};
use tokio::io::AsyncRead;

use super::{
    AtRest, Begun, Bucket, Head, Listed, ObjectStore, Page, Part, Payload,
    body::{self, Bandwidth},
};
use crate::{
    aws::error::{failure, status},
    config::{AwsConfig, Encryption},
    error::{Error, Kind, Result},
};

/// The slowest link that a part is waited for on, in bytes a second.
const SLOWEST: u64 = 32 * 1024;
/// How long an object of many parts may take to be put together.
const COMPLETE: Duration = Duration::from_secs(15 * 60);

/// S3 through the AWS SDK.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    bandwidth: Option<Arc<Bandwidth>>,
}

impl S3 {
    /// A client of S3. `bandwidth` bounds what all its requests send together, in bytes a second.
    pub fn new(sdk: &SdkConfig, config: &AwsConfig, bandwidth: Option<u64>) -> Self {
        // Retries are the caller's: it shows them, and stops when asked to.
        let mut builder = Builder::from(sdk).retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &config.endpoint_s3 {
            builder = builder.endpoint_url(endpoint).force_path_style(true);
        }
        S3 {
            client: Client::from_conf(builder.build()),
            bandwidth: bandwidth.map(|limit| Arc::new(Bandwidth::new(limit))),
        }
    }

    /// The Region that requests are signed for.
    pub fn region(&self) -> Option<String> {
        self.client.config().region().map(ToString::to_string)
    }

    /// What a refusal is about. An answer to HEAD has no body that could say so: another question is
    /// asked that needs the same right (s3:ListBucket).
    async fn why_not(&self, bucket: &str) -> Option<Error> {
        let listed = self.client.list_objects_v2().bucket(bucket).max_keys(1).send().await;
        let told = failure(listed.err()?, "the bucket can't be used");
        let words = format!("HTTP 403: {}", told.causes().join(": "));
        let error = Error::new(told.kind(), told.what()).because(words);
        Some(match told.next_step() {
            Some(next) => error.next(next),
            None => error,
        })
    }

    /// Enough time for a body, even where the bandwidth is shared by many.
    fn time_for(&self, length: u64) -> Builder {
        let slowest = match &self.bandwidth {
            Some(bandwidth) => (bandwidth.per_second() / 256).clamp(1, SLOWEST),
            None => SLOWEST,
        };
        allow(Duration::from_secs(120 + length / slowest))
    }
}

fn allow(time: Duration) -> Builder {
    Builder::new().timeout_config(TimeoutConfig::builder().operation_attempt_timeout(time).build())
}

fn place(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

fn wanted(encryption: &Encryption) -> (Option<ServerSideEncryption>, Option<String>) {
    match encryption {
        Encryption::Bucket => (None, None),
        Encryption::S3 => (Some(ServerSideEncryption::Aes256), None),
        Encryption::Kms(key) => (Some(ServerSideEncryption::AwsKms), Some(key.clone())),
    }
}

fn at_rest(algorithm: &ServerSideEncryption, key: Option<&str>) -> AtRest {
    match algorithm {
        ServerSideEncryption::Aes256 => AtRest::S3,
        ServerSideEncryption::AwsKms => AtRest::Kms(key.map(str::to_string)),
        other => AtRest::Other(other.as_str().to_string()),
    }
}

/// A size that S3 tells.
fn size(given: Option<i64>) -> Result<u64> {
    given.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| odd("a size"))
}

fn odd(what: &str) -> Error {
    Error::new(Kind::Aws, format!("S3's answer lacks {what}"))
        .next("check that the endpoint in [aws] is S3, or does as S3 does")
}

fn number(part: u32) -> i32 {
    // At most 10,000.
    i32::try_from(part).unwrap_or(i32::MAX)
}

#[async_trait]
impl ObjectStore for S3 {
    async fn bucket(&self, bucket: &str) -> Result<Bucket> {
        let at = |error: Error| error.at(place(bucket, ""));
        let head = match self.client.head_bucket().bucket(bucket).send().await {
            Ok(head) => head,
            Err(error) if status(&error) == Some(404) => {
                return Err(at(Error::new(Kind::Aws, "there is no such bucket").next(
                    "check the bucket's name, and the account of the credentials; a bucket must be \
                     there before an upload, in the cluster's Region",
                )));
            }
            Err(error) if status(&error) == Some(403) => {
                let error = failure(error, "the bucket can't be used");
                return Err(at(self.why_not(bucket).await.unwrap_or(error)));
            }
            Err(error) => return Err(at(failure(error, "the bucket can't be used"))),
        };
        let region = match head.bucket_region() {
            Some(region) => Some(region.to_string()),
            None => {
                let found = self.client.get_bucket_location().bucket(bucket).send().await;
                let found = found
                    .map_err(|error| at(failure(error, "the bucket's Region can't be had")))?;
                Some(match found.location_constraint().map(|region| region.as_str()) {
                    None | Some("") => "us-east-1".to_string(),
                    Some("EU") => "eu-west-1".to_string(),
                    Some(region) => region.to_string(),
                })
            }
        };
        let encryption = match self.client.get_bucket_encryption().bucket(bucket).send().await {
            Ok(found) => found
                .server_side_encryption_configuration()
                .and_then(|configuration| configuration.rules().first())
                .and_then(|rule| rule.apply_server_side_encryption_by_default())
                .map(|default| at_rest(default.sse_algorithm(), default.kms_master_key_id())),
            // May not be asked, or isn't set: what objects get is looked at afterwards.
            Err(error)
                if matches!(status(&error), Some(403 | 404 | 501))
                    && error.code() != Some("NoSuchBucket") =>
            {
                None
            }
            Err(error) => {
                return Err(at(failure(error, "the bucket's encryption can't be had")));
            }
        };
        Ok(Bucket { region, encryption })
    }

    async fn list(&self, bucket: &str, prefix: &str, page: Option<String>) -> Result<Page> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_continuation_token(page)
            .send()
            .await
            .map_err(|error| {
                failure(error, "the bucket could not be listed").at(place(bucket, prefix))
            })?;
        let objects = listed
            .contents()
            .iter()
            .map(|object| {
                Ok(Listed {
                    key: object.key().ok_or_else(|| odd("a key"))?.to_string(),
                    size: size(object.size())?,
                })
            })
            .collect::<Result<_>>()?;
        let next = match listed.is_truncated() {
            Some(true) => {
                let token = listed.next_continuation_token().map(str::to_string);
                Some(token.ok_or_else(|| odd("the next page"))?)
            }
            _ => None,
        };
        Ok(Page { objects, next })
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Head>> {
        let asked = self
            .client
            .head_object()
            .bucket(bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match asked {
            Ok(head) => Ok(Some(Head {
                size: size(head.content_length())?,
                sha256: head.checksum_sha256().map(str::to_string),
                etag: head.e_tag().map(str::to_string),
                encryption: head
                    .server_side_encryption()
                    .map(|algorithm| at_rest(algorithm, head.ssekms_key_id())),
            })),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => {
                let denied = status(&error) == Some(403);
                let error = failure(error, "an object could not be asked for");
                // The answer to HEAD says no more than that: where the bucket can be used it is the object.
                let error = match denied {
                    true => self.why_not(bucket).await.unwrap_or_else(|| {
                        Error::new(Kind::AwsDenied, error.what())
                            .because(error.causes().join(": "))
                            .next("allow the caller s3:GetObject, and kms:Decrypt on the object's KMS key")
                    }),
                    false => error,
                };
                Err(error.at(place(bucket, key)))
            }
        }
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Range<u64>,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
        let last = range.end.saturating_sub(1);
        let got = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .range(format!("bytes={}-{last}", range.start))
            .send()
            .await
            .map_err(|error| {
                failure(error, "an object could not be read").at(place(bucket, key))
            })?;
        Ok(Box::new(Box::pin(got.body.into_async_read())))
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        payload: Payload,
        sha256: &str,
        encryption: &Encryption,
    ) -> Result<()> {
        let (algorithm, kms_key) = wanted(encryption);
        let length = payload.len();
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .content_length(size_of(length))
            .checksum_sha256(sha256)
            .set_server_side_encryption(algorithm)
            .set_ssekms_key_id(kms_key)
            .body(body::body(payload, self.bandwidth.clone()))
            .customize()
            // The digest is in a header that is signed: what it covers needs no second one.
            .disable_payload_signing()
            .config_override(self.time_for(length))
            .send()
            .await
            .map(drop)
            .map_err(|error| failure(error, "an object could not be sent").at(place(bucket, key)))
    }

    async fn create(&self, bucket: &str, key: &str, encryption: &Encryption) -> Result<String> {
        let (algorithm, kms_key) = wanted(encryption);
        let created = self
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_server_side_encryption(algorithm)
            .set_ssekms_key_id(kms_key)
            .send()
            .await
            .map_err(|error| {
                failure(error, "an upload could not be begun").at(place(bucket, key))
            })?;
        created.upload_id().map(str::to_string).ok_or_else(|| odd("the upload's id"))
    }

    async fn part(
        &self,
        (bucket, begun): (&str, &Begun),
        part: u32,
        payload: Payload,
        sha256: &str,
    ) -> Result<String> {
        let length = payload.len();
        let sent = self
            .client
            .upload_part()
            .bucket(bucket)
            .key(&begun.key)
            .upload_id(&begun.id)
            .part_number(number(part))
            .content_length(size_of(length))
            .checksum_sha256(sha256)
            .body(body::body(payload, self.bandwidth.clone()))
            .customize()
            // As in `put`.
            .disable_payload_signing()
            .config_override(self.time_for(length))
            .send()
            .await
            .map_err(|error| {
                failure(error, format!("part {part} could not be sent"))
                    .at(place(bucket, &begun.key))
            })?;
        sent.e_tag().map(str::to_string).ok_or_else(|| odd("the part's entity tag"))
    }

    async fn parts(&self, bucket: &str, begun: &Begun) -> Result<Option<Vec<Part>>> {
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let listed = self
                .client
                .list_parts()
                .bucket(bucket)
                .key(&begun.key)
                .upload_id(&begun.id)
                .set_part_number_marker(marker.take())
                .send()
                .await;
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) if error.code() == Some("NoSuchUpload") => return Ok(None),
                Err(error) => {
                    return Err(failure(error, "the parts of an upload could not be listed")
                        .at(place(bucket, &begun.key)));
                }
            };
            for part in listed.parts() {
                let number = part.part_number().and_then(|number| u32::try_from(number).ok());
                parts.push(Part {
                    number: number.ok_or_else(|| odd("a part's number"))?,
                    size: size(part.size())?,
                    // Without one the part can't be told from another: it is sent again.
                    sha256: part.checksum_sha256().unwrap_or_default().to_string(),
                    etag: part.e_tag().ok_or_else(|| odd("a part's entity tag"))?.to_string(),
                });
            }
            match listed.next_part_number_marker() {
                Some(next) if listed.is_truncated() == Some(true) => {
                    marker = Some(next.to_string());
                }
                _ => break,
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    }

    async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Begun>> {
        let mut uploads = Vec::new();
        let mut markers = (None, None);
        loop {
            let listed = self
                .client
                .list_multipart_uploads()
                .bucket(bucket)
                .prefix(prefix)
                .set_key_marker(markers.0.take())
                .set_upload_id_marker(markers.1.take())
                .send()
                .await
                .map_err(|error| {
                    failure(error, "uploads under way could not be listed")
                        .at(place(bucket, prefix))
                })?;
            for upload in listed.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                    uploads.push(Begun { key: key.to_string(), id: id.to_string() });
                }
            }
            if listed.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            markers = (
                listed.next_key_marker().map(str::to_string),
                listed.next_upload_id_marker().map(str::to_string),
            );
            if markers.0.is_none() {
                return Err(odd("the next page"));
            }
        }
    }

    async fn complete(&self, bucket: &str, begun: &Begun, parts: &[Part]) -> Result<bool> {
        let parts = parts
            .iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(number(part.number))
                    .e_tag(&part.etag)
                    .checksum_sha256(&part.sha256)
                    .build()
            })
            .collect();
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(&begun.key)
            .upload_id(&begun.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            .config_override(allow(COMPLETE))
            .send()
            .await;
        match completed {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(false),
            Err(error) => Err(failure(error, "an object could not be put together from its parts")
                .at(place(bucket, &begun.key))),
        }
    }

    async fn abort(&self, bucket: &str, begun: &Begun) -> Result<()> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(bucket)
            .key(&begun.key)
            .upload_id(&begun.id)
            .send()
            .await;
        match aborted {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => {
                Err(failure(error, "an upload could not be given up").at(place(bucket, &begun.key)))
            }
        }
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.client.delete_object().bucket(bucket).key(key).send().await.map(drop).map_err(
            |error| failure(error, "an object could not be deleted").at(place(bucket, key)),
        )
    }
}

fn size_of(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
