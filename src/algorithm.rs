//! Which algorithm decides.

use std::fmt;
use std::str::FromStr;

/// How a [`Limiter`](crate::Limiter) counts. A value, so that a configuration file can choose it.
///
/// Written `fixed-window`, `sliding-window` and `token-bucket`. Fixed and sliding windows of one length count in the same
/// place, so that a limiter can be moved from one to the other; give them namespaces where they are to be apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Algorithm {
    /// At most `limit` in each window, with windows aligned to the Unix epoch (a minute starts at second 0).
    ///
    /// The simplest and cheapest, and the easiest to explain. Around the border of two windows up to twice the limit
    /// can pass within one window's length: `limit` at the end of the one, `limit` at the start of the next.
    #[default]
    FixedWindow,
    /// At most `limit` in the current window and the part of the window before that is less than a window ago,
    /// taking the hits of the window before as evenly spread.
    ///
    /// Exact as a formula, in integers: `(current + cost) · length + previous · (length − elapsed) ≤ limit · length`.
    ///
    /// Against a log of every hit it is an estimate, since hits are seldom evenly spread. It counts at most
    /// `previous · elapsed / length` hits of the last window's length too few (all of the window before came at its
    /// very end), and at most `previous · (length − elapsed) / length` too many (all at its very start). So within
    /// any stretch of one length fewer than twice the limit pass, and those above the limit only bit by bit. It never
    /// admits what a fixed window would refuse. The field calls it the sliding window counter.
    SlidingWindow,
    /// A bucket of [`burst`](crate::Quota::burst) tokens, into which `limit` tokens flow per window, evenly.
    ///
    /// In any stretch of time `t` at most `burst + limit · t / window` pass, and a key that asks often enough gets
    /// exactly the rate in the long run. Decided by the generic cell rate algorithm (ITU-T I.371), without rounding.
    TokenBucket,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::FixedWindow, Self::SlidingWindow, Self::TokenBucket];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed-window",
            Self::SlidingWindow => "sliding-window",
            Self::TokenBucket => "token-bucket",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no algorithm: it is one of fixed-window, sliding-window, token-bucket")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_read_as_it_is_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("leaky".parse::<Algorithm>(), Err(UnknownAlgorithm("leaky".into())));
    }
}
