//! How far the target's replicas are behind it, which may hold the copy back.

use std::{fmt, time::Duration};

use super::governor::ANSWER;
use crate::{
    error::{Error, Kind, Result},
    mysql::{ServerUrl, Session, Side},
    sync::replicate::ReplicaStatus,
};

/// The replicas that `[copy] replicas` names.
pub(super) struct Replicas(Vec<(ServerUrl, Option<Session>)>);

/// A replica, and how far it is behind.
#[derive(Debug)]
pub(super) struct Lag {
    /// In whole seconds, as the server counts; endless where it doesn't replicate or can't be asked.
    pub(super) behind: Duration,
    who: String,
    why: Option<String>,
}

impl Replicas {
    pub(super) fn new(urls: &[ServerUrl]) -> Self {
        Replicas(urls.iter().map(|url| (url.clone(), None)).collect())
    }

    /// Makes sure, before anything is copied, that each can be asked.
    ///
    /// # Errors
    /// `Config` without a replica, or with one that is none; why it can't be asked.
    pub(super) async fn check(&mut self) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::new(Kind::Config, "a replica's lag can't hold the copy back: no replica is named")
                .next("name the target's: replicas = [\"mysql://user@host:port/\"] in [copy]; or `daybreak throttle --max-replica-lag off`"));
        }
        for (url, session) in &mut self.0 {
            let mut opened = Session::open(url, Side::Target).await?;
            if ReplicaStatus::read(&mut opened).await?.is_none() {
                return Err(Error::new(Kind::Config, "the server is no replica")
                    .at(opened.place())
                    .next("name replicas of the target in [copy] replicas"));
            }
            *session = Some(opened);
        }
        Ok(())
    }

    /// The one that is furthest behind.
    pub(super) async fn worst(&mut self) -> Option<Lag> {
        let mut worst: Option<Lag> = None;
        for (url, session) in &mut self.0 {
            let lag = ask(url, session).await;
            if worst.as_ref().is_none_or(|worst| worst.behind < lag.behind) {
                worst = Some(lag);
            }
        }
        worst
    }
}

async fn ask(url: &ServerUrl, session: &mut Option<Session>) -> Lag {
    let lag = |behind, why| Lag { behind, who: format!("replica {url}"), why };
    let status = async {
        let opened = match session.take() {
            Some(session) => session,
            None => Session::open(url, Side::Target).await?,
        };
        ReplicaStatus::read(session.insert(opened)).await
    };
    let answer = tokio::time::timeout(ANSWER, status).await;
    let silent = || Error::new(Kind::ConnectionLost, "no answer within 5 s");
    match answer.unwrap_or_else(|_| Err(silent())) {
        Ok(Some(ReplicaStatus { seconds_behind: Some(seconds), .. })) => {
            lag(Duration::from_secs(seconds), None)
        }
        Ok(_) => lag(Duration::MAX, Some("doesn't replicate".into())),
        Err(error) => {
            *session = None;
            lag(Duration::MAX, Some(format!("can't be asked: {}", error.what())))
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{} {why}", self.who),
            None => write!(f, "{} is {} s behind", self.who, self.behind.as_secs()),
        }
    }
}
