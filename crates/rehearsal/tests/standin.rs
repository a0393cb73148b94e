//! The Aurora stand-in denies what Aurora denies, and its procedures replicate, configure and kill.

mod support;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Pool, Row};
use rehearsal::server::{Product, RehearsalError, Role, Server};
use support::{one, refusal, run, small, start, until};

#[tokio::test]
async fn the_standin_denies_what_aurora_denies() {
    let server = start(Product::Mysql97, Role::AuroraStandin).await;
    let mut admin = server.connect_admin().await.unwrap();
    for sql in [
        "FLUSH TABLES WITH READ LOCK",
        "LOCK INSTANCE FOR BACKUP",
        "SET GLOBAL max_connections = 100",
        "SET PERSIST max_connections = 100",
        "SET SESSION sql_log_bin = 0",
        "SET SESSION gtid_next = 'ANONYMOUS'",
        "SET GLOBAL read_only = 1",
        "START REPLICA",
        "STOP REPLICA",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='x'",
        "RESET BINARY LOGS AND GTIDS",
        "SHUTDOWN",
        "DROP USER 'rdsadmin'@'localhost'",
        "ALTER USER 'root'@'localhost' IDENTIFIED BY 'x'",
    ] {
        assert_eq!(refusal(&mut admin, sql).await, 1227, "{sql}");
    }
    run(&mut admin, "CREATE DATABASE app").await;
    run(&mut admin, "CREATE TABLE app.t (id INT PRIMARY KEY)").await;
    // MyISAM is named as disabled, not replaced behind the caller's back.
    assert_eq!(refusal(&mut admin, "CREATE TABLE app.m (id INT) ENGINE=MyISAM").await, 3161);
    for sql in [
        "INSERT INTO mysql.time_zone VALUES (99999, 'N')",
        "UPDATE mysql.user SET Super_priv = 'Y' WHERE User = 'admin'",
        "DELETE FROM mysql.rds_history",
        "CREATE TABLE mysql.mine (id INT)",
        "DROP PROCEDURE mysql.rds_kill",
        "SELECT 1 INTO OUTFILE '/tmp/never'",
        "GRANT SUPER ON *.* TO 'admin'@'%'",
    ] {
        let code = refusal(&mut admin, sql).await;
        assert!([1044, 1045, 1142, 1227, 1290, 1370].contains(&code), "{sql}: {code}");
    }
    // What a migration needs stays allowed.
    for sql in [
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, unique_checks = 0",
        "SET SESSION time_zone = '+00:00', lock_wait_timeout = 5, innodb_lock_wait_timeout = 5",
        "SET NAMES utf8mb4",
        "SET NAMES binary",
        "SET SESSION wait_timeout = 1000, net_read_timeout = 1000, net_write_timeout = 1000, max_execution_time = 0",
        "SET SESSION transaction_isolation = 'REPEATABLE-READ'",
        "LOCK TABLES app.t WRITE",
        "UNLOCK TABLES",
        "SELECT COUNT(*) FROM mysql.user",
        "CREATE USER 'app'@'%' IDENTIFIED BY 'App-1-pw'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON app.* TO 'app'@'%'",
        "CREATE DEFINER='nobody'@'%' VIEW app.v AS SELECT id FROM app.t",
        "CREATE DEFINER='app'@'%' TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET NEW.id = NEW.id + 1",
        "CREATE DEFINER='app'@'%' FUNCTION app.f() RETURNS INT NO SQL RETURN 1",
        "CREATE DEFINER='app'@'%' EVENT app.e ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = 1",
        "SHOW REPLICA STATUS",
        "SHOW BINARY LOG STATUS",
        "DROP USER 'app'@'%'",
    ] {
        run(&mut admin, sql).await;
    }
    let grants: Vec<Row> = admin.query("SHOW GRANTS FOR CURRENT_USER()").await.unwrap();
    let grants: String = grants.iter().map(|row| row.get::<String, _>(0).unwrap() + "\n").collect();
    assert!(grants.contains("SET_ANY_DEFINER") || grants.contains("SET_USER_ID"), "{grants}");
    let direct: Vec<String> = admin
        .query("SELECT privilege_type FROM information_schema.user_privileges WHERE grantee LIKE '%admin%@%\\%%'")
        .await
        .unwrap();
    assert!(
        !direct.iter().any(|name| name == "INSERT"),
        "USER_PRIVILEGES should be blind here: {direct:?}"
    );

    // A pool resets its connections: the role must survive that.
    let pool = Pool::new(Opts::from_url(&server.admin_url()).unwrap());
    for _ in 0..3 {
        let mut conn = pool.get_conn().await.unwrap();
        run(&mut conn, "SELECT COUNT(*) FROM app.t").await;
    }
    pool.disconnect().await.unwrap();
}

#[tokio::test]
async fn nothing_of_the_standin_is_in_its_binary_log() {
    let server = start(Product::Mysql97, Role::AuroraStandin).await;
    let mut root = server.connect_root().await.unwrap();
    assert_eq!(one::<String>(&mut root, "SELECT @@global.gtid_executed").await, "");
    // And a procedure that fails leaves the caller's session as it was.
    let mut admin = server.connect_admin().await.unwrap();
    assert_eq!(
        refusal(&mut admin, "CALL mysql.rds_set_configuration('no such thing', 1)").await,
        1644
    );
    assert_eq!(
        refusal(
            &mut admin,
            "CALL mysql.rds_set_external_source('h', 1, 'u', 'S3cret-pw', '', -5, 0)"
        )
        .await,
        1064
    );
    assert_eq!(one::<u8>(&mut admin, "SELECT @@session.sql_log_bin").await, 1);
    assert_eq!(one::<Option<String>>(&mut admin, "SELECT @rds_cmd").await, None);
    let left = "SELECT COUNT(*) FROM performance_schema.prepared_statements_instances WHERE sql_text LIKE '%S3cret%'";
    assert_eq!(one::<i64>(&mut root, left).await, 0);
}

/// A 9.7 source with a replication account, and the stand-in.
struct Pair {
    source: Server,
    target: Server,
    at_source: Conn,
    admin: Conn,
}

const REPLICATION_PASSWORD: &str = "Repl-1-secret";

impl Pair {
    async fn new() -> Pair {
        let (source, target) = tokio::try_join!(
            Server::start(small(Product::Mysql97, Role::Source)),
            Server::start(small(Product::Mysql97, Role::AuroraStandin)),
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let mut at_source = source.connect_root().await.unwrap();
        let admin = target.connect_admin().await.unwrap();
        run(&mut at_source, "SET sql_log_bin = 0").await;
        run(
            &mut at_source,
            &format!("CREATE USER 'repl'@'%' IDENTIFIED BY '{REPLICATION_PASSWORD}'"),
        )
        .await;
        run(&mut at_source, "GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%'").await;
        run(&mut at_source, "SET sql_log_bin = 1").await;
        Pair { source, target, at_source, admin }
    }

    async fn set_source_by_gtid(&mut self) {
        let port = self.source.port();
        let sql = format!(
            "CALL mysql.rds_set_external_source_with_auto_position('127.0.0.1', {port}, 'repl', '{REPLICATION_PASSWORD}', 0)"
        );
        run(&mut self.admin, &sql).await;
    }

    async fn set_source_by_position(&mut self, file: &str, position: u64) {
        let port = self.source.port();
        let sql = format!(
            "CALL mysql.rds_set_external_source('127.0.0.1', {port}, 'repl', '{REPLICATION_PASSWORD}', '{file}', {position}, 0)"
        );
        run(&mut self.admin, &sql).await;
    }

    /// Calls a procedure and returns the message that it answers with.
    async fn call(&mut self, call: &str) -> String {
        one(&mut self.admin, &format!("CALL mysql.{call}")).await
    }

    async fn source_position(&mut self) -> (String, u64) {
        let row: Row = one(&mut self.at_source, "SHOW BINARY LOG STATUS").await;
        (row.get("File").unwrap(), row.get("Position").unwrap())
    }

    async fn replica_status(&mut self, column: &str) -> String {
        let row: Row = one(&mut self.admin, "SHOW REPLICA STATUS").await;
        row.get::<Option<String>, _>(column).unwrap().unwrap_or_default()
    }

    /// What a test that waits in vain shows: said whenever it is another than before.
    async fn tell(&mut self, seen: &mut String, now: String) {
        if *seen != now {
            let error = self.replica_status("Last_Error").await
                + &self.replica_status("Last_IO_Error").await;
            eprintln!("{now}; {error}");
            *seen = now;
        }
    }

    async fn wait_for_status(&mut self, column: &str, wanted: &str) {
        let mut seen = String::new();
        until(&format!("{column} is {wanted}"), async || {
            let is = self.replica_status(column).await;
            self.tell(&mut seen, format!("{column} is {is}")).await;
            is == wanted
        })
        .await;
    }

    async fn ids_at_target(&mut self) -> Vec<i32> {
        self.admin.query("SELECT id FROM app.t ORDER BY id").await.unwrap_or_default()
    }

    async fn wait_for_ids(&mut self, wanted: &[i32]) {
        let mut seen = String::new();
        until(&format!("the target has {wanted:?}"), async || {
            let ids = self.ids_at_target().await;
            self.tell(&mut seen, format!("the target has {ids:?}")).await;
            ids == wanted
        })
        .await;
    }
}

const RUNNING: &str = "Replica running normally.";

#[tokio::test]
async fn the_procedures_replicate_by_gtid() {
    let mut pair = Pair::new().await;
    run(&mut pair.at_source, "CREATE DATABASE app").await;
    run(&mut pair.at_source, "CREATE TABLE app.t (id INT PRIMARY KEY, note VARCHAR(20))").await;
    // As after a copy: what the target has already is declared, and not replicated again.
    run(&mut pair.admin, "CREATE DATABASE app").await;
    run(&mut pair.admin, "CREATE TABLE app.t (id INT PRIMARY KEY, note VARCHAR(20))").await;
    let copied: String = one(&mut pair.at_source, "SELECT @@global.gtid_executed").await;
    let copied = copied.replace('\n', "");
    let said = pair.call(&format!("rds_gtid_purged('+{copied}')")).await;
    assert!(said.contains(&copied), "{said} without {copied}");

    pair.set_source_by_gtid().await;
    assert_eq!(pair.call("rds_start_replication()").await, RUNNING);
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (1, 'by gtid')").await;
    pair.wait_for_ids(&[1]).await;
    assert_eq!(pair.call("rds_stop_replication()").await, "Slave is down or disabled");
    assert_eq!(pair.replica_status("Replica_SQL_Running").await, "No");

    // Until a GTID: what comes after it waits.
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (2, 'until')").await;
    let uuid: String = one(&mut pair.at_source, "SELECT @@server_uuid").await;
    let executed: String = one(&mut pair.at_source, "SELECT @@global.gtid_executed").await;
    let last: u64 = executed.trim().rsplit('-').next().unwrap().parse().unwrap();
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (3, 'after')").await;
    pair.call(&format!("rds_start_replication_until_gtid('{uuid}:{last}')")).await;
    pair.wait_for_status("Replica_SQL_Running", "No").await;
    assert_eq!(pair.ids_at_target().await, [1, 2]);
    pair.call("rds_stop_replication()").await;

    // Skipping by number: row 3 never comes, row 4 does.
    pair.call(&format!("rds_skip_transaction_with_gtid('{uuid}:{}')", last + 1)).await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (4, 'after the skipped')").await;
    pair.wait_for_ids(&[1, 2, 4]).await;

    // Skipping an error: row 5 is there already.
    run(&mut pair.admin, "INSERT INTO app.t VALUES (5, 'mine')").await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (5, 'theirs')").await;
    pair.wait_for_status("Last_SQL_Errno", "1062").await;
    let said = pair.call("rds_skip_repl_error()").await;
    assert!(said.starts_with("Skipped"), "{said}");
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (6, 'on')").await;
    pair.wait_for_ids(&[1, 2, 4, 5, 6]).await;
    assert_eq!(
        pair.call("rds_skip_repl_error()").await,
        "Slave is running normally. No errors detected to skip."
    );

    // From auto position to positions and back, then TLS, then gone.
    pair.call("rds_set_source_auto_position(0)").await;
    assert_eq!(pair.replica_status("Auto_Position").await, "0");
    pair.call("rds_set_source_auto_position(1)").await;
    assert_eq!(pair.replica_status("Auto_Position").await, "1");
    pair.call("rds_stop_replication()").await;
    pair.call("rds_set_binlog_source_ssl(1)").await;
    assert_eq!(pair.replica_status("Source_SSL_Allowed").await, "Yes");
    assert_eq!(pair.call("rds_start_replication()").await, RUNNING);
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (7, 'over TLS')").await;
    pair.wait_for_ids(&[1, 2, 4, 5, 6, 7]).await;
    assert_eq!(pair.call("rds_reset_external_source()").await, "Slave has been reset");
    let rows: Vec<Row> = pair.admin.query("SHOW REPLICA STATUS").await.unwrap();
    assert!(rows.is_empty());

    let history: Vec<Row> = pair.admin.query("SELECT * FROM mysql.rds_history").await.unwrap();
    assert_eq!(history.len(), 2);
    assert!(!format!("{history:?}").contains(REPLICATION_PASSWORD));
    let log = std::fs::read_to_string(pair.target.error_log()).unwrap();
    assert!(!log.contains(REPLICATION_PASSWORD));
    // What the stand-in wrote down is nobody's business but its own.
    let mut root = pair.target.connect_root().await.unwrap();
    // The caller's own CALL is remembered with its literals, as on Aurora; what it leads to is not.
    let remembered = format!(
        "SELECT COUNT(*) FROM performance_schema.events_statements_history
         WHERE sql_text LIKE '%{REPLICATION_PASSWORD}%' AND sql_text NOT LIKE 'CALL %' AND sql_text NOT LIKE '%events_statements_history%'"
    );
    assert_eq!(one::<i64>(&mut root, &remembered).await, 0);
    let own: String = one(&mut root, "SELECT @@server_uuid").await;
    let executed: String = one(&mut root, "SELECT @@global.gtid_executed").await;
    let own =
        executed.split(',').map(str::trim).find(|set| set.starts_with(&own)).unwrap().to_owned();
    assert!(own.ends_with(":1-3"), "three statements of admin's own and no more: {own}");
}

#[tokio::test]
async fn the_procedures_replicate_by_position() {
    let mut pair = Pair::new().await;
    let (file, position) = pair.source_position().await;
    run(&mut pair.at_source, "CREATE DATABASE app").await;
    run(&mut pair.at_source, "CREATE TABLE app.t (id INT PRIMARY KEY)").await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (1)").await;
    let (_, stop) = pair.source_position().await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (2)").await;
    pair.set_source_by_position(&file, position).await;
    pair.call(&format!("rds_start_replication_until('{file}', {stop})")).await;
    pair.wait_for_status("Replica_SQL_Running", "No").await;
    assert_eq!(pair.ids_at_target().await, [1]);
    pair.call("rds_stop_replication()").await;
    assert_eq!(pair.call("rds_start_replication()").await, RUNNING);
    pair.wait_for_ids(&[1, 2]).await;
    // A second source while the first one runs is refused, and the session stays usable.
    let port = pair.source.port();
    let again = format!(
        "CALL mysql.rds_set_external_source('127.0.0.1', {port}, 'repl', 'other-pw', '{file}', 4, 0)"
    );
    assert_eq!(refusal(&mut pair.admin, &again).await, 3081);
    assert_eq!(one::<u8>(&mut pair.admin, "SELECT @@session.sql_log_bin").await, 1);

    // The next file: as after a source that lost the end of one.
    run(&mut pair.at_source, "FLUSH BINARY LOGS").await;
    let number: u32 = file.rsplit('.').next().unwrap().parse().unwrap();
    let said = pair.call(&format!("rds_next_source_log({number})")).await;
    assert!(said.ends_with(&format!(".{:06}", number + 1)), "{said}");
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (3)").await;
    pair.wait_for_ids(&[1, 2, 3]).await;
    pair.call("rds_reset_external_source()").await;
}

#[tokio::test]
async fn anonymous_transactions_get_gtids_and_errors_are_skipped_by_counter() {
    let source = small(Product::Mysql97, Role::Source).gtid(false);
    let target = small(Product::Mysql97, Role::AuroraStandin).gtid(false);
    let (source, target) = tokio::try_join!(Server::start(source), Server::start(target)).unwrap();
    let mut at_source = source.connect_root().await.unwrap();
    run(&mut at_source, &format!("CREATE USER 'repl'@'%' IDENTIFIED BY '{REPLICATION_PASSWORD}'"))
        .await;
    run(&mut at_source, "GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%'").await;
    let admin = target.connect_admin().await.unwrap();
    let mut pair = Pair { source, target, at_source, admin };
    let (file, position) = pair.source_position().await;
    run(&mut pair.at_source, "CREATE DATABASE app").await;
    run(&mut pair.at_source, "CREATE TABLE app.t (id INT PRIMARY KEY)").await;
    let port = pair.source.port();
    let gtid = format!(
        "CALL mysql.rds_set_external_source_with_auto_position('127.0.0.1', {port}, 'repl', 'pw', 0)"
    );
    assert_eq!(refusal(&mut pair.admin, &gtid).await, 1644);

    pair.set_source_by_position(&file, position).await;
    assert_eq!(pair.call("rds_start_replication()").await, RUNNING);
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (1)").await;
    pair.wait_for_ids(&[1]).await;
    run(&mut pair.admin, "INSERT INTO app.t VALUES (2)").await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (2)").await;
    pair.wait_for_status("Last_SQL_Errno", "1062").await;
    pair.call("rds_skip_repl_error()").await;
    run(&mut pair.at_source, "INSERT INTO app.t VALUES (3)").await;
    pair.wait_for_ids(&[1, 2, 3]).await;
    pair.call("rds_stop_replication()").await;
    pair.call("rds_assign_gtids_to_anonymous_transactions('OFF')").await;

    // With GTIDs on at the target only, the anonymous transactions of the source are given some.
    let with_gtid = Server::start(small(Product::Mysql97, Role::AuroraStandin)).await.unwrap();
    pair.admin = with_gtid.connect_admin().await.unwrap();
    pair.target = with_gtid;
    pair.set_source_by_position(&file, position).await;
    let given = "11111111-2222-3333-4444-555555555555";
    pair.call(&format!("rds_assign_gtids_to_anonymous_transactions('{given}')")).await;
    assert_eq!(pair.call("rds_start_replication()").await, RUNNING);
    pair.wait_for_ids(&[1, 2, 3]).await;
    let executed: String = one(&mut pair.admin, "SELECT @@global.gtid_executed").await;
    assert!(executed.contains(given), "{executed}");
}

#[tokio::test]
async fn the_procedures_configure_and_kill() {
    let server = start(Product::Mysql97, Role::AuroraStandin).await;
    let mut admin = server.connect_admin().await.unwrap();
    run(&mut admin, "CALL mysql.rds_set_configuration('binlog retention hours', 48)").await;
    let rows: Vec<(String, Option<String>, String)> =
        admin.query("CALL mysql.rds_show_configuration()").await.unwrap();
    let values: Vec<_> =
        rows.iter().map(|(name, value, _)| (name.as_str(), value.as_deref())).collect();
    let wanted = [
        ("binlog retention hours", Some("48")),
        ("source delay", Some("0")),
        ("target delay", Some("0")),
    ];
    assert_eq!(values, wanted);
    assert_eq!(
        one::<u32>(&mut admin, "SELECT @@global.binlog_expire_logs_seconds").await,
        48 * 3600
    );
    assert_eq!(
        refusal(&mut admin, "CALL mysql.rds_set_configuration('binlog retention hours', 2161)")
            .await,
        1644
    );
    run(&mut admin, "CALL mysql.rds_set_configuration('binlog retention hours', NULL)").await;

    run(&mut admin, "CREATE DATABASE app").await;
    run(&mut admin, "CREATE TABLE app.t (id INT PRIMARY KEY)").await;
    run(&mut admin, "CREATE USER 'app'@'%' IDENTIFIED BY 'App-1-pw'").await;
    run(&mut admin, "GRANT ALL PRIVILEGES ON app.* TO 'app'@'%'").await;
    let url = format!("mysql://app:App-1-pw@127.0.0.1:{}/app", server.port());
    let mut app = Conn::from_url(&url).await.unwrap();
    run(&mut admin, "CALL mysql.rds_set_read_only(1)").await;
    assert_eq!(refusal(&mut app, "INSERT INTO t VALUES (1)").await, 1290);
    // The trap: holders of CONNECTION_ADMIN write on.
    run(&mut admin, "INSERT INTO app.t VALUES (1)").await;
    run(&mut admin, "CALL mysql.rds_set_read_only(0)").await;
    run(&mut app, "INSERT INTO t VALUES (2)").await;

    let id = app.id();
    let busy = tokio::spawn(async move {
        let query = app.query_drop("SELECT SLEEP(1000)").await;
        (app, query)
    });
    until("the query runs", || async {
        let mut conn = server.connect_admin().await.unwrap();
        let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id={id} AND info LIKE 'SELECT SLEEP%'");
        one::<i64>(&mut conn, &sql).await == 1
    })
    .await;
    run(&mut admin, &format!("CALL mysql.rds_kill_query({id})")).await;
    // SLEEP answers 1 when it was interrupted, so the connection goes on.
    let (mut app, _) = busy.await.unwrap();
    run(&mut app, "DO 1").await;
    run(&mut admin, &format!("CALL mysql.rds_kill({id})")).await;
    until("the connection is gone", || async {
        let mut conn = server.connect_admin().await.unwrap();
        let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id={id}");
        one::<i64>(&mut conn, &sql).await == 0
    })
    .await;
}

#[tokio::test]
async fn the_mariadb_standin_replicates_and_denies() {
    let (source, target) = tokio::try_join!(
        Server::start(small(Product::Mariadb1011, Role::Source)),
        Server::start(small(Product::Mariadb1011, Role::AuroraStandin)),
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut at_source = source.connect_root().await.unwrap();
    let mut admin = target.connect_admin().await.unwrap();
    for sql in [
        "FLUSH TABLES WITH READ LOCK",
        "SET GLOBAL max_connections = 100",
        "SET SESSION sql_log_bin = 0",
        "STOP SLAVE",
    ] {
        assert_eq!(refusal(&mut admin, sql).await, 1227, "{sql}");
    }
    run(&mut admin, "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'").await;
    run(&mut admin, "CREATE DATABASE own").await;
    assert_eq!(refusal(&mut admin, "CREATE TABLE own.m (id INT) ENGINE=MyISAM").await, 1290);

    let row: Row = one(&mut at_source, "SHOW MASTER STATUS").await;
    let (file, position): (String, u64) = (row.get("File").unwrap(), row.get("Position").unwrap());
    for sql in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY)",
        "SET sql_log_bin = 0",
        "CREATE USER 'repl'@'%' IDENTIFIED BY 'Repl-1-pw'",
        "GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%'",
        "SET sql_log_bin = 1",
        "INSERT INTO app.t VALUES (1)",
    ] {
        run(&mut at_source, sql).await;
    }
    let port = source.port();
    let set = format!(
        "CALL mysql.rds_set_external_source('127.0.0.1', {port}, 'repl', 'Repl-1-pw', '{file}', {position}, 0)"
    );
    run(&mut admin, &set).await;
    assert_eq!(one::<String>(&mut admin, "CALL mysql.rds_start_replication()").await, RUNNING);
    let count = |wanted: i64| {
        let target = &target;
        until("the rows arrive", move || async move {
            let mut conn = target.connect_admin().await.unwrap();
            let rows: Result<Option<i64>, _> = conn.query_first("SELECT COUNT(*) FROM app.t").await;
            matches!(rows, Ok(Some(rows)) if rows == wanted)
        })
    };
    count(1).await;
    run(&mut admin, "INSERT INTO app.t VALUES (2)").await;
    run(&mut at_source, "INSERT INTO app.t VALUES (2)").await;
    until("the duplicate stops it", || async {
        let mut conn = target.connect_admin().await.unwrap();
        let row: Row = one(&mut conn, "SHOW SLAVE STATUS").await;
        row.get::<u32, _>("Last_SQL_Errno") == Some(1062)
    })
    .await;
    run(&mut admin, "CALL mysql.rds_skip_repl_error()").await;
    run(&mut at_source, "INSERT INTO app.t VALUES (3)").await;
    count(3).await;
    run(&mut at_source, "FLUSH BINARY LOGS").await;
    let (base, number) = file.rsplit_once('.').unwrap();
    let number: u32 = number.parse().unwrap();
    run(&mut admin, &format!("CALL mysql.rds_next_source_log({number}, '{base}')")).await;
    run(&mut at_source, "INSERT INTO app.t VALUES (4)").await;
    count(4).await;
    run(&mut admin, "CALL mysql.rds_stop_replication()").await;
    run(&mut admin, "CALL mysql.rds_reset_external_source()").await;
    let auto = format!(
        "CALL mysql.rds_set_external_source_with_auto_position('127.0.0.1', {port}, 'repl', 'Repl-1-pw', 0)"
    );
    run(&mut admin, &auto).await;
    run(&mut admin, "CALL mysql.rds_reset_external_source()").await;
    run(&mut admin, "CALL mysql.rds_set_configuration('binlog retention hours', 24)").await;
    let rows: Vec<Row> = admin.query("CALL mysql.rds_show_configuration()").await.unwrap();
    assert_eq!(rows.len(), 3);
    run(&mut admin, "CALL mysql.rds_set_read_only(1)").await;
    run(&mut admin, "CALL mysql.rds_set_read_only(0)").await;
    let other = target.connect_admin().await.unwrap();
    run(&mut admin, &format!("CALL mysql.rds_kill_query({})", other.id())).await;
    run(&mut admin, &format!("CALL mysql.rds_kill({})", other.id())).await;
}

#[tokio::test]
async fn the_mysql_56_source_has_no_standin_role() {
    let error = Server::start(small(Product::Mysql56, Role::AuroraStandin)).await.unwrap_err();
    assert!(matches!(error, RehearsalError::Unsupported { .. }), "{error}");
}
