//! Limited attempts: so many within so long, from the first one on.

mod attempt;
mod error;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Backend, Clock, Counter, CounterState, Hit, Immediate, InvalidWindowLength, Key, Timestamp, Window,
    WindowId, WindowLength, WindowMeta,
};

pub use self::attempt::{Attempt, AttemptWindow};
pub use self::error::AttemptError;
use crate::arithmetic::{self, Count, opened_window};
use crate::clock::ClockChoice;
use crate::immediate::poll_once;
use crate::lease::random_id;
use crate::observe::{self, Instrumented};

/// Lets something be attempted so many times within a validity: a login, a password reset, a one-time code.
///
/// The first attempt opens a window, which ends one validity later. Success clears it; so what is counted is failures,
/// and attempts that are still under way.
///
/// ```
/// use std::time::Duration;
/// use limited::memory::MemoryBackend;
/// use limited::{AttemptError, LimitedAttempt};
///
/// # pollster::block_on(async {
/// # let check = |password: &str| password == "correct";
/// let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, Duration::from_secs(3600));
///
/// for password in ["guess", "another", "correct"] {
///     let attempt = attempts.attempt(("login", "user-123")).await?;
///     if check(password) {
///         attempt.clear().await?;
///     }
/// }
///
/// for _ in 0..3 {
///     attempts.attempt(("password-reset", "user-123")).await?;
/// }
/// match attempts.attempt(("password-reset", "user-123")).await {
///     Err(AttemptError::TooManyAttempts { retry_after }) => assert!(retry_after.as_secs() >= 3590),
///     other => panic!("the fourth attempt: {other:?}"),
/// }
/// # Ok::<(), AttemptError>(())
/// # }).unwrap();
/// ```
///
/// # What is promised
///
/// - **At most `max` attempts pass in a window**, however many tasks, threads, clones and (over a shared backend)
///   processes try at once. Counting and deciding are one atomic step of the backend, before whatever is attempted
///   begins. Who counts after the failure instead lets everybody try who came before it.
/// - **Denied attempts are not counted**, and do not lengthen the window. Whoever waits for `retry_after` gets through.
/// - **A window ends one validity after its first attempt**, to the nanosecond; then all of `max` are free at once. So
///   a stretch of time that reaches from one window into the next, and is no longer than a validity, may see up to
///   `2 · max − 1` pass.
/// - **Clearing ends the window of that attempt**, and never one that was opened after it.
/// - **A crash** takes nothing back: an attempt that was counted is used, whether its outcome is known or not.
/// - **An answer that is lost** is an error. That attempt may have been counted, once and not twice, and is then
///   used. So fewer than `max` may pass, never more.
/// - **Clocks that differ** by some time see a window end earlier or later by that much. A clock that jumps back, by
///   the [allowed skew](crate::backend::MAX_CLOCK_SKEW) and one validity at most, finds the window as it was; until its
///   end it takes longer then, by the length of the jump.
/// - **A backend that fails** is an error, neither a refusal nor an attempt.
///
/// # What it costs
///
/// An attempt, a look, clearing and resetting are one request to the backend each, and one reading of the clock. An
/// attempt also takes 128 random bits of the operating system's, and copies its key.
///
/// # What is counted together
///
/// Attempts with equal namespace, key and validity, over the same backend. Each is held against its own maximum. They
/// share nothing with a [`Limiter`](crate::Limiter), whatever its namespace and keys are.
pub struct LimitedAttempt<B> {
    backend: Instrumented<B>,
    max: u64,
    /// Kept as it is found, since making one cannot fail: a bad one is told with each attempt.
    length: Result<WindowLength, InvalidWindowLength>,
    namespace: Arc<str>,
    clock: ClockChoice,
}

/// # Making one
impl<B> LimitedAttempt<B> {
    /// At most `max` attempts within `validity` of the first one; by the system's clock, without a namespace.
    ///
    /// A maximum of 0 refuses every attempt. A validity that is no window length, which lasts from 1 ms to
    /// 100 years, makes every call an [`AttemptError::InvalidWindowLength`].
    pub fn new(backend: B, max: u64, validity: Duration) -> Self {
        Self {
            backend: Instrumented::new(backend),
            max,
            length: WindowLength::try_from(validity),
            namespace: Arc::from(""),
            clock: ClockChoice::System,
        }
    }

    /// Which of those over one backend this is: keys in different namespaces never meet.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Where time comes from; in tests a [`ManualClock`](crate::ManualClock).
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: ClockChoice::Own(Arc::new(clock)), ..self }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// # Attempting
///
/// A key is a `&str`, a `String`, a [`Key`], or a scope and a name in it: `("password-reset", "user-123")`.
///
/// # Errors
///
/// [`AttemptError::TooManyAttempts`] past the maximum. [`AttemptError::InvalidKey`] and
/// [`AttemptError::InvalidWindowLength`] before anything is asked of the backend; [`AttemptError::Backend`] where it
/// fails. Cancelling (dropping the future) leaves nothing half done: the attempt was counted, or it was not.
impl<B: Backend> LimitedAttempt<B> {
    /// Counts an attempt, unless all of them are used up. Ask before you try.
    pub async fn attempt(&self, key: impl Into<Key<'_>>) -> Result<Attempt<B>, AttemptError> {
        self.count(key.into(), None).await
    }

    /// [`attempt`](Self::attempt), with something to remember from the first attempt of the window.
    ///
    /// The context of the attempt that opens the window is stored with it, and every attempt of that window tells it
    /// ([`Attempt::context`]): a request to resume, an address to tell the user of. The context of later attempts
    /// is dropped. It travels with every answer, so keep it short.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limited::{LimitedAttempt, memory::MemoryBackend};
    /// # pollster::block_on(async {
    /// let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, Duration::from_secs(3600));
    /// let first = attempts.attempt_with("user-123", "from 192.0.2.1").await?;
    /// let second = attempts.attempt_with("user-123", "from 192.0.2.7").await?;
    /// assert_eq!((second.number(), second.context()), (2, Some("from 192.0.2.1")));
    /// # Ok::<(), limited::AttemptError>(())
    /// # }).unwrap();
    /// ```
    pub async fn attempt_with(
        &self,
        key: impl Into<Key<'_>>,
        context: &str,
    ) -> Result<Attempt<B>, AttemptError> {
        self.count(key.into(), Some(context)).await
    }

    async fn count(&self, key: Key<'_>, context: Option<&str>) -> Result<Attempt<B>, AttemptError> {
        let Asked { counter, length, now } = self.ask(&key)?;
        let hit = self.hit(context)?;
        let tally = self.backend.increment(&counter, &hit, now).await?;
        self.answered(key, length, now, &hit, tally)
    }
}

/// # Without a future
///
/// The same over every [`Immediate`] backend: no future, no runtime.
impl<B: Immediate> LimitedAttempt<B> {
    /// [`attempt`](Self::attempt) without a future.
    pub fn attempt_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Attempt<B>, AttemptError> {
        poll_once(self.count(key.into(), None))
    }

    /// [`attempt_with`](Self::attempt_with) without a future.
    pub fn attempt_with_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        context: &str,
    ) -> Result<Attempt<B>, AttemptError> {
        poll_once(self.count(key.into(), Some(context)))
    }

    /// [`peek`](Self::peek) without a future.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<AttemptWindow, AttemptError> {
        poll_once(self.look(key.into()))
    }

    /// [`reset`](Self::reset) without a future.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), AttemptError> {
        poll_once(self.forget(key.into()))
    }
}

/// # Looking, and starting over
impl<B: Backend> LimitedAttempt<B> {
    /// How many attempts are left, and until when the window lasts. Counts nothing, and opens no window.
    ///
    /// What it tells may have changed by the time it is read: to decide, [`attempt`](Self::attempt).
    ///
    /// # Errors
    ///
    /// As `attempt`, but never `TooManyAttempts`.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<AttemptWindow, AttemptError> {
        self.look(key.into()).await
    }

    async fn look(&self, key: Key<'_>) -> Result<AttemptWindow, AttemptError> {
        let Asked { counter, length, now } = self.ask(&key)?;
        let state = self.backend.get(&counter, now).await?;
        Ok(self.seen(length, now, state))
    }

    /// Forgets all attempts at a key, whoever made them: an operator's act. After a success it is
    /// [`Attempt::clear`], which never ends a window that was opened since.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), AttemptError> {
        self.forget(key.into()).await
    }

    async fn forget(&self, key: Key<'_>) -> Result<(), AttemptError> {
        let Asked { counter, now, .. } = self.ask(&key)?;
        Ok(self.backend.reset(&counter, None, now).await?)
    }
}

/// What the backend is asked about.
struct Asked<'a> {
    counter: Counter<'a>,
    length: WindowLength,
    now: Timestamp,
}

impl<B> LimitedAttempt<B> {
    fn ask<'a>(&'a self, key: &'a Key<'a>) -> Result<Asked<'a>, AttemptError> {
        let length = self.length?;
        let counter = Counter::new(&self.namespace, key, Window::FromFirstHit { length })?;
        Ok(Asked { counter, length, now: self.clock.now() })
    }

    fn hit<'a>(&self, context: Option<&'a str>) -> Result<Hit<'a>, AttemptError> {
        Ok(Hit::new(1, self.max.into()).with_window_meta(WindowId(random_id()?), context))
    }

    fn answered(
        &self,
        key: Key<'_>,
        length: WindowLength,
        now: Timestamp,
        hit: &Hit<'_>,
        tally: CounterState,
    ) -> Result<Attempt<B>, AttemptError> {
        observe::attempted(&self.namespace, &key, self.max, &tally);
        if !tally.counted {
            return Err(AttemptError::TooManyAttempts { retry_after: self.retry_after(length, now, &tally) });
        }
        let standing = opened_window::standing(self.max, length, now, Count::from(&tally));
        Ok(Attempt {
            attempts: self.clone(),
            key: key.into_owned(),
            number: standing.used,
            remaining: standing.remaining,
            expires_at: tally.start.unwrap_or(now).saturating_add(length.as_duration()),
            // Of a backend that does not tell, no window is known to be this attempt's, so that it clears none.
            meta: tally.meta.unwrap_or_else(|| Arc::new(WindowMeta { id: hit.window_id, metadata: None })),
        })
    }

    fn seen(&self, length: WindowLength, now: Timestamp, tally: CounterState) -> AttemptWindow {
        let standing = opened_window::standing(self.max, length, now, Count::from(&tally));
        AttemptWindow {
            used: standing.used,
            remaining: standing.remaining,
            retry_after: (standing.remaining == 0).then(|| self.retry_after(length, now, &tally)),
            expires_at: tally.start.map(|start| start.saturating_add(length.as_duration())),
            meta: tally.meta,
        }
    }

    fn retry_after(&self, length: WindowLength, now: Timestamp, tally: &CounterState) -> Duration {
        let nanos = opened_window::retry_after(self.max, length, now, Count::from(tally)).into();
        arithmetic::wait(nanos, self.clock.resolution())
    }
}

impl<B> Clone for LimitedAttempt<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Instrumented::clone(&self.backend),
            max: self.max,
            length: self.length,
            namespace: Arc::clone(&self.namespace),
            clock: self.clock.clone(),
        }
    }
}

impl<B> fmt::Debug for LimitedAttempt<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let validity = self.length.map_or_else(|InvalidWindowLength(bad)| bad, WindowLength::as_duration);
        f.debug_struct("LimitedAttempt")
            .field("namespace", &self.namespace)
            .field("max", &self.max)
            .field("validity", &validity)
            .finish_non_exhaustive()
    }
}
