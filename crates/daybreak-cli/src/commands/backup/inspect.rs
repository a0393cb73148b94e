//! `daybreak backup inspect`.

use std::{path::Path, sync::Arc};

use daybreak::{
    aws::{
        self,
        policy::{self, Scope},
        s3::{ObjectReader, ObjectStore, S3},
    },
    config::{Config, S3Place},
    engine::{Finding, Severity},
    error::{Error, Exit, Kind, Result},
    report::figures::{bytes, count, things},
    transit::{
        archive::{Blob, Blobs, blobs_of_path},
        inspect::{Listed, Survey},
        inspection::{BackupKind, Form, Inspection, Outcome, Profile},
        named::Named,
    },
};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::{
    cli::{BackupFor, InspectBackup},
    commands::{Session, log_to, migration::logged},
};

/// What `--json` prints: the inspection, and with `--list` the files.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<Listed>>,
}

/// Looks at a backup and prints what it is. Exit code 3 when there are blockers.
pub async fn inspect(session: &Session<'_>, options: InspectBackup) -> Result<Exit> {
    log_to(session, None)?;
    let profile = match options.r#for {
        BackupFor::Aurora => Profile::Aurora,
        BackupFor::Any => Profile::Any,
    };
    let blobs = blobs_of_place(&options).await?;
    let extract = options.extract.clone();
    let events = logged(session);
    let read = tokio::task::spawn_blocking(move || match &extract {
        Some(to) => Survey::extract(blobs, to, &events),
        None => Survey::read(blobs, &events),
    });
    let survey = read
        .await
        .map_err(|error| Error::new(Kind::Bug, "looking at the backup failed").because(error))??;
    let found = survey.judge(profile);
    if session.global.json.is_some() {
        let list = options.list.then(|| survey.files().collect());
        session.ui.document(&Document { inspection: &found, list });
    } else {
        if options.list {
            for file in survey.files() {
                session.ui.line(&format!("{:>15}  {}", count(file.bytes), file.name));
            }
            session.ui.line("");
        }
        print(session, &options.place, &found);
    }
    if let Some(to) = &options.extract {
        if survey.is_sound() {
            logged(session).info(format!(
                "extracted to {}: {}, {}",
                to.display(),
                things(found.files, "file", "files"),
                bytes(found.bytes)
            ));
        } else {
            session.ui.warn("nothing was extracted: the backup isn't whole");
        }
    }
    Ok(if found.blockers().next().is_some() { Exit::Found } else { Exit::Done })
}

/// The blobs of a path or of a place in S3.
async fn blobs_of_place(options: &InspectBackup) -> Result<Blobs> {
    if !options.place.starts_with("s3://") {
        return blobs_of_path(Path::new(&options.place));
    }
    let place = S3Place::parse(&options.place)?;
    let (config, _) = Config::cloud(&options.directory.dir, &options.bucket.overrides())?;
    let sdk = aws::sdk(&config).await?;
    let store = S3::new(&sdk, &config, None);
    let region = store.region();
    blobs_of_bucket(Arc::new(store), &place).await.map_err(|error| {
        policy::explained(error, |key| {
            let scope = Scope { place: &place, region: region.as_deref(), account: None, key };
            policy::document(scope.reading())
        })
    })
}

async fn blobs_of_bucket(store: Arc<dyn ObjectStore>, place: &S3Place) -> Result<Blobs> {
    let prefix = match place.prefix.as_str() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let (mut list, mut page) = (Named::default(), None);
    loop {
        let listed = store.list(&place.bucket, &prefix, page).await?;
        for object in listed.objects {
            list.push(&object.key[prefix.len()..], object.size);
        }
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    if list.is_empty() {
        return Err(Error::new(Kind::Backup, "nothing lies below this prefix").at(place));
    }
    let (bucket, runtime) = (place.bucket.clone(), Handle::current());
    Ok(Blobs::new(list, move |name, size| {
        let (store, bucket, runtime) = (store.clone(), bucket.clone(), runtime.clone());
        let key = format!("{prefix}{name}");
        Blob {
            name: name.to_string(),
            size,
            open: Arc::new(move || {
                let (store, runtime) = (store.clone(), runtime.clone());
                Ok(Box::new(ObjectReader::new(store, runtime, &bucket, &key, size)))
            }),
        }
    }))
}

fn kind(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Full => "full",
        BackupKind::Incremental => "incremental",
        BackupKind::LogApplied => "log applied",
        BackupKind::Prepared => "prepared",
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Directory => "directory",
        Form::Tar => "tar",
        Form::TarGz => "tar.gz",
        Form::Xbstream => "xbstream",
        Form::XbstreamGz => "gzipped xbstream",
    }
}

fn print(session: &Session<'_>, place: &str, found: &Inspection) {
    let line = |text: &str| session.ui.line(text);
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    let yes = |is: bool| if is { "yes" } else { "no" };
    // What can't be looked into isn't damaged.
    let unread = found.blockers().all(|one| one.id == "backup.unread");
    let state = match (found.whole, unread) {
        (true, _) if found.partial => "whole, but partial: databases or tables were left out",
        (true, _) => "whole",
        (false, true) => "NOT READ: whether it is whole isn't known",
        (false, false) => "NOT WHOLE",
    };
    line(&format!("backup   {place}: {state}"));
    line(&format!(
        "server   {} {}",
        found.product.map_or_else(String::new, |product| format!("{product:?}")),
        or_unknown(&found.server_version)
    ));
    line(&format!("tool     {} {}", or_unknown(&found.tool), or_unknown(&found.tool_version)));
    line(&format!(
        "holds    {}, {}; partial {}, compressed {}, encrypted {}",
        things(found.files, "file", "files"),
        bytes(found.bytes),
        yes(found.partial),
        yes(found.compressed),
        yes(found.encrypted)
    ));
    line(&format!(
        "innodb   pages of {} bytes, {}",
        found.page_size.map_or_else(|| "unknown".into(), |size| size.to_string()),
        or_unknown(&found.data_file_path)
    ));
    for (at, link) in found.chain.iter().enumerate() {
        let label = if at == 0 { "chain    " } else { "         " };
        let position = link.coordinates.as_ref().and_then(|at| at.file.as_ref());
        line(&format!(
            "{label}{} {} ({}, {}): LSN {} to {}, redo to {}{}",
            at + 1,
            link.name,
            kind(link.kind),
            form(link.form),
            link.from_lsn,
            link.to_lsn,
            link.last_lsn,
            position.map_or_else(String::new, |at| format!(", binary log {at}"))
        ));
    }
    let begins = found.coordinates.as_ref().map(|at| {
        let file = at.file.as_ref().map(ToString::to_string);
        let gtids = (!at.gtids.is_empty()).then(|| format!("GTIDs {}", at.gtids));
        [file, gtids].into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    let fulls = found.chain.iter().filter(|link| link.kind != BackupKind::Incremental).count();
    line(&match begins {
        Some(begins) => format!("replicate from {begins}"),
        None if fulls > 1 => {
            format!("replicate from the position of the one that is meant of {fulls} full backups")
        }
        None => "replicate from unknown".into(),
    });
    self::findings(session, &found.findings);
    line("");
    if !found.checks.is_empty() {
        let of = |outcome| found.checks.iter().filter(|check| check.outcome == outcome).count();
        line(&format!(
            "rules of Amazon Aurora: {} passed, {} failed, {} unknown",
            of(Outcome::Passed),
            of(Outcome::Failed),
            of(Outcome::Unknown)
        ));
    }
    let of = |severity| found.findings.iter().filter(|one| one.severity == severity).count();
    line(&format!(
        "{} blockers, {} warnings, {} notes",
        of(Severity::Blocker),
        of(Severity::Warning),
        of(Severity::Note)
    ));
}

/// Findings with their remedies.
pub(crate) fn findings<'a>(session: &Session<'_>, all: impl IntoIterator<Item = &'a Finding>) {
    let line = |text: &str| session.ui.line(text);
    for finding in all {
        let word = match finding.severity {
            Severity::Blocker => "BLOCKER",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        line("");
        line(&format!("{word}  {}", finding.id));
        line(&format!("  {}", finding.why));
        line(&format!("  remedy: {}", finding.remedy));
    }
}
