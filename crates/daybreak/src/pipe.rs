//! Pipes between programs.

use std::os::fd::{AsFd, AsRawFd as _};

/// How many bytes may wait in a pipe: what Linux lets anyone ask for (`fs.pipe-max-size`). Its own 64 KiB
/// let both sides take turns.
const WIDE: libc::c_int = 1 << 20;

/// Lets a pipe hold more. What isn't a pipe stays as it is, and so does one that may not grow.
pub fn widen(end: &impl AsFd) {
    // SAFETY: the descriptor is open as long as it is borrowed; the call has no other argument than a number.
    let held = unsafe { libc::fcntl(end.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, WIDE) };
    if held < 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "no pipe, or not a wider one");
    }
}
