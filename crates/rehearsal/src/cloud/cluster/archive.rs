//! The objects of a bucket, in Aurora's order, and the files in them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::Refusal;
use crate::server::{BackupPrograms, find_mariadb_backup, spawn};

/// The most objects that Aurora restores from.
const MOST: usize = 1_000_000;
/// The largest of them, in bytes.
const LARGEST: u64 = 5_000_000_000_000;

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Its key behind the prefix's last slash.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
}

/// What an object is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    TarGz,
    Tar,
    Xbstream,
    File,
}

/// `backup.tar.gz00003` is part 3 of `backup.tar.gz`; `backup.tar.gz.3` is too.
fn form(name: &str) -> (Form, &str) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = stem.strip_suffix('.').unwrap_or(stem);
    let of = |name: &str| match name {
        name if name.ends_with(".gz") => Some(Form::TarGz),
        name if name.ends_with(".tar") => Some(Form::Tar),
        name if name.ends_with(".xbstream") => Some(Form::Xbstream),
        _ => None,
    };
    of(stem).map_or((Form::File, name), |form| (form, stem))
}

/// A name as parts that compare naturally: `a9` before `a10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(text);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        parts.push((word.to_owned(), number.parse().unwrap_or(0)));
        rest = tail;
    }
    parts
}

/// All objects whose keys begin with the prefix, in alphabetical order, numbers as numbers.
pub(super) fn objects(bucket: &Path, prefix: &str) -> Result<Vec<Object>, Refusal> {
    let mut keys = Vec::new();
    walk(bucket, "", &mut keys).map_err(Refusal::io("reading the bucket"))?;
    let cut = prefix.rfind('/').map_or(0, |at| at + 1);
    let mut found: Vec<Object> = keys
        .into_iter()
        .filter(|key| key.starts_with(prefix))
        .map(|key| Object { path: bucket.join(&key), name: key[cut..].to_owned() })
        .collect();
    found.sort_by_key(|object| natural(&object.name));
    if found.is_empty() {
        return Err(Refusal::new("no object lies under the prefix"));
    }
    let mut largest = 0;
    for object in &found {
        let about = fs::metadata(&object.path).map_err(Refusal::io("reading the bucket"))?;
        largest = largest.max(about.len());
    }
    within(found.len(), largest)?;
    Ok(found)
}

fn within(count: usize, largest: u64) -> Result<(), Refusal> {
    if count > MOST {
        return Err(Refusal(format!("{count} objects are more than {MOST}")));
    }
    if largest > LARGEST {
        return Err(Refusal(format!("an object of {largest} bytes is larger than 5 TB")));
    }
    Ok(())
}

fn walk(dir: &Path, key: &str, keys: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What an endpoint keeps for itself beside the objects.
        if key.is_empty() && name.starts_with('.') {
            continue;
        }
        let key = if key.is_empty() { name } else { format!("{key}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &key, keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

/// Brings the objects' files into a directory. `tools`: of the family that made the stream; none: MariaDB's.
pub(super) fn unpack(
    objects: &[Object],
    into: &Path,
    tools: Option<&BackupPrograms>,
) -> Result<(), Refusal> {
    fs::create_dir_all(into).map_err(Refusal::io("making a directory"))?;
    let mut archives: BTreeMap<(Form, &str), Vec<&Object>> = BTreeMap::new();
    let mut files = Vec::new();
    for object in objects {
        // A file of a backup may end in .gz too: it lies in a directory tree then.
        match form(&object.name) {
            (Form::File, _) => files.push(object),
            (form, stem) => archives.entry((form, stem)).or_default().push(object),
        }
    }
    if !archives.is_empty() && !files.is_empty() {
        return Err(Refusal(format!(
            "/bin/tar: This does not look like a tar archive ({} lies beside archives)",
            files[0].name
        )));
    }
    if archives.keys().map(|(form, _)| *form).collect::<std::collections::BTreeSet<_>>().len() > 1 {
        return Err(Refusal::new(
            "/bin/tar: This does not look like a tar archive (mixed formats)",
        ));
    }
    for object in files {
        let target = inside(into, Path::new(&object.name))?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Refusal::io("making a directory"))?;
        }
        fs::copy(&object.path, &target).map_err(Refusal::io("copying an object"))?;
    }
    for (number, ((form, _), parts)) in archives.into_iter().enumerate() {
        let target = into.join(format!("archive-{number}"));
        fs::create_dir_all(&target).map_err(Refusal::io("making a directory"))?;
        let input =
            Parts { parts: parts.iter().map(|part| part.path.clone()).rev().collect(), now: None };
        match form {
            Form::TarGz => untar(flate2::read::MultiGzDecoder::new(input), &target)?,
            Form::Tar => untar(input, &target)?,
            Form::Xbstream => unstream(input, &target, tools)?,
            Form::File => {}
        }
    }
    Ok(())
}

/// A path that stays inside a directory.
fn inside(dir: &Path, path: &Path) -> Result<PathBuf, Refusal> {
    if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(dir.join(path));
    }
    Err(Refusal(format!("{} leads outside", path.display())))
}

/// Parts as one stream.
struct Parts {
    parts: Vec<PathBuf>,
    now: Option<File>,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.now {
                match file.read(into)? {
                    0 => self.now = None,
                    read => return Ok(read),
                }
            }
            match self.parts.pop() {
                Some(path) => self.now = Some(File::open(path)?),
                None => return Ok(0),
            }
        }
    }
}

fn untar(input: impl Read, into: &Path) -> Result<(), Refusal> {
    let no_tar = |error: io::Error| {
        Refusal(format!("/bin/tar: This does not look like a tar archive ({error})"))
    };
    let mut archive = tar::Archive::new(input);
    let mut any = false;
    for entry in archive.entries().map_err(no_tar)? {
        let mut entry = entry.map_err(no_tar)?;
        any = true;
        if !entry.unpack_in(into).map_err(no_tar)? {
            return Err(Refusal::new("a path of the archive leads outside"));
        }
    }
    // Behind the end of the archive the compressed stream must be whole as well.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(no_tar)?;
    if any { Ok(()) } else { Err(Refusal::new("/bin/tar: This does not look like a tar archive")) }
}

fn unstream(
    mut input: impl Read,
    into: &Path,
    tools: Option<&BackupPrograms>,
) -> Result<(), Refusal> {
    let tools = match tools {
        Some(tools) => tools.clone(),
        None => find_mariadb_backup().map_err(|error| Refusal(error.to_string()))?,
    };
    let program = tools
        .stream
        .ok_or_else(|| Refusal::new("the rehearsal has no mbstream or xbstream to unpack with"))?;
    let said = into.with_extension("log");
    let log = File::create(&said).map_err(Refusal::io("writing a log"))?;
    let mut command = Command::new(program);
    command.arg("-x").arg("-C").arg(into).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
    let mut child = spawn(command).map_err(Refusal::io("starting the program that unpacks"))?;
    let fed = match child.stdin.take() {
        Some(mut stdin) => io::copy(&mut input, &mut stdin).map(drop),
        None => Ok(()),
    };
    let status = child.wait().map_err(Refusal::io("waiting for the program that unpacks"))?;
    if !status.success() {
        let said = fs::read_to_string(&said).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        return Err(Refusal(format!("the xbstream can't be unpacked ({status}): {last}")));
    }
    fed.map_err(Refusal::io("unpacking the xbstream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(form("b.tar.gz00012"), (Form::TarGz, "b.tar.gz"));
        assert_eq!(form("b.tar.gz.03"), (Form::TarGz, "b.tar.gz"));
        assert_eq!(form("full/b.xbstream0"), (Form::Xbstream, "full/b.xbstream"));
        assert_eq!(form("b.tar"), (Form::Tar, "b.tar"));
        assert_eq!(form("full/ibdata1").0, Form::File);
        assert_eq!(form("full/xtrabackup_checkpoints").0, Form::File);
    }

    #[test]
    fn more_or_larger_objects_than_aurora_takes_are_refused() {
        within(MOST, LARGEST).unwrap();
        let words = |count, largest| within(count, largest).unwrap_err().0;
        assert!(words(MOST + 1, 1).contains("1000001 objects"));
        assert!(words(1, LARGEST + 1).contains("5 TB"));
        // By what lies there: a file with a hole takes no space.
        let bucket = tempfile::tempdir().unwrap();
        let file = File::create(bucket.path().join("b.xbstream0")).unwrap();
        file.set_len(LARGEST).unwrap();
        assert_eq!(objects(bucket.path(), "b").unwrap().len(), 1);
        file.set_len(LARGEST + 1).unwrap();
        assert!(objects(bucket.path(), "b").unwrap_err().0.contains("5 TB"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut names = ["b.gz10", "b.gz9", "a.gz1", "b.gz009"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names[0], "a.gz1");
        assert_eq!(names[3], "b.gz10");
    }
}
