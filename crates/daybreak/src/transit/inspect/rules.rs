//! The rules by which a backup is judged, as data: each with what it weighs, why, the remedy and its source.
//!
//! When AWS changes a rule, this is the place. `AWS UG` is the Aurora User Guide, *Physical migration from
//! MySQL by using Percona XtraBackup and Amazon S3*; `AWS API` RestoreDBClusterFromS3; `inferred` is what
//! follows from them but isn't written there.

use crate::{
    engine::Severity::{self, Blocker, Note, Warning},
    transit::inspection::Profile,
};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// The finding's name.
    pub id: &'static str,
    /// What breaking it means for Amazon Aurora.
    pub aurora: Severity,
    /// What it means whatever the backup is for; none: nothing.
    pub any: Option<Severity>,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Who says so.
    pub source: &'static str,
}

impl Rule {
    /// What breaking it means by a profile; none: nothing.
    pub fn weight(&self, profile: Profile) -> Option<Severity> {
        match profile {
            Profile::Aurora => Some(self.aurora),
            Profile::Any => self.any,
        }
    }

    /// What to do while no backup was taken yet.
    pub fn beforehand(&self) -> &'static str {
        let again = [", then take the backup again", ", take the backup again"];
        again.iter().find_map(|end| self.remedy.strip_suffix(end)).unwrap_or(self.remedy)
    }
}

const UG: &str = "AWS UG";
const INFERRED: &str = "inferred";
const FORMAT: &str = "the format";
const TOOL: &str = "the tool";

const AGAIN: &str = "take the backup again, and send it by a way that checks what arrives";

macro_rules! rules {
    ($($id:literal $aurora:ident $any:expr, $source:expr, $why:expr, $remedy:expr;)*) => {
        &[$(Rule {
            id: $id,
            aurora: $aurora,
            any: $any,
            why: $why,
            remedy: $remedy,
            source: $source,
        }),*]
    };
}

/// All rules, those of wholeness first.
pub const RULES: &[Rule] = rules! {
    "backup.empty" Blocker Some(Blocker), FORMAT,
        "no backup is there", "name the backup's directory, its archive, or one of the archive's parts";
    "backup.damaged" Blocker Some(Blocker), FORMAT,
        "what is damaged or cut can't be restored, and may not fail before rows are missing", AGAIN;
    "backup.unsafe" Blocker Some(Blocker), FORMAT,
        "a backup holds files and directories of its own only; this one would write elsewhere",
        "don't unpack it; find out where it comes from, and take the backup again";
    "backup.parts_missing" Blocker Some(Blocker), FORMAT,
        "the stream can't be read without all of its parts", "bring the missing parts, or take the backup again";
    "backup.incomplete" Blocker Some(Blocker), TOOL,
        "the tool writes these files at its end: without them it was stopped before, although preparing such a \
         backup may say `completed OK!`",
        "take the backup again and look at the tool's log for `completed OK!` as its last line";
    "backup.metadata" Blocker Some(Blocker), TOOL,
        "the tool's own account of the backup can't be relied on", AGAIN;
    "backup.zero_lsn" Blocker Some(Blocker), TOOL,
        "a backup prepared without its checkpoints says full-prepared with LSNs of zero; its tables lack rows or \
         don't open",
        "take the backup again; a backup whose tool was killed can't be repaired";
    "backup.file_missing" Blocker Some(Blocker), FORMAT,
        "files that belong together aren't all there", AGAIN;
    "backup.file_damaged" Blocker Some(Blocker), FORMAT,
        "these files aren't as the server or the tool writes them", AGAIN;
    "backup.page_damaged" Blocker Some(Blocker), FORMAT,
        "these pages fit none of the checksums that InnoDB writes: a server would stop at them, or read nonsense",
        "take the backup again; if it says so again, CHECK TABLE at the source";
    "backup.unread" Blocker Some(Blocker), TOOL,
        "daybreak can't look into what the tool encrypted, or packed as .zst or .lz4: whether these files are whole \
         isn't known",
        "take the backup without --encrypt and --compress, or unpack it by the tool (--decrypt, --decompress) and \
         look at what comes out";
    "backup.oddities" Blocker Some(Blocker), TOOL,
        "the stream has chunks that only another tool than the one it names writes", AGAIN;
    "backup.no_base" Blocker Some(Blocker), TOOL,
        "an incremental backup holds changed pages only", "put the full backup, and all links between, beside it";
    "backup.link_missing" Blocker Some(Blocker), TOOL,
        "an incremental backup begins at the LSN where the one before it ends, and no link here ends there",
        "bring the missing link, or take the incremental again";
    "backup.base_prepared" Blocker Some(Blocker), TOOL,
        "nothing can be merged into a full backup that was prepared to the end",
        "use the full backup as it was before, or prepare it with --apply-log-only";
    "backup.several_fulls" Blocker Some(Blocker), INFERRED,
        "it can't be told which of the full backups is meant", "leave one full backup with its incrementals";
    "backup.superseded" Blocker Some(Warning), TOOL,
        "two incremental backups begin at the same LSN: only one can be merged, and the newest holds the other's pages",
        "take the older one out of the tree";
    "backup.equal_lsn" Blocker Some(Warning), INFERRED,
        "two incremental backups have the same LSN (no checkpoint was between them). Amazon orders by LSN; in the \
         wrong order every step succeeds and rows are lost",
        "merge the chain before it is uploaded, in the order given here, or take the later one again";
    "backup.order" Blocker Some(Warning), TOOL,
        "by LSN one link follows the other, by the time or the redo log it doesn't",
        "take the chain again, beginning with a full backup";
    "backup.coordinates_differ" Blocker Some(Blocker), TOOL,
        "replication would begin at a wrong place", "take the backup again";
    "backup.coordinates_stale" Warning Some(Warning), TOOL,
        "merged incrementals leave the full backup's position in its files: replication from there would apply \
         changes twice",
        "use the position that is given here, not xtrabackup_binlog_info of the merged backup";
    "backup.coordinates_unknown" Blocker Some(Warning), TOOL,
        "replication must begin at the position of the last incremental backup that was merged, and this backup \
         doesn't know it any more",
        "take the position from xtrabackup_binlog_info of the last incremental backup";
    "backup.no_coordinates" Warning Some(Warning), TOOL,
        "the backup names no position in the binary log: replication can't follow it",
        "turn log_bin on at the source and take the backup again, or accept a downtime";
    "backup.foreign_gtids" Note Some(Note), TOOL,
        "the GTIDs aren't MySQL's: only file and position can be used",
        "nothing: replication begins by file and position";
    "backup.unknown_file" Warning Some(Warning), INFERRED,
        "neither the server nor the tool is known to write these files; they may be misnamed",
        "look at them: take out what isn't the server's, or take the backup again";
    "backup.table_unfiled" Warning Some(Warning), INFERRED,
        "tables of InnoDB that have no file here, and nothing tells why: they were created or dropped while the tool \
         ran, or (of an incremental) lie in the system tablespace, or their files are lost",
        "look for them at the source, and whether they are there after the backup is prepared";
    "backup.tables_unknown" Note Some(Note), INFERRED,
        "the dictionary of MySQL 8.0 (mysql.ibd) isn't read: that a table's file was lost as a whole isn't seen",
        "nothing; verify compares every table after the restore";
    "backup.ignored_chunk" Warning Some(Warning), FORMAT,
        "the stream has chunks of a type that isn't known here, marked as ones that may be ignored",
        "look for a newer daybreak";
    "backup.mixed_servers" Blocker Some(Blocker), TOOL,
        "the links of a chain are of one server and its settings", "take the chain again, beginning with a full backup";

    // What Amazon Aurora takes.
    "backup.product" Blocker None, UG,
        "Aurora restores backups of MySQL only, of neither MariaDB nor Percona Server",
        "use the logical route";
    "backup.server_version" Blocker None, "AWS UG, AWS API",
        "Aurora restores backups of MySQL 5.7 (as version 2) and 8.0 (as version 3)",
        "upgrade the source to 5.7 or 8.0 before the backup, or use the logical route";
    "backup.server_release" Warning None, "Aurora release notes",
        "Aurora 3.05 and later refuse backups of this early release of 8.0",
        "upgrade the source within 8.0 before the backup, or use the logical route";
    "backup.tool" Blocker None, UG,
        "Aurora takes backups of Percona XtraBackup: 2.4 for MySQL 5.7; 8.0, not older than the server, for 8.0",
        "take the backup with that version";
    "backup.partial" Blocker None, UG,
        "Aurora refuses backups from which databases or tables were left out",
        "take it without --databases, --tables, --include and their kin, or use the logical route";
    "backup.compressed" Blocker None, "AWS UG, inferred",
        "Aurora doesn't unpack what the tool compressed",
        "take it without --compress; daybreak upload compresses tar itself";
    "backup.encrypted" Blocker None, "AWS UG, inferred",
        "Aurora doesn't decrypt what the tool encrypted",
        "take it without --encrypt; the bucket encrypts with SSE-S3 or SSE-KMS";
    "backup.compact" Blocker None, INFERRED,
        "a backup without secondary indexes (--compact) must be rebuilt by the tool before a server can use it",
        "take it without --compact";
    "backup.tablespace_encrypted" Blocker None, UG,
        "Aurora has no key for encrypted tablespaces",
        "ALTER TABLE ... ENCRYPTION='N' at the source, then take the backup again";
    "backup.data_directory" Blocker Some(Warning), UG,
        "tables outside the data directory: a restored server would look for them at their old path, and might \
         open a live file",
        "move them into the data directory (ALTER TABLE ... without DATA DIRECTORY, by a copy), then take the backup again";
    "backup.page_size" Blocker None, UG,
        "Aurora has pages of 16 KiB only", "use the logical route";
    "backup.data_files" Blocker None, UG,
        "Aurora wants exactly one system tablespace file, ibdata1:12M:autoextend", "use the logical route";
    "backup.log_files" Blocker None, UG,
        "Aurora wants innodb_log_files_in_group = 2 of MySQL 5.x",
        "set innodb_log_files_in_group = 2 at the source, restart it, take the backup again";
    "backup.row_format" Blocker None, UG,
        "ROW_FORMAT=COMPRESSED must be expanded first",
        "ALTER TABLE ... ROW_FORMAT=DYNAMIC at the source, then take the backup again";
    "backup.page_compression" Blocker None, UG,
        "page compression must be expanded first",
        "ALTER TABLE ... COMPRESSION='NONE' and OPTIMIZE TABLE at the source, then take the backup again";
    "backup.myisam" Warning None, UG,
        "tables of MyISAM become InnoDB: this takes time and space, and fails for some definitions",
        "ALTER TABLE ... ENGINE=InnoDB at the source beforehand, or look for RDS-EVENT-0077 after the restore";
    "backup.engine" Warning None, INFERRED,
        "Aurora isn't said to convert these engines (of MEMORY, a backup holds no rows)",
        "ALTER TABLE ... ENGINE=InnoDB at the source, or create them again after the restore";
    "backup.mysql_tables" Warning None, UG,
        "tables of users in the schema mysql aren't migrated", "move them into another database";
    "backup.not_migrated" Note None, UG,
        "accounts, functions, procedures and time zones aren't migrated by the restore",
        "daybreak brings them after the restore";
    "backup.gzipped_xbstream" Blocker None, UG,
        "Aurora reads `.gz` as tar: a gzipped xbstream fails with `This does not look like a tar archive`",
        "upload the xbstream itself; daybreak upload does";
    "backup.mixed_forms" Blocker Some(Warning), UG,
        "files, tar and xbstream beside each other: Aurora tells by the ending and fails on the mixture",
        "keep one form in a directory or prefix";
    "backup.incremental_form" Blocker None, UG,
        "Aurora takes incremental backups as directories only, with full and incrementals in one tree",
        "take the chain to directories, or extract it, and upload the tree";
    "backup.name" Warning None, UG,
        "Aurora tells by the ending what a file is, and this name doesn't say it",
        "name it .tar, .tar.gz or .xbstream; daybreak upload does";
    "backup.part_names" Warning None, "AWS UG, inferred",
        "parts must have the same order by name and by number, and Amazon's commands put no dot before the number",
        "name them as `split -d -a 5` does: backup.tar.gz00000; daybreak upload does";
    "backup.files" Blocker None, UG,
        "more than 1,000,000 files", "make a tar of it; daybreak upload offers that";
    "backup.size" Blocker None, UG,
        "Aurora takes at most 64 TiB", "use the logical route, or more than one cluster";
    "backup.secret" Warning Some(Warning), TOOL,
        "xtrabackup_info holds a password in tool_command",
        "blank it before the backup leaves this machine; daybreak upload does, of directories";
};

/// The one form of the system tablespace. Source: AWS UG.
pub const DATA_FILE_PATH: &str = "ibdata1:12m:autoextend";
/// Releases that newer versions of Aurora refuse. Source: Aurora release notes.
pub const REFUSED_RELEASES: &[(u64, u64, u64)] = &[(8, 0, 11), (8, 0, 13), (8, 0, 15)];

/// A server that Aurora takes, and the tool that it wants for it.
#[derive(Debug)]
pub struct Accepted {
    /// The server's major and minor version.
    pub server: (u64, u64),
    /// The tool's.
    pub tool: (u64, u64),
    /// Whether the tool mustn't be of an older release than the server.
    pub not_older: bool,
}

/// Source: AWS UG. MySQL 5.5 and 5.6 went to Aurora version 1, which is retired; 8.4 isn't accepted.
pub const ACCEPTED: &[Accepted] = &[
    Accepted { server: (5, 7), tool: (2, 4), not_older: false },
    Accepted { server: (8, 0), tool: (8, 0), not_older: true },
];

/// The rule of a name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No finding is lost because its rule isn't in the table, and no rule stands there without a use.
    #[test]
    fn every_rule_is_held_and_every_finding_has_one() {
        let code = [
            include_str!("mod.rs"),
            include_str!("server.rs").split("#[cfg(test)]").next().unwrap(),
            include_str!("chain.rs"),
            include_str!("judge.rs"),
            include_str!("judge/aurora.rs"),
            include_str!("judge/content.rs"),
            include_str!("judge/tables.rs"),
        ]
        .concat();
        let used: std::collections::BTreeSet<&str> =
            code.split('"').filter(|text| text.starts_with("backup.")).collect();
        let known: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(known.len(), RULES.len(), "a name twice");
        assert_eq!(used, known);
    }

    /// Nobody is told to take a backup again that wasn't taken yet.
    #[test]
    fn what_to_do_beforehand_names_no_backup_again() {
        for id in [
            "backup.row_format",
            "backup.page_compression",
            "backup.tablespace_encrypted",
            "backup.data_directory",
            "backup.log_files",
        ] {
            let rule = rule(id).unwrap();
            assert!(rule.remedy.contains("again") && !rule.beforehand().contains("again"), "{id}");
        }
    }
}
