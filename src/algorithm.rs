//! The algorithms, and their arithmetic.
//!
//! The arithmetic consists of functions from numbers to numbers: it calls no backend and reads no
//! clock. Each algorithm has four: the window that a hit is counted in, the hit for the backend,
//! the usage of the limit, and the time until a refused hit can be retried. Times are whole
//! nanoseconds, counts are whole numbers, and nothing overflows.
//!
//! [`attempt_window`] is no [`Algorithm`]: [`LimitedAttempt`](crate::LimitedAttempt) uses it, and
//! has no quota.

pub(crate) mod attempt_window;
mod fixed_window;
mod integer;
mod sliding_window;
pub(crate) mod token_bucket;
mod usage;

use limited_core::{Hit, Timestamp, Window};

pub(crate) use self::usage::{CounterValues, Usage};
use crate::Quota;

/// How a [`Limiter`](crate::Limiter) counts. A plain value, so that a configuration file can choose
/// it.
///
/// As text: `fixed-window`, `sliding-window` or `token-bucket`, also with the feature `serde`.
///
/// Fixed and sliding windows of equal length share their counters. A limiter can therefore change
/// from one to the other and keep what was counted. Namespaces keep them apart.
///
/// # Small limits
///
/// If the limit is below about 10, a [`SlidingWindow`](Self::SlidingWindow) refuses more than a
/// user expects:
///
/// - `1/10s` refuses for up to 19.999 s after its only hit. The hit counts in full until its window
///   ends. In the next window its share falls from 1 to 0, and until it is 0 nothing else fits.
/// - Evenly spaced traffic exactly at the limit loses one hit per window. That is every second hit
///   at a limit of 1 or 2, one in 10 at a limit of 10, and one in 100 at a limit of 100.
///
/// Use the [`TokenBucket`](Self::TokenBucket) for an even pace, or the
/// [`FixedWindow`](Self::FixedWindow) if a limit per minute or day of the clock is meant. Both admit
/// such traffic in full.
///
/// # Bursts
///
/// Only the token bucket has a [burst](crate::Quota::burst). Windows ignore it, and a
/// [`LimiterConfig`](crate::LimiterConfig) with a burst under a window is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Admits at most `limit` per window. Windows are aligned to the Unix epoch: a minute starts at
    /// second 0, a day at midnight UTC, and a window of 7 days on Thursday at midnight UTC. See
    /// [`Quota`](crate::Quota#windows-and-the-calendar).
    ///
    /// The cheapest algorithm, and the easiest to explain. Around the boundary of two windows, up
    /// to twice the limit can pass within one length: `limit` at the end of one window, and `limit`
    /// at the start of the next.
    #[default]
    FixedWindow,
    /// Admits at most `limit` in the current window and a share of the previous window, the share
    /// that is less than one length ago. Also known as the sliding window counter.
    ///
    /// A hit is admitted if
    /// `(current + cost) · length + previous · (length − elapsed) ≤ limit · length`, computed in
    /// integers without rounding.
    ///
    /// The formula treats the hits of the previous window as evenly spread, which they rarely are.
    /// Compared with a log of every hit, it counts
    ///
    /// - at most `previous · elapsed / length` hits too few, if all hits of the previous window
    ///   came at its very end,
    /// - at most `previous · (length − elapsed) / length` hits too many, if all came at its very
    ///   start.
    ///
    /// So fewer than twice the limit pass in any stretch of one length, and the hits above the
    /// limit pass gradually. It never admits a hit that a fixed window would refuse.
    ///
    /// For limits below about 10, see [small limits](Self#small-limits) first: `1/10s` refuses for
    /// up to 19.999 s after its only hit.
    SlidingWindow,
    /// Takes tokens from a bucket that holds [`burst`](crate::Quota::burst) tokens, by default
    /// `limit` tokens. `limit` tokens flow in per window, evenly. The burst is the size of the
    /// bucket, not an addition to the limit.
    ///
    /// In any stretch of time `t`, at most `burst + limit · t / window` pass. A key that is used
    /// often enough gets exactly the rate in the long run. Decided by the generic cell rate
    /// algorithm (ITU-T I.371), without rounding.
    ///
    /// # Limits that change
    ///
    /// A bucket keeps the time at which it is full, whatever the limit and the burst are. Without a
    /// burst, a change gives no extra tokens, and a higher limit takes effect at once.
    ///
    /// - Without a burst, the used share stays the same. 10 of 10 used at `10/min` are 9 of 9 at
    ///   `9/min`, and 20 of 20 at `20/min`, which refills twice as fast at once.
    /// - With a burst, a lower limit frees at most `burst · (1 − new / old)` tokens, once.
    /// - With a burst, a bucket that fills faster after the change admits nothing until it would be
    ///   empty by the new quota. That can take longer than the old quota would. An empty bucket of
    ///   `10/min burst 100` is full in 600 s. The next token is there in 6 s, after a change to
    ///   `100/min burst 100` in 540.6 s, and after one to `10/min burst 10` in 546 s.
    /// - Over any mix of quotas with equal windows, the sum of `cost / limit` in a stretch of time
    ///   `t` is at most `(t + f) / window`. Here `f` is the longest time in which one of the
    ///   buckets fills: `burst · window / limit`.
    ///
    /// [`Limiter::reset`](crate::Limiter::reset) fills the bucket, for example after an upgrade.
    ///
    /// # Clocks that disagree
    ///
    /// Processes that share a backend decide by their own clocks. A process that is behind by `s`
    /// sees `limit · s / window` fewer tokens in a bucket that others use. If the bucket fills
    /// within `s`, it sees none. So the first such refusal shows it how far the other clock is
    /// ahead, at least, and it counts buckets by that clock from then on. That takes no further
    /// request.
    ///
    /// - A limiter and its clones learn together, from refusals and from
    ///   [`peek`](crate::Limiter::peek). They forget a lead by 1/4096 of the time that passes: two
    ///   seconds within 2.3 hours.
    /// - A lead is at most the [maximum clock skew](crate::backend::MAX_CLOCK_SKEW), 5 s. It is
    ///   short by the time from the arrival of a token to the next hits of both processes. So a
    ///   process that is behind gets less than its share of a bucket in great demand. If both call
    ///   at random times, it gets a third or more. If both call at one steady pace, **it may get
    ///   nothing**: every call of one then follows a call of the other at the same distance.
    /// - In any stretch of time `t`, at most `burst + limit · (t + s) / window` pass, if the clocks
    ///   differ by at most `s`. A lead that was learned no longer counts as a difference.
    /// - If clocks differ by more than the skew, and by up to twice the skew, the process that is
    ///   behind may get nothing.
    /// - If they differ by more, the bucket looks to it like that of a wrong clock, and starts
    ///   over. **Then there is no limit**: the two processes free the bucket for each other.
    TokenBucket,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::FixedWindow, Self::SlidingWindow, Self::TokenBucket];
}

limited_core::named_setting!(Algorithm, "algorithm" {
    FixedWindow => "fixed-window",
    SlidingWindow => "sliding-window",
    TokenBucket => "token-bucket",
});

// Inlined, so that a caller that knows the algorithm contains only the code of that one.
impl Algorithm {
    /// Returns the window that a hit at `now` is counted in.
    #[inline(always)]
    pub(crate) fn window(self, quota: &Quota, now: Timestamp) -> Window {
        match self {
            Self::FixedWindow | Self::SlidingWindow => Window::aligned(now, quota.length()),
            Self::TokenBucket => Window::Bucket { length: quota.length() },
        }
    }

    /// Returns the hit that counts `cost` at `now`, if that is within the quota.
    #[inline(always)]
    pub(crate) fn hit(self, quota: &Quota, cost: u64, now: Timestamp) -> Hit<'static> {
        match self {
            Self::FixedWindow | Self::SlidingWindow => Hit::new(cost.into(), quota.limit().into()),
            Self::TokenBucket => token_bucket::hit(quota, cost, now),
        }
    }

    /// Returns the largest cost that can ever be admitted.
    #[inline]
    pub(crate) const fn limit(self, quota: &Quota) -> u64 {
        match self {
            Self::FixedWindow | Self::SlidingWindow => quota.limit(),
            Self::TokenBucket => quota.capacity(),
        }
    }

    /// Returns how much of the limit is used at `now`.
    #[inline(always)]
    pub(crate) fn usage(self, quota: &Quota, now: Timestamp, values: CounterValues) -> Usage {
        match self {
            Self::FixedWindow => fixed_window::usage(quota, now, values),
            Self::SlidingWindow => sliding_window::usage(quota, now, values),
            Self::TokenBucket => token_bucket::usage(quota, now, values),
        }
    }

    /// Returns the nanoseconds until `cost`, refused at `now`, is admitted if nothing else is.
    /// Returns `None` if it never is.
    #[inline(always)]
    pub(crate) fn retry_after(
        self,
        quota: &Quota,
        cost: u64,
        now: Timestamp,
        values: CounterValues,
    ) -> Option<u128> {
        match self {
            Self::FixedWindow => fixed_window::retry_after(quota, cost, now, values).map(u128::from),
            Self::SlidingWindow => sliding_window::retry_after(quota, cost, now, values).map(u128::from),
            Self::TokenBucket => token_bucket::retry_after(quota, cost, now, values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_algorithm_parses_to_itself() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!(
            "leaky".parse::<Algorithm>().unwrap_err().to_string(),
            "unknown algorithm `leaky`; expected fixed-window, sliding-window or token-bucket"
        );
    }
}
