//! Looks, before a backup is begun, whether it can be taken: tool, privileges, data directory, space,
//! and what the tool is known to refuse or to break. Read-only.

use std::{
    ffi::{CString, OsStr},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::tool::{self, Tool};
use crate::{
    config::{BackupConfig, BackupTool},
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
    mysql::{Dialect, ServerUrl, Session, TableName, quote},
    source::{
        assess::grant_statement,
        grants::{Grants, Scope},
    },
    transit::staging,
};

/// What is known of a source before its backup.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The tool that will be used.
    pub tool: Tool,
    /// The server's identity.
    pub server: String,
    /// The server's product and version.
    pub dialect: Dialect,
    /// Its data directory, as seen from here.
    pub data_directory: PathBuf,
    /// About how many bytes will be copied.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// An error that names all blockers; none without one.
    pub fn blocked(&self) -> Option<Error> {
        let blockers: Vec<&Finding> =
            self.findings.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
        let first = blockers.first()?;
        let why: Vec<&str> = blockers.iter().map(|finding| finding.why.as_str()).collect();
        let remedies: Vec<&str> = blockers.iter().map(|finding| finding.remedy.as_str()).collect();
        let kind = match first.id.as_str() {
            "backup.privileges" => Kind::Privilege,
            _ => Kind::Blocked,
        };
        Some(
            Error::new(kind, format!("no backup can be taken: {}", why.join("; ")))
                .next(remedies.join("; then: ")),
        )
    }
}

/// The privileges that a backup needs, on the whole server.
///
/// Source: Percona XtraBackup 2.4 and 8.0, *Connection and privileges needed*. MariaDB: measured on
/// 10.11, where these suffice; before 10.5 it takes a lock on all tables.
fn needed(dialect: &Dialect) -> &'static [&'static str] {
    if dialect.is_mariadb() {
        if dialect.version >= (10, 5, 2) {
            &["RELOAD", "PROCESS", "REPLICATION CLIENT"]
        } else {
            &["RELOAD", "PROCESS", "LOCK TABLES", "REPLICATION CLIENT"]
        }
    } else if dialect.mysql_from(8, 0, 0) {
        &["BACKUP_ADMIN", "PROCESS", "RELOAD", "LOCK TABLES", "REPLICATION CLIENT"]
    } else {
        &["RELOAD", "LOCK TABLES", "PROCESS", "REPLICATION CLIENT"]
    }
}

/// The tables that XtraBackup 8.0 reads.
const READ_BY_80: [&str; 3] =
    ["log_status", "keyring_component_status", "replication_group_members"];

/// Looks at everything. `to` is where the backup will lie; none for a stream. `measure`: also how fast
/// that directory is, by writing to it.
///
/// # Errors
/// When a server can't be asked, or there is no tool; blockers are findings.
pub async fn check(
    url: &ServerUrl,
    session: &mut Session,
    config: &BackupConfig,
    to: Option<&Path>,
    incremental: bool,
    measure: bool,
) -> Result<Checked> {
    let dialect = session.dialect().clone();
    let tool = tool::find(config, &dialect).await?;
    let server = session.server_uuid().await?;
    let mut findings = Vec::new();
    let mut add = |severity, id: &str, objects: Vec<String>, why: String, remedy: String| {
        findings.push(Finding { id: format!("backup.{id}"), severity, objects, why, remedy });
    };
    if tool.untried() {
        add(
            Severity::Note,
            "untried",
            vec![tool.to_string()],
            format!(
                "daybreak's own tests can't run {}: its command lines are built from its documentation",
                tool::name(tool.kind)
            ),
            "inspect the backup (`daybreak backup inspect`) before you build on it".into(),
        );
    }
    if let Some((why, remedy)) = missing_privileges(session, &dialect).await? {
        add(Severity::Blocker, "privileges", Vec::new(), why, remedy);
    }
    let instant = instant_columns(session, &dialect, &tool).await;
    if !instant.is_empty() {
        let statements: Vec<String> = instant
            .iter()
            .map(|table| {
                format!("OPTIMIZE TABLE {}.{};", quote(&table.database), quote(&table.name))
            })
            .collect();
        add(
            Severity::Blocker,
            "instant_columns",
            instant.iter().map(ToString::to_string).collect(),
            format!("{tool} stops at tables with columns that were added or dropped by INSTANT"),
            statements.join(" "),
        );
    }
    if session.variable("log_bin").await?.as_deref() != Some("ON") {
        add(
            Severity::Warning,
            "binary_log",
            Vec::new(),
            "the server writes no binary log: the backup will have no coordinates to replicate from".into(),
            "set log_bin and restart the server before the backup, unless a downtime is accepted".into(),
        );
    }
    // The data directory.
    let said = session.variable("datadir").await?.unwrap_or_default();
    let said = PathBuf::from(said);
    let data_directory = config.data_directory.clone().unwrap_or_else(|| said.clone());
    let own_host = own_host(url, session, config, &data_directory).await?;
    if let Some(why) = own_host {
        add(
            Severity::Blocker,
            "other_host",
            vec![data_directory.display().to_string()],
            why,
            "run `daybreak backup take` on the source's own host; backup and upload may run on two hosts that share [staging] directory".into(),
        );
    }
    if tool.kind == BackupTool::MariadbBackup && data_directory.components().ne(said.components()) {
        add(
            Severity::Blocker,
            "data_directory",
            vec![data_directory.display().to_string()],
            format!("mariadb-backup always reads {}, as the server says", said.display()),
            "mount the data directory at that path, and leave data_directory out".into(),
        );
    }
    let at = data_directory.clone();
    let log_bin = session.variable("log_bin_basename").await?;
    let walked = tokio::task::spawn_blocking(move || walk(&at, log_bin.as_deref()))
        .await
        .map_err(|error| Error::new(Kind::Bug, "a walk panicked").because(error))?;
    if let Some(unreadable) = &walked.unreadable {
        add(
            Severity::Blocker,
            "unreadable",
            vec![unreadable.clone()],
            format!("the data directory can't be read from here: {unreadable}"),
            "run on the source's own host as a user of the server's group (mysql), or as root; data_directory in [backup] names it where it is mounted elsewhere".into(),
        );
    }
    if let Some(to) = to {
        // What arrives while it runs is redo log, which a busy server writes a lot of.
        let wanted = if incremental { 0 } else { walked.bytes + walked.bytes / 10 };
        let place = to.to_path_buf();
        let looked = tokio::task::spawn_blocking(move || staging::look(&place, wanted, measure))
            .await
            .map_err(|error| Error::new(Kind::Bug, "a look panicked").because(error))??;
        if incremental && looked.free < walked.bytes / 10 {
            add(
                Severity::Warning,
                "space",
                vec![to.display().to_string()],
                format!(
                    "{} are free for an incremental backup of {} of data",
                    staging::size(looked.free),
                    staging::size(walked.bytes)
                ),
                "free space before it is taken".into(),
            );
        }
        findings.extend(looked.findings);
    }
    Ok(Checked {
        tool,
        server,
        dialect,
        data_directory,
        bytes: walked.bytes,
        files: walked.files,
        findings,
    })
}

/// What the account lacks, and the statements that grant it.
async fn missing_privileges(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Option<(String, String)>> {
    let grants = Grants::read(session).await?;
    let account: String = session.scalar("SELECT CURRENT_USER()").await?.unwrap_or_default();
    let mut lacking: Vec<&str> = needed(dialect)
        .iter()
        .copied()
        .filter(|privilege| !grants.has(privilege, Scope::Server))
        .collect();
    let mut statements = Vec::new();
    if !lacking.is_empty() {
        statements.push(grant_statement(&lacking, "*.*", &account));
    }
    if dialect.mysql_from(8, 0, 0) {
        for name in READ_BY_80 {
            let table = TableName::new("performance_schema", name);
            if grants.has("SELECT", Scope::Table(&table)) {
                continue;
            }
            // Not every 8.0 has all of them.
            let there = session
                .rows_with(
                    "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = ?",
                    (name,),
                )
                .await?;
            // A table that the account may not read isn't shown to it: the server's version decides.
            let since = match name {
                "log_status" => (8, 0, 11),
                "keyring_component_status" => (8, 0, 24),
                _ => (8, 0, 0),
            };
            if !there.is_empty() || dialect.version >= since {
                lacking.push(name);
                statements.push(grant_statement(
                    &["SELECT"],
                    &format!("performance_schema.{name}"),
                    &account,
                ));
            }
        }
    }
    Ok((!lacking.is_empty()).then(|| {
        (format!("the account {account} lacks {}", lacking.join(", ")), statements.join(" "))
    }))
}

/// The tables at which a tool stops.
///
/// Source: Percona XtraBackup 8.0, *Found tables with row versions due to INSTANT ADD/DROP columns*:
/// tools 8.0.29 to 8.0.31 stop, and later ones do with servers of those versions.
async fn instant_columns(session: &mut Session, dialect: &Dialect, tool: &Tool) -> Vec<TableName> {
    let trap = (8, 0, 29)..(8, 0, 32);
    if !dialect.mysql_from(8, 0, 29)
        || !(trap.contains(&tool.version) || trap.contains(&dialect.version))
    {
        return Vec::new();
    }
    let sql = "SELECT NAME FROM information_schema.INNODB_TABLES WHERE TOTAL_ROW_VERSIONS > 0";
    let rows = match session.rows(sql).await {
        Ok(rows) => rows,
        Err(error) => {
            // Without PROCESS; the missing privilege is a finding of its own.
            tracing::info!(%error, "INSTANT columns weren't looked for");
            return Vec::new();
        }
    };
    rows.iter()
        .filter_map(|row| {
            let name = session.column::<String>(row, 0).ok()??;
            let (database, table) = name.split_once('/')?;
            Some(TableName::new(database, table.split("#p#").next().unwrap_or(table)))
        })
        .collect()
}

/// Why the data directory isn't that of this server; none if it is, or was named on purpose.
async fn own_host(
    url: &ServerUrl,
    session: &mut Session,
    config: &BackupConfig,
    directory: &Path,
) -> Result<Option<String>> {
    // MySQL keeps its identity beside the data.
    if let Ok(text) = std::fs::read_to_string(directory.join("auto.cnf"))
        && let Some(uuid) = session.variable("server_uuid").await?
    {
        let found = text.lines().find_map(|line| line.trim().strip_prefix("server-uuid="));
        return Ok(found
            .filter(|found| found.trim() != uuid)
            .map(|found| format!("{} is that of another server ({found})", directory.display())));
    }
    if url.is_local() || config.data_directory.is_some() {
        return Ok(None);
    }
    let host = session.variable("hostname").await?.unwrap_or_default();
    let here = hostname();
    Ok((host != here)
        .then(|| format!("the server runs on {host}, and this is {here}: its files aren't here")))
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string()
}

#[derive(Debug, Default)]
struct Walked {
    bytes: u64,
    files: u64,
    unreadable: Option<String>,
}

/// Files that a backup doesn't hold.
///
/// Source: what real backups hold, and the tools' lists of files that are copied.
fn left_out(name: &OsStr, log_bin: Option<&OsStr>) -> bool {
    let name = name.as_bytes();
    let begins = |with: &[u8]| name.starts_with(with);
    let ends = |with: &[u8]| name.ends_with(with);
    begins(b"ib_logfile")
        || begins(b"ibtmp")
        || begins(b"#innodb_redo")
        || begins(b"#innodb_temp")
        || begins(b"#ib_")
        || [&b".pid"[..], b".err", b".sock", b".lock", b".pem", b".index"]
            .iter()
            .any(|end| ends(end))
        || log_bin.is_some_and(|log| {
            // A table may have the log's name; numbers alone follow the log's.
            name.strip_prefix(log.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"."))
                .is_some_and(|number| number.iter().all(u8::is_ascii_digit))
        })
}

/// Goes through the data directory: what will be copied, and whether it can be read.
fn walk(directory: &Path, log_bin: Option<&str>) -> Walked {
    let log_bin = log_bin.and_then(|path| Path::new(path).file_name());
    let mut walked = Walked::default();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                walked.unreadable.get_or_insert(format!("{}: {error}", directory.display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if left_out(&name, log_bin) {
                continue;
            }
            // A table that was dropped meanwhile is no trouble.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.is_file() {
                walked.files += 1;
                // A sparse file is read whole, and written sparse where the tool can.
                walked.bytes += metadata.size();
                if walked.unreadable.is_none() && !readable(&entry.path()) && entry.path().exists()
                {
                    walked.unreadable =
                        Some(format!("{}: permission denied", entry.path().display()));
                }
            }
        }
    }
    walked
}

fn readable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a NUL-terminated string that lives through the call.
    unsafe { libc::access(path.as_ptr(), libc::R_OK) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; bytes]).unwrap();
        };
        write("ibdata1", 100);
        write("shop/t.ibd", 20);
        write("shop/binlog.ibd", 3);
        for left in [
            "ib_logfile0",
            "ibtmp1",
            "binlog.000001",
            "binlog.index",
            "h.pid",
            "#innodb_redo/#ib_redo7",
        ] {
            write(left, 1000);
        }
        let walked = walk(place.path(), Some("/somewhere/binlog"));
        assert_eq!((walked.bytes, walked.files, walked.unreadable), (123, 3, None));
        assert!(walk(&place.path().join("nothing"), None).unreadable.is_some());
    }
}
