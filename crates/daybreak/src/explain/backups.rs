//! The rules by which backups are judged, explained. Why and remedy are the rules' own; here is how to make
//! sure.

use std::sync::LazyLock;

use super::{Doing::Migrating, Explanation};
use crate::{
    engine::Severity,
    transit::inspect::rules::{RULES, Rule},
};

/// An explanation for each rule.
pub(super) static TABLE: LazyLock<Vec<Explanation>> =
    LazyLock::new(|| RULES.iter().map(explained).collect());

fn explained(rule: &Rule) -> Explanation {
    Explanation {
        codes: &[],
        name: rule.id,
        doing: Migrating,
        says: &[],
        // Made once for each rule.
        title: title(rule).leak(),
        cause: format!("{} (source: {})", rule.why, rule.source).leak(),
        confirm: confirm(rule.id),
        remedy: rule.remedy,
    }
}

/// `page damaged, of a backup: a blocker`.
fn title(rule: &Rule) -> String {
    let what = rule.id.trim_start_matches("backup.").replace('_', " ");
    let word = |severity| match severity {
        Severity::Blocker => "a blocker",
        Severity::Warning => "a warning",
        Severity::Note => "a note",
    };
    let aurora = word(rule.aurora);
    match rule.any {
        Some(any) if any == rule.aurora => format!("{what}, of a backup: {aurora}"),
        Some(any) => {
            format!("{what}, of a backup: {aurora} for Amazon Aurora, {} otherwise", word(any))
        }
        None => format!("{what}, of a backup: {aurora} for Amazon Aurora"),
    }
}

const INSPECT: &str = "`daybreak backup inspect PATH` says by what the rule is broken; --json has all of it in `objects`";

/// How to make sure, apart from daybreak where there is a way.
fn confirm(id: &str) -> &'static [&'static str] {
    match id {
        "backup.page_damaged" => &[
            INSPECT,
            "the server's innochecksum FILE on the file that is named (of a backup that isn't compressed)",
            "at the source: CHECK TABLE DB.TABLE",
        ],
        "backup.damaged" | "backup.parts_missing" => &[
            INSPECT,
            "the archive's own tool: gzip -t FILE; tar -tf FILE; xbstream -x < FILE into an empty directory (which says \
             nothing of a stream that is cut between chunks)",
            "the sizes and sums of all parts where they came from",
        ],
        "backup.incomplete" | "backup.zero_lsn" | "backup.metadata" => &[
            INSPECT,
            "cat xtrabackup_checkpoints xtrabackup_info: both are there, to_lsn isn't 0",
            "the last line of the tool's log is `completed OK!` (daybreak keeps it as daybreak-NAME.log)",
        ],
        "backup.coordinates_differ"
        | "backup.coordinates_stale"
        | "backup.coordinates_unknown"
        | "backup.no_coordinates"
        | "backup.foreign_gtids" => &[
            INSPECT,
            "cat xtrabackup_binlog_info of the last incremental backup",
            "at the source: SHOW BINARY LOGS; SELECT @@log_bin",
        ],
        "backup.no_base"
        | "backup.link_missing"
        | "backup.base_prepared"
        | "backup.several_fulls"
        | "backup.superseded"
        | "backup.equal_lsn"
        | "backup.order"
        | "backup.mixed_servers" => &[
            INSPECT,
            "cat */xtrabackup_checkpoints: each from_lsn is the to_lsn of the link before",
            "`daybreak backup list DIR`, of backups that daybreak took",
        ],
        "backup.unread" | "backup.compressed" | "backup.encrypted" => &[
            INSPECT,
            "file names that end in .qp, .zst, .lz4 or .xbcrypt; grep tool_command xtrabackup_info",
        ],
        "backup.file_missing" | "backup.table_unfiled" | "backup.tables_unknown" => &[
            INSPECT,
            "at the source: SHOW TABLE STATUS FROM DB LIKE 'TABLE'",
            "`daybreak backup inspect PATH --list`: whether the table's files are there",
        ],
        "backup.partial" => &[
            INSPECT,
            "grep -E 'partial|tool_command' xtrabackup_info: --databases, --tables, --include and their kin",
        ],
        "backup.product" | "backup.server_version" | "backup.server_release" | "backup.tool" => &[
            INSPECT,
            "grep -E 'server_version|tool_' xtrabackup_info",
            "at the source: SELECT VERSION(), @@version_comment",
        ],
        "backup.tablespace_encrypted" => &[
            INSPECT,
            "at the source: SELECT NAME FROM information_schema.INNODB_TABLESPACES WHERE ENCRYPTION = 'Y' (5.7: \
             CREATE_OPTIONS LIKE '%ENCRYPTION%' in information_schema.TABLES)",
        ],
        "backup.data_directory" => &[
            INSPECT,
            "in the backup: find . -name '*.isl'; at the source: SHOW CREATE TABLE names DATA DIRECTORY",
        ],
        "backup.page_size" | "backup.data_files" | "backup.log_files" => &[
            INSPECT,
            "cat backup-my.cnf",
            "at the source: SELECT @@innodb_page_size, @@innodb_data_file_path, @@innodb_log_files_in_group",
        ],
        "backup.row_format" => &[
            INSPECT,
            "at the source: SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE ROW_FORMAT = 'Compressed'",
        ],
        "backup.page_compression" => &[
            INSPECT,
            "at the source: SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE CREATE_OPTIONS LIKE \
             '%COMPRESSION%'",
        ],
        "backup.myisam" | "backup.engine" | "backup.mysql_tables" => &[
            INSPECT,
            "at the source: SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE ENGINE <> 'InnoDB'",
        ],
        "backup.name"
        | "backup.part_names"
        | "backup.mixed_forms"
        | "backup.gzipped_xbstream"
        | "backup.incremental_form" => &[
            INSPECT,
            "the first bytes of a file: XBSTCK01 is an xbstream, 1f 8b gzip; `file FILE` knows tar",
            "aws s3 ls --recursive s3://BUCKET/PREFIX/: names and their order",
        ],
        "backup.files" | "backup.size" => {
            &[INSPECT, "find DIR -type f | wc -l; du -s --apparent-size DIR"]
        }
        "backup.secret" => {
            &[INSPECT, "grep -c tool_command xtrabackup_info, and look at it where nobody watches"]
        }
        _ => &[INSPECT],
    }
}
