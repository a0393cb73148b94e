//! What goes on after an answer: states over time, the restore itself, deletions.

use std::sync::Arc;
use std::time::Duration;

use super::{PositionEvent, Shared};
use crate::cloud::cluster::{self, Engine, Order, Refusal};

/// How often a held cluster looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

/// Brings a cluster from `creating` to `available`, or to `migration-failed`.
pub(super) fn restore(
    shared: Arc<Shared>,
    identifier: String,
    bucket: String,
    prefix: String,
    (master_user, master_password): (String, String),
    engine: Engine,
) {
    tokio::spawn(async move {
        let options = &shared.options;
        tokio::time::sleep(options.state).await;
        if !into_state(&shared, &identifier, "preparing-data-migration") {
            return;
        }
        tokio::time::sleep(options.state).await;
        if shared.faults().copy_fails {
            let text = "Aurora was unable to copy backup data from an Amazon S3 bucket. It is likely that \
                        the permissions for Aurora to access the Amazon S3 bucket are configured \
                        incorrectly.";
            fail(&shared, &identifier, text.into());
            return;
        }
        let parameters = {
            let state = shared.state();
            let Some(cluster) = state.clusters.get(&identifier) else { return };
            state.groups.get(&cluster.parameter_group).map(|group| group.values.clone())
        };
        let number = shared.change(super::State::next_request);
        let order = Order {
            bucket: options.root.join(bucket),
            prefix,
            profile: options.profile,
            engine,
            programs: options.programs.clone(),
            dir: options.dir.join(format!("{identifier}-{number}")),
            parameters: parameters.unwrap_or_default(),
            master_user,
            master_password,
        };
        if !into_state(&shared, &identifier, "migrating") {
            return;
        }
        is_at(&shared, &identifier, Some(BEGUN));
        tokio::time::sleep(options.state).await;
        while shared.faults().hold {
            tokio::time::sleep(LOOK).await;
        }
        let failed = shared.faults().migration_fails;
        let done = match failed {
            Some(reason) => Err(Refusal(reason)),
            None => bring_up(&shared, &identifier, order).await,
        };
        if let Err(Refusal(reason)) = done {
            fail(
                &shared,
                &identifier,
                format!("Failed to migrate from mysql to aurora-mysql. Reason: {reason}"),
            );
        }
    });
}

/// Whether the cluster is still there, and now in that state.
fn into_state(shared: &Shared, identifier: &str, status: &str) -> bool {
    shared.change(|state| match state.clusters.get_mut(identifier) {
        Some(cluster) if cluster.status != "deleting" => {
            cluster.status = status.to_owned();
            true
        }
        _ => false,
    })
}

/// How much of a migration is done when it has begun, and when the data are there.
const BEGUN: u8 = 25;
const PREPARED: u8 = 75;

fn is_at(shared: &Shared, identifier: &str, percent: Option<u8>) {
    shared.change(|state| {
        if let Some(cluster) = state.clusters.get_mut(identifier) {
            cluster.percent = percent;
        }
    });
}

/// State and event in one go.
fn fail(shared: &Shared, identifier: &str, message: String) {
    shared.change(|state| {
        state.tell("db-cluster", identifier, "failure", message);
        if let Some(cluster) = state.clusters.get_mut(identifier)
            && cluster.status != "deleting"
        {
            cluster.status = "migration-failed".to_owned();
            cluster.percent = None;
        }
    });
}

async fn bring_up(shared: &Shared, identifier: &str, order: Order) -> Result<(), Refusal> {
    use std::os::unix::fs::DirBuilderExt as _;
    let refused = |error: &dyn std::fmt::Display| Refusal(error.to_string());
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&order.dir)
        .map_err(|error| refused(&error))?;
    let prepared = tokio::task::spawn_blocking({
        let order = order.clone();
        move || cluster::prepare(&order)
    })
    .await
    .map_err(|error| refused(&error))??;
    is_at(shared, identifier, Some(PREPARED));
    let (position, remarks) = (prepared.position.clone(), prepared.remarks.clone());
    let server = cluster::start(prepared, &order).await.map_err(|error| {
        tracing::warn!(%error, "the restored server");
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        Refusal(words)
    })?;
    let port = server.port();
    shared.servers.lock().await.insert(identifier.to_owned(), server);
    let said = match shared.faults().position {
        PositionEvent::Right => position,
        PositionEvent::Missing => None,
        PositionEvent::Says(file, at) => Some((file, at)),
    };
    shared.change(|state| {
        for remark in remarks {
            state.tell("db-cluster", identifier, "notification", remark);
        }
        if let Some((file, at)) = said {
            let text = format!("Recovered from Binary log filename '{file}', position {at}");
            state.tell("db-cluster", identifier, "notification", text);
        }
        if let Some(cluster) = state.clusters.get_mut(identifier) {
            cluster.port = Some(port);
            cluster.percent = None;
        }
    });
    if !into_state(shared, identifier, "available") {
        shared.servers.lock().await.remove(identifier);
    }
    Ok(())
}

/// Brings an instance to `available`.
pub(super) fn instance(shared: Arc<Shared>, identifier: String) {
    tokio::spawn(async move {
        tokio::time::sleep(shared.options.state).await;
        shared.change(|state| {
            let Some(instance) = state.instances.get_mut(&identifier) else { return };
            if instance.status == "creating" {
                instance.status = "available".into();
                state.tell("db-instance", &identifier, "creation", "DB instance created".into());
            }
        });
    });
}

/// Ends an instance.
pub(super) fn delete_instance(shared: Arc<Shared>, identifier: String) {
    tokio::spawn(async move {
        tokio::time::sleep(shared.options.state).await;
        shared.change(|state| state.instances.remove(&identifier));
    });
}

/// Ends a cluster and its server.
pub(super) fn delete_cluster(shared: Arc<Shared>, identifier: String) {
    tokio::spawn(async move {
        tokio::time::sleep(shared.options.state).await;
        let server = shared.servers.lock().await.remove(&identifier);
        if let Some(mut server) = server {
            server.kill().await;
        }
        shared.change(|state| state.clusters.remove(&identifier));
    });
}
