//! The result of a limiter.

use std::fmt;
use std::time::Duration;

use limited_core::Timestamp;

use crate::algorithm::Usage;

/// Whether something may happen now, and how much of its limit is used.
///
/// The limit of a fixed or sliding window is that of the quota. The limit of a token bucket is its
/// capacity. All values are as of the decision: other callers may count in the meantime.
///
/// # Several limits
///
/// A decision by several limits allows the hit if each of them does. Otherwise nothing was counted
/// in any of them. [`limits`](Self::limits) returns the decision of each limit. The decision itself
/// is their summary:
///
/// | method | value |
/// |---|---|
/// | [`is_allowed`](Self::is_allowed) | whether every limit allows the hit |
/// | [`remaining`](Self::remaining) | the least of the limits |
/// | [`retry_after`](Self::retry_after) | the longest of the limits that refuse, or `None` if one of them never admits the hit |
/// | [`limit`](Self::limit), [`used`](Self::used), [`reset_after`](Self::reset_after) | those of one limit: of the one with the least remaining, or after a refusal of the one with the longest `retry_after` |
///
/// A decision of one limit is compact, and owns no memory.
#[must_use = "an ignored decision limits nothing"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    allowed: bool,
    degraded: bool,
    blocked: bool,
    shadowed: bool,
    limit: u64,
    used: u64,
    remaining: u64,
    retry_after: RetryAfter,
    reset_after: Nanos,
    /// The cost that was charged; 0 if the hit was refused, or nothing was written.
    cost: u64,
    /// The time of the charge, by the clock that the limiter counts buckets by.
    charged_at: Timestamp,
    limits: Limits,
}

/// The decision of each limit, if there are several.
#[derive(Clone, PartialEq, Eq)]
struct Limits(Option<Box<[Decision]>>);

impl Drop for Limits {
    /// Drops several limits out of line. Otherwise the code that drops a decision would call
    /// itself, and would not be inlined. Then each decision of one limit would have to be in
    /// memory.
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(limits) = self.0.take() {
            drop_several(limits);
        }
    }
}

/// A function of the C ABI never unwinds. The compiler would copy each decision, to have it in
/// memory if this one did.
#[cold]
#[inline(never)]
#[expect(improper_ctypes_definitions, reason = "called by Rust only")]
extern "C" fn drop_several(limits: Box<[Decision]>) {
    drop(limits);
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds, debug-printed as a duration. Half the size of a [`Duration`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Nanos(u64);

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration::from_nanos(self.0).fmt(f)
    }
}

/// Nanoseconds, or `u64::MAX` for none. A third of the size of an optional [`Duration`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct RetryAfter(u64);

impl RetryAfter {
    const NONE: Self = Self(u64::MAX);

    /// Returns the wait. One of more than 584 years, which no clock reaches, is shortened to that.
    #[inline]
    const fn new(wait: Option<Duration>) -> Self {
        const LONGEST: u64 = u64::MAX - 1;
        match wait {
            Some(wait) => {
                let nanos = wait.as_nanos();
                #[expect(clippy::cast_possible_truncation, reason = "compared just before")]
                Self(if nanos < LONGEST as u128 { nanos as u64 } else { LONGEST })
            }
            None => Self::NONE,
        }
    }

    const fn get(self) -> Option<Duration> {
        match self.0 {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl fmt::Debug for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// What a hit was charged, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The cost that was charged; 0 for a read, and after a refusal.
    pub(crate) cost: u64,
    /// The time of the hit, by the clock that the limiter counts buckets by.
    pub(crate) at: Timestamp,
}

impl Decision {
    #[inline(always)]
    pub(crate) const fn new(
        allowed: bool,
        limit: u64,
        usage: Usage,
        retry_after: Option<Duration>,
        charge: Charge,
    ) -> Self {
        let Usage { used, remaining, reset_after } = usage;
        Self {
            allowed,
            degraded: false,
            blocked: false,
            shadowed: false,
            limit,
            used,
            remaining,
            retry_after: RetryAfter::new(retry_after),
            reset_after: Nanos(reset_after),
            cost: charge.cost,
            charged_at: charge.at,
            limits: Limits(None),
        }
    }

    pub(crate) const fn degraded(allowed: bool, limit: u64) -> Self {
        Self {
            allowed,
            degraded: true,
            blocked: false,
            shadowed: false,
            limit,
            used: 0,
            remaining: 0,
            retry_after: RetryAfter::NONE,
            reset_after: Nanos(0),
            cost: 0,
            charged_at: Timestamp::EPOCH,
            limits: Limits(None),
        }
    }

    /// Creates the decision of several limits. If one of them refuses, nothing was charged. The
    /// decision of one limit is that of the limit.
    pub(crate) fn of_limits(mut limits: Box<[Self]>) -> Self {
        let summary = Self::summary(&limits);
        if limits.len() < 2 {
            return summary;
        }
        if !summary.allowed {
            for limit in &mut limits {
                limit.cost = 0;
            }
        }
        Self { limits: Limits(Some(limits)), ..summary }
    }

    /// Returns the [summary](Self#several-limits) of the decisions of several limits.
    pub(crate) fn summary(limits: &[Self]) -> Self {
        let allowed = limits.iter().all(|limit| limit.allowed);
        let shown = if allowed { least_remaining(limits) } else { longest_refusal(limits) };
        // Without limits there is nothing that admits.
        let Some(shown) = shown.cloned() else { return Self::degraded(false, 0) };
        let cost = limits.iter().map(|limit| limit.cost).max().unwrap_or(0);
        Self {
            allowed,
            degraded: limits.iter().any(|limit| limit.degraded),
            shadowed: allowed && limits.iter().any(|limit| limit.shadowed),
            remaining: limits.iter().map(|limit| limit.remaining).min().unwrap_or(0),
            cost: if allowed { cost } else { 0 },
            ..shown
        }
    }

    /// Returns the decision if the key is blocked for so long. Nothing was charged.
    pub(crate) fn blocked(mut self, wait: Duration) -> Self {
        let is_never = !self.allowed && self.retry_after == RetryAfter::NONE;
        let wait = self.retry_after().map_or(wait, |other| other.max(wait));
        for limit in self.limits.0.iter_mut().flatten() {
            limit.cost = 0;
        }
        let retry_after = if is_never { RetryAfter::NONE } else { RetryAfter::new(Some(wait)) };
        Self { allowed: false, blocked: true, remaining: 0, retry_after, cost: 0, ..self }
    }

    /// Returns the decision of a limit whose key is blocked, with its own values.
    pub(crate) fn of_blocked_key(self) -> Self {
        Self { blocked: true, ..self }
    }

    /// Returns the decision of a limiter in shadow, which lets the hit pass. Nothing was charged.
    pub(crate) fn shadowed(mut self) -> Self {
        for limit in self.limits.0.iter_mut().flatten().filter(|limit| !limit.allowed) {
            (limit.allowed, limit.shadowed) = (true, true);
        }
        Self { allowed: true, shadowed: true, cost: 0, ..self }
    }

    /// Returns the decision with what was charged, in each of its limits.
    pub(crate) fn with_charged_cost(mut self, cost: u64) -> Self {
        for limit in self.limits.0.iter_mut().flatten() {
            limit.cost = cost;
        }
        Self { cost, ..self }
    }

    /// Returns the decision with the time of the charge.
    pub(crate) fn with_charged_at(self, charged_at: Timestamp) -> Self {
        Self { charged_at, ..self }
    }

    /// Returns what was charged, and when.
    pub(crate) const fn charge(&self) -> Charge {
        Charge { cost: self.cost, at: self.charged_at }
    }

    /// Returns the decision of each limit, in the order of the quotas: of one limit, the decision
    /// itself.
    ///
    /// A limit that refuses has [`is_allowed`](Self::is_allowed) `false`. One that would have
    /// allowed the hit has `true`, but did not count it if another one refused.
    ///
    /// ```
    /// # use limited::{Limiter, Quota, memory::MemoryBackend};
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(3));
    /// let decision = limiter.allow_now("user:7")?;
    /// assert_eq!(decision.limits().len(), 1);
    /// assert_eq!(decision.limits()[0].remaining(), 2);
    /// # Ok::<(), limited::Error>(())
    /// ```
    pub fn limits(&self) -> &[Self] {
        match &self.limits.0 {
            Some(limits) => limits,
            None => std::slice::from_ref(self),
        }
    }

    /// Returns whether the hit is allowed. After a [`peek`](crate::Limiter::peek): whether a hit of
    /// cost 1 would be.
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Returns the largest cost that can ever be admitted: the limit of the quota, or the capacity
    /// of the token bucket.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how much of the limit is used, including this hit if it was allowed.
    ///
    /// It exceeds the limit only if another limiter with a higher limit counts in the same window.
    /// The share of the previous window of a sliding window is rounded up. A token that has flowed
    /// into a bucket only partly still counts as used.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns the largest cost that would be admitted now. It is exact: a hit of this cost is
    /// admitted, and a hit that costs one more is refused.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns how long to wait until the same hit is admitted, if nothing else is admitted in the
    /// meantime.
    ///
    /// `None` does not mean that the hit is allowed; see [`is_allowed`](Self::is_allowed). It is
    /// `None`
    ///
    /// - if the hit is allowed, and would be without a [shadow](Self::is_shadowed),
    /// - if waiting never helps, because the cost is above the limit,
    /// - if the decision was made [without the backend](Self::is_degraded).
    ///
    /// By a clock that reads every nanosecond it is exact: after this time the hit is admitted, and
    /// a nanosecond earlier it is refused. For a coarser clock its
    /// [resolution](crate::Clock::resolution) is added, so that this time is always enough. Hits
    /// that were counted ahead of the clock, before it jumped back, are not foreseen.
    ///
    /// A sliding window can ask for almost two of its lengths. After its only hit, `1/10s` returns
    /// up to 19.999 s, because the hit counts until the end of the next window. See
    /// [small limits](crate::Algorithm#small-limits) for what to use instead.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after.get()
    }

    /// Returns how long until the limit resets, if nothing else is admitted in the meantime.
    ///
    /// A fixed window resets at its end. A sliding window resets when no counted hit weighs
    /// anything, and a sliding log when its newest hit no longer counts. A token bucket resets when
    /// it is full.
    pub const fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_after.0)
    }

    /// Returns whether the key is [blocked](crate::Limiter::block). The hit is then refused,
    /// nothing was counted, and [`remaining`](Self::remaining) is 0.
    /// [`retry_after`](Self::retry_after) is the time until the block ends, or until the limits
    /// admit the hit if that is later.
    ///
    /// [`limits`](Self::limits) shows the limits without the block. After
    /// [`allow_all`](crate::allow_all), those of the blocked key report it too.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Returns whether the hit would have been refused, and passes only because the limiter is in
    /// [shadow](crate::Limiter::shadow). [`is_allowed`](Self::is_allowed) is then `true`.
    ///
    /// Nothing was counted. [`retry_after`](Self::retry_after) is what it would have been for the
    /// refusal. Nothing of it may reach a client: no header, no status and no wait.
    pub const fn is_shadowed(&self) -> bool {
        self.shadowed
    }

    /// Returns whether the backend failed, and [`OnError`](crate::OnError) decided instead. Nothing
    /// is known about the key then: `used`, `remaining` and `reset_after` are 0, and `retry_after`
    /// is `None`.
    pub const fn is_degraded(&self) -> bool {
        self.degraded
    }
}

/// Returns the decision with the least remaining.
fn least_remaining(limits: &[Decision]) -> Option<&Decision> {
    limits.iter().min_by_key(|limit| limit.remaining)
}

/// Returns the refusal with the longest `retry_after`. A wait that never helps is the longest.
fn longest_refusal(limits: &[Decision]) -> Option<&Decision> {
    limits.iter().filter(|limit| !limit.allowed).max_by_key(|limit| limit.retry_after.0)
}
