//! `daybreak upload`: a directory, files or a stream to S3.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use daybreak::{
    aws::{self, s3::S3},
    config::{CloudOverrides, Config, S3Place},
    engine::{Severity, StopSignal},
    error::{Error, Exit, Kind, Result},
    pipe,
    transit::{
        inspection::{Inspection, Profile},
        manifest, staging,
        upload::{self, Source, Target, Wish},
        watch::{Watch, Watched},
    },
};

use super::{Session, listen_for_signals, log_to};
use crate::{
    cli::{BackupFor, Bucket, Cloud, Upload, UploadForm},
    commands::{backup::inspect::findings, migration},
};

/// Uploads, or goes on with it.
pub async fn upload(session: &Session<'_>, options: Upload) -> Result<Exit> {
    log_to(session, None)?;
    let place = S3Place::parse(&options.place)?;
    let (aws, staging) = Config::cloud(&options.directory.dir, &options.cloud.overrides())?;
    let wish = Wish {
        profile: match options.r#for {
            BackupFor::Aurora => Profile::Aurora,
            BackupFor::Any => Profile::Any,
        },
        secrets: options.allow_secrets,
    };
    if options.path != Path::new("-") {
        staging::answers(&options.path).await?;
    }
    let refused = Refused::default();
    let (source, manifest) = source(&options, wish, &refused)?;
    let manifest = options.manifest.clone().unwrap_or(manifest);
    let events = migration::logged(session);
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let sdk = aws::sdk(&aws).await?;
    let store = S3::new(&sdk, &aws, staging.bandwidth);
    let region = store.region().unwrap_or_default();
    let mut target = Target::new(Arc::new(store), place, region, &staging, manifest);
    let live = matches!(source, Source::Stream { .. });
    let mut held = None;
    if !live {
        let admitted = upload::admit(&mut target, &source, wish, &events).await?;
        if let Some(found) = &admitted.inspection {
            show(session, &options.path, found);
            if admitted.blockers().next().is_some() {
                return Ok(Exit::Found);
            }
        }
        held = Some(admitted);
    }
    let uploaded = upload::upload(&target, source, &events, &stop).await;
    drop(held);
    if let Some(found) = &*refused.0.lock().unwrap_or_else(PoisonError::into_inner) {
        show(session, &options.path, found);
    }
    let uploaded = uploaded?;
    if session.global.json.is_some() {
        session.ui.document(&uploaded);
        return Ok(Exit::Done);
    }
    session.ui.line(&format!(
        "{} holds {} objects, {} bytes; each was asked for, and is what was sent",
        target.place,
        uploaded.objects.len(),
        uploaded.bytes()
    ));
    session.ui.line(&format!("manifest: {}", target.manifest.display()));
    if live {
        session.ui.warn(
            "whether the program that wrote the stream ended well can't be seen from here: what arrived is \
             whole, but look at its exit status too (set -o pipefail)",
        );
    }
    Ok(Exit::Done)
}

/// What was found against a stream while it went up.
#[derive(Debug, Clone, Default)]
struct Refused(Arc<Mutex<Option<Inspection>>>);

/// Findings as `backup inspect` shows them. On success only what is worth knowing.
fn show(session: &Session<'_>, path: &Path, found: &Inspection) {
    let blocked = found.blockers().next().is_some();
    if session.global.json.is_some() {
        // One document on the standard output: the manifest of an upload, or what stands in its way.
        if blocked {
            session.ui.document(found);
        }
        return;
    }
    let all = found.findings.iter();
    findings(session, all.filter(|one| blocked || one.severity >= Severity::Warning));
    if blocked {
        session.ui.line("");
        session.ui.line(&format!(
            "nothing of {} was uploaded: {} blockers",
            path.display(),
            found.blockers().count()
        ));
    }
}

impl Cloud {
    fn overrides(&self) -> CloudOverrides {
        let Cloud { bucket, part_mib, split_mib, uploads, bandwidth_mib, encryption } =
            self.clone();
        CloudOverrides {
            split_mib,
            part_mib,
            uploads,
            bandwidth_mib,
            encryption,
            ..bucket.overrides()
        }
    }
}

impl Bucket {
    /// What the flags say, for the configuration.
    pub fn overrides(&self) -> CloudOverrides {
        let Bucket { region, profile, endpoint_s3 } = self.clone();
        CloudOverrides { region, profile, endpoint_s3, ..CloudOverrides::default() }
    }
}

/// What goes up, and where its manifest lies.
fn source(options: &Upload, wish: Wish, refused: &Refused) -> Result<(Source, PathBuf)> {
    let path = options.path.as_path();
    if path == Path::new("-") {
        return from_stdin(options, wish, refused.clone());
    }
    let usage =
        |what: &str, next: &str| Err(Error::new(Kind::Usage, what).at(path.display()).next(next));
    let is_directory = path.is_dir();
    let form = options.form.unwrap_or(match is_directory {
        true => UploadForm::Tree,
        false => UploadForm::Files,
    });
    let directory = path.to_path_buf();
    if options.stream_name.is_some() && form != UploadForm::TarGz {
        return usage("only a stream has a name", "leave --stream-name out, or say --as tar.gz");
    }
    let manifest = upload::manifest_of(path);
    let source = match form {
        UploadForm::Tree | UploadForm::TarGz if !is_directory => {
            return usage("there is no such directory", "give the backup's directory");
        }
        UploadForm::Tree => Source::Tree { directory },
        UploadForm::TarGz => {
            let name = options.stream_name.clone().unwrap_or_else(|| "backup.tar.gz".into());
            if !name.ends_with(".tar.gz") || name.contains('/') {
                return usage(
                    "this name doesn't say what is in the stream",
                    "give --stream-name NAME.tar.gz: Aurora tells files by their names",
                );
            }
            Source::TarGz { directory, name }
        }
        UploadForm::Files => Source::Files { files: ready(path)? },
    };
    Ok((source, manifest))
}

fn from_stdin(options: &Upload, wish: Wish, refused: Refused) -> Result<(Source, PathBuf)> {
    let name = options.stream_name.clone().unwrap_or_default();
    let known = [".xbstream", ".tar", ".tar.gz"].iter().any(|ending| name.ends_with(ending));
    if !known || name.contains('/') || options.form.is_some() {
        return Err(Error::new(Kind::Usage, "what comes on stdin must be named").next(
            "give --stream-name backup.xbstream, or backup.tar.gz for a tar stream that daybreak \
             compresses (backup.tar: as it is); and no --as",
        ));
    }
    let manifest = options.directory.dir.join(format!("{}-{name}", manifest::FILE));
    // Before daybreak compresses it: plain tar.
    let watch = Watch::begin(&name, wish.profile)?;
    let verdict = watch.verdict();
    pipe::widen(&std::io::stdin());
    let source = Source::Stream {
        compress: name.ends_with(".tar.gz"),
        name,
        input: Box::new(Watched::new(std::io::stdin(), watch)),
        ended: Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || verdict.wait());
            let mut found = found.await.map_err(|error| {
                Error::new(Kind::Bug, "looking at the stream failed").because(error)
            })??;
            let fit = upload::refuse(&mut found, wish);
            *refused.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            fit
        }),
    };
    Ok((source, manifest))
}

/// The files that a path means: itself, those in it, or the parts whose names begin with it.
fn ready(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (directory, stem) = match path.is_dir() {
        true => (path, ""),
        false => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (parent.unwrap_or(Path::new(".")), name)
        }
    };
    let failed = |error: std::io::Error| Error::from(error).at(directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let rest = name.strip_prefix(stem).unwrap_or("x");
        let is_part =
            stem.is_empty() || rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_part && !name.starts_with(".daybreak") && !name.starts_with("daybreak-") {
            files.push(directory.join(&name));
        }
    }
    if files.is_empty() {
        return Err(Error::new(Kind::Usage, "there is no such file")
            .at(path.display())
            .next("give a directory, a file, or what the names of a file's parts begin with"));
    }
    Ok(files)
}
