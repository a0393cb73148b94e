//! The lag over time, from the figures beside the journal: few enough points to draw, and no peak
//! lost among them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The figure's name in the journal.
const METRIC: &str = "lag_seconds";

/// How many points are kept.
const POINTS: usize = 240;

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LagPoint {
    /// When.
    pub at: Timestamp,
    /// How far the target was behind, in seconds.
    pub seconds: f64,
}

/// How far the target was behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// How many samples were taken.
    pub samples: usize,
    /// The highest of all samples, in seconds.
    pub max_seconds: f64,
    /// The last one.
    pub last_seconds: f64,
    /// At most 240 points; each is the highest sample of its stretch.
    pub points: Vec<LagPoint>,
}

impl Lag {
    pub(super) fn of(metrics: &[(Timestamp, String, f64)]) -> Option<Self> {
        let samples: Vec<LagPoint> = metrics
            .iter()
            .filter(|(_, name, value)| name == METRIC && value.is_finite())
            // Clocks of two machines may differ: less than nothing is nothing.
            .map(|(at, _, value)| LagPoint { at: *at, seconds: value.max(0.0) })
            .collect();
        let last_seconds = samples.last()?.seconds;
        let points: Vec<LagPoint> = samples
            .chunks(samples.len().div_ceil(POINTS))
            .filter_map(|stretch| {
                stretch.iter().copied().max_by(|a, b| a.seconds.total_cmp(&b.seconds))
            })
            .collect();
        Some(Lag {
            samples: samples.len(),
            max_seconds: samples.iter().map(|point| point.seconds).fold(0.0, f64::max),
            last_seconds,
            points,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peak_is_lost() {
        let metrics: Vec<(Timestamp, String, f64)> = (0..10_001i64)
            .map(|n| {
                let at = Timestamp::from_second(1_700_000_000 + n).unwrap();
                (at, METRIC.to_string(), if n == 7_123 { 9.5 } else { 0.1 })
            })
            .collect();
        let lag = Lag::of(&metrics).unwrap();
        assert!(lag.points.len() <= POINTS, "{}", lag.points.len());
        assert_eq!((lag.samples, lag.max_seconds, lag.last_seconds), (10_001, 9.5, 0.1));
        assert!(lag.points.iter().any(|point| point.seconds == 9.5));
        assert!(Lag::of(&[]).is_none());
    }
}
