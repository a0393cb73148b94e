//! The client that rows are read by: beside mysql_async on real servers, whose answers and errors must be the
//! same by either, and before a server that means ill.

#[path = "wire/hostile.rs"]
mod hostile;

use daybreak::{
    error::{Error, Kind},
    mysql::{AnySession, ReaderSession, ServerUrl, Session, Side},
};
use futures_util::FutureExt as _;
use mysql_async::{Params, Value, params};
use rehearsal::{
    proxy::{Direction, Proxy},
    server::{Product, Role, Server, ServerOptions},
};

/// Enough rows that no buffer between a server and us holds them.
const MANY: &str =
    "SELECT a.n, REPEAT('x', 1000) FROM w.n AS a CROSS JOIN w.d AS b CROSS JOIN w.two";

/// Of accounts that are made here.
const PASSWORD: &str = "Wire-Passw0rd-1";

async fn start(product: Product) -> Server {
    let options = ServerOptions::new(product, Role::Plain);
    let server =
        Server::start(options.arg("--max-allowed-packet=1073741824")).await.expect("a server");
    let mut session = open(&root(&server)).await;
    for statement in [
        "CREATE DATABASE w",
        "CREATE TABLE w.d (n INT)",
        "INSERT INTO w.d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
        "CREATE TABLE w.two SELECT n FROM w.d WHERE n < 2",
        "CREATE TABLE w.n (n INT PRIMARY KEY) SELECT a.n + b.n * 10 + c.n * 100 AS n FROM w.d a, w.d b, w.d c",
    ] {
        session.execute(statement).await.unwrap();
    }
    server
}

fn root(server: &Server) -> ServerUrl {
    ServerUrl::parse(&server.root_url()).unwrap()
}

async fn open(url: &ServerUrl) -> Session {
    Session::open(url, Side::Source).await.unwrap()
}

async fn reader(url: &ServerUrl) -> ReaderSession {
    Session::open_reader(url, Side::Source).await.unwrap()
}

/// The same server with options in its URL.
fn by(server: &Server, options: &str) -> ServerUrl {
    let url = server.root_url();
    ServerUrl::parse(&format!("{}/?{options}", url.trim_end_matches('/'))).unwrap()
}

fn told(error: &Error) -> (Kind, Option<u16>, String, Option<String>) {
    let next = error.next_step().map(str::to_string);
    (error.kind(), error.code(), error.what().to_string(), next)
}

/// Opens a session by each client. Either both are let in, or both are told the same.
async fn opened_alike(url: &ServerUrl) -> Result<(Session, ReaderSession), Error> {
    let ours = Session::open_reader(url, Side::Source).await;
    let theirs = Session::open(url, Side::Source).await;
    if let Some(password) = &url.password {
        let said = format!("{ours:?} {:?}", ours.as_ref().err().map(ToString::to_string));
        assert!(password.reveal().is_empty() || !said.contains(password.reveal()), "{said}");
    }
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => Ok((theirs, ours)),
        (Err(theirs), Err(ours)) => {
            assert_eq!(told(&ours), told(&theirs), "{url}");
            Err(ours)
        }
        (theirs, ours) => panic!("{url}: {theirs:?}, {ours:?}"),
    }
}

/// What a session answers, as text.
async fn answers(session: &mut AnySession) -> Vec<String> {
    let mut said = Vec::new();
    let big = "z".repeat(300_000);
    let statements = [
        "SELECT 1, NULL, '', 'a', -1.5, 1e10, X'00FF', DATE '2024-01-31', REPEAT('é', 30000)",
        "SELECT * FROM w.n WHERE n > 2000",
        "SELECT n, REPEAT('x', n * 10) FROM w.n ORDER BY n",
        "DROP TABLE IF EXISTS w.none",
        "CREATE TEMPORARY TABLE w.t (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT, d DATETIME, f FLOAT, b BLOB)",
        "INSERT INTO w.t (v) VALUES ('a'), ('b'), (NULL)",
        "UPDATE w.t SET v = CONCAT(v, '!')",
        "SELECT 1 / 0, CAST('x' AS SIGNED)",
        "SELECT * FROM w.nothing",
        "SELEC",
        "CALL w.three(2)",
        "SELECT 'after it'",
        "SELECT LENGTH(@@version) > 0 AS `A name`",
        "DO SLEEP(0)",
    ];
    for sql in statements {
        let rows = session.rows(sql).await;
        said.push(format!("{sql}: {:?}", rows.as_ref().map_err(told)));
        let done = session.execute(sql).await;
        said.push(format!("{sql}: {:?}", done.as_ref().map_err(told)));
    }
    let prepared: [(&str, Params); 6] = [
        ("SELECT ?, ?, ?, ?", (1, "text", 2.5, Option::<u8>::None).into()),
        ("SELECT LENGTH(?), LENGTH(?)", (big.as_str(), "").into()),
        (
            "INSERT INTO w.t (v, d, f, b) VALUES (:v, :d, :f, :b)",
            params! {
                "v" => "named", "d" => Value::Date(2024, 2, 29, 1, 2, 3, 4), "f" => 0.5_f32, "b" => &b"\x00\xFF"[..],
            },
        ),
        ("SELECT v, d, f, b, id FROM w.t ORDER BY id", Params::Empty),
        ("SELECT v FROM w.t WHERE id = ?", (3,).into()),
        ("SELECT ? FROM w.nothing", (1,).into()),
    ];
    for (sql, parameters) in prepared {
        let rows = session.rows_with(sql, parameters.clone()).await;
        said.push(format!("{sql}: {:?}", rows.as_ref().map_err(told)));
        if !sql.contains("INSERT") && !sql.contains("SELECT ?") {
            let done = session.execute_with(sql, parameters).await;
            said.push(format!("{sql}: {:?}", done.as_ref().map_err(told)));
        }
    }
    said.push(format!("{:?}", session.scalar::<u64>("SELECT 42").await.unwrap()));
    said
}

/// All that can be asked, by both clients, over every way to a server.
async fn alike(server: &Server, ways: &[&str]) {
    let mut root = open(&root(server)).await;
    let procedure = "CREATE PROCEDURE w.three(n INT) BEGIN SELECT n, 'one'; SELECT 'two' FROM w.d; \
                     SELECT 'three', 'more'; END";
    root.execute(procedure).await.unwrap();
    let socket = server.socket().display().to_string();
    for way in ways {
        let way = way.replace("SOCKET", &socket);
        let (mut theirs, mut ours) = opened_alike(&by(server, &way)).await.unwrap();
        let (theirs_said, ours_said) = (answers(&mut theirs).await, answers(&mut ours).await);
        for (theirs, ours) in theirs_said.iter().zip(&ours_said) {
            assert_eq!(ours, theirs, "{way}");
        }
        let sql = "SHOW SESSION STATUS WHERE Variable_name IN ('Compression', 'Ssl_version')";
        assert_eq!(
            format!("{:?}", ours.rows(sql).await.unwrap()),
            format!("{:?}", theirs.rows(sql).await.unwrap()),
            "{way}"
        );
        ours.close().await;
    }
}

/// Rows with cells of each length, taken as bytes.
async fn cells_of_every_length(url: &ServerUrl) {
    let mut session = reader(url).await;
    for length in [
        0,
        1,
        250,
        251,
        65_535,
        65_536,
        262_136,
        262_137,
        (1 << 24) - 9,
        (1 << 24) - 1,
        1 << 24,
        40_000_000,
    ] {
        let sql = format!("SELECT REPEAT('a', {length}), NULL, '', 'end' FROM w.two");
        let mut rows = session.read(&sql).await.unwrap();
        for _ in 0..2 {
            let mut row = rows.next().await.unwrap().unwrap();
            let first = row.cell().unwrap().unwrap();
            assert!(first.len() == length && first.iter().all(|byte| *byte == b'a'), "{length}");
            assert_eq!((row.cell().unwrap(), row.cell().unwrap()), (None, Some(&b""[..])));
            assert_eq!(row.cell().unwrap(), Some(&b"end"[..]));
            row.end().unwrap();
        }
        assert!(rows.next().await.unwrap().is_none() && rows.next().await.unwrap().is_none());
    }
    assert_eq!(session.scalar::<u32>("SELECT 7").await.unwrap(), Some(7));
}

/// What is left of an answer never gets into the next one.
async fn nothing_is_confused(url: &ServerUrl) {
    let mut session = reader(url).await;
    let mut numbers = 0..;
    // Half-read.
    for taken in [0, 1, 2, 1000, 19_000] {
        let mut rows = session.read(MANY).await.unwrap();
        for _ in 0..taken {
            assert!(rows.next().await.unwrap().is_some());
        }
        let number = numbers.next().unwrap();
        let said = session.scalar::<u32>(format!("SELECT {number}")).await.unwrap();
        assert_eq!(said, Some(number), "after {taken} rows");
    }
    // Not waited for: at each point where there is something to wait for.
    for polls in (0..20).chain([200, 1000]) {
        for sql in [MANY, "SELECT 'another'", "CALL w.three(1)"] {
            {
                let mut asked = std::pin::pin!(session.rows(sql));
                for _ in 0..polls {
                    if asked.as_mut().now_or_never().is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let number = numbers.next().unwrap();
            let sql = format!("SELECT {number}");
            let said = session.scalar::<u32>(sql).await.unwrap();
            assert_eq!(said, Some(number), "after {polls} polls");
        }
    }
    // A prepared statement.
    for polls in 0..30 {
        {
            let mut asked = std::pin::pin!(session.rows_with("SELECT ?, n FROM w.n", ("x",)));
            for _ in 0..polls {
                if asked.as_mut().now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let rows = session.rows_with("SELECT ?", (polls,)).await.unwrap();
        assert_eq!(session.column::<u32>(&rows[0], 0).unwrap(), Some(polls), "after {polls} polls");
    }
}

/// Somebody ends the statement, or the connection, while its rows come.
async fn ended_by_somebody(url: &ServerUrl) {
    let mut other = open(url).await;
    let mut session = reader(url).await;
    let id = session.id();
    let mut rows = session.read(MANY).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    other.execute(format!("KILL QUERY {id}")).await.unwrap();
    let error = rest(&mut rows).await;
    assert_eq!((error.kind(), error.code()), (Kind::StatementKilled, Some(1317)), "{error}");
    assert_eq!(session.scalar::<u32>("SELECT 8").await.unwrap(), Some(8));

    let mut rows = session.read(MANY).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    other.execute(format!("KILL {id}")).await.unwrap();
    let error = rest(&mut rows).await;
    // Some servers say that the statement was ended before they end the connection.
    let kinds = [Kind::ConnectionLost, Kind::StatementKilled];
    assert!(kinds.contains(&error.kind()), "{error}");
    let error = session.scalar::<u32>("SELECT 9").await.unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    let error = session.read("SELECT 10").await.unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");

    // While nothing is asked.
    let mut session = reader(url).await;
    other.execute(format!("KILL {}", session.id())).await.unwrap();
    loop {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {}",
            session.id()
        );
        if other.scalar::<u32>(sql).await.unwrap() == Some(0) {
            break;
        }
    }
    let error = session.scalar::<u32>("SELECT 11").await.unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
}

/// What ends the rows.
async fn rest(rows: &mut daybreak::mysql::session::Reading<'_>) -> Error {
    loop {
        match rows.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing ended the rows"),
            Err(error) => return error,
        }
    }
}

/// The link is cut while rows come, and then the server goes.
async fn gone(mut server: Server) {
    let link = Proxy::before(server.port()).await.unwrap();
    let mut url = root(&server);
    url.port = link.port();
    for bytes in [1, 5, 100, 100_000, 5_000_000] {
        let mut session = reader(&url).await;
        link.cut_after(Direction::Down, bytes);
        let error = match session.read(MANY).await {
            Ok(mut rows) => rest(&mut rows).await,
            Err(error) => error,
        };
        assert_eq!(error.kind(), Kind::ConnectionLost, "after {bytes} bytes: {error}");
        assert!(session.scalar::<u32>("SELECT 1").await.is_err());
    }
    let mut session = reader(&root(&server)).await;
    let mut rows = session.read(MANY).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    server.kill().await;
    assert_eq!(rest(&mut rows).await.kind(), Kind::ConnectionLost);
    let error = opened_alike(&root(&server)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
}

/// Rows of every length, half-read, ended and begun again, by each way to a server.
async fn answers_come_whole(server: &Server, ways: &[&str]) {
    for way in ways {
        cells_of_every_length(&by(server, way)).await;
        nothing_is_confused(&by(server, way)).await;
        ended_by_somebody(&by(server, way)).await;
    }
}

/// Accounts and URLs with which nobody is let in.
async fn refused_alike(server: &Server, old: bool) {
    let mut wrong = root(server);
    wrong.password = Some(daybreak::mysql::Secret::new("Wrong-Passw0rd-1"));
    assert_eq!(opened_alike(&wrong).await.unwrap_err().kind(), Kind::Login);
    wrong.password = None;
    assert_eq!(opened_alike(&wrong).await.unwrap_err().kind(), Kind::Login);
    // MySQL 5.6 has an account for whoever has no other.
    wrong.user = "nobody".into();
    let refused = opened_alike(&wrong).await;
    assert_eq!(refused.is_ok(), old);
    let mut nowhere = root(server);
    nowhere.host = "no-such-host.invalid".into();
    assert_eq!(opened_alike(&nowhere).await.unwrap_err().kind(), Kind::Connect);
    nowhere.socket = Some(server.dir().join("no.sock"));
    assert_eq!(opened_alike(&nowhere).await.unwrap_err().kind(), Kind::Connect);
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_9_7() {
    let server = start(Product::Mysql97).await;
    let ways = [
        "tls=off",
        "tls=required",
        "compression=zlib",
        "tls=required&compression=zlib",
        "socket=SOCKET",
        "socket=SOCKET&compression=zlib",
    ];
    alike(&server, &ways).await;
    refused_alike(&server, false).await;
    answers_come_whole(&server, &["tls=off", "tls=required", "compression=zlib"]).await;
    gone(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_5_6() {
    let server = start(Product::Mysql56).await;
    alike(&server, &["tls=off", "compression=zlib", "socket=SOCKET"]).await;
    refused_alike(&server, true).await;
    answers_come_whole(&server, &["tls=off", "compression=zlib"]).await;
    assert_eq!(opened_alike(&by(&server, "tls=required")).await.unwrap_err().kind(), Kind::Tls);
    gone(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_10_11() {
    let server = start(Product::Mariadb1011).await;
    alike(&server, &["tls=off", "compression=zlib", "socket=SOCKET"]).await;
    refused_alike(&server, false).await;
    answers_come_whole(&server, &["tls=off", "compression=zlib"]).await;
    gone(server).await;
}

/// Each way to prove a password, with what the server remembers of it and without.
#[tokio::test(flavor = "multi_thread")]
async fn logins() {
    let server = start(Product::Mysql97).await;
    let mut root_session = open(&root(&server)).await;
    let long = "Long-Passw0rd-".repeat(14);
    let plugins = root_session
        .rows("SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION'")
        .await
        .unwrap();
    let plugins: Vec<String> = plugins.iter().map(|row| row.get(0).unwrap()).collect();
    for (user, plugin, password) in [
        ("sha2", "caching_sha2_password", PASSWORD),
        ("lengthy", "caching_sha2_password", &long),
        ("empty", "caching_sha2_password", ""),
        ("old", "sha256_password", PASSWORD),
    ] {
        if !plugins.iter().any(|known| known == plugin) {
            println!("this server has no {plugin}");
            continue;
        }
        root_session
            .execute(format!("CREATE USER '{user}' IDENTIFIED WITH {plugin} BY '{password}'"))
            .await
            .unwrap();
        for way in ["tls=off", "tls=required", "socket", "compression=zlib"] {
            let way = way.replace("socket", &format!("socket={}", server.socket().display()));
            let mut url = by(&server, &way);
            url.user = user.into();
            url.password = Some(daybreak::mysql::Secret::new(password));
            // The server forgets who has logged in: what follows is a first login.
            root_session.execute("FLUSH PRIVILEGES").await.unwrap();
            if plugin == "sha256_password" {
                let error = Session::open_reader(&url, Side::Source).await.unwrap_err();
                let theirs = Session::open(&url, Side::Source).await.unwrap_err();
                assert_eq!(told(&error), told(&theirs), "{error}");
                continue;
            }
            for _ in 0..2 {
                let mut session = reader(&url).await;
                let name = session.scalar::<String>("SELECT USER()").await.unwrap().unwrap();
                assert!(name.starts_with(&format!("{user}@")), "{name}");
                session.close().await;
            }
            url.password = Some(daybreak::mysql::Secret::new("Wrong-Passw0rd-1"));
            let error = opened_alike(&url).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Login, "{error}");
        }
    }
    // An account that must use TLS, one that is locked.
    root_session.execute("ALTER USER sha2 REQUIRE SSL").await.unwrap();
    let mut url = root(&server);
    (url.user, url.password) = ("sha2".into(), Some(daybreak::mysql::Secret::new(PASSWORD)));
    assert_eq!(opened_alike(&url).await.unwrap_err().kind(), Kind::Login);
    root_session.execute("ALTER USER sha2 REQUIRE NONE ACCOUNT LOCK").await.unwrap();
    assert_eq!(opened_alike(&url).await.unwrap_err().code(), Some(3118));
    root_session.execute("ALTER USER sha2 ACCOUNT UNLOCK").await.unwrap();
    root_session.execute("SET GLOBAL require_secure_transport = ON").await.unwrap();
    assert_eq!(opened_alike(&url).await.unwrap_err().kind(), Kind::Tls);
    root_session.execute("SET GLOBAL require_secure_transport = OFF").await.unwrap();
    root_session.execute("SET GLOBAL max_connections = 1").await.unwrap();
    assert_eq!(opened_alike(&url).await.unwrap_err().code(), Some(1040));
    root_session.execute("SET GLOBAL max_connections = 100").await.unwrap();

    // Old servers' way.
    for product in [Product::Mysql56, Product::Mariadb1011] {
        let server = start(product).await;
        let mut root_session = open(&root(&server)).await;
        for password in ["", PASSWORD] {
            // By whichever name the server knows this machine.
            for account in ["native@localhost", "native@'127.0.0.1'"] {
                for statement in [
                    format!("GRANT SELECT ON w.* TO {account} IDENTIFIED BY 'x'"),
                    format!("SET PASSWORD FOR {account} = PASSWORD('{password}')"),
                ] {
                    root_session.execute(statement).await.unwrap();
                }
            }
            let mut url = root(&server);
            (url.user, url.password) =
                ("native".into(), Some(daybreak::mysql::Secret::new(password)));
            opened_alike(&url).await.unwrap();
            url.password = Some(daybreak::mysql::Secret::new("Wrong-Passw0rd-1"));
            assert_eq!(opened_alike(&url).await.unwrap_err().kind(), Kind::Login);
        }
    }
}

/// A server's certificate is looked at as far as the URL says.
#[tokio::test(flavor = "multi_thread")]
async fn certificates() {
    let server = start(Product::Mysql97).await;
    let ca = server.data_dir().join("ca.pem").display().to_string();
    let other = server.data_dir().join("server-cert.pem").display().to_string();
    // The other client takes a name that doesn't fit for a wrong authority's by now, and refuses.
    reader(&by(&server, &format!("tls=verify-ca&ca={ca}"))).await;
    for (way, kind) in [
        // The authorities that everybody knows didn't sign it.
        ("tls=verify-ca".to_string(), Kind::Tls),
        ("tls=verify-identity".to_string(), Kind::Tls),
        (format!("tls=verify-ca&ca={other}"), Kind::Tls),
        // It names no host.
        (format!("tls=verify-identity&ca={ca}"), Kind::Tls),
        (format!("tls=verify-ca&ca={ca}.none"), Kind::Config),
    ] {
        let error = opened_alike(&by(&server, &way)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{way}: {error}");
        let names = way.contains("identity&ca");
        assert_eq!(error.to_string().contains("names no host"), names, "{way}: {error}");
    }
}
