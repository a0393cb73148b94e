//! The target's replica: fetching from the source, applying, and doing neither.

use super::{Doing::Replicating, Explanation};

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["could not find first log file"],
        title: "the source's binary log file is gone",
        cause: "the file that the target asks for was purged, or the source's log was begun anew (RESET)",
        confirm: &[
            "on the source: SHOW BINARY LOGS",
            "on the target: SHOW REPLICA STATUS (Source_Log_File)",
        ],
        remedy: "keep the source's logs longer (binlog_expire_logs_seconds, or `binlog retention hours` on RDS), then \
                 `daybreak undo --to prepare_source` and run again for a new snapshot",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["purged binary logs", "purged", "required by the replica"],
        title: "the source no longer has transactions that the target needs",
        cause: "the binary logs that hold them were purged before the target had fetched them",
        confirm: &[
            "on the source: SELECT @@GLOBAL.gtid_purged; SHOW BINARY LOGS",
            "on the target: SELECT GTID_SUBTRACT('the source''s gtid_purged', @@GLOBAL.gtid_executed)  -- what is missing",
        ],
        remedy: "keep its logs longer (binlog_expire_logs_seconds, or `binlog retention hours` on RDS), then \
                 `daybreak undo --to prepare_source` and run again for a new snapshot",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &[
            "impossible position",
            "position > file size",
            "bogus data in log event",
            "event too small",
        ],
        title: "the source's log doesn't have that position",
        cause: "the source crashed and lost the end of its log (sync_binlog is not 1), the file was begun anew, or the position \
                was told wrong and lies within an event",
        confirm: &[
            "on the source: SHOW BINARY LOGS; SHOW BINLOG EVENTS IN 'FILE' FROM POSITION LIMIT 3",
            "on the target: SHOW REPLICA STATUS (Source_Log_File, Read_Source_Log_Pos)",
        ],
        remedy: "if the file is shorter than the position, the source lost writes that the target may have: compare with \
                 `daybreak verify`, then `daybreak undo --to prepare_source` and run again for a new snapshot; set \
                 sync_binlog = 1",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["more gtids than"],
        title: "the target has GTIDs of the source that the source hasn't",
        cause: "the source crashed and lost transactions that it had sent (sync_binlog is not 1), its history was reset, or it \
                was restored from an older backup under the same server_uuid",
        confirm: &[
            "on both: SELECT @@GLOBAL.gtid_executed",
            "on the source: SELECT @@server_uuid, @@sync_binlog",
        ],
        remedy: "the two histories have parted: `daybreak verify` names the rows; `daybreak undo --to prepare_source` and run \
                 again for a new snapshot on a target without these GTIDs",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["max_allowed_packet"],
        title: "an event is larger than max_allowed_packet",
        cause: "one event of the source's log (a large row) doesn't fit into a packet; a damaged log or a wrong position looks \
                the same",
        confirm: &[
            "on the source: SELECT @@max_allowed_packet",
            "on the target: SELECT @@replica_max_allowed_packet",
        ],
        remedy: "raise max_allowed_packet on the source and replica_max_allowed_packet on the target to 1073741824, then \
                 `daybreak replicate start`",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["checksum", "log event crc", "read error", "i/o error reading log"],
        title: "the source can't read its own log",
        cause: "the binary log file is damaged, or its disk is",
        confirm: &[
            "on the source: SHOW BINLOG EVENTS IN 'FILE' FROM POSITION LIMIT 3; its error log",
            "mysqlbinlog --verify-binlog-checksum FILE",
        ],
        remedy: "mend the source's disk first; then `daybreak undo --to prepare_source` and run again for a new snapshot",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &["same server_uuid", "same server_id", "server_uuid/server_id"],
        title: "another replica has the target's identity",
        cause: "two replicas of the source have the same server_id or server_uuid, and throw each other out",
        confirm: &[
            "on the source: SHOW REPLICAS",
            "on the target: SELECT @@server_id, @@server_uuid",
        ],
        remedy: "give each replica its own server_id, and remove auto.cnf of a cloned data directory before it starts",
    },
    Explanation {
        codes: &[1236, 13114],
        name: "ER_SOURCE_FATAL_ERROR_READING_BINLOG",
        doing: Replicating,
        says: &[],
        title: "the source can't send its log from where the target asks",
        cause: "the file or position isn't in the source's log; the message says which of the cases it is",
        confirm: &[
            "on the source: SHOW BINARY LOGS",
            "on the target: SHOW REPLICA STATUS (Source_Log_File, Read_Source_Log_Pos, Last_IO_Error)",
        ],
        remedy: "compare the position with SHOW BINARY LOGS on the source; if it isn't there, `daybreak undo --to \
                 prepare_source` and run again for a new snapshot",
    },
    Explanation {
        codes: &[1062],
        name: "ER_DUP_ENTRY",
        doing: Replicating,
        says: &[],
        title: "a row that the source inserted is on the target already",
        cause: "a row that the source inserted is on the target already: somebody wrote to the target, or replication was \
                started from too early a position",
        confirm: &[
            "on the target: SELECT LAST_ERROR_MESSAGE, APPLYING_TRANSACTION FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0",
            "on both: SELECT * FROM TABLE WHERE KEY = VALUE  -- the key that the message names",
            "on the target: SHOW BINLOG EVENTS (its own server_id), for who wrote there",
        ],
        remedy: "find out which before anything is skipped: a row of the target's own is deleted there, then `daybreak replicate \
                 start`; otherwise copy again (`daybreak undo --to prepare_source`, then run). `daybreak verify` names what \
                 else differs",
    },
    Explanation {
        codes: &[1062],
        name: "ER_DUP_ENTRY",
        doing: Replicating,
        says: &["Update_rows"],
        title: "a row gets a value of a unique key that another row on the target has still",
        cause: "a row was to get a value of a unique key that another row on the target has still: either somebody wrote to the \
                target, or replication was started from too early a position, or the table has no key without NULL and one \
                statement of the source moved values of its unique key between rows, whose order the target doesn't keep there",
        confirm: &[
            "on the source: SHOW CREATE TABLE of the table that the message names: has it a primary key, or a unique one whose columns are all NOT NULL?",
            "on the target: SELECT LAST_ERROR_MESSAGE, APPLYING_TRANSACTION FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0",
            "mysqlbinlog -vv --include-gtids=.. FILE of the source: the rows of that UPDATE, in their order",
        ],
        remedy: "if the table has no key without NULL: on the target ALTER TABLE .. DROP INDEX of the key that the message names, \
                 `daybreak replicate start`, and when it has caught up make the key there again. Otherwise find out who has the value \
                 before anything is skipped: a row of the target's own is deleted there, then `daybreak replicate start`; \
                 else copy again (`daybreak undo --to prepare_source`, then run). `daybreak verify` names what else differs",
    },
    Explanation {
        codes: &[1032],
        name: "ER_KEY_NOT_FOUND",
        doing: Replicating,
        says: &[],
        title: "a row that the source changed isn't on the target",
        cause: "a row that the source changed isn't on the target: somebody deleted it there, replication was started from too \
                late a position, or a table without a key holds it in another form",
        confirm: &[
            "on the target: SELECT LAST_ERROR_MESSAGE, APPLYING_TRANSACTION FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0",
            "mysqlbinlog -vv --start-position=.. FILE of the source: the row before its change; then on the target: SELECT .. WHERE its key",
        ],
        remedy: "put the row back on the target as the source had it before the change, then `daybreak replicate start`; or copy \
                 again (`daybreak undo --to prepare_source`, then run). `daybreak verify` names what else differs",
    },
    Explanation {
        codes: &[1146, 1049],
        name: "ER_NO_SUCH_TABLE",
        doing: Replicating,
        says: &[],
        title: "a change is for a table that isn't on the target",
        cause: "native replication carries every table of the source, those that weren't taken too",
        confirm: &[
            "on the target: SHOW TABLES FROM `DATABASE`; SHOW REPLICA STATUS (Last_SQL_Error)",
            "[select] in daybreak.toml",
        ],
        remedy: "create it there, or take it into the selection and copy again (`daybreak undo`, then run)",
    },
    Explanation {
        codes: &[1064, 1133, 1396, 1410, 3162],
        name: "account statement",
        doing: Replicating,
        // The replica repeats the statement.
        says: &[
            "query: 'grant",
            "query: 'revoke",
            "query: 'create user",
            "query: 'drop user",
            "query: 'alter user",
            "query: 'rename user",
            "query: 'set password",
        ],
        title: "a statement about an account was run at the source",
        cause: "the account isn't on the target, is there already, or the statement is of a form that ended with MySQL 8.0 \
                (GRANT .. IDENTIFIED BY). The logical route takes no accounts along; the physical route takes them as they \
                were at the backup's end, and statements about them follow by replication",
        confirm: &["on the target: SHOW REPLICA STATUS (Last_SQL_Error names the statement)"],
        remedy: "a statement about an account was run at the source: if it is wanted and its effect isn't on the target, run \
                 its modern form there (CREATE USER, then GRANT). Then skip that one statement on the target (CALL \
                 mysql.rds_skip_repl_error; elsewhere SET GLOBAL sql_replica_skip_counter = 1; START REPLICA;), then \
                 `daybreak resume`, and leave accounts alone at the source until the cutover",
    },
    Explanation {
        codes: &[1064],
        name: "ER_PARSE_ERROR",
        doing: Replicating,
        says: &[],
        title: "a statement of the source isn't understood by the target's version",
        cause: "DDL and account statements travel as text: GRANT .. IDENTIFIED BY of a 5.x source, for one, ended with 8.0",
        confirm: &[
            "on the target: SHOW REPLICA STATUS (Last_SQL_Error names the statement)",
            "on the source: SHOW BINLOG EVENTS IN 'FILE' FROM POSITION LIMIT 3",
        ],
        remedy: "run its modern form on the target by hand, then skip that one transaction (mysql.rds_skip_repl_error; by GTID: \
                 an empty transaction with its GTID)",
    },
    Explanation {
        codes: &[1227, 1142, 1044],
        name: "ER_SPECIFIC_ACCESS_DENIED_ERROR",
        doing: Replicating,
        says: &[],
        title: "the applier may not do what the source did",
        cause: "the replica applies with the rights of its PRIVILEGE_CHECKS_USER (on Aurora: of rdsrepladmin), which lack what \
                a statement of the source needs",
        confirm: &[
            "on the target: SHOW REPLICA STATUS (Last_SQL_Error)",
            "on the target: SELECT PRIVILEGE_CHECKS_USER FROM performance_schema.replication_applier_configuration",
        ],
        remedy: "do what the statement does by hand with an account that may, then skip that one transaction; keep account \
                 statements off the source until the cutover",
    },
    Explanation {
        codes: &[1396, 1410, 1133],
        name: "ER_CANNOT_USER",
        doing: Replicating,
        says: &[],
        title: "an account statement can't be applied",
        cause: "CREATE USER, DROP USER or GRANT of the source meets other accounts on the target: the logical route takes \
                none along, the physical one couldn't make this one (the report names it), or somebody made or dropped it \
                on the target",
        confirm: &[
            "on both: SELECT User, Host FROM mysql.user",
            "on the target: SHOW REPLICA STATUS (Last_SQL_Error)",
        ],
        remedy: "make the target's accounts such that the statement holds (create or drop the account it names), then \
                 `daybreak replicate start`",
    },
    Explanation {
        codes: &[1677, 13146],
        name: "ER_REPLICA_CONVERSION_FAILED",
        doing: Replicating,
        says: &[],
        title: "a column has another type on the target",
        cause: "the row's column can't be converted to the target's without loss, since somebody altered one of the two tables",
        confirm: &[
            "on both: SHOW CREATE TABLE TABLE",
            "on the target: SELECT @@replica_type_conversions",
        ],
        remedy: "alter the target's column to the source's type, then `daybreak replicate start`",
    },
    Explanation {
        codes: &[1205, 1213],
        name: "ER_LOCK_WAIT_TIMEOUT",
        doing: Replicating,
        says: &[],
        title: "the applier waits for locks on the target",
        cause: "another session of the target holds rows or metadata that the source's changes need, and the applier's retries \
                (replica_transaction_retries) ran out",
        confirm: &[
            "on the target: SELECT * FROM sys.innodb_lock_waits; SHOW PROCESSLIST; SELECT @@replica_transaction_retries",
        ],
        remedy: "end the session that holds the lock (nobody should write to the target), then `daybreak replicate start`",
    },
    Explanation {
        codes: &[28, 1021, 1114, 1041],
        name: "ER_DISK_FULL",
        doing: Replicating,
        says: &[],
        title: "the target's disk is full while it follows",
        cause: "relay logs, the target's own binary log or the data filled the disk",
        confirm: &[
            "on the target: SELECT @@relay_log_basename, @@relay_log_space_limit; SHOW BINARY LOGS; SHOW REPLICA STATUS (Relay_Log_Space)",
        ],
        remedy: "free space on the target, then `daybreak replicate start`; purge its binary logs that nothing needs",
    },
    Explanation {
        codes: &[126, 127, 1034, 145, 1194, 1195],
        name: "ER_NOT_KEYFILE",
        doing: Replicating,
        says: &[],
        title: "a table of the target is damaged",
        cause: "a MyISAM or Aria table of the target was not closed in order, or the temporary disk was full",
        confirm: &["on the target: CHECK TABLE `DATABASE`.`TABLE`; its error log"],
        remedy: "REPAIR TABLE on the target, then `daybreak replicate start` and `daybreak verify` for that table",
    },
    Explanation {
        codes: &[1045, 1130, 1698, 1251, 2059, 2061],
        name: "ER_ACCESS_DENIED_ERROR",
        doing: Replicating,
        says: &[],
        title: "the source refused the replication account",
        cause: "the account may not log in from the target's address, its password is another, an anonymous ''@'localhost' account \
                of old servers caught the login, or caching_sha2_password without TLS lacks the public key",
        confirm: &[
            "on the source: SELECT User, Host, plugin FROM mysql.user ORDER BY User, Host; SHOW GRANTS FOR the account",
            "on the target: SHOW REPLICA STATUS (Source_User, Last_IO_Error)",
        ],
        remedy: "check that it may log in from the target's address (replication.account_host), its password (the password_file \
                 in [replication]) and TLS (replication.tls), then `daybreak resume`",
    },
    Explanation {
        codes: &[2003, 2005, 2002, 2006, 2013],
        name: "CR_CONN_HOST_ERROR",
        doing: Replicating,
        says: &[],
        title: "the target can't reach the source (Connecting)",
        cause: "the source's host or port as the target sees them are others, a firewall is in between, or the source is down",
        confirm: &[
            "on the target: SHOW REPLICA STATUS (Replica_IO_Running: Connecting; Source_Host, Source_Port, Last_IO_Error)",
            "on the source: SELECT @@port, @@bind_address, @@skip_networking",
        ],
        remedy: "set replication.source_host and source_port as the target sees them, and open the source's firewall to the \
                 target, then `daybreak resume`; what was a network that went away passes by itself",
    },
    Explanation {
        codes: &[2026],
        name: "CR_SSL_CONNECTION_ERROR",
        doing: Replicating,
        says: &[],
        title: "TLS from the target to the source failed",
        cause: "the target lacks the source's CA and client certificates, or the source offers no TLS",
        confirm: &[
            "on the source: SHOW STATUS LIKE 'Ssl_server_not_after'; SELECT @@require_secure_transport",
        ],
        remedy: "import its certificates (mysql.rds_import_binlog_ssl_material) or set replication.tls = false",
    },
    Explanation {
        codes: &[2020],
        name: "CR_NET_PACKET_TOO_LARGE",
        doing: Replicating,
        says: &[],
        title: "an event is larger than the target takes",
        cause: "one event of the source's log doesn't fit into replica_max_allowed_packet",
        confirm: &[
            "on the target: SELECT @@replica_max_allowed_packet",
            "on the source: SELECT @@max_allowed_packet",
        ],
        remedy: "raise replica_max_allowed_packet on the target to 1073741824, then `daybreak replicate start`",
    },
    Explanation {
        codes: &[13117, 1593],
        name: "ER_REPLICA_FATAL_ERROR",
        doing: Replicating,
        says: &["equal mysql server ids", "equal mysql server uuids"],
        title: "source and target have the same identity",
        cause: "server_id (or server_uuid, after a data directory was copied) is the same on both, so that the target takes the \
                source's changes for its own",
        confirm: &["on both: SELECT @@server_id, @@server_uuid"],
        remedy: "give the target another server_id; remove auto.cnf of a copied data directory and restart that server; then \
                 `daybreak resume`",
    },
    Explanation {
        codes: &[13117, 1782, 1593],
        name: "ER_CANT_SET_GTID_NEXT_TO_ANONYMOUS_WHEN_GTID_MODE_IS_ON",
        doing: Replicating,
        says: &[],
        title: "the source's transactions have no GTIDs and the target insists on them",
        cause: "gtid_mode is ON on the target and OFF at the source, which sends transactions without a number",
        confirm: &["on both: SELECT @@GLOBAL.gtid_mode, @@GLOBAL.enforce_gtid_consistency"],
        remedy: "set the target's gtid_mode to OFF_PERMISSIVE (Aurora: parameter gtid-mode of the cluster), or switch GTIDs on \
                 at the source",
    },
    Explanation {
        codes: &[1781],
        name: "ER_CANT_SET_GTID_NEXT_TO_GTID_WHEN_GTID_MODE_IS_OFF",
        doing: Replicating,
        says: &[],
        title: "the source's transactions have GTIDs and the target takes none",
        cause: "gtid_mode is OFF on the target and ON at the source",
        confirm: &["on both: SELECT @@GLOBAL.gtid_mode, @@GLOBAL.enforce_gtid_consistency"],
        remedy: "switch GTIDs on at the target (Aurora: gtid-mode and enforce_gtid_consistency), or off at the source",
    },
    Explanation {
        codes: &[13121, 1594],
        name: "ER_REPLICA_RELAY_LOG_READ_FAILURE",
        doing: Replicating,
        says: &[],
        title: "the target can't read an event",
        cause: "the source's events aren't of a kind that the target knows (a MariaDB source), or the relay log is damaged",
        confirm: &[
            "on the source: SELECT VERSION()  -- MariaDB into MySQL: native replication is no way",
            "on the target: SHOW REPLICA STATUS (Relay_Log_File); mysqlbinlog --verify-binlog-checksum that file",
        ],
        remedy: "from MariaDB: set [replication] mode = \"none\" and accept a downtime. Otherwise, with GTIDs: `daybreak undo \
                 --to objects`, then `daybreak resume` sets replication up again, and the target fetches what it lacks. By file \
                 and position copy again (`daybreak undo --to prepare_source`, then run): after RESET REPLICA it would begin \
                 with the source's first log, and apply again what it has",
    },
    Explanation {
        codes: &[1872, 1201, 13124],
        name: "ER_REPLICA_RLI_INIT_REPOSITORY",
        doing: Replicating,
        says: &[],
        title: "the replica can't read where it stands",
        cause: "its tables (mysql.slave_relay_log_info) or relay logs were removed or restored from elsewhere",
        confirm: &["on the target: SELECT * FROM mysql.slave_relay_log_info; its error log"],
        remedy: "with GTIDs: `daybreak undo --to objects`, then `daybreak resume` sets replication up again, and the target \
                 fetches what it lacks. By file and position nobody knows how far it came: copy again (`daybreak undo --to \
                 prepare_source`, then run), and never RESET REPLICA, after which it begins with the source's first log",
    },
    Explanation {
        codes: &[],
        name: "relay-space",
        doing: Replicating,
        says: &["free enough relay log space", "relay log space"],
        title: "the receiver waits for the applier to free relay log space",
        cause: "relay_log_space_limit is reached: the target fetches faster than it applies. If one transaction alone is larger \
                than the limit, it waits for ever",
        confirm: &[
            "on the target: SHOW PROCESSLIST (State: Waiting for the replica SQL thread to free enough relay log space)",
            "on the target: SELECT @@relay_log_space_limit; SHOW REPLICA STATUS (Relay_Log_Space), twice: does Exec_Source_Log_Pos move?",
        ],
        remedy: "if it moves, wait: it isn't stuck. If not, set relay_log_space_limit = 0 (it needs a restart, on RDS the \
                 parameter group), then `daybreak replicate start`",
    },
    Explanation {
        codes: &[],
        name: "query-cache",
        doing: Replicating,
        says: &["invalidating query cache"],
        title: "the applier spends its time invalidating the query cache",
        cause: "with a large query cache (servers before 8.0, MariaDB) every change of a table walks through its entries under one \
                mutex",
        confirm: &[
            "on the replica: SHOW PROCESSLIST (State: invalidating query cache entries), SELECT @@query_cache_size, @@query_cache_type",
        ],
        remedy: "SET GLOBAL query_cache_size = 0, GLOBAL query_cache_type = OFF on that server until the cutover",
    },
    Explanation {
        codes: &[],
        name: "replication-slow",
        doing: Replicating,
        says: &[],
        title: "replication is slow, and works",
        cause: "the position doesn't move for a while because one transaction is large, or a table without a key is searched for \
                every row",
        confirm: &[
            "on the target, twice, a minute apart: SHOW REPLICA STATUS (Exec_Source_Log_Pos, Executed_Gtid_Set)",
            "on the target, twice: SELECT trx_rows_modified, trx_rows_locked FROM information_schema.INNODB_TRX  -- growing: it is busy",
            "on the target: SELECT * FROM performance_schema.replication_applier_status_by_worker; SHOW PROCESSLIST",
        ],
        remedy: "wait; raise stalled_after in [replication]. Faster: a primary key for the table at the source, \
                 replica_parallel_workers, and innodb_flush_log_at_trx_commit = 2 on the target until the cutover",
    },
    Explanation {
        codes: &[],
        name: "replication-stuck",
        doing: Replicating,
        says: &[],
        title: "replication is stuck",
        cause: "nothing moves: the position stands still, and the applier's transaction changes no more rows, as it waits for a \
                lock (metadata, rows, FLUSH TABLES WITH READ LOCK) or for a disk",
        confirm: &[
            "on the target, twice, a minute apart: SHOW REPLICA STATUS (Exec_Source_Log_Pos) and SELECT trx_rows_modified FROM information_schema.INNODB_TRX: both stand still",
            "on the target: SHOW PROCESSLIST (State: Waiting for .. lock), SELECT * FROM sys.schema_table_lock_waits",
        ],
        remedy: "end what the applier waits for (KILL the session that holds the lock, free the disk); it goes on by itself",
    },
];
