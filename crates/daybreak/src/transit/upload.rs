//! Brings a backup to S3: a directory as it is or as one compressed tar, files that are ready, or what a
//! running program writes.
//!
//! Before a byte moves the backup can be looked at ([`admit`]); secrets in what the tool wrote beside a
//! directory's data stay behind. The bucket is asked for its Region and encryption, and the prefix must hold
//! nothing else. Parts travel at once, bounded in memory. An upload that was killed goes on: the input is
//! read again, and what the bucket has with the same digest isn't sent again. A live stream can't be read
//! again: what a killed one left is taken away, and it begins anew. Afterwards the bucket is asked again.

mod bucket;
mod gate;
mod pass;
mod patience;
mod produce;
mod scrub;

use std::{
    future::Future,
    io::Read,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use super::{
    MAX_OBJECT, MAX_OBJECTS, MAX_TOTAL,
    manifest::{self, Form, Manifest},
    objects::Objects,
    split,
    tree::{self, Entries},
};
use crate::{
    aws::{
        policy::{self, Scope},
        s3::ObjectStore,
    },
    config::{Encryption, S3Place, StagingConfig},
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::Events,
    transit::inspection::{Inspection, Profile},
};
use bucket::Standing;
use pass::Pass;

pub use gate::{Admitted, Wish, admit};

/// How many bytes of parts are held at once, with the lists of what goes up.
const MEMORY: u64 = 160 << 20;
/// Memory is given out in pieces of so many bytes.
const UNIT: u64 = 64 << 10;
/// The largest part that is held in memory.
const MAX_HELD: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

/// Whether a program that wrote a stream ended well; asked after the stream's end, and before anything
/// of it can be seen in the bucket.
pub type Ended = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What goes up.
pub enum Source {
    /// A directory, each file as an object.
    Tree {
        /// The directory.
        directory: PathBuf,
    },
    /// A directory as one tar stream, compressed.
    TarGz {
        /// The directory.
        directory: PathBuf,
        /// The stream's name, such as `backup.tar.gz`.
        name: String,
    },
    /// Files that are ready, all in one directory.
    Files {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// What a program writes.
    Stream {
        /// The stream's name, such as `backup.xbstream`.
        name: String,
        /// Whether it is to be compressed (a tar stream); an xbstream never is.
        compress: bool,
        /// Its bytes.
        input: Box<dyn Read + Send>,
        /// Whether they are all.
        ended: Ended,
    },
}

/// Where it goes, and how.
pub struct Target {
    /// S3.
    pub store: Arc<dyn ObjectStore>,
    /// The bucket and prefix.
    pub place: S3Place,
    /// The Region in which the cluster will be.
    pub region: String,
    /// About how many bytes an object of a stream holds.
    pub split_bytes: u64,
    /// How many bytes a part holds.
    pub part_bytes: u64,
    /// How many parts travel at once.
    pub uploads: usize,
    /// How objects are to be encrypted.
    pub encryption: Encryption,
    /// The manifest's file: beside the backup, not below the prefix.
    pub manifest: PathBuf,
    /// By whose rules the files were looked at, and their fingerprint then; [`admit`] says so.
    pub inspected: Option<(Profile, String)>,
}

impl Target {
    /// As the configuration says.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        place: S3Place,
        region: String,
        staging: &StagingConfig,
        manifest: PathBuf,
    ) -> Self {
        Target {
            store,
            place,
            region,
            split_bytes: staging.split_bytes,
            part_bytes: staging.part_bytes,
            uploads: staging.uploads,
            encryption: staging.encryption.clone(),
            manifest,
            inspected: None,
        }
    }

    /// A refusal together with the policy that an upload needs.
    fn explained(&self, error: Error) -> Error {
        policy::explained(error, |named| {
            let asked = match &self.encryption {
                Encryption::Kms(key) => Some(key.as_str()),
                Encryption::Bucket | Encryption::S3 => None,
            };
            let region = Some(self.region.as_str()).filter(|region| !region.is_empty());
            Scope { place: &self.place, region, account: None, key: named.or(asked) }.upload()
        })
    }

    /// The keys' common beginning.
    fn prefix(&self) -> String {
        if self.place.prefix.is_empty() { String::new() } else { format!("{}/", self.place.prefix) }
    }
}

/// The manifest of a path that is uploaded: in it, or beside it if it is a file.
pub fn manifest_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(manifest::FILE);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!("{}-{}", manifest::FILE, name.unwrap_or_default()))
}

/// What is known of the input before it is read.
struct Input {
    source: Source,
    form: Form,
    name: Option<String>,
    /// What is in a directory.
    entries: Arc<Entries>,
    root: PathBuf,
    /// Bytes in all, if known.
    total: Option<u64>,
    /// Files that go up without the secrets that they hold here.
    cleaned: Vec<String>,
}

impl Input {
    fn look(source: Source) -> Result<Input> {
        let (form, name, root, mut entries) = match &source {
            Source::Tree { directory } => {
                (Form::Tree, None, directory.clone(), tree::walk(directory)?)
            }
            Source::TarGz { directory, name } => {
                (Form::TarGz, Some(name.clone()), directory.clone(), tree::walk(directory)?)
            }
            Source::Files { files } => {
                let (root, entries) = produce::ready_files(files)?;
                (Form::Files, None, root, entries)
            }
            Source::Stream { name, .. } => {
                (Form::Stream, Some(name.clone()), PathBuf::new(), Entries::default())
            }
        };
        if form != Form::Stream && entries.files().next().is_none() {
            return Err(Error::new(Kind::Usage, "there is no file to upload").at(root.display()));
        }
        let cleaned = match form {
            Form::Tree | Form::TarGz => scrub::substitute(&root, &mut entries)?,
            // Archives go up byte for byte.
            Form::Files | Form::Stream => Vec::new(),
        };
        let total =
            (form != Form::Stream).then(|| entries.iter().map(|entry| entry.about.size).sum());
        Ok(Input { source, form, name, entries: Arc::new(entries), root, total, cleaned })
    }

    /// Refuses what Aurora wouldn't restore from.
    fn check_limits(&self) -> Result<()> {
        let as_tar = "upload it as one stream with --as tar.gz";
        if self.form != Form::Stream && self.total.is_some_and(|total| total > MAX_TOTAL) {
            return Err(Error::new(Kind::Blocked, "the backup holds more than 64 TiB")
                .at(self.root.display())
                .next(
                    "Aurora's volume ends there: move the database by the logical route, in pieces",
                ));
        }
        if matches!(self.form, Form::Tree | Form::Files) {
            let files = self.entries.files().count();
            if files as u64 > MAX_OBJECTS {
                return Err(Error::new(
                    Kind::Blocked,
                    format!("{files} files are more than the {MAX_OBJECTS} objects that Aurora restores from"),
                )
                .at(self.root.display())
                .next(as_tar));
            }
            if let Some(entry) = self.entries.iter().find(|entry| entry.about.size > MAX_OBJECT) {
                return Err(Error::new(
                    Kind::Blocked,
                    "a file holds more than the 5 TB of an object that Aurora restores from",
                )
                .at(self.root.join(entry.name).display())
                .next(as_tar));
            }
        }
        Ok(())
    }

    fn fingerprint(&self) -> Option<String> {
        (self.form != Form::Stream).then(|| tree::fingerprint(&self.entries))
    }
}

/// Uploads, or goes on with it. When it returns, the bucket was asked and holds exactly what the
/// manifest says.
pub async fn upload(
    target: &Target,
    source: Source,
    events: &Events,
    stop: &StopSignal,
) -> Result<Manifest> {
    send(target, source, events, stop).await.map_err(|error| target.explained(error))
}

async fn send(
    target: &Target,
    source: Source,
    events: &Events,
    stop: &StopSignal,
) -> Result<Manifest> {
    let input = tokio::task::spawn_blocking(move || Input::look(source))
        .await
        .map_err(|error| Error::new(Kind::Bug, "looking at the files failed").because(error))??;
    input.check_limits()?;
    if !input.cleaned.is_empty() {
        events.info(format!(
            "{} goes up without the password in it (the file here stays as it is)",
            input.cleaned.join(", ")
        ));
    }
    let _held = manifest::hold(&target.manifest)?;
    let live = input.form == Form::Stream;
    let mut manifest = Manifest::new(
        target.place.clone(),
        input.form,
        input.name.clone(),
        target.encryption.clone(),
    );
    manifest.input = input.fingerprint();
    if let Some((profile, print)) = &target.inspected {
        if manifest.input.as_ref() != Some(print) {
            return Err(Error::new(Kind::State, "the files change while they are looked at")
                .at(input.root.display())
                .next("wait until the backup is complete, then the same command again"));
        }
        manifest.inspected = Some(*profile);
    }
    manifest.part_bytes = match input.form {
        Form::Tree | Form::Files => target.part_bytes,
        // It is held in memory until it is sent.
        Form::TarGz | Form::Stream => target.part_bytes.min(MAX_HELD),
    };
    manifest.parts_per_object = split::parts_per_object(target.split_bytes, manifest.part_bytes);
    let before = Manifest::load(&target.manifest)?;
    let begun = before.is_some();
    if let Some(before) = before {
        if !before.is_for_the_same(&manifest) {
            return Err(Error::new(
                Kind::State,
                format!("{} was begun for this path, in another way", before.place),
            )
            .at(target.manifest.display())
            .next(
                "go on with the same place, form, sizes and encryption as before; or delete what is \
                 below that prefix, remove the file, and begin again",
            ));
        }
        if before.complete && live {
            return Err(Error::new(Kind::State, "a stream was uploaded there already")
                .at(&target.place)
                .next("give another prefix and --manifest"));
        }
        if before.complete && before.input == manifest.input {
            events.info(format!("{} was uploaded already; asking the bucket", target.place));
            bucket::check(target, events, stop).await?;
            let lost = match bucket::ask(target, &before.objects, events, stop).await? {
                Standing::Whole(_) => return Ok(before),
                Standing::Lost(lost) => lost,
            };
            events.warn(format!("{lost}: what is missing is sent again"));
        }
        // What is there is known as long as it isn't complete again.
        manifest.objects = before.objects;
    }
    bucket::check(target, events, stop).await?;
    let mut found = bucket::look(target, &input, begun, events, stop).await?;
    manifest.save(&target.manifest)?;
    // The file has them.
    manifest.objects = Objects::default();
    if live {
        bucket::clear(target, &mut found, events, stop).await?;
    }
    let Input { source, entries, root, total, .. } = input;
    let room = Room::of(target, &manifest, &entries, events);
    let mut left = Some(source);
    // A second time if objects from before were of another state of the files.
    for again in [false, true] {
        let Some(source) = left.take() else { break };
        left = repeatable(&source);
        let there = std::mem::take(&mut found);
        let pass = Pass::new(target, &manifest, there, total, room, events, stop);
        let outcome = pass.run(produce::Work::of(source, root.clone(), entries.clone())).await?;
        if outcome.stale.is_empty() {
            manifest.objects = outcome.objects;
            break;
        }
        if again {
            return Err(Error::new(Kind::State, "the files change while they are uploaded")
                .at(root.display())
                .next("wait until the backup is complete, then the same command again"));
        }
        events.warn(format!(
            "{} objects are of another state of {}: they are sent again",
            outcome.stale.len(),
            root.display()
        ));
        for key in &outcome.stale {
            patience::patiently(events, stop, || target.store.delete(&target.place.bucket, key))
                .await?;
        }
        found = bucket::Found::default();
        outcome.objects.sizes().for_each(|(key, size)| found.present.push(key, size));
    }
    // What S3 tells takes their place.
    drop((entries, found));
    #[cfg(feature = "failpoints")]
    crate::engine::failpoint::reached("upload-sent");
    let answers = bucket::verify(target, &manifest.objects, events, stop).await?;
    manifest.objects.told(answers);
    manifest.complete = true;
    manifest.save(&target.manifest)?;
    #[cfg(feature = "failpoints")]
    crate::engine::failpoint::reached("upload-complete");
    Ok(manifest)
}

/// Whether the bucket will do, and whoever runs this may look at what is in it. Whether they may write
/// shows when something is written.
///
/// # Errors
/// `AwsDenied` with the policy that an upload needs.
pub async fn reach(target: &Target, events: &Events, stop: &StopSignal) -> Result<()> {
    let (store, bucket, prefix) = (&target.store, &target.place.bucket, target.prefix());
    let asked = async {
        bucket::check(target, events, stop).await?;
        patience::patiently(events, stop, || store.list(bucket, &prefix, None)).await?;
        patience::patiently(events, stop, || store.uploads(bucket, &prefix)).await
    };
    asked.await.map(drop).map_err(|error| target.explained(error))
}

/// What the bucket lost of a complete upload: the first object that is missing or isn't what was sent.
/// None: it holds exactly what the manifest says.
///
/// # Errors
/// `Different` when there are objects that this upload never sent, or when they are encrypted in another
/// way: sending again would mend neither.
pub async fn lost(
    target: &Target,
    manifest: &Manifest,
    events: &Events,
    stop: &StopSignal,
) -> Result<Option<String>> {
    let asked = async {
        bucket::check(target, events, stop).await?;
        match bucket::ask(target, &manifest.objects, events, stop).await? {
            Standing::Whole(_) => Ok(None),
            Standing::Lost(lost) => Ok(Some(lost)),
        }
    };
    asked.await.map_err(|error| target.explained(error))
}

/// Asks the bucket whether it still holds exactly what a complete manifest says.
pub async fn verify(
    target: &Target,
    manifest: &Manifest,
    events: &Events,
    stop: &StopSignal,
) -> Result<()> {
    let asked = bucket::verify(target, &manifest.objects, events, stop).await;
    asked.map(drop).map_err(|error| target.explained(error))
}

/// What stands in the way of a stream that was looked at while it went up, as [`admit`] does of what can be
/// read again: as an error, before anything of it can be seen in the bucket.
///
/// # Errors
/// `Blocked`, of the heaviest finding.
pub fn refuse(found: &mut Inspection, wish: Wish) -> Result<()> {
    gate::refuse_secrets(found, wish, false);
    match found.blockers().next() {
        Some(finding) => {
            Err(Error::new(Kind::Blocked, finding.why.clone()).next(finding.remedy.clone()))
        }
        None => Ok(()),
    }
}

/// Takes away what an upload put there: its objects, and what is under way; then the manifest.
/// Idempotent. `directory` is what was uploaded, if it was one: an upload that isn't complete has no
/// list of its objects yet. What others put below the prefix stays.
pub async fn undo(
    target: &Target,
    directory: Option<&Path>,
    events: &Events,
    stop: &StopSignal,
) -> Result<()> {
    take_back(target, directory, events, stop).await.map_err(|error| target.explained(error))
}

async fn take_back(
    target: &Target,
    directory: Option<&Path>,
    events: &Events,
    stop: &StopSignal,
) -> Result<()> {
    let Some(manifest) = Manifest::load(&target.manifest)? else { return Ok(()) };
    let _held = manifest::hold(&target.manifest)?;
    if manifest.place != target.place {
        return Err(Error::new(Kind::State, format!("the manifest is of {}", manifest.place))
            .at(target.manifest.display()));
    }
    let prefix = target.prefix();
    // A complete one knows them all: what was uploaded may be gone.
    let entries = match (&manifest.name, directory, manifest.complete) {
        (None, Some(directory), false) => tree::walk(directory)?,
        _ => Entries::default(),
    };
    let is_ours = |key: &str| {
        let name = key.strip_prefix(&prefix).unwrap_or(key);
        manifest.objects.find(key).is_some()
            || key.starts_with(&prefix) && entries.has(name)
            || manifest.name.as_ref().is_some_and(|stream| split::number(stream, name).is_some())
    };
    let (store, bucket) = (&target.store, &target.place.bucket);
    for begun in patience::first(events, stop, || store.uploads(bucket, &prefix)).await? {
        if is_ours(&begun.key) {
            patience::patiently(events, stop, || store.abort(bucket, &begun)).await?;
        }
    }
    let mut page = None;
    loop {
        let listed =
            patience::patiently(events, stop, || store.list(bucket, &prefix, page.clone())).await?;
        for object in &listed.objects {
            if is_ours(&object.key) {
                patience::patiently(events, stop, || store.delete(bucket, &object.key)).await?;
            }
        }
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    std::fs::remove_file(&target.manifest)
        .map_err(|error| Error::from(error).at(target.manifest.display()))
}

/// The same input once more, where it can be read again.
fn repeatable(source: &Source) -> Option<Source> {
    match source {
        Source::Tree { directory } => Some(Source::Tree { directory: directory.clone() }),
        Source::TarGz { directory, name } => {
            Some(Source::TarGz { directory: directory.clone(), name: name.clone() })
        }
        Source::Files { files } => Some(Source::Files { files: files.clone() }),
        Source::Stream { .. } => None,
    }
}

/// How much memory there is for what travels, in units.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// In all.
    units: u32,
    /// What the smallest piece takes, so that no more travel at once than asked for.
    least: u32,
    /// What a part takes.
    part: u32,
}

impl Room {
    /// For as many parts as travel and one more that is being filled, but not for more than there is memory
    /// beside the lists of what goes up.
    fn of(target: &Target, manifest: &Manifest, entries: &Entries, events: &Events) -> Room {
        // Of each file that goes up as an object there are the entry, the object, and what S3 has of it.
        let lists = match manifest.form {
            Form::Tree | Form::Files => 3 * entries.bytes(),
            Form::TarGz | Form::Stream => entries.bytes(),
        };
        let part = manifest.part_bytes.clamp(MIB, MAX_HELD);
        let fit = (MEMORY.saturating_sub(lists) / part).max(2);
        let wanted = target.uploads as u64 + 1;
        if wanted > fit {
            events.detail(format!(
                "{} parts of {} MiB travel at once, not {}: memory is bounded",
                fit - 1,
                part / MIB,
                target.uploads
            ));
        }
        let units = |bytes: u64| u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let all = units(fit.min(wanted) * part);
        Room { units: all, least: units(fit.min(wanted) * part / wanted), part: units(part) }
    }

    /// What a piece of so many bytes takes.
    fn for_bytes(self, bytes: u64) -> u32 {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        units.clamp(self.least.min(self.part), self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::{named::Named, tree::About};

    fn input(form: Form, sizes: impl Iterator<Item = u64>) -> Input {
        let mut entries = Named::default();
        let mut total = 0;
        for (number, size) in sizes.enumerate() {
            total += size;
            let about = About { size, changed: (0, 0), directory: false };
            entries.push(&format!("t{number}.ibd"), about);
        }
        // Directories are no objects.
        entries.push("shop", About { size: 0, changed: (0, 0), directory: true });
        let total = (form != Form::Stream).then_some(total);
        let directory = PathBuf::from("/staging/full");
        Input {
            source: Source::Tree { directory: directory.clone() },
            form,
            name: None,
            entries: Arc::new(Entries::from(entries)),
            root: directory,
            total,
            cleaned: Vec::new(),
        }
    }

    /// Both sides of each bound, and where it doesn't hold.
    #[test]
    fn what_aurora_would_not_restore_from_is_refused() {
        let fits = |form, sizes: &[u64]| input(form, sizes.iter().copied()).check_limits();
        let refused = |form, sizes: &[u64], words: &str, next: &str| {
            let error = fits(form, sizes).unwrap_err();
            assert_eq!(error.kind(), Kind::Blocked);
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("/staging/full"), "{text}");
            assert!(error.next_step().is_some_and(|hint| hint.contains(next)), "{text}");
        };
        // An object.
        fits(Form::Tree, &[1, MAX_OBJECT]).unwrap();
        for form in [Form::Tree, Form::Files] {
            refused(form, &[1, MAX_OBJECT + 1], "5 TB", "--as tar.gz");
        }
        for form in [Form::TarGz, Form::Stream] {
            fits(form, &[1, MAX_OBJECT + 1]).unwrap();
        }
        // All of it: 64 TiB in files that may each be an object.
        let much = [vec![MAX_OBJECT; 14], vec![MAX_TOTAL - 14 * MAX_OBJECT]].concat();
        assert!(much.iter().all(|size| *size <= MAX_OBJECT));
        let more = [much.clone(), vec![1]].concat();
        for form in [Form::Tree, Form::TarGz, Form::Files] {
            fits(form, &much).unwrap();
            refused(form, &more, "64 TiB", "logical route");
        }
        fits(Form::Stream, &more).unwrap();
        // How many there are.
        let many = |form, count: u64| input(form, (0..count).map(|_| 1)).check_limits();
        for form in [Form::Tree, Form::Files] {
            many(form, MAX_OBJECTS).unwrap();
            let text = many(form, MAX_OBJECTS + 1).unwrap_err().to_string();
            assert!(text.contains("1000001 files"), "{text}");
        }
        many(Form::TarGz, MAX_OBJECTS + 1).unwrap();
    }
}
