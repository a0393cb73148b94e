//! `daybreak backup take`.

use std::{
    fs::File,
    io::{PipeReader, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
};

use daybreak::{
    config::{BackupTool, Config},
    engine::StopSignal,
    error::{Error, Exit, Kind, Result},
    event::Events,
    mysql::Secret,
    pipe,
    source::backup::{self, Request, StreamFormat, TakenBackup, Wanted},
    transit::{
        archive::blobs_of_path,
        buffers::Buffers,
        inspect::inspect,
        inspection::Profile,
        watch::{self, Watch},
    },
};

use super::{Session, list};
use crate::{
    cli::{self, TakeBackup},
    commands::{listen_for_signals, log_to, migration},
};

/// Bytes of a stream that are handed on at once.
const BLOCK: usize = 1_048_576;

/// Stands where the configuration wants a target; nobody asks it.
const NO_TARGET: &str = "mysql://nobody@localhost/";

/// Takes one backup.
pub async fn take(session: &Session<'_>, options: TakeBackup) -> Result<Exit> {
    log_to(session, None)?;
    let to_stdout = options.stream.as_deref() == Some(Path::new("-"));
    if to_stdout && session.global.json.is_some() {
        return Err(Error::new(Kind::Usage, "--json and --stream - both want the standard output")
            .next("give --stream a file, or leave --json out; `daybreak backup list --json` tells of the backup"));
    }
    let mut overrides = options.servers.overrides()?;
    // A backup has no target, and this host may lack its password; the configuration wants both all the same.
    overrides.target = Some(NO_TARGET.into());
    overrides.target_password = Some(Secret::new(""));
    let config = Config::load(&options.directory.dir, &overrides)?;
    let mut how = config.backup.clone();
    let tool = options.tool.map(|tool| match tool {
        cli::BackupTool::Xtrabackup => BackupTool::Xtrabackup,
        cli::BackupTool::Innobackupex => BackupTool::Innobackupex,
        cli::BackupTool::MariadbBackup => BackupTool::MariadbBackup,
    });
    // A program that is named here is whatever tool it is.
    how.tool = tool.or(how.tool.filter(|_| options.program.is_none()));
    how.program = options.program.or(how.program);
    how.data_directory = options.data_directory.or(how.data_directory);
    how.parallel = options.parallel.unwrap_or(how.parallel).max(1);
    how.throttle = options.throttle.or(how.throttle);
    let request = Request {
        source: config.source,
        config: how,
        to: options.to,
        name: options.name,
        wanted: match options.incremental {
            true => Wanted::Incremental { base: options.base },
            false => Wanted::Full,
        },
    };
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let events = migration::logged(session);
    let taken = match &options.stream {
        None => backup::take(&request, Some(Box::new(whole)), &stop, &events).await?,
        Some(file) => {
            let format = match options.format {
                cli::StreamFormat::Xbstream => StreamFormat::Xbstream,
                cli::StreamFormat::Tar => StreamFormat::Tar,
            };
            stream(&request, format, file, &stop, &events).await?
        }
    };
    if session.global.json.is_some() {
        session.ui.document(&taken);
    } else if !to_stdout {
        session.ui.line(&list::line(&taken));
    }
    Ok(Exit::Done)
}

/// Hands a stream to a file or to the standard output.
async fn stream(
    request: &Request,
    format: StreamFormat,
    file: &Path,
    stop: &StopSignal,
    events: &Events,
) -> Result<TakenBackup> {
    let to_file = file != Path::new("-");
    // Made before the tool starts: a file that can't be written to must not cost a backup.
    let opened = if to_file {
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(
            |error| {
                Error::new(Kind::Io, "the stream's file can't be made")
                    .because(error)
                    .at(file.display())
                    .next("name a file that isn't there yet")
            },
        )?
    } else {
        File::from(std::io::stdout().as_fd().try_clone_to_owned()?)
    };
    pipe::widen(&opened);
    let done = async {
        // The ending tells what is in it.
        let name = match format {
            StreamFormat::Xbstream => "backup.xbstream",
            StreamFormat::Tar => "backup.tar",
        };
        let watch = Watch::begin(name, Profile::Any)?;
        let verdict = watch.verdict();
        let stream = backup::take_stream(request, format, stop, events).await?;
        let reader = stream.reader;
        let bytes = tokio::task::spawn_blocking(move || -> std::io::Result<u64> {
            let bytes = hand_on(reader, &opened, watch)?;
            if to_file {
                opened.sync_all()?;
            }
            Ok(bytes)
        })
        .await
        .map_err(|error| Error::new(Kind::Bug, "handing the stream on failed").because(error))?
        .map_err(|error| Error::new(Kind::Io, "the stream can't be handed on").because(error))?;
        let whole = move |files: &Path| watch::agrees(&verdict.wait()?, files);
        stream.handle.finish(bytes, Some(Box::new(whole))).await
    }
    .await;
    if done.is_err() && to_file {
        // Half a stream looks like a whole one.
        std::fs::remove_file(file)?;
    }
    done
}

/// Hands a stream on to its end, and lets it be looked at. Returns how many bytes there were.
fn hand_on(mut from: PipeReader, mut to: &File, mut watch: Watch) -> std::io::Result<u64> {
    let buffers = Buffers::of(BLOCK);
    let mut bytes = 0;
    loop {
        let mut buffer = buffers.take();
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.into_bytes(count);
        to.write_all(&piece)?;
        watch.passed(piece);
        bytes += count as u64;
    }
}

/// Success is what the tool says and what daybreak finds.
fn whole(directory: &Path) -> Result<()> {
    let found = inspect(blobs_of_path(directory)?, Profile::Any)?;
    // An incremental one lacks its base here, which is no damage.
    match found.whole {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Backup,
            found
                .blockers()
                .next()
                .map_or_else(|| "the backup isn't whole".into(), |finding| finding.why.clone()),
        )
        .at(directory.display())
        .next("`daybreak backup inspect` says what is missing; the same command takes it again")),
    }
}
