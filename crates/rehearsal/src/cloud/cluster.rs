//! The cluster that is restored from what lies in the bucket: objects taken in Aurora's order and by
//! their extensions, refused as Aurora refuses them, prepared with the real tool, started as a real
//! server.

mod archive;
mod link;
mod pages;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::{
    BackupPrograms, Binaries, Product, RehearsalError, Restored, Role, Server, ServerOptions,
    find_mariadb_backup, on_path, spawn,
};

use link::Link;

/// By whose rules a backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As Aurora takes it: MySQL 5.7 and 8.0 only.
    Aurora,
    /// Backups of MariaDB and of MySQL 5.6 pass too, and it is said that they do.
    Rehearsal,
}

/// Why a backup isn't taken, as an event tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    fn new(what: impl Into<String>) -> Self {
        Refusal(what.into())
    }

    fn io(doing: &str) -> impl Fn(io::Error) -> Self {
        move |error| Refusal(format!("{doing}: {error}"))
    }
}

/// Which Aurora the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The version of MySQL that it is compatible with.
    pub mysql: (u32, u32, u32),
    /// Aurora's own major and minor version; zeros of a rehearsal's.
    pub aurora: (u32, u32),
}

impl Engine {
    /// Of `8.0.mysql_aurora.3.08.2`, `... (compatible with MySQL 8.0.39)`.
    pub fn read(name: &str, description: &str) -> Self {
        let after = |text: &str, word: &str| {
            link::numbers(text.split_once(word).map_or("", |(_, rest)| rest))
        };
        let (major, minor, _) = after(name, "aurora.");
        let compatible = description.split_once("compatible with ").map_or("", |(_, rest)| rest);
        Engine { mysql: after(compatible, " "), aurora: (major, minor) }
    }
}

/// What backups are unpacked, prepared and started with.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub server: Binaries,
    /// The tool that took the backups, and what unpacks its stream.
    pub tools: BackupPrograms,
}

/// What is restored.
#[derive(Clone)]
pub struct Order {
    /// The bucket's directory, each object a plain file in it.
    pub bucket: PathBuf,
    /// What keys begin with.
    pub prefix: String,
    /// By whose rules.
    pub profile: Profile,
    /// Which version the cluster is to have.
    pub engine: Engine,
    /// With which programs; none: those of the backup's product that are found.
    pub programs: Option<Programs>,
    /// A private directory to work in, and for the server to live in.
    pub dir: PathBuf,
    /// What the parameter group sets.
    pub parameters: BTreeMap<String, String>,
    /// The master account's name.
    pub master_user: String,
    /// Its password.
    pub master_password: String,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Order({} {}*)", self.bucket.display(), self.prefix)
    }
}

/// A data directory that a server starts on.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Where.
    pub data: PathBuf,
    /// Whose server.
    pub product: Product,
    /// The binary log's file and position that it holds.
    pub position: Option<(String, u64)>,
    /// What was let pass that Aurora wouldn't.
    pub remarks: Vec<String>,
    /// What the data files need of the server.
    arguments: Vec<String>,
}

/// Takes the backup out of the bucket and prepares it. Blocks.
///
/// # Errors
/// A refusal, in words for an event.
pub fn prepare(order: &Order) -> Result<Prepared, Refusal> {
    let unpacked = order.dir.join("unpacked");
    let objects = archive::objects(&order.bucket, &order.prefix)?;
    archive::unpack(&objects, &unpacked, order.programs.as_ref().map(|with| &with.tools))?;
    let mut links = link::find(&unpacked)?;
    let remarks = link::judge(&links, &unpacked, order.profile, order.engine)?;
    link::order(&mut links)?;
    let (base, incrementals) =
        links.split_first().ok_or_else(|| Refusal::new("there is no backup"))?;
    let product = base.product();
    if let Some(with) = order.programs.as_ref().filter(|with| with.server.product != product) {
        return Err(Refusal(format!(
            "the backup is of {product}, and the rehearsal's server is {}",
            with.server.mysqld.display()
        )));
    }
    if !base.is_prepared() {
        apply(order, product, base, incrementals)?;
    } else if !incrementals.is_empty() {
        return Err(Refusal::new("an incremental backup can't be applied to a prepared one"));
    }
    let position = links.last().and_then(Link::position);
    let arguments = base.arguments();
    let data = order.dir.join("restored");
    fs::rename(&base.dir, &data).map_err(Refusal::io("moving the data"))?;
    private(&data).map_err(Refusal::io("setting modes"))?;
    // A full backup that lies right under the prefix was all of it.
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(Refusal::io("tidying up"))?;
    }
    Ok(Prepared { data, product, position, remarks, arguments })
}

/// Prepares the base with its incrementals, in their order.
fn apply(
    order: &Order,
    product: Product,
    base: &Link,
    incrementals: &[Link],
) -> Result<(), Refusal> {
    let program = match (&order.programs, product) {
        (Some(with), _) => with.tools.backup.clone(),
        (None, Product::Mariadb1011) => {
            find_mariadb_backup().map_err(|error| Refusal(error.to_string()))?.backup
        }
        (None, _) => on_path("xtrabackup").ok_or_else(|| {
            Refusal::new("the rehearsal has no xtrabackup to prepare a backup of MySQL with")
        })?,
    };
    // MariaDB's tool rolls back at the server's start only; Percona's in the last preparation.
    let only_log = product != Product::Mariadb1011;
    let steps = std::iter::once(None).chain(incrementals.iter().map(Some));
    let count = incrementals.len();
    for (number, incremental) in steps.enumerate() {
        let mut command = Command::new(&program);
        // What the data files need to know is in their own backup-my.cnf; this machine's servers have others.
        command.arg("--no-defaults").arg("--prepare").arg(path_arg("--target-dir", &base.dir));
        if let Some(incremental) = incremental {
            command.arg(path_arg("--incremental-dir", &incremental.dir));
        }
        if only_log && number < count {
            command.arg("--apply-log-only");
        }
        run(command, &order.dir.join(format!("prepare-{number}.log")))?;
    }
    Ok(())
}

fn path_arg(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(format!("{name}="));
    argument.push(path);
    argument
}

/// Runs a backup tool; it succeeded when it says so in its last line and in its exit status.
fn run(mut command: Command, log: &Path) -> Result<(), Refusal> {
    let output = fs::File::create(log).map_err(Refusal::io("writing the tool's log"))?;
    let errors = output.try_clone().map_err(Refusal::io("writing the tool's log"))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = spawn(command).map_err(Refusal::io("starting the backup tool"))?;
    let status = child.wait().map_err(Refusal::io("waiting for the backup tool"))?;
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if status.success() && last.contains("completed OK!") {
        return Ok(());
    }
    Err(Refusal(format!("the backup can't be prepared ({status}): {last}")))
}

/// Makes a tree its owner's alone.
fn private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => private(&entry.path())?,
            kind if kind.is_file() => {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o600))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starts a server on prepared data.
///
/// # Errors
/// When it doesn't start.
pub async fn start(prepared: Prepared, order: &Order) -> Result<Server, RehearsalError> {
    let restored = Restored {
        data: prepared.data,
        master_user: order.master_user.clone(),
        master_password: order.master_password.clone(),
    };
    let mut options = ServerOptions::new(prepared.product, Role::AuroraStandin)
        .dir(order.dir.join("server"))
        .buffer_pool_mib(64)
        .redo_log_mib(64)
        .gtid(false)
        .restored(restored)
        // Until the events are gone.
        .arg("--event-scheduler=OFF");
    if let Some(with) = &order.programs {
        options = options.mysqld(&with.server.mysqld);
    }
    if matches!(prepared.product, Product::Mysql97 | Product::Mysql57) {
        // As Aurora has it by itself: it follows a source with GTIDs and one without.
        options = options.arg("--gtid-mode=OFF_PERMISSIVE");
    }
    for argument in prepared.arguments {
        options = options.arg(argument);
    }
    for (name, value) in &order.parameters {
        if let Some(argument) = as_argument(prepared.product, name, value) {
            options = options.arg(argument);
        }
    }
    Server::start(options).await
}

/// What a parameter of the group is for a server on this machine.
fn as_argument(product: Product, name: &str, value: &str) -> Option<String> {
    let name = name.replace('_', "-");
    let known = match name.as_str() {
        "local-infile"
        | "log-bin-trust-function-creators"
        | "character-set-server"
        | "collation-server"
        | "binlog-format"
        | "lower-case-table-names"
        | "explicit-defaults-for-timestamp" => true,
        "gtid-mode" | "enforce-gtid-consistency" => {
            matches!(product, Product::Mysql97 | Product::Mysql57)
        }
        // Its zones are left out, names don't work.
        "time-zone" => return (value == "UTC").then(|| "--default-time-zone=+00:00".to_owned()),
        _ => false,
    };
    known.then(|| format!("--{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::Engine;

    #[test]
    fn versions_are_read() {
        let read = Engine::read(
            "8.0.mysql_aurora.3.08.2",
            "Aurora MySQL 3.08.2 (compatible with MySQL 8.0.39)",
        );
        assert_eq!(read, Engine { mysql: (8, 0, 39), aurora: (3, 8) });
        let read = Engine::read("10.11.rehearsal", "A server (compatible with MariaDB 10.11.99)");
        assert_eq!(read, Engine { mysql: (10, 11, 99), aurora: (0, 0) });
    }
}
