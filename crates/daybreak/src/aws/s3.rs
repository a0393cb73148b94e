//! S3, as narrow as moving a backup needs it: [`ObjectStore`], and the SDK behind it.
//!
//! Nothing here tries anything again: whoever calls knows what may be repeated, and has events to say
//! so. Every object and part carries a SHA-256 that S3 checks when it takes it, and keeps.

mod body;
mod reader;
mod sdk;

use std::{ops::Range, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;

use crate::{config::Encryption, error::Result};

pub use reader::ObjectReader;
pub use sdk::S3;

/// What a bucket is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The Region that it is in, as S3 says.
    pub region: Option<String>,
    /// How it encrypts objects of which nothing is said; none: S3 doesn't tell, or may not.
    pub encryption: Option<AtRest>,
}

/// How an object is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtRest {
    /// SSE-S3.
    S3,
    /// SSE-KMS, with this key if S3 names it.
    Kms(Option<String>),
    /// Something that Aurora can't restore from, as S3 calls it.
    Other(String),
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
}

/// A page of a listing.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Objects, in the order of their keys.
    pub objects: Vec<Listed>,
    /// What to ask the next page with; none: this is the last.
    pub next: Option<String>,
}

/// What S3 says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 that S3 keeps, in base64; with `-N` at its end that of the N parts' digests.
    pub sha256: Option<String>,
    /// The entity tag.
    pub etag: Option<String>,
    /// How it is encrypted.
    pub encryption: Option<AtRest>,
}

/// A part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The number, from 1.
    pub number: u32,
    /// The size in bytes.
    pub size: u64,
    /// Its SHA-256, in base64.
    pub sha256: String,
    /// The entity tag.
    pub etag: String,
}

/// A multipart upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The object's key.
    pub key: String,
    /// The upload.
    pub id: String,
}

/// Where the bytes of a part are.
#[derive(Debug, Clone)]
pub enum Payload {
    /// In memory.
    Memory(Bytes),
    /// In a file, read while they are sent.
    File {
        /// The file.
        path: PathBuf,
        /// From where.
        offset: u64,
        /// How many.
        length: u64,
    },
}

impl Payload {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        match self {
            Payload::Memory(bytes) => bytes.len() as u64,
            Payload::File { length, .. } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A digest as S3 writes it.
pub fn base64(digest: impl AsRef<[u8]>) -> String {
    aws_smithy_types::base64::encode(digest)
}

/// The bytes of a digest as S3 writes it.
pub fn bytes_of(digest: &str) -> Option<Vec<u8>> {
    aws_smithy_types::base64::decode(digest).ok()
}

/// What S3 keeps as the SHA-256 of an object that was made of parts: the digest of their digests, and
/// how many they were.
pub fn composite(parts: &[Part]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(bytes_of(&part.sha256).unwrap_or_default());
    }
    format!("{}-{}", base64(digest.finalize()), parts.len())
}

/// The operations on objects that daybreak uses.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// What the bucket is like; an error if it isn't there or can't be used.
    async fn bucket(&self, bucket: &str) -> Result<Bucket>;
    /// The objects whose keys begin with a prefix, page by page.
    async fn list(&self, bucket: &str, prefix: &str, page: Option<String>) -> Result<Page>;
    /// What S3 says of an object, if there is one.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Head>>;
    /// Some bytes of an object, as they come.
    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Range<u64>,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>>;
    /// Puts a whole object. The digest is the payload's SHA-256 in base64.
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        payload: Payload,
        sha256: &str,
        encryption: &Encryption,
    ) -> Result<()>;
    /// Begins a multipart upload and returns its id.
    async fn create(&self, bucket: &str, key: &str, encryption: &Encryption) -> Result<String>;
    /// Sends a part and returns its entity tag.
    async fn part(
        &self,
        upload: (&str, &Begun),
        number: u32,
        payload: Payload,
        sha256: &str,
    ) -> Result<String>;
    /// The parts that S3 has of an upload, in order; none if there is no such upload.
    async fn parts(&self, bucket: &str, begun: &Begun) -> Result<Option<Vec<Part>>>;
    /// The uploads under way whose keys begin with a prefix.
    async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Begun>>;
    /// Makes an object of its parts. False: there is no such upload (any more).
    async fn complete(&self, bucket: &str, begun: &Begun, parts: &[Part]) -> Result<bool>;
    /// Gives an upload and its parts up. One that isn't there any more is none to give up.
    async fn abort(&self, bucket: &str, begun: &Begun) -> Result<()>;
    /// Deletes an object. One that isn't there any more is deleted.
    async fn delete(&self, bucket: &str, key: &str) -> Result<()>;
}
