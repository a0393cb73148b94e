//! Streams made by hand: what the samples don't have. XtraBackup 8.0's holes, mariadb-backup's renames.

use daybreak::{
    error::Result,
    transit::archive::{Fault, Oddity, Opened, Visitor},
};

/// Keeps everything.
#[derive(Default)]
pub struct Keep {
    open: std::collections::HashMap<u64, (String, Vec<u8>)>,
    pub files: std::collections::BTreeMap<String, Vec<u8>>,
    pub odd: Vec<Oddity>,
}

impl Visitor for Keep {
    fn begin(&mut self, file: u64, name: &str) -> Result<()> {
        self.open.insert(file, (name.into(), Vec::new()));
        Ok(())
    }
    fn data(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        let all = &mut self.open.get_mut(&file).unwrap().1;
        let end = offset as usize + bytes.len();
        all.resize(all.len().max(end), 0);
        all[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
    fn end(&mut self, file: u64, size: u64) -> Result<()> {
        let (name, mut all) = self.open.remove(&file).unwrap();
        all.resize(size as usize, 0);
        self.files.insert(name, all);
        Ok(())
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.files.remove(from).unwrap();
        self.files.insert(to.into(), bytes);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> Result<()> {
        self.files.remove(name).unwrap();
        Ok(())
    }
    fn odd(&mut self, oddity: Oddity, _: &str) {
        self.odd.push(oddity);
    }
}

pub fn head(flags: u8, kind: u8, path: &str) -> Vec<u8> {
    let mut chunk = b"XBSTCK01".to_vec();
    chunk.extend([flags, kind]);
    chunk.extend((path.len() as u32).to_le_bytes());
    chunk.extend(path.as_bytes());
    chunk
}

pub fn payload(flags: u8, path: &str, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut chunk = head(flags, b'P', path);
    chunk.extend((bytes.len() as u64).to_le_bytes());
    chunk.extend(offset.to_le_bytes());
    chunk.extend(crc32fast::hash(bytes).to_le_bytes());
    chunk.extend(bytes);
    chunk
}

pub fn read(stream: Vec<u8>) -> std::result::Result<Keep, Fault> {
    let mut keep = Keep::default();
    Opened::new(std::io::Cursor::new(stream))?.read(&mut keep)?;
    Ok(keep)
}

#[test]
fn files_interleave_and_may_be_empty() {
    let stream = [
        payload(0, "a", 0, b"one"),
        payload(0, "d/b", 0, b"two"),
        head(0, b'E', "d/b"),
        head(0, b'E', "d/empty"),
        payload(0, "a", 3, b"more"),
        head(0, b'E', "a"),
    ];
    let kept = read(stream.concat()).unwrap();
    assert_eq!(kept.files["a"], b"onemore");
    assert_eq!((kept.files["d/b"].as_slice(), kept.files["d/empty"].len()), (&b"two"[..], 0));
    // Without the last end it isn't whole.
    assert!(matches!(read(stream[..5].concat()), Err(Fault::Damaged(_))));
}

#[test]
fn as_many_files_are_open_as_a_tool_has_threads_and_no_more() {
    let begun = |count: usize| {
        (0..count).flat_map(|n| payload(0, &format!("d/{n}.delta"), 0, b"x")).collect::<Vec<u8>>()
    };
    let ends = (0..256).flat_map(|n| head(0, b'E', &format!("d/{n}.delta"))).collect();
    assert_eq!(read([begun(256), ends].concat()).unwrap().files.len(), 256);
    let Err(Fault::Damaged(why)) = read(begun(257)) else { panic!("257 files are open at once") };
    assert!(why.contains("d/256.delta begins while 256 files are unfinished"), "{why}");
}

#[test]
fn holes_of_xtrabackup_8() {
    let map: Vec<u8> = [4_u32, 3, 5, 2].iter().flat_map(|number| number.to_le_bytes()).collect();
    let bytes = b"abcde";
    let mut sparse = head(0, b'S', "t.ibd");
    sparse.extend(2_u32.to_le_bytes());
    sparse.extend(5_u64.to_le_bytes());
    sparse.extend(0_u64.to_le_bytes());
    sparse.extend(crc32fast::hash(&[&map[..], bytes].concat()).to_le_bytes());
    sparse.extend(&map);
    sparse.extend(bytes);
    let after = payload(0, "t.ibd", 14, b"!");
    let kept = read([sparse.clone(), after.clone(), head(0, b'E', "t.ibd")].concat()).unwrap();
    assert_eq!(kept.files["t.ibd"], b"\0\0\0\0abc\0\0\0\0\0de!");
    assert_eq!(kept.odd, [Oddity::Sparse]);
    // The map is under the checksum, and its count isn't trusted.
    for at in [14 + 5 + 24, 14 + 5, 14 + 5 + 3] {
        let mut broken = sparse.clone();
        broken[at] ^= 1;
        let stream = [broken, after.clone(), head(0, b'E', "t.ibd")].concat();
        assert!(matches!(read(stream), Err(Fault::Damaged(_))), "byte {at}");
    }
}

#[test]
fn renames_removals_rewrites_and_jumps_of_mariadb() {
    let file = |flags, name, bytes| [payload(flags, name, 0, bytes), head(0, b'E', name)].concat();
    let mut rename = head(0, b'R', "d/a");
    rename.extend(3_u32.to_le_bytes());
    rename.extend(b"d/b");
    let mut seek = head(0, b'S', "d/s");
    seek.extend(5_u64.to_le_bytes());
    let stream = [
        file(0, "d/a", b"first"),
        rename.clone(),
        file(0, "d/gone", b"x"),
        head(0, b'D', "d/gone"),
        file(2, "d/b", b"second"),
        payload(0, "d/s", 0, b"xy"),
        seek,
        payload(0, "d/s", 5, b"z"),
        head(0, b'E', "d/s"),
    ]
    .concat();
    let kept = read(stream).unwrap();
    assert_eq!(kept.files.len(), 2);
    assert_eq!(kept.files["d/b"], b"second");
    assert_eq!(kept.files["d/s"], b"xy\0\0\0z");
    assert_eq!(kept.odd, [Oddity::Rename, Oddity::Remove, Oddity::Rewrite, Oddity::Seek]);
    // None of it where nothing is there.
    assert!(read(rename).is_err());
    assert!(read(head(0, b'D', "d/gone")).is_err());
}

#[test]
fn what_isnt_understood_is_refused() {
    let end = head(0, b'E', "a");
    let refused = |stream: &[Vec<u8>]| read(stream.concat()).is_err();
    assert!(refused(&[payload(4, "a", 0, b"x"), end.clone()]), "unknown flag");
    assert!(refused(&[payload(1, "a", 0, b"x"), end.clone()]), "a known type may not be ignored");
    assert!(refused(&[payload(0, "a", 1, b"x"), end.clone()]), "not from its beginning");
    assert!(refused(&[payload(0, "a", 0, b"x"), end.clone(), end.clone()]), "ended twice");
    assert!(refused(&[head(0, b'Q', "a")]), "unknown type");
    for path in ["/etc/passwd", "../a", "a/../../b", ""] {
        assert!(refused(&[payload(0, path, 0, b"x"), head(0, b'E', path)]), "{path:?}");
    }
    // Lengths aren't trusted: this claims 2^63 bytes and ends.
    let mut claims = head(0, b'P', "a");
    claims.extend((1_u64 << 63).to_le_bytes());
    claims.extend([0; 12]);
    assert!(refused(&[claims]));
    let mut long = b"XBSTCK01\0E".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert!(refused(&[long]));
}

fn entry(name: &str, kind: u8, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn tars_that_lead_outside_are_cut_or_hold_links() {
    let body = [b"hello".to_vec(), vec![0; 507]].concat();
    let good = [entry("d/", b'5', 0), entry("d/a", b'0', 5), body.clone(), vec![0; 1024]];
    assert_eq!(read(good.concat()).unwrap().files["d/a"], b"hello");
    // Cut after each block but the last.
    let whole = good.concat();
    for blocks in 1..whole.len() / 512 {
        assert!(read(whole[..blocks * 512].to_vec()).is_err(), "{blocks} blocks");
    }
    for (name, kind) in [("../a", b'0'), ("/a", b'0'), ("a", b'2'), ("a", b'1'), ("a", b'3')] {
        let stream = [entry(name, kind, 5), body.clone(), vec![0; 1024]].concat();
        assert!(matches!(read(stream), Err(Fault::Unsafe(_))), "{name} {kind}");
    }
    let twice =
        [entry("a", b'0', 5), body.clone(), entry("a", b'0', 5), body.clone(), vec![0; 1024]];
    assert!(read(twice.concat()).is_err());
    let more =
        [entry("a", b'0', 5), body.clone(), vec![0; 1024], entry("b", b'0', 5), body.clone()];
    assert!(read(more.concat()).is_err(), "what follows the end isn't left out in silence");
    // A single bit of a header.
    for bit in 0..512 * 8 {
        let mut broken = [entry("a", b'0', 5), body.clone(), vec![0; 1024]].concat();
        broken[bit / 8] ^= 1 << (bit % 8);
        assert!(read(broken).is_err(), "bit {bit}");
    }
}

/// A hole of 2^60 bytes costs nothing, in a file that is looked at too.
#[test]
fn holes_that_are_claimed_take_no_time() {
    for name in ["d/a.new", "d/a.ibd", "d/a.frm", "d/a.MYD", "d/a.ibd.delta", "xtrabackup_info"] {
        let mut seek = head(0, b'S', name);
        seek.extend((1_u64 << 60).to_le_bytes());
        let end = [payload(0, name, 1 << 60, b"x"), head(0, b'E', name)].concat();
        for first in [Vec::new(), payload(0, name, 0, &[0; 3])] {
            let mut seek = seek.clone();
            if first.is_empty() {
                seek = [payload(0, name, 0, b""), seek].concat();
            }
            assert!(
                !crate::samples::look_at("b.xbstream", &[first, seek, end.clone()].concat()).whole
            );
        }
    }
}

#[test]
fn numbers_in_tars_that_are_not_octal() {
    // A checksum in base 256 is no checksum; a size in it is one. Found by `make fuzz`: a panic.
    let mut block = entry("a", b'0', 0);
    block[148] = 0x80;
    assert!(read([block, vec![0; 1024]].concat()).is_err());
    let mut block = entry("a", b'0', 0);
    block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let stream = [block, b"hello".to_vec(), vec![0; 507], vec![0; 1024]].concat();
    assert_eq!(read(stream).unwrap().files["a"], b"hello");
}

#[test]
fn long_names_in_tars() {
    let name = format!("db/{}", "n".repeat(200));
    let mut long = vec![0; 512];
    long[..name.len()].copy_from_slice(name.as_bytes());
    let stream =
        [entry("././@LongLink", b'L', name.len() + 1), long, entry("x", b'0', 0), vec![0; 1024]];
    assert!(read(stream.concat()).unwrap().files.contains_key(&name));
    let line = format!("path={name}\n");
    let text = format!("{} {line}", line.len() + 4);
    let mut block = vec![0; 512];
    block[..text.len()].copy_from_slice(text.as_bytes());
    let stream = [entry("pax", b'x', text.len()), block, entry("x", b'0', 0), vec![0; 1024]];
    assert!(read(stream.concat()).unwrap().files.contains_key(&name));
}
