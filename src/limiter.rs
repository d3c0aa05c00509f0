//! The limiter.

mod check;
mod decide;
mod with_quota;

use std::fmt;
use std::sync::Arc;

use limited_core::{Backend, Clock, Immediate, Key, Timestamp};

use self::check::Check;
pub use self::with_quota::WithQuota;
use crate::clock::ClockChoice;
use crate::immediate::poll_once;
use crate::observe::Instrumented;
use crate::{Algorithm, Decision, Error, OnError, Quota};

/// Decides, for a key, whether something may happen now.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Algorithm, Limiter, Quota};
///
/// # pollster::block_on(async {
/// let limiter = Limiter::new(MemoryBackend::new())
///     .quota(Quota::per_minute(100))
///     .algorithm(Algorithm::SlidingWindow);
///
/// let decision = limiter.allow("tenant:42:user:7").await?;
/// assert!(decision.is_allowed());
/// assert_eq!(decision.remaining(), 99);
/// # Ok::<(), limited::Error>(())
/// # }).unwrap();
/// ```
///
/// # One limiter, many tasks
///
/// A limiter is cheap to clone, and all its methods take `&self`. However many tasks, threads, clones, and (over a
/// shared backend) processes ask at once, no more than the limit is admitted: each decision is one atomic step of the
/// backend. Limiters with equal namespace and window length, and for buckets equal limit, count in the same place.
///
/// # What a decision costs
///
/// One [`Backend::increment`], one reading of the clock, and no allocation
/// besides what the backend needs. A `&str` key is not copied.
///
/// A backend that has the answer [at hand](Backend::try_increment), as the one in memory mostly has, is not waited
/// for: over it, [`allow`](Self::allow) costs what [`allow_now`](Self::allow_now) does; in a program that awaits it in
/// several places, where it is called and not inlined, some nanoseconds more.
///
/// # Which clock
///
/// To read the precise clock ([`SystemClock`](crate::SystemClock)) can cost more than all the rest of a decision in
/// memory. So where its ticks are short against the quota, and only there, a limiter reads the
/// [`CoarseClock`](crate::CoarseClock), which is behind by up to one tick, mostly 4 ms:
///
/// | | the coarse clock, where | else |
/// |---|---|---|
/// | fixed and sliding windows | the window is a second or longer | the precise one |
/// | token buckets | that, and the whole bucket takes 100 ticks or more to fill | the precise one |
///
/// By the coarse clock a limiter decides as a precise one would have up to a tick ago, and so never admits more than a
/// precise one might in any stretch of time and one tick. The tick is part of what
/// [`retry_after`](Decision::retry_after) tells, so that waiting that long is enough. A bucket of which every token is
/// taken as soon as it is there loses at most one in a hundred.
///
/// [`clock(SystemClock)`](Self::clock) reads the precise one whatever the quota.
pub struct Limiter<B> {
    backend: Instrumented<B>,
    quota: Quota,
    algorithm: Algorithm,
    namespace: Arc<str>,
    on_error: OnError,
    clock: ClockChoice,
    /// Whether the coarse clock is good enough for the quota.
    is_coarse: bool,
}

/// # Making a limiter
impl<B> Limiter<B> {
    /// A limiter over `backend`: a fixed window, 100 a minute, by the system's clock, without a namespace.
    pub fn new(backend: B) -> Self {
        Self {
            backend: Instrumented::new(backend),
            quota: Quota::default(),
            algorithm: Algorithm::default(),
            namespace: Arc::from(""),
            on_error: OnError::default(),
            clock: ClockChoice::System,
            is_coarse: false,
        }
        .clocked()
    }

    /// How much may happen in how long.
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota, ..self }.clocked()
    }

    /// How it is counted.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }.clocked()
    }

    /// Which of the limiters over one backend this is: keys in different namespaces never meet.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Where time comes from, instead of [the system](Self#which-clock); in tests a
    /// [`ManualClock`](crate::ManualClock).
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: ClockChoice::Own(Arc::new(clock)), ..self }.clocked()
    }

    /// What to decide when the backend fails.
    #[must_use]
    pub fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
    }

    /// The same with the clock that its settings ask for.
    fn clocked(self) -> Self {
        let is_coarse = self.clock.is_coarse(self.algorithm, &self.quota);
        Self { is_coarse, ..self }
    }

    /// What was set.
    #[cfg(feature = "http")]
    pub(crate) const fn settings(&self) -> (Quota, Algorithm, OnError) {
        (self.quota, self.algorithm, self.on_error)
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// # Deciding
///
/// Dropping the future leaves nothing half done: the hit was counted, or it was not.
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::ZeroCost`], before the backend is called. [`Error::Backend`] if the backend fails
/// and [`OnError::Return`] is set.
impl<B: Backend> Limiter<B> {
    /// Decides about a hit of cost 1, and counts it if it is allowed.
    pub async fn allow(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(self.is_coarse);
        if let Some(decision) = self.try_decide(&key, self.check(1, now)) {
            return decision;
        }
        self.decide_waiting(key, self.check(1, now)).await
    }

    /// Decides about a hit of this cost: counts all of it or nothing.
    ///
    /// A cost above the limit is never allowed: `retry_after` is `None`.
    pub async fn allow_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(self.is_coarse);
        if let Some(decision) = self.try_decide(&key, self.check(cost, now)) {
            return decision;
        }
        self.decide_waiting(key, self.check(cost, now)).await
    }

    /// Returns what [`allow`](Self::allow) would decide now. Counts nothing.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.predict(key.into(), self.check(1, self.now(self.is_coarse))).await
    }

    /// Deletes what was counted for a key: the whole limit is free afterwards.
    ///
    /// A sliding window deletes the previous window, then the current one: two steps, between which hits may be counted.
    /// A failure of the backend is returned whatever [`OnError`] says.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.forget(key.into(), self.check(1, self.now(self.is_coarse))).await
    }
}

/// # Deciding without a future
///
/// The same over every [`Immediate`] backend: no future, no runtime. The errors are those of the methods above.
impl<B: Immediate> Limiter<B> {
    /// [`allow`](Self::allow) without a future.
    ///
    /// ```
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// assert!(limiter.allow_now("user:7")?.is_allowed());
    /// # Ok::<(), limited::Error>(())
    /// ```
    #[inline]
    pub fn allow_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.decide_now(key.into(), self.check(1, self.now(self.is_coarse)))
    }

    /// [`allow_n`](Self::allow_n) without a future.
    #[inline]
    pub fn allow_n_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        self.decide_now(key.into(), self.check(cost, self.now(self.is_coarse)))
    }

    /// [`peek`](Self::peek) without a future.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        poll_once(self.predict(key.into(), self.check(1, self.now(self.is_coarse))))
    }

    /// [`reset`](Self::reset) without a future.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        poll_once(self.forget(key.into(), self.check(1, self.now(self.is_coarse))))
    }
}

impl<B> Limiter<B> {
    /// Returns this limiter with another quota, such as that of the customer's plan. A view: it borrows the limiter, and
    /// costs next to nothing.
    ///
    /// Quotas with the same window length share what was counted, each with its own limit, so that a customer who changes
    /// plans keeps it. (Buckets share only if their limits are equal too.)
    ///
    /// ```
    /// # use limited::{Limiter, Quota, memory::MemoryBackend};
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(10));
    /// let paid = Quota::per_minute(1_000);
    /// assert_eq!(limiter.with_quota(paid).allow_now("customer:7")?.remaining(), 999);
    /// # Ok::<(), limited::Error>(())
    /// ```
    pub fn with_quota(&self, quota: Quota) -> WithQuota<'_, B> {
        WithQuota::new(self, quota)
    }

    #[inline(always)]
    fn now(&self, is_coarse: bool) -> Timestamp {
        self.clock.of(is_coarse).now()
    }

    #[inline(always)]
    fn check(&self, cost: u64, now: Timestamp) -> Check<'_> {
        Check { algorithm: self.algorithm, quota: &self.quota, is_coarse: self.is_coarse, cost, now }
    }
}

impl<B> Clone for Limiter<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Instrumented::clone(&self.backend),
            quota: self.quota,
            algorithm: self.algorithm,
            namespace: Arc::clone(&self.namespace),
            on_error: self.on_error,
            clock: self.clock.clone(),
            is_coarse: self.is_coarse,
        }
    }
}

impl<B> fmt::Debug for Limiter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("namespace", &self.namespace)
            .field("quota", &format_args!("{}", self.quota))
            .field("algorithm", &self.algorithm)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Algorithm::TokenBucket;
    use crate::ManualClock;

    #[test]
    fn the_clock_fits_the_settings_in_whatever_order_they_are_made() {
        let (long, short) = (Quota::per_hour(9), Quota::new(9, Duration::from_millis(1)).unwrap());
        assert!(Limiter::new(()).is_coarse);
        assert!(Limiter::new(()).quota(short).quota(long).clone().is_coarse);
        assert!(!Limiter::new(()).quota(short).is_coarse);
        assert!(!Limiter::new(()).quota(short).algorithm(TokenBucket).is_coarse);
        let clock = ManualClock::new();
        assert!(!Limiter::new(()).clock(clock.clone()).is_coarse);
        assert!(!Limiter::new(()).clock(clock).quota(long).algorithm(TokenBucket).is_coarse);
    }
}
