//! Directories that lost something after they were taken: a file, its end, a page of it. Made from the real
//! chain, one loss at a time.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use daybreak::transit::{
    archive::blobs_of_path,
    inspect::Survey,
    inspection::{Inspection, Profile},
};

use crate::samples::{blockers, directory, extracted, look};

struct Chain {
    tree: tempfile::TempDir,
}

impl Chain {
    fn new() -> Chain {
        Chain { tree: extracted(&directory().join("chain_dir.tar.gz")).0 }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    /// Does it, looks, and puts the files back.
    fn without(&self, files: &[&str], change: impl Fn(&Path)) -> Inspection {
        let kept: Vec<Vec<u8>> =
            files.iter().map(|file| fs::read(self.at(file)).unwrap()).collect();
        files.iter().for_each(|file| change(&self.at(file)));
        let found = look(self.tree.path(), Profile::Any);
        for (file, bytes) in files.iter().zip(kept) {
            fs::write(self.at(file), bytes).unwrap();
        }
        found
    }

    /// The finding that names the loss; the backup isn't whole.
    fn lost(&self, files: &[&str], id: &str, change: impl Fn(&Path)) -> String {
        let found = self.without(files, change);
        assert_eq!(blockers(&found), [id], "{files:?}: {:#?}", found.findings);
        assert!(!found.whole, "{files:?}");
        found.blockers().next().unwrap().why.clone()
    }
}

fn cut(size: u64) -> impl Fn(&Path) {
    move |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap()
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn put(at: u64, bytes: Vec<u8>) -> impl Fn(&Path) {
    move |path| {
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}

/// One bit of one byte.
fn flip(at: usize) -> impl Fn(&Path) {
    move |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn redo_logs_cut_or_damaged() {
    let chain = Chain::new();
    for link in ["full", "inc1", "inc2"] {
        let log = format!("{link}/xtrabackup_logfile");
        let size = fs::metadata(chain.at(&log)).unwrap().len();
        for to in [0, 100, 2048, size / 2, size - 512, size - 300] {
            let why = chain.lost(&[&log], "backup.file_damaged", cut(to));
            assert!(why.contains("xtrabackup_logfile") && why.contains("LSN"), "{why}");
        }
        for at in [2048, 2048 + 512 + 100, size as usize / 2, size as usize - 400] {
            chain.lost(&[&log], "backup.file_damaged", flip(at));
        }
    }
    assert!(look(chain.tree.path(), Profile::Any).whole);
}

#[test]
fn tables_without_their_files() {
    let chain = Chain::new();
    let why = chain.lost(&["full/shop/orders.ibd"], "backup.file_missing", remove);
    assert!(why.contains("shop/orders.ibd"), "{why}");
    let delta = ["inc1/shop/orders.ibd.delta", "inc1/shop/orders.ibd.meta"];
    let why = chain.lost(&delta, "backup.file_missing", remove);
    assert!(why.contains("shop/orders.ibd.delta"), "{why}");
    // In the last link, against the one before it.
    let delta = ["inc2/shop/orders.ibd.delta", "inc2/shop/orders.ibd.meta"];
    chain.lost(&delta, "backup.file_missing", remove);
    // A table that only this link has: its base can't tell.
    let new = ["inc1/shop/born_between.ibd.delta", "inc1/shop/born_between.ibd.meta"];
    let found = chain.without(&new, remove);
    let said = found.findings.iter().find(|one| one.id == "backup.table_unfiled");
    assert!(said.is_some_and(|one| one.why.contains("born_between")), "{:#?}", found.findings);
    // Of the whole chain nothing of the sort is said.
    let found = look(chain.tree.path(), Profile::Any);
    assert!(found.whole && !found.partial);
    assert!(!found.findings.iter().any(|one| one.id == "backup.table_unfiled"));
}

#[test]
fn pages_that_are_nonsense() {
    let chain = Chain::new();
    let nonsense: Vec<u8> =
        (0..16384_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let why = chain.lost(
        &["full/shop/orders.ibd"],
        "backup.page_damaged",
        put(3 * 16384, nonsense.clone()),
    );
    assert!(why.contains("shop/orders.ibd: page 3"), "{why}");
    // A page in another's place fits its checksum.
    let bytes = fs::read(chain.at("full/shop/orders.ibd")).unwrap();
    let other = bytes[3 * 16384..4 * 16384].to_vec();
    chain.lost(&["full/shop/orders.ibd"], "backup.page_damaged", put(4 * 16384, other));
    for (file, at) in [
        ("full/shop/orders.ibd", 3 * 16384 + 9000),
        ("full/ibdata1", 7 * 16384 + 300),
        ("inc1/shop/orders.ibd.delta", 16384 + 5000),
        ("inc2/ibdata1.delta", 16384 + 60),
    ] {
        let why = chain.lost(&[file], "backup.page_damaged", flip(at));
        assert!(why.contains(file.split_once('/').unwrap().1), "{why}");
    }
    // All pages of a delta beside those that it names.
    let delta = "inc1/shop/orders.ibd.delta";
    chain.lost(&[delta], "backup.file_damaged", flip(7));
    assert!(look(chain.tree.path(), Profile::Any).whole);
}

#[test]
fn tables_of_myisam_cut() {
    let chain = Chain::new();
    let (data, index) = ("full/shop/notes_myisam.MYD", "full/shop/notes_myisam.MYI");
    let size = fs::metadata(chain.at(data)).unwrap().len();
    for to in [0, size - 1] {
        let why = chain.lost(&[data], "backup.file_damaged", cut(to));
        assert!(why.contains("notes_myisam"), "{why}");
    }
    for to in [0, 50, 1500] {
        chain.lost(&[index], "backup.file_damaged", cut(to));
    }
}

/// What isn't read isn't called whole; it can be extracted, and is whole when it was unpacked.
#[test]
fn what_is_not_read_is_not_whole() {
    let chain = Chain::new();
    let full = chain.at("full");
    let mut packed = 0;
    for blob in blobs_of_path(&full).unwrap() {
        if blob.name.ends_with(".ibd") || blob.name == "ibdata1" {
            let path = full.join(&blob.name);
            fs::rename(&path, format!("{}.zst", path.display())).unwrap();
            packed += 1;
        }
    }
    assert!(packed > 5);
    for profile in [Profile::Any, Profile::Aurora] {
        let found = look(&full, profile);
        assert!(
            !found.whole && blockers(&found).contains(&"backup.unread"),
            "{:#?}",
            found.findings
        );
    }
    let to = tempfile::tempdir().unwrap();
    let nowhere = daybreak::event::Events::nowhere();
    let survey = Survey::extract(blobs_of_path(&full).unwrap(), to.path(), &nowhere).unwrap();
    assert!(survey.is_sound() && to.path().join("ibdata1.zst").exists());
    // With damage beside it, it isn't.
    fs::write(full.join("xtrabackup_checkpoints"), "").unwrap();
    let survey = Survey::read(blobs_of_path(&full).unwrap(), &nowhere).unwrap();
    assert!(!survey.is_sound());
}
