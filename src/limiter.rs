//! The limiter.

use std::fmt;
use std::sync::Arc;

use limited_core::{Backend, BackendError, Clock, Counter, Hit, ImmediateBackend, Key, Tally, Timestamp};

use crate::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use crate::clock::ClockChoice;
use crate::decision::{Question, Rule};
use crate::observe::{self, Observed};
use crate::{Algorithm, Decision, Error, OnError, Quota, arithmetic};

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
/// One [`Backend::increment`], or one [`Backend::increment_sliding`], one reading of the clock, and no allocation
/// besides what the backend needs. A `&str` key is not copied.
///
/// A backend that has the answer [at hand](Backend::increment_at_once), as the one in memory mostly has, is not waited
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
    backend: Observed<B>,
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
            backend: Observed::new(backend),
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
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::ZeroCost`] before anything is asked of the backend; [`Error::Backend`] where it
/// fails and [`OnError::Return`] is set. Cancelling (dropping the future) leaves nothing half done: the hit was
/// counted, or it was not.
impl<B: Backend> Limiter<B> {
    /// Decides about one, and counts it if it is allowed.
    pub async fn allow(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        let key = key.into();
        let rule = self.rule();
        let now = self.now(rule);
        if let Some(decided) = self.decide_at_once(&key, 1, rule, now) {
            return decided;
        }
        self.decide_waiting(&key, 1, rule, now).await
    }

    /// Decides about a hit of a given cost, all of it or nothing.
    ///
    /// A cost above the limit is refused for good: `retry_after` is `None`.
    pub async fn allow_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        let key = key.into();
        let rule = self.rule();
        let now = self.now(rule);
        if let Some(decided) = self.decide_at_once(&key, cost, rule, now) {
            return decided;
        }
        self.decide_waiting(&key, cost, rule, now).await
    }

    /// Decides about one by a quota of its own, such as that of the customer's plan.
    ///
    /// Quotas with the same window count in the same place, each against its own limit; so a customer who changes
    /// plans keeps what was counted. (Buckets are apart where their limits are.)
    pub async fn allow_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<Decision, Error> {
        let key = key.into();
        let rule = self.rule_of(&quota);
        let now = self.now(rule);
        if let Some(decided) = self.decide_at_once(&key, 1, rule, now) {
            return decided;
        }
        self.decide_waiting(&key, 1, rule, now).await
    }

    /// Decides about a hit of a given cost by a quota of its own.
    pub async fn allow_n_with(
        &self,
        key: impl Into<Key<'_>>,
        cost: u64,
        quota: Quota,
    ) -> Result<Decision, Error> {
        let key = key.into();
        let rule = self.rule_of(&quota);
        let now = self.now(rule);
        if let Some(decided) = self.decide_at_once(&key, cost, rule, now) {
            return decided;
        }
        self.decide_waiting(&key, cost, rule, now).await
    }

    // Asked for with `if let` by each of the above, and not with `match` or in a function in between: what is alive while
    // something is waited for is kept in the future, and copied, also where nothing is waited for.
    /// The decision of a backend that has its answer at hand. A call that is in error is decided in full.
    #[inline(always)]
    fn decide_at_once(
        &self,
        key: &Key<'_>,
        cost: u64,
        rule: Rule<'_>,
        now: Timestamp,
    ) -> Option<Result<Decision, Error>> {
        match self.algorithm {
            FixedWindow => self.decide_at_once_by(FixedWindow, key, cost, rule, now),
            SlidingWindow => self.decide_at_once_by(SlidingWindow, key, cost, rule, now),
            TokenBucket => self.decide_at_once_by(TokenBucket, key, cost, rule, now),
        }
    }

    // A path of its own for each algorithm, which is known where this is inlined, is a third of the instructions.
    #[inline(always)]
    fn decide_at_once_by(
        &self,
        algorithm: Algorithm,
        key: &Key<'_>,
        cost: u64,
        rule: Rule<'_>,
        now: Timestamp,
    ) -> Option<Result<Decision, Error>> {
        // Not by `ask`: what it makes would be moved, and copied, where it is lent to a backend that is not inlined.
        if cost == 0 {
            return None;
        }
        let window = arithmetic::window(algorithm, rule.quota, now);
        let Ok(counter) = Counter::new(&self.namespace, key, window) else { return None };
        let hit = arithmetic::hit(algorithm, rule.quota, cost, now);
        let question = Question { algorithm, rule, cost, now };
        let answer = match algorithm {
            SlidingWindow => self.backend.increment_sliding_at_once(&counter, &hit, now),
            FixedWindow | TokenBucket => self.backend.increment_at_once(&counter, &hit, now),
        };
        let decision = match answer {
            Some(Ok(tally)) => Ok(question.decided(tally, &self.clock)),
            Some(Err(error)) => self.failed(algorithm, rule.quota, error),
            None => return None,
        };
        observe::decided(algorithm, cost, &counter, &decision);
        Some(decision)
    }

    async fn decide_waiting(
        &self,
        key: &Key<'_>,
        cost: u64,
        rule: Rule<'_>,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let Asked { question, counter, hit } = self.ask(key, cost, rule, now)?;
        let answer = match self.algorithm {
            SlidingWindow => self.backend.increment_sliding(&counter, &hit, now).await,
            FixedWindow | TokenBucket => self.backend.increment(&counter, &hit, now).await,
        };
        let decision = self.decided(question, answer);
        observe::decided(self.algorithm, cost, &counter, &decision);
        decision
    }
}

/// # Deciding at once
///
/// Without a future or a runtime, over every backend that answers without waiting. Otherwise as above.
impl<B: ImmediateBackend> Limiter<B> {
    /// [`allow`](Self::allow), at once.
    ///
    /// ```
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// assert!(limiter.allow_now("user:7")?.is_allowed());
    /// # Ok::<(), limited::Error>(())
    /// ```
    #[inline]
    pub fn allow_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.decide_now(&key.into(), 1, self.rule())
    }

    /// [`allow_n`](Self::allow_n), at once.
    #[inline]
    pub fn allow_n_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        self.decide_now(&key.into(), cost, self.rule())
    }

    /// [`allow_with`](Self::allow_with), at once.
    #[inline]
    pub fn allow_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<Decision, Error> {
        self.decide_now(&key.into(), 1, self.rule_of(&quota))
    }

    /// [`allow_n_with`](Self::allow_n_with), at once.
    #[inline]
    pub fn allow_n_with_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        cost: u64,
        quota: Quota,
    ) -> Result<Decision, Error> {
        self.decide_now(&key.into(), cost, self.rule_of(&quota))
    }

    /// [`peek`](Self::peek), at once.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.look_now(&key.into(), self.rule())
    }

    /// [`peek_with`](Self::peek_with), at once.
    pub fn peek_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<Decision, Error> {
        self.look_now(&key.into(), self.rule_of(&quota))
    }

    /// [`reset`](Self::reset), at once.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.forget_now(&key.into(), self.rule())
    }

    /// [`reset_with`](Self::reset_with), at once.
    pub fn reset_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<(), Error> {
        self.forget_now(&key.into(), self.rule_of(&quota))
    }

    fn look_now(&self, key: &Key<'_>, rule: Rule<'_>) -> Result<Decision, Error> {
        let Asked { question, counter, .. } = self.ask(key, 1, rule, self.now(rule))?;
        let answer = match self.algorithm {
            Algorithm::SlidingWindow => self.backend.get_sliding_now(&counter, question.now),
            _ => self.backend.get_now(&counter, question.now),
        };
        self.predicted(question, answer)
    }

    fn forget_now(&self, key: &Key<'_>, rule: Rule<'_>) -> Result<(), Error> {
        let Asked { question, counter, .. } = self.ask(key, 1, rule, self.now(rule))?;
        for counter in self.counters_to_reset(counter) {
            self.backend.reset_now(&counter, None, question.now)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn decide_now(&self, key: &Key<'_>, cost: u64, rule: Rule<'_>) -> Result<Decision, Error> {
        let now = self.now(rule);
        match self.decide_at_once(key, cost, rule, now) {
            Some(decided) => decided,
            None => self.decide_now_in_full(key, cost, rule, now),
        }
    }

    #[inline(never)]
    fn decide_now_in_full(
        &self,
        key: &Key<'_>,
        cost: u64,
        rule: Rule<'_>,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let Asked { question, counter, hit } = self.ask(key, cost, rule, now)?;
        let answer = match self.algorithm {
            SlidingWindow => self.backend.increment_sliding_now(&counter, &hit, now),
            FixedWindow | TokenBucket => self.backend.increment_now(&counter, &hit, now),
        };
        let decision = self.decided(question, answer);
        observe::decided(self.algorithm, cost, &counter, &decision);
        decision
    }
}

/// # Looking, and starting over
impl<B: Backend> Limiter<B> {
    /// What [`allow`](Self::allow) would decide now. Counts nothing.
    ///
    /// # Errors
    ///
    /// As `allow`.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.look(&key.into(), self.rule()).await
    }

    /// What [`allow_with`](Self::allow_with) would decide now. Counts nothing.
    ///
    /// # Errors
    ///
    /// As `allow_with`.
    pub async fn peek_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<Decision, Error> {
        self.look(&key.into(), self.rule_of(&quota)).await
    }

    /// Forgets what was counted for a key, in the limiter's own quota; afterwards the whole limit is free.
    ///
    /// A sliding window forgets the window before, then the current one: two steps, between which hits may be counted.
    ///
    /// # Errors
    ///
    /// As `allow`, but a failure of the backend is returned whatever [`OnError`] says.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.forget(&key.into(), self.rule()).await
    }

    /// Forgets what was counted for a key by a quota of its own.
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset).
    pub async fn reset_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<(), Error> {
        self.forget(&key.into(), self.rule_of(&quota)).await
    }

    async fn forget(&self, key: &Key<'_>, rule: Rule<'_>) -> Result<(), Error> {
        let Asked { question, counter, .. } = self.ask(key, 1, rule, self.now(rule))?;
        for counter in self.counters_to_reset(counter) {
            self.backend.reset(&counter, None, question.now).await?;
        }
        Ok(())
    }

    async fn look(&self, key: &Key<'_>, rule: Rule<'_>) -> Result<Decision, Error> {
        let Asked { question, counter, .. } = self.ask(key, 1, rule, self.now(rule))?;
        let answer = match self.algorithm {
            Algorithm::SlidingWindow => self.backend.get_sliding(&counter, question.now).await,
            _ => self.backend.get(&counter, question.now).await,
        };
        self.predicted(question, answer)
    }
}

/// Everything about one call: what the backend is asked, and what its answer is read by.
struct Asked<'a> {
    question: Question<'a>,
    counter: Counter<'a>,
    hit: Hit<'static>,
}

impl<B> Limiter<B> {
    /// The limiter's own rule.
    #[inline(always)]
    const fn rule(&self) -> Rule<'_> {
        Rule { quota: &self.quota, is_coarse: self.is_coarse }
    }

    /// The rule by another quota.
    #[inline]
    fn rule_of<'q>(&self, quota: &'q Quota) -> Rule<'q> {
        Rule { quota, is_coarse: self.clock.is_coarse(self.algorithm, quota) }
    }

    #[inline(always)]
    fn now(&self, rule: Rule<'_>) -> Timestamp {
        self.clock.of(rule.is_coarse).now()
    }

    fn ask<'a>(
        &'a self,
        key: &'a Key<'a>,
        cost: u64,
        rule: Rule<'a>,
        now: Timestamp,
    ) -> Result<Asked<'a>, Error> {
        if cost == 0 {
            return Err(Error::ZeroCost);
        }
        let algorithm = self.algorithm;
        let counter = Counter::new(&self.namespace, key, arithmetic::window(algorithm, rule.quota, now))?;
        let hit = arithmetic::hit(algorithm, rule.quota, cost, now);
        Ok(Asked { question: Question { algorithm, rule, cost, now }, counter, hit })
    }

    fn decided(
        &self,
        question: Question<'_>,
        answer: Result<Tally, BackendError>,
    ) -> Result<Decision, Error> {
        match answer {
            Ok(tally) => Ok(question.decided(tally, &self.clock)),
            Err(error) => self.failed(question.algorithm, question.rule.quota, error),
        }
    }

    fn predicted(
        &self,
        question: Question<'_>,
        answer: Result<Tally, BackendError>,
    ) -> Result<Decision, Error> {
        match answer {
            Ok(tally) => Ok(question.predicted(tally, &self.clock)),
            Err(error) => self.failed(question.algorithm, question.rule.quota, error),
        }
    }

    #[cold]
    fn failed(&self, algorithm: Algorithm, quota: &Quota, error: BackendError) -> Result<Decision, Error> {
        match self.on_error {
            OnError::Return => Err(error.into()),
            OnError::Allow => Ok(Question::degraded(algorithm, quota, true)),
            OnError::Deny => Ok(Question::degraded(algorithm, quota, false)),
        }
    }

    /// The counters that decide about a key: of a sliding window also the one before, which is forgotten first.
    fn counters_to_reset<'a>(&self, counter: Counter<'a>) -> impl Iterator<Item = Counter<'a>> + use<'a, B> {
        let before = match self.algorithm {
            Algorithm::SlidingWindow => counter.window().previous(),
            _ => None,
        };
        before.map(|window| counter.with_window(window)).into_iter().chain([counter])
    }
}

impl<B> Clone for Limiter<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Observed::clone(&self.backend),
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
