//! The directory where a backup waits for its upload, as a rule an EFS mount: whether it has the space,
//! is mounted as it should be, and how fast it takes what is written.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::Path,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
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

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(5), "5 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 40), "3.0 TiB");
    }
}
