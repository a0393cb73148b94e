//! The directory where a backup waits for its upload, as a rule an EFS mount: whether it has the space,
//! is mounted as it should be, and how fast it takes what is written.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
    source::backup::chain,
};

/// How much is written to measure.
const PROBE_BYTES: usize = 16 * 1_048_576;

/// The least that a staging directory should take, in bytes a second: 1 TiB a day.
const SLOW: f64 = 12.0 * 1_048_576.0;

/// The options of an NFS mount that EFS is to have.
///
/// Source: Amazon EFS User Guide, *Recommended NFS mount options*.
const EFS_OPTIONS: [(&str, &str); 7] = [
    ("nfsvers", "4.1"),
    ("rsize", "1048576"),
    ("wsize", "1048576"),
    ("hard", ""),
    ("timeo", "600"),
    ("retrans", "2"),
    ("noresvport", ""),
];

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is mounted.
    pub place: String,
    /// Its type, such as `nfs4`.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Its options.
    pub options: Vec<String>,
}

/// What is known of a staging directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Staging {
    /// The bytes that are free for this user.
    pub free: u64,
    /// What it is on; none if that can't be told.
    pub mount: Option<Mount>,
    /// The bytes a second that it took, flushed; none if that wasn't measured.
    pub bytes_per_second: Option<f64>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Looks at a directory, or at the one in which it will be made, for a backup of so many bytes.
/// `measure`: writes a few megabytes there, and removes them. Blocking.
///
/// # Errors
/// `Io` when it can't be written to.
pub fn look(directory: &Path, bytes: u64, measure: bool) -> Result<Staging> {
    let place = directory.display().to_string();
    let at = |error: std::io::Error| {
        Error::new(Kind::Io, "the staging directory can't be used")
            .because(error)
            .at(directory.display())
            .next("mount it, and give this user the right to write there")
    };
    let directory = there(directory).canonicalize().map_err(at)?;
    let free = free_space(&directory)?;
    let mut findings = Vec::new();
    let mut add = |severity, id: &str, why: String, remedy: String| {
        findings.push(Finding {
            id: format!("staging.{id}"),
            severity,
            objects: vec![place.clone()],
            why,
            remedy,
        });
    };
    if free < bytes {
        add(
            Severity::Blocker,
            "space",
            format!(
                "{} are free in {place}, and the backup takes about {}",
                size(free),
                size(bytes)
            ),
            "free space, name another directory in [staging], or stream the backup straight to S3 (stream = true in [backup])".into(),
        );
    }
    let mount = fs::read_to_string("/proc/self/mountinfo")
        .ok()
        .and_then(|table| mount_of(&table, &directory));
    for (id, why, remedy) in mount.iter().flat_map(mount_findings) {
        add(Severity::Warning, id, why, remedy);
    }
    // Not where it would take the last bytes.
    let roomy = free >= bytes && free >= 4 * PROBE_BYTES as u64;
    let speed = if measure && roomy { Some(written(&directory).map_err(at)?) } else { None };
    if let Some(bytes_per_second) = speed.filter(|speed| *speed < SLOW) {
        add(
            Severity::Warning,
            "slow",
            format!(
                "it takes {} a second: {} of data take {:.0} h to write",
                size(bytes_per_second as u64),
                size(bytes),
                bytes as f64 / bytes_per_second.max(1.0) / 3600.0
            ),
            "check the mount's options and EFS's throughput mode (elastic or provisioned), or stream the backup straight to S3".into(),
        );
    }
    Ok(Staging { free, mount, bytes_per_second: speed, findings })
}

/// How long a directory may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a path answers: what lies on a mount whose server is gone never does, and whoever asks for it
/// waits along. That it isn't there is an answer too.
///
/// # Errors
/// `Timeout`.
pub async fn answers(path: &Path) -> Result<()> {
    let asked = path.to_path_buf();
    within(PATIENCE, path, move || drop(fs::metadata(asked))).await
}

async fn within(time: Duration, path: &Path, ask: impl FnOnce() + Send + 'static) -> Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    // Not a thread of the runtime's, which waits for those at its end.
    std::thread::spawn(move || {
        ask();
        // Nobody may listen any more.
        let _ = tell.send(());
    });
    match tokio::time::timeout(time, told).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(
            Kind::Timeout,
            format!("the directory doesn't answer in {} s", time.as_secs()),
        )
        .at(path.display())
        .next("the server of that mount seems to be gone: look at the mount (findmnt), and at port 2049 to it")),
    }
}

/// Looks at a directory from which a backup shall be read, maybe on another host than the one that took it:
/// whether it is there, and mounted so that it can be read well and the upload's manifest written. Blocking.
///
/// # Errors
/// `Io` when it can't be read, `Usage` when nothing lies there, `Blocked` when the manifest can't be written.
pub fn look_to_read(directory: &Path, manifest: &Path) -> Result<Vec<Finding>> {
    let at = |error: std::io::Error| {
        Error::new(Kind::Io, "the backup's directory can't be read")
            .because(error)
            .at(directory.display())
            .next("mount it as on the host that took the backup, and give this user the right to read it")
    };
    let real = directory.canonicalize().map_err(at)?;
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if fs::read_dir(&real).map_err(at)?.next().transpose().map_err(at)?.is_none() {
        let on = mount_of(&table, &real).map_or_else(String::new, |mount| {
            format!(" (it lies on {}, which is {} of {})", mount.place, mount.kind, mount.source)
        });
        return Err(Error::new(Kind::Usage, format!("the directory is empty{on}"))
            .at(directory.display())
            .next("is what the backup's host writes to mounted here? mount it, or name the backup's directory"));
    }
    let mut found = Vec::new();
    if let Some(mount) = mount_of(&table, &real) {
        found.extend(
            mount_findings(&mount).into_iter().filter(|(id, ..)| *id == "nfs_options").map(
                |(id, why, remedy)| Finding {
                    id: format!("staging.{id}"),
                    severity: Severity::Warning,
                    objects: vec![directory.display().to_string()],
                    why,
                    remedy,
                },
            ),
        );
    }
    let beside = manifest.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = beside.unwrap_or(Path::new("."));
    if let Some(why) = unwritable(beside) {
        return Err(Error::new(Kind::Blocked, "the upload's manifest can't be written")
            .because(why)
            .at(manifest.display())
            .next("give this user the right to write there (mounted read-only: remount it), or --manifest FILE elsewhere"));
    }
    if !holds_chain(&real) {
        found.push(Finding {
            id: "staging.no_manifest".into(),
            severity: Severity::Note,
            objects: vec![directory.display().to_string()],
            why: format!(
                "no {} lies in {} or above it: daybreak didn't take this backup, so whether others belong to it \
                 can't be told",
                chain::FILE,
                directory.display()
            ),
            remedy: "if `daybreak backup take` took it, mount or name the whole of its directory".into(),
        });
    }
    Ok(found)
}

/// Why no file can be made in a directory.
fn unwritable(directory: &Path) -> Option<std::io::Error> {
    let name = CString::new(directory.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path is NUL-terminated, and lives through the call.
    match unsafe { libc::access(name.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => None,
        _ => Some(std::io::Error::last_os_error()).filter(|_| directory.is_dir()),
    }
}

/// Whether the manifest of the backups lies in a directory, or in the one above it.
fn holds_chain(directory: &Path) -> bool {
    [Some(directory), directory.parent()]
        .into_iter()
        .flatten()
        .any(|directory| directory.join(chain::FILE).is_file())
}

/// What is wrong with a mount: id, why, remedy.
fn mount_findings(mount: &Mount) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    if matches!(mount.kind.as_str(), "tmpfs" | "ramfs") {
        found.push((
            "memory",
            format!(
                "{} lies in memory ({}): what is there is gone with the machine",
                mount.place, mount.kind
            ),
            "name a directory on a disk or an EFS mount".to_string(),
        ));
    }
    if mount.options.iter().any(|option| option == "ro") {
        found.push((
            "read_only",
            format!("{} is mounted read-only", mount.place),
            format!("mount -o remount,rw {}", mount.place),
        ));
    }
    if matches!(mount.kind.as_str(), "nfs" | "nfs4") {
        let wrong: Vec<String> = EFS_OPTIONS
            .iter()
            .filter_map(|(name, value)| {
                let have = option(mount, name);
                match have {
                    Some(have) if have == *value => None,
                    Some(have) => Some(format!("{name}={have}")),
                    None => Some(format!("no {name}")),
                }
            })
            .collect();
        if !wrong.is_empty() {
            let wanted: Vec<String> = EFS_OPTIONS
                .iter()
                .map(|(name, value)| match value.is_empty() {
                    true => name.to_string(),
                    false => format!("{name}={value}"),
                })
                .collect();
            found.push((
                "nfs_options",
                format!("{} isn't mounted as EFS should be ({})", mount.place, wrong.join(", ")),
                format!("mount it with -o {}", wanted.join(",")),
            ));
        }
    }
    found
}

/// An option's value, empty for a flag. The kernel writes `vers` for `nfsvers`.
fn option<'a>(mount: &'a Mount, name: &str) -> Option<&'a str> {
    let is = |given: &str| given == name || (name == "nfsvers" && given == "vers");
    mount.options.iter().find_map(|option| match option.split_once('=') {
        Some((given, value)) => is(given).then_some(value),
        None => is(option).then_some(""),
    })
}

/// The mount on which a path lies: the last one of the longest place.
///
/// Source: proc_pid_mountinfo(5).
fn mount_of(table: &str, path: &Path) -> Option<Mount> {
    let mut best: Option<Mount> = None;
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(4);
        let mut right = right.split(' ');
        let (Some(place), Some(options)) = (left.next(), left.next()) else { continue };
        let (Some(kind), Some(source)) = (right.next(), right.next()) else { continue };
        let place = unescaped(place);
        let closer = best.as_ref().is_none_or(|best| place.len() >= best.place.len());
        if closer && path.starts_with(&place) {
            // A mount can be read-only where its file system isn't, and the other way round.
            let of_system = right.next().unwrap_or_default();
            best = Some(Mount {
                place,
                kind: kind.into(),
                source: unescaped(source),
                options: options.split(',').chain(of_system.split(',')).map(Into::into).collect(),
            });
        }
    }
    best
}

/// `\040` is a space there.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let octal = (*first == b'\\')
            .then(|| rest.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                bytes = &rest[3..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a file, flushes and removes it.
fn written(directory: &Path) -> std::io::Result<f64> {
    struct Gone<'a>(&'a Path);
    impl Drop for Gone<'_> {
        fn drop(&mut self) {
            if let Err(error) = fs::remove_file(self.0) {
                tracing::warn!(path = %self.0.display(), %error, "a measuring file is left");
            }
        }
    }
    let path = directory.join(format!(".daybreak-measure-{}", std::process::id()));
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let _gone = Gone(&path);
    // Not zeros: a file system may keep those without writing them.
    let block: Vec<u8> =
        (0..1_048_576u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let begun = Instant::now();
    for _ in 0..PROBE_BYTES / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(PROBE_BYTES as f64 / begun.elapsed().as_secs_f64().max(1e-9))
}

/// A path, or the nearest above it that is there.
fn there(mut path: &Path) -> &Path {
    while !path.exists() {
        path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
    }
    path
}

/// The bytes that this user may still write where a path lies; of one that isn't there yet, where it
/// would be made.
///
/// # Errors
/// `Io`.
pub fn free_space(path: &Path) -> Result<u64> {
    let path = there(path);
    let at = || Error::new(Kind::Io, "the free space isn't known").at(path.display());
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| at().because(error))?;
    // SAFETY: a struct of integers, for which all zeros is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and the struct lives through the call.
    if unsafe { libc::statvfs(name.as_ptr(), &raw mut stat) } != 0 {
        return Err(at().because(std::io::Error::last_os_error()));
    }
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A size for a person: `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "bytes" => format!("{bytes} bytes"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 22 0:30 / /mnt/my\\040efs rw,relatime shared:9 - nfs4 fs-1.efs.eu-central-1.amazonaws.com:/ rw,vers=4.1,rsize=1048576,wsize=1048576,namlen=255,hard,noresvport,proto=tcp,timeo=600,retrans=2,sec=sys
41 22 0:31 / /mnt/nas rw,relatime - nfs4 10.0.0.1:/x rw,vers=4.2,rsize=65536,wsize=1048576,soft,proto=tcp,timeo=600,retrans=2
42 22 0:32 / /run ro,nosuid - tmpfs tmpfs rw,size=1k
";

    #[test]
    fn mounts_are_told_apart() {
        let of = |path: &str| mount_of(TABLE, Path::new(path)).unwrap();
        assert_eq!(of("/home/x").kind, "ext4");
        assert_eq!(of("/mnt/nasty").kind, "ext4");
        assert_eq!(of("/mnt/my efs/a").place, "/mnt/my efs");
        let findings = |path: &str| -> Vec<_> {
            mount_findings(&of(path)).into_iter().map(|(id, why, _)| (id, why)).collect()
        };
        assert!(findings("/mnt/my efs/a").is_empty() && findings("/").is_empty());
        let (id, why) = findings("/mnt/nas").remove(0);
        assert_eq!(id, "nfs_options");
        assert!(why.ends_with("(nfsvers=4.2, rsize=65536, no hard, no noresvport)"), "{why}");
        let ids: Vec<_> = findings("/run/x").into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["memory", "read_only"]);
    }

    #[test]
    fn a_directory_is_measured_and_left_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let looked = look(&place.path().join("x/y"), 1, true).unwrap();
        assert!(looked.free > 0 && looked.bytes_per_second > Some(0.0) && looked.mount.is_some());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let looked = look(place.path(), u64::MAX, false).unwrap();
        assert!(looked.findings.iter().any(|finding| finding.id == "staging.space"));
        let no_directory = place.path().join("x");
        fs::write(&no_directory, "").unwrap();
        assert_eq!(look(&no_directory, 0, true).unwrap_err().kind(), Kind::Io);
    }

    #[tokio::test]
    async fn a_path_that_does_not_answer_is_not_waited_for() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let asked = Path::new("/mnt/my efs");
        let time = Duration::from_millis(10);
        let error = within(time, asked, move || assert!(held.recv().is_err())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert!(
            error.to_string().contains("/mnt/my efs") && error.next_step().is_some(),
            "{error}"
        );
        drop(release);
        within(Duration::MAX, asked, || {}).await.unwrap();
        answers(Path::new("/nowhere/at/all")).await.unwrap();
    }

    #[test]
    fn what_is_to_be_read_is_looked_at() {
        let place = tempfile::tempdir().unwrap();
        let backup = place.path().join("full");
        let manifest = backup.join("upload.json");
        assert_eq!(look_to_read(&backup, &manifest).unwrap_err().kind(), Kind::Io);
        fs::create_dir(&backup).unwrap();
        let empty = look_to_read(&backup, &manifest).unwrap_err();
        assert_eq!(empty.kind(), Kind::Usage);
        assert!(
            empty.to_string().contains("which is") && empty.to_string().contains("mounted"),
            "{empty}"
        );
        fs::write(backup.join("ibdata1"), "x").unwrap();
        let ids = |found: Vec<Finding>| found.into_iter().map(|one| one.id).collect::<Vec<_>>();
        let found = ids(look_to_read(&backup, &manifest).unwrap());
        assert_eq!(found, ["staging.no_manifest"]);
        fs::write(place.path().join(chain::FILE), "{}").unwrap();
        assert_eq!(ids(look_to_read(&backup, &manifest).unwrap()), Vec::<String>::new());
        // Root may write everywhere but where the file system says no.
        let read_only = Path::new("/proc/self/upload.json");
        let error = look_to_read(&backup, read_only).unwrap_err();
        assert_eq!(error.kind(), Kind::Blocked, "{error}");
        assert!(error.next_step().is_some_and(|next| next.contains("--manifest")));
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(5), "5 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 40), "3.0 TiB");
    }
}
