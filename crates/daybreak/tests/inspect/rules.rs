//! Each of Aurora's rules by itself, on copies of a real backup that are bent in one place: kept to, and
//! broken, on both sides of each bound.

use std::sync::Arc;

use daybreak::{
    engine::Severity,
    transit::{MAX_OBJECTS, MAX_TOTAL, archive::Blob, inspect::inspect, inspection::Profile},
};

use crate::{
    bent::{
        CHAIN, Files, PAGE, blobs, broken, broken_in, failed, flagged, full, full_80, gzip, info,
        kept, kept_in, line, of_engine, page, server, setting, stream, tar, typed, with,
    },
    samples::{contents, directory, extracted},
    streams::head,
};

/// Without this the others would prove nothing.
#[test]
fn a_backup_that_aurora_takes_keeps_to_every_rule() {
    kept(&full());
    kept(&full_80("8.0.35", "8.0.35-30"));
    let found = inspect(blobs(&CHAIN), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), Vec::<&str>::new(), "{:#?}", found.findings);
    assert!(found.whole && found.chain.len() == 3);
}

#[test]
fn servers() {
    for version in ["5.7.9", "5.7.44-log", "5.7.33-0ubuntu0.16.04.1-log"] {
        kept(&server(version));
    }
    for version in ["5.6.51-log", "5.5.62", "8.4.0", "8.1.0", "9.7.4"] {
        let files = match version < "8" {
            true => server(version),
            false => full_80(version, "8.0.35"),
        };
        broken(&files, "backup.server_version", version, "upgrade the source to 5.7 or 8.0");
    }
    let of = |version: &'static str| with(full(), |f| info(f, "", "server_version", version));
    broken(&of("5.7.44-48"), "backup.product", "Percona Server", "logical route");
    broken(&of("10.6.18-MariaDB-log"), "backup.product", "MariaDB", "logical route");
    // By its dictionaries of compressed columns, which aren't migrated either.
    let files = with(full(), |files| of_engine(files, "mysql/compression_dictionary", 12));
    let found = inspect(blobs(&files), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), ["backup.mysql_tables", "backup.product"]);
    for release in ["8.0.11", "8.0.13", "8.0.15"] {
        broken(
            &full_80(release, "8.0.35"),
            "backup.server_release",
            release,
            "upgrade the source within 8.0",
        );
    }
    for release in ["8.0.12", "8.0.14", "8.0.16"] {
        kept(&full_80(release, "8.0.35"));
    }
}

#[test]
fn tools() {
    let of = |tool: &'static str| with(full(), |files| info(files, "", "tool_version", tool));
    let remedy = "take the backup with that version";
    for tool in ["2.4.0", "2.4.29"] {
        kept(&of(tool));
    }
    for tool in ["2.3.10", "2.5.0", "8.0.35-30", "nobody knows"] {
        broken(&of(tool), "backup.tool", tool, remedy);
    }
    // Of 8.0 not older than the server, to the release.
    for tool in ["8.0.35-30", "8.0.36"] {
        kept(&full_80("8.0.35", tool));
    }
    for tool in ["8.0.34-29", "2.4.29", "8.1.0", "8.4.0"] {
        broken(&full_80("8.0.35", tool), "backup.tool", tool, remedy);
    }
}

#[test]
fn settings() {
    for (key, good, bad, id, remedy) in [
        ("innodb_page_size", &["16384"][..], &["8192", "32768"][..], "page_size", "logical route"),
        (
            "innodb_data_file_path",
            &["ibdata1:12M:autoextend", "./ibdata1:12M:autoextend", "\"ibdata1:12m:AUTOEXTEND\""],
            &["ibdata1:76M:autoextend", "ibdata1:12M", "ibdata1:12M:autoextend:max:64G"],
            "data_files",
            "logical route",
        ),
        (
            "innodb_log_files_in_group",
            &["2"],
            &["1", "3"],
            "log_files",
            "innodb_log_files_in_group = 2 at the source",
        ),
    ] {
        let id = format!("backup.{id}");
        for value in good {
            kept(&with(full(), setting(key, value)));
        }
        for value in bad {
            broken(&with(full(), setting(key, value)), &id, value, remedy);
        }
    }
    // A second file, which is there.
    let two = with(full(), |files| {
        setting("innodb_data_file_path", "ibdata1:12M;ibdata2:10M:autoextend")(files);
        files.insert("ibdata2".into(), vec![0; PAGE]);
    });
    broken(&two, "backup.data_files", "ibdata2", "logical route");
    // MySQL 8.0.30 and later have no group of log files.
    kept(&with(full_80("8.0.35", "8.0.35"), setting("innodb_log_files_in_group", "32")));
}

#[test]
fn what_the_tool_was_told() {
    for value in ["0", "1"] {
        let files = with(full(), |files| line(files, "xtrabackup_checkpoints", "compact", value));
        match value {
            "0" => kept(&files),
            _ => broken(&files, "backup.compact", ".", "without --compact"),
        }
    }
    for value in ["N", "none"] {
        kept(&with(full(), |files| info(files, "", "encrypted", value)));
    }
    let files = with(full(), |files| info(files, "", "encrypted", "Y"));
    broken(&files, "backup.encrypted", ".", "without --encrypt");
    let files = with(full(), |files| info(files, "", "compressed", "compressed"));
    broken(&files, "backup.compressed", ".", "without --compress");
    // By the file alone; that it can't be looked into is another rule.
    let files = with(full(), |files| {
        let bytes = files.remove("shop/docs.ibd").unwrap();
        files.insert("shop/docs.ibd.xbcrypt".into(), bytes);
    });
    let found = inspect(blobs(&files), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), ["backup.encrypted", "backup.unread"]);
}

#[test]
fn tablespaces() {
    kept(&flagged(0));
    kept(&typed(17855));
    // As MySQL's flags have it: encrypted means not Antelope, too.
    broken(&flagged(1 << 13 | 1), "backup.tablespace_encrypted", "shop.docs", "ENCRYPTION='N'");
    broken(&typed(15), "backup.tablespace_encrypted", "shop.docs", "ENCRYPTION='N'");
    broken(&typed(14), "backup.page_compression", "shop.docs", "COMPRESSION='NONE'");
    broken(&flagged(1 << 10), "backup.data_directory", "shop.docs", "without DATA DIRECTORY");
    let zipped = with(full(), |files| {
        let (tree, _) = extracted(&directory().join("chain_dir.tar.gz"));
        let real = std::fs::read(tree.path().join("full/shop/zipped.ibd")).unwrap();
        files.insert("shop/zipped.ibd".into(), real);
    });
    broken(&zipped, "backup.row_format", "shop.zipped", "ROW_FORMAT=DYNAMIC");
}

#[test]
fn engines_and_tables() {
    for (engine, name, beside) in [
        (6, "MEMORY", &[][..]),
        (16, "ARCHIVE", &["ARZ"]),
        (17, "CSV", &["CSV", "CSM"]),
        (18, "FEDERATED", &[]),
        (19, "BLACKHOLE", &[]),
    ] {
        let files = with(full(), |files| {
            of_engine(files, "shop/other", engine);
            for ending in beside {
                files.insert(format!("shop/other.{ending}"), Vec::new());
            }
        });
        let says = format!("shop.other ({name})");
        broken(&files, "backup.engine", &says, "ENGINE=InnoDB");
    }
    // The server's own logs are of CSV, its statistics of no engine that counts.
    assert!(full().contains_key("mysql/slow_log.CSV"));
    let mine = with(full(), |files| of_engine(files, "mysql/mine", 12));
    broken(&mine, "backup.mysql_tables", "mysql.mine", "another database");
    for own in ["mysql/server_cost", "mysql/gtid_executed", "mysql/backup_history"] {
        kept(&with(full(), |files| of_engine(files, own, 12)));
    }
    let (tree, _) = extracted(&directory().join("chain_dir.tar.gz"));
    let myisam = with(full(), |files| {
        for ending in ["frm", "MYD", "MYI"] {
            let name = format!("shop/notes_myisam.{ending}");
            let real = std::fs::read(tree.path().join("full").join(&name)).unwrap();
            files.insert(name, real);
        }
    });
    broken(&myisam, "backup.myisam", "shop.notes_myisam", "ENGINE=InnoDB");
}

/// A file that claims a size; nobody opens it.
fn claims(name: String, size: u64) -> Blob {
    let open = || Err(std::io::Error::other("nobody looks into this one"));
    Blob { name, size, open: Arc::new(open) }
}

#[test]
fn bytes_in_all() {
    let good = inspect(blobs(&full()), Profile::Aurora).unwrap();
    let filled = |bytes: u64| {
        let mut all = blobs(&full());
        all.push(claims("ib_buffer_pool".into(), bytes));
        all
    };
    kept_in(filled(MAX_TOTAL - good.bytes));
    broken_in(filled(MAX_TOTAL - good.bytes + 1), "backup.size", "bytes", "logical route");
}

#[test]
fn files_in_all() {
    // Without tables: what is held against each file would take long for a million.
    let small = |count: u64| {
        let names = ["xtrabackup_checkpoints", "xtrabackup_info", "backup-my.cnf"];
        let mut all: Vec<Blob> =
            names.iter().map(|name| Blob::of_bytes(*name, full()[*name].clone())).collect();
        all.extend((all.len() as u64..count).map(|n| claims(format!("undo{n}"), 1)));
        let found = inspect(all, Profile::Aurora).unwrap();
        assert_eq!(found.files, count);
        found.findings.into_iter().find(|one| one.id == "backup.files")
    };
    assert_eq!(small(MAX_OBJECTS), None);
    let found = small(MAX_OBJECTS + 1).unwrap();
    assert_eq!(found.severity, Severity::Blocker);
    assert!(found.why.contains("1000001 files") && found.remedy.contains("make a tar"));
}

#[test]
fn names_of_archives_and_their_parts() {
    let files = full();
    let (stream, tar) = (stream(&files), tar(&files));
    let packed = gzip(&tar);
    let one = |name: &str, bytes: &[u8]| vec![Blob::of_bytes(name, bytes.to_vec())];
    kept_in(one("backup.xbstream", &stream));
    kept_in(one("backup.tar", &tar));
    kept_in(one("backup.tar.gz", &packed));
    let remedy = "name it .tar, .tar.gz or .xbstream";
    for (name, bytes) in [
        ("backup", &stream),
        ("backup.xbs", &stream),
        ("backup.tar", &stream),
        ("backup", &tar),
        ("backup.tar.gz", &tar),
        ("backup.tar", &packed),
    ] {
        broken_in(one(name, bytes), "backup.name", name, remedy);
    }
    broken_in(
        one("backup.xbstream.gz", &gzip(&stream)),
        "backup.gzipped_xbstream",
        "backup.xbstream",
        "upload the xbstream itself",
    );
    // Parts: the same width, and no dot before the number.
    let parts = |names: &[&str]| -> Vec<Blob> {
        let size = stream.len() / names.len() + 1;
        let pieces = stream.chunks(size).zip(names);
        pieces.map(|(bytes, name)| Blob::of_bytes(*name, bytes.to_vec())).collect()
    };
    kept_in(parts(&["b.xbstream00", "b.xbstream01", "b.xbstream02"]));
    for names in [&["b.xbstream.00", "b.xbstream.01"][..], &["b.xbstream0", "b.xbstream01"]] {
        broken_in(parts(names), "backup.part_names", "b.xbstream", "split -d -a 5");
    }
}

/// Links of the chain, each in its own form.
#[test]
fn forms_beside_each_other() {
    let link = |name: &str| -> Files {
        let begins = format!("{name}/");
        let of = |(file, bytes): (&String, &Vec<u8>)| {
            Some((file.strip_prefix(&begins)?.to_string(), bytes.clone()))
        };
        CHAIN.iter().filter_map(of).collect()
    };
    let mut mixed: Vec<Blob> = blobs(&CHAIN);
    mixed.retain(|blob| blob.name.starts_with("full/"));
    mixed.push(Blob::of_bytes("inc1.xbstream", stream(&link("inc1"))));
    let found = inspect(mixed.clone(), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), ["backup.incremental_form", "backup.mixed_forms"]);
    let one = found.findings.iter().find(|one| one.id == "backup.mixed_forms").unwrap();
    assert_eq!(one.severity, Severity::Blocker);
    assert!(one.remedy.contains("one form in a directory or prefix"), "{}", one.remedy);
    let found = inspect(mixed, Profile::Any).unwrap();
    let one = found.findings.iter().find(|one| one.id == "backup.mixed_forms").unwrap();
    assert_eq!(one.severity, Severity::Warning);
    // In one form it isn't said.
    let archives = ["full", "inc1"]
        .map(|name| Blob::of_bytes(format!("{name}.xbstream"), stream(&link(name))));
    let found = inspect(archives.to_vec(), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), ["backup.incremental_form"]);
}

#[test]
fn links_of_different_servers_and_in_another_order() {
    let bent = |bend: &dyn Fn(&mut Files)| with(CHAIN.clone(), |files| bend(files));
    let again = "take the chain again";
    for (bend, says) in [
        (
            &(|files: &mut Files| line(files, "inc2/backup-my.cnf", "innodb_page_size", "8192"))
                as &dyn Fn(&mut Files),
            "innodb_page_size",
        ),
        (&|files| info(files, "inc1/", "server_version", "8.0.35"), "server versions"),
        (&|files| info(files, "inc1/", "server_version", "5.7.44-48"), "products"),
        (
            &|files| {
                let key = "innodb_data_file_path";
                line(files, "inc1/backup-my.cnf", key, "ibdata1:10M:autoextend");
            },
            "innodb_data_file_path",
        ),
    ] {
        for profile in [Profile::Aurora, Profile::Any] {
            let found = inspect(blobs(&bent(bend)), profile).unwrap();
            let one = found.findings.iter().find(|one| one.id == "backup.mixed_servers");
            let one = one.unwrap_or_else(|| panic!("{says}: {:#?}", found.findings));
            assert_eq!(one.severity, Severity::Blocker);
            assert!(one.why.contains(says) && one.remedy.contains(again), "{}", one.why);
        }
    }
    // Another release of the same server is no other server.
    let files = bent(&|files| info(files, "inc2/", "server_version", "5.7.45"));
    let found = inspect(blobs(&files), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), Vec::<&str>::new());
    // By LSN inc2 follows inc1; by its clock, or by the end of its redo log, it doesn't.
    let start =
        |time: &'static str| move |files: &mut Files| info(files, "inc2/", "start_time", time);
    let files = bent(&start("2026-11-21 02:48:13"));
    broken(&files, "backup.order", "inc2 comes before inc1", again);
    let text = String::from_utf8(CHAIN["inc1/xtrabackup_info"].clone()).unwrap();
    let same = text.lines().find_map(|line| line.strip_prefix("start_time = ")).unwrap();
    let files = bent(&|files| info(files, "inc2/", "start_time", same));
    let found = inspect(blobs(&files), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), Vec::<&str>::new(), "in the same second");
}

#[test]
fn coordinates() {
    let stated = |info_says: &'static str, file_says: &'static str| {
        with(full(), |files| {
            info(files, "", "binlog_pos", info_says);
            files.insert("xtrabackup_binlog_info".into(), file_says.into());
        })
    };
    let position = "filename 'mysql-bin.000002', position '244383'";
    kept(&stated(position, "mysql-bin.000002\t244383\n"));
    for other in ["mysql-bin.000002\t244384\n", "mysql-bin.000003\t244383\n"] {
        broken(&stated(position, other), "backup.coordinates_differ", ".", "take the backup again");
    }
    let sets = ["a:1-5", "a:1-6"].map(|set| {
        let set = set.replace('a', "3e11fa47-71ca-11e1-9e33-c80aa9429562");
        with(full(), |files| {
            let said = format!("{position}, GTID of the last change '{set}'");
            info(files, "", "binlog_pos", &said);
            let set = set.replace("1-6", "1-5");
            let text = format!("mysql-bin.000002\t244383\t{set}\n");
            files.insert("xtrabackup_binlog_info".into(), text.into_bytes());
        })
    });
    kept(&sets[0]);
    broken(&sets[1], "backup.coordinates_differ", ".", "take the backup again");
    // None at all: the file isn't written without a binary log.
    let none = with(stated("", ""), |files| {
        files.remove("xtrabackup_binlog_info");
    });
    broken(&none, "backup.no_coordinates", ".", "turn log_bin on");
    kept(&with(stated(position, ""), |files| {
        files.remove("xtrabackup_binlog_info");
    }));
}

#[test]
fn coordinates_of_a_merged_chain() {
    let (tree, _) = extracted(&directory().join("prepared_chain.tar.gz"));
    let merged = contents(&tree.path().join("chain"));
    let found = |files: &Files, profile, id: &str| {
        let found = inspect(blobs(files), profile).unwrap();
        let one = found.findings.into_iter().find(|one| one.id == id);
        (one, found.coordinates)
    };
    let (unknown, differ) = ("backup.coordinates_unknown", "backup.coordinates_differ");
    for id in [unknown, differ] {
        assert_eq!(found(&merged, Profile::Aurora, id).0, None, "{id}");
    }
    // Neither the file nor the page of the transaction system knows it.
    let blind = with(merged.clone(), |files| {
        files.remove("xtrabackup_binlog_pos_innodb");
        let system = files.get_mut("ibdata1").unwrap();
        page(system, 5, |page| page[PAGE - 1000..PAGE - 900].fill(0));
    });
    for (profile, severity) in
        [(Profile::Aurora, Severity::Blocker), (Profile::Any, Severity::Warning)]
    {
        let (one, coordinates) = found(&blind, profile, unknown);
        let one = one.unwrap();
        assert_eq!((one.severity, coordinates), (severity, None));
        assert!(one.remedy.contains("last incremental backup"), "{}", one.remedy);
    }
    // They name different files: none is taken on trust.
    let two = with(merged, |files| {
        let text = b"./mysql-bin.000004\t120\n".to_vec();
        files.insert("xtrabackup_binlog_pos_innodb".into(), text);
    });
    let one = found(&two, Profile::Aurora, differ).0.unwrap();
    assert_eq!(one.severity, Severity::Blocker);
    assert!(one.why.contains("mysql-bin.000004:120"), "{}", one.why);
}

/// What another tool than the one that a stream names would have written.
#[test]
fn oddities_of_streams() {
    let rename = |files: &Files| {
        let mut chunk = head(0, b'R', "shop/docs.ibd");
        let to = b"shop/docs.ibd";
        chunk.extend((to.len() as u32).to_le_bytes());
        chunk.extend(to);
        [stream(files), chunk].concat()
    };
    let remove = |files: &Files| {
        let mut all = files.clone();
        all.insert("shop/gone.ibd".into(), files["shop/docs.ibd"].clone());
        [stream(&all), head(0, b'D', "shop/gone.ibd")].concat()
    };
    // An empty file as a hole, as only XtraBackup 8.0 writes them.
    let sparse = |files: &Files| {
        let map: Vec<u8> = [0_u32, 4].iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut chunk = head(0, b'S', "ib_buffer_pool");
        chunk.extend(1_u32.to_le_bytes());
        chunk.extend(4_u64.to_le_bytes());
        chunk.extend(0_u64.to_le_bytes());
        chunk.extend(crc32fast::hash(&[&map[..], b"1,2\n"].concat()).to_le_bytes());
        chunk.extend(&map);
        chunk.extend(b"1,2\n");
        [stream(files), chunk, head(0, b'E', "ib_buffer_pool")].concat()
    };
    let look = |bytes: Vec<u8>| vec![Blob::of_bytes("backup.xbstream", bytes)];
    let remedy = "take the backup again";
    broken_in(look(rename(&full())), "backup.oddities", "shop/docs.ibd is renamed", remedy);
    broken_in(look(remove(&full())), "backup.oddities", "shop/gone.ibd is taken back", remedy);
    broken_in(look(sparse(&full())), "backup.oddities", "ib_buffer_pool has holes", remedy);
    // Holes are 8.0's, renames MariaDB's.
    kept_in(look(sparse(&full_80("8.0.35", "8.0.35"))));
    let mariadb = server("10.6.18-MariaDB");
    let found = inspect(look(rename(&mariadb)), Profile::Aurora).unwrap();
    assert_eq!(failed(&found), ["backup.product"]);
    let found = inspect(look(sparse(&mariadb)), Profile::Aurora).unwrap();
    assert!(failed(&found).contains(&"backup.oddities"));
}
