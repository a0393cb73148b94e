//! The RDS API on loopback: the query protocol, signed requests, AWS's error shapes; and the cluster
//! that a restore from S3 makes is a real server.
//!
//! Kinder than RDS: there is one Region, one account and one subnet group, roles and rights are names
//! on a list, `available` comes within seconds. What it is asked, and what it made, lies in `rds.json`
//! in its directory, passwords left out.

mod calls;
mod state;
mod work;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Cloud;
use super::cluster::{Profile, Programs};
use super::sigv4;

pub use state::{Known, KnownCluster};

use calls::{Form, Refused};
use state::State;

/// The role by which buckets can be read, unless others are named.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/daybreak-ingestion";

/// The subnet group that is there: two zones. `one-zone` is there too, with one.
pub const SUBNET_GROUP: &str = "two-zones";

/// What the endpoint is.
#[derive(Clone)]
pub struct Options {
    /// Where the buckets are: each object a plain file, `root/bucket/key`.
    pub root: PathBuf,
    /// A private directory for servers and for `rds.json`.
    pub dir: PathBuf,
    /// The Region for which requests must be signed.
    pub region: String,
    /// The access key that is known.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// By whose rules backups are taken.
    pub profile: Profile,
    /// What clusters are made with; none: the programs of the backup's product that are found.
    pub programs: Option<Programs>,
    /// How long each state lasts at least.
    pub state: Duration,
}

impl Options {
    /// Beside an S3 endpoint, with its keys, by the rules of a rehearsal.
    pub fn beside(cloud: &Cloud, dir: PathBuf, state: Duration) -> Options {
        Options {
            root: cloud.root.clone(),
            dir,
            region: cloud.region.clone(),
            access_key: cloud.access_key.clone(),
            secret_key: cloud.secret_key.clone(),
            profile: Profile::Rehearsal,
            programs: None,
            state,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options({})", self.dir.display())
    }
}

/// Which event tells where the binary log stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PositionEvent {
    /// The right one.
    #[default]
    Right,
    /// None.
    Missing,
    /// One with this file and position.
    Says(String, u64),
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The roles that are there and may read buckets.
    pub roles: BTreeSet<String>,
    /// The actions that the caller may not call.
    pub denied: BTreeSet<String>,
    /// Whether the caller may pass a role.
    pub may_pass_role: bool,
    /// Whether the role turns out to be unable to read the bucket once the copy begins.
    pub copy_fails: bool,
    /// Why the migration fails.
    pub migration_fails: Option<String>,
    /// What the event of the coordinates says.
    pub position: PositionEvent,
    /// Every so manieth request is answered `Throttling`; 0: none.
    pub throttle_every: u64,
    /// The actions whose next call does its work, and whose answer is lost: a 500 comes instead.
    pub lose_answer: BTreeSet<String>,
    /// Whether the credentials have expired.
    pub expired: bool,
    /// Whether clusters are kept in `migrating` for as long as this stays true.
    pub hold: bool,
    /// How many clusters there may be.
    pub quota: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            roles: BTreeSet::from([ROLE.to_owned()]),
            denied: BTreeSet::new(),
            may_pass_role: true,
            copy_fails: false,
            migration_fails: None,
            position: PositionEvent::Right,
            throttle_every: 0,
            lose_answer: BTreeSet::new(),
            expired: false,
            hold: false,
            quota: 40,
        }
    }
}

/// The endpoint. It and its servers end when it is dropped.
pub struct Rds {
    shared: Arc<Shared>,
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Rds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rds({})", self.port)
    }
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    servers: tokio::sync::Mutex<BTreeMap<String, crate::server::Server>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the state, and the file that shows it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let value = change(&mut state);
        if let Err(error) = state.write(&self.options.dir) {
            tracing::warn!(%error, "rds.json can't be written");
        }
        value
    }
}

impl Rds {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When directory or port can't be had.
    pub async fn start(options: Options) -> io::Result<Rds> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.dir)?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(&options.region)),
            options,
            faults: Mutex::default(),
            servers: tokio::sync::Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the RDS endpoint ended");
            }
        });
        Ok(Rds { shared, port, task })
    }

    /// The endpoint's URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes what goes wrong, from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What there is, and what was asked.
    pub fn known(&self) -> Known {
        self.shared.state().known()
    }

    /// Makes a cluster that somebody else has: available, with no server.
    pub fn somebody_elses_cluster(&self, identifier: &str) {
        self.shared.change(|state| state.somebody_elses_cluster(identifier));
    }

    /// Root's URL on a restored cluster's server.
    pub async fn root_url(&self, cluster: &str) -> Option<String> {
        self.shared.servers.lock().await.get(cluster).map(crate::server::Server::root_url)
    }
}

impl Drop for Rds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(Extract(shared): Extract<Arc<Shared>>, request: Request) -> Response {
    let number = shared.change(State::next_request);
    let id = format!("00000000-0000-4000-8000-{number:012}");
    match handle(&shared, number, request).await {
        Ok((action, body)) => respond(StatusCode::OK, xml::answer(&action, &body, &id)),
        Err(Refused { code, message, status }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            respond(status, xml::error(&code, &message, status.is_server_error(), &id))
        }
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

async fn handle(
    shared: &Arc<Shared>,
    number: u64,
    request: Request,
) -> Result<(String, String), Refused> {
    const MOST: usize = 1 << 20;
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, MOST)
        .await
        .map_err(|_| Refused::new("InvalidRequest", "the body is too large"))?;
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let options = &shared.options;
    sigv4::verify(
        &sigv4::Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body: &body,
        },
        &sigv4::Expected {
            access_key: &options.access_key,
            secret_key: &options.secret_key,
            region: &options.region,
            service: "rds",
            now: jiff::Timestamp::now().as_second(),
        },
    )
    .map_err(|refusal| Refused {
        code: refusal.code.into(),
        message: refusal.message,
        status: 403,
    })?;
    let faults = shared.faults();
    if faults.expired {
        return Err(Refused {
            code: "ExpiredToken".into(),
            message: "The security token included in the request is expired".into(),
            status: 403,
        });
    }
    if faults.throttle_every > 0 && number.is_multiple_of(faults.throttle_every) {
        return Err(Refused::new("Throttling", "Rate exceeded"));
    }
    let form = Form::read(&body)?;
    let action = form.must("Action")?.to_owned();
    if faults.denied.contains(&action) {
        return Err(Refused {
            code: "AccessDenied".into(),
            message: format!(
                "User: arn:aws:iam::123456789012:user/operator is not authorized to perform: \
                 rds:{action} because no identity-based policy allows the rds:{action} action"
            ),
            status: 403,
        });
    }
    shared.change(|state| state.remember(&form));
    let body = calls::call(shared, &action, &form)?;
    let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    if faults.lose_answer.remove(&action) {
        return Err(Refused {
            code: "InternalFailure".into(),
            message: "The answer was lost".into(),
            status: 500,
        });
    }
    Ok((action, body))
}
