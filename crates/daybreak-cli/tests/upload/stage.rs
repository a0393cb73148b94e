//! An endpoint, a directory that looks like a backup, and the program between them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use rehearsal::{cloud::Cloud, watch::until_within};
use tokio::process::{Child, Command};

pub const BUCKET: &str = "backups";
pub const PLACE: &str = "s3://backups/shop/full";

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Stage {
    pub cloud: Cloud,
    /// The migration's directory, apart from the backup.
    pub work: tempfile::TempDir,
    pub backup: PathBuf,
    _root: tempfile::TempDir,
}

impl Stage {
    pub async fn new() -> Stage {
        let root = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let cloud = Cloud::start(root.path().join("s3")).await.unwrap();
        cloud.make_bucket(BUCKET).unwrap();
        let backup = root.path().join("backup");
        fs::create_dir(&backup).unwrap();
        Stage { cloud, work, backup, _root: root }
    }

    /// Writes a backup of about so many MiB: one large file, some small ones, an empty directory.
    pub fn write_backup(&self, mib: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        for directory in ["shop", "empty", "mysql", "performance_schema", "shop/nested"] {
            fs::create_dir_all(self.backup.join(directory)).unwrap();
        }
        let mut large = vec![0; mib << 20];
        random.fill_bytes(&mut large);
        // A part of it that can be compressed.
        let third = large.len() / 3;
        large[..third].fill(b'x');
        tablespace(&mut large);
        fs::write(self.backup.join("ibdata1"), &large).unwrap();
        for number in 0..12 {
            let mut bytes = vec![0; random.random_range(1..13) << 14];
            random.fill_bytes(&mut bytes);
            tablespace(&mut bytes);
            fs::write(self.backup.join(format!("shop/t{number}.ibd")), bytes).unwrap();
        }
        for (name, text) in METADATA {
            fs::write(self.backup.join(name), text).unwrap();
        }
        fs::write(self.backup.join("xtrabackup_logfile"), redo_log()).unwrap();
    }

    /// The command, for this endpoint.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.other(&["upload"]);
        command.args(arguments).args(["--part-mib", "5"]);
        command
    }

    /// Another verb, for this endpoint.
    pub fn other(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command
            .args(arguments)
            .args(["--endpoint-s3", &self.cloud.s3_endpoint, "--region", &self.cloud.region])
            .args(["--log-level", "trace"])
            .arg("--log-file")
            .arg(self.log())
            .current_dir(self.work.path())
            .env_clear()
            .env("HOME", self.work.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", &self.cloud.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.cloud.secret_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.end(self.start(arguments)).await
    }

    /// Waits for its end, and looks for secrets in what it left.
    pub async fn end(&self, child: Child) -> Output {
        self.end_within(child, PATIENCE).await
    }

    pub async fn end_within(&self, child: Child, patience: Duration) -> Output {
        let output = tokio::time::timeout(patience, child.wait_with_output())
            .await
            .expect("the upload ends")
            .unwrap();
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let manifest = fs::read_to_string(self.backup.join(".daybreak-upload.json"));
        for (name, text) in
            [("output", said(&output)), ("log", log), ("manifest", manifest.unwrap_or_default())]
        {
            for secret in [&self.cloud.secret_key, &self.cloud.access_key] {
                assert!(!text.contains(secret), "a secret is in the {name}: {text}");
            }
        }
        output
    }

    pub async fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    }

    fn log(&self) -> PathBuf {
        self.work.path().join("log")
    }

    /// Until the endpoint has taken so many parts, or the program has ended.
    pub async fn until_received(&self, child: &mut Child, count: usize) {
        until_within(PATIENCE, "parts arrive", async || {
            self.cloud.received().len() >= count || child.try_wait().unwrap().is_some()
        })
        .await;
    }

    /// Until the endpoint works on nothing: what a killed client sent has been taken or dropped.
    pub async fn until_quiet(&self) {
        let quiet = async || self.cloud.at_work() == 0;
        until_within(PATIENCE, "the endpoint ends what it does", quiet).await;
    }

    /// What lies below the prefix.
    pub fn objects(&self) -> PathBuf {
        self.cloud.bucket(BUCKET).join("shop/full")
    }

    /// The objects of a stream, one after the other.
    pub fn joined(&self, stream: &str) -> Vec<u8> {
        let mut names: Vec<String> = files(&self.objects()).into_keys().collect();
        names.sort();
        assert!(
            !names.is_empty() && names.iter().all(|name| name.starts_with(stream)),
            "{names:?}"
        );
        names.iter().flat_map(|name| fs::read(self.objects().join(name)).unwrap()).collect()
    }

    /// The objects are one gzip that holds a tar of the backup, by the system's own tools.
    pub fn assert_tar_is_backup(&self) {
        let packed = self.work.path().join("packed.tar.gz");
        fs::write(&packed, self.joined("backup.tar.gz")).unwrap();
        let tool = |program: &str, arguments: &[&str]| {
            let status = std::process::Command::new(program)
                .args(arguments)
                .arg(&packed)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "{program} {arguments:?}");
        };
        tool("gzip", &["-t"]);
        tool("tar", &["-tzf"]);
        let unpacked = self.work.path().join("unpacked");
        let _gone = fs::remove_dir_all(&unpacked);
        fs::create_dir(&unpacked).unwrap();
        tool("tar", &["-C", unpacked.to_str().unwrap(), "-xzf"]);
        assert!(unpacked.join("empty").is_dir());
        assert!(files(&unpacked) == self.backup_files(), "tar holds something else");
    }

    pub fn assert_tree_is_backup(&self) {
        assert!(files(&self.objects()) == self.backup_files(), "the bucket holds something else");
    }

    /// The files of the backup, without daybreak's own.
    pub fn backup_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = files(&self.backup);
        all.retain(|name, _| !name.contains(".daybreak"));
        all
    }
}

/// What the tool writes beside the data of a MySQL 5.7, and some small files.
const METADATA: [(&str, &str); 8] = [
    (
        "xtrabackup_checkpoints",
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 2000\nlast_lsn = 2100\ncompact = 0\n",
    ),
    (
        "xtrabackup_info",
        "uuid = 1\ntool_name = xtrabackup\ntool_command = --backup --target-dir=full\ntool_version = 2.4.29\n\
         server_version = 5.7.44-log\nstart_time = 2026-11-21 10:00:00\nend_time = 2026-11-21 10:01:00\n\
         binlog_pos = filename 'mysql-bin.000003', position '154'\ninnodb_from_lsn = 0\n\
         innodb_to_lsn = 2000\npartial = N\nincremental = N\nformat = file\ncompact = N\n\
         compressed = N\nencrypted = N\n",
    ),
    ("xtrabackup_binlog_info", "mysql-bin.000003\t154\n"),
    (
        "backup-my.cnf",
        "[mysqld]\ninnodb_data_file_path=ibdata1:12M:autoextend\ninnodb_log_files_in_group=2\n\
         innodb_page_size=16384\n",
    ),
    ("mysql/db.opt", "default-character-set=utf8mb4\n"),
    ("performance_schema/db.opt", "default-character-set=utf8\n"),
    ("shop/nested/deep", "nested\n"),
    ("shop/db.opt", ""),
];

/// What InnoDB writes with `innodb_checksum_algorithm=none`.
const NO_CHECKSUM: [u8; 4] = 0xdead_beef_u32.to_be_bytes();

/// Makes bytes a tablespace of 16 KiB pages without checksums.
fn tablespace(bytes: &mut [u8]) {
    for (number, page) in (0_u32..).zip(bytes.chunks_mut(16_384)) {
        let end = page.len() - 8;
        page[..64].fill(0);
        page[..4].copy_from_slice(&NO_CHECKSUM);
        page[4..8].copy_from_slice(&number.to_be_bytes());
        // The first describes the tablespace, the others are an index's.
        let kind: u16 = if number == 0 { 8 } else { 17_855 };
        page[24..26].copy_from_slice(&kind.to_be_bytes());
        page[end..end + 4].copy_from_slice(&NO_CHECKSUM);
        page[end + 4..].fill(0);
    }
}

/// A redo log that holds LSN 2000 to 2100: a head, and the two blocks in which these lie.
fn redo_log() -> Vec<u8> {
    let mut log = vec![0; 2048];
    for (number, used) in [(4_u32, 512_u16), (5, 52)] {
        let mut block = [3; 512];
        block[..4].copy_from_slice(&number.to_be_bytes());
        block[4..6].copy_from_slice(&used.to_be_bytes());
        block[508..].copy_from_slice(&NO_CHECKSUM);
        log.extend(block);
    }
    log
}

/// Files as an xbstream: each in one chunk, and its end.
pub fn xbstream(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut stream = Vec::new();
    for (name, bytes) in files {
        stream.extend(chunk(name, 0, bytes));
        stream.extend(chunk_end(name));
    }
    stream
}

/// A piece of a file in an xbstream.
pub fn chunk(name: &str, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut chunk = chunk_head(b'P', name);
    chunk.extend((bytes.len() as u64).to_le_bytes());
    chunk.extend(offset.to_le_bytes());
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    chunk.extend((!sum).to_le_bytes());
    chunk.extend(bytes);
    chunk
}

/// A file's end in an xbstream.
pub fn chunk_end(name: &str) -> Vec<u8> {
    chunk_head(b'E', name)
}

fn chunk_head(kind: u8, name: &str) -> Vec<u8> {
    let mut head = b"XBSTCK01\0".to_vec();
    head.push(kind);
    head.extend((name.len() as u32).to_le_bytes());
    head.extend(name.as_bytes());
    head
}

/// All files below a directory with their bytes.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The seed of a test: given, or any; printed either way.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("SEED={seed}");
    seed
}
