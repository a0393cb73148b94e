//! Damage: cuts at every chunk boundary, single bits in headers.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    samples::{chunks, look_at, seed, unzipped},
    streams::{head, payload},
};

/// A real stream, each of its files cut to its beginning (and told so), so that many can be read.
fn slim(stream: &[u8]) -> Vec<u8> {
    let mut slim = Vec::new();
    for chunk in chunks(stream) {
        let bytes = &stream[chunk.from + chunk.head..chunk.to];
        if chunk.kind != b'P' {
            slim.extend(head(0, chunk.kind, &chunk.path));
            continue;
        }
        let offset = &stream[chunk.from + chunk.head - 12..chunk.from + chunk.head - 4];
        if offset.iter().any(|byte| *byte != 0) {
            continue;
        }
        if chunk.path == "xtrabackup_logfile" {
            // Its head comes alone, its first blocks later.
            let all = chunks(stream)
                .into_iter()
                .filter(|other| other.kind == b'P' && other.path == chunk.path);
            let mut log: Vec<u8> =
                all.flat_map(|other| stream[other.from + other.head..other.to].to_vec()).collect();
            log.truncate(4096);
            slim.extend(payload(0, &chunk.path, 0, &log));
            continue;
        }
        let space = chunk.path.ends_with(".ibd") || chunk.path == "ibdata1";
        let mut bytes = bytes[..bytes.len().min(if space { 16384 } else { 4096 })].to_vec();
        if space {
            // One page, says the first page; without a checksum, as `innodb_checksum_algorithm=none`.
            bytes[46..50].copy_from_slice(&1_u32.to_be_bytes());
            let none = 0xdead_beef_u32.to_be_bytes();
            bytes[..4].copy_from_slice(&none);
            // Not of ROW_FORMAT=COMPRESSED, whose pages are shorter and have one checksum.
            if bytes[57] & 0x1e == 0 {
                bytes[16376..16380].copy_from_slice(&none);
                bytes.copy_within(20..24, 16380);
            }
        }
        if chunk.path.ends_with(".MYI") {
            // No lengths that it and the data would have to have.
            bytes[60..76].fill(0);
        }
        if chunk.path == "xtrabackup_checkpoints" {
            // The redo log ends at the checkpoint.
            let text = String::from_utf8(bytes).unwrap();
            let to = text.lines().find_map(|line| line.strip_prefix("to_lsn = ")).unwrap();
            let last = text.lines().find(|line| line.starts_with("last_lsn")).unwrap();
            bytes = text.replace(last, &format!("last_lsn = {to}")).into_bytes();
        }
        slim.extend(payload(0, &chunk.path, 0, &bytes));
    }
    slim
}

fn cut(name: &str, stream: &[u8], most: usize) {
    let all = chunks(stream);
    let whole = look_at("backup.xbstream", stream);
    assert!(whole.whole, "{name}: {:#?}", whole.findings);
    let first = all.len().saturating_sub(most).max(1);
    for (at, chunk) in all.iter().enumerate().skip(first) {
        let cut = look_at("backup.xbstream", &stream[..chunk.from]);
        assert!(!cut.whole, "{name} cut before chunk {at} ({})", chunk.path);
        assert!(cut.blockers().next().is_some());
    }
}

/// Every prefix of whole chunks but the last one; of the large streams as they are, the shortest cuts.
#[test]
fn a_stream_cut_between_chunks_is_never_whole() {
    let stream = unzipped("full.xbstream.gz");
    cut("full, slim", &slim(&stream), usize::MAX);
    for name in ["compressed.xbstream.gz", "inc3.xbstream.gz", "full.xbstream.gz"] {
        cut(name, &unzipped(name), 8);
    }
}

#[test]
#[ignore = "slow: make test-long"]
fn real_streams_cut_at_every_chunk() {
    for name in ["compressed.xbstream.gz", "inc3.xbstream.gz", "full.xbstream.gz"] {
        let stream = unzipped(name);
        cut(name, &stream, usize::MAX);
    }
}

fn flip(name: &str, mut stream: Vec<u8>, flips: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let all = chunks(&stream);
    let mut passed = 0;
    for _ in 0..flips {
        let chunk = &all[random.random_range(0..all.len())];
        let bit = random.random_range(0..chunk.head * 8);
        let at = chunk.from + bit / 8;
        stream[at] ^= 1 << (bit % 8);
        let found = look_at("backup.xbstream", &stream);
        stream[at] ^= 1 << (bit % 8);
        if found.whole {
            // Only another name of an empty file isn't seen by the stream itself.
            let empty = chunk.kind == b'E'
                && !all.iter().any(|other| other.kind == b'P' && other.path == chunk.path);
            assert!(empty && bit / 8 >= 14, "{name}: bit {bit} of {chunk:?} (seed {seed})");
            passed += 1;
        }
    }
    println!("{name}: {passed} of {flips} passed");
}

/// 1,000 bits in the heads of chunks.
#[test]
fn no_single_bit_in_a_header_passes() {
    let stream = unzipped("full.xbstream.gz");
    flip("full, slim", slim(&stream), 1_000, seed("bits in headers"));
}

#[test]
#[ignore = "slow: make test-long"]
fn no_single_bit_in_a_header_of_real_streams_passes() {
    let seed = seed("bits in headers");
    for name in ["compressed.xbstream.gz", "full.xbstream.gz", "inc3.xbstream.gz"] {
        let stream = unzipped(name);
        flip(name, stream, 1_000, seed);
    }
}

/// Every bit in the name of every empty file: its siblings miss it.
#[test]
fn siblings_give_an_empty_file_away() {
    let plain = unzipped("full.xbstream.gz");
    // Names are what matters here: the tablespaces and the redo log are left out.
    let mut slim = Vec::new();
    for chunk in chunks(&plain) {
        let large = ["ibdata1", "xtrabackup_logfile"].contains(&chunk.path.as_str());
        if !chunk.path.ends_with(".ibd") && !large {
            slim.extend_from_slice(&plain[chunk.from..chunk.to]);
        }
    }
    let slim_chunks = chunks(&slim);
    let before = missing(&slim);
    let empties: Vec<_> = slim_chunks
        .iter()
        .filter(|chunk| chunk.kind == b'E')
        .filter(|chunk| {
            !slim_chunks.iter().any(|other| other.kind == b'P' && other.path == chunk.path)
        })
        .cloned()
        .collect();
    assert!(empties.len() > 5, "{empties:?}");
    for chunk in empties {
        for bit in 0..chunk.path.len() * 8 {
            let at = chunk.from + 14 + bit / 8;
            slim[at] ^= 1 << (bit % 8);
            let found = look_at("backup.xbstream", &slim);
            let seen = found.findings.iter().any(|one| one.id == "backup.damaged")
                || found.findings.iter().any(|one| one.id == "backup.unsafe")
                || missing(&slim) != before;
            slim[at] ^= 1 << (bit % 8);
            assert!(seen && !found.whole, "bit {bit} of {}", chunk.path);
        }
    }
}

fn missing(stream: &[u8]) -> Vec<String> {
    let found = look_at("backup.xbstream", stream);
    let ids = ["backup.file_missing", "backup.unknown_file"];
    found
        .findings
        .into_iter()
        .filter(|one| ids.contains(&one.id.as_str()))
        .flat_map(|one| one.objects)
        .collect()
}
