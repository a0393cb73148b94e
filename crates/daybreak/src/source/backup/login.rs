//! The login of a backup tool: an option file that only its owner can read, in a directory that only
//! its owner can enter, there for as long as the tool runs. What a killed daybreak left is swept by the
//! next one. Nothing of it is in an argument list or in the environment.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    config::BackupTool,
    error::{Error, Kind, Result},
    mysql::{ServerUrl, TlsMode},
};

/// How the directories begin. Then: the process's namespace, number and start, and a counter.
const PREFIX: &str = "daybreak-login-";

/// The option file, which is gone when this is dropped.
#[derive(Debug)]
pub struct Login {
    directory: PathBuf,
    file: PathBuf,
}

impl Login {
    /// Writes it, after having swept what dead processes left.
    ///
    /// # Errors
    /// `Io`; `Config` for what no option file can say.
    pub fn write(url: &ServerUrl, tool: BackupTool) -> Result<Self> {
        Self::write_in(&std::env::temp_dir(), url, tool)
    }

    fn write_in(parent: &Path, url: &ServerUrl, tool: BackupTool) -> Result<Self> {
        sweep(parent);
        let text = text(url, tool)?;
        let failed = |error: std::io::Error, path: &Path| {
            Error::new(Kind::Io, "the login of the backup tool can't be put into a private file")
                .because(error)
                .at(path.display())
        };
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = parent.join(format!("{PREFIX}{}-{number}", own_mark()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(|error| failed(error, &directory))?;
        // From here on it is removed, whatever happens.
        let login = Login { file: directory.join("login.cnf"), directory };
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&login.file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| failed(error, &login.file))?;
        Ok(login)
    }

    /// The option file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A private directory for what the tool needs while it works.
    ///
    /// # Errors
    /// `Io`.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&path)?;
        Ok(path)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "a login file is left");
        }
    }
}

/// Who made a directory: a number alone would come again, in another container or later.
fn own_mark() -> String {
    let start = start_of("self").unwrap_or_default();
    format!("{}-{}-{start}", namespace(), std::process::id())
}

fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map(|metadata| metadata.ino()).unwrap_or(0)
}

/// When a process began, in ticks since the machine's start.
fn start_of(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Removes the logins of processes of this namespace that aren't there any more.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    // SAFETY: geteuid has no preconditions and cannot fail.
    let me = unsafe { libc::geteuid() };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(mark) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let parts: Vec<&str> = mark.split('-').collect();
        let &[space, process, start, _] = parts.as_slice() else { continue };
        // `symlink_metadata`: a link that somebody put there is nobody's login.
        let ours = fs::symlink_metadata(entry.path())
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == me);
        let alive = start_of(process).is_some_and(|now| now.to_string() == start);
        if ours && space == namespace().to_string() && !alive {
            tracing::info!(directory = %entry.path().display(), "removing the login that a killed process left");
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "it can't be removed");
            }
        }
    }
}

/// What the file says. Every tool reads the group `[xtrabackup]`; `[client]` is left out, since a tool
/// that reads both would read all twice.
///
/// Source: the groups that each tool's `--help` names.
fn text(url: &ServerUrl, tool: BackupTool) -> Result<String> {
    let mut lines = vec!["[xtrabackup]".to_string(), format!("user={}", quoted(&url.user)?)];
    if let Some(password) = &url.password {
        lines.push(format!("password={}", quoted(password.reveal())?));
    }
    // Percona's tools have no `protocol`: the host alone decides there.
    let mariadb = tool == BackupTool::MariadbBackup;
    match &url.socket {
        Some(socket) => {
            if mariadb {
                lines.push("protocol=socket".into());
            }
            lines.push(format!("socket={}", quoted(&socket.to_string_lossy())?));
        }
        None => {
            // `localhost` would mean the socket that the tool was built with.
            let mut host = url.host.as_str();
            if mariadb {
                lines.push("protocol=tcp".into());
            } else if host.eq_ignore_ascii_case("localhost") {
                host = "127.0.0.1";
            }
            lines.push(format!("host={}", quoted(host)?));
            lines.push(format!("port={}", url.port));
        }
    }
    if url.tls != TlsMode::Off
        && let Some(ca) = &url.ca
    {
        lines.push(format!("ssl-ca={}", quoted(&ca.to_string_lossy())?));
    }
    // `loose-`: a tool that doesn't know the option (2.3 has none of these) goes on without it.
    lines.push(match (tool, url.tls) {
        (BackupTool::MariadbBackup, TlsMode::Off) => "loose-skip-ssl".into(),
        (BackupTool::MariadbBackup, TlsMode::Required) => "loose-ssl".into(),
        (BackupTool::MariadbBackup, _) => "ssl-verify-server-cert".into(),
        (_, TlsMode::Off) => "loose-ssl-mode=DISABLED".into(),
        (_, TlsMode::Required) => "ssl-mode=REQUIRED".into(),
        (_, TlsMode::VerifyCa) => "ssl-mode=VERIFY_CA".into(),
        (_, TlsMode::VerifyIdentity) => "ssl-mode=VERIFY_IDENTITY".into(),
    });
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// A value as option files quote it.
///
/// Source: MySQL manual, *Using Option Files*: a value may be in quotes; `\b \t \n \r \\ \s` are escapes.
fn quoted(value: &str) -> Result<String> {
    if value.contains('\0') || value.len() > 2000 {
        return Err(Error::new(
            Kind::Config,
            "a login's part can't be written into an option file",
        )
        .next("use an account whose name and password are shorter and have no NUL"));
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_can_read_it_and_it_goes() {
        let parent = tempfile::tempdir().unwrap();
        let url = ServerUrl::parse("mysql://u:ge%22h%5Ce%23im@127.0.0.1:3307/").unwrap();
        let login = Login::write_in(parent.path(), &url, BackupTool::MariadbBackup).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(login.file()), mode(&login.directory)), (0o600, 0o700));
        let text = fs::read_to_string(login.file()).unwrap();
        assert!(text.contains("password=\"ge\\\"h\\\\e#im\"\n"), "{text}");
        assert!(!format!("{login:?}").contains("eim"));
        drop(login);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    /// Source: `xb_mysql_connect` of XtraBackup, which sets no protocol.
    #[test]
    fn a_port_of_localhost_never_means_a_socket() {
        let url = ServerUrl::parse("mysql://u:p@localhost:3307/").unwrap();
        let of = |tool| text(&url, tool).unwrap();
        for tool in [BackupTool::Xtrabackup, BackupTool::Innobackupex] {
            let said = of(tool);
            assert!(said.contains("host=\"127.0.0.1\"\nport=3307\n"), "{said}");
            assert!(!said.contains("protocol"), "{said}");
        }
        let said = of(BackupTool::MariadbBackup);
        assert!(said.contains("protocol=tcp\nhost=\"localhost\"\nport=3307\n"), "{said}");
    }

    #[test]
    fn what_the_dead_left_is_swept_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: String| fs::create_dir(parent.path().join(name)).unwrap();
        let space = namespace();
        let me = std::process::id();
        // This process's number with another start: somebody who had it before.
        let dead = format!("{PREFIX}{space}-{me}-1-0");
        let other_space = format!("{PREFIX}{}-{me}-1-0", space + 1);
        let alive = format!("{PREFIX}{}-7", own_mark());
        for name in [&dead, &other_space, &alive, &"daybreak-login-x".to_string()] {
            make(name.clone());
        }
        sweep(parent.path());
        let there = |name: &str| parent.path().join(name).exists();
        assert!(!there(&dead) && there(&other_space) && there(&alive) && there("daybreak-login-x"));
    }
}
