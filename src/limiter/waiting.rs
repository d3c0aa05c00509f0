//! Waiting until a hit is admitted: a place in the queue of a bucket, or one try after the other.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use limited_core::{Backend, Counter, CounterState, Hit, Key, Refund, Timestamp};

use super::Limiter;
use super::check::Check;
use super::clock_lead;
use crate::Algorithm::TokenBucket;
use crate::algorithm::token_bucket;
use crate::clock::LimiterClock;
use crate::lease::random_id;
use crate::poll_once::poll_once;
use crate::telemetry::Instrumented;
use crate::{Decision, Error, Quota, WithQuota, duration};

/// The longest wait of the methods that have no other bound.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest jitter, whatever the wait is.
const MAX_JITTER: Duration = Duration::from_secs(1);

/// The jitter is at most the wait divided by this.
const JITTER_DIVISOR: u32 = 10;

/// # Waiting
///
/// These methods sleep until the hit is admitted, by the [clock](Self::clock) of the limiter. They
/// return at once if the wait would be longer than their bound, or if waiting never helps, because
/// the cost is above the limit. The decision is then a refusal, nothing was counted, and
/// [`retry_after`](Decision::retry_after) is the wait.
///
/// # Token buckets
///
/// A hit that has to wait takes a place in a queue: it is counted at once, and sleeps until its
/// tokens are there. Callers are admitted in the order of their places, also those of other
/// processes over the same backend. A large cost is not overtaken by small ones.
/// [`allow`](Self::allow) refuses while there is a queue.
///
/// - A call is **one** request of the backend, however long it waits. A hundred callers are a
///   hundred requests.
/// - In any stretch of time `t`, at most `burst + limit · t / window` are admitted. A caller that
///   wakes up late by `d`, because the machine is busy, adds at most `limit · d / window`. Times
///   are rounded up to a nanosecond, which is such a `d`.
/// - A refund of an earlier hit while others queue moves the next place forward. Two callers may
///   then be admitted at one time: at most the refunded cost more in that stretch, and no more in
///   total than without the earlier hit. [`settle`](crate::Reservation::settle) refunds too.
/// - The bound limits the queue: it is never longer than `bound · limit / window` tokens. A process
///   with a shorter bound is refused while the queue is longer than that.
/// - If the clocks of processes differ by `s`, one that is behind waits up to `s` longer.
///
/// # Cancelling
///
/// If the future is dropped while it sleeps in a queue, it returns its place if that is the last
/// one. Only then is it as if the hit had never been counted. A place in the middle stays charged:
/// those behind it keep their times, so its tokens would be admitted a second time at the end.
///
/// The place is returned if the backend counted the hit at the first poll of the future, as
/// backends in memory do. A database cannot be called while a future is dropped, so the place stays
/// charged. That admits too little for `cost · window / limit`, and never too much. A bound is
/// better than a timeout around the call: it refuses before anything is charged.
///
/// # Windows
///
/// Fixed and sliding windows, and logs, have no queue. The call decides, sleeps for
/// [`retry_after`](Decision::retry_after) and a jitter, and decides again, until it is admitted or
/// the next wait would exceed the bound. Each round is one request. The jitter is random, at most a
/// tenth of the wait and at most one second. It spreads the callers that wait for the same window.
/// The order of the callers is that of their rounds: it is by chance, and a large cost can be
/// overtaken.
///
/// # Several quotas
///
/// By several quotas, a token bucket is one place in each bucket, taken in one step. The wait is
/// the longest of them. A caller that waits for one bucket is late for the others, by the `d`
/// above. That exceeds nothing if each longer window has the lower rate, as in `10/s; 100/min`.
///
/// # Blocks
///
/// A [blocked](Self::block) key has no queue. The call sleeps until the block ends and a jitter,
/// and begins then, in one more request. A caller that already has its place is admitted although
/// the key is blocked meanwhile.
impl<B: Backend> Limiter<B> {
    /// Waits until a hit of cost 1 is admitted, for at most 24 hours.
    ///
    /// ```
    /// # use limited::{Algorithm, Limiter, ManualClock, Quota, memory::MemoryBackend};
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new())
    ///     .quota(Quota::per_second(50))
    ///     .algorithm(Algorithm::TokenBucket);
    /// for _ in 0..3 {
    ///     // At most 50 calls at once, and 50 per second after that.
    ///     assert!(limiter.until_allowed("crm.example").await?.is_allowed());
    /// }
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn until_allowed(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.wait_until_allowed(key.into(), self.check(1, self.now(self.is_coarse)), MAX_WAIT).await
    }

    /// Waits until a hit of this cost is admitted, for at most 24 hours.
    pub async fn until_allowed_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        self.wait_until_allowed(key.into(), self.check(cost, self.now(self.is_coarse)), MAX_WAIT).await
    }

    /// Waits until a hit of cost 1 is admitted, for at most `longest`.
    ///
    /// ```
    /// # use limited::{Algorithm, Limiter, Quota, memory::MemoryBackend};
    /// # use std::time::Duration;
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new())
    ///     .quota(Quota::per_minute(1))
    ///     .algorithm(Algorithm::TokenBucket);
    /// assert!(limiter.until_allowed("user:7").await?.is_allowed());
    ///
    /// // The next token is there in a minute. That is refused at once.
    /// let decision = limiter.until_allowed_within("user:7", Duration::from_secs(5)).await?;
    /// assert!(!decision.is_allowed());
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn until_allowed_within(
        &self,
        key: impl Into<Key<'_>>,
        longest: Duration,
    ) -> Result<Decision, Error> {
        self.wait_until_allowed(key.into(), self.check(1, self.now(self.is_coarse)), longest).await
    }

    /// Waits until a hit of this cost is admitted, for at most `longest`.
    pub async fn until_allowed_n_within(
        &self,
        key: impl Into<Key<'_>>,
        cost: u64,
        longest: Duration,
    ) -> Result<Decision, Error> {
        self.wait_until_allowed(key.into(), self.check(cost, self.now(self.is_coarse)), longest).await
    }

    pub(super) async fn wait_until_allowed(
        &self,
        key: Key<'_>,
        check: Check<'_>,
        longest: Duration,
    ) -> Result<Decision, Error> {
        if self.is_shadow {
            // Every hit passes, so none waits.
            return self.decide_several(key, check).await;
        }
        let check = self.by_leading_clock(check);
        let first = self.counter_of_hit(&key, check)?;
        let result = match check.algorithm {
            TokenBucket => self.wait_in_queue(first, check, longest).await,
            _ => self.wait_by_trying(first, check, longest).await,
        };
        self.decision_of_several(check, &first, result)
    }

    /// Takes a place in the queue of each bucket, and sleeps until it is admitted. A blocked key
    /// has no queue: the call sleeps until the block ends, and takes its place then. Otherwise all
    /// that wait for the end of the block would be admitted at one time.
    async fn wait_in_queue(
        &self,
        first: Counter<'_>,
        mut check: Check<'_>,
        longest: Duration,
    ) -> limited_core::Result<Decision> {
        let deadline = check.now.saturating_add(longest);
        let mut left = longest;
        loop {
            let decision = self.wait_in_queue_once(first, check, left).await?;
            let wait = match decision.retry_after() {
                Some(wait) if decision.is_blocked() && wait <= left => wait,
                _ => return Ok(decision),
            };
            left = self.sleep_with_jitter(&mut check, wait, left, deadline).await;
            check = self.by_leading_clock(check);
        }
    }

    async fn wait_in_queue_once(
        &self,
        first: Counter<'_>,
        check: Check<'_>,
        longest: Duration,
    ) -> limited_core::Result<Decision> {
        let has_room = |quota: &Quota| check.cost <= quota.capacity();
        // Waiting never helps if the cost is above a capacity. The hit is refused by its own
        // ceiling.
        let longest = if check.quotas().iter().all(has_room) { longest } else { Duration::ZERO };
        let place = |quota| check.by_quota(quota).place_on(first, longest);
        let mut hits: Vec<_> = check.quotas().iter().map(place).collect();
        hits.extend(self.block_condition(first, check.now));

        let (result, is_immediate) = with_first_poll(self.count_each(&hits, check.now)).await;
        let mut states = result?;
        if !states.iter().all(|state| state.counted) {
            return Ok(self.decision_after_hits(check, &mut states));
        }
        let waits: Vec<u128> = check
            .quotas()
            .iter()
            .zip(&states)
            // A value that was counted is within the ceiling. Without an inflow there is no queue.
            .map(|(quota, state)| token_bucket::wait_of(quota, check.leading_now(), state.value).unwrap_or(0))
            .collect();
        let wait = match waits.iter().copied().max().unwrap_or(0) {
            wait if check.lead == 0 => duration::from_nanos(wait),
            wait => duration::from_nanos(clock_lead::wait(wait, check.lead)),
        };
        if !wait.is_zero() {
            // Only a backend that counted the hit at once can return it while the future is
            // dropped.
            let counted = hits.iter().zip(&states).filter(|((_, hit), _)| is_immediate && hit.cost > 0);
            let places = counted.map(|((counter, hit), state)| (*counter, hit.cost, state.value)).collect();
            let mut places = Places { backend: &self.backend, clock: &self.clock, places };
            self.clock.sleep(wait).await;
            places.places.clear();
        }
        Ok(self.decision_after_wait(check, &waits, states))
    }

    /// Returns the decision of a hit that was admitted after waiting for its tokens.
    fn decision_after_wait(&self, check: Check<'_>, waits: &[u128], states: Vec<CounterState>) -> Decision {
        let after = |wait: u128| check.now.saturating_add(duration::from_nanos(wait));
        let admitted_at = after(waits.iter().copied().max().unwrap_or(0));
        let limits = check.quotas().iter().zip(waits).zip(states).map(|((quota, wait), state)| {
            let check = check.by_quota(quota);
            let decision = Check { now: admitted_at, ..check }.decision_after_hit(state, &self.clock);
            // Refunds count from the time at which this bucket had the tokens. Before that it was
            // not full, with or without this hit, so no time has paid the charge back.
            decision.with_charged_at(Check { now: after(*wait), ..check }.leading_now())
        });
        Decision::of_limits(limits.collect())
    }

    /// Decides, and after a refusal sleeps and decides again.
    async fn wait_by_trying(
        &self,
        first: Counter<'_>,
        mut check: Check<'_>,
        longest: Duration,
    ) -> limited_core::Result<Decision> {
        let deadline = check.now.saturating_add(longest);
        let mut left = longest;
        loop {
            let mut hits = check.hits_on(first);
            hits.extend(self.block_condition(first, check.now));
            let mut states = self.count_each(&hits, check.now).await?;
            let decision = self.decision_after_hits(check, &mut states);
            let wait = match decision.retry_after() {
                Some(wait) if !decision.is_allowed() && wait <= left => wait,
                _ => return Ok(decision),
            };
            left = self.sleep_with_jitter(&mut check, wait, left, deadline).await;
        }
    }

    /// Sleeps for at least `wait`, which is at most `left`. Sets the time of the check, and returns
    /// how much of the bound is left.
    async fn sleep_with_jitter(
        &self,
        check: &mut Check<'_>,
        wait: Duration,
        left: Duration,
        deadline: Timestamp,
    ) -> Duration {
        let wait = wait + jitter(wait).min(left - wait);
        self.clock.sleep(wait).await;
        check.now = self.now(check.is_coarse);
        // The calls of the backend take time too. A clock that jumps back adds none.
        (left - wait).min(deadline.saturating_since(check.now))
    }
}

impl Check<'_> {
    /// Returns the hit that takes a place in the queue of a bucket, at most `longest` from now.
    fn place_on<'a>(self, counter: Counter<'a>, longest: Duration) -> (Counter<'a>, Hit<'static>) {
        let ahead = longest.as_nanos().saturating_mul(self.quota.limit().into());
        let now = self.leading_now();
        let (hit, bucket) = token_bucket::hit_beyond_capacity(self.quota, self.cost, now, ahead);
        (self.counter_like(counter).with_bucket(bucket), hit)
    }
}

/// Places in queues, which are returned if this is dropped.
struct Places<'a, B: Backend> {
    backend: &'a Instrumented<B>,
    clock: &'a LimiterClock,
    /// The counter, the cost and the value that the hit led to.
    places: Vec<(Counter<'a>, u128, u128)>,
}

impl<B: Backend> Drop for Places<'_, B> {
    /// Returns each place that is still the last one of its queue.
    ///
    /// The value is then the one that this hit led to, so lowering it by the cost is the state
    /// without this hit. No time has paid the cost back: until its tokens are there, the bucket is
    /// not full without this hit either. So it is returned as if it were charged now, in full.
    ///
    /// A place in the middle must stay. The callers behind it know their times and keep them. A
    /// lower value would give the next caller the time of the last one: two costs at one time,
    /// which can exceed the burst.
    fn drop(&mut self) {
        let now = self.clock.now();
        for (counter, cost, value) in self.places.drain(..) {
            let refund = Refund::new(cost, now).only_if_value(value);
            // Without it the place stays charged, which admits too little.
            let _ = poll_once(self.backend.refund(&counter, &refund, now));
        }
    }
}

/// Awaits a future. Returns also whether it was ready at its first poll.
async fn with_first_poll<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut future = pin!(future);
    let mut is_first = true;
    poll_fn(|context| {
        let output = future.as_mut().poll(context).map(|output| (output, is_first));
        is_first = false;
        output
    })
    .await
}

/// Returns a random addition to a wait: at most a tenth of it, and at most one second.
fn jitter(wait: Duration) -> Duration {
    let longest = (wait / JITTER_DIVISOR).min(MAX_JITTER).as_nanos();
    // Without random numbers there is no jitter.
    random_id().map_or(Duration::ZERO, |random| duration::from_nanos(random % (longest + 1)))
}

/// # Waiting
///
/// Each method does what the method of the same name of [`Limiter`] does, by this quota.
impl<B: Backend> WithQuota<'_, B> {
    /// [`Limiter::until_allowed`] by this quota.
    pub async fn until_allowed(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.until_allowed_n_within(key, 1, MAX_WAIT).await
    }

    /// [`Limiter::until_allowed_n`] by this quota.
    pub async fn until_allowed_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        self.until_allowed_n_within(key, cost, MAX_WAIT).await
    }

    /// [`Limiter::until_allowed_within`] by this quota.
    pub async fn until_allowed_within(
        &self,
        key: impl Into<Key<'_>>,
        longest: Duration,
    ) -> Result<Decision, Error> {
        self.until_allowed_n_within(key, 1, longest).await
    }

    /// [`Limiter::until_allowed_n_within`] by this quota.
    pub async fn until_allowed_n_within(
        &self,
        key: impl Into<Key<'_>>,
        cost: u64,
        longest: Duration,
    ) -> Result<Decision, Error> {
        self.limiter().wait_until_allowed(key.into(), self.check(cost, self.now()), longest).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_at_most_a_tenth_of_the_wait_and_a_second() {
        for (wait, longest) in
            [(0, 0), (9, 0), (1_000, 100), (10_000_000_000, 1_000_000_000), (u64::MAX, 1_000_000_000)]
        {
            for _ in 0..100 {
                assert!(jitter(Duration::from_nanos(wait)) <= Duration::from_nanos(longest));
            }
        }
        let jitters: Vec<_> = (0..10).map(|_| jitter(Duration::from_secs(60))).collect();
        assert!(jitters.iter().any(|jitter| *jitter != jitters[0]), "{jitters:?}");
    }
}
