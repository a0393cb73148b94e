//! Rows into the target: one `LOAD DATA LOCAL`, from a stream that can't be mistaken for a whole one
//! when it ended early.
//!
//! `LOCAL` implies `IGNORE`: the server clips values and skips rows and only warns. Whoever calls must
//! therefore demand zero warnings and the exact number of rows.

use std::{io, sync::Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use crate::{
    error::{Error, Kind, Result},
    mysql::{Outcome, Session, Table},
    source::read::{Batch, RowForm},
};

/// What is said when the rows end before their end.
const HALF: &str = "the rows ended half way";

/// The statement that loads rows of a form into a table.
pub fn statement(table: &Table, form: &RowForm) -> String {
    format!(
        "LOAD DATA LOCAL INFILE 'daybreak' INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' {}",
        table.name.sql(),
        form.load_list()
    )
}

/// Runs a LOAD DATA statement on what comes through the channel; without rows there is nothing to run.
///
/// # Errors
/// What the server said, or that the stream ended before its end. Either way the transaction that it
/// runs in must be rolled back.
pub async fn load(
    target: &mut Session,
    statement: &str,
    mut batches: mpsc::Receiver<Batch>,
) -> Result<Outcome> {
    let first = match batches.recv().await {
        Some(Batch::Rows(rows)) => rows,
        Some(Batch::End) => return Ok(Outcome::default()),
        None => return Err(Error::new(Kind::Interrupted, HALF).at(target.place())),
    };
    // The client wants a handler that is `Sync`; a receiver behind a lock is.
    let batches = Mutex::new(Some(batches));
    target.conn().set_infile_handler(async move {
        let batches = batches.into_inner().ok().flatten();
        let rest = stream::unfold(batches, |batches| async move {
            let mut batches = batches?;
            match batches.recv().await {
                Some(Batch::Rows(rows)) => Some((Ok::<Bytes, io::Error>(rows), Some(batches))),
                Some(Batch::End) => None,
                None => Some((Err(io::Error::other(HALF)), None)),
            }
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    });
    target.execute(statement).await.map_err(|error| match error.code() {
        Some(3948 | 1148) => Error::new(Kind::Blocked, "the target takes no LOAD DATA LOCAL")
            .because(error)
            .at(target.place())
            .next(
                "set local_infile = 1 on the target (on Aurora in the cluster's parameter group)",
            ),
        _ => error,
    })
}

/// The first warning of the last statement: its number, and its words without any value that it may quote.
pub async fn first_warning(target: &mut Session) -> Result<Option<(u16, String)>> {
    let warnings = target.warnings().await?;
    Ok(warnings.first().map(|(code, text)| (*code, without_values(*code, text))))
}

/// Keeps of a warning what names a column, a key and a row: the texts before may hold data.
fn without_values(code: u16, text: &str) -> String {
    let place = [" for column ", " for key ", " at row "]
        .iter()
        .filter_map(|words| text.rfind(words))
        .min()
        .map_or("", |at| &text[at..]);
    format!("warning {code}{place}")
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn warnings_lose_their_values() {
        assert_eq!(
            without_values(1366, "Incorrect string value: '\\xF0' for column 'c' at row 3"),
            "warning 1366 for column 'c' at row 3"
        );
        assert_eq!(
            without_values(1062, "Duplicate entry 'x' for key 't.PRIMARY'"),
            "warning 1062 for key 't.PRIMARY'"
        );
        assert_eq!(without_values(1261, "secret"), "warning 1261");
    }
}
