//! One connection to one server, set up once: UTC, no surprises from the server's `sql_mode`, and
//! errors that say which server spoke.

use std::{fmt, time::Duration};

use mysql_async::{
    Conn, Params, Row,
    prelude::{FromValue, Queryable as _},
};
use serde::{Deserialize, Serialize};

use super::{
    Dialect, Secret, ServerUrl, TlsMode,
    client::{Client, Said},
    silence::{Watch, connect_timeout},
    wire::{Cells, Wire},
};
use crate::error::{Error, Kind, Result};

/// What we are called in the servers' lists of connections.
const PROGRAM: &str = "daybreak";

/// How long a good-bye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// After how many idle seconds a server may drop a session that waits for others: a week.
pub const PATIENT_SECONDS: u64 = 604_800;

/// `ER_WARN_ALLOWED_PACKET_OVERFLOWED`: a server couldn't compute a value, as it is larger than a packet.
pub const VALUE_TOO_LARGE: u16 = 1301;

/// What to do about it.
pub const PACKETS: &str = "raise max_allowed_packet on that server (1073741824 is the most; connections that are open keep \
                           the old value), then go on with `daybreak resume`";

/// Which end of the migration a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where the data come from.
    Source,
    /// Where they go.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// What a statement that returns no rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows changed.
    pub affected: u64,
    /// Warnings given; the server counts up to 65,535.
    pub warnings: u16,
}

/// A connection, by mysql_async where nothing else is said. What only one client can is in the
/// type: LOCAL INFILE and streams of values here, rows as bytes with [`ReaderSession`].
pub struct Session<C: ?Sized = Conn> {
    dialect: Dialect,
    side: Side,
    place: String,
    watch: Watch,
    /// Whether it was lost, perhaps in the middle of an answer: nothing more comes of it.
    lost: bool,
    client: C,
}

/// A connection that rows are read from.
pub type ReaderSession = Session<Wire>;

/// A connection by either client: what is asked of any server.
pub type AnySession = Session<dyn Client>;

impl Session {
    /// Connects and sets the session up: `sql_mode` without strictness or ANSI quotes and with
    /// `NO_AUTO_VALUE_ON_ZERO`, time zone UTC, autocommit on, REPEATABLE READ, utf8mb4, and no limit
    /// of the server's that would cut a result short.
    pub async fn open(url: &ServerUrl, side: Side) -> Result<Self> {
        Session::over(Conn::new(url.options(PROGRAM)), url, side).await
    }

    /// The client connection, for what this wrapper doesn't offer (streams, LOCAL INFILE).
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.client
    }

    /// Hands over the rows of a query one by one as they come, by the text protocol, and keeps none: for
    /// answers that grow with the number of tables.
    pub async fn each(
        &mut self,
        sql: impl AsRef<str>,
        mut take: impl FnMut(&Fields<'_>, &Row) -> Result<()>,
    ) -> Result<()> {
        tracing::trace!(place = self.place, sql = sql.as_ref());
        self.usable()?;
        let fields = Fields { place: &self.place };
        let reading = async {
            let mut rows = self.watch.over(self.client.query_iter(sql.as_ref())).await?;
            while let Some(row) = self.watch.over(rows.next()).await? {
                take(&fields, &row)?;
            }
            Ok(())
        };
        let read = reading.await;
        self.noted(read)?;
        self.nothing_cut().await
    }
}

impl Session<Wire> {
    /// The same, for reading rows.
    pub async fn open_reader(url: &ServerUrl, side: Side) -> Result<Self> {
        Session::over(Wire::connect(url, PROGRAM), url, side).await
    }

    /// Runs a query whose rows are taken one by one, as bytes. Whatever isn't taken is dropped before the
    /// next statement.
    pub async fn read(&mut self, sql: &str) -> Result<Reading<'_>> {
        tracing::trace!(place = self.place, sql);
        self.usable()?;
        let begun = self.watch.over(self.client.begin(sql.as_bytes())).await;
        self.noted(begun)?;
        Ok(Reading(self))
    }
}

/// The rows of a query while they come.
#[derive(Debug)]
pub struct Reading<'a>(&'a mut Session<Wire>);

impl Reading<'_> {
    /// The next row.
    ///
    /// # Errors
    /// What the server said, or `ConnectionLost`.
    pub async fn next(&mut self) -> Result<Option<Cells<'_>>> {
        let session = &mut *self.0;
        let there_is_one = match session.client.row_is_here() {
            Ok(Some(there_is_one)) => Ok(there_is_one),
            Ok(None) => session.watch.over(session.client.next_row()).await,
            Err(error) => Err(session.error(error)),
        };
        Ok(session.noted(there_is_one)?.then(|| session.client.row()))
    }
}

impl<C: Client> Session<C> {
    async fn over(
        connecting: impl Future<Output = Said<C>>,
        url: &ServerUrl,
        side: Side,
    ) -> Result<Self> {
        let place = format!("{side} {}", url);
        url.check_authority().map_err(|error| error.at(&place))?;
        let limit = connect_timeout();
        let client = match tokio::time::timeout(limit, connecting).await {
            Err(_) => {
                return Err(Error::new(
                    Kind::Connect,
                    format!("no answer within {} s", limit.as_secs()),
                )
                .at(place));
            }
            Ok(Err(error)) => return Err(connect_error(error, url).at(place)),
            Ok(Ok(client)) => client,
        };
        let watch = Watch::new(url, client.id(), &place);
        let dialect = Dialect::read("", None);
        let mut session = Session { dialect, side, place, watch, lost: false, client };
        if url.compression {
            session.check_compression().await?;
        }
        let version: String = session.scalar("SELECT VERSION()").await?.unwrap_or_default();
        let aurora = session
            .row("SHOW VARIABLES LIKE 'aurora_version'")
            .await?
            .and_then(|row| row.get_opt::<String, _>(1).and_then(|value| value.ok()));
        session.dialect = Dialect::read(&version, aurora);
        session
            .execute(
                "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
                 time_zone = '+00:00', autocommit = 1, net_read_timeout = 600, net_write_timeout = 600, \
                 sql_select_limit = 18446744073709551615",
            )
            .await?;
        session.execute("SET NAMES utf8mb4").await?;
        session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        Ok(session)
    }

    /// Ends the session in good order. Dropping it cuts the connection instead.
    pub async fn close(self) {
        if self.lost {
            return;
        }
        // A connection that is going away anyway can't fail in a way that matters.
        match tokio::time::timeout(CLOSE_LIMIT, self.client.bye()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "disconnect"),
            Err(_) => tracing::debug!("a good-bye without an answer"),
        }
    }
}

impl<C: Client + ?Sized> Session<C> {
    /// A client that asks for compression is let in without it where the server has none.
    async fn check_compression(&mut self) -> Result<()> {
        let row = self.row("SHOW SESSION STATUS LIKE 'Compression'").await?;
        let on = row.and_then(|row| row.get_opt::<String, _>(1)).and_then(|value| value.ok());
        if on.as_deref() == Some("ON") {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "the server doesn't compress connections with zlib")
            .at(&self.place)
            .next("leave compression=zlib out of its URL, or allow it there (protocol_compression_algorithms)"))
    }

    /// Lets a statement run, and the session wait for its next one, for as long as the work takes,
    /// whatever the server's own limits.
    pub async fn without_limits(&mut self) -> Result<()> {
        self.execute(format!("SET SESSION wait_timeout = {PATIENT_SECONDS}")).await?;
        if self.dialect.mysql_from(5, 7, 8) {
            self.execute("SET SESSION max_execution_time = 0").await?;
        } else if self.dialect.is_mariadb() {
            self.execute("SET SESSION max_statement_time = 0").await?;
        }
        Ok(())
    }

    /// The server's dialect.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Which end it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The server, for messages: `source user@host:port`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The connection's number on the server, for `KILL`.
    pub fn id(&self) -> u32 {
        self.client.id()
    }

    /// Turns a client error into ours, with this server as its place.
    pub fn error(&self, error: mysql_async::Error) -> Error {
        Error::from(error).at(&self.place)
    }

    /// Runs a statement; any rows are read and dropped.
    pub async fn execute(&mut self, sql: impl AsRef<str>) -> Result<Outcome> {
        tracing::trace!(place = self.place, sql = sql.as_ref());
        self.execute_bytes(sql.as_ref().as_bytes()).await
    }

    /// Runs a statement that may be in any character set.
    pub async fn execute_bytes(&mut self, sql: &[u8]) -> Result<Outcome> {
        self.usable()?;
        let done = self.watch.over(self.client.run(sql)).await;
        self.noted(done)?;
        Ok(self.outcome())
    }

    /// Nothing is asked on a connection that holds half of an earlier answer.
    fn usable(&self) -> Result<()> {
        if self.lost {
            return Err(
                Error::new(Kind::ConnectionLost, "the connection was lost before").at(&self.place)
            );
        }
        Ok(())
    }

    /// Remembers that the connection is of no more use.
    fn noted<T>(&mut self, done: Result<T>) -> Result<T> {
        self.lost |= done.as_ref().is_err_and(|error| error.kind() == Kind::ConnectionLost);
        done
    }

    /// Watches over streams that are read by hand.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Runs a prepared statement with parameters; any rows are read and dropped. Neither the log nor
    /// an error shows the parameters.
    pub async fn execute_with(
        &mut self,
        sql: impl AsRef<str>,
        parameters: impl Into<Params> + Send,
    ) -> Result<Outcome> {
        tracing::trace!(place = self.place, sql = sql.as_ref());
        let parameters = parameters.into();
        self.usable()?;
        let done = self.watch.over(self.client.run_prepared(sql.as_ref(), parameters)).await;
        self.noted(done)?;
        Ok(self.outcome())
    }

    /// Runs a statement that holds a password as a literal, or is given one as a parameter. The log
    /// doesn't show it, nor does an error: a server quotes what it doesn't understand (1064) or finds
    /// too long (1470), so its words are kept only where they are known to quote nothing.
    pub async fn execute_secret(
        &mut self,
        sql: &Secret,
        parameters: impl Into<Params> + Send,
    ) -> Result<Outcome> {
        self.usable()?;
        let parameters = parameters.into();
        let work = async {
            let done = match parameters {
                Params::Empty => self.client.run(sql.reveal().as_bytes()).await,
                parameters => self.client.run_prepared(sql.reveal(), parameters).await,
            };
            done.map_err(|error| match error {
                mysql_async::Error::Server(mut server) => {
                    if !matches!(
                        server.code,
                        1044 | 1142 | 1227 | 1370 | 1290 | 1305 | 1396 | 1819 | 3021 | 3081
                    ) {
                        server.message = "(not shown: the statement holds a password)".into();
                    }
                    mysql_async::Error::Server(server)
                }
                error => error,
            })
        };
        let done = self.watch.over(work).await;
        self.noted(done)?;
        Ok(self.outcome())
    }

    fn outcome(&self) -> Outcome {
        self.client.outcome()
    }

    /// All rows of a query, by the text protocol.
    pub async fn rows(&mut self, sql: impl AsRef<str>) -> Result<Vec<Row>> {
        tracing::trace!(place = self.place, sql = sql.as_ref());
        self.usable()?;
        let done = self.watch.over(self.client.query(sql.as_ref().as_bytes())).await;
        let rows = self.noted(done)?;
        self.nothing_cut().await?;
        Ok(rows)
    }

    /// All rows of a prepared query.
    pub async fn rows_with(
        &mut self,
        sql: impl AsRef<str>,
        parameters: impl Into<Params> + Send,
    ) -> Result<Vec<Row>> {
        tracing::trace!(place = self.place, sql = sql.as_ref());
        let parameters = parameters.into();
        self.usable()?;
        let done = self.watch.over(self.client.query_prepared(sql.as_ref(), parameters)).await;
        let rows = self.noted(done)?;
        self.nothing_cut().await?;
        Ok(rows)
    }

    /// Makes sure that the last answer had every value in full. Of one that is larger than
    /// `max_allowed_packet` a server makes NULL, or of a JSON document an empty text, and only warns: two such
    /// documents would be equal. Whoever reads an answer by hand asks here when it has ended.
    ///
    /// # Errors
    /// `NotExact` with the code 1301 where a value was left out.
    pub async fn nothing_cut(&mut self) -> Result<()> {
        if self.client.outcome().warnings == 0 {
            return Ok(());
        }
        let warnings = self.warnings().await?;
        if warnings.is_empty() {
            return Err(Error::new(
                Kind::NotExact,
                "the server warned of an answer, and keeps no warnings (max_error_count = 0): whether a value was \
                 left out isn't known",
            )
            .at(&self.place)
            .next("SET GLOBAL max_error_count = 1024 there, then the same command again"));
        }
        if !warnings.iter().any(|(code, _)| *code == VALUE_TOO_LARGE) {
            return Ok(());
        }
        Err(Error::new(
            Kind::NotExact,
            "a value is larger than the server's max_allowed_packet (1301)",
        )
        .with_code(VALUE_TOO_LARGE)
        .at(&self.place)
        .next(PACKETS))
    }

    /// The last statement's warnings: numbers, and texts, which may hold data.
    pub async fn warnings(&mut self) -> Result<Vec<(u16, String)>> {
        self.usable()?;
        let done = self.watch.over(self.client.query(b"SHOW WARNINGS")).await;
        let rows = self.noted(done)?;
        rows.iter()
            .map(|row| {
                let text: Option<String> = self.optional(row, "Message")?;
                Ok((self.field(row, "Code")?, text.unwrap_or_default()))
            })
            .collect()
    }

    /// The first row of a query.
    pub async fn row(&mut self, sql: impl AsRef<str>) -> Result<Option<Row>> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// The first column of the first row; none if there is no row or the value is NULL.
    pub async fn scalar<T: FromValue>(&mut self, sql: impl AsRef<str>) -> Result<Option<T>> {
        match self.row(sql).await? {
            Some(row) => self.column(&row, 0),
            None => Ok(None),
        }
    }

    /// A column of a row by its place; none for NULL.
    pub fn column<T: FromValue>(&self, row: &Row, at: usize) -> Result<Option<T>> {
        Fields { place: &self.place }.column(row, at)
    }

    /// A column of a row by its name (any case), which must not be NULL.
    pub fn field<T: FromValue>(&self, row: &Row, name: &str) -> Result<T> {
        Fields { place: &self.place }.field(row, name)
    }

    /// A column of a row by its name (any case); none for NULL.
    pub fn optional<T: FromValue>(&self, row: &Row, name: &str) -> Result<Option<T>> {
        Fields { place: &self.place }.optional(row, name)
    }

    /// A global variable as text; none if this server doesn't have it.
    pub async fn variable(&mut self, name: &str) -> Result<Option<String>> {
        let rows = self.rows_with("SHOW GLOBAL VARIABLES WHERE Variable_name = ?", (name,)).await?;
        match rows.first() {
            Some(row) => self.column(row, 1),
            None => Ok(None),
        }
    }

    /// The server's identity: `server_uuid`, or for MariaDB (which has none) its `server_uid` or,
    /// before 10.11's, host, port and data directory.
    pub async fn server_uuid(&mut self) -> Result<String> {
        Ok(self.identity().await?.1)
    }

    /// The same, behind the expression that says it in SQL.
    pub async fn identity(&mut self) -> Result<(String, String)> {
        for name in ["server_uuid", "server_uid"] {
            if let Some(value) = self.variable(name).await?.filter(|value| !value.is_empty()) {
                return Ok((format!("@@GLOBAL.{name}"), value));
            }
        }
        let expression = "CONCAT(@@hostname, ':', @@port, ':', @@datadir)".to_string();
        let id: Option<String> = self.scalar(format!("SELECT {expression}")).await?;
        Ok((expression, id.unwrap_or_default()))
    }

    /// The names of the server's binary log files, oldest first. Needs REPLICATION CLIENT.
    pub async fn binary_logs(&mut self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for row in self.rows("SHOW BINARY LOGS").await? {
            files.push(self.column::<String>(&row, 0)?.unwrap_or_default());
        }
        Ok(files)
    }
}

/// Takes the columns out of a server's rows.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    place: &'a str,
}

impl Fields<'_> {
    fn column<T: FromValue>(&self, row: &Row, at: usize) -> Result<Option<T>> {
        row.get_opt::<Option<T>, _>(at)
            .ok_or_else(|| self.shape(format!("column {}", at + 1)))?
            .map_err(|_| self.shape(format!("column {}", at + 1)))
    }

    /// A column of a row by its name (any case), which must not be NULL.
    pub fn field<T: FromValue>(&self, row: &Row, name: &str) -> Result<T> {
        self.optional(row, name)?.ok_or_else(|| self.shape(name.to_string()))
    }

    /// A column of a row by its name (any case); none for NULL.
    pub fn optional<T: FromValue>(&self, row: &Row, name: &str) -> Result<Option<T>> {
        let at = row
            .columns_ref()
            .iter()
            .position(|column| column.name_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| self.shape(name.to_string()))?;
        self.column(row, at)
    }

    fn shape(&self, column: String) -> Error {
        Error::new(Kind::Bug, format!("a result has no usable column {column}")).at(self.place)
    }
}

impl<C: ?Sized> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.place)
    }
}

fn connect_error(error: mysql_async::Error, url: &ServerUrl) -> Error {
    let io = match error {
        mysql_async::Error::Io(mysql_async::IoError::Io(io)) => io,
        other => return tls_hint(Error::from(other), url),
    };
    let text = io.to_string();
    if url.tls != TlsMode::Off && io.kind() == std::io::ErrorKind::InvalidData {
        // What the TLS library finds wrong in the handshake comes as such.
        return tls_hint(Error::new(Kind::Tls, "TLS could not be agreed on").because(io), url);
    }
    if text.contains("lookup") || text.contains("Name or service") {
        Error::new(Kind::Connect, "the host's name doesn't resolve")
            .because(io)
            .next("check the name, or give the address")
    } else if io.kind() == std::io::ErrorKind::ConnectionRefused {
        Error::new(Kind::Connect, "nothing listens there")
            .because(io)
            .next("check host and port, and that the server runs")
    } else {
        Error::new(Kind::Connect, "the server can't be reached").because(io)
    }
}

/// Says more where it is known what is wrong with TLS.
fn tls_hint(error: Error, url: &ServerUrl) -> Error {
    if error.kind() != Kind::Tls {
        return error;
    }
    let causes = error.causes().join(" ");
    let error = match &url.ca {
        Some(ca) => error.at(format!("authority {}", ca.display())),
        None => error,
    };
    if causes.contains("not valid for") || causes.contains("NotValidForName") {
        return error.next(
            "the certificate names no host, as those that MySQL makes for itself: use tls=required, \
             or give the server a certificate with a subject alternative name",
        );
    }
    if causes.contains("UnknownIssuer") {
        return error.next(
            "give the file of the authority that signed the server's certificate: ca=FILE in its URL \
             (MySQL's own is ca.pem in its data directory)",
        );
    }
    if url.tls == TlsMode::Off {
        return error.next("say tls=required (or verify-ca&ca=FILE) in that server's URL");
    }
    error
}
