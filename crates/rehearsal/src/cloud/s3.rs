//! The S3 endpoint: signatures are checked by `s3s`, everything else here.

mod connection;
mod operations;
mod store;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::{net::TcpListener, task::JoinHandle};

pub(super) use store::Store;

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every so many parts and objects one is refused with 503 SlowDown.
    pub slow_down_every: Option<u64>,
    /// Each part and object is answered so much later.
    pub delay: Option<Duration>,
    /// So many connections more are reset after so many bytes from the client.
    pub resets: u32,
    /// After how many bytes.
    pub reset_after: u64,
    /// The caller may do nothing here.
    pub denied: bool,
    /// KMS keys that the caller may not use.
    pub denied_kms_keys: Vec<String>,
    /// The bucket isn't there any more.
    pub vanished: bool,
    /// The bucket is in this Region, not in the endpoint's.
    pub elsewhere: Option<String>,
    /// The bucket's default encryption, as S3 calls it; none: AES256.
    pub default_encryption: Option<String>,
}

/// A part or a whole object that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Received {
    /// The object's key.
    pub key: String,
    /// The upload; none for a whole object.
    pub upload: Option<String>,
    /// The part's number; 0 for a whole object.
    pub number: i32,
    /// How many bytes.
    pub size: u64,
}

/// Serves a store on a free port of loopback.
pub(super) async fn listen(
    store: Arc<Store>,
    access_key: &str,
    secret_key: &str,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let mut builder = S3ServiceBuilder::new(operations::Operations(store.clone()));
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _set = stream.set_nodelay(true);
            let stream = connection::Connection::new(stream, store.clone());
            let service = service.clone();
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that goes away is no failure of the server's.
                let _ended = server.serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok((address, server))
}
