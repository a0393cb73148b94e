//! How fast something went over time, from a counter that was noted again and again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The rows that a pass has copied so far.
pub(super) const COPIED: &str = crate::target::rows::METRIC;

/// The rows that the source has changed since it was started.
pub(super) const CHANGED: &str = crate::source::activity::METRIC;

/// How many points are kept.
const POINTS: usize = 240;

/// A longer time between two samples is a pause: nobody knows what happened within.
const PAUSE_SECONDS: f64 = 15.0;

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// The end of the stretch that it stands for.
    pub at: Timestamp,
    /// Rows per second within the stretch.
    pub per_second: f64,
}

/// A rate over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The highest point.
    pub max_per_second: f64,
    /// At most 240 points; each is the mean of its stretch.
    pub points: Vec<RatePoint>,
}

impl Rate {
    /// The rate of a counter; none without two samples of it in a row.
    pub(super) fn of(metrics: &[(Timestamp, String, f64)], name: &str) -> Option<Self> {
        let samples: Vec<(Timestamp, f64)> = metrics
            .iter()
            .filter(|(_, metric, value)| metric == name && value.is_finite())
            .map(|(at, _, value)| (*at, *value))
            .collect();
        // What was counted, in how many seconds, until when.
        let steps: Vec<(f64, f64, Timestamp)> = samples
            .windows(2)
            .filter_map(|pair| {
                let (from, to) = (pair[0], pair[1]);
                let seconds = (to.0.as_millisecond() - from.0.as_millisecond()) as f64 / 1e3;
                // A counter that went back was begun anew.
                let whole = seconds > 0.0 && seconds < PAUSE_SECONDS && to.1 >= from.1;
                whole.then_some((to.1 - from.1, seconds, to.0))
            })
            .collect();
        let points: Vec<RatePoint> = steps
            .chunks(steps.len().div_ceil(POINTS).max(1))
            .filter_map(|stretch| {
                let counted: f64 = stretch.iter().map(|step| step.0).sum();
                let seconds: f64 = stretch.iter().map(|step| step.1).sum();
                Some(RatePoint { at: stretch.last()?.2, per_second: counted / seconds })
            })
            .collect();
        let max_per_second = points.iter().map(|point| point.per_second).reduce(f64::max)?;
        Some(Rate { max_per_second, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, value: f64) -> (Timestamp, String, f64) {
        (Timestamp::from_second(1_700_000_000 + second).unwrap(), "n".to_string(), value)
    }

    #[test]
    fn a_counter_becomes_a_rate() {
        let metrics = [
            sample(0, 0.0),
            sample(1, 100.0),
            sample(3, 400.0),
            // Begun anew, and a pause.
            sample(4, 0.0),
            sample(5, 50.0),
            sample(500, 90_000.0),
            sample(501, 90_010.0),
        ];
        let rate = Rate::of(&metrics, "n").unwrap();
        let rates: Vec<f64> = rate.points.iter().map(|point| point.per_second).collect();
        assert_eq!(rates, [100.0, 150.0, 50.0, 10.0]);
        assert_eq!(rate.max_per_second, 150.0);
        assert!(Rate::of(&metrics[..1], "n").is_none() && Rate::of(&metrics, "m").is_none());
    }

    #[test]
    fn many_samples_become_few_points_of_the_same_sum() {
        let metrics: Vec<_> = (0..10_000).map(|n| sample(n, n as f64 * 7.0)).collect();
        let rate = Rate::of(&metrics, "n").unwrap();
        assert!(rate.points.len() <= POINTS);
        assert!(rate.points.iter().all(|point| (point.per_second - 7.0).abs() < 1e-9));
    }
}
