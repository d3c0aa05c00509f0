//! The distribution of call durations.

use std::time::Duration;

/// The number of significant bits that are kept. A bucket is at most 1/32 as wide as its values.
const PRECISION: u32 = 6;

/// Values below this limit have a bucket of their own.
const EXACT: usize = 1 << PRECISION;

/// A histogram of durations whose buckets grow with the values, and the exact longest duration.
///
/// Recording takes a few nanoseconds and allocates nothing, so it hardly disturbs the measurement.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    calls: u64,
    total: u64,
    longest: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let counts = vec![0; EXACT * (u64::BITS - PRECISION + 1) as usize];
        Self { counts, calls: 0, total: 0, longest: 0 }
    }
}

impl Latencies {
    /// Records one duration.
    #[inline]
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.calls += 1;
        self.total += nanos;
        self.longest = self.longest.max(nanos);
    }

    /// Returns mean, high quantiles and maximum.
    pub fn summary(&self) -> Summary {
        Summary {
            mean: self.total as f64 / self.calls.max(1) as f64,
            p999: self.quantile(0.999),
            p9999: self.quantile(0.9999),
            longest: self.longest as f64,
        }
    }

    /// Returns the end of the bucket that contains the quantile.
    fn quantile(&self, share: f64) -> f64 {
        let mut left = share * self.calls as f64;
        for (bucket, &count) in self.counts.iter().enumerate() {
            left -= count as f64;
            if count > 0 && left <= 0.0 {
                return (end(bucket) as f64).min(self.longest as f64);
            }
        }
        self.longest as f64
    }
}

/// A summary of many durations, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// The mean duration.
    pub mean: f64,
    /// The 99.9th percentile: one call in a thousand is longer.
    pub p999: f64,
    /// The 99.99th percentile: one call in ten thousand is longer.
    pub p9999: f64,
    /// The longest duration.
    pub longest: f64,
}

/// Returns the bucket of a value.
///
/// Each value below [`EXACT`] has its own bucket. Above, each power of two has `EXACT / 2` buckets.
#[inline]
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION);
    shift as usize * (EXACT / 2) + (value >> shift) as usize
}

/// Returns the largest value of a bucket.
fn end(bucket: usize) -> u64 {
    let shift = (bucket / (EXACT / 2)).saturating_sub(1);
    let start = (bucket - shift * (EXACT / 2)) as u64;
    ((start + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(nanos: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        nanos.into_iter().for_each(|nanos| latencies.record(Duration::from_nanos(nanos)));
        latencies
    }

    #[test]
    fn each_value_lies_in_its_bucket() {
        for value in (0..100_000).chain([1 << 40, (1 << 40) + 1, (1 << 62) + 12_345]) {
            let bucket = bucket(value);
            assert!(end(bucket) >= value, "{value}");
            assert!(bucket == 0 || end(bucket - 1) < value, "{value}");
            assert!((end(bucket) - value) as f64 <= value as f64 / 32.0, "{value}");
        }
    }

    #[test]
    fn summary_matches_the_recorded_values() {
        let summary = recorded(1..=100_000).summary();
        assert_eq!(summary.mean, 50_000.5);
        assert!((99_900.0..=100_000.0).contains(&summary.p999), "{summary:?}");
        assert!((99_990.0..=100_000.0).contains(&summary.p9999), "{summary:?}");
        assert_eq!(summary.longest, 100_000.0);
    }

    #[test]
    fn one_slow_call_in_a_million_changes_only_the_maximum() {
        let summary = recorded(std::iter::repeat_n(50, 1_000_000).chain([7_000_000])).summary();
        assert_eq!((summary.p9999, summary.longest), (50.0, 7_000_000.0));
    }

    #[test]
    fn empty_histogram_has_a_summary_of_zeros() {
        assert_eq!(Latencies::default().summary(), Summary::default());
    }
}
