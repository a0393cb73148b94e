//! A server's private directory. It goes with its server; where the process was killed, the next one
//! that makes such a directory removes what was left: killed tests mustn't fill the disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Once;

use tempfile::TempDir;

const PREFIX: &str = "daybreak-server-";

/// The file that its owner keeps locked for as long as it lives.
const HELD: &str = "held";

/// A directory that exists as long as this value.
pub(super) struct Private {
    dir: TempDir,
    _held: File,
}

impl Private {
    /// Makes one below the system's directory for temporary files. Blocks.
    pub(super) fn new() -> io::Result<Private> {
        static SWEPT: Once = Once::new();
        let root = std::env::temp_dir();
        SWEPT.call_once(|| sweep(&root));
        Private::make(&root)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn make(root: &Path) -> io::Result<Private> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        // Under its name it is never seen unlocked while its owner lives.
        let (new, held) = (dir.path().join("held.new"), dir.path().join(HELD));
        let file = File::create_new(&new)?;
        file.lock()?;
        fs::rename(new, held)?;
        Ok(Private { dir, _held: file })
    }
}

/// Removes the directories whose owners have ended. One that can't be removed stays for the next time.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_left(path.as_path())) {
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::debug!(%error, path = %path.display(), "a directory of an ended process stays");
        }
    }
}

fn is_left(path: &Path) -> bool {
    let ours =
        path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with(PREFIX));
    // Another user's can't be opened.
    ours && File::open(path.join(HELD)).is_ok_and(|held| match held.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let lives = Private::make(root.path()).unwrap();
        // What a killed process leaves: the kernel let go of the lock, the directory stands.
        let dead = Private::make(root.path()).unwrap();
        let left = dead.dir.keep();
        drop(dead._held);
        let strange = root.path().join("daybreak-server-being-made");
        fs::create_dir(&strange).unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        sweep(root.path());
        assert!(lives.path().join(HELD).exists() && strange.exists());
        assert!(root.path().join("other").exists() && !left.exists());
        let path = lives.path().to_owned();
        drop(lives);
        assert!(!path.exists());
    }
}
