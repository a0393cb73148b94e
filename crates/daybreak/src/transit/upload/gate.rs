//! What is looked at before anything of a backup leaves: whether it is whole and fit, what the manifest of
//! its chain says, and whether a secret would go with it.

use std::{fs::File, path::Path};

use super::{Input, Source, Target, repeatable};
use crate::{
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
    event::Events,
    files,
    source::backup::chain::{self, BackupState, TakenBackup},
    transit::{
        archive::Blob,
        inspect::{Survey, rules},
        inspection::{BackupKind, Inspection, Profile},
        manifest::{Form, Manifest},
        staging,
    },
};

/// How a backup is judged before it goes up.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// By whose rules.
    pub profile: Profile,
    /// Whether it may go although it holds a password that can't be taken out.
    pub secrets: bool,
}

/// What was found before an upload.
#[derive(Debug)]
pub struct Admitted {
    /// What the backup is, with what stands in its way; none: an earlier run looked at these very files.
    pub inspection: Option<Inspection>,
    /// Kept while the upload runs: no backup is taken or prepared there meanwhile.
    #[expect(dead_code, reason = "the lock goes with the file")]
    held: Option<File>,
}

impl Admitted {
    /// What stands in the way.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.inspection.iter().flat_map(Inspection::blockers)
    }
}

/// Looks at what would go up. Nothing may be uploaded if there are blockers; if there are none, the target
/// keeps in mind that it was looked at, so that an upload that is gone on with reads everything once.
///
/// # Errors
/// `State` when backups are being taken or prepared there; `Io` when it can't be read.
pub async fn admit(
    target: &mut Target,
    source: &Source,
    wish: Wish,
    events: &Events,
) -> Result<Admitted> {
    let Some(source) = repeatable(source) else {
        return Err(Error::new(Kind::Bug, "a stream is looked at while it goes up"));
    };
    let (manifest, events) = (target.manifest.clone(), events.clone());
    let work = move || look(source, wish, &manifest, &events);
    let (admitted, seen) = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(Kind::Bug, "looking at the backup failed").because(error))??;
    if admitted.blockers().next().is_none() {
        target.inspected = seen;
    }
    Ok(admitted)
}

/// What was looked at, by its fingerprint, and by whose rules.
type Seen = Option<(Profile, String)>;

fn look(source: Source, wish: Wish, manifest: &Path, events: &Events) -> Result<(Admitted, Seen)> {
    let place = match &source {
        Source::Tree { directory } | Source::TarGz { directory, .. } => Some(directory.clone()),
        _ => None,
    };
    let read = match &source {
        // A bare name lies where the program runs.
        Source::Files { files } => files
            .first()
            .and_then(|file| file.parent())
            .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
        _ => place.as_deref(),
    };
    // Backup and upload may run on two hosts that share the mount: this one's counts here.
    for one in
        read.map(|read| staging::look_to_read(read, manifest)).transpose()?.unwrap_or_default()
    {
        match one.severity {
            Severity::Note => events.detail(one.why),
            _ => events.warn(format!("{}: {}", one.why, one.remedy)),
        }
    }
    let held = place.as_deref().map(hold_chain).transpose()?.flatten();
    let told = place.as_deref().map(of_chain).transpose()?.unwrap_or_default();
    let input = Input::look(source)?;
    let print = input.fingerprint().unwrap_or_default();
    let before = Manifest::load(manifest)?;
    let known = before.is_some_and(|before| {
        before.input.as_deref() == Some(&print)
            && before.inspected.is_some_and(|by| by == wish.profile || by == Profile::Aurora)
    });
    if known && told.is_empty() {
        return Ok((Admitted { inspection: None, held }, Some((wish.profile, print))));
    }
    events.info("looking at the backup before anything of it leaves");
    let (form, survey) = (input.form, survey(input, events)?);
    let mut found = survey.judge(wish.profile);
    if form == Form::TarGz {
        as_one_tar(&mut found, wish.profile);
    }
    for finding in told {
        found.findings.insert(0, finding);
    }
    refuse_secrets(&mut found, wish, true);
    // What was allowed this time isn't the next.
    let clean = !found.findings.iter().any(|finding| finding.id == SECRET);
    let seen = clean.then_some((wish.profile, print));
    Ok((Admitted { inspection: Some(found), held }, seen))
}

const SECRET: &str = "backup.secret";

/// A secret that would go up is a blocker unless it may. In directories it is taken out beforehand, so what
/// is found is in an archive, or packed by the tool.
pub(super) fn refuse_secrets(found: &mut Inspection, wish: Wish, repeatable: bool) {
    for finding in found.findings.iter_mut().filter(|finding| finding.id == SECRET) {
        if !wish.secrets {
            finding.severity = Severity::Blocker;
        }
        finding.remedy = match repeatable {
            true => "extract it (`daybreak backup inspect --extract DIR`) and upload the directory, from which \
                 daybreak leaves the password out; or change that password at the source and allow it \
                 (--allow-secrets)",
            false => "take the backup with the password in an option file (`daybreak backup take` does); or change \
                 that password at the source and allow it (--allow-secrets)",
        }
        .into();
    }
    found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
}

/// Reads what would go up, as it would.
fn survey(input: Input, events: &Events) -> Result<Survey> {
    let real =
        |path: &Path| path.canonicalize().map_err(|error| Error::from(error).at(path.display()));
    if input.form == Form::Files {
        // Archives and their parts may be links, each to another place.
        let blobs: Result<Vec<Blob>> = input
            .entries
            .files()
            .map(|file| {
                Ok(Blob::of_file(file.name, file.about.size, real(&input.root.join(file.name))?))
            })
            .collect();
        return Survey::read(blobs?, events);
    }
    let root = real(&input.root)?;
    let blobs = input.entries.files().map(|file| match file.instead {
        Some(bytes) => Blob::of_bytes(file.name, bytes.to_vec()),
        None => Blob::of_file(file.name, file.about.size, root.join(file.name)),
    });
    Survey::read(blobs, events)
}

/// What the rules say of a directory that goes up as one tar.
fn as_one_tar(found: &mut Inspection, profile: Profile) {
    found.findings.retain(|finding| finding.id != "backup.files");
    let several = found.chain.len() > 1
        || found.chain.iter().any(|link| link.kind == BackupKind::Incremental);
    let Some(rule) = rules::rule("backup.incremental_form").filter(|_| several) else { return };
    let severity = match profile {
        Profile::Aurora => Some(rule.aurora),
        Profile::Any => rule.any,
    };
    if let Some(severity) = severity {
        found.findings.push(Finding {
            id: rule.id.into(),
            severity,
            objects: found.chain.iter().map(|link| link.name.clone()).collect(),
            why: format!("a chain of backups in one tar; {}", rule.why),
            remedy: "upload it with --as tree".into(),
        });
    }
}

/// The manifest of backups that a directory belongs to: its own, or its parent's if that knows the
/// directory. With the links of it that would go up.
fn chain_of(directory: &Path) -> Result<Option<(std::path::PathBuf, Vec<TakenBackup>)>> {
    let real =
        directory.canonicalize().map_err(|error| Error::from(error).at(directory.display()))?;
    if real.join(chain::FILE).exists() {
        return Ok(Some((real.clone(), chain::read(&real)?.backups)));
    }
    let (Some(parent), Some(name)) = (real.parent(), real.file_name().and_then(|n| n.to_str()))
    else {
        return Ok(None);
    };
    if !parent.join(chain::FILE).exists() {
        return Ok(None);
    }
    let all = chain::read(parent)?.backups;
    let own: Vec<_> = all.into_iter().filter(|backup| backup.name == name).collect();
    Ok((!own.is_empty()).then(|| (parent.to_path_buf(), own)))
}

/// What the manifest of the backups says against an upload.
fn of_chain(directory: &Path) -> Result<Vec<Finding>> {
    let Some((root, links)) = chain_of(directory)? else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    let mut blocked = |id: &str, name: &str, why: String, remedy: &str| {
        findings.push(Finding {
            id: format!("upload.{id}"),
            severity: Severity::Blocker,
            objects: vec![name.to_string()],
            why,
            remedy: remedy.into(),
        });
    };
    // A stream has left: its bytes aren't here.
    for link in links.iter().filter(|link| link.stream.is_none()) {
        let name = &link.name;
        match &link.state {
            BackupState::Unfinished => blocked(
                "unfinished",
                name,
                format!("the backup {name} was begun and never finished"),
                "`daybreak backup take` takes it again; or remove its directory and take a full backup",
            ),
            BackupState::Preparing => blocked(
                "preparing",
                name,
                format!(
                    "the backup {name} was cut off while it was prepared in place: its files are neither"
                ),
                "take the backup again; `daybreak backup prepare --to DIR` leaves backups as they are",
            ),
            BackupState::Merged => blocked(
                "merged",
                name,
                format!(
                    "the backup {name} was merged into its full one in place, which uses its files up"
                ),
                "upload the prepared backup's own directory alone, or take the chain again",
            ),
            BackupState::Whole | BackupState::Prepared { .. } => {
                if !root.join(name).is_dir() {
                    blocked(
                        "gone",
                        name,
                        format!(
                            "the manifest of the backups knows {name}, and its directory isn't there"
                        ),
                        "bring it back: without it an older state would be restored; or take the chain again",
                    );
                }
            }
        }
        if link.same_lsn_as_base && link.state == BackupState::Whole {
            blocked(
                "equal_lsn",
                name,
                format!(
                    "the backup {name} has the LSNs of its base: Amazon orders by LSN, and in the wrong order rows are lost"
                ),
                "merge the chain first (`daybreak backup prepare`), or take it again after a checkpoint",
            );
        }
    }
    Ok(findings)
}

/// Makes sure that nobody takes or prepares backups in a chain's directory while it goes up. Several
/// uploads may be at it.
fn hold_chain(directory: &Path) -> Result<Option<File>> {
    let Some((root, _)) = chain_of(directory)? else { return Ok(None) };
    let path = root.join(chain::LOCK);
    // Read only: the backups may be another account's.
    let file = match File::open(&path) {
        Ok(file) => file,
        // Nobody ever held it: the manifest came by a copy.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::from(error).at(path.display()).next(
                "make it readable for this account: whether a backup is being taken can't be told else",
            ));
        }
    };
    match files::lock(&file, true).map_err(|error| Error::from(error).at(path.display()))? {
        true => Ok(Some(file)),
        false => Err(Error::new(Kind::State, "backups are being taken or prepared there")
            .at(root.display())
            .next("wait until that ends, then the same command again")),
    }
}
