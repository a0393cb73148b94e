//! The rehearsal's S3 endpoint as a process of its own, so that what it costs is paid alike by whoever
//! sends to it, and is in nobody's memory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rehearsal::{cloud::Cloud, server::spawn};

use super::{Failure, failure, measure};

/// The argument that makes this program the endpoint.
const SERVE: &str = "--serve-s3";
/// The bucket.
const BUCKET: &str = "bench";

/// The directory to serve, if this process is to be the endpoint.
pub fn asked_for() -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == SERVE).then(|| args.next()).flatten().map(PathBuf::from)
}

/// Serves until the standard input ends. How it is reached is said on the standard output.
pub async fn serve(directory: &Path) -> Result<(), Failure> {
    let cloud = Cloud::start(directory).await?;
    cloud.make_bucket(BUCKET)?;
    let mut output = std::io::stdout();
    for text in [&cloud.s3_endpoint, &cloud.access_key, &cloud.secret_key, &cloud.region] {
        writeln!(output, "{text}")?;
    }
    output.flush()?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    Ok(())
}

/// The process.
pub struct Endpoint {
    child: Child,
    url: String,
    access_key: String,
    secret_key: String,
    region: String,
    root: PathBuf,
}

impl Endpoint {
    /// Starts it; objects come to lie below a directory.
    pub fn start(root: &Path) -> Result<Endpoint, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVE).arg(root).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command)?;
        let mut lines =
            child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
        let mut next = || {
            lines
                .next()
                .and_then(Result::ok)
                .ok_or_else(|| failure("the S3 endpoint didn't start", "see above what it says"))
        };
        let (url, access_key, secret_key, region) = (next()?, next()?, next()?, next()?);
        Ok(Endpoint { child, url, access_key, secret_key, region, root: root.to_owned() })
    }

    /// Where the objects below a prefix lie.
    pub fn objects(&self, prefix: &str) -> PathBuf {
        self.root.join(BUCKET).join(prefix)
    }

    /// How daybreak calls a prefix.
    pub fn place(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Seconds on a core so far.
    pub fn cpu(&self) -> f64 {
        measure::cpu_of(self.child.id()).unwrap_or(f64::NAN)
    }

    /// Tells daybreak how the endpoint is reached.
    pub fn tell_daybreak(&self, command: &mut Command) {
        command.args(["--region", &self.region, "--endpoint-s3", &self.url]);
        command.env("AWS_ACCESS_KEY_ID", &self.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", &self.secret_key);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
    }

    /// Tells rclone the same, and returns how it calls a prefix.
    pub fn tell_rclone(&self, command: &mut Command, prefix: &str) -> String {
        command.env("RCLONE_CONFIG", "/dev/null");
        // rclone's HTTP client can't take one, and fails.
        command.env_remove("AWS_CA_BUNDLE");
        for (name, value) in [
            ("TYPE", "s3"),
            ("PROVIDER", "Other"),
            ("LIST_VERSION", "2"),
            ("NO_CHECK_BUCKET", "true"),
            ("ENDPOINT", &self.url),
            ("REGION", &self.region),
            ("ACCESS_KEY_ID", &self.access_key),
            ("SECRET_ACCESS_KEY", &self.secret_key),
        ] {
            command.env(format!("RCLONE_CONFIG_LOOPBACK_{name}"), value);
        }
        format!("loopback:{BUCKET}/{prefix}")
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Nothing is left to lose: both may fail only if it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
