//! Takes one backup, into a directory or as a stream.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    chain::{self, BackupState, Held, TakenBackup},
    check::{self, Checked},
    command::{self, BackupOptions, Destination, Pages, StreamFormat},
    info::{self, Checkpoints},
    login::Login,
    progress::{InnodbStatus, Progress},
    run::{Ended, Running},
};
use crate::{
    config::BackupConfig,
    engine::{Severity, StopSignal},
    error::{Error, Kind, Result},
    event::Events,
    mysql::{Coordinates, ServerUrl, Session, Side},
    transit::inspection::BackupKind,
};

/// How long a checkpoint of the server is waited for before an incremental backup.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(20);

/// Which pages are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    Full,
    /// Those that changed since another backup of the same directory; none: the newest whole one.
    Incremental {
        /// The base's name.
        base: Option<String>,
    },
}

/// A backup to be taken.
#[derive(Debug, Clone)]
pub struct Request {
    /// The server.
    pub source: ServerUrl,
    /// How.
    pub config: BackupConfig,
    /// The directory of the manifest, in which a backup that isn't streamed gets a directory of its own.
    pub to: PathBuf,
    /// Its name; none: `full`, `inc1` and so on. One that is there and whole isn't taken again, so that
    /// a step that was killed can ask for the same.
    pub name: Option<String>,
    /// Which pages.
    pub wanted: Wanted,
}

/// Looks at a backup in a directory before it counts as whole. May block.
pub type Inspect = Box<dyn FnOnce(&Path) -> Result<()> + Send>;

/// A backup under way.
struct Work {
    source: ServerUrl,
    held: Held,
    backup: TakenBackup,
    checked: Checked,
    login: Login,
    pages: Pages,
    base: Option<TakenBackup>,
    log: PathBuf,
}

/// Either there is nothing to do, or there is.
enum Begun {
    Taken(Box<TakenBackup>),
    Work(Box<Work>),
}

/// Takes a backup into a directory of its own below `request.to`. `inspect` looks at it before it
/// counts as whole.
///
/// # Errors
/// What stands in the way, with its remedy; `Backup` when the tool failed or left something that isn't
/// whole. An unfinished backup stays marked so, and the next one replaces it.
pub async fn take(
    request: &Request,
    inspect: Option<Inspect>,
    stop: &StopSignal,
    events: &Events,
) -> Result<TakenBackup> {
    let work = match begin(request, None, stop, events).await? {
        Begun::Taken(backup) => return Ok(*backup),
        Begun::Work(work) => *work,
    };
    let directory = work.held.place(&work.backup.name);
    let options = BackupOptions {
        login: work.login.file().to_path_buf(),
        data_directory: data_directory(request, &work.checked),
        parallel: request.config.parallel,
        throttle: request.config.throttle,
        pages: work.pages.clone(),
        destination: Destination::Directory(directory.clone()),
    };
    let tool = &work.checked.tool;
    let arguments = command::backup(tool, &options);
    events.info(format!("{}: {}", work.backup.name, command::shown(&tool.program, &arguments)));
    let running = Running::start(&tool.program, &arguments, work.held.directory(), false).await?;
    let ended = follow(running, request, &work, stop, events).await?;
    ended.success()?;
    finish(work, &directory, inspect, None, events).await
}

/// Takes a backup as a stream. Nothing of it lies on disk; the manifest in `request.to` knows of it, so
/// that incremental ones can be based on it.
///
/// # Errors
/// What stands in the way, with its remedy.
pub async fn take_stream(
    request: &Request,
    format: StreamFormat,
    stop: &StopSignal,
    events: &Events,
) -> Result<BackupStream> {
    let work = match begin(request, Some(format), stop, events).await? {
        Begun::Taken(backup) => {
            return Err(Error::new(
                Kind::State,
                format!("the stream {} was taken already, and has left", backup.name),
            )
            .next("give another name, or none"));
        }
        Begun::Work(work) => *work,
    };
    let lsn = work.login.scratch("lsn")?;
    let spool = Spool::make(work.held.directory())?;
    let scratch = spool.0.clone();
    let options = BackupOptions {
        login: work.login.file().to_path_buf(),
        data_directory: data_directory(request, &work.checked),
        parallel: request.config.parallel,
        throttle: request.config.throttle,
        pages: work.pages.clone(),
        destination: Destination::Stream { format, scratch: scratch.clone(), lsn: lsn.clone() },
    };
    let tool = work.checked.tool.clone();
    let arguments = command::backup(&tool, &options);
    events.info(format!("{}: {}", work.backup.name, command::shown(&tool.program, &arguments)));
    let mut running = Running::start(&tool.program, &arguments, &scratch, true).await?;
    let reader =
        running.stdout().ok_or_else(|| Error::new(Kind::Bug, "a stream without an output"))?;
    let name = work.backup.name.clone();
    let (request, stop, told) = (request.clone(), stop.clone(), events.clone());
    let task = tokio::spawn(async move {
        let ended = follow(running, &request, &work, &stop, &told).await?;
        drop(spool);
        ended.success()?;
        Ok((work, lsn))
    });
    Ok(BackupStream {
        reader,
        handle: StreamHandle { name, task: Task(task), events: events.clone() },
    })
}

/// A backup that is being streamed.
#[derive(Debug)]
pub struct BackupStream {
    /// The stream, for a thread that may block. Its end says nothing: a tool that died has an end too.
    pub reader: std::io::PipeReader,
    /// Says whether what was read is a backup.
    pub handle: StreamHandle,
}

/// Says how a stream ended. Dropping it ends the tool.
pub struct StreamHandle {
    name: String,
    task: Task,
    events: Events,
}

/// A task that ends when nobody waits for it any more, and its tool with it.
struct Task(tokio::task::JoinHandle<Result<(Work, PathBuf)>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamHandle({})", self.name)
    }
}

impl StreamHandle {
    /// The backup's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the tool, when the stream was read to its end. Nothing that was made of the stream may
    /// count as a backup before this has returned. `bytes`: how many were read. `inspect` looks at the
    /// few files that the tool left beside the stream, before it counts as whole.
    ///
    /// # Errors
    /// As [`take`].
    pub async fn finish(mut self, bytes: u64, inspect: Option<Inspect>) -> Result<TakenBackup> {
        let ended = (&mut self.task.0).await;
        let (work, lsn) = ended
            .map_err(|error| Error::new(Kind::Bug, "a stream's task is gone").because(error))??;
        finish(work, &lsn, inspect, Some(bytes), &self.events).await
    }
}

/// Where a streaming tool puts what it must keep until the stream's end (XtraBackup 2.x with tar: the redo
/// log): private, beside the chain, and not where the system has its temporary files. Gone when this is
/// dropped; what a killed one left is removed by the next, since the chain is held by one.
struct Spool(PathBuf);

const SPOOL: &str = ".daybreak-stream-tmp";

impl Spool {
    fn make(beside: &Path) -> Result<Spool> {
        let path = beside.join(SPOOL);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::from(error).at(path.display()))?;
        Ok(Spool(path))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = chain::remove_tree(&self.0) {
            tracing::warn!(%error, "what a tool kept while it streamed is left");
        }
    }
}

/// The option that names the data directory, for the tools that take it: only where it isn't as the
/// server says.
fn data_directory(request: &Request, checked: &Checked) -> Option<PathBuf> {
    request.config.data_directory.as_ref().map(|_| checked.data_directory.clone())
}

/// Everything before the tool starts: what was left is cleared away, base and source are checked, and
/// the manifest says that a backup begins.
async fn begin(
    request: &Request,
    stream: Option<StreamFormat>,
    stop: &StopSignal,
    events: &Events,
) -> Result<Begun> {
    stop.check()?;
    if let Some(name) = &request.name {
        chain::check_name(name)?;
    }
    let mut held = Held::hold(&request.to)?;
    chain::remove_tree(&held.directory().join(SPOOL))?;
    for name in held.drop_unfinished()? {
        events.warn(format!("removed the backup {name}, which was never finished"));
    }
    if let Some(name) = &request.name
        && let Ok(backup) = held.chain.get(name)
    {
        return match backup.state {
            BackupState::Whole => Ok(Begun::Taken(Box::new(backup.clone()))),
            _ => Err(Error::new(Kind::State, format!("the backup {name} was prepared already"))
                .next("give another name, or none")),
        };
    }
    let base = match &request.wanted {
        Wanted::Full => None,
        Wanted::Incremental { base: Some(base) } => Some(held.chain.get(base)?.clone()),
        Wanted::Incremental { base: None } => {
            let newest = held.chain.last_whole().cloned().ok_or_else(|| {
                Error::new(Kind::Backup, "there is no whole backup to base an incremental one on")
                    .at(held.directory().display())
                    .next("take a full backup first")
            })?;
            Some(newest)
        }
    };
    let mut session = Session::open(&request.source, Side::Source).await?;
    let to = stream.is_none().then(|| held.directory().to_path_buf());
    let checked = check::check(
        &request.source,
        &mut session,
        &request.config,
        to.as_deref(),
        base.is_some(),
        true,
    )
    .await?;
    for finding in &checked.findings {
        match finding.severity {
            Severity::Blocker => {}
            Severity::Warning => events.warn(format!("{}: {}", finding.why, finding.remedy)),
            Severity::Note => events.info(format!("{}: {}", finding.why, finding.remedy)),
        }
    }
    if let Some(error) = checked.blocked() {
        return Err(error.at(session.place()));
    }
    if let Some(format) = stream
        && !command::streams(&checked.tool, format, base.is_some())
    {
        return Err(Error::new(Kind::Usage, format!("{} has no such stream", checked.tool))
            .next("use xbstream"));
    }
    let pages = match &base {
        None => Pages::All,
        Some(base) => {
            held.check_base(&base.name, &checked.server, &checked.tool)?;
            checkpoint_after(&mut session, base.to_lsn, stop, events).await?;
            match base.stream {
                None => Pages::SinceDirectory(held.place(&base.name)),
                Some(_) => Pages::SinceLsn(base.to_lsn),
            }
        }
    };
    session.close().await;
    let name = request.name.clone().unwrap_or_else(|| held.chain.new_name(base.is_some()));
    let place = held.place(&name);
    if stream.is_none() && place.exists() {
        return Err(Error::new(Kind::State, "something that isn't in the manifest is in the way")
            .at(place.display())
            .next("move it away, or name another directory"));
    }
    let backup = TakenBackup {
        name: name.clone(),
        state: BackupState::Unfinished,
        stream,
        base: base.as_ref().map(|base| base.name.clone()),
        from_lsn: base.as_ref().map_or(0, |base| base.to_lsn),
        to_lsn: 0,
        last_lsn: 0,
        same_lsn_as_base: false,
        coordinates: None,
        gtids: None,
        start_time: None,
        end_time: None,
        tool: checked.tool.kind,
        tool_version: checked.tool.version,
        server: checked.server.clone(),
        server_version: checked.dialect.text.clone(),
        bytes: 0,
        files: None,
    };
    let login = Login::write(&request.source, checked.tool.kind)?;
    held.put(backup.clone())?;
    // Named as what is daybreak's own, which an upload leaves where it is.
    let log = held.directory().join(format!("daybreak-{name}.log"));
    let source = request.source.clone();
    Ok(Begun::Work(Box::new(Work { source, held, backup, checked, login, pages, base, log })))
}

/// Waits until the server has made a checkpoint after an LSN: an incremental backup without one has
/// the LSNs of its base, and can't be put in order by them.
async fn checkpoint_after(
    session: &mut Session,
    lsn: u64,
    stop: &StopSignal,
    events: &Events,
) -> Result<()> {
    let moved = async |session: &mut Session| -> Result<bool> {
        // What can't be told doesn't hold the backup up: the backup itself tells afterwards.
        Ok(InnodbStatus::read(session).await?.is_none_or(|status| status.checkpoint > lsn))
    };
    if moved(session).await? {
        return Ok(());
    }
    // MariaDB, and MySQL where it was built with it; needs SUPER.
    if session.variable("innodb_log_checkpoint_now").await?.is_some()
        && let Err(error) = session.execute("SET GLOBAL innodb_log_checkpoint_now = ON").await
    {
        tracing::info!(%error, "no checkpoint can be asked for");
    }
    let begun = tokio::time::Instant::now();
    let mut told = false;
    while !moved(session).await? {
        stop.check()?;
        if begun.elapsed() > CHECKPOINT_WAIT {
            return Ok(());
        }
        if !std::mem::replace(&mut told, true) {
            events.info("waiting for the server's next checkpoint");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn follow(
    running: Running,
    request: &Request,
    work: &Work,
    stop: &StopSignal,
    events: &Events,
) -> Result<Ended> {
    let (bytes, full) = (work.checked.bytes, matches!(work.pages, Pages::All));
    let progress =
        Progress::new(events, &work.backup.name, bytes, full, running.id(), &request.source);
    let progress = std::sync::Mutex::new(progress);
    let with = || progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let name = super::tool::name(work.checked.tool.kind);
    running
        .follow(
            name,
            &work.log,
            request.source.password.as_ref(),
            stop,
            |line| with().line(line),
            || with().tick(),
        )
        .await
}

/// Everything after the tool: what it left is looked at, made durable, and written down.
async fn finish(
    work: Work,
    files: &Path,
    inspect: Option<Inspect>,
    streamed: Option<u64>,
    events: &Events,
) -> Result<TakenBackup> {
    let Work { source, mut held, mut backup, checked, login, base, .. } = work;
    let found = info::checkpoints(files)?;
    check_kind(&found, base.as_ref()).map_err(|error| error.at(files.display()))?;
    let said = info::info(files)?;
    if said.partial {
        return Err(Error::new(
            Kind::Backup,
            "the backup is partial: databases or tables were left out",
        )
        .at(files.display())
        .next("remove the filters from the tool's option files"));
    }
    let written = info::coordinates(files)?;
    backup.from_lsn = found.from_lsn;
    backup.to_lsn = found.to_lsn;
    backup.last_lsn = found.last_lsn;
    backup.coordinates = written.as_ref().map(info::Written::coordinates);
    backup.gtids = written.map(|written| written.gtids).filter(|gtids| !gtids.is_empty());
    backup.start_time = said.start_time;
    backup.end_time = said.end_time;
    if let Some(base) = &base
        && found.to_lsn == base.to_lsn
    {
        backup.same_lsn_as_base = true;
        events.warn(format!(
            "{} has the LSNs of its base {}: the server made no checkpoint between them. Aurora orders backups by LSN and \
             could apply them in the wrong order: merge the chain first (`daybreak backup prepare`), or take it again after a \
             checkpoint (an account with SUPER lets daybreak ask for one)",
            backup.name, base.name
        ));
    }
    match streamed {
        Some(bytes) => backup.bytes = bytes,
        None => {
            info::scrub(files)?;
            let place = files.to_path_buf();
            let (bytes, count) = tokio::task::spawn_blocking(move || settle(&place))
                .await
                .map_err(|error| Error::new(Kind::Bug, "a walk panicked").because(error))??;
            backup.bytes = bytes;
            backup.files = Some(count);
        }
    }
    if let Some(inspect) = inspect {
        let place = files.to_path_buf();
        tokio::task::spawn_blocking(move || inspect(&place))
            .await
            .map_err(|error| Error::new(Kind::Bug, "an inspection panicked").because(error))??;
    }
    drop(login);
    match is_of(&source, backup.coordinates.as_ref()).await {
        Ok(true) => {}
        Ok(false) => {
            return Err(Error::new(
                Kind::Backup,
                "the backup's coordinates aren't in the source's binary log: the tool has backed up another server",
            )
            .at(source.to_string())
            .next("several servers on one host? name the source by 127.0.0.1 and its port, and its data directory (data_directory in [backup])"));
        }
        // What was copied isn't thrown away for that.
        Err(error) => events.warn(format!(
            "whether the backup's coordinates are in the source's binary log can't be told: {error}"
        )),
    }
    backup.state = BackupState::Whole;
    held.put(backup.clone())?;
    events.info(format!(
        "{}: whole, {}{}",
        backup.name,
        crate::transit::staging::size(backup.bytes),
        match &backup.coordinates {
            Some(coordinates) => format!(", as of {coordinates}"),
            None => String::new(),
        }
    ));
    tracing::info!(backup = backup.name, tool = %checked.tool, to_lsn = backup.to_lsn, "a backup is whole");
    Ok(backup)
}

/// Whether a server's binary log has the file that a backup's coordinates name.
async fn is_of(source: &ServerUrl, coordinates: Option<&Coordinates>) -> Result<bool> {
    let Some(at) = coordinates.and_then(|coordinates| coordinates.file.as_ref()) else {
        return Ok(true);
    };
    let mut session = Session::open(source, Side::Source).await?;
    let files = session.binary_logs().await?;
    session.close().await;
    Ok(files.contains(&at.file))
}

/// Whether it is of the kind that was asked for, and joins its base.
fn check_kind(found: &Checkpoints, base: Option<&TakenBackup>) -> Result<()> {
    let wrong = |what: String| Error::new(Kind::Backup, what).next("take it again");
    match base {
        None if found.kind != BackupKind::Full || found.from_lsn != 0 => {
            Err(wrong("the tool left something that isn't a full backup".into()))
        }
        Some(_) if found.kind != BackupKind::Incremental => {
            Err(wrong("the tool left something that isn't an incremental backup".into()))
        }
        Some(base) if found.from_lsn != base.to_lsn => Err(wrong(format!(
            "there is a gap: it begins at LSN {}, and {} ends at {}",
            found.from_lsn, base.name, base.to_lsn
        ))),
        _ => Ok(()),
    }
}

/// Counts what is there, and brings all of it to the disk: the manifest must not be ahead of it.
pub(super) fn settle(directory: &Path) -> Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                bytes += metadata.len();
                files += 1;
            }
        }
    }
    let top = File::open(directory)?;
    // SAFETY: the descriptor is open for the length of the call.
    if unsafe { libc::syncfs(top.as_raw_fd()) } != 0 {
        return Err(Error::new(Kind::Io, "the backup can't be brought to the disk")
            .because(std::io::Error::last_os_error())
            .at(directory.display()));
    }
    Ok((bytes, files))
}
