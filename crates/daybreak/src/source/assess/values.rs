//! Values that can't be brought over as they are, and of which no definition tells: rows are looked for that
//! hold one, where a column could.

use std::time::{Duration, Instant};

use super::orphans::in_time;
use crate::{
    error::Result,
    mysql::{Catalog, ChunkKey, Dialect, Session, Table, quote},
    target::document,
};

/// How long is looked in all; what is left then is told by the copy.
const LIMIT: Duration = Duration::from_secs(300);

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    /// JSON values that text doesn't carry, where no key names the row in which to set them.
    Json,
    /// An ENUM's number 0, of which MariaDB warns however it is given it.
    NoMember,
}

/// A column that could hold such a value.
#[derive(Debug, Clone)]
pub(super) struct OddValues {
    pub odd: Odd,
    pub column: String,
    /// Whether a row does; none where the server didn't say in time.
    pub found: Option<bool>,
}

/// Looks at the source's rows, as far as a target of this dialect asks for it.
pub(super) async fn read(
    session: &mut Session,
    catalog: &Catalog,
    target: Option<&Dialect>,
) -> Result<Vec<OddValues>> {
    let (from_maria, to_maria) =
        (session.dialect().is_mariadb(), target.is_some_and(Dialect::is_mariadb));
    let begun = Instant::now();
    let mut values = Vec::new();
    for table in &catalog.tables {
        let nameless = ChunkKey::identity(table).is_none();
        for column in table.stored_columns() {
            // Within JSON_TABLE's subquery another column could be meant.
            let full = format!("{}.{}", table.name.sql(), quote(&column.name));
            let (odd, holds) = match column.data_type.as_str() {
                "json" if nameless && !from_maria && !to_maria => {
                    (Odd::Json, document::condition(session, &full))
                }
                "enum" if to_maria && !from_maria => (Odd::NoMember, format!("{full} = 0")),
                _ => continue,
            };
            let found = match begun.elapsed() < LIMIT {
                true => in_time(holds_any(session, table, &holds).await)?,
                false => None,
            };
            let column = format!("{}.{}", table.name, column.name);
            values.push(OddValues { odd, column, found });
        }
    }
    Ok(values)
}

async fn holds_any(session: &mut Session, table: &Table, holds: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", table.name.sql(), table.taken(holds));
    Ok(session.row(sql).await?.is_some())
}
