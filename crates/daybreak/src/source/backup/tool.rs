//! The programs that take physical backups: which one fits a server, where it is, which version it is.
//!
//! What is known of them is one table ([`FITS`]). What couldn't be run is marked untried in it: its
//! command lines are built from its documentation.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{BackupConfig, BackupTool},
    error::{Error, Kind, Result},
    mysql::{Dialect, Product},
};

/// How long a tool may take to say its version.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// Major, minor, patch.
pub type Version = (u16, u16, u16);

/// Which servers a series of a tool can back up.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    /// Whose server.
    pub product: Product,
    /// The server's oldest version.
    pub server_from: Version,
    /// The version before which the server's versions end.
    pub server_before: Version,
    /// The tools' series that fit, as (major, minor), the preferred one first.
    pub series: &'static [(u16, u16)],
    /// Whether the tool's version may not be less than the server's.
    pub not_older: bool,
    /// How it is named to a person.
    pub named: &'static str,
    /// Whether this has never been run by the project's tests.
    pub untried: bool,
}

/// Every combination that is taken. MariaDB's is by rule: the tool's series is the server's.
///
/// Source: Percona XtraBackup, *About* of 2.3, 2.4 and 8.0 (servers supported), and *Server version
/// and backup version comparison* of 8.0 (a tool older than the server is refused).
pub const FITS: &[Fit] = &[
    Fit {
        product: Product::Mysql,
        server_from: (5, 5, 0),
        server_before: (5, 7, 0),
        series: &[(2, 4), (2, 3)],
        not_older: false,
        named: "Percona XtraBackup 2.4 or 2.3",
        untried: true,
    },
    Fit {
        product: Product::Mysql,
        server_from: (5, 7, 0),
        server_before: (5, 8, 0),
        series: &[(2, 4)],
        not_older: false,
        named: "Percona XtraBackup 2.4",
        untried: true,
    },
    Fit {
        product: Product::Mysql,
        server_from: (8, 0, 0),
        server_before: (8, 1, 0),
        series: &[(8, 0)],
        not_older: true,
        named: "Percona XtraBackup 8.0",
        untried: true,
    },
];

/// A program that was found and asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Which.
    pub kind: BackupTool,
    /// Where it is.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// Its version as it says it.
    pub text: String,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", name(self.kind), self.text)
    }
}

/// A tool's own name.
pub fn name(kind: BackupTool) -> &'static str {
    names(kind)[0]
}

/// Whether nothing of a tool has been run by the project's tests.
pub fn untried(kind: BackupTool) -> bool {
    kind != BackupTool::MariadbBackup
}

/// The names under which it is installed.
fn names(kind: BackupTool) -> &'static [&'static str] {
    match kind {
        BackupTool::Xtrabackup => &["xtrabackup"],
        BackupTool::Innobackupex => &["innobackupex"],
        BackupTool::MariadbBackup => &["mariadb-backup", "mariabackup"],
    }
}

impl Tool {
    /// Asks a program for its version.
    ///
    /// # Errors
    /// `Backup` when it can't be run, or isn't one of the tools.
    pub async fn probe(program: &Path) -> Result<Tool> {
        let wrong = |what: &str| {
            Error::new(Kind::Backup, what.to_string())
                .at(program.display())
                .next("name xtrabackup, innobackupex or mariadb-backup: --program, or program in [backup]")
        };
        let asking =
            tokio::process::Command::new(program).arg("--version").kill_on_drop(true).output();
        let output = match tokio::time::timeout(PROBE_LIMIT, asking).await {
            Err(_) => return Err(wrong("the backup tool doesn't answer `--version`")),
            Ok(Err(error)) => return Err(wrong("the backup tool can't be run").because(error)),
            Ok(Ok(output)) => output,
        };
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push('\n');
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        let (kind, text) = read_version(&said)
            .ok_or_else(|| wrong("the program doesn't say that it is a backup tool"))?;
        Ok(Tool { kind, program: program.to_path_buf(), version: numbers(&text), text })
    }

    /// Whether nothing of it has been run by the project's tests.
    pub fn untried(&self) -> bool {
        untried(self.kind)
    }

    /// Why it can't back this server up; none if it can.
    pub fn unfit(&self, server: &Dialect) -> Option<String> {
        match (self.kind, server.product) {
            (BackupTool::MariadbBackup, Product::Mariadb) => {
                let series = (self.version.0, self.version.1);
                (series != (server.version.0, server.version.1))
                    .then(|| format!("{self} is of another series than {server}"))
            }
            (BackupTool::MariadbBackup, Product::Mysql) => {
                Some(format!("{self} can't back up MySQL"))
            }
            (_, Product::Mariadb) => Some(format!("{self} can't back up MariaDB")),
            (_, Product::Mysql) => {
                let Some(fit) = fit(server) else {
                    return Some(format!("no backup of {server} can be restored by Aurora"));
                };
                if !fit.series.contains(&(self.version.0, self.version.1)) {
                    return Some(format!("{self} isn't for {server}"));
                }
                (fit.not_older && self.version < server.version)
                    .then(|| format!("{self} is older than {server}"))
            }
        }
    }
}

fn fit(server: &Dialect) -> Option<&'static Fit> {
    FITS.iter().find(|fit| {
        fit.product == server.product
            && (fit.server_from..fit.server_before).contains(&server.version)
    })
}

/// What to install for a server.
///
/// # Errors
/// `Unsupported` when there is nothing.
pub fn needed(server: &Dialect) -> Result<String> {
    if server.aurora.is_some() {
        return Err(Error::new(
            Kind::Unsupported,
            "Aurora has no data directory that can be copied",
        )
        .next("take the logical route, or a clone"));
    }
    let (major, minor, patch) = server.version;
    match server.product {
        Product::Mariadb if server.version >= (10, 2, 0) => Ok(format!(
            "mariadb-backup {major}.{minor} (package mariadb-backup, of the server's own series)"
        )),
        Product::Mysql => match fit(server) {
            Some(Fit { not_older: true, named, .. }) => {
                Ok(format!("{named}, {major}.{minor}.{patch} or later"))
            }
            Some(fit) => Ok(fit.named.to_string()),
            None => Err(Error::new(
                Kind::Unsupported,
                format!("no physical backup of {server} can be restored by Aurora"),
            )
            .next("Aurora restores backups of MySQL 5.7 and 8.0; take the logical route")),
        },
        Product::Mariadb => {
            Err(Error::new(Kind::Unsupported, format!("{server} is too old for mariadb-backup"))
                .next("take the logical route"))
        }
    }
}

/// Finds the tool for a server: the program that was named, else the first on PATH that fits.
///
/// # Errors
/// `Backup`, which says the version that is needed, when there is none or it is too old.
pub async fn find(config: &BackupConfig, server: &Dialect) -> Result<Tool> {
    find_by(config.tool, config.program.as_deref(), server).await
}

/// The same by what is wished: a kind of tool, or its program.
///
/// # Errors
/// As [`find`].
pub async fn find_by(
    wished: Option<BackupTool>,
    program: Option<&Path>,
    server: &Dialect,
) -> Result<Tool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_on(wished, program, server, &path).await
}

async fn find_on(
    wished: Option<BackupTool>,
    program: Option<&Path>,
    server: &Dialect,
    path: &OsString,
) -> Result<Tool> {
    let needed = needed(server)?;
    let missing = |what: String| {
        Error::new(Kind::Backup, what).next(format!(
            "install {needed} on the source's host, or name the program: --program, or program in [backup]"
        ))
    };
    let on_path = |name: &Path| -> Vec<PathBuf> {
        std::env::split_paths(path)
            .map(|directory| directory.join(name))
            .filter(|file| file.is_file())
            .collect()
    };
    if let Some(program) = program {
        // A bare name is for PATH.
        let found = match program.components().count() {
            1 => on_path(program).into_iter().next(),
            _ => program.is_file().then(|| program.to_path_buf()),
        };
        let Some(found) = found else {
            return Err(missing(format!("the backup tool {} isn't there", program.display())));
        };
        let tool = Tool::probe(&found).await?;
        if wished.is_some_and(|kind| kind != tool.kind) {
            return Err(Error::new(
                Kind::Config,
                format!("the program is {tool}, not the tool that is wished"),
            )
            .at(found.display()));
        }
        return match tool.unfit(server) {
            None => Ok(tool),
            Some(why) => Err(missing(why).at(found.display())),
        };
    }
    let kinds: &[BackupTool] = match (wished, server.product) {
        (Some(BackupTool::Xtrabackup), _) => &[BackupTool::Xtrabackup],
        (Some(BackupTool::Innobackupex), _) => &[BackupTool::Innobackupex],
        (Some(BackupTool::MariadbBackup), _) | (None, Product::Mariadb) => {
            &[BackupTool::MariadbBackup]
        }
        (None, Product::Mysql) => &[BackupTool::Xtrabackup, BackupTool::Innobackupex],
    };
    let mut unfit = Vec::new();
    for program in
        kinds.iter().flat_map(|kind| names(*kind)).flat_map(|name| on_path(Path::new(name)))
    {
        match Tool::probe(&program).await {
            Ok(tool) => match tool.unfit(server) {
                None => return Ok(tool),
                Some(why) => unfit.push(format!("{why} ({})", program.display())),
            },
            Err(error) => unfit.push(format!("{} ({})", error.what(), program.display())),
        }
    }
    Err(match unfit.is_empty() {
        true => missing(format!("no backup tool for {server} is on PATH")),
        false => missing(format!("no backup tool fits: {}", unfit.join("; "))),
    })
}

/// Finds the tool that a backup was taken with, for preparing it: the same kind and series, and not
/// older.
///
/// # Errors
/// `Backup`, which says the version that is needed.
pub async fn find_again(
    program: Option<&Path>,
    kind: BackupTool,
    version: Version,
) -> Result<Tool> {
    let fits = |tool: &Tool| {
        // xtrabackup and innobackupex are two front ends of one.
        let mariadb = |kind| kind == BackupTool::MariadbBackup;
        mariadb(tool.kind) == mariadb(kind)
            && (tool.version.0, tool.version.1) == (version.0, version.1)
            && tool.version >= version
    };
    let needed =
        format!("{} {}.{}.{} or later of that series", name(kind), version.0, version.1, version.2);
    let missing = |what: String| {
        Error::new(Kind::Backup, what)
            .next(format!("install {needed} here, or name the program with --program"))
    };
    if let Some(program) = program {
        let tool = Tool::probe(program).await?;
        return match fits(&tool) {
            true => Ok(tool),
            false => Err(missing(format!("{tool} can't prepare what {needed} is needed for"))
                .at(program.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in names(kind) {
        for directory in std::env::split_paths(&path) {
            let program = directory.join(name);
            if program.is_file()
                && let Ok(tool) = Tool::probe(&program).await
                && fits(&tool)
            {
                return Ok(tool);
            }
        }
    }
    Err(missing(format!("the tool that took the backup isn't on PATH ({needed})")))
}

/// `xtrabackup version 8.0.35-30 based on MySQL server 8.0.35 Linux ...`, `innobackupex version 2.4.29
/// Linux ...`, `mariadb-backup based on MariaDB server 10.11.18-MariaDB debian-linux-gnu ...`.
fn read_version(said: &str) -> Option<(BackupTool, String)> {
    for line in said.lines() {
        let (kind, rest) = if let Some((_, rest)) = line.split_once("based on MariaDB server ") {
            (BackupTool::MariadbBackup, rest)
        } else if let Some((_, rest)) = line.split_once("innobackupex version ") {
            (BackupTool::Innobackupex, rest)
        } else if let Some((_, rest)) = line.split_once("xtrabackup version ") {
            (BackupTool::Xtrabackup, rest)
        } else {
            continue;
        };
        let version = rest.split_whitespace().next()?;
        return version
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| (kind, version.to_string()));
    }
    None
}

/// The leading numbers of a version.
pub(super) fn numbers(text: &str) -> Version {
    let mut parts =
        text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u16>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    (part(), part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(kind: BackupTool, text: &str) -> Tool {
        Tool { kind, program: "/usr/bin/x".into(), version: numbers(text), text: text.into() }
    }

    #[test]
    fn versions_are_read_as_tools_say_them() {
        let said = [
            (
                "2026-11-21T10:00:00.1-00:00 0 [Note] [MY-011825] [Xtrabackup] recognized server arguments: --datadir=/x\nxtrabackup version 8.0.35-30 based on MySQL server 8.0.35 Linux (x86_64) (revision id: 6beb4b49)",
                BackupTool::Xtrabackup,
                (8, 0, 35),
            ),
            (
                "xtrabackup version 2.4.29 based on MySQL server 5.7.44 Linux (x86_64) (revision id: 2e6c0951)",
                BackupTool::Xtrabackup,
                (2, 4, 29),
            ),
            (
                "innobackupex version 2.3.10 Linux (x86_64) (revision id: bd0d4403f36)",
                BackupTool::Innobackupex,
                (2, 3, 10),
            ),
            (
                "/usr/bin/mariadb-backup based on MariaDB server 10.11.18-MariaDB debian-linux-gnu (x86_64)",
                BackupTool::MariadbBackup,
                (10, 11, 18),
            ),
        ];
        for (text, kind, version) in said {
            let (found, text) = read_version(text).unwrap();
            assert_eq!((found, numbers(&text)), (kind, version));
        }
        assert!(read_version("mysqld  Ver 8.0.36 for Linux").is_none());
        assert!(read_version("").is_none());
    }

    #[test]
    fn each_server_has_its_tool() {
        use BackupTool::{Innobackupex, MariadbBackup, Xtrabackup};
        let fits = |kind, version: &str, server: &str| {
            tool(kind, version).unfit(&Dialect::read(server, None)).is_none()
        };
        assert!(fits(Xtrabackup, "2.4.29", "5.7.44") && fits(Innobackupex, "2.4.29", "5.7.44"));
        assert!(!fits(Xtrabackup, "2.3.10", "5.7.44") && fits(Xtrabackup, "2.3.10", "5.6.24"));
        assert!(!fits(Xtrabackup, "8.0.35-30", "5.7.44"));
        assert!(
            fits(Xtrabackup, "8.0.35-30", "8.0.35") && !fits(Xtrabackup, "8.0.34-29", "8.0.35")
        );
        assert!(!fits(Xtrabackup, "8.4.0-1", "8.0.35") && !fits(Xtrabackup, "8.4.0-1", "8.4.0"));
        assert!(fits(MariadbBackup, "10.11.18-MariaDB", "10.11.6-MariaDB-log"));
        assert!(!fits(MariadbBackup, "10.6.1-MariaDB", "10.11.6-MariaDB-log"));
        assert!(!fits(MariadbBackup, "10.11.18-MariaDB", "8.0.35"));
        assert!(!fits(Xtrabackup, "2.4.29", "10.1.48-MariaDB"));
    }

    #[test]
    fn what_is_needed_is_said() {
        let needed = |server: &str| needed(&Dialect::read(server, None)).map_err(|e| e.kind());
        assert_eq!(needed("5.7.44-log").unwrap(), "Percona XtraBackup 2.4");
        assert_eq!(needed("8.0.36").unwrap(), "Percona XtraBackup 8.0, 8.0.36 or later");
        assert_eq!(needed("8.4.2"), Err(Kind::Unsupported));
        assert_eq!(needed("9.7.0"), Err(Kind::Unsupported));
        assert!(needed("10.11.6-MariaDB").unwrap().contains("10.11"));
    }
}
