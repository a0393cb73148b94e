//! What daybreak itself says.

use super::{Doing::Migrating, Explanation};

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        codes: &[],
        name: "write_stop_exceeded",
        doing: Migrating,
        says: &["writes were stopped for"],
        title: "the cutover outlasted its write stop and was put back",
        cause: "the target didn't get where it had to within max_write_stop: it was behind, a hook took long, or a server didn't \
                answer",
        confirm: &[
            "`daybreak report`: the cutover's entries say what was being waited for",
            "`daybreak replicate wait`: how long it takes now",
        ],
        remedy: "the source takes writes again; raise --max-write-stop or find out what held it up, then `daybreak cutover`",
    },
    Explanation {
        codes: &[],
        name: "hook",
        doing: Migrating,
        says: &["before_write_stop", "after_target_open", "on_abort", "before_open"],
        title: "a hook of yours failed, was too late, or said no",
        cause: "the command in [hooks] ended with another code than 0, or took longer than its timeout and was ended",
        confirm: &[
            "daybreak.log has what it printed; `daybreak report --json` has how it ended",
            "run the command by hand with DAYBREAK_EVENT set",
        ],
        remedy: "before_write_stop: nothing was changed, `daybreak cutover` tries again once it agrees. after_target_open: the target \
                 is open and stays so, do by hand what the hook should have done",
    },
    Explanation {
        codes: &[],
        name: "different",
        doing: Migrating,
        says: &["the sides differ"],
        title: "source and target hold different things",
        cause: "somebody wrote to the target, DDL ran on one side only, or rows changed between a copy without replication and now",
        confirm: &[
            "`daybreak verify` names tables and keys",
            "on both: SELECT the row by the key that is named",
        ],
        remedy: "find out what wrote there and keep it out; then `daybreak undo --to prepare_source` and run again, or put the \
                 named rows right on the target; `daybreak resume` compares anew",
    },
    Explanation {
        codes: &[],
        name: "not_exact",
        doing: Migrating,
        says: &["could not be hashed"],
        title: "a chunk didn't arrive as it was sent",
        cause: "the target warned, or took another number of rows: its definition, sql_mode or a trigger differs",
        confirm: &[
            "on both: SHOW CREATE TABLE TABLE; SHOW TRIGGERS",
            "on the target: SELECT @@sql_mode, @@max_allowed_packet",
        ],
        remedy: "the chunk was rolled back; compare the table's definition on both sides, mend it, then `daybreak resume`",
    },
    Explanation {
        codes: &[],
        name: "snapshot_lost",
        doing: Migrating,
        says: &[],
        title: "the snapshot can't be read any more",
        cause: "DDL ran at the source, or the snapshot's connection was cut",
        confirm: &[
            "on the source: SELECT TABLE_NAME, CREATE_TIME FROM information_schema.TABLES ORDER BY CREATE_TIME DESC LIMIT 5; SHOW STATUS LIKE 'Uptime'",
        ],
        remedy: "run `daybreak resume`: it takes a new snapshot, proves what was copied and copies again what changed",
    },
    Explanation {
        codes: &[],
        name: "blocked",
        doing: Migrating,
        says: &["can't begin"],
        title: "a check found blockers",
        cause: "something named above would make the step fail or lose data",
        confirm: &[
            "`daybreak assess` (before) or `daybreak cutover --dry-run` (at the end) shows each with its remedy",
        ],
        remedy: "remove the blockers that are named above, then try again",
    },
    Explanation {
        codes: &[],
        name: "journal",
        doing: Migrating,
        says: &[],
        title: "the journal is damaged or can't be written",
        cause: "the disk of the migration's directory is full or failing, the file was changed by hand, or another process holds it",
        confirm: &[
            "df -h DIR; ls -l DIR",
            "sqlite3 DIR/journal.db 'PRAGMA integrity_check'  -- on a copy",
        ],
        remedy: "nothing was changed that isn't written down; keep the directory, free space, then the same command again",
    },
    Explanation {
        codes: &[],
        name: "two_histories",
        doing: Migrating,
        says: &["both sides may have been written"],
        title: "both sides were written after an interrupted cutover",
        cause: "daybreak or its machine died after the target was opened, the source's lock died with it, and writers reached both",
        confirm: &[
            "on both: SHOW BINARY LOG STATUS (SHOW MASTER STATUS before 8.4)",
            "mysqlbinlog from the positions that the error names",
        ],
        remedy: "decide which side's writes stay, and bring the other's over by hand from its binary log; the error names both \
                 positions",
    },
];
