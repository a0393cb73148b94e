//! Objects as files, and what S3 knows of them beside their bytes.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::StreamExt as _;
use s3s::{S3Error, S3ErrorCode, S3Result, dto::StreamingBlob, s3_error};
use sha2::{Digest as _, Sha256};

use super::{Faults, Received};

/// What S3 keeps of an object.
#[derive(Debug, Clone, Default)]
pub(in crate::cloud) struct About {
    pub sha256: Option<String>,
    pub etag: String,
    pub encryption: String,
    pub kms_key: Option<String>,
}

/// A part that was taken.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub size: u64,
    pub digest: [u8; 32],
    pub etag: String,
}

/// An upload under way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub bucket: String,
    pub key: String,
    pub about: About,
    pub parts: BTreeMap<i32, Part>,
    /// It is being made an object.
    pub completing: bool,
}

/// The endpoint's state.
pub(in crate::cloud) struct Store {
    root: PathBuf,
    pub(super) region: String,
    faults: Mutex<Faults>,
    about: Mutex<HashMap<(String, String), About>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
    received: Mutex<Vec<Received>>,
    count: AtomicU64,
    refused: AtomicU64,
    at_work: AtomicUsize,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that is being worked on.
pub(super) struct AtWork(Arc<Store>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Bytes that were taken into a file that isn't an object yet.
pub(super) struct Taken {
    pub path: PathBuf,
    pub size: u64,
    pub digest: [u8; 32],
    pub crc32: u32,
}

impl Store {
    pub fn new(root: &Path, region: &str) -> Self {
        Store {
            root: root.to_path_buf(),
            region: region.to_string(),
            faults: Mutex::default(),
            about: Mutex::default(),
            uploads: Mutex::default(),
            received: Mutex::default(),
            count: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            at_work: AtomicUsize::new(0),
            next: AtomicU64::new(0),
        }
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    pub fn at_work(&self) -> usize {
        self.at_work.load(Ordering::SeqCst)
    }

    pub fn under_way(&self) -> Vec<(String, String)> {
        lock(&self.uploads)
            .values()
            .map(|upload| (upload.bucket.clone(), upload.key.clone()))
            .collect()
    }

    pub fn expire(&self, key: &str) -> usize {
        let mut uploads = lock(&self.uploads);
        let before = uploads.len();
        uploads.retain(|_, upload| upload.key != key);
        before - uploads.len()
    }

    pub(super) fn work(self: &Arc<Self>) -> AtWork {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        AtWork(self.clone())
    }

    pub(super) fn count_received(&self, received: Received) {
        lock(&self.received).push(received);
    }

    /// Whether this part or object is to be refused.
    pub(super) fn slow_down(&self) -> S3Result<()> {
        let every = self.faults().slow_down_every;
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if every.is_some_and(|every| count.is_multiple_of(every)) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(s3_error!(SlowDown, "Please reduce your request rate."));
        }
        Ok(())
    }

    /// Whether the key may be used.
    pub(super) fn check_kms(&self, key: Option<&str>) -> S3Result<()> {
        let Some(key) = key else { return Ok(()) };
        if self.faults().denied_kms_keys.iter().any(|denied| denied == key) {
            return Err(S3Error::with_message(
                S3ErrorCode::AccessDenied,
                format!(
                    "User: arn:aws:iam::123456789012:user/rehearsal is not authorized to perform: \
                     kms:GenerateDataKey on resource: {key} because no identity-based policy allows \
                     the kms:GenerateDataKey action"
                ),
            ));
        }
        Ok(())
    }

    /// Where an object lies.
    pub(super) fn path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let sound = key.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !sound {
            return Err(s3_error!(InvalidArgument, "this key can't be a file's name here"));
        }
        Ok(self.root.join(bucket).join(key))
    }

    fn aside(&self, name: &str) -> S3Result<PathBuf> {
        let aside = self.root.join(".uploads");
        fs::create_dir_all(&aside).map_err(S3Error::internal_error)?;
        Ok(aside.join(name))
    }

    pub(super) fn new_id(&self) -> String {
        format!("upload-{:08}", self.next.fetch_add(1, Ordering::SeqCst))
    }

    /// Takes a body into a file aside.
    pub(super) async fn take(
        &self,
        body: Option<StreamingBlob>,
        length: Option<i64>,
    ) -> S3Result<Taken> {
        let path = self.aside(&format!("taken-{:08}", self.next.fetch_add(1, Ordering::SeqCst)))?;
        let result = write(&path, body, length).await;
        if result.is_err() {
            let _gone = fs::remove_file(&path);
        }
        result
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        lock(&self.uploads)
    }

    pub(super) fn part_path(&self, id: &str, number: i32) -> S3Result<PathBuf> {
        self.aside(&format!("{id}-{number:05}"))
    }

    pub(super) fn about(&self, bucket: &str, key: &str) -> About {
        let known = lock(&self.about).get(&(bucket.to_string(), key.to_string())).cloned();
        known.unwrap_or_else(|| About {
            etag: "0".repeat(32),
            encryption: "AES256".into(),
            ..About::default()
        })
    }

    /// Makes a file aside an object, in one moment.
    pub(super) fn publish(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        about: About,
    ) -> S3Result<()> {
        let path = self.path(bucket, key)?;
        let publish = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(from, &path)
        };
        publish().map_err(S3Error::internal_error)?;
        lock(&self.about).insert((bucket.to_string(), key.to_string()), about);
        Ok(())
    }

    pub(super) fn forget(&self, bucket: &str, key: &str) {
        lock(&self.about).remove(&(bucket.to_string(), key.to_string()));
    }

    /// Puts the parts of an upload into one file aside.
    pub(super) fn join(&self, id: &str, numbers: &[i32]) -> S3Result<PathBuf> {
        let whole = self.aside(&format!("{id}-whole"))?;
        let join = || -> io::Result<()> {
            let mut output: Option<File> = None;
            for number in numbers {
                let part = self.part_path(id, *number).map_err(io::Error::other)?;
                match &mut output {
                    None => {
                        fs::rename(&part, &whole)?;
                        // Not to append: into such a file the system copies nothing by itself.
                        let mut whole = File::options().write(true).open(&whole)?;
                        whole.seek(io::SeekFrom::End(0))?;
                        output = Some(whole);
                    }
                    Some(output) => {
                        io::copy(&mut File::open(&part)?, output)?;
                        fs::remove_file(&part)?;
                    }
                }
            }
            Ok(())
        };
        join().map_err(S3Error::internal_error)?;
        Ok(whole)
    }

    /// The first objects of a bucket, at most so many, whose keys begin with a prefix and come after another;
    /// in the order of their keys.
    pub(super) fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> S3Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        let root = self.root.join(bucket);
        list(&root, "", prefix, after, most, &mut found).map_err(S3Error::internal_error)?;
        Ok(found)
    }

    pub(super) fn has_bucket(&self, bucket: &str) -> bool {
        self.root.join(bucket).is_dir()
    }
}

/// Lists what is in a directory of a bucket. What can't be asked for isn't looked into: a bucket may hold a
/// million objects, of which a page shows a thousand.
fn list(
    directory: &Path,
    above: &str,
    prefix: &str,
    after: &str,
    most: usize,
    found: &mut Vec<(String, u64)>,
) -> std::io::Result<()> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        let Some(name) = entry.file_name().to_str().map(str::to_string) else { continue };
        let key = if is_directory { format!("{above}{name}/") } else { format!("{above}{name}") };
        let fits = key.starts_with(prefix) || is_directory && prefix.starts_with(&key);
        let comes = key.as_str() > after || is_directory && after.starts_with(&key);
        if fits && comes {
            keys.push((key, entry.path()));
        }
    }
    // A directory's key ends with a slash, as it is within the keys of its objects.
    keys.sort_unstable();
    for (key, path) in keys {
        if found.len() == most {
            break;
        }
        match key.ends_with('/') {
            true => list(&path, &key, prefix, after, most, found)?,
            false => found.push((key, fs::metadata(path)?.len())),
        }
    }
    Ok(())
}

async fn write(path: &Path, body: Option<StreamingBlob>, length: Option<i64>) -> S3Result<Taken> {
    let mut file = File::create(path).map_err(S3Error::internal_error)?;
    let (mut digest, mut crc32, mut size) = (Sha256::new(), crc32fast::Hasher::new(), 0);
    if let Some(mut body) = body {
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|_| s3_error!(IncompleteBody))?;
            digest.update(&bytes);
            crc32.update(&bytes);
            size += bytes.len() as u64;
            file.write_all(&bytes).map_err(S3Error::internal_error)?;
        }
    }
    if length.is_some_and(|length| length as u64 != size) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(Taken {
        path: path.to_path_buf(),
        size,
        digest: digest.finalize().into(),
        crc32: crc32.finalize(),
    })
}

/// Base64, as S3 writes digests.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = three.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..4 {
            match at <= three.len() {
                true => text.push(char::from(LETTERS[(all >> (18 - 6 * at) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

/// An entity tag; S3's is an MD5, which nobody may rely on.
pub(super) fn etag(digest: &[u8]) -> String {
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_as_everyone_writes_it() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
