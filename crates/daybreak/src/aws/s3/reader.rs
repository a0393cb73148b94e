//! An object as a plain reader, for code that blocks.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    runtime::Handle,
};

use super::ObjectStore;
use crate::error::{Error, Kind, Retry};

/// How often reading goes on after a connection was cut, without a byte in between.
const TRIES: u32 = 6;

/// Reads an object from its beginning to its end. A connection that is cut is opened again where it was.
///
/// Only for threads that may block (`spawn_blocking`): it waits for the runtime that it was made on.
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    bucket: String,
    key: String,
    at: u64,
    size: u64,
    open: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

impl ObjectReader {
    /// A reader of an object whose size is known from a listing. Must be made on a runtime.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        runtime: Handle,
        bucket: &str,
        key: &str,
        size: u64,
    ) -> Self {
        let (bucket, key) = (bucket.to_string(), key.to_string());
        ObjectReader { store, runtime, bucket, key, at: 0, size, open: None }
    }

    async fn some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tries = 0;
        loop {
            let result = self.once(buffer).await;
            let error = match result {
                Ok(count) => return Ok(count),
                Err(error) if error.kind().retry() == Retry::Again && tries < TRIES => error,
                Err(error) => return Err(io::Error::other(error)),
            };
            tracing::debug!(key = self.key, at = self.at, %error, "reading again");
            tokio::time::sleep(Duration::from_millis(200 << tries)).await;
            tries += 1;
        }
    }

    async fn once(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let range = self.at..self.size;
                let open = self.store.get(&self.bucket, &self.key, range).await?;
                self.open.insert(open)
            }
        };
        let result = open.read(buffer).await;
        match result {
            Ok(0) => {
                self.open = None;
                Err(Error::new(Kind::AwsBusy, "the object's bytes ended too early").at(&self.key))
            }
            Ok(count) => {
                self.at += count as u64;
                Ok(count)
            }
            Err(error) => {
                self.open = None;
                Err(Error::new(Kind::AwsBusy, "an object could not be read to its end")
                    .at(&self.key)
                    .because(error))
            }
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.size || buffer.is_empty() {
            return Ok(0);
        }
        let runtime = self.runtime.clone();
        runtime.block_on(self.some(buffer))
    }
}
