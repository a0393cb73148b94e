//! Owns where the servers' programs are: an explicit path, what scripts/get-servers provides, PATH.
//! It downloads nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::RehearsalError;

/// Which server to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// MySQL 9.7, or the 8.0.23+ that is on PATH.
    Mysql97,
    /// MySQL 5.7: one that is named by its path, or on PATH.
    Mysql57,
    /// MySQL 5.6.24: the oldest source.
    Mysql56,
    /// MariaDB 10.11.
    Mariadb1011,
}

impl Product {
    /// Every product that scripts/get-servers provides, in the order of their use.
    pub const ALL: [Product; 3] = [Product::Mysql97, Product::Mysql56, Product::Mariadb1011];

    /// Returns the name by which scripts/get-servers knows it.
    pub fn name(self) -> &'static str {
        match self {
            Product::Mysql97 => "mysql-9.7",
            Product::Mysql57 => "mysql-5.7",
            Product::Mysql56 => "mysql-5.6",
            Product::Mariadb1011 => "mariadb-10.11",
        }
    }

    /// Whether it is MySQL before 8.0, whose statements about accounts and replication are the old ones.
    pub(crate) fn is_mysql5(self) -> bool {
        matches!(self, Product::Mysql56 | Product::Mysql57)
    }

    /// What to do when it isn't there.
    pub(super) fn remedy(self) -> String {
        match self {
            Product::Mysql57 => "name a mysqld 5.7 by its path".to_owned(),
            _ => format!("run scripts/get-servers {self}"),
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The programs of one product.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Which product they are of.
    pub product: Product,
    /// The server's own version, such as `9.7.4`.
    pub version: String,
    /// The server program.
    pub mysqld: PathBuf,
    /// The directory in which the product's other programs lie.
    pub bin: PathBuf,
}

impl Binaries {
    /// Returns the path of another program of the product (`mysqldump`, `mariadb-backup`), if it has it.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.bin.join(name);
        path.exists().then_some(path)
    }

    /// Returns the version as the server itself says it, by which MariaDB is told from MySQL.
    pub fn version_said(&self) -> String {
        match self.product {
            Product::Mariadb1011 => format!("{}-MariaDB", self.version),
            _ => self.version.clone(),
        }
    }

    /// Returns the version as numbers, so that (8, 4, 0) compares.
    pub fn version_numbers(&self) -> (u32, u32, u32) {
        numbers(&self.version)
    }
}

/// Returns the directory in which scripts/get-servers keeps the servers.
pub fn servers_dir() -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DAYBREAK_SERVERS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("daybreak/servers")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/daybreak/servers")))
}

/// Finds the programs of a product: `DAYBREAK_MYSQLD`, then what scripts/get-servers put in place, then PATH.
pub fn find(product: Product) -> Result<Binaries, RehearsalError> {
    let mut looked = Vec::new();
    if product == Product::Mysql97
        && let Some(path) = std::env::var_os("DAYBREAK_MYSQLD").filter(|value| !value.is_empty())
    {
        return at(product, &PathBuf::from(path));
    }
    if let Some(servers) = servers_dir() {
        let home = servers.join(product.name());
        if let Ok(stamp) = std::fs::read_to_string(home.join(".complete")) {
            let version =
                stamp.lines().find_map(|line| line.strip_prefix("Ver ")).and_then(first_version);
            let bin = home.join("bin");
            let mysqld = bin.join("mysqld");
            if let Some(version) = version
                && mysqld.exists()
            {
                return Ok(Binaries { product, version, mysqld, bin });
            }
        }
        looked.push(format!("not in {}", home.display()));
    }
    let name = if product == Product::Mariadb1011 { "mariadbd" } else { "mysqld" };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    for directory in std::env::split_paths(&path).chain(sbin) {
        let candidate = directory.join(name);
        if candidate.is_file()
            && let Some(found) = by_path(product, &candidate)
        {
            return Ok(found);
        }
    }
    looked.push(format!("no fitting {name} on PATH"));
    Err(RehearsalError::NotFound { product, looked: looked.join(", ") })
}

/// The programs that take a physical backup, prepare it, and unpack its stream.
#[derive(Clone, Debug)]
pub struct BackupPrograms {
    /// `mariadb-backup`, or of MySQL `xtrabackup`.
    pub backup: PathBuf,
    /// `mbstream`, or of MySQL `xbstream`, where it lies beside it or on PATH.
    pub stream: Option<PathBuf>,
}

impl BackupPrograms {
    /// A tool that was found already, with what unpacks its stream.
    pub fn of(product: Product, backup: PathBuf) -> BackupPrograms {
        // Each family has chunks of its own, which the other's program doesn't know.
        let name = if product == Product::Mariadb1011 { "mbstream" } else { "xbstream" };
        let beside = backup.with_file_name(name);
        let stream = if beside.is_file() { Some(beside) } else { on_path(name) };
        BackupPrograms { backup, stream }
    }
}

/// Finds a program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Finds `mariadb-backup`: `DAYBREAK_MARIADB_BACKUP`, then what scripts/get-servers put in place,
/// then PATH.
pub fn find_mariadb_backup() -> Result<BackupPrograms, RehearsalError> {
    const NAME: &str = "mariadb-backup";
    let with_stream = |backup| BackupPrograms::of(Product::Mariadb1011, backup);
    if let Some(given) = std::env::var_os("DAYBREAK_MARIADB_BACKUP").filter(|v| !v.is_empty()) {
        let given = PathBuf::from(given);
        return match given.is_file() {
            true => Ok(with_stream(given)),
            false => Err(RehearsalError::Other {
                what: format!("DAYBREAK_MARIADB_BACKUP: {} isn't there", given.display()),
                next: "name the program, or unset it".to_owned(),
            }),
        };
    }
    let cached = servers_dir()
        .map(|servers| servers.join(Product::Mariadb1011.name()))
        .filter(|home| home.join(".complete").is_file())
        .map(|home| home.join("bin").join(NAME));
    cached
        .filter(|program| program.is_file())
        .or_else(|| on_path(NAME))
        .map(with_stream)
        .ok_or_else(|| RehearsalError::Other {
            what: "mariadb-backup isn't here: not beside MariaDB 10.11, not on PATH".to_owned(),
            next: "run scripts/get-servers mariadb-backup, or name it in DAYBREAK_MARIADB_BACKUP"
                .to_owned(),
        })
}

/// Takes an explicit path: the wish is granted or refused, never silently replaced.
pub(super) fn at(product: Product, mysqld: &Path) -> Result<Binaries, RehearsalError> {
    by_path(product, mysqld).ok_or_else(|| RehearsalError::Other {
        what: format!("{} is no server that can be {product}", mysqld.display()),
        next: "name a mysqld 8.0.23 or later (--server, DAYBREAK_MYSQLD), or none".to_owned(),
    })
}

/// Finds out which product a server program is of.
///
/// # Errors
/// When it is none that can be run here.
pub fn identify(mysqld: &Path) -> Result<Binaries, RehearsalError> {
    [Product::Mysql97, Product::Mysql57, Product::Mysql56, Product::Mariadb1011]
        .into_iter()
        .find_map(|product| by_path(product, mysqld))
        .ok_or_else(|| RehearsalError::Other {
            what: format!("{} is no server that can be run here", mysqld.display()),
            next: "name a mysqld 8.0.23 or later, 5.7 or 5.6, or a mariadbd 10.11".to_owned(),
        })
}

/// Asks a program for its version and takes it when it fits the product.
fn by_path(product: Product, mysqld: &Path) -> Option<Binaries> {
    let output = Command::new(mysqld).args(["--no-defaults", "--version"]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = first_version(said.split_once("Ver ")?.1)?;
    let mariadb = said.to_ascii_lowercase().contains("mariadb");
    let (major, minor, patch) = numbers(&version);
    let fits = match product {
        Product::Mysql97 => !mariadb && (major, minor, patch) >= (8, 0, 23),
        Product::Mysql57 => !mariadb && (major, minor) == (5, 7),
        Product::Mysql56 => !mariadb && (major, minor) == (5, 6),
        Product::Mariadb1011 => mariadb && (major, minor) == (10, 11),
    };
    let bin = mysqld.parent()?.to_owned();
    // A distribution's server lies in sbin, the other programs in bin beside it.
    let beside = bin.with_file_name("bin");
    let bin = if bin.file_name().is_some_and(|name| name == "sbin") && beside.is_dir() {
        beside
    } else {
        bin
    };
    fits.then(|| Binaries { product, version, mysqld: mysqld.to_owned(), bin })
}

fn first_version(text: &str) -> Option<String> {
    let version: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!version.is_empty()).then_some(version)
}

fn numbers(version: &str) -> (u32, u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
