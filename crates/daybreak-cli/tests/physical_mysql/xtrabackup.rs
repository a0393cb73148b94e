//! A stand-in for Percona XtraBackup 2.4, for MySQL 5.6 only: XtraBackup itself isn't in any archive that the
//! tests may fetch from. It is none of Percona's code and proves nothing about XtraBackup.
//!
//! What it makes is real, though: a consistent copy of a live server's own files. Where XtraBackup reads them
//! while the server writes, this holds the server still: commits by `FLUSH TABLES WITH READ LOCK`, as XtraBackup
//! does at its end, and all writing of pages by SIGSTOP, for as long as the copy takes. So the copy is what a
//! power cut would leave. The redo log from the checkpoint on goes into `xtrabackup_logfile`; preparing puts it
//! back into `ib_logfile0` and `ib_logfile1`, and the server's own crash recovery does the rest when it starts.
//! Of an incremental backup `.delta` and `.meta` have the form in which XtraBackup writes them.
//!
//! The program is this test binary: a script runs its test `the_tool` with what it was told in the environment.
//! `xbstream` beside it is MariaDB's `mbstream`, and writes down that it was asked.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use rehearsal::{server::find_mariadb_backup, watch::until_within};

use crate::support::PATIENCE;

/// How the script tells the test binary what it was told itself, a line each.
pub const ARGUMENTS: &str = "XTRABACKUP_STANDIN_ARGUMENTS";

/// A page of InnoDB.
const PAGE: usize = 16_384;
/// The head of each file of the redo log, and a block of it.
const HEAD: usize = 2048;
const BLOCK: usize = 512;

/// Where the script leaves the standard output that it was given.
const STREAM: i32 = 3;

/// Puts the programs into a directory, and returns `xtrabackup`.
pub fn install(bin: &Path, version: &str) -> PathBuf {
    fs::create_dir_all(bin).unwrap();
    let this = std::env::current_exe().unwrap();
    let tool = bin.join("xtrabackup");
    // The test binary prints of its own: only what the tool streams goes where the output goes.
    script(
        &tool,
        &format!(
            "case \"$*\" in *--version*) echo 'xtrabackup version {version} based on MySQL server 5.7.44 Linux'; \
             exit;; esac\n{ARGUMENTS}=$(printf '%s\\n' \"$@\") exec '{}' --exact xtrabackup::the_tool --nocapture \
             {STREAM}>&1 >/dev/null\n",
            this.display()
        ),
    );
    let mbstream = find_mariadb_backup().unwrap().stream.unwrap();
    script(
        &bin.join("xbstream"),
        &format!("echo asked >>'{}'\nexec '{}' \"$@\"\n", asked(bin).display(), mbstream.display()),
    );
    tool
}

/// The file in which `xbstream` says that it was asked.
pub fn asked(bin: &Path) -> PathBuf {
    bin.join("xbstream.asked")
}

/// Writes a shell script.
pub fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The program, when a script runs it; nothing otherwise.
#[test]
fn the_tool() {
    let Ok(told) = std::env::var(ARGUMENTS) else { return };
    let arguments = Arguments(told.lines().map(String::from).collect());
    if arguments.has("--prepare") {
        prepare(&arguments);
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(backup(&arguments));
    }
    eprintln!("completed OK!");
    // Before the harness says something.
    std::process::exit(0);
}

struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.get(name).unwrap_or_else(|| panic!("{name} is missing")))
    }
}

/// What a server's data directory held at one moment.
struct Still {
    files: BTreeMap<String, Vec<u8>>,
    /// The files of the redo log.
    redo: Vec<Vec<u8>>,
}

/// `key = value` lines.
fn values(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches('"').to_string();
        Some((key.trim().to_string(), value))
    };
    text.lines().filter_map(pair).collect()
}

fn read(path: &Path) -> BTreeMap<String, String> {
    values(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn lsn(values: &BTreeMap<String, String>, name: &str) -> u64 {
    values[name].parse().unwrap()
}

async fn backup(arguments: &Arguments) {
    let login = read(&arguments.path("--defaults-file"));
    let options = OptsBuilder::default()
        .ip_or_hostname(&login["host"])
        .tcp_port(login["port"].parse().unwrap())
        .user(Some(&login["user"]))
        .pass(Some(&login["password"]))
        .prefer_socket(false);
    let mut conn = Conn::new(options).await.unwrap();
    let (version, data, pid_file, path): (String, String, String, String) = conn
        .query_first("SELECT @@version, @@datadir, @@pid_file, @@innodb_data_file_path")
        .await
        .unwrap()
        .unwrap();
    assert!(
        version.starts_with("5.6."),
        "this stand-in knows MySQL 5.6 only, and this is {version}"
    );
    let (page, log_files, log_size): (u64, u64, u64) = conn
        .query_first(
            "SELECT @@innodb_page_size, @@innodb_log_files_in_group, @@innodb_log_file_size",
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page, PAGE as u64);
    let (start,): (String,) = conn.query_first("SELECT NOW()").await.unwrap().unwrap();

    conn.query_drop("FLUSH TABLES WITH READ LOCK").await.unwrap();
    let status: mysql_async::Row = conn.query_first("SHOW MASTER STATUS").await.unwrap().unwrap();
    let (file, position): (String, u64) = (status.get(0).unwrap(), status.get(1).unwrap());
    // With a binary log a commit isn't flushed by InnoDB: a restart would find it in the binary log, which no
    // backup holds. XtraBackup says this too.
    conn.query_drop("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS").await.unwrap();
    let pid = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let still = copy(pid, Path::new(&data)).await;
    conn.query_drop("UNLOCK TABLES").await.unwrap();
    let (end,): (String,) = conn.query_first("SELECT NOW()").await.unwrap().unwrap();
    conn.disconnect().await.unwrap();

    let from = match (arguments.get("--incremental-basedir"), arguments.get("--incremental-lsn")) {
        (Some(base), _) => lsn(&read(&Path::new(base).join("xtrabackup_checkpoints")), "to_lsn"),
        (None, Some(from)) => from.parse().unwrap(),
        (None, None) => 0,
    };
    let (log, to, last) = linear(&still.redo);
    let (kind, incremental) = if from > 0 { ("incremental", "Y") } else { ("full-backuped", "N") };
    let streams = arguments.get("--stream");
    let format = streams.unwrap_or("file");
    let mut files = match from {
        0 => still.files,
        from => changed(still.files, from),
    };
    let mut put = |name: &str, text: String| files.insert(name.to_string(), text.into_bytes());
    put("xtrabackup_binlog_info", format!("{file}\t{position}\n"));
    put(
        "backup-my.cnf",
        format!(
            "# This MySQL options file was generated by a stand-in for XtraBackup.\n\n[mysqld]\n\
             innodb_checksum_algorithm=innodb\ninnodb_log_checksum_algorithm=innodb\n\
             innodb_data_file_path={path}\ninnodb_log_files_in_group={log_files}\n\
             innodb_log_file_size={log_size}\ninnodb_page_size={page}\n"
        ),
    );
    let checkpoints = format!(
        "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {last}\ncompact = 0\n\
         recover_binlog_info = 0\n"
    );
    let info = format!(
        "uuid = 00000000-0000-0000-0000-000000000000\nname = \ntool_name = xtrabackup\n\
         tool_command = {}\ntool_version = 2.4.29\nibbackup_version = 2.4.29\n\
         server_version = {version}\nstart_time = {start}\nend_time = {end}\nlock_time = 0\n\
         binlog_pos = filename '{file}', position '{position}'\ninnodb_from_lsn = {from}\n\
         innodb_to_lsn = {to}\npartial = N\nincremental = {incremental}\nformat = {format}\n\
         compact = N\ncompressed = N\nencrypted = N\n",
        arguments.0.join(" ")
    );
    put("xtrabackup_checkpoints", checkpoints.clone());
    put("xtrabackup_info", info.clone());
    files.insert("xtrabackup_logfile".into(), log);
    if let Some(beside) = arguments.get("--extra-lsndir") {
        fs::create_dir_all(beside).unwrap();
        fs::write(Path::new(beside).join("xtrabackup_checkpoints"), checkpoints).unwrap();
        fs::write(Path::new(beside).join("xtrabackup_info"), info).unwrap();
    }
    let target = arguments.path("--target-dir");
    match streams {
        None => write(&target, &files),
        Some("xbstream") => {
            let work = tempfile::tempdir_in(target).unwrap();
            write(work.path(), &files);
            stream(work.path(), files.keys());
        }
        Some(other) => panic!("no stream {other} here"),
    }
}

/// Holds a process still, reads, and lets it go on, whatever happens.
async fn copy(pid: i32, data: &Path) -> Still {
    struct Stopped(i32);
    impl Drop for Stopped {
        fn drop(&mut self) {
            // SAFETY: a signal to a process that holds our lock, and so is there.
            unsafe { libc::kill(self.0, libc::SIGCONT) };
        }
    }
    let stopped = Stopped(pid);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    // A thread stops when the system call is done in which it is.
    until_within(PATIENCE, "all threads of the server stand still", async || {
        fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    })
    .await;
    let mut files = BTreeMap::new();
    let mut redo = BTreeMap::new();
    let mut open = vec![data.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(data).unwrap().to_str().unwrap().to_string();
            if name.starts_with("ib_logfile") {
                redo.insert(name, fs::read(path).unwrap());
            } else if !left_out(&name) {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    drop(stopped);
    Still { files, redo: redo.into_values().collect() }
}

fn left_out(name: &str) -> bool {
    name == "auto.cnf"
        || ["binlog.", "relay.", "relay-log.", "master.info"].iter().any(|s| name.starts_with(s))
        || [".pid", ".err", ".index"].iter().any(|end| name.ends_with(end))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn short(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The newest of the two checkpoints in the head of a redo log: its LSN, and at which byte of the files, one
/// after the other, that lies. Source: `log0log.h` of MySQL 5.6.
fn checkpoint(head: &[u8]) -> (u64, usize) {
    let at = [512, 1536].into_iter().max_by_key(|at| number(head, *at)).unwrap();
    (number(head, at + 8), short(head, at + 16))
}

/// Where the block after another one lies: behind a file's end comes the next file's head.
fn next(at: usize, size: usize, count: usize) -> usize {
    let at = at + BLOCK;
    match at % size {
        0 if at == size * count => HEAD,
        0 => at + HEAD,
        _ => at,
    }
}

/// Whether a block is the one that an LSN is in: its number comes from that. The highest bit says where a write
/// began.
fn is_of(block: &[u8], lsn: u64) -> bool {
    let number = (lsn / BLOCK as u64) & 0x3fff_ffff;
    (short(block, 0) & 0x7fff_ffff) as u64 == number + 1
}

/// The redo log as XtraBackup has it: one head, and the blocks from the checkpoint's on. With its LSNs.
fn linear(redo: &[Vec<u8>]) -> (Vec<u8>, u64, u64) {
    let (to, offset) = checkpoint(&redo[0]);
    let (size, count) = (redo[0].len(), redo.len());
    let mut log = redo[0][..HEAD].to_vec();
    let mut at = offset / BLOCK * BLOCK;
    let mut lsn = to / BLOCK as u64 * BLOCK as u64;
    loop {
        let block = &redo[at / size][at % size..][..BLOCK];
        assert!(is_of(block, lsn), "the redo log has no block for LSN {lsn}");
        log.extend_from_slice(block);
        let used = short(block, 2) & 0xffff;
        if used < BLOCK {
            return (log, to, lsn + used as u64);
        }
        (at, lsn) = (next(at, size, count), lsn + BLOCK as u64);
        let following = &redo[at / size][at % size..][..BLOCK];
        if !is_of(following, lsn) {
            return (log, to, lsn);
        }
    }
}

/// Of InnoDB's files the pages that are newer than an LSN, the head of a new file, which has none yet, and the
/// last page, which tells how long the file is.
fn changed(files: BTreeMap<String, Vec<u8>>, from: u64) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for (name, bytes) in files {
        if name != "ibdata1" && !name.ends_with(".ibd") {
            out.insert(name, bytes);
            continue;
        }
        let last = bytes.len() / PAGE - 1;
        let pages: Vec<(usize, &[u8])> = bytes
            .chunks_exact(PAGE)
            .enumerate()
            .filter(|(at, page)| {
                let head = *at == 0 && number(page, 16) == 0;
                *at == last || head || number(page, 16) > from
            })
            .collect();
        let mut delta = Vec::new();
        let mut blocks = pages.chunks(PAGE / 4 - 1).peekable();
        while let Some(block) = blocks.next() {
            let mut head: Vec<u8> =
                if blocks.peek().is_some() { *b"xtra" } else { *b"XTRA" }.into();
            for (at, _) in block {
                head.extend_from_slice(&u32::try_from(*at).unwrap().to_be_bytes());
            }
            head.resize(PAGE, 0xff);
            delta.extend_from_slice(&head);
            block.iter().for_each(|(_, page)| delta.extend_from_slice(page));
        }
        let space = short(&bytes, 34);
        let meta = format!("page_size = {PAGE}\nzip_size = 0\nspace_id = {space}\n");
        out.insert(format!("{name}.meta"), meta.into_bytes());
        out.insert(format!("{name}.delta"), delta);
    }
    out
}

fn write(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Streams files to the output that the script was given.
fn stream<'a>(directory: &Path, names: impl Iterator<Item = &'a String>) {
    // SAFETY: the script opened it for this, and nothing else here uses it.
    let output = unsafe { OwnedFd::from_raw_fd(STREAM) };
    let mbstream = find_mariadb_backup().unwrap().stream.unwrap();
    let done = Command::new(mbstream)
        .arg("-c")
        .args(names)
        .current_dir(directory)
        .stdout(Stdio::from(output))
        .status()
        .unwrap();
    assert!(done.success(), "{done}");
}

/// Merges an incremental backup, if there is one; unless more follow, puts the redo log where a server wants it.
fn prepare(arguments: &Arguments) {
    let base = arguments.path("--target-dir");
    let mut points = read(&base.join("xtrabackup_checkpoints"));
    // What a wrong order or a forgotten flag would do to a real chain.
    assert_ne!(points["backup_type"], "full-prepared", "it was prepared to the end already");
    if arguments.get("--incremental-dir").is_some() {
        assert_eq!(points["backup_type"], "log-applied", "its base must be prepared first");
        let incremental = arguments.path("--incremental-dir");
        let its = read(&incremental.join("xtrabackup_checkpoints"));
        assert_eq!(its["from_lsn"], points["to_lsn"], "it doesn't follow");
        merge(&incremental, &base);
        for name in ["to_lsn", "last_lsn"] {
            points.insert(name.into(), its[name].clone());
        }
    }
    let only_log = arguments.has("--apply-log-only");
    if !only_log {
        circular(&base);
    }
    let kind = if only_log { "log-applied" } else { "full-prepared" };
    points.insert("backup_type".into(), kind.into());
    let mut file = fs::File::create(base.join("xtrabackup_checkpoints")).unwrap();
    for (name, value) in points {
        writeln!(file, "{name} = {value}").unwrap();
    }
}

fn names(directory: &Path, at: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => names(directory, &path, found),
            false => found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().into()),
        }
    }
}

fn merge(incremental: &Path, base: &Path) {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    names(incremental, incremental, &mut theirs);
    names(base, base, &mut ours);
    // Tables that were dropped meanwhile.
    for name in ours.iter().filter(|name| name.ends_with(".ibd")) {
        if !theirs.contains(&format!("{name}.delta")) {
            fs::remove_file(base.join(name)).unwrap();
        }
    }
    for name in theirs {
        let of_the_tool = name.starts_with("xtrabackup_") && name != "xtrabackup_logfile";
        if of_the_tool || name.ends_with(".meta") {
            continue;
        }
        let bytes = fs::read(incremental.join(&name)).unwrap();
        let target = base.join(name.trim_end_matches(".delta"));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if !name.ends_with(".delta") {
            fs::write(target, bytes).unwrap();
            continue;
        }
        let mut whole = fs::read(&target).unwrap_or_default();
        let mut rest = &bytes[..];
        while let Some((head, pages)) = rest.split_at_checked(PAGE) {
            let numbers = head[4..].chunks_exact(4).take_while(|number| **number != [0xff; 4]);
            rest = pages;
            for number in numbers {
                let at = short(number, 0) * PAGE;
                let (page, pages) = rest.split_at(PAGE);
                whole.resize(whole.len().max(at + PAGE), 0);
                whole[at..at + PAGE].copy_from_slice(page);
                rest = pages;
            }
        }
        fs::write(target, whole).unwrap();
    }
}

/// Puts each block of the redo log back where the server had it.
fn circular(base: &Path) {
    let settings = read(&base.join("backup-my.cnf"));
    let value = |name: &str| settings[name].parse::<usize>().unwrap();
    let (size, count) = (value("innodb_log_file_size"), value("innodb_log_files_in_group"));
    let log = fs::read(base.join("xtrabackup_logfile")).unwrap();
    let (_, offset) = checkpoint(&log[..HEAD]);
    let mut whole = vec![0; size * count];
    whole[..HEAD].copy_from_slice(&log[..HEAD]);
    let mut at = offset / BLOCK * BLOCK;
    for block in log[HEAD..].chunks_exact(BLOCK) {
        whole[at..at + BLOCK].copy_from_slice(block);
        at = next(at, size, count);
    }
    for (at, file) in whole.chunks_exact(size).enumerate() {
        fs::write(base.join(format!("ib_logfile{at}")), file).unwrap();
    }
}
