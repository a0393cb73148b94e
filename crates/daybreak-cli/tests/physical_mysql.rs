//! The physical route rehearsed on MySQL: everything around the backup tool runs as it does with XtraBackup and
//! MySQL 8.0, on a real MySQL 5.6 as source and as restored cluster. The tool itself is a stand-in (see
//! `physical_mysql/xtrabackup.rs` for what it is, and isn't).

mod support;
#[path = "physical_mysql/xtrabackup.rs"]
mod xtrabackup;

use std::path::{Path, PathBuf};

use rehearsal::server::{Product, find};
use support::{daybreak, output, said};

/// A directory of programs as a DBA has them.
struct Programs {
    place: tempfile::TempDir,
}

impl Programs {
    fn install(version: &str) -> Programs {
        let programs = Programs { place: tempfile::tempdir().unwrap() };
        xtrabackup::install(&programs.bin(), version);
        programs
    }

    fn bin(&self) -> PathBuf {
        self.place.path().join("bin")
    }

    /// The tool by its name, for `--backup-program`.
    fn tool(&self) -> String {
        self.bin().join("xtrabackup").to_str().unwrap().to_string()
    }

    /// Rehearses, with these programs before all others on PATH where `on_path` says so.
    async fn rehearse(&self, on_path: bool, options: &[&str]) -> (std::process::Output, PathBuf) {
        let dir = self.place.path().join("rehearsal");
        let mut arguments =
            vec!["rehearse", "--route", "physical", "--rows", "2000", "--rate", "50"];
        arguments.extend(options);
        let mut command = daybreak(&dir, &arguments);
        if on_path {
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", self.bin().display()));
        }
        (output(command).await, dir)
    }

    fn asked(&self) -> usize {
        let said = std::fs::read_to_string(xtrabackup::asked(&self.bin())).unwrap_or_default();
        said.lines().count()
    }
}

fn mysqld(product: Product) -> String {
    find(product).unwrap().mysqld.to_str().unwrap().to_string()
}

/// The report of a rehearsal that went well, and what was said.
fn proven(ended: &std::process::Output, dir: &Path) -> String {
    let text = said(ended);
    assert!(ended.status.success(), "{text}");
    for words in [
        "rehearsed on MySQL 5.6.24 with xtrabackup 2.4.29",
        "xtrabackup 2.4.29 backs up MySQL 5.6 here: real Aurora restores from MySQL 5.7 and 8.0 only",
        "Rehearsal: a backup of MySQL 5.6 passes here",
        "event and backup agree",
        "all as acknowledged",
        "closed for writes",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(!text.contains("stand in for XtraBackup"), "{text}");
    let report = std::fs::read(dir.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["verdict"]["outcome"], "completed", "{}", report["verdict"]);
    let proof = &report["extra"]["rehearsal"];
    assert_eq!((&proof["all_on_target"], &proof["source_closed"]), (&true.into(), &true.into()));
    assert!(proof["acknowledged_commits"].as_u64().unwrap() > 500, "{proof}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_by_the_tool_that_was_named() {
    let programs = Programs::install("2.4.29");
    let (server, tool) = (mysqld(Product::Mysql56), programs.tool());
    let options = ["--server", &server, "--backup-program", &tool];
    let (ended, dir) = programs.rehearse(false, &options).await;
    proven(&ended, &dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_by_the_tool_on_path_is_unpacked_by_the_xbstream_beside_it() {
    let programs = Programs::install("2.4.29");
    let server = mysqld(Product::Mysql56);
    let (ended, dir) = programs.rehearse(true, &["--server", &server, "--stream"]).await;
    proven(&ended, &dir);
    assert_eq!(programs.asked(), 1);
}

/// The tool refuses a chain that is prepared in another order, or to the end before its last link.
#[tokio::test(flavor = "multi_thread")]
async fn two_incremental_backups_by_way_of_a_staging_directory() {
    let programs = Programs::install("2.4.29");
    let (server, tool) = (mysqld(Product::Mysql56), programs.tool());
    let staging = programs.place.path().join("staging");
    std::fs::create_dir(&staging).unwrap();
    let options = [
        "--server",
        &server,
        "--backup-program",
        &tool,
        "--incrementals",
        "2",
        "--staging",
        staging.to_str().unwrap(),
    ];
    let (ended, dir) = programs.rehearse(false, &options).await;
    proven(&ended, &dir);
    let chain = std::fs::read_dir(&staging).unwrap().next().unwrap().unwrap().path();
    for (link, page) in [("full", "ibdata1"), ("inc1", "ibdata1.delta"), ("inc2", "ibdata1.delta")]
    {
        assert!(chain.join(link).join(page).is_file(), "{link}");
    }
}

/// Refused before anything is started or written, with what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_at_once() {
    let fits = Programs::install("2.4.29");
    let newer = Programs::install("8.0.35-30");
    let (server, tool, other) = (mysqld(Product::Mysql56), fits.tool(), newer.tool());
    let newest = mysqld(Product::Mysql97);
    let mariadb = rehearsal::server::find_mariadb_backup().unwrap().backup;
    let mariadb = mariadb.to_str().unwrap();
    let lone = fits.place.path().join("lone");
    std::fs::create_dir(&lone).unwrap();
    std::fs::copy(&tool, lone.join("xtrabackup")).unwrap();
    let lone = lone.join("xtrabackup").to_str().unwrap().to_string();
    let install = "install Percona XtraBackup 2.4 or 2.3, or name its program: --backup-program";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--server", &server], 1, &["no backup tool for MySQL 5.6.24 is on PATH", install]),
        (
            &["--server", &server, "--backup-program", &other],
            1,
            &["xtrabackup 8.0.35-30 isn't for MySQL 5.6.24", install, &other],
        ),
        (
            &["--server", &server, "--backup-program", "/bin/true"],
            1,
            &["the program doesn't say that it is a backup tool", "/bin/true", install],
        ),
        (
            &["--server", &server, "--backup-program", "/nowhere/xtrabackup"],
            1,
            &["the backup tool /nowhere/xtrabackup isn't there", install],
        ),
        (
            &["--server", &server, "--backup-program", mariadb],
            2,
            &["not the tool that is wished", install],
        ),
        (
            &["--server", &server, "--backup-program", &lone, "--stream"],
            1,
            &["xbstream, which unpacks the stream, is neither beside the tool nor on PATH"],
        ),
        (
            &["--server", &newest, "--backup-program", &tool],
            1,
            &["no physical backup of MySQL 9.", "can be restored by Aurora"],
        ),
        (
            &["--server", "/bin/true"],
            2,
            &["/bin/true is no server that can be run here", "name a mysqld 8.0.23 or later, 5.7"],
        ),
        (&["--backup-program", &tool], 2, &["not the tool that is wished", "mariadb-backup 10.11"]),
        (
            &["--route", "logical", "--backup-program", &tool],
            2,
            &["the logical route takes no backup"],
        ),
    ];
    // Nothing but what the servers' own scripts need: the machine may have a tool.
    let path = fits.place.path().join("path");
    std::fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink("/usr/bin/dirname", path.join("dirname")).unwrap();
    let dir = fits.place.path().join("rehearsal");
    for (options, exit, words) in cases {
        let mut arguments = vec!["rehearse"];
        if !options.contains(&"--route") {
            arguments.extend(["--route", "physical"]);
        }
        arguments.extend(*options);
        let mut command = daybreak(&dir, &arguments);
        command.env("PATH", &path);
        let ended = output(command).await;
        let text = said(&ended);
        assert_eq!(ended.status.code(), Some(*exit), "{options:?}: {text}");
        for words in *words {
            assert!(text.contains(words), "{options:?}: {words} in\n{text}");
        }
        assert!(!dir.exists(), "{options:?}: something was made");
    }
}
