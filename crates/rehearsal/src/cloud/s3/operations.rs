//! The operations that an upload and a restore use, as S3 answers them.

use std::{fs, os::unix::fs::FileExt as _, sync::Arc};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use futures_util::stream;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use sha2::{Digest as _, Sha256};

use super::{
    Received,
    store::{About, Part as StoredPart, Store, Taken, Upload, base64, etag},
};

/// The smallest part, but for the last one.
const MIN_PART: u64 = 5 << 20;
/// How many entries a page holds.
const PAGE: usize = 1000;

pub(super) struct Operations(pub Arc<Store>);

impl Operations {
    /// Whether the bucket is there, and here.
    fn enter<T>(&self, request: &S3Request<T>, bucket: &str) -> S3Result<()> {
        let faults = self.0.faults();
        if faults.denied {
            return Err(s3_error!(
                AccessDenied,
                "User: arn:aws:iam::123456789012:user/operator is not authorized to perform this \
                 operation because no identity-based policy allows it"
            ));
        }
        if faults.vanished || !self.0.has_bucket(bucket) {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"));
        }
        let home = faults.elsewhere.as_deref().unwrap_or(&self.0.region);
        let asked = request.region.as_ref().map(|region| region.as_str());
        if asked.is_some_and(|asked| asked != home) {
            let mut error = S3Error::with_message(
                S3ErrorCode::PermanentRedirect,
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            );
            error.set_status_code(StatusCode::MOVED_PERMANENTLY);
            let mut headers = HeaderMap::new();
            if let Ok(home) = HeaderValue::from_str(home) {
                headers.insert("x-amz-bucket-region", home);
            }
            error.set_headers(headers);
            return Err(error);
        }
        Ok(())
    }

    /// How an object will be encrypted.
    fn encryption(
        &self,
        asked: Option<&ServerSideEncryption>,
        key: Option<&String>,
    ) -> S3Result<About> {
        let default = self.0.faults().default_encryption.clone();
        let encryption = asked
            .map(|asked| asked.as_str().to_string())
            .or(default)
            .unwrap_or_else(|| "AES256".to_string());
        if !["AES256", "aws:kms", "aws:kms:dsse"].contains(&encryption.as_str()) {
            return Err(s3_error!(
                InvalidArgument,
                "The encryption method specified is not supported"
            ));
        }
        self.0.check_kms(key.map(String::as_str))?;
        let kms_key = encryption.starts_with("aws:kms").then(|| {
            let key = key.map_or("aws/s3", String::as_str);
            match key.starts_with("arn:") {
                true => key.to_string(),
                false => format!("arn:aws:kms:{}:123456789012:key/{key}", self.0.region),
            }
        });
        Ok(About { encryption, kms_key, ..About::default() })
    }

    async fn slowly(&self) {
        let delay = self.0.faults().delay;
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
    }
}

/// Whether the bytes are those that the client meant. Trailers come after the body.
fn check_digest(
    taken: &Taken,
    sha256: Option<&String>,
    crc32: Option<&String>,
    trailers: Option<HeaderMap>,
) -> S3Result<()> {
    let trailer = |name: &str| trailers.as_ref()?.get(name)?.to_str().ok().map(str::to_string);
    let sha256 = sha256.cloned().or_else(|| trailer("x-amz-checksum-sha256"));
    let crc32 = crc32.cloned().or_else(|| trailer("x-amz-checksum-crc32"));
    let wrong = sha256.is_some_and(|said| said != base64(&taken.digest))
        || crc32.is_some_and(|said| said != base64(&taken.crc32.to_be_bytes()));
    if wrong {
        let _gone = fs::remove_file(&taken.path);
        return Err(s3_error!(
            BadDigest,
            "The checksum you specified did not match what we received."
        ));
    }
    Ok(())
}

fn sse(about: &About) -> Option<ServerSideEncryption> {
    Some(ServerSideEncryption::from(about.encryption.clone()))
}

fn io(error: std::io::Error) -> S3Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => s3_error!(NoSuchKey, "The specified key does not exist."),
        _ => S3Error::internal_error(error),
    }
}

#[async_trait]
impl S3 for Operations {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.enter(&request, &request.input.bucket)?;
        let region = self.0.faults().elsewhere.clone().unwrap_or_else(|| self.0.region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(region), ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.enter(&request, &request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: Some(BucketLocationConstraint::from(self.0.region.clone())),
        }))
    }

    async fn get_bucket_encryption(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        self.enter(&request, &request.input.bucket)?;
        let about = self.encryption(None, None)?;
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                kms_master_key_id: about.kms_key.clone(),
                sse_algorithm: ServerSideEncryption::from(about.encryption),
            }),
            bucket_key_enabled: None,
        };
        Ok(S3Response::new(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
                rules: vec![rule],
            }),
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone());
        let most = input.max_keys.map_or(PAGE, |most| usize::try_from(most).unwrap_or(0).min(PAGE));
        let after = after.unwrap_or_default();
        // One more tells whether there is another page.
        let mut found = self.0.list(&input.bucket, &prefix, &after, most + 1)?;
        let truncated = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| truncated).map(|(key, _)| key.clone());
        let contents: Vec<Object> = found
            .into_iter()
            .map(|(key, size)| Object {
                e_tag: Some(ETag::Strong(self.0.about(&input.bucket, &key).etag)),
                key: Some(key),
                size: Some(size as i64),
                ..Default::default()
            })
            .collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: input.prefix.clone(),
            key_count: Some(contents.len() as i32),
            max_keys: Some(most as i32),
            is_truncated: Some(truncated),
            next_continuation_token: next,
            contents: Some(contents),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let metadata = fs::metadata(self.0.path(&input.bucket, &input.key)?).map_err(io)?;
        if metadata.is_dir() {
            return Err(s3_error!(NoSuchKey));
        }
        let about = self.0.about(&input.bucket, &input.key);
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(metadata.len() as i64),
            checksum_sha256: about.sha256.clone().filter(|_| input.checksum_mode.is_some()),
            e_tag: Some(ETag::Strong(about.etag.clone())),
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key,
            last_modified: metadata.modified().ok().map(Timestamp::from),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let file = fs::File::open(self.0.path(&input.bucket, &input.key)?).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let range = match &input.range {
            Some(range) => range.check(size).map_err(|_| s3_error!(InvalidRange))?,
            None => 0..size,
        };
        let about = self.0.about(&input.bucket, &input.key);
        let body = stream::unfold((file, range.start, range.end), |(file, at, end)| async move {
            if at >= end {
                return None;
            }
            let mut bytes = vec![0; (end - at).min(256 * 1024) as usize];
            let read = file.read_exact_at(&mut bytes, at);
            let next = at + bytes.len() as u64;
            Some((read.map(|()| bytes::Bytes::from(bytes)), (file, next, end)))
        });
        let content_range = input
            .range
            .is_some()
            .then(|| format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(SyncStream(std::sync::Mutex::new(Box::pin(body))))),
            content_length: Some((range.end - range.start) as i64),
            content_range,
            e_tag: Some(ETag::Strong(about.etag.clone())),
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key,
            ..Default::default()
        }))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let _work = self.0.work();
        self.enter(&request, &request.input.bucket)?;
        let trailers = request.trailing_headers.clone();
        let input = request.input;
        let mut about =
            self.encryption(input.server_side_encryption.as_ref(), input.ssekms_key_id.as_ref())?;
        let taken = self.0.take(input.body, input.content_length).await?;
        self.slowly().await;
        if let Err(refused) = self.0.slow_down() {
            let _gone = fs::remove_file(&taken.path);
            return Err(refused);
        }
        check_digest(
            &taken,
            input.checksum_sha256.as_ref(),
            input.checksum_crc32.as_ref(),
            trailers.and_then(|trailers| trailers.take()),
        )?;
        about.sha256 = Some(base64(&taken.digest));
        about.etag = etag(&taken.digest);
        self.0.publish(&input.bucket, &input.key, &taken.path, about.clone())?;
        self.0.count_received(Received {
            key: input.key,
            upload: None,
            number: 0,
            size: taken.size,
        });
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(about.etag.clone())),
            checksum_sha256: about.sha256.clone(),
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key,
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        match fs::remove_file(self.0.path(&input.bucket, &input.key)?) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => self.0.forget(&input.bucket, &input.key),
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.enter(&request, &request.input.bucket)?;
        let input = request.input;
        self.0.path(&input.bucket, &input.key)?;
        let about =
            self.encryption(input.server_side_encryption.as_ref(), input.ssekms_key_id.as_ref())?;
        let id = self.0.new_id();
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(id.clone()),
            checksum_algorithm: input.checksum_algorithm,
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key.clone(),
            ..Default::default()
        };
        let upload = Upload {
            bucket: input.bucket,
            key: input.key,
            about,
            parts: Default::default(),
            completing: false,
        };
        self.0.uploads().insert(id, upload);
        Ok(S3Response::new(output))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let _work = self.0.work();
        self.enter(&request, &request.input.bucket)?;
        let trailers = request.trailing_headers.clone();
        let input = request.input;
        if !(1..=10_000).contains(&input.part_number) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            ));
        }
        let known = self.0.uploads().get(&input.upload_id).map(|upload| upload.about.clone());
        let about = known.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let taken = self.0.take(input.body, input.content_length).await?;
        self.slowly().await;
        if let Err(refused) = self.0.slow_down() {
            let _gone = fs::remove_file(&taken.path);
            return Err(refused);
        }
        check_digest(
            &taken,
            input.checksum_sha256.as_ref(),
            input.checksum_crc32.as_ref(),
            trailers.and_then(|trailers| trailers.take()),
        )?;
        let etag = etag(&taken.digest);
        {
            let mut uploads = self.0.uploads();
            let upload =
                uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
            let path = self.0.part_path(&input.upload_id, input.part_number)?;
            fs::rename(&taken.path, path).map_err(S3Error::internal_error)?;
            let part = StoredPart { size: taken.size, digest: taken.digest, etag: etag.clone() };
            upload.parts.insert(input.part_number, part);
        }
        self.0.count_received(Received {
            key: input.key,
            upload: Some(input.upload_id),
            number: input.part_number,
            size: taken.size,
        });
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_sha256: Some(base64(&taken.digest)),
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key,
            ..Default::default()
        }))
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let uploads = self.0.uploads();
        let upload = uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let after = input.part_number_marker.unwrap_or(0);
        let most =
            input.max_parts.map_or(PAGE, |most| usize::try_from(most).unwrap_or(0).min(PAGE));
        let mut parts: Vec<Part> = upload
            .parts
            .range(after + 1..)
            .map(|(number, part)| Part {
                part_number: Some(*number),
                size: Some(part.size as i64),
                e_tag: Some(ETag::Strong(part.etag.clone())),
                checksum_sha256: Some(base64(&part.digest)),
                ..Default::default()
            })
            .collect();
        let truncated = parts.len() > most;
        parts.truncate(most);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(input.upload_id.clone()),
            is_truncated: Some(truncated),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            parts: Some(parts),
            ..Default::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut uploads: Vec<MultipartUpload> = self
            .0
            .uploads()
            .iter()
            .filter(|(_, upload)| upload.bucket == input.bucket && upload.key.starts_with(&prefix))
            .map(|(id, upload)| MultipartUpload {
                key: Some(upload.key.clone()),
                upload_id: Some(id.clone()),
                ..Default::default()
            })
            .collect();
        uploads.sort_by(|a, b| (&a.key, &a.upload_id).cmp(&(&b.key, &b.upload_id)));
        let after = (input.key_marker.clone(), input.upload_id_marker.clone());
        if after.0.is_some() {
            uploads.retain(|upload| (&upload.key, &upload.upload_id) > (&after.0, &after.1));
        }
        let truncated = uploads.len() > PAGE;
        uploads.truncate(PAGE);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            prefix: input.prefix.clone(),
            is_truncated: Some(truncated),
            next_key_marker: uploads.last().and_then(|upload| upload.key.clone()),
            next_upload_id_marker: uploads.last().and_then(|upload| upload.upload_id.clone()),
            uploads: Some(uploads),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let work = self.0.work();
        self.enter(&request, &request.input.bucket)?;
        let input = request.input;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let upload = self.0.uploads().get(&input.upload_id).cloned();
        let upload = upload
            .filter(|upload| upload.bucket == input.bucket && upload.key == input.key)
            .ok_or_else(|| s3_error!(NoSuchUpload))?;
        let mut digests = Sha256::new();
        let mut numbers = Vec::new();
        for (at, part) in named.iter().enumerate() {
            let number = part.part_number.unwrap_or(0);
            if numbers.last().is_some_and(|last| *last >= number) {
                return Err(s3_error!(InvalidPartOrder));
            }
            let had = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
            let same_tag = part.e_tag.as_ref().is_some_and(|tag| tag.value() == had.etag);
            let same_sum =
                part.checksum_sha256.as_ref().is_none_or(|sum| *sum == base64(&had.digest));
            if !same_tag || !same_sum {
                return Err(s3_error!(InvalidPart));
            }
            if had.size < MIN_PART && at + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            digests.update(had.digest);
            numbers.push(number);
        }
        if numbers.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        {
            let mut uploads = self.0.uploads();
            let upload =
                uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
            if std::mem::replace(&mut upload.completing, true) {
                return Err(s3_error!(OperationAborted, "A conflicting operation is in progress"));
            }
        }
        let digest: [u8; 32] = digests.finalize().into();
        let mut about = upload.about;
        about.sha256 = Some(format!("{}-{}", base64(&digest), numbers.len()));
        about.etag = format!("{}-{}", etag(&digest), numbers.len());
        let store = self.0.clone();
        let (id, bucket, key) = (input.upload_id, input.bucket.clone(), input.key.clone());
        let kept = about.clone();
        // It goes on when the client goes away, as in S3; the upload is there until the object is.
        let joined = tokio::task::spawn_blocking(move || {
            let whole = store.join(&id, &numbers)?;
            store.publish(&bucket, &key, &whole, kept)?;
            store.uploads().remove(&id);
            drop(work);
            Ok::<_, S3Error>(())
        });
        joined.await.map_err(S3Error::internal_error)??;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(about.etag.clone())),
            checksum_sha256: about.sha256.clone(),
            server_side_encryption: sse(&about),
            ssekms_key_id: about.kms_key,
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = &request.input;
        self.enter(&request, &input.bucket)?;
        let upload = self.0.uploads().remove(&input.upload_id);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        for number in upload.parts.keys() {
            let _gone = fs::remove_file(self.0.part_path(&input.upload_id, *number)?);
        }
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

type Pieces =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>;

/// A stream that only one task polls, where `Sync` is asked for.
struct SyncStream(std::sync::Mutex<Pieces>);

impl futures_util::Stream for SyncStream {
    type Item = std::io::Result<bytes::Bytes>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut pieces = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pieces.as_mut().poll_next(context)
    }
}
