//! Keys, and the order in which they come.
//!
//! Both are made before anything is measured. The keys of a sequence lie in memory in the order in which they come, as
//! short-lived strings that have just been read from a request: reading them costs every limiter the same, and little.

use std::fmt::Write;

/// Ever the same numbers, of even distribution: SplitMix64, as described by Steele, Lea and Flood in "Fast Splittable
/// Pseudorandom Number Generators" (OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `end`, which must be above 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from((u128::from(self.number()) * end as u128) >> 64).expect("it is below `end`")
    }

    /// The next number from 0 to 1, without 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts items in another order, each order being as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// How often each key comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Draw {
    /// All equally often.
    Uniform,
    /// The second most frequent half as often as the most frequent, the third a third as often, and so on.
    Zipf,
}

impl Draw {
    /// The word for it in a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }

    /// Which of `keys` keys come, in which order.
    fn indexes(self, keys: usize, length: usize, random: &mut Random) -> Vec<usize> {
        match self {
            Self::Uniform => (0..length).map(|_| random.below(keys)).collect(),
            Self::Zipf => {
                let mut total = 0.0;
                let cumulated: Vec<f64> = (1..=keys)
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
                        by_rank[cumulated.partition_point(|&sum| sum <= drawn).min(keys - 1)]
                    })
                    .collect()
            }
        }
    }
}

/// A sequence is twice as long as there are keys, but no longer than this.
const LONGEST: usize = 1 << 20;

/// And no shorter than this.
const SHORTEST: usize = 1 << 12;

/// The keys of a workload, in the order in which they come; the same for everybody. They live for ever.
pub fn sequence(keys: usize, draw: Draw, seed: u64) -> Vec<&'static str> {
    let length = (2 * keys).clamp(SHORTEST, LONGEST);
    let indexes = draw.indexes(keys, length, &mut Random::new(seed));
    laid_out(42, indexes)
}

/// Each of `keys` keys once, in ascending order. They live for ever.
pub fn each_once(keys: usize) -> Vec<&'static str> {
    laid_out(42, 0..keys)
}

/// Keys of another tenant, none of which is in any of the above.
pub fn others(keys: usize) -> Vec<&'static str> {
    laid_out(43, 0..keys)
}

fn laid_out(tenant: u32, indexes: impl IntoIterator<Item = usize>) -> Vec<&'static str> {
    let mut text = String::new();
    let mut ends = Vec::new();
    for index in indexes {
        write!(text, "tenant:{tenant}:user:{}", 10_000 + index).expect("a string takes any text");
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
    fn keys_look_like_those_of_a_program() {
        assert_eq!(each_once(2), ["tenant:42:user:10000", "tenant:42:user:10001"]);
        assert_eq!(others(1), ["tenant:43:user:10000"]);
    }

    #[test]
    fn a_sequence_is_the_same_every_time() {
        assert_eq!(sequence(1_000, Draw::Zipf, 7), sequence(1_000, Draw::Zipf, 7));
        assert_ne!(sequence(1_000, Draw::Zipf, 7), sequence(1_000, Draw::Zipf, 8));
    }

    #[test]
    fn one_key_is_one_hot_key() {
        assert!(sequence(1, Draw::Zipf, 7).iter().all(|&key| key == "tenant:42:user:10000"));
    }

    #[test]
    fn zipf_halves_from_the_first_to_the_second() {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for key in sequence(100_000, Draw::Zipf, 7) {
            *counts.entry(key).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let ratio = counts[0] as f64 / counts[1] as f64;
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
