//! The limiter: settings, and the public methods that decide.

mod all;
mod block;
mod check;
mod clock_lead;
mod decide;
mod penalty;
mod refund;
mod reservation;
mod settings;
mod several;
mod shadow;
mod waiting;
mod with_quota;

use std::fmt;
use std::sync::Arc;

use limited_core::{Backend, Clock, Immediate, Key, Timestamp};

pub use self::all::{LimiterHit, allow_all, allow_all_now};
use self::check::Check;
use self::clock_lead::ClockLead;
pub use self::refund::{refund_all, refund_all_now};
pub use self::reservation::{Reservation, reserve_all, reserve_all_now};
pub use self::with_quota::WithQuota;
use crate::clock::LimiterClock;
use crate::poll_once::poll_once;
use crate::telemetry::{Instrumented, Policy};
use crate::{Algorithm, Decision, Error, OnError, Quota, Quotas};

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
/// # Sharing
///
/// A limiter is cheap to clone, and its methods take `&self`. Each decision is one atomic step of
/// the backend. No more than the limit is admitted, however many tasks, threads, clones and (over a
/// shared backend) processes decide at the same time.
///
/// Limiters over one backend share their counters if namespace and window length are equal, and
/// both use a token bucket, both a sliding log, or neither. Each has its own limit. Counters of a
/// calendar are shared while their days, weeks, months or years start and end together.
///
/// # Cost
///
/// A decision by one quota is one [`Backend::increment`], one reading of the clock, and no
/// allocation besides those of the backend. A `&str` key is not copied. With the feature `metrics`
/// or `tracing`, a call that may wait allocates one more future.
///
/// If the backend can count [without waiting](Backend::try_increment), as the memory backend
/// usually can, [`allow`](Self::allow) costs as much as [`allow_now`](Self::allow_now). A program
/// that awaits `allow` in several places pays some nanoseconds more, because the compiler then
/// calls it instead of inlining it.
///
/// # Clock
///
/// Reading the precise [`SystemClock`](crate::SystemClock) can cost more than the rest of a
/// decision in memory. A limiter reads the [`CoarseClock`](crate::CoarseClock) instead if its ticks
/// are short compared with the quota. That clock lags by up to one tick, usually 4 ms:
///
/// | algorithm | condition for the coarse clock |
/// |---|---|
/// | fixed window, sliding window | the window is a second or longer |
/// | token bucket | the window is a second or longer, and the bucket takes 100 ticks or more to fill up |
/// | sliding log | never |
///
/// By the coarse clock, a limiter decides as it would have decided by the precise clock up to one
/// tick earlier. In any stretch of time it admits no more than the precise clock could admit in
/// that stretch and one tick. [`retry_after`](Decision::retry_after) includes the tick, so waiting
/// that long is enough. A caller that takes every token of a bucket as soon as it is there loses at
/// most one in a hundred.
///
/// [`clock(SystemClock)`](Self::clock) selects the precise clock for every quota.
pub struct Limiter<B> {
    backend: Instrumented<B>,
    /// The quota; the first one of several.
    quota: Quota,
    /// All quotas, if there are several. Also one quota, if the limiter has blocks or a shadow,
    /// which belong to the path of several quotas.
    several: Option<Arc<[Quota]>>,
    is_blocking: bool,
    is_shadow: bool,
    algorithm: Algorithm,
    namespace: Arc<str>,
    policy: Policy,
    on_error: OnError,
    clock: LimiterClock,
    /// Whether the coarse clock is precise enough for the quota.
    is_coarse: bool,
    clock_lead: Arc<ClockLead>,
}

/// # Settings
impl<B> Limiter<B> {
    /// Creates a limiter over `backend`. Defaults: 100 per minute, a fixed window, the empty
    /// namespace, the [system clock](Self#clock), and [`OnError::Return`].
    pub fn new(backend: B) -> Self {
        Self {
            backend: Instrumented::new(backend),
            quota: Quota::default(),
            several: None,
            is_blocking: false,
            is_shadow: false,
            algorithm: Algorithm::default(),
            namespace: Arc::from(""),
            policy: Policy::default(),
            on_error: OnError::default(),
            clock: LimiterClock::System,
            is_coarse: false,
            clock_lead: Arc::default(),
        }
        .with_matching_clock()
    }

    /// Sets the quota. Default: 100 per minute. A [burst](Quota::burst) has an effect only under
    /// [`Algorithm::TokenBucket`].
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota, several: None, ..self }.with_matching_clock()
    }

    /// Sets several quotas. A hit is allowed if all of them admit it, and is then counted in each.
    /// Otherwise it is counted in none. A single quota is the same as by [`quota`](Self::quota).
    ///
    /// [`Decision::limits`] returns what each of them decided, in this order.
    ///
    /// ```
    /// # use limited::{Limiter, Quotas, memory::MemoryBackend};
    /// let quotas: Quotas = "2/s; 1000/h".parse()?;
    /// let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas);
    /// # let limiter = limiter.clock(limited::ManualClock::new());
    /// assert!(limiter.allow_n_now("user:7", 2)?.is_allowed());
    ///
    /// let decision = limiter.allow_now("user:7")?;
    /// let [per_second, per_hour] = decision.limits() else { unreachable!("two quotas") };
    /// assert!(!per_second.is_allowed() && per_hour.is_allowed());
    /// // The refused hit was not counted in the hour.
    /// assert_eq!(per_hour.remaining(), 998);
    /// assert_eq!(decision.retry_after(), per_second.retry_after());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A decision is one [`increment_all`](Backend::increment_all): one atomic step in memory, and
    /// one request over a database that can. It allocates once, for the limits.
    #[must_use]
    pub fn quotas(self, quotas: impl Into<Quotas>) -> Self {
        let (quota, several) = quotas.into().into_parts();
        Self { quota, several, ..self }.with_matching_clock()
    }

    /// Sets the algorithm. Default: [`Algorithm::FixedWindow`].
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }.with_matching_clock()
    }

    /// Sets the namespace. Keys in different namespaces are independent, also over one backend.
    /// Default: empty.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Sets the name of this limiter in [telemetry](crate::telemetry): the label of its metrics and
    /// the field of its events, `policy`. Default: none, and neither label nor field.
    ///
    /// Each name adds time series of its own, so a name comes from the configuration, never from
    /// keys. An empty name is none. The name has no part in the identity of counters.
    #[must_use]
    pub fn policy_name(self, name: impl Into<Box<str>>) -> Self {
        Self { policy: Policy::named(name), ..self }
    }

    /// Sets the clock, in tests a [`ManualClock`](crate::ManualClock). Default: the
    /// [clock of the system](Self#clock).
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        let clock = LimiterClock::custom(clock);
        Self { clock, clock_lead: Arc::default(), ..self }.with_matching_clock()
    }

    /// Sets what to decide if the backend fails. Default: [`OnError::Return`].
    #[must_use]
    pub fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
    }

    fn with_matching_clock(self) -> Self {
        let is_coarse = |quota: &Quota| self.clock.is_coarse(self.algorithm, quota);
        let is_coarse = match &self.several {
            Some(quotas) => quotas.iter().all(is_coarse),
            None => is_coarse(&self.quota),
        };
        let is_extended = self.is_blocking || self.is_shadow;
        let several = match self.several {
            None if is_extended => Some(Arc::from([self.quota])),
            Some(quotas) if quotas.len() == 1 && !is_extended => None,
            several => several,
        };
        Self { is_coarse, several, ..self }
    }

    /// Returns the policy that telemetry names.
    #[cfg(feature = "http")]
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns whether both limiters have one backend, as clones of one limiter do.
    #[cfg(feature = "http")]
    pub(crate) fn shares_backend_with(&self, other: &Self) -> bool {
        self.backend.is_same(&other.backend)
    }

    /// Returns the backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// # Deciding
///
/// A key is a `&str`, a `String`, an integer, an [`IpAddr`](std::net::IpAddr), a composed [`Key`],
/// or a name and a value: `("order", 981)`. To limit IPv6 clients, use [`Key::ip_network`].
///
/// If the future is dropped, the hit was either counted or not; nothing is left half done. With
/// several quotas that needs a backend that counts them [in one step](Backend::increment_all).
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::ZeroCost`] before the backend is called. [`Error::Backend`]
/// if the backend fails and [`OnError::Return`] is set.
impl<B: Backend> Limiter<B> {
    // `allow` and `allow_n` repeat the fast path, because a future inside their own would cost more
    // than the rest of it. See `decide_waiting` for what they leave to the slow path.

    /// Decides about a hit of cost 1, and counts it if it is allowed.
    pub async fn allow(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(self.is_coarse);
        if let Some(decision) = self.try_decide(&key, self.check(1, now)) {
            return decision;
        }
        self.decide_waiting(key, self.check(1, now)).await
    }

    /// Decides about a hit of this cost. Counts all of it, or nothing.
    ///
    /// A cost above the limit is never allowed; `retry_after` is then `None`.
    pub async fn allow_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(self.is_coarse);
        if let Some(decision) = self.try_decide(&key, self.check(cost, now)) {
            return decision;
        }
        self.decide_waiting(key, self.check(cost, now)).await
    }

    /// Returns what [`allow`](Self::allow) would decide now. Counts nothing.
    ///
    /// By several quotas, it reads the counter of each, one after the other. Other callers may
    /// count in between.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.predict(key.into(), self.check(1, self.now(self.is_coarse))).await
    }

    /// Deletes what was counted for a key. The whole limit is free afterwards.
    ///
    /// A sliding window deletes the previous window, and then the current one, and several quotas
    /// are reset one after the other. Other callers may count between these steps. A failure of the
    /// backend is an error whatever [`OnError`] is set.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.delete(key.into(), self.check(1, self.now(self.is_coarse))).await
    }
}

/// # Deciding without a future
///
/// The same methods over an [`Immediate`] backend. They need no runtime. Their errors are those of
/// the methods above.
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
        self.predict_now(key.into(), self.check(1, self.now(self.is_coarse)))
    }

    /// [`reset`](Self::reset) without a future.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        poll_once(self.reset(key))
    }
}

impl<B> Limiter<B> {
    /// Returns this limiter with another quota, such as that of the plan of a customer. The result
    /// borrows the limiter, and is cheap to make. The quota replaces all [quotas](Self::quotas).
    ///
    /// Quotas with equal window lengths share their counters, each with its own limit. A customer
    /// that changes plans therefore keeps what was counted. [`Algorithm::TokenBucket`] says what a
    /// change means for a bucket. [`reset`](Self::reset) frees the whole limit, for example after
    /// an upgrade.
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
        self.clock.now_by(is_coarse)
    }

    #[inline(always)]
    fn check(&self, cost: u64, now: Timestamp) -> Check<'_> {
        Check {
            algorithm: self.algorithm,
            quota: &self.quota,
            several: self.several.as_deref(),
            is_coarse: self.is_coarse,
            cost,
            now,
            lead: 0,
        }
    }
}

impl<B> Clone for Limiter<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Instrumented::clone(&self.backend),
            quota: self.quota,
            several: self.several.clone(),
            is_blocking: self.is_blocking,
            is_shadow: self.is_shadow,
            algorithm: self.algorithm,
            namespace: Arc::clone(&self.namespace),
            policy: self.policy.clone(),
            on_error: self.on_error,
            clock: self.clock.clone(),
            is_coarse: self.is_coarse,
            clock_lead: Arc::clone(&self.clock_lead),
        }
    }
}

impl<B> fmt::Debug for Limiter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("namespace", &self.namespace)
            .field("quota", &format_args!("{}", self.get_quotas()))
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
    fn clock_matches_the_settings_in_any_order() {
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
