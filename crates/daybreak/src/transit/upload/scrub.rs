//! Secrets in what the tool wrote beside the data. The files stay as they are: what goes up in their place
//! is made here.

use std::path::Path;

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    transit::{inspect::secrets, tree::Entries},
};

/// A file of options or of a log that is longer is none.
const LONGEST: u64 = 16 << 20;

/// Puts content without secrets in the place of files that hold some. Returns their names.
pub(super) fn substitute(root: &Path, entries: &mut Entries) -> Result<Vec<String>> {
    let mut cleaned = Vec::new();
    let mut replaced = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let file = entry.name.rsplit('/').next().unwrap_or_default();
        if entry.about.directory || entry.about.size > LONGEST || !may_hold_one(file) {
            continue;
        }
        let path = root.join(entry.name);
        let bytes = std::fs::read(&path).map_err(|error| Error::from(error).at(path.display()))?;
        // The redo log and its kin are no text.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let clean: String = text.split_inclusive('\n').map(clean).collect();
        if clean != text {
            replaced.push((place, Bytes::from(clean)));
            cleaned.push(entry.name.to_string());
        }
    }
    for (place, bytes) in replaced {
        entries.replace(place, bytes);
    }
    Ok(cleaned)
}

/// `xtrabackup_info` and what lies beside it, copies of option files, and logs of the tool.
fn may_hold_one(file: &str) -> bool {
    let written = ["xtrabackup_", "mariadb_backup_"].iter().any(|begin| file.starts_with(begin));
    (written && file != "xtrabackup_logfile")
        || [".cnf", ".log"].iter().any(|ending| file.ends_with(ending))
}

/// A line of options, as a command's or as an option file's, without the values of secret ones.
fn clean(line: &str) -> String {
    let option = line.trim_start();
    if let Some((name, _)) = option.split_once('=')
        && !option.starts_with('-')
        && secrets::is_secret(&format!("--{}", name.trim()))
    {
        let ending = if line.ends_with('\n') { "\n" } else { "" };
        return format!("{name}=...{ending}");
    }
    let tells = option.starts_with("tool_command")
        || ["--pas", "--encrypt", "--transition"].iter().any(|begin| line.contains(begin));
    if tells { secrets::scrubbed(line) } else { line.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::tree;

    #[test]
    fn what_holds_a_secret_is_replaced_and_the_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("inc1")).unwrap();
        let info =
            "uuid = 1\ntool_command = --user=b --password=geheim --backup\nserver_version = 5.7\n";
        for (name, text) in [
            ("xtrabackup_info", info),
            ("inc1/xtrabackup_info", info),
            ("backup-my.cnf", "[mysqld]\ninnodb_page_size=16384\n"),
            ("my.cnf", "[client]\npassword = geheim\n"),
            ("backup.log", "recognized client arguments: --password=geheim --backup=1\nrest\n"),
            ("ibdata1", "--password=geheim stays: it is data"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        let mut entries = tree::walk(root).unwrap();
        let cleaned = substitute(root, &mut entries).unwrap();
        assert_eq!(cleaned, ["backup.log", "inc1/xtrabackup_info", "my.cnf", "xtrabackup_info"]);
        for entry in entries.iter() {
            let Some(bytes) = entry.instead else { continue };
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(!text.contains("geheim") && text.contains("..."), "{}: {text}", entry.name);
            assert_eq!(entry.about.size, bytes.len() as u64);
            assert!(std::fs::read_to_string(root.join(entry.name)).unwrap().contains("geheim"));
        }
        let text = String::from_utf8(entries.iter().last().unwrap().instead.unwrap().to_vec());
        assert_eq!(
            text.unwrap(),
            "uuid = 1\ntool_command = --user=b --password=... --backup\nserver_version = 5.7\n"
        );
        let mut packed = Vec::new();
        tree::tar(root, &entries, &mut packed, &mut |_| Ok(())).unwrap();
        let mut read = tar::Archive::new(&packed[..]);
        assert_eq!(read.entries().unwrap().map(Result::unwrap).count(), entries.iter().count());
    }
}
