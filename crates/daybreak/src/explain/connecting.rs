//! Reaching a server, logging in, and staying connected.

use super::{Doing::Connecting, Explanation};

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        codes: &[2005],
        name: "CR_UNKNOWN_HOST",
        doing: Connecting,
        says: &[],
        title: "the host's name doesn't resolve",
        cause: "the name is misspelt, or this machine's (a replica's: the target's) DNS doesn't know it",
        confirm: &[
            "on the machine that connects: getent hosts HOST",
            "for a replica, on the target: SHOW REPLICA STATUS (Source_Host, Last_IO_Error)",
        ],
        remedy: "correct the host, or give an address that both machines know (replication.source_host for the replica)",
    },
    Explanation {
        codes: &[2003, 2002],
        name: "CR_CONN_HOST_ERROR",
        doing: Connecting,
        says: &[],
        title: "nothing answers at that host and port",
        cause: "the server is down, listens elsewhere (port, bind_address), or a firewall or security group is in between",
        confirm: &[
            "on the server: SELECT @@port, @@bind_address, @@skip_networking",
            "on the machine that connects: nc -vz HOST PORT",
        ],
        remedy: "check host, port and firewall from the machine that connects, then run the same command again; a replica \
                 tries again by itself. What the target connects to is replication.source_host and source_port",
    },
    Explanation {
        codes: &[1045, 1698],
        name: "ER_ACCESS_DENIED_ERROR",
        doing: Connecting,
        says: &[],
        title: "the server refused user or password",
        cause: "the password is wrong, the account isn't for the address that connects, or an anonymous account \
                (''@'localhost', on old servers) caught the login",
        confirm: &[
            "on the server: SELECT User, Host, plugin FROM mysql.user ORDER BY User, Host",
            "logged in by any way: SELECT USER(), CURRENT_USER()  -- the second is the account that matched",
        ],
        remedy: "check user and password (DAYBREAK_SOURCE_PASSWORD, DAYBREAK_TARGET_PASSWORD, --source-password-file, \
                 --target-password-file or --defaults-file) and the account's host; DROP USER ''@'localhost' if it caught \
                 the login",
    },
    Explanation {
        codes: &[1130],
        name: "ER_HOST_NOT_PRIVILEGED",
        doing: Connecting,
        says: &[],
        title: "no account may log in from that address",
        cause: "every account's host part excludes the address that connects",
        confirm: &["on the server: SELECT User, Host FROM mysql.user"],
        remedy: "CREATE USER (or RENAME USER) with a host part that holds that address, such as 'user'@'10.0.%'",
    },
    Explanation {
        codes: &[1129],
        name: "ER_HOST_IS_BLOCKED",
        doing: Connecting,
        says: &[],
        title: "the server blocks this address after failed connections",
        cause: "more than max_connect_errors connections from there were cut before they were set up",
        confirm: &[
            "on the server: SELECT IP, HOST, SUM_CONNECT_ERRORS FROM performance_schema.host_cache",
        ],
        remedy: "find out what cut them (a health check, a firewall), then TRUNCATE TABLE performance_schema.host_cache \
                 (before 8.0: FLUSH HOSTS)",
    },
    Explanation {
        codes: &[1040, 1203, 1226],
        name: "ER_CON_COUNT_ERROR",
        doing: Connecting,
        says: &[],
        title: "the server takes no more connections",
        cause: "max_connections, or the account's own limit, is reached",
        confirm: &[
            "on the server: SELECT @@max_connections, @@max_user_connections; SHOW STATUS LIKE 'Threads_connected'",
        ],
        remedy: "lower threads in [copy] and [verify], or raise the limit, then run the same command again",
    },
    Explanation {
        codes: &[2026, 3159],
        name: "CR_SSL_CONNECTION_ERROR",
        doing: Connecting,
        says: &[],
        title: "TLS couldn't be agreed on, or is demanded",
        cause: "the server offers no TLS, demands it, or shows a certificate that the ca=FILE doesn't vouch for",
        confirm: &[
            "on the server: SELECT @@require_secure_transport; SHOW STATUS LIKE 'Ssl_%not_after'",
        ],
        remedy: "give the right ca=FILE, or choose another tls= mode in the server's URL; for replication set replication.tls, \
                 and on Aurora import the source's certificates (mysql.rds_import_binlog_ssl_material)",
    },
    Explanation {
        codes: &[2059, 2061, 1251],
        name: "CR_AUTH_PLUGIN_CANNOT_LOAD",
        doing: Connecting,
        says: &[],
        title: "the two sides share no way to log in",
        cause: "the account's authentication plugin isn't known to the client or the replica, or caching_sha2_password is used \
                without TLS and without the server's public key",
        confirm: &["on the server: SELECT User, Host, plugin FROM mysql.user WHERE User = 'USER'"],
        remedy: "use TLS, or let the replica ask for the public key (GET_SOURCE_PUBLIC_KEY = 1), or give the account a plugin \
                 that both know (mysql_native_password for MariaDB and old servers)",
    },
    Explanation {
        codes: &[2006, 2013, 4031],
        name: "CR_SERVER_GONE_ERROR",
        doing: Connecting,
        says: &[],
        title: "a connection that worked is gone",
        cause: "the server was restarted or crashed, closed an idle session (wait_timeout), met a packet above \
                max_allowed_packet, or a proxy or firewall cut the line",
        confirm: &[
            "on the server: SHOW STATUS LIKE 'Uptime'; SELECT @@wait_timeout, @@net_write_timeout, @@max_allowed_packet",
            "the server's error log at that time",
        ],
        remedy: "check that the server is up, then go on with `daybreak resume`; if it comes again, raise what the server's \
                 log names (max_allowed_packet, net_read_timeout, net_write_timeout, wait_timeout)",
    },
    Explanation {
        codes: &[2020],
        name: "CR_NET_PACKET_TOO_LARGE",
        doing: Connecting,
        says: &[],
        title: "a row or statement is larger than max_allowed_packet",
        cause: "one row, or one event of the binary log, doesn't fit into the packet that client or server allows",
        confirm: &[
            "on both servers: SELECT @@max_allowed_packet, @@replica_max_allowed_packet",
            "on the source: SELECT MAX(LENGTH(COLUMN)) FROM TABLE, for its large columns",
        ],
        remedy: "raise max_allowed_packet on both servers to 1073741824 (on the replica replica_max_allowed_packet too), then \
                 `daybreak resume`",
    },
    Explanation {
        codes: &[1820, 1862],
        name: "ER_MUST_CHANGE_PASSWORD",
        doing: Connecting,
        says: &[],
        title: "the account's password has expired",
        cause: "the server lets the account do nothing but set a new password",
        confirm: &[
            "on the server: SELECT User, Host, password_expired, password_lifetime FROM mysql.user WHERE User = 'USER'",
        ],
        remedy: "ALTER USER 'USER'@'HOST' IDENTIFIED BY '...', or PASSWORD EXPIRE NEVER for the time of the migration",
    },
    Explanation {
        codes: &[3118],
        name: "ER_ACCOUNT_HAS_BEEN_LOCKED",
        doing: Connecting,
        says: &[],
        title: "the account is locked",
        cause: "ACCOUNT LOCK was set, or too many failed logins locked it for a time",
        confirm: &["on the server: SHOW CREATE USER 'USER'@'HOST'"],
        remedy: "ALTER USER 'USER'@'HOST' ACCOUNT UNLOCK, then run the same command again",
    },
];
