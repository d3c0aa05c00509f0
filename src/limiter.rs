//! The limiter.

use std::fmt;
use std::sync::Arc;

use limited_core::{Backend, BackendError, Clock, Counter, Hit, ImmediateBackend, Key, Tally, Timestamp};

use crate::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use crate::clock::ClockChoice;
use crate::decision::Question;
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
/// besides what the backend needs. A `&str` key is not copied. A backend that [answers at once](Backend::increment_at_once)
/// is not waited for: over it, [`allow`](Self::allow) costs hardly more than [`allow_now`](Self::allow_now).
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
        }
    }

    /// How much may happen in how long.
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// How it is counted.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
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
        Self { clock: ClockChoice::Own(Arc::new(clock)), ..self }
    }

    /// What to decide when the backend fails.
    #[must_use]
    pub fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
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
        let now = self.now(&self.quota);
        if let Some(decided) = self.decide_at_once(&key, 1, &self.quota, now) {
            return decided;
        }
        self.decide_waiting(&key, 1, &self.quota, now).await
    }

    /// Decides about a hit of a given cost, all of it or nothing.
    ///
    /// A cost above the limit is refused for good: `retry_after` is `None`.
    pub async fn allow_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(&self.quota);
        if let Some(decided) = self.decide_at_once(&key, cost, &self.quota, now) {
            return decided;
        }
        self.decide_waiting(&key, cost, &self.quota, now).await
    }

    /// Decides about one by a quota of its own, such as that of the customer's plan.
    ///
    /// Quotas with the same window count in the same place, each against its own limit; so a customer who changes
    /// plans keeps what was counted. (Buckets are apart where their limits are.)
    pub async fn allow_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(&quota);
        if let Some(decided) = self.decide_at_once(&key, 1, &quota, now) {
            return decided;
        }
        self.decide_waiting(&key, 1, &quota, now).await
    }

    /// Decides about a hit of a given cost by a quota of its own.
    pub async fn allow_n_with(
        &self,
        key: impl Into<Key<'_>>,
        cost: u64,
        quota: Quota,
    ) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now(&quota);
        if let Some(decided) = self.decide_at_once(&key, cost, &quota, now) {
            return decided;
        }
        self.decide_waiting(&key, cost, &quota, now).await
    }

    // Asked for with `if let` by each of the above, and not with `match` or in a function in between: what is alive while
    // something is waited for is kept in the future, and copied, also where nothing is waited for.
    /// The decision of a backend that does not have to be waited for.
    #[inline(always)]
    fn decide_at_once(
        &self,
        key: &Key<'_>,
        cost: u64,
        quota: &Quota,
        now: Timestamp,
    ) -> Option<Result<Decision, Error>> {
        match self.algorithm {
            FixedWindow => self.decide_at_once_by(FixedWindow, key, cost, quota, now),
            SlidingWindow => self.decide_at_once_by(SlidingWindow, key, cost, quota, now),
            TokenBucket => self.decide_at_once_by(TokenBucket, key, cost, quota, now),
        }
    }

    #[inline(always)]
    fn decide_at_once_by(
        &self,
        algorithm: Algorithm,
        key: &Key<'_>,
        cost: u64,
        quota: &Quota,
        now: Timestamp,
    ) -> Option<Result<Decision, Error>> {
        let Asked { question, counter, hit } = match self.ask(algorithm, key, cost, quota, now) {
            Ok(asked) => asked,
            Err(error) => return Some(Err(error)),
        };
        let answer = match algorithm {
            SlidingWindow => self.backend.increment_sliding_at_once(&counter, &hit, now),
            FixedWindow | TokenBucket => self.backend.increment_at_once(&counter, &hit, now),
        };
        let decision = match answer {
            Some(Ok(ref tally)) => Ok(question.decided(tally, &self.clock)),
            Some(Err(error)) => self.failed(algorithm, quota, error),
            None => return None,
        };
        observe::decided(algorithm, cost, &counter, &decision);
        Some(decision)
    }

    async fn decide_waiting(
        &self,
        key: &Key<'_>,
        cost: u64,
        quota: &Quota,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let Asked { question, counter, hit } = self.ask(self.algorithm, key, cost, quota, now)?;
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
    pub fn allow_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.decide_now(&key.into(), 1, &self.quota)
    }

    /// [`allow_n`](Self::allow_n), at once.
    pub fn allow_n_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        self.decide_now(&key.into(), cost, &self.quota)
    }

    /// [`allow_with`](Self::allow_with), at once.
    pub fn allow_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<Decision, Error> {
        self.decide_now(&key.into(), 1, &quota)
    }

    /// [`allow_n_with`](Self::allow_n_with), at once.
    pub fn allow_n_with_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        cost: u64,
        quota: Quota,
    ) -> Result<Decision, Error> {
        self.decide_now(&key.into(), cost, &quota)
    }

    /// [`peek`](Self::peek), at once.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.look_now(&key.into(), &self.quota)
    }

    /// [`peek_with`](Self::peek_with), at once.
    pub fn peek_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<Decision, Error> {
        self.look_now(&key.into(), &quota)
    }

    /// [`reset`](Self::reset), at once.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.forget_now(&key.into(), &self.quota)
    }

    /// [`reset_with`](Self::reset_with), at once.
    pub fn reset_with_now<'k>(&self, key: impl Into<Key<'k>>, quota: Quota) -> Result<(), Error> {
        self.forget_now(&key.into(), &quota)
    }

    fn look_now(&self, key: &Key<'_>, quota: &Quota) -> Result<Decision, Error> {
        let Asked { question, counter, .. } = self.ask(self.algorithm, key, 1, quota, self.now(quota))?;
        let answer = match self.algorithm {
            Algorithm::SlidingWindow => self.backend.get_sliding_now(&counter, question.now),
            _ => self.backend.get_now(&counter, question.now),
        };
        self.predicted(question, answer)
    }

    fn forget_now(&self, key: &Key<'_>, quota: &Quota) -> Result<(), Error> {
        let Asked { question, counter, .. } = self.ask(self.algorithm, key, 1, quota, self.now(quota))?;
        for counter in self.counters_to_reset(counter) {
            self.backend.reset_now(&counter, None, question.now)?;
        }
        Ok(())
    }

    fn decide_now(&self, key: &Key<'_>, cost: u64, quota: &Quota) -> Result<Decision, Error> {
        match self.algorithm {
            FixedWindow => self.decide_now_by(FixedWindow, key, cost, quota),
            SlidingWindow => self.decide_now_by(SlidingWindow, key, cost, quota),
            TokenBucket => self.decide_now_by(TokenBucket, key, cost, quota),
        }
    }

    #[inline(always)]
    fn decide_now_by(
        &self,
        algorithm: Algorithm,
        key: &Key<'_>,
        cost: u64,
        quota: &Quota,
    ) -> Result<Decision, Error> {
        let now = self.now_by(algorithm, quota);
        let Asked { question, counter, hit } = self.ask(algorithm, key, cost, quota, now)?;
        let answer = match algorithm {
            SlidingWindow => self.backend.increment_sliding_now(&counter, &hit, now),
            FixedWindow | TokenBucket => self.backend.increment_now(&counter, &hit, now),
        };
        let decision = self.decided(question, answer);
        observe::decided(algorithm, cost, &counter, &decision);
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
        self.look(&key.into(), &self.quota).await
    }

    /// What [`allow_with`](Self::allow_with) would decide now. Counts nothing.
    ///
    /// # Errors
    ///
    /// As `allow_with`.
    pub async fn peek_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<Decision, Error> {
        self.look(&key.into(), &quota).await
    }

    /// Forgets what was counted for a key, in the limiter's own quota; afterwards the whole limit is free.
    ///
    /// A sliding window forgets the window before, then the current one: two steps, between which hits may be counted.
    ///
    /// # Errors
    ///
    /// As `allow`, but a failure of the backend is returned whatever [`OnError`] says.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.forget(&key.into(), &self.quota).await
    }

    /// Forgets what was counted for a key by a quota of its own.
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset).
    pub async fn reset_with(&self, key: impl Into<Key<'_>>, quota: Quota) -> Result<(), Error> {
        self.forget(&key.into(), &quota).await
    }

    async fn forget(&self, key: &Key<'_>, quota: &Quota) -> Result<(), Error> {
        let Asked { question, counter, .. } = self.ask(self.algorithm, key, 1, quota, self.now(quota))?;
        for counter in self.counters_to_reset(counter) {
            self.backend.reset(&counter, None, question.now).await?;
        }
        Ok(())
    }

    async fn look(&self, key: &Key<'_>, quota: &Quota) -> Result<Decision, Error> {
        let Asked { question, counter, .. } = self.ask(self.algorithm, key, 1, quota, self.now(quota))?;
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

// A path of its own for each algorithm, which is known where these are inlined, is a third of the instructions.
impl<B> Limiter<B> {
    #[inline(always)]
    fn now(&self, quota: &Quota) -> Timestamp {
        self.now_by(self.algorithm, quota)
    }

    #[inline(always)]
    fn now_by(&self, algorithm: Algorithm, quota: &Quota) -> Timestamp {
        self.clock.for_quota(algorithm, quota).now()
    }

    #[inline(always)]
    fn ask<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a Key<'a>,
        cost: u64,
        quota: &'a Quota,
        now: Timestamp,
    ) -> Result<Asked<'a>, Error> {
        if cost == 0 {
            return Err(Error::ZeroCost);
        }
        let counter = Counter::new(&self.namespace, key, arithmetic::window(algorithm, quota, now))?;
        let hit = arithmetic::hit(algorithm, quota, cost, now);
        Ok(Asked { question: Question { algorithm, quota, cost, now }, counter, hit })
    }

    #[inline(always)]
    fn decided(
        &self,
        question: Question<'_>,
        answer: Result<Tally, BackendError>,
    ) -> Result<Decision, Error> {
        match answer {
            // Not moved out of the answer, which would copy it.
            Ok(ref tally) => Ok(question.decided(tally, &self.clock)),
            Err(error) => self.failed(question.algorithm, question.quota, error),
        }
    }

    fn predicted(
        &self,
        question: Question<'_>,
        answer: Result<Tally, BackendError>,
    ) -> Result<Decision, Error> {
        match answer {
            Ok(tally) => Ok(question.predicted(&tally, &self.clock)),
            Err(error) => self.failed(question.algorithm, question.quota, error),
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
