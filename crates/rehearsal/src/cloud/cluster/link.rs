//! The backups of a chain: what their own files say, their order, and what Aurora refuses of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Engine, Profile, Refusal, pages};
use crate::server::Product;

/// One backup.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Where its files are.
    pub dir: PathBuf,
    checkpoints: BTreeMap<String, String>,
    info: BTreeMap<String, String>,
}

/// `8.0.36-28` is 8, 0, 36.
pub(super) fn numbers(version: &str) -> (u32, u32, u32) {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next(), next())
}

/// `key = value`, a line each.
fn read(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// MariaDB 11 renamed the files.
fn one_of(dir: &Path, name: &str) -> Option<PathBuf> {
    ["xtrabackup", "mariadb_backup"]
        .iter()
        .map(|family| dir.join(format!("{family}_{name}")))
        .find(|path| path.is_file())
}

/// All directories that hold a backup.
pub(super) fn find(root: &Path) -> Result<Vec<Link>, Refusal> {
    let mut found = Vec::new();
    walk(root, 0, &mut found)?;
    if found.is_empty() {
        return Err(Refusal::new("no xtrabackup_checkpoints was found: this is no whole backup"));
    }
    Ok(found)
}

fn walk(dir: &Path, depth: u32, found: &mut Vec<Link>) -> Result<(), Refusal> {
    if let Some(checkpoints) = one_of(dir, "checkpoints") {
        let info = one_of(dir, "info").map(|path| read(&path)).unwrap_or_default();
        let checkpoints = read(&checkpoints);
        found.push(Link { dir: dir.to_owned(), checkpoints, info });
        return Ok(());
    }
    if depth > 4 {
        return Ok(());
    }
    let mut below: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(Refusal::io("reading the backup"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    below.sort();
    below.iter().try_for_each(|dir| walk(dir, depth + 1, found))
}

impl Link {
    fn lsn(&self, name: &str) -> u64 {
        self.checkpoints.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn kind(&self) -> &str {
        self.checkpoints.get("backup_type").map_or("", String::as_str)
    }

    fn is_incremental(&self) -> bool {
        self.kind() == "incremental"
    }

    /// Whether a server starts on it as it is.
    pub fn is_prepared(&self) -> bool {
        self.kind() == "full-prepared"
    }

    fn version(&self) -> &str {
        self.info.get("server_version").map_or("", String::as_str)
    }

    fn numbers(&self) -> (u32, u32, u32) {
        numbers(self.version())
    }

    fn series(&self) -> (u32, u32) {
        let (major, minor, _) = self.numbers();
        (major, minor)
    }

    fn is_mariadb(&self) -> bool {
        self.version().contains("MariaDB")
    }

    /// `8.0.36-28` is Percona Server's, as are its dictionaries of compressed columns; `8.0.43-1` is a
    /// distribution's MySQL.
    fn is_percona(&self) -> bool {
        let build = self.version().split('-').nth(1).unwrap_or_default();
        let own = ["frm", "ibd"].iter().any(|ending| {
            self.dir.join(format!("mysql/compression_dictionary.{ending}")).is_file()
        });
        own || build.len() > 1 && build.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Which server starts on it.
    pub fn product(&self) -> Product {
        match self.series() {
            _ if self.is_mariadb() => Product::Mariadb1011,
            (5, 7) => Product::Mysql57,
            (5, _) => Product::Mysql56,
            _ => Product::Mysql97,
        }
    }

    /// Where the binary log stood. A merged and prepared chain keeps the full one's position in
    /// `binlog_info`; what InnoDB itself recovered is the last one's.
    pub fn position(&self) -> Option<(String, u64)> {
        let innodb = self.dir.join("xtrabackup_binlog_pos_innodb");
        let path = if self.is_prepared() && innodb.is_file() {
            innodb
        } else {
            one_of(&self.dir, "binlog_info")?
        };
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        // InnoDB remembers the file with its directory.
        let file = words.next()?.rsplit('/').next()?.to_owned();
        Some((file, words.next()?.parse().ok()?))
    }

    fn settings(&self) -> BTreeMap<String, String> {
        read(&self.dir.join("backup-my.cnf"))
    }

    /// What the server must be told to read the data files.
    pub fn arguments(&self) -> Vec<String> {
        let settings = self.settings();
        let wanted: &[&str] = match self.product() {
            Product::Mysql56 | Product::Mysql57 => &[
                "innodb_data_file_path",
                "innodb_page_size",
                "innodb_log_files_in_group",
                "innodb_log_file_size",
            ],
            _ => &["innodb_data_file_path", "innodb_page_size"],
        };
        let argument = |name: &&str| {
            let value = settings.get(*name)?;
            Some(format!("--{}={value}", name.replace('_', "-")))
        };
        wanted.iter().filter_map(argument).collect()
    }
}

/// What Aurora refuses and a rehearsal doesn't.
struct Gate {
    profile: Profile,
    remarks: Vec<String>,
}

impl Gate {
    fn refuse(&mut self, what: &str, which: &str) -> Result<(), Refusal> {
        if self.profile == Profile::Aurora {
            return Err(Refusal(format!("{what} ({which}) isn't supported")));
        }
        let remark = format!("Rehearsal: {what} passes here; Aurora refuses it");
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
        Ok(())
    }
}

/// Refuses what Aurora refuses; returns what was let pass all the same.
pub(super) fn judge(
    links: &[Link],
    root: &Path,
    profile: Profile,
    engine: Engine,
) -> Result<Vec<String>, Refusal> {
    let mut gate = Gate { profile, remarks: Vec::new() };
    let refuse = |what: String| Err(Refusal(what));
    for link in links {
        let info = |name: &str| link.info.get(name).map_or("", String::as_str);
        let name = link.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if link.info.is_empty() {
            return refuse(format!("{name} has no xtrabackup_info: this is no whole backup"));
        }
        if link.lsn("last_lsn") == 0 {
            return refuse(format!("{name} has no LSN: this is no whole backup"));
        }
        const PART: [&str; 7] = [
            "--tables",
            "--databases",
            "--include",
            "--tables-exclude",
            "--databases-exclude",
            "--tables-file",
            "--databases-file",
        ];
        let command = info("tool_command");
        let only_some = command
            .split_whitespace()
            .any(|word| PART.iter().any(|option| word.split('=').next() == Some(option)));
        if info("partial") == "Y" || only_some {
            return refuse(format!("{name} is a partial backup"));
        }
        if !matches!(info("compressed"), "" | "N") {
            return refuse(format!("{name} is compressed by the backup tool"));
        }
        if !matches!(info("encrypted"), "" | "N") {
            return refuse(format!("{name} is encrypted by the backup tool"));
        }
        let settings = link.settings();
        if settings.get("innodb_page_size").is_some_and(|size| size != "16384") {
            return refuse(format!("{name} has pages of another size than 16 KiB"));
        }
        let path =
            settings.get("innodb_data_file_path").map_or("ibdata1:12M:autoextend", String::as_str);
        if path != "ibdata1:12M:autoextend" {
            return refuse(format!("{name} has innodb_data_file_path = {path}"));
        }
        let version = link.version();
        match (link.is_mariadb(), link.series()) {
            (true, _) => gate.refuse("a backup of MariaDB", version)?,
            (false, (5, 7) | (8, 0)) => fits(link, engine)?,
            (false, (5, 6)) => gate.refuse("a backup of MySQL 5.6", version)?,
            (false, _) => return refuse(format!("MySQL {version} isn't supported")),
        }
        if link.is_percona() {
            gate.refuse("a backup of Percona Server", version)?;
        }
        if !link.is_mariadb() {
            let groups = settings.get("innodb_log_files_in_group").filter(|count| *count != "2");
            if let Some(count) = groups.filter(|_| link.series() < (8, 0)) {
                gate.refuse("innodb_log_files_in_group other than 2", count)?;
            }
            tables(link, &mut gate)?;
        }
    }
    no_strange_files(root)?;
    Ok(gate.remarks)
}

/// Whether the cluster's version takes a backup of this MySQL.
fn fits(link: &Link, engine: Engine) -> Result<(), Refusal> {
    let (server, version) = (link.numbers(), link.version());
    let refuse = |what: String| Err(Refusal(what));
    let (major, minor, patch) = engine.mysql;
    if (major, minor) != link.series() || server > engine.mysql {
        return refuse(format!(
            "a backup of MySQL {version} can't be restored to a version that is compatible with MySQL \
             {major}.{minor}.{patch}"
        ));
    }
    if engine.aurora >= (3, 5) && [(8, 0, 11), (8, 0, 13), (8, 0, 15)].contains(&server) {
        return refuse(format!("MySQL {version} isn't supported by Aurora 3.05 and later"));
    }
    let Some(tool) = link.info.get("tool_version") else { return Ok(()) };
    let (major, minor, patch) = numbers(tool);
    let sound = match link.series() {
        (5, 7) => (major, minor) == (2, 4),
        _ => (major, minor) == (8, 0) && patch >= server.2,
    };
    if sound {
        return Ok(());
    }
    refuse(format!("XtraBackup {tool} isn't supported for MySQL {version}"))
}

fn tables(link: &Link, gate: &mut Gate) -> Result<(), Refusal> {
    let found = pages::look(&link.dir).map_err(Refusal::io("reading the backup"))?;
    // These no server opens without the source's keys and directories.
    if let Some(table) = found.encrypted.first() {
        return Err(Refusal(format!("the tablespace of {table} is encrypted")));
    }
    if let Some(table) = found.elsewhere.first() {
        return Err(Refusal(format!("{table} lies outside the data directory")));
    }
    if let Some(table) = found.row_format.first() {
        gate.refuse("a table with ROW_FORMAT=COMPRESSED", table)?;
    }
    if let Some(table) = found.page_compression.first() {
        gate.refuse("a table with page compression", table)?;
    }
    Ok(())
}

fn no_strange_files(dir: &Path) -> Result<(), Refusal> {
    for entry in fs::read_dir(dir).map_err(Refusal::io("reading the backup"))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            no_strange_files(&path)?;
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let what = match path.extension().and_then(|extension| extension.to_str()) {
            Some("qp" | "zst" | "lz4") => "is compressed by the backup tool",
            Some("xbcrypt") => "is encrypted by the backup tool",
            Some("isl") => "says that its table lies outside the data directory",
            _ => continue,
        };
        return Err(Refusal(format!("{name} {what}")));
    }
    Ok(())
}

/// Puts the full backup first and the others in the order of their LSNs.
pub(super) fn order(links: &mut [Link]) -> Result<(), Refusal> {
    links.sort_by_key(|link| (link.is_incremental(), link.lsn("to_lsn"), link.lsn("last_lsn")));
    let full = links.iter().filter(|link| !link.is_incremental()).count();
    if full != 1 {
        return Err(Refusal(format!(
            "there are {full} full backups under the prefix, where one must be"
        )));
    }
    let mut reached = 0;
    for pair in links.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        reached = reached.max(before.lsn("to_lsn"));
        if after.lsn("from_lsn") > reached {
            return Err(Refusal(format!(
                "the chain has a gap: it ends at LSN {reached}, the next one begins at {}",
                after.lsn("from_lsn")
            )));
        }
        if before.is_incremental() && before.lsn("to_lsn") == after.lsn("to_lsn") {
            return Err(Refusal::new(
                "two incremental backups have the same LSN: their order is lost",
            ));
        }
    }
    Ok(())
}
