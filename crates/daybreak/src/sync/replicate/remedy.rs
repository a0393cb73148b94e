//! A replica's own errors, turned into ours. What they mean is in [`crate::explain`].

use super::status::{ReplicaStatus, ThreadError, without_secrets};
use crate::{
    error::{Error, Kind, Result},
    explain::{self, Doing, Explanation},
    mysql::Session,
};

/// What is known of an error number of a replica.
pub fn explanation(error: &ThreadError) -> Option<&'static Explanation> {
    explain::of_code(u16::try_from(error.code).ok()?, &error.text, Doing::Replicating)
}

/// Whether a receiver's error may pass by itself: a network that went away for a moment.
pub fn passing(error: &ThreadError) -> bool {
    matches!(error.code, 2003 | 2005 | 2002 | 2013 | 2006 | 1159 | 1158 | 1160 | 1161)
}

/// Turns a replica's own error into ours: number, text, and what is known of it.
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
    match explanation(error) {
        Some(known) => failed.next(known.hint()),
        None => failed,
    }
}

/// What a worker of MySQL says that stopped because another one failed.
const FOLLOWED: &str = "3030, 1756";

/// The error that stopped a replica, if one did, and what it was doing. A coordinator only says that a
/// worker failed; the worker's own words are fetched where the server has them: of the first that failed
/// by itself. MariaDB's status has those words itself.
pub async fn stopped_by(
    target: &mut Session,
    status: &ReplicaStatus,
) -> Result<Option<(ThreadError, &'static str)>> {
    if let Some(error) = &status.apply_error {
        let mut error = error.clone();
        if target.dialect().mysql_from(8, 0, 0) {
            let asked = target
                .rows(format!(
                    "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE \
                     FROM performance_schema.replication_applier_status_by_worker \
                     WHERE LAST_ERROR_NUMBER <> 0 AND CHANNEL_NAME = '' \
                     ORDER BY LAST_ERROR_NUMBER IN ({FOLLOWED}), LAST_ERROR_TIMESTAMP LIMIT 1"
                ))
                .await;
            // performance_schema may be off or closed to the account: the coordinator's words do.
            if let Ok(Some(row)) = asked.map(|rows| rows.into_iter().next()) {
                error.code = target.column(&row, 0)?.unwrap_or(error.code);
                let text: Option<String> = target.column(&row, 1)?;
                error.text = text.map_or(error.text, |text| without_secrets(&text));
            }
        }
        return Ok(Some((error, "while applying")));
    }
    Ok(status.receive_error.clone().map(|error| (error, "while fetching from the source")))
}

/// The failure that a status tells of, if it tells of one.
pub async fn failure_of(target: &mut Session, status: &ReplicaStatus) -> Result<Option<Error>> {
    let stopped = stopped_by(target, status).await?;
    Ok(stopped.map(|(error, doing)| failure(&error, doing).at(target.place())))
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
    fn a_statement_about_accounts_is_known() {
        let explained = |code, query: &str| {
            let text = format!("Error 'no' on query. Default database: ''. Query: '{query}'");
            explanation(&ThreadError { code, text }).map(|one| one.name)
        };
        let known = Some("account statement");
        assert_eq!(explained(1064, "GRANT ALL ON x.* TO 'u'@'h' IDENTIFIED BY '...'"), known);
        assert_eq!(explained(1396, "CREATE USER 'u'@'h' IDENTIFIED BY PASSWORD '...'"), known);
        assert_ne!(explained(1396, "DROP VIEW v"), known);
        assert_ne!(explained(1064, "CREATE TABLE granted (id INT)"), known);
    }

    #[test]
    fn the_usual_ones_are_explained() {
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
