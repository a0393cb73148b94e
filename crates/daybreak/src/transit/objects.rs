//! The objects of an upload, in little memory: there may be a million.
//!
//! In a manifest's file each is an [`Object`] in words. Here digests are bytes, and what S3 told of an object
//! is there only once it was asked.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::named::Named;
use crate::aws::s3::{AtRest, base64, bytes_of};

/// An object of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// The SHA-256 as S3 keeps it: of the bytes, or with `-N` at its end of the digests of the N parts.
    pub sha256: String,
    /// The entity tag, as S3 told afterwards.
    #[serde(default)]
    pub etag: Option<String>,
    /// How S3 encrypts it, as it told afterwards.
    #[serde(default)]
    pub encryption: Option<AtRest>,
}

/// Objects, once they are sorted in the order of their keys.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    sent: Named<Sent>,
    answers: Answers,
}

/// What was sent.
#[derive(Debug, Clone)]
struct Sent {
    size: u64,
    sha256: Digest<32>,
}

/// What S3 told of objects, by their places.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    told: Vec<Told>,
    /// The kinds of encryption that were told of.
    kinds: Vec<AtRest>,
}

#[derive(Debug, Clone, Default)]
struct Told {
    etag: Option<Digest<16>>,
    /// Its place among the kinds.
    encryption: Option<u32>,
}

/// A digest, maybe of so many parts' digests; what doesn't look like one stays as it is.
#[derive(Debug, Clone)]
enum Digest<const N: usize> {
    Whole([u8; N]),
    Parts([u8; N], u32),
    Other(Box<str>),
}

impl<const N: usize> Digest<N> {
    /// Reads what `write` makes of it again.
    fn of(text: &str, read: fn(&str) -> Option<[u8; N]>, write: fn(&Self) -> String) -> Digest<N> {
        let found = match text.trim_matches('"').split_once('-') {
            Some((digest, count)) => {
                read(digest).zip(count.parse().ok()).map(|(all, count)| Digest::Parts(all, count))
            }
            None => read(text.trim_matches('"')).map(Digest::Whole),
        };
        found.filter(|found| write(found) == text).unwrap_or_else(|| Digest::Other(text.into()))
    }

    fn text(&self, write: impl Fn(&[u8; N]) -> String) -> String {
        match self {
            Digest::Whole(all) => write(all),
            Digest::Parts(all, count) => format!("{}-{count}", write(all)),
            Digest::Other(text) => text.to_string(),
        }
    }
}

/// A SHA-256 as S3 writes it.
fn sha256(digest: &Digest<32>) -> String {
    digest.text(|all| base64(all))
}

/// An entity tag as S3 writes it: in quotes.
fn etag(digest: &Digest<16>) -> String {
    let hex = |all: &[u8; 16]| all.iter().map(|byte| format!("{byte:02x}")).collect();
    match digest {
        Digest::Other(text) => text.to_string(),
        digest => format!("\"{}\"", digest.text(hex)),
    }
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let digits = Some(text).filter(|text| text.len() == 32 && text.is_ascii())?;
    let mut all = [0; 16];
    for (place, byte) in all.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(all)
}

impl Answers {
    /// For so many objects, nothing of which is known yet.
    pub fn to(count: usize) -> Answers {
        Answers { told: vec![Told::default(); count], kinds: Vec::new() }
    }

    /// What S3 told of the object at a place.
    pub fn set(&mut self, place: usize, tag: Option<&str>, encryption: Option<AtRest>) {
        let encryption = encryption.map(|encryption| {
            let known = self.kinds.iter().position(|kind| *kind == encryption);
            known.unwrap_or_else(|| {
                self.kinds.push(encryption);
                self.kinds.len() - 1
            })
        });
        if let Some(told) = self.told.get_mut(place) {
            told.etag = tag.map(|tag| Digest::of(tag, from_hex, etag));
            told.encryption = encryption.and_then(|place| u32::try_from(place).ok());
        }
    }
}

impl Objects {
    /// Adds one at the end. What S3 told of it is kept if it was told of all before it.
    pub fn push(&mut self, object: &Object) {
        let digest = Digest::of(&object.sha256, |text| bytes_of(text)?.try_into().ok(), sha256);
        self.sent.push(&object.key, Sent { size: object.size, sha256: digest });
        if object.etag.is_some() || object.encryption.is_some() {
            self.answers.told.resize(self.sent.len(), Told::default());
            let place = self.sent.len() - 1;
            self.answers.set(place, object.etag.as_deref(), object.encryption.clone());
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The one at a place.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, place: usize) -> Object {
        let (key, sent) = self.sent.at(place);
        let told = self.answers.told.get(place);
        let encryption = told.and_then(|told| told.encryption);
        Object {
            key: key.to_string(),
            size: sent.size,
            sha256: sha256(&sent.sha256),
            etag: told.and_then(|told| told.etag.as_ref()).map(etag),
            encryption: encryption.and_then(|at| self.answers.kinds.get(at as usize)).cloned(),
        }
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Object> {
        (0..self.len()).map(|place| self.at(place))
    }

    /// Their keys and sizes, in order.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sent.iter().map(|(key, sent)| (key, sent.size))
    }

    /// Where the one with a key is. They must be sorted.
    pub fn find(&self, key: &str) -> Option<usize> {
        self.sent.find(key)
    }

    /// Sorts them by their keys. What S3 told of them is forgotten.
    pub fn sort(&mut self) {
        self.answers = Answers::default();
        self.sent.sort();
    }

    /// Takes what S3 told of them.
    pub fn told(&mut self, answers: Answers) {
        self.answers = answers;
    }
}

impl PartialEq for Objects {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Objects {}

impl Serialize for Objects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Objects;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("objects in the order of their keys")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut each: A) -> Result<Objects, A::Error> {
                let mut objects = Objects::default();
                let mut last: Option<String> = None;
                while let Some(object) = each.next_element::<Object>()? {
                    if last.as_ref().is_some_and(|last| *last >= object.key) {
                        return Err(A::Error::custom(
                            "the objects aren't in the order of their keys",
                        ));
                    }
                    objects.push(&object);
                    last = Some(object.key);
                }
                Ok(objects)
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, sha256: &str, etag: Option<&str>, encryption: Option<AtRest>) -> Object {
        Object {
            key: key.into(),
            size: 7,
            sha256: sha256.into(),
            etag: etag.map(Into::into),
            encryption,
        }
    }

    /// Whatever S3 says, the manifest says the same after it was read again.
    #[test]
    fn what_is_kept_in_bytes_reads_as_it_was_written() {
        let digest = base64([7; 32]);
        let kms = AtRest::Kms(Some("arn:aws:kms:eu-west-1:1:key/1234".into()));
        let all = [
            object("a", &digest, Some("\"0123456789abcdef0123456789abcdef\""), Some(AtRest::S3)),
            object(
                "b",
                &format!("{digest}-12"),
                Some("\"0123456789abcdef0123456789abcdef-12\""),
                None,
            ),
            object(
                "c",
                "no digest-at all",
                Some("W/\"0123456789abcdef0123456789abcdef\""),
                Some(kms.clone()),
            ),
            object("d", "", Some("0123456789ABCDEF0123456789ABCDEF"), Some(kms)),
            object(
                "e",
                &format!("{digest}-012"),
                Some("\"+1234567+9abcdef0123456789abcdef\""),
                None,
            ),
            object("f", &digest, None, None),
            object("g", &digest, Some(""), Some(AtRest::S3)),
        ];
        let mut objects = Objects::default();
        all.iter().for_each(|one| objects.push(one));
        assert!(objects.iter().eq(all.clone()));
        assert_eq!(objects.answers.kinds.len(), 2);
        let text = serde_json::to_string(&objects).unwrap();
        assert_eq!(text, serde_json::to_string(&all).unwrap());
        let again: Objects = serde_json::from_str(&text).unwrap();
        assert_eq!(again, objects);
        assert_eq!((again.find("c"), again.find("cc"), again.len()), (Some(2), None, 7));
        let mut turned = Objects::default();
        all.iter().rev().for_each(|one| turned.push(one));
        let text = serde_json::to_string(&turned).unwrap();
        let error = serde_json::from_str::<Objects>(&text).unwrap_err().to_string();
        assert!(error.contains("order of their keys"), "{error}");
        turned.sort();
        assert!(turned.sizes().eq(objects.sizes()) && turned.at(0).etag.is_none());
    }
}
