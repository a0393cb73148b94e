//! A server that says nothing: is it at work, or is the link dead?
//!
//! A statement may take hours, so no answer is given a fixed time. Whoever has waited for a while asks
//! the server over another connection what it does for the first one. A dead link is found out that
//! way though its packets are lost without a word, as behind a firewall that forgot the connection.

use std::{pin::pin, time::Duration};

use mysql_async::{Conn, Row, prelude::Queryable as _};

use super::ServerUrl;
use crate::error::{Error, Kind, Result};

/// How long a connection may take to be made, login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long a silence the server is asked.
const SILENCE: Duration = Duration::from_secs(60);

/// How often in a row nobody must answer, until the link counts as dead.
const UNANSWERED: u32 = 3;

/// How often in a row the server must say that it isn't at work for a connection, until its answer
/// counts as lost: it may be on a slow way.
const IDLE: u32 = 3;

/// How long a connection may take to be made.
pub(super) fn connect_timeout() -> Duration {
    hurried().map_or(CONNECT_TIMEOUT, |silence| silence.min(CONNECT_TIMEOUT))
}

fn silence() -> Duration {
    hurried().unwrap_or(SILENCE)
}

/// Tests wait less: milliseconds of silence in `DAYBREAK_SILENCE_MS`.
#[cfg(feature = "failpoints")]
fn hurried() -> Option<Duration> {
    let millis = std::env::var("DAYBREAK_SILENCE_MS").ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

#[cfg(not(feature = "failpoints"))]
fn hurried() -> Option<Duration> {
    None
}

/// What the server says of a connection.
enum Answer {
    AtWork,
    Idle,
    Unknown,
    /// Nothing.
    None,
}

/// Watches over what one connection waits for.
#[derive(Debug, Clone)]
pub struct Watch {
    url: ServerUrl,
    id: u32,
    place: String,
}

impl Watch {
    pub(super) fn new(url: &ServerUrl, id: u32, place: &str) -> Self {
        Watch { url: url.clone(), id, place: place.to_string() }
    }

    /// Waits for what the connection is asked for, as long as its server is at work for it.
    ///
    /// # Errors
    /// What the work says, or `ConnectionLost`. After the latter the connection is of no more use.
    pub async fn over<T>(
        &self,
        work: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T> {
        let failed = |error: mysql_async::Error| Error::from(error).at(&self.place);
        let mut work = pin!(work);
        let (mut idle, mut unanswered) = (0, 0);
        loop {
            let answer = tokio::select! {
                biased;
                done = &mut work => return done.map_err(failed),
                answer = async {
                    tokio::time::sleep(silence()).await;
                    self.ask().await
                } => answer,
            };
            tracing::debug!(place = self.place, id = self.id, idle, unanswered, "a silent server");
            let lost = match answer {
                Answer::AtWork => {
                    (idle, unanswered) = (0, 0);
                    None
                }
                Answer::Idle => {
                    idle += 1;
                    (idle >= IDLE).then_some("the server's answer never came")
                }
                // Its answer, if there is one, is here by now.
                Answer::Unknown if idle + unanswered > 0 => {
                    Some("the server has dropped the connection without a word")
                }
                Answer::Unknown => {
                    idle += 1;
                    None
                }
                Answer::None => {
                    unanswered += 1;
                    (unanswered >= UNANSWERED).then_some(
                        "the connection fell silent, and the server answers no other one either",
                    )
                }
            };
            if let Some(what) = lost {
                return Err(Error::new(Kind::ConnectionLost, what).at(&self.place).next(
                    "check the server, and the network between it and this machine, then go on with `daybreak resume`",
                ));
            }
        }
    }

    /// Asks the server, over a connection of its own, what it does for the connection.
    async fn ask(&self) -> Answer {
        let asking = async {
            let mut conn = Conn::new(self.url.options("daybreak")).await?;
            // Every account sees its own connections there.
            let rows: Vec<Row> = conn.query("SHOW PROCESSLIST").await?;
            conn.disconnect().await?;
            Ok::<_, mysql_async::Error>(rows)
        };
        match tokio::time::timeout(connect_timeout(), asking).await {
            Ok(Ok(rows)) => rows
                .iter()
                .find(|row| {
                    row.get_opt::<u64, _>("Id").is_some_and(|id| id.ok() == Some(self.id.into()))
                })
                .map_or(Answer::Unknown, |row| {
                    let command = row.get_opt::<String, _>("Command").and_then(|text| text.ok());
                    if command.as_deref() == Some("Sleep") { Answer::Idle } else { Answer::AtWork }
                }),
            // It speaks: the link is whole.
            Ok(Err(mysql_async::Error::Server(_))) => Answer::AtWork,
            Ok(Err(_)) | Err(_) => Answer::None,
        }
    }
}
