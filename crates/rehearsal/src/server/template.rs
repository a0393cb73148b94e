//! Owns the data directories that new servers start from: one template a product, built once, copied for each.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::binaries::servers_dir;
use super::error::tail;
use super::options::{base_args, path_arg};
use super::{Binaries, Product, RehearsalError, Unwanted, spawn};

/// Raised when templates made by an older daybreak no longer fit.
const FORMAT: u32 = 1;

/// How often somebody is asked whether it is time to go on.
const LOOK: Duration = Duration::from_millis(10);

/// The account with which the tools come in over TCP, which MariaDB's installer makes by itself; its
/// password is set at each server's first start.
const LOCAL_ROOT: &str = "CREATE USER 'root'@'127.0.0.1';\n\
    GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n";

/// Copies the product's template to `data`, building it first when there is none. Blocks.
pub(super) fn instantiate(
    binaries: &Binaries,
    data: &Path,
    unwanted: &Unwanted,
) -> Result<(), RehearsalError> {
    let template = provide(binaries, unwanted)?;
    // A copy that was interrupted must not look like a server's data.
    let partial = data.with_extension("partial");
    remove(&partial)?;
    copy(&template, &partial, unwanted)?;
    fs::rename(&partial, data).map_err(RehearsalError::file("naming", data))
}

fn provide(binaries: &Binaries, unwanted: &Unwanted) -> Result<PathBuf, RehearsalError> {
    let servers = servers_dir().ok_or_else(|| RehearsalError::Other {
        what:
            "none of DAYBREAK_SERVERS, XDG_CACHE_HOME and HOME is set, so templates have no place"
                .to_owned(),
        next: "set DAYBREAK_SERVERS to a directory with 1 GB to spare".to_owned(),
    })?;
    let templates = servers.join("templates");
    private_dir(&templates)?;
    let name = format!("{}-{}-{FORMAT}", binaries.product, binaries.version);
    let template = templates.join(&name);
    if template.is_dir() {
        return Ok(template);
    }
    // Tests start many servers at once, in many processes: the first builds, the others wait.
    let lock_path = templates.join(format!(".{name}.lock"));
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(RehearsalError::file("opening", &lock_path))?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => unwanted.wait(LOOK)?,
            Err(TryLockError::Error(error)) => {
                return Err(RehearsalError::file("locking", &lock_path)(error));
            }
        }
    }
    if template.is_dir() {
        return Ok(template);
    }
    let building = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(&templates)
        .map_err(RehearsalError::file("writing to", &templates))?;
    let data = building.path().join("data");
    match binaries.product {
        Product::Mysql97 | Product::Mysql57 => {
            initialize_mysql(binaries, building.path(), &data, unwanted)?;
        }
        Product::Mariadb1011 => initialize_mariadb(binaries, building.path(), &data, unwanted)?,
        Product::Mysql56 => {
            let shipped = binaries.bin.join("../server/data/mysql");
            if !shipped.is_dir() {
                return Err(RehearsalError::Other {
                    what: format!(
                        "{} isn't there: of MySQL 5.6 empty data are copied",
                        shipped.display()
                    ),
                    next: "run scripts/get-servers mysql-5.6, and name its bin/mysqld".to_owned(),
                });
            }
            copy(&shipped, &data, unwanted)?;
        }
    }
    // With it all copies would share one server uuid.
    remove(&data.join("auto.cnf"))?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
        .map_err(RehearsalError::file("setting the mode of", &data))?;
    fs::rename(&data, &template).map_err(RehearsalError::file("naming", &template))?;
    Ok(template)
}

fn initialize_mysql(
    binaries: &Binaries,
    dir: &Path,
    data: &Path,
    unwanted: &Unwanted,
) -> Result<(), RehearsalError> {
    let log = dir.join("initialize.log");
    let mut args = base_args();
    args.push("--initialize-insecure".into());
    args.push(path_arg("--datadir", data));
    // 5.7 takes statements about accounts at a start only: its first one makes this account.
    if binaries.product != Product::Mysql57 {
        let init_file = dir.join("init.sql");
        fs::write(&init_file, LOCAL_ROOT).map_err(RehearsalError::file("writing", &init_file))?;
        args.push(path_arg("--init-file", &init_file));
    }
    args.push(path_arg("--log-error", &log));
    args.push("--secure-file-priv=".into());
    if binaries.version_numbers() >= (8, 0, 30) {
        // The smallest: each copy grows its own to the wished size while it starts.
        args.push("--innodb-redo-log-capacity=8M".into());
    }
    run(&binaries.mysqld, &args, None, &log, unwanted)
}

fn initialize_mariadb(
    binaries: &Binaries,
    dir: &Path,
    data: &Path,
    unwanted: &Unwanted,
) -> Result<(), RehearsalError> {
    let log = dir.join("initialize.log");
    let installer =
        binaries.program("mariadb-install-db").ok_or_else(|| RehearsalError::NotFound {
            product: binaries.product,
            looked: format!("no mariadb-install-db in {}", binaries.bin.display()),
        })?;
    // The installer adds --no-defaults itself.
    let mut args: Vec<OsString> =
        base_args().into_iter().filter(|arg| arg != "--no-defaults").collect();
    args.push(path_arg("--datadir", data));
    args.push("--auth-root-authentication-method=normal".into());
    args.push("--skip-test-db".into());
    args.push("--innodb-log-file-size=8M".into());
    run(&installer, &args, None, &log, unwanted)?;
    let statements = dir.join("bootstrap.sql");
    // The installer gives this machine's host name a passwordless root, and lets anybody in
    // without a name: neither is wanted, and the template is the same everywhere without them.
    let text = "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host NOT IN ('localhost', '127.0.0.1'));\n\
        DELETE FROM mysql.proxies_priv WHERE Host NOT IN ('localhost', '127.0.0.1');\n";
    fs::write(&statements, text).map_err(RehearsalError::file("writing", &statements))?;
    let input = File::open(&statements).map_err(RehearsalError::file("reading", &statements))?;
    let mut args = base_args();
    args.push("--bootstrap".into());
    args.push(path_arg("--datadir", data));
    args.push("--innodb-log-file-size=8M".into());
    run(&binaries.mysqld, &args, Some(input), &log, unwanted)
}

/// Runs a program to its end; what it prints joins the log.
fn run(
    program: &Path,
    args: &[OsString],
    input: Option<File>,
    log: &Path,
    unwanted: &Unwanted,
) -> Result<(), RehearsalError> {
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let output = output.map_err(RehearsalError::file("opening", log))?;
    let errors = output.try_clone().map_err(RehearsalError::file("opening", log))?;
    let mut command = Command::new(program);
    command.args(args).stdout(output).stderr(errors);
    command.stdin(input.map_or_else(Stdio::null, Stdio::from));
    let failed = |what: String| RehearsalError::Program {
        program: program.display().to_string(),
        what,
        log: tail(log),
        log_file: log.to_owned(),
    };
    let mut child =
        spawn::spawn(command).map_err(|error| failed(format!("could not be started ({error})")))?;
    let status = loop {
        let status = child
            .try_wait()
            .map_err(|error| failed(format!("could not be waited for ({error})")))?;
        if let Some(status) = status {
            break status;
        }
        if let Err(error) = unwanted.wait(LOOK) {
            end_group(&mut child);
            return Err(error);
        }
    };
    if status.success() {
        Ok(())
    } else {
        Err(failed(format!("failed with {status} while preparing a template")))
    }
}

/// Kills a program with all that it started, and collects it.
fn end_group(child: &mut Child) {
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: it leads a group of its own, and as it wasn't waited for its id is still its own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    _ = child.wait();
}

/// Makes a directory that only its owner can enter, with all that lead to it.
pub(super) fn private_dir(dir: &Path) -> Result<(), RehearsalError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(RehearsalError::file("making", dir))
}

/// Removes a file or a directory, or nothing.
pub(super) fn remove(path: &Path) -> Result<(), RehearsalError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RehearsalError::file("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// Copies a tree, all of it for the owner only; `fs::copy` shares blocks where the file system can.
fn copy(from: &Path, to: &Path, unwanted: &Unwanted) -> Result<(), RehearsalError> {
    private_dir(to)?;
    for entry in fs::read_dir(from).map_err(RehearsalError::file("reading", from))? {
        let entry = entry.map_err(RehearsalError::file("reading", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        unwanted.check()?;
        let kind = entry.file_type().map_err(RehearsalError::file("reading", &source))?;
        if kind.is_dir() {
            copy(&source, &target, unwanted)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(RehearsalError::file("copying", &source))?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))
                .map_err(RehearsalError::file("setting the mode of", &target))?;
        }
    }
    Ok(())
}
