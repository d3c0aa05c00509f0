//! Reservations: an estimate is charged at once, and the actual cost is settled afterwards.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use limited_core::{Backend, BackendError, Counter, Immediate, Key, Timestamp};

use super::Limiter;
use super::all::{LimiterHit, allow_all};
use super::check::Check;
use crate::poll_once::poll_once;
use crate::{Decision, Error, Quota, WithQuota};

/// The ceiling of a hit that no limit refuses. A value up to it has fewer than 38 digits.
const UNLIMITED: u128 = 1 << 96;

/// An estimated cost that was charged, and waits for the actual one.
///
/// For costs that are known only afterwards, such as the tokens of a language model or the bytes of
/// a response. [`Limiter::reserve_n`] decides about the estimate and charges it.
/// [`settle`](Self::settle) corrects the charge. It owns what it needs, and can be moved to another
/// task.
///
/// A reservation that is dropped without that leaves the estimate charged. There is no time limit,
/// and nothing to clean up: the charge ends with its window.
///
/// ```
/// # use limited::{Limiter, Quota, memory::MemoryBackend};
/// # pollster::block_on(async {
/// let tokens = Limiter::new(MemoryBackend::new()).quota(Quota::per_hour(10_000));
/// let reservation = tokens.reserve_n("tenant:1", 4_000).await?;
/// assert!(reservation.decision().is_allowed());
/// // The model generated 1,250 tokens.
/// reservation.settle(1_250).await?;
/// assert_eq!(tokens.peek("tenant:1").await?.used(), 1_250);
/// # Ok::<(), limited::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "check whether the reservation was allowed, and settle it"]
pub struct Reservation<B> {
    decision: Decision,
    reserved: Vec<Reserved<B>>,
    /// Whether the coarse clock was read.
    is_coarse: bool,
    is_settled: AtomicBool,
    /// Whether each limit was settled.
    done: Box<[AtomicBool]>,
}

/// A hit that was charged.
struct Reserved<B> {
    limiter: Limiter<B>,
    /// The quota that replaces those of the limiter.
    quota: Option<Quota>,
    key: Key<'static>,
    is_estimate: bool,
}

impl<B> Reserved<B> {
    fn check(&self, now: Timestamp) -> Check<'_> {
        let check = self.limiter.check(0, now);
        match &self.quota {
            Some(quota) => Check { quota, several: None, ..check },
            None => check,
        }
    }
}

impl<B> Reservation<B> {
    fn new(decision: Decision, reserved: Vec<Reserved<B>>, is_coarse: bool) -> Self {
        let done = decision.limits().iter().map(|_| AtomicBool::new(false)).collect();
        Self { decision, reserved, is_coarse, is_settled: AtomicBool::new(false), done }
    }

    /// Returns the decision about the estimate. If it is refused, nothing was charged.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// # Settling
///
/// # Errors
///
/// [`Error::Backend`] if the backend fails, whatever [`OnError`](crate::OnError) is set. After an
/// error that leaves the backend unchanged, the reservation can be settled again, with the same
/// cost. After [`TimedOut`](BackendError::TimedOut) and
/// [`Unavailable`](BackendError::Unavailable) it counts as settled, because the charge may have been
/// corrected. If it was not, the charge stays as it was.
impl<B: Backend> Reservation<B> {
    /// Corrects the charge from the estimate to the actual cost, in the window that was charged.
    /// Returns whether this call did it.
    ///
    /// A lower cost refunds the rest; see [`Limiter::refund`]. A higher one charges what is
    /// missing, also beyond the limit: it never refuses. Token buckets and sliding logs are charged
    /// what is missing at the time of this call.
    ///
    /// A reservation is settled once, however often and from however many threads this is called.
    /// Returns `false` if another call settles it, or if nothing was charged, because the decision
    /// is a refusal, [degraded](Decision::is_degraded) or [shadowed](Decision::is_shadowed). If the
    /// future is dropped, the reservation counts as settled.
    ///
    /// Costs one request for each limit, and none if the estimate was right.
    pub async fn settle(&self, actual: u64) -> Result<bool, Error> {
        let nothing_charged = self.decision.charge().cost == 0;
        if nothing_charged || self.is_settled.swap(true, AcqRel) {
            return Ok(false);
        }
        let result = self.settle_limits(actual).await;
        if result.is_err() && !self.done.iter().all(|done| done.load(Acquire)) {
            self.is_settled.store(false, Release);
        }
        result.map(|()| true)
    }

    /// Settles each limit that is not settled yet.
    async fn settle_limits(&self, actual: u64) -> Result<(), Error> {
        let Some(first) = self.reserved.first() else { return Ok(()) };
        let now = first.limiter.now(self.is_coarse);
        let mut limits = self.decision.limits().iter().zip(&self.done);
        let mut result = Ok(());
        for reserved in &self.reserved {
            let limiter = &reserved.limiter;
            let check = limiter.by_leading_clock(reserved.check(now));
            let counter = check.counter(&limiter.namespace, &reserved.key)?;
            for (quota, (limit, done)) in check.quotas().iter().zip(&mut limits) {
                // A limit in shadow may have charged nothing for a hit that passed.
                let is_charged = limit.charge().cost > 0;
                if !reserved.is_estimate || !is_charged || done.load(Acquire) {
                    done.store(true, Release);
                    continue;
                }
                let corrected = limiter.correct(check.by_quota(quota), counter, limit, actual).await;
                done.store(corrected.as_ref().map_or_else(may_be_done, |()| true), Release);
                result = result.and(corrected);
            }
        }
        Ok(result?)
    }
}

/// Returns whether the backend may have done what failed with this error.
const fn may_be_done(error: &BackendError) -> bool {
    matches!(error, BackendError::TimedOut(_) | BackendError::Unavailable(_))
}

/// # Settling without a future
///
/// The same method over an [`Immediate`] backend.
impl<B: Immediate> Reservation<B> {
    /// [`settle`](Self::settle) without a future.
    pub fn settle_now(&self, actual: u64) -> Result<bool, Error> {
        poll_once(self.settle(actual))
    }
}

impl<B> fmt::Debug for Reservation<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("decision", &self.decision)
            .field("is_settled", &self.is_settled)
            .finish_non_exhaustive()
    }
}

/// # Reserving
///
/// For costs that are known only afterwards.
///
/// # Errors
///
/// The errors of [`allow_n`](Self::allow_n).
impl<B: Backend> Limiter<B> {
    /// Decides about an estimated cost and charges it, to be [settled](Reservation::settle) when
    /// the actual cost is known.
    ///
    /// Decides and costs what [`allow_n`](Self::allow_n) does, and clones the limiter and the key.
    pub async fn reserve_n(&self, key: impl Into<Key<'_>>, estimate: u64) -> Result<Reservation<B>, Error> {
        let key = key.into();
        let decision = self.allow_n(key.clone(), estimate).await?;
        Ok(self.reservation(key, None, self.is_coarse, decision))
    }

    fn reservation(
        &self,
        key: Key<'_>,
        quota: Option<Quota>,
        is_coarse: bool,
        decision: Decision,
    ) -> Reservation<B> {
        let reserved = Reserved { limiter: self.clone(), quota, key: key.into_owned(), is_estimate: true };
        Reservation::new(decision, vec![reserved], is_coarse)
    }

    /// Corrects what a limit has charged to the actual cost.
    async fn correct(
        &self,
        check: Check<'_>,
        counter: Counter<'_>,
        limit: &Decision,
        actual: u64,
    ) -> Result<(), BackendError> {
        let charge = limit.charge();
        match (charge.cost.checked_sub(actual), actual.checked_sub(charge.cost)) {
            (Some(0), _) => Ok(()),
            (Some(rest), _) => {
                let (counter, refund) = check.refund_of(counter, rest, charge.at);
                self.backend.refund(&counter, &refund, check.now).await.map(drop)
            }
            (None, missing) => {
                let check = Check { cost: missing.unwrap_or(0), ..check };
                self.charge_unlimited(check, counter, charge.at).await
            }
        }
    }

    /// Charges a cost without a limit, to the window of this time. If the backend has forgotten
    /// that window, there is nothing to charge.
    async fn charge_unlimited(
        &self,
        check: Check<'_>,
        counter: Counter<'_>,
        charged_at: Timestamp,
    ) -> Result<(), BackendError> {
        if check.is_bucket() {
            return self.charge_bucket_unlimited(check, counter).await;
        }
        let (counter, hit) = Check { now: charged_at, ..check }.hit_on(counter);
        let hit = limited_core::Hit { ceiling: UNLIMITED, ..hit };
        self.backend.count(&counter.fixed(), &hit, check.now).await.map(drop)
    }

    /// Charges a cost to a bucket, also if that leaves it emptier than its capacity allows.
    ///
    /// The hit has a quota of a larger capacity: otherwise the value would count as that of a wrong
    /// clock. The capacity is only as large as necessary, so that a clock that is really wrong does
    /// not empty the bucket for long.
    async fn charge_bucket_unlimited(
        &self,
        check: Check<'_>,
        counter: Counter<'_>,
    ) -> Result<(), BackendError> {
        let quota = check.quota;
        let mut capacity = quota.capacity().saturating_add(check.cost);
        loop {
            let larger = quota.burst(capacity);
            let (counter, hit) = check.by_quota(&larger).hit_on(counter);
            let state = self.backend.count(&counter, &hit, check.now).await?;
            if state.counted || capacity == u64::MAX {
                return Ok(());
            }
            // The bucket was charged beyond its capacity before. Others may charge it meanwhile.
            let behind = state.value.saturating_sub(hit.floor) / u128::from(quota.length().as_nanos());
            let behind = u64::try_from(behind).unwrap_or(u64::MAX).saturating_add(1);
            capacity = behind.saturating_add(check.cost).max(capacity.saturating_mul(2));
        }
    }
}

/// # Reserving without a future
///
/// The same method over an [`Immediate`] backend.
impl<B: Immediate> Limiter<B> {
    /// [`reserve_n`](Self::reserve_n) without a future.
    pub fn reserve_n_now<'k>(&self, key: impl Into<Key<'k>>, estimate: u64) -> Result<Reservation<B>, Error> {
        poll_once(self.reserve_n(key, estimate))
    }
}

/// # Reserving
///
/// For costs that are known only afterwards.
impl<B: Backend> WithQuota<'_, B> {
    /// [`Limiter::reserve_n`] by this quota.
    pub async fn reserve_n(&self, key: impl Into<Key<'_>>, estimate: u64) -> Result<Reservation<B>, Error> {
        let key = key.into();
        let decision = self.allow_n(key.clone(), estimate).await?;
        Ok(self.limiter().reservation(key, Some(self.get_quota()), self.is_coarse, decision))
    }
}

/// Decides about several hits as [`allow_all`] does, and charges them, to be
/// [settled](Reservation::settle) later.
///
/// Settling corrects the hits that are [estimates](LimiterHit::estimate). The others keep their
/// cost:
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Limiter, Quota, reserve_all};
///
/// # pollster::block_on(async {
/// let requests = Limiter::new(MemoryBackend::new()).namespace("requests").quota(Quota::per_hour(60));
/// let tokens = requests.clone().namespace("tokens").quota(Quota::per_hour(100_000));
///
/// let hits = [requests.hit("tenant:1"), tokens.hit("tenant:1").estimate(4_000)];
/// let reservation = reserve_all(&hits).await?;
/// reservation.settle(1_250).await?;
/// assert_eq!(requests.peek("tenant:1").await?.used(), 1);
/// assert_eq!(tokens.peek("tenant:1").await?.used(), 1_250);
/// # Ok::<(), limited::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The errors of [`allow_all`].
pub async fn reserve_all<'a, B: Backend + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
) -> Result<Reservation<B>, Error> {
    let hits = hits.as_ref();
    let decision = allow_all(hits).await?;
    let is_coarse = hits.iter().all(|hit| hit.is_coarse);
    let reserved = hits.iter().map(|hit| Reserved {
        limiter: hit.limiter.clone(),
        quota: hit.quota,
        key: hit.key.clone().into_owned(),
        is_estimate: hit.is_estimate,
    });
    Ok(Reservation::new(decision, reserved.collect(), is_coarse))
}

/// [`reserve_all`] without a future.
///
/// # Errors
///
/// The errors of [`allow_all`].
pub fn reserve_all_now<'a, B: Immediate + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
) -> Result<Reservation<B>, Error> {
    poll_once(reserve_all(hits))
}
