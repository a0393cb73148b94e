//! Takes what daybreak kept of the migration off the target, its own database with the last one, and names what stays on the source.
//!
//! The source is closed when this runs, and stays as it is: what is left there is listed with the
//! statements that remove it, and nothing is run.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cut_over;
use crate::{
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    mysql::quote,
    select::OWN_DATABASE,
    source::prepare::{self, MadeAccount},
    sync::heartbeat,
    target::{objects::Aside, register},
};

/// The step's name.
pub const ID: &str = "clean_up";

/// Something of daybreak's that stays on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOnSource {
    /// `account`, `database` or `setting`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it stays.
    pub why: String,
    /// What removes it.
    pub sql: String,
}

/// The step that takes daybreak's own things off the target.
#[derive(Debug, Clone, Copy, Default)]
pub struct CleanUp;

#[async_trait]
impl Step for CleanUp {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "drop what daybreak kept on the target, name what stays on the source"
    }

    fn rollback(&self) -> &'static str {
        "none needed: nothing of the migrated data is touched"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut target = context.target().await?;
        let migration = context.plan()?.migration.clone();
        Ok(match heartbeat::owner(&mut target).await? {
            Some(owner) if owner != migration => vec![Finding {
                id: "target.daybreak_database".into(),
                severity: Severity::Blocker,
                objects: vec![OWN_DATABASE.into()],
                why: format!(
                    "the database `{OWN_DATABASE}` on the target belongs to migration {owner}, not to this one"
                ),
                remedy: "finish or undo that migration first".into(),
            }],
            _ => Vec::new(),
        })
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        let migration = context.plan()?.migration.clone();
        let left = left_on_source(context).await?;
        context.journal.record(ID, "left_on_source", &left)?;
        if let Some(owner) = heartbeat::owner(&mut target).await?
            && owner != migration
        {
            return Err(Error::new(
                Kind::State,
                format!("the database `{OWN_DATABASE}` belongs to migration {owner}"),
            )
            .at(target.place())
            .next("finish or undo that migration first"));
        }
        register::leave(&mut target, &migration).await?;
        // Read by nothing after the cutover; it may hold hashes of passwords.
        Aside::forget(&context.directory)?;
        for one in &left {
            context
                .events
                .info(format!("left on the source: {} {} ({})", one.kind, one.name, one.sql));
        }
        Ok(())
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let mut target = context.target().await?;
        if register::has(&mut target, &context.plan()?.migration).await? {
            return Err(Error::new(
                Kind::State,
                format!("the database `{OWN_DATABASE}` on the target still has this migration"),
            )
            .at(target.place())
            .next("`daybreak resume` drops it"));
        }
        Ok(())
    }

    async fn undo(&self, _context: &Context) -> Result<()> {
        // What was dropped were notes that nobody needs after the cutover.
        Ok(())
    }
}

async fn left_on_source(context: &Context) -> Result<Vec<LeftOnSource>> {
    let mut source = context.source().await?;
    let why = match cut_over::is_closed(&mut source).await? {
        true => {
            "the source takes no writes any more; open it to remove this, or leave it to be \
                 switched off with the server"
        }
        false => "the source is left as it is",
    };
    let mut left = Vec::new();
    let result: Option<cut_over::CutoverRecord> = context.journal.recall(cut_over::ID, "result")?;
    if result.is_some_and(|result| result.kept_closed) {
        left.push(LeftOnSource {
            kind: "setting".into(),
            name: "super_read_only".into(),
            why: "so that a restart doesn't open the source (SET GLOBAL read_only = OFF opens it for now)".into(),
            sql: "RESET PERSIST super_read_only".into(),
        });
    }
    if let Some(account) = context.journal.recall::<MadeAccount>(prepare::ID, "account")? {
        for name in account.each() {
            left.push(LeftOnSource {
                kind: "account".into(),
                why: why.into(),
                sql: format!("DROP USER {name}"),
                name,
            });
        }
    }
    if heartbeat::owner(&mut source).await?.as_deref() == Some(&context.plan()?.migration) {
        left.push(LeftOnSource {
            kind: "database".into(),
            name: OWN_DATABASE.into(),
            why: why.into(),
            sql: format!("DROP DATABASE {}", quote(OWN_DATABASE)),
        });
    }
    Ok(left)
}
