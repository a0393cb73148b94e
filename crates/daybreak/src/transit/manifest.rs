//! What an upload is to be, and once it is complete, what it came to.
//!
//! The file lies beside the backup, never below the prefix: Aurora reads every object there. It says
//! that the prefix is ours; how far an upload got isn't in it, since the bucket knows that better.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Encryption, S3Place},
    error::{Error, Kind, Result},
    files,
    transit::{inspection::Profile, objects::Objects},
};

/// The manifest's name in a directory that is uploaded.
pub const FILE: &str = ".daybreak-upload.json";
/// The form of the file.
const VERSION: u32 = 1;

/// In which form a backup goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Each file of a directory as an object, the structure kept.
    Tree,
    /// A directory as one tar stream, compressed, in parts.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// Files that are ready: archives, or parts of one.
    Files,
    /// What a program writes while it runs.
    Stream,
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub version: u32,
    /// Where it goes.
    pub place: S3Place,
    /// In which form.
    pub form: Form,
    /// The stream's name, where there is one.
    pub name: Option<String>,
    /// Names, sizes and times of the files, as one digest; none for a stream.
    pub input: Option<String>,
    /// By whose rules these files were looked at, and nothing was found against them; none: they weren't
    /// looked at before the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspected: Option<Profile>,
    /// How many bytes a part holds.
    pub part_bytes: u64,
    /// How many parts an object of a stream has at most.
    pub parts_per_object: u32,
    /// How objects are to be encrypted.
    pub encryption: Encryption,
    /// Whether everything is there, and the bucket was asked.
    pub complete: bool,
    /// The objects, in the order of their keys; none before it was complete once.
    #[serde(default)]
    pub objects: Objects,
}

impl Manifest {
    /// The one of an upload that begins.
    pub fn new(place: S3Place, form: Form, name: Option<String>, encryption: Encryption) -> Self {
        Manifest {
            version: VERSION,
            place,
            form,
            name,
            input: None,
            inspected: None,
            part_bytes: 0,
            parts_per_object: 0,
            encryption,
            complete: false,
            objects: Objects::default(),
        }
    }

    /// Whether both describe the same upload; how far it is, and of which state of the files, aside.
    pub fn is_for_the_same(&self, other: &Manifest) -> bool {
        let what = |manifest: &Manifest| {
            (manifest.place.clone(), manifest.form, manifest.name.clone(), manifest.part_bytes)
        };
        what(self) == what(other)
            && self.parts_per_object == other.parts_per_object
            && self.encryption == other.encryption
    }

    /// How many bytes the objects hold.
    pub fn bytes(&self) -> u64 {
        self.objects.sizes().map(|(_, size)| size).sum()
    }

    /// Reads one, if it is there.
    pub fn load(path: &Path) -> Result<Option<Manifest>> {
        let file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::from(error).at(path.display())),
        };
        let damaged = |error: Error| {
            error.at(path.display()).next(
                "if it can't be had back, upload to an empty prefix (delete what daybreak put below this \
                 one) and remove the file",
            )
        };
        // An upload has up to a million objects: the text is never in memory as a whole.
        let manifest: Manifest =
            serde_json::from_reader(file).map_err(|error| match error.is_io() {
                true => Error::from(std::io::Error::from(error)).at(path.display()),
                false => damaged(
                    Error::new(Kind::Journal, "the upload's manifest can't be read").because(error),
                ),
            })?;
        if manifest.version != VERSION {
            return Err(damaged(Error::new(
                Kind::Journal,
                "the upload's manifest is of another version",
            )));
        }
        Ok(Some(manifest))
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| {
            let full = error.kind() == std::io::ErrorKind::StorageFull;
            let error = Error::from(error).at(path.display());
            match full {
                true => error.next(
                    "free space on that disk, then the same command again: what is in the bucket stays",
                ),
                false => error.next("make the place writable, or give another file with --manifest"),
            }
        };
        let write = |file: &mut dyn std::io::Write| {
            serde_json::to_writer_pretty(file, self).map_err(std::io::Error::from)
        };
        files::replace_with(path, 0o640, write).map_err(failed)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

/// Held for as long as an upload runs; a dead process doesn't keep it.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "the lock goes with the file")] File);

/// Makes sure that one process at a time works on an upload.
pub fn hold(manifest: &Path) -> Result<Held> {
    let path = beside(manifest, "lock");
    let failed = |error: std::io::Error| {
        Error::from(error)
            .at(path.display())
            .next("make the place writable, or give another file with --manifest")
    };
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match files::lock(&file, false).map_err(failed)? {
        true => Ok(Held(file)),
        false => Err(Error::new(Kind::State, "another process is at this upload")
            .at(path.display())
            .next("wait until it ends, or stop it")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_saved_is_read_again_and_damage_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        assert_eq!(Manifest::load(&path).unwrap(), None);
        let place = S3Place::parse("s3://bucket/a").unwrap();
        let manifest =
            Manifest::new(place, Form::TarGz, Some("backup.tar.gz".into()), Encryption::S3);
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), Some(manifest));
        fs::write(&path, b"{").unwrap();
        assert_eq!(Manifest::load(&path).unwrap_err().kind(), Kind::Journal);
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let held = hold(&path).unwrap();
        assert_eq!(hold(&path).unwrap_err().kind(), Kind::State);
        drop(held);
        hold(&path).unwrap();
    }
}
