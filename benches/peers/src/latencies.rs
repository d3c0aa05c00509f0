//! How long each of many calls took.

use std::time::Duration;

/// Bits of a value that are told apart: steps of less than 1.6 percent.
const PRECISION: u32 = 6;

const STEPS: usize = 1 << PRECISION;

/// Counts of durations in steps that grow with them, and the longest one exactly. Recording takes a few nanoseconds and
/// no memory, so that it disturbs what it records little.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    calls: u64,
    total: u64,
    longest: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let counts = vec![0; STEPS * (u64::BITS - PRECISION + 1) as usize];
        Self { counts, calls: 0, total: 0, longest: 0 }
    }
}

impl Latencies {
    /// Records one call.
    #[inline]
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[step(nanos)] += 1;
        self.calls += 1;
        self.total += nanos;
        self.longest = self.longest.max(nanos);
    }

    /// How many calls were recorded.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What is worth telling about them.
    pub fn summary(&self) -> Summary {
        Summary {
            mean: self.total as f64 / self.calls.max(1) as f64,
            p999: self.quantile(0.999),
            p9999: self.quantile(0.9999),
            longest: self.longest as f64,
        }
    }

    /// The end of the step in which that share of the calls has been counted.
    fn quantile(&self, share: f64) -> f64 {
        let mut left = share * self.calls as f64;
        for (step, &count) in self.counts.iter().enumerate() {
            left -= count as f64;
            if count > 0 && left <= 0.0 {
                return (end(step) as f64).min(self.longest as f64);
            }
        }
        self.longest as f64
    }
}

/// What is told about many calls; everything in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// What one call in a thousand exceeds.
    pub p999: f64,
    /// What one call in ten thousand exceeds.
    pub p9999: f64,
    /// The longest call.
    pub longest: f64,
}

/// Values below [`STEPS`] have a step each; above, each doubling has half of [`STEPS`] more.
#[inline]
fn step(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION);
    shift as usize * (STEPS / 2) + (value >> shift) as usize
}

/// The largest value of a step.
fn end(step: usize) -> u64 {
    let shift = (step / (STEPS / 2)).saturating_sub(1);
    let start = (step - shift * (STEPS / 2)) as u64;
    ((start + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nanos: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        nanos.into_iter().for_each(|nanos| latencies.record(Duration::from_nanos(nanos)));
        latencies
    }

    #[test]
    fn each_value_lies_in_its_step() {
        for value in (0..100_000).chain([1 << 40, (1 << 40) + 1, (1 << 62) + 12_345]) {
            let step = step(value);
            assert!(end(step) >= value, "{value}");
            assert!(step == 0 || end(step - 1) < value, "{value}");
            assert!((end(step) - value) as f64 <= value as f64 / 32.0, "{value}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let summary = of(1..=100_000).summary();
        assert_eq!(summary.mean, 50_000.5);
        assert!((99_900.0..=100_000.0).contains(&summary.p999), "{summary:?}");
        assert!((99_990.0..=100_000.0).contains(&summary.p9999), "{summary:?}");
        assert_eq!(summary.longest, 100_000.0);
    }

    #[test]
    fn one_slow_call_in_many_is_the_longest_and_no_quantile() {
        let summary = of(std::iter::repeat_n(50, 1_000_000).chain([7_000_000])).summary();
        assert_eq!((summary.p9999, summary.longest), (50.0, 7_000_000.0));
    }

    #[test]
    fn no_call_at_all_is_no_error() {
        assert_eq!(Latencies::default().summary(), Summary::default());
    }
}
