//! Refunds: returning what a decision has charged.

use limited_core::{Backend, Counter, Immediate, Key, Refund, Timestamp};

use super::Limiter;
use super::all::{LimiterHit, checks};
use super::check::Check;
use crate::poll_once::poll_once;
use crate::{Decision, Error, WithQuota};

/// # Refunding
///
/// A refund returns what a decision has charged, if it turns out that the hit should not count. It
/// goes to the window that was charged, also if that has ended, and to each limit of the decision.
/// A refused or [degraded](Decision::is_degraded) decision has charged nothing, and gets nothing.
///
/// A refund never admits more than if its part had never been charged. Time pays a token bucket
/// back too. So a bucket gets at most the cost, less what has flowed in since. While callers
/// [wait](Self#waiting) for the bucket, that holds for the total, and not for every moment: those
/// that queue keep their places, and the next one gets the place that became free.
///
/// Refund each decision once, with the limiter and the key that made it. The limiter does not keep
/// its decisions. A second refund, or one after a [`reset`](Self::reset), returns what other hits
/// were charged.
///
/// # Errors
///
/// [`Error::InvalidKey`], and [`Error::OtherDecision`] if the decision has not as many limits as
/// the limiter. [`Error::Backend`] if the backend fails, whatever [`OnError`](crate::OnError) is
/// set. Every limit is tried; the error is the first one. A refund that failed must not be repeated
/// after [`TimedOut`](crate::BackendError::TimedOut) or
/// [`Unavailable`](crate::BackendError::Unavailable), because it may have been done. Without it, the
/// hit stays counted, which admits too little and never too much.
///
/// # Cost
///
/// One [`Backend::refund`] for each limit. Each is one atomic step; over Amazon DynamoDB it is one
/// request and one write unit.
impl<B: Backend> Limiter<B> {
    /// Returns everything that a decision has charged.
    ///
    /// ```
    /// # use limited::{Limiter, Quota, memory::MemoryBackend};
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_hour(5));
    /// let decision = limiter.allow("user:7").await?;
    /// // The login succeeded, and only failed ones are to count.
    /// limiter.refund("user:7", &decision).await?;
    /// assert_eq!(limiter.peek("user:7").await?.remaining(), 5);
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn refund(&self, key: impl Into<Key<'_>>, decision: &Decision) -> Result<(), Error> {
        self.refund_limits(key.into(), self.refund_check(), decision.limits(), u64::MAX).await
    }

    /// Returns part of what a decision has charged: this cost, or everything if that is less.
    pub async fn refund_n(
        &self,
        key: impl Into<Key<'_>>,
        decision: &Decision,
        cost: u64,
    ) -> Result<(), Error> {
        self.refund_limits(key.into(), self.refund_check(), decision.limits(), cost).await
    }

    fn refund_check(&self) -> Check<'_> {
        self.check(0, self.now(self.is_coarse))
    }

    /// Refunds each limit: at most `cost`, and at most what it has charged.
    pub(super) async fn refund_limits(
        &self,
        key: Key<'_>,
        check: Check<'_>,
        limits: &[Decision],
        cost: u64,
    ) -> Result<(), Error> {
        let quotas = check.quotas();
        if quotas.len() != limits.len() {
            return Err(Error::OtherDecision);
        }
        let check = self.by_leading_clock(check);
        let first = check.counter(&self.namespace, &key)?;
        let mut result = Ok(());
        for (quota, limit) in quotas.iter().zip(limits) {
            let charge = limit.charge();
            let cost = charge.cost.min(cost);
            if cost > 0 {
                let (counter, refund) = check.by_quota(quota).refund_of(first, cost, charge.at);
                result = result.and(self.backend.refund(&counter, &refund, check.now).await.map(drop));
            }
        }
        Ok(result?)
    }
}

/// # Refunding without a future
///
/// The same methods over an [`Immediate`] backend.
impl<B: Immediate> Limiter<B> {
    /// [`refund`](Self::refund) without a future.
    pub fn refund_now<'k>(&self, key: impl Into<Key<'k>>, decision: &Decision) -> Result<(), Error> {
        poll_once(self.refund(key, decision))
    }

    /// [`refund_n`](Self::refund_n) without a future.
    pub fn refund_n_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        decision: &Decision,
        cost: u64,
    ) -> Result<(), Error> {
        poll_once(self.refund_n(key, decision, cost))
    }
}

/// # Refunding
///
/// For decisions that were made by this quota.
impl<B: Backend> WithQuota<'_, B> {
    /// [`Limiter::refund`] by this quota.
    pub async fn refund(&self, key: impl Into<Key<'_>>, decision: &Decision) -> Result<(), Error> {
        self.refund_n(key, decision, u64::MAX).await
    }

    /// [`Limiter::refund_n`] by this quota.
    pub async fn refund_n(
        &self,
        key: impl Into<Key<'_>>,
        decision: &Decision,
        cost: u64,
    ) -> Result<(), Error> {
        let check = self.check(0, self.now());
        self.limiter().refund_limits(key.into(), check, decision.limits(), cost).await
    }
}

/// # Refunding without a future
///
/// The same methods over an [`Immediate`] backend.
impl<B: Immediate> WithQuota<'_, B> {
    /// [`Limiter::refund_now`] by this quota.
    pub fn refund_now<'k>(&self, key: impl Into<Key<'k>>, decision: &Decision) -> Result<(), Error> {
        poll_once(self.refund(key, decision))
    }

    /// [`Limiter::refund_n_now`] by this quota.
    pub fn refund_n_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        decision: &Decision,
        cost: u64,
    ) -> Result<(), Error> {
        poll_once(self.refund_n(key, decision, cost))
    }
}

/// Returns everything that a decision over several limiters has charged. The hits are those that
/// [`allow_all`](crate::allow_all) got, in the same order.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Limiter, allow_all, refund_all};
///
/// # pollster::block_on(async {
/// let users = Limiter::new(MemoryBackend::new()).namespace("users");
/// let tenants = users.clone().namespace("tenants");
///
/// let hits = [users.hit("user:7"), tenants.hit("tenant:1").cost(3)];
/// let decision = allow_all(&hits).await?;
/// refund_all(&hits, &decision).await?;
/// assert_eq!(tenants.peek("tenant:1").await?.used(), 0);
/// # Ok::<(), limited::Error>(())
/// # }).unwrap();
/// ```
///
/// It is one [`Backend::refund`] for each limit. [`Limiter::refund`] says what a refund returns.
///
/// # Errors
///
/// The errors of [`Limiter::refund`].
pub async fn refund_all<'a, B: Backend + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
    decision: &Decision,
) -> Result<(), Error> {
    let hits = hits.as_ref();
    let first = hits.first().ok_or(Error::NoHits)?;
    let checks = checks(hits, first);
    let mut rest = decision.limits();
    if checks.iter().map(|check| check.quotas().len()).sum::<usize>() != rest.len() {
        return Err(Error::OtherDecision);
    }
    let mut result = Ok(());
    for (hit, check) in hits.iter().zip(checks) {
        let (own, others) = rest.split_at(check.quotas().len());
        rest = others;
        result = result.and(hit.limiter.refund_limits(hit.key.clone(), check, own, u64::MAX).await);
    }
    result
}

/// [`refund_all`] without a future.
///
/// # Errors
///
/// The errors of [`Limiter::refund`].
pub fn refund_all_now<'a, B: Immediate + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
    decision: &Decision,
) -> Result<(), Error> {
    poll_once(refund_all(hits, decision))
}

impl Check<'_> {
    /// Returns the refund of a charge by this quota, and the counter that was charged.
    pub(super) fn refund_of<'a>(
        self,
        counter: Counter<'a>,
        cost: u64,
        charged_at: Timestamp,
    ) -> (Counter<'a>, Refund) {
        let charged = Check { cost, now: charged_at, lead: 0, ..self };
        let (counter, hit) = charged.hit_on(counter);
        // The time that the backend gets now is by the clock of this limiter, without the lead.
        let lead = std::time::Duration::from_nanos(self.lead);
        (counter.fixed(), Refund::new(hit.cost, charged_at.saturating_sub(lead)))
    }
}
