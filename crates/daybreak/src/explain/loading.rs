//! Reading the source and writing to the target.

use super::{Doing::Loading, Explanation};

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        codes: &[3854],
        name: "ER_CANNOT_CONVERT_STRING",
        doing: Loading,
        says: &[],
        title: "the server can't show somebody's statement",
        cause: "MySQL 8.0 and later answer no query of information_schema.PROCESSLIST, INNODB_TRX or sys.innodb_lock_waits while \
                any statement there has a character of four bytes in it",
        confirm: &["SHOW FULL PROCESSLIST  -- this shows them"],
        remedy: "ask again when that statement has ended, or performance_schema.processlist and events_transactions_current instead",
    },
    Explanation {
        codes: &[1227],
        name: "ER_SPECIFIC_ACCESS_DENIED_ERROR",
        doing: Loading,
        says: &["SYSTEM_USER"],
        title: "a definer is a system account",
        cause: "the object's definer has SYSTEM_USER on the target, in whose name only such accounts may define",
        confirm: &["on the target: SHOW GRANTS FOR 'DEFINER'@'HOST'"],
        remedy: "set [copy] definer = \"current\", then `daybreak resume`",
    },
    Explanation {
        codes: &[1227],
        name: "ER_SPECIFIC_ACCESS_DENIED_ERROR",
        doing: Loading,
        says: &["SET_USER_ID", "SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"],
        title: "the account may not set this definer",
        cause: "the object belongs to another account than the one that creates it, or to one that the target doesn't have",
        confirm: &[
            "on the source: SELECT DEFINER FROM information_schema.ROUTINES (TRIGGERS, VIEWS, EVENTS)",
            "on the target: SHOW GRANTS; SELECT User, Host FROM mysql.user",
        ],
        remedy: "create the definer on the target and grant daybreak's account SET_ANY_DEFINER and ALLOW_NONEXISTENT_DEFINER \
                 (SET_USER_ID before 8.4), or set [copy] definer = \"current\"",
    },
    Explanation {
        codes: &[1227],
        name: "ER_SPECIFIC_ACCESS_DENIED_ERROR",
        doing: Loading,
        says: &[],
        title: "a privilege is missing that the message names",
        cause: "the account lacks it; on managed servers SUPER and its parts aren't to be had, and procedures (mysql.rds_*) or \
                the parameter group take their place",
        confirm: &["on the server that refused: SHOW GRANTS FOR CURRENT_USER()"],
        remedy: "grant the privilege and try again; `daybreak assess` lists them all",
    },
    Explanation {
        codes: &[1044, 1142, 1143, 1370],
        name: "ER_TABLEACCESS_DENIED_ERROR",
        doing: Loading,
        says: &[],
        title: "a privilege on a database, table or routine is missing",
        cause: "the account was not granted what the message names, or has it for other databases only",
        confirm: &["on the server that refused: SHOW GRANTS FOR CURRENT_USER()"],
        remedy: "grant the privilege and try again; `daybreak assess` lists them all",
    },
    Explanation {
        codes: &[1064],
        name: "ER_PARSE_ERROR",
        doing: Loading,
        says: &[],
        title: "a definition isn't understood by the target's version",
        cause: "the source's version prints syntax that the target dropped (sql_modes, GRANT .. IDENTIFIED BY), or that only \
                another product knows",
        confirm: &[
            "on the source: SHOW CREATE TABLE (VIEW, PROCEDURE, ..) NAME",
            "on both: SELECT VERSION(), @@sql_mode",
        ],
        remedy: "change the object at the source into what both understand, `daybreak undo --to prepare_source`, then \
                 `daybreak resume`",
    },
    Explanation {
        codes: &[1049, 1146],
        name: "ER_NO_SUCH_TABLE",
        doing: Loading,
        says: &[],
        title: "a database or table isn't there",
        cause: "it was dropped or renamed since the plan was made, isn't in the selection, or lower_case_table_names differs",
        confirm: &[
            "on both: SHOW TABLES FROM `DATABASE`",
            "on both: SELECT @@lower_case_table_names",
        ],
        remedy: "put it back at the source, or take it out of [select]; what was begun on the target goes with `daybreak undo`",
    },
    Explanation {
        codes: &[28, 1021, 1041, 1878, 3],
        name: "ER_DISK_FULL",
        doing: Loading,
        says: &[],
        title: "no space left on a disk of the server",
        cause: "data, temporary files (sorting for an index) or binary logs filled the disk; operating system error 28 is the \
                same",
        confirm: &[
            "on the server: SELECT @@datadir, @@tmpdir, @@innodb_tmpdir; SHOW BINARY LOGS",
            "on its machine: df -h; on Aurora the metric FreeLocalStorage",
        ],
        remedy: "free space on the target, its temporary directory (innodb_tmpdir, tmpdir) included, then `daybreak resume`",
    },
    Explanation {
        codes: &[],
        name: "disk-waiting",
        doing: Loading,
        says: &["waiting for someone to free space"],
        title: "the server waits for room on its disk",
        cause: "where a binary log or a temporary file finds no room MySQL doesn't fail: it tries again every minute, and its \
                clients wait with it. Only its error log says so",
        confirm: &[
            "on the server (MySQL 8.0.22 and later): SELECT LOGGED, DATA FROM performance_schema.error_log WHERE ERROR_CODE = \
             'MY-000035' ORDER BY LOGGED DESC LIMIT 3",
            "on its machine: df -h; tail the error log",
        ],
        remedy: "free space there: within a minute the server, and daybreak with it, goes on by itself",
    },
    Explanation {
        codes: &[1114],
        name: "ER_RECORD_FILE_FULL",
        doing: Loading,
        says: &[],
        title: "the table is full",
        cause: "the disk or tablespace is full, a MEMORY table or an internal temporary table reached its limit, or a MyISAM \
                table its pointer size",
        confirm: &[
            "on the server: SELECT @@tmp_table_size, @@max_heap_table_size, @@innodb_data_file_path",
            "on its machine: df -h",
        ],
        remedy: "free space (see error 28), or raise the limit that the table reached, then `daybreak resume`",
    },
    Explanation {
        codes: &[126, 127, 1034, 1035, 144, 145, 1194, 1195],
        name: "ER_NOT_KEYFILE",
        doing: Loading,
        says: &[],
        title: "a table's index file is damaged",
        cause: "a MyISAM or Aria table was not closed in order (a crash), or the temporary disk was full while it was sorted",
        confirm: &[
            "on the server that says so: CHECK TABLE `DATABASE`.`TABLE`; its error log",
            "on its machine: df -h",
        ],
        remedy: "REPAIR TABLE it on the source (from a backup if that fails), or convert it to InnoDB, then `daybreak resume`; \
                 on a temporary table: free space in tmpdir",
    },
    Explanation {
        codes: &[1062, 1586],
        name: "ER_DUP_ENTRY",
        doing: Loading,
        says: &[],
        title: "a unique key has that value already",
        cause: "the target held rows before the copy, somebody writes to it, or its collation takes two values of the source \
                for equal",
        confirm: &[
            "on both: SELECT * FROM TABLE WHERE KEY = VALUE",
            "on both: SHOW CREATE TABLE TABLE  -- collations",
        ],
        remedy: "keep writers away from the target, `daybreak undo --to prepare_source`, then `daybreak resume` copies anew",
    },
    Explanation {
        codes: &[1205, 3572],
        name: "ER_LOCK_WAIT_TIMEOUT",
        doing: Loading,
        says: &[],
        title: "a lock was not granted in time",
        cause: "another session holds the row, table or metadata lock for longer than the wait allows",
        confirm: &[
            "on the server: SELECT trx_mysql_thread_id, trx_started, trx_query FROM information_schema.INNODB_TRX ORDER BY trx_started",
            "on MySQL 5.7 and later: SELECT * FROM sys.innodb_lock_waits; SELECT * FROM sys.schema_table_lock_waits",
        ],
        remedy: "try again when the long transactions of the server have ended, or end them (KILL)",
    },
    Explanation {
        codes: &[1213],
        name: "ER_LOCK_DEADLOCK",
        doing: Loading,
        says: &[],
        title: "the server rolled a transaction back: deadlock",
        cause: "two transactions waited for each other; the whole of one was rolled back, and nothing of it is there",
        confirm: &["on the server: SHOW ENGINE INNODB STATUS  -- LATEST DETECTED DEADLOCK"],
        remedy: "run the same command again: daybreak repeats the whole transaction; if it stays, keep other writers off the \
                 target or lower threads",
    },
    Explanation {
        codes: &[1412],
        name: "ER_TABLE_DEF_CHANGED",
        doing: Loading,
        says: &[],
        title: "a table's definition changed under the snapshot",
        cause: "DDL ran at the source while its rows were read; the snapshot can't show the table any more",
        confirm: &[
            "on the source: SELECT TABLE_NAME, CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'DATABASE' ORDER BY CREATE_TIME DESC",
        ],
        remedy: "run `daybreak resume`: it takes a new snapshot and copies again what changed; hold DDL back meanwhile",
    },
    Explanation {
        codes: &[3024, 1969, 1317],
        name: "ER_QUERY_TIMEOUT",
        doing: Loading,
        says: &[],
        title: "a statement was ended: too long, or killed",
        cause: "max_execution_time (MariaDB: max_statement_time), a KILL, or a tool that ends long queries",
        confirm: &[
            "on the server: SELECT @@GLOBAL.max_execution_time  -- MariaDB: @@GLOBAL.max_statement_time",
        ],
        remedy: "take daybreak's account out of whatever ends long queries, then `daybreak resume`; smaller chunks ([copy] \
                 chunk_mib, [verify] chunk_rows) help too",
    },
    Explanation {
        codes: &[1290, 1836],
        name: "ER_OPTION_PREVENTS_STATEMENT",
        doing: Loading,
        says: &[],
        title: "the server is read only, or an option forbids the statement",
        cause: "read_only or super_read_only is on (a replica, a reader endpoint, a source that was cut over), or another option \
                that the message names",
        confirm: &["on the server: SELECT @@read_only, @@super_read_only, @@hostname"],
        remedy: "connect to the writer; a source that this migration closed stays closed after the cutover, else switch \
                 read_only off there",
    },
    Explanation {
        codes: &[1418, 1419],
        name: "ER_BINLOG_UNSAFE_ROUTINE",
        doing: Loading,
        says: &[],
        title: "a function or trigger can't be made while the binary log is on",
        cause: "the target writes a binary log, and log_bin_trust_function_creators is off: a function must be declared \
                DETERMINISTIC, NO SQL or READS SQL DATA, and the account needs SUPER",
        confirm: &["on the target: SELECT @@log_bin, @@log_bin_trust_function_creators"],
        remedy: "set log_bin_trust_function_creators = 1 on the target (on Aurora in the cluster's parameter group), then \
                 `daybreak resume`",
    },
    Explanation {
        codes: &[3546],
        name: "ER_CANT_SET_GTID_PURGED_DUE_SETS_CONSTRAINT",
        doing: Loading,
        says: &[],
        title: "gtid_purged can't take the source's GTIDs",
        cause: "some of them are in the target's gtid_executed already, from an earlier migration or from replication",
        confirm: &[
            "on the target: SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged",
            "on the source: SELECT @@GLOBAL.gtid_executed",
        ],
        remedy: "use a target without these GTIDs (a new cluster; RESET BINARY LOGS AND GTIDS on a server of your own that \
                 nothing replicates from), or set [replication] position = \"file\"",
    },
    Explanation {
        codes: &[1148, 3948],
        name: "ER_CLIENT_LOCAL_FILES_DISABLED",
        doing: Loading,
        says: &[],
        title: "the target takes no LOAD DATA LOCAL",
        cause: "local_infile is off; rows travel that way, without a file",
        confirm: &["on the target: SELECT @@local_infile"],
        remedy: "set local_infile = 1 on the target (on Aurora in the cluster's parameter group)",
    },
    Explanation {
        codes: &[1301],
        name: "ER_WARN_ALLOWED_PACKET_OVERFLOWED",
        doing: Loading,
        says: &[],
        title: "a computed value is larger than the server's max_allowed_packet",
        cause: "values travel in pieces, however large; but a server prints a JSON document, and computes a generated column, \
                as one value, and no such value may be larger than a packet",
        confirm: &[
            "on both: SELECT @@max_allowed_packet",
            "on the source: SELECT KEY, JSON_STORAGE_SIZE(COLUMN) FROM TABLE ORDER BY 2 DESC LIMIT 1",
        ],
        remedy: "raise max_allowed_packet on that server (1073741824 is the most; connections that are open keep the old \
                 value), then `daybreak resume`",
    },
    Explanation {
        codes: &[1153],
        name: "ER_NET_PACKET_TOO_LARGE",
        doing: Loading,
        says: &[],
        title: "a packet is larger than the server's max_allowed_packet",
        cause: "a statement doesn't fit into one packet of the server",
        confirm: &["on both: SELECT @@max_allowed_packet"],
        remedy: "raise max_allowed_packet on that server (1073741824 is the most), then `daybreak resume`",
    },
    Explanation {
        codes: &[1273, 1115],
        name: "ER_UNKNOWN_COLLATION",
        doing: Loading,
        says: &[],
        title: "the target doesn't know a character set or collation",
        cause: "the source is of another product (uca1400 collations) or a newer version (0900 collations)",
        confirm: &[
            "on the source: SELECT DISTINCT COLLATION_NAME FROM information_schema.COLUMNS",
            "on the target: SHOW COLLATION",
        ],
        remedy: "convert the columns at the source first, or choose a newer target",
    },
    Explanation {
        codes: &[1449],
        name: "ER_NO_SUCH_USER",
        doing: Loading,
        says: &[],
        title: "a definer doesn't exist",
        cause: "a view, routine, trigger or event belongs to an account that isn't on that server",
        confirm: &[
            "on the server: SELECT User, Host FROM mysql.user",
            "on the source: SELECT DEFINER FROM information_schema.VIEWS (ROUTINES, TRIGGERS, EVENTS)",
        ],
        remedy: "create the account on the target, or set [copy] definer = \"current\"",
    },
    Explanation {
        codes: &[1822, 6125],
        name: "ER_FK_NO_INDEX_PARENT",
        doing: Loading,
        says: &[],
        title: "a foreign key points to columns without a unique key",
        cause: "older versions allowed it, newer ones don't by default",
        confirm: &[
            "on the source: SHOW CREATE TABLE of the child and of the parent",
            "on the target: SELECT @@restrict_fk_on_non_standard_key",
        ],
        remedy: "set restrict_fk_on_non_standard_key to OFF in the target's parameter group, or make the key unique at the \
                 source",
    },
    Explanation {
        codes: &[1197],
        name: "ER_TRANS_CACHE_FULL",
        doing: Loading,
        says: &[],
        title: "a transaction is larger than max_binlog_cache_size",
        cause: "a chunk, or a transaction of the source, doesn't fit into the binary log's cache",
        confirm: &[
            "on the server: SELECT @@max_binlog_cache_size; SHOW STATUS LIKE 'Binlog_cache_disk_use'",
        ],
        remedy: "raise max_binlog_cache_size, or lower [copy] chunk_mib, then `daybreak resume`",
    },
];
