//! Damage: cuts at every chunk boundary, single bits in headers.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::samples::{chunks, look_at, seed, unzipped};

/// Every prefix of whole chunks but the last one.
#[test]
fn a_stream_cut_between_chunks_is_never_whole() {
    for name in ["compressed.xbstream.gz", "inc3.xbstream.gz", "full.xbstream.gz"] {
        let Some(stream) = unzipped(name) else { return };
        let all = chunks(&stream);
        let whole = look_at("backup.xbstream", &stream);
        assert!(whole.whole, "{name}: {:#?}", whole.findings);
        // Of the large ones the end, where everything but the tool's own files is there, and some before.
        let step = if name.starts_with("full") { 7 } else { 1 };
        let near = all.len().saturating_sub(40);
        for (at, chunk) in all.iter().enumerate().skip(1) {
            if at < near && at % step != 0 {
                continue;
            }
            let cut = look_at("backup.xbstream", &stream[..chunk.from]);
            assert!(!cut.whole, "{name} cut before chunk {at} ({})", chunk.path);
            assert!(cut.blockers().next().is_some());
        }
    }
}

/// 1,000 bits in the heads of chunks.
#[test]
fn no_single_bit_in_a_header_passes() {
    let seed = seed("bits in headers");
    let mut random = StdRng::seed_from_u64(seed);
    let mut passed = 0;
    for (name, flips) in
        [("compressed.xbstream.gz", 700), ("full.xbstream.gz", 200), ("inc3.xbstream.gz", 100)]
    {
        let Some(mut stream) = unzipped(name) else { return };
        let all = chunks(&stream);
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
                let in_path = bit / 8 >= 14;
                assert!(empty && in_path, "{name}: bit {bit} of {chunk:?} (seed {seed})");
                passed += 1;
                println!("{name}: bit {bit} of the empty file {} passes", chunk.path);
            }
        }
    }
    println!("{passed} of 1000 passed");
}

/// Every bit in the name of every empty file: its siblings miss it.
#[test]
fn siblings_give_an_empty_file_away() {
    let Some(stream) = unzipped("compressed.xbstream.gz") else { return };
    let Some(plain) = unzipped("full.xbstream.gz") else { return };
    drop(stream);
    let all = chunks(&plain);
    // What is large is left out here: names are what matters.
    let mut slim = Vec::new();
    for chunk in all.iter().filter(|chunk| {
        let file = chunk.path.rsplit('/').next().unwrap();
        !file.ends_with(".ibd") && file != "ibdata1"
    }) {
        slim.extend_from_slice(&plain[chunk.from..chunk.to]);
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
