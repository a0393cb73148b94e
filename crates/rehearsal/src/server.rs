//! Owns real servers on loopback: their data directories, processes, ports, passwords and their end.
//!
//! A [`Server`] listens on 127.0.0.1 only, in a directory that only its owner can read, with random
//! passwords that are in no argument list. It ends when it is dropped, and when this process ends in
//! whatever way. It refuses to reuse a port or directory that another server holds.

mod binaries;
mod blocking;
mod error;
mod options;
mod private;
mod restored;
mod spawn;
mod standin;
mod template;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub(crate) use binaries::on_path;
pub use binaries::{
    BackupPrograms, Binaries, Product, find, find_mariadb_backup, identify, servers_dir,
};
pub use error::RehearsalError;
pub use options::{Restored, Role, ServerOptions};
pub use spawn::spawn;

use blocking::{Unwanted, blocking};
use error::tail;
use options::Places;
use private::Private;

/// How long a server may take until it accepts logins: a loaded machine is slow, a broken server exits.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a clean stop may take before the server is killed.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often another port is tried when somebody was faster.
const PORT_TRIES: u32 = 8;
/// A Unix socket's path is limited to 107 bytes by the system.
const SOCKET_PATH_LIMIT: usize = 100;

/// One server process with its data.
pub struct Server {
    options: ServerOptions,
    binaries: Binaries,
    places: Places,
    state: State,
    child: Option<Child>,
    pid: u32,
    // Removed after the server's end: fields drop after `Drop::drop`.
    _socket_dir: Option<TempDir>,
    _dir: Option<Private>,
}

/// What must outlive the process of a server whose directory is kept.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    product: String,
    role: String,
    port: u16,
    server_id: u32,
    root_password: String,
    #[serde(default = "admin_by_default")]
    admin_user: String,
    admin_password: String,
    /// False until the first start went all the way through.
    ready: bool,
}

fn admin_by_default() -> String {
    "admin".to_owned()
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("product", &self.options.product)
            .field("role", &self.options.role)
            .field("port", &self.state.port)
            .field("dir", &self.places.dir)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server and returns when it accepts logins.
    pub async fn start(options: ServerOptions) -> Result<Server, RehearsalError> {
        let product = options.product;
        // Of 5.x only restored data get it: no other target is of such an age.
        let whole_standin = options.role == Role::AuroraStandin && options.restored.is_none();
        if whole_standin && product.is_mysql5() {
            return Err(RehearsalError::Unsupported { product, wish: "the Aurora stand-in" });
        }
        let binaries = match &options.mysqld {
            Some(path) => binaries::at(product, path)?,
            None => find(product)?,
        };
        let (dir, kept) = match &options.dir {
            Some(dir) => (None, dir.clone()),
            None => {
                let dir = Private::new();
                let dir = dir.map_err(RehearsalError::file(
                    "making a directory in",
                    &std::env::temp_dir(),
                ))?;
                let path = dir.path().to_owned();
                (Some(dir), path)
            }
        };
        template::private_dir(&kept)?;
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o700))
            .map_err(RehearsalError::file("setting the mode of", &kept))?;
        // The server changes its directory to the data, so no path may be relative.
        let kept = kept.canonicalize().map_err(RehearsalError::file("finding", &kept))?;
        let mut places = Places::in_dir(&kept);
        template::private_dir(&places.tmp)?;
        let mut socket_dir = None;
        if places.socket.as_os_str().len() > SOCKET_PATH_LIMIT {
            let short = tempfile::Builder::new().prefix("db-").tempdir_in("/tmp");
            let short =
                short.map_err(RehearsalError::file("making a directory in", Path::new("/tmp")))?;
            places.socket = short.path().join("mysqld.sock");
            socket_dir = Some(short);
        }
        let state = match read_state(&places.state, &options)? {
            Some(state) => state,
            None => {
                // Left by a first start that didn't get through: nobody was ever told a password of it.
                template::remove(&places.data)?;
                match &options.restored {
                    Some(restored) => std::fs::rename(&restored.data, &places.data)
                        .map_err(RehearsalError::file("moving", &restored.data))?,
                    None => {
                        let (binaries, data) = (binaries.clone(), places.data.clone());
                        blocking(move |unwanted| template::instantiate(&binaries, &data, unwanted))
                            .await?;
                    }
                }
                State {
                    product: product.name().to_owned(),
                    role: format!("{:?}", options.role),
                    port: 0,
                    server_id: rand::rng().random_range(1_000..1_000_000_000),
                    root_password: password(),
                    admin_user: match &options.restored {
                        Some(restored) => restored.master_user.clone(),
                        None => admin_by_default(),
                    },
                    admin_password: match &options.restored {
                        Some(restored) => restored.master_password.clone(),
                        None => password(),
                    },
                    ready: false,
                }
            }
        };
        let mut server = Server {
            options,
            binaries,
            places,
            state,
            child: None,
            pid: 0,
            _socket_dir: socket_dir,
            _dir: dir,
        };
        server.first_start().await?;
        Ok(server)
    }

    /// Returns the TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.state.port
    }

    /// Returns the path of the Unix socket.
    pub fn socket(&self) -> &Path {
        &self.places.socket
    }

    /// Returns the private directory; the data are in `data` below it.
    pub fn dir(&self) -> &Path {
        &self.places.dir
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.places.data
    }

    /// Returns the id of the server's latest process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the path of the error log.
    pub fn error_log(&self) -> PathBuf {
        self.places.error_log.clone()
    }

    /// Returns the programs that this server is of.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Returns the URL of the account that may do everything.
    pub fn root_url(&self) -> String {
        format!("mysql://root:{}@127.0.0.1:{}/", self.state.root_password, self.state.port)
    }

    /// Returns the URL of the master account: the stand-in's restricted `admin`, root elsewhere.
    pub fn admin_url(&self) -> String {
        if self.options.role == Role::AuroraStandin {
            let State { admin_user, admin_password, port, .. } = &self.state;
            format!("mysql://{admin_user}:{}@127.0.0.1:{port}/", percent(admin_password))
        } else {
            self.root_url()
        }
    }

    /// Returns root's password, for tools that take it from a file or the environment.
    pub fn root_password(&self) -> &str {
        &self.state.root_password
    }

    /// Returns the master account's user name and password.
    pub fn admin_login(&self) -> (&str, &str) {
        if self.options.role == Role::AuroraStandin {
            (&self.state.admin_user, &self.state.admin_password)
        } else {
            ("root", &self.state.root_password)
        }
    }

    /// Opens a connection as root over TCP.
    pub async fn connect_root(&self) -> Result<Conn, RehearsalError> {
        let conn = Conn::new(self.login("root", &self.state.root_password)).await;
        conn.map_err(|source| self.refused("logging in as root", source))
    }

    /// Opens a connection as the master account over TCP.
    pub async fn connect_admin(&self) -> Result<Conn, RehearsalError> {
        let (user, password) = self.admin_login();
        let conn = Conn::new(self.login(user, password)).await;
        conn.map_err(|source| self.refused("logging in as the master account", source))
    }

    /// Kills the server as a power cut would (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        self.end();
    }

    /// Stops the server cleanly; one that doesn't stop in time is killed.
    pub async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Ok(pid) = libc::pid_t::try_from(child.id()) {
            // SAFETY: the child has not been waited for, so the id is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Ok(Some(_)) | Err(_) => break,
            }
        }
        self.end();
    }

    /// Stops the server if it runs, and starts it on the same port with the same data.
    pub async fn restart(&mut self) -> Result<(), RehearsalError> {
        self.stop().await;
        let port = self.state.port;
        match self.launch(port, None).await? {
            Launch::Ready => Ok(()),
            Launch::PortTaken => {
                Err(RehearsalError::NoPort { product: self.options.product, tries: 1 })
            }
        }
    }

    /// Starts on a port that is free, gives out the passwords, applies the stand-in.
    async fn first_start(&mut self) -> Result<(), RehearsalError> {
        let product = self.options.product;
        let wished = self.options.port.or((self.state.port != 0).then_some(self.state.port));
        let mut tries = 0;
        loop {
            tries += 1;
            let port = match wished {
                Some(port) => port,
                None => free_port().map_err(|_| RehearsalError::NoPort { product, tries })?,
            };
            let init_file = if self.state.ready { None } else { Some(self.write_init_file()?) };
            match self.launch(port, init_file.as_deref()).await? {
                Launch::Ready => break,
                Launch::PortTaken if wished.is_some() || tries >= PORT_TRIES => {
                    return Err(RehearsalError::NoPort { product, tries });
                }
                Launch::PortTaken => {}
            }
        }
        template::remove(&self.places.init_file)?;
        if !self.state.ready && self.options.restored.is_some() {
            let conn = self.connect_root().await?;
            restored::leave_out(conn, self.state.port, product).await?;
        }
        if !self.state.ready && self.options.role == Role::AuroraStandin {
            let conn = self.connect_root().await?;
            let login = (self.state.admin_user.as_str(), self.state.admin_password.as_str());
            standin::apply(conn, self.state.port, &self.binaries, login).await?;
        }
        self.state.ready = true;
        self.write_state()
    }

    /// Starts the process on a port and waits until root can log in.
    async fn launch(
        &mut self,
        port: u16,
        init_file: Option<&Path>,
    ) -> Result<Launch, RehearsalError> {
        self.end();
        let log = &self.places.error_log;
        let log_start = std::fs::metadata(log).map_or(0, |metadata| metadata.len());
        let args = options::arguments(
            &self.options,
            &self.binaries,
            &self.places,
            port,
            self.state.server_id,
        );
        let output = private_file(&self.places.output)?;
        let errors =
            output.try_clone().map_err(RehearsalError::file("opening", &self.places.output))?;
        let mut command = Command::new(&self.binaries.mysqld);
        command.args(args).current_dir(&self.places.dir);
        if let Some(init_file) = init_file {
            command.arg(options::path_arg("--init-file", init_file));
        }
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = spawn::spawn(command)
            .map_err(|error| self.broken(format!("could not be started ({error})")))?;
        self.pid = child.id();
        self.child = Some(child);
        self.state.port = port;

        let deadline = Instant::now() + START_LIMIT;
        let mut last = None;
        while Instant::now() < deadline {
            if let Some(status) = self.exited() {
                if bind_failed(&self.places.error_log, log_start) {
                    return Ok(Launch::PortTaken);
                }
                return Err(self.broken(format!("ended while starting ({status})")));
            }
            // The password is this server's own, so a login proves that it is this server that answers.
            match self.try_login().await {
                Ok(()) => return Ok(Launch::Ready),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.end();
        Err(RehearsalError::Silent {
            product: self.options.product,
            port,
            seconds: START_LIMIT.as_secs(),
            log: tail(&self.places.error_log),
            log_file: self.error_log(),
            source: last,
        })
    }

    async fn try_login(&self) -> Result<(), mysql_async::Error> {
        let attempt = async {
            let mut conn = Conn::new(self.login("root", &self.state.root_password)).await?;
            conn.query_drop("DO 1").await?;
            conn.disconnect().await
        };
        match tokio::time::timeout(Duration::from_secs(5), attempt).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    fn login(&self, user: &str, password: &str) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.state.port)
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false)
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// Kills what still runs and collects it; without a process it does nothing.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }

    fn broken(&self, what: String) -> RehearsalError {
        let (log, output) = (&self.places.error_log, &self.places.output);
        let empty = std::fs::metadata(log).map_or(true, |metadata| metadata.len() == 0);
        let log_file = if empty { output } else { log };
        RehearsalError::Program {
            program: self.options.product.to_string(),
            what,
            log: tail(log_file),
            log_file: log_file.clone(),
        }
    }

    fn refused(&self, doing: &str, source: mysql_async::Error) -> RehearsalError {
        RehearsalError::Sql { doing: doing.to_owned(), port: self.state.port, source }
    }

    /// Writes what the server runs before it accepts anybody: one statement a line.
    fn write_init_file(&self) -> Result<PathBuf, RehearsalError> {
        let password = &self.state.root_password;
        let text = match self.options.product {
            product if self.options.restored.is_some() => restored::accounts(product, password),
            // Whatever root accounts the package ships; 5.6 has no ALTER USER for passwords.
            Product::Mysql56 => format!(
                "SET SESSION sql_log_bin = 0;\n\
                 UPDATE mysql.user SET Password = PASSWORD('{password}') WHERE User = 'root';\n\
                 FLUSH PRIVILEGES;\n"
            ),
            Product::Mysql57 => format!(
                "SET SESSION sql_log_bin = 0;\n\
                 ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n\
                 CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
                 GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
            ),
            Product::Mysql97 | Product::Mariadb1011 => format!(
                "SET SESSION sql_log_bin = 0;\n\
                 ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n\
                 ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            ),
        };
        let path = self.places.init_file.clone();
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    fn write_state(&self) -> Result<(), RehearsalError> {
        let text = serde_json::to_vec_pretty(&self.state).map_err(io::Error::from);
        let text = text.map_err(RehearsalError::file("writing", &self.places.state))?;
        write_private(&self.places.state, &text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

enum Launch {
    Ready,
    PortTaken,
}

/// Reads what a kept directory says of its server; `None` when there is no finished one.
fn read_state(path: &Path, options: &ServerOptions) -> Result<Option<State>, RehearsalError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RehearsalError::file("reading", path)(error)),
    };
    let other = |what: String| RehearsalError::Other {
        what,
        next: "name another directory, or remove this one".to_owned(),
    };
    let state: State = serde_json::from_slice(&text).map_err(|error| {
        other(format!("{} is not what a server left behind: {error}", path.display()))
    })?;
    if state.product != options.product.name() || state.role != format!("{:?}", options.role) {
        return Err(other(format!(
            "{} belongs to a {} as {}",
            path.display(),
            state.product,
            state.role
        )));
    }
    Ok(state.ready.then_some(state))
}

/// Returns a port that nobody listens on, from below the range that outgoing connections take theirs
/// from: so a server that is restarted finds its port free.
fn free_port() -> io::Result<u16> {
    let lowest_ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32_768);
    if lowest_ephemeral > 12_000 {
        for _ in 0..64 {
            let port = rand::rng().random_range(10_000..lowest_ephemeral);
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

/// Says whether the part of the log since `start` tells of a port that was taken.
fn bind_failed(log: &Path, start: u64) -> bool {
    let text = std::fs::read(log).unwrap_or_default();
    let since = usize::try_from(start).unwrap_or(0).min(text.len());
    let text = String::from_utf8_lossy(&text[since..]);
    text.contains("Bind on TCP/IP port") || text.contains("Address already in use")
}

/// A text as a part of a URL.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect()
}

fn private_file(path: &Path) -> Result<std::fs::File, RehearsalError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map_err(RehearsalError::file("opening", path))
}

/// Replaces a file in one go; only its owner can read it, at no moment anybody else.
fn write_private(path: &Path, text: &[u8]) -> Result<(), RehearsalError> {
    let beside = path.with_extension("new");
    template::remove(&beside)?;
    let write = || {
        let mut file = private_create(&beside)?;
        file.write_all(text)?;
        std::fs::rename(&beside, path)
    };
    write().map_err(RehearsalError::file("writing", path))
}

fn private_create(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
}
