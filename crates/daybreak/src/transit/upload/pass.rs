//! One way through the input: its pieces are hashed and sent at once, and each object is put together as
//! soon as all its parts are there (a live stream's only once the program that wrote it ended well).

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read as _, Seek as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{
    MAX_HELD, Room, Target,
    bucket::Found,
    patience::patiently,
    produce::{Piece, Work},
};
use crate::{
    aws::s3::{self, Begun, Head, ObjectStore, Part, Payload, base64, composite},
    config::Encryption,
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    transit::{
        manifest::Manifest,
        objects::{Object, Objects},
    },
};

/// What every task of a pass knows.
pub(super) struct Shared {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    prefix: String,
    encryption: Encryption,
    pub part_bytes: u64,
    pub parts_per_object: u32,
    found: Found,
    events: Events,
    stop: StopSignal,
    /// The memory for pieces, in units.
    permits: Arc<Semaphore>,
    room: Room,
    total: Option<u64>,
    /// Bytes of the input that are done with.
    pub done: AtomicU64,
    /// Bytes that were sent.
    sent: AtomicU64,
    /// Bytes that the bucket had already.
    kept: AtomicU64,
}

impl Shared {
    /// The right to hold one piece more, of so many bytes; none if the upload has failed.
    pub async fn permit(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_many_owned(self.room.for_bytes(bytes)).await.ok()
    }

    /// Bytes of the input were read.
    pub fn read(&self, bytes: u64) -> io::Result<()> {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.stop.check().map_err(io::Error::other)
    }

    fn show(&self, now: &str) {
        self.events.send(Event::Progress {
            task: "upload".into(),
            now: now.into(),
            done: self.done.load(Ordering::Relaxed),
            total: self.total,
            unit: Unit::Bytes,
            bytes: self.sent.load(Ordering::Relaxed),
        });
    }
}

/// How an object's parts are dealt with.
enum Way {
    /// They are sent, except those that the bucket has.
    Send { begun: Begun, have: HashMap<u32, Part> },
    /// The object is there already: it is only compared.
    Compare(Head),
}

/// An object under way.
struct Under {
    name: Arc<str>,
    way: Arc<OnceCell<Way>>,
    parts: Vec<Part>,
    expected: Option<u32>,
}

/// An object of a live stream whose parts are all there. They are many: the bucket knows them, and here
/// is only what tells whether it still has them.
#[derive(Clone)]
struct Ready {
    begun: Begun,
    object: Object,
}

enum Finished {
    Part { object: usize, part: Part },
    Object { object: usize, made: Object, stale: bool },
}

/// What a pass came to.
#[derive(Default)]
pub(super) struct Outcome {
    /// The objects, in the order of their keys.
    pub objects: Objects,
    /// Keys of objects from before that aren't what the input says.
    pub stale: Vec<String>,
}

pub(super) struct Pass {
    shared: Arc<Shared>,
    under: BTreeMap<usize, Under>,
    /// Those of a live stream that wait for the end of its program.
    ready: BTreeMap<usize, Ready>,
    outcome: Objects,
    stale: Vec<String>,
    tasks: JoinSet<Result<Finished>>,
    /// A live stream's objects wait until its program has ended well.
    live: bool,
}

impl Pass {
    pub fn new(
        target: &Target,
        manifest: &Manifest,
        found: Found,
        total: Option<u64>,
        room: Room,
        events: &Events,
        stop: &StopSignal,
    ) -> Self {
        Pass {
            shared: Arc::new(Shared {
                store: target.store.clone(),
                bucket: target.place.bucket.clone(),
                prefix: target.prefix(),
                encryption: target.encryption.clone(),
                part_bytes: manifest.part_bytes,
                parts_per_object: manifest.parts_per_object,
                found,
                events: events.clone(),
                stop: stop.clone(),
                permits: Arc::new(Semaphore::new(room.units as usize)),
                room,
                total,
                done: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                kept: AtomicU64::new(0),
            }),
            under: BTreeMap::new(),
            ready: BTreeMap::new(),
            outcome: Objects::default(),
            stale: Vec::new(),
            tasks: JoinSet::new(),
            live: false,
        }
    }

    /// Sends everything.
    pub async fn run(mut self, mut work: Work) -> Result<Outcome> {
        let ended = work.ended();
        self.live = ended.is_some();
        let result = match self.send(work).await {
            Ok(()) => match ended {
                Some(ended) => self.publish(ended).await,
                None => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            // Lets the producer end, too.
            self.shared.permits.close();
            self.tasks.shutdown().await;
            return Err(self.give_up(error).await);
        }
        let kept = self.shared.kept.load(Ordering::Relaxed);
        if kept > 0 {
            self.shared.events.info(format!("{kept} bytes were in the bucket already"));
        }
        self.outcome.sort();
        Ok(Outcome { objects: self.outcome, stale: self.stale })
    }

    async fn send(&mut self, work: Work) -> Result<()> {
        let files = matches!(work, Work::Files { .. });
        let (mut pieces, produced) = work.start(self.shared.clone())?;
        let mut open = true;
        while open || !self.tasks.is_empty() {
            tokio::select! {
                () = self.shared.stop.stopped() => self.shared.stop.check()?,
                Some(finished) = self.tasks.join_next() => {
                    let finished = finished.map_err(|error| {
                        Error::new(Kind::Bug, "a task of the upload failed").because(error)
                    })?;
                    self.finished(finished?)?;
                }
                piece = pieces.recv(), if open => match piece {
                    Some((piece, permit)) => self.take(piece, permit, files)?,
                    None => open = false,
                },
            }
        }
        produced.await.map_err(|_| Error::new(Kind::Bug, "what reads the backup failed"))?
    }

    /// Begins with a piece.
    fn take(
        &mut self,
        piece: Piece,
        permit: Option<OwnedSemaphorePermit>,
        counts: bool,
    ) -> Result<()> {
        let shared = self.shared.clone();
        match piece {
            Piece::Whole { object, name, payload } => {
                self.tasks.spawn(async move {
                    let size = payload.len();
                    let made = whole(&shared, &name, payload).await?;
                    drop(permit);
                    if counts {
                        shared.done.fetch_add(size, Ordering::Relaxed);
                    }
                    shared.show(&name);
                    Ok(Finished::Object { object, made, stale: false })
                });
            }
            Piece::Part { object, name, number, payload } => {
                let way = self.under(object, &name).way.clone();
                self.tasks.spawn(async move {
                    let size = payload.len();
                    let part = part(&shared, &name, &way, number, payload).await?;
                    drop(permit);
                    if counts {
                        shared.done.fetch_add(size, Ordering::Relaxed);
                    }
                    shared.show(&name);
                    Ok(Finished::Part { object, part })
                });
            }
            Piece::End { object, name, parts } => {
                self.under(object, &name).expected = Some(parts);
                self.maybe_complete(object)?;
            }
        }
        Ok(())
    }

    fn under(&mut self, object: usize, name: &Arc<str>) -> &mut Under {
        self.under.entry(object).or_insert_with(|| Under {
            name: name.clone(),
            way: Arc::new(OnceCell::new()),
            parts: Vec::new(),
            expected: None,
        })
    }

    fn finished(&mut self, finished: Finished) -> Result<()> {
        match finished {
            Finished::Part { object, part } => {
                if let Some(under) = self.under.get_mut(&object) {
                    under.parts.push(part);
                }
                self.maybe_complete(object)?;
            }
            Finished::Object { object, made, stale } => {
                if stale {
                    self.stale.push(made.key.clone());
                }
                self.ready.remove(&object);
                self.outcome.push(&made);
            }
        }
        Ok(())
    }

    /// Puts an object together once all its parts are there.
    fn maybe_complete(&mut self, object: usize) -> Result<()> {
        let whole = self.under.get(&object).is_some_and(|under| {
            under.expected.is_some_and(|count| count as usize == under.parts.len())
        });
        if !whole {
            return Ok(());
        }
        let Some(mut under) = self.under.remove(&object) else { return Ok(()) };
        let shared = self.shared.clone();
        under.parts.sort_by_key(|part| part.number);
        let made = object_of(&shared, &under);
        if self.live {
            let Some(Way::Send { begun, .. }) = under.way.get() else {
                return Err(Error::new(Kind::Bug, "a stream's object wasn't begun").at(&made.key));
            };
            self.ready.insert(object, Ready { begun: begun.clone(), object: made });
            return Ok(());
        }
        self.tasks.spawn(async move {
            let (made, stale) = complete(&shared, made, &under).await?;
            Ok(Finished::Object { object, made, stale })
        });
        Ok(())
    }

    /// The program that wrote a stream has ended: if well, its objects are put together.
    async fn publish(&mut self, ended: super::Ended) -> Result<()> {
        tokio::select! {
            ended = ended => ended?,
            () = self.shared.stop.stopped() => self.shared.stop.check()?,
        }
        for (&object, ready) in &self.ready {
            let (shared, ready) = (self.shared.clone(), ready.clone());
            self.tasks.spawn(async move {
                // As many lists of parts at once as pieces: each is smaller.
                let _permit = shared.permit(shared.part_bytes).await;
                let made = publish(&shared, ready).await?;
                Ok(Finished::Object { object, made, stale: false })
            });
        }
        while let Some(finished) = self.tasks.join_next().await {
            let finished = finished.map_err(|error| {
                Error::new(Kind::Bug, "a task of the upload failed").because(error)
            })?;
            self.finished(finished?)?;
        }
        Ok(())
    }

    /// What is left to do about a failure. A stream can't be gone on with: its half upload would lie there
    /// unseen, and cost.
    async fn give_up(&self, error: Error) -> Error {
        if !self.live {
            return match error.kind() {
                Kind::Interrupted | Kind::Paused => error
                    .next("the same command goes on from here: what was sent stays in the bucket"),
                _ => error,
            };
        }
        // Asked to stop or not: this has to be done.
        let patient = StopSignal::default();
        let shared = &self.shared;
        let mut left = 0;
        let begun = self.under.values().filter_map(|under| match under.way.get() {
            Some(Way::Send { begun, .. }) => Some(begun),
            _ => None,
        });
        for begun in begun.chain(self.ready.values().map(|ready| &ready.begun)) {
            let aborted =
                patiently(&shared.events, &patient, || shared.store.abort(&shared.bucket, begun));
            left += usize::from(aborted.await.is_err());
        }
        // One that was being put together may be there or not.
        let ready = self.ready.values().map(|ready| (ready.object.key.as_str(), ready.object.size));
        for (key, _) in self.outcome.sizes().chain(ready) {
            let deleted =
                patiently(&shared.events, &patient, || shared.store.delete(&shared.bucket, key));
            left += usize::from(deleted.await.is_err());
        }
        shared.events.warn(match left {
            0 => "the stream was cut off: what was sent of it was taken away from the bucket".to_string(),
            left => format!(
                "the stream was cut off, and {left} uploads of it could not be taken away: the same \
                 command does it before it begins anew"
            ),
        });
        match error.kind() {
            Kind::Interrupted | Kind::Paused => error
                .next("a live stream begins anew: start the backup again, with the same command"),
            _ => error,
        }
    }
}

/// The bytes in memory with their digest; a part that is too large for that stays in its file.
async fn load(payload: Payload) -> Result<(Payload, [u8; 32])> {
    let work = move || -> io::Result<(Payload, [u8; 32])> {
        let (path, offset, length) = match payload {
            Payload::Memory(bytes) => {
                let digest = Sha256::digest(&bytes).into();
                return Ok((Payload::Memory(bytes), digest));
            }
            Payload::File { path, offset, length } => (path, offset, length),
        };
        let mut file = std::fs::File::open(&path)?;
        file.seek(io::SeekFrom::Start(offset))?;
        let short = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => crate::transit::tree::changed(&path),
            _ => error,
        };
        if length <= MAX_HELD {
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact(&mut bytes).map_err(short)?;
            let digest = Sha256::digest(&bytes).into();
            return Ok((Payload::Memory(Bytes::from(bytes)), digest));
        }
        let mut digest = Sha256::new();
        let read = io::copy(&mut (&mut file).take(length), &mut digest)?;
        if read < length {
            return Err(crate::transit::tree::changed(&path));
        }
        Ok((Payload::File { path, offset, length }, digest.finalize().into()))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(Kind::Bug, "hashing failed").because(error))?
        .map_err(|error| Error::new(Kind::Io, "the backup could not be read").because(error))
}

/// Sends an object in one request, unless the bucket has it.
async fn whole(shared: &Shared, name: &str, payload: Payload) -> Result<Object> {
    let key = format!("{}{name}", shared.prefix);
    let (payload, digest) = load(payload).await.map_err(|error| error.at(name))?;
    let (size, sha256) = (payload.len(), base64(digest));
    let (events, stop) = (&shared.events, &shared.stop);
    let object = Object { key, size, sha256, etag: None, encryption: None };
    let (bucket, key) = (&shared.bucket, &object.key);
    if shared.found.size(key) == Some(size) {
        let head = patiently(events, stop, || shared.store.head(bucket, key)).await?;
        if head.is_some_and(|head| head.sha256.as_deref() == Some(&object.sha256)) {
            shared.kept.fetch_add(size, Ordering::Relaxed);
            return Ok(object);
        }
    }
    patiently(events, stop, || {
        shared.store.put(bucket, key, payload.clone(), &object.sha256, &shared.encryption)
    })
    .await?;
    shared.sent.fetch_add(size, Ordering::Relaxed);
    Ok(object)
}

/// Sends a part, unless the bucket has it.
async fn part(
    shared: &Shared,
    name: &str,
    way: &OnceCell<Way>,
    number: u32,
    payload: Payload,
) -> Result<Part> {
    let (payload, digest) = load(payload).await.map_err(|error| error.at(name))?;
    let way = way.get_or_try_init(|| find_way(shared, name)).await?;
    let mut part =
        Part { number, size: payload.len(), sha256: base64(digest), etag: String::new() };
    match way {
        Way::Compare(_) => {
            shared.kept.fetch_add(part.size, Ordering::Relaxed);
        }
        Way::Send { have, .. } if have.get(&number).is_some_and(|had| same(had, &part)) => {
            shared.kept.fetch_add(part.size, Ordering::Relaxed);
            part.etag.clone_from(&have[&number].etag);
        }
        Way::Send { begun, .. } => {
            part.etag = patiently(&shared.events, &shared.stop, || {
                shared.store.part((&shared.bucket, begun), number, payload.clone(), &part.sha256)
            })
            .await?;
            shared.sent.fetch_add(part.size, Ordering::Relaxed);
        }
    }
    Ok(part)
}

fn same(had: &Part, part: &Part) -> bool {
    had.size == part.size && had.sha256 == part.sha256
}

/// Whether an object is to be sent, gone on with, or only compared.
async fn find_way(shared: &Shared, name: &str) -> Result<Way> {
    let key = format!("{}{name}", shared.prefix);
    let (events, stop, bucket) = (&shared.events, &shared.stop, &shared.bucket);
    if let Some(begun) = shared.found.begun.get(&key) {
        let parts = patiently(events, stop, || shared.store.parts(bucket, begun)).await?;
        if let Some(parts) = parts {
            let have = parts.into_iter().map(|part| (part.number, part)).collect();
            return Ok(Way::Send { begun: begun.clone(), have });
        }
    }
    if shared.found.size(&key).is_some() {
        let head = patiently(events, stop, || shared.store.head(bucket, &key)).await?;
        if let Some(head) = head {
            return Ok(Way::Compare(head));
        }
    }
    let id =
        patiently(events, stop, || shared.store.create(bucket, &key, &shared.encryption)).await?;
    Ok(Way::Send { begun: Begun { key, id }, have: HashMap::new() })
}

/// What an object is to be by its parts, which are in order.
fn object_of(shared: &Shared, under: &Under) -> Object {
    Object {
        key: format!("{}{}", shared.prefix, under.name),
        size: under.parts.iter().map(|part| part.size).sum(),
        sha256: composite(&under.parts),
        etag: None,
        encryption: None,
    }
}

fn is(head: &s3::Head, object: &Object) -> bool {
    head.size == object.size && head.sha256.as_deref() == Some(&object.sha256)
}

/// Makes an object of its parts. True: one from before is there that isn't what the parts say.
async fn complete(shared: &Shared, object: Object, under: &Under) -> Result<(Object, bool)> {
    match under.way.get() {
        Some(Way::Compare(head)) => {
            let stale = !is(head, &object);
            Ok((object, stale))
        }
        Some(Way::Send { begun, .. }) => {
            put_together(shared, begun, &object, &under.parts).await?;
            Ok((object, false))
        }
        None => Err(Error::new(Kind::Bug, "an object has no parts").at(&object.key)),
    }
}

/// Makes an object of a live stream of the parts that the bucket has, if they are those that were sent.
async fn publish(shared: &Shared, ready: Ready) -> Result<Object> {
    let Ready { begun, object } = ready;
    let (events, stop, bucket) = (&shared.events, &shared.stop, &shared.bucket);
    let parts = patiently(events, stop, || shared.store.parts(bucket, &begun)).await?;
    let parts = parts.unwrap_or_default();
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if size != object.size || composite(&parts) != object.sha256 {
        return Err(Error::new(Kind::Different, "the bucket's parts aren't those that were sent")
            .at(&object.key)
            .next(
                "look for a lifecycle rule of the bucket that aborts uploads, and who else writes there; the \
                 stream begins anew, with the same command",
            ));
    }
    put_together(shared, &begun, &object, &parts).await?;
    Ok(object)
}

async fn put_together(
    shared: &Shared,
    begun: &Begun,
    object: &Object,
    parts: &[Part],
) -> Result<()> {
    let (events, stop, bucket) = (&shared.events, &shared.stop, &shared.bucket);
    let made = patiently(events, stop, || shared.store.complete(bucket, begun, parts)).await?;
    // An answer that was lost: asked again, S3 knows the upload no more.
    if !made {
        let head = patiently(events, stop, || shared.store.head(bucket, &object.key)).await?;
        if !head.as_ref().is_some_and(|head| is(head, object)) {
            return Err(Error::new(Kind::Aws, "an upload was given up by someone else")
                .at(&object.key)
                .next(
                    "look for a lifecycle rule of the bucket that aborts uploads; the same \
                     command begins that object again",
                ));
        }
    }
    Ok(())
}
