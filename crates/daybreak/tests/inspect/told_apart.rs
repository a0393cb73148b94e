//! Each sample is what it is.

use daybreak::{
    event::{Event, Events},
    transit::{
        archive::blobs_of_path,
        inspect::Survey,
        inspection::{BackupKind, Form, Product, Profile},
    },
};

use crate::samples::{blockers, contents, directory, extracted, look};

fn position(inspection: &daybreak::transit::inspection::Inspection) -> String {
    let coordinates = inspection.coordinates.as_ref().expect("coordinates");
    coordinates.file.as_ref().expect("a file").to_string()
}

#[test]
fn a_chain_of_directories_in_a_tar() {
    let samples = directory();
    let found = look(&samples.join("chain_dir.tar.gz"), Profile::Any);
    assert_eq!(blockers(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    assert!(found.whole && !found.partial && !found.compressed && !found.encrypted);
    let links: Vec<(&str, BackupKind, u64)> =
        found.chain.iter().map(|link| (link.name.as_str(), link.kind, link.to_lsn)).collect();
    assert_eq!(
        links,
        [
            ("chain_dir.tar.gz/full", BackupKind::Full, 5_209_883),
            ("chain_dir.tar.gz/inc1", BackupKind::Incremental, 6_539_814),
            ("chain_dir.tar.gz/inc2", BackupKind::Incremental, 6_883_810),
        ]
    );
    assert_eq!(position(&found), "mysql-bin.000003:699306");
    assert_eq!((found.product, found.page_size), (Some(Product::Mysql), Some(16384)));
    assert_eq!(found.server_version.as_deref(), Some("5.6.24-log"));
    assert_eq!(found.tool_version.as_deref(), Some("2.3.0alpha1"));
    // Aurora takes neither that server nor the tables in it as they are.
    let found = look(&samples.join("chain_dir.tar.gz"), Profile::Aurora);
    let ids = blockers(&found);
    for id in ["backup.server_version", "backup.row_format", "backup.incremental_form"] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    assert!(found.whole);
}

/// The last figure that is told is that of all.
#[test]
fn what_is_told_of_the_reading_ends_at_its_end() {
    let figures = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = Events::to({
        let figures = figures.clone();
        move |event| {
            if let Event::Progress { done, total, .. } = event {
                figures.lock().unwrap().push((*done, *total));
            }
        }
    });
    let (tree, _) = extracted(&directory().join("prepared_chain.tar.gz"));
    let blobs = blobs_of_path(tree.path()).unwrap();
    let size: u64 = blobs.iter().map(|blob| blob.size).sum();
    Survey::read(blobs, &events).unwrap();
    let figures = figures.lock().unwrap();
    assert!(figures.len() > 1 && figures.is_sorted(), "{figures:?}");
    assert_eq!(figures.last(), Some(&(size, Some(size))), "{figures:?}");
}

#[test]
fn a_merged_and_prepared_chain_knows_its_true_position() {
    let samples = directory();
    let found = look(&samples.join("prepared_chain.tar.gz"), Profile::Any);
    assert_eq!(blockers(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    assert!(found.whole);
    assert_eq!(found.kind, Some(BackupKind::Prepared));
    // Its own xtrabackup_binlog_info says mysql-bin.000002:244383.
    assert_eq!(position(&found), "mysql-bin.000003:699306");
    assert!(found.findings.iter().any(|finding| finding.id == "backup.coordinates_stale"));

    // Without the file that --prepare wrote, the page of the transaction system knows it too.
    let (tree, _) = extracted(&samples.join("prepared_chain.tar.gz"));
    std::fs::remove_file(tree.path().join("chain/xtrabackup_binlog_pos_innodb")).unwrap();
    assert_eq!(
        position(&look(&tree.path().join("chain"), Profile::Any)),
        "mysql-bin.000003:699306"
    );
}

#[test]
fn streams_and_parts() {
    let samples = directory();
    for (name, form, at, files) in [
        ("full.xbstream.gz", Form::XbstreamGz, "mysql-bin.000003:2742506", 180),
        ("backup.tar.gz.02", Form::TarGz, "mysql-bin.000003:4816834", 180),
        ("inc3.xbstream.gz", Form::XbstreamGz, "", 0),
        ("compressed.xbstream.gz", Form::XbstreamGz, "mysql-bin.000003:6862477", 180),
    ] {
        let found = look(&samples.join(name), Profile::Any);
        println!("{name}: {} files, {}, {:#?}", found.files, position(&found), found.findings);
        assert!(found.whole && !found.partial, "{name}");
        assert_eq!(found.compressed, name.starts_with("compressed"), "{name}");
        assert_eq!(found.chain.len(), 1, "{name}");
        assert_eq!(found.chain[0].form, form, "{name}");
        if name.starts_with("inc3") {
            assert_eq!(found.kind, Some(BackupKind::Incremental));
            assert_eq!(blockers(&found), ["backup.no_base"]);
            continue;
        }
        assert_eq!(blockers(&found), Vec::<&str>::new(), "{name}: {:#?}", found.findings);
        assert_eq!(found.kind, Some(BackupKind::Full));
        assert_eq!(position(&found), at, "{name}");
        assert_eq!(found.files, files, "{name}");
    }
    let found = look(&samples.join("full.xbstream.gz"), Profile::Aurora);
    assert!(blockers(&found).contains(&"backup.gzipped_xbstream"));
    let found = look(&samples.join("compressed.xbstream.gz"), Profile::Aurora);
    assert!(blockers(&found).contains(&"backup.compressed"));
}

#[test]
fn a_partial_backup() {
    let samples = directory();
    let path = samples.join("partial_db_shop.tar.gz");
    let found = look(&path, Profile::Any);
    assert!(found.whole && found.partial);
    assert!(blockers(&look(&path, Profile::Aurora)).contains(&"backup.partial"));
    // Each sign alone is enough.
    let (tree, _) = extracted(&path);
    let tree = tree.path().join("partial_nomysql");
    let info = std::fs::read_to_string(tree.join("xtrabackup_info")).unwrap();
    let write = |text: &str| std::fs::write(tree.join("xtrabackup_info"), text).unwrap();
    let plain = info.replace("partial = Y", "partial = N").replace("--databases=shop ", "");
    write(&plain);
    let found = look(&tree, Profile::Aurora);
    assert!(found.partial && blockers(&found).contains(&"backup.partial"));
    let signs = found.findings.iter().find(|one| one.id == "backup.partial").unwrap();
    assert!(signs.why.contains("dictionary names: logs/hits#P#"), "{}", signs.why);
}

#[test]
fn damaged_samples_are_refused() {
    let samples = directory();
    for name in ["bad_one_bit.xbstream.gz", "bad_cut_between_chunks.xbstream.gz"] {
        for profile in [Profile::Any, Profile::Aurora] {
            let found = look(&samples.join(name), profile);
            assert!(!found.whole, "{name}");
            assert!(blockers(&found).contains(&"backup.damaged"), "{name}: {:?}", blockers(&found));
        }
        let empty = tempfile::tempdir().unwrap();
        let blobs = daybreak::transit::archive::blobs_of_path(&samples.join(name)).unwrap();
        let events = daybreak::event::Events::nowhere();
        daybreak::transit::inspect::Survey::extract(blobs, empty.path(), &events).unwrap();
        assert_eq!(contents(empty.path()).len(), 0, "{name} leaves nothing behind");
    }
}

#[test]
fn extracted_files_agree_between_directory_tar_and_stream() {
    let samples = directory();
    for name in ["full.xbstream.gz", "chain_dir.tar.gz", "backup.tar.gz.00", "inc3.xbstream.gz"] {
        let (tree, found) = extracted(&samples.join(name));
        assert!(found.whole, "{name}");
        let files = contents(tree.path());
        // As the system's tar unpacks it; an xbstream goes through a tar of what was extracted.
        let other = tempfile::tempdir().unwrap();
        let archive = other.path().join("again.tar");
        let tar = |arguments: &[&str]| {
            let run = std::process::Command::new("tar").args(arguments).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        };
        if name.contains("tar") {
            let reference = other.path().join("reference");
            std::fs::create_dir(&reference).unwrap();
            let shell = if name.starts_with("backup") { "backup.tar.gz.*" } else { name };
            let run = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("cat {shell} | tar xz -C \"$0\""))
                .arg(&reference)
                .current_dir(&samples)
                .status();
            assert!(run.unwrap().success());
            assert!(contents(&reference) == files, "{name} differs from tar's");
        }
        tar(&["cf", archive.to_str().unwrap(), "-C", tree.path().to_str().unwrap(), "."]);
        let (again, found_again) = extracted(&archive);
        assert!(contents(again.path()) == files, "{name} differs after tar");
        assert_eq!((found.files, found.bytes), (found_again.files, found_again.bytes), "{name}");
        // And as the directory that it now is.
        let as_tree = look(tree.path(), Profile::Any);
        assert_eq!((found.files, found.bytes), (as_tree.files, as_tree.bytes), "{name}");
        assert_eq!(found.coordinates, as_tree.coordinates, "{name}");
        assert!(as_tree.whole, "{name}: {:#?}", as_tree.findings);
    }
}
