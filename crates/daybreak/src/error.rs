//! What can go wrong, in one type: the kind, what failed, where, and what to do next.
//!
//! One exhaustive match from kind to retry class and one to exit code; nothing else in the
//! project decides either. No error ever holds a password: server URLs print without one, and the
//! statements that carry a secret send it as a parameter.

use std::fmt;

use crate::{explain, mysql::PACKETS};

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The kinds of failure, each with one retry class and one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wrong flags or arguments.
    Usage,
    /// `daybreak.toml` or a server URL is wrong.
    Config,
    /// A server can't be reached, or its name doesn't resolve.
    Connect,
    /// A connection that worked was cut.
    ConnectionLost,
    /// The server refused the login.
    Login,
    /// TLS can't be agreed on, or a certificate doesn't hold.
    Tls,
    /// The account lacks a privilege.
    Privilege,
    /// A lock was not granted within its bound; nothing was changed.
    LockWait,
    /// The server rolled the transaction back (deadlock); the whole of it may be sent again.
    Deadlock,
    /// Somebody ended a statement (`KILL QUERY`); the connection and its transaction are there still.
    StatementKilled,
    /// The snapshot can't be read any more (DDL, or its connection is gone); take a new one.
    SnapshotLost,
    /// A chunk did not arrive as it was sent (warnings, or another number of rows).
    NotExact,
    /// A server refused a statement.
    Sql,
    /// Something can't be moved, or isn't supported: named, and refused.
    Unsupported,
    /// A check found blockers.
    Blocked,
    /// The two sides differ.
    Different,
    /// Replication is not running, or can't follow.
    Replication,
    /// The write-stop budget ran out; the source is writable again.
    WriteStopExceeded,
    /// Something didn't happen within its time.
    Timeout,
    /// The migration directory: a file can't be read or written.
    Io,
    /// A backup tool failed, or a backup is damaged, incomplete or can't be used.
    Backup,
    /// AWS refused a request, or its answer can't be used.
    Aws,
    /// AWS doesn't allow the caller what was asked.
    AwsDenied,
    /// AWS asks to come back later, or its answer was lost; the same request may be sent again.
    AwsBusy,
    /// AWS couldn't be connected to.
    AwsUnreachable,
    /// The journal is damaged, locked by another process, or contradicts itself.
    Journal,
    /// The state of the migration doesn't allow what was asked.
    State,
    /// The migration was asked to pause.
    Paused,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// daybreak is wrong: please report it.
    Bug,
}

/// Whether trying the same again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not without a change by a person.
    No,
    /// The same work again, after a short wait.
    Again,
    /// The work again from a new snapshot.
    NewSnapshot,
}

/// The exit code of the command, as the command-line reference promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done = 0,
    /// 1
    Failed = 1,
    /// 2: wrong usage or configuration
    Usage = 2,
    /// 3: blockers or differences
    Found = 3,
    /// 4: paused, resumable
    Paused = 4,
    /// 130: interrupted, resumable
    Interrupted = 130,
}

impl Kind {
    /// Whether the same again can help.
    pub fn retry(self) -> Retry {
        match self {
            Kind::Connect
            | Kind::ConnectionLost
            | Kind::Deadlock
            | Kind::LockWait
            | Kind::StatementKilled
            | Kind::AwsBusy
            | Kind::AwsUnreachable => Retry::Again,
            Kind::SnapshotLost => Retry::NewSnapshot,
            Kind::Usage
            | Kind::Config
            | Kind::Login
            | Kind::Tls
            | Kind::Privilege
            | Kind::NotExact
            | Kind::Sql
            | Kind::Unsupported
            | Kind::Blocked
            | Kind::Different
            | Kind::Replication
            | Kind::WriteStopExceeded
            | Kind::Timeout
            | Kind::Io
            | Kind::Backup
            | Kind::Aws
            | Kind::AwsDenied
            | Kind::Journal
            | Kind::State
            | Kind::Paused
            | Kind::Interrupted
            | Kind::Bug => Retry::No,
        }
    }

    /// The exit code when this ends the command.
    pub fn exit(self) -> Exit {
        match self {
            Kind::Usage | Kind::Config => Exit::Usage,
            Kind::Blocked | Kind::Different | Kind::AwsDenied => Exit::Found,
            Kind::Paused => Exit::Paused,
            Kind::Interrupted => Exit::Interrupted,
            Kind::Connect
            | Kind::ConnectionLost
            | Kind::Login
            | Kind::Tls
            | Kind::Privilege
            | Kind::LockWait
            | Kind::Deadlock
            | Kind::StatementKilled
            | Kind::SnapshotLost
            | Kind::NotExact
            | Kind::Sql
            | Kind::Unsupported
            | Kind::Replication
            | Kind::WriteStopExceeded
            | Kind::Timeout
            | Kind::Io
            | Kind::Backup
            | Kind::Aws
            | Kind::AwsBusy
            | Kind::AwsUnreachable
            | Kind::Journal
            | Kind::State
            | Kind::Bug => Exit::Failed,
        }
    }

    /// The next step when the error itself names none.
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Kind::Usage => "see --help",
            Kind::Config => "correct the setting and try again",
            Kind::Connect => {
                "check host, port and firewall from this machine, then run the same command again"
            }
            Kind::ConnectionLost => {
                "check that the server is up, then go on with `daybreak resume`"
            }
            Kind::Login => {
                "check user and password (DAYBREAK_SOURCE_PASSWORD, DAYBREAK_TARGET_PASSWORD, \
                 --source-password-file, --target-password-file or --defaults-file)"
            }
            Kind::Tls => "give the right ca=FILE, or choose another tls= mode in the server's URL",
            Kind::Privilege => {
                "grant the privilege and try again; `daybreak assess` lists them all"
            }
            Kind::LockWait => "try again when the long transactions of the server have ended",
            Kind::Deadlock => "run the same command again",
            Kind::StatementKilled => {
                "find out who ends statements there, then run the same command again"
            }
            Kind::SnapshotLost => "run `daybreak resume`: it takes a new snapshot",
            Kind::NotExact => {
                "the chunk was rolled back; compare the table's definition on both sides"
            }
            Kind::Replication => "see `daybreak replicate status` for the server's own words",
            Kind::WriteStopExceeded => {
                "the source takes writes again; raise --max-write-stop or find out what held it up, \
                 then `daybreak cutover`"
            }
            Kind::Io => "check the path, its permissions and the free space",
            Kind::AwsDenied => "allow the caller what AWS names above, then the same command again",
            Kind::AwsBusy | Kind::AwsUnreachable => {
                "check the endpoint and the network, then go on with `daybreak resume`"
            }
            Kind::Journal => "nothing was changed; keep the directory and look at the cause first",
            Kind::Paused | Kind::Interrupted => "`daybreak resume` goes on from here",
            Kind::Blocked => "remove the blockers that are named above, then try again",
            Kind::Different => "see the differences named above",
            Kind::Bug => "please report this with the log",
            Kind::Sql
            | Kind::Unsupported
            | Kind::Timeout
            | Kind::State
            | Kind::Backup
            | Kind::Aws => return None,
        })
    }
}

/// A failure: its kind, what failed, where, the next step, and the cause underneath.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    what: String,
    place: Option<String>,
    next: Option<String>,
    code: Option<u16>,
    source: Option<Source>,
}

impl Error {
    /// A failure of a kind; `what` is one clause without a full stop.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            what: what.into(),
            place: None,
            next: None,
            code: None,
            source: None,
        }))
    }

    /// Says where: host, table, chunk or file. The innermost place is kept, outer ones come before it.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = Some(match self.0.place.take() {
            Some(inner) => format!("{place}, {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Says what to do next, instead of the kind's own hint.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next = Some(next.into());
        self
    }

    /// Attaches the cause.
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        let source = source.into();
        // One of ours knows where it was; what to do is for the outer one to say.
        if let Some(place) = source.downcast_ref::<Error>().and_then(Error::place) {
            self.0.place = Some(match self.0.place.take() {
                Some(outer) => format!("{outer}, {place}"),
                None => place.to_string(),
            });
        }
        self.0.source = Some(source);
        self
    }

    /// Remembers the server's error number.
    pub fn with_code(mut self, code: u16) -> Self {
        self.0.code = Some(code);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The server's error number, when a server spoke.
    pub fn code(&self) -> Option<u16> {
        self.0.code
    }

    /// What failed.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// What to do next: what was said here, what is known of the server's number, or the kind's hint.
    pub fn next_step(&self) -> Option<&str> {
        let known = || {
            let text = format!("{} {}", self.0.what, self.causes().join(" "));
            explain::remedy(self.0.kind, self.0.code?, &text)
        };
        self.0.next.as_deref().or_else(known).or_else(|| self.0.kind.hint())
    }

    /// What happened, with its causes, in one line.
    pub fn told(&self) -> String {
        std::iter::once(self.what().to_string()).chain(self.causes()).collect::<Vec<_>>().join(": ")
    }

    /// The causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut cause: Option<&(dyn std::error::Error + 'static)> =
            self.0.source.as_deref().map(|source| source as _);
        while let Some(error) = cause {
            let (text, inner) = match error.downcast_ref::<Error>() {
                Some(ours) => (ours.what().to_string(), ours.causes()),
                None => (error.to_string(), Vec::new()),
            };
            for text in std::iter::once(text).chain(inner) {
                if causes.last() != Some(&text) {
                    causes.push(text);
                }
            }
            cause = error.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    /// Up to three lines: what failed (with its causes), where, what to do next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        if let Some(place) = &self.0.place {
            write!(f, "\n  where: {place}")?;
        }
        if let Some(next) = self.next_step() {
            write!(f, "\n  next:  {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    // `Display` prints the causes already; a source here would print them twice.
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(Kind::Io, "a file could not be read or written").because(error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let disk = matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure)
        );
        let wrapped = Error::new(Kind::Journal, "the journal could not be read or written");
        let wrapped = match disk {
            true => wrapped.next(
                "free space on the disk of the migration's directory (or look at that disk), then the same command again",
            ),
            false => wrapped,
        };
        wrapped.because(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::new(Kind::Journal, "an entry of the journal could not be understood").because(error)
    }
}

/// What the codes of a MySQL server mean for us.
///
/// Source: the MySQL error reference; MariaDB's numbers below 1900 are the same.
fn kind_of_code(code: u16) -> Kind {
    match code {
        1045 | 1698 | 1862 | 1820 | 3118 | 1251 | 1275 => Kind::Login,
        1040 | 1203 | 1129 | 1130 => Kind::Connect,
        // 1927 is what MariaDB says of a KILL, 3169 what MySQL does.
        1053 | 1077 | 1079 | 1152 | 1158 | 1159 | 1160 | 1161 | 1927 | 3169 | 4031 => {
            Kind::ConnectionLost
        }
        1044 | 1095 | 1142 | 1143 | 1227 | 1370 | 1419 | 3202 => Kind::Privilege,
        1205 | 3572 => Kind::LockWait,
        1213 => Kind::Deadlock,
        1317 => Kind::StatementKilled,
        1412 => Kind::SnapshotLost,
        3159 => Kind::Tls,
        _ => Kind::Sql,
    }
}

/// Disk full, table full, no room for a temporary file.
const NO_ROOM: [u16; 4] = [1021, 1114, 1026, 3];

/// What to do about an error of a server that has its own remedy.
fn next_of_code(code: u16) -> Option<&'static str> {
    Some(match code {
        code if NO_ROOM.contains(&code) => {
            "free space on that server's disk or enlarge it (for a table in memory, what limits its size), \
             then go on with `daybreak resume`: what is copied stays"
        }
        1153 | 1301 => PACKETS,
        1040 | 1203 => {
            "raise max_connections (or the account's limit) on that server, or lower threads in [copy] and \
             [verify], then run the same command again"
        }
        _ => return None,
    })
}

impl From<mysql_async::Error> for Error {
    fn from(error: mysql_async::Error) -> Self {
        use mysql_async::{DriverError, Error as E, IoError};
        match error {
            E::Server(server) => {
                let kind = kind_of_code(server.code);
                let what = match kind {
                    Kind::Login => "the server refused the login",
                    Kind::Privilege => "the account lacks a privilege",
                    Kind::LockWait => "a lock was not granted in time",
                    Kind::Deadlock => "the server rolled the transaction back: deadlock",
                    Kind::StatementKilled => "somebody ended the statement",
                    Kind::SnapshotLost => "a table's definition changed under the snapshot",
                    Kind::Connect => "the server takes no connection",
                    Kind::ConnectionLost => "the server closed the connection",
                    Kind::Tls => "the server wants TLS",
                    _ if NO_ROOM.contains(&server.code) => "the server has no room left",
                    _ => "the server refused a statement",
                };
                let code = server.code;
                let error = Error::new(kind, what).with_code(code).because(server);
                match next_of_code(code) {
                    Some(next) => error.next(next),
                    None => error,
                }
            }
            E::Io(IoError::Tls(error)) => {
                Error::new(Kind::Tls, "TLS could not be agreed on").because(error)
            }
            // What the client says of a packet that is larger than it takes.
            E::Io(IoError::Io(error)) if error.to_string().contains("max_allowed_packet") => {
                Error::new(Kind::Sql, "a packet is larger than max_allowed_packet")
                    .next("raise max_allowed_packet on that server (1073741824 is the most)")
            }
            E::Io(IoError::Io(error)) => {
                Error::new(Kind::ConnectionLost, "the connection was cut").because(error)
            }
            E::Driver(DriverError::NoClientSslFlagFromServer) => {
                Error::new(Kind::Tls, "the server offers no TLS").next(
                    "enable TLS on the server, or say tls=off in its URL if the way there is safe",
                )
            }
            E::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => {
                Error::new(Kind::ConnectionLost, "the connection was cut")
            }
            E::Driver(DriverError::PacketTooLarge) => {
                Error::new(Kind::Sql, "a packet is larger than max_allowed_packet")
                    .next("raise max_allowed_packet on that server (1073741824 is the most)")
            }
            // A row that doesn't have the shape the query promised: print no value of it.
            E::Driver(DriverError::FromValue { .. } | DriverError::FromRow { .. }) => {
                Error::new(Kind::Bug, "a result has another shape than the query promised")
            }
            other => Error::new(Kind::Sql, "talking to the server failed").because(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_lead() {
        let error = Error::new(Kind::Sql, "the chunk could not be loaded")
            .because(std::io::Error::other("disk full"))
            .at("shop.orders")
            .at("target 127.0.0.1:3307")
            .next("free space, then `daybreak resume`");
        assert_eq!(
            error.to_string(),
            "the chunk could not be loaded: disk full\n  where: target 127.0.0.1:3307, shop.orders\n  next:  free space, then `daybreak resume`"
        );
    }

    #[test]
    fn an_error_within_an_error_keeps_to_three_lines() {
        let inner = Error::new(Kind::ConnectionLost, "the connection was cut")
            .because(std::io::Error::other("reset"))
            .at("source u@h:1");
        let error = Error::new(Kind::SnapshotLost, "the snapshot is gone").because(inner).at("a.t");
        assert_eq!(
            error.to_string(),
            "the snapshot is gone: the connection was cut: reset\n  where: a.t, source u@h:1\n  \
             next:  run `daybreak resume`: it takes a new snapshot"
        );
    }

    #[test]
    fn codes_decide_the_kind() {
        let server = |code| {
            Error::from(mysql_async::Error::Server(mysql_async::ServerError {
                code,
                message: "m".into(),
                state: "HY000".into(),
            }))
        };
        for passing in [1213, 1205, 1317, 1927, 3169] {
            assert_eq!(server(passing).kind().retry(), Retry::Again, "{passing}");
        }
        assert_eq!(server(1412).kind().retry(), Retry::NewSnapshot);
        assert_eq!(server(1045).kind(), Kind::Login);
        assert_eq!(server(1064).code(), Some(1064));
    }
}
