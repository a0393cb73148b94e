//! Hostile bytes: nothing panics, nothing takes memory by what is claimed, nothing hangs, and what is extracted
//! stays where it shall.
//!
//! A short run is part of the tests. `make fuzz` runs each target for `FUZZ_SECONDS` (600).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use daybreak::{
    event::Events,
    transit::{
        archive::{Blob, qpress::Unpack},
        inspect::{
            Checkpoints, Info, Position, Survey, inspect,
            secrets::{scrubbed, scrubbed_info, tells},
        },
        inspection::Profile,
    },
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    bent::gzip,
    memory,
    samples::seed,
    streams::{head, payload},
};

/// The most that reading one input may take, in bytes: inputs have 64 KiB at most, and 1 MiB was seen, most of it
/// the readers' own buffers.
const MEMORY: usize = 4 << 20;

/// How far a run goes: so many rounds, or so long.
enum Until {
    Rounds(u32),
    Time(Duration),
}

fn long() -> Until {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Until::Time(Duration::from_secs(seconds.unwrap_or(600)))
}

fn run(name: &str, until: Until, corpus: &[Vec<u8>], target: &dyn Fn(&[u8])) {
    let seed = match until {
        Until::Rounds(_) => 1,
        Until::Time(_) => seed(name),
    };
    let mut random = StdRng::seed_from_u64(seed);
    let (begin, mut rounds, mut most) = (Instant::now(), 0_u32, 0);
    loop {
        let done = match until {
            Until::Rounds(all) => rounds >= all,
            Until::Time(time) => begin.elapsed() >= time,
        };
        if done {
            break;
        }
        let mut input = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(0..6) {
            mutate(&mut input, corpus, &mut random);
        }
        let taken = memory::taken(|| target(&input));
        assert!(taken <= MEMORY, "{name}: {taken} bytes for {} of {input:?}", input.len());
        most = most.max(taken);
        rounds += 1;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name}: {rounds} inputs in {seconds:.1} s, at most {most} bytes for one");
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut StdRng) {
    const ODD: [u64; 8] = [0, 1, 255, 511, 512, 0x7fff_ffff, u32::MAX as u64, u64::MAX];
    if input.is_empty() {
        input.push(random.random());
        return;
    }
    let at = random.random_range(0..input.len());
    match random.random_range(0..8) {
        7 => {
            let odd = ["../", "/", "..", "\0", "./", "//"];
            let odd = odd[random.random_range(0..odd.len())].as_bytes();
            let end = (at + odd.len()).min(input.len());
            input[at..end].copy_from_slice(&odd[..end - at]);
        }
        0 => input[at] ^= 1 << random.random_range(0..8),
        1 => input[at] = random.random(),
        2 => input.truncate(at),
        3 => {
            let odd = ODD[random.random_range(0..ODD.len())].to_le_bytes();
            let end = (at + random.random_range(1..=8)).min(input.len());
            input[at..end].copy_from_slice(&odd[..end - at]);
        }
        4 => {
            let end = (at + random.random_range(1..64)).min(input.len());
            input.drain(at..end);
        }
        5 => {
            let end = (at + random.random_range(1..64)).min(input.len());
            let copy = input[at..end].to_vec();
            let to = random.random_range(0..=input.len());
            input.splice(to..to, copy);
        }
        _ => {
            let other = &corpus[random.random_range(0..corpus.len())];
            if !other.is_empty() {
                let from = random.random_range(0..other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(64 * 1024);
}

fn archives(name: &'static str) -> impl Fn(&[u8]) {
    move |bytes| {
        let blob = Blob::of_bytes(name, bytes.to_vec());
        let found = inspect(vec![blob], Profile::Aurora).unwrap();
        assert!(!found.whole || found.files > 0);
    }
}

const CHECKPOINTS: &str =
    "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 10\nlast_lsn = 12\ncompact = 0\n";
const INFO: &str = "tool_name = xtrabackup\ntool_version = 2.4.29\nserver_version = 5.7.40\n\
    tool_command = --backup --password=x\nbinlog_pos = filename 'b.000001', position '4', \
    GTID of the last change '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5'\nincremental = N\n";

fn xbstreams() -> Vec<Vec<u8>> {
    let file =
        |name: &str, bytes: &[u8]| [payload(0, name, 0, bytes), head(0, b'E', name)].concat();
    let mut page = vec![0; 16384];
    page[24..26].copy_from_slice(&8_u16.to_be_bytes());
    page[46..50].copy_from_slice(&1_u32.to_be_bytes());
    let mut frm = vec![0; 100];
    frm[..4].copy_from_slice(&[0xfe, 1, 9, 9]);
    let whole = [
        file("ibdata1", &page),
        file("db/t.ibd", &page),
        file("db/t.frm", &frm),
        file("xtrabackup_logfile", b"log"),
        file("xtrabackup_checkpoints", CHECKPOINTS.as_bytes()),
        file("xtrabackup_info", INFO.as_bytes()),
        head(0, b'E', "db/t.MYD"),
    ];
    let mut sparse = head(0, b'S', "db/s.ibd");
    sparse.extend(1_u32.to_le_bytes());
    sparse.extend([0; 28]);
    let mut rename = head(0, b'R', "db/t.ibd");
    rename.extend(8_u32.to_le_bytes());
    rename.extend(b"db/u.ibd");
    vec![whole.concat(), [whole.concat(), sparse, rename].concat(), whole[3..].concat()]
}

fn tars() -> Vec<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("xtrabackup_checkpoints", CHECKPOINTS.as_bytes()),
        ("xtrabackup_info", INFO.as_bytes()),
        ("db/t.MYD", b"".as_slice()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, Path::new(name), bytes).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    builder.append_data(&mut header, format!("db/{}", "n".repeat(150)), &b""[..]).unwrap();
    vec![builder.into_inner().unwrap()]
}

fn packed() -> Vec<Vec<u8>> {
    let mut small = b"qpress10\0\0\x01\0\0\0\0\0F\x16\0\0\0xtrabackup_binlog_info\0".to_vec();
    small.extend(b"NEWBNEWB\0\0\0\0\0\0\0\0\x6b\x07\xfc\x79\x45\x1f\x18\0\0\0\x80");
    small.extend(b"mysql-bin.000003\t6862477ENDSENDS\0\0\0\0\0\0\0\0");
    // Without the checksum, so that what is below it is reached.
    vec![small]
}

/// Files whose content is looked into, alone beside what a tool writes: a redo log, pages, changed pages, a
/// head of MyISAM. The first byte chooses the file.
fn contents(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let names =
        ["xtrabackup_logfile", "db/t.ibd", "ibdata1", "db/t.ibd.delta", "db/t.MYI", "ib_logfile0"];
    let name = names[usize::from(*first) % names.len()];
    let blob = |name: &str, bytes: &[u8]| Blob::of_bytes(name, bytes.to_vec());
    let found = inspect(
        vec![
            blob("xtrabackup_checkpoints", CHECKPOINTS.as_bytes()),
            blob("xtrabackup_info", INFO.as_bytes()),
            blob("backup-my.cnf", b"[mysqld]\n"),
            blob("db/t.ibd.meta", b"page_size = 1024\nzip_size = 0\nspace_id = 7\n"),
            blob("db/t.MYD", b"row"),
            blob(name, bytes),
        ],
        Profile::Any,
    );
    found.unwrap();
}

/// One of each, sound: what is made of them reaches far.
fn looked_into() -> Vec<Vec<u8>> {
    let none = 0xdead_beef_u32.to_be_bytes();
    let page = |number: u32, size: usize| {
        let mut page = vec![5; size];
        page[..4].copy_from_slice(&none);
        page[4..8].copy_from_slice(&number.to_be_bytes());
        page[24..26].copy_from_slice(&8_u16.to_be_bytes());
        page[26..34].fill(0);
        page[34..38].copy_from_slice(&7_u32.to_be_bytes());
        page[38..42].copy_from_slice(&7_u32.to_be_bytes());
        page[46..50].copy_from_slice(&2_u32.to_be_bytes());
        // 1 KiB, as 512 times 2.
        page[54..58].copy_from_slice(&(1_u32 << 6).to_be_bytes());
        page[size - 8..size - 4].copy_from_slice(&none);
        page.copy_within(20..24, size - 4);
        page
    };
    let mut log = vec![0; 2048 + 512];
    log[2048..2052].copy_from_slice(&1_u32.to_be_bytes());
    log[2052..2054].copy_from_slice(&12_u16.to_be_bytes());
    log[2556..].copy_from_slice(&none);
    let mut delta = vec![0; 1024];
    delta[..4].copy_from_slice(b"XTRA");
    delta[4..8].copy_from_slice(&1_u32.to_be_bytes());
    delta[8..12].fill(0xff);
    delta.extend(page(1, 1024));
    let mut index = vec![0; 100];
    index[..4].copy_from_slice(&[0xfe, 0xfe, 7, 1]);
    index[67] = 100;
    index[75] = 3;
    let mut run = vec![0; 12300];
    run[..4].copy_from_slice(b"Phys");
    run[15] = 2;
    let all = [log, [page(0, 1024), page(1, 1024)].concat(), page(0, 1024), delta, index, run];
    all.into_iter().zip(0_u8..).map(|(bytes, at)| [vec![at], bytes].concat()).collect()
}

/// The corpus is what the readers take for sound.
#[test]
fn what_is_looked_into_is_sound() {
    let names =
        ["xtrabackup_logfile", "db/t.ibd", "ibdata1", "db/t.ibd.delta", "db/t.MYI", "ib_logfile0"];
    for (bytes, name) in looked_into().iter().zip(names) {
        let blob = |name: &str, bytes: &[u8]| Blob::of_bytes(name, bytes.to_vec());
        let found = inspect(
            vec![
                blob("xtrabackup_checkpoints", CHECKPOINTS.as_bytes()),
                blob("db/t.ibd.meta", b"page_size = 1024\nzip_size = 0\nspace_id = 7\n"),
                blob(name, &bytes[1..]),
            ],
            Profile::Any,
        )
        .unwrap();
        let damaged = found.findings.iter().filter(|one| one.id.ends_with("_damaged"));
        let damaged: Vec<String> = damaged.flat_map(|one| one.objects.clone()).collect();
        // The file of one page says that it has two.
        let wanted = if name == "ibdata1" { 1 } else { 0 };
        assert_eq!(damaged.len(), wanted, "{name}: {damaged:?}");
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn checkpoints(bytes: &[u8]) {
    if let Ok(found) = Checkpoints::parse(text(bytes)) {
        let _ = found.contradiction();
    }
}

fn info(bytes: &[u8]) {
    if let Ok(info) = Info::parse(text(bytes)) {
        let _ = (info.position(), info.tells_secret(), info.narrowing());
    }
}

fn positions(bytes: &[u8]) {
    let _ = (Position::parse(text(bytes)), Position::parse_committed(text(bytes)));
}

fn secrets(bytes: &[u8]) {
    let text = text(bytes);
    assert!(!tells(&scrubbed(text)));
    assert!(scrubbed_info(text).lines().count() <= text.lines().count());
}

/// As it came, and as what comes out of a sound gzip stream.
fn gzips(bytes: &[u8]) {
    archives("b.tar.gz")(bytes);
    archives("b.tar.gz")(&gzip(bytes));
}

/// Whole streams, several in one, and one that unpacks to a thousand times its size.
fn gzipped() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = tars().iter().chain(&xbstreams()).map(|one| gzip(one)).collect();
    let tar = &tars()[0];
    all.push([gzip(&tar[..1000]), gzip(&tar[1000..])].concat());
    all.push(gzip(&vec![0; 16 << 20]));
    all
}

/// A directory in which one is extracted into, beside a file that isn't the backup's.
struct Extracting {
    outer: tempfile::TempDir,
}

impl Extracting {
    fn new() -> Extracting {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("theirs"), "theirs").unwrap();
        Extracting { outer }
    }

    fn to(&self) -> PathBuf {
        self.outer.path().join("to")
    }

    /// Nothing is written anywhere else, whatever becomes of the backup.
    fn extract(&self, bytes: &[u8]) {
        let to = self.to();
        // Damage is found, not an error; what can't be a file's name, or can't be written, is one.
        let done = Survey::extract(
            vec![Blob::of_bytes("b.archive", bytes.to_vec())],
            &to,
            &Events::nowhere(),
        );
        let theirs = fs::read(self.outer.path().join("theirs")).unwrap();
        assert_eq!(theirs, b"theirs", "a file beside was written to");
        let mut beside: Vec<_> =
            fs::read_dir(self.outer.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        beside.retain(|name| name != "theirs" && name != "to");
        assert_eq!(beside, Vec::<std::ffi::OsString>::new(), "a file escaped");
        if to.exists() {
            assert!(done.is_ok_and(|survey| survey.is_sound()), "what isn't sound is left");
            // No way out is left behind either.
            let mut open = vec![to.clone()];
            while let Some(directory) = open.pop() {
                for entry in fs::read_dir(directory).unwrap() {
                    let entry = entry.unwrap();
                    let kind = entry.file_type().unwrap();
                    assert!(kind.is_dir() || kind.is_file(), "{entry:?}");
                    if kind.is_dir() {
                        open.push(entry.path());
                    }
                }
            }
            fs::remove_dir_all(&to).unwrap();
        }
    }

    /// Archives whose names and links lead out, each behind a sound file.
    fn corpus(&self) -> Vec<Vec<u8>> {
        let absolute = self.outer.path().join("escaped").display().to_string();
        let names = ["../escaped", "db/../../escaped", &absolute, "../theirs", "db/t.ibd"];
        let mut all: Vec<Vec<u8>> = Vec::new();
        for name in names {
            let file = [payload(0, name, 0, b"x"), head(0, b'E', name)].concat();
            let sound = [payload(0, "db/t.MYD", 0, b"row"), head(0, b'E', "db/t.MYD")].concat();
            let mut rename = head(0, b'R', "db/t.MYD");
            rename.extend((name.len() as u32).to_le_bytes());
            rename.extend(name.as_bytes());
            let remove = head(0, b'D', name);
            all.extend([file].map(|file| [sound.clone(), file].concat()));
            all.extend([rename, remove].map(|chunk| [sound.clone(), chunk].concat()));
            let mut tar = tar::Builder::new(Vec::new());
            raw_entry(&mut tar, "db/t.MYD", tar::EntryType::Regular, "", b"row");
            raw_entry(&mut tar, name, tar::EntryType::Regular, "", b"x");
            all.push(tar.into_inner().unwrap());
            for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
                let mut tar = tar::Builder::new(Vec::new());
                raw_entry(&mut tar, "out", kind, "..", b"");
                raw_entry(&mut tar, "out/escaped", tar::EntryType::Regular, "", b"x");
                raw_entry(&mut tar, "link", kind, name, b"");
                raw_entry(&mut tar, "link", tar::EntryType::Regular, "", b"x");
                all.push(tar.into_inner().unwrap());
            }
        }
        all.extend(xbstreams());
        all.extend(tars());
        all
    }
}

/// An entry with names as they are given, which the library that writes it wouldn't take.
fn raw_entry(
    tar: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: tar::EntryType,
    link: &str,
    bytes: &[u8],
) {
    let mut header = tar::Header::new_ustar();
    let raw = header.as_ustar_mut().unwrap();
    let cut = name.len().min(99);
    raw.name[..cut].copy_from_slice(&name.as_bytes()[..cut]);
    let cut = link.len().min(99);
    raw.linkname[..cut].copy_from_slice(&link.as_bytes()[..cut]);
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

/// As they are, before anything is made of them.
#[test]
fn names_and_links_that_lead_out() {
    let place = Extracting::new();
    for bytes in place.corpus() {
        place.extract(&bytes);
    }
}

fn unpack(bytes: &[u8]) {
    let mut unpack = Unpack::default();
    let mut size = 0;
    let _ = unpack.push(bytes, &mut |plain| size += plain.len());
    let _ = unpack.finish();
    // The block alone, as no checksum stands before it here.
    if bytes.len() > 67 {
        let _ = daybreak::transit::archive::quicklz::unpack(&bytes[67..], 1 << 16);
    }
    let _ = daybreak::transit::archive::quicklz::unpack(bytes, 1 << 16);
    assert!(size <= 64 << 20);
}

#[test]
fn the_unpacker_reads_what_the_tool_wrote() {
    let mut unpack = Unpack::default();
    let mut plain = Vec::new();
    // Byte by byte, as pieces may come.
    for byte in &packed()[0] {
        unpack.push(&[*byte], &mut |bytes| plain.extend_from_slice(bytes)).unwrap();
    }
    unpack.finish().unwrap();
    assert_eq!(plain, b"mysql-bin.000003\t6862477");
}

type Target = fn(&str, Until);

/// Each by its name.
const TARGETS: [(&str, Target); 10] = [
    ("xbstream", |name, until| run(name, until, &xbstreams(), &archives("b.xbstream"))),
    ("tar", |name, until| run(name, until, &tars(), &archives("b.tar"))),
    ("gzip", |name, until| run(name, until, &gzipped(), &gzips)),
    ("extract", |name, until| {
        let place = Extracting::new();
        run(name, until, &place.corpus(), &|bytes| place.extract(bytes));
    }),
    ("checkpoints", |name, until| run(name, until, &[CHECKPOINTS.into()], &checkpoints)),
    ("info", |name, until| run(name, until, &[INFO.into()], &info)),
    ("positions", |name, until| {
        run(name, until, &[b"b.1\t4".to_vec(), b"./b.1\t4\ta-b:1".to_vec()], &positions);
    }),
    ("secrets", |name, until| run(name, until, &[INFO.into(), CHECKPOINTS.into()], &secrets)),
    ("contents", |name, until| run(name, until, &looked_into(), &contents)),
    ("qpress", |name, until| run(name, until, &packed(), &unpack)),
];

#[test]
fn a_short_corpus() {
    for (name, target) in TARGETS {
        target(name, Until::Rounds(1_500));
    }
}

#[test]
#[ignore = "slow: make fuzz"]
fn fuzz_for_long() {
    // One target a core.
    let left = Mutex::new(TARGETS.into_iter());
    let next = || left.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, target)) = next() {
                    target(name, long());
                }
            });
        }
    });
}
