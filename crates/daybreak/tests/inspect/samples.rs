//! The real backups, and what tests do with them.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use daybreak::{
    event::Events,
    transit::{
        archive::{Blob, blobs_of_path},
        inspect::{Survey, inspect},
        inspection::{Inspection, Profile},
    },
};

/// Where the samples are.
pub fn directory() -> PathBuf {
    rehearsal::backups::samples(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A sample, unpacked.
pub fn unzipped(name: &str) -> Vec<u8> {
    let packed = std::fs::read(directory().join(name)).unwrap();
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    plain
}

pub fn look(path: &Path, profile: Profile) -> Inspection {
    inspect(blobs_of_path(path).unwrap(), profile).unwrap()
}

/// A stream in memory.
pub fn look_at(name: &str, bytes: &[u8]) -> Inspection {
    inspect(vec![Blob::of_bytes(name, bytes.to_vec())], Profile::Aurora).unwrap()
}

/// The names of the findings that stand in the way.
pub fn blockers(inspection: &Inspection) -> Vec<&str> {
    let mut ids: Vec<&str> = inspection.blockers().map(|finding| finding.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// All files below a directory.
pub fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for blob in blobs_of_path(directory).unwrap() {
        let mut bytes = Vec::new();
        (blob.open)().unwrap().read_to_end(&mut bytes).unwrap();
        all.insert(blob.name, bytes);
    }
    all
}

/// Extracts a backup into a new directory.
pub fn extracted(path: &Path) -> (tempfile::TempDir, Inspection) {
    let directory = tempfile::tempdir().unwrap();
    let survey =
        Survey::extract(blobs_of_path(path).unwrap(), directory.path(), &Events::nowhere())
            .unwrap();
    (directory, survey.judge(Profile::Any))
}

/// The seed of a test with chance in it: `SEED`, or a new one. It is printed.
pub fn seed(what: &str) -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("{what}: SEED={seed}");
    seed
}

/// A chunk of an xbstream.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub kind: u8,
    pub path: String,
    /// Where it begins, and where the next one does.
    pub from: usize,
    pub to: usize,
    /// How long its head is, path included.
    pub head: usize,
}

/// Takes a sound stream apart, by other code than the reader's.
pub fn chunks(stream: &[u8]) -> Vec<Chunk> {
    let number = |at: usize, bytes: usize| -> usize {
        stream[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let (mut at, mut all) = (0, Vec::new());
    while at < stream.len() {
        assert_eq!(&stream[at..at + 8], b"XBSTCK01");
        let kind = stream[at + 9];
        let length = number(at + 10, 4);
        let path = String::from_utf8(stream[at + 14..at + 14 + length].to_vec()).unwrap();
        let (head, payload) = match kind {
            b'P' => (14 + length + 20, number(at + 14 + length, 8)),
            _ => (14 + length, 0),
        };
        all.push(Chunk { kind, path, from: at, to: at + head + payload, head });
        at += head + payload;
    }
    all
}
