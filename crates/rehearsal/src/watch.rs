//! Watching what others do: servers, programs, the endpoints.

use std::time::{Duration, Instant};

/// How often it is looked: often enough to meet in the middle what lasts a moment.
const EVERY: Duration = Duration::from_millis(2);

/// Waits until a condition holds. Nobody tells of what other processes do: it is asked for again and again.
///
/// # Panics
/// If it doesn't hold after `patience`, which is far above what it takes.
pub async fn until_within(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !condition().await {
        assert!(begun.elapsed() < patience, "waited in vain: {what}");
        looks.tick().await;
    }
}

/// The most memory that a process has had resident so far, in KiB; none when it has ended. `wait4` would tell as
/// well, but its figure can be that of this process, from which the other came by fork.
pub fn peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
