//! The step `upload`: the backups that lie in the staging directory to S3, or, where nothing shall lie
//! anywhere, the backup while it is being taken.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::{
    inspection::Inspection,
    manifest::Manifest,
    upload::{self, Source, Target},
    watch::{self, Watch, Watched},
};
use crate::{
    aws::{self, s3::S3},
    config::S3Place,
    engine::{Context, Finding, Severity, Step},
    error::{Error, Kind, Result},
    event::Events,
    source::backup::{
        self, StreamFormat, TakenBackup, Wanted,
        step::{self, directory, on_disk, remembered, request},
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
        let streamed = context.plan().map_or(context.config.backup.stream, |plan| plan.streamed);
        if streamed && context.config.backup.incrementals > 0 {
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
        let target = target(context).await?;
        let (events, stop) = (context.events.clone(), context.stop.clone());
        apart(move || async move { upload::reach(&target, &events, &stop).await }).await?;
        Ok(findings)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let target = Arc::new(target(context).await?);
        // As it was planned: the configuration may have been edited since.
        let source = if context.plan()?.streamed {
            if is_there(context, &target).await? {
                return Ok(());
            }
            stream(context).await?
        } else {
            match &remembered(context)?[..] {
                [only] => Source::TarGz {
                    directory: directory(context)?.join(&only.name),
                    name: "backup.tar.gz".into(),
                },
                _ => Source::Tree { directory: directory(context)? },
            }
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
        let streamed = context.plan()?.streamed;
        let directory = match streamed {
            true => None,
            false => Some(directory(context)?),
        };
        let (events, stop) = (context.events.clone(), context.stop.clone());
        apart(move || async move { upload::undo(&target, directory.as_deref(), &events, &stop).await }).await?;
        if streamed {
            backup::step::TakeBackup.undo(context).await?;
        }
        Ok(())
    }
}

/// Runs work of an upload on a thread of its own: what it reads may block, and can't be shared.
async fn apart<T: Send + 'static, F: Future<Output = Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<T> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(make()))
        .await
        .map_err(|error| Error::new(Kind::Bug, "the upload's thread is gone").because(error))?
}

/// Whether an earlier run brought the whole stream there, and wrote down all that is needed of it. Of one
/// that isn't in the bucket any more, or of which a record is missing, what is left is taken away: it
/// begins anew. A stream that isn't complete is left to [`upload::upload`], which knows what it may delete.
async fn is_there(context: &Context, target: &Arc<Target>) -> Result<bool> {
    let Some(manifest) = Manifest::load(&target.manifest)?.filter(|manifest| manifest.complete)
    else {
        return Ok(false);
    };
    let ask = || (target.clone(), context.events.clone(), context.stop.clone());
    let events = &context.events;
    let (asked, told, stop) = ask();
    let lost =
        apart(move || async move { upload::lost(&asked, &manifest, &told, &stop).await }).await?;
    let why = match lost {
        Some(lost) => lost,
        None => match missing_record(context)? {
            None => {
                events.info(format!(
                    "{} was uploaded already, and the bucket holds it",
                    target.place
                ));
                return Ok(true);
            }
            Some(missing) => missing,
        },
    };
    events.warn(format!(
        "{why}: a stream can't be sent again, so what is left of it is taken away, and the backup taken again"
    ));
    let (asked, told, stop) = ask();
    apart(move || async move { upload::undo(&asked, None, &told, &stop).await }).await?;
    #[cfg(feature = "failpoints")]
    crate::engine::failpoint::reached("stream-taken-away");
    Ok(false)
}

/// What isn't there of what was written down about the backup that a stream was.
fn missing_record(context: &Context) -> Result<Option<String>> {
    let chain = on_disk(context)?;
    let journaled: Option<TakenBackup> = context.journal.recall(ID, "full")?;
    Ok(match (&chain[..], journaled) {
        ([], _) => Some("the manifest of the backups doesn't know it".into()),
        (_, None) => Some("the journal doesn't know it".into()),
        ([one], Some(other)) if *one == other => Aside::load(&context.directory)?
            .is_none()
            .then(|| "what a restore leaves out wasn't put aside".into()),
        _ => Some("the journal and the manifest of the backups know different ones".into()),
    })
}

/// A backup that goes up while it is being taken, and is looked at on its way.
async fn stream(context: &Context) -> Result<Source> {
    let directory = directory(context)?;
    // A stream that didn't arrive whole isn't there to go on with.
    std::fs::create_dir_all(&directory)
        .and_then(|()| remove_all_but_logs(&directory))
        .map_err(|error| Error::from(error).at(directory.display()))?;
    let request = request(context, &directory, "full", Wanted::Full);
    let watch = Watch::begin(STREAM, context.config.backup.rules)?;
    let beside = step::Watch::begin(context).await?;
    let taken =
        backup::take_stream(&request, StreamFormat::Xbstream, &context.stop, &context.events)
            .await?;
    let read = Arc::new(AtomicU64::new(0));
    let verdict = watch.verdict();
    let watched = Watched::new(taken.reader, watch);
    let input = Counted { inner: watched, read: read.clone() };
    let (journal, handle) = (context.journal.clone(), taken.handle);
    let (place, events) = (self::place(context)?, context.events.clone());
    Ok(Source::Stream {
        name: STREAM.into(),
        compress: false,
        input: Box::new(input),
        // In this order: what is written down about a backup is there before its objects are, and they
        // before the upload counts as complete.
        ended: Box::pin(async move {
            let inspect: backup::Inspect = Box::new(move |files| {
                let found = verdict.wait()?;
                watch::agrees(&found, files)
                    .and_then(|()| judge(&found, &events))
                    .map_err(|error| error.at(place))
            });
            let backup = handle.finish(read.load(Ordering::SeqCst), Some(inspect)).await?;
            beside.end("full").await?;
            #[cfg(feature = "failpoints")]
            crate::engine::failpoint::reached("stream-aside");
            journal.record(ID, "full", &backup)?;
            #[cfg(feature = "failpoints")]
            crate::engine::failpoint::reached("stream-recorded");
            Ok(())
        }),
    })
}

/// Empties a directory, but for the tool's logs: an error of an earlier run points to them.
fn remove_all_but_logs(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false if name.starts_with("daybreak-") && name.contains(".log") => {}
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What the rules say against it, as of a backup in a directory.
fn judge(found: &Inspection, events: &Events) -> Result<()> {
    for finding in &found.findings {
        match finding.severity {
            Severity::Blocker => {
                return Err(
                    Error::new(Kind::Blocked, finding.why.clone()).next(finding.remedy.clone())
                );
            }
            Severity::Warning => events.warn(finding.why.clone()),
            Severity::Note => events.detail(finding.why.clone()),
        }
    }
    Ok(())
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
