//! Copies of a real backup that Aurora takes, bent in one place, and what must be said of them.

use std::{collections::BTreeMap, sync::LazyLock};

use daybreak::{
    engine::Severity,
    transit::{
        archive::Blob,
        inspect::{inspect, rules::rule},
        inspection::{Inspection, Outcome, Profile},
    },
};

use crate::{
    samples::{contents, directory, extracted},
    streams::{head, payload},
};

pub type Files = BTreeMap<String, Vec<u8>>;

pub const PAGE: usize = 16384;
/// What InnoDB writes with `innodb_checksum_algorithm=none`.
const NO_CHECKSUM: [u8; 4] = 0xdead_beef_u32.to_be_bytes();

/// The real chain, as if MySQL 5.7 had been backed up, without the tables that Aurora doesn't take.
pub static CHAIN: LazyLock<Files> = LazyLock::new(|| {
    let (tree, found) = extracted(&directory().join("chain_dir.tar.gz"));
    assert!(found.whole);
    let mut files = contents(tree.path());
    for link in ["full", "inc1", "inc2"] {
        let at = |name: &str| format!("{link}/{name}");
        info(&mut files, &at(""), "server_version", "5.7.44-log");
        info(&mut files, &at(""), "tool_version", "2.4.29");
        files.retain(|name, _| {
            name != &at("shop/mem.frm") && !name.starts_with(&at("shop/notes_myisam."))
        });
    }
    // The table with ROW_FORMAT=COMPRESSED becomes one without.
    let mut plain = files["full/shop/docs.ibd"].clone();
    let number = files["full/shop/zipped.ibd"][34..38].to_vec();
    first_page(&mut plain, |page| {
        page[34..38].copy_from_slice(&number);
        page[38..42].copy_from_slice(&number);
    });
    files.insert("full/shop/zipped.ibd".into(), plain);
    for link in ["inc1", "inc2"] {
        let number = u32::from_be_bytes(number[..].try_into().unwrap());
        let meta = format!("page_size = {PAGE}\nzip_size = 0\nspace_id = {number}\n");
        files.insert(format!("{link}/shop/zipped.ibd.meta"), meta.into_bytes());
        let delta = files.get_mut(&format!("{link}/shop/zipped.ibd.delta")).unwrap();
        // No changed page.
        let mut none = vec![0; PAGE];
        none[..4].copy_from_slice(b"XTRA");
        none[4..8].fill(0xff);
        *delta = none;
    }
    files
});

/// The full backup alone.
pub fn full() -> Files {
    let own = |(name, bytes): (&String, &Vec<u8>)| {
        Some((name.strip_prefix("full/")?.to_string(), bytes.clone()))
    };
    CHAIN.iter().filter_map(own).collect()
}

/// The same of MySQL 8.0.
pub fn full_80(server: &str, tool: &str) -> Files {
    let mut files = full();
    info(&mut files, "", "server_version", server);
    info(&mut files, "", "tool_version", tool);
    files.insert("mysql.ibd".into(), files["shop/docs.ibd"].clone());
    files
}

pub fn with(mut files: Files, bend: impl FnOnce(&mut Files)) -> Files {
    bend(&mut files);
    files
}

/// Changes a line `key = value` (or `key=value`) of a text.
pub fn line(files: &mut Files, name: &str, key: &str, value: &str) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    let mut seen = 0;
    let lines = text.lines().map(|line| match line.split_once('=') {
        Some((found, _)) if found.trim() == key => {
            seen += 1;
            format!("{key} = {value}\n")
        }
        _ => format!("{line}\n"),
    });
    let changed: String = lines.collect();
    assert_eq!(seen, 1, "{key} in {name}");
    files.insert(name.into(), changed.into_bytes());
}

pub fn info(files: &mut Files, below: &str, key: &str, value: &str) {
    line(files, &format!("{below}xtrabackup_info"), key, value);
}

pub fn setting(key: &'static str, value: &'static str) -> impl FnOnce(&mut Files) {
    move |files| line(files, "backup-my.cnf", key, value)
}

pub fn server(version: &'static str) -> Files {
    with(full(), |files| info(files, "", "server_version", version))
}

/// Changes the first page of a tablespace, which then goes without a checksum.
pub fn first_page(space: &mut [u8], change: impl FnOnce(&mut [u8])) {
    page(space, 0, change);
}

pub fn page(space: &mut [u8], number: usize, change: impl FnOnce(&mut [u8])) {
    let page = &mut space[number * PAGE..(number + 1) * PAGE];
    change(page);
    page[..4].copy_from_slice(&NO_CHECKSUM);
    page[PAGE - 8..PAGE - 4].copy_from_slice(&NO_CHECKSUM);
}

/// Sets bits among the flags of a table's tablespace.
pub fn flagged(bits: u32) -> Files {
    with(full(), |files| {
        first_page(files.get_mut("shop/docs.ibd").unwrap(), |page| {
            let flags = u32::from_be_bytes(page[54..58].try_into().unwrap()) | bits;
            page[54..58].copy_from_slice(&flags.to_be_bytes());
        });
    })
}

/// Makes a page of a table one of another type.
pub fn typed(kind: u16) -> Files {
    with(full(), |files| {
        let space = files.get_mut("shop/docs.ibd").unwrap();
        page(space, 3, |page| page[24..26].copy_from_slice(&kind.to_be_bytes()));
    })
}

/// A table's definition with another engine.
pub fn of_engine(files: &mut Files, name: &str, engine: u8) {
    let mut frm = files["shop/docs.frm"].clone();
    frm[3] = engine;
    files.insert(format!("{name}.frm"), frm);
}

pub fn blobs(files: &Files) -> Vec<Blob> {
    files.iter().map(|(name, bytes)| Blob::of_bytes(name, bytes.clone())).collect()
}

/// Files as an xbstream.
pub fn stream(files: &Files) -> Vec<u8> {
    let one = |(name, bytes): (&String, &Vec<u8>)| {
        [payload(0, name, 0, bytes), head(0, b'E', name)].concat()
    };
    files.iter().flat_map(one).collect()
}

pub fn tar(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Each rule that isn't kept to, notes left out.
pub fn failed(found: &Inspection) -> Vec<&str> {
    let failed = found.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    let mut ids: Vec<&str> = failed.map(|check| check.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Exactly this rule is broken, by Aurora's profile with its weight and remedy, and by the other one only if
/// the rule holds there.
#[track_caller]
pub fn broken_in(blobs: Vec<Blob>, id: &str, says: &str, remedy: &str) {
    let of = |found: &Inspection| found.findings.iter().find(|one| one.id == id).cloned();
    let found = inspect(blobs.clone(), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), [id], "{:#?}", found.findings);
    let (rule, one) = (rule(id).unwrap(), of(&found).unwrap());
    assert_eq!(one.severity, rule.aurora, "{id}");
    assert!(one.why.contains(says), "{id}: {says:?} in {}", one.why);
    assert!(one.remedy.contains(remedy), "{id}: {remedy:?} in {}", one.remedy);
    let blocks = found.blockers().any(|one| one.id == id);
    assert_eq!(blocks, rule.aurora == Severity::Blocker, "{id}");
    let any = of(&inspect(blobs, Profile::Any).unwrap());
    assert_eq!(any.map(|one| one.severity), rule.any, "{id}");
}

#[track_caller]
pub fn broken(files: &Files, id: &str, says: &str, remedy: &str) {
    broken_in(blobs(files), id, says, remedy);
}

/// Every rule is kept to.
#[track_caller]
pub fn kept_in(blobs: Vec<Blob>) {
    let found = inspect(blobs, Profile::Aurora).unwrap();
    assert!(found.whole, "{:#?}", found.findings);
    assert_eq!(failed(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    for check in &found.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{}", check.id);
    }
}

#[track_caller]
pub fn kept(files: &Files) {
    kept_in(blobs(files));
}
