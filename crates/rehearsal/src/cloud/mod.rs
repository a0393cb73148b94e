//! AWS on loopback: an S3 endpoint whose objects are plain files, an RDS endpoint whose clusters are real
//! servers, with faults that tests set.

pub mod cluster;
pub mod rds;
pub mod s3;
pub mod sigv4;

use std::{io, path::PathBuf, sync::Arc};

use s3::Store;
pub use s3::{Faults, Received};

/// AWS on loopback. It ends when this is dropped; the files stay.
pub struct Cloud {
    /// The S3 endpoint, `http://127.0.0.1:port`.
    pub s3_endpoint: String,
    /// The access key that is known.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The Region.
    pub region: String,
    /// Where objects lie: `<root>/<bucket>/<key>`, each whole.
    pub root: PathBuf,
    store: Arc<Store>,
    server: tokio::task::JoinHandle<()>,
}

impl Cloud {
    /// Begins to listen, on a free port. Must be called on a runtime that does I/O.
    pub async fn start(root: impl Into<PathBuf>) -> io::Result<Cloud> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        let region = "eu-central-1".to_string();
        let secret_key: String =
            (0..40).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let access_key = format!("AKIAREHEARSAL{:07}", rand::random_range(0..10_000_000));
        let store = Arc::new(Store::new(&root, &region));
        let (address, server) = s3::listen(store.clone(), &access_key, &secret_key).await?;
        Ok(Cloud {
            s3_endpoint: format!("http://{address}"),
            access_key,
            secret_key,
            region,
            root,
            store,
            server,
        })
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.root.join(name))
    }

    /// Where a bucket's objects lie.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Changes what goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.store.faults());
    }

    /// The parts and whole objects that were taken, in order; refused ones aren't among them.
    pub fn received(&self) -> Vec<Received> {
        self.store.received()
    }

    /// How many requests for parts and objects were answered with a fault.
    pub fn refused(&self) -> u64 {
        self.store.refused()
    }

    /// How many requests are being worked on.
    pub fn at_work(&self) -> usize {
        self.store.at_work()
    }

    /// The multipart uploads that are neither complete nor given up: bucket and key.
    pub fn uploads_under_way(&self) -> Vec<(String, String)> {
        self.store.under_way()
    }

    /// Gives up the uploads of a key, as a lifecycle rule of the bucket does. Returns how many there were.
    pub fn expire_uploads(&self, key: &str) -> usize {
        self.store.expire(key)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}
