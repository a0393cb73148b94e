//! The usual troubles of a replica: what each number means here and what to do about it.
//!
//! Source: MySQL error reference, and what was seen with the servers of the rehearsal.

use super::status::{ReplicaStatus, ThreadError};
use crate::{
    error::{Error, Kind, Result},
    mysql::Session,
};

/// What to do about an error number of a replica, if it is one of the usual ones.
pub fn remedy(code: u32, text: &str) -> Option<&'static str> {
    Some(match code {
        1236 if text.contains("purged")
            || text.contains("could not find")
            || text.contains("Could not find") =>
        {
            "the source no longer has the binary log that the target needs: keep its logs longer \
             (binlog_expire_logs_seconds, or `binlog retention hours` on RDS), then \
             `daybreak undo --to prepare_source` and run again for a new snapshot"
        }
        1236 => {
            "the source can't serve the position that the target asked for: compare it with SHOW BINARY LOGS \
             on the source; if it isn't there, `daybreak undo --to prepare_source` and run again for a new snapshot"
        }
        1045 | 1130 | 1698 | 1251 | 2059 | 2061 => {
            "the source refused the replication account: check that it may log in from the target's address \
             (replication.account_host; an anonymous ''@'localhost' account of old servers catches such logins), \
             its password, and TLS (replication.tls; without TLS caching_sha2_password needs the public key)"
        }
        2003 | 2005 | 2002 | 2013 | 2006 => {
            "the target can't reach the source: set replication.source_host and source_port as the target sees \
             them, and open the source's firewall to the target, then `daybreak resume`"
        }
        2026 => {
            "TLS to the source failed: import its certificates (mysql.rds_import_binlog_ssl_material) or set \
             replication.tls = false"
        }
        13117 | 1782 => {
            "the source's transactions have no GTIDs and the target insists on them: set the target's gtid_mode \
             to OFF_PERMISSIVE (Aurora: parameter gtid-mode of the cluster), or switch GTIDs on at the source"
        }
        1781 => {
            "the source's transactions have GTIDs and the target takes none: switch GTIDs on at the target \
             (Aurora: gtid-mode and enforce_gtid_consistency), or off at the source"
        }
        13121 | 1593 => {
            "this source's events aren't understood by the target: native replication is no way for this pair"
        }
        1062 => {
            "a row that the source inserted is on the target already: somebody wrote to the target, or it was \
             started from too early a position; find out which before anything is skipped, or copy again \
             (`daybreak undo --to prepare_source`, then run)"
        }
        1032 => {
            "a row that the source changed isn't on the target: somebody deleted it there, or it was started \
             from too late a position; copy again (`daybreak undo --to prepare_source`, then run)"
        }
        1146 | 1049 => {
            "a change is for a table that isn't on the target: native replication carries every table of the \
             source; create it there, or take it into the selection and copy again"
        }
        1064 => {
            "a statement of the source isn't understood by the target's version: run its modern form on the \
             target by hand, then skip that one transaction"
        }
        1227 => {
            "the target's account for replication lacks a privilege that a statement of the source needs"
        }
        _ => return None,
    })
}

/// Whether a receiver's error may pass by itself: a network that went away for a moment.
pub fn passing(error: &ThreadError) -> bool {
    matches!(error.code, 2003 | 2005 | 2002 | 2013 | 2006 | 1159 | 1158 | 1160 | 1161)
}

/// Turns a replica's own error into ours: number, text, and the remedy when it is a usual one.
pub fn failure(error: &ThreadError, doing: &str) -> Error {
    let text: String = error.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let failed = Error::new(
        Kind::Replication,
        format!("replication failed {doing}: {} ({text})", error.code),
    );
    let failed = match u16::try_from(error.code) {
        Ok(code) => failed.with_code(code),
        Err(_) => failed,
    };
    match remedy(error.code, &error.text) {
        Some(remedy) => failed.next(remedy),
        None => failed,
    }
}

/// The failure that a status tells of, if it tells of one. A coordinator only says that a worker
/// failed; the worker's own words are fetched where the server has them.
pub async fn failure_of(target: &mut Session, status: &ReplicaStatus) -> Result<Option<Error>> {
    if let Some(error) = &status.apply_error {
        let mut error = error.clone();
        if target.dialect().mysql_from(8, 0, 0) {
            let asked = target
                .rows(
                    "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE \
                     FROM performance_schema.replication_applier_status_by_worker \
                     WHERE LAST_ERROR_NUMBER <> 0 AND CHANNEL_NAME = '' \
                     ORDER BY LAST_ERROR_TIMESTAMP LIMIT 1",
                )
                .await;
            // performance_schema may be off or closed to the account: the coordinator's words do.
            if let Ok(Some(row)) = asked.map(|rows| rows.into_iter().next()) {
                error.code = target.column(&row, 0)?.unwrap_or(error.code);
                error.text = target.column(&row, 1)?.unwrap_or(error.text);
            }
        }
        return Ok(Some(failure(&error, "while applying").at(target.place())));
    }
    Ok(status
        .receive_error
        .as_ref()
        .map(|error| failure(error, "while fetching from the source").at(target.place())))
}

/// Why a replication that is set up doesn't run, and what makes it run again.
pub async fn stopped(target: &mut Session, status: &ReplicaStatus) -> Result<(String, String)> {
    const GO_ON: &str = "`daybreak replicate start`, then `daybreak resume`";
    Ok(match failure_of(target, status).await? {
        Some(error) => (
            error.what().to_string(),
            match error.next_step() {
                Some(next) => format!("{next}; once that is mended, {GO_ON}"),
                None => GO_ON.to_string(),
            },
        ),
        None => ("replication is stopped".to_string(), GO_ON.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ones_name_a_remedy() {
        for code in [1236, 1045, 2003, 13117, 1062, 1032, 1146] {
            assert!(remedy(code, "").is_some(), "{code}");
        }
        let error = failure(
            &ThreadError { code: 1062, text: "Duplicate entry\n '1'".into() },
            "while applying",
        );
        assert_eq!((error.kind(), error.code()), (Kind::Replication, Some(1062)));
        assert!(
            error
                .to_string()
                .starts_with("replication failed while applying: 1062 (Duplicate entry '1')")
        );
        assert!(error.next_step().is_some_and(|next| next.contains("on the target already")));
    }
}
