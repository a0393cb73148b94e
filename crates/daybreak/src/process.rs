//! Programs that daybreak starts, each the leader of a process group of its own.

/// A process group that is killed unless it is known to have ended.
#[derive(Debug)]
pub(crate) struct Group(Option<i32>);

impl Group {
    /// The group that a child leads, which was started with `process_group(0)`.
    pub(crate) fn of(child: &tokio::process::Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()))
    }

    /// Sends a signal to every process in it.
    pub(crate) fn signal(&self, signal: i32) {
        if let Some(group) = self.0 {
            // SAFETY: kill takes any number and changes no memory. The group is ours: its leader is a
            // child that hasn't been waited for, or was a moment ago.
            unsafe { libc::kill(-group, signal) };
        }
    }

    /// It has ended, and its number may be somebody else's.
    pub(crate) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}
