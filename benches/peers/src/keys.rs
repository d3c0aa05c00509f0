//! Keys, and the sequences in which they are used.
//!
//! Sequences are created before anything is measured. Their keys lie in memory in the order of use,
//! like short-lived strings that have just been read from a request. Reading them is cheap and
//! costs every limiter the same.

use std::fmt::Write;

use crate::random::Random;

/// How often each key occurs in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// All keys equally often.
    Uniform,
    /// The key of rank `n` occurs `1/n` times as often as the most frequent key.
    Zipf,
}

impl Distribution {
    /// Returns the label used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }

    /// Draws `length` indexes of keys.
    fn indexes(self, keys: usize, length: usize, random: &mut Random) -> Vec<usize> {
        match self {
            Self::Uniform => (0..length).map(|_| random.below(keys)).collect(),
            Self::Zipf => {
                let mut total = 0.0;
                let cumulative: Vec<f64> = (1..=keys)
                    .map(|rank| {
                        total += 1.0 / rank as f64;
                        total
                    })
                    .collect();
                let mut by_rank: Vec<usize> = (0..keys).collect();
                random.shuffle(&mut by_rank);
                (0..length)
                    .map(|_| {
                        let drawn = random.fraction() * total;
                        by_rank[cumulative.partition_point(|&sum| sum <= drawn).min(keys - 1)]
                    })
                    .collect()
            }
        }
    }
}

/// A sequence is twice as long as the number of keys, within these bounds.
const MIN_LENGTH: usize = 1 << 12;
const MAX_LENGTH: usize = 1 << 20;

/// Returns the keys of a workload in the order of use. Equal arguments give equal sequences.
///
/// The memory of the keys is leaked.
pub fn sequence(keys: usize, distribution: Distribution, seed: u64) -> Vec<&'static str> {
    let length = (2 * keys).clamp(MIN_LENGTH, MAX_LENGTH);
    let indexes = distribution.indexes(keys, length, &mut Random::new(seed));
    contiguous(42, indexes)
}

/// Returns each of `keys` keys once, in ascending order. Their memory is leaked.
pub fn each_once(keys: usize) -> Vec<&'static str> {
    contiguous(42, 0..keys)
}

/// Returns keys of another tenant. None of them is a key of the functions above.
pub fn of_other_tenant(keys: usize) -> Vec<&'static str> {
    contiguous(43, 0..keys)
}

/// Creates keys that follow each other in memory.
fn contiguous(tenant: u32, indexes: impl IntoIterator<Item = usize>) -> Vec<&'static str> {
    let mut text = String::new();
    let mut ends = Vec::new();
    for index in indexes {
        write!(text, "tenant:{tenant}:user:{}", 10_000 + index).expect("writing to a string cannot fail");
        ends.push(text.len());
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    let mut start = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn keys_name_a_tenant_and_a_user() {
        assert_eq!(each_once(2), ["tenant:42:user:10000", "tenant:42:user:10001"]);
        assert_eq!(of_other_tenant(1), ["tenant:43:user:10000"]);
    }

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let sequence = |seed| sequence(1_000, Distribution::Zipf, seed);
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn sequence_of_one_key_repeats_it() {
        assert!(sequence(1, Distribution::Zipf, 7).iter().all(|&key| key == "tenant:42:user:10000"));
    }

    #[test]
    fn second_key_of_zipf_occurs_half_as_often_as_the_first() {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for key in sequence(100_000, Distribution::Zipf, 7) {
            *counts.entry(key).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let ratio = counts[0] as f64 / counts[1] as f64;
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
