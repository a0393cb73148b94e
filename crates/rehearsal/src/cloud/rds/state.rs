//! What the endpoint knows: clusters, instances, groups, events, and what it was asked.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::calls::Form;

/// An account number, as in all examples.
const ACCOUNT: &str = "123456789012";

pub(super) type Pairs = BTreeMap<String, String>;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Cluster {
    pub identifier: String,
    pub arn: String,
    pub status: String,
    pub created: Timestamp,
    pub engine_version: String,
    pub master_user: String,
    pub parameter_group: String,
    pub subnet_group: Option<String>,
    pub port: Option<u16>,
    /// How far a migration is, while it goes on.
    pub percent: Option<u8>,
    pub tags: Pairs,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Instance {
    pub identifier: String,
    pub arn: String,
    pub status: String,
    pub class: String,
    pub cluster: String,
    pub tags: Pairs,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Group {
    pub name: String,
    pub arn: String,
    pub family: String,
    pub description: String,
    pub values: Pairs,
    pub tags: Pairs,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    pub at: Timestamp,
    pub kind: &'static str,
    pub source: String,
    pub message: String,
    pub categories: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct State {
    #[serde(skip)]
    region: String,
    requests: u64,
    pub clusters: BTreeMap<String, Cluster>,
    pub instances: BTreeMap<String, Instance>,
    pub groups: BTreeMap<String, Group>,
    pub events: Vec<Event>,
    asked: Vec<Pairs>,
}

/// A cluster, for a test to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCluster {
    /// Its state.
    pub status: String,
    /// Aurora's version.
    pub engine_version: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What there is, and what was asked, for a test to look at.
#[derive(Clone, Debug)]
pub struct Known {
    /// The clusters.
    pub clusters: BTreeMap<String, KnownCluster>,
    /// The instances, and the state of each.
    pub instances: BTreeMap<String, String>,
    /// The parameter groups, and what each sets.
    pub parameter_groups: BTreeMap<String, BTreeMap<String, String>>,
    /// The requests, in their order: each parameter with its value, passwords left out.
    pub asked: Vec<BTreeMap<String, String>>,
}

impl Known {
    /// How often an action was asked for.
    pub fn count(&self, action: &str) -> usize {
        self.asked
            .iter()
            .filter(|asked| asked.get("Action").is_some_and(|name| name == action))
            .count()
    }
}

impl State {
    pub fn new(region: &str) -> Self {
        State {
            region: region.to_owned(),
            requests: 0,
            clusters: BTreeMap::new(),
            instances: BTreeMap::new(),
            groups: BTreeMap::new(),
            events: Vec::new(),
            asked: Vec::new(),
        }
    }

    pub fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    pub fn remember(&mut self, form: &Form) {
        let blank = |(name, value): (&String, &String)| {
            let value = if name.contains("Password") { "(given)" } else { value };
            (name.clone(), value.to_owned())
        };
        self.asked.push(form.pairs().iter().map(blank).collect());
    }

    pub fn arn(&self, kind: &str, name: &str) -> String {
        format!("arn:aws:rds:{}:{ACCOUNT}:{kind}:{name}", self.region)
    }

    pub fn tell(&mut self, kind: &'static str, source: &str, category: &str, message: String) {
        self.events.push(Event {
            at: Timestamp::now(),
            kind,
            source: source.to_owned(),
            message,
            categories: vec![category.to_owned()],
        });
    }

    pub fn somebody_elses_cluster(&mut self, identifier: &str) {
        let arn = self.arn("cluster", identifier);
        self.clusters.insert(
            identifier.to_owned(),
            Cluster {
                identifier: identifier.to_owned(),
                arn,
                status: "available".into(),
                created: Timestamp::now(),
                engine_version: "8.0.mysql_aurora.3.08.2".into(),
                master_user: "admin".into(),
                parameter_group: "default.aurora-mysql8.0".into(),
                subnet_group: None,
                port: None,
                percent: None,
                tags: Pairs::new(),
            },
        );
    }

    pub fn known(&self) -> Known {
        let cluster = |cluster: &Cluster| KnownCluster {
            status: cluster.status.clone(),
            engine_version: cluster.engine_version.clone(),
            tags: cluster.tags.clone(),
        };
        Known {
            clusters: self.clusters.iter().map(|(name, of)| (name.clone(), cluster(of))).collect(),
            instances: self
                .instances
                .iter()
                .map(|(name, instance)| (name.clone(), instance.status.clone()))
                .collect(),
            parameter_groups: self
                .groups
                .iter()
                .map(|(name, group)| (name.clone(), group.values.clone()))
                .collect(),
            asked: self.asked.clone(),
        }
    }

    /// Shows all of it in a file, replaced in one go.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let beside = dir.join("rds.json.new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&text)?;
        std::fs::rename(beside, dir.join("rds.json"))
    }
}
