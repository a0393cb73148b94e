//! Trying again what AWS asks to try again, ever more slowly and never in step with others.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::{
    engine::StopSignal,
    error::{Kind, Result, Retry},
    event::Events,
};

/// How often in all. With these waits that is about two minutes, and at most four.
const TRIES: u32 = 14;
/// The first wait's bound, and the last one's.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(25));

/// How often the first request is tried when no connection comes to be, and for how long: an address
/// that is wrong isn't waited for.
const FIRST: (u32, Duration) = (4, Duration::from_secs(5));

/// Does something until it works, fails for good, or a stop is asked for.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    events: &Events,
    stop: &StopSignal,
    work: impl FnMut() -> F,
) -> Result<T> {
    tried(events, stop, false, work).await
}

/// The same for the first request of all.
pub(super) async fn first<T, F: Future<Output = Result<T>>>(
    events: &Events,
    stop: &StopSignal,
    work: impl FnMut() -> F,
) -> Result<T> {
    tried(events, stop, true, work).await
}

async fn tried<T, F: Future<Output = Result<T>>>(
    events: &Events,
    stop: &StopSignal,
    first: bool,
    mut work: impl FnMut() -> F,
) -> Result<T> {
    let begun = Instant::now();
    for attempt in 1.. {
        stop.check()?;
        let error = match work().await {
            Err(error) if error.kind().retry() == Retry::Again => error,
            other => return other,
        };
        if first
            && error.kind() == Kind::AwsUnreachable
            && (attempt >= FIRST.0 || begun.elapsed() >= FIRST.1)
        {
            return Err(error.next(
                "check the endpoint (endpoint_s3 in [aws], --endpoint-s3) or the Region, and the way there \
                 from this machine (DNS, firewall, proxy); then the same command again",
            ));
        }
        if attempt >= TRIES {
            return Err(error
                .next("check the endpoint and the network; the same command goes on from here"));
        }
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
