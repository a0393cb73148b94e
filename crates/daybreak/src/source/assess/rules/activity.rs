//! What goes on at the source at this moment.

use super::{super::Survey, Estimates, Findings, few, span};

/// Prepared XA transactions, and transactions that are open for long.
pub(super) fn now(survey: &Survey, _: &Estimates, out: &mut Findings) {
    let activity = &survey.source.inventory.activity;
    if let Some(prepared) = activity.prepared.as_ref().filter(|ids| !ids.is_empty()) {
        out.blocker(
            "source.xa_prepared",
            prepared.clone(),
            format!(
                "XA transactions are prepared and not ended ({}): a snapshot would miss their rows",
                few(prepared)
            ),
            "XA RECOVER; shows them: end each with XA COMMIT or XA ROLLBACK",
        );
    }
    if let Some(long) = activity.long_transactions.as_ref().filter(|long| !long.is_empty()) {
        let objects: Vec<String> =
            long.iter().map(|(id, age)| format!("connection {id}, {}", span(*age))).collect();
        out.warning(
            "source.long_transactions",
            objects.clone(),
            format!(
                "transactions have been open for long ({}): the short lock for the snapshot waits for those \
                 that use its tables",
                few(&objects)
            ),
            "let them end before the copy begins, or KILL the connection",
        );
    }
}
