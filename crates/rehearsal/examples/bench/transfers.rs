//! Owns the ways in which a backup comes to S3, how each program is called, and the proof that what lies
//! in the bucket is whole. No secret is in an argument.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::server::servers_dir;

use super::endpoint::Endpoint;
use super::measure::{self, Output, Usage};
use super::source::{Source, bytes_below, files_below};
use super::{Failure, Options, failure};

/// What AWS's own commands cut a tar.gz into.
const SPLIT: &str = "500MB";
/// Bytes that are compared at once.
const BLOCK: usize = 1 << 20;

/// What goes to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// A backup's directory, as the parts of a tar.gz.
    Directory,
    /// The backup of a running server.
    Stream,
}

/// In which way, or only half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With daybreak.
    Daybreak,
    /// With the tools that daybreak replaces.
    Others,
    /// Daybreak's reading (and compressing) alone.
    ReadOnly,
    /// Daybreak's upload alone, of what is ready.
    UploadOnly,
}

impl Way {
    /// All; the others' ratios are against the first, which leaves what the last one uploads.
    pub const ALL: [Way; 4] = [Way::Daybreak, Way::Others, Way::ReadOnly, Way::UploadOnly];

    /// How it is called in the table.
    pub fn name(self, trip: Trip) -> &'static str {
        match (trip, self) {
            (Trip::Directory, Way::Daybreak) => "`daybreak upload --as tar.gz`",
            (Trip::Directory, Way::Others) => "`tar \\| gzip \\| split`, then `rclone sync`",
            (Trip::Directory, Way::ReadOnly) => "limit: read and compress only",
            (Trip::Stream, Way::Daybreak) => {
                "`daybreak backup take --stream - \\| daybreak upload -`"
            }
            (Trip::Stream, Way::Others) => "`mariadb-backup` to a directory, then `rclone sync`",
            (Trip::Stream, Way::ReadOnly) => "limit: take only",
            (_, Way::UploadOnly) => "limit: upload only",
        }
    }
}

/// What a run took and left.
pub struct Run {
    /// The programs.
    pub usage: Usage,
    /// The endpoint's time on a core, in seconds.
    pub endpoint_cpu: f64,
    /// Bytes in S3.
    pub stored: u64,
}

/// Where the programs are, and what they work on.
pub struct Transfers<'a> {
    source: &'a Source,
    endpoint: &'a Endpoint,
    daybreak: PathBuf,
    pack: PathBuf,
    rclone: PathBuf,
    threads: String,
    /// The version of rclone's package.
    pub rclone_version: String,
    /// What daybreak made in its first run, for the upload alone.
    ready: PathBuf,
}

impl<'a> Transfers<'a> {
    /// Finds the programs; nothing is downloaded.
    pub fn find(
        source: &'a Source,
        endpoint: &'a Endpoint,
        options: &Options,
    ) -> Result<Self, Failure> {
        let home = servers_dir().unwrap_or_default().join("rclone");
        let stamp = std::fs::read_to_string(home.join(".complete")).map_err(|_| {
            failure("rclone isn't there", "scripts/get-servers rclone (make bench does it)")
        })?;
        // <target>/release/examples/pack.
        let pack = std::env::current_exe()?.with_file_name("pack");
        if !pack.is_file() {
            return Err(failure(format!("{} isn't there", pack.display()), "make bench builds it"));
        }
        Ok(Transfers {
            source,
            endpoint,
            daybreak: options.daybreak.clone(),
            pack,
            rclone: home.join("bin/rclone"),
            threads: options.threads.to_string(),
            rclone_version: stamp.lines().nth(1).unwrap_or_default().to_owned(),
            ready: source.private.join("ready"),
        })
    }

    /// Brings the backup to S3 in one way, proves that it is there, and takes it away again.
    pub async fn run(&self, trip: Trip, way: Way) -> Result<Run, Failure> {
        let prefix = match trip {
            Trip::Directory => "directory",
            Trip::Stream => "stream",
        };
        let objects = self.endpoint.objects(prefix);
        let spool = self.source.private.join("spool");
        let before = self.endpoint.cpu();
        let usage = match (trip, way) {
            (Trip::Directory, Way::Daybreak) => {
                let directory = self.source.backup.as_os_str();
                let upload = self.upload(prefix, &[directory, "--as".as_ref(), "tar.gz".as_ref()]);
                self.programs(vec![upload]).await?
            }
            (Trip::Directory, Way::Others) => {
                std::fs::create_dir(&spool)?;
                let mut tar = Command::new("tar");
                tar.arg("-C").arg(&self.source.backup).args(["-cf", "-", "."]);
                let gzip = Command::new("gzip");
                let mut split = Command::new("split");
                split.args(["-d", "-a", "5", "-b", SPLIT, "-"]).arg(spool.join("backup.tar.gz"));
                let packed = self.programs(vec![tar, gzip, split]).await?;
                packed.then(self.programs(vec![self.sync(&spool, prefix)]).await?)
            }
            (Trip::Directory, Way::ReadOnly) => {
                let mut pack = Command::new(&self.pack);
                pack.arg(&self.source.backup);
                self.programs(vec![pack]).await?
            }
            (Trip::Stream, Way::Daybreak) => {
                let name = ["-", "--stream-name", "backup.xbstream"].map(AsRef::as_ref);
                self.programs(vec![self.take(), self.upload(prefix, &name)]).await?
            }
            (Trip::Stream, Way::Others) => {
                let taken = self.programs(vec![backup_to(self.source, &spool)]).await?;
                taken.then(self.programs(vec![self.sync(&spool, prefix)]).await?)
            }
            (Trip::Stream, Way::ReadOnly) => {
                measure::run_to(vec![self.take()], Output::Nothing, &self.source.private).await?
            }
            (_, Way::UploadOnly) => {
                let ready = self.ready.join(prefix);
                self.programs(vec![self.upload(prefix, &[ready.as_os_str()])]).await?
            }
        };
        let endpoint_cpu = self.endpoint.cpu() - before;
        let stored = if objects.is_dir() { bytes_below(&objects)? } else { 0 };
        match (trip, way) {
            (_, Way::ReadOnly) => {}
            (_, Way::UploadOnly) => same(&self.ready.join(prefix), &objects)?,
            (Trip::Directory, _) => self.check_tar(&objects).await?,
            (Trip::Stream, Way::Daybreak) => self.check_stream(&objects).await?,
            (Trip::Stream, Way::Others) => {
                same(&spool, &objects)?;
                self.check_stream(&objects).await?;
            }
        }
        if way == Way::Daybreak && !self.ready.join(prefix).exists() {
            std::fs::create_dir_all(&self.ready)?;
            std::fs::rename(&objects, self.ready.join(prefix))?;
        }
        for left in [&objects, &spool] {
            if left.exists() {
                std::fs::remove_dir_all(left)?;
            }
        }
        Ok(Run { usage, endpoint_cpu, stored })
    }

    async fn programs(&self, pipeline: Vec<Command>) -> Result<Usage, Failure> {
        measure::run(pipeline, &self.source.private).await
    }

    /// `daybreak upload` of something.
    fn upload(&self, prefix: &str, what: &[&std::ffi::OsStr]) -> Command {
        let manifest = self.source.private.join("upload.json");
        // Each upload is the first one.
        _ = std::fs::remove_file(&manifest);
        let mut upload = self.daybreak("upload");
        upload.args(what).arg(Endpoint::place(prefix)).arg("--manifest").arg(manifest);
        // Aurora takes no backups of MariaDB.
        upload.args(["--for", "any"]);
        self.endpoint.tell_daybreak(&mut upload);
        upload
    }

    /// `daybreak backup take --stream -`.
    fn take(&self) -> Command {
        let chain = self.source.private.join("chain");
        _ = std::fs::remove_dir_all(&chain);
        let mut take = self.daybreak("backup");
        take.args(["take", "--stream", "-", "--parallel", &self.threads, "--to"]).arg(chain);
        take.arg("--program").arg(&self.source.tool);
        take.arg("--source");
        take.arg(format!("mysql://root@127.0.0.1:{}/", self.source.server.port()));
        take.env("DAYBREAK_SOURCE_PASSWORD", self.source.server.root_password());
        take
    }

    fn daybreak(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.daybreak);
        command.arg(verb).arg("--no-progress");
        // A daybreak.toml where this was started is none of its business.
        command.current_dir(&self.source.private);
        command
    }

    fn sync(&self, directory: &Path, prefix: &str) -> Command {
        let mut sync = Command::new(&self.rclone);
        // The endpoint's entity tags aren't MD5s, as those of SSE-KMS objects in S3 aren't: there is
        // nothing to compare afterwards.
        sync.args(["sync", "--ignore-checksum"]).arg(directory);
        let place = self.endpoint.tell_rclone(&mut sync, prefix);
        sync.arg(place);
        sync
    }

    /// Fails unless the system's own tools unpack every byte of the backup from the objects.
    async fn check_tar(&self, objects: &Path) -> Result<(), Failure> {
        let mut cat = Command::new("cat");
        cat.args(files_below(objects)?.iter().map(|name| objects.join(name)));
        let mut gunzip = Command::new("gzip");
        gunzip.arg("-dc");
        let mut compare = Command::new("tar");
        compare.arg("-C").arg(&self.source.backup).args(["--compare", "-f", "-"]);
        self.programs(vec![cat, gunzip, compare]).await?;
        // What is in the archive is in the directory; and the other way round:
        let mut cat = Command::new("cat");
        cat.args(files_below(objects)?.iter().map(|name| objects.join(name)));
        let mut list = Command::new("tar");
        list.args(["-tzf", "-"]);
        self.programs(vec![cat, list]).await?;
        let listed = std::fs::read_to_string(self.source.private.join("1-tar.log"))?;
        let listed = listed.lines().filter(|name| !name.ends_with('/')).count();
        match files_below(&self.source.backup)?.len() == listed {
            true => Ok(()),
            false => Err(broken("files are missing in the archive")),
        }
    }

    /// Fails unless daybreak finds the backup whole.
    async fn check_stream(&self, objects: &Path) -> Result<(), Failure> {
        let mut inspect = self.daybreak("backup");
        inspect.args(["inspect", "--for", "any"]).arg(objects);
        self.programs(vec![inspect]).await.map(drop)
    }
}

/// A backup into a directory that isn't there yet.
pub fn backup_to(source: &Source, directory: &Path) -> Command {
    let mut backup = Command::new(&source.tool);
    let with = |name: &str, path: &Path| format!("{name}={}", path.display());
    backup.arg(with("--defaults-file", &source.option_file()));
    backup.args(["--backup", "--parallel=2"]).arg(with("--target-dir", directory));
    backup
}

/// Fails unless both directories hold the same files.
fn same(one: &Path, other: &Path) -> Result<(), Failure> {
    let names = files_below(one)?;
    if names != files_below(other)? {
        return Err(broken("files are missing, or too many"));
    }
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    for name in names {
        let mut files =
            (std::fs::File::open(one.join(&name))?, std::fs::File::open(other.join(&name))?);
        let size = files.0.metadata()?.len();
        if size != files.1.metadata()?.len() {
            return Err(broken(format!("{} has another size", name.display())));
        }
        let mut rest = size;
        while rest > 0 {
            let now = BLOCK.min(usize::try_from(rest)?);
            files.0.read_exact(&mut left[..now])?;
            files.1.read_exact(&mut right[..now])?;
            if left[..now] != right[..now] {
                return Err(broken(format!("{} has other bytes", name.display())));
            }
            rest -= now as u64;
        }
    }
    Ok(())
}

fn broken(what: impl std::fmt::Display) -> Failure {
    failure(
        format!("what lies in the bucket isn't the backup: {what}"),
        "its time would mean nothing: find out why first",
    )
}
