//! Where a server is and how to log in: the URL of the command line, parsed once and printable
//! without its password.

use std::{fmt, path::PathBuf, time::Duration};

use mysql_async::{Compression, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind, Result};

/// The largest packet of the protocol.
pub(super) const LARGEST_PACKET: usize = 1_073_741_824;

/// After how long a silence the system asks the other end whether it is still there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);

/// A text that must not be seen: no `Debug`, no `Display`, no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// Shows it to the one place that must know: a login or a parameter.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Off,
    /// Encrypted; the server's certificate isn't looked at.
    Required,
    /// Encrypted, and the certificate is signed by a known authority.
    VerifyCa,
    /// The same, and it names the host.
    VerifyIdentity,
}

/// How connections to a server are protected whose address isn't known yet. What isn't said is as in a
/// URL that doesn't say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// The mode, if one was asked for.
    pub tls: Option<TlsMode>,
    /// The certificate authority's file (PEM).
    pub ca: Option<PathBuf>,
}

impl Protection {
    /// What a URL says for another address. Loopback and sockets do without TLS by default: that is no
    /// wish for a server behind a network.
    pub fn of(url: &ServerUrl) -> Self {
        let said = !(url.is_local() && url.tls == TlsMode::Off);
        Protection { tls: said.then_some(url.tls), ca: url.ca.clone() }
    }

    fn mode(&self, local: bool) -> TlsMode {
        self.tls.unwrap_or(match (&self.ca, local) {
            (Some(_), _) => TlsMode::VerifyCa,
            (None, true) => TlsMode::Off,
            (None, false) => TlsMode::Required,
        })
    }
}

/// A server and the account to use there.
#[derive(Debug, Clone)]
pub struct ServerUrl {
    /// The host's name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// A Unix socket to use instead of TCP.
    pub socket: Option<PathBuf>,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// The certificate authority's file (PEM).
    pub ca: Option<PathBuf>,
    /// Whether the protocol is compressed (zlib), both ways: for links that are slower than the cores.
    pub compression: bool,
}

impl ServerUrl {
    /// Reads `mysql://user[:password]@host[:port]/[?socket=PATH&tls=MODE&ca=FILE&compression=zlib]`.
    ///
    /// TLS defaults to `required`, and to `off` for a loopback host or a socket.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(Kind::Config, what).next(
                "a server is written mysql://user[:password]@host[:port]/[?socket=PATH&tls=off|required|verify-ca|verify-identity&ca=FILE&compression=off|zlib]",
            )
        };
        // The text itself may hold a password: errors never quote it.
        let url = url::Url::parse(&with_host(text))
            .map_err(|error| wrong(format!("a server's URL can't be read: {error}")))?;
        if url.scheme() != "mysql" {
            return Err(wrong(format!(
                "a server's URL starts with mysql://, not {}://",
                url.scheme()
            )));
        }
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| wrong("a server's URL has a part that isn't UTF-8".into()))
        };
        if !matches!(url.path(), "" | "/") {
            // A slash too many makes the login part of the path.
            let path = url.path();
            let found =
                if path.contains(['@', ':']) { String::new() } else { format!(" (found {path})") };
            return Err(wrong(format!(
                "a server's URL names no database{found}; choose databases with --database or [select]"
            )));
        }
        let (mut socket, mut tls, mut ca, mut compression) = (None, None, None, false);
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "socket" => socket = Some(PathBuf::from(value.as_ref())),
                "ca" => ca = Some(PathBuf::from(value.as_ref())),
                "tls" => {
                    tls = Some(match value.as_ref() {
                        "off" => TlsMode::Off,
                        "required" => TlsMode::Required,
                        "verify-ca" => TlsMode::VerifyCa,
                        "verify-identity" => TlsMode::VerifyIdentity,
                        other => {
                            return Err(wrong(format!("tls={other} is not a mode")));
                        }
                    });
                }
                "compression" => {
                    compression = match value.as_ref() {
                        "off" => false,
                        "zlib" => true,
                        other => {
                            return Err(wrong(format!("compression={other} isn't known here")));
                        }
                    };
                }
                other => return Err(wrong(format!("a server's URL has no option {other}"))),
            }
        }
        let host = decode(url.host_str().unwrap_or_default())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        if host.is_empty() && socket.is_none() {
            return Err(wrong("a server's URL names no host".into()));
        }
        let host = if host.is_empty() { "localhost".to_string() } else { host };
        let user = decode(url.username())?;
        if user.is_empty() {
            return Err(wrong("a server's URL names no user".into()));
        }
        let password = url.password().map(decode).transpose()?.map(Secret::new);
        let protection = Protection { tls, ca };
        let tls = protection.mode(socket.is_some() || is_loopback(&host));
        let ca = protection.ca;
        let port = url.port().unwrap_or(3306);
        Ok(ServerUrl { host, port, user, password, socket, tls, ca, compression })
    }

    /// The same account at another address, protected as it is here: see [`Protection::of`].
    pub fn moved_to(&self, host: String, port: u16) -> Self {
        let protection = Protection::of(self);
        let tls = protection.mode(is_loopback(&host));
        ServerUrl { host, port, socket: None, tls, ..self.clone() }
    }

    /// With this protection instead of its own.
    pub fn protected(self, protection: &Protection) -> Self {
        ServerUrl { tls: protection.mode(self.is_local()), ca: protection.ca.clone(), ..self }
    }

    /// The text without its password, if it holds one.
    pub fn blanked(text: &str) -> Option<String> {
        let mut url = url::Url::parse(&with_host(text)).ok()?;
        url.password()?;
        url.set_password(None).ok()?;
        Some(url.to_string())
    }

    /// Whether the server is reached without a network.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || is_loopback(&self.host)
    }

    /// Makes sure that the authority's file, if there is one, holds a certificate: the client would
    /// say of it only that the server can't be reached.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_authority(&self) -> Result<()> {
        let Some(path) = self.ca.as_ref().filter(|_| self.tls != TlsMode::Off) else {
            return Ok(());
        };
        let wrong = |what: &str| {
            Error::new(Kind::Config, what)
                .at(path.display())
                .next("name a file of certificates in PEM form: ca=FILE in the server's URL")
        };
        match std::fs::read(path) {
            Err(error) => Err(wrong("the authority's file can't be read").because(error)),
            Ok(text) => {
                let begin = b"-----BEGIN CERTIFICATE-----";
                match text.windows(begin.len()).any(|part| part == begin) {
                    true => Ok(()),
                    false => Err(wrong("the authority's file holds no certificate")),
                }
            }
        }
    }

    /// The client's options for a connection. [`super::wire`] goes by the same.
    pub fn options(&self, program: &str) -> OptsBuilder {
        let ssl = match self.tls {
            TlsMode::Off => None,
            mode => {
                let mut ssl = SslOpts::default();
                if let Some(ca) = &self.ca {
                    ssl = ssl
                        .with_root_certs(vec![ca.clone().into()])
                        .with_disable_built_in_roots(true);
                }
                Some(match mode {
                    TlsMode::Required => ssl
                        .with_danger_accept_invalid_certs(true)
                        .with_danger_skip_domain_validation(true),
                    TlsMode::VerifyCa => ssl.with_danger_skip_domain_validation(true),
                    _ => ssl,
                })
            }
        };
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(self.password.as_ref().map(|password| password.reveal().to_string()))
            .socket(self.socket.as_ref().map(|path| path.to_string_lossy().into_owned()))
            // A login over TCP must not turn into one over the socket that the server names: that
            // is another account (`user@localhost`), and perhaps another machine's path.
            .prefer_socket(Some(self.socket.is_some()))
            .ssl_opts(ssl)
            // What is sent; the server compresses by a level of its own.
            .compression(self.compression.then(Compression::fast))
            .tcp_keepalive(Some(KEEPALIVE))
            .tcp_nodelay(true)
            // A server sends rows larger than its own limit, which is for what it is sent. The client
            // would take that limit for both ways, and cut the connection at such a row.
            .max_allowed_packet(Some(LARGEST_PACKET))
            .connect_attribute("program_name", program.to_string())
    }
}

/// `mysql://user@/?socket=...` names no host and means this one.
fn with_host(text: &str) -> String {
    let authority = text.find("://").map_or(0, |at| at + 3);
    match text[authority..].find('/') {
        Some(slash) if text[..authority + slash].ends_with('@') => {
            format!("{}localhost{}", &text[..authority + slash], &text[authority + slash..])
        }
        _ => text.to_string(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for ServerUrl {
    /// `user@host:port`, or `user@/path/of/socket`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(f, "{}@{}", self.user, socket.display()),
            None => write!(f, "{}@{}:{}", self.user, self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_whole() {
        let url = ServerUrl::parse(
            "mysql://a%40b:p%3Aw@db.example:3307/?tls=verify-ca&ca=/etc/ca.pem&compression=zlib",
        )
        .unwrap();
        assert_eq!((url.user.as_str(), url.host.as_str(), url.port), ("a@b", "db.example", 3307));
        assert_eq!(url.password.as_ref().unwrap().reveal(), "p:w");
        assert_eq!((url.tls, url.compression), (TlsMode::VerifyCa, true));
        assert!(!format!("{url} {url:?}").contains("p:w"));
    }

    #[test]
    fn tls_is_on_by_default_away_from_loopback() {
        assert_eq!(ServerUrl::parse("mysql://u@10.0.0.1/").unwrap().tls, TlsMode::Required);
        assert_eq!(ServerUrl::parse("mysql://u@127.0.0.1:99").unwrap().tls, TlsMode::Off);
        assert_eq!(ServerUrl::parse("mysql://u@[::1]:99").unwrap().tls, TlsMode::Off);
        assert_eq!(ServerUrl::parse("mysql://u@/?socket=/tmp/s").unwrap().tls, TlsMode::Off);
    }

    #[test]
    fn wrong_urls_say_so_without_the_password() {
        for text in [
            "mysql://u:geheim@h/db",
            "mysql://u:geheim@h/?tls=no",
            "mysql://u:geheim@h/?compression=zstd",
            "postgres://u:geheim@h",
            "mysql://:geheim@h",
            "mysql://u:geheim@h:99999/",
            "mysql:///u:geheim@h/",
            "mysql:u:geheim@h",
        ] {
            let error = ServerUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn protection_goes_along_to_another_address() {
        for (from, host, tls) in [
            (
                "mysql://u@h/?tls=verify-identity&ca=/c.pem",
                "cluster.example",
                TlsMode::VerifyIdentity,
            ),
            ("mysql://u@h/?tls=verify-identity&ca=/c.pem", "127.0.0.1", TlsMode::VerifyIdentity),
            ("mysql://u@127.0.0.1/?tls=verify-ca&ca=/c.pem", "cluster.example", TlsMode::VerifyCa),
            ("mysql://u@127.0.0.1/?ca=/c.pem", "cluster.example", TlsMode::VerifyCa),
            ("mysql://u@h/?tls=off", "cluster.example", TlsMode::Off),
            ("mysql://u@127.0.0.1/", "127.0.0.2", TlsMode::Off),
            // What loopback does without is not for a network.
            ("mysql://u@127.0.0.1/", "cluster.example", TlsMode::Required),
            ("mysql://u@/?socket=/tmp/s", "cluster.example", TlsMode::Required),
        ] {
            let before = ServerUrl::parse(from).unwrap();
            let moved = before.moved_to(host.into(), 3307);
            assert_eq!((moved.tls, &moved.ca), (tls, &before.ca), "{from} to {host}");
            assert_eq!((moved.host.as_str(), moved.port, moved.socket), (host, 3307, None));
        }
    }

    #[test]
    fn a_password_can_be_blanked() {
        assert_eq!(ServerUrl::blanked("mysql://u:geheim@h:1/").unwrap(), "mysql://u@h:1/");
        assert!(ServerUrl::blanked("mysql://u@h:1/").is_none());
        let blanked = ServerUrl::blanked("mysql://u:geheim@/?socket=/tmp/s").unwrap();
        assert!(!blanked.contains("geheim") && ServerUrl::parse(&blanked).is_ok());
    }
}
