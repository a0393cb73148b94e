//! The step `upload`: the backups that lie in the staging directory to S3, or, where nothing shall lie
//! anywhere, the backup while it is being taken.

use std::{
    io::Read,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tokio_util::io::SyncIoBridge;

use super::{
    manifest::Manifest,
    upload::{self, Source, Target},
};
use crate::{
    aws::{self, s3::S3},
    config::S3Place,
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    source::backup::{
        self, StreamFormat, Wanted,
        step::{directory, request},
    },
    target::objects::Aside,
};

/// The step's name.
pub const ID: &str = "upload";

/// The stream's name in S3: Aurora tells what is in it by that.
const STREAM: &str = "backup.xbstream";

/// Where this migration's backup goes: below the place that is configured.
pub fn place(context: &Context) -> Result<S3Place> {
    let place = context.config.staging.s3.clone().ok_or_else(|| {
        Error::new(Kind::Config, "no place in S3 is named")
            .at("[staging]")
            .next("s3 = \"s3://bucket/prefix\" in [staging]")
    })?;
    Ok(S3Place { prefix: place.key(&format!("daybreak-{}", context.plan()?.migration)), ..place })
}

async fn target(context: &Context) -> Result<Target> {
    let sdk = aws::sdk(&context.config.aws).await?;
    let store = S3::new(&sdk, &context.config.aws, context.config.staging.bandwidth);
    let region = store.region().unwrap_or_default();
    let staging = &context.config.staging;
    let manifest = manifest(context);
    Ok(Target::new(Arc::new(store), place(context)?, region, staging, manifest))
}

fn manifest(context: &Context) -> PathBuf {
    context.directory.join("upload.json")
}

/// Uploads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upload;

#[async_trait]
impl Step for Upload {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self) -> &'static str {
        "bring the backup to S3, and ask the bucket for all of it"
    }

    fn rollback(&self) -> &'static str {
        "delete the objects that were uploaded"
    }

    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if context.config.backup.stream && context.config.backup.incrementals > 0 {
            findings.push(Finding {
                id: "upload.stream".into(),
                severity: Severity::Blocker,
                objects: Vec::new(),
                why: "a stream holds one full backup: incremental ones need their base on disk"
                    .into(),
                remedy: "incrementals = 0 in [backup], or stream = false and a staging directory"
                    .into(),
            });
        }
        place(context)?;
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let target = target(context).await?;
        let source = if context.config.backup.stream {
            stream(context).await?
        } else if context.config.backup.incrementals == 0 {
            Source::TarGz {
                directory: directory(context)?.join("full"),
                name: "backup.tar.gz".into(),
            }
        } else {
            Source::Tree { directory: directory(context)? }
        };
        let (events, stop) = (context.events.clone(), context.stop.clone());
        apart(
            move || async move { upload::upload(&target, source, &events, &stop).await.map(drop) },
        )
        .await
    }

    async fn verify(&self, context: &Context) -> Result<()> {
        let target = target(context).await?;
        let manifest = Manifest::load(&target.manifest)?;
        let manifest = manifest.filter(|manifest| manifest.complete).ok_or_else(|| {
            Error::new(Kind::State, "the upload isn't complete")
                .at(target.manifest.display())
                .next("`daybreak resume` goes on with it")
        })?;
        let (events, stop) = (context.events.clone(), context.stop.clone());
        apart(move || async move { upload::verify(&target, &manifest, &events, &stop).await }).await
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let target = target(context).await?;
        let directory = match context.config.backup.stream {
            true => None,
            false => Some(directory(context)?),
        };
        let (events, stop) = (context.events.clone(), context.stop.clone());
        apart(move || async move { upload::undo(&target, directory.as_deref(), &events, &stop).await }).await?;
        if context.config.backup.stream {
            backup::step::TakeBackup.undo(context).await?;
        }
        Ok(())
    }
}

/// Runs work of an upload on a thread of its own: what it reads may block, and can't be shared.
async fn apart<F: Future<Output = Result<()>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(make()))
        .await
        .map_err(|error| Error::new(Kind::Bug, "the upload's thread is gone").because(error))?
}

/// A backup that goes up while it is being taken.
async fn stream(context: &Context) -> Result<Source> {
    let directory = directory(context)?;
    // A stream that didn't arrive whole isn't there to go on with.
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::from(error).at(directory.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(&directory)
        .map_err(|error| Error::from(error).at(directory.display()))?;
    let request = request(context, &directory, "full", Wanted::Full);
    let taken =
        backup::take_stream(&request, StreamFormat::Xbstream, &context.stop, &context.events)
            .await?;
    let read = Arc::new(AtomicU64::new(0));
    let input = Counted { inner: SyncIoBridge::new(taken.reader), read: read.clone() };
    let (journal, handle) = (context.journal.clone(), taken.handle);
    let (url, selection) = (context.config.source.clone(), context.plan()?.selection);
    let (stop, own) = (context.stop.clone(), context.directory.clone());
    Ok(Source::Stream {
        name: STREAM.into(),
        compress: false,
        input: Box::new(input),
        ended: Box::pin(async move {
            let backup = handle.finish(read.load(Ordering::SeqCst)).await?;
            // As at the backup's end: what changes from then on follows by replication.
            Aside::read(&url, &selection, &stop).await?.write(&own)?;
            journal.record(ID, "full", &backup)
        }),
    })
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
}
