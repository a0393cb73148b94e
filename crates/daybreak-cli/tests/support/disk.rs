//! A disk that can be filled.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{io::Write as _, path::Path, process::Command};

/// A small file system in memory, as long as it is used.
pub struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// None where this account may not mount, which is said.
    pub fn of(mib: u32) -> Option<Disk> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "daybreak-test"])
            .arg(directory.path())
            .output()
            .unwrap();
        if !mounted.status.success() {
            eprintln!(
                "NOT TESTED: a full disk needs a small file system, and mounting one needs root: {}",
                String::from_utf8_lossy(&mounted.stderr)
            );
            return None;
        }
        Some(Disk { directory })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves so many KiB.
    pub fn fill(&self, leave_kib: u64) {
        let output = Command::new("df").args(["-k", "--output=avail"]).arg(self.path()).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let free: u64 = output.split_whitespace().last().unwrap().parse().unwrap();
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        let piece = vec![0; 1024];
        for _ in leave_kib..free {
            // The last pages may be taken by somebody else meanwhile.
            if file.write_all(&piece).is_err() {
                break;
            }
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server on it may be dying still.
        _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
