//! How much the source writes while the migration goes on, for the report: a migration under load is
//! another thing than one of a sleeping server, and the write stop shows.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::Context,
    error::Result,
    mysql::{Session, Side},
};

/// The figure's name in the journal: rows inserted, updated and deleted since the server was started.
pub const METRIC: &str = "source_rows_changed";

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long to wait after it couldn't be asked.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Notes the source's activity for as long as it is polled. Nothing depends on it: what goes wrong is
/// written to the log, and tried again.
pub async fn watch(context: Arc<Context>) {
    loop {
        if let Err(error) = sample(&context).await {
            tracing::debug!(%error, "the source's activity isn't known");
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

async fn sample(context: &Context) -> Result<()> {
    let mut session = Session::open(&context.config.source, Side::Source).await?;
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let mut changed = 0u64;
        for row in session
            .rows(
                "SHOW GLOBAL STATUS WHERE Variable_name IN \
                 ('Innodb_rows_inserted', 'Innodb_rows_updated', 'Innodb_rows_deleted')",
            )
            .await?
        {
            changed += session.field::<u64>(&row, "Value")?;
        }
        context.journal.measure(METRIC, changed as f64)?;
    }
}
