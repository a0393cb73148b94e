//! How a target's replication stands, for whoever asks beside the work: one look, no change.

use std::time::Duration;

use serde::Serialize;

use super::{ID, NOBODY, ReplicaStatus, configured, failure_of, stopped};
use crate::{
    engine::{Phase, State, StepPhase},
    error::{Error, Kind, Result},
    mysql::{ServerUrl, Session, Side},
    switch::cut_over,
};

/// Whether the target follows its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Following {
    /// Both threads run.
    Runs,
    /// The source was lost, and the target tries to reach it again by itself.
    Reconnects,
    /// It is set up and doesn't run.
    Stopped,
    /// The target has no source.
    Nobody,
    /// The target couldn't be asked.
    Unknown,
}

/// What was seen of a target's replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How it stands.
    pub state: Following,
    /// The same in a sentence; with the error that stopped it, if one did.
    pub why: String,
    /// What to do, where it doesn't run.
    pub next: Option<String>,
    /// What the replica says of itself.
    pub status: Option<ReplicaStatus>,
}

impl Health {
    /// Asks a server.
    pub async fn of(target: &mut Session) -> Result<Self> {
        let Some(status) = configured(target).await? else {
            let (why, next) = NOBODY;
            return Ok(Health {
                state: Following::Nobody,
                why: why.into(),
                next: Some(next.into()),
                status: None,
            });
        };
        let from = format!("{}:{}", status.source_host, status.source_port);
        let (state, why, next) = if status.running() {
            let behind = match status.seconds_behind {
                Some(seconds) => format!(", {seconds} s behind by the server's own figure"),
                None => String::new(),
            };
            (Following::Runs, format!("replication runs, from {from}{behind}"), None)
        } else if status.reconnecting() {
            let error = status.receive_error.as_ref();
            let error = error.map_or_else(String::new, |error| format!(": {}", error.text));
            let why = format!("the target tries to reach its source {from} again{error}");
            (Following::Reconnects, why, None)
        } else {
            let failed = failure_of(target, &status).await?;
            let (_, next) = stopped(target, &status).await?;
            let why = match failed {
                Some(error) => format!("replication has stopped: {}", error.what()),
                None => "replication has stopped, without an error: somebody stopped it, or the server was restarted"
                    .into(),
            };
            (Following::Stopped, why, Some(next))
        };
        Ok(Health { state, why, next, status: Some(status) })
    }

    /// Asks a server that may be out of reach, within a bound.
    pub async fn ask(target: &ServerUrl, patience: Duration) -> Self {
        let asking = async {
            let mut session = Session::open(target, Side::Target).await?;
            let health = Self::of(&mut session).await;
            session.close().await;
            health
        };
        let asked = tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Connect, format!("no answer within {} s", patience.as_secs()))
                .at(format!("target {target}")))
        });
        asked.unwrap_or_else(|error| Self::unknown(&error))
    }

    /// Nothing is known, because of this.
    pub fn unknown(error: &Error) -> Self {
        let mut why = error.told();
        if let Some(place) = error.place() {
            why = format!("{why}: {place}");
        }
        Health {
            state: Following::Unknown,
            why: format!("the target couldn't be asked how replication stands: {why}"),
            next: error.next_step().map(str::to_string),
            status: None,
        }
    }
}

/// Whether a migration is where its target must follow the source: replication was set up and verified,
/// and no cutover has begun to take it down.
pub fn must_follow(state: &State) -> bool {
    matches!(state.phase, Phase::Active | Phase::Paused)
        && !state.past_no_return
        && state.step(ID) == Some(StepPhase::Verified)
        && state.step(cut_over::ID).is_none_or(|phase| phase == StepPhase::Pending)
}
