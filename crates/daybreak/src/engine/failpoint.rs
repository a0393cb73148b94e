//! Where tests stop the process. Compiled only with the feature `failpoints`, which no released
//! binary has.
//!
//! `DAYBREAK_KILL_AT=N:synced` kills the process (SIGKILL) when entry N is on disk and nothing of its
//! effect has begun; `N:effect` when its effect is complete and the next entry isn't written.
//! `DAYBREAK_KILL_AT=NAME` does so at a place between two entries that has a name.

fn at(point: &str, seq: u64) {
    reached(&format!("{seq}:{point}"));
}

/// The place of this name is reached.
pub(crate) fn reached(name: &str) {
    if std::env::var("DAYBREAK_KILL_AT").is_ok_and(|wanted| wanted == name) {
        // SAFETY: sends a signal to this very process; no memory is touched.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        // The signal may take a moment; nothing may happen in it.
        loop {
            std::thread::park();
        }
    }
}

/// Entry `seq` is about to be written: the effect of the one before it is complete.
pub(super) fn before(seq: u64) {
    at("effect", seq - 1);
}

/// Entry `seq` is on disk.
pub(super) fn synced(seq: u64) {
    at("synced", seq);
}
