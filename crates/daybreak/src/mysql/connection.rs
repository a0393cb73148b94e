//! A connection as its server knows it, to end it from another one.

use std::time::Duration;

use super::{ServerUrl, Session, Side, activity::connected};
use crate::error::Result;

/// How long between two looks whether it is gone.
const LOOK: Duration = Duration::from_millis(50);

/// A connection's number, and where it came from: a server that was started anew counts from the
/// beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    number: u32,
    origin: String,
}

impl ConnectionId {
    /// Asks the server.
    pub async fn of(session: &mut Session) -> Result<Self> {
        let number = session.id();
        let origin = origin_of(session, number).await?;
        Ok(ConnectionId { number, origin })
    }

    /// The number for `KILL`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Ends it from another connection, and returns when it is gone, with whatever it was doing. An
    /// account may always end its own.
    ///
    /// # Errors
    /// What the server says, or that it can't be reached.
    pub async fn end(&self, url: &ServerUrl, side: Side) -> Result<()> {
        let mut session = Session::open(url, side).await?;
        loop {
            if origin_of(&mut session, self.number).await? != self.origin {
                return Ok(());
            }
            match session.execute(format!("KILL {}", self.number)).await {
                // 1094: it has gone by itself.
                Err(error) if error.code() != Some(1094) => return Err(error),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// The client's end of a connection, as the server sees it; empty when there is no such connection.
async fn origin_of(session: &mut Session, id: u32) -> Result<String> {
    let all = connected(session).await?;
    Ok(all.into_iter().find(|one| one.id == u64::from(id)).map(|one| one.host).unwrap_or_default())
}
