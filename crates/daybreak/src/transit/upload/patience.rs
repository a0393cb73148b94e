//! Trying again what AWS asks to try again, ever more slowly and never in step with others.

use std::{future::Future, time::Duration};

use crate::{
    engine::StopSignal,
    error::{Kind, Result},
    event::Events,
};

/// How often in all. With these waits that is about two minutes, and at most four.
const TRIES: u32 = 14;
/// The first wait's bound, and the last one's.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(25));

/// Does something until it works, fails for good, or a stop is asked for.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    events: &Events,
    stop: &StopSignal,
    mut work: impl FnMut() -> F,
) -> Result<T> {
    for attempt in 1.. {
        stop.check()?;
        let error = match work().await {
            Err(error) if error.kind() == Kind::AwsBusy && attempt < TRIES => error,
            Err(error) if error.kind() == Kind::AwsBusy => {
                return Err(error.next(
                    "check the endpoint and the network; the same command goes on from here",
                ));
            }
            other => return other,
        };
        let what = format!("{}: {}", error.what(), error.causes().join(": "));
        // The first ones happen to everybody.
        if attempt % 4 == 0 {
            events.warn(format!("{what}; trying again ({attempt} of {TRIES})"));
        } else {
            events.detail(what);
        }
        let bound = WAITS.0.saturating_mul(1 << attempt.min(16)).min(WAITS.1);
        let wait = bound.mul_f64(rand::random_range(0.1..1.0));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.stopped() => {}
        }
    }
    unreachable!("the loop has no end")
}
